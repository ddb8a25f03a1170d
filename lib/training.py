"""Full-batch gradient descent on any network of the book, in float64.

Contract: a wrong type is a TypeError; a wrong shape, an entry that is not finite, or a number out
of its range a ValueError. Both name the argument.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch.func import functional_call, grad, jacrev, vmap

from lib import checks
from lib.progress import progress_bar

__all__ = ["Run", "empirical_ntk", "stable_learning_rate", "train"]

_NO_GAIN = 1e-24  # of the loss, per step


@dataclass(frozen=True)
class Run:
    """What a run of gradient descent did. The network itself holds the final weights.

    Attributes
    ----------
    steps : int
        Steps taken.
    loss : float
        ℓ after the last step.
    stopped : str
        "loss", "gradient" or "max_steps": the rule that ended it.
    learning_rate : float
        The step size used.
    path_steps : array (p,)
        Steps at which the path was recorded; empty unless asked for.
    path : list of p dicts
        The parameters then, name → array.
    losses : array (p,)
        ℓ then.
    """

    steps: int
    loss: float
    stopped: str
    learning_rate: float
    path_steps: np.ndarray
    path: list
    losses: np.ndarray


def empirical_ntk(network, X, Z=None):
    """Tangent kernel ∇f(x)ᵀ∇f(z) of a finite network, at its present weights.

    Parameters
    ----------
    network : torch.nn.Module
        Maps (n, d) to (n,), each row by itself, with p trainable parameters.
    X : array (n, d)
        Inputs.
    Z : array (n', d), optional
        Other inputs; None takes X.

    Returns
    -------
    array (n, n')

    Notes
    -----
    Cost: n + n' backward passes, one product O(nn'p), and memory for (n + n')p numbers. Source:
    thm-ntk; for a linear model it is XZᵀ.
    """
    rows = _jacobian(network, _inputs(network, X)[0])
    columns = rows if Z is None else _jacobian(network, _inputs(network, Z, "Z")[0])
    return (rows @ columns.T).numpy()


def stable_learning_rate(network, X):
    """1/λ_max, with λ_max the largest curvature of ℓ at the network's present weights.

    The curvature is that of the Gauss–Newton matrix JᵀJ/n, J (n, p) being the Jacobian of the
    outputs in the trainable parameters. For a linear model J = X: 1/λ_max(Σ̂), half of the largest
    step that is stable.

    Parameters
    ----------
    network : torch.nn.Module
        Maps (n, d) to (n,) or (n, k), each row by itself.
    X : array (n, d)
        Inputs.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the outputs do not depend on the trainable parameters.

    Notes
    -----
    Cost: n backward passes and an (n, n) eigenvalue problem. Source: thm-linear-bias for J = X.
    """
    X, shape = _inputs(network, X, outputs=2)
    curvature = torch.linalg.matrix_norm(
        _jacobian(network, X, len(shape) > 1), 2
    ).item() ** 2 / len(X)
    if curvature == 0:
        raise ValueError("network must have outputs on X that depend on its trainable parameters")
    return 1 / curvature


def train(
    network,
    X,
    y,
    *,
    learning_rate=None,
    rates=None,
    tolerance=1e-24,
    max_steps=1_000_000,
    record_every=None,
    progress=True,
):
    """Gradient descent on ℓ = ‖f(X) − y‖²/(2n), changing the network in place.

    It stops when ℓ ≤ tolerance · ℓ(start) or ℓ is mere rounding error, when a step gains nothing,
    η‖∇ℓ‖² ≤ 10⁻²⁴ℓ (labels out of reach: the least-squares point), or after ``max_steps``. An
    interrupt from the keyboard loses nothing: the network keeps its weights, and calling again goes
    on from there.

    Parameters
    ----------
    network : torch.nn.Module
        float64, maps (n, d) to (n,) or (n, k). Parameters with ``requires_grad`` are trained.
    X : array (n, d)
        Inputs.
    y : array (n,) or (n, k)
        Labels.
    learning_rate : float, optional
        Step size; None takes ``stable_learning_rate``.
    rates : sequence of float, optional
        For each trained parameter in turn, the multiple ≥ 0 of the step size that it takes, such as
        a layer's own learning rate; None takes 1 for all.
    tolerance : float
        Relative reduction of the loss at which to stop, at least 0.
    max_steps : int
        At most so many steps, at least 0.
    record_every : int, optional
        Record loss and parameters at the start, every so many steps, and at the end.
    progress : bool
        Show a progress bar, on stderr.

    Returns
    -------
    Run

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong shape or is out of range.
    FloatingPointError
        If the loss overflows: the step size is too large.

    Notes
    -----
    Cost: one forward and one backward pass per step. Source: theory, "Setting and notation".
    """
    X, shape = _inputs(network, X, outputs=2)
    y = torch.from_numpy(checks.array("y", y, tuple(shape)).copy())
    width = shape[1:].numel()
    tolerance = checks.real("tolerance", tolerance, at_least=0)
    max_steps = checks.integer("max_steps", max_steps, at_least=0)
    if record_every is not None:
        record_every = checks.integer("record_every", record_every, at_least=1)
    parameters = [p for p in network.parameters() if p.requires_grad]
    if learning_rate is None:
        learning_rate = stable_learning_rate(network, X.numpy())
    learning_rate = checks.real("learning_rate", learning_rate, above=0)
    if rates is not None:
        rates = checks.array("rates", rates, (len(parameters),))
        if rates.min() < 0:
            raise ValueError(f"rates must be non-negative, got {rates.min():g}")
        rates = rates.tolist()

    # Sums of d terms are known to about √d ε, and so are residuals relative to the labels.
    rounding = (16 * np.finfo(float).eps) ** 2 * X.shape[1] * y.square().mean().item() / 2 * width
    steps, stopped, enough, recorded = 0, "max_steps", None, []
    bar = progress_bar(max_steps, "gradient descent", progress)
    try:
        while True:
            with torch.enable_grad():
                loss = (network(X) - y).square().mean() / 2 * width
                gradients = torch.autograd.grad(loss, parameters)
            now = loss.item(), sum(g.square().sum() for g in gradients).item()
            if not np.isfinite(now).all() and steps == 0:
                raise ValueError("y must be so near the outputs that the loss does not overflow")
            if not np.isfinite(now).all():
                raise FloatingPointError(
                    f"the loss overflowed at step {steps}: learning_rate must be smaller "
                    f"than {learning_rate:.3g}"
                )
            enough = max(tolerance * now[0], rounding) if enough is None else enough
            if now[0] <= enough:
                stopped = "loss"
            elif learning_rate * now[1] <= _NO_GAIN * now[0]:
                stopped = "gradient"
            last = stopped != "max_steps" or steps == max_steps
            if record_every and (last or steps % record_every == 0):
                recorded.append((steps, now[0], _snapshot(network)))
            if last:
                break
            if rates is not None:
                gradients = [rate * g for rate, g in zip(rates, gradients, strict=True)]
            with torch.no_grad():
                torch._foreach_add_(parameters, gradients, alpha=-learning_rate)
            steps += 1
            bar.update()
            if steps % 256 == 0:
                bar.set_postfix(loss=f"{now[0]:.1e}", refresh=False)
    finally:
        bar.close()
    path_steps, losses, path = zip(*recorded, strict=True) if recorded else ((), (), ())
    return Run(
        steps=steps,
        loss=now[0],
        stopped=stopped,
        learning_rate=learning_rate,
        path_steps=np.array(path_steps, dtype=int),
        path=list(path),
        losses=np.array(losses),
    )


def _inputs(network, X, name="X", outputs=1):
    """``X`` as a tensor, and the shape (n,), or (n, k), of what the network makes of it."""
    checks.instance("network", network, torch.nn.Module)
    parameters = [p for p in network.parameters() if p.requires_grad]
    if not parameters or any(p.dtype != torch.float64 for p in parameters):
        raise ValueError("network must have trainable parameters, all of them float64")
    X = torch.from_numpy(checks.samples(X, name=name).copy())
    try:
        with torch.no_grad():
            shape = network(X).shape
    except RuntimeError as error:
        raise ValueError(
            f"{name} must fit the network, got shape {tuple(X.shape)}: {error}"
        ) from error
    if not 1 <= len(shape) <= outputs or shape[:1] != X.shape[:1]:
        raise ValueError(f"network must map X to one output per row, got {tuple(shape)}")
    return X, shape


def _jacobian(network, X, several=False):
    """Derivatives of the outputs on X (n, d) in the p trainable parameters, (n, p) or (nk, p)."""
    trainable = {name: p.detach() for name, p in network.named_parameters() if p.requires_grad}

    def output(parameters, x):
        return functional_call(network, parameters, (x[None],))[0]

    # Row by row: derivatives of all outputs at once would pass through n × n × width numbers.
    jacobian = vmap(jacrev(output) if several else grad(output), in_dims=(None, 0))(trainable, X)
    blocks = [block.flatten(0, 1) if several else block for block in jacobian.values()]
    return torch.cat([block.flatten(1) for block in blocks], dim=1)


def _snapshot(network):
    return {name: p.detach().numpy().copy() for name, p in network.named_parameters()}
