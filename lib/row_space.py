"""The row space of a sample: its singular value decomposition, cut at the numerical rank.

What a linear model does with a sample is a few verbs on it. Vectors θ are rows, (..., d), and so
are labels, (..., n): any number of right sides for one decomposition.

Semi-public: arguments are arrays that are checked already, and nothing here is promised to stay.
"""

import functools
import math

import numpy as np
import scipy.linalg
from scipy.linalg import lapack

from lib.numerics import unit

__all__ = ["RowSpace", "left_out", "left_vectors", "row_space"]

EPS = np.finfo(float).eps
_GRADED = 1e-6  # ratio of scales within X from which on an ordinary decomposition loses digits
_NEARLY = 1e-2  # the share of a sample outside the others' span below which it is computed anew
_SQUARE = 1e-4  # of XXᵀ: the smallest λ_r/λ₁ from which on its square costs but four digits


class RowSpace:
    """The row space of X (n, d), of rank r: P_∥ = VVᵀ with X = U diag(s) Vᵀ.

    Parameters
    ----------
    X : array (n, d)
    rounding : float
        The relative rounding error of the entries of X.

    Attributes
    ----------
    U (n, r), s (r,) descending, Vt (r, d) : array
        As ``row_space`` returns them, computed when they are asked for.
    """

    def __init__(self, X, rounding=EPS):
        self._X, self._rounding = X, rounding

    @functools.cached_property
    def _svd(self):
        return row_space(self._X, self._rounding)

    @functools.cached_property
    def _left(self):
        if "_svd" in self.__dict__:
            return self._svd[:2]
        return left_vectors(self._X, self._rounding)

    @property
    def U(self):
        """Left singular vectors, as columns."""
        return self._svd[0]

    @property
    def s(self):
        """Singular values."""
        return self._svd[1]

    @property
    def Vt(self):
        """Right singular vectors, as rows: a basis of the row space."""
        return self._svd[2]

    def seen(self, vectors):
        """Vᵀθ, the coordinates (..., r) of P_∥θ, for ``vectors`` (..., d)."""
        return vectors @ self.Vt.T

    def unseen(self, vectors):
        """P_⊥θ, what the sample does not see of ``vectors`` (..., d)."""
        rest = vectors - self.seen(vectors) @ self.Vt
        return rest - self.seen(rest) @ self.Vt  # what rounding left inside

    def fitted(self, labels, ridge=0.0):
        """The coordinates (..., r) of the θ that fits ``labels`` (..., n), with ridge δ from 0."""
        return (labels @ self.U) / (self.s + ridge / self.s)

    def flow(self, labels, times):
        """As ``fitted``, at ``times`` (t,) along gradient flow from 0 on ‖Xθ − y‖²/(2n): (t, r)."""
        with np.errstate(over="ignore", under="ignore"):  # e^{−∞} = 0 and e^0 = 1 are right there
            learned = -np.expm1(-np.outer(times, self.s) * self.s / len(self.U))  # 1 − e^{−tλ̂}
        return learned * self.fitted(labels)

    def leave_one_out(self, labels, ridge=0.0):
        """Error on each sample of the θ that fits the others, with ridge δ from 0: (..., n).

        V is not needed for it, nor computed.
        """
        U, s = self._left
        scale = unit(s)  # squares must not over- or underflow
        with np.errstate(over="ignore"):
            ridge = np.float64(ridge) / scale / scale
        outside = functools.partial(self._outside, U)
        residual = labels.reshape(-1, len(U)).T
        return left_out(U, (s / scale) ** 2, residual, ridge, outside).T.reshape(labels.shape)

    def _outside(self, U, rows):
        """What is left of unit vectors after projecting twice."""
        n = len(self._X)
        left = np.zeros((rows.size, n))
        left[np.arange(rows.size), rows] = 1
        for _ in range(2):
            left -= (left @ U) @ U.T
        # The span is known up to rounding times the condition of X with columns of one length.
        heights = np.abs(self._X).max(axis=0)
        t = scipy.linalg.svdvals(self._X / np.where(heights > 0, heights, 1), check_finite=False)
        nothing = 16 * n * self._rounding * t[0] / t[U.shape[1] - 1]
        left[np.vecdot(left, left) <= nothing**2] = 0
        return left


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


def left_out(U, values, residual, ridge, outside):
    """(K + δI)⁻¹residual/diag (K + δI)⁻¹, in the limit if δ = 0, from the eigenvectors of K.

    ``U`` (n, r) are those with positive ``values`` (r,); ``outside`` takes positions of samples to
    the parts of these unit vectors that lie outside their span, (·, n); zero where nothing does but
    rounding errors: as δ → 0, the others do not determine such a sample.
    """
    if values.size == 0 or math.isinf(ridge):  # in units of K, a ridge may overflow
        return residual.copy()
    coordinates = U.T @ residual
    weakest = values.min() + ridge
    weights = weakest / (values + ridge)  # in (K + δI)⁻¹; in the null space it is weakest/δ
    if values.size == len(U):
        return (U @ (weights[:, None] * coordinates)) / (U**2 @ weights)[:, None]

    learned = values / (values + ridge)
    free = 1 - np.vecdot(U, U)
    with np.errstate(divide="ignore", invalid="ignore"):
        errors = residual - U @ (learned[:, None] * coordinates)
        errors /= (1 - U**2 @ learned)[:, None]
    few = np.flatnonzero(free < _NEARLY)  # here these differences cancel
    if few.size:
        left, U = outside(few), U[few]
        free, missed = np.vecdot(left, left)[:, None], left @ residual
        seen, share = U @ (weights[:, None] * coordinates), (U**2 @ weights)[:, None]
        ratio, alone = ridge / weakest, free == 0
        with np.errstate(divide="ignore", invalid="ignore"):
            shared = (missed + ratio * seen) / (free + ratio * share)
            errors[few] = np.where(alone, seen / share, shared)
    return errors


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
