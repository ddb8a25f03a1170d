"""Forecasts against what is measured: the parts of the experiment; and no label serves twice."""

import math

import numpy as np
import pytest
from scipy.optimize import curve_fit

from lib import coverage, datasets, forecast
from lib.coverage import PowerLaw, compete, power_law, ridge_errors, synthetic, task, trained_errors
from lib.problem import Population


def generator(seed=0):
    """Return a generator."""
    return np.random.default_rng(seed)


@pytest.mark.parametrize("n", [7, 40])
def test_ridge_errors_are_those_of_the_normal_equations(n):
    rng = generator(1)
    X, Z = rng.standard_normal((n, 12)), rng.standard_normal((30, 12))
    y, z, ridges = rng.standard_normal(n), rng.standard_normal(30), [0.01, 1.0, 50.0]
    found = ridge_errors(X, y, Z, z, ridges)
    for ridge, error in zip(ridges, found, strict=True):
        theta = np.linalg.solve(X.T @ X + ridge * np.eye(12), X.T @ y)
        assert error == pytest.approx(np.mean((Z @ theta - z) ** 2), rel=1e-9)


def test_trained_errors_test_on_others_with_one_ridge():
    """Labels of a linear teacher are learned; noise costs at least its variance."""
    rng = generator(2)
    X = rng.standard_normal((400, 10))
    linear = X @ rng.standard_normal(10)
    assert trained_errors(X, linear, 50, 4, rng).max() < 1e-8 * np.var(linear)
    noise = rng.standard_normal(400)
    found = trained_errors(X, noise, 11, 20, rng)
    assert found.shape == (20,) and found.mean() > 0.95
    one_hot = trained_errors(np.eye(200), np.ones(200), 100, 3, rng)
    np.testing.assert_allclose(one_hot, 1)  # tests on what was trained on would be below
    assert found.mean() < 1.2  # so a large ridge was chosen; near n = d a small one costs far more


def test_power_law_is_the_least_squares_fit():
    """Exact curves are found, and noisy ones no worse than by curve_fit, in relative deviations."""
    n = np.array([12.0, 21, 30, 39, 48])
    assert power_law(n, 0.2 + 3 / n) == PowerLaw(0.2, 3.0, 1.0)
    rng = generator(3)

    def law(m, a, b, c):
        return a + b * m**-c

    for _ in range(10):
        errors = law(n, 0.2, 2.0, rng.uniform(0.2, 1.8)) * np.exp(0.1 * rng.standard_normal(5))
        options = {"p0": (0.1, 1, 1), "bounds": (0, [np.inf, np.inf, 2]), "maxfev": 20_000}
        best = law(n, *curve_fit(law, n, errors, sigma=errors, **options)[0])
        ours = np.array([power_law(n, errors)(m) for m in n])
        assert np.sum((ours / errors - 1) ** 2) < np.sum((best / errors - 1) ** 2) * 1.01 + 1e-4


def test_power_law_and_its_inverse():
    law = PowerLaw(0.1, 2.0, 0.5)
    assert law(law.needed(0.3)) == pytest.approx(0.3)
    assert law.needed(0.1) == law.needed(0.05) == math.inf
    assert law.needed(2.1) == law.needed(9.0) == 1
    assert PowerLaw(0.1, 0.0, 0.5).needed(0.1) == 1


@pytest.mark.parametrize("data", coverage.TARGETS)
def test_tasks(data):
    first, second = (task(data, k) for k in (0, coverage.TARGETS[data] - 1))
    for X, y in (first, second):
        assert X.ndim == 2 and y.shape == (len(X),) and np.isfinite(X).all()
        assert np.linalg.norm(y) > 0
        assert not np.isclose(X.T, y).all(axis=1).any()  # the target is not among the inputs
    assert not np.array_equal(first[1], second[1])
    if data in ("diabetes", "wine", "breast cancer"):
        X, y = second
        np.testing.assert_allclose([y.mean(), y.std()], [0, 1], atol=1e-10)
        np.testing.assert_allclose(X.mean(axis=0), [*np.zeros(X.shape[1] - 1), 1], atol=1e-10)


def test_one_word_of_each_stem_and_questions_about_digits():
    words = datasets.words()
    X, _ = task("words", 0)
    found = {tuple(row) for row in X[:, :-1]}
    stems = [s for s, row in zip(words.stems, words.data, strict=True) if tuple(row) in found]
    _, counts = np.unique(stems, return_counts=True)
    assert len(X) == len(found) and np.mean(counts == 1) > 0.9  # inflections may share tokens
    digits = datasets.digits().target
    _, y = task("digits", 7)
    yes = set(digits[y == 1])
    assert 3 <= len(yes) <= 5 and not yes & set(digits[y == -1])


def spied(monkeypatch, data, target, seed=0):
    """Run ``compete``, and return its rows, and the samples given to forecasts and to training."""
    seen = {"forecast": [], "train": []}
    real_curve, real_errors = coverage.learning_curve, coverage.trained_errors

    def curve(X, y, n, **options):
        seen["forecast"].append((X, y, options["unlabelled"]))
        return real_curve(X, y, n, **options)

    def errors(X, y, n, draws, rng):
        seen["train"].append((X, n))
        return real_errors(X, y, n, draws, rng)

    monkeypatch.setattr(coverage, "learning_curve", curve)
    monkeypatch.setattr(coverage, "trained_errors", errors)
    return compete(data, target, 30, generator(seed)), seen


def rows_of(X):
    """Return the rows as a set."""
    return {tuple(row) for row in X}


def test_no_label_serves_twice(monkeypatch):
    rows, seen = spied(monkeypatch, "diabetes", 0)
    X, y, population = seen["forecast"][0]
    ours = rows_of(X)
    pool = seen["train"][-1][0]
    assert len(X) == len(y) == 30 and not ours & rows_of(pool)
    np.testing.assert_array_equal(population.eigenvalues, Population.from_samples(pool).eigenvalues)
    assert rows_of(seen["forecast"][1][0]) < ours and len(seen["forecast"][1][0]) == 15
    inside = [inputs for inputs, n in seen["train"] if n < 30]
    outside = [inputs for inputs, n in seen["train"] if n >= 30]
    assert len(inside) == 5 and all(rows_of(inputs) == ours for inputs in inside)
    assert len(outside) == len(rows) == 4
    assert all(rows_of(inputs) == rows_of(pool) for inputs in outside)


def test_targets_do_not_share_their_draws(monkeypatch):
    first = spied(monkeypatch, "digits", 0)[1]["forecast"][0][0]
    second = spied(monkeypatch, "digits", 1)[1]["forecast"][0][0]
    assert not np.array_equal(first, second)


def test_rows_say_what_they_promise():
    """Bands, checks and numbers against a forecast and leave-one-out of our own."""
    rows = compete("diabetes", 0, 40, generator(5))
    assert [row["n"] for row in rows] == [40, 80, 160, 320]
    for row in rows:
        assert row["low"] <= row["middle"] <= row["high"]
        assert row["held"] == (row["low"] <= row["measured"] <= row["high"])
        assert row["above"] == (row["measured"] > row["high"])
        assert row["off"] == pytest.approx(abs(math.log(row["middle"] / row["measured"])))
        assert row["needed, low"] <= row["needed"] <= row["needed, high"]
    rng = generator(5)
    rng = np.random.default_rng([rng.integers(2**32), 0])
    X, y = task("diabetes", 0)
    order = rng.permutation(len(X))
    ours, rest = order[:40], order[40:]
    n = np.append(39.0, 40 * 2.0 ** np.arange(9))
    found = forecast.learning_curve(X[ours], y[ours], n, unlabelled=X[rest], rng=rng)
    errors = found.curves + found.noises[:, None] ** 2
    once = math.inf
    for ridge in np.geomspace(1e-6, 1e2, 25) * np.mean(np.sum(X[ours] ** 2, axis=1)):
        left = []
        for i in range(40):
            others = np.delete(ours, i)
            A = X[others].T @ X[others] + ridge * np.eye(X.shape[1])
            left.append(y[ours[i]] - X[ours[i]] @ np.linalg.solve(A, X[others].T @ y[others]))
        once = min(once, np.mean(np.square(left)))
    assert rows[0]["evidence"] == pytest.approx(found.evidence)
    middle = np.quantile(errors, 0.5, axis=0, method="nearest")
    assert rows[0]["alarm"] == pytest.approx(once / middle[0], rel=1e-6)
    assert [row["middle"] for row in rows] == pytest.approx(middle[1:5].tolist())
    off = [abs(math.log(once / row["measured"])) for row in rows]
    assert [row["off, no change"] for row in rows] == pytest.approx(off, rel=1e-6)


def test_misfits_keep_what_they_say():
    X, y = task("breast cancer", 0)
    linear = X @ datasets.readout(X, y)
    left = y - linear
    same, signed = coverage._with_misfit(X, y, "of random sign", generator())
    np.testing.assert_array_equal(same, X)
    np.testing.assert_allclose(np.abs(signed - linear), np.abs(left), atol=1e-10)
    assert 0.4 < np.mean(np.sign(signed - linear) == np.sign(left)) < 0.6
    same, shuffled = coverage._with_misfit(X, y, "shuffled", generator())
    np.testing.assert_array_equal(same, X)
    np.testing.assert_allclose(np.sort(shuffled - linear), np.sort(left), atol=1e-10)
    assert abs(np.corrcoef(shuffled - linear, left)[0, 1]) < 0.2
    inputs, normal = coverage._with_misfit(X, y, "normal", generator())
    noise = normal - inputs @ datasets.readout(X, y)
    assert np.std(noise) == pytest.approx(np.std(left), rel=0.1)
    S, other = X.T @ X / len(X), inputs.T @ inputs / len(inputs)
    assert np.linalg.norm(S - other) < 0.2 * np.linalg.norm(S)


@pytest.mark.parametrize("gap", coverage.GAPS)
def test_synthetic_rows(gap):
    rows = synthetic(gap, 30, generator(4))
    assert [row["n"] for row in rows] == [30, 60, 120, 240]
    risk = [row["risk"] for row in rows]
    assert all(0 < b < a < 1.5 for a, b in zip(risk, risk[1:], strict=False))
    assert all(row["held"] == (row["low"] <= row["risk"] <= row["high"]) for row in rows)
    assert any(row["held"] for row in rows)
    assert all(row["above"] == (row["risk"] > row["high"]) for row in rows)
    again = synthetic(gap, 30, generator(4))
    assert again == rows


@pytest.mark.parametrize(
    ("call", "name", "error"),
    [
        (lambda: task("mnist", 0), "data", ValueError),
        (lambda: task("china", 6), "target", ValueError),
        (lambda: task("digits", -1), "target", ValueError),
        (lambda: compete("wine", 0, 60, generator()), "labels", ValueError),
        (lambda: compete("wine", 0, 19, generator()), "labels", ValueError),
        (lambda: compete("wine", 0, 30, 0), "rng", TypeError),
        (lambda: compete("wine", 0, 30, generator(), misfit="none"), "misfit", ValueError),
        (lambda: synthetic("bottom", 30, generator()), "gap", ValueError),
        (lambda: synthetic("top", 9, generator()), "labels", ValueError),
        (lambda: synthetic("top", 30, 0), "rng", TypeError),
        (lambda: power_law([1, 2], [1, 1]), "n", ValueError),
        (lambda: power_law([0, 1, 2], [1, 1, 1]), "n", ValueError),
        (lambda: power_law([1, 2, 3], [1, 1, 0]), "errors", ValueError),
        (lambda: ridge_errors(np.eye(2), [1, 1], np.eye(3), [1] * 3, [1]), "X_test", ValueError),
        (lambda: ridge_errors(np.eye(2), [1, 1], np.eye(2), [1], [1]), "y_test", ValueError),
        (lambda: ridge_errors(np.eye(2), [1, 1], np.eye(2), [1, 1], [0]), "ridges", ValueError),
        (lambda: trained_errors(np.eye(3), np.ones(3), 3, 1, generator()), "n", ValueError),
        (lambda: trained_errors(np.eye(3), np.ones(3), 2, 0, generator()), "draws", ValueError),
        (lambda: trained_errors(np.eye(3), np.ones(3), 2, 1, 0), "rng", TypeError),
    ],
)
def test_bad_input_is_named(call, name, error):
    with pytest.raises(error, match=f"^{name} must"):
        call()
