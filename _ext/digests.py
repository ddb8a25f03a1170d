"""Digests of what the book is made from: whether it changed is told by contents, never by dates.

`python _ext/digests.py` prints those of the book's sources, as sha256sum would.
"""

from hashlib import sha256
from pathlib import Path

# What the outputs of a chapter depend on, besides its own code.
CODE = ("requirements.txt", "binder/chapters.txt", "lib/*.py")
SOURCES = (
    *CODE,
    "intro.md",
    "_config.yml",
    "_toc.yml",
    "references.bib",
    "appendices/*.md",
    "chapters/*.ipynb",
    "course/**/*.md",
    "course/**/*.py",
    "_ext/*",
    "_static/**/*",
)


def digests(folder, patterns):
    """Return {path in the folder: digest of its contents} for every file that matches."""
    paths = sorted({path for pattern in patterns for path in Path(folder).glob(pattern)})
    return {
        path.relative_to(folder).as_posix(): sha256(path.read_bytes()).hexdigest()
        for path in paths
        if path.is_file()
    }


if __name__ == "__main__":
    for path, digest in digests(Path(__file__).parents[1], SOURCES).items():
        print(f"{digest}  {path}")
