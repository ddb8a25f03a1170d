"""What the chapter on real data advises, recomputed with other samples and other tasks."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from lib import exact_risk, planning, similarity
from lib.problem import TransferProblem
from lib.real_data import blind_spot_moments, digits, misfit_risk, photographs, transfer

SEEDS = range(5000, 5030)
ONE_DIGIT = {f"a {a}": (a,) for a in range(10)}


@pytest.fixture(scope="module")
def data():
    """Return the three data sets, the digits with ten tasks of one digit."""
    return {"digits": digits(tasks=ONE_DIGIT)} | photographs()


@pytest.fixture(scope="module")
def moments(data):
    """Return M₂₀ of each, from samples that the chapter does not draw."""

    def other(inputs):
        return lambda rng: inputs.draw(20, np.random.default_rng(rng.integers(10**9)))

    return {
        name: blind_spot_moments(inputs.population, other(inputs), [20], 60)[0]
        for name, inputs in data.items()
    }


def gaps(inputs):
    """Return the gaps between all tasks."""
    thetas = np.array(list(inputs.teachers.values()))
    first, second = np.triu_indices(len(thetas), 1)
    return thetas[second] - thetas[first]


def test_gaps_of_digits_are_in_the_bottom_directions(data):
    inputs = data["digits"]
    energies = inputs.population.coordinates(gaps(inputs)) ** 2
    share = energies / energies.sum(axis=1, keepdims=True)
    assert share[:, -20:].sum(axis=1).min() > 0.85 and share[:, :10].sum(axis=1).max() < 0.05


def test_forecasts_are_near_up_to_twenty_samples(data, moments):
    """The median gap of each data set within 20 %, the digits' within 8 %."""
    for name, inputs in data.items():
        u = gaps(inputs)
        problems = TransferProblem.from_gap(inputs.population, u)
        ratio = np.einsum("ti,ij,tj->t", u, moments[name], u) / exact_risk.linear_risk(problems, 20)
        allowed = 0.08 if name == "digits" else 0.2
        assert abs(np.median(ratio) - 1) < allowed, name


def test_spread_of_lengths_warns(data):
    spread = {
        k: np.percentile(v.lengths, 95) / np.percentile(v.lengths, 5) for k, v in data.items()
    }
    assert spread["digits"] < 5 and min(spread["china"], spread["flower"]) > 100


def test_the_exact_risk_ranks_within_a_target(data, moments):
    """Within each target, over all others as sources."""
    found = {}
    for name, inputs in data.items():
        thetas, rows = np.array(list(inputs.teachers.values())), []
        for k in range(len(thetas)):
            problems = TransferProblem(inputs.population, np.delete(thetas, k, axis=0), thetas[k])
            risk = np.einsum("ti,ij,tj->t", problems.gap, moments[name], problems.gap)
            scores = (
                exact_risk.linear_risk(problems, 20),
                similarity.squared_distance(problems),
                similarity.weighted_squared_distance(problems),
            )
            rows.append([spearmanr(risk, score).statistic for score in scores])
        found[name] = np.mean(rows, axis=0)
    assert min(row[0] for row in found.values()) > 0.85
    assert found["digits"][1] < 0.6 and found["digits"][2] < 0.3


def test_misfit_is_noise_where_it_does_not_depend_on_the_length(data):
    """Other tasks than the chapter's: the forecast with the best ridge, digits and flower."""
    photos = {name: data[name] for name in ("china", "flower")}
    kinds = {
        "digits": (transfer(data["digits"], "a 3", data["digits"], "a 8"), data["digits"], "a 8"),
        "flower": (
            transfer(photos["china"], "vertical edge", photos["flower"], "vertical edge"),
            photos["flower"],
            "vertical edge",
        ),
    }
    off, weighted = {}, {}
    for name, (problem, inputs, task) in kinds.items():
        labels = inputs.labels[task]
        misfit = labels - inputs.X @ problem.target
        sigma = np.sqrt(np.mean(misfit**2))
        ridge = float(min(planning.optimal_ridge(problem, 100, sigma), 1e9))
        exact = exact_risk.linear_risk(problem, 100, ridge, sigma) / sigma**2
        risks = [
            misfit_risk(problem, inputs, labels, 100, ridge, np.random.default_rng(seed))["real"]
            for seed in SEEDS
        ]
        off[name] = np.median(risks) / exact
        weighted[name] = np.mean(misfit**2 * inputs.lengths) / sigma**2
    assert 0.7 < off["digits"] < 1.4 and weighted["digits"] < 2
    assert off["flower"] > 1.5 and weighted["flower"] > 4


def test_the_peak_is_where_the_rank_ends(data):
    """A sample of 55 digits shows fewer pixels than there are, and its rank is at most that."""
    ranks = [
        np.linalg.matrix_rank(data["digits"].draw(60, np.random.default_rng(seed)))
        for seed in SEEDS
    ]
    assert 51 < np.mean(ranks) < 56 < data["digits"].X.shape[1]
