"""Shelves of pretrained teachers, tasks to use them for, and how well one can choose.

Teachers and tasks share no input and no label. The risk of a choice is its mean squared error on
inputs that the choice has not seen. What is made for ``sweep`` draws a task for each seed, and the
n samples of it are the first of the same inputs for every n.

Contract: a wrong type is a TypeError; a wrong shape, an entry that is not finite, or a number out
of its range a ValueError. Both name the argument.
"""

import functools
import math
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from scipy.stats import kendalltau

from lib import checks, datasets, exact_risk, selection, transferability
from lib.numerics import ten_digits
from lib.problem import Population, TransferProblem

__all__ = [
    "Draw",
    "LEVELS",
    "SETTINGS",
    "SIZES",
    "Task",
    "choose_extractor",
    "compete",
    "curse",
    "digit_task",
    "even_strength",
    "extractors",
    "flower_task",
]

SIZES = (5, 20, 50, 200)
SETTINGS = ("outside", "inside")
LEVELS = np.geomspace(1e-2, 1e2, 9)  # ridges to choose from, in units of tr XXᵀ/n
_STRENGTHS = np.append(0.0, np.geomspace(1e-2, 1e2, 9))  # in units of the even one
_NEW = 4  # digits that no teacher was asked about
_WIDTHS = (30, 100, 300)  # of random ReLU features


@dataclass(frozen=True, eq=False)
class Task:
    """Labelled inputs, and sources that were trained on others.

    Parameters
    ----------
    inputs : array (m, d)
    labels : array (m,)
    sources : array (N, d)
        One linear teacher per row, at least one. Scratch is not among them.
    """

    inputs: np.ndarray
    labels: np.ndarray
    sources: np.ndarray

    def __post_init__(self):
        inputs = checks.samples(self.inputs, name="inputs")
        labels = checks.array("labels", self.labels, (len(inputs),))
        sources = checks.array("sources", self.sources, (None, inputs.shape[1]))
        if len(sources) == 0:
            raise ValueError("sources must have at least one row")
        for name, value in {"inputs": inputs, "labels": labels, "sources": sources}.items():
            object.__setattr__(self, name, value)

    @functools.cached_property
    def problem(self):
        """The sources, and scratch last, as a batch; the target is the readout of all labels."""
        starts = np.vstack([self.sources, np.zeros(self.inputs.shape[1])])
        target = datasets.readout(self.inputs, self.labels)
        return TransferProblem(Population.from_samples(self.inputs), starts, target)

    @functools.cached_property
    def explained(self):
        """The share of ‖Σ^{1/2}θ_T‖² in the span of the sources, as Σ measures angles."""
        answers, columns = self.inputs @ self.problem.target[0], self.inputs @ self.sources.T
        fitted = columns @ np.linalg.lstsq(columns, answers, rcond=None)[0]
        return np.sum(fitted**2) / np.sum(answers**2)

    def draw(self, n, rng):
        """Draw n of the inputs without replacement: a ``Draw`` that is tested on the others."""
        n = checks.integer("n", n, at_least=2, at_most=len(self.inputs) - 1)
        order = checks.generator("rng", rng).permutation(len(self.inputs))
        return Draw(self, order[:n], order[n:])


@dataclass(frozen=True, eq=False)
class Draw:
    """Samples of a task, all ways to start from its sources, and what comes of them.

    A position is that of a ridge, and of a source or, last, scratch.

    Parameters
    ----------
    task : Task
    chosen, rest : array of int
        The inputs that are samples, and those that tell the risk.

    Attributes
    ----------
    X, y, Z, z : array
        The samples (n, d) with their labels, and the rest with its labels.
    ridges : array (10,)
        ``LEVELS`` times tr XXᵀ/n; and infinity, which leaves a source as it is.
    errors : array (10, n, N + 1)
        Leave-one-out errors at each position.
    scores, risk : array (10, N + 1)
        Their mean squares, to ten digits; and the mean squared errors on the rest.
    """

    task: Task
    chosen: np.ndarray
    rest: np.ndarray

    def __post_init__(self):
        X, Z = self.task.inputs[self.chosen], self.task.inputs[self.rest]
        y, z = self.task.labels[self.chosen], self.task.labels[self.rest]
        ridges = np.append(LEVELS * (np.sum(X**2) / len(X)), math.inf)
        errors, risk = _tuned(X, y, Z, z, self.task.problem.source, ridges)
        fields = {"X": X, "y": y, "Z": Z, "z": z, "ridges": ridges, "errors": errors, "risk": risk}
        for name, value in (fields | {"scores": _mean_square(errors)}).items():
            object.__setattr__(self, name, value)

    @functools.cached_property
    def safe(self):
        """The position of scratch with the least leave-one-out error."""
        return self.scores[:, -1].argmin(), len(self.task.sources)

    @functools.cached_property
    def one(self):
        """The position of the least leave-one-out error."""
        return np.unravel_index(self.scores.argmin(), self.scores.shape)

    def believed(self, errors):
        """Whether leave-one-out errors (n,) are better than those of ``safe``.

        By more than one standard error of the n differences of their squares.
        """
        ridge, scratch = self.safe
        gain = self.errors[ridge, :, scratch] ** 2 - errors**2
        surplus = gain.mean() - gain.std(ddof=1) / math.sqrt(len(gain))
        return ten_digits(surplus, np.abs(gain).max()) > 0

    def methods(self):
        """What can be done with the samples: method → risk.

        The least error of all sources as they are; at the position ``one``; there, if it is
        ``believed``, else ``safe``; from the mean of all sources; from one source times a number;
        by ``selection.combine`` with t chosen; with ``even_strength``; so, if believed.
        """
        scratch, (errors, even) = self.risk[self.safe], self.evenly()
        chosen = self.errors[self.one[0], :, self.one[1]]
        return {
            "best untouched": self.risk[-1, self.scores[-1].argmin()],
            "choose one": self.risk[self.one],
            "one, cautious": self.risk[self.one] if self.believed(chosen) else scratch,
            "average": self._from(self.task.sources.mean(axis=0)),
            "scale": self.scaled(),
            "combine": self.combined(),
            "combine evenly": even,
            "evenly, cautious": even if self.believed(errors) else scratch,
        }

    def scaled(self):
        """Risk of the source that does best with a scale α, fitted for each source and ridge."""
        alone, own = self.errors[:, :, -1:], self.errors[:, :, -1:] - self.errors[:, :, :-1]
        size = np.sum(own**2, axis=1)
        alpha = np.sum(alone * own, axis=1) / np.where(size > 0, size, 1)
        scores = _mean_square(alone - alpha[:, None] * own)
        ridge, source = np.unravel_index(scores.argmin(), scores.shape)
        return self._from(alpha[ridge, source] * self.task.sources[source], [ridge])

    def combined(self):
        """Risk of ``selection.combine``, with t chosen, and one of these ridges.

        From 0 and a hundredth to a hundred times the even one: larger ones did harm where sources
        are about as many as samples.
        """
        X, sources = self.X, self.task.sources
        options = {"strengths": even_strength(X, sources) * _STRENGTHS, "ridges": self.ridges[:-1]}
        found = selection.combine(X, self.y, sources, **options)
        return np.mean((self.Z @ found.theta - self.z) ** 2)

    def evenly(self):
        """Leave-one-out errors (n,) and risk of the combination with ``even_strength``.

        It is ridge regression on X and √t XSᵀ, side by side. Source: prop-shelf.
        """
        S = math.sqrt(even_strength(self.X, self.task.sources)) * self.task.sources
        X, Z = (np.hstack([inputs, inputs @ S.T]) for inputs in (self.X, self.Z))
        errors, risk = _tuned(X, self.y, Z, self.z, np.zeros((1, X.shape[1])), self.ridges)
        best = _mean_square(errors)[:, 0].argmin()
        return errors[best, :, 0], risk[best, 0]

    def _from(self, source, ridges=slice(None)):
        """Risk from any source (d,), with the best of these ridges by leave-one-out."""
        ridges = self.ridges[ridges]
        errors, risk = _tuned(self.X, self.y, self.Z, self.z, source[None], ridges)
        return risk[_mean_square(errors)[:, 0].argmin(), 0]

    def oracles(self):
        """What only one who knows more can do: name → risk.

        "best one" knows the risks, "scratch, best ridge" those of scratch; "exact risk" knows Σ,
        θ_T and its misfit, and takes the position by ``exact_risk.linear_risk``; "best mixture"
        knows the weights of the sources that fit the rest best, and the best ridge from there.
        """
        mixture = np.linalg.lstsq(self.Z @ self.task.sources.T, self.z, rcond=None)[0]
        mixed = (mixture @ self.task.sources)[None]
        _, risk = _tuned(self.X, self.y, self.Z, self.z, mixed, self.ridges)
        known = ten_digits(self.exact_risk())
        return {
            "scratch, best ridge": self.risk[:, -1].min(),
            "best one": self.risk.min(),
            "exact risk": self.risk[np.unravel_index(known.argmin(), known.shape)],
            "best mixture": risk.min(),
        }

    def exact_risk(self):
        """The exact risk at each position, (10, N + 1); the misfit of θ_T counts as noise."""
        task = self.task
        misfit = np.mean((task.inputs @ task.problem.target[0] - task.labels) ** 2)
        ridges = np.append(LEVELS * task.problem.population.eigenvalues.sum(), math.inf)
        return exact_risk.linear_risk(task.problem, len(self.X), ridges, math.sqrt(misfit)).T

    def orders(self):
        """Kendall correlation with the risks of sources and scratch, each with its own best ridge.

        Of leave-one-out, of the error before fine-tuning, and of the exact risk.
        """
        best = self.scores.argmin(axis=0)[None]
        risk = ten_digits(np.take_along_axis(self.risk, best, axis=0)[0])
        orders = {
            "leave-one-out": self.scores.min(axis=0),
            "before fine-tuning": self.scores[-1],
            "exact risk": ten_digits(self.exact_risk().min(axis=0)),
        }
        return {name: kendalltau(score, risk).statistic for name, score in orders.items()}


def even_strength(X, sources):
    """t = tr XXᵀ/‖XSᵀ‖²: sources and rest explain as much, before any label.

    Parameters
    ----------
    X : array (n, d)
    sources : array (N, d)
        S, one per row.

    Returns
    -------
    float
        For ``selection.combine``: in the prior of prop-shelf both add equally to the mean square
        of the outputs on the samples.

    Raises
    ------
    ValueError
        If all sources answer zero.
    """
    X = checks.samples(X)
    sources = checks.array("sources", sources, (None, X.shape[1]))
    square = np.sum((X @ sources.T) ** 2)
    if square == 0:
        raise ValueError("sources must not all answer zero")
    return float(np.sum(X**2) / square)


def _tuned(X, y, Z, z, starts, ridges):
    """Leave-one-out errors (r, n, N) for r ridges and N starts; mean squared errors on Z (r, N).

    Source: prop-loo, with (XXᵀ + δI)⁻¹ = (I − U diag(s²/(s² + δ)) Uᵀ)/δ for X = U diag(s) Vᵀ.
    """
    U, s, Vt = scipy.linalg.svd(X, full_matrices=False, check_finite=False)
    share = s**2 / (s**2 + ridges[:, None])
    residual = y[:, None] - X @ starts.T
    seen = share[:, :, None] * (U.T @ residual)
    errors = (residual - U @ seen) / (1 - share @ (U.T**2))[:, :, None]
    ends = starts.T + Vt.T @ (seen / np.where(s > 0, s, 1)[:, None])
    return errors, np.mean((z[:, None] - Z @ ends) ** 2, axis=1)


def _mean_square(errors):
    """Over the samples, the second axis; to ten digits, so that what ties does so anywhere."""
    return ten_digits(np.mean(errors**2, axis=1))


@functools.cache
def _digits():
    data = datasets.digits()
    return data.data, data.target


@functools.cache
def _photograph(name):
    return datasets.image_patches(name, stride=9)


def digit_task(setting, rng):
    """A random question about handwritten digits, and teachers of other questions.

    The images are halved at random. One half trains the teachers, each asked for one digit; the
    other half is for the task, with labels ±1.

    Parameters
    ----------
    setting : {"outside", "inside"}
        "inside": ten teachers, of all digits; the task asks for three to five of these. "outside":
        six teachers of six digits, trained on images of these only; the task asks for one to three
        of the other four, among images of all ten.
    rng : numpy.random.Generator
        The source of randomness.

    Returns
    -------
    Task
    """
    checks.choice("setting", setting, SETTINGS)
    rng = checks.generator("rng", rng)
    X, shown = _digits()
    ours, theirs = np.split(rng.permutation(len(X)), [len(X) // 2])
    order = rng.permutation(10)
    if setting == "inside":
        known, wanted = order, order[: rng.integers(3, 6)]
    else:
        known, wanted = order[_NEW:], order[: rng.integers(1, _NEW)]
    theirs = theirs[np.isin(shown[theirs], known)]
    answers = _signs(shown[theirs, None] == known)
    return Task(X[ours], _signs(np.isin(shown[ours], wanted)), datasets.readout(X[theirs], answers))


def _signs(yes):
    return np.where(yes, 1.0, -1.0)


def flower_task(name):
    """Hidden pixels of the flower, one of the ``target_names`` of ``datasets.image_patches``.

    The sources are the six teachers of the palace. Returns a ``Task``.
    """
    flower, palace = _photograph("flower"), _photograph("china")
    checks.choice("name", name, tuple(flower.target_names))
    labels = flower.target[:, flower.target_names.index(name)]
    return Task(flower.data, labels, datasets.readout(palace.data, palace.target))


def compete(setting, rng):
    """All methods on one task, with 5, 20, 50 and 200 samples. Made for ``sweep``.

    Parameters
    ----------
    setting : str
        As in ``digit_task``, or the name of a task as in ``flower_task``.
    rng : numpy.random.Generator
        The source of randomness.

    Returns
    -------
    list of dict
        For each ``n`` and ``method``, of ``Draw.methods`` and ``Draw.oracles``, ``risk``, relative
        to that of scratch; for each of ``Draw.orders``, ``Kendall``. And ``explained``, of the
        task.
    """
    checks.choice("setting", setting, (*SETTINGS, *_photograph("flower").target_names))
    task = digit_task(setting, rng) if setting in SETTINGS else flower_task(setting)
    order = checks.generator("rng", rng).permutation(len(task.inputs))
    rows = []
    for n in SIZES:
        draw = Draw(task, order[:n], order[max(SIZES) :])
        shared, risks = {"n": n, "explained": task.explained}, draw.methods() | draw.oracles()
        scratch = draw.risk[draw.safe]
        rows += [shared | {"method": name, "risk": r / scratch} for name, r in risks.items()]
        rows += [shared | {"method": name, "Kendall": k} for name, k in draw.orders().items()]
    return rows


def curse(decoys, n, rng):
    """What the least leave-one-out error promises among decoys, and what comes of it.

    Made for ``sweep``, on tasks of the setting "inside".

    Parameters
    ----------
    decoys : int
        Random vectors among the sources, at least 0, with outputs of the size of the teachers'.
    n : int
        Samples, at least 3.
    rng : numpy.random.Generator
        The source of randomness.

    Returns
    -------
    dict of str to float
        In units of the risk of scratch: ``promised``, the least leave-one-out error of all sources
        and ridges; ``nested``, the error of this choice by ``selection.compare``; ``true``, its
        risk; and that of ``combine evenly``.
    """
    decoys = checks.integer("decoys", decoys, at_least=0)
    n = checks.integer("n", n, at_least=3)
    task = digit_task("inside", checks.generator("rng", rng))
    noise = rng.standard_normal((decoys, task.inputs.shape[1]))
    size = np.linalg.norm(task.inputs @ task.sources.T) / math.sqrt(len(task.sources))
    noise *= size / np.linalg.norm(task.inputs @ noise.T, axis=0)[:, None]
    draw = Task(task.inputs, task.labels, np.vstack([task.sources, noise])).draw(n, rng)
    sources = {str(k): (draw.X, source) for k, source in enumerate(draw.task.sources)}
    table = selection.compare(sources, draw.y, ridges=draw.ridges[:-1])
    risks = {
        "promised": draw.scores.min(),
        "nested": table.loc["choice", "error"],
        "true": draw.risk[draw.one],
        "combine evenly": draw.evenly()[1],
    }
    return {name: risk / draw.risk[draw.safe] for name, risk in risks.items()}


def extractors(images, unlabelled, rng):
    """Features of images of digits: name → array (m, D).

    Parameters
    ----------
    images : array (m, 64)
    unlabelled : array (k, 64)
        Other images, for the principal components.
    rng : numpy.random.Generator
        The source of the random weights.

    Returns
    -------
    dict of str to array
        The pixels; sums over 2 × 2 of them; the first 5, 10, 20 or 40 principal components; 30, 100
        or 300 random ReLU features; 400 of the first five components; and gradients in eight
        directions, summed over 2 × 2 pixels.
    """
    images = checks.array("images", images, (None, 64))
    unlabelled = checks.array("unlabelled", unlabelled, (None, 64))
    rng = checks.generator("rng", rng)
    axes = np.linalg.svd(unlabelled, full_matrices=False)[2]
    down, across = np.gradient(images.reshape(-1, 8, 8), axis=(1, 2))
    angles = np.arange(8) * math.pi / 4
    slopes = [np.maximum(down * math.sin(a) + across * math.cos(a), 0) for a in angles]
    found = {"pixels": images, "coarse": _pooled(images)}
    found |= {f"PCA {k}": images @ axes[:k].T for k in (5, 10, 20, 40)}
    found |= {f"ReLU {k}": _relu(images, k, rng) for k in _WIDTHS}
    found["ReLU of PCA 5"] = _relu(found["PCA 5"], 400, rng)
    return found | {"gradients": np.hstack([_pooled(slope) for slope in slopes])}


def _pooled(images):
    """Sums over 2 × 2 pixels, (m, 16)."""
    return images.reshape(-1, 4, 2, 4, 2).sum(axis=(2, 4)).reshape(-1, 16)


def _relu(inputs, count, rng):
    return np.maximum(inputs @ rng.standard_normal((inputs.shape[1], count)), 0)


def choose_extractor(rng):
    """Which features for a head trained from scratch? For a random union of three to five digits.

    Made for ``sweep``. Leave-one-out chooses the ridge of each head.

    Parameters
    ----------
    rng : numpy.random.Generator
        The source of randomness.

    Returns
    -------
    list of dict
        For each ``n`` of ``SIZES`` and each ``method``: ``risk`` of the features that it chooses,
        relative to that of the best; the mean over those that tie, and their number ``tied``.
    """
    rng = checks.generator("rng", rng)
    X, shown = _digits()
    ours, theirs = np.split(rng.permutation(len(X)), [len(X) // 2])
    labels = _signs(np.isin(shown[ours], rng.permutation(10)[: rng.integers(3, 6)]))
    features, rows = extractors(X[ours], X[theirs], rng), []
    for n in SIZES:
        judged = [_judged(F, labels, n) for F in features.values()]
        scores = {key: ten_digits([row[key] for row in judged], 1.0) for key in judged[0]}
        risk = scores.pop("risk")
        for method, score in scores.items():
            first = score == score.min()
            chosen = {"risk": risk[first].mean() / risk.min(), "tied": first.sum()}
            rows.append({"n": n, "method": method} | chosen)
    return rows


def _judged(features, labels, n):
    """Scores of features from n samples, lower is better; and the risk on those after ``SIZES``."""
    F, y, rest = features[:n], labels[:n], slice(max(SIZES), None)
    ridges, zero = LEVELS * (np.sum(F**2) / n), np.zeros((1, F.shape[1]))
    errors, risk = _tuned(F, y, features[rest], labels[rest], zero, ridges)
    scores, folds = _mean_square(errors)[:, 0], np.arange(n) % 5
    held = [
        _tuned(F[folds != k], y[folds != k], F[folds == k], y[folds == k], zero, ridges)[1]
        for k in range(5)
    ]
    return {
        "risk": risk[scores.argmin(), 0],
        "leave-one-out": scores.min(),
        "five folds": np.mean(held, axis=0).min(),
        "LogME": -transferability.logme(F, y),
        "H-score": -transferability.h_score(F, y > 0),
        "largest": -F.shape[1],
        "at random": 0,
    }
