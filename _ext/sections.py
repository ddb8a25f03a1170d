"""Give the search every section's words: it then leads to the section, also from file://.

Sphinx's own index knows which page a word is on, no more, and fetches pages for their excerpts,
which a browser forbids to pages opened as files. search.js, beside this file, reads what is written
here.
"""

import json
from pathlib import Path

from docutils import nodes

NOT_WORDS = (nodes.literal_block, nodes.math, nodes.math_block, nodes.raw)


def titled(node):
    """Tell whether a node is a section with a title; boxes of exercises and theorems have none."""
    return isinstance(node, nodes.section) and any(isinstance(part, nodes.title) for part in node)


def words(node):
    """Return the text in a node, without its sections, its own title, code and formulas."""
    if isinstance(node, nodes.Text):
        return str(node)
    between = "" if isinstance(node, nodes.TextElement) else " "  # paragraphs stand apart
    return between.join(
        words(part)
        for part in node.children
        if not (isinstance(part, NOT_WORDS) or titled(part))
        and not (isinstance(part, nodes.title) and titled(node))
    )


def sections(doctree):
    """Return [anchor, title, text] for every section of a page."""
    return [
        [part["ids"][0], part.next_node(nodes.title).astext(), " ".join(words(part).split())]
        for part in doctree.findall(titled)
    ]


def write(app, error):
    """Write the words of all pages, and the search in them."""
    if error is None and app.builder.format == "html":
        found = {name: sections(app.env.get_doctree(name)) for name in sorted(app.env.found_docs)}
        data = json.dumps(found, ensure_ascii=False, separators=(",", ":"))
        script = Path(__file__).with_name("search.js").read_text(encoding="utf-8")
        text = f"const SECTIONS = {data};\n\n{script}"
        (Path(app.outdir) / "_static" / "sections.js").write_text(text, encoding="utf-8")


def use(app, page, template, context, doctree):
    """Load them on the search page, after Sphinx's own."""
    if page == "search":
        app.add_js_file("sections.js", loading_method="defer")


def setup(app):
    """Connect to Sphinx."""
    app.connect("html-page-context", use)
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
