"""Print the pip option that adds an index of torch builds, given its address.

On Linux the default build of torch brings gigabytes of CUDA, which the book does not use; the index
of CPU builds has 2.13.0+cpu, which ranks above 2.13.0. Nothing is printed on other systems, or if
the index does not answer within five seconds: pip then takes the default build.
"""

import sys
from http.client import HTTPException
from threading import Thread
from urllib.request import urlopen

SECONDS = 5


def ask(index, replies):
    """Add True to the replies if the index has a page on torch."""
    try:
        with urlopen(f"{index}/torch/", timeout=SECONDS):
            replies.append(True)
    except (OSError, HTTPException):
        pass


def answers(index):
    """Tell whether the index answers in time, however long its names or addresses take to try."""
    replies = []
    asking = Thread(target=ask, args=[index, replies], daemon=True)
    asking.start()
    asking.join(SECONDS)
    return bool(replies)


if __name__ == "__main__":
    for index in sys.argv[1:]:
        if sys.platform == "linux" and answers(index):
            print(f"--extra-index-url={index}")
