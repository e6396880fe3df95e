"""A model run on batches, its activations packed while they are made."""

from __future__ import annotations

import contextlib
import copy
import itertools
from collections.abc import Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from types import TracebackType
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from actscope.codes.bits import pack_finite
from actscope.codes.breakpoints import Breakpoints, resolve_breakpoints
from actscope.codes.discovery import Activations, Firing, SiteReader, UnseenActivationError, scripted_parts, unwrapped
from actscope.codes.restoring import evaluating, random_state_kept
from actscope.codes.selection import Layers, choose
from actscope.codes.site import Site
from actscope.devices import device_of

__all__ = ["ExampleDim", "PatternReader", "Pool"]

ExampleDim: TypeAlias = int | Mapping[str, int]
"""The axis of a pre-activation along which the examples lie: one for all sites, or by name or pattern (the others then take 0)."""

Pool: TypeAlias = Literal["max", "avg"] | None
"""How the positions of a channel become one neuron: their largest or their mean pre-activation; `None` keeps every position."""


class PatternReader:
    """A context that runs `model` in eval mode and gives the packed patterns of each batch.

    The model comes out as it went in: mode, device, gradients and random state are restored, also after an exception. With
    `device` or `dtype`, a copy of the model runs.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        layers: Layers = None,
        breakpoints: Breakpoints = None,
        activations: Activations | None = None,
        example_dim: ExampleDim = 0,
        pool: Pool = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if pool not in (None, "max", "avg"):
            raise ValueError(f"pool={pool!r}: give 'max', 'avg' or None")
        axes = [example_dim] if isinstance(example_dim, int) else list(example_dim.values())
        if any(axis < 0 for axis in axes):
            raise ValueError(f"example_dim={example_dim!r}: count the axis from the front, 0 for the first")
        if dtype is not None and not dtype.is_floating_point:
            raise ValueError(f"dtype={dtype}: a model computes in a floating dtype, such as torch.float64")
        self._model = unwrapped(model)
        self._layers = layers
        self._breakpoints = breakpoints
        self._example_dim = example_dim
        self._pool: Pool = pool
        first = next(itertools.chain(self._model.parameters(), self._model.buffers()), None)
        self._device = (
            device_of(device) if device is not None else (torch.device("cpu") if first is None else first.device)
        )
        self._dtype = dtype or next((p.dtype for p in self._model.parameters() if p.is_floating_point()), None)
        if (first is not None and first.device != self._device) or (
            dtype is not None and _has_other_dtype(self._model, dtype)
        ):
            self._model = copy.deepcopy(self._model).to(device=self._device, dtype=dtype)
        self._reader = SiteReader(self._model, self._on_firing, on_unseen=self._on_unseen, activations=activations)
        self._expected_activations = activations or {}
        self._exits = contextlib.ExitStack()
        self._unseen: list[str] = []
        self._observing = False
        self._running = False
        self._writes_inputs = False
        self._found: list[tuple[Firing, tuple[int, ...]]] = []
        self._plan: dict[str, Site] = {}
        self._parts: dict[str, NDArray[np.uint8] | Tensor] = {}
        self._batch_ids: NDArray[Any] = np.zeros(0, dtype=np.int64)

    def __enter__(self) -> PatternReader:
        with contextlib.ExitStack() as exits:
            exits.enter_context(random_state_kept(self._device))
            exits.enter_context(evaluating(self._model))
            exits.enter_context(torch.no_grad())
            exits.enter_context(self._reader)
            self._exits = exits.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.__exit__(kind, error, trace)

    @property
    def sites(self) -> tuple[Site, ...]:
        """The sites whose patterns `read` packs, in the order in which they run."""
        return tuple(self._plan.values())

    def observe(self, inputs: Any) -> None:
        """Run the model on `inputs` to see which sites fire."""
        self._found = []
        self._unseen = scripted_parts(self._model)
        self._observing = True
        try:
            self._run(inputs)
        finally:
            self._observing = False

    def plan(self, n_examples: int) -> None:
        """Take the sites that fired on the `n_examples` last observed, as the caller chose them, to be what `read` packs.

        Raises:
            UnseenActivationError: if a part of the model runs activations out of sight and the caller chose no layers.
            ValueError: if there is no site, a choice fits none, or the leading axis of a chosen one is not the examples.
        """
        if self._unseen and self._layers is None:
            raise UnseenActivationError(
                f"{self._unseen[0]}, where it cannot be read"
                + (f" (and {len(self._unseen) - 1} more)" if len(self._unseen) > 1 else "")
                + "; write it with separate operations (an unrolled cell, plain modules), or choose the sites to read by layers="
            )
        sites = [self._site(firing, shape) for firing, shape in self._found]
        fired = {site.kind for site in sites}
        for target in self._expected_activations:
            name = str(getattr(target, "__name__", target))
            if name.lower() not in fired:
                raise ValueError(
                    f"activations= names {name}, but the model was not seen to call it. A function is seen where it is called by a "
                    "global name or as a module's attribute; one that is held otherwise (a partial, a closure, a list) can be made a module"
                )
        if not sites:
            raise ValueError(
                f"{type(self._model).__name__} has no activation site: no elementwise nonlinearity that is known ran in its "
                "forward pass. A module or function of your own can be named: activations={MyActivation: (0.0,)}"
            )
        try:
            chosen = [sites[i] for i in choose(sites, self._layers)]
        except ValueError as error:
            raise ValueError(f"{error}{self._silent_modules(sites)}") from None
        sites = [
            replace(site, breakpoints=points)
            for site, points in zip(sites, resolve_breakpoints(sites, self._breakpoints), strict=True)
        ]
        names = {site.name for site in chosen}
        for site in sites:
            if site.name in names and not site.breakpoints:
                raise ValueError(
                    f"site {site.name!r} ({site.kind}) has no breakpoints of its own, because its bounds are not single numbers: give "
                    f"them (breakpoints={{{site.name!r}: …}}), or leave the site out (layers=['!{site.name}'])"
                )
        self._plan = {site.name: site for site in sites if site.name in names}
        for firing, shape in self._found:
            if firing.name in names:
                self._require_example_axis(firing.name, shape, n_examples)
        self._found = []

    def read(self, inputs: Any, ids: NDArray[Any]) -> tuple[NDArray[np.uint8] | Tensor, Any]:
        """Packed patterns (n_examples, n_bytes) uint8 of one batch at the chosen sites, on the model's device, and the model's output.

        Raises:
            ValueError: if a chosen site does not fire, changes its shape, or has a pre-activation that is not finite; if a site fires that
                was not planned, and the caller chose none; if the model is on the meta device.
        """
        if self._device.type == "meta":
            raise ValueError("the model is on the meta device, where tensors have no values: load its weights first")
        self._batch_ids = ids
        self._parts = {}
        output = self._run(inputs)
        missing = [name for name in self._plan if name not in self._parts]
        if missing:
            raise ValueError(
                f"site {missing[0]!r} did not fire on the batch that begins with example {ids[0]}, though it did before: codes need "
                "the same sites in every forward pass; leave it out by layers= if it runs only sometimes"
            )
        parts = [self._parts[name] for name in self._plan]
        self._parts = {}
        if isinstance(parts[0], Tensor):
            return torch.cat([torch.as_tensor(part) for part in parts], dim=1), output
        return np.concatenate(parts, axis=1), output

    def _run(self, inputs: Any) -> Any:
        self._reader.start()
        prepared = _mapped(inputs, self._prepared)
        own: list[Tensor] = []
        if self._observing or self._writes_inputs:  # the same examples run again after they were observed
            prepared = _mapped(prepared, lambda leaf: _cloned(leaf, own))
        versions = [leaf._version for leaf in own]
        self._running = True
        try:
            if isinstance(prepared, Mapping):
                return self._model(**prepared)
            if isinstance(prepared, (tuple, list)):
                return self._model(*prepared)
            return self._model(prepared)
        finally:
            self._running = False
            self._writes_inputs |= any(leaf._version != before for leaf, before in zip(own, versions, strict=True))

    def _prepared(self, leaf: Any) -> Any:
        if isinstance(leaf, np.ndarray):
            if not leaf.flags.writeable:
                leaf = leaf.copy()  # torch warns of a tensor on memory that must not change
            leaf = torch.from_numpy(np.ascontiguousarray(leaf))
        if not isinstance(leaf, Tensor):
            return leaf
        return leaf.to(device=self._device, dtype=self._dtype if leaf.is_floating_point() else None)

    def _on_unseen(self, sentence: str) -> None:
        if sentence not in self._unseen:
            self._unseen.append(sentence)

    def _on_firing(self, firing: Firing) -> None:
        if not self._running:  # what data sets and callbacks call is not the model's
            return
        if self._observing:
            shape = tuple(firing.pre_activation.shape)
            self._found.append((replace(firing, pre_activation=firing.pre_activation.new_empty(0)), shape))
            return
        site = self._plan.get(firing.name)
        if site is None and self._layers is None:
            raise ValueError(
                f"site {firing.name!r} fired on the batch that begins with example {self._batch_ids[0]}, though it did not before: codes "
                f"need the same sites in every forward pass; choose those to read by layers= (such as {list(self._plan)[:3]})"
            )
        if site is not None:
            self._parts[firing.name] = self._packed(site, firing)

    def _packed(self, site: Site, firing: Firing) -> NDArray[np.uint8] | Tensor:
        n_examples = len(self._batch_ids)
        z, axis = firing.pre_activation, self._axis(site.name)
        self._require_example_axis(site.name, tuple(z.shape), n_examples)
        z = z.detach().movedim(axis, 0)
        if self._pool is not None and z.ndim >= 4:
            z = z.flatten(2).amax(-1) if self._pool == "max" else z.flatten(2).mean(-1)
        if tuple(z.shape[1:]) != site.shape:
            raise ValueError(
                f"site {site.name!r} has shape {tuple(z.shape[1:])} on the batch that begins with example {self._batch_ids[0]}, but had "
                f"{site.shape} before: codes need inputs of one size (crop or pad them)"
            )
        z = z.reshape(n_examples, -1)
        packed, row = pack_finite(z, site.breakpoints)
        if row is not None:
            bad = z[row][~torch.isfinite(z[row])]
            raise ValueError(
                f"site {site.name!r} has a pre-activation of {float(bad[0])} for example {self._batch_ids[row]} ({len(bad)} of its "
                f"{site.n_neurons} neurons): a code needs finite values. Look for broken weights or "
                f"inputs, or too small a dtype ({z.dtype})"
            )
        return packed

    def _site(self, firing: Firing, shape: tuple[int, ...]) -> Site:
        axis = self._axis(firing.name)
        rest = tuple(size for i, size in enumerate(shape) if i != axis)
        activation = firing.activation
        site = Site(
            firing.name,
            activation.kind,
            rest,
            activation.breakpoints,
            kinks=activation.kinks,
            slopes=activation.slopes,
            piecewise_linear=activation.piecewise_linear,
        )
        if self._pool is None or len(rest) < 3:
            return site
        if self._pool == "max":
            return replace(site, shape=rest[:1])
        # a mean of pre-activations says nothing certain of any one position
        return replace(site, shape=rest[:1], kinks=(), slopes=(None,), piecewise_linear=False)

    def _require_example_axis(self, name: str, shape: tuple[int, ...], n_examples: int) -> None:
        axis = self._axis(name)
        if len(shape) <= axis or shape[axis] != n_examples:
            raise ValueError(
                f"site {name!r} has a pre-activation of shape {shape}, and its axis {axis} is not the {n_examples} examples it was given. "
                f"Name the right axis (example_dim={{{name!r}: …}}), or leave the site out (layers=['!{name}'])"
            )

    def _axis(self, name: str) -> int:
        if isinstance(self._example_dim, int):
            return self._example_dim
        return next(
            (axis for pattern, axis in self._example_dim.items() if name == pattern or fnmatchcase(name, pattern)), 0
        )

    def _silent_modules(self, sites: list[Site]) -> str:
        """A word on modules that the caller named, if they exist and did not run an activation."""
        if not isinstance(self._layers, (str, list, tuple)):
            return ""
        wanted = {self._layers} if isinstance(self._layers, str) else set(self._layers)
        silent = sorted(
            wanted.intersection(name for name, _ in self._model.named_modules()).difference(site.name for site in sites)
        )
        return f" (module {silent[0]!r} exists, but no activation of its own ran in the forward pass)" if silent else ""


def _mapped(value: Any, function: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _mapped(part, function) for key, part in value.items()}
    if isinstance(value, tuple):
        parts = [_mapped(part, function) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if isinstance(value, list):
        return [_mapped(part, function) for part in value]
    return function(value)


def _cloned(leaf: Any, clones: list[Tensor]) -> Any:
    """A copy of a tensor, added to `clones`; anything else as it is."""
    if not isinstance(leaf, Tensor):
        return leaf
    with torch.inference_mode(False):  # tensors of inference mode do not count what is written to them
        clones.append(leaf.clone())
    return clones[-1]


def _has_other_dtype(model: nn.Module, dtype: torch.dtype) -> bool:
    tensors = [*model.parameters(), *model.buffers()]
    return any(tensor.is_floating_point() and tensor.dtype != dtype for tensor in tensors)
