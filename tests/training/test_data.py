from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset

from actscope.training import LabelledData, random_labels, uniform_pixels, unit_ball


def numbered(n: int, n_classes: int = 3, *, imbalance: int = 1) -> LabelledData:
    """Example i is the vector (i, i); labels go round the classes, the first class `imbalance` times as often."""
    cycle = torch.tensor([0] * imbalance + list(range(1, n_classes)))
    y = cycle.repeat(n // len(cycle) + 1)[:n]
    return LabelledData(
        torch.arange(n).float()[:, None].expand(n, 2).clone(), y, classes=[str(c) for c in range(n_classes)]
    )


def test_a_data_loader_gives_every_example_with_its_label() -> None:
    data = numbered(10)
    assert isinstance(data, Dataset)
    batches = list(DataLoader(data, batch_size=4))
    assert torch.equal(torch.cat([x for x, _ in batches]), data.x)
    assert torch.equal(torch.cat([y for _, y in batches]), data.y)


def test_examples_fetched_together_are_those_fetched_one_by_one() -> None:
    data = numbered(10)
    for (x, y), i in zip(data.__getitems__([7, 2, 2]), [7, 2, 2], strict=True):
        assert torch.equal(x, data[i][0])
        assert torch.equal(y, data[i][1])


@given(n=st.integers(1, 40), seed=st.integers(0, 5), stratified=st.booleans())
def test_a_subset_keeps_examples_together_with_their_labels_and_ids_in_published_order(
    n: int, seed: int, stratified: bool
) -> None:
    whole = numbered(40).with_label_noise(0.5, seed=1)
    part = whole.subset(n, seed=seed, stratified=stratified)
    assert len(part) == n == len(part.ids.unique())
    assert torch.equal(part.ids, part.ids.sort().values)
    assert torch.equal(part.x[:, 0].long(), part.ids)
    assert torch.equal(part.y, whole.y[part.ids])
    assert torch.equal(part.clean_y, whole.clean_y[part.ids])


def test_a_subset_of_a_subset_keeps_the_first_ids() -> None:
    part = numbered(40).subset(20, seed=0).subset(5, seed=1)
    assert torch.equal(part.x[:, 0].long(), part.ids)


def test_a_smaller_draw_with_the_same_seed_is_part_of_a_larger_one() -> None:
    small, large = (set(numbered(100).subset(n, seed=3).ids.tolist()) for n in (10, 60))
    assert small < large


def test_subsets_of_different_seeds_differ() -> None:
    first, second = (numbered(100).subset(10, seed=seed).ids for seed in (0, 1))
    assert not torch.equal(first, second)


@given(n=st.integers(1, 50), imbalance=st.integers(1, 6))
def test_a_stratified_subset_keeps_each_class_within_one_example_of_its_share(n: int, imbalance: int) -> None:
    whole = numbered(50, imbalance=imbalance)
    part = whole.subset(n, seed=0, stratified=True)
    share = torch.bincount(whole.y, minlength=3) * n / len(whole)
    assert torch.all((torch.bincount(part.y, minlength=3) - share).abs() < 1)


@pytest.mark.parametrize("n", [0, -1, 11])
def test_a_subset_of_an_impossible_size_is_refused(n: int) -> None:
    with pytest.raises(ValueError, match=f"n={n} must be between 1 and the 10 examples"):
        numbered(10).subset(n, seed=0)


def test_the_first_fraction_is_rounded_down_but_never_empty() -> None:
    assert numbered(10).first(0.8).ids.tolist() == list(range(8))
    assert numbered(10).first(0.19).ids.tolist() == [0]
    assert numbered(10).first(0.001).ids.tolist() == [0]


@pytest.mark.parametrize("fraction", [0, -0.1, 1.1, float("nan")])
def test_a_first_fraction_outside_its_range_is_refused(fraction: float) -> None:
    with pytest.raises(ValueError, match="must be above 0 and at most 1"):
        numbered(10).first(fraction)


@given(fraction=st.floats(0, 1), seed=st.integers(0, 5))
def test_shuffled_labels_keep_the_counts_per_class(fraction: float, seed: int) -> None:
    data = numbered(60)
    noisy = data.with_label_noise(fraction, seed=seed)
    assert torch.equal(noisy.y.bincount(), data.y.bincount())
    assert torch.equal(noisy.clean_y, data.y)
    assert int((noisy.y != data.y).sum()) <= round(fraction * 60)


@pytest.mark.parametrize("kind", ["shuffle", "uniform"])
def test_label_noise_on_all_of_ten_balanced_classes_makes_nine_in_ten_labels_wrong(kind: str) -> None:
    noisy = numbered(20_000, 10).with_label_noise(1.0, seed=0, kind=kind)
    assert float((noisy.y != noisy.clean_y).float().mean()) == pytest.approx(0.9, abs=0.01)


def test_label_noise_on_a_fraction_leaves_the_other_labels_alone() -> None:
    noisy = numbered(20_000, 10).with_label_noise(0.3, seed=0)
    assert float((noisy.y != noisy.clean_y).float().mean()) == pytest.approx(0.27, abs=0.01)


def test_uniform_noise_can_bring_in_a_class_that_has_no_example() -> None:
    data = LabelledData(torch.zeros(100, 1), torch.zeros(100, dtype=torch.int64), classes=["a", "b"])
    assert data.with_label_noise(1.0, seed=0, kind="uniform").y.unique().tolist() == [0, 1]


def test_label_noise_is_said_in_the_note_and_twice_noisy_labels_keep_the_clean_ones() -> None:
    data = numbered(60)
    noisy = data.with_label_noise(0.1, seed=0).with_label_noise(0.2, seed=1, kind="uniform")
    assert torch.equal(noisy.clean_y, data.y)
    assert noisy.note == "shuffle label noise on 0.1 of the examples; uniform label noise on 0.2 of the examples"


def test_the_same_seed_gives_the_same_noise_and_another_seed_another() -> None:
    first, again, other = (numbered(60).with_label_noise(0.5, seed=seed).y for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_an_unknown_kind_of_noise_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="kind='swap' is no kind of label noise"):
        numbered(10).with_label_noise(0.5, seed=0, kind="swap")


@pytest.mark.parametrize("fraction", [-0.1, 1.5, float("nan")])
def test_a_noise_fraction_outside_its_range_is_refused(fraction: float) -> None:
    with pytest.raises(ValueError, match="must be from 0 to 1"):
        numbered(10).with_label_noise(fraction, seed=0)


def test_flattening_keeps_every_pixel_in_order() -> None:
    data = LabelledData(torch.rand(3, 2, 4, 5), torch.tensor([0, 1, 1]))
    assert torch.equal(data.flatten().x, data.x.reshape(3, 40))


def test_labels_that_do_not_match_are_refused() -> None:
    with pytest.raises(ValueError, match=r"y has shape \(3,\); expected \(4,\)"):
        LabelledData(torch.zeros(4, 2), torch.tensor([0, 1, 0]))
    with pytest.raises(ValueError, match="labels run from 0 to 2; expected 0 to 1 for the 2 classes given"):
        LabelledData(torch.zeros(2, 2), torch.tensor([0, 2]), classes=["a", "b"])
    with pytest.raises(ValueError, match="labels run from -1 to 1"):
        LabelledData(torch.zeros(2, 2), torch.tensor([-1, 1]))
    with pytest.raises(TypeError, match="y must hold whole numbers"):
        LabelledData(torch.zeros(2, 2), torch.tensor([0.0, 1.0]))


def test_bytes_are_refused_with_the_way_to_scale_them() -> None:
    with pytest.raises(TypeError, match=r"x\.float\(\) / 255"):
        LabelledData(torch.zeros(2, 2, dtype=torch.uint8), torch.tensor([0, 1]))


def test_empty_data_is_refused() -> None:
    with pytest.raises(ValueError, match="there are no examples"):
        LabelledData(torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64))


@pytest.mark.parametrize("n_features", [1, 2, 5])
def test_points_of_the_unit_ball_fill_it_evenly(n_features: int) -> None:
    points = unit_ball(20_000, n_features, seed=0)
    radius_to_the_dimension = points.double().norm(dim=1) ** n_features
    assert float(radius_to_the_dimension.max()) <= 1 + 1e-6
    deciles = radius_to_the_dimension.quantile(torch.arange(1, 10, dtype=torch.float64) / 10)
    assert torch.allclose(deciles, torch.arange(1, 10).double() / 10, atol=0.02)
    assert torch.allclose(points.mean(0), torch.zeros(n_features), atol=0.02)


def test_uniform_pixels_lie_between_zero_and_one_with_the_uniform_variance() -> None:
    x = uniform_pixels(200, (1, 28, 28), seed=0)
    assert x.shape == (200, 1, 28, 28)
    assert float(x.min()) >= 0
    assert float(x.max()) < 1
    assert float(x.var()) == pytest.approx(1 / 12, rel=0.02)


def test_random_labels_cover_all_classes_about_alike() -> None:
    data = random_labels(torch.zeros(10_000, 1), 10, seed=0)
    assert data.n_classes == 10
    assert torch.all((data.y.bincount() - 1000).abs() < 150)


def test_drawing_data_leaves_the_global_random_state_alone() -> None:
    before = torch.random.get_rng_state()
    random_labels(uniform_pixels(5, (2,), seed=0), 3, seed=0).with_label_noise(0.5, seed=0).subset(2, seed=0)
    unit_ball(5, 3, seed=0)
    assert torch.equal(torch.random.get_rng_state(), before)
