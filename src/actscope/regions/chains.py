"""Models that are a chain of affine maps and activations, and how much each link can stretch."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from actscope.codes.discovery import Activations
from actscope.codes.kinds import Activation
from actscope.regions.maps import spectral_norms
from actscope.regions.programs.linearity import functional
from actscope.regions.programs.operations import Dependence, dependence
from actscope.regions.programs.recording import Call, Recording, Ref, leaves, record
from actscope.regions.programs.specimens import two_batches
from actscope.regions.programs.windows import choice_windows

__all__ = ["Chain", "NotAChainError", "read_chain"]

_MOST_ENTRIES = 1 << 22
"""A matrix with more is not written down: its norm is found by products with vectors."""

_REACH = 40.0
"""Beyond this, every smooth activation that PyTorch has is straight."""


class NotAChainError(ValueError):
    """The model is not a chain of affine maps and activations."""


@dataclass
class Chain:
    """A model's operations in a row: affine maps between activations.

    Attributes:
        recording: one forward pass on two examples.
        varying: the registers that depend on the input.
        links: the calls of each affine map; a link without calls is the identity.
        activations: the call of each activation, in order.
        pooled: by how much all poolings together can stretch.
    """

    recording: Recording
    varying: set[int] = field(default_factory=lambda: {0})
    links: list[list[Call]] = field(default_factory=lambda: [[]])
    activations: list[Call] = field(default_factory=list)
    pooled: float = 1.0

    @torch.no_grad()
    def norms(self) -> list[float]:
        """The spectral norm of each affine map."""
        return [self._norm(calls) for calls in self.links if calls]

    @torch.no_grad()
    def steepest(self, position: int, breakpoints: tuple[float, ...]) -> NDArray[np.float64]:
        """(k + 1, 1) or (k + 1, n_neurons): the largest |slope| of one activation on each interval between k breakpoints."""
        call = self.activations[position]
        activation = call.seen.activation if call.seen is not None else Activation("abs", (), (0.0,), (-1.0, 1.0), True)
        edges = (-math.inf, *breakpoints, math.inf)

        def function(z: Tensor) -> Tensor:
            return self._run([call], z)

        if any(slope is None for slope in activation.slopes) and activation.piecewise_linear:
            z = -torch.ones_like(self.recording.tensors[call.refs()[0]])
            below = (-function(z))[:1].flatten(1).abs()
            return np.concatenate(
                [
                    np.maximum(below.cpu().numpy() if low < 0 else 0.0, np.ones(below.shape) if high > 0 else 0.0)
                    for low, high in itertools.pairwise(edges)
                ]
            )
        if activation.piecewise_linear:
            pieces = list(
                zip(itertools.pairwise((-math.inf, *activation.kinks, math.inf)), activation.slopes, strict=True)
            )
            return np.array(
                [
                    [max(abs(float(slope or 0)) for (a, b), slope in pieces if a < high and b > low)]
                    for low, high in itertools.pairwise(edges)
                ]
            )
        return np.array([[_steepest(function, low, high)] for low, high in itertools.pairwise(edges)])

    def _norm(self, calls: list[Call]) -> float:
        start = self.recording.tensors[_source(calls[0], self.varying)]
        end = self.recording.tensors[calls[-1].outputs[0]]
        d_in, d_out = start[0].numel(), end[0].numel()
        zeros = torch.zeros_like(start)
        added = self._run(calls, zeros)[:1].flatten(1)
        if d_in * d_out <= _MOST_ENTRIES:
            rows = []
            for first in range(0, d_in, 2):
                pair = zeros.flatten(1).clone()
                for row, column in enumerate(range(first, min(first + 2, d_in))):
                    pair[row, column] = 1.0
                rows.append(self._run(calls, pair.reshape(start.shape)).flatten(1) - added)
            return float(spectral_norms(torch.cat(rows)[None, :d_in])[0])
        return self._norm_by_products(calls, zeros, added, d_in, d_out)

    def _norm_by_products(self, calls: list[Call], zeros: Tensor, added: Tensor, d_in: int, d_out: int) -> float:
        from scipy.sparse.linalg import LinearOperator, svds

        def forth(vector: NDArray[np.float64]) -> NDArray[np.float64]:
            rows = zeros.flatten(1).clone()
            rows[0] = torch.from_numpy(np.array(vector).reshape(-1)).to(rows.device)
            image = self._run(calls, rows.reshape(zeros.shape))[:1].flatten(1) - added
            return np.asarray(image[0].cpu().numpy())

        def back(vector: NDArray[np.float64]) -> NDArray[np.float64]:
            with torch.enable_grad():
                rows = zeros.clone().requires_grad_()
                image = self._run(calls, rows)[0].flatten()
                weights = torch.from_numpy(np.array(vector).reshape(-1)).to(image.device)
                (gradient,) = torch.autograd.grad(image @ weights, rows)
            return np.asarray(gradient[0].flatten().cpu().numpy())

        operator = LinearOperator((d_out, d_in), matvec=forth, rmatvec=back, dtype=np.float64)
        start = np.random.default_rng(0).standard_normal(min(d_in, d_out))
        largest = svds(operator, k=1, v0=start, return_singular_vectors=False)
        return float(largest[0])

    def _run(self, calls: list[Call], rows: Tensor) -> Tensor:
        values = {_source(calls[0], self.varying): rows}

        def filled(value: Any) -> Any:
            if isinstance(value, Ref):
                found = values.get(value.register)
                return self.recording.tensors[value.register] if found is None else found
            return type(value)(map(filled, value)) if isinstance(value, (tuple, list)) else value

        for call in calls:
            func = functional(call)
            if func is None:
                raise NotAChainError(
                    f"{call.here} writes in place, and has no twin that does not: clone its input first"
                )
            result = func(*filled(call.args), **{key: filled(value) for key, value in call.kwargs.items()})
            made = [leaf for leaf in leaves(result) if isinstance(leaf, Tensor)]
            values.update(zip(call.outputs, made, strict=False))
        return values[calls[-1].outputs[0]]


def read_chain(model: nn.Module, example: Tensor, *, activations: Activations | None = None) -> Chain:
    """The links of a model that is a chain: linear and convolutional layers, normalization in eval mode, pooling, activations.

    Args:
        model: in float64, on the device of `example`.
        example: (1, …) float64.

    Raises:
        NotAChainError: if an operation joins two branches, or is none of these; the message names it.
    """
    inputs = two_batches(model, example, example.device)[0]
    chain = Chain(record(model, inputs, activations=activations))
    current, n = 0, len(inputs)
    places: set[int] = set()  # where a pooling found its values, in whole numbers
    for call in chain.recording.calls:
        kind = dependence(call.name)
        if set(call.refs()) & places:
            if not set(call.refs()) <= places:
                raise NotAChainError(f"{call.here} takes values from places that depend on the input")
            places.update(call.outputs)
            continue
        sources = [register for register in call.refs() if register in chain.varying]
        if not sources or kind is Dependence.SHAPE:
            continue
        if set(sources) != {current} or call.rewritten:
            raise NotAChainError(
                f"{call.here} takes a value from further back, or joins two: the product bound is for chains of layers, without branches"
            )
        _take(chain, call, kind, sources)
        whole = [register for register in call.outputs if not chain.recording.tensors[register].is_floating_point()]
        places.update(whole)
        chain.varying.update(set(call.outputs) - set(whole))
        current = call.outputs[0] if call.outputs else current
        if chain.recording.tensors[current].shape[:1] != (n,):
            raise NotAChainError(f"{call.here} moves the examples away from the first axis")
    output = [leaf.register for leaf in leaves(chain.recording.output) if isinstance(leaf, Ref)]
    if output[:1] != [current]:
        raise NotAChainError("the model's output is not the last value of its chain of layers")
    return chain


def _take(chain: Chain, call: Call, kind: Dependence, sources: list[int]) -> None:
    """Add a call to the chain, as a part of an affine map or as an activation."""
    first = leaves(call.args)[0]
    if call.seen is not None or call.name == "abs":
        chain.activations.append(call)
        chain.links.append([])
    elif kind is Dependence.CHOICE and "min" not in call.name:
        before, after = (chain.recording.tensors[register] for register in (sources[0], call.outputs[0]))
        windows = choice_windows(call.name, call.args, call.kwargs, [before.shape[1:]], after.shape[1:])
        # each output is one of its inputs, and an input is the output of at most so many windows
        chain.pooled *= math.sqrt(int(torch.bincount(windows[windows >= 0]).max()))
        chain.links.append([])
    elif not _is_affine(call, kind, len(sources), isinstance(first, Ref) and first.register in chain.varying):
        raise NotAChainError(
            f"{call.here} is no affine map, activation or pooling of a chain of layers, for which alone the product bound is known"
        )
    else:
        chain.links[-1].append(call)


def _is_affine(call: Call, kind: Dependence, n_sources: int, first_varies: bool) -> bool:
    if kind is Dependence.JOINTLY_LINEAR:
        return True
    if kind is Dependence.AFFINE_IN_FIRST:
        by_its_own = "norm" in call.name and any(arg is True for arg in call.args)
        return n_sources == 1 and first_varies and not by_its_own and call.kwargs.get("rounding_mode") is None
    return n_sources == 1 and kind in (Dependence.AFFINE_IN_ONE, Dependence.AFFINE_SUM)


def _source(call: Call, varying: set[int]) -> int:
    return next(register for register in call.refs() if register in varying)


def _steepest(function: Callable[[Tensor], Tensor], low: float, high: float) -> float:
    """sup |f'| on (low, high] of a smooth f that is straight far out: on a grid, made finer twice around the largest value."""
    start = math.nextafter(low, math.inf) if math.isfinite(low) else min(-_REACH, high - _REACH)
    stop = high if math.isfinite(high) else max(_REACH, low + _REACH if math.isfinite(low) else _REACH)
    most = 0.0
    for _ in range(3):
        grid = torch.linspace(start, stop, 20_001, dtype=torch.float64)
        grid[0], grid[-1] = start, stop
        with torch.enable_grad():
            grid.requires_grad_()
            (slopes,) = torch.autograd.grad(function(grid).sum(), grid)
        i = int(slopes.abs().argmax())
        most = max(most, float(slopes[i].abs()))
        near = grid.detach()[max(i - 1, 0) : i + 2]
        start, stop = float(near[0]), float(near[-1])
    return most
