"""Activations of a model with what goes in and what comes out of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from actscope.codes.discovery import Activations, Firing, SiteReader
from actscope.codes.kinds import Activation

__all__ = ["ActivationReader"]


class ActivationReader(SiteReader):
    """A `SiteReader` that also reports each activation's result.

    An activation may write over its input, so `on_site` is the last chance to look at a pre-activation, and `on_result` the first
    to look at a post-activation.

    Args:
        model: the model, as `unwrapped` returns it.
        on_site: called with each `Firing`, just before it runs.
        on_result: called with the same `Firing` and the post-activation, just after.
        on_unseen, activations: as for `SiteReader`.
    """

    def __init__(
        self,
        model: nn.Module,
        on_site: Callable[[Firing], None],
        on_result: Callable[[Firing, Tensor], None],
        *,
        on_unseen: Callable[[str], None],
        activations: Activations | None = None,
    ) -> None:
        super().__init__(model, self._begun, on_unseen=on_unseen, activations=activations)
        self._on_begun = on_site
        self._on_result = on_result
        self._open: list[Firing] = []

    def start(self) -> None:
        """Begin a new forward pass."""
        super().start()
        self._open.clear()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        n_open = len(self._open)
        result = super().__torch_function__(func, types, args, kwargs)
        self._ended(n_open, result)
        return result

    def _begun(self, firing: Firing) -> None:
        self._open.append(firing)
        self._muted += 1  # what the hook itself calls is no activation of the model
        try:
            self._on_begun(firing)
        finally:
            self._muted -= 1

    def _ended(self, n_open: int, result: Any) -> None:
        """Report the activation that was begun since `n_open` were open, if there is one."""
        if len(self._open) <= n_open:
            return
        firing = self._open[n_open]
        del self._open[n_open:]
        if not isinstance(result, Tensor):
            raise ValueError(
                f"site {firing.name!r} ({firing.activation.kind}) gives a {type(result).__name__}; the post-activation of an elementwise "
                "activation is a tensor"
            )
        self._muted += 1
        try:
            self._on_result(firing, result)
        finally:
            self._muted -= 1

    def _leaving(self, module: nn.Module, args: Any, output: Any) -> None:
        # a module of activations= was reported on the way in; the outermost of nested ones is the site
        if self._open and self._muted == 1 and self._own_activation(module) is not None and output is not None:
            self._ended(len(self._open) - 1, output)
        super()._leaving(module, args, output)

    def _standing_in(self, function: Callable[..., Any], activation: Activation) -> Callable[..., Any]:
        stand_in = super()._standing_in(function, activation)

        def call(*args: Any, **kwargs: Any) -> Any:
            n_open = len(self._open)
            result = stand_in(*args, **kwargs)
            self._ended(n_open, result)
            return result

        return call
