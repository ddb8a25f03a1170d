"""Validation of arguments, done once, at the public edge.

Every function returns the argument as a float64 array (or a Python number) and raises a
``TypeError`` or ``ValueError`` that names the argument and says what was expected.
"""

import math
from numbers import Integral, Real

import numpy as np

__all__ = [
    "aligned",
    "aligned_rows",
    "amounts",
    "array",
    "choice",
    "columns",
    "depth",
    "feature_names",
    "flat_amounts",
    "generator",
    "instance",
    "integer",
    "integers",
    "plain",
    "real",
    "rounding",
    "same_names",
    "samples",
    "symmetric",
]

_INFINITE = ("ridge", "source_ridge", "source_samples", "times")  # numbers that may be
_EPS = float(np.finfo(np.float64).eps)
_NONE = object()  # no labels asked for, where None would be wrong ones


def array(name, value, shape, *, infinite=False):
    """``value`` as a finite float64 array of ``shape``; ``None`` in ``shape`` leaves a length free.

    A leading ``...`` in ``shape`` allows any number of leading axes; ``infinite`` allows +∞.
    """
    given = _numbers(name, value, "biuf", "real numbers")
    result = given.astype(np.float64, copy=False)
    _check_shape(name, result, shape)
    if not (np.isfinite(result) | (infinite & (result == math.inf))).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity, of dtype {given.dtype}")
    return result


def integers(name, value, shape, *, booleans=False):
    """``value`` as an array of integers of ``shape``, as in ``array``; ``booleans`` on request."""
    result = _numbers(name, value, "biu" if booleans else "iu", "integers")
    _check_shape(name, result, shape)
    return result


def rounding(value):
    """The relative rounding error of the numbers in an array as it was given: float32 or so.

    Of what is no array of numbers it is that of float64; ``array`` refuses it.
    """
    try:
        kind = np.asarray(value).dtype
    except (TypeError, ValueError, RuntimeError):
        return _EPS
    return max(_EPS, float(np.finfo(kind).eps)) if kind.kind == "f" else _EPS


def _numbers(name, value, kinds, what):
    """``value`` as a plain array with a dtype of one of ``kinds``."""
    dtype = getattr(value, "dtype", None)
    special = next(_special(value), None)
    if special is not None:
        raise TypeError(
            f"{name} must be a plain array of {what}, got {type(special).__name__} "
            f"of dtype {special.dtype}"
        )
    try:
        result = np.asarray(value)
        dtype = result.dtype
        if dtype.kind == "O":
            if value is None or any(isinstance(item, str | bytes) for item in result.flat):
                raise TypeError("neither text nor None is a number")
            if "f" in kinds:
                result = result.astype(np.float64)
            elif all(isinstance(item, Integral) for item in result.flat):
                result = np.array(result.tolist())  # so that booleans stay booleans
        if result.dtype.kind not in kinds:
            raise TypeError(f"these are not {what}")
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:  # RuntimeError: gradients
        raise TypeError(
            f"{name} must be an array of {what}, got {type(value).__name__} of dtype {dtype}: "
            f"{error}"
        ) from error
    return result


def _special(value):
    """Arrays in ``value`` that are no plain ones: their masks or units would be lost."""
    if isinstance(value, np.ndarray):
        if type(value) not in (np.ndarray, np.memmap):
            yield value
    elif isinstance(value, list | tuple):
        for item in value:
            if not isinstance(item, float | int):
                yield from _special(item)


def _check_shape(name, result, shape):
    free = shape[:1] == (...,)
    wanted = shape[1:] if free else shape
    got = result.shape[max(result.ndim - len(wanted), 0) :] if free else result.shape
    if len(got) != len(wanted) or any(
        w is not None and w != g for w, g in zip(wanted, got, strict=True)
    ):
        text = ", ".join("..." if s is ... else "any" if s is None else str(s) for s in shape)
        raise ValueError(f"{name} must have shape ({text}), got {result.shape}")


def samples(X, y=_NONE, *, dim=None, name="X", outputs=False):
    """``X`` as an (n, d) array with n, d ≥ 1 (and d = ``dim``), and ``y``, if given, as (n,).

    With ``outputs``, y may also have a column for each of them, (n, k).
    """
    if y is not _NONE:
        aligned_rows(**{name: X, "y": y})
    X = array(name, X, (None, dim))
    if 0 in X.shape:
        raise ValueError(f"{name} must have at least one row and one column, got shape {X.shape}")
    if y is _NONE:
        return X
    return X, columns("y", y, len(X)) if outputs else array("y", y, (len(X),))


def aligned(**values):
    """Refuse frames and series of which two name the features otherwise, or in another order.

    Where columns have names these are the features, else where an index has; of a list of series,
    each. What has no names, or the numbers 0, 1, …, goes with anything.
    """
    parts = {}
    for name, value in values.items():
        several = isinstance(value, list | tuple)
        parts |= {f"{name}[{k}]": v for k, v in enumerate(value)} if several else {name: value}
    _same_labels("features", {name: feature_names(value) for name, value in parts.items()})


def feature_names(value):
    """The names of the features in a frame or series, a list; None if it has none."""
    names = _labels(value, "columns" if hasattr(value, "columns") else "index")
    return None if names is None or names == list(range(len(names))) else names


def same_names(**names):
    """As ``aligned``, of names that are known, or None."""
    _same_labels("features", names)


def aligned_rows(**values):
    """As ``aligned``, for the indices of rows, numbers as well."""
    _same_labels("rows", {name: _labels(value, "index") for name, value in values.items()})


def _labels(value, axis):
    labels = getattr(value, axis, None)
    # A list has a method of that name.
    return None if labels is None or callable(labels) else list(labels)


def _same_labels(what, labels):
    named = {name: found for name, found in labels.items() if found is not None}
    for name, found in named.items():
        first = next(iter(named))
        if found != named[first]:
            how = "in another order than" if set(found) == set(named[first]) else "otherwise than"
            raise ValueError(
                f"{name} must name its {what} as {first} does, but names them {how} {first}; "
                "reindex it, or pass plain arrays"
            )


def columns(name, value, length):
    """``value`` as a finite float64 array of shape (length,) or (length, any)."""
    result = array(name, value, (...,))
    return array(name, result, (length,) if result.ndim < 2 else (length, None))


def symmetric(name, value, *, at_least=1, rounding=_EPS):
    """``value`` as a finite float64 matrix of ``at_least`` so many rows, symmetric to 1e-8.

    Or to a hundred rounding errors, if they are larger.
    """
    result = array(name, value, (None, None))
    n = len(result)
    if result.shape != (n, n) or n < at_least:
        raise ValueError(
            f"{name} must be square with at least {at_least} rows, got shape {result.shape}"
        )
    tolerance = max(1e-8, 100 * rounding)
    if np.abs(result - result.T).max(initial=0) > tolerance * np.abs(result).max(initial=0):
        raise ValueError(f"{name} must be symmetric")
    return result


def real(name, value, *, above=-math.inf, at_least=-math.inf, at_most=math.inf, infinite=False):
    """``value`` as a float with ``above < value``, ``at_least <= value <= at_most``.

    It must be finite; ``infinite`` allows +∞.
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a real number, got {type(value).__name__}")
    try:
        value = float(value)
    except OverflowError as error:
        raise ValueError(f"{name} must be a number that fits a float64: {error}") from error
    within = value > above and at_least <= value <= at_most
    if within and (math.isfinite(value) or (infinite and value == math.inf)):
        return value
    limits = [
        f"{word} {limit:g}"
        for word, limit in (("above", above), ("at least", at_least), ("at most", at_most))
        if math.isfinite(limit)
    ]
    kind = "a number" if infinite else "finite"
    raise ValueError(f"{name} must be {kind}{''.join(f', {text}' for text in limits)}, got {value}")


def integer(name, value, *, at_least=None, at_most=None):
    """``value`` as an int with ``at_least <= value <= at_most``."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer, got {type(value).__name__}")
    value = int(value)
    if at_least is not None and value < at_least:
        raise ValueError(f"{name} must be at least {at_least}, got {value}")
    if at_most is not None and value > at_most:
        raise ValueError(f"{name} must be at most {at_most}, got {value}")
    return value


def depth(name, value, *, infinite=True):
    """``value`` as an int ≥ 1, or ``math.inf`` where that is allowed; 2.0 is 2, as beside ∞."""
    if infinite and isinstance(value, float | np.floating) and value == math.inf:
        return math.inf
    whole = isinstance(value, float | np.floating) and float(value).is_integer()
    return integer(name, int(value) if whole else value, at_least=1)


def amounts(**values):
    """Arrays of numbers that are not negative, of shapes that broadcast, with as many axes each.

    Ridges, ``times`` and ``source_samples`` may be infinite.
    """
    result = []
    for name, value in values.items():
        amount = array(name, value, (...,), infinite=name in _INFINITE)
        if amount.size and amount.min() < 0:
            raise ValueError(f"{name} must be at least 0, got {amount.min():g}")
        result.append(amount)
    try:
        axes = len(np.broadcast_shapes(*(amount.shape for amount in result)))
    except ValueError as error:
        raise ValueError(f"{', '.join(values)} must have shapes that broadcast: {error}") from error
    return [amount.reshape((1,) * (axes - amount.ndim) + amount.shape) for amount in result]


def flat_amounts(**values):
    """The common shape of ``amounts``, and each of them as a flat array of that many."""
    result = amounts(**values)
    shape = np.broadcast_shapes(*(amount.shape for amount in result))
    return shape, [np.broadcast_to(amount, shape).ravel() for amount in result]


def choice(name, value, options):
    """``value`` if it is one of ``options``."""
    if value not in options:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, options))}, got {value!r}")
    return value


def generator(name, value):
    """``value`` if it is a ``numpy.random.Generator``."""
    if not isinstance(value, np.random.Generator):
        raise TypeError(
            f"{name} must be a numpy.random.Generator, as numpy.random.default_rng(seed) makes, "
            f"got {type(value).__name__}"
        )
    return value


def instance(name, value, kind):
    """``value`` if it is an instance of ``kind``."""
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be a {kind.__name__}, got {type(value).__name__}")
    return value


def plain(value):
    """A float for a single number."""
    return float(value) if np.ndim(value) == 0 else value
