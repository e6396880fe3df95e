"""What the paper claims about diameters, held against results."""

from __future__ import annotations

import numpy as np

from actscope.studies.claims import Claim, Finding, NotRun, trend, verdict
from actscope.studies.results import Results

__all__ = ["CLAIMS"]


def _median(
    results: Results, kind: str, epoch: int, metric: str = "median diameter", where: str = "true"
) -> np.ndarray:
    """One value for each network, in the order of width and seed."""
    return results.arrays(
        f"select value from results where metric = ? and data = ? and epoch = ? and ({where}) order by width, seed",
        [metric, kind, epoch],
    )["value"]


def _epochs(results: Results) -> list[int]:
    """When networks were measured."""
    return [int(epoch) for (epoch,) in results.query("select distinct epoch from results order by 1")]


def _h6(results: Results) -> Finding:
    """The average diameter falls with width."""
    last = _epochs(results)[-1]
    said, trends = [], []
    for metric in ("mean diameter in the box", "median diameter"):
        found = results.arrays(
            "select width, value, seed from results where metric = ? and data = 'test' and epoch = ? order by width",
            [metric, last],
        )
        trends.append(trend(found["width"], found["value"], found["seed"]))
        ends = [
            float(np.mean(found["value"][found["width"] == width]))
            for width in (found["width"].min(), found["width"].max())
        ]
        said.append(
            f"{metric} {ends[0]:.3g} at width {found['width'].min()} to {ends[1]:.3g} at {found['width'].max()}, {trends[-1]}"
        )
    return Finding(verdict(trends[0].falls), f"epoch {last}: " + "; ".join(said))


def _h7(results: Results) -> Finding:
    """Diameters of the data's regions concentrate as training goes on."""
    first, last = next(epoch for epoch in _epochs(results) if epoch > 0), _epochs(results)[-1]
    if first == last:
        raise NotRun("needs two epochs after the beginning")
    where = "width in (50, 60, 70)"
    wide = [
        _median(results, "test", epoch, "diameter quantile 0.75", where)
        - _median(results, "test", epoch, "diameter quantile 0.25", where)
        for epoch in (first, last)
    ]
    if not len(wide[0]):
        raise NotRun("widths 50, 60 and 70 were not measured")
    middle = [_median(results, "test", epoch, where=where) for epoch in (first, last)]
    ours = (
        f"widths 50, 60, 70, epoch {first} to {last}: interquartile range {wide[0].mean():.3g} to {wide[1].mean():.3g} (it fell in "
        f"{int((wide[1] < wide[0]).sum())} of {len(wide[0])} networks), median {middle[0].mean():.3g} to {middle[1].mean():.3g}; "
        f"range over median {np.mean(wide[0] / middle[0]):.3g} to {np.mean(wide[1] / middle[1]):.3g}"
    )
    return Finding(verdict(bool((wide[1] < wide[0]).mean() > 0.8)), ours)


def _h8(results: Results) -> Finding:
    """Diameters are smaller for true data than for random data."""
    last, where = _epochs(results)[-1], "width in (50, 60, 70)"
    true = _median(results, "test", last, where=where)
    said, holds = [f"test {true.mean():.3g}"], True
    if not len(true):
        raise NotRun("widths 50, 60 and 70 were not measured")
    for kind in ("unit ball", "random pixels"):
        other = _median(results, kind, last, where=where)
        said.append(f"{kind} {other.mean():.3g} (longer in {int((other > true).sum())} of {len(true)} networks)")
        holds &= bool((other > true).mean() > 0.8) or kind == "random pixels"
    why = (
        ""
        if holds
        else "it holds for random pixels, and not for the unit ball: the printed random data seem to be pixels, or the network to have "
        "batch normalization, as for redundancy (H10)"
    )
    return Finding(verdict(holds), f"median diameter at epoch {last}, widths 50, 60, 70: " + ", ".join(said), why)


def _h9(results: Results) -> Finding:
    """Regions at the data shrink through training while those far away hardly change."""
    said, change = [], {}
    before, first, last = _epochs(results)[0], _epochs(results)[1], _epochs(results)[-1]
    for kind in ("test", "unit ball", "random pixels"):
        at = [_median(results, kind, epoch, where="width >= 40") for epoch in (before, first, last)]
        # an untrained region may have no end: without biases all of them are cones
        bounded = np.isfinite(at[1]) & np.isfinite(at[2])
        if not bounded.any():
            raise NotRun("widths from 40 on were not measured")
        untrained, early, late = (values[bounded] for values in at)
        change[kind] = float(np.median(late / early))
        quartiles = np.quantile(late / early, [0.25, 0.75])
        said.append(
            f"{kind} × {change[kind]:.2f} (quartiles {quartiles[0]:.2f} to {quartiles[1]:.2f}), untrained median "
            f"{np.median(untrained):.3g}, at the end {np.median(late):.3g}"
        )
    shrinks = change["test"] < 0.9
    still = [
        kind for kind in ("unit ball", "random pixels") if abs(np.log(change[kind])) < 0.5 * abs(np.log(change["test"]))
    ]
    ours = f"median diameter from epoch {first} to {last}, widths from 40: " + "; ".join(said)
    why = (
        f"from epoch {first} on regions at the data shrink and those in {' and in '.join(still) or 'neither random set'} hardly "
        f"change, by less than half as much; from the untrained network to epoch {first} regions at the data grow, and those in the "
        "ball, which had no end without biases, get one"
    )
    return Finding(verdict(shrinks and len(still) == 2), ours, why)


def _h10(results: Results) -> Finding:
    """Redundancy on random data of the unit ball is over 0.8."""
    last = _epochs(results)[-1]
    found = {
        kind: _median(results, kind, last, "redundancy", "width in (40, 50, 60)")
        for kind in ("unit ball", "random pixels")
    }
    if not len(found["unit ball"]):
        raise NotRun("widths 40, 50 and 60 were not measured")
    ours = f"epoch {last}, widths 40, 50, 60, as many points as training examples: " + ", ".join(
        f"{kind} {values.mean():.3f} ({values.min():.3f} to {values.max():.3f})" for kind, values in found.items()
    )
    why = ""
    if found["unit ball"].mean() <= 0.8 < found["random pixels"].mean():
        why = (
            "points of the unit ball around the origin have entries of both signs and about 1/28 in size, so that patterns hardly repeat; "
            "the printed redundancy is that of random pixels between 0 and 1, whose mean decides most signs, or of the ball after training "
            "with batch normalization, as in their code (`he2021.time --recipe he2021.code`)"
        )
    return Finding(verdict(bool(found["unit ball"].mean() > 0.8)), ours, why)


def _h11(results: Results) -> Finding:
    """The diameter differs widely from the distance to the boundary, which it exceeds."""
    last = _epochs(results)[-1]
    ratio, least, rank = (
        _median(results, "test", last, name)
        for name in (
            "median diameter over distance",
            "least diameter over distance",
            "rank correlation of diameter and distance",
        )
    )
    bounded = ratio[np.isfinite(ratio)]
    ours = (
        f"epoch {last}: diameter over distance, median of examples {np.median(bounded):.3g} (over networks {bounded.min():.3g} to "
        f"{bounded.max():.3g}), least {least.min():.3g}; rank correlation {np.nanmean(rank):+.2f}"
    )
    holds = bool(least.min() >= 2 - 1e-6 and np.median(bounded) > 4)
    return Finding(verdict(holds), ours, "a diameter is never below twice the distance")


CLAIMS = tuple(
    Claim(name, check, ("mnist",))
    for name, check in (("H6", _h6), ("H7", _h7), ("H8", _h8), ("H9", _h9), ("H10", _h10), ("H11", _h11))
)
"""All of them."""
