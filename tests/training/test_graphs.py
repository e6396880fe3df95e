"""Updates that are captured once and replayed are those that are launched piece by piece."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.training.graphs import Recorder, capture
from tests.training.test_stacks import BASE, OPTIONS, SHAPES, blobs, distance, nets

from actscope.training import ACTIVATIONS, MLP, Recipe, stacks
from actscope.training.stacking.graphs import Captured, precision


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """No loops of our own, no question that a GPU would have to be waited for."""
    monkeypatch.setattr("actscope.training.stacking.inputs.Inputs.is_sparse", lambda self: False)
    monkeypatch.setattr("actscope.training.stacking.passes.SMALL", 0)
    monkeypatch.setattr("actscope.training.stacking.losses.asks", lambda place: False)


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch, as_on_a_gpu: None) -> list[Recorder]:
    """The graphs that were captured; fits of the test are captured from the second on."""
    made: list[Recorder] = []

    def recorded(work: Any) -> Any:
        replay = capture(work)
        made.append(replay.__self__)
        return replay

    fit = stacks.fit

    def captured(*args: Any, **kwargs: Any) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("actscope.training.stacking.running.capture_of", lambda place: recorded)
            return fit(*args, **kwargs)

    monkeypatch.setattr("actscope.training.stacks.fit_captured", captured, raising=False)
    return made


def assert_captured_as_direct(
    make: Any, recipes: Recipe | list[Recipe], graphs: list[Recorder], **options: Any
) -> None:
    ours, theirs = make(), make()
    direct = stacks.fit(theirs, blobs(), recipe=recipes, seeds=3, **options)
    assert not graphs
    captured = stacks.fit_captured(ours, blobs(), recipe=recipes, seeds=3, **options)  # type: ignore[attr-defined]  # of the fixture
    assert graphs
    for one, other in zip(ours, theirs, strict=True):
        assert distance(one, other) == 0
        for name, value in other.named_buffers():
            assert torch.equal(one.get_buffer(name), value)
    for a, b in zip(captured.histories, direct.histories, strict=True):
        assert (a.loss, a.train_accuracy, a.test_loss, a.lr) == (b.loss, b.train_accuracy, b.test_loss, b.lr)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_captured_update_does_what_its_pieces_do(options: dict[str, Any], graphs: list[Recorder]) -> None:
    assert_captured_as_direct(lambda: nets(shapes=SHAPES, batch_norm=True), BASE.replace(**options), graphs)


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_an_activation_is_differentiated_within_a_graph(activation: str, graphs: list[Recorder]) -> None:
    assert_captured_as_direct(lambda: nets(activation=activation, shapes=[[5], [4, 6]]), BASE.replace(steps=40), graphs)


def test_models_with_any_recipes_are_captured_as_one(graphs: list[Recorder]) -> None:
    recipes = [BASE.replace(**{**options, "steps": 60}) for options in OPTIONS[:-1]]
    assert_captured_as_direct(lambda: nets(shapes=(SHAPES * 2)[: len(recipes)]), recipes, graphs, test=blobs(seed=1))


def test_there_is_one_graph_for_each_size_of_batch_and_each_rate(graphs: list[Recorder]) -> None:
    recipe = Recipe(lr=0.02, batch_size=8, epochs=8, schedule="step", lr_every=4)
    stacks.fit_captured(nets(), blobs(), recipe=recipe)  # type: ignore[attr-defined]  # of the fixture
    # four batches of 8 and one of 4 an epoch: the first two of a size are warm-up, at either rate
    assert [graph.n_replays for graph in graphs] == [14, 2, 14, 2]


def test_a_rate_that_changes_at_every_update_stays_out_of_the_graph(graphs: list[Recorder]) -> None:
    linear = BASE.replace(steps=25, schedule="linear", lr_end=1e-4)
    assert_captured_as_direct(lambda: nets(shapes=[[5], [4]]), [linear, BASE.replace(steps=25)], graphs)
    assert [graph.n_replays for graph in graphs] == [18, 3]
    assert not any("adam" in str(func) for graph in graphs for func, *_ in graph.calls)


def test_a_run_that_was_cut_off_goes_on_in_graphs(graphs: list[Recorder], tmp_path: Any) -> None:
    whole, parts, recipe = nets(), nets(), BASE.replace(epochs=12)
    stacks.fit(whole, blobs(), recipe=recipe)

    def cut_off(index: int, epoch: int, model: MLP) -> None:
        if epoch == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stacks.fit_captured(parts, blobs(), recipe=recipe, checkpoints=tmp_path, on_epoch=cut_off)  # type: ignore[attr-defined]  # of the fixture
    parts = nets()
    stacks.fit_captured(parts, blobs(), recipe=recipe, checkpoints=tmp_path)  # type: ignore[attr-defined]  # of the fixture
    assert max(distance(a, b) for a, b in zip(parts, whole, strict=True)) == 0


def test_work_that_cannot_be_captured_is_done_piece_by_piece_and_that_is_said() -> None:
    done = []

    def refuse(work: Any) -> Any:
        raise RuntimeError("operation not permitted when stream is capturing")

    work = Captured(lambda: done.append(1), refuse)
    work()
    work()
    with pytest.warns(RuntimeWarning, match=r"launched piece by piece.*not permitted"):
        work()
    work()
    assert len(done) == 4


def test_a_capture_that_waits_is_noticed() -> None:
    x = torch.ones(3)
    with pytest.raises(RuntimeError, match="waits for the device"):
        capture(lambda: x.mul_(float(x.sum())))


@pytest.mark.parametrize(("tf32", "inside"), [(True, "high"), (False, "highest"), (None, "medium")])
def test_the_precision_of_products_is_asked_for_and_given_back(tf32: bool | None, inside: str) -> None:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        seen: list[str] = []
        stacks.fit(
            nets(),
            blobs(),
            recipe=BASE.replace(epochs=1),
            tf32=tf32,
            on_epoch=lambda _, epoch, __: seen.append(torch.get_float32_matmul_precision()) if epoch else None,
        )
        assert set(seen) == {inside}
        with pytest.raises(ValueError, match="stop"), precision(tf32):
            raise ValueError("stop")
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("n_workers", [1, 3])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_on_a_gpu_graphs_give_what_a_cpu_gives(options: dict[str, Any], n_workers: int) -> None:
    on_cpu, on_gpu = (nets(shapes=SHAPES, batch_norm=True) for _ in range(2))
    recipe = BASE.replace(**options)
    seeds = [i % 3 for i in range(len(SHAPES))]
    stacks.fit(on_cpu, blobs(), recipe=recipe, seeds=seeds)
    stacks.fit(on_gpu, blobs(), recipe=recipe, seeds=seeds, device="cuda", n_workers=n_workers)
    assert max(distance(a.cpu(), b) for a, b in zip(on_gpu, on_cpu, strict=True)) < 1e-9
