"""The one progress bar."""

from tqdm import tqdm

__all__ = ["progress_bar"]


def progress_bar(total, description, shown):
    """A bar on stderr that vanishes when done; none if not ``shown`` or if TQDM_DISABLE is set."""
    # tqdm heeds TQDM_DISABLE only where ``disable`` is not given.
    return tqdm(total=total, desc=description, leave=False) if shown else tqdm(disable=True)
