"""A watch over a model in training: what its units give, what pulls at their weights, which are dead or dying."""

from __future__ import annotations

import warnings
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from actscope.codes.breakpoints import Breakpoints
from actscope.codes.discovery import Activations
from actscope.codes.selection import Layers
from actscope.neurons.passes import TrainingPasses
from actscope.neurons.scalars import Board, board_writer
from actscope.neurons.unitsums import rows_of_weights
from actscope.neurons.verdicts import Thresholds
from actscope.neurons.watchlog import Reading, WatchLog
from actscope.neurons.windows import Window

__all__ = ["Watch", "watch"]


def watch(
    model: nn.Module,
    *,
    every: int = 100,
    average: bool = False,
    layers: Layers = None,
    breakpoints: Breakpoints = None,
    activations: Activations | None = None,
    optimizer: Optimizer | None = None,
    thresholds: Thresholds | None = None,
    tensorboard: Board = None,
) -> Watch:
    """A context in which training is watched: `with neurons.watch(model) as seen:`, and then `seen.log`.

    Of every site, per unit: mean and variance of the post-activation, |Σ g| / Σ |g| of the gradients by the pre-activation, and
    whether the unit is dead or dying. Of every weight (two or more axes, embeddings left out), per unit: the means over incoming
    weights of |∂L/∂w|, |w| and |∂L/∂w / w| (Jiang et al. 2022, Figure 4). Units are channels of convolutional sites, features behind a
    token axis, else neurons.

    *A step* is one `step()` of the optimizer that holds the model's parameters; it need not be passed. All forward passes in
    training mode since the step before belong to it, so gradients may be accumulated over several. Forward passes in eval mode or without
    gradients are not watched. A step that a gradient scaler skips is no step. Without an optimizer of `torch.optim`, call
    `Watch.step()` after every update.

    *Gradients of weights* are read when the optimizer is about to step: after clipping, before the update, before `zero_grad`, and without
    a gradient scaler's factor, which the scaler or the watch (for fused optimizers) takes out. *Gradients by pre-activations* are taken
    in the backward pass, where the factor is still in; only the ratio is reported, which does not depend on a factor that stays the same
    within a window; passes whose gradients overflow are left out. Several backward passes through one forward pass are added up as sizes.
    They are of the loss as it is: with batch normalization in training mode, an example's share comes through its whole batch.
    Under autocast, sums are in float32.

    Args:
        model: the model as it is called in training (a compiled or parallel wrapper too; watched steps then run eagerly).
        every: steps from one reading to the next.
        average: read every step, and report averages over windows of `every` steps, as in the paper's figure; costs more.
        layers, breakpoints, activations: as for `actscope.encode`; the examples must lie on axis 0.
        optimizer: which one counts the steps, where several hold the model's parameters; by default the first to step.
        thresholds: where dead and dying begin.
        tensorboard: a folder, or a writer, for each layer's mean of each measure. A folder needs the extra `tensorboard`.

    Raises:
        ValueError: `every` below 1; on the first watched step, what `actscope.encode` raises for models that cannot be read.
        ImportError: a folder was given and TensorBoard is not installed.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> with watch(model, every=2) as seen:
        ...     for _ in range(5):
        ...         loss = model(torch.randn(16, 4)).square().mean()
        ...         optimizer.zero_grad()
        ...         loss.backward()
        ...         optimizer.step()
        >>> seen.log.steps, seen.log.series("1", "mean").shape
        (array([0, 2, 4]), (3, 8))
    """
    return Watch(
        model,
        every=every,
        average=average,
        layers=layers,
        breakpoints=breakpoints,
        activations=activations,
        optimizer=optimizer,
        thresholds=thresholds,
        tensorboard=tensorboard,
    )


class Watch:
    """A watch over one model; see `watch`. Its hooks are there while the context is open. A pickled or copied watch keeps its log
    and watches nothing."""

    def __init__(
        self,
        model: nn.Module,
        *,
        every: int = 100,
        average: bool = False,
        layers: Layers = None,
        breakpoints: Breakpoints = None,
        activations: Activations | None = None,
        optimizer: Optimizer | None = None,
        thresholds: Thresholds | None = None,
        tensorboard: Board = None,
    ) -> None:
        if every < 1:
            raise ValueError(f"every={every}: read every step (1), or every so many")
        self.every, self.average = every, average
        self._thresholds = Thresholds() if thresholds is None else thresholds
        self._readings: list[Reading] = []
        self._n_steps = 0
        self._window = Window(self._thresholds)
        self._live: TrainingPasses | None = None
        self._model: nn.Module | None = model
        self._choices = {"layers": layers, "breakpoints": breakpoints, "activations": activations}
        self._optimizer = optimizer
        self._writer, self._owns_writer = board_writer(tensorboard)

    @property
    def log(self) -> WatchLog:
        """What was seen so far."""
        return WatchLog(tuple(self._readings), self.every, self.average, self._thresholds)

    @property
    def n_steps(self) -> int:
        """Steps counted so far."""
        return self._n_steps

    def __enter__(self) -> Watch:
        if self._model is None or self._live is not None:
            raise RuntimeError(
                "this watch is open already, or a copy of one that was; make a new one with watch(model)"
            )
        self._live = TrainingPasses(self._model, self._choices)
        self._live.handles = [
            self._model.register_forward_pre_hook(self._before_forward, with_kwargs=True),
            self._model.register_forward_hook(self._after_forward, always_call=True),
            register_optimizer_step_pre_hook(self._before_update),
            register_optimizer_step_post_hook(self._after_update),
        ]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        live, self._live = self._live, None
        if live is not None:
            live.close()
        if self._window.n_steps:
            self._report(self._n_steps - 1)
        if self._owns_writer:
            self._writer.close()  # type: ignore[union-attr]  # a SummaryWriter made here
        if error is None and live is not None and live.n_forwards and not self._n_steps:
            warnings.warn(
                "the watch saw forward passes but no optimizer step, so it has no reading: train with an optimizer of torch.optim "
                "that holds the model's parameters, or call Watch.step() after every update",
                stacklevel=2,
            )
        elif error is None and live is not None and self._n_steps and not live.n_forwards:
            warnings.warn(
                "the watch counted steps but saw no forward pass in training mode, so it has no reading: call the model itself, not only "
                "its parts, or watch the part that is called",
                stacklevel=2,
            )

    def step(self) -> None:
        """Count an update that no optimizer of `torch.optim` made; call it before gradients are reset."""
        self._read(scale=1.0)
        self._count()

    def __repr__(self) -> str:
        state = "open" if self._live is not None else "closed"
        return f"Watch({state}, {self._n_steps:,} steps; {self.log!r})"

    def __getstate__(self) -> dict[str, Any]:
        kept = ("every", "average", "_thresholds", "_readings", "_n_steps")
        return {name: self.__dict__[name] for name in kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._window = Window(self._thresholds)
        self._live = self._model = self._optimizer = self._writer = None
        self._choices, self._owns_writer = {}, False

    @property
    def _due(self) -> bool:
        return self.average or self._n_steps % self.every == 0

    def _before_forward(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        live = self._live
        if live is None or not module.training or not torch.is_grad_enabled():
            return
        live.n_forwards += 1
        if self._due:
            live.drop_if_not_finite()
            live.start(args, kwargs)

    def _after_forward(self, module: nn.Module, args: Any, output: Any) -> None:
        if self._live is not None:
            self._live.stop()

    def _before_update(self, optimizer: Optimizer, args: Any, kwargs: Any) -> tuple[Any, Any] | None:
        if not self._is_counted(optimizer) or _is_skipped(optimizer):
            return None
        closure = args[1] if len(args) > 1 else kwargs.get("closure")
        if closure is None:
            self._read(scale=_scale_left_in(optimizer))
            return None

        def read_after() -> Any:
            # gradients are there when the closure returns, and the weights are still those before the update
            loss = closure()
            self._read(scale=_scale_left_in(optimizer))
            return loss

        if len(args) > 1:
            return (args[0], read_after, *args[2:]), kwargs
        return args, {**kwargs, "closure": read_after}

    def _after_update(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if self._is_counted(optimizer) and not _is_skipped(optimizer):
            self._count()

    def _is_counted(self, optimizer: Optimizer) -> bool:
        live = self._live
        if live is None:
            return False
        if self._optimizer is None and any(
            id(parameter) in live.parameter_ids for group in optimizer.param_groups for parameter in group["params"]
        ):
            self._optimizer = optimizer
        return optimizer is self._optimizer

    def _read(self, *, scale: float) -> None:
        """Add what was seen since the last step to the window, once."""
        live = self._live
        if live is None or not live.sums:
            return
        weights = {}
        for name, (parameter, transposed) in live.weights.items():
            if parameter.grad is not None and not parameter.grad.is_sparse:
                gradient = parameter.grad if scale == 1 else parameter.grad / scale
                weights[name] = rows_of_weights(parameter, gradient, transposed=transposed)
        self._window.add(live.sums, weights, live.n_examples)
        live.sums, live.n_examples = {}, 0

    def _count(self) -> None:
        self._n_steps += 1
        if self._window.n_steps and (not self.average or self._n_steps % self.every == 0):
            self._report(self._n_steps - 1)

    def _report(self, step: int) -> None:
        reading = self._window.reading(step)
        self._window = Window(self._thresholds)
        self._readings.append(reading)
        if self._writer is not None:
            for (place, measure), values in reading.values.items():
                known = values[torch.isfinite(torch.from_numpy(values)).numpy()]
                if len(known):
                    self._writer.add_scalar(f"{measure}/{place}", float(known.mean()), step)


def _is_skipped(optimizer: Optimizer) -> bool:
    """Whether a gradient scaler has told a fused optimizer that gradients overflowed: its step then moves nothing."""
    found = getattr(optimizer, "found_inf", None)
    return bool(found) if isinstance(found, (Tensor, float, int)) else False


def _scale_left_in(optimizer: Optimizer) -> float:
    """The gradient scaler's factor, where the optimizer itself is to take it out."""
    scale = getattr(optimizer, "grad_scale", None)
    return float(scale) if isinstance(scale, (Tensor, float, int)) else 1.0
