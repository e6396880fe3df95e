"""The command line of studies: `actscope study list`, `run`, `resume`, `status`, `figures`, `compare`, `save`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from actscope.wholefile import whole_file

if TYPE_CHECKING:
    from actscope.studies import Run

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True, help="Run the papers' experiments, and hold the results against what was printed."
)

Folder = Annotated[Path, typer.Option("--out", file_okay=False, help="Folder for the results of all studies.")]
Name = Annotated[str, typer.Argument(help="A study, as `actscope study list` names it.")]
OptionalName = Annotated[str | None, typer.Argument(help="A study; default: all that were begun in the folder.")]
Dataset = Annotated[str | None, typer.Option(help="Default: the study's first; digits at smoke scale.")]
Scale = Annotated[str, typer.Option(help="smoke (seconds), small (minutes on two cores) or paper (as printed).")]
Recipe = Annotated[str, typer.Option(help="Another recipe, such as he2021.code, if the study allows one.")]
Only = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SETTING=VALUE[,VALUE]",
        help="Measure only these cells now, such as seed=0,1. May be given several times.",
    ),
]
DataDir = Annotated[Path | None, typer.Option(help="Folder with the data set's files; else a cache, else a download.")]
Device = Annotated[str | None, typer.Option(help="Where to train, such as cpu or cuda.")]
Engine = Annotated[str, typer.Option(help="local, processes or ray.")]
Workers = Annotated[
    int | None, typer.Option(min=1, help="What is done at once. Default: one for each core; one on a GPU.")
]
TF32 = Annotated[bool | None, typer.Option("--tf32/--no-tf32", help="On a GPU, train stacks in TensorFloat-32 or not.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary.")]
Graphs = Annotated[
    bool, typer.Option("--cuda-graphs/--no-cuda-graphs", help="Whether a GPU is given each update of a stack whole.")
]

_DEFAULT = Path("results")


@app.command("list")
def list_() -> None:
    """Say what studies there are, and what each reproduces."""
    from actscope.studies import studies

    for study in studies().values():
        typer.secho(study.name, bold=True, nl=False)
        data = "no data" if study.datasets == ("none",) else ", ".join(study.datasets)
        typer.echo(f"  {study.source}; {data}\n    {study.title}")


@app.command()
def run(
    study: Name,
    dataset: Dataset = None,
    scale: Scale = "small",
    recipe: Recipe = "",
    only: Only = None,
    data_dir: DataDir = None,
    device: Device = None,
    engine: Engine = "local",
    workers: Workers = None,
    tf32: TF32 = None,
    cuda_graphs: Graphs = True,
    out: Folder = _DEFAULT,
    quiet: Quiet = False,
) -> None:
    """Measure every cell of a study that has not been measured yet, and compare with the paper."""
    from actscope import studies

    done = studies.run(
        study,
        out,
        dataset=dataset,
        scale=scale,
        recipe=recipe,
        only=_settings(only),
        data_dir=data_dir,
        device=device,
        engine=engine,  # type: ignore[arg-type]  # run itself refuses what is none
        n_workers=workers,
        tf32=tf32,
        cuda_graphs=cuda_graphs,
        progress=False if quiet else None,
    )
    if not quiet:
        typer.echo(f"{done}")
        _echo_comparison(done)
    typer.echo(f"Results: {done.folder}")


@app.command()
def resume(
    study: OptionalName = None,
    data_dir: DataDir = None,
    device: Device = None,
    engine: Engine = "local",
    workers: Workers = None,
    tf32: TF32 = None,
    cuda_graphs: Graphs = True,
    out: Folder = _DEFAULT,
    quiet: Quiet = False,
) -> None:
    """Go on with every run in the folder that is not complete."""
    from actscope import studies

    unfinished = [one for one in _runs(out, study) if not one.is_complete]
    for one in unfinished:
        done = studies.run(
            one.study,
            out,
            dataset=one.grid.dataset,
            scale=one.grid.scale,
            recipe=one.grid.recipe,
            data_dir=data_dir,
            device=device,
            engine=engine,  # type: ignore[arg-type]  # run itself refuses what is none
            n_workers=workers,
            tf32=tf32,
            cuda_graphs=cuda_graphs,
            progress=False if quiet else None,
        )
        typer.echo(f"{done}")
    if not unfinished:
        typer.echo(f"Every run in {out} is complete.")


@app.command()
def status(study: OptionalName = None, out: Folder = _DEFAULT) -> None:
    """Say how far every run in the folder is."""
    from rich.console import Console
    from rich.table import Table

    from actscope.studies.locking import in_use

    table = Table("study", "data", "scale", "recipe", "cells", "", box=None, header_style="bold", pad_edge=False)
    for one in _runs(out, study):
        n_done = len(one.cells) - len(one.missing)
        state = "complete" if one.is_complete else ("running" if in_use(one.folder) else "to be resumed")
        cells = f"{n_done:,} of {len(one.cells):,}"
        table.add_row(one.study.name, one.grid.dataset, one.grid.scale, one.grid.recipe or "the study's", cells, state)
    Console().print(table)


@app.command()
def figures(
    study: OptionalName = None,
    out: Folder = _DEFAULT,
    to: Annotated[Path | None, typer.Option(help="Folder for the pictures. Default: figures/ in each study's.")] = None,
    kind: Annotated[str, typer.Option("--format", help="png, svg or pdf.")] = "png",
) -> None:
    """Draw the figures of every run in the folder, in the manner of the paper."""
    if kind not in ("png", "svg", "pdf"):
        raise ValueError(f"--format {kind}: choose png, svg or pdf")
    for one in _runs(out, study):
        if not len(one.results):
            typer.echo(f"No figure: nothing is measured yet of {one.study.name}, {one.grid.name}")
            continue
        folder = to or one.folder / "figures"
        folder.mkdir(parents=True, exist_ok=True)
        for name, draw in one.study.figures.items():
            path = folder / f"{one.study.name}-{one.grid.name}-{name}.{kind}"
            try:
                figure = draw(one.results)
            except (ArithmeticError, LookupError, ValueError):
                if not one.missing:
                    raise
                typer.echo(f"No figure: {path.stem} needs more cells than are measured")
                continue
            with whole_file(path) as unfinished:
                figure.savefig(unfinished, dpi=150)
            typer.echo(f"Figure: {path}")


@app.command()
def compare(
    study: OptionalName = None,
    out: Folder = _DEFAULT,
    markdown: Annotated[Path | None, typer.Option(help="A file for the comparison as a page.")] = None,
    as_json: Annotated[Path | None, typer.Option("--json", help="A file for every number.")] = None,
) -> None:
    """Hold our results against every number and claim of the papers, with the difference and its spread."""
    from actscope.studies import compare as compare_results

    found = [compare_results(one.study, one.grid, one.results) for one in _runs(out, study)]
    if markdown is not None:
        _write(markdown, "\n".join(one.to_markdown() for one in found))
    if as_json is not None:
        _write(as_json, json.dumps([one.to_dict() for one in found], indent=1))
    for one in _runs(out, study):
        typer.echo(f"{one}")
        _echo_comparison(one)


@app.command()
def save(
    study: OptionalName = None,
    out: Folder = _DEFAULT,
    to: Annotated[Path, typer.Option(help="Folder for one Parquet file for each complete run.")] = Path("saved"),
    partial: Annotated[
        bool, typer.Option("--partial", help="Also what there is of runs that are not complete.")
    ] = False,
) -> None:
    """Write each complete run into one Parquet file, to keep or to publish."""
    to.mkdir(parents=True, exist_ok=True)
    for one in _runs(out, study):
        if one.is_complete or (partial and len(one.missing) < len(one.cells)):
            path = to / f"{one.study.name}-{one.grid.name}.parquet"
            one.results.save(path, grid=vars(one.grid))
            typer.echo(f"{one}: {path}")
        else:
            typer.echo(f"{one}: not complete, not saved (--partial saves what there is)")


@app.command()
def pages(
    source: Annotated[Path, typer.Option("--from", help="Folder with files that `actscope study save` wrote.")],
    to: Annotated[Path, typer.Option(help="Folder for the pages and their pictures.")],
) -> None:
    """Write the reproduction pages: every figure, table and claim of the papers beside what the saved results say."""
    from actscope.studies.reproduction import Reproduction

    for path in Reproduction.of(source).save(to):
        typer.echo(f"Written: {path}")


def _settings(only: list[str] | None) -> dict[str, list[str]]:
    """What `--only` asks for, by setting."""
    found: dict[str, list[str]] = {}
    for text in only or []:
        name, equals, values = text.partition("=")
        if not (name and equals and values):
            raise ValueError(f"--only {text}: give a setting and its values, such as --only seed=0,1")
        found.setdefault(name, []).extend(values.split(","))
    return found


def _runs(folder: Path, study: str | None) -> list[Run]:
    from actscope.studies import find_study, runs_in

    if study is not None:
        find_study(study)
    found = runs_in(folder, study=study)
    if not found:
        raise ValueError(
            f"no run{f' of {study}' if study else ''} was begun in {folder}: actscope study run {study or 'NAME'} --out {folder}"
        )
    return found


def _echo_comparison(one: Run) -> None:
    """Claims and printed numbers of one run, as tables."""
    from rich.console import Console
    from rich.table import Table

    from actscope.studies import compare as compare_results

    console = Console()
    found = compare_results(one.study, one.grid, one.results)
    if found.findings:
        table = Table("claim", "where", "verdict", "ours", box=None, header_style="bold", pad_edge=False)
        for claim, finding in found.findings:
            table.add_row(
                claim.id, claim.where, finding.verdict, ". ".join(part for part in (finding.ours, finding.why) if part)
            )
        console.print(table)
    if found.differences:
        table = Table(
            "printed", "numbers", "agree", "mean difference", "largest", "not run", box=None, header_style="bold"
        )
        for row in found.summary():
            table.add_row(*row)
        console.print(table)


def _write(path: Path, text: str) -> None:
    with whole_file(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
