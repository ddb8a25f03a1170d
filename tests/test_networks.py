"""lib.networks: the modules compute the functions that they are named after."""

import numpy as np
import pytest
import torch

from lib.networks import LinearNetwork, ShallowReLU
from lib.problem import Population, TransferProblem


def test_linear_network_is_linear_regression():
    rng = np.random.default_rng(0)
    X, theta = rng.standard_normal((5, 3)), rng.standard_normal(3)
    network = LinearNetwork(theta)
    outputs = network(torch.tensor(X))
    assert outputs.dtype == torch.float64
    expected = [sum(a * b for a, b in zip(x, theta, strict=True)) for x in X]
    np.testing.assert_allclose(outputs.detach(), expected)
    outputs.sum().backward()
    np.testing.assert_allclose(network.theta.grad, X.sum(axis=0))
    assert [name for name, _ in network.named_parameters()] == ["theta"]


def test_weights_are_copied_in_and_out():
    weights = np.arange(3.0)
    network = LinearNetwork(weights)
    weights[:] = 7
    network.linear_map()[:] = 9
    np.testing.assert_array_equal(network.linear_map(), [0, 1, 2])
    with torch.no_grad():
        network.theta += 1
    np.testing.assert_array_equal(network.linear_map(), [1, 2, 3])


@pytest.mark.filterwarnings("error")
def test_any_array_will_do():
    """Read-only teachers, views that run backwards, lists of integers."""
    source = TransferProblem(Population.isotropic(3), np.arange(3), np.zeros(3)).source
    np.testing.assert_array_equal(LinearNetwork(source[::-1]).linear_map(), [2, 1, 0])
    assert LinearNetwork([1, 2]).linear_map().dtype == np.float64


@pytest.mark.parametrize(
    ("weights", "error"),
    [
        (1.0, ValueError),
        ([[1.0]], ValueError),
        ([np.nan], ValueError),
        ([np.inf], ValueError),
        ("ab", TypeError),
        ([1j], TypeError),
    ],
)
def test_bad_weights_are_named(weights, error):
    with pytest.raises(error, match="^weights must"):
        LinearNetwork(weights)


# Shallow ReLU networks


def test_relu_network_is_its_sum():
    rng = np.random.default_rng(0)
    X, weights, signs = rng.standard_normal((5, 3)), rng.standard_normal((7, 3)), [1, -1] * 3 + [1]
    network = ShallowReLU(weights, signs)
    outputs = network(torch.tensor(X))
    assert outputs.dtype == torch.float64
    expected = [
        sum(
            a * max(0, sum(p * q for p, q in zip(w, x, strict=True)))
            for a, w in zip(signs, weights, strict=True)
        )
        / 7**0.5
        for x in X
    ]
    np.testing.assert_allclose(outputs.detach(), expected, rtol=1e-13)
    # What is trained is the hidden weights alone.
    assert [name for name, p in network.named_parameters() if p.requires_grad] == ["weights"]
    assert sorted(network.state_dict()) == ["output", "weights"]
    outputs.sum().backward()
    on = X @ weights.T > 0
    expected = [a / 7**0.5 * X[on[:, r]].sum(axis=0) for r, a in enumerate(signs)]
    np.testing.assert_allclose(network.weights.grad, expected, rtol=1e-13, atol=1e-15)


def test_relu_network_starts_at_zero_in_pairs():
    X = torch.tensor(np.random.default_rng(1).standard_normal((50, 4)))
    network = ShallowReLU.random(4, 10, np.random.default_rng(0))
    np.testing.assert_allclose(network(X).detach(), 0, atol=1e-14)
    half, other = network.weights.detach().numpy().reshape(2, 5, 4)
    np.testing.assert_array_equal(half, other)
    assert len(np.unique(half)) == half.size
    np.testing.assert_array_equal(network.output * np.sqrt(10), [1] * 5 + [-1] * 5)
    # The same seed, the same network; the next one is another.
    rng = np.random.default_rng(0)
    first, second = (ShallowReLU.random(4, 10, rng).weights.detach().numpy() for _ in range(2))
    np.testing.assert_array_equal(first[:5], half)
    assert (first != second).all()
    many = ShallowReLU.random(50, 4000, rng).weights.detach().numpy()[:2000]
    # 100,000 normal numbers: four standard errors.
    assert abs(many.mean()) < 4 / 100_000**0.5
    assert abs(many.var() - 1) < 4 * (2 / 100_000) ** 0.5
    assert abs((many**4).mean() - 3) < 4 * (96 / 100_000) ** 0.5


def test_relu_weights_are_copied():
    weights, signs = np.ones((2, 3)), np.array([1.0, -1])
    network = ShallowReLU(weights, signs)
    weights[:] = signs[:] = 7
    np.testing.assert_array_equal(network.weights.detach(), np.ones((2, 3)))
    np.testing.assert_allclose(network.output, [0.5**0.5, -(0.5**0.5)])


W, RNG = np.ones((2, 3)), np.random.default_rng(0)


@pytest.mark.parametrize(
    ("call", "argument", "error"),
    [
        (lambda: ShallowReLU(np.ones(3), [1]), "weights", ValueError),
        (lambda: ShallowReLU(np.nan * W, [1, 1]), "weights", ValueError),
        (lambda: ShallowReLU(np.inf * W, [1, 1]), "weights", ValueError),
        (lambda: ShallowReLU([["a", "b"]], [1]), "weights", TypeError),
        (lambda: ShallowReLU(W, [1]), "signs", ValueError),
        (lambda: ShallowReLU(W, [[1, 1]]), "signs", ValueError),
        (lambda: ShallowReLU(W, [1, 0]), "signs", ValueError),
        (lambda: ShallowReLU(W, [1, 0.5]), "signs", ValueError),
        (lambda: ShallowReLU(W, [1, np.nan]), "signs", ValueError),
        (lambda: ShallowReLU(W, ["+", "-"]), "signs", TypeError),
        (lambda: ShallowReLU.random(0, 2, RNG), "dim", ValueError),
        (lambda: ShallowReLU.random(2.0, 2, RNG), "dim", TypeError),
        (lambda: ShallowReLU.random(2, 0, RNG), "width", ValueError),
        (lambda: ShallowReLU.random(2, 1, RNG), "width", ValueError),
        (lambda: ShallowReLU.random(2, 5, RNG), "width", ValueError),
        (lambda: ShallowReLU.random(2, 4.0, RNG), "width", TypeError),
        (lambda: ShallowReLU.random(2, 4, 0), "rng", TypeError),
        (lambda: ShallowReLU.random(2, 4, np.random), "rng", TypeError),
    ],
)
def test_bad_relu_input_is_named(call, argument, error):
    with pytest.raises(error, match=rf"^{argument} must"):
        call()


@pytest.mark.parametrize("shape", [(0, 3), (3, 0)])
def test_relu_network_needs_a_weight(shape):
    with pytest.raises(ValueError, match="there must be at least one weight"):
        ShallowReLU(np.ones(shape), np.ones(shape[0]))
