"""Tasks of rated words: each function against refitting, brute force, or what it promises."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import scipy.linalg
import scipy.sparse.linalg
import scipy.stats
from sklearn.linear_model import Ridge, RidgeCV

from lib import datasets, exact_risk, forecast, lexicon, planning, selection, transferability

TWO = {name: lexicon.CANDIDATES[name] for name in ("vectors", "vectors, AFINN")}
LISTS = ("valence", "polarity", "subjectivity")


@pytest.fixture(scope="module")
def bunch():
    return datasets.words()


@pytest.fixture(scope="module", params=[0, 3])
def halves(request):
    return request.param


@pytest.fixture
def two(monkeypatch):
    """Leave two candidates, of one extractor."""
    monkeypatch.setattr(lexicon, "CANDIDATES", TWO)
    monkeypatch.setattr(lexicon, "EXTRACTORS", ("vectors",))


def rng(seed=7):
    return np.random.default_rng(seed)


def rows_of(task, bunch):
    """Where the words of a task stand in the file."""
    place = {word: i for i, word in enumerate(bunch.words)}
    return np.array([place[word] for word in task.words])


def fitted(X, y, start, ridge):
    """Return a head by scikit-learn, which knows no start."""
    return start + Ridge(ridge, fit_intercept=False).fit(X, y - X @ start).coef_


def ridge_of_least_error(X, y, start):
    """By scikit-learn's leave-one-out, among the 25 that the module promises."""
    ridges = np.geomspace(1e-3, 1e3, 25) * np.mean(np.sum(X**2, axis=1))
    return RidgeCV(ridges, fit_intercept=False).fit(X, y - X @ start).alpha_


# ------------------------------------------------------------------------------------- the words


def test_target_words_are_whole_stems_and_all_that_are_rated_of_these(halves, bunch):
    task = lexicon.rated_words(halves)
    at = rows_of(task, bunch)
    rated = np.isfinite(bunch.ratings).all(axis=1)
    assert len(set(task.words)) == len(task.words) and rated[at].all()
    ours = np.isin(bunch.stems, bunch.stems[at])
    assert set(np.flatnonzero(ours & rated)) == set(at)  # no word of a stem of ours left out
    assert 0.45 < len(at) / rated.sum() < 0.55
    assert not (np.diff(at) > 0).mean() > 0.55  # not in the order of the alphabet


def test_halves_differ_and_one_of_them_comes_out_the_same(monkeypatch):
    first, second = (set(lexicon.rated_words(halves).words) for halves in (0, 3))
    assert 0.2 < len(first & second) / len(first | second) < 0.5  # of fair coins 1/3
    anew = lexicon.rated_words.__wrapped__(3)
    again = lexicon.rated_words(3)
    assert anew is not again and anew.words == again.words
    for name in lexicon.EXTRACTORS:
        np.testing.assert_array_equal(anew.features[name], again.features[name])
    for pair in again.heads:
        np.testing.assert_array_equal(anew.heads[pair], again.heads[pair])


def test_labels_are_made_of_the_ratings(halves, bunch):
    task = lexicon.rated_words(halves)
    ratings = pd.DataFrame(bunch.ratings[rows_of(task, bunch)])
    raters = {f"rater {k}": ratings[k - 1] for k in (1, 4, 7)}
    mean = ratings.mean(axis=1)
    expected = {"mean": mean, "strength": mean.abs(), "spread": ratings.std(axis=1, ddof=0)}
    assert list(task.labels) == [*expected, *raters]
    for name, values in (expected | raters).items():
        np.testing.assert_allclose(task.labels[name], values, atol=1e-13)


def test_features_are_what_their_names_say(halves, bunch):
    task = lexicon.rated_words(halves)
    at = rows_of(task, bunch)
    widths = {"vectors": 384, "first 64": 64, "random": 384, "n-grams": 512, "sentence": 384}
    assert {name: X.shape for name, X in task.features.items()} == {
        name: (len(at), width + 1) for name, width in widths.items()
    }
    for X in task.features.values():
        assert np.isfinite(X).all() and (X[:, -1] == 1).all()
    np.testing.assert_array_equal(task.shares.toarray(), bunch.shares[at].toarray())
    np.testing.assert_array_equal(task.vectors, bunch.vectors)
    X = task.features
    np.testing.assert_allclose(X["vectors"][:, :-1], task.shares @ task.vectors, atol=1e-14)
    np.testing.assert_array_equal(X["first 64"][:, :-1], X["vectors"][:, :64])
    np.testing.assert_array_equal(X["sentence"][:, :-1], bunch.sentence[at])


def test_random_features_are_one_draw_for_each_token(halves):
    """Means of one draw for each token are combinations of the shares' columns; others are not."""
    task = lexicon.rated_words(halves)
    X = task.features["random"][:, :-1]
    shuffled = rng().permutation(X[:, 0])
    for column, left in ((X[:, 0], 0), (X[:, 383], 0), (shuffled, 0.1)):
        found = scipy.sparse.linalg.lsqr(task.shares, column, atol=1e-13, btol=1e-13, iter_lim=3000)
        share = found[3] / np.linalg.norm(column)
        assert share > left if left else share < 1e-9
    single = task.shares.max(axis=1).toarray().ravel() == 1  # words of one token, all different
    assert X[single].var() == pytest.approx(1 / 384, rel=0.02)
    assert abs(np.corrcoef(X[single][:40])[np.triu_indices(40, 1)]).max() < 0.3


def test_counts_are_of_the_letters_of_a_word_alone(halves):
    """Two to four letters, the word's two ends counted: n-grams of " word ", up to their hashes."""
    task = lexicon.rated_words(halves)
    counts = task.features["n-grams"][:, :-1]
    np.testing.assert_allclose(np.linalg.norm(counts, axis=1), 1, atol=1e-12)
    grams = [
        {f" {word} "[i : i + k] for k in (2, 3, 4) for i in range(len(word) + 3 - k)}
        for word in task.words[:60]
    ]
    common = [len(a & b) for a, b in pairwise(grams)]
    inner = [a @ b for a, b in pairwise(counts[:60])]
    assert np.corrcoef(common, inner)[0, 1] > 0.6
    assert all((row != 0).sum() <= len(g) for row, g in zip(counts, grams, strict=False))
    # Hashes rarely meet: of n-grams all different, nearly all have a place of their own.
    full = [(row != 0).sum() / len(g) for row, g in zip(counts, grams, strict=False)]
    assert np.mean(full) > 0.9


def test_heads_are_fitted_on_words_that_share_no_stem_with_the_targets(halves, bunch):
    """Refitted on the words of the other stems only, by the eigenvalues of XXᵀ."""
    task = lexicon.rated_words(halves)
    theirs = ~np.isin(bunch.stems, bunch.stems[rows_of(task, bunch)])
    unrated = ~np.isin(bunch.stems, bunch.stems[np.isfinite(bunch.ratings[:, 0])])
    # Stems that have no rated word are on neither side's list of words: the coin decides.
    coin = np.random.default_rng(halves).random(bunch.stems.max() + 1) < 0.5
    np.testing.assert_array_equal(theirs & ~unrated, coin[bunch.stems] & ~unrated)
    theirs = coin[bunch.stems]
    assert set(task.heads) == {(f, name) for f in ("vectors", "sentence") for name in LISTS}
    inputs = {"vectors": bunch.data, "sentence": bunch.sentence}
    for (extractor, name), head in task.heads.items():
        X = np.column_stack([inputs[extractor], np.ones(len(theirs))])
        known = theirs & np.isfinite(bunch[name]) & np.isfinite(X).all(axis=1)
        assert not set(bunch.stems[known]) & set(bunch.stems[rows_of(task, bunch)])
        X, y = X[known], bunch[name][known]
        values, vectors = np.linalg.eigh(X.T @ X)
        errors, heads = [], []
        for ridge in np.geomspace(1e-2, 1e3, 21):
            inverse = (vectors / (values + ridge)) @ vectors.T
            heads.append(inverse @ (X.T @ y))
            leverage = np.einsum("ij,jk,ik->i", X, inverse, X, optimize=True)
            errors.append(np.mean(((y - X @ heads[-1]) / (1 - leverage)) ** 2))
        np.testing.assert_allclose(head, heads[np.argmin(errors)], rtol=1e-6, atol=1e-8)


# --------------------------------------------------------------------------- teachers and errors


@pytest.mark.parametrize("name", lexicon.CANDIDATES)
def test_teacher_is_least_squares_and_noise_what_it_leaves_of_the_labels(name):
    task = lexicon.rated_words(3)
    extractor, source = lexicon.CANDIDATES[name]
    X, y = task.features[extractor], task.labels["mean"]
    # Three columns of the sentence vectors are dead: two below rounding, and one of size 1e-8 that
    # least squares does see. Columns of one length let any solver see it.
    heights = np.abs(X).max(axis=0)
    live = X[:, heights > 1e-20] / heights[heights > 1e-20]
    answers = live @ scipy.linalg.lstsq(live, y, lapack_driver="gelsy")[0]
    for label in ("mean", "rater 4"):
        problem, noise = lexicon.teacher_problem(name, label, 3)
        np.testing.assert_allclose(X @ problem.target, answers, atol=1e-7)
        left = task.labels[label] - answers
        assert noise == pytest.approx(np.sqrt(np.mean(left**2)), rel=1e-10)
        start = 0 * problem.target if source is None else task.heads[extractor, source]
        np.testing.assert_array_equal(problem.source, start)
        np.testing.assert_allclose(problem.population.covariance(), X.T @ X / len(X), atol=1e-12)
        gap = X @ (start - problem.target)
        assert problem.risk(problem.source) == pytest.approx(np.mean(gap**2), rel=1e-10)


@pytest.mark.parametrize(
    ("name", "label", "n"),
    [("vectors, AFINN", "mean", 50), ("vectors", "rater 1", 400), ("sentence", "spread", 120)],
)
def test_head_error_is_that_of_refitting_on_words_not_trained_on(name, label, n):
    task = lexicon.rated_words(3)
    extractor, source = lexicon.CANDIDATES[name]
    X = task.features[extractor]
    start = np.zeros(X.shape[1]) if source is None else task.heads[extractor, source]
    order = rng().permutation(len(X))
    problem, noise = lexicon.teacher_problem(name, label, 3)
    ridge = planning.optimal_ridge(problem, n, noise)
    best = exact_risk.linear_risk(problem, n, ridge, noise)  # and it is the best one
    for other in (ridge / 1.5, ridge * 1.5):
        assert best < exact_risk.linear_risk(problem, n, other, noise)
    theta = fitted(X[order[:n]], task.labels[label][order[:n]], start, ridge)
    rest = order[n:]
    expected = np.mean((X[rest] @ theta - task.labels["mean"][rest]) ** 2)
    found = lexicon.head_error(name, label, n, rng(), halves=3)
    assert found == {"error": pytest.approx(expected, rel=1e-8)}


@pytest.mark.parametrize(("name", "n"), [("vectors, AFINN", 50), ("first 64", 200)])
def test_curve_is_that_of_refitting_and_its_test_words_are_the_same(name, n):
    task = lexicon.rated_words(3)
    extractor, source = lexicon.CANDIDATES[name]
    X = task.features[extractor]
    start = np.zeros(X.shape[1]) if source is None else task.heads[extractor, source]
    some = rng().permutation(len(X) - 1200)[:n]
    assert some.max() < len(X) - 1200
    rows = lexicon.curve(name, n, rng(), halves=3)
    assert [row["label"] for row in rows] == list(task.labels)
    for row in rows:
        y = task.labels[row["label"]]
        ridge = ridge_of_least_error(X[some], y[some], start)
        theta = fitted(X[some], y[some], start, ridge)
        expected = np.mean((X[-1200:] @ theta - y[-1200:]) ** 2)
        assert row["error"] == pytest.approx(expected, rel=1e-8)


def test_no_method_sees_the_labels_of_test_words(monkeypatch):
    """Other labels there change the errors, and nothing that is chosen without knowing them."""
    before = pd.DataFrame(lexicon.choices("mean", 30, rng(), halves=3)).set_index("method")
    bands = lexicon.coverage("vectors", "mean", 30, rng(), halves=3)
    changed = lexicon.rated_words.__wrapped__(3)
    shuffled = {
        name: np.append(y[:-1200], rng(1).permutation(y[-1200:]))
        for name, y in changed.labels.items()
    }
    changed = replace(changed, labels=shuffled)
    monkeypatch.setattr(lexicon, "rated_words", lambda halves=0: changed)
    after = pd.DataFrame(lexicon.choices("mean", 30, rng(), halves=3)).set_index("method")
    blind = before.index.drop("best")
    assert before["candidate"][blind].equals(after["candidate"][blind])
    assert (before["error"] != after["error"]).all()
    assert lexicon.coverage("vectors", "mean", 30, rng(), halves=3) == bands


# ------------------------------------------------------------------------- choices and forecasts


def brute_force(X, y, start, ridges):
    """Return the least five-fold error over the ridges, by refitting with scikit-learn."""
    folds = np.array_split(np.arange(len(y)), 5)
    errors = np.zeros((len(ridges), len(y)))
    for left in folds:
        kept = np.setdiff1d(np.arange(len(y)), left)
        for k, ridge in enumerate(ridges):
            errors[k, left] = y[left] - X[left] @ fitted(X[kept], y[kept], start, ridge)
    return np.mean(errors**2, axis=1).min()


@pytest.mark.parametrize("label", ["mean", "spread", "rater 7"])
@pytest.mark.parametrize("seed", [0, 1])
def test_choices_are_those_of_brute_force(two, label, seed):
    task = lexicon.rated_words(3)
    y = task.labels[label]
    some = rng(seed).permutation(len(y) - 1200)[:25]
    rows = lexicon.choices(label, 25, rng(seed), halves=3)
    errors, folds, given = {}, {}, {}
    for name, (extractor, source) in TWO.items():
        X = task.features[extractor]
        start = np.zeros(X.shape[1]) if source is None else task.heads[extractor, source]
        # The folds take their ridges from the lengths of all that is labelled.
        ridges = np.geomspace(1e-3, 1e3, 25) * np.mean(np.sum(X[some] ** 2, axis=1))
        folds[name] = brute_force(X[some], y[some], start, ridges)
        ridge = ridge_of_least_error(X[some], y[some], start)
        theta = fitted(X[some], y[some], start, ridge)
        errors[name] = np.mean((X[-1200:] @ theta - y[-1200:]) ** 2)
        given[name] = (X[some], start) if source else X[some]
    table = selection.compare(given, y[some])
    expected = {
        "compare": table.index[0].removesuffix(", as it is"),
        "five-fold": min(folds, key=folds.get),
        "LogME": "vectors",
        "largest": "vectors",
        "best": min(errors, key=errors.get),
    }
    assert {row["method"]: row["candidate"] for row in rows[:-2]} == expected
    for row in rows[:-2]:
        assert row["error"] == pytest.approx(errors[row["candidate"]], rel=1e-7)


def test_five_folds_are_those_of_brute_force():
    task = lexicon.rated_words(3)
    X, y = task.features["first 64"][:33], task.labels["mean"][:33]
    ridges = np.geomspace(1e-3, 1e3, 25) * np.mean(np.sum(X**2, axis=1))
    expected = brute_force(X, y, np.zeros(65), ridges)
    assert lexicon._five_fold(X, y) == pytest.approx(expected, rel=1e-8)


def test_scores_without_heads_and_mixtures_are_those_of_their_functions():
    task = lexicon.rated_words(3)
    y = task.labels["mean"]
    some = rng(4).permutation(len(y) - 1200)[:40]
    rows = {row["method"]: row for row in lexicon.choices("mean", 40, rng(4), halves=3)}
    assert list(rows) == [
        *("compare", "five-fold", "LogME", "largest", "best", "combine", "two numbers"),
    ]
    scores = {
        name: transferability.logme(task.features[name][some], y[some])
        for name in lexicon.EXTRACTORS
    }
    assert rows["LogME"]["candidate"] == max(scores, key=scores.get)
    assert rows["largest"]["candidate"] == "n-grams"  # 513 columns
    for row in rows.values():
        assert row["error"] >= rows["best"]["error"] or row["method"] in ("combine", "two numbers")
        if row["candidate"] in lexicon.CANDIDATES:  # what curve says of the same words
            curve = lexicon.curve(row["candidate"], 40, rng(4), halves=3)
            assert row["error"] == pytest.approx(curve[0]["error"], rel=1e-10)
    X = task.features["sentence"]
    heads = [task.heads["sentence", name] for name in LISTS]
    mixed = selection.combine(X[some], y[some], heads)
    own = mixed.theta - mixed.weights @ heads  # the penalised part: ridge from the mixture
    residual = y[some] - X[some] @ (mixed.weights @ heads)
    np.testing.assert_allclose(
        own, fitted(X[some], residual, np.zeros(385), mixed.ridge), rtol=1e-5, atol=1e-8
    )
    assert rows["combine"]["error"] == pytest.approx(
        np.mean((X[-1200:] @ mixed.theta - y[-1200:]) ** 2), rel=1e-10
    )
    answers = X @ task.heads["sentence", "valence"]
    line = scipy.stats.linregress(answers[some], y[some])
    rest = y[-1200:] - line.intercept - line.slope * answers[-1200:]
    assert rows["two numbers"]["error"] == pytest.approx(np.mean(rest**2), rel=1e-10)


def test_best_is_the_least_error_of_all_candidates():
    others = 0
    for seed in range(4):
        rows = {row["method"]: row for row in lexicon.choices("spread", 40, rng(seed), halves=3)}
        errors = {
            name: lexicon.curve(name, 40, rng(seed), halves=3)[2]["error"]
            for name in lexicon.CANDIDATES
        }
        assert rows["best"]["candidate"] == min(errors, key=errors.get)
        assert rows["best"]["error"] == pytest.approx(min(errors.values()), rel=1e-10)
        others += rows["five-fold"]["candidate"] != rows["best"]["candidate"]
    assert others  # so that the two can be told apart


def test_forecasts_are_given_the_labels_that_one_has_and_no_other(monkeypatch):
    calls, original = [], forecast.learning_curve

    def spy(X, y, n, **options):
        calls.append((X, y, n, options))
        return original(X, y, n, **options)

    monkeypatch.setattr(forecast, "learning_curve", spy)
    rows = lexicon.coverage("sentence, AFINN", "rater 4", 50, rng(), halves=3)
    [(X, y, n, options)] = calls
    task = lexicon.rated_words(3)
    some = rng().permutation(len(task.words) - 1200)[:50]
    np.testing.assert_array_equal(X, task.features["sentence"][some])
    np.testing.assert_array_equal(y, task.labels["rater 4"][some])
    np.testing.assert_array_equal(options["source"], task.heads["sentence", "valence"])
    inputs, pool = options["unlabelled"], task.features["sentence"]
    np.testing.assert_allclose(inputs.covariance(), pool.T @ pool / len(pool), atol=1e-12)

    assert [row["n"] for row in rows] == [100, 600, 1600] == n.tolist()
    again = rng()
    again.permutation(len(task.words) - 1200)
    found = original(X, y, n, **options | {"rng": again})
    errors = found.curves + found.noises[:, None] ** 2  # on labels: noise and all
    ends = np.percentile(errors, [10, 50, 90], axis=0)
    np.testing.assert_allclose([[row[e] for row in rows] for e in ("low", "middle", "high")], ends)
    assert {row["evidence"] for row in rows} == {found.evidence}
    assert all(row["low"] < row["middle"] < row["high"] for row in rows)


# -------------------------------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    "call",
    [
        lambda: lexicon.teacher_problem("fastText"),
        lambda: lexicon.head_error("fastText", "mean", 50, rng()),
        lambda: lexicon.curve("fastText", 50, rng()),
        lambda: lexicon.coverage("fastText", "mean", 50, rng()),
    ],
)
def test_candidates_that_do_not_exist_are_named(call):
    with pytest.raises(ValueError, match=r"^candidate must .*fastText"):
        call()


def test_labels_that_do_not_exist_are_named():
    with pytest.raises(ValueError, match=r"^label must .*joy"):
        lexicon.choices("joy", 50, rng())
    for call in (
        lambda: lexicon.teacher_problem("vectors", "joy"),
        lambda: lexicon.head_error("vectors", "joy", 50, rng()),
        lambda: lexicon.coverage("vectors", "joy", 50, rng()),
    ):
        with pytest.raises(ValueError, match=r"^label must .*joy"):
            call()


@pytest.mark.parametrize("n", [0, 2.5, 10**6])
def test_more_words_than_there_are_are_refused(n):
    for call in (lexicon.curve, lambda name, n, rng: lexicon.head_error(name, "mean", n, rng)):
        with pytest.raises((ValueError, TypeError), match=r"^n must "):
            call("vectors", n, rng())


def test_arrays_of_a_task_are_read_only():
    task = lexicon.rated_words()
    for array in (task.labels["mean"], task.features["vectors"], task.vectors, task.stems):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


@pytest.mark.parametrize(
    "call",
    [
        lambda: lexicon.head_error("vectors", "mean", 50, 0),
        lambda: lexicon.curve("vectors", 50, None),
        lambda: lexicon.coverage("vectors", "mean", 50, 0),
        lambda: lexicon.choices("mean", 50, 0),
    ],
)
def test_a_generator_is_asked_for(call):
    with pytest.raises(TypeError, match="^rng must"):
        call()
