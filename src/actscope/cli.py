"""The command line: `actscope demo`, `actscope examine`, `actscope neurons`, `actscope phase`,
`actscope regions`, `actscope sites`, `actscope study`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from actscope import phase_cli, study_cli

__all__ = ["main"]

app = typer.Typer(
    name="actscope",
    help="A microscope for activation patterns of PyTorch models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(study_cli.app, name="study")
app.add_typer(phase_cli.app, name="phase")

Out = Annotated[Path, typer.Option(help="Folder for the report: index.html and report.json.")]
DataDir = Annotated[Path | None, typer.Option(help="Folder with the data set's files; else a cache, else a download.")]
Dataset = Annotated[str | None, typer.Option(help="digits, mnist, fashion-mnist or cifar10.")]
Device = Annotated[str | None, typer.Option(help="Where to run, such as cpu or cuda.")]
Seed = Annotated[int, typer.Option(help="Seed of every random choice.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary.")]
Layers = Annotated[
    list[str] | None, typer.Option(help="Sites to read, by name or pattern; !pattern leaves out. Repeatable.")
]


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Show the version and stop.")] = False,
) -> None:
    if version:
        from importlib.metadata import version as version_of

        typer.echo(f"actscope {version_of('actscope')}")
        raise typer.Exit


@app.command()
def demo(
    dataset: Annotated[str, typer.Option(help="digits (embedded), mnist, fashion-mnist or cifar10.")] = "digits",
    data_dir: DataDir = None,
    width: Annotated[int, typer.Option(min=1, help="Neurons of a hidden layer.")] = 100,
    depth: Annotated[int, typer.Option(min=1, help="Hidden layers.")] = 1,
    activation: Annotated[str, typer.Option(help="relu, gelu, tanh, sigmoid, …")] = "relu",
    epochs: Annotated[
        int | None, typer.Option(min=0, help="Epochs of training. Default: 200 for digits, else 10.")
    ] = None,
    recipe: Annotated[str, typer.Option(help="How to train, by name.")] = "he2021.appendix",
    seed: Seed = 0,
    device: Device = None,
    out: Out = Path("report"),
    quiet: Quiet = False,
) -> None:
    """Train a small network on real images, read its activation patterns, and report what they say."""
    from actscope.report import examine
    from actscope.training import MLP, fit, load_dataset
    from actscope.training.recipes import named_recipe

    console = Console(stderr=True, quiet=quiet, highlight=False)
    train, test = load_dataset(dataset, data_dir=data_dir, progress=_shows_progress(quiet))
    plan = named_recipe(recipe).replace(epochs=epochs if epochs is not None else (200 if dataset == "digits" else 10))
    model = MLP(train.x[0].numel(), [width] * depth, train.n_classes, activation=activation, seed=seed)
    shape = "-".join(map(str, [train.x[0].numel(), *[width] * depth, train.n_classes]))
    console.print(f"{train.name}: {len(train):,} training and {len(test):,} test images of {train.n_classes} classes")
    console.print(f"Training an MLP {shape} ({activation}) for {plan.epochs} epochs by the recipe {recipe}")
    history = fit(model, train, recipe=plan, seed=seed, device=device, progress=_shows_progress(quiet), test=test)
    console.print(f"{history}", soft_wrap=True)
    title = f"MLP {shape}, {activation}, trained on {train.name} for {plan.epochs} epochs"
    report = examine(model, train, test=test, device=device, seed=seed, progress=_shows_progress(quiet), title=title)
    _finish(report, out, quiet)


@app.command()
def examine(
    model: Annotated[str, typer.Argument(help="package.module:name of a model, or of a function that makes one.")],
    weights: Annotated[
        Path | None, typer.Option(help="Weights for it: .safetensors, or a state dict in .pt or .pth.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="package.module:name of data or loaders, or an .npz file.")] = None,
    dataset: Dataset = None,
    data_dir: DataDir = None,
    layers: Layers = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="For data that is not batched yet.")] = None,
    device: Device = None,
    seed: Seed = 0,
    title: Annotated[str | None, typer.Option(help="The report's title.")] = None,
    out: Out = Path("report"),
    quiet: Quiet = False,
) -> None:
    """Report on a model of your own: its codes, how good a hash they are, and which neurons do nothing."""
    from actscope.named import load_model
    from actscope.report import examine as examine_model

    network = load_model(model, weights=weights)
    train, test = _data(data, dataset, data_dir, quiet)
    report = examine_model(
        network,
        train,
        test=test,
        layers=layers,
        batch_size=batch_size,
        device=device,
        seed=seed,
        progress=_shows_progress(quiet),
        title=title or f"{model} on {dataset or data}",
    )
    _finish(report, out, quiet)


@app.command()
def neurons(
    model: Annotated[str, typer.Argument(help="package.module:name of a model, or of a function that makes one.")],
    weights: Annotated[
        Path | None, typer.Option(help="Weights for it: .safetensors, or a state dict in .pt or .pth.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="package.module:name of data or loaders, or an .npz file.")] = None,
    dataset: Dataset = None,
    data_dir: DataDir = None,
    layers: Layers = None,
    by: Annotated[str, typer.Option(help="What a unit of a convolutional site is: channel or neuron.")] = "channel",
    worst: Annotated[int, typer.Option(min=0, help="How many of the worst units to name.")] = 10,
    batch_size: Annotated[int | None, typer.Option(min=1, help="For data that is not batched yet.")] = None,
    device: Device = None,
    out: Annotated[Path | None, typer.Option(help="A Parquet file for the table of every unit.")] = None,
    quiet: Quiet = False,
) -> None:
    """Say of every neuron whether it is dead, dying, saturated, redundant or alive, on what evidence, and what to do."""
    from actscope.codes.parquet import require_writable
    from actscope.named import load_model
    from actscope.neurons import vitals

    if out is not None:
        require_writable(out)
    network = load_model(model, weights=weights)
    train, _ = _data(data, dataset, data_dir, quiet)
    found = vitals(
        network,
        train,
        layers=layers,
        by=by,  # type: ignore[arg-type]  # vitals itself refuses what is neither
        batch_size=batch_size,
        device=device,
        progress=_shows_progress(quiet),
    )
    if out is not None:
        found.save(out)
    if not quiet:
        typer.echo(f"{found}\n")
        _echo_worst(found, worst)
    if out is not None:
        typer.echo(f"Table of {found.n_units:,} units: {out}")


@app.command()
def regions(
    model: Annotated[str, typer.Argument(help="package.module:name of a model, or of a function that makes one.")],
    weights: Annotated[
        Path | None, typer.Option(help="Weights for it: .safetensors, or a state dict in .pt or .pth.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="package.module:name of data or loaders, or an .npz file.")] = None,
    dataset: Dataset = None,
    data_dir: DataDir = None,
    split: Annotated[str, typer.Option(help="Where the examples are taken from: train or test.")] = "test",
    plane: Annotated[
        tuple[int, int, int] | None, typer.Option(metavar="I J K", help="The plane through three examples.")
    ] = None,
    through_origin: Annotated[
        tuple[int, int] | None, typer.Option(metavar="I J", help="The plane through two examples and the origin.")
    ] = None,
    random_plane: Annotated[
        str | None,
        typer.Option(metavar="SHAPE", help="A plane in a random direction among inputs of a shape, such as 3,32,32."),
    ] = None,
    line: Annotated[
        tuple[int, int] | None, typer.Option(metavar="I J", help="The segment between two examples.")
    ] = None,
    window: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option(
            metavar="X0 X1 Y0 Y1", help="What of the plane to look at, in its coordinates. Default: -1 1 -1 1."
        ),
    ] = None,
    whole: Annotated[bool, typer.Option("--whole", help="The whole plane, or the whole line.")] = False,
    layers: Layers = None,
    breakpoints: Annotated[str | None, typer.Option(help="Other breakpoints for all sites, such as -1,1.")] = None,
    colour: Annotated[str, typer.Option(help="region, linear_region, norm or class.")] = "region",
    samples: Annotated[
        int | None,
        typer.Option(min=2, help="Look at a grid of so many points a side: for models that are not piecewise linear."),
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Compare the result with the model itself.")] = False,
    max_regions: Annotated[int | None, typer.Option(min=1, help="Stop beyond so many cells, and say so.")] = None,
    device: Device = None,
    seed: Seed = 0,
    title: Annotated[str | None, typer.Option(help="The page's title.")] = None,
    out: Annotated[
        Path,
        typer.Option(
            help="A page (.html), the picture (.png, .svg, .pdf), the numbers (.json) or the cells (.geojson)."
        ),
    ] = Path("regions.html"),
    quiet: Quiet = False,
) -> None:
    """Count and draw the activation regions on a line or in a plane, exactly. A model of two inputs needs no data."""
    from actscope.named import load_model
    from actscope.report.partition_page import require_suffix, save_partition
    from actscope.report.partitioning import Where, find_partition

    require_suffix(out)
    if colour not in ("region", "linear_region", "norm", "class"):
        raise ValueError(f"--colour {colour}: choose region, linear_region, norm or class")
    where = Where(plane, through_origin, random_plane, line, window, whole, samples)
    network = load_model(model, weights=weights)
    examples, source = None, ""
    if where.indices:
        pair = _data(data, dataset, data_dir, quiet)
        if split not in ("train", "test"):
            raise ValueError(f"--split {split}: choose train or test")
        if split == "test" and pair[1] is None:
            raise ValueError(f"--split test: {dataset or data} has no test data; pass --split train")
        examples, source = pair[split == "test"], f"{dataset or data} ({split})"
    found, picked = find_partition(
        network,
        where,
        examples,
        source=source,
        layers=layers,
        breakpoints=breakpoints,
        verify=verify,
        max_regions=max_regions,
        device=device,
        seed=seed,
        progress=_shows_progress(quiet),
    )
    save_partition(
        found,
        out,
        model=network,
        picked=picked,
        colour=colour,  # type: ignore[arg-type]  # plot itself refuses what is none
        class_names=getattr(examples, "classes", ()),
        title=title or f"Activation regions of {model}",
        subtitle=where.said(source),
    )
    if not quiet:
        typer.echo(repr(found))
    typer.echo(f"{'Page' if out.suffix == '.html' else 'File'}: {out}")


@app.command()
def sites(
    model: Annotated[str, typer.Argument(help="package.module:name of a model, or of a function that makes one.")],
    shape: Annotated[str, typer.Option(help="Shape of one input, such as 3,32,32.")],
) -> None:
    """List what can be read in a model: every activation, in the order in which it runs."""
    import torch
    from rich.table import Table

    from actscope.codes import sites as sites_of
    from actscope.named import load_model

    try:
        size = tuple(int(part) for part in shape.replace("x", ",").split(","))
    except ValueError:
        raise ValueError(f"--shape {shape}: give the sizes of one input, such as 3,32,32") from None
    table = Table("site", "kind", "shape", "neurons", "breakpoints", box=None, header_style="bold", pad_edge=False)
    for site in sites_of(load_model(model), torch.zeros(2, *size)):
        points = ", ".join(f"{point:g}" for point in site.breakpoints)
        table.add_row(site.name, site.kind, "×".join(map(str, site.shape)), f"{site.n_neurons:,}", points)
    Console().print(table)


def _data(data: str | None, dataset: str | None, data_dir: Path | None, quiet: bool) -> tuple[Any, Any]:
    from actscope.named import load_data
    from actscope.training import load_dataset

    if data and dataset:
        raise ValueError(f"--data {data} and --dataset {dataset} were both given; choose one")
    if dataset:
        return load_dataset(dataset, data_dir=data_dir, progress=_shows_progress(quiet))
    if data:
        return load_data(data)
    raise ValueError(
        "no data was given: pass --data mypackage.data:loaders, --data arrays.npz, or --dataset mnist --data-dir DIR"
    )


def _echo_worst(found: Any, n: int) -> None:
    """The worst units, and below them what to do about each kind."""
    import textwrap

    worst = found.worst(n)
    for finding in worst:
        typer.echo(str(finding))
    advice = {finding.verdict: finding.advice for finding in worst}
    if advice:
        typer.echo("\nWhat to do")
    for verdict, text in advice.items():
        indent = " " * (len(verdict) + 2)
        typer.echo(textwrap.fill(f"{verdict}: {text}", 100, subsequent_indent=indent))
    if not worst and n:
        typer.echo("All units are alive.")


def _shows_progress(quiet: bool) -> bool:
    return not quiet and sys.stderr.isatty()


def _finish(report: Any, out: Path, quiet: bool) -> None:
    page = report.save(out)
    if not quiet:
        typer.echo(str(report))
    typer.echo(f"Report: {page}")


def main() -> None:
    """Run the command line. What the caller got wrong ends in one message and exit code 2."""
    try:
        app()
    except (ValueError, TypeError, OSError, ImportError, RuntimeError, FloatingPointError) as error:
        Console(stderr=True, highlight=False).print(f"[bold red]actscope:[/] {_escaped(error)}", soft_wrap=True)
        sys.exit(2)


def _escaped(error: Exception) -> str:
    from rich.markup import escape

    return escape(str(error) or type(error).__name__)
