"""Figures on the built pages: enlarged by hand and by keyboard, and seen in the dark."""

import io
import re

import numpy as np
import pytest
from matplotlib import image as reader

from conftest import CHROMIUM

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


@pytest.fixture
def tab(browser, site):
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    tab, problems = context.new_page(), []
    tab.on("console", lambda message: message.type == "error" and problems.append(message.text))
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.goto((site / "chapters" / "exact_risk.html").as_uri())
    for veil in tab.get_by_role("button", name="Show it without a guess").all():
        veil.click()
    yield tab
    context.close()
    assert not problems


def width(locator):
    return locator.bounding_box()["width"]


@pytest.mark.parametrize("way", ["click", "Enter"])
def test_a_figure_is_enlarged_and_closed_again(tab, way):
    link = tab.get_by_role("link", name="Enlarge figure 4.2")
    image = link.locator("xpath=..").locator("img")
    link.scroll_into_view_if_needed()
    before = width(image)
    link.click() if way == "click" else link.press("Enter")
    dialog = tab.get_by_role("dialog", name="Figure 4.2")
    assert width(dialog.locator("img")) > 1.5 * before
    assert dialog.locator("img").get_attribute("alt") == image.get_attribute("alt")
    if way == "click":
        dialog.click()
    else:
        tab.keyboard.press("Escape")
    assert not tab.get_by_role("dialog").count()
    assert tab.evaluate("document.activeElement.ariaLabel") == "Enlarge figure 4.2"


def test_without_scripts_the_link_leads_to_the_image(browser, site):
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto((site / "chapters" / "exact_risk.html").as_uri())
    tab.locator("a.enlarge").first.click()
    assert "/_images/" in tab.url
    context.close()


def pixels(tab, image):
    """Return the colours that a figure shows, one pixel a row, from 0 to 1."""
    image.evaluate("""async image => {
      image.scrollIntoView({block: 'center', behavior: 'instant'});
      await image.decode();
    }""")
    return reader.imread(io.BytesIO(image.screenshot()))[..., :3].reshape(-1, 3)


def luminance(rgb):
    """Return the relative luminance that the contrast of WCAG 2 is made of."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def background(tab):
    """Return the colour of the page, from 0 to 1."""
    colour = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    return np.array([int(part) for part in re.findall(r"\d+", colour)[:3]]) / 255


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_figures_lie_on_the_page_and_are_read_on_it(tab, scheme):
    tab.emulate_media(color_scheme=scheme)
    page = background(tab)
    assert (luminance(page) > 0.5) == (scheme == "light")
    for image in tab.locator(".enlargeable img").all():
        shown = pixels(tab, image)
        np.testing.assert_allclose(np.median(shown, axis=0), page, atol=1.5 / 255)
        low, high = np.sort([luminance(page) + np.zeros(len(shown)), luminance(shown)], axis=0)
        contrast = (high + 0.05) / (low + 0.05)
        assert np.percentile(contrast, 99.8) > 7  # letters


def test_on_paper_figures_are_as_drawn(tab):
    tab.emulate_media(color_scheme="dark", media="print")
    shown = pixels(tab, tab.locator(".enlargeable img").first)
    np.testing.assert_array_equal(np.median(shown, axis=0), 1)


KNOWN = """images => images.map(image => [
  image.getAttribute('width') / image.getAttribute('height'), image.width / image.height])"""


def test_figures_keep_their_place_before_they_arrive(tab):
    sizes = tab.eval_on_selector_all(".enlargeable img", KNOWN)
    assert sizes
    assert all(said == pytest.approx(seen, rel=0.01) for said, seen in sizes)
