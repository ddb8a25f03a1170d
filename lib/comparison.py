"""Random problems on which the measures of similarity and the bounds compete.

Contract: a wrong type is a TypeError; a wrong shape, an entry that is not finite, or a number out
of its range a ValueError. Both name the argument.
"""

import itertools

import numpy as np
import pandas as pd

from lib import bounds, checks, linear_regression, similarity
from lib.problem import Population, TransferProblem
from lib.sweep import sweep

__all__ = ["GAPS", "SPECTRA", "compete", "contest", "random_problem"]

SPECTRA = ("isotropic", "power law", "spiked")
GAPS = ("top", "bottom", "everywhere")
_DIM = 100
_DRAWS = 10
_RANKS = (10, 25, 50)


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
    dim = checks.integer("dim", dim, at_least=20)
    rng = checks.generator("rng", rng)
    match checks.choice("spectrum", spectrum, SPECTRA):
        case "isotropic":
            population = Population.isotropic(dim, rng.uniform(0.2, 1))
        case "power law":
            population = Population.power_law(dim, rng.uniform(0.25, 2))
        case "spiked":
            rank, tail = int(rng.integers(2, dim // 4 + 1)), 10 ** rng.uniform(-3, -0.5)
            population = Population.spiked(dim, rank, tail)
    width = int(rng.integers(dim // 20, dim // 4 + 1))
    chosen = {"top": slice(width), "bottom": slice(dim - width, dim), "everywhere": slice(dim)}
    u = np.zeros(dim)
    where = chosen[checks.choice("gap", gap, GAPS)]
    u[where] = rng.standard_normal(u[where].size)
    source = rng.standard_normal(dim)
    u, source = (10 ** rng.uniform(-0.5, 0.5) * v / np.linalg.norm(v) for v in (u, source))
    return TransferProblem(population, source, source + u)


def compete(spectrum, gap, rng, *, law="gaussian"):
    """A random problem, its measured risk, its bounds, and its measures of similarity.

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
        over these of ``risk``, ``e`` and the two bounds; and ``similarity.side_by_side``.

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
    } | similarity.side_by_side(problem, ranks=_RANKS)


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
