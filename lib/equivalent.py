"""Deterministic equivalents: what n samples see, in the mean, of inputs with a given spectrum.

Equivalents are asymptotically exact under conditions, which ``exact_risk`` states. Everything
follows from one number, the effective ridge κ: direction i is seen to the share sᵢ = λᵢ/(λᵢ + κ),
and what is asked of the mean are sums of powers of sᵢ and rᵢ = 1 − sᵢ. A gap enters through its
*energies* alone, its mean squares uᵢ² along the eigenvectors.

Semi-public: arguments are arrays that are checked already, and nothing here is promised to stay.
``exact_risk`` has the functions for problems. Source: thm-exact-risk; Hastie et al. 2022; Simon et
al. 2023.
"""

import functools
import math

import numpy as np

from lib.numerics import unit

__all__ = ["Level", "Spectrum"]

_EPS, _TINY = np.finfo(float).eps, np.finfo(float).tiny
_TILE = 1 << 15  # entries of a table (κ, λ) computed at a time: a tile stays in the cache
_INFINITY = 1e100  # κ/λ₁ at which every direction is unseen, to the last digit
_LARGEST = 1e300  # κ/λ₁ that stands for infinity in sums
_RATIO = 3.0  # eigenvalues within this ratio of each other,
_POINTS = 26  # if twice as many, are worth so many points: 26 = log ε/log(2 + √3)
_STEPS = 200  # more than bisection needs for any range of floats
_MANY = 8  # values of n from which on it pays to find the points


class Spectrum:
    """The eigenvalues of Σ; equal ones are taken together, zero ones left out.

    Parameters
    ----------
    eigenvalues : array (d,)
        λ, non-negative, in descending order.

    Attributes
    ----------
    unit : float
        A power of two near λ₁; ``values`` are in this unit, so that no square over- or underflows.
    values, counts : array (k,)
        The distinct positive eigenvalues, and how many directions belong to each.
    rank : int
        The number of positive eigenvalues.
    """

    def __init__(self, eigenvalues):
        self.rank = np.count_nonzero(eigenvalues)
        self.unit = unit(eigenvalues)
        values = eigenvalues[: self.rank] / self.unit
        self._first = np.flatnonzero(np.diff(values, prepend=math.inf))
        self.values = values[self._first]
        self.counts = np.diff(np.append(self._first, self.rank)).astype(float)

    def level(self, n, ridge=0.0):
        """The level at n samples with ``ridge`` δ; arrays of any shapes that broadcast."""
        n, ridge = np.broadcast_arrays(n, np.asarray(ridge) / self.unit)
        return Level(self, n, ridge, self._solve(n, ridge))

    def at(self, kappa, n=None):
        """The level with this κ > 0, in units of ``unit``: of n samples with the ridge it takes.

        Or, where n is None, without ridge, at whatever n has it.
        """
        ridge = 0.0 if n is None else -kappa * _excess(kappa, self.values, self.counts, n)[0]
        return Level(self, n, ridge, kappa)

    def collect(self, energies):
        """The sums of ``energies`` (..., d) over the directions of each of ``values``, (..., k)."""
        energies = energies[..., : self.rank]
        if self.values.size == self.rank:
            return energies
        return np.add.reduceat(energies, self._first, axis=-1)

    def points(self, many):
        """Values and counts to sum over; if for ``many`` κ, fewer, where that pays."""
        return (self._nodes, self._weights) if many else (self.values, self.counts)

    def condense(self, weights, many):
        """The ``weights`` (m, k) that belong to ``points``."""
        return _condense(self.values, self._groups, weights) if many else weights

    @functools.cached_property
    def _groups(self):
        return list(_groups(self.values))

    @functools.cached_property
    def _nodes(self):
        parts = [self.values[part] if nodes is None else nodes for part, nodes in self._groups]
        return np.concatenate([self.values[:0], *parts])

    @functools.cached_property
    def _weights(self):
        """The counts at the nodes, such that their sums are whole at the end of each group.

        To the last digit, for κ may lie in a wide gap below.
        """
        weights = self.condense(self.counts[None], True)[0]
        stop, upto = 0, np.cumsum(self.counts)
        for part, nodes in self._groups:
            stop += upto[part].size if nodes is None else nodes.size
            weights[stop - 1] += upto[part][-1] - np.cumsum(weights[:stop])[-1]
        return weights

    def _solve(self, n, ridge):
        """κ at each n and ridge, in units of ``unit``: ∞ at n = 0 or infinite ridge."""
        upto = np.concatenate([[0.0], np.cumsum(self.counts)])
        kappa = np.where((n < 1 / _INFINITY) | np.isinf(ridge), math.inf, 0.0)
        free = (kappa == 0) & ((ridge > _TINY) | (n < self.rank))
        points = self.points(n.size >= _MANY)
        n, ridge = n[free], ridge[free]
        if n.size == 0:
            return kappa
        # The left side is at least j λ_j/(λ_j + κ), here with j near 2n, and at least δ/κ; and at
        # most k + (Σ_{i>k} λᵢ + δ)/κ, here with k near n/2.
        j = np.minimum(np.searchsorted(upto, 2 * n), self.values.size)
        k = np.searchsorted(upto, n / 2, side="right") - 1
        tails = np.append(np.cumsum((self.counts * self.values)[::-1])[::-1], 0.0)
        low = np.maximum(np.append(0.0, self.values)[j] * (upto[j] - n), ridge) / n
        high = (tails[k] + ridge) / (n - upto[k])
        kappa[free] = np.exp(_newton(points, n, ridge, np.log(low), np.log(high)))
        return kappa


class Level:
    """What n samples see, as arrays of the shape of n.

    Attributes
    ----------
    kappa, ridge : array
        κ and δ, in the units of the eigenvalues; κ is infinite without data or with infinite ridge.
    n, df2, spare : array
        The number of samples; df₂ = Σᵢ sᵢ²; and n − df₂, computed without the subtraction.
    """

    def __init__(self, spectrum, n, ridge, kappa):
        self._spectrum = spectrum
        self.kappa, self.ridge = kappa * spectrum.unit, ridge * spectrum.unit
        # Not infinite: it is multiplied by what vanishes.
        self._kappa = np.minimum(kappa, _LARGEST * spectrum.values.max(initial=0))
        self._many = kappa.size >= _MANY
        self._values, counts = spectrum.points(self._many)
        (self.df2,), (spare,) = self._sums((2, 0, counts[None]), (1, 1, counts[None]))
        if n is None:
            self.n, self.spare = spare + self.df2, spare
            return
        kappa = self._kappa
        spare = spare + np.divide(ridge, kappa, out=np.zeros(kappa.shape), where=kappa > 0)
        spare = np.where(np.isinf(ridge), n, spare)
        self.n, self.spare = n, np.maximum(spare, n - spectrum.rank)

    @property
    def df1(self):
        """df₁ = Σᵢ sᵢ, which is n − δ/κ."""
        _, counts = self._spectrum.points(self._many)
        return self._sums((1, 0, counts[None]))[0][0]

    def seen(self, energies):
        """Σᵢ sᵢ eᵢ for ``energies`` (..., d): how much of a vector the samples see, (..., *n)."""
        return np.where(self.n > 0, self._total(energies, 1, 0), 0.0)

    def bias(self, energies):
        """Σᵢ λᵢ rᵢ² eᵢ: what is unseen of ``energies`` (..., d), as Σ measures it, (..., *n)."""
        return self._spectrum.unit * self._total(energies, 0, 2, self._spectrum.values)

    def missing(self, energies):
        """Σᵢ λᵢ rᵢ eᵢ = κ Σᵢ sᵢ eᵢ: what as many random features miss, (..., *n)."""
        return self._spectrum.unit * self._total(energies, 0, 1, self._spectrum.values)

    def spread(self, energies, noise=0.0):
        """(R + σ²)/n = (bias + σ²)/(n − df₂) for ``energies`` (..., d) and σ = ``noise``."""
        return self._spread(self.bias(energies), noise)

    def risk(self, energies, noise=0.0):
        """E R = (bias + σ²)/(1 − df₂/n) − σ² without subtractions, (..., *n).

        Without noise it is linear in the ``energies`` (..., d), which may be mixed products.
        """
        return self.amplified(self.bias(energies), noise)

    def amplified(self, bias, noise=0.0):
        """E R for a given ``bias``, of any shape that n broadcasts to."""
        with np.errstate(over="ignore", invalid="ignore"):
            return bias + np.where(self.df2 > 0, self.df2 * self._spread(bias, noise), 0.0)

    def _spread(self, bias, noise):
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            unseen = np.where(self.spare > 0, bias / self.spare, 0.0)
            noise = np.where(np.equal(noise, 0), 0.0, noise / np.sqrt(self.spare))
            return np.where(self.n == 0, 0.0, unseen + noise**2)

    def pull(self, energies):
        """κ Σᵢ wᵢeᵢ/Σᵢ wᵢ with wᵢ = λᵢ²/(λᵢ + κ)³, for one vector of ``energies`` (d,).

        With more ridge the risk falls as long as this is below ``spread``.
        """
        spectrum = self._spectrum
        weights = np.stack([spectrum.collect(energies), spectrum.counts])
        ((felt, weight),) = self._sums((2, 1, spectrum.condense(weights, self._many)))
        return self.kappa * felt / weight

    def shares(self, eigenvalues):
        """The sᵢ and rᵢ of given positive ``eigenvalues`` (k,), (*n, k) each."""
        eigenvalues = eigenvalues / self._spectrum.unit
        total = eigenvalues + self._kappa[..., None]
        return eigenvalues / total, self._kappa[..., None] / total

    def _total(self, energies, p, q, factor=1.0):
        """Σᵢ factorᵢ sᵢ^p rᵢ^q eᵢ, of the shape (..., *n)."""
        energies = np.asarray(energies)
        batch = energies.shape[:-1]
        weights = factor * self._spectrum.collect(energies).reshape(math.prod(batch), -1)
        (sums,) = self._sums((p, q, self._spectrum.condense(weights, self._many)))
        return sums.reshape(batch + self._kappa.shape)

    def _sums(self, *terms):
        """Σᵢ wᵢ sᵢ^p rᵢ^q for each (p, q, w (m, points)) of ``terms``: (m, *n)."""
        flat = self._kappa.ravel()
        sums = [np.zeros((len(w), flat.size)) for *_, w in terms]
        for tile in _tiles(self._values.size, flat.size):
            whole = self._values[tile] + flat[:, None]
            seen, unseen = self._values[tile] / whole, flat[:, None] / whole
            for total, (p, q, w) in zip(sums, terms, strict=True):
                factors = functools.reduce(np.multiply, p * [seen] + q * [unseen])
                total += np.einsum("nd,md->mn", factors, w[:, tile])
        return [total.reshape(len(total), *self._kappa.shape) for total in sums]


# Fewer points that stand for the eigenvalues in sums.


def _groups(values):
    """Ranges of ``values`` within a factor of 3, and Chebyshev points for those with many.

    For f analytic but for a pole at −κ < 0, as all that are summed here are, the interpolant at
    these points is off by (2 + √3)⁻²⁶ of the largest f: a rounding error.
    """
    numbers = np.floor(np.log(values[:1] / values) / math.log(_RATIO))
    starts = np.flatnonzero(np.diff(numbers, prepend=-1))
    angles = np.linspace(0, np.pi, _POINTS)
    for start, stop in zip(starts, np.append(starts[1:], values.size), strict=True):
        first, last = values[start], values[stop - 1]
        nodes = last + (first - last) * (1 + np.cos(angles)) / 2
        nodes[[0, -1]] = first, last
        yield slice(start, stop), nodes if stop - start > 2 * _POINTS else None


def _condense(values, groups, weights):
    """Weights (m, ·) at the points that have the same sums Σᵢ wᵢf(λᵢ) as ``weights`` (m, k).

    Each f is replaced by its interpolant, in barycentric form. The new weights may be negative, but
    hardly cancel.
    """
    signs = np.where(np.arange(_POINTS) % 2, -1.0, 1.0)
    signs[[0, -1]] /= 2
    parts = [weights[:, :0]]
    for part, nodes in groups:
        group, inside = values[part], weights[:, part]
        if nodes is not None:
            total = np.zeros((len(weights), _POINTS))
            for tile in _tiles(group.size, _POINTS):
                away = group[tile, None] - nodes
                with np.errstate(divide="ignore", invalid="ignore"):
                    basis = signs / away
                    whole = basis.sum(axis=1)
                hit = ~np.isfinite(whole)  # an eigenvalue that is one of the points
                basis[hit], whole[hit] = away[hit] == 0, 1
                total += (inside[:, tile] / whole) @ basis
            inside = total
        parts.append(inside)
    return np.concatenate(parts, axis=1)


# The effective ridge.


def _newton(points, n, ridge, low, high):
    """log κ between ``low`` and ``high``: Newton's method, and bisection where it would leave.

    In log κ, |f″| ≤ |f′| for the left side f of the equation: once within a tenth, four steps do.
    """
    low, high = low - 0.1, high + 0.1  # so that rounding cannot hide the change of sign
    x = (low + high) / 2
    for _ in range(_STEPS):
        kappa = np.exp(x)
        excess, slope = _excess(kappa, *points, n)
        excess, slope = excess + ridge / kappa, slope - ridge / kappa
        low, high = np.where(excess > 0, x, low), np.where(excess > 0, high, x)
        # Of log f, which is nearly linear where f is a power of κ.
        with np.errstate(divide="ignore", invalid="ignore"):
            new = x - np.log1p(excess / n) * (excess + n) / slope
        new = np.where((low <= new) & (new <= high), new, (low + high) / 2)
        moved, x = np.abs(new - x), new
        if (moved <= 4 * _EPS * np.maximum(np.abs(x), 1)).all():
            break
    return x


def _excess(kappa, values, counts, n):
    """Σᵢ λᵢ/(λᵢ + κ) − n, and its slope in log κ.

    The eigenvalues above κ are counted, and only the rest is rounded.
    """
    upto = np.concatenate([[0.0], np.cumsum(counts)])
    excess = upto[np.searchsorted(-values, -kappa)] - n
    slope = np.zeros_like(excess)
    kappa = kappa[:, None]
    for tile in _tiles(values.size, kappa.size):
        part = np.where(values[tile] > kappa, -kappa, values[tile])
        part /= values[tile] + kappa
        excess += part @ counts[tile]
        np.abs(part, out=part)
        slope -= (part - part * part) @ counts[tile]
    return excess, slope


def _tiles(columns, rows):
    """Slices of the columns of a table that is too large to be held."""
    width = max(1, _TILE // max(rows, 1))
    return (slice(start, start + width) for start in range(0, columns, width))
