"""lib.fingerprint: equal for equal content in any process, and for nothing else."""

import dis
import functools
import importlib.machinery
import importlib.metadata
import importlib.util
import inspect
import os
import pickle
import subprocess
import sys
import threading
import time
import types

import cloudpickle
import numpy as np
import pytest
import scipy.special
import torch
from mpl_toolkits.axes_grid1 import make_axes_locatable

import lib.exact_risk
import lib.fingerprint
import lib.relu
from lib.fingerprint import fingerprint


def of(value, **options):
    """Return the fingerprint of a value."""
    return fingerprint("value", value, **options)


def make(source, name="f", **scope):
    """Return what ``source`` defines, in a module that is not imported."""
    exec(compile(source, "somewhere", "exec"), scope := {"__name__": "m"} | scope)
    return scope[name]


DIFFERENT = [
    0, 1, 1.0, True, 1j, "1", b"1", None, ..., -0.0, 0.0, float("nan"), 2**70, range(3), slice(3),
    (1, 2), [1, 2], {1, 2}, frozenset({1, 2}), {1: 2}, {"a": 1, "b": 2}, {"b": 2, "a": 1},
    (), ((),), ((), ()), (1, (2, 3)), ((1, 2), 3), ("ab", "c"), ("a", "bc"), "\ud800", [[1], [2]],
    np.float64(1), np.float32(1), np.zeros(2), np.zeros((2, 1)), np.zeros(2, int), np.eye(2),
    np.array([None, 1]), np.array(["a"]), np.dtype("f4"), np.dtype(">f4"),
    np.random.default_rng(0), np.random.default_rng(1), torch.zeros(2), torch.ones(2),
    torch.zeros(2, requires_grad=True), len, max, np.sin, np.cos, np.linalg.norm, np, os, lib.relu,
    int, np.ndarray, [].append, [1].append, functools.partial(max, 1), functools.partial(max, 2),
    lib.relu.ntk, lib.exact_risk,
]  # fmt: skip


def test_different_values_have_different_fingerprints():
    assert len(set(map(of, DIFFERENT))) == len(DIFFERENT)
    assert of(np.expm1) != of(scipy.special.expm1)  # which pickle may take for another's


@pytest.mark.parametrize("value", DIFFERENT, ids=lambda value: type(value).__name__)
def test_a_copy_has_the_same_fingerprint(value):
    if callable(value) and isinstance(getattr(value, "__self__", None), list):
        value = value.__self__
    if isinstance(value, types.ModuleType):
        assert of(cloudpickle.loads(cloudpickle.dumps(value))) == of(value)
    else:
        assert of(pickle.loads(pickle.dumps(value))) == of(value)


def test_aliases_and_cycles_are_followed():
    def cycle(k, turns):
        first = [k]
        last = first
        for _ in range(turns):
            last.append([])
            last = last[-1]
        last.append(first)
        return first

    assert of(cycle(1, 2)) == of(cycle(1, 2))
    assert len({of(cycle(1, 2)), of(cycle(2, 2)), of(cycle(1, 3))}) == 3
    one = [1]
    assert of([one, one]) != of([[1], [1]])
    holder = types.SimpleNamespace()
    holder.peers = {holder_key := (1, 2)}
    assert of(holder) == of(types.SimpleNamespace(peers={holder_key}))
    deep = last = []
    for _ in range(10_000):  # deeper than the stack
        last.append([])
        last = last[0]
    assert of(deep) != of([])


def test_what_a_module_shares_is_its_own_where_a_copy_arrives(monkeypatch):
    """A worker has the module's object, and beside it the copy that the function came with."""
    module = types.ModuleType("module_that_shares")
    module.K = [1]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    function = make("def f(): return K, module.K", K=module.K, module=module)
    arrived = cloudpickle.loads(cloudpickle.dumps(function))
    assert arrived()[0] is not arrived()[1] is module.K
    assert of(arrived) == of(function)


def test_a_set_that_its_element_leads_back_to():
    class Peer:
        def __init__(self, k):
            self.k, self.peers = k, {self}

    assert of(Peer(1)) == of(Peer(1)) != of(Peer(2))


def test_where_code_is_written_does_not_count():
    first = make("def f(x):\n    return x + 1")
    second = make("# a comment\n\ndef f(x):  # another\n\n    return (x\n            + 1)")
    assert of(first) == of(second) != of(make("def f(x):\n    return x + 2"))
    assert of(make("def f(x: int): return x")) == of(make("def f(x): return x"))
    assert of(make("def f(x, y): return x - y")) != of(make("def f(y, x): return x - y"))
    assert of(make("def f(x):\n try: x()\n finally: x()")) != of(make("def f(x):\n x()\n x()"))


@pytest.mark.parametrize(
    "change",
    [
        {"co_code": bytes(2) + make("def f(): return 1").__code__.co_code},
        {"co_exceptiontable": b"x"},
        {"co_consts": (None, 2)},
        {"co_flags": 0x23},
        {"co_names": ("a",)},
    ],
    ids=str,
)
def test_every_part_of_code_counts(change):
    code = make("def f(): return 1").__code__
    assert of(code.replace(co_filename="x", co_firstlineno=9, co_linetable=b"")) == of(code)
    assert of(code.replace(**change)) != of(code)


def test_pickling_leaves_no_trace():
    class Pair:
        __slots__ = ("a", "b")

    before = of(Pair)
    Pair().__reduce_ex__(4)
    assert "__slotnames__" in vars(Pair)  # Python's note to itself
    assert of(Pair) == before


def test_only_what_is_named_counts():
    source = "def f(x): return K + x.L"
    assert of(make(source, K=1, L=1)) == of(make(source, K=1, L=2)) != of(make(source, K=2, L=1))


@pytest.mark.parametrize(
    ("name", "counts"),
    [("k", True), ("_k", True), ("__k", True), ("k__", True), ("__file__", False)],
)
def test_a_module_counts_with_all_but_what_python_notes_there(name, counts):
    one, other = types.ModuleType("m"), types.ModuleType("m")
    for module, value in (one, 1), (other, 2):
        setattr(module, name, value)
    assert (of(one) != of(other)) == counts


@pytest.mark.parametrize("kind", [object, np.dtypes.StringDType()])
def test_arrays_that_hold_addresses_count_with_what_is_there(kind):
    def texts(letter):
        return np.array([letter * k for k in (20, 50)], dtype=kind)

    assert of(texts("a")) == of(texts("a")) != of(texts("b"))


def test_globals_are_those_that_dis_finds():
    def within(code):
        yield code
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                yield from within(constant)

    source = inspect.getsource(lib.exact_risk) + inspect.getsource(lib.fingerprint)
    source += "\ndef long(): " + "; ".join(f"name_{k}" for k in range(300))  # extended arguments
    for code in within(compile(source, "", "exec")):
        if all(inner.co_flags & inspect.CO_OPTIMIZED for inner in within(code)):
            steps = [step for inner in within(code) for step in dis.get_instructions(inner)]
            names = {step.argval for step in steps if step.opname == "LOAD_GLOBAL"}
            assert lib.fingerprint._names(code)[0] == sorted(names)


def test_the_version_of_installed_code_counts(monkeypatch):
    functions = [np.linalg.norm, np, make("def f(x): return np.abs(x)", np=np)]
    before, version = list(map(of, functions)), importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: "0.1" if name == "numpy" else version(name)
    )
    lib.fingerprint._release.cache_clear()
    after = list(map(of, functions))
    monkeypatch.undo()
    lib.fingerprint._release.cache_clear()
    assert not set(before) & set(after)
    assert list(map(of, functions)) == before


def test_a_version_does_not_hang_on_what_is_loaded():
    """Pooch says of itself v1.8.2, and its distribution 1.8.2."""
    code = "import sys; sys.argv[1:] and __import__('pooch')\n"
    code += "from lib import datasets, fingerprint\n"
    code += "print(fingerprint.fingerprint('value', datasets.mnist, strict=False))"
    runs = [
        subprocess.run([sys.executable, "-c", code, *loaded], capture_output=True, check=True)
        for loaded in ([], ["first"])
    ]
    assert runs[0].stdout == runs[1].stdout != b""


def test_the_version_counts_of_a_distribution_with_another_name(monkeypatch):
    """The package mpl_toolkits is of matplotlib, and has no version of its own."""
    before, version = of(make_axes_locatable), importlib.metadata.version
    with monkeypatch.context() as patch:
        patch.setattr(
            importlib.metadata,
            "version",
            lambda name: "0.1" if name == "matplotlib" else version(name),
        )
        lib.fingerprint._release.cache_clear()
        after = of(make_axes_locatable)
    lib.fingerprint._release.cache_clear()
    assert of(make_axes_locatable) == before != after


def test_this_library_is_followed_also_where_it_is_installed(monkeypatch):
    before, find = of(lib.relu), importlib.util.find_spec
    spec = importlib.machinery.ModuleSpec("lib", None, origin="/site-packages/lib/__init__.py")
    with monkeypatch.context() as patch:
        patch.setattr(
            importlib.util, "find_spec", lambda name: spec if name == "lib" else find(name)
        )
        lib.fingerprint._release.cache_clear()
        after = of(lib.relu)
    lib.fingerprint._release.cache_clear()
    assert after == before


@pytest.mark.parametrize(
    "value",
    [
        threading.Lock(),
        (k for k in ()),
        np.frompyfunc(lambda x: x, 1, 1),
        {threading.Lock()},
        make("def f(): return eval('1')"),
        make("def f(): return globals()"),
        make("def f(n): return importlib.import_module(n)", importlib=__import__("importlib")),
        make("def f(n): return sys.modules[n]", sys=sys),
        make("def f(n):\n import importlib\n return importlib.import_module(n)"),
        make("def f(n):\n from importlib import import_module as load\n return load(n)"),
        make("def f(n):\n import sys\n return sys.modules[n]"),
        make("def f(n):\n import builtins\n return builtins.__import__(n)"),
        make("def f(n): return load(n)", load=__import__),
        make("def f(n): return getattr(lib, n)", lib=lib),
        make("def f(): return lock", lock=threading.Lock()),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_has_no_known_content_is_refused(value):
    with pytest.raises(ValueError, match="^value must reach only code and data whose content can"):
        of(value)
    assert of(value, strict=False) == of(value, strict=False)


def test_the_whole_library_is_fast():
    modules = [sys.modules[name] for name in sorted(sys.modules) if name.startswith("lib.")]
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        of(modules)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.2  # some 0.03 where nothing else runs


def test_masks_bits_and_memory_order_count():
    X = np.arange(6.0).reshape(2, 3)
    assert fingerprint("x", X) == fingerprint("x", X.copy())
    assert fingerprint("x", X) != fingerprint("x", np.asfortranarray(X))
    nothing = np.array([np.nan])  # of which np.copysign sees the sign
    assert fingerprint("x", nothing) != fingerprint("x", -nothing)
    with pytest.raises(ValueError, match="^x must reach only"):
        fingerprint("x", np.ma.masked_equal(X, 3))
