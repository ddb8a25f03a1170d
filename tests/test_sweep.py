"""lib.sweep: the same table from any backend, after any interruption, and never a stale one."""

import importlib.util
import os
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

import lib.sweep
from lib.linear_regression import learning_curve
from lib.problem import Population, random_problem
from lib.sweep import sweep


def final_risk(spectrum, n, rng):
    """Return numbers whose last bits depend on the draws and on how the algebra is threaded."""
    problem = random_problem(200, spectrum, "everywhere", rng)
    curve = learning_curve(problem, problem.population.sample(n, rng))
    return [{"row": k, "risk": curve[k]} for k in (0, n)]


def counted(n, log, rng):
    """Leave a file per call; a file called "stop" makes the third call fail, as its text says."""
    calls = len(list(Path(log).glob("*.call")))
    Path(log, f"{uuid.uuid4()}.call").touch()
    stop = Path(log, "stop")
    if stop.exists() and calls == 2:
        raise {"interrupt": KeyboardInterrupt, "error": ArithmeticError}[stop.read_text()]
    return {"value": n * rng.standard_normal()}


def first_draw(n, rng):
    """Return what the generator gives at the start."""
    return {"draw": rng.standard_normal()}


def blas_threads(n, rng):
    """Return the largest number of threads of any library, after some algebra."""
    Population.isotropic(50).sample(50, rng) @ np.eye(50)
    return {"threads": max(pool["num_threads"] for pool in threadpool_info())}


GRID = {"spectrum": ["isotropic", "spiked"], "n": (60, 150)}


def quiet(function, grid, seeds, **options):
    """Sweep in this process and without a progress bar, unless told otherwise."""
    return sweep(function, grid, seeds, **{"n_jobs": 1, "progress": False} | options)


@pytest.fixture(scope="module")
def expected():
    """Return the table of GRID and three seeds, from plain loops."""
    rows = []
    with threadpool_limits(1):
        for spectrum in GRID["spectrum"]:
            for n in GRID["n"]:
                for seed in range(3):
                    results = final_risk(spectrum, n, np.random.default_rng(seed))
                    rows += [{"spectrum": spectrum, "n": n, "seed": seed} | r for r in results]
    return pd.DataFrame(rows)


# The same table


@pytest.mark.parametrize("backend", ["sequential", "threading", "loky", "multiprocessing"])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_every_backend_gives_the_same_bits(backend, n_jobs, expected, tmp_path):
    with joblib.parallel_config(backend):
        table = sweep(final_risk, GRID, 3, n_jobs=n_jobs, cache=tmp_path, progress=False)
    pd.testing.assert_frame_equal(table, expected, check_exact=True)
    again = sweep(final_risk, GRID, [0, 1, 2], cache=tmp_path, progress=False, n_jobs=1)
    pd.testing.assert_frame_equal(again, expected, check_exact=True)


def test_a_cluster_gives_the_same_bits(expected):
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=2, dashboard_address=None, silence_logs=50
        ) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config("dask"),
    ):
        table = sweep(final_risk, GRID, 3, progress=False)
        threads = sweep(blas_threads, {"n": range(6)}, 1, progress=False)["threads"]
    pd.testing.assert_frame_equal(table, expected, check_exact=True)
    assert (threads == 1).all()


def test_points_share_random_numbers_by_seed():
    table = quiet(first_draw, {"n": range(4)}, [5, 3])
    assert table["seed"].tolist() == [5, 3] * 4 and table["n"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    for seed, draws in table.groupby("seed")["draw"]:
        np.testing.assert_array_equal(draws, np.random.default_rng(seed).standard_normal())


def test_a_grid_may_be_of_any_values():
    spectra = {"a": 1, "b": 2}  # the keys
    assert quiet(first_draw, {"n": spectra}, 1)["n"].tolist() == ["a", "b"]
    assert quiet(first_draw, {"n": np.arange(3)}, 1)["n"].tolist() == [0, 1, 2]
    assert quiet(first_draw, {"n": (k for k in (4, 5))}, 2)["n"].tolist() == [4, 4, 5, 5]
    assert quiet(first_draw, {"n": []}, 1).empty
    shift = 3
    assert quiet(lambda rng: {"value": shift}, {}, 2)["value"].tolist() == [3, 3]


@pytest.mark.parametrize("backend", ["sequential", "threading", "loky"])
def test_one_blas_thread_inside_and_as_many_as_before_outside(backend):
    before = [pool["num_threads"] for pool in threadpool_info()]
    with joblib.parallel_config(backend):
        table = sweep(blas_threads, {"n": range(20)}, 1, n_jobs=2, progress=False)
    assert (table["threads"] == 1).all()
    assert [pool["num_threads"] for pool in threadpool_info()] == before


# Interruptions


@pytest.mark.parametrize(
    ("backend", "stop", "error"),
    [
        ("sequential", "interrupt", KeyboardInterrupt),
        ("sequential", "error", ArithmeticError),
        ("threading", "error", ArithmeticError),
        ("loky", "error", ArithmeticError),
    ],
)
def test_an_interrupted_sweep_resumes_where_it_stopped(backend, stop, error, tmp_path):
    log, cache = tmp_path / "log", tmp_path / "cache" / "deep"
    log.mkdir()
    (log / "stop").write_text(stop)
    grid = {"n": [1, 2, 3], "log": [str(log)]}
    options = {"cache": cache, "n_jobs": 1, "progress": False}
    with joblib.parallel_config(backend), pytest.raises(error):
        sweep(counted, grid, 2, **options)
    assert len(list(log.glob("*.call"))) == 3  # two done, one lost
    assert len(list(cache.iterdir())) == 2
    (log / "stop").unlink()
    with joblib.parallel_config(backend):
        table = sweep(counted, grid, 2, **options)
    assert len(list(log.glob("*.call"))) == 3 + 4
    draws = [np.random.default_rng(seed).standard_normal() for seed in range(2)]
    assert table["value"].tolist() == [n * draw for n in (1, 2, 3) for draw in draws]


def test_an_enlarged_sweep_computes_what_is_missing(tmp_path):
    def calls():
        return len(list(tmp_path.glob("*.call")))

    grid, cache = {"n": [1, 2], "log": [str(tmp_path)]}, tmp_path / "cache"
    first = quiet(counted, grid, 2, cache=cache)
    assert calls() == 4
    pd.testing.assert_frame_equal(quiet(counted, grid, 2, cache=cache), first)
    assert calls() == 4
    quiet(counted, {"n": [2, 3], "log": [str(tmp_path)]}, [1, 2], cache=str(cache))
    assert calls() == 4 + 3
    quiet(counted, grid, 2)
    assert calls() == 7 + 4  # nothing is kept without a cache


def test_a_half_written_file_never_counts(tmp_path, monkeypatch):
    log, cache = tmp_path / "log", tmp_path / "cache"
    log.mkdir()
    whole = joblib.dump

    def power_cut(value, filename):
        whole(value, filename)
        with open(filename, "r+b") as file:
            file.truncate(os.path.getsize(filename) // 2)
        raise OSError("no power")

    grid = {"n": [1, 2], "log": [str(log)]}
    with monkeypatch.context() as patch, pytest.raises(OSError, match="no power"):
        patch.setattr(joblib, "dump", power_cut)
        quiet(counted, grid, 1, cache=cache)
    assert list(cache.iterdir()) != []  # half a file is there
    table = quiet(counted, grid, 1, cache=cache)
    pd.testing.assert_frame_equal(table, quiet(counted, grid, 1))
    assert len(list(log.glob("*.call"))) == 1 + 2 + 2


# Nothing stale


def load(path, source):
    """Import ``source`` as a module, as an edited script is."""
    path.write_text(source)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.function


def test_changed_code_is_run_again(tmp_path, monkeypatch):
    versions = [
        "def function(n, rng):\n    return {'value': n + 1}\n",
        "def function(n, rng):\n    return {'value': n + 2}\n",
        "SHIFT = 3\ndef function(n, rng, shift=SHIFT):\n    return {'value': n + shift}\n",
        "SHIFT = 4\ndef function(n, rng, shift=SHIFT):\n    return {'value': n + shift}\n",
        "SHIFT = 5\ndef function(n, rng, *, shift=SHIFT):\n    return {'value': n + shift}\n",
        "SHIFT = 6\ndef function(n, rng, *, shift=SHIFT):\n    return {'value': n + shift}\n",
    ]
    cache = tmp_path / "cache"
    for shift, source in enumerate(versions, 1):
        function = load(tmp_path / f"version{shift}.py", source)
        assert quiet(function, {"n": [10]}, 1, cache=cache)["value"].tolist() == [10 + shift]
    assert len(list(cache.iterdir())) == 6

    library = tmp_path / "lib"
    shutil.copytree(Path(lib.sweep.__file__).parent, library)
    monkeypatch.setattr(lib.sweep, "__file__", str(library / "sweep.py"))
    quiet(function, {"n": [10]}, 1, cache=cache)
    assert len(list(cache.iterdir())) == 6  # the same library, elsewhere
    with open(library / "bounds.py", "a") as file:
        file.write("# changed\n")
    quiet(function, {"n": [10]}, 1, cache=cache)
    assert len(list(cache.iterdir())) == 7


def test_what_a_cache_cannot_tell_apart_is_refused(tmp_path):
    shift = 3

    def closure(n, rng):
        return {"value": n + shift}

    for function in closure, lambda n, rng: {"value": n}:
        with pytest.raises(ValueError, match="^function must"):
            quiet(function, {"n": [1]}, 1, cache=tmp_path)
        assert len(quiet(function, {"n": [1]}, 1)) == 1


# Progress

PROGRESS = """
import sys
import numpy as np
from lib.sweep import sweep
def function(n, rng):
    return {"value": n}
for shown in False, True:
    print("shown:", shown, file=sys.stderr)
    sweep(function, {"n": range(3)}, 2, n_jobs=1, progress=shown)
"""


def test_progress_goes_to_stderr_alone():
    run = subprocess.run(
        [sys.executable, "-c", PROGRESS],
        env={k: v for k, v in os.environ.items() if k != "TQDM_DISABLE"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == ""
    hidden, shown = run.stderr.split("shown: True")
    assert hidden == "shown: False\n"
    assert "sweep:" in shown and "/6" in shown


# Bad input


def returns(value):
    """Return a function that returns ``value``."""
    return lambda n, rng: value


@pytest.mark.parametrize(
    ("options", "argument", "error"),
    [
        ({"function": max}, "function", TypeError),
        ({"function": "first_draw"}, "function", TypeError),
        ({"function": returns(None)}, "function", TypeError),
        ({"function": returns(1.0)}, "function", TypeError),
        ({"function": returns("ab")}, "function", TypeError),
        ({"function": returns([1.0])}, "function", TypeError),
        ({"function": returns({"n": 2})}, "function", ValueError),
        ({"function": returns([{"a": 1}, {"seed": 2}])}, "function", ValueError),
        ({"grid": [("n", [1])]}, "grid", TypeError),
        ({"grid": {"n": 1}}, "grid", TypeError),
        ({"grid": {"n": "abc"}}, "grid", TypeError),
        ({"grid": {1: [1]}}, "grid", TypeError),
        ({"grid": {"n": [1], "rng": [2]}}, "grid", ValueError),
        ({"grid": {"n": [1], "seed": [2]}}, "grid", ValueError),
        ({"seeds": 0}, "seeds", ValueError),
        ({"seeds": [-1]}, "seeds", ValueError),
        ({"seeds": 1.5}, "seeds", TypeError),
        ({"seeds": [0, 1.5]}, "seeds", TypeError),
        ({"seeds": None}, "seeds", TypeError),
        ({"seeds": "ab"}, "seeds", TypeError),
    ],
)
def test_bad_input_is_named(options, argument, error):
    with pytest.raises(error, match=f"^{argument} must"):
        quiet(**{"function": first_draw, "grid": {"n": [1]}, "seeds": 1} | options)


def test_arguments_that_do_not_fit_the_function_are_named():
    with pytest.raises(TypeError, match="'m'"):
        quiet(first_draw, {"m": [1]}, 1)
    with pytest.raises(ValueError, match="n_jobs"):
        quiet(first_draw, {"n": [1]}, 1, n_jobs=0)
