"""One function over a grid of settings and many seeds: parallel, resumable, reproducible."""

import hashlib
import inspect
import itertools
import os
import tempfile
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from lib import checks
from lib.progress import progress_bar


def sweep(function, grid, seeds, *, cache=None, n_jobs=-1, progress=True):
    """Call ``function(**point, rng=...)`` for every point of the grid and every seed.

    Parameters
    ----------
    function : callable
        A plain function of the grid's names and ``rng``, a ``numpy.random.Generator``. It returns
        a mapping of column → scalar, or a list of such mappings (a learning curve, say). What it
        returns may depend on its arguments only.
    grid : mapping of str to sequence
        The values of each argument; their Cartesian product is run.
    seeds : int or sequence of int
        How many seeds, or which. The same seed makes the same ``rng`` at every point of the grid,
        so that points are compared on common random numbers.
    cache : path, optional
        A folder where each finished call is kept at once: a sweep that was interrupted, or is
        enlarged, computes only what is missing. A call is known by the source of the function, the
        sources of this library, its arguments and its seed. Functions that capture variables, whose
        values would not be seen, and lambdas, which share a line, are refused with a cache.
    n_jobs : int
        Workers, as joblib counts them. The backend is the one that ``joblib.parallel_config``
        names, whichever that is; a cluster's workers must see the cache folder.
    progress : bool
        Show a progress bar, on stderr.

    Returns
    -------
    pandas.DataFrame
        The grid's columns, ``seed``, and the columns of the results; rows in the order of the
        grid, then of the seeds, whatever the number of workers.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above, or the function returns something else.

    Notes
    -----
    Each call runs with one BLAS thread, so workers do not fight for cores and results do not depend
    on how many there are.
    """
    if not inspect.isfunction(function):
        raise TypeError(f"function must be a plain function, got {type(function).__name__}")
    if not isinstance(grid, Mapping):
        raise TypeError(f"grid must be a mapping, got {type(grid).__name__}")
    for name, values in grid.items():
        if not isinstance(name, str) or isinstance(values, str) or not isinstance(values, Iterable):
            raise TypeError(f"grid must map names to sequences of values, got {name!r}: {values!r}")
    if reserved := {"rng", "seed"} & set(grid):
        raise ValueError(f"grid must not name {' or '.join(sorted(reserved))}: sweep sets these")
    if np.ndim(seeds) == 0:
        seeds = range(checks.integer("seeds", seeds, at_least=1))
    seeds = [checks.integer("seeds", seed, at_least=0) for seed in seeds]
    points = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    tasks = [(point, seed) for point in points for seed in seeds]
    files = [None] * len(tasks)
    if cache is not None:
        if function.__closure__ or function.__name__ == "<lambda>":
            raise ValueError("function must be a def that captures no variables to be cached")
        Path(cache).mkdir(parents=True, exist_ok=True)
        code = (inspect.getsource(function), function.__defaults__, function.__kwdefaults__)
        code += (_library_sources(),)
        files = [Path(cache) / f"{joblib.hash((*code, *task))}.joblib" for task in tasks]

    with (
        warnings.catch_warnings(),
        threadpool_limits(1),
        _Parallel(len(tasks), progress, n_jobs=n_jobs) as parallel,
    ):
        # loky renews a worker that has grown, and says so; no call is lost by it.
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given")
        results = parallel(
            joblib.delayed(_run)(function, point, seed, file)
            for (point, seed), file in zip(tasks, files, strict=True)
        )
    return pd.DataFrame(
        point | {"seed": seed} | row
        for (point, seed), rows in zip(tasks, results, strict=True)
        for row in rows
    )


class _Parallel(joblib.Parallel):
    """joblib's Parallel, showing the calls that are done; every backend reports those this way."""

    def __init__(self, total, progress, **options):
        super().__init__(**options)
        self._bar = progress_bar(total, "sweep", progress)

    def print_progress(self):
        self._bar.update(self.n_completed_tasks - self._bar.n)

    def __exit__(self, *exception):
        self._bar.close()
        return super().__exit__(*exception)


def _run(function, point, seed, file):
    """One call, or its kept result: a list of rows."""
    if file is not None and file.exists():
        return joblib.load(file)
    threadpool_limits(1)  # not undone here: other threads of this worker may be in the same call
    rows = function(**point, rng=np.random.default_rng(seed))
    rows = rows if isinstance(rows, list) else [rows]
    if not all(isinstance(row, Mapping) for row in rows):
        raise TypeError("function must return a mapping, or a list of mappings")
    rows = [dict(row) for row in rows]
    if taken := (set(point) | {"seed"}) & set().union(*rows):
        raise ValueError(f"function must not return {', '.join(sorted(taken))}: sweep fills these")
    if file is not None:  # write beside, then rename: a half-written file never counts
        descriptor, temporary = tempfile.mkstemp(dir=file.parent, suffix=".part")
        os.close(descriptor)
        joblib.dump(rows, temporary)
        os.replace(temporary, file)
    return rows


def _library_sources():
    """A fingerprint of this library: results of older code are not reused."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
