"""thm-linear-bound: the bounds hold for every X, and the error they need is measured right.

thm-ntk: so does the bound for ReLU networks, and the errors of fine-tuning stay below it.
"""

import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from strategies import inputs, populations, problems, rotation, sampled_problems, seeds

from lib import relu
from lib.bounds import (
    concentration,
    covariance_error,
    ntk_bound,
    spectral_bound,
    uniform_bound,
)
from lib.linear_regression import finetune
from lib.problem import LAWS, Population, TransferProblem

any_size = st.integers(1, 40)


@given(st.data(), seeds)
def test_covariance_error_is_the_spectral_norm(data, seed):
    population = data.draw(populations())
    X = data.draw(inputs(population, any_size))
    e = covariance_error(population, X)
    difference = population.covariance() - sum(np.outer(x, x) for x in X) / len(X)
    atol = 1e-13 * (population.eigenvalues[0] + np.linalg.norm(X, 2) ** 2)  # Σ ≈ Σ̂ cancels
    assert e == pytest.approx(np.linalg.svd(difference)[1][0], rel=1e-9, abs=atol)
    # The largest quadratic form on the sphere: none found exceeds it.
    v = np.random.default_rng(seed).standard_normal((200, population.dim))
    forms = np.abs(np.einsum("ij,jk,ik->i", v, difference, v)) / (v**2).sum(axis=1)
    assert forms.max() <= e + atol


def test_covariance_error_vanishes_where_the_sample_is_the_population():
    X = np.random.default_rng(0).standard_normal((7, 4))
    assert covariance_error(Population.from_samples(X), X) < 1e-14


@settings(max_examples=300)
@given(sampled_problems(sizes=any_size))
def test_risk_is_within_the_bounds_whatever_the_sample(case):
    """No probability: non-Gaussian rows, dependent rows, zero rows, any spectrum, every rank."""
    problem, X = case
    risk = problem.risk(finetune(X, X @ problem.target, problem.source))
    e = covariance_error(problem.population, X)
    # Where a bound is attained, or zero, rounding is relative to λ₁‖u‖².
    rounding = 1e-12 * problem.population.eigenvalues[0] * (problem.gap @ problem.gap)
    assert risk <= uniform_bound(problem, e) + rounding
    for rank in range(1, np.count_nonzero(problem.population.eigenvalues) + 1):
        assert risk <= spectral_bound(problem, e, rank) + rounding
    assert risk <= spectral_bound(problem, e) + rounding


@given(sampled_problems())
def test_the_steps_of_the_proof(case):
    """R ≤ e‖P_⊥u‖², and the blind spot meets the top k directions in at most e/λ_k."""
    problem, X = case
    population, N = problem.population, scipy.linalg.null_space(X)
    e = covariance_error(population, X)
    left = N @ (N.T @ problem.gap)
    rounding = 1e-12 * population.eigenvalues[0]
    assert population.squared_norm(left) <= e * (left @ left) + rounding * (left @ left)
    V = np.eye(population.dim) if population.eigenvectors is None else population.eigenvectors
    for k in range(1, np.count_nonzero(population.eigenvalues) + 1):
        hidden = np.linalg.norm(N.T @ V[:, :k], 2)
        assert hidden <= (e + rounding) / population.eigenvalues[k - 1]


@given(problems(), st.floats(-8, 4))
def test_spectral_bound_is_its_formula_and_the_best_rank_is_found(problem, exponent):
    e, u, population = 10**exponent, problem.gap, problem.population
    V = np.eye(population.dim) if population.eigenvectors is None else population.eigenvectors
    bounds = []
    for k in range(1, np.count_nonzero(population.eigenvalues) + 1):
        top = V[:, :k] @ (V[:, :k].T @ u)
        bounds.append(
            2 * e**3 / population.eigenvalues[k - 1] ** 2 * (top @ top)
            + 2 * e * ((u - top) @ (u - top))
        )
        # The energy of the tail is known to ε‖u‖².
        atol = 2 * e * 1e-13 * (u @ u)
        assert spectral_bound(problem, e, k) == pytest.approx(bounds[-1], rel=1e-9, abs=atol)
    assert spectral_bound(problem, e) == pytest.approx(min(bounds), rel=1e-9, abs=atol)
    assert uniform_bound(problem, e) == pytest.approx(e * np.linalg.norm(u) ** 2)
    assert uniform_bound(problem, 0) == spectral_bound(problem, 0) == 0


def test_bounds_done_by_hand():
    problem = TransferProblem(Population([2, 1, 0]), np.zeros(3), [1, 2, 3])
    assert uniform_bound(problem, 0.5) == 0.5 * 14
    assert spectral_bound(problem, 0.5, 1) == pytest.approx(2 / 8 / 4 * 1 + 2 * 0.5 * 13)
    assert spectral_bound(problem, 0.5, 2) == pytest.approx(2 / 8 / 1 * 5 + 2 * 0.5 * 9)
    assert spectral_bound(problem, 0.5) == spectral_bound(problem, 0.5, 2)
    assert spectral_bound(problem, 50.0) == spectral_bound(problem, 50.0, 1)


def test_powers_of_the_error_are_sharp():
    """The two examples of prop-sharp, in the plane: R = e‖u‖², and R ~ e³ for a gap along v₁."""
    for s in 1, 1e-3, 1e-6:
        unseen = TransferProblem(Population([1, s]), np.zeros(2), [0, 1])
        X = np.array([[1.0, 0]])
        e = covariance_error(unseen.population, X)
        assert e == s
        risk = unseen.risk(finetune(X, X @ unseen.target, np.zeros(2)))
        assert risk == pytest.approx(uniform_bound(unseen, e), rel=1e-12)
    golden = (1 + np.sqrt(5)) / 2
    for s in 1e-2, 1e-3, 1e-4:
        problem = TransferProblem(Population([1, s]), np.zeros(2), [1, 0])
        X = np.array([[np.cos(s), np.sin(s)]])
        e = covariance_error(problem.population, X)
        risk = problem.risk(finetune(X, X @ problem.target, np.zeros(2)))
        assert e / s == pytest.approx(golden, rel=2 * s)
        assert risk / e**3 == pytest.approx(golden**-3, rel=10 * s)
        assert risk <= spectral_bound(problem, e, 1) == pytest.approx(2 * e**3)


@given(problems(), st.floats(1e-3, 2), seeds)
def test_where_the_spectral_bound_is_the_smaller_one(problem, share, seed):
    """prop-spectral-helps: exactly under its two conditions, whatever the gap; and e ≥ λ_{n+1}."""
    values, d = problem.population.eigenvalues, problem.population.dim
    energies = problem.population.coordinates(problem.gap) ** 2
    if values[0] == 0 or not energies.any():
        return
    for k in range(1, np.count_nonzero(values) + 1):
        e, outside = share * values[k - 1], energies[k:].sum() / energies.sum()
        q = share**2
        helps = q < 0.5 and outside < (1 - 2 * q) / (2 - 2 * q)
        ratio = spectral_bound(problem, e, k) / uniform_bound(problem, e)
        if abs(ratio - 1) > 1e-9:  # at the border rounding decides
            assert (ratio < 1) == helps
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, d)) if d > 1 else 0
    if n:
        X = problem.population.sample(n, rng) * 10 ** rng.uniform(-1, 1)
        assert covariance_error(problem.population, X) >= values[n] * (1 - 1e-9)


def test_best_rank_costs_little_in_a_million_dimensions():
    d = 10**6
    u = np.zeros(d)
    u[:10] = 1
    problem = TransferProblem(Population.power_law(d, 1), np.zeros(d), u)
    assert spectral_bound(problem, 1e-3) == pytest.approx(2 * 1e-9 * 100 * 10)  # k = 10


@pytest.mark.filterwarnings("error")
def test_eigenvalues_next_to_nothing_do_no_harm():
    """Where λ_k² underflows, the bound of rank k is ∞, or 0 for a gap that has nothing there."""
    d = 200
    for exponent in 100, 140:
        population = Population.power_law(d, exponent)
        low = TransferProblem(population, np.zeros(d), np.eye(d)[-1])
        assert spectral_bound(low, 0.1) == pytest.approx(0.2)
        assert spectral_bound(low, 0.1, 50) == pytest.approx(0.2)
        high = TransferProblem(population, np.zeros(d), np.eye(d)[0])
        assert spectral_bound(high, 0.1) == pytest.approx(2e-3)
        assert spectral_bound(high, 0.1, np.count_nonzero(population.eigenvalues)) == np.inf


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("variance", "length"), [(1e-300, 1e200), (1, 1), (1e300, 1e-200)])
def test_bounds_of_any_scale(variance, length):
    """‖u‖² = 25 in units of a length whose square over- or underflows, though the bound does not.

    With e = λ the bound of rank 1 is 2e(9 + 16), that of rank 2 is 2e · 25.
    """
    population = Population([variance, variance])
    problem = TransferProblem(population, np.zeros(2), [3 * length, 4 * length])
    expected = 25 * (variance * length * length)
    assert uniform_bound(problem, variance) == pytest.approx(expected, rel=1e-14, abs=0)
    for rank in 1, 2, None:
        value = spectral_bound(problem, variance, rank)
        assert value == pytest.approx(2 * expected, rel=1e-14, abs=0)


# The concentration inequality


@given(populations(), st.integers(1, 1000), st.floats(0.01, 0.999), st.floats(0.1, 10))
def test_concentration_is_the_largest_of_its_four_terms(population, n, confidence, constant):
    r = np.trace(population.covariance()) / population.eigenvalues[0]
    t = np.log(1 / (1 - confidence))
    largest = max(np.sqrt(r / n), r / n, np.sqrt(t / n), t / n)
    value = concentration(population, n, confidence, constant)
    assert type(value) is float
    assert value == pytest.approx(constant * population.eigenvalues[0] * largest)


def test_concentration_in_its_regimes():
    d = 100
    flat, spiked = Population.isotropic(d, 3.0), Population.spiked(d, 1, 0.0)
    n = np.array([[1, 25], [400, 10_000]])
    # Few samples: r/n. Many: √(r/n). Effective rank 1 and high confidence: t takes over.
    expected = 3 * np.array([[100, 4], [0.5, 0.1]])
    np.testing.assert_allclose(concentration(flat, n, 0.5, 1.0), expected)
    t = -np.log(1e-6)
    np.testing.assert_allclose(concentration(spiked, 10**4, 1 - 1e-6, 1), np.sqrt(t / 10**4))
    np.testing.assert_allclose(concentration(spiked, 1, 1 - 1e-6, 1), t)


@pytest.mark.parametrize("law", LAWS[:2])  # Student's t is not sub-Gaussian
@pytest.mark.parametrize(
    "population",
    [
        Population.isotropic(40, 2.0),
        Population.power_law(60, 1),
        Population.spiked(60, 4, 0.05),
        Population(Population.power_law(40, 2).eigenvalues, rotation(40, 0)),
    ],
    ids=["isotropic", "power law", "spiked", "rotated"],
)
def test_covariance_error_follows_the_concentration_inequality(population, law):
    """With C = 1 the formula is right to a factor of 3, and the rate is n^{−1/2}."""
    rng = np.random.default_rng(0)
    sizes = np.array([10, 200, 1600])
    errors = [
        [covariance_error(population, population.sample(n, rng, law)) for _ in range(80)]
        for n in sizes
    ]
    ratio = np.mean(errors, axis=1) / concentration(population, sizes, 0.5, 1.0)
    assert (ratio > 1 / 3).all() and (ratio < 3).all(), ratio
    slope = np.log(np.mean(errors[2]) / np.mean(errors[1])) / np.log(8)
    assert slope == pytest.approx(-0.5, abs=0.15)  # three standard errors at most


# ReLU networks


def sphere(n, d, rng):
    """Return random rows of length 1."""
    X = rng.standard_normal((n, d))
    return X / np.linalg.norm(X, axis=1, keepdims=True)


@pytest.mark.parametrize("n", [1, 4, 15])
def test_ntk_bound_is_its_formula(n):
    rng = np.random.default_rng(n)
    X, residual = rng.standard_normal((n, 5)), rng.standard_normal((n, 3))
    size = np.mean([x @ x for x in X])
    weights = np.linalg.solve(relu.ntk(X), residual)
    expected = [2 * r @ w * size / n for r, w in zip(residual.T, weights.T, strict=True)]
    np.testing.assert_allclose(ntk_bound(X, residual) ** 2, expected, rtol=1e-11)
    alone = ntk_bound(X.tolist(), residual[:, 1])
    assert type(alone) is float and alone == pytest.approx(np.sqrt(expected[1]))
    # In other units of the inputs, or of the labels.
    assert ntk_bound(8 * X, residual[:, 1]) == pytest.approx(alone)
    assert ntk_bound(X, 8 * residual[:, 1]) == pytest.approx(8 * alone)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("c", [1e-200, 1e-3, 1e200])
def test_ntk_bound_has_the_units_of_the_labels(c):
    """Inputs of unit c, and labels with them, make it c times as large: nothing overflows."""
    rng = np.random.default_rng(0)
    X, residual = rng.standard_normal((4, 5)), rng.standard_normal((4, 2))
    bounds = ntk_bound(X, residual)
    np.testing.assert_allclose(ntk_bound(c * X, c * residual), c * bounds, rtol=1e-12)


def test_ntk_bound_done_by_hand():
    """One row: 2 · 2y²/‖x‖² · ‖x‖². Two opposite ones: twice 2 · 2y²/‖x‖² · ‖x‖²/2."""
    assert ntk_bound([[3, 4]], [7]) == pytest.approx(14)
    assert ntk_bound([[3, 4], [-3, -4]], [7, -7]) == pytest.approx(14)


@given(sampled_problems(sizes=any_size))
def test_ntk_bound_is_small_for_linear_teachers(case):
    problem, X = case
    size = np.sqrt(8 * (X**2).sum() / len(X) ** 2) * np.linalg.norm(problem.gap)
    assert ntk_bound(X, X @ problem.gap) <= size * (1 + 1e-8)


@pytest.mark.parametrize("d", [2, 5, 30])
def test_errors_on_the_sphere_are_below_the_bounds(d):
    """Means over samples: E|f − y| ≤ √8 ‖u‖/√n, and the risk is at most 4‖u‖²/√n."""
    rng = np.random.default_rng(d)
    u, T = rng.standard_normal(d), sphere(300, d, rng)
    length = np.linalg.norm(u)
    for n in 1, 3, 10, 40:
        absolute, square, bound = [], [], []
        for _ in range(30):
            X = sphere(n, d, rng)
            missing = relu.finetune(X, X @ u, T) - T @ u
            absolute.append(np.abs(missing).mean())
            square.append((missing**2).mean())
            bound.append(ntk_bound(X, X @ u))
        assert np.mean(absolute) <= np.mean(bound) <= np.sqrt(8 / n) * length
        assert np.mean(square) <= 4 * length**2 / np.sqrt(n)


# Bad input

P2 = Population([1, 0.5])
PROBLEM = TransferProblem(P2, np.zeros(2), np.ones(2))
DEGENERATE = TransferProblem(Population([0, 0]), np.zeros(2), np.ones(2))
HALF_SEEN = TransferProblem(Population([1, 0]), np.zeros(2), np.ones(2))


@pytest.mark.parametrize(
    ("call", "argument", "error"),
    [
        (lambda: covariance_error(np.eye(2), np.ones((1, 2))), "population", TypeError),
        (lambda: covariance_error(P2, np.ones(2)), "X", ValueError),
        (lambda: covariance_error(P2, np.ones((1, 3))), "X", ValueError),
        (lambda: covariance_error(P2, np.ones((0, 2))), "X", ValueError),
        (lambda: covariance_error(P2, [[1, np.nan]]), "X", ValueError),
        (lambda: covariance_error(P2, [[1, 1e200]]), "X", ValueError),
        (lambda: uniform_bound(P2, 1), "problem", TypeError),
        (lambda: uniform_bound(PROBLEM, -1), "error", ValueError),
        (lambda: uniform_bound(PROBLEM, np.nan), "error", ValueError),
        (lambda: uniform_bound(PROBLEM, "1"), "error", TypeError),
        (lambda: spectral_bound(P2, 1), "problem", TypeError),
        (lambda: spectral_bound(DEGENERATE, 1), "problem", ValueError),
        (lambda: spectral_bound(PROBLEM, -1), "error", ValueError),
        (lambda: spectral_bound(PROBLEM, np.inf), "error", ValueError),
        (lambda: spectral_bound(PROBLEM, [1.0]), "error", TypeError),
        (lambda: spectral_bound(PROBLEM, 1, 0), "rank", ValueError),
        (lambda: spectral_bound(PROBLEM, 1, 3), "rank", ValueError),
        (lambda: spectral_bound(PROBLEM, 1, 1.0), "rank", TypeError),
        (lambda: spectral_bound(HALF_SEEN, 1, 2), "rank", ValueError),
        (lambda: concentration(PROBLEM, 1, 0.5, 1), "population", TypeError),
        (lambda: concentration(Population([0.0]), 1, 0.5, 1), "population", ValueError),
        (lambda: concentration(P2, 0, 0.5, 1), "n", ValueError),
        (lambda: concentration(P2, [5, 0], 0.5, 1), "n", ValueError),
        (lambda: concentration(P2, np.nan, 0.5, 1), "n", ValueError),
        (lambda: concentration(P2, "a", 0.5, 1), "n", TypeError),
        (lambda: concentration(P2, 1, 0, 1), "confidence", ValueError),
        (lambda: concentration(P2, 1, 1, 1), "confidence", ValueError),
        (lambda: concentration(P2, 1, 1.5, 1), "confidence", ValueError),
        (lambda: concentration(P2, 1, "0.5", 1), "confidence", TypeError),
        (lambda: concentration(P2, 1, 0.5, 0), "constant", ValueError),
        (lambda: concentration(P2, 1, 0.5, None), "constant", TypeError),
        (lambda: ntk_bound(np.ones(2), np.ones(2)), "X", ValueError),
        (lambda: ntk_bound(np.ones((0, 2)), np.ones(0)), "X", ValueError),
        (lambda: ntk_bound([[1, np.nan]], [1]), "X", ValueError),
        (lambda: ntk_bound([["a", "b"]], [1]), "X", TypeError),
        (lambda: ntk_bound(np.eye(2), np.ones(3)), "residual", ValueError),
        (lambda: ntk_bound(np.eye(2), np.ones((2, 1, 1))), "residual", ValueError),
        (lambda: ntk_bound(np.eye(2), [1, np.inf]), "residual", ValueError),
        (lambda: ntk_bound(np.eye(2), ["a", "b"]), "residual", TypeError),
        (lambda: ntk_bound(np.ones((2, 2)), [1, 2]), "residual", ValueError),
    ],
)
def test_bad_input_is_named(call, argument, error):
    with pytest.raises(error, match=rf"^{argument} must"):
        call()
