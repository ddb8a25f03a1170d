"""LogME against the evidence that it maximises, the H-score against its definition."""

import math
from itertools import product

import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.optimize
from hypothesis import example, given, settings
from scipy.stats import multivariate_normal
from sklearn.linear_model import BayesianRidge
from strategies import rotation, seeds

from lib.transferability import h_score, logme

sizes = st.integers(1, 9)


@st.composite
def spectral_features(draw, decades=1.0):
    """Features of any shape and rank, with singular values over at most so many decades.

    Returns F, and U (n, r) and s (r,) of its singular value decomposition.
    """
    n, dim = draw(sizes), draw(sizes)
    rank = draw(st.integers(1, min(n, dim)))
    rng = np.random.default_rng(draw(seeds))
    s = 10 ** rng.uniform(-decades, 0, rank)
    U, V = rotation(n, draw(seeds))[:, :rank], rotation(dim, draw(seeds))[:, :rank]
    return (U * s) @ V.T, U, s


@st.composite
def labelled(draw):
    """Features of any shape and rank, labels that they explain well or not at all."""
    features, _, _ = draw(spectral_features())
    rng = np.random.default_rng(draw(seeds))
    noise = draw(st.sampled_from((0.1, 1, 100)))
    w, e = rng.standard_normal(features.shape[1]), rng.standard_normal(len(features))
    return features, features @ w + noise * e


@st.composite
def well_explained(draw):
    """More samples than features, and labels for which iterations converge quickly."""
    n, dim = draw(st.integers(20, 40)), draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(seeds))
    features = rng.standard_normal((n, dim))
    w = rng.choice([-1, 1], dim) * rng.uniform(1, 2, dim)
    return features, features @ w + rng.uniform(0.05, 0.5) * rng.standard_normal(n)


def evidence(features, y, log_alpha, log_beta):
    """Return log p(y | F, α, β)/n, or −∞ where the covariance is singular to SciPy."""
    n = len(features)
    cov = np.exp(-log_beta) * np.eye(n) + np.exp(-log_alpha) * features @ features.T
    try:
        return multivariate_normal.logpdf(y, cov=cov) / n
    except np.linalg.LinAlgError:
        return -math.inf


def fixed_point(features, y, steps=500):
    """Return the evidence where the published iteration ends, by the published formula."""
    n, dim = features.shape
    alpha = beta = 1.0
    values, vectors = np.linalg.eigh(features.T @ features)
    projected = vectors.T @ features.T @ y
    for _ in range(steps):
        m = vectors @ (beta * projected / (alpha + beta * values))
        gamma = np.sum(beta * values / (alpha + beta * values))
        alpha, beta = gamma / (m @ m), (n - gamma) / np.sum((features @ m - y) ** 2)
    A = alpha * np.eye(dim) + beta * features.T @ features
    m = beta * np.linalg.solve(A, features.T @ y)
    return (
        n / 2 * np.log(beta)
        + dim / 2 * np.log(alpha)
        - n / 2 * np.log(2 * np.pi)
        - beta / 2 * np.sum((features @ m - y) ** 2)
        - alpha / 2 * m @ m
        - np.linalg.slogdet(A)[1] / 2
    ) / n


@settings(max_examples=40)
@given(labelled())
def test_logme_is_the_greatest_evidence(data):
    """Of all α and β that a search from several starts comes by."""
    features, y = data
    found = max(
        -scipy.optimize.minimize(
            lambda x: -evidence(features, y, *x),
            start,
            method="Nelder-Mead",
            bounds=[(-15, 20)] * 2,
            options={"xatol": 1e-5, "fatol": 1e-10},
        ).fun
        for start in product((-5, 0, 12), (-5, 3))
    )
    score = logme(features, y)
    # The density loses ε times the condition number of the covariance, up to 10⁷ of it.
    assert score >= found - 1e-8
    # The search stops short of a supremum at infinity: by e⁻¹⁵ or so, and at a finite one by 10⁻¹⁰.
    assert score <= found + 1e-5
    assert type(score) is float


@given(labelled(), st.floats(-15, 15), st.floats(-15, 15))
def test_no_evidence_is_above_logme(data, log_alpha, log_beta):
    # Rounding, in units of the exponent itself, which is huge where α and β are far off.
    value = evidence(*data, log_alpha, log_beta)
    assert value <= logme(*data) + 1e-8


@given(spectral_features(decades=5), seeds, st.floats(-4, 4))
def test_logme_over_wide_spectra(data, seed, noise):
    """On a dense grid of t = α/β, from singular values known beforehand."""
    features, U, s = data
    rng = np.random.default_rng(seed)
    y = U @ (s * rng.standard_normal(s.size)) + 10**noise * rng.standard_normal(len(U))
    expected = on_a_grid(U, s, y)
    # A grid of 0.01 misses a minimum by (0.01)²/8 of its curvature, which is of order 1. What
    # the decomposition loses is ε s₁/s_r, 10⁻¹¹ and less.
    assert expected - 1e-9 <= logme(features, y) <= expected + 1e-4


@pytest.mark.parametrize("rest", [0.3, 0.1, 0.05, 0.04, 0.03, 0.01])
def test_logme_takes_the_highest_of_two_peaks(rest):
    """One strong feature explains half, eight weak ones the rest but for the share ``rest``.

    The evidence peaks near the units of each: at the strong one if ``rest`` is large. The published
    iteration, from α = β = 1, ends there for any of these.
    """
    n, s = 20, np.array([1] + [1e-3] * 8)
    Q = rotation(n, 0)
    y = Q[:, :10] @ np.sqrt([0.5] + [(0.5 - rest) / 8] * 8 + [rest])
    features = Q[:, :9] * s
    expected = on_a_grid(Q[:, :9], s, y)  # as above
    assert expected - 1e-9 <= logme(features, y) <= expected + 1e-4
    caught = fixed_point(features, y) < logme(features, y) - 0.01
    assert caught == (rest < 0.06)


@pytest.mark.parametrize(("n", "ratio"), [(20, 0.9), (200, 1.7)])
def test_logme_finds_a_peak_beside_the_weakest_feature(n, ratio):
    """All is along the strongest but a rest that puts the minimum at t = ratio · s_r².

    There Σ s²/(t + s²) = S, and a minimum needs t/rest = (S/n)/(1 − S/n), up to t beside 1. Below
    s_r² the scan goes as far as it must, and not less far where it could end above.
    """
    s = np.sqrt([1] + [1e-3] * 9)
    S = 1 + 9 / (1 + ratio)
    rest = ratio * 1e-3 * (n - S) / S
    Q = rotation(n, 0)
    y = Q[:, [0, 10]] @ np.sqrt([1 - rest, rest])
    expected = on_a_grid(Q[:, :10], s, y)
    assert expected - 1e-9 <= logme(Q[:, :10] * s, y) <= expected + 1e-4


def test_logme_beside_labels_that_can_be_interpolated():
    """At t → 0 is a peak, and from there the evidence falls; that further on is higher."""
    s, z2 = np.sqrt([1, 1e-9, 1e-10, 1e-10]), np.array([1 - 1e-5, 1e-5, 0, 0])
    Q = rotation(4, 0)
    y = Q @ np.sqrt(z2)
    expected = on_a_grid(Q, s, y)
    at_zero = np.log(np.sum(z2 / s**2)) + np.log(s**2).mean()
    assert expected > -(1 + np.log(2 * np.pi / 4) + at_zero) / 2 + 0.1
    assert expected - 1e-9 <= logme(Q * s, y) <= expected + 1e-4


def on_a_grid(U, s, y):
    """Return the highest evidence on a grid of t, its best β inserted."""
    n, z2 = len(U), (U.T @ y) ** 2
    rest = np.sum((y - U @ (U.T @ y)) ** 2) if s.size < n else 0.0
    t = np.exp(np.arange(-80, 45, 0.01))[:, None]  # from the rounding of y² to 10¹⁹
    Q = (z2 / (1 + s**2 / t)).sum(axis=1) + rest
    values = np.log(2 * np.pi * Q / n) + 1 + np.log1p(s**2 / t).sum(axis=1) / n
    return -values.min() / 2


@given(sizes, sizes, seeds, st.floats(-4, 4), st.floats(-3, 3))
@example(1, 1, 0, 0.0, 0.0)
@example(9, 9, 0, 0.0, 0.0)
@example(9, 3, 0, 9.0, 0.0)
def test_logme_of_orthonormal_features(n, dim, seed, noise, units):
    """With all s equal, a = 1 + s²/t is (n − r)E/(r·rest) or 1, for energies E and rest of y."""
    rank = min(n, dim)
    Q, rng = rotation(n, seed), np.random.default_rng(seed)
    z = rng.standard_normal(n) * np.where(np.arange(n) < rank, 1, 10**noise)
    inside, rest = z[:rank] @ z[:rank], z[rank:] @ z[rank:]
    a = max((n - rank) * inside / (rank * rest), 1) if rank < n else 1
    cost = np.log(inside / a + rest) + rank / n * np.log(a)
    expected = -(1 + np.log(2 * np.pi / n) + cost) / 2
    features = 10**units * Q[:, :rank] @ rotation(dim, seed)[:rank]
    # The share of the rest is 10⁻⁸ at least, in energies, and loses ε of 1.
    assert logme(features, Q @ z) == pytest.approx(expected, rel=0, abs=1e-9)


@pytest.mark.parametrize("excess", [-1e-2, 0, 5e-5, 1e-3, 1e-2, 1e-1])
def test_logme_of_one_feature_that_hardly_matters(excess):
    """It does from n z² > 1 on, z the cosine with y; then 1 + s²/t = (n − 1)z²/(1 − z²)."""
    n = 50
    z2 = (1 + excess) / n
    a = max((n - 1) * z2 / (1 - z2), 1)
    cost = np.log(z2 / a + 1 - z2) + np.log(a) / n
    F, y = np.zeros((n, 1)), np.zeros(n)
    F[0], y[:2] = 3, (np.sqrt(z2), np.sqrt(1 - z2))
    # A gain of excess²/(4n), the least 10⁻¹¹, is to be seen: the tolerance is rounding.
    expected = -(1 + np.log(2 * np.pi / n) + cost) / 2
    assert logme(F, y) == pytest.approx(expected, rel=0, abs=1e-14)


@given(well_explained())
def test_logme_is_the_score_of_bayesian_ridge(data):
    features, y = data
    flat = dict.fromkeys(("alpha_1", "alpha_2", "lambda_1", "lambda_2"), 0.0)
    model = BayesianRidge(
        max_iter=1000, tol=1e-10, compute_score=True, fit_intercept=False, **flat
    ).fit(features, y)
    # It stops when the weights move by 10⁻¹⁰; at a maximum that is a square in the evidence.
    assert logme(features, y) == pytest.approx(model.scores_[-1] / len(y), rel=0, abs=1e-9)


@given(well_explained())
def test_logme_is_where_the_published_iteration_ends(data):
    # 500 steps leave rounding only.
    assert logme(*data) == pytest.approx(fixed_point(*data), rel=0, abs=1e-9)


@given(labelled(), seeds, st.floats(-100, 100))
def test_logme_in_other_units_and_axes(data, seed, log_length):
    features, y = data
    n, dim = features.shape
    score = logme(features, y)
    order = np.random.default_rng(seed).permutation(n)
    # Rounding: the residual of y loses ε of y; it is above 10⁻⁴ of it or so in any example.
    same = [
        (features @ rotation(dim, seed), y),
        (10**log_length * features, y),
        (features[order], y[order]),
        (np.hstack([features, np.zeros((n, 2))]), y),
        (np.hstack([features, features]) / np.sqrt(2), y),
        (features, -y),
    ]
    for other in same:
        assert logme(*other) == pytest.approx(score, rel=0, abs=1e-9)
    for unit in (1e-200, 0.3, 1e200):
        scaled = logme(features, unit * y)
        assert scaled == pytest.approx(score - np.log(unit), rel=0, abs=1e-9)


@given(labelled(), seeds)
def test_logme_of_several_targets_is_the_mean(data, seed):
    features, y = data
    others = np.random.default_rng(seed).standard_normal((2, len(y)))
    columns = [y, *(y + 10 * others)]
    expected = np.mean([logme(features, column) for column in columns])
    # Products of a matrix with one column, or with three, may be summed in another order.
    assert logme(features, np.transpose(columns)) == pytest.approx(expected, rel=0, abs=1e-9)
    assert logme(features, y[:, None]) == pytest.approx(logme(features, y), rel=0, abs=1e-9)


def test_logme_where_the_features_explain_nothing():
    y = np.array([0, 0, 1, 2, 2.0])
    expected = -(1 + np.log(2 * np.pi * 9 / 5)) / 2  # white noise, its variance ‖y‖²/n
    for features in (np.zeros((5, 2)), np.eye(5)[:, :2]):
        assert logme(features, y) == pytest.approx(expected, rel=1e-14)


def test_logme_where_the_labels_are_best_interpolated():
    """Labels along the strongest feature: y ~ N(0, FFᵀ/α), without noise, α = n/‖F⁺y‖²."""
    features = np.array([[2, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0.5, 0.0]])
    y = np.array([3, 0.1, 0])
    alpha = 3 / ((3 / 2) ** 2 + 0.1**2)
    expected = multivariate_normal.logpdf(y, cov=features @ features.T / alpha) / 3
    assert logme(features, y) == pytest.approx(expected, rel=0, abs=1e-14)


@given(spectral_features(), seeds)
def test_logme_is_infinite_for_labels_linear_in_few_features(data, seed):
    features, _, s = data
    n, dim = features.shape
    rng = np.random.default_rng(seed)
    y = features @ rng.standard_normal(dim)
    assert (logme(features, y) == math.inf) == (s.size < n)
    assert logme(features, y + 1e-3 * rng.standard_normal(n)) < math.inf
    columns = np.stack([rng.standard_normal(n), y], axis=1)
    assert (logme(features, columns) == math.inf) == (s.size < n)
    columns[:, 1] = 0
    assert logme(features, columns) == math.inf


@pytest.mark.parametrize(("residual", "infinite"), [(0, True), (9e-13, True), (1.1e-12, False)])
def test_what_counts_as_linear_in_the_features(residual, infinite):
    F = np.array([[300], [400], [0.0]])
    assert (logme(F, [3, 4, 5 * residual]) == math.inf) == infinite


def test_what_the_features_miss_is_measured_to_its_own_digits():
    """A share of 1.2·10⁻¹², beside features whose condition of 100 blurs their axes by 10⁻¹²."""
    Q, s = rotation(200, 0)[:, :51], np.logspace(0, -1.99, 50)
    z = np.random.default_rng(0).standard_normal(50)
    y = Q @ np.append(z, 1.2e-12 * np.linalg.norm(z))
    score = logme((Q[:, :50] * s) @ rotation(50, 1), y)
    # Rounding of the entries changes the share by up to 1 %, in quadrature.
    assert score == pytest.approx(on_a_grid(Q[:, :50], s, y), rel=0, abs=5e-3)


@st.composite
def classified(draw):
    """Features with any mean, of any shape and rank, and some classes."""
    features, _, _ = draw(spectral_features())
    rng = np.random.default_rng(draw(seeds))
    labels = rng.integers(-2, draw(st.integers(-1, 3)), len(features))
    return features + rng.standard_normal(features.shape[1]), labels


@given(classified())
def test_h_score_is_its_definition(data):
    features, labels = data
    n, dim = features.shape
    means = [features[labels == label].mean(axis=0) for label in labels]
    total, between = np.zeros((dim, dim)), np.zeros((dim, dim))
    for row, mean in zip(features, means, strict=True):
        total += np.outer(row - features.mean(axis=0), row - features.mean(axis=0)) / n
        between += np.outer(mean - features.mean(axis=0), mean - features.mean(axis=0)) / n
    expected = np.trace(np.linalg.pinv(total, rcond=1e-12, hermitian=True) @ between)
    score = h_score(features, labels)
    # The covariance squares the condition number, 10 and by centring up to 10³ or so.
    assert score == pytest.approx(expected, rel=0, abs=1e-7)
    assert type(score) is float
    # 10⁻¹² is rounding.
    assert 0 <= score <= min(dim, len(set(labels)) - 1) + 1e-12


@given(classified(), seeds)
def test_h_score_under_linear_maps(data, seed):
    features, labels = data
    n, dim = features.shape
    score, rng = h_score(features, labels), np.random.default_rng(seed)
    order = rng.permutation(n)
    mapped = features @ (rotation(dim, seed) * 10 ** rng.uniform(-1, 1, dim)) @ rotation(dim, 0)
    same = [
        (mapped, labels),
        (features * 10 ** rng.uniform(-200, 200, dim), labels),
        (features + rng.standard_normal(dim), labels),
        (features[order], labels[order]),
        (features, 7 - 3 * labels),
        (np.hstack([features, features]), labels),
        (np.hstack([features, np.full((n, 1), 1e200 / 3)]), labels),
        (np.hstack([features, np.zeros((n, 1))]), labels),
    ]
    for other in same:  # rounding, times a condition number of up to 10⁴ or so
        assert h_score(*other) == pytest.approx(score, rel=0, abs=1e-9)


def test_scores_know_the_precision_of_the_features():
    """Shares that add up to 1, in single precision: what rounding leaves of the last is nothing."""
    rng = np.random.default_rng(0)
    features = rng.dirichlet(np.ones(40), 60).astype("float32")
    features /= features.sum(axis=1, keepdims=True)
    labels, y = rng.integers(0, 3, 60), rng.standard_normal(60)
    reduced = features[:, :-1].astype(float)  # an equivalent basis, of full rank
    assert h_score(features, labels) == pytest.approx(h_score(reduced, labels), rel=1e-3)
    combined = rng.standard_normal((50, 4)) @ rng.standard_normal((4, 45))
    expected = logme(combined, y[:50])
    assert logme(combined.astype("float32"), y[:50]) == pytest.approx(expected, rel=1e-4)


def test_h_score_done_by_hand():
    # The variance is 5/4, that of the means, 1/2 and 5/2, is 1.
    assert h_score([[0], [1], [2], [3]], [0, 0, 1, 1]) == pytest.approx(0.8, rel=1e-14)
    # A feature that is the class, or two that separate three classes: K − 1.
    separated = np.array([0.1, 0.7, 0.1, 0.7, 0.7])
    assert h_score(separated[:, None], separated > 0.5) == pytest.approx(1, rel=1e-14)
    corners = np.array([[0, 0], [1, 0], [0, 1], [1, 0]])
    assert h_score(corners, [0, 1, 2, 1]) == pytest.approx(2, rel=1e-14)
    # Nothing varies but by rounding, or there is one class.
    assert h_score(1 + np.finfo(float).eps * np.arange(7)[:, None], np.arange(7)) == 0
    assert h_score(np.full((7, 2), 0.1), np.arange(7)) == 0
    assert h_score(separated[:, None], np.zeros(5, dtype=int)) == pytest.approx(0, abs=1e-30)


@pytest.mark.parametrize(("spread", "score"), [(0, 0), (9e-13, 0), (1.1e-12, 1)])
@pytest.mark.parametrize("shape", [(100, 1), (4, 9)])
def test_what_counts_as_no_variance(shape, spread, score):
    """Classes that differ by this share of the features, in all features alike."""
    labels = np.arange(shape[0]) % 2
    features = np.ones(shape) + spread * (2 * labels - 1)[:, None]
    # Entries near 1 are rounded to 10⁻⁴ of the spread, which is square in the score.
    assert h_score(features, labels) == pytest.approx(score, rel=1e-6)
    assert h_score(0 * features, labels) == 0


F = np.ones((3, 2))


@pytest.mark.parametrize(
    ("features", "y", "error", "message"),
    [
        (np.ones(3), np.ones(3), ValueError, "features must have shape"),
        (np.ones((3, 0)), np.ones(3), ValueError, "features must have at least one row"),
        (np.ones((0, 2)), np.ones(0), ValueError, "features must have at least one row"),
        (F * np.nan, np.ones(3), ValueError, "features must be finite"),
        ("F", np.ones(3), TypeError, "features must be an array of real numbers"),
    ],
)
def test_bad_features_are_named(features, y, error, message):
    for score in (logme, h_score):
        with pytest.raises(error, match=f"^{message}"):
            score(features, y.astype(int))


@pytest.mark.parametrize(
    ("y", "error", "message"),
    [
        (np.ones(2), ValueError, r"y must have shape \(3\)"),
        (1.0, ValueError, r"y must have shape \(3\)"),
        (np.ones((2, 3)), ValueError, r"y must have shape \(3, any\)"),
        (np.ones((3, 1, 1)), ValueError, r"y must have shape \(3, any\)"),
        (np.ones((3, 0)), ValueError, "y must have at least one column"),
        ([1, 2, math.inf], ValueError, "y must be finite"),
        (["a", "b", "c"], TypeError, "y must be an array of real numbers"),
    ],
)
def test_bad_targets_are_named(y, error, message):
    with pytest.raises(error, match=f"^{message}"):
        logme(F, y)


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        ([0, 1], ValueError, r"labels must have shape \(3\)"),
        (0, ValueError, r"labels must have shape \(3\)"),
        (np.eye(3, dtype=int), ValueError, r"labels must have shape \(3\)"),
        ([0.0, 1.0, 1.0], TypeError, "labels must be an array of integers"),
        (["a", "b", "b"], TypeError, "labels must be an array of integers"),
    ],
)
def test_bad_labels_are_named(labels, error, message):
    with pytest.raises(error, match=f"^{message}"):
        h_score(F, labels)
