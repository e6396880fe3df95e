"""A smaller model with the same outputs: dead and redundant units taken out, what they gave folded into the layers behind."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from actscope.codes.batches import Adapt
from actscope.codes.discovery import unwrapped
from actscope.codes.restoring import evaluating, random_state_kept
from actscope.neurons.chains import Chain, UnprunableError, chain_around
from actscope.neurons.checkup import Vitals
from actscope.neurons.comparison import MOVES, batches_to_compare, largest_difference, why_moved
from actscope.neurons.dataflow import Dataflow, call_model, trace
from actscope.neurons.duplicates import Duplicate, duplicates, effective_rows
from actscope.neurons.folding import Surgery, constants, contribution
from actscope.neurons.pruned import Pruned, PrunedSite, Refusal
from actscope.neurons.vitalsigns import SiteVitals

__all__ = ["prune"]


def prune(
    model: nn.Module,
    vitals: Vitals,
    *,
    examples: Any = None,
    adapt: Adapt = None,
    batch_size: int | None = None,
) -> Pruned:
    """A copy of `model` without its dead and redundant units, with the same outputs in eval mode, and a report.

    A unit is a row of a linear layer or a filter of a convolution, with batch normalization behind it or not. What a dead unit always
    gives goes into the bias of the layers behind. A redundant unit goes where its weights are those of another one, scaled (ReLU,
    LeakyReLU), negated (tanh, sigmoid) or equal: then the layers behind give its columns to the other. Neurons that merely
    draw the same border as another have other outputs, and stay. Before a site counts as pruned, the model is run on a few of the
    examples seen, and taken back if its outputs moved.

    What stays is named with the reason: outputs that are added to others, concatenated, or given back; shared or computed
    weights; grouped convolutions; constants other than 0 in front of a zero-padded convolution, whose border sees zeros instead.

    Args:
        model: the model that `vitals` speaks of. It is not edited.
        vitals: its vital signs.
        examples: data on which to compare both models in full; by default the few examples that `vitals` kept.
        adapt, batch_size: as for `vitals`, for `examples`.

    Raises:
        ValueError: if `vitals` is of another model.

    Example:
        >>> from actscope.neurons import vitals
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
        >>> with torch.no_grad():
        ...     _ = model[0].bias.copy_(torch.tensor([-9.0, 1.0, 0.0])), model[0].weight[2].fill_(1.0)
        >>> pruned = prune(model, vitals(model, torch.rand(50, 2)))
        >>> pruned.model[0], pruned.sites[0].dead_on_examples
        (Linear(in_features=2, out_features=2, bias=True), (0,))
    """
    original = unwrapped(model)
    pruned = copy.deepcopy(original)
    place = next((p.device for p in original.parameters()), torch.device("cpu"))
    done: list[PrunedSite] = []
    refused: list[Refusal] = []
    with random_state_kept(place), evaluating(original), evaluating(pruned), torch.no_grad():
        expected = call_model(original, vitals.probe)
        flow = trace(pruned, vitals.probe)
        seen = {call.site for call in flow.calls}
        _require_shapes(vitals, flow)
        unknown = [live.site.name for live in vitals.sites if live.site.name not in seen]
        if unknown and len(unknown) == len(vitals.sites):
            raise ValueError(
                f"vitals speaks of sites that this model does not have, such as {unknown[0]!r}; it has: "
                f"{', '.join(sorted(repr(name) for name in seen if name))}"
            )
        for live in vitals.sites:
            report, refusals = _prune_site(pruned, vitals, live, expected)
            done += [] if report is None else [report]
            refused += refusals
        difference, largest, n = largest_difference(
            original, pruned, batches_to_compare(vitals.probe, examples, adapt=adapt, batch_size=batch_size)
        )
    return Pruned(
        model=pruned,
        n_parameters_before=_n_parameters(original),
        n_parameters_after=_n_parameters(pruned),
        sites=tuple(done),
        refused=tuple(refused),
        max_difference=difference,
        largest_output=largest,
        n_compared=n,
    )


def _require_shapes(vitals: Vitals, flow: Dataflow) -> None:
    for live in vitals.sites:
        call = flow.site(live.site.name)
        shapes = set() if call is None else {flow.shapes[value][1:] for value in call.outputs}
        if shapes and live.site.shape not in shapes:
            raise ValueError(
                f"vitals is of another model: site {live.site.name!r} has the shape {live.site.shape} there, {shapes.pop()} in this one"
            )


def _prune_site(
    model: nn.Module, vitals: Vitals, live: SiteVitals, expected: Any
) -> tuple[PrunedSite | None, list[Refusal]]:
    """What was taken out at a site, and what was not; without merging copies, if that is what would move the outputs."""
    report, refusals = _pruned_site(model, vitals, live, expected, merging=True)
    if report is None and any(refusal.reason.startswith(MOVES) for refusal in refusals):
        without, others = _pruned_site(model, vitals, live, expected, merging=False)
        if without is not None:
            return without, others
    return report, refusals


def _pruned_site(
    model: nn.Module, vitals: Vitals, live: SiteVitals, expected: Any, *, merging: bool
) -> tuple[PrunedSite | None, list[Refusal]]:
    name = live.site.name
    constant = _constant_neurons(live, vitals.thresholds.same_output)
    if not (constant.any() or live.verdicts["redundant"].any()):
        return None, []
    try:
        chain = chain_around(trace(model, vitals.probe), name)
        if chain.shape[1:] != live.site.shape:
            raise UnprunableError(
                f"its vital signs are of shape {live.site.shape}, but the model gives {chain.shape[1:]}"
            )
    except UnprunableError as error:
        # channels come first in images, last among tokens; of two axes either may run over units
        axes = {1 if len(live.site.shape) >= 3 else len(live.site.shape), 1} if live.site.shape else set()
        units = {unit for axis in axes for unit in (*_whole_units(live, axis, constant), *_redundant_units(live, axis))}
        return None, [Refusal(name, tuple(sorted(units)), str(error))] if units else []
    surgery = Surgery()
    try:
        return _operated(model, vitals, live, expected, chain, constant, surgery, merging=merging)
    except (RuntimeError, ValueError, IndexError) as error:
        surgery.undo()
        units = {*_whole_units(live, chain.axis, constant), *_redundant_units(live, chain.axis)}
        return None, [
            Refusal(
                name, tuple(sorted(units)), f"taking them out failed: {(str(error).splitlines() or ['no reason'])[0]}"
            )
        ]


def _operated(
    model: nn.Module,
    vitals: Vitals,
    live: SiteVitals,
    expected: Any,
    chain: Chain,
    constant: NDArray[np.bool_],
    surgery: Surgery,
    *,
    merging: bool,
) -> tuple[PrunedSite | None, list[Refusal]]:
    name, refusals = live.site.name, list[Refusal]()
    rows = effective_rows(chain.producer, chain.norm)
    n_units = len(rows)
    dead = _whole_units(live, chain.axis, constant)
    redundant = _redundant_units(live, chain.axis)
    wanted = tuple(sorted({*dead, *redundant}))
    if not wanted:
        return None, []
    foldable = _fold_constants(chain, surgery, live, dead)
    if len(foldable) < len(dead):
        stay = tuple(unit for unit in dead if unit not in foldable)
        refusals.append(
            Refusal(
                name,
                stay,
                "they give a constant other than 0, which a zero-padded convolution sees cut off at the border",
            )
        )
    weight = chain.producer.get_parameter("weight")
    found = duplicates(rows, live.site, eps=torch.finfo(weight.dtype).eps) if merging else []
    copies, unmerged = _mergeable(chain, surgery, found, redundant, foldable)
    refusals += [Refusal(name, units, reason) for reason, units in unmerged.items()]
    gone = {*foldable, *(copied.unit for copied in copies)}
    keep = [unit for unit in range(n_units) if unit not in gone]
    if not keep:  # a layer keeps at least one unit
        keep = [min(gone)]
        gone.remove(keep[0])
        surgery.undo()
        foldable = [unit for unit in foldable if unit in gone]
        foldable = _fold_constants(chain, surgery, live, foldable)
        refusals.append(Refusal(name, (keep[0],), "it is the last unit of its layer"))
    if not gone:
        return None, refusals
    surgery.keep_units(chain, keep)
    reason = why_moved(model, vitals.probe, expected)
    if reason:
        surgery.undo()
        return None, [Refusal(name, wanted, reason)]
    proven = [unit for unit in foldable if _constant_everywhere(rows[unit], live, chain)]
    return (
        PrunedSite(
            site=name,
            n_units=n_units,
            n_left=len(keep),
            dead=tuple(proven),
            dead_on_examples=tuple(unit for unit in foldable if unit not in proven),
            merged={copied.unit: copied.of for copied in copies},
        ),
        refusals,
    )


def _fold_constants(chain: Chain, surgery: Surgery, live: SiteVitals, dead: list[int]) -> list[int]:
    """Put what dead units give into the biases behind; the units for which that is exact."""
    values = (live.output_low + live.output_high) / 2
    constant = constants(values, chain, chain.branches[0].call.argument(1, "weight"))
    silent = _whole_units(live, chain.axis, values == 0)
    foldable = [unit for unit in dead if unit in silent and not any(branch.norms for branch in chain.branches)]
    for unit in sorted(set(dead) - set(foldable)):
        added = [contribution(branch, constant, [unit]) for branch in chain.branches]
        if all(values is not None for values in added):
            for branch, bias in zip(chain.branches, added, strict=True):
                if bias is not None:
                    surgery.add_to_bias(branch.layer, bias)
            foldable.append(unit)
    return sorted(foldable)


def _mergeable(
    chain: Chain, surgery: Surgery, found: list[Duplicate], redundant: list[int], gone: list[int]
) -> tuple[list[Duplicate], dict[str, tuple[int, ...]]]:
    """Merge copies into the units that stay; those merged, and the redundant units that are none, by reason."""
    merged: list[Duplicate] = []
    reasons: dict[str, list[int]] = {}
    for copied in found:
        if copied.unit in gone or copied.of in gone:
            continue
        reason = _why_unmergeable(chain, copied)
        like = chain.branches[0].call.argument(1, "weight")
        offset = torch.full(chain.shape, copied.offset, dtype=like.dtype, device=like.device)
        added = [] if reason else [contribution(branch, offset, [copied.unit]) for branch in chain.branches]
        if not reason and any(bias is None for bias in added):
            reason = "its output is a constant minus another's, and a zero-padded convolution cuts the constant off at the border"
        if reason:
            reasons.setdefault(reason, []).append(copied.unit)
            continue
        for branch, bias in zip(chain.branches, added, strict=True):
            surgery.merge_columns(branch, copied)
            if copied.offset and bias is not None:
                surgery.add_to_bias(branch.layer, bias)
        merged.append(copied)
    known = {unit for copied in found for unit in (copied.unit, copied.of)}
    others = [unit for unit in redundant if unit not in known and unit not in gone]
    if others:
        reason = "another draws the same border, but its output does not follow from that one's"
        reasons.setdefault(reason, []).extend(others)
    return merged, {reason: tuple(units) for reason, units in reasons.items()}


def _why_unmergeable(chain: Chain, copied: Duplicate) -> str:
    if any(branch.norms for branch in chain.branches):
        return "a batch normalization behind the activation treats the two differently"
    if copied.scale < 0 and any(branch.takes_maxima for branch in chain.branches):
        return "it is another's mirror image, and the maximum of a mirror image is a minimum"
    return ""


def _constant_neurons(live: SiteVitals, same_output: float) -> NDArray[np.bool_]:
    size = np.maximum(np.abs(live.output_low), np.abs(live.output_high))
    constant: NDArray[np.bool_] = live.output_high - live.output_low <= same_output * size
    return constant


def _whole_units(live: SiteVitals, axis: int, of_neurons: NDArray[np.bool_]) -> list[int]:
    """The units along an axis of the activation (examples are axis 0) for which something holds at every position."""
    grid = of_neurons.reshape(live.site.shape)
    units: list[int] = np.flatnonzero(grid.all(axis=tuple(a for a in range(grid.ndim) if a != axis - 1))).tolist()
    return units


def _redundant_units(live: SiteVitals, axis: int) -> list[int]:
    """The units along an axis that are redundant, at every position at which their pattern changes at all."""
    n_positions = live.site.n_neurons // live.n_units
    redundant, still = (np.repeat(live.verdicts[name], n_positions) for name in ("redundant", "constant pattern"))
    return sorted({*_whole_units(live, axis, redundant | still)} - {*_whole_units(live, axis, still)})


def _constant_everywhere(row: NDArray[np.float64], live: SiteVitals, chain: Chain) -> bool:
    """Whether a unit gives one constant whatever comes in: no weights, or a ReLU that inputs of one sign can only hold down."""
    if not row[:-1].any():
        return True
    below = live.site.kinks[:1] == (0.0,) and live.site.slopes[0] == 0
    return bool(below and chain.input_nonnegative and (row <= 0).all())


def _n_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
