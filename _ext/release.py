"""For `make release`: pack what is built into dist/.

The book's archive has the pages with slides, print and assignments, and the chapters as notebooks;
the solutions of the assignments are in an archive of their own, for lecturers. The library is a
wheel.
"""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
BUILT = ROOT / "_build"
TEXTS = ["README.md", "CHANGELOG.md", "CITATION.cff", "LICENSE", "LICENSE-TEXT"]


def version(root):
    """Return the version of the book, if package, citation and list of changes agree on it."""
    package = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    patterns = {"CITATION.cff": r"^version: (.*)$", "CHANGELOG.md": r"^## (\S+)"}
    for name, pattern in patterns.items():
        found = re.search(pattern, (root / name).read_text(encoding="utf-8"), re.MULTILINE)
        if not found or found[1] != package["version"]:
            said = found[1] if found else "none"
            raise SystemExit(f"{name} speaks of {said}, pyproject.toml of {package['version']}")
    return package["version"]


def pack(name, parts):
    """Write dist/NAME.zip: a folder of that name, with files and folders under new names."""
    folder = BUILT / "release" / name
    shutil.rmtree(folder, ignore_errors=True)
    for inside, path in parts.items():
        (folder / inside).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if path.is_dir() else shutil.copy
        copy(path, folder / inside)
    shutil.make_archive(ROOT / "dist" / name, "zip", folder.parent, name)


def main():
    """Pack everything; what is missing stops it."""
    name = f"finetuning-linear-teachers-{version(ROOT)}"
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    wheel = "-m pip wheel --quiet --no-deps --wheel-dir dist .".split()
    subprocess.run([sys.executable, *wheel], cwd=ROOT, check=True)
    shutil.rmtree(ROOT / "build", ignore_errors=True)  # setuptools leaves it
    chapters = {f"chapters/{path.name}": path for path in (ROOT / "chapters").glob("*.ipynb")}
    texts = {text: ROOT / text for text in TEXTS}
    pack(name, {"pages": BUILT / "html", **chapters, **texts})
    pack(f"{name}-lecturers", {"assignments": BUILT / "course", **texts})
    for path in sorted((ROOT / "dist").iterdir()):
        print(f"{path.relative_to(ROOT)}  {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
