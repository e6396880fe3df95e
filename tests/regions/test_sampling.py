"""Patterns at sample points: what was seen, and nothing said beyond it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from actscope import encode
from actscope.regions import Plane, line, plane
from actscope.regions import sampling as module
from actscope.regions.sampling import SampledLine, SampledPlane, sample_line, sample_plane
from actscope.training import MLP

SMOOTH = MLP(2, [6, 5], 2, activation="sigmoid", init="he", seed=0)
LINEAR = MLP(2, [6, 5], 2, init="torch", seed=0)
WINDOW = (-3.0, 1.0, -1.0, 2.0)


def test_each_pixel_has_the_pattern_of_its_middle() -> None:
    found = sample_plane(SMOOTH, samples=9, window=WINDOW, breakpoints=(-1.0, 1.0))
    x, y = -3 + (np.arange(9) + 0.5) * 4 / 9, -1 + (np.arange(9) + 0.5) * 3 / 9
    points = torch.tensor([[a, b] for b in y for a in x])
    codes = encode(SMOOTH, points, breakpoints=(-1.0, 1.0), dtype=torch.float64, progress=False)
    same = (codes.packed[:, None] == codes.packed[None]).all(axis=2)
    assert ((found.pattern.ravel()[:, None] == found.pattern.ravel()[None]) == same).all()
    assert found.n_patterns_seen == len(np.unique(codes.packed, axis=0))


def test_changes_seen_are_the_pairs_of_neighbouring_pixels_that_differ() -> None:
    grid = np.array([[0, 0, 1], [2, 0, 1]])
    found = SampledPlane(Plane(torch.zeros(2), *torch.eye(2)), WINDOW, grid, ())
    assert found.n_changes_seen == 1 + 2 + 1


def test_no_more_patterns_are_seen_than_there_are_and_all_of_them_at_last() -> None:
    exact = plane(LINEAR, window=WINDOW).n_regions
    counts = [sample_plane(LINEAR, samples=n, window=WINDOW).n_patterns_seen for n in (4, 30, 250)]
    assert counts == sorted(counts)
    assert counts[0] < exact
    assert exact - 2 <= counts[-1] <= exact


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = sample_plane(SMOOTH, samples=20, breakpoints=(-1.0, 1.0))
    along = sample_line(SMOOTH, torch.zeros(2), torch.ones(2), samples=50)
    monkeypatch.setattr(module, "_BYTES", 8 * 13 * 7)
    assert (sample_plane(SMOOTH, samples=20, breakpoints=(-1.0, 1.0)).pattern == whole.pattern).all()
    assert (sample_line(SMOOTH, torch.zeros(2), torch.ones(2), samples=50).packed == along.packed).all()


def test_a_line_has_the_patterns_of_its_points_and_the_changes_between_them() -> None:
    start, end = torch.tensor([-2.0, 1.0]), torch.tensor([1.0, -1.0])
    found = sample_line(SMOOTH, start, end, samples=41, breakpoints=(-0.5, 0.5))
    points = start.double() + torch.linspace(0, 1, 41, dtype=torch.float64)[:, None] * (end - start).double()
    codes = encode(SMOOTH, points, breakpoints=(-0.5, 0.5), dtype=torch.float64, progress=False)
    assert (found.packed == codes.packed).all()
    assert found.n_changes_seen == int((codes.packed[1:] != codes.packed[:-1]).any(axis=1).sum())
    t, site = found.changes()
    flips = np.unpackbits(codes.packed[1:] ^ codes.packed[:-1], axis=1).sum()
    assert len(t) == len(site) == flips


def test_a_fine_line_sees_what_the_exact_one_counts() -> None:
    start, end = torch.tensor([-2.0, 1.0]), torch.tensor([1.0, -1.0])
    exact = line(LINEAR, start, end)
    assert sample_line(LINEAR, start, end, samples=20_000).n_patterns_seen == exact.n_regions


def test_samples_of_line_and_plane_give_results_of_another_type() -> None:
    assert isinstance(plane(SMOOTH, samples=4), SampledPlane)
    sampled = line(SMOOTH, torch.zeros(2), torch.ones(2), samples=4)
    assert isinstance(sampled, SampledLine)
    assert not hasattr(sampled, "n_regions")
    assert "not exact" in repr(sampled)
    assert sampled.to_dict()["exact"] is False


def test_patterns_before_a_smooth_output_are_counted_with_layers() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2), nn.Sigmoid())
    found = sample_plane(model, samples=5, layers=["1"])
    assert [site.name for site in found.sites] == ["1"]


REFUSED = {
    "a whole line": (lambda: line(SMOOTH, torch.zeros(2), torch.ones(2), samples=9, extend=True), "extend=True"),
    "a whole plane": (lambda: plane(SMOOTH, window=None, samples=9), "window=None"),
    "an empty window": (lambda: plane(SMOOTH, window=(1.0, 0.0, 0.0, 1.0), samples=9), "each from less"),
    "one sample": (lambda: plane(SMOOTH, samples=1), "samples=1"),
    "ends of two shapes": (lambda: sample_line(SMOOTH, torch.zeros(2), torch.zeros(3), samples=9), "one shape"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_sampled_is_refused(case: str) -> None:
    call, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        call()


def test_the_pictures_can_be_drawn() -> None:
    for found in (
        plane(SMOOTH, samples=12, breakpoints=(-1.0, 1.0)),
        sample_line(SMOOTH, torch.zeros(2), torch.ones(2), samples=9),
    ):
        found.plot().figure.canvas.draw()
