"""The row space of a sample: its singular value decomposition, cut at the numerical rank.

Internal: arguments are arrays that are checked already, and names may change.
"""

import numpy as np
import scipy.linalg
from scipy.linalg import lapack

from lib.numerics import unit

EPS = np.finfo(float).eps
_GRADED = 1e-6  # ratio of scales within X from which on an ordinary decomposition loses digits
_SQUARE = 1e-4  # of XXᵀ: the smallest λ_r/λ₁ from which on its square costs but four digits


def row_space(X, rounding=EPS):
    """Thin SVD X = U diag(s) Vᵀ cut at the numerical rank: the rows of Vᵀ span the row space.

    Parameters
    ----------
    X : array (n, d)
    rounding : float
        The relative rounding error of the entries of X.

    Returns
    -------
    U (n, r), s (r,) descending, Vᵀ (r, d)
        P_∥ = V Vᵀ. No r columns of X, each at length 1, are combined from others up to max(n, d)
        rounding errors; their lengths do not matter.

    Notes
    -----
    LAPACK's gesdd; and where that shows columns or rows of very different scale, its preconditioned
    Jacobi method gejsv, which is accurate whatever the scales are. Cost: O(nd min(n, d)).
    """
    heights = np.abs(X).max(axis=0)
    if heights.min(where=heights > 0, initial=np.inf) > _GRADED * heights.max():
        U, s, Vt = scipy.linalg.svd(X, full_matrices=False, check_finite=False)
        if s[-1] > max(_GRADED, max(X.shape) * rounding) * s[0]:
            return U, s, Vt
    return _graded(X, heights, rounding)


def left_vectors(X, rounding=EPS):
    """U and s of ``row_space``, faster where V is not needed.

    From the smaller of XXᵀ and XᵀX if its condition is below 10⁴: then the squares cost four of
    sixteen digits. Else from X.
    """
    n, d = X.shape
    scale = unit(X)
    Z = X if 1e-100 < scale < 1e100 else X / scale
    gram = Z @ Z.T if n <= d else Z.T @ Z
    values, vectors = scipy.linalg.eigh(gram, driver="evd", overwrite_a=True, check_finite=False)
    if values[0] > max(_SQUARE, (max(n, d) * rounding) ** 2) * values[-1]:
        s, vectors = np.sqrt(values[::-1]), vectors[:, ::-1]
        return vectors if n <= d else (Z @ vectors) / s, s if Z is X else scale * s
    return row_space(X, rounding)[:2]


def _graded(X, heights, rounding):
    """As ``row_space``, by methods that keep the digits of small columns beside large ones."""
    if not heights.any():
        return np.zeros((len(X), 0)), np.zeros(0), np.zeros((0, X.shape[1]))
    level = X / np.where(heights > 0, heights, 1)
    U, s, _ = scipy.linalg.svd(level, full_matrices=False, check_finite=False)
    rank = np.count_nonzero(s > max(X.shape) * rounding * s[0])
    scale = unit(heights)
    X = X / scale
    if rank < min(X.shape):  # what rounding adds to the span of large columns would hide small ones
        U, s, Vt = _jacobi(U[:, :rank].T @ X, left=U[:, :rank])
    else:
        U, s, Vt = _jacobi(X)
    return U, scale * s, Vt


def _jacobi(X, left=None):
    """The thin SVD of ``left`` X for X of full rank, D₁CD₂ with any diagonal D₁ and D₂."""
    wide = X.shape[0] < X.shape[1]
    s, U, V, work, _, info = lapack.dgejsv(X.T if wide else X, joba=2, jobu=0, jobv=0, jobr=0)
    if info:
        raise np.linalg.LinAlgError("the singular value decomposition did not converge")
    U = U[:, : s.size]
    if wide:
        U, V = V, U
    return U if left is None else left @ U, s * (work[0] / work[1]), V.T
