"""lib.real_data: what is tabulated is what fine-tuning leaves on the inputs that are named."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from lib import datasets, deep_linear, exact_risk, linear_regression, real_data, relu
from lib.problem import Population, TransferProblem
from lib.real_data import (
    QUESTIONS,
    RealInputs,
    blind_spot_moments,
    curves,
    digits,
    misfit_risk,
    photographs,
    rank_correlations,
    surrogates,
    task_gaps,
    transfer,
)

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def small():
    """Return inputs of six dimensions with two tasks."""
    X = np.random.default_rng(1).standard_normal((300, 6)) @ np.diag([3, 2, 1, 1, 0.5, 0.2]) + 1
    labels = {"sign": np.sign(X[:, 0]), "first": X[:, 0] + 0.1 * X[:, 5]}
    return RealInputs("small", X, labels)


def test_inputs_know_their_moments_and_teachers(small):
    S = small.X.T @ small.X / 300
    np.testing.assert_allclose(small.population.covariance(), S)
    np.testing.assert_allclose(small.whitened.T @ small.whitened / 300, np.eye(6), atol=1e-9)
    assert small.lengths.mean() == pytest.approx(1) and small.lengths.shape == (300,)
    expected = np.linalg.lstsq(small.X, small.labels["sign"])[0]
    np.testing.assert_allclose(small.teachers["sign"], expected)
    rows = small.draw(300, np.random.default_rng(3))
    np.testing.assert_array_equal(np.sort(rows, axis=0), np.sort(small.X, axis=0))
    problem = transfer(small, "sign", small, "first")
    np.testing.assert_array_equal(problem.source, small.teachers["sign"])
    np.testing.assert_array_equal(problem.target, small.teachers["first"])


def test_data_are_those_of_the_questions():
    data, inputs = datasets.digits(), digits()
    assert inputs.X.shape == (1797, 61) and set(inputs.labels) == set(QUESTIONS)
    np.testing.assert_array_equal(inputs.labels["a 3"] > 0, data.target == 3)
    assert digits(0.01).X.shape[1] == 54 and set(digits(tasks={"a 1": (1,)}).labels) == {"a 1"}
    photos = photographs()
    assert list(photos) == ["china", "flower"]
    assert list(photos["china"].labels) == list(photos["flower"].labels)
    np.testing.assert_array_equal(
        photos["flower"].labels["mean"],
        datasets.image_patches("flower", stride=9).target[
            :, list(photos["flower"].labels).index("mean")
        ],
    )


def test_curves_are_those_of_each_model(small):
    """One number of each model, from its own fine-tuning on the same draw; the forecasts too."""
    problem = transfer(small, "sign", small, "first")
    measured, forecast = curves(problem, small, np.array([2, 4]), seeds=3)
    assert len(measured) == 5 * 2 * 3 and len(forecast) == 5 * 2
    base = problem.population.squared_norm(problem.target)
    X = small.draw(4, np.random.default_rng(2))
    y, mean_square = X @ problem.target, np.mean((small.X @ problem.target) ** 2)
    gap = small.X @ problem.gap
    missed = gap - relu.finetune(X, X @ problem.gap, small.X)
    expected = {
        "from scratch": problem.risk(np.linalg.pinv(X) @ y) / base,
        "linear": problem.risk(linear_regression.finetune(X, y, problem.source)) / base,
        "depth 3": problem.risk(deep_linear.finetune(X, y, problem.source, 3)) / base,
        "depth ∞": problem.risk(deep_linear.finetune(X, y, problem.source, np.inf)) / base,
        "ReLU": np.mean(missed**2) / mean_square,
    }
    chosen = measured[(measured["n"] == 4) & (measured["seed"] == 2)].set_index("model")["risk"]
    assert chosen.to_dict() == pytest.approx(expected, rel=1e-6)
    exact = forecast[forecast["n"] == 4].set_index("model")["risk"]
    assert exact["linear"] == pytest.approx(exact_risk.linear_risk(problem, 4) / base)
    assert exact["depth 3"] == pytest.approx(exact_risk.deep_linear_risk(problem, 4, 3) / base)


def test_moments_hold_the_risk_of_every_gap(small):
    """In each of two batches of ten samples."""
    M = blind_spot_moments(small.population, lambda rng: small.draw(5, rng), [2, 5], 10, batches=2)
    u, S = np.arange(6.0), small.population.covariance()
    assert M.shape == (2, 2, 6, 6)
    for batch, k in np.ndindex(2, 2):
        risks = []
        for seed in range(10 * batch, 10 * batch + 10):
            X = small.draw(5, np.random.default_rng(seed))[: (2, 5)[k]]
            left = u - np.linalg.pinv(X) @ (X @ u)
            risks.append(left @ S @ left)
        assert u @ M[batch, k] @ u == pytest.approx(np.mean(risks))


def test_gaps_are_of_all_pairs_and_of_the_other_inputs(small):
    other = RealInputs("other", small.X[:50], {k: v[:50] for k, v in small.labels.items()})
    u = task_gaps(small, other)
    assert u.shape == (3, 6) and len(task_gaps(small)) == 1
    np.testing.assert_array_equal(u[0], small.teachers["first"] - small.teachers["sign"])
    np.testing.assert_array_equal(u[1], small.teachers["sign"] - other.teachers["sign"])
    np.testing.assert_array_equal(u[2], small.teachers["first"] - other.teachers["first"])


def test_ranks_are_of_the_sources_of_each_target(small):
    labels = small.labels | {str(k): small.X[:, k] ** 2 for k in range(4)}
    inputs = RealInputs("small", small.X, labels)
    other = RealInputs("other", small.X[:50], {k: v[:50] for k, v in labels.items()})
    M = np.diag([5.0, 1, 1, 2, 1, 3])
    found = rank_correlations(inputs, M, 3, other)
    assert len(found) == 6 and list(found)[-1] == "exact risk"
    thetas = inputs.teachers
    sources = [thetas[k] for k in thetas if k != "0"] + [other.teachers["0"]]
    risks, distances, before, exact = [], [], [], []
    for source in sources:
        u = thetas["0"] - source
        problem = TransferProblem(inputs.population, source, thetas["0"])
        risks.append(u @ M @ u)
        distances.append(u @ u)
        before.append(problem.risk(source))
        exact.append(exact_risk.linear_risk(problem, 3))
    expected = [spearmanr(risks, m).statistic for m in (distances, before, exact)]
    assert found.iloc[2].tolist() == pytest.approx(expected)
    assert len(rank_correlations(inputs, M, 3)) == 6


@pytest.mark.parametrize("kind", ["Gaussian", "tails", "contrast", "bands", "replaced", "real"])
def test_surrogates_share_the_second_moment(small, kind):
    """And what they are named after: coordinates, lengths, or the inputs themselves."""
    inputs = RealInputs("wide", np.tile(small.X, 8)[:, :48] + 0.3 * RNG.random((300, 48)), {})
    draws = surrogates(inputs, 250)
    rng = np.random.default_rng(4)
    X = np.concatenate([draws[kind](rng) for _ in range(40)])
    zeros = ~X.any(axis=1)
    assert zeros.any() == (kind == "replaced")  # each input once
    X = X[~zeros]
    bars = X @ inputs.population.eigenvectors / np.sqrt(inputs.population.eigenvalues)
    means = inputs.whitened.mean(axis=0)
    moment = np.outer(means, means) if kind == "tails" else np.eye(48)
    np.fill_diagonal(moment, 1)
    np.testing.assert_allclose(bars.T @ bars / len(X), moment, atol=0.12)
    real = {tuple(row) for row in np.round(inputs.X, 9)}
    assert all(tuple(row) in real for row in np.round(X[:50], 9)) == (kind in ("replaced", "real"))
    if kind in ("contrast", "bands"):
        first = set(np.round(inputs.whitened[:, 0], 9))
        assert set(np.round(bars[:50, 0], 9)) <= first
        rest = np.linalg.norm(inputs.whitened[:, 1:], axis=1)
        assert (
            np.abs(np.linalg.norm(bars[:50, 1:], axis=1)[:, None] - rest).min(axis=1).max() < 1e-9
        )
    if kind == "tails":
        assert set(np.round(bars[:50, 7], 8)) <= set(np.round(inputs.whitened[:, 7], 8))


def test_misfits_are_real_or_dealt_out(small):
    problem = transfer(small, "first", small, "sign")
    labels = small.labels["sign"]
    found = misfit_risk(problem, small, labels, 20, 0.5, np.random.default_rng(5))
    rng = np.random.default_rng(5)
    rows, misfit = rng.permutation(300)[:20], labels - small.X @ problem.target
    X, whole = small.X[rows], np.mean(misfit**2)
    end = linear_regression.finetune(X, labels[rows], problem.source, ridge=0.5)
    assert found["real"] == pytest.approx(problem.risk(end) / whole)
    dealt = X @ problem.target + rng.permutation(misfit)[:20]
    end = linear_regression.finetune(X, dealt, problem.source, ridge=0.5)
    assert found["dealt"] == pytest.approx(problem.risk(end) / whole)


def test_bad_input_is_named(small):
    for call, name, error in (
        (lambda: digits(1.0), "least", ValueError),
        (lambda: digits(-1), "least", ValueError),
        (lambda: transfer(small, "sign", small, "last"), "target_task", ValueError),
        (lambda: transfer(small, "last", small, "sign"), "source_task", ValueError),
        (lambda: small.draw(3, 0), "rng", TypeError),
        (lambda: blind_spot_moments(None, None, [1], 1), "population", TypeError),
        (
            lambda: blind_spot_moments(Population.isotropic(2), lambda rng: np.eye(3), [1], 1),
            "draw",
            ValueError,
        ),
        (
            lambda: curves(transfer(small, "sign", small, "first"), small, [1.5], 1),
            "sizes",
            TypeError,
        ),
    ):
        with pytest.raises(error, match=f"^{name} must"):
            call()
    assert real_data.__all__
