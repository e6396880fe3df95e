"""Regions in the plane by relucent, which steps from region to region and solves linear programs for what bounds each."""

from __future__ import annotations

import importlib
from types import ModuleType

from torch import nn

__all__ = ["RelucentMissingError", "count", "require_relucent"]


class RelucentMissingError(ImportError):
    """relucent cannot be imported, so nothing can be measured against it; the message is the reason to skip a row."""


def require_relucent() -> ModuleType:
    """The module `relucent`.

    Raises:
        RelucentMissingError: if it cannot be imported.
    """
    try:
        return importlib.import_module("relucent")
    except ImportError as error:
        raise RelucentMissingError(
            f"relucent cannot be imported ({error}): `pip install relucent==1.0.0`, next to actscope and torch. It solves with"
            " Gurobi, and the licence that comes in Gurobi's package is for evaluation alone and forbids to publish measurements:"
            " to publish any, bring another licence"
        ) from error


def count(model: nn.Module, *, half_width: float | None = None, verify: bool = False, n_workers: int = 1) -> int:
    """How many activation regions an MLP with ReLUs has in all of its input space, or that meet the cube [-half_width, half_width]^d.

    relucent 1.0 searches breadth first from the origin, over regions of full dimension, each one activation pattern: linear programs
    tell which neurons bound a region, and the search steps across those. With a window it keeps to the regions that meet it, whole.
    Gurobi's package solves programs of up to 2,000 variables and constraints without a licence of one's own, enough for 96 neurons on
    2 inputs. The search runs in processes of its own: call this from a script whose main part is guarded.

    Args:
        model: linear layers with ReLUs between them; the origin must lie inside a region.
        verify: whether relucent certifies afterwards what it found.
        n_workers: its processes.

    Raises:
        RelucentMissingError: if relucent cannot be imported.
        RuntimeError: if the search ended before it had seen every neighbour.
    """
    relucent = require_relucent()
    layers = [module for module in model.modules() if isinstance(module, nn.Linear | nn.ReLU)]
    regions = relucent.Complex(nn.Sequential(*layers))
    window = {} if half_width is None else {"cube_radius": half_width, "cube_mode": "intersect"}
    search = regions.bfs(nworkers=n_workers, verify=verify, verbose=0, **window)
    if not search.complete:
        raise RuntimeError(f"relucent stopped at {len(regions)} regions before it had seen every neighbour")
    return len(regions)
