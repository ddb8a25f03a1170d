"""thm-exact-risk and thm-deep-exact: against Monte Carlo, and in exact arithmetic where exact.

The formulas are limits. At d = 200 what remains beyond the standard error of a mean over draws is
the ``ALLOWANCE``, relative, by the exponent of the power law; it falls like 1/d, which is tested.
"""

import math
import tracemalloc

import hypothesis.strategies as st
import mpmath
import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
from hypothesis import assume, example, given, settings
from strategies import problems, rotation, sampled_problems, seeds, z_scores

from lib import deep_linear, exact_risk, linear_regression
from lib.exact_risk import (
    deep_linear_risk,
    effective_ridge,
    flow_risk,
    gap_norms,
    linear_risk,
    optimal_ridge,
    optimal_stopping_time,
    risk_profile,
    sample_complexity,
)
from lib.problem import Population, TransferProblem

ALLOWANCE = {0: 0.005, 0.5: 0.01, 1: 0.02, 2: 0.06}
GAPS = {"top": slice(0, 10), "bottom": slice(190, 200), "all": slice(0, 200)}
depths = st.sampled_from([1, 2, 3, 7, 1000, math.inf])


def problem_with_gap(eigenvalues, gap, source=None):
    """Return the problem with this gap, on the standard basis."""
    source = np.zeros(len(eigenvalues)) if source is None else source
    return TransferProblem(Population(eigenvalues), source, np.add(source, gap))


def gap_in(part, dim=200):
    """Return a gap of length 1 that is equal along the directions of a slice."""
    u = np.zeros(dim)
    u[part] = 1
    return u / np.linalg.norm(u)


def assert_equivalent(draws, formula, allowance):
    """The mean of the draws is the formula, within 4 standard errors and the allowance."""
    draws = np.asarray(draws)
    error = draws.std(axis=0, ddof=1) / np.sqrt(len(draws))
    assert (np.abs(draws.mean(axis=0) - formula) <= 4 * error + allowance * formula).all()


# The effective ridge


@st.composite
def wide_spectra(draw):
    """Eigenvalues over up to 30 orders of magnitude, in clusters, repeated, some of them zero."""
    rng = np.random.default_rng(draw(seeds))
    dim = draw(st.integers(1, 30))
    levels = 10 ** rng.uniform(-draw(st.sampled_from([0, 3, 30])), 0, draw(st.integers(1, 30)))
    values = rng.choice(levels, dim) * rng.choice([0, 1], dim, p=[0.1, 0.9])
    return 10.0 ** draw(st.integers(-20, 20)) * np.sort(values)[::-1]


ridges = st.one_of(st.just(0.0), st.floats(-30, 30).map(lambda x: 10**x))


@given(wide_spectra(), st.one_of(st.integers(1, 60), st.floats(1e-3, 60)), ridges)
@example(np.repeat([1, 1e-30], [5, 100]), 5, 0.0)  # κ = √(20·1e-30), where the sum is 5 − 2e-14
@example(np.repeat([1, 1e-30], [5, 100]), 5, 1e-40)
def test_effective_ridge_is_the_root_to_full_relative_accuracy(eigenvalues, n, ridge):
    positive = np.count_nonzero(eigenvalues)
    kappa = effective_ridge(eigenvalues, n, ridge)
    if ridge == 0 and n >= positive:
        assert kappa == 0
        return
    # The equation changes sign between κ(1 − 10⁻¹²) and κ(1 + 10⁻¹²), in exact arithmetic.
    with mpmath.workdps(80):

        def excess(kappa):
            values = [mpmath.mpf(value) for value in eigenvalues[:positive]]
            return sum(v / (v + kappa) for v in values) + mpmath.mpf(ridge) / kappa - n

        small = mpmath.mpf(10) ** -12
        assert excess(kappa * (1 - small)) > 0 > excess(kappa * (1 + small))


@given(wide_spectra(), st.integers(1, 30), seeds)
def test_effective_ridge_falls_with_n_and_grows_with_ridge(eigenvalues, size, seed):
    rng = np.random.default_rng(seed)
    n = np.sort(rng.uniform(0, 40, size))
    ridge = np.sort(np.append(0.0, 10 ** rng.uniform(-20, 20, size)))[:, None]
    kappa = effective_ridge(eigenvalues, n, ridge)
    assert kappa.shape == (size + 1, size)
    assert (np.diff(kappa, axis=1) <= 1e-12 * kappa[:, 1:]).all()
    assert (np.diff(kappa, axis=0) >= -1e-12 * kappa[1:]).all()
    np.testing.assert_allclose(kappa[0], effective_ridge(eigenvalues, n), rtol=1e-12)


def test_effective_ridge_has_its_limits():
    eigenvalues = np.array([2.0, 1, 1, 0])
    n = [0, 1, 2.5, 3, 4, 100]
    kappa = effective_ridge(eigenvalues, n)
    assert kappa[0] == math.inf
    assert (kappa[1:3] > 0).all()
    assert (kappa[3:] == 0).all()
    assert (effective_ridge(eigenvalues, n, math.inf) == math.inf).all()
    assert effective_ridge(eigenvalues, 1000, 5.0) == pytest.approx(5 / 997, rel=0.01)
    assert effective_ridge(np.zeros(3), 2) == 0
    assert effective_ridge(np.zeros(3), 2, 5.0) == pytest.approx(2.5)
    assert isinstance(effective_ridge(eigenvalues, 1), float)
    assert effective_ridge(eigenvalues, np.zeros((0, 2))).shape == (0, 2)
    assert effective_ridge(eigenvalues, 1e-300) == math.inf
    np.testing.assert_allclose(effective_ridge(eigenvalues, 5, [5e-324, 1e-300]), [0, 5e-301])


@pytest.mark.parametrize("n", [1, 1000, 500_000, 999_999, 999_999.5])
def test_effective_ridge_of_equal_eigenvalues(n):
    d, variance, ridge = 10**6, 3.0, 7.0
    kappa = effective_ridge(np.full(d, variance), n)
    assert kappa == pytest.approx(variance * (d - n) / n, rel=1e-13)
    # With ridge it is the positive root of nκ² + ((n − d)λ − δ)κ − δλ.
    with mpmath.workdps(50):
        b = mpmath.mpf(n - d) * variance - ridge
        root = (-b + mpmath.sqrt(b * b + 4 * mpmath.mpf(n) * ridge * variance)) / (2 * n)
    assert effective_ridge(np.full(d, variance), n, ridge) == pytest.approx(float(root), rel=1e-12)


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


@pytest.mark.parametrize("exponent", [0, 1])
@pytest.mark.parametrize("n, ridge", [(50, 0.1), (50, 10.0), (150, 0.0), (300, 0.0), (300, 10.0)])
def test_ridge_and_noise_are_as_simulated(exponent, n, ridge):
    noise, rng = 0.3, np.random.default_rng(1)
    population = Population.power_law(200, exponent)
    problem = problem_with_gap(population.eigenvalues, gap_in(slice(200)))
    risks = []
    for _ in range(40):
        X, y = problem.sample(n, rng, noise)
        risks.append(problem.risk(linear_regression.finetune(X, y, problem.source, ridge)))
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


def test_tables_are_never_held(monkeypatch):
    d, n = 200_000, np.linspace(0, 200_000, 100)
    rng = np.random.default_rng(0)
    source, target = rng.standard_normal((2, d))
    problem = TransferProblem(Population.power_law(d, 1), source, target)
    tracemalloc.start()
    whole = linear_risk(problem, n)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * d * len(n) / 3
    assert np.isfinite(whole).all()
    small = TransferProblem(Population.power_law(50, 1), source[:50], target[:50])
    n = np.arange(50)
    at_once = linear_risk(small, n, 0.1, 0.1), deep_linear_risk(small, n, 3)
    monkeypatch.setattr(exact_risk, "_TILE", 100)
    in_tiles = linear_risk(small, n, 0.1, 0.1), deep_linear_risk(small, n, 3)
    np.testing.assert_allclose(at_once, in_tiles, rtol=1e-12)


# Where the risk lies, and what is seen


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
        error = linear_regression.finetune(X, y, problem.source, 0.1) - problem.target
        draws.append(population.coordinates(error) ** 2 * population.eigenvalues)
    draws = np.add.reduceat(np.array(draws), parts[:-1], axis=1)
    profile = np.add.reduceat(risk_profile(problem, 40, 0.1, 0.05), parts[:-1])
    assert_equivalent(draws, profile, 0.04)
    assert profile[:4].sum() > 0.4 * profile.sum()


@given(problems())
def test_gap_norms_add_up(problem):
    n = np.arange(2 * problem.population.dim)
    seen, unseen = gap_norms(problem, n)
    u, values = problem.gap, problem.population.eigenvalues
    np.testing.assert_allclose(seen + unseen, u @ u, rtol=1e-12)
    assert (np.diff(seen) >= -1e-12 * (u @ u)).all()
    assert seen[0] == 0
    hidden = problem.population.coordinates(u)[values == 0]
    assert unseen[-1] == pytest.approx(hidden @ hidden)


@pytest.mark.parametrize("gap", GAPS)
def test_gap_norms_are_as_simulated(gap):
    population = Population.power_law(200, 1)
    problem = problem_with_gap(population.eigenvalues, gap_in(GAPS[gap]))
    rng, draws = np.random.default_rng(0), []
    for _ in range(50):
        Vt = linear_regression.row_space(population.sample(60, rng))[2]
        seen = np.sum((Vt @ problem.gap) ** 2)
        draws.append([seen, 1 - seen])
    assert_equivalent(draws, np.array(gap_norms(problem, 60)), 0.01)


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


# Sample complexity


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
    evaluated, solve, sums = [], exact_risk._solve, exact_risk._sums
    monkeypatch.setattr(
        exact_risk, "_solve", lambda *args: evaluated.append(10 * args[2].size) or solve(*args)
    )
    monkeypatch.setattr(
        exact_risk, "_sums", lambda *args: evaluated.append(args[0].size) or sums(*args)
    )
    assert sample_complexity(problem, target, depth) == expected
    assert sum(evaluated) < dim / 2


@given(hard_problems(), st.sampled_from([(1, 2), (1, 16), (math.inf, 2), (3, 16)]))
def test_certificate_bounds_the_risk_between_its_ends(problem, case):
    depth, stride = case
    last = np.count_nonzero(problem.population.eigenvalues)
    assume(last > 2 and problem.population.squared_norm(problem.source) > 0)
    modes = exact_risk._modes(problem)
    ends = effective_ridge(problem.population.eigenvalues, [1, last - 1])
    state = exact_risk._resolution(modes, np.geomspace(*ends, 129))
    risks = state.risk(exact_risk._scale(state, depth))
    for left in range(0, 128, stride):
        bound = exact_risk._log_highest(state.at([left, left + stride]), depth)
        assert risks[left : left + stride + 1].max() <= math.exp(bound) * (1 + 1e-9) + 1e-25


@settings(max_examples=30)
@given(
    st.integers(300, 3000),
    st.floats(0, 3),
    st.sampled_from([0, 1e-4, 1.0]),
    st.integers(0, 3),
    seeds,
)
def test_many_sizes_at_once_are_each_of_them(dim, exponent, ridge, noise, seed):
    """Many together are summed over fewer points than eigenvalues, a single one is not."""
    rng = np.random.default_rng(seed)
    eigenvalues = np.sort(np.arange(1.0, dim + 1) ** -exponent * rng.uniform(0.5, 1, dim))[::-1]
    gap = rng.standard_normal(dim) * eigenvalues ** rng.uniform(-1, 1) * (rng.random(dim) < 0.3)
    problem = problem_with_gap(eigenvalues, gap, rng.standard_normal(dim))
    sizes = np.append(rng.integers(1, 2 * dim, 8), [dim - 1, dim, dim + 1])
    points, _ = exact_risk._condensed(eigenvalues, np.ones((1, dim)))
    assert points.size < dim
    cases = (  # at depth, where θ_T − cθ_S nearly cancels, rounding of c is felt
        (lambda n: effective_ridge(eigenvalues, n, ridge), 1e-12),
        (lambda n: linear_risk(problem, n, ridge, noise / 10), 1e-11),
        (lambda n: deep_linear_risk(problem, n, 3), 1e-7),
    )
    for function, rtol in cases:
        np.testing.assert_allclose(
            function(sizes), [function(int(n)) for n in sizes], rtol=rtol, atol=1e-300
        )


@pytest.mark.parametrize("gap", [1e-10, 1e-30, 1e-100])
def test_points_count_every_eigenvalue_above_a_gap(gap):
    """With as many samples as there are eigenvalues above it, κ is as small as those below."""
    cluster = np.linspace(1, 0.5, 100)
    eigenvalues = np.concatenate([cluster, gap * cluster])
    sizes = np.arange(96, 105)
    kappas = [effective_ridge(eigenvalues, int(n)) for n in sizes]
    assert effective_ridge(eigenvalues, 100) < 10 * math.sqrt(gap)
    np.testing.assert_allclose(effective_ridge(eigenvalues, sizes), kappas, rtol=1e-12)
    points, sums = exact_risk._condensed(eigenvalues, np.ones((1, 200)))
    assert points[25] == 0.5 and np.cumsum(sums[0])[[25, -1]].tolist() == [100, 200]


@pytest.mark.parametrize("power", [1, 2, 3])
def test_points_have_the_sums_of_their_eigenvalues(power):
    """Of Σ wᵢλᵢ/(λᵢ + κ)^p, for any κ, with weights on all, on one, and of any size."""
    rng = np.random.default_rng(power)
    eigenvalues = np.sort(10 ** rng.uniform(-5, 0, 2000))[::-1]
    weights = np.stack([np.ones(2000), np.arange(2000) == 700, rng.standard_normal(2000) ** 2])
    points, sums = exact_risk._condensed(eigenvalues, weights)
    assert (np.diff(points) < 0).all() and points[[0, -1]].tolist() == eigenvalues[[0, -1]].tolist()
    np.testing.assert_allclose(sums.sum(axis=1), weights.sum(axis=1), rtol=1e-13)
    for kappa in 10.0 ** np.arange(-8, 4):
        expected = weights @ (eigenvalues / (eigenvalues + kappa) ** power)
        found = sums @ (points / (points + kappa) ** power)
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_certificate_foresees_a_hump():
    # Variances far above and below that of the gap: between κ = 0.7 and 5.4 the risk rises twofold.
    eigenvalues = np.repeat([100, 0.857, 0.01], [1000, 1, 1000])
    problem = problem_with_gap(eigenvalues, eigenvalues == 0.857)
    curve = linear_risk(problem, np.arange(2002))
    modes = exact_risk._modes(problem)
    state = exact_risk._resolution(modes, np.array([2 * math.e, 2 / math.e]) / modes.scale)
    highest = curve[math.ceil(state.n[0]) : math.floor(state.n[1])].max()
    bound = modes.in_units(math.exp(exact_risk._log_highest(state, 1)))
    assert highest > 1.4 * modes.in_units(state.risk()).max()
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
    modes = exact_risk._modes(problem)
    state = exact_risk._resolution(
        modes, np.geomspace(*effective_ridge(eigenvalues, [1, 2019]), 401)
    )
    risks = state.risk(exact_risk._scale(state, math.inf))
    assert risks.max() > 2 * risks[0]
    for left in range(0, 400, 2):
        bound = exact_risk._log_highest(state.at([left, left + 2]), math.inf)
        assert risks[left : left + 3].max() <= math.exp(bound) * (1 + 1e-12)


# The best ridge


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


# Along gradient flow


@given(sampled_problems(sizes=st.integers(1, 20)))
def test_flow_risk_starts_and_ends_right(case):
    problem, X = case
    risk = flow_risk(problem, X, [0, math.inf])
    start = problem.risk(problem.source)
    end = problem.risk(linear_regression.finetune(X, X @ problem.target, problem.source))
    assert risk[0] == pytest.approx(start, rel=1e-9, abs=1e-25)
    size = problem.population.eigenvalues[0] * (problem.gap @ problem.gap)
    assert risk[1] == pytest.approx(end, rel=1e-6, abs=1e-12 * size)


@pytest.mark.parametrize("n", [8, 25])
def test_flow_risk_is_the_integrated_flow(n):
    rng = np.random.default_rng(0)
    population = Population(1 / np.arange(1.0, 21), rotation(20, 1))
    problem = TransferProblem(population, *rng.standard_normal((2, 20)))
    X = population.sample(n, rng)
    S, times = X.T @ X / n, [0, 0.1, 1, 10, 100]
    # Bias and variance together: θ − θ_T = m + C·(noise), m' = −Σ̂m and C' = Xᵀ/n − Σ̂C.
    start = np.column_stack([-problem.gap, np.zeros((20, n))])

    def flow(_, state):
        state = state.reshape(20, n + 1)
        return (np.column_stack([np.zeros(20), X.T / n]) - S @ state).ravel()

    path = scipy.integrate.solve_ivp(
        flow, (0, 100), start.ravel(), "DOP853", times, rtol=1e-11, atol=1e-13
    )
    states = path.y.T.reshape(len(times), 20, n + 1)
    felt = np.einsum("tik,ij,tjk->tk", states, population.covariance(), states)
    for noise in (0, 0.7):
        expected = felt[:, 0] + noise**2 * felt[:, 1:].sum(axis=1)
        np.testing.assert_allclose(flow_risk(problem, X, times, noise), expected, rtol=1e-8)


def test_flow_risk_is_the_mean_over_label_noise():
    rng, noise = np.random.default_rng(0), 0.5
    population = Population.power_law(30, 1)
    problem = TransferProblem(population, *rng.standard_normal((2, 30)))
    X, times = population.sample(12, rng), [0.3, 3, 30, 1e6]
    risks = []
    for _ in range(1000):
        y = X @ problem.target + noise * rng.standard_normal(12)
        risks.append(problem.risk(linear_regression.gradient_flow(X, y, problem.source, times)))
    assert (np.abs(z_scores(risks, flow_risk(problem, X, times, noise))) < 4).all()


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
        (lambda: gap_norms(None, 1), TypeError, "problem"),
        (lambda: gap_norms(GOOD, math.nan), ValueError, "n must"),
        (lambda: risk_profile(GOOD, -1), ValueError, "n must"),
        (lambda: risk_profile(GOOD, 1, noise=-1), ValueError, "noise"),
        (lambda: risk_profile(GOOD, [1, 2], [1, 2, 3]), ValueError, "n, ridge, noise"),
        (lambda: sample_complexity(GOOD, -1), ValueError, "risk"),
        (lambda: sample_complexity(GOOD, [1.0]), TypeError, "risk"),
        (lambda: sample_complexity(GOOD, math.nan), ValueError, "risk"),
        (lambda: sample_complexity(GOOD, 1, 0), ValueError, "depth"),
        (lambda: sample_complexity(SCRATCH, 1, 2), ValueError, "source"),
        (lambda: optimal_ridge(GOOD, -1), ValueError, "n must"),
        (lambda: optimal_ridge(GOOD, 1, -1), ValueError, "noise"),
        (lambda: optimal_ridge(GOOD, [1, 2], [1, 2, 3]), ValueError, "n, noise"),
        (lambda: flow_risk(GOOD, np.ones((2, 4)), [1]), ValueError, "X must"),
        (lambda: flow_risk(GOOD, np.full((2, 3), np.nan), [1]), ValueError, "X must"),
        (lambda: flow_risk(GOOD, ROWS, [-1]), ValueError, "times"),
        (lambda: flow_risk(GOOD, ROWS, [math.nan]), ValueError, "times"),
        (lambda: flow_risk(GOOD, ROWS, 1.0), ValueError, "times"),
        (lambda: flow_risk(GOOD, ROWS, [1], -1), ValueError, "noise"),
        (lambda: flow_risk(1, ROWS, [1]), TypeError, "problem"),
        (lambda: optimal_stopping_time(GOOD, np.ones(3)), ValueError, "X must"),
        (lambda: optimal_stopping_time(GOOD, ROWS, -1), ValueError, "noise"),
    ],
)
def test_bad_input_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()
