"""Activation patterns seen at sample points of a line or a plane: for any model, smooth ones too; never a count of all regions."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from actscope.codes.breakpoints import Breakpoints
from actscope.codes.discovery import Activations
from actscope.codes.groups import count_distinct, distinct
from actscope.codes.reading import PatternReader
from actscope.codes.selection import Layers
from actscope.codes.site import Site
from actscope.progress import progress_bar
from actscope.regions.points import as_points
from actscope.regions.sections import Plane

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["SampledLine", "SampledPlane", "sample_line", "sample_plane"]

_BYTES = 1 << 26
"""Memory for the points and codes of one chunk."""


@dataclass(frozen=True, repr=False)
class SampledLine:
    """Patterns at equidistant points x(t) = start + t (end - start) of a segment, both ends among them.

    Between two samples a pattern can begin and end unseen: the numbers here are lower bounds, and grow with the samples.

    Attributes:
        start, end: (*input_shape) float64.
        t: (n_samples,) from 0 to 1.
        packed: (n_samples, n_bytes) uint8: the patterns, as in `Codes.packed`; sites: what the bytes mean.
    """

    start: Tensor
    end: Tensor
    t: NDArray[np.float64]
    packed: NDArray[np.uint8]
    sites: tuple[Site, ...]

    def __len__(self) -> int:
        return len(self.t)

    @property
    def n_patterns_seen(self) -> int:
        """Distinct patterns among the samples."""
        return count_distinct(self.packed)

    @property
    def n_changes_seen(self) -> int:
        """Neighbouring samples of different patterns: the transition density as Jiang et al. (2022, equation 24) estimate it."""
        return int((self.packed[1:] != self.packed[:-1]).any(axis=1).sum())

    def changes(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Where neurons were seen to switch: the middle t of the two samples, and the position in `sites`, an entry for every bit."""
        flipped = self.packed[1:] ^ self.packed[:-1]
        middle = (self.t[1:] + self.t[:-1]) / 2
        t, site, start = [], [], 0
        for i, one in enumerate(self.sites):
            counts = np.bitwise_count(flipped[:, start : start + one.n_bytes]).sum(axis=1, dtype=np.int64)
            t.append(np.repeat(middle, counts))
            site.append(np.full(int(counts.sum()), i, dtype=np.int64))
            start += one.n_bytes
        return np.concatenate(t), np.concatenate(site)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Between which samples the neurons of each site were seen to switch."""
        from actscope.figures.lines import draw_switches

        t, site = self.changes()
        return draw_switches(t, site, names=[site.name for site in self.sites], extent=(0.0, 1.0), ax=ax)

    def __repr__(self) -> str:
        neurons = sum(site.n_neurons for site in self.sites)
        return f"SampledLine({self.n_patterns_seen:,} patterns seen at {len(self):,} points, {neurons:,} neurons; not exact)"

    def to_dict(self) -> dict[str, Any]:
        """What was seen, and how finely it was looked for, as plain values."""
        return {
            "exact": False,
            "n_samples": len(self),
            "n_patterns_seen": self.n_patterns_seen,
            "n_changes_seen": self.n_changes_seen,
        }


@dataclass(frozen=True, repr=False)
class SampledPlane:
    """Patterns in the middles of the pixels of a grid over a window of a plane.

    Between the points a pattern can be missed: the numbers here are lower bounds, and grow with the samples.

    Attributes:
        section: the plane. window: (x from, x to, y from, y to) in its coordinates.
        pattern: (n_rows, n_columns) int64: the number of each pixel's pattern, in the order in which they were first met; row 0
            has the smallest y. Patterns are told apart by digests of 128 bits, so that memory does not grow with the neurons.
        sites: what the patterns are of.
    """

    section: Plane
    window: tuple[float, float, float, float]
    pattern: NDArray[np.int64]
    sites: tuple[Site, ...]

    @property
    def n_patterns_seen(self) -> int:
        """Distinct patterns among the pixels."""
        return int(self.pattern.max(initial=-1)) + 1

    @property
    def n_changes_seen(self) -> int:
        """Pairs of pixels, one beside or above the other, that have different patterns."""
        across, along = np.diff(self.pattern, axis=0), np.diff(self.pattern, axis=1)
        return int(np.count_nonzero(across) + np.count_nonzero(along))

    def plot(self, ax: Axes | None = None) -> Axes:
        """The pixels, neighbouring patterns told apart, with borders between them and the examples that span the plane.

        With breakpoints -1 and 1 at a sigmoid network, this is the picture of Jiang et al. (2022), Figure 3.
        """
        from actscope.figures.planes import draw_pixels

        examples = self.section.examples
        return draw_pixels(
            self.pattern,
            window=self.window,
            examples=None if examples is None else self.section.coordinates(examples),
            ax=ax,
        )

    def __repr__(self) -> str:
        neurons = sum(site.n_neurons for site in self.sites)
        seen = f"{self.n_patterns_seen:,} patterns seen at {'×'.join(map(str, self.pattern.shape))} points"
        return f"SampledPlane({seen}, {neurons:,} neurons, window {self.window}; not exact)"

    def to_dict(self) -> dict[str, Any]:
        """What was seen, and how finely it was looked for, as plain values."""
        return {
            "exact": False,
            "samples": list(self.pattern.shape),
            "n_patterns_seen": self.n_patterns_seen,
            "n_changes_seen": self.n_changes_seen,
            "window": list(self.window),
        }


def sample_line(
    model: nn.Module,
    start: Tensor,
    end: Tensor,
    *,
    samples: int,
    extend: bool = False,
    layers: Layers = None,
    breakpoints: Breakpoints = None,
    activations: Activations | None = None,
    device: torch.device | str | None = None,
) -> SampledLine:
    """The activation patterns at equidistant points of a segment, for any model.

    Args:
        model: any model that `actscope.encode` reads.
        start, end: (*input_shape) two inputs.
        samples: how many points, both ends among them; Jiang et al. (2022) take 512.
        extend: refused: a line without ends cannot be sampled evenly.
        layers, breakpoints, activations, device: as for `actscope.encode`.

    Raises:
        ValueError: if shapes differ, values are not finite, there are fewer than two samples, or `extend` is set.

    Example:
        >>> model = nn.Sequential(nn.Linear(1, 1), nn.Sigmoid())
        >>> _ = model.load_state_dict({"0.weight": torch.tensor([[4.0]]), "0.bias": torch.zeros(1)})
        >>> sample_line(model, torch.tensor([-1.0]), torch.tensor([1.0]), samples=64, breakpoints=(-1.0, 1.0))
        SampledLine(3 patterns seen at 64 points, 1 neurons; not exact)
    """
    if extend:
        raise ValueError(
            "extend=True with samples=: a line without ends cannot be sampled evenly. Give two points farther apart, or leave out "
            "samples if the model is piecewise linear: that is exact on the whole line"
        )
    _require_samples(samples)
    a, b = (as_points(torch.as_tensor(x)[None], name)[0] for x, name in ((start, "start"), (end, "end")))
    if a.shape != b.shape:
        raise ValueError(
            f"start has shape {tuple(a.shape)} and end {tuple(b.shape)}: a line needs two inputs of one shape"
        )
    t = np.linspace(0.0, 1.0, samples)
    steps = torch.from_numpy(t).to(a.device).reshape(-1, *[1] * a.ndim)
    reader = _reader(model, layers, breakpoints, activations, device)
    with reader:
        reader.observe((a + steps[:2] * (b - a)).cpu())
        reader.plan(2)
        chunk = _chunk(reader, a.numel())
        parts = [_read(reader, (a + part * (b - a)).cpu()) for part in torch.split(steps, chunk)]
    return SampledLine(a, b, t, np.concatenate(parts), tuple(reader.sites))


def sample_plane(
    model: nn.Module,
    section: Plane | None = None,
    *,
    samples: int,
    window: tuple[float, float, float, float] | None = (-1.0, 1.0, -1.0, 1.0),
    layers: Layers = None,
    breakpoints: Breakpoints = None,
    activations: Activations | None = None,
    device: torch.device | str | None = None,
    progress: bool | None = None,
) -> SampledPlane:
    """The activation patterns in the middles of samples × samples pixels over a window of a plane, for any model.

    Args:
        model: any model that `actscope.encode` reads.
        section: the plane; for a model of two inputs it may be left out, and is its input space.
        samples: pixels on each side.
        window: (x from, x to, y from, y to) in the plane's coordinates.
        layers, breakpoints, activations, device: as for `actscope.encode`.
        progress: whether a bar is shown; `None` shows one on a terminal.

    Raises:
        ValueError: if the window is missing, empty or not finite, or there are fewer than two samples.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 2), nn.Sigmoid())
        >>> _ = model.load_state_dict({"0.weight": 4 * torch.eye(2), "0.bias": torch.zeros(2)})
        >>> sample_plane(model, samples=32, breakpoints=(-1.0, 1.0))
        SampledPlane(9 patterns seen at 32×32 points, 2 neurons, window (-1.0, 1.0, -1.0, 1.0); not exact)
    """
    _require_samples(samples)
    if window is None:
        raise ValueError(
            "window=None with samples=: a whole plane cannot be sampled. Give a window, or leave out samples if the model is "
            "piecewise linear: that is exact on the whole plane"
        )
    x0, x1, y0, y1 = (float(edge) for edge in window)
    if not all(map(math.isfinite, (x0, x1, y0, y1))) or x0 >= x1 or y0 >= y1:
        raise ValueError(f"window={window!r}: give (x from, x to, y from, y to), finite, each from less than its to")
    if section is None:
        section = Plane(torch.zeros(2), torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]))
    x = x0 + (np.arange(samples) + 0.5) * ((x1 - x0) / samples)
    y = y0 + (np.arange(samples) + 0.5) * ((y1 - y0) / samples)
    numbers: dict[bytes, int] = {}
    pattern = np.empty(samples * samples, dtype=np.int64)
    reader = _reader(model, layers, breakpoints, activations, device)
    with reader, progress_bar("plane", total=samples * samples, show=progress, unit="points") as advance:
        reader.observe(_at(section, np.array([[x[0], y[0]], [x[1], y[1]]])))
        reader.plan(2)
        for rows in _slices(samples * samples, _chunk(reader, section.u.numel())):
            place = np.arange(rows.start, rows.stop)
            at = np.stack([x[place % samples], y[place // samples]], axis=1)
            pattern[rows] = _numbered(_read(reader, _at(section, at)), numbers)
            advance(len(place))
    grid = pattern.reshape(samples, samples)
    return SampledPlane(section, (x0, x1, y0, y1), grid, tuple(reader.sites))


def _require_samples(samples: int) -> None:
    if samples < 2:
        raise ValueError(f"samples={samples}: give 2 or more")


def _reader(
    model: nn.Module,
    layers: Layers,
    breakpoints: Breakpoints,
    activations: Activations | None,
    device: torch.device | str | None,
) -> PatternReader:
    return PatternReader(
        model, layers=layers, breakpoints=breakpoints, activations=activations, device=device, dtype=torch.float64
    )


def _at(section: Plane, coordinates: NDArray[np.float64]) -> Tensor:
    return section.points(coordinates).cpu()


def _read(reader: PatternReader, points: Tensor) -> NDArray[np.uint8]:
    packed, _ = reader.read(points, np.arange(len(points)))
    return packed.cpu().numpy() if isinstance(packed, Tensor) else packed


def _chunk(reader: PatternReader, n_inputs: int) -> int:
    """How many points to run at once: inputs and the pre-activations of all sites are there together at worst."""
    bytes_each = 8 * (n_inputs + sum(site.n_neurons for site in reader.sites))
    return max(2, min(1 << 14, _BYTES // bytes_each))


def _slices(n: int, step: int) -> Iterator[slice]:
    return (slice(first, min(first + step, n)) for first in range(0, n, step))


def _numbered(packed: NDArray[np.uint8], numbers: dict[bytes, int]) -> NDArray[np.int64]:
    """The number of each row's pattern; patterns that `numbers` does not hold yet are added to it."""
    groups = distinct(packed)
    digests = (hashlib.blake2b(packed[i].tobytes(), digest_size=16).digest() for i in groups.first)
    found = np.array([numbers.setdefault(digest, len(numbers)) for digest in digests], dtype=np.int64)
    each: NDArray[np.int64] = found[groups.inverse]
    return each
