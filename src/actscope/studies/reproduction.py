"""Pages that hold every figure, table and claim of the papers beside what saved results say."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from actscope.studies.catalogue import find_study, studies
from actscope.studies.comparing import Comparison, compare
from actscope.studies.printed.values import claim_rows
from actscope.studies.results import Results
from actscope.studies.study import Grid
from actscope.wholefile import whole_file

__all__ = ["PAPERS", "Reproduction"]

PAPERS: Mapping[str, str] = {
    "he2021": "He, Lei, Ji and Tao (2021), *Neural networks behave as hash encoders*",
    "hanin2019": "Hanin and Rolnick (2019), *Deep ReLU networks have surprisingly few activation patterns*",
    "jiang2022": "Jiang et al. (2022), *Delve into neural activations: towards understanding dying neurons*",
}
"""The papers, by the first part of their studies' names."""

FIGURES: Mapping[str, Sequence[tuple[str, str, tuple[str, ...]]]] = {
    "he2021": (
        ("Figure 1", "t-SNE of codes", ("he2021.map",)),
        ("Table 1", "CNNs on MNIST", ("he2021.cnn:mnist",)),
        ("Table 2", "CNNs on CIFAR-10", ("he2021.cnn:cifar10",)),
        ("Figure 2(a), 2(b)", "width", ("he2021.width",)),
        ("Figure 2(c), 2(d), 2(e), 9", "diameters", ("he2021.diameters",)),
        ("Figure 2(f)", "random data", ("he2021.time",)),
        ("Figure 3", "training time", ("he2021.time",)),
        ("Figure 4", "sample size", ("he2021.samples",)),
        ("Figure 5", "layers", ("he2021.layers",)),
        ("Figure 6", "regularization", ("he2021.regularization",)),
        ("Figure 7", "label noise", ("he2021.noise",)),
        ("Figure 8, Table 3", "random pixels", ("he2021.random",)),
        ("Section 5.6", "the phase chart", ("phase.time", "phase.samples")),
        ("Tables 4, 5", "architectures", ()),
    ),
    "hanin2019": (
        ("Figure 1", "regions in a plane through training", ("hanin2019.training",)),
        ("Figure 2", "label corruption", ("hanin2019.labels",)),
        ("Figure 3", "memorizing random points", ("hanin2019.memorization",)),
        ("text", "pixel noise", ("hanin2019.pixels",)),
        ("Theorem 5", "the expectation at initialization", ("hanin2019.expectation",)),
        ("text", "initialization", ("hanin2019.initialization",)),
        ("text", "learning rate and batch size", ("hanin2019.hyperparameters",)),
    ),
    "jiang2022": (
        ("Figure 1", "post-activations by layer", ("jiang2022.statistics",)),
        ("Figure 2", "the 1-D toy, equation (11)", ("jiang2022.toy",)),
        ("Figure 3", "generalized regions in a plane", ("jiang2022.regions",)),
        ("Figure 4", "gradient-to-weight ratios", ("jiang2022.statistics",)),
        ("Figure 5", "1,225 pairs", ("jiang2022.pairs",)),
        ("Figure 6", "similarity of sets", ("jiang2022.similarity",)),
        ("Figures 7, 8", "similarity and distance through training", ("jiang2022.similarity",)),
        ("Figure 9", "VGG16 on CIFAR-10", ("jiang2022.vgg16",)),
        ("Table I", "accuracy by activation", ("jiang2022.statistics", "jiang2022.vgg16")),
    ),
}
"""Every figure and table, what it shows, and the studies that reproduce it, with a data set where it is of one only."""

TESTED: Mapping[str, tuple[str, str, str]] = {
    "R6": ("agrees", "regions/test_planes.py", "property test"),
    "R7": ("agrees", "regions/test_planes.py", "property test in the plane"),
    "R8": (
        "agrees",
        "regions/test_planes.py",
        "property test without pooling, with which linear regions can outnumber patterns",
    ),
    "R9": ("agrees", "regions/test_lines.py", "property test on whole lines and planes through the origin"),
    "J10": (
        "agrees",
        "neurons/test_affinity.py",
        "property test with its conditions; a counter-example for cross-entropy",
    ),
    "J11": (
        "agrees",
        "neurons/test_adjacency.py",
        "property test; deeper, patterns that differ in one neuron need not touch",
    ),
    "J12": ("differs", "neurons/test_spread.py", "no law: it fails in the steepest region"),
    "J13": (
        "agrees",
        "neurons/test_relations.py",
        "equality for one layer and one breakpoint, inequality deeper, counter-examples",
    ),
    "J14": (
        "differs",
        "neurons/test_relations.py",
        "no law: a counter-example; correlations of both signs in [Neurons](neurons.md)",
    ),
}
"""Claims that are properties of all networks: a verdict, the tests that are their evidence, and what those show."""


@dataclass(frozen=True)
class Reproduction:
    """All saved results, compared.

    Attributes:
        comparisons: of each saved run, by the order of studies.
        files: of each, the file it came from.
    """

    comparisons: tuple[Comparison, ...]
    files: tuple[Path, ...]

    @classmethod
    def of(cls, folder: str | os.PathLike[str]) -> Reproduction:
        """Everything in a folder that `Results.save` wrote.

        Raises:
            FileNotFoundError: there is nothing.
            ValueError: a file is not of cells of its study as it is now.
        """
        order = {name: i for i, name in enumerate(studies())}
        found = [(path, Results.of_file(path)) for path in sorted(Path(folder).glob("*.parquet"))]
        if not found:
            raise FileNotFoundError(f"{folder} has no saved results; write some: actscope study save --to {folder}")
        for path, results in found:
            _require_current(path, results)
        found.sort(key=lambda one: (order[one[1].study], str(one[0])))
        comparisons = tuple(compare(find_study(r.study), Grid(**r.grid), r) for _, r in found)  # type: ignore[arg-type]  # a scale
        return cls(comparisons, tuple(path for path, _ in found))

    def save(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Writes `reproduction.md`, a page for each paper, and the pictures of all runs; returns what was written."""
        root = Path(folder)
        (root / "reproduction").mkdir(parents=True, exist_ok=True)
        written = []
        for name, text in self.pages.items():
            with whole_file(root / name) as unfinished:
                unfinished.write_text(text, encoding="utf-8")
            written.append(root / name)
        for one, path in zip(self.comparisons, self.files, strict=True):
            for figure, draw in one.study.figures.items():
                picture = root / _picture(one, figure)
                with whole_file(picture) as unfinished:
                    draw(Results.of_file(path)).savefig(unfinished, dpi=90)
                written.append(picture)
        return written

    @cached_property
    def pages(self) -> dict[str, str]:
        """The text of every page, by its file."""
        return {"reproduction.md": self._overview()} | {f"{paper}.md": self._paper(paper) for paper in PAPERS}

    def _of_study(self, name: str) -> list[Comparison]:
        study, _, dataset = name.partition(":")
        return [one for one in self.comparisons if one.study.name == study and dataset in ("", one.grid.dataset)]

    def _overview(self) -> str:
        lines = [
            "# The papers, reproduced",
            "",
            "Every figure and table of the three papers, and the claims drawn from them: the command, our result and a verdict. "
            "Generated by `actscope study pages` from the Parquet files in `docs/results/studies`, which say with which seeds, versions "
            "and machine they were made. Run a command of this page, then `actscope study compare`, to see the same of your own results.",
            "",
            "*Small* scale is what two cores do in minutes; `--scale paper` runs what was printed.",
            "",
        ]
        for paper, title in PAPERS.items():
            lines += [f"## {title}", "", f"Numbers and pictures: [{paper}]({paper}.md).", ""]
            lines += ["| | shows | command |", "| --- | --- | --- |"]
            for figure, shows, names in FIGURES[paper]:
                runs = [_command(one) for name in names for one in self._of_study(name)]
                others = [
                    f"`actscope study run {name.replace(':', ' --dataset ')}` (not run here)"
                    for name in names
                    if not self._of_study(name)
                ]
                tests = [] if names else ["`pytest tests/training/test_architectures.py`"]
                lines.append(f"| {figure} | {shows} | {'; '.join([*runs, *others, *tests])} |")
            lines += [
                "",
                "| claim | where | what is claimed | verdict | ours | why |",
                "| --- | --- | --- | --- | --- | --- |",
            ]
            for row in claim_rows():
                if row["paper"] == paper:
                    lines += self._claim(row)
            lines.append("")
        return "\n".join(lines)

    def _claim(self, row: Mapping[str, str]) -> list[str]:
        name, where, text = row["id"], row["where"], _escaped(row["claim"])
        lines = [
            f"| {name} | {where} | {text} | **{finding.verdict}** | {_said(one)}: {_escaped(finding.ours)} | {_escaped(finding.why)} |"
            for one in self.comparisons
            for claim, finding in one.findings
            if claim.id == name and finding.ours
        ]
        if lines:
            return lines
        if name in TESTED:
            verdict, tests, shown = TESTED[name]
            return [f"| {name} | {where} | {text} | **{verdict}** | `pytest tests/{tests}` | {shown} |"]
        runs = [study.name for study in studies().values() if any(claim.id == name for claim in study.claims)]
        how = " or ".join(f"`actscope study run {run}`" for run in runs)
        return [
            f"| {name} | {where} | {text} | **not run at this scale** | | {f'run {how}' if how else 'no study measures it yet'} |"
        ]

    def _paper(self, paper: str) -> str:
        lines = [
            f"# {PAPERS[paper].split(', *')[1].rstrip('*')}",
            "",
            f"{PAPERS[paper].split(', *')[0]}, study by study. Generated by `actscope study pages` from saved results; "
            "[all claims](reproduction.md) are on one page.",
            "",
        ]
        for one, path in zip(self.comparisons, self.files, strict=True):
            if one.study.name.split(".")[0] not in ((paper, "phase") if paper == "he2021" else (paper,)):
                continue
            lines += [one.to_markdown(), _made(path), ""]
            for figure in one.study.figures:
                lines += [f"![{one.study.title}: {figure}, {one.grid.name}]({_picture(one, figure)})", ""]
        return "\n".join(lines)


def _said(one: Comparison) -> str:
    parts = [one.study.name, one.grid.dataset, one.grid.scale, one.grid.recipe]
    if one.n_missing:
        parts.append(f"{one.n_cells:,} of {one.n_cells + one.n_missing:,} cells")
    return ", ".join(part for part in parts if part)


def _command(one: Comparison) -> str:
    command = f"actscope study run {one.study.name} --dataset {one.grid.dataset} --scale {one.grid.scale}"
    command += f" --recipe {one.grid.recipe}" if one.grid.recipe else ""
    part = f" ({one.n_cells:,} of {one.n_cells + one.n_missing:,} cells)" if one.n_missing else ""
    return f"`{command}`{part}"


def _picture(one: Comparison, figure: str) -> str:
    return f"reproduction/{one.study.name}-{one.grid.name}-{figure}.png"


def _require_current(path: Path, results: Results) -> None:
    """Refuses a file of cells other than the study's, beside which its description would not be true."""
    if not results.grid:
        raise ValueError(
            f"{path} does not say of what run it is; write one with: actscope study save --to {path.parent}"
        )
    study, grid = find_study(results.study), Grid(**results.grid)  # type: ignore[arg-type]  # a scale
    if not {entry["id"] for entry in results.about} <= {cell.id for cell in study.cells(grid)}:
        raise ValueError(
            f"{path} was measured by another version of {study.name}: run it again ({study.name}, {grid.name}), and save it"
        )


def _made(path: Path) -> str:
    """With what the results of a file were made, in a line."""
    made = [entry["made"] for entry in Results.of_file(path).about]
    seconds = sum(entry["seconds"] or 0 for entry in made)
    first = made[0]
    return (
        f"Made with actscope {first['actscope']}, torch {first['torch']}, Python {first['python']} on {first['machine']}, "
        f"in {max(1, round(seconds / 60))} min: `{path.name}`."
    )


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
