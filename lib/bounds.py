"""Upper bounds on the risk after fine-tuning: what they need is how well Σ̂ resolves Σ.

Contract: a wrong type is a TypeError; a wrong shape, an entry that is not finite, or a number out
of its range a ValueError. Both name the argument.
"""

import math

import numpy as np
import scipy.linalg

from lib import checks, relu
from lib.numerics import units
from lib.problem import Population, TransferProblem

__all__ = ["concentration", "covariance_error", "ntk_bound", "spectral_bound", "uniform_bound"]


def covariance_error(population, X):
    """e = ‖Σ − Σ̂‖ (spectral norm), with Σ̂ = XᵀX/n.

    Parameters
    ----------
    population : Population
        It holds Σ.
    X : array (n, d)
        Target inputs.

    Returns
    -------
    float

    Notes
    -----
    Cost: O(nd² + d³), eigenvalues of a symmetric matrix. Source: thm-linear-bound.
    """
    checks.instance("population", population, Population)
    X = checks.samples(X, dim=population.dim)
    with np.errstate(over="ignore", invalid="ignore"):
        difference = population.covariance() - X.T @ X / len(X)
    if not np.isfinite(difference).all():
        raise ValueError("X must have squares that do not overflow")
    return float(np.abs(scipy.linalg.eigvalsh(difference, check_finite=False)).max())


def uniform_bound(problem, error):
    """R ≤ e‖u‖², for every X with ‖Σ − Σ̂‖ ≤ e.

    Parameters
    ----------
    problem : TransferProblem
        Supplies the gap u.
    error : float
        e ≥ 0, from ``covariance_error`` or ``concentration``.

    Returns
    -------
    float, or array (...) for teachers in batches

    Notes
    -----
    Cost: O(d). Source: thm-linear-bound.
    """
    checks.instance("problem", problem, TransferProblem)
    error, size = checks.real("error", error, at_least=0), units(problem.gap)
    gap = problem.gap / size  # its square neither over- nor underflows
    size = size[..., 0]
    return checks.plain(size * error * np.vecdot(gap, gap) * size)


def spectral_bound(problem, error, rank=None):
    """R ≤ 2(e³/λ_k²)‖P_{≤k}u‖² + 2e‖P_{>k}u‖², for every X with ‖Σ − Σ̂‖ ≤ e.

    Parameters
    ----------
    problem : TransferProblem
        Supplies the gap u and the eigenvalues λ.
    error : float
        e ≥ 0, as in ``uniform_bound``.
    rank : int, optional
        k, from 1 to the number of positive eigenvalues. None takes the k that makes the bound
        smallest.

    Returns
    -------
    float, or array (...) for teachers in batches

    Raises
    ------
    ValueError
        If Σ = 0.

    Notes
    -----
    Cost: O(d) for all k together, O(d²) with eigenvectors. Source: thm-linear-bound.
    """
    checks.instance("problem", problem, TransferProblem)
    error = checks.real("error", error, at_least=0)
    positive = int(np.count_nonzero(problem.population.eigenvalues))
    if positive == 0:
        raise ValueError("problem must have a population with a positive eigenvalue")
    size = units(problem.gap)
    energies = (problem.population.coordinates(problem.gap) / size) ** 2
    top = np.cumsum(energies, axis=-1)[..., :positive]
    tail = np.cumsum(energies[..., ::-1], axis=-1)[..., ::-1]
    tail = np.concatenate([tail, np.zeros_like(tail[..., :1])], axis=-1)[..., 1 : positive + 1]
    with np.errstate(over="ignore", invalid="ignore"):  # ∞ is right where λ_k is next to nothing
        seen = error / problem.population.eigenvalues[:positive]
        bound = size * (2 * error) * (np.where(top > 0, seen**2 * top, 0) + tail) * size
    if rank is None:
        return checks.plain(bound.min(axis=-1))
    rank = checks.integer("rank", rank, at_least=1, at_most=positive)
    return checks.plain(bound[..., rank - 1])


def concentration(population, n, confidence, constant):
    """With probability ``confidence`` = 1 − γ, ‖Σ − Σ̂‖ ≤ Cλ₁ max(√q, q).

    Here q = max(tr Σ/λ₁, log 1/γ)/n, the first being the effective rank, or intrinsic dimension.

    Parameters
    ----------
    population : Population
        It holds Σ; the inputs must be sub-Gaussian.
    n : int or array
        Number of samples, at least 1.
    confidence : float
        Strictly between 0 and 1.
    constant : float
        C > 0. The theorem says that one exists for each sub-Gaussian norm, not which.

    Returns
    -------
    float, or array of the shape of n

    Raises
    ------
    ValueError
        If Σ = 0.

    Notes
    -----
    Cost: O(d). Source: thm-concentration; Koltchinskii and Lounici 2017.
    """
    checks.instance("population", population, Population)
    n = checks.array("n", n, (...,))
    if n.size and n.min() < 1:
        raise ValueError(f"n must be at least 1, got {n.min():g}")
    confidence = checks.real("confidence", confidence, above=0)
    if confidence >= 1:
        raise ValueError(f"confidence must be below 1, got {confidence}")
    constant = checks.real("constant", constant, above=0)
    largest = population.eigenvalues[0]
    if largest == 0:
        raise ValueError("population must have a positive eigenvalue")
    share = np.maximum(population.eigenvalues.sum() / largest, -np.log1p(-confidence)) / n
    error = constant * largest * np.maximum(np.sqrt(share), share)
    return float(error) if error.ndim == 0 else error


def ntk_bound(X, residual):
    """E|f(x) − y| ≲ √(2 residualᵀH⁻¹residual · mean ‖xᵢ‖²/n), for ReLU networks.

    That is the leading term for an infinitely wide network fine-tuned on (X, y), with H its tangent
    kernel and ``residual`` = y − f_S(X). For linear teachers it is at most √(8‖u‖² mean ‖xᵢ‖²/n),
    which bounds the expectation over X without further terms.

    Parameters
    ----------
    X : array (n, d)
        Target inputs.
    residual : array (n,) or (n, k)
        What the pretrained network misses; one column per source or per target.

    Returns
    -------
    float, or array (k,)

    Notes
    -----
    Cost: O(n²d + n³), a Cholesky factor. Source: thm-ntk; Arora, Du, Hu, Li and Wang 2019.
    """
    X = checks.samples(X)
    X = X / (np.abs(X).max() or 1.0)  # its unit drops out, and squares must not over- or underflow
    length = float(np.linalg.norm(X))
    return relu.correction_norm(X, residual) * length * math.sqrt(2) / len(X)
