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

from lib import checks
from lib.equivalent import Spectrum
from lib.numerics import unit
from lib.problem import Population

__all__ = ["Forecast", "labels_needed", "learning_curve"]

_EXPONENTS = np.linspace(-1, 3, 17)  # of s
_NOISE = 1 / (1 + np.exp(-np.linspace(-8, 6, 36)))  # shares of the labels' variance
_RIDGES = np.append(np.geomspace(1e-6, 1e4, 51), math.inf)  # in units of tr Σ
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
        with noise alone. Below about 2 the labels cannot tell.
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
        The labelled inputs; N at least 10, better 30. Nothing is centred: for an intercept, append
        a column of ones here, to ``unlabelled``, and to the source.
    y : array (N,)
        Their labels.
    n : array of float (k,)
        Numbers of labels to forecast for, at least 0.
    source : array (d,), optional
        θ_S; None is training from scratch.
    unlabelled : array (m, d), optional
        Inputs for the spectrum of Σ, as many as there are. None takes X, which shows no more than N
        directions: unless N is several times d, the risk is then too low, by several times.
    ridge : float, optional
        δ ≥ 0 of fine-tuning; None takes the best at each n.
    level : float
        Probability of the band, between 0 and 1.
    rng : numpy.random.Generator
        Draws what the band consists of.

    Returns
    -------
    Forecast

    Notes
    -----
    (s, σ²/t) are on a grid, with equal probabilities before the labels are seen and their evidence
    after; t has the scale-free prior 1/t and is integrated out. Each curve of the band draws these
    numbers, and a gap with them. Cost: O(Nm d + d³) for the spectrum, 17 eigenvalue problems of
    size N, and O(kd) for each curve: for 50 labels, 256 features and ten n some seconds. Ten n are
    enough to interpolate. Source: prop-forecast.

    A band holds in the mean over what may be true. Where the labels say little, ``evidence`` below
    2, it is too low more often than too high, by a factor of two to three: do not plan with it. Nor
    with labels without noise that are more than d: there it is too low by a factor of about N/d.
    """
    X, y = checks.samples(X, y)
    if len(X) < 10:
        raise ValueError(f"X must have at least ten rows, got {len(X)}")
    d = X.shape[1]
    n = checks.array("n", n, (None,))
    if n.size == 0 or n.min() < 0:
        raise ValueError("n must be non-negative numbers, at least one")
    if source is not None:
        y = y - X @ checks.array("source", source, (d,))
    if not y.any():
        raise ValueError("y must differ somewhere from what the source answers")
    inputs = X if unlabelled is None else checks.samples(unlabelled, dim=d, name="unlabelled")
    ridges = _RIDGES
    if ridge is not None:
        (ridges,) = checks.amounts(ridge=ridge)
        if ridges.size != 1:
            raise ValueError(f"ridge must be one number, got {ridges.size}")
        ridges = ridges.reshape(1)
    level = checks.real("level", level, above=0, at_most=1)
    rng = checks.generator("rng", rng)

    population = Population.from_samples(inputs)
    spectrum = Spectrum(population.eigenvalues)
    if spectrum.rank == 0:
        raise ValueError("unlabelled must not be zero everywhere")
    values = population.eigenvalues[: spectrum.rank]
    if ridge is None:
        ridges = ridges * values.sum()
    size = unit(y)
    energies = (values / values[0]) ** _EXPONENTS[:, None]
    scales, squares, log = _evidence(
        population.coordinates(X)[:, : values.size], y / size, energies
    )
    probability = np.exp(log - log.max())
    probability /= probability.sum()
    cells = rng.choice(log.size, _DRAWS, p=probability.ravel())
    exponent, share = np.unravel_index(cells, log.shape)
    t = squares[exponent, share] / rng.chisquare(len(y), _DRAWS)
    noise = np.sqrt(t * _NOISE[share] / (1 - _NOISE[share]))
    curves = np.empty((_DRAWS, n.size))
    for cell in np.unique(cells):
        drawn = np.flatnonzero(cells == cell)
        prior = energies[exponent[drawn[0]]] / scales[exponent[drawn[0]]]
        relative = noise[drawn[0]] / math.sqrt(t[drawn[0]])
        tied = spectrum.level(n[:, None], ridges)
        best = tied.risk(prior, relative).argmin(axis=1)
        at = spectrum.level(n, ridges[best])
        gaps = prior * rng.standard_normal((drawn.size, values.size)) ** 2
        curves[drawn] = t[drawn, None] * at.risk(gaps, relative)
    curves *= size * size
    ends = [(1 - level) / 2, 0.5, (1 + level) / 2]
    low, middle, high = np.quantile(curves, ends, axis=0, method="nearest")
    gain = np.log(np.mean(np.exp(log - log.max()))) + log.max()
    return Forecast(
        n=n,
        risk=middle,
        low=low,
        high=high,
        noise=float(size * np.median(noise)),
        exponent=float(np.median(_EXPONENTS[exponent])),
        evidence=float(gain - _noise_alone(y / size)),
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
        so let it have some ten n, from few to many. Infinity if its largest n is not enough, its
        first n if that is: at most so many.
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


def _evidence(Z, y, energies):
    """For each s: the scale of its kernel; and for each s and share of noise yᵀ(K/t)⁻¹y, log p(y).

    K is t times the kernel of the prior, of mean diagonal 1, plus noise; t is integrated out.
    """
    scales = np.empty(len(energies))
    squares = np.empty((len(energies), _NOISE.size))
    log = np.empty_like(squares)
    noise = _NOISE / (1 - _NOISE)
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
