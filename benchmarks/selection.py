"""What is claimed about the speed of ``lib.selection`` and ``lib.transferability``.

Each function returns a table, as Markdown, and its targets: (target, measured, met).
"""

import math
from functools import partial

import numpy as np
from sklearn.linear_model import RidgeCV
from timing import in_turns, table

from lib.forecast import learning_curve
from lib.linear_regression import finetune
from lib.selection import compare, rank_sources
from lib.transferability import logme

SHAPES = ((50, 400), (400, 300), (1000, 100), (300, 2000))
SOURCES = (20, 100)


def leave_one_out():
    """All leave-one-out errors of many sources, against scikit-learn's for the same ridge."""
    rows, targets = [], []
    for n, d in SHAPES:
        rng = np.random.default_rng(n)
        X, theta = rng.standard_normal((n, d)), rng.standard_normal(d)
        y = X @ theta + rng.standard_normal(n)
        for count in SOURCES:
            sources = theta + rng.standard_normal((count, d))
            peer = partial(ridge_cv, X, y, sources)
            ours = partial(rank_sources, X, y, sources, ridge=1.0)
            seconds = in_turns({"ours": ours, "peer": peer})
            difference = np.abs(ours()[1] / peer() - 1).max()
            ratio = seconds["ours"] / seconds["peer"]
            times = [f"{1e3 * seconds[name]:.2f}" for name in ("ours", "peer")]
            rows.append([f"{n} × {d}", count, *times, f"{ratio:.2f}", f"{difference:.0e}"])
            targets.append((ratio, difference))
    worst, difference = np.max(targets, axis=0)
    heads = "n × d|sources|rank_sources, ms|RidgeCV, ms|ratio|largest relative difference"
    return table(heads.split("|"), rows), [
        ("rank_sources: never slower than RidgeCV", f"{worst:.2f} ×", bool(worst <= 1)),
        ("rank_sources: RidgeCV's numbers to 1e-10", f"{difference:.0e}", bool(difference < 1e-10)),
    ]


def nested():
    """Leave-one-out with the ridge that the others choose, against refitting without two."""
    rows, targets = [], []
    for n, d, count in ((16, 30, 2), (24, 10, 2)):
        rng = np.random.default_rng(n)
        X, theta = rng.standard_normal((n, d)), rng.standard_normal(d)
        y = X @ theta + rng.standard_normal(n)
        sources = theta + rng.standard_normal((count, d))
        ridges = [0.1, 1.0, 10.0]
        candidates = {str(k): (X, source) for k, source in enumerate(sources)}
        ours = partial(compare, candidates, y, ridges=ridges)
        refits = partial(refitted, X, y, sources, ridges)
        seconds = in_turns({"ours": ours, "refits": refits})
        difference = np.abs(ours()["error"][list(candidates)] / refits() - 1).max()
        ratio = seconds["refits"] / seconds["ours"]
        times = [f"{1e3 * seconds[name]:.1f}" for name in ("ours", "refits")]
        rows.append([f"{n} × {d}", count, *times, f"{ratio:.0f}", f"{difference:.0e}"])
        targets.append((ratio, difference))
    least, worst = min(r for r, _ in targets), max(d for _, d in targets)
    heads = "n × d|sources|compare, ms|refits, ms|times as fast|largest relative difference"
    return table(heads.split("|"), rows), [
        ("compare: 30 times as fast as refitting", f"{least:.0f} ×", bool(least >= 30)),
        ("compare: the numbers of refitting to 1e-7", f"{worst:.0e}", bool(worst < 1e-7)),
    ]


def refitted(X, y, sources, ridges):
    """The nested errors by refitting without each pair of samples."""
    n = len(y)

    def square(source, ridge, left, tested):
        rest = np.delete(np.arange(n), left)
        theta = finetune(X[rest], y[rest], source, ridge=ridge)
        return (y[tested] - X[tested] @ theta) ** 2

    errors = np.zeros(len(sources))
    for k, source in enumerate(sources):
        for i in range(n):
            others = [j for j in range(n) if j != i]
            best = min(
                ridges, key=lambda r: np.mean([square(source, r, [i, j], j) for j in others])
            )
            errors[k] += square(source, best, [i], i) / n
    return errors


def forecasting():
    """A forecast of ten sizes from fifty labels with a band, inputs for the spectrum included."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((2000, 256)) / np.arange(1, 257) ** 0.5
    y = X[:50] @ rng.standard_normal(256) + rng.standard_normal(50)
    n = np.geomspace(50, 3200, 10)
    task = partial(learning_curve, X[:50], y, n, unlabelled=X, rng=rng)
    seconds = in_turns({"forecast": task})["forecast"]
    rows = [["50 × 256", 2000, 10, f"{seconds:.2f}"]]
    target = "forecast: 50 labels × 256 features × band: under 5 s"
    heads = "labels × features|unlabelled inputs|sizes|seconds"
    return table(heads.split("|"), rows), [(target, f"{seconds:.2f} s", seconds < 5)]


def ridge_cv(X, y, sources):
    """The same scores from scikit-learn: one target per source."""
    model = RidgeCV([1.0], fit_intercept=False, store_cv_results=True)
    return model.fit(X, y[:, None] - X @ sources.T).cv_results_[..., 0].mean(axis=0)


def evidence():
    """LogME against the iteration its authors published, where that is right and where not."""
    rows, ratios = [], []
    for n, d in ((2000, 300), (100, 400)):
        rng = np.random.default_rng(n)
        F = rng.standard_normal((n, d))
        y = F @ rng.standard_normal(d) / math.sqrt(d) + rng.standard_normal(n)
        ours, published = partial(logme, F, y), partial(fixed_point, F, y)
        seconds = in_turns({"ours": ours, "published": published})
        ratios.append(seconds["ours"] / seconds["published"])
        times = [f"{1e3 * value:.2f}" for value in seconds.values()]
        best = largest_evidence(F, y)
        scores = [f"{value:.6f}" for value in (ours(), published(), best)]
        rows.append([f"{n} × {d}", *times, f"{ratios[-1]:.2f}", *scores])
    heads = "n × D|logme, ms|published, ms|ratio|logme|published|largest evidence on a grid"
    target = "logme at 2000 × 300: ≤ 1.5 × the published iteration"
    return table(heads.split("|"), rows), [(target, f"{ratios[0]:.2f} ×", bool(ratios[0] <= 1.5))]


def fixed_point(F, y, steps=11):
    """The published iteration: α, β in turns from 1, on the eigenvalues of FᵀF."""
    n, d = F.shape
    _, s, Vt = np.linalg.svd(F.T @ F)
    s = np.sqrt(s)
    kept = s > 1e-10
    U, s = (F @ Vt.T)[:, kept] / s[kept], s[kept] ** 2
    z2 = (U.T @ y) ** 2
    rest = y @ y - z2.sum()
    alpha = beta = 1.0
    for _ in range(steps):
        t = alpha / beta
        gamma = (s / (s + t)).sum()
        m2 = (s * z2 / (s + t) ** 2).sum()
        res = (z2 / (1 + s / t) ** 2).sum() + rest
        alpha, beta = gamma / (m2 + 1e-5), (n - gamma) / (res + 1e-5)
        if abs(alpha / beta - t) <= 1e-3 * t:
            break
    evidence = d / 2 * math.log(alpha) + n / 2 * math.log(beta) - np.log(alpha + beta * s).sum() / 2
    return (evidence - beta / 2 * res - alpha / 2 * m2 - n / 2 * math.log(2 * math.pi)) / n


def largest_evidence(F, y):
    """The evidence itself, with the best β, over a grid of α/β: slow, and without a trick."""
    n = len(F)
    values, vectors = np.linalg.eigh(F @ F.T)
    z2 = (vectors.T @ y) ** 2
    t = np.exp(np.linspace(-20, 20, 4001))[:, None]
    shares = 1 + np.maximum(values, 0) / t
    quadratic = (z2 / shares).sum(axis=1)
    costs = n * np.log(quadratic / n) + np.log(shares).sum(axis=1)
    return -(1 + math.log(2 * math.pi) + costs.min() / n) / 2
