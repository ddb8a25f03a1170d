"""How many more labels: the learning curve to come, from the labels one has.

A gap is taken to be random, with E uᵢ² = tλᵢˢ along the eigenvectors of Σ, and the labels to have
noise σ. How probable the labels are then, is known for every t, s and σ; where this is large, the
exact risk tells the curve. So a forecast is as good as the exact risk, and as this prior: it needs
inputs whose entries are not heavy-tailed, and a misfit that behaves as noise.

Contract: a wrong type is a TypeError; a wrong shape, an entry that is not finite, or a number out
of its range a ValueError. Both name the argument.
"""

import math
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from scipy.special import logsumexp

from lib import checks
from lib.equivalent import Spectrum
from lib.numerics import ten_digits, unit
from lib.problem import Population
from lib.row_space import RowSpace

__all__ = ["Forecast", "labels_needed", "learning_curve", "length_ratio"]

_EXPONENTS = np.linspace(-1, 3, 17)  # of s
_LOGITS = np.linspace(-24, 6, 76)
_NOISE = 1 / (1 + np.exp(-_LOGITS))  # shares of the labels' variance
_PRIOR = np.log(_NOISE * (1 - _NOISE))  # of a logit, if all shares are equally probable
_EXACT = 1e-5  # of ‖y‖ left by least squares: less than noise of the least share leaves
_RIDGES = np.append(np.geomspace(1e-6, 1e4, 51), math.inf)  # in units of tr Σ
_SAME = 1e-9  # numbers that differ by less, relative to their size, count as equal
_DRAWS = 400


@dataclass(frozen=True, eq=False)
class Forecast:
    """A learning curve to come.

    Attributes
    ----------
    n : array (k,)
        Numbers of labels.
    risk, low, high : array (k,)
        Median, and the ends of the band, of the risk after fine-tuning on so many labels; without
        the noise of test labels.
    noise, exponent : float
        Medians of σ, and of s in E uᵢ² = tλᵢˢ.
    evidence : float
        By how much the labels are more probable, in its logarithm, with something to learn than
        with noise alone; beside an intercept, if a column of X is constant. Below about 2 the
        labels cannot tell.
    level : float
        The probability that the band is to have.
    curves : array (draws, k)
        The curves behind the band, of equal probability.
    noises : array (draws,)
        σ of each. Errors on labels have the quantiles of ``curves + noises[:, None] ** 2``; adding
        the median ``noise`` to a band makes it too narrow.
    """

    n: np.ndarray
    risk: np.ndarray
    low: np.ndarray
    high: np.ndarray
    noise: float
    exponent: float
    evidence: float
    level: float
    curves: np.ndarray
    noises: np.ndarray


def learning_curve(X, y, n, *, source=None, unlabelled=None, ridge=None, level=0.8, rng):
    """Forecast the risk after fine-tuning on n labels from the few that one has.

    Parameters
    ----------
    X : array (N, d)
        The labelled inputs; N at least 10, better 30. Nothing is centred: for an intercept take
        the features of ``features.Standard``, here and for ``unlabelled``.
    y : array (N,)
        Their labels.
    n : array of float (k,)
        Numbers of labels to forecast for, at least 0.
    source : array (d,), optional
        θ_S; None is training from scratch.
    unlabelled : array (m, d) or Population, optional
        Inputs for the spectrum of Σ, as many as there are, or what they make, if it serves several
        forecasts. None takes X, which shows no more than N directions: unless N is several times d,
        the risk is then too low, by several times.
    ridge : float, optional
        δ ≥ 0 of fine-tuning; None takes at each n the best in the mean over the gaps of a law.
    level : float
        Probability of the band, between 0 and 1.
    rng : numpy.random.Generator
        Draws what the band consists of.

    Returns
    -------
    Forecast

    Notes
    -----
    s and the share of noise in the labels are on a grid. Before the labels are seen all s are
    equally probable, and all shares; t has the scale-free prior 1/t and is integrated out. Each
    curve of the band draws these numbers, and a gap with them. Cost: O(Nm d + d³) for the spectrum,
    17 eigenvalue problems of size N, and O(kd) for each curve: for 50 labels, 64 features and ten n
    some 50 ms. Ten n are enough to interpolate. Source: prop-forecast.

    A band holds in the mean over what may be true. Where the labels say little, ``evidence`` below
    2, the risk is off by a factor of two to three, mostly too low: do not plan with it. A misfit
    that grows with the length of the input is taken for something to learn: then the forecast is
    far too low; ``length_ratio`` tells. Compare leave-one-out errors with the forecast for N − 1,
    too.
    """
    X, y, population = _samples(X, y, source, unlabelled)
    n = checks.array("n", n, (None,))
    if n.size == 0 or n.min() < 0:
        raise ValueError("n must be non-negative numbers, at least one")
    ridges = _RIDGES
    if ridge is not None:
        (ridges,) = checks.amounts(ridge=ridge)
        if ridges.size != 1:
            raise ValueError(f"ridge must be one number, got {ridges.size}")
        ridges = ridges.reshape(1)
    level = checks.real("level", level, above=0, at_most=1)
    rng = checks.generator("rng", rng)

    spectrum = Spectrum(population.eigenvalues)
    values = population.eigenvalues[: spectrum.rank]
    if ridge is None:
        ridges = ridges * values.sum()
    size = unit(y)
    energies = (values / values[0]) ** _EXPONENTS[:, None]
    Z, labels = population.coordinates(X)[:, : values.size], y / size
    scales, squares, log, count, evidence = _posterior(Z, labels, energies)
    heights = np.abs(X).max(axis=0)
    if ((heights > 0) & (np.ptp(X, axis=0) <= _SAME * heights)).any():  # an intercept: no evidence
        contrasts = scipy.linalg.qr(np.ones((len(y), 1)))[0][:, 1:].T
        varied = np.ptp(labels) > _SAME * np.abs(labels).max()
        evidence = _posterior(contrasts @ Z, contrasts @ labels, energies)[-1] if varied else 0.0
    probability = np.exp(log - log.max())
    probability /= probability.sum()
    cells = rng.choice(log.size, _DRAWS, p=probability.ravel())
    exponent, share = np.unravel_index(cells, log.shape)
    t = squares[exponent, share] / rng.chisquare(count, _DRAWS)
    noise = np.sqrt(t * _NOISE[share] / (1 - _NOISE[share]))
    curves = np.empty((_DRAWS, n.size))
    tied = spectrum.level(n[:, None], ridges)
    for cell in np.unique(cells):
        drawn = np.flatnonzero(cells == cell)
        prior = energies[exponent[drawn[0]]] / scales[exponent[drawn[0]]]
        relative = noise[drawn[0]] / math.sqrt(t[drawn[0]])
        best = tied.risk(prior, relative).argmin(axis=1)
        at = spectrum.level(n, ridges[best])
        gaps = prior * rng.standard_normal((drawn.size, values.size)) ** 2
        curves[drawn] = t[drawn, None] * at.risk(gaps, relative)
    curves *= size * size
    ends = [(1 - level) / 2, 0.5, (1 + level) / 2]
    low, middle, high = np.quantile(curves, ends, axis=0, method="nearest")
    return Forecast(
        n=n,
        risk=middle,
        low=low,
        high=high,
        noise=float(size * np.median(noise)),
        exponent=float(np.median(_EXPONENTS[exponent])),
        evidence=float(evidence),
        level=level,
        curves=curves,
        noises=size * noise,
    )


def labels_needed(forecast, risk):
    """The number of labels from which on the risk is at most ``risk``: (estimate, low, high).

    Parameters
    ----------
    forecast : Forecast
        Its n ascending.
    risk : float
        At least 0; without the noise of test labels.

    Returns
    -------
    tuple of three floats
        Median and ends of the band over the curves of the forecast, interpolated in the logarithms:
        so let it have some ten n, from few to many. Infinity if its largest n is not enough. An
        answer equal to its first n means: at most so many.
    """
    checks.instance("forecast", forecast, Forecast)
    risk = checks.real("risk", risk, at_least=0)
    n, curves = forecast.n, forecast.curves
    if (np.diff(n) <= 0).any():
        raise ValueError("forecast must have ascending n")
    above = curves > risk
    last = n.size - 1 - np.argmax(above[:, ::-1], axis=1)  # the last n at which the risk is above
    after = np.minimum(last + 1, n.size - 1)
    rows = np.arange(len(curves))
    with np.errstate(divide="ignore", invalid="ignore"):
        high, low = np.log(curves[rows, last]), np.log(curves[rows, after])
        share = (high - np.log(risk)) / (high - low)
        needed = n[last] * (n[after] / n[last]) ** share
    needed = np.where(n[last] > 0, needed, n[after])
    needed = np.where(last == n.size - 1, math.inf, needed)
    needed = np.where(above.any(axis=1), needed, n[0])
    ends = [0.5, (1 - forecast.level) / 2, (1 + forecast.level) / 2]
    return tuple(float(q) for q in np.quantile(needed, ends, method="nearest"))


def length_ratio(X, y, *, source=None, unlabelled=None):
    """By how much squared errors are larger where inputs are long: a check before a forecast.

    Parameters
    ----------
    X, y, source, unlabelled
        As in ``learning_curve``.

    Returns
    -------
    float
        The mean squared leave-one-out error of the longer half of the inputs over that of the
        others. Lengths are ‖x̄‖, of Σ^(−1/2)x; the ridge is that of the least error. Near 1 where
        the misfit behaves as noise. Well above, a forecast takes it for something to learn, and is
        too low.

    Notes
    -----
    Cost: O(m d² + d³) for the spectrum, O(N³) for each of 25 ridges. Source: prop-forecast,
    prop-loo.
    """
    X, y, population = _samples(X, y, source, unlabelled)
    values = population.eigenvalues[: np.count_nonzero(population.eigenvalues)]
    lengths = np.sum(population.coordinates(X)[:, : values.size] ** 2 / values, axis=1)
    space, labels = RowSpace(X), y / unit(y)
    ridges = np.geomspace(1e-6, 1e2, 25) * values.sum()
    errors = np.square([space.leave_one_out(labels, ridge) for ridge in ridges])
    errors = errors[np.argmin(ten_digits(errors.mean(axis=1)))]
    order = np.argsort(ten_digits(lengths), kind="stable")
    short, long = np.array_split(errors[order], 2)
    return float(long.mean() / short.mean())


def _samples(X, y, source, unlabelled):
    """Checked inputs, what the source misses on them, and the population for the spectrum."""
    checks.aligned(X=X, source=source, unlabelled=unlabelled)
    X, y = checks.samples(X, y)
    if len(X) < 10:
        raise ValueError(f"X must have at least ten rows, got {len(X)}")
    if source is not None:
        y = y - X @ checks.array("source", source, (X.shape[1],))
    if not y.any():
        raise ValueError("y must differ somewhere from what the source answers")
    if isinstance(unlabelled, Population):
        population = unlabelled
        if population.dim != X.shape[1]:
            raise ValueError(f"unlabelled must have dimension {X.shape[1]}, got {population.dim}")
    else:
        inputs = X if unlabelled is None else unlabelled
        inputs = checks.samples(inputs, dim=X.shape[1], name="unlabelled")
        population = Population.from_samples(inputs)
    if not population.eigenvalues.any():
        raise ValueError("unlabelled must not be zero everywhere")
    return X, y, population


def _without_empty(Z, y):
    """Z and y, or if Z explains y exactly as few rows as tell the same.

    The coordinates of y outside the range of Z are zero then. As labels without noise they say
    nothing of t; counted among those that do, they would make it too small by rank/N.
    """
    U, s, _ = np.linalg.svd(Z, full_matrices=False)
    U = U[:, s > len(Z) * np.finfo(float).eps * s[0]]
    inside = U.T @ y
    if U.shape[1] == len(y) or np.linalg.norm(y - U @ inside) > _EXACT * np.linalg.norm(y):
        return Z, y
    return U.T @ Z, inside


def _posterior(Z, y, energies):
    """Of each s and share of noise: scale, yᵀ(K/t)⁻¹y, log p; the labels that count; the evidence.

    log p is that of y with s and the share, up to a constant.
    """
    Z, labels = _without_empty(Z, y)
    shares = np.s_[: 1 if len(labels) < len(y) else None]  # labels that X explains have no noise
    scales, squares, log = _evidence(Z, labels, energies, _NOISE[shares])
    log += _PRIOR[shares] - logsumexp(_PRIOR[shares]) - np.log(len(energies))
    return scales, squares, log, len(labels), logsumexp(log) - _noise_alone(labels)


def _evidence(Z, y, energies, shares):
    """For each s: the scale of its kernel; and for each s and share of noise yᵀ(K/t)⁻¹y, log p(y).

    K is t times the kernel of the prior, of mean diagonal 1, plus noise; t is integrated out.
    """
    scales = np.empty(len(energies))
    squares = np.empty((len(energies), shares.size))
    log = np.empty_like(squares)
    noise = shares / (1 - shares)
    for k, prior in enumerate(energies):
        kernel = (Z * prior) @ Z.T
        scales[k] = np.trace(kernel) / len(y) or 1.0
        values, vectors = np.linalg.eigh(kernel / scales[k])
        total = np.maximum(values, 0) + noise[:, None]
        squares[k] = np.sum((y @ vectors) ** 2 / total, axis=1)
        log[k] = -np.log(total).sum(axis=1) / 2 - len(y) / 2 * np.log(squares[k])
    return scales, squares, log


def _noise_alone(y):
    """log p(y) if labels are noise alone, with the same prior of its size."""
    return -len(y) / 2 * np.log(y @ y)
