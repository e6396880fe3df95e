"""The experiments of Jiang et al.: what they train and measure is what they say."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from actscope import Codes
from actscope.neurons import similarity_distribution
from actscope.studies import Results, compare, find_study, run
from actscope.studies.jiang2022 import vgg16
from actscope.studies.jiang2022.fcnn import ACTIVATIONS, NORMALIZATIONS, Normalization, fcnn, fcnn_cell, train_and_look
from actscope.studies.jiang2022.patterns import READINGS, SPLITS, Patterns, on_pre_activations
from actscope.studies.jiang2022.regions import plane_of_labels
from actscope.studies.jiang2022.similarity import pairs_with_different_labels, share_of_pairs_above
from actscope.studies.jiang2022.toynetworks import ToyNetworks, Update, target
from actscope.studies.jiang2022.variants import Seen, Variant, variants_of
from actscope.studies.looking import LookLog, has_diverged
from actscope.studies.study import Place
from actscope.training import digits
from actscope.training.checkpoints import Checkpoints

TOYS = [("sigmoid", 1.0, 1.0, "all layers", 0), ("relu", 15.0, 1.0, "hidden layer", 3)]


def by_hand(networks: ToyNetworks, i: int, update: Update, x: np.ndarray, *, epochs: int, lr: float) -> np.ndarray:
    """The outputs of one toy network after training by PyTorch."""
    values = [torch.tensor(getattr(networks, name)[i].copy(), requires_grad=True) for name in "wbvc"]
    w, b, v, c = values
    activation = torch.relu if networks.is_relu[i, 0] else torch.sigmoid

    def output(points: torch.Tensor) -> torch.Tensor:
        return (activation(w * points[:, None] + b) * v).sum(1) + c

    points, wanted = torch.tensor(x), torch.tensor(target(x))
    adam = update == "whole epoch by Adam"
    optimizer = torch.optim.Adam(values, lr) if adam else torch.optim.SGD(values, lr)
    size = 1 if update == "each example" else len(x)
    for _ in range(epochs):
        for some, y in zip(points.split(size), wanted.split(size), strict=True):
            optimizer.zero_grad()
            ((output(some) - y) ** 2).mean().backward()
            optimizer.step()
    return output(points).detach().numpy()


@pytest.mark.parametrize("update", ["each example", "whole epoch", "whole epoch by Adam"])
def test_toy_networks_train_as_pytorch_trains_them(update: Update) -> None:
    x = np.linspace(-1, 1, 20)
    networks = ToyNetworks.drawn(TOYS)
    expected = [by_hand(networks, i, update, x, epochs=5, lr=1e-3) for i in range(len(TOYS))]
    networks.train(x, epochs=3, lr=1e-3, update=update)
    networks.train(x, epochs=2, lr=1e-3, update=update)
    np.testing.assert_allclose(networks.outputs(x), expected, rtol=1e-9)


def test_contributions_add_up_to_the_output_but_for_its_bias() -> None:
    x = np.linspace(-1, 1, 7)
    networks = ToyNetworks.drawn(TOYS)
    np.testing.assert_allclose(networks.contributions(x).sum(2), networks.outputs(x) - networks.c[:, None])


def test_toy_weights_lie_where_they_are_drawn_from() -> None:
    many = [("sigmoid", 15.0, 2.0, layers, seed) for seed in range(50) for layers in ("all layers", "hidden layer")]
    drawn = ToyNetworks.drawn(many)
    assert 14 < np.abs(drawn.w).max() <= 15
    assert 1.9 < np.abs(drawn.b).max() <= 2
    assert 14 < np.abs(drawn.v[::2]).max() <= 15
    assert 0.3 < np.abs(drawn.v[1::2]).max() <= 10**-0.5


def numpy_intervals(values: torch.Tensor, split: tuple[float, ...]) -> np.ndarray:
    return sum((values > point).numpy().astype(np.uint8) for point in split)  # type: ignore[return-value]  # never empty


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_patterns_split_what_they_say_they_split(activation: str, normalization: Normalization) -> None:
    model = fcnn(6, 3, activation=activation, normalization=normalization, width=5, depth=2)
    x = 3 * torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
    model.train()(x)  # running averages of its own
    model.eval()
    seen: dict[str, list[torch.Tensor]] = {"linear output": [], "pre-activation": [], "post-activation": []}
    for k in (1, 2):
        model.get_submodule(f"linear{k}").register_forward_hook(
            lambda m, i, o: seen["linear output"].append(o.detach())
        )
        act = model.get_submodule(f"{activation}{k}")
        act.register_forward_pre_hook(lambda m, i: seen["pre-activation"].append(i[0].detach()))
        act.register_forward_hook(lambda m, i, o: seen["post-activation"].append(o.detach()))
    logits = model(x)
    values = {reading: torch.cat(parts, 1) for reading, parts in seen.items()}
    found = Patterns(model, x, activation=activation, normalized_before=normalization == "before")
    torch.testing.assert_close(found.logits, logits.detach())
    for reading in READINGS:
        for split in SPLITS[activation]:
            expected = numpy_intervals(values[reading], split)
            if activation == "sigmoid" and reading == "post-activation":
                expected -= sum(point <= 0 for point in split)  # below all of its values
            np.testing.assert_array_equal(found.intervals(reading, split), expected)
    assert len(found.readings) == (3 if normalization == "before" else 2)


def test_batch_statistics_are_those_of_the_examples_and_leave_the_model_as_it_was() -> None:
    model = fcnn(6, 3, activation="relu", normalization="before", width=50, depth=1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x = torch.rand(64, 6, generator=torch.Generator().manual_seed(0))
    found = Patterns(model, x, activation="relu", normalized_before=True, batch_statistics=True)
    on = found.intervals("pre-activation", (0.0,)).mean(axis=0)
    assert (abs(on - 0.5) < 0.25).all()  # every neuron is centred on these examples
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_normalization_moves_and_linear_layers_stay() -> None:
    models = [fcnn(6, 3, activation="tanh", normalization=where, width=5, depth=2, seed=7) for where in NORMALIZATIONS]
    for model in models[1:]:
        for name in ("linear1", "linear2", "output"):
            assert torch.equal(model.get_submodule(name).weight, models[0].get_submodule(name).weight)
    orders = [[name for name, _ in model.named_children() if name != "flatten"] for model in models]
    assert orders[0][:3] == ["linear1", "norm1", "tanh1"]
    assert orders[1][:3] == ["linear1", "tanh1", "norm1"]
    assert orders[2][:2] == ["linear1", "tanh1"]


class StoppedError(Exception):
    """A process that ends."""


def test_a_network_that_was_cut_off_goes_on_and_loses_nothing_of_what_was_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = find_study("jiang2022.similarity").grid(scale="smoke")
    cell = fcnn_cell("a", 1, grid, activation="tanh", steps=60)
    data, _ = digits()
    per_epoch = -(-len(data) // 64)
    assert per_epoch < 30  # so the first epoch ends before the cut

    def look(step: int, model: nn.Module) -> list[dict[str, float | str]]:
        return [{"metric": "weight", "value": float(model.get_submodule("linear1").weight.detach()[0, 0])}]

    steps = (0, 5, per_epoch + 2, 31, 60)
    whole, rows = train_and_look(cell, Place(tmp_path / "whole"), steps, look)
    assert [row["step"] for row in rows] == list(steps)

    def stopping(step: int, model: nn.Module) -> list[dict[str, float | str]]:
        if step == 31:
            raise StoppedError
        return look(step, model)

    place = Place(tmp_path / "cut")
    monkeypatch.setattr(Checkpoints.__init__, "__defaults__", ((), 0.0, (), None))  # saves after every epoch
    with pytest.raises(StoppedError):
        train_and_look(cell, place, steps, stopping)
    seen: list[int] = []
    again, found = train_and_look(cell, place, steps, lambda step, model: (seen.append(step), look(step, model))[1])
    assert seen
    assert not {0, 5} & set(seen)
    assert found == rows
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), again.state_dict().values(), strict=True))


def test_a_line_that_was_cut_off_is_dropped_and_a_step_that_is_seen_again_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "cell" / "looked.jsonl"
    log = LookLog(path)
    log.add(5, [{"metric": "m", "value": 0.1}])
    log.add(0, [{"metric": "m", "value": float("nan")}, {"metric": "n", "value": 1.0}])
    path.write_text(path.read_text() + '{"step": 10, "ro')
    again = LookLog(path)
    assert [row["step"] for row in again.rows] == [0, 0, 5]
    again.add(5, [{"metric": "m", "value": 0.2}])
    again.add(10, [{"metric": "m", "value": 0.3}])
    last = LookLog(path).rows
    assert [(row["step"], row["value"]) for row in last[1:]] == [(0, 1.0), (5, 0.2), (10, 0.3)]


def test_a_plane_goes_through_three_labels_and_patterns_in_it_are_those_of_its_points(tmp_path: Path) -> None:
    _, test = digits()
    for seed in range(8):  # of three digits drawn at random, two would have one label in some
        section = plane_of_labels(test, seed)
        labels = [int(test.y[(test.x.flatten(1).double() == x.flatten()).all(1)][0]) for x in section.examples]
        assert len(set(labels)) == 3
        assert np.abs(section.coordinates(section.examples)).max() <= 1
    results = run("jiang2022.regions", tmp_path, scale="smoke", progress=False).results
    for activation in ("sigmoid", "relu"):
        seen, exact = (
            results.query(
                "select max(value) from results where activation = ? and normalization = 'none' and step = steps and metric = ?",
                [activation, metric],
            )[0][0]
            for metric in ("patterns seen", "patterns")
        )
        pixels = results.query(
            "select count(*), max(value) + 1, max(coarsest) from results where metric = 'pattern' and step = steps "
            "and activation = ? and normalization = 'none'",
            [activation],
        )[0]
        assert pixels[0] == pixels[2] ** 2
        assert pixels[1] <= seen
        if activation == "relu":
            assert seen <= exact


def test_similarity_of_a_vgg_is_the_share_of_neurons_in_one_interval(tmp_path: Path) -> None:
    study = find_study("jiang2022.vgg16")
    cell = next(cell for cell in study.cells(study.grid(scale="smoke")) if cell["activation"] == "sigmoid")
    _, test = vgg16._images(cell, Place(tmp_path))
    one, other = pairs_with_different_labels(test, 70, seed=0)
    x = test.tensors[0]
    model = vgg16._network(cell).eval()
    with torch.no_grad():
        for module in model.modules():  # running averages of its own
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.3)
                module.running_var.uniform_(0.05, 0.2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = {row["metric"]: row["value"] for row in vgg16._rows(cell, model, x[one], x[other], device=None)}
    seen: list[torch.Tensor] = []
    for module in model.modules():
        if isinstance(module, nn.Sigmoid):
            module.register_forward_pre_hook(lambda m, i: seen.append(i[0].detach().flatten(1)))
    with torch.no_grad():
        logits = [model(x[which]) for which in (one, other)]
    half = len(seen) // 2
    intervals = [numpy_intervals(torch.cat(part, 1), (-0.5, 0.0, 0.5)) for part in (seen[:half], seen[half:])]
    assert found["similarity"] == pytest.approx((intervals[0] == intervals[1]).mean(), abs=1e-5)
    assert found["prediction distance"] == pytest.approx(float((logits[0] - logits[1]).norm(dim=1).mean()), rel=1e-5)
    assert found["similarity by batch statistics"] < found["similarity"] < 1
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_rate_of_the_first_steps_is_that_of_the_whole_schedule() -> None:
    study = find_study("jiang2022.vgg16")
    early = next(cell for cell in study.cells(study.grid(scale="small")) if cell["part"] == "early").recipe
    whole = next(cell for cell in study.cells(study.grid(scale="paper"))).recipe
    assert early is not None
    assert whole is not None
    assert whole.n_steps(50_000) == 120 * 391
    for step in (0, 30, 59):
        rates = [r.lr_at(step, steps_per_epoch=391, n_steps=r.n_steps(50_000)) for r in (early, whole)]
        assert rates[0] == pytest.approx(rates[1], rel=1e-9)


def test_shares_of_pairs_are_those_of_the_librarys_distribution() -> None:
    bits = np.random.default_rng(0).integers(0, 2, (30, 17)).astype(bool)
    thresholds = [0.3, 0.5, 8 / 17, 0.7]
    expected = similarity_distribution(Codes.from_bits(bits), thresholds).combined.shares
    np.testing.assert_allclose(share_of_pairs_above(bits.astype(np.uint8), thresholds), expected)


def test_drawn_pairs_have_different_labels_and_are_the_same_every_time() -> None:
    _, test = digits()
    one, other = pairs_with_different_labels(test, 50, seed=3)
    assert len(one) == len(other) == 50
    assert (test.tensors[1][one] != test.tensors[1][other]).all()
    assert torch.equal(one, pairs_with_different_labels(test, 50, seed=3)[0])


def test_a_post_activation_is_split_where_it_crosses_the_breakpoint() -> None:
    assert on_pre_activations((-0.25, 0.25), "sigmoid") == pytest.approx([np.log(1 / 3)])
    assert on_pre_activations((-0.5, 0.5), "tanh") == pytest.approx([-np.arctanh(0.5), np.arctanh(0.5)])
    with pytest.raises(ValueError, match="'gelu' with breakpoints"):
        on_pre_activations((-0.1,), "gelu")


def test_similarity_is_measured_before_and_after_training_and_says_which_variant_does_what(tmp_path: Path) -> None:
    done = run("jiang2022.similarity", tmp_path, scale="smoke", progress=False)
    measured = done.results.query("select distinct step from results where metric = 'share of pairs' order by 1")
    assert measured == [(0,), (40,)]
    start, end = (
        done.results.query(
            "select avg(value) from results where metric = 'similarity' and normalization = 'before' and activation = 'relu' "
            "and reading = 'pre-activation' and step = ?",
            [step],
        )[0][0]
        for step in (0, 40)
    )
    assert end < start - 0.1  # normalization drives the patterns of untrained networks apart
    parts = variants_of(done.results)
    assert len(parts) == 7
    # forty steps train nothing, so nothing holds that is claimed of trained networks
    late = [part for every in parts.values() for part in every if part.of in ("trained", "end")]
    assert {part.claim for part in late} == {"J1", "J6", "J7", "J15"}
    assert not any(part.holds for part in late)
    assert all(part.ours.startswith("not trained: the least accurate network is right for 0.") for part in late)
    assert {part.claim for every in parts.values() for part in every} == {"J1", "J6", "J7", "J15"}


def test_networks_that_were_not_trained_to_the_printed_end_say_nothing_of_it() -> None:
    seen = Seen.__new__(Seen)
    seen._found = {
        (normalization, activation, "", "", "accuracy", ""): np.array([[steps, 0, accuracy]])
        for normalization, steps, accuracy in (("before", 24_000, 0.98), ("after", 1500, 0.97), ("none", 200, 0.11))
        for activation in ("sigmoid", "tanh", "relu", "gelu")
    }
    before, after, none = (Variant(name, "pre-activation") for name in ("before", "after", "none"))
    assert (seen.untrained(before), seen.is_short(before)) == ("", "")
    assert (seen.untrained(after), seen.is_short(after)) == ("", "trained for 1,500 of 24,000 steps")
    assert seen.untrained(none) == "not trained: the least accurate network is right for 0.11 after 200 steps"


def test_a_network_that_diverges_is_said_to_and_is_no_error(tmp_path: Path) -> None:
    grid = find_study("jiang2022.regions").grid(scale="smoke")
    cell = fcnn_cell("a", 1, grid, activation="relu", steps=60)
    assert cell.recipe is not None
    wild = dataclasses.replace(cell, recipe=cell.recipe.replace(lr=1e30))
    _, rows = train_and_look(wild, Place(tmp_path), (0, 40, 60), lambda step, model: [{"metric": "seen", "value": 1.0}])
    assert rows[0] == {"step": 0, "metric": "seen", "value": 1.0}
    assert rows[-1] == {"metric": "diverged", "value": 1.0}
    assert has_diverged(rows)
    assert not has_diverged(rows[:-1])


def test_a_log_that_lost_what_was_seen_is_noticed(tmp_path: Path) -> None:
    grid = find_study("jiang2022.similarity").grid(scale="smoke")
    cell, place = fcnn_cell("a", 1, grid, activation="tanh", steps=40), Place(tmp_path)
    train_and_look(cell, place, (0, 5, 40), lambda step, model: [])
    path = place.folder(cell) / "looked.jsonl"
    path.write_text(path.read_text().splitlines()[0] + "\n")
    with pytest.raises(ValueError, match=r"not what was seen of it after 5 updates: delete the folder"):
        train_and_look(cell, place, (0, 5, 40), lambda step, model: [])
    path.write_text("{nothing\n")
    with pytest.raises(ValueError, match=r"looked\.jsonl is damaged"):
        train_and_look(cell, place, (0, 5, 40), lambda step, model: [])


@pytest.mark.parametrize("name", ["jiang2022.statistics", "jiang2022.pairs", "jiang2022.vgg16", "jiang2022.similarity"])
def test_a_run_with_a_missing_cell_is_compared_as_far_as_it_goes(name: str, tmp_path: Path) -> None:
    known = find_study(name)
    # whatever the data set, so that every check is made
    study = dataclasses.replace(known, claims=[dataclasses.replace(claim, datasets=()) for claim in known.claims])
    done = run(name, tmp_path, scale="smoke", progress=False)
    for cell in done.cells[:4]:
        rest = [other for other in done.cells if other != cell]
        results = Results.in_folder(tmp_path / name / "cells", rest)
        for claim, finding in compare(study, done.grid, results).findings:
            assert finding.verdict in ("agrees", "differs", "not run at this scale", "no printed value"), claim.id
