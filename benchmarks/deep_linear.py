"""What is claimed about the speed of ``lib.deep_linear``.

Each function returns a table, as Markdown, and its targets: (target, measured, met).
"""

import math
from functools import partial

import numpy as np
from timing import in_turns, table, timed

from lib import deep_linear, linear_regression
from lib.networks import DeepLinearNetwork
from lib.problem import Population, TransferProblem
from lib.training import stable_learning_rate, train

DEPTHS = (1, 2, 3, 5, 7, 10, math.inf)
STEPS = (1, 0.1, 0.01)  # of the largest that is stable at the start


def end_point_table(d=500, n=50, depth=7, width=10, loss=1e-10):
    """The end point of balanced layers in closed form, and by descent down to ``loss``."""
    return against_descent(d, n, depth, width, loss)


def layer_end_point_table(d=500, n=50, depth=3, width=10, loss=1e-10):
    """The same for layers of which the first is three times as large, each with a rate."""
    return against_descent(d, n, depth, width, loss, first=3.0, rates=np.linspace(1, 0.3, depth))


def against_descent(d, n, depth, width, loss, first=None, rates=None):
    """Descent in large steps is quick, but ends elsewhere than the flow, in proportion to the step.

    The target is set against the smallest step, which ends within 1e-3 of it.
    """
    rng = np.random.default_rng(0)
    source, other = rng.standard_normal((2, d)) / math.sqrt(d)
    problem = TransferProblem(Population.power_law(d, 1), source, source + other)
    X, y = problem.sample(n, rng)
    layers = deep_linear.balanced_layers(source, depth, width, rng)
    task, kind = partial(deep_linear.finetune, X, y, source, depth), "balanced"
    if first is not None:
        factors = np.array([first, *[first ** (-1 / (depth - 1))] * (depth - 1)])
        layers = [factor * W for factor, W in zip(factors, layers, strict=True)]
        norms = factors * np.linalg.norm(source) ** (1 / depth)
        task = partial(deep_linear.finetune_layers, X, y, source, norms, rates)
        kind = f"first layer × {first:g}, rates"
    beta, closed = task(), in_turns({"": task})[""]
    start = np.mean((X @ source - y) ** 2) / 2

    rows, ratios, misses = [["closed form", "", f"{1e3 * closed:.2f} ms", "", ""]], [], []
    for step in STEPS:
        network = DeepLinearNetwork(layers)
        rate = step * stable_learning_rate(network, X)
        options = {"learning_rate": rate, "rates": rates, "tolerance": loss / start}
        seconds, run = timed(partial(train, network, X, y, **options, progress=False))
        ratios.append(seconds / closed)
        misses.append(np.linalg.norm(network.linear_map() - beta) / np.linalg.norm(beta))
        row = [f"descent, {step:g} of the stable step", f"{run.steps:,}", f"{seconds:.1f} s"]
        rows.append([*row, f"{ratios[-1]:,.0f}", f"{misses[-1]:.1e}"])
    case = f"d = {d}, n = {n}, L = {depth}, {kind}"
    heads = [case, "steps", "time", "times slower", "distance, relative"]
    # Descent is as fast as one lets it be wrong: judged is the run that agrees to three digits.
    target = (
        f"end point at {case}: ≥ 1000 × faster than the finest descent",
        f"{ratios[-1]:,.0f} × (distance {misses[-1]:.1e})",
        bool(ratios[-1] >= 1000 and misses[-1] <= 1e-3),
    )
    return table(heads, rows), [target]


def learning_curve_table(d=1000):
    """The curves of seven depths, for all n, against the one of linear regression."""
    rng = np.random.default_rng(0)
    problem = TransferProblem(Population.power_law(d, 1), *rng.standard_normal((2, d)))
    X = problem.population.sample(d, rng)
    best = in_turns(
        {
            "linear_regression.learning_curve": partial(
                linear_regression.learning_curve, problem, X
            ),
            "deep_linear.learning_curve, 1 depth": partial(
                deep_linear.learning_curve, problem, X, 7
            ),
            "deep_linear.learning_curve, 7 depths": partial(
                deep_linear.learning_curve, problem, X, DEPTHS
            ),
        }
    )
    linear = best["linear_regression.learning_curve"]
    rows = [[name, f"{1e3 * s:.0f}", f"{s / linear:.2f}"] for name, s in best.items()]
    ratio = best["deep_linear.learning_curve, 7 depths"] / linear
    target = (
        f"learning curves of 7 depths at d = {d}: ≤ 2.5 times the one of linear regression",
        f"{ratio:.2f}",
        bool(ratio <= 2.5),
    )
    return table([f"all n at d = {d}", "ms", "relative"], rows), [target]


def layer_curve_table(d=1000, count=50, depth=3):
    """The curves of layers of many imbalances, for all n, against the one of linear regression."""
    rng = np.random.default_rng(0)
    source, other = rng.standard_normal((2, d))
    problem = TransferProblem(Population.power_law(d, 1), source, source + 0.3 * other)
    X = problem.population.sample(d, rng)
    norms = np.ones((count, depth))
    norms[:, 0] = np.geomspace(1e-3, 1e3, count)
    norms *= (np.linalg.norm(source) / norms.prod(axis=1, keepdims=True)) ** (1 / depth)
    best = in_turns(
        {
            "linear_regression.learning_curve": partial(
                linear_regression.learning_curve, problem, X
            ),
            f"deep_linear.layer_curve, {count} imbalances": partial(
                deep_linear.layer_curve, problem, X, norms
            ),
        }
    )
    linear, layers = best.values()
    rows = [[name, f"{1e3 * s:.0f}", f"{s / linear:.2f}"] for name, s in best.items()]
    target = (
        f"{count} imbalances × all n at d = {d}: ≤ 2.1 times one linear learning curve",
        f"{layers / linear:.2f}",
        bool(layers / linear <= 2.1),
    )
    return table([f"all n at d = {d}, L = {depth}", "ms", "relative"], rows), [target]
