"""Standard units against scikit-learn's, and there and back again."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler
from strategies import seeds

from lib.features import Standard
from lib.linear_regression import finetune


def drawn(seed):
    """Inputs of any units, with coefficients and an intercept."""
    rng = np.random.default_rng(seed)
    n, d = rng.integers([2, 1], [12, 6])
    X = rng.standard_normal((n, d)) * 10.0 ** rng.integers(-6, 6, d) + rng.standard_normal(d)
    return X, rng.standard_normal(d), rng.standard_normal(), rng


@given(seeds)
@settings(max_examples=50, deadline=None)
def test_features_are_scikit_learns_and_models_answer_what_they_did(seed):
    X, coefficients, intercept, rng = drawn(seed)
    units = Standard.from_samples(X)
    Z = units.features(X)
    expected = StandardScaler().fit_transform(X)
    atol = 1e-12 * np.max(np.abs(X).max(axis=0) / units.deviation)
    np.testing.assert_allclose(Z[:, :-1], expected, rtol=1e-9, atol=atol)
    assert (Z[:, -1] == 10).all()
    theta = units.weights(coefficients, intercept)
    answers = X @ coefficients + intercept
    size = np.abs(X) @ np.abs(coefficients) + abs(intercept)
    np.testing.assert_allclose(Z @ theta, answers, rtol=0, atol=1e-12 * size.max())
    back, constant = units.model(theta)
    np.testing.assert_allclose(back, coefficients, rtol=1e-12)
    assert constant == pytest.approx(intercept, abs=1e-12 * size.max())
    many = units.weights(np.stack([coefficients, 2 * coefficients]), [intercept, 0.0])
    np.testing.assert_allclose(many[0], theta)
    assert [part.shape for part in units.model(many)] == [(2, X.shape[1]), (2,)]


def test_the_intercept_is_hardly_held():
    """Ridge regression that does not hold its intercept at all, on the same standard features."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 5)) * [1, 10, 0.1, 1e3, 1] + 7
    y = X @ [1, 0.1, 3, 1e-3, 0] + 150 + rng.standard_normal(40)
    units = Standard.from_samples(X)
    model = Ridge(alpha=5.0).fit(units.features(X)[:, :-1], y)
    theta = finetune(units.features(X), y, np.zeros(6), ridge=5.0)
    np.testing.assert_allclose(theta[:-1], model.coef_, atol=0.01 * np.abs(model.coef_).max())
    # It is shrunk by δ/(100 n + δ), an eighth of a per cent, where a column of ones loses a ninth.
    assert 10 * theta[-1] == pytest.approx(model.intercept_ * 4000 / 4005, rel=1e-6)


@pytest.mark.parametrize("size", [1.0, 1e200, 1e-200])
def test_constant_features_keep_their_units_at_any_size(size):
    X = size * np.array([[0.1, 1.0], [0.1, 3.0], [0.1, 5.0]])
    units = Standard.from_samples(X)
    assert units.deviation[0] == 1 and units.mean[0] == pytest.approx(0.1 * size)
    np.testing.assert_allclose(units.features(X)[:, 1], [-(1.5**0.5), 0, 1.5**0.5])
    np.testing.assert_allclose(units.features(X)[:, 0], 0, atol=1e-15 * size)


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: Standard([0.0, 1], [1.0, 0]), "deviation"),
        (lambda: Standard([0.0, 1], [1.0]), "deviation"),
        (lambda: Standard([], []), "deviation"),
        (lambda: Standard([np.nan], [1.0]), "mean"),
        (lambda: Standard.from_samples([1.0, 2]), "X"),
        (lambda: Standard([0.0], [1.0]).features([[1.0, 2]]), "X"),
        (lambda: Standard([0.0], [1.0]).weights([1.0, 2]), "coefficients"),
        (lambda: Standard([0.0], [1.0]).weights([1.0], [1.0, 2]), "intercept"),
        (lambda: Standard([0.0], [1.0]).model([1.0]), "theta"),
    ],
)
def test_bad_input_is_named(call, argument):
    with pytest.raises(ValueError, match=f"^{argument} must"):
        call()


def test_names_of_features_are_remembered():
    frame = pd.DataFrame(np.eye(3)[:, :2], columns=["b", "a"])
    units = Standard.from_samples(frame)
    coefficients = pd.Series([1.0, 2], index=["b", "a"])
    units.features(frame), units.features(frame.to_numpy()), units.weights(coefficients)
    with pytest.raises(ValueError, match="^X must name its features as units does"):
        units.features(frame[["a", "b"]])
    with pytest.raises(ValueError, match="^coefficients must name its features"):
        units.weights(coefficients[::-1])
    np.testing.assert_array_equal(units.weights([1, 2], [3.0]), units.weights([1, 2], 3.0))
