"""Every page of the built book, opened in the system's Chromium."""

import pytest

from conftest import CHROMIUM

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 360, "height": 740}


STATE = """async () => {
  const mathjax = window.MathJax?.startup;
  await mathjax?.promise;
  const all = selector => [...document.querySelectorAll(selector)];
  const red = root => [...root.querySelectorAll('mjx-mtext')].some(
    text => getComputedStyle(text).color == 'rgb(255, 0, 0)');  // how an unknown command looks
  const images = all('article img');
  images.forEach(image => image.loading = 'eager');  // those far below wait otherwise
  await Promise.allSettled(images.map(image => image.decode()));
  const formulas = [...mathjax?.document?.math ?? []];
  return {
    theme: document.documentElement.dataset.theme,
    width: document.documentElement.scrollWidth,
    math: all('article .math').length,
    plain: all('article .math').filter(e => !e.querySelector('mjx-container')).length,
    wrong: formulas.filter(f => f.typesetRoot.querySelector('mjx-merror') || red(f.typesetRoot))
      .map(f => f.math),
    missing: images.filter(e => !e.naturalWidth).map(e => e.src),
  };
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_pages(site, page_files, address, browser, viewport, scheme):
    context = browser.new_context(viewport=viewport, color_scheme=scheme)
    tab = context.new_page()
    problems, where = [], None

    def note(problem):
        problems.append(f"{where}: {problem}")

    tab.on("console", lambda message: message.type == "error" and note(message.text))
    tab.on("pageerror", lambda error: note(error))
    tab.on(
        "requestfailed",
        lambda request: (
            request.failure == "net::ERR_ABORTED"  # the next page was opened before its icon came
            or note(f"failed: {request.url}")
        ),
    )
    tab.on("response", lambda reply: reply.status < 400 or note(f"{reply.status}: {reply.url}"))
    tab.on(
        "request",
        lambda request: (
            request.url.startswith((address, "data:")) or note(f"outward request: {request.url}")
        ),
    )

    formulas = 0
    for page in page_files:
        where = page.relative_to(site).as_posix()
        tab.goto(f"{address}/{where}", wait_until="networkidle")
        state = tab.evaluate(STATE)
        formulas += state["math"]
        if state["theme"] != scheme:
            note(f"theme is {state['theme']}")
        if state["width"] > viewport["width"]:
            note(f"{state['width']} px wide")
        if state["plain"]:
            note(f"{state['plain']} formulas not rendered")
        for formula in state["wrong"]:
            note(f"formula in error: {formula}")
        for image in state["missing"]:
            note(f"image not shown: {image}")
    context.close()
    assert formulas
    assert not problems
