"""Explorers: pictures that a reader can touch, and guesses made before an answer shows.

An admonition of class `explorer` and `explorer-NAME` is made alive by `_static/explorers/NAME.js`;
one of class `guess` asks, by `_static/explorers/guess.js`. They are admonitions, not directives of
their own: JupyterLab shows those as boxes, and an unknown directive as an error. Without scripts
they are what they are there: a still picture or a list, with words.
"""

import re
from pathlib import Path

from docutils import nodes
from sphinx.util import logging

logger = logging.getLogger(__name__)
NAME = re.compile(r"explorer-([a-z]+)")
STATIC = Path(__file__).parents[1] / "_static"


def spare(app, config):
    """Take the scripts off the other pages: Jupyter Book loads all that is in `_static` on each."""
    for files in (config.html_js_files, config.html_css_files):
        files[:] = [file for file in files if not file.startswith("explorers")]


def find(app, doctree, docname):
    """Name each explorer to its script; remember which scripts a page needs."""
    needed = []
    for box in doctree.findall(nodes.Element):
        classes = box.get("classes", [])
        if "guess" in classes:
            needed.append("explorers/guess.js")
        if "explorer" not in classes:
            continue
        names = [match[1] for match in map(NAME.fullmatch, classes) if match]
        scripts = [f"explorers/{name}.js" for name in names]
        if len(names) != 1 or not (STATIC / scripts[0]).is_file():
            logger.warning("an explorer needs one class explorer-NAME that exists", location=box)
        elif not list(box.findall(nodes.image)):
            logger.warning("an explorer needs a still picture", location=box)
        else:
            needed += ["explorers.js", "explorers/kit.js", *scripts]
    app.env.metadata[docname]["scripts"] = list(dict.fromkeys(needed))


def load(app, pagename, templatename, context, doctree):
    """Load on a page what it needs, in order."""
    scripts = app.env.metadata[pagename].get("scripts", []) if doctree is not None else []
    for name in scripts:
        app.add_js_file(name, loading_method="defer")
    if scripts:
        app.add_css_file("explorers/explorers.css")


def setup(app):
    """Connect to Sphinx."""
    app.connect("config-inited", spare)
    app.connect("doctree-resolved", find)
    app.connect("html-page-context", load)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
