"""Examples with labels, held in memory, and random data that only looks like them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.utils.data import Dataset

__all__ = ["LabelledData", "random_labels", "uniform_pixels", "unit_ball"]


@dataclass(frozen=True, init=False, eq=False, repr=False)
class LabelledData(Dataset[tuple[Tensor, Tensor]]):
    """Examples and their labels as two tensors, and where they come from; also a map-style PyTorch dataset of (x, y).

    Every method that picks examples or changes labels returns new data and keeps each example's id and clean label.

    Attributes:
        x: (n_examples, …) floating; images are (n_examples, channels, height, width) float32 with pixels in [0, 1].
        y: (n_examples,) int64, the labels to learn.
        ids: (n_examples,) int64, each example's index in the file or split it was published in.
        clean_y: (n_examples,) int64, the labels before any noise.
        name: of the data set, such as `mnist`.
        split: `train`, `test`, or None where there is none.
        classes: names of the classes; label i is `classes[i]`.
        note: what a result on this data should say about it; empty if there is nothing to say.

    Raises:
        ValueError: no examples, numbers of examples that differ, or labels that are not classes.
        TypeError: `x` is not floating or `y` not integer.

    Example:
        >>> data = LabelledData(torch.zeros(4, 1, 2, 2), torch.tensor([0, 1, 0, 1]), name="blank")
        >>> data
        LabelledData('blank', 4 examples of 1×2×2, 2 classes)
        >>> data.first(0.5).flatten().x.shape
        torch.Size([2, 4])
    """

    x: Tensor
    y: Tensor
    ids: Tensor
    clean_y: Tensor
    name: str
    split: str | None
    classes: tuple[str, ...]
    note: str

    def __init__(
        self,
        x: Tensor,
        y: Tensor,
        *,
        ids: Tensor | None = None,
        clean_y: Tensor | None = None,
        name: str = "data",
        split: str | None = None,
        classes: Sequence[str] | None = None,
        note: str = "",
    ) -> None:
        if not x.is_floating_point():
            raise TypeError(
                f"{name}: x must be floating, got {x.dtype}; for bytes, x.float() / 255 gives pixels in [0, 1]"
            )
        n_examples = len(x)
        if n_examples == 0:
            raise ValueError(f"{name}: there are no examples: x has shape {tuple(x.shape)}")
        y = _labels(f"{name}: y", y, n_examples)
        n_classes = int(y.max()) + 1 if classes is None else len(classes)
        if int(y.min()) < 0 or int(y.max()) >= n_classes:
            raise ValueError(
                f"{name}: labels run from {int(y.min())} to {int(y.max())}; expected 0 to {n_classes - 1}"
                + ("" if classes is None else f" for the {n_classes} classes given")
            )
        fields = {
            "x": x,
            "y": y,
            "ids": torch.arange(n_examples) if ids is None else _labels(f"{name}: ids", ids, n_examples),
            "clean_y": y if clean_y is None else _labels(f"{name}: clean_y", clean_y, n_examples),
            "name": name,
            "split": split,
            "classes": tuple(str(i) for i in range(n_classes)) if classes is None else tuple(classes),
            "note": note,
        }
        for field, value in fields.items():
            object.__setattr__(self, field, value)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.x[index], self.y[index]

    def __getitems__(self, indices: list[int]) -> list[tuple[Tensor, Tensor]]:
        """The examples at `indices`, gathered at once: what a DataLoader calls for a batch."""
        rows = torch.as_tensor(indices)
        return list(zip(self.x[rows].unbind(), self.y[rows].unbind(), strict=True))

    def __repr__(self) -> str:
        split = "" if self.split is None else f" {self.split}"
        shape = "×".join(map(str, self.x.shape[1:])) or "one number"
        note = f", note: {self.note}" if self.note else ""
        return f"LabelledData('{self.name}'{split}, {len(self)} examples of {shape}, {self.n_classes} classes{note})"

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)

    @property
    def tensors(self) -> tuple[Tensor, Tensor]:
        """`(x, y)`, as PyTorch's `TensorDataset` has it."""
        return self.x, self.y

    def take(self, rows: Tensor) -> LabelledData:
        """The examples at `rows`, a boolean mask or an integer tensor of positions, in that order."""
        return dataclasses.replace(self, x=self.x[rows], y=self.y[rows], ids=self.ids[rows], clean_y=self.clean_y[rows])

    def flatten(self) -> LabelledData:
        """The same examples as vectors: x is (n_examples, n_features)."""
        return dataclasses.replace(self, x=self.x.flatten(1))

    def first(self, fraction: float) -> LabelledData:
        """The first `fraction` of the examples, in (0, 1], rounded down; at least one.

        Raises:
            ValueError: `fraction` is not in (0, 1].
        """
        if not 0 < fraction <= 1:
            raise ValueError(f"fraction={fraction} must be above 0 and at most 1")
        return self.take(torch.arange(max(1, int(fraction * len(self)))))

    def subset(self, n: int, *, seed: int, stratified: bool = False) -> LabelledData:
        """`n` examples drawn at random without replacement, in their published order.

        Not stratified, a smaller draw with the same seed is part of a larger one. Stratified, every class keeps its share of the
        examples, to the nearest whole number (largest remainders are rounded up).

        Raises:
            ValueError: `n` is not between 1 and the number of examples.
        """
        if not 1 <= n <= len(self):
            raise ValueError(f"n={n} must be between 1 and the {len(self)} examples there are")
        order = torch.randperm(len(self), generator=_generator(seed))
        if stratified:
            counts = torch.bincount(self.y, minlength=self.n_classes)
            shares = counts * n / len(self)
            quota = shares.floor().long()
            rounded_up = (shares - quota).argsort(descending=True, stable=True)[: n - int(quota.sum())]
            quota[rounded_up] += 1
            order = torch.cat([order[self.y[order] == c][: int(quota[c])] for c in range(self.n_classes)])
        return self.take(order[:n].sort().values)

    def with_label_noise(
        self, fraction: float, *, seed: int, kind: Literal["shuffle", "uniform"] = "shuffle"
    ) -> LabelledData:
        """The same examples, the labels of a random `fraction` of them replaced; `clean_y` keeps the true ones.

        He et al. 2021, Appendix A, assign random labels to a given share of the examples. Either way an example may draw its own
        label again, so with C balanced classes about fraction · (1 - 1/C) of the labels are wrong.

        Args:
            fraction: share of the examples, from 0 to 1, rounded to a whole number of examples.
            seed: decides which, and what they get.
            kind: `shuffle` permutes the labels among the examples chosen, so that the counts per class stay; `uniform` draws each
                from all classes alike.

        Raises:
            ValueError: a fraction outside [0, 1], or a kind of another name.
        """
        if not 0 <= fraction <= 1:
            raise ValueError(f"fraction={fraction} must be from 0 to 1")
        generator = _generator(seed)
        chosen = torch.randperm(len(self), generator=generator)[: round(fraction * len(self))]
        y = self.y.clone()
        if kind == "shuffle":
            y[chosen] = self.y[chosen[torch.randperm(len(chosen), generator=generator)]]
        elif kind == "uniform":
            y[chosen] = torch.randint(self.n_classes, (len(chosen),), generator=generator)
        else:
            raise ValueError(f"kind='{kind}' is no kind of label noise; choose 'shuffle' or 'uniform'")
        said = f"{kind} label noise on {fraction:g} of the examples"
        return dataclasses.replace(self, y=y, note=f"{self.note}; {said}" if self.note else said)


def unit_ball(n: int, n_features: int, *, seed: int) -> Tensor:
    """`n` points uniform in the unit ball around the origin, (n, n_features) float32.

    The random data of He et al. 2021, Figures 2(e) and 2(f). A point is r·u, u uniform on the sphere and r = U^(1/n_features).

    Example:
        >>> points = unit_ball(1000, 3, seed=0)
        >>> bool((points.norm(dim=1) <= 1).all())
        True
    """
    generator = _generator(seed)
    direction = torch.randn(n, n_features, dtype=torch.float64, generator=generator)
    radius = torch.rand(n, 1, dtype=torch.float64, generator=generator) ** (1 / n_features)
    points: Tensor = direction * (radius / direction.norm(dim=1, keepdim=True))
    return points.float()


def uniform_pixels(n: int, shape: Sequence[int], *, seed: int) -> Tensor:
    """`n` images whose every pixel is drawn from U(0, 1), (n, *shape) float32: the random data of He et al. 2021, Figure 8.

    Example:
        >>> uniform_pixels(5, (1, 28, 28), seed=0).shape
        torch.Size([5, 1, 28, 28])
    """
    return torch.rand(n, *shape, generator=_generator(seed))


def random_labels(x: Tensor, n_classes: int, *, seed: int) -> LabelledData:
    """The examples `x` with labels drawn from `n_classes` classes alike.

    Example:
        >>> random_labels(uniform_pixels(5, (1, 28, 28), seed=0), 10, seed=1)
        LabelledData('random', 5 examples of 1×28×28, 10 classes)
    """
    y = torch.randint(n_classes, (len(x),), generator=_generator(seed))
    return LabelledData(x, y, name="random", classes=[str(i) for i in range(n_classes)])


def _labels(what: str, values: Tensor, n_examples: int) -> Tensor:
    if values.is_floating_point() or values.is_complex() or values.dtype == torch.bool:
        raise TypeError(f"{what} must hold whole numbers, got {values.dtype}")
    if values.shape != (n_examples,):
        raise ValueError(f"{what} has shape {tuple(values.shape)}; expected ({n_examples},), one for each example")
    return values.long()


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
