"""The scalar equation of depth: how fine-tuning scales what the sample does not see.

Semi-public: arguments are arrays that are checked already, and nothing here is promised to stay.
"""

import numpy as np
from scipy.optimize import elementwise

__all__ = ["log_scale"]

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
    total = seen + unseen
    total = np.where(total > 0, total, 1.0)  # a zero source, at depth 1: then c = 1 in any case
    seen, learned = (np.maximum(part / total, _NOTHING) for part in (seen, learned))
    unseen, change = unseen / total, change / total
    small = np.abs(change) < seen / 2
    log_ratio = np.where(small, np.log1p(small * change / seen), np.log(learned / seen)) / 2

    def difference(t, log_ratio, seen, unseen, inverse):
        exponent = 2 * (log_ratio - (1 - inverse) * t)
        growth = seen * np.expm1(exponent)
        near = np.log1p(np.maximum(growth, -0.5))
        far = np.log(seen * np.exp(exponent) + unseen)  # the same, without cancelling 1 − s
        return 2 * inverse * t - np.where(growth > -0.5, near, far)

    bracket = np.zeros_like(log_ratio), 2 * log_ratio  # twice, lest rounding exclude t = log τ
    root = elementwise.find_root(difference, bracket, args=(log_ratio, seen, unseen, inverse))
    return (1 - inverse) * root.x
