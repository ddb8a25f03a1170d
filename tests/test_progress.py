"""lib.progress: one bar, on stderr, that leaves nothing behind."""

import os
import subprocess
import sys

import pytest

CODE = """
from lib.progress import progress_bar
bar = progress_bar(2, "a task", {shown})
bar.update(2)
bar.set_postfix(loss="0")
bar.close()
"""


@pytest.mark.parametrize(
    ("shown", "disable", "seen"), [(True, "", True), (False, "", False), (True, "1", False)]
)
def test_a_bar_is_seen_only_where_it_is_wanted(shown, disable, seen):
    environment = {k: v for k, v in os.environ.items() if k != "TQDM_DISABLE"}
    run = subprocess.run(
        [sys.executable, "-c", CODE.format(shown=shown)],
        env=environment | ({"TQDM_DISABLE": disable} if disable else {}),
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == ""
    assert ("a task: 100%" in run.stderr) == seen
    assert seen or run.stderr == ""
    assert run.stderr == "" or run.stderr.splitlines()[-1].strip() == ""  # wiped when done
