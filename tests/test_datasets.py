"""lib.datasets: the digits are the digits, a readout is the least-squares readout."""

import numpy as np
import pytest
from hypothesis import given
from sklearn.datasets import load_digits
from strategies import condition, populations, seeds

from lib.datasets import digits, readout


def test_digits_are_those_of_scikit_learn_in_unit_range():
    bunch, raw = digits(), load_digits()
    assert bunch.data.shape == (1797, 64) and bunch.data.dtype == np.float64
    np.testing.assert_array_equal(16 * bunch.data, raw.data)
    assert bunch.data.min() == 0 and bunch.data.max() == 1
    np.testing.assert_array_equal(bunch.target, raw.target)
    np.testing.assert_array_equal(16 * bunch["images"], raw.images)
    assert np.shares_memory(bunch.images, bunch.data)
    # Nobody's changes reach the next caller.
    bunch.data[:] = 0
    assert digits().data.max() == 1


@given(populations(), seeds)
def test_readout_is_the_smallest_least_squares_solution(population, seed):
    rng = np.random.default_rng(seed)
    X = population.sample(int(rng.integers(1, 20)), rng)
    labels = rng.choice([-1.0, 1.0], (len(X), 3))
    theta = readout(X, labels)
    assert theta.shape == (3, population.dim)
    # Backward stable least squares: ε cond² relative to the labels.
    s = np.linalg.svd(X, compute_uv=False)
    atol = 1e3 * 1e-16 * condition(X) * np.linalg.norm(labels) / s[s > 1e-13 * s[0]].min()
    np.testing.assert_allclose(
        theta, (np.linalg.pinv(X, rcond=1e-13) @ labels).T, rtol=0, atol=atol
    )
    np.testing.assert_allclose(readout(X, labels[:, 0]), theta[0], rtol=0, atol=atol)


def test_readout_of_digits_tells_them_apart():
    bunch = digits()
    labels = np.where(bunch.target[:, None] == np.arange(10), 1, -1)
    theta = readout(bunch.data, labels)
    # The normal equations hold, and most digits are read right: 95 % is known for this data.
    gradient = bunch.data.T @ (bunch.data @ theta.T - labels)
    np.testing.assert_allclose(gradient, 0, atol=1e-8)
    accuracy = ((bunch.data @ theta.T).argmax(axis=1) == bunch.target).mean()
    assert accuracy > 0.9
    assert np.abs(theta[:, [0, 32, 39]]).max() < 1e-12  # pixels that are never inked


@pytest.mark.parametrize(
    ("X", "labels", "argument", "error"),
    [
        (np.ones(2), np.ones(2), "X", ValueError),
        (np.ones((0, 2)), np.ones(0), "X", ValueError),
        ([[1, np.inf]], [1], "X", ValueError),
        ("ab", [1], "X", TypeError),
        (np.eye(2), np.ones(3), "labels", ValueError),
        (np.eye(2), 1.0, "labels", ValueError),
        (np.eye(2), np.ones((3, 2)), "labels", ValueError),
        (np.eye(2), np.ones((2, 2, 2)), "labels", ValueError),
        (np.eye(2), [1, np.nan], "labels", ValueError),
        (np.eye(2), ["yes", "no"], "labels", TypeError),
    ],
)
def test_bad_input_is_named(X, labels, argument, error):
    with pytest.raises(error, match=rf"^{argument} must"):
        readout(X, labels)
