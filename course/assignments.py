"""Make the assignments: notebooks for students, and what the lecturer grades them with.

    python -m course.assignments

Each part of the book has one. Its questions are pulled from the chapters, what students write and
how it is checked is in ``graded/LABEL.py``. Otter-Grader makes the two notebooks of each; it was
chosen because its checks run inside the notebook, so students need neither a server nor an account.

Students' notebooks go to ``_build/html/assignments``, the rest to ``_build/course/lecturer.zip``.
"""

import ast
import os
import re
import runpy
import shutil
import tempfile
import textwrap
import zipfile
from dataclasses import dataclass
from importlib.metadata import version
from itertools import groupby
from pathlib import Path

import jupytext
import nbformat
import pandas as pd
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_raw_cell
from otter.assign import main as otter_assign

from course.exercises import ROOT, Exercise, exercises, markdown

STUDENTS = ROOT / "_build" / "html" / "assignments"
LECTURER = ROOT / "_build" / "course" / "lecturer.zip"
OTTER = f"otter-grader=={version('otter-grader')}"
NUMBER = "student = 0"

START = """\
# Assignment: {part}

{count} exercises, {points} points, about {minutes} minutes. Each is an exercise of the book, taken
further: you write a function, and use it on numbers that were drawn for you alone.

1. Run the first two code cells. In the second, put your own number in the place of 0, and run it
   again: all numbers below depend on it.
2. In each exercise run the cell with your numbers first: exercises share names such as `X`. Write
   your answer where it says `...`, and run the cell below it. It shows what is visible of
   the checks: that your function returns the right kind of thing, and is right in a simple case.
   *That is not full marks.* The hidden checks call your function with other inputs, of other
   sizes, and compare your number with another computation.
3. When you are done, restart the kernel and run all cells. Save the notebook (in Colab, download
   it as `.ipynb`), put your number into its name, and hand in this one file.

Each exercise first quotes the question as the chapter puts it; what is graded is the code below
it. NumPy is all you need. It is imported as `np`; do not rename what the cells define.

Symbols are those of the book: $X$ has a sample in each row and $y$ the labels, $\\theta_S$ and
$\\theta_T$ are source and target, $u = \\theta_T - \\theta_S$ is the gap, $\\Sigma =
\\mathbb{{E}}\\,xx^\\top$, $P_\\parallel$ projects on the rows of $X$ and $P_\\perp$ on what is
orthogonal to them, the blind spot. The risk of $\\theta$ is $(\\theta - \\theta_T)^\\top\\Sigma
(\\theta - \\theta_T)$; nothing is centred.
"""

NUMBER_CELL = f"""\
import numpy as np
import otter

{NUMBER}  # your number, as your lecturer gave it to you

if type(student) is not int or student < 0:
    raise TypeError("student must be a whole number, such as student = 4711")
grader = otter.Notebook(tests_dir="checks-{{name}}")"""

INSTALL = f"""\
# Installs the grader where it is missing, and writes down the visible checks.
# You need not read this.
from importlib.util import find_spec
from pathlib import Path

if find_spec("otter") is None:
    %pip install --quiet {OTTER}

folder = Path("checks-{{name}}")
folder.mkdir(exist_ok=True)
"""

README = """\
The lecturer's half of the assignments
======================================

For each part of the book: `NAME-solution.ipynb`, the notebook with solutions and all checks, and
`NAME-autograder.zip`, which grades. To grade a folder of notebooks, with no server and no Docker:

    pip install OTTER numpy pandas
    python grade.py NAME FOLDER

Run it where these files are. NAME is one of

    NAMES

It prints a line for each notebook, with the student's number as the notebook states it and the
marks of each exercise, and writes `NAME-marks.csv` beside the files. Compare the numbers with your
list: whoever copies a notebook copies its number. To set a part of an assignment, name the
exercises that count.

Students' code runs on your machine, with your rights. Do it where that does no harm, or let
`otter grade -n NAME -a NAME-autograder.zip FOLDER` run each notebook in a container (this needs
Docker). The checks run beside what they check, so code that is meant to deceive them can: look into
the notebooks that have full marks.

Hidden checks use inputs that students do not see, the same on each run, so that marks do not depend
on luck. They draw the student's numbers anew: what a notebook says of these does not matter.

In `wrong.csv` are typical wrong answers, what they are worth, and which misconception each stands
for.
"""


@dataclass(frozen=True)
class Check:
    """A check: the source of a function, its points, and whether students see it."""

    source: str
    points: int
    hidden: bool


@dataclass(frozen=True)
class Wrong:
    """A typical wrong answer, the marks it deserves, and the misconception."""

    source: str
    marks: int
    because: str


def name_of(node):
    """Return the name that a statement defines: a function's, or that of a number."""
    return node.name if isinstance(node, ast.FunctionDef) else node.targets[0].id


class Question:
    """A graded exercise, read from its file."""

    def __init__(self, exercise: Exercise):
        """Read the cells of the file: task, parameters, solution, checks, wrong answers."""
        self.exercise = exercise
        self.name = exercise.label.removeprefix("ex-").replace("-", "_")
        self.checks, self.wrong = [], []
        for cell in jupytext.read(exercise.source, fmt="py:percent").cells:
            data = dict(cell.metadata)
            kind = data.pop("title")
            if cell.cell_type == "markdown":
                self.title, self.task = kind, cell.source
            elif kind == "check":
                hidden = data.get("hidden", False)
                self.checks.append(Check(cell.source, data["points"], hidden))
            elif kind == "wrong":
                source = f"{cell.source}\n\n\n{self._numbers(cell.source)}"
                self.wrong.append(Wrong(source, **data))
            else:
                setattr(self, kind, cell.source)  # parameters, solution

    @property
    def points(self):
        """Return the sum of the points of all checks."""
        return sum(check.points for check in self.checks)

    def _numbers(self, source):
        """Return what the solution does with its functions, for a wrong answer to do the same."""
        lines, kept = self.solution.splitlines(), []
        defined = set(map(name_of, ast.parse(source).body))
        for node in ast.parse(self.solution).body:
            if name_of(node) not in defined:
                kept += lines[node.lineno - 1 : node.end_lineno]
        return re.sub(r"  # SOLUTION.*$", "", "\n".join(kept), flags=re.M)

    def test(self, check):
        """Return a check as Otter reads it; one that asks for `student` has the parameters."""
        tree = ast.parse(check.source).body[0]
        body = "\n".join(check.source.splitlines()[tree.body[0].lineno - 1 :])
        head = "import numpy as np\n"
        if "student" in {argument.arg for argument in tree.args.args}:
            head += self.parameters + "\n"
        config = f'""" # BEGIN TEST CONFIG\npoints: {check.points}\nhidden: {check.hidden}\n'
        return (
            f'{config}""" # END TEST CONFIG\n'
            f"def {tree.name}({ast.unparse(tree.args)}):\n"
            f"{textwrap.indent(head, '    ')}{body}"
        )

    def cells(self, links):
        """Return the cells of the master notebook."""
        exercise = self.exercise
        chapter = links.page(exercise.chapter, exercise.title, exercise.label)
        worth = f"*{exercise.level} · {self.points} points · {exercise.minutes} minutes*"
        asked = textwrap.indent(links.plain(exercise.question, exercise.chapter), "> ")
        task = links.plain(self.task, exercise.chapter)
        yield new_raw_cell(f"# BEGIN QUESTION\nname: {self.name}")
        yield new_markdown_cell(
            f"## Exercise {exercise.number}: {self.title}\n\n{worth}\n\n"
            f"From the chapter {chapter}:\n\n{asked}\n\n{task}"
        )
        yield new_code_cell(self.parameters)
        yield new_raw_cell("# BEGIN SOLUTION")
        yield new_code_cell(self.solution, metadata={"exercise": exercise.label})
        yield new_raw_cell("# END SOLUTION")
        yield new_raw_cell("# BEGIN TESTS")
        for check in self.checks:
            yield new_code_cell(self.test(check))
        yield new_raw_cell("# END TESTS")
        yield new_raw_cell("# END QUESTION")


class Links:
    """Turn the chapters' references into links to the online book, or into words if it has none."""

    PROOFS = re.compile(
        r"^:{3,}\{(?:prf:)?(?P<kind>\w+)\} ?(?P<title>[^\n]*)\n(?::\w+:[^\n]*\n)*?"
        r":label: (?P<label>\S+)$",
        re.M,
    )
    EQUATION = re.compile(r"\$\$((?:(?!\$\$).)*?)\$\$ \((eq-[\w-]+)\)", re.S)

    def __init__(self, book=None):
        """Collect what can be referred to; `book` is the address of the online book."""
        self.book = book
        self.titles, self.places, self.equations = {}, {}, {}
        for path in sorted((ROOT / "chapters").glob("*.ipynb")):
            text = markdown(path)
            self.titles[path.stem] = re.search(r"^# (.+)$", text, re.M)[1]
            for match in self.PROOFS.finditer(text):
                title = match["title"].strip() or match["kind"]
                self.places[match["label"]] = (path.stem, match["kind"], title)
            for formula, label in self.EQUATION.findall(text):
                self.equations[label] = " ".join(formula.split()).rstrip(" .,")

    def page(self, chapter, words, anchor=None):
        """Return words that link to a chapter."""
        if self.book is None:
            return f"*{words}*"
        return f"[{words}]({self.book}/chapters/{chapter}.html{f'#{anchor}' if anchor else ''})"

    def plain(self, text, chapter):
        """Return Markdown that any notebook shows: no roles, no links within the book."""

        def proof(match):
            place, kind, title = self.places[match[1]]
            return f"the {kind} {self.page(place, title, match[1])}"

        def link(match):
            words, target = match[1], match[2]
            if target.endswith(".ipynb"):
                return self.page(target.removesuffix(".ipynb"), words)
            return self.page(self.places[target.lstrip("#")][0], words, target.lstrip("#"))

        text = re.sub(r"\{prf:ref\}`([^`]+)`", proof, text)
        text = re.sub(r"\{eq}`([^`]+)`", lambda m: f"${self.equations[m[1]]}$", text)
        figure = "a figure of the chapter"
        text = re.sub(r"\{numref}`([^`]+)`", lambda m: self.page(chapter, figure, m[1]), text)
        return re.sub(r"\[([^]]+)\]\((?!https?:)([^)]+)\)", link, text)


@dataclass(frozen=True)
class Assignment:
    """The graded exercises of one part of the book."""

    part: str
    questions: tuple

    @property
    def name(self):
        """Return the part's name, as a file is named."""
        return self.part.lower().replace(" ", "-")

    @property
    def points(self):
        """Return the points of all exercises."""
        return sum(question.points for question in self.questions)

    @property
    def minutes(self):
        """Return the minutes that they take together."""
        return sum(question.exercise.minutes for question in self.questions)

    def master(self, links):
        """Return the notebook that Otter makes the two others from."""
        config = {"name": self.name, "init_cell": "false", "export_cell": "false"}
        lines = [f"{key}: {value}" for key, value in config.items()]
        lines += ["tests:", "  files: true", "  ok_format: false"]
        start = START.format(
            part=self.part, count=len(self.questions), points=self.points, minutes=self.minutes
        )
        hidden = {"tags": ["otter_ignore"], "jupyter": {"source_hidden": True}}
        cells = [
            new_raw_cell("\n".join(["# ASSIGNMENT CONFIG", *lines])),
            new_markdown_cell(start),
            new_code_cell(INSTALL.format(name=self.name), metadata=hidden),
            new_code_cell(NUMBER_CELL.format(name=self.name)),
        ]
        for question in self.questions:
            cells += question.cells(links)
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        return new_notebook(
            cells=cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}}
        )

    def build(self, folder, links):
        """Write NAME.ipynb, NAME-solution.ipynb and NAME-autograder.zip into a folder."""
        with tempfile.TemporaryDirectory() as made:
            made = Path(made)
            master = made / f"{self.name}.ipynb"
            nbformat.write(self.master(links), master)
            otter_assign(str(master), str(made / "otter"), no_pdfs=True, no_run_tests=True)
            for half, end in [("student", ""), ("autograder", "-solution")]:
                notebook = nbformat.read(made / "otter" / half / master.name, 4)
                with_checks(notebook, made / "otter" / half / "tests")
                nbformat.write(notebook, folder / f"{self.name}{end}.ipynb")
            (grader,) = (made / "otter" / "autograder").glob("*.zip")
            shutil.copy(grader, folder / f"{self.name}-autograder.zip")


def with_checks(notebook, tests):
    """Let the notebook carry the files of its checks, which Colab would not have."""
    (cell,) = (c for c in notebook.cells if "otter_ignore" in c.metadata.get("tags", []))
    for path in sorted(tests.glob("*.py")):
        text = path.read_text(encoding="utf-8").strip()
        cell.source += f"\n(folder / {path.name!r}).write_text(r'''{text}\n''')\n"
    cell.source = cell.source.strip()


def assignments():
    """Return the assignments, in the order of the book."""
    graded = (exercise for exercise in exercises() if exercise.graded)
    return [
        Assignment(part, tuple(map(Question, members)))
        for part, members in groupby(graded, key=lambda exercise: exercise.part)
    ]


def build(folder):
    """Make all assignments in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    repository = runpy.run_path(ROOT / "_ext" / "repository.py")
    links = Links(repository["find_pages"](os.environ, ROOT))
    for assignment in assignments():
        assignment.build(folder, links)


def lecturer(folder, archive):
    """Pack what lecturers get."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(folder.iterdir()):
            packed.write(path, path.name)
        packed.write(Path(__file__).with_name("grade.py"), "grade.py")
        names = "  ".join(assignment.name for assignment in assignments())
        packed.writestr("README.md", README.replace("OTTER", OTTER).replace("NAMES", names))
        rows = [
            (question.exercise.label, wrong.marks, question.points, wrong.because)
            for assignment in assignments()
            for question in assignment.questions
            for wrong in question.wrong
        ]
        table = pd.DataFrame(rows, columns=["exercise", "marks", "of", "misconception"])
        packed.writestr("wrong.csv", table.to_csv(index=False))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        build(Path(made))
        STUDENTS.mkdir(parents=True, exist_ok=True)
        for assignment in assignments():
            shutil.copy(Path(made) / f"{assignment.name}.ipynb", STUDENTS)
        lecturer(Path(made), LECTURER)
    for path in (STUDENTS, LECTURER):
        print(f"Wrote {path.relative_to(ROOT)}")
