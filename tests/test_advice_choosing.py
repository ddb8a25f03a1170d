"""What the chapter on choosing a source advises, on draws with other seeds than the chapter's."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lib import datasets, selection, shelf

CHAPTER = Path(__file__).parents[1] / "chapters" / "choosing_a_source.ipynb"
SEEDS = range(5000, 5080)
LINEAR = ("centre", "mean", "horizontal edge", "vertical edge")


def runs(function, *arguments, seeds=SEEDS):
    rows = []
    for seed in seeds:
        found = function(*arguments, np.random.default_rng(seed))
        rows += [row | {"seed": seed} for row in (found if isinstance(found, list) else [found])]
    return pd.DataFrame(rows)


@cache
def digits(setting):
    """Mean relative risk, method by n; and the share of targets hurt."""
    table = runs(shelf.compete, setting).dropna(subset="risk")
    groups = table.assign(hurt=table["risk"] > 1 + 1e-9).groupby(["method", "n"])
    return groups["risk"].mean().unstack(), groups["hurt"].mean().unstack()


@cache
def flower(task):
    """Mean relative risk on one task of the flower, method by n."""
    table = runs(shelf.compete, task, seeds=SEEDS[:20]).dropna(subset="risk")
    return table.groupby(["method", "n"])["risk"].mean().unstack()


def test_a_source_of_the_same_task_is_best_left_untouched_and_another_is_not():
    tasks = [*LINEAR, "edge strength", "contrast"]
    mean = sum(flower(task) for task in tasks) / 6
    for n in 20, 50:
        assert mean.loc["best untouched", n] < 0.92
        for other in "combine", "combine evenly", "scale", "average":
            assert mean.loc["best untouched", n] < mean.loc[other, n]
    for task in LINEAR:
        assert flower(task).loc["best untouched", 20] < 0.9
    assert flower("edge strength").loc["best untouched", 20] > 1.1
    for setting in shelf.SETTINGS:
        risk, _ = digits(setting)
        assert risk.loc["best untouched", 5] > 1.1 and risk.loc["best untouched", 200] > 2.2


@cache
def with_own(where):
    """Mean relative risks where the teacher of the very task is on the shelf, method by n."""
    photos = [datasets.image_patches(name, stride=9) for name in ("flower", "china")]
    digits = datasets.digits()
    signs = np.where(digits.target[:, None] == np.arange(10), 1.0, -1.0)
    rows = []
    for seed in SEEDS[:10]:
        rng = np.random.default_rng(seed)
        if where == "digits":
            halves = np.split(rng.permutation(len(signs)), [len(signs) // 2])
            pair = [(digits.data[half], signs[half]) for half in halves]
        else:
            pair = [(p.data, p.target) for p in photos[:: 1 if where == "flower" else -1]]
        (inputs, labels), others = pair
        sources = datasets.readout(*others)
        for k in range(6):
            task = shelf.Task(inputs, labels[:, k], sources)
            order = rng.permutation(len(inputs))
            for n in shelf.SIZES:
                draw = shelf.Draw(task, order[:n], order[200:])
                scratch, own = draw.risk[draw.safe], draw.risk[-1, k]
                better = draw.scores[-1, k] <= draw.scores[draw.safe]
                errors, even = draw.evenly()
                risks = {
                    "own": own,
                    "if better": own if better else scratch,
                    "evenly, cautious": even if draw.believed(errors) else scratch,
                    "best untouched": draw.risk[-1, draw.scores[-1].argmin()],
                }
                rows += [{"n": n, "method": m, "risk": r / scratch} for m, r in risks.items()]
    return pd.DataFrame(rows).groupby(["method", "n"])["risk"].mean().unstack()


def test_a_teacher_of_the_very_task_is_kept_if_inputs_are_alike_and_the_samples_agree():
    digits, flower, palace = (with_own(where) for where in ("digits", "flower", "palace"))
    assert 0.4 < digits.loc["own", 20] < 0.6 and digits.loc["own", 5] < 0.45
    assert flower.loc["own", 20] < 0.8
    assert (palace.loc["own"] > 1.15).all() and palace.loc["own", 200] > 1.3
    for gains in digits, flower:
        assert 1 - gains.loc["if better", 20] > 0.5 * (1 - gains.loc["own", 20])
        assert gains.loc["best untouched", 5] > gains.loc["own", 5] + 0.1
    assert (palace.loc["if better"] < 1.13).all()
    assert palace.loc["evenly, cautious", 5] < 1.16
    assert palace.loc["evenly, cautious", 20] < 1.1  # up to a twelfth, in five sets of draws
    assert (palace.loc["evenly, cautious", [50, 200]] < 1.07).all()


def test_a_mixture_is_combined_evenly_inside_the_span_and_costs_outside():
    inside, hurt = digits("inside")
    even = inside.loc["combine evenly"]
    assert abs(even[5] - 1) < 0.05
    assert even[20] < 0.95 and even[50] < 0.93 and even[200] < 0.98
    assert (hurt.loc["combine evenly", [20, 50, 200]] < 0.3).all()
    outside = digits("outside")[0].loc["combine evenly"]
    assert 1.03 < outside[20] < 1.3


def by_caution(setting, rng):
    draw = shelf.digit_task(setting, rng).draw(20, rng)
    return {"risk": draw.methods()["evenly, cautious"] / draw.risk[draw.safe]}


def test_the_cautious_combination_is_never_much_worse_than_scratch():
    for setting in shelf.SETTINGS:
        risk, hurt = digits(setting)
        assert (risk.loc["evenly, cautious"] < 1.07).all()
        assert (hurt.loc["evenly, cautious"] < 0.2).all()
    worst = max(
        runs(by_caution, setting, seeds=SEEDS[:40]).max()["risk"] for setting in shelf.SETTINGS
    )
    assert worst > 1.3  # on a single target
    inside = digits("inside")[0].loc["evenly, cautious"]
    assert inside[20] < 0.99 and inside[50] < 0.95 and inside[200] < 0.99
    tasks = [*LINEAR, "edge strength", "contrast"]
    mean = sum(flower(task) for task in tasks) / 6
    assert (mean.loc["evenly, cautious"] < 1.07).all()


def test_choosing_one_costs_outside_and_does_not_gain_inside():
    outside, hurt = digits("outside")
    assert (outside.loc["choose one", [5, 20]] > 1.12).all()
    assert (hurt.loc["choose one", [5, 20]] > 0.45).all()
    inside, hurt = digits("inside")
    assert (inside.loc["choose one"] > 0.985).all()
    assert inside.loc["choose one", 5] > 1.05 and hurt.loc["choose one", 20] > 0.35
    for setting in shelf.SETTINGS:  # though good ones are there, and could be known
        risk = digits(setting)[0]
        assert (risk.loc["best one", [5, 20]] < 0.92).all()
        assert (risk.loc["exact risk", [5, 20]] < 0.98).all()
    for task in "horizontal edge", "vertical edge":
        assert flower(task).loc["choose one", 20] < 0.9


def test_outside_the_span_nothing_beats_scratch_with_twenty_labels():
    risk, _ = digits("outside")
    practical = risk.index.difference(
        ["scratch, best ridge", "best one", "exact risk", "best mixture"]
    )
    assert (risk.loc[practical, [20, 50, 200]] > 0.985).all(axis=None)
    best = risk.loc["best one"] / risk.loc["scratch, best ridge"]  # what sources add to a ridge
    assert 0.9 < best[5] < 1 and 0.95 < best[20] < 1
    inside, _ = digits("inside")
    assert (
        inside.loc["best one", [5, 20]] < 0.92 * inside.loc["scratch, best ridge", [5, 20]]
    ).all()


def from_a_constant(n, rng):
    """From scratch with an intercept, and from the base rate; and from the mean of the sources."""
    draw = shelf.digit_task("outside", rng).draw(n, rng)
    scratch, size = draw.risk[draw.safe], np.sqrt(np.sum(draw.X**2) / n)
    X, Z = (np.hstack([A, np.full((len(A), 1), size)]) for A in (draw.X, draw.Z))
    task = shelf.Task(
        np.vstack([X, Z]),
        np.append(draw.y, draw.z),
        np.append(np.zeros(64), draw.task.labels.mean() / size)[None],
    )
    own = shelf.Draw(task, np.arange(n), np.arange(n, len(task.inputs)))
    rate = own.risk[own.scores[:, 0].argmin(), 0]
    average = draw.methods()["average"]
    return {
        "intercept": own.risk[own.safe] / scratch,
        "rate": rate / scratch,
        "average": average / scratch,
    }


def test_the_average_knows_the_base_rate_and_an_intercept_learns_it():
    few = runs(from_a_constant, 5).mean()
    assert few["average"] < 1.02 and abs(few["average"] - few["rate"]) < 0.05
    assert runs(from_a_constant, 200).mean()["intercept"] < 0.99


def test_outside_is_a_matter_of_degree():
    known = {
        setting: np.mean(
            [shelf.digit_task(setting, np.random.default_rng(s)).explained for s in SEEDS]
        )
        for setting in shelf.SETTINGS
    }
    assert 0.45 < known["outside"] < 0.75 and 0.85 < known["inside"] < 0.97


def test_leave_one_out_orders_the_few_sources_badly_and_the_exact_risk_well():
    for setting in shelf.SETTINGS:
        table = runs(shelf.compete, setting, seeds=SEEDS[:20]).dropna(subset="Kendall")
        order = table.groupby(["method", "n"])["Kendall"].mean().unstack()
        assert order.loc["leave-one-out", [5, 20]].max() < 0.4
        assert order.loc["exact risk"].min() > 0.4
        assert (order.loc["exact risk"] > order.loc["leave-one-out"] + 0.1).all()


def test_the_least_error_promises_too_much_and_the_nested_one_does_not():
    for n, decoys in [(5, 100), (20, 100), (20, 0)]:
        mean = runs(shelf.curse, decoys, n, seeds=SEEDS[:24]).mean()
        assert mean["promised"] < 0.75 * mean["true"]
        assert mean["nested"] > 0.85 * mean["true"]
        if decoys:
            assert mean["promised"] < 0.6 * mean["true"] and mean["true"] > 1.1
            assert 0.95 < mean["combine evenly"] < 1.1  # no gain among useless sources


def with_floor(floor, labels, rng):
    task = shelf.digit_task("inside", rng)
    if labels == "linear":
        linear = task.inputs @ task.problem.target[0]
        task = shelf.Task(task.inputs, linear, task.sources)
    draw = task.draw(50, rng)
    ridges = np.geomspace(floor, 100, 1 + round(2 * np.log10(100 / floor)))
    options = {"strengths": [0.0], "ridges": ridges * np.sum(draw.X**2) / 50}
    theta = selection.combine(draw.X, draw.y, task.sources, **options).theta
    return {"risk": np.mean((draw.Z @ theta - draw.z) ** 2) / draw.risk[draw.safe]}


def test_tiny_ridges_do_harm_now_and_then_if_labels_are_noisy_and_help_if_not():
    tiny = runs(with_floor, 1e-6, "real", seeds=range(7000, 7080))["risk"]
    small = runs(with_floor, 1e-3, "real", seeds=range(7000, 7080))["risk"]
    assert tiny.max() > 4 and tiny.mean() > 1.1
    assert small.max() < 2.5 and abs(small.mean() - 1) < 0.05
    for floor in 1e-6, 1e-3:
        assert runs(with_floor, floor, "linear", seeds=SEEDS[:40])["risk"].mean() < 0.75


def test_extractors_are_told_apart_with_two_hundred_labels_and_not_with_twenty():
    table = runs(shelf.choose_extractor, seeds=SEEDS[:20])
    risk = table.groupby(["method", "n"])["risk"].mean().unstack()
    good = ["leave-one-out", "five folds", "LogME"]
    assert (risk.loc[good, 200] < 1.08).all()
    assert risk.loc["H-score", 200] > 1.1 and risk.loc["largest", 200] > 1.15
    assert risk.loc["at random", 200] > 1.5
    assert (risk.loc[good, 50] < risk.loc["at random", 50] - 0.05).all()
    assert (risk.loc[good, 5] > risk.loc["at random", 5] - 0.05).all()
    assert (risk.loc[[*good, "H-score"], 20] > risk.loc["at random", 20] - 0.15).all()
    ties = table.groupby(["method", "n"])["tied"].min().unstack()
    assert ties.loc["H-score"].tolist() == [11, 8, 5, 2]  # those with n − 1 features or more


def recipe():
    """The cell of the chapter, its imports left out of the count of its lines."""
    cells = json.loads(CHAPTER.read_text(encoding="utf-8"))["cells"]
    sources = ("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    [code] = [code for code in sources if "import combine, compare" in code]
    lines = [line for line in code.split("\n") if line.strip()]
    assert len([line for line in lines if not line.startswith("from lib")]) == 5
    return code


def by_recipe(code, setting, n, rng):
    """Risk relative to scratch of what the page says to do with the table."""
    draw = shelf.digit_task(setting, rng).draw(n, rng)
    names = {"np": np, "X": draw.X, "y": draw.y, "sources": draw.task.sources}
    exec(code, names)
    table = names["table"]
    sure = table["difference"]["scratch"] > table["standard error"]["scratch"]
    if table.index[0] == "combined" and sure:
        return {
            "risk": np.mean((draw.Z @ names["model"].theta - draw.z) ** 2) / draw.risk[draw.safe]
        }
    return {"risk": 1.0}


@pytest.mark.parametrize("n", [20, 50])
def test_the_recipe_runs_as_printed_and_does_what_the_page_says(n):
    code = recipe()
    outside = runs(by_recipe, code, "outside", n)["risk"]
    assert outside.mean() < 1.07 and np.mean(outside > 1 + 1e-9) < 0.2
    inside = runs(by_recipe, code, "inside", n)["risk"]
    assert (
        inside.mean() < (0.99 if n == 20 else 0.95) and (inside < 1).any() and (inside == 1).any()
    )


def test_the_recipe_takes_a_shelf_that_knows_the_answer_and_leaves_one_that_does_not():
    code, rng = recipe(), np.random.default_rng(1)
    X, target = rng.standard_normal((30, 40)), rng.standard_normal(40)
    for sources, taken in [
        (rng.standard_normal((6, 40)), False),
        (np.vstack([target + rng.standard_normal(40), target - rng.standard_normal(40)]), True),
    ]:
        names = {"np": np, "X": X, "y": X @ target, "sources": sources}
        exec(code, names)
        table = names["table"]
        sure = table["difference"]["scratch"] > table["standard error"]["scratch"]
        assert (table.index[0] == "combined" and sure) == taken
