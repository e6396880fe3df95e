"""What a page says about the regions on a line or in a plane: counts, sizes, sites, and how many there could be."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from actscope.codes.groups import count_distinct
from actscope.codes.site import Site
from actscope.figures.labels import percent
from actscope.regions import bounds
from actscope.regions.lines import Line
from actscope.regions.planes import PlaneRegions
from actscope.regions.sampling import SampledLine, SampledPlane

__all__ = ["Partition", "PartitionFacts", "SiteFacts", "facts_of", "plain_widths", "to_dict"]

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

Partition = Line | PlaneRegions | SampledLine | SampledPlane


@dataclass(frozen=True)
class SiteFacts:
    """One site on the line or in the plane.

    Attributes:
        site: which.
        n_switching: neurons whose interval is not the same everywhere.
        n_patterns: distinct patterns of this site alone.
    """

    site: Site
    n_switching: int
    n_patterns: int


@dataclass(frozen=True)
class PartitionFacts:
    """The numbers of a page.

    Attributes:
        numbers: what is counted, and the count as text, in the order of a table.
        sites: each site's part; empty where only numbers of patterns were kept.
        sizes: lengths or areas of the cells, infinite where one has no end; `None` for samples.
        bound: the most regions that a network of this shape can have there, or `None` where no bound is proved for it.
        bound_name: which bound that is.
    """

    numbers: tuple[tuple[str, str], ...]
    sites: tuple[SiteFacts, ...]
    sizes: NDArray[np.float64] | None
    bound: int | None
    bound_name: str


def facts_of(found: Partition, model: nn.Module | None = None) -> PartitionFacts:
    """What a page says about a result; with the model, also how many regions there could be.

    Example:
        >>> import torch
        >>> from actscope.regions import plane
        >>> from actscope.training import MLP
        >>> model = MLP(2, [4], 2, init="torch", seed=0)
        >>> facts_of(plane(model, window=None), model).bound
        11
    """
    if isinstance(found, (SampledLine, SampledPlane)):
        sampled = (
            ("Patterns seen", f"{found.n_patterns_seen:,}"),
            ("Changes seen", f"{found.n_changes_seen:,}"),
            ("Points looked at", f"{found.pattern.size if isinstance(found, SampledPlane) else len(found):,}"),
        )
        sites = _sites(found.sites, found.packed) if isinstance(found, SampledLine) else ()
        return PartitionFacts(sampled, sites, None, None, "")
    sizes = np.diff(np.append(found.left, found.right[-1])) if isinstance(found, Line) else found.areas
    sites = _sites(found.sites, found.packed)
    complete = not isinstance(found, PlaneRegions) or found.complete
    at_least = "" if complete else "at least "
    numbers = [("Activation regions", f"{at_least}{found.n_regions:,}")]
    if found.n_linear_regions is not None:
        numbers.append(("Linear regions", f"{at_least}{found.n_linear_regions:,}"))
    if len(sizes) != found.n_regions:
        numbers.append(("Intervals" if isinstance(found, Line) else "Convex cells", f"{len(sizes):,}"))
    if isinstance(found, Line):
        numbers.append(("Changes of the pattern", f"{found.n_transitions:,}"))
    elif complete and found.n_components != found.n_regions:
        numbers.append(("Connected pieces of regions", f"{found.n_components:,}"))
    bound, name = _bound(found, model) if complete else (None, "")
    if bound is not None:
        numbers.append((f"No network of this shape has more than ({name})", _readable(bound)))
    neurons, switching = sum(site.n_neurons for site in found.sites), sum(site.n_switching for site in sites)
    numbers.append(("Neurons that switch", f"{switching:,} of {neurons:,} ({percent(switching / neurons)})"))
    finite = sizes[np.isfinite(sizes)]
    what = "length" if isinstance(found, Line) else "area"
    if len(finite):
        numbers.append((f"Median {what}", _short(float(np.median(sizes)))))
        numbers.append(
            (f"Smallest and largest finite {what}", f"{_short(float(finite.min()))} and {_short(float(finite.max()))}")
        )
        if what == "area" and len(finite) == len(sizes) >= 10:
            largest = np.sort(sizes)[-(len(sizes) // 10) :].sum() / sizes.sum()
            numbers.append(("Area that the largest tenth of the cells take up", percent(float(largest))))
    if len(finite) < len(sizes):
        numbers.append(("Without end", f"{len(sizes) - len(finite):,} ({percent(1 - len(finite) / len(sizes))})"))
    return PartitionFacts(tuple(numbers), sites, sizes, bound, name)


def plain_widths(model: nn.Module) -> tuple[tuple[int, ...], tuple[nn.Module, ...]] | None:
    """Widths and activations of a model that is a chain of linear layers, each but the last with one activation; else `None`.

    Example:
        >>> widths, activations = plain_widths(nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)))
        >>> widths, activations
        ((3,), (ReLU(),))
    """
    from actscope.training import MLP

    if not all(isinstance(module, (nn.Sequential, MLP)) for module in model.modules() if list(module.children())):
        return None
    passing = (nn.Flatten, nn.Identity, nn.Dropout, nn.BatchNorm1d)
    leaves = [module for module in _leaves(model) if not isinstance(module, passing)]
    widths, activations = [], []
    for one, other in itertools.pairwise([*leaves, nn.Identity()]):
        if isinstance(one, nn.Linear) and isinstance(other, (nn.ReLU, nn.LeakyReLU)):
            widths.append(one.out_features)
            activations.append(other)
        elif not (isinstance(one, (nn.ReLU, nn.LeakyReLU)) and isinstance(other, (nn.Linear, nn.Identity))) and not (
            isinstance(one, nn.Linear) and isinstance(other, nn.Identity)
        ):
            return None
    return (tuple(widths), tuple(activations)) if widths else None


def _leaves(module: nn.Module) -> list[nn.Module]:
    """The modules that compute, in the order in which a chain runs them, one that is there twice twice."""
    children = [child for child in module._modules.values() if child is not None]
    return [leaf for child in children for leaf in _leaves(child)] if children else [module]


def _bound(found: Line | PlaneRegions, model: nn.Module | None) -> tuple[int | None, str]:
    plain = None if model is None else plain_widths(model)
    if plain is None:
        return None, ""
    widths, activations = plain
    if [site.n_neurons for site in found.sites] != list(widths) or any(
        site.breakpoints != (0.0,) for site in found.sites
    ):
        return None, ""
    dimension = 1 if isinstance(found, Line) else 2
    if all(isinstance(activation, nn.ReLU) for activation in activations):
        return bounds.upper(widths, dimension, bound="serra"), "Serra et al. 2018"
    return bounds.upper(widths, dimension, bound="montufar"), "Montúfar 2017"


def _sites(sites: tuple[Site, ...], packed: NDArray[np.uint8]) -> tuple[SiteFacts, ...]:
    found, start = [], 0
    for site in sites:
        part = np.ascontiguousarray(packed[:, start : start + site.n_bytes])
        start += site.n_bytes
        differs = np.bitwise_or.reduce(part, axis=0) ^ np.bitwise_and.reduce(part, axis=0)
        bits = np.unpackbits(differs.reshape(site.n_planes, -1), axis=1, count=site.n_neurons, bitorder="little")
        found.append(SiteFacts(site, int(bits.any(axis=0).sum()), count_distinct(part)))
    return tuple(found)


def _readable(number: int) -> str:
    return f"{number:,}" if number < 10**15 else f"about {_short(float(number))}" if number < 10**300 else "over 10³⁰⁰"


def _short(number: float) -> str:
    """Three significant digits, with a power of ten where zeros would have to be counted.

    Example:
        >>> _short(0.0357), _short(1.4e-13), _short(2720.0)
        ('0.0357', '1.4 × 10⁻¹³', '2,720')
    """
    if not math.isfinite(number):
        return "infinite"
    if number == 0 or 1e-3 <= abs(number) < 1e6:
        return f"{float(f'{number:.3g}'):,.12g}"
    mantissa, exponent = f"{number:.2e}".split("e")
    return f"{float(mantissa):g} × 10{str(int(exponent)).translate(_SUPERSCRIPTS)}"


def to_dict(found: Partition, facts: PartitionFacts) -> dict[str, Any]:
    """Numbers of a result as plain values, for a file."""
    values: dict[str, Any] = dict(found.to_dict())
    values["sites"] = [
        {
            "name": site.name,
            "kind": site.kind,
            "n_neurons": site.n_neurons,
            "breakpoints": list(site.breakpoints),
            **next(
                ({"n_switching": f.n_switching, "n_patterns": f.n_patterns} for f in facts.sites if f.site is site), {}
            ),
        }
        for site in found.sites
    ]
    if facts.bound is not None:
        values["upper_bound"] = {"value": str(facts.bound), "by": facts.bound_name}
    if facts.sizes is not None:
        values["sizes"] = [float(size) if np.isfinite(size) else None for size in facts.sizes]
    return values
