"""Explorers and guesses on the built pages, in a browser: by keyboard, by hand, without scripts."""

import re
import runpy
from contextlib import contextmanager

import pytest

from conftest import CHROMIUM, ROOT

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

PAGES = {
    "plane": "linear_regression",
    "risk": "exact_risk",
    "depth": "depth",
    "peaks": "lora",
    "curse": "choosing_a_source",
}
drawing = runpy.run_path(ROOT / "_static" / "explorers" / "draw.py")


def test_every_explorer_has_a_page():
    assert set(PAGES) == set(drawing["names"]())


def test_still_pictures_are_what_the_scripts_draw():
    for name, picture in drawing["stills"]().items():
        path = ROOT / "_static" / "explorers" / f"{name}.svg"
        assert path.read_text(encoding="utf-8") == picture, f"run {path.with_name('draw.py')}"


@pytest.fixture
def opened(browser, site, address):
    """Return a function that opens a page, in a context without a console message."""

    @contextmanager
    def tab(page, scheme="http", **options):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
        tab, problems = context.new_page(), []
        tab.on("console", lambda message: message.type == "log" or problems.append(message.text))
        tab.on("pageerror", lambda error: problems.append(str(error)))
        base = address if scheme == "http" else site.as_uri()
        tab.goto(f"{base}/chapters/{page}.html")
        yield tab
        context.close()
        assert not problems

    return tab


def words(tab, box):
    """Return what an explorer says, once it has come to rest."""
    box.locator(".explorer-panel:not([aria-busy])").wait_for()
    return box.locator(".explorer-words").text_content()


def picture(box):
    return box.locator(".explorer-picture svg").inner_html()


@pytest.mark.parametrize("scheme", ["http", "file"])
@pytest.mark.parametrize("name", PAGES)
def test_a_guess_is_committed_before_the_answer_shows(opened, name, scheme):
    with opened(PAGES[name], scheme) as tab:
        box = tab.locator(f".explorer-{name}")
        assert "hidden until" in words(tab, box) and not box.locator(".explorer-knobs").is_visible()
        slider = box.get_by_role("slider").first
        before = picture(box)
        slider.focus()
        tab.keyboard.press("ArrowRight")
        assert "hidden until" in words(tab, box)
        if name != "curse":  # where there is no place for a guess in the picture
            assert picture(box) != before
        guess = slider.get_attribute("aria-valuetext")
        tab.keyboard.press("Tab")
        tab.keyboard.press("Enter")
        said = words(tab, box)
        assert said.startswith("You said ") and guess.split()[0] in said
        assert box.locator(".explorer-knobs").is_visible()
        assert tab.evaluate("document.activeElement.className") == "explorer-words"


@pytest.mark.parametrize("name", PAGES)
def test_every_knob_moves_picture_and_words_by_keyboard(opened, name):
    with opened(PAGES[name]) as tab:
        box = tab.locator(f".explorer-{name}")
        box.get_by_role("button", name="Commit").click()
        first = words(tab, box)
        if name == "plane":  # the second sample counts if there is one
            box.get_by_role("slider", name="samples", exact=True).press("ArrowRight")
        if name == "peaks":
            box.get_by_role("slider", name="samples n").press("PageUp")
        sliders = box.locator(".explorer-knobs").get_by_role("slider").all()
        assert len(sliders) >= 2
        words(tab, box)
        for slider in sliders:
            drawn, value = picture(box), slider.get_attribute("aria-valuetext")
            for _ in range(3):
                slider.press("ArrowRight" if float(slider.input_value()) == 0 else "ArrowLeft")
            words(tab, box)
            assert slider.get_attribute("aria-valuetext") != value
            assert picture(box) != drawn, slider
        assert words(tab, box) != first
        box.get_by_role("button", name="Start again").click()
        assert "hidden until" in words(tab, box)


@pytest.mark.parametrize("touch", [False, True])
def test_points_of_the_plane_are_dragged(opened, touch):
    with opened("linear_regression", has_touch=touch) as tab:
        box = tab.locator(".explorer-plane")
        box.get_by_role("button", name="Commit").click()
        words(tab, box)
        source = box.get_by_role("slider", name="source, across")
        before = float(source.input_value())
        box.locator(".handle").first.scroll_into_view_if_needed()
        grip = box.locator(".handle").first.bounding_box()
        x, y = grip["x"] + grip["width"] / 2, grip["y"] + grip["height"] / 2
        tab.mouse.move(x, y)
        tab.mouse.down()
        tab.mouse.move(x + 40, y + 30, steps=4)
        tab.mouse.up()
        words(tab, box)
        assert float(source.input_value()) > before + 0.2


def test_a_guess_is_tapped_into_the_picture(opened):
    with opened("exact_risk", has_touch=True, viewport={"width": 360, "height": 740}) as tab:
        box = tab.locator(".explorer-risk")
        slider = box.get_by_role("slider").first
        before = float(slider.input_value())
        area = box.locator(".explorer-picture svg")
        size = area.bounding_box()
        area.tap(position={"x": size["width"] * 0.6, "y": size["height"] * 0.5})
        words(tab, box)
        assert float(slider.input_value()) != before
        marker = area.locator("circle.s1").bounding_box()  # where it was tapped, to a step
        tapped = area.bounding_box()["y"] + size["height"] * 0.5
        assert marker["y"] + marker["height"] / 2 == pytest.approx(tapped, abs=6)


def test_on_paper_an_explorer_is_its_still_picture(opened):
    for name, page in PAGES.items():
        with opened(page) as tab:
            box = tab.locator(f".explorer-{name}")
            still, panel = box.locator("img"), box.locator(".explorer-panel")
            assert panel.is_visible() and not still.is_visible()
            tab.emulate_media(media="print")
            assert still.is_visible() and not panel.is_visible()
            assert not tab.get_by_role("button", name="without a guess").first.is_visible()
            assert tab.locator("li .guess-button").first.is_visible()  # the choices are read


def test_without_scripts_the_still_picture_stands(opened):
    for name, page in PAGES.items():
        with opened(page, java_script_enabled=False) as tab:
            box = tab.locator(f".explorer-{name}")
            assert box.locator("img").is_visible() and not box.locator(".explorer-panel").count()
            assert len(box.locator("ol > li").all()) == 3  # things to try


def test_other_pages_do_not_load_the_scripts(site):
    for page in ("appendices/claims.html", "intro.html"):
        assert "explorers" not in (site / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PAGES)
def test_an_explorer_fits_a_phone_and_its_knobs_a_finger(opened, name):
    with opened(PAGES[name], viewport={"width": 360, "height": 740}) as tab:
        box = tab.locator(f".explorer-{name}")
        box.get_by_role("button", name="Commit").click()
        words(tab, box)
        assert tab.evaluate("document.documentElement.scrollWidth") <= 360
        right = box.bounding_box()["x"] + box.bounding_box()["width"]
        for part in box.locator(".explorer-panel *:visible").all():
            area = part.bounding_box()
            if area and part.evaluate("e => !e.closest('svg')"):
                assert area["x"] + area["width"] <= right + 1
        for control in box.locator("input:visible, button:visible").all():
            assert control.bounding_box()["height"] >= 24  # WCAG 2.2, target size
        for text in box.locator("svg text").all():
            size = text.evaluate("e => parseFloat(getComputedStyle(e).fontSize)")
            assert size >= 10


# ------------------------------------------------------------------------------------- questions


def guesses(tab):
    return tab.locator(".guess.admonition").all()


@pytest.fixture(scope="module")
def asking(site):
    """Return the chapters that ask for a guess."""
    return [
        path.stem
        for path in sorted((site / "chapters").glob("*.html"))
        if re.search(r'class="[^"]*\bguess\b[^"]*admonition', path.read_text(encoding="utf-8"))
    ]


def test_answers_are_veiled_until_one_is_chosen(opened, asking):
    assert len(asking) >= 12
    for page in asking:
        with opened(page) as tab:
            for box in guesses(tab):
                veiled = tab.locator(".veiled").count()
                assert veiled and box.locator("li .guess-button").count() >= 3
                box.locator("li .guess-button").first.press("Enter")
                assert tab.locator(".veiled").count() < veiled
                assert "(your guess)" in box.locator("li").first.text_content()
                said = tab.evaluate("document.activeElement.textContent")
                assert said.startswith("You said")  # that line itself, not the page
            assert not tab.locator(".veiled").count()


def test_the_words_that_tell_the_answer_are_veiled(opened, asking):
    """Below the figures and tables of a guess stands what they show."""
    after = """box => {
      const cells = [];
      for (let e = box.nextElementSibling; e?.matches(".veiled"); e = e.nextElementSibling) {
        cells.push(e.matches(".cell"));
      }
      return cells;
    }"""
    for page in asking:
        with opened(page) as tab:
            for box in guesses(tab):
                cells = box.evaluate(after)
                assert cells and not cells[-1], page  # the last one is no cell: words


def test_what_is_veiled_can_be_shown_without_a_guess(opened, asking):
    with opened(asking[0]) as tab:
        for box in guesses(tab):
            box.get_by_role("button", name="without a guess").click()
            assert not box.locator("button").count()
        assert not tab.locator(".veiled").count()


def test_a_link_to_what_is_veiled_shows_it(opened, asking):
    shown = 0
    for page in asking:
        with opened(page) as tab:
            for figure in tab.locator(".veiled figure[id]").all():
                name = figure.get_attribute("id")
                tab.evaluate("id => { location.hash = id; }", name)
                assert not tab.locator(".veiled", has=tab.locator(f"[id='{name}']")).count()
                shown += 1
                break
    assert shown


def test_without_scripts_a_question_is_a_list(opened):
    with opened("exact_risk", java_script_enabled=False) as tab:
        assert not tab.locator(".veiled").count()
        assert all(box.locator("li").count() >= 2 for box in guesses(tab))
