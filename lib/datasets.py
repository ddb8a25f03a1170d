"""Real data for the chapters, as dict-like bunches; nothing here needs the network."""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.utils import Bunch

from lib import checks


def digits():
    """1797 handwritten digits of 8 × 8 pixels, which ship with scikit-learn.

    Returns
    -------
    sklearn.utils.Bunch
        ``data`` (1797, 64), pixels scaled from 0…16 to [0, 1], neither centred nor whitened;
        ``target`` (1797,), the digit, int; ``images`` (1797, 8, 8), a view of ``data``.

    Notes
    -----
    Cost: a fraction of a second. Source: the UCI optical recognition of handwritten digits set.
    """
    raw = load_digits()
    data = raw.data / 16.0
    return Bunch(data=data, target=raw.target, images=data.reshape(-1, 8, 8))


def readout(X, labels):
    """Least-squares readout: the smallest θ among those that minimise ‖Xθ − labels‖.

    Parameters
    ----------
    X : array (n, d)
        Inputs.
    labels : array (n,) or (n, tasks)
        One column per task; ±1 for a question with two answers.

    Returns
    -------
    array (d,) or (tasks, d)
        One teacher per task.

    Raises
    ------
    TypeError, ValueError
        If the lengths do not fit or an entry is not finite.

    Notes
    -----
    Cost: one least-squares solve, O(nd²), for all tasks together.
    """
    X = checks.samples(X)
    labels = np.asarray(labels)
    labels = checks.array("labels", labels, (len(X), None)[: max(labels.ndim, 1)])
    return np.linalg.lstsq(X, labels, rcond=None)[0].T
