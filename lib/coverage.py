"""Do forecasts hold? Curves to come, forecast from few labels, against what is measured later.

Synthetic problems, whose risk is known, and targets on seven real data sets. Of a real target a few
labels are given to the forecast; training sets and tests are drawn from the others, so no label is
used twice.

Contract: a wrong type is a TypeError; a wrong shape, an entry that is not finite, or a number out
of its range a ValueError. Both name the argument.
"""

import functools
import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import nnls
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine

from lib import checks, datasets, real_data
from lib.exact_risk import linear_risk
from lib.forecast import labels_needed, learning_curve, length_ratio
from lib.numerics import ten_digits
from lib.planning import optimal_ridge
from lib.problem import Population, TransferProblem
from lib.row_space import RowSpace

__all__ = [
    "GAPS",
    "MISFITS",
    "PowerLaw",
    "TARGETS",
    "compete",
    "power_law",
    "ridge_errors",
    "synthetic",
    "task",
    "trained_errors",
]

GAPS = ("prior", "top", "sparse")
MISFITS = ("as it is", "of random sign", "shuffled", "normal")
TARGETS = {  # data set → how many targets there are; of the digits, any number of questions
    "digits": 20,
    "words": 11,
    "diabetes": 11,
    "wine": 16,
    "breast cancer": 31,
    "china": 6,
    "flower": 6,
}
_RIDGES = np.geomspace(1e-6, 1e2, 25)  # in units of the mean ‖x‖²
_SHARES = (0.2, 0.35, 0.5, 0.65, 0.8)  # of the labels: sizes of subsamples for the power law
_EXPONENTS = np.linspace(0.05, 2, 40)  # of power laws
_SPLITS, _DRAWS = 6, 6
_TEST = (60, 500)  # least and largest number of tests


def synthetic(gap, labels, rng):
    """Forecasts for one random problem of 80 dimensions, against its exact risk.

    Made for ``sweep``. Eigenvalues fall as a power law; the noise is 0.1, 0.3 or 1 of √R(0).

    Parameters
    ----------
    gap : {"prior", "top", "sparse"}
        u normal with E uᵢ² ∝ λᵢˢ, s uniform from −½ to 2; in the first eight directions alone; or
        four fifths of the directions of the first kind left out.
    labels : int
        N, at least 10.
    rng : numpy.random.Generator

    Returns
    -------
    list of dict
        For n = 1, 2, 4 and 8 times N: ``n``, ``times``, ``risk`` with the best ridge, ``low``,
        ``middle`` and ``high`` of the 80 % band, ``held`` and ``above``, whether it is in the band
        or above, 0 or 1, ``off``, the size of log(middle/risk), and the
        ``evidence``.

    Notes
    -----
    Cost: 0.1 s. Source: prop-forecast.
    """
    checks.choice("gap", gap, GAPS)
    labels = checks.integer("labels", labels, at_least=10)
    rng = checks.generator("rng", rng)
    population = Population.power_law(80, rng.uniform(0.3, 1.5))
    values = population.eigenvalues
    u = values ** (rng.uniform(-0.5, 2) / 2) * rng.standard_normal(80)
    if gap == "top":
        u = np.where(np.arange(80) < 8, rng.standard_normal(80), 0)
    if gap == "sparse":
        u[rng.permutation(80)[16:]] = 0
    problem = TransferProblem.from_gap(population, u / np.sqrt(population.squared_norm(u)))
    noise = float(rng.choice([0.1, 0.3, 1.0]))
    X, y = problem.sample(labels, rng, noise=noise)
    n = labels * np.array([1.0, 2, 4, 8])
    found = learning_curve(X, y, n, unlabelled=population.sample(500, rng), rng=rng)
    risk = linear_risk(problem, n, optimal_ridge(problem, n, noise), noise)
    rows = zip(n, risk, found.low, found.risk, found.high, strict=True)
    return [
        _against(size, labels, "risk", truth, ends) | {"evidence": found.evidence}
        for size, truth, *ends in rows
    ]


def task(data, target):
    """Inputs and labels of one target on real data, ``X`` (m, d) and ``y`` (m,).

    Parameters
    ----------
    data : {"digits", "words", "diabetes", "wine", "breast cancer", "china", "flower"}
        The last two are patches of photographs.
    target : int
        Digits: the number of a random question, is it among three, four or five of the ten.
        Photographs: the task. Words: one of ten people's ratings, then their mean. Else: what the
        data set is for, one class against the others if there are classes; then each of its columns
        from the others.

    Notes
    -----
    Tables are standardised, and they and the words have a last column of ones. Of the words those
    rated, one of each stem, 900 at random, the same for each target. Of a photograph patches that
    do not overlap. Cost: a fraction of a second, the first time.
    """
    checks.choice("data", data, tuple(TARGETS))
    target = checks.integer("target", target, at_least=0)
    if data != "digits" and target >= TARGETS[data]:
        raise ValueError(f"target must be below {TARGETS[data]} for {data}, got {target}")
    X, labels = _load(data)
    if data == "digits":
        rng = np.random.default_rng(target)
        yes = rng.permutation(10)[: rng.integers(3, 6)]
        return X, np.where(np.isin(labels, yes), 1.0, -1.0)
    column = target - labels.shape[1]
    if column < 0:
        return X, labels[:, target]
    return np.delete(X, column, axis=1), X[:, column]


@functools.cache
def _load(data):
    """Inputs (m, d), and labels (m, targets) or the digits."""
    if data == "digits":
        inputs = real_data.digits()
        return inputs.X, datasets.digits().target
    if data in ("china", "flower"):
        inputs = real_data.photographs()[data]
        return inputs.X, np.transpose(list(inputs.labels.values()))
    if data == "words":
        words = datasets.words()
        _, first = np.unique(words.stems, return_index=True)
        rated = first[~np.isnan(words.ratings[first]).any(axis=1)]
        rated = np.random.default_rng(0).permutation(rated)[:900]
        ratings = words.ratings[rated]
        labels = np.column_stack([ratings, ratings.mean(axis=1)])
        return _with_ones(words.data[rated]), labels
    loaders = {"diabetes": load_diabetes, "wine": load_wine, "breast cancer": load_breast_cancer}
    table = loaders[data]()
    X = (table.data - table.data.mean(axis=0)) / table.data.std(axis=0)
    if data == "diabetes":
        labels = (table.target - table.target.mean())[:, None] / table.target.std()
    else:
        classes = np.arange(table.target.max() + 1)[int(data == "breast cancer") :]
        labels = np.where(table.target[:, None] == classes, 1.0, -1.0)
    return _with_ones(X), labels


def _with_ones(X):
    return np.column_stack([X, np.ones(len(X))])


def compete(data, target, labels, rng, *, misfit="as it is"):
    """A forecast, a power law and leave-one-out against the errors measured on other labels.

    Made for ``sweep``. The error is the mean squared one on labels, R + σ², with the ridge that is
    best on the tests at each n; measured in the mean over six training sets.

    Parameters
    ----------
    data, target
        As in ``task``.
    labels : int
        N, at least 20, given to the forecasts; the other inputs give them the spectrum.
    rng : numpy.random.Generator
        Draws which.
    misfit : {"as it is", "of random sign", "shuffled", "normal"}
        What to do with y − Xθ_T, the misfit of the best linear teacher: nothing; give each a random
        sign; deal them out to other inputs; or draw normal noise of the same variance, and normal
        inputs of the same Σ.

    Returns
    -------
    list of dict
        For n = 1, 2, 4 and 8 times N, as far as there are labels: what ``synthetic`` returns, with
        ``measured`` for the risk; ``alarm``, the mean squared leave-one-out error over the error
        forecast for N − 1 labels; ``backtest``, the same with a forecast from the first half of
        the labels; ``length``, the ``length_ratio``; ``off, power law`` and ``off, no change``, as
        ``off``, of a power law and of the leave-one-out error; and ``needed``, ``needed, low``,
        ``needed, high`` and ``needed, power law``: the labels that the error measured at n takes,
        by the forecast, its band and the power law, divided by n.

    Notes
    -----
    Cost: some 0.2 s; words 1 s. Source: prop-forecast.
    """
    X, y = task(data, target)
    labels = checks.integer("labels", labels, at_least=20)
    if 2 * labels + _TEST[0] > len(X):
        raise ValueError(f"labels must be at most {(len(X) - _TEST[0]) // 2} for {data}")
    checks.choice("misfit", misfit, MISFITS)
    rng = checks.generator("rng", rng)
    rng = np.random.default_rng([rng.integers(2**32), target])  # targets do not share their draws
    X, y = _with_misfit(X, y, misfit, rng)
    order = rng.permutation(len(X))
    ours, rest = order[:labels], order[labels:]
    X, y, pool, answers = X[ours], y[ours], X[rest], y[rest]

    sizes = np.append(labels - 1.0, labels * 2.0 ** np.arange(9))
    inputs = Population.from_samples(pool)
    found = learning_curve(X, y, sizes, unlabelled=inputs, rng=rng)
    found = replace(found, curves=found.curves + found.noises[:, None] ** 2)
    bands = np.quantile(found.curves, [0.1, 0.5, 0.9], axis=0, method="nearest").T
    once, half = _left_out(X, y), labels // 2
    before = learning_curve(X[:half], y[:half], [labels - 1.0], unlabelled=inputs, rng=rng)
    before = np.median(before.curves[:, 0] + before.noises**2)
    lengths = length_ratio(X, y, unlabelled=inputs)
    law = power_law(*_subsampled(X, y, rng))
    rows = []
    for times in (1, 2, 4, 8):
        n = times * labels
        if n + _TEST[0] > len(rest):
            break
        measured = trained_errors(pool, answers, n, _DRAWS, rng).mean()
        ends = bands[times.bit_length()]
        needed = np.divide(labels_needed(found, measured), n)
        rows.append(
            _against(n, labels, "measured", measured, ends)
            | {
                "evidence": found.evidence,
                "alarm": once / bands[0, 1],
                "length": lengths,
                "backtest": once / before,
                "off, power law": abs(math.log(law(n) / measured)),
                "off, no change": abs(math.log(once / measured)),
                "needed": needed[0],
                "needed, low": needed[1],
                "needed, high": needed[2],
                "needed, power law": law.needed(measured) / n,
            }
        )
    return rows


def _against(n, labels, name, value, ends):
    """A row: what was forecast of ``value``, and how far off it is."""
    low, middle, high = map(float, ends)
    return {
        "n": int(n),
        "times": int(n) // labels,
        name: float(value),
        "low": low,
        "middle": middle,
        "high": high,
        "held": float(low <= value <= high),
        "above": float(value > high),
        "off": abs(math.log(middle / value)),
    }


def _with_misfit(X, y, misfit, rng):
    if misfit == "as it is":
        return X, y
    linear = X @ datasets.readout(X, y)
    left = y - linear
    if misfit == "of random sign":
        return X, linear + rng.choice([-1.0, 1.0], len(y)) * left
    if misfit == "shuffled":
        return X, linear + rng.permutation(left)
    inputs = Population.from_samples(X).sample(len(X), rng)
    noise = np.std(left) * rng.standard_normal(len(y))
    return inputs, inputs @ datasets.readout(X, y) + noise


def trained_errors(X, y, n, draws, rng):
    """Mean squared errors after training from scratch on n of the samples, tested on others.

    Parameters
    ----------
    X, y : array (m, d), array (m,)
        m > n.
    n, draws : int
        Samples to train on, and how many times they are drawn.
    rng : numpy.random.Generator

    Returns
    -------
    array (draws,)
        With the one ridge, of 25, whose mean error is the least. At most 500 others are tested.
    """
    X, y = checks.samples(X, y)
    n = checks.integer("n", n, at_least=1, at_most=len(X) - 1)
    draws = checks.integer("draws", draws, at_least=1)
    rng = checks.generator("rng", rng)
    errors = np.empty((draws, _RIDGES.size))
    for k in range(draws):
        order = rng.permutation(len(X))
        train, test = order[:n], order[n : n + _TEST[1]]
        errors[k] = ridge_errors(X[train], y[train], X[test], y[test], _ridges(X))
    return errors[:, np.argmin(ten_digits(errors.mean(axis=0)))]


def _ridges(X):
    return _RIDGES * np.mean(np.sum(X**2, axis=1))


def ridge_errors(X, y, X_test, y_test, ridges):
    """Mean squared errors on tests after training from scratch with each ridge, (k,).

    Parameters
    ----------
    X, y : array (n, d), array (n,)
    X_test, y_test : array (m, d), array (m,)
    ridges : array (k,)
        Positive.

    Notes
    -----
    Cost: one eigenvalue problem for all ridges, O(nd min(n, d)).
    """
    X, y = checks.samples(X, y)
    X_test = checks.samples(X_test, dim=X.shape[1], name="X_test")
    y_test = checks.array("y_test", y_test, (len(X_test),))
    ridges = checks.array("ridges", ridges, (None,))
    if ridges.size == 0 or ridges.min() <= 0:
        raise ValueError("ridges must be positive numbers, at least one")
    few = len(X) < X.shape[1]
    values, vectors = np.linalg.eigh(X @ X.T if few else X.T @ X)
    features = ((X_test @ X.T) if few else X_test) @ vectors
    answers = vectors.T @ (y if few else X.T @ y)
    shrunk = answers[:, None] / (values[:, None] + ridges)
    return np.mean((features @ shrunk - y_test[:, None]) ** 2, axis=0)


def _left_out(X, y):
    """Mean squared leave-one-out error, with the ridge that has the least."""
    space = RowSpace(X)
    return min(np.mean(space.leave_one_out(y, ridge) ** 2) for ridge in _ridges(X))


def _subsampled(X, y, rng):
    """Sizes of subsamples of the labels, and the errors after training on them, on the others."""
    sizes = [round(share * len(X)) for share in _SHARES]
    return sizes, [trained_errors(X, y, n, _SPLITS, rng).mean() for n in sizes]


@dataclass(frozen=True)
class PowerLaw:
    """A learning curve a + b n⁻ᶜ; called with n it is the error there."""

    a: float
    b: float
    c: float

    def __call__(self, n):
        """The error after training on n labels."""
        return self.a + self.b * n**-self.c

    def needed(self, error):
        """The n ≥ 1 from which on the error is at most ``error``; infinity if it never is."""
        if error >= self.a + self.b:
            return 1.0
        if error <= self.a:
            return math.inf
        return ((error - self.a) / self.b) ** (-1 / self.c)


def power_law(n, errors):
    """Fit a + b n⁻ᶜ with a, b ≥ 0 to a learning curve, as is common practice.

    Parameters
    ----------
    n, errors : array (k,)
        Positive; at least three.

    Returns
    -------
    PowerLaw
        With the least sum of squared relative deviations; c from 0.05 to 2 in steps of 0.05.

    Examples
    --------
    >>> power_law([10, 20, 40, 80], [0.3, 0.2, 0.15, 0.125])
    PowerLaw(a=0.1, b=2.0, c=1.0)
    """
    n = checks.array("n", n, (None,))
    errors = checks.array("errors", errors, n.shape)
    if n.size < 3 or n.min() <= 0:
        raise ValueError("n must be positive numbers, at least three")
    if errors.min() <= 0:
        raise ValueError("errors must be positive")
    fits = []
    for c in _EXPONENTS:
        scale = n.min() ** -c  # so that both columns are near 1
        terms = np.column_stack([np.ones_like(n), n**-c / scale]) / errors[:, None]
        (a, b), left = nnls(terms, np.ones_like(n))
        fits.append((left, a, b / scale, c))
    best = np.argmin(np.round([left for left, *_ in fits], 10))
    return PowerLaw(*(float(ten_digits(x)) for x in fits[best][1:]))
