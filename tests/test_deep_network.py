"""networks.DeepLinearNetwork: gradient descent on real matrices goes where the theorems say.

The flow is the limit of gradient descent with small steps η: what descent does differs by O(η). So
nothing here is compared once, but at η and at η/2, and what differs must be halved.
"""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import rotation, seeds

from lib import deep_linear
from lib.networks import DeepLinearNetwork
from lib.training import stable_learning_rate, train


def random_case(rng, d, n):
    """Return (X, y, source) with X of condition 2 and teachers that have something in common."""
    U, V = rotation(n, rng.integers(2**32)), rotation(d, rng.integers(2**32))
    X = np.sqrt(n) * (U * np.geomspace(1, 0.5, n)) @ V[:n]
    source, other = rng.standard_normal((2, d))
    return X, X @ (rng.uniform(0.3, 2) * source + other), source


def descend(layers, X, y, step, trainable=None, **options):
    """Return the network after training with ``step`` times the stable step of its largest size."""
    network = DeepLinearNetwork(layers, trainable)
    ends = np.linalg.norm(np.linalg.pinv(X) @ y), np.linalg.norm(network.linear_map())
    growth = max(1, sum(ends) / ends[1]) ** (2 - 2 / len(layers))
    rate = step * stable_learning_rate(network, X) / growth
    run = train(network, X, y, learning_rate=rate, **{"tolerance": 1e-13} | options)
    return network, run


def distance(network, beta):
    """Return ‖W₁⋯W_L − β‖/‖β‖."""
    return np.linalg.norm(network.linear_map() - beta) / np.linalg.norm(beta)


# Training all layers


@pytest.mark.parametrize("seed", range(24))
def test_descent_ends_at_the_closed_form_with_an_error_in_proportion_to_the_step(seed):
    rng = np.random.default_rng(seed)
    d = int(rng.integers(4, 12))
    n, depth, width = (
        int(rng.integers(low, high)) for low, high in ((1, d // 2 + 1), (2, 7), (1, 6))
    )
    X, y, source = random_case(rng, d, n)
    layers = deep_linear.balanced_layers(source, depth, width, rng)
    beta = deep_linear.finetune(X, y, source, depth)
    errors = []
    for step in 0.2, 0.1:
        network, run = descend(layers, X, y, step)
        assert run.stopped == "loss"  # a loss of 10⁻¹³ is a distance of some 10⁻⁶
        errors.append(distance(network, beta))
    assert errors[1] < 0.01
    assert errors[1] / errors[0] == pytest.approx(0.5, abs=0.05)  # and O(η²)


@pytest.mark.parametrize("seed", range(5))
def test_descent_loses_balance_in_proportion_to_the_step(seed):
    rng = np.random.default_rng(seed)
    X, y, source = random_case(rng, 8, 3)
    layers = deep_linear.balanced_layers(source, 4, 5, rng)
    assert deep_linear.balancedness(DeepLinearNetwork(layers).layers()) < 1e-14
    drift = [deep_linear.balancedness(descend(layers, X, y, h)[0].layers()) for h in (0.2, 0.1)]
    assert drift[0] < 0.02
    assert drift[1] / drift[0] == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_descent_follows_the_flow_in_time(depth):
    """After k steps of η the network is where the flow is at t = kη, to O(η)."""
    rng = np.random.default_rng(depth)
    X, y, source = random_case(rng, 8, 3)
    layers = deep_linear.balanced_layers(source, depth, 4, rng)
    misses = []
    for step, every in (0.1, 5), (0.05, 10):
        options = {"record_every": every, "max_steps": 10 * every, "tolerance": 0}
        network, run = descend(layers, X, y, step, **options)
        times = run.path_steps * run.learning_rate
        flow = deep_linear.gradient_flow(X, y, source, depth, times)
        path = [DeepLinearNetwork(list(record.values())).linear_map() for record in run.path]
        misses.append(
            np.linalg.norm(path - flow, axis=1).max() / np.linalg.norm(flow[0] - flow[-1])
        )
    assert misses[1] < 0.05
    assert misses[1] / misses[0] == pytest.approx(0.5, abs=0.1)


# Frozen layers


@pytest.mark.parametrize("trained", [1, 2, 3, 4])
def test_frozen_last_layers_end_at_the_solution_of_the_depth_that_is_trained(trained):
    rng = np.random.default_rng(trained)
    X, y, source = random_case(rng, 10, 4)
    layers = deep_linear.balanced_layers(source, 4, 3, rng)
    beta = deep_linear.finetune_frozen_last(X, y, source, 4, trained)
    runs = [descend(layers, X, y, step, range(trained))[0] for step in (0.2, 0.1)]
    errors = [distance(network, beta) for network in runs]
    if trained == 1:  # a linear model: no error of the step
        assert max(errors) < 1e-6
    else:
        assert errors[1] < 0.01 and errors[1] / errors[0] == pytest.approx(0.5, abs=0.05)
        other = deep_linear.finetune(X, y, source, trained - 1)
        assert distance(runs[1], other) > 2 * errors[1]


@pytest.mark.parametrize("trained", [1, 2, 3])
@pytest.mark.parametrize("sign", [1, -1])
def test_frozen_first_layers_learn_one_number(trained, sign):
    rng = np.random.default_rng(trained)
    X, y, source = random_case(rng, 10, 4)
    y = sign * (X @ source + 0.1 * y)  # so that the best c has this sign
    layers = deep_linear.balanced_layers(source, 4, 3, rng)
    beta = deep_linear.finetune_frozen_first(X, y, source, trained=trained)
    options = {"record_every": 5, "max_steps": 1500, "tolerance": 0}
    network, run = descend(layers, X, y, 0.1, range(4 - trained, 4), **options)
    path = np.array([DeepLinearNetwork(list(record.values())).linear_map() for record in run.path])
    unit = source / np.linalg.norm(source)
    c = path @ unit
    np.testing.assert_allclose(path, np.outer(c, unit), atol=1e-12 * np.linalg.norm(source))
    if trained == 1 or sign == 1:
        assert distance(network, beta) < 1e-6
    else:
        # The saddle: approached and, as long as rounding does not unbalance the layers, not left.
        assert (beta == 0).all() and (np.diff(c[:40]) < 0).all() and (c[:40] > 0).all()
        assert c[40] < {2: 1e-3, 3: 0.2}[trained] * c[0]


def test_descent_through_the_saddle_is_a_matter_of_balance():
    """Labels of the other sign, one direction: balanced layers shrink to zero, others pass it."""
    X, y = np.eye(1), np.array([-1.0])
    balanced = DeepLinearNetwork.balanced([1.0], 2, 1, np.random.default_rng(0))
    train(balanced, X, y, learning_rate=0.05, max_steps=300, tolerance=0)
    assert 0 <= balanced.linear_map()[0] < 1e-6
    unbalanced = DeepLinearNetwork([[[1.1]], [[0.9]]])
    train(unbalanced, X, y, learning_rate=0.05, max_steps=300)
    assert unbalanced.linear_map()[0] == pytest.approx(-1, abs=1e-6)


@settings(max_examples=30)
@given(seeds, st.integers(1, 5), st.integers(1, 4), st.data())
def test_only_what_is_trainable_is_trained(seed, depth, width, data):
    rng = np.random.default_rng(seed)
    X, y, source = random_case(rng, 5, 2)
    chosen = data.draw(st.sets(st.integers(0, depth - 1), min_size=1))
    network = DeepLinearNetwork.random(5, depth, width, 1.0, rng, trainable=chosen)
    before = network.layers()
    train(network, X, y, learning_rate=1e-3, max_steps=2)
    for j, (old, new) in enumerate(zip(before, network.layers(), strict=True)):
        assert (old != new).any() == (j in chosen)


# The module


@given(seeds, st.integers(1, 6), st.integers(1, 5), st.integers(1, 5))
def test_the_function_is_the_product(seed, dim, depth, width):
    rng = np.random.default_rng(seed)
    network = DeepLinearNetwork.random(dim, depth, width, 1.5, rng)
    X = rng.standard_normal((4, dim))
    outputs, product = network(torch.tensor(X)), X
    for W in network.layers():
        product = product @ W
    assert outputs.shape == (4,) and outputs.dtype == torch.float64
    np.testing.assert_allclose(outputs.detach(), product[:, 0], atol=1e-12)
    np.testing.assert_allclose(X @ network.linear_map(), product[:, 0], atol=1e-12)
    sizes = [dim, *[width] * (depth - 1), 1]
    assert [W.shape for W in network.layers()] == list(zip(sizes[:-1], sizes[1:], strict=True))


def test_the_jacobian_is_that_of_the_layers():
    """What ``stable_learning_rate`` measures is L‖β‖^{2−2/L}‖x‖² for one x, along a balanced β."""
    rng = np.random.default_rng(0)
    source = rng.standard_normal(6)
    for depth in 1, 2, 5:
        network = DeepLinearNetwork.balanced(source, depth, 3, rng)
        x = source[None] * 1.7
        norm = depth * np.linalg.norm(source) ** (2 - 2 / depth) * (x @ x.T).item()
        assert stable_learning_rate(network, x) == pytest.approx(1 / norm)


def test_balanced_and_random_starts():
    rng = np.random.default_rng(0)
    theta = rng.standard_normal(6)
    network = DeepLinearNetwork.balanced(theta, 4, 3, rng)
    np.testing.assert_allclose(network.linear_map(), theta, atol=1e-14)
    assert deep_linear.balancedness(network.layers()) < 1e-14
    layers = DeepLinearNetwork.random(400, 3, 300, 0.1, rng).layers()
    # 0.1/√rows; the deviation of 300 normal numbers is known to 4 %, so four of that.
    for W in layers:
        assert W.std() * np.sqrt(len(W)) == pytest.approx(0.1, rel=0.16)
    again = DeepLinearNetwork.random(400, 3, 300, 0.1, np.random.default_rng(1)).layers()
    same = DeepLinearNetwork.random(400, 3, 300, 0.1, np.random.default_rng(1)).layers()
    assert all((a == b).all() for a, b in zip(again, same, strict=True))
    assert (again[0] != layers[0]).all()
    assert not DeepLinearNetwork.random(3, 2, 2, 0.0, rng).linear_map().any()


def test_weights_are_copied_in_and_out():
    layers = [np.ones((2, 1)), np.ones((1, 1))]
    network = DeepLinearNetwork(layers)
    layers[0][:] = 7
    network.layers()[0][:] = 9
    network.linear_map()[:] = 9
    np.testing.assert_array_equal(network.linear_map(), [1, 1])
    with torch.no_grad():
        network.weights[1] += 1
    np.testing.assert_array_equal(network.linear_map(), [2, 2])


LAYERS, RNG = [np.ones((3, 2)), np.ones((2, 1))], np.random.default_rng(0)


@pytest.mark.parametrize(
    ("call", "argument", "error"),
    [
        (lambda: DeepLinearNetwork([]), "layers", ValueError),
        (lambda: DeepLinearNetwork(np.ones((2, 2, 2))), "layers", TypeError),
        (lambda: DeepLinearNetwork(LAYERS[:1]), "layers", ValueError),
        (lambda: DeepLinearNetwork(LAYERS[::-1]), "layers", ValueError),
        (lambda: DeepLinearNetwork([np.full((3, 1), np.nan)]), r"layers\[0\]", ValueError),
        (lambda: DeepLinearNetwork(LAYERS, [2]), "trainable", ValueError),
        (lambda: DeepLinearNetwork(LAYERS, [-1]), "trainable", ValueError),
        (lambda: DeepLinearNetwork(LAYERS, [True]), "trainable", TypeError),
        (lambda: DeepLinearNetwork(LAYERS, 1), "trainable", TypeError),
        (lambda: DeepLinearNetwork.balanced([[1.0]], 2, 2, RNG), "theta", ValueError),
        (lambda: DeepLinearNetwork.balanced([1.0], 0, 2, RNG), "depth", ValueError),
        (lambda: DeepLinearNetwork.balanced([1.0], 2, 0, RNG), "width", ValueError),
        (lambda: DeepLinearNetwork.balanced([1.0], 2, 2, None), "rng", TypeError),
        (lambda: DeepLinearNetwork.random(0, 2, 2, 1.0, RNG), "dim", ValueError),
        (lambda: DeepLinearNetwork.random(2, 2.5, 2, 1.0, RNG), "depth", TypeError),
        (lambda: DeepLinearNetwork.random(2, 2, 0, 1.0, RNG), "width", ValueError),
        (lambda: DeepLinearNetwork.random(2, 2, 2, -1.0, RNG), "scale", ValueError),
        (lambda: DeepLinearNetwork.random(2, 2, 2, 1.0, 0), "rng", TypeError),
    ],
)
def test_bad_input_is_named(call, argument, error):
    with pytest.raises(error, match=rf"^{argument} must"):
        call()


@pytest.mark.parametrize("trainable", [[1], [2], [3]])
def test_a_single_layer_after_a_frozen_first_learns_the_best_multiple(trainable):
    """In the middle as at the end, of either sign: one number is learned, and exactly."""
    rng = np.random.default_rng(7)
    X, y, source = random_case(rng, 10, 4)
    for labels in (y, -y):
        layers = deep_linear.balanced_layers(source, 4, 3, rng)
        network, _ = descend(layers, X, labels, 0.2, trainable)
        assert distance(network, deep_linear.finetune_frozen_first(X, labels, source)) < 1e-5


def test_several_layers_after_a_frozen_first_need_not_be_neighbours():
    rng = np.random.default_rng(8)
    X, y, source = random_case(rng, 10, 4)
    if (X @ source) @ y < 0:
        y = -y
    network, _ = descend(deep_linear.balanced_layers(source, 4, 3, rng), X, y, 0.1, [1, 3])
    end = deep_linear.finetune_frozen_first(X, y, source, trained=2)
    assert distance(network, end) < 1e-4
