"""The exercises of the chapters: what they ask, how hard they are, what they are worth.

The first line of an exercise is ``*Level · N points · N minutes*``, with a link at its end where
the exercise is graded.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
GRADED = Path(__file__).parent / "graded"
LEVELS = ("Easy", "Medium", "Hard")
EXERCISE = re.compile(
    r"^:::\{exercise\} (?P<name>[^\n]+)\n:label: (?P<label>\S+)\n\n(?P<body>.*?)^:::$", re.M | re.S
)
WORTH = re.compile(
    rf"\*(?P<level>{'|'.join(LEVELS)}) · (?P<points>\d+) points? · (?P<minutes>\d+) minutes"
    r"(?P<graded> · \[graded\]\(\.\./course/assignments\.md\))?\*\n\n"
)


@dataclass(frozen=True)
class Exercise:
    """An exercise of a chapter."""

    label: str
    name: str
    part: str
    chapter: str  # the file's name, without its ending
    title: str  # of the chapter
    number: str  # as the page shows it
    level: str
    points: int
    minutes: int
    question: str  # Markdown of the chapter
    linked: bool  # says on its page that it is graded

    @property
    def source(self):
        """The file that says what students write and how it is checked, if there is one."""
        return GRADED / f"{self.label}.py"

    @property
    def graded(self):
        """Whether the exercise stands in an assignment."""
        return self.source.exists()


def markdown(path):
    """Return the Markdown cells of a notebook, joined."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")


def exercises():
    """Return all exercises, in the order of the book."""
    found, chapters = [], 0
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    for part in toc.get("parts", []):
        for entry in part["chapters"]:
            path = (ROOT / entry["file"]).with_suffix(".ipynb")
            if not path.exists():
                continue
            text = markdown(path)
            title = re.search(r"^# (.+)$", text, re.M)[1]
            chapters += 1
            for count, match in enumerate(EXERCISE.finditer(text), start=1):
                worth = WORTH.match(match["body"])
                if worth is None:
                    raise ValueError(f"{match['label']} does not begin with what it is worth")
                found.append(
                    Exercise(
                        label=match["label"],
                        name=match["name"],
                        part=part["caption"],
                        chapter=path.stem,
                        title=title,
                        number=f"{chapters}.{count}",
                        level=worth["level"],
                        points=int(worth["points"]),
                        minutes=int(worth["minutes"]),
                        question=match["body"][worth.end() :].strip(),
                        linked=worth["graded"] is not None,
                    )
                )
    return found
