"""Measures of how similar two tasks are: ``measure(problem, ...) -> float``.

Those that take a ``rank`` also take an array of ranks, and then return an array. For teachers in
batches (..., d) all return arrays, of the shape of the batch before that of the ranks.
"""

import numpy as np

from lib import checks
from lib.numerics import units
from lib.problem import TransferProblem

__all__ = [
    "cosine",
    "spectral_profile",
    "squared_distance",
    "tail_energy",
    "top_energy",
    "weighted_cosine",
    "weighted_squared_distance",
]


def squared_distance(problem):
    """‖u‖², the squared distance of the teachers: blind to the covariance. Cost O(d)."""
    checks.instance("problem", problem, TransferProblem)
    return checks.plain(np.vecdot(problem.gap, problem.gap))


def cosine(problem):
    """cos(θ_S, θ_T) in [−1, 1]: blind to the covariance and to both norms. Cost O(d).

    Raises ValueError if a teacher is zero.
    """
    checks.instance("problem", problem, TransferProblem)
    return _cosine(problem.source, problem.target, "zero")


def weighted_squared_distance(problem):
    """‖Σ^{1/2}u‖², the risk of the pretrained model as it stands: R at n = 0.

    Cost O(d), or O(d²) with eigenvectors. Source: thm-linear-bias at n = 0.
    """
    checks.instance("problem", problem, TransferProblem)
    return checks.plain(problem.population.squared_norm(problem.gap))


def weighted_cosine(problem):
    """cos_Σ(θ_S, θ_T) = θ_SᵀΣθ_T / (‖Σ^{1/2}θ_S‖ ‖Σ^{1/2}θ_T‖), the correlation of the labels.

    Raises ValueError if a teacher is zero on the population. Cost as above. Source: thm-frozen.
    """
    checks.instance("problem", problem, TransferProblem)
    scale = np.sqrt(problem.population.eigenvalues)
    source = scale * problem.population.coordinates(problem.source)
    target = scale * problem.population.coordinates(problem.target)
    return _cosine(source, target, "zero on the population")


def top_energy(problem, rank):
    """‖P_{≤k}u‖², the part of the gap along the top ``rank`` eigenvectors, 0 ≤ rank ≤ d.

    Cost as above, for all ranks together. Source: thm-linear-bound.
    """
    energies, rank = _energies(problem, rank)
    zero = np.zeros_like(energies[..., :1])
    top = np.concatenate([zero, np.cumsum(energies, axis=-1)], axis=-1)
    return checks.plain(top[..., rank])


def tail_energy(problem, rank):
    """‖P_{>k}u‖², the part of the gap outside the top ``rank`` eigenvectors, 0 ≤ rank ≤ d.

    Summed from the tail, so that a small rest keeps its digits. Source: thm-linear-bound.
    """
    energies, rank = _energies(problem, rank)
    zero = np.zeros_like(energies[..., :1])
    tail = np.cumsum(energies[..., ::-1], axis=-1)[..., ::-1]
    return checks.plain(np.concatenate([tail, zero], axis=-1)[..., rank])


def spectral_profile(problem, rank):
    """‖P_{≤k}u‖²/‖u‖², the share of the gap that the top ``rank`` eigenvectors hold.

    With ``rank = numpy.arange(d + 1)`` it is the whole profile, from 0 to 1. Raises ValueError if
    the gap is zero. Source: thm-linear-bound.
    """
    checks.instance("problem", problem, TransferProblem)
    gap = problem.gap / units(problem.gap)  # squares must not over- or underflow
    if not gap.any(axis=-1).all():
        raise ValueError("problem must have source and target that differ: the gap is zero")
    problem = TransferProblem.from_gap(problem.population, gap)
    top, tail = top_energy(problem, rank), tail_energy(problem, rank)
    return top / (top + tail)  # exactly 0 or 1 where one of them is zero


def _cosine(a, b, what):
    for vectors in a, b:
        if not vectors.any(axis=-1).all():
            raise ValueError(
                f"problem must have no teacher that is {what}: the cosine is undefined"
            )
    a, b = (v / units(v) for v in (a, b))  # squares must not over- or underflow
    lengths = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return checks.plain(np.clip(np.vecdot(a, b) / lengths, -1, 1))


def _energies(problem, rank):
    checks.instance("problem", problem, TransferProblem)
    rank = checks.integers("rank", rank, (...,))
    if rank.size and not 0 <= rank.min() <= rank.max() <= problem.population.dim:
        raise ValueError(
            f"rank must be between 0 and {problem.population.dim}, got {rank.min()} to {rank.max()}"
        )
    return problem.population.coordinates(problem.gap) ** 2, rank
