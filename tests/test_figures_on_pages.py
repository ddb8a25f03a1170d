"""Figures on the built pages: enlarged by hand and by keyboard, and seen in the dark."""

import io

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


def darkest_and_lightest(tab, image):
    """Return the least and the largest brightness that an image shows, of 255."""
    tab.evaluate("() => window.scrollTo(0, 0)")
    image.scroll_into_view_if_needed()
    tab.wait_for_timeout(200)
    pixels = reader.imread(io.BytesIO(image.screenshot()))[..., :3] * 255
    return np.percentile(pixels.mean(axis=-1), [0.2, 50, 99.8])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_figures_follow_the_page(tab, scheme):
    tab.emulate_media(color_scheme=scheme)
    low, middle, high = darkest_and_lightest(tab, tab.locator(".enlargeable img").first)
    if scheme == "light":
        assert middle > 250 and low < 60  # lines and letters on white
    else:
        assert middle < 60 and high > 190  # on the page's dark, no glare
