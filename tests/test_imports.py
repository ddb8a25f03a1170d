"""How the library hangs together: theory never loads torch, and imports run one way."""

import ast
import subprocess
import sys
from pathlib import Path

import lib

FILES = {path.stem: path for path in Path(lib.__file__).parent.glob("*.py")}
WITH_TORCH = {"finite_width", "networks", "training"}


def test_theory_never_loads_torch():
    code = "import sys, importlib\nfor name in sys.argv[1:]:\n"
    code += "    importlib.import_module(name)\n    assert 'torch' not in sys.modules, name"
    theory = [f"lib.{name}" for name in sorted(set(FILES) - {"__init__"} - WITH_TORCH)]
    subprocess.run([sys.executable, "-c", code, *theory], check=True)


# The house, from its foundations up: a module imports from lines above its own only.
ORDER = """
checks progress numerics fingerprint
row_space equivalent depth_equation figures features
problem sweep
linear_regression relu embedding similarity datasets
deep_linear bounds exact_risk selection transferability
planning lora forecast comparison real_data shelf networks
coverage lexicon training
finite_width
""".split("\n")[1:-1]


def test_imports_run_one_way():
    level = {name: i for i, line in enumerate(ORDER) for name in line.split()}
    assert set(level) == set(FILES) - {"__init__"}
    for name in level:
        tree = ast.parse(FILES[name].read_text(encoding="utf-8"))
        found = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        used = {alias.name for node in found if node.module == "lib" for alias in node.names}
        used |= {node.module[4:] for node in found if (node.module or "").startswith("lib.")}
        assert all(level[other] < level[name] for other in used), (name, used)


def test_every_module_says_what_it_offers():
    """And has it; what does not begin with an underscore, and is defined there, is offered."""
    for name in sorted(set(FILES) - {"__init__"}):
        tree = ast.parse(FILES[name].read_text(encoding="utf-8"))
        defined = {node.name for node in tree.body if hasattr(node, "name")}
        assigned = [node for node in tree.body if isinstance(node, ast.Assign)]
        values = {ast.unparse(node.targets[0]): node.value for node in assigned}
        defined |= {name for names in values for name in names.strip("()").split(", ")}
        offered = ast.literal_eval(values["__all__"])
        assert offered == sorted(offered), name
        assert set(offered) <= defined, name
        plain = {key for key in defined if key[0] != "_" and key != key.upper()}
        assert name in SEMI_PUBLIC or plain <= set(offered), (name, plain - set(offered))


SEMI_PUBLIC = {
    "equivalent",
    "exact_risk",
    "linear_regression",
    "row_space",
}  # where some names serve other modules
