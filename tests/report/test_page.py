"""The page: what must be on it, what must not, and that it stands on its own."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from actscope.codes import Codes, Site
from actscope.figures.labels import percent
from actscope.report import Report, report_on_codes
from actscope.report.page import render_page

SECTIONS = ["verdict", "sites", "redundancy", "rarefaction", "categorization", "map", "neurons", "bits", "reading"]

FIGURES = {
    "region-sizes",
    "site-redundancy",
    "class-redundancy",
    "rarefaction",
    "accuracies",
    "code-map",
    "liveness",
    "bit-matrix",
}


@pytest.fixture(scope="module")
def both() -> tuple[Codes, Codes]:
    """Training and test codes at two sites, narrow enough to collide."""
    sites = tuple(
        Site(name, "relu", (width,), (0.0,), kinks=(0.0,), slopes=(0.0, 1.0), piecewise_linear=True)
        for name, width in (("first.relu", 5), ("second.relu", 7))
    )

    def codes(n: int, seed: int, split: str) -> Codes:
        rng = np.random.default_rng(seed)
        labels = np.arange(n) % 3
        bits = rng.random((n, 12)) < np.where(np.arange(12) % 3 == labels[:, None], 0.9, 0.1)
        bits[:, 0], bits[:, 6] = False, True
        packed = np.concatenate(
            [np.packbits(part, axis=1, bitorder="little") for part in (bits[:, :5], bits[:, 5:])], axis=1
        )
        return Codes(packed, sites, labels=labels, split=split)

    return codes(150, 1, "train"), codes(60, 2, "test")


@pytest.fixture(scope="module")
def report(both: tuple[Codes, Codes]) -> Report:
    return report_on_codes(
        *both,
        own_accuracy={"train": 0.9125, "test": 0.8375},
        classes=["ant", "bee", "cat"],
        pictures_from=torch.rand(150, 1, 8, 8),
        map_examples=50,
        seed=4,
        title="A page",
        model="Some net",
    )


@pytest.fixture(scope="module")
def html(report: Report) -> str:
    return render_page(report)


@pytest.fixture
def page(html: str, read_page: Callable[[str], Any]) -> Any:
    return read_page(html)


def test_it_is_well_formed_and_every_id_is_there_once(page: Any) -> None:
    assert page.errors == []
    ids = page.values("id")
    assert len(ids) == len(set(ids))


def test_every_section_is_there_in_order_and_in_the_navigation(page: Any) -> None:
    assert [name for name in page.sections if name in SECTIONS] == SECTIONS
    links = [value for tag, name, value in page.attributes if tag == "a" and name == "href"]
    assert links == [f"#{name}" for name in SECTIONS]


def test_every_figure_is_there_and_says_what_it_shows_and_what_would_be_bad(page: Any, html: str) -> None:
    labels = [value for tag, name, value in page.attributes if tag == "svg" and name == "aria-label"]
    assert len(labels) == len(FIGURES)
    assert all(len(label) > 20 for label in labels)
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", html, flags=re.DOTALL)
    assert len(captions) == len(FIGURES)
    assert all('class="bad"' in caption and "would be" in caption for caption in captions)


def test_nothing_is_loaded_from_anywhere(page: Any, html: str) -> None:
    assert "http:" not in html
    assert "https:" not in html
    assert not {"script", "link", "iframe", "object", "base", "form"} & set(page.tags)
    for attribute in ("src", "href", "xlink:href", "srcset", "poster"):
        assert all(value.startswith(("#", "data:image/png;base64,")) for value in page.values(attribute))
    assert all(value.startswith("#") for value in re.findall(r"url\(([^)]*)\)", html))
    assert "@import" not in html


def test_light_dark_narrow_and_print_have_their_rules(html: str) -> None:
    for rule in (
        "@media (prefers-color-scheme: dark)",
        "@media print",
        "@media (max-width: 40rem)",
        "color-scheme: light dark",
    ):
        assert rule in html
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in html


def test_figures_take_their_colours_from_the_theme(html: str) -> None:
    figures = "".join(re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL))
    assert "currentColor" in figures
    declared = set(re.findall(r"(--[\w-]+):", html))
    assert set(re.findall(r"var\((--[\w-]+)\)", html)) <= declared
    dark = html[html.index("prefers-color-scheme: dark") :]
    used = set(re.findall(r"var\((--[\w-]+),", figures))
    assert used <= set(re.findall(r"(--[\w-]+):", dark[: dark.index("* {")]))


def test_key_numbers_are_those_of_the_report(report: Report, page: Any) -> None:
    splits = [report.train, report.test]
    assert page.row("Redundancy ratio")[1:] == [percent(split.determinism.redundancy_ratio) for split in splits]
    assert page.row("Examples that share")[1:] == [percent(split.determinism.shared_ratio) for split in splits]
    assert page.row("Accuracy of the model itself")[1:] == ["91.2 %", "83.8 %"]
    assert page.row("Dead neurons")[1:] == [percent(split.dead_share) for split in splits]
    for method in report.categorization:
        assert page.row(method.name)[-2:] == [percent(method.train), percent(method.test)]


def test_the_verdict_is_on_top(report: Report, page: Any) -> None:
    text = " ".join(page.sections["verdict"].split())
    for judgement in report.verdict:
        assert judgement.question in text
        assert judgement.answer in text
        assert judgement.detail in text


def test_the_table_of_sites_has_every_site_with_its_numbers(report: Report, page: Any) -> None:
    for live in report.train.liveness:
        row = page.row(live.site.name)
        assert row[1:6] == ["relu", str(live.site.n_neurons), str(live.site.n_neurons), "0", str(live.site.n_bits)]
        assert row[6:9] == [percent(live.dead_share), percent(live.always_on_share), percent(live.constant_share)]
        assert row[9:] == [percent(split.redundancy_by_site[live.site.name]) for split in (report.train, report.test)]


def test_the_fullest_regions_are_listed_with_classes_ids_and_pictures(report: Report, page: Any) -> None:
    group = report.train.groups[0]
    row = next(row for row in page.rows if row[0] == str(group.size) and "ids" in row[1])
    label, count = next(iter(group.labels.items()))
    assert f"{report.class_name(label)} × {count}" in row[1]
    assert ", ".join(map(str, group.ids[:10].tolist())) in row[1]
    alts = [value for tag, name, value in page.attributes if tag == "img" and name == "alt"]
    assert alts[: min(10, group.size)] == [f"example {name}" for name in group.ids[:10].tolist()]


def test_subsets_seed_and_versions_are_said(report: Report, page: Any) -> None:
    assert "50 randomly drawn test examples of 60" in " ".join(page.sections["map"].split())
    reading = " ".join(page.sections["reading"].split())
    assert "Seed 4" in reading
    for name, number in report.versions.items():
        assert f"{name} {number}" in reading


def test_pictures_are_in_the_page_once_each(html: str, report: Report) -> None:
    shown = sum(min(10, group.size) for group in report.train.groups)
    assert html.count("<img ") == shown


def test_names_from_outside_are_shown_and_not_run(read_page: Callable[[str], Any]) -> None:
    evil = "<script>alert('x')</script>\"'&<img src=x onerror=alert(1)>"
    site = Site(evil, evil, (3,), (0.0,))
    rng = np.random.default_rng(0)
    packed = np.packbits(rng.random((30, 3)) < 0.5, axis=1, bitorder="little")
    ids = np.array([f"{evil}{i}" for i in range(30)])
    codes = Codes(packed, (site,), ids=ids, labels=np.arange(30) % 2)
    html = render_page(report_on_codes(codes, classes=[evil, "b"], title=evil, model=evil, map_examples=0))
    found = read_page(html)
    assert found.errors == []
    assert not {"script", "img"} & set(found.tags)
    assert not [name for _, name, _ in found.attributes if name.startswith("on")]
    assert evil in found.sections["header"]
    assert evil in found.sections["sites"]
    assert evil in found.sections["redundancy"]


def bits(n: int, d: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((n, d)) < 0.5


EDGES: dict[str, Callable[[], tuple[Codes, Codes | None]]] = {
    "one example": lambda: (Codes.from_bits(bits(1, 8), labels=[3]), None),
    "one example a split, no labels": lambda: (Codes.from_bits(bits(1, 8)), Codes.from_bits(bits(1, 8, 1))),
    "one class": lambda: (Codes.from_bits(bits(90, 4), labels=[7] * 90), Codes.from_bits(bits(9, 4), labels=[7] * 9)),
    "one bit": lambda: (Codes.from_bits(bits(90, 1), labels=np.arange(90) % 3), None),
    "no labels": lambda: (Codes.from_bits(bits(90, 5)), Codes.from_bits(bits(20, 5))),
    "no labels in the test set": lambda: (
        Codes.from_bits(bits(90, 5), labels=np.arange(90) % 3),
        Codes.from_bits(bits(20, 5)),
    ),
    "no redundancy": lambda: (Codes.from_bits(bits(40, 40), labels=np.arange(40) % 2), Codes.from_bits(bits(9, 40))),
    "one region": lambda: (Codes.from_bits(np.ones((90, 5)), labels=np.arange(90) % 3), None),
    "classes that only the test set has": lambda: (
        Codes.from_bits(bits(90, 5), labels=np.arange(90) % 3),
        Codes.from_bits(bits(90, 5), labels=2 + np.arange(90) % 3),
    ),
    "negative labels": lambda: (Codes.from_bits(bits(40, 5), labels=np.arange(40) % 3 - 1), None),
    "a hundred classes": lambda: (Codes.from_bits(bits(300, 12), labels=np.arange(300) % 100), None),
}


@pytest.mark.parametrize("edge", EDGES)
def test_at_the_edges_the_page_is_whole_and_free_of_nonsense(edge: str, read_page: Callable[[str], Any]) -> None:
    train, test = EDGES[edge]()
    report = report_on_codes(train, test, map_examples=30, seed=1)
    found = read_page(render_page(report))
    assert found.errors == []
    assert [name for name in found.sections if name in SECTIONS] == SECTIONS
    visible = " ".join(found.sections.values())
    for nonsense in (
        r"\bnan\b",
        "NaN",
        r"\binf\b",
        r"\bNone\b(?! of)",
        "Unavailable",
        r"\{\{",
        r"(?<![\d,])1 \w+ ?(examples|regions|sites)",
    ):
        assert not re.search(nonsense, visible), nonsense
    assert str(report)


def test_what_cannot_be_had_says_why(read_page: Callable[[str], Any]) -> None:
    found = read_page(render_page(report_on_codes(Codes.from_bits(np.eye(4), labels=[0, 0, 1, 1]))))
    assert "The map is not available" in found.sections["map"]
    assert (
        "Not available: 9 neighbours need as many training examples, and there are fewer (4)." in found.row("9-NN")[0]
    )
    assert found.row("9-NN")[1:] == ["–"]


def test_two_hundred_sites_are_all_in_the_table_and_some_in_the_figures(
    make_codes: Callable[..., Codes], read_page: Callable[[str], Any]
) -> None:
    sites = [Site(f"block{i}.act", "gelu", (3,), (0.0,)) for i in range(200)]
    codes = make_codes(40, sites=sites)
    found = read_page(render_page(report_on_codes(codes, map_examples=0)))
    for site in sites:
        assert found.row(site.name)[1] == "gelu"
    assert "Shown are the 24 most redundant of 200 sites" in found.sections["redundancy"]
    assert "Shown are the 24 of 200 sites" in " ".join(found.sections["neurons"].split())


def test_codes_of_very_many_bits_are_drawn_in_part(read_page: Callable[[str], Any]) -> None:
    codes = Codes.from_bits(bits(40, 200_000), labels=np.arange(40) % 2)
    html = render_page(report_on_codes(codes, map_examples=30))
    found = read_page(html)
    assert "360 of 200,000 neurons" in " ".join(found.sections["bits"].split())
    assert "4,096 randomly drawn bytes of 25,000" in " ".join(found.sections["map"].split())
    assert len(html) < 1_000_000


def test_neurons_that_all_vary_are_not_said_to_change_elsewhere() -> None:
    rng = np.random.default_rng(0)
    train, test = (Codes.from_bits(rng.random((200, 6)) < 0.5, split=split) for split in ("train", "test"))
    assert "on the test examples either" not in render_page(report_on_codes(train, test=test, map_examples=0))
    stuck = [Codes.from_bits(codes.bits() & (np.arange(6) > 0), split=codes.split) for codes in (train, test)]
    assert "on the test examples either" in render_page(report_on_codes(stuck[0], test=stuck[1], map_examples=0))
