from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from actscope.training import ACTIVATIONS, MLP, DivergenceError, LabelledData, Recipe, fit, stacks
from actscope.training.stacks import Checkpoints, StackDivergenceError

N, FEATURES, CLASSES = 36, 6, 3
SHAPES: list[list[int]] = [[5], [8], [4, 6], [], [5, 5, 5], [3], [8], [4, 7]]


def blobs(*, dtype: torch.dtype = torch.float64, share: float = 1.0, seed: int = 0) -> LabelledData:
    """Three blobs, with one input that is always zero, and of the others only a `share` that is not."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(N) % CLASSES
    x = torch.randn(N, FEATURES, generator=generator) + F.one_hot(y, FEATURES) * 2
    x[:, 4] = 0
    return LabelledData(x.mul(torch.rand(N, FEATURES, generator=generator) < share).to(dtype), y)


def nets(*, dtype: torch.dtype = torch.float64, shapes: list[list[int]] = SHAPES, **options: Any) -> list[MLP]:
    return [MLP(FEATURES, hidden, CLASSES, seed=i, **options).to(dtype) for i, hidden in enumerate(shapes)]


def distance(ours: MLP, theirs: MLP, *, but: Collection[str] = ()) -> float:
    """Of all parameters, in units of their norm."""
    a, b = (
        torch.cat([p.detach().flatten() for name, p in model.named_parameters() if name not in but])
        for model in (ours, theirs)
    )
    return float((a - b).norm() / b.norm())


def moved_by_rounding(model: MLP, recipe: Recipe) -> list[str]:
    """Biases that normalization takes out again have no gradient but rounding, which Adam and weight decay make grow."""
    norms = [name for name, _ in model.named_buffers() if name.endswith("running_mean")]
    if not recipe.weight_decay:
        return []
    return [*norms, *(name.replace("norm", "linear").replace("running_mean", "bias") for name in norms)]


def assert_as_if_alone(
    make: Callable[[], list[MLP]],
    train: Any,
    recipes: Recipe | list[Recipe],
    seeds: int | list[int] = 3,
    **options: Any,
) -> None:
    together, alone = make(), make()
    stack = stacks.fit(together, train, recipe=recipes, seeds=seeds, **options)
    for i, (ours, theirs) in enumerate(zip(together, alone, strict=True)):
        recipe = recipes[i] if isinstance(recipes, list) else recipes
        history = fit(
            theirs,
            train[i] if isinstance(train, list) else train,
            recipe=recipe,
            seed=seeds[i] if isinstance(seeds, list) else seeds,
            test=options.get("test"),
        )
        arbitrary = moved_by_rounding(theirs, recipe)
        assert distance(ours, theirs, but=arbitrary) < 1e-9
        for name, value in theirs.named_buffers():
            if name in arbitrary:
                continue
            torch.testing.assert_close(ours.get_buffer(name), value, rtol=1e-7, atol=1e-9)
        found = stack.histories[i]
        assert (found.recipe, found.seed, found.stopped_early) == (history.recipe, history.seed, history.stopped_early)
        assert found.loss == pytest.approx(history.loss, rel=1e-8)
        assert found.train_accuracy == history.train_accuracy
        assert found.lr == history.lr
        assert found.test_loss == pytest.approx(history.test_loss, rel=1e-8)
        assert found.test_accuracy == history.test_accuracy


BASE = Recipe(lr=0.02, steps=200, batch_size=8)
OPTIONS: list[dict[str, Any]] = [
    {},
    {"betas": (0.5, 0.9), "eps": 1e-3},
    {"optimizer": "sgd", "lr": 0.1},
    {"optimizer": "sgd", "lr": 0.1, "momentum": 0.8},
    {"schedule": "step", "lr_every": 7, "lr_factor": 0.5},
    {"schedule": "linear", "lr_end": 1e-4},
    {"l2": 0.01},
    {"weight_decay": 0.01},
    {"clip_norm": 0.1},
    {"clip_global_norm": 0.2},
    {"clip_norm": 0.1, "clip_global_norm": 0.2, "l2": 0.01, "weight_decay": 0.01, "schedule": "linear", "lr_end": 0.0},
    {"drop_last": True, "train_fraction": 0.8},
    {"epochs": 40, "patience": 2, "lr": 0.5},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_stack_trains_every_model_as_if_alone(options: dict[str, Any]) -> None:
    assert_as_if_alone(lambda: nets(shapes=[[5], [4, 6]]), blobs(), BASE.replace(**options))


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_models_with_any_recipes_make_one_stack(sparse: bool) -> None:
    recipes = [BASE.replace(**{**options, "steps": 60}) for options in OPTIONS[:-1]]
    shapes = (SHAPES * 2)[: len(recipes)]
    assert_as_if_alone(lambda: nets(shapes=shapes), blobs(share=0.25 if sparse else 1.0), recipes)


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_any_activation_is_differentiated_as_it_is_alone(activation: str) -> None:
    shapes = [[5], [4, 6], [5]]
    assert_as_if_alone(lambda: nets(activation=activation, shapes=shapes), blobs(), BASE.replace(steps=20))


def test_activations_normalization_and_depth_may_differ_within_a_stack() -> None:
    def make() -> list[MLP]:
        kinds = ["relu", "prelu", "tanh", "relu", "gelu", "relu", "sigmoid", "leaky_relu"]
        normed = [True, True, False, False, True, True, False, True]
        return [
            MLP(
                FEATURES, hidden, CLASSES, activation=kind, batch_norm=norm, seed=i, init="torch" if i % 2 else "keras"
            ).double()
            for i, (hidden, kind, norm) in enumerate(zip(SHAPES, kinds, normed, strict=True))
        ]

    assert_as_if_alone(make, blobs(), BASE.replace(l2=0.01, clip_norm=0.2))


def test_an_activation_with_a_parameter_for_every_feature_or_that_works_in_place_is_as_it_is_alone() -> None:
    def make() -> list[MLP]:
        return [
            MLP(FEATURES, [5, 5], CLASSES, activation=activation).double()
            for activation in (
                lambda: torch.nn.PReLU(5),
                lambda: torch.nn.LeakyReLU(0.3, inplace=True),
                lambda: torch.nn.ReLU(inplace=True),
            )
        ]

    assert_as_if_alone(make, blobs(), BASE.replace(steps=60))


def test_models_may_have_their_own_data_labels_classes_seeds_and_numbers_of_epochs() -> None:
    data = blobs()
    noisy = data.with_label_noise(0.5, seed=1)
    train = [data, noisy, noisy, data.subset(20, seed=0), data.subset(20, seed=1), data, (data.x, data.y), noisy]
    recipes = [BASE.replace(epochs=epochs) for epochs in (3, 5, 3, 5, 4, 2, 6, 6)]
    make = lambda: [*nets()[:-1], MLP(FEATURES, [7], 5, seed=9).double()]  # noqa: E731
    assert_as_if_alone(make, train, recipes, [0, 0, 0, 0, 1, 1, 1, 0])


def test_a_test_set_is_evaluated_after_every_epoch_also_where_training_has_inputs_that_are_always_zero() -> None:
    test = LabelledData(torch.randn(10, FEATURES, dtype=torch.float64), torch.arange(10) % CLASSES)
    assert_as_if_alone(lambda: nets(batch_norm=True), blobs(), BASE.replace(epochs=3), test=test)


# a ReLU exactly at zero would be a tie that rounding decides, so the examples are always the same ones
@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_any_mixture_of_models_is_trained_as_if_each_was_alone(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 5))
    shapes = data.draw(st.lists(st.lists(st.integers(2, 5), max_size=3), min_size=n, max_size=n))
    kinds = data.draw(st.lists(st.sampled_from(["relu", "tanh", "prelu", "silu"]), min_size=n, max_size=n))
    norms = data.draw(st.lists(st.booleans(), min_size=n, max_size=n))
    options = data.draw(st.lists(st.sampled_from(OPTIONS[:-1]), min_size=n, max_size=n))
    steps = data.draw(st.lists(st.sampled_from([11, 15, 17]), min_size=n, max_size=n))
    seeds = data.draw(st.lists(st.integers(0, 1), min_size=n, max_size=n))
    share = data.draw(st.sampled_from([0.2, 1.0]))
    noise = data.draw(st.booleans())
    clean = blobs(share=share)
    labelled = [clean, clean.with_label_noise(0.5, seed=0)]

    def make() -> list[MLP]:
        return [
            MLP(FEATURES, hidden, CLASSES, activation=kind, batch_norm=norm, seed=i).double()
            for i, (hidden, kind, norm) in enumerate(zip(shapes, kinds, norms, strict=True))
        ]

    assert_as_if_alone(
        make,
        [labelled[i % 2 if noise else 0] for i in range(n)],
        [BASE.replace(**{**of_one, "steps": n_steps}) for of_one, n_steps in zip(options, steps, strict=True)],
        seeds,
        max_bytes=data.draw(st.sampled_from([1e9, 1e5, 1.0])),
        n_workers=data.draw(st.integers(1, 2)),
    )


@pytest.mark.parametrize("share", [0.2, 1.0], ids=["sparse", "dense"])
def test_in_single_precision_losses_agree_for_one_hidden_layer(share: float) -> None:
    make = lambda: nets(dtype=torch.float32, shapes=[[3], [9], [40]])  # noqa: E731
    together, alone = make(), make()
    data = blobs(dtype=torch.float32, share=share)
    stack = stacks.fit(together, data, recipe=BASE)
    for model, found in zip(alone, stack.histories, strict=True):
        assert found.loss == pytest.approx(fit(model, data, recipe=BASE).loss, abs=1e-5)


@pytest.mark.parametrize("n_workers", [1, 2, 3])
def test_pieces_and_workers_change_nothing_but_rounding(n_workers: int) -> None:
    whole, cut = nets(), nets()
    stacks.fit(whole, blobs(), recipe=BASE, n_workers=1)
    stacks.fit(cut, blobs(), recipe=BASE, n_workers=n_workers, max_bytes=1)
    assert max(distance(a, b) for a, b in zip(whole, cut, strict=True)) < 1e-12


def test_one_seed_gives_the_same_weights_again() -> None:
    first, again = nets(dtype=torch.float32), nets(dtype=torch.float32)
    for models in (first, again):
        stacks.fit(models, blobs(dtype=torch.float32), recipe=BASE)
    assert max(distance(a, b) for a, b in zip(first, again, strict=True)) == 0


def test_the_random_state_modes_and_threads_are_left_as_they_were() -> None:
    models = nets(batch_norm=True)
    models[1].eval()
    before, n_threads = torch.random.get_rng_state(), torch.get_num_threads()
    stacks.fit(models, blobs(), recipe=BASE, n_workers=2)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.get_num_threads() == n_threads
    assert [model.training for model in models[:3]] == [True, False, True]


def test_weights_stay_where_they_are_in_memory() -> None:
    models = nets()
    before = [p.data_ptr() for model in models for p in model.parameters()]
    stacks.fit(models, blobs(), recipe=BASE)
    assert [p.data_ptr() for model in models for p in model.parameters()] == before


def test_a_stack_is_a_sequence_of_the_models_that_tells_how_it_went() -> None:
    models = nets()
    stack = stacks.fit(models, blobs(), recipe=BASE.replace(epochs=2))
    assert list(stack) == models
    assert stack[1:3] == tuple(models[1:3])
    assert stack[0] is models[0]
    assert repr(stack).startswith("Stack(8 models, 16 epochs of one model in ")
    assert len(stack.to_dict()["histories"]) == 8


def test_the_callback_sees_every_model_before_training_and_after_every_epoch() -> None:
    seen: dict[tuple[int, int], Tensor] = {}

    def remember(index: int, epoch: int, model: MLP) -> None:
        seen[index, epoch] = model.output.weight.detach().clone()

    recipes = [BASE.replace(epochs=epochs) for epochs in (0, 1, 2)]
    shapes: list[list[int]] = [[3], [4], [5]]
    models = nets(shapes=shapes)
    stacks.fit(models, blobs(), recipe=recipes, on_epoch=remember, n_workers=2)
    assert sorted(seen) == [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2)]
    alone = nets(shapes=shapes)[2]
    fit(alone, blobs(), recipe=recipes[1])
    torch.testing.assert_close(seen[2, 1], alone.output.weight.detach(), rtol=1e-9, atol=1e-12)
    assert torch.equal(seen[2, 2], models[2].output.weight)


def test_an_error_in_the_callback_ends_all_workers_and_is_raised() -> None:
    def fail(index: int, epoch: int, model: MLP) -> None:
        if epoch == 2:
            raise KeyError(index)

    before = torch.get_num_threads()
    with pytest.raises(KeyError):
        stacks.fit(nets(), blobs(), recipe=BASE.replace(epochs=10**6), on_epoch=fail, n_workers=2)
    assert torch.get_num_threads() == before


def test_a_model_that_diverges_does_not_keep_the_others_from_their_ends() -> None:
    recipes = [BASE.replace(optimizer="sgd", lr=lr, epochs=8) for lr in (0.1, 1e200, 0.1)]
    shapes: list[list[int]] = [[5], [5], [6, 4]]
    models, alone = nets(shapes=shapes), nets(shapes=shapes)
    with pytest.raises(StackDivergenceError, match=r"model 1: the loss was .* Try a lower learning rate") as caught:
        stacks.fit(models, blobs(), recipe=recipes)
    assert [history.n_epochs for history in caught.value.stack.histories][::2] == [8, 8]
    with pytest.raises(DivergenceError) as of_one:
        fit(alone[1], blobs(), recipe=recipes[1])
    assert (caught.value.errors[1].epoch, caught.value.errors[1].step) == (of_one.value.epoch, of_one.value.step)
    for i in (0, 2):
        fit(alone[i], blobs(), recipe=recipes[i])
        assert distance(models[i], alone[i]) < 1e-12


def test_weights_are_kept_at_chosen_epochs(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "run", epochs=(0, 1, 3, 9))
    models = nets()
    stacks.fit(models, blobs(), recipe=BASE.replace(epochs=3), checkpoints=checkpoints)
    for i, (model, first) in enumerate(zip(models, nets(), strict=True)):
        kept = {epoch: nets()[i] for epoch in (0, 1, 3)}
        for epoch, of_epoch in kept.items():
            checkpoints.load(of_epoch, i, epoch=epoch)
        assert distance(kept[0], first) == distance(kept[3], model) == 0
        assert distance(kept[1], first) > 0
        with pytest.raises(FileNotFoundError):
            checkpoints.load(first, i, epoch=9)


MIXED = [
    BASE.replace(**{"epochs": 6, **options}) for options in ({}, {"momentum": 0.9, "optimizer": "sgd"}, {"l2": 0.01})
]


def mixed() -> list[MLP]:
    return nets(shapes=[[5], [4, 4], [7]], batch_norm=True)


class CutOffError(Exception):
    pass


@pytest.mark.parametrize("epoch", [0, 1, 4])
def test_a_run_that_was_cut_off_goes_on_to_the_same_weights_and_histories(tmp_path: Path, epoch: int) -> None:
    def cut_off(index: int, at: int, model: MLP) -> None:
        if at > epoch and index == 1:
            raise CutOffError

    checkpoints = Checkpoints(tmp_path, save_every=0)
    with pytest.raises(CutOffError):
        stacks.fit(mixed(), blobs(), recipe=MIXED, checkpoints=checkpoints, on_epoch=cut_off, n_workers=1)
    seen: list[int] = []
    resumed, whole = mixed(), mixed()
    second = stacks.fit(
        resumed, blobs(), recipe=MIXED, checkpoints=checkpoints, on_epoch=lambda i, at, _: seen.append(at), n_workers=2
    )
    first = stacks.fit(whole, blobs(), recipe=MIXED)
    assert min(seen) >= epoch
    for ours, theirs in zip(resumed, whole, strict=True):
        for name, value in theirs.state_dict().items():
            torch.testing.assert_close(ours.state_dict()[name], value, rtol=1e-9, atol=1e-9)
    for ours, theirs in zip(second.histories, first.histories, strict=True):
        assert ours.loss == pytest.approx(theirs.loss, rel=1e-9)
        assert ours.train_accuracy == theirs.train_accuracy


def _killed_after_two_epochs(folder: str) -> None:
    def kill(index: int, epoch: int, model: MLP) -> None:
        if epoch == 3:
            os.kill(os.getpid(), signal.SIGKILL)

    stacks.fit(
        mixed(), blobs(), recipe=MIXED, checkpoints=Checkpoints(folder, save_every=0), on_epoch=kill, n_workers=2
    )


def test_a_process_that_was_killed_loses_no_epoch_it_had_saved(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_killed_after_two_epochs, args=(str(tmp_path),))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    resumed, whole = mixed(), mixed()
    seen: list[int] = []
    stacks.fit(resumed, blobs(), recipe=MIXED, checkpoints=tmp_path, on_epoch=lambda i, epoch, _: seen.append(epoch))
    stacks.fit(whole, blobs(), recipe=MIXED)
    assert len(seen) < 3 * 6
    assert max(distance(a, b) for a, b in zip(resumed, whole, strict=True)) < 1e-9


def test_a_run_that_is_done_is_not_done_again(tmp_path: Path) -> None:
    first, again = mixed(), mixed()
    stack = stacks.fit(first, blobs(), recipe=MIXED, checkpoints=tmp_path)
    second = stacks.fit(again, blobs(), recipe=MIXED, checkpoints=tmp_path, on_epoch=lambda *_: pytest.fail("trained"))
    assert max(distance(a, b) for a, b in zip(first, again, strict=True)) == 0
    assert second.histories == stack.histories
    assert not list(tmp_path.glob("**/*.unfinished"))


def test_weights_are_kept_after_chosen_updates_also_within_an_epoch(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "run", steps=(0, 1, 4, 5))
    recipe = BASE.replace(epochs=3, batch_size=12)  # three updates an epoch
    stacks.fit(nets(batch_norm=True), blobs(), recipe=recipe, checkpoints=checkpoints)
    for step in (1, 4, 5):
        ended, kept = nets(batch_norm=True), nets(batch_norm=True)
        stacks.fit(ended, blobs(), recipe=recipe.replace(steps=step))
        for i, (model, of_step) in enumerate(zip(ended, kept, strict=True)):
            checkpoints.load(of_step, i, step=step)
            for name, value in model.state_dict().items():
                torch.testing.assert_close(of_step.state_dict()[name], value, rtol=1e-9, atol=1e-9)
    untrained = nets(batch_norm=True)[1]
    checkpoints.load(untrained, 1, step=0)
    assert distance(untrained, nets(batch_norm=True)[1]) == 0


def test_models_with_names_are_found_again_in_a_run_of_some_of_them_in_another_order(tmp_path: Path) -> None:
    def cut_off(index: int, at: int, model: MLP) -> None:
        if at == 4:
            raise CutOffError

    def named(*names: str) -> Checkpoints:
        return Checkpoints(tmp_path, epochs=(2,), save_every=0, names=names)

    whole = mixed()
    stacks.fit(whole, blobs(), recipe=MIXED)
    with pytest.raises(CutOffError):
        stacks.fit(mixed(), blobs(), recipe=MIXED, checkpoints=named("a", "b", "c"), on_epoch=cut_off, n_workers=1)
    seen: list[int] = []
    resumed = mixed()[::-1][:2]
    stacks.fit(
        resumed,
        blobs(),
        recipe=MIXED[::-1][:2],
        checkpoints=named("c", "b"),
        on_epoch=lambda i, epoch, _: seen.append(epoch),
    )
    assert min(seen) >= 2
    assert max(distance(a, b) for a, b in zip(resumed, whole[::-1][:2], strict=True)) < 1e-9
    assert named("a").path(0, 2).is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": (-1,)}, "steps"),
        ({"names": ["a", "a"]}, "twice"),
        ({"names": ["../a"]}, "plain names"),
        ({"names": [".a"]}, "plain names"),
        ({"names": [""]}, "plain names"),
    ],
)
def test_checkpoints_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Checkpoints("run", **options)


def test_names_must_be_one_for_each_model(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="names has 1 entries for 3 models"):
        stacks.fit(mixed(), blobs(), recipe=MIXED, checkpoints=Checkpoints(tmp_path, names=["a"]))
    assert not list(tmp_path.iterdir())


def test_weights_are_asked_for_by_epoch_or_by_step() -> None:
    for at in ({}, {"epoch": 1, "step": 1}):
        with pytest.raises(ValueError, match="either an epoch or a step"):
            Checkpoints("run").path(0, **at)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"recipe": BASE}, "its recipe is not"),
        ({"seeds": 5}, "its seed is not"),
        ({"train": blobs(seed=1)}, "its data is not"),
        ({"models": nets(shapes=[[5], [4, 4], [7]])}, "its layers and first weights are not"),
    ],
    ids=["recipe", "seed", "data", "models"],
)
def test_a_folder_of_another_run_is_refused(tmp_path: Path, change: dict[str, Any], what: str) -> None:
    stacks.fit(mixed(), blobs(), recipe=MIXED, checkpoints=tmp_path)
    arguments = {"models": mixed(), "train": blobs(), "recipe": MIXED, "seeds": 0, **change}
    with pytest.raises(ValueError, match=f"belongs to another run: {what} that of model 0"):
        stacks.fit(arguments.pop("models"), arguments.pop("train"), checkpoints=tmp_path, **arguments)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    stacks.fit(mixed(), blobs(), recipe=MIXED, checkpoints=checkpoints)
    path = checkpoints.progress_path(1)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"progress\.pt cannot be read; delete it to train this model again"):
        stacks.fit(mixed(), blobs(), recipe=MIXED, checkpoints=tmp_path)


TWICE = nets()[0]


@pytest.mark.parametrize(
    ("models", "options", "error", "message"),
    [
        ([], {}, ValueError, "models is empty"),
        ([torch.nn.Linear(6, 3)], {}, TypeError, "model 0 is a Linear; a stack takes MLPs"),
        ([TWICE, TWICE], {}, ValueError, "models share parameters"),
        ([MLP(6, [2], 3), MLP(6, [2], 3).requires_grad_(False)], {}, ValueError, "model 1 has frozen parameters"),
        ([MLP(6, [2], 3, activation=torch.nn.RReLU)], {}, TypeError, "model 0: 'rrelu1' is RReLU"),
        ([MLP(5, [2], 3)], {}, ValueError, "takes 5 features per example, got 6"),
        ([MLP(6, [2], 2)], {}, ValueError, "labels run up to 2, but the model has 2 classes"),
        (nets(), {"seeds": [1, 2]}, ValueError, "seeds has 2 entries for 8 models"),
        (nets(), {"recipe": [BASE]}, ValueError, "recipe has 1 entries for 8 models"),
        (nets(), {"n_workers": 0}, ValueError, "n_workers=0 must be positive"),
        (nets(), {"max_bytes": 0}, ValueError, "max_bytes=0 must be positive"),
        (nets(batch_norm=True), {"recipe": BASE.replace(batch_size=7)}, ValueError, "cannot train on a batch of one"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_trained_as_a_stack_is_refused(
    models: list[Any], options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        stacks.fit(models, blobs(), **{"recipe": BASE, **options})


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_weights_of_a_cpu() -> None:
    on_cpu, on_gpu = nets(batch_norm=True), nets(batch_norm=True)
    stacks.fit(on_cpu, blobs(), recipe=BASE)
    stacks.fit(on_gpu, blobs(), recipe=BASE, device="cuda")
    assert max(distance(a.cpu(), b) for a, b in zip(on_gpu, on_cpu, strict=True)) < 1e-9
