"""thm-linear-bias and the learning curve, against computations that share nothing with them.

Two backward stable ways to the same weights differ by ε · cond(X) · ‖u‖ times a modest constant:
that, times 1000, is the tolerance wherever nothing else is said.
"""

import math
from fractions import Fraction

import hypothesis.strategies as st
import mpmath
import numpy as np
import pytest
import scipy.integrate
import scipy.linalg
from hypothesis import example, given, settings
from hypothesis.extra.numpy import arrays
from sklearn.linear_model import Ridge
from strategies import EPS, condition, rotation, sampled_problems, seeds, z_scores

from lib import deep_linear, linear_regression
from lib.datasets import digits, readout
from lib.linear_regression import (
    finetune,
    flow_risk,
    gradient_flow,
    learning_curve,
    measured_curve,
    samples_needed,
)
from lib.planning import optimal_stopping_time
from lib.problem import Population, TransferProblem

THREE = TransferProblem(Population([2.0, 1, 0.5]), np.ones(3), [2.0, 3, 4])
ROWS = np.eye(3)[:2]
any_size = st.integers(1, 20)  # below, at and above the dimension, which is at most 12


def slack(problem, X):
    """Return what rounding may change in the weights."""
    lengths = np.linalg.norm(problem.gap) + np.linalg.norm(problem.source)
    return 1e3 * EPS * condition(X) * lengths


def blind_spot(X):
    """Return P_⊥ from an orthonormal basis of the null space."""
    N = scipy.linalg.null_space(X)
    return N @ N.T


# Where it ends


@given(sampled_problems(sizes=any_size))
def test_end_point_is_the_closest_interpolator(case):
    problem, X = case
    y = X @ problem.target
    theta = finetune(X, y, problem.source)
    atol = slack(problem, X)
    np.testing.assert_allclose(X @ theta, y, rtol=0, atol=atol * np.linalg.norm(X, 2))
    # The distance is smallest where the way from the source meets no direction of the null space
    # (the KKT conditions): P_⊥θ = P_⊥θ_S. Together with the labels, P_∥θ = P_∥θ_T.
    P = blind_spot(X)
    np.testing.assert_allclose(P @ (theta - problem.source), 0, atol=atol)
    missing = theta - problem.target
    np.testing.assert_allclose(missing, P @ missing, rtol=0, atol=atol)


@given(sampled_problems(sizes=any_size))
def test_risk_is_the_gap_in_the_blind_spot_seen_by_sigma(case):
    problem, X = case
    left = blind_spot(X) @ problem.gap
    expected = left @ problem.population.covariance() @ left
    risk = problem.risk(finetune(X, X @ problem.target, problem.source))
    largest = problem.population.eigenvalues[0]
    root = np.sqrt(largest) * slack(problem, X)  # of √R; the quadratic form has its own, ελ₁‖·‖²
    atol = root * (2 * np.sqrt(risk) + root) + 1e-13 * largest * (left @ left)
    np.testing.assert_allclose(risk, expected, rtol=0, atol=atol)


@given(sampled_problems(), seeds)
def test_no_other_interpolator_is_closer(case, seed):
    problem, X = case
    theta = finetune(X, X @ problem.target, problem.source)
    N = scipy.linalg.null_space(X)
    others = theta + np.random.default_rng(seed).standard_normal((20, N.shape[1])) @ N.T
    distances = np.linalg.norm(others - problem.source, axis=1)
    assert (distances >= np.linalg.norm(theta - problem.source) - slack(problem, X)).all()


@given(sampled_problems(sizes=any_size), seeds)
def test_labels_out_of_reach_give_the_least_squares_point_closest_to_the_source(case, seed):
    problem, X = case
    y = X @ problem.target + np.random.default_rng(seed).standard_normal(len(X))
    theta = finetune(X, y, problem.source)
    residual = y - X @ problem.source
    step = np.linalg.lstsq(X, residual, rcond=1e-13)[0]  # of least norm
    # Here the error is that of least squares, ε cond² relative to the residual.
    s = np.linalg.svd(X, compute_uv=False)
    smallest = s[s > 1e-13 * s[0]].min(initial=np.inf)
    atol = 1e3 * EPS * (condition(X) * np.linalg.norm(residual) / smallest + 1)
    np.testing.assert_allclose(theta - problem.source, step, rtol=0, atol=atol)


def test_extreme_units_change_nothing():
    rng = np.random.default_rng(0)
    X, source, target = rng.standard_normal((3, 5)), *rng.standard_normal((2, 5))
    expected = finetune(X, X @ target, source)
    for unit in 1e-200, 1e200:
        np.testing.assert_allclose(finetune(unit * X, unit * X @ target, source), expected)
        problem = TransferProblem(Population.isotropic(5), source, target)
        np.testing.assert_allclose(learning_curve(problem, unit * X), learning_curve(problem, X))


def test_no_data_that_says_anything_leaves_the_source():
    source = np.arange(3.0)
    np.testing.assert_array_equal(finetune(np.zeros((2, 3)), np.zeros(2), source), source)
    np.testing.assert_array_equal(
        gradient_flow(np.zeros((2, 3)), np.zeros(2), source, [0, 1]), [source, source]
    )


# The way there


@given(sampled_problems(sizes=any_size))
def test_flow_is_the_matrix_exponential(case):
    problem, X = case
    S = X.T @ X / len(X)
    times = np.array([0, 0.1, 1, 30]) / max(np.linalg.norm(S, 2), 1e-300)
    path = gradient_flow(X, X @ problem.target, problem.source, times)
    for t, theta in zip(times, path, strict=True):
        expected = problem.target - scipy.linalg.expm(-t * S) @ problem.gap
        np.testing.assert_allclose(theta, expected, rtol=0, atol=slack(problem, X))
    np.testing.assert_array_equal(path[0], problem.source)


@settings(max_examples=20)
@given(sampled_problems(dims=st.integers(2, 5), sizes=st.integers(1, 7)), seeds)
def test_flow_solves_its_differential_equation(case, seed):
    problem, X = case
    X = X / max(np.linalg.norm(X, 2), 1e-300)
    y = X @ problem.target + np.random.default_rng(seed).standard_normal(len(X))
    times = np.array([0, 0.5, 2, 10]) * len(X)
    solution = scipy.integrate.solve_ivp(
        lambda t, theta: -X.T @ (X @ theta - y) / len(X),  # −∇ℓ, ℓ = ‖Xθ − y‖²/(2n)
        (0, times[-1]),
        problem.source,
        t_eval=times,
        rtol=1e-10,
        atol=1e-12,
    )
    path = gradient_flow(X, y, problem.source, times)
    np.testing.assert_allclose(path, solution.y.T, rtol=0, atol=1e-7)  # the solver's error


@given(sampled_problems(sizes=any_size), seeds)
def test_flow_ends_at_the_end_point(case, seed):
    problem, X = case
    y = X @ problem.target + np.random.default_rng(seed).standard_normal(len(X))
    s = np.linalg.svd(X, compute_uv=False)
    slowest = s[s > 1e-13 * s[0]].min(initial=np.inf) ** 2 / len(X)
    theta = gradient_flow(X, y, problem.source, [50 / slowest])[0]  # e^{−50} is below ε
    np.testing.assert_allclose(theta, finetune(X, y, problem.source), rtol=1e-12, atol=1e-12)


def test_gradient_descent_ends_at_the_end_point():
    rng = np.random.default_rng(0)
    X, source, target = rng.standard_normal((6, 20)), *rng.standard_normal((2, 20))
    theta, step = source.copy(), 1 / np.linalg.norm(X, 2) ** 2
    for _ in range(2000):  # the slowest direction contracts by 0.9 per step
        theta -= step * X.T @ (X @ theta - X @ target)
    np.testing.assert_allclose(finetune(X, X @ target, source), theta, atol=1e-12)


# Ridge


@given(sampled_problems(sizes=any_size), st.floats(-3, 3), seeds)
def test_ridge_minimises_its_objective(case, exponent, seed):
    problem, X = case
    X = X / max(np.linalg.norm(X, 2), 1e-300)
    y = X @ problem.target + np.random.default_rng(seed).standard_normal(len(X))
    ridge = 10**exponent
    theta = finetune(X, y, problem.source, ridge=ridge)
    # Condition of both systems: (1 + δ)/δ ≤ 1001.
    model = Ridge(alpha=ridge, fit_intercept=False, solver="cholesky")
    np.testing.assert_allclose(
        theta, problem.source + model.fit(X, y - X @ problem.source).coef_, atol=1e-10
    )
    normal = scipy.linalg.solve(
        X.T @ X + ridge * np.eye(len(theta)), X.T @ y + ridge * problem.source, assume_a="pos"
    )
    np.testing.assert_allclose(theta, normal, atol=1e-10)


def test_ridge_goes_from_the_end_point_to_the_source():
    rng = np.random.default_rng(0)
    X, y, source = rng.standard_normal((4, 9)), rng.standard_normal(4), rng.standard_normal(9)
    end = finetune(X, y, source)
    misses = [
        np.linalg.norm(finetune(X, y, source, ridge=ridge) - end) for ridge in (1e-3, 1e-6, 1e-9)
    ]
    np.testing.assert_allclose(np.divide(misses[1:], misses[:-1]), 1e-3, rtol=0.01)  # ∝ δ
    np.testing.assert_allclose(finetune(X, y, source, ridge=1e-300), end, rtol=1e-12)
    np.testing.assert_allclose(finetune(X, y, source, ridge=1e300), source, rtol=1e-12)


# The isotropic corollary


@pytest.mark.parametrize("lengths", ["normal", "unit", "heavy"])
def test_isotropic_risk_falls_linearly(lengths):
    """E R = σ²(1 − n/d)‖u‖² for any rotation-invariant rows, whatever their lengths."""
    d, rng = 20, np.random.default_rng(0)
    u = np.zeros(d)
    u[0] = 3
    problem = TransferProblem(Population.isotropic(d, 0.5), np.zeros(d), u)
    curves = []
    for _ in range(1000):
        X = rng.standard_normal((d, d))
        if lengths != "normal":
            X /= np.linalg.norm(X, axis=1, keepdims=True)
        if lengths == "heavy":
            X *= rng.standard_cauchy((d, 1))
        curves.append(learning_curve(problem, X))
    z = z_scores(curves, 0.5 * 9 * (1 - np.arange(d + 1) / d))
    assert np.abs(z[1:-1]).max() < 4.5
    assert curves[0][0] == pytest.approx(4.5) and np.max(curves, axis=0)[-1] < 1e-20


# The learning curve


@settings(max_examples=200)
@given(sampled_problems(sizes=any_size))
def test_curve_is_fine_tuning_on_the_first_rows(case):
    problem, X = case
    curve = learning_curve(problem, X)
    assert curve.shape == (len(X) + 1,)
    assert curve[0] == pytest.approx(problem.risk(problem.source), rel=1e-9)
    scale = np.sqrt(problem.population.eigenvalues[0])
    for n in range(1, len(X) + 1):
        risk = problem.risk(finetune(X[:n], X[:n] @ problem.target, problem.source))
        assert abs(np.sqrt(curve[n]) - np.sqrt(risk)) <= scale * slack(problem, X[:n])


def exact_curve(eigenvalues, u, X):
    """Return the curve in rational arithmetic: Gram–Schmidt without square roots, exact ranks."""
    left, basis = [Fraction(int(v)) for v in u], []
    curve = [sum(v * x * x for v, x in zip(eigenvalues, left, strict=True))]
    for row in X:
        q = [Fraction(int(v)) for v in row]
        for b in basis:
            share = sum(map(Fraction.__mul__, q, b)) / sum(x * x for x in b)
            q = [x - share * y for x, y in zip(q, b, strict=True)]
        if any(q):
            basis.append(q)
            share = sum(map(Fraction.__mul__, left, q)) / sum(x * x for x in q)
            left = [x - share * y for x, y in zip(left, q, strict=True)]
        curve.append(sum(v * x * x for v, x in zip(eigenvalues, left, strict=True)))
    return np.array(curve, dtype=float)


@st.composite
def integer_rows(draw):
    """Small integers: zero, repeated and dependent rows come by themselves."""
    n, d = draw(st.integers(1, 12)), draw(st.integers(1, 6))
    small = st.integers(-2, 2)
    return draw(arrays(int, (n, d), elements=small)), draw(arrays(int, d, elements=small))


@settings(max_examples=300)
@given(integer_rows())
@example((np.array([[1, 2, 3], [1, 2, 3], [0, 0, 0], [2, 4, 6], [0, 1, 0], [1, 1, 3]]), np.ones(3)))
def test_curve_finds_exact_ranks(case):
    X, u = case
    eigenvalues = [Fraction(1, 2**i) for i in range(len(u))]
    population = Population(np.array(eigenvalues, dtype=float))
    curve = learning_curve(TransferProblem(population, 0 * u, u), X)
    expected = exact_curve(eigenvalues, u, X)
    # Rounding leaves (ε cond)² where nothing is left; integers this small keep cond below 1e5.
    np.testing.assert_allclose(curve, expected, rtol=1e-8, atol=1e-20)


def test_curve_on_images_whose_pixels_are_dependent():
    """Rows of integers, constant pixels, more rows than dimensions: rank 61 of 64 at the end."""
    bunch = digits()
    source, target = readout(bunch.data, np.stack([bunch.target == 3, bunch.target == 8], axis=1))
    problem = TransferProblem(Population.from_samples(bunch.data), source, target)
    curve = learning_curve(problem, bunch.data)
    P = [blind_spot(bunch.data[:n]) for n in (20, 60, 70, 100, 600)]
    expected = [problem.risk(problem.target - p @ problem.gap) for p in P]
    np.testing.assert_allclose(curve[[20, 60, 70, 100, 600]], expected, rtol=1e-8)
    assert curve[-1] < 1e-20 * curve[0]


@pytest.mark.parametrize("rank", [3, 20])
def test_curve_is_flat_beyond_the_rank(rank):
    """Directions that only rounding errors hold teach nothing, however many rows hold them."""
    rng = np.random.default_rng(rank)
    d = 60
    problem = TransferProblem(Population.isotropic(d), *rng.standard_normal((2, d)))
    for _ in range(20):
        X = rng.standard_normal((50, rank)) @ rng.standard_normal((rank, d))
        curve = learning_curve(problem, X)
        assert (np.diff(curve[: rank + 1]) < 0).all() and np.ptp(curve[rank:]) == 0


@pytest.mark.parametrize(("angle", "adds"), [(22 * EPS, False), (23 * EPS, True)])
def test_what_counts_as_a_direction_of_its_own(angle, adds):
    """Beside a row at this angle, 16 ε for each of the two that make up what could be in common."""
    problem = TransferProblem(Population.isotropic(2), np.zeros(2), np.ones(2))
    curve = learning_curve(problem, np.array([[1, 0], [1, angle]]))  # 16√2 ε lies between
    np.testing.assert_allclose(curve, [2, 1, 0 if adds else 1], atol=1e-15)


def reference_curve(problem, X):
    """Return the curve in arithmetic of a hundred digits, by normal equations."""
    d = problem.population.dim
    V = np.eye(d) if problem.population.eigenvectors is None else problem.population.eigenvectors
    with mpmath.workdps(100):
        V, X = mpmath.matrix(V.tolist()), mpmath.matrix(X.tolist())
        u = mpmath.matrix(problem.target.tolist()) - mpmath.matrix(problem.source.tolist())
        curve = []
        for n in range(X.rows + 1):
            left = u
            if n:
                A = X[:n, :]
                left = u - A.T * mpmath.lu_solve(A * A.T, A * u)
            squares = (x**2 for x in V.T * left)
            curve.append(sum(map(mpmath.fmul, problem.population.eigenvalues.tolist(), squares)))
        return np.array(curve, dtype=float)


@pytest.mark.parametrize("seed", range(3))
def test_curve_keeps_its_digits_where_the_risk_is_small(seed):
    d, rng = 16, np.random.default_rng(seed)
    population = Population(10.0 ** -np.arange(d))
    problem = TransferProblem(population, *rng.standard_normal((2, d)))
    X = population.sample(d - 1, rng)
    expected = reference_curve(problem, X)
    assert expected[-1] < 1e-12 * expected[0]
    np.testing.assert_allclose(learning_curve(problem, X), expected, rtol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_curve_is_as_accurate_as_the_data_determine_it(seed):
    """Where ε of the entries matters more: a rotated Σ, and a gap that the rows almost span."""
    d, n, rng = 16, 12, np.random.default_rng(seed)
    rotated = Population(10.0 ** -np.arange(d), rotation(d, seed))
    problem = TransferProblem(rotated, *rng.standard_normal((2, d)))
    X = rotated.sample(d - 1, rng)
    expected = reference_curve(problem, X)
    # An entry is known to ε of its row, which the largest eigenvalue weighs: √R to ε√R(0).
    error = np.abs(learning_curve(problem, X) - expected) / expected
    assert expected[-1] < 1e-12 * expected[0]
    assert (error < 100 * EPS * np.sqrt(expected[0] / expected)).all()

    X = rng.standard_normal((n, d))
    u = X.T @ rng.standard_normal(n) + 1e-6 * rng.standard_normal(d)
    problem = TransferProblem(Population.isotropic(d), np.zeros(d), u)
    expected = reference_curve(problem, X)
    error = np.abs(learning_curve(problem, X) - expected) / expected
    assert expected[-1] < 1e-12 * expected[0]
    assert (error < 100 * EPS * condition(X) * np.sqrt(expected[0] / expected)).all()


def test_curve_ends_at_zero():
    """With d independent rows nothing is left, to (ε‖u‖)² and not just to ε‖u‖²."""
    rng = np.random.default_rng(0)
    problem = TransferProblem(Population.isotropic(50), *rng.standard_normal((2, 50)))
    assert learning_curve(problem, rng.standard_normal((50, 50)))[-1] < 1e-50


def test_curve_can_rise():
    """The low-variance gap of thm-exact-risk: fine-tuning to interpolation first hurts."""
    d, rng = 200, np.random.default_rng(0)
    u = np.where(np.arange(d) >= d - 10, 1 / np.sqrt(10), 0)
    problem = TransferProblem(Population.power_law(d, 1), np.zeros(d), u)
    curves = [learning_curve(problem, problem.population.sample(100, rng)) for _ in range(40)]
    mean = np.mean(curves, axis=0)[[0, 20, 50, 100]]
    # Two digits are reported; the standard error of 40 draws is below 2 %.
    np.testing.assert_allclose(mean, [5.1e-3, 6.3e-3, 6.7e-3, 5.9e-3], rtol=0.04)


def test_curve_takes_one_factorisation(monkeypatch):
    counts = dict.fromkeys(("qr", "svd", "qr_delete", "lstsq", "pinv", "eigh"), 0)

    def counted(name, function):
        def wrapper(*args, **options):
            counts[name] += 1
            return function(*args, **options)

        return wrapper

    for module in scipy.linalg, np.linalg:
        for name in counts:
            if hasattr(module, name):
                monkeypatch.setattr(module, name, counted(name, getattr(module, name)))
    rng = np.random.default_rng(0)
    problem = TransferProblem(Population.power_law(40, 1), *rng.standard_normal((2, 40)))
    learning_curve(problem, rng.standard_normal((39, 40)))
    assert counts == dict.fromkeys(counts, 0) | {"qr": 1}
    X = rng.standard_normal((20, 40))
    learning_curve(problem, np.vstack([X, X]))  # repeated rows are taken out of the same one
    assert counts["qr"] == 2 and counts["qr_delete"] == 20
    learning_curve(problem, rng.standard_normal((45, 40)))  # nothing is left for the last five
    assert counts["qr"] == 3
    # Rows beyond the dimension are looked at together.
    digit_rows = digits().data
    learning_curve(TransferProblem(Population.isotropic(64), *np.eye(64)[:2]), digit_rows)
    assert counts["qr"] <= 6


@given(sampled_problems(sizes=any_size), seeds)
def test_curve_depends_on_the_row_space_and_not_on_the_axes(case, seed):
    problem, X = case
    d, rng = problem.population.dim, np.random.default_rng(seed)
    curve = learning_curve(problem, X)
    atol = np.sqrt(problem.population.eigenvalues[0]) * slack(problem, X) + 1e-12
    # Every row in its own unit.
    other = learning_curve(problem, X * 2.0 ** rng.integers(-8, 9, (len(X), 1)))
    np.testing.assert_allclose(np.sqrt(other), np.sqrt(curve), rtol=0, atol=atol)
    # Everything turned.
    Q = rotation(d, seed)
    V = np.eye(d) if problem.population.eigenvectors is None else problem.population.eigenvectors
    turned = TransferProblem(
        Population(problem.population.eigenvalues, Q @ V), Q @ problem.source, Q @ problem.target
    )
    other = learning_curve(turned, X @ Q.T)
    np.testing.assert_allclose(np.sqrt(other), np.sqrt(curve), rtol=0, atol=atol)


@given(arrays(float, st.integers(1, 8), elements=st.sampled_from([0, 1, 2, 3])), st.floats(0, 4))
def test_samples_needed_is_where_the_curve_stays_low(curve, risk):
    stays = [n for n in range(len(curve)) if (curve[n:] <= risk).all()]
    assert samples_needed(curve, risk) == (stays[0] if stays else math.inf)


def test_samples_needed_counts_samples():
    assert samples_needed([4, 1, 3, 0.5, 0.5], 1) == 3
    assert isinstance(samples_needed([4, 1, 3, 0.5, 0.5], 1), int)


# Bad input

X, Y, SOURCE = np.ones((2, 3)), np.ones(2), np.ones(3)
PROBLEM = TransferProblem(Population.isotropic(3), SOURCE, SOURCE)
NAN, INF = np.nan, np.inf


def flow(X=X, y=Y, source=SOURCE, times=(0, 1)):
    """Return the path at two times."""
    return gradient_flow(X, y, source, times)


@pytest.mark.parametrize("function", [finetune, flow])
@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"X": np.ones(3)}, ValueError),
        ({"X": np.ones((2, 3, 1))}, ValueError),
        ({"X": np.ones((0, 3))}, ValueError),
        ({"X": np.ones((2, 0))}, ValueError),
        ({"X": np.full((2, 3), NAN)}, ValueError),
        ({"X": np.full((2, 3), INF)}, ValueError),
        ({"X": [["a", "b", "c"]] * 2}, TypeError),
        ({"X": 1j * X}, TypeError),
        ({"X": [[1, 2, 3], [1, 2]]}, TypeError),
        ({"y": np.ones(3)}, ValueError),
        ({"y": np.ones((2, 1, 1))}, ValueError),
        ({"y": [1, NAN]}, ValueError),
        ({"y": "ab"}, TypeError),
        ({"source": np.ones(2)}, ValueError),
        ({"source": np.ones((1, 3))}, ValueError),
        ({"source": [1, 1, INF]}, ValueError),
        ({"source": None}, TypeError),
    ],
)
def test_bad_samples_are_named(function, changed, error):
    with pytest.raises(error, match=rf"^{next(iter(changed))} must"):
        function(**{"X": X, "y": Y, "source": SOURCE} | changed)


@given(seeds, st.sampled_from([0.0, 1e-3, 1.0, 50.0]), st.booleans())
@settings(max_examples=40, deadline=None)
def test_a_measured_curve_is_that_of_fine_tuning_on_the_first_rows(seed, ridge, outputs):
    """The two ways differ by rounding times the condition of X, below 1e6 or so for most draws."""
    rng = np.random.default_rng(seed)
    d = int(rng.integers(1, 9))
    n = int(rng.integers(1, d + 1 if ridge == 0 else 14))
    k = (int(rng.integers(1, 4)),) if outputs else ()
    X, X_test = rng.standard_normal((n, d)), rng.standard_normal((5, d))
    y, y_test, source = (rng.standard_normal(shape) for shape in ((n, *k), (5, *k), (*k, d)))
    curve = measured_curve(X, y, X_test, y_test, source, ridge=ridge)
    ends = [source] + [finetune(X[:j], y[:j], source, ridge=ridge) for j in range(1, n + 1)]
    expected = [np.mean((y_test.T - end @ X_test.T) ** 2, axis=-1) for end in ends]
    np.testing.assert_allclose(curve, expected, rtol=1e-7, atol=1e-9 * np.max(expected))


def test_more_rows_than_weights_need_a_ridge():
    """One that rounding does not drown: 10⁻¹⁰ of ‖X‖² costs six of sixteen digits."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((6, 4)), rng.standard_normal(6)
    for rows in X, X[[0, 0]], np.zeros((2, 4)):
        labels, norm = y[: len(rows)], np.linalg.norm(rows, 2)
        for ridge in 0.0, 1e-12 * norm**2:
            with pytest.raises(ValueError, match="^X must have independent rows"):
                measured_curve(rows, labels, X, y, np.zeros(4), ridge=ridge)
        ridge = 2e-10 * norm**2 or 1.0
        curve = measured_curve(rows, labels, X, y, np.zeros(4), ridge=ridge)
        end = finetune(rows, labels, np.zeros(4), ridge=ridge)
        assert curve[-1] == pytest.approx(np.mean((y - X @ end) ** 2), rel=1e-4)
    flat = measured_curve(X, y, X, y, np.ones(4), ridge=math.inf)
    np.testing.assert_allclose(flat, np.full(7, np.mean((y - X @ np.ones(4)) ** 2)))


def test_outputs_are_fine_tuned_one_by_one_and_an_infinite_ridge_leaves_them():
    rng = np.random.default_rng(0)
    X, y, source = (
        rng.standard_normal((5, 8)),
        rng.standard_normal((5, 3)),
        rng.standard_normal((3, 8)),
    )
    for ridge in 0.0, 0.7:
        expected = [finetune(X, y[:, k], source[k], ridge=ridge) for k in range(3)]
        np.testing.assert_allclose(finetune(X, y, source, ridge=ridge), expected, rtol=1e-12)
    np.testing.assert_array_equal(finetune(X, y, source, ridge=math.inf), source)


def test_a_ridge_is_not_a_depth():
    with pytest.raises(TypeError):
        finetune(np.eye(2), np.ones(2), np.ones(2), 3)


@pytest.mark.parametrize(
    ("call", "argument", "error"),
    [
        (lambda: finetune(X, Y, SOURCE, ridge=-1e-9), "ridge", ValueError),
        (lambda: finetune(X, Y, SOURCE, ridge=NAN), "ridge", ValueError),
        (lambda: finetune(X, Y, SOURCE, ridge=-INF), "ridge", ValueError),
        (lambda: finetune(X, Y, SOURCE, ridge="1"), "ridge", TypeError),
        (lambda: finetune(X, Y, SOURCE, ridge=[1.0]), "ridge", TypeError),
        (lambda: flow(times=1.0), "times", ValueError),
        (lambda: flow(times=[-1]), "times", ValueError),
        (lambda: flow(times=[NAN]), "times", ValueError),
        (lambda: flow(times=[INF]), "times", ValueError),
        (lambda: flow(times="ab"), "times", TypeError),
        (lambda: learning_curve((SOURCE, SOURCE), X), "problem", TypeError),
        (lambda: learning_curve(PROBLEM, np.ones((2, 4))), "X", ValueError),
        (lambda: learning_curve(PROBLEM, SOURCE), "X", ValueError),
        (lambda: learning_curve(PROBLEM, np.ones((0, 3))), "X", ValueError),
        (lambda: learning_curve(PROBLEM, NAN * X), "X", ValueError),
        (lambda: samples_needed([[1.0]], 1), "curve", ValueError),
        (lambda: samples_needed([NAN], 1), "curve", ValueError),
        (lambda: samples_needed("ab", 1), "curve", TypeError),
        (lambda: samples_needed([1.0], -1), "risk", ValueError),
        (lambda: samples_needed([1.0], NAN), "risk", ValueError),
        (lambda: samples_needed([1.0], None), "risk", TypeError),
    ],
)
def test_bad_input_is_named(call, argument, error):
    with pytest.raises(error, match=rf"^{argument} must"):
        call()


def test_arguments_are_left_alone():
    rng = np.random.default_rng(0)
    X, y, source = rng.standard_normal((3, 5)), rng.standard_normal(3), rng.standard_normal(5)
    before = X.copy(), y.copy(), source.copy()
    problem = TransferProblem(Population.isotropic(5), source, source)
    finetune(X, y, source), gradient_flow(X, y, source, [1.0]), learning_curve(problem, X)
    for kept, array in zip(before, (X, y, source), strict=True):
        np.testing.assert_array_equal(array, kept)


def test_public_helpers_keep_their_promises():
    """The expansion and what it leaves are for later parts of the library too."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((6, 3)) @ rng.standard_normal((3, 5))
    basis, count = linear_regression.orthogonal_expansion(X)
    assert count.tolist() == [0, 1, 2, 3, 3, 3, 3]
    np.testing.assert_allclose(basis.T @ basis, np.eye(3), atol=1e-14)
    vector = rng.standard_normal(5)
    expected = [vector - basis[:, :k] @ basis[:, :k].T @ vector for k in range(4)]
    np.testing.assert_allclose(linear_regression.unlearned(vector, basis), expected, atol=1e-14)


# The risk along gradient flow


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


def test_flow_risk_of_a_batch_is_that_of_each_problem():
    rng = np.random.default_rng(0)
    population = Population(1 / np.arange(1.0, 13), rotation(12, 1))
    batch = TransferProblem(population, rng.standard_normal(12), rng.standard_normal((2, 3, 12)))
    X, times = population.sample(5, rng), [0, 1, 30, math.inf]
    risks, best = flow_risk(batch, X, times, 0.1), optimal_stopping_time(batch, X, 0.1)
    assert risks.shape == (2, 3, 4) and best.shape == (2, 3)
    for index, problem in zip(np.ndindex(2, 3), batch.each(), strict=True):
        np.testing.assert_allclose(risks[index], flow_risk(problem, X, times, 0.1), rtol=1e-12)
        alone = optimal_stopping_time(problem, X, 0.1)
        assert best[index] == pytest.approx(alone, rel=1e-9)


@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda: flow_risk(THREE, np.ones((2, 4)), [1]), ValueError, "X must"),
        (lambda: flow_risk(THREE, np.full((2, 3), np.nan), [1]), ValueError, "X must"),
        (lambda: flow_risk(THREE, ROWS, [-1]), ValueError, "times"),
        (lambda: flow_risk(THREE, ROWS, [math.nan]), ValueError, "times"),
        (lambda: flow_risk(THREE, ROWS, 1.0), ValueError, "times"),
        (lambda: flow_risk(THREE, ROWS, [1], -1), ValueError, "noise"),
        (lambda: flow_risk(1, ROWS, [1]), TypeError, "problem"),
    ],
)
def test_bad_input_of_flow_risk_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_batches_share_one_factorisation():
    rng = np.random.default_rng(0)
    for vectors in None, rotation(30, 2):
        population = Population(1 / np.arange(1.0, 31), vectors)
        batch = TransferProblem(
            population, rng.standard_normal(30), rng.standard_normal((2, 3, 30))
        )
        X = population.sample(40, rng)
        curves = learning_curve(batch, X)
        assert curves.shape == (2, 3, 41)
        for index, problem in zip(np.ndindex(2, 3), batch.each(), strict=True):
            np.testing.assert_allclose(
                curves[index], learning_curve(problem, X), rtol=1e-9, atol=1e-25
            )


def test_long_curves_are_summed_in_pieces(monkeypatch):
    problem = TransferProblem(Population.power_law(40, 1), np.zeros(40), np.ones(40))
    X = problem.population.sample(30, np.random.default_rng(0))
    whole = learning_curve(problem, X)
    for size in 1, 7, 30, 31:
        monkeypatch.setattr(linear_regression, "_STEP", size)
        np.testing.assert_allclose(learning_curve(problem, X), whole, rtol=1e-13)


def test_stacks_of_samples_are_each_of_them():
    rng = np.random.default_rng(0)
    population = Population.power_law(8, 1)
    problem = TransferProblem(population, rng.standard_normal(8), rng.standard_normal((3, 8)))
    X = population.samples(5, seeds=4)
    assert X.shape == (4, 5, 8)
    np.testing.assert_array_equal(X[2], population.sample(5, np.random.default_rng(2)))
    curves = learning_curve(problem, X)
    assert curves.shape == (4, 3, 6)
    np.testing.assert_array_equal(curves[2], learning_curve(problem, X[2]))
    assert learning_curve(problem, X.reshape(2, 2, 5, 8)).shape == (2, 2, 3, 6)
    deep = deep_linear.learning_curve(problem, X, [1, 3])
    assert deep.shape == (4, 3, 2, 6)
    np.testing.assert_array_equal(deep[2], deep_linear.learning_curve(problem, X[2], [1, 3]))
    with pytest.raises(ValueError, match="^X must have at least one sample"):
        learning_curve(problem, np.ones((0, 5, 8)))
