"""Well-known data sets by name: from a folder of yours, else a cache, else a download."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import torch

from actscope.training.data import LabelledData
from actscope.training.sources import SOURCES, load_source

__all__ = ["DATASETS", "digits", "load_dataset"]

DATASETS = ("digits", *SOURCES)


def load_dataset(
    name: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    download: bool = True,
    verify: bool = True,
    progress: bool = False,
) -> tuple[LabelledData, LabelledData]:
    """The training and the test split of a well-known data set, pixels in [0, 1], in published order.

    | name | examples | x | files |
    | --- | --- | --- | --- |
    | `digits` | 1,438 + 359 | 1×8×8 | none: it comes with scikit-learn; split as `digits()` does |
    | `mnist` | 60,000 + 10,000 | 1×28×28 | IDX, gzip or not |
    | `fashion-mnist` | 60,000 + 10,000 | 1×28×28 | IDX, gzip or not |
    | `cifar10` | 50,000 + 10,000 | 3×32×32 | binary or Python batches, in their archive or not; Parquet of encoded images |

    Files are looked for in `data_dir` and the folders in it that are usual for the data set (`data_dir/mnist`,
    `data_dir/MNIST/raw`), then in the cache, then on the mirrors.

    Args:
        name: one of `DATASETS`.
        data_dir: a folder that may hold the files.
        download: whether files that are in neither place may be fetched into the cache.
        verify: whether files in `data_dir` must be the published ones: checksums where they are known, and numbers of examples.
            Without it, any well-formed files are taken, and the data's note says so.
        progress: whether to show a download's progress on stderr.

    Raises:
        ValueError: no data set of that name.
        FileNotFoundError: `data_dir` does not exist, holds only some of the files, or nothing is found and nothing may be fetched.
        DataFileError: a file is cut short, damaged, of another kind or, with `verify`, not the published one.
        DownloadError: no mirror gave a file.

    Example:
        >>> train, test = load_dataset("digits")
        >>> train
        LabelledData('digits' train, 1438 examples of 1×8×8, 10 classes)
    """
    if name == "digits":
        return digits()
    if name not in SOURCES:
        raise ValueError(f"name='{name}' is no data set; choose one of {', '.join(DATASETS)}")
    import pooch

    return load_source(
        SOURCES[name],
        data_dir=data_dir,
        cache=Path(pooch.os_cache("actscope")),
        download=download,
        verify=verify,
        progress=progress,
    )


def digits(*, seed: int = 0, test_fraction: float = 0.2) -> tuple[LabelledData, LabelledData]:
    """A training and a test split of scikit-learn's 1,797 handwritten digits of 8×8 pixels, drawn per class by `seed`.

    Raises:
        ValueError: `test_fraction` leaves one of them empty.

    Example:
        >>> train, test = digits(test_fraction=0.5)
        >>> len(train), len(test)
        (899, 898)
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    x = torch.from_numpy(bunch.images).float().div_(16)[:, None]
    whole = LabelledData(x, torch.from_numpy(bunch.target), name="digits", classes=[str(i) for i in range(10)])
    n_test = round(test_fraction * len(whole))
    if not 0 < n_test < len(whole):
        raise ValueError(
            f"test_fraction={test_fraction} leaves no examples for {'testing' if n_test <= 0 else 'training'}"
        )
    is_test = torch.zeros(len(whole), dtype=torch.bool)
    is_test[whole.subset(n_test, seed=seed, stratified=True).ids] = True
    return (
        dataclasses.replace(whole.take(~is_test), split="train"),
        dataclasses.replace(whole.take(is_test), split="test"),
    )
