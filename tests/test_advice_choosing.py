"""What the chapter on choosing a source advises, on draws with other seeds than the chapter's."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lib import datasets, linear_regression, selection, shelf

CHAPTER = Path(__file__).parents[1] / "chapters" / "choosing_a_source.ipynb"
SEEDS = range(5000, 5012)


def mean(function, *arguments, seeds=SEEDS):
    rows = [function(*arguments, np.random.default_rng(seed)) for seed in seeds]
    return pd.DataFrame(rows).mean()


@pytest.fixture(scope="module")
def contest():
    rows = [
        {"n": n} | row
        for n in (5, 40)
        for seed in SEEDS[:8]
        for row in shelf.compete("raw", 4.0, n, np.random.default_rng(seed))
    ]
    return pd.DataFrame(rows).groupby(["method", "n"])[["Kendall", "risk"]].mean()


def test_no_practical_score_finds_a_source_that_is_better_than_none(contest):
    practical = ["leave-one-out", "before fine-tuning", "least way", "LogME", "H-score"]
    assert (contest.loc[practical, "risk"] > 1).all()
    assert (contest.loc["best", "risk"] < 0.95).all()  # though there is one
    assert (contest.loc["exact risk", "risk"] < 1).all()  # which could be known


@pytest.mark.parametrize(("labels", "ridge"), [("raw", 1.0), ("raw", 16.0), ("teacher", 0.0)])
def test_nor_with_other_ridges_and_labels(labels, ridge):
    for n in 5, 20, 40:
        assert mean(shelf.curse, labels, ridge, 78, n)["plain"] > 0.98


def test_leave_one_out_orders_best_and_the_scores_of_outputs_do_not_order(contest):
    order = contest["Kendall"].unstack()
    assert order.loc["leave-one-out", 40] > order.loc["before fine-tuning", 40] + 0.05
    assert order.loc["leave-one-out", 40] > 0.4
    assert (order.loc[["LogME", "H-score"]].abs() < 0.1).all(axis=None)
    assert (order.loc["cosine"].abs() < 0.1).all()
    assert (order.loc["exact risk"] > 0.65).all()


def test_caution_insures_and_is_never_the_best():
    few, many = (mean(shelf.curse, "raw", 4.0, 78, n, seeds=range(5000, 5040)) for n in (10, 40))
    assert 1 <= few["cautious"] < few["plain"] - 0.1
    assert abs(many["cautious"] - 1) < 0.02 < many["plain"] - 1


def mixed(labels, ridge, n, rng):
    sample, _ = shelf.question(labels, ridge, n, rng)
    return sample.choices() | {p: sample.mixture(10, p) for p in (0, 1, 3)}


def test_a_mixture_is_better_than_a_choice_and_than_scratch_until_it_meets_its_floor():
    for n in 20, 40:
        risks = mean(mixed, "raw", 4.0, n)
        assert risks[3] < 0.95 and risks[1] < 0.97
        assert risks[3] < risks["plain"] - 0.1
    assert mean(mixed, "raw", 4.0, 20)[0] > 1  # without a ridge, too early
    assert mean(mixed, "teacher", 0.0, 20)[1] < 1
    assert mean(mixed, "teacher", 0.0, 40)[1] > 1.3


def test_sources_that_differ_are_told_apart():
    rows = pd.DataFrame(
        {"n": n} | row
        for n in (10, 40)
        for seed in SEEDS
        for row in shelf.pairs("raw", 4.0, n, np.random.default_rng(seed))
    )
    right = rows.groupby(["ratio", "n"])["right"].mean().unstack()
    assert right.loc[2.0, 10] > 0.7 and right.loc[1.5, 40] > 0.85
    assert (right.loc[1.0] < 0.65).all()


def test_a_relu_network_profits_from_its_own_kernel():
    rows = [shelf.other_models(40, np.random.default_rng(seed)) for seed in SEEDS[:8]]
    table = pd.DataFrame(sum(rows, [])).groupby("model").mean()
    own, linear = table["own score"], table["linear score"]
    assert own["wide ReLU"] > linear["wide ReLU"] + 0.1
    assert abs(own["depth 3"] - linear["depth 3"]) < 0.05
    assert table.loc["depth 3", "linear risk"] > 0.8


@cache
def photographs():
    flower, palace = (datasets.image_patches(name, stride=9) for name in ("flower", "china"))
    teachers = datasets.readout(palace.data, palace.target)
    return flower, np.vstack([teachers, -teachers[2:4], np.zeros((1, 72))])


def on_flowers(task, n, rng):
    flower, sources = photographs()
    answers = flower.target[:, flower.target_names.index(task)]
    sample = shelf.draw(flower.data, answers, sources, n, 1.0, rng)
    mixtures = {f"ridge {p:g}": sample.mixture(6, p) for p in (0.1, 1)}
    return sample.choices() | mixtures


def test_where_a_source_stands_out_the_plain_choice_gains_and_elsewhere_it_does_not():
    seeds = range(5000, 5040)
    for task in "mean", "horizontal edge", "vertical edge":
        risks = mean(on_flowers, task, 20, seeds=seeds)
        assert risks["plain"] < 0.95 and risks["cautious"] > 0.95
        assert risks["best"] < 0.6 and risks["ridge 0.1"] < 1
    assert mean(on_flowers, "centre", 20, seeds=seeds)["plain"] > 0.75
    for task in "edge strength", "contrast":
        risks = mean(on_flowers, task, 20, seeds=seeds)
        assert risks["plain"] > 1.1 and abs(risks["cautious"] - 1) < 0.02


def test_five_samples_are_too_few_to_choose_and_a_strong_ridge_spoils_the_mixture():
    seeds = range(5000, 5040)
    risks = {task: mean(on_flowers, task, 5, seeds=seeds) for task in photographs()[0].target_names}
    for task in "centre", "edge strength", "contrast":
        assert risks[task]["plain"] > 1.1
    for task in "centre", "mean":  # a tenth of the draws decide the mean: three times as many
        risks = mean(on_flowers, task, 5, seeds=range(5000, 5120))
        assert risks["cautious"] < 1 < 5 < risks["ridge 1"]


def test_the_recipe_runs_as_printed():
    """The cell of the chapter, on other data: five lines that need X, y, sources and a ridge."""
    cells = json.loads(CHAPTER.read_text(encoding="utf-8"))["cells"]
    [recipe] = [code for cell in cells if "import cautious" in (code := "".join(cell["source"]))]
    assert len([line for line in recipe.split("\n") if line.strip()]) == 5
    rng = np.random.default_rng(1)
    names = {"X": rng.standard_normal((30, 40)), "ridge": 0.5}
    target = rng.standard_normal(40)
    names["sources"] = np.vstack([rng.standard_normal((6, 40)), 0.9 * target, np.zeros(40)])
    names["y"] = names["X"] @ target
    exec(recipe, names)
    assert names["plain"] == names["careful"] == 6
    order, scores = selection.rank_sources(*(names[k] for k in ("X", "y", "sources", "ridge")))
    assert order[0] == names["plain"]
    np.testing.assert_allclose(names["errors"].mean(axis=0), scores)
    i = np.arange(30) != 3
    end = linear_regression.finetune(names["X"][i], names["y"][i], names["sources"][2], 0.5)
    assert names["errors"][3, 2] == pytest.approx((names["y"][3] - names["X"][3] @ end) ** 2)
