"""What a study is: a grid of cells, what measures them, figures, and the paper's claims about them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from actscope.studies.cells import Cell
from actscope.studies.results import Results, Row
from actscope.training import LabelledData, load_dataset

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from actscope.studies.claims import Claim
    from actscope.studies.printed import PrintedValue

__all__ = ["SCALES", "Grid", "Place", "Scale", "Study"]

Scale = Literal["smoke", "small", "paper"]
SCALES: tuple[Scale, ...] = ("smoke", "small", "paper")
"""Seconds on embedded data; minutes on two cores; as printed."""


@dataclass(frozen=True)
class Grid:
    """Which cells of a study to measure.

    Attributes:
        dataset: a name that `load_dataset` knows.
        scale: how much of what was printed.
        recipe: another recipe than the study's own, by its name; empty for the study's own.
    """

    dataset: str
    scale: Scale
    recipe: str = ""

    @property
    def name(self) -> str:
        """A name for files."""
        return "-".join(part for part in (self.dataset, self.scale, self.recipe) if part)


@dataclass
class Place:
    """Where cells are measured, and with what.

    Attributes:
        work: folder for what must outlive a run that is cut off; each cell has its own folder in it, by its id.
        data_dir: where data sets lie, as for `load_dataset`.
        device: where networks are trained and run.
        n_workers: stacks that are trained at once; None for as many as PyTorch has threads.
        progress: whether to show bars on stderr; None where it is a terminal.
        tf32, cuda_graphs: how a GPU trains stacks, as for `stacks.fit`.
    """

    work: Path
    data_dir: Path | None = None
    device: str | None = None
    n_workers: int | None = None
    progress: bool | None = None
    tf32: bool | None = None
    cuda_graphs: bool = True
    _data: dict[str, tuple[LabelledData, LabelledData]] = field(default_factory=dict, init=False, repr=False)

    def data(self, dataset: str) -> tuple[LabelledData, LabelledData]:
        """The data set's training and test examples, read once, every example a vector."""
        if dataset not in self._data:
            train, test = load_dataset(dataset, data_dir=self.data_dir, progress=bool(self.progress))
            self._data[dataset] = train.flatten(), test.flatten()
        return self._data[dataset]

    def folder(self, cell: Cell) -> Path:
        """The cell's own folder for what must outlive a run that is cut off; removed when the cell has been measured."""
        return self.work / cell.id


@dataclass(frozen=True, kw_only=True)
class Study:
    """An experiment as data, and the functions that do its parts.

    Attributes:
        name: the paper and what is varied, such as `he2021.width`.
        title: what the reader learns, in a few words.
        source: figures or tables of the paper.
        datasets: data sets that it is made for; the first is the default.
        cells: the cells of a grid.
        measure: yields every cell, measured, with its rows, one by one; what it keeps in the cells' folders lets it go on later.
        figures: by name, what draws them from results.
        claims: the paper's claims in words that the results can be held against.
        printed: the paper's numbers for a data set, and where in the results to find ours.
        recipes: names of other recipes than its own that the study can be run with.
        together: the settings whose values cells share that are best measured in one go.
        notes: what the reader of a comparison should know.
    """

    name: str
    title: str
    source: str
    datasets: tuple[str, ...]
    cells: Callable[[Grid], Sequence[Cell]]
    measure: Callable[[Sequence[Cell], Place], Iterator[tuple[Cell, Sequence[Row]]]]
    figures: Mapping[str, Callable[[Results], Figure]] = field(default_factory=dict)
    claims: Sequence[Claim] = ()
    printed: Callable[[str], Sequence[PrintedValue]] | None = None
    recipes: tuple[str, ...] = ()
    together: tuple[str, ...] = ("seed",)
    notes: str = ""

    def grid(self, *, dataset: str | None = None, scale: str = "small", recipe: str = "") -> Grid:
        """The grid of these names, checked; smoke scale takes the embedded digits unless told otherwise.

        Raises:
            ValueError: a name that the study does not know.
        """
        if scale not in SCALES:
            raise ValueError(f"scale='{scale}' is not known; choose one of {', '.join(SCALES)}")
        chosen = dataset or (self.datasets[0] if scale != "smoke" else self.smoke_dataset)
        if chosen not in (*self.datasets, self.smoke_dataset):
            raise ValueError(f"{self.name} is made for {', '.join(self.datasets)}, not for dataset='{chosen}'")
        if recipe and recipe not in self.recipes:
            others = (
                f"can be run by {', '.join(self.recipes)}, or its own" if self.recipes else "has one recipe, its own"
            )
            raise ValueError(f"recipe='{recipe}': {self.name} {others}")
        return Grid(chosen, scale, recipe)

    @cached_property
    def smoke_dataset(self) -> str:
        """The data set of the smoke scale."""
        return "digits" if self.datasets[0] != "none" else "none"
