"""Deterministic equivalents: the effective ridge, and what a sample sees of energies."""

import math
import tracemalloc

import hypothesis.strategies as st
import mpmath
import numpy as np
import pytest
import scipy.integrate
import scipy.linalg
import scipy.optimize
from hypothesis import assume, example, given, settings
from strategies import (
    GAPS,
    assert_equivalent,
    gap_in,
    problem_with_gap,
    problems,
    ridges,
    seeds,
)

from lib import equivalent
from lib.equivalent import Spectrum
from lib.exact_risk import deep_linear_risk, effective_ridge, linear_risk
from lib.problem import Population, TransferProblem


@st.composite
def wide_spectra(draw):
    """Eigenvalues over up to 30 orders of magnitude, in clusters, repeated, some of them zero."""
    rng = np.random.default_rng(draw(seeds))
    dim = draw(st.integers(1, 30))
    levels = 10 ** rng.uniform(-draw(st.sampled_from([0, 3, 30])), 0, draw(st.integers(1, 30)))
    values = rng.choice(levels, dim) * rng.choice([0, 1], dim, p=[0.1, 0.9])
    return 10.0 ** draw(st.integers(-20, 20)) * np.sort(values)[::-1]


@given(wide_spectra(), st.one_of(st.integers(1, 60), st.floats(1e-3, 60)), ridges)
@example(np.repeat([1, 1e-30], [5, 100]), 5, 0.0)  # κ = √(20·1e-30), where the sum is 5 − 2e-14
@example(np.repeat([1, 1e-30], [5, 100]), 5, 1e-40)
def test_effective_ridge_is_the_root_to_full_relative_accuracy(eigenvalues, n, ridge):
    positive = np.count_nonzero(eigenvalues)
    kappa = effective_ridge(eigenvalues, n, ridge)
    if ridge == 0 and n >= positive:
        assert kappa == 0
        return
    # The equation changes sign between κ(1 − 10⁻¹²) and κ(1 + 10⁻¹²), in exact arithmetic.
    with mpmath.workdps(80):

        def excess(kappa):
            values = [mpmath.mpf(value) for value in eigenvalues[:positive]]
            return sum(v / (v + kappa) for v in values) + mpmath.mpf(ridge) / kappa - n

        small = mpmath.mpf(10) ** -12
        assert excess(kappa * (1 - small)) > 0 > excess(kappa * (1 + small))


@given(wide_spectra(), st.integers(1, 30), seeds)
def test_effective_ridge_falls_with_n_and_grows_with_ridge(eigenvalues, size, seed):
    rng = np.random.default_rng(seed)
    n = np.sort(rng.uniform(0, 40, size))
    ridge = np.sort(np.append(0.0, 10 ** rng.uniform(-20, 20, size)))[:, None]
    kappa = effective_ridge(eigenvalues, n, ridge)
    assert kappa.shape == (size + 1, size)
    assert (np.diff(kappa, axis=1) <= 1e-12 * kappa[:, 1:]).all()
    assert (np.diff(kappa, axis=0) >= -1e-12 * kappa[1:]).all()
    np.testing.assert_allclose(kappa[0], effective_ridge(eigenvalues, n), rtol=1e-12)


def test_effective_ridge_has_its_limits():
    eigenvalues = np.array([2.0, 1, 1, 0])
    n = [0, 1, 2.5, 3, 4, 100]
    kappa = effective_ridge(eigenvalues, n)
    assert kappa[0] == math.inf
    assert (kappa[1:3] > 0).all()
    assert (kappa[3:] == 0).all()
    assert (effective_ridge(eigenvalues, n, math.inf) == math.inf).all()
    assert effective_ridge(eigenvalues, 1000, 5.0) == pytest.approx(5 / 997, rel=0.01)
    assert effective_ridge(np.zeros(3), 2) == 0
    assert effective_ridge(np.zeros(3), 2, 5.0) == pytest.approx(2.5)
    assert isinstance(effective_ridge(eigenvalues, 1), float)
    assert effective_ridge(eigenvalues, np.zeros((0, 2))).shape == (0, 2)
    assert effective_ridge(eigenvalues, 1e-300) == math.inf
    np.testing.assert_allclose(effective_ridge(eigenvalues, 5, [5e-324, 1e-300]), [0, 5e-301])


@pytest.mark.parametrize("n", [1, 1000, 500_000, 999_999, 999_999.5])
def test_effective_ridge_of_equal_eigenvalues(n):
    d, variance, ridge = 10**6, 3.0, 7.0
    kappa = effective_ridge(np.full(d, variance), n)
    assert kappa == pytest.approx(variance * (d - n) / n, rel=1e-13)
    # With ridge it is the positive root of nκ² + ((n − d)λ − δ)κ − δλ.
    with mpmath.workdps(50):
        b = mpmath.mpf(n - d) * variance - ridge
        root = (-b + mpmath.sqrt(b * b + 4 * mpmath.mpf(n) * ridge * variance)) / (2 * n)
    assert effective_ridge(np.full(d, variance), n, ridge) == pytest.approx(float(root), rel=1e-12)


@pytest.mark.parametrize("gap", [1e-10, 1e-30, 1e-100])
def test_points_count_every_eigenvalue_above_a_gap(gap):
    """With as many samples as there are eigenvalues above it, κ is as small as those below."""
    cluster = np.linspace(1, 0.5, 100)
    eigenvalues = np.concatenate([cluster, gap * cluster])
    sizes = np.arange(96, 105)
    kappas = [effective_ridge(eigenvalues, int(n)) for n in sizes]
    assert effective_ridge(eigenvalues, 100) < 10 * math.sqrt(gap)
    np.testing.assert_allclose(effective_ridge(eigenvalues, sizes), kappas, rtol=1e-12)
    points, counts = Spectrum(eigenvalues).points(True)
    assert points[25] == 0.5 and np.cumsum(counts)[[25, -1]].tolist() == [100, 200]


@pytest.mark.parametrize("power", [1, 2, 3])
def test_points_have_the_sums_of_their_eigenvalues(power):
    """Of Σ wᵢλᵢ/(λᵢ + κ)^p, for any κ, with weights on all, on one, and of any size."""
    rng = np.random.default_rng(power)
    spectrum = Spectrum(np.sort(10 ** rng.uniform(-5, 0, 2000))[::-1])
    eigenvalues = spectrum.values
    weights = np.stack([np.ones(2000), np.arange(2000) == 700, rng.standard_normal(2000) ** 2])
    points, sums = spectrum.points(True)[0], spectrum.condense(weights, True)
    assert (np.diff(points) < 0).all() and points[[0, -1]].tolist() == eigenvalues[[0, -1]].tolist()
    np.testing.assert_allclose(sums.sum(axis=1), weights.sum(axis=1), rtol=1e-13)
    for kappa in 10.0 ** np.arange(-8, 4):
        expected = weights @ (eigenvalues / (eigenvalues + kappa) ** power)
        found = sums @ (points / (points + kappa) ** power)
        np.testing.assert_allclose(found, expected, rtol=1e-12)


@settings(max_examples=30)
@given(
    st.integers(300, 3000),
    st.floats(0, 3),
    st.sampled_from([0, 1e-4, 1.0]),
    st.integers(0, 3),
    seeds,
)
def test_many_sizes_at_once_are_each_of_them(dim, exponent, ridge, noise, seed):
    """Many together are summed over fewer points than eigenvalues, a single one is not."""
    rng = np.random.default_rng(seed)
    eigenvalues = np.sort(np.arange(1.0, dim + 1) ** -exponent * rng.uniform(0.5, 1, dim))[::-1]
    gap = rng.standard_normal(dim) * eigenvalues ** rng.uniform(-1, 1) * (rng.random(dim) < 0.3)
    problem = problem_with_gap(eigenvalues, gap, rng.standard_normal(dim))
    sizes = np.append(rng.integers(1, 2 * dim, 8), [dim - 1, dim, dim + 1])
    assert Spectrum(eigenvalues).points(True)[0].size < dim
    cases = (  # at depth, where θ_T − cθ_S nearly cancels, rounding of c is felt
        (lambda n: effective_ridge(eigenvalues, n, ridge), 1e-12),
        (lambda n: linear_risk(problem, n, ridge, noise / 10), 1e-11),
        (lambda n: deep_linear_risk(problem, n, 3), 1e-7),
    )
    for function, rtol in cases:
        np.testing.assert_allclose(
            function(sizes), [function(int(n)) for n in sizes], rtol=rtol, atol=1e-300
        )


def test_tables_are_never_held(monkeypatch):
    d, n = 200_000, np.linspace(0, 200_000, 100)
    rng = np.random.default_rng(0)
    source, target = rng.standard_normal((2, d))
    problem = TransferProblem(Population.power_law(d, 1), source, target)
    tracemalloc.start()
    whole = linear_risk(problem, n)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * d * len(n) / 3
    assert np.isfinite(whole).all()
    small = TransferProblem(Population.power_law(50, 1), source[:50], target[:50])
    n = np.arange(50)
    at_once = linear_risk(small, n, 0.1, 0.1), deep_linear_risk(small, n, 3)
    monkeypatch.setattr(equivalent, "_TILE", 100)
    in_tiles = linear_risk(small, n, 0.1, 0.1), deep_linear_risk(small, n, 3)
    np.testing.assert_allclose(at_once, in_tiles, rtol=1e-12)


@given(problems())
def test_what_is_seen_grows_from_nothing_to_all(problem):
    n = np.arange(2 * problem.population.dim)
    values = problem.population.eigenvalues
    energies = problem.population.coordinates(problem.gap) ** 2
    seen = Spectrum(values).level(n).seen(energies)
    assert (np.diff(seen) >= -1e-12 * energies.sum()).all()
    assert seen[0] == 0
    assert seen[-1] == pytest.approx(energies[values > 0].sum(), rel=1e-12)


@pytest.mark.parametrize("gap", GAPS)
def test_what_is_seen_is_as_simulated(gap):
    population, u = Population.power_law(200, 1), gap_in(GAPS[gap])
    rng, draws = np.random.default_rng(0), []
    for _ in range(50):
        rows = scipy.linalg.orth(population.sample(60, rng).T)
        seen = np.sum((u @ rows) ** 2)
        draws.append([seen, 1 - seen])
    seen = Spectrum(population.eigenvalues).level(60).seen(u**2)
    assert_equivalent(draws, np.array([seen, 1 - seen]), 0.01)


@given(problems(), st.integers(1, 12), st.floats(-6, 6))
def test_a_level_is_known_by_its_kappa_as_well(problem, n, log_kappa):
    """At (κ, n) the ridge is the one that leads there; without n, at the n that needs none."""
    values = problem.population.eigenvalues
    spectrum, kappa = Spectrum(values), np.array([10.0**log_kappa])
    energies = problem.population.coordinates(problem.gap) ** 2
    free = spectrum.at(kappa)
    again = spectrum.level(free.n)
    np.testing.assert_allclose(again.kappa, free.kappa, rtol=1e-9)
    np.testing.assert_allclose(again.risk(energies), free.risk(energies), rtol=1e-9, atol=1e-300)
    held = spectrum.at(kappa, n)
    assume(held.ridge > 1e-3 * held.kappa)
    again = spectrum.level(n, held.ridge)
    np.testing.assert_allclose(again.kappa, held.kappa, rtol=1e-9)
    np.testing.assert_allclose(again.spare, held.spare, rtol=1e-9)
    np.testing.assert_allclose(again.df1, n - held.ridge / held.kappa, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(again.df2, ((values / (values + held.kappa)) ** 2).sum(), rtol=1e-9)


def test_the_risk_is_linear_in_energies():
    rng = np.random.default_rng(0)
    level = Spectrum(1 / np.arange(1.0, 41)).level(np.arange(12.0)[:, None], [0.0, 0.1])
    u, v = rng.standard_normal((2, 40))
    whole = level.risk((u - 2 * v) ** 2)
    parts = level.risk(np.stack([u * u, u * v, v * v]))
    np.testing.assert_allclose(np.tensordot([1, -4, 4], parts, 1), whole, rtol=1e-11)
    noise = level.risk(np.zeros(40), 0.5)
    np.testing.assert_allclose(level.risk(u * u, 0.5), parts[0] + noise, rtol=1e-12)
