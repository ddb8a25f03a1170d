"""lib.sweep: the same table from any backend, after any interruption, and never a stale one."""

import errno
import importlib.util
import json
import math
import os
import shutil
import subprocess
import sys
import threading
import time
import uuid
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

import lib.sweep
from lib.comparison import random_problem
from lib.linear_regression import learning_curve
from lib.problem import Population
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


def test_all_cores_work_unless_told_otherwise():
    cores = joblib.cpu_count()
    all_there = threading.Barrier(cores)

    def meet(n, rng):
        all_there.wait(10)
        return {}

    with joblib.parallel_config("threading"):
        assert len(sweep(meet, {"n": range(cores)}, 1, progress=False)) == cores


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


# Files of the cache


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
        lambda file: file.write_bytes(file.read_bytes()[:-1]),
        lambda file: file.write_bytes(file.read_bytes().replace(b"value", b"valve")),
        lambda file: file.write_bytes(os.urandom(100)),
        lambda file: file.write_text('[[["value", 7]]]'),
        lambda file: joblib.dump([{"value": 7}], file),
        lambda file: shutil.copy(max(file.parent.iterdir()), file),  # of another call
        lambda file: (file.unlink(), file.symlink_to("nowhere")),
        lambda file: (file.unlink(), file.symlink_to(file.name)),
    ],
)
def test_what_is_not_whole_is_computed_again_and_replaced(damage, tmp_path):
    log, cache = tmp_path / "log", tmp_path / "cache"
    log.mkdir()
    grid = {"n": [1, 2], "log": [str(log)]}
    first = quiet(counted, grid, 1, cache=cache)
    damage(min(cache.iterdir()))
    for calls in 3, 3:  # one again, then none
        again = quiet(counted, grid, 1, cache=cache)
        pd.testing.assert_frame_equal(again, first, check_exact=True)
        assert len(list(log.glob("*.call"))) == calls


def test_what_cannot_be_read_or_replaced_is_computed_with_a_warning(tmp_path):
    first = quiet(first_draw, {"n": [1]}, 1, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    file.unlink()
    file.mkdir()
    with pytest.warns(UserWarning, match="1 of 1 results could not be kept in .*directory"):
        again = quiet(first_draw, {"n": [1]}, 1, cache=tmp_path)
    pd.testing.assert_frame_equal(again, first, check_exact=True)
    assert list(tmp_path.iterdir()) == [file]


def test_a_warning_is_of_the_line_that_sweeps_and_says_the_first_reason(tmp_path):
    quiet(first_draw, {"n": [1]}, 1, cache=tmp_path)
    (first,) = tmp_path.iterdir()
    quiet(first_draw, {"n": [2]}, 1, cache=tmp_path)
    for file in list(tmp_path.iterdir()):
        file.unlink()
        file.mkdir()
    with pytest.warns(UserWarning, match=f"2 of 2 results .*{first.name}") as seen:
        sweep(first_draw, {"n": [1, 2]}, 1, cache=tmp_path, n_jobs=1, progress=False)
    assert seen[0].filename == __file__


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_full_disk_loses_no_result_and_leaves_nothing(n_jobs, tmp_path):
    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with (
        pytest.MonkeyPatch.context() as patch,
        pytest.warns(UserWarning, match="2 of 2 results could not be kept .*No space left") as seen,
        joblib.parallel_config("threading"),
    ):
        patch.setattr(os, "replace", full)  # what was written beside is there by then
        table = quiet(first_draw, {"n": [1, 2]}, 1, cache=tmp_path, n_jobs=n_jobs)
    assert len(seen) == 1 and list(tmp_path.iterdir()) == []
    pd.testing.assert_frame_equal(table, quiet(first_draw, {"n": [1, 2]}, 1), check_exact=True)


@pytest.mark.skipif(os.name != "posix", reason="permissions are of POSIX")
@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_files_are_for_whom_the_umask_allows(umask, tmp_path):
    before = os.umask(umask)
    try:
        quiet(first_draw, {"n": [1]}, 1, cache=tmp_path / "cache")
    finally:
        os.umask(before)
    (file,) = (tmp_path / "cache").iterdir()
    assert file.stat().st_mode & 0o777 == 0o666 & ~umask


def test_reading_executes_nothing(tmp_path):
    quiet(first_draw, {"n": [1]}, 1, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    _, body = file.read_text().splitlines()
    assert json.loads(body) == [[["draw", np.random.default_rng(0).standard_normal()]]]


def scalars(n, rng):
    """Return one scalar of every kind."""
    third = np.float64(1) / 3
    return [
        {
            "a": third,
            "b": np.float32(third),
            "c": np.int8(n),
            "d": np.True_,
            "e": "ä\ud800",
            0.1: 1,
        },
        {"a": math.nan, "b": -math.inf, "c": 2**70, "d": False, "e": np.str_("x"), 0.1: -0.0},
        {"a": 5e-324, "b": np.array(0.1), "c": None, "d": n, "e": None, 0.1: 1e308},
    ]


def test_a_table_is_the_same_from_the_cache(tmp_path):
    def cells(table):
        return [[(type(x), repr(x)) for x in table[c]] for c in table]

    options = [{}, {"cache": tmp_path}, {"cache": tmp_path}]
    tables = [quiet(scalars, {"n": [1, 2]}, 2, **option) for option in options]
    for table in tables:
        assert cells(table) == cells(tables[0])
        assert table.dtypes.tolist() == tables[0].dtypes.tolist()
        assert table.columns.tolist() == ["n", "seed", "a", "b", "c", "d", "e", 0.1]
    assert tables[0]["b"][0] == float(np.float32(np.float64(1) / 3))


def test_a_large_table_is_read_fast(tmp_path):
    grid = {"n": range(1000)}
    first = quiet(first_draw, grid, 1, cache=tmp_path)
    start = time.perf_counter()
    again = sweep(first_draw, grid, 1, cache=tmp_path, progress=False)
    assert time.perf_counter() - start < 1
    pd.testing.assert_frame_equal(again, first, check_exact=True)


# Nothing stale


def run(folder, script, *arguments):
    """Run a script with the modules in ``folder``; return what it prints."""
    environment = {"PYTHONPATH": os.pathsep.join([str(folder), ROOT])} | {
        "PYTHONDONTWRITEBYTECODE": "1"  # a .pyc is taken for new if size and second agree
    }
    (folder / "script.py").write_text(PREAMBLE + script)
    result = subprocess.run(
        [sys.executable, "script.py", *arguments],
        env=os.environ | environment,
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return result.stdout.split()


ROOT = str(Path(lib.sweep.__file__).parents[1])
PREAMBLE = """
import importlib
from pathlib import Path
from lib.sweep import sweep
def value(function, grid=None, n_jobs=1, cache="cache"):
    table = sweep(function, grid or {}, 4, n_jobs=n_jobs, cache=cache, progress=False)
    return "/".join(map(str, sorted(set(table["value"]))))
def edit(text, name="m.py"):
    Path(name).write_text(text)
def f(rng):
    return {"value": m.f()}
"""


def test_a_key_is_of_the_code_in_memory_not_on_disk(tmp_path):
    (tmp_path / "m.py").write_text("def f(): return 1")
    script = """
import m
edit("def f(): return 2")
print(value(f))
"""
    assert run(tmp_path, script) == ["1"]
    assert run(tmp_path, "import m\nprint(value(f))") == ["2"]


def test_a_key_is_of_the_library_in_memory_not_on_disk(tmp_path):
    shutil.copytree(Path(ROOT, "lib"), tmp_path / "lib", ignore=shutil.ignore_patterns("__pyc*"))
    extra = tmp_path / "lib" / "extra.py"
    extra.write_text("def f(): return 1")
    script = """
from lib import extra as m
edit("def f(): return 2", "lib/extra.py")
print(value(f))
"""
    assert run(tmp_path, script) == ["1"]
    assert run(tmp_path, "from lib import extra as m\nprint(value(f))") == ["2"]


@pytest.mark.parametrize(("module", "cache"), [("m", "None"), ("lib.extra", "'cache'")])
def test_workers_run_the_code_of_the_parent(module, cache, tmp_path):
    if module == "lib.extra":
        copy = tmp_path / "lib"
        shutil.copytree(Path(ROOT, "lib"), copy, ignore=shutil.ignore_patterns("__pyc*"))
    script = f"""
name = "{module.replace(".", "/")}.py"
edit("def f(): return 1", name)
m = importlib.import_module("{module}")
print(value(f, n_jobs=2, cache={cache}))
edit("def f(): return 2", name)
importlib.reload(m)
print(value(f, n_jobs=2, cache={cache}))
edit("def f(): return 3\\ndef g(rng): return dict(value=f())", name)
importlib.reload(m)
print(value(m.g, n_jobs=2, cache={cache}))
edit("def f(): return 4", name)
print(value(m.g, n_jobs=2, cache=None))  # by the workers of before, which have the same
from joblib.externals.loky import get_reusable_executor
get_reusable_executor().shutdown()
try:
    print(value(f, n_jobs=2, cache={cache}))
except RuntimeError as error:
    print(*str(error).split()[:6])
print(value(f, n_jobs=1, cache={cache}))
"""
    refused = "workers load other code from disk".split()
    assert run(tmp_path, script) == ["1", "2", "3", "3", *refused, "3"]


EDITS = {
    "helper": ("def h(): return {}\ndef f(rng): return dict(value=h())"),
    "nested": ("def g(): return {}\ndef h(): return g()\ndef f(rng): return dict(value=h())"),
    "constant": ("K = {}\ndef f(rng): return dict(value=K)"),
    "container": ("K = dict(a=[{}])\ndef f(rng): return dict(value=K['a'][0])"),
    "array": ("import numpy\nK = numpy.arange({}, 9)\ndef f(rng): return dict(value=K[0])"),
    "default": ("def f(rng, k={}): return dict(value=k)"),
    "keyword": ("def f(rng, *, k={}): return dict(value=k)"),
    "closure": ("def make(k):\n def f(rng): return dict(value=k)\n return f\nf = make({})"),
    "lambda": ("f = lambda rng: dict(value={})"),
    "attribute": ("def f(rng): return dict(value=f.k)\nf.k = {}"),
    "method": (
        "class C:\n def k(self): return {}\nclass D(C): pass\n"
        "def f(rng): return dict(value=D().k())"
    ),
    "instance": (
        "class C:\n def __init__(self, k): self.k = k\n"
        "c = C({})\ndef f(rng): return dict(value=c.k)"
    ),
    "property": (
        "class C:\n @property\n def k(self): return {}\ndef f(rng): return dict(value=C().k)"
    ),
    "dataclass": (
        "from dataclasses import dataclass\n@dataclass\nclass C:\n k: int = {}\n"
        "def f(rng): return dict(value=C().k)"
    ),
    "enum": (
        "from enum import Enum\nclass C(Enum):\n k = {}\ndef f(rng): return dict(value=C.k.value)"
    ),
    "partial": (
        "from functools import partial\ndef g(k): return k\nh = partial(g, {})\n"
        "def f(rng): return dict(value=h())"
    ),
    "decorated": (
        "from functools import wraps\ndef twice(g):\n @wraps(g)\n def w(): return 2 * g() // 2\n"
        " return w\n@twice\ndef h(): return {}\ndef f(rng): return dict(value=h())"
    ),
    "memoised": (
        "from functools import cache\n@cache\ndef h(): return {}\n"
        "def f(rng): return dict(value=h())"
    ),
    "vectorised": (
        "import numpy\nh = numpy.vectorize(lambda x: x + {})\n"
        "def f(rng): return dict(value=int(h(0)))"
    ),
    "import": ("def f(rng):\n from m import K\n return dict(value=K)\nK = {}"),
    "mutual": (
        "def g(n): return h(n - 1) if n else {}\ndef h(n): return g(n)\n"
        "def f(rng): return dict(value=g(3))"
    ),
    "in a set": (
        "class C:\n def __init__(self, k): self.k = k\ns = {{C({})}}\n"
        "def f(rng): return dict(value=min(s, key=id).k)"
    ),
}


@pytest.mark.parametrize("kind", EDITS)
def test_edited_code_is_run_again(kind, tmp_path, monkeypatch):
    """The key holds all that a function reaches; each text is one of a module of its own."""

    def load(k):
        path = tmp_path / f"m{k}.py"
        path.write_text(EDITS[kind].format(k))
        spec = importlib.util.spec_from_file_location("m", path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "m", module)
        spec.loader.exec_module(module)
        return module.f

    cache = tmp_path / "cache"
    for k in 1, 2, 1:
        assert quiet(load(k), {}, 1, cache=cache)["value"].tolist() == [k]
    assert len(list(cache.iterdir())) == 2


def test_functions_in_the_grid_are_known_by_their_code(tmp_path):
    def apply(h, rng):
        return {"value": h(3)}

    def table(*functions):
        return quiet(apply, {"h": functions}, 1, cache=tmp_path)["value"].tolist()

    def power(k):
        return lambda x: x**k

    assert table(lambda x: x + 1, power(2), partial(pow, 2), np.square) == [4, 9, 8, 9]
    assert table(lambda x: x + 2, power(3), partial(pow, 3), np.negative) == [5, 27, 27, -3]
    assert len(list(tmp_path.iterdir())) == 8
    assert table(lambda x: x + 1, power(2), partial(pow, 2), np.square) == [4, 9, 8, 9]
    assert len(list(tmp_path.iterdir())) == 8


def test_functions_without_a_source_are_kept(tmp_path):
    script = """
import os
os.remove("script.py")
k = {}
def g(rng):
    return dict(value=k + 1)
print(value(g), value(lambda rng: dict(value=10 * k)))
print(value(g, n_jobs=2, cache=None))
"""
    assert run(tmp_path, script.format(1)) == ["2", "10", "2"]
    assert run(tmp_path, script.format(2)) == ["3", "20", "3"]
    assert run(tmp_path, script.format(1)) == ["2", "10", "2"]
    assert len(list((tmp_path / "cache").iterdir())) == 4 * 4


def test_keys_are_the_same_in_every_process(tmp_path):
    """Hash seeds and modules that happen to be loaded do not count."""
    script = """
import sys
if len(sys.argv) > 2:
    import lib.figures, lib.selection
import lib.relu
from lib import bounds
words = {"a", "b", "c", ("d", frozenset("efg"))}
def g(rng):
    return dict(value=len(words) + lib.relu.ntk([[1.0]])[0, 0] + len(bounds.__name__))
print(value(g))
"""
    with pytest.MonkeyPatch.context() as patch:
        for hash_seed, more in ("0", ()), ("1", ()), ("2", ("x", "y")):
            patch.setenv("PYTHONHASHSEED", hash_seed)
            run(tmp_path, script, *more)
    assert len(list((tmp_path / "cache").iterdir())) == 4


def test_what_cannot_be_known_is_refused_with_a_cache(tmp_path):
    lock, numbers, log = threading.Lock(), (k for k in range(3)), open(os.devnull)
    for thing in lock, numbers, log:

        def holds(n, rng, thing=thing):
            return {"value": n}

        with pytest.raises(ValueError, match="^function must .*: pass what it .* or use no cache$"):
            quiet(holds, {"n": [1]}, 1, cache=tmp_path)
        with pytest.raises(ValueError, match="^grid must "):
            quiet(first_draw, {"n": [thing]}, 1, cache=tmp_path)
        assert quiet(holds, {"n": [1]}, 1)["value"].tolist() == [1]
    log.close()

    def computed(n, rng):
        return {"value": eval("n")}

    with pytest.raises(ValueError, match="^function must .* eval"):
        quiet(computed, {"n": [1]}, 1, cache=tmp_path)
    assert list(tmp_path.iterdir()) == []


# Calls are apart


def in_place(x, order, rng):
    """Change the arguments, as careless code does."""
    x += 1
    order.append(len(order))
    return {"sum": x.sum(), "length": len(order), "layout": x.flags.f_contiguous}


@pytest.mark.parametrize("backend", ["sequential", "threading", "loky"])
def test_each_call_has_its_own_arguments(backend):
    x, order = np.zeros((4, 6)), []
    grid = {"x": [x, x.T[:, ::2], np.zeros(10**6)], "order": [order]}
    with joblib.parallel_config(backend):
        table = sweep(in_place, grid, 4, n_jobs=2, progress=False)
    assert table["sum"].tolist() == [24.0] * 4 + [12.0] * 4 + [1e6] * 4
    assert (table["length"] == 1).all() and order == [] and not x.any()
    assert table["layout"].tolist() == [False] * 8 + [True] * 4


def test_what_cannot_be_copied_is_named():
    with pytest.raises(TypeError, match="^grid must hold values that can be copied"):
        quiet(first_draw, {"n": [threading.Lock()]}, 1)


# Sandboxes


@pytest.mark.skipif(not shutil.which("unshare"), reason="no unshare")
@pytest.mark.parametrize(
    "condition",
    ["mount -t tmpfs -o ro none /dev/shm", "ulimit -n 40", "export HOME=/nowhere TMPDIR=/nowhere"],
)
def test_a_sandbox_is_no_obstacle(condition):
    shell = ["unshare", "-m", "sh", "-c"]
    if subprocess.run([*shell, condition], capture_output=True).returncode:
        pytest.skip("may not make the sandbox")
    script = """
from lib import datasets  # by scikit-learn, joblib as well
from lib.sweep import sweep
import joblib
def table(): return sweep(lambda rng: {"value": 7}, {}, 2, n_jobs=2, progress=False)
print(*table()["value"])
with joblib.parallel_config("threading"):
    print(*table()["value"])
"""
    result = subprocess.run(
        [*shell, f'{condition}; exec "$0" -c "$1"', sys.executable, script],
        env=os.environ | {"PYTHONPATH": ROOT},
        capture_output=True,
        text=True,
    )
    assert (result.stdout, result.stderr) == ("7 7\n7 7\n", "")


# Progress

PROGRESS = """
import sys
import numpy as np
from lib.sweep import sweep
def function(n, rng):
    return {"value": n}
for shown in {"progress": False}, {"progress": True}, {}:
    print("shown:", shown, file=sys.stderr)
    sweep(function, {"n": range(3)}, 2, n_jobs=1, **shown)
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
    _, hidden, *shown = run.stderr.split("shown:")
    assert hidden == " {'progress': False}\n" and len(shown) == 2
    for text in shown:
        assert "sweep:" in text and "/6" in text


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
        ({"function": returns({"a": np.ones(2)})}, "function", TypeError),
        ({"function": returns({"a": [1]})}, "function", TypeError),
        ({"function": returns({"a": 1j})}, "function", TypeError),
        ({"function": returns({(1, 2): 1})}, "function", TypeError),
        ({"function": returns({"n": 2})}, "function", ValueError),
        ({"function": returns([{"a": 1}, {"seed": 2}])}, "function", ValueError),
        ({"grid": [("n", [1])]}, "grid", TypeError),
        ({"grid": {"n": 1}}, "grid", TypeError),
        ({"grid": {"n": "abc"}}, "grid", TypeError),
        ({"grid": {1: [1]}}, "grid", TypeError),
        ({"grid": {"n": [1], "rng": [2]}}, "grid", ValueError),
        ({"grid": {"n": [1], "seed": [2]}}, "grid", ValueError),
        ({"n_jobs": 1.5}, "n_jobs", TypeError),
        ({"cache": 3}, "cache", TypeError),
        ({"cache": __file__}, "cache", ValueError),
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


def test_options_are_given_by_name():
    with pytest.raises(TypeError, match="positional"):
        sweep(first_draw, {"n": [1]}, 1, None)


def test_arguments_that_do_not_fit_the_function_are_named():
    with pytest.raises(TypeError, match="'m'"):
        quiet(first_draw, {"m": [1]}, 1)
    with pytest.raises(ValueError, match="n_jobs"):
        quiet(first_draw, {"n": [1]}, 1, n_jobs=0)


def test_what_workers_cannot_find_is_said(tmp_path):
    script = """
import functools
@functools.cache
def g(k):
    return k
def f(rng):
    return dict(value=g(3))
print(value(f), value(f, cache=None))
try:
    value(f, n_jobs=2, cache=None)
except RuntimeError as error:
    print("functools.cache" in str(error), "move the definition to a module" in str(error))
"""
    assert run(tmp_path, script) == ["3", "3", "True", "True"]
