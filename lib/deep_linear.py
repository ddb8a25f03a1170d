"""Fine-tuning a deep linear network: the bias of depth, the way to it, and frozen layers.

The network is f(x) = xᵀW₁W₂⋯W_L, W_L a column, so its linear map is β = W₁W₂⋯W_L. Pretraining has
left it *balanced*, W_jᵀW_j = W_{j+1}W_{j+1}ᵀ for every j, with β = θ_S; then θ_S and L are all that
matters of it.

Contract: a wrong type is a TypeError; a wrong shape, an entry that is not finite, or a number out
of its range a ValueError. Both name the argument.
"""

import itertools
import math
from functools import partial

import numpy as np
import scipy.linalg
from scipy.integrate import LSODA

from lib import checks, linear_regression
from lib.depth_equation import log_scale, log_scale_of_layers
from lib.linear_regression import orthogonal_expansion, stacked, unlearned
from lib.numerics import ten_digits, unit
from lib.problem import TransferProblem
from lib.row_space import RowSpace

__all__ = [
    "balanced_layers",
    "balancedness",
    "best_depth",
    "chain",
    "finetune",
    "finetune_frozen_first",
    "finetune_frozen_last",
    "finetune_layers",
    "gradient_flow",
    "layer_curve",
    "layer_flow",
    "learning_curve",
]


def finetune(X, y, source, depth):
    """End point of gradient flow on all layers of a balanced network of ``depth`` layers.

    P_∥β = P_∥θ_T and P_⊥β = c_L P_⊥θ_S with c_L = (‖β‖/‖θ_S‖)^{(L−1)/L}: what the sample does not
    see of the source is scaled, more or less according to depth, as what it sees changes in norm.
    Depth 1 is linear regression, c₁ = 1; at infinite depth c_∞ = ‖P_∥θ_T‖/‖P_∥θ_S‖.

    Parameters
    ----------
    X : array (n, d)
        Target inputs; any rank, any n.
    y : array (n,)
        Target labels, and P_∥θ_T = X⁺y: where they are not in the range of X, the least-squares
        value on the row space.
    source : array (d,)
        θ_S, the linear map of the pretrained network.
    depth : int or math.inf
        L ≥ 1.

    Returns
    -------
    array (d,)

    Raises
    ------
    ValueError
        If the source is zero with depth above 1 (then no layer has a gradient); if P_∥θ_S = 0 with
        infinite depth (then c_L grows with L without bound).

    Notes
    -----
    The flow always gets there if P_⊥θ_S ≠ 0. If P_⊥θ_S = 0 the end point is P_∥θ_T at any depth;
    but above depth 1 the flow cannot pass through the saddle β = 0, and from exceptional sources it
    runs into it: those on a curve that reaches 0 from the direction of −Xᵀy. Where this is an
    eigenvector of Σ̂, as it is if X has rank one, the curve is the ray of all its multiples. Any
    P_⊥θ_S, however small, leads past. Cost: one thin SVD of X, O(nd min(n, d)), and one scalar
    root. Source: thm-deep-bias, thm-deep-limit.

    Examples
    --------
    The sample triples the first weight. A linear model leaves the second alone; at infinite depth
    it is tripled, too.

    >>> [finetune([[2, 0]], [6], [1, 1], depth).round(12).tolist() for depth in (1, float("inf"))]
    [[3.0, 1.0], [3.0, 3.0]]
    """
    rounding = checks.rounding(X)
    X, y, source, inverse = _check(X, y, source, depth)

    def scale(seen, unseen, learned, change):
        _check_seen(seen, unseen, inverse, X)
        return log_scale(seen, unseen, learned, change, inverse)

    return _end_point(RowSpace(X, rounding), y, source, scale)


def _end_point(space, y, source, scale):
    """P_∥θ_T + cP_⊥θ_S, with log c = ``scale``(‖P_∥θ_S‖², ‖P_⊥θ_S‖², ‖P_∥θ_T‖², change)."""
    target, seen, missed = space.fitted(y), space.seen(source), space.unseen(source)
    size = unit(target, source)  # squares must not over- or underflow
    target, seen, missed = target / size, seen / size, missed / size
    squares = seen @ seen, missed @ missed, target @ target
    c = np.exp(scale(*squares, (target - seen) @ (target + seen)))
    return (target @ space.Vt + c * missed) * size


def learning_curve(problem, X, depth):
    """Risk after fine-tuning on the first 0, 1, …, n rows of X, all from one factorisation.

    Parameters
    ----------
    problem : TransferProblem
        The teachers and the population that the risk is measured on.
    X : array (..., n, d)
        Target inputs in the order in which they arrive, or a stack of such samples; labels are
        Xθ_T. Any n, any rank.
    depth : int or math.inf, or an array of them
        L ≥ 1; all depths share the factorisation.

    Returns
    -------
    array (n + 1,), or (..., n + 1) for an array (...) of depths
        A stack of samples and a batch of teachers come before the depths. At n = 0 it is the risk
        of the source, whatever the depth.

    Raises
    ------
    ValueError
        For source and depth as in ``finetune``, at every n ≥ 1.

    Notes
    -----
    After k rows the risk ‖Σ^{1/2}P_⊥(θ_T − c_Lθ_S)‖² is a parabola in c_L, the same at all depths.
    It is kept as its least value, its curvature and where it is least: three tail sums, and nothing
    cancels, so that small risks keep their digits. Cost: some 20 % more than the linear learning
    curve, and O(n) for each depth. Source: thm-deep-bias, thm-deep-limit.
    """
    checks.instance("problem", problem, TransferProblem)
    depth = np.asarray(depth, dtype=object)
    sources = [one.source for one in problem.each()]
    inverse = [max(_inverse_depth(one, source) for source in sources) for one in depth.flat]
    inverse = np.reshape(inverse, (*depth.shape, 1))

    def scale(squares, problem, X, row):
        _check_seen(squares[0][1:], squares[1][1:], inverse, X)
        return log_scale(*squares, inverse)

    return stacked(partial(_learning_curve, scale=scale), problem, X)


def _learning_curve(problem, X, scale):
    basis, row = orthogonal_expansion(X)
    scale = partial(scale, X=X, row=row)
    curves = [_expanded(one, basis, scale) for one in problem.each()]
    return np.reshape(curves, problem.gap.shape[:-1] + curves[0].shape)[..., row]


def _squares(teachers, basis):
    """‖P_∥θ_S‖², ‖P_⊥θ_S‖², ‖P_∥θ_T‖² and the change of the first, as the ``basis`` grows.

    And P_⊥θ_S itself, a row for each. ``teachers`` are θ_S, θ_T and u.
    """
    source, target, gap = teachers @ basis
    growing = np.stack([source**2, target**2, gap * (target + source)])
    seen, learned, change = np.cumsum(np.pad(growing, ((0, 0), (1, 0))), axis=1)
    missed = unlearned(teachers[0], basis)
    unseen = np.cumsum(np.append(missed[-1] @ missed[-1], source[::-1] ** 2))[::-1]
    return (seen, unseen, learned, change), missed


def _expanded(problem, basis, scale):
    """The risk as the ``basis`` of the rows of X grows, column by column."""
    teachers = np.stack([problem.source, problem.target, problem.gap])
    size = unit(teachers)  # squares must not over- or underflow
    teachers /= size
    squares, missed = _squares(teachers, basis)
    logarithm = scale(squares, problem)

    # P_⊥(θ_T − cθ_S) = P_⊥θ_T − cP_⊥θ_S = P_⊥u − (c − 1)P_⊥θ_S: the one that cancels less.
    if np.linalg.norm(teachers[1]) < np.linalg.norm(teachers[2]):
        blind, scale = unlearned(teachers[1], basis), np.exp(logarithm)
    else:
        blind, scale = unlearned(teachers[2], basis), np.expm1(logarithm)
    # The first vector has a part along the second, as Σ measures it, and a rest.
    level = unit(problem.population.eigenvalues)
    weights = np.sqrt(problem.population.eigenvalues / level)
    missed = problem.population.coordinates(missed) * weights
    blind = problem.population.coordinates(blind) * weights
    curvature, along = np.vecdot(missed, missed), np.vecdot(missed, blind)
    best = np.divide(along, curvature, out=np.zeros_like(along), where=curvature > 0)
    blind -= best[:, None] * missed
    risk = np.vecdot(blind, blind) + curvature * (best - scale) ** 2
    return risk * size * level * size


def finetune_layers(X, y, source, norms, rates=None):
    """End point of gradient flow on layers of rank one, of any norms and learning rates.

    P_∥β = P_∥θ_T and P_⊥β = cP_⊥θ_S, where c = ∏_{j≥2} v_j(∞)/v_j(0) is what the layers after the
    first have grown by. It lies between 1, linear regression, and ‖P_∥θ_T‖/‖P_∥θ_S‖, infinite
    depth.

    Parameters
    ----------
    X, y, source
        As in ``finetune``; the source is not zero.
    norms : array (L,)
        ‖W₁‖, …, ‖W_L‖ > 0 of the pretrained layers, W_j = ‖W_j‖ a_{j−1}a_jᵀ with unit vectors a;
        their product is ‖θ_S‖, to a relative 1e-5. Equal norms are balanced.
    rates : array (L,), optional
        Learning rates η_j ≥ 0, the first positive; 0 freezes a layer. None takes 1 for all.

    Returns
    -------
    array (d,)

    Raises
    ------
    ValueError
        Also where a layer may change its sign on the way: if η_j/v_j² ≥ (η₁/‖W₁‖²)/s for some j,
        with s = ‖P_∥θ_S‖²/‖θ_S‖², *and* the source is no better on the sample than answering zero.
        Then c need not be the one above; ``layer_flow`` follows it.

    Notes
    -----
    Cost: that of ``finetune``. Source: thm-layers.
    """
    rounding = checks.rounding(X)
    X, y, source, _ = _check(X, y, source, 1)
    speeds = _speeds(*_check_layers(norms, rates, source))
    size = unit(X @ source, y)  # squares must not over- or underflow
    better = np.linalg.norm((y - X @ source) / size) < np.linalg.norm(y / size)

    def scale(seen, unseen, learned, change):
        _check_signs(speeds, seen, unseen, better)
        return log_scale_of_layers(seen, unseen, learned, change, speeds)

    return _end_point(RowSpace(X, rounding), y, source, scale)


def layer_curve(problem, X, norms, rates=None):
    """Risk after fine-tuning layers of rank one on the first 0, 1, …, n rows of X.

    Parameters
    ----------
    problem, X
        As in ``learning_curve``.
    norms, rates : array (..., L)
        As in ``finetune_layers``, any number of them; shapes that broadcast.

    Returns
    -------
    array (n + 1,), or (..., n + 1) for an array of norms or rates
        A stack of samples and a batch of teachers come first.

    Raises
    ------
    ValueError
        As ``finetune_layers``, at any n ≥ 1.

    Notes
    -----
    Cost: as ``learning_curve``; O(nL) for each of the ``norms``. Source: thm-layers.
    """
    checks.instance("problem", problem, TransferProblem)
    for one in problem.each():
        checked = _check_layers(norms, rates, one.source, batches=True)
    speeds = [speed[..., None] for speed in _speeds(*checked)]
    each = np.zeros((*checked[0].shape[:-1], 1))

    def scale(squares, problem, X, row):
        outputs, answers = X @ problem.gap, X @ problem.target
        size = unit(outputs, answers)
        lost, whole = (np.cumsum((v / size) ** 2) for v in (outputs, answers))
        better = np.append(True, lost < whole)
        _check_signs(speeds, squares[0][row], squares[1][row], better)
        return each + log_scale_of_layers(*squares, speeds)

    return stacked(partial(_learning_curve, scale=scale), problem, X)


def gradient_flow(X, y, source, depth, times):
    """The linear map at each time along gradient flow on ℓ = ‖Xβ − y‖²/(2n), in all the layers.

    β̇ = −‖β‖^{2−2/L}(I + (L−1)β̂β̂ᵀ)∇ℓ(β) from β = θ_S on.

    Parameters
    ----------
    X, y, source
        As in ``finetune``.
    depth : int
        L ≥ 1. Infinite depth has no flow: β would grow infinitely faster than it turns.
    times : array (t,)
        Times ≥ 0, in any order, of the flow Ẇ_j = −∂ℓ/∂W_j of all layers: gradient descent with
        step η is there after t/η steps. In this time β turns ‖β‖^{2−2/L} times as fast as a linear
        model would, and grows L times as fast again.

    Returns
    -------
    array (t, d)

    Raises
    ------
    ValueError
        As ``finetune``; also if the depth is infinite.
    RuntimeError
        If the solver does not reach the last time.

    Notes
    -----
    The flow never leaves span(row(X), θ_S), and is solved there as it stands: no conserved quantity
    is made use of. The coordinates are log w and φ in β = w^L φ, w being the norm of every layer,
    because β may come close to zero on its way. Relative error about 1e-11, more where norms change
    by many powers of ten. Cost: one thin SVD of X, some thousand evaluations in O(rank) and, where
    the flow is stiff, factorisations in O(rank³). Source: thm-deep-bias; Arora et al. 2018.
    """
    rounding = checks.rounding(X)
    X, y, source, inverse = _check(X, y, source, depth)
    if inverse == 0:
        raise ValueError("depth must be finite: there is no gradient flow at infinite depth")
    times = checks.array("times", times, (None,))
    if (times < 0).any():
        raise ValueError(f"times must be non-negative, got {times.min():g}")
    if depth == 1:
        return linear_regression.gradient_flow(X, y, source, times)

    flat = _Flat(RowSpace(X, rounding), y, source)

    def velocity(_, state):
        w, direction = np.exp(state[0]), state[1:]
        gradient = flat.gradient(w**depth * direction)
        along = direction @ gradient / (direction @ direction)  # so that its norm stays 1
        return -(w ** (depth - 2)) * np.append(along, gradient - along * direction)

    def fitted(state):  # beyond this the solver would only follow rounding errors
        return np.linalg.norm(state[1:-1] - flat.target[:-1] / np.exp(depth * state[0])) < 1e-13

    # In units of the time in which a flow that starts at norm 1 does the same.
    moments = times * flat.level * flat.norm ** (2 - 2 * inverse) * flat.level
    states = _follow(velocity, np.append(0, flat.start), moments, fitted, atol=1e-14)
    return flat.norm * np.exp(depth * states[:, :1]) * states[:, 1:] @ flat.frame


def layer_flow(X, y, source, norms, times, rates=None):
    """The linear map at each time along gradient flow in layers of rank one.

    Parameters
    ----------
    X, y, source, norms, rates
        As in ``finetune_layers``; layers may change their sign.
    times : array (t,)
        Times ≥ 0, in any order, of the flow Ẇ_j = −η_j ∂ℓ/∂W_j on ℓ = ‖Xβ − y‖²/(2n).

    Returns
    -------
    array (t, d)

    Raises
    ------
    RuntimeError
        If the solver does not reach the last time.

    Notes
    -----
    Solved as it stands, for W₁ in span(row(X), θ_S) and the factors v_j(t)/v_j(0): no conserved
    quantity is made use of. Relative error about 1e-10. Cost: as ``gradient_flow``. Source:
    thm-layers.
    """
    rounding = checks.rounding(X)
    X, y, source, _ = _check(X, y, source, 1)
    norms, rates = _check_layers(norms, rates, source)
    times = checks.array("times", times, (None,))
    if (times < 0).any():
        raise ValueError(f"times must be non-negative, got {times.min():g}")
    speeds = np.array(_speeds(norms, rates))
    flat = _Flat(RowSpace(X, rounding), y, source)
    d = len(flat.target)

    def velocity(_, state):
        first, others = state[:d], state[d:]
        product = others.prod()
        gradient = flat.gradient(product * first)
        rest = np.array([np.delete(others, j).prod() for j in range(others.size)])
        return -np.append(product * gradient, speeds * rest * (first @ gradient))

    # In units of the time in which a linear model does the same.
    moments = times * rates[0] * (flat.norm / norms[0] * flat.level) ** 2
    start = np.append(flat.start, np.ones(speeds.size))
    states = _follow(velocity, start, moments, lambda _: False, atol=1e-15)
    return flat.norm * states[:, d:].prod(axis=1, keepdims=True) * states[:, :d] @ flat.frame


class _Flat:
    """The loss on span(row(X), θ_S), which no flow from θ_S leaves, in units of ‖θ_S‖.

    Attributes
    ----------
    frame : array (r + 1, d)
        An orthonormal basis: that of the row space, and the direction of P_⊥θ_S.
    start, target : array (r + 1,)
        θ_S and P_∥θ_T in this basis.
    norm, level : float
        ‖θ_S‖, and the unit of X.
    """

    def __init__(self, space, y, source):
        missed = space.unseen(source)
        self.norm, height = scipy.linalg.norm(source), scipy.linalg.norm(missed)  # never overflow
        self.frame = np.vstack([space.Vt, missed / (height or 1)])
        self.start = np.append(space.seen(source), height) / self.norm
        self.target = np.append(space.fitted(y), 0) / self.norm
        self.level = unit(space.s)
        self._curvature = np.append((space.s / self.level) ** 2 / len(y), 0)

    def gradient(self, beta):
        """∇ℓ at ``beta``, with X in units of ``level``."""
        return self._curvature * (beta - self.target)


def _follow(velocity, start, moments, done, atol):
    """The states at ``moments`` ≥ 0, in any order; where it is ``done``, the flow stands still."""
    moments, which = np.unique(np.append(0, moments), return_inverse=True)
    states = [start]
    solver = LSODA(velocity, 0, start, moments[-1], rtol=1e-12, atol=atol)
    while len(states) < len(moments):
        if done(solver.y):
            states.append(solver.y)
            continue
        solver.step()
        if solver.status == "failed" or not np.isfinite(solver.y).all():
            raise RuntimeError(f"the flow could not be followed beyond time {solver.t:.3g}")
        passed = np.searchsorted(moments, solver.t, side="right")
        if passed > len(states):
            states.extend(solver.dense_output()(moments[len(states) : passed]).T)
    return np.array(states)[which[1:]]


def best_depth(problem, X):
    """The depth with the least risk after fine-tuning a balanced network on X.

    The risk is a parabola in c_L, least at c* = ⟨P_⊥θ_S, ΣP_⊥θ_T⟩/‖Σ^{1/2}P_⊥θ_S‖², and c_L moves
    from 1 to c_∞ as L grows: so the best depth is an end, or next to where c_L passes c*.

    Parameters
    ----------
    problem : TransferProblem
        One pair of teachers; the source is not zero, nor orthogonal to all rows of X.
    X : array (n, d)
        Target inputs; labels are Xθ_T.

    Returns
    -------
    int or math.inf
        The least of the best depths, compared to ten digits of their risks.

    Notes
    -----
    It needs the target: it explains, and does not advise. Cost: one factorisation of X. Source:
    prop-best-depth.
    """
    checks.instance("problem", problem, TransferProblem)
    X = checks.samples(X, dim=problem.population.dim)
    space = RowSpace(X)
    seen, answers = space.seen(problem.source), space.seen(problem.target)
    missed, blind = space.unseen(problem.source), space.unseen(problem.target)
    shown = problem.population.squared_norm(missed)
    share = seen @ seen / (problem.source @ problem.source)
    end = np.log(scipy.linalg.norm(answers) / scipy.linalg.norm(seen))
    candidates = [1, math.inf]
    along = missed @ problem.population.covariance() @ blind
    if along > 0 and shown > 0 and 0 < np.log(along / shown) / end < 1:
        q = np.log(along / shown)
        depth = 1 + 2 * q / np.log1p(share * np.expm1(2 * (end - q)))
        candidates[1:1] = [math.floor(depth), math.ceil(depth)]
    risks = learning_curve(problem, X, candidates)[:, -1]
    return candidates[int(np.argmin(ten_digits(risks)))]


def balanced_layers(theta, depth, width, rng):
    """Layers of a balanced network with the linear map ``theta``, in random directions.

    W_j = w u_{j−1}u_jᵀ with u_0 = θ/‖θ‖, u_L = 1, the other u_j random unit vectors, and
    w = ‖θ‖^{1/L}. As W_L is a column, every balanced network is of this form.

    Parameters
    ----------
    theta : array (d,)
        θ, the product of the layers; if zero, all layers are.
    depth : int
        L ≥ 1.
    width : int
        Columns of W₁, …, W_{L−1}, at least 1.
    rng : numpy.random.Generator
        The source of randomness.

    Returns
    -------
    list of L arrays (d, width), (width, width), …, (width, 1)

    Notes
    -----
    Cost: O(d width + L width²). Source: thm-deep-bias.
    """
    theta = checks.array("theta", theta, (None,))
    depth = checks.depth("depth", depth, infinite=False)
    width = checks.integer("width", width, at_least=1)
    inner = checks.generator("rng", rng).standard_normal((depth - 1, width))
    inner /= np.linalg.norm(inner, axis=1, keepdims=True)
    norm = scipy.linalg.norm(theta)  # which never overflows
    units = [theta / (norm or 1), *inner, np.ones(1)]
    return [norm ** (1 / depth) * np.outer(u, v) for u, v in itertools.pairwise(units)]


def balancedness(layers):
    """How far layers are from balance: max_j ‖W_jᵀW_j − W_{j+1}W_{j+1}ᵀ‖ / max_j ‖W_j‖².

    Spectral norms; between 0 (balanced) and 1, and the same for layers that are all multiplied by
    one factor.

    Parameters
    ----------
    layers : list of L arrays (d, k₁), (k₁, k₂), …, (k_{L−1}, 1)
        W₁, …, W_L.

    Returns
    -------
    float

    Notes
    -----
    Cost: O(d k² + L k³). Source: thm-deep-bias.
    """
    layers = chain(layers)
    largest = max(np.linalg.norm(W, 2) for W in layers) or 1.0
    layers = [W / largest for W in layers]
    gaps = [np.linalg.norm(W.T @ W - V @ V.T, 2) for W, V in itertools.pairwise(layers)]
    return float(max(gaps, default=0.0))


def finetune_frozen_first(X, y, source, *, trained=1):
    """End point of training the last ``trained`` layers of a balanced network, the rest frozen.

    The frozen first layer has rank one: whatever the others learn, β = cθ_S. They learn the best c,
    ⟨Xθ_S, y⟩/‖Xθ_S‖², and R ≥ min_c ‖Σ^{1/2}(θ_T − cθ_S)‖² however many samples there are.

    Parameters
    ----------
    X, y, source
        As in ``finetune``; the source is not zero. If Xθ_S = 0 no weight has a gradient, and θ_S
        is where training ends.
    trained : int
        How many layers are trained, from 1 (a linear probe) to L − 1. If it is more than one, c
        cannot change sign: where the best c is negative, the flow ends at the saddle β = 0.

    Returns
    -------
    array (d,)

    Notes
    -----
    Cost: O(nd). Source: thm-frozen.
    """
    X, y, source, _ = _check(X, y, source, 2)
    trained = checks.integer("trained", trained, at_least=1)
    scale, size, height = unit(X), unit(source), unit(y)  # squares must not over- or underflow
    X, direction, y = X / scale, source / size, y / height
    outputs = X @ direction
    if np.linalg.norm(outputs) <= _rounding(X) * np.linalg.norm(X) * np.linalg.norm(direction):
        return source.copy()
    c = (outputs @ y) / (outputs @ outputs) / scale * height
    return (c if trained == 1 else max(c, 0.0)) * direction


def finetune_frozen_last(X, y, source, depth, trained):
    """End point of training the first ``trained`` of ``depth`` layers of a balanced network.

    It is where a network of depth ``trained`` ends: what is frozen might as well not be there.

    Parameters
    ----------
    X, y, source, depth
        As in ``finetune``.
    trained : int
        From 1 to ``depth``.

    Returns
    -------
    array (d,)

    Notes
    -----
    Cost: that of ``finetune``. Source: thm-frozen.
    """
    X, y, source, _ = _check(X, y, source, depth)
    return finetune(X, y, source, checks.integer("trained", trained, at_least=1, at_most=depth))


def chain(layers):
    """``layers`` as a list of float64 arrays, checked: each fits the next, the last is a column."""
    if not isinstance(layers, list | tuple):
        raise TypeError(f"layers must be a list of arrays, got {type(layers).__name__}")
    layers = [checks.array(f"layers[{j}]", W, (None, None)) for j, W in enumerate(layers)]
    shapes = [W.shape for W in layers]
    chained = all(left[1] == right[0] for left, right in itertools.pairwise(shapes))
    if not (layers and chained and shapes[-1][1] == 1 and all(map(all, shapes))):
        raise ValueError(f"layers must have shapes (d, k), (k, l), …, (m, 1), got {shapes}")
    return layers


def _check(X, y, source, depth):
    """The arguments as arrays, and 1/L."""
    checks.aligned(X=X, source=source)
    X, y = checks.samples(X, y)
    source = checks.array("source", source, (X.shape[1],))
    return X, y, source, _inverse_depth(depth, source)


def _check_layers(norms, rates, source, batches=False):
    """Norms and rates as arrays (..., L) of one shape."""
    shape = (..., None) if batches else (None,)
    norms = checks.array("norms", norms, shape)
    if norms.shape[-1] == 0 or not (norms > 0).all():
        raise ValueError("norms must be positive, one for each layer")
    rates = checks.array("rates", np.ones(norms.shape[-1]) if rates is None else rates, shape)
    if rates.shape[-1] != norms.shape[-1]:
        raise ValueError(
            f"rates must be as many as the norms, {norms.shape[-1]}, got {rates.shape[-1]}"
        )
    if rates.min() < 0 or not (rates[..., 0] > 0).all():
        raise ValueError("rates must be non-negative, and that of the first layer positive")
    if not source.any():
        raise ValueError("source must not be zero: then so is a layer")
    off = np.log(norms).sum(axis=-1) - np.log(scipy.linalg.norm(source))
    if np.abs(off).max() > 1e-5:
        raise ValueError(
            "norms must multiply to the length of the source, they are off by a factor of "
            f"{np.exp(off.flat[np.abs(off).argmax()]):.10g}"
        )
    return np.broadcast_arrays(norms, rates)


def _speeds(norms, rates):
    """ζ_j = (η_j/v_j²)/(η₁/‖W₁‖²) for j = 2, …, L: a list of arrays (...)."""
    pace = rates / norms / norms
    return [pace[..., j] / pace[..., 0] for j in range(1, norms.shape[-1])]


def _check_signs(speeds, seen, unseen, better):
    """Refuse layers that may change sign; ``better``: the source beats answering zero."""
    if not speeds:
        return
    fastest = np.max(np.broadcast_arrays(*speeds), axis=0)
    none = unseen <= np.finfo(float).eps ** 2 * seen
    if not np.all(((fastest - 1) * seen < unseen) | better | none):
        raise ValueError(
            "norms and rates must keep each layer from changing its sign: none may grow, relative "
            "to its size, ‖θ_S‖²/‖P_∥θ_S‖² times as fast as the first or faster, unless the source "
            "is better on the sample than answering zero; layer_flow follows what happens else"
        )


def _inverse_depth(depth, source):
    """1/L, if a network of this depth can hold the source and learn."""
    depth = checks.depth("depth", depth)
    if depth > 1 and not source.any():
        raise ValueError(
            "source must not be zero for depth above 1: a balanced network then has zero layers, "
            "and no gradient"
        )
    return 1 / depth


def _check_seen(seen, unseen, inverse, X):
    """Refuse P_∥θ_S = 0 at infinite depth; takes ‖P_∥θ_S‖², ‖P_⊥θ_S‖² for one or more samples."""
    if np.any(inverse == 0) and np.any(seen <= _rounding(X) ** 2 * (seen + unseen)):
        raise ValueError(
            "source must not be orthogonal to all rows of X at infinite depth (P_∥θ_S ≠ 0 needed)"
        )


def _rounding(X):
    """The relative size below which a part of a vector, split by the rows of X, counts as zero."""
    return np.finfo(float).eps * max(X.shape)
