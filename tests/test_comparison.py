"""lib.comparison: what is tabulated is the risk and the bounds of the problem that is named."""

import numpy as np
import pytest
import scipy.stats

from lib import bounds, exact_risk, similarity
from lib.comparison import (
    GAPS,
    LENGTHS,
    SPECTRA,
    choose_source,
    compete,
    contest,
    random_problem,
    random_shelf,
)
from lib.problem import LAWS, TransferProblem

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("spectrum", SPECTRA)
def test_results_are_those_of_the_problem_and_its_samples(spectrum, law):
    for seed, gap in enumerate(GAPS):
        row = compete(spectrum, gap, np.random.default_rng(seed), law=law)
        rng = np.random.default_rng(seed)
        problem = random_problem(100, spectrum, gap, rng)
        n, S, u = int(rng.integers(10, 80)), problem.population.covariance(), problem.gap
        values = problem.population.eigenvalues
        rows = []
        for _ in range(10):
            X = problem.population.sample(n, rng, law)
            left = u - np.linalg.pinv(X) @ (X @ u)
            e = np.linalg.norm(S - X.T @ X / n, 2)
            spectral = min(
                2 * e**3 / values[k - 1] ** 2 * (u[:k] @ u[:k]) + 2 * e * (u[k:] @ u[k:])
                for k in range(1, 101)
            )
            rows.append([left @ S @ left, e, e * (u @ u), spectral])
        risk, e, uniform, spectral = np.transpose(rows)
        assert row["n"] == n
        expected = {"risk": risk, "e": e, "uniform bound": uniform, "spectral bound": spectral}
        for name, values in expected.items():
            assert row[name] == pytest.approx(values.mean(), rel=1e-7), name
        assert row["largest R / bound"] == pytest.approx(
            np.max(risk / np.minimum(uniform, spectral)), rel=1e-7
        )
        assert row["largest R / bound"] <= 1
        assert row["R(0)"] == pytest.approx(u @ S @ u)
        assert row["exact risk"] == pytest.approx(exact_risk.linear_risk(problem, n))
        assert len(row) == 8


@pytest.mark.parametrize(
    ("arguments", "name", "error"),
    [
        (("flat", "top", RNG), "spectrum", ValueError),
        (("spiked", "side", RNG), "gap", ValueError),
        (("spiked", "top", 0), "rng", TypeError),
    ],
)
def test_bad_input_is_named(arguments, name, error):
    with pytest.raises(error, match=f"^{name} must"):
        compete(*arguments)
    with pytest.raises(ValueError, match="^law must"):
        compete("spiked", "top", np.random.default_rng(0), law="cauchy")
    with pytest.raises(TypeError, match="positional"):
        compete("spiked", "top", np.random.default_rng(0), "gaussian")


def test_the_problems_of_a_contest_are_independent():
    """Nine kinds; each row is what ``compete`` says of its seed, and no two share one."""
    table = contest(2, progress=False)
    assert table.groupby(["spectrum", "gap"]).size().tolist() == [2] * 9
    assert table["seed"].is_unique
    row = table.iloc[7]
    alone = compete(row["spectrum"], row["gap"], np.random.default_rng(row["seed"]))
    assert row.drop(["spectrum", "gap", "seed"]).to_dict() == pytest.approx(alone, rel=1e-9)
    for bad, error in ((0, ValueError), (1.5, TypeError), ("2", TypeError)):
        with pytest.raises(error, match="^count must"):
            contest(bad)


@pytest.mark.parametrize("gap", GAPS)
@pytest.mark.parametrize("spectrum", SPECTRA)
def test_random_problems_are_of_their_kind(spectrum, gap):
    d, rng = 40, np.random.default_rng(6)
    for _ in range(50):
        problem = random_problem(d, spectrum, gap, rng)
        values, u = problem.population.eigenvalues, problem.gap
        match spectrum:
            case "isotropic":
                assert np.ptp(values) == 0 and 0.2 <= values[0] <= 1
            case "power law":
                slope = np.diff(np.log(values)) / np.diff(np.log(np.arange(1, d + 1)))
                assert values[0] == 1 and np.ptp(slope) < 1e-9 and -2 <= slope[0] <= -0.25
            case "spiked":
                assert 2 <= (values == 1).sum() <= d // 4
                assert np.ptp(values[values < 1]) == 0 and 1e-3 <= values[-1] <= 10**-0.5
        # Outside its support the gap is the rounding error of (source + u) − source.
        support = np.flatnonzero(np.abs(u) > 1e-14)
        if gap == "everywhere":
            assert support.size == d
        else:
            assert d // 20 <= support.size <= d // 4
            assert support[0 if gap == "top" else -1] == (0 if gap == "top" else d - 1)
            assert np.ptp(support) == support.size - 1
        for length in np.linalg.norm(u), np.linalg.norm(problem.source):
            assert 10**-0.5 <= length * (1 + 1e-12) and length <= 10**0.5 * (1 + 1e-12)
    first, again = (random_problem(d, spectrum, gap, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(first.target, again.target)


def test_random_problems_are_spread_as_they_say():
    """Widths and spikes over all that is allowed, and the laws of all that is drawn."""
    rng, d = np.random.default_rng(0), 40
    draws = {name: [] for name in ("variance", "exponent", "tail", "gap", "source")}
    widths, spikes = {"top": set(), "bottom": set()}, set()
    for k in range(600):
        gap = GAPS[k // 3 % 3]
        problem = random_problem(d, SPECTRA[k % 3], gap, rng)
        values = problem.population.eigenvalues
        match SPECTRA[k % 3]:
            case "isotropic":
                draws["variance"].append(values[0])
            case "power law":
                draws["exponent"].append(-np.log2(values[1]))
            case "spiked":
                spikes.add(int((values == 1).sum()))
                draws["tail"].append(np.log10(values[-1]))
        if gap in widths:
            widths[gap].add(int((np.abs(problem.gap) > 1e-14).sum()))
        for name, vector in ("gap", problem.gap), ("source", problem.source):
            draws[name].append(np.log10(np.linalg.norm(vector)))
    assert spikes == widths["top"] == widths["bottom"] == set(range(2, 11))
    limits = {"variance": (0.2, 1), "exponent": (0.25, 2), "tail": (-3, -0.5)}
    for name, sample in draws.items():
        low, high = limits.get(name, (-0.5, 0.5))
        ends = np.abs([min(sample) - low, max(sample) - high])
        assert (ends < 0.05 * (high - low)).all(), name
        uniform = scipy.stats.uniform(low, high - low)
        assert scipy.stats.kstest(sample, uniform.cdf).pvalue > 1e-3, name


@pytest.mark.parametrize(
    ("call", "argument", "error"),
    [
        (
            lambda: random_problem(19, "isotropic", "top", np.random.default_rng(0)),
            "dim",
            ValueError,
        ),
        (
            lambda: random_problem(20.0, "isotropic", "top", np.random.default_rng(0)),
            "dim",
            TypeError,
        ),
        (
            lambda: random_problem(20, "flat", "top", np.random.default_rng(0)),
            "spectrum",
            ValueError,
        ),
        (
            lambda: random_problem(20, "isotropic", "side", np.random.default_rng(0)),
            "gap",
            ValueError,
        ),
        (lambda: random_problem(20, "isotropic", "top", 0), "rng", TypeError),
    ],
)
def test_bad_random_problems_are_named(call, argument, error):
    with pytest.raises(error, match=f"^{argument} must"):
        call()


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("spectrum", SPECTRA)
def test_a_shelf_has_one_target_and_gaps_of_each_kind(spectrum, lengths):
    d, count = 40, 5
    shelf = random_shelf(d, spectrum, np.random.default_rng(3), count=count, lengths=lengths)
    assert shelf.source.shape == shelf.target.shape == (15, d)
    assert np.ptp(shelf.target, axis=0).max() == 0
    assert np.linalg.norm(shelf.target[0]) == pytest.approx(1)
    sizes = np.linalg.norm(shelf.gap, axis=1)
    if lengths == "equal":
        np.testing.assert_allclose(sizes, 1)
    else:
        assert 10**-0.5 < sizes.min() * (1 + 1e-12) and sizes.max() < 10**0.5 * (1 + 1e-12)
        assert sizes.max() > 1.5 * sizes.min()
    for k, gap in enumerate(np.repeat(GAPS, count)):
        support = np.flatnonzero(np.abs(shelf.gap[k]) > 1e-14)
        assert (support[0] == 0) == (gap != "bottom") and (support[-1] == d - 1) == (gap != "top")
        assert support.size == d if gap == "everywhere" else d // 20 <= support.size <= d // 4


@pytest.mark.parametrize("lengths", LENGTHS)
def test_sources_are_judged_by_what_they_leave(lengths):
    """Every measure's correlation and regret, from refitting each source on the same samples."""
    d, n, seed = 24, 7, 5
    rows = choose_source("power law", d, n, np.random.default_rng(seed), lengths=lengths)
    rng = np.random.default_rng(seed)
    shelf = random_shelf(d, "power law", rng, lengths=lengths)
    S, risks, errors = shelf.population.covariance(), [], []
    for _ in range(20):
        X = shelf.population.sample(n, rng)
        left = shelf.gap - shelf.gap @ np.linalg.pinv(X) @ X
        risks.append(np.einsum("ki,ij,kj->k", left, S, left))
        errors.append(np.linalg.norm(S - X.T @ X / n, 2))
    risk, error = np.mean(risks, axis=0), np.mean(errors)
    expected = {
        "Σ-distance, R(0)": np.einsum("ki,ij,kj->k", shelf.gap, S, shelf.gap),
        "distance, uniform bound": np.sum(shelf.gap**2, axis=1),
        "top energy": np.sum(shelf.gap[:, :6] ** 2, axis=1),
        "tail energy": np.sum(shelf.gap[:, 6:] ** 2, axis=1),
        "cosine": -(shelf.source @ shelf.target[0]) / np.linalg.norm(shelf.source, axis=1),
        "exact risk": exact_risk.linear_risk(shelf, n),
    }
    problems = [TransferProblem(shelf.population, s, shelf.target[0]) for s in shelf.source]
    expected["spectral bound"] = [bounds.spectral_bound(p, error) for p in problems]
    expected["Σ-cosine"] = [-similarity.weighted_cosine(p) for p in problems]
    assert {row["measure"] for row in rows} == expected.keys()
    for row in rows:
        score = np.asarray(expected[row["measure"]])
        score = np.round(score / np.abs(score).max(), 10)  # some tie, up to rounding
        if np.ptp(score) == 0:
            assert lengths == "equal" and row["measure"].startswith("distance")
            assert np.isnan(row["rank correlation"]) and np.isnan(row["regret"])
            continue
        ranks = [scipy.stats.rankdata(v) for v in (score, risk)]
        assert row["rank correlation"] == pytest.approx(np.corrcoef(*ranks)[0, 1], abs=1e-9)
        assert row["regret"] == pytest.approx(risk[np.argmin(score)] / risk.min() - 1, abs=1e-9)


def test_bad_shelves_are_named():
    rng = np.random.default_rng(0)
    for options, name, error in (
        ({"lengths": "long"}, "lengths", ValueError),
        ({"count": 0}, "count", ValueError),
    ):
        with pytest.raises(error, match=f"^{name} must"):
            random_shelf(30, "spiked", rng, **options)
    with pytest.raises(ValueError, match="^n must"):
        choose_source("spiked", 30, 0, rng)
    with pytest.raises(TypeError, match="^rng must"):
        choose_source("spiked", 30, 5, 0)
