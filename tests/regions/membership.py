"""Which points share a cell, by the values of forward passes alone."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actscope.regions.programs.linearization import Linearizer


def in_cells_of(linearizer: Linearizer, points: Tensor, others: Tensor) -> NDArray[np.bool_]:
    """(n,) whether each of `others` lies in the cell of its own one of `points`, (n, …) both.

    An entry that a choice takes at the point may be as large as another by rounding alone: it is still the largest if nothing exceeds
    it by more than that.
    """
    same = torch.ones(len(others), dtype=torch.bool)
    for here, there in zip(linearizer.at(points).stops, linearizer.at(others).stops, strict=True):
        if here.chosen is None:
            for level in here.step.levels:
                same &= ((here.z > level) == (there.z > level)).all(dim=1)
            continue
        windows = here.step.windows
        own = windows[torch.arange(len(windows)), here.chosen]
        scale = there.z[torch.isfinite(there.z)].abs().max()
        largest = there.z.gather(1, windows[torch.arange(len(windows)), there.chosen])
        same &= (largest - there.z.gather(1, own) <= 1e-13 * scale).all(dim=1)
    return same.numpy()
