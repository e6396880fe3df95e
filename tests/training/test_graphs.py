"""Updates that are captured once and replayed are those that are launched piece by piece."""

from __future__ import annotations

import gc
import weakref
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.training.graphs import Recorder, capture, capture_addresses
from tests.training.test_stacks import BASE, OPTIONS, SHAPES, blobs, distance, moved_by_rounding, nets

from actscope.devices import precision
from actscope.training import ACTIVATIONS, MLP, Recipe, stacks
from actscope.training.stacking import running
from actscope.training.stacking.graphs import Captured, GraphError, Lane, capture_of, lanes


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """No loops of our own, no question that a GPU would have to be waited for."""
    monkeypatch.setattr("actscope.training.stacking.inputs.Inputs.is_sparse", lambda self: False)
    monkeypatch.setattr("actscope.training.stacking.passes.SMALL", 0)
    monkeypatch.setattr("actscope.training.stacking.losses.asks", lambda place: False)


def fit_captured(capture_it: Any, *args: Any, **kwargs: Any) -> Any:
    """`stacks.fit` with updates captured so, and what may be done in any order done in another one."""

    def backwards(self: Lane, operations: Any) -> None:
        for operation in reversed(operations):
            operation()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("actscope.training.stacking.running.capture_of", lambda place: capture_it)
        patch.setattr(Lane, "spread", backwards)
        return stacks.fit(*args, **kwargs)


class Graphs(list[Recorder]):
    """Those that were captured."""

    def capture(self, work: Any) -> Any:
        replay = capture(work)
        self.append(replay.__self__)  # type: ignore[attr-defined]  # a method of the recorder
        return replay

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        return fit_captured(self.capture, *args, **kwargs)


@pytest.fixture
def graphs(as_on_a_gpu: None) -> Graphs:
    return Graphs()


def assert_captured_as_direct(make: Any, recipes: Recipe | list[Recipe], graphs: Graphs, **options: Any) -> None:
    ours, theirs = make(), make()
    direct = stacks.fit(theirs, blobs(), recipe=recipes, seeds=3, **options)
    assert not graphs
    captured = graphs.fit(ours, blobs(), recipe=recipes, seeds=3, **options)
    assert graphs
    for one, other in zip(ours, theirs, strict=True):
        assert distance(one, other) == 0
        for name, value in other.named_buffers():
            assert torch.equal(one.get_buffer(name), value)
    for a, b in zip(captured.histories, direct.histories, strict=True):
        assert (a.loss, a.train_accuracy, a.test_loss, a.lr) == (b.loss, b.train_accuracy, b.test_loss, b.lr)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_captured_update_does_what_its_pieces_do(options: dict[str, Any], graphs: Graphs) -> None:
    assert_captured_as_direct(lambda: nets(shapes=SHAPES, batch_norm=True), BASE.replace(**options), graphs)


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_an_activation_is_differentiated_within_a_graph(activation: str, graphs: Graphs) -> None:
    assert_captured_as_direct(lambda: nets(activation=activation, shapes=[[5], [4, 6]]), BASE.replace(steps=40), graphs)


def test_models_with_any_recipes_are_captured_as_one(graphs: Graphs) -> None:
    recipes = [BASE.replace(**{**options, "steps": 60}) for options in OPTIONS[:-1]]
    assert_captured_as_direct(lambda: nets(shapes=(SHAPES * 2)[: len(recipes)]), recipes, graphs, test=blobs(seed=1))


def test_there_is_one_graph_for_each_size_of_batch_and_each_rate(graphs: Graphs) -> None:
    recipe = Recipe(lr=0.02, batch_size=8, epochs=8, schedule="step", lr_every=4)
    graphs.fit(nets(), blobs(), recipe=recipe)
    # four batches of 8 and one of 4 an epoch: the first two of a size are warm-up, at either rate
    assert [graph.n_replays for graph in graphs] == [14, 2, 14, 2]


def test_a_rate_that_changes_at_every_update_stays_out_of_the_graph(graphs: Graphs) -> None:
    linear = BASE.replace(steps=25, schedule="linear", lr_end=1e-4)
    assert_captured_as_direct(lambda: nets(shapes=[[5], [4]]), [linear, BASE.replace(steps=25)], graphs)
    assert [graph.n_replays for graph in graphs] == [18, 3]
    assert not any("adam" in str(func) for graph in graphs for func, *_ in graph.calls)


def test_a_run_that_was_cut_off_goes_on_in_graphs(graphs: Graphs, tmp_path: Path) -> None:
    whole, parts, recipe = nets(), nets(), BASE.replace(epochs=12)
    stacks.fit(whole, blobs(), recipe=recipe)
    kept = stacks.Checkpoints(tmp_path, save_every=0)

    def cut_off(index: int, epoch: int, model: MLP) -> None:
        if epoch == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        graphs.fit(parts, blobs(), recipe=recipe, checkpoints=kept, on_epoch=cut_off)
    parts, seen = nets(), list[int]()
    graphs.fit(parts, blobs(), recipe=recipe, checkpoints=kept, on_epoch=lambda _, epoch, __: seen.append(epoch))
    assert min(seen) >= 5
    assert max(distance(a, b) for a, b in zip(parts, whole, strict=True)) == 0


@pytest.mark.parametrize("activation", ["relu", "prelu", "gelu"])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_all_memory_that_a_graph_works_on_stays_while_there_is_the_graph(
    options: dict[str, Any], activation: str, as_on_a_gpu: None
) -> None:
    made: list[Recorder] = []

    def only_addresses(work: Any) -> Any:
        replay = capture_addresses(work)
        made.append(replay.__self__)  # type: ignore[attr-defined]  # a method of the recorder
        return replay

    models = nets(activation=activation, batch_norm=True)
    fit_captured(only_addresses, models, blobs(), recipe=BASE.replace(**options), seeds=3)
    assert sum(one.n_replays for one in made) > 10


def test_memory_that_is_gone_is_noticed() -> None:
    held = [torch.ones(1000)]
    replay = capture_addresses(lambda: held[0].add_(torch.ones(1000)))
    replay()
    held.clear()
    with pytest.raises(RuntimeError, match="1 of 1 pieces of memory"):
        replay()


def test_a_stack_that_is_done_leaves_no_memory_behind(graphs: Graphs) -> None:
    """Also before Python looks for cycles, which it does not do for a GPU's sake."""
    alive: list[weakref.ref[Any]] = []
    init = running._Stack.__init__

    def watched(self: Any, *args: Any) -> None:
        init(self, *args)
        alive.append(weakref.ref(self))
        assert sum(one() is not None for one in alive) == 1

    gc.collect()
    gc.disable()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(running._Stack, "__init__", watched)
            recipes = [BASE.replace(steps=20 * (i + 1)) for i in range(4)]
            graphs.fit(nets(shapes=[[5]] * 4), blobs(), recipe=recipes, seeds=3, n_workers=1)
            stacks.fit(nets(shapes=[[5]] * 4), blobs(), recipe=recipes, seeds=3, n_workers=1)
    finally:
        gc.enable()
    assert len(alive) == 8
    assert all(one() is None for one in alive)


def test_a_graph_keeps_what_it_works_on() -> None:
    x = torch.zeros(3)
    kept = weakref.ref(x)
    work = Captured(partial(x.add_, 1), capture)
    del x
    for _ in range(5):
        work()
    assert kept() is not None
    assert kept().tolist() == [5, 5, 5]  # type: ignore[union-attr]  # it is there, as the line above says


def test_what_cannot_be_captured_ends_the_run_with_a_way_out(as_on_a_gpu: None) -> None:
    def refuse(work: Any) -> Any:
        raise GraphError("an update could not be captured as a CUDA graph; begin again with cuda_graphs=False")

    with pytest.raises(stacks.GraphError, match="cuda_graphs=False"):
        fit_captured(refuse, nets(), blobs(), recipe=BASE)
    fit_captured(refuse, nets(), blobs(), recipe=BASE, cuda_graphs=False)


def test_the_cause_of_a_failed_capture_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def __init__(self, *_: Any, **__: Any) -> None: ...
        def __enter__(self) -> None: ...
        def __exit__(self, *_: Any) -> None:
            raise RuntimeError("capture was invalidated")

    monkeypatch.setattr(torch.cuda, "graph", Broken)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", object)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: None)

    def work() -> None:
        raise RuntimeError("operation not permitted when stream is capturing")

    with pytest.raises(GraphError, match=r"not permitted when stream is capturing.*cuda_graphs=False"):
        capture_of(torch.device("cuda"))(work)  # type: ignore[misc]  # there is one for CUDA


class FakeStream:
    """One of 32 handles, as PyTorch's are, each twice as if another took the next; and what it waited for."""

    made = 0

    def __init__(self, place: torch.device | None = None) -> None:
        self.cuda_stream = FakeStream.made // 2 % 32
        FakeStream.made += 1
        self.waited: list[int] = []

    def wait_stream(self, other: FakeStream) -> None:
        self.waited.append(other.cuda_stream)


@pytest.fixture
def fake_streams(monkeypatch: pytest.MonkeyPatch) -> FakeStream:
    outside = FakeStream()
    outside.cuda_stream = -1
    monkeypatch.setattr(torch.cuda, "Stream", FakeStream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda place: outside)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    return outside


@pytest.mark.parametrize("n", [1, 2, 3, 5, 16])
def test_no_two_workers_have_a_stream_in_common(n: int, fake_streams: FakeStream) -> None:
    with lanes(torch.device("cuda"), n) as found:
        handles = [stream.cuda_stream for lane in found for stream in (lane.stream, *lane.beside)]  # type: ignore[union-attr]  # on CUDA
        assert len(handles) == len(set(handles)) <= 32
        assert all(lane.stream.waited == [-1] for lane in found)  # type: ignore[union-attr]  # on CUDA
    assert fake_streams.waited == [lane.stream.cuda_stream for lane in found]  # type: ignore[union-attr]  # on CUDA


def test_more_workers_than_a_device_has_streams_for_are_refused(fake_streams: FakeStream) -> None:
    with (
        pytest.raises(ValueError, match="n_workers=17: a CUDA device has streams for 16"),
        lanes(torch.device("cuda"), 17),
    ):
        pass


def test_branches_wait_for_what_is_before_and_what_comes_after_waits_for_them(fake_streams: FakeStream) -> None:
    done: list[int] = []
    with lanes(torch.device("cuda"), 4) as found:
        lane = found[0]
        lane.spread([partial(done.append, i) for i in range(10)])
        assert done == list(range(10))
        assert all(stream.waited == [lane.stream.cuda_stream] for stream in lane.beside)  # type: ignore[attr-defined,union-attr]  # fake
        assert lane.stream.waited[1:] == [stream.cuda_stream for stream in lane.beside]  # type: ignore[attr-defined,union-attr]  # fake


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
    arbitrary = moved_by_rounding(on_cpu[0], recipe)
    limit = 1e-6 if recipe.weight_decay else 1e-8
    for ours, theirs in zip(on_gpu, on_cpu, strict=True):
        assert distance(ours.cpu(), theirs, but=moved_by_rounding(theirs, recipe) or arbitrary) < limit


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_all_memory_that_a_graph_works_on_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "graph", partial(torch.cuda.graph, check_input_liveness=True))
    stacks.fit(nets(batch_norm=True), blobs(), recipe=BASE, device="cuda")
