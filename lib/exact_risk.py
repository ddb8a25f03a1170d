"""The exact risk behind the bounds: deterministic equivalents of the risk after fine-tuning.

Everything follows from one number, the effective ridge κ: directions of variance well above κ are
seen by n samples, those well below are not. Equivalents are limits for large n and d, accurate at d
in the hundreds; ``flow_risk`` and ``optimal_stopping_time`` are exact, for given data.
"""

import functools
import math
from typing import NamedTuple

import numpy as np
from scipy.optimize import elementwise

from lib import checks
from lib.numerics import unit
from lib.problem import Population, TransferProblem
from lib.row_space import row_space

_EPS, _TINY = np.finfo(float).eps, np.finfo(float).tiny
_TILE = 1 << 15  # entries of a table (κ, λ) computed at a time: a tile stays in the cache
_LOUD = 1e50  # σ over the size of what is to be learned, beyond which nothing else counts
_INFINITY = 1e100  # κ/λ₁ at which every direction is unseen, to the last digit
_LARGEST = 1e300  # κ/λ₁ that stands for infinity in sums
_NOTHING = 1e-128  # the share of ‖θ_S‖² that stands for none, so that logarithms stay finite
_SCAN = 4  # points per unit of log κ or log t; what is scanned varies over units of 1 or more
_RATIO = 3.0  # eigenvalues within this ratio of each other,
_POINTS = 26  # if twice as many, are worth so many points: 26 = log ε/log(2 + √3)
_STEPS = 200  # more than bisection needs for any range of floats
_MANY = 8  # values of n from which on it pays to find the points
_PIECES = 8  # an interval that may hide a risk above the target is cut into so many


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

    Raises
    ------
    TypeError, ValueError
        If the eigenvalues are not as above, or n or ``ridge`` is negative.

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
    eigenvalues = Population(eigenvalues).eigenvalues
    n, ridge = _amounts(n=n, ridge=ridge)
    scale = unit(eigenvalues)
    eigenvalues, counts = _eigenspaces(eigenvalues / scale, np.ones((1, eigenvalues.size)))
    points = eigenvalues, counts
    if max(n.size, ridge.size) >= _MANY:
        points = _condensed(eigenvalues, counts)
    kappa = _solve((eigenvalues, counts[0]), (points[0], points[1][0]), n, ridge / scale)
    return _plain(scale * kappa)


def linear_risk(problem, n, ridge=0.0, noise=0.0):
    """E R after fine-tuning on n samples: [κ² Σᵢ λᵢuᵢ²/(λᵢ+κ)² + σ²]/(1 − df₂/n) − σ².

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

    Raises
    ------
    TypeError, ValueError
        If n, ``ridge`` or ``noise`` is negative or not finite, or their shapes do not fit.

    Notes
    -----
    Evaluated without subtractions, by n − df₂ = κ Σᵢ λᵢ/(λᵢ+κ)² + δ/κ. Cost: that of
    ``effective_ridge``, and O(d²) once if the population has eigenvectors. Source: thm-exact-risk;
    Hastie et al. 2022; Simon et al. 2023.

    Examples
    --------
    Isotropic inputs, and teachers at distance 1: the risk is 1 − n/d.

    >>> problem = TransferProblem(Population.isotropic(4), [0, 0, 0, 0], [1, 0, 0, 0])
    >>> linear_risk(problem, [0, 1, 2, 4]).round(12).tolist()
    [1.0, 0.75, 0.5, 0.0]
    """
    n, ridge, noise = _amounts(n=n, ridge=ridge, noise=noise)
    modes = _modes(problem, max(n.size, ridge.size))
    state = _state(modes, n, ridge / modes.scale)
    return _plain(modes.in_units(state.risk(noise=modes.relative(noise))))


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
    TypeError, ValueError
        If n is negative or ``depth`` below 1; if the depth is above 1 and the source zero, for
        training would not start; if the depth is infinite and the source zero on the population.

    Notes
    -----
    The formula of ``linear_risk`` for the gap θ_T − cθ_S, with c = c_L from the equivalents of
    ‖P_∥θ_T‖² and ‖P_∥θ_S‖². At infinite depth the mean over samples is infinite for n ≤ 2, where
    ‖P_∥θ_S‖ is often next to nothing, and the formula falls short of it by a share of order 1/n
    beyond. Cost: that of ``linear_risk``. Source: thm-deep-exact.
    """
    (n,) = _amounts(n=n)
    modes = _modes(problem, n.size)
    depth = _depth(depth, modes)
    state = _state(modes, n, 0.0)
    return _plain(modes.in_units(state.risk(_scale(state, depth))))


def gap_norms(problem, n):
    """Equivalents of ‖P_∥u‖² and ‖P_⊥u‖²: how much of the gap n samples see, and what they leave.

    Parameters
    ----------
    problem : TransferProblem
        Supplies the gap u and the eigenvalues λ.
    n : float or array
        Number of samples, at least 0.

    Returns
    -------
    seen, unseen : float, or array of the shape of n
        Σᵢ λᵢuᵢ²/(λᵢ+κ) and κ Σᵢ uᵢ²/(λᵢ+κ); they add up to ‖u‖².

    Raises
    ------
    TypeError, ValueError
        If n is negative or not finite.

    Notes
    -----
    Cost: that of ``linear_risk``. Source: thm-exact-risk.
    """
    modes = _modes(problem)
    (n,) = _amounts(n=n)
    kappa = _state(modes, n, 0.0).kappa
    gap = modes.gap[None]
    (seen,), (unseen,) = _sums(kappa, modes.eigenvalues, (1, 0, gap), (0, 1, gap))
    null = problem.population.coordinates(problem.gap)[problem.population.eigenvalues == 0]
    null = null / modes.size
    norms = np.where(n > 0, seen, 0.0), unseen + null @ null
    return tuple(_plain(norm * modes.size * modes.size) for norm in norms)


def risk_profile(problem, n, ridge=0.0, noise=0.0):
    """The risk that lies in each eigendirection: λᵢ E(vᵢᵀ(θ_FT − θ_T))², which add up to the risk.

    The share of direction i is λᵢ(κuᵢ/(λᵢ+κ))² + (λᵢ/(λᵢ+κ))² (R + σ²)/n. The first term is what
    is unseen of the gap along vᵢ. The second is the price of all that is unseen, and of the noise:
    it falls on the directions that the samples see.

    Parameters
    ----------
    problem, n, ridge, noise
        As in ``linear_risk``.

    Returns
    -------
    array (..., d)
        In the order of the eigenvalues; leading axes are the common shape of n, ``ridge`` and
        ``noise``.

    Raises
    ------
    TypeError, ValueError
        As ``linear_risk``.

    Notes
    -----
    Cost: that of ``linear_risk``, and memory for the result. Source: thm-exact-risk, before the sum
    over the eigendirections of the error is taken.
    """
    modes = _modes(problem)
    n, ridge, noise = _amounts(n=n, ridge=ridge, noise=noise)
    state = _state(modes, n, ridge / modes.scale)
    spread = state.spread(noise=modes.relative(noise))[..., None]
    u = problem.population.coordinates(problem.gap) / modes.size
    eigenvalues = problem.population.eigenvalues / modes.scale
    positive = np.count_nonzero(eigenvalues)  # along the others no error is ever felt
    total = eigenvalues[:positive] + state.kappa[..., None]
    unseen, seen = state.kappa[..., None] / total, eigenvalues[:positive] / total
    profile = np.zeros((*spread.shape[:-1], u.size))
    profile[..., :positive] = eigenvalues[:positive] * (unseen * u[:positive]) ** 2
    profile[..., :positive] += np.where(seen > 0, seen**2 * spread, 0.0)
    return modes.in_units(profile)


def sample_complexity(problem, risk, depth=1):
    """n(ε), the smallest n from which on the exact risk stays at or below ε.

    Parameters
    ----------
    problem : TransferProblem
        The teachers, and the eigenvalues λ.
    risk : float
        ε ≥ 0. R ≤ ε is understood up to rounding, a relative 10⁻¹².
    depth : int or ``math.inf``
        As in ``deep_linear_risk``; 1 is linear regression.

    Returns
    -------
    int
        At most the number of positive eigenvalues, for there the risk is 0.

    Raises
    ------
    TypeError, ValueError
        If ``risk`` is negative or not finite; for the depth, as ``deep_linear_risk``.

    Notes
    -----
    The curve need not be monotone. Every n from the answer on is either evaluated, or lies between
    two evaluated κ whose risks prove that the risk between them is at most ε. Cost: O(d) for each
    of some 100 to 500 evaluations, whatever d, less than a curve of 50 values of n; more for a
    curve that stays within a hair of ε, at worst for every n. Source: the definition of n(ε) in
    thm-exact-risk.
    """
    modes = _modes(problem)
    depth = _depth(depth, modes)
    target = checks.real("risk", risk, at_least=0) * (1 + 1e-12)
    target = target / modes.size / modes.scale / modes.size
    log_target = math.log(target) if target else -math.inf

    def above(n):
        """Those of the numbers n at which the risk is above the target, ascending."""
        state = _state(modes, n, 0.0)
        return n[state.risk(_scale(state, depth)) > target]

    last = modes.counts.sum()
    intervals = [_state(modes, np.array([1.0, last - 1]), 0.0)] if last > 2 else []
    while intervals:
        ends = intervals.pop()  # from the right
        if _log_highest(ends, depth) <= log_target:
            continue
        n = np.arange(math.ceil(ends.n[0]), math.floor(ends.n[1]) + 1.0)
        if n.size > _PIECES:
            inner = _resolution(modes, np.geomspace(*ends.kappa, _PIECES + 1)[1:-1])
            nodes = ends.at([0]).then(inner).then(ends.at([1]))
            intervals += [nodes.at([i, i + 1]) for i in range(_PIECES)]
        elif (n := above(n)).size:
            return int(n[-1]) + 1
    n = above(np.unique([0.0, min(last, 1.0)]))
    return int(n[-1]) + 1 if n.size else 0


def optimal_ridge(problem, n, noise=0.0):
    """δ*, the ridge towards the source with the least ``linear_risk``.

    Parameters
    ----------
    problem, n, noise
        As in ``linear_risk``.

    Returns
    -------
    float, or array of the common shape of n and ``noise``
        0 where interpolation is best, or where all ridges are equally good, as for n below 10⁻⁵⁰;
        infinity where the gap is zero on the population and the labels are noisy: nothing to learn.

    Raises
    ------
    TypeError, ValueError
        If n or ``noise`` is negative or not finite, or their shapes do not fit.

    Notes
    -----
    At a minimum, κ Σᵢ wᵢuᵢ²/Σᵢ wᵢ = (R + σ²)/n with wᵢ = λᵢ²/(λᵢ+κ)³. All solutions that a scan of
    4 points per unit of log κ separates are found, and the best is taken. For u isotropic in the
    mean that is δ* = dσ²/‖u‖². Cost: the scan, O(d) per point, for each pair of n and ``noise``.
    Source: thm-exact-risk, differentiated along κ.
    """
    modes = _modes(problem)
    n, noise = np.broadcast_arrays(*_amounts(n=n, noise=noise))
    with np.errstate(over="ignore", under="ignore"):
        pairs = zip(n.flat, modes.relative(noise).flat, strict=True)
        ridges = [_optimal_ridge(modes, *pair) for pair in pairs]
    return _plain(np.reshape(ridges, n.shape))


def flow_risk(problem, X, times, noise=0.0):
    """The exact risk along gradient flow on given inputs, in the mean over the label noise.

    θ(t) − θ_T = −e^{−tΣ̂}u + (1 − e^{−tΣ̂})X⁺(noise), for ℓ(θ) = ‖Xθ − y‖²/(2n) and θ(0) = θ_S.

    Parameters
    ----------
    problem : TransferProblem
        The teachers, and the population that the risk is measured on.
    X : array (n, d)
        Target inputs; any rank, any n.
    times : array (t,)
        Times ≥ 0, in units of the inverse of Σ̂ = XᵀX/n; infinity is the end of training.
    noise : float
        Standard deviation σ ≥ 0 of the label noise.

    Returns
    -------
    array (t,)

    Raises
    ------
    TypeError, ValueError
        If the width of X is not the dimension of the problem, an entry of X is not finite, or a
        time or ``noise`` is negative.

    Notes
    -----
    Cost: one thin SVD of X and O(td min(n, d)). Source: thm-linear-bias.
    """
    path = _path(problem, X)
    (times,) = _amounts(times=times)
    if times.ndim != 1:
        raise ValueError(f"times must have shape (any), got {times.shape}")
    noise = path.relative(checks.real("noise", noise, at_least=0))
    with np.errstate(over="ignore", under="ignore"):  # long after the end is the end
        times = times * path.scale * path.scale
        return path.risk(times, noise) * path.size * path.level * path.size


def optimal_stopping_time(problem, X, noise=0.0):
    """t*, the time along gradient flow on given inputs at which ``flow_risk`` is least.

    Parameters
    ----------
    problem, X, noise
        As in ``flow_risk``.

    Returns
    -------
    float
        0 where training never helps, nor would noise beyond 10⁵⁰ times the labels let one see it;
        infinity where it should go on to the end.

    Raises
    ------
    TypeError, ValueError
        As ``flow_risk``.

    Notes
    -----
    The risk may have several minima. All that a scan of 4 points per unit of log t separates are
    found from its derivative, and the best is taken. Cost: one thin SVD of X and O(d min(n, d)) per
    point of the scan. Source: thm-linear-bias.
    """
    path = _path(problem, X)
    if path.rates.size == 0:
        return 0.0
    noise = path.relative(checks.real("noise", noise, at_least=0))
    if path.rates.size == 0 or noise > _LOUD:  # such noise hides what could be learned
        return 0.0
    times = _minima(functools.partial(path.slope, noise=noise), *path.span(noise))
    times = np.concatenate([[0.0], times, [math.inf]])
    with np.errstate(over="ignore"):
        return float(times[np.argmin(path.risk(times, noise))] / path.scale / path.scale)


# The spectrum and the teachers: equal eigenvalues are taken together, zero ones left out.


class _Modes(NamedTuple):
    """The distinct positive eigenvalues, and sums over the directions that belong to each.

    Eigenvalues are in units of ``scale``, teachers in units of ``size``: near the largest of them,
    so that no square over- or underflows.

    The target is also written as hθ_S + w, with h such that this w is least as Σ measures it: then
    θ_T − cθ_S = w + (h − c)θ_S is without cancellation for every c near h, be it near 1 or not.
    """

    eigenvalues: np.ndarray
    counts: np.ndarray
    gap: np.ndarray  # Σu²
    rest: np.ndarray  # Σw²
    cross: np.ndarray  # Σwθ_S
    source: np.ndarray  # Σθ_S²
    target: np.ndarray  # Σθ_T²
    height: float  # h
    length: float  # ‖θ_S‖², over all directions
    scale: float
    size: float
    spectrum: tuple  # eigenvalues and counts, where the others stand for them at fewer points

    def in_units(self, risk):
        """``risk`` in the units of the problem."""
        return risk * self.size * self.scale * self.size

    def relative(self, noise):
        """σ in the units of the modes."""
        with np.errstate(over="ignore", under="ignore"):
            return noise / self.size / math.sqrt(self.scale)


def _modes(problem, evaluations=1):
    checks.instance("problem", problem, TransferProblem)
    population = problem.population
    scale = unit(population.eigenvalues)
    teachers = np.stack([problem.gap, problem.source, problem.target])
    size = unit(teachers)
    u, source, target = population.coordinates(teachers / size)
    felt = population.eigenvalues / scale * source
    energy = felt @ source
    height = felt @ target / energy if energy > 0 else 0.0
    rest = target - height * source
    weights = [np.ones(u.size), u * u, rest * rest, rest * source, source * source, target * target]
    eigenvalues, weights = _eigenspaces(population.eigenvalues / scale, np.stack(weights))
    spectrum = eigenvalues, weights[0]
    if evaluations >= _MANY:
        eigenvalues, weights = _condensed(eigenvalues, weights)
    return _Modes(eigenvalues, *weights, height, source @ source, scale, size, spectrum)


def _eigenspaces(eigenvalues, weights):
    """The distinct positive eigenvalues, and the sums of ``weights`` (k, d) over each of them."""
    eigenvalues = eigenvalues[: np.count_nonzero(eigenvalues)]
    first = np.flatnonzero(np.diff(eigenvalues, prepend=math.inf))
    return eigenvalues[first], np.add.reduceat(weights[:, : eigenvalues.size], first, axis=1)


def _condensed(eigenvalues, weights):
    """Fewer points, with other weights (k, ·), that have the same sums Σᵢ wᵢf(λᵢ) up to rounding.

    The first row of weights counts; its cumulative sums are whole at the end of each group, to the
    last digit, for a level may lie in a wide gap below.

    For f analytic but for a pole at −κ < 0, as all that are summed here are: within a factor of 3
    of each other, eigenvalues are replaced by Chebyshev points, and f by its interpolant there. Its
    error is (2 + √3)⁻²⁶ of the largest f. The weights may be negative, but hardly cancel.
    """
    groups = np.floor(np.log(eigenvalues[:1] / eigenvalues) / math.log(_RATIO))
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    angles = np.linspace(0, np.pi, _POINTS)
    signs = np.where(np.arange(_POINTS) % 2, -1.0, 1.0)
    signs[[0, -1]] /= 2
    points, sums, counted = [], [], 0.0
    for start, stop in zip(starts, np.append(starts[1:], eigenvalues.size), strict=True):
        group, inside = eigenvalues[start:stop], weights[:, start:stop]
        if group.size > 2 * _POINTS:
            nodes = group[-1] + (group[0] - group[-1]) * (1 + np.cos(angles)) / 2
            nodes[[0, -1]] = group[[0, -1]]
            total = np.zeros((len(weights), _POINTS))
            for tile in _tiles(group.size, _POINTS):
                away = group[tile, None] - nodes
                with np.errstate(divide="ignore", invalid="ignore"):
                    basis = signs / away
                    whole = basis.sum(axis=1)
                hit = ~np.isfinite(whole)  # an eigenvalue that is one of the points
                basis[hit], whole[hit] = away[hit] == 0, 1
                total += (inside[:, tile] / whole) @ basis
            before = np.cumsum(np.append(counted, total[0, :-1]))[-1]
            total[0, -1] = counted + inside[0].sum() - before
            counted += inside[0].sum()
            group, inside = nodes, total
        else:
            counted += inside[0].sum()
        points.append(group)
        sums.append(inside)
    if not points:
        return eigenvalues, weights
    return np.concatenate(points), np.concatenate(sums, axis=1)


# The effective ridge.


def _solve(spectrum, points, n, ridge):
    """κ for each n and ``ridge``; ``points`` stand for the spectrum in sums over it."""
    eigenvalues, counts = spectrum
    n, ridge = np.broadcast_arrays(n, ridge)
    upto = np.concatenate([[0.0], np.cumsum(counts)])
    kappa = np.where((n < 1 / _INFINITY) | np.isinf(ridge), math.inf, 0.0)
    free = (kappa == 0) & ((ridge > _TINY) | (n < upto[-1]))
    n, ridge = n[free], ridge[free]
    if n.size == 0:
        return kappa
    # The left side is at least j λ_j/(λ_j + κ), here with j near 2n, and at least δ/κ; and at most
    # k + (Σ_{i>k} λᵢ + δ)/κ, here with k near n/2.
    j = np.minimum(np.searchsorted(upto, 2 * n), eigenvalues.size)
    k = np.searchsorted(upto, n / 2, side="right") - 1
    tails = np.append(np.cumsum((counts * eigenvalues)[::-1])[::-1], 0.0)
    low = np.maximum(np.append(0.0, eigenvalues)[j] * (upto[j] - n), ridge) / n
    high = (tails[k] + ridge) / (n - upto[k])
    kappa[free] = np.exp(_newton(points, n, ridge, np.log(low), np.log(high)))
    return kappa


def _newton(points, n, ridge, low, high):
    """log κ between ``low`` and ``high``: Newton's method, and bisection where it would leave.

    In log κ, |f″| ≤ |f′| for the left side f of the equation: once within a tenth, four steps do.
    """
    low, high = low - 0.1, high + 0.1  # so that rounding cannot hide the change of sign
    x = (low + high) / 2
    for _ in range(_STEPS):
        kappa = np.exp(x)
        excess, slope = _excess(kappa, *points, n)
        excess, slope = excess + ridge / kappa, slope - ridge / kappa
        low, high = np.where(excess > 0, x, low), np.where(excess > 0, high, x)
        # Of log f, which is nearly linear where f is a power of κ.
        with np.errstate(divide="ignore", invalid="ignore"):
            new = x - np.log1p(excess / n) * (excess + n) / slope
        new = np.where((low <= new) & (new <= high), new, (low + high) / 2)
        moved, x = np.abs(new - x), new
        if (moved <= 4 * _EPS * np.maximum(np.abs(x), 1)).all():
            break
    return x


def _excess(kappa, eigenvalues, counts, n):
    """Σᵢ λᵢ/(λᵢ + κ) − n, and its slope in log κ.

    The eigenvalues above κ are counted, and only the rest is rounded.
    """
    upto = np.concatenate([[0.0], np.cumsum(counts)])
    excess = upto[np.searchsorted(-eigenvalues, -kappa)] - n
    slope = np.zeros_like(excess)
    kappa = kappa[:, None]
    for tile in _tiles(eigenvalues.size, kappa.size):
        part = np.where(eigenvalues[tile] > kappa, -kappa, eigenvalues[tile])
        part /= eigenvalues[tile] + kappa
        excess += part @ counts[tile]
        np.abs(part, out=part)
        slope -= (part - part * part) @ counts[tile]
    return excess, slope


def _sums(kappa, eigenvalues, *terms):
    """Σᵢ wᵢ sᵢ^p rᵢ^q with s = λ/(λ+κ), r = κ/(λ+κ), for each (p, q, w (m, d)): (m, *κ.shape)."""
    flat = kappa.ravel()
    sums = [np.zeros((len(w), flat.size)) for *_, w in terms]
    for tile in _tiles(eigenvalues.size, flat.size):
        total = eigenvalues[tile] + flat[:, None]
        seen, unseen = eigenvalues[tile] / total, flat[:, None] / total
        for target, (p, q, w) in zip(sums, terms, strict=True):
            factors = functools.reduce(np.multiply, p * [seen] + q * [unseen])
            target += np.einsum("nd,md->mn", factors, w[:, tile])
    return [total.reshape(len(total), *kappa.shape) for total in sums]


def _tiles(columns, rows):
    """Slices of the columns of a table that is too large to be held."""
    width = max(1, _TILE // max(rows, 1))
    return (slice(start, start + width) for start in range(0, columns, width))


# The risk.


class _State(NamedTuple):
    """All that the risk after n samples depends on, as arrays of one shape."""

    n: np.ndarray
    kappa: np.ndarray
    used: np.ndarray  # df₂
    spare: np.ndarray  # n − df₂
    gap: np.ndarray  # κ² Σᵢ λᵢuᵢ²/(λᵢ+κ)²
    rest: np.ndarray  # and so on, with w and h as in the modes
    cross: np.ndarray
    source: np.ndarray
    seen_target: np.ndarray  # ‖P_∥θ_T‖²/‖θ_S‖²
    seen_source: np.ndarray  # ‖P_∥θ_S‖²/‖θ_S‖²
    height: np.ndarray

    def bias(self, scale=None):
        """κ² Σᵢ λᵢvᵢ²/(λᵢ+κ)² for v = θ_T − ``scale`` · θ_S; for v = u without a scale."""
        if scale is None:
            return self.gap
        more = self.height - scale
        return np.maximum(self.rest + more * (2 * self.cross + more * self.source), 0.0)

    def spread(self, scale=None, noise=0.0):
        """(R + σ²)/n = (bias + σ²)/(n − df₂)."""
        root = np.hypot(np.sqrt(self.bias(scale)), noise)  # σ² may overflow
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return np.where((root == 0) | (self.n == 0), 0.0, (root / np.sqrt(self.spare)) ** 2)

    def risk(self, scale=None, noise=0.0):
        """n (bias + σ²)/(n − df₂) − σ², without the subtractions."""
        with np.errstate(over="ignore", invalid="ignore"):
            spread = np.where(self.used > 0, self.used * self.spread(scale, noise), 0.0)
        return self.bias(scale) + spread

    def at(self, index):
        return _State(*(field[index] for field in self))

    def then(self, other):
        return _State(*map(np.append, self, other))


def _state(modes, n, ridge):
    """The state at n samples with ``ridge``."""
    n, ridge = np.broadcast_arrays(n, ridge)
    kappa = _solve(modes.spectrum, (modes.eigenvalues, modes.counts), n, ridge)
    kappa = np.minimum(kappa, _LARGEST * modes.eigenvalues.max(initial=0))
    state = _resolution(modes, kappa)
    spare = state.spare + np.divide(ridge, kappa, out=np.zeros(n.shape), where=kappa > 0)
    return state._replace(n=n, spare=np.maximum(spare, n - modes.spectrum[1].sum()))


def _resolution(modes, kappa):
    """The state, without ridge, at whatever n has this κ > 0."""
    eigenvalues, length = modes.eigenvalues, modes.length
    teachers = np.stack([modes.target, modes.source])
    seen, (used,), (spare,), missed = _sums(
        kappa,
        eigenvalues,
        (1, 0, teachers),
        (2, 0, modes.counts[None]),
        (1, 1, modes.counts[None]),
        (0, 2, eigenvalues * modes[2:6]),
    )
    seen = (total / length if length else total for total in seen)
    height = np.full(kappa.shape, modes.height)
    return _State(spare + used, kappa, used, spare, *missed, *seen, height)


def _depth(depth, modes):
    """``depth`` if the theorem holds for it."""
    depth = checks.depth("depth", depth)
    if depth > 1 and modes.length == 0:
        raise ValueError("problem must have a source that is not zero if depth is above 1")
    if depth == math.inf and not modes.source.any():
        raise ValueError("problem must have a source that the inputs see if depth is infinite")
    return depth


def _scale(state, depth):
    """c_L for each n, 1 before any data; None for depth 1, where the gap is u."""
    if depth == 1:
        return None
    scale = _source_scale(state.seen_target, state.seen_source, depth)
    return np.where(state.n == 0, 1.0, scale)


def _source_scale(target, source, depth):
    """c_L = t^{(L−1)/(2L)}, where t = α + t^{(L−1)/L} (1 − γ) is ‖β‖²/‖θ_S‖².

    α and γ are ``target`` = ‖P_∥θ_T‖²/‖θ_S‖² and ``source`` = ‖P_∥θ_S‖²/‖θ_S‖² in [0, 1], arrays
    of one shape. The root lies between those of L = 1 and L = ∞, which are α + 1 − γ and α/γ, for
    it moves away from 1 as L grows. Source: thm-deep-bias, thm-deep-limit.
    """
    if depth == math.inf:
        return np.sqrt(target / source)
    alpha, gamma = np.maximum(target, _NOTHING), np.clip(source, _NOTHING, 1.0)
    power = 1 - 1 / depth
    ends = np.log(alpha + 1 - gamma), np.log(alpha / gamma)
    log_t = elementwise.find_root(
        lambda x, alpha, gamma: np.exp(power * x) * (np.expm1(x / depth) + gamma) - alpha,
        (np.minimum(*ends) - 0.1, np.maximum(*ends) + 0.1),
        args=(alpha, gamma),
        tolerances={"xatol": 4 * _EPS},
    )
    return np.exp(power / 2 * log_t.x)


def _log_highest(ends, depth):
    """An upper bound of log R for all n between the two of ``ends``, without ridge and noise.

    At fixed c the second derivative of log R in log κ is at least −7/4: −1/2 by the bias, −1 by
    n − df₂ and −1/4 by n, each a sum of products of powers of λ/(λ+κ) and κ/(λ+κ). So log R is at
    most 7/32 times the squared distance in log κ above its chord. As a function of c, R is convex,
    and c lies between its values for the least and the most that is seen of each teacher.
    """
    scales = [None]
    if depth > 1:
        scales = _source_scale(ends.seen_target, ends.seen_source[::-1], depth)
    with np.errstate(divide="ignore"):
        log_risks = np.log([ends.risk(scale) for scale in scales])
    return log_risks.max() + 7 / 32 * np.log(ends.kappa[0] / ends.kappa[1]) ** 2


def _optimal_ridge(modes, n, noise):
    """δ* for one n and one σ. Given κ, both the risk and δ are explicit."""
    eigenvalues, counts, gap = modes[:3]
    energy = eigenvalues * gap
    trace, square, signal = counts @ eigenvalues, counts @ eigenvalues**2, eigenvalues @ energy
    if n == 0 or signal == 0:
        return math.inf if n > 0 and noise > 0 else 0.0
    if n < 1 / _LOUD:  # such ridges differ in no digit of the risk
        return 0.0
    if noise > _LOUD:  # κ is far above all eigenvalues
        loudness = noise * math.sqrt(square / signal)
        return float(modes.scale * loudness * loudness)
    variance = noise**2
    start = _solve((eigenvalues, counts), (eigenvalues, counts), n, 0.0).item()
    if start == variance == 0:
        return 0.0

    def terms(kappa):
        """κ Σᵢ wᵢuᵢ²/Σᵢ wᵢ, (R + σ²)/n and δ."""
        (bias,), (slope,), (felt, weight) = _sums(
            kappa,
            eigenvalues,
            (0, 2, energy[None]),
            (1, 1, counts[None]),
            (2, 1, np.stack([gap, counts])),
        )
        excess, _ = _excess(kappa, eigenvalues, counts, n)
        return kappa * felt / weight, (bias + variance) / (slope - excess), -kappa * excess

    def slope(x):
        pull, spread, _ = terms(np.exp(x))
        return (pull - spread) / (pull + spread)

    # From ``high`` on the risk rises: κ ≥ λ₁ and df₂ ≤ n/2 bound either side of the condition. If κ
    # can be as small as it likes, the risk falls until ``low``.
    limit = 16 * (energy.sum() + variance) / n * square / signal
    high = max(eigenvalues[0], 2 * trace / n, limit)
    ratio = (counts / eigenvalues).sum() / (gap / eigenvalues).sum()
    low = start or min(eigenvalues[-1], variance / (8 * n) * ratio)
    kappa = _minima(slope, low, high)
    if start:
        kappa = np.append(start, kappa)
    _, spread, ridge = terms(kappa)
    best = np.argmin(spread)
    return 0.0 if start and best == 0 else float(modes.scale * ridge[best])


def _minima(slope, low, high):
    """The points of [``low``, ``high``] where the risk has a minimum.

    ``slope`` maps logarithms of points to derivatives, divided by the size of their terms: only
    below −10⁻¹² are they trusted to be negative.
    """
    low, high = math.log(low), math.log(high)
    scan = np.linspace(low, high, 2 + math.ceil(_SCAN * (high - low)))
    signs = slope(scan)
    turns = np.flatnonzero((signs[:-1] < -1e-12) & (signs[1:] >= 0))
    if turns.size == 0:
        return scan[:0]
    return np.exp(elementwise.find_root(slope, (scan[turns], scan[turns + 1])).x)


# The path of gradient flow.


class _Path(NamedTuple):
    """Gradient flow on given inputs, along the r right singular vectors v of X."""

    n: int
    rates: np.ndarray  # (r,) the eigenvalues of Σ̂, descending
    basis: np.ndarray  # (r, d) each v, along the eigenvectors of Σ
    learned: np.ndarray  # (r,) vᵀu, the part of the gap that is unlearned at rate ``rates``
    rest: np.ndarray  # (d,) P_⊥u, along the eigenvectors of Σ
    eigenvalues: np.ndarray  # (d,) of Σ
    level: float  # the unit of Σ,
    scale: float  # of X,
    size: float  # and of u, so that no square over- or underflows

    def relative(self, noise):
        """σ in these units."""
        with np.errstate(over="ignore", under="ignore"):
            return np.float64(noise) / self.size / self.scale

    def risk(self, times, noise):
        decay = -np.outer(times, self.rates)
        bias = self._error(np.exp(decay)) ** 2 @ self.eigenvalues
        learned = noise * np.sqrt(self.energies() / self.rates) * np.expm1(decay)
        return bias + np.vecdot(learned, learned) / self.n

    def slope(self, x, noise):
        """The derivative of the risk in log t at t = eˣ, divided by the size of its terms."""
        decay = -np.outer(np.exp(x), self.rates)
        left = np.exp(decay)
        felt = (self._error(left) * self.eigenvalues) @ self.basis.T  # vᵀΣ(θ_T − θ(t))
        gain = left * self.rates * self.learned * felt
        loss = -(noise**2) / self.n * left * np.expm1(decay) * self.energies()
        size = (np.abs(gain) + loss).sum(axis=1)
        return (loss - gain).sum(axis=1) / np.where(size > 0, size, 1.0)

    def span(self, noise):
        """A time before which the slope keeps its sign, and one after which e⁻³⁰ is unlearned."""
        error = self._error(np.ones(self.rates.size))
        gain = self.rates * self.learned @ (self.basis @ (self.eigenvalues * error))
        loss = noise**2 / self.n * (self.rates @ self.energies())
        turn = gain / loss if gain > 0 and loss > 0 else math.inf  # of R(0) − 2·gain·t + loss·t²
        return 1e-3 * min(1 / self.rates[0], turn), 30 / self.rates[-1]

    def energies(self):
        """The vᵀΣv, (r,)."""
        return self.basis**2 @ self.eigenvalues

    def _error(self, left):
        return (left * self.learned) @ self.basis + self.rest


def _path(problem, X):
    checks.instance("problem", problem, TransferProblem)
    population = problem.population
    rounding = checks.rounding(X)
    X = checks.samples(X, dim=population.dim)
    level, scale, size = unit(population.eigenvalues), unit(X), unit(problem.gap)
    gap = problem.gap / size
    _, s, basis = row_space(X / scale, rounding)
    learned = basis @ gap
    rest = gap - learned @ basis
    rest -= (basis @ rest) @ basis  # what rounding left inside the row space
    basis, rest = population.coordinates(basis), population.coordinates(rest)
    rates, eigenvalues = s**2 / len(X), population.eigenvalues / level
    return _Path(len(X), rates, basis, learned, rest, eigenvalues, level, scale, size)


def _amounts(**values):
    """Arrays of numbers that are not negative, of shapes that fit; ridge and times may be ∞."""
    amounts = []
    for name, value in values.items():
        amount = checks.array(name, value, (...,), infinite=name in ("ridge", "times"))
        if amount.size and amount.min() < 0:
            raise ValueError(f"{name} must be at least 0, got {amount.min():g}")
        amounts.append(amount)
    try:
        np.broadcast_shapes(*(amount.shape for amount in amounts))
    except ValueError as error:
        raise ValueError(f"{', '.join(values)} must have shapes that broadcast: {error}") from error
    return amounts


def _plain(value):
    return float(value) if np.ndim(value) == 0 else value
