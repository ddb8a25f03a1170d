"""Real inputs with the tasks asked of them, and what fine-tuning leaves on them, measured.

The data set is the population: Σ is the second moment of all its inputs, risks are means over all
of them, and samples are drawn from them without replacement.

Contract: a wrong type is a TypeError; a wrong shape, an entry that is not finite, or a number out
of its range a ValueError. Both name the argument.
"""

import functools
import itertools
import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import ndimage
from scipy.stats import spearmanr

from lib import (
    checks,
    datasets,
    deep_linear,
    exact_risk,
    linear_regression,
    relu,
    similarity,
)
from lib.problem import Population, TransferProblem, kernel_problem

__all__ = [
    "HALF",
    "QUESTIONS",
    "RealInputs",
    "altered_digits",
    "blind_spot_moments",
    "curves",
    "digits",
    "misfit_risk",
    "photographs",
    "rank_correlations",
    "surrogates",
    "task_gaps",
    "transfer",
]

QUESTIONS = {
    "closed loop": (0, 6, 8, 9),
    "curved": (0, 3, 6, 8, 9),
    "even": (0, 2, 4, 6, 8),
    "a 3": (3,),
    "an 8": (8,),
    "a 3 or an 8": (3, 8),
}
HALF = 915  # of ``digits``: seven of the fourteen blocks in which the file is ordered
_POOL = 2000  # inputs beyond which the kernel of every second one is enough
_BANDS = (3, 8, 20, 40)  # ends of bands of directions, from coarse to fine


@dataclass(frozen=True, eq=False)
class RealInputs:
    """A data set and its tasks.

    Parameters
    ----------
    name : str
        For tables.
    X : array (N, d)
        All inputs; every column is positive somewhere.
    labels : dict of str to array (N,)
        Task → its real labels.
    """

    name: str
    X: np.ndarray
    labels: dict

    @functools.cached_property
    def population(self):
        """The inputs' own second moment, as a ``Population``."""
        return Population.from_samples(self.X)

    @functools.cached_property
    def teachers(self):
        """Task → its teacher (d,), the least-squares readout of *all* labels."""
        values = datasets.readout(self.X, np.transpose(list(self.labels.values())))
        return dict(zip(self.labels, values, strict=True))

    @functools.cached_property
    def whitened(self):
        """x̄ᵢ = vᵢᵀx/√λᵢ of every input, (N, d)."""
        return self.X @ self.population.eigenvectors / np.sqrt(self.population.eigenvalues)

    @property
    def lengths(self):
        """‖x̄‖²/d of every input, (N,): 1 in the mean."""
        return np.mean(self.whitened**2, axis=1)

    def draw(self, n, rng):
        """``n`` of the inputs without replacement, (n, d)."""
        return self.X[checks.generator("rng", rng).permutation(len(self.X))[:n]]


def digits(least=0.0, tasks=None):
    """Handwritten digits, the pixels that are inked in more than a share ``least`` of them.

    Parameters
    ----------
    least : float
        From 0 to 1, excluded.
    tasks : dict of str to sequence of int, optional
        Task → the digits for which its answer is yes, label 1, else −1. None takes ``QUESTIONS``.

    Returns
    -------
    RealInputs
    """
    least = checks.real("least", least, at_least=0)
    data = datasets.digits()
    X = data.data[:, np.mean(data.data > 0, axis=0) > least]
    if X.shape[1] == 0:
        raise ValueError(f"least must leave some pixels, got {least:g}")
    labels = {
        task: np.where(np.isin(data.target, yes), 1.0, -1.0)
        for task, yes in (tasks or QUESTIONS).items()
    }
    return RealInputs("digits", X, labels)


def altered_digits(least=0.0):
    """The images of ``digits(least)``, altered: dict of str to array (N, d), image by image.

    Turned against the clock by 15 and 30 degrees, moved by a pixel to the right, thicker and
    thinner by a pixel (the brightest or darkest of four neighbours), and half as bright. Pixels
    that ``least`` leaves out there are left out here.
    """
    least = checks.real("least", least, at_least=0)
    data = datasets.digits()
    kept = np.mean(data.data > 0, axis=0) > least
    if not kept.any():
        raise ValueError(f"least must leave some pixels, got {least:g}")
    images, plane, square = data.images, {"axes": (1, 2), "reshape": False, "order": 1}, (1, 2, 2)
    altered = {
        "turned by 15°": ndimage.rotate(images, 15, **plane),
        "turned by 30°": ndimage.rotate(images, 30, **plane),
        "moved by a pixel": ndimage.shift(images, (0, 0, 1), order=0),
        "thicker": ndimage.grey_dilation(images, size=square),
        "thinner": ndimage.grey_erosion(images, size=square),
        "half as bright": images / 2,
    }
    return {name: X.reshape(len(X), -1)[:, kept] for name, X in altered.items()}


def photographs():
    """Patches of two photographs, by name, with the same six tasks: dict of str to RealInputs."""
    photos = {name: datasets.image_patches(name, stride=9) for name in ("china", "flower")}
    return {
        name: RealInputs(
            name, photo.data, dict(zip(photo.target_names, photo.target.T, strict=True))
        )
        for name, photo in photos.items()
    }


def transfer(source, source_task, target, target_task):
    """The problem of fine-tuning the teacher of one task for another, on the target's inputs.

    ``source`` and ``target`` are RealInputs of one dimension, the tasks keys of their labels.
    """
    for name, inputs, task in (
        ("source_task", source, source_task),
        ("target_task", target, target_task),
    ):
        checks.choice(name, task, list(inputs.labels))
    return TransferProblem(
        target.population, source.teachers[source_task], target.teachers[target_task]
    )


def task_gaps(inputs, other=None):
    """Gaps between all pairs of tasks; with ``other``, also between each task there and here.

    Parameters
    ----------
    inputs : RealInputs
    other : RealInputs, optional
        With the same tasks and dimension.

    Returns
    -------
    array (gaps, d)
    """
    teachers = np.array(list(inputs.teachers.values()))
    first, second = np.triu_indices(len(teachers), 1)
    gaps = teachers[second] - teachers[first]
    if other is None:
        return gaps
    foreign = np.array([other.teachers[task] for task in inputs.teachers])
    return np.vstack([gaps, teachers - foreign])


def curves(problem, inputs, sizes, seeds):
    """Risks of five models on random samples, and what theory forecasts, relative to answering 0.

    Labels are the teacher's. The models: linear from scratch and fine-tuned; deep linear, of depths
    3 and ∞; an infinitely wide ReLU network.

    Parameters
    ----------
    problem : TransferProblem
        On ``inputs``.
    inputs : RealInputs
        Where samples are drawn.
    sizes : array of int (s,)
        Numbers of samples, at least 1.
    seeds : int
        Random orders of the inputs.

    Returns
    -------
    measured, forecast : pandas.DataFrame
        Columns ``model``, ``n``, ``risk``; and ``seed`` in the first.

    Notes
    -----
    Cost: one factorisation per seed and model, and a kernel of the pool: all inputs, or every
    second one of many. Source: thm-exact-risk, thm-deep-exact, thm-ntk.
    """
    sizes = checks.integers("sizes", sizes, (None,))
    scratch, base = problem.from_scratch(), problem.population.squared_norm(problem.target)
    pool = inputs.X[:: 2 if len(inputs.X) > _POOL else 1]
    wanted, pool_base = pool @ problem.gap, np.mean((pool @ problem.target) ** 2)
    wide = kernel_problem(relu.ntk(pool), wanted)
    measured = []
    for seed in range(checks.integer("seeds", seeds, at_least=1)):
        X = inputs.draw(sizes.max(), np.random.default_rng(seed))
        Z = pool[np.random.default_rng(seed).permutation(len(pool))[: sizes.max()]]
        deep = deep_linear.learning_curve(problem, X, [3, math.inf])
        risks = {
            "from scratch": linear_regression.learning_curve(scratch, X) / base,
            "linear": linear_regression.learning_curve(problem, X) / base,
            "depth 3": deep[0] / base,
            "depth ∞": deep[1] / base,
            "ReLU": relu.learning_curve(Z, Z @ problem.gap, pool, wanted) / pool_base,
        }
        measured += [
            {"model": model, "n": n, "seed": seed, "risk": curve[n]}
            for model, curve in risks.items()
            for n in sizes
        ]
    exact = {
        "from scratch": exact_risk.linear_risk(scratch, sizes) / base,
        "linear": exact_risk.linear_risk(problem, sizes) / base,
        "depth 3": exact_risk.deep_linear_risk(problem, sizes, 3) / base,
        "depth ∞": exact_risk.deep_linear_risk(problem, sizes, math.inf) / base,
        "ReLU": exact_risk.linear_risk(wide, sizes) / pool_base,
    }
    forecast = [
        {"model": model, "n": n, "risk": risk}
        for model, curve in exact.items()
        for n, risk in zip(sizes, curve, strict=True)
    ]
    return pd.DataFrame(measured), pd.DataFrame(forecast)


def blind_spot_moments(population, draw, sizes, seeds, batches=5):
    """M_n = E P_⊥ΣP_⊥, measured: uᵀM_nu is the mean risk of every gap u.

    Parameters
    ----------
    population : Population
        Supplies Σ.
    draw : callable
        ``draw(rng)`` returns max(``sizes``) inputs or more, (·, d).
    sizes : sequence of int (s,)
        Numbers n of samples, of which the first n inputs are used.
    seeds : int
        Samples to average over, in each batch.
    batches : int
        Independent averages: how they differ tells the error of their mean.

    Returns
    -------
    array (batches, s, d, d)

    Notes
    -----
    Cost: one QR and s products O(d³) per sample. Source: thm-linear-bias.
    """
    checks.instance("population", population, Population)
    seeds = checks.integer("seeds", seeds, at_least=1)
    batches = checks.integer("batches", batches, at_least=1)
    covariance, identity = population.covariance(), np.eye(population.dim)
    total = np.zeros((batches, len(sizes), *covariance.shape))
    for batch, seed in itertools.product(range(batches), range(seeds)):
        X = draw(np.random.default_rng(batch * seeds + seed))
        X = checks.samples(X, dim=population.dim, name="draw")
        basis, rank = linear_regression.orthogonal_expansion(X)
        for k, n in enumerate(sizes):
            seen = basis[:, : rank[n]]
            unseen = identity - seen @ seen.T
            total[batch, k] += unseen @ covariance @ unseen
    return total / seeds


def rank_correlations(inputs, moment, n, other=None):
    """How well measures that know both teachers order the sources of each target.

    Parameters
    ----------
    inputs : RealInputs
        Each of its tasks is a target, all others are its sources.
    moment : array (d, d)
        M_n: the measured mean risk of a gap u is uᵀM_nu.
    n : int
        Number of samples, for the exact risk.
    other : RealInputs, optional
        One source more for each target: the same task there.

    Returns
    -------
    pandas.DataFrame
        One row per target: Spearman's correlation with the measured risk of ‖u‖², of R(0), and of
        the exact risk.
    """
    rows = []
    for task, target in inputs.teachers.items():
        sources = [theta for name, theta in inputs.teachers.items() if name != task]
        if other is not None:
            sources.append(other.teachers[task])
        problems = TransferProblem(inputs.population, np.array(sources), target)
        risk = np.einsum("ti,ij,tj->t", problems.gap, moment, problems.gap)
        measures = {
            "distance ‖u‖²": similarity.squared_distance(problems),
            "R(0) = ‖Σ^½u‖²": similarity.weighted_squared_distance(problems),
            "exact risk": exact_risk.linear_risk(problems, n),
        }
        rows.append({name: spearmanr(risk, m).statistic for name, m in measures.items()})
    return pd.DataFrame(rows)


def surrogates(inputs, n):
    """Ways to draw ``n`` inputs with the second moment of the real ones, and more or less else.

    Parameters
    ----------
    inputs : RealInputs
    n : int

    Returns
    -------
    dict of str to callable
        ``draw(rng)`` → (n, d). "Gaussian": nothing but Σ. "tails": independent whitened
        coordinates, each from its real values; it shares the second moment where all of them but
        one have mean 0, nearly so for images. "contrast": the real first coordinate and the real
        length of the others, in a random direction. "bands": the same with the lengths in five
        bands of directions. "replaced": real inputs with replacement, zeros for one drawn
        before, which add as little to the row space whatever the rounding. "real": without.
    """
    population, bars, N = inputs.population, inputs.whitened, len(inputs.X)
    back = (population.eigenvectors * np.sqrt(population.eigenvalues)).T

    def tails(rng):
        return np.transpose([bar[rng.integers(N, size=n)] for bar in bars.T]) @ back

    def in_bands(edges, rng):
        rows, G = rng.integers(N, size=n), rng.standard_normal((n, population.dim))
        G[:, 0] = bars[rows, 0]
        for a, b in itertools.pairwise([1, *edges, population.dim]):
            length = np.linalg.norm(bars[rows, a:b], axis=1)
            G[:, a:b] *= (length / np.linalg.norm(G[:, a:b], axis=1))[:, None]
        return G @ back

    def replaced(rng):
        rows = rng.integers(N, size=n)
        X, first = np.zeros((n, population.dim)), np.unique(rows, return_index=True)[1]
        X[first] = inputs.X[rows[first]]
        return X

    return {
        "Gaussian": functools.partial(population.sample, n),
        "tails": tails,
        "contrast": functools.partial(in_bands, ()),
        "bands": functools.partial(in_bands, _BANDS),
        "replaced": replaced,
        "real": functools.partial(inputs.draw, n),
    }


def misfit_risk(problem, inputs, labels, n, ridge, rng):
    """Risks in units of σ² after training on real labels, and on labels with misfits dealt out.

    The misfit is what the best linear model leaves, label − xᵀθ_T, of mean square σ².

    Parameters
    ----------
    problem : TransferProblem
        Its target is the least-squares readout of ``labels``.
    inputs : RealInputs
    labels : array (N,)
        Of all inputs.
    n : int
        Samples.
    ridge : float
        δ ≥ 0.
    rng : numpy.random.Generator
        The same draws whatever the ridge.

    Returns
    -------
    dict of str to float
        ``real``: each input with its own misfit; ``dealt``: with that of a random other.
    """
    misfit = labels - inputs.X @ problem.target
    rows = rng.permutation(len(misfit))[:n]
    noises = {"real": misfit[rows], "dealt": rng.permutation(misfit)[:n]}
    X, whole = inputs.X[rows], np.mean(misfit**2)
    return {
        kind: problem.risk(
            linear_regression.finetune(X, X @ problem.target + noise, problem.source, ridge=ridge)
        )
        / whole
        for kind, noise in noises.items()
    }
