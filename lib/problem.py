"""The setting: a population of inputs, and a pair of linear teachers on it.

Contract: a wrong type is a TypeError; a wrong shape, an entry that is not finite, or a number out
of its range a ValueError. Both name the argument.
"""

from dataclasses import dataclass

import numpy as np
import scipy.linalg

from lib import checks
from lib.row_space import row_space

__all__ = ["LAWS", "Population", "TransferProblem", "kernel_problem"]

LAWS = ("gaussian", "rademacher", "student", "sphere")
_STUDENT_DOF = 5  # the heaviest integer tail whose fourth moment is finite


@dataclass(frozen=True, eq=False)
class Population:
    """Inputs x ∈ ℝ^d, known through Σ = E[xxᵀ] = V diag(λ₁ ≥ … ≥ λ_d) Vᵀ.

    Parameters
    ----------
    eigenvalues : array (d,)
        λ, non-negative, in descending order.
    eigenvectors : array (d, d), optional
        V, orthonormal columns, in the order of ``eigenvalues``. None is the standard basis, and
        then nothing here costs more than O(d) per vector.

    Raises
    ------
    ValueError
        If an eigenvalue is negative or out of order, or the columns are not orthonormal to 1e-8.

    Notes
    -----
    Source: theory, "Setting and notation".
    """

    eigenvalues: np.ndarray
    eigenvectors: np.ndarray | None = None

    def __post_init__(self):
        eigenvalues = checks.array("eigenvalues", self.eigenvalues, (None,)).copy()
        if eigenvalues.size == 0:
            raise ValueError("eigenvalues must have at least one entry, got none")
        if eigenvalues[-1] < 0 or eigenvalues.min() < 0:
            raise ValueError(f"eigenvalues must be non-negative, got {eigenvalues.min():g}")
        if (np.diff(eigenvalues) > 0).any():
            raise ValueError("eigenvalues must be in descending order")
        eigenvalues.flags.writeable = False
        object.__setattr__(self, "eigenvalues", eigenvalues)
        if self.eigenvectors is not None:
            d = eigenvalues.size
            eigenvectors = checks.array("eigenvectors", self.eigenvectors, (d, d)).copy()
            if np.abs(eigenvectors.T @ eigenvectors - np.eye(d)).max() > 1e-8:
                raise ValueError("eigenvectors must have orthonormal columns")
            eigenvectors.flags.writeable = False
            object.__setattr__(self, "eigenvectors", eigenvectors)

    @classmethod
    def isotropic(cls, dim, variance=1.0):
        """Σ = ``variance`` · I in ``dim`` dimensions."""
        dim = checks.integer("dim", dim, at_least=1)
        return cls(np.full(dim, checks.real("variance", variance, at_least=0)))

    @classmethod
    def power_law(cls, dim, exponent):
        """λᵢ = 1/i to the power ``exponent`` ≥ 0, for i = 1, …, ``dim``."""
        dim = checks.integer("dim", dim, at_least=1)
        return cls(np.arange(1.0, dim + 1) ** -checks.real("exponent", exponent, at_least=0))

    @classmethod
    def spiked(cls, dim, rank, tail):
        """``rank`` eigenvalues equal to 1, the other ``dim`` − ``rank`` equal to ``tail`` ≤ 1."""
        dim = checks.integer("dim", dim, at_least=1)
        rank = checks.integer("rank", rank, at_least=0, at_most=dim)
        tail = checks.real("tail", tail, at_least=0, at_most=1)
        return cls(np.where(np.arange(dim) < rank, 1.0, tail))

    @classmethod
    def from_samples(cls, X):
        """The population whose second moment is that of the rows of ``X`` (n, d): Σ = XᵀX/n.

        Nothing is centred: Σ is a second moment, not a covariance. It is zero where the rows do not
        reach, up to rounding; small columns count beside large ones. The largest entry of each
        eigenvector is positive. Raises ValueError if Σ over- or underflows. Cost O(nd² + d³).
        """
        rounding = checks.rounding(X)
        X = checks.samples(X)
        n, d = X.shape
        # The triangle has the singular values of X, and is smaller.
        short = scipy.linalg.qr(X, mode="r", check_finite=False)[0][:d] if n > d else X
        _, s, Vt = row_space(short, rounding * n / len(short))
        with np.errstate(over="ignore", under="ignore"):
            values = np.pad((s / np.sqrt(n)) ** 2, (0, d - s.size))
        if not np.isfinite(values).all() or np.count_nonzero(values) < s.size:
            raise ValueError("X must have squares that neither over- nor underflow")
        null = scipy.linalg.qr(Vt.T, check_finite=False)[0][:, s.size :]
        vectors = np.hstack([Vt.T, null])
        # A sign for each, the same on every machine: what is drawn with ``sample`` hangs on it.
        # Of entries that tie up to rounding the first.
        sizes = np.abs(vectors)
        largest = np.argmax(sizes > sizes.max(axis=0) - 1e-10, axis=0)
        return cls(values, vectors * np.sign(vectors[largest, np.arange(d)]))

    @property
    def dim(self):
        """The input dimension d."""
        return self.eigenvalues.size

    def covariance(self):
        """Σ, as a (d, d) array."""
        if self.eigenvectors is None:
            return np.diag(self.eigenvalues)
        return (self.eigenvectors * self.eigenvalues) @ self.eigenvectors.T

    def coordinates(self, theta):
        """Vᵀθ, the coordinates of ``theta`` (..., d) along the eigenvectors, of the same shape."""
        theta = checks.array("theta", theta, (..., self.dim))
        return theta if self.eigenvectors is None else theta @ self.eigenvectors

    def squared_norm(self, theta):
        """‖Σ^{1/2}θ‖² for each vector of ``theta`` (..., d), of shape (...)."""
        weighted = self.coordinates(theta) * np.sqrt(self.eigenvalues)
        return np.vecdot(weighted, weighted)

    def sample(self, n, rng, law="gaussian"):
        """Draw n inputs x = V Λ^{1/2} z, z with entries of mean 0 and variance 1.

        Parameters
        ----------
        n : int
            How many, at least 1.
        rng : numpy.random.Generator
            The source of randomness.
        law : {"gaussian", "rademacher", "student", "sphere"}
            The law of z. Independent entries: normal, fair signs, or Student's t with 5 degrees of
            freedom scaled to variance 1 (heavier tails, finite fourth moment). Or uniform on the
            sphere of radius √d, whose entries are uncorrelated: for Σ = I/d, inputs of length 1.

        Returns
        -------
        array (n, d)
        """
        shape = (checks.integer("n", n, at_least=1), self.dim)
        rng = checks.generator("rng", rng)
        match checks.choice("law", law, LAWS):
            case "gaussian":
                z = rng.standard_normal(shape)
            case "rademacher":
                z = rng.choice([-1.0, 1.0], shape)
            case "student":
                z = rng.standard_t(_STUDENT_DOF, shape) * np.sqrt(1 - 2 / _STUDENT_DOF)
            case "sphere":
                z = rng.standard_normal(shape)
                z *= np.sqrt(self.dim) / np.linalg.norm(z, axis=1, keepdims=True)
        z *= np.sqrt(self.eigenvalues)
        return z if self.eigenvectors is None else z @ self.eigenvectors.T

    def samples(self, n, seeds, law="gaussian"):
        """A ``sample`` of n inputs for each seed 0, …, ``seeds`` − 1, stacked: (seeds, n, d)."""
        seeds = checks.integer("seeds", seeds, at_least=1)
        return np.stack([self.sample(n, np.random.default_rng(k), law) for k in range(seeds)])


@dataclass(frozen=True, eq=False)
class TransferProblem:
    """A source and a target linear teacher on one population: y = xᵀθ_S, then y = xᵀθ_T.

    Parameters
    ----------
    population : Population
        The law of the target inputs.
    source, target : array (..., d)
        θ_S and θ_T; shapes that broadcast, to a batch of pairs on the same inputs.

    Notes
    -----
    Source: theory, "Setting and notation".
    """

    population: Population
    source: np.ndarray
    target: np.ndarray

    def __post_init__(self):
        checks.instance("population", self.population, Population)
        shape = (..., self.population.dim)
        teachers = [checks.array(name, getattr(self, name), shape) for name in ("source", "target")]
        try:
            teachers = np.broadcast_arrays(*teachers)
        except ValueError as error:
            raise ValueError(
                f"source and target must have shapes that broadcast: {error}"
            ) from None
        for name, teacher in zip(("source", "target"), teachers, strict=True):
            teacher = teacher.copy()
            teacher.flags.writeable = False
            object.__setattr__(self, name, teacher)

    @classmethod
    def from_gap(cls, population, gap):
        """θ_S = 0 and θ_T = ``gap`` (..., d): all that a linear model's risk depends on is u."""
        gap = checks.array(
            "gap", gap, (..., checks.instance("population", population, Population).dim)
        )
        return cls(population, np.zeros_like(gap), gap)

    def from_scratch(self):
        """The same target, trained from θ_S = 0."""
        return TransferProblem(self.population, np.zeros_like(self.target), self.target)

    def each(self):
        """The problems of a batch, one pair of teachers in each; those of the last axis first."""
        for index in np.ndindex(self.gap.shape[:-1]):
            yield TransferProblem(self.population, self.source[index], self.target[index])

    @property
    def gap(self):
        """u = θ_T − θ_S, shape (..., d)."""
        return self.target - self.source

    def risk(self, theta):
        """R(θ) = E(xᵀθ − xᵀθ_T)² = ‖Σ^{1/2}(θ − θ_T)‖² for each vector of ``theta`` (..., d).

        In a batch of problems, shapes broadcast.
        """
        theta = checks.array("theta", theta, (..., self.population.dim))
        return self.population.squared_norm(theta - self.target)

    def sample(self, n, rng, noise=0.0, *, law="gaussian"):
        """Draw n target samples, y = Xθ_T + ``noise`` · N(0, I).

        Parameters
        ----------
        n, rng, law
            As in ``Population.sample``.
        noise : float
            Standard deviation σ of the label noise.

        Returns
        -------
        X : array (n, d)
        y : array (..., n)
        """
        noise = checks.real("noise", noise, at_least=0)
        X = self.population.sample(n, rng, law)
        y = self.target @ X.T if self.target.ndim > 1 else X @ self.target
        if noise:
            y += noise * rng.standard_normal(y.shape)
        return X, y


def kernel_problem(K, values):
    """Kernel regression of a function, started at zero, as the linear regression that it is.

    The eigenvectors of K/N, scaled to mean square 1 over the pool, are features with the
    eigenvalues as variances; the function is a linear teacher on them. So all that is known of the
    risk of linear regression holds of kernels.

    Parameters
    ----------
    K : array (N, N)
        A kernel on a pool of N inputs that stands for the population: symmetric, positive
        semi-definite. Sample sizes of interest must be well below N.
    values : array (N,) or (N, k)
        The function on the pool: for fine-tuning, what the pretrained model misses there.

    Returns
    -------
    TransferProblem
        In N dimensions, with the source at zero; for k columns a batch of k. Eigenvalues that are
        rounding errors count as N ε λ₁, so what the kernel cannot express is there, and acts as
        noise in the labels.

    Raises
    ------
    ValueError
        If K is not symmetric to 1e-8, or not positive semi-definite.

    Notes
    -----
    Cost: eigenvectors of K, O(N³), once for all columns. Source: thm-ntk with thm-exact-risk;
    Canatar, Bordelon and Pehlevan 2021; Simon et al. 2023.
    """
    rounding = checks.rounding(K)
    K = checks.symmetric("K", K, rounding=rounding)
    N = len(K)
    values = checks.columns("values", values, N)
    variances, modes = scipy.linalg.eigh(K / N, overwrite_a=True, check_finite=False)
    variances, modes = variances[::-1], modes[:, ::-1]
    floor = N * rounding * variances[0]
    if floor <= 0 or variances[-1] < -1e3 * floor:
        raise ValueError("K must be positive semi-definite and not zero")
    population = Population(np.maximum(variances, floor))
    targets = values.T @ modes / np.sqrt(N * population.eigenvalues)
    return TransferProblem.from_gap(population, targets)
