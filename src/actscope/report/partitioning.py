"""From what a command line says of a line or a plane to its regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from actscope.regions.lines import line as line_regions
from actscope.regions.planes import plane as plane_regions
from actscope.regions.programs.program import NotPiecewiseLinearError
from actscope.regions.sections import Plane
from actscope.regions.verifying import PartitionError
from actscope.report.partition import Partition
from actscope.report.picked import Picked, pick

__all__ = ["Where", "find_partition"]


@dataclass(frozen=True)
class Where:
    """Where to look: one of a plane through three examples, one through two and the origin, one in a random direction, and a line;
    none of them is the input space of a model of two inputs.

    Attributes:
        plane, through_origin, line: indices of examples.
        random_plane: shape of an input, as text.
        window: of a plane; whole: all of the plane or line instead.
        samples: points a side, for models that are not piecewise linear.

    Raises:
        ValueError: if two of these contradict each other.
    """

    plane: tuple[int, int, int] | None = None
    through_origin: tuple[int, int] | None = None
    random_plane: str | None = None
    line: tuple[int, int] | None = None
    window: tuple[float, float, float, float] | None = None
    whole: bool = False
    samples: int | None = None

    def __post_init__(self) -> None:
        places = {
            "--plane": self.plane,
            "--through-origin": self.through_origin,
            "--random-plane": self.random_plane,
            "--line": self.line,
        }
        given = [name for name, value in places.items() if value is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} were given; choose one")
        if self.window is not None and (self.whole or self.line is not None):
            raise ValueError(f"--window goes with a plane, and not with {'--whole' if self.whole else '--line'}")
        if self.whole and self.samples is not None:
            raise ValueError("--whole with --samples: what has no end cannot be sampled; give a --window")

    @property
    def indices(self) -> tuple[int, ...]:
        """The examples that are needed."""
        return self.plane or self.through_origin or self.line or ()

    def said(self, source: str) -> str:
        """In words."""
        numbers = [str(i) for i in self.indices]
        listed = " and ".join([", ".join(numbers[:-1]), numbers[-1]]) if numbers else ""
        of = f" of {source}" if source else ""
        if self.line is not None:
            return f"{'On the line through' if self.whole else 'Between'} examples {listed}{of}."
        plane = "the input space"
        if self.plane is not None:
            plane = f"the plane through examples {listed}{of}"
        elif self.through_origin is not None:
            plane = f"the plane through the origin and examples {listed}{of}"
        elif self.random_plane is not None:
            plane = "a plane in a random direction through the origin"
        return f"In {'all of ' if self.whole else ''}{plane}."


def find_partition(
    model: nn.Module,
    where: Where,
    data: Any = None,
    *,
    source: str = "",
    layers: Sequence[str] | None = None,
    breakpoints: str | None = None,
    verify: bool = False,
    max_regions: int | None = None,
    device: str | None = None,
    seed: int = 0,
    progress: bool = False,
) -> tuple[Partition, Picked | None]:
    """The regions there, and the examples that were taken.

    Raises:
        ValueError: if the model does not fit, or what was asked for cannot be had; the message says which option helps.
        PartitionError: with `verify`, if the result and the model differ.
    """
    picked = pick(data, where.indices, source=source) if where.indices else None
    if where.samples is not None and (verify or max_regions is not None):
        raise ValueError("--samples looks at points: --verify and --max-regions are for exact regions")
    options: dict[str, Any] = {"layers": layers, "breakpoints": _numbers(breakpoints), "device": device}
    try:
        if where.line is not None and picked is not None:
            if max_regions is not None:
                raise ValueError("--max-regions is for planes; a line is always counted to its end")
            if where.samples is not None:
                options["samples"] = where.samples
            found = line_regions(model, picked.x[0], picked.x[1], extend=where.whole, verify=verify, **options)
            return found, picked
        section = _section(where, picked, seed)
        options["window"] = None if where.whole else where.window or (-1.0, 1.0, -1.0, 1.0)
        if where.samples is not None:
            return plane_regions(model, section, samples=where.samples, progress=progress, **options), picked
        return plane_regions(
            model, section, verify=verify, max_regions=max_regions, progress=progress, **options
        ), picked
    except NotPiecewiseLinearError as error:
        raise ValueError(
            f"{error}. --samples 500 looks at a grid of points instead, and counts what it sees"
        ) from error
    except PartitionError:
        raise
    except (ValueError, RuntimeError) as error:
        if where.indices or where.random_plane:
            raise
        raise ValueError(
            f"{error} (nothing says where to look, so the model was taken for one of two inputs; for another one pass --plane I J K, "
            "--through-origin I J or --line I J with --dataset or --data, or --random-plane SHAPE)"
        ) from error


def _section(where: Where, picked: Picked | None, seed: int) -> Plane | None:
    if where.random_plane is not None:
        try:
            shape = tuple(int(part) for part in where.random_plane.replace("x", ",").split(","))
        except ValueError:
            raise ValueError(
                f"--random-plane {where.random_plane}: give the sizes of one input, such as 3,32,32"
            ) from None
        return Plane.random(shape, generator=torch.Generator().manual_seed(seed))
    if picked is None:
        return None
    return Plane.through_origin(*picked.x) if where.through_origin is not None else Plane.through(*picked.x)


def _numbers(text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"--breakpoints {text}: give numbers with commas between them, such as -1,1") from None
