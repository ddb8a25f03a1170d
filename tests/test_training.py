"""lib.training: gradient descent in torch against closed forms in NumPy."""

import os
import subprocess
import sys

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from strategies import sampled_problems, seeds

from lib.linear_regression import finetune
from lib.networks import DeepLinearNetwork, LinearNetwork, ShallowReLU
from lib.training import empirical_ntk, stable_learning_rate, train


class TwoLayers(torch.nn.Module):
    """f(x) = xᵀVa, V frozen or not: a network whose curvature is not Σ̂."""

    def __init__(self, V, a, frozen=False):
        super().__init__()
        self.V = torch.nn.Parameter(torch.tensor(V), requires_grad=not frozen)
        self.a = torch.nn.Parameter(torch.tensor(a))

    def forward(self, X):
        return X @ self.V @ self.a


class Interrupted(LinearNetwork):
    """A linear network whose user presses Ctrl-C during a forward pass."""

    patience = -1  # forward passes until then

    def forward(self, X):
        if self.patience == 0:
            self.patience = -1
            raise KeyboardInterrupt
        self.patience -= 1
        return super().forward(X)


@pytest.fixture
def case():
    rng = np.random.default_rng(0)
    return rng.standard_normal((6, 15)), rng.standard_normal(6), rng.standard_normal(15)


@settings(max_examples=50)
@given(sampled_problems(dims=st.integers(2, 8), sizes=st.integers(1, 10)), seeds)
def test_gradient_descent_ends_at_the_closed_form(problem_and_rows, seed):
    problem, X = problem_and_rows
    # Rows of modest condition, so that it gets there: the spectrum of a Gaussian matrix, half.
    U, s, Vt = np.linalg.svd(X, full_matrices=False)
    X = (U * np.where(s > 1e-9 * max(s[0], 1e-9), np.linspace(1, 0.2, len(s)), 0)) @ Vt
    if not X.any():
        return
    y = X @ problem.target
    network = LinearNetwork(problem.source)
    run = train(network, X, y, progress=False)
    assert run.stopped == "loss" and run.steps < 1000  # 0.96 per step: some 700
    # ℓ ≤ 1e-24 ℓ₀ leaves 1e-12/0.2 of the way; rounding, some ε/0.2 of the lengths.
    length = np.linalg.norm(problem.gap) + np.linalg.norm(problem.source)
    np.testing.assert_allclose(
        network.linear_map(), finetune(X, y, problem.source), rtol=0, atol=1e-11 * length
    )


def test_labels_out_of_reach_end_at_least_squares_by_the_gradient_rule():
    rng = np.random.default_rng(0)
    X, y, source = rng.standard_normal((20, 5)), rng.standard_normal(20), rng.standard_normal(5)
    network = LinearNetwork(source)
    run = train(network, X, y, progress=False)
    theta = np.linalg.solve(X.T @ X, X.T @ y)
    assert run.stopped == "gradient"
    np.testing.assert_allclose(network.linear_map(), theta, atol=1e-10)
    assert run.loss == pytest.approx(((X @ theta - y) ** 2).sum() / (2 * len(y)))


def test_path_is_the_powers_of_the_contraction(case):
    X, _, source = case
    target = np.random.default_rng(1).standard_normal(15)
    y, eta = X @ target, 0.1
    network = LinearNetwork(source)
    run = train(
        network, X, y, learning_rate=eta, max_steps=23, record_every=10, tolerance=0, progress=False
    )
    assert run.path_steps.tolist() == [0, 10, 20, 23]
    assert (run.steps, run.stopped, run.learning_rate) == (23, "max_steps", eta)
    contraction = np.eye(15) - eta * X.T @ X / 6
    for k, weights, loss in zip(run.path_steps, run.path, run.losses, strict=True):
        error = np.linalg.matrix_power(contraction, k) @ (source - target)  # −(I − ηΣ̂)^k u
        np.testing.assert_allclose(weights["theta"] - target, error, atol=1e-13)
        assert loss == pytest.approx(((X @ error) ** 2).sum() / 12)
    np.testing.assert_array_equal(run.path[-1]["theta"], network.linear_map())
    assert run.loss == run.losses[-1]


def test_nothing_is_recorded_unless_asked(case):
    run = train(LinearNetwork(case[2]), *case[:2], max_steps=5, progress=False)
    assert run.path == [] and run.path_steps.size == run.losses.size == 0


def test_learning_rate_is_the_inverse_of_the_largest_curvature(case):
    X, _, source = case
    largest = np.linalg.eigvalsh(X.T @ X / 6)[-1]
    assert stable_learning_rate(LinearNetwork(source), X) == pytest.approx(1 / largest)
    run = train(LinearNetwork(source), *case[:2], max_steps=0, progress=False)
    assert run.learning_rate == pytest.approx(1 / largest)
    # Any network: J by finite differences, in the trainable parameters only.
    rng = np.random.default_rng(1)
    V, a = rng.standard_normal((15, 4)), rng.standard_normal(4)
    for frozen in False, True:
        network = TwoLayers(V, a, frozen)
        parameters = [p for p in network.parameters() if p.requires_grad]
        columns = []
        for p in parameters:
            for i in range(p.numel()):
                outputs = []
                for sign in 1, -1:
                    p.data.view(-1)[i] += sign * 1e-4
                    outputs.append(network(torch.tensor(X)).detach().numpy())
                    p.data.view(-1)[i] -= sign * 1e-4
                columns.append((outputs[0] - outputs[1]) / 2e-4)
        J = np.array(columns).T
        expected = 1 / np.linalg.eigvalsh(J.T @ J / 6)[-1]
        # f is quadratic in each parameter: central differences err by rounding, ε/1e-4.
        assert stable_learning_rate(network, X) == pytest.approx(expected, rel=1e-9)


def test_empirical_ntk_of_a_linear_network_is_linear(case):
    X, _, source = case
    Z = np.random.default_rng(1).standard_normal((4, 15))
    network = LinearNetwork(source)
    np.testing.assert_allclose(empirical_ntk(network, X, Z), X @ Z.T, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(empirical_ntk(network, X), X @ X.T, rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(network.linear_map(), source)
    assert network.theta.grad is None


@pytest.mark.parametrize("trainable", [None, [1], [0, 2]])
def test_empirical_ntk_is_made_of_derivatives(case, trainable):
    """Central differences, in the layers that are trained; f is linear in each entry."""
    X, rng = case[0], np.random.default_rng(1)
    Z = rng.standard_normal((4, 15))
    network = DeepLinearNetwork.random(15, 3, 4, 1.0, rng, trainable)
    columns = []
    with torch.no_grad():
        for p in (p for p in network.parameters() if p.requires_grad):
            for i in range(p.numel()):
                outputs = []
                for sign in 1, -1:
                    p.view(-1)[i] += sign
                    outputs.append(network(torch.tensor(np.vstack([X, Z]))).numpy())
                    p.view(-1)[i] -= sign
                columns.append((outputs[0] - outputs[1]) / 2)
    J = np.array(columns).T
    np.testing.assert_allclose(empirical_ntk(network, X, Z), J[:6] @ J[6:].T, rtol=0, atol=1e-11)
    np.testing.assert_allclose(empirical_ntk(network, X), J[:6] @ J[:6].T, rtol=0, atol=1e-11)
    largest = np.linalg.eigvalsh(J[:6] @ J[:6].T / 6)[-1]
    assert stable_learning_rate(network, X) == pytest.approx(1 / largest)


def test_empirical_ntk_of_a_relu_network_counts_the_units_on(case):
    """xᵀz times the share of units that are on for both, whatever their signs."""
    X, rng = case[0], np.random.default_rng(1)
    Z, weights = rng.standard_normal((4, 15)), rng.standard_normal((9, 15))
    network = ShallowReLU(weights, rng.choice([-1, 1], 9))
    expected = [
        [x @ z * np.mean([(w @ x > 0) and (w @ z > 0) for w in weights]) for z in Z] for x in X
    ]
    np.testing.assert_allclose(empirical_ntk(network, X, Z), expected, rtol=1e-12, atol=1e-14)


def test_units_that_are_off_have_no_kernel_and_no_learning_rate():
    network, X = ShallowReLU(-np.ones((2, 3)), [1, -1]), np.ones((4, 3))
    np.testing.assert_array_equal(empirical_ntk(network, X), np.zeros((4, 4)))
    with pytest.raises(ValueError, match="^network must have outputs on X that depend"):
        stable_learning_rate(network, X)
    with pytest.raises(ValueError, match="^network must have outputs on X that depend"):
        train(network, X, np.ones(4), progress=False)


def test_it_stops_by_the_rule_that_applies(case):
    X, y, source = case
    for tolerance in 1e-3, 1e-9:
        network = LinearNetwork(source)
        run = train(network, X, y, tolerance=tolerance, record_every=1, progress=False)
        assert run.stopped == "loss"
        assert run.losses[-1] <= tolerance * run.losses[0] < run.losses[-2]
        assert run.steps == run.path_steps[-1] == len(run.losses) - 1
    run = train(LinearNetwork(source), X, y, max_steps=0, progress=False)
    assert (run.steps, run.stopped) == (0, "max_steps")


def test_nothing_is_done_where_nothing_is_left_to_do(case):
    """Equal teachers, and runs that are started again: the loss is rounding error at the start."""
    X, y, source = case
    for seed in range(20):
        target = np.random.default_rng(seed).standard_normal(15)
        assert train(LinearNetwork(target), X, X @ target, progress=False).steps == 0
    tall = np.random.default_rng(0).standard_normal((40, 15))
    for inputs in (X, y), (tall, tall[:, 0] + 0.1 * tall[:, 1] ** 2):
        network = LinearNetwork(source)
        first = train(network, *inputs, progress=False)
        again = train(network, *inputs, progress=False)
        # Rounding ends the second run before it could reduce the loss as much again.
        assert again.stopped in ("loss", "gradient") and again.steps < first.steps


def test_a_start_that_is_the_end_takes_no_step():
    """No loss at all; or a loss whose gradient is zero, by labels that the inputs cannot reach."""
    done = train(LinearNetwork(np.zeros(2)), np.eye(2), np.zeros(2), progress=False)
    assert (done.steps, done.stopped, done.loss) == (0, "loss", 0)
    stuck = train(LinearNetwork([0.0]), [[1], [1]], [1, -1], progress=False)
    assert (stuck.steps, stuck.stopped, stuck.loss) == (0, "gradient", 0.5)


def test_rounding_grows_with_the_number_of_terms():
    """Labels are sums of 10⁵ terms, added one by one: to √d ε, the teacher has no loss."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        X, target = rng.standard_normal((2, 10**5)), rng.standard_normal(10**5)
        y = [sum((x * target).tolist()) for x in X]
        run = train(LinearNetwork(target), X, y, learning_rate=1e-6, max_steps=1, progress=False)
        assert (run.steps, run.stopped) == (0, "loss")


def test_options_are_named_and_results_are_final(case):
    with pytest.raises(TypeError, match="positional"):
        train(LinearNetwork(case[2]), *case[:2], 0.1)
    run = train(LinearNetwork(case[2]), *case[:2], max_steps=0, progress=False)
    with pytest.raises(AttributeError):
        run.steps = 1


def test_divergence_is_an_error_that_names_the_learning_rate(case):
    X, y, source = case
    largest = np.linalg.eigvalsh(X.T @ X / 6)[-1]
    train(LinearNetwork(source), X, y, learning_rate=1.9 / largest, progress=False)
    rate = 2.1 / largest
    with pytest.raises(FloatingPointError, match=f"learning_rate must be smaller than {rate:.3g}"):
        train(LinearNetwork(source), X, y, learning_rate=rate, progress=False)


@pytest.mark.parametrize("call", [1, 2, 17, 40])
def test_an_interrupted_run_goes_on_where_it_stopped(case, call):
    X, y, source = case
    whole = LinearNetwork(source)
    train(whole, X, y, learning_rate=0.1, max_steps=50, progress=False)
    network = Interrupted(source)
    network.patience = call  # the first pass looks at the shapes, each later one begins a step
    with pytest.raises(KeyboardInterrupt):
        train(network, X, y, learning_rate=0.1, max_steps=50, progress=False)
    done = call - 1
    contraction = np.eye(15) - 0.1 * X.T @ X / 6
    target = finetune(X, y, source)
    expected = target + np.linalg.matrix_power(contraction, done) @ (source - target)
    np.testing.assert_allclose(network.linear_map(), expected, atol=1e-12)
    train(network, X, y, learning_rate=0.1, max_steps=50 - done, progress=False)
    np.testing.assert_array_equal(network.linear_map(), whole.linear_map())  # to the last bit
    # And to the end, by the stopping rule.
    assert train(network, X, y, progress=False).stopped == "loss"
    np.testing.assert_allclose(network.linear_map(), target, atol=1e-11)


def test_it_trains_where_gradients_are_off(case):
    X, y, source = case
    expected, network = LinearNetwork(source), LinearNetwork(source)
    train(expected, X, y, max_steps=20, progress=False)
    with torch.no_grad():
        train(network, X, y, max_steps=20, progress=False)
        kernel = empirical_ntk(network, X)
        assert not torch.is_grad_enabled()
    np.testing.assert_array_equal(network.linear_map(), expected.linear_map())
    np.testing.assert_allclose(kernel, X @ X.T, rtol=1e-12, atol=1e-14)


def test_frozen_parameters_stay(case):
    X, y, _ = case
    rng = np.random.default_rng(1)
    V, a = rng.standard_normal((15, 4)), rng.standard_normal(4)
    network = TwoLayers(V, a, frozen=True)
    run = train(network, X, y, record_every=10**6, progress=False)
    np.testing.assert_array_equal(network.V.detach(), V)
    np.testing.assert_array_equal(run.path[-1]["V"], V)
    # What is trained is a linear model on the features XV.
    np.testing.assert_allclose(network.a.detach(), finetune(X @ V, y, a), atol=1e-9)
    assert network.V.grad is None and network.a.grad is None


@pytest.mark.filterwarnings("error")
def test_any_arrays_will_do_and_are_left_alone(case):
    X, y, source = case
    expected = LinearNetwork(source)
    train(expected, X, y, max_steps=20, progress=False)
    backwards = X[::-1].copy()[::-1], y[::-1].copy()[::-1]
    read_only = X.copy(), y.copy()
    for array in read_only:
        array.flags.writeable = False
    for inputs in backwards, read_only, (X.tolist(), y.tolist()), (np.asfortranarray(X), y):
        network = LinearNetwork(source)
        train(network, *inputs, max_steps=20, progress=False)
        # Strided inputs may be summed in another order.
        np.testing.assert_allclose(network.linear_map(), expected.linear_map(), rtol=1e-12)


PROGRESS = """
import sys
import numpy as np
from lib.networks import LinearNetwork
from lib.training import train
X = np.random.default_rng(0).standard_normal((3, 5))
for shown in False, True:
    print("shown:", shown, file=sys.stderr)
    train(LinearNetwork(np.zeros(5)), X, np.ones(3), max_steps=600, tolerance=0, progress=shown)
"""


def test_progress_goes_to_stderr_alone():
    environment = {k: v for k, v in os.environ.items() if k != "TQDM_DISABLE"}
    run = subprocess.run(
        [sys.executable, "-c", PROGRESS],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == ""
    quiet, shown = run.stderr.split("shown: True")
    assert quiet == "shown: False\n"
    assert "gradient descent" in shown


class Column(torch.nn.Module):
    """Outputs of shape (n, 1), which would be broadcast against the labels."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 1, dtype=torch.float64)

    def forward(self, X):
        return self.layer(X)


class Constant(LinearNetwork):
    """Outputs that do not depend on the parameters."""

    def forward(self, X):
        return (0 * super().forward(X)) + 1


LINEAR, X, Y = LinearNetwork(np.zeros(3)), np.ones((2, 3)), np.ones(2)


def go(network=LINEAR, X=X, y=Y, **options):
    """Train for at most a step."""
    return train(network, X, y, **{"max_steps": 1, "progress": False} | options)


@pytest.mark.parametrize(
    ("call", "argument", "error"),
    [
        (lambda: go("network"), "network", TypeError),
        (lambda: go(torch.nn.ReLU()), "network", ValueError),
        (lambda: go(LINEAR.float()), "network", ValueError),
        (lambda: go(Column()), "y", ValueError),
        (lambda: go(Constant(np.zeros(3))), "network", ValueError),
        (lambda: go(X=np.ones((2, 4))), "X", ValueError),
        (lambda: go(X=np.ones(3)), "X", ValueError),
        (lambda: go(X=np.ones((0, 3)), y=np.ones(0)), "X", ValueError),
        (lambda: go(X=np.nan * X), "X", ValueError),
        (lambda: go(X="ab"), "X", TypeError),
        (lambda: go(y=np.ones(3)), "y", ValueError),
        (lambda: go(y=np.ones((2, 1))), "y", ValueError),
        (lambda: go(y=[1, np.inf]), "y", ValueError),
        (lambda: go(learning_rate=0), "learning_rate", ValueError),
        (lambda: go(learning_rate=-0.1), "learning_rate", ValueError),
        (lambda: go(learning_rate=np.nan), "learning_rate", ValueError),
        (lambda: go(learning_rate="fast"), "learning_rate", TypeError),
        (lambda: go(tolerance=-1), "tolerance", ValueError),
        (lambda: go(tolerance=None), "tolerance", TypeError),
        (lambda: go(max_steps=-1), "max_steps", ValueError),
        (lambda: go(max_steps=1.5), "max_steps", TypeError),
        (lambda: go(record_every=0), "record_every", ValueError),
        (lambda: go(record_every=True), "record_every", TypeError),
        (lambda: empirical_ntk(None, X), "network", TypeError),
        (lambda: empirical_ntk(torch.nn.ReLU(), X), "network", ValueError),
        (lambda: empirical_ntk(Column(), X), "network", ValueError),
        (lambda: empirical_ntk(LINEAR, np.ones(3)), "X", ValueError),
        (lambda: empirical_ntk(LINEAR, np.ones((2, 4))), "X", ValueError),
        (lambda: empirical_ntk(LINEAR, np.nan * X), "X", ValueError),
        (lambda: empirical_ntk(LINEAR, "ab"), "X", TypeError),
        (lambda: empirical_ntk(LINEAR, X, np.ones(3)), "Z", ValueError),
        (lambda: empirical_ntk(LINEAR, X, np.ones((2, 4))), "Z", ValueError),
        (lambda: empirical_ntk(LINEAR, X, np.ones((0, 3))), "Z", ValueError),
        (lambda: empirical_ntk(LINEAR, X, np.nan * X), "Z", ValueError),
        (lambda: empirical_ntk(LINEAR, X, "ab"), "Z", TypeError),
        (lambda: stable_learning_rate(None, X), "network", TypeError),
        (lambda: stable_learning_rate(LINEAR, np.ones(3)), "X", ValueError),
        (lambda: stable_learning_rate(LINEAR, np.ones((2, 4))), "X", ValueError),
        (lambda: stable_learning_rate(LINEAR, np.zeros((2, 3))), "network", ValueError),
    ],
)
def test_bad_input_is_named(call, argument, error):
    LINEAR.double()
    with pytest.raises(error, match=rf"^{argument} must"):
        call()


def test_several_outputs_are_one_loss():
    """ℓ = ‖f(X) − Y‖²/(2n) over all outputs, its gradient, and the largest curvature of it."""
    rng = np.random.default_rng(2)
    X, Y = rng.standard_normal((6, 4)), rng.standard_normal((6, 3))

    class Matrix(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.W = torch.nn.Parameter(torch.zeros(4, 3, dtype=torch.float64))

        def forward(self, X):
            return X @ self.W

    network = Matrix()
    run = train(network, X, Y, learning_rate=0.1, max_steps=1, record_every=1, progress=False)
    assert run.losses[0] == pytest.approx(np.sum(Y**2) / 12)
    np.testing.assert_allclose(network.W.detach(), 0.1 * X.T @ Y / 6)
    curvature = np.linalg.eigvalsh(X.T @ X / 6)[-1]
    assert stable_learning_rate(network, X) == pytest.approx(1 / curvature)
    train(network, X, Y, progress=False)
    np.testing.assert_allclose(network.W.detach(), np.linalg.lstsq(X, Y)[0], atol=1e-6)
    with pytest.raises(ValueError, match="^y must"):
        train(network, X, Y[:, 0], progress=False)
    with pytest.raises(ValueError, match="^rates must"):
        train(network, X, Y, rates=[-1.0], progress=False)
