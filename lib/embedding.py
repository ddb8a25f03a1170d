"""Models that average the vectors of tokens: deep linear networks of depth two.

A text is x, the shares of its tokens; E holds a vector for each token, w is the head, and the
answer is f(x) = xᵀEw. Pretraining supplies E, and w if it had such a task.

Contract: a wrong type is a TypeError; a wrong shape, an entry that is not finite, or a number out
of its range a ValueError. Both name the argument.
"""

import numpy as np
import scipy.linalg
import scipy.sparse

from lib import checks

__all__ = ["tangent_flow", "tangent_kernel"]


def tangent_kernel(shares, others, vectors, head, rates=(1.0, 1.0)):
    """How training on one text moves the answer to another: η_w xᵀEEᵀz + η_E ‖w‖² xᵀz.

    The first term is the head, which all texts share; the second the vectors of the tokens that the
    two have in common.

    Parameters
    ----------
    shares, others : array or scipy.sparse array (n, T), (m, T)
        The shares of the T tokens in each text, x and z.
    vectors : array (T, k)
        E.
    head : array (k,)
        w.
    rates : pair of float
        η_E, η_w ≥ 0, the learning rates of vectors and head; 0 if they are frozen.

    Returns
    -------
    array (n, m)

    Notes
    -----
    Cost: O(nmk), and that of the products of the shares. Source: thm-embedding.

    Examples
    --------
    Two texts that share a token.

    >>> texts = [[1, 0], [0.5, 0.5]]
    >>> tangent_kernel(texts, texts, [[1, 0], [0, 1]], [3, 0]).tolist()
    [[10.0, 5.0], [5.0, 5.0]]
    """
    vectors = checks.array("vectors", vectors, (None, None))
    head = checks.array("head", head, (vectors.shape[1],))
    shares, others = _shares("shares", shares, vectors), _shares("others", others, vectors)
    (rates,) = checks.amounts(rates=rates)
    if rates.shape != (2,):
        raise ValueError(f"rates must be two numbers, got shape {rates.shape}")
    common = (shares @ others.T).toarray()
    return rates[1] * (shares @ vectors) @ (others @ vectors).T + rates[0] * (head @ head) * common


def tangent_flow(shares, others, vectors, head, residual, times, rates=(1.0, 1.0)):
    """What training adds to the answers, to first order in how far the weights move.

    With one of the rates zero it is exact: then f is linear in what is trained. Else it is as good
    as the kernel stays near its value at the start.

    Parameters
    ----------
    shares, others : array or scipy.sparse array (n, T), (m, T)
        Of the texts of the sample, and of those to answer.
    vectors, head, rates
        As in ``tangent_kernel``, at the start.
    residual : array (n,)
        Labels minus the answers at the start.
    times : array (t,)
        Times ≥ 0 of gradient flow on ‖f(X) − y‖²/(2n).

    Returns
    -------
    array (t, n), array (t, m)
        Added on the sample, and on the others.

    Notes
    -----
    Kernel regression by gradient flow. Cost: an eigenvalue problem of size n, and O(tn(n + m)).
    Source: thm-embedding.
    """
    kernel = tangent_kernel(shares, shares, vectors, head, rates)
    n = len(kernel)
    residual = checks.array("residual", residual, (n,))
    times = checks.array("times", times, (None,))
    if times.size and times.min() < 0:
        raise ValueError(f"times must be non-negative, got {times.min():g}")
    values, axes = scipy.linalg.eigh(kernel, driver="evd", check_finite=False)
    values = np.maximum(values, 0)
    pace = times[:, None] / n
    with np.errstate(divide="ignore", invalid="ignore"):
        learned = np.where(values > 0, -np.expm1(-pace * values) / values, pace)
    dual = learned * (axes.T @ residual) @ axes.T
    return dual @ kernel, dual @ tangent_kernel(shares, others, vectors, head, rates)


def _shares(name, shares, vectors):
    """As a sparse array (n, T)."""
    if not scipy.sparse.issparse(shares):
        shares = checks.array(name, shares, (None, len(vectors)))
    shares = scipy.sparse.csr_array(shares, dtype=float)
    if shares.shape[1] != len(vectors) or not np.isfinite(shares.data).all():
        raise ValueError(f"{name} must be finite and have {len(vectors)} columns")
    return shares
