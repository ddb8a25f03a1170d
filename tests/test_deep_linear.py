"""thm-deep-bias, thm-deep-limit and thm-frozen, against computations that share nothing with them.

Two backward stable ways to the same end point differ by ε · cond(X) · (‖θ_S‖ + ‖θ_T‖) times a
modest constant, as in linear regression: that, times 1000, is the tolerance unless another is given
with its reason.
"""

import math

import hypothesis.strategies as st
import mpmath
import numpy as np
import pytest
import scipy.integrate
import scipy.linalg
from hypothesis import assume, example, given, settings
from strategies import EPS, condition, rotation, sampled_problems, seeds

from lib import linear_regression, similarity
from lib.deep_linear import (
    balanced_layers,
    balancedness,
    finetune,
    finetune_frozen_first,
    finetune_frozen_last,
    gradient_flow,
    learning_curve,
)
from lib.problem import Population, TransferProblem

INF = math.inf
any_size = st.integers(1, 20)  # below, at and above the dimension, which is at most 12
finite_depths = st.sampled_from((1, 2, 3, 5, 7, 20))
depths = st.sampled_from((1, 2, 3, 5, 7, 20, 1000, INF))


@st.composite
def cases(draw, depths=depths, **options):
    """A problem with a source that is not zero, a sample, a depth; teachers near, far and opposed.

    Samples that do not see the source, where infinite depth has no limit, are left out.
    """
    problem, X = draw(sampled_problems(**options))
    depth = draw(depths)
    factor = draw(st.sampled_from((1, -1, 0.01, 100)))
    problem = TransferProblem(problem.population, problem.source, factor * problem.target)
    assume(problem.source.any() and X.any())
    assume(depth != INF or np.linalg.norm(X[X.any(axis=1)][0] @ problem.source) > 0)
    return problem, X, depth


def random_case(rng, d=6, n=3, cond=1.0):
    """Return (X, y, source) with a given condition number."""
    U, V = rotation(n, rng.integers(2**32)), rotation(d, rng.integers(2**32))
    X = np.sqrt(n) * (U * np.geomspace(1, 1 / cond, n)) @ V[:n]
    source, target = rng.standard_normal((2, d))
    return X, X @ target, source


def slack(problem, X):
    """Return what rounding may change in an end point."""
    lengths = np.linalg.norm(problem.target) + np.linalg.norm(problem.source)
    return 1e3 * EPS * condition(X) * lengths


def blind_spot(X):
    """Return P_⊥ from an orthonormal basis of the null space."""
    N = scipy.linalg.null_space(X)
    return N @ N.T


def relative(a, b):
    """Return ‖a − b‖/‖b‖."""
    return np.linalg.norm(a - b) / np.linalg.norm(b)


def end_to_end(X, y, depth):
    """Return β̇ as thm-deep-bias writes it, in all d dimensions."""

    def velocity(_, beta):
        r, gradient = np.linalg.norm(beta), X.T @ (X @ beta - y) / len(X)
        unit = beta / r
        bracket = np.eye(len(beta)) + (depth - 1) * np.outer(unit, unit)
        return -(r ** (2 - 2 / depth)) * bracket @ gradient

    return velocity


def slowest_rate(X, source, depth):
    """Return the rate of the convergence lemma: r₀^{2−2/L} λ⁺_min(Σ̂)."""
    s = np.linalg.svd(X, compute_uv=False)
    smallest = s[s > 1e-13 * s[0]].min() ** 2 / len(X)
    length = np.linalg.norm(source)
    r0 = length * (np.linalg.norm(blind_spot(X) @ source) / length) ** depth
    return r0 ** (2 - 2 / depth) * smallest


# Where it ends


@settings(max_examples=200)
@given(cases(sizes=any_size))
def test_end_point_is_that_of_the_theorem(case):
    problem, X, depth = case
    source, y = problem.source, X @ problem.target
    beta = finetune(X, y, source, depth)
    atol = slack(problem, X)
    np.testing.assert_allclose(X @ beta, y, rtol=0, atol=atol * np.linalg.norm(X, 2))
    P = blind_spot(X)
    scale = (np.linalg.norm(beta) / np.linalg.norm(source)) ** (1 - 1 / depth)
    # At infinite depth the scale is ‖P_∥θ_T‖/‖P_∥θ_S‖: a source that is hardly seen amplifies.
    seen = np.linalg.norm(source - P @ source) / np.linalg.norm(source)
    atol *= (1 + scale) / (seen if depth > 20 else 1)
    np.testing.assert_allclose(P @ beta, scale * P @ source, rtol=0, atol=atol)


@settings(max_examples=300)
@given(st.floats(-8, 8), st.floats(-8, 0), st.floats(-8, 0), depths)
@example(0, -4, 0, 2)
@example(-8, -4, 0, 2)
@example(8, 0, -8, INF)
def test_the_scalar_equation_has_one_root_and_it_is_found(log_target, log_missed, log_seen, depth):
    """‖θ_S‖ = 1: x² = a² + b²x^{2p} changes sign once, by a scan of 100 decades, at ‖β‖."""
    norm = np.hypot(10**log_missed, 10**log_seen)
    b, g = 10**log_missed / norm, 10**log_seen / norm
    assume(depth != INF or g > 1e-12)
    a = 10**log_target
    X, y, source = np.eye(1, 2), np.array([a]), np.array([g, b])
    r = np.linalg.norm(finetune(X, y, source, depth))
    p = 1 - 1 / depth
    # Divided by x^{2p}; a², b² and 1 − b² = g² enter without cancelling.
    t = np.log(r) + np.linspace(-115, 115, 4001)

    def difference(t):
        return g**2 + np.expm1(2 * t / depth) - (a * np.exp(-p * t)) ** 2

    sign = np.sign(difference(t))
    assert sign[0] < 0 < sign[-1] and np.count_nonzero(np.diff(sign[sign != 0])) == 1
    # The root is where this is zero to rounding: ε of its terms, and of t.
    below, above = np.log(r) - 1e-10, np.log(r) + 1e-10
    terms = EPS * (g**2 + abs(np.expm1(2 * np.log(r) / depth)) + 2 * np.exp(2 * np.log(r) / depth))
    assert difference(below) < 1e3 * terms and difference(above) > -1e3 * terms


@pytest.mark.parametrize("depth", [1, 2, 3, 5, 7])
@pytest.mark.parametrize("cond", [1, 30, 1000])
@pytest.mark.parametrize("opposed", [False, True])
def test_end_point_against_the_differential_equation_in_all_dimensions(depth, cond, opposed):
    """A stiff solver of fifth order; its error at these tolerances is some 10⁻¹² relative."""
    rng = np.random.default_rng([depth, cond, opposed])
    X, y, source = random_case(rng, cond=cond)
    if opposed:
        y = X @ (-source + 0.3 * rng.standard_normal(6))
    end = 40 / slowest_rate(X, source, depth)  # e^{−40}, by the lemma
    options = {"method": "Radau", "rtol": 1e-11, "atol": 1e-14}
    path = scipy.integrate.solve_ivp(end_to_end(X, y, depth), (0, end), source, **options)
    assert relative(finetune(X, y, source, depth), path.y[:, -1]) < 1e-10


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_labels_out_of_reach_give_the_least_squares_value_on_the_row_space(depth):
    rng = np.random.default_rng(depth)
    X = rng.standard_normal((7, 3)) @ rng.standard_normal((3, 5))
    y, source = rng.standard_normal(7), rng.standard_normal(5)
    beta = finetune(X, y, source, depth)
    seen = np.linalg.lstsq(X, y, rcond=1e-12)[0]
    np.testing.assert_allclose(beta - blind_spot(X) @ beta, seen, atol=1e-12)
    end = 40 / slowest_rate(X, source, depth)
    options = {"method": "Radau", "rtol": 1e-11, "atol": 1e-14}
    path = scipy.integrate.solve_ivp(end_to_end(X, y, depth), (0, end), source, **options)
    assert relative(beta, path.y[:, -1]) < 1e-10


@given(cases(depths=st.just(1), sizes=any_size))
def test_depth_one_is_linear_regression(case):
    problem, X, _ = case
    y, atol = X @ problem.target, slack(problem, X)
    expected = linear_regression.finetune(X, y, problem.source)
    np.testing.assert_allclose(finetune(X, y, problem.source, 1), expected, rtol=0, atol=atol)
    curve = linear_regression.learning_curve(problem, X)
    other = learning_curve(problem, X, 1)
    # From the same basis, so whatever the condition of X.
    lengths = np.linalg.norm(problem.target) + np.linalg.norm(problem.source)
    atol = np.sqrt(problem.population.eigenvalues[0]) * 100 * EPS * lengths
    np.testing.assert_allclose(np.sqrt(other), np.sqrt(curve), rtol=0, atol=atol)
    times = [0, 0.3, 2]
    np.testing.assert_array_equal(
        gradient_flow(X, y, problem.source, 1, times),
        linear_regression.gradient_flow(X, y, problem.source, times),
    )


def test_depth_one_from_scratch():
    X, y = np.eye(2, 3), np.ones(2)
    problem = TransferProblem(Population.isotropic(3), np.zeros(3), np.ones(3))
    np.testing.assert_allclose(finetune(X, y, np.zeros(3), 1), [1, 1, 0])
    np.testing.assert_allclose(learning_curve(problem, X, 1), [3, 2, 1])
    np.testing.assert_array_equal(finetune_frozen_last(X, y, np.zeros(3), 1, 1), [1, 1, 0])


@pytest.mark.parametrize("cond", [1, 1e3, 1e6])
@pytest.mark.parametrize("seed", range(10))
def test_infinite_depth_is_the_limit(seed, cond):
    X, y, source = random_case(np.random.default_rng(seed), cond=cond)
    end = finetune(X, y, source, INF)
    misses = np.array([relative(finetune(X, y, source, 10**k), end) for k in (5, 6, 7, 15)])
    np.testing.assert_allclose(misses[1:3] / misses[:2], 0.1, rtol=1e-2)  # in proportion to 1/L
    assert misses[3] < 1e-12
    problem = TransferProblem(Population.isotropic(6), source, np.linalg.pinv(X) @ y)
    curves = learning_curve(problem, X, [10**15, INF])
    np.testing.assert_allclose(curves[0], curves[1], rtol=1e-10)


@given(cases(sizes=any_size), st.integers(-27, 27))
def test_units_of_the_labels(case, power):
    """β is homogeneous: teachers 2^k as long, end point 2^k as long; 2^27 > 10⁸."""
    problem, X, depth = case
    y, factor = X @ problem.target, 2.0**power
    beta = finetune(X, y, problem.source, depth)
    np.testing.assert_array_equal(
        finetune(X, factor * y, factor * problem.source, depth), factor * beta
    )
    np.testing.assert_array_equal(finetune(factor * X, factor * y, problem.source, depth), beta)


@given(cases(depths=st.just(INF), sizes=any_size), st.integers(-27, 27))
def test_infinite_depth_forgets_the_length_of_the_source(case, power):
    problem, X, _ = case
    y = X @ problem.target
    end = finetune(X, y, problem.source, INF)
    other = finetune(X, y, 2.0**power * problem.source, INF)
    # Powers of two scale without rounding; what is left is the logarithm of the ratio.
    np.testing.assert_allclose(other, end, rtol=0, atol=1e-13 * np.linalg.norm(end))


@pytest.mark.parametrize("alpha", [1e-8, 0.3, 1, 3, 1e8])
@pytest.mark.parametrize("rotated", [False, True])
def test_infinite_depth_sees_only_directions(alpha, rotated):
    """θ_T = αθ_S costs nothing, to (ε‖u‖)² and not just to ε‖u‖²; θ_T = −αθ_S does."""
    rng = np.random.default_rng(0)
    population = Population(1 / np.arange(1.0, 21), rotation(20, 0) if rotated else None)
    X, source = population.sample(8, rng), rng.standard_normal(20)
    problem = TransferProblem(population, source, alpha * source)
    curve = learning_curve(problem, X, [2, INF])
    size = np.linalg.norm(source) * max(1, alpha)
    assert (curve[1, 1:] < (100 * EPS * size) ** 2).all()
    assert alpha == 1 or (curve[0, 1:] > 1e-3 * alpha * abs(alpha - 1)).all()
    # With the opposite sign, all that is not seen is wrong by 2α.
    opposed = TransferProblem(population, source, -alpha * source)
    left = [4 * alpha**2 * population.squared_norm(blind_spot(X[:n]) @ source) for n in range(1, 9)]
    np.testing.assert_allclose(learning_curve(opposed, X, INF)[1:], left, rtol=1e-12)


# Corners


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_labels_zero_shrink_the_source_but_not_to_zero(depth):
    """P_∥θ_T = 0: of the roots 0 and ‖θ_S‖(‖P_⊥θ_S‖/‖θ_S‖)^L the flow goes to the second."""
    rng = np.random.default_rng(depth)
    X, _, source = random_case(rng)
    missed = blind_spot(X) @ source
    share = np.linalg.norm(missed) / np.linalg.norm(source)
    beta = finetune(X, np.zeros(3), source, depth)
    np.testing.assert_allclose(beta, share ** (depth - 1) * missed, atol=1e-14)
    end = 60 / slowest_rate(X, source, depth)
    options = {"method": "Radau", "rtol": 1e-11, "atol": 1e-14}
    path = scipy.integrate.solve_ivp(end_to_end(X, np.zeros(3), depth), (0, end), source, **options)
    assert relative(path.y[:, -1], beta) < 1e-10
    np.testing.assert_allclose(
        gradient_flow(X, np.zeros(3), source, depth, [end])[0], beta, atol=1e-10
    )


def test_labels_zero_at_great_depth():
    X, source = np.eye(1, 2), np.array([0.6, 0.8])
    for depth in 10, 100:
        beta = finetune(X, [0.0], source, depth)
        np.testing.assert_allclose(beta, [0, 0.8**depth], rtol=1e-12)
    np.testing.assert_allclose(finetune(X, [0.0], source, INF), 0, atol=1e-50)
    # Nothing seen and nothing to see: nothing moves.
    np.testing.assert_array_equal(finetune(X, [0.0], np.array([0, 0.8]), 100), [0, 0.8])


@given(cases(depths=depths.filter(lambda depth: depth > 1), sizes=any_size))
def test_opposed_or_equal_teachers_end_where_the_linear_model_does(case):
    """‖P_∥θ_T‖ = ‖P_∥θ_S‖: then ‖β‖ = ‖θ_S‖ solves the scalar equation at every depth."""
    problem, X, depth = case
    for sign in 1, -1:
        same = TransferProblem(problem.population, problem.source, sign * problem.source)
        y = X @ same.target
        expected = linear_regression.finetune(X, y, problem.source)
        # At infinite depth, the ratio of norms that are equal but for rounding: see above.
        seen = np.linalg.norm(problem.source - blind_spot(X) @ problem.source)
        atol = slack(same, X) * np.linalg.norm(problem.source) / seen
        np.testing.assert_allclose(finetune(X, y, problem.source, depth), expected, atol=atol)


@pytest.mark.parametrize("depth", [2, 3, 7, INF])
@pytest.mark.parametrize("rows", [2, 3, 4])
def test_source_in_the_row_space_ends_at_the_target_there(depth, rows):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((rows, 2)) @ np.eye(2, 4)
    source, target = rng.standard_normal((2, 4))
    beta = finetune(X, X @ target, np.eye(4)[:2].T @ source[:2], depth)
    np.testing.assert_allclose(beta, [*target[:2], 0, 0], atol=1e-13)


@pytest.mark.parametrize("depth", [2, 3, 5])
def test_flow_cannot_pass_through_the_saddle(depth):
    """P_⊥θ_S = 0, teachers opposed: the flow is drawn into β = 0, as the docstring says.

    In an eigenspace of Σ̂ the flow is one of a length, ṙ = −Lr^{2−2/L}λ(r + 1) with r > 0. With two
    different eigenvalues it turns away; so it does with any P_⊥θ_S.
    """
    target, times = np.array([-1.0, -1, 0]), [0, 2, 20, 2000]
    X = np.sqrt(2) * np.eye(2, 3)
    path = gradient_flow(X, X @ target, -target, depth, times[:3])
    lengths = np.linalg.norm(path, axis=1)
    assert (np.diff(lengths) < 0).all() and lengths[-1] < 0.05
    np.testing.assert_allclose(path, -np.outer(lengths, target) / np.sqrt(2), atol=1e-12)
    for other, source in (X * [1, 2, 1], -target), (X, [1, 1, 0.3]):
        end = gradient_flow(other, other @ target, source, depth, times)[-1]
        np.testing.assert_allclose(end, finetune(other, other @ target, source, depth), atol=1e-8)


@pytest.mark.parametrize("source_size", [1e-8, 1, 1e8])
@pytest.mark.parametrize("target_size", [1e-8, 1, 1e8])
@pytest.mark.parametrize("depth", [2, 7, 1000])
def test_teachers_of_very_different_length(source_size, target_size, depth):
    """Against arithmetic of sixty digits, also where little of the source is missed."""
    for missed in 1, 1e-4, 1e-8:
        a, b, g = target_size, source_size * missed, source_size
        with mpmath.workdps(60):
            s, p = mpmath.sqrt(mpmath.mpf(g) ** 2 + mpmath.mpf(b) ** 2), 1 - mpmath.mpf(1) / depth

            def difference(t, a=a, b=b, s=s, p=p):  # t = log(r/‖θ_S‖)
                return 2 * t - mpmath.log((a / s) ** 2 + mpmath.e ** (2 * p * t) * (b / s) ** 2)

            ends = sorted([mpmath.mpf(0), mpmath.log(mpmath.mpf(a) / g)])
            t = mpmath.findroot(difference, (ends[0] - 1, ends[1] + 1), solver="anderson")
            expected = float(mpmath.e ** (p * t) * b)
        beta = finetune(np.eye(1, 2), [a], [g, b], depth)
        np.testing.assert_allclose(beta, [a, expected], rtol=1e-12)


def test_one_sample():
    """n = 1, by hand: P_∥ and P_⊥ are the axes, and at L = 2 the equation is r² = a² + rb²/s."""
    source = np.array([3.0, 4.0])
    a, s, b = 2.0, 5.0, 4.0
    r = (b**2 / s + np.sqrt(b**4 / s**2 + 4 * a**2)) / 2
    beta = finetune([[10.0, 0.0]], [10 * a], source, 2)
    np.testing.assert_allclose(beta, [a, np.sqrt(r / s) * b], rtol=1e-15)
    np.testing.assert_allclose(finetune([[10.0, 0.0]], [10 * a], source, INF), [2, 8 / 3])


@given(cases(), seeds)
def test_dependent_rows_change_nothing(case, seed):
    problem, X, depth = case
    more = np.vstack([X, np.random.default_rng(seed).standard_normal((3, len(X))) @ X, 0 * X[:1]])
    beta = finetune(X, X @ problem.target, problem.source, depth)
    other = finetune(more, more @ problem.target, problem.source, depth)
    seen = np.linalg.norm(problem.source - blind_spot(X) @ problem.source)
    amplified = (np.linalg.norm(problem.target) / seen) if depth > 20 else 1.0
    amplified = (1 + amplified) * (1 + np.linalg.norm(problem.source) / seen)
    atol = slack(problem, X) * amplified * condition(more) / condition(X)
    np.testing.assert_allclose(other, beta, rtol=0, atol=atol)


# The way there


@st.composite
def runs(draw):
    """(X, y, source, depth, times): problems of every condition up to 10⁴, times until the end."""
    rng = np.random.default_rng(draw(seeds))
    d = draw(st.integers(2, 8))
    n = draw(st.integers(1, d - 1))
    X, y, source = random_case(rng, d, n, draw(st.sampled_from((1, 10, 1e4))))
    relation = draw(st.sampled_from(("unrelated", "opposed", "long", "short", "noisy")))
    y = {
        "unrelated": y,
        "opposed": -X @ source + 0.1 * y,
        "long": 30 * y,
        "short": 0.03 * y,
        "noisy": y + rng.standard_normal(n),
    }[relation]
    depth = draw(st.sampled_from((2, 3, 5, 7)))
    start = np.linalg.norm(source) ** (2 - 2 / depth) * np.linalg.norm(X, 2) ** 2 / n
    return X, y, source, depth, np.append(0, np.geomspace(1e-3, 1e5, 40)) / start


# What the solver does at its tolerances, with a factor of a hundred to spare.
SOLVER = 1e-8


@settings(max_examples=80)
@given(runs())
def test_unseen_part_of_q_is_conserved(run):
    """q = β/‖β‖^{(L−1)/L}: P_⊥q stays what it is at the source."""
    X, y, source, depth, times = run
    path = gradient_flow(X, y, source, depth, times)
    np.testing.assert_allclose(path[0], source, rtol=0, atol=1e-14 * np.linalg.norm(source))
    q = path / np.linalg.norm(path, axis=1, keepdims=True) ** (1 - 1 / depth)
    missed = q @ blind_spot(X)
    atol = SOLVER * np.linalg.norm(q[0])
    np.testing.assert_allclose(missed, np.tile(missed[0], (len(path), 1)), rtol=0, atol=atol)
    # What is seen does change, and nothing leaves span(row(X), θ_S).
    span = scipy.linalg.orth(np.vstack([X / np.linalg.norm(X), source]).T, rcond=1e-12)
    sizes = np.linalg.norm(path, axis=1)
    assert (np.linalg.norm(path - path @ span @ span.T, axis=1) <= 1e-10 * sizes).all()
    assert y.any() and np.linalg.norm(q[-1] - q[0]) > 1e-6 * np.linalg.norm(q[0])


@settings(max_examples=80)
@given(runs())
def test_loss_falls_norm_stays_up_and_the_rate_holds(run):
    """The convergence lemma: r(t) ≥ r₀ and ℓ(t) ≤ ℓ(0) exp(−2 r₀^{2−2/L} λ⁺_min(Σ̂) t)."""
    X, y, source, depth, times = run
    path = gradient_flow(X, y, source, depth, times)
    losses = ((path @ X.T - y) ** 2).sum(axis=1) / (2 * len(X))
    # ℓ is known to the solver's error in β, squared.
    known = (SOLVER * (np.linalg.norm(path, axis=1) + 1)) ** 2 * np.linalg.norm(X, 2) ** 2 / len(X)
    assert (np.diff(losses) <= known[1:] + 1e-12 * losses[:-1]).all()
    length = np.linalg.norm(source)
    r0 = length * (np.linalg.norm(blind_spot(X) @ source) / length) ** depth
    assert (np.linalg.norm(path, axis=1) >= r0 * (1 - SOLVER)).all()
    bound = losses[0] * np.exp(-2 * slowest_rate(X, source, depth) * times)
    assert (losses <= bound * (1 + SOLVER) + known).all()


@settings(max_examples=10)
@given(runs())
def test_flow_solves_the_differential_equation_in_all_dimensions(run):
    X, y, source, depth, times = run
    times = times[::8]
    solution = scipy.integrate.solve_ivp(
        end_to_end(X, y, depth),
        (0, times[-1]),
        source,
        method="Radau",
        t_eval=times,
        rtol=1e-9,
        atol=1e-12,
    )
    path = gradient_flow(X, y, source, depth, times)
    size = np.linalg.norm(path, axis=1, keepdims=True) + 1e-3
    assert (np.abs(path - solution.y.T) <= 1e-6 * size).all()  # Radau at these tolerances


@settings(max_examples=20)
@given(seeds, st.integers(1, 5), st.integers(1, 4))
def test_flow_is_that_of_the_layers(seed, depth, width):
    """Ẇ_j = −∂ℓ/∂W_j in every layer, written out: no balance, no product rule of the theorem."""
    rng = np.random.default_rng(seed)
    X, y, source = random_case(rng, 4, 2, 3)
    layers = balanced_layers(source, depth, width, rng)
    shapes = [W.shape for W in layers]
    cuts = np.cumsum([W.size for W in layers])[:-1]

    def unpack(state):
        return [part.reshape(s) for part, s in zip(np.split(state, cuts), shapes, strict=True)]

    def product(layers, rows):
        return np.linalg.multi_dot([np.eye(rows), *layers, np.eye(layers[-1].shape[1])])

    def velocity(_, state):
        layers = unpack(state)
        gradient = X.T @ (X @ product(layers, 4)[:, 0] - y)[:, None] / len(X)
        result = []
        for j, W in enumerate(layers):
            left = product(layers[:j], 4) if j else np.eye(4)
            right = product(layers[j + 1 :], W.shape[1]) if j + 1 < depth else np.eye(1)
            result.append(-(left.T @ gradient @ right.T).ravel())
        return np.concatenate(result)

    times = [0, 0.1, 0.5, 2, 10]
    state = np.concatenate([W.ravel() for W in layers])
    options = {"rtol": 1e-10, "atol": 1e-12, "t_eval": times, "method": "DOP853"}
    solution = scipy.integrate.solve_ivp(velocity, (0, 10), state, **options)
    networks = [unpack(state) for state in solution.y.T]
    betas = [product(layers, 4)[:, 0] for layers in networks]
    path = gradient_flow(X, y, source, depth, times)
    np.testing.assert_allclose(path, betas, atol=1e-7)  # the solver of the layers
    assert max(map(balancedness, networks)) < 1e-8


def test_flow_ends_at_the_end_point():
    for seed in range(10):
        X, y, source = random_case(np.random.default_rng(seed), 7, 3, 10)
        for depth in 2, 3, 7:
            end = 50 / slowest_rate(X, source, depth)
            path = gradient_flow(X, y, source, depth, [end])
            assert relative(path[0], finetune(X, y, source, depth)) < 1e-10


def test_times_come_in_any_order():
    X, y, source = random_case(np.random.default_rng(0))
    path = gradient_flow(X, y, source, 3, [2, 0, 0.5, 2])
    alone = np.vstack([gradient_flow(X, y, source, 3, [t]) for t in (2, 0, 0.5, 2)])
    np.testing.assert_allclose(path, alone, atol=1e-9)  # steps differ, and the solver's error
    assert gradient_flow(X, y, source, 3, []).shape == (0, 6)
    np.testing.assert_allclose(gradient_flow(0 * X, y, source, 3, [0, 5]), [source, source])


def test_infinite_depth_and_solver_failure_are_said():
    X, y, source = random_case(np.random.default_rng(0))
    with pytest.raises(ValueError, match="^depth must be finite"):
        gradient_flow(X, y, source, INF, [1.0])
    with np.errstate(all="ignore"), pytest.raises(RuntimeError, match="could not be followed"):
        gradient_flow(X, 1e60 * y, source, 2, [1.0])


# The learning curve


@given(cases(sizes=any_size))
def test_curve_is_fine_tuning_on_the_first_rows(case):
    problem, X, depth = case
    curve = learning_curve(problem, X, depth)
    assert curve.shape == (len(X) + 1,)
    assert curve[0] == pytest.approx(problem.risk(problem.source), rel=1e-12)
    largest = np.sqrt(problem.population.eigenvalues[0])
    for n in range(1, len(X) + 1):
        if not X[:n].any():
            assert curve[n] == pytest.approx(curve[0], rel=1e-12)
            continue
        beta = finetune(X[:n], X[:n] @ problem.target, problem.source, depth)
        seen = np.linalg.norm(problem.source - blind_spot(X[:n]) @ problem.source)
        scale = (1 + np.linalg.norm(beta)) * (1 + np.linalg.norm(problem.source) / seen)
        atol = largest * slack(problem, X[:n]) * (scale if depth > 20 else 1 + np.linalg.norm(beta))
        assert abs(np.sqrt(curve[n]) - np.sqrt(problem.risk(beta))) <= atol


@pytest.mark.parametrize("depth", [1, 2, 7])
def test_rows_of_zeros_leave_the_curve_flat(depth):
    rng = np.random.default_rng(0)
    problem = TransferProblem(Population([2, 1, 0.5]), *rng.standard_normal((2, 3)))
    start = problem.risk(problem.source)
    np.testing.assert_allclose(learning_curve(problem, np.zeros((2, 3)), depth), start, rtol=1e-14)
    row = rng.standard_normal((1, 3))
    late = learning_curve(problem, np.vstack([np.zeros((2, 3)), row]), depth)
    np.testing.assert_allclose(late[:3], start, rtol=1e-14)
    assert late[3] == pytest.approx(learning_curve(problem, row, depth)[1], rel=1e-13)


def test_curves_of_many_depths_share_one_factorisation(monkeypatch):
    rng = np.random.default_rng(0)
    problem = TransferProblem(Population.power_law(40, 1), *rng.standard_normal((2, 40)))
    X = rng.standard_normal((39, 40))
    some = [1, 2, 3, 5, 7, 10, INF]
    calls = []
    qr = scipy.linalg.qr
    monkeypatch.setattr(scipy.linalg, "qr", lambda *a, **k: calls.append(1) or qr(*a, **k))
    curves = learning_curve(problem, X, some)
    assert curves.shape == (7, 40) and len(calls) == 1
    for depth, curve in zip(some, curves, strict=True):
        np.testing.assert_allclose(learning_curve(problem, X, depth), curve, rtol=1e-13)
    np.testing.assert_array_equal(learning_curve(problem, X, np.array(some)), curves)
    assert learning_curve(problem, X, [some, some]).shape == (2, 7, 40)
    assert learning_curve(problem, X, []).shape == (0, 40)


def reference_risk(problem, X, depth):
    """Return the risk in arithmetic of sixty digits: normal equations, and the equation for r."""
    with mpmath.workdps(60):
        A = mpmath.matrix(X.tolist())
        source, target = (mpmath.matrix(v.tolist()) for v in (problem.source, problem.target))
        seen, learned = (A.T * mpmath.lu_solve(A * A.T, A * v) for v in (source, target))
        missed = source - seen
        a, b, s = (mpmath.norm(v) for v in (learned, missed, source))
        p = 1 - mpmath.mpf(1) / depth
        r = mpmath.findroot(lambda r: r**2 - a**2 - (r / s) ** (2 * p) * b**2, s)
        rest = learned + (r / s) ** p * missed - target
        return float(
            sum(v * x**2 for v, x in zip(problem.population.eigenvalues, rest, strict=True))
        )


@pytest.mark.parametrize("size", [1, 1e-3, 1e-6, 1e-9])
@pytest.mark.parametrize("depth", [2, 7])
def test_curve_keeps_its_digits_where_the_gap_is_small(size, depth):
    rng = np.random.default_rng(0)
    source = rng.standard_normal(10)
    target = source + size * rng.standard_normal(10)
    problem = TransferProblem(Population.power_law(10, 1), source, target)
    X = problem.population.sample(6, rng)
    expected = [reference_risk(problem, X[:n], depth) for n in range(1, 7)]
    np.testing.assert_allclose(learning_curve(problem, X, depth)[1:], expected, rtol=1e-11)


def test_curve_keeps_its_digits_where_the_best_scale_is_met():
    """θ_T = αθ_S + small: the parabola is near its least value, which cancels if expanded."""
    rng = np.random.default_rng(0)
    source = rng.standard_normal(10)
    target = 1.7 * source + 1e-7 * rng.standard_normal(10)
    problem = TransferProblem(Population.power_law(10, 1), source, target)
    X = problem.population.sample(6, rng)
    depth = 10**9  # the same as infinity here, to 1e-9
    expected = [reference_risk(problem, X[:n], depth) for n in range(1, 7)]
    # θ_T is known to ε; its distance of 1e-7 from the ray to 2e-9.
    np.testing.assert_allclose(learning_curve(problem, X, depth)[1:], expected, rtol=1e-7)


# Layers


@given(seeds, st.integers(1, 8), st.integers(1, 7), st.integers(1, 5), st.floats(-8, 8))
def test_balanced_layers_are_balanced_and_multiply_to_theta(seed, dim, depth, width, exponent):
    rng = np.random.default_rng(seed)
    theta = 10**exponent * rng.standard_normal(dim)
    layers = balanced_layers(theta, depth, width, rng)
    sizes = [dim, *[width] * (depth - 1), 1]
    assert [W.shape for W in layers] == list(zip(sizes[:-1], sizes[1:], strict=True))
    product = np.eye(dim)
    for W in layers:
        product = product @ W
    np.testing.assert_allclose(product[:, 0], theta, atol=1e-14 * np.linalg.norm(theta))
    assert balancedness(layers) < 1e-14
    norms = [np.linalg.norm(W) for W in layers]
    np.testing.assert_allclose(norms, np.linalg.norm(theta) ** (1 / depth))
    if depth > 1 and width > 1:  # the inner directions are random
        other = balanced_layers(theta, depth, width, rng)
        assert not np.allclose(other[0], layers[0])


@given(seeds, st.integers(2, 5), st.integers(1, 4), st.floats(-8, 8))
def test_balancedness_is_relative_and_between_zero_and_one(seed, depth, width, exponent):
    rng = np.random.default_rng(seed)
    sizes = [3, *[width] * (depth - 1), 1]
    layers = [rng.standard_normal(shape) for shape in zip(sizes[:-1], sizes[1:], strict=True)]
    value = balancedness(layers)
    assert 0 < value <= 1
    assert balancedness([10**exponent * W for W in layers]) == pytest.approx(value, rel=1e-12)


def test_balancedness_by_hand():
    W, V = np.array([[3.0, 0.0]]), np.array([[0.0], [2.0]])  # WᵀW = diag(9, 0), VVᵀ = diag(0, 4)
    assert balancedness([W, V]) == pytest.approx(1)
    assert balancedness([W, np.array([[2.0], [0.0]])]) == pytest.approx(5 / 9)
    assert balancedness([W, np.array([[3.0], [0.0]])]) == 0
    assert balancedness([np.ones((3, 1))]) == 0
    assert balancedness([np.zeros((3, 2)), np.zeros((2, 1))]) == 0
    assert balancedness(balanced_layers(np.zeros(3), 3, 2, np.random.default_rng(0))) == 0


# Frozen layers


@given(cases(depths=st.just(2), sizes=any_size), seeds)
def test_frozen_first_layers_learn_the_best_multiple_of_the_source(case, seed):
    problem, X, _ = case
    source = problem.source
    assume(np.linalg.norm(X @ source) > 1e-8 * np.linalg.norm(X) * np.linalg.norm(source))
    y = X @ problem.target + np.random.default_rng(seed).standard_normal(len(X))
    beta = finetune_frozen_first(X, y, source)
    c = np.linalg.lstsq((X @ source)[:, None], y)[0][0]
    size = np.linalg.norm(y) / np.linalg.norm(X @ source)
    np.testing.assert_allclose(beta, c * source, atol=1e-13 * size * np.linalg.norm(source))
    deep = finetune_frozen_first(X, y, source, trained=3)
    np.testing.assert_array_equal(deep, beta if c > 0 else 0 * beta)


@given(cases(depths=st.just(2), sizes=any_size))
def test_frozen_first_layers_have_a_floor(case):
    """R ≥ ‖Σ^{1/2}θ_T‖²(1 − cos²_Σ), for every n."""
    problem, X, _ = case
    label_variance = problem.population.squared_norm(problem.target)
    assume(label_variance > 0 and problem.population.squared_norm(problem.source) > 0)
    floor = label_variance * (1 - similarity.weighted_cosine(problem) ** 2)
    for trained in 1, 2:
        beta = finetune_frozen_first(X, X @ problem.target, problem.source, trained=trained)
        assert problem.risk(beta) >= floor - 1e-13 * label_variance  # the subtraction in the floor


def test_frozen_first_layers_learn_nothing_from_orthogonal_teachers():
    rng = np.random.default_rng(0)
    problem = TransferProblem(Population.power_law(30, 1), np.eye(30)[0], np.eye(30)[1])
    for n in 1, 10, 1000:
        X, y = problem.sample(n, rng)
        assert problem.risk(finetune_frozen_first(X, y, problem.source)) >= 0.5
        assert problem.risk(finetune_frozen_first(X, y, problem.source, trained=2)) >= 0.5
    assert problem.risk(finetune(X, y, problem.source, 3)) < 1e-20


def test_frozen_first_layers_without_a_gradient_stay():
    source = np.array([0.0, 2.0])
    for X in np.eye(1, 2), np.zeros((1, 2)):
        np.testing.assert_array_equal(finetune_frozen_first(X, [1.0], source), source)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((3, 5)) @ (np.eye(5) - np.full((5, 5), 0.2))  # rounding, not zero
    assert 0 < np.linalg.norm(X @ np.ones(5)) < 1e-14
    np.testing.assert_array_equal(finetune_frozen_first(X, np.ones(3), np.ones(5)), np.ones(5))


@given(cases(depths=st.integers(1, 6), sizes=any_size), st.integers(0, 5))
def test_frozen_last_layers_might_as_well_not_be_there(case, fewer):
    problem, X, depth = case
    trained = max(1, depth - fewer)
    y = X @ problem.target
    beta = finetune_frozen_last(X, y, problem.source, depth, trained)
    np.testing.assert_array_equal(beta, finetune(X, y, problem.source, trained))


# Bad input

X, Y, SOURCE = np.ones((2, 3)), np.ones(2), np.ones(3)
PROBLEM = TransferProblem(Population.isotropic(3), SOURCE, SOURCE)
SCRATCH = TransferProblem(Population.isotropic(3), 0 * SOURCE, SOURCE)
NAN, RNG = np.nan, np.random.default_rng(0)


def end(X=X, y=Y, source=SOURCE, depth=2):
    """Return the end point at depth 2."""
    return finetune(X, y, source, depth)


def flow(X=X, y=Y, source=SOURCE, depth=2, times=(0, 1)):
    """Return the path at two times."""
    return gradient_flow(X, y, source, depth, times)


def last(X=X, y=Y, source=SOURCE, depth=2, trained=1):
    """Return the end point with the last layer frozen."""
    return finetune_frozen_last(X, y, source, depth, trained)


def curve(depth):
    """Return the curve of a harmless problem."""
    return learning_curve(PROBLEM, X, depth)


@pytest.mark.parametrize("function", [end, flow, finetune_frozen_first, last])
@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"X": np.ones(3)}, ValueError),
        ({"X": np.ones((0, 3))}, ValueError),
        ({"X": np.full((2, 3), NAN)}, ValueError),
        ({"X": [["a", "b", "c"]] * 2}, TypeError),
        ({"y": np.ones(3)}, ValueError),
        ({"y": [1, INF]}, ValueError),
        ({"y": "ab"}, TypeError),
        ({"source": np.ones(2)}, ValueError),
        ({"source": [1, 1, NAN]}, ValueError),
        ({"source": np.zeros(3)}, ValueError),
    ],
)
def test_bad_samples_are_named(function, changed, error):
    with pytest.raises(error, match=rf"^{next(iter(changed))} must"):
        function(**{"X": X, "y": Y, "source": SOURCE} | changed)


@pytest.mark.parametrize("depth", [0, -1, 1.5, NAN, -INF, "2", None, True, 1j, [2], np.ones(2)])
@pytest.mark.parametrize("function", [end, flow, last])
def test_bad_depths_are_named(function, depth):
    with pytest.raises((TypeError, ValueError), match="^depth must"):
        function(depth=depth)


@pytest.mark.parametrize(
    ("call", "argument", "error"),
    [
        (lambda: flow(times=1.0), "times", ValueError),
        (lambda: flow(times=[-1]), "times", ValueError),
        (lambda: flow(times=[INF]), "times", ValueError),
        (lambda: flow(depth=1, times=[-1]), "times", ValueError),
        (lambda: flow(times="ab"), "times", TypeError),
        (lambda: flow(depth=INF), "depth", ValueError),
        (lambda: end(X=np.eye(2, 3), source=np.eye(3)[2], depth=INF), "source", ValueError),
        (lambda: end(X=np.zeros((2, 3)), depth=INF), "source", ValueError),
        (lambda: end(source=np.zeros(3), depth=INF), "source", ValueError),
        (lambda: last(source=np.zeros(3)), "source", ValueError),
        (lambda: learning_curve((SOURCE, SOURCE), X, 2), "problem", TypeError),
        (lambda: learning_curve(SCRATCH, X, 2), "source", ValueError),
        (lambda: learning_curve(SCRATCH, X, [1, 2]), "source", ValueError),
        (lambda: learning_curve(PROBLEM, [[1, -1, 0]], INF), "source", ValueError),
        (lambda: learning_curve(PROBLEM, [[1, -1, 0], [1, 0, 0]], [1, INF]), "source", ValueError),
        (lambda: learning_curve(PROBLEM, np.ones((2, 4)), 2), "X", ValueError),
        (lambda: learning_curve(PROBLEM, SOURCE, 2), "X", ValueError),
        (lambda: learning_curve(PROBLEM, NAN * X, 2), "X", ValueError),
        (lambda: learning_curve(PROBLEM, X, 0), "depth", ValueError),
        (lambda: learning_curve(PROBLEM, X, [1, 1.5]), "depth", TypeError),
        (lambda: learning_curve(PROBLEM, X, [[1], [1, 2]]), "depth", TypeError),
        (lambda: learning_curve(PROBLEM, X, None), "depth", TypeError),
        (lambda: learning_curve(PROBLEM, X, "2"), "depth", TypeError),
        (lambda: finetune_frozen_first(X, Y, SOURCE, trained=0), "trained", ValueError),
        (lambda: finetune_frozen_first(X, Y, SOURCE, trained=1.0), "trained", TypeError),
        (lambda: last(trained=0), "trained", ValueError),
        (lambda: last(trained=3), "trained", ValueError),
        (lambda: last(trained=1.0), "trained", TypeError),
        (lambda: balanced_layers(X, 2, 3, RNG), "theta", ValueError),
        (lambda: balanced_layers([NAN], 2, 3, RNG), "theta", ValueError),
        (lambda: balanced_layers(SOURCE, 0, 3, RNG), "depth", ValueError),
        (lambda: balanced_layers(SOURCE, INF, 3, RNG), "depth", TypeError),
        (lambda: balanced_layers(SOURCE, 2, 0, RNG), "width", ValueError),
        (lambda: balanced_layers(SOURCE, 2, 2.5, RNG), "width", TypeError),
        (lambda: balanced_layers(SOURCE, 2, 3, 0), "rng", TypeError),
        (lambda: balancedness([]), "layers", ValueError),
        (lambda: balancedness(None), "layers", TypeError),
        (lambda: balancedness([np.ones((3, 2))]), "layers", ValueError),
        (lambda: balancedness([np.ones((3, 2)), np.ones((3, 1))]), "layers", ValueError),
        (lambda: balancedness([np.ones((0, 2)), np.ones((2, 1))]), "layers", ValueError),
        (lambda: balancedness([np.ones(3)]), r"layers\[0\]", ValueError),
        (lambda: balancedness([np.ones((3, 1)), [[NAN]]]), r"layers\[1\]", ValueError),
    ],
)
def test_bad_input_is_named(call, argument, error):
    with pytest.raises(error, match=rf"^{argument} must"):
        call()


def test_arguments_are_left_alone():
    rng = np.random.default_rng(0)
    X, y, source = random_case(rng)
    before = X.copy(), y.copy(), source.copy()
    problem = TransferProblem(Population.isotropic(6), source, source)
    finetune(X, y, source, 2), gradient_flow(X, y, source, 2, [1.0]), learning_curve(problem, X, 2)
    balanced_layers(source, 2, 2, rng), finetune_frozen_last(X, y, source, 3, 2)
    finetune_frozen_first(0 * X, y, source)[:] = 7
    for kept, array in zip(before, (X, y, source), strict=True):
        np.testing.assert_array_equal(array, kept)


def test_sources_that_run_into_the_saddle_are_on_a_curve():
    """One that is not opposed to the target, and yet runs into 0; those beside it do not."""
    X, target = np.sqrt(2) * np.diag([1, np.sqrt(3)]), np.ones(2)  # Σ̂ = diag(1, 3)
    stable = np.array([-0.2737149, -0.9618109])
    for turn in (0.0, 0.05, -0.05):
        rotated = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ stable
        end = gradient_flow(X, X @ target, rotated, 2, [8.0])[0]
        # Given to seven digits, it escapes in the end.
        assert np.linalg.norm(end) < 1e-5 if turn == 0 else np.allclose(end, target, atol=1e-3)
        assert abs(np.linalg.det([rotated, target])) > 0.1


def test_beside_the_curve_no_source_runs_into_the_saddle():
    """In three dimensions as well: a curve, which every small step aside leaves."""
    X, target = np.sqrt(3) * np.diag([1, np.sqrt(2), 2]), np.ones(3)  # Σ̂ = diag(1, 2, 4)
    along = -X.T @ X @ target
    along /= np.linalg.norm(along)
    aside = scipy.linalg.null_space(along[None])
    for turn in np.linspace(0, 2 * np.pi, 5)[:-1]:
        start = 0.05 * (along + 0.2 * aside @ [np.cos(turn), np.sin(turn)])
        end = gradient_flow(X, X @ target, start, 2, [60.0])[0]
        np.testing.assert_allclose(end, target, atol=1e-6)
