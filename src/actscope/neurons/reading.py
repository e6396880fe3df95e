"""A model run on batches, every neuron's pre-activation, post-activation and gradient handed on as a matrix."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge

from actscope.codes.breakpoints import Breakpoints
from actscope.codes.discovery import Activations, Firing
from actscope.codes.reading import ExampleDim, PatternReader
from actscope.codes.selection import Layers
from actscope.codes.site import Site
from actscope.neurons.activations import ActivationReader
from actscope.neurons.gradients import edge_of

__all__ = ["NeuronReader", "Receiver"]


class Receiver(Protocol):
    """What takes a batch's values at one site, each (n_examples, n_neurons)."""

    def see_pre_activations(self, z: Tensor) -> None:
        """Take the pre-activations; the memory is written over as soon as this returns."""

    def see_post_activations(self, a: Tensor) -> None:
        """Take the post-activations."""


class NeuronReader(PatternReader):
    """A context that runs `model` in eval mode and shows what every neuron of each batch gets and gives.

    The model comes out as it went in, as with `PatternReader`; with `gradients`, all parameters require gradients while it is open,
    so that frozen ones hide nothing, and no `.grad` is written.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        layers: Layers = None,
        breakpoints: Breakpoints = None,
        activations: Activations | None = None,
        example_dim: ExampleDim = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        gradients: bool = True,
    ) -> None:
        super().__init__(
            model,
            layers=layers,
            breakpoints=breakpoints,
            activations=activations,
            example_dim=example_dim,
            device=device,
            dtype=dtype,
        )
        self._reader = ActivationReader(
            self._model, self._on_firing, self._on_result, on_unseen=self._on_unseen, activations=activations
        )
        self.gradients = gradients
        self.edges: dict[str, GradientEdge] = {}
        self._receivers: dict[str, Receiver] = {}
        self._required: list[tuple[Tensor, bool]] = []

    def __enter__(self) -> NeuronReader:
        super().__enter__()
        if self.gradients:
            self._required = [(p, p.requires_grad) for p in self._model.parameters() if p.is_floating_point()]
            for parameter, _ in self._required:
                parameter.requires_grad_(True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for parameter, required in self._required:
            parameter.requires_grad_(required)
        self._required = []
        self.edges = {}
        super().__exit__(kind, error, trace)

    @property
    def device(self) -> torch.device:
        """Where the model runs."""
        return self._device

    def read_into(self, receivers: dict[str, Receiver], inputs: Any, ids: NDArray[Any]) -> Any:
        """The model's output on a batch, of which each chosen site's receiver has then seen the values.

        Raises:
            ValueError: as for `PatternReader.read`.
        """
        self._receivers = receivers
        self.edges = {}
        try:
            with torch.set_grad_enabled(self.gradients):
                _, output = self.read(inputs, ids)
        finally:
            self._receivers = {}
        return output

    def matrix(self, site: Site, values: Tensor) -> Tensor:
        """A tensor of a site's shape, examples along the site's example axis, as (n_examples, n_neurons)."""
        examples_first = values.detach().movedim(self._axis(site.name), 0)
        return examples_first.reshape(len(examples_first), site.n_neurons)

    def _prepared(self, leaf: Any) -> Any:
        leaf = super()._prepared(leaf)
        if not (isinstance(leaf, Tensor) and leaf.is_floating_point() and torch.is_grad_enabled()):
            return leaf
        # gradients reach every site behind the input, and what the model writes into it does not reach the caller's data
        return leaf.detach().requires_grad_().clone()

    def _packed(self, site: Site, firing: Firing) -> NDArray[np.uint8] | Tensor:
        packed = super()._packed(site, firing)  # for its checks of shape and finiteness
        edge = edge_of(firing.pre_activation)
        if edge is not None:
            self.edges[site.name] = edge
        z = firing.pre_activation
        with torch.autocast(z.device.type, enabled=False):  # a model's own must not round the sums
            self._receivers[site.name].see_pre_activations(self.matrix(site, z))
        return packed

    def _on_result(self, firing: Firing, post_activation: Tensor) -> None:
        site = self._plan.get(firing.name)
        if not self._running or self._observing or site is None or site.name not in self._receivers:
            return
        n_values = len(self._batch_ids) * site.n_neurons
        if post_activation.numel() != n_values:
            raise ValueError(
                f"site {site.name!r} ({site.kind}) gives {post_activation.numel()} post-activations for {n_values} pre-activations; "
                "an elementwise activation gives one for one. Leave it out (layers=['!" + site.name + "'])"
            )
        with torch.autocast(post_activation.device.type, enabled=False):
            self._receivers[site.name].see_post_activations(self.matrix(site, post_activation))
