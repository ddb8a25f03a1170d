"""What is claimed of the explorers' core: drawn in a frame, and the numbers of the library.

Each function returns a table, as Markdown, and its targets: (target, measured, met).
"""

import runpy
import subprocess
import sys
from pathlib import Path

from timing import table

ROOT = Path(__file__).parents[1]
CODE = """
const { linearRisk, deepLinearRisk } = require(process.argv[1]);
const line = (length, value) => Float64Array.from({ length }, (_, i) => value(i));
const [d, sizes] = [10000, line(60, (k) => 0.99 * 10000 ** (k / 59))];
const values = line(d, (i) => 1 / (i + 1));
const [source, target] = [line(d, Math.sin), line(d, Math.cos)];
const tasks = [
  () => linearRisk(values, source, sizes, 0, 0.1),
  () => deepLinearRisk(values, source, target, sizes, 3),
];
for (const task of tasks) {
  const times = [...Array(40)].map(() => {
    const { user, system } = process.cpuUsage();
    task();
    const used = process.cpuUsage({ user, system });
    return (used.user + used.system) / 1000;
  });
  console.log(times.slice(10).sort((a, b) => a - b)[15]); // the median, warm
}
"""


def speed():
    """Milliseconds of a curve; a frame of a page has 16."""
    core = ROOT / "_static" / "explorers.js"
    node = runpy.run_path(core.with_suffix("") / "draw.py")["compute_driver_executable"]()[0]
    run = subprocess.run([node, "-e", CODE, str(core)], check=True, capture_output=True, text=True)
    linear, deep = map(float, run.stdout.split())
    rows = [["linearRisk", f"{linear:.1f}"], ["deepLinearRisk, three layers", f"{deep:.1f}"]]
    target = ("explorers, d = 10 000 × 60 sizes: under 16 ms", f"{linear:.1f} ms", linear < 16)
    return table(["function", "ms"], rows), [target]


def agreement():
    """The largest differences from the library, over the cases of the tests."""
    sys.path.append(str(ROOT / "tests"))
    import test_explorers as tests

    found = {kind: tests.differences(kind) for kind in tests.DRAWN}
    rows = [[kind, off.size, f"{off.max():.0e}"] for kind, off in found.items()]
    worst = max(off.max() for off in found.values())
    target = ("explorers: the numbers of lib to 1e-9", f"{worst:.0e}", bool(worst < 1e-9))
    return table(["function", "cases", "largest relative difference"], rows), [target]
