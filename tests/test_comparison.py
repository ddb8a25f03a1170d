"""lib.comparison: what is tabulated is the risk and the bounds of the problem that is named."""

import numpy as np
import pytest

from lib.comparison import compete, contest
from lib.problem import GAPS, LAWS, SPECTRA, random_problem
from lib.similarity import side_by_side


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
        measures = side_by_side(problem, ranks=(10, 25, 50))
        assert {name: row[name] for name in measures} == measures
        assert len(row) == len(measures) + 6


@pytest.mark.parametrize(
    ("arguments", "name", "error"),
    [
        (("flat", "top", np.random.default_rng(0)), "spectrum", ValueError),
        (("spiked", "side", np.random.default_rng(0)), "gap", ValueError),
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
