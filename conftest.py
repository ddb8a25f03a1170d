"""What the tests share."""

import os
import runpy
import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import settings
from playwright.sync_api import sync_playwright

os.environ["TQDM_DISABLE"] = "1"  # inherited by the kernels that run the chapters

# Timing is measured by `make bench`; the same examples run every time.
settings.register_profile("book", deadline=None, derandomize=True)
settings.load_profile("book")

ROOT = Path(__file__).parent
CHROMIUM = next(
    filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None
)
sources = runpy.run_path(ROOT / "_ext" / "digests.py")


def pytest_collectstart(collector):
    """Compare what chapters print, not what they draw: nbval leaves out PNG, and here SVG."""
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += ("image/svg+xml",)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item):
    """Let noise into the library where a chapter runs: what it prints must not depend on it.

    Where a chapter is run under other settings (tests/stability/run.py), these are its own.
    """
    with pytest.MonkeyPatch.context() as patch:
        if hasattr(item, "cell") and "MOVED" not in os.environ:
            patch.setenv("JITTER_SEED", "0")
            patch.setenv("PYTHONPATH", str(ROOT / "tests" / "stability"), prepend=os.pathsep)
        return (yield)


@pytest.fixture(scope="session")
def site():
    """Return the folder of the built book, which must have been built from what is here now."""
    built = ROOT / "_build" / ".built"  # made by `make book` when there was no warning
    if not built.exists():
        pytest.fail("the book is not built, or its build had warnings: run `make pages`")
    lines = built.read_text(encoding="utf-8").splitlines()
    before = {path: digest for digest, path in (line.split(maxsplit=1) for line in lines)}
    now = sources["digests"](ROOT, sources["SOURCES"])
    if changed := sorted({path for path, _ in before.items() ^ now.items()}):
        pytest.fail(f"{', '.join(changed)} changed after the build: run `make pages`")
    return ROOT / "_build" / "html"


@pytest.fixture(scope="session")
def page_files(site):
    """Return the path of every page of the book; what is in `_static` is the theme's."""
    others = {"_static", "slides"}  # the slides have tests of their own
    return sorted(path for path in site.rglob("*.html") if not others & set(path.parts))


class Server(SimpleHTTPRequestHandler):
    """A quiet file server."""

    def do_GET(self):
        """Answer; a browser asks for this icon by itself on a redirect, which names none."""
        if self.path == "/favicon.ico":
            self.send_response(204)
            self.end_headers()
        else:
            super().do_GET()

    def log_message(self, *args):
        """Say nothing."""


@pytest.fixture(scope="module")
def address(site):
    """Serve the built book and return its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Server, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def browser():
    """Return a headless Chromium."""
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()
