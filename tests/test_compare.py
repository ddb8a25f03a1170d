"""Comparing candidates: nested leave-one-out against refitting, and honest in the mean.

By refitting, errors are ratios of small differences: to 1e-7 of the largest.
"""

import itertools
import math

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given, settings
from strategies import seeds

from lib.linear_regression import finetune
from lib.selection import compare, rank_sources

RIDGES = [0.01, 0.3, 2.0, 40.0]


def problem(seed, outputs=False):
    """Features of two kinds, sources on the first, and labels."""
    rng = np.random.default_rng(seed)
    n, d, s = rng.integers([4, 1, 1], [9, 7, 4])
    k = (int(rng.integers(1, 4)),) if outputs else ()
    X, Z = rng.standard_normal((n, d)), rng.standard_normal((n, 3))
    sources = rng.standard_normal((s, *k, d))
    y = (sources[0] @ X.T).T + rng.standard_normal((n, *k))
    candidates = {f"source {i}": (X, source) for i, source in enumerate(sources)}
    return candidates | {"other": Z}, y


def fits(candidates, y):
    """Name → (X, source, ridges) of everything that is compared."""
    every = {}
    for name, candidate in candidates.items():
        if isinstance(candidate, tuple):
            X, source = candidate
            every[name] = X, source, RIDGES
            every[f"{name}, as it is"] = X, source, [math.inf]
        else:
            every[name] = (
                candidate,
                np.zeros((*y.shape[1:], candidate.shape[1])),
                [*RIDGES, math.inf],
            )
    every["scratch"] = (
        X_of(candidates),
        np.zeros_like(candidates["source 0"][1]),
        [*RIDGES, math.inf],
    )
    return every


def X_of(candidates):
    """The features that the sources share."""
    return candidates["source 0"][0]


def squares(X, y, source, ridge, left, tested):
    """The squared error on ``tested`` of a model fitted without ``left``."""
    theta = finetune(np.delete(X, left, 0), np.delete(y, left, 0), source, ridge=ridge)
    return np.sum((y[tested] - theta @ X[tested]) ** 2)


def nested(X, y, source, ridges):
    """Errors with the ridge that the others choose, and the scores by which they do."""
    n, errors, scores = len(y), [], []
    for i in range(n):
        others = [j for j in range(n) if j != i]
        by_ridge = [
            np.mean([squares(X, y, source, ridge, [i, j], j) for j in others]) for ridge in ridges
        ]
        best = int(np.argmin(by_ridge))
        scores.append(by_ridge[best])
        errors.append(squares(X, y, source, ridges[best], [i], i))
    return np.array(errors), np.array(scores)


@given(seeds, st.booleans())
@settings(max_examples=25, deadline=None)
def test_the_table_is_that_of_refitting(seed, outputs):
    candidates, y = problem(seed, outputs)
    table = compare(candidates, y, ridges=RIDGES)
    every = fits(candidates, y)
    found = {name: nested(X, y, source, ridges) for name, (X, source, ridges) in every.items()}
    errors = {name: error for name, (error, _) in found.items()}
    assert set(table.index) == {*every, "choice"} and table.index[-1] == "choice"
    for name, (X, source, ridges) in every.items():
        assert table.error[name] == pytest.approx(errors[name].mean(), rel=1e-7)
        plain = [np.mean([squares(X, y, source, r, [i], i) for i in range(len(y))]) for r in ridges]
        assert table.ridge[name] == ridges[int(np.argmin(plain))]
    chosen = [min(found, key=lambda name: found[name][1][i]) for i in range(len(y))]
    honest = np.array([errors[name][i] for i, name in enumerate(chosen)])
    assert table.error["choice"] == pytest.approx(honest.mean(), rel=1e-7)
    quantile = scipy.stats.t.ppf(1 - 0.05 / (len(every) - 1), len(y) - 1)
    for name, error in (errors | {"choice": honest}).items():
        difference = error - errors[table.index[0]]
        size = 1e-7 * errors[table.index[0]].mean() + 1e-7 * error.mean()
        assert table.difference[name] == pytest.approx(difference.mean(), abs=size)
        spread = scipy.stats.sem(difference)
        assert table["standard error"][name] == pytest.approx(spread, rel=1e-6, abs=size)
        if abs(difference.mean() - quantile * spread) > size:
            assert table.apart[name] == (difference.mean() > quantile * spread)
    shares = pd.Series(chosen).value_counts(normalize=True)
    for name in every:
        assert table.chosen[name] == pytest.approx(shares.get(name, 0.0))
    assert table.error.iloc[:-1].is_monotonic_increasing


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_units_signs_order_and_rotations_change_nothing(seed):
    candidates, y = problem(seed)
    table = compare(candidates, y, ridges=RIDGES)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(y))
    turn = np.linalg.qr(rng.standard_normal(2 * (X_of(candidates).shape[1],)))[0]
    moved = {
        name: (c[0][order] @ turn, -3 * c[1] @ turn) if isinstance(c, tuple) else c[order]
        for name, c in candidates.items()
    }
    again = compare(moved, -3 * y[order], ridges=RIDGES).loc[table.index]
    for column, power in {"ridge": 0, "error": 2, "difference": 2, "standard error": 2}.items():
        atol = 1e-9 * table.error.iloc[0]
        np.testing.assert_allclose(again[column], 3**power * table[column], rtol=1e-7, atol=atol)
    np.testing.assert_array_equal(again.chosen, table.chosen)
    larger = {
        n: (c[0] * 2, c[1] / 2) if isinstance(c, tuple) else 2 * c for n, c in candidates.items()
    }
    scaled = compare(larger, y, ridges=np.multiply(4, RIDGES))
    np.testing.assert_allclose(scaled.error, table.error, rtol=1e-9)
    # The ridges that are taken if none are given go with the units.
    np.testing.assert_allclose(compare(larger, y).error, compare(candidates, y).error, rtol=1e-7)


def draws(samples, dim, count, noise, near, seeds):
    """For each seed, candidates, labels, and their target teacher."""
    for seed in seeds:
        rng = np.random.default_rng([seed, 14])
        target = rng.standard_normal(dim) / math.sqrt(dim)
        sources = rng.standard_normal((count, dim)) / math.sqrt(dim)
        sources = target + sources if near else 2 * rng.random((count, 1)) * sources
        X = rng.standard_normal((samples, dim))
        y = X @ target + noise * rng.standard_normal(samples)
        yield {str(i): (X, source) for i, source in enumerate(sources)}, y, target


@pytest.mark.parametrize(
    ("samples", "dim", "count", "noise", "near"), [(20, 8, 20, 1.0, True), (30, 24, 10, 1.0, False)]
)
def test_the_error_of_the_choice_is_honest_and_that_of_the_first_is_not(
    samples, dim, count, noise, near
):
    """500 draws: what is said of the choice against the true error of what is chosen."""
    said, first, true, kept = [], [], [], []
    for candidates, y, target in draws(samples, dim, count, noise, near, range(500)):
        table = compare(candidates, y, ridges=np.geomspace(0.3, 300, 7))
        X = candidates["0"][0]
        starts = {name: source for name, (_, source) in candidates.items()}
        starts |= {f"{name}, as it is": source for name, source in starts.items()}
        starts["scratch"] = np.zeros(dim)
        ends = {name: finetune(X, y, s, ridge=table.ridge[name]) for name, s in starts.items()}
        risk = {name: np.sum((end - target) ** 2) + noise**2 for name, end in ends.items()}
        said.append(table.error["choice"])
        first.append(table.error.iloc[0])
        true.append(risk[table.index[0]])
        kept.append(not table.apart[min(risk, key=risk.get)])
    gap, error = np.mean(np.subtract(said, true)), scipy.stats.sem(np.subtract(said, true))
    assert abs(gap) < 3 * error + 0.02 * np.mean(true)  # n − 1 samples know a little less than n
    curse = np.subtract(true, first)
    assert np.mean(curse) > 10 * scipy.stats.sem(curse) and np.mean(first) < 0.85 * np.mean(true)
    assert np.mean(kept) > 0.9  # the quantile is made for 0.95


def test_a_source_that_knows_the_task_is_told_apart():
    rng = np.random.default_rng(0)
    X, target = rng.standard_normal((40, 60)), rng.standard_normal(60)
    y = X @ target + 0.1 * rng.standard_normal(40)
    table = compare({"it": (X, target), "not": (X, -target)}, y)
    assert table.index[0] == "it, as it is" or table.index[0] == "it"
    assert not table.apart[["it", "it, as it is", "choice"]].any()
    assert table.apart[["not", "not, as it is", "scratch"]].all()
    assert table.ridge["it, as it is"] == math.inf


def test_ties_keep_the_given_order_and_are_no_difference():
    rng = np.random.default_rng(0)
    X, source, y = rng.standard_normal((9, 4)), rng.standard_normal(4), rng.standard_normal(9)
    for names in itertools.permutations("abc"):
        table = compare({name: (X, source) for name in names}, y)
        assert [name for name in table.index if name in "abc"] == list(names)
        assert (table.difference[list(names)] == table.difference[names[0]]).all()
        assert not table.apart[list(names)].any()
    # Labels that are all explained: no error, whatever the ridge.
    nothing = compare({"all": (X, source)}, X @ source)
    assert nothing.error["all"] == nothing.error["all, as it is"] == 0


def test_scratch_is_among_the_candidates_once_for_each_kind_of_features():
    rng = np.random.default_rng(0)
    X, Z, y = rng.standard_normal((6, 3)), rng.standard_normal((6, 2)), rng.standard_normal(6)
    ones = np.ones(3)
    assert set(compare({"a": X}, y).index) == {"a", "choice"}
    with_source = {"a", "a, as it is"}
    assert set(compare({"a": (X, ones)}, y).index) == with_source | {"scratch", "choice"}
    assert set(compare({"a": (X, ones), "b": X.copy()}, y).index) == with_source | {"b", "choice"}
    assert set(compare({"a": (X, ones), "scratch": X}, y).index) == with_source | {
        "scratch",
        "choice",
    }
    both = compare({"a": (X, ones), "b": (Z, ones[:2])}, y)
    assert {"scratch, a", "scratch, b"} < set(both.index)


X, Y = np.eye(3), np.arange(3.0)


@pytest.mark.parametrize(
    ("call", "argument", "error"),
    [
        (lambda: compare([X], Y), "candidates", TypeError),
        (lambda: compare({}, Y), "candidates", TypeError),
        (lambda: compare({"a": X[:2]}, Y), r"candidates\['a'\]", ValueError),
        (lambda: compare({"a": np.ones(3)}, Y), r"candidates\['a'\]", ValueError),
        (lambda: compare({"a": math.nan * X}, Y), r"candidates\['a'\]", ValueError),
        (lambda: compare({"a": (X, np.ones(2))}, Y), r"candidates\['a'\]\[1\]", ValueError),
        (lambda: compare({"a": (X, np.ones((2, 3)))}, Y), r"candidates\['a'\]\[1\]", ValueError),
        (lambda: compare({"a": (X, None, 3)}, Y), r"candidates\['a'\]", ValueError),
        (lambda: compare({"choice": X}, Y), "candidates", ValueError),
        (lambda: compare({"scratch": (X, Y)}, Y), "candidates", ValueError),
        (lambda: compare({"a": (X, Y), "a, as it is": X}, Y), "candidates", ValueError),
        (lambda: compare({"a": (X, Y), "scratch": X[:, :2]}, Y), "candidates", ValueError),
        (lambda: compare({"a": X}, Y[:2]), "y", ValueError),
        (lambda: compare({"a": X}, [1, 2, math.nan]), "y", ValueError),
        (lambda: compare({"a": X}, "abc"), "y", TypeError),
        (lambda: compare({"a": X}, 3.0), "y", ValueError),
        (lambda: compare({"a": X}, Y, ridges=[0, 1]), "ridges", ValueError),
        (lambda: compare({"a": X}, Y, ridges=[]), "ridges", ValueError),
        (lambda: compare({"a": X}, Y, ridges=[-1]), "ridges", ValueError),
        (lambda: compare({"a": X}, Y, ridges=[math.inf]), "ridges", ValueError),
    ],
)
def test_bad_input_is_named(call, argument, error):
    with pytest.raises(error, match=rf"^{argument} must"):
        call()


def test_names_of_features_and_samples_must_agree():
    frame = pd.DataFrame(X, columns=list("abc"), index=[7, 8, 9])
    y = pd.Series(Y, index=frame.index)
    source = pd.Series(np.ones(3), index=list("abc"))
    compare({"a": (frame, source)}, y)
    with pytest.raises(ValueError, match="^source must name its features .* in another order"):
        compare({"a": (frame, source[::-1])}, y)
    with pytest.raises(ValueError, match="^y must name its rows .* in another order"):
        compare({"a": (frame, source)}, y[::-1])
    with pytest.raises(ValueError, match=r"^candidates\['b'\] must name its rows"):
        compare({"a": frame, "b": frame[::-1]}, Y)


# Ties where nothing is compared: rank_sources.


def test_sources_that_cannot_be_told_apart_are_named_as_such():
    rng = np.random.default_rng(0)
    X, y, sources = rng.standard_normal((9, 4)), rng.standard_normal(9), rng.standard_normal((3, 4))
    with pytest.warns(UserWarning, match="^all sources score the same"):
        order, scores = rank_sources(X, y, sources)
    assert order.tolist() == [0, 1, 2] and np.ptp(scores) < 1e-12
    rank_sources(X, y, sources, ridge=0.1)
    rank_sources(X[:3], y[:3], sources)
    rank_sources(X, y, sources[[0, 0]])  # one source, twice
    _, untouched = rank_sources(X, y, sources, ridge=math.inf)
    np.testing.assert_allclose(untouched, np.mean((y - sources @ X.T) ** 2, axis=1))


def test_outputs_add_up():
    rng = np.random.default_rng(0)
    X, y, sources = (
        rng.standard_normal((5, 8)),
        rng.standard_normal((5, 2)),
        rng.standard_normal((3, 2, 8)),
    )
    for options in {"ridge": 0.3}, {"kernel": lambda X: X @ X.T, "ridge": 0.3}, {}:
        _, scores = rank_sources(X, y, sources, **options)
        one = [rank_sources(X, y[:, k], sources[:, k], **options)[1] for k in range(2)]
        np.testing.assert_allclose(scores, np.sum(one, axis=0))
