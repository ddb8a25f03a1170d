"""A digest of code and data as they are in memory: equal only if what they reach is equal."""

import builtins
import copyreg
import dis
import functools
import hashlib
import importlib
import importlib.machinery
import importlib.metadata
import importlib.util
import inspect
import platform
import sys
import sysconfig
import types
from pathlib import Path

import numpy as np

__all__ = ["fingerprint"]


def fingerprint(name, value, *, strict=True):
    """A digest of ``value`` and of all project code and data that it can reach.

    Project code is what belongs neither to Python nor to an installed distribution, and this
    library. It is followed as it is loaded, not as it lies on disk: functions, their defaults,
    closures and the globals that they name, classes, instances and whole modules. Of installed code
    the name and the version are taken.

    Parameters
    ----------
    name : str
        What to call ``value`` in errors.
    value : object
        A function, or data, or both.
    strict : bool
        Whether to refuse what cannot be known; otherwise only its type is taken.

    Returns
    -------
    str
        Hexadecimal digits, the same in every process that has loaded the same.

    Raises
    ------
    ValueError
        If ``strict`` and something reached has no known content, such as a lock or an open file, or
        code that looks up other code by a computed name.

    Notes
    -----
    Positions in source files, comments and annotations do not count; docstrings do. What a
    ``functools.cache`` remembers is taken to be what its function returns now; settings that are
    kept outside Python's objects (decimal's context, torch's default dtype) are not seen. Linear in
    what is reached; all of this library takes some 30 ms.
    """
    digest = hashlib.blake2b(digest_size=16)
    # Whoever receives a pickle has the same objects, except that those which are pickled by value
    # are distinct from those of the modules: hence one numbering for each of the two.
    numbers = ({}, {})
    path = [(None, iter([value]), False)]  # not recursive: code may be nested deeper than the stack
    while path:
        _, children, imported = path[-1]
        for child in children:
            seen = numbers[imported or _is_importable(child)]
            if id(child) in seen:
                digest.update(b"#%d;" % seen[id(child)][0])
                continue
            tag, parts = _describe(child)
            if parts is None and strict:
                raise ValueError(
                    f"{name} must reach only code and data whose content can be known, not {tag}"
                    f"{_place(path)}: pass what it computes as an argument, or use no cache"
                )
            tag = tag if isinstance(tag, bytes) else tag.encode("utf-8", "surrogatepass")
            kind = type(child).__name__.encode()
            digest.update(b"(%d:%b%d:%b" % (len(kind), kind, len(tag), tag))
            if parts is None or type(child) in _ATOMS:
                digest.update(b")")
                continue
            if type(child) not in _INLINE:
                seen[id(child)] = len(seen), child  # held, so that its id is not given away
            path.append((child, iter(parts), imported or _is_importable(child)))
            break
        else:
            digest.update(b")")
            path.pop()
    return digest.hexdigest()


def _describe(value):
    """What ``value`` is, as text or bytes, and its parts, ``None`` if they cannot be known."""
    kind = type(value)
    if kind in _ATOMS:
        return _ATOMS[kind](value), ()
    if release := _installed(value):
        return release, ()
    if kind in _PARTS:
        return "", _PARTS[kind](value)
    if isinstance(value, types.ModuleType):
        return _module(value)
    if isinstance(value, type):
        return _class(value)
    if isinstance(value, np.dtype | np.generic | np.ndarray):
        return _numpy(value)
    if "torch" in sys.modules and isinstance(value, sys.modules["torch"].Tensor):
        return str(value.dtype), (kind, value.requires_grad, value.detach().cpu().numpy())
    return _instance(value)


def _function(function):
    """The parts of a function: code, arguments, captured variables, attributes, globals."""
    yield from (function.__code__, function.__defaults__, function.__kwdefaults__)
    yield function.__dict__
    for cell in function.__closure__ or ():
        try:
            yield 1, cell.cell_contents
        except ValueError:  # not yet assigned
            yield (0,)
    scope = function.__globals__
    used, attributes, imports = _names(function.__code__)
    found = {name: scope[name] for name in used if name in scope}
    yield from found.items()
    for value in found.values():
        yield from _submodules(value, attributes)
    if scope.get("__name__") != __name__:  # this module follows what it looks up
        modules = {name for level, name, _ in imports if not level}
        yield from map(_Unknown, _computed(used, found, attributes, modules))
    for level, name, members in imports:
        if level:
            name = importlib.util.resolve_name("." * level + name, scope["__package__"])
        yield from _import(name)
        for member in members:
            yield from _import(f"{name}.{member}")


@functools.cache
def _names(code):
    """The globals, the attributes and the imports that a code object and those within it name."""
    used, attributes, imports = set(), set(code.co_names), set()
    operations = code.co_code[::2]
    if not code.co_flags & inspect.CO_OPTIMIZED:  # the body of a class: any name may be a global
        used.update(code.co_names)
    argument = 0
    for operation, byte in zip(
        operations, code.co_code[1::2], strict=True
    ):  # dis takes much longer
        argument |= byte
        if operation == _LOAD_GLOBAL:
            used.add(code.co_names[argument >> 1])
        argument = argument << 8 if operation == dis.EXTENDED_ARG else 0
    if _IMPORT_NAME in operations:
        steps = [step for step in dis.get_instructions(code) if step.opname != "EXTENDED_ARG"]
        for level, members, step in zip(steps, steps[1:], steps[2:], strict=False):
            if step.opname == "IMPORT_NAME":
                imports.add((level.argval, step.argval, members.argval or ()))
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            more = _names(inner)
            used, attributes, imports = (
                used | {*more[0]},
                attributes | more[1],
                imports | {*more[2]},
            )
    return sorted(used), attributes, sorted(imports)


def _computed(used, found, attributes, modules):
    """How a function looks up code by names that are not in its text; it imports ``modules``."""
    packages = any(map(_is_package, found.values()))
    for name in used:
        if name not in found and (name in _LOOKUPS or packages and name in ("getattr", "vars")):
            yield name
    ways = [(importlib, "import_module"), (sys, "modules")]
    for module, attribute in ways + [(builtins, name) for name in sorted(_LOOKUPS)]:
        direct = any(value is getattr(module, attribute) for value in found.values())
        here = module.__name__ in modules or any(value is module for value in found.values())
        if direct or here and attribute in attributes:
            yield f"{module.__name__}.{attribute}"


def _is_package(value):
    """Whether ``value`` is a package of the project."""
    is_package = isinstance(value, types.ModuleType) and hasattr(value, "__path__")
    return is_package and _release(value.__name__) is None


def _submodules(value, attributes):
    """The modules of a package of the project that code with these attributes can name."""
    if _is_package(value):
        prefix = value.__name__ + "."
        for name in sorted(name for name in sys.modules if name.startswith(prefix)):
            if attributes.issuperset(name.removeprefix(prefix).split(".")):
                yield name, sys.modules[name]


def _import(name):
    """A module that a function imports as it runs, and the packages that it is in."""
    if release := _release(name):
        yield name, release
        return
    for end in [i for i, letter in enumerate(name) if letter == "."] + [None]:
        try:
            yield name[:end], importlib.import_module(name[:end])
        except ImportError:  # no module but a member of one; or none at all, as the call will find
            return


def _module(module):
    """A module of the project: its globals. Its submodules count where they are named."""
    if isinstance(module.__spec__ and module.__spec__.loader, _BINARY):
        return f"the compiled module {module.__name__}", None
    inner = module.__name__ + "."
    return module.__name__, (
        (name, value)
        for name, value in sorted(vars(module).items())
        if not (name.startswith("__") and name.endswith("__"))
        and not (isinstance(value, types.ModuleType) and value.__name__.startswith(inner))
    )


def _class(cls):
    """A class of the project: its bases, its metaclass and all that it defines."""
    members = ((name, value) for name, value in vars(cls).items() if name not in _BOOKKEEPING)
    return cls.__qualname__, (cls.__bases__, type(cls), *sorted(members, key=lambda item: item[0]))


def _numpy(value):
    """Something of numpy's: its type and its bytes."""
    if isinstance(value, np.dtype):
        return repr(value), (value.metadata,)
    if isinstance(value, np.ndarray) and type(value) is not np.ndarray:  # a mask, a unit
        return f"a {type(value).__qualname__}", None
    parts = (type(value), value.dtype, value.shape, value.flags.fnc)  # sums hang on the order
    if value.dtype.hasobject or value.dtype.kind == "T":  # these hold addresses
        return "", (*parts, value.tolist())
    return "", (*parts, np.ascontiguousarray(value).tobytes())


def _instance(value):
    """Any other object: what would be pickled."""
    reducer = copyreg.dispatch_table.get(type(value))
    try:
        reduced = reducer(value) if reducer else value.__reduce_ex__(4)
        if isinstance(reduced, str):  # a name that must lead to it
            known = getattr(sys.modules[value.__module__], reduced) is value
            return (reduced, (type(value),)) if known else (repr(value), None)
        function, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
        return "", (function, arguments, state, tuple(items or ()), tuple(pairs or ()))
    except Exception:  # whatever an object's own method may raise
        what = value.what if isinstance(value, _Unknown) else f"a {type(value).__qualname__}"
        return what, None


class _Unknown:
    """What code may do that cannot be followed."""

    def __init__(self, what):
        self.what = what

    def __reduce_ex__(self, protocol):
        raise TypeError(self.what)


def _is_importable(value):
    """Whether a function, class or module is the project's and pickled as a name to import."""
    if isinstance(value, types.ModuleType):
        return sys.modules.get(value.__name__) is value
    if not isinstance(value, types.FunctionType | type):
        return False
    return value.__module__ != "__main__" and _is_found(value)


def _is_found(value):
    """Whether the name of an object leads to it."""
    found = sys.modules.get(value.__module__)
    for name in value.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is value


def _installed(value):
    """The full name and release of installed code, else ``None``."""
    if isinstance(value, types.ModuleType):
        release = _release(value.__name__)
        return release and f"{value.__name__} of {release}"
    if isinstance(value, np.ufunc):
        return _ufunc(value)
    if not isinstance(value, type) and not callable(value):
        return None
    module = getattr(value, "__module__", None)
    name = getattr(value, "__qualname__", None)
    if (
        not isinstance(module, str)
        or not isinstance(name, str)
        or not (release := _release(module))
    ):
        return None
    static = isinstance(value, type) and not value.__flags__ & _HEAP  # part of the interpreter
    return f"{module}.{name} of {release}" if static or _is_found(value) else None


def _ufunc(value):
    """The name and release of a ufunc of numpy or scipy; others may hide a Python function."""
    for module in "numpy", "scipy.special":
        if getattr(sys.modules.get(module), value.__name__, None) is value:
            return f"{module}.{value.__name__} of {_release(module)}"
    return None


@functools.cache
def _release(name):
    """The distribution and version that a module is of, ``None`` for one of the project."""
    top = name.partition(".")[0]
    if top in ("__main__", "__mp_main__", __name__.partition(".")[0]):
        return None
    try:
        spec = importlib.util.find_spec(top)
    except ValueError:  # loaded, but from nowhere
        spec = None
    if spec is None:
        return None
    if spec.origin in ("built-in", "frozen"):
        return f"Python {platform.python_version()}"
    origin = Path(spec.origin or next(iter(spec.submodule_search_locations)))
    if {"site-packages", "dist-packages"} & set(origin.parts):
        version = _version(
            top
        )  # not what a module says of itself, which is known once it is loaded
        return version and f"{top} {version}"
    return f"Python {platform.python_version()}" if _STANDARD & set(origin.parents) else None


def _version(top):
    """The version of the distribution that a module is of, ``None`` if there is none."""
    try:
        return importlib.metadata.version(top)
    except importlib.metadata.PackageNotFoundError:  # it has another name
        names = _distributions().get(top, ())
        return ", ".join(map(importlib.metadata.version, sorted(set(names)))) or None


@functools.cache
def _distributions():
    """The distributions of every top-level module: slow to find, so once."""
    return importlib.metadata.packages_distributions()


def _place(path):
    """Where the walk is, for a message."""
    named = [holder for holder, *_ in path if hasattr(holder, "__name__")]
    return f" (in {named[-1].__name__})" if named else ""


def _code(code):
    """The parts of a code object: what it does, not where it was written."""
    yield from (code.co_code, code.co_consts, code.co_names, code.co_varnames, code.co_flags)
    yield from (code.co_freevars, code.co_cellvars, code.co_exceptiontable)
    yield from (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount)


def _set(values):
    """The elements of a set, in an order that does not depend on the process."""
    return sorted(values, key=_order)


def _order(value):
    try:
        return fingerprint("value", value, strict=False)
    except RecursionError:  # a set that can be reached from its element
        return ""


_ATOMS = {
    type(None): repr,
    type(...): repr,
    type(NotImplemented): repr,
    bool: repr,
    int: hex,
    float: float.hex,
    complex: repr,
    str: str,
    bytes: bytes,
    range: repr,
}
_PARTS = {
    tuple: iter,
    list: iter,
    dict: lambda value: (part for item in value.items() for part in item),
    types.MappingProxyType: lambda value: (part for item in value.items() for part in item),
    set: _set,
    frozenset: _set,
    types.FunctionType: _function,
    types.CodeType: _code,
    types.MethodType: lambda value: (value.__func__, value.__self__),
    types.BuiltinMethodType: lambda value: (value.__name__, value.__self__),
    property: lambda value: (value.fget, value.fset, value.fdel),
    classmethod: lambda value: (value.__func__,),
    staticmethod: lambda value: (value.__func__,),
    functools.cached_property: lambda value: (value.func,),
    type(_names): lambda value: (value.__wrapped__,),  # what it remembers follows from its code
    types.MemberDescriptorType: lambda value: (value.__name__,),
}
# No numbers: whether two of these are one object depends on how they came about.
_INLINE = {tuple, frozenset, types.CodeType, types.MappingProxyType}
_BINARY = importlib.machinery.ExtensionFileLoader
_BOOKKEEPING = {
    "__annotations__",
    "__dict__",
    "__weakref__",
    "__module__",
    "__slotnames__",
    "__firstlineno__",
    "__static_attributes__",
    "_abc_impl",
}
_LOAD_GLOBAL, _IMPORT_NAME = dis.opmap["LOAD_GLOBAL"], dis.opmap["IMPORT_NAME"]
_STANDARD = {Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")}
_LOOKUPS = {"eval", "exec", "globals", "__import__"}
_HEAP = 1 << 9
