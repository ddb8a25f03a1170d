"""Numbers of any scale, and decisions on them that come out the same on every machine."""

import math

import numpy as np
from scipy.optimize import elementwise

__all__ = ["minima", "ten_digits", "unit", "units"]

_SCAN = 4  # points per unit of log t; what is scanned varies over units of 1 or more
_TRUSTED = -1e-12  # slopes above are zero, up to rounding


def ten_digits(values, scale=0.0):
    """Numbers rounded to ten significant digits, so that what ties in exact arithmetic ties here.

    The last digits of a computed number depend on the machine. Whatever ranks, orders, counts or
    compares such numbers, or takes their sign, does so after rounding them.

    Parameters
    ----------
    values : float or array
        Numbers, infinities and NaN included.
    scale : float
        The size of what was added up to make them: multiples of 10⁻¹⁰ of its power of ten are kept,
        and what is smaller is 0. By default only the numbers themselves count.

    Returns
    -------
    array of the shape of ``values``

    Notes
    -----
    Two numbers either side of a rounding boundary still differ; for numbers that agree to 10⁻¹⁵
    that is one pair in 10⁵. Cost: about a microsecond a number.

    Examples
    --------
    >>> ten_digits([0.1 + 0.2, 1e-17], scale=1.0).tolist()
    [0.3, 0.0]
    """
    values = np.asarray(values, dtype=float)
    if scale > 0:
        unit = 10.0 ** (np.floor(np.log10(scale)) - 10)
        values = np.where(np.isfinite(values), np.round(values / unit) * unit, values)
    return np.strings.mod("%.9e", values).astype(float) + 0.0  # no −0


def unit(*arrays):
    """A power of two near the largest entry of ``arrays``; 1 if all entries are zero.

    Dividing by it rounds nothing, and squares of what is left neither over- nor underflow.
    """
    largest = max(float(np.abs(array).max(initial=0.0)) for array in arrays)
    return float(2.0 ** (np.frexp(largest)[1] - 1)) if largest > 0 else 1.0


def units(vectors):
    """The ``unit`` of each vector of ``vectors`` (..., d), as (..., 1)."""
    largest = np.abs(vectors).max(axis=-1, keepdims=True, initial=0.0)
    return np.where(largest > 0, np.exp2(np.frexp(largest)[1] - 1.0), 1.0)


def minima(slope, low, high):
    """The points t of [``low``, ``high``] at which a function has a minimum.

    Parameters
    ----------
    slope : callable
        Takes log t, an array, to the derivatives there, divided by the size of their terms: only
        below −10⁻¹² are they trusted to be negative.
    low, high : float
        Positive.

    Returns
    -------
    array
        Minima that a scan of 4 points per unit of log t separates, ascending.
    """
    low, high = math.log(low), math.log(high)
    scan = np.linspace(low, high, 2 + math.ceil(_SCAN * (high - low)))
    slopes = slope(scan)
    turns = np.flatnonzero((slopes[:-1] < _TRUSTED) & (slopes[1:] >= 0))
    if turns.size == 0:
        return scan[:0]
    return np.exp(elementwise.find_root(slope, (scan[turns], scan[turns + 1])).x)
