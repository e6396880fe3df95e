import json
import math
from fractions import Fraction
from itertools import combinations, pairwise, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actscope.regions import bounds

ORACLES = json.loads(Path(__file__).with_name("bounds_oracles.json").read_text(encoding="utf-8"))
ARRANGEMENTS = ORACLES["arrangement_regions_general_position"]

RELU = ((0,), ((0, 0), (1, 0)))
LEAKY_RELU = ((0,), ((Fraction(1, 4), 0), (1, 0)))
CLIP = ((0, 1), ((0, 0), (1, 0), (0, 1)))

shapes = st.lists(st.integers(1, 5), min_size=1, max_size=4)
dimensions = st.integers(1, 6)


def serra_term_by_term(widths, n_in):
    total = 0
    for j in product(*(range(n + 1) for n in widths)):
        limits = [
            min([n_in, n, *(m - i for m, i in zip(widths[:at], j[:at], strict=True))]) for at, n in enumerate(widths)
        ]
        if all(a <= b for a, b in zip(j, limits, strict=True)):
            total += math.prod(map(math.comb, widths, j))
    return total


def solve(rows, right):
    """The exact solution of a square system, or None if it is singular (Gauss and Jordan)."""
    table = [[Fraction(x) for x in row] + [Fraction(y)] for row, y in zip(rows, right, strict=True)]
    for column in range(len(table)):
        pivot = next((i for i in range(column, len(table)) if table[i][column]), None)
        if pivot is None:
            return None
        table[column], table[pivot] = table[pivot], table[column]
        table[column] = [x / table[column][column] for x in table[column]]
        for i, row in enumerate(table):
            if i != column:
                table[i] = [x - row[column] * y for x, y in zip(row, table[column], strict=True)]
    return [row[-1] for row in table]


def sign_vectors(normals, offsets):
    """The sign vectors of all regions of a simple arrangement {n·x = c} with a vertex in every region: 2^d regions meet at each."""
    m, d = len(normals), len(normals[0])
    found = set()
    for at in combinations(range(m), d):
        vertex = solve([normals[i] for i in at], [offsets[i] for i in at])
        if vertex is None:
            continue
        values = [sum(a * x for a, x in zip(n, vertex, strict=True)) - c for n, c in zip(normals, offsets, strict=True)]
        assert all((value == 0) == (i in at) for i, value in enumerate(values)), "not a simple arrangement"
        for signs in product((False, True), repeat=d):
            found.add(tuple(signs[at.index(i)] if i in at else value > 0 for i, value in enumerate(values)))
    return found


def general_position(m, d):
    """m hyperplanes of which any d are independent (a Vandermonde matrix) and no d + 1 have a common point."""
    return [[(i + 1) ** j for j in range(d)] for i in range(m)], [(i + 2) ** (d + 2) + (i % 2) for i in range(m)]


def cut(polygon, normal, offset):
    """The parts of a convex polygon where normal·x ≤ offset, as (part, 0), and where it is above, as (part, 1); none without area."""
    heights = [sum(a * x for a, x in zip(normal, point, strict=True)) - offset for point in polygon]
    if not any(heights):
        return [(polygon, 0)]
    parts = []
    for above, sign in enumerate((-1, 1)):
        part = []
        for (p, h), (q, k) in pairwise([*zip(polygon, heights, strict=True), (polygon[0], heights[0])]):
            if h * sign >= 0:
                part.append(p)
            if h * k < 0:
                part.append(tuple(a + (b - a) * h / (h - k) for a, b in zip(p, q, strict=True)))
        if any(h * sign > 0 for h in heights):
            parts.append((part, above))
    return parts


def count_regions(layers, window, activation, *, skip=False):
    """Activation regions in a convex window of the plane, in rational arithmetic: regions are cut neuron by neuron, layer by layer.

    With `skip`, every layer sees the network's inputs after the outputs of the layer before.
    """
    thresholds, pieces = activation
    identity = [((1, 0), 0), ((0, 1), 0)]
    regions = [(window, identity)]
    for weights, biases in layers:
        found = []
        for polygon, inputs in regions:
            parts = [(polygon, [])]
            for row, bias in zip(weights, biases, strict=True):
                terms = list(zip(row, inputs, strict=True))
                normal = tuple(sum(w * n[axis] for w, (n, _) in terms) for axis in (0, 1))
                constant = bias + sum(w * c for w, (_, c) in terms)
                grown = []
                for part, outputs in parts:
                    slices = [(part, 0)]
                    for threshold in thresholds:
                        slices = [(p, i + up) for s, i in slices for p, up in cut(s, normal, threshold - constant)]
                    for side, interval in slices:
                        slope, intercept = pieces[interval]
                        output = tuple(slope * a for a in normal), slope * constant + intercept
                        grown.append((side, [*outputs, output]))
                parts = grown
            found += [(part, outputs + (identity if skip else [])) for part, outputs in parts]
        regions = found
    return len(regions)


def square(low, high):
    low, high = Fraction(low), Fraction(high)
    return [(low, low), (high, low), (high, high), (low, high)]


def random_layers(widths, n_in, generator):
    sizes = [n_in, *widths]
    return [
        (
            [[int(x) for x in row] for row in generator.integers(-9, 10, (n, m))],
            [Fraction(int(x), 7) for x in generator.integers(-30, 31, n)],
        )
        for m, n in pairwise(sizes)
    ]


def zigzag(n):
    """n ReLUs of x and their sum's weights, which fold [0, 1] onto itself n + 1 times: one of them looks left, so no piece is flat."""
    steep = Fraction(2 * n + 1, 2)
    slopes = [2 * steep, *((-1) ** i * steep for i in range(1, n + 1))]
    ends, at = [], Fraction(0)
    for slope in slopes[:-1]:
        at += 1 / abs(slope)
        ends.append(at)
    looks = [-1 if i == 2 else 1 for i in range(n)]
    jumps = [b - a for a, b in pairwise(slopes)]
    return looks, [-look * end for look, end in zip(looks, ends, strict=True)], jumps, -jumps[2] * ends[2]


def folding_layers(widths, last):
    """Layers that fold each axis of the unit square, half of a layer's neurons to an axis, and a last layer of given lines."""
    layers, combine, shift = [], [[1, 0], [0, 1]], [0, 0]
    for n in widths:
        looks, offsets, jumps, constant = zigzag(n)
        weights = [[look * x for x in combine[axis]] for axis in (0, 1) for look in looks]
        biases = [look * shift[axis] + offset for axis in (0, 1) for look, offset in zip(looks, offsets, strict=True)]
        layers.append((weights, biases))
        combine, shift = [[*jumps, *[0] * n], [*[0] * n, *jumps]], [constant, constant]
    normals, offsets = last
    weights = [
        [sum(a * row[i] for a, row in zip(normal, combine, strict=True)) for i in range(len(combine[0]))]
        for normal in normals
    ]
    biases = [
        sum(a * s for a, s in zip(normal, shift, strict=True)) - c for normal, c in zip(normals, offsets, strict=True)
    ]
    return [*layers, (weights, biases)]


@pytest.mark.parametrize(
    ("m", "d", "regions"),
    [(int(m), int(space[2:]), regions) for space in ("d=2", "d=3") for m, regions in ARRANGEMENTS[space].items()],
)
def test_an_arrangement_has_the_known_number_of_regions(m, d, regions):
    assert bounds.arrangement(m, d) == regions


@pytest.mark.parametrize(("m", "d"), [(m, d) for d in (1, 2, 3) for m in range(d, d + 4)])
def test_arrangement_counts_the_sign_vectors_of_hyperplanes_in_general_position(m, d):
    assert bounds.arrangement(m, d) == len(sign_vectors(*general_position(m, d)))


@pytest.mark.parametrize(("m", "d"), [(m, d) for d in (1, 2, 3) for m in range(d, d + 4)])
def test_central_and_bounded_counts_are_those_of_the_regions_that_reach_infinity_and_of_the_others(m, d):
    normals, offsets = general_position(m, d)
    # A region that reaches infinity goes on in a region of the hyperplanes moved to the origin; its rays stick out of a far facet.
    directions = set()
    for axis, sign in product(range(d), (-1, 1)):
        facet = [row[:axis] + row[axis + 1 :] for row in normals]
        if d == 1:
            directions.add(tuple(sign * row[0] > 0 for row in normals))
        else:
            directions |= sign_vectors(facet, [-sign * row[axis] for row in normals])
    regions = sign_vectors(normals, offsets)
    assert bounds.arrangement(m, d, central=True) == len(directions)
    assert bounds.arrangement(m, d, bounded=True) == len(regions - directions)
    assert bounds.arrangement(m, d, bounded=True, central=True) == 0


def test_no_hyperplane_leaves_one_unbounded_region():
    assert [bounds.arrangement(0, 3, **how) for how in ({}, {"central": True}, {"bounded": True})] == [1, 1, 0]


@pytest.mark.parametrize("case", ORACLES["upper_bounds"]["cases"], ids=lambda case: str(case["widths"]))
@pytest.mark.parametrize("bound", ["serra", "montufar"])
def test_upper_bounds_have_their_known_values(case, bound):
    assert bounds.upper(case["widths"], case["n_in"], bound=bound) == case[bound]


@given(shapes, dimensions)
def test_serra_is_the_sum_of_theorem_1_term_by_term(widths, n_in):
    assert bounds.upper(widths, n_in) == serra_term_by_term(widths, n_in)


@given(shapes, dimensions)
def test_upper_bounds_are_ordered_as_documented_and_above_every_lower_bound(widths, n_in):
    found = bounds.upper_bounds(widths, n_in)
    assert bounds.lower(widths, n_in) <= found.serra <= found.montufar <= found.layerwise <= found.patterns
    assert found.patterns == 2 ** sum(widths)


@given(st.integers(1, 12), dimensions)
def test_one_layer_has_one_bound_which_is_attained(width, n_in):
    found = bounds.upper_bounds([width], n_in)
    zaslavsky = bounds.arrangement(width, n_in)
    assert {found.serra, found.montufar, found.layerwise, found.zaslavsky, bounds.lower([width], n_in)} == {zaslavsky}


@given(shapes, dimensions, st.data())
def test_no_bound_falls_when_a_layer_or_the_input_grows(widths, n_in, data):
    layer = data.draw(st.integers(0, len(widths)))
    wider = [n + (i == layer) for i, n in enumerate(widths)]
    inputs = n_in + (layer == len(widths))
    before, after = bounds.upper_bounds(widths, n_in).by_name(), bounds.upper_bounds(wider, inputs).by_name()
    assert all(before[name] <= after[name] for name in before)
    assert bounds.lower(widths, n_in) <= bounds.lower(wider, inputs)


@given(shapes, st.integers(1, 6))
def test_more_inputs_than_neurons_in_the_first_layer_change_nothing(widths, more):
    assert bounds.upper(widths, widths[0] + more) == bounds.upper(widths, widths[0])


@settings(max_examples=40)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.integers(0, 2**32 - 1))
def test_no_relu_network_in_the_plane_exceeds_the_bounds(widths, seed):
    layers = random_layers(widths, 2, np.random.default_rng(seed))
    assert count_regions(layers, square(-50, 50), RELU) <= bounds.upper(widths, 2)


@settings(max_examples=25)
@given(
    st.lists(st.integers(1, 3), min_size=1, max_size=3), st.integers(0, 2**32 - 1), st.sampled_from([LEAKY_RELU, CLIP])
)
def test_no_other_piecewise_linear_network_exceeds_montufar(widths, seed, activation):
    layers = random_layers(widths, 2, np.random.default_rng(seed))
    most = bounds.upper(widths, 2, bound="montufar", breakpoints=len(activation[0]))
    assert count_regions(layers, square(-50, 50), activation) <= most


@pytest.mark.parametrize("k", [1, 2, 3])
def test_several_breakpoints_count_as_parallel_lines_in_general_position(k):
    normals = [(1, 0), (0, 1), (1, 1), (1, -2)]
    families = [(n, 1000 * i**2 + 7 * j) for i, n in enumerate(normals) for j in range(k)]
    regions = len(sign_vectors([n for n, _ in families], [c for _, c in families]))
    assert bounds.upper([4], 2, bound="zaslavsky", breakpoints=k) == regions
    assert bounds.upper([4], 2, bound="montufar", breakpoints=k) == regions


@given(shapes, dimensions, st.integers(2, 4))
def test_breakpoints_raise_every_bound_that_takes_them(widths, n_in, k):
    one, several = bounds.upper_bounds(widths, n_in), bounds.upper_bounds(widths, n_in, breakpoints=k)
    assert several.serra is None
    assert one.montufar < several.montufar <= several.layerwise <= several.patterns == (k + 1) ** sum(widths)


def test_a_skip_connection_can_exceed_montufar_but_not_the_layerwise_bound():
    layers = [([[1, 0]], [0]), ([[0, 1, 3], [0, -2, 1], [0, 1, -1]], [1, 2, -5])]
    regions = count_regions(layers, square(-100, 100), RELU, skip=True)
    assert bounds.upper([1, 3], 2, bound="montufar") < regions <= bounds.upper([1, 3], 2, bound="layerwise")


@pytest.mark.parametrize("widths", [[3], [3, 3], [4, 3, 5]])
def test_a_folding_network_of_one_input_attains_both_bounds(widths):
    looks, offsets, combine, shift = [1], [0], [1], Fraction(0)
    layers = []
    for n in widths:
        looks, offsets, jumps, constant = zigzag(n)
        weights = [[look * x for x in combine] for look in looks]
        layers.append((weights, [look * shift + offset for look, offset in zip(looks, offsets, strict=True)]))
        combine, shift = jumps, constant
    layers[0] = ([[*row, 0] for row in layers[0][0]], layers[0][1])
    regions = count_regions(layers, square(0, 1), RELU)
    assert regions == bounds.upper(widths, 1) == bounds.lower(widths, 1) == bounds.lower(widths, 1, bound="serra")


@pytest.mark.parametrize("per_axis", [[3], [4], [3, 3]])
def test_a_folding_network_of_two_inputs_has_as_many_regions_as_the_lower_bound(per_axis):
    lines = [(1, 1), (1, -1), (3, 1)], [Fraction(9, 10), Fraction(1, 10), Fraction(3, 2)]
    layers = folding_layers(per_axis, lines)
    widths = [2 * n for n in per_axis] + [3]
    assert count_regions(layers, square(0, 1), RELU) == bounds.lower(widths, 2)


@given(shapes, dimensions)
def test_the_tightest_lower_bound_is_above_those_of_the_papers(widths, n_in):
    for name, times in (("montufar", 1), ("serra", 3)):
        if min(widths) >= times * n_in:
            assert bounds.lower(widths, n_in, bound=name) <= bounds.lower(widths, n_in)


def test_lower_bounds_of_the_papers_are_their_formulas():
    assert bounds.lower([7, 9, 8], 2, bound="montufar") == (3 * 4) ** 2 * (1 + 8 + 28)
    assert bounds.lower([7, 9, 8], 2, bound="serra") == (4 * 5) ** 2 * (1 + 8 + 28)


@pytest.mark.parametrize(("width", "folds"), [(1, 1), (2, 2), (3, 4), (4, 5)])
def test_one_more_fold_than_neurons_needs_three_neurons(width, folds):
    assert bounds.lower([width, 9], 1) == folds * 10


def test_the_lower_bound_of_a_network_with_a_narrow_last_layer_is_not_below_its_first_layer_alone():
    assert bounds.lower([20, 1], 5) >= bounds.arrangement(20, 5)


@given(st.integers(1, 40), st.integers(1, 12), st.sampled_from([0.5, 1.0, 3.0]), st.sampled_from([1.0, 0.25]))
def test_hanin_rolnick_is_the_formula_of_theorem_5(n_neurons, n_in, T, volume):
    exact = volume * Fraction(T * n_neurons) ** n_in / math.factorial(n_in) if n_neurons >= n_in else 2**n_neurons
    assert bounds.hanin_rolnick(n_neurons, n_in, T=T, volume=volume) == pytest.approx(float(exact), rel=1e-14)
    logarithm = bounds.hanin_rolnick(n_neurons, n_in, T=T, volume=volume, log=True)
    assert logarithm == pytest.approx(math.log(exact), abs=1e-10)


def test_hanin_rolnick_cannot_be_asked_without_its_constant():
    with pytest.raises(TypeError, match="T"):
        bounds.hanin_rolnick(96, 2)


def test_a_value_beyond_floats_is_refused_and_has_a_logarithm():
    with pytest.raises(OverflowError, match="log=True"):
        bounds.hanin_rolnick(100_000, 784, T=1.0)
    assert bounds.hanin_rolnick(100_000, 784, T=1.0, log=True) > 710


def test_upper_bounds_print_a_number_of_any_size():
    found = bounds.upper_bounds([20_000] * 4, 3)
    assert "patterns" in str(found)
    assert "about" in repr(found)
    assert "[20000×4]" in repr(found)
    assert found.to_dict()["patterns"] == 2**80_000


def test_numpy_integers_do_not_overflow():
    widths = np.array([64, 64, 64], dtype=np.int8)
    assert bounds.upper(widths, np.int8(100)) == bounds.upper([64] * 3, 100)


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: bounds.upper([], 2), ValueError, "widths is empty"),
        (lambda: bounds.upper(16, 2), TypeError, r"widths=16 is a number; .*\[16\]"),
        (lambda: bounds.upper([4, 0], 2), ValueError, r"widths\[1\]=0"),
        (lambda: bounds.upper([4.0], 2), TypeError, r"widths\[0\]=4.0 is a float"),
        (lambda: bounds.upper([4], 0), ValueError, "n_in=0"),
        (lambda: bounds.upper([4], 2, bound="raghu"), ValueError, "'raghu' is not an upper bound; there are 'serra'"),
        (lambda: bounds.upper([4], 2, breakpoints=2), ValueError, "proved for ReLU.*bound='montufar'"),
        (lambda: bounds.upper([4, 4], 2, bound="zaslavsky"), ValueError, "2 hidden layers.*'layerwise'"),
        (lambda: bounds.lower([5, 6], 2, bound="serra"), ValueError, "at least 6 neurons.*bound='tightest'"),
        (lambda: bounds.lower([1, 6], 2, bound="montufar"), ValueError, "at least 2 neurons"),
        (lambda: bounds.lower([4], 2, bound="zaslavsky"), ValueError, "not a lower bound"),
        (lambda: bounds.arrangement(-1, 2), ValueError, "m=-1"),
        (lambda: bounds.arrangement(3, 0), ValueError, "d=0"),
        (lambda: bounds.hanin_rolnick(4, 2, T=0.0), ValueError, "T=0.0"),
        (lambda: bounds.hanin_rolnick(4, 2, T=1.0, volume=math.inf), ValueError, "volume=inf"),
    ],
)
def test_a_mistake_is_named(call, error, said):
    with pytest.raises(error, match=said):
        call()
