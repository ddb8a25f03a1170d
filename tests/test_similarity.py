"""Every measure of similarity against its definition through explicit projection matrices."""

from functools import partial

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from strategies import problems, rotation, seeds, z_scores

from lib import bounds, similarity
from lib.linear_regression import learning_curve
from lib.problem import Population, TransferProblem

WHOLE = (
    similarity.squared_distance,
    similarity.cosine,
    similarity.weighted_squared_distance,
    similarity.weighted_cosine,
)
SPLIT = (similarity.top_energy, similarity.tail_energy, similarity.spectral_profile)
apart = problems().filter(lambda problem: problem.gap.any() and problem.source.any())


def projectors(population, rank):
    """Return P_{≤k} and P_{>k}."""
    V = np.eye(population.dim) if population.eigenvectors is None else population.eigenvectors
    top = V[:, :rank] @ V[:, :rank].T
    return top, np.eye(population.dim) - top


@given(apart)
def test_whole_measures_are_their_definitions(problem):
    S, a, b = problem.population.covariance(), problem.source, problem.target
    u = b - a
    assert similarity.squared_distance(problem) == pytest.approx(np.linalg.norm(u) ** 2)
    angle = np.arccos(similarity.cosine(problem))
    # The law of cosines: a triangle of the two teachers and the gap. It loses ε of the squares.
    sides = a @ a + b @ b - 2 * np.sqrt(a @ a * (b @ b)) * np.cos(angle)
    assert sides == pytest.approx(u @ u, abs=1e-13 * (a @ a + b @ b))
    # Quadratic forms lose ε λ₁ ‖·‖².
    atol = 1e-13 * problem.population.eigenvalues[0]
    assert similarity.weighted_squared_distance(problem) == pytest.approx(
        u @ S @ u, rel=1e-9, abs=atol * (u @ u)
    )
    if min(a @ S @ a / (a @ a), b @ S @ b / (b @ b)) > 1e-6 * problem.population.eigenvalues[0]:
        assert similarity.weighted_cosine(problem) == pytest.approx(
            a @ S @ b / np.sqrt((a @ S @ a) * (b @ S @ b)), abs=1e-6
        )


@given(problems(), seeds)
def test_gap_splits_into_top_and_tail(problem, seed):
    d, u = problem.population.dim, problem.gap
    ranks = np.random.default_rng(seed).permutation(d + 1)
    energies = [
        [np.linalg.norm(P @ u) ** 2 for P in projectors(problem.population, rank)] for rank in ranks
    ]
    atol = 1e-13 * (u @ u)
    for column, measure in enumerate((similarity.top_energy, similarity.tail_energy)):
        together = measure(problem, ranks)
        np.testing.assert_allclose(together, np.array(energies)[:, column], rtol=0, atol=atol)
        for rank, value in zip(ranks, together, strict=True):
            assert measure(problem, int(rank)) == value
            assert type(measure(problem, int(rank))) is float
    if u.any():
        profile = similarity.spectral_profile(problem, np.arange(d + 1))
        assert profile[0] == 0 and profile[-1] == 1 and (np.diff(profile) > -1e-15).all()
        at = similarity.spectral_profile(problem, ranks)
        np.testing.assert_allclose(at, np.array(energies)[:, 0] / (u @ u), rtol=0, atol=1e-13)


@given(apart, seeds)
def test_measures_do_not_depend_on_the_axes(problem, seed):
    d, (a, b) = problem.population.dim, (problem.source, problem.target)
    V = np.eye(d) if problem.population.eigenvectors is None else problem.population.eigenvectors
    Q = rotation(d, seed)
    turned = TransferProblem(Population(problem.population.eigenvalues, Q @ V), Q @ a, Q @ b)
    for measure in WHOLE[:3]:
        assert measure(turned) == pytest.approx(measure(problem), rel=1e-6, abs=1e-12)
    for measure in SPLIT:
        ranks = np.arange(d + 1)
        np.testing.assert_allclose(
            measure(turned, ranks), measure(problem, ranks), rtol=1e-6, atol=1e-9
        )


@given(apart, st.floats(-3, 3), st.floats(-3, 3))
def test_measures_scale_as_their_units(problem, length, variance):
    """Teachers in other units, inputs in other units: squared lengths scale, shares do not."""
    length, variance = 10**length, 10**variance
    other = TransferProblem(
        Population(variance * problem.population.eigenvalues, problem.population.eigenvectors),
        length * problem.source,
        length * problem.target,
    )
    for measure, factor in zip(WHOLE, (length**2, 1, length**2 * variance, 1), strict=True):
        assert measure(other) == pytest.approx(factor * measure(problem), rel=1e-6)
    for measure, factor in zip(SPLIT, (length**2, length**2, 1), strict=True):
        expected = factor * measure(problem, 1)
        assert measure(other, 1) == pytest.approx(expected, rel=1e-6, abs=1e-12 * factor)


@given(problems())
def test_weighted_distance_is_the_risk_before_fine_tuning(problem):
    initial = learning_curve(problem, np.zeros((1, problem.population.dim)))[0]
    assert similarity.weighted_squared_distance(problem) == pytest.approx(initial)


def test_weighted_cosine_is_the_correlation_of_the_labels():
    rng = np.random.default_rng(0)
    population = Population([2, 1, 0.1], rotation(3, 1))
    a, b = rng.standard_normal((2, 3))
    X = population.sample(50_000, rng)
    scale = np.sqrt(population.squared_norm(a) * population.squared_norm(b))
    expected = similarity.weighted_cosine(TransferProblem(population, a, b))
    assert abs(z_scores((X @ a) * (X @ b) / scale, expected)) < 4


def test_measures_on_a_problem_done_by_hand():
    problem = TransferProblem(Population([4, 1, 0.25]), [1, 0, 0], [1, 1, 2])  # u = (0, 1, 2)
    assert [measure(problem) for measure in WHOLE] == pytest.approx(
        [5, 1 / np.sqrt(6), 1 + 1, 4 / (2 * np.sqrt(4 + 1 + 1))]
    )
    assert [measure(problem, 2) for measure in SPLIT] == pytest.approx([1, 4, 0.2])


def test_profile_of_a_gap_that_is_halved():
    problem = TransferProblem(Population([1, 0.5]), np.zeros(2), [3, -3])
    np.testing.assert_array_equal(similarity.spectral_profile(problem, [0, 1, 2]), [0, 0.5, 1])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("length", [1e-200, 1, 1e200])
def test_shares_and_cosines_of_any_scale(length):
    """A gap of (3, 4), and teachers of (3, 4) and (1, 0): squares over- and underflow."""
    gap = TransferProblem(Population([2, 1]), np.zeros(2), [3 * length, 4 * length])
    np.testing.assert_allclose(similarity.spectral_profile(gap, [0, 1, 2]), [0, 9 / 25, 1])
    two = TransferProblem(Population([1, 1]), [3 * length, 4 * length], [1 / length, 0])
    assert similarity.cosine(two) == pytest.approx(0.6)
    assert similarity.weighted_cosine(two) == pytest.approx(0.6)


def test_small_tails_keep_their_digits():
    d = 20
    u = 10.0 ** -np.arange(d)  # energies down to 1e-38
    problem = TransferProblem(Population.isotropic(d), np.zeros(d), u)
    expected = [sum(sorted(u[k:] ** 2)) for k in range(d + 1)]
    tails = similarity.tail_energy(problem, np.arange(d + 1))
    np.testing.assert_allclose(tails, expected, rtol=1e-12)


@given(seeds)
def test_cosines_are_cosines(seed):
    """Parallel teachers give 1 and −1, which an arccos must be able to take."""
    theta = np.random.default_rng(seed).standard_normal(7)
    for factor in 1, 0.3, -3:
        problem = TransferProblem(Population.power_law(7, 1), theta, factor * theta)
        for cosine in similarity.cosine, similarity.weighted_cosine:
            assert cosine(problem) == pytest.approx(np.sign(factor))
            assert abs(cosine(problem)) <= 1


PROBLEM = TransferProblem(Population([1, 0]), np.ones(2), np.zeros(2))
UNSEEN = TransferProblem(Population([1, 0]), [0, 1], np.ones(2))
EQUAL = TransferProblem(Population([1, 0]), np.ones(2), np.ones(2))


@pytest.mark.parametrize("measure", WHOLE + tuple(lambda p, m=m: m(p, 1) for m in SPLIT))
def test_anything_but_a_problem_is_refused(measure):
    with pytest.raises(TypeError, match="^problem must be a TransferProblem"):
        measure((np.ones(2), np.ones(2)))


@pytest.mark.parametrize("measure", SPLIT)
@pytest.mark.parametrize(
    ("rank", "error"),
    [
        (-1, ValueError),
        (3, ValueError),
        ([0, 3], ValueError),
        (1.0, TypeError),
        ("1", TypeError),
        (None, TypeError),
        (True, TypeError),
    ],
)
def test_bad_ranks_are_named(measure, rank, error):
    with pytest.raises(error, match="^rank must"):
        measure(PROBLEM, rank)


@pytest.mark.parametrize(
    ("measure", "problem", "what"),
    [
        (similarity.cosine, PROBLEM, "zero"),
        (similarity.weighted_cosine, PROBLEM, "zero on the population"),
        (similarity.weighted_cosine, UNSEEN, "zero on the population"),
        (lambda p: similarity.spectral_profile(p, 1), EQUAL, "the gap is zero"),
    ],
)
def test_what_the_measure_needs_is_said(measure, problem, what):
    with pytest.raises(ValueError, match=f"^problem must .*{what}"):
        measure(problem)


def test_batches_are_measured_at_once():
    """Each pair as it is alone, whatever the sizes of the others."""
    rng = np.random.default_rng(0)
    population = Population(np.sort(rng.random(9))[::-1], rotation(9, 1))
    batch = TransferProblem(
        population,
        rng.standard_normal(9),
        rng.standard_normal((2, 3, 9)) * 10.0 ** rng.integers(-90, 90, (2, 3, 1)),
    )
    ranks = np.arange(10)
    measures = [
        similarity.squared_distance,
        similarity.cosine,
        similarity.weighted_squared_distance,
        similarity.weighted_cosine,
    ]
    measures += [
        partial(measure, rank=3) for measure in (similarity.top_energy, similarity.tail_energy)
    ]
    measures += [
        partial(measure, rank=ranks) for measure in (similarity.top_energy, similarity.tail_energy)
    ]
    measures += [
        partial(similarity.spectral_profile, rank=ranks),
        partial(similarity.spectral_profile, rank=3),
    ]
    measures += [
        partial(bound, error=0.3) for bound in (bounds.uniform_bound, bounds.spectral_bound)
    ]
    measures += [partial(bounds.spectral_bound, error=0.3, rank=4)]
    for measure in measures:
        together = measure(batch)
        for index, problem in zip(np.ndindex(2, 3), batch.each(), strict=True):
            np.testing.assert_allclose(together[index], measure(problem), rtol=1e-12)
    tiny = TransferProblem.from_gap(population, [[1e-200] * 9, [1.0] * 9])
    np.testing.assert_allclose(*similarity.spectral_profile(tiny, ranks), rtol=1e-12)
    np.testing.assert_allclose(bounds.uniform_bound(tiny, 1e100), [9e-300, 9e100])
    for zero in similarity.squared_distance(tiny)[0], bounds.spectral_bound(tiny, 0.1)[0]:
        assert zero == 0  # squares that underflow
    with pytest.raises(ValueError, match="^problem must have source and target that differ"):
        similarity.spectral_profile(
            TransferProblem.from_gap(population, np.eye(9) * (ranks[:9] > 0)), 1
        )
