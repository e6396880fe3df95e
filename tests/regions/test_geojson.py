"""Cells as GeoJSON: rings that are valid, closed and of the right area."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from actscope.regions import plane
from actscope.training import MLP

MODEL = MLP(2, [9, 8], 3, init="torch", seed=5)
WINDOW = (-2.0, 3.0, -1.0, 1.0)


def rings(collection: dict[str, Any]) -> list[np.ndarray]:
    assert collection["type"] == "FeatureCollection"
    for feature in collection["features"]:
        assert feature["type"] == "Feature"
        assert feature["geometry"]["type"] == "Polygon"
        assert len(feature["geometry"]["coordinates"]) == 1
    return [np.array(feature["geometry"]["coordinates"][0]) for feature in collection["features"]]


def shoelace(ring: np.ndarray) -> float:
    x, y = (ring - ring[0]).T
    return 0.5 * float((x[:-1] * y[1:] - x[1:] * y[:-1]).sum())


@pytest.mark.parametrize("window", [WINDOW, None])
def test_rings_are_closed_and_run_counterclockwise_around_something(
    window: tuple[float, float, float, float] | None,
) -> None:
    for ring in rings(plane(MODEL, window=window).to_geojson()):
        assert len(ring) >= 4
        assert (ring[0] == ring[-1]).all()
        assert shoelace(ring) > 0


def test_areas_are_those_of_the_rings_and_fill_the_window() -> None:
    found = plane(MODEL, window=WINDOW)
    collection = found.to_geojson()
    areas = [shoelace(ring) for ring in rings(collection)]
    assert [f["properties"]["area"] for f in collection["features"]] == pytest.approx(areas, rel=1e-9, abs=1e-15)
    assert sum(areas) == pytest.approx(10.0, rel=1e-9)


def test_the_cells_of_a_whole_plane_are_cut_to_the_window_that_is_asked_for() -> None:
    collection = plane(MODEL, window=None).to_geojson(WINDOW)
    areas = [shoelace(ring) for ring in rings(collection)]
    assert sum(areas) == pytest.approx(10.0, rel=1e-9)
    corners = np.concatenate(rings(collection))
    assert (*corners.min(axis=0), *corners.max(axis=0)) == (-2, -1, 3, 1)


def test_unbounded_cells_have_no_area_and_all_of_it_is_json() -> None:
    found = plane(MODEL, window=None)
    text = json.dumps(found.to_geojson(), allow_nan=False)
    unbounded = {i for i, area in enumerate(found.areas) if np.isinf(area)}
    for feature in json.loads(text)["features"]:
        assert (feature["properties"]["area"] is None) == (feature["properties"]["cell"] in unbounded)


def test_properties_are_those_of_the_cell() -> None:
    found = plane(MODEL, window=WINDOW)
    norms = found.norms
    assert norms is not None
    assert found.linear_region is not None
    for feature in found.to_geojson()["features"]:
        properties = feature["properties"]
        cell = properties["cell"]
        assert properties["region"] == found.region[cell]
        assert properties["linear_region"] == found.linear_region[cell]
        assert properties["norm"] == norms[cell]
        assert bytes.fromhex(properties["pattern"]) == found.packed[cell].tobytes()


def test_without_a_piecewise_linear_output_there_are_no_norms() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2), nn.Softmax(dim=1))
    torch.manual_seed(0)
    assert "norm" not in plane(model).to_geojson()["features"][0]["properties"]
