"""Shallow ReLU networks of infinite width: their tangent kernel, and fine-tuning with it.

Contract: a wrong type is a TypeError; a wrong shape, an entry that is not finite, or a number out
of its range a ValueError. Both name the argument.
"""

from functools import partial

import numpy as np
import scipy.linalg
from scipy.linalg import lapack

from lib import checks

__all__ = ["correction_norm", "finetune", "learning_curve", "ntk"]

_NEARLY_PARALLEL = 1e-3  # 1 − |cosine| below which the cosine no longer gives the angle well
_BLOCK = 2**20  # numbers in a temporary array
_DEPENDENT = 1e-12  # of a kernel's diagonal: what rounding leaves of a dependent row


def ntk(X, Z=None):
    """Tangent kernel H(x, z) = xᵀz (π − ∠(x, z))/(2π) between the rows of X and those of Z.

    It is the infinitely wide limit of ∇f(x)ᵀ∇f(z) for f(x) = m^{−1/2} Σⱼ aⱼ max(0, wⱼᵀx) with
    aⱼ = ±1 fixed and wⱼ ~ N(0, I) trained.

    Parameters
    ----------
    X : array (n, d)
        Inputs, of any norm; H is homogeneous, H(cx, z) = c H(x, z) for c ≥ 0.
    Z : array (n', d), optional
        Other inputs; None takes X itself, and the result is then symmetric to the last bit.

    Returns
    -------
    array (n, n')

    Notes
    -----
    Errors are a few rounding errors of ‖x‖‖z‖, also for identical, opposite and nearly parallel
    rows, whose angle comes from their difference, not from their cosine. Cost: one product nn'd and
    an arcsine per entry (half of both without Z), and O(d) for each nearly parallel pair; memory
    beyond the result is that of X and Z once more, and blocks of 8 MB. Source: thm-ntk.
    """
    X = checks.array("X", X, (None, None))
    rows, lengths = _directions(X)
    if Z is not None:
        Z = checks.array("Z", Z, (None, X.shape[1]))
    columns, heights = (rows, lengths) if Z is None else _directions(Z)
    n, width = len(rows), len(columns)
    H = np.empty((n, width))
    step = max(_BLOCK // max(width, 1), 1)
    for start in range(0, n, step):
        stop = min(start + step, n)
        first = start if Z is None else 0  # left of it, a symmetric H is known already
        block = _on_sphere(rows[start:stop], columns[first:])
        block *= lengths[start:stop, None]
        block *= heights[first:]
        if Z is None:
            corner = block[:, : stop - start]
            corner[...] = np.triu(corner) + np.triu(corner, 1).T
            H[stop:, start:stop] = block[:, stop - start :].T
        H[start:stop, first:] = block
    return H


def finetune(X, residual, X_test):
    """What fine-tuning adds to the pretrained network: H(X_test, X) H(X, X)⁻¹ residual.

    Parameters
    ----------
    X : array (n, d)
        Target inputs.
    residual : array (n,) or (n, k)
        y − f_S(X), what the pretrained network misses; one column per source or per target.
    X_test : array (n', d)
        Where the correction is wanted.

    Returns
    -------
    array (n',) or (n', k)

    Raises
    ------
    ValueError
        If rows that determine each other, such as two of the same direction, have residuals that
        contradict each other.

    Notes
    -----
    Cost: H(X, X) and its Cholesky factor, O(n²d + n³), and H(X_test, X). Rows that depend on others
    are told apart by pivoting, and need no label of their own. Source: thm-ntk.
    """
    X, residual = _check(X, residual)
    X_test = checks.array("X_test", X_test, (None, X.shape[1]))
    rows, _, weights = _solve(X, residual)
    return (ntk(X_test, rows) @ weights).reshape(len(X_test), *residual.shape[1:])


def correction_norm(X, residual):
    """√(residualᵀ H(X, X)⁻¹ residual): how far fine-tuning moves the weights, ‖W − W(start)‖.

    It is also the norm of the correction in the kernel's Hilbert space, on which the bound rests.

    Parameters
    ----------
    X, residual
        As in ``finetune``.

    Returns
    -------
    float, or array (k,)

    Raises
    ------
    ValueError
        As ``finetune``.

    Notes
    -----
    Cost: as ``finetune``. Source: thm-ntk.
    """
    X, residual = _check(X, residual)
    _, targets, weights = _solve(X, residual)
    largest = np.abs(targets).max(initial=0) or 1.0  # squares must not over- or underflow
    norms = largest * np.sqrt(np.einsum("ij,ij->j", targets / largest, weights / largest))
    return float(norms[0]) if residual.ndim == 1 else norms


def learning_curve(X, residual, X_test, residual_test):
    """Mean squared error on a test set after fine-tuning on the first 0, 1, …, n rows of X.

    Parameters
    ----------
    X, residual, X_test
        As in ``finetune``.
    residual_test : array (n',) or (n', k)
        What the pretrained network misses on the test set.

    Returns
    -------
    array (n + 1,) or (n + 1, k)

    Raises
    ------
    ValueError
        If H(X, X) is singular, as it is when two rows point in the same direction.

    Notes
    -----
    The Cholesky factor of the first j rows is the corner of the factor of all: H = CCᵀ, and the
    correction after j rows is the sum of the first j terms of H(x, X)C⁻ᵀ · C⁻¹residual. Cost: one
    factorisation, one triangular solve O(n²n'), and O(nn'k). Source: thm-ntk.
    """
    X, residual = _check(X, residual)
    X_test = checks.array("X_test", X_test, (None, X.shape[1]))
    if len(X_test) == 0:
        raise ValueError("X_test must have at least one row")
    wanted = checks.array("residual_test", residual_test, (len(X_test), *residual.shape[1:]))
    rows, lengths = _directions(X)
    factor, failed = lapack.dpotrf(ntk(rows).T, lower=1, overwrite_a=1)
    pivots = np.diag(factor)[: failed - 1 if failed else None]
    if failed or (pivots**2 < _DEPENDENT).any():
        row = np.append(pivots**2 < _DEPENDENT, True).argmax()
        raise ValueError(f"X must have rows that do not depend on each other, but row {row} does")
    solve = partial(scipy.linalg.solve_triangular, factor, lower=True, check_finite=False)
    learned = solve(residual.reshape(len(X), -1) / lengths[:, None])
    terms = solve(ntk(rows, X_test))
    curves = []
    for target, want in zip(learned.T, wanted.reshape(len(X_test), -1).T, strict=True):
        missing = np.vstack([want, -target[:, None] * terms])
        np.cumsum(missing, axis=0, out=missing)
        curves.append(np.einsum("ij,ij->i", missing, missing) / len(X_test))
    return np.transpose(curves).reshape(len(X) + 1, *residual.shape[1:])


def _on_sphere(rows, columns):
    """H between rows of length 1 (or 0)."""
    cosine = rows @ columns.T
    near = np.nonzero(np.abs(cosine) > 1 - _NEARLY_PARALLEL)
    exact = _near_poles(rows, columns, cosine, *near)
    np.clip(cosine, -1, 1, out=cosine)
    H = np.arcsin(cosine)
    H += np.pi / 2  # π − ∠ = π/2 + arcsin of the cosine
    H *= cosine
    H /= 2 * np.pi
    H[near] = exact
    return H


def _near_poles(rows, columns, cosine, i, j):
    """H for pairs that are nearly parallel or nearly opposite, from the length of x ∓ z."""
    result = np.empty(len(i))
    step = max(_BLOCK // max(rows.shape[1], 1), 1)
    for start in range(0, len(i), step):
        part = slice(start, start + step)
        sign = np.sign(cosine[i[part], j[part]])
        difference = rows[i[part]] - sign[:, None] * columns[j[part]]
        angle = 2 * np.arcsin(np.linalg.norm(difference, axis=1) / 2)  # to the nearer pole
        result[part] = sign * np.cos(angle) * np.where(sign > 0, np.pi - angle, angle) / (2 * np.pi)
    return result


def _directions(X):
    """Rows of X at length 1 (zero rows stay zero), and their lengths, whatever their scale."""
    largest = np.abs(X).max(axis=1, initial=0)
    rows = X / np.where(largest > 0, largest, 1)[:, None]  # lengths must not over- or underflow
    lengths = np.linalg.norm(rows, axis=1)
    rows /= np.where(lengths > 0, lengths, 1)[:, None]
    return rows, lengths * largest


def _solve(X, residual):
    """Rows of length 1 on which all others depend, their targets, and w with H w = targets.

    Residuals are homogeneous as inputs are: on the unit sphere every row has the same weight.
    """
    rows, lengths = _directions(X)
    targets = residual.reshape(len(X), -1) / np.where(lengths > 0, lengths, 1)[:, None]
    # LAPACK works in place only down the columns; H is symmetric, so its transpose will do.
    factor, pivots, rank, _ = lapack.dpstrf(ntk(rows).T, tol=_DEPENDENT, lower=1, overwrite_a=1)
    chosen, factor = pivots[:rank] - 1, factor[:rank, :rank]
    weights = scipy.linalg.cho_solve((factor, True), targets[chosen], check_finite=False)
    _refuse_contradictions(rows, targets, chosen, weights)
    return rows[chosen], targets[chosen], weights


def _refuse_contradictions(rows, targets, chosen, weights):
    """Raise if a row that depends on the chosen ones has a residual other than they imply."""
    others = np.setdiff1d(np.arange(len(rows)), chosen)
    if others.size == 0:
        return
    between = ntk(rows[others], rows[chosen])
    size = np.abs(between) @ np.abs(weights) + np.abs(targets[others])
    wrong = (np.abs(between @ weights - targets[others]) > 1e-6 * size).any(axis=1)
    if not wrong.any():
        return
    k = wrong.argmax()
    row = others[k]
    if not rows[row].any():
        raise ValueError(f"residual must be 0 on row {row} of X, which is zero")
    if between[k].max() > 0.5 - 1e-6:  # H = ½ between equal directions
        twin = chosen[between[k].argmax()]
        raise ValueError(
            f"residual must be the same, in proportion to their lengths, on the duplicate rows "
            f"{min(row, twin)} and {max(row, twin)} of X"
        )
    raise ValueError(f"residual must be, on row {row} of X, what the rows it depends on imply")


def _check(X, residual):
    X = checks.samples(X)
    return X, checks.columns("residual", residual, len(X))
