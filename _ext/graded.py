"""Tables of the course: `{assignments}` lists the notebooks, `{exercises}` every exercise."""

import sys
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

sys.path.append(str(Path(__file__).parents[1]))
from course.assignments import assignments  # noqa: E402
from course.exercises import exercises  # noqa: E402


def table(headings, rows):
    """Return the lines of a Markdown table."""
    rule = ["---:" if heading in {"Points", "Minutes"} else ":---" for heading in headings]
    return [f"| {' | '.join(map(str, cells))} |" for cells in (headings, rule, *rows)]


class Table(SphinxDirective):
    """A table written anew for each build."""

    def run(self):
        """Parse the table as Markdown."""
        for exercise in exercises():
            self.env.note_dependency(f"chapters/{exercise.chapter}.ipynb")
            if exercise.graded:
                self.env.note_dependency(str(exercise.source))
        holder, text = nodes.Element(), StringList(self.lines(), source="")
        self.state.nested_parse(text, self.content_offset, holder)
        return holder.children


class Assignments(Table):
    """The notebooks."""

    def lines(self):
        """Return a row for each assignment."""
        headings = ["Notebook", "Exercises", "Points", "Minutes"]
        link = '<a href="../assignments/{}.ipynb" download>{}</a>'
        rows = [
            [
                link.format(assignment.name, assignment.part),
                ", ".join(
                    f"{{ref}}`{exercise.number} <{exercise.label}>`"
                    for exercise in (question.exercise for question in assignment.questions)
                ),
                assignment.points,
                assignment.minutes,
            ]
            for assignment in assignments()
        ]
        return table(headings, rows)


class Exercises(Table):
    """The exercises."""

    def lines(self):
        """Return a row for each exercise."""
        headings = ["Exercise", "About", "Difficulty", "Points", "Minutes", "Graded"]
        rows = [
            [
                f"{{ref}}`{exercise.number} <{exercise.label}>`",
                exercise.name,
                exercise.level,
                exercise.points,
                exercise.minutes,
                "yes" if exercise.graded else "no",
            ]
            for exercise in exercises()
        ]
        return table(headings, rows)


def setup(app):
    """Connect to Sphinx."""
    app.add_directive("assignments", Assignments)
    app.add_directive("exercises", Exercises)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
