"""Columns over twelve orders of magnitude, in all that factorises inputs, against fifty digits.

X = ZD with Z well conditioned and D diagonal: what it determines, it determines to all digits but
those that Z costs. A method that squares X, or cuts its rank by the largest column, loses them.
"""

import math

import mpmath
import numpy as np
import pytest

from lib import deep_linear, linear_regression
from lib.problem import Population
from lib.selection import rank_sources


def scaled_columns(n, d, seed):
    """Return inputs with columns of any scale, labels, and a source that fits the columns."""
    rng = np.random.default_rng(seed)
    scales = 10 ** np.linspace(-6, 6, d)[rng.permutation(d)]
    return (
        rng.standard_normal((n, d)) * scales,
        rng.standard_normal(n),
        rng.standard_normal(d) / scales,
    )


def exact_end(X, y, source, ridge=0.0):
    """Return θ_S + Xᵀ(XXᵀ + δI)⁻¹(y − Xθ_S) for n ≤ d, else the least-squares solution."""
    with mpmath.workdps(60):
        A, r, start = (mpmath.matrix(v.tolist()) for v in (X, y, source))
        r = r - A * start
        if X.shape[0] <= X.shape[1]:
            way = A.T * mpmath.lu_solve(A * A.T + mpmath.mpf(ridge) * mpmath.eye(len(X)), r)
        else:
            way = mpmath.lu_solve(A.T * A + mpmath.mpf(ridge) * mpmath.eye(X.shape[1]), A.T * r)
        return np.array([float(x) for x in start + way])


@pytest.mark.parametrize("n", [3, 7, 20])
@pytest.mark.parametrize("ridge", [0.0, 1e-3, 1.0])
def test_end_points(n, ridge):
    """Every weight, the small as well: what it adds to the outputs is within 1e-9 of them."""
    X, y, source = scaled_columns(n, 7, n)
    expected = exact_end(X, y, source, ridge)
    found = linear_regression.finetune(X, y, source, ridge=ridge)
    size = np.abs(X).max(axis=0)
    np.testing.assert_allclose(found * size, expected * size, rtol=0, atol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_second_moments(seed):
    """All eigenvalues, over up to 24 orders of magnitude."""
    X, _, _ = scaled_columns(12, 5, seed)
    with mpmath.workdps(60):
        A = mpmath.matrix(X.tolist())
        values, _ = mpmath.eigsy(A.T * A / len(X))
        expected = np.sort([float(v) for v in values])[::-1]
    population = Population.from_samples(X)
    np.testing.assert_allclose(population.eigenvalues, expected, rtol=1e-9)
    # Each direction's own length and the products of all, up to rounding of the columns.
    size = np.sqrt(np.diag(X.T @ X) / len(X))
    root = population.eigenvectors * np.sqrt(population.eigenvalues)
    correlation = (root @ root.T) / np.outer(size, size)
    np.testing.assert_allclose(correlation, X.T @ X / len(X) / np.outer(size, size), atol=1e-9)


def test_a_small_column_is_no_rounding_error():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((10, 2)) * [1e8, 1]
    X[:, 1] -= X[:, 0] * (X[:, 0] @ X[:, 1]) / (X[:, 0] @ X[:, 0])
    expected = np.sort((X**2).mean(axis=0))[::-1]
    np.testing.assert_allclose(Population.from_samples(X).eigenvalues, expected, rtol=1e-12)


@pytest.mark.parametrize("depth", [2, 5, math.inf])
def test_deep_scores(depth):
    """Against refitting without each sample."""
    X, y, _ = scaled_columns(5, 9, 1)
    sources = np.random.default_rng(2).standard_normal((3, 9)) / np.abs(X).max(axis=0)
    _, scores = rank_sources(X, y, sources, depth=depth)
    for source, score in zip(sources, scores, strict=True):
        errors = []
        for i in range(len(X)):
            end = deep_linear.finetune(np.delete(X, i, 0), np.delete(y, i), source, depth)
            errors.append(y[i] - X[i] @ end)
        assert score == pytest.approx(np.mean(np.square(errors)), rel=1e-7)
