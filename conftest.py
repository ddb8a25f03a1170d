"""What the tests share."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

os.environ["TQDM_DISABLE"] = "1"  # inherited by the kernels that run the chapters

# Timing is measured by `make bench`; the same examples run every time.
settings.register_profile("book", deadline=None, derandomize=True)
settings.load_profile("book")

ROOT = Path(__file__).parent
SOURCES = (
    "intro.md _config.yml _toc.yml references.bib requirements.txt "
    "appendices/*.md chapters/*.ipynb lib/*.py _ext/*.py _static/*"
).split()


@pytest.fixture(scope="session")
def site():
    """Return the folder of the built book, which must have been built since the last edit."""
    built = ROOT / "_build" / ".built"  # made by `make book` when there was no warning
    if not built.exists():
        pytest.fail("the book is not built, or its build had warnings: run `make book`")
    for pattern in SOURCES:
        for source in ROOT.glob(pattern):
            if source.stat().st_mtime > built.stat().st_mtime:
                pytest.fail(f"{source.relative_to(ROOT)} changed after the build: run `make book`")
    return ROOT / "_build" / "html"


@pytest.fixture(scope="session")
def page_files(site):
    """Return the path of every page of the book; what is in `_static` is the theme's."""
    return sorted(path for path in site.rglob("*.html") if "_static" not in path.parts)
