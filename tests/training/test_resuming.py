"""Training of one model that was cut off goes on to the same end."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from actscope.training import Checkpoints, History, LabelledData, Recipe, fit

RECIPE = Recipe(lr=1e-2, batch_size=8, epochs=6, schedule="step", lr_every=2)


def data() -> LabelledData:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(50, 1, 6, 6, generator=generator)
    return LabelledData(x, torch.arange(50) % 3, name="blobs")


def net() -> nn.Module:
    """With running averages and draws of its own."""
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3), nn.Linear(64, 3)
    )


def equal(ours: nn.Module, theirs: nn.Module) -> bool:
    state = theirs.state_dict()
    return all(torch.equal(value, state[name]) for name, value in ours.state_dict().items())


def values(history: History) -> tuple[Any, ...]:
    return history.loss, history.train_accuracy, history.test_accuracy, history.lr, history.stopped_early


class CutOffError(Exception):
    pass


def cut_off_after(epoch: int) -> Callable[[int, nn.Module], None]:
    def end(at: int, model: nn.Module) -> None:
        if at == epoch + 1:
            raise CutOffError

    return end


@pytest.mark.parametrize("epoch", [1, 3, 5])
@pytest.mark.parametrize("recipe", [RECIPE, RECIPE.replace(optimizer="sgd", momentum=0.9), RECIPE.replace(steps=39)])
def test_a_run_that_was_cut_off_goes_on_to_the_same_weights_and_history(
    tmp_path: Path, epoch: int, recipe: Recipe
) -> None:
    whole, resumed = net(), net()
    expected = fit(whole, data(), recipe=recipe, seed=3, test=data())
    checkpoints = Checkpoints(tmp_path, save_every=0)
    with pytest.raises(CutOffError):
        fit(net(), data(), recipe=recipe, seed=3, test=data(), checkpoints=checkpoints, on_epoch=cut_off_after(epoch))
    seen: list[int] = []
    history = fit(
        resumed,
        data(),
        recipe=recipe,
        seed=3,
        test=data(),
        checkpoints=checkpoints,
        on_epoch=lambda at, model: seen.append(at),
    )
    assert seen == list(range(epoch + 1, expected.n_epochs + 1))
    assert equal(resumed, whole)
    assert values(history) == values(expected)


def _killed(folder: str) -> None:
    def kill(epoch: int, model: nn.Module) -> None:
        if epoch == 4:
            os.kill(os.getpid(), signal.SIGKILL)

    fit(net(), data(), recipe=RECIPE, checkpoints=Checkpoints(folder, save_every=0), on_epoch=kill)


def test_a_process_that_was_killed_loses_no_epoch_it_had_saved(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_killed, args=(str(tmp_path),))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    whole, resumed = net(), net()
    seen: list[int] = []
    fit(resumed, data(), recipe=RECIPE, checkpoints=tmp_path, on_epoch=lambda epoch, model: seen.append(epoch))
    fit(whole, data(), recipe=RECIPE)
    assert seen == [4, 5, 6]
    assert equal(resumed, whole)


def test_training_in_pieces_ends_where_training_at_once_does(tmp_path: Path) -> None:
    whole = net()
    expected = fit(whole, data(), recipe=RECIPE, test=data())
    seen: list[int] = []
    for epoch in range(1, 7):
        piece = net()
        history = fit(
            piece,
            data(),
            recipe=RECIPE,
            test=data(),
            checkpoints=Checkpoints(tmp_path, save_every=1e6),
            stop_after=1e-9,
            on_epoch=lambda at, model: seen.append(at),
        )
        assert (history.n_epochs, history.unfinished) == (epoch, epoch < 6)
        assert ("unfinished" in repr(history)) == history.unfinished
    assert seen == list(range(7))
    assert equal(piece, whole)
    assert values(history) == values(expected)


def test_a_run_with_more_time_than_it_needs_is_finished(tmp_path: Path) -> None:
    history = fit(net(), data(), recipe=RECIPE, checkpoints=tmp_path, stop_after=1e6)
    assert (history.n_epochs, history.unfinished) == (6, False)


def test_a_piece_that_ends_for_want_of_a_lower_loss_is_finished(tmp_path: Path) -> None:
    recipe = RECIPE.replace(optimizer="sgd", lr=1e-30, patience=1, epochs=30)
    frozen = nn.Sequential(nn.Flatten(), nn.Linear(36, 3))
    same = (torch.ones(16, 1, 6, 6), torch.tensor([0, 1] * 8))
    history = [fit(frozen, same, recipe=recipe, checkpoints=tmp_path, stop_after=1e-9) for _ in range(2)][-1]
    assert (history.n_epochs, history.stopped_early, history.unfinished) == (2, True, False)


def test_a_piece_needs_a_folder_and_some_time(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"stop_after=60\.0 needs checkpoints"):
        fit(net(), data(), recipe=RECIPE, stop_after=60.0)
    with pytest.raises(ValueError, match="stop_after=0 must be positive"):
        fit(net(), data(), recipe=RECIPE, checkpoints=tmp_path, stop_after=0)


def test_a_run_that_is_done_is_not_done_again(tmp_path: Path) -> None:
    recipe = RECIPE.replace(patience=1, lr=0.5, epochs=30)
    first, again = net(), net()
    expected = fit(first, data(), recipe=recipe, checkpoints=tmp_path)
    history = fit(again, data(), recipe=recipe, checkpoints=tmp_path, on_epoch=lambda *_: pytest.fail("trained"))
    assert expected.stopped_early
    assert equal(first, again)
    assert history == expected


def test_weights_are_kept_at_chosen_epochs_and_updates(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, epochs=(0, 2), steps=(3, 10))
    fit(net(), data(), recipe=RECIPE, checkpoints=checkpoints)
    for when, recipe in (({"epoch": 2}, RECIPE.replace(epochs=2)), ({"step": 3}, RECIPE.replace(steps=3))):
        kept, ended = net(), net()
        checkpoints.load(kept, 0, **when)
        fit(ended, data(), recipe=recipe)
        assert equal(kept, ended)
    first = net()
    checkpoints.load(first, 0, epoch=0)
    assert equal(first, net())
    assert {path.name for path in (tmp_path / "model-0000").iterdir()} == {
        "epoch-00000.safetensors",
        "epoch-00002.safetensors",
        "step-00000003.safetensors",
        "step-00000010.safetensors",
        "progress.pt",
    }


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"recipe": RECIPE.replace(lr=1e-3)}, "recipe"),
        ({"seed": 1}, "seed"),
        ({"train": data().take(torch.arange(40))}, "data"),
        ({"test": data()}, "test"),
    ],
)
def test_a_folder_with_another_run_is_refused_with_what_differs(
    tmp_path: Path, change: dict[str, Any], what: str
) -> None:
    fit(net(), data(), recipe=RECIPE, checkpoints=tmp_path)
    arguments: dict[str, Any] = {"train": data(), "recipe": RECIPE, "seed": 0, **change}
    with pytest.raises(ValueError, match=f"its {what} is not that of this model"):
        fit(net(), arguments.pop("train"), checkpoints=tmp_path, **arguments)


def test_a_file_that_is_no_progress_is_refused(tmp_path: Path) -> None:
    path = Checkpoints(tmp_path).progress_path(0)
    path.parent.mkdir()
    path.write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="cannot be read; delete it"):
        fit(net(), data(), recipe=RECIPE, checkpoints=tmp_path)
