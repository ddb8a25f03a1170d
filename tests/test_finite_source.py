"""thm-finite-source and thm-shift: simulated, evaluated with matrices, and in their corners."""

import itertools
import math
from functools import partial

import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.optimize
from hypothesis import assume, given, settings
from strategies import assert_equivalent, populations, rotation, seeds

from lib import exact_risk
from lib.exact_risk import finite_source_risk, linear_risk, shifted_risk
from lib.planning import exchange_rate, optimal_ridge, optimal_source_ridge, risk_profile
from lib.problem import Population, TransferProblem

PRETRAINING = ("source_samples", "source_ridge", "source_noise")
shares = st.one_of(st.just(0.0), st.floats(0.05, 0.9), st.floats(1.1, 3))
strengths = st.one_of(st.sampled_from([0.0, math.inf]), st.floats(-2, 2).map(lambda x: 10**x))
noises = st.sampled_from([0.0, 0.3, 2.0])


def rank(population):
    """Return the number of positive eigenvalues."""
    return np.count_nonzero(population.eigenvalues)


def tame(population):
    """Whether a matrix in floating point is as good as its eigenvalues."""
    return population.eigenvalues[rank(population) - 1] > 1e-3 * population.eigenvalues[0]


def inputs(dim):
    """Populations of any eigenvectors and any rank."""
    return populations(st.just(dim)).filter(tame)


@st.composite
def transfers(draw, batches=((), (2,), (2, 3))):
    """Teachers, alone or in a batch, unrelated, close or equal."""
    dim = draw(st.integers(2, 8))
    rng, shape = np.random.default_rng(draw(seeds)), (*draw(st.sampled_from(batches)), dim)
    source = rng.standard_normal(draw(st.sampled_from([(dim,), shape])))
    distance = draw(st.sampled_from([0.0, 0.03, 1.0]))
    target = source + distance * rng.standard_normal(shape)
    return TransferProblem(draw(inputs(dim)), source, target)


@st.composite
def cases(draw, batches=((), (2,), (2, 3))):
    """A problem, and what ``finite_source_risk`` takes, away from the interpolation peaks."""
    problem = draw(transfers(batches))
    own = problem.population
    match draw(st.sampled_from(["own", "same axes", "other axes"])):
        case "own":
            other = None
        case "same axes":
            other = Population(draw(inputs(own.dim)).eigenvalues, own.eigenvectors)
        case "other axes":
            other = draw(inputs(own.dim))
    return problem, {
        "n": draw(shares) * rank(own),
        "source_samples": draw(shares) * rank(other or own),
        "source_ridge": draw(strengths),
        "source_noise": draw(noises),
        "ridge": draw(strengths),
        "noise": draw(noises),
        "source_population": other,
    }


def slack(problem, noise=0.0):
    """Return what counts as nothing beside the risk of teachers of this size."""
    size = sum(np.vecdot(t, t).max() for t in (problem.source, problem.target))
    return 1e-12 * (problem.population.eigenvalues[0] * size + noise**2)


def both(problem, options):
    """Return the slack of two tasks with noise."""
    return slack(problem, options["noise"] + options["source_noise"])


# The formulas, with matrices


def resolvents(population, n, ridge):
    """Return Σ(Σ+κ)⁻¹, κ(Σ+κ)⁻¹ and Σ(Σ+κ)⁻²; for κ = 0 two projections and the pseudo-inverse."""
    sigma, values, eye = population.covariance(), population.eigenvalues, np.eye(population.dim)
    if n == 0 or ridge == math.inf:
        return 0 * eye, eye, 0 * eye
    if ridge == 0 and n >= rank(population):
        inverse = np.linalg.pinv(sigma, rcond=1e-9, hermitian=True)
        return sigma @ inverse, eye - sigma @ inverse, inverse

    def excess(x):
        return np.sum(values / (values + np.exp(x))) + ridge * np.exp(-x) - n

    kappa = math.exp(scipy.optimize.brentq(excess, -50, 50, xtol=1e-14, rtol=1e-15))
    inverse = np.linalg.inv(sigma + kappa * eye)
    return sigma @ inverse, kappa * inverse, sigma @ inverse @ inverse


def risk_of(population, square, n, ridge, noise):
    """Return E R for a gap of mean square E uuᵀ = ``square``, and (R + σ²)/n."""
    seen, unseen, _ = resolvents(population, n, ridge)
    bias = np.trace(unseen @ population.covariance() @ unseen @ square)
    if n == 0:
        return bias, 0.0
    total = (bias + noise**2) / (1 - np.trace(seen @ seen) / n)
    return total - noise**2, total / n


def finite_source_by_matrices(problem, options):
    """Return ``finite_source_risk`` of one pair of teachers and numbers."""
    n, ridge, noise = options["n"], options["ridge"], options["noise"]
    pretraining = [options[name] for name in PRETRAINING]
    pretrained = options["source_population"] or problem.population
    if pretraining[0] == math.inf:
        pretraining = [10 * problem.population.dim, 0.0, 0.0]
    samples, source_ridge, source_noise = pretraining
    seen, _, weight = resolvents(pretrained, samples, source_ridge)
    square = np.outer(problem.source, problem.source)
    _, spread = risk_of(pretrained, square, samples, source_ridge, source_noise)
    gap = problem.target - seen @ problem.source
    return risk_of(problem.population, np.outer(gap, gap) + spread * weight, n, ridge, noise)[0]


def shifted_by_matrices(problem, population, n, ridge, noise):
    """Return ``shifted_risk`` of one pair of teachers and numbers."""
    _, unseen, weight = resolvents(problem.population, n, ridge)
    square, tested = np.outer(problem.gap, problem.gap), population.covariance()
    _, spread = risk_of(problem.population, square, n, ridge, noise)
    return np.trace(unseen @ tested @ unseen @ square) + np.trace(weight @ tested) * spread


def each(function, problem):
    """Return a function of one pair of teachers for each of a batch."""
    risks = [function(one) for one in problem.each()]
    return np.reshape(risks, problem.gap.shape[:-1])


@settings(max_examples=300)
@given(cases(), st.booleans())
def test_finite_source_risk_is_the_formula(case, endless):
    problem, options = case
    if endless:
        options["source_samples"] = math.inf
    expected = each(lambda one: finite_source_by_matrices(one, options), problem)
    risk = finite_source_risk(problem, **options)
    assert np.shape(risk) == expected.shape
    np.testing.assert_allclose(risk, expected, rtol=1e-9, atol=both(problem, options))


@settings(max_examples=300)
@given(transfers(), st.data(), shares, strengths, noises)
def test_shifted_risk_is_the_formula(problem, data, share, ridge, noise):
    tested = data.draw(inputs(problem.population.dim))
    n = share * rank(problem.population)
    expected = each(lambda one: shifted_by_matrices(one, tested, n, ridge, noise), problem)
    risk = shifted_risk(problem, tested, n, ridge, noise)
    assert np.shape(risk) == expected.shape
    nothing = slack(problem, noise) * tested.eigenvalues[0]
    nothing /= problem.population.eigenvalues[rank(problem.population) - 1]
    np.testing.assert_allclose(risk, expected, rtol=1e-9, atol=nothing)


# The formulas, simulated


def trained(X, y, start, ridge):
    """Return the end of (ridge) least squares from ``start``, by the normal equations."""
    rest, small = y - X @ start, len(X) < X.shape[1]
    square = X @ X.T if small else X.T @ X
    square[np.diag_indices_from(square)] += ridge
    if small:
        return start + X.T @ np.linalg.solve(square, rest)
    return start + np.linalg.solve(square, X.T @ rest)


def drawn(population, theta, n, noise, rng, law):
    """Return samples of the teacher ``theta``."""
    X = population.sample(n, rng, law)
    return X, X @ theta + noise * rng.standard_normal(n)


def random_setting(seed, dim=120):
    """Return teachers, other inputs, and the numbers of two trainings, away from the peaks."""
    rng = np.random.default_rng(seed)
    own, other = (
        Population(np.arange(1.0, dim + 1) ** -rng.uniform(0, 1.3), axes)
        for axes in (rotation(dim, seed) if seed % 2 else None, rotation(dim, seed + 100))
    )
    if seed % 3 == 0:
        other = Population(other.eigenvalues, own.eigenvectors)
    source, gap = rng.standard_normal((2, dim)) / math.sqrt(dim)
    problem = TransferProblem(own, source, source + rng.choice([0.3, 1]) * gap)
    trainings = [
        (int(size), ridge, noise)
        for size, ridge, noise in zip(
            rng.choice([30, 60, 90, 160, 250], 2, p=[0.2, 0.25, 0.25, 0.15, 0.15]),
            rng.choice([0, 0.5, 5], 2),
            rng.choice([0, 0.2, 0.5], 2, p=[0.2, 0.4, 0.4]),
            strict=True,
        )
    ]
    return problem, other, *trainings, ["gaussian", "rademacher"][seed // 2 % 2]


@pytest.mark.parametrize("seed", range(12))
def test_finite_source_risk_is_as_simulated(seed):
    problem, other, (n, ridge, noise), pretraining, law = random_setting(seed)
    samples, source_ridge, source_noise = pretraining
    if seed % 3 == 1:
        other = problem.population
    rng, risks = np.random.default_rng(1), []
    for _ in range(200):
        X, y = drawn(other, problem.source, samples, source_noise, rng, law)
        source = trained(X, y, np.zeros(120), source_ridge)
        X, y = drawn(problem.population, problem.target, n, noise, rng, law)
        risks.append(problem.risk(trained(X, y, source, ridge)))
    options = {"source_ridge": source_ridge, "source_noise": source_noise}
    options |= {"ridge": ridge, "noise": noise, "source_population": other}
    assert_equivalent(risks, finite_source_risk(problem, n, samples, **options), 0.04)


@pytest.mark.parametrize("seed", range(12))
def test_shifted_risk_is_as_simulated(seed):
    problem, tested, (n, ridge, noise), _, law = random_setting(seed)
    rng, risks = np.random.default_rng(2), []
    for _ in range(200):
        X, y = drawn(problem.population, problem.target, n, noise, rng, law)
        risks.append(tested.squared_norm(trained(X, y, problem.source, ridge) - problem.target))
    assert_equivalent(risks, shifted_risk(problem, tested, n, ridge, noise), 0.04)


@pytest.mark.parametrize("samples, n", [(4, 3), (2, 9), (8, 1)])
def test_isotropic_formula_is_exact(samples, n):
    """In ten dimensions, which no limit is near."""
    rng = np.random.default_rng(0)
    population = Population(np.full(10, 0.5), rotation(10, 0))
    source, target = rng.standard_normal((2, 10))
    target += source
    share = samples / 10 * (2 * source @ target - source @ source)
    expected = 0.5 * (1 - n / 10) * (target @ target - share)
    problem = TransferProblem(population, source, target)
    assert finite_source_risk(problem, n, samples) == pytest.approx(expected, rel=1e-12)
    risks = []
    for _ in range(4000):
        X, Z = population.sample(samples, rng), population.sample(n, rng)
        start = trained(X, X @ source, np.zeros(10), 0.0)
        risks.append(problem.risk(trained(Z, Z @ target, start, 0.0)))
    assert_equivalent(risks, expected, 0.0)


# Corners of the finite source


def assert_same(problem, options, expected):
    """``finite_source_risk`` is ``expected``, up to rounding."""
    np.testing.assert_allclose(
        finite_source_risk(problem, **options), expected, rtol=1e-10, atol=both(problem, options)
    )


def tuned(problem, options):
    """Return ``linear_risk`` at the numbers of fine-tuning."""
    return linear_risk(problem, options["n"], options["ridge"], options["noise"])


@given(cases())
def test_endless_source_samples(case):
    problem, options = case
    other = options["source_population"]
    assume(other is None or rank(other) == other.dim)
    expected = tuned(problem, options)
    assert_same(problem, options | {"source_samples": math.inf}, expected)
    options["source_samples"] = 1e14
    assume(options["source_ridge"] < math.inf)
    np.testing.assert_allclose(
        finite_source_risk(problem, **options), expected, rtol=1e-5, atol=both(problem, options)
    )


def test_endless_samples_do_not_show_what_the_inputs_lack():
    problem = TransferProblem(Population([3.0, 2, 1]), [1.0, 2, 3], [1.0, 2, 4])
    other = Population([5.0, 5, 0])
    risk = finite_source_risk(problem, 0, math.inf, source_noise=1.0, source_population=other)
    assert risk == pytest.approx(16)


@given(cases(), st.sampled_from([{"source_samples": 0.0}, {"source_ridge": math.inf}]))
def test_without_a_source(case, nothing):
    problem, options = case
    assert_same(problem, options | nothing, tuned(problem.from_scratch(), options))


@given(cases())
def test_no_fine_tuning(case):
    problem, options = case
    before = finite_source_risk(problem, **options | {"n": 0.0})
    assert_same(problem, options | {"ridge": math.inf}, before)
    # Of the source's own task it is the risk of pretraining, measured by the target inputs.
    own = TransferProblem(problem.population, problem.source, problem.source)
    other = options["source_population"] or problem.population
    scratch = TransferProblem.from_gap(other, problem.source)
    pretraining = [options[name] for name in PRETRAINING]
    expected = shifted_risk(scratch, problem.population, *pretraining)
    assert_same(own, options | {"n": 0.0}, expected)
    if other is problem.population:
        assert_same(own, options | {"n": 0.0}, linear_risk(scratch, *pretraining))


@given(cases(), seeds)
def test_source_inputs_in_another_representation(case, seed):
    problem, options = case
    own = problem.population
    V = np.eye(own.dim) if own.eigenvectors is None else own.eigenvectors
    # Eigenvectors turned where the eigenvalues are equal, and of another sign elsewhere.
    turned = V.copy()
    for value in np.unique(own.eigenvalues):
        part = np.flatnonzero(own.eigenvalues == value)
        turned[:, part] = -V[:, part] @ rotation(part.size, seed)
    options["source_samples"] *= rank(own) / rank(options["source_population"] or own)
    alone = finite_source_risk(problem, **options | {"source_population": None})
    for vectors in (turned, V.copy(), V):
        options["source_population"] = Population(own.eigenvalues, vectors)
        assert_same(problem, options, alone)


def rotated(population, Q):
    """Return the law of Qx."""
    V = population.eigenvectors
    return Population(population.eigenvalues, Q if V is None else Q @ V)


@given(cases(), seeds)
def test_everything_rotated(case, seed):
    problem, options = case
    Q = rotation(problem.population.dim, seed)
    moved = rotated(problem.population, Q)
    moved = TransferProblem(moved, problem.source @ Q.T, problem.target @ Q.T)
    other = options["source_population"]
    expected = finite_source_risk(problem, **options)
    assert_same(
        moved,
        options | {"source_population": None if other is None else rotated(other, Q)},
        expected,
    )


@given(cases(), st.integers(-9, 9), st.integers(-9, 9), st.integers(-9, 9))
def test_units(case, by, stretch, widen):
    """Longer teachers, wider target inputs, wider source inputs."""
    problem, options = case
    by, stretch, widen = 10.0**by, 10.0**stretch, 10.0**widen
    own = problem.population
    other = options["source_population"] or own
    moved = TransferProblem(
        Population(stretch * own.eigenvalues, own.eigenvectors),
        by * problem.source,
        by * problem.target,
    )
    scaled = {
        "source_ridge": options["source_ridge"] * widen,
        "source_noise": options["source_noise"] * by * math.sqrt(widen),
        "ridge": options["ridge"] * stretch,
        "noise": options["noise"] * by * math.sqrt(stretch),
        "source_population": Population(widen * other.eigenvalues, other.eigenvectors),
    }
    risk = finite_source_risk(problem, **options) * by**2 * stretch
    np.testing.assert_allclose(
        finite_source_risk(moved, **options | scaled),
        risk,
        rtol=1e-9,
        atol=by**2 * stretch * both(problem, options),
    )


def test_peaks_of_the_finite_source():
    problem = TransferProblem(Population([2.0, 1, 0.5]), [1.0, 2, 3], [2.0, 2, 1])
    at = partial(finite_source_risk, problem, source_noise=0.3, noise=0.3)
    n = np.array([1, 2.999, 3, 3.001, 4])
    for risk in (at(n, 1), at(n, 4), at(1, n), at(0, n)):
        np.testing.assert_array_equal(risk == math.inf, n == 3)
        assert np.isfinite(risk[n != 3]).all() and (risk[[1, 3]] > 10 * risk[[0, 4]]).all()
    assert np.isfinite(at(n, n, ridge=1e-3, source_ridge=1e-3)).all()
    assert (finite_source_risk(problem, n, n) < 100).all()


@pytest.mark.parametrize("samples", [2, 2.999, 3, 3.001])
def test_a_peak_of_the_source_is_forgotten_with_enough_target_samples(samples):
    """Least squares is what it is, wherever it starts."""
    problem = TransferProblem(Population([2.0, 1, 0.5]), [1.0, 2, 3], [2.0, 2, 1])
    for noise in (0.0, 0.3):
        risk = finite_source_risk(problem, 5, samples, source_noise=0.3, noise=noise)
        assert risk == pytest.approx(linear_risk(problem, 5, 0.0, noise), abs=1e-20)


def test_a_peak_of_the_source_where_its_inputs_lack_a_direction():
    problem = TransferProblem(Population([2.0, 1, 0.5]), [1.0, 2, 3], [2.0, 2, 1])
    at = partial(finite_source_risk, problem, 1, 2, source_noise=0.3)
    assert at(source_population=Population([1.0, 1, 0])) == math.inf
    blind = TransferProblem(Population([2.0, 1, 0]), [1.0, 2, 3], [2.0, 2, 1])
    assert finite_source_risk(blind, 1, 2, source_noise=0.3) == math.inf
    # All of the error lies where no target input has anything.
    apart = TransferProblem(Population([1.0, 0, 0]), [1.0, 2, 3], [2.0, 2, 1])
    beside = Population([1.0, 0, 0], np.eye(3)[::-1])
    risk = finite_source_risk(apart, 0.5, 1, source_noise=0.3, source_population=beside)
    assert risk == pytest.approx(2)  # (1 − n)θ_T²


# Corners of the shift


@given(transfers(), shares, strengths, noises, seeds)
def test_the_same_test_inputs(problem, share, ridge, noise, seed):
    own, n = problem.population, share * rank(problem.population)
    expected, nothing = linear_risk(problem, n, ridge, noise), slack(problem, noise)
    copies = [own]
    if own.eigenvectors is not None:
        copies.append(Population(own.eigenvalues, -own.eigenvectors))
    if own.eigenvalues[0] == own.eigenvalues[-1]:
        copies.append(Population(own.eigenvalues, rotation(own.dim, seed)))
    for same in copies:
        risk = shifted_risk(problem, same, n, ridge, noise)
        np.testing.assert_allclose(risk, expected, rtol=1e-10, atol=nothing)


def of_moment(sigma):
    """Return the population with this second moment."""
    values, vectors = np.linalg.eigh(sigma)
    return Population(np.maximum(values[::-1], 0), vectors[:, ::-1])


@given(transfers(), st.data(), shares, strengths, noises)
def test_shifted_risk_is_linear_in_the_moment(problem, data, share, ridge, noise):
    own = problem.population
    n = share * rank(own)
    pair = [data.draw(inputs(own.dim)) for _ in range(2)]
    mixed = of_moment(0.3 * pair[0].covariance() + 2.0 * pair[1].covariance())
    one, two, both = (shifted_risk(problem, at, n, ridge, noise) for at in (*pair, mixed))
    np.testing.assert_allclose(both, 0.3 * one + 2 * two, rtol=1e-9, atol=1e3 * slack(problem))


@given(transfers(), shares, strengths, noises)
def test_one_eigenvector_of_test_inputs(problem, share, ridge, noise):
    own = problem.population
    n = share * rank(own)
    V = np.eye(own.dim) if own.eigenvectors is None else own.eigenvectors
    profile = risk_profile(problem, n, ridge, noise)
    for i in range(rank(own)):
        single = Population(np.eye(own.dim)[0], np.roll(V, -i, axis=1))
        np.testing.assert_allclose(
            shifted_risk(problem, single, n, ridge, noise),
            profile[..., i] / own.eigenvalues[i],
            rtol=1e-10,
            atol=slack(problem) / own.eigenvalues[i],
        )


@given(transfers(), shares, strengths, noises)
def test_where_no_sample_varies_nothing_is_learned(problem, share, ridge, noise):
    own, seen = problem.population, problem.population.dim // 2
    own = Population(np.where(np.arange(own.dim) < seen, 1.5, 0), own.eigenvectors)
    problem = TransferProblem(own, problem.source, problem.target)
    V = np.eye(own.dim) if own.eigenvectors is None else own.eigenvectors
    hidden = np.hstack([V[:, seen:], V[:, :seen]])
    hidden = Population(np.where(np.arange(own.dim) < own.dim - seen, 0.7, 0), hidden)
    np.testing.assert_allclose(
        shifted_risk(problem, hidden, share * seen, ridge, noise),
        hidden.squared_norm(problem.gap),
        rtol=1e-9,
        atol=1e-12,
    )


@given(transfers(), st.data(), shares, strengths, noises)
def test_no_samples_under_shift(problem, data, share, ridge, noise):
    tested = data.draw(inputs(problem.population.dim))
    whole = tested.squared_norm(problem.gap)
    for n, delta in ((0.0, ridge), (share * rank(problem.population), math.inf)):
        risk = shifted_risk(problem, tested, n, delta, noise)
        np.testing.assert_allclose(risk, whole, rtol=1e-10)


def test_peak_of_the_shifted_risk():
    problem = TransferProblem(Population([2.0, 1, 0]), [1.0, 2, 3], [2.0, 2, 1])
    n = np.array([1, 1.999, 2, 2.001, 3])
    for tested in (Population([1.0, 0, 0]), Population([1.0, 1, 1], rotation(3, 0))):
        risk = shifted_risk(problem, tested, n, 0.0, 0.3)
        np.testing.assert_array_equal(risk == math.inf, n == 2)
        assert np.isfinite(risk[n != 2]).all() and (risk[[1, 3]] > 10 * risk[[0, 4]]).all()
        assert np.isfinite(shifted_risk(problem, tested, n, 1e-3, 0.3)).all()
        assert np.isfinite(shifted_risk(problem, tested, n)).all()


def test_peak_of_the_shifted_risk_where_no_sample_varies():
    problem = TransferProblem(Population([2.0, 1, 0]), [1.0, 2, 3], [2.0, 2, 1])
    hidden = Population([1.0, 0, 0], np.eye(3)[::-1])
    assert shifted_risk(problem, hidden, 2, 0.0, 0.3) == 4


# Arrays


def spread_out(numbers):
    """Return the numbers with an axis for each, the last of them first."""
    return {
        name: np.reshape(values, (-1,) + (1,) * k)
        for k, (name, values) in enumerate(numbers.items())
    }


def assert_each(function, numbers, batch, rtol):
    """Arrays are a loop over scalars; a batch of teachers comes first, then the numbers."""
    arrays = spread_out(numbers)
    shape = np.broadcast_shapes(*(values.shape for values in arrays.values()))
    result = function(batch, **arrays)
    lead = batch.gap.shape[:-1]
    assert result.shape == (*lead, *shape)
    for index in np.ndindex(shape):
        picked = {name: float(np.broadcast_to(v, shape)[index]) for name, v in arrays.items()}
        for teachers, one in zip(np.ndindex(lead), batch.each(), strict=True):
            alone = function(one, **picked)
            assert isinstance(alone, float)
            np.testing.assert_allclose(result[*teachers, *index], alone, rtol=rtol)


NUMBERS = {
    "n": [0, 3.5, 9],
    "source_samples": [3, math.inf],
    "source_ridge": [0, 0.5],
    "source_noise": [0.2, 0.1],
    "ridge": [0.3, 0],
    "noise": [0, 0.4],
}
OTHERS = {
    "own": None,
    "same axes": Population([3.0, 2, 1, 1, 0]),
    "other axes": Population([3.0, 2, 1, 1, 0], rotation(5, 1)),
}


@pytest.fixture
def batch():
    """Return three pairs of teachers."""
    rng = np.random.default_rng(0)
    return TransferProblem(Population([2.0, 1, 1, 0.5, 0.1]), *rng.standard_normal((2, 3, 5)))


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("block", [None, 1, 77])
def test_finite_source_risk_of_arrays(batch, other, block, monkeypatch):
    if block is not None:
        monkeypatch.setattr(exact_risk, "_BLOCK", block)
    function = partial(finite_source_risk, source_population=OTHERS[other])
    assert_each(function, NUMBERS, batch, 1e-12)


@pytest.mark.parametrize("other", OTHERS)
def test_shifted_risk_of_arrays(batch, other):
    numbers = {name: NUMBERS[name] for name in ("n", "ridge", "noise")}

    def function(problem, **numbers):
        return shifted_risk(problem, OTHERS[other] or problem.population, **numbers)

    assert_each(function, numbers, batch, 1e-12)


@pytest.mark.parametrize("other", OTHERS)
def test_planning_of_arrays(batch, other):
    numbers = {name: NUMBERS[name] for name in NUMBERS if name not in ("source_ridge", "noise")}
    function = partial(optimal_source_ridge, source_population=OTHERS[other])
    assert_each(function, numbers | {"n": [0, 2]}, batch, 1e-9)
    function = partial(exchange_rate, source_population=OTHERS[other])
    assert_each(function, NUMBERS | {"n": [0, 2.5], "source_samples": [1, 8]}, batch, 1e-6)


def test_arrays_of_many_directions():
    """Where the library sums over fewer points than eigenvalues."""
    rng = np.random.default_rng(0)
    population = Population(np.linspace(2, 1, 130))
    problem = TransferProblem(population, *rng.standard_normal((2, 2, 130)))
    n = np.arange(0.0, 260, 13)
    n[10] += 0.5
    at = partial(finite_source_risk, source_noise=0.2, noise=0.1)
    for other in (None, Population(np.linspace(5, 2, 130), rotation(130, 0))):
        table = at(problem, n[:, None], n, source_population=other)
        assert table.shape == (2, 20, 20)
        for i, j in itertools.product(range(0, 20, 3), repeat=2):
            alone = at(problem, n[i], n[j], source_population=other)
            np.testing.assert_allclose(table[:, i, j], alone, rtol=1e-10)


def test_no_numbers_at_all(batch):
    assert finite_source_risk(batch, [], 3).shape == (3, 0)
    assert shifted_risk(batch, batch.population, []).shape == (3, 0)
    assert optimal_source_ridge(batch, [], 3).shape == (3, 0)
    assert exchange_rate(batch, np.zeros((2, 0)), 3).shape == (3, 2, 0)


# The best ridge of the source


def tried(problem, options):
    """Return ridges that are worth a try, ascending from 0 to infinity, and their risks."""
    other = options["source_population"] or problem.population
    ridges = np.geomspace(1e-6, 1e8, 1000) * other.eigenvalues[0]
    ridges = np.array([0, *ridges, math.inf])
    return ridges, finite_source_risk(problem, **options | {"source_ridge": ridges})


@settings(max_examples=200)
@given(cases(batches=[()]), st.booleans())
def test_no_ridge_of_the_source_does_better(case, peak):
    problem, options = case
    if peak:
        options["source_samples"] = rank(options["source_population"] or problem.population)
    options.pop("source_ridge")
    noise = options.pop("noise")
    best = optimal_source_ridge(problem, **options)
    options["noise"] = 0.0  # so that what noise adds hides nothing
    _, risks = tried(problem, options)
    least = finite_source_risk(problem, **options, source_ridge=best)
    assert least <= risks.min() * (1 + 1e-9) + slack(problem, options["source_noise"])
    # The noise of the target labels multiplies the part that varies, and adds the rest.
    options["noise"] = noise
    _, louder = tried(problem, options)
    assert louder[np.argmin(risks)] <= louder.min() * (1 + 1e-12) + both(problem, options)
    assert finite_source_risk(problem, **options, source_ridge=best) <= louder.min() * (
        1 + 1e-9
    ) + both(problem, options)


@given(transfers([()]), shares, noises, strengths)
def test_best_ridge_of_the_own_task(problem, share, noise, ridge):
    own = TransferProblem(problem.population, problem.source, problem.source)
    scratch = TransferProblem.from_gap(problem.population, problem.source)
    samples = share * rank(problem.population)
    expected = optimal_ridge(scratch, samples, noise)
    for n, strong in ((0, ridge), (3, math.inf)):
        best = optimal_source_ridge(own, n, samples, source_noise=noise, ridge=strong)
        assert best == pytest.approx(expected, rel=1e-6)


def test_best_ridges_at_the_ends():
    rng = np.random.default_rng(0)
    source, other = rng.standard_normal((2, 30))
    population = Population.power_law(30, 1)
    best = partial(optimal_source_ridge, source_noise=0.3)
    problem = TransferProblem(population, source, source + 0.3 * other)
    assert (best(problem, [0, 5, 40], [[0], [math.inf]]) == 0).all()
    assert 0 < best(problem, 5, 20) < math.inf
    assert best(problem, 40, 20) == 0  # without ridge all sources are equally good
    assert (best(problem, 40, 20, ridge=[0.1, 1]) > 0).all()
    opposed = TransferProblem(population, source, -source)
    assert (best(opposed, [0, 5, 20], [[5], [20], [60]]) == math.inf).all()
    assert optimal_source_ridge(opposed, 5, 20) == math.inf
    nothing = TransferProblem(population, 0 * source, source)
    assert best(nothing, 5, 20) == math.inf
    assert optimal_source_ridge(nothing, 5, 20) == 0
    # Isotropic inputs and equal tasks, without noise: to learn all that can be learned.
    equal = TransferProblem(Population.isotropic(30), source, source)
    assert optimal_source_ridge(equal, [0, 5], 20).tolist() == [0, 0]


def test_the_best_ridge_for_transfer_is_not_that_of_the_own_task():
    """What the target samples see of the source need not be learned."""
    source = np.append(np.full(10, 3.0), np.full(30, 0.1))
    problem = TransferProblem(Population.power_law(40, 1), source, source)
    ridges = optimal_source_ridge(problem, [0, 5, 20], 20, source_noise=1.0)
    assert (np.diff(ridges) < 0).all() or (np.diff(ridges) > 0).all()


# The exchange rate


@given(st.integers(2, 60), st.floats(0, 0.97), st.floats(0, 0.97), seeds)
def test_isotropic_exchange_rate(dim, share, source_share, seed):
    rng = np.random.default_rng(seed)
    source, other = rng.standard_normal((2, dim))
    problem = TransferProblem(Population.isotropic(dim, 3.0), source, source + 0.5 * other)
    source, target = problem.source, problem.target
    gain = 2 * source @ target - source @ source
    assume(abs(gain) > 0.1 * source @ source)
    n, samples = share * dim, source_share * dim
    expected = (dim * target @ target / gain - samples) / (dim - n)
    assert exchange_rate(problem, n, samples) == pytest.approx(expected, rel=1e-7)


@given(seeds, st.sampled_from(["own", "same axes", "other axes"]))
def test_samples_are_worth_as_much_as_the_rate_says(seed, kind):
    rng, dim = np.random.default_rng(seed), 30
    own, other = (
        Population(np.arange(1.0, dim + 1) ** -rng.uniform(0, 1.3), rotation(dim, seed % 99 + k))
        for k in range(2)
    )
    if kind == "same axes":
        other = Population(other.eigenvalues, own.eigenvectors)
    source, gap = rng.standard_normal((2, dim))
    problem = TransferProblem(own, source, source + 0.5 * gap)
    options = {
        "source_ridge": rng.choice([0.0, 0.3, 3.0]),
        "source_noise": rng.choice([0.0, 0.5]),
        "ridge": rng.choice([0.3, 3.0]),
        "noise": rng.choice([0.0, 0.5]),
        "source_population": None if kind == "own" else other,
    }
    n, samples = rng.choice([4, 12, 20, 40, 60], 2)
    if options["source_ridge"] == options["source_noise"] == 0:
        samples = min(samples, 20)  # beyond 30 more show nothing more
    risk = partial(finite_source_risk, problem, **options)
    rate = exchange_rate(problem, n, samples, **options)
    # Of the difference the even part is of second order in h, the odd one of third.
    h = 1e-2 / max(abs(rate), 1)
    more, less = (risk(n, samples + rate * k) - risk(n + k, samples) for k in (h, -h))
    moved = abs(risk(n + h, samples) - risk(n - h, samples))
    assert abs(more + less) <= 0.1 * moved
    assert abs(more - less) <= 1e-4 * moved


def test_signs_of_the_exchange_rate():
    rng = np.random.default_rng(0)
    source, other = rng.standard_normal((2, 40))
    problem = TransferProblem(Population.power_law(40, 0.5), source, source + 0.3 * other)
    rate = partial(exchange_rate, problem, source_noise=0.5)
    assert (rate(10, [5, 60]) > 0).all()
    assert rate(10, 38) < 0  # below the peak of the source more source samples hurt
    assert rate(10, 42) > 0
    assert exchange_rate(problem, 38, 5, noise=0.5) < 0  # here target samples do
    opposed = TransferProblem(problem.population, source, -source)
    assert exchange_rate(opposed, 10, 5) < 0


@pytest.mark.parametrize("away", [0.1, 0.01, 0.001])
def test_exchange_rate_close_to_the_peak(away):
    """Isotropic: R/(1 − n/d) = ‖θ_T‖² − n_S(2θ_Sᵀθ_T − ‖θ_S‖²)/d + n_Sσ_S²/(d − n_S)."""
    rng, d, n = np.random.default_rng(0), 20, 5
    source, target = rng.standard_normal((2, d))
    target += source
    problem, samples = TransferProblem(Population.isotropic(d), source, target), d - away
    gain = 2 * source @ target - source @ source
    left = target @ target - samples / d * gain + samples * 0.09 / (d - samples)
    slope = -gain / d + d * 0.09 / (d - samples) ** 2
    expected = (-left / d) / ((1 - n / d) * slope)
    rate = exchange_rate(problem, n, samples, source_noise=0.3)
    assert rate == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("samples", [30, 200, 1e4, 1e6])
def test_exchange_rate_of_an_ample_source(samples):
    """Isotropic, n_S > d: R/(1 − n/d) = ‖u‖² + dσ_S²/(n_S − d)."""
    rng, d, n = np.random.default_rng(0), 20, 5
    source, gap = rng.standard_normal((2, d))
    problem = TransferProblem(Population.isotropic(d), source, source + gap)
    noise = d * 0.09 / (samples - d)
    expected = (gap @ gap + noise) / (d - n) / noise * (samples - d)
    rate = exchange_rate(problem, n, samples, source_noise=0.3)
    assert rate == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    "n, samples, options",
    [
        (10, 10, {"source_ridge": math.inf}),
        (10, 60, {}),
        (10, 30, {"source": 0.0}),
        (50, 10, {"noise": 0.3}),
    ],
)
def test_exchange_rate_where_source_samples_change_nothing(n, samples, options):
    source = options.get("source", 1.0) * np.ones(40)
    options = {name: value for name, value in options.items() if name != "source"}
    problem = TransferProblem(Population.power_law(40, 0.5), source, np.arange(40.0))
    assert abs(exchange_rate(problem, n, samples, **options)) == math.inf


def test_exchange_rate_where_target_samples_change_nothing():
    problem = TransferProblem(Population.power_law(40, 0.5), np.ones(40), np.arange(40.0))
    assert exchange_rate(problem, 10, 10, ridge=math.inf) == 0


# Bad input


GOOD = TransferProblem(Population([2.0, 1, 0.5]), [1.0, 2, 3], [2.0, 2, 1])
FINITE = {"finite": finite_source_risk, "ridge": optimal_source_ridge, "rate": exchange_rate}
BAD = [
    ("many", TypeError),
    (None, TypeError),
    (-math.inf, ValueError),
    ([[-1e-9, 1]], ValueError),
    ([1, math.nan], ValueError),
]
INFINITE = ("source_samples", "source_ridge", "ridge")


def shifted(problem, n=1, **options):
    """Call ``shifted_risk`` with test inputs that fit."""
    return shifted_risk(problem, Population([1.0, 1, 0]), n, **options)


CALLS = {
    "finite": (finite_source_risk, (*PRETRAINING, "n", "ridge", "noise")),
    "ridge": (optimal_source_ridge, ("source_samples", "source_noise", "n", "ridge")),
    "rate": (exchange_rate, (*PRETRAINING, "n", "ridge", "noise")),
    "shifted": (shifted, ("n", "ridge", "noise")),
}


@pytest.mark.parametrize("call, name", [(c, name) for c in CALLS for name in CALLS[c][1]])
def test_bad_numbers_are_named(call, name):
    function, names = CALLS[call]
    good = {"n": 1, "source_samples": 2} if "source_samples" in names else {"n": 1}
    finite = name not in INFINITE or (call, name) == ("rate", "source_samples")
    for value, error in BAD + finite * [([1, math.inf], ValueError)]:
        with pytest.raises(error, match=f"^{name} must"):
            function(GOOD, **good | {name: value})
    first = names[0] if names[0] != name else names[1]
    with pytest.raises(ValueError, match=r"^n, .*must have shapes that broadcast"):
        function(GOOD, **good | {name: [1, 2, 3], first: [1, 2]})


@pytest.mark.parametrize("function", FINITE.values(), ids=FINITE)
def test_bad_problems_and_source_populations_are_named(function):
    with pytest.raises(TypeError, match="^problem must"):
        function(GOOD.population, 1, 2)
    for wrong, error in (
        ([1.0, 1, 1], TypeError),
        (GOOD, TypeError),
        (Population([1.0]), ValueError),
    ):
        with pytest.raises(error, match="^source_population must"):
            function(GOOD, 1, 2, source_population=wrong)


def test_bad_shifts_are_named():
    with pytest.raises(TypeError, match="^problem must"):
        shifted_risk(GOOD.population, GOOD.population, 1)
    for wrong, error in (
        (None, TypeError),
        (np.eye(3), TypeError),
        (Population([1.0]), ValueError),
    ):
        with pytest.raises(error, match="^population must"):
            shifted_risk(GOOD, wrong, 1)


def test_no_noise_of_the_target_in_the_best_ridge():
    with pytest.raises(TypeError, match="noise"):
        optimal_source_ridge(GOOD, 1, 2, noise=0.1)
