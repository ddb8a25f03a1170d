"""Make a deck of slides of every chapter whose cells carry tags: nothing is written twice.

A notebook tags its cells, Markdown and code alike:

slide         a slide begins with this cell
slide-more    this cell goes on the slide before
slide-text    as slide-more, and its paragraphs or code stand there, too; with `slide`, one begins

On the slide stands what carries the idea: formulas, boxes, figures, tables, lists, explorers.
Running text and proofs are the speaker's notes, and so is what follows the first sentence of an
advice, and what to try in an explorer. A slide that would have nothing else lists the sentences of
its text. To show less of a cell, split it: the page stays the same.

A deck is written with its chapter, to slides/NAME.html, by the same translator: numbers are those
of the book. Slides stand in as deep a folder as chapters, so the same relative addresses hold.
reveal.js shows them; slides.html, slides.css and slides.js, beside this file, are what it needs.
"""

import json
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import sphinx_revealjs
from docutils import nodes
from docutils.utils import new_document
from sphinx.util import logging
from sphinx_proof.nodes import proof_node

logger = logging.getLogger(__name__)
HERE = Path(__file__).parent
REVEAL = Path(sphinx_revealjs.__file__).parent / "_static" / "revealjs"
FILES = ["LICENSE", "dist/reveal.js", "dist/reveal.css", "plugin/notes/notes.js"]
TAGS = {"slide", "slide-more", "slide-text"}
SAID = (nodes.paragraph, proof_node)
LONG = 2200  # letters of a theorem, formulas as they are written
ADVICE = {"tip", "explorer"}  # boxes that give a slide their title
SENTENCE = re.compile(r"(?<=[.?!])\s+|(?<=[.?!]\))\s+")


@dataclass
class Slide:
    """What stands on a slide, and what is said; both are nodes of the chapter."""

    cell: int
    section: nodes.title
    title: nodes.title
    shown: list = field(default_factory=list)
    said: list = field(default_factory=list)


def tags(path):
    """Return {cell: its tags} of a notebook, for cells on slides; nothing for other files."""
    if Path(path).suffix != ".ipynb":
        return {}
    cells = json.loads(Path(path).read_text(encoding="utf-8"))["cells"]
    found = [TAGS & set(cell["metadata"].get("tags", [])) for cell in cells]
    return {number: those for number, those in enumerate(found) if those}


def blocks(section, title=None):
    """Yield every block of a page with the title of its section."""
    for part in section.children:
        if isinstance(part, nodes.title):
            title = part
        elif isinstance(part, nodes.section) and isinstance(part.next_node(), nodes.title):
            yield from blocks(part)
        elif not isinstance(part, nodes.Invisible):
            yield title, part


def cell_of(block):
    """Return the cell of a block: myst-nb counts the lines of the first cell from 10000 on."""
    lines = (part.line for part in block.findall(nodes.Element))
    return next((line // 10000 - 1 for line in lines if line and line >= 10000), None)


def slides(doctree, tagged):
    """Return the slides of a chapter."""
    made, last = [], None
    for title, block in blocks(doctree):
        cell = cell_of(block)
        its = tagged.get(cell)
        if not its:
            continue
        if cell != last and "slide" in its:
            made.append(Slide(cell, title, title))
        elif not made:
            logger.warning("the first cell on slides needs the tag slide", location=block)
            made.append(Slide(cell, title, title))
        last = cell
        slide = made[-1]
        if title is not slide.section:
            logger.warning("a slide has one heading: split the cell", location=block)
        whole = "slide-text" in its
        if isinstance(block, SAID) and not whole:
            slide.said.append(block)
        elif kinds := ADVICE & set(block.get("classes", [])):
            if not slide.shown:
                slide.title = block.next_node(nodes.title)
            slide.said += [block] if "tip" in kinds else block.findall(nodes.enumerated_list)
            slide.shown.append(shortened(block) if "tip" in kinds else block)
        else:
            slide.shown.append(block if whole else without_code(block))
        if len(block.astext()) > LONG and "proof" in block.get("classes", []):
            slide.shown[-1], rest = halves(slide.shown[-1])
            made.append(Slide(cell, slide.section, slide.title, [rest]))
    for slide in made:
        slide.shown = slide.shown or [listed(slide.said)]
    return made


def halves(box):
    """Return the two halves of a theorem that is too long for a slide, cut where a part begins."""
    box = box.deepcopy()
    inner = box.next_node(nodes.section)
    sizes = [len(part.astext()) for part in inner]
    starts = [k for k, part in enumerate(inner) if re.match(r"\([ivx]+\)", part.astext())]
    middle = min(starts, key=lambda k: abs(sum(sizes[:k]) - sum(sizes[k:])))
    rest = nodes.container("", *inner.children[middle:], classes=["admonition", "proof"])
    inner.children = inner.children[:middle]
    return box, rest


def sentences(paragraph):
    """Return the sentences of a paragraph, each a list of nodes."""
    found = [[]]
    for part in paragraph.children:
        if isinstance(part, nodes.Text):
            first, *others = SENTENCE.split(str(part))
            found[-1].append(nodes.Text(first))
            found += [[nodes.Text(text)] for text in others]
        else:
            found[-1].append(part.deepcopy())
    return [parts for parts in found if "".join(part.astext() for part in parts).strip()]


def listed(paragraphs):
    """Return the list of the sentences of some paragraphs."""
    every = (parts for paragraph in paragraphs for parts in sentences(paragraph))
    items = (nodes.list_item("", nodes.paragraph("", "", *parts)) for parts in every)
    return nodes.bullet_list("", *items)


def shortened(box):
    """Return a copy of a box whose items end after their first sentence."""
    box = box.deepcopy()
    for item in box.findall(nodes.list_item):
        item.children = [nodes.paragraph("", "", *sentences(item.next_node(nodes.paragraph))[0])]
    return box


def without_code(block):
    """Return a copy of a block without the code of its cells."""
    box = nodes.container("", block.deepcopy())
    for cell in list(box.findall(nodes.container)):
        if "cell" in cell["classes"]:
            cell.children = [part for part in cell if "cell_output" in part.get("classes", [])]
    return box.children[0]


def plain(block, docname):
    """Return a copy of a block for a slide: its links lead to the pages, its images are images."""
    box = nodes.container("", block.deepcopy())
    for section in list(box.findall(nodes.section)):  # in theorems; to reveal.js these are slides
        section.replace_self(nodes.container("", *section.children))
    for part in list(box.findall(lambda part: isinstance(part, (nodes.raw, nodes.paragraph)))):
        enlarging = isinstance(part, nodes.raw) and "enlarge" in part.astext()
        if enlarging or "to-slides" in part["classes"]:
            part.parent.remove(part)
    for link in box.findall(nodes.reference):
        if "refid" in link:
            link["refuri"] = f"../{docname}.html#{link['refid']}"
            del link["refid"]
        elif not re.match(r"\w+:|\.\./", link.get("refuri", "../")):
            link["refuri"] = f"../{docname.rpartition('/')[0]}/{link['refuri']}"
    return box.children[0]


def html(builder, docname, parts):
    """Return the HTML of some nodes, by the builder's own translator."""
    document = new_document("slide", builder.docsettings)
    document.extend(plain(part, docname) for part in parts)
    translator = builder.create_translator(document, builder)
    document.walkabout(translator)
    return "".join(translator.body)


def address(docname):
    """Return the page of a chapter's slides."""
    return f"slides/{docname.rpartition('/')[2]}.html"


def link(app, doctree, docname):
    """Add a line that leads to the slides to the box at the top of a chapter."""
    if app.builder.format != "html" or not tags(app.env.doc2path(docname)):
        return
    for box in doctree.findall(nodes.admonition):
        if "glance" in box["classes"]:
            name = nodes.strong("", "Slides")
            refuri = f"../{address(docname)}"
            there = nodes.reference("", "", name, internal=True, refuri=refuri)
            text = nodes.Text(" of this chapter, to teach it from.")
            box.append(nodes.paragraph("", "", there, text, classes=["to-slides"]))
            return


def write(app, pagename, templatename, context, doctree):
    """Write the slides of a chapter, once its own page is translated."""
    tagged = tags(app.env.doc2path(pagename)) if doctree is not None else {}
    if not tagged:
        return
    deck = []
    for slide in slides(doctree, tagged):
        title = nodes.inline("", "", *(part.deepcopy() for part in slide.title.children))
        parts = ([title], slide.shown, slide.said)
        title, shown, said = (html(app.builder, pagename, part) for part in parts)
        deck.append({"cell": slide.cell, "title": title, "shown": shown, "said": said})
    context = {
        **context,
        "number": ".".join(map(str, app.builder.secnumbers.get("", ()))),
        "chapter": app.builder.get_target_uri(pagename),
        "slides": deck,
    }
    page = app.builder.templates.render("slides.html", context)
    path = Path(app.outdir, address(pagename))
    path.parent.mkdir(exist_ok=True)
    path.write_text(page, encoding="utf-8")


def copy(app, error):
    """Copy what slides load, besides what pages have."""
    if error is None and app.builder.format == "html":
        folder = Path(app.outdir, "_static", "slides")
        folder.mkdir(parents=True, exist_ok=True)
        for file in [*(REVEAL / name for name in FILES), HERE / "slides.css", HERE / "slides.js"]:
            shutil.copy(file, folder)


def configure(app, config):
    """Find slides.html here."""
    config.templates_path.append(str(HERE))


def setup(app):
    """Connect to Sphinx."""
    app.connect("config-inited", configure)
    app.connect("doctree-resolved", link)
    app.connect("html-page-context", write, priority=900)  # after what others load on the page
    app.connect("build-finished", copy)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
