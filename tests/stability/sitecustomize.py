"""Jitter: with JITTER_SEED set, float arrays that enter the library move by a relative 1e-13.

Python imports this file at start-up where its folder is on PYTHONPATH, in kernels and in workers
alike. The noise is a function of the seed and of an array's name and contents: neither the order
of calls nor the number of workers matters.
"""

import importlib.machinery
import importlib.util
import os
import sys

SIZE = 1e-13
EXACT = {"n", "signs"}  # arguments of this name count something
ORTHONORMAL = {"eigenvectors"}


def jitter(seed, name, values):
    """``values`` with each entry multiplied by 1 + SIZE · N(0, 1)."""
    import hashlib

    import numpy as np

    digest = hashlib.blake2b(f"{seed} {name} {values.shape}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(values))
    rng = np.random.Generator(np.random.SFC64(int.from_bytes(digest.digest(), "little")))
    factors = rng.standard_normal(values.shape, dtype=np.float32).astype(np.float64)
    factors *= SIZE
    factors += 1
    return factors * values


def patch(checks, seed):
    """Replace ``array`` and ``symmetric`` of ``lib.checks``; the others call these."""
    import functools

    import numpy as np

    plain_array, plain_symmetric = checks.array, checks.symmetric

    @functools.wraps(plain_array)
    def array(name, value, shape, **options):
        result = plain_array(name, value, shape, **options)
        if name in EXACT | ORTHONORMAL or np.asarray(value).dtype.kind != "f":
            return result
        result = jitter(seed, name, result)
        return np.sort(result)[::-1] if name == "eigenvalues" else result

    @functools.wraps(plain_symmetric)
    def symmetric(name, value, **options):
        lower = np.tril(plain_symmetric(name, value, **options))
        return lower + np.tril(lower, -1).T

    checks.array, checks.symmetric = array, symmetric


class Finder:
    """Find ``lib.checks`` where the import system does, and patch it once it is loaded."""

    def __init__(self, seed):
        self.seed = seed

    def find_spec(self, name, path=None, target=None):
        if name != "lib.checks":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None:
            execute = spec.loader.exec_module

            def execute_and_patch(module):
                execute(module)
                patch(module, self.seed)

            spec.loader.exec_module = execute_and_patch
        return spec


def run_shadowed():
    """Run the ``sitecustomize`` that would have been imported without this folder, if any."""
    here = os.path.dirname(os.path.abspath(__file__))
    path = [entry for entry in sys.path if os.path.abspath(entry) != here]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", path)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


if __name__ == "sitecustomize":
    if "JITTER_SEED" in os.environ:
        sys.meta_path.insert(0, Finder(os.environ["JITTER_SEED"]))
    run_shadowed()
