"""thm-ntk: the kernel against fifty digits and random weights, fine-tuning against networks.

An entry of the kernel is known to ROUNDING ‖x‖‖z‖. Cosines are known to a few ε, and the slope of
the arcsine makes up to 1/√(2·10⁻³)/(2π) = 3.6 times that of it, at the angle where the difference
of the rows takes over from their cosine. Measured: 7 ε.
"""

import tracemalloc

import hypothesis.strategies as st
import mpmath
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from sklearn.kernel_ridge import KernelRidge
from strategies import EPS, inputs, populations, rotation, sampled_problems, seeds, z_scores
from threadpoolctl import threadpool_limits

from lib import linear_regression, relu
from lib.networks import ShallowReLU
from lib.relu import correction_norm, finetune, learning_curve, ntk
from lib.training import empirical_ntk, train

ROUNDING = 16 * EPS
any_size = st.integers(1, 20)  # below, at and above the dimension, which is at most 12


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Keep to one thread: on arrays this small, several wait for each other."""
    with threadpool_limits(1):
        yield


def sphere(n, d, rng):
    """Return random rows of length 1."""
    X = rng.standard_normal((n, d))
    return X / np.linalg.norm(X, axis=1, keepdims=True)


def scales(X, Z):
    """Return ‖x‖‖z‖ for every pair."""
    return np.linalg.norm(X, axis=1)[:, None] * np.linalg.norm(Z, axis=1)


# The kernel


def errors(H, X, Z):
    """Return how far entries of H are from fifty digits, in units of ε‖x‖‖z‖; 0 must be exact."""
    with mpmath.workdps(50):
        sides = []
        for rows in X, Z:
            exact = [[mpmath.mpf(float(v)) for v in row] for row in rows]
            lengths = [mpmath.norm(row) for row in exact]
            sides.append(
                [([v / (s or 1) for v in row], s) for row, s in zip(exact, lengths, strict=True)]
            )
        result = np.zeros(H.shape)
        for i, (x, r) in enumerate(sides[0]):
            for j, (z, s) in enumerate(sides[1]):
                if r * s == 0:
                    assert H[i, j] == 0
                    continue
                apart = mpmath.norm([a - b for a, b in zip(x, z, strict=True)])
                along = mpmath.norm([a + b for a, b in zip(x, z, strict=True)])
                angle = 2 * mpmath.atan2(apart, along)
                exact = mpmath.fdot(x, z) * (mpmath.pi - angle) / (2 * mpmath.pi)
                result[i, j] = abs(mpmath.mpf(float(H[i, j])) / (r * s) - exact) / EPS
        return result


def awkward_rows(d, rng):
    """Return rows that are generic, zero, repeated, and close to each other's poles."""
    x, y = rng.standard_normal((2, d))
    near = [sign * x + 10.0**-k * rng.standard_normal(d) for k in range(1, 13) for sign in (1, -1)]
    return np.array([x, y, 0 * x, x, -x, 3 * x, -0.1 * y, *near])


@pytest.mark.filterwarnings("error")  # cosines beyond 1 are none
@pytest.mark.parametrize("d", [1, 2, 3, 10, 100])
def test_kernel_has_the_digits(d):
    """Also of identical, proportional, opposite, nearly parallel and nearly opposite rows."""
    rng = np.random.default_rng(d)
    X, Z = awkward_rows(d, rng), awkward_rows(d, rng)
    Z[:6] = X[:6]
    for other in X, Z:
        H = ntk(X) if other is X else ntk(X, other)
        assert errors(H, X, other).max() <= ROUNDING / EPS
    same = np.diag(ntk(X)) / np.maximum((X**2).sum(axis=1), 1e-300)
    np.testing.assert_allclose(same, np.where(X.any(axis=1), 0.5, 0), rtol=4 * EPS)


@pytest.mark.parametrize("d", [2, 3, 30])
def test_kernel_has_the_digits_where_the_difference_takes_over(d):
    """Angles around the one at which 1 − |cosine| = 1e-3."""
    rng = np.random.default_rng(d)
    X = np.stack([rng.standard_normal(d)] * 400)
    X += np.linspace(0.01, 0.1, 400)[:, None] * rotation(d, d)[rng.integers(0, d, 400)]
    X *= rng.choice([-1, 1], (400, 1))
    assert errors(ntk(X[:1], X), X[:1], X).max() <= ROUNDING / EPS


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("d", [1, 2, 30])
def test_kernel_has_the_digits_whatever_the_lengths(d):
    """No length over- or underflows: squares of 1e-170 would be 0, those of 1e170 infinite."""
    rng = np.random.default_rng(d)
    units = 10.0 ** np.array([-150, -150, -30, 0, 0, 30, 150, 150])[:, None]
    X = units * rng.standard_normal((8, d))
    X[1], X[7] = -1.5 * X[0], 1e300 * X[0]
    assert errors(ntk(X), X, X).max() <= ROUNDING / EPS
    x, z = 1e-200 * rng.standard_normal((1, d)), 1e200 * rng.standard_normal((3, d))
    assert errors(ntk(x, z), x, z).max() <= ROUNDING / EPS


def test_kernel_done_by_hand():
    """Angles 0, 60°, 90°, 120°, 180°."""
    X = [[2, 0], [1, 3**0.5], [0, 1], [-1, 3**0.5], [-2, 0]]
    np.testing.assert_allclose(ntk(X)[0], [2, 2 / 3, 0, -1 / 3, 0], atol=1e-15)


@given(sampled_problems(sizes=any_size), st.integers(1, 20), seeds)
def test_kernel_is_symmetric_and_made_of_blocks(case, n, seed):
    X = case[1]
    Z = np.random.default_rng(seed).standard_normal((n, X.shape[1]))
    both = np.vstack([X, Z])
    H = ntk(both)
    np.testing.assert_array_equal(H, H.T)
    for left, right, block in ((X, Z, H[: len(X), len(X) :]), (both, both, H)):
        error = np.abs(ntk(left, right) - block)
        assert (error <= ROUNDING * scales(left, right)).all()


@pytest.mark.parametrize("block", [1, 7, 40, 64, 100])
def test_kernel_does_not_depend_on_the_size_of_its_blocks(monkeypatch, block):
    rng = np.random.default_rng(0)
    X, Z = awkward_rows(5, rng), awkward_rows(5, rng)[:9]
    expected = ntk(X), ntk(X, Z)
    monkeypatch.setattr(relu, "_BLOCK", block)
    # Products of other shapes may sum in another order.
    np.testing.assert_allclose(ntk(X), expected[0], rtol=0, atol=ROUNDING * scales(X, X).max())
    np.testing.assert_allclose(ntk(X, Z), expected[1], rtol=0, atol=ROUNDING * scales(X, Z).max())
    np.testing.assert_array_equal(ntk(X), ntk(X).T)


def test_kernel_leaves_its_arguments_alone_and_takes_any_array():
    X = np.arange(12).reshape(4, 3)
    expected = ntk(X.astype(float))
    rows = X[::-1].astype(float)
    rows.flags.writeable = False
    np.testing.assert_array_equal(ntk(X.tolist()), expected)
    np.testing.assert_allclose(ntk(rows)[::-1, ::-1], expected, rtol=1e-14)


def test_kernel_of_no_rows_is_empty():
    none, some = np.ones((0, 3)), np.ones((4, 3))
    assert ntk(none).shape == (0, 0)
    assert ntk(none, some).shape == (0, 4) and ntk(some, none).shape == (4, 0)


def test_memory_is_little_more_than_the_result():
    """The result, three temporary blocks of 8 MB, and X twice."""
    X = np.random.default_rng(0).standard_normal((1500, 50))
    tracemalloc.start()
    H = ntk(X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= 2.5 * H.nbytes


def test_memory_for_many_parallel_rows_is_in_blocks_too():
    """Differences of all pairs at once would be d = 50 times the result."""
    rng = np.random.default_rng(0)
    X = rng.choice([-1, 1], (600, 1)) * np.ones(50) + 1e-6 * rng.standard_normal((600, 50))
    tracemalloc.start()
    H = ntk(X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= 10 * H.nbytes + 4 * 8 * relu._BLOCK


def test_kernel_is_the_mean_over_random_weights():
    """E over w ~ N(0, I) of xᵀz where both units are on."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((6, 3))
    X[1], X[2] = -X[0], X[0] + 0.1 * X[2]
    on = (rng.standard_normal((100_000, 3)) @ X.T > 0).astype(float)
    z = z_scores(on[:, :, None] * on[:, None] * (X @ X.T), ntk(X))
    assert np.abs(z).max() < 4.5


def test_wide_networks_have_the_kernel():
    """A pair of units is one weight: entries vary as means over m/2 coins of chance H/xᵀz."""
    rng = np.random.default_rng(0)
    X, Z = rng.standard_normal((4, 5)), rng.standard_normal((3, 5))
    chance = ntk(X, Z) / (X @ Z.T)

    def deviations(m):
        spread = np.abs(X @ Z.T) * np.sqrt(chance * (1 - chance) / (m / 2))
        return (empirical_ntk(ShallowReLU.random(5, m, rng), X, Z) - ntk(X, Z)) / spread

    assert np.abs(deviations(20_000)).max() < 4.5
    # Mean square 1, and not 2: over 150 networks of 12 entries each, to a standard error of 0.05.
    assert np.mean([deviations(64) ** 2 for _ in range(150)]) == pytest.approx(1, abs=0.2)


@given(sampled_problems(sizes=any_size))
def test_kernel_is_positive_and_above_a_quarter_of_the_linear_one(case):
    X = case[1]
    H = ntk(X)
    atol = ROUNDING * np.linalg.norm(X) ** 2  # Σ over all pairs of (ε‖x‖‖z‖)², its root
    assert np.linalg.eigvalsh(H).min() >= -atol
    assert np.linalg.eigvalsh(H - X @ X.T / 4).min() >= -atol


@given(populations(), st.data(), seeds)
def test_kernel_is_homogeneous_and_does_not_see_the_axes(population, data, seed):
    X, Z = data.draw(inputs(population, any_size)), data.draw(inputs(population, any_size))
    H, rng = ntk(X, Z), np.random.default_rng(seed)
    # Powers of two change no digit.
    r, s = (2.0 ** rng.integers(-60, 60, (len(rows), 1)) for rows in (X, Z))
    np.testing.assert_array_equal(ntk(r * X, s * Z), r * H * s.T)
    tolerance = 2 * ROUNDING * scales(X, Z)
    Q = rotation(population.dim, seed)
    assert (np.abs(ntk(X @ Q, Z @ Q) - H) <= tolerance).all()
    # Opposite rows are of one mind on half of the weights: H(x, z) − H(−x, z) = xᵀz/2.
    assert (np.abs(H - ntk(-X, Z) - X @ Z.T / 2) <= tolerance).all()


# How far the weights move


@given(sampled_problems(sizes=any_size))
def test_weights_move_at_most_twice_the_gap_that_the_rows_see(case):
    """residualᵀH⁻¹residual ≤ 4‖P_∥u‖² for linear teachers, as H ⪰ XXᵀ/4."""
    problem, X = case
    u, norm = problem.gap, correction_norm(X, X @ problem.gap)
    _, s, Vt = np.linalg.svd(X, full_matrices=False)
    seen = Vt[s > 1e-13 * s[0]] @ u if X.any() else np.zeros(1)
    assert norm <= 2 * np.linalg.norm(seen) + 1e-8 * np.linalg.norm(u)
    # A function of norm 1 is at most √H(x, x) = ‖x‖/√2.
    lengths = np.linalg.norm(X, axis=1)
    reached = np.abs(X @ u) / np.where(lengths > 0, lengths, 1)
    assert norm >= np.sqrt(2) * reached.max() * (1 - 1e-8) - 1e-8 * np.linalg.norm(u)


@given(st.integers(1, 8), st.integers(1, 8), st.integers(1, 5), seeds)
def test_no_other_interpolator_is_shorter(d, n, more, seed):
    """Whatever is asked at further points takes a longer way, unless it is what comes anyway."""
    rng = np.random.default_rng(seed)
    X, Z, residual = sphere(n, d, rng), sphere(more, d, rng), rng.standard_normal(n)
    both = np.vstack([X, Z])
    assume(np.linalg.eigvalsh(ntk(both))[0] > 1e-4)  # so all digits but some 8 are right
    norm = correction_norm(X, residual)
    other = np.append(residual, rng.standard_normal(more))
    assert correction_norm(both, other) >= norm * (1 - 1e-9)
    same = np.append(residual, finetune(X, residual, Z))
    assert correction_norm(both, same) == pytest.approx(norm, rel=1e-9)
    expected = np.sqrt(residual @ np.linalg.solve(ntk(X), residual))
    assert norm == pytest.approx(expected, rel=1e-9)


def test_all_of_the_gap_is_approached_and_reached():
    """One row: √2‖P_∥u‖. Many: up to 2‖u‖, which d opposite pairs reach, and nothing exceeds."""
    d, rng = 6, np.random.default_rng(0)
    X, u = sphere(300, d, rng), rng.standard_normal(d)
    norms = [correction_norm(X[:n], X[:n] @ u) for n in (1, 3, 10, 30, 100, 300)]
    assert norms[0] == pytest.approx(np.sqrt(2) * abs(X[0] @ u))
    assert (np.diff(norms) > 0).all()
    assert 0.97 < norms[-1] / (2 * np.linalg.norm(u)) < 1
    for n in d, d + 3:
        pairs = np.vstack([X[:n], -2 * X[:n]])
        assert correction_norm(pairs, pairs @ u) == pytest.approx(2 * np.linalg.norm(u))


# What fine-tuning adds


def test_correction_is_kernel_regression():
    rng = np.random.default_rng(0)
    X, T = rng.standard_normal((25, 8)), rng.standard_normal((40, 8))
    residual = rng.standard_normal((25, 3))
    correction, norms = finetune(X, residual, T), correction_norm(X, residual)
    weights = np.linalg.solve(ntk(X), residual)
    np.testing.assert_allclose(correction, ntk(T, X) @ weights, rtol=0, atol=1e-12)
    np.testing.assert_allclose(norms, np.sqrt((residual * weights).sum(axis=0)), rtol=1e-12)
    # A ridge δ changes this by δ/λ_min.
    model = KernelRidge(alpha=1e-12, kernel="precomputed").fit(ntk(X), residual)
    np.testing.assert_allclose(correction, model.predict(ntk(T, X)), rtol=0, atol=1e-9)
    for k, column in enumerate(residual.T):
        np.testing.assert_allclose(finetune(X, column, T), correction[:, k], rtol=0, atol=1e-12)
        norm = correction_norm(X, column)
        assert type(norm) is float and norm == pytest.approx(norms[k], rel=1e-12)


def test_nowhere_to_correct_is_no_correction():
    none = np.ones((0, 3))
    assert finetune(X, Y, none).shape == (0,)
    for k in 1, 4:
        assert finetune(X, np.ones((2, k)), none).shape == (0, k)
    assert finetune(np.zeros((2, 3)), 0 * Y, none).shape == (0,)


@given(sampled_problems(sizes=any_size))
def test_correction_interpolates(case):
    problem, X = case
    u = problem.gap
    atol = 1e-8 * np.linalg.norm(u) * np.linalg.norm(X, axis=1)
    assert (np.abs(finetune(X, X @ u, X) - X @ u) <= atol).all()


def test_correction_takes_rows_of_any_lengths():
    rng = np.random.default_rng(0)
    X, residual, T = sphere(9, 4, rng), rng.standard_normal(9), sphere(5, 4, rng)
    expected = finetune(X, residual, T)
    lengths = 10.0 ** rng.permutation(np.linspace(-200, 200, 9))
    scaled = finetune(lengths[:, None] * X, lengths * residual, T)
    np.testing.assert_allclose(scaled, expected, rtol=1e-9)
    norm = correction_norm(lengths[:, None] * X, lengths * residual)
    assert norm == pytest.approx(correction_norm(X, residual), rel=1e-12)


@pytest.mark.parametrize("columns", [(), (2,)])
def test_rows_that_say_nothing_new_change_nothing(columns):
    """Repeated, proportional and zero rows, and opposite pairs beyond d: the odd part is linear."""
    d, rng = 4, np.random.default_rng(0)
    X, T = rng.standard_normal((6, d)), rng.standard_normal((7, d))
    u = rng.standard_normal((d, *columns))
    pairs = np.vstack([X, -X[:d]])
    more = np.vstack([pairs, -X[d:], X[[0, 0, 3]], [[3.0], [1e-3]] * X[1:3], np.zeros((2, d))])
    for order in range(5):
        rows = np.random.default_rng(order).permutation(more)
        np.testing.assert_allclose(
            finetune(rows, rows @ u, T), finetune(pairs, pairs @ u, T), rtol=0, atol=1e-11
        )
        norm = correction_norm(pairs, pairs @ u)
        np.testing.assert_allclose(correction_norm(rows, rows @ u), norm, rtol=1e-11)
    # Labels that are not linear, but agree where they must.
    bent = np.append(np.abs(X[:, 0]), 3 * np.abs(X[1, 0]))
    twice = np.vstack([X, 3 * X[1]])
    np.testing.assert_allclose(finetune(twice, bent, T), finetune(X, bent[:6], T), atol=1e-12)


def test_rows_of_zeros_teach_nothing():
    zeros = np.zeros((2, 3))
    np.testing.assert_array_equal(finetune(zeros, np.zeros(2), np.ones((4, 3))), np.zeros(4))
    np.testing.assert_array_equal(correction_norm(zeros, np.zeros((2, 5))), np.zeros(5))


def test_rows_of_zeros_have_nothing_to_miss():
    zeros = np.zeros((2, 3))
    for residual, row in ([1, 0], 0), ([0, 1e-9], 1), ([[0, 0], [0, 1]], 1):
        for function in (lambda y: finetune(zeros, y, X)), (lambda y: correction_norm(zeros, y)):
            with pytest.raises(ValueError, match=f"^residual must be 0 on row {row} of X"):
                function(residual)


def test_contradictions_are_named():
    rng = np.random.default_rng(0)
    X, T = rng.standard_normal((7, 3)), rng.standard_normal((2, 3))
    X[5], X[3] = 2 * X[1], 0

    def labels(row, change):
        residual = X @ np.ones(3)
        residual[row] += change
        return residual

    for function in (lambda y: finetune(X, y, T)), (lambda y: correction_norm(X, y)):
        function(labels(0, 1))
        function(labels(1, 1e-9))  # rounding errors are none
        for row in 1, 5:
            for change in 1, 1e-4:
                with pytest.raises(ValueError, match="^residual must be .* rows 1 and 5 of X"):
                    function(labels(row, change))
        with pytest.raises(ValueError, match="^residual must be 0 on row 3 of X"):
            function(labels(3, 1e-9))
        columns = np.stack([labels(0, 0), labels(5, 1)], axis=1)
        with pytest.raises(ValueError, match="^residual must be .* rows 1 and 5 of X"):
            function(columns)
    pairs = np.vstack([X[[0, 1, 2, 4]], -X[[0, 1, 2, 4]]])  # four, in three dimensions
    residual = pairs @ np.ones(3)
    finetune(pairs, residual, T)
    residual[7] += 1
    with pytest.raises(ValueError, match="^residual must be, on row [0-7] of X, what the rows"):
        finetune(pairs, residual, T)


@pytest.mark.parametrize("angle", [1e-4, 1e-7, 1e-10])
def test_rows_that_are_nearly_parallel_are_two(angle):
    """The second has 2(¼ − H²) ≈ angle/π of its own, so a label of its own costs √(π/angle)."""
    X = np.array([[1, 0], [1, angle]])
    rounding = 100 * EPS / angle
    norm = correction_norm(X, [0, 1])
    assert norm == pytest.approx(np.sqrt(np.pi / angle), rel=angle + rounding)
    np.testing.assert_allclose(finetune(X, [0, 1], X), [0, 1], atol=np.sqrt(rounding))
    curve = learning_curve(X, [1, 2], X, [1, 2])
    np.testing.assert_allclose(curve, [2.5, 0.5, 0], rtol=0, atol=angle + rounding)


def test_rows_that_only_rounding_tells_apart_are_one():
    X = np.array([[1, 0], [1, 1e-13]])
    np.testing.assert_allclose(finetune(X, [2, 2], X), [2, 2], rtol=1e-12)
    assert correction_norm(X, [2, 2]) == pytest.approx(8**0.5)
    with pytest.raises(ValueError, match="^residual must be .* rows 0 and 1 of X"):
        finetune(X, [1, 2], X)
    with pytest.raises(ValueError, match="^X must have rows .* but row 1 does"):
        learning_curve(X, [2, 2], X, [2, 2])


# The learning curve


@settings(max_examples=50)
@given(st.integers(2, 10), st.integers(1, 12), st.sampled_from([(), (1,), (3,)]), seeds)
def test_curve_is_fine_tuning_on_the_first_rows(d, n, columns, seed):
    rng = np.random.default_rng(seed)
    X, T = sphere(n, d, rng), rng.standard_normal((9, d))
    residual = rng.standard_normal((n, *columns))
    wanted = rng.standard_normal((9, *columns))
    smallest = np.linalg.eigvalsh(ntk(X))[0]
    assume(smallest > 1e-5)
    lengths = 10 ** rng.uniform(-3, 3, n)
    X, residual = lengths[:, None] * X, (lengths * residual.T).T
    curve = learning_curve(X, residual, T, wanted)
    expected = [(wanted**2).mean(axis=0)]
    for j in range(1, n + 1):
        expected.append(((wanted - finetune(X[:j], residual[:j], T)) ** 2).mean(axis=0))
    assert curve.shape == (n + 1, *columns)
    # Corrections of two stable solvers differ by ε over the smallest eigenvalue.
    np.testing.assert_allclose(curve, expected, rtol=100 * EPS / smallest)


def test_curve_ends_at_zero_on_the_training_points():
    rng = np.random.default_rng(0)
    X, residual = rng.standard_normal((10, 4)), rng.standard_normal(10)
    curve = learning_curve(X, residual, X, residual)
    assert curve[0] == pytest.approx((residual**2).mean()) and curve[-1] < 1e-20


def test_curve_refuses_rows_that_depend_on_others():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((8, 3))
    for row, value in ((6, 2 * X[1]), (4, 0), (0, 0)):
        rows = X.copy()
        rows[row] = value
        with pytest.raises(ValueError, match=f"^X must have rows .* but row {row} does"):
            learning_curve(rows, rows @ np.ones(3), X, X @ np.ones(3))
    pairs = np.vstack([X[:4], -X[:4]])
    with pytest.raises(ValueError, match="^X must have rows .* but row 7 does"):
        learning_curve(pairs, pairs @ np.ones(3), X, X @ np.ones(3))


# Networks that were trained


def outputs(network, X):
    """Return what the network says."""
    return network(torch.tensor(X)).detach().numpy()


def trained(m, seed, d=10, n=6):
    """Train a network of m units; return its mean error, and how far it moved of what it should."""
    rng = np.random.default_rng(seed)
    X, T, u = sphere(n, d, rng), sphere(30, d, rng), sphere(1, d, rng)[0]
    network = ShallowReLU.random(d, m, rng)
    start = network.weights.detach().clone()
    assert train(network, X, X @ u, tolerance=1e-12, progress=False).stopped == "loss"
    error = np.abs(outputs(network, T) - finetune(X, X @ u, T))
    moved = torch.linalg.norm(network.weights.detach() - start).item()
    return error.mean(), moved / correction_norm(X, X @ u)


def test_trained_networks_end_at_the_closed_form():
    """Up to 1/√m, and their weights have moved as far as they should."""
    results = {m: np.mean([trained(m, s) for s in range(6)], axis=0) for m in (1024, 4096, 16384)}
    for m, (error, moved) in results.items():
        assert error <= 0.35 / np.sqrt(m)  # outputs are of the order ‖u‖/√d = 0.3
        assert moved == pytest.approx(1, abs=1.5 / np.sqrt(m))
    halved = [results[4 * m][0] / results[m][0] for m in (1024, 4096)]
    assert halved == pytest.approx([0.5, 0.5], abs=0.15)


def test_pretrained_networks_are_fine_tuned_by_the_same_kernel():
    """From a network trained on a source task, the change is the correction of what it misses."""
    d, m = 10, 4096
    for seed in range(3):
        rng = np.random.default_rng(seed)
        source, target = sphere(2, d, rng)
        X_source, X, T = (sphere(n, d, rng) for n in (30, 6, 30))
        network = ShallowReLU.random(d, m, rng)
        train(network, X_source, X_source @ source, tolerance=1e-12, progress=False)
        before = [outputs(network, rows) for rows in (X, T)]
        start = network.weights.detach().clone()
        train(network, X, X @ target, tolerance=1e-12, progress=False)
        residual = X @ target - before[0]
        change = outputs(network, T) - before[1]
        assert np.abs(change - finetune(X, residual, T)).mean() <= 0.5 / np.sqrt(m)
        moved = torch.linalg.norm(network.weights.detach() - start).item()
        assert moved == pytest.approx(correction_norm(X, residual), rel=2 / np.sqrt(m))


# Bad input

X, Y, T, WANTED = np.eye(3)[:2], np.ones(2), np.ones((4, 3)), np.ones(4)
NAN, INF = np.nan, np.inf


def curve(X=X, residual=Y, X_test=T, residual_test=WANTED):
    """Return the learning curve."""
    return learning_curve(X, residual, X_test, residual_test)


def norm(X, residual, X_test=None):
    """Return the norm, which needs no test points."""
    return correction_norm(X, residual)


@pytest.mark.parametrize("function", [finetune, norm, curve])
@pytest.mark.parametrize("bad", [np.ones((0, 3)), np.ones((2, 0))], ids=["rows", "columns"])
def test_samples_of_nothing_are_named(function, bad):
    with pytest.raises(ValueError, match="^X must have at least one row and one column"):
        function(bad, Y, T)


@pytest.mark.parametrize("function", [finetune, norm, curve, lambda X, residual, X_test: ntk(X)])
@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (np.ones(3), ValueError),
        (np.ones((2, 3, 1)), ValueError),
        (np.full((2, 3), NAN), ValueError),
        (np.full((2, 3), INF), ValueError),
        (1j * X, TypeError),
        ([["a", "b", "c"]] * 2, TypeError),
        ([[1, 2, 3], [1, 2]], TypeError),
        (None, TypeError),
    ],
)
def test_bad_samples_are_named(function, bad, error):
    with pytest.raises(error, match="^X must"):
        function(bad, Y, T)


@pytest.mark.parametrize("function", [finetune, norm, curve])
@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (1.0, ValueError),
        (np.ones(3), ValueError),
        (np.ones((3, 2)), ValueError),
        (np.ones((2, 1, 1)), ValueError),
        ([1, NAN], ValueError),
        ([INF, 1], ValueError),
        ("ab", TypeError),
        (["a", "b"], TypeError),
        (1j * Y, TypeError),
        ([[1, 2], [1]], TypeError),
        (None, TypeError),
    ],
)
def test_bad_residuals_are_named(function, bad, error):
    with pytest.raises(error, match="^residual must"):
        function(X, bad, T)


@pytest.mark.parametrize(
    ("call", "argument", "error"),
    [
        (lambda: ntk(X, np.ones(3)), "Z", ValueError),
        (lambda: ntk(X, np.ones((2, 4))), "Z", ValueError),
        (lambda: ntk(X, [[1, 2, NAN]]), "Z", ValueError),
        (lambda: ntk(X, [["a", "b", "c"]]), "Z", TypeError),
        (lambda: finetune(X, Y, np.ones(3)), "X_test", ValueError),
        (lambda: finetune(X, Y, np.ones((4, 2))), "X_test", ValueError),
        (lambda: finetune(X, Y, NAN * T), "X_test", ValueError),
        (lambda: finetune(X, Y, INF * T), "X_test", ValueError),
        (lambda: finetune(X, Y, 1j * T), "X_test", TypeError),
        (lambda: finetune(X, Y, None), "X_test", TypeError),
        (lambda: curve(X_test=np.ones(3)), "X_test", ValueError),
        (lambda: curve(X_test=np.ones((4, 2))), "X_test", ValueError),
        (lambda: curve(X_test=np.ones((0, 3)), residual_test=[]), "X_test", ValueError),
        (lambda: curve(X_test=NAN * T), "X_test", ValueError),
        (lambda: curve(X_test=[["a", "b", "c"]] * 4), "X_test", TypeError),
        (lambda: curve(residual_test=np.ones(3)), "residual_test", ValueError),
        (lambda: curve(residual_test=np.ones((4, 1))), "residual_test", ValueError),
        (lambda: curve(residual=np.ones((2, 2))), "residual_test", ValueError),
        (lambda: curve(residual_test=[1, 1, 1, NAN]), "residual_test", ValueError),
        (lambda: curve(residual_test=["a"] * 4), "residual_test", TypeError),
        (lambda: curve(residual_test=None), "residual_test", TypeError),
    ],
)
def test_bad_input_is_named(call, argument, error):
    with pytest.raises(error, match=rf"^{argument} must"):
        call()


@given(st.integers(2, 6), st.integers(1, 10), seeds)
def test_error_depends_on_the_gap_alone(d, n, seed):
    """Two pairs of teachers with one gap err alike; twice the gap, four times the risk."""
    rng = np.random.default_rng(seed)
    X, test = rng.standard_normal((n, d)), rng.standard_normal((20, d))
    u, source, other = rng.standard_normal((3, d))

    def error(source, gap):
        f = test @ source + finetune(X, X @ (source + gap) - X @ source, test)
        return f - test @ (source + gap)

    # The residual carries rounding errors of the labels, and the kernel's condition enlarges them.
    size = np.abs(test @ u).max() + np.abs(test @ source).max() + np.abs(test @ other).max()
    atol = 1e3 * EPS * size * np.linalg.cond(ntk(X))
    np.testing.assert_allclose(error(source, u), error(other, u), rtol=0, atol=atol)
    np.testing.assert_allclose(error(source, 2 * u), 2 * error(source, u), rtol=0, atol=4 * atol)


@given(st.integers(2, 6), st.integers(1, 10), seeds)
def test_surprises_are_paid_by_the_gap(d, n, seed):
    """Sample by sample, Σ e²/H(x, x) is at most the way of the weights, ‖V‖² ≤ 4‖P_∥u‖²."""
    rng = np.random.default_rng(seed)
    X, u = rng.standard_normal((n, d)), rng.standard_normal(d)
    y = X @ u
    before = [y[0], *(y[j] - finetune(X[:j], y[:j], X[j : j + 1])[0] for j in range(1, n))]
    paid = (2 * np.square(before) / (X**2).sum(axis=1)).sum()
    slack = 1 + 1e-6  # rounding, enlarged by the kernel's condition
    assert paid <= slack * correction_norm(X, y) ** 2
    # The same of linear regression, where H(x, x) is ‖x‖² and the way ‖P_∥u‖.
    zero = np.zeros(d)
    errors = [
        x @ (u - linear_regression.finetune(X[:j], y[:j], zero)) for j, x in enumerate(X) if j
    ]
    paid = (np.square([y[0], *errors]) / (X**2).sum(axis=1)).sum()
    seen = linear_regression.finetune(X, y, zero)
    assert paid <= slack * (seen @ seen)
