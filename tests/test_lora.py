"""thm-lora, against gradient descent on adapters, its flow, and Monte Carlo."""

import math

import numpy as np
import pytest
import scipy.integrate
from hypothesis import assume, given, settings
from strategies import populations, rotation, seeds, z_scores

from lib import exact_risk, linear_regression, training
from lib.lora import adapter_risk, finetune, frozen_risk
from lib.networks import LowRankAdapter
from lib.problem import Population, TransferProblem


def case(seed):
    """Return X, y, source, start and rates over four orders of magnitude."""
    rng = np.random.default_rng(seed)
    d = int(rng.integers(2, 12))
    X = rng.standard_normal((int(rng.integers(1, d)), d))
    source, target, start = rng.standard_normal((3, d))
    return X, X @ target, source, start * 10 ** rng.uniform(-2, 1), 10 ** rng.uniform(-2, 2, 2)


@settings(max_examples=40, deadline=None)
@given(seeds)
def test_end_point_is_that_of_the_flow(seed):
    """A stiff solver on b and a as they are; tolerance: what it promises, ×100."""
    X, y, source, start, rates = case(seed)
    d, residual = X.shape[1], y - X @ source

    def velocity(_, state):
        gradient = X.T @ (X @ state[:d] * state[d] - residual)
        return -np.append(rates[0] * state[d] * gradient, rates[1] * (state[:d] @ gradient))

    def fitted(_, state):
        return np.linalg.norm(X @ state[:d] * state[d] - residual) - 1e-11

    fitted.terminal = True
    run = scipy.integrate.solve_ivp(
        velocity, (0, 1e12), np.append(start, 0), "LSODA", rtol=1e-11, atol=1e-15, events=fitted
    )
    flow = source + run.y[:d, -1] * run.y[d, -1]
    end = finetune(X, y, source, start, rates)
    np.testing.assert_allclose(X @ end, y, atol=1e-9 * np.linalg.norm(y))
    assert np.linalg.norm(end - flow) <= 1e-7 * np.linalg.norm(end - source)


@given(seeds)
def test_price_vanishes_with_the_start_and_with_a_fast_input_side(seed):
    """And never is more than that of an output side that is infinitely fast: a = ‖P_∥u‖/‖P_∥b‖."""
    X, y, source, start, rates = case(seed)
    full = linear_regression.finetune(X, y, source)
    P = np.linalg.pinv(X) @ X
    missed, seen = start - P @ start, np.linalg.norm(P @ start)
    assume(seen > 1e-3 * np.linalg.norm(start))
    offset = finetune(X, y, source, start, rates) - full
    learned = np.linalg.norm(full - source)
    bound = np.linalg.norm(missed) * learned / seen
    assert np.linalg.norm(offset) <= bound * (1 + 1e-9)
    slow = finetune(X, y, source, start, (1e-30, 1)) - full
    assert np.linalg.norm(slow) == pytest.approx(bound, rel=1e-3, abs=1e-12)
    # a ≤ √(‖P_∥u‖/√ρ): both limits.
    for smaller in finetune(X, y, source, 1e-9 * start), finetune(X, y, source, start, (1e20, 1)):
        assert np.linalg.norm(smaller - full) < 1e-4 * (1 + learned) * (1 + np.linalg.norm(start))


def test_scale_does_not_matter():
    """Units of 1e±150 in the inputs and in the labels; a start that has no gradient."""
    X, y, source, start, _ = case(5)
    end = finetune(X, y, source, start)
    for size in 1e-150, 1e150:
        np.testing.assert_allclose(finetune(X * size, y * size, source, start), end, rtol=1e-9)
        larger = finetune(X, y * size, source * size, start * math.sqrt(size))
        np.testing.assert_allclose(larger / size, end, rtol=1e-9)
    nothing = start - np.linalg.pinv(X) @ (X @ start)
    np.testing.assert_array_equal(finetune(X, y, source, nothing), source)
    np.testing.assert_array_equal(finetune(X, X @ source, source, start), source)


@pytest.mark.parametrize("rates", [(1.0, 1.0), (0.2, 1.0), (1.0, 0.2)])
def test_trained_adapters_end_there(rates):
    """Gradient descent departs from the flow by its step: ten times less, ten times nearer."""
    rng = np.random.default_rng(0)
    X = np.sqrt(5) * rotation(12, 1)[:5]
    source, target, start = rng.standard_normal((3, 12))
    errors = []
    for step in (5e-2, 5e-3):
        network = LowRankAdapter(source, start[:, None], np.zeros(1))
        training.train(
            network, X, X @ target, learning_rate=step, rates=rates, tolerance=1e-18, progress=False
        )
        errors.append(
            np.abs(network.linear_map() - finetune(X, X @ target, source, start, rates)).max()
        )
    assert errors[1] < 1e-3 and 5 < errors[0] / errors[1] < 20


@pytest.mark.parametrize("rank", [1, 2, 4])
def test_input_side_from_zero_is_full_fine_tuning(rank):
    """One output at any rank; several if the rank is that of the gap on the sample, or more."""
    rng = np.random.default_rng(rank)
    X, source, target = rng.standard_normal((6, 15)), *rng.standard_normal((2, 15, 2))
    if rank == 1:
        target = source + np.outer(rng.standard_normal(15), [1.0, -2.0])
    network = LowRankAdapter.reverse(source, rank, 1.0, rng)
    inside = network.inputs.detach().numpy().copy()
    training.train(network, X, X @ target, learning_rate=0.02, progress=False)
    P = np.linalg.pinv(X) @ X
    full = source + P @ (target - source)
    np.testing.assert_allclose(network.linear_map(), full, atol=1e-9)
    moved = network.inputs.detach().numpy() - inside
    np.testing.assert_allclose(P @ moved, moved, atol=1e-9)


def test_blind_spot_gains_what_the_usual_start_had_there():
    """P_⊥W = P_⊥W_S + P_⊥B(0)A(∞), for any rank and number of outputs."""
    rng = np.random.default_rng(3)
    X, source, target = rng.standard_normal((6, 15)), *rng.standard_normal((2, 15, 3))
    network = LowRankAdapter.usual(source, 4, 1.0, rng)
    start = network.inputs.detach().numpy().copy()
    training.train(network, X, X @ target, learning_rate=0.02, tolerance=1e-20, progress=False)
    blind = np.eye(15) - np.linalg.pinv(X) @ X
    gained = blind @ start @ network.outputs.detach().numpy()
    np.testing.assert_allclose(blind @ (network.linear_map() - source), gained, atol=1e-9)
    assert np.abs(gained).max() > 0.1


def simulated(problem, n, rank, noise, seed, draws):
    """Risks with a frozen random input side, the other by least squares."""
    rng = np.random.default_rng(seed)
    for _ in range(draws):
        X, y = problem.sample(n, rng, noise)
        B = rng.standard_normal((problem.population.dim, rank))
        A = np.linalg.lstsq(X @ B, y - X @ problem.source)[0]
        yield problem.risk(problem.source + B @ A)


@pytest.mark.parametrize("rank", [3, 8, 12, 18, 30, 60, 200])
def test_frozen_risk_is_the_mean_of_simulations(rank):
    """On both sides of the peak: 1500 draws, 4.5 standard errors, for tails beside it are heavy."""
    d, n = 60, 15
    gap = np.random.default_rng(0).standard_normal(d)
    problem = TransferProblem.from_gap(Population.isotropic(d), gap / np.linalg.norm(gap))
    risks = np.array(list(simulated(problem, n, rank, 0.0, rank, 1500)))
    assert abs(z_scores(risks, frozen_risk(d, n, rank))) < 4.5


def test_frozen_risk_at_its_ends():
    assert frozen_risk(10, 0, 5) == frozen_risk(10, 5, 0) == 1
    assert frozen_risk(10, 5, 5) == frozen_risk(10, 5, 4) == frozen_risk(10, 5, 6) == math.inf
    assert frozen_risk(10, 5, 10**9) == pytest.approx(0.5)
    values = frozen_risk(60, 15, np.arange(13))
    assert (np.diff(values) > 0).all() and values.shape == (13,)


@pytest.mark.parametrize(
    ("exponent", "n", "rank", "noise"),
    [(0.5, 40, 20, 0), (1, 40, 60, 0), (1, 100, 60, 0.5), (1, 60, 100, 0.5), (1.5, 40, 400, 0)],
)
def test_adapter_risk_is_as_simulated(exponent, n, rank, noise):
    """For spectra that decay: within 5 % and four standard errors of 60 draws."""
    gap = np.random.default_rng(1).standard_normal(200)
    problem = TransferProblem.from_gap(Population.power_law(200, exponent), gap)
    risks = np.array(list(simulated(problem, n, rank, noise, 7, 60)))
    error = risks.std(ddof=1) / math.sqrt(60)
    exact = adapter_risk(problem, n, rank, noise)
    assert abs(risks.mean() - exact) < 4 * error + 0.05 * exact


@given(populations(), seeds)
def test_adapter_risk_at_its_ends(population, seed):
    """Many random features are full fine-tuning; none, or no samples, the source; κ without SVD."""
    rng = np.random.default_rng(seed)
    d = population.dim
    problem = TransferProblem.from_gap(population, rng.standard_normal((2, d)))
    before = population.squared_norm(problem.gap)
    n = int(rng.integers(0, d))
    np.testing.assert_allclose(adapter_risk(problem, 0, 3), before)
    np.testing.assert_allclose(adapter_risk(problem, n, 0, 0.3), before)
    many = adapter_risk(problem, n, 10**13, 0.3)
    full = exact_risk.linear_risk(problem, n, noise=0.3)
    np.testing.assert_allclose(many, full, rtol=1e-6, atol=1e-9 * before.max())
    assert (adapter_risk(problem, [n, n + 2], [n + 1, n + 5]) >= 0).all()


def test_adapter_risk_is_that_of_large_isotropic_problems():
    d = 10**6
    problem = TransferProblem.from_gap(Population.isotropic(d), np.full(d, 1e-3))
    for n, rank in ((1000, 300_000), (400_000, 10_000), (500_000, 700_000)):
        exact = frozen_risk(d, n, rank)
        assert adapter_risk(problem, n, rank) == pytest.approx(exact, rel=1e-3)
    turned = TransferProblem.from_gap(Population(np.ones(5), rotation(5, 0)), np.ones(5))
    assert adapter_risk(turned, 2, 4) == pytest.approx(5 * (1 - 2 / 5) * 4 / 2)


GOOD = {"X": np.eye(3)[:2], "y": np.ones(2), "source": np.zeros(3), "start": np.ones(3)}


@pytest.mark.parametrize(
    ("call", "name", "error"),
    [
        (lambda: finetune(**GOOD | {"start": np.ones(2)}), "start", ValueError),
        (lambda: finetune(**GOOD, rates=(1.0, 0.0)), "rates", ValueError),
        (lambda: finetune(**GOOD, rates=(1.0,)), "rates", ValueError),
        (lambda: finetune(**GOOD | {"y": "ab"}), "y", TypeError),
        (lambda: frozen_risk(5, 5, 1), "n", ValueError),
        (lambda: frozen_risk(5, 2, -1), "rank", ValueError),
        (lambda: frozen_risk(5, 2, 1.5), "rank", TypeError),
        (lambda: adapter_risk(None, 2, 1), "problem", TypeError),
        (lambda: LowRankAdapter(np.zeros(3), np.ones((2, 1)), np.zeros(1)), "inputs", ValueError),
        (lambda: LowRankAdapter(np.zeros(3), np.ones((3, 2)), np.zeros(1)), "outputs", ValueError),
        (lambda: LowRankAdapter(np.zeros((3, 1, 1)), np.ones((3, 2)), 0), "source", ValueError),
    ],
)
def test_bad_input_is_named(call, name, error):
    with pytest.raises(error, match=f"^{name} must"):
        call()


@pytest.mark.parametrize(
    ("place", "n", "rank"), [("top", 60, 25), ("top", 25, 60), ("bottom", 60, 25)]
)
@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_adapter_risk_of_gaps_in_one_place(place, n, rank, noise):
    """Where what is seen and what is not differ by much; noise that is most of the risk."""
    u = np.zeros(150)
    u[slice(8) if place == "top" else slice(-40, None)] = 1.0
    problem = TransferProblem.from_gap(Population.power_law(150, 1), u / np.linalg.norm(u))
    risks = np.array(list(simulated(problem, n, rank, noise, 11, 150)))
    error = risks.std(ddof=1) / math.sqrt(150)
    exact = adapter_risk(problem, n, rank, noise)
    assert abs(risks.mean() - exact) < 4 * error + 0.06 * exact
    assert error < 0.06 * exact


@pytest.mark.parametrize("trainable", ["both", "inputs", "outputs"])
def test_only_the_side_that_is_named_is_trained(trainable):
    rng = np.random.default_rng(6)
    X, source, inputs, outputs = (rng.standard_normal(s) for s in ((4, 7), 7, (7, 3), 3))
    network = LowRankAdapter(source, inputs, outputs, trainable)
    np.testing.assert_allclose(network.linear_map(), source + inputs @ outputs)
    training.train(
        network, X, rng.standard_normal(4), learning_rate=1e-3, max_steps=5, progress=False
    )
    moved = {
        "inputs": not np.array_equal(network.inputs.detach(), inputs),
        "outputs": not np.array_equal(network.outputs.detach(), outputs),
    }
    assert moved == {side: trainable in ("both", side) for side in moved}
    np.testing.assert_array_equal(network.source, source)


@pytest.mark.parametrize("n, rank", [(30, 20), (20, 30), (20, 20), (30, 12), (16, 60)])
def test_with_enough_of_both_an_adapter_is_least_squares(n, rank):
    """Twelve dimensions, noise, a random input side; E R = σ²m/(n − m − 1) there, exactly."""
    rng, d = np.random.default_rng(n + rank), 12
    population, gap = Population.power_law(d, 1), np.ones(d)
    problem, risks = TransferProblem.from_gap(population, gap), []
    for _ in range(400):
        X, y = problem.sample(n, rng, noise=0.5)
        B = rng.standard_normal((d, rank))
        risks.append(problem.risk(B @ np.linalg.lstsq(X @ B, y, rcond=None)[0]))
    found = adapter_risk(problem, n, rank, 0.5)
    assert found == pytest.approx(0.25 * d / (n - d))
    assert np.mean(risks) == pytest.approx(0.25 * d / (n - d - 1), rel=0.12)
