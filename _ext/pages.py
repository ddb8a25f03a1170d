"""Mend the pages that the theme makes: lighter, and readable by everybody.

Every page passes through `amend` before it is written. Styles are in _static/custom.css; what can
only be known in the reader's window is in _static/pages.js.
"""

import re

from bs4 import BeautifulSoup
from sphinx.jinja2glue import BuiltinTemplateLoader

# Pygments marks these, and both of its styles draw them in the colour of the text around them.
UNCOLOURED = "pre span.n, pre span.nn, pre span.p, pre span.w, pre span:empty"


def amend(html):
    """Return a page, mended."""
    # Scripts write these buttons. Their labels must begin with the words shown, for those who speak
    # to their computer; what they show is name enough.
    html = html.replace('title="Search" aria-label="Search" data-bs', 'title="Search" data-bs')
    page = BeautifulSoup(html, "html.parser")
    for step in STEPS:
        step(page)
    return str(page)


def drop_weight(page):
    """Drop what a page would load and not show."""
    for script in page.select("script[src*='fontawesome']"):
        script.decompose()  # 1.5 MB that draw the icons which its style and font draw already
    for font in page.select("link[rel=preload][as=font]"):
        font.decompose()  # the style fetches what is shown; a page from a file may not preload
    for span in page.select(UNCOLOURED):
        span.unwrap()
    for image in page.select("article img[style*=height]"):
        image["loading"] = "lazy"  # those far below wait; their size keeps their place
        for side in ("width", "height"):
            image[side] = re.search(rf"{side}: (\d+)px", image["style"])[1]


def mend_head(page):
    """Say once how wide the page is."""
    for again in page.select("meta[name=viewport]")[1:]:
        again.decompose()


def mend_landmarks(page):
    """Put the logo and the contents into a landmark; the rest of a page is in one."""
    for sidebar in page.select(".bd-sidebar-primary"):
        sidebar["role"], sidebar["aria-label"] = "complementary", "Contents"


def mend_citations(page):
    """Make the entries of the list of citations what a list has; their own role is given up."""
    for entry in page.select("[role=doc-biblioentry]"):
        entry["role"] = "listitem"


def mend_tables(page):
    """Let cells wrap, but not between a number and its error; mend empty corners."""
    for cell in page.select("table.dataframe :is(th, td)"):
        if cell.string:
            if cell.name == "td" and " " not in cell.string:
                cell["class"] = ["number"]  # 1e-07 would break after its sign
            cell.string = cell.string.replace("± ", "±\xa0").replace(" = ", "\xa0=\xa0")
    for corner in page.select("th"):
        if not corner.get_text(strip=True) and not corner.find("img"):
            corner.name = "td"  # a heading of nothing is read as a heading


def fold_solutions(page):
    """Fold solutions with the browser's own <details>: a tap anywhere on the title opens it.

    The title's link back to the exercise would be taken for that tap; it goes to the end.
    """
    for solution in page.select("div.dropdown.admonition"):
        title = solution.select_one(".admonition-title")
        solution.name, title.name = "details", "summary"
        solution["class"] = [name for name in solution["class"] if name != "dropdown"]
        link = title.a
        if link:
            back = page.new_tag("p", attrs={"class": "back d-print-none"})
            back.append(page.new_tag("a", href=link["href"], attrs={"class": link["class"]}))
            back.a.string = f"Back to {link.get_text(strip=True)}"
            solution.append(back)
            link.unwrap()
    for summary in page.select("summary[aria-label]"):
        del summary["aria-label"]  # it hides the words that are shown
    for content in page.select("section:is(#solution-content, #exercise-content, #proof-content)"):
        del content["id"]  # every box of its kind has the same


def break_names(page):
    """Allow long names in tables to break after a dot, a colon or an underscore."""
    for name in page.select("table code .pre, table code:not(:has(.pre))"):
        parts = re.findall(r"[^._:/]+[._:/]*|[._:/]+", name.get_text())
        name.clear()
        for number, part in enumerate(parts):
            if number:
                name.append(page.new_tag("wbr"))
            name.append(part)


STEPS = [
    drop_weight,
    mend_head,
    mend_landmarks,
    mend_citations,
    mend_tables,
    fold_solutions,
    break_names,
]


class Pages(BuiltinTemplateLoader):
    """The templates of the theme, their pages mended."""

    def render(self, template, context):
        """Return a page."""
        html = super().render(template, context)
        return amend(html) if template.endswith(".html") else html


def configure(app, config):
    """Load MathJax in parts (mathjax3_config): its one file has a menu as large as the rest."""
    config.mathjax_path = "mathjax/startup.js"


def setup(app):
    """Connect to Sphinx."""
    app.config.template_bridge = "pages.Pages"
    app.connect("config-inited", configure)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
