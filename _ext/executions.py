"""Execute a chapter again when what it ran on has changed, or when its outputs fail the build.

With STORED_OUTPUTS in the environment nothing is executed, and the pages show the outputs that the
chapters hold.

MyST-NB looks up a chapter's outputs in a jupyter-cache by the chapter's own code. They depend on
the library, the packages and Python as well: each state of these has a cache of its own, and only
that of the present state is kept.
"""

import json
import os
import shutil
import sys
from hashlib import sha256
from pathlib import Path

from digests import CODE, digests
from jupyter_cache import get_cache


def choose_cache(app, config):
    """Tell MyST-NB where the executions of the present state are; forget those of any other."""
    if "STORED_OUTPUTS" in os.environ:
        config.nb_execution_mode = "off"
        return
    state = json.dumps([sys.version, digests(app.srcdir, CODE)])
    caches = Path(app.outdir).parent / ".jupyter_cache"
    cache = caches / sha256(state.encode()).hexdigest()
    if not cache.exists():
        shutil.rmtree(caches, ignore_errors=True)
    config.nb_execution_cache_path = str(cache)


def forget_failures(app, env, added, changed, removed):
    """Forget executions that wrote to stderr, which is an error; return their pages, to be redone.

    This is done before a build, not after, so that none is left by a build that was interrupted.
    """
    if "STORED_OUTPUTS" in os.environ:
        return []
    cache = get_cache(env.mystnb_config.execution_cache_path)
    failed = [record for record in cache.list_cache_records() if wrote_to_stderr(cache, record)]
    for record in failed:
        cache.remove_cache(record.pk)
    return [env.path2doc(record.uri) for record in failed]


def wrote_to_stderr(cache, record):
    """Tell whether a cell of a cached notebook wrote to stderr."""
    cells = cache.get_cache_bundle(record.pk).nb.cells  # the cache stores code cells only
    return any(output.get("name") == "stderr" for cell in cells for output in cell.outputs)


def setup(app):
    """Connect to Sphinx."""
    app.connect("config-inited", choose_cache)
    app.connect("env-get-outdated", forget_failures)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
