"""Which models are trained side by side, and in how many pieces, so that all cores are busy and memory suffices."""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Sequence

import torch

from actscope.devices import free_bytes
from actscope.training.stacking.layout import update_rule
from actscope.training.stacking.members import Member

__all__ = ["memory_limit", "plan"]

_WORK_OF_A_STEP = 2e6
"""What a step costs whatever its size, in multiplications."""
_TOLERATED_IDLENESS = 1.08
"""A longest worker this much busier than the average is not worth smaller pieces."""
_MOST_CUTS = 4
"""Cuts that are tried for each worker."""


def plan(members: Sequence[Member], *, n_workers: int, max_bytes: float) -> list[list[Member]]:
    """The models in stacks, the longest to train first.

    Models in a stack see the same batches: one data set, one seed, one batch size, equally far in training. Such a group is cut only
    where that keeps more workers busy, or where a stack would take more than its worker's share of `max_bytes`.
    """
    groups: dict[Hashable, list[Member]] = {}
    for member in members:
        groups.setdefault(_batches(member), []).append(member)
    for group in groups.values():
        group.sort(key=lambda member: (str(update_rule(member)), member.n_parameters, member.index))
    limit = max_bytes / n_workers
    stacks = [piece for group in groups.values() for piece in _pieces(group, _n_pieces(group, limit))]
    ideal = sum(map(_work, stacks)) / n_workers
    best = stacks
    for _ in range(_MOST_CUTS * n_workers):
        if _longest_worker(best, n_workers) <= _TOLERATED_IDLENESS * ideal:
            break
        # the one that costs least to cut, which is the largest
        stacks = sorted(stacks, key=_work)
        stacks = [*stacks[:-1], *_pieces(stacks[-1], 2)]
        if _longest_worker(stacks, n_workers) < _longest_worker(best, n_workers):
            best = stacks
    return sorted(best, key=_work, reverse=True)


def memory_limit(place: torch.device) -> float:
    """Half of the memory that is free, in bytes."""
    return free_bytes(place) / 2


def _batches(member: Member) -> Hashable:
    recipe = member.recipe
    # models that end within an epoch do so together
    end = member.n_steps if member.n_steps % member.steps_per_epoch else None
    same = id(member.inputs), member.dtype, len(member.y), member.seed, recipe.batch_size, recipe.drop_last
    return (*same, end, member.step)


def _pieces(group: list[Member], n: int) -> list[list[Member]]:
    """The group in at most `n` pieces of about equal work, neighbours together."""
    share = sum(map(_work_of, group)) / n
    pieces: list[list[Member]] = []
    done = 0.0
    for member in group:
        if not pieces or done >= share * len(pieces):
            pieces.append([])
        pieces[-1].append(member)
        done += _work_of(member)
    return pieces


def _n_pieces(group: Sequence[Member], limit: float) -> int:
    return max(1, -(-int(sum(map(_bytes_of, group))) // max(int(limit), 1)))


def _longest_worker(stacks: Sequence[Sequence[Member]], n_workers: int) -> float:
    """How long the busiest worker works, if each takes the longest stack left when it is free."""
    busy = [0.0] * n_workers
    for work in sorted(map(_work, stacks), reverse=True):
        heapq.heapreplace(busy, busy[0] + work)
    return max(busy)


def _work(stack: Sequence[Member]) -> float:
    return sum(map(_work_of, stack)) + _WORK_OF_A_STEP * max(member.n_steps - member.step for member in stack)


def _work_of(member: Member) -> float:
    return float((member.n_steps - member.step) * member.recipe.batch_size * member.n_parameters)


def _bytes_of(member: Member) -> int:
    """Parameters with gradients and averages, and what a forward and backward pass keeps."""
    kept = 6 * sum(layer.width for layer in member.layers) * 2 * member.recipe.batch_size
    return (4 * member.n_parameters + kept) * torch.finfo(member.dtype).bits // 8
