"""Give every numbered figure a link that lies over it and leads to the image's own file.

`_static/figures.js` then opens the image on the page, as large as the window; `_static/figures.css`
says what both look like. The image itself keeps its alternative text, the link has a name.
"""

import re
from html import escape
from pathlib import Path

from docutils import nodes
from sphinx.util.osutil import relative_uri

OPENING = re.compile(r'<svg\b[^>]*? width="([\d.]+)pt" height="([\d.]+)pt"')
PIXELS = 96 / 72  # to the point


def add_links(app, doctree, page):
    """Wrap the image of each figure that has a number."""
    if app.builder.format != "html":
        return
    numbers = app.env.toc_fignumbers.get(page, {}).get("figure", {})
    for figure in doctree.findall(nodes.figure):
        image = figure.next_node(nodes.image)
        number = numbers.get(figure["ids"][0]) if figure["ids"] else None
        if image and number:
            reserve_room(image, Path(app.srcdir, image["uri"]))
            file = f"{app.builder.imagedir}/{app.env.images[image['uri']][1]}"
            address = relative_uri(app.builder.get_target_uri(page), file)
            image.replace_self(enlargeable(image, address, ".".join(map(str, number))))


def enlargeable(image, address, number):
    """Return the nodes of an image and its link."""
    label = f"Enlarge figure {number}"
    link = f'<a class="enlarge" href="{escape(address)}" aria-label="{label}"></a>'
    texts = ('<div class="enlargeable">', f"{link}</div>")
    before, after = (nodes.raw("", text, format="html") for text in texts)
    return [before, image.deepcopy(), after]


def reserve_room(image, path):
    """Tell the browser the size of an SVG, so that nothing moves when it arrives."""
    if path.suffix == ".svg" and (size := OPENING.search(path.read_text(encoding="utf-8"))):
        for key, points in zip(("width", "height"), size.groups(), strict=True):
            image[key] = f"{float(points) * PIXELS:.0f}px"


def setup(app):
    """Connect to Sphinx."""
    app.connect("doctree-resolved", add_links)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
