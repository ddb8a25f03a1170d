"""Every public function at its edges: inputs of any scale, of other precision, of the wrong kind.

One table of calls, which a test keeps complete. In other units inputs are a times as long, labels b
times as large; hence teachers b/a, variances a² and risks b² times as large.
"""

import inspect
import math
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch

from lib import (
    bounds,
    datasets,
    deep_linear,
    exact_risk,
    figures,
    linear_regression,
    lora,
    planning,
    problem,
    relu,
    selection,
    similarity,
    transferability,
)
from lib.problem import Population, TransferProblem

RNG = np.random.default_rng(0)
X, Z, TEST = RNG.standard_normal((4, 6)), RNG.standard_normal((9, 3)), RNG.standard_normal((5, 6))
Y, THETA, SOURCES = RNG.standard_normal(4), RNG.standard_normal((2, 6)), RNG.standard_normal((3, 6))
SPECTRUM, TURN = 1 / np.arange(1.0, 7), np.linalg.qr(RNG.standard_normal((6, 6)))[0]
K, LAYERS = X @ X.T, [RNG.standard_normal(shape) for shape in ((6, 3), (3, 2), (2, 1))]
N = np.array([2.0, 4, 7])


def transfer(spectrum, teachers):
    """Return the problem with a spectrum and a pair of teachers."""
    return TransferProblem(Population(spectrum), *np.asarray(teachers))


def of_problem(function, *options, **named):
    """Return a call that makes the problem, too."""
    return lambda spectrum, teachers: function(transfer(spectrum, teachers), *options, **named)


# Name: (the call, its arrays with their units as powers of (a, b), the units of the result).
FLOW_RATE = 2 - 2 / 3  # the flow at depth L is ‖β‖^(2 − 2/L) times as fast
CALLS = {
    "linear_regression.finetune": (
        linear_regression.finetune,
        {"X": (X, 1, 0), "y": (Y, 0, 1), "source": (THETA[0], -1, 1)},
        (-1, 1),
    ),
    "linear_regression.gradient_flow": (
        linear_regression.gradient_flow,
        {
            "X": (X, 1, 0),
            "y": (Y, 0, 1),
            "source": (THETA[0], -1, 1),
            "times": (np.array([0, 0.1, 1]), -2, 0),
        },
        (-1, 1),
    ),
    "linear_regression.learning_curve": (
        lambda spectrum, teachers, X: linear_regression.learning_curve(
            transfer(spectrum, teachers), X
        ),
        {"spectrum": (SPECTRUM, 2, 0), "teachers": (THETA, -1, 1), "X": (X, 1, 0)},
        (0, 2),
    ),
    "linear_regression.measured_curve": (
        linear_regression.measured_curve,
        {
            "X": (X, 1, 0),
            "y": (Y, 0, 1),
            "X_test": (TEST, 1, 0),
            "y_test": (np.arange(5.0), 0, 1),
            "source": (THETA[0], -1, 1),
        },
        (0, 2),
    ),
    "linear_regression.samples_needed": (
        lambda curve: linear_regression.samples_needed(curve, curve[1]),
        {"curve": (np.array([3.0, 2, 1]), 0, 2)},
        (0, 0),
    ),
    "deep_linear.finetune": (
        partial(deep_linear.finetune, depth=3),
        {"X": (X, 1, 0), "y": (Y, 0, 1), "source": (THETA[0], -1, 1)},
        (-1, 1),
    ),
    "deep_linear.learning_curve": (
        lambda spectrum, teachers, X: deep_linear.learning_curve(
            transfer(spectrum, teachers), X, [1, 3, math.inf]
        ),
        {"spectrum": (SPECTRUM, 2, 0), "teachers": (THETA, -1, 1), "X": (X, 1, 0)},
        (0, 2),
    ),
    "deep_linear.gradient_flow": (
        partial(deep_linear.gradient_flow, depth=3),
        {
            "X": (X, 1, 0),
            "y": (Y, 0, 1),
            "source": (THETA[0], -1, 1),
            "times": (np.array([0, 0.1, 1]), -2 + FLOW_RATE, -FLOW_RATE),
        },
        (-1, 1),
    ),
    "deep_linear.balanced_layers": (
        lambda theta: math.prod(
            np.linalg.norm(W, 2)
            for W in deep_linear.balanced_layers(theta, 3, 2, np.random.default_rng(0))
        ),
        {"theta": (THETA[0], -1, 1)},
        (-1, 1),
    ),
    "deep_linear.balancedness": (
        lambda first, second, third: deep_linear.balancedness([first, second, third]),
        {name: (W, -1, 1) for name, W in zip(("first", "second", "third"), LAYERS, strict=True)},
        (0, 0),
    ),
    "deep_linear.finetune_frozen_first": (
        deep_linear.finetune_frozen_first,
        {"X": (X, 1, 0), "y": (Y, 0, 1), "source": (THETA[0], -1, 1)},
        (-1, 1),
    ),
    "deep_linear.finetune_frozen_last": (
        partial(deep_linear.finetune_frozen_last, depth=4, trained=2),
        {"X": (X, 1, 0), "y": (Y, 0, 1), "source": (THETA[0], -1, 1)},
        (-1, 1),
    ),
    "deep_linear.best_depth": (
        lambda spectrum, teachers, X: deep_linear.best_depth(transfer(spectrum, teachers), X),
        {"spectrum": (SPECTRUM, 2, 0), "teachers": (THETA, -1, 1), "X": (X, 1, 0)},
        (0, 0),
    ),
    "lora.finetune": (
        lora.finetune,
        {
            "X": (X, 1, 0),
            "y": (Y, 0, 1),
            "source": (THETA[0], -1, 1),
            "start": (THETA[1], -0.5, 0.5),  # both sides share the unit of their product
        },
        (-1, 1),
    ),
    "lora.adapter_risk": (
        lambda spectrum, teachers, noise: lora.adapter_risk(
            transfer(spectrum, teachers), [2, 4, 5], 3, noise
        ),
        {"spectrum": (SPECTRUM, 2, 0), "teachers": (THETA, -1, 1), "noise": (0.5, 0, 1)},
        (0, 2),
    ),
    "exact_risk.effective_ridge": (
        lambda eigenvalues, ridge: exact_risk.effective_ridge(eigenvalues, N, ridge),
        {"eigenvalues": (SPECTRUM, 2, 0), "ridge": (np.array([0, 1, 5]), 2, 0)},
        (2, 0),
    ),
    "exact_risk.linear_risk": (
        lambda spectrum, teachers, ridge, noise: exact_risk.linear_risk(
            transfer(spectrum, teachers), N, ridge, noise
        ),
        {
            "spectrum": (SPECTRUM, 2, 0),
            "teachers": (THETA, -1, 1),
            "ridge": (np.array([0, 1, 5]), 2, 0),
            "noise": (np.array([0.1, 1, 2]), 0, 1),
        },
        (0, 2),
    ),
    "exact_risk.finite_source_risk": (
        lambda spectrum, teachers, ridge, noise: exact_risk.finite_source_risk(
            transfer(spectrum, teachers),
            N,
            3,
            source_ridge=ridge,
            source_noise=noise,
            ridge=2 * ridge,
            noise=noise / 2,
            source_population=Population(spectrum, TURN),
        ),
        {
            "spectrum": (SPECTRUM, 2, 0),
            "teachers": (THETA, -1, 1),
            "ridge": (0.3, 2, 0),
            "noise": (0.5, 0, 1),
        },
        (0, 2),
    ),
    "exact_risk.shifted_risk": (
        lambda spectrum, teachers, ridge, noise: exact_risk.shifted_risk(
            transfer(spectrum, teachers), Population(spectrum, TURN), N, ridge, noise
        ),
        {
            "spectrum": (SPECTRUM, 2, 0),
            "teachers": (THETA, -1, 1),
            "ridge": (0.3, 2, 0),
            "noise": (0.5, 0, 1),
        },
        (0, 2),
    ),
    "exact_risk.deep_linear_risk": (
        of_problem(exact_risk.deep_linear_risk, N, 3),
        {"spectrum": (SPECTRUM, 2, 0), "teachers": (THETA, -1, 1)},
        (0, 2),
    ),
    "planning.risk_profile": (
        of_problem(planning.risk_profile, N),
        {"spectrum": (SPECTRUM, 2, 0), "teachers": (THETA, -1, 1)},
        (0, 2),
    ),
    "planning.sample_complexity": (
        lambda spectrum, teachers, risk: planning.sample_complexity(
            transfer(spectrum, teachers), float(risk), 3
        ),
        {
            "spectrum": (SPECTRUM, 2, 0),
            "teachers": (THETA, -1, 1),
            "risk": (np.array(0.3), 0, 2),
        },
        (0, 0),
    ),
    "planning.optimal_ridge": (
        lambda spectrum, teachers, noise: planning.optimal_ridge(
            transfer(spectrum, teachers), N, noise
        ),
        {
            "spectrum": (SPECTRUM, 2, 0),
            "teachers": (THETA, -1, 1),
            "noise": (np.array(0.5), 0, 1),
        },
        (2, 0),
    ),
    "linear_regression.flow_risk": (
        lambda spectrum, teachers, X, times, noise: linear_regression.flow_risk(
            transfer(spectrum, teachers), X, times, float(noise)
        ),
        {
            "spectrum": (SPECTRUM, 2, 0),
            "teachers": (THETA, -1, 1),
            "X": (X, 1, 0),
            "times": (np.array([0, 0.1, 1]), -2, 0),
            "noise": (np.array(0.5), 0, 1),
        },
        (0, 2),
    ),
    "planning.optimal_source_ridge": (
        lambda spectrum, teachers, noise: planning.optimal_source_ridge(
            transfer(spectrum, teachers), N, 3, source_noise=noise
        ),
        {"spectrum": (SPECTRUM, 2, 0), "teachers": (THETA, -1, 1), "noise": (0.5, 0, 1)},
        (2, 0),
    ),
    "planning.exchange_rate": (
        lambda spectrum, teachers, noise: planning.exchange_rate(
            transfer(spectrum, teachers), N, 2, source_noise=noise
        ),
        {"spectrum": (SPECTRUM, 2, 0), "teachers": (THETA, -1, 1), "noise": (0.5, 0, 1)},
        (0, 0),
    ),
    "planning.optimal_stopping_time": (
        lambda spectrum, teachers, X, noise: planning.optimal_stopping_time(
            transfer(spectrum, teachers), X, float(noise)
        ),
        {
            "spectrum": (SPECTRUM, 2, 0),
            "teachers": (THETA, -1, 1),
            "X": (X, 1, 0),
            "noise": (np.array(2.0), 0, 1),
        },
        (-2, 0),
    ),
    "similarity.squared_distance": (
        of_problem(similarity.squared_distance),
        {"spectrum": (SPECTRUM, 2, 0), "teachers": (THETA, -1, 1)},
        (-2, 2),
    ),
    "similarity.cosine": (
        of_problem(similarity.cosine),
        {"spectrum": (SPECTRUM, 2, 0), "teachers": (THETA, -1, 1)},
        (0, 0),
    ),
    "similarity.weighted_squared_distance": (
        of_problem(similarity.weighted_squared_distance),
        {"spectrum": (SPECTRUM, 2, 0), "teachers": (THETA, -1, 1)},
        (0, 2),
    ),
    "similarity.weighted_cosine": (
        of_problem(similarity.weighted_cosine),
        {"spectrum": (SPECTRUM, 2, 0), "teachers": (THETA, -1, 1)},
        (0, 0),
    ),
    "similarity.top_energy": (
        of_problem(similarity.top_energy, 3),
        {"spectrum": (SPECTRUM, 2, 0), "teachers": (THETA, -1, 1)},
        (-2, 2),
    ),
    "similarity.tail_energy": (
        of_problem(similarity.tail_energy, 3),
        {"spectrum": (SPECTRUM, 2, 0), "teachers": (THETA, -1, 1)},
        (-2, 2),
    ),
    "similarity.spectral_profile": (
        of_problem(similarity.spectral_profile, 3),
        {"spectrum": (SPECTRUM, 2, 0), "teachers": (THETA, -1, 1)},
        (0, 0),
    ),
    "bounds.covariance_error": (
        lambda spectrum, X: bounds.covariance_error(Population(spectrum), X),
        {"spectrum": (SPECTRUM, 2, 0), "X": (X, 1, 0)},
        (2, 0),
    ),
    "bounds.uniform_bound": (
        lambda spectrum, teachers, error: bounds.uniform_bound(
            transfer(spectrum, teachers), float(error)
        ),
        {
            "spectrum": (SPECTRUM, 2, 0),
            "teachers": (THETA, -1, 1),
            "error": (np.array(0.3), 2, 0),
        },
        (0, 2),
    ),
    "bounds.spectral_bound": (
        lambda spectrum, teachers, error: bounds.spectral_bound(
            transfer(spectrum, teachers), float(error)
        ),
        {
            "spectrum": (SPECTRUM, 2, 0),
            "teachers": (THETA, -1, 1),
            "error": (np.array(0.3), 2, 0),
        },
        (0, 2),
    ),
    "bounds.concentration": (
        lambda spectrum: bounds.concentration(Population(spectrum), N, 0.9, 1.0),
        {"spectrum": (SPECTRUM, 2, 0)},
        (2, 0),
    ),
    "bounds.ntk_bound": (
        bounds.ntk_bound,
        {"X": (X, 1, 0), "residual": (Y, 0, 1)},
        (0, 1),
    ),
    "relu.ntk": (relu.ntk, {"X": (X, 1, 0), "Z": (TEST, 1, 0)}, (2, 0)),
    "relu.finetune": (
        relu.finetune,
        {"X": (X, 1, 0), "residual": (Y, 0, 1), "X_test": (TEST, 1, 0)},
        (0, 1),
    ),
    "relu.correction_norm": (
        relu.correction_norm,
        {"X": (X, 1, 0), "residual": (Y, 0, 1)},
        (-1, 1),
    ),
    "relu.learning_curve": (
        relu.learning_curve,
        {
            "X": (X, 1, 0),
            "residual": (Y, 0, 1),
            "X_test": (TEST, 1, 0),
            "residual_test": (np.ones(5), 0, 1),
        },
        (0, 2),
    ),
    "selection.combine": (
        lambda X, y, sources: selection.combine(X, y, sources).theta,
        {"X": (X, 1, 0), "y": (Y, 0, 1), "sources": (SOURCES, -1, 1)},
        (-1, 1),
    ),
    "selection.compare": (
        lambda given, head, y: np.sqrt(selection.compare({"it": (given, head)}, y)["error"]),
        {"given": (X, 1, 0), "head": (THETA[0], -1, 1), "y": (Y, 0, 1)},
        (0, 1),
    ),
    "selection.leave_one_out": (
        lambda K, residual, ridge: selection.leave_one_out(K, residual, float(ridge)),
        {"K": (K, 2, 0), "residual": (Y, 0, 1), "ridge": (np.array(0.5), 2, 0)},
        (0, 1),
    ),
    "selection.rank_sources": (
        lambda X, y, sources: np.sqrt(selection.rank_sources(X, y, sources)[1]),
        {"X": (X, 1, 0), "y": (Y, 0, 1), "sources": (SOURCES, -1, 1)},
        (0, 1),
    ),
    "selection.rank_sources, deep": (
        lambda X, y, sources: np.sqrt(selection.rank_sources(X, y, sources, depth=3)[1]),
        {"X": (X, 1, 0), "y": (Y, 0, 1), "sources": (SOURCES, -1, 1)},
        (0, 1),
    ),
    "transferability.logme": (
        lambda features, y: math.exp(-transferability.logme(features, y)),
        {"features": (Z, 1, 0), "y": (np.arange(9.0) ** 2, 0, 1)},
        (0, 1),
    ),
    "transferability.h_score": (
        lambda features: transferability.h_score(features, np.arange(9) % 3),
        {"features": (Z, 1, 0)},
        (0, 0),
    ),
    "datasets.readout": (
        datasets.readout,
        {"X": (X, 1, 0), "labels": (Y, 0, 1)},
        (-1, 1),
    ),
    "figures.standard_error": (figures.standard_error, {"values": (TEST, 0, 1)}, (0, 1)),
    "problem.kernel_problem": (
        lambda K, values: problem.kernel_problem(K, values).population.eigenvalues,
        {"K": (K, 2, 0), "values": (Y, 0, 1)},
        (2, 0),
    ),
    "Population.from_samples": (
        lambda X: Population.from_samples(X).eigenvalues,
        {"X": (X, 1, 0)},
        (2, 0),
    ),
    "Population.squared_norm": (
        lambda spectrum, theta: Population(spectrum).squared_norm(theta),
        {"spectrum": (SPECTRUM, 2, 0), "theta": (THETA, -1, 1)},
        (0, 2),
    ),
    "TransferProblem.risk": (
        lambda spectrum, teachers, theta: transfer(spectrum, teachers).risk(theta),
        {
            "spectrum": (SPECTRUM, 2, 0),
            "teachers": (THETA, -1, 1),
            "theta": (SOURCES, -1, 1),
        },
        (0, 2),
    ),
}
ELSEWHERE = {  # not functions of arrays of numbers: tables, plots, data, random problems, checks
    "datasets": {"digits", "image_patches", "mnist", "words"},
    "figures": {"curves", "measured", "rate", "summary", "table", "theory", "use_style"},
    # Called by the others; and those whose norms go with the source: in test_layers.
    "deep_linear": {"chain", "finetune_layers", "layer_curve", "layer_flow"},
    "lora": {"frozen_risk"},  # of three integers
    "linear_regression": {"orthogonal_expansion", "unlearned"},
}


def test_the_table_is_complete():
    modules = (bounds, datasets, deep_linear, exact_risk, figures, linear_regression, lora)
    for module in (*modules, planning, problem, relu, selection, similarity, transferability):
        name = module.__name__.removeprefix("lib.")
        public = {key for key in module.__all__ if inspect.isfunction(getattr(module, key))}
        called = {key.partition(".")[2].partition(",")[0] for key in CALLS if key.startswith(name)}
        assert public == called | ELSEWHERE.get(name, set()), name


def scaled(value, powers, log_a, log_b):
    """Return ``value`` in units of a and b, which are powers of two."""
    exponent = powers[0] * log_a + powers[1] * log_b
    return np.asarray(value) * 2.0**exponent  # of the flow's times, the power is no integer


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(
    ("log_a", "log_b"),
    [(499, 0), (-499, 0), (0, 499), (0, -499), (499, 499), (-499, -499), (240, -240), (-240, 240)],
)
def test_scales_change_nothing_but_the_units(name, log_a, log_b):
    """From 10⁻¹⁵⁰ to 10¹⁵⁰ where squares are returned, or are among the arguments."""
    call, arguments, units = CALLS[name]
    expected = np.asarray(call(**{key: value[0] for key, value in arguments.items()}), dtype=float)
    moved = {key: scaled(value, unit, log_a, log_b) for key, (value, *unit) in arguments.items()}
    result = np.asarray(call(**moved), dtype=float)
    tolerance = 1e-6 if "gradient_flow" in name and "deep" in name else 1e-9
    back = scaled(result, (-units[0], -units[1]), log_a, log_b)
    size = np.abs(expected[np.isfinite(expected)]).max(initial=0)
    np.testing.assert_allclose(back, expected, rtol=tolerance, atol=1e-13 * size)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("log_a", [664, -664])
@pytest.mark.parametrize(
    "name", [name for name, (_, arrays, _) in CALLS.items() if set(arrays) == {"X", "y", "source"}]
)
def test_inputs_of_any_size(name, log_a):
    """10²⁰⁰ and 10⁻²⁰⁰, with sources that fit."""
    call, arguments, units = CALLS[name]
    expected = call(**{key: value[0] for key, value in arguments.items()})
    moved = {key: scaled(value, unit, log_a, 0) for key, (value, *unit) in arguments.items()}
    np.testing.assert_allclose(scaled(call(**moved), (1, 0), log_a, 0), expected, rtol=1e-9)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("depth", [1, 3, math.inf])
@pytest.mark.parametrize("scale", [2.0**664, 2.0**-664])
def test_sources_are_ranked_at_any_size(scale, depth):
    order, scores = selection.rank_sources(X, Y, SOURCES, depth=depth)
    again = selection.rank_sources(scale * X, Y, SOURCES / scale, depth=depth)
    np.testing.assert_array_equal(again[0], order)
    np.testing.assert_allclose(again[1], scores, rtol=1e-9)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("kind", ["float32", "int64", "list", "frame"])
def test_other_precisions_and_containers_are_taken(name, kind):
    """The same as for float64 arrays of the same values, up to the rounding of single precision."""
    call, arguments, _ = CALLS[name]
    plain = {key: np.asarray(value[0], dtype=float) for key, value in arguments.items()}
    if kind == "int64":
        plain = {key: np.round(8 * value) for key, value in plain.items()}
        for key in {"spectrum", "eigenvalues"} & plain.keys():
            plain[key] = np.arange(9.0, 3, -1)
    if kind == "float32":
        plain = {key: value.astype("float32").astype(float) for key, value in plain.items()}
    if kind == "int64" and "K" in plain:
        plain["K"] = np.round(8 * X) @ np.round(8 * X).T
    expected = np.asarray(call(**plain), dtype=float)
    change = {
        "float32": lambda value: value.astype("float32"),
        "int64": lambda value: value.astype("int64"),
        "list": lambda value: value.tolist(),
        "frame": lambda value: pd.DataFrame(value) if value.ndim == 2 else value,
    }[kind]
    if kind == "frame" and name in ("linear_regression.samples_needed",):
        return
    result = np.asarray(call(**{key: change(value) for key, value in plain.items()}), dtype=float)
    np.testing.assert_allclose(result, expected, rtol=1e-6, atol=1e-9)


def masked(value):
    """Hide an entry."""
    return np.ma.masked_greater(value, np.max(value) - 1e-9)


def missing(value):
    """Put a NA into a frame."""
    frame = pd.DataFrame(np.atleast_2d(value)).astype("Float64")
    frame.iloc[0, 0] = pd.NA
    return frame if value.ndim == 2 else frame.iloc[0]


WRONG = {
    "mask": masked,
    "subclass": lambda value: np.asarray(value).view(type("Quantity", (np.ndarray,), {})),
    "gradients": lambda value: torch.tensor(value, requires_grad=True),
    "text": lambda value: np.asarray(value).astype(str).astype(object),
    "NA": missing,
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.parametrize("name", CALLS)
def test_the_wrong_kind_of_array_is_named(name, kind):
    """A TypeError or ValueError with the name of the argument and its dtype."""
    call, arguments, _ = CALLS[name]
    called = {"spectrum": "eigenvalues", "teachers": "(source|target)"}
    called |= {"given": r"candidates\['it'\]", "head": r"candidates\['it'\]\[1\]"}
    called |= {"first": r"layers\[0\]", "second": r"layers\[1\]", "third": r"layers\[2\]"}
    for key, (value, *_) in arguments.items():
        value = np.asarray(value, dtype=float)
        if value.ndim == 0 or key == "teachers":
            continue  # numbers and pairs are taken apart by the calls themselves
        plain = {other: array[0] for other, array in arguments.items()}
        with pytest.raises((TypeError, ValueError), match=f"^{called.get(key, key)} must.*dtype"):
            call(**plain | {key: WRONG[kind](value)})
