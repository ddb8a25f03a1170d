"""Measure what is claimed about speed, and say whether each target is met: ``make bench``.

Every ratio is taken between computations that were timed side by side in this run, in turns, by
processor time and with one BLAS thread, so that it is the same on a busy machine. One function
makes one table.
"""

import subprocess
import sys
from functools import partial

import deep_linear
import exact_risk
import explorers
import numpy as np
import relu
import scipy.linalg
import selection
from threadpoolctl import threadpool_limits
from timing import in_turns, table, timed

from lib.linear_regression import learning_curve
from lib.problem import Population, TransferProblem

DIMENSIONS = (250, 500, 1000, 2000)
SIZES_TIMED = 20  # values of n at which least squares is timed, of d
REPEATS = 5
GAPS = 8  # on one sample


def main():
    """Print every table and every target; the exit status is 1 if a target is missed."""
    with threadpool_limits(1):
        targets = [
            target
            for table in (learning_curves, deep, exact, networks, choosing, pages, imports)
            for target in table()
        ]
    print("## Targets\n")
    show(["target", "measured", "met"], [(*t[:2], "yes" if t[2] else "NO") for t in targets])
    sys.exit(not all(met for _, _, met in targets))


def learning_curves():
    """The risk after 0, 1, …, d − 1 rows, against least squares per n and against a bare QR."""
    rows, results = [], {}
    for d in DIMENSIONS:
        rng = np.random.default_rng(d)
        problem = TransferProblem(Population.power_law(d, 1), *rng.standard_normal((2, d)))
        X, y = problem.sample(d - 1, rng)
        batch = TransferProblem.from_gap(problem.population, rng.standard_normal((GAPS, d)))
        times = in_turns(
            {
                "curve": partial(learning_curve, problem, X),
                "batch": partial(learning_curve, batch, X),
                "scipy": partial(scipy.linalg.qr, X.T, mode="economic", check_finite=False),
                "numpy": partial(np.linalg.qr, X.T),
            }
        )
        # Equally spaced in the middle of equal parts of 1, …, d − 1: the mean over them, times d,
        # is the cost of them all.
        sizes = (np.arange(SIZES_TIMED) + 0.5) * d // SIZES_TIMED
        seconds, risks = zip(*(least_squares(problem, X, y, int(n)) for n in sizes), strict=True)
        times["lstsq"] = np.mean(seconds) * d
        curve = learning_curve(problem, X)[sizes.astype(int)]
        results[d] = {
            **times,
            "over lstsq": times["lstsq"] / times["curve"],
            "over QR": times["curve"] / min(times["scipy"], times["numpy"]),
            "over one": times["batch"] / times["curve"],
            "difference": np.max(np.abs(curve / risks - 1)),
        }
        now, before = results[d], results.get(d // 2)
        growth = [f"{now[k] / before[k]:.1f}" if before else "" for k in ("curve", "lstsq")]
        rows.append(
            [
                d,
                *(f"{1e3 * now[k]:.3g}" for k in ("curve", "scipy", "numpy")),
                f"{now['lstsq']:.3g}",
                f"{now['over lstsq']:.0f}",
                f"{now['over QR']:.2f}",
                f"{now['over one']:.2f}",
                *growth,
                f"{now['difference']:.0e}",
            ]
        )
    print("## Whole learning curve, n = 0, …, d − 1\n")
    heads = (
        "d|curve, ms|QR (SciPy), ms|QR (NumPy), ms|lstsq per n, s|times faster than lstsq|"
        f"times a bare QR|{GAPS} gaps, times one|growth of curve|growth of lstsq|"
        "largest relative difference"
    )
    show(heads.split("|"), rows)
    at = results[1000]
    difference = max(result["difference"] for result in results.values())
    return [
        ("curve at d = 1000: ≥ 100 × faster than lstsq per n", f"{at['over lstsq']:.0f} ×")
        + (at["over lstsq"] >= 100,),
        ("curve at d = 1000: ≤ 2.5 × the faster bare QR", f"{at['over QR']:.2f} ×")
        + (at["over QR"] <= 2.5,),
        (f"{GAPS} gaps on one X at d = 1000: ≤ 1.3 × one", f"{at['over one']:.2f} ×")
        + (at["over one"] <= 1.3,),
        ("curve and lstsq agree to 1e-8", f"{difference:.0e}", difference <= 1e-8),
    ]


def show(heads, rows):
    """Print a table."""
    print(table(heads, rows), end="\n\n")


def least_squares(problem, X, y, n):
    """Seconds that one point of the curve takes without a factorisation to share, and the risk."""
    seconds, solution = timed(lambda: np.linalg.lstsq(X[:n], y[:n] - X[:n] @ problem.source))
    return seconds, problem.risk(problem.source + solution[0])


def deep():
    """The deep linear networks."""
    return show_all(
        "Deep linear networks",
        deep_linear.end_point_table,
        deep_linear.layer_end_point_table,
        deep_linear.learning_curve_table,
        deep_linear.layer_curve_table,
    )


def exact():
    """The exact risk."""
    return show_all(
        "Exact risk",
        exact_risk.against_simulation,
        exact_risk.against_bisection,
        exact_risk.scaling,
    )


def networks():
    """The ReLU networks of infinite width."""
    return show_all("ReLU networks", relu.kernel, relu.large, relu.curve, relu.fine_tuning)


def choosing():
    """Choosing a source, the scores that others use for it, and forecasts."""
    tables = selection.leave_one_out, selection.nested, selection.evidence, selection.forecasting
    return show_all("Choosing a source", *tables)


def pages():
    """The formulas that the pages compute themselves."""
    return show_all("Explorers", explorers.speed, explorers.agreement)


def show_all(title, *functions):
    """Print the tables that functions make, and return their targets."""
    targets = []
    for function in functions:
        text, more = function()
        print(f"## {title}\n\n{text}\n")
        targets += more
    return targets


def imports():
    """Seconds to import a theory module in a fresh interpreter, and whether that loaded torch."""
    code = "import sys, time; start = time.perf_counter(); import lib.{}; "
    code += "print(time.perf_counter() - start, 'torch' in sys.modules)"
    rows, targets = [], []
    for name in ("linear_regression", "training"):
        command = [sys.executable, "-c", code.format(name)]
        runs = [
            subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
            for _ in range(REPEATS)
        ]
        seconds, torch = min(float(run[0]) for run in runs), runs[0][1] == "True"
        rows.append([f"lib.{name}", f"{seconds:.2f}", "yes" if torch else "no"])
        if name == "linear_regression":
            targets = [
                ("import lib.linear_regression: under 1 s", f"{seconds:.2f} s", seconds < 1),
                (
                    "import lib.linear_regression: torch not loaded",
                    "loaded" if torch else "not loaded",
                    not torch,
                ),
            ]
    print("## Import in a fresh interpreter\n")
    show(["module", "seconds", "loads torch"], rows)
    return targets


if __name__ == "__main__":
    main()
