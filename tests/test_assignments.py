"""Assignments: what answers are worth, what students get and what they do not."""

import ast
import copy
import re
import subprocess
import sys
import warnings
import zipfile

import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient

from conftest import ROOT

with warnings.catch_warnings():
    # ipylab, which Otter imports, says things about itself.
    warnings.simplefilter("ignore", DeprecationWarning)
    from course import assignments as course
    from course.exercises import exercises
    from course.marks import Grader

STUDENTS = [1, 4711]
ASSIGNMENTS = course.assignments()
QUESTIONS = [(a, q) for a in ASSIGNMENTS for q in a.questions]
each_question = pytest.mark.parametrize(
    "assignment, question", QUESTIONS, ids=[q.exercise.label for _, q in QUESTIONS]
)
each_assignment = pytest.mark.parametrize("assignment", ASSIGNMENTS, ids=lambda a: a.name)
each_student = pytest.mark.parametrize("student", STUDENTS)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Make the assignments and return their folder."""
    folder = tmp_path_factory.mktemp("assignments")
    course.build(folder)
    return folder


def notebook(folder, name):
    """Read a notebook."""
    return nbformat.read(folder / f"{name}.ipynb", 4)


def numbered(source, student):
    """Return a notebook in which the student's number stands."""
    source = copy.deepcopy(source)
    (cell,) = (c for c in source.cells if course.NUMBER in c.source and c.cell_type == "code")
    cell.source = cell.source.replace(course.NUMBER, f"student = {student}")
    return source


# --------------------------------------------------------------------------------------- marks


@each_student
@each_question
def test_answers_get_the_marks_they_deserve(assignment, question, student, built):
    grader, label = Grader(assignment, built), question.exercise.label
    assert grader.marks(question, question.solution, student) == question.points
    assert grader.marks(question, grader.stubs[label], student) == 0
    assert len(question.wrong) == 3
    for wrong in question.wrong:
        assert grader.marks(question, wrong.source, student) == wrong.marks, wrong.because
        assert 0 <= wrong.marks < question.points


@each_question
def test_what_is_visible_is_not_full_marks(assignment, question):
    visible = sum(check.points for check in question.checks if not check.hidden)
    assert 0 < visible <= question.points / 2


@each_question
def test_another_students_number_does_not_pass(assignment, question, built):
    grader, (one, other) = Grader(assignment, built), STUDENTS
    assert grader.values(question, question.solution, one) != grader.values(
        question, question.solution, other
    )
    (copied,) = grader.values(question, question.solution, other).items()
    answer = f"{question.solution}\n\n{copied[0]} = {copied[1]!r}"
    assert grader.marks(question, answer, one) < question.points
    assert grader.marks(question, answer, other) == question.points


@each_assignment
def test_the_lecturers_script_gives_the_same_marks(assignment, built, tmp_path):
    course.lecturer(built, tmp_path / "lecturer.zip")
    with zipfile.ZipFile(tmp_path / "lecturer.zip") as packed:
        packed.extractall(tmp_path)
    empty = notebook(built, assignment.name)
    wrong = copy.deepcopy(empty)
    answers = {q.exercise.label: q.wrong[0].source for q in assignment.questions}
    for cell in wrong.cells:
        cell.source = answers.get(cell.metadata.get("exercise"), cell.source)
    solved = notebook(built, f"{assignment.name}-solution")
    (tmp_path / "in").mkdir()
    for name, source in {"a": solved, "b": empty, "c": wrong}.items():
        nbformat.write(numbered(source, STUDENTS[1]), tmp_path / "in" / f"{name}.ipynb")

    command = [sys.executable, "grade.py", assignment.name, "in"]
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
    found = pd.read_csv(tmp_path / f"{assignment.name}-marks.csv")
    assert list(found["student"]) == [STUDENTS[1]] * 3
    assert list(found["sum"]) == [
        assignment.points,
        0,
        sum(question.wrong[0].marks for question in assignment.questions),
    ]
    for question in assignment.questions:
        assert list(found[question.name]) == [question.points, 0, question.wrong[0].marks]


# ------------------------------------------------------------------------------- what students get


@each_assignment
def test_students_get_neither_solutions_nor_hidden_checks(assignment, built):
    text = (built / f"{assignment.name}.ipynb").read_text(encoding="utf-8")
    for question in assignment.questions:
        for check in question.checks:
            name = ast.parse(check.source).body[0].name
            assert (name in text) == (not check.hidden)
        for line in secret_lines(question.solution):
            assert line not in text
    assert "SOLUTION" not in text and "hidden=True" not in text


def secret_lines(solution):
    """Return the lines of a solution that students are to find."""
    secret, inside = [], False
    for line in solution.splitlines():
        inside = (inside or "BEGIN SOLUTION" in line) and "END SOLUTION" not in line
        if inside and "BEGIN SOLUTION" not in line and len(line.strip()) > 8:
            secret.append(line.strip().replace('"', '\\"'))
        elif line.endswith("# SOLUTION"):
            secret.append(line.removesuffix("  # SOLUTION"))
    assert secret
    return secret


@each_assignment
def test_an_empty_notebook_runs_from_top_to_bottom(assignment, built, tmp_path):
    source = notebook(built, assignment.name)
    NotebookClient(source, timeout=120, resources={"metadata": {"path": tmp_path}}).execute()
    shown = "\n".join(
        output.get("data", {}).get("text/plain", "")
        for cell in source.cells
        if cell.cell_type == "code"
        for output in cell.outputs
    )
    assert shown.count("results:") == len(assignment.questions)
    assert "Test case passed" not in shown


@pytest.mark.parametrize("number", ['"seven"', "1.5", "-1", "True"])
def test_a_number_that_is_none_is_refused(number):
    cell = course.NUMBER_CELL.replace(course.NUMBER, f"student = {number}")
    with pytest.raises(TypeError, match="whole number"):
        exec(cell.split("grader =")[0], {})


@each_assignment
def test_students_read_plain_markdown(assignment, built):
    for cell in notebook(built, assignment.name).cells:
        if cell.cell_type == "markdown":
            assert not re.search(r":::|\{[a-z:]+\}`|\.ipynb\)|\]\(#", cell.source)


def test_links_lead_to_the_online_book():
    links = course.Links("https://someone.github.io/book")
    text = links.plain("{prf:ref}`thm-linear-bias` and [depth](depth.ipynb)", "setting")
    base = "https://someone.github.io/book/chapters"
    assert f"({base}/linear_regression.html#thm-linear-bias)" in text
    assert f"[depth]({base}/depth.html)" in text


# ------------------------------------------------------------------------------------ the course


def test_every_part_has_graded_exercises():
    parts = {exercise.part for exercise in exercises()}
    assert {assignment.part for assignment in ASSIGNMENTS} == parts
    assert len(QUESTIONS) >= 12


def test_chapters_say_what_is_graded_and_what_it_is_worth():
    found = exercises()  # which refuses an exercise that does not say what it is worth
    assert len(found) == len({exercise.label for exercise in found})
    written = [course.markdown(p).count(":::{exercise}") for p in ROOT.glob("chapters/*.ipynb")]
    assert len(found) == sum(written)
    assert {e.label for e in found if e.linked} == {e.label for e in found if e.graded}
    points = {question.exercise.label: question.points for _, question in QUESTIONS}
    assert points == {e.label: e.points for e in found if e.graded}


def test_numbers_are_those_of_the_pages(site):
    for exercise in exercises():
        page = (site / "chapters" / f"{exercise.chapter}.html").read_text(encoding="utf-8")
        (box,) = re.findall(rf'id="{exercise.label}">(.{{,200}})', page, re.S)
        assert f"Exercise {exercise.number} <" in box


def test_solutions_are_in_the_lecturers_archive_only(built, site, tmp_path):
    archive = tmp_path / "lecturer.zip"
    course.lecturer(built, archive)
    with zipfile.ZipFile(archive) as packed:
        names = set(packed.namelist())
    for assignment in ASSIGNMENTS:
        assert f"{assignment.name}-solution.ipynb" in names
        assert f"{assignment.name}-autograder.zip" in names
    assert {"README.md", "grade.py", "wrong.csv"} <= names
    assert {p.name for p in site.glob("assignments/*")} == {
        f"{assignment.name}.ipynb" for assignment in ASSIGNMENTS
    }
    assert not list(site.rglob("*-solution.ipynb"))
