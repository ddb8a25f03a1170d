"""lib.finite_width: what is returned is measured on the network that is trained, as it says."""

import numpy as np
import pytest
import torch

from lib import finite_width, relu
from lib.finite_width import finetune, pretrain_and_finetune
from lib.networks import ShallowReLU
from lib.problem import Population
from lib.training import empirical_ntk, stable_learning_rate, train

SPHERE = Population.isotropic(20, 1 / 20)
TEST = SPHERE.sample(500, np.random.default_rng(99), "sphere")
U, SOURCE = np.eye(20)[:2]


def rms(values):
    return np.linalg.norm(values) / np.sqrt(len(values))


def outputs(network, X):
    with torch.no_grad():
        return network(torch.from_numpy(X)).numpy()


@pytest.mark.parametrize(("length", "step"), [(0.5, 1.0), (20, 1.0), (1, 2.2)])
def test_results_are_those_of_the_trained_network(length, step):
    """Kernels by automatic differentiation, step by step from the same seed."""
    row = finetune(64, length, np.random.default_rng(5), n=30, step=step)
    rng = np.random.default_rng(5)
    X = SPHERE.sample(30, rng, "sphere")
    network = ShallowReLU.random(20, 64, rng)
    start = network.weights.detach().numpy().copy()
    y, wanted = length * X @ U, length * TEST @ U
    limit, kernel = relu.finetune(X, y, TEST), empirical_ntk(network, X)
    own = empirical_ntk(network, TEST, X) @ np.linalg.solve(kernel, y)
    rate = step * stable_learning_rate(network, X)
    options = {"learning_rate": rate, "tolerance": 1e-8, "max_steps": 5000}
    run = train(network, X, y, record_every=1, **options)
    f, W = outputs(network, TEST), network.weights.detach().numpy()
    switched = np.sign(W @ X.T) != np.sign(start @ X.T)
    expected = {
        "sampled": rms(own - limit) / rms(wanted),
        "moved": rms(f - own) / rms(wanted),
        "distance": rms(f - limit) / rms(wanted),
        "risk": np.mean((f - wanted) ** 2) / np.mean((limit - wanted) ** 2),
        "kernel": np.sqrt(np.mean((kernel - relu.ntk(X)) ** 2)),
        "largest move": max(np.linalg.norm(W[j] - start[j]) for j in range(64)),
        "total move": np.sqrt(np.sum((W - start) ** 2) / (y @ np.linalg.solve(relu.ntk(X), y))),
        "pairs switched": switched.sum() / (64 * 30),
        "units switched": switched.max(axis=1).sum() / 64,
        "along u": np.sum(W[:, 0] ** 2) / np.sum(W**2),
        "highest loss": run.losses.max() / run.losses[0],
        "step after": rate / stable_learning_rate(network, X),
    }
    assert row.keys() == expected.keys()
    for name, value in expected.items():
        assert row[name] == pytest.approx(value, rel=1e-6), name


def test_two_stages_are_two_fits():
    row = pretrain_and_finetune(64, np.random.default_rng(3), source_samples=50, n=20)
    rng = np.random.default_rng(3)
    X_S, X = SPHERE.sample(50, rng, "sphere"), SPHERE.sample(20, rng, "sphere")
    network, target = ShallowReLU.random(20, 64, rng), SOURCE + U / 2
    train(network, X_S, X_S @ SOURCE, tolerance=1e-6, max_steps=3000)
    assert row["source"] == pytest.approx(np.mean((outputs(network, TEST) - TEST @ SOURCE) ** 2))
    train(network, X, X @ target, tolerance=1e-6, max_steps=3000)
    assert row["target"] == pytest.approx(np.mean((outputs(network, TEST) - TEST @ target) ** 2))

    def risk(source_on):
        f = source_on(TEST) + relu.finetune(X, X @ target - source_on(X), TEST)
        return np.mean((f - TEST @ target) ** 2)

    pretrained = risk(lambda Z: relu.ntk(Z, X_S) @ np.linalg.solve(relu.ntk(X_S), X_S @ SOURCE))
    assert row["infinite"] == pytest.approx(pretrained)
    assert row["perfect source"] == pytest.approx(risk(lambda Z: Z @ SOURCE))
    assert row["scratch"] == pytest.approx(risk(lambda Z: 0 * Z[:, 0]))
    assert row["ratio"] == pytest.approx(row["target"] / row["infinite"])


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"width": 7}, "width must be even"),
        ({"width": 0}, "width"),
        ({"length": 0}, "length must be"),
        ({"step": -1}, "step must be"),
        ({"n": 0}, "n must be"),
    ],
)
def test_wrong_arguments_are_named(changed, error):
    good = {"width": 8, "length": 1.0, "rng": np.random.default_rng(0), "n": 5}
    with pytest.raises(ValueError, match=error):
        finite_width.finetune(**(good | changed))
    with pytest.raises(TypeError, match="rng must be"):
        finite_width.finetune(8, 1.0, 0)
