"""Measures of how similar two tasks are, side by side: ``measure(problem, ...) -> float``.

Those that take a ``rank`` also take an array of ranks, and then return an array.
"""

import numpy as np
import scipy.linalg

from lib import checks
from lib.numerics import unit
from lib.problem import TransferProblem

__all__ = [
    "cosine",
    "side_by_side",
    "spectral_profile",
    "squared_distance",
    "tail_energy",
    "top_energy",
    "weighted_cosine",
    "weighted_squared_distance",
]


def squared_distance(problem):
    """‖u‖², the squared distance of the teachers: blind to the covariance. Cost O(d)."""
    checks.one_pair("problem", problem, TransferProblem)
    return float(problem.gap @ problem.gap)


def cosine(problem):
    """cos(θ_S, θ_T) in [−1, 1]: blind to the covariance and to both norms. Cost O(d).

    Raises ValueError if a teacher is zero.
    """
    checks.one_pair("problem", problem, TransferProblem)
    return _cosine(problem.source, problem.target, "zero")


def weighted_squared_distance(problem):
    """‖Σ^{1/2}u‖², the risk of the pretrained model as it stands: R at n = 0.

    Cost O(d), or O(d²) with eigenvectors. Source: thm-linear-bias at n = 0.
    """
    checks.one_pair("problem", problem, TransferProblem)
    return float(problem.population.squared_norm(problem.gap))


def weighted_cosine(problem):
    """cos_Σ(θ_S, θ_T) = θ_SᵀΣθ_T / (‖Σ^{1/2}θ_S‖ ‖Σ^{1/2}θ_T‖), the correlation of the labels.

    Raises ValueError if a teacher is zero on the population. Cost as above. Source: thm-frozen.
    """
    checks.one_pair("problem", problem, TransferProblem)
    scale = np.sqrt(problem.population.eigenvalues)
    source = scale * problem.population.coordinates(problem.source)
    target = scale * problem.population.coordinates(problem.target)
    return _cosine(source, target, "zero on the population")


def top_energy(problem, rank):
    """‖P_{≤k}u‖², the part of the gap along the top ``rank`` eigenvectors, 0 ≤ rank ≤ d.

    Cost as above, for all ranks together. Source: thm-linear-bound.
    """
    energies, rank = _energies(problem, rank)
    return _plain(np.concatenate([[0.0], np.cumsum(energies)])[rank])


def tail_energy(problem, rank):
    """‖P_{>k}u‖², the part of the gap outside the top ``rank`` eigenvectors, 0 ≤ rank ≤ d.

    Summed from the tail, so that a small rest keeps its digits. Source: thm-linear-bound.
    """
    energies, rank = _energies(problem, rank)
    return _plain(np.concatenate([np.cumsum(energies[::-1])[::-1], [0.0]])[rank])


def spectral_profile(problem, rank):
    """‖P_{≤k}u‖²/‖u‖², the share of the gap that the top ``rank`` eigenvectors hold.

    With ``rank = numpy.arange(d + 1)`` it is the whole profile, from 0 to 1. Raises ValueError if
    the gap is zero. Source: thm-linear-bound.
    """
    checks.one_pair("problem", problem, TransferProblem)
    gap = problem.gap / unit(problem.gap)  # squares must not over- or underflow
    if not gap.any():
        raise ValueError("problem must have source and target that differ: the gap is zero")
    problem = TransferProblem(problem.population, np.zeros_like(gap), gap)
    top, tail = top_energy(problem, rank), tail_energy(problem, rank)
    return top / (top + tail)  # exactly 0 or 1 where one of them is zero


def side_by_side(problem, ranks=()):
    """Every measure above, by name: a dict of str to float, those with a rank at each of ``ranks``.

    Cost: that of the measures, O(d) each, O(d²) with eigenvectors.
    """
    whole = {
        "distance": squared_distance,
        "cosine": cosine,
        "Σ-weighted distance": weighted_squared_distance,
        "Σ-weighted cosine": weighted_cosine,
    }
    split = {"top energy": top_energy, "tail energy": tail_energy, "profile": spectral_profile}
    return {name: measure(problem) for name, measure in whole.items()} | {
        f"{name}, k = {rank}": measure(problem, rank)
        for name, measure in split.items()
        for rank in ranks
    }


def _cosine(a, b, what):
    lengths = scipy.linalg.norm(a), scipy.linalg.norm(b)  # which never overflow
    if 0 in lengths:
        raise ValueError(f"problem must have no teacher that is {what}: the cosine is undefined")
    return float(np.clip((a / lengths[0]) @ (b / lengths[1]), -1, 1))


def _energies(problem, rank):
    checks.one_pair("problem", problem, TransferProblem)
    rank = checks.integers("rank", rank, (...,))
    if rank.size and not 0 <= rank.min() <= rank.max() <= problem.population.dim:
        raise ValueError(
            f"rank must be between 0 and {problem.population.dim}, got {rank.min()} to {rank.max()}"
        )
    return problem.population.coordinates(problem.gap) ** 2, rank


def _plain(value):
    return float(value) if np.ndim(value) == 0 else value
