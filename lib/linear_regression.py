"""Fine-tuning a linear model: where gradient descent ends, the way there, and its risk.

Contract: a wrong type is a TypeError; a wrong shape, an entry that is not finite, or a number out
of its range a ValueError. Both name the argument.
"""

import copy
import math
from functools import partial

import numpy as np
import scipy.linalg

from lib import checks
from lib.numerics import unit
from lib.problem import TransferProblem
from lib.row_space import RowSpace

__all__ = [
    "finetune",
    "flow_risk",
    "gradient_flow",
    "learning_curve",
    "measured_curve",
    "orthogonal_expansion",
    "samples_needed",
    "unlearned",
]

_STEP = 16  # rows that are summed at a time


def finetune(X, y, source, *, ridge=0.0):
    """End point of gradient flow from the source: the interpolator closest to it.

    θ_FT = θ_S + X⁺(y − Xθ_S); with ``ridge`` δ > 0, the minimiser of ‖Xθ − y‖² + δ‖θ − θ_S‖².

    Parameters
    ----------
    X : array (n, d)
        Target inputs; any rank, any n.
    y : array (n,) or (n, k)
        Target labels, one column per output. Where they are not in the range of X, θ_FT is the
        least-squares solution closest to the source.
    source : array (d,) or (k, d)
        θ_S, the pretrained weights, one row per output.
    ridge : float
        δ ≥ 0; infinity leaves the source as it is.

    Returns
    -------
    array (d,) or (k, d)

    Notes
    -----
    Cost: one thin SVD of X, O(nd min(n, d)). Source: thm-linear-bias; thm-exact-risk for ridge.

    Examples
    --------
    One sample sees the first weight and corrects it; the second stays what it was.

    >>> finetune([[2, 0]], [6], source=[1, 1]).tolist()
    [3.0, 1.0]
    """
    rounding = checks.rounding(X)
    checks.aligned(X=X, source=source)
    X, y = checks.samples(X, y, outputs=True)
    source = checks.array("source", source, (*y.shape[1:], X.shape[1]))
    ridge = checks.real("ridge", ridge, at_least=0, infinite=True)
    space = RowSpace(X, rounding)
    return source + space.fitted(y.T - source @ X.T, ridge) @ space.Vt


def gradient_flow(X, y, source, times):
    """The weights at each time along gradient flow on ℓ(θ) = ‖Xθ − y‖²/(2n), started at θ_S.

    Parameters
    ----------
    X, y, source
        As in ``finetune``.
    times : array (t,)
        Times ≥ 0, in units of the inverse of Σ̂ = XᵀX/n; ``inf`` is not needed: use ``finetune``.

    Returns
    -------
    array (t, d)

    Notes
    -----
    Cost: one thin SVD of X and O(td min(n, d)). Source: thm-linear-bias.
    """
    rounding = checks.rounding(X)
    X, y, source = _check(X, y, source)
    times = checks.array("times", times, (None,))
    if (times < 0).any():
        raise ValueError(f"times must be non-negative, got {times.min():g}")
    space = RowSpace(X, rounding)
    return source + space.flow(y - X @ source, times) @ space.Vt


def learning_curve(problem, X):
    """Risk after fine-tuning on the first 0, 1, …, n rows of X, all from one factorisation.

    Parameters
    ----------
    problem : TransferProblem
        The teachers and the population that the risk is measured on.
    X : array (..., n, d)
        Target inputs in the order in which they arrive, or a stack of such samples; labels are
        Xθ_T. Any n; repeated or dependent rows teach nothing, and the curve is flat there.

    Returns
    -------
    array (n + 1,), or (..., n + 1) for a stack of samples, teachers in batches, or both
        The stack comes first.

    Notes
    -----
    The Gram–Schmidt basis q₁, q₂, … of the rows grows with them, and what is still unlearned after
    k rows is P_⊥u = u_⊥ + Σ_{j>k} (q_jᵀu) q_j. That tail is summed from its small end, so small
    risks keep their relative accuracy. Cost: one QR of Xᵀ, 4nd² at most, plus one product nd² if
    the population has eigenvectors of its own, and O(nd) for each problem of a batch. Source:
    thm-linear-bias.
    """
    checks.instance("problem", problem, TransferProblem)
    return stacked(_learning_curve, problem, X)


def measured_curve(X, y, X_test, y_test, source, *, ridge=0.0):
    """Mean squared error on a test set after fine-tuning on the first 0, 1, …, n rows of X.

    Parameters
    ----------
    X, y, source
        As in ``finetune``.
    X_test : array (m, d)
        Inputs to test on.
    y_test : array (m,) or (m, k)
        Their labels.
    ridge : float
        δ ≥ 0, the same for any number of rows. Where rows of X depend on each other, as they do if
        n > d, at least 10⁻¹⁰ of its squared norm. Infinity leaves the source as it is.

    Returns
    -------
    array (n + 1,) or (n + 1, k)

    Notes
    -----
    Ridge regression interpolates, with inputs (x, √δeᵢ). The triangle of their QR decomposition,
    CCᵀ = XXᵀ + δI, has that of the first j rows in its corner, and the correction after j rows is
    the sum of the first j terms of xᵀXᵀC⁻ᵀ · C⁻¹(y − Xθ_S). Cost: one QR, O(n²(n + d)), one
    triangular solve, O(n²m), and O(nmk). Source: thm-linear-bias; thm-exact-risk for ridge.

    Examples
    --------
    The first sample teaches the first weight, the second the second; so much for the test.

    >>> X, y = [[1, 0], [0, 1]], [2, 3]
    >>> measured_curve(X, y, X, y, source=[0, 0]).tolist()
    [6.5, 4.5, 0.0]
    """
    rounding = checks.rounding(X)
    checks.aligned(X=X, source=source, X_test=X_test)
    checks.aligned_rows(X_test=X_test, y_test=y_test)
    X, y = checks.samples(X, y, outputs=True)
    n, d = X.shape
    X_test = checks.samples(X_test, dim=d, name="X_test")
    y_test = checks.array("y_test", y_test, (len(X_test), *y.shape[1:]))
    source = checks.array("source", source, (*y.shape[1:], d))
    ridge = checks.real("ridge", ridge, at_least=0, infinite=True)
    if math.isinf(ridge):
        error = np.mean((y_test.T - source @ X_test.T) ** 2, axis=-1)
        return np.broadcast_to(error, (n + 1, *y.shape[1:])).copy()
    s = RowSpace(X, rounding).s
    if s.size < n and ridge <= 1e-10 * np.max(s, initial=0) ** 2:
        raise ValueError("X must have independent rows, at most d, or a larger ridge")
    rows = np.hstack([X, math.sqrt(ridge) * np.eye(n)]) if ridge > 0 else X
    triangle = scipy.linalg.qr(rows.T, mode="r", check_finite=False)[0][:n]
    solve = partial(scipy.linalg.solve_triangular, triangle, trans="T", check_finite=False)
    terms = solve(X @ X_test.T)
    learned = solve((y.T - source @ X.T).reshape(-1, n).T)
    wanted = (y_test.T - source @ X_test.T).reshape(-1, len(X_test))
    curves = []
    for target, want in zip(learned.T, wanted, strict=True):
        missing = np.vstack([want, -target[:, None] * terms])
        np.cumsum(missing, axis=0, out=missing)
        curves.append(np.vecdot(missing, missing) / len(X_test))
    return np.transpose(curves).reshape(n + 1, *y.shape[1:])


def stacked(curve, problem, X):
    """``curve(problem, X)`` of each of a stack of samples X (..., n, d). Semi-public."""
    X = checks.array("X", X, (..., None, problem.population.dim))
    curves = [curve(problem, checks.samples(X[index])) for index in np.ndindex(X.shape[:-2])]
    if not curves:
        raise ValueError(f"X must have at least one sample, got shape {X.shape}")
    return np.reshape(curves, X.shape[:-2] + curves[0].shape)


def _learning_curve(problem, X):
    basis, row = orthogonal_expansion(X)
    weights = np.sqrt(problem.population.eigenvalues)
    learned = problem.gap @ basis
    rest = problem.gap - learned @ basis.T
    rest -= (rest @ basis) @ basis.T  # a second pass removes what rounding left inside the span
    basis, rest = (problem.population.coordinates(v) * weights for v in (basis.T, rest))
    return _tail_norms(basis, learned, rest)[..., row]


def flow_risk(problem, X, times, noise=0.0):
    """The exact risk along gradient flow on given inputs, in the mean over the label noise.

    θ(t) − θ_T = −e^{−tΣ̂}u + (1 − e^{−tΣ̂})X⁺(noise), for ℓ(θ) = ‖Xθ − y‖²/(2n) and θ(0) = θ_S.

    Parameters
    ----------
    problem : TransferProblem
        The teachers, and the population that the risk is measured on.
    X : array (n, d)
        Target inputs; any rank, any n.
    times : array (t,)
        Times ≥ 0, in units of the inverse of Σ̂ = XᵀX/n; infinity is the end of training.
    noise : float
        Standard deviation σ ≥ 0 of the label noise.

    Returns
    -------
    array (t,), or (..., t) for teachers in batches

    Notes
    -----
    Cost: one thin SVD of X and O(td min(n, d)). Source: thm-linear-bias.
    """
    risk = FlowRisk(problem, X)
    (times,) = checks.amounts(times=times)
    if times.ndim != 1:
        raise ValueError(f"times must have shape (any), got {times.shape}")
    noise = risk.relative(checks.real("noise", noise, at_least=0))
    with np.errstate(over="ignore", under="ignore"):  # long after the end is the end
        times = times * risk.scale * risk.scale
        return risk(times, noise) * risk.size * risk.level * risk.size


class FlowRisk:
    """The risk along gradient flow on given inputs, in units in which no square overflows.

    Semi-public; made for ``planning``. With ``scale`` the unit of X, ``size`` that of the gap and
    ``level`` that of Σ, times are in units of scale⁻², σ in units of scale · size, and risks in
    units of level · size².
    """

    def __init__(self, problem, X):
        checks.instance("problem", problem, TransferProblem)
        population = problem.population
        rounding = checks.rounding(X)
        X = checks.samples(X, dim=population.dim)
        self.level, self.scale, self.size = map(unit, (population.eigenvalues, X, problem.gap))
        space = RowSpace(X / self.scale, rounding)
        self.n, self.rates = len(X), space.s**2 / len(X)  # the eigenvalues of Σ̂, descending
        self._eigenvalues = population.eigenvalues / self.level
        # The right singular vectors v and P_⊥u along the eigenvectors of Σ, and the vᵀu, which are
        # unlearned at these rates.
        self._basis = population.coordinates(space.Vt)
        gap = problem.gap[..., None, :] / self.size  # times come before the last axis
        self._learned = space.seen(gap)
        self._rest = population.coordinates(space.unseen(gap))
        self._energies = self._basis**2 @ self._eigenvalues  # vᵀΣv

    def relative(self, noise):
        """σ in these units."""
        with np.errstate(over="ignore", under="ignore"):
            return np.float64(noise) / self.size / self.scale

    def __call__(self, times, noise):
        """The risk at each of ``times`` (t,), of shape (..., t)."""
        decay = -np.outer(times, self.rates)
        bias = self._error(np.exp(decay)) ** 2 @ self._eigenvalues
        learned = noise * np.sqrt(self._energies / self.rates) * np.expm1(decay)
        return bias + np.vecdot(learned, learned) / self.n

    def slope(self, x, noise):
        """The derivative of the risk in log t at t = eˣ, divided by the size of its terms."""
        decay = -np.outer(np.exp(x), self.rates)
        left = np.exp(decay)
        felt = (self._error(left) * self._eigenvalues) @ self._basis.T  # vᵀΣ(θ_T − θ(t))
        gain = left * self.rates * self._learned * felt
        loss = -(noise**2) / self.n * left * np.expm1(decay) * self._energies
        size = (np.abs(gain) + loss).sum(axis=1)
        return (loss - gain).sum(axis=1) / np.where(size > 0, size, 1.0)

    def span(self, noise):
        """A time before which the slope keeps its sign, and one after which e⁻³⁰ is unlearned."""
        (error,), (learned,) = self._error(np.ones(self.rates.size)), self._learned
        gain = self.rates * learned @ (self._basis @ (self._eigenvalues * error))
        loss = noise**2 / self.n * (self.rates @ self._energies)
        turn = gain / loss if gain > 0 and loss > 0 else math.inf  # of R(0) − 2·gain·t + loss·t²
        return 1e-3 * min(1 / self.rates[0], turn), 30 / self.rates[-1]

    def each(self):
        """One of these for each problem of a batch."""
        for index in np.ndindex(self._learned.shape[:-2]):
            one = copy.copy(self)
            one._learned, one._rest = self._learned[index], self._rest[index]
            yield one

    def _error(self, left):
        return (left * self._learned) @ self._basis + self._rest


def samples_needed(curve, risk):
    """The smallest n from which on a learning curve stays at or below ``risk``.

    Parameters
    ----------
    curve : array (n + 1,)
        Risk after 0, 1, …, n samples.
    risk : float
        The target ε ≥ 0.

    Returns
    -------
    int, or ``math.inf`` if the curve ends above ``risk``

    Notes
    -----
    Curves need not fall monotonically, hence "stays". Cost: O(n). Source: the definition of n(ε)
    in thm-exact-risk.

    Examples
    --------
    >>> samples_needed([3, 1, 2, 0.5], risk=1), samples_needed([3, 1, 2, 0.5], risk=0.1)
    (3, inf)
    """
    curve = checks.array("curve", curve, (None,))
    above = np.flatnonzero(curve > checks.real("risk", risk, at_least=0))
    if above.size == 0:
        return 0
    return math.inf if above[-1] == curve.size - 1 else int(above[-1]) + 1


def orthogonal_expansion(X):
    """Gram–Schmidt basis of the rows of X, in their order, by one Householder QR of Xᵀ.

    Returns the basis as columns (d, r), and for k = 0, …, n how many of them the first k rows span,
    (n + 1,). A row whose part outside the span of the earlier ones is rounding error adds none.
    Rows beyond the first d cost another QR, but only if they add to the span of those.
    """
    n, d = X.shape
    zero = ~X.any(axis=1)
    X = X / (np.abs(X).max(axis=1) + zero)[:, None]  # lengths must not over- or underflow
    X /= (np.linalg.norm(X, axis=1) + zero)[:, None]
    chosen, waiting = np.arange(0), np.arange(n)
    while waiting.size and chosen.size < d:
        rank = chosen.size
        chosen, waiting = np.append(chosen, waiting[: d - rank]), waiting[d - rank :]
        Q, R = scipy.linalg.qr(X[chosen].T, mode="economic", overwrite_a=True, check_finite=False)
        while rank < chosen.size:
            outside = abs(R[rank, rank])
            if outside > 1e-6 or outside > _rounding(R[:rank, :rank], R[:rank, rank]):
                rank += 1
                continue
            # A dependent row got an arbitrary direction, which later rows may need: take it out,
            # and let the later ones be re-triangularised.
            Q, R = scipy.linalg.qr_delete(Q, R, rank, which="col", check_finite=False)
            chosen = np.delete(chosen, rank)
            Q, R = Q[:, : chosen.size], R[: chosen.size]
        inside = Q.T @ X[waiting].T
        outside = np.linalg.norm(X[waiting].T - Q @ inside, axis=0)
        waiting = waiting[outside > _rounding(R, inside)]
    return Q, np.append(0, np.cumsum(np.isin(np.arange(n), chosen)))


def unlearned(vector, basis):
    """What remains of ``vector`` (d,) outside the span of the first 0, 1, …, r basis columns.

    Returns (r + 1, d), row k being (I − Q_k Q_kᵀ) ``vector``.
    """
    coordinates = vector @ basis
    rest = vector - basis @ coordinates
    rest -= basis @ (rest @ basis)  # a second pass removes what rounding left inside the span
    tails = np.vstack([rest, (coordinates[:, None] * basis.T)[::-1]])
    return np.cumsum(tails, axis=0, out=tails)[::-1]


def _tail_norms(basis, coefficients, rest):
    """‖rest + Σ_{j>k} c_j b_j‖² for k = 0, …, r: (..., r + 1).

    For ``basis`` (r, d), ``coefficients`` c (..., r) and ``rest`` (..., d). Summed from the end,
    a few rows at a time by a triangular product, which takes a third of what ``cumsum`` does.
    """
    (r, d), batch = basis.shape, coefficients.shape[:-1]
    coefficients, tail = coefficients.reshape(math.prod(batch), r), rest.reshape(-1, d)
    norms = np.empty((len(tail), r + 1))
    norms[:, r] = np.vecdot(tail, tail)
    for stop in range(r, 0, -_STEP):
        rows = slice(max(stop - _STEP, 0), stop)
        parts = coefficients[:, None, rows]
        triangles = np.triu(np.broadcast_to(parts, (len(tail), *2 * parts.shape[2:])))
        tails = (triangles.reshape(-1, parts.shape[2]) @ basis[rows]).reshape(len(tail), -1, d)
        tails += tail[:, None]
        norms[:, rows] = np.vecdot(tails, tails)
        tail = tails[:, 0]
    return norms.reshape(*batch, r + 1)


def _rounding(R, inside):
    """What rounding leaves of rows (of length 1) that lie in the span of earlier ones.

    Such a row is Σᵢ cᵢxᵢ, with c = R⁻¹ ``inside``, and carries the rounding errors of all of them.
    Measured over many problems of any size, that is at most 3 ε ‖(1, c)‖.
    """
    c = scipy.linalg.solve_triangular(R, inside, check_finite=False)
    return 16 * np.finfo(float).eps * np.sqrt(1 + (c**2).sum(axis=0))


def _check(X, y, source):
    checks.aligned(X=X, source=source)
    X, y = checks.samples(X, y)
    return X, y, checks.array("source", source, (X.shape[1],))
