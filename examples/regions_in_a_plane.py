"""The activation regions of a small network in the plane through three handwritten digits, as a picture.

    python examples/regions_in_a_plane.py [--out regions_in_a_plane.png]

Trains a network of two hidden layers of 24 on scikit-learn's digits, which are embedded, and counts and draws its regions in the plane
through one digit each of three classes. A few seconds.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from actscope import regions
from actscope.training import MLP, fit, load_dataset
from actscope.training.recipes import named_recipe


def main() -> None:
    """Train, count, and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=Path("regions_in_a_plane.png"))
    arguments = parser.parse_args()
    train, test = load_dataset("digits")
    model = MLP(64, [24, 24], 10, init="he", seed=0)
    fit(model, train, recipe=named_recipe("he2021.appendix").replace(epochs=60), seed=0, progress=False)
    labels = torch.as_tensor(test.y)
    three = [torch.as_tensor(test.x)[labels == digit][0].flatten() for digit in (0, 3, 7)]
    plane = regions.plane(model, regions.Plane.through(*three), verify=True)
    print(plane)
    figure = Figure(figsize=(5.2, 5.0), layout="constrained")
    FigureCanvasAgg(figure)
    plane.plot(figure.add_subplot(), boundary=True)
    figure.savefig(arguments.out, dpi=110)


if __name__ == "__main__":
    main()
