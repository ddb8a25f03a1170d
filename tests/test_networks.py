"""lib.networks: the modules compute the functions that they are named after."""

import numpy as np
import pytest
import torch

from lib.networks import LinearNetwork
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
