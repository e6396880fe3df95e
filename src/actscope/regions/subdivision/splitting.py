"""Compiled loops that split convex polygons of a plane by the zero lines of functions that are affine on each of them.

Polygons are lists of points, in order around them; points are numbered, and a point between two others is made once, for all polygons
that meet there. A function is a value minus a level, or the difference of two values: `functions` (n, 3) int64 has the value, the
second value or -1, and the level's number. On each edge functions cut in ascending order of their numbers, whichever polygon comes
first, so that both polygons of an edge name its points alike.
"""

from __future__ import annotations

import numpy as np

from actscope.codes.compiling import compiled

__all__ = ["MOST_FUNCTIONS", "point_keys", "split_polygons"]

MOST_FUNCTIONS = 62
"""Functions that split one polygon in one call: a bit of an integer each."""


@compiled
def _grown(array, room):
    larger = np.zeros(room, dtype=array.dtype)
    larger[: len(array)] = array
    return larger


@compiled
def _place_of(table, u, v, f, size):
    """Where in the table the point between u and v on function f is, or would be."""
    h = (u * 0x9E3779B97F4A7C1 + v * 0x2545F4914F6CDD1D + f * 0x165667B19E3779F9) & 0x7FFFFFFFFFFFFFFF
    h ^= h >> 31
    h = (h * 0x27D4EB2F165667C5) & 0x7FFFFFFFFFFFFFFF
    place = (h ^ (h >> 29)) & (size - 1)
    while table[place, 3] >= 0 and not (table[place, 0] == u and table[place, 1] == v and table[place, 2] == f):
        place = (place + 1) & (size - 1)
    return place


@compiled
def split_polygons(
    z,
    weights,
    levels,
    rows,
    columns,
    corners,
    offsets,
    starts,
    functions,
    n_values,
    table,
    n_in_table,
    first_new,
    most_polygons,
):
    """Split each polygon by its functions.

    Args:
        z: (n_points, n_values); weights, rows: (n_points,); levels: (n_levels,); columns: (n_values,) with the tolerance worked in.
        corners, offsets: the polygons. starts, functions: their functions, no more than `MOST_FUNCTIONS` for each.
        table: (power of two, 4) int64, -1 where free: the points made at this stop before, by their parents and function.
        n_in_table: how many there are.
        first_new: the number that the next new point gets (points made before at this stop are in `z` already).
        most_polygons: beyond so many, what is left stays as it is.

    Returns:
        parents (n_new, 2), factors (n_new, 2), made_by (n_new,) the function's number, new weights (n_new,); corners, offsets and the
        parent of each polygon now; the table, how many it holds, whether the limit was met, and how often a cut went
        through a corner that was there.
    """
    n_new = 0
    parents = np.zeros((1024, 2), dtype=np.int64)
    factors = np.zeros((1024, 2))
    made_by = np.zeros(1024, dtype=np.int64)
    new_weights = np.zeros(1024)
    out_corners = np.zeros(len(corners) * 2 + 1024, dtype=np.int64)
    out_offsets = np.zeros(len(offsets) * 2 + 1024, dtype=np.int64)
    out_parents = np.zeros(len(offsets) * 2 + 1024, dtype=np.int64)
    n_out, n_corners, n_ties = 0, 0, 0
    size = len(table)
    limited = False

    local_values = np.zeros((64, MOST_FUNCTIONS))
    local_rows = np.zeros(64)
    local_weights = np.zeros(64)
    local_number = np.zeros(64, dtype=np.int64)
    local_above = np.zeros(64, dtype=np.int64)
    local_below = np.zeros(64, dtype=np.int64)
    seen_by = np.full(first_new + 1024, -1, dtype=np.int64)
    seen_as = np.zeros(first_new + 1024, dtype=np.int64)
    stack = np.zeros(1024, dtype=np.int64)
    stack_starts = np.zeros(256, dtype=np.int64)
    limits = np.zeros(MOST_FUNCTIONS)
    numbers = np.zeros(MOST_FUNCTIONS, dtype=np.int64)
    polygon = np.zeros(256, dtype=np.int64)

    for p in range(len(offsets) - 1):
        m = starts[p + 1] - starts[p]
        n_here = offsets[p + 1] - offsets[p]
        if m == 0 or limited:
            if n_corners + n_here > len(out_corners):
                out_corners = _grown(out_corners, 2 * (n_corners + n_here))
            if n_out + 2 > len(out_offsets):
                out_offsets = _grown(out_offsets, 2 * len(out_offsets))
                out_parents = _grown(out_parents, 2 * len(out_parents))
            for q in range(n_here):
                out_corners[n_corners + q] = corners[offsets[p] + q]
            n_corners += n_here
            out_parents[n_out] = p
            n_out += 1
            out_offsets[n_out] = n_corners
            continue

        for c in range(m):
            a, b, k = functions[starts[p] + c, 0], functions[starts[p] + c, 1], functions[starts[p] + c, 2]
            limits[c] = columns[a] if b < 0 else max(columns[a], columns[b])
            numbers[c] = k * n_values + a if b < 0 else (a + 1) * n_values + b

        # the corners of the polygon, with what the functions are there
        n_local = n_here
        while n_local + 8 > len(local_rows):
            room = 2 * len(local_rows)
            values = np.zeros((room, MOST_FUNCTIONS))
            values[: len(local_rows)] = local_values
            local_values = values
            local_rows, local_weights = _grown(local_rows, room), _grown(local_weights, room)
            local_number = _grown(local_number, room)
            local_above, local_below = _grown(local_above, room), _grown(local_below, room)
        for q in range(n_here):
            v = corners[offsets[p] + q]
            local_number[q], local_rows[q], local_weights[q] = v, rows[v], weights[v]
            above, below = 0, 0
            for c in range(m):
                a, b, k = functions[starts[p] + c, 0], functions[starts[p] + c, 1], functions[starts[p] + c, 2]
                value = z[v, a] - levels[k] * weights[v] if b < 0 else z[v, a] - z[v, b]
                local_values[q, c] = value
                limit = rows[v] * limits[c]
                if value > limit:
                    above |= 1 << c
                elif value < -limit:
                    below |= 1 << c
            local_above[q], local_below[q] = above, below
            seen_by[v], seen_as[v] = p, q

        depth = 1
        stack_starts[0], stack_starts[1] = 0, n_here
        while n_here > len(stack):
            stack = _grown(stack, 2 * len(stack))
        for q in range(n_here):
            stack[q] = q
        while depth > 0:
            low, high = stack_starts[depth - 1], stack_starts[depth]
            n_sides = high - low
            if n_sides > len(polygon):
                polygon = np.zeros(2 * n_sides, dtype=np.int64)
            above, below = 0, 0
            for q in range(n_sides):
                polygon[q] = stack[low + q]
                above |= local_above[polygon[q]]
                below |= local_below[polygon[q]]
            depth -= 1
            cutting = above & below
            if cutting == 0 or limited:
                if n_corners + n_sides > len(out_corners):
                    out_corners = _grown(out_corners, 2 * (n_corners + n_sides))
                if n_out + 2 > len(out_offsets):
                    out_offsets = _grown(out_offsets, 2 * len(out_offsets))
                    out_parents = _grown(out_parents, 2 * len(out_parents))
                for q in range(n_sides):
                    out_corners[n_corners + q] = local_number[polygon[q]]
                n_corners += n_sides
                out_parents[n_out] = p
                n_out += 1
                out_offsets[n_out] = n_corners
                continue
            if n_out + depth + 2 + (len(offsets) - 2 - p) > most_polygons:
                limited = True
                depth += 1
                continue
            c = 0
            while not (cutting >> c) & 1:
                c += 1
            bit = 1 << c
            # the run of corners below zero
            first = 0
            while not (
                local_below[polygon[first]] & bit
                and not local_below[polygon[first - 1 if first else n_sides - 1]] & bit
            ):
                first += 1
            n_below = 0
            while local_below[polygon[(first + n_below) % n_sides]] & bit:
                n_below += 1
            ends = (-1, -1)
            for side in range(2):
                inside = polygon[first] if side == 0 else polygon[(first + n_below - 1) % n_sides]
                outside = (
                    polygon[(first - 1 + n_sides) % n_sides] if side == 0 else polygon[(first + n_below) % n_sides]
                )
                if not local_above[outside] & bit:
                    found = outside  # the line goes through a corner
                    n_ties += 1
                else:
                    u, v = local_number[inside], local_number[outside]
                    lower, upper = min(u, v), max(u, v)
                    place = _place_of(table, lower, upper, numbers[c], size)
                    fu, fv = abs(local_values[outside, c]), abs(local_values[inside, c])
                    total = fu * local_weights[inside] + fv * local_weights[outside]
                    weight = 1.0
                    if total == 0.0:
                        total, weight = fu + fv, 0.0
                    fu, fv = fu / total, fv / total
                    if table[place, 3] < 0:
                        if n_new == len(made_by):
                            room = 2 * n_new
                            more_parents, more_factors = np.zeros((room, 2), dtype=np.int64), np.zeros((room, 2))
                            more_parents[:n_new], more_factors[:n_new] = parents, factors
                            parents, factors = more_parents, more_factors
                            made_by, new_weights = _grown(made_by, room), _grown(new_weights, room)
                        parents[n_new, 0], parents[n_new, 1] = u, v
                        factors[n_new, 0], factors[n_new, 1] = fu, fv
                        made_by[n_new], new_weights[n_new] = numbers[c], weight
                        table[place, 0], table[place, 1], table[place, 2] = lower, upper, numbers[c]
                        table[place, 3] = first_new + n_new
                        n_new += 1
                        n_in_table += 1
                    number = table[place, 3]
                    if 2 * n_in_table > size:
                        bigger = np.full((2 * size, 4), -1, dtype=np.int64)
                        for old in range(size):
                            if table[old, 3] >= 0:
                                to = _place_of(bigger, table[old, 0], table[old, 1], table[old, 2], 2 * size)
                                bigger[to] = table[old]
                        table, size = bigger, 2 * size
                    if number >= len(seen_by):
                        room = 2 * (number + 1)
                        more_seen = np.full(room, -1, dtype=np.int64)
                        more_seen[: len(seen_by)] = seen_by
                        seen_by, seen_as = more_seen, _grown(seen_as, room)
                    if seen_by[number] == p:
                        found = seen_as[number]
                    else:
                        if n_local == len(local_rows):
                            room = 2 * n_local
                            values = np.zeros((room, MOST_FUNCTIONS))
                            values[:n_local] = local_values
                            local_values = values
                            local_rows, local_weights = _grown(local_rows, room), _grown(local_weights, room)
                            local_number = _grown(local_number, room)
                            local_above, local_below = _grown(local_above, room), _grown(local_below, room)
                        found = n_local
                        n_local += 1
                        seen_by[number], seen_as[number] = p, found
                        local_number[found] = number
                        local_weights[found] = weight
                        local_rows[found] = fu * local_rows[inside] + fv * local_rows[outside]
                        is_above, is_below = 0, 0
                        for d in range(m):
                            if d == c:
                                local_values[found, d] = 0.0
                                continue
                            value = fu * local_values[inside, d] + fv * local_values[outside, d]
                            local_values[found, d] = value
                            limit = local_rows[found] * limits[d]
                            if value > limit:
                                is_above |= 1 << d
                            elif value < -limit:
                                is_below |= 1 << d
                        local_above[found], local_below[found] = is_above, is_below
                ends = (found, ends[1]) if side == 0 else (ends[0], found)
            entry, leave = ends
            while low + 2 * n_sides + 8 > len(stack):
                stack = _grown(stack, 2 * len(stack))
            if depth + 4 > len(stack_starts):
                stack_starts = _grown(stack_starts, 2 * len(stack_starts))
            # below: entry, the run, leave
            top = low
            stack[top] = entry
            top += 1
            for q in range(n_below):
                stack[top] = polygon[(first + q) % n_sides]
                top += 1
            stack[top] = leave
            top += 1
            depth += 1
            stack_starts[depth] = top
            # above: leave, the others, entry
            stack[top] = leave
            top += 1
            for q in range(n_sides - n_below):
                corner = polygon[(first + n_below + q) % n_sides]
                if corner != leave and corner != entry:
                    stack[top] = corner
                    top += 1
            stack[top] = entry
            top += 1
            depth += 1
            stack_starts[depth] = top
    return (
        parents[:n_new],
        factors[:n_new],
        made_by[:n_new],
        new_weights[:n_new],
        out_corners[:n_corners],
        out_offsets[: n_out + 1],
        out_parents[:n_out],
        table,
        n_in_table,
        limited,
        n_ties,
    )


@compiled
def point_keys(keys, first_new, parents, made_by, stop):
    """Fill `keys` from `first_new` on: a number for each new point that depends on its parents' and its function alone."""
    for i in range(len(parents)):
        a, b = keys[parents[i, 0]], keys[parents[i, 1]]
        low, high = min(a, b), max(a, b)
        h = (
            low * 0x9E3779B97F4A7C1 + high * 0x2545F4914F6CDD1D + (made_by[i] * 1024 + stop + 1) * 0x165667B19E3779F9
        ) & 0x7FFFFFFFFFFFFFFF
        h ^= h >> 32
        h = (h * 0x27D4EB2F165667C5) & 0x7FFFFFFFFFFFFFFF
        keys[first_new + i] = h ^ (h >> 29)
