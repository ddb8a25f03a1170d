"""The advice of the chapters on linear regression and noise, on problems drawn with other seeds."""

import itertools

import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import assume, given, settings
from strategies import rotation, seeds, spectra

from lib import datasets, planning, similarity
from lib.exact_risk import effective_ridge, linear_risk
from lib.linear_regression import finetune, gradient_flow, learning_curve
from lib.problem import Population, TransferProblem

PAIRS = (("loop", "curved"), ("3", "3 or 8"), ("3", "8"), ("3 or 8", "3"))


def alignment(problem):
    """𝒜(u) and r₂."""
    values = problem.population.eigenvalues
    energies = values * problem.population.coordinates(problem.gap) ** 2
    r2 = values.sum() ** 2 / (values @ values)
    return r2 * (energies @ values) / values.sum() / energies.sum(axis=-1), r2


@pytest.fixture(scope="module")
def digits():
    data = datasets.digits()
    return data, Population.from_samples(data.data)


def teachers(data, questions):
    """Readouts of "is the digit one of these?"."""
    labels = [np.where(np.isin(data.target, q), 1.0, -1.0) for q in questions]
    return datasets.readout(data.data, np.transpose(labels))


@pytest.fixture(scope="module")
def contest(digits):
    """The four pairs of the first chapter, and the ratio to scratch over other images."""
    data, images = digits
    questions = {
        "loop": [0, 6, 8, 9],
        "curved": [0, 3, 6, 8, 9],
        "3": [3],
        "3 or 8": [3, 8],
        "8": [8],
    }
    named = dict(zip(questions, teachers(data, questions.values()), strict=True))
    source, target = (np.stack([named[pair[end]] for pair in PAIRS]) for end in (0, 1))
    transfer = TransferProblem(images, source, target)
    orders = [np.random.default_rng(1000 + k).permutation(len(data.data))[:20] for k in range(60)]
    tuned, scratch = (
        learning_curve(problem, data.data[orders]).mean(axis=0)
        for problem in (transfer, transfer.from_scratch())
    )
    return transfer, tuned / scratch


# ---- Linear regression


@given(st.integers(2, 7).flatmap(spectra), st.floats(0, 2), seeds, st.booleans())
def test_first_sample_is_that_of_independent_signs(values, share, seed, turned):
    """Inputs with independent signs meet both conditions: the mean over all signs is exact."""
    d, rng = len(values), np.random.default_rng(seed)
    population = Population(values, rotation(d, seed) if turned else None)
    problem = TransferProblem(population, *rng.standard_normal((2, d)))
    A, r2 = alignment(problem)
    signs = np.array(list(itertools.product([-1, 1], repeat=d)))
    X = signs * np.sqrt(values)
    X = X if population.eigenvectors is None else X @ population.eigenvectors.T
    fits = np.array([finetune(x[None], [x @ problem.target], problem.source) for x in X])
    risk = problem.risk(problem.source + share * (fits - problem.source)).mean()
    before = problem.risk(problem.source)
    slack = 1e-9 * (1 + share) ** 2 * before
    assert risk == pytest.approx(before * (1 + (share**2 - 2 * share * A) / r2), abs=slack)


def test_first_label_is_as_predicted_on_digits(digits):
    """Questions that no chapter asks: sign and size of what the first label does."""
    data, images = digits
    rng = np.random.default_rng(5)
    asked = [rng.choice(10, rng.integers(1, 6), replace=False) for _ in range(40)]
    theta = teachers(data, asked)
    problem = TransferProblem.from_gap(images, np.vstack([theta, theta[1:] - theta[:-1]]))
    A, r2 = alignment(problem)
    predicted = (1 - 2 * A) / r2
    curve = learning_curve(problem, data.data[:, None]).mean(axis=0)
    measured = curve[:, 1] / curve[:, 0] - 1
    assert np.abs(measured - predicted).max() < 0.05
    assert (np.sign(measured) == np.sign(predicted))[np.abs(predicted) > 0.02].all()
    assert (predicted > 0.1).sum() > 10 and (predicted < -0.1).sum() > 10


@given(st.integers(2, 8), st.integers(1, 10), seeds)
def test_path_and_end_for_any_labels(d, n, seed):
    rng = np.random.default_rng(seed)
    X, y, source = rng.standard_normal((n, d)), rng.standard_normal(n), rng.standard_normal(d)
    assume(np.linalg.cond(X) < 1e3)
    step = np.linalg.pinv(X) @ (y - X @ source)
    for t, theta in zip((0.1, 3.0), gradient_flow(X, y, source, [0.1, 3.0]), strict=True):
        decay = scipy.linalg.expm(-t * X.T @ X / n)
        np.testing.assert_allclose(theta, source + step - decay @ step, rtol=0, atol=1e-9)
    np.testing.assert_allclose(finetune(X, y, source), source + step, rtol=0, atol=1e-9)


def test_each_of_three_ways_wins_somewhere(contest):
    _, ratio = contest
    assert (ratio[0, [2, 5, 10, 20]] < 0.5).all()  # fine-tuning, from closed loop to curved
    assert (ratio[2, [2, 5, 10, 20]] > 1.4).all()  # scratch, from a 3 to an 8
    d, rng = 100, np.random.default_rng(77)  # the untouched model: a gap at the bottom
    gap = np.where(np.arange(d) >= 90, rng.standard_normal(d), 0)
    population = Population.power_law(d, 1)
    samples = np.stack([population.sample(6, rng) for _ in range(40)])
    curve = learning_curve(TransferProblem.from_gap(population, gap), samples).mean(axis=0)
    assert curve[6] > 1.05 * curve[0]


def test_risk_before_promises_nothing(contest):
    _, ratio = contest
    assert ratio[2, 0] < 0.6 and (ratio[2, [2, 10, 20]] > 1.4).all()
    assert ratio[0, 0] < 0.4 and (ratio[0, [2, 10, 20]] < 0.4).all()


def test_neither_distance_nor_cosine_tells(contest):
    transfer, ratio = contest
    distance = [similarity.squared_distance(p) / (p.target @ p.target) for p in transfer.each()]
    cosine = [similarity.cosine(p) for p in transfer.each()]
    assert cosine[1] == pytest.approx(cosine[3])
    assert ratio[3, 20] > 1.5 * ratio[1, 20]
    assert np.argmin(distance) == 3 and np.argmin(ratio[:, 20]) == 0


def test_adam_ends_elsewhere():
    rng = np.random.default_rng(30)
    X, y, source = rng.standard_normal((4, 12)), rng.standard_normal(4), rng.standard_normal(12)
    theta = torch.tensor(source, requires_grad=True)
    inputs, labels = torch.tensor(X), torch.tensor(y)
    adam = torch.optim.Adam([theta], lr=0.02)
    for _ in range(2000):
        adam.zero_grad()
        loss = torch.sum((inputs @ theta - labels) ** 2)
        loss.backward()
        adam.step()
    end = finetune(X, y, source)
    assert loss.item() < 1e-12
    assert np.linalg.norm(theta.detach().numpy() - end) > 0.1 * np.linalg.norm(end - source)


def test_gaps_of_equal_length_differ_a_hundredfold():
    d, n, rng = 200, 40, np.random.default_rng(31)
    steep = Population.power_law(d, 2)
    samples = np.stack([steep.sample(n, rng) for _ in range(10)])
    problem = TransferProblem.from_gap(steep, np.eye(d))
    after = learning_curve(problem, samples)[..., -1].mean(axis=0)
    assert after.max() > 100 * after[0] and 20 <= after.argmax() <= 45
    assert after[-1] > steep.eigenvalues[-1] and after[-1] < after.max() / 5


def test_first_samples_hurt_at_the_bottom_and_help_at_the_top():
    d, rng = 150, np.random.default_rng(32)
    for exponent in (0.7, 1.0, 1.3):
        population = Population.power_law(d, exponent)
        gaps = rng.standard_normal((2, d)) * [np.arange(d) >= d - 8, np.arange(d) < 8]
        problem = TransferProblem.from_gap(population, gaps)
        samples = np.stack([population.sample(20, rng) for _ in range(40)])
        bottom, top = learning_curve(problem, samples).mean(axis=0)[:, [0, 5, 20]]
        assert (bottom[1:] > bottom[0]).all() and (top[1:] < top[0]).all()


def test_one_label_teaches_what_prevails(digits):
    """From a digit to another: the lead of the source is what few labels teach from scratch."""
    data, images = digits
    theta = teachers(data, [[k] for k in range(10)])
    a, b = np.array(list(itertools.permutations(range(10), 2))).T
    transfer = TransferProblem(images, theta[a], theta[b])
    orders = [np.random.default_rng(2000 + k).permutation(len(data.data))[:2] for k in range(200)]
    tuned, scratch = (
        learning_curve(problem, data.data[orders]).mean(axis=0)
        for problem in (transfer, transfer.from_scratch())
    )
    leads = tuned[:, 0] < scratch[:, 0]
    assert leads.sum() > 60
    assert (scratch[leads, 2] < tuned[leads, 0]).all() and (scratch[:, 2] < tuned[:, 2]).all()
    halves = teachers(data, [[0, 1, 2, 3, 4], [1, 3, 5, 7, 9], [0, 1, 4, 6, 7]])
    first = learning_curve(TransferProblem.from_gap(images, halves), data.data[:, None])
    assert (first.mean(axis=0)[:, 1] > first.mean(axis=0)[:, 0]).all()  # no answer prevails


# ---- Noise


def noisy_problem(seed, length, exponent=0.5, d=100):
    """An evenly spread gap of that length, relative to a target of risk 1."""
    rng = np.random.default_rng(seed)
    population = Population.power_law(d, exponent)
    target = rng.standard_normal(d)
    target /= np.sqrt(population.squared_norm(target))
    gap = length * target * rng.choice([-1, 1], d)
    return TransferProblem(population, target - gap, target), rng


@pytest.mark.parametrize("seed", [11, 12])
def test_every_cure_beats_training_to_the_end(seed):
    problem, rng = noisy_problem(seed, 0.3)
    sigma, source = 0.5, problem.source
    for n in (25, 75, 100, 150):
        best = planning.optimal_ridge(problem, n, sigma)
        risks = []
        for _ in range(40):
            X, y = problem.sample(n, rng, noise=sigma)
            before = max(np.mean((y - X @ source) ** 2) - sigma**2, 1e-9)
            guess = sigma**2 * np.mean(np.sum(X**2, axis=1)) / before
            ends = [finetune(X, y, source, ridge=r) for r in (0, best / 3, best, 3 * best, guess)]
            time = planning.optimal_stopping_time(problem, X, sigma)
            risks.append(problem.risk([*ends, *gradient_flow(X, y, source, [n / best, time])]))
        end, low, ridge, high, guess, stop, oracle = np.mean(risks, axis=0)
        assert end > 1.3 * max(low, ridge, high, guess, stop, oracle)
        assert abs(oracle / ridge - 1) < 0.05 and 0.97 < stop / ridge < 1.08  # a fair comparison
        assert guess < 1.15 * ridge
        assert 1.02 * ridge < max(high, low) < 0.6 * end  # three times off: neither best nor bad
        assert high < low
    poor, _ = noisy_problem(seed, 1)  # ... which is no rule
    best = planning.optimal_ridge(poor, 300, 0.5)
    low, high = linear_risk(poor, 300, [best / 3, 3 * best], 0.5)
    assert low < high


def test_the_better_the_source_the_more_the_noise_matters():
    n = np.array([20, 50, 80, 150, 200])
    for seed, exponent, sigma in ((1, 0.5, 0.5), (2, 0, 0.3), (3, 1, 0.5), (4, 1, 0.2)):
        factors = []
        for length in (1, 0.7, 0.3):
            problem, _ = noisy_problem(seed, length, exponent)
            ridge = planning.optimal_ridge(problem, n, sigma)
            end = linear_risk(problem, n, noise=sigma)
            factors.append(end / linear_risk(problem, n, ridge, sigma))
        assert (np.diff(factors, axis=0) > 0).all()


@given(st.floats(0.3, 1.2), st.floats(0.05, 2), st.floats(0.1, 1.5))
@settings(max_examples=8)
def test_first_guess_for_the_ridge(exponent, before, sigma):
    d, n = 100, np.array([20, 95, 150])
    population = Population.power_law(d, exponent)
    values = population.eigenvalues
    guess = sigma**2 * values.sum() / before
    for tilt in (-2, 0, 2):
        u = values ** (tilt / 2)
        problem = TransferProblem.from_gap(population, u * np.sqrt(before / (values @ u**2)))
        best = linear_risk(problem, n, planning.optimal_ridge(problem, n, sigma), sigma)
        guessed = linear_risk(problem, n, guess, sigma)
        assert guessed[1] < linear_risk(problem, n[1], noise=sigma)  # near the peak
        if tilt == 0:  # evenly spread
            np.testing.assert_allclose(guessed, best, rtol=1e-6)
        if tilt == -2:  # with few labels the source had better be left alone, but not by much
            assert guessed[0] < 1.3 * before


def test_first_guess_fails_for_gaps_that_are_not_even():
    problem, _ = noisy_problem(0, 1, 1)
    values = problem.population.eigenvalues
    for tilt, few in ((2, False), (-2, True)):
        u = values ** (tilt / 2)
        problem = TransferProblem.from_gap(problem.population, u * np.sqrt(0.5 / (values @ u**2)))
        guess = 0.25 * values.sum() / 0.5
        n = 20 if few else 150
        best = planning.optimal_ridge(problem, n, 0.5)
        guessed = linear_risk(problem, n, guess, 0.5)
        assert best > 3 * guess
        assert guessed > (0.5 if few else 2 * linear_risk(problem, n, best, 0.5))
    assert linear_risk(problem, 300, guess, 0.5) > linear_risk(problem, 300, noise=0.5)


@given(st.integers(20, 2000), st.floats(0.1, 10), st.floats(0.01, 1.9), seeds)
def test_beyond_the_peak_more_is_better_again(d, scale, relative, seed):
    """The second half of cor-peak: where least squares is back at what fewer labels gave."""
    u = np.random.default_rng(seed).standard_normal(d)
    problem = TransferProblem.from_gap(Population.isotropic(d, scale**2), u)
    b = scale * np.linalg.norm(u)
    sigma = relative * b
    back = d * (1 + relative**2)
    at = linear_risk(problem, [back * (1 - 1e-6), back * (1 + 1e-6)], noise=sigma)
    assert at[0] > b**2 > at[1]
    if relative < 1:
        least = linear_risk(problem, d * (1 - relative), noise=sigma)
        back = d * (1 + sigma / (2 * b - sigma))
        assert linear_risk(problem, back, noise=sigma) == pytest.approx(least, rel=1e-6)


def test_as_many_labels_as_parameters_is_the_worst_number():
    for seed, exponent in ((21, 0), (22, 0.5), (23, 1)):
        problem, rng = noisy_problem(seed, 0.7, exponent, d=40)
        risk = {}
        for n in (20, 40, 80):
            samples = [problem.sample(n, rng, noise=0.5) for _ in range(60)]
            risk[n] = np.median([problem.risk(finetune(X, y, problem.source)) for X, y in samples])
        assert risk[40] > 3 * max(risk[20], risk[80])
        ridge = planning.optimal_ridge(problem, 40, 0.5)
        assert linear_risk(problem, 40, ridge, 0.5) < risk[20]
        X, y = problem.sample(39, rng)  # with exact labels there is no peak
        curve = learning_curve(problem, np.stack([problem.population.sample(39, rng)] * 2))
        assert curve[:, -1].max() < problem.risk(problem.source)


@pytest.mark.parametrize(("seed", "exponent"), [(41, 0.3), (42, 0.5), (43, 0.7)])
def test_a_source_fitted_near_d_is_worse_than_none_and_a_ridge_mends_it(seed, exponent):
    d, n, sigma, source_samples = 100, 30, 0.5, 95
    problem, rng = noisy_problem(seed, 1, exponent)
    target, values = problem.target, problem.population.eigenvalues
    other = rng.standard_normal(d)
    other -= (other @ target) / (target @ target) * target
    other *= np.linalg.norm(target) / np.linalg.norm(other)
    alone = linear_risk(problem.from_scratch(), n, noise=sigma)

    def risk(cosine, ridge):
        theta = cosine * target + np.sqrt(1 - cosine**2) * other
        start = TransferProblem.from_gap(problem.population, theta)
        if ridge is None:
            ridge = planning.optimal_ridge(start, source_samples, sigma)
        seen = values / (values + effective_ridge(values, source_samples, ridge))
        error = linear_risk(start, source_samples, ridge, sigma) + sigma**2
        squares = (target - seen * theta) ** 2 + seen**2 / values * error / source_samples
        gap = TransferProblem.from_gap(problem.population, np.sqrt(squares))
        return linear_risk(gap, n, noise=sigma)

    assert all(risk(cosine, 0) > alone for cosine in (0, 0.5, 0.9, 1))
    assert risk(0.4, None) > alone > risk(0.6, None)
