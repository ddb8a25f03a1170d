"""Random problems on which the measures of similarity and the bounds compete.

Contract: a wrong type is a TypeError; a wrong shape, an entry that is not finite, or a number out
of its range a ValueError. Both name the argument.
"""

import itertools
from functools import partial

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from lib import bounds, checks, exact_risk, linear_regression, similarity
from lib.numerics import ten_digits
from lib.problem import Population, TransferProblem
from lib.sweep import sweep

__all__ = [
    "GAPS",
    "LENGTHS",
    "SPECTRA",
    "choose_source",
    "compete",
    "contest",
    "random_problem",
    "random_shelf",
]

SPECTRA = ("isotropic", "power law", "spiked")
GAPS = ("top", "bottom", "everywhere")
LENGTHS = ("free", "equal")
_DIM = 100
_DRAWS = 10


def random_problem(dim, spectrum, gap, rng):
    """A transfer problem drawn at random, of a kind: for comparing measures over many problems.

    Parameters
    ----------
    dim : int
        d, at least 20.
    spectrum : {"isotropic", "power law", "spiked"}
        The family of Σ, in the standard basis: variance uniform in [0.2, 1]; exponent uniform in
        [0.25, 2]; between 2 and d/4 spikes of 1 over a tail log-uniform in [10⁻³, 0.3].
    gap : {"top", "bottom", "everywhere"}
        Where the gap lives: in the first directions or the last, between d/20 and d/4 of them, or
        in all. Its length and that of the source are log-uniform in [0.3, 3].
    rng : numpy.random.Generator
        The source of randomness.

    Returns
    -------
    TransferProblem
    """
    population = _random_population(dim, spectrum, rng)
    u = _random_gap(population.dim, gap, rng)
    source = rng.standard_normal(population.dim)
    u, source = (10 ** rng.uniform(-0.5, 0.5) * v / np.linalg.norm(v) for v in (u, source))
    return TransferProblem(population, source, source + u)


def random_shelf(dim, spectrum, rng, *, count=15, lengths="free"):
    """One target, and many sources to fine-tune for it.

    Parameters
    ----------
    dim, spectrum, rng
        As in ``random_problem``.
    count : int
        Sources with each kind of gap.
    lengths : {"free", "equal"}
        Of the gaps: log-uniform in [0.3, 3], as in ``random_problem``, or all 1.

    Returns
    -------
    TransferProblem
        A batch with the sources (3 ``count``, d), in the order of ``GAPS``, and the target, a
        random vector of length 1, as often.
    """
    population = _random_population(dim, spectrum, rng)
    count = checks.integer("count", count, at_least=1)
    checks.choice("lengths", lengths, LENGTHS)
    target = rng.standard_normal(population.dim)
    target /= np.linalg.norm(target)
    kinds = np.repeat(GAPS, count)
    gaps = np.array([_random_gap(population.dim, kind, rng) for kind in kinds])
    free = 10 ** rng.uniform(-0.5, 0.5, len(kinds)) if lengths == "free" else 1.0
    gaps *= (free / np.linalg.norm(gaps, axis=1))[:, None]
    return TransferProblem(population, target - gaps, np.broadcast_to(target, gaps.shape))


def _random_population(dim, spectrum, rng):
    dim = checks.integer("dim", dim, at_least=20)
    rng = checks.generator("rng", rng)
    match checks.choice("spectrum", spectrum, SPECTRA):
        case "isotropic":
            return Population.isotropic(dim, rng.uniform(0.2, 1))
        case "power law":
            return Population.power_law(dim, rng.uniform(0.25, 2))
        case "spiked":
            rank, tail = int(rng.integers(2, dim // 4 + 1)), 10 ** rng.uniform(-3, -0.5)
            return Population.spiked(dim, rank, tail)


def _random_gap(dim, gap, rng):
    width = int(rng.integers(dim // 20, dim // 4 + 1))
    chosen = {"top": slice(width), "bottom": slice(dim - width, dim), "everywhere": slice(dim)}
    u = np.zeros(dim)
    where = chosen[checks.choice("gap", gap, GAPS)]
    u[where] = rng.standard_normal(u[where].size)
    return u


def compete(spectrum, gap, rng, *, law="gaussian"):
    """A random problem, its measured risk, its bounds, and its forecasts.

    Made for ``sweep`` over ``SPECTRA`` and ``GAPS``. The problem is the first thing drawn from
    ``rng``, so ``random_problem(100, spectrum, gap, rng)`` with the same seed is it.

    Parameters
    ----------
    spectrum, gap, rng
        As in ``random_problem``; d = 100.
    law : {"gaussian", "rademacher", "student", "sphere"}
        As in ``Population.sample``.

    Returns
    -------
    dict of str to scalar
        ``n``, uniform from 10 to 79; ``largest R / bound``, over ten samples of n inputs; the means
        over these of ``risk``, ``e`` and the two bounds; the exact risk, and that of the source,
        ``R(0)``.

    Notes
    -----
    Cost: ten eigenvalue and singular-value decompositions, some 50 ms. Source: thm-linear-bias,
    thm-linear-bound.
    """
    problem = random_problem(_DIM, spectrum, gap, checks.generator("rng", rng))
    n = int(rng.integers(10, 80))
    runs = []
    for _ in range(_DRAWS):
        X, y = problem.sample(n, rng, law=law)
        end = linear_regression.finetune(X, y, problem.source)
        e = bounds.covariance_error(problem.population, X)
        uniform = bounds.uniform_bound(problem, e)
        spectral = bounds.spectral_bound(problem, e)
        runs.append([problem.risk(end), e, uniform, spectral])
    risk, e, uniform, spectral = np.transpose(runs)
    return {
        "n": n,
        "largest R / bound": (risk / np.minimum(uniform, spectral)).max(),
        "risk": risk.mean(),
        "e": e.mean(),
        "uniform bound": uniform.mean(),
        "spectral bound": spectral.mean(),
        "exact risk": exact_risk.linear_risk(problem, n),
        "R(0)": similarity.weighted_squared_distance(problem),
    }


def contest(count, *, law="gaussian", progress=True):
    """``compete`` on ``count`` independent random problems of each spectrum and kind of gap.

    Parameters
    ----------
    count : int
        Problems of each of the nine kinds, at least 1.
    law : {"gaussian", "rademacher", "student", "sphere"}
        As in ``Population.sample``.
    progress : bool
        Show a progress bar, on stderr.

    Returns
    -------
    pandas.DataFrame
        9 ``count`` rows: ``spectrum``, ``gap`` and ``seed``, which is another in each row, so that
        no two problems share random numbers; and what ``compete`` returns.

    Notes
    -----
    Cost: some 50 ms for each problem, in parallel. Source: thm-linear-bound.
    """
    count = checks.integer("count", count, at_least=1)
    kinds = enumerate(itertools.product(SPECTRA, GAPS))
    tables = [
        sweep(
            compete,
            {"spectrum": [spectrum], "gap": [gap], "law": [law]},
            seeds=range(k * count, (k + 1) * count),
            progress=progress,
        )
        for k, (spectrum, gap) in kinds
    ]
    return pd.concat(tables, ignore_index=True).drop(columns="law")


def choose_source(spectrum, dim, n, rng, *, lengths="free"):
    """How well each measure ranks the sources of one random shelf by their risk after fine-tuning.

    Made for ``sweep``. Within a target Σ, n and θ_T are fixed: only the sources differ.

    Parameters
    ----------
    spectrum, dim, rng, lengths
        As in ``random_shelf``, whose shelf is the first thing drawn from ``rng``.
    n : int
        Samples, at least 1.

    Returns
    -------
    list of dict
        One for each ``measure``: ``rank correlation``, Spearman's, with the risk, which is the mean
        over 20 samples; and ``regret``, the risk of the source that the measure puts first over
        that of the best source, minus 1. NaN for a measure that calls all sources equal.

    Notes
    -----
    Cost: 20 eigenvalue and singular-value decompositions. The bounds are given the mean error e of
    these samples. Source: thm-linear-bound, thm-exact-risk.
    """
    shelf = random_shelf(dim, spectrum, rng, lengths=lengths)
    n = checks.integer("n", n, at_least=1)
    X = np.array([shelf.population.sample(n, rng) for _ in range(2 * _DRAWS)])
    risk = linear_regression.learning_curve(shelf, X)[..., -1].mean(axis=0)
    error = np.mean([bounds.covariance_error(shelf.population, sample) for sample in X])
    scores = _scores(shelf, n, error)
    return [{"measure": name, **_judge(score, risk)} for name, score in scores.items()]


def _scores(shelf, n, error):
    """Measure → scores of the sources of a shelf, lower is better."""
    quarter = shelf.population.dim // 4
    measures = {
        "Σ-distance, R(0)": similarity.weighted_squared_distance,
        "distance, uniform bound": similarity.squared_distance,
        "spectral bound": partial(bounds.spectral_bound, error=error),
        "top energy": partial(similarity.top_energy, rank=quarter),
        "tail energy": partial(similarity.tail_energy, rank=quarter),
        "cosine": lambda problem: -similarity.cosine(problem),
        "Σ-cosine": lambda problem: -similarity.weighted_cosine(problem),
        "exact risk": partial(exact_risk.linear_risk, n=n),
    }
    return {name: measure(shelf) for name, measure in measures.items()}


def _judge(score, risk):
    score = ten_digits(score, np.abs(score).max())  # gaps of equal length tie, up to rounding
    if np.ptp(score) == 0:
        return {"rank correlation": np.nan, "regret": np.nan}
    chosen = risk[np.argmin(score)]
    return {
        "rank correlation": spearmanr(score, risk).statistic,
        "regret": chosen / risk.min() - 1,
    }
