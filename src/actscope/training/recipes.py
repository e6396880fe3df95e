"""How a model is trained, as data; the papers' recipes by name."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, get_args

__all__ = ["RECIPES", "Recipe", "named_recipe"]

Optimizer = Literal["adam", "sgd"]
Schedule = Literal["constant", "step", "linear"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a model is trained. Change one with `recipe.replace(epochs=10)`.

    Training ends after `epochs` passes over the data or after `steps` updates; exactly one of the two is given.

    Attributes:
        optimizer: `adam` (Kingma & Ba 2015) or `sgd`.
        lr: learning rate, of the first step where it changes.
        betas: decay of Adam's two averages.
        eps: Adam's ε; Keras has 1e-7, PyTorch 1e-8.
        momentum: of SGD.
        schedule: `constant`; `step`, the rate times `lr_factor` after every `lr_every` epochs; `linear`, from `lr` at the first
            step to `lr_end` at the last.
        lr_every: epochs between changes of a `step` schedule.
        lr_factor: what a `step` schedule multiplies the rate with.
        lr_end: the last rate of a `linear` schedule.
        epochs: passes over the training examples.
        steps: updates; the last pass may be part of one.
        batch_size: examples per update.
        drop_last: whether a last batch smaller than `batch_size` is left out.
        train_fraction: share of the training examples used, the first ones.
        l2: λ of a penalty λ·ΣW² added to the loss, over kernels only (parameters with two axes or more), as Keras's L2(λ); it
            counts in the loss that is reported.
        weight_decay: PyTorch's coupled decay of all parameters: adds weight_decay · θ to the gradient, after clipping.
        clip_norm: the longest gradient of each parameter tensor by itself, as Keras's `clipnorm`.
        clip_global_norm: the longest gradient of all parameters together.
        patience: epochs in a row without a lower training loss after which training stops; None to go on.

    Raises:
        ValueError: values that contradict each other or make no sense, by name.

    Example:
        >>> RECIPES["he2021.appendix"].replace(epochs=10).n_steps(60_000)
        4690
    """

    optimizer: Optimizer = "adam"
    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-7
    momentum: float = 0.0
    schedule: Schedule = "constant"
    lr_every: int | None = None
    lr_factor: float = 0.1
    lr_end: float | None = None
    epochs: int | None = None
    steps: int | None = None
    batch_size: int = 128
    drop_last: bool = False
    train_fraction: float = 1.0
    l2: float = 0.0
    weight_decay: float = 0.0
    clip_norm: float | None = None
    clip_global_norm: float | None = None
    patience: int | None = None

    def __post_init__(self) -> None:
        if self.optimizer not in get_args(Optimizer):
            raise ValueError(f"optimizer='{self.optimizer}' is not known; choose 'adam' or 'sgd'")
        if self.schedule not in get_args(Schedule):
            raise ValueError(f"schedule='{self.schedule}' is not known; choose 'constant', 'step' or 'linear'")
        if (self.epochs is None) == (self.steps is None):
            raise ValueError(f"give either epochs or steps; got epochs={self.epochs}, steps={self.steps}")
        if (self.schedule == "step") != (self.lr_every is not None):
            raise ValueError(
                f"lr_every goes with schedule='step'; got lr_every={self.lr_every}, schedule='{self.schedule}'"
            )
        if (self.schedule == "linear") != (self.lr_end is not None):
            raise ValueError(
                f"lr_end goes with schedule='linear'; got lr_end={self.lr_end}, schedule='{self.schedule}'"
            )
        if not 0 < self.train_fraction <= 1:
            raise ValueError(f"train_fraction={self.train_fraction} must be above 0 and at most 1")
        for name in ("lr", "eps", "lr_every", "lr_factor", "batch_size", "clip_norm", "clip_global_norm", "patience"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name}={value} must be positive")
        for name in ("lr_end", "epochs", "steps", "momentum", "l2", "weight_decay"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise ValueError(f"{name}={value} must not be negative")

    def replace(self, **changes: Any) -> Recipe:
        """This recipe with some values changed; `epochs` takes the place of `steps`, and the other way round.

        Example:
            >>> RECIPES["jiang2022"].replace(epochs=2).steps is None
            True
        """
        if changes.get("epochs") is not None:
            changes.setdefault("steps", None)
        elif changes.get("steps") is not None:
            changes.setdefault("epochs", None)
        return dataclasses.replace(self, **changes)

    def n_used(self, n_examples: int) -> int:
        """How many of `n_examples` training examples are used: the first `train_fraction`, rounded down, at least one."""
        return max(1, int(self.train_fraction * n_examples))

    def steps_per_epoch(self, n_examples: int) -> int:
        """Updates in one pass over `n_examples` training examples."""
        n_used = self.n_used(n_examples)
        return n_used // self.batch_size if self.drop_last else -(-n_used // self.batch_size)

    def n_steps(self, n_examples: int) -> int:
        """Updates in all, if training is not stopped early."""
        return self.steps if self.steps is not None else (self.epochs or 0) * self.steps_per_epoch(n_examples)

    def lr_at(self, step: int, *, steps_per_epoch: int, n_steps: int) -> float:
        """The learning rate of update `step`, counted from 0, out of `n_steps`."""
        if self.lr_every is not None:
            return self.lr * self.lr_factor ** (step // steps_per_epoch // self.lr_every)
        if self.lr_end is not None:
            return self.lr + (self.lr_end - self.lr) * step / max(n_steps - 1, 1)
        return self.lr

    def to_dict(self) -> dict[str, Any]:
        """All values by name, as plain types."""
        return dataclasses.asdict(self)


RECIPES: dict[str, Recipe] = {
    # The appendix gives no rate for MNIST: 1e-3 with Keras's defaults fits the printed curves.
    "he2021.appendix": Recipe(epochs=2000),
    "he2021.appendix-cifar10": Recipe(lr=1e-2, schedule="step", lr_every=20, batch_size=64, epochs=200),
    # To this one belongs batch normalization before every activation: MLP(…, batch_norm=True).
    "he2021.code": Recipe(
        lr=1e-2, schedule="step", lr_every=20, batch_size=64, epochs=200, l2=1e-6, patience=10, train_fraction=0.8
    ),
    # The appendix again, for its convolutional networks; it gives SGD no momentum.
    "he2021.cnn-mnist": Recipe(lr=1e-2, schedule="step", lr_every=100, epochs=500),
    "he2021.cnn-cifar10": Recipe(optimizer="sgd", lr=1e-2, schedule="step", lr_every=50, batch_size=64, epochs=200),
    "hanin2019": Recipe(eps=1e-8, epochs=20),
    "jiang2022": Recipe(optimizer="sgd", lr=0.1, schedule="linear", lr_end=1e-4, steps=24_000),
    # The paper names neither; these are what public training code for CIFAR-10 has beside the same first rate.
    "jiang2022.decay": Recipe(
        optimizer="sgd", lr=0.1, schedule="linear", lr_end=1e-4, steps=24_000, momentum=0.9, weight_decay=5e-4
    ),
}


def named_recipe(recipe: Recipe | str) -> Recipe:
    """`recipe` itself, or the one of that name in `RECIPES`.

    Raises:
        ValueError: no recipe of that name.
    """
    if isinstance(recipe, Recipe):
        return recipe
    if recipe not in RECIPES:
        raise ValueError(f"recipe='{recipe}' is not known; choose one of {', '.join(RECIPES)}, or give a Recipe")
    return RECIPES[recipe]
