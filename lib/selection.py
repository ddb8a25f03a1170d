"""Which source to start from: the risk after fine-tuning, estimated from the target samples alone.

Leaving one sample out and fine-tuning on the rest needs no refitting: one factorisation of the
kernel matrix gives all n errors of any number of sources. Nor does leaving out two, so that what
was chosen without a sample is tested on it.

Nothing is centred or scaled: ``features.Standard`` does both, and gives a model an intercept.

Contract: a wrong type is a TypeError; a wrong shape, an entry that is not finite, or a number out
of its range a ValueError. Both name the argument.
"""

import math
import warnings
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import scipy.linalg
import scipy.stats

from lib import checks
from lib.depth_equation import log_scale
from lib.numerics import ten_digits, unit
from lib.row_space import RowSpace, left_out

__all__ = ["Combination", "combine", "compare", "leave_one_out", "rank_sources"]

_STRENGTHS = np.concatenate([[0.0], np.geomspace(1e-3, 1e4, 15), [math.inf]])
_RIDGES = np.geomspace(1e-3, 1e3, 25)  # less helps without noise alone, and harms near n = d
_DOUBT = 0.05  # of the truly best candidate being told apart from the first


@dataclass(frozen=True, eq=False)
class Combination:
    """A model made of several sources and a rest: θ = Σₖ wₖθₖ + rest.

    Attributes
    ----------
    theta : array (d,)
    weights : array (s,)
        The wₖ.
    strength, ridge : float
        t and δ, as chosen.
    score : float
        Mean squared leave-one-out error with these, in the units of y². As the least of many it is
        too low.
    """

    theta: np.ndarray
    weights: np.ndarray
    strength: float
    ridge: float
    score: float


def combine(X, y, sources, *, strengths=None, ridges=None):
    """Fine-tune from the best mixture of sources: θ = Σₖ wₖθₖ + rest.

    It minimises ‖Xθ − y‖² + δ(‖w‖²/t + ‖rest‖²): ridge regression with the kernel X(I + tSᵀS)Xᵀ,
    the rows of S being the sources. t = 0 is training from scratch with a ridge; t = ∞ fits the wₖ
    freely, which for one source finds its scale.

    Parameters
    ----------
    X : array (n, d)
        Target inputs, at least two.
    y : array (n,)
        Target labels.
    sources : array (s, d)
        One per row. ‖w‖² treats them alike: bring them to one length of their outputs, ‖XSᵀ‖ by
        columns, if they differ by much.
    strengths : array of float, optional
        The t ≥ 0 to choose from, infinity allowed; None takes 0, ∞, and 15 between, in units of
        tr XXᵀ/‖XSᵀ‖².
    ridges : array of float, optional
        The δ > 0 to choose from; None takes 25 from 10⁻³ to 10³ times tr XXᵀ/n. Smaller ones are
        worth giving if the labels have no noise; else, with about as many samples as dimensions,
        they can be chosen by chance and do great harm.

    Returns
    -------
    Combination
        Of the t and δ with the least leave-one-out error; of several, the least t, then the
        largest δ.

    Notes
    -----
    One factorisation of XXᵀ serves all t and δ: each δ costs O(n²s + s³), each t of it O(ns). At
    t = ∞ directions that the samples do not show of the sources have weight zero; and if the
    sources answer the samples in n independent ways, they interpolate any labels, no sample is told
    by the others, and the error counts as infinite. Source: prop-shelf.

    Examples
    --------
    The target is half the source, and three samples show it.

    >>> X = [[1, 0, 0], [0, 1, 0], [1, 1, 0]]
    >>> found = combine(X, [1, 2, 3], [[2, 4, 6]], strengths=[0, math.inf])
    >>> found.strength, found.weights.round(6).tolist(), found.theta.round(6).tolist()
    (inf, [0.5], [1.0, 2.0, 3.0])
    """
    X, y, sources = _samples_and_sources(X, y, sources)
    n = len(X)
    height, size, length = unit(X), unit(y), unit(sources)  # squares must not over- or underflow
    Z, labels, answers = X / height, y / size, (X / height) @ (sources / length).T
    trace, square = np.sum(Z**2), np.sum(answers**2)
    if strengths is None:
        strengths = _STRENGTHS * (trace / square if square > 0 else 1.0)
    else:
        strengths = _positive("strengths", strengths, infinite=True) * length * length
    if ridges is None:
        ridges = _RIDGES * (trace / n if trace > 0 else 1.0)
    else:
        ridges = _above_zero(ridges) / height / height
    strengths, ridges = np.sort(strengths), np.sort(ridges)[::-1]
    best, chosen = math.inf, None
    for ridge, tied in zip(ridges, _tied(Z, labels, answers, ridges), strict=True):
        for strength in strengths:
            errors, *model = tied(strength)
            score = float(ten_digits(np.sqrt(np.mean(errors**2))))
            tie = score == best and (chosen is None or strength < chosen[0])
            if score < best or tie:
                best, chosen = score, (strength, ridge, *model)
    strength, ridge, weights, dual = chosen
    weights = weights * (size / height / length)
    theta = weights @ sources + (dual @ Z) * (size / height)
    with np.errstate(over="ignore", under="ignore"):
        strength, ridge = float(strength / length / length), float(ridge * height * height)
        return Combination(
            theta, weights, strength, ridge, float(np.square(best * np.float64(size)))
        )


def _samples_and_sources(X, y, sources, outputs=False):
    """At least two samples and one source: y (n,) or (n, k), sources (s, d) or (s, k, d)."""
    checks.aligned(X=X, sources=sources)
    X, y = checks.samples(X, y, outputs=outputs)
    if len(X) < 2:
        raise ValueError(f"X must have at least two rows, got {len(X)}")
    sources = checks.array("sources", sources, (None, *y.shape[1:], X.shape[1]))
    if len(sources) == 0:
        raise ValueError("sources must have at least one row")
    return X, y, sources


def _positive(name, values, infinite=False):
    """An array (k,) of at least one number, none negative."""
    values = checks.array(name, values, (None,), infinite=infinite)
    if values.size == 0 or values.min() < 0:
        raise ValueError(f"{name} must be non-negative numbers, at least one")
    return values


def _above_zero(ridges, infinite=False):
    ridges = _positive("ridges", ridges, infinite)
    if ridges.min() == 0:
        raise ValueError("ridges must be positive")
    return ridges


def _tied(X, y, answers, ridges):
    """For each δ, a function of t to leave-one-out errors, weights, and α with rest = Xᵀα.

    With M = (XXᵀ + δI)⁻¹ and answers A = XSᵀ, the inverse for the kernel with t is
    M − MA(I/t + AᵀMA)⁻¹AᵀM.
    """
    values, vectors = scipy.linalg.eigh(X @ X.T, driver="evd", check_finite=False)
    values = np.maximum(values, 0)
    for ridge in ridges:
        root = vectors / np.sqrt(values + ridge)
        plain, whole = root @ (root.T @ y), np.vecdot(root, root)  # My and diag M
        seen = root.T @ answers
        gains, axes = np.linalg.eigh(seen.T @ seen)
        shown = gains > max(len(X), len(gains)) * np.finfo(float).eps * gains[-1]
        gains, axes = gains[shown], axes[:, shown]
        along = root @ (seen @ axes)  # MA, along the axes of AᵀMA
        fitted = (answers @ axes).T @ plain
        yield partial(_at_strength, plain, whole, along, gains, fitted, axes)


def _at_strength(plain, whole, along, gains, fitted, axes, t):
    """Leave-one-out errors, weights, and α of ``_tied`` at one t."""
    share = 1 / (1 / t + gains) if t > 0 else np.zeros_like(gains)
    dual, alone = plain - along @ (share * fitted), whole - along**2 @ share
    if math.isinf(t) and gains.size == len(plain):
        alone = np.zeros_like(alone)  # in exact arithmetic, and so is the dual
    with np.errstate(divide="ignore", invalid="ignore"):
        errors = np.where(alone > 1e-12 * whole, dual / alone, math.inf)  # else not determined
    return errors, axes @ (share * fitted), dual


def compare(candidates, y, *, ridges=None):
    """Which candidate has the least risk after fine-tuning, and which cannot be told from it.

    Each candidate may have features of its own, and is given a ridge of its own. Scratch is always
    among them, and so is each source as it is.

    Parameters
    ----------
    candidates : mapping of str to X or (X, source)
        Name → the candidate's features of the target samples, array (n, d), the same samples in the
        same order for all; with θ_S (d,), or (k, d) for k outputs, if it has a head for the task,
        else zero is the start. Added are "…, as it is" for each source, and for each X that comes
        with sources only "scratch", or "scratch, …" with the name of its first source, if there are
        several such X.
    y : array (n,) or (n, k)
        Target labels, n at least three. For K classes, ``np.eye(K)[classes]``.
    ridges : array of float, optional
        The δ > 0 to choose from, the same for all; None takes, for each X its own, those of
        ``combine``. To scratch it adds infinity, which answers zero.

    Returns
    -------
    pandas.DataFrame
        One row per candidate, best first; those that tie to ten digits in the given order.

        ``ridge``: chosen by leave-one-out on all samples; ∞ for a source as it is.
        ``error``: mean squared leave-one-out error, summed over outputs, in the units of y²; each
        sample is tested with the ridge that the other samples choose, so that the error is honest.
        ``difference``: to the error in the first row; ``standard error``: of it, from the n paired
        differences.
        ``apart``: whether the difference is more than chance: above its standard error times the
        quantile of Student's law with n − 1 degrees of freedom for 0.05/(candidates − 1).
        ``chosen``: the share of samples without which the candidate is the first.

        The last row, "choice", is the procedure itself: each sample is tested with the candidate
        and the ridge that the others choose. The least of many errors is too low; this one is not.
        Its ``difference`` estimates the winner's curse.

    Raises
    ------
    ValueError
        If a name is taken, as "choice" is, and "scratch" for a candidate with a source.

    Notes
    -----
    Let M be a multiple of (XXᵀ + δI)⁻¹ and α = M(y − Xθ_S). The error on sample j of a model
    fitted without samples i and j is (Mᵢᵢαⱼ − Mᵢⱼαᵢ)/(MᵢᵢMⱼⱼ − Mᵢⱼ²). So one factorisation of each
    X serves all; each ridge costs O(n³) in matrix products: 200 samples take half a second for ten
    sources, 1800 some ten seconds for each. Errors of overlapping training
    sets are not independent, and squares have heavy tails: with few samples the standard errors
    are rough. Source: prop-loo, cor-two-out.

    Examples
    --------
    Labels that one source knows, up to chance; the other has learned something else.

    >>> rng = np.random.default_rng(0)
    >>> X, noise = rng.standard_normal((12, 6)), rng.standard_normal(12)
    >>> near, far = np.array([3, 2, 1, 0, 0, 0]), np.array([0, 0, 0, 1, 2, 3])
    >>> table = compare({"near": (X, near), "far": (X, far)}, X @ near + noise)
    >>> table[["error", "apart", "chosen"]].round(2)
                    error  apart  chosen
    near, as it is   1.13  False    0.67
    scratch          1.24  False    0.08
    far              1.45  False    0.08
    near             1.53  False    0.17
    far, as it is   19.48   True    0.00
    choice           1.72  False    1.00
    """
    entries = _candidates(candidates, y)
    size = unit(*(residual for *_, residual in entries))
    factored, names, best, honest, least = {}, [], [], [], []
    for name, headed, X, residual in entries:
        if id(X) not in factored:
            factored[id(X)] = _factored(X, ridges)
        grid, *eigen = factored[id(X)]
        errors, without = _two_left_out(*eigen, residual / size)
        without = ten_digits(np.sqrt(without))
        parts = (
            {name: slice(1, None), f"{name}, as it is": slice(1)} if headed else {name: slice(None)}
        )
        for label, part in parts.items():
            names.append(label)
            best.append(grid[part][ten_digits(np.sqrt(errors[part].mean(axis=1))).argmin()])
            at = without[part].argmin(axis=0)  # of ridges that tie the first, the largest
            honest.append(np.take_along_axis(errors[part], at[None], axis=0)[0])
            least.append(without[part].min(axis=0))
    twice = sorted({repr(name) for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"candidates must not be named as others are: {', '.join(twice)}")
    best, honest, n = np.array(best), np.array(honest), len(residual)
    chosen = np.argmin(least, axis=0)
    share = np.bincount(chosen, minlength=len(names)) / n
    order = np.argsort(ten_digits(np.sqrt(honest.mean(axis=1))), kind="stable")
    honest = np.vstack([honest[order], honest[chosen, np.arange(n)]])
    error, differences = honest.mean(axis=1), honest - honest[0]
    difference = ten_digits(differences.mean(axis=1), error[0])
    deviation = differences.std(axis=1, ddof=1) / math.sqrt(n)
    quantile = scipy.stats.t.isf(_DOUBT / max(len(names) - 1, 1), n - 1)
    with np.errstate(over="ignore", under="ignore"):
        return pd.DataFrame(
            {
                "ridge": np.append(best[order], math.nan),
                "error": error * size * size,
                "difference": difference * size * size,
                "standard error": deviation * size * size,
                "apart": difference > quantile * deviation,
                "chosen": np.append(share[order], 1.0),
            },
            index=[*(names[k] for k in order), "choice"],
        )


def _candidates(candidates, y):
    """Name, whether there is a source, features and residual (n, k) of each; scratch included.

    Features that are equal to nine digits are one array.
    """
    if not hasattr(candidates, "items") or len(candidates) == 0:
        raise TypeError("candidates must be a mapping of names to X or (X, source), at least one")
    labels, y = y, checks.array("y", y, (...,))
    y = checks.columns("y", y, len(y) if y.ndim else 1)
    if len(y) < 3:
        raise ValueError(f"y must have at least three samples, got {len(y)}")
    entries, headed, bare, frames = [], {}, [], {}
    for name, candidate in candidates.items():
        label = f"candidates[{name!r}]"
        pair = candidate if isinstance(candidate, tuple) else (candidate, None)
        if len(pair) != 2:
            raise ValueError(f"{label} must be X or (X, source), got {len(pair)} items")
        X, source = pair
        checks.aligned(X=X, source=source)
        frames[label] = X
        checks.aligned_rows(**frames, y=labels)
        Z = checks.samples(X, name=label)
        if len(Z) != len(y):
            raise ValueError(f"{label} must have {len(y)} rows, as many as y, got {len(Z)}")
        if name == "choice" or (name == "scratch" and source is not None):
            raise ValueError(f"candidates must not call one {name!r}")
        same = (Y for *_, Y, _ in entries if Y.shape == Z.shape and np.allclose(Y, Z, 1e-9, 0))
        Z = next(same, Z)
        missed = y.T
        if source is None:
            bare.append(id(Z))
        else:
            missed = y.T - checks.array(f"{label}[1]", source, (*y.shape[1:], Z.shape[1])) @ Z.T
            headed.setdefault(id(Z), (name, Z))
        entries.append((name, source is not None, Z, missed.reshape(-1, len(y)).T))
    alone = [first for key, first in headed.items() if key not in bare]
    for name, Z in alone:
        scratch = "scratch" if len(alone) == 1 else f"scratch, {name}"
        entries.append((scratch, False, Z, y.reshape(len(y), -1)))
    return entries


def _factored(X, ridges):
    """The δ, largest first; and eigenvectors of XXᵀ, with the eigenvalues of M for each δ.

    M is the inverse of XXᵀ + δI, times its least eigenvalue.
    """
    height = unit(X)  # squares must not over- or underflow
    K = (X / height) @ (X / height).T
    values, vectors = scipy.linalg.eigh(K, driver="evd", check_finite=False)
    values = np.maximum(values, 0)
    if ridges is None:
        grid = _RIDGES * (values.sum() / len(X) or 1.0)
    else:
        grid = _above_zero(ridges, infinite=True) / height / height
        if not np.isfinite(grid).any():
            raise ValueError("ridges must have a finite one")
    grid = np.unique(np.append(grid, math.inf))[::-1]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
        weights = (values[0] + grid[:, None]) / (values + grid[:, None])
        weights[np.isinf(grid)] = 1
        return grid * height * height, vectors, weights


def _two_left_out(vectors, weights, residual):
    """Squared errors (ridges, n) without the sample; and, of the others without it, their mean."""
    n = len(vectors)
    outer, inner = np.empty((2, len(weights), n))
    for k, w in enumerate(weights):
        M = (vectors * w) @ vectors.T
        dual, alone = M @ residual, np.diag(M)
        both = np.outer(alone, alone) - M**2
        np.fill_diagonal(both, math.inf)  # a sample is not left out twice
        with np.errstate(divide="ignore", invalid="ignore"):
            outer[k] = np.where(alone > 0, np.vecdot(dual, dual) / alone**2, math.inf)
            pairs = np.zeros((n, n))
            for column in dual.T:
                pairs += ((np.outer(alone, column) - M * column[:, None]) / both) ** 2
        inner[k] = np.where(both > 1e-12 * np.outer(alone, alone), pairs, math.inf).sum(axis=1)
    return outer, inner / (n - 1)


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
        δ ≥ 0, infinity allowed. For δ = 0 and singular K it is the limit δ → 0: least squares where
        there is no interpolation, and the shortest way where there is more than one. Eigenvalues of
        K below 4nε of the largest count as zero, ε being that of the precision of K as given.

    Returns
    -------
    array (n,) or (n, k)
        yᵢ minus the prediction for xᵢ; its mean square is an unbiased estimate of the risk after
        fine-tuning on n − 1 samples (with that of the noise).

    Raises
    ------
    ValueError
        If K is not symmetric to 1e-8 or not positive semi-definite.

    Notes
    -----
    Cost: eigenvectors of K, O(n³), and O(n²k). Source: prop-loo.

    Examples
    --------
    Two equal rows tell each other's label, one that is orthogonal to them is told nothing.

    >>> leave_one_out([[1, 1, 0], [1, 1, 0], [0, 0, 1]], [3, 5, 2]).round(12).tolist()
    [-2.0, 2.0, 2.0]
    """
    rounding = checks.rounding(K)
    K = checks.symmetric("K", K, at_least=2, rounding=rounding)
    residual = checks.columns("residual", residual, len(K))
    ridge = checks.real("ridge", ridge, at_least=0, infinite=True)
    return _from_kernel("K", K, residual, ridge, rounding)


def rank_sources(X, y, sources, *, ridge=0.0, kernel=None, depth=1):
    """Order candidate sources by the risk that leave-one-out expects after fine-tuning.

    Parameters
    ----------
    X : array (n, d)
        Target inputs, at least two.
    y : array (n,) or (n, k)
        Target labels, one column per output; at depth 1, if there are several.
    sources : array (s, d) or (s, k, d)
        One linear teacher each; zeros stand for training from scratch.
    ridge : float
        δ ≥ 0, as in ``linear_regression.finetune``; the same for all. ``compare`` chooses one for
        each source.
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
        Mean squared leave-one-out error of each, summed over outputs, in the units of y².

    Raises
    ------
    ValueError
        If options exclude each other.

    Warns
    -----
    UserWarning
        If sources that differ all score the same, as without ridge they do where n samples of rank
        d determine all weights: there the start does not matter, and the order says nothing.

    Notes
    -----
    Cost: O(nd min(n, d) + ns min(n, d) + nds) for all sources together. At depth above 1, each
    left-out sample has its own c_L, from one scalar root. Scores that agree to ten digits keep the
    given order. Columns may differ in scale as they like; rows (of weighted samples, say) within a
    factor of 10⁶, beyond which the errors on the small ones lose digits. Source: prop-loo.

    Examples
    --------
    >>> X, y = [[1, 0], [2, 0], [0, 1]], [1, 2, 5]  # as the teacher (1, 5) answers
    >>> order, scores = rank_sources(X, y, [[0, 0], [0, 4]])
    >>> order.tolist(), scores.round(3).tolist()
    ([1, 0], [8.333, 0.333])
    """
    rounding = checks.rounding(X)
    depth = checks.depth("depth", depth)
    X, y, sources = _samples_and_sources(X, y, sources, outputs=depth == 1)
    ridge = checks.real("ridge", ridge, at_least=0, infinite=True)
    if kernel is not None and not callable(kernel):
        raise TypeError(f"kernel must be callable, got {type(kernel).__name__}")
    answers = sources @ X.T
    if depth == 1:
        residual = y.T - answers
        if kernel is None:
            errors = RowSpace(X, rounding).leave_one_out(residual, ridge)
        else:
            K = kernel(X)
            rounding = checks.rounding(K)
            K = checks.symmetric("kernel(X)", K, at_least=2, rounding=rounding)
            K = checks.array("kernel(X)", K, 2 * (len(X),))
            flat = _from_kernel("kernel(X)", K, residual.reshape(-1, len(X)).T, ridge, rounding)
            errors = flat.T.reshape(residual.shape)
    else:
        if kernel is not None or ridge > 0:
            raise ValueError("depth must be 1 with a kernel or a ridge")
        errors = _deep_leave_one_out(X, y, sources, depth, rounding).T
    scale = unit(errors)  # squares must not over- or underflow before they are compared
    scores = np.sum((errors / scale) ** 2, axis=tuple(range(1, errors.ndim))) / len(X)
    size = (np.abs(y).max() + np.abs(answers).max()) / scale  # of what cancels in an error
    roots = ten_digits(np.sqrt(scores), size)
    tie = len(sources) > 1 and np.ptp(roots) == 0 and np.ptp(answers, axis=0).any()
    if tie and not np.ptp(ten_digits(errors / scale, size), axis=0).any():
        warnings.warn(
            "all sources score the same, and are in the order given: the samples determine the "
            "model, wherever it starts; a ridge above 0 would let the source matter",
            stacklevel=2,
        )
    order = np.argsort(roots, kind="stable")
    with np.errstate(over="ignore", under="ignore"):
        return order, scores * scale * scale


def _from_kernel(name, K, residual, ridge, rounding):
    """As ``leave_one_out``, for the kernel matrix that is called ``name``."""
    n = len(K)
    # Of the drivers, the one whose null space is accurate to rounding.
    values, vectors = scipy.linalg.eigh(K, driver="evd", check_finite=False)
    rounding *= 4 * n * max(values[-1], 0)
    if values[0] < -250 * rounding:
        raise ValueError(f"{name} must be positive semi-definite, got the eigenvalue {values[0]:g}")
    null, kept = np.split(vectors, [np.searchsorted(values, rounding, side="right")], axis=1)

    def outside(rows):
        """K has the square of the condition of X: what is seen and what is not, mixes a little."""
        return np.where(np.vecdot(null, null)[rows, None] > 1e-14, null[rows] @ null.T, 0)

    errors = left_out(kept, values[null.shape[1] :], residual.reshape(n, -1), ridge, outside)
    return errors.reshape(residual.shape)


def _deep_leave_one_out(X, y, sources, depth, rounding):
    """As ``leave_one_out`` for deep linear networks, (n, s).

    Without sample i the error of the end point P_∥θ_T + cP_⊥θ_S at xᵢ is e(y) − c e(Xθ_S), where
    e are leave-one-out errors of the linear model started at zero. With X = U diag(s) Vᵀ and
    g = Us⁻¹, of a vector with coordinates z in V it is gᵢᵀz/‖gᵢ‖², and the sample takes
    (gᵢᵀz)²/‖gᵢ‖² from the square of what is seen.
    """
    if not sources.any(axis=1).all():
        raise ValueError("sources must not be zero for depth above 1")
    scale, size = unit(X), unit(sources)  # squares must not over- or underflow
    X, sources, y = X / scale, sources / size, y / scale / size
    space = RowSpace(X, rounding)
    if space.s.size < len(X):
        raise ValueError("X must have independent rows for depth above 1")
    missed = space.unseen(sources)
    z, g = np.vstack([space.fitted(y), space.seen(sources)]).T, space.U / space.s
    height = np.vecdot(g, g)[:, None]
    errors = (g @ z) / height
    lost, whole = errors**2 * height, np.vecdot(z, z, axis=0)
    norms = np.maximum(whole - lost, 0)
    unseen = np.vecdot(missed, missed) + lost[:, 1:]
    learned, seen = norms[:, :1], norms[:, 1:]
    # What is seen without a sample is a difference, and is compared with the whole source as well.
    nothing = np.maximum(
        100 * rounding * whole[1:], (max(X.shape) * rounding) ** 2 * (seen + unseen)
    )
    if depth == math.inf and (seen <= nothing).any():
        raise ValueError("sources must not be orthogonal to n − 1 rows of X at infinite depth")
    c = np.exp(log_scale(seen, unseen, learned, learned - seen, 1 / depth))
    return (errors[:, :1] - c * errors[:, 1:]) * scale * size
