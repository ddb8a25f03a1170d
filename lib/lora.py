"""Adapters of low rank: f(x) = xᵀ(θ_S + BA), with B (d, r) on the input side and A (r, k).

Contract: a wrong type is a TypeError; a wrong shape, an entry that is not finite, or a number out
of its range a ValueError. Both name the argument.
"""

import math

import numpy as np

from lib import checks
from lib.exact_risk import gap_energies, in_units
from lib.numerics import unit
from lib.row_space import RowSpace

__all__ = ["adapter_risk", "finetune", "frozen_risk"]


def finetune(X, y, source, start, rates=(1.0, 1.0)):
    """End point of gradient flow on an adapter of rank one, b(0) = ``start`` and a(0) = 0.

    θ_S + P_∥u + aP_⊥b(0), with ω = η_B/η_A, p = ‖P_∥b(0)‖² and
    a² = (√(p² + 4ω‖P_∥u‖²) − p)/(2ω): what the start had in the blind spot stays, at the height a.

    Parameters
    ----------
    X : array (n, d)
        Target inputs; any rank, any n.
    y : array (n,)
        Target labels, and P_∥u = X⁺(y − Xθ_S): where they are not in the range of X, the
        least-squares value on the row space.
    source : array (d,)
        θ_S.
    start : array (d,)
        b(0), the input side of the adapter.
    rates : (float, float)
        Learning rates (η_B, η_A) > 0 of the input and of the output side.

    Returns
    -------
    array (d,)
        θ_S itself where ⟨b(0), Xᵀ(y − Xθ_S)⟩ = 0: there no weight has a gradient.

    Notes
    -----
    Cost: one thin SVD of X. Source: thm-lora.
    """
    rounding = checks.rounding(X)
    checks.aligned(X=X, source=source, start=start)
    X, y = checks.samples(X, y)
    source = checks.array("source", source, (X.shape[1],))
    start = checks.array("start", start, (X.shape[1],))
    rates = checks.array("rates", rates, (2,))
    if rates.min() <= 0:
        raise ValueError(f"rates must be positive, got {rates.tolist()}")
    space = RowSpace(X, rounding)
    gap, seen = space.fitted(y - X @ source), space.seen(start)
    outputs, answers = seen * (space.s / unit(space.s)), gap * (space.s / unit(space.s))
    size, height = unit(outputs), unit(answers)  # products must not over- or underflow
    outputs, answers = outputs / size, answers / height
    slope = outputs @ answers
    rounding *= max(X.shape) * np.linalg.norm(start / size) * np.linalg.norm(answers)
    if abs(slope) <= rounding:
        return source.copy()
    # a²(‖P_∥b(0)‖² + ωa²) = ‖P_∥u‖²: P_∥b = P_∥u/a at the end, ‖P_∥b‖² − ωa² never changes.
    p, length = np.linalg.norm(seen), np.linalg.norm(gap)
    z = 2 * math.sqrt(rates[0] / rates[1]) * (length / p) / p
    a = math.copysign(length / p * math.sqrt(2 / (1 + math.hypot(1, z))), slope)
    return source + gap @ space.Vt + a * space.unseen(start)


def frozen_risk(dim, n, rank):
    """E R/‖u‖² of an adapter whose random input side is frozen, for isotropic inputs, Σ = I.

    (1 − n/d)(r − 1)/(r − n − 1) for r > n + 1 and (1 − r/d)(n − 1)/(n − r − 1) for r < n − 1: at
    r = n the risk has a peak.

    Parameters
    ----------
    dim : int
        d ≥ 1.
    n : int or array
        Samples, 0 ≤ n < d.
    rank : int or array
        Columns r ≥ 0 of B, independent and normal; the other side is trained until it fits the
        samples, or to least squares where it cannot.

    Returns
    -------
    float, or array of the shape that n and rank broadcast to
        Infinite where r and n differ by at most 1.

    Notes
    -----
    Exact for Gaussian inputs. Cost: O(1) for each. Source: thm-lora.
    """
    dim = checks.integer("dim", dim, at_least=1)
    n, rank = checks.integers("n", n, (...,)), checks.integers("rank", rank, (...,))
    if n.size and not 0 <= n.min() <= n.max() < dim:
        raise ValueError(f"n must be from 0 to dim − 1 = {dim - 1}, got {n.min()} to {n.max()}")
    if rank.size and rank.min() < 0:
        raise ValueError(f"rank must be at least 0, got {rank.min()}")
    n, rank = np.broadcast_arrays(n, rank)
    few, many = np.minimum(n, rank), np.maximum(n, rank)
    with np.errstate(divide="ignore", invalid="ignore"):
        risk = (1 - few / dim) * (many - 1) / (many - few - 1)
    risk = np.where(many - few > 1, risk, math.inf)
    return checks.plain(np.where(few == 0, 1.0, risk))


def adapter_risk(problem, n, rank, noise=0.0):
    """E R of an adapter whose random input side is frozen, for inputs of any spectrum.

    For r > n it is the risk of full fine-tuning plus n(κΣᵢsᵢuᵢ² + σ²)/(r − n), where κ is the
    effective ridge of n samples and sᵢ = λᵢ/(λᵢ + κ). For r < n, with the effective ridge of r
    samples, κΣᵢsᵢuᵢ² + r(κΣᵢsᵢuᵢ² + σ²)/(n − r). Where n and r are at least the number of positive
    eigenvalues, any r does what full fine-tuning does.

    Parameters
    ----------
    problem : TransferProblem
        Supplies the gap u and the eigenvalues λ.
    n, rank : int or array
        Samples, and columns r of B, at least 0; shapes that broadcast.
    noise : float or array
        Standard deviation σ ≥ 0 of the label noise.

    Returns
    -------
    float, or array of the common shape of n, rank and noise
        Infinite at r = n below the number of positive eigenvalues, if there is anything to learn. A
        batch of teachers comes first.

    Notes
    -----
    A deterministic equivalent, exact for large n, r and d under the conditions of
    ``exact_risk.linear_risk``; for Σ = I, ``frozen_risk`` is exact. Cost: as ``linear_risk``.
    Source: prop-adapter-risk; Simon, Karkada, Ghosh and Belkin 2024.
    """
    n, rank = checks.integers("n", n, (...,)), checks.integers("rank", rank, (...,))
    n, rank, noise = np.broadcast_arrays(*checks.amounts(n=n, rank=rank, noise=noise))
    spectrum, energies, size = gap_energies(problem)
    few, more = np.minimum(n, rank), np.abs(n - rank)
    level = spectrum.level(few)
    missing = level.missing(energies)
    noise = noise / size
    full = np.where(rank > n, level.risk(energies, noise), missing)
    loss = few * (missing + noise**2)
    with np.errstate(divide="ignore", invalid="ignore"):
        price = np.where(loss > 0, loss / more, 0.0)
    # With enough samples and columns for every direction it is least squares on all of them.
    least = spectrum.level(n).risk(energies, noise)
    return checks.plain(in_units(np.where(few < spectrum.rank, full + price, least), size))
