"""Corollaries of the exact risk, against the formula they follow from and against simulation."""

import hypothesis.strategies as st
import numpy as np
from hypothesis import assume, given
from strategies import seeds, spectra, z_scores

from lib import linear_regression
from lib.exact_risk import effective_ridge, linear_risk
from lib.problem import Population, TransferProblem


def alignment(eigenvalues, u):
    """𝒜(u): how much more the gap lies along Σ than an evenly spread one would."""
    r2 = eigenvalues.sum() ** 2 / (eigenvalues**2).sum()
    return r2 * (eigenvalues**2 @ u**2) / (eigenvalues.sum() * (eigenvalues @ u**2)), r2


@given(st.integers(2, 12).flatmap(spectra), st.sampled_from([0.0, 0.3, 2.0]), seeds)
def test_first_samples_help_or_hurt_by_the_alignment(eigenvalues, noise, seed):
    u = np.random.default_rng(seed).standard_normal(len(eigenvalues))
    problem = TransferProblem(Population(eigenvalues), np.zeros_like(u), u)
    A, r2 = alignment(eigenvalues, u)
    before = problem.risk(problem.source)
    slope = (1 + noise**2 / before - 2 * A) / r2
    # The quotient misses the slope by O(n), and rounding errors by ε/n: both below 1e-4 at 1e-6.
    n = 1e-6
    quotient = (linear_risk(problem, n, noise=noise) / before - 1) / n
    size = (1 + noise**2 / before + 2 * A) / r2
    np.testing.assert_allclose(quotient, slope, rtol=0, atol=1e-4 * (1 + size))


@given(st.integers(20, 2000), st.floats(0.1, 10), st.floats(0.01, 3), seeds)
def test_best_number_of_noisy_samples(d, scale, noise, seed):
    u = np.random.default_rng(seed).standard_normal(d)
    problem = TransferProblem(Population.isotropic(d, scale**2), np.zeros(d), u)
    length = scale * np.linalg.norm(u)
    n = np.linspace(0, 0.999 * d, 4001)
    curve = linear_risk(problem, n, noise=noise)
    formula = (1 - n / d) * length**2 + noise**2 * n / (d - n)
    np.testing.assert_allclose(curve, formula, rtol=1e-9)
    if noise >= length:
        assert curve.argmin() == 0
        return
    best = d * (1 - noise / length)
    assume(best < 0.99 * d)
    assert abs(n[curve.argmin()] - best) <= n[1]  # a step of the grid
    least = linear_risk(problem, best, noise=noise)
    np.testing.assert_allclose(least, 2 * noise * length - noise**2, rtol=1e-9)


def imperfect(problem, source_samples, source_noise, n, noise):
    """The exact risk of prop-imperfect, written out."""
    values, source, target = problem.population.eigenvalues, problem.source, problem.target
    start = TransferProblem(problem.population, np.zeros_like(source), source)
    kappa = effective_ridge(values, source_samples)
    pretraining = linear_risk(start, source_samples, noise=source_noise)
    seen = values / (values + kappa)
    squares = (target - seen * source) ** 2
    squares += values / (values + kappa) ** 2 * (pretraining + source_noise**2) / source_samples
    gap = TransferProblem(problem.population, np.zeros_like(source), np.sqrt(squares))
    return linear_risk(gap, n, noise=noise)


def test_imperfect_pretraining_is_as_simulated():
    """Pretrain and fine-tune in fact, over and over: the mean risk is that of prop-imperfect."""
    rng = np.random.default_rng(0)
    d, n, noise = 100, 40, 0.1
    population = Population.power_law(d, 0.5)
    source = rng.standard_normal(d) / np.sqrt(d)
    target = source + 0.5 * rng.standard_normal(d) / np.sqrt(d)
    problem = TransferProblem(population, source, target)
    for source_samples, source_noise in ((60, 0.0), (60, 0.3), (200, 0.3)):
        risks = []
        for _ in range(400):
            Z = population.sample(source_samples, rng)
            labels = Z @ source + source_noise * rng.standard_normal(source_samples)
            start = linear_regression.finetune(Z, labels, np.zeros(d))
            X, y = problem.sample(n, rng, noise)
            risks.append(problem.risk(linear_regression.finetune(X, y, start)))
        formula = imperfect(problem, source_samples, source_noise, n, noise)
        # Within 4 standard errors and two percent, what is left of the limit at d = 100.
        slack = 0.02 * formula / (np.std(risks, ddof=1) / np.sqrt(len(risks)))
        assert abs(z_scores(risks, formula)) < 4 + slack


@given(
    st.floats(-4, 0),
    st.sampled_from([-1, 1]),
    st.floats(0.05, 3).filter(lambda nu: abs(nu - 1) > 0.05),
    st.floats(0, 1),
    st.floats(0.05, 0.95),
    st.sampled_from([0.0, 0.5]),
)
def test_when_to_ignore_the_source(digits, side, share, source_noise, target_share, noise):
    """On either side of the border, also close to it."""
    d, s, length = 400, 0.7, 1.5
    border = (1 + source_noise**2 / (s * length) ** 2 / abs(1 - share)) / 2
    cosine = border + side * 10**digits
    assume(abs(cosine) <= 1)
    source, other = length * np.eye(d)[:2]
    target = cosine * source + np.sqrt(1 - cosine**2) * other
    problem = TransferProblem(Population.isotropic(d, s**2), source, target)
    n = target_share * d
    tuned = imperfect(problem, share * d, source_noise, n, noise)
    scratch = TransferProblem(problem.population, np.zeros(d), target)
    assert (tuned < linear_risk(scratch, n, noise=noise)) == (side > 0)
