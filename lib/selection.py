"""Which source to start from: the risk after fine-tuning, estimated from the target samples alone.

Leaving one sample out and fine-tuning on the rest needs no refitting: one factorisation of the
kernel matrix gives all n errors of any number of sources.
"""

import math

import numpy as np
import scipy.linalg

from lib import checks
from lib.deep_linear import log_scale

_REDUNDANT = 1e-14  # the share of a sample that others determine, from which on it counts as such


def leave_one_out(K, residual, ridge=0.0):
    """Error on each sample after fine-tuning on the others: (K + δI)⁻¹residual/diag (K + δI)⁻¹.

    Parameters
    ----------
    K : array (n, n)
        Kernel matrix of the samples, positive semi-definite: XXᵀ for a linear model,
        ``relu.ntk(X)`` for a wide ReLU network.
    residual : array (n,) or (n, k)
        y − f_S(X), what a pretrained model misses; one column per source.
    ridge : float
        δ ≥ 0. For δ = 0 and singular K it is the limit δ → 0: least squares where there is no
        interpolation, and the shortest way where there is more than one. Eigenvalues of K below
        4nε of the largest count as zero.

    Returns
    -------
    array (n,) or (n, k)
        yᵢ minus the prediction for xᵢ; its mean square is an unbiased estimate of the risk after
        fine-tuning on n − 1 samples (with that of the noise).

    Raises
    ------
    TypeError, ValueError
        If a shape does not fit, an entry is not finite, n < 2, K is not symmetric to 1e-8 or not
        positive semi-definite, or ``ridge`` is negative.

    Notes
    -----
    Cost: eigenvectors of K, O(n³), and O(n²k). Source: prop-loo.
    """
    K = checks.symmetric("K", K, at_least=2)
    n = len(K)
    residual = checks.columns("residual", residual, n)
    inverse, null = _inverse(K, checks.real("ridge", ridge, at_least=0))
    columns = residual.reshape(n, -1)
    with np.errstate(invalid="ignore"):  # 0/0 for zero rows, which others determine
        errors = (inverse @ columns) / np.diag(inverse)[:, None]
    # A sample that others determine: there the null space outweighs all as δ → 0.
    redundant = np.einsum("ij,ij->i", null, null)
    rows = redundant > _REDUNDANT
    errors[rows] = (null[rows] @ (null.T @ columns)) / redundant[rows, None]
    return errors.reshape(residual.shape)


def rank_sources(X, y, sources, ridge=0.0, *, kernel=None, depth=1):
    """Order candidate sources by the risk that leave-one-out expects after fine-tuning.

    Parameters
    ----------
    X : array (n, d)
        Target inputs, at least two.
    y : array (n,)
        Target labels.
    sources : array (s, d)
        One linear teacher per row; zeros stand for training from scratch.
    ridge : float
        δ ≥ 0, as in ``linear_regression.finetune``.
    kernel : callable, optional
        Takes X to a kernel matrix (n, n), such as ``relu.ntk``; None is the linear model, XXᵀ.
    depth : int or math.inf
        Depth of a balanced linear network; above 1 without ridge, kernel, and zero sources, and for
        independent rows of X.

    Returns
    -------
    order : array (s,)
        Positions of the sources, the best first.
    scores : array (s,)
        Mean squared leave-one-out error of each, in the units of y².

    Raises
    ------
    TypeError, ValueError
        If a shape does not fit, an entry is not finite, or options exclude each other.

    Notes
    -----
    Cost: O(n²d + n³ + nds) for all sources together. At depth above 1, each left-out sample has its
    own c_L, from one scalar root. Source: prop-loo.
    """
    X, y = checks.samples(X, y)
    if len(X) < 2:
        raise ValueError(f"X must have at least two rows, got {len(X)}")
    sources = checks.array("sources", sources, (None, X.shape[1]))
    if len(sources) == 0:
        raise ValueError("sources must have at least one row")
    ridge = checks.real("ridge", ridge, at_least=0)
    if kernel is not None and not callable(kernel):
        raise TypeError(f"kernel must be callable, got {type(kernel).__name__}")
    if not (isinstance(depth, float) and depth == math.inf):
        depth = checks.integer("depth", depth, at_least=1)
    if depth == 1:
        K = X @ X.T if kernel is None else checks.array("kernel(X)", kernel(X), 2 * (len(X),))
        errors = leave_one_out(K, y[:, None] - X @ sources.T, ridge)
    else:
        if kernel is not None or ridge > 0:
            raise ValueError("depth must be 1 with a kernel or a ridge")
        errors = _deep_leave_one_out(X, y, sources, depth)
    scores = np.mean(errors**2, axis=0)
    return np.argsort(scores, kind="stable"), scores


def _deep_leave_one_out(X, y, sources, depth):
    """As ``leave_one_out`` for deep linear networks, (n, s).

    Without sample i the error of the end point P_∥θ_T + cP_⊥θ_S at xᵢ is e(y) − c e(Xθ_S), where
    e are leave-one-out errors of the linear model started at zero, and c depends on squared norms
    vᵀK⁻¹v that lose (K⁻¹v)ᵢ²/(K⁻¹)ᵢᵢ with the sample.
    """
    if not sources.any(axis=1).all():
        raise ValueError("sources must not be zero for depth above 1")
    inverse, null = _inverse(X @ X.T, 0.0)
    if null.size:
        raise ValueError("X must have independent rows for depth above 1")
    diagonal = np.diag(inverse)[:, None]
    answers = np.column_stack([y, X @ sources.T])
    solved = inverse @ answers
    errors = solved / diagonal
    norms = np.maximum(np.einsum("ij,ij->j", answers, solved) - solved * errors, 0)
    learned, seen = norms[:, :1], norms[:, 1:]
    squares = np.einsum("ij,ij->i", sources, sources)
    if depth == math.inf and (seen <= _REDUNDANT * squares).any():
        raise ValueError("sources must not be orthogonal to n − 1 rows of X at infinite depth")
    unseen = np.maximum(squares - seen, 0)
    scale = np.exp(log_scale(seen, unseen, learned, learned - seen, 1 / depth))
    return errors[:, :1] - scale * errors[:, 1:]


def _inverse(K, ridge):
    """(K + δI)⁻¹, or for δ = 0 the pseudo-inverse, and the null space as columns."""
    # Of the drivers, the one whose null space is accurate to rounding.
    values, vectors = scipy.linalg.eigh(K, driver="evd", check_finite=False)
    rounding = 4 * len(K) * np.finfo(float).eps * max(values[-1], 0)
    if values[0] < -250 * rounding:
        raise ValueError(f"K must be positive semi-definite, got the eigenvalue {values[0]:g}")
    kept = values > rounding
    if ridge > 0:
        return (vectors / (np.where(kept, values, 0) + ridge)) @ vectors.T, vectors[:, :0]
    return (vectors[:, kept] / values[kept]) @ vectors[:, kept].T, vectors[:, ~kept]
