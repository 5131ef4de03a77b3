"""A flame graph in the browser: two profiles of known shares, and how a test sees the chart."""

from __future__ import annotations

from typing import Any

from tests.conftest import RunningServer
from tests.contract.http import call

NOW = """serve (app/server.py:1);a (pkg/a.py:1) 20
serve (app/server.py:1);a (pkg/a.py:1);a (pkg/a.py:1) 30
serve (app/server.py:1);b (other/b.py:2);a (pkg/a.py:1) 30
serve (app/server.py:1);c (third/c.py:3) 20
"""
BEFORE = """serve (app/server.py:1);a (pkg/a.py:1) 20
serve (app/server.py:1);c (third/c.py:3) 80
"""
CHART = "#flame-panel .flame-chart:not([hidden]) .flame-scroll"
CANVAS = "document.querySelector('#flame-panel .flame-chart:not([hidden]) canvas')"
COLOURS = """async (source) => {
    const image = new Image();
    image.src = source;
    await image.decode();
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [image.width, image.height];
    const pen = canvas.getContext('2d');
    pen.drawImage(image, 0, 0);
    const pixels = pen.getImageData(0, 0, canvas.width, canvas.height).data;
    const seen = {};
    for (let at = 0; at < pixels.length; at += 4)
        if (pixels[at + 3] === 255) {
            const colour = [0, 1, 2].map((part) => pixels[at + part].toString(16).padStart(2, '0'));
            seen[`#${colour.join('')}`] = true;
        }
    return [Object.keys(seen), image.width];
}"""


def imported(server: RunningServer, name: str, folded: str) -> str:
    path = f"/performance/profile/import?name={name}"
    status, _, answer = call(
        server.port, "POST", path, folded.encode(), {"Content-Type": "text/plain"}
    )
    assert status == 200, answer
    return str(answer["id"])


def show(page: Any, server: RunningServer, query: str = "") -> None:
    page.goto(f"{server.url}/flame-graph?{query}")
    drawn(page)


def drawn(page: Any) -> None:
    page.wait_for_selector("#flame-page[data-state=shown][data-asking=false]", timeout=20_000)
    page.wait_for_timeout(250)  # a zoom glides for 140 ms


def picture(page: Any) -> str:
    return str(page.evaluate(f"{CANVAS}.toDataURL()"))


def press_box(page: Any, share: float, row: int, **options: Any) -> None:
    box = page.locator(CHART).bounding_box()
    page.mouse.click(box["x"] + share * box["width"], box["y"] + 19 * row + 9, **options)
    page.wait_for_timeout(250)


def crumbs(page: Any) -> list[str]:
    return list(page.locator("#flame-panel .flame-crumbs li").all_inner_texts())
