"""A pytest plugin that writes down which lines of a chapter's output moved, in which cell.

One JSON object per failed cell is appended to the file that the variable MOVED names.
"""

import difflib
import json
import os

import pytest


def lines(outputs):
    """What a cell printed, figures aside, line by line; an exception counts as output."""
    texts = []
    for output in outputs or []:
        if output.output_type == "error":
            texts.append(f"{output.ename}: {output.evalue}")
        texts.append(output.get("text") or output.get("data", {}).get("text/plain", ""))
    return "\n".join(texts).splitlines()


def difference(stored, new):
    """Pairs of a stored line and the new one in its place; None where there is none."""
    pairs = []
    for kind, a, b, c, d in difflib.SequenceMatcher(None, stored, new, False).get_opcodes():
        if kind != "equal":
            before, after = stored[a:b], new[c:d]
            size = max(len(before), len(after))
            before, after = (part + [None] * (size - len(part)) for part in (before, after))
            pairs += zip(before, after, strict=True)
    return pairs


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item, call):
    if call.excinfo is None or not hasattr(item, "cell"):
        return
    record = {
        "chapter": item.path.stem,
        "cell": item.cell_num,
        "error": str(call.excinfo.value).splitlines()[0],
        "lines": difference(lines(item.cell.outputs), lines(item.test_outputs)),
    }
    with open(os.environ["MOVED"], "a", encoding="utf-8") as file:
        file.write(json.dumps(record, ensure_ascii=False) + "\n")
