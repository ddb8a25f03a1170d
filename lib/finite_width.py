"""Really trained ReLU networks of finite width, against the infinitely wide one.

The experiments behind the chapter on width: inputs uniform on the unit sphere in 20 dimensions,
linear teachers, 500 test inputs, gradient descent on all weights, no noise.

Contract: a wrong type is a TypeError; a wrong shape, an entry that is not finite, or a number out
of its range a ValueError. Both name the argument.
"""

import numpy as np
import torch

from lib import checks, networks, relu, training
from lib.problem import Population

__all__ = ["finetune", "pretrain_and_finetune"]

_INPUTS = Population.isotropic(20, 1 / 20)
_GAP, _SOURCE = np.eye(20)[:2]
_TEST = _INPUTS.sample(500, np.random.default_rng(99), "sphere")


def finetune(width, length, rng, *, n=60, step=1.0):
    """Train one network from f = 0 towards xᵀu, and compare it with what two kernels predict.

    Any linear source will do for the start, since only the gap counts.

    Parameters
    ----------
    width : int
        m, even: units in pairs of opposite signs.
    length : float
        ‖u‖ > 0.
    rng : numpy.random.Generator
        Draws the inputs, then the weights.
    n : int
        Number of samples.
    step : float
        Step size, in units of 1/λ_max at the start.

    Returns
    -------
    dict of str to float
        Distances on the test inputs, root mean squares relative to xᵀu: ``sampled`` from the
        infinitely wide network to the kernel regression with the network's own kernel at the start,
        ``moved`` from there to the trained network, ``distance`` from the infinite to the trained
        one. ``risk``, relative to that of the infinite one. ``kernel``, the root mean square error
        of the network's kernel on the samples. ``largest move`` of a unit, and ``total move`` of
        all weights relative to ``relu.correction_norm``. ``pairs switched``, the share of pairs
        (unit, sample) that are switched on or off; ``units switched``, that of units which are at
        any sample. ``along u``, the share of ‖W‖² along the gap in the end. ``highest loss``
        relative to the first, and ``step after``, the step size in units of 1/λ_max in the end.

    Notes
    -----
    Cost: up to 5000 steps of O(n · width · d). Source: thm-ntk, prop-lazy.
    """
    length = checks.real("length", length, above=0)
    step = checks.real("step", step, above=0)
    X = _INPUTS.sample(n, rng, "sphere")
    y, wanted = length * X @ _GAP, length * _TEST @ _GAP
    limit = relu.finetune(X, y, _TEST)
    network = networks.ShallowReLU.random(20, width, rng)
    start = _weights(network)
    kernel = _kernel(start, X, X)
    own = _kernel(start, _TEST, X) @ np.linalg.solve(kernel, y)
    rate = step * n / np.linalg.norm(kernel, 2)
    run = training.train(
        network,
        X,
        y,
        learning_rate=rate,
        tolerance=1e-8,
        max_steps=5000,
        record_every=1 if step > 1 else None,  # at smaller steps the first loss is the highest
        progress=False,
    )
    W, f, size = _weights(network), _outputs(network, _TEST), _rms(wanted)
    switched = (W @ X.T > 0) != (start @ X.T > 0)
    return {
        "sampled": _rms(own - limit) / size,
        "moved": _rms(f - own) / size,
        "distance": _rms(f - limit) / size,
        "risk": (_rms(f - wanted) / _rms(limit - wanted)) ** 2,
        "kernel": _rms(kernel - relu.ntk(X)),
        "largest move": np.linalg.norm(W - start, axis=1).max(),
        "total move": np.linalg.norm(W - start) / relu.correction_norm(X, y),
        "pairs switched": switched.mean(),
        "units switched": switched.any(axis=1).mean(),
        "along u": np.sum((W @ _GAP) ** 2) / np.sum(W**2),
        "highest loss": run.losses.max() / run.losses[0] if step > 1 else 1.0,
        "step after": rate * np.linalg.norm(_kernel(W, X, X), 2) / n,
    }


def pretrain_and_finetune(width, rng, *, source_samples=100, n=40):
    """Train one network on xᵀθ_S, then the same weights on xᵀθ_T; ‖θ_S‖ = 1, ‖u‖ = ½, orthogonal.

    Parameters
    ----------
    width, rng
        As in ``finetune``.
    source_samples, n : int
        Numbers of source and of target samples.

    Returns
    -------
    dict of str to float
        Risks on the test inputs: ``source``, of the pretrained network on the source task; on the
        target ``target``, of the fine-tuned network, ``infinite``, of the infinitely wide one after
        the same two stages, ``perfect source``, of that from f_S = xᵀθ_S, and ``scratch``, of that
        from f_S = 0; and the ``ratio`` of the first two.

    Notes
    -----
    Cost: as twice ``finetune``. Source: thm-ntk, prop-lazy.
    """
    X_S, X = (_INPUTS.sample(size, rng, "sphere") for size in (source_samples, n))
    target = _SOURCE + _GAP / 2
    network = networks.ShallowReLU.random(20, width, rng)
    stop = {"tolerance": 1e-6, "max_steps": 3000, "progress": False}
    training.train(network, X_S, X_S @ _SOURCE, **stop)
    before = _outputs(network, _TEST)
    training.train(network, X, X @ target, **stop)
    wanted = _TEST @ target

    def adapted(f_S):
        return f_S(_TEST) + relu.finetune(X, X @ target - f_S(X), _TEST)

    ends = {
        "target": _outputs(network, _TEST),
        "infinite": adapted(lambda Z: relu.finetune(X_S, X_S @ _SOURCE, Z)),
        "perfect source": adapted(lambda Z: Z @ _SOURCE),
        "scratch": adapted(lambda Z: np.zeros(len(Z))),
    }
    risks = {name: np.mean((f - wanted) ** 2) for name, f in ends.items()}
    return {
        "source": np.mean((before - _TEST @ _SOURCE) ** 2),
        **risks,
        "ratio": risks["target"] / risks["infinite"],
    }


def _weights(network):
    return network.weights.detach().numpy().copy()


def _kernel(W, X, Z):
    """The tangent kernel G_W, as ``training.empirical_ntk`` of the network with weights W."""
    on, also = (X @ W.T > 0).astype(float), (Z @ W.T > 0).astype(float)
    return X @ Z.T * (on @ also.T) / len(W)


def _outputs(network, X):
    with torch.no_grad():
        return network(torch.from_numpy(X)).numpy()


def _rms(values):
    return np.sqrt(np.mean(np.square(values)))
