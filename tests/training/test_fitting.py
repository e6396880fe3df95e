from __future__ import annotations

import itertools
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from actscope.training import (
    MLP,
    RECIPES,
    DivergenceError,
    LabelledData,
    Recipe,
    digits,
    evaluate,
    fit,
    fitting,
    load_dataset,
    small_resnet,
)

N = 40


def blobs(n: int = N, *, seed: int = 0) -> LabelledData:
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 3
    return LabelledData(torch.randn(n, 5, generator=generator) + F.one_hot(y, 5) * 2, y)


def net(seed: int = 0, **options: Any) -> MLP:
    return MLP(5, [7, 6], 3, seed=seed, **options)


def images_to_pixels() -> nn.Sequential:
    """Its second normalization sees maps of one pixel, its first does not."""
    return nn.Sequential(
        nn.BatchNorm2d(1), nn.Conv2d(1, 3, 2), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(3, 3)
    )


class Watched(nn.Module):
    """Remembers the examples of every training batch: number i of `numbered` has i as its only feature."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 2)
        self.batches: list[list[int]] = []

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.batches.append(x[:, 0].long().tolist())
        out: Tensor = self.layer(x)
        return out


def numbered(n: int = 10) -> tuple[Tensor, Tensor]:
    return torch.arange(n).float()[:, None], torch.arange(n) % 2


def train_slowly(model: nn.Module, x: Tensor, y: Tensor, recipe: Recipe) -> list[float]:
    """Full-batch training from the definitions: the order of the examples does not matter, each epoch is one update."""
    parameters = list(model.parameters())
    first = [torch.zeros_like(p) for p in parameters]
    second = [torch.zeros_like(p) for p in parameters]
    losses = []
    for step in range(recipe.epochs or 0):
        lr = recipe.lr
        if recipe.schedule == "step":
            lr *= recipe.lr_factor ** (step // (recipe.lr_every or 1))
        elif recipe.schedule == "linear":
            lr += ((recipe.lr_end or 0) - recipe.lr) * step / ((recipe.epochs or 0) - 1)
        log_probabilities = model(x).log_softmax(1)
        loss = -log_probabilities[torch.arange(len(y)), y].mean()
        for p in parameters:
            if p.ndim >= 2:
                loss = loss + recipe.l2 * (p**2).sum()
        losses.append(loss.item())
        gradients = list(torch.autograd.grad(loss, parameters))
        if recipe.clip_norm is not None:
            gradients = [g * min(1.0, recipe.clip_norm / float(g.norm())) for g in gradients]
        if recipe.clip_global_norm is not None:
            norm = sum(float(g.norm()) ** 2 for g in gradients) ** 0.5
            gradients = [g * min(1.0, recipe.clip_global_norm / norm) for g in gradients]
        with torch.no_grad():
            for p, g, m, v in zip(parameters, gradients, first, second, strict=True):
                g = g + recipe.weight_decay * p
                if recipe.optimizer == "sgd":
                    m.mul_(recipe.momentum).add_(g)
                    p.sub_(lr * m)
                else:
                    beta1, beta2 = recipe.betas
                    m.mul_(beta1).add_(g, alpha=1 - beta1)
                    v.mul_(beta2).add_(g * g, alpha=1 - beta2)
                    m_hat, v_hat = m / (1 - beta1 ** (step + 1)), v / (1 - beta2 ** (step + 1))
                    p.sub_(lr * m_hat / (v_hat.sqrt() + recipe.eps))
    return losses


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"betas": (0.5, 0.9), "eps": 1e-3},
        {"optimizer": "sgd", "lr": 0.3},
        {"optimizer": "sgd", "lr": 0.3, "momentum": 0.8},
        {"schedule": "step", "lr_every": 3, "lr_factor": 0.5},
        {"optimizer": "sgd", "lr": 0.3, "schedule": "linear", "lr_end": 0.01},
        {"l2": 0.01},
        {"weight_decay": 0.01},
        {"optimizer": "sgd", "lr": 0.3, "clip_norm": 0.05},
        {"optimizer": "sgd", "lr": 0.3, "clip_global_norm": 0.05},
        {"optimizer": "sgd", "lr": 0.3, "clip_norm": 0.05, "l2": 0.1, "weight_decay": 0.1},
    ],
    ids=str,
)
def test_training_is_what_the_definitions_say(options: dict[str, Any]) -> None:
    recipe = Recipe(**{"lr": 0.05, "epochs": 10, "batch_size": N, **options})
    data = blobs()
    model, slow = net().double(), net().double()
    expected = train_slowly(slow, data.x.double(), data.y, recipe)
    history = fit(model, data, recipe=recipe)
    assert history.loss == pytest.approx(expected, rel=1e-9)
    for ours, theirs in zip(model.parameters(), slow.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-10)


def test_an_l2_penalty_is_adams_weight_decay_of_twice_its_factor_on_kernels() -> None:
    data = blobs()
    model, twin = net().double(), net().double()
    fit(model, data, recipe=Recipe(lr=0.05, epochs=10, batch_size=N, l2=0.01))
    kernels = [p for p in twin.parameters() if p.ndim > 1]
    others = [p for p in twin.parameters() if p.ndim == 1]
    groups = [{"params": kernels, "weight_decay": 0.02}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.Adam(groups, 0.05, eps=1e-7)
    for _ in range(10):
        optimizer.zero_grad()
        F.cross_entropy(twin(data.x.double()), data.y).backward()
        optimizer.step()
    for ours, theirs in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-10)


def test_every_epoch_sees_every_example_once_in_a_new_order() -> None:
    model = Watched()
    fit(model, numbered(), recipe=Recipe(epochs=3, batch_size=4))
    assert [len(batch) for batch in model.batches] == [4, 4, 2] * 3
    epochs = [list(itertools.chain(*model.batches[i : i + 3])) for i in (0, 3, 6)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_the_seed_decides_the_order() -> None:
    orders = []
    for seed in (0, 0, 1):
        model = Watched()
        fit(model, numbered(), recipe=Recipe(epochs=1, batch_size=4), seed=seed)
        orders.append(model.batches)
    assert orders[0] == orders[1] != orders[2]


def test_a_last_small_batch_can_be_left_out_and_only_the_first_examples_used() -> None:
    model = Watched()
    fit(model, numbered(), recipe=Recipe(epochs=50, batch_size=3, drop_last=True, train_fraction=0.8))
    assert {len(batch) for batch in model.batches} == {3}
    assert set(itertools.chain(*model.batches)) == set(range(8))


def test_a_number_of_steps_ends_training_within_an_epoch() -> None:
    model = Watched()
    history = fit(model, numbered(), recipe=Recipe(steps=5, batch_size=4))
    assert [len(batch) for batch in model.batches] == [4, 4, 2, 4, 4]
    assert history.n_epochs == 2


def test_the_loss_of_an_epoch_is_the_mean_over_its_examples_and_not_over_its_batches() -> None:
    data = blobs(7)
    model = net().double()
    expected = F.cross_entropy(model(data.x.double()), data.y).item()
    history = fit(model, data, recipe=Recipe(optimizer="sgd", lr=1e-12, epochs=1, batch_size=4))
    assert history.loss[0] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("make", [lambda: net(batch_norm=True), lambda: nn.Sequential(net(), nn.Dropout(0.5))])
def test_one_seed_gives_the_same_weights_whatever_the_global_random_state(make: Any) -> None:
    first, again = make(), make()
    fit(first, blobs(), recipe=Recipe(epochs=3, batch_size=16), seed=5)
    torch.manual_seed(123)
    before = torch.random.get_rng_state()
    fit(again, blobs(), recipe=Recipe(epochs=3, batch_size=16), seed=5)
    assert torch.equal(torch.random.get_rng_state(), before)
    for name, value in first.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)


def test_dropout_drops_anew_in_every_epoch() -> None:
    seen = []
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(5, 3))
    model[0].register_forward_hook(lambda _module, _inputs, out: seen.append(out == 0) if model.training else None)
    fit(model, blobs(), recipe=Recipe(epochs=2, batch_size=N))
    assert not torch.equal(seen[0], seen[1])


def test_training_learns_and_the_history_tells_it_from_the_test_set() -> None:
    train, test = digits()
    model = MLP(64, [32], 10)
    history = fit(model, train, recipe=RECIPES["he2021.appendix"].replace(epochs=8, lr=1e-2), test=test)
    assert history.n_epochs == len(history.test_accuracy) == len(history.seconds) == 8
    assert history.loss[-1] < 0.3 * history.loss[0]
    after = evaluate(model, test)
    assert (history.test_loss[-1], history.test_accuracy[-1]) == (after.loss, after.accuracy)
    assert after.accuracy > 0.93


def test_the_train_accuracy_is_that_of_the_examples_as_they_were_seen() -> None:
    data = blobs()
    model = net()
    expected = evaluate(model, data).accuracy
    assert fit(model, data, recipe=Recipe(epochs=1, batch_size=N)).train_accuracy == (expected,)


def test_evaluation_is_the_same_in_any_batches_and_leaves_the_modes_as_they_were() -> None:
    model = net(batch_norm=True)
    model.norm2.eval()
    whole = evaluate(model, blobs(), batch_size=N)
    parts = evaluate(model, blobs(), batch_size=7)
    model.eval()
    logits = model(blobs().x)
    assert whole.accuracy == parts.accuracy == int((logits.argmax(1) == blobs().y).sum()) / N
    assert [whole.loss, parts.loss] == pytest.approx([F.cross_entropy(logits, blobs().y).item()] * 2)
    model.train()
    model.norm2.eval()
    evaluate(model, blobs())
    assert (model.training, model.norm1.training, model.norm2.training) == (True, True, False)


def test_the_callback_sees_the_model_before_training_and_after_every_epoch() -> None:
    model = net()
    at_first = model.linear1.weight.detach().clone()
    seen: list[tuple[int, Tensor]] = []
    fit(
        model,
        blobs(),
        recipe=Recipe(epochs=2, batch_size=16),
        on_epoch=lambda epoch, m: seen.append((epoch, m.linear1.weight.detach().clone())),
    )
    assert [epoch for epoch, _ in seen] == [0, 1, 2]
    assert torch.equal(seen[0][1], at_first)
    assert torch.equal(seen[2][1], model.linear1.weight)
    assert not torch.equal(seen[1][1], seen[2][1])


def test_a_callback_that_changes_modes_or_draws_changes_nothing_in_training() -> None:
    def meddle(epoch: int, model: nn.Module) -> None:
        model.eval()
        torch.rand(10)

    models = [nn.Sequential(net(batch_norm=True), nn.Dropout(0.2)) for _ in range(2)]
    for model, callback in zip(models, (None, meddle), strict=True):
        fit(model, blobs(), recipe=Recipe(epochs=2, batch_size=16), on_epoch=callback)
    for ours, theirs in zip(models[0].state_dict().values(), models[1].state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)
    assert models[1].training


def test_the_callback_of_steps_sees_every_update_and_changes_nothing_in_training() -> None:
    seen: list[tuple[int, Tensor]] = []

    def look(step: int, model: nn.Module) -> None:
        assert model.training or step == 0
        seen.append((step, next(model.parameters()).detach().clone()))
        model.eval()
        torch.rand(10)

    models = [nn.Sequential(net(batch_norm=True), nn.Dropout(0.2)) for _ in range(2)]
    at_first = next(models[1].parameters()).detach().clone()
    for model, callback in zip(models, (None, look), strict=True):
        fit(model, blobs(), recipe=Recipe(steps=5, batch_size=16), on_step=callback)
    assert [step for step, _ in seen] == [0, 1, 2, 3, 4, 5]
    assert torch.equal(seen[0][1], at_first)
    assert all(not torch.equal(one, other) for (_, one), (_, other) in itertools.pairwise(seen))
    for ours, theirs in zip(models[0].state_dict().values(), models[1].state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)


def test_time_in_the_callback_of_steps_is_not_time_of_training(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]  # which only callbacks move
    monkeypatch.setattr(fitting.time, "perf_counter", lambda: clock[0])

    def look(step: int, model: nn.Module) -> None:
        clock[0] += 7.0

    history = fit(net(), blobs(), recipe=Recipe(steps=5, batch_size=16), on_step=look)
    assert clock[0] == 6 * 7
    assert list(history.seconds) == [0.0, 0.0]


def test_modes_are_restored_when_a_callback_fails() -> None:
    model = net().eval()
    with pytest.raises(KeyError):
        fit(model, blobs(), recipe=Recipe(epochs=1), on_epoch=lambda epoch, m: {}[epoch])
    assert not model.training


def test_training_stops_after_as_many_epochs_without_a_lower_loss_as_patience_says() -> None:
    same = (torch.ones(8, 5), torch.tensor([0, 1] * 4))
    recipe = Recipe(optimizer="sgd", lr=1e-30, epochs=50, batch_size=8, patience=3)
    history = fit(net(), same, recipe=recipe)
    assert (history.n_epochs, history.stopped_early) == (4, True)
    improving = fit(net(), blobs(), recipe=recipe.replace(lr=0.1, epochs=10, batch_size=N))
    assert (improving.n_epochs, improving.stopped_early) == (10, False)


def test_a_loss_that_is_not_finite_ends_training_with_its_place_and_the_history() -> None:
    recipe = Recipe(optimizer="sgd", lr=1e30, epochs=5, batch_size=20)
    model = net()
    losses = []
    with pytest.raises(
        DivergenceError, match=r"at update \d of epoch \d\. Try a lower learning rate \(it was 1e\+30\)"
    ) as e:
        fit(model, blobs(), recipe=recipe, on_epoch=lambda epoch, m: losses.append(epoch))
    assert e.value.epoch == e.value.history.n_epochs + 1 == losses[-1] + 1
    assert e.value.step in (1, 2)
    again = pickle.loads(pickle.dumps(e.value))
    assert (str(again), again.history) == (str(e.value), e.value.history)


def test_the_place_of_a_diverging_loss_is_the_first_update_that_saw_it() -> None:
    x, y = blobs().tensors
    x = x.clone()
    x[11, 2] = float("nan")
    model = net()
    seen: list[bool] = []
    model.register_forward_hook(lambda m, inputs, _: seen.append(bool(inputs[0].isnan().any())) if m.training else None)
    with pytest.raises(DivergenceError, match="Training example 11 has values that are not finite") as caught:
        fit(model, (x, y), recipe=Recipe(epochs=2, batch_size=4))
    assert (caught.value.epoch, caught.value.step) == (1, seen.index(True) + 1)
    assert caught.value.history.n_epochs == 0


def test_images_train_a_residual_network() -> None:
    train, _ = digits()
    small = train.subset(64, seed=0)
    history = fit(small_resnet(1, 10, widths=(4, 8)), small, recipe=Recipe(lr=1e-2, epochs=4, batch_size=16))
    assert history.loss[-1] < history.loss[0]


def test_parameters_that_are_frozen_stay_as_they_are() -> None:
    model = net()
    model.linear1.requires_grad_(False)
    before = model.linear1.weight.clone()
    fit(model, blobs(), recipe=Recipe(epochs=1))
    assert torch.equal(model.linear1.weight, before)


def test_no_epochs_train_nothing() -> None:
    history = fit(net(), blobs(), recipe=Recipe(epochs=0))
    assert history.n_epochs == 0
    assert repr(history) == "History(no epochs)"


@pytest.mark.parametrize(
    ("model", "data", "message"),
    [
        (nn.Flatten(), blobs(), "nothing to train"),
        (net().requires_grad_(False), blobs(), "nothing to train"),
        (MLP(5, [4], 2), blobs(), "labels run up to 2, but the model has 2 classes"),
        (nn.Linear(5, 3), (torch.zeros(4, 5), torch.zeros(3).long()), r"train: y has shape \(3,\); expected \(4,\)"),
        (nn.Linear(5, 3), (torch.zeros(0, 5), torch.zeros(0).long()), "train: there are no examples"),
        (
            nn.Linear(5, 3),
            (torch.zeros(4, 2, 5), torch.zeros(4).long()),
            r"the model gives \(1, 2, 3\) for one example",
        ),
        (net(batch_norm=True), blobs(33), "33 examples in batches of 32 leave one alone"),
        (
            images_to_pixels(),
            (torch.rand(33, 1, 2, 2), torch.arange(33) % 3),
            r"\('2'\) cannot train on a batch of one: 33",
        ),
        (net(), blobs(9).take(torch.arange(9)), "drop_last leaves nothing"),
    ],
    ids=[
        "no parameters",
        "all frozen",
        "too few classes",
        "labels missing",
        "empty",
        "not logits",
        "batch of one",
        "batch of one pixel",
        "no batch",
    ],
)
def test_data_and_model_that_do_not_go_together_are_refused(model: nn.Module, data: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit(model, data, recipe=Recipe(epochs=1, batch_size=32, drop_last=len(data) == 9))


def test_test_labels_the_model_does_not_have_are_refused_before_training() -> None:
    with pytest.raises(ValueError, match="labels run up to 7"):
        fit(net(), blobs(), recipe=Recipe(epochs=1), test=(torch.zeros(1, 5), torch.tensor([7])))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_training_on_a_gpu_is_training_on_the_cpu() -> None:
    models = [net().double() for _ in range(2)]
    histories = [
        fit(model, blobs(), recipe=Recipe(lr=0.01, epochs=5, batch_size=16), device=device)
        for model, device in zip(models, ("cpu", "cuda"), strict=True)
    ]
    assert histories[1].loss == pytest.approx(histories[0].loss, rel=1e-9)
    for ours, theirs in zip(models[1].parameters(), models[0].parameters(), strict=True):
        torch.testing.assert_close(ours.cpu(), theirs, rtol=1e-8, atol=1e-10)


@pytest.mark.dataset
@pytest.mark.slow
def test_the_appendix_recipe_reaches_its_accuracy_on_mnist(data_dir: Path) -> None:
    train, test = load_dataset("mnist", data_dir=data_dir, download=False)
    recipe = RECIPES["he2021.appendix"].replace(epochs=3)
    history = fit(MLP(784, [50], 10), train, recipe=recipe, test=test)
    assert history.test_accuracy[-1] > 0.94
