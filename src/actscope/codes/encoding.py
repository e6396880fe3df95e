"""From a model and data to codes, in one streaming pass."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from actscope.codes.batches import Adapt, Batch, Batches, Ids, Labels, as_batches, first_examples, leading_size
from actscope.codes.breakpoints import Breakpoints
from actscope.codes.discovery import Activations
from actscope.codes.parquet import CodesFile, CodesWriter, require_writable
from actscope.codes.reading import ExampleDim, PatternReader, Pool
from actscope.codes.selection import Layers
from actscope.codes.site import Site
from actscope.codes.table import Codes, TwoCodesError, first_rows_of_ids
from actscope.progress import progress_bar

__all__ = ["OnOutput", "encode", "sites"]

OnOutput = Callable[[Any, NDArray[np.int64] | None], None]
"""Called with the model's output on each batch and the batch's labels."""

_PROBE = 2
"""Examples in the pass that finds the sites: another number than a batch has, so that a site's example axis shows."""


def sites(
    model: nn.Module,
    example: Any,
    *,
    layers: Layers = None,
    breakpoints: Breakpoints = None,
    activations: Activations | None = None,
    adapt: Adapt = None,
    example_dim: ExampleDim = 0,
    pool: Pool = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> list[Site]:
    """What can be read in a model: every activation that runs on `example`, in the order in which it runs.

    Args:
        model: any module whose forward pass is Python; a compiled or data-parallel wrapper is looked through.
        example: a batch of one or more examples, in the form that `encode` takes its batches in.
        layers, breakpoints, activations, adapt, example_dim, pool, device, dtype: as for `encode`.

    Raises:
        UnseenActivationError: if a part of the model runs activations out of sight (fused recurrent kernels, scripted parts).
        ValueError: if there is no site, or a name or pattern fits none.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2), nn.Tanh())
        >>> for site in sites(model, torch.zeros(1, 4)):
        ...     print(site)
        1: relu, 3 = 3 neurons, breakpoints {0}
        3: tanh, 2 = 2 neurons, breakpoints {-0.5, 0, 0.5}
    """
    batch = next(iter(as_batches(iter([example]), adapt=adapt, ids="order")))
    reader = PatternReader(
        model,
        layers=layers,
        breakpoints=breakpoints,
        activations=activations,
        example_dim=example_dim,
        pool=pool,
        device=device,
        dtype=dtype,
    )
    with reader:
        reader.observe(batch.inputs)
        reader.plan(len(batch.ids))
        return list(reader.sites)


@overload
def encode(
    model: nn.Module,
    data: Any,
    labels: Labels = ...,
    *,
    layers: Layers = ...,
    breakpoints: Breakpoints = ...,
    activations: Activations | None = ...,
    adapt: Adapt = ...,
    example_dim: ExampleDim = ...,
    pool: Pool = ...,
    ids: Ids = ...,
    split: str | None = ...,
    batch_size: int | None = ...,
    device: torch.device | str | None = ...,
    dtype: torch.dtype | None = ...,
    out: None = ...,
    on_output: OnOutput | None = ...,
    progress: bool | None = ...,
) -> Codes: ...
@overload
def encode(
    model: nn.Module,
    data: Any,
    labels: Labels = ...,
    *,
    layers: Layers = ...,
    breakpoints: Breakpoints = ...,
    activations: Activations | None = ...,
    adapt: Adapt = ...,
    example_dim: ExampleDim = ...,
    pool: Pool = ...,
    ids: Ids = ...,
    split: str | None = ...,
    batch_size: int | None = ...,
    device: torch.device | str | None = ...,
    dtype: torch.dtype | None = ...,
    out: str | os.PathLike[str],
    on_output: OnOutput | None = ...,
    progress: bool | None = ...,
) -> CodesFile: ...
def encode(
    model: nn.Module,
    data: Any,
    labels: Labels = None,
    *,
    layers: Layers = None,
    breakpoints: Breakpoints = None,
    activations: Activations | None = None,
    adapt: Adapt = None,
    example_dim: ExampleDim = 0,
    pool: Pool = None,
    ids: Ids = None,
    split: str | None = None,
    batch_size: int | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    out: str | os.PathLike[str] | None = None,
    on_output: OnOutput | None = None,
    progress: bool | None = None,
) -> Codes | CodesFile:
    """The neural code of every example: which interval each neuron's pre-activation lies in, packed to bits.

    Bit i of a neuron is [z > γi] for its breakpoints γ1 < … < γk (He et al. 2021, Section 3, for ReLU; Jiang et al. 2022, Definition 1,
    for any activation). The forward pass runs in eval mode without gradients; the bits leave it packed, and no activation is kept. The
    model, its mode and device, and all random states are as before afterwards.

    Args:
        model: any module whose forward pass is Python; a compiled or data-parallel wrapper is looked through.
        data: a tensor or array (n_examples, …), a tuple `(inputs, labels)`, a `Dataset`, a `DataLoader`, or an iterable of batches
            (which needs `ids`).
        labels: (n_examples,) integers in the order of the data set, whatever order a loader draws it in (with `ids`: in the order of
            `data`), or a function from a batch to its labels; by default integers that come with the data.
        layers: which sites: names, glob patterns (one with a leading `!` leaves out), or a predicate on `Site`.
        breakpoints: other breakpoints, for all sites or by site name, pattern or kind.
        activations: module classes or functions that are one activation each, with their breakpoints: `{MyGELU: (0.0,)}`.
        adapt: from a batch to the model's input (a tensor, a tuple of positional or a dict of keyword arguments).
        example_dim: the axis of a pre-activation that runs over examples, for all sites or by name or pattern.
        pool: `"max"` or `"avg"` makes one neuron of each channel of a site with two or more spatial axes.
        ids: an id an example. By default the example's index in its data set, taken through the loader's sampler: an example that
            is drawn twice counts once.
        split: the name of the part of the data, such as `"train"`, to keep with the codes.
        batch_size: for data that is not batched yet; by default a size that fits the size of an example, 16 to 1,024.
        device, dtype: where and in what precision to run, on a copy of the model. `torch.float64` gives the codes that exact
            geometry gives.
        out: a path to stream the codes to, as Parquet; memory then does not grow with the data.
        on_output: called with the model's output and the labels of each batch.
        progress: whether a bar shows on stderr; `None`: if that is a terminal.

    Returns:
        `Codes`, in the order of the data; with `out`, a `CodesFile`.

    Raises:
        UnseenActivationError: if a part of the model runs activations out of sight, and `layers` does not choose other ones.
        ValueError: if there is no site or no example, a choice fits no site, other sites fire than before, a site's leading axis is not
            the examples, a pre-activation is NaN or infinite, labels or ids do not match or have another type, or one id has two codes.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 3, bias=False), nn.ReLU())
        >>> _ = nn.init.eye_(model[0].weight)
        >>> encode(model, torch.tensor([[1.0, -1.0], [2.0, 3.0]])).bits().astype(int)
        array([[1, 0, 0],
               [1, 1, 0]])
    """
    if out is not None:
        require_writable(out)
    batches = as_batches(data, labels=labels, ids=ids, batch_size=batch_size, adapt=adapt)
    reader = PatternReader(
        model,
        layers=layers,
        breakpoints=breakpoints,
        activations=activations,
        example_dim=example_dim,
        pool=pool,
        device=device,
        dtype=dtype,
    )
    with reader, progress_bar("encode", total=batches.n_examples, show=progress) as advance:
        stream = _rows(reader, batches, on_output, advance)
        if out is not None:
            return _to_file(stream, reader, batches, out, split)
        return _to_memory(stream, reader, batches, split)


_Rows = tuple[NDArray[np.uint8], NDArray[Any], NDArray[np.int64] | None]


def _rows(
    reader: PatternReader, batches: Batches, on_output: OnOutput | None, advance: Callable[[int], None]
) -> Iterator[_Rows]:
    """Packed rows, ids and labels, batch by batch. On a GPU a batch is fetched while the next one runs."""
    waiting: tuple[Tensor, Batch] | None = None
    has_labels: bool | None = None
    for batch in batches:
        if has_labels is None:
            has_labels = batch.labels is not None
            _discover(reader, batch, batches.adapt)
        if (batch.labels is not None) != has_labels:
            raise ValueError(
                f"the batch that begins with example {batch.ids[0]} has {'no ' * has_labels}labels, unlike those before it"
            )
        packed, output = reader.read(batch.inputs, batch.ids)
        if on_output is not None:
            on_output(output, batch.labels)
        if isinstance(packed, Tensor):
            if waiting is not None:
                yield waiting[0].cpu().numpy(), waiting[1].ids, waiting[1].labels
            waiting = packed, batch
        else:
            yield packed, batch.ids, batch.labels
        advance(len(batch.ids))
    if waiting is not None:
        yield waiting[0].cpu().numpy(), waiting[1].ids, waiting[1].labels


def _discover(reader: PatternReader, batch: Batch, adapt: Adapt) -> None:
    """Find the sites on a few examples of the first batch, or on all of it where it cannot be cut."""
    observed = 0
    if len(batch.ids) > _PROBE:
        with contextlib.suppress(
            Exception
        ):  # what the model says against the whole batch is raised by the whole batch below
            few = first_examples(batch.content, len(batch.ids), _PROBE)
            if leading_size(few) == _PROBE:
                reader.observe(
                    adapt(few) if adapt is not None else first_examples(batch.inputs, len(batch.ids), _PROBE)
                )
                observed = _PROBE
    if not observed:
        reader.observe(batch.inputs)
        observed = len(batch.ids)
    reader.plan(observed)


def _to_memory(stream: Iterator[_Rows], reader: PatternReader, batches: Batches, split: str | None) -> Codes:
    packed = np.empty((0, 0), dtype=np.uint8)
    ids: list[NDArray[Any]] = []
    labels: list[NDArray[np.int64] | None] = []
    done = 0
    for rows, row_ids, row_labels in stream:
        if not done:
            packed = np.empty((batches.n_examples or 4 * len(rows), rows.shape[1]), dtype=np.uint8)
        if done + len(rows) > len(packed):
            packed.resize((2 * (done + len(rows)), packed.shape[1]), refcheck=False)
        packed[done : done + len(rows)] = rows
        done += len(rows)
        ids.append(row_ids)
        labels.append(row_labels)
    if done < len(packed):
        packed.resize((done, packed.shape[1]), refcheck=False)
    all_ids = np.concatenate(ids)
    known = [part for part in labels if part is not None]
    all_labels = np.concatenate(known) if known else None
    if batches.may_repeat:
        keep = first_rows_of_ids(packed, all_ids)
        if keep is not None:
            packed, all_ids, all_labels = packed[keep], all_ids[keep], None if all_labels is None else all_labels[keep]
    return Codes(packed, reader.sites, ids=all_ids, labels=all_labels, split=split)


def _to_file(
    stream: Iterator[_Rows], reader: PatternReader, batches: Batches, out: str | os.PathLike[str], split: str | None
) -> CodesFile:
    seen: dict[Any, bytes] = {}
    writer: CodesWriter | None = None
    with contextlib.ExitStack() as exits:
        for packed, ids, labels in stream:
            if writer is None:
                writer = exits.enter_context(CodesWriter(out, reader.sites, split=split))
            if batches.may_repeat:
                packed, ids, labels = _first_occurrences(packed, ids, labels, seen)
            writer.write(packed, ids, labels)
    return CodesFile.open(out)


def _first_occurrences(
    packed: NDArray[np.uint8], ids: NDArray[Any], labels: NDArray[np.int64] | None, seen: dict[Any, bytes]
) -> _Rows:
    """The rows whose id was not seen before; `seen` remembers a 128-bit digest of each code."""
    keep = []
    for i, (name, row) in enumerate(zip(ids.tolist(), packed, strict=True)):
        digest = hashlib.blake2b(row.tobytes(), digest_size=16).digest()
        before = seen.setdefault(name, digest)
        if before != digest:
            raise TwoCodesError(name)
        if before is digest:
            keep.append(i)
    return packed[keep], ids[keep], None if labels is None else labels[keep]
