"""Figure 3 of He et al. (2021) at epoch 10: one hidden layer on MNIST, five seeds, beside the printed values.

    python examples/mnist_against_the_paper.py DIR [--width 50] [--epochs 10] [--seeds 5]

DIR holds MNIST's four IDX files, or a folder mnist/ with them. About three minutes on two cores.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Literal

import actscope
from actscope import hashing
from actscope.training import MLP, evaluate, fit, load_dataset
from actscope.training.recipes import named_recipe

# He et al. 2021, Figure 3, MNIST, width 50: K-Means, K-NN and logistic regression on test codes at epoch 10
PRINTED = {"K-NN": 0.903, "logistic regression": 0.884, "K-Means (purity)": 0.624}


STARTS = 10
"""K-Means ends where its random start leads: a standard deviation of 0.02 on one network, so several starts are averaged."""


def kmeans_mean(codes: actscope.Codes, matching: Literal["purity", "hungarian"]) -> float:
    """Mean accuracy of K-Means over `STARTS` random starts."""
    return statistics.mean(
        float(hashing.kmeans_accuracy(codes, seed=start, matching=matching)) for start in range(STARTS)
    )


def main() -> None:
    """Train, encode, measure, and print one table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--width", type=int, default=50)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()

    train, test = load_dataset("mnist", data_dir=arguments.data_dir)
    recipe = named_recipe("he2021.appendix").replace(epochs=arguments.epochs)
    results: dict[str, list[float]] = {}
    for seed in range(arguments.seeds):
        model = MLP(784, [arguments.width], 10, seed=seed)
        fit(model, train, recipe=recipe, seed=seed)
        train_codes, test_codes = (actscope.encode(model, data, split=data.split) for data in (train, test))
        for name, value in {
            "the network itself": evaluate(model, test).accuracy,
            "K-NN": hashing.knn_accuracy(train_codes, test_codes),
            "logistic regression": hashing.logistic_accuracy(train_codes, test_codes),
            "K-Means (purity)": kmeans_mean(test_codes, "purity"),
            "K-Means (Hungarian)": kmeans_mean(test_codes, "hungarian"),
            "redundancy, train": hashing.redundancy_ratio(train_codes),
            "redundancy, test": hashing.redundancy_ratio(test_codes),
        }.items():
            results.setdefault(name, []).append(float(value))
        print(f"seed {seed} done", flush=True)

    print(
        f"\n| on codes, width {arguments.width}, epoch {arguments.epochs} "
        f"| mean of {arguments.seeds} seeds | standard deviation | printed |"
    )
    print("| --- | --- | --- | --- |")
    for name, values in results.items():
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        printed = f"{PRINTED[name]:.3f}" if name in PRINTED and (arguments.width, arguments.epochs) == (50, 10) else ""
        print(f"| {name} | {statistics.mean(values):.3f} | {spread:.3f} | {printed} |")


if __name__ == "__main__":
    main()
