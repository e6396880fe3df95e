"""Label corruption: regions of networks that learn partly random labels (Hanin & Rolnick 2019, Figure 2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from actscope.figures.canvas import new_figure
from actscope.studies.cells import Cell
from actscope.studies.claims import Claim, Finding, NotRun, verdict
from actscope.studies.hanin2019.averages import differs_from_one, over_networks, ratios, standard_error
from actscope.studies.hanin2019.networks import TRIO, line_rows, plane_rows, specimen
from actscope.studies.results import Results, Row
from actscope.studies.specimens import Specimen, measured
from actscope.studies.study import Grid, Place, Study
from actscope.training import MLP, LabelledData, evaluate
from actscope.training.recipes import named_recipe

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["LABELS", "noise_cells", "noise_figure", "noise_rows"]

_VERSION = 1
_METRIC = "regions in a plane over N²/2"
_ON_LINES = "regions on a line over N"


def noise_cells(name: str, version: int, grid: Grid, share_of: str, *, small: int) -> list[Cell]:
    """Cells of a study of noise: networks by the share of it, a setting called `share_of`, and `small` seeds of each at small scale."""
    shares = (0.0, 0.5, 1.0) if grid.scale == "smoke" else (0.0, 0.25, 0.5, 0.75, 1.0)
    epochs = {"smoke": (0, 3), "small": (0, 1, 5, 10, 20, 40), "paper": (0, 1, 5, 10, 20, 50, 100, 200)}[grid.scale]
    recipe = named_recipe("hanin2019").replace(epochs=epochs[-1])
    return [
        Cell(
            name,
            version,
            {
                "dataset": grid.dataset,
                "network": TRIO,
                share_of: share,
                "seed": seed,
                "planes": {"smoke": 1, "small": 3, "paper": 5}[grid.scale],
                "measured": ",".join(map(str, epochs)),
            },
            recipe,
        )
        for share in shares
        for seed in range({"smoke": 2, "small": small, "paper": 10}[grid.scale])
    ]


def _cells(grid: Grid) -> list[Cell]:
    return noise_cells(LABELS.name, _VERSION, grid, "corrupted", small=10)


def _specimen(made: dict[tuple[str, float, int], LabelledData], cell: Cell, place: Place) -> Specimen:
    train, _ = place.data(cell["dataset"])
    key = (cell["dataset"], cell["corrupted"], cell["seed"])
    if key not in made:
        made[key] = train.with_label_noise(cell["corrupted"], seed=cell["seed"], kind="uniform")
    return specimen(cell, made[key])


def _measure(cells: Sequence[Cell], place: Place) -> Iterator[tuple[Cell, list[Row]]]:
    return measured(cells, place, partial(_specimen, {}), partial(noise_rows, place=place))


def noise_rows(cell: Cell, one: Specimen, model: MLP, *, place: Place) -> list[Row]:
    """Regions in planes through clean training images and on lines through test images, and accuracy on what was learned and on tests."""
    train, test = place.data(cell["dataset"])
    rows = plane_rows(model, train.x, cell["network"], n_planes=cell["planes"], seed=cell["seed"])
    rows += line_rows(model, test.subset(100, seed=cell["seed"]).x, cell["network"])
    for split, data in (("train", one.train), ("test", test)):
        rows.append(
            {
                "metric": "accuracy",
                "split": split,
                "value": evaluate(model, data, device=place.device, batch_size=8192).accuracy,
            }
        )
    return rows


def _figure(results: Results) -> Figure:
    return noise_figure(results, "corrupted")


def noise_figure(results: Results, share_of: str) -> Figure:
    """Regions in planes and on lines, and accuracy, by the share of noise, which is the column `share_of`."""
    from actscope.figures.curves import Curve, draw_curves

    figure = new_figure(11, 3.3)
    panels = (
        (_METRIC, "regions in a plane / (N²/2)"),
        (_ON_LINES, "regions on a whole line / N"),
        ("accuracy", "accuracy on the labels learned"),
    )
    for ax, (metric, label) in zip(figure.subplots(1, 3), panels, strict=True):
        curves = []
        for (share,) in results.query(f"select distinct {share_of} from results order by 1"):
            where = f"{share_of} = ?" + (" and split = 'train'" if metric == "accuracy" else "")
            curves.append(
                Curve(
                    f"{share_of} {share:g}",
                    *over_networks(results, "epoch", metric, where=where, parameters=[share])[:3],
                )
            )
        draw_curves(curves, xlabel="epoch", ylabel=label, log_x=True, legend=metric != "accuracy", ax=ax)
        ax.set_ylim(bottom=0)
    return figure


def _r3(results: Results) -> Finding:
    """Label corruption raises the number of regions slightly: on average over shares, beyond what seeds differ by."""
    last = results.query("select max(epoch) from results")[0][0]
    said, rises, slight = [], [], []
    for metric, label in ((_METRIC, "in a plane over N²/2"), (_ON_LINES, "on a line over N")):
        share, mean, sd, _ = over_networks(results, "corrupted", metric, where="epoch = ?", parameters=[last])
        found = ratios(results, "corrupted", 0.0, metric, where="epoch = ?", parameters=[last])
        if len(found) < 2:
            raise NotRun("needs clean labels and two shares of corrupted ones")
        pairs = np.array(list(found.values()))
        by_seed = pairs.mean(axis=0)
        means = ", ".join(f"{s:g}: {m:.3f} ± {d:.3f}" for s, m, d in zip(share, mean, sd, strict=True))
        said.append(
            f"{label}: {means}; corrupted over clean labels of the same seed × {pairs.mean():.2f} ± {standard_error(by_seed):.2f} "
            f"(standard error over {len(by_seed)} seeds), more in {int((pairs > 1).sum())} of {pairs.size} pairs"
        )
        rises.append(differs_from_one(by_seed) and pairs.mean() > 1)
        slight.append(1 < pairs.mean() < 3)
    ours, why = f"epoch {last}, by share of labels corrupted, {'; '.join(said)}", []
    if all(slight) and not all(rises):
        why.append("counts rise in the mean, but not by three standard errors: more seeds must decide")
    fitted = results.query(
        "select avg(value) from results where metric = 'accuracy' and split = 'train' and epoch = ? and corrupted = 1",
        [last],
    )[0][0]
    if fitted is not None and fitted < 0.9:
        why.append(f"of labels that are all random, {fitted:.2f} are fitted by then: little is memorized yet")
    undecided = all(slight) and not all(rises)
    return Finding("not run at this scale" if undecided else verdict(all(slight)), ours, "; ".join(why))


LABELS = Study(
    name="hanin2019.labels",
    title="Activation regions of networks that learn partly random labels, in planes and on whole lines",
    source="Hanin & Rolnick 2019, Figure 2",
    datasets=("mnist",),
    cells=_cells,
    measure=_measure,
    figures={"labels": _figure},
    claims=(Claim("R3", _r3, ("mnist",)),),
    notes=(
        "Networks have three hidden layers of 32. A corrupted label is drawn from all ten classes alike. Lines go through the origin and a "
        "test image."
    ),
)
