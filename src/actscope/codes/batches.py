"""Data of any common form as batches with ids and labels: arrays, data sets, loaders."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    TensorDataset,
)

from actscope.codes.table import as_labels, id_dtype

__all__ = ["Adapt", "Batch", "Batches", "Ids", "Labels", "as_batches", "first_examples", "leading_size"]

Adapt: TypeAlias = Callable[[Any], Any] | None
"""From a batch to the model's input: a tensor, a tuple of positional or a dict of keyword arguments."""

Ids: TypeAlias = ArrayLike | Callable[[Any], ArrayLike] | None
"""An id an example, or a function from a batch to its ids, or `"order"`: the examples are numbered as they come."""

Labels: TypeAlias = ArrayLike | Callable[[Any], ArrayLike] | None
"""A label an example, or a function from a batch to its labels; `None` takes them from the data if they are there.

Labels of a data set stay with its examples when a loader shuffles them.
"""

_LABEL_KEYS = ("labels", "label", "targets", "target", "y")
_DATASET_BATCH_SIZE = 256
_ARRAY_BATCH_BYTES = 2**21
"""Inputs of about this size go through a model at once, if they lie in memory: small enough for the activations of a CNN."""


@dataclass(frozen=True)
class Batch:
    """Some examples: `content` as the data gave it, `inputs` as the model takes it, and (n,) ids and labels."""

    content: Any
    inputs: Any
    ids: NDArray[Any]
    labels: NDArray[np.int64] | None


@dataclass(frozen=True)
class Batches:
    """All batches of some data, once.

    Attributes:
        n_examples: how many examples there will be at most, or `None` where that is not known.
        may_repeat: whether an id may come more than once, as from a distributed sampler that pads.
        n_in_data: how many examples `labels` and `ids` are for, where the batches come with their positions among those; else `None`.
    """

    contents: Iterator[tuple[Any, NDArray[Any] | None]]
    adapt: Adapt
    ids: Ids
    labels: Labels
    n_examples: int | None
    may_repeat: bool
    n_in_data: int | None = None

    def __iter__(self) -> Iterator[Batch]:
        done = 0
        label_array = None if self.labels is None or callable(self.labels) else np.asarray(self.labels)
        id_array = None if self.ids is None or callable(self.ids) or isinstance(self.ids, str) else np.asarray(self.ids)
        for array, what in ((label_array, "labels"), (id_array, "ids")):
            if array is not None and array.ndim != 1:
                raise ValueError(
                    f"{what} has shape {array.shape}; give one an example, as a list or an array of one axis"
                )
            if array is not None and self.n_in_data not in (None, len(array)):
                raise ValueError(
                    f"{what} has shape {array.shape}, but the data has {self.n_in_data} examples; give one an example"
                )
        for content, known_ids in self.contents:
            called_ids = np.asarray(self.ids(content)) if callable(self.ids) else None
            n = len(known_ids) if known_ids is not None else _size(content, called_ids)
            inputs, labels = _split(content, n, self.adapt)
            if callable(self.labels):
                labels = np.asarray(self.labels(content))
            elif label_array is not None:
                labels = label_array[done : done + n] if known_ids is None else label_array[known_ids]
            if called_ids is not None:
                ids = called_ids
            elif id_array is not None:
                ids = id_array[done : done + n] if known_ids is None else id_array[known_ids]
            else:
                ids = np.arange(done, done + n) if known_ids is None else known_ids
            for array, what in ((labels, "labels"), (ids, "ids")):
                if array is not None and array.shape != (n,):
                    raise ValueError(
                        f"a batch of {n} examples came with {what} of shape {array.shape} (examples {done} to {done + n - 1})"
                    )
            done += n
            if n:
                yield Batch(content, inputs, id_dtype(ids), None if labels is None else as_labels(labels, n))
        if not done:
            raise ValueError("the data holds no examples")
        for array, what in ((label_array, "labels"), (id_array, "ids")):
            if array is not None and self.n_in_data is None and len(array) != done:
                raise ValueError(
                    f"{what} has {len(array)} entries, but the data had {done} examples; give one an example"
                )


def as_batches(
    data: Any, *, labels: Labels = None, ids: Ids = None, batch_size: int | None = None, adapt: Adapt = None
) -> Batches:
    """`data` as batches.

    Args:
        data: a tensor or array, a tuple `(inputs, labels)` or a dict of them, a `Dataset`, a `DataLoader`, or an iterable of batches.
        labels, ids: see `Labels` and `Ids`. Without `ids`, an id is the example's index in its data set, taken through the
            loader's sampler.
        batch_size: for data that is not batched yet.
        adapt: how a batch becomes the model's input.

    Raises:
        TypeError, ValueError: if the data has no ids that can be known, holds nothing, or its parts have different lengths.
    """
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size={batch_size}: a batch has at least one example")
    if isinstance(ids, str) and ids != "order":
        raise ValueError(
            f"ids={ids!r}: give one id an example, a function of a batch, or 'order' to number examples as they come"
        )
    tensors = _whole(data)
    if tensors is not None:
        data = tensors if len(tensors) > 1 else tensors[0]
    if isinstance(data, (Tensor, np.ndarray)) or (
        isinstance(data, (tuple, dict))
        and _leaves(data)
        and all(isinstance(leaf, (Tensor, np.ndarray)) for leaf in _leaves(data))
    ):
        contents, length = _slices(data, batch_size)
        return Batches(contents, adapt, ids, labels, length, may_repeat=ids is not None, n_in_data=length)
    if isinstance(data, Dataset) and not isinstance(data, IterableDataset):
        data = DataLoader(data, batch_size=batch_size or _DATASET_BATCH_SIZE)
    elif isinstance(data, DataLoader) and batch_size is not None:
        raise ValueError(f"batch_size={batch_size} was given with a DataLoader, which has its own: {data.batch_size}")
    if (
        isinstance(data, DataLoader)
        and data.batch_sampler is not None
        and not isinstance(data.dataset, IterableDataset)
    ):
        n_examples, may_repeat = _sampled(data)
        if ids is None:
            n_in_data = len(data.dataset) if isinstance(data.dataset, Sized) else None
            return Batches(_indexed(data), adapt, ids, labels, n_examples, may_repeat, n_in_data)
        return Batches(
            ((content, None) for content in data), adapt, ids, labels, n_examples, may_repeat=not isinstance(ids, str)
        )
    if isinstance(data, (str, bytes)) or not isinstance(data, Iterable):
        raise TypeError(
            "data must be a tensor, an array, a tuple (inputs, labels), a Dataset, a DataLoader or an iterable of batches; "
            f"got {type(data).__name__}"
        )
    if ids is None:
        raise ValueError(
            f"{type(data).__name__} gives examples without an index, so their ids cannot be known: pass ids= (an array, a function of "
            "a batch, or 'order' to number the examples as they come)"
        )
    return Batches(((content, None) for content in data), adapt, ids, labels, None, may_repeat=not isinstance(ids, str))


def _whole(data: Any) -> tuple[Any, ...] | None:
    """The tensors of which `data[i]` is row i, if the data set says so: as a `TensorDataset`, or by a property `tensors`."""
    if isinstance(data, TensorDataset):
        unchanged = type(data).__getitem__ is TensorDataset.__getitem__  # a subclass may transform what it gives
        return data.tensors if unchanged else None
    if isinstance(data, Dataset) and isinstance(getattr(type(data), "tensors", None), property):
        tensors = data.tensors  # type: ignore[attr-defined]  # the line above looked
        return tensors if isinstance(tensors, tuple) else None
    return None


def leading_size(content: Any) -> int:
    """How many examples a batch holds: the leading size of its first tensor or array.

    Raises:
        TypeError: if it holds none.
    """
    for leaf in _leaves(content):
        if isinstance(leaf, (Tensor, np.ndarray)) and leaf.ndim:
            return len(leaf)
    raise TypeError(
        f"a batch of type {type(content).__name__} holds no tensor to tell how many examples it has; pass ids= as a function of a batch"
    )


def _size(content: Any, ids: NDArray[Any] | None) -> int:
    """How many examples a batch holds, by its first tensor or else by its ids."""
    try:
        return leading_size(content)
    except TypeError:
        if ids is None or ids.ndim != 1:
            raise
        return len(ids)


def first_examples(content: Any, n_examples: int, keep: int) -> Any:
    """A batch with only its first `keep` examples: everything of length `n_examples` in it is cut."""
    if isinstance(content, (Tensor, np.ndarray)):
        return content[:keep] if content.ndim and len(content) == n_examples else content
    if isinstance(content, Mapping):
        return {key: first_examples(value, n_examples, keep) for key, value in content.items()}
    if isinstance(content, (tuple, list)):
        if content and len(content) == n_examples and not isinstance(content[0], (Tensor, np.ndarray)):
            return content[:keep]
        parts = [first_examples(value, n_examples, keep) for value in content]
        return type(content)(*parts) if hasattr(content, "_fields") else tuple(parts)
    return content


def _split(content: Any, n: int, adapt: Adapt) -> tuple[Any, NDArray[Any] | None]:
    """A batch's inputs and its labels, if it has any."""
    inputs, labels = content, None
    if isinstance(content, Mapping):
        key = next((key for key in _LABEL_KEYS if _is_labels(content.get(key), n)), None)
        if key is not None:
            labels = content[key]
            inputs = {name: value for name, value in content.items() if name != key}
    elif isinstance(content, (tuple, list)):
        if len(content) > 1 and _is_labels(content[-1], n):
            labels, inputs = content[-1], tuple(content[:-1])
        if adapt is None and len(inputs) != 1:
            raise TypeError(
                f"a batch is a {type(content).__name__} of {len(content)} parts, and which of them go to the model is not known: pass "
                "adapt=, a function from a batch to the model's input (such as lambda batch: (batch[0], batch[1]))"
            )
        if adapt is None:
            (inputs,) = inputs
    if adapt is not None:
        inputs = adapt(content)
    if isinstance(labels, Tensor):
        labels = labels.detach().cpu().numpy()
    return inputs, None if labels is None else np.asarray(labels)


def _is_labels(value: Any, n: int) -> bool:
    if isinstance(value, Tensor):
        return value.shape == (n,) and not value.is_floating_point() and not value.is_complex()
    return isinstance(value, np.ndarray) and value.shape == (n,) and value.dtype.kind in "iub"


def _leaves(content: Any) -> list[Any]:
    if isinstance(content, Mapping):
        return [leaf for value in content.values() for leaf in _leaves(value)]
    if isinstance(content, (tuple, list)):
        return [leaf for value in content for leaf in _leaves(value)]
    return [content]


def _slices(data: Any, batch_size: int | None) -> tuple[Iterator[tuple[Any, NDArray[Any] | None]], int]:
    """Slices of arrays that lie in memory."""
    leaves = _leaves(data)
    if any(leaf.ndim == 0 for leaf in leaves):
        raise ValueError("the data is a single number; its first axis must be the examples")
    lengths = {len(leaf) for leaf in leaves}
    if len(lengths) > 1:
        raise ValueError(
            f"inputs and labels do not match: their lengths are {', '.join(str(len(leaf)) for leaf in leaves)}"
        )
    (n,) = lengths
    example_bytes = sum(leaf.nbytes for leaf in leaves) // max(1, n)
    size = batch_size or min(max(_ARRAY_BATCH_BYTES // max(1, example_bytes), 16), 1024)

    def cut(part: Any, start: int) -> Any:
        if isinstance(part, Mapping):
            return {key: cut(value, start) for key, value in part.items()}
        if isinstance(part, tuple):
            return tuple(cut(value, start) for value in part)
        return part[start : start + size]

    return ((cut(data, start), np.arange(start, min(start + size, n))) for start in range(0, n, size)), n


class _RecordingSampler:
    """A batch sampler that remembers which indices it has handed out and not yet seen come back."""

    def __init__(self, batch_sampler: Iterable[Sequence[int]]) -> None:
        self._batch_sampler = batch_sampler
        self.handed_out: deque[NDArray[np.int64]] = deque()

    def __iter__(self) -> Iterator[Sequence[int]]:
        for indices in self._batch_sampler:
            chosen = list(indices)
            self.handed_out.append(np.asarray(chosen, dtype=np.int64))
            yield chosen


def _indexed(loader: DataLoader[Any]) -> Iterator[tuple[Any, NDArray[Any] | None]]:
    """A loader's batches, each with the indices that its sampler chose: by a twin of the loader whose batch sampler remembers."""
    recorder = _RecordingSampler(loader.batch_sampler)  # type: ignore[arg-type]  # the caller checked that there is one
    twin: DataLoader[Any] = DataLoader(
        loader.dataset,
        batch_sampler=recorder,  # type: ignore[arg-type]  # an iterable of index lists is all that a loader asks of one
        num_workers=loader.num_workers,
        collate_fn=loader.collate_fn,
        pin_memory=loader.pin_memory,
        timeout=loader.timeout,
        worker_init_fn=loader.worker_init_fn,
        multiprocessing_context=loader.multiprocessing_context,
        generator=loader.generator,
        prefetch_factor=loader.prefetch_factor,
    )
    drawn_from = {loader.generator, getattr(loader.sampler, "generator", None)} - {None}
    states = [(generator, generator.get_state()) for generator in drawn_from]
    try:
        for content in twin:
            yield content, recorder.handed_out.popleft()
    finally:
        for generator, state in states:
            generator.set_state(state)


def _sampled(loader: DataLoader[Any]) -> tuple[int | None, bool]:
    """How many examples a loader will draw at most, if that is known, and whether it may draw one twice."""
    if type(loader.batch_sampler) is not BatchSampler:
        return None, True
    sampler = loader.batch_sampler.sampler
    if isinstance(sampler, SequentialSampler):
        return len(sampler), False
    if isinstance(sampler, RandomSampler):
        return len(sampler), sampler.replacement or sampler.num_samples > len(sampler.data_source)
    return (len(sampler) if isinstance(sampler, Sized) else None), True
