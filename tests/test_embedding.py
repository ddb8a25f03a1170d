"""thm-embedding: what moves, what is conserved, and the flow, against torch and an ODE solver."""

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.sparse
import torch
from hypothesis import given, settings
from strategies import seeds

from lib import linear_regression
from lib.embedding import tangent_flow, tangent_kernel
from lib.networks import DeepLinearNetwork
from lib.training import empirical_ntk, train


def texts(seed):
    """Shares of tokens of a sample and of other texts, vectors, a head, labels."""
    rng = np.random.default_rng(seed)
    tokens, k, n, m = rng.integers([4, 1, 1, 1], [12, 5, 7, 5])
    counts = rng.poisson(0.4, (n + m, tokens)) + np.eye(tokens)[rng.integers(0, tokens, n + m)]
    shares = counts / counts.sum(axis=1, keepdims=True)
    E, w = rng.standard_normal((tokens, k)), rng.standard_normal(k)
    return shares[:n], shares[n:], E, w, rng.standard_normal(n), rng


@given(seeds)
@settings(max_examples=30, deadline=None)
def test_the_kernel_is_that_of_the_networks_derivatives(seed):
    X, Z, E, w, _, _ = texts(seed)
    network = DeepLinearNetwork([E, w[:, None]])
    found = tangent_kernel(scipy.sparse.csr_array(X), Z, E, w)
    np.testing.assert_allclose(found, empirical_ntk(network, X, Z), atol=1e-12)
    both = [tangent_kernel(X, Z, E, w, rates) for rates in ((0.3, 0), (0, 2.0))]
    np.testing.assert_allclose(tangent_kernel(X, Z, E, w, (0.3, 2.0)), sum(both), atol=1e-12)


def solved(X, E, w, y, rates, times):
    """E and w along gradient flow on both, by an ODE solver: lists."""
    shape = E.shape

    def slope(_, state):
        E, w = state[:E_size].reshape(shape), state[E_size:]
        g = (X @ E @ w - y) / len(y)
        return -np.concatenate(
            [rates[0] * np.outer(X.T @ g, w).ravel(), rates[1] * (E.T @ (X.T @ g))]
        )

    E_size = E.size
    path = scipy.integrate.solve_ivp(
        slope, (0, max(times)), np.append(E.ravel(), w), "DOP853", times, rtol=1e-11, atol=1e-12
    )
    return [(s[:E_size].reshape(shape), s[E_size:]) for s in path.y.T]


@given(seeds)
@settings(max_examples=25, deadline=None)
def test_what_the_flow_moves_and_what_it_conserves(seed):
    X, Z, E, w, y, rng = texts(seed)
    rates = tuple(rng.uniform(0.1, 2, 2))
    kept = np.eye(X.shape[1]) - np.linalg.pinv(X) @ X
    for E_now, w_now in solved(X, E, w, y, rates, [0.3, 2.0]):
        np.testing.assert_allclose(kept @ E_now, kept @ E, atol=1e-8)
        unseen = ~X.any(axis=0)
        np.testing.assert_allclose(E_now[unseen], E[unseen], atol=1e-8)
        conserved = rates[1] * E.T @ E - rates[0] * np.outer(w, w)
        now = rates[1] * E_now.T @ E_now - rates[0] * np.outer(w_now, w_now)
        np.testing.assert_allclose(now, conserved, atol=1e-7)
        alone = Z * unseen  # texts of tokens that no sample has: the head answers
        np.testing.assert_allclose(alone @ E_now @ w_now, alone @ E @ w_now, atol=1e-7)


@given(seeds)
@settings(max_examples=25, deadline=None)
def test_with_one_side_frozen_the_flow_is_exact_and_linear_regression(seed):
    X, Z, E, w, y, rng = texts(seed)
    times = np.array([0, 0.2, 1.0, 5.0])
    for rates in (0.0, 0.7), (1.3, 0.0):
        inside, outside = tangent_flow(X, Z, E, w, y - X @ E @ w, times, rates)
        for t, (E_now, w_now) in enumerate(solved(X, E, w, y, rates, times)):
            np.testing.assert_allclose(X @ E @ w + inside[t], X @ E_now @ w_now, atol=1e-7)
            np.testing.assert_allclose(Z @ E @ w + outside[t], Z @ E_now @ w_now, atol=1e-7)
    head = linear_regression.gradient_flow(X @ E, y, w, 0.7 * times)
    _, added = tangent_flow(X, Z, E, w, y - X @ E @ w, times, (0, 0.7))
    np.testing.assert_allclose(Z @ E @ w + added, head @ (Z @ E).T, atol=1e-9)
    table = linear_regression.gradient_flow(X, y, E @ w, 1.3 * (w @ w) * times)
    _, added = tangent_flow(X, Z, E, w, y - X @ E @ w, times, (1.3, 0))
    np.testing.assert_allclose(Z @ E @ w + added, table @ Z.T, atol=1e-9)


def test_vectors_alone_end_where_linear_regression_ends():
    rng = np.random.default_rng(0)
    X, E, w = rng.dirichlet(np.ones(9), 4), rng.standard_normal((9, 3)), rng.standard_normal(3)
    y = rng.standard_normal(4)
    network = DeepLinearNetwork([E, w[:, None]], trainable=[0])
    train(network, X, y, progress=False)
    end = linear_regression.finetune(X, y, E @ w)
    np.testing.assert_allclose(network.linear_map(), end, atol=1e-9)


def test_both_sides_move_as_predicted_as_long_as_they_move_little():
    """Labels ε from the answers: the network misses the prediction by O(ε) of what it learns."""
    rng = np.random.default_rng(1)
    X, Z = rng.dirichlet(np.ones(8), 4), rng.dirichlet(np.ones(8), 3)
    E, w, gap = rng.standard_normal((8, 3)), rng.standard_normal(3), rng.standard_normal(4)
    misses = []
    for size in 1e-1, 1e-2, 1e-3:
        y = X @ E @ w + size * gap
        ((E_now, w_now),) = solved(X, E, w, y, (1.0, 1.0), [3.0])
        _, added = tangent_flow(X, Z, E, w, size * gap, [3.0])
        moved = Z @ (E_now @ w_now - E @ w)
        misses.append(np.linalg.norm(moved - added) / np.linalg.norm(moved))
    rates = np.diff(np.log10(misses))
    assert misses[0] < 0.1 and (rates < -0.9).all()


def test_descent_in_torch_leaves_unseen_tokens_to_the_bit():
    rng = np.random.default_rng(2)
    X, E, w = rng.dirichlet(np.ones(6), 3), rng.standard_normal((9, 4)), rng.standard_normal(4)
    X = np.hstack([X, np.zeros((3, 3))])
    network = DeepLinearNetwork([E, w[:, None]])
    train(network, X, rng.standard_normal(3), max_steps=100, progress=False)
    vectors, head = network.layers()
    np.testing.assert_array_equal(vectors[6:], E[6:])
    assert (vectors[:6] != E[:6]).all() and (head[:, 0] != w).all()
    assert isinstance(network.weights[0], torch.nn.Parameter)


@pytest.mark.parametrize(
    ("changed", "argument"),
    [
        ({"shares": np.ones((2, 3))}, "shares"),
        ({"others": scipy.sparse.csr_array(np.ones((2, 3)))}, "others"),
        ({"others": scipy.sparse.csr_array([[math.nan, 0.0]])}, "others"),
        ({"vectors": np.ones(2)}, "vectors"),
        ({"head": np.ones(2)}, "head"),
        ({"residual": np.ones(3)}, "residual"),
        ({"times": [-1.0]}, "times"),
        ({"times": 1.0}, "times"),
        ({"rates": (1.0, -1.0)}, "rates"),
        ({"rates": (1.0, 1.0, 1.0)}, "rates"),
    ],
)
def test_bad_input_is_named(changed, argument):
    good = {"shares": np.eye(2), "others": np.eye(2), "vectors": np.ones((2, 1)), "head": [1.0]}
    good |= {"residual": np.ones(2), "times": [1.0]}
    tangent_flow(**good)
    with pytest.raises(ValueError, match=f"^{argument} must"):
        tangent_flow(**good | changed)
