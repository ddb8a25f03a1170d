"""Every page, as those who see, hear or move otherwise meet it: axe-core's rules, in Chromium."""

from importlib.resources import files

import pytest

from conftest import CHROMIUM

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")

# Formulas are left out: their drawing is hidden from screen readers, which read the MathML beside
# it, and has as many elements as all else together.
RUN = """async options => {
  const {skip = [], ...rest} = options;
  const context = {exclude: [["mjx-container"], ...skip]};
  const found = await axe.run(context, {resultTypes: ["violations"], ...rest});
  return found.violations.flatMap(rule => rule.nodes.map(
    node => `${rule.impact}: ${rule.id}: ${node.target}: ${node.html.slice(0, 120)}`));
}"""

# A rule of axe's that is off unless asked for: a label begins with the words that are seen.
ALL = {"rules": {"label-content-name-mismatch": {"enabled": True}}}
# What a theme or a width can change; the rest was seen in the first pass. Code has the same colours
# on every page: in the dark they are looked at on one.
COLOURS = {"runOnly": ["color-contrast"], "skip": [["pre"]]}
ROOM = {"runOnly": ["scrollable-region-focusable", "target-size", "region", "landmark-unique"]}

REACHED = """() => [...document.querySelectorAll('pre')].every(
  code => code.scrollWidth <= code.clientWidth || code.tabIndex == 0)"""


def test_axe_finds_nothing(site, page_files, browser):
    tab = browser.new_page()
    problems = []
    for page in page_files:
        tab.set_viewport_size({"width": 1280, "height": 800})
        tab.emulate_media(color_scheme="light", reduced_motion="reduce")
        tab.goto(page.as_uri(), wait_until="networkidle")
        tab.evaluate("async () => { await window.MathJax?.startup?.promise }")
        tab.evaluate(AXE)

        def check(options, page=page):
            name = page.relative_to(site).as_posix()
            problems.extend(f"{name}: {problem}" for problem in tab.evaluate(RUN, options))

        check(ALL)
        tab.emulate_media(color_scheme="dark")
        check(COLOURS if page.stem != "api" else {**COLOURS, "skip": []})
        tab.set_viewport_size({"width": 360, "height": 740})
        tab.wait_for_function(REACHED)  # the theme looks for what scrolls, after a resize
        check(ROOM)
    tab.close()
    assert not problems
