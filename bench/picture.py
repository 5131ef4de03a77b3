"""A Plotly figure as a PNG, drawn by the browser that the tests use."""

from __future__ import annotations

import base64
from pathlib import Path

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

CHROMIUM = "/usr/bin/chromium"
FLAGS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")


def write_png(figure: go.Figure, path: Path, width: int = 1100, height: int = 520) -> None:
    """Raises playwright's errors where there is no Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        page = browser.new_page()
        page.set_content("<div id='plot'></div>")
        page.add_script_tag(content=get_plotlyjs())
        url = page.evaluate(
            "async ([figure, size]) => {"
            "  await Plotly.newPlot('plot', figure.data, figure.layout);"
            "  return Plotly.toImage('plot', {format: 'png', scale: 2, ...size}); }",
            [figure.to_plotly_json(), {"width": width, "height": height}],
        )
        browser.close()
    path.write_bytes(base64.b64decode(url.split(",", 1)[1]))
