"""The scalar equation of depth: how fine-tuning scales what the sample does not see.

Semi-public: arguments are arrays that are checked already, and nothing here is promised to stay.
"""

import numpy as np
from scipy.optimize import elementwise

__all__ = ["log_scale", "log_scale_of_layers"]

_NOTHING = 1e-128  # the share of ‖θ_S‖² that stands for none, so that logarithms stay finite


def log_scale(seen, unseen, learned, change, inverse):
    """log c_L = log(‖β‖/‖θ_S‖)^{(L−1)/L}, from the one scalar equation of thm-deep-bias.

    Parameters
    ----------
    seen, unseen, learned : float or array
        ‖P_∥θ_S‖², ‖P_⊥θ_S‖² and ‖P_∥θ_T‖², of any shapes that broadcast, as do the next two.
    change : float or array
        ‖P_∥θ_T‖² − ‖P_∥θ_S‖², apart, which keeps its digits where it is small.
    inverse : float or array
        1/L, between 0 (infinite depth) and 1.

    Returns
    -------
    array

    Notes
    -----
    Let t = log(‖β‖/‖θ_S‖), p = 1 − 1/L, s = ‖P_∥θ_S‖²/‖θ_S‖², τ = ‖P_∥θ_T‖/‖P_∥θ_S‖. The equation
    ‖β‖² = ‖P_∥θ_T‖² + c²‖P_⊥θ_S‖², divided by c²‖θ_S‖² = e^{2pt}‖θ_S‖², is

        e^{2t/L} = sτ²e^{−2pt} + 1 − s,    that is    2t/L = log1p(s expm1(2(log τ − pt))).

    The left side does not fall with t, the right does not grow, and one of them moves: one root. It
    lies between t = 0 and t = log τ, because s ≤ 1. At infinite depth it is log τ, and nothing here
    is special about it; nor about P_∥θ_T = 0, the limit τ → 0, where the first equation has two
    roots: ‖β‖ = 0 and ‖β‖ = ‖θ_S‖(‖P_⊥θ_S‖/‖θ_S‖)^L. The flow never falls below the second, the
    lower bound of thm-deep-bias, which is the one that the division leaves. Cost: some ten
    evaluations for each element. Source: thm-deep-bias, thm-deep-limit.
    """
    seen, unseen, log_ratio = _shares(seen, unseen, learned, change)

    def difference(t, log_ratio, seen, unseen, inverse):
        return 2 * inverse * t - _log_mean(2 * (log_ratio - (1 - inverse) * t), seen, unseen)

    bracket = np.zeros_like(log_ratio), 2 * log_ratio  # twice, lest rounding exclude t = log τ
    root = elementwise.find_root(difference, bracket, args=(log_ratio, seen, unseen, inverse))
    return (1 - inverse) * root.x


def log_scale_of_layers(seen, unseen, learned, change, speeds):
    """log c = Σ_{j≥2} log(v_j(∞)/v_j(0)), from the one scalar equation of thm-layers.

    Parameters
    ----------
    seen, unseen, learned, change : float or array
        As in ``log_scale``.
    speeds : list of L − 1 floats or arrays
        ζ_j = (η_j/v_j²)/(η₁/‖u‖²) ≥ 0 at the start, for j = 2, …, L: how fast a layer grows,
        relative to its size, as the first one does by one part in two. 1 if balanced, 0 if frozen.

    Returns
    -------
    array

    Notes
    -----
    Let ξ = (x − ‖u(0)‖²)/‖u(0)‖². Then v_j(∞)²/v_j(0)² = 1 + ζ_jξ, and the equation of thm-layers
    is (1 + ξ/s) ∏_j (1 + ζ_jξ) = (‖P_∥θ_T‖/‖P_∥θ_S‖)², with s = ‖P_∥θ_S‖²/‖θ_S‖². It is solved for
    w, the logarithm of the factor that changes most: the others are weighted means of e^w and 1, so
    that none loses its digits near 0. Source: thm-layers.
    """
    speeds = [np.asarray(speed, dtype=float) for speed in speeds]
    if not speeds:
        return np.zeros(np.broadcast(seen, unseen, learned, change).shape)
    seen, unseen, log_ratio = _shares(seen, unseen, learned, change)
    fastest = np.max(np.broadcast_arrays(*speeds), axis=0)
    ahead = np.maximum((fastest - 1) * seen - unseen, 0)  # s max ζ − 1, if above 0
    parts = [(np.ones_like(seen), ahead)]  # of each factor: the weights of e^w and 1
    for speed in speeds:
        behind = np.where(ahead > 0, (fastest - speed) * seen, unseen + (1 - speed) * seen)
        parts.append((speed * seen, behind))
    parts = [np.broadcast_arrays(*(part / (1 + ahead) for part in pair)) for pair in parts]

    def difference(w, log_ratio, *parts):
        pairs = zip(parts[::2], parts[1::2], strict=True)
        return sum(_log_mean(w, *pair) for pair in pairs) - 2 * log_ratio

    weights = [weight for pair in parts for weight in pair]
    bracket = np.zeros_like(log_ratio), 2.2 * log_ratio  # a bit more, lest rounding exclude the end
    root = elementwise.find_root(difference, bracket, args=(log_ratio, *weights))
    return sum(_log_mean(root.x, *pair) for pair in parts[1:]) / 2


def _shares(seen, unseen, learned, change):
    """‖P_∥θ_S‖² and ‖P_⊥θ_S‖² as shares of ‖θ_S‖², and log(‖P_∥θ_T‖/‖P_∥θ_S‖)."""
    total = seen + unseen
    total = np.where(total > 0, total, 1.0)  # a zero source, at depth 1: then c = 1 in any case
    seen, learned = (np.maximum(part / total, _NOTHING) for part in (seen, learned))
    unseen, change = unseen / total, change / total
    small = np.abs(change) < seen / 2
    log_ratio = np.where(small, np.log1p(small * change / seen), np.log(learned / seen)) / 2
    return seen, unseen, log_ratio


def _log_mean(exponent, share, rest):
    """log(share · e^exponent + rest), for share + rest = 1."""
    growth = share * np.expm1(exponent)
    near = np.log1p(np.maximum(growth, -0.5))
    far = np.log(share * np.exp(exponent) + rest)  # the same, without cancelling 1 − share
    return np.where(growth > -0.5, near, far)
