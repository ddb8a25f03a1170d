"""What is claimed about the speed and the memory of ``lib.relu``.

Each function returns a table, as Markdown, and its targets: (target, measured, met).
"""

import tracemalloc
from functools import partial

import numpy as np
import scipy.linalg
from sklearn.kernel_ridge import KernelRidge
from timing import in_turns, table, timed

from lib.problem import Population
from lib.relu import finetune, learning_curve, ntk

SIZES_TIMED = 10  # values of n at which a system is solved, of all
RIDGE = 1e-12  # of scikit-learn, which needs one


def kernel(n=4000, d=784):
    """One kernel matrix, against what no way to it can do without: a product and an arccosine."""
    X, Z = np.random.default_rng(0).standard_normal((2, n, d))
    cosines = np.corrcoef(X)
    best = in_turns(
        {
            "X @ X.T": lambda: X @ X.T,
            "X @ Z.T": lambda: X @ Z.T,
            "arccos": partial(np.arccos, cosines.clip(-1, 1)),
            "ntk(X)": partial(ntk, X),
            "ntk(X, Z)": partial(ntk, X, Z),
        }
    )
    rows, targets = [], []
    for name, product, task in (
        ("ntk(X)", "X @ X.T", partial(ntk, X)),
        ("ntk(X, Z)", "X @ Z.T", partial(ntk, X, Z)),
    ):
        ratio, memory = best[name] / (best[product] + best["arccos"]), peak(task)
        seconds = (f"{best[key]:.2f}" for key in (name, product, "arccos"))
        rows.append([name, *seconds, f"{ratio:.2f}", f"{memory:.2f}"])
        targets += [
            (f"{name}, n = {n}, d = {d}: ≤ 3 × {product} and arccos", f"{ratio:.2f} ×", ratio <= 3),
            (f"{name}: memory ≤ 2.5 × the result", f"{memory:.2f} ×", memory <= 2.5),
        ]
    heads = f"n = {n}, d = {d}|seconds|the product alone|arccos alone|times both|memory / result"
    return table(heads.split("|"), rows), targets


def curve(n=500, tests=1000, d=100):
    """The whole learning curve, against one system per n."""
    X, T, residual, wanted = sphere_data(n, tests, d)
    seconds = in_turns({"curve": partial(learning_curve, X, residual, T, wanted)})["curve"]
    result = learning_curve(X, residual, T, wanted)
    H, between = ntk(X), ntk(T, X)
    sizes = (np.arange(SIZES_TIMED) + 0.5) * n // SIZES_TIMED  # their mean, times n, is all
    each, risks = zip(
        *(timed(partial(one_point, H, residual, between, wanted, int(j))) for j in sizes),
        strict=True,
    )
    alone = np.mean(each) * n
    difference = np.max(np.abs(result[sizes.astype(int)] / risks - 1))
    heads = "n|test points|curve, s|a system per n, s|times faster|largest relative difference"
    row = [n, tests, f"{seconds:.2g}", f"{alone:.3g}", f"{alone / seconds:.0f}"]
    targets = [
        ("ReLU curve: ≥ 20 × faster than a system per n", f"{alone / seconds:.0f} ×")
        + (alone / seconds >= 20,),
        ("ReLU curve and systems agree to 1e-8", f"{difference:.0e}", difference <= 1e-8),
    ]
    return table(heads.split("|"), [[*row, f"{difference:.0e}"]]), targets


def fine_tuning(n=1500, tests=1000, d=100):
    """The correction, against kernel regression in scikit-learn with a vanishing ridge."""
    X, T, residual, _ = sphere_data(n, tests, d)

    def sklearn():
        model = KernelRidge(alpha=RIDGE, kernel="precomputed").fit(ntk(X), residual)
        return model.predict(ntk(T, X))

    best = in_turns({"finetune": partial(finetune, X, residual, T), "sklearn": sklearn})
    ratio = best["finetune"] / best["sklearn"]
    expected = sklearn()
    miss = np.abs(finetune(X, residual, T) - expected).max() / np.abs(expected).max()
    heads = "n|test points|finetune, s|scikit-learn, s|ratio|largest difference, of the largest"
    row = [n, tests, f"{best['finetune']:.2g}", f"{best['sklearn']:.2g}", f"{ratio:.2f}"]
    targets = [
        ("ReLU finetune: ≤ 1.5 × scikit-learn on the same kernel", f"{ratio:.2f} ×", ratio <= 1.5),
        ("ReLU finetune and scikit-learn agree to 1e-8", f"{miss:.0e}", miss <= 1e-8),
    ]
    return table(heads.split("|"), [[*row, f"{miss:.0e}"]]), targets


def large(n=10_000, d=784):
    """A kernel matrix of n = 10,000, and fine-tuning with it: seconds, and memory at the peak."""
    X, _, residual, _ = sphere_data(n, 1, d)
    rows, targets = [], []
    for name, task in (("ntk", partial(ntk, X)), ("finetune", partial(finetune, X, residual, X))):
        seconds, _ = timed(task)
        gigabytes = peak(task, unit=1e9)
        rows.append([name, f"{seconds:.1f}", f"{gigabytes:.2f}"])
        targets.append((f"{name}, n = {n:,}: ≤ 24 GB", f"{gigabytes:.2f} GB", gigabytes <= 24))
    return table([f"n = {n:,}, d = {d}", "seconds", "memory, GB"], rows), targets


def sphere_data(n, tests, d):
    """Inputs and test inputs on the sphere, and what a linear teacher's student misses on them."""
    rng = np.random.default_rng(n)
    both = Population.isotropic(d, 1 / d).sample(n + tests, rng, "sphere")
    missing = both @ rng.standard_normal(d)
    return both[:n], both[n:], missing[:n], missing[n:]


def one_point(H, residual, between, wanted, n):
    """One point of the curve, with the kernel given."""
    weights = scipy.linalg.solve(H[:n, :n], residual[:n], assume_a="pos", check_finite=False)
    return np.mean((wanted - between[:, :n] @ weights) ** 2)


def peak(task, unit=None):
    """Memory at its peak, in bytes over ``unit``; None takes the size of the result."""
    tracemalloc.start()
    result = task()
    memory = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return memory / (unit or result.nbytes)
