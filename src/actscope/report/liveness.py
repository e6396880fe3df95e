"""Which neurons never change over the examples seen, and what that means where the activation's slope is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actscope.codes.bits import unpack_bits
from actscope.codes.site import Site
from actscope.codes.table import Codes

__all__ = ["SiteLiveness", "site_liveness"]


@dataclass(frozen=True, eq=False, repr=False)
class SiteLiveness:
    """How the neurons of one site behave over the examples seen.

    A neuron is *constant* if it stays in one interval for every example, *dead* if on that interval the post-activation is one constant
    (slope 0: ReLU off, ReLU6 above 6), *always on* if there it passes its input on (slope 1). Smooth activations have constant
    neurons only.

    Attributes:
        site: the site.
        n_examples: how many examples were seen.
        interval: (n_neurons,) int16, the interval that a constant neuron stays in; -1 for one that varies.
    """

    site: Site
    n_examples: int
    interval: NDArray[np.int16]

    @property
    def constant(self) -> NDArray[np.bool_]:
        """(n_neurons,) bool: same interval for every example; dead and always-on neurons are among them."""
        return self.interval >= 0

    @property
    def dead(self) -> NDArray[np.bool_]:
        """(n_neurons,) bool: same post-activation for every example."""
        return np.isin(self.interval, self.site.dead_intervals)

    @property
    def always_on(self) -> NDArray[np.bool_]:
        """(n_neurons,) bool: the input passes unchanged for every example."""
        return np.isin(self.interval, self.site.linear_intervals)

    @property
    def constant_share(self) -> float:
        """Share of the site's neurons that are constant."""
        return _share(self.constant)

    @property
    def dead_share(self) -> float:
        """Share of the site's neurons that are dead."""
        return _share(self.dead)

    @property
    def always_on_share(self) -> float:
        """Share of the site's neurons that are always on."""
        return _share(self.always_on)

    def __repr__(self) -> str:
        return (
            f"SiteLiveness({self.site.name}: {int(self.dead.sum())} dead, {int(self.always_on.sum())} always on, "
            f"{int(self.constant.sum())} constant of {self.site.n_neurons} neurons over {self.n_examples} examples)"
        )

    def to_dict(self) -> dict[str, Any]:
        """Counts and shares as plain values."""
        return {
            "site": self.site.name,
            "n_examples": self.n_examples,
            "n_neurons": self.site.n_neurons,
            "n_dead": int(self.dead.sum()),
            "n_always_on": int(self.always_on.sum()),
            "n_constant": int(self.constant.sum()),
            "dead_share": self.dead_share,
            "always_on_share": self.always_on_share,
            "constant_share": self.constant_share,
        }


def site_liveness(codes: Codes) -> tuple[SiteLiveness, ...]:
    """How the neurons of each site behave over all examples of `codes`.

    Plane i of a site holds [z > γi], so the AND of all rows counts up to a neuron's lowest interval and the OR to its highest;
    it is constant where the two agree. Nothing is unpacked but these two rows.

    Raises:
        ValueError: if there is no example.

    Example:
        >>> codes = Codes.from_bits([[0, 1, 0], [0, 1, 1]])
        >>> site_liveness(codes)
        (SiteLiveness(bits: 1 dead, 1 always on, 2 constant of 3 neurons over 2 examples),)
    """
    if not len(codes):
        raise ValueError("whether a neuron ever changes is a question about examples, and these codes hold none")
    return tuple(_of_site(codes, site) for site in codes.sites)


def _of_site(codes: Codes, site: Site) -> SiteLiveness:
    packed = codes.site_packed(site)
    lowest = _intervals(np.bitwise_and.reduce(packed, axis=0), site)
    highest = _intervals(np.bitwise_or.reduce(packed, axis=0), site)
    return SiteLiveness(site, len(codes), np.where(lowest == highest, lowest, -1).astype(np.int16))


def _intervals(row: NDArray[np.uint8], site: Site) -> NDArray[np.int16]:
    planes = row.reshape(site.n_planes, site.bytes_per_plane)
    bits: NDArray[np.bool_] = unpack_bits(planes, site.n_neurons)
    intervals: NDArray[np.int16] = bits.sum(axis=0, dtype=np.int16)
    return intervals


def _share(mask: NDArray[np.bool_]) -> float:
    return float(mask.mean()) if mask.size else 0.0
