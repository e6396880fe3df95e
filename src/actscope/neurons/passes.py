"""Forward and backward passes of a training step, read while they happen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from actscope.codes.discovery import Firing, unwrapped
from actscope.codes.reading import PatternReader
from actscope.codes.site import Site
from actscope.neurons.activations import ActivationReader
from actscope.neurons.unitsums import UnitSums

__all__ = ["TrainingPasses"]


class TrainingPasses:
    """What goes through a model in the forward and backward passes of one training step.

    Attributes:
        handles: of every hook, to be taken away at the end.
        n_forwards: forward passes in training mode so far.
        n_examples: examples of the step under way.
        sums: by site, the sums of the step under way.
        weights: parameters of two or more axes by name, and whether units lie along the second axis.
        parameter_ids: of all parameters.
    """

    def __init__(self, model: nn.Module, choices: Mapping[str, Any]) -> None:
        self.handles: list[Any] = []
        self.n_forwards = 0
        self.n_examples = 0
        self.sums: dict[str, UnitSums] = {}
        self._model = unwrapped(model)
        self._choices = choices
        self._sites: dict[str, Site] = {}
        self._reader: ActivationReader | None = None
        self.parameter_ids = {id(parameter) for parameter in self._model.parameters()}
        self.weights = _weights(self._model)

    def start(self, args: Any, kwargs: Any) -> None:
        """Read the forward pass that is about to begin."""
        if self._reader is not None:
            return
        if not self._sites:
            scout = _Scout(self._model, **self._choices)
            with scout:
                scout.observe((args, kwargs))
                scout.plan(_n_examples((args, kwargs)))
                self._sites = {site.name: site for site in scout.sites}
        self.n_examples += _n_examples((args, kwargs))
        reader = ActivationReader(
            self._model,
            self._on_site,
            self._on_result,
            on_unseen=lambda sentence: None,  # the scout has refused what cannot be seen
            activations=self._choices["activations"],
        )
        reader.start()
        reader.__enter__()
        self._reader = reader

    def drop_if_not_finite(self) -> None:
        """Forget passes whose gradients overflowed: a gradient scaler has skipped their step."""
        seen = [sums.gradient_size for sums in self.sums.values() if sums.gradient_size is not None]
        if not all(bool(size.isfinite().all()) for size in seen):
            self.sums, self.n_examples = {}, 0

    def stop(self) -> None:
        """Let the forward pass go."""
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.__exit__(None, None, None)

    def close(self) -> None:
        """Take every hook away."""
        self.stop()
        for handle in self.handles:
            handle.remove()
        self.handles, self.sums = [], {}

    def _on_site(self, firing: Firing) -> None:
        site = self._sites.get(firing.name)
        if site is None:
            return
        sums = self.sums.setdefault(site.name, UnitSums(site.breakpoints))
        z = firing.pre_activation
        with torch.autocast(z.device.type, enabled=False):
            sums.see_pre_activations(z)
        if z.requires_grad:
            # a hook keeps to the value that it was set on, whatever is written over the tensor later
            z.register_hook(sums.see_gradients)  # type: ignore[no-untyped-call]  # torch leaves it untyped

    def _on_result(self, firing: Firing, post_activation: Tensor) -> None:
        sums = self.sums.get(firing.name)
        if sums is not None:
            with torch.autocast(post_activation.device.type, enabled=False):
                sums.see_post_activations(post_activation)


class _Scout(PatternReader):
    """Finds the sites by running the model on the very arguments of a call, in eval mode."""

    def _run(self, inputs: Any) -> Any:
        args, kwargs = tree_map_only(Tensor, Tensor.clone, inputs)  # the model runs on them again
        self._reader.start()
        self._running = True
        try:
            return self._model(*args, **kwargs)
        finally:
            self._running = False


def _weights(model: nn.Module) -> dict[str, tuple[nn.Parameter, bool]]:
    """Parameters of two or more axes by name, and whether units lie along the second axis."""
    found: dict[str, tuple[nn.Parameter, bool]] = {}
    for path, module in model.named_modules():
        if isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
            continue
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.ndim >= 2 and parameter.is_floating_point():
                transposed = isinstance(module, nn.modules.conv._ConvTransposeNd)
                found[f"{path}.{name}" if path else name] = parameter, transposed
    return found


def _n_examples(content: Any) -> int:
    if isinstance(content, Tensor):
        return len(content) if content.ndim else 0
    parts = content.values() if isinstance(content, Mapping) else content if isinstance(content, (tuple, list)) else ()
    return next((n for part in parts if (n := _n_examples(part))), 0)
