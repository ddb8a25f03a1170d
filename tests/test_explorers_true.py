"""What explorers say, against the library; and what the texts beside them promise who tries."""

import itertools
import json
import math
import re
import runpy
import subprocess

import numpy as np
import pytest

from conftest import CHROMIUM, ROOT
from lib import deep_linear, exact_risk, linear_regression, lora
from lib.problem import Population, TransferProblem

HERE = ROOT / "_static" / "explorers"
drawing = runpy.run_path(HERE / "draw.py")
SCRIPT = """
const here = process.argv[1];
global.LinearTeachers = require(`${here}/../explorers.js`);
require(`${here}/kit.js`);
const asked = JSON.parse(process.argv[2], (key, value) => value === "inf" ? Infinity : value);
const { explorers, kit } = LinearTeachers;
console.log(JSON.stringify(asked.map(([name, changes]) => {
  require(`${here}/${name}.js`);
  const explorer = explorers[name];
  const state = { ...kit.initial(explorer), open: true, ...changes };
  const { svg } = explorer.picture(state, 600);
  return { words: explorer.words(state), truth: explorer.guess.truth(state), svg };
})));
"""


def ask(*states):
    """Return what explorers say in states, given as (name, changes)."""
    asked = [
        (name, {key: "inf" if value == math.inf else value for key, value in changes.items()})
        for name, changes in states
    ]
    command = [drawing["compute_driver_executable"]()[0], "-e", SCRIPT, str(HERE)]
    command.append(json.dumps(asked))
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(found.stdout)


def words(*states):
    return [answer["words"] for answer in ask(*states)]


def numbers(text):
    """Return the numbers of a sentence."""
    return [float(n) for n in re.findall(r"\d+(?:\.\d+)?", text)]


def number(said):
    """Return a number as explorers write them: 0.012, or 1.2·10⁻⁵."""
    raised = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹−", "-0123456789-")
    mantissa, _, power = said.rpartition("10" if "⁻" in said else "nothing")
    if not power or "⁻" not in said:
        return float(said.translate(raised))
    return float(mantissa.rstrip("·") or 1) * 10.0 ** int(power.translate(raised))


def ends(name):
    """Return the states in which every knob of an explorer is at one of its ends."""
    script = f"{SCRIPT.split('const asked')[0]}"
    script += "require(`${here}/${process.argv[2]}.js`);"
    script += "console.log(JSON.stringify(LinearTeachers.explorers[process.argv[2]].knobs,"
    script += "(key, value) => value === Infinity ? 'inf' : value))"
    command = [drawing["compute_driver_executable"]()[0], "-e", script, str(HERE), name]
    knobs = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    values = [knob.get("values") or [knob["min"], knob["max"]] for knob in knobs.values()]
    pairs = [(v[0], v[-1]) for v in values]
    return [(name, dict(zip(knobs, pair, strict=True))) for pair in itertools.product(*pairs)]


@pytest.mark.parametrize("name", drawing["names"]())
def test_what_is_said_at_the_ends_of_the_knobs_makes_sense(name):
    states = ends(name) + [("plane", {"sourceX": 0.9, "sourceY": 0.4})] * (name == "plane")
    states += [("depth", {"ratio": 1, "angle": 0})] * (name == "depth")  # one teacher
    for (_, state), text in zip(states, words(*states), strict=True):
        for wrong in ("undefined", "NaN", " 1 samples", " 1 times ", "∞ "):
            assert wrong not in text, (state, text)
        assert text.endswith((".", ".)")), (state, text)


def test_source_and_target_that_are_the_same():
    same = words(("plane", {"sourceX": 0.9, "sourceY": 0.4}), ("depth", {"ratio": 1, "angle": 0}))
    assert all("Source and target are the same" in text for text in same)
    assert not any("better" in text or "differ" in text for text in same)


def test_who_is_called_better_has_the_less_in_print():
    rng, states = np.random.default_rng(0), []
    for _ in range(150):
        ratio, share = 10 ** rng.uniform(-0.2, 0.2), rng.uniform(0.02, 0.5)
        angle, depth = rng.uniform(0, 90), [2, 3, 7, math.inf][rng.integers(4)]
        states.append(("depth", dict(ratio=ratio, angle=angle, depth=depth, share=share)))
    numbers = r": (\S+) with depth \S+, (\S+) linear: (.*)\."
    called = set()
    for text in words(*states):
        network, linear, verdict = re.search(numbers, text).groups()
        called.add(verdict)
        if verdict == "hardly any difference":
            assert number(network) == pytest.approx(number(linear), rel=0.02)
        else:
            assert (number(network) < number(linear)) == (verdict == "the network is better")
            assert network != linear
    assert len(called) == 3


# ---------------------------------------------------------------------------- the plane


def plane(first, source, target, variance, second=None):
    """Risk before and after, and how far the source moves along the first sample."""
    angles = [first] if second is None else [first, second]
    X = np.array([[np.cos(a), np.sin(a)] for a in np.deg2rad(angles)])
    end = linear_regression.finetune(X, X @ target, source)
    population = Population([1.0, variance])
    risks = population.squared_norm(np.array([source, end]) - target)
    return *risks, X[0] @ (end - source)


def test_the_plane_says_what_fine_tuning_does():
    rng = np.random.default_rng(0)
    states, expected = [], []
    for _ in range(40):
        source, target = rng.uniform(-1.4, 1.4, (2, 2))
        first, second = rng.integers(0, 181, 2)
        two = rng.random() < 0.5
        changes = dict(
            first=int(first),
            second=int(second),
            samples=2 if two else 1,
            sourceX=source[0],
            sourceY=source[1],
            targetX=target[0],
            targetY=target[1],
            variance=0.1,
        )
        states.append(("plane", changes))
        expected.append(plane(first, source, target, 0.1, second if two else None))
    for answer, (before, after, moved) in zip(ask(*states), expected, strict=True):
        assert answer["truth"] == pytest.approx(moved, rel=1e-9, abs=1e-9)
        if after > 1e-6:
            said = re.search(r"from (\S+) to (\S+):", answer["words"])
            assert number(said[1]) == pytest.approx(before, rel=0.06)
            assert number(said[2]) == pytest.approx(after, rel=0.06)
        else:
            assert "gone" in answer["words"]


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_colours_of_the_still_picture_are_those_that_its_text_names(browser):
    """Grey ellipses, a black line of zero loss."""
    tab = browser.new_page()
    tab.goto((HERE / "plane.svg").as_uri())
    strokes = "lines => lines.map(line => getComputedStyle(line).stroke)"
    assert set(tab.eval_on_selector_all(".line.faint", strokes)) == {"rgb(136, 136, 136)"}
    assert tab.eval_on_selector_all(".line.ink", strokes) == ["rgb(34, 34, 34)"]
    tab.close()


def test_an_end_outside_the_picture_is_said_to_be_there():
    corners = dict(sourceX=1.4, sourceY=-1.4, targetX=-1.4, targetY=1.4)
    for answer, outside in zip(ask(("plane", corners), ("plane", {})), (True, False), strict=True):
        assert ("outside the picture" in answer["words"]) == outside
        assert ("FT" in answer["svg"]) != outside


def test_in_the_plane_fine_tuning_hurts_only_where_variances_differ():
    angles = range(0, 181, 3)
    for variance, hurts in ((0.1, True), (1, False)):
        states = [("plane", {"first": a, "variance": variance}) for a in angles]
        assert any("times as much" in text for text in words(*states)) == hurts


# ---------------------------------------------------------------------------- the curve


def risk_problem(exponent, alignment):
    """Variances 1/i^a and a gap with λu² ∝ λ^b of risk 1, in 120 dimensions."""
    population = Population.power_law(120, exponent)
    shares = population.eigenvalues**alignment
    gap = np.sqrt(shares / shares.sum() / population.eigenvalues)
    return TransferProblem(population, np.zeros(120), gap)


@pytest.mark.parametrize("exponent, alignment", [(1, 0), (2, -1), (0.5, 2), (0, 0)])
@pytest.mark.parametrize("noise, ridge", [(0, 0), (0.5, 0), (0.3, 1), (0.2, math.inf)])
def test_the_curve_is_the_exact_risk(exponent, alignment, noise, ridge):
    state = dict(exponent=exponent, alignment=alignment, noise=noise, ridge=ridge)
    [answer] = ask(("risk", state))
    problem = risk_problem(exponent, alignment)
    assert answer["truth"] == pytest.approx(
        exact_risk.linear_risk(problem, 40, ridge, noise), rel=1e-9
    )
    sizes = np.arange(481)
    curve = exact_risk.linear_risk(problem, sizes, ridge, noise)
    enough = np.append(-1, np.flatnonzero(~(curve <= 0.3 * (1 + 1e-9))))[-1] + 1
    if enough == 0:
        assert "as it is" in answer["words"]
    elif enough == sizes.size:
        assert "still above" in answer["words"]
    else:
        assert numbers(answer["words"])[0] == enough
    assert ("can hurt" in answer["words"]) == (curve.max() > 1.005)


def test_a_gap_where_inputs_hardly_vary_hurts_first():
    few, many = words(("risk", {"alignment": -1}), ("risk", {"alignment": 2}))
    assert "can hurt" in few and "can hurt" not in many
    assert numbers(few)[2] < 40  # with few samples


def test_noise_makes_a_peak_at_d_and_a_ridge_removes_it():
    bare, cured = words(("risk", {"noise": 0.5}), ("risk", {"noise": 0.5, "ridge": 10}))
    assert "with 120 samples" in bare or "with 119 samples" in bare
    assert "times" not in cured or float(re.search(r"is (\S+) times", cured)[1]) < 1.03


def test_enough_is_enough_for_more():
    """With noise the risk is at most 0.3 for some n, rises to its peak and is so again for good."""
    [text] = words(("risk", {"exponent": 0, "noise": 0.1}))
    problem = risk_problem(0, 0)
    assert exact_risk.linear_risk(problem, 90, 0, 0.1) < 0.3
    assert text.startswith("From 124 samples on ") and "120 samples the risk is infinite" in text


def test_a_drawn_sample_lies_about_the_curve():
    """On the mean of a few samples, in pixels: a decade is 89 of them."""
    away = []
    for answer in ask(*[("risk", {"seed": seed}) for seed in range(1, 9)]):
        path = re.search(r'<path class="line s0 " d="([^"]*)"', answer["svg"])[1]
        curve = np.array([point.split(",") for point in re.split("[ML]", path)[1:]], dtype=float)
        dots = re.findall(r'"dot s1" cx="([\d.]+)" cy="([\d.]+)" r="3"', answer["svg"])
        x, y = np.array(dots, dtype=float).T
        away.append((y - np.interp(x, *curve.T))[x < 440])  # up to 90; at d nothing is left
    assert abs(np.mean(away, axis=0)).max() < 8


# ---------------------------------------------------------------------------- depth


def isotropic(ratio, angle):
    """Teachers in 500 dimensions at an angle, of lengths 1 and ``ratio``."""
    source, across = np.eye(500)[:2]
    angle = np.deg2rad(angle)
    return TransferProblem(
        Population.isotropic(500), source, ratio * (np.cos(angle) * source + np.sin(angle) * across)
    )


@pytest.mark.parametrize("ratio", [0.3, 1, 3])
@pytest.mark.parametrize("angle", [0, 40, 120])
@pytest.mark.parametrize("depth", [1, 3, math.inf])
def test_depth_says_the_exact_risk_of_isotropic_inputs(ratio, angle, depth):
    [answer] = ask(("depth", {"ratio": ratio, "angle": angle, "depth": depth, "share": 0.2}))
    problem = isotropic(ratio, angle)
    before = problem.risk(problem.source)
    if before < 1e-12:
        return
    network = exact_risk.deep_linear_risk(problem, 100, depth) / before
    linear = exact_risk.linear_risk(problem, 100) / before
    said = re.search(r"before: (\S+) with depth \S+, (\S+) linear", answer["words"])
    assert number(said[1]) == pytest.approx(network, rel=0.06, abs=1e-12)
    assert number(said[2]) == pytest.approx(linear, rel=0.06)


def test_a_short_first_layer_makes_the_network_linear():
    balanced, short, long = (
        ask(("depth", {"imbalance": g, "share": 0.2, "ratio": 3, "angle": 20}))[0]["truth"]
        for g in (1, 0.1, 5)
    )
    assert 1 < short < 1.05 < balanced < long


@pytest.mark.parametrize("depth, imbalance", [(2, 0.5), (3, 0.5), (3, 1.25), (7, 0.8)])
def test_imbalance_is_that_of_the_first_layer(depth, imbalance):
    """Against the end points of layers in 500 dimensions, the mean of 20 draws, to their 2 %."""
    state = dict(ratio=3, angle=20, share=0.2, depth=depth, imbalance=imbalance)
    [answer] = ask(("depth", state))
    problem, rng, scales = isotropic(3, 20), np.random.default_rng(0), []
    norms = np.append(imbalance, np.full(depth - 1, imbalance ** (-1 / (depth - 1))))
    for _ in range(20):
        X = rng.standard_normal((100, 500))
        end = deep_linear.finetune_layers(X, X @ problem.target, problem.source, norms)
        outside = problem.source - np.linalg.lstsq(X, X @ problem.source)[0]
        scales.append(end @ outside / (outside @ outside))
    assert answer["truth"] == pytest.approx(np.mean(scales), rel=0.02)


@pytest.mark.parametrize("depth", [3, math.inf])
def test_the_map_is_green_where_the_network_is_better(depth):
    [answer] = ask(("depth", {"depth": depth, "share": 0.2}))
    cells = re.findall(
        r'"area s(\d)" style="[^"]*" x="(\S+)" y="(\S+)" width="(\S+)" height="(\S+)"',
        answer["svg"],
    )
    assert len(cells) > 500
    left, top = np.array([cell[1:3] for cell in cells], dtype=float).T
    for places, low, high in ((left, 58, 586), (top, 34, 254)):  # all over the frame
        assert places.min() < low + 9 and high - 20 < places.max() < high
    rng = np.random.default_rng(0)
    for kind, *corner in [cells[k] for k in rng.choice(len(cells), 60, replace=False)]:
        x, y, width, height = map(float, corner)
        # The frame is 600 wide and 300 high, with margins for the words beside it.
        angle = (x + width / 2 - 58) / (586 - 58) * 180
        ratio = 10 ** (1 - 2 * (y + height / 2 - 34) / (254 - 34))
        problem = isotropic(ratio, angle)
        better = exact_risk.deep_linear_risk(problem, 100, depth) < exact_risk.linear_risk(
            problem, 100
        )
        assert kind == ("2" if better else "1"), (angle, ratio)


# ---------------------------------------------------------------------------- peaks


PEAKS = r": (\S+) if all weights are trained, (\S+) with the frozen adapter"


def test_peaks_are_those_of_the_library():
    population = Population.isotropic(100)
    problem = TransferProblem(population, np.zeros(100), np.full(100, 0.1))
    for n, rank, noise in ((30, 40, 0.3), (70, 40, 0.0), (110, 40, 0.5), (99, 20, 0.9)):
        [text] = words(("peaks", {"n": n, "rank": rank, "noise": noise}))
        full, thin = map(float, re.search(PEAKS, text).groups())
        assert full == pytest.approx(exact_risk.linear_risk(problem, n, 0, noise), rel=0.006)
        assert thin == pytest.approx(lora.adapter_risk(problem, n, rank, noise), rel=0.006)
        best = {full: "All weights do", thin: "The adapter does", 1.0: "as it is would be"}
        assert best[min(best)] in text


def test_without_noise_the_peak_of_the_adapter_remains():
    [text] = words(("peaks", {"n": 40, "rank": 40, "noise": 0}))
    assert re.search(PEAKS, text)[2] == "infinite"
    [text] = words(("peaks", {"n": 99, "rank": 40, "noise": 0}))
    assert float(re.search(PEAKS, text)[1]) < 0.02


def test_a_ridge_removes_the_peak_of_all_weights():
    bare, cured = words(*[("peaks", {"n": 100, "ridge": ridge}) for ridge in (0, 30)])
    assert re.search(PEAKS, bare)[1] == "infinite"
    assert float(re.search(PEAKS, cured)[1]) < 0.5


@pytest.mark.parametrize("n", [30, 70])
def test_no_rank_is_better_than_all_weights(n):
    """What the third thing to try asks."""
    texts = words(*[("peaks", {"n": n, "rank": rank}) for rank in range(5, 96)])
    assert all(text.endswith("All weights do better.") for text in texts)


# ---------------------------------------------------------------------------- the curse


def promises(candidates, n, draws=300):
    """Promised and true error of the chosen, in the mean over draws."""
    [text] = words(("curse", {"candidates": candidates, "n": n, "draws": draws}))
    said = re.search(r"Over \d+ draws it promises (\S+) and has (\S+)\.$", text)
    return float(said[1]), float(said[2])


def test_one_candidate_keeps_its_promise_and_the_best_of_many_does_not():
    promised, true = promises(1, 10)
    assert promised == pytest.approx(true, rel=0.12)  # both of two digits, 300 draws
    ratios = [np.divide(*promises(k, 10)) for k in (2, 10, 100)]
    assert 1 > ratios[0] > ratios[1] > ratios[2] and ratios[2] < 0.4


def test_with_many_labels_the_best_of_a_hundred_nearly_keeps_it():
    kept = [np.divide(*promises(100, n, 200)) for n in (5, 20, 50, 100)]
    assert kept[0] < 0.2 and kept[1] < 0.85 and min(kept[2:]) > 0.9
