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

__all__ = [
    "deep_linear_risk",
    "effective_ridge",
    "finite_source_risk",
    "linear_risk",
    "shifted_risk",
]

_BLOCK = 1 << 21  # numbers held at a time


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


def finite_source_risk(
    problem,
    n,
    source_samples,
    *,
    source_ridge=0.0,
    source_noise=0.0,
    ridge=0.0,
    noise=0.0,
    source_population=None,
):
    """E R after fine-tuning a source that was itself learned from finitely many samples.

    ``linear_risk`` with uᵢ² replaced by its mean,
    (θ_{T,i} − λᵢθ_{S,i}/(λᵢ+κ_S))² + λᵢ(R_S + σ_S²)/((λᵢ+κ_S)²n_S).

    Parameters
    ----------
    problem : TransferProblem
        The true teachers θ_S, which pretraining has samples of, and θ_T, and the target inputs.
    n : float or array
        Number of target samples, at least 0.
    source_samples : float or array
        n_S ≥ 0, on which the source is trained from scratch. Infinity is a source without error on
        the directions that its inputs see, whatever the ridge, an infinite one included.
    source_ridge, source_noise : float or array
        δ_S in ‖Xθ − y‖² + δ_S‖θ‖², infinity allowed, and σ_S, of pretraining.
    ridge, noise : float or array
        δ and σ of fine-tuning, as in ``linear_risk``.
    source_population : Population, optional
        The source inputs; None takes those of the target.

    Returns
    -------
    float, or array of the common shape of all numbers
        A batch of teachers comes first. Infinite at either interpolation peak, but for that of the
        source where as many target samples as dimensions make one forget the source.

    Notes
    -----
    As exact as ``linear_risk`` is for both trainings. Cost: O(d) for each value, O(d²) if the two
    populations have different eigenvectors. Source: thm-finite-source.

    Examples
    --------
    Isotropic inputs, one task: what n samples miss of what n_S samples missed.

    >>> problem = TransferProblem(Population.isotropic(4), [1, 0, 0, 0], [1, 0, 0, 0])
    >>> round(finite_source_risk(problem, 1, 2), 12)
    0.375
    """
    checks.instance("problem", problem, TransferProblem)
    shape, flat = checks.flat_amounts(
        n=n,
        source_samples=source_samples,
        source_ridge=source_ridge,
        source_noise=source_noise,
        ridge=ridge,
        noise=noise,
    )
    estimate = EstimatedSource(problem, source_population)
    spectrum, size = Spectrum(problem.population.eigenvalues), estimate.size
    many = max(1, _BLOCK // problem.gap.size)
    parts = [np.zeros((*problem.gap.shape[:-1], 0))]
    for start in range(0, flat[0].size, many):
        n, samples, *options = (amount[start : start + many] for amount in flat)
        source_ridge, source_noise, ridge, noise = options
        before, level = estimate.level(samples, source_ridge), spectrum.level(n, ridge)
        spread = np.where(np.isinf(samples), 0.0, estimate.spread(before, source_noise))
        weights = problem.population.eigenvalues * shares(level, problem.population)[1] ** 2
        squares = np.where(weights > 0, estimate.squares(before, spread), 0.0)
        bias = np.vecdot(squares, weights)
        parts.append(level.amplified(bias, noise / size))
    risk = np.concatenate(parts, axis=-1)
    return checks.plain(in_units(risk.reshape((*risk.shape[:-1], *shape)), size))


def shifted_risk(problem, population, n, ridge=0.0, noise=0.0):
    """E R on test inputs of another second moment Σ′ than that of the samples.

    κ²uᵀAΣ′Au + tr(AΣAΣ′)(R + σ²)/n with A = (Σ+κI)⁻¹, where R is the ``linear_risk``.

    Parameters
    ----------
    problem : TransferProblem
        The teachers, and the inputs of the samples, Σ.
    population : Population
        The test inputs, Σ′; of any eigenvectors.
    n, ridge, noise : float or array
        As in ``linear_risk``.

    Returns
    -------
    float, or array of the common shape of n, ``ridge`` and ``noise``
        A batch of teachers comes first.

    Notes
    -----
    As exact as ``linear_risk``. Cost: O(d) for each value, O(d²) if the two populations have
    different eigenvectors. Source: thm-shift; Canatar, Bordelon and Pehlevan 2021.

    Examples
    --------
    Tested is the one direction in which the samples do not vary: nothing is learned there.

    >>> problem = TransferProblem(Population([1, 1, 0]), [0, 0, 0], [1, 1, 1])
    >>> float(shifted_risk(problem, Population([1, 0, 0], np.eye(3)[::-1]), 1))
    1.0
    """
    checks.instance("problem", problem, TransferProblem)
    checks.instance("population", population, Population)
    n, ridge, noise = checks.amounts(n=n, ridge=ridge, noise=noise)
    spectrum, energies, size = gap_energies(problem)
    tested, own = _population("population", population, problem), problem.population
    level = spectrum.level(n, ridge)
    _, unseen, slope = shares(level, own)
    gap = own.coordinates(problem.gap / size)
    left = unseen * np.expand_dims(gap, tuple(range(-1 - level.n.ndim, -1)))
    if _same_axes(own, tested):
        bias, seen = np.vecdot(tested.eigenvalues, left**2), slope @ tested.eigenvalues
    else:
        turned = own.coordinates(np.eye(own.dim)).T  # the eigenvectors of Σ, as rows
        bias, seen = tested.squared_norm(left @ turned), slope @ tested.squared_norm(turned)
    spread = level.spread(energies, noise / size)
    with np.errstate(invalid="ignore"):
        variance = np.where(seen > 0, seen * spread, 0.0)
    return checks.plain(in_units(bias + variance, size))


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


class EstimatedSource:
    """What a source trained on k numbers of samples leaves of the gap, in units of ``size``.

    Semi-public; made for ``planning``. Along the eigenvectors of the target inputs.
    """

    def __init__(self, problem, population=None):
        checks.instance("problem", problem, TransferProblem)
        self.target = problem.population
        self.population = _population("source_population", population, problem)
        self.spectrum = Spectrum(self.population.eigenvalues)
        self.size = unit(problem.source, problem.target)
        source, gap = problem.source / self.size, problem.gap / self.size
        self._gap = self.target.coordinates(gap)[..., None, :]
        self._source = self.population.coordinates(source)
        self.ignored = self.target.coordinates(problem.target / self.size) ** 2  # without source
        self._turn = None
        if not _same_axes(self.population, self.target):
            axes = self.population.coordinates(np.eye(self.target.dim)).T
            self._turn = self.target.coordinates(axes)  # (eigenvectors of source inputs, of target)

    def level(self, samples, ridge):
        """The level of pretraining; of infinitely many samples, that of as many as see all."""
        endless = np.isinf(samples)
        samples = np.where(endless, self.spectrum.rank, samples)
        return self.spectrum.level(samples, np.where(endless, 0.0, ridge))

    def spread(self, level, noise):
        """(R_S + σ_S²)/n_S, (..., k)."""
        return level.spread(self._source**2, noise / self.size)

    def growth(self, level, noise):
        """Derivatives of ``squares`` in n_S at a fixed ridge, (..., k, d)."""
        mean, moved, weight, waned = self._moments(level)
        seen, unseen, _ = shares(level, self.population)
        spread, spare = self.spread(level, noise), level.spare
        # With one sample more log κ falls by 1/(n − df₂), and df₂ grows by ``turn`` times that.
        turn = 2 * np.sum(seen**2 * unseen, axis=-1)
        felt = self.population.eigenvalues * self._source[..., None, :] ** 2
        fall = 2 * np.vecdot(seen * unseen**2, felt)
        spread_falls = (fall + spread * (spare - turn)) / spare**2
        moved = 2 * mean * moved - waned * spread[..., None]
        return -moved / spare[..., None] - weight * spread_falls[..., None]

    def squares(self, level, spread):
        """E uᵢ², (..., k, d)."""
        mean, _, weight, _ = self._moments(level)
        with np.errstate(invalid="ignore"):
            return mean**2 + np.where(weight > 0, weight * spread[..., None], 0.0)

    def slopes(self, level, spread):
        """Derivatives of ``squares`` along log κ_S at a fixed n_S, and the sizes of their terms."""
        mean, moved, weight, waned = self._moments(level)
        seen, unseen, _ = shares(level, self.population)
        # Along log κ, seen falls and unseen grows by seen · unseen.
        turn = 2 * np.sum(seen**2 * unseen, axis=-1) / level.spare
        pull = turn * (level.pull(self._source**2) - spread)
        terms = 2 * mean * moved, weight * pull[..., None], -waned * spread[..., None]
        return sum(terms), sum(np.abs(term) for term in terms)

    def _moments(self, level):
        """Mean, its derivative, variance per ``spread``, minus its derivative, (..., k, d) each."""
        seen, unseen, weight = shares(level, self.population)
        lost, waned = unseen * self._source[..., None, :], 2 * unseen * weight
        moved = seen * lost
        if self._turn is not None:
            lost, moved = lost @ self._turn, moved @ self._turn
            weight, waned = weight @ self._turn**2, waned @ self._turn**2
        return self._gap + lost, moved, weight, waned


def gap_energies(problem):
    """The spectrum, the uᵢ² (..., d) in units of ``size`` squared, and ``size``. Semi-public."""
    checks.instance("problem", problem, TransferProblem)
    size = unit(problem.gap)
    energies = problem.population.coordinates(problem.gap / size) ** 2
    return Spectrum(problem.population.eigenvalues), energies, size


def in_units(risk, size):
    """A risk that was computed for teachers in units of ``size``."""
    return risk * size * size


def _population(name, population, problem):
    """``population``, or that of ``problem`` for None; of as many dimensions."""
    if population is None:
        return problem.population
    checks.instance(name, population, Population)
    if population.dim != problem.population.dim:
        raise ValueError(
            f"{name} must have the dimension of problem, {problem.population.dim}, "
            f"got {population.dim}"
        )
    return population


def _same_axes(one, other):
    """Whether two populations have the same eigenvectors, in the same order."""
    if one.eigenvectors is None or other.eigenvectors is None:
        return one.eigenvectors is other.eigenvectors
    return one.eigenvectors is other.eigenvectors or np.array_equal(
        one.eigenvectors, other.eigenvectors
    )


def shares(level, population):
    """λᵢ/(λᵢ+κ), κ/(λᵢ+κ) and λᵢ/(λᵢ+κ)² for all eigenvalues, (*n, d) each. Semi-public."""
    positive = population.eigenvalues[population.eigenvalues > 0]
    seen, unseen = level.shares(positive)
    rest = [(0, 0)] * level.kappa.ndim + [(0, population.dim - positive.size)]
    weight = seen * (seen / positive)
    return np.pad(seen, rest), np.pad(unseen, rest, constant_values=1.0), np.pad(weight, rest)
