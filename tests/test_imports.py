"""How the library hangs together: theory never loads torch, and imports run one way."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import lib

FILES = {path.stem: path for path in Path(lib.__file__).parent.glob("*.py")}
WITH_TORCH = {"networks", "training"}


def test_theory_never_loads_torch():
    code = "import sys, importlib\nfor name in sys.argv[1:]:\n"
    code += "    importlib.import_module(name)\n    assert 'torch' not in sys.modules, name"
    theory = [f"lib.{name}" for name in sorted(set(FILES) - {"__init__"} - WITH_TORCH)]
    subprocess.run([sys.executable, "-c", code, *theory], check=True)


def test_imports_run_one_way():
    imports = {}
    for name, path in FILES.items():
        found = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.ImportFrom)]
        whole = {alias.name for node in found if node.module == "lib" for alias in node.names}
        parts = {n.module[4:] for n in found if (n.module or "").startswith("lib.")}
        imports[name] = whole | parts
    TopologicalSorter(imports).prepare()  # raises on a cycle
    foundations = "checks", "progress", "numerics", "fingerprint"
    assert {name: imports[name] for name in foundations} == dict.fromkeys(foundations, set())
    assert imports["row_space"] == {"numerics"}
    assert imports["problem"] == {"checks", "numerics", "row_space"}
    assert imports["linear_regression"] == {"checks", "problem", "row_space"}
