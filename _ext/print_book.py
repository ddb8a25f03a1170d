"""Print the book and its cheat-sheet from the built pages, as `make pdf` does.

The articles of the pages are bound into one document, which the system's Chromium prints. So
numbers are those of the pages, links lead within the document, and each font is there once. (In
Sphinx's `singlehtml` sections of one name collide; pages printed singly have links to be mended.)
"""

import os
import shutil
import sys
from contextlib import contextmanager
from html import escape
from io import BytesIO
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import matplotlib
import yaml
from bs4 import BeautifulSoup
from playwright.sync_api import sync_playwright
from pypdf import PdfReader, PdfWriter
from pypdf.generic import Fit
from repository import find_pages

ROOT = Path(__file__).parents[1]
HOST = "http://book/"  # never asked: what a document loads is answered from the pages' folder
FONTS = Path(matplotlib.get_data_path(), "fonts", "ttf")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTH, SHEET_WIDTH = 582, 1062  # pixels between the margins of print.css
CHEAT_SHEET = "course/cheat-sheet"

# What a page folds, what is to be clicked, and what is the page's alone.
NOT_PRINTED = (
    "details, .headerlink, .enlarge, .d-print-none, .to-slides, .toctree-wrapper, script, style"
)
LOADED = "link[rel=stylesheet], script:-soup-contains('MathJax ='), script[src*=mathjax]"

# ---------------------------------------------------------------------------------- the document


def order():
    """Return the book's pages in order: [(caption of the part that one opens, or None; name)]."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    pages = [(None, toc["root"])]
    for part in toc["parts"]:
        first, *others = [chapter["file"] for chapter in part["chapters"]]
        pages += [(part["caption"], first), *[(None, name) for name in others]]
    return pages


def read(site, name):
    """Return a page, parsed."""
    return BeautifulSoup((site / f"{name}.html").read_text(encoding="utf-8"), "html.parser")


def cut(page, name):
    """Return what is printed of a page, all addresses in it whole."""
    article = page.select_one("article")
    for part in article.select(NOT_PRINTED):
        part.decompose()
    for attribute in ("src", "href"):
        for part in article.select(f"[{attribute}]"):
            part[attribute] = urljoin(f"{HOST}{name}.html", part[attribute])
    for heading in article.select("section[id] > :is(h1, h2, h3, h4)"):
        heading["id"] = heading.parent.attrs.pop("id")  # a section may begin on the page before
    for image in article.select("[loading]"):
        del image["loading"]  # what is lazy waits until it is seen
    for span in article.select("span.pre"):
        span.unwrap()
    for part in article.select("[id]"):
        part["id"] = f"{name}.html#{part['id']}"
    article["id"] = f"{name}.html"
    return article


def document(page, body):
    """Return a document that looks as a page does, with another body."""
    head = "".join(map(str, page.select(LOADED))).replace("../", "")
    style = (Path(__file__).with_name("print.css")).read_text(encoding="utf-8")
    return (
        "<!DOCTYPE html><html lang='en' data-theme='light' data-mode='light'>"
        f"<head><meta charset='utf-8'><title>{escape(page.h1.find(string=True))}</title>{head}"
        f"<style>{style}</style></head><body class='bd-content'>{body}</body></html>"
    )


def bind(site):
    """Return the whole book as one document."""
    articles, running = [], []
    for number, (part, name) in enumerate(order()):
        article = cut(read(site, name), name)
        title = article.h1.get_text()
        if number:
            for heading in article.select("h1, h2, h3, h4, h5"):
                heading.name = f"h{int(heading.name[1]) + 1}"  # below that of the part
        if part:
            article.insert(0, BeautifulSoup(f"<h1 class='part'>{part}</h1>", "html.parser"))
        article["style"] = f"page: page-{number}"
        running.append(f"@page page-{number} {{ @top-left {{ content: {css(title)} }} }}")
        articles.append(article)
    link_within(articles)
    body = "".join(map(str, [title_page(), contents(articles), *articles]))
    style = f"<style>{' '.join(running)}</style>"
    return document(read(site, order()[0][1]), style + body)


def cheat_sheet(site):
    """Return the page of all results as a document, which links to the pages if they are known."""
    page = read(site, CHEAT_SHEET)
    article = cut(page, CHEAT_SHEET)
    article["class"] = "cheat-sheet"
    for link in article.select(f"a[href^='{HOST}']"):
        if address():
            link["href"] = link["href"].replace(HOST, address())
        else:
            del link["href"]
    return document(page, article)


def css(text):
    """Return a text as a CSS string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def link_within(articles):
    """Let links to pages lead within the document, and those to what is not there be words."""
    there = {part["id"] for article in articles for part in [article, *article.select("[id]")]}
    for article in articles:
        for link in article.select(f"a[href^='{HOST}']"):
            target = link["href"].removeprefix(HOST)
            if target in there:
                link["href"] = f"#{target}"
            else:
                del link["href"]


def address():
    """Return where the pages are, if the book has a public repository, or None."""
    pages = find_pages(os.environ, ROOT)
    return pages and f"{pages}/"


def title_page():
    """Return the title page: what this is, of which version, and whose."""
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    paper = cited["preferred-citation"]
    *first, last = [f"{who['given-names']} {who['family-names']}" for who in paper["authors"]]
    title, _, rest = cited["title"].partition(": ")
    lines = [
        f"{rest[0].upper()}{rest[1:]} to “{paper['title']}” by {', '.join(first)} and {last}, "
        f"{paper['conference']['name']}",
        f"{', '.join(who['name'] for who in cited['authors'])}. Version {cited['version']}.",
        "Code under the MIT licence, text and figures under CC BY 4.0.",
    ]
    if pages := address():
        lines.append(f'The pages, where pictures move and code runs: <a href="{pages}">{pages}</a>')
    words = "".join(f"<p>{line}</p>" for line in lines)
    logo = f'<img src="{HOST}_static/logo.svg" alt="">'
    return f"<header class='title'>{logo}<p class='title'>{title}</p>{words}</header>"


def contents(articles):
    """Return the table of contents; `print_book` writes the pages into it."""
    rows = []
    for article in articles:
        for heading in article.select("h1, h2, h3"):
            target, level = heading.get("id", article["id"]), heading.name[1]
            rows.append(
                f'<li class="level-{level}"><a href="#{target}" data-level="{level}">'
                f'<span>{heading.decode_contents()}</span><span class="page">000</span></a></li>'
            )
    return f"<nav class='table-of-contents'><h1>Contents</h1><ol>{''.join(rows)}</ol></nav>"


# ---------------------------------------------------------------------------------- the printing

# No line begins with the point behind a formula; what is wider than its place is set smaller.
LAY_OUT = """async () => {
  await window.MathJax?.startup?.promise;
  await document.fonts.ready;
  for (const { typesetRoot: formula } of MathJax.startup.document.math) {
    formula.querySelector("mjx-assistive-mml").remove();
    const [box, next] = [formula.parentElement, formula.parentElement.nextSibling];
    const [mark] = (box.matches("span") && next?.data?.match(/^[.,;:!?)’”]+/)) || [];
    if (mark) {
      const line = document.createElement("span");
      line.style.whiteSpace = "nowrap";
      box.replaceWith(line);
      line.append(box, mark);
      next.data = next.data.slice(mark.length);
    }
  }
  for (const box of document.querySelectorAll("table, mjx-container")) {
    const [room, width] = [box.parentElement.clientWidth, box.scrollWidth];
    if (room && width > room) box.style.fontSize = `${Math.floor((100 * room) / width)}%`;
  }
}"""
ROWS = """() => [...document.querySelectorAll(".table-of-contents a")].map(link => (
  [Number(link.dataset.level), decodeURIComponent(link.hash.slice(1)), link.firstChild.innerText]
))"""
FILL_IN = """numbers => {
  const places = document.querySelectorAll(".table-of-contents .page");
  places.forEach((place, i) => { place.textContent = numbers[i]; });
}"""


@contextmanager
def laid_out(browser, site, html, width):
    """Open a document as it will be printed and return its tab."""
    tab = browser.new_page(viewport={"width": width, "height": 900})
    tab.emulate_media(media="print", color_scheme="light")

    def answer(route):
        path = unquote(urlsplit(route.request.url).path).lstrip("/")
        if not path:
            route.fulfill(body=html, content_type="text/html")
        elif path.startswith("fonts/"):
            route.fulfill(path=FONTS / path.removeprefix("fonts/"))
        else:
            route.fulfill(path=site / path)

    tab.route("**/*", answer)
    tab.goto(HOST)
    tab.evaluate(LAY_OUT)
    yield tab
    tab.close()


def printed(tab, tagged=True):
    """Return the document in a tab as a PDF, read; tags are for those who do not see it."""
    tab.set_default_timeout(0)
    return PdfReader(
        BytesIO(tab.pdf(prefer_css_page_size=True, print_background=True, tagged=tagged))
    )


def places(pdf):
    """Return {name: (page, counted from 0; height on it)} of what links lead to."""
    return {
        unquote(name).lstrip("/"): (pdf.get_destination_page_number(place), place.top)
        for name, place in pdf.named_destinations.items()
    }


def print_book(tab, path):
    """Print the book: once to see on which pages its sections are, and again with their numbers."""
    rows = tab.evaluate(ROWS)
    found = places(printed(tab, tagged=False))
    tab.evaluate(FILL_IN, [found[target][0] + 1 for _, target, _ in rows])
    pdf = PdfWriter(clone_from=printed(tab))
    parents = {}
    for level, target, title in rows:
        page, top = found[target]
        parents[level] = pdf.add_outline_item(
            title=title, page_number=page, fit=Fit.xyz(top=top), parent=parents.get(level - 1)
        )
    save(pdf, path)


def print_cheat_sheet(tab, path):
    """Print the page of all results; print.css brings it on two sides of paper."""
    save(PdfWriter(clone_from=printed(tab)), path)


def save(pdf, path):
    """Write a PDF, the same for the same book: without the hour."""
    for key in ("/CreationDate", "/ModDate"):
        del pdf._info[key]
    pdf.pdf_header = "%PDF-1.7"
    pdf.write(path)


# ------------------------------------------------------------------------------------- the pages


def add_links(site):
    """Link the printed files from the book's first page; where none is printed, no link is dead."""
    path = site / f"{order()[0][1]}.html"
    page = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
    links = (
        "On paper: <a href='book.pdf'>the whole book</a> as one PDF, and "
        "<a href='cheat-sheet.pdf'>all results on two pages</a>."
    )
    line = BeautifulSoup(f"<p class='d-print-none'>{links}</p>", "html.parser")
    page.select_one("article h1").find_next_sibling("p").insert_after(line)
    path.write_text(str(page), encoding="utf-8")


def main():
    """Print from the built pages into their folder."""
    site = ROOT / "_build" / "html"
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        sys.exit(f"To print the book one of these is needed: {', '.join(BROWSERS)}.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        with laid_out(browser, site, bind(site), WIDTH) as tab:
            print_book(tab, site / "book.pdf")
        with laid_out(browser, site, cheat_sheet(site), SHEET_WIDTH) as tab:
            print_cheat_sheet(tab, site / "cheat-sheet.pdf")
        browser.close()
    add_links(site)


if __name__ == "__main__":
    main()
