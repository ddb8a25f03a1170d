"""Grade the notebooks in a folder: python grade.py NAME FOLDER."""

import re
import sys
from pathlib import Path

import pandas as pd
from otter.api import grade_submission


def number(notebook):
    """Return the student's number that a notebook states."""
    found = re.search(r"student = (\w+)  #", Path(notebook).read_text(encoding="utf-8"))
    return found[1] if found else "?"


def marks(notebook, autograder):
    """Return {exercise: marks} of a notebook, and the sum."""
    results = grade_submission(str(notebook), str(autograder), quiet=True)
    found = {name: file.score for name, file in results.results.items()}
    return found | {"sum": sum(found.values())}


if __name__ == "__main__":
    name, folder = sys.argv[1], Path(sys.argv[2])
    rows = [
        {"file": path.name, "student": number(path)} | marks(path, f"{name}-autograder.zip")
        for path in sorted(folder.glob("*.ipynb"))
    ]
    table = pd.DataFrame(rows)
    table.to_csv(f"{name}-marks.csv", index=False)
    print(table.to_string(index=False))
