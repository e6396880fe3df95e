"""Everything at once: a model and its data in, a report out."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader

from actscope.codes.batches import Adapt, Ids
from actscope.codes.breakpoints import Breakpoints
from actscope.codes.discovery import Activations
from actscope.codes.encoding import encode
from actscope.codes.reading import ExampleDim, Pool
from actscope.codes.selection import Layers
from actscope.codes.table import Codes
from actscope.figures.labels import counted
from actscope.hashing.subsampling import Rarefaction, rarefaction
from actscope.progress import progress_bar
from actscope.report.bit_matrix import BitMatrix, sample_bit_matrix
from actscope.report.categorizing import categorize
from actscope.report.code_map import CodeMap, map_codes
from actscope.report.findings import Categorization, SplitFindings, findings_of
from actscope.report.judgement import Judgement
from actscope.report.output_accuracy import OutputAccuracy
from actscope.report.thumbnails import example_pictures
from actscope.report.unavailable import Unavailable, attempt
from actscope.report.verdict import verdict_of
from actscope.report.writing import write_whole

if TYPE_CHECKING:
    from actscope.neurons import SimilarityMeans, Vitals

__all__ = ["Report", "examine", "report_on_codes"]

_PICTURES_PER_GROUP = 10


@dataclass(frozen=True, eq=False, repr=False)
class Report:
    """What the activation patterns of one model say on one data set. `print` gives a summary, `save` a page.

    Attributes:
        title: heading of the page.
        model: what was examined, in words; empty if only codes were given.
        train: what the training codes say; `test` the same for the test codes, or `None`.
        rarefaction: expected redundancy of subsets of the training examples.
        categorization: accuracy of each method that sees only codes.
        code_map: a t-SNE map of the test codes, or of the training codes without a test set.
        bit_matrix: a sample of the training codes to look at.
        similarity: mean pattern similarity of the training codes, in all, within and between classes, and by site.
        vitals: what each neuron does on the training examples, and what is wrong with whom; channels count as one.
        verdict: questions and answers in plain words, by the rules in `actscope.report.judgement`.
        class_names: by label, where names are known.
        pictures: by id, (height, width) or (height, width, 3) uint8, of training examples in the fullest regions.
        seed: of every draw.
        versions: of the programs that took part.
    """

    title: str
    model: str
    train: SplitFindings
    test: SplitFindings | None
    rarefaction: Rarefaction | Unavailable
    categorization: tuple[Categorization, ...]
    code_map: CodeMap | Unavailable
    bit_matrix: BitMatrix | Unavailable
    similarity: SimilarityMeans | Unavailable
    vitals: Vitals | Unavailable
    verdict: tuple[Judgement, ...]
    class_names: Mapping[int, str]
    pictures: Mapping[Any, NDArray[np.uint8]]
    seed: int
    versions: Mapping[str, str]

    def __str__(self) -> str:
        from actscope.report.summary import summary

        return summary(self)

    def __repr__(self) -> str:
        examples = [counted(len(self.train.codes), "training example")]
        if self.test is not None:
            examples.append(counted(len(self.test.codes), "test example"))
        sites = counted(len(self.train.codes.sites), "site")
        ratio = f"redundancy {self.train.determinism.redundancy_ratio:.4g}"
        return f"Report({self.title!r}: {', '.join(examples)}, {sites}; {ratio})"

    def class_name(self, label: int) -> str:
        """What to call a label."""
        return self.class_names.get(int(label), str(label))

    def to_dict(self) -> dict[str, Any]:
        """Every number of the report as plain values that JSON can hold."""
        return {
            "title": self.title,
            "model": self.model,
            "verdict": [judgement.to_dict() for judgement in self.verdict],
            "sites": [site.to_dict() for site in self.train.codes.sites],
            "train": self.train.to_dict(),
            "test": None if self.test is None else self.test.to_dict(),
            "rarefaction": self.rarefaction.to_dict(),
            "categorization": [method.to_dict() for method in self.categorization],
            "code_map": self.code_map.to_dict(),
            "bit_matrix": self.bit_matrix.to_dict(),
            "similarity": self.similarity.to_dict(),
            "vitals": self.vitals.to_dict(),
            "class_names": {str(label): name for label, name in self.class_names.items()},
            "seed": self.seed,
            "versions": dict(self.versions),
        }

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write `index.html`, one page that needs nothing else, and `report.json`, the numbers; each whole or not at all.

        Returns:
            The page's path.
        """
        from actscope.report.page import render_page

        page = render_page(self)
        numbers = json.dumps(self.to_dict(), indent=1, allow_nan=False, ensure_ascii=False)
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        write_whole(target / "report.json", numbers + "\n")
        write_whole(target / "index.html", page)
        return target / "index.html"


def examine(
    model: nn.Module,
    train: Any,
    *,
    test: Any = None,
    layers: Layers = None,
    breakpoints: Breakpoints = None,
    activations: Activations | None = None,
    adapt: Adapt = None,
    example_dim: ExampleDim = 0,
    pool: Pool = None,
    ids: Ids = None,
    batch_size: int | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    classes: Sequence[str] | None = None,
    max_examples: int | None = None,
    map_examples: int = 1000,
    neurons: bool = True,
    seed: int = 0,
    progress: bool | None = None,
    title: str | None = None,
) -> Report:
    """What the activation patterns of a model say: is it large enough, do its codes know the classes, which neurons do nothing.

    One pass over each split reads the codes, and the model's own accuracy on the way; one more over the training split, with gradients,
    takes the neurons' vital signs. All else is computed from the codes. A measure that these data do not admit is left out, with the
    reason.

    Args:
        model: any module whose forward pass is Python.
        train, test: a tensor or array, a tuple `(inputs, labels)`, a `Dataset` or a `DataLoader`. Without labels, everything
            that needs classes is left out.
        layers, breakpoints, activations, adapt, example_dim, pool, ids, batch_size, device, dtype: as for `actscope.encode`.
        classes: names of the classes, the i-th for label i; by default `train.classes` if there is such a thing.
        max_examples: how many training examples the classifiers on codes are fitted on at most, drawn at random; by default as many as
            time (about half a minute each) and memory allow. Where it is a subset, the report says so.
        map_examples: how many examples the t-SNE map shows at most; 0 leaves the map out.
        neurons: whether to take the neurons' vital signs.
        seed: of every draw.
        progress: whether a bar shows on stderr; `None`: if that is a terminal.
        title: heading of the page.

    Raises:
        UnseenActivation, ValueError: as for `actscope.encode`.

    Example:
        >>> inputs = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
        >>> report = examine(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)), inputs, map_examples=0)
        >>> report.train.determinism.n_examples
        200
    """
    from actscope.report.vital_signs import vital_signs

    codes, accuracies = {}, {}
    for split, data in (("train", train), ("test", test)):
        if data is None:
            continue
        own = OutputAccuracy()
        codes[split] = encode(
            model,
            data,
            layers=layers,
            breakpoints=breakpoints,
            activations=activations,
            adapt=adapt,
            example_dim=example_dim,
            pool=pool,
            ids=ids,
            split=split,
            batch_size=batch_size,
            device=device,
            dtype=dtype,
            on_output=own.update,
            progress=progress,
        )
        accuracies[split] = own.compute()
    signs: Vitals | Unavailable = Unavailable("they were switched off (neurons=False)")
    if neurons:
        signs = vital_signs(
            model,
            train,
            layers=layers,
            breakpoints=breakpoints,
            activations=activations,
            adapt=adapt,
            example_dim=example_dim,
            ids=ids,
            batch_size=batch_size,
            device=device,
            dtype=dtype,
            progress=progress,
        )
    name = type(model).__name__
    n_parameters = sum(parameter.numel() for parameter in model.parameters())
    return report_on_codes(
        codes["train"],
        codes.get("test"),
        own_accuracy=accuracies,
        vitals=signs,
        classes=_class_names(train) if classes is None else classes,
        pictures_from=train,
        max_examples=max_examples,
        map_examples=map_examples,
        seed=seed,
        progress=progress,
        title=f"Activation patterns of {name}" if title is None else title,
        model=f"{name}, {n_parameters:,} parameters",
    )


def report_on_codes(
    train: Codes,
    test: Codes | None = None,
    *,
    own_accuracy: Mapping[str, float | Unavailable] | None = None,
    vitals: Vitals | Unavailable | None = None,
    classes: Sequence[str] | None = None,
    pictures_from: Any = None,
    max_examples: int | None = None,
    map_examples: int = 1000,
    seed: int = 0,
    progress: bool | None = False,
    title: str = "Activation patterns",
    model: str = "",
) -> Report:
    """The report of codes that are there already, such as codes loaded from a file.

    Args:
        train, test: codes from the same sites.
        own_accuracy: the model's own accuracy by split, `train` and `test`, where it is known.
        vitals: the neurons' vital signs on the training examples, where they are known.
        pictures_from: the training data; if its examples are pictures, those in the fullest regions are shown.
        classes, max_examples, map_examples, seed, progress, title: as for `examine`.
        model: what was examined, in words.

    Raises:
        ValueError: if a split has no examples, or the two have different sites.

    Example:
        >>> codes = Codes.from_bits(np.random.default_rng(0).random((200, 16)) < 0.5)
        >>> report_on_codes(codes, map_examples=0)
        Report('Activation patterns': 200 training examples, 1 site; redundancy 0)
    """
    from actscope.neurons import mean_similarity

    if test is not None and test.sites != train.sites:
        raise ValueError(
            "train and test codes come from different sites: "
            f"{[str(site) for site in train.sites]} and {[str(site) for site in test.sites]}"
        )
    known = dict(own_accuracy or {})
    unknown = Unavailable("only codes were given")
    mapped = train if test is None else test
    with progress_bar("look at codes", total=7, show=progress, unit="measures") as advance:
        of_train = findings_of(train, name="train", own_accuracy=known.get("train", unknown))
        advance(1)
        of_test = None if test is None else findings_of(test, name="test", own_accuracy=known.get("test", unknown))
        advance(1)
        methods = categorize(train, test, max_examples=max_examples, seed=seed)
        advance(1)
        curve = attempt(lambda: rarefaction(train))
        advance(1)
        code_map: CodeMap | Unavailable = Unavailable("it was switched off (map_examples=0)")
        if map_examples:
            code_map = attempt(lambda: map_codes(mapped, max_examples=map_examples, seed=seed))
        advance(1)
        matrix = attempt(lambda: sample_bit_matrix(train, seed=seed))
        advance(1)
        similarity = attempt(lambda: mean_similarity(train))
        advance(1)
    shown = [name for group in of_train.groups for name in group.ids[:_PICTURES_PER_GROUP].tolist()]
    return Report(
        title=title,
        model=model,
        train=of_train,
        test=of_test,
        rarefaction=curve,
        categorization=methods,
        code_map=code_map,
        bit_matrix=matrix,
        similarity=similarity,
        vitals=unknown if vitals is None else vitals,
        verdict=verdict_of(of_train, of_test, methods, train),
        class_names=dict(enumerate(map(str, classes or ()))),
        pictures={} if pictures_from is None else example_pictures(pictures_from, shown),
        seed=seed,
        versions=_versions(),
    )


def _class_names(data: Any) -> Sequence[str] | None:
    """`data.classes`, as data sets of images have it, if it is a list of names."""
    dataset = data.dataset if isinstance(data, DataLoader) else data
    names = getattr(dataset, "classes", None)
    return names if isinstance(names, (list, tuple)) and all(isinstance(name, str) for name in names) else None


def _versions() -> dict[str, str]:
    packages = ("actscope", "torch", "numpy", "scikit-learn", "matplotlib")
    return {"Python": platform.python_version(), **{package: version(package) for package in packages}}
