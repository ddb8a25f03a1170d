"""The slides of the chapters: what the tags say stands on them, and all works in a browser."""

import json
import re
from functools import cache
from importlib.resources import files
from io import BytesIO
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup
from pypdf import PdfReader

from conftest import CHROMIUM, ROOT

CHAPTERS = sorted(path.stem for path in (ROOT / "chapters").glob("*.ipynb"))
IDEA = ".proof[id], .math.notranslate.nohighlight, figure, table, .guess, .explorer, .tip"


@cache
def parse(path):
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


@pytest.fixture(params=CHAPTERS)
def chapter(request):
    return request.param


@pytest.fixture
def deck(site, chapter):
    """Return the slides of a chapter."""
    return parse(site / "slides" / f"{chapter}.html").select(".slides > section")


@pytest.fixture
def page(site, chapter):
    """Return the page of a chapter."""
    return parse(site / "chapters" / f"{chapter}.html").article


def cells(chapter):
    """Return the cells of a chapter, and of each what its tags say of slides."""
    text = (ROOT / "chapters" / f"{chapter}.ipynb").read_text(encoding="utf-8")
    for cell in json.loads(text)["cells"]:
        tags = {tag for tag in cell["metadata"].get("tags", []) if tag.startswith("slide")}
        yield cell["cell_type"], "".join(cell["source"]), tags


def begun(chapter):
    """Return the cells that begin a slide, each with those that go on it, as texts."""
    slides = {}
    for number, (kind, text, tags) in enumerate(cells(chapter)):
        assert tags <= {"slide", "slide-more", "slide-text"}
        if "slide" in tags:
            slides[number] = []
        if tags:
            slides[max(slides)].append((kind, text, tags))
    return slides


# ------------------------------------------------------------------------------- what is on them


def test_slides_are_those_of_the_tags_in_their_order(chapter, deck):
    shown = [int(slide["data-cell"]) for slide in deck]
    assert list(dict.fromkeys(shown)) == list(begun(chapter))
    assert shown == sorted(shown)
    assert 8 <= len(shown) <= 20


def test_a_deck_opens_with_the_title_and_closes_with_the_summary(chapter, deck, page):
    title = page.h1.get_text().removesuffix("#").strip()
    assert " ".join(deck[0].h1.get_text().split()) == title.replace(". ", " ", 1)
    assert deck[0].select(".glance")
    assert deck[-1].h2.get_text(strip=True) == "Summary"
    assert not [slide for slide in deck[1:] if not slide.h2.get_text(strip=True)]


def words(tag):
    """Return the text of a part of a page, without links to itself."""
    copy = BeautifulSoup(str(tag), "html.parser")
    for link in copy.select(".headerlink"):
        link.decompose()
    return " ".join(copy.get_text().split())


def test_theorems_figures_and_formulas_have_the_numbers_of_the_page(deck, page):
    for kind in (".proof[id] > .admonition-title", "figcaption", ".eqno"):
        on_page = [words(tag) for tag in page.select(kind)]
        on_slides = [words(tag) for slide in deck for tag in slide.select(kind)]
        assert set(on_slides) <= set(on_page)
    assert any(slide.select(".caption-number") for slide in deck)


def test_every_chapter_shows_what_carries_its_ideas(deck):
    assert all(slide.select(IDEA) or slide.select("li, p") for slide in deck)
    assert sum(bool(slide.select(IDEA)) for slide in deck) >= len(deck) // 2
    assert [slide for slide in deck if slide.select(".tip")]


def test_proofs_stay_off_the_slides(deck):
    boxes = [box for slide in deck for box in slide.select(".proof") if words(box)[:5] == "Proof"]
    assert all(box.find_parent(class_="notes") for box in boxes)
    assert not [part for slide in deck for part in slide.select(".exercise, .solution")]


def plain(markdown):
    """Tell whether a text has running paragraphs: what is no heading, box, list, formula, table."""
    markdown = re.sub(r"^(:{3,4})\{.*?^\1$", "", markdown, flags=re.DOTALL | re.MULTILINE)
    markdown = re.sub(r"^\$\$.*?^\$\$.*?$", "", markdown, flags=re.DOTALL | re.MULTILINE)
    parts = re.split(r"\n\s*\n", markdown.strip())
    return [part for part in parts if part and not re.match(r"#|[-|(]|\d+\. ", part.strip())]


def test_running_text_is_in_the_notes(chapter, deck):
    notes = {}
    for slide in deck:
        said = "".join(part.get_text(strip=True) for part in slide.select("aside.notes"))
        number = int(slide["data-cell"])
        notes[number] = notes.get(number, "") + said
    for number, on in begun(chapter).items():
        said = any(
            kind == "markdown" and "slide-text" not in tags and plain(text)
            for kind, text, tags in on
        )
        assert not said or notes[number], number


def test_advice_is_short_on_the_slide_and_whole_in_the_notes(deck, page):
    full = page.select_one(".tip")
    slide = next(slide for slide in deck if slide.select(":scope > .tip"))
    short, said = slide.select_one(":scope > .tip"), slide.select_one(".notes .tip")
    assert words(said) == words(full)
    assert len(short.select("li")) == len(full.select("li"))
    for item, whole in zip(short.select("li"), full.select("li"), strict=True):
        assert words(whole).startswith(words(item))


def test_links_lead_to_the_pages_of_the_book(site, chapter):
    path = site / "slides" / f"{chapter}.html"
    assert f"../chapters/{chapter}.html" in {a["href"] for a in parse(path).select("footer a")}
    for link in parse(path).select("a[href]:not(.headerlink), link[href], script[src], img[src]"):
        parts = urlsplit(link.get("href") or link["src"])
        if parts.scheme in ("http", "https"):
            assert link.name == "a"
            continue
        target = (path.parent / unquote(parts.path)).resolve()
        assert target.is_file(), link
        assert target.relative_to(site.resolve()).parts[0] != "slides"
        if parts.fragment:
            assert parse(target).find(id=unquote(parts.fragment)), link


def test_every_image_says_what_it_shows(deck):
    for slide in deck:
        assert all(image.get("alt", "").strip() for image in slide.select("img"))


def test_a_chapter_leads_to_its_slides(chapter, page):
    links = page.select(f".glance a[href='../slides/{chapter}.html']")
    assert [link.get_text() for link in links] == ["Slides"]


def test_pages_do_not_load_what_slides_need(site, page_files):
    for path in page_files:
        assert "_static/slides/" not in path.read_text(encoding="utf-8"), path
    assert (site / "_static" / "slides" / "LICENSE").is_file()  # that of reveal.js


# -------------------------------------------------------------------------------- in a browser

LOOK = """async () => {
  const slide = Reveal.getCurrentSlide();
  const parts = [...slide.querySelectorAll('*:not(.notes, .notes *)')];
  const formulas = [...slide.querySelectorAll('.math')];
  const base = parseFloat(getComputedStyle(slide.parentElement).fontSize);
  const letters = parts.filter(e => [...e.childNodes].some(n => n.nodeType == 3 && n.data.trim())
    && !e.closest('mjx-container, svg, .headerlink') && e.getClientRects().length);
  const images = [...slide.querySelectorAll('img')];
  await Promise.all(images.map(image => image.decode()));
  const within = box => Math.min(box.left, box.top) >= -1
    && box.right <= innerWidth + 1 && box.bottom <= innerHeight + 1;
  const out = parts.filter(e => !e.closest('mjx-container *, svg, .headerlink')
    && e.getClientRects().length && !within(e.getBoundingClientRect()));
  return {
    size: [slide.scrollWidth, slide.scrollHeight],
    room: [Reveal.getConfig().width, Reveal.getConfig().height],
    out: out.map(e => e.outerHTML.slice(0, 80)),
    plain: formulas.filter(e => !e.querySelector('mjx-container')).map(e => e.textContent),
    wrong: formulas.filter(e => e.querySelector('mjx-merror') || [...e.querySelectorAll(
      'mjx-mtext')].some(text => getComputedStyle(text).color == 'rgb(255, 0, 0)'))
      .map(e => e.textContent),
    flat: formulas.filter(e => e.getClientRects().length && !e.offsetHeight).length,
    small: letters.filter(e => parseFloat(getComputedStyle(e).fontSize) < 0.6 * base)
      .map(e => e.outerHTML.slice(0, 80)),
  };
}"""


def opened(browser, address):
    """Return a tab with a deck, ready, and the list that its console and requests go to."""
    tab, problems = browser.new_page(viewport={"width": 1280, "height": 720}), []
    host = address.partition("/slides/")[0]
    tab.on("console", lambda message: problems.append(message.text))
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.on("requestfailed", lambda request: problems.append(f"failed: {request.url}"))
    tab.on("response", lambda reply: reply.status < 400 or problems.append(reply.url))
    tab.on(
        "request",
        lambda request: (
            request.url.startswith((host, "data:")) or problems.append(f"outward: {request.url}")
        ),
    )
    tab.goto(address)
    tab.wait_for_function("window.Reveal?.isReady()")
    return tab, problems


def place(tab):
    return tab.evaluate("Reveal.getIndices().h")


browsed = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


@browsed
def test_every_slide_shows_all_that_is_on_it(browser, address, deck, chapter):
    tab, problems = opened(browser, f"{address}/slides/{chapter}.html")
    for number in range(len(deck)):
        assert place(tab) == number
        state = tab.evaluate(LOOK)
        for side, room in zip(state["size"], state["room"], strict=True):
            assert side <= room, number + 1
        for kind in ("out", "plain", "wrong", "flat", "small"):
            assert not state[kind], (number + 1, kind)
        tab.keyboard.press("ArrowRight")
    assert place(tab) == len(deck) - 1
    tab.close()
    assert not problems


@browsed
def test_from_a_file_and_in_the_dark(browser, site):
    tab, problems = opened(browser, (site / "slides" / "exact_risk.html").as_uri() + "?dark")
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 24, 30)"
    state = tab.evaluate(LOOK)
    assert not state["out"] and not state["plain"]
    tab.close()
    assert not problems


AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
RUN = """async () => {
  const found = await axe.run({exclude: ['mjx-container']}, {resultTypes: ['violations']});
  return found.violations.flatMap(rule => rule.nodes.map(
    node => `${rule.id}: ${node.html.slice(0, 120)}`));
}"""


@browsed
@pytest.mark.parametrize("room", ["", "?dark"])
def test_axe_finds_nothing(browser, address, room):
    tab, problems = opened(browser, f"{address}/slides/exact_risk.html{room}")
    tab.evaluate(AXE)
    for number in range(tab.evaluate("Reveal.getTotalSlides()")):
        tab.evaluate("number => Reveal.slide(number)", number)
        problems += tab.evaluate(RUN)
    tab.close()
    assert not problems


EXPLORERS = {
    "plane": "linear_regression",
    "risk": "exact_risk",
    "depth": "depth",
    "peaks": "lora",
    "curse": "choosing_a_source",
}


@browsed
@pytest.mark.parametrize("name", EXPLORERS)
def test_an_explorer_lives_and_its_keys_do_not_turn_the_slide(browser, address, name):
    tab, problems = opened(browser, f"{address}/slides/{EXPLORERS[name]}.html")
    box = tab.locator(f".explorer-{name}")
    number = tab.evaluate(
        "name => Reveal.getSlides().findIndex(s => s.querySelector('.explorer-' + name))", name
    )
    tab.evaluate("number => Reveal.slide(number)", number)
    slider = box.get_by_role("slider").first
    before = slider.input_value()
    slider.press("ArrowRight")
    assert slider.input_value() != before
    assert place(tab) == number
    box.get_by_role("button", name="Commit").press(" ")
    assert place(tab) == number
    box.locator(".explorer-panel:not([aria-busy])").wait_for()
    assert "You said" in box.locator(".explorer-words").text_content()
    assert not tab.evaluate(LOOK)["out"]  # also with all its knobs
    tab.keyboard.press("ArrowRight")
    assert place(tab) == number + 1
    tab.close()
    assert not problems


@browsed
def test_what_is_dragged_follows_the_hand_on_a_larger_screen(browser, address):
    tab, problems = opened(browser, f"{address}/slides/linear_regression.html")
    tab.set_viewport_size({"width": 1920, "height": 1080})
    tab.evaluate(
        "Reveal.slide(Reveal.getSlides().findIndex(s => s.querySelector('.explorer-plane')))"
    )
    box = tab.locator(".explorer-plane")
    box.get_by_role("button", name="Commit").click()
    box.locator(".explorer-panel:not([aria-busy])").wait_for()
    grip = box.locator(".handle").first.bounding_box()
    x, y = grip["x"] + grip["width"] / 2, grip["y"] + grip["height"] / 2
    tab.mouse.move(x, y)
    tab.mouse.down()
    tab.mouse.move(x + 90, y + 60, steps=4)
    tab.mouse.up()
    box.locator(".explorer-panel:not([aria-busy])").wait_for()
    after = box.locator(".handle").first.bounding_box()
    assert after["x"] - grip["x"] == pytest.approx(90, abs=12)
    assert after["y"] - grip["y"] == pytest.approx(60, abs=12)
    tab.close()
    assert not problems


@browsed
def test_a_guess_is_taken_and_hides_no_later_slide(browser, address):
    tab, problems = opened(browser, f"{address}/slides/exact_risk.html")
    tab.evaluate("Reveal.slide(Reveal.getSlides().findIndex(s => s.querySelector('.guess')))")
    choice = tab.locator(".present .guess li button").first
    assert not tab.get_by_role("button", name="without a guess").is_visible()
    choice.click()
    assert "(your guess)" in tab.locator(".present .guess li").first.text_content()
    tab.keyboard.press("ArrowRight")
    assert not tab.locator(".present > .veiled:not(.notes)").count()
    tab.close()
    assert not problems


@browsed
def test_the_speaker_has_the_notes_with_their_formulas(browser, address):
    tab, problems = opened(browser, f"{address}/slides/setting.html")
    with tab.expect_popup() as opening:
        tab.keyboard.press("s")
    view = opening.value
    tab.evaluate("Reveal.slide(1)")
    view.locator(".speaker-controls-notes .value math").first.wait_for()
    assert "eigenvectors" in view.locator(".speaker-controls-notes .value").text_content()
    view.close()
    tab.close()
    assert not problems


@browsed
def test_printed_every_slide_has_a_page(browser, address, site):
    tab, problems = opened(browser, f"{address}/slides/setting.html?print-pdf")
    tab.wait_for_selector(".pdf-page")
    printed = PdfReader(BytesIO(tab.pdf(prefer_css_page_size=True))).pages
    slides = parse(site / "slides" / "setting.html").select(".slides > section")
    for slide, page in zip(slides, printed, strict=True):
        assert slide.select_one("h1, h2").get_text().split()[-1] in page.extract_text()
    tab.close()
    assert not problems
