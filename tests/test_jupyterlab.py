"""Every chapter, opened in JupyterLab: formulas, theorem boxes and figures as on the built page."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from functools import cache
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from conftest import CHROMIUM, ROOT

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

CHAPTERS = sorted((ROOT / "chapters").glob("*.ipynb"))
SETTINGS = {
    # Every cell is in the page, not only those in view.
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},
    # Nothing is asked of other hosts.
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}
NO_KERNEL = {"argv": ["sleep", "600"], "display_name": "none", "language": "python"}
BROKEN = [
    r"$\norm{x}$ and $\frac{1}$",
    "$$\n\\tr A\n$$",
    ":::{nothing}\n:::",
    "\\:::{prf:theorem}",
]


def write_notebook(path, texts):
    """Write a notebook of text cells."""
    cells = [
        {"cell_type": "markdown", "id": f"cell-{i}", "metadata": {}, "source": text}
        for i, text in enumerate(texts)
    ]
    notebook = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(notebook), encoding="utf-8")


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Start JupyterLab in a copy of the chapters, with no kernels, and return its address."""
    folder = tmp_path_factory.mktemp("jupyterlab")
    shutil.copytree(ROOT / "chapters", folder / "chapters")
    write_notebook(folder / "chapters" / "broken.ipynb", BROKEN)
    for name, values in SETTINGS.items():
        path = folder / "settings" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(values), encoding="utf-8")
    kernel = folder / "share" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    (kernel / "kernel.json").write_text(json.dumps(NO_KERNEL), encoding="utf-8")

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    options = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": port,
        "ServerApp.port_retries": 0,
        "ServerApp.root_dir": folder / "chapters",
        "IdentityProvider.token": "",
        "LabApp.expose_app_in_browser": True,
    }
    environment = os.environ | {
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_PATH": str(folder / "share"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
    }
    log = folder / "log"
    with log.open("w") as file:
        server = subprocess.Popen(
            [*command, *(f"--{name}={value}" for name, value in options.items())],
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        address = f"http://127.0.0.1:{port}"
        wait_for(f"{address}/api", server, log)
        yield address
    finally:
        server.terminate()
        server.wait()


def wait_for(url, server, log, seconds=60):
    """Wait until a server answers."""
    end = time.monotonic() + seconds
    while True:
        try:
            with urlopen(url):
                return
        except URLError:
            if server.poll() is not None or time.monotonic() > end:
                pytest.fail(f"JupyterLab did not start:\n{log.read_text()}")
            time.sleep(0.2)


@pytest.fixture(scope="module")
def lab(address, browser):
    """Return a tab with JupyterLab."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    tab = context.new_page()
    tab.goto(f"{address}/lab?reset", timeout=60_000)
    tab.wait_for_function("window.jupyterapp?.restored", timeout=60_000)
    tab.evaluate("window.jupyterapp.restored.then(() => true)")
    yield tab
    context.close()


OPEN = """path => window.jupyterapp.commands.execute(
  'docmanager:open', {path, factory: 'Notebook'}).then(widget => { window.chapter = widget; })"""
CLOSE = "() => window.chapter.dispose()"
RENDERED = """texts => {
  const all = selector => [...window.chapter.node.querySelectorAll('.jp-Notebook ' + selector)];
  return all('.jp-MarkdownCell .myst').filter(cell => cell.textContent).length == texts
    && all('img').every(image => image.complete);
}"""
STATE = """() => {
  const all = selector => [...window.chapter.node.querySelectorAll('.jp-Notebook ' + selector)];
  const plain = cell => {
    const copy = cell.cloneNode(true);
    copy.querySelectorAll('.katex, code').forEach(element => element.remove());
    return copy.textContent;
  };
  return {
    formulas: all('.katex').length,
    wrong: all('.katex-error, mjx-merror, .text-red-500, .text-yellow-600')
      .filter(e => !/^(Cross Reference|Citation) Not Found$/.test(e.title)) // in another notebook
      .map(e => e.textContent),
    texts: all('.jp-MarkdownCell .myst').map(plain),
    boxes: all(':is(.myst-proof, .myst-exercise)')
      .filter(e => getComputedStyle(e).boxShadow != 'none').length,
    widths: all('.jp-OutputArea img').map(e => e.getBoundingClientRect().width),
  };
}"""
BOX = re.compile(r"^:{3,}\{(?:prf:\w+|exercise|solution[a-z-]*)\}", re.MULTILINE)
RAW = re.compile(r":::|```|^\s*:\w+:|\{[\w:-]+\}`|Unknown Directive|\\[a-zA-Z]+|\$", re.MULTILINE)


def markdown(path):
    """Return the text cells of a notebook."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]


@cache
def look_at(lab, name, texts):
    """Open a notebook of so many text cells, and return what it looks like."""
    lab.evaluate(OPEN, name)
    try:
        lab.wait_for_function(RENDERED, arg=texts, timeout=60_000)
        return lab.evaluate(STATE)
    finally:
        lab.evaluate(CLOSE)


def test_what_is_broken_is_seen(lab):
    state = look_at(lab, "broken.ipynb", len(BROKEN))
    assert len(state["wrong"]) == 3
    assert [bool(RAW.search(text)) for text in state["texts"]] == [True, True, True, True]


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_chapter_is_rendered(lab, path):
    texts = markdown(path)
    state = look_at(lab, path.name, len(texts))
    assert state["formulas"]
    assert not state["wrong"]
    assert not [text for text in state["texts"] if RAW.search(text)]
    assert state["boxes"] == sum(len(BOX.findall(text)) for text in texts)


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_figures_are_as_wide_as_on_the_page(lab, browser, site, path):
    in_lab = look_at(lab, path.name, len(markdown(path)))["widths"]
    tab = browser.new_page(viewport={"width": 1280, "height": 800})
    tab.goto((site / "chapters" / f"{path.stem}.html").as_uri())
    widths = "images => images.map(image => image.getBoundingClientRect().width)"
    on_page = tab.eval_on_selector_all("article .cell_output img", widths)
    tab.close()
    assert in_lab == pytest.approx(on_page, abs=1)
