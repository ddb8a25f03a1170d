"""What is done with the exact risk: profile, n(ε), the best ridge, the best time to stop."""

import math
from functools import partial

import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
from hypothesis import assume, given
from strategies import (
    GAPS,
    assert_equivalent,
    gap_in,
    problem_with_gap,
    problems,
    ridges,
    rotation,
    sampled_problems,
    seeds,
)

from lib import equivalent, linear_regression, planning
from lib.equivalent import Level
from lib.exact_risk import DeepRisk, deep_linear_risk, effective_ridge, linear_risk
from lib.linear_regression import flow_risk
from lib.planning import optimal_ridge, optimal_stopping_time, risk_profile, sample_complexity
from lib.problem import Population, TransferProblem


@given(problems(), st.integers(0, 20), ridges, st.sampled_from([0.0, 0.3]))
def test_profile_adds_up_to_the_risk(problem, n, ridge, noise):
    assume(ridge > 0 or noise == 0 or n != np.count_nonzero(problem.population.eigenvalues))
    profile = risk_profile(problem, n, ridge, noise)
    assert (profile >= 0).all()
    assert profile.shape == (problem.population.dim,)
    assert profile.sum() == pytest.approx(linear_risk(problem, n, ridge, noise), rel=1e-10)


def test_profile_is_as_simulated():
    # A gap in the last directions: the interpolator pays for it in the first ones.
    population = Population(1 / np.arange(1.0, 101), rotation(100, 3))
    bottom = population.eigenvectors[:, 95:].sum(axis=1)
    problem = TransferProblem(population, np.zeros(100), bottom)
    rng, parts = np.random.default_rng(0), [0, 1, 5, 20, 95, 100]
    draws = []
    for _ in range(400):
        X, y = problem.sample(40, rng, 0.05)
        error = linear_regression.finetune(X, y, problem.source, ridge=0.1) - problem.target
        draws.append(population.coordinates(error) ** 2 * population.eigenvalues)
    draws = np.add.reduceat(np.array(draws), parts[:-1], axis=1)
    profile = np.add.reduceat(risk_profile(problem, 40, 0.1, 0.05), parts[:-1])
    assert_equivalent(draws, profile, 0.04)
    assert profile[:4].sum() > 0.4 * profile.sum()


@given(problems(), st.integers(1, 20), st.floats(-3, 3))
def test_noise_term_of_the_profile(problem, n, ridge):
    # The proof of prop-risk-profile: vᵢᵀA⁻¹XᵀXA⁻¹vᵢ = d/dδ(δ vᵢᵀA⁻¹vᵢ), for which κ/(λᵢ + κ).
    values, ridge = problem.population.eigenvalues, 10**ridge
    X = problem.population.sample(n, np.random.default_rng(0))

    def unseen(delta):
        return delta * np.diag(np.linalg.inv(X.T @ X + delta * np.eye(X.shape[1])))

    steps = ridge * np.array([0.999, 1.001])
    inverse = np.linalg.inv(X.T @ X + ridge * np.eye(X.shape[1]))
    left = np.diag(inverse @ X.T @ X @ inverse)
    right = np.subtract(*map(unseen, steps)) / np.subtract(*steps)
    np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-4 / ridge)
    kappa = effective_ridge(values, n, steps)[:, None]
    slope = np.subtract(*(kappa / (values + kappa))) / np.subtract(*steps)
    quiet, loud = (risk_profile(problem, n, ridge, noise) for noise in (0.0, 1e3))
    noise_term = (loud - quiet) / 1e6
    np.testing.assert_allclose(noise_term, values * slope, rtol=1e-4, atol=1e-6 * values.max())


def brute_force(problem, risk, depth):
    """Return n(ε) by its definition, from the risk at every n."""
    curve = deep_linear_risk(problem, np.arange(problem.population.dim + 1), depth)
    above = np.flatnonzero(curve > risk * (1 + 1e-12))
    return int(above[-1]) + 1 if above.size else 0


@st.composite
def hard_problems(draw):
    """Up to 80 dimensions, with gaps on few directions: curves with humps and plateaus."""
    rng = np.random.default_rng(draw(seeds))
    dim = draw(st.integers(1, 80))
    levels = 10 ** rng.uniform(-draw(st.sampled_from([0, 1, 4, 12])), 0, draw(st.integers(1, 6)))
    match draw(st.sampled_from(["levels", "power", "zeros"])):
        case "levels":
            values = rng.choice(levels, dim)
        case "power":
            values = np.arange(1.0, dim + 1) ** -rng.uniform(0, 2)
        case "zeros":
            values = rng.choice([0, 1, 1e-2], dim)
    source, gap = rng.standard_normal((2, dim))
    gap *= rng.random(dim) < draw(st.sampled_from([0.1, 0.5, 1.0]))
    gap *= 10 ** rng.uniform(-draw(st.sampled_from([0, 3])), 0, dim)
    source += gap * draw(st.sampled_from([0, -10, -0.9]))
    return problem_with_gap(np.sort(values)[::-1], gap, source)


@given(hard_problems(), st.sampled_from([1, 2, 5, math.inf]), seeds)
def test_sample_complexity_is_its_definition(problem, depth, seed):
    if depth > 1:
        assume(problem.population.squared_norm(problem.source) > 0)
    curve = deep_linear_risk(problem, np.arange(problem.population.dim + 1), depth)
    rng = np.random.default_rng(seed)
    targets = [0, rng.choice(curve), curve.max(), curve.max() * rng.random()]
    for target in targets:
        assert sample_complexity(problem, target, depth) == brute_force(problem, target, depth)


@pytest.mark.parametrize("dim", range(1, 7))
def test_sample_complexity_counts_every_sample_where_there_are_few(dim):
    # Equal variances: R = d − n, met at every n and missed by a hair just before the next.
    problem = problem_with_gap(np.ones(dim), np.ones(dim), np.ones(dim))
    for n in range(dim):
        assert sample_complexity(problem, dim - n) == n
        assert sample_complexity(problem, (dim - n) * (1 - 1e-9)) == n + 1
    assert sample_complexity(problem, 0) == dim


def test_sample_complexity_where_the_risk_rises_first():
    # At 5.1e-3 without data, the risk rises to 6.7e-3: a target between is met at 0 and lost again.
    problem = problem_with_gap(1 / np.arange(1.0, 201), gap_in(GAPS["bottom"]))
    curve = linear_risk(problem, np.arange(201))
    assert curve[0] < 6e-3 < curve.max()
    n = sample_complexity(problem, 6e-3)
    assert 90 < n < 110
    assert curve[n] <= 6e-3 < curve[n - 1]
    assert sample_complexity(problem, curve.max()) == 0


@pytest.mark.parametrize("depth", [1, 3, math.inf])
def test_sample_complexity_in_high_dimension(depth, monkeypatch):
    dim, rng = 2000, np.random.default_rng(0)
    source, gap = rng.standard_normal((2, dim)) / np.sqrt(dim)
    problem = problem_with_gap(np.arange(1.0, dim + 1) ** -0.7, gap, source)
    target = linear_risk(problem, 0) / 4
    expected = brute_force(problem, target, depth)
    evaluated, solve, level = [], equivalent._newton, Level.__init__

    def count(solver, *args):
        evaluated.append(10 * args[1].size)
        return solver(*args)

    def counted(self, spectrum, n, ridge, kappa):
        evaluated.append(kappa.size)
        level(self, spectrum, n, ridge, kappa)

    monkeypatch.setattr(equivalent, "_newton", partial(count, solve))
    monkeypatch.setattr(Level, "__init__", counted)
    assert sample_complexity(problem, target, depth) == expected
    assert sum(evaluated) < dim / 2


@given(hard_problems(), st.sampled_from([(1, 2), (1, 16), (math.inf, 2), (3, 16)]))
def test_certificate_bounds_the_risk_between_its_ends(problem, case):
    depth, stride = case
    last = np.count_nonzero(problem.population.eigenvalues)
    assume(last > 2 and problem.population.squared_norm(problem.source) > 0)
    risk = DeepRisk(problem, depth)
    ends = effective_ridge(problem.population.eigenvalues, [1, last - 1]) / risk.spectrum.unit
    kappas = np.geomspace(*ends, 129)
    risks = risk(risk.spectrum.at(kappas))
    bounds = planning._highest(risk, risk.spectrum.at(kappas[::stride]))
    for left, bound in zip(range(0, 128, stride), bounds, strict=True):
        assert risks[left : left + stride + 1].max() <= bound * (1 + 1e-9) + 1e-25


def test_certificate_foresees_a_hump():
    # Variances far above and below that of the gap: between κ = 0.7 and 5.4 the risk rises twofold.
    eigenvalues = np.repeat([100, 0.857, 0.01], [1000, 1, 1000])
    problem = problem_with_gap(eigenvalues, eigenvalues == 0.857)
    curve = linear_risk(problem, np.arange(2002))
    risk = DeepRisk(problem, 1)
    level = risk.spectrum.at(np.array([2 * math.e, 2 / math.e]) / risk.spectrum.unit)
    highest = curve[math.ceil(level.n[0]) : math.floor(level.n[1])].max()
    (bound,) = risk.size**2 * planning._highest(risk, level)
    assert highest > 1.4 * risk.size**2 * risk(level).max()
    assert highest < bound < 2 * highest
    for share in (0.5, 0.9, 0.999, 1):
        assert sample_complexity(problem, share * highest) == brute_force(
            problem, share * highest, 1
        )


def test_certificate_follows_the_scale_of_the_source():
    # The tail of the target is long, though hardly felt: as it is seen c grows from 0 to 8, and
    # with it the risk along the first directions, where the target has nothing.
    eigenvalues = np.repeat([1, 1e-6], [20, 2000])
    source, target = np.repeat([500.0, 150], [20, 2000]), np.repeat([0.0, 1200], [20, 2000])
    problem = TransferProblem(Population(eigenvalues), source, target)
    risk = DeepRisk(problem, math.inf)
    kappas = np.geomspace(*effective_ridge(eigenvalues, [1, 2019]), 401) / risk.spectrum.unit
    risks = risk(risk.spectrum.at(kappas))
    assert risks.max() > 2 * risks[0]
    for left, bound in enumerate(planning._highest(risk, risk.spectrum.at(kappas[::2]))):
        assert risks[2 * left : 2 * left + 3].max() <= bound * (1 + 1e-12)


@given(problems(), st.integers(1, 20), st.sampled_from([0.0, 0.01, 0.3, 10]))
def test_optimal_ridge_is_not_beaten(problem, n, noise):
    best = optimal_ridge(problem, n, noise)
    assert best >= 0
    scale = problem.population.eigenvalues[0]
    others = np.concatenate([[0, math.inf], scale * np.geomspace(1e-15, 1e15, 601)])
    if 0 < best < math.inf:
        others = np.append(others, best * np.array([0.5, 0.9, 0.999, 1.001, 1.1, 2]))
    risk, rest = linear_risk(problem, n, best, noise), linear_risk(problem, n, others, noise)
    assert risk <= rest.min() + 1e-10 * (rest.min() + noise**2)


@pytest.mark.parametrize("n", [20, 150, 260])
@pytest.mark.parametrize("gap", GAPS)
def test_optimal_ridge_is_the_numerical_minimum(n, gap):
    problem = problem_with_gap(1 / np.arange(1.0, 201), gap_in(GAPS[gap]))
    found = scipy.optimize.minimize_scalar(
        lambda x: linear_risk(problem, n, math.exp(x), 0.3),
        bounds=(-10, 15),
        method="bounded",
        options={"xatol": 1e-9},
    )
    assert optimal_ridge(problem, n, 0.3) == pytest.approx(math.exp(found.x), rel=1e-4)


@pytest.mark.parametrize("exponent", [0, 1])
@pytest.mark.parametrize("n", [0.01, 10, 100, 200, 500])
def test_optimal_ridge_of_an_even_gap(exponent, n):
    # Equal uᵢ²: δ* = dσ²/‖u‖², whatever the spectrum and n, as for a Gaussian prior.
    problem = problem_with_gap(np.arange(1.0, 201) ** -exponent, np.full(200, 0.5))
    for noise in (0.1, 2):
        assert optimal_ridge(problem, n, noise) == pytest.approx(noise**2 / 0.25, rel=1e-9)
    assert not optimal_ridge(problem, np.arange(n)).any()  # not 10⁻¹⁴ either


@pytest.mark.parametrize("scale", [1e-3, 1, 1e3])
def test_optimal_ridge_under_overwhelming_noise(scale):
    # κ is far above λ₁, and the condition becomes δ* = σ² Σλᵢ²/Σλᵢ²uᵢ².
    values, u = scale / np.arange(1.0, 21), np.arange(1.0, 21)
    problem = problem_with_gap(values, u)
    for noise in (1e20, 1e48, 1e60, 1e100):
        expected = noise * (values @ values) / (values**2 @ u**2) * noise
        assert optimal_ridge(problem, 7, noise) == pytest.approx(expected, rel=1e-9)


def test_optimal_ridge_at_its_ends():
    values = 1 / np.arange(1.0, 201)
    seen = problem_with_gap(values, gap_in(GAPS["top"]))
    hurt = problem_with_gap(values, gap_in(GAPS["bottom"]))
    same = problem_with_gap(values, np.zeros(200))
    assert optimal_ridge(seen, 100) == 0
    assert optimal_ridge(seen, 0, 0.5) == 0  # all are equally good
    assert 0 < optimal_ridge(hurt, 50) < math.inf  # without noise, where interpolation hurts
    assert optimal_ridge(hurt, 300) == 0
    assert optimal_ridge(same, 100, 0.5) == math.inf
    assert optimal_ridge(same, 100) == 0
    assert linear_risk(same, 100, math.inf, 0.5) == 0


def test_optimal_ridge_is_the_better_of_two_minima():
    # A small gap that is seen at once, a large one far below: two ridges are locally best.
    values = np.repeat([1.0, 1e-6], [20, 180])
    u = np.where(values == 1, 1e-2, 3.0)
    problem = problem_with_gap(values, u)
    ridges = np.geomspace(1e-9, 1e3, 2000)
    risks = linear_risk(problem, 100, ridges, 0.01)
    least = (risks[1:-1] < risks[:-2]) & (risks[1:-1] < risks[2:])
    assert least.sum() == 2
    best = optimal_ridge(problem, 100, 0.01)
    assert best == pytest.approx(ridges[np.argmin(risks)], rel=0.02)


@given(
    sampled_problems(dims=st.integers(2, 12), sizes=st.integers(1, 20)),
    st.sampled_from([0, 0.01, 0.5, 30]),
)
def test_optimal_stopping_time_is_not_beaten(case, noise):
    problem, X = case
    best = optimal_stopping_time(problem, X, noise)
    scale = np.linalg.norm(X, 2) ** 2 / len(X) or 1.0
    times = np.concatenate([[0, math.inf], np.geomspace(1e-8, 1e16, 1001) / scale])
    times = np.append(times, best * np.array([0.9, 0.99, 1.01, 1.1]))
    risk, rest = flow_risk(problem, X, [best], noise)[0], flow_risk(problem, X, times, noise)
    assert risk <= rest.min() + 1e-9 * (rest.min() + 1e-9 * rest[0])


def test_optimal_stopping_time_at_its_ends():
    rng = np.random.default_rng(0)
    values = 1 / np.arange(1.0, 201)
    seen = problem_with_gap(values, gap_in(GAPS["top"]))
    same = problem_with_gap(values, np.zeros(200))
    X = seen.population.sample(60, rng)
    assert optimal_stopping_time(same, X, 0.5) == 0
    assert optimal_stopping_time(seen, np.zeros((3, 200)), 0.5) == 0
    assert optimal_stopping_time(problem_with_gap(np.ones(200), gap_in(GAPS["top"])), X) == math.inf
    times = [optimal_stopping_time(seen, X, noise) for noise in (0.1, 0.3, 1, 1e3)]
    assert 0 < times[3] < times[2] < times[1] < times[0] < math.inf
    assert optimal_stopping_time(seen, X, 0.01) == math.inf
    # Where interpolation hurts, training stops early even on clean labels.
    hurt = problem_with_gap(values, gap_in(GAPS["bottom"]))
    assert 0 < optimal_stopping_time(hurt, X) < 10
    # With much noise to fight, the risk is a parabola that turns at once.
    around = flow_risk(seen, X, times[3] * np.array([0.99, 1, 1.01]), 1e3)
    assert around[1] < min(around[0], around[2])


GOOD = problem_with_gap([2.0, 1, 0.5], [1.0, 2, 3], np.ones(3))
SCRATCH = problem_with_gap([2.0, 1, 0.5], [1.0, 2, 3])
ROWS = np.eye(3)[:2]


@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda: risk_profile(GOOD, -1), ValueError, "n must"),
        (lambda: risk_profile(GOOD, 1, noise=-1), ValueError, "noise"),
        (lambda: risk_profile(GOOD, [1, 2], [1, 2, 3]), ValueError, "n, ridge, noise"),
        (lambda: sample_complexity(GOOD.population, 1), TypeError, "problem"),
        (lambda: sample_complexity(GOOD, -1), ValueError, "risk"),
        (lambda: sample_complexity(GOOD, [1.0]), TypeError, "risk"),
        (lambda: sample_complexity(GOOD, math.nan), ValueError, "risk"),
        (lambda: sample_complexity(GOOD, 1, 0), ValueError, "depth"),
        (lambda: sample_complexity(SCRATCH, 1, 2), ValueError, "source"),
        (lambda: optimal_ridge(GOOD, -1), ValueError, "n must"),
        (lambda: optimal_ridge(GOOD, 1, -1), ValueError, "noise"),
        (lambda: optimal_ridge(GOOD, [1, 2], [1, 2, 3]), ValueError, "n, noise"),
        (lambda: optimal_stopping_time(GOOD, np.ones(3)), ValueError, "X must"),
        (lambda: optimal_stopping_time(GOOD, ROWS, -1), ValueError, "noise"),
    ],
)
def test_bad_input_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()
