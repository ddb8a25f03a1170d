"""The networks that are really trained, as torch modules in float64.

Contract: a wrong type is a TypeError; a wrong shape, an entry that is not finite, or a number out
of its range a ValueError. Both name the argument.
"""

import itertools
from collections.abc import Iterable

import numpy as np
import torch

from lib import checks, deep_linear

__all__ = ["DeepLinearNetwork", "LinearNetwork", "LowRankAdapter", "ShallowReLU"]


class LinearNetwork(torch.nn.Module):
    """f(x) = xᵀθ: the linear model as a network of one layer.

    Parameters
    ----------
    weights : array (d,)
        θ at the start: the source teacher, or zeros for training from scratch.

    Notes
    -----
    Source: theory, "Setting and notation".
    """

    def __init__(self, weights):
        super().__init__()
        weights = checks.array("weights", weights, (None,))
        self.theta = torch.nn.Parameter(torch.from_numpy(weights.copy()))

    def forward(self, X):
        """Outputs (n,) for inputs (n, d)."""
        return X @ self.theta

    def linear_map(self):
        """θ, detached, as an array (d,)."""
        return self.theta.detach().numpy().copy()


class DeepLinearNetwork(torch.nn.Module):
    """f(x) = xᵀW₁W₂⋯W_L, a deep linear network; the last layer is a column.

    Parameters
    ----------
    layers : list of arrays (d, k₁), (k₁, k₂), …, (k_{L−1}, 1)
        W₁, …, W_L at the start.
    trainable : iterable of int, optional
        Positions, from 0, of the layers to train; None trains all.

    Notes
    -----
    Cost of a pass, forward or backward: that of β, one product of a matrix and a vector per layer,
    and of Xβ. Source: thm-deep-bias, thm-frozen.
    """

    def __init__(self, layers, trainable=None):
        super().__init__()
        layers = deep_linear.chain(layers)
        if trainable is None:
            trainable = range(len(layers))
        if not isinstance(trainable, Iterable):
            raise TypeError(f"trainable must be iterable, got {type(trainable).__name__}")
        last = len(layers) - 1
        chosen = {checks.integer("trainable", j, at_least=0, at_most=last) for j in trainable}
        self.weights = torch.nn.ParameterList(
            torch.nn.Parameter(torch.from_numpy(W.copy()), requires_grad=j in chosen)
            for j, W in enumerate(layers)
        )

    @classmethod
    def balanced(cls, theta, depth, width, rng, trainable=None):
        """A balanced network with the linear map ``theta``, as ``deep_linear.balanced_layers``."""
        return cls(deep_linear.balanced_layers(theta, depth, width, rng), trainable)

    @classmethod
    def random(cls, dim, depth, width, scale, rng, trainable=None):
        """Independent normal entries, of standard deviation ``scale``/√(inputs of the layer)."""
        scale = checks.real("scale", scale, at_least=0)
        rng = checks.generator("rng", rng)
        sizes = [checks.integer("dim", dim, at_least=1)]
        sizes += [checks.integer("width", width, at_least=1)] * (
            checks.depth("depth", depth, infinite=False) - 1
        )
        layers = [
            scale / np.sqrt(rows) * rng.standard_normal((rows, columns))
            for rows, columns in itertools.pairwise([*sizes, 1])
        ]
        return cls(layers, trainable)

    def forward(self, X):
        """Outputs (n,) for inputs (n, d)."""
        return X @ self._product()

    def linear_map(self):
        """β = W₁⋯W_L, detached, as an array (d,)."""
        return self._product().detach().numpy().copy()

    def layers(self):
        """W₁, …, W_L, detached, as a list of arrays."""
        return [W.detach().numpy().copy() for W in self.weights]

    def _product(self):
        # From the right: every step is a matrix times a vector. Not by slices of the list, which
        # would be new modules with the old layers, whatever functional_call puts in their place.
        *inner, last = self.weights
        product = last[:, 0]
        for W in reversed(inner):
            product = W @ product
        return product


class LowRankAdapter(torch.nn.Module):
    """f(x) = xᵀ(W_S + BA): a linear model with a trained adapter of low rank beside its weights.

    Parameters
    ----------
    source : array (d,) or (d, k)
        W_S, which stays as it is; k outputs.
    inputs : array (d, r)
        B at the start.
    outputs : array (r,) or (r, k)
        A at the start.
    trainable : {"both", "inputs", "outputs"}
        Which side is trained.

    Notes
    -----
    Cost of a pass, forward or backward: O(nr(d + k)). Source: thm-lora.
    """

    def __init__(self, source, inputs, outputs, trainable="both"):
        super().__init__()
        source = _weights(source)
        inputs = checks.array("inputs", inputs, (len(source), None))
        outputs = checks.array("outputs", outputs, (inputs.shape[1], *source.shape[1:]))
        checks.choice("trainable", trainable, ("both", "inputs", "outputs"))
        self.register_buffer("source", torch.from_numpy(source.copy()))
        for name, side in ("inputs", inputs), ("outputs", outputs):
            parameter = torch.from_numpy(side.copy())
            trained = trainable in ("both", name)
            setattr(self, name, torch.nn.Parameter(parameter, requires_grad=trained))

    @classmethod
    def usual(cls, source, rank, scale, rng, trainable="both"):
        """Input side random, of standard deviation ``scale``/√d; output side zero: f = xᵀW_S."""
        source = _weights(source)
        rank = checks.integer("rank", rank, at_least=1)
        scale = checks.real("scale", scale, at_least=0) / np.sqrt(len(source))
        inputs = scale * checks.generator("rng", rng).standard_normal((len(source), rank))
        return cls(source, inputs, np.zeros((rank, *source.shape[1:])), trainable)

    @classmethod
    def reverse(cls, source, rank, scale, rng, trainable="both"):
        """Output side random, of standard deviation ``scale``; input side zero: f = xᵀW_S."""
        source = _weights(source)
        rank = checks.integer("rank", rank, at_least=1)
        scale = checks.real("scale", scale, at_least=0)
        outputs = scale * checks.generator("rng", rng).standard_normal((rank, *source.shape[1:]))
        return cls(source, np.zeros((len(source), rank)), outputs, trainable)

    def forward(self, X):
        """Outputs (n,) or (n, k) for inputs (n, d)."""
        return X @ self.source + (X @ self.inputs) @ self.outputs

    def linear_map(self):
        """W_S + BA, detached, as an array (d,) or (d, k)."""
        return (self.source + self.inputs @ self.outputs).detach().numpy().copy()


class ShallowReLU(torch.nn.Module):
    """f(x) = m^{−1/2} Σⱼ aⱼ max(0, wⱼᵀx), with aⱼ = ±1 fixed and w₁, …, w_m trained.

    Parameters
    ----------
    weights : array (m, d)
        w₁, …, w_m at the start.
    signs : array (m,)
        a₁, …, a_m, each 1 or −1.

    Notes
    -----
    Cost of a pass, forward or backward: O(nmd), one matrix product. Source: thm-ntk.
    """

    def __init__(self, weights, signs):
        super().__init__()
        weights = checks.array("weights", weights, (None, None))
        signs = checks.array("signs", signs, (len(weights),))
        if weights.size == 0 or (np.abs(signs) != 1).any():
            raise ValueError("signs must be 1 or −1, and there must be at least one weight")
        self.weights = torch.nn.Parameter(torch.from_numpy(weights.copy()))
        self.register_buffer("output", torch.from_numpy(signs / np.sqrt(len(signs))))

    @classmethod
    def random(cls, dim, width, rng):
        """wⱼ ~ N(0, I) in pairs with opposite signs, so that f = 0 at the start; m even.

        A pair counts as one weight for how well the network's kernel matches its limit.
        """
        dim = checks.integer("dim", dim, at_least=1)
        width = checks.integer("width", width, at_least=2)
        if width % 2:
            raise ValueError(f"width must be even, for its units come in pairs, got {width}")
        half = checks.generator("rng", rng).standard_normal((width // 2, dim))
        return cls(np.concatenate([half, half]), np.repeat([1.0, -1.0], width // 2))

    def forward(self, X):
        """Outputs (n,) for inputs (n, d)."""
        return torch.relu(X @ self.weights.T) @ self.output


def _weights(source):
    """``source`` as an array (d,) or (d, k)."""
    source = checks.array("source", source, (...,))
    if source.ndim not in (1, 2) or 0 in source.shape:
        raise ValueError(f"source must have shape (d,) or (d, k), got {source.shape}")
    return source
