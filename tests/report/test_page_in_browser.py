"""The page in a real browser: nothing sticks out, and both themes can be read."""

from __future__ import annotations

import html as html_module
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from actscope.codes import Codes, Site
from actscope.report import report_on_codes
from actscope.report.page import render_page

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(BROWSER is None, reason="needs Chromium on the PATH"),
]

MEASURE = """
const frame = document.querySelector('iframe');
function luminance(colour) {
  const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map(v => {
    v /= 255;
    return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
frame.addEventListener('load', () => {
  const inside = frame.contentDocument, style = element => frame.contentWindow.getComputedStyle(element);
  const paper = style(inside.body).backgroundColor;
  let worst = [99, ''];
  for (const element of inside.querySelectorAll('p, dt, dd, th, td, h1, h2, h3, a, li, span, svg text')) {
    if (!element.textContent.trim()) continue;
    const ink = element instanceof frame.contentWindow.SVGElement ? style(element).fill : style(element).color;
    const [low, high] = [luminance(ink), luminance(paper)].sort((a, b) => a - b);
    const contrast = (high + 0.05) / (low + 0.05);
    if (contrast < worst[0]) worst = [contrast, element.tagName + ': ' + element.textContent.trim().slice(0, 40)];
  }
  const root = inside.documentElement;
  const texts = [...inside.querySelectorAll('svg text')].map(t => t.getBoundingClientRect());
  document.title = JSON.stringify({
    width: root.clientWidth,
    scrollWidth: Math.max(root.scrollWidth, inside.body.scrollWidth),
    paper: paper,
    worst: worst,
    smallestText: Math.min(...texts.filter(b => b.height > 0).map(b => b.height)),
    beyond: texts.filter(b => b.right > root.clientWidth + 1 || b.left < -1).length,
  });
});
"""


@pytest.fixture(scope="module")
def page() -> str:
    sites = tuple(
        Site(f"encoder.layers.{i}.a_long_name_for_a_block.activation", "relu", (4,), (0.0,), (0.0,), (0.0, 1.0), True)
        for i in range(5)
    )
    generator = torch.Generator().manual_seed(0)
    packed = torch.randint(0, 16, (120, 5), generator=generator).to(torch.uint8).numpy() & 1
    codes = Codes(packed, sites, labels=torch.arange(120).numpy() % 3)
    return render_page(
        report_on_codes(codes, codes, own_accuracy={"train": 0.9, "test": 0.8}, map_examples=30, title="A page " * 6)
    )


@pytest.fixture
def measure(page: str, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """The page in a frame of some width and theme, measured."""

    def run(width: int, *, dark: bool) -> dict[str, Any]:
        frame = f'<iframe style="width:{width}px;height:900px;border:0" srcdoc="{html_module.escape(page)}"></iframe>'
        outer = tmp_path / "outer.html"
        outer.write_text(f"<!doctype html><meta charset=utf-8>{frame}<script>{MEASURE}</script>", encoding="utf-8")
        assert BROWSER is not None
        dom = subprocess.run(
            [
                BROWSER,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                f"--user-data-dir={tmp_path / 'profile'}",
                f"--window-size={max(width, 500) + 40},1000",
                f"--blink-settings=preferredColorScheme={0 if dark else 1}",
                "--virtual-time-budget=5000",
                "--dump-dom",
                outer.as_uri(),
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        ).stdout
        found = re.search(r"<title>(.*?)</title>", dom)
        assert found, dom[:500]
        return json.loads(html_module.unescape(found.group(1)))

    return run


@pytest.mark.parametrize("width", [320, 375, 768, 1280])
def test_the_page_never_scrolls_sideways(measure: Callable[..., dict[str, Any]], width: int) -> None:
    seen = measure(width, dark=False)
    assert seen["width"] <= width
    assert seen["scrollWidth"] <= seen["width"]
    assert seen["beyond"] == 0


def test_text_in_figures_can_be_read_on_a_phone(measure: Callable[..., dict[str, Any]]) -> None:
    assert measure(375, dark=False)["smallestText"] >= 9


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_stands_out_from_the_paper(measure: Callable[..., dict[str, Any]], dark: bool) -> None:
    seen = measure(1280, dark=dark)
    assert seen["paper"] == ("rgb(21, 23, 26)" if dark else "rgb(255, 255, 255)")
    contrast, where = seen["worst"]
    assert contrast >= 4.5, where
