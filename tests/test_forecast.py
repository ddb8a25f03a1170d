"""prop-forecast: curves to come against the exact risk, of problems from its prior and others."""

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
from strategies import rotation

from lib import forecast, planning
from lib.exact_risk import linear_risk
from lib.forecast import labels_needed, learning_curve, length_ratio
from lib.problem import Population, TransferProblem

SIZES = np.array([50.0, 100, 200, 400])


def drawn(seed, kind="prior", dim=80, labels=50):
    """Return a problem with R(0) = 1, labels, unlabelled inputs, σ, and a generator."""
    rng = np.random.default_rng(seed)
    population = Population(Population.power_law(dim, rng.uniform(0.3, 1.5)).eigenvalues)
    gap = population.eigenvalues ** (rng.uniform(-0.5, 2) / 2) * rng.standard_normal(dim)
    if kind == "sparse":
        gap *= rng.random(dim) < 0.2
    if kind == "top":
        gap = np.where(np.arange(dim) < 8, rng.standard_normal(dim), 0)
    problem = TransferProblem.from_gap(population, gap / np.sqrt(population.squared_norm(gap)))
    noise = rng.choice([0.1, 0.3, 1.0])
    X, y = problem.sample(labels, rng, noise=noise)
    return problem, X, y, population.sample(1000, rng), noise, rng


def truth(problem, noise, sizes=SIZES):
    """Return the exact risk with the best ridge at each n."""
    return linear_risk(problem, sizes, planning.optimal_ridge(problem, sizes, noise), noise)


@pytest.mark.parametrize(
    "kind, least, most", [("prior", 0.72, 0.97), ("top", 0.65, 0.97), ("sparse", 0.65, 0.97)]
)
def test_bands_hold_the_truth_as_often_as_they_say(kind, least, most):
    """80 % bands from 50 labels, 60 problems: within some three standard errors, .05, of .8."""
    held = []
    for seed in range(60):
        problem, X, y, inputs, noise, rng = drawn(seed, kind)
        found = learning_curve(X, y, SIZES, unlabelled=inputs, rng=rng)
        risk = truth(problem, noise)
        held.append((found.low <= risk) & (risk <= found.high))
    assert least <= np.mean(held) <= most


def test_many_labels_tell_the_curve_the_noise_and_the_exponent():
    ratios, noises, exponents = [], [], []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        population = Population(Population.power_law(60, 1).eigenvalues, rotation(60, seed))
        gap = population.eigenvectors @ (population.eigenvalues**0.5 * rng.standard_normal(60))
        problem = TransferProblem(population, np.ones(60), np.ones(60) + gap)
        X, y = problem.sample(600, rng, noise=0.5)
        options = {"source": problem.source, "unlabelled": population.sample(4000, rng)}
        found = learning_curve(X, y, SIZES, **options, rng=rng)
        ratios.append(found.risk / truth(problem, 0.5))
        noises.append(found.noise)
        exponents.append(found.exponent)
        assert found.evidence > 20
    assert np.abs(np.mean(ratios, axis=0) - 1).max() < 0.15
    assert np.mean(noises) == pytest.approx(0.5, rel=0.05)
    assert np.mean(exponents) == pytest.approx(1, abs=0.35)


def test_evidence_is_that_of_normal_labels():
    """log p(y) by integrating a multivariate normal density over log t."""
    rng = np.random.default_rng(0)
    Z, y = rng.standard_normal((6, 4)), rng.standard_normal(6)
    energies = np.stack([np.ones(4), [1.0, 0.5, 0.2, 0.1]])
    scales, _, log = forecast._evidence(Z, y, energies, forecast._NOISE)
    for k, j in ((0, 43), (0, 60), (1, 51), (1, 70)):
        kernel = (Z * energies[k]) @ Z.T
        assert scales[k] == pytest.approx(np.trace(kernel) / 6)
        share = forecast._NOISE[j]
        total = kernel / scales[k] + share / (1 - share) * np.eye(6)

        def density(x, total=total):
            return np.exp(scipy.stats.multivariate_normal(None, np.exp(x) * total).logpdf(y))

        p = scipy.integrate.quad(density, -12, 12, limit=200)[0]
        # What is left out: the constant Γ(n/2)/2 (2/(2π))^(n/2), the same for all.
        constant = math.lgamma(3) - 3 * math.log(2 * math.pi) + 3 * math.log(2)
        assert log[k, j] + constant == pytest.approx(math.log(p), abs=1e-6)


def test_labels_that_are_noise_say_nothing():
    quiet = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        X = Population.power_law(40, 1).sample(40, rng)
        quiet.append(learning_curve(X, rng.standard_normal(40), [10], rng=rng).evidence)
    assert np.median(quiet) < 1
    assert np.mean(np.array(quiet) < 2) > 0.9


@pytest.mark.parametrize("a, b", [(1e120, 1.0), (1e-120, 1e100), (1.0, 1e-140), (3.0, 7.0)])
def test_units_do_not_matter(a, b):
    _, X, y, inputs, _, _ = drawn(1)
    one = learning_curve(X, y, SIZES, unlabelled=inputs, rng=np.random.default_rng(5))
    many = learning_curve(a * X, b * y, SIZES, unlabelled=a * inputs, rng=np.random.default_rng(5))
    np.testing.assert_allclose(many.risk / b / b, one.risk, rtol=1e-9)
    assert many.noise / b == pytest.approx(one.noise)
    assert many.evidence == pytest.approx(one.evidence)


def test_a_source_is_subtracted_and_a_ridge_is_kept():
    problem, X, y, inputs, _, _ = drawn(3)
    source = np.arange(80.0)
    options = {"unlabelled": inputs}
    plain = learning_curve(X, y, SIZES, **options, rng=np.random.default_rng(0))
    moved = learning_curve(
        X, y + X @ source, SIZES, source=source, **options, rng=np.random.default_rng(0)
    )
    np.testing.assert_allclose(moved.risk, plain.risk, rtol=1e-6)
    tied = learning_curve(X, y, SIZES, ridge=1e6, **options, rng=np.random.default_rng(0))
    assert (tied.risk > plain.risk).all()
    still = learning_curve(X, y, [0, *SIZES], ridge=math.inf, **options, rng=problem_rng())
    np.testing.assert_allclose(still.curves, still.curves[:, :1] * np.ones(5))
    assert still.low[0] < 1 < still.high[0]


def problem_rng():
    """Return a generator."""
    return np.random.default_rng(0)


def test_wider_levels_are_wider_and_curves_fall():
    _, X, y, inputs, _, _ = drawn(4)
    bands = [
        learning_curve(X, y, SIZES, unlabelled=inputs, level=p, rng=np.random.default_rng(0))
        for p in (0.5, 0.8, 0.95)
    ]
    for inner, outer in zip(bands, bands[1:], strict=False):
        assert (outer.low <= inner.low).all() and (inner.high <= outer.high).all()
    assert (np.diff(bands[0].risk) < 0).all()


def handmade(curves, n, level=0.8):
    """Return a forecast with these curves."""
    curves = np.array(curves, dtype=float)
    middle = np.median(curves, axis=0)
    n = np.array(n, dtype=float)
    return forecast.Forecast(
        n, middle, middle, middle, 0.0, 0.0, 0.0, level, curves, np.zeros(len(curves))
    )


def test_labels_needed():
    """Risks 1/n: 25 labels for .04; and where a curve rises again, the last crossing counts."""
    n = [10, 100, 1000]
    assert labels_needed(handmade([[0.1, 0.01, 0.001]], n), 0.04) == pytest.approx([25] * 3)
    assert labels_needed(handmade([[0.1, 0.01, 0.001]], n), 1e-4) == (math.inf,) * 3
    assert labels_needed(handmade([[0.1, 0.01, 0.001]], n), 0.2) == (10, 10, 10)
    again = handmade([[0.01, 0.1, 0.001]], n)
    assert labels_needed(again, 0.01) == pytest.approx([10**2.5] * 3)
    curves = [[k / 10, k / 100, k / 1000] for k in range(1, 12)]  # k/n: 10 k for .1
    found = labels_needed(handmade(curves, n), 0.1)
    assert found == pytest.approx([60, 20, 100])
    assert labels_needed(handmade([[1, 0.1]], [0, 10]), 0.5) == (10, 10, 10)


GOOD = {"X": np.eye(12), "y": np.ones(12), "n": [5.0], "rng": problem_rng()}


@pytest.mark.parametrize(
    "wrong, name, error",
    [
        ({"X": np.eye(9), "y": np.ones(9)}, "X", ValueError),
        ({"y": np.ones(5)}, "y", ValueError),
        ({"n": [-1.0]}, "n", ValueError),
        ({"n": []}, "n", ValueError),
        ({"source": np.ones(3)}, "source", ValueError),
        ({"unlabelled": np.ones((4, 3))}, "unlabelled", ValueError),
        ({"unlabelled": np.zeros((4, 12))}, "unlabelled", ValueError),
        ({"ridge": -1.0}, "ridge", ValueError),
        ({"ridge": [0.0, 1.0]}, "ridge", ValueError),
        ({"y": np.zeros(12)}, "y", ValueError),
        ({"source": np.ones(12)}, "y", ValueError),
        ({"level": 0.0}, "level", ValueError),
        ({"level": 1.5}, "level", ValueError),
        ({"rng": 0}, "rng", TypeError),
    ],
)
def test_bad_input_is_named(wrong, name, error):
    with pytest.raises(error, match=f"^{name} must"):
        learning_curve(**GOOD | wrong)


def test_bad_forecasts_are_named():
    with pytest.raises(TypeError, match="^forecast must"):
        labels_needed([1.0], 0.1)
    with pytest.raises(ValueError, match="^forecast must"):
        labels_needed(handmade([[1, 2]], [10, 10]), 0.1)
    with pytest.raises(ValueError, match="^risk must"):
        labels_needed(handmade([[1, 2]], [10, 20]), -1)


def test_without_ridge_the_peak_is_infinite():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 11))
    y = X[:, 0] + rng.standard_normal(40) / 2
    found = learning_curve(X, y, [10.5, 11, 12], ridge=0, rng=rng)
    assert found.risk[1] == found.low[1] == found.high[1] == math.inf
    assert np.isfinite(found.risk[[0, 2]]).all()


def test_errors_on_labels_add_the_noise_of_each_curve():
    """80 % bands of R + σ² at 100 labels, from 40: within some three standard errors."""
    held = []
    for seed in range(50):
        problem, X, y, inputs, noise, rng = drawn(seed, labels=40)
        found = learning_curve(X, y, [100], unlabelled=inputs, rng=rng)
        errors = found.curves[:, 0] + found.noises**2
        truth_there = truth(problem, noise, np.array([100.0]))[0] + noise**2
        held.append(np.quantile(errors, 0.1) <= truth_there <= np.quantile(errors, 0.9))
    assert 0.62 <= np.mean(held) <= 0.97


def test_where_labels_say_little_forecasts_are_too_low():
    """Noise louder than what there is to learn; and few labels without unlabelled inputs."""
    ratios, evidence, above, below = [], [], [], []
    population = Population.power_law(40, 0.7)
    for seed in range(40):
        rng = np.random.default_rng(seed)
        gap = rng.standard_normal(40)
        problem = TransferProblem.from_gap(population, gap / np.sqrt(population.squared_norm(gap)))
        X, y = problem.sample(40, rng, noise=1.1)
        found = learning_curve(X, y, [100], unlabelled=population.sample(400, rng), rng=rng)
        risk = truth(problem, 1.1, np.array([100.0]))[0]
        ratios.append(found.risk[0] / risk)
        evidence.append(found.evidence)
        above.append(risk > found.high[0])
        below.append(risk < found.low[0])
    little = np.array(evidence) < 2
    assert little.sum() > 10
    assert 0.4 < np.median(np.array(ratios)[little]) < 0.75
    assert np.mean(above) > np.mean(below) + 0.1
    blind = []
    population = Population.power_law(200, 0.5)
    for seed in range(6):
        rng = np.random.default_rng(seed)
        gap = rng.standard_normal(200)
        problem = TransferProblem.from_gap(population, gap / np.sqrt(population.squared_norm(gap)))
        X, y = problem.sample(40, rng, noise=0.3)
        found = learning_curve(X, y, [100], rng=rng)
        blind.append(found.risk[0] / truth(problem, 0.3, np.array([100.0]))[0])
    assert np.median(blind) < 0.4


def test_curves_begin_at_the_size_of_the_labels():
    """An untouched model and many labels: in the mean R(0) is that of the labels."""
    rng = np.random.default_rng(0)
    population = Population.power_law(60, 0.5)
    problem = TransferProblem.from_gap(population, rng.standard_normal(60))
    X, y = problem.sample(500, rng, noise=0.5)
    options = {"unlabelled": population.sample(3000, rng), "ridge": math.inf}
    found = learning_curve(X, y, [0], **options, rng=rng)
    assert found.curves.mean() == pytest.approx(np.mean(y**2) - 0.25, rel=0.1)


def test_labels_without_noise_that_are_more_than_the_directions():
    """Below d labels the median is near the exact risk, beyond d the risk is zero."""
    ratios, beyond = [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        population = Population.power_law(20, 0.7)
        problem = TransferProblem.from_gap(population, rng.standard_normal(20))
        X, y = problem.sample(120, rng)
        options = {"unlabelled": population.sample(2000, rng), "rng": rng}
        for scale in (1.0, 1e3):
            found = learning_curve(X, scale * y, [5, 10, 30], **options)
            risk = linear_risk(problem, np.array([5.0, 10]), 0.0)
            ratios.append(found.risk[:2] / scale**2 / risk)
            beyond.append(found.high[2] / found.risk[0])
    assert np.abs(np.median(ratios, axis=0) - 1).max() < 0.15
    assert max(beyond) < 1e-6


def test_little_noise_in_more_labels_than_directions():
    """Noise of a thousandth of the labels: found to 15 %, and so is the risk below d."""
    population, noises, ratios = Population.power_law(20, 0.7), [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        problem = TransferProblem.from_gap(population, rng.standard_normal(20))
        X, y = problem.sample(120, rng, noise=1e-3)
        found = learning_curve(X, y, [10], unlabelled=population.sample(2000, rng), rng=rng)
        noises.append(found.noise / 1e-3)
        ratios.append(found.risk[0] / linear_risk(problem, 10.0, 0.0, 1e-3))
    assert np.median(noises) == pytest.approx(1, abs=0.15)
    assert np.median(ratios) == pytest.approx(1, abs=0.15)


def test_length_ratio_is_that_of_refitted_errors():
    """Whitened by the inputs, errors of every sample after training on the others."""
    rng = np.random.default_rng(2)
    inputs = rng.standard_normal((300, 8)) * np.arange(1, 9)
    X, source = inputs[:40], rng.standard_normal(8)
    y = X @ source + X[:, 0] ** 2 + rng.standard_normal(40)
    S = inputs.T @ inputs / 300
    lengths = np.einsum("ni,ij,nj->n", X, np.linalg.inv(S), X)
    best = math.inf, None
    for ridge in np.geomspace(1e-6, 1e2, 25) * np.trace(S):
        errors = []
        for i in range(40):
            A, b = np.delete(X, i, axis=0), np.delete(y - X @ source, i)
            theta = np.linalg.solve(A.T @ A + ridge * np.eye(8), A.T @ b)
            errors.append((y[i] - X[i] @ source - X[i] @ theta) ** 2)
        best = min(best, (np.mean(errors), errors))
    long = np.argsort(lengths)[20:]
    errors = np.array(best[1])
    expected = errors[long].mean() / np.delete(errors, long).mean()
    options = {"source": source, "unlabelled": inputs}
    assert length_ratio(X, y, **options) == pytest.approx(expected, rel=1e-6)
    scaled = {"source": 3 * source, "unlabelled": 1e100 * inputs}
    found = length_ratio(1e100 * X, 3e100 * y, **scaled)
    assert found == pytest.approx(expected, rel=1e-6)


def test_length_ratio_of_noise_is_near_one_and_of_misfits_that_follow_the_input_is_not():
    noise, follows = [], []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        X = Population.power_law(30, 1).sample(60, rng, law="student")
        e = rng.standard_normal(60)
        noise.append(length_ratio(X, X[:, 0] + e))
        lengths = np.sum(X**2 * np.arange(1, 31), axis=1) / 30
        follows.append(length_ratio(X, X[:, 0] + lengths * e))
    assert np.median(noise) == pytest.approx(1.2, abs=0.35)
    assert np.median(follows) > 2


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"X": np.eye(9), "y": np.ones(9)}, "X"),
        ({"y": np.zeros(12)}, "y"),
        ({"source": np.ones(3)}, "source"),
        ({"unlabelled": np.ones((4, 3))}, "unlabelled"),
        ({"unlabelled": np.zeros((4, 12))}, "unlabelled"),
    ],
)
def test_bad_input_of_length_ratio_is_named(wrong, name):
    with pytest.raises(ValueError, match=f"^{name} must"):
        length_ratio(**{"X": np.eye(12), "y": np.ones(12)} | wrong)


def test_an_intercept_is_nothing_to_learn():
    """Noise around a mean, and labels of a model around it: the evidence tells them apart."""
    noise, taught = [], []
    for seed in range(12):
        rng = np.random.default_rng([seed, 5])
        X = np.column_stack([rng.standard_normal((300, 8)), np.full(300, 10.0)])
        some, labels = X[:40], 150 + rng.standard_normal(40)
        options = {"unlabelled": X, "rng": rng}
        noise.append(learning_curve(some, labels, [40], **options).evidence)
        labels = labels + some[:, :8] @ rng.standard_normal(8)
        taught.append(learning_curve(some, labels, [40], **options).evidence)
    assert np.median(noise) < 1 and max(noise) < 4
    assert np.median(taught) > 10 and min(taught) > 2
    # Beside an intercept constant labels say nothing.
    assert learning_curve(some, np.full(40, 3.0), [40], **options).evidence == 0


def test_a_population_serves_for_unlabelled_inputs():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((200, 5)), rng.standard_normal(30)
    curves = [
        learning_curve(X[:30], y, [30, 60], unlabelled=inputs, rng=np.random.default_rng(1)).curves
        for inputs in (X, Population.from_samples(X))
    ]
    np.testing.assert_array_equal(*curves)
    ratios = [length_ratio(X[:30], y, unlabelled=u) for u in (X, Population.from_samples(X))]
    assert ratios[0] == ratios[1]
    with pytest.raises(ValueError, match="^unlabelled must have dimension 5"):
        learning_curve(X[:30], y, [30], unlabelled=Population.isotropic(4), rng=rng)
