"""How people rate words, as a task: extractors of features, heads from other word lists.

Words are split by their stems: heads are fitted on words of one half, tasks are about words of the
other. Of these, some are labelled and the rest tests.

Contract: a wrong type is a TypeError; a wrong shape, an entry that is not finite, or a number out
of its range a ValueError. Both name the argument.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import scipy.sparse
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import RidgeCV

from lib import checks, datasets, forecast, planning, selection, transferability
from lib.linear_regression import finetune
from lib.numerics import ten_digits
from lib.problem import Population, TransferProblem
from lib.row_space import RowSpace

__all__ = [
    "CANDIDATES",
    "EXTRACTORS",
    "RatedWords",
    "choices",
    "coverage",
    "curve",
    "head_error",
    "rated_words",
    "teacher_problem",
]

EXTRACTORS = ("vectors", "first 64", "random", "n-grams", "sentence")
CANDIDATES = {name: (name, None) for name in EXTRACTORS} | {
    "vectors, AFINN": ("vectors", "valence"),
    "sentence, AFINN": ("sentence", "valence"),
}
_LISTS = ("valence", "polarity", "subjectivity")
_RATERS = (1, 4, 7)  # places in the list, of ten
_GRID = np.geomspace(1e-3, 1e3, 25)  # ridges, in units of the mean square length of an input
_TEST = 1200  # words that no one trains on


@dataclass(frozen=True, eq=False)
class RatedWords:
    """Words with what people said of them, and what models make of them.

    Parameters
    ----------
    words : list of N str
        In random order.
    labels : dict of str to array (N,)
        "mean": of ten ratings from −4 to 4; "strength": its absolute value; "spread": the ratings'
        standard deviation; "rater 1", …: single ratings, by their place in the list.
    features : dict of str to array (N, D)
        Of each extractor; the last column is 1.
    heads : dict of (str, str) to array (D,)
        (extractor, word list) → the head that predicts the list, fitted on other words.
    shares : scipy.sparse.csr_array (N, T)
        Of the tokens in each word.
    vectors : array (T, 384)
        Of the tokens.
    stems : array (N,) of int
        The number of each word's stem.

    All arrays are read-only.
    """

    words: list
    labels: dict
    features: dict
    heads: dict
    shares: scipy.sparse.csr_array
    vectors: np.ndarray
    stems: np.ndarray

    def __post_init__(self):
        arrays = [*self.labels.values(), *self.features.values(), *self.heads.values()]
        for array in (*arrays, self.shares.data, self.vectors, self.stems):
            array.flags.writeable = False


@cache
def rated_words(halves=0):
    """The words of ``datasets.words``, split by stems.

    Parameters
    ----------
    halves : int
        The seed that decides which half of the stems is for heads, and the order of the words.

    Returns
    -------
    RatedWords
        Extractors: "vectors", the mean of a word's token vectors; "first 64" of their dimensions;
        "random", the mean of 384 random numbers for each token; "n-grams", 512 hashed counts of two
        to four letters; "sentence", the transformer's vector for the word alone. Heads have the
        ridge with the least leave-one-out error.

    Notes
    -----
    Cost: two seconds, the first time; then the same arrays.
    """
    data = datasets.words()
    rng = np.random.default_rng(halves)
    theirs = (rng.random(data.stems.max() + 1) < 0.5)[data.stems]
    rated = np.isfinite(data.ratings[:, 0])
    ours = rng.permutation(np.flatnonzero(rated & ~theirs))
    random = rng.standard_normal(data.vectors.shape) / np.sqrt(data.vectors.shape[1])
    hashed = HashingVectorizer(analyzer="char_wb", ngram_range=(2, 4), n_features=512)
    features = {
        "vectors": data.data,
        "first 64": data.data[:, :64],
        "random": data.shares @ random,
        "n-grams": hashed.transform(data.words).toarray(),
        "sentence": data.sentence,
    }
    features = {
        name: np.column_stack([values, np.ones(len(values))]) for name, values in features.items()
    }
    heads = {}
    for extractor in ("vectors", "sentence"):
        for name in _LISTS:
            known = theirs & np.isfinite(data[name]) & np.isfinite(features[extractor][:, 0])
            model = RidgeCV(np.geomspace(1e-2, 1e3, 21), fit_intercept=False)
            heads[extractor, name] = model.fit(features[extractor][known], data[name][known]).coef_
    ratings = data.ratings[ours]
    labels = {"mean": ratings.mean(axis=1), "strength": np.abs(ratings.mean(axis=1))}
    labels |= {"spread": ratings.std(axis=1)}
    labels |= {f"rater {place}": ratings[:, place - 1] for place in _RATERS}
    return RatedWords(
        words=[data.words[k] for k in ours],
        labels=labels,
        features={name: values[ours] for name, values in features.items()},
        heads=heads,
        shares=data.shares[ours],
        vectors=data.vectors,
        stems=data.stems[ours],
    )


def _candidate(name, halves):
    """Features and start of a candidate."""
    extractor, lexicon = CANDIDATES[checks.choice("candidate", name, CANDIDATES)]
    task = rated_words(halves)
    X = task.features[extractor]
    return X, np.zeros(X.shape[1]) if lexicon is None else task.heads[extractor, lexicon]


def _label(name, halves):
    """Labels of a kind, (N,)."""
    labels = rated_words(halves).labels
    return labels[checks.choice("label", name, labels)]


@cache
def teacher_problem(candidate, label="mean", halves=0):
    """The words as a population with a linear teacher: the problem, and the labels' noise σ.

    The teacher is the least-squares readout of all mean ratings, σ the root mean square of what it
    leaves unexplained of the labels.
    """
    X, start = _candidate(candidate, halves)
    teacher = datasets.readout(X, _label("mean", halves))
    noise = float(np.sqrt(np.mean((_label(label, halves) - X @ teacher) ** 2)))
    return TransferProblem(Population.from_samples(X), start, teacher), noise


def head_error(candidate, label, n, rng, halves=0):
    """Mean squared error on mean ratings of words not seen, after training the head on n labels.

    Of the kind ``label``, with the ridge that ``planning.optimal_ridge`` calls best for the teacher
    and the noise of ``teacher_problem``. Made for ``sweep``.

    Returns
    -------
    dict
        ``error``.
    """
    X, start = _candidate(candidate, halves)
    y, goal = _label(label, halves), _label("mean", halves)
    n = checks.integer("n", n, at_least=1, at_most=len(X) - 1)
    problem, noise = teacher_problem(candidate, label, halves)
    order = checks.generator("rng", rng).permutation(len(X))
    some, rest = order[:n], order[n:]
    ridge = planning.optimal_ridge(problem, n, noise)
    theta = finetune(X[some], y[some], start, ridge=ridge)
    return {"error": np.mean((goal[rest] - X[rest] @ theta) ** 2)}


def curve(candidate, n, rng, halves=0):
    """Mean squared error on test words after training the head on n labels of each kind.

    The ridge is chosen by leave-one-out. Training words and test words are disjoint, from seed to
    seed the test words are the same, the last 1200. Made for ``sweep``.

    Returns
    -------
    list of dict
        ``label`` and ``error``, one for each kind of labels.
    """
    X, start = _candidate(candidate, halves)
    labels = rated_words(halves).labels
    some = _drawn(len(X), n, rng)
    y = np.column_stack(list(labels.values()))
    errors = _tested(X, start, y, some)
    return [{"label": label, "error": error} for label, error in zip(labels, errors, strict=True)]


def _drawn(words, n, rng):
    """Positions of n words to train on."""
    n = checks.integer("n", n, at_least=2, at_most=words - _TEST)
    return checks.generator("rng", rng).permutation(words - _TEST)[:n]


def _tested(X, start, y, some):
    """Errors (k,) on the last words of heads for y (N, k), trained on ``some``."""
    space, test = RowSpace(X[some]), slice(len(X) - _TEST, None)
    labels, ridges = y[some].T - X[some] @ start, _ridges(X[some])
    shown = space.seen(X[test])
    scores = [np.mean(space.leave_one_out(labels, ridge) ** 2, axis=1) for ridge in ridges]
    best = ridges[np.argmin(ten_digits(np.sqrt(scores)), axis=0)]
    fits = [space.fitted(target, ridge) for target, ridge in zip(labels, best, strict=True)]
    return np.mean((y[test].T - X[test] @ start - fits @ shown.T) ** 2, axis=1)


def _ridges(X):
    """The ridges to choose from, in units of the mean square length of the rows."""
    return _GRID * np.sum(X**2) / len(X)


def _five_fold(X, residual):
    """The least mean squared error of five-fold cross-validation over the ridges."""
    ridges, errors = _ridges(X), []
    for left in np.array_split(np.arange(len(X)), 5):
        space = RowSpace(np.delete(X, left, axis=0))
        known = np.delete(residual, left)
        fits = np.array([space.fitted(known, ridge) for ridge in ridges])
        errors.append((residual[left] - fits @ space.seen(X[left]).T) ** 2)
    return np.concatenate(errors, axis=1).mean(axis=1).min()


def coverage(candidate, label, labelled, rng, halves=0):
    """A forecast from ``labelled`` labels of a kind, of the errors on test words to come.

    Made for ``sweep``.

    Returns
    -------
    list of dict
        For each ``n``: ``low``, ``middle`` and ``high`` of the mean squared error on labels, of a
        band of 80 %; and the ``evidence``.
    """
    X, start = _candidate(candidate, halves)
    y, sizes = _label(label, halves), np.array([100.0, 600.0, 1600.0])
    some = _drawn(len(X), labelled, rng)
    inputs = teacher_problem(candidate, halves=halves)[0].population
    found = forecast.learning_curve(
        X[some], y[some], sizes, source=start, unlabelled=inputs, rng=rng
    )
    errors = found.curves + found.noises[:, None] ** 2
    ends = np.quantile(errors, [0.1, 0.5, 0.9], axis=0)
    return [
        {"n": n, "low": low, "middle": middle, "high": high, "evidence": found.evidence}
        for n, low, middle, high in zip(sizes, *ends, strict=True)
    ]


def choices(label, labelled, rng, halves=0):
    """What each method chooses among the candidates from ``labelled`` labels. Made for ``sweep``.

    Returns
    -------
    list of dict
        For each ``method``: the ``candidate``, and its ``error`` on test words after training on
        these labels, its ridge by leave-one-out. Methods: "compare", ``selection.compare``;
        "five-fold", cross-validation of ridge and candidate; "LogME", among those without a head;
        "largest", the extractor with most features; "best", which knows the errors; "combine",
        ``selection.combine`` of the three heads on sentence vectors; and "two numbers", the answers
        of AFINN's head on these, times one number plus another, by least squares.
    """
    task, y = rated_words(halves), _label(label, halves)
    some = _drawn(len(y), labelled, rng)
    pairs = {name: _candidate(name, halves) for name in CANDIDATES}
    given = {
        name: (X[some], start) if start.any() else X[some] for name, (X, start) in pairs.items()
    }
    table = selection.compare(given, y[some])
    first = table.index[0].removesuffix(", as it is")
    errors = {}
    for name, (X, start) in pairs.items():
        errors[name] = float(_tested(X, start, y[:, None], some)[0])
    folds = {
        name: _five_fold(X[some], y[some] - X[some] @ start) for name, (X, start) in pairs.items()
    }
    evidence = {name: transferability.logme(pairs[name][0][some], y[some]) for name in EXTRACTORS}
    chosen = {
        "compare": first,
        "five-fold": min(folds, key=folds.get),
        "LogME": max(evidence, key=evidence.get),
        "largest": max(EXTRACTORS, key=lambda name: pairs[name][0].shape[1]),
        "best": min(errors, key=errors.get),
    }
    rows = [
        {"method": method, "candidate": name, "error": errors[name]}
        for method, name in chosen.items()
    ]
    X, test = task.features["sentence"], slice(len(y) - _TEST, None)
    mixed = selection.combine(X[some], y[some], [task.heads["sentence", name] for name in _LISTS])
    answers = np.column_stack([X @ task.heads["sentence", "valence"], np.ones(len(X))])
    numbers = datasets.readout(answers[some], y[some])
    for method, name, guess in (
        ("combine", "sentence, three heads", X @ mixed.theta),
        ("two numbers", "sentence, AFINN, rescaled", answers @ numbers),
    ):
        error = np.mean((y[test] - guess[test]) ** 2)
        rows.append({"method": method, "candidate": name, "error": error})
    return rows
