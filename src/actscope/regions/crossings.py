"""Where lines first leave their regions: at each stop, the neuron or the pair of entries that is reached first, ahead and behind.

A neuron with value z and slope ż along a line reaches level γ at t = (γ - z) / ż. Its rate 1/t = ż / (γ - z) is positive ahead and
negative behind, and zero for a level that is never reached, so that the first crossings on both sides are the largest and the smallest
rate. A point that lies on the level itself has rate ±∞: it leaves its interval at once on the side on which the value rises.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actscope.codes.threads import spread
from actscope.regions.boundaries import NEGLIGIBLE
from actscope.regions.programs.linearization import Stop
from actscope.regions.programs.program import ChoiceStep, SiteStep

__all__ = ["Crossings"]

_VALUES_WORTH_A_THREAD = 1 << 18


class Crossings:
    """The first crossing on both sides of each line so far, stop by stop.

    Attributes:
        rates: (n, k, 2) float64: 1/t of the first crossing ahead and behind; 0 if there is none.
        numbers: (n, k, 2) int64: which boundary it is; -1 if there is none.
    """

    def __init__(self, rates: NDArray[np.float64], numbers: NDArray[np.int64]) -> None:
        self.rates = rates
        self.numbers = numbers

    @classmethod
    def none(cls, n: int, k: int) -> Crossings:
        """No crossing yet on k lines through each of n points."""
        return cls(np.zeros((n, k, 2)), np.full((n, k, 2), -1, dtype=np.int64))

    def __getitem__(self, part: tuple[slice, slice]) -> Crossings:
        """Those of some points and lines, as views."""
        return Crossings(self.rates[part], self.numbers[part])

    def take(self, stop: Stop, dz: Tensor, offset: int) -> None:
        """Take the crossings at one stop into account.

        Args:
            stop: values of n points.
            dz: (n, k, n_values) their slopes along k lines each.
            offset: the number of the stop's first boundary.
        """
        if dz.device.type == "cpu":
            self._compiled(stop, dz, offset)
        else:
            self.take_with_torch(stop, dz, offset)

    def distances(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(n, k) the distance to the first crossing ahead, and behind; infinite where there is none."""
        with np.errstate(divide="ignore"):
            t = 1.0 / self.rates
        return t[..., 0], t[..., 1]

    def _compiled(self, stop: Stop, dz: Tensor, offset: int) -> None:
        from actscope.regions.crossingscans import cross_choices, cross_levels

        z, slopes = stop.z.contiguous().numpy(), dz.contiguous().numpy()
        rates, numbers = self.rates, self.numbers
        if stop.chosen is None:
            levels = np.asarray(_site(stop).levels)

            def work(first: int, last: int) -> None:
                cross_levels(z, slopes, levels, offset, NEGLIGIBLE, rates, numbers, first, last)
        else:
            windows, chosen = _choice(stop).windows.cpu().numpy(), stop.chosen.numpy()

            def work(first: int, last: int) -> None:
                cross_choices(z, slopes, windows, chosen, offset, NEGLIGIBLE, rates, numbers, first, last)

        spread(work, len(z), at_least=_VALUES_WORTH_A_THREAD // max(1, slopes[0].size) + 1)

    def take_with_torch(self, stop: Stop, dz: Tensor, offset: int) -> None:
        """The same as `take`, on any device."""
        negligible = NEGLIGIBLE * dz.abs().amax(dim=2, keepdim=True)
        if stop.chosen is None:
            levels = _site(stop).levels
            for i, level in enumerate(levels):
                numbers = offset + torch.arange(dz.shape[2], device=dz.device) * len(levels) + i
                self._keep(dz, (level - stop.z)[:, None], negligible, numbers.expand_as(dz))
            return
        windows = _choice(stop).windows.to(dz.device)
        width = windows.shape[1]
        outputs = torch.arange(len(windows), device=dz.device)
        winner = windows[outputs, stop.chosen]
        value, slope = stop.z.gather(1, winner), dz.gather(2, winner[:, None].expand(-1, dz.shape[1], -1))
        for column in range(width):
            entries = windows[:, column].clamp(min=0)
            counts = (windows[:, column] >= 0) & (stop.chosen != column)
            rise = (dz[:, :, entries] - slope).masked_fill(~counts[:, None], 0.0)
            numbers = offset + (outputs * width + stop.chosen) * width + column
            self._keep(rise, (value - stop.z[:, entries])[:, None], negligible, numbers[:, None].expand_as(rise))

    def _keep(self, rise: Tensor, gap: Tensor, negligible: Tensor, numbers: Tensor) -> None:
        rates = torch.where(rise.abs() <= negligible, 0.0, rise / gap)
        for side, signed in enumerate((rates, -rates)):
            most, where = signed.max(dim=2, keepdim=True)
            found, number = most[..., 0].cpu().numpy(), numbers.gather(2, where)[..., 0].cpu().numpy()
            better = found > self.rates[..., side]
            self.rates[..., side][better] = found[better]
            self.numbers[..., side][better] = number[better]


def _site(stop: Stop) -> SiteStep:
    if not isinstance(stop.step, SiteStep):
        raise TypeError(f"{stop.step.name} is no site")
    return stop.step


def _choice(stop: Stop) -> ChoiceStep:
    if not isinstance(stop.step, ChoiceStep):
        raise TypeError(f"{stop.step.name} is no choice")
    return stop.step
