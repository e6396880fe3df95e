"""Vital signs of neurons over data that come in parts: batch by batch, or from many workers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from actscope.codes.batches import Adapt, Batch, Ids, Labels, as_batches, first_examples
from actscope.codes.breakpoints import Breakpoints
from actscope.codes.discovery import Activations
from actscope.codes.reading import ExampleDim
from actscope.codes.selection import Layers
from actscope.codes.site import Site
from actscope.neurons.checkup import Vitals
from actscope.neurons.fingerprints import example_weights
from actscope.neurons.gradients import Loss, cross_entropy_fits, example_losses, gradients_of_examples
from actscope.neurons.reading import NeuronReader, Receiver
from actscope.neurons.tallies import BatchRows, BatchTally, By, SiteTally
from actscope.neurons.verdicts import Thresholds, criteria
from actscope.neurons.vitalsigns import site_vitals
from actscope.progress import progress_bar

__all__ = ["VitalsTally"]

_PROBE = 8
_PROBE_BYTES = 1 << 24


class VitalsTally:
    """`vitals` of data that come in parts: several loaders, or several workers.

    All numbers are sums, so the order of updates and merges does not matter (beyond the last bits of floating-point sums). An id counts
    once; two tallies with a common id cannot be merged, since a sum cannot take an example back. Instances can be pickled.

    Args:
        loss, target, by, thresholds: as for `vitals`.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
        >>> x, y = torch.randn(20, 2), torch.arange(20) % 2
        >>> first, second = VitalsTally(), VitalsTally()
        >>> first.update(model, (x[:12], y[:12]))
        >>> second.update(model, (x[12:], y[12:]), ids=range(12, 20))
        >>> first.merge(second).compute().n_examples
        20
    """

    def __init__(
        self,
        *,
        loss: Loss | None = None,
        target: Callable[[Any], Any] | None = None,
        by: By = "neuron",
        thresholds: Thresholds | None = None,
    ) -> None:
        if by not in ("neuron", "channel"):
            raise ValueError(f"by={by!r}: give 'neuron' or 'channel'")
        self._loss, self._target, self._by = loss, target, by
        self._thresholds = Thresholds() if thresholds is None else thresholds
        self._tallies: dict[str, SiteTally] = {}
        self._ids: set[Any] = set()
        self._weight_sum = 0
        self._labelled: bool | None = None
        self._no_gradients: str | None = None
        self._unreached: set[str] = set()
        self._probe: Any = None

    @property
    def n_examples(self) -> int:
        """Different examples seen so far."""
        return len(self._ids)

    def update(
        self,
        model: nn.Module,
        data: Any,
        *,
        labels: Labels = None,
        layers: Layers = None,
        breakpoints: Breakpoints = None,
        activations: Activations | None = None,
        adapt: Adapt = None,
        example_dim: ExampleDim = 0,
        ids: Ids = None,
        batch_size: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        progress: bool | None = False,
    ) -> None:
        """Take in all examples of `data` whose id was not seen before; arguments as for `vitals`.

        Raises:
            ValueError: as for `vitals`, or if sites or labels are other than before. The examples of whole batches before it stay.
        """
        batches = as_batches(data, labels=labels, ids=ids, batch_size=batch_size, adapt=adapt)
        reader = NeuronReader(
            model,
            layers=layers,
            breakpoints=breakpoints,
            activations=activations,
            example_dim=example_dim,
            device=device,
            dtype=dtype,
            gradients=self._no_gradients is None,
        )
        with reader, progress_bar("vital signs", total=batches.n_examples, show=progress) as advance:
            planned = False
            for batch in batches:
                if not planned:
                    reader.observe(batch.inputs)
                    reader.plan(len(batch.ids))
                    self._require_sites(reader.sites)
                    planned = True
                self._add(reader, batch)
                advance(len(batch.ids))

    def merge(self, other: VitalsTally) -> VitalsTally:
        """Take in what another one has seen, and return this one; the other is left as it was.

        Raises:
            ValueError: if the two have an example in common, or other sites, labels or settings.
        """
        if not other._ids:
            return self
        if (self._by, self._thresholds) != (other._by, other._thresholds):
            raise ValueError("the two tallies count by other units or thresholds; make both with the same arguments")
        if self._loss_name() != other._loss_name():
            raise ValueError(
                f"the two tallies have gradients of other losses, {self._loss_name()} and {other._loss_name()}; make both with the same"
            )
        common = self._ids & other._ids
        if common:
            raise ValueError(
                f"both tallies have seen example {min(common)} ({len(common):,} in common), and a sum cannot take it back: give each "
                "worker other examples (a sampler that does not pad), and ids= that name an example across workers"
            )
        self._require_labels(bool(other._labelled))
        self._require_sites(tuple(tally.site for tally in other._tallies.values()))
        if self._ids and (self._no_gradients is None) != (other._no_gradients is None):
            raise ValueError(f"only one of the tallies has gradients: {self._no_gradients or other._no_gradients}")
        for name, tally in other._tallies.items():
            self._tallies[name].merge(tally)
        self._ids |= other._ids
        self._weight_sum += other._weight_sum
        self._no_gradients = other._no_gradients
        self._unreached |= other._unreached
        self._probe = other._probe if self._probe is None else self._probe
        return self

    def compute(self) -> Vitals:
        """The vital signs of all examples seen so far.

        Raises:
            ValueError: if there were none.
        """
        if not self._ids:
            raise ValueError("no example has been seen yet: call update(model, data) before")
        labelled, gradients = bool(self._labelled), self._no_gradients is None
        sites = tuple(
            site_vitals(
                tally,
                labelled=labelled,
                gradients=gradients and tally.site.name not in self._unreached,
                weight_sum=self._weight_sum,
                thresholds=self._thresholds,
            )
            for tally in self._tallies.values()
        )
        labels = sorted(next(iter(self._tallies.values())).n_examples)
        return Vitals(
            sites=sites,
            classes=np.array(labels, dtype=np.int64) if labelled else None,
            n_examples=len(self._ids),
            by=self._by,
            thresholds=self._thresholds,
            criteria=criteria(self._thresholds, len(self._ids)),
            loss=self._loss_name() if gradients else "",
            no_gradients=self._no_gradients or "",
            probe=self._probe,
        )

    def __repr__(self) -> str:
        return f"VitalsTally({self.n_examples:,} examples so far, {len(self._tallies)} sites)"

    def _add(self, reader: NeuronReader, batch: Batch) -> None:
        self._require_labels(batch.labels is not None)
        keep, ids = self._fresh(batch.ids)
        if not len(ids):
            return
        labels = batch.labels if batch.labels is None or keep is None else batch.labels[keep]
        weights = example_weights(ids)
        rows = BatchRows.of(weights, labels, keep, reader.device)
        parts = {site.name: BatchTally(site, self._by, rows) for site in reader.sites}
        if self._no_gradients is None and self._loss is None and batch.labels is None:
            self._stop_gradients(reader, "the data has no labels, and no loss was given")
        output = reader.read_into(cast(dict[str, Receiver], parts), batch.inputs, batch.ids)
        losses = self._losses(reader, batch, output)
        if losses is not None:
            found = gradients_of_examples(losses, reader.edges)
            # none arrives where the model switches them off, or writes over part of a pre-activation
            self._unreached |= set(parts) - set(found)
            for name, gradient in found.items():
                parts[name].see_gradients(reader.matrix(parts[name].site, gradient))
        for name, part in parts.items():
            self._tallies[name].merge(part)
        self._ids.update(ids.tolist())
        self._weight_sum += sum(weights.tolist())
        if self._probe is None:
            self._probe = _few(batch)

    def _losses(self, reader: NeuronReader, batch: Batch, output: Any) -> Tensor | None:
        if self._no_gradients is not None:
            return None
        with torch.enable_grad():
            labels = None if batch.labels is None else torch.from_numpy(batch.labels).to(reader.device)
            if self._loss is not None:
                target = labels if self._target is None else _on_device(self._target(batch.content), reader.device)
                return example_losses(self._loss, output, target, len(batch.ids))
            scores = getattr(output, "logits", None)
            scores = output if scores is None else scores
            refusal = cross_entropy_fits(scores, cast(Tensor, labels))
            if refusal is None:
                return nn.functional.cross_entropy(scores.float(), cast(Tensor, labels), reduction="none")
            if self._ids:
                raise ValueError(f"{refusal}, unlike for the examples before; pass loss= for outputs of this kind")
            self._stop_gradients(reader, f"{refusal}; pass loss= for outputs of this kind")
            return None

    def _stop_gradients(self, reader: NeuronReader, reason: str) -> None:
        if self._ids:
            raise ValueError(f"{reason}, unlike for the examples before")
        self._no_gradients = reason
        reader.gradients = False

    def _loss_name(self) -> str:
        if self._loss is None:
            return "cross-entropy"
        return str(getattr(self._loss, "__name__", type(self._loss).__name__))

    def _fresh(self, ids: NDArray[Any]) -> tuple[NDArray[np.int64] | None, NDArray[Any]]:
        """Positions of the first rows of ids that are new (`None` for all rows), and those ids."""
        seen = set(self._ids) if len(ids) > len(self._ids) else self._ids
        new, within = [], set()
        for row, name in enumerate(ids.tolist()):
            if name not in seen and name not in within:
                new.append(row)
                within.add(name)
        if len(new) == len(ids):
            return None, ids
        keep = np.array(new, dtype=np.int64)
        return keep, ids[keep]

    def _require_sites(self, sites: tuple[Site, ...]) -> None:
        known = tuple(tally.site for tally in self._tallies.values())
        if not known:
            self._tallies = {site.name: SiteTally(site, self._by) for site in sites}
        elif known != sites:
            raise ValueError(
                f"the model has other sites than before: {[str(site) for site in sites]}, before {[str(site) for site in known]}"
            )

    def _require_labels(self, labelled: bool) -> None:
        if self._labelled is None:
            self._labelled = labelled
        elif self._labelled != labelled:
            raise ValueError("some of the examples have labels and some have none")


def _few(batch: Batch) -> Any:
    """The inputs of the first examples of a batch, copied, or of all where they cannot be cut."""
    few = first_examples(batch.inputs, len(batch.ids), _PROBE)
    return _copied(few)


def _copied(content: Any) -> Any:
    if isinstance(content, Tensor):
        return content.detach().cpu().clone()
    if isinstance(content, np.ndarray):
        return torch.from_numpy(content.copy())
    if isinstance(content, dict):
        return {key: _copied(value) for key, value in content.items()}
    if isinstance(content, (tuple, list)):
        parts = [_copied(value) for value in content]
        return type(content)(*parts) if hasattr(content, "_fields") else tuple(parts)
    return content


def _on_device(content: Any, device: torch.device) -> Any:
    if isinstance(content, np.ndarray):
        content = torch.from_numpy(content)
    return content.to(device) if isinstance(content, Tensor) else content
