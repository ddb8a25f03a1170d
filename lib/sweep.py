"""One function over a grid of settings and many seeds: parallel, resumable, reproducible."""

import copy
import functools
import hashlib
import itertools
import json
import os
import pickle
import uuid
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from inspect import isfunction
from pathlib import Path

import cloudpickle
import joblib
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from lib import checks
from lib.fingerprint import fingerprint
from lib.progress import progress_bar

__all__ = ["sweep"]


def sweep(function, grid, seeds, *, cache=None, n_jobs=-1, progress=True):
    """Call ``function(**point, rng=...)`` for every point of the grid and every seed.

    Parameters
    ----------
    function : callable
        A plain function of the grid's names and ``rng``, a ``numpy.random.Generator``. It returns
        a mapping of column → scalar, or a list of such mappings (a learning curve, say). What it
        returns may depend on its arguments only, of which each call gets its own copy.
    grid : mapping of str to sequence
        The values of each argument; their Cartesian product is run.
    seeds : int or sequence of int
        How many seeds, or which. The same seed makes the same ``rng`` at every point of the grid,
        so that points are compared on common random numbers.
    cache : path, optional
        A folder where each finished call is kept at once: a sweep that was interrupted, or is
        enlarged, computes only what is missing. A call is known by its arguments, its seed and the
        ``fingerprint`` of the function: all code of yours and of this library that it can reach, as
        it is loaded, and the versions of all else. What is not whole is computed again.
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
        If an argument is not as above, or the function returns something else; with a cache, if
        something that the function or the grid reaches has no known content.
    RuntimeError
        If workers load other code than this process runs: a module was edited and not reloaded, or
        changed after it was loaded.

    Notes
    -----
    Each call runs with one BLAS thread, so workers do not fight for cores and results do not depend
    on how many there are. Results are plain numbers and text, kept as JSON. A fingerprint takes
    some 10 ms in every process, a kept call 0.1 ms. State that a module gathers as it runs, such as
    results in a global dict, counts as its code.
    """
    if not isfunction(function):
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
    n_jobs = None if n_jobs is None else checks.integer("n_jobs", n_jobs)
    points = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    tasks = [(point, seed) for point in points for seed in seeds]
    files = [None] * len(tasks)
    if cache is not None:
        folder = _folder(cache)
        code = fingerprint("function", (function, _run))
        keys = [fingerprint("grid", sorted(point.items())) for point in points]
        names = [_file_name(code, key, seed) for key in keys for seed in seeds]
        files = [folder / name for name in names]
    results = [file and _kept(file) for file in files]
    missing = [k for k, rows in enumerate(results) if rows is None]
    sent = _Sent((function, _run))  # the second for its code
    arguments = [sent_point for sent_point in map(_Sent, points) for _ in seeds]
    calls = [(sent, arguments[k], tasks[k][1], files[k]) for k in missing]
    errors = []
    for k, (rows, error) in zip(missing, _compute(calls, n_jobs, progress), strict=True):
        results[k] = rows
        errors += [error] if error else []
    if errors:
        text = f"{len(errors)} of {len(calls)} results could not be kept in {cache}: {errors[0]}"
        warnings.warn(text, stacklevel=2)
    return pd.DataFrame(
        point | {"seed": seed} | row
        for (point, seed), rows in zip(tasks, results, strict=True)
        for row in rows
    )


def _compute(calls, n_jobs, progress):
    """The rows of each call, and why they could not be kept."""
    for _ in range(2):  # joblib stops its workers at an error: the next ones load every module anew
        try:
            with (
                warnings.catch_warnings(),
                threadpool_limits(1),
                _Parallel(len(calls), progress, n_jobs=n_jobs) as parallel,
            ):
                # loky renews a worker that has grown, and says so; no call is lost by it.
                warnings.filterwarnings("ignore", message="A worker stopped while some jobs were")
                return parallel(joblib.delayed(_run)(*call) for call in calls)
        except _OtherCodeError as error:
            reason = error
    raise RuntimeError(
        "workers load other code from disk than this process runs, or find none: a module that the "
        "function or the grid uses was edited, or changed by hand, after it was loaded; or "
        "something that was defined here can be sent by its name only, as what functools.cache "
        "makes. Reload the module, restart Python (and the workers of a cluster), move the "
        f"definition to a module, or use n_jobs=1 ({reason})"
    ) from reason


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


class _OtherCodeError(Exception):
    """A worker has other code than the process that sent it a call."""


class _Sent:
    """What a call needs: itself in this process, a parcel when it goes to another."""

    def __init__(self, value):
        self.value = value

    @functools.cached_property
    def _parcel(self):
        pickled = cloudpickle.dumps(self.value)
        # Not of the value itself, for a pickle may leave things out.
        return pickled, fingerprint("value", pickle.loads(pickled), strict=False)

    def __reduce__(self):
        return _Parcel, self._parcel


@dataclass(frozen=True)
class _Parcel:
    """A pickled value, and the fingerprint that it must have where it is opened."""

    pickled: bytes
    digest: str

    @functools.cached_property
    def value(self):
        _check(self)
        return pickle.loads(self.pickled)


@functools.lru_cache(maxsize=64)  # once for a worker, not for each call
def _check(parcel):
    """Raise an error if a parcel is not here what it was where it was packed."""
    try:
        value = pickle.loads(parcel.pickled)
    except (AttributeError, ImportError) as error:
        raise _OtherCodeError(str(error)) from error
    if fingerprint("value", value, strict=False) != parcel.digest:
        raise _OtherCodeError("their fingerprints differ")


def _run(function, point, seed, file):
    """The rows of one call, and why they could not be kept, if so."""
    (call, _), point = function.value, point.value
    threadpool_limits(1)  # not undone here: other threads of this worker may be in the same call
    arguments = {name: _copied(value) for name, value in point.items()}
    rows = _rows(call(**arguments, rng=np.random.default_rng(seed)))
    if taken := ({*point, "seed"}) & set().union(*rows):
        raise ValueError(f"function must not return {', '.join(sorted(taken))}: sweep fills these")
    return rows, file and _keep(file, rows)


def _copied(value):
    """A copy as a worker gets it, memory layout included."""
    try:
        return pickle.loads(pickle.dumps(value))
    except Exception:  # local functions, say, which only cloudpickle can send
        try:
            return copy.deepcopy(value)
        except Exception as error:
            raise TypeError(f"grid must hold values that can be copied: {error}") from error


def _rows(result):
    """What a function returned as a list of dicts of plain scalars."""
    rows = result if isinstance(result, list) else [result]
    if not all(isinstance(row, Mapping) for row in rows):
        raise TypeError("function must return a mapping, or a list of mappings")
    return [{_scalar(name): _scalar(value) for name, value in row.items()} for row in rows]


def _scalar(value):
    """``value`` as a plain Python scalar."""
    if isinstance(value, np.generic | np.ndarray) and value.ndim == 0:
        value = float(value) if value.dtype.kind == "f" else value.item()
    for kind, plain in _PLAIN.items():
        if isinstance(value, kind):
            return plain(value)
    raise TypeError(
        "function must return numbers, text or None, by such names, "
        f"got {type(value).__name__}: {value!r}"
    )


_PLAIN = {
    type(None): lambda value: None,
    bool: bool,
    int: int.__int__,
    float: float.__float__,
    str: str.__str__,
}


def _folder(cache):
    """The folder of the cache, made if need be."""
    if not isinstance(cache, str | os.PathLike):
        raise TypeError(f"cache must be a path, got {type(cache).__name__}")
    try:
        Path(cache).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"cache must be a folder that exists or can be made: {error}") from error
    return Path(cache)


def _file_name(*parts):
    """The name of the file of one call."""
    return hashlib.sha256(" ".join(map(str, parts)).encode()).hexdigest() + ".json"


def _entry(file, body):
    """A kept result and, before it, a checksum that no other, and no part of it, has."""
    return hashlib.sha256(file.name.encode() + body).hexdigest().encode() + b"\n" + body


def _kept(file):
    """The rows kept in a file, ``None`` if it does not hold them whole."""
    try:
        content = file.read_bytes()
    except OSError:
        return None
    _, _, body = content.partition(b"\n")
    return [dict(row) for row in json.loads(body)] if content == _entry(file, body) else None


def _keep(file, rows):
    """Keep rows in a file; returns why they could not be kept, if so."""
    body = json.dumps([list(row.items()) for row in rows]).encode()
    part = file.with_name(f"{uuid.uuid4().hex}.part")
    try:
        try:  # write beside, then rename: whoever reads meanwhile finds all or nothing
            part.write_bytes(_entry(file, body))
            os.replace(part, file)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        return str(error)
    return None
