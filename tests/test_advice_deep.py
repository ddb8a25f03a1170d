"""What the chapters on deep linear networks advise, recomputed with other seeds."""

import math

import numpy as np
import pytest
import torch

from lib import deep_linear, linear_regression, networks, training
from lib.problem import Population, TransferProblem

SEEDS = range(1000, 1008)


def drawn(seed, d=30, n=8):
    """Return a problem with a target that is longer than the source, and a sample."""
    rng = np.random.default_rng(seed)
    source = rng.standard_normal(d)
    target = 2 * source + rng.standard_normal(d)
    problem = TransferProblem(Population.power_law(d, 0.5), source, target)
    return problem, *problem.sample(n, rng)


@pytest.mark.parametrize("kind", ["linear", "relu"])
def test_no_gradient_moves_the_blind_spot(kind):
    """thm-blind-spot: momentum, mini-batches, another loss; weight decay and Adam do move it."""
    rng = np.random.default_rng(1)
    X, y = torch.from_numpy(rng.standard_normal((6, 15))), torch.from_numpy(rng.standard_normal(6))
    blind = torch.eye(15) - torch.linalg.pinv(X) @ X

    def moved(optimiser, **options):
        torch.manual_seed(0)
        first = torch.nn.Linear(15, 8, bias=False, dtype=torch.float64)
        middle = torch.nn.ReLU() if kind == "relu" else torch.nn.Identity()
        network = torch.nn.Sequential(first, middle, torch.nn.Linear(8, 1, dtype=torch.float64))
        before, start = first.weight.detach() @ blind, first.weight.detach().clone()
        steps = optimiser(network.parameters(), **options)
        for step in range(60):
            batch = [step % 6, (step + 2) % 6]
            steps.zero_grad()
            (network(X[batch])[:, 0] - y[batch]).abs().pow(1.5).sum().backward()
            steps.step()
        assert (first.weight - start).abs().max() > 1e-3
        return (first.weight.detach() @ blind - before).abs().max()

    assert moved(torch.optim.SGD, lr=0.02, momentum=0.9) < 1e-12
    assert moved(torch.optim.SGD, lr=0.02, weight_decay=0.1) > 1e-3
    assert moved(torch.optim.Adam, lr=0.02) > 1e-3


@pytest.mark.parametrize("seed", SEEDS)
def test_depths_that_start_as_one_function_end_apart(seed):
    problem, X, y = drawn(seed)
    ends = [deep_linear.finetune(X, y, problem.source, depth) for depth in (1, 2, 5)]
    for end in ends:
        np.testing.assert_allclose(X @ end, y, atol=1e-9)
    apart = [np.linalg.norm(a - ends[0]) / np.linalg.norm(ends[0]) for a in ends[1:]]
    assert min(apart) > 0.05


@pytest.mark.parametrize("seed", SEEDS)
def test_the_blind_spot_follows_the_growth(seed):
    problem, X, y = drawn(seed)
    unseen = problem.source - np.linalg.pinv(X) @ (X @ problem.source)
    for factor in (1.0, 0.1):  # of the target
        for depth in (2, 5):
            end = deep_linear.finetune(X, factor * y, problem.source, depth)
            grown = np.linalg.norm(end) > np.linalg.norm(problem.source)
            assert (end @ unseen > unseen @ unseen) == grown == (factor == 1)
        end = linear_regression.finetune(X, factor * y, problem.source)
        assert end @ unseen == pytest.approx(unseen @ unseen)


def test_the_error_of_the_balanced_theory_falls_with_the_imbalance():
    """Three layers really pretrained from a large and from a small start, on other draws."""
    errors, imbalances = [], []
    for scale in (1.0, 0.2):
        problem, X, y = drawn(2000, d=12, n=4)
        rng = np.random.default_rng(2001)
        network = networks.DeepLinearNetwork.random(12, 3, 6, scale, rng)
        plenty = problem.population.sample(60, rng)
        options = {"progress": False, "tolerance": 1e-9}
        training.train(network, plenty, plenty @ problem.source, learning_rate=0.02, **options)
        imbalances.append(deep_linear.balancedness(network.layers()))
        start = network.linear_map()
        training.train(network, X, y, learning_rate=0.005, **options)
        predicted = deep_linear.finetune(X, y, start, 3)
        errors.append(np.linalg.norm(network.linear_map() - predicted) / np.linalg.norm(predicted))
    assert imbalances[1] < imbalances[0] / 3 and errors[1] < errors[0] / 2


def test_a_short_source_does_harm_where_it_points_the_wrong_way():
    """Ten times too short, relative to scratch: below 1 up to 60°, above at 120° and 180°."""
    d, n, rows = 100, 10, {}
    for angle in (0, 60, 120, 180):
        ratio = []
        for seed in SEEDS:
            rng = np.random.default_rng(seed)
            source, z = np.linalg.qr(rng.standard_normal((d, 2)))[0].T
            turn, X = np.deg2rad(angle), rng.standard_normal((n, d))
            target = 10 * (np.cos(turn) * source + np.sin(turn) * z)
            problem = TransferProblem(Population.isotropic(d), source, target)
            scratch = linear_regression.learning_curve(problem.from_scratch(), X)[-1]
            ratio.append(deep_linear.learning_curve(problem, X, 7)[-1] / scratch)
        rows[angle] = np.mean(ratio)
    assert rows[0] < rows[60] < 1 < rows[120] < rows[180]


@pytest.mark.parametrize("depth", [3, 7])
def test_a_source_that_is_too_long_costs_more_than_one_too_short(depth):
    """For teachers that point the same way: too short costs about what scratch does, not more."""
    for seed in SEEDS:
        problem, X, _ = drawn(seed, d=60, n=6)
        whole = problem.risk(np.zeros(60))
        risks = [
            deep_linear.learning_curve(
                TransferProblem(problem.population, factor * problem.source, problem.target),
                X,
                depth,
            )[-1]
            for factor in (0.02, 20, 200)
        ]
        assert risks[0] < 1.5 * whole and risks[1] > 3 * whole and risks[2] > 10 * risks[1]


def test_the_regions_of_the_map():
    """Isotropic inputs, n = d/10: the best depths of prop-best-depth, in the mean over draws."""
    d, n, depths = 100, 10, [1, 2, 3, 7, math.inf]
    best = {}
    for angle, ratio in ((0, 0.3), (90, 0.3), (180, 0.3), (0, 4), (100, 4), (180, 4), (60, 4)):
        risks = []
        for seed in SEEDS:
            rng = np.random.default_rng(seed)
            source, z = np.linalg.qr(rng.standard_normal((d, 2)))[0].T
            turn = np.deg2rad(angle)
            target = ratio * (np.cos(turn) * source + np.sin(turn) * z)
            problem = TransferProblem(Population.isotropic(d), source, target)
            risks.append(deep_linear.learning_curve(problem, rng.standard_normal((n, d)), depths))
        best[angle, ratio] = depths[int(np.mean(risks, axis=0)[:, -1].argmin())]
    assert [best[angle, 0.3] for angle in (0, 90, 180)] == [math.inf] * 3
    assert best[0, 4] == math.inf and best[100, 4] == best[180, 4] == 1
    assert best[60, 4] in (2, 3, 7)


def test_freezing_does_less_harm_with_few_samples_and_less_good_with_many():
    """Orthogonal teachers: the last layer alone against all four."""
    d, population = 100, Population.power_law(100, 0.5)
    scale, frozen, whole = np.sqrt(population.eigenvalues), {5: [], 80: []}, {5: [], 80: []}
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        source, target = np.linalg.qr(rng.standard_normal((d, 2)))[0].T / scale
        problem = TransferProblem(population, source, target)
        for n in frozen:
            X, y = problem.sample(n, rng)
            frozen[n].append(problem.risk(deep_linear.finetune_frozen_first(X, y, source)))
            whole[n].append(problem.risk(deep_linear.finetune(X, y, source, 4)))
    assert np.mean(frozen[5]) < np.mean(whole[5])
    assert np.mean(frozen[80]) > 1.5 * np.mean(whole[80])


def test_weight_decay_forgets_at_a_known_rate():
    """P_⊥W₁ shrinks by (1 − ημ) in each step; a pull to the start leaves it."""
    problem, X, y = drawn(3000, d=12, n=4)
    inputs, labels = torch.from_numpy(X), torch.from_numpy(y)
    blind = np.eye(12) - np.linalg.pinv(X) @ X
    for decay, pull in ((0.05, 0.0), (0.0, 0.05)):
        network = networks.DeepLinearNetwork.balanced(
            problem.source, 3, 4, np.random.default_rng(0)
        )
        start = [W.detach().clone() for W in network.weights]
        method = torch.optim.SGD(network.parameters(), lr=0.01, weight_decay=decay)
        for _ in range(300):
            method.zero_grad()
            away = zip(network.weights, start, strict=True)
            loss = (network(inputs) - labels).square().mean() / 2
            (loss + pull / 2 * sum((W - V).square().sum() for W, V in away)).backward()
            method.step()
        expected = (1 - 0.01 * decay) ** 300 * blind @ start[0].numpy()
        found = blind @ network.weights[0].detach().numpy()
        np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_adam_moves_all_coordinates_alike_and_descent_those_that_vary(seed):
    rng = np.random.default_rng(seed)
    X = Population.power_law(40, 1.5).sample(12, rng)
    source, other = rng.standard_normal((2, 40)) / math.sqrt(10)
    inputs, labels = torch.from_numpy(X), torch.from_numpy(X @ (3 * source + other / 3))
    ratio = {}
    for method, rate in ((torch.optim.SGD, 0.02), (torch.optim.Adam, 0.003)):
        network = networks.DeepLinearNetwork.balanced(source, 2, 5, np.random.default_rng(0))
        start = network.layers()[0]
        optimiser = method(network.parameters(), lr=rate)
        for _ in range(2000):
            optimiser.zero_grad()
            ((network(inputs) - labels).square().mean() / 2).backward()
            optimiser.step()
        moved = ((network.layers()[0] - start) ** 2).reshape(4, -1).mean(axis=1) ** 0.5
        ratio[method] = moved[0] / moved[3]
    assert ratio[torch.optim.SGD] > 1.25
    assert 0.5 < ratio[torch.optim.Adam] < 1.15
    assert ratio[torch.optim.SGD] > 1.4 * ratio[torch.optim.Adam]
