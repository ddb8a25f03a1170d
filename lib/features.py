"""Features that a ridge treats alike: centred, of unit variance, and with an intercept.

A model that starts from a source is pulled towards it, and how hard depends on the units of each
feature. Standard units take the choice away, and need no labels.

Contract: a wrong type is a TypeError; a wrong shape, an entry that is not finite, or a number out
of its range a ValueError. Both name the argument.
"""

from dataclasses import dataclass

import numpy as np

from lib import checks
from lib.numerics import units

__all__ = ["Standard"]

_HEIGHT = 10.0


@dataclass(frozen=True, eq=False)
class Standard:
    """Standard units for features, z = ((x − mean)/deviation, 10), and for models on them.

    The last feature is the intercept's. It is large, so that a ridge holds the intercept a hundred
    times more loosely than the other weights.

    Parameters
    ----------
    mean, deviation : array (d,)
        In the units of the features; deviations positive.
    names : list of str, optional
        Of the features; frames and series must name them alike, in this order.

    Examples
    --------
    Fine-tune a model that has an intercept, and read it in the units it came in.

    >>> from lib.linear_regression import finetune
    >>> X, y = [[0, 10], [1, 30], [2, 20]], [1, 3, 4]
    >>> units = Standard.from_samples(X)
    >>> source = units.weights([1, 0], intercept=2)
    >>> coefficients, intercept = units.model(finetune(units.features(X), y, source, ridge=1e-9))
    >>> coefficients.round(3).tolist(), round(intercept, 3)
    ([1.333, 0.033], 0.667)
    """

    mean: np.ndarray
    deviation: np.ndarray
    names: list | None = None

    def __post_init__(self):
        mean = checks.array("mean", self.mean, (None,)).copy()
        deviation = checks.array("deviation", self.deviation, mean.shape).copy()
        if mean.size == 0 or not (deviation > 0).all():
            raise ValueError("deviation must be positive, one for each feature")
        for name, value in (("mean", mean), ("deviation", deviation)):
            value.flags.writeable = False
            object.__setattr__(self, name, value)

    @classmethod
    def from_samples(cls, X):
        """The units of inputs X (n, d), labelled or not; a constant feature keeps its own.

        The more inputs the better: what is labelled is enough, and labels are not looked at.
        """
        names, X = checks.feature_names(X), checks.samples(X)
        size = units(X.T)[:, 0]  # squares must not over- or underflow
        scaled = X / size
        deviation = scaled.std(axis=0)
        constant = deviation <= 8 * np.finfo(float).eps * np.abs(scaled).max(axis=0)
        return cls(scaled.mean(axis=0) * size, np.where(constant, 1.0, deviation * size), names)

    def features(self, X):
        """The features (n, d + 1) of inputs X (n, d)."""
        checks.same_names(units=self.names, X=checks.feature_names(X))
        X = checks.samples(X, dim=self.mean.size)
        return np.column_stack([(X - self.mean) / self.deviation, np.full(len(X), _HEIGHT)])

    def weights(self, coefficients, intercept=0.0):
        """θ (d + 1,) of the model xᵀcoefficients + intercept; or (k, d + 1) of k of them, in rows.

        The last weight is a tenth of what the model answers to the mean input.
        """
        checks.same_names(units=self.names, coefficients=checks.feature_names(coefficients))
        coefficients = checks.array("coefficients", coefficients, (..., self.mean.size))
        if np.size(intercept) == 1 and coefficients.ndim == 1:  # scikit-learn's classifiers
            intercept = np.reshape(intercept, ())
        intercept = checks.array("intercept", intercept, coefficients.shape[:-1])
        middle = intercept + coefficients @ self.mean
        return np.concatenate([coefficients * self.deviation, middle[..., None] / _HEIGHT], axis=-1)

    def model(self, theta):
        """Coefficients (..., d) and intercept (...) of θ (..., d + 1): the way back."""
        theta = checks.array("theta", theta, (..., self.mean.size + 1))
        coefficients = theta[..., :-1] / self.deviation
        return coefficients, checks.plain(_HEIGHT * theta[..., -1] - coefficients @ self.mean)
