"""What the property tests draw: populations, teachers and samples of every shape that matters.

Hypothesis chooses the structure and a seed; NumPy fills in the numbers.
"""

import numpy as np
from hypothesis import strategies as st

from lib.problem import LAWS, Population, TransferProblem

EPS = np.finfo(float).eps
# Of deterministic equivalents at d = 200: what remains beyond the standard error of a mean over
# draws, relative, by the exponent of the power law; it falls like 1/d, which is tested.
ALLOWANCE = {0: 0.005, 0.5: 0.01, 1: 0.02, 2: 0.06}
GAPS = {"top": slice(0, 10), "bottom": slice(190, 200), "all": slice(0, 200)}
seeds = st.integers(0, 2**32 - 1)
small = st.integers(2, 12)
ridges = st.one_of(st.just(0.0), st.floats(-30, 30).map(lambda x: 10**x))


@st.composite
def spectra(draw, dim):
    """Eigenvalues in descending order, the largest positive."""
    rng = np.random.default_rng(draw(seeds))
    match draw(st.sampled_from(("isotropic", "power law", "spiked", "repeated, zero", "wide"))):
        case "isotropic":
            values = np.full(dim, rng.uniform(0.1, 10))
        case "power law":
            values = np.arange(1.0, dim + 1) ** -rng.uniform(0, 2)
        case "spiked":
            values = np.where(np.arange(dim) < rng.integers(1, dim + 1), 1, rng.uniform(0, 0.1))
        case "repeated, zero":
            values = np.append(1.0, rng.choice([0, 0.25, 1], dim - 1))
        case "wide":  # twelve orders of magnitude
            values = 10 ** np.append(0, rng.uniform(-12, 0, dim - 1))
    return np.sort(values)[::-1]


@st.composite
def populations(draw, dims=small):
    """Any spectrum, along the standard basis or along a random one."""
    dim = draw(dims)
    values = draw(spectra(dim))
    return Population(values, rotation(dim, draw(seeds)) if draw(st.booleans()) else None)


@st.composite
def problems(draw, dims=small):
    """Teachers that are unrelated, close, equal, or the source zero (training from scratch)."""
    population = draw(populations(dims))
    rng = np.random.default_rng(draw(seeds))
    source, other = rng.standard_normal((2, population.dim))
    source, target = {
        "unrelated": (source, other),
        "close": (source, source + 1e-3 * other),
        "equal": (source, source),
        "scratch": (np.zeros(population.dim), other),
    }[draw(st.sampled_from(("unrelated", "close", "equal", "scratch")))]
    return TransferProblem(population, source, target)


@st.composite
def inputs(draw, population, sizes=None):
    """Rows from the population, of any law, some of them repeated, zero or combined from others.

    Between 1 and d − 1 of them, unless ``sizes`` says otherwise.
    """
    n = draw(sizes if sizes is not None else st.integers(1, population.dim - 1))
    rng = np.random.default_rng(draw(seeds))
    X = population.sample(n, rng, draw(st.sampled_from(LAWS)))
    rows = rng.random(n) < 0.5
    match draw(st.sampled_from(("as drawn", "repeated", "zero", "dependent", "scaled"))):
        case "repeated":
            X[rows] = X[rng.integers(0, n, rows.sum())]
        case "zero":
            X[rows] = 0
        case "dependent":
            X = rng.standard_normal((n, n // 2 + 1)) @ X[: n // 2 + 1]
        case "scaled":
            X *= 10 ** rng.uniform(-3, 3, (n, 1))
    return X


@st.composite
def sampled_problems(draw, dims=small, sizes=None):
    """A transfer problem with a sample of its inputs."""
    problem = draw(problems(dims))
    return problem, draw(inputs(problem.population, sizes))


def rotation(dim, seed):
    """Return a random orthogonal matrix."""
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((dim, dim)))[0]


def condition(X):
    """Return the ratio of the largest to the smallest singular value that is not rounding error."""
    s = np.linalg.svd(X, compute_uv=False)
    s = s[s > 1e-13 * s[0]]
    return s[0] / s[-1] if s.size else 1.0


def z_scores(values, expected):
    """Return by how many standard errors the mean over the first axis misses ``expected``."""
    values = np.asarray(values)
    error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
    return (values.mean(axis=0) - expected) / np.where(error > 0, error, 1)


def problem_with_gap(eigenvalues, gap, source=None):
    """Return the problem with this gap, on the standard basis."""
    source = np.zeros(len(eigenvalues)) if source is None else source
    return TransferProblem(Population(eigenvalues), source, np.add(source, gap))


def gap_in(part, dim=200):
    """Return a gap of length 1 that is equal along the directions of a slice."""
    u = np.zeros(dim)
    u[part] = 1
    return u / np.linalg.norm(u)


def assert_equivalent(draws, formula, allowance):
    """The mean of the draws is the formula, within 4 standard errors and the allowance."""
    draws = np.asarray(draws)
    error = draws.std(axis=0, ddof=1) / np.sqrt(len(draws))
    assert (np.abs(draws.mean(axis=0) - formula) <= 4 * error + allowance * formula).all()
