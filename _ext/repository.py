"""Tell the book where its repository is, if it has a public one.

The address comes from BOOK_REPOSITORY or from the git remote `origin` of the book's own repository.
With one, pages show a repository button, chapters launch on Binder and Colab, and the substitutions
below name it. With none, no page shows a dead link.

Substitutions, each a Markdown block: {{ get_the_book }}, {{ install_on_colab }}.
"""

import os
import re
import subprocess
from pathlib import Path

from sphinx.errors import ConfigError

GITHUB = re.compile(
    r"(?:https?://(?:[^@/]+@)?|ssh://git@|git@)github\.com[/:]"
    r"(?P<owner>[\w.-]+)/(?P<name>[\w.-]+?)(?:\.git)?/?"
)


def github_url(address):
    """Return the plain https address of a GitHub repository, or None if it is not one."""
    match = GITHUB.fullmatch(address.strip())
    return match and f"https://github.com/{match['owner']}/{match['name']}"


def git(folder, *arguments):
    """Return what git says in a folder; nothing if it fails or is not installed."""
    command = ["git", "-C", str(folder), *arguments]
    try:
        return os.fsdecode(subprocess.run(command, capture_output=True).stdout).strip()
    except OSError:
        return ""


def origin(folder):
    """Return the remote `origin` of the repository whose top is this folder, empty if none."""
    top = git(folder, "rev-parse", "--show-toplevel")
    if not top or Path(top).resolve() != Path(folder).resolve():
        return ""  # no repository, or another one that this folder lies in
    return git(folder, "remote", "get-url", "origin")


def find_repository(environ, folder):
    """Return the address of the book's public repository, or None."""
    if named := environ.get("BOOK_REPOSITORY"):
        url = github_url(named)
        if url is None:
            raise ConfigError(f"BOOK_REPOSITORY must be a GitHub repository, not {named!r}")
        return url
    return github_url(origin(folder))


def find_pages(environ, folder):
    """Return the address at which GitHub serves the book's pages, without a slash, or None."""
    url = find_repository(environ, folder)
    if url is None:
        return None
    owner, name = url.split("/")[-2:]
    return f"https://{owner.lower()}.github.io/{name}"


def texts(url):
    """Return what the pages say about getting the book."""
    if url is None:
        return {
            "get_the_book": "```sh\nmake book      # in your copy of the repository\n```",
            "install_on_colab": "```\n%pip install git+https://github.com/OWNER/REPOSITORY\n```",
        }
    folder = url.rpartition("/")[2]
    return {
        "get_the_book": f"```sh\ngit clone {url}\ncd {folder}\nmake book\n```",
        "install_on_colab": f"```\n%pip install git+{url}\n```",
    }


def configure(app, config):
    """Fill in the theme's options and the substitutions."""
    url = find_repository(os.environ, app.srcdir)
    options = config.html_theme_options
    options["repository_url"] = url or ""
    options["repository_branch"] = "main"
    options["use_repository_button"] = url is not None
    if url is None:
        options["launch_buttons"] = {}
    config.myst_substitutions = {**config.myst_substitutions, **texts(url)}


def setup(app):
    """Connect to Sphinx."""
    app.connect("config-inited", configure)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
