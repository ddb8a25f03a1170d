"""What the pages promise: the library installs by itself, and a downloaded chapter runs alone."""

import runpy
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from conftest import ROOT

BUILT_FROM = ["pyproject.toml", "README.md", "LICENSE", "LICENSE-TEXT"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Return the library's wheel, built from a copy."""
    folder = tmp_path_factory.mktemp("source")
    for name in BUILT_FROM:
        shutil.copy(ROOT / name, folder)
    for name in ("lib", "data"):
        shutil.copytree(ROOT / name, folder / name)
    command = [sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "-q", "."]
    subprocess.run(command, cwd=folder, check=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """Return a Python that has the wheel, and what it depends on, but no copy of the book."""
    environment = tmp_path_factory.mktemp("alone")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    packages = sysconfig.get_path("purelib", vars={"base": str(environment)})
    # A path in a .pth is searched, but the .pth files there, which name this folder, are not read.
    Path(packages, "there.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    zipfile.ZipFile(wheel).extractall(packages)
    return environment / "bin" / "python"


def run(python, *arguments, cwd):
    """Run Python in a folder, and return what it prints."""
    command = [python, "-W", "error::ResourceWarning", *arguments]
    done = subprocess.run(command, cwd=cwd, env={}, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_installed_library_has_its_data(python, tmp_path):
    code = "from lib import datasets as d; print(d.__file__, len(d.words()['words']))"
    path, words = run(python, "-c", code, cwd=tmp_path).split()
    assert Path(path).is_relative_to(python.parents[1])
    assert int(words) > 8000


@pytest.mark.parametrize("chapter", ["setting", "linear_regression"])
def test_a_downloaded_chapter_runs_in_an_empty_folder(python, tmp_path, chapter):
    shutil.copy(ROOT / "chapters" / f"{chapter}.ipynb", tmp_path)
    command = ["-m", "nbconvert", "--to", "notebook", "--execute", "--inplace", f"{chapter}.ipynb"]
    run(python, *command, cwd=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f"{chapter}.ipynb"]


# --------------------------------------------------------------------------------------- releases


@pytest.fixture
def version(tmp_path):
    """Return a folder with the files that name the version, and the function that reads it."""
    for name in ("pyproject.toml", "CITATION.cff", "CHANGELOG.md"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path, runpy.run_path(ROOT / "_ext" / "release.py")["version"]


def test_package_citation_and_changes_name_one_version(version):
    folder, read = version
    assert read(folder)
    for name in ("CITATION.cff", "CHANGELOG.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        (folder / name).write_text(text.replace(read(folder), "0.0.0", 1), encoding="utf-8")
        with pytest.raises(SystemExit, match=f"{name} speaks of 0.0.0"):
            read(folder)
        (folder / name).write_text(text, encoding="utf-8")
