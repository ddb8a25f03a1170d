"""What is claimed about the speed of ``lib.exact_risk``.

Each function returns a table, as Markdown, and its targets: (target, measured, met).
"""

import math
from functools import partial

import numpy as np
from scipy.optimize import bisect
from timing import in_turns, table, timed

from lib.exact_risk import deep_linear_risk, linear_risk
from lib.linear_regression import learning_curve
from lib.planning import sample_complexity
from lib.problem import Population, TransferProblem

SEEDS = 20
POINTS = 100  # values of n on an exact curve
DIMENSIONS = (10**3, 10**4, 10**5, 10**6)
TURNS = 3


def against_simulation(d=1000):
    """One exact curve against the mean of 20 simulated ones, timed in turns."""
    problem, n = random_problem(d), np.linspace(1, d - 1, POINTS).round().astype(int)
    curves, formula, simulation = [], [], []
    for seed in range(SEEDS):
        seconds, exact = timed(partial(linear_risk, problem, n))
        formula.append(seconds)
        seconds, curve = timed(partial(simulate, problem, seed))
        simulation.append(seconds)
        curves.append(curve[n] / exact)
    formula, simulation = np.median(formula), sum(simulation)
    miss = np.abs(np.mean(curves, axis=0) - 1)
    error = np.std(curves, axis=0, ddof=1) / math.sqrt(SEEDS)
    row = [f"{value:.3g}" for value in (1e3 * formula, simulation, simulation / formula)]
    row += [f"{100 * value:.1f}" for value in (np.median(miss), miss.max(), np.median(error))]
    heads = (
        f"d|exact curve of {POINTS} n, ms|{SEEDS} simulated curves, s|times faster|"
        "median difference, %|largest, %|median standard error, %"
    )
    return table(heads.split("|"), [[d, *row]]), []


def against_bisection():
    """The exact curve against the common way: one bisection for κ at each n, by SciPy."""
    rows, ratios, differences = [], [], []
    for d in (1000, 20_000):
        problem, n = random_problem(d), np.linspace(1, d - 1, POINTS).round()
        ours, peer = partial(linear_risk, problem, n), partial(bisected, problem, n)
        seconds = in_turns({"ours": ours, "peer": peer})
        ratios.append(seconds["peer"] / seconds["ours"])
        differences.append(np.abs(ours() / peer() - 1).max())
        times = [f"{1e3 * value:.1f}" for value in seconds.values()]
        rows.append([f"{d:,}", *times, f"{ratios[-1]:.1f}", f"{differences[-1]:.0e}"])
    heads = f"d|exact curve of {POINTS} n, ms|by bisection, ms|times faster|largest difference"
    return table(heads.split("|"), rows), [
        ("exact curve: ≥ 10 × faster than a bisection per n", f"{min(ratios):.1f} ×")
        + (bool(min(ratios) >= 10),),
        ("exact curve: the bisection's values to 1e-8", f"{max(differences):.0e}")
        + (bool(max(differences) < 1e-8),),
    ]


def bisected(problem, sizes):
    """The formula as it is written, κ bracketed and found anew for each n."""
    values, u2 = problem.population.eigenvalues, problem.gap**2
    risks = []
    for n in sizes:
        root = bisect(
            lambda x, n=n: (values / (values + math.exp(x))).sum() - n,
            math.log(values[-1] * 1e-12),
            math.log(values.sum()),
            xtol=4 * np.finfo(float).eps,
        )
        kappa = math.exp(root)
        share = values / (values + kappa)
        bias = kappa**2 * (values * u2 / (values + kappa) ** 2).sum()
        risks.append(bias / (1 - (share**2).sum() / n))
    return np.array(risks)


def scaling():
    """The exact curve of 100 values of n, and n(ε), from d = 10³ to 10⁶."""
    best = {}
    for _ in range(TURNS):
        for d in DIMENSIONS:
            problem = random_problem(d)
            n = np.linspace(0, d - 1, POINTS)
            linear, curve = timed(partial(linear_risk, problem, n))
            seconds = (
                linear,
                timed(partial(deep_linear_risk, problem, n, 3))[0],
                timed(partial(sample_complexity, problem, curve[0] / 10))[0],
                timed(partial(sample_complexity, problem, curve[0] / 10, 3))[0],
            )
            best[d] = np.minimum(best.get(d, math.inf), seconds)
    rows = []
    for d, seconds in best.items():
        growth = f"{seconds[0] / best[d // 10][0]:.1f}" if d // 10 in best else ""
        rows.append([f"{d:,}", *(f"{value:.3g}" for value in seconds), growth])
    heads = (
        f"d|curve of {POINTS} n, s|at depth 3, s|sample complexity, s|at depth 3, s|"
        "growth of the curve"
    )
    last = best[10**6][0]
    target = (f"exact curve of {POINTS} n at d = 10⁶: ≤ 10 s", f"{last:.1f} s", bool(last <= 10))
    return table(heads.split("|"), rows), [target]


def random_problem(d):
    """λᵢ = 1/i, and teachers that have nothing in common."""
    teachers = np.random.default_rng(d).standard_normal((2, d)) / math.sqrt(d)
    return TransferProblem(Population.power_law(d, 1), *teachers)


def simulate(problem, seed):
    """The learning curve of one sample."""
    d = problem.population.dim
    return learning_curve(problem, problem.population.sample(d - 1, np.random.default_rng(seed)))
