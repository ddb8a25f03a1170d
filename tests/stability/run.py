"""Run the chapters under many settings, and list every line of their output that moves.

    python tests/stability/run.py [--fresh] [setting ...]

A chapter that was run under a setting is not run again while it, the library and the packages
stay as they are; ``--fresh`` runs it in any case.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RESULTS = ROOT / "_build" / "stability"

# Of numpy and scipy, which bring an OpenBLAS each: the kernels that these take.
KERNELS = """
import scipy.linalg, numpy, threadpoolctl
A = numpy.ones((99, 99))
A @ A, scipy.linalg.blas.dgemm(1, A, A)
found = threadpoolctl.ThreadpoolController().select(internal_api="openblas").info()
print(*sorted({library["architecture"] for library in found}), sep=", ")
"""
# The instruction sets that numpy would use here beyond those it is built for.
DISPATCHED = """
from numpy._core import _multiarray_umath as numpy
print(*(name for name in numpy.__cpu_dispatch__ if numpy.__cpu_features__[name]), sep=",")
"""


def settings():
    """Each setting's name and its environment variables."""
    result = {f"jitter-{seed}": {"JITTER_SEED": str(seed)} for seed in range(5)}
    for threads in "12":
        variables = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
        result[f"threads-{threads}"] = dict.fromkeys(variables, threads)
    for kernels in ("Nehalem", "Haswell", "SkylakeX", "Zen"):
        result[kernels.lower()] = {"OPENBLAS_CORETYPE": kernels}
    result["numpy-baseline"] = {"NPY_DISABLE_CPU_FEATURES": python(DISPATCHED)}
    result["torch-default"] = {"ATEN_CPU_CAPABILITY": "default"}
    return result


def impossible(environment):
    """Why this machine cannot run a setting, or None."""
    if environment.get("NPY_DISABLE_CPU_FEATURES") == "":
        return "numpy uses nothing here beyond its baseline"
    if wanted := environment.get("OPENBLAS_CORETYPE"):
        taken = python(KERNELS, environment)
        if taken.lower() != wanted.lower():
            return f"asked for {wanted}, OpenBLAS here takes {taken}" if taken else "it crashes"
    return None


def python(code, environment=None):
    """What a piece of Python prints in this environment; nothing if it fails."""
    command = [sys.executable, "-c", code]
    env = os.environ | (environment or {})
    return subprocess.run(command, env=env, capture_output=True, text=True).stdout.strip()


def moved(chapters, environment):
    """Run notebooks, and return a record of every cell whose output is not the stored one."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "moved"
        path = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))
        env = os.environ | environment
        env |= {"PYTHONPATH": path, "MOVED": str(log), "TQDM_DISABLE": "1"}
        env.pop("PYTEST_ADDOPTS", None)
        command = [sys.executable, "-m", "pytest", "-q", "--nbval", "--nbval-current-env"]
        command += ["-c", str(ROOT / "pyproject.toml"), "-p", "moved", "-p", "no:cacheprovider"]
        command += ["--color=no", *map(str, chapters)]
        done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True)
        records = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    if done.returncode != bool(records):
        raise RuntimeError(f"the chapters were not run:\n{done.stdout}\n{done.stderr}")
    return [json.loads(record) for record in records]


def describe(record):
    """A record as text: chapter, cell, and every stored line over what it became."""
    text = [f"{record['chapter']}, cell {record['cell']}: {record['error']}"]
    for stored, new in record["lines"]:
        text += [f"  - {stored}"] if stored is not None else []
        text += [f"  + {new}"] if new is not None else []
    return "\n".join(text)


def fingerprint(chapter):
    """All that the outputs of a chapter may depend on, apart from the setting."""
    digest = hashlib.sha256()
    files = [chapter, *sorted(ROOT.glob("lib/*.py")), *sorted(HERE.glob("*.py"))]
    for file in [*files, ROOT / "requirements.txt", ROOT / "binder" / "chapters.txt"]:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def run_setting(name, environment, chapters, fresh):
    """The records of all chapters under one setting, from earlier runs where these are valid."""
    records = []
    for chapter in chapters:
        result, key = RESULTS / name / f"{chapter.stem}.json", fingerprint(chapter)
        kept = json.loads(result.read_text(encoding="utf-8")) if result.exists() else {}
        if fresh or kept.get("fingerprint") != key:
            start = time.perf_counter()
            kept = {"fingerprint": key, "moved": moved([chapter], environment)}
            result.parent.mkdir(parents=True, exist_ok=True)
            result.write_text(json.dumps(kept, ensure_ascii=False), encoding="utf-8")
            print(f"  {chapter.stem}: {time.perf_counter() - start:.0f} s", flush=True)
            for record in kept["moved"]:
                print("    " + describe(record).replace("\n", "\n    "), flush=True)
        records += kept["moved"]
    return records


def main():
    """Run what is asked for, print the table, and exit with 1 if anything moved."""
    known = settings()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("settings", nargs="*", metavar="setting", help=", ".join(known))
    parser.add_argument("--fresh", action="store_true", help="run what was run already again")
    arguments = parser.parse_args()
    if unknown := set(arguments.settings) - set(known):
        parser.error(f"no setting {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    chapters, results = sorted((ROOT / "chapters").glob("*.ipynb")), {}
    for name in arguments.settings or known:
        print(f"== {name}: " + " ".join(f"{k}={v}" for k, v in known[name].items()), flush=True)
        if reason := impossible(known[name]):
            print(f"  skipped: {reason}")
            continue
        results[name] = run_setting(name, known[name], chapters, arguments.fresh)
    print(f"\n{'setting':<16}{'cells':>5}  moved")
    for name, records in results.items():
        cells = ", ".join(f"{record['chapter']} {record['cell']}" for record in records)
        print(f"{name:<16}{len(records):>5}  {cells or '–'}")
    sys.exit(any(results.values()))


if __name__ == "__main__":
    main()
