"""prop-loo: leave-one-out against refitting n times, and its mean against the true risk.

K = XXᵀ has the square of the condition of X, and an error is a ratio of two entries of its inverse:
two stable ways differ by ε · cond(X)² · ‖residual‖ times a modest constant, for which 1e4 is taken.
"""

import itertools
import math

import hypothesis.strategies as st
import mpmath
import numpy as np
import pytest
from hypothesis import assume, given, settings
from strategies import EPS, condition, rotation, seeds, z_scores
from threadpoolctl import threadpool_limits

from lib import deep_linear, linear_regression, relu
from lib.problem import Population, TransferProblem
from lib.selection import combine, leave_one_out, rank_sources

DEPTHS = (1, 2, 3, math.inf)

# What a warning says of samples that determine the model is tested in test_compare.py.
pytestmark = pytest.mark.filterwarnings("ignore:all sources score the same")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Keep to one thread: on arrays this small, several wait for each other."""
    with threadpool_limits(1):
        yield


def without(i, *arrays):
    """Return the arrays without their row i."""
    return [np.delete(array, i, axis=0) for array in arrays]


def worst_condition(X):
    """Return the largest cond(X), all rows or all but one."""
    return max(condition(X), *(condition(*without(i, X)) for i in range(len(X))))


@st.composite
def cases(draw):
    """Rows, some of them repeated, zero or combined from others, with labels and sources.

    No subset of n − 1 rows is nearly dependent without being dependent.
    """
    n, d = draw(st.integers(2, 12)), draw(st.integers(1, 8))
    kind = draw(st.sampled_from(("as drawn", "repeated", "zero", "dependent")))
    rng = np.random.default_rng(draw(seeds))
    X = rng.standard_normal((n, d))
    rows = np.flatnonzero(rng.random(n) < 0.4)
    match kind:
        case "repeated":
            X[rows] = X[rng.integers(0, n, rows.size)] * rng.choice([1, -2], (rows.size, 1))
        case "zero":
            X[rows] = 0
        case "dependent":
            X = rng.standard_normal((n, n // 2 + 1)) @ X[: n // 2 + 1]
    assume(X.any() and worst_condition(X) < 100)
    unit = 2.0 ** draw(st.integers(-20, 20))
    sources = rng.standard_normal((draw(st.integers(1, 4)), d))
    return unit * X, unit * rng.standard_normal(n), sources


@st.composite
def independent_cases(draw):
    """Independent rows, as depth needs them, all but one of which see something of every source."""
    d = draw(st.integers(2, 8))
    n = draw(st.integers(2, d))
    rng = np.random.default_rng(draw(seeds))
    X, y = rng.standard_normal((n, d)), rng.standard_normal(n)
    sources = rng.standard_normal((draw(st.integers(1, 4)), d))
    assume(worst_condition(X) < 100)
    for i in range(n):
        (rest,) = without(i, X)
        seen = np.linalg.norm(np.linalg.pinv(rest) @ rest @ sources.T, axis=0)
        assume((seen > 0.1 * np.linalg.norm(sources, axis=1)).all())
    return X, y, sources


def slack(X, residual):
    """Return what rounding may change in the errors."""
    return 1e4 * EPS * worst_condition(X) ** 2 * np.abs(residual).max()


def refitted(finetune, X, y, *options, **named):
    """Return what each of n fits, that go without one sample, misses there."""
    return np.array(
        [y[i] - X[i] @ finetune(*without(i, X, y), *options, **named) for i in range(len(X))]
    )


def assert_ordered(order, scores, size=0.0):
    """Best first; what differs by rounding errors alone, of ``size``, keeps the given order."""
    assert sorted(order) == list(range(len(scores)))
    roots = np.sqrt(scores)
    for a, b in itertools.pairwise(order):
        tie = 1e-12 * (roots[a] + size)
        assert a < b if abs(roots[a] - roots[b]) <= tie else roots[a] <= roots[b] + 1e3 * tie


# One factorisation is worth n


@pytest.mark.filterwarnings("error")
@settings(max_examples=300)
@given(cases(), st.sampled_from([0, 1e-3, 0.1, 10]))
def test_errors_are_those_of_refitting(case, ridge):
    """Interpolation, least squares, and rows that depend on others; with and without ridge."""
    X, y, sources = case
    ridge *= np.abs(X).max() ** 2
    residual = y[:, None] - X @ sources.T
    errors = leave_one_out(X @ X.T, residual, ridge)
    for source, column in zip(sources, errors.T, strict=True):
        expected = refitted(linear_regression.finetune, X, y, source, ridge=ridge)
        np.testing.assert_allclose(column, expected, rtol=0, atol=slack(X, residual))


@given(cases(), st.sampled_from([0, 0.1]), st.integers(-300, 300), seeds)
def test_columns_units_and_order_change_nothing(case, ridge, exponent, seed):
    X, y, sources = case
    K, residual = X @ X.T, y[:, None] - X @ sources.T
    ridge *= np.abs(K).max()
    errors, atol = leave_one_out(K, residual, ridge), slack(X, residual)
    assert errors.shape == residual.shape
    for alone, column in zip(residual.T, errors.T, strict=True):
        np.testing.assert_allclose(leave_one_out(K, alone, ridge), column, rtol=0, atol=atol)
    # Of K and δ it is the ratio that matters.
    scaled = leave_one_out(2.0**exponent * K, -3 * residual, 2.0**exponent * ridge)
    np.testing.assert_allclose(scaled, -3 * errors, rtol=0, atol=4 * atol)
    order = np.random.default_rng(seed).permutation(len(K))
    permuted = leave_one_out(K[np.ix_(order, order)], residual[order], ridge)
    np.testing.assert_allclose(permuted, errors[order], rtol=0, atol=atol)


def test_errors_done_by_hand():
    """Equal rows are told their mean, shrunk by a ridge; orthogonal and zero ones, nothing."""
    y = np.array([1.0, 2, 6])
    np.testing.assert_allclose(leave_one_out(np.ones((3, 3)), y), [-3, -1.5, 4.5])
    np.testing.assert_allclose(leave_one_out(np.ones((3, 3)), y, 1), [1 - 8 / 3, 2 - 7 / 3, 5])
    np.testing.assert_allclose(leave_one_out(np.diag([1, 2, 3]), y), y)
    np.testing.assert_allclose(leave_one_out(np.diag([1, 2, 0]), y), y)
    twins = [[1, 2, 0], [2, 4, 0], [0, 0, 1]]
    np.testing.assert_allclose(leave_one_out(twins, y), [0, 0, 6], atol=1e-15)


@pytest.mark.parametrize("n", [5, 12])
def test_vanishing_ridge_is_none(n):
    """The difference is proportional to δ, in interpolation and in least squares."""
    rng = np.random.default_rng(n)
    X, residual = rng.standard_normal((n, 7)), rng.standard_normal((n, 2))
    errors = leave_one_out(X @ X.T, residual)
    misses = [
        np.linalg.norm(leave_one_out(X @ X.T, residual, ridge) - errors) for ridge in (1e-3, 1e-5)
    ]
    assert 0 < misses[1] and misses[1] / misses[0] == pytest.approx(0.01, rel=0.05)
    np.testing.assert_allclose(leave_one_out(X @ X.T, residual, 1e12), residual, rtol=1e-9)


@pytest.mark.parametrize("ridge", [0, 1e-10, 1e-18, 1e-100])
def test_rounding_errors_are_no_eigenvalues(ridge):
    """Least squares on many small samples: of a rank, and not of what rounding adds to it."""
    rng = np.random.default_rng(0)
    for n in range(3, 8):
        for d in [*range(1, n)] * 20:
            X, y = rng.standard_normal((n, d)), rng.standard_normal(n)
            if worst_condition(X) > 100:
                continue
            expected = refitted(linear_regression.finetune, X, y, np.zeros(d), ridge=ridge)
            errors = leave_one_out(X @ X.T, y, ridge)
            np.testing.assert_allclose(errors, expected, rtol=0, atol=slack(X, y))


@pytest.mark.parametrize(("share", "counts"), [(0.99, False), (1.01, True)])
@pytest.mark.parametrize("kind", ["float64", "float32"])
def test_what_counts_as_an_eigenvalue_of_the_kernel(kind, share, counts):
    """From 4nε of the largest on, in the precision of K: then the two twins tell each other."""
    K = np.eye(3)
    K[1:, 1:] = share * 4 * 3 * float(np.finfo(kind).eps) / 2
    errors = leave_one_out(K.astype(kind), [1.0, 2, 5])
    np.testing.assert_allclose(errors, [1, -3, 3] if counts else [1, 2, 5], rtol=1e-9)


def test_what_counts_as_positive_semi_definite():
    """Down to −1000 nε of the largest, an eigenvalue is the rounding of a zero."""
    limit, y = -1000 * 2 * EPS, [1.0, 2]
    assert leave_one_out(np.diag([1, 0.999 * limit]), y).tolist() == y
    with pytest.raises(ValueError, match="^K must be positive semi-definite, .* eigenvalue -4.4"):
        leave_one_out(np.diag([1, 1.001 * limit]), y)


def test_short_twins_count():
    """Of two parallel rows one is 10⁶ times as long as the other, which still tells its label."""
    rng = np.random.default_rng(0)
    X, theta = rng.standard_normal((4, 8)), rng.standard_normal(8)
    X[3] = 1e-6 * X[0]
    residual = X @ theta
    errors = leave_one_out(X @ X.T, residual)
    expected = refitted(linear_regression.finetune, X, residual, np.zeros(8))
    # The null vector holds 1e-6 of the long row, to ε: ten digits.
    np.testing.assert_allclose(errors, expected, rtol=0, atol=1e-9)
    assert abs(errors[0]) < 1e-9 < abs(errors[1])


@pytest.mark.parametrize("n", [4, 7, 8, 20])
@pytest.mark.parametrize("ridge", [0, 1e-3, 1.0])
def test_columns_of_any_scale_are_refitted(n, ridge):
    """Twelve orders of magnitude, against fifty digits: XXᵀ would keep none of the small columns.

    A row weighs its cofactors by up to the condition of the columns at one scale, some 100, and of
    what is left out of n ≈ d rows once more; that times the rounding of sixteen digits.
    """
    rng = np.random.default_rng(n)
    X = rng.standard_normal((n, 7)) * 10 ** np.linspace(-6, 6, 7)[rng.permutation(7)]
    sources = rng.standard_normal((3, 7)) / np.abs(X).max(axis=0)
    y = rng.standard_normal(n)
    scores = rank_sources(X, y, sources, ridge=ridge)[1]
    with mpmath.workdps(80):
        for source, score in zip(sources, scores, strict=True):
            squares = []
            for i in range(n):
                A, r = mpmath.matrix(np.delete(X, i, 0).tolist()), np.delete(y, i)
                start = mpmath.matrix(source.tolist())
                r = mpmath.matrix(r.tolist()) - A * start
                delta = mpmath.mpf(ridge) or mpmath.mpf(10) ** -50
                way = A.T * mpmath.lu_solve(A * A.T + delta * mpmath.eye(n - 1), r)
                squares.append((y[i] - (mpmath.matrix(X[i].tolist()).T * (start + way))[0]) ** 2)
            assert score == pytest.approx(float(sum(squares) / n), rel=1e-8)


def test_a_small_column_counts():
    """The second source is the teacher; the first fits it as well, by the small column alone."""
    X = np.array([[1e8, 1], [2e8, 1], [3e8, 2], [4e8, 1]])
    order, scores = rank_sources(X, X[:, 1], [[0, 0], [0, 1]])
    np.testing.assert_allclose(scores, 0, atol=1e-30)
    assert order.tolist() == [0, 1]


@pytest.mark.parametrize("ridge", [1e-8, 1e-10, 1e-12, 1e-100, 5e-324])
def test_a_row_that_no_other_determines_under_a_tiny_ridge(ridge):
    """The fourth alone says anything of the second weight: leverage 1. By hand: −2/7."""
    X, y = 100 * np.array([[1.0, 0], [2, 0], [3, 0], [1, 1]]), np.array([1.0, 0, 1, 0])
    expected = [10 / 13, -0.8, 0.4, -2 / 7]
    np.testing.assert_allclose(
        refitted(linear_regression.finetune, X, y, np.zeros(2)), expected, rtol=1e-12
    )
    np.testing.assert_allclose(leave_one_out(X @ X.T, y, ridge), expected, rtol=1e-9)
    _, (score,) = rank_sources(X, y, np.zeros((1, 2)), ridge=ridge)
    assert score == pytest.approx(np.mean(np.square(expected)), rel=1e-9)


@pytest.mark.parametrize("n", [10, 60, 300])
def test_many_samples_beside_one_that_no_other_determines(n):
    """What two projections leave of its leverage, some ε, is nothing for any number of samples."""
    rng = np.random.default_rng(n)
    for _ in range(5):
        X, y = rng.standard_normal((n, 6)), rng.standard_normal(n)
        X[1:, 5] = 0
        squares = [
            (y[i] - X[i] @ np.linalg.pinv(A) @ b) ** 2
            for i in range(n)
            for A, b in [without(i, X, y)]
        ]
        for ridge in 0, 1e-100:
            score = rank_sources(X, y, np.zeros((1, 6)), ridge=ridge)[1]
            assert score == pytest.approx(np.mean(squares), rel=1e-9)


@pytest.mark.parametrize("power", [3, 8, 20])
def test_dependent_rows_beside_one_that_no_other_touches(power):
    """By hand: the third is the sum of two others, and the fourth alone sees the last weight."""
    a = 2.0**-power
    X = np.array([[1, 2, 3, 0], [2, 1, 0, 1], [3, 3, 3, 1], [a, 0, -a, 3 * a]])
    y = np.array([1, 0, 2, a])
    with mpmath.workdps(60):
        squares = []
        for i in range(4):
            A, r = (
                mpmath.matrix(np.delete(X, i, 0).tolist()),
                mpmath.matrix(np.delete(y, i).tolist()),
            )
            delta = mpmath.mpf(10) ** -40
            way = A.T * mpmath.lu_solve(A * A.T + delta * mpmath.eye(3), r)
            squares.append((y[i] - (mpmath.matrix(X[i].tolist()).T * way)[0]) ** 2)
    _, (score,) = rank_sources(X, y, np.zeros((1, 4)))
    assert score == pytest.approx(float(sum(squares) / 4), rel=1e-6)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_the_order_survives_where_squares_do_not(size):
    X, y = [[1, 0], [2, 0], [0, 1]], size * np.array([1.0, 2, 5])
    assert rank_sources(X, y, [[0, 0], [0, 4 * size]])[0].tolist() == [1, 0]


@pytest.mark.filterwarnings("error")
def test_a_ridge_that_is_endless_beside_the_inputs_stays_at_the_source():
    X = 1e-200 * np.array([[1, 0], [2, 0], [0, 1]])
    _, scores = rank_sources(X, [1, 2, 5], [[0, 0], [0, 4e200]], ridge=1e-12)
    np.testing.assert_allclose(scores, [10, 2])


def test_an_outlier_is_predicted_from_the_others():
    """Its leverage is 1 − 3·10⁻¹⁶, and it is the others that determine what is expected of it."""
    x, y = np.array([1, 1, 1, 1e8]), np.array([1.0, 2, 3, 4])
    expected = [
        y[i] - x[i] * (np.delete(x * y, i).sum() / np.delete(x * x, i).sum()) for i in range(4)
    ]
    _, (score,) = rank_sources(x[:, None], y, [[0.0]])
    assert score == pytest.approx(np.mean(np.square(expected)), rel=1e-12)


def test_single_precision_has_the_rank_it_was_given():
    """Rows that depend on each other, and kernels that are not quite positive, up to rounding."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((12, 4)) @ rng.standard_normal((4, 9))
    y, sources = rng.standard_normal(12), rng.standard_normal((2, 9))
    expected = rank_sources(X, y, sources)[1]
    np.testing.assert_allclose(
        rank_sources(X.astype("float32"), y, sources)[1], expected, rtol=1e-4
    )
    errors = leave_one_out(X @ X.T, y)
    single = X.astype("float32")
    np.testing.assert_allclose(leave_one_out(single @ single.T, y), errors, rtol=0, atol=1e-3)


@pytest.mark.parametrize(("n", "d"), [(6, 1000), (10, 300)])
def test_a_row_that_no_other_determines_in_single_precision(n, d):
    """Rounding adds up over columns of one sign, and is still told from what the others say."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        X = rng.uniform(0, 1, (n, 3)) @ rng.uniform(0, 1, (3, d))
        X[0], y = rng.uniform(0, 1, d), rng.standard_normal(n)
        expected = np.mean(refitted(linear_regression.finetune, X, y, np.zeros(d)) ** 2)
        for rounded in X, X.astype("float32"):
            (score,) = rank_sources(rounded, y, np.zeros((1, d)))[1]
            assert score == pytest.approx(expected, rel=1e-4)  # as above


@pytest.mark.parametrize("n", [2, 6, 20])
def test_wide_relu_networks_are_refitted_too(n):
    rng = np.random.default_rng(n)
    X, residual = rng.standard_normal((n, 6)), rng.standard_normal((n, 3))
    expected = [residual[i] - relu.finetune(*without(i, X, residual), X[[i]])[0] for i in range(n)]
    H = relu.ntk(X)
    atol = 1e4 * EPS * np.linalg.cond(H)
    np.testing.assert_allclose(leave_one_out(H, residual), expected, rtol=0, atol=atol)


# Sources in order


@given(cases(), st.sampled_from([0, 0.1]))
def test_scores_are_mean_squares_of_refits(case, ridge):
    X, y, sources = case
    sources[0] = 0  # from scratch
    ridge *= np.abs(X).max() ** 2
    order, scores = rank_sources(X, y, sources, ridge=ridge)
    errors = [refitted(linear_regression.finetune, X, y, source, ridge=ridge) for source in sources]
    expected = np.sqrt(np.mean(np.square(errors), axis=1))
    atol = slack(X, y[:, None] - X @ sources.T)
    np.testing.assert_allclose(np.sqrt(scores), expected, rtol=0, atol=atol)
    assert_ordered(order, scores, np.abs(y).max())


@settings(max_examples=200)
@given(independent_cases(), st.sampled_from(DEPTHS))
def test_deep_scores_are_mean_squares_of_refits(case, depth):
    X, y, sources = case
    order, scores = rank_sources(X, y, sources, depth=depth)
    errors = [refitted(deep_linear.finetune, X, y, source, depth) for source in sources]
    expected = np.sqrt(np.mean(np.square(errors), axis=1))
    # What is unseen grows by up to ‖P_∥θ_T‖/‖P_∥θ_S‖, of which the seen part is 0.1 at least.
    growth = 100 * (1 + np.linalg.norm(np.linalg.pinv(X) @ y) / np.linalg.norm(sources, axis=1))
    assert (np.abs(np.sqrt(scores) - expected) <= growth * slack(X, (*y, *sources.flat))).all()
    assert_ordered(order, scores, np.abs(y).max())


def test_depth_one_is_linear_regression_and_depth_grows_from_there():
    rng = np.random.default_rng(0)
    X, y, sources = rng.standard_normal((5, 9)), rng.standard_normal(5), rng.standard_normal((3, 9))
    plain, *deeper, deepest = (
        rank_sources(X, y, sources, depth=L)[1] for L in (1, 2, 10, 10**4, math.inf)
    )
    np.testing.assert_array_equal(plain, rank_sources(X, y, sources)[1])
    assert (np.abs(deeper[0] / plain - 1) > 1e-3).all()
    np.testing.assert_allclose(deeper[-1], deepest, rtol=1e-2)
    # Of a source and its multiples, a deep network starts from another norm.
    np.testing.assert_allclose(rank_sources(X, y, 3 * sources, depth=math.inf)[1], deepest)


def test_scores_of_a_kernel_are_those_of_its_network():
    rng = np.random.default_rng(0)
    X, y, sources = rng.standard_normal((8, 4)), rng.standard_normal(8), rng.standard_normal((3, 4))
    residual = y[:, None] - X @ sources.T
    for ridge in 0, 0.3:
        expected = np.mean(leave_one_out(relu.ntk(X), residual, ridge) ** 2, axis=0)
        order, scores = rank_sources(X, y, sources, ridge=ridge, kernel=relu.ntk)
        np.testing.assert_allclose(scores, expected, rtol=1e-12)
        np.testing.assert_array_equal(order, np.argsort(scores))
    refits = [residual[i] - relu.finetune(*without(i, X, residual), X[[i]])[0] for i in range(8)]
    scores = rank_sources(X, y, sources, kernel=relu.ntk)[1]
    np.testing.assert_allclose(scores, np.mean(np.square(refits), axis=0), rtol=1e-9)


@given(independent_cases(), st.sampled_from((*DEPTHS, "ridge")), seeds)
def test_what_does_not_matter_changes_nothing(case, depth, seed):
    """Units of inputs and of labels, the axes, and the order of samples and of sources."""
    X, y, sources = case
    rng = np.random.default_rng(seed)
    n, d = X.shape
    ridge, depth = (0.1, 1) if depth == "ridge" else (0.0, depth)
    scores = rank_sources(X, y, sources, ridge=ridge, depth=depth)[1]
    # As above; the scores are squares.
    growth = 100 * (1 + np.linalg.norm(np.linalg.pinv(X) @ y) / np.linalg.norm(sources, axis=1))
    atol = growth * slack(X, (*y, *sources.flat))
    atol = atol * (2 * np.sqrt(scores) + atol)

    def same(X, y, sources, expected, atol, ridge=ridge):
        order, found = rank_sources(X, y, sources, ridge=ridge, depth=depth)
        assert (np.abs(found - expected) <= atol).all()
        assert_ordered(order, found, np.abs(y).max())

    a, c = 10 ** rng.uniform(-5, 5, 2)
    same(a * X, y, sources / a, scores, atol, a**2 * ridge)
    same(X, c * y, c * sources, c**2 * scores, c**2 * atol)
    Q, rows, which = rotation(d, seed), rng.permutation(n), rng.permutation(len(sources))
    same(X @ Q, y, sources @ Q, scores, atol)
    same(X[rows], y[rows], sources, scores, atol)
    same(X, y, sources[which], scores[which], atol[which])


def test_ties_keep_the_given_order():
    """With rows of the identity and labels 1, errors are 1 − θ: of 0 and 2, the same squares."""
    rng = np.random.default_rng(0)
    sources = rng.choice([0.0, 2], (100, 4))
    order, scores = rank_sources(np.eye(4), np.ones(4), sources)
    assert (scores == 1).all() and order.tolist() == list(range(100))
    sources[::3] = 3
    order, scores = rank_sources(np.eye(4), np.ones(4), sources)
    assert order.tolist() == sorted(range(100), key=lambda k: k % 3 == 0)


# What the scores estimate


@pytest.mark.parametrize(
    ("n", "noise", "ridge", "depth"),
    [(6, 0, 0, 1), (6, 0.5, 0, 1), (6, 0.5, 0.5, 1), (16, 0.5, 0, 1), (6, 0.5, 0, 2)],
)
def test_scores_are_unbiased_for_the_risk_on_one_sample_less(n, noise, ridge, depth):
    """E score = E R(n − 1) + σ², for each source; every sample gives an estimate of both."""
    d, rng = 8, np.random.default_rng(0)
    population = Population(Population.power_law(d, 1).eigenvalues, rotation(d, 0))
    target, *sources = rng.standard_normal((4, d))
    problem, differences = TransferProblem(population, np.zeros(d), target), []
    for _ in range(2000 if depth == 1 else 400):
        X, y = problem.sample(n, rng, noise)
        scores = rank_sources(X, y, sources, ridge=ridge, depth=depth)[1]
        if depth == 1:
            ends = [
                linear_regression.finetune(X[1:], y[1:], source, ridge=ridge) for source in sources
            ]
        else:
            ends = [deep_linear.finetune(X[1:], y[1:], source, depth) for source in sources]
        differences.append(scores - problem.risk(ends))
    assert np.abs(z_scores(differences, noise**2)).max() < 4.5


@pytest.mark.parametrize("options", [{}, {"depth": 2}, {"depth": math.inf}, {"kernel": relu.ntk}])
def test_the_teacher_itself_is_always_chosen(options):
    """It has nothing to learn: a score of 0 up to rounding, (ε cond(K))²."""
    rng = np.random.default_rng(0)
    for _ in range(100):
        X, sources = rng.standard_normal((5, 8)), rng.standard_normal((6, 8))
        sources[::2] = sources[3] + 1e-3 * sources[::2]  # others are close
        order, scores = rank_sources(X, X @ sources[3], sources, **options)
        assert order[0] == 3 and scores[3] < 1e-18 < 1e-9 < np.delete(scores, 3).min()


# Bad input

X, Y, SOURCES, K = np.eye(3)[:2], np.ones(2), np.ones((4, 3)), np.eye(2)
NAN, INF = np.nan, np.inf


@pytest.mark.parametrize(
    ("call", "argument", "error"),
    [
        (lambda: leave_one_out(np.ones((2, 3)), Y), "K", ValueError),
        (lambda: leave_one_out(np.ones(2), Y), "K", ValueError),
        (lambda: leave_one_out([[1.0]], [1.0]), "K", ValueError),
        (lambda: leave_one_out(np.ones((0, 0)), []), "K", ValueError),
        (lambda: leave_one_out([[1, 1e-6], [0, 1]], Y), "K", ValueError),
        (lambda: leave_one_out(-K, Y), "K", ValueError),
        (lambda: leave_one_out(np.diag([1, -1e-9]), Y), "K", ValueError),
        (lambda: leave_one_out(np.diag([1, -1e-9]), Y, 1), "K", ValueError),
        (lambda: leave_one_out(np.diag([1, NAN]), Y), "K", ValueError),
        (lambda: leave_one_out(np.diag([1, INF]), Y), "K", ValueError),
        (lambda: leave_one_out([["a", "b"]] * 2, Y), "K", TypeError),
        (lambda: leave_one_out(1j * K, Y), "K", TypeError),
        (lambda: leave_one_out([[1, 0], [1]], Y), "K", TypeError),
        (lambda: leave_one_out(K, np.ones(3)), "residual", ValueError),
        (lambda: leave_one_out(K, np.ones((3, 2))), "residual", ValueError),
        (lambda: leave_one_out(K, np.ones((2, 1, 1))), "residual", ValueError),
        (lambda: leave_one_out(K, 1.0), "residual", ValueError),
        (lambda: leave_one_out(K, [1, NAN]), "residual", ValueError),
        (lambda: leave_one_out(K, "ab"), "residual", TypeError),
        (lambda: leave_one_out(K, [[1, 2], [1]]), "residual", TypeError),
        (lambda: leave_one_out(K, Y, -1e-9), "ridge", ValueError),
        (lambda: leave_one_out(K, Y, NAN), "ridge", ValueError),
        (lambda: leave_one_out(K, Y, -INF), "ridge", ValueError),
        (lambda: leave_one_out(K, Y, "1"), "ridge", TypeError),
        (lambda: leave_one_out(K, Y, [1.0]), "ridge", TypeError),
        (lambda: rank_sources(X[:1], Y[:1], SOURCES), "X", ValueError),
        (lambda: rank_sources(np.ones(3), Y, SOURCES), "X", ValueError),
        (lambda: rank_sources(np.ones((0, 3)), [], SOURCES), "X", ValueError),
        (lambda: rank_sources(np.ones((2, 0)), Y, np.ones((1, 0))), "X", ValueError),
        (lambda: rank_sources(NAN * X, Y, SOURCES), "X", ValueError),
        (lambda: rank_sources([["a", "b"]] * 2, Y, SOURCES), "X", TypeError),
        (lambda: rank_sources(X, np.ones(3), SOURCES), "y", ValueError),
        (lambda: rank_sources(X, np.ones((2, 1)), SOURCES), "sources", ValueError),
        (lambda: rank_sources(X, [1, INF], SOURCES), "y", ValueError),
        (lambda: rank_sources(X, "ab", SOURCES), "y", TypeError),
        (lambda: rank_sources(X, Y, np.ones(3)), "sources", ValueError),
        (lambda: rank_sources(X, Y, np.ones((4, 2))), "sources", ValueError),
        (lambda: rank_sources(X, Y, np.ones((0, 3))), "sources", ValueError),
        (lambda: rank_sources(X, Y, [[1, 2, NAN]]), "sources", ValueError),
        (lambda: rank_sources(X, Y, None), "sources", TypeError),
        (lambda: rank_sources(X, Y, [["a", "b", "c"]]), "sources", TypeError),
        (
            lambda: rank_sources(X, Y, SOURCES * [[0], [1], [1], [1]], depth=2),
            "sources",
            ValueError,
        ),
        (lambda: rank_sources(X, Y, SOURCES, ridge=-1.0), "ridge", ValueError),
        (lambda: rank_sources(X, Y, SOURCES, ridge="1"), "ridge", TypeError),
        (lambda: rank_sources(X, Y, SOURCES, depth=0), "depth", ValueError),
        (lambda: rank_sources(X, Y, SOURCES, depth=-INF), "depth", TypeError),
        (lambda: rank_sources(X, Y, SOURCES, depth=1.5), "depth", TypeError),
        (lambda: rank_sources(X, Y, SOURCES, depth=NAN), "depth", TypeError),
        (lambda: rank_sources(X, Y, SOURCES, depth="2"), "depth", TypeError),
        (lambda: rank_sources(X, Y, SOURCES, depth=None), "depth", TypeError),
        (lambda: rank_sources(X, Y, SOURCES, ridge=0.1, depth=2), "depth", ValueError),
        (lambda: rank_sources(X, Y, SOURCES, depth=2, kernel=relu.ntk), "depth", ValueError),
        (lambda: rank_sources(X, Y, SOURCES, depth=INF, kernel=relu.ntk), "depth", ValueError),
        (lambda: rank_sources(np.ones((2, 3)), Y, SOURCES, depth=2), "X", ValueError),
        (lambda: rank_sources(np.ones((4, 3)), np.ones(4), SOURCES, depth=2), "X", ValueError),
    ],
)
def test_bad_input_is_named(call, argument, error):
    with pytest.raises(error, match=rf"^{argument} must"):
        call()


def test_arguments_are_left_alone_and_any_arrays_will_do():
    rng = np.random.default_rng(0)
    arrays = X, y, sources = [rng.standard_normal(shape) for shape in ((4, 6), 4, (3, 6))]
    K = X @ X.T
    for array in (*arrays, K):
        array.flags.writeable = False
    for ridge in 0, 0.1:
        expected = leave_one_out(K, y, ridge)
        np.testing.assert_array_equal(leave_one_out(K.tolist(), y.tolist(), ridge), expected)
    for depth in 1, 2:
        order, scores = rank_sources(*arrays, depth=depth)
        assert order.dtype.kind == "i" and order.shape == scores.shape == (3,)
        again = rank_sources(*(array.tolist() for array in arrays), depth=depth)
        np.testing.assert_allclose(again[1], scores, rtol=1e-12)


def test_nothing_to_learn_from_leaves_the_source_as_it_is():
    residual = np.array([1.0, -2.0, 3.0])
    np.testing.assert_array_equal(leave_one_out(np.zeros((3, 3)), residual), residual)
    np.testing.assert_array_equal(leave_one_out(np.zeros((3, 3)), residual, 0.5), residual)
    _, scores = rank_sources(np.zeros((2, 3)), [1.0, 2.0], np.ones((1, 3)))
    np.testing.assert_allclose(scores, 2.5)


def test_sources_must_be_seen_at_infinite_depth():
    with pytest.raises(ValueError, match=r"^sources must"):
        rank_sources(np.eye(3)[:2], np.ones(2), np.eye(3)[:1], depth=math.inf)
    turned = rotation(8, 0)[:4]  # what rounding leaves in the rows of a source outside is nothing
    with pytest.raises(ValueError, match=r"^sources must"):
        rank_sources(turned[:3], np.ones(3), turned[3:], depth=math.inf)


@pytest.mark.parametrize(
    "kernel", [3, lambda X: np.eye(len(X) + 1), lambda X: X[:, 0], lambda X: -np.eye(len(X))]
)
def test_bad_kernels_are_named(kernel):
    with pytest.raises((TypeError, ValueError), match=r"^kernel(\(X\))? must"):
        rank_sources(np.eye(3)[:2], np.ones(2), np.eye(3)[:1], kernel=kernel)


# prop-shelf


def mixture(X, y, sources, strength, ridge):
    """Minimise ‖Xθ − y‖² + δ(‖w‖²/t + ‖rest‖²), as one least-squares problem."""
    n, d = X.shape
    s = len(sources)
    root = math.sqrt(ridge)
    weigh = 0.0 if math.isinf(strength) else root / math.sqrt(strength)
    A = np.block(
        [
            [X @ sources.T, X],
            [weigh * np.eye(s), np.zeros((s, d))],
            [np.zeros((d, s)), root * np.eye(d)],
        ]
    )
    solution = np.linalg.lstsq(A, np.concatenate([y, np.zeros(s + d)]), rcond=None)[0]
    return solution[:s] @ sources + solution[s:], solution[:s]


@given(seeds, st.sampled_from([1e-2, 0.5, 30.0, math.inf]), st.sampled_from([1e-3, 1.0, 50.0]))
@settings(max_examples=60, deadline=None)
def test_a_combination_is_that_of_least_squares_and_its_score_of_refitting(seed, strength, ridge):
    rng = np.random.default_rng(seed)
    n, d, s = rng.integers([6, 2, 1], [15, 20, 4])
    X, sources = rng.standard_normal((n, d)), rng.standard_normal((s, d))
    y = X @ rng.standard_normal(d) + rng.standard_normal(n)
    found = combine(X, y, sources, strengths=[strength], ridges=[ridge])
    theta, weights = mixture(X, y, sources, strength, ridge)
    np.testing.assert_allclose(found.theta, theta, rtol=1e-7, atol=1e-8 * np.linalg.norm(theta))
    if s <= d:
        np.testing.assert_allclose(found.weights, weights, rtol=1e-6, atol=1e-7)
    errors = [
        y[i] - X[i] @ mixture(np.delete(X, i, 0), np.delete(y, i), sources, strength, ridge)[0]
        for i in range(n)
    ]
    assert found.score == pytest.approx(np.mean(np.square(errors)), rel=1e-6)


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_the_best_of_the_grid_is_chosen(seed):
    rng = np.random.default_rng(seed)
    X, sources = rng.standard_normal((10, 15)), rng.standard_normal((3, 15))
    y = X @ (sources[0] * rng.uniform(0, 1) + rng.standard_normal(15) / 3)
    strengths, ridges = [0, 0.1, 1, 10, math.inf], [0.1, 1, 10]
    scores = {
        (t, r): combine(X, y, sources, strengths=[t], ridges=[r]).score
        for t in strengths
        for r in ridges
    }
    found = combine(X, y, sources, strengths=strengths, ridges=ridges)
    assert found.score == min(scores.values()) == scores[found.strength, found.ridge]


def test_corners_of_combining():
    rng = np.random.default_rng(0)
    X, sources = rng.standard_normal((12, 20)), rng.standard_normal((3, 20))
    y = X @ rng.standard_normal(20)
    scratch = combine(X, y, sources, strengths=[0], ridges=[2.0])
    np.testing.assert_allclose(
        scratch.theta, linear_regression.finetune(X, y, np.zeros(20), ridge=2.0)
    )
    assert not scratch.weights.any()
    errors = leave_one_out(X @ X.T, y, 2.0)
    assert scratch.score == pytest.approx(np.mean(errors**2))
    # A target made of the sources is found, whatever else there is to choose from.
    whole = combine(X, X @ ([2, -1, 0.5] @ sources), sources)
    np.testing.assert_allclose(whole.weights, [2, -1, 0.5], atol=1e-6)
    assert whole.strength == math.inf
    # One source: its scale; twins share it; the same in any order.
    twice = combine(X, 0.4 * X @ sources[0], sources[[0, 0]])
    np.testing.assert_allclose(twice.weights, [0.2, 0.2], atol=1e-6)
    one, other = (combine(X, y, sources[order]) for order in ([0, 1, 2], [2, 0, 1]))
    np.testing.assert_allclose(one.theta, other.theta, rtol=1e-8)
    np.testing.assert_allclose(one.weights[[2, 0, 1]], other.weights, rtol=1e-7)


@pytest.mark.parametrize("a, b", [(1e100, 1.0), (1e-100, 1e-50), (1.0, 1e100)])
def test_units_do_not_matter_when_combining(a, b):
    rng = np.random.default_rng(1)
    X, sources = rng.standard_normal((9, 12)), rng.standard_normal((2, 12))
    y = X @ (sources[0] + rng.standard_normal(12) / 2)
    plain, moved = combine(X, y, sources), combine(a * X, b * y, sources * (b / a))
    np.testing.assert_allclose(moved.theta / (b / a), plain.theta, rtol=1e-9)
    np.testing.assert_allclose(moved.weights, plain.weights, rtol=1e-9)
    assert moved.ridge / a / a == pytest.approx(plain.ridge)


def test_combining_beats_choosing_where_the_target_is_a_mixture():
    """Half of two sources and something else; 12 labels; against the best single source."""
    ratios = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        sources = rng.standard_normal((6, 40))
        target = (sources[0] + sources[1]) / 2 + rng.standard_normal(40) / 4
        X = rng.standard_normal((12, 40))
        found = combine(X, X @ target, sources)
        singles = [
            np.linalg.norm(linear_regression.finetune(X, X @ target, one) - target)
            for one in sources
        ]
        ratios.append(np.linalg.norm(found.theta - target) / min(singles))
    assert np.mean(ratios) < 0.85


@pytest.mark.parametrize(
    "wrong, name",
    [
        ({"X": [[1.0, 2]], "y": [1.0]}, "X"),
        ({"y": [1.0]}, "y"),
        ({"sources": np.ones((1, 3))}, "sources"),
        ({"sources": np.ones((0, 2))}, "sources"),
        ({"strengths": [-1.0]}, "strengths"),
        ({"strengths": []}, "strengths"),
        ({"ridges": [0.0]}, "ridges"),
        ({"ridges": [math.inf]}, "ridges"),
    ],
)
def test_bad_combinations_are_named(wrong, name):
    good = {"X": np.eye(2), "y": [1.0, 2], "sources": np.ones((1, 2))}
    with pytest.raises(ValueError, match=f"^{name} must"):
        combine(**good | wrong)


def test_sources_that_explain_every_sample_have_no_score():
    """Two free weights and two samples: nothing is left to judge by."""
    found = combine(np.eye(2), [1.0, 2], np.eye(2), strengths=[math.inf], ridges=[1.0])
    assert found.score == math.inf
    np.testing.assert_allclose(found.theta, [1, 2])


def test_of_equally_good_mixtures_the_most_cautious_is_taken():
    """The least t, then the largest δ."""
    X, sources = np.array([[1.0, 0], [0, 1], [1, 1]]), np.array([[2.0, 4]])
    nothing = combine(X, np.zeros(3), sources, strengths=[1, 0, math.inf], ridges=[1, 9, 3])
    assert (nothing.strength, nothing.ridge, nothing.score) == (0, 9, 0)
    exact = combine(X, X @ sources[0], sources, strengths=[0, math.inf], ridges=[1, 9, 3])
    assert (exact.strength, exact.ridge) == (math.inf, 9)


def test_as_many_sources_as_samples_are_never_fitted_freely():
    """They interpolate any labels, and then no sample tells of another: only a finite t can.

    The sources are much alike, so that rounding errors look like something to be told.
    """
    rng = np.random.default_rng(0)
    for n in 3, 5:
        X, y, sources = (rng.standard_normal(shape) for shape in ((n, 9), n, (6, 9)))
        sources = sources[0] + 1e-3 * sources
        assert combine(X, y, sources, strengths=[math.inf]).score == math.inf
        chosen = [combine(X * (1 + 1e-13 * k), y, sources) for k in range(20)]
        assert all(math.isfinite(c.strength) for c in chosen)
        for other in chosen[1:]:
            np.testing.assert_allclose(other.theta, chosen[0].theta, rtol=1e-5, atol=1e-7)
