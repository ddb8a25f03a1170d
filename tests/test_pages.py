"""What a reader does with the built pages, and what they weigh, in the system's Chromium."""

import pytest

from conftest import CHROMIUM

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

FIRST, SECOND = 2_000_000, 300_000  # bytes; the second with what the first left in the cache
TYPESET = "async () => { await window.MathJax?.startup?.promise; await document.fonts.ready }"


def visit(context, address):
    """Open a page and return the bytes that came for it."""
    tab, loaded = context.new_page(), []
    network = context.new_cdp_session(tab)
    network.send("Network.enable")
    network.on("Network.loadingFinished", lambda event: loaded.append(event["encodedDataLength"]))
    tab.goto(address, wait_until="networkidle")
    tab.evaluate(TYPESET)
    tab.wait_for_load_state("networkidle")
    tab.close()
    return sum(loaded)


def test_chapters_are_light(site, address, browser):
    chapters = [f"{address}/chapters/{path.name}" for path in sorted(site.glob("chapters/*.html"))]
    heavy = {}
    for chapter, other in zip(chapters, chapters[1:] + chapters[:1], strict=True):
        context = browser.new_context()
        weight = visit(context, chapter), visit(context, other)
        if weight[0] > FIRST or weight[1] > SECOND:
            heavy[chapter] = weight
        context.close()
    assert chapters
    assert not heavy


@pytest.mark.parametrize("key", [None, "Enter", "Space"])
def test_a_solution_opens_by_its_title(site, browser, key):
    context = browser.new_context(viewport={"width": 360, "height": 740}, has_touch=True)
    tab = context.new_page()
    tab.goto((site / "chapters/setting.html").as_uri())
    solution = tab.locator("details.solution").first
    title, text = solution.locator("summary"), solution.locator("section")
    before = tab.url
    for shown in (True, False):
        title.press(key) if key else title.tap()
        assert text.is_visible() == shown
        assert tab.url == before
    context.close()


def test_printing_opens_no_solution(site, browser):
    tab = browser.new_page()
    tab.goto((site / "chapters/setting.html").as_uri())
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    tab.emulate_media(media="print")
    assert tab.locator("details.solution").count()
    assert not tab.locator("details.solution > section >> visible=true").count()
    tab.close()


@pytest.mark.parametrize("page", ["layers", "choosing_a_source"])
def test_only_what_scrolls_fades_at_its_edge(address, browser, page):
    """Also on a first visit, on which the fonts of the formulas come late."""
    tab = browser.new_page(viewport={"width": 1280, "height": 900})
    tab.route("**/*.woff*", lambda route: (tab.wait_for_timeout(300), route.continue_()))
    tab.goto(f"{address}/chapters/{page}.html", wait_until="networkidle")
    tab.evaluate("async () => { await document.fonts.ready }")
    faded = """boxes => boxes.filter(box => box.scrollWidth - box.clientWidth <= 2)
      .map(box => box.textContent)"""
    assert tab.eval_on_selector_all(".more-left, .more-right", faded) == []
    tab.close()


WORDS = ["intercept", "LoRA", "transfer", "double descent", "regularisation", "regularization"]


@pytest.mark.parametrize("query", [*WORDS, "ridge", "how many labels"])
@pytest.mark.parametrize("over", ["http", "file"])
def test_search_leads_to_sections(site, address, browser, query, over):
    tab, problems = browser.new_page(), []
    tab.on("pageerror", lambda error: problems.append(error))
    tab.goto(f"{address if over == 'http' else site.as_uri()}/search.html?q={query}")
    first = tab.locator("ul.search li").first
    assert first.locator("p.context").inner_text()
    first.locator("a").click()
    tab.wait_for_load_state()
    anchor = tab.evaluate("decodeURIComponent(location.hash.slice(1))")
    words = tab.evaluate("anchor => document.getElementById(anchor).innerText", anchor).lower()
    for word in query.lower().split():
        assert word[:9] in words.replace("iz", "is") or word[:9].replace("iz", "is") in words
    assert not problems
    tab.close()


# What is cut off, and what scrolls without saying so; a slanted letter may lean out by two pixels.
WIDE = """() => {
  document.querySelectorAll('details').forEach(box => box.open = true);
  const boxes = '.cell_output > .output:has(table), .pst-scrollable-table-container, '
    + "mjx-container[display='true'], span.math";
  const found = {silent: [], tables: []};
  for (const box of document.querySelectorAll(boxes)) {
    const wide = box.scrollWidth > box.clientWidth + 2;
    const style = getComputedStyle(box);
    const says = box.tabIndex == 0 && box.getAttribute('aria-label') && style.overflowX == 'auto'
      && style.maskImage != 'none';
    if (wide != Boolean(says)) found.silent.push(box.outerHTML.slice(0, 120));
    if (wide && box.querySelector('table')) found.tables.push(box.innerText.slice(0, 80));
  }
  return found;
}"""


@pytest.mark.parametrize("width", [1280, 390])
def test_what_scrolls_says_so_and_no_table_does_on_a_desktop(site, page_files, browser, width):
    tab = browser.new_page(viewport={"width": width, "height": 800})
    problems = []
    for page in page_files:
        tab.goto(page.as_uri(), wait_until="networkidle")  # index.html leads on
        tab.evaluate(TYPESET)
        tab.evaluate(WIDE)  # opens what is folded
        tab.wait_for_timeout(150)
        found = tab.evaluate(WIDE)
        problems += [(page.name, box) for box in found["silent"]]
        if width == 1280:
            problems += [(page.name, table) for table in found["tables"]]
    tab.close()
    assert not problems
