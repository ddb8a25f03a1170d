"""Building and setting up: what is executed again, in which folders, and which torch is taken."""

import ast
import json
import os
import runpy
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote

import pytest
from packaging.requirements import Requirement

from conftest import ROOT

BIN = Path(sys.executable).parent
# A make started here is no part of one that may have started the tests.
ENVIRONMENT = {name: value for name, value in os.environ.items() if "MAKE" not in name}


# ------------------------------------------------------------------------- the executed chapters

CELL = """import os
import sys

with open("runs", "a") as file:
    file.write("x")
if os.path.exists("noise"):
    print("a warning", file=sys.stderr)"""


def write_chapter(folder, text):
    """Write a chapter of one text and one cell, which counts how often it is run."""
    cells = [
        {"cell_type": "markdown", "id": "text", "metadata": {}, "source": text},
        {"cell_type": "code", "id": "code", "metadata": {}, "source": CELL}
        | {"execution_count": None, "outputs": []},
    ]
    notebook = {"cells": cells, "nbformat": 4, "nbformat_minor": 5}
    notebook["metadata"] = {
        "kernelspec": {"name": "python3", "display_name": "Python 3"},
        "language_info": {"name": "python"},
    }
    (folder / "chapter.ipynb").write_text(json.dumps(notebook), encoding="utf-8")


@pytest.fixture
def tiny_book(tmp_path):
    """Return the folder of a book of one chapter, with a library of one file."""
    for name in ("_config.yml", "_ext", "_static", "course", "references.bib"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: chapter\n", encoding="utf-8")
    (tmp_path / "requirements.txt").write_text("numpy\n", encoding="utf-8")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "a.py").write_text('"""A number."""\n\nx = 1\n', encoding="utf-8")
    write_chapter(tmp_path, "# A chapter")
    return tmp_path


def build(folder):
    """Build as `make book` does, and return how often the cell was run until now."""
    command = [BIN / "jupyter-book", "build", "-q", "--all", "-W", "-n", "--keep-going", "."]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return len((folder / "runs").read_text())


def rebuild(folder):
    """Build what changed, as `make serve` does, and return how often the cell was run until now."""
    subprocess.run([BIN / "jupyter-book", "config", "sphinx", "."], cwd=folder, check=True)
    command = [sys.executable, "-m", "sphinx", "-q", ".", "_build/serve"]
    environment = os.environ | {"PYTHONPATH": "_ext"}
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return len((folder / "runs").read_text())


def edit(path, text):
    """Change a file to one that is ten years older."""
    path.write_text(text, encoding="utf-8")
    old = path.stat().st_mtime - 10 * 365 * 24 * 3600
    os.utime(path, (old, old))


def test_make_book_executes_what_changed(tiny_book):
    assert build(tiny_book) == 1
    write_chapter(tiny_book, "# A chapter\n\n[](#nowhere)")
    with pytest.raises(subprocess.CalledProcessError):
        build(tiny_book)
    write_chapter(tiny_book, "# A chapter")
    assert build(tiny_book) == 1  # a warning on the text leaves the outputs as they are
    edit(tiny_book / "lib" / "a.py", "x = 2\n")
    assert build(tiny_book) == 2
    (tiny_book / "lib" / "a.py").unlink()
    (tiny_book / "noise").touch()
    with pytest.raises(subprocess.CalledProcessError):
        build(tiny_book)
    (tiny_book / "noise").unlink()
    assert build(tiny_book) == 4


def test_make_serve_executes_what_changed(tiny_book):
    page = tiny_book / "_build" / "serve" / "chapter.html"
    (tiny_book / "noise").touch()
    assert rebuild(tiny_book) == 1
    assert "output stderr" in page.read_text(encoding="utf-8")
    (tiny_book / "noise").unlink()
    assert rebuild(tiny_book) == 2
    assert "output stderr" not in page.read_text(encoding="utf-8")
    edit(tiny_book / "lib" / "a.py", "x = 2\n")
    assert rebuild(tiny_book) == 3
    os.utime(tiny_book / "lib" / "a.py")
    assert rebuild(tiny_book) == 3


def test_code_is_told_apart_by_name_and_content(tiny_book):
    module = runpy.run_path(ROOT / "_ext" / "digests.py")
    states = []

    def state():
        states.append(module["digests"](tiny_book, module["CODE"]))
        return states[-1]

    assert state().keys() == {"requirements.txt", "lib/a.py"}
    os.utime(tiny_book / "lib" / "a.py")
    assert state() == states[0]
    edit(tiny_book / "requirements.txt", "scipy\n")
    assert state() not in states[:-1]
    edit(tiny_book / "lib" / "a.py", "x = 2\n")
    assert state() not in states[:-1]
    (tiny_book / "lib" / "a.py").rename(tiny_book / "lib" / "b.py")
    assert state() not in states[:-1]
    (tiny_book / "lib" / "b.py").unlink()
    assert state() not in states[:-1]


# -------------------------------------------------------------------------- other folders, no git


@pytest.fixture
def copy(tiny_book, tmp_path_factory):
    """Return a folder with the tiny book and what sets it up, in no repository."""
    folder = shutil.copytree(tiny_book, tmp_path_factory.mktemp("a b ü") / "book")
    for name in ("Makefile", "pyproject.toml", "conftest.py"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "binder", folder / "binder")
    return folder


SCRIPTS = """
import sys
from pip._vendor.distlib.scripts import ScriptMaker

maker = ScriptMaker(None, sys.argv[1])
maker.variants = {""}
maker.make_multiple(["jupyter-book = jupyter_book.cli.main:main", "pytest = pytest:console_main"])
"""


def set_up(folder):
    """Make .venv in a folder as `make` would, with this environment's packages."""
    environment = folder / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    packages = sysconfig.get_path("purelib", vars={"base": str(environment)})
    there = sysconfig.get_path("purelib")
    Path(packages, "there.pth").write_text(f"import site; site.addsitedir({there!r})\n")
    scripts = environment / "bin"
    subprocess.run([scripts / "python", "-c", SCRIPTS, scripts], check=True)
    (scripts / "ruff").symlink_to(BIN / "ruff")
    subprocess.run(["make", "-t", "lint"], cwd=folder, env=ENVIRONMENT, check=True)


def test_a_copy_works_in_any_folder_and_without_git(copy):
    set_up(copy)
    commands = copy.parent / "bin"
    commands.mkdir()
    for name in "cat cksum cut make mkdir mv rm sh test touch".split():
        (commands / name).symlink_to(shutil.which(name))

    def run(*command):
        environment = ENVIRONMENT | {"PATH": str(commands)}
        done = subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, encoding="utf-8"
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run(copy / ".venv" / "bin" / "jupyter-book", "config", "sphinx", ".")
    assert "1 passed" in run("make", "test", "PYTEST_ARGS=chapter.ipynb")
    assert (copy / "_build" / "html" / "chapter.html").exists()
    assert (copy / "runs").read_text() == "x"  # the pages are built from stored outputs
    # What it was built from, for the tests of the pages.
    built = (copy / "_build" / ".built").read_text(encoding="utf-8")
    assert built == run(copy / ".venv" / "bin" / "python", "_ext/digests.py")
    assert {line.split()[1] for line in built.splitlines()} > {"_config.yml", "lib/a.py"}


@pytest.mark.parametrize("target", ["book", "test", "serve", "lint"])
def test_a_folder_that_is_read_only_is_named_in_one_sentence(target):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "book"
        shutil.copytree(ROOT / "binder", folder / "binder")
        for file in ("Makefile", "pyproject.toml", "requirements.txt"):
            shutil.copy(ROOT / file, folder)
        Path(name).chmod(0o755)
        folder.chmod(0o555)
        nobody = {"user": 65534} if os.geteuid() == 0 else {}  # root may write anywhere
        done = subprocess.run(
            ["make", target],
            cwd=folder,
            env=ENVIRONMENT,
            capture_output=True,
            encoding="utf-8",
            **nobody,
        )
        folder.chmod(0o755)
    assert done.returncode
    assert done.stdout.splitlines() == [
        "This folder is read-only: copy the book to one where you may write."
    ]
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith("make: ***")


# --------------------------------------------------------------------------- what the chapters need


def installed_with(names):
    """Return the names of packages and of all that they require, as this environment has them."""
    found, left = set(), {name.lower() for name in names}
    while left:
        name = left.pop()
        found.add(name)
        try:
            lines = metadata.requires(name) or []
        except metadata.PackageNotFoundError:  # for another system
            continue
        requirements = [Requirement(line) for line in lines]
        left |= {
            requirement.name.lower()
            for requirement in requirements
            if not requirement.marker or requirement.marker.evaluate({"extra": ""})
        } - found
    return found


def imported(code):
    """Return the top-level names of the modules that some code imports."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.partition(".")[0]


def test_chapters_and_library_import_what_binder_installs():
    lines = (ROOT / "binder" / "chapters.txt").read_text(encoding="utf-8").splitlines()
    listed = {line.partition("==")[0] for line in lines if "==" in line}
    codes = [path.read_text(encoding="utf-8") for path in (ROOT / "lib").glob("*.py")]
    for path in (ROOT / "chapters").glob("*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        codes += ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    modules = {name for code in codes for name in imported(code)}
    modules -= sys.stdlib_module_names | {"lib"}
    owners, there = metadata.packages_distributions(), installed_with(listed)
    assert {"numpy", "torch"} <= modules
    assert not {name for name in modules if not there & {owner.lower() for owner in owners[name]}}


# ------------------------------------------------------------------------------------- CPU torch


class Index(BaseHTTPRequestHandler):
    """An index of one package: torch, in the builds that the server names."""

    def do_GET(self):
        """Answer with the page on torch, or with an empty build."""
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        if self.path == "/torch/":
            links = (f"<a href='{name}'>{name}</a>" for name in self.server.builds)
            self.wfile.write("".join(links).encode())
        else:
            self.wfile.write(self.server.builds[unquote(self.path).rpartition("/")[2]])

    def log_message(self, *args):
        """Say nothing."""


def torch_build(folder, version):
    """Return the name and the content of an empty build of torch."""
    path = folder / f"torch-{version}-py3-none-any.whl"
    folder = f"torch-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        text = f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n"
        archive.writestr(f"{folder}/METADATA", text)
        archive.writestr(f"{folder}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{folder}/RECORD", "")
    return path.name, path.read_bytes()


@pytest.fixture
def serve(tmp_path):
    """Return a function that starts an index with a version of torch, and returns its address."""
    servers = []

    def start(version):
        server = ThreadingHTTPServer(("127.0.0.1", 0), Index)
        server.builds = dict([torch_build(tmp_path, version)])
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def torch_option(index, platform="linux"):
    """Return what binder/torch_index.py prints on a platform."""
    code = "import runpy, sys, urllib.request; sys.platform = sys.argv.pop(1); sys.argv.pop(0)"
    code += "; runpy.run_path(sys.argv[0], run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", code, platform, ROOT / "binder" / "torch_index.py", index],
        check=True,
        capture_output=True,
        encoding="utf-8",
    )
    assert not done.stderr
    return done.stdout.split()


def torch_taken(ordinary, options, **settings):
    """Return the version of torch that pip would install."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed"]
    command += ["--disable-pip-version-check", "--quiet", "--report", "-"]
    keep = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    settings = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": ordinary, **settings}
    done = subprocess.run(
        [*command, *options, "torch==2.13.0"], env=keep | settings, check=True, capture_output=True
    )
    (found,) = json.loads(done.stdout)["install"]
    return found["metadata"]["version"]


def test_linux_takes_the_cpu_build_of_torch(serve):
    ordinary, cpu = serve("2.13.0"), serve("2.13.0+cpu")
    assert torch_option(cpu) == [f"--extra-index-url={cpu}"]
    assert torch_taken(ordinary, torch_option(cpu)) == "2.13.0+cpu"
    assert torch_option(cpu, platform="darwin") == []
    # An index that the reader names is asked as well, and what it has for CUDA ranks higher.
    theirs = {"PIP_EXTRA_INDEX_URL": serve("2.13.0+cu130")}
    assert torch_taken(ordinary, torch_option(cpu), **theirs) == "2.13.0+cu130"


def test_without_an_answer_the_default_build_is_taken(serve):
    with socket.socket() as refusing, socket.socket() as hanging:
        refusing.bind(("127.0.0.1", 0))
        hanging.bind(("127.0.0.1", 0))
        hanging.listen()
        for server in refusing, hanging:
            start = time.monotonic()
            option = torch_option(f"http://127.0.0.1:{server.getsockname()[1]}")
            assert option == []
            assert time.monotonic() - start < 10
    assert torch_taken(serve("2.13.0"), []) == "2.13.0"
