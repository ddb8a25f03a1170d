"""Timing side by side, and tables."""

import math
import time

TURNS = 6


def in_turns(tasks):
    """Least seconds of each task of a dict, which are run in turns; the first turn warms up."""
    best = dict.fromkeys(tasks, math.inf)
    for turn in range(TURNS):
        for name, task in tasks.items():
            seconds, _ = timed(task)
            if turn:
                best[name] = min(best[name], seconds)
    return best


def timed(task):
    """Seconds of processor time that a task takes, and its result."""
    start = time.process_time()
    result = task()
    return time.process_time() - start, result


def table(heads, rows):
    """Markdown."""
    lines = (heads, ["---"] * len(heads), *rows)
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
