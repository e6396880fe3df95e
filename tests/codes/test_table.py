"""Codes against a matrix of intervals: every operation gives what the dense twin gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from actscope.codes import Codes, Site
from actscope.codes.bits import pack_bits

sizes = st.lists(st.tuples(st.integers(1, 19), st.integers(1, 3)), min_size=1, max_size=4)


class Dense:
    """The slow, obvious twin: the interval of every neuron in a matrix, and where each site's columns are."""

    def __init__(self, intervals: list[NDArray[np.uint8]], planes: list[int]) -> None:
        self.intervals, self.planes = intervals, planes

    def bits(self, chosen: list[int]) -> NDArray[np.bool_]:
        return np.concatenate([self.intervals[i] > plane for i in chosen for plane in range(self.planes[i])], axis=1)

    def codes(self) -> Codes:
        sites, packed = [], []
        for i, (intervals, planes) in enumerate(zip(self.intervals, self.planes, strict=True)):
            sites.append(Site(f"site{i}", "tanh", (intervals.shape[1],), tuple(map(float, range(planes)))))
            packed += [pack_bits(intervals > plane) for plane in range(planes)]
        return Codes(np.concatenate(packed, axis=1), tuple(sites), labels=np.arange(len(packed[0])) % 2)


@st.composite
def denses(draw: st.DrawFn) -> Dense:
    n = draw(st.integers(0, 6))
    layout = draw(sizes)
    columns = [draw(hnp.arrays(np.uint8, (n, neurons), elements=st.integers(0, planes))) for neurons, planes in layout]
    return Dense(columns, [planes for _, planes in layout])


@given(denses())
def test_bits_and_intervals_are_those_of_the_dense_twin(dense: Dense) -> None:
    codes = dense.codes()
    np.testing.assert_array_equal(codes.bits(), dense.bits(list(range(len(dense.planes)))))
    np.testing.assert_array_equal(codes.intervals(), np.concatenate(dense.intervals, axis=1))
    assert codes.n_bits == codes.bits().shape[1]
    assert codes.n_neurons == codes.intervals().shape[1]


@given(denses(), st.data())
def test_selecting_sites_and_examples_commutes_with_the_dense_twin(dense: Dense, data: st.DataObject) -> None:
    codes = dense.codes()
    chosen = sorted(data.draw(st.sets(st.integers(0, len(dense.planes) - 1), min_size=1)))
    rows = data.draw(st.permutations(range(len(codes))))[: data.draw(st.integers(0, len(codes)))]
    part = codes.select([f"site{i}" for i in reversed(chosen)])[rows]
    np.testing.assert_array_equal(part.bits(), dense.bits(chosen)[rows])
    np.testing.assert_array_equal(part.ids, codes.ids[rows])
    np.testing.assert_array_equal(part.site_packed(f"site{chosen[0]}"), codes.site_packed(f"site{chosen[0]}")[rows])


@given(denses())
@settings(max_examples=20)
def test_a_file_gives_back_what_was_saved(dense: Dense) -> None:
    import tempfile

    codes = dense.codes()
    with tempfile.TemporaryDirectory() as folder:
        codes.save(Path(folder) / "codes.parquet")
        again = Codes.load(Path(folder) / "codes.parquet")
        last = Codes.load(Path(folder) / "codes.parquet", [codes.sites[-1].name])
    assert again.sites == codes.sites
    np.testing.assert_array_equal(again.packed, codes.packed)
    np.testing.assert_array_equal(again.ids, codes.ids)
    np.testing.assert_array_equal(last.packed, codes.select([codes.sites[-1].name]).packed)
    if len(codes):
        np.testing.assert_array_equal(again.labels, codes.labels)


@given(denses())
def test_two_rows_are_equal_exactly_if_all_intervals_are(dense: Dense) -> None:
    codes = dense.codes()
    n_codes = len(np.unique(codes.packed, axis=0)) if len(codes) else 0
    assert n_codes == len({row.tobytes() for row in codes.intervals()})


def test_one_position_gives_one_row() -> None:
    codes = Codes.from_bits(np.eye(4, dtype=bool))
    assert codes[-1].ids.tolist() == [3]
    assert codes[np.array([True, False, True, False])].ids.tolist() == [0, 2]
    with pytest.raises(IndexError, match="there are 4 examples"):
        codes[4]


def test_an_example_cannot_be_taken_twice() -> None:
    with pytest.raises(ValueError, match="id 1 occurs 2 times"):
        Codes.from_bits(np.eye(3, dtype=bool))[[1, 1]]


def test_concat_counts_a_repeated_example_once_and_refuses_a_changed_one() -> None:
    codes = Codes.from_bits(np.eye(4, dtype=bool), labels=[0, 1, 2, 3])
    whole = Codes.concat([codes[2:], codes[:3]])
    assert whole.ids.tolist() == [2, 3, 0, 1]
    assert whole.labels.tolist() == [2, 3, 0, 1]
    changed = Codes.from_bits(~np.eye(4, dtype=bool), labels=[0, 1, 2, 3])
    with pytest.raises(ValueError, match="id 0 occurs twice with different codes"):
        Codes.concat([codes, changed])


SITE = Site("s", "relu", (5,), (0.0,))
BAD = {
    "dtype": (lambda: Codes(np.zeros((2, 1)), (SITE,)), "must be .* uint8"),
    "width": (lambda: Codes(np.zeros((2, 2), np.uint8), (SITE,)), "2 bytes a row, but its 1 sites take 1"),
    "padding": (lambda: Codes(np.full((2, 1), 32, np.uint8), (SITE,)), "a padding bit of site 's' is set"),
    "ids": (lambda: Codes(np.zeros((2, 1), np.uint8), (SITE,), ids=[1]), r"ids has shape \(1,\), but there are 2"),
    "float ids": (lambda: Codes(np.zeros((2, 1), np.uint8), (SITE,), ids=[1.5, 2]), "integers or strings"),
    "labels": (lambda: Codes(np.zeros((2, 1), np.uint8), (SITE,), labels=[1]), r"labels has shape \(1,\)"),
    "float labels": (lambda: Codes(np.zeros((2, 1), np.uint8), (SITE,), labels=[0.5, 1]), "labels must be integers"),
    "no such site": (lambda: Codes(np.zeros((2, 1), np.uint8), (SITE,)).site_packed("t"), "'t' is no site"),
    "different sites": (
        lambda: Codes.concat([Codes.from_bits([[0, 1]]), Codes.from_bits([[0, 1]], name="other")]),
        "different sites",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_is_refused(case: str) -> None:
    call, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        call()


def test_the_intervals_that_are_dead_or_linear_follow_the_breakpoints() -> None:
    relu = {"kinks": (0.0,), "slopes": (0.0, 1.0), "piecewise_linear": True}
    assert Site("r", "relu", (1,), (0.0,), **relu).dead_intervals == (0,)
    split = Site("r", "relu", (1,), (-1.0, 0.0, 2.0), **relu)
    assert (split.dead_intervals, split.linear_intervals) == ((0, 1), (2, 3))
    across = Site("r", "relu", (1,), (0.5,), **relu)
    assert (across.dead_intervals, across.linear_intervals) == ((), (1,))
