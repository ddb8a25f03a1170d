"""lib.row_space against fifty digits: any rank, any shape, and columns of any scale."""

import tracemalloc
from functools import partial

import hypothesis.strategies as st
import mpmath
import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from strategies import EPS, rotation, seeds

import lib.row_space
from lib.row_space import RowSpace, left_vectors, row_space


@st.composite
def matrices(draw):
    """Columns over up to twelve orders of magnitude; the rank, full or not, is returned."""
    n, d = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    rank = draw(st.integers(1, min(n, d)))
    rng = np.random.default_rng(draw(seeds))
    X = rng.standard_normal((n, d))
    if rank < min(n, d):  # of integers, so that no rounding adds to the rank
        X = (rng.integers(-9, 10, (n, rank)) @ rng.integers(-9, 10, (rank, d))).astype(float)
        rank = np.linalg.matrix_rank(X)
    decades = draw(st.sampled_from([0, 3, 12]))
    columns = 2.0 ** rng.integers(-2 * decades, 2 * decades + 1, d)
    return X * columns, rank


@settings(max_examples=300)
@given(matrices())
def test_factors_multiply_to_the_matrix_column_by_column(case):
    """Each column up to some rounding errors of its own length, whatever that of the others."""
    X, rank = case
    U, s, Vt = row_space(X)
    assert s.size == rank and (np.diff(s) <= 0).all() and (s > 0).all()
    np.testing.assert_allclose(U.T @ U, np.eye(rank), atol=50 * EPS)
    np.testing.assert_allclose(Vt @ Vt.T, np.eye(rank), atol=50 * EPS)
    heights = np.abs(X).max(axis=0)
    miss = np.abs((U * s) @ Vt - X) / np.where(heights > 0, heights, 1)
    # An ordinary decomposition keeps 1e-6 of the largest to ten digits.
    assert miss.max() < 1e-9


@settings(max_examples=50)
@given(matrices())
def test_small_singular_values_have_all_their_digits(case):
    X, rank = case
    with mpmath.workdps(60):
        S = mpmath.svd_r(mpmath.matrix(X.tolist()), compute_uv=False)
        exact = np.sort([float(x) for x in S])[::-1][:rank]
    np.testing.assert_allclose(row_space(X)[1], exact, rtol=1e-9)


@pytest.mark.parametrize("shape", [(4, 7), (7, 4), (6, 6)])
def test_small_rows_keep_their_digits(shape):
    rng = np.random.default_rng(0)
    for _ in range(5):
        X = rng.standard_normal(shape) * 10.0 ** rng.uniform(-5, 5, (shape[0], 1))
        with mpmath.workdps(60):
            S = mpmath.svd_r(mpmath.matrix(X.tolist()), compute_uv=False)
            exact = np.sort([float(x) for x in S])[::-1]
        for s in row_space(X)[1], left_vectors(X)[1]:
            np.testing.assert_allclose(s, exact, rtol=1e-9)  # as above


@given(matrices())
def test_left_vectors_are_those_of_the_whole(case):
    """They span the same space, weighted alike: any function of XXᵀ tells, here its square root."""
    X, rank = case
    (U, s), (whole, t, _) = left_vectors(X), row_space(X)
    assert s.size == t.size == rank
    np.testing.assert_allclose(s, t, rtol=1e-9)
    np.testing.assert_allclose((U * s) @ U.T, (whole * t) @ whole.T, atol=1e-9 * t[:1].sum())
    np.testing.assert_allclose(U @ U.T, whole @ whole.T, atol=1e-9)


def test_the_column_space_does_not_depend_on_the_scale_of_the_columns():
    rng = np.random.default_rng(0)
    Z = rng.standard_normal((30, 6))
    Z[:, 5] = Z[:, 0] - Z[:, 1]
    Q = scipy.linalg.orth(Z)
    for scales in 10.0 ** rng.uniform(-6, 6, (20, 6)):
        for U in row_space(Z * scales)[0], left_vectors(Z * scales)[0]:
            np.testing.assert_allclose(U @ U.T, Q @ Q.T, atol=1e-13)


def test_columns_over_sixty_orders_of_magnitude_all_count():
    rng = np.random.default_rng(0)
    Z = rng.standard_normal((6, 4))
    X = Z * 10.0 ** np.array([-30, 10, 30, -10])
    U, s, Vt = row_space(X)
    assert s.size == left_vectors(X)[1].size == 4
    np.testing.assert_allclose((U * s) @ Vt, X, rtol=1e-12)
    Q = np.linalg.qr(Z)[0]
    for vectors in U, left_vectors(X)[0]:
        np.testing.assert_allclose(vectors @ vectors.T, Q @ Q.T, atol=1e-13)


@pytest.mark.parametrize("scale", [1, 1e150])
def test_columns_over_all_of_double_precision_count(scale):
    lengths = np.append(np.ones(7), 3e-308)
    X = scale * np.diag(lengths)
    for s in row_space(X)[1], left_vectors(X)[1]:
        np.testing.assert_allclose(s / scale, lengths, rtol=1e-12)


@pytest.mark.parametrize("function", [row_space, left_vectors])
@pytest.mark.parametrize("shape", [(2000, 2), (2, 2000)])
def test_memory_is_some_copies_of_the_matrix(function, shape):
    """Where the scale of rows or columns asks for the costly ways; n × n or d × d are 1000 X."""
    X = np.random.default_rng(0).standard_normal(shape)
    X *= [[1], [1e-9]] if shape[0] == 2 else [1, 1e-9]
    tracemalloc.start()
    function(X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= 10 * X.nbytes


def test_the_costly_decompositions_are_for_where_they_are_needed(monkeypatch):
    """One that is ordinary for a condition below 10⁶, and none of X for left vectors, below 10²."""

    def unexpected(*args, **options):
        raise AssertionError("called")

    Q, V = rotation(40, 0), rotation(60, 1)[:, :40]
    monkeypatch.setattr(scipy.linalg.lapack, "dgejsv", unexpected)
    s = np.logspace(0, -5, 40)
    np.testing.assert_allclose(row_space((Q * s) @ V.T)[1], s, rtol=1e-9)
    beside_nothing = np.insert((Q * s) @ V.T, 7, 0, axis=1)
    np.testing.assert_allclose(row_space(beside_nothing)[1], s, rtol=1e-9)
    monkeypatch.setattr(scipy.linalg, "svd", unexpected)
    s = np.logspace(0, -1.9, 40)
    np.testing.assert_allclose(left_vectors((Q * s) @ V.T)[1], s, rtol=1e-9)
    s, half = np.linspace(1, 0.25, 40), float(np.finfo("float16").eps)
    np.testing.assert_allclose(left_vectors((Q * s) @ V.T, half)[1], s, rtol=1e-9)


@pytest.mark.parametrize("scale", [1e-200, 1, 1e200])
def test_any_unit_will_do(scale):
    X = np.random.default_rng(0).standard_normal((4, 7))
    expected = np.linalg.svd(X, compute_uv=False)
    for s in row_space(scale * X)[1], left_vectors(scale * X)[1]:
        np.testing.assert_allclose(s / scale, expected, rtol=1e-12)
    for shape in (3, 5), (5, 3):
        U, s, Vt = row_space(np.zeros(shape))
        assert U.shape == (shape[0], 0) and s.shape == (0,) and Vt.shape == (0, shape[1])
        U, s = left_vectors(np.zeros(shape))
        assert U.shape == (shape[0], 0) and s.shape == (0,)


def test_rank_is_that_of_the_precision_that_was_given():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 5)) @ rng.standard_normal((5, 20))
    rounded = X.astype("float32").astype(float)
    single = float(np.finfo("float32").eps)
    assert row_space(X)[1].size == 5 and row_space(rounded)[1].size == 20
    assert row_space(rounded, single)[1].size == left_vectors(rounded, single)[1].size == 5


@pytest.mark.parametrize("n, d, rank", [(4, 9, 4), (9, 4, 4), (6, 8, 3), (5, 5, 5)])
def test_verbs_against_least_squares(n, d, rank):
    """For any number of right sides, by NumPy's pseudo-inverse and by solving."""
    rng = np.random.default_rng(n)
    X = rng.standard_normal((n, rank)) @ rng.standard_normal((rank, d))
    space, P = RowSpace(X), np.linalg.pinv(X) @ X
    theta, y = rng.standard_normal((2, 3, d)), rng.standard_normal((2, 3, n))
    np.testing.assert_allclose(space.seen(theta) @ space.Vt, theta @ P, atol=1e-12)
    np.testing.assert_allclose(space.unseen(theta), theta - theta @ P, atol=1e-12)
    assert np.abs(space.seen(space.unseen(theta))).max() < 1e-15
    fitted = space.fitted(y) @ space.Vt
    np.testing.assert_allclose(fitted, y @ np.linalg.pinv(X).T, atol=1e-12)
    held = np.linalg.solve(X.T @ X + 0.3 * np.eye(d), X.T @ y[0].T).T
    np.testing.assert_allclose(space.fitted(y[0], 0.3) @ space.Vt, held, atol=1e-12)
    times = np.array([0.0, 0.7, 5.0])
    for one, at in zip(space.flow(y[0, 0], times) @ space.Vt, times, strict=True):
        decay = scipy.linalg.expm(-at * X.T @ X / n)
        np.testing.assert_allclose(one, fitted[0, 0] - decay @ fitted[0, 0], atol=1e-12)


@pytest.mark.parametrize("ridge", [0.0, 0.5])
def test_left_out_errors_are_those_of_refits(ridge):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((6, 4)), rng.standard_normal((2, 3, 6))
    errors = RowSpace(X).leave_one_out(y, ridge)
    for i in range(6):
        others = np.arange(6) != i
        A = X[others].T @ X[others] + ridge * np.eye(4)
        theta = np.linalg.solve(A, X[others].T @ y[..., others].reshape(6, 5).T)
        expected = y[..., i] - (X[i] @ theta).reshape(2, 3)
        np.testing.assert_allclose(errors[..., i], expected, atol=1e-11)


def test_one_decomposition_and_none_of_what_is_not_asked_for(monkeypatch):
    calls = []
    for name in "row_space", "left_vectors":
        function = getattr(lib.row_space, name)
        counted = partial(lambda f, name, *args: calls.append(name) or f(*args), function, name)
        monkeypatch.setattr(lib.row_space, name, counted)
    X, y = np.random.default_rng(0).standard_normal((5, 8)), np.ones(5)
    space = RowSpace(X)
    space.leave_one_out(y)
    assert calls == ["left_vectors"]
    space.fitted(y), space.unseen(X), space.leave_one_out(y)
    assert calls == ["left_vectors", "row_space"]
