"""Scores used in practice to choose a pretrained model, from its features on the target samples.

They look at the samples only: no teacher and no population is needed.

Contract: a wrong type is a TypeError; a wrong shape, an entry that is not finite, or a number out
of its range a ValueError. Both name the argument.
"""

import math

import numpy as np
import scipy.linalg

from lib import checks
from lib.numerics import minima
from lib.row_space import left_vectors

__all__ = ["h_score", "logme"]

_EPS = np.finfo(float).eps
_FAR = 1e8  # beyond s₁²·_FAR and s_r²/_FAR the evidence is at its limits, up to 1/_FAR²
_ROUNDING = 1e-12  # rounding errors of data stay below this share of their length


def logme(features, y):
    """LogME: max_{α,β} log p(y | F, α, β)/n for y ~ N(Fw, β⁻¹I) and w ~ N(0, α⁻¹I).

    Parameters
    ----------
    features : array (n, D)
        F, the features of the target samples; any rank, any n.
    y : array (n,) or (n, K)
        Labels; of K targets, as of one-hot classes, the mean of the K scores is returned.

    Returns
    -------
    float
        In nats per sample: y in other units, c·y, adds −log c. It does not depend on the units of
        the features, nor on the axes. Infinite where the evidence is unbounded, as β → ∞: a column
        of y is zero; or n is above the rank of F, and a column is linear in the features, up to
        10⁻¹² of its length.

    Notes
    -----
    Given t = α/β, the best β is n/Q with Q = yᵀ(I + FFᵀ/t)⁻¹y, which leaves one dimension: the
    least log Q + Σᵢ log(1 + sᵢ²/t)/n. It may have several minima. All that a scan of 4 points per
    unit of log t separates are found from its derivative, and the best is taken. The limit t → ∞,
    where the features explain nothing, is −(1 + log(2π‖y‖²/n))/2, and takes part. So does t → 0 if
    F has rank n, and the labels can be interpolated; below that rank the evidence falls to −∞
    there. The scan ends at 10⁸s₁²; it begins at s_r²/10⁸ for rank n, else at a t from which on down
    the evidence is sure to fall. Cost: one thin SVD of F, and O(r) per point for each target: 80
    points or more, for s₁/s_r and ‖y‖/‖residual‖ are in the range of t. Source: You et al. 2021.
    """
    rounding = checks.rounding(features)
    features = _features(features)
    n = len(features)
    y = checks.columns("y", y, n).reshape(n, -1)
    if y.size == 0:
        raise ValueError(f"y must have at least one column, got shape {y.shape}")
    largest = np.abs(y).max(axis=0)
    if not largest.all():
        return math.inf
    y = y / largest  # lengths must not over- or underflow
    length = np.linalg.norm(y, axis=0)
    y /= length
    U, s = left_vectors(features, rounding)
    inside = U.T @ y
    residual = y - U @ inside
    residual = np.linalg.norm(residual - U @ (U.T @ residual), axis=0)
    if s.size == n:
        residual[:] = 0.0
    elif (residual <= max(_ROUNDING, n * rounding)).any():
        return math.inf
    pairs = zip(inside.T**2, residual**2, strict=True)
    costs = [_least_cost((s / s[:1]) ** 2, energy, rest, n) for energy, rest in pairs]
    scores = -(1 + math.log(2 * math.pi / n) + np.array(costs)) / 2 - np.log(length)
    return float((scores - np.log(largest)).mean())


def h_score(features, labels):
    """H-score tr(cov(F)⁺ cov(E[F | Y])): the share of the features' variance between the classes.

    Parameters
    ----------
    features : array (n, D)
        F, the features of the target samples; any rank, any n.
    labels : array (n,) of integers
        Y, the class of each sample; any integers.

    Returns
    -------
    float
        Between 0 and min(D, K − 1) for K classes. It does not change under invertible linear maps
        of the features.

    Notes
    -----
    With F − mean = U diag(s) Vᵀ it is Σₖ nₖ‖mean of U over class k‖². The pseudo-inverse: columns
    are divided by their largest entry, and then s ≤ 10⁻¹²‖F‖ counts as zero. Once n − 1 ≤ D the
    features in general separate any labels, and the score is K − 1. Cost: one thin SVD of F.
    Source: Bao et al. 2019.

    Examples
    --------
    The first feature is the class, the second varies within the classes alone.

    >>> round(h_score([[0, 1], [0, 2], [3, 1], [3, 2]], [0, 0, 1, 1]), 12)
    1.0
    """
    rounding = checks.rounding(features)
    features = _features(features)
    labels = checks.integers("labels", labels, (len(features),), booleans=True)
    largest = np.abs(features).max(axis=0)
    features = features / np.where(largest > 0, largest, 1.0)
    centred = features - features.mean(axis=0)
    U, s, _ = scipy.linalg.svd(centred, full_matrices=False, check_finite=False)
    nothing = max(_ROUNDING, max(features.shape) * rounding) * np.linalg.norm(features)
    U = U[:, s > nothing]
    _, index, counts = np.unique(labels, return_inverse=True, return_counts=True)
    sums = np.zeros((counts.size, U.shape[1]))
    np.add.at(sums, index, U)
    return float((sums**2).sum(axis=1) @ (1 / counts))


def _least_cost(eigenvalues, energy, rest, n):
    """The infimum over t of log Q + Σᵢ log(1 + λᵢ/t)/n, Q = Σᵢ zᵢ²/(1 + λᵢ/t) + ``rest``.

    λ are the ``eigenvalues`` (r,), descending from 1, and z² the ``energy`` (r,) of y along them;
    with ``rest``, which is positive unless r = n, they add up to 1.
    """
    rank = eigenvalues.size
    if rank == 0:
        return 0.0

    def cost(t):
        t = t[:, None]
        quadratic = t / (t + eigenvalues) @ energy + rest
        return np.log(quadratic) + np.log1p(eigenvalues / t).sum(axis=1) / n

    def slope(x):
        t = np.exp(x)[:, None]
        seen, unseen = eigenvalues / (t + eigenvalues), t / (t + eigenvalues)
        return (seen * unseen) @ energy / (unseen @ energy + rest) - seen.sum(axis=1) / n

    limits = [0.0]  # t → ∞
    norm = (energy / eigenvalues).sum()  # ‖F⁺y‖²
    if rank == n:
        limits.append(math.log(norm) + np.log(eigenvalues).sum() / n)  # t → 0
        low = eigenvalues[-1] / _FAR
    else:
        # For t ≤ λ_r the slope is at most t‖F⁺y‖²/rest − r/(2n).
        low = eigenvalues[-1] * min(1.0, rank * rest / (2 * n * max(norm * eigenvalues[-1], _EPS)))
    return min([*limits, *cost(minima(slope, low, _FAR))])


def _features(features):
    features = checks.array("features", features, (None, None))
    if features.size == 0:
        raise ValueError(
            f"features must have at least one row and one column, got shape {features.shape}"
        )
    return features
