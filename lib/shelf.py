"""A shelf of pretrained teachers, tasks to fine-tune them for, and how well one can choose.

The risk of every choice is measured on images that neither the teachers nor the samples have seen.
What is made for ``sweep`` halves the images and asks a question at random, for each seed its own,
the same at every n.

Contract: a wrong type is a TypeError; a wrong shape, an entry that is not finite, or a number out
of its range a ValueError. Both name the argument.
"""

import math
from dataclasses import dataclass
from functools import cache, cached_property, partial
from itertools import combinations

import numpy as np
from scipy.stats import kendalltau

from lib import (
    bounds,
    checks,
    datasets,
    deep_linear,
    exact_risk,
    linear_regression,
    relu,
    selection,
    similarity,
    transferability,
)
from lib.numerics import ten_digits
from lib.problem import Population, TransferProblem

__all__ = [
    "Draw",
    "LABELS",
    "RATIOS",
    "Shelf",
    "cautious",
    "compete",
    "curse",
    "digit_shelf",
    "draw",
    "known_target_scores",
    "other_models",
    "pairs",
    "practical_scores",
    "question",
]

LABELS = ("raw", "teacher")
RATIOS = (1.0, 1.1, 1.25, 1.5, 2.0)  # where groups of ratios of two risks begin, in ``pairs``
_RANK = 10  # of the top directions
_HALVES = 20  # ways to halve the images, as many shelves


@dataclass(frozen=True, eq=False)
class Shelf:
    """Candidate teachers, and images that none of them has seen.

    Parameters
    ----------
    teachers : array (N, d)
        One candidate per row: ten teachers of "is it a 0?", …, then others; the last one is zero,
        training from scratch.
    images : array (m, d)
        The images to ask questions about.
    digits : array (m,)
        What they show.
    """

    teachers: np.ndarray
    images: np.ndarray
    digits: np.ndarray


def digit_shelf(halves=0):
    """78 candidates for questions about handwritten digits of 8 × 8 pixels.

    Parameters
    ----------
    halves : int
        The seed that decides which half of ``datasets.digits`` the teachers are trained on; the
        images of the shelf are the other half.

    Returns
    -------
    Shelf
        Ten teachers of "is it a 0?", …; 45 of "a 0 or a 1?", …, trained on these digits only; six
        trained to guess the hidden pixels of a photograph from its patches, and their negatives;
        ten random vectors; and zero.

    Notes
    -----
    Cost: 0.1 s, the first time; then the same arrays, read-only, are returned.
    """
    return _digit_shelf(checks.integer("halves", halves, at_least=0))


@cache
def _digit_shelf(halves):
    data = datasets.digits()
    rng = np.random.default_rng(halves)
    order = rng.permutation(len(data.target))
    ours, theirs = np.split(order, [len(order) // 2])

    def teacher(yes, among):
        chosen = theirs[np.isin(data.target[theirs], among)]
        return datasets.readout(data.data[chosen], _signs(data.target[chosen] == yes))

    patches = datasets.image_patches("china", stride=9)
    of_patches = datasets.readout(patches.patches[:, :8, :8].reshape(-1, 64), patches.target)
    teachers = [
        [teacher(a, range(10)) for a in range(10)],
        [teacher(a, (a, b)) for a, b in combinations(range(10), 2)],
        of_patches,
        -of_patches,
        rng.standard_normal((10, 64)) / 2,
        np.zeros((1, 64)),
    ]
    shelf = Shelf(np.vstack(teachers), data.data[ours], data.target[ours])
    for array in (shelf.teachers, shelf.images, shelf.digits):
        array.flags.writeable = False
    return shelf


def _signs(yes):
    return np.where(yes, 1.0, -1.0)


@dataclass(frozen=True, eq=False)
class Draw:
    """n samples of a task, and sources to fine-tune on them.

    Parameters
    ----------
    X, y : array (n, d), array (n,)
        The samples.
    X_test, y_test : array (m, d), array (m,)
        The rest of the data, on which risks are measured.
    sources : array (N, d)
        The last one is zero, training from scratch.
    ridge : float
        δ ≥ 0 of the fine-tuning.
    """

    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    sources: np.ndarray
    ridge: float

    @cached_property
    def residual(self):
        """What each source misses on the samples, (n, N)."""
        return self.y[:, None] - self.X @ self.sources.T

    @cached_property
    def coefficients(self):
        """(XXᵀ + δI)⁺ residual, (n, N)."""
        A = self.X @ self.X.T + self.ridge * np.eye(len(self.X))
        return np.linalg.lstsq(A, self.residual)[0]

    @cached_property
    def risk(self):
        """Mean squared error of each source after fine-tuning, on the rest of the data, (N,)."""
        return self.test(self.sources + self.coefficients.T @ self.X)

    @cached_property
    def relative_risk(self):
        """The risk of each source, divided by that of training from scratch, (N,)."""
        return self.risk / self.risk[-1]

    @cached_property
    def squared_errors(self):
        """Leave-one-out errors squared, (n, N)."""
        return selection.leave_one_out(self.X @ self.X.T, self.residual, self.ridge) ** 2

    def test(self, teachers):
        """Mean squared error of teachers (..., d) on the rest of the data, (...)."""
        return np.mean((teachers @ self.X_test.T - self.y_test) ** 2, axis=-1)

    def choices(self, candidates=slice(None)):
        """Choice by leave-one-out among the candidates, of which the last must be zero.

        Returns
        -------
        dict of str to float
            Risks relative to training from scratch: of the ``plain`` choice, the least mean error;
            of the ``cautious`` one; and of the ``best`` candidate.
        """
        errors, risk = self.squared_errors[:, candidates], self.relative_risk[candidates]
        plain, careful = errors.mean(axis=0).argmin(), cautious(errors, safe=-1).argmin()
        return {"plain": risk[plain], "cautious": risk[careful], "best": risk.min()}

    def mixture(self, count, ridge):
        """Relative risk of Σₖ wₖ sources[k], the first ``count``, fitted with a ridge on w."""
        features = self.X @ self.sources[:count].T
        weights = linear_regression.finetune(features, self.y, np.zeros(count), ridge)
        return self.test(weights @ self.sources[:count]) / self.risk[-1]


def draw(inputs, answers, sources, n, ridge, rng):
    """Draw n samples of a task without replacement; the rest tells the risk.

    Parameters
    ----------
    inputs : array (m, d)
        All inputs of the task.
    answers : array (m,)
        Their labels.
    sources : array (N, d)
        Candidates; the last one must be zero, training from scratch.
    n : int
        Samples, at least 2 and less than m.
    ridge : float
        δ ≥ 0 of the fine-tuning.
    rng : numpy.random.Generator
        The source of randomness.

    Returns
    -------
    Draw
    """
    inputs = checks.samples(inputs, name="inputs")
    answers = checks.array("answers", answers, (len(inputs),))
    sources = checks.array("sources", sources, (None, inputs.shape[1]))
    if len(sources) == 0 or sources[-1].any():
        raise ValueError("sources must end with a row of zeros")
    n = checks.integer("n", n, at_least=2, at_most=len(inputs) - 1)
    ridge = checks.real("ridge", ridge, at_least=0)
    order = checks.generator("rng", rng).permutation(len(inputs))
    (X, X_test), (y, y_test) = (np.split(array[order], [n]) for array in (inputs, answers))
    return Draw(X, y, X_test, y_test, sources, ridge)


def question(labels, ridge, n, rng):
    """Draw a ``digit_shelf``, and a question: is the digit among three, four or five of the ten.

    Parameters
    ----------
    labels : {"raw", "teacher"}
        The answers ±1, or what their least-squares readout on all images of the shelf makes of
        them, which is a linear function of the pixels.
    ridge, n, rng
        As in ``draw``.

    Returns
    -------
    Draw
        Samples, and all sources of the shelf.
    target : array (d,)
        The readout, the best linear teacher.
    """
    checks.choice("labels", labels, LABELS)
    rng = checks.generator("rng", rng)
    shelf = digit_shelf(rng.integers(_HALVES))
    yes = rng.permutation(10)[: rng.integers(3, 6)]
    answers = _signs(np.isin(shelf.digits, yes))
    target = datasets.readout(shelf.images, answers)
    if labels == "teacher":
        answers = shelf.images @ target
    return draw(shelf.images, answers, shelf.teachers, n, ridge, rng), target


def cautious(errors, safe):
    """How much worse than a safe candidate each one may be, at the pessimistic end.

    Parameters
    ----------
    errors : array (n, N)
        Squared leave-one-out errors, one column per candidate.
    safe : int
        The column of the candidate to compare with.

    Returns
    -------
    array (N,)
        The mean of errors − errors[:, safe], plus √(2 log N) of its standard errors; 0 for the safe
        candidate. The least is the cautious choice.

    Notes
    -----
    A rule of thumb: √(2 log N) is an upper bound of the mean of the largest of N standard normal
    variables, and the differences are neither normal nor independent.

    Examples
    --------
    The second candidate is better in the mean by 1, with a standard error of 1.

    >>> cautious([[2, 2], [2, 0]], safe=0).round(3).tolist()
    [0.0, 0.177]
    """
    errors = checks.array("errors", errors, (None, None))
    n, count = errors.shape
    if n < 2 or count == 0:
        raise ValueError(f"errors must have two rows and a column at least, got {errors.shape}")
    safe = checks.integer("safe", safe, at_least=-count, at_most=count - 1)
    difference = errors - errors[:, [safe]]
    spread = difference.std(axis=0, ddof=1) / math.sqrt(n)
    return difference.mean(axis=0) + math.sqrt(2 * math.log(count)) * spread


def practical_scores(sample):
    """What can be computed from the samples: method → score of each source, lower is better.

    Parameters
    ----------
    sample : Draw
        For the H-score, positive labels are one class, the others the second.

    Returns
    -------
    dict of str to array (N,)
        To ten digits: what ties in exact arithmetic ties here.

    Notes
    -----
    LogME and the H-score are given the source's output, one feature. Cost: 0.1 s, theirs.
    """
    checks.instance("sample", sample, Draw)
    outputs = (sample.sources @ sample.X.T)[:, :, None]
    logme = [transferability.logme(output, sample.y) for output in outputs]
    h_score = [transferability.h_score(output, sample.y > 0) for output in outputs]
    return _rounded(
        {
            "leave-one-out": sample.squared_errors.mean(axis=0),
            "before fine-tuning": np.mean(sample.residual**2, axis=0),
            "least way": np.sum(sample.residual * sample.coefficients, axis=0),
            "LogME": np.negative(logme),
            "H-score": np.negative(h_score),
        }
    )


def known_target_scores(sample, target):
    """What one could compute who knew the target teacher: measure → score, lower is better.

    Parameters
    ----------
    sample : Draw
        Supplies the sources, and its samples to the spectral bound. The second moment of the inputs
        is that of all its data.
    target : array (d,)
        θ_T.

    Returns
    -------
    dict of str to array (N,)
        To ten digits. The cosines of zero, which has no direction, count as 0.
    """
    checks.instance("sample", sample, Draw)
    population = Population.from_samples(np.vstack([sample.X, sample.X_test]))
    problem = TransferProblem(population, sample.sources, target)
    directed = TransferProblem(population, sample.sources[:-1], target)
    error = bounds.covariance_error(population, sample.X)
    return _rounded(
        {
            "exact risk": exact_risk.linear_risk(problem, len(sample.X), sample.ridge),
            "distance": similarity.squared_distance(problem),
            "Σ-distance": similarity.weighted_squared_distance(problem),
            "top energy": similarity.top_energy(problem, _RANK),
            "tail energy": similarity.tail_energy(problem, _RANK),
            "spectral bound": bounds.spectral_bound(problem, error),
            "cosine": -np.append(similarity.cosine(directed), 0.0),
            "Σ-cosine": -np.append(similarity.weighted_cosine(directed), 0.0),
        }
    )


def _rounded(scores):
    return {
        name: ten_digits(score, max(np.abs(score).max(), 1.0)) for name, score in scores.items()
    }


def compete(labels, ridge, n, rng):
    """Every score on one random question: how it orders the shelf, and what it chooses.

    Made for ``sweep``.

    Parameters
    ----------
    labels, ridge, n, rng
        As in ``question``.

    Returns
    -------
    list of dict
        One for each ``method``: ``Kendall``, the rank correlation of its scores with the risks, 0
        if it calls all sources equal; and ``risk``, relative to training from scratch, of the
        source that it puts first, the mean if several share the first place. Also "best", which
        knows the risks, and "at random".
    """
    sample, target = question(labels, ridge, n, rng)
    scores = practical_scores(sample) | known_target_scores(sample, target)
    risk = sample.relative_risk
    rows = [
        {
            "method": method,
            "Kendall": np.nan_to_num(kendalltau(score, risk).statistic),
            "risk": risk[score == score.min()].mean(),
        }
        for method, score in scores.items()
    ]
    ends = {"best": risk.min(), "at random": risk.mean()}
    return rows + [{"method": name, "Kendall": math.nan, "risk": r} for name, r in ends.items()]


def curse(labels, ridge, candidates, n, rng):
    """Choice by leave-one-out among some of the candidates, plain and cautious.

    Made for ``sweep``.

    Parameters
    ----------
    labels, ridge, n, rng
        As in ``question``.
    candidates : int
        How many sources, drawn at random; one of them is zero. At least 2.

    Returns
    -------
    dict of str to float
        As ``Draw.choices`` does.
    """
    sample, _ = question(labels, ridge, n, rng)
    last = len(sample.sources) - 1
    candidates = checks.integer("candidates", candidates, at_least=2, at_most=last + 1)
    return sample.choices(np.append(rng.permutation(last)[: candidates - 1], last))


def pairs(labels, ridge, n, rng):
    """How often leave-one-out puts the better of two sources first, by the ratio of their risks.

    Made for ``sweep``.

    Parameters
    ----------
    labels, ridge, n, rng
        As in ``question``.

    Returns
    -------
    list of dict
        One for each group of pairs that is not empty: ``ratio``, where it begins (``RATIOS``), and
        ``right``, the share of its pairs in the right order.
    """
    sample, _ = question(labels, ridge, n, rng)
    i, j = np.triu_indices(len(sample.sources), 1)
    scores = sample.squared_errors.mean(axis=0)
    difference = np.log(sample.risk[i] / sample.risk[j])
    right = (scores[i] > scores[j]) == (difference > 0)
    group = np.digitize(np.exp(np.abs(difference)), RATIOS) - 1
    return [{"ratio": RATIOS[g], "right": right[group == g].mean()} for g in np.unique(group)]


def other_models(n, rng):
    """Does another model need its own leave-one-out? Teacher labels, no ridge, all sources but 0.

    Made for ``sweep``.

    Parameters
    ----------
    n, rng
        As in ``question``.

    Returns
    -------
    list of dict
        One for each ``model``, of depth 3 and wide ReLU: the Kendall correlations of its risk after
        fine-tuning with its ``own score``, the ``linear score`` and the ``linear risk``.

    Notes
    -----
    Cost: 0.2 s.
    """
    sample, _ = question("teacher", 0.0, n, rng)
    X, y, sources = sample.X, sample.y, sample.sources[:-1]
    deep = np.array([deep_linear.finetune(X, y, source, 3) for source in sources])
    missed = sample.y_test[:, None] - sample.X_test @ sources.T
    missed -= relu.finetune(X, sample.residual[:, :-1], sample.X_test)
    models = {
        "depth 3": (sample.test(deep), {"depth": 3}),
        "wide ReLU": (np.mean(missed**2, axis=0), {"kernel": relu.ntk}),
    }
    scores = partial(selection.rank_sources, X, y, sources)
    linear = {"linear score": scores()[1], "linear risk": sample.risk[:-1]}
    return [
        {"model": model}
        | {
            key: kendalltau(score, risk).statistic
            for key, score in ({"own score": scores(**options)[1]} | linear).items()
        }
        for model, (risk, options) in models.items()
    ]
