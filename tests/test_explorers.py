"""The core of the explorers, in JavaScript: the numbers of the library, under Node.

Both compute with doubles, by other steps and in another order. On what is drawn here they agree to
1e-12; promised is a relative 1e-9, far below what a wrong formula is off by. Where a quantity is a
difference of what nearly cancels, it is measured on the size of that.
"""

import json
import math
import runpy
import subprocess
from functools import partial

import numpy as np
import pytest

from conftest import CHROMIUM, ROOT
from lib import deep_linear, exact_risk, linear_regression, lora, planning, selection
from lib.depth_equation import log_scale, log_scale_of_layers
from lib.problem import Population, TransferProblem

CORE = ROOT / "_static" / "explorers.js"
CASES = 500
drawing = runpy.run_path(ROOT / "_static" / "explorers" / "draw.py")
SCRIPT = """
const core = require(process.argv[1]);
const revive = (key, value) => value === "inf" ? Infinity : value;
const calls = JSON.parse(require("fs").readFileSync(0, "utf8"), revive);
const plain = (value) => ArrayBuffer.isView(value) ? [...value] : value;
const answers = calls.map(([name, args]) => {
  try { return plain(core[name](...args)); }
  catch (error) { return `${error.name}: ${error.message}`; }
});
console.log(JSON.stringify(answers, (key, value) => value === Infinity ? "inf" : value));
"""


def encoded(value):
    """Return what JSON can carry."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [encoded(part) for part in value]
    if isinstance(value, dict):
        return {key: encoded(part) for key, part in value.items()}
    if isinstance(value, np.generic):
        value = value.item()
    return "inf" if value == math.inf else value


def decoded(value):
    if isinstance(value, list):
        return [decoded(part) for part in value]
    return math.inf if value == "inf" else value


def node(calls):
    """Return what the core answers to calls (name, arguments), or the errors that it throws."""
    command = [drawing["compute_driver_executable"]()[0], "-e", SCRIPT, str(CORE)]
    answers = subprocess.run(
        command, input=json.dumps(encoded(calls)), check=True, capture_output=True, text=True
    )
    return decoded(json.loads(answers.stdout))


def differences(kind):
    """Return the largest relative difference from the library of each of the drawn cases."""
    rng, cases = np.random.default_rng(1), []
    while len(cases) < CASES:
        if (case := DRAWN[kind](rng)) is not None:
            cases.append(case)
    answers = node([(kind.split()[0], arguments) for arguments, *_ in cases])
    return np.array([off(answer, *case[1:]) for answer, case in zip(answers, cases, strict=True)])


def off(answer, expected, size=None):
    """Return the largest difference, relative to what is expected or to ``size``."""
    answer, expected = np.asarray(answer, dtype=float), np.asarray(expected)
    if answer.shape != expected.shape or not np.array_equal(np.isinf(answer), np.isinf(expected)):
        return math.inf
    finite = np.isfinite(expected)
    size = np.abs(expected) if size is None else np.broadcast_to(size, expected.shape)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.abs(answer - expected)[finite] / size[finite]
    return np.nan_to_num(ratio, nan=0, posinf=math.inf).max(initial=0)  # 0/0 is agreement


def spectrum(rng):
    """Return eigenvalues: power laws, twelve decades, groups of equal ones, zeros at the end."""
    d = int(rng.choice([1, 2, 3, 8, 30, 100, 400]))
    kind = rng.integers(4)
    if kind == 0:
        values = np.arange(1, d + 1.0) ** -rng.uniform(0, 3)
    elif kind == 1:
        values = 10 ** rng.uniform(-12, 0, d)
    elif kind == 2:
        values = rng.choice([1.0, 0.1, 1e-4], d)
    else:
        values = rng.exponential(size=d)
        values[rng.random(d) < 0.3] = 0
        values[rng.random(d) < 0.2] *= 1e-20  # a gap in which κ of a whole n has its place
    return np.sort(values)[::-1] * 10 ** rng.uniform(-3, 3)


def samples(rng, values):
    """Return a number of samples: none, few, near the rank, whole or not, above."""
    rank = np.count_nonzero(values)
    choices = [0, 1, rng.integers(0, 2 * rank + 2), rng.uniform(0, rank + 1), rank, rank - 1, 1e-3]
    return float(max(choices[rng.integers(len(choices))], 0))


def ridge_and_noise(rng, values):
    ridge = rng.choice(
        [0, 0, 10 ** rng.uniform(-6, 6) * values[0], math.inf], p=[0.4, 0.1, 0.4, 0.1]
    )
    return float(ridge), float(rng.choice([0, rng.exponential()]))


def drawn(kind):
    """Name a function that draws a case: arguments, what the library says, and what is large."""

    def named(function):
        DRAWN[kind] = function
        return function

    return named


DRAWN = {}


@drawn("effectiveRidge")
def _(rng):
    values = spectrum(rng)
    n, (ridge, _) = samples(rng, values), ridge_and_noise(rng, values)
    return (values, n, ridge), exact_risk.effective_ridge(values, n, ridge)


def gap_problem(values, gap):
    return TransferProblem(Population(values), np.zeros(values.size), gap)


@drawn("linearRisk of one n")
def _(rng, many=0):
    values = spectrum(rng)
    gap, (ridge, noise) = rng.standard_normal(values.size), ridge_and_noise(rng, values)
    n = np.array([samples(rng, values) for _ in range(many)]) if many else samples(rng, values)
    risk = exact_risk.linear_risk(gap_problem(values, gap), n, ridge, noise)
    return (values, gap, n, ridge, noise), risk


DRAWN["linearRisk of many n"] = partial(DRAWN["linearRisk of one n"], many=5)


@drawn("sampleComplexity")
def _(rng):
    values = spectrum(rng)
    gap = rng.standard_normal(values.size) / np.sqrt(values + values[0] * 1e-6 + 1e-30)
    problem = gap_problem(values, gap)
    risk = problem.risk(problem.source) * 10 ** rng.uniform(-4, 0.3)
    return (values, gap, risk), planning.sample_complexity(problem, risk)


@drawn("deepLinearRisk")
def _(rng):
    values = spectrum(rng)
    if not values[0]:
        return None
    source, noise = rng.standard_normal((2, values.size))
    target = 10 ** rng.uniform(-1, 1) * source + rng.choice([0, 0.3, 3]) * noise
    depth = rng.choice([1, 2, 3, 7, 50, math.inf])
    problem = TransferProblem(Population(values), source, target)
    n = np.array([samples(rng, values) for _ in range(3)])
    risk = exact_risk.deep_linear_risk(problem, n, depth if math.isinf(depth) else int(depth))
    # The risk is a parabola in c, of terms of this size, whose digits are lost where it is 0.
    large = np.maximum(risk, 1e-6 * problem.population.squared_norm(target))
    return (values, source, target, n, depth), risk, large


@drawn("layerScale of balanced layers")
def _(rng):
    seen, learned = 10 ** rng.uniform(-20, 3, 2)
    unseen = float(rng.choice([0, 10 ** rng.uniform(-6, 3)]))
    if rng.random() < 0.2:
        learned = seen * (1 + 1e-9 * rng.standard_normal())
    depth = rng.choice([1, 2, 3, 10, 1000, math.inf])
    parts = {"seen": seen, "unseen": unseen, "learned": learned}
    log = log_scale(seen, unseen, learned, learned - seen, 1 / depth)
    return (parts, float(depth)), np.exp(log)


@drawn("layerScale of other layers")
def _(rng):
    seen, unseen, learned = 10 ** rng.uniform(-3, 2, 3)
    speeds = 10 ** rng.uniform(-3, 2, rng.integers(0, 5))
    speeds[rng.random(speeds.size) < 0.2] = 0
    if rng.random() < 0.2:
        speeds[:] = 1
    parts = {"seen": seen, "unseen": unseen, "learned": learned}
    log = log_scale_of_layers(seen, unseen, learned, learned - seen, list(speeds))
    return (parts, speeds), np.exp(log)


@drawn("frozenRisk")
def _(rng):
    dim = int(rng.integers(1, 60))
    n, rank = int(rng.integers(0, dim)), int(rng.integers(0, 2 * dim))
    return (dim, n, rank), lora.frozen_risk(dim, n, rank)


@drawn("adapterRisk")
def _(rng):
    values = spectrum(rng)
    gap, (_, noise) = rng.standard_normal(values.size), ridge_and_noise(rng, values)
    n, rank = (int(samples(rng, values)) for _ in range(2))
    if rng.random() < 0.3:  # as many samples as there are directions
        n = np.count_nonzero(values)
        rank = n + int(rng.integers(3))
    risk = lora.adapter_risk(gap_problem(values, gap), n, rank, noise)
    return (values, gap, n, rank, noise), risk


def sample(rng, spread=1):
    """Return X, y and a source: more samples than dimensions or fewer, repeated or zero rows."""
    n, d = rng.integers(1, 13, 2)
    X = rng.standard_normal((n, d)) * 10 ** rng.uniform(-spread, spread, d)
    if n > 1 and rng.random() < 0.4:
        X[rng.integers(1, n) :] = X[0] * rng.choice([0, 1, -2])
    return X, rng.standard_normal(n), rng.standard_normal(d)


@drawn("learningCurve")
def _(rng):
    X, _, source = sample(rng)
    d = X.shape[1]
    values, target = np.sort(rng.exponential(size=d))[::-1], rng.standard_normal(d)
    problem = TransferProblem(Population(values), source, target)
    curve = linear_regression.learning_curve(problem, X)
    return (values, source, target, X), curve, problem.risk(source)  # at d samples it is rounding


@drawn("finetune")
def _(rng):
    X, y, source = sample(rng)
    ridge = float(rng.choice([0, 10 ** rng.uniform(-3, 3), math.inf], p=[0.5, 0.4, 0.1]))
    end = linear_regression.finetune(X, y, source, ridge=ridge)
    return (X, y, source, ridge), end, np.linalg.norm(end) + np.linalg.norm(source)


@drawn("leaveOneOut")
def _(rng):
    # The library starts from XXᵀ, which has the square of the condition of X: if columns are of
    # many sizes, up to 3e-9 is lost to that (against fifty digits; the core keeps 1e-14).
    X, y, source = sample(rng, spread=0.1)
    if len(X) == 1:
        return None
    ridge = float(10 ** rng.uniform(-4, 3) * np.sum(X**2) + 1e-3)
    errors = selection.leave_one_out(X @ X.T, y - X @ source, ridge)
    return (X, y, source, ridge), errors, np.abs(errors).max()


@pytest.mark.parametrize("kind", DRAWN)
def test_the_numbers_of_the_library(kind):
    assert differences(kind).max() < 1e-9


def test_every_function_is_compared():
    names = subprocess.run(
        [drawing["compute_driver_executable"]()[0], "-p", f"Object.keys(require('{CORE}')).join()"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert set(names.strip().split(",")) - {"rowSpace"} == {kind.split()[0] for kind in DRAWN}


def test_layer_scale_is_that_of_trained_layers():
    """From norms: against the end point itself, along a part of the source that no sample sees."""
    rng, calls, expected = np.random.default_rng(8), [], []
    for _ in range(30):
        X = rng.standard_normal((4, 12))
        source, target = rng.standard_normal((2, 12))
        target += 2 * source  # better than answering zero: no layer changes its sign
        norms = np.append(rng.uniform(0.5, 2, 2), 0)
        norms[2] = np.linalg.norm(source) / norms[:2].prod()
        inside = X.T @ np.linalg.solve(X @ X.T, X)
        seen, learned = ((inside @ theta) @ theta for theta in (source, target))
        parts = {"seen": seen, "unseen": source @ source - seen, "learned": learned}
        calls.append(("layerScale", (parts, (norms[0] / norms[1:]) ** 2)))
        end = deep_linear.finetune_layers(X, X @ target, source, norms)
        outside = source - inside @ source
        expected.append(end @ outside / (outside @ outside))
    np.testing.assert_allclose(node(calls), expected, rtol=1e-9)


@pytest.mark.parametrize(
    "name, arguments, message",
    [
        ("effectiveRidge", ([1, 2], 1), "RangeError: eigenvalues must be non-negative and in desc"),
        ("effectiveRidge", ([1, -1], 1), "RangeError: eigenvalues must be non-negative"),
        ("effectiveRidge", ("12", 1), "TypeError: eigenvalues must be an array"),
        ("effectiveRidge", ([1], -1), "RangeError: n must be at least 0 and finite, got -1"),
        ("effectiveRidge", ([1], "1"), "TypeError: n must be a number, got string"),
        ("linearRisk", ([1, 1], [1], 1), "RangeError: gap must have 2 entries, got 1"),
        ("linearRisk", ([1], [None], 1), "RangeError: gap must have finite entries"),
        ("linearRisk", ([1], [1], [math.inf]), "RangeError: n must have finite entries"),
        ("linearRisk", ([1], [1], 1, -1), "RangeError: ridge must be at least 0, got -1"),
        ("linearRisk", ([1], [1], 1, 0, math.inf), "RangeError: noise must be at least 0 and fin"),
        ("deepLinearRisk", ([1], [1], [1], 1, 0), "RangeError: depth must be an integer of at le"),
        ("deepLinearRisk", ([1], [1], [1], 1, 1.5), "RangeError: depth must be an integer"),
        ("deepLinearRisk", ([1], [0], [1], 1, 2), "RangeError: source must not be zero"),
        ("deepLinearRisk", ([1], [1], [1, 2], 1, 2), "RangeError: target must have 1 entries"),
        ("layerScale", ({"seen": 1, "unseen": 1}, 2), "TypeError: learned must be a number"),
        ("layerScale", ({"seen": 1, "unseen": 1, "learned": 1}, [-1]), "RangeError: depth must"),
        ("frozenRisk", (4, 4, 1), "RangeError: n must be below dim = 4, got 4"),
        ("frozenRisk", (4, 1.5, 1), "RangeError: n must be whole, got 1.5"),
        ("adapterRisk", ([1], [1], 1, -2), "RangeError: rank must be at least 0"),
        ("sampleComplexity", ([1], [1], -1), "RangeError: risk must be at least 0"),
        ("learningCurve", ([1], [1], [1], [[1, 2]]), "RangeError: X must have 1 entries, got 2"),
        ("finetune", ([[1], [1, 2]], [1, 1], [1]), "RangeError: X must have 1 entries, got 2"),
        ("finetune", ([[1]], [1, 2], [1]), "RangeError: y must have 1 entries, got 2"),
        ("finetune", ("x", [1], [1]), "TypeError: X must be an array of rows"),
        ("leaveOneOut", ([[1]], [1], [1], 0), "RangeError: ridge must be above 0"),
    ],
)
def test_bad_input_is_named(name, arguments, message):
    [answer] = node([(name, arguments)])
    assert str(answer).startswith(message)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_a_page_takes_it_from_a_file_and_gets_one_name(browser, tmp_path):
    page = tmp_path / "page.html"
    page.write_text(
        f'<script>before = Object.keys(window)</script><script src="{CORE.as_uri()}"></script>'
    )
    tab = browser.new_page()
    problems = []
    tab.on("console", lambda message: problems.append(message.text))
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.goto(page.as_uri())
    new = tab.evaluate("Object.keys(window).filter(name => !before.includes(name))")
    assert set(new) == {"LinearTeachers", "before"}
    assert tab.evaluate("LinearTeachers.effectiveRidge(Array(10).fill(2), 5)") == pytest.approx(2)
    assert not problems
    tab.close()
