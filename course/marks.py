"""Grade the answers that stand in ``graded``: solutions, empty notebooks, typical wrong answers.

    python -m course.marks [STUDENT ...]

The checks are those that Otter wrote for the lecturer; they run in this process, without a kernel.
"""

import re
import sys
import tempfile
import zipfile
from contextlib import suppress
from pathlib import Path

import nbformat
import numpy as np
from otter.test_files import ExceptionTestFile

from course.assignments import assignments, build
from lib import figures


class Grader:
    """Grades answers to the questions of one assignment, made in a folder."""

    def __init__(self, assignment, folder):
        """Unpack the checks, and read what students find."""
        self.tests = folder / f"{assignment.name}-tests"
        with zipfile.ZipFile(folder / f"{assignment.name}-autograder.zip") as packed:
            packed.extractall(self.tests)
        notebook = nbformat.read(folder / f"{assignment.name}.ipynb", 4)
        self.stubs = {
            cell.metadata["exercise"]: cell.source
            for cell in notebook.cells
            if "exercise" in cell.metadata
        }

    def names(self, question, answer, student):
        """Return what is defined after a student's numbers were drawn and an answer has run."""
        names = {"np": np, "student": student}
        exec(question.parameters, names)
        with suppress(Exception):  # as in a notebook, of which the next cell runs
            exec(answer, names)
        return names

    def values(self, question, answer, student):
        """Return {name: number} of the number that the student is asked for."""
        asked = re.findall(r"^(\w+) = .*  # SOLUTION$", question.solution, re.M)
        names = self.names(question, answer, student)
        return {name: np.asarray(names[name]).tolist() for name in asked}

    def marks(self, question, answer, student):
        """Return the marks of the code of an answer."""
        names = self.names(question, answer, student)
        checks = ExceptionTestFile.from_file(str(self.tests / "tests" / f"{question.name}.py"))
        checks.run(names)
        return checks.score


def table(students):
    """Return a row for each student and exercise: marks of solution, empty and wrong answers."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        build(folder)
        for assignment in assignments():
            grader = Grader(assignment, folder)
            for question in assignment.questions:
                label = question.exercise.label
                answers = {
                    "solution": (question.solution, question.points),
                    "empty": (grader.stubs[label], 0),
                }
                for number, wrong in enumerate(question.wrong, start=1):
                    answers[f"wrong {number}"] = (wrong.source, wrong.marks)
                for student in students:
                    row = {"exercise": label, "student": student, "points": question.points}
                    for name, (answer, deserved) in answers.items():
                        found = grader.marks(question, answer, student)
                        row[name] = f"{found:g}" + (f" ≠ {deserved}" if found != deserved else "")
                    rows.append(row)
    return rows


if __name__ == "__main__":
    rows = table([int(number) for number in sys.argv[1:]] or [1, 2])
    print(figures.table({key: [row[key] for row in rows] for key in rows[0]}).to_string())
