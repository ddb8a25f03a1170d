"""Random problems on which the measures of similarity and the bounds compete."""

import itertools

import numpy as np
import pandas as pd

from lib import bounds, checks, linear_regression, similarity
from lib.problem import GAPS, SPECTRA, random_problem
from lib.sweep import sweep

_DIM = 100
_DRAWS = 10
_RANKS = (10, 25, 50)


def compete(spectrum, gap, rng, *, law="gaussian"):
    """A random problem, its measured risk, its bounds, and its measures of similarity.

    Made for ``sweep`` over ``problem.SPECTRA`` and ``problem.GAPS``. The problem is the first thing
    drawn from ``rng``, so ``random_problem(100, spectrum, gap, rng)`` with the same seed is it.

    Parameters
    ----------
    spectrum, gap, rng
        As in ``problem.random_problem``; d = 100.
    law : {"gaussian", "rademacher", "student", "sphere"}
        As in ``Population.sample``.

    Returns
    -------
    dict of str to scalar
        ``n``, uniform from 10 to 79; ``largest R / bound``, over ten samples of n inputs; the means
        over these of ``risk``, ``e`` and the two bounds; and ``similarity.side_by_side``.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.

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

    Raises
    ------
    TypeError, ValueError
        If ``count`` or ``law`` is not as above.

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
