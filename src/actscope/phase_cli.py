"""The command line of phase charts: `actscope phase chart`, `actscope phase locate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from actscope.wholefile import whole_file

if TYPE_CHECKING:
    from actscope.studies.phase import Chart

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="The activation hash phase chart: draw it, and find a network in it.")

Axis = Annotated[str, typer.Option(help="The chart's vertical axis: time or samples.")]
From = Annotated[
    Path, typer.Option("--from", help="Folder with runs of phase.time or phase.samples, or a file saved of one.")
]
Dataset = Annotated[str | None, typer.Option(help="mnist, cifar10 or digits. Default: that of the only run there is.")]
DataDir = Annotated[Path | None, typer.Option(help="Folder with the data set's files; else a cache, else a download.")]


@app.command()
def chart(
    axis: Axis = "time",
    source: From = Path("results"),
    dataset: Dataset = None,
    out: Annotated[Path, typer.Option(help="The picture: .png, .svg or .pdf.")] = Path("phase.png"),
) -> None:
    """Draw the chart, and say at which redundancy and accuracy one regime passes into the next."""
    found = _chart(source, axis, dataset)
    _save(found, out)
    typer.echo(f"{found}\nPicture: {out}")


@app.command()
def locate(
    model: Annotated[str, typer.Argument(help="package.module:name of a model, or of a function that makes one.")],
    weights: Annotated[
        Path | None, typer.Option(help="Weights for it: .safetensors, or a state dict in .pt or .pth.")
    ] = None,
    axis: Axis = "time",
    epochs: Annotated[int | None, typer.Option(min=1, help="How long it was trained, for the time axis.")] = None,
    samples: Annotated[
        int | None,
        typer.Option(min=1, help="How many examples it was trained on: a random draw by --seed. Default: all."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the draw of the examples, and of resampling.")] = 0,
    source: From = Path("results"),
    dataset: Dataset = None,
    data_dir: DataDir = None,
    device: Annotated[str | None, typer.Option(help="Where to run, such as cpu or cuda.")] = None,
    out: Annotated[Path | None, typer.Option(help="A picture of the chart with the network in it.")] = None,
) -> None:
    """Say in which regime a network of your own is, how sure that is, and which axis to move along."""
    from actscope.named import load_model
    from actscope.studies.phase import locate as locate_model
    from actscope.training import load_dataset

    found = _chart(source, axis, dataset)
    train, test = load_dataset(found.kind["dataset"], data_dir=data_dir)
    if samples is not None:
        train = train.subset(samples, seed=seed)
    place = locate_model(
        load_model(model, weights=weights), train, test, chart=found, epochs=epochs, device=device, seed=seed
    )
    typer.echo(f"{place}")
    if out is not None:
        _save(found, out, mark=(place.width, place.y))
        typer.echo(f"Picture: {out}")


def _chart(source: Path, axis: str, dataset: str | None) -> Chart:
    from actscope.studies import Results, runs_in
    from actscope.studies.phase import Chart

    if axis not in ("time", "samples"):
        raise ValueError(f"--axis {axis}: choose time or samples")
    if source.is_file():
        return Chart.of(Results.of_file(source))
    runs = [run for run in runs_in(source, study=f"phase.{axis}") if dataset in (None, run.grid.dataset)]
    if not runs:
        data = f" --dataset {dataset}" if dataset else ""
        raise ValueError(f"{source} has no such chart; make one: actscope study run phase.{axis}{data} --out {source}")
    if len(runs) > 1:
        names = ", ".join(run.grid.name for run in runs)
        raise ValueError(
            f"{source} has several charts ({names}): choose one by --dataset, or save it and give the file"
        )
    return Chart.of(runs[0].results)


def _save(chart: Chart, path: Path, *, mark: tuple[float, float] | None = None) -> None:
    if path.suffix not in (".png", ".svg", ".pdf"):
        raise ValueError(f"--out {path}: give a file that ends in .png, .svg or .pdf")
    with whole_file(path) as unfinished:
        chart.figure(mark=mark).savefig(unfinished, dpi=150)
