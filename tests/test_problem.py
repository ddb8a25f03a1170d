"""lib.problem against the definitions, and its samples against the laws they claim."""

import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from strategies import EPS, populations, problems, rotation, seeds, z_scores

from lib import relu
from lib.exact_risk import linear_risk
from lib.problem import (
    LAWS,
    Population,
    TransferProblem,
    kernel_problem,
)

UNIT_VARIANCE = {
    "gaussian": scipy.stats.norm(),
    "student": scipy.stats.t(5, scale=np.sqrt(3 / 5)),
}


def test_constructors_have_the_spectra_they_name():
    assert Population.isotropic(3).eigenvalues.tolist() == [1, 1, 1]
    assert Population.isotropic(2, 0.5).eigenvalues.tolist() == [0.5, 0.5]
    assert Population.power_law(4, 2).eigenvalues == pytest.approx([1, 1 / 4, 1 / 9, 1 / 16])
    assert Population.spiked(4, 1, 0.1).eigenvalues.tolist() == [1, 0.1, 0.1, 0.1]
    assert Population.spiked(3, 0, 0.0).eigenvalues.tolist() == [0, 0, 0]
    assert Population.power_law(7, 1).dim == 7
    for line in Population.isotropic(1), Population.power_law(1, 2), Population.spiked(1, 1, 0.1):
        assert line.eigenvalues.tolist() == [1]


@given(populations())
def test_covariance_has_the_eigenpairs(population):
    V = np.eye(population.dim) if population.eigenvectors is None else population.eigenvectors
    # Σ is a sum of d terms no larger than λ₁: rounding stays below a few d ε λ₁.
    expected = sum(
        value * np.outer(v, v) for value, v in zip(population.eigenvalues, V.T, strict=True)
    )
    atol = 10 * population.dim * EPS * population.eigenvalues[0]
    np.testing.assert_allclose(population.covariance(), expected, rtol=0, atol=atol)


@given(populations(), seeds)
def test_squared_norm_and_coordinates(population, seed):
    theta = np.random.default_rng(seed).standard_normal((3, 2, population.dim))
    S = population.covariance()
    expected = [[t @ S @ t for t in row] for row in theta]
    atol = 100 * population.dim * EPS * population.eigenvalues[0] * (theta**2).sum(-1).max()
    np.testing.assert_allclose(population.squared_norm(theta), expected, rtol=0, atol=atol)
    assert population.squared_norm(theta[0, 0]) == pytest.approx(expected[0][0], abs=atol)
    along = population.coordinates(theta)
    back = along if population.eigenvectors is None else along @ population.eigenvectors.T
    np.testing.assert_allclose(back, theta, atol=1e-13)


@given(populations(), st.integers(1, 15), seeds)
def test_from_samples_has_the_second_moment_of_the_rows(population, n, seed):
    X = population.sample(n, np.random.default_rng(seed)) + 1  # not centred, and not to be centred
    empirical = Population.from_samples(X)
    expected = sum(np.outer(x, x) for x in X) / n
    atol = 100 * EPS * np.trace(expected)
    np.testing.assert_allclose(empirical.covariance(), expected, rtol=0, atol=atol)
    # Below the rank, eigenvalues are rounding errors of the largest, never negative.
    assert (empirical.eigenvalues[n:] <= atol).all()


def test_eigenvectors_of_samples_have_one_sign():
    """The same whatever the last digits are; what is drawn from them would else change sign."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((30, 8)) * np.arange(1, 9)
    X[:, 3] = 0
    vectors = Population.from_samples(X).eigenvectors
    assert (vectors.max(axis=0) >= -vectors.min(axis=0)).all()
    for other in X[rng.permutation(30)], -X, X * (1 + 1e-13 * rng.standard_normal(X.shape)):
        np.testing.assert_allclose(Population.from_samples(other).eigenvectors, vectors, atol=1e-9)


def test_from_samples_counts_all_directions_above_rounding():
    """The smallest singular value of 100 rows, 10⁻¹² of the largest, is no rounding error."""
    s = np.append(np.ones(19), 1e-12)
    X = (rotation(100, 0)[:, :20] * s) @ rotation(20, 1).T
    values = Population.from_samples(X).eigenvalues
    np.testing.assert_allclose(values, s**2 / 100, rtol=0.01)  # which its own entries blur by 10⁻⁴


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("eigenvectors", [None, rotation(4, 0)], ids=["standard", "rotated"])
def test_samples_have_second_moment_sigma(law, eigenvectors):
    population = Population([4, 1, 0.25, 0], eigenvectors)
    X = population.sample(40_000, np.random.default_rng(1), law)
    z = z_scores(X[:, :, None] * X[:, None], population.covariance())
    assert np.abs(z).max() < 4.5  # 16 entries: P(|z| > 4.5) is 1e-4 in all
    assert np.abs(z_scores(X, 0)).max() < 4.5


@pytest.mark.parametrize("law", UNIT_VARIANCE)
def test_samples_follow_their_law(law):
    # Enough to tell 5 degrees of freedom from 6, whose distribution functions differ by 0.008.
    X = Population([4, 1]).sample(100_000, np.random.default_rng(2), law) / [2, 1]
    for z in X.T:
        assert scipy.stats.kstest(z, UNIT_VARIANCE[law].cdf).pvalue > 1e-3


def test_rademacher_samples_are_fair_signs():
    X = Population([4, 0.25]).sample(1000, np.random.default_rng(2), "rademacher")
    np.testing.assert_array_equal(np.abs(X), np.tile([2, 0.5], (1000, 1)))


@given(st.integers(1, 40), seeds)
def test_sphere_samples_have_one_length(d, seed):
    rng = np.random.default_rng(seed)
    X = Population.isotropic(d, 1 / d).sample(5, rng, "sphere")
    np.testing.assert_allclose(np.linalg.norm(X, axis=1), 1, rtol=(d + 10) * EPS)
    population = Population(np.sort(rng.uniform(0.01, 10, d))[::-1], rotation(d, seed))
    X = population.sample(5, rng, "sphere")
    lengths = np.linalg.norm(population.coordinates(X) / np.sqrt(population.eigenvalues), axis=1)
    # A coordinate is known to d ε of the whole, and the smallest weighs √1000 times as much.
    np.testing.assert_allclose(lengths, np.sqrt(d), rtol=100 * (d + 10) * EPS)


@pytest.mark.parametrize("d", [2, 3, 4, 10])
def test_sphere_samples_are_uniform(d):
    """Each coordinate t, along any axes, has (1 + t)/2 ~ Beta((d − 1)/2, (d − 1)/2)."""
    X = Population.isotropic(d, 1 / d).sample(100_000, np.random.default_rng(2), "sphere")
    half = (d - 1) / 2
    for t in (*X.T[:3], X @ rotation(d, 0)[0]):
        assert scipy.stats.kstest((1 + t) / 2, scipy.stats.beta(half, half).cdf).pvalue > 1e-3


@pytest.mark.parametrize("law", LAWS)
def test_samples_depend_on_the_generator_alone(law):
    population = Population.power_law(5, 1)
    first, again = (population.sample(3, np.random.default_rng(7), law) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert (first != population.sample(3, np.random.default_rng(8), law)).any()


def test_what_is_wrong_with_a_spectrum_is_said():
    for values in [1, -1, 0], [1, 0, -1], [-1]:
        with pytest.raises(ValueError, match="^eigenvalues must be non-negative, got -1$"):
            Population(values)
    with pytest.raises(ValueError, match="^eigenvalues must be in descending order$"):
        Population([1, 0, 1])


def test_eigenvectors_are_orthonormal_to_eight_digits():
    def leaning(angle):
        return np.array([[1, angle], [0, 1]])

    np.testing.assert_array_equal(Population([1, 1], leaning(1e-8)).eigenvectors, leaning(1e-8))
    for V in leaning(1.001e-8), 1.00000001 * np.eye(2), 0.99999999 * np.eye(2):
        with pytest.raises(ValueError, match="^eigenvectors must have orthonormal columns$"):
            Population([1, 1], V)


def test_arrays_are_copied_and_read_only():
    values, V, source, target = np.array([2.0, 1]), np.eye(2), np.ones(2), np.zeros(2)
    population = Population(values, V)
    problem = TransferProblem(population, source, target)
    for given_array, kept in (
        (values, population.eigenvalues),
        (V, population.eigenvectors),
        (source, problem.source),
        (target, problem.target),
    ):
        before = kept.copy()
        given_array += 1
        np.testing.assert_array_equal(kept, before)
        with pytest.raises(ValueError, match="read-only"):
            kept[0] = 5
    with pytest.raises(AttributeError):
        population.eigenvalues = values
    with pytest.raises(AttributeError):
        problem.source = source


@given(problems(), seeds)
def test_gap_and_risk(problem, seed):
    np.testing.assert_array_equal(problem.gap, problem.target - problem.source)
    assert problem.risk(problem.target) == 0
    theta = np.random.default_rng(seed).standard_normal((2, problem.population.dim))
    errors = theta - problem.target
    S = problem.population.covariance()
    atol = 1e-12 * problem.population.eigenvalues[0] * (errors**2).sum(-1).max()
    np.testing.assert_allclose(
        problem.risk(theta), [e @ S @ e for e in errors], rtol=1e-9, atol=atol
    )


@pytest.mark.parametrize("law", LAWS)
def test_risk_is_the_mean_squared_error(law):
    rng = np.random.default_rng(3)
    problem = TransferProblem(Population([3, 1, 0.1], rotation(3, 3)), *rng.standard_normal((2, 3)))
    theta = rng.standard_normal(3)
    X, y = problem.sample(40_000, rng, law=law)
    assert abs(z_scores((X @ theta - y) ** 2, problem.risk(theta))) < 4


def test_labels_and_their_noise():
    rng = np.random.default_rng(4)
    problem = TransferProblem(Population.isotropic(3), np.zeros(3), np.arange(3.0))
    X, y = problem.sample(20_000, rng)
    np.testing.assert_array_equal(y, X @ problem.target)
    X, y = problem.sample(20_000, rng, noise=0.5)
    noise = y - X @ problem.target
    assert scipy.stats.kstest(noise, scipy.stats.norm(scale=0.5).cdf).pvalue > 1e-3
    assert np.abs(z_scores(noise[:, None] * X, 0)).max() < 4  # independent of the inputs
    # The inputs do not depend on whether the labels are noisy.
    quiet, noisy = (problem.sample(5, np.random.default_rng(5), noise=s)[0] for s in (0, 1.0))
    np.testing.assert_array_equal(quiet, noisy)


def test_problems_are_compared_by_identity():
    """Their arrays have no one truth value; so they can be keys, and are found in lists."""
    first, second = (Population([2.0, 1]) for _ in range(2))
    assert first == first and first != second and len({first, second}) == 2
    problems = [TransferProblem(first, np.zeros(2), np.ones(2)) for _ in range(2)]
    assert problems[0] != problems[1] and problems.index(problems[1]) == 1
    assert len(set(problems)) == 2


# Kernels


@given(st.integers(1, 30), st.integers(1, 30), st.floats(-6, 6), seeds)
def test_kernel_problem_has_the_function_and_the_kernel(N, rank, exponent, seed):
    rng = np.random.default_rng(seed)
    features, values = rng.standard_normal((N, rank)), rng.standard_normal(N)
    K = 10**exponent * features @ features.T
    problem = kernel_problem(K, values)
    assert not problem.source.any()
    # All of the function is there, also what the kernel cannot express.
    assert problem.risk(problem.source) == pytest.approx((values**2).mean(), rel=1e-12)
    expected = np.linalg.eigvalsh(K / N)[::-1]
    found = problem.population.eigenvalues
    np.testing.assert_allclose(found, expected, rtol=0, atol=10 * N * EPS * expected[0])
    assert (found >= N * EPS * found[0]).all()
    # ‖target‖² is the squared norm of the function in the kernel's space, valuesᵀK⁻¹values.
    if rank >= N and expected[-1] > 1e-6 * expected[0]:
        norm = values @ np.linalg.solve(K, values)
        assert problem.target @ problem.target == pytest.approx(norm, rel=1e-8)


def test_kernel_problems_of_several_functions_are_those_of_each():
    rng = np.random.default_rng(0)
    K = np.cov(rng.standard_normal((6, 9)))
    values = rng.standard_normal((6, 3))
    for problem, column in zip(kernel_problem(K, values).each(), values.T, strict=True):
        alone = kernel_problem(K, column)
        np.testing.assert_allclose(problem.target, alone.target, rtol=1e-12)
        np.testing.assert_array_equal(problem.population.eigenvalues, alone.population.eigenvalues)
    assert kernel_problem(K, values[:, :1]).target.shape == (1, 6)


@given(st.integers(2, 8), st.integers(0, 20), seeds)
def test_linear_kernel_is_linear_regression(d, more, seed):
    rng = np.random.default_rng(seed)
    X, u = rng.standard_normal((d + more, d)) + 1, rng.standard_normal(d)
    plain = TransferProblem(Population.from_samples(X), np.zeros(d), u)
    n = np.linspace(0, d - 0.5, 10)
    risks = linear_risk(kernel_problem(X @ X.T, X @ u), n)
    # Eigenvalues that should be 0 are N ε λ₁: that, relative to the smallest one.
    smallest = plain.population.eigenvalues[-1] / plain.population.eigenvalues[0]
    atol = 1e3 * len(X) * EPS / smallest * risks[0]
    np.testing.assert_allclose(risks, linear_risk(plain, n), rtol=0, atol=atol)


def test_what_the_kernel_cannot_express_is_not_learned():
    rng = np.random.default_rng(0)
    X, values = rng.standard_normal((800, 6)), rng.standard_normal(800)
    missing = values - X @ np.linalg.lstsq(X, values)[0]
    share = (missing**2).mean()
    # Also beyond the rank, as long as n is far below the size of the pool.
    risks = linear_risk(kernel_problem(X @ X.T, values), [0, 1, 3, 5, 7, 12, 20, 40])
    assert (risks >= share).all()
    assert risks[-1] == pytest.approx(share / (1 - 6 / 40), rel=0.05)  # least squares, with noise
    assert linear_risk(kernel_problem(X @ X.T, values - missing), 12) < 1e-12


def test_kernel_problem_predicts_relu_networks():
    """The equivalent against fine-tuning on samples from the sphere; its own error is some 5 %."""
    d, rng = 20, np.random.default_rng(0)

    def sphere(n):
        X = rng.standard_normal((n, d))
        return X / np.linalg.norm(X, axis=1, keepdims=True)

    pool, T, u = sphere(1500), sphere(300), rng.standard_normal(d)
    n = [10, 40, 100]
    expected = linear_risk(kernel_problem(relu.ntk(pool), pool @ u), n)
    curves = []
    for _ in range(20):
        X = sphere(100)
        curves.append(relu.learning_curve(X, X @ u, T, T @ u)[n])
    np.testing.assert_allclose(np.mean(curves, axis=0), expected, rtol=0.15)


P2, RNG = Population.isotropic(2), np.random.default_rng(0)
PROBLEM = TransferProblem(P2, np.zeros(2), np.ones(2))
NAN, INF = np.nan, np.inf


@pytest.mark.parametrize(
    ("call", "argument", "error"),
    [
        (lambda: Population([]), "eigenvalues", ValueError),
        (lambda: Population(1.0), "eigenvalues", ValueError),
        (lambda: Population([[1.0]]), "eigenvalues", ValueError),
        (lambda: Population([1, NAN]), "eigenvalues", ValueError),
        (lambda: Population([INF, 1]), "eigenvalues", ValueError),
        (lambda: Population([1, -1e-9]), "eigenvalues", ValueError),
        (lambda: Population([1, 2]), "eigenvalues", ValueError),
        (lambda: Population("ab"), "eigenvalues", TypeError),
        (lambda: Population([1, 1j]), "eigenvalues", TypeError),
        (lambda: Population([1, 1], np.eye(3)), "eigenvectors", ValueError),
        (lambda: Population([1, 1], np.eye(2)[:1]), "eigenvectors", ValueError),
        (lambda: Population([1, 1], [[1, 1], [0, 1]]), "eigenvectors", ValueError),
        (lambda: Population([1, 1], 1.0001 * np.eye(2)), "eigenvectors", ValueError),
        (lambda: Population([1, 1], [[1, 0], [0, NAN]]), "eigenvectors", ValueError),
        (lambda: Population([1, 1], "ab"), "eigenvectors", TypeError),
        (lambda: Population.isotropic(0), "dim", ValueError),
        (lambda: Population.isotropic(2.0), "dim", TypeError),
        (lambda: Population.isotropic(True), "dim", TypeError),
        (lambda: Population.isotropic(2, -1.0), "variance", ValueError),
        (lambda: Population.isotropic(2, NAN), "variance", ValueError),
        (lambda: Population.isotropic(2, "1"), "variance", TypeError),
        (lambda: Population.power_law(0, 1), "dim", ValueError),
        (lambda: Population.power_law(-1, 1), "dim", ValueError),
        (lambda: Population.power_law(2, -1), "exponent", ValueError),
        (lambda: Population.power_law(2, INF), "exponent", ValueError),
        (lambda: Population.spiked(0, 0, 0.5), "dim", ValueError),
        (lambda: Population.spiked(2, 3, 0.5), "rank", ValueError),
        (lambda: Population.spiked(2, -1, 0.5), "rank", ValueError),
        (lambda: Population.spiked(2, 1.0, 0.5), "rank", TypeError),
        (lambda: Population.spiked(2, 1, 1.5), "tail", ValueError),
        (lambda: Population.spiked(2, 1, -0.5), "tail", ValueError),
        (lambda: Population.from_samples(np.ones(3)), "X", ValueError),
        (lambda: Population.from_samples(np.ones((0, 3))), "X", ValueError),
        (lambda: Population.from_samples([[1, NAN]]), "X", ValueError),
        (lambda: P2.coordinates(np.ones(3)), "theta", ValueError),
        (lambda: P2.squared_norm(1.0), "theta", ValueError),
        (lambda: P2.squared_norm([[1, 2, 3]]), "theta", ValueError),
        (lambda: P2.squared_norm([1, INF]), "theta", ValueError),
        (lambda: P2.sample(0, RNG), "n", ValueError),
        (lambda: P2.sample(1.5, RNG), "n", TypeError),
        (lambda: P2.sample(1, 0), "rng", TypeError),
        (lambda: P2.sample(1, np.random), "rng", TypeError),
        (lambda: P2.sample(1, RNG, "cauchy"), "law", ValueError),
        (lambda: TransferProblem(np.eye(2), np.ones(2), np.ones(2)), "population", TypeError),
        (lambda: TransferProblem(P2, np.ones(3), np.ones(2)), "source", ValueError),
        (lambda: TransferProblem(P2, np.ones(2), np.ones((2, 1))), "target", ValueError),
        (lambda: TransferProblem(P2, [0, NAN], np.ones(2)), "source", ValueError),
        (lambda: TransferProblem(P2, np.ones(2), [0, INF]), "target", ValueError),
        (lambda: TransferProblem(P2, np.ones(2), None), "target", TypeError),
        (lambda: PROBLEM.risk(np.ones(3)), "theta", ValueError),
        (lambda: PROBLEM.risk([1, NAN]), "theta", ValueError),
        (lambda: PROBLEM.sample(0, RNG), "n", ValueError),
        (lambda: PROBLEM.sample(1, None), "rng", TypeError),
        (lambda: PROBLEM.sample(1, RNG, noise=-1), "noise", ValueError),
        (lambda: PROBLEM.sample(1, RNG, noise=NAN), "noise", ValueError),
        (lambda: PROBLEM.sample(1, RNG, law="cauchy"), "law", ValueError),
        (lambda: kernel_problem(np.ones((2, 3)), np.ones(2)), "K", ValueError),
        (lambda: kernel_problem(np.ones(2), np.ones(2)), "K", ValueError),
        (lambda: kernel_problem(np.ones((0, 0)), []), "K", ValueError),
        (lambda: kernel_problem(np.ones((0, 0)), np.ones((0, 2))), "K", ValueError),
        (lambda: kernel_problem([[1, 1e-6], [0, 1]], np.ones(2)), "K", ValueError),
        (lambda: kernel_problem(-np.eye(2), np.ones(2)), "K", ValueError),
        (lambda: kernel_problem(np.diag([1, -1e-9]), np.ones(2)), "K", ValueError),
        (lambda: kernel_problem(np.zeros((2, 2)), np.ones(2)), "K", ValueError),
        (lambda: kernel_problem(np.diag([1, NAN]), np.ones(2)), "K", ValueError),
        (lambda: kernel_problem(np.diag([1, INF]), np.ones(2)), "K", ValueError),
        (lambda: kernel_problem([["a", "b"]] * 2, np.ones(2)), "K", TypeError),
        (lambda: kernel_problem(np.eye(2), np.ones(3)), "values", ValueError),
        (lambda: kernel_problem(np.eye(2), np.ones((3, 2))), "values", ValueError),
        (lambda: kernel_problem(np.eye(2), np.ones((2, 1, 1))), "values", ValueError),
        (lambda: kernel_problem(np.eye(2), 1.0), "values", ValueError),
        (lambda: kernel_problem(np.eye(2), [1, NAN]), "values", ValueError),
        (lambda: kernel_problem(np.eye(2), "ab"), "values", TypeError),
    ],
)
def test_bad_input_is_named(call, argument, error):
    with pytest.raises(error, match=rf"^{argument} must"):
        call()


def test_teachers_come_in_batches():
    rng = np.random.default_rng(0)
    population = Population.power_law(4, 1)
    source, target = rng.standard_normal(4), rng.standard_normal((2, 3, 4))
    problem = TransferProblem(population, source, target)
    assert problem.source.shape == problem.gap.shape == (2, 3, 4)
    each = list(problem.each())
    assert len(each) == 6
    np.testing.assert_array_equal(each[4].target, target[1, 1])
    np.testing.assert_array_equal(each[4].source, source)
    X, y = problem.sample(5, np.random.default_rng(1))
    np.testing.assert_allclose(y[1, 1], X @ target[1, 1], rtol=1e-12)
    _, noisy = problem.sample(5, np.random.default_rng(1), 0.1)
    assert np.unique(noisy - y).size == 30  # noise of its own in each
    np.testing.assert_allclose(problem.risk(source)[1, 1], each[4].risk(source))
    with pytest.raises(ValueError, match="^source and target must have shapes that broadcast"):
        TransferProblem(population, target[:, :2], target)


def test_shorter_ways_to_a_problem():
    population = Population.power_law(3, 1)
    problem = TransferProblem.from_gap(population, [[1, 2, 3], [0, 1, 0]])
    assert not problem.source.any() and problem.gap.tolist() == [[1, 2, 3], [0, 1, 0]]
    scratch = TransferProblem(population, [1, 1, 1], [1, 2, 3]).from_scratch()
    assert not scratch.source.any() and scratch.target.tolist() == [1, 2, 3]
    with pytest.raises(ValueError, match="^gap must have shape"):
        TransferProblem.from_gap(population, [1, 2])
    with pytest.raises(TypeError, match="^population must"):
        TransferProblem.from_gap(3, [1, 2])
