"""What is done with the exact risk: where it sits, how many samples, how much ridge, how long.

All but ``optimal_stopping_time``, which is exact on its inputs, is as good as the formula of
``exact_risk``: asymptotically exact under the conditions that stand there.

Contract: as in ``exact_risk``. With teachers in batches (..., d) all that returns numbers per n
returns them per problem as well.
"""

import math
from functools import partial

import numpy as np

from lib import checks
from lib.equivalent import Spectrum
from lib.exact_risk import (
    DeepRisk,
    EstimatedSource,
    gap_energies,
    in_units,
    shares,
)
from lib.linear_regression import FlowRisk
from lib.numerics import minima, ten_digits
from lib.problem import TransferProblem

__all__ = [
    "exchange_rate",
    "optimal_ridge",
    "optimal_source_ridge",
    "optimal_stopping_time",
    "risk_profile",
    "sample_complexity",
]

_LOUD = 1e50  # σ over the size of what is to be learned, beyond which nothing else counts
_WIDE = 1e6  # so far beyond where a ridge makes a difference
_FIRST = 1e-9  # samples that stand for none, in derivatives
_PIECES = 8  # an interval that may hide a risk above the target is cut into so many


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

    Notes
    -----
    Cost: that of ``linear_risk``, and memory for the result. Source: prop-risk-profile.
    """
    n, ridge, noise = checks.amounts(n=n, ridge=ridge, noise=noise)
    spectrum, energies, size = gap_energies(problem)
    level = spectrum.level(n, ridge)
    spread = level.spread(energies, noise / size)[..., None]
    eigenvalues = problem.population.eigenvalues[: spectrum.rank]
    seen, unseen = level.shares(eigenvalues)
    felt = eigenvalues * energies[..., : spectrum.rank]
    felt = np.expand_dims(felt, tuple(range(-1 - level.n.ndim, -1)))
    profile = np.zeros((*spread.shape[:-1], energies.shape[-1]))  # without Σ no error is ever felt
    profile[..., : spectrum.rank] = unseen**2 * felt + np.where(seen > 0, seen**2 * spread, 0.0)
    return in_units(profile, size)


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
    int, or array of int for teachers in batches
        At most the number of positive eigenvalues, for there the risk is 0.

    Notes
    -----
    The curve need not be monotone. Every n from the answer on is either evaluated, or lies between
    two evaluated κ whose risks prove that the risk between them is at most ε. Cost: O(d) for each
    of some 100 to 500 evaluations, whatever d, less than a curve of 50 values of n; more for a
    curve that stays within a hair of ε, at worst for every n. Source: the definition of n(ε) in
    thm-exact-risk.
    """
    checks.instance("problem", problem, TransferProblem)
    target = checks.real("risk", risk, at_least=0) * (1 + 1e-12)
    needed = [_sample_complexity(DeepRisk(one, depth), target) for one in problem.each()]
    return needed[0] if problem.gap.ndim == 1 else np.reshape(needed, problem.gap.shape[:-1])


def _sample_complexity(risk, target):
    """n(ε) for one pair of teachers."""
    target = target / risk.size / risk.size
    spectrum = risk.spectrum

    def above(n):
        """Those of the numbers n at which the risk is above the target, ascending."""
        return n[risk(spectrum.level(n)) > target]

    intervals = []
    if spectrum.rank > 2:
        ends = spectrum.level(np.array([1.0, spectrum.rank - 1]))
        intervals = [(*ends.kappa / spectrum.unit, *ends.n)]
    while intervals:
        *kappas, first, last = intervals.pop()  # from the right
        n = np.arange(math.ceil(first), math.floor(last) + 1.0)
        if n.size <= _PIECES:
            if (n := above(n)).size:
                return int(n[-1]) + 1
            continue
        kappas = np.geomspace(*kappas, _PIECES + 1)
        level = spectrum.at(kappas)
        sizes = np.concatenate([[first], level.n[1:-1], [last]])
        suspicious = _highest(risk, level) > target
        pieces = zip(kappas, kappas[1:], sizes, sizes[1:], strict=False)
        intervals += [piece for piece, look in zip(pieces, suspicious, strict=True) if look]
    n = above(np.unique([0.0, min(spectrum.rank, 1.0)]))
    return int(n[-1]) + 1 if n.size else 0


def _highest(risk, level):
    """Upper bounds of R for all n between neighbours of a ``level``, ascending in n.

    At fixed c the second derivative of log R in log κ is at least −7/4: −1/2 by the bias, −1 by
    n − df₂ and −1/4 by n, each a sum of products of powers of λ/(λ+κ) and κ/(λ+κ). So log R is at
    most 7/32 times the squared distance in log κ above its chord. As a function of c, R is convex,
    and c lies between its values for the least and the most that is seen of each teacher.
    """
    parabola, scales = risk.parabola(level), [None]
    if risk.depth > 1:
        target, source = risk.seen(level)
        scales = risk.scale(target[:-1], source[1:]), risk.scale(target[1:], source[:-1])
    ends = parabola[:, :-1], parabola[:, 1:]
    highest = np.max([risk.at(end, scale) for end in ends for scale in scales], axis=0)
    return highest * np.exp(7 / 32 * np.diff(np.log(level.kappa)) ** 2)


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

    Notes
    -----
    At a minimum, κ Σᵢ wᵢuᵢ²/Σᵢ wᵢ = (R + σ²)/n with wᵢ = λᵢ²/(λᵢ+κ)³. All solutions that a scan of
    4 points per unit of log κ separates are found, and the best is taken. For u isotropic in the
    mean that is δ* = dσ²/‖u‖². Cost: the scan, O(d) per point, for each pair of n and ``noise``.
    Source: thm-exact-risk, differentiated along κ.
    """
    n, noise = np.broadcast_arrays(*checks.amounts(n=n, noise=noise))
    spectrum, energies, size = gap_energies(problem)
    with np.errstate(over="ignore", under="ignore"):
        pairs = [(one, sigma / size) for one, sigma in zip(n.flat, noise.flat, strict=True)]
        ridges = [
            _optimal_ridge(spectrum, one, *pair)
            for one in energies.reshape(-1, energies.shape[-1])
            for pair in pairs
        ]
    return checks.plain(np.reshape(ridges, (*energies.shape[:-1], *n.shape)))


def _optimal_ridge(spectrum, energies, n, noise):
    """δ* for one gap, n and σ. Given κ, both the risk and δ are explicit."""
    values, counts, energies_at = spectrum.values, spectrum.counts, spectrum.collect(energies)
    noise = noise / math.sqrt(spectrum.unit)
    energy = values * energies_at
    trace, square, signal = counts @ values, counts @ values**2, values @ energy
    if n == 0 or signal == 0:
        return math.inf if n > 0 and noise > 0 else 0.0
    if n < 1 / _LOUD:  # such ridges differ in no digit of the risk
        return 0.0
    if noise > _LOUD:  # κ is far above all eigenvalues
        loudness = noise * math.sqrt(square / signal)
        return float(spectrum.unit * loudness * loudness)
    variance = noise**2
    start = spectrum.level(n).kappa.item() / spectrum.unit
    if start == variance == 0:
        return 0.0
    sigma = noise * math.sqrt(spectrum.unit)

    def slope(x):
        level = spectrum.at(np.exp(x), n)
        pull, spread = level.pull(energies), level.spread(energies, sigma)
        return (pull - spread) / (pull + spread)

    # From ``high`` on the risk rises: κ ≥ λ₁ and df₂ ≤ n/2 bound either side of the condition. If κ
    # can be as small as it likes, the risk falls until ``low``.
    limit = 16 * (energy.sum() + variance) / n * square / signal
    high = max(values[0], 2 * trace / n, limit)
    ratio = (counts / values).sum() / (energies_at / values).sum()
    low = start or min(values[-1], variance / (8 * n) * ratio)
    kappa = minima(slope, low, high)
    if start:
        kappa = np.append(start, kappa)
    level = spectrum.at(kappa, n)
    best = np.argmin(level.spread(energies, sigma))
    return 0.0 if start and best == 0 else float(level.ridge[best])


def optimal_source_ridge(
    problem, n, source_samples, *, source_noise=0.0, ridge=0.0, source_population=None
):
    """δ_S*, the ridge of pretraining after which ``finite_source_risk`` is least.

    At n = 0 and for a target that is the source it is the best for the source's own task. For
    transfer another is best; the noise of the target's labels does not matter.

    Parameters
    ----------
    problem, n, source_samples, source_noise, ridge, source_population
        As in ``finite_source_risk``.

    Returns
    -------
    float, or array of the common shape of n, ``source_samples``, ``source_noise`` and ``ridge``
        0 where interpolation is best or all ridges are equally good; infinity where the source is
        best ignored. A batch of teachers comes first.

    Notes
    -----
    The risk is Σᵢ λᵢ(κ/(λᵢ+κ))² E uᵢ², up to a factor and to what noise adds: E uᵢ² counts as far
    as the target samples do not see it. The minima are found from the derivative along κ_S, as in
    ``optimal_ridge``. Cost: a scan, O(d) per point, for each set of numbers; O(d²) if the
    populations have different eigenvectors. Source: thm-finite-source.
    """
    numbers = {"source_samples": source_samples, "source_noise": source_noise}
    shape, (n, ridge, *pretraining) = checks.flat_amounts(n=n, ridge=ridge, **numbers)
    own = checks.instance("problem", problem, TransferProblem).population
    level = Spectrum(own.eigenvalues).level(n, ridge)
    weights = own.eigenvalues * shares(level, own)[1] ** 2
    ridges = [
        [_source_ridge(estimate, *one) for one in zip(weights, *pretraining, strict=True)]
        for estimate in (EstimatedSource(one, source_population) for one in problem.each())
    ]
    return checks.plain(np.reshape(ridges, (*problem.gap.shape[:-1], *shape)))


def _source_ridge(estimate, weights, samples, noise):
    """δ_S* where an error of the source along an eigenvector counts with ``weights`` (d,)."""
    spectrum = estimate.spectrum
    if not 0 < samples < math.inf or spectrum.rank == 0:
        return 0.0
    values, counts = spectrum.values, spectrum.counts
    variance = (noise / estimate.size) ** 2 / spectrum.unit
    start = spectrum.level(samples).kappa.item() / spectrum.unit

    def slope(x):
        level = spectrum.at(np.exp(x), samples)
        slopes, sizes = estimate.slopes(level, estimate.spread(level, noise))
        with np.errstate(invalid="ignore"):
            return np.nan_to_num((slopes @ weights) / (sizes @ weights))

    # Below ``low`` as good as no ridge, above ``high`` as good as no source.
    low = start or min(values[-1], variance / samples or math.inf) / _WIDE
    high = max(values[0], (counts @ values + variance * counts.sum()) / samples) * _WIDE
    level = spectrum.at(np.append(low, minima(slope, low, high)), samples)
    risks = estimate.squares(level, estimate.spread(level, noise)) @ weights
    best = np.argmin(ten_digits(np.append(risks, estimate.ignored @ weights)))
    if best == risks.size:
        return math.inf
    return float(level.ridge[best]) if best > 0 else 0.0


def exchange_rate(
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
    """How many source samples one more target sample is worth, (∂R/∂n)/(∂R/∂n_S).

    Parameters
    ----------
    problem, n, source_samples, source_ridge, source_noise, ridge, noise, source_population
        As in ``finite_source_risk``; source samples are finite here.

    Returns
    -------
    float, or array of the common shape of all numbers
        At the margin, at equal risk. Negative where one of the two hurts, as before a peak;
        infinite where source samples change nothing and a target sample does; NaN where neither
        does, and at a peak. A batch of teachers comes first.

    Notes
    -----
    For isotropic inputs, no noise and no ridge (d‖θ_T‖²/(2θ_Sᵀθ_T − ‖θ_S‖²) − n_S)/(d − n). For 0
    samples, the limit. Cost: O(d) for each value, O(d²) if the two populations have different
    eigenvectors. Source: thm-finite-source, differentiated; cor-exchange.
    """
    checks.instance("problem", problem, TransferProblem)
    numbers = {"n": n, "source_samples": source_samples, "source_ridge": source_ridge}
    numbers |= {"source_noise": source_noise, "ridge": ridge, "noise": noise}
    shape, (n, samples, source_ridge, source_noise, ridge, noise) = checks.flat_amounts(**numbers)
    if np.isinf(samples).any():
        raise ValueError("source_samples must be finite, got inf")
    n, samples = np.maximum(n, _FIRST), np.maximum(samples, _FIRST)
    level = Spectrum(problem.population.eigenvalues).level(n, ridge)
    rates = []
    for one in problem.each():
        estimate = EstimatedSource(one, source_population)
        before = estimate.level(samples, source_ridge)
        rates.append(_exchange_rate(estimate, level, before, source_noise, noise / estimate.size))
    return checks.plain(np.reshape(rates, (*problem.gap.shape[:-1], *shape)))


def _exchange_rate(estimate, level, before, source_noise, noise):
    """(∂R/∂n)/(∂R/∂n_S) for one problem, from R + σ² = n(bias + σ²)/(n − df₂)."""
    own, n, spare = estimate.target, level.n, level.spare
    seen, unseen, _ = shares(level, own)
    felt = own.eigenvalues * unseen**2
    with np.errstate(divide="ignore", invalid="ignore"):
        squares = estimate.squares(before, estimate.spread(before, source_noise))
        # With one sample more log κ falls by 1/(n − df₂).
        bias, fall = np.vecdot(squares, felt), 2 * np.vecdot(squares, felt * seen)
        turn = 2 * np.sum(seen**2 * unseen, axis=-1)
        first = ((bias + noise**2) * (n * turn / spare - level.df2) - n * fall) / spare**2
        second = n / spare * np.vecdot(estimate.growth(before, source_noise), felt)
        first = np.where(np.isinf(level.kappa), 0.0, first)  # an infinite ridge hears no sample
        second = np.where(np.isinf(before.kappa), 0.0, second)
        return np.where(second == 0, -np.sign(first) * math.inf, first / second)


def optimal_stopping_time(problem, X, noise=0.0):
    """t*, the time along gradient flow on given inputs at which ``flow_risk`` is least.

    Parameters
    ----------
    problem, X, noise
        As in ``flow_risk``.

    Returns
    -------
    float, or array for teachers in batches
        0 where training never helps, nor would noise beyond 10⁵⁰ times the labels let one see it;
        infinity where it should go on to the end.

    Notes
    -----
    The risk may have several minima. All that a scan of 4 points per unit of log t separates are
    found from its derivative, and the best is taken. Cost: one thin SVD of X and O(d min(n, d)) per
    point of the scan. Source: thm-linear-bias.
    """
    risk = FlowRisk(problem, X)
    noise = risk.relative(checks.real("noise", noise, at_least=0))
    times = np.array([_stopping_time(one, noise) for one in risk.each()])
    with np.errstate(over="ignore"):
        times = times.reshape(problem.gap.shape[:-1]) / risk.scale / risk.scale
    return checks.plain(times)


def _stopping_time(risk, noise):
    """t* for one problem, in the units of its risk."""
    if risk.rates.size == 0 or noise > _LOUD:  # such noise hides what could be learned
        return 0.0
    times = minima(partial(risk.slope, noise=noise), *risk.span(noise))
    times = np.concatenate([[0.0], times, [math.inf]])
    return times[np.argmin(risk(times, noise))]
