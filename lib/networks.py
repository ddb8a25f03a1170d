"""The networks that are really trained, as torch modules in float64."""

import torch

from lib import checks


class LinearNetwork(torch.nn.Module):
    """f(x) = xᵀθ: the linear model as a network of one layer.

    Parameters
    ----------
    weights : array (d,)
        θ at the start: the source teacher, or zeros for training from scratch.

    Raises
    ------
    TypeError, ValueError
        If ``weights`` is not a finite vector.

    Notes
    -----
    Source: theory, "Setting and notation".
    """

    def __init__(self, weights):
        super().__init__()
        weights = checks.array("weights", weights, (None,))
        self.theta = torch.nn.Parameter(torch.tensor(weights))

    def forward(self, X):
        """Outputs (n,) for inputs (n, d)."""
        return X @ self.theta

    def linear_map(self):
        """θ, detached, as an array (d,)."""
        return self.theta.detach().numpy().copy()
