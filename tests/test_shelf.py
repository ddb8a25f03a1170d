"""lib.shelf: risks and scores are those of refitting, on images that no teacher has seen."""

import math

import numpy as np
import pytest
from scipy.stats import kendalltau

from lib import (
    bounds,
    datasets,
    deep_linear,
    exact_risk,
    linear_regression,
    relu,
    shelf,
    similarity,
    transferability,
)
from lib.problem import Population, TransferProblem


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture(scope="module", params=[("raw", 4.0), ("teacher", 0.0)])
def asked(request):
    return shelf.question(*request.param, 12, rng(7))


@pytest.mark.parametrize("halves", [0, 3])
def test_teachers_and_images_have_nothing_in_common(halves):
    """The images of the shelf and those that trained the teachers make up the whole set."""
    data = datasets.digits()
    ours = shelf.digit_shelf(halves)
    assert ours.teachers.shape == (78, 64) and not ours.teachers[-1].any()
    left = np.sort(rng(halves).permutation(1797)[898:])
    every = np.vstack([ours.images, data.data[left]])
    np.testing.assert_array_equal(every[np.lexsort(every.T)], data.data[np.lexsort(data.data.T)])
    two = left[np.isin(data.target[left], (2, 7))]
    for k, (rows, yes) in {2: (left, 2), 10 + 9 + 8 + 4: (two, 2)}.items():
        theta = np.linalg.pinv(data.data[rows]) @ (2.0 * (data.target[rows] == yes) - 1)
        np.testing.assert_allclose(ours.teachers[k], theta, rtol=1e-6, atol=1e-8)
    np.testing.assert_array_equal(ours.teachers[55:61], -ours.teachers[61:67])
    with pytest.raises(ValueError, match="read-only"):
        ours.images[0, 0] = 1


def test_questions_are_about_three_to_five_digits_and_the_same_at_every_n():
    for seed in range(4):
        draws = [shelf.question("raw", 4.0, n, rng(seed))[0] for n in (5, 40)]
        np.testing.assert_array_equal(draws[0].X, draws[1].X[:5])
        np.testing.assert_array_equal(draws[0].y, draws[1].y[:5])
        taught, target = shelf.question("teacher", 4.0, 5, rng(seed))
        np.testing.assert_allclose(taught.y, draws[0].X @ target, atol=1e-10)
        every = np.concatenate([draws[0].y, draws[0].y_test])
        assert set(every) == {-1.0, 1.0}
        assert 0.2 < np.mean(every > 0) < 0.6
        X = np.vstack([draws[0].X, draws[0].X_test])
        np.testing.assert_allclose(X.T @ (X @ target - every), 0, atol=1e-7)


def test_risks_and_errors_are_those_of_refitting(asked):
    sample, _ = asked
    X, y, ridge = sample.X, sample.y, sample.ridge
    assert len(X) + len(sample.X_test) == 898
    for k in (0, 30, 60, 70, 77):
        source = sample.sources[k]
        end = linear_regression.finetune(X, y, source, ridge)
        risk = np.mean((sample.X_test @ end - sample.y_test) ** 2)
        assert sample.risk[k] == pytest.approx(risk, rel=1e-8)
        assert sample.relative_risk[k] == pytest.approx(risk / sample.risk[-1], rel=1e-8)
        for i in (0, 11):
            others = linear_regression.finetune(np.delete(X, i, 0), np.delete(y, i), source, ridge)
            assert sample.squared_errors[i, k] == pytest.approx(
                (y[i] - X[i] @ others) ** 2, rel=1e-6
            )


def test_choices_and_mixtures(asked):
    sample, _ = asked
    some = [3, 20, 50, 77]
    errors, risk = sample.squared_errors[:, some], sample.relative_risk[some]
    choices = sample.choices(some)
    assert choices["best"] == risk.min()
    assert choices["plain"] == risk[errors.mean(axis=0).argmin()]
    gain = errors - errors[:, [3]]
    bound = gain.mean(axis=0) + math.sqrt(2 * math.log(4) / 12) * gain.std(axis=0, ddof=1)
    assert choices["cautious"] == risk[bound.argmin()]
    F = sample.X @ sample.sources[:10].T
    w = np.linalg.solve(F.T @ F + 0.5 * np.eye(10), F.T @ sample.y)
    missed = sample.X_test @ (sample.sources[:10].T @ w) - sample.y_test
    assert sample.mixture(10, 0.5) == pytest.approx(np.mean(missed**2) / sample.risk[-1], rel=1e-8)


def test_caution_is_the_mean_and_what_luck_explains():
    errors = rng(1).random((5, 4))
    for safe in 0, -1:
        gain = (errors.T - errors[:, safe]).T
        spread = [math.sqrt(sum((g - g.mean()) ** 2) / 4 / 5) for g in gain.T]
        expected = gain.mean(axis=0) + math.sqrt(2 * math.log(4)) * np.array(spread)
        np.testing.assert_allclose(shelf.cautious(errors, safe), expected)
        assert shelf.cautious(errors, safe)[safe] == 0
    np.testing.assert_array_equal(shelf.cautious([[1.0], [2.0]], 0), [0.0])


def test_scores_are_those_of_their_definitions(asked):
    sample, target = asked
    X, y, ridge, n = sample.X, sample.y, sample.ridge, len(sample.X)
    population = Population.from_samples(np.vstack([X, sample.X_test]))
    scores = shelf.practical_scores(sample) | shelf.known_target_scores(sample, target)
    error = bounds.covariance_error(population, X)
    for k in (5, 40, 62):
        source = sample.sources[k]
        one, missed = TransferProblem(population, source, target), y - X @ source
        expected = {
            "leave-one-out": sample.squared_errors[:, k].mean(),
            "before fine-tuning": np.mean(missed**2),
            "least way": missed @ np.linalg.solve(X @ X.T + ridge * np.eye(n), missed),
            "LogME": -transferability.logme((X @ source)[:, None], y),
            "H-score": -transferability.h_score((X @ source)[:, None], y > 0),
            "exact risk": exact_risk.linear_risk(one, n, ridge),
            "distance": similarity.squared_distance(one),
            "Σ-distance": similarity.weighted_squared_distance(one),
            "top energy": similarity.top_energy(one, 10),
            "tail energy": similarity.tail_energy(one, 10),
            "spectral bound": bounds.spectral_bound(one, error),
            "cosine": -similarity.cosine(one),
            "Σ-cosine": -similarity.weighted_cosine(one),
        }
        assert list(expected) == list(scores)
        for name, value in expected.items():
            assert scores[name][k] == pytest.approx(value, rel=1e-6, abs=1e-9), name
    assert scores["cosine"][-1] == scores["Σ-cosine"][-1] == 0
    for name in "LogME", "H-score":  # a source and its negative tie
        np.testing.assert_array_equal(scores[name][55:61], scores[name][61:67])


def test_the_contest_judges_by_order_and_by_first_place():
    rows = {row["method"]: row for row in shelf.compete("raw", 4.0, 10, rng(3))}
    sample, target = shelf.question("raw", 4.0, 10, rng(3))
    scores = shelf.practical_scores(sample) | shelf.known_target_scores(sample, target)
    risk = sample.relative_risk
    assert list(rows) == [*scores, "best", "at random"]
    for name, score in scores.items():
        first = risk[np.flatnonzero(score == score.min())]
        assert rows[name]["risk"] == pytest.approx(first.mean())
        assert rows[name]["Kendall"] == pytest.approx(kendalltau(score, risk).statistic)
    assert rows["best"]["risk"] == risk.min() <= 1
    assert rows["at random"]["risk"] == pytest.approx(risk.mean())


def test_a_score_that_calls_all_equal_orders_nothing():
    """Two samples with the same answer: the H-score is 0 for all, and any source comes first."""
    for seed in range(30):
        sample, _ = shelf.question("raw", 4.0, 2, rng(seed))
        if sample.y[0] == sample.y[1]:
            break
    rows = {row["method"]: row for row in shelf.compete("raw", 4.0, 2, rng(seed))}
    assert rows["H-score"]["Kendall"] == 0
    assert rows["H-score"]["risk"] == pytest.approx(rows["at random"]["risk"])


def test_the_curse_is_a_choice_among_candidates_with_zero_among_them():
    whole = shelf.curse("raw", 4.0, 78, 10, rng(5))
    sample, _ = shelf.question("raw", 4.0, 10, rng(5))
    assert whole == pytest.approx(sample.choices())
    few = [shelf.curse("raw", 4.0, 2, 10, rng(seed)) for seed in range(10)]
    assert all(row["best"] <= 1 for row in few)
    assert any(row["plain"] == 1 for row in few) and any(row["plain"] != 1 for row in few)


def test_pairs_are_counted_by_the_ratio_of_their_risks():
    sample, _ = shelf.question("raw", 4.0, 8, rng(2))
    scores, risk = sample.squared_errors.mean(axis=0), sample.risk
    counts = {ratio: [0, 0] for ratio in shelf.RATIOS}
    for i in range(78):
        for j in range(i):
            ratio = max(risk[i] / risk[j], risk[j] / risk[i])
            group = max(start for start in shelf.RATIOS if start <= ratio)
            counts[group][0] += (scores[i] < scores[j]) == (risk[i] < risk[j])
            counts[group][1] += 1
    expected = [{"ratio": r, "right": a / b} for r, (a, b) in counts.items() if b]
    for row, other in zip(shelf.pairs("raw", 4.0, 8, rng(2)), expected, strict=True):
        assert row == pytest.approx(other)


def test_other_models_are_refitted():
    rows = {row["model"]: row for row in shelf.other_models(6, rng(4))}
    sample, _ = shelf.question("teacher", 0.0, 6, rng(4))
    X, y, Z = sample.X, sample.y, sample.X_test

    def deep(X, y, source, Z):
        return Z @ deep_linear.finetune(X, y, source, 3)

    def wide(X, y, source, Z):
        return Z @ source + relu.finetune(X, y - X @ source, Z)

    for name, predict in {"depth 3": deep, "wide ReLU": wide}.items():
        risk, own = [], []
        for source in sample.sources[:-1]:
            risk.append(np.mean((predict(X, y, source, Z) - sample.y_test) ** 2))
            left = [
                y[i] - predict(np.delete(X, i, 0), np.delete(y, i), source, X[i : i + 1])[0]
                for i in range(6)
            ]
            own.append(np.mean(np.square(left)))
        linear = sample.squared_errors[:, :-1].mean(axis=0)
        expected = {"own score": own, "linear score": linear, "linear risk": sample.risk[:-1]}
        for key, score in expected.items():
            assert rows[name][key] == pytest.approx(kendalltau(score, risk).statistic, abs=2e-3)


@pytest.mark.parametrize(
    ("call", "name", "error"),
    [
        (lambda: shelf.digit_shelf(-1), "halves", ValueError),
        (lambda: shelf.digit_shelf([0]), "halves", TypeError),
        (lambda: shelf.question("noisy", 4.0, 5, rng()), "labels", ValueError),
        (lambda: shelf.question("raw", -1.0, 5, rng()), "ridge", ValueError),
        (lambda: shelf.question("raw", 4.0, 1, rng()), "n", ValueError),
        (lambda: shelf.question("raw", 4.0, 899, rng()), "n", ValueError),
        (lambda: shelf.question("raw", 4.0, 5, 0), "rng", TypeError),
        (
            lambda: shelf.draw(np.eye(4), np.ones(4), np.ones((2, 4)), 2, 0, rng()),
            "sources",
            ValueError,
        ),
        (
            lambda: shelf.draw(np.eye(4), np.ones(3), np.zeros((2, 4)), 2, 0, rng()),
            "answers",
            ValueError,
        ),
        (lambda: shelf.curse("raw", 4.0, 1, 5, rng()), "candidates", ValueError),
        (lambda: shelf.curse("raw", 4.0, 79, 5, rng()), "candidates", ValueError),
        (lambda: shelf.cautious(np.ones((1, 3)), 0), "errors", ValueError),
        (lambda: shelf.cautious(np.ones(3), 0), "errors", ValueError),
        (lambda: shelf.cautious(np.ones((3, 3)), 3), "safe", ValueError),
        (lambda: shelf.cautious([[1.0, math.nan]] * 2, 0), "errors", ValueError),
        (lambda: shelf.practical_scores(None), "sample", TypeError),
        (lambda: shelf.known_target_scores(None, np.ones(64)), "sample", TypeError),
    ],
)
def test_bad_input_is_named(call, name, error):
    with pytest.raises(error, match=f"^{name} must"):
        call()
