"""The built pages, the chapters as stored, and what the book is made with."""

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from bs4 import BeautifulSoup, Comment
from sphinx.errors import ConfigError

from conftest import ROOT

CHAPTERS = sorted((ROOT / "chapters").glob("*.ipynb"))
repository = runpy.run_path(ROOT / "_ext" / "repository.py")


# ---------------------------------------------------------------------------------- built pages


@cache
def parse(path):
    """Return the parsed HTML of a file."""
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


@pytest.fixture(scope="module")
def pages(site, page_files):
    """Return {path in the site: parsed page} for every page."""
    found = {path.relative_to(site).as_posix(): parse(path) for path in page_files}
    written = {entry["file"] for part in toc()["parts"] for entry in part["chapters"]}
    assert {f"{name}.html" for name in written | {toc()["root"]}} <= found.keys()
    return found


def toc():
    """Return the table of contents."""
    return yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))


def chapters(pages):
    """Return the pages that are chapters."""
    return {name: page for name, page in pages.items() if name.startswith("chapters/")}


def loaded(page):
    """Return the addresses a browser fetches by itself to show a page."""
    for tag in page.find_all(True):
        for attribute in ("src", "data", "poster"):
            if attribute in tag.attrs:
                yield tag[attribute]
        if "srcset" in tag.attrs:
            yield from (part.split()[0] for part in tag["srcset"].split(","))
        if tag.name == "link" and not {"next", "prev", "canonical"} & set(tag.get("rel", [])):
            yield tag["href"]
        yield from in_css(tag.get("style", ""))
    for style in page.find_all("style"):
        yield from in_css(style.string or "")


def in_css(text):
    """Return the addresses that CSS fetches."""
    imports = re.findall(r"@import\s+[\"']([^\"']+)", text)
    return imports + re.findall(r"url\(\s*[\"']?([^\"')]+)", text)


def elsewhere(address):
    """Tell whether an address is on another host."""
    parts = urlsplit(address)
    return bool(parts.netloc) or parts.scheme in {"http", "https"}


def test_pages_and_styles_load_nothing_from_another_host(site, pages):
    addresses = {(name, found) for name, page in pages.items() for found in loaded(page)}
    for style in site.rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        addresses |= {(style.relative_to(site).as_posix(), found) for found in in_css(text)}
    assert addresses
    assert not {(name, address) for name, address in addresses if elsewhere(address)}


def test_internal_links_and_anchors_resolve(site, pages):
    broken = []
    for name, page in pages.items():
        links = [tag["href"] for tag in page.find_all("a", href=True)]
        for link in [*links, *loaded(page)]:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (site / name).parent / unquote(parts.path) if parts.path else site / name
            if not target.is_file():
                broken.append((name, link))
            elif parts.fragment and target.suffix == ".html":
                anchor = unquote(parts.fragment)
                if not parse(target.resolve()).find(id=anchor):
                    broken.append((name, link))
    assert not broken


def test_every_image_has_alt_text(pages):
    images = [(name, image) for name, page in pages.items() for image in page.find_all("img")]
    assert images
    without = [
        (name, image["src"])
        for name, image in images
        # Sphinx falls back on the file's own name
        if not image.get("alt", "").strip() or image["alt"].endswith((".png", ".svg", ".jpg"))
    ]
    assert not without


UNRENDERED = {
    "directive": r":::|```|^\s*:(label|name|class|alt):",
    "role": r"\{[\w:-]+\}`|:\w+:`",
    "substitution": r"\{\{|\}\}",
    "label": r"^\(\S+\)=",
    "emphasis or code": r"\*\*(?!\w+$)|`",  # `**options` in a signature is as it should be
    "Markdown link": r"\]\(",
    "table": r"\|\s*:?---",
    "LaTeX command": r"\\[a-zA-Z]+|\\[()\[\]]",
    "dollar of math": r"\$",
}


@pytest.mark.parametrize("kind", UNRENDERED)
def test_nothing_is_left_unrendered(kind, pages):
    found = []
    for name, page in pages.items():
        article = page.find("article")
        if article is None or name in {"search.html", "genindex.html"}:
            continue
        for text in article.find_all(string=re.compile(UNRENDERED[kind], re.MULTILINE)):
            hidden = text.find_parent(["script", "style", "pre", "code"]) or text.find_parent(
                class_=["math", "sig"]
            )
            if not hidden and not isinstance(text, Comment):
                found.append((name, text.strip()))
    assert not found


def test_every_figure_of_a_chapter_has_a_number_and_a_caption(pages):
    bare, figures = [], 0
    for name, page in chapters(pages).items():
        for image in page.find("article").find_all("img"):
            if image.find_parent(class_="explorer"):
                continue  # a still picture, told by the box that it is in
            figures += 1
            caption = image.find_parent("figure") and image.find_parent("figure").figcaption
            number = caption and caption.find(class_="caption-number")
            text = caption and caption.find(class_="caption-text")
            if not (number and number.get_text(strip=True) and text and text.get_text(strip=True)):
                bare.append((name, image["src"]))
    assert figures
    assert not bare


def test_claims_page_names_every_theorem_and_no_other(pages):
    pattern = r"(?:thm|cor|prop)-[a-z0-9-]*[a-z0-9]"
    labelled = {
        tag["id"]
        for page in chapters(pages).values()
        for tag in page.find_all(class_="proof", id=re.compile(f"^{pattern}$"))
    }
    source = (ROOT / "appendices" / "claims.md").read_text(encoding="utf-8")
    assert labelled
    assert set(re.findall(pattern, source)) == labelled


def test_claims_page_names_tests_that_exist():
    source = (ROOT / "appendices" / "claims.md").read_text(encoding="utf-8")
    named = 0
    for row in source.splitlines():
        tests = ""
        for name in re.findall(r"`(test_[\w.]+)`", row):
            if name.endswith(".py"):
                tests = (ROOT / "tests" / name).read_text(encoding="utf-8")
            else:
                named += 1
                assert f"\ndef {name}(" in tests, row
    assert named > 10


def prose(path):
    """Return the Markdown of a page, or of a notebook's cells and captions."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text
    cells = json.loads(text)["cells"]
    parts = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    figures = [cell["metadata"].get("mystnb", {}).get("figure", {}) for cell in cells]
    return "\n".join([*parts, *(figure.get("caption", "") for figure in figures)])


def test_one_letter_has_one_meaning():
    """Each symbol of the notation page stands there once, and in the chapter that it names."""
    page = (ROOT / "appendices" / "notation.md").read_text(encoding="utf-8")
    rows = [row.split(" | ") for row in page.splitlines() if row.startswith("| $")]
    meanings = {}
    for symbols, meaning, where in rows:
        chapter = re.search(r"\(\.\./(chapters/\w+\.ipynb)\)", where)[1]
        text = re.sub(r"\s+", " ", prose(ROOT / chapter))
        for formula in re.findall(r"\$([^$]+)\$", symbols):
            # "A = K + δI", "x ∈ ℝ^d", "W_1, …, W_L": what stands left of the sign, one by one.
            left = re.split(r" = | \\in ", formula)[0]
            whole = left if "(" in left or "angle" in left else left.split(", ")
            for symbol in [whole] if isinstance(whole, str) else whole:
                if symbol == r"\dots":
                    continue
                assert symbol not in meanings, symbol
                meanings[symbol] = meaning
                # "n(ε)" and "R(θ)" may stand with other arguments.
                name = symbol.partition("(")[0] if symbol[1:2] == "(" else symbol
                assert name in text, f"{symbol} is not in {chapter}"
    assert len(meanings) > 50


def test_every_reference_is_cited():
    entries = re.findall(
        r"^@\w+\{(\w+),", (ROOT / "references.bib").read_text("utf-8"), re.MULTILINE
    )
    pages = [ROOT / "intro.md", *(ROOT / "appendices").glob("*.md"), *CHAPTERS]
    cited = re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", "\n".join(map(prose, pages)))
    assert set(entries) == {key.strip() for keys in cited for key in keys.split(",")}


# ------------------------------------------------------------------------------- stored chapters


METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
OF_ONE_MACHINE = re.compile(
    rf"0x[0-9a-f]{{6,}}|/home/|/root/|/Users/|/tmp/|site-packages|[A-Z]:\\|{re.escape(str(ROOT))}"
)


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_chapter_is_stored_as_make_notebooks_leaves_it(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    outputs = [output for cell in cells for output in cell["outputs"]]

    assert notebook["metadata"] == METADATA
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert not [output for output in outputs if output.get("name") == "stderr"]
    texts = [output.get("text", output.get("data")) for output in outputs]
    for text in texts:
        if isinstance(text, dict):
            text = {kind: data for kind, data in text.items() if not kind.startswith("image/")}
        assert not OF_ONE_MACHINE.search(json.dumps(text))


FOLDED = {"hide-input", "hide-cell", "remove-input", "remove-cell"}


def test_code_on_the_page_is_short():
    """A reader sees the lines that carry the idea: no long cell, and few lines not folded."""
    visible = {}
    for path in CHAPTERS:
        visible[path.stem] = 0
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                lines = [line for line in "".join(cell["source"]).splitlines() if line.strip()]
                assert len(lines) <= 25, (path.stem, lines[:3])
                if not FOLDED & set(cell["metadata"].get("tags", [])):
                    visible[path.stem] += len(lines)
    assert sum(visible.values()) / len(visible) <= 80, visible


def test_tables_are_short():
    """At most ten rows on the page."""
    for path in CHAPTERS:
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            for output in cell.get("outputs", []):
                html = "".join(output.get("data", {}).get("text/html", []))
                body = html.partition("<tbody>")[2]
                assert body.count("<tr>") <= 10, (path.stem, cell["source"][:2])


def test_every_chapter_is_in_the_table_of_contents():
    listed = {entry["file"] for part in toc()["parts"] for entry in part["chapters"]}
    assert {f"chapters/{path.stem}" for path in CHAPTERS} <= listed


TEXTS = [ROOT / "intro.md", *sorted((ROOT / "appendices").glob("*.md")), *CHAPTERS]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_texts_are_readable_wherever_notebooks_are(path):
    text = prose(path)
    if path.suffix == ".ipynb":
        # Shown as code, formulas and all, where MyST is not known: on GitHub, in Colab.
        assert not re.search(r"```\s*\{", text)
    # Commands of our own are known to the book alone.
    assert not re.search(r"\\(norm|E|tr|R|rank|row)(?![a-zA-Z])", text)


def test_the_book_defines_no_commands_of_its_own():
    assert "macros" not in (ROOT / "_config.yml").read_text(encoding="utf-8")


def test_the_example_of_the_readme_runs():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    exec(compile(example, "README.md", "exec"), {})


def test_the_examples_of_the_api_page_print_what_it_shows(capsys):
    page = (ROOT / "appendices" / "api.md").read_text(encoding="utf-8")
    code = "".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL))
    exec(compile(code, "api.md", "exec"), {})
    assert capsys.readouterr().out == "".join(re.findall(r"```text\n(.*?)```", page, re.DOTALL))


# ----------------------------------------------------------------------------- logo, repository


def test_the_map_is_what_the_script_draws_and_has_every_chapter():
    drawing = runpy.run_path(ROOT / "_static" / "draw_map.py")
    assert (ROOT / "_static" / "map.svg").read_text(encoding="utf-8") == drawing["draw"]()
    assert set(drawing["CHAPTERS"]) == {path.stem for path in CHAPTERS}
    text = (ROOT / "intro.md").read_text(encoding="utf-8")
    ways = re.split(r"\n\*\*For ", text)[1:]
    for way, named in zip(ways, drawing["PATHS"].values(), strict=True):
        linked = re.findall(r"chapters/(\w+)\.ipynb", "\n".join(re.findall(r"^\d.*", way, re.M)))
        assert set(named) <= set(linked)


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_every_chapter_opens_and_closes_for_its_reader(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    texts = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    text = "\n\n".join(texts)
    opening = re.search(
        r"\A# .*\n\n:::\{admonition\} In short\n:class: glance\n(.*?)\n:::", text, re.S
    )
    for part in ("**Answers.**", "**Needs.**", "**Takes** about", "**Optional.**"):
        assert part in opening[1]
    minutes = int(re.search(r"about (\d+) minutes to read", opening[1])[1])
    words = len(re.sub(r"\$[^$]*\$", "x", text).split())  # a formula is a word
    assert 0.5 < minutes / (words / 200) < 1.6
    assert text.count("{admonition} On Monday") == 1
    summary = re.search(r"^## Summary\n\n(.*?)\n\n", text, re.S | re.M)[1]
    assert 50 <= len(summary.split()) <= 150
    exercises = re.findall(r"\{exercise\} \S.*\n:label: (\S+)", text)  # each has a title
    solved = re.findall(r"\{solution(?:-start)?\} (\S+)", text)
    assert len(exercises) >= 2 and exercises == solved


def test_logo_files_are_what_the_script_draws():
    drawn = runpy.run_path(ROOT / "_static" / "draw_logo.py")["FILES"]
    assert drawn.keys() == {path.name for path in (ROOT / "_static").glob("*.svg")} - {"map.svg"}
    for name, content in drawn.items():
        assert (ROOT / "_static" / name).read_text(encoding="utf-8") == content


URL = "https://github.com/someone/some.book"


@pytest.mark.parametrize(
    "address",
    [
        URL,
        f"{URL}/",
        f"{URL}.git",
        "https://token@github.com/someone/some.book.git",
        "git@github.com:someone/some.book.git",
        "ssh://git@github.com/someone/some.book.git\n",
    ],
)
def test_github_addresses_become_one(address):
    assert repository["github_url"](address) == URL


@pytest.mark.parametrize(
    "address",
    ["", "/srv/book", "https://example.org/a/b", "https://github.com.example.org/a/b", f"{URL}/c"],
)
def test_other_addresses_are_no_repository(address):
    assert repository["github_url"](address) is None


def create_repository(folder, origin):
    """Make a folder a git repository with a remote."""
    subprocess.run(["git", "init", "--quiet", folder], check=True)
    subprocess.run(["git", "-C", folder, "remote", "add", "origin", origin], check=True)


@pytest.mark.skipif(not shutil.which("git"), reason="no git on this machine")
def test_repository_comes_from_the_environment_or_else_from_git(tmp_path):
    find = repository["find_repository"]
    book = tmp_path / "a b ü"
    book.mkdir()
    assert find({}, book) is None
    assert find({"BOOK_REPOSITORY": URL}, book) == URL
    with pytest.raises(ConfigError, match="BOOK_REPOSITORY"):
        find({"BOOK_REPOSITORY": "https://example.org/a/b"}, book)

    create_repository(tmp_path, "git@github.com:a/outer.git")
    assert find({}, tmp_path) == "https://github.com/a/outer"
    assert find({}, book) is None  # it lies in another repository
    create_repository(book, "git@github.com:a/book.git")
    assert find({"BOOK_REPOSITORY": URL}, book) == URL
    (tmp_path / "link").symlink_to(book)
    for path in book, tmp_path / "link":
        assert find({}, path) == "https://github.com/a/book"


def test_without_git_there_is_no_repository(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert repository["find_repository"]({}, ROOT) is None


@pytest.mark.parametrize("url", [None, URL], ids=["no repository", "repository"])
def test_buttons_appear_only_with_a_repository(tmp_path, url):
    for name in ("_config.yml", "_ext", "_static", "course", "references.bib"):
        source, target = ROOT / name, tmp_path / name
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    cell = {"cell_type": "markdown", "id": "title", "metadata": {}, "source": "# A chapter"}
    notebook = {"cells": [cell], "metadata": METADATA, "nbformat": 4, "nbformat_minor": 5}
    (tmp_path / "chapter.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: chapter\n", encoding="utf-8")

    keep = {key: value for key, value in os.environ.items() if "REPOSITORY" not in key}
    subprocess.run(
        [Path(sys.executable).with_name("jupyter-book"), "build", "-q", "-W", tmp_path],
        env=keep | ({"BOOK_REPOSITORY": url} if url else {}),
        check=True,
        capture_output=True,
    )
    page = parse(tmp_path / "_build" / "html" / "chapter.html")
    links = {tag["href"] for tag in page.find_all("a", href=True)}
    buttons = {
        "https://mybinder.org/v2/gh/someone/some.book/main?urlpath=lab/tree/chapter.ipynb",
        "https://colab.research.google.com/github/someone/some.book/blob/main/chapter.ipynb",
        URL,
    }
    if url:
        assert buttons <= links
    else:
        assert not [link for link in links if re.search("mybinder|colab|github", link)]
