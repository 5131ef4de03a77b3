"""The Live page in a real browser over a real server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RunningServer, StartServer
from tests.contract.http import call
from tests.integration.test_parity_over_http import rows_of
from tests.waiting import until

pytestmark = pytest.mark.browser


def send_load(server: RunningServer, folder: Path, requests: int) -> None:
    _, rows = rows_of(folder / "breast_cancer")
    for number in range(requests):
        row = (rows[number % 400] * (1 + number * 1e-6)).tolist()
        body = {"inputs": [{"name": "input", "datatype": "FP64", "shape": [1, 30], "data": row}]}
        assert call(server.port, "POST", "/v2/models/breast_cancer/infer", body)[0] == 200


def cached_items(server: RunningServer) -> int:
    tiers = call(server.port, "GET", "/performance/cache")[2]["tiers"]
    return next(int(tier["items"]) for tier in tiers if tier["tier"] == "results")


def test_tiles_and_charts_move_under_load(
    page: Any, live_server: RunningServer, bundled_models: Path
) -> None:
    send_load(live_server, bundled_models, 300)
    page.wait_for_function(
        "document.querySelector('#tile-requests_per_s .tile-value').textContent.trim() > '0'"
    )
    page.wait_for_selector("#tile-p99_ms[data-status=ok]")
    page.wait_for_function(
        "[...document.querySelectorAll('#graph-latency .js-plotly-plot')].concat("
        "[document.querySelector('#graph-latency')]).some(g => g && g.data"
        " && g.data.some(t => t.y && [...t.y].some(v => v > 0)))"
    )


def test_the_first_figures_do_not_wait_for_plotly(browser: Any, live_server: RunningServer) -> None:
    until(lambda: live_server.answers("/"), 30, "the console")
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.route("**/plotly.min.js", lambda _: None)  # never answered
    page.goto(f"{live_server.url}/", wait_until="commit")
    page.wait_for_selector("#console[data-phase=live]", timeout=20_000)
    page.wait_for_function("document.querySelector('#health-text').textContent.length > 3")
    page.wait_for_selector("#models-body tr[data-model=breast_cancer]")
    assert sum(url.endswith("/performance/live?since=0") for url in asked) == 1
    context.close()


def test_ticks_leave_nothing_behind(page: Any) -> None:
    ticks = "window.store.getState().layout && window.store.getState().history.present.props"
    page.wait_for_function(f"({ticks} || {{}}).n_intervals > 0")
    first = page.evaluate(f"({ticks}).n_intervals")
    page.wait_for_function(f"({ticks}).n_intervals > {first + 3}")
    assert page.evaluate("window.store.getState().history.past.length") <= 1


def test_a_label_that_moves_on_is_not_measured_again(page: Any) -> None:
    """Plotly keeps the box of every text it measures, by the place it had."""
    page.wait_for_selector("#graph-latency .xtick text")
    measured = page.evaluate(
        """async () => {
          const label = () => document.querySelector("#graph-latency .xtick text");
          const texts = [];
          const watch = new MutationObserver((changes) => {
            for (const change of changes)
              for (const node of change.addedNodes) texts.push(node.textContent);
          });
          watch.observe(document.getElementById("js-plotly-tester"), { childList: true });
          const place = label().getAttribute("transform");
          await new Promise((next) => setTimeout(next, 6000));
          return { texts, moved: label().getAttribute("transform") !== place };
        }"""
    )
    assert measured["moved"]
    assert not [text for text in measured["texts"] if ":" in text]


def test_warm_up_loads_a_cold_model(page: Any, live_server: RunningServer) -> None:
    row = page.locator("#models-body tr[data-model=digits]")
    assert row.get_attribute("data-state") == "cold"
    row.locator("[data-action=warmup]").click()
    page.wait_for_selector("#models-body tr[data-model=digits][data-state=warm]", timeout=60_000)
    page.wait_for_selector("#toasts .toast:has-text('first answer')")


def test_flush_asks_and_then_empties_the_cache(
    page: Any, live_server: RunningServer, bundled_models: Path
) -> None:
    send_load(live_server, bundled_models, 20)
    assert cached_items(live_server) > 0
    page.click("#flush-all")
    page.locator("[data-action=confirm]:visible").first.click()
    until(lambda: cached_items(live_server) == 0, 15, "an empty cache")


def test_a_cache_hit_shows_within_two_seconds(
    page: Any, live_server: RunningServer, bundled_models: Path
) -> None:
    shown = "document.querySelector('#caches-body').textContent"
    send_load(live_server, bundled_models, 1)
    page.wait_for_timeout(2500)
    before = page.evaluate(shown)
    send_load(live_server, bundled_models, 1)
    page.wait_for_function(f"{shown} !== {before!r}", timeout=2000)


def test_the_exported_picture_is_not_blank(page: Any, tmp_path: Path) -> None:
    with page.expect_download(timeout=30_000) as download:
        page.click("#export-png")
    picture = tmp_path / "page.png"
    download.value.save_as(picture)
    assert download.value.suggested_filename.startswith("pyrometer-live-")
    assert picture.read_bytes().startswith(b"\x89PNG")
    colours = page.evaluate(
        """async (base64) => {
            const image = new Image();
            image.src = 'data:image/png;base64,' + base64;
            await image.decode();
            const canvas = document.createElement('canvas');
            [canvas.width, canvas.height] = [image.width, image.height];
            const context = canvas.getContext('2d');
            context.drawImage(image, 0, 0);
            const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
            const seen = new Set();
            for (let i = 0; i < pixels.length; i += 4 * 97)
                seen.add((pixels[i] << 16) | (pixels[i + 1] << 8) | pixels[i + 2]);
            return [seen.size, image.width];
        }""",
        __import__("base64").b64encode(picture.read_bytes()).decode(),
    )
    assert colours[0] > 50
    assert colours[1] >= 2 * 1400


def test_stale_while_the_server_is_away_and_recovery_unaided(
    page: Any,
    live_server: RunningServer,
    start_server: StartServer,
    bundled_models: Path,
    shared_state: Path,
) -> None:
    live_server.process.kill()
    live_server.process.wait(10)
    page.wait_for_selector("#console[data-phase=stale]", timeout=20_000)
    again = start_server(bundled_models, shared_state, port=live_server.port)
    page.wait_for_selector("#console[data-phase=live]", timeout=30_000)
    live_server.process = again.process


CEILINGS = """() => {
  const { to } = pyrometer.time.range();
  const rows = (values) => values.map((value, at) => [to - values.length + at, value]);
  const source = (values) => ({ stepS: 1, columns: ["time", "p99_ms"], rows: rows(values) });
  const meta = { clips: true, margin: { l: 48, r: 64 }, unit: "ms" };
  const line = { meta: { column: "p99_ms" } };
  const chart = { gd: { layout: { meta }, data: [line] }, el: { clientWidth: 600 } };
  const of = (values) => pyrometer.ceiling.of(chart, source(values));
  const warm = Array(30).fill(2);
  const marks = document.createDocumentFragment();
  chart.ceiling = of([...warm, 400]);
  pyrometer.ceiling.draw(chart, source([...warm, 400]), marks);
  return {
    cold: chart.ceiling, slower: of([...warm, 5]), few: of([2, 2, 400]), level: of(warm),
    marks: [...marks.children].map((mark) => mark.textContent),
  };
}"""


def test_a_cold_start_is_marked_and_does_not_flatten_the_latency_of_all_others(page: Any) -> None:
    """30 s of 2 ms and one of 400: the axis ends at 1.2 x 2, rounded up to 2.5."""
    found = page.evaluate(CEILINGS)
    assert found == {
        **{"cold": 2.5, "slower": None, "few": None, "level": None},
        "marks": ["▲ 400 ms"],
    }


def test_bytes_are_told_in_steps_of_a_thousand(page: Any) -> None:
    told = page.evaluate(
        "() => [0, 999, 1000, 1500, 268435456, 9.96e6, 2e9].map(pyrometer.format.bytes)"
    )
    assert told == ["0 B", "999 B", "1 kB", "1.5 kB", "268 MB", "10 MB", "2 GB"]
