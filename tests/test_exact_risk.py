"""thm-exact-risk and thm-deep-exact: against Monte Carlo, and in exact arithmetic where exact.

The formulas are limits: see ``ALLOWANCE`` of strategies.py.
"""

import math

import hypothesis.strategies as st
import mpmath
import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
from hypothesis import assume, given
from strategies import (
    ALLOWANCE,
    GAPS,
    assert_equivalent,
    gap_in,
    problem_with_gap,
    problems,
    ridges,
    rotation,
    seeds,
)

from lib import deep_linear, linear_regression
from lib.exact_risk import deep_linear_risk, effective_ridge, linear_risk
from lib.linear_regression import flow_risk
from lib.planning import optimal_ridge, optimal_stopping_time, risk_profile, sample_complexity
from lib.problem import Population, TransferProblem

depths = st.sampled_from([1, 2, 3, 7, 1000, math.inf])


# The risk of linear regression


@given(problems(), st.floats(0.01, 0.99), ridges, st.sampled_from([0.0, 0.5]))
def test_linear_risk_is_the_formula(problem, share, ridge, noise):
    # The formula as it is stated, with its subtractions, in exact arithmetic.
    values = problem.population.eigenvalues
    positive = np.count_nonzero(values)
    n = share * positive if ridge == 0 else share * 2 * problem.population.dim
    u = problem.population.coordinates(problem.gap)
    with mpmath.workdps(60):
        values = [mpmath.mpf(value) for value in values[:positive]]

        def excess(x):
            return sum(v / (v + mpmath.exp(x)) for v in values) + ridge * mpmath.exp(-x) - n

        start = math.log(effective_ridge(problem.population.eigenvalues, n, ridge))
        kappa = mpmath.exp(mpmath.findroot(excess, (start - 0.01, start + 0.01), solver="anderson"))
        bias = kappa**2 * sum(v * w**2 / (v + kappa) ** 2 for v, w in zip(values, u, strict=False))
        df2 = sum((v / (v + kappa)) ** 2 for v in values)
        expected = float((bias + noise**2) / (1 - df2 / n) - noise**2)
    assert linear_risk(problem, n, ridge, noise) == pytest.approx(expected, rel=1e-11, abs=1e-300)


@given(st.integers(1, 300), st.floats(0, 1), st.floats(0.1, 10), seeds)
def test_isotropic_corollary_is_exact(dim, share, variance, seed):
    rng = np.random.default_rng(seed)
    population = Population(np.full(dim, variance), rotation(dim, seed) if dim < 20 else None)
    problem = TransferProblem(population, *rng.standard_normal((2, dim)))
    n = np.array([0, share * dim, dim - 1, dim, dim + 3])
    expected = variance * (problem.gap @ problem.gap) * (1 - n / dim).clip(min=0)
    np.testing.assert_allclose(linear_risk(problem, n), expected, rtol=1e-12)
    target = expected[1]
    if target > 0:
        # n(ε) = d(1 − ε/(σ²‖u‖²)), rounded up: rounding may add a sample.
        assert abs(sample_complexity(problem, target) - share * dim) < 1 + 1e-9


@pytest.fixture(scope="module")
def simulated():
    """Return {(exponent, gap): (problem, n, risks)}: 100 draws at d = 200, shared by the gaps."""
    result, n = {}, np.array([20, 50, 100, 150])
    for exponent in ALLOWANCE:
        population = Population.power_law(200, exponent)
        samples = [population.sample(n[-1], np.random.default_rng(seed)) for seed in range(100)]
        for gap, part in GAPS.items():
            problem = problem_with_gap(population.eigenvalues, gap_in(part))
            risks = [linear_regression.learning_curve(problem, X)[n] for X in samples]
            result[exponent, gap] = problem, n, np.array(risks)
    return result


@pytest.mark.parametrize("exponent", ALLOWANCE)
@pytest.mark.parametrize("gap", GAPS)
def test_linear_risk_is_the_mean_of_simulations(simulated, exponent, gap):
    problem, n, risks = simulated[exponent, gap]
    assert_equivalent(risks, linear_risk(problem, n), ALLOWANCE[exponent])


def test_simulations_agree_as_well_as_their_errors_let_them(simulated):
    relative = [
        risks.mean(axis=0) / linear_risk(problem, n) - 1 for problem, n, risks in simulated.values()
    ]
    assert np.median(np.abs(relative)) < 0.01


@pytest.mark.parametrize("law", ["rademacher", "student"])
def test_linear_risk_holds_beyond_gaussian_inputs(law):
    population = Population(1 / np.arange(1.0, 201), rotation(200, 0))
    problem = TransferProblem(population, population.eigenvectors[:, 5], np.zeros(200))
    risks = []
    for seed in range(100):
        X = population.sample(100, np.random.default_rng(seed), law)
        risks.append(linear_regression.learning_curve(problem, X)[[50, 100]])
    assert_equivalent(risks, linear_risk(problem, [50, 100]), 0.05)


def test_what_the_formula_leaves_out_falls_like_1_over_d():
    misses = []
    for dim, draws in ((20, 3000), (80, 2000)):
        population = Population.power_law(dim, 1)
        problem = problem_with_gap(population.eigenvalues, gap_in(slice(dim // 10), dim))
        rng, n = np.random.default_rng(0), dim // 4
        risks = [
            linear_regression.learning_curve(problem, population.sample(n, rng))[-1]
            for _ in range(draws)
        ]
        misses.append(np.mean(risks) / linear_risk(problem, n) - 1)
    assert 0.1 < misses[0] < 0.2
    assert abs(misses[1]) < misses[0] / 2


def half_seen(eigenvalues, n):
    """Return n − df₂ without ridge."""
    seen = eigenvalues / (eigenvalues + effective_ridge(eigenvalues, n))
    return seen @ (1 - seen)


def mean_risk(population, u, n, draws, rng, law="gaussian"):
    """Return the mean risk without ridge, and its standard error."""
    X = population.sample(draws * n, rng, law).reshape(draws, n, -1)
    basis, _ = np.linalg.qr(X.swapaxes(1, 2))
    risks = population.squared_norm(u - np.einsum("dij,dj->di", basis, u @ basis))
    return risks.mean(), risks.std() / math.sqrt(draws)


@pytest.mark.parametrize("n, expected", [(5, 2.0), (10, 2.6), (20, 2.8)])
def test_exponential_decay_is_outside_the_conditions(n, expected):
    """The step is 1/log 2 directions wide at any n, and the formula wrong by a factor."""
    population = Population(0.5 ** np.arange(1.0, 2 * n + 1))
    assert half_seen(population.eigenvalues, n) == pytest.approx(1 / math.log(2), rel=0.1)
    u = np.eye(2 * n)[0]
    mean, error = mean_risk(population, u, n, 10_000, np.random.default_rng(9))
    exact = linear_risk(TransferProblem.from_gap(population, u), n)
    assert abs(mean / exact - expected) < 5 * error / exact + 0.1
    assert mean / exact > 1.7


def test_dependent_entries_are_outside_the_conditions():
    """One-hot inputs √d vᵢ: Σ = I, a direction is seen whole or not at all."""
    d, n, rng = 40, 20, np.random.default_rng(0)
    risks = [1 - len(set(row)) / d for row in rng.integers(d, size=(2000, n)).tolist()]
    problem = TransferProblem.from_gap(Population.isotropic(d), np.full(d, d**-0.5))
    assert np.mean(risks) == pytest.approx((1 - 1 / d) ** n, rel=0.01)
    assert half_seen(np.ones(d), n) == d / 4  # which would be many
    assert linear_risk(problem, n) == pytest.approx(0.5)
    assert np.mean(risks) > 1.15 * linear_risk(problem, n)


def test_a_power_law_sees_many_directions_by_half():
    # ex-exact-rates: n − df₂ ≈ n/q.
    for exponent in (1.5, 2, 3):
        values = np.arange(1.0, 200_001) ** -exponent
        assert half_seen(values, 200) == pytest.approx(200 / exponent, rel=0.03)


@pytest.mark.parametrize("exponent", [0, 1])
@pytest.mark.parametrize("n, ridge", [(50, 0.1), (50, 10.0), (150, 0.0), (300, 0.0), (300, 10.0)])
def test_ridge_and_noise_are_as_simulated(exponent, n, ridge):
    noise, rng = 0.3, np.random.default_rng(1)
    population = Population.power_law(200, exponent)
    problem = problem_with_gap(population.eigenvalues, gap_in(slice(200)))
    risks = []
    for _ in range(40):
        X, y = problem.sample(n, rng, noise)
        risks.append(problem.risk(linear_regression.finetune(X, y, problem.source, ridge=ridge)))
    assert_equivalent(risks, linear_risk(problem, n, ridge, noise), ALLOWANCE[exponent])


def test_least_squares_beyond_d_and_the_peak_between():
    problem = problem_with_gap([3.0, 2, 1, 0], [1.0, 0, 1, 5])
    n = np.array([0, 2.9999, 3, 3.0001, 4, 30])
    np.testing.assert_array_equal(linear_risk(problem, n)[[0, 2, 3, 4, 5]], [4, 0, 0, 0, 0])
    risk = linear_risk(problem, n, noise=0.1)
    assert risk[0] == 4
    assert risk[2] == math.inf
    np.testing.assert_allclose(risk[3:], 0.01 * 3 / (n[3:] - 3))
    assert risk[1] > 100  # the peak, from its left


@given(problems(), st.sampled_from([0.0, 0.3]))
def test_limits(problem, noise):
    whole, dim = problem.population.squared_norm(problem.gap), problem.population.dim
    positive = np.count_nonzero(problem.population.eigenvalues)
    n = np.arange(2.0 * dim)
    assert linear_risk(problem, 0, 3.0, noise) == pytest.approx(whole, rel=1e-12, abs=0)
    assert not risk_profile(problem_with_gap([2.0, 1], [0, 0]), 0, 3.0, noise).any()
    assert linear_risk(problem, 1e-12, 0.0, 0.0) == pytest.approx(whole, rel=1e-10)
    np.testing.assert_allclose(linear_risk(problem, n, math.inf, noise), whole, rtol=1e-12)
    np.testing.assert_allclose(linear_risk(problem, n, 1e18, noise), whole, rtol=1e-6, atol=1e-12)
    assert linear_risk(problem, positive - 1e-9) <= 1e-6 * whole
    away = n[n != positive]
    nothing = 1e-24 * problem.population.eigenvalues[positive - 1]
    np.testing.assert_allclose(
        linear_risk(problem, away, nothing, noise),
        linear_risk(problem, away, 0.0, noise),
        rtol=1e-6,
        atol=1e-12 * whole,
    )


@given(problems(), st.integers(1, 20), st.integers(-9, 9), st.integers(-9, 9))
def test_scaling(problem, n, by, stretch):
    by, stretch = 10.0**by, 10.0**stretch
    population = problem.population
    risk = linear_risk(problem, n, 0.5, 0.25)
    longer = TransferProblem(population, by * problem.source, by * problem.target)
    assert linear_risk(longer, n, 0.5, 0.25 * by) == pytest.approx(by**2 * risk, rel=1e-9)
    wider = Population(stretch * population.eigenvalues, population.eigenvectors)
    wider = TransferProblem(wider, problem.source, problem.target)
    noise = 0.25 * math.sqrt(stretch)
    assert linear_risk(wider, n, 0.5 * stretch, noise) == pytest.approx(stretch * risk, rel=1e-9)
    if problem.source.any():
        deep = deep_linear_risk(problem, n, 3)
        slack = 1e-12 * problem.population.squared_norm(problem.source)
        assert deep_linear_risk(longer, n, 3) == pytest.approx(
            by**2 * deep, rel=1e-9, abs=by**2 * slack
        )
        assert deep_linear_risk(wider, n, 3) == pytest.approx(
            stretch * deep, rel=1e-9, abs=stretch * slack
        )


def test_shapes_broadcast():
    problem = problem_with_gap([2.0, 1, 0.5], [1.0, 2, 3])
    n, ridge, noise = np.arange(5.0), np.array([0.0, 1])[:, None], np.array([0.0, 1, 2])
    noise = noise[:, None, None]
    risk = linear_risk(problem, n, ridge, noise)
    assert risk.shape == (3, 2, 5)
    for index in np.ndindex(risk.shape):
        k, j, i = index
        alone = linear_risk(problem, n[i], ridge[j, 0], noise[k, 0, 0])
        assert risk[index] == pytest.approx(alone, rel=1e-13)
    assert isinstance(linear_risk(problem, 1), float)
    assert isinstance(deep_linear_risk(problem_with_gap([1.0], [1.0], [1.0]), 0.5, 2), float)
    assert risk_profile(problem, n, ridge, noise).shape == (3, 2, 5, 3)
    assert optimal_ridge(problem, n[:, None], np.ones(4)).shape == (5, 4)
    assert isinstance(optimal_ridge(problem, 1, 1.0), float)


def test_ratios_of_any_size():
    """Where 1/κ² would overflow, and σ² too."""
    eigenvalues = np.geomspace(1, 1e-160, 60)
    problem = problem_with_gap(eigenvalues, np.ones(60), np.ones(60))
    n = np.array([1, 30, 57, 58, 59])
    with mpmath.workdps(400):
        for count, risk in zip(n, linear_risk(problem, n), strict=True):
            kappa = mpmath.mpf(effective_ridge(eigenvalues, count))
            bias = sum(kappa**2 * v / (v + kappa) ** 2 for v in map(mpmath.mpf, eigenvalues))
            spare = sum(kappa * v / (v + kappa) ** 2 for v in map(mpmath.mpf, eigenvalues))
            assert risk == pytest.approx(float(count * bias / spare), rel=1e-9, abs=0)
    risks = linear_risk(problem, np.arange(61))
    for level in 1e-30, 1e-140, 1e-156:
        assert sample_complexity(problem, level) == np.flatnonzero(risks > level)[-1] + 1
    assert np.isfinite(deep_linear_risk(problem, n, 3)).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("noise", [1e20, 1e60, 1e100, 1e150])
def test_noise_of_any_size(noise):
    """δ* = dσ²/‖u‖² for a gap of ones; and labels of nothing but noise teach nothing."""
    problem = problem_with_gap(1 / np.arange(1.0, 21), np.ones(20))
    whole = linear_risk(problem, 0)
    assert optimal_ridge(problem, 5, noise) == pytest.approx(noise**2, rel=1e-9)
    assert optimal_ridge(problem, 1e-200, noise) == 0
    assert linear_risk(problem, 3, math.inf, noise) == whole
    assert risk_profile(problem, 3, math.inf, noise).sum() == pytest.approx(whole)
    X = problem.population.sample(7, np.random.default_rng(3))
    assert flow_risk(problem, X, [0.0], noise) == pytest.approx(whole)
    assert optimal_stopping_time(problem, X, noise) <= 10 / noise**2
    tiny = flow_risk(problem, X / noise, [0.0, 1, math.inf], 1.0)  # it learns at 1/σ² the speed
    np.testing.assert_allclose(tiny, flow_risk(problem, X, [0.0, noise**-2, math.inf], noise))


@pytest.mark.filterwarnings("error")
def test_noise_that_overflows():
    problem = problem_with_gap(1 / np.arange(1.0, 21), np.ones(20))
    assert optimal_ridge(problem, 5, 1e200) == math.inf
    assert linear_risk(problem, 3, 1.0, 1e200) == math.inf
    assert linear_risk(problem, 3, math.inf, 1e200) == linear_risk(problem, 0)
    X = problem.population.sample(7, np.random.default_rng(3))
    for scale in 1e-160, 1e-200, 1e-300:
        risk = flow_risk(problem, scale * X, [0.0, 1, math.inf], 1.0)
        np.testing.assert_allclose(risk, [linear_risk(problem, 0)] * 2 + [math.inf])
        assert optimal_stopping_time(problem, scale * X, 1.0) == 0


# Deep networks


@given(problems(), st.integers(0, 15))
def test_depth_1_is_linear_regression(problem, n):
    assert deep_linear_risk(problem, n, 1) == linear_risk(problem, n)


@given(problems(), st.floats(0.01, 0.99), depths)
def test_deep_linear_risk_is_the_formula(problem, share, depth):
    assume(problem.source.any())
    population, power = problem.population, 1 - 1 / depth
    n = share * np.count_nonzero(population.eigenvalues)
    kappa = effective_ridge(population.eigenvalues, n)
    seen = population.eigenvalues / (population.eigenvalues + kappa)
    source, target = map(population.coordinates, (problem.source, problem.target))
    length, a = source @ source, seen @ target**2
    # β = ‖β‖ on the left, in the scalar equation of thm-deep-bias, bisected for log ‖β‖².
    unseen = (1 - seen) @ source**2

    def difference(x):
        return x - math.log(a + math.exp(power * (x - math.log(length))) * unseen)

    if depth == math.inf:
        ratio = a / (seen @ source**2)
    else:
        root = scipy.optimize.brentq(difference, math.log(a) - 1e-9, 200, xtol=1e-14, rtol=1e-15)
        ratio = math.exp(root) / length
    c = ratio ** (power / 2)
    scaled = TransferProblem(population, c * problem.source, problem.target)
    slack = 1e-9 * (population.squared_norm(scaled.source) + population.squared_norm(source))
    assert deep_linear_risk(problem, n, depth) == pytest.approx(
        linear_risk(scaled, n), rel=1e-7, abs=slack
    )


@pytest.mark.parametrize("exponent", [0, 1])
@pytest.mark.parametrize("stretch", [0.3, 1, 3])
def test_deep_linear_risk_is_as_simulated(exponent, stretch):
    rng, n = np.random.default_rng(0), np.array([30, 100])
    population = Population.power_law(200, exponent)
    source, other = rng.standard_normal((2, 200)) / np.sqrt(200)
    problem = TransferProblem(population, source, stretch * source + 0.3 * other)
    samples = [population.sample(100, rng) for _ in range(30)]
    for depth in (1, 2, 5, math.inf):
        risks = [deep_linear.learning_curve(problem, X, depth)[n] for X in samples]
        # 1/‖P_∥θ_S‖ has a bias of its own, of order 1/n.
        allowance = ALLOWANCE[exponent] + (0.1 if depth > 1 else 0) * (30 / n)
        assert_equivalent(risks, deep_linear_risk(problem, n, depth), allowance)


@given(problems(), st.floats(0.1, 0.9))
def test_infinite_depth(problem, share):
    population = problem.population
    assume(population.squared_norm(problem.source) > 1e-9)
    n = share * np.count_nonzero(population.eigenvalues)
    slack = population.squared_norm(problem.source) + population.squared_norm(problem.target)
    risk = deep_linear_risk(problem, n, math.inf)
    assert deep_linear_risk(problem, n, 10**7) == pytest.approx(risk, rel=1e-4, abs=1e-4 * slack)
    # Only the direction of the source matters, and a target along it costs nothing.
    for by in (1e-6, 1e6):
        scaled = TransferProblem(population, by * problem.source, problem.target)
        assert deep_linear_risk(scaled, n, math.inf) == pytest.approx(
            risk, rel=1e-6, abs=slack / 1e9
        )
        along = TransferProblem(population, problem.source, by * problem.source)
        nothing = 1e-14 * population.squared_norm(along.target)
        assert 0 <= deep_linear_risk(along, n, math.inf) <= nothing


def test_before_any_data_depth_does_not_matter():
    problem = problem_with_gap([2.0, 1, 0.5], [1.0, 2, 3], np.ones(3))
    for depth in (1, 2, 5, math.inf):
        risk = deep_linear_risk(problem, [0, 3, 5], depth)
        np.testing.assert_allclose(risk, [linear_risk(problem, 0), 0, 0], rtol=1e-14)


@pytest.mark.parametrize("size", [1e-8, 1e8])
def test_sources_of_extreme_length(size):
    rng = np.random.default_rng(0)
    source, target = rng.standard_normal((2, 50))
    problem = TransferProblem(Population.power_law(50, 1), size * source, target)
    for depth in (2, 5, 1000):
        risk = deep_linear_risk(problem, 20, depth)
        assert 0 < risk < math.inf
    # A tiny source leaves the part that is seen: from scratch.
    scratch = TransferProblem(problem.population, np.zeros(50), target)
    if size < 1:
        assert deep_linear_risk(problem, 20, 2) == pytest.approx(linear_risk(scratch, 20), rel=0.01)


@pytest.mark.parametrize("depth", [2, 3, 50])
def test_teachers_that_are_hardly_seen(depth):
    values = np.array([1.0, 0.5, 0.25, 0])
    seen, unseen = np.array([1.0, 1, 1, 0]), np.array([0, 0, 0, 1.0])
    n = np.array([0.5, 1, 2.5])
    # Nothing of the target, nearly nothing of it: c² = β^{L−1} with β = ‖P_⊥θ_S‖²/‖θ_S‖².
    kappa = effective_ridge(values, n)[:, None]
    beta = np.sum(kappa / (values + kappa) * seen, axis=1) / 3
    shrunk = beta ** (depth - 1) * linear_risk(problem_with_gap(values, seen), n)
    for target in (unseen, unseen + 1e-12 * seen):
        problem = TransferProblem(Population(values), seen, target)
        risk = deep_linear_risk(problem, n, depth)
        np.testing.assert_allclose(risk, shrunk, rtol=1e-6, atol=1e-20)
    # Nothing of the source, nearly nothing of it: as from scratch.
    scratch = linear_risk(problem_with_gap(values, seen), n)
    for source in (unseen, unseen + 1e-9 * seen):
        problem = TransferProblem(Population(values), source, seen)
        np.testing.assert_allclose(deep_linear_risk(problem, n, depth), scratch, rtol=1e-6)


# Bad input


GOOD = problem_with_gap([2.0, 1, 0.5], [1.0, 2, 3], np.ones(3))
SCRATCH = problem_with_gap([2.0, 1, 0.5], [1.0, 2, 3])
BLIND = problem_with_gap([2.0, 1, 0], [1.0, 2, 3], np.array([0.0, 0, 1]))
ROWS = np.eye(3)[:2]


@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda: effective_ridge([1.0, 2], 1), ValueError, "eigenvalues"),
        (lambda: effective_ridge([1.0, -1], 1), ValueError, "eigenvalues"),
        (lambda: effective_ridge([1.0, math.nan], 1), ValueError, "eigenvalues"),
        (lambda: effective_ridge([1.0], -1), ValueError, "n must be at least 0"),
        (lambda: effective_ridge([1.0], math.inf), ValueError, "n must be finite"),
        (lambda: effective_ridge([1.0], "1"), TypeError, "n must be"),
        (lambda: effective_ridge([1.0], 1, -1e-9), ValueError, "ridge"),
        (lambda: effective_ridge([1.0], 1, [0, math.nan]), ValueError, "ridge"),
        (lambda: effective_ridge([1.0], 1, -math.inf), ValueError, "ridge"),
        (lambda: effective_ridge([1.0], [1, 2], [1, 2, 3]), ValueError, "n, ridge"),
        (lambda: linear_risk(GOOD.population, 1), TypeError, "problem"),
        (lambda: linear_risk(GOOD, -1), ValueError, "n must"),
        (lambda: linear_risk(GOOD, "many"), TypeError, "n must"),
        (lambda: linear_risk(GOOD, 1, -1), ValueError, "ridge"),
        (lambda: linear_risk(GOOD, 1, 0, -1), ValueError, "noise"),
        (lambda: linear_risk(GOOD, 1, 0, math.inf), ValueError, "noise"),
        (lambda: linear_risk(GOOD, [1, 2], 0, [1, 2, 3]), ValueError, "n, ridge, noise"),
        (lambda: deep_linear_risk(GOOD, -1, 2), ValueError, "n must"),
        (lambda: deep_linear_risk(GOOD, 1, 0), ValueError, "depth"),
        (lambda: deep_linear_risk(GOOD, 1, 2.5), TypeError, "depth"),
        (lambda: deep_linear_risk(GOOD, 1, -math.inf), TypeError, "depth"),
        (lambda: deep_linear_risk(GOOD, 1, "2"), TypeError, "depth"),
        (lambda: deep_linear_risk(GOOD, 1, np.array([1, 2])), TypeError, "depth"),
        (lambda: deep_linear_risk(SCRATCH, 1, 2), ValueError, "source.*zero"),
        (lambda: deep_linear_risk(SCRATCH, 1, math.inf), ValueError, "source.*zero"),
        (lambda: deep_linear_risk(BLIND, 1, math.inf), ValueError, "source.*infinite"),
    ],
)
def test_bad_input_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_batches_are_each_of_their_problems():
    rng = np.random.default_rng(0)
    population = Population(1 / np.arange(1.0, 31), rotation(30, 1))
    batch = TransferProblem(population, rng.standard_normal(30), rng.standard_normal((2, 3, 30)))
    n, noise = np.arange(10.0)[:, None], np.array([0.0, 0.3])
    cases = {
        "linear": (lambda problem: linear_risk(problem, n, 0.1, noise), (10, 2)),
        "deep": (lambda problem: deep_linear_risk(problem, n, 3), (10, 1)),
        "infinite": (lambda problem: deep_linear_risk(problem, 4, math.inf), ()),
        "profile": (lambda problem: risk_profile(problem, n, 0.1, noise), (10, 2, 30)),
        "needed": (lambda problem: sample_complexity(problem, 0.5), ()),
        "ridge": (lambda problem: optimal_ridge(problem, n[:4], noise), (4, 2)),
    }
    for function, shape in cases.values():
        result = function(batch)
        assert result.shape == (2, 3, *shape)
        for index, problem in zip(np.ndindex(2, 3), batch.each(), strict=True):
            np.testing.assert_allclose(result[index], function(problem), rtol=1e-11)


def test_a_source_that_is_seen_whole_is_not_seen_more_than_whole():
    """Shares may add up to 1 + ε; with a target of nothing the rest must still not be negative."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        population = Population.power_law(30, 1)
        problem = TransferProblem(population, rng.standard_normal(30), np.zeros(30))
        risks = deep_linear_risk(problem, [29.999, 30, 31], 3)
        assert np.isfinite(risks).all() and (risks[1:] == 0).all()
