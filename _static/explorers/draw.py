"""Draw the still picture of each explorer: python _static/explorers/draw.py.

Node draws them with the code that draws the live ones. It is the one that Playwright brings along.
"""

import json
import subprocess
from pathlib import Path

from playwright._impl._driver import compute_driver_executable

HERE = Path(__file__).parent
SCRIPT = """
const here = process.argv[1];
global.LinearTeachers = require(`${here}/../explorers.js`);
require(`${here}/kit.js`);
const names = JSON.parse(process.argv[2]);
for (const name of names) require(`${here}/${name}.js`);
const { explorers, kit } = LinearTeachers;
const pictures = names.map((name) => [name, kit.still(explorers[name])]);
console.log(JSON.stringify(Object.fromEntries(pictures)));
"""


def names():
    """Return the names of the explorers."""
    return sorted(path.stem for path in HERE.glob("*.js") if path.stem not in ("guess", "kit"))


def stills():
    """Return {name: SVG} of every explorer."""
    node = compute_driver_executable()[0]
    command = [node, "-e", SCRIPT, str(HERE), json.dumps(names())]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    for name, picture in stills().items():
        (HERE / f"{name}.svg").write_text(picture, encoding="utf-8")
