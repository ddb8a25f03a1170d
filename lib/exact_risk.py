"""The exact risk behind the bounds: deterministic equivalents of the risk after fine-tuning.

*Exact* means asymptotically exact under conditions (thm-exact-risk): inputs x = Σ^{1/2}z whose z
has independent entries, and many directions that are half seen, n − df₂ ≫ 1. For gaps that are
spread out or lie in directions of low variance, three of these do for an error of a tenth; for a
gap in the directions of largest variance the formula is too low, by a share of up to some
2/(n − df₂), more if the entries have heavy tails. If λ decays exponentially, n − df₂ does not grow;
if entries depend on each other, as in one-hot inputs, it says nothing: there the formulas are
wrong, however large n and d are.

Without noise and ridge nothing but the gap counts; what is done with the risk, from planning to
stopping, is in ``planning``.

Contract: problems may hold teachers in batches (..., d), and results have the shape of the batch
before that of n, ``ridge`` and ``noise``, which are numbers or arrays that broadcast. A wrong type
is a TypeError; a number that is negative or not finite, or shapes that do not fit, a ValueError.
Both name the argument.
"""

import math

import numpy as np

from lib import checks
from lib.depth_equation import log_scale
from lib.equivalent import Spectrum
from lib.numerics import unit
from lib.problem import Population, TransferProblem

__all__ = ["deep_linear_risk", "effective_ridge", "linear_risk"]


def effective_ridge(eigenvalues, n, ridge=0.0):
    """κ, the solution of Σᵢ λᵢ/(λᵢ + κ) + δ/κ = n.

    Parameters
    ----------
    eigenvalues : array (d,)
        λ, non-negative, in descending order.
    n : float or array
        Number of samples, at least 0; need not be an integer.
    ridge : float or array
        δ ≥ 0; infinity is allowed.

    Returns
    -------
    float, or array of the common shape of n and ``ridge``
        κ, in the units of λ. It falls with n and grows with δ. Its limits: ∞ without data (n = 0)
        or with infinite ridge; 0 if δ = 0 and n is at least the number of positive eigenvalues.

    Notes
    -----
    The sum is split at λ = κ into a count and small remainders, which gives κ full relative
    accuracy whatever the range of the eigenvalues. Cost: some passes over the eigenvalues for many
    roots together, about 10 for each of a few; equal eigenvalues count as one. Source:
    thm-exact-risk.

    Examples
    --------
    Of ten directions of variance 2, five samples see half: 2/(2 + κ) = 1/2.

    >>> round(effective_ridge([2.0] * 10, n=5), 12)
    2.0
    """
    spectrum = Spectrum(Population(eigenvalues).eigenvalues)
    n, ridge = checks.amounts(n=n, ridge=ridge)
    return checks.plain(spectrum.level(n, ridge).kappa)


def linear_risk(problem, n, ridge=0.0, noise=0.0):
    """E R after fine-tuning on n samples ≃ [κ² Σᵢ λᵢuᵢ²/(λᵢ+κ)² + σ²]/(1 − df₂/n) − σ².

    Here κ is the effective ridge and df₂ = Σᵢ (λᵢ/(λᵢ+κ))².

    Parameters
    ----------
    problem : TransferProblem
        Supplies the gap u and the eigenvalues λ.
    n : float or array
        Number of samples, at least 0. Any n: without ridge, the interpolator closest to the source
        as long as there is one, then least squares.
    ridge : float or array
        δ ≥ 0 in ‖Xθ − y‖² + δ‖θ − θ_S‖²; infinity stays at the source.
    noise : float or array
        Standard deviation σ ≥ 0 of the label noise.

    Returns
    -------
    float, or array of the common shape of n, ``ridge`` and ``noise``
        Infinite at the interpolation peak: δ = 0, σ > 0, and n equal to the number of positive
        eigenvalues.

    Notes
    -----
    Asymptotically exact under the conditions that stand at the head of this module; for isotropic
    Gaussian inputs without noise and ridge, exact. Evaluated without subtractions, by
    n − df₂ = κ Σᵢ λᵢ/(λᵢ+κ)² + δ/κ. Cost: that of ``effective_ridge``, and O(d²) once if the
    population has eigenvectors. Source: thm-exact-risk; Hastie et al. 2022; Simon et al. 2023;
    Cheng & Montanari 2024.

    Examples
    --------
    Isotropic inputs, and teachers at distance 1: the risk is 1 − n/d.

    >>> problem = TransferProblem(Population.isotropic(4), [0, 0, 0, 0], [1, 0, 0, 0])
    >>> linear_risk(problem, [0, 1, 2, 4]).round(12).tolist()
    [1.0, 0.75, 0.5, 0.0]
    """
    n, ridge, noise = checks.amounts(n=n, ridge=ridge, noise=noise)
    spectrum, energies, size = gap_energies(problem)
    level = spectrum.level(n, ridge)
    return checks.plain(in_units(level.risk(energies, noise / size), size))


def deep_linear_risk(problem, n, depth):
    """E R after fine-tuning a deep linear network on n samples until its loss is zero.

    Parameters
    ----------
    problem : TransferProblem
        The teachers, and the eigenvalues λ.
    n : float or array
        Number of samples, at least 0.
    depth : int or ``math.inf``
        L, at least 1. Depth 1 is ``linear_risk``.

    Returns
    -------
    float, or array of the shape of n
        At n = 0 the risk of the pretrained network, whatever its depth.

    Raises
    ------
    ValueError
        If the depth is above 1 and the source zero, for training would not start; if the depth is
        infinite and the source zero on the population.

    Notes
    -----
    The formula of ``linear_risk``, as exact as that one, for the gap θ_T − cθ_S, with c = c_L from
    the equivalents of ‖P_∥θ_T‖² and ‖P_∥θ_S‖². At infinite depth the mean over samples is infinite
    for n ≤ 2, where ‖P_∥θ_S‖ is often next to nothing, and the formula falls short of it by a share
    of order 1/n beyond. Cost: that of ``linear_risk``. Source: thm-deep-exact.
    """
    (n,) = checks.amounts(n=n)
    risk = DeepRisk(problem, depth)
    level = risk.spectrum.level(n)
    return checks.plain(in_units(risk(level), risk.size))


class DeepRisk:
    """The risk of deep linear networks in the mean, at any level: a parabola in c_L.

    Semi-public; made for ``planning``.

    The target is hθ_S + w, with h such that w is least as Σ measures it: then the gap θ_T − cθ_S is
    w + (h − c)θ_S, without cancellation for every c near h, be it near 1 or not.
    """

    def __init__(self, problem, depth):
        checks.instance("problem", problem, TransferProblem)
        self.depth = checks.depth("depth", depth)
        if self.depth > 1 and not problem.source.any(axis=-1).all():
            raise ValueError("problem must have a source that is not zero if depth is above 1")
        population = problem.population
        self.spectrum = Spectrum(population.eigenvalues)
        self.size = unit(problem.source, problem.target)
        source, target = (
            population.coordinates(theta / self.size) for theta in (problem.source, problem.target)
        )
        felt = population.eigenvalues / self.spectrum.unit * source
        energy = np.vecdot(felt, source)
        if self.depth == math.inf and not energy.all():
            raise ValueError("problem must have a source that the inputs see if depth is infinite")
        if self.depth == 1:
            self._parts = population.coordinates(problem.gap / self.size)[None] ** 2
            return
        dot = np.vecdot(felt, target)
        self._height = np.divide(dot, energy, out=np.zeros_like(dot), where=energy > 0)
        rest = target - self._height[..., None] * source
        self._parts = np.stack([rest**2, rest * source, source**2])
        self._teachers = np.stack([target**2, source**2]) / np.vecdot(source, source)[..., None]

    def __call__(self, level):
        """E R, in units of ``size`` squared, (..., *n)."""
        scale = None if self.depth == 1 else self.scale(*self.seen(level))
        return self.at(self.parabola(level), scale)

    def seen(self, level):
        """‖P_∥θ_T‖²/‖θ_S‖² and ‖P_∥θ_S‖²/‖θ_S‖²."""
        return level.seen(self._teachers)

    def scale(self, target, source):
        """c_L, given what is ``seen`` of the teachers; it falls only as the second grows."""
        source = np.minimum(source, 1.0)
        return np.exp(log_scale(source, 1 - source, target, target - source, 1 / self.depth))

    def parabola(self, level):
        """What ``at`` needs of a level."""
        return level.risk(self._parts)

    def at(self, parabola, scale):
        """E R for a given c_L."""
        if self.depth == 1:
            return parabola[0]
        rest, cross, source = parabola
        more = self._height[(..., *(None,) * (rest.ndim - self._height.ndim))] - scale
        return np.maximum(rest + more * (2 * cross + more * source), 0.0)


def gap_energies(problem):
    """The spectrum, the uᵢ² (..., d) in units of ``size`` squared, and ``size``. Semi-public."""
    checks.instance("problem", problem, TransferProblem)
    size = unit(problem.gap)
    energies = problem.population.coordinates(problem.gap / size) ** 2
    return Spectrum(problem.population.eigenvalues), energies, size


def in_units(risk, size):
    """A risk that was computed for teachers in units of ``size``."""
    return risk * size * size
