"""The printed book and its cheat-sheet, printed once and read back."""

import re
import runpy
import shutil
from collections import namedtuple
from importlib import import_module

import pytest
import yaml
from bs4 import BeautifulSoup
from pypdf import PdfReader

from conftest import CHROMIUM, ROOT

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(ROOT / "_ext")
    printing = runpy.run_path(ROOT / "_ext" / "print_book.py")

STATEMENTS = ".proof[id]:has(> .admonition-title)"
Printed = namedtuple("Printed", "pdf state")

# What leans out of its place, by more than a slanted letter does, or is not drawn as it should be.
STATE = """() => {
  const all = selector => [...document.querySelectorAll(selector)];
  const wide = all("body *:not(mjx-container *)").filter(part => {
    const [at, page] = [part.getBoundingClientRect(), document.documentElement.clientWidth];
    return at.width && (at.left < -2 || at.right > page + 2);
  });
  return {
    wide: wide.map(part => part.outerHTML.slice(0, 200)),
    formulas: all(".math").length,
    plain: all(".math").filter(part => !part.querySelector("mjx-container")).length,
    wrong: all("mjx-merror").length,
    missing: [...document.images].filter(image => !image.naturalWidth).map(image => image.src),
    colour: getComputedStyle(document.body).color,
    smallest: Math.min(...all("table, mjx-container").map(part => (
      parseFloat(part.style.fontSize || "100")))),
  };
}"""


def solid(text):
    """Return a text without the spaces, which a PDF does not have where a line ends."""
    return re.sub(r"\s", "", text)


def show(site, browser, path, html, width, write):
    """Print a document to a path; return the PDF, read, and how the document was laid out."""
    with printing["laid_out"](browser, site, html, width) as tab:
        state = tab.evaluate(STATE)
        write(tab, path)
    return Printed(PdfReader(path), state)


@pytest.fixture(scope="module")
def book(site, browser, tmp_path_factory):
    """Print the book."""
    path, html = tmp_path_factory.mktemp("print") / "book.pdf", printing["bind"](site)
    return show(site, browser, path, html, printing["WIDTH"], printing["print_book"])


@pytest.fixture(scope="module")
def sheet(site, browser, tmp_path_factory):
    """Print the cheat-sheet."""
    path, html = tmp_path_factory.mktemp("print") / "sheet.pdf", printing["cheat_sheet"](site)
    write = printing["print_cheat_sheet"]
    return show(site, browser, path, html, printing["SHEET_WIDTH"], write)


@pytest.fixture(scope="module")
def texts(book):
    """Return the text of each page of the book."""
    return [solid(page.extract_text()) for page in book.pdf.pages]


@pytest.fixture(scope="module")
def articles(site):
    """Return {name: article} of the built pages, in the book's order."""
    names = [name for _, name in printing["order"]()]
    return {name: printing["read"](site, name).select_one("article") for name in names}


@pytest.fixture(scope="module")
def chapters(book, texts, articles):
    """Return {name: text of all its pages} of the printed book."""
    found = printing["places"](book.pdf)
    first = [
        found[f"{name}.html#{article.section['id']}"][0] for name, article in articles.items()
    ] + [len(texts)]
    assert first == sorted(first)
    return {
        name: "".join(texts[start:end])
        for name, start, end in zip(articles, first, first[1:], strict=False)
    }


def outline(items, level=0):
    """Return [(level, title, destination)] of all bookmarks."""
    for item in items:
        if isinstance(item, list):
            yield from outline(item, level + 1)
        else:
            yield level, item.title, item


def heading(tag):
    """Return what a heading says, without its link."""
    return solid("".join(text for text in tag.strings if text != "#"))


def test_title_page_says_what_this_is(book, texts):
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    for words in (
        "Fine-tuning with linear teachers",
        cited["preferred-citation"]["title"],
        *(author["family-names"] for author in cited["preferred-citation"]["authors"]),
        f"Version {cited['version']}",
        "MIT",
        "CC BY 4.0",
    ):
        assert solid(words) in texts[0]
    assert book.pdf.metadata.title == "Fine-tuning with linear teachers"
    assert "/CreationDate" not in book.pdf.metadata
    assert book.pdf.trailer["/Root"]["/Lang"] == "en"


def test_bookmarks_are_the_headings_of_the_pages(book, articles):
    expected = []
    for (part, name), article in zip(printing["order"](), articles.values(), strict=True):
        below = name != "intro"
        expected += [(0, solid(part))] if part else []
        expected += [(int(tag.name[1]) - 1 + below, heading(tag)) for tag in article.select("h1")]
        expected += [(1 + below, heading(tag)) for tag in article.select("h2")]
    found = [(level, solid(title)) for level, title, _ in outline(book.pdf.outline)]
    assert [entry for entry in found if entry in expected] == expected
    assert len(found) == len(expected)


def test_contents_name_the_pages_where_sections_are(book, texts):
    marks = list(outline(book.pdf.outline))
    start = min(book.pdf.get_destination_page_number(mark) for *_, mark in marks)
    contents = "".join(texts[1:start])
    for _, title, mark in marks:
        page = book.pdf.get_destination_page_number(mark)
        assert solid(title) in texts[page], title
        assert f"{solid(title)}{page + 1}" in contents, title
    assert all(str(number) in text for number, text in enumerate(texts[1:], start=2))


def test_theorems_and_figures_have_the_numbers_of_the_pages(articles, chapters):
    count = 0
    for name, article in articles.items():
        for folded in article.select("details"):
            folded.decompose()
        for tag in article.select(".proof > .admonition-title, .exercise > .admonition-title"):
            count += 1
            assert solid(tag.get_text()).split("(")[0] in chapters[name], tag
        for tag in article.select("figcaption .caption-number, .eqno"):
            count += 1
            assert solid(tag.get_text().replace("#", "")) in chapters[name], tag
    assert count > 100


def test_links_lead_within_the_book_or_outward(book, texts, articles):
    titles = {
        f"{name}.html#{tag['id']}": solid(tag.select_one(".admonition-title").get_text())
        for name, article in articles.items()
        for tag in article.select(STATEMENTS)
    }
    found, met = printing["places"](book.pdf), set()
    for page in book.pdf.pages:
        for note in page.get("/Annots", []):
            note = note.get_object()
            action = note.get("/A", {})
            if "/URI" in action:
                assert re.match(r"https?://(?!book/|localhost|127\.)", action["/URI"])
                continue
            name = printing["unquote"](note.get("/Dest", action.get("/D"))).lstrip("/")
            assert name in found
            if name in titles:
                met.add(name)
                assert titles[name].split("(")[0] in texts[found[name][0]]
    assert met == titles.keys()


def test_fonts_are_embedded_and_figures_are_drawn(site, book, sheet, articles):
    """Pixels are only where the figure on the page has some: in maps."""
    fonts, pixels = set(), set()
    for pdf in (book.pdf, sheet.pdf):
        for page in pdf.pages:
            resources = page["/Resources"]
            for font in resources.get("/Font", {}).values():
                font = font.get_object()
                fonts.add(font.get("/BaseFont"))
                if font["/Subtype"] != "/Type3":
                    font = font.get("/DescendantFonts", [font])[0].get_object()
                    assert {"/FontFile", "/FontFile2", "/FontFile3"} & font[
                        "/FontDescriptor"
                    ].keys()
            for drawing in dict.values(resources.get("/XObject", {})):
                if drawing.get_object()["/Subtype"] == "/Image":
                    pixels.add(drawing.idnum)
    drawn = {
        (site / "_images" / image["src"].rpartition("/")[2]).read_text(encoding="utf-8")
        for article in articles.values()
        for image in article.select("img")
    }
    assert len(pixels) == sum(text.count("<image") for text in drawn)
    assert any("STIXGeneral" in str(font) for font in fonts)


def test_what_the_page_folds_is_not_printed(site, chapters):
    hidden = shown = 0
    for name, text in chapters.items():
        assert not re.search("SolutiontoExercise|(Show|Hide)codecell", text)
        article = printing["read"](site, name).select_one("article")
        folded = [part.extract() for part in article.select("details")]
        seen = solid(article.get_text())
        for part in folded:
            for tag in part.select("pre, section > p"):
                for line in map(solid, tag.get_text().splitlines()):
                    if len(line) > 25 and line not in seen and not re.search(r"[\\$]", line):
                        hidden += 1
                        assert line not in text, line
        for tag in article.select(".cell_input pre"):
            for line in map(solid, tag.get_text().splitlines()):
                shown += 1
                assert line in text, line
    assert hidden > 50 and shown > 100


@pytest.mark.parametrize("which", ["book", "sheet"])
def test_everything_is_drawn_and_nothing_runs_off_the_page(which, request):
    state = request.getfixturevalue(which).state
    assert state["formulas"] > 50
    assert not state["plain"] and not state["wrong"]
    assert not state["missing"]
    assert not state["wide"]
    assert state["smallest"] >= 70
    assert max(map(int, re.findall(r"\d+", state["colour"])[:3])) < 80  # dark, on paper


def test_cheat_sheet_has_every_result_on_two_pages(sheet, articles):
    assert len(sheet.pdf.pages) == 2
    text = solid("".join(page.extract_text() for page in sheet.pdf.pages))
    numbers = [
        solid(tag.select_one(".admonition-title").get_text()).split("(")[0]
        for article in articles.values()
        for tag in article.select(STATEMENTS)
    ]
    assert len(numbers) > 40
    assert not [number for number in numbers if not re.search(rf"{number}(?!\d)", text)]


def test_cheat_sheet_names_functions_that_exist():
    text = (ROOT / "course" / "cheat-sheet.md").read_text(encoding="utf-8")
    names = re.findall(r"\{py:func\}`[\w.]+ <(lib\.\w+)\.(\w+)>`", text)
    assert len(names) == text.count("{py:func}") > 20
    for module, name in names:
        assert callable(getattr(import_module(module), name))


def test_pages_link_to_what_was_printed(site, tmp_path):
    shutil.copy(site / "intro.html", tmp_path)
    printing["add_links"](tmp_path)
    page = BeautifulSoup((tmp_path / "intro.html").read_text(encoding="utf-8"), "html.parser")
    links = [link["href"] for link in page.select("article .d-print-none a")]
    assert links == ["book.pdf", "cheat-sheet.pdf"]
