"""thm-layers and prop-best-depth, against the flow of the layers themselves."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.integrate
import scipy.linalg
import torch
from hypothesis import assume, given, settings
from strategies import problems, seeds

from lib import training
from lib.deep_linear import (
    balanced_layers,
    best_depth,
    finetune,
    finetune_frozen_last,
    finetune_layers,
    gradient_flow,
    layer_curve,
    layer_flow,
    learning_curve,
)
from lib.networks import DeepLinearNetwork
from lib.problem import Population, TransferProblem


def case(seed, depth, spread=3.0, dim=12):
    """Return X, y, a source that beats answering zero, norms and rates over 2·spread orders."""
    rng = np.random.default_rng(seed)
    d = int(rng.integers(3, dim))
    n = int(rng.integers(1, d))
    X, source = rng.standard_normal((n, d)), rng.standard_normal(d)
    target = source * rng.uniform(0.6, 3) + 0.3 * rng.standard_normal(d)
    assume(np.linalg.norm(X @ (target - source)) < 0.95 * np.linalg.norm(X @ target))
    norms = 10 ** rng.uniform(-spread / depth, spread / depth, depth)
    norms *= (np.linalg.norm(source) / norms.prod()) ** (1 / depth)
    return X, X @ target, source, norms, 10 ** rng.uniform(-spread, spread, depth)


def blind(X, vector):
    """Return P_⊥ of a vector."""
    return vector - np.linalg.pinv(X) @ (X @ vector)


def stretch(X, beta, source):
    """Return c with P_⊥β = cP_⊥θ_S, once it is seen that there is one."""
    missed, left = blind(X, source), blind(X, beta)
    c = (left @ missed) / (missed @ missed)
    np.testing.assert_allclose(left, c * missed, atol=1e-9 * np.linalg.norm(left))
    return c


def end_of_flow(X, y, source, norms, rates):
    """Where gradient flow on W₁ (d,) and the numbers v_j ends, all of them as they are."""
    d = X.shape[1]

    def velocity(_, state):
        u, v = state[:d], state[d:]
        gradient = X.T @ (X @ (u * v.prod()) - y) / len(X)
        rest = [np.delete(v, j).prod() for j in range(v.size)]
        return -np.concatenate([rates[0] * v.prod() * gradient, rates[1:] * rest * (u @ gradient)])

    state = np.concatenate([source / np.prod(norms[1:]), norms[1:]])
    # The slowest time there is: of the least curvature, at the least product on the way.
    s = np.linalg.svd(X, compute_uv=False)
    span = 1e3 * len(X) / (s[-1] * rates[0] * np.prod(norms[1:])) / s[-1] / np.prod(norms[1:])

    def fitted(_, state):
        return np.linalg.norm(X @ state[:d] * state[d:].prod() - y) - 1e-11

    fitted.terminal = True
    run = scipy.integrate.solve_ivp(
        velocity, (0, 1e6 * span), state, "LSODA", rtol=1e-11, atol=1e-14, events=fitted
    )
    assert run.success
    return run.y[:d, -1] * run.y[d:, -1].prod()


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(2, 7))
def test_end_point_is_that_of_the_flow(seed, depth):
    """Norms and rates over six orders of magnitude; tolerance: what the solver promises, ×100."""
    X, y, source, norms, rates = case(seed, depth)
    beta = finetune_layers(X, y, source, norms, rates)
    np.testing.assert_allclose(X @ beta, y, atol=1e-10 * np.linalg.norm(y))
    flow = end_of_flow(X, y, source, norms, rates)
    assert np.linalg.norm(beta - flow) <= 1e-9 * np.linalg.norm(beta)


@given(seeds, st.integers(2, 7))
def test_the_stretch_lies_between_those_of_depth_one_and_infinity(seed, depth):
    X, y, source, norms, rates = case(seed, depth, spread=8.0)
    c = stretch(X, finetune_layers(X, y, source, norms, rates), source)
    P = np.linalg.pinv(X)
    end = np.linalg.norm(P @ y) / np.linalg.norm(P @ (X @ source))
    assert min(1, end) * (1 - 1e-9) <= c <= max(1, end) * (1 + 1e-9)


@given(seeds, st.integers(2, 7))
def test_special_cases(seed, depth):
    """Equal norms and rates are balance, a frozen layer is not there, one layer is linear."""
    X, y, source, norms, _ = case(seed, depth)
    size = np.linalg.norm(source)
    equal = np.full(depth, size ** (1 / depth))
    scale = 1e-10 * size

    def same(a, b):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=scale)

    same(finetune_layers(X, y, source, equal), finetune(X, y, source, depth))
    for trained in range(1, depth + 1):
        rates = (np.arange(depth) < trained).astype(float)
        ending = finetune_layers(X, y, source, equal, rates)
        same(ending, finetune_frozen_last(X, y, source, depth, trained))
    only_first = finetune_layers(X, y, source, norms, np.eye(depth)[0])
    same(only_first, finetune(X, y, source, 1))
    same(finetune_layers(X, y, source, [size]), finetune(X, y, source, 1))


@given(seeds)
def test_two_layers_have_a_formula(seed):
    X, y, source, norms, _ = case(seed, 2)
    c = stretch(X, finetune_layers(X, y, source, norms), source)
    m = np.sum(blind(X, source / norms[1]) ** 2)
    tau, gap = np.linalg.norm(np.linalg.pinv(X) @ y), norms[0] ** 2 - norms[1] ** 2
    b = m - gap  # v² solves v²(v² − b) = τ²; the root in the form that does not cancel
    root = math.hypot(b, 2 * tau)
    square = (b + root) / 2 if b > 0 else 2 * tau**2 / (root - b)
    assert c == pytest.approx(math.sqrt(square) / norms[1], rel=1e-7)


def test_the_continuum():
    """From the linear model to infinite depth as the first layer grows, by the theory's figures."""
    rng = np.random.default_rng(2)
    X, source = rng.standard_normal((5, 20)), rng.standard_normal(20)
    y = X @ (3 * source + 0.1 * rng.standard_normal(20))
    size = np.linalg.norm(source)
    heights = np.geomspace(1e-5, 1e5, 9)
    c = [
        stretch(X, finetune_layers(X, y, source, [np.sqrt(size) * h, np.sqrt(size) / h]), source)
        for h in heights
    ]
    assert (np.diff(c) > 0).all()
    P = np.linalg.pinv(X)
    end = np.linalg.norm(P @ y) / np.linalg.norm(P @ (X @ source))
    assert c[0] == pytest.approx(1, abs=1e-8) and c[-1] == pytest.approx(end, abs=1e-8)
    assert c[4] == pytest.approx(stretch(X, finetune(X, y, source, 2), source))
    slow = finetune_layers(X, y, source, [np.sqrt(size)] * 2, [1e-9, 1])
    assert stretch(X, slow, source) == pytest.approx(end, rel=1e-6)


def test_a_sign_may_change_where_neither_condition_holds():
    """Opposed teachers, a first layer that is large: c is negative, and the library refuses."""
    rng = np.random.default_rng(0)
    X, source = rng.standard_normal((3, 8)), rng.standard_normal(8)
    y = X @ (-source)
    norms = np.array([10.0, np.linalg.norm(source) / 10])
    with pytest.raises(ValueError, match="changing its sign"):
        finetune_layers(X, y, source, norms)
    beta = layer_flow(X, y, source, norms, [1e4])[0]
    np.testing.assert_allclose(X @ beta, y, atol=1e-8)
    assert stretch(X, beta, source) < -0.9
    # (a): a first layer so small that none of the others comes to 0.
    safe = norms[::-1]
    assert stretch(X, finetune_layers(X, y, source, safe), source) > 0
    flow = layer_flow(X, y, source, safe, [1e6])[0]
    np.testing.assert_allclose(flow, finetune_layers(X, y, source, safe), rtol=1e-7)


@settings(max_examples=25, deadline=None)
@given(seeds, st.integers(2, 5))
def test_flow_is_that_of_balanced_networks_and_of_matrices(seed, depth):
    X, y, source, norms, rates = case(seed, depth, spread=0.5, dim=7)
    equal = np.full(depth, np.linalg.norm(source) ** (1 / depth))
    times = np.array([3.0, 0.0, 0.1])
    np.testing.assert_allclose(
        layer_flow(X, y, source, equal, times),
        gradient_flow(X, y, source, depth, times),
        rtol=1e-7,
        atol=1e-9,
    )
    # Gradient descent on the matrices, with a step so small that it follows the flow.
    rng = np.random.default_rng(seed)
    layers = balanced_layers(source, depth, 3, rng)
    layers = [W * norm / np.linalg.norm(W) for W, norm in zip(layers, norms, strict=True)]
    network = DeepLinearNetwork(layers)
    rates, step = rates / rates.max(), 1e-4
    training.train(
        network, X, y, learning_rate=step, rates=rates, max_steps=500, tolerance=0, progress=False
    )
    flow = layer_flow(X, y, source, norms, [500 * step], rates)[0]
    np.testing.assert_allclose(network.linear_map(), flow, atol=0.02 * np.linalg.norm(source))


@given(seeds, st.integers(1, 5))
def test_curve_is_the_risk_of_each_end_point(seed, depth):
    X, y, source, norms, rates = case(seed, depth)
    d = X.shape[1]
    rng = np.random.default_rng(seed)
    X = np.vstack([X, X[:1], rng.standard_normal((2, d))])  # a row that shows nothing new
    target = source + 0.2 * rng.standard_normal(d)
    problem = TransferProblem(Population.power_law(d, 1), source, target)
    norms = norms * np.exp(rng.uniform(-1, 1, (4, depth)))
    norms *= (np.linalg.norm(source) / norms.prod(axis=1, keepdims=True)) ** (1 / depth)
    try:
        curves = layer_curve(problem, X, norms, rates)
    except ValueError:
        assume(False)
    assert curves.shape == (4, len(X) + 1)
    for some, curve in zip(norms, curves, strict=True):
        ends = [
            source,
            *(
                finetune_layers(X[:n], X[:n] @ target, source, some, rates)
                for n in range(1, len(X) + 1)
            ),
        ]
        largest = problem.risk(source)
        np.testing.assert_allclose(curve, problem.risk(ends), rtol=1e-6, atol=1e-13 * largest)


def test_curve_of_equal_norms_is_that_of_depth():
    rng = np.random.default_rng(1)
    source = rng.standard_normal(9)
    problem = TransferProblem(
        Population.power_law(9, 1), source, source + rng.standard_normal((2, 9))
    )
    X = rng.standard_normal((3, 6, 9))
    equal = np.full(3, np.linalg.norm(source) ** (1 / 3))
    np.testing.assert_allclose(
        layer_curve(problem, X, equal), learning_curve(problem, X, 3), rtol=1e-9
    )


@settings(max_examples=60)
@given(problems(), seeds)
def test_best_depth_is_the_best_of_all(problem, seed):
    rng = np.random.default_rng(seed)
    problem = TransferProblem(
        problem.population, problem.source, problem.target * 10 ** rng.uniform(-1, 1)
    )
    assume(problem.source.any() and problem.population.eigenvalues[0] > 0)
    assume(problem.population.dim > 2)
    X = rng.standard_normal((int(rng.integers(1, problem.population.dim)), problem.population.dim))
    depth = best_depth(problem, X)
    every = [*range(1, 200), 400, 1000, math.inf]
    risks = learning_curve(problem, X, every)[:, -1]
    chosen = learning_curve(problem, X, depth)[-1]
    assert chosen <= risks.min() * (1 + 1e-8) + 1e-14 * problem.risk(problem.source)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("a", "b"), [(1e150, 1), (1e-150, 1), (1, 1e150), (1, 1e-150)])
def test_units_do_not_matter(a, b):
    """Inputs a times as long, labels b times as large: teachers b/a times, layers its root."""
    rng = np.random.default_rng(3)
    X, source = rng.standard_normal((4, 9)), rng.standard_normal(9)
    y, norms, rates = X @ (2 * source), np.array([0.1, 2, 5]), np.array([1, 3, 0.2])
    norms[0] = np.linalg.norm(source) / 10
    end = finetune_layers(X, y, source, norms, rates)
    norms = norms * (b / a) ** (1 / 3)
    found = finetune_layers(a * X, b * y, source * (b / a), norms, rates)
    np.testing.assert_allclose(found * (a / b), end, rtol=1e-9)


X, SOURCE = np.eye(3)[:2], np.ones(3)
Y = X @ (2 * SOURCE)


@pytest.mark.parametrize(
    ("options", "name", "error"),
    [
        ({"norms": [1.0, -1.0]}, "norms", ValueError),
        ({"norms": []}, "norms", ValueError),
        ({"norms": [1.0, 1.0]}, "norms", ValueError),  # the source has length √3
        ({"norms": "ab"}, "norms", TypeError),
        ({"rates": [1.0]}, "rates", ValueError),
        ({"rates": [0.0, 1.0]}, "rates", ValueError),
        ({"rates": [1.0, -1.0]}, "rates", ValueError),
        ({"source": np.zeros(3)}, "source", ValueError),
    ],
)
def test_bad_layers_are_named(options, name, error):
    good = {"source": SOURCE, "norms": [1.0, math.sqrt(3)], "rates": [1.0, 1.0]}
    finetune_layers(X, Y, **good)
    with pytest.raises(error, match=f"^{name} must"):
        finetune_layers(X, Y, **good | options)
    with pytest.raises(error, match=f"^{name} must"):
        layer_flow(X, Y, times=[1.0], **good | options)
    problem = TransferProblem(Population.isotropic(3), (good | options)["source"], 2 * SOURCE)
    some = {key: (good | options)[key] for key in ("norms", "rates")}
    with pytest.raises(error, match=f"^{name} must"):
        layer_curve(problem, X, **some)
    with pytest.raises(ValueError, match="^times must"):
        layer_flow(X, Y, times=[-1.0], **good)
    with pytest.raises(TypeError, match="^problem must"):
        best_depth(None, X)


def test_the_first_condition_is_that_of_the_theorem():
    """Opposed teachers: a second layer 0.99/s times as fast is allowed and right, 1.01/s is not."""
    rng = np.random.default_rng(4)
    X, source = rng.standard_normal((4, 9)), rng.standard_normal(9)
    y, size = X @ (-source), np.linalg.norm(source)
    share = 1 - np.sum(blind(X, source) ** 2) / size**2
    for factor in (0.99, 1.01):
        ratio = math.sqrt(factor / share)  # of the norms: its square is the relative speed
        norms = [math.sqrt(size * ratio), math.sqrt(size / ratio)]
        if factor > 1:
            with pytest.raises(ValueError, match="changing its sign"):
                finetune_layers(X, y, source, norms)
        else:
            flow = layer_flow(X, y, source, norms, [1e6])[0]
            np.testing.assert_allclose(finetune_layers(X, y, source, norms), flow, rtol=1e-6)


@pytest.mark.parametrize("seed", range(12))
def test_a_curve_is_refused_exactly_if_one_of_its_end_points_is(seed):
    rng = np.random.default_rng(seed)
    X, source = rng.standard_normal((6, 9)), rng.standard_normal(9)
    target = 0.5 * source + rng.uniform(0.2, 1.2) * rng.standard_normal(9)
    size = np.linalg.norm(source)
    norms = [math.sqrt(3 * size), math.sqrt(size / 3)]

    def refused(call):
        try:
            call()
        except ValueError:
            return True
        return False

    each = [
        refused(lambda n=n: finetune_layers(X[:n], X[:n] @ target, source, norms))
        for n in range(1, 7)
    ]
    problem = TransferProblem(Population.isotropic(9), source, target)
    assert refused(lambda: layer_curve(problem, X, norms)) == any(each)


@given(seeds, st.integers(2, 4))
@settings(max_examples=4, deadline=None)
def test_descent_with_rates_of_its_own_ends_at_the_closed_form(seed, depth):
    """Matrices in torch; the distance falls with the step, and is small at the smaller one."""
    X, y, source, norms, rates = case(seed, depth, spread=0.3)
    expected = finetune_layers(X, y, source, norms, rates)
    layers = balanced_layers(source, depth, 3, np.random.default_rng(seed))
    sizes = norms / np.linalg.norm(source) ** (1 / depth)
    away = []
    for step in (0.1, 0.025):
        network = DeepLinearNetwork([s * W for s, W in zip(sizes, layers, strict=True)])
        rate = step * training.stable_learning_rate(network, X) / rates.max()
        training.train(
            network, X, y, learning_rate=rate, rates=rates, tolerance=1e-14, progress=False
        )
        end = network.linear_map()
        assume(np.linalg.norm(X @ end - y) < 1e-6 * np.linalg.norm(y))
        away.append(np.linalg.norm(end - expected) / np.linalg.norm(expected))
    assert away[1] < 0.02
    assert away[1] < 0.5 * away[0] + 1e-7


def conserved(layers, rates):
    """W_jᵀW_j/η_j − W_{j+1}W_{j+1}ᵀ/η_{j+1}, all of them as one vector."""
    pairs = zip(layers, layers[1:], rates, rates[1:], strict=False)
    return np.concatenate([(A.T @ A / a - B @ B.T / b).ravel() for A, B, a, b in pairs])


@pytest.mark.parametrize("width", [1, 4])
def test_differences_of_squares_are_conserved_along_runs(width):
    """At every recorded step, up to an error in proportion to the step; P_⊥W₁ to the last digit."""
    rng = np.random.default_rng(width)
    X, rates = rng.standard_normal((5, 12)), np.array([0.5, 1.0, 0.2])
    y = rng.standard_normal(5)
    drifts = []
    for step in (0.1, 0.025):
        network = DeepLinearNetwork.random(12, 3, width, 1.5, np.random.default_rng(0))
        start = network.layers()
        rate = step * training.stable_learning_rate(network, X)
        run = training.train(
            network,
            X,
            y,
            learning_rate=rate,
            rates=rates,
            tolerance=1e-10,
            record_every=20,
            progress=False,
        )
        paths = [list(parameters.values()) for parameters in run.path]
        assert len(paths) > 5 and run.losses[-1] < 1e-9 * run.losses[0]
        before = conserved(start, rates)
        drifts.append(max(np.abs(conserved(layers, rates) - before).max() for layers in paths))
        for layers in paths:
            moved = layers[0] - start[0]
            assert np.abs(moved - np.linalg.pinv(X) @ (X @ moved)).max() < 1e-12
    assert drifts[0] < 0.1 * np.abs(before).max()
    assert 3 < drifts[0] / drifts[1] < 5


def test_relu_units_conserve_their_difference_of_squares():
    """‖w_r‖² − a_r² of each unit of a ReLU network, both layers trained."""
    rng = np.random.default_rng(3)
    X, y = (
        torch.from_numpy(part) for part in (rng.standard_normal((6, 15)), rng.standard_normal(6))
    )
    start = [
        torch.from_numpy(part) for part in (rng.standard_normal((8, 15)), rng.standard_normal(8))
    ]
    unseen = torch.eye(15) - torch.linalg.pinv(X) @ X
    drifts = []
    for rate in (0.004, 0.001):
        W, a = (part.clone().requires_grad_() for part in start)
        before, drift, first = W.square().sum(1) - a.square(), 0.0, None
        for _ in range(int(4 / rate)):
            loss = (torch.relu(X @ W.T) @ a - y).square().mean() / 2
            first = loss.item() if first is None else first
            gradients = torch.autograd.grad(loss, (W, a))
            with torch.no_grad():
                for part, gradient in zip((W, a), gradients, strict=True):
                    part -= rate * gradient
                drift = max(drift, (W.square().sum(1) - a.square() - before).abs().max().item())
        assert loss.item() < 0.01 * first
        assert ((W - start[0]) @ unseen).abs().max() < 1e-12
        drifts.append(drift)
    assert drifts[0] < 0.1 * before.abs().max()
    assert 3 < drifts[0] / drifts[1] < 5


def end_of_two_layers(X, Y, layers):
    """Where gradient flow on two layers with several outputs ends."""
    shapes, cut = [W.shape for W in layers], layers[0].size

    def velocity(_, state):
        W, V = state[:cut].reshape(shapes[0]), state[cut:].reshape(shapes[1])
        gradient = X.T @ (X @ W @ V - Y)
        return -np.concatenate([(gradient @ V.T).ravel(), (W.T @ gradient).ravel()])

    state = np.concatenate([W.ravel() for W in layers])
    run = scipy.integrate.solve_ivp(velocity, (0, 3000), state, "LSODA", rtol=1e-10, atol=1e-12)
    end = run.y[:, -1]
    product = end[:cut].reshape(shapes[0]) @ end[cut:].reshape(shapes[1])
    np.testing.assert_allclose(X @ product, Y, atol=1e-8)
    return product


@pytest.mark.parametrize("outputs", [1, 2, 3])
def test_weights_of_samples_move_the_end_only_with_several_outputs(outputs):
    """With one output the row space and the labels determine the end; with more they do not."""
    far = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        X, source = rng.standard_normal((5, 12)), rng.standard_normal((12, outputs))
        Y = X @ (source + rng.standard_normal((12, outputs)))
        left, s, right = np.linalg.svd(source, full_matrices=False)
        layers = [left * np.sqrt(s), np.sqrt(s)[:, None] * right]
        root = np.sqrt(rng.uniform(0.2, 2, (5, 1)))
        ends = end_of_two_layers(X, Y, layers), end_of_two_layers(root * X, root * Y, layers)
        if outputs == 1:
            expected = finetune(X, Y[:, 0], source[:, 0], 2)
            np.testing.assert_allclose(ends[0][:, 0], expected, rtol=1e-7, atol=1e-8)
        far.append(np.linalg.norm(ends[0] - ends[1]) / np.linalg.norm(ends[0]))
    if outputs == 1:
        assert max(far) < 1e-8
    else:
        assert min(far) > 2e-4


def test_norms_of_single_precision_are_taken():
    rng = np.random.default_rng(0)
    first, last = (rng.standard_normal(k).astype(np.float32) for k in (8, 1))
    source = (first * last).astype(float)
    norms = np.array([np.linalg.norm(first), np.linalg.norm(last)])
    X = rng.standard_normal((3, 8))
    y = X @ (2 * source)
    exact = [np.linalg.norm(source) / np.abs(last[0]), np.abs(last[0])]
    found = finetune_layers(X, y, source, norms)
    expected = finetune_layers(X, y, source, exact)  # the norms are known to 1e-7
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * np.linalg.norm(expected))
    stretched = finetune_layers(X, y, source, np.multiply(exact, 1 + 4e-6))
    np.testing.assert_allclose(stretched, expected, rtol=1e-10)
    with pytest.raises(ValueError, match="^norms must multiply"):
        finetune_layers(X, y, source, norms * [1.001, 1])
