"""What the chapter on adapters says and advises, on problems drawn with other seeds."""

import math

import numpy as np
import pytest
import torch
from strategies import z_scores

from lib import datasets, exact_risk, lora, training
from lib.linear_regression import finetune
from lib.networks import LowRankAdapter
from lib.problem import Population, TransferProblem

SEEDS = range(1000, 1006)


def fit(network, X, y, rates=None, step=0.2, **options):
    """Train as the chapter does."""
    step *= len(X) / np.linalg.norm(X, 2) ** 2
    options = {"tolerance": 1e-3, "progress": False} | options
    training.train(network, X, y, learning_rate=step, rates=rates, **options)
    return network.linear_map()


def even(seed, d=50, exponent=0.5):
    """Return a problem whose gap of risk 1 is spread over all directions."""
    rng = np.random.default_rng(seed + 10**6)  # other numbers than those of the sample
    population = Population.power_law(d, exponent)
    gap = rng.standard_normal(d)
    gap /= math.sqrt(population.squared_norm(gap))
    return TransferProblem.from_gap(population, gap)


def columns(rates, rank, seeds=SEEDS, n=15, size=1.0):
    """Mean risk of adapters from the usual start over that of training all weights."""
    risks = []
    for seed in seeds:
        problem, rng = even(seed), np.random.default_rng(seed)
        X, y = problem.sample(n, rng)
        network = LowRankAdapter.usual(problem.source, rank, size, rng)
        step = 0.5 / size**2 if size > 1 else 0.2
        ends = fit(network, X, y, rates, step), finetune(X, y, problem.source)
        risks.append(problem.risk(np.stack(ends)))
    adapter, full = np.mean(risks, axis=0)
    return adapter / full


# ---- the theorem


@pytest.mark.parametrize("rank", [1, 2])
def test_low_rank_from_zero_ends_at_the_best_fit_of_that_rank(rank):
    """thm-lora (i): W_S + X⁺[XΔ]_h, from several random output sides; no adapter fits better."""
    rng = np.random.default_rng(8)
    X = rng.standard_normal((6, 14))
    source, target = rng.standard_normal((2, 14, 4))
    U, sizes, Vt = np.linalg.svd(X @ (target - source), full_matrices=False)
    best = source + np.linalg.pinv(X) @ (U[:, :rank] * sizes[:rank]) @ Vt[:rank]
    for seed in range(3):
        network = LowRankAdapter.reverse(source, rank, 0.5, np.random.default_rng(seed))
        end = fit(network, X, X @ target, step=0.05, tolerance=1e-20)
        np.testing.assert_allclose(end, best, atol=1e-5)
    usual = LowRankAdapter.usual(source, rank, 0.5, rng)
    end = fit(usual, X, X @ target, step=0.05, tolerance=1e-20)
    np.testing.assert_allclose(X @ end, X @ best, atol=1e-5)


def test_price_of_the_usual_start_is_its_formula():
    """thm-lora (ii): A(∞) forgets P_⊥B(0), and the mean over it is the price; two outputs."""
    rng = np.random.default_rng(9)
    d, n, rank, s = 20, 6, 3, 1.5
    population = Population.power_law(d, 0.5)
    source, target = rng.standard_normal((2, d, 2))
    X = population.sample(n, rng)
    blind = np.eye(d) - np.linalg.pinv(X) @ X
    seen = s / math.sqrt(d) * (np.eye(d) - blind) @ rng.standard_normal((d, rank))

    def end(unseen):
        network = LowRankAdapter(source, seen + unseen, np.zeros((rank, 2)))
        W = fit(network, X, X @ target, step=0.1, tolerance=1e-18)
        return W, network.outputs.detach().numpy()

    starts = s / math.sqrt(d) * blind @ rng.standard_normal((4000, d, rank))
    A = end(starts[0])[1]
    for unseen in starts[1:3]:
        W, again = end(unseen)
        np.testing.assert_allclose(again, A, rtol=1e-7)
        W_full = source + np.linalg.pinv(X) @ X @ (target - source)
        np.testing.assert_allclose(W, W_full + unseen @ A, atol=1e-7)
    full = blind @ (source - target)
    risks = population.squared_norm((full + starts @ A).transpose(0, 2, 1)).sum(axis=1)
    size = s**2 / d * np.trace(blind @ population.covariance()) * (A**2).sum()
    assert abs(z_scores(risks, population.squared_norm(full.T).sum() + size)) < 4.5


@pytest.mark.parametrize(("ratio", "rank"), [(0.3, 1), (1.0, 3), (3.0, 10)])
def test_output_side_stays_small_at_any_rank(rank, ratio):
    """thm-lora (iii): ‖A(∞)‖² ≤ ‖P_∥u‖/√ω, nearly attained from small starts."""
    problem, rng = even(11, 20), np.random.default_rng(11)
    X, y = problem.sample(8, rng)
    bound = np.linalg.norm(finetune(X, y, problem.source) - problem.source) / math.sqrt(ratio)
    for scale, least in (1.0, 0), (0.05, 0.95):
        network = LowRankAdapter.usual(problem.source, rank, scale, rng)
        rates = min(ratio, 1), min(1 / ratio, 1)
        fit(network, X, y, rates, step=0.05, tolerance=1e-8)
        size = (network.outputs.detach().numpy() ** 2).sum()
        assert least * bound < size < 1.01 * bound


def test_frozen_side_costs_its_formula_for_every_sample():
    """thm-lora (iv), h > n + 1: given X, even of signs, with noisy labels."""
    rng = np.random.default_rng(12)
    d, n, rank = 20, 6, 12
    population = Population.power_law(d, 0.5)
    X = population.sample(n, rng, law="rademacher")
    source, target = rng.standard_normal((2, d))
    y = X @ target + rng.standard_normal(n)
    change = np.linalg.pinv(X) @ (y - X @ source)
    blind = np.eye(d) - np.linalg.pinv(X) @ X
    B = rng.standard_normal((20000, d, rank))
    A = np.linalg.pinv(X @ B) @ (y - X @ source)
    risks = population.squared_norm(source + (B @ A[..., None])[..., 0] - target)
    price = np.trace(blind @ population.covariance()) * (change @ change) / (rank - n - 1)
    expected = population.squared_norm(source + change - target) + price
    assert abs(z_scores(risks, expected)) < 4.5


def test_frozen_side_with_few_columns_costs_its_formula_for_every_side():
    """thm-lora (iv), h < n − 1: given B, for normal inputs, with noisy labels."""
    rng = np.random.default_rng(13)
    d, n, rank, noise = 12, 14, 5, 0.7
    problem = TransferProblem.from_gap(Population.power_law(d, 0.5), rng.standard_normal(d))
    B = rng.standard_normal((d, rank))
    roots = np.sqrt(problem.population.eigenvalues)
    best = np.linalg.lstsq(roots[:, None] * B, roots * problem.gap)[0]
    floor = problem.risk(B @ best)
    X = rng.standard_normal((20000, n, d)) * roots
    y = X @ problem.target + noise * rng.standard_normal((20000, n))
    A = (np.linalg.pinv(X @ B) @ y[..., None])[..., 0]
    expected = floor + rank * (floor + noise**2) / (n - rank - 1)
    assert abs(z_scores(problem.risk(A @ B.T), expected)) < 4.5


@pytest.mark.parametrize(("n", "rank"), [(40, 15), (40, 90), (100, 60), (60, 400)])
def test_adapter_risk_is_that_of_random_features_without_a_ridge(n, rank):
    """prop-adapter-risk against the estimate of Simon et al. 2024, its ridge next to nothing."""
    problem, noise = even(14, 200, 1.0), 0.3
    values = problem.population.eigenvalues
    powers = values * problem.gap**2
    few = min(n, rank)
    gamma = exact_risk.effective_ridge(values, few)
    # n = Σ λ/(λ + γ) + δ/κ and h = Σ λ/(λ + γ) + hκ/γ: for δ → 0 either κ or δ/κ vanishes.
    kappa = gamma * (rank - n) / rank if rank > n else 0.0
    learned = values / (values + gamma)
    z, q = learned.sum(), (learned**2).sum()
    bias = (1 - learned) - kappa * learned / (values + gamma) * rank / (rank - q)
    amplified = 1 / (1 - (q * (rank - 2 * z) + z**2) / (n * (rank - q)))
    estimate = amplified * (bias @ powers + noise**2) - noise**2
    assert lora.adapter_risk(problem, n, rank, noise) == pytest.approx(estimate, rel=1e-9)


def test_a_close_source_is_a_large_start_and_a_factor_is_one_too():
    """The two exercises: gaps times α, and adapters times α."""
    problem, rng = even(15, 20), np.random.default_rng(15)
    X, y = problem.sample(8, rng)
    start, nothing = rng.standard_normal(20), np.zeros(20)
    for factor in (0.01, 0.5, 7.0):
        end = lora.finetune(X, factor * y, nothing, start, (3.0, 1.0))
        other = factor * lora.finetune(X, y, nothing, start / math.sqrt(factor), (3.0, 1.0))
        np.testing.assert_allclose(end, other, rtol=1e-9)

    class Scaled(LowRankAdapter):
        def forward(self, X):
            return X @ self.source + 4 * (X @ self.inputs) @ self.outputs

    network = Scaled(nothing, start[:, None] / 5, np.zeros(1))
    fit(network, X, y, step=0.005, tolerance=1e-10)
    end = 4 * (network.inputs @ network.outputs).detach().numpy()
    np.testing.assert_allclose(end, lora.finetune(X, y, nothing, start * 2 / 5), atol=2e-2)


# ---- On Monday


def test_small_starts_are_cheap_and_large_ones_double_the_risk():
    """One column, equal rates: 2 % at s = 0.3, twice at most; the slow side is worse everywhere."""
    risks = []
    for seed in range(1000, 1200):
        problem, rng = even(seed), np.random.default_rng(seed)
        X, y = problem.sample(15, rng)
        start = rng.standard_normal(50) / math.sqrt(50)
        ends = [
            lora.finetune(X, y, problem.source, s * start, (ratio, 1.0))
            for ratio in (1 / 16, 1, 16)
            for s in (0.3, 3.0, 30.0)
        ]
        risks.append(problem.risk(np.stack([finetune(X, y, problem.source), *ends])))
    full, *rest = np.mean(risks, axis=0)
    slow, equal, fast = np.reshape(rest, (3, 3)) / full
    assert 1 < equal[0] < 1.06 < 1.6 < equal[1] < equal[2] < 2.4
    assert (slow[:2] > equal[:2]).all() and (equal[:2] > fast[:2]).all()
    np.testing.assert_allclose([slow[2], fast[2]], equal[2], rtol=0.02)


def test_no_peak_if_both_sides_are_trained():
    """At h = n the price is about that of other ranks, and smaller for a faster input side."""
    peak = [columns(rates, 15) for rates in ((1 / 16, 1), (1, 1), (1, 1 / 16))]
    assert peak[0] > peak[1] > peak[2] > 0.98
    assert peak[0] < 3 and peak[1] < 1.8 and peak[2] < 1.3
    assert 0.7 < columns((1, 1), 4, range(1000, 1004)) / peak[1] < 1.4


def test_a_large_start_brings_the_peak_back():
    """At s = 10 the input side hardly moves: worst at h = n, as if it were frozen."""
    peak, beyond = (columns(None, rank, range(1000, 1004), size=10.0) for rank in (15, 60))
    assert peak > 3 > 2 > beyond


def test_for_a_gap_at_the_top_a_large_start_costs_several_times_the_risk():
    """On λ = i⁻², and its price is ‖P_∥u‖² tr(P_⊥Σ)/(n − 2) in the mean over starts."""
    d, n = 50, 15
    population = Population.power_law(d, 2)
    gap = np.where(np.arange(d) < 5, 1.0, 0)
    problem = TransferProblem.from_gap(population, gap / math.sqrt(population.squared_norm(gap)))
    times = []
    for seed in range(1000, 1010):
        rng = np.random.default_rng(seed)
        X, y = problem.sample(n, rng)
        full = finetune(X, y, problem.source)
        starts = rng.standard_normal((400, d)) / math.sqrt(d)
        small, large = (
            problem.risk(np.stack([lora.finetune(X, y, problem.source, s * b) for b in starts]))
            for s in (0.3, 1e4)
        )
        learned = (full - problem.source) @ (full - problem.source)
        blind = np.eye(d) - np.linalg.pinv(X) @ X
        price = learned * np.trace(blind @ population.covariance()) / (n - 2)
        assert abs(z_scores(large, problem.risk(full) + price)) < 4.5
        times.append([problem.risk(full), small.mean(), large.mean()])
    full, small, large = np.mean(times, axis=0)
    assert small / full < 1.3 < 4 < large / full


def test_a_frozen_side_is_worst_at_as_many_columns_as_samples():
    """And for even gaps no better than the untouched source up to twice as many columns."""
    for seed in range(1000, 1020):
        problem = even(seed, 120)
        for n in (20, 40):
            ranks = np.arange(1, 4 * n)
            risks = lora.adapter_risk(problem, n, ranks)
            assert ranks[risks.argmax()] == n and (risks[: 2 * n] > 1).all()
            assert (risks > exact_risk.linear_risk(problem, n)).all()
            price = risks[n:] - exact_risk.linear_risk(problem, n)
            np.testing.assert_allclose(price * (ranks[n:] - n), price[0])


@pytest.fixture(scope="module")
def shifted_digits():
    """Test errors with rank 9 and 30, for the usual and the reverse start, other images."""
    digits = datasets.digits()
    order = np.random.default_rng(77).permutation(len(digits.data))
    train, test = order[:900], order[900:]

    def inputs(images):
        pixels = images.reshape(len(images), -1)
        return np.c_[pixels - pixels[train].mean(axis=0), np.ones(len(images))]

    clean, shifted = inputs(digits.images)[train], inputs(np.roll(digits.images, 1, axis=2))
    scores = np.eye(10)[digits.target]
    source = np.linalg.solve(clean.T @ clean + np.eye(65), clean.T @ scores[train])

    def error(W):
        return np.sum((shifted[test] @ W - scores[test]) ** 2, axis=1).mean()

    rows = []
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        chosen = rng.choice(train, 20, replace=False)
        X, Y = shifted[chosen], scores[chosen]
        stop = {"tolerance": 1e-2, "max_steps": 1500}
        starts = [
            LowRankAdapter.reverse(source, 9, 19**-0.5, rng),
            LowRankAdapter.reverse(source, 30, 40**-0.5, rng),
            LowRankAdapter.usual(source, 9, 1.0, rng),
            LowRankAdapter.usual(source, 30, 1.0, rng),
        ]
        sizes = np.linalg.svd(Y - X @ source, compute_uv=False)
        rows.append([sizes[9] / sizes[8]] + [error(fit(start, X, Y, **stop)) for start in starts])
    return np.array(rows)


def test_on_shifted_digits_the_reverse_start_is_better(shifted_digits):
    """At rank 9 and 30, paired over six samples, by two standard errors."""
    _, reverse9, reverse30, usual9, usual30 = shifted_digits.T
    for better, worse in (reverse9, usual9), (reverse30, usual30):
        gain = worse - better
        assert gain.mean() > 2 * gain.std(ddof=1) / math.sqrt(len(gain))


def test_more_columns_than_the_rank_of_what_is_missing_change_little(shifted_digits):
    """Ten scores that add up to one: the tenth singular value is next to nothing."""
    ratio, reverse9, reverse30, *_ = shifted_digits.T
    assert ratio.max() < 0.1
    np.testing.assert_allclose(reverse9.mean(), reverse30.mean(), rtol=0.08)


def test_adam_moves_what_neither_start_protects():
    """Even the reverse start: P_⊥W moves, where gradient descent leaves it."""
    problem, rng = even(16, 20), np.random.default_rng(16)
    X, y = problem.sample(8, rng)
    blind = np.eye(20) - np.linalg.pinv(X) @ X
    network = LowRankAdapter.reverse(problem.source, 3, 0.5, rng)
    method = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(300):
        method.zero_grad()
        (network(torch.from_numpy(X)) - torch.from_numpy(y)).square().mean().backward()
        method.step()
    assert np.linalg.norm(blind @ network.linear_map()) > 0.1
    network = LowRankAdapter.reverse(problem.source, 3, 0.5, rng)
    assert np.linalg.norm(blind @ fit(network, X, y)) < 1e-12
