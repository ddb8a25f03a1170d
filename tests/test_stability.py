"""What the chapters print does not move when what enters the library moves by its 13th digit.

Whatever another machine does to the last bits is smaller than that. `make test` runs every chapter
with such noise, see conftest.py, and compares what it prints; `make test-stability` tries
more noise, and other threads and instruction sets.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from stability.run import ROOT, describe, moved

from lib import checks

STABILITY = Path(__file__).parent / "stability"


def load(path, name):
    """Return a module of its own, made from a file."""
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(code, *path, **environment):
    """Run Python with the start-up file, and return what it prints as JSON."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, [STABILITY, *path]))} | environment
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


start = load(STABILITY / "sitecustomize.py", "start")


@pytest.fixture
def jittered():
    """Return a copy of lib.checks with jitter."""
    module = load(checks.__file__, "checks_with_jitter")
    start.patch(module, "0")
    return module


def test_noise_has_its_size_and_depends_on_seed_name_and_contents():
    values = np.random.default_rng(0).standard_normal((50, 200))
    noise = start.jitter("0", "X", values) / values - 1
    assert abs(noise.std() / 1e-13 - 1) < 0.02
    assert abs(noise.mean()) < 5e-15
    same = start.jitter("0", "X", values.copy(order="F"))
    assert np.array_equal(same, start.jitter("0", "X", values))
    for other in (("1", "X", values), ("0", "y", values), ("0", "X", values.ravel())):
        assert not np.array_equal(start.jitter(*other).ravel(), same.ravel())


def test_floats_move_but_counts_zeros_and_bases_do_not(jittered):
    values = np.array([1.5, 0.0, -2.0])
    X = jittered.array("X", values, (None,))
    assert X is not values and np.array_equal(values, [1.5, 0, -2])
    assert X[1] == 0 and 0 < np.abs(X - values).max() < 1e-12
    for name, exact in (("n", values), ("signs", values), ("X", np.arange(5))):
        assert np.array_equal(jittered.array(name, exact, (None,)), exact)
    basis = np.linalg.qr(np.random.default_rng(0).standard_normal((5, 5))).Q
    assert np.array_equal(jittered.array("eigenvectors", basis, (5, 5)), basis)


def test_what_holds_of_an_argument_still_holds(jittered):
    eigenvalues = jittered.array("eigenvalues", np.ones(50), (50,))
    assert (np.diff(eigenvalues) < 0).any() and (np.diff(eigenvalues) <= 0).all()
    K = np.random.default_rng(0).standard_normal((50, 20))
    K = K @ K.T
    moved_K = jittered.symmetric("K", K)
    assert np.array_equal(moved_K, moved_K.T) and not np.array_equal(moved_K, K)
    X, y = jittered.samples(K, np.ones(50))
    assert (X != K).any() and (y != 1).any()
    assert (jittered.columns("residual", K, 50) != K).any()


@pytest.mark.parametrize("environment", [{}, {"JITTER_SEED": "0"}])
def test_start_up_loads_nothing_and_hides_no_other(environment, tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.other = True\n")
    code = "import json, sys; print(json.dumps([sys.other, *sys.modules]))"
    other, *modules = run(code, tmp_path, **environment)
    assert other and not {"numpy", "torch", "lib"} & set(modules)


SWEEP = """
import json, os
from lib.sweep import sweep

def entered(rng):
    from lib import checks
    return {"X": float(checks.array("X", [0.3], (1,))[0]), "process": os.getpid()}

if __name__ == "__main__":
    runs = sweep(entered, {}, seeds=4, n_jobs=2, progress=False)
    here = entered(None)["X"]
    print(json.dumps([here, sorted(set(runs["X"])), os.getpid() in set(runs["process"])]))
"""


def test_jitter_is_the_same_in_this_process_and_in_workers():
    plain, in_workers, same_process = run(SWEEP)
    assert plain == 0.3 and in_workers == [0.3] and not same_process
    seen = []
    for seed in "01":
        here, in_workers, same_process = run(SWEEP, JITTER_SEED=seed)
        assert in_workers == [here] and not same_process
        assert 0 < abs(here - 0.3) < 1e-12
        seen.append(here)
    assert seen[0] != seen[1]


RISKS = """
import numpy as np
from lib.problem import Population, TransferProblem
problem = TransferProblem(Population.isotropic(8), np.zeros(8), np.ones(8))
risks = problem.risk(np.eye(8))
"""
SOUND = "print([f'{risk:.3g}' for risk in risks])"
TIED = "print(np.argsort(risks, kind='stable'))\nprint('not moved')"


def test_a_chapter_that_orders_what_ties_is_caught(tmp_path):
    for name, last in (("sound", SOUND), ("tied", TIED)):
        cells = [nbformat.v4.new_code_cell(source) for source in (RISKS, SOUND, last)]
        notebook = nbformat.v4.new_notebook(cells=cells)
        NotebookClient(notebook, kernel_name="python3").execute()
        nbformat.write(notebook, tmp_path / f"{name}.ipynb")
    chapters = sorted(tmp_path.glob("*.ipynb"))
    assert moved(chapters, {}) == []
    (record,) = moved(chapters, {"JITTER_SEED": "0"})
    assert (record["chapter"], record["cell"]) == ("tied", 2)
    ((stored, new),) = record["lines"]
    assert stored == "[0 1 2 3 4 5 6 7]" and sorted(new) == sorted(stored) and new != stored
    assert stored in describe(record) and new in describe(record)
    # As the chapters are run by `make test`, noise and all.
    env = {name: value for name, value in os.environ.items() if name != "MOVED"}
    env["PYTHONPATH"] = str(ROOT)
    command = [sys.executable, "-m", "pytest", "-p", "conftest", "-p", "no:cacheprovider"]
    command += ["-c", str(ROOT / "pyproject.toml"), "--color=no", *map(str, chapters)]
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True)
    assert "1 failed, 5 passed" in done.stdout and "Cell 2" in done.stdout
