"""`actscope study` and `actscope phase`: what they say and write, and how they say what went wrong."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from actscope.cli import main
from actscope.studies import Results, run
from actscope.studies.locking import alone_in
from actscope.training import MLP, Recipe, digits, fit, save_weights

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs."""
    folder = tmp_path_factory.mktemp("results")
    run("he2021.width", folder, scale="smoke", progress=False)
    run("phase.time", folder, scale="smoke", progress=False)
    return folder


@pytest.fixture
def actscope(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command; exit code, stdout and stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["actscope", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "200")
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        return int(end.value.code or 0), said.out, said.err

    return call


def test_studies_are_listed_with_what_they_show_and_of_which_figure(actscope: Run) -> None:
    code, out, _ = actscope("study", "list")
    assert code == 0
    assert "he2021.width" in out
    assert "Figures 2(a) and 2(b)" in out
    assert "phase.samples" in out


def test_a_run_says_what_was_measured_and_compares(actscope: Run, done: Path) -> None:
    code, out, _ = actscope("study", "run", "he2021.width", "--scale", "smoke", "--out", done)
    assert code == 0
    assert "6 of 6 cells measured" in out
    assert "not run at this scale" in out
    assert str(done / "he2021.width") in out


def test_status_tells_complete_running_and_cut_off_runs_apart(actscope: Run, done: Path, tmp_path: Path) -> None:
    for folder in (done / "he2021.width", done / "phase.time"):
        target = tmp_path / folder.name
        target.mkdir()
        (target / "runs").mkdir()
        for path in (folder / "runs").glob("*.json"):
            (target / "runs" / path.name).write_bytes(path.read_bytes())
    assert actscope("study", "status", "--out", tmp_path)[1].count("to be resumed") == 2
    with alone_in(tmp_path / "phase.time"):
        assert "running" in actscope("study", "status", "phase.time", "--out", tmp_path)[1]
    assert actscope("study", "status", "--out", done)[1].count("complete") == 2
    code, out, _ = actscope("study", "resume", "he2021.width", "--out", tmp_path, "-q")
    assert code == 0
    assert "6 of 6" in out
    assert "is complete" in actscope("study", "resume", "he2021.width", "--out", tmp_path)[1]


def test_a_part_of_a_run_is_measured_and_saved_by_name(actscope: Run, tmp_path: Path) -> None:
    only = ("--only", "width=3,10", "--only", "seed=0")
    code, _, _ = actscope("study", "run", "he2021.width", "--scale", "smoke", *only, "--out", tmp_path, "-q")
    assert code == 0
    assert "2 of 6 cells" in actscope("study", "compare", "--out", tmp_path)[1]
    assert "not saved" in actscope("study", "save", "--out", tmp_path, "--to", tmp_path / "saved")[1]
    assert actscope("study", "save", "--partial", "--out", tmp_path, "--to", tmp_path / "saved")[0] == 0
    assert len(Results.of_file(tmp_path / "saved" / "he2021.width-digits-smoke.parquet")) == 2


def test_a_comparison_is_written_as_a_page_and_as_numbers(actscope: Run, done: Path, tmp_path: Path) -> None:
    page, numbers = tmp_path / "page.md", tmp_path / "numbers.json"
    assert actscope("study", "compare", "--out", done, "--markdown", page, "--json", numbers)[0] == 0
    assert "## Redundancy and categorization accuracy" in page.read_text()
    found = json.loads(numbers.read_text())
    assert {one["study"] for one in found} == {"he2021.width", "phase.time"}


def test_figures_are_pictures(actscope: Run, done: Path, tmp_path: Path) -> None:
    assert actscope("study", "figures", "--out", done, "--to", tmp_path, "--format", "svg")[0] == 0
    assert {path.name for path in tmp_path.iterdir()} == {
        "he2021.width-digits-smoke-width.svg",
        "phase.time-digits-smoke-chart.svg",
    }


def test_saved_runs_make_the_pages_of_the_reproduction(actscope: Run, done: Path, tmp_path: Path) -> None:
    assert actscope("study", "save", "--out", done, "--to", tmp_path / "saved")[0] == 0
    saved = Results.of_file(tmp_path / "saved" / "he2021.width-digits-smoke.parquet")
    assert saved.grid == {"dataset": "digits", "scale": "smoke", "recipe": ""}
    assert actscope("study", "pages", "--from", tmp_path / "saved", "--to", tmp_path / "docs")[0] == 0
    overview = (tmp_path / "docs" / "reproduction.md").read_text()
    assert "actscope study run he2021.width" in overview
    assert "| R6 | Lemma 1 |" in overview
    page = (tmp_path / "docs" / "he2021.md").read_text()
    for picture in (tmp_path / "docs" / "reproduction").iterdir():
        assert f"reproduction/{picture.name}" in page
    assert "Made with actscope" in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("study", "run", "he2021.depth"), "no study 'he2021.depth'"),
        (("study", "run", "he2021.width", "--scale", "huge"), "scale='huge'"),
        (("study", "run", "he2021.width", "--scale", "smoke", "--engine", "spark"), "engine='spark'"),
        (("study", "run", "he2021.width", "--scale", "smoke", "--only", "seed"), "--only seed: give a setting"),
        (("study", "run", "he2021.width", "--scale", "smoke", "--only", "layers=1"), "no setting 'layers'"),
        (("study", "status", "--out", "nowhere"), "no folder nowhere"),
        (("study", "compare", "he2021.noise", "--out", "."), "actscope study run he2021.noise"),
        (("study", "figures", "--format", "gif", "--out", "."), "--format gif"),
        (("study", "pages", "--from", ".", "--to", "docs"), "no saved results"),
        (("phase", "chart", "--axis", "depth"), "--axis depth"),
        (("phase", "chart", "--from", "."), "actscope study run phase.time"),
    ],
    ids=lambda value: " ".join(value[:3]) if isinstance(value, tuple) else "",
)
def test_what_is_wrong_is_said_in_one_message(
    actscope: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = actscope(*arguments)
    assert code == 2
    assert message in err
    assert "Traceback" not in err


def test_a_second_run_in_the_folder_is_told_about_the_first(actscope: Run, done: Path) -> None:
    with alone_in(done / "he2021.width"):
        code, _, err = actscope("study", "run", "he2021.width", "--scale", "smoke", "--out", done)
    assert code == 2
    assert "another run (process" in err


def test_a_chart_is_drawn_and_says_its_thresholds(actscope: Run, done: Path, tmp_path: Path) -> None:
    code, out, _ = actscope("phase", "chart", "--from", done, "--out", tmp_path / "phase.png")
    assert code == 0
    assert "under-expressive: redundancy above" in out
    assert (tmp_path / "phase.png").stat().st_size > 5000


def test_a_network_is_located_in_a_chart(
    actscope: Run, done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    Path("locatable.py").write_text("from actscope.training import MLP\n\ndef build():\n    return MLP(64, [5], 10)\n")
    model = MLP(64, [5], 10, seed=9)
    fit(model, digits()[0].flatten(), recipe=Recipe(lr=1e-2, batch_size=32, epochs=10))
    save_weights(model, "w.safetensors")
    arguments = ("phase", "locate", "locatable:build", "--weights", "w.safetensors", "--from", done)
    code, out, _ = actscope(*arguments, "--epochs", 10, "--out", "here.png")
    assert code == 0
    assert "width 5, epoch 10; how sure:" in out
    assert Path("here.png").is_file()
    code, _, err = actscope(*arguments, "--epochs", 500)
    assert code == 2
    assert "outside the chart" in err
