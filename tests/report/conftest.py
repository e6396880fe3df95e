"""Codes to report on, and a page taken apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from actscope.codes import Codes, Site
from actscope.codes.bits import pack

_VOID = {"meta", "img", "br", "link", "input", "hr", "wbr"}


@dataclass
class Page:
    """What an HTML page holds: text by section, tables as rows of cells, every attribute, and tags that do not match."""

    sections: dict[str, str] = field(default_factory=dict)
    rows: list[list[str]] = field(default_factory=list)
    attributes: list[tuple[str, str, str]] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    figures: dict[str, str] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    def values(self, attribute: str) -> list[str]:
        """All values of one attribute."""
        return [value for _, name, value in self.attributes if name == attribute]

    def row(self, beginning: str) -> list[str]:
        """The first table row whose first cell begins so."""
        return next(row for row in self.rows if row and row[0].startswith(beginning))


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.page = Page()
        self.open: list[str] = []
        self.section = ""
        self.svg = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.page.tags.append(tag)
        named = {name: value or "" for name, value in attrs}
        self.page.attributes += [(tag, name, value) for name, value in named.items()]
        if tag not in _VOID:
            self.open.append(tag)
        if tag in ("section", "footer", "header"):
            self.section = named.get("id", tag)
        if tag == "tr":
            self.page.rows.append([])
        if tag in ("td", "th"):
            self.page.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.page.errors.append(f"</{tag}> closes nothing, line {self.getpos()[0]}")

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("style", "script"):
            return
        text = data.replace("\u00a0", " ")
        self.page.sections[self.section] = self.page.sections.get(self.section, "") + text
        if {"td", "th"} & set(self.open):
            self.page.rows[-1][-1] = " ".join((self.page.rows[-1][-1] + text).split())


@pytest.fixture
def read_page() -> Callable[[str], Page]:
    """From HTML text to what it holds."""

    def read(html: str) -> Page:
        reader = _Reader()
        reader.feed(html)
        reader.close()
        reader.page.errors += [f"<{tag}> is never closed" for tag in reader.open]
        return reader.page

    return read


def relu_site(name: str, width: int) -> Site:
    """A ReLU site."""
    return Site(name, "relu", (width,), (0.0,), kinks=(0.0,), slopes=(0.0, 1.0), piecewise_linear=True)


SITES = (
    relu_site("block.relu", 13),
    Site("block.relu6", "relu6", (2, 3), (0.0, 6.0), kinks=(0.0, 6.0), slopes=(0.0, 1.0, 0.0), piecewise_linear=True),
    Site("head.gelu", "gelu", (9,), (0.0,)),
    Site("head.tanh", "tanh", (4,), (-0.5, 0.0, 0.5)),
)


@pytest.fixture
def make_codes() -> Callable[..., Codes]:
    """Codes of random pre-activations at sites of several kinds, examples of a class near each other."""

    def make(
        n: int = 120,
        *,
        sites: Sequence[Site] = SITES,
        n_classes: int | None = 3,
        seed: int = 0,
        split: str | None = None,
        noise: float = 1.5,
    ) -> Codes:
        rng = np.random.default_rng(seed)
        labels = None if n_classes is None else rng.integers(0, n_classes, n)
        centres = np.random.default_rng(99).normal(0, 4, (n_classes or 1, sum(site.n_neurons for site in sites)))
        z = centres[0 if labels is None else labels] + rng.normal(0, noise, (n, centres.shape[1]))
        return codes_from(z, sites, labels=labels, split=split)

    return make


def codes_from(
    z: NDArray[np.float64], sites: Sequence[Site], *, labels: NDArray[np.int64] | None = None, split: str | None = None
) -> Codes:
    """Codes of given pre-activations, (n_examples, n_neurons of all sites)."""
    parts, start = [], 0
    for site in sites:
        block = torch.from_numpy(np.ascontiguousarray(z[:, start : start + site.n_neurons]))
        parts.append(np.asarray(pack(block, site.breakpoints)))
        start += site.n_neurons
    return Codes(np.concatenate(parts, axis=1), tuple(sites), labels=labels, split=split)


@pytest.fixture
def from_preactivations() -> Callable[..., Codes]:
    """`codes_from`, for tests that compare with the pre-activations themselves."""
    return codes_from
