"""Other people's tools open what is exported, and count the same in it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from engine.profiling.calltree import MEASURES, SAMPLES, CallTree, empty_tree
from engine.profiling.exports import folded, speedscope
from engine.profiling.pprof import pprof
from tests.packages import missing
from tests.unit.profiling.test_exports import TREE

COUNTED = {"main": (10, 115), "predict": (70, 75), "odd": (30, 30), "dot": (5, 5)}
"""Samples of each function in TREE: self and total."""

CHROMIUM_FLAGS = ["--no-sandbox", "--disable-gpu", "--enable-unsafe-swiftshader"]


@pytest.mark.parametrize("measure", range(3))
@pytest.mark.parametrize("tree", [TREE, empty_tree()], ids=["usual", "empty"])
def test_speedscope_validates_against_its_published_schema(
    tree: CallTree, measure: int, speedscope_folder: Path
) -> None:
    schema = json.loads((speedscope_folder / "file-format-schema.json").read_text())
    file = json.loads(json.dumps(speedscope(tree, "a capture", measure)))
    jsonschema_rs.validate(schema, file)
    del file["profiles"][0]["weights"]
    assert not jsonschema_rs.is_valid(schema, file)


def go_pprof(go: str, folder: Path, *flags: str) -> str:
    file = folder / "profile.pb.gz"
    file.write_bytes(pprof(TREE, began_s=1_764_072_000.0, duration_s=10.0, hz=29))
    command = [go, "tool", "pprof", *flags, str(file)]
    environ = {**os.environ, "HOME": str(folder), "PPROF_TMPDIR": str(folder)}
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environ).stdout


def test_go_reads_every_sample_of_the_pprof_file(tmp_path: Path, go: str) -> None:
    raw = go_pprof(go, tmp_path, "-raw")
    samples = raw.split("Samples:\n")[1].split("Locations\n")[0]
    request = "kind:[request] model:[fraud] route:[POST /v2] thread:[worker-1] version:[2]"
    assert [" ".join(line.split()) for line in samples.splitlines()] == [
        "samples/count wall/nanoseconds cpu/nanoseconds[dflt]",
        *("1 2000 1499: 1", request),
        *("70 70000000 69000000: 2 1", request),
        *("30 30000000 29999500: 3 1", request),
        *("5 5000000 4000000: 4 2 1", request),
        *("9 9000000 0: 1", "kind:[idle] thread:[spare]"),
    ]
    assert "predict engine/model.py:20 s=20" in raw
    assert "Time: 2025-11-25 12:00:00" in raw
    assert "Duration: 10s" in raw


def test_go_counts_the_same_selves_and_totals(tmp_path: Path, go: str) -> None:
    told = go_pprof(go, tmp_path, "-top", "-sample_index=samples")
    rows = re.findall(r"^ +(\d+) +\S+% +\S+% +(\d+) +\S+% +(\w+)", told, re.MULTILINE)
    assert {name: (int(own), int(total)) for own, total, name in rows} == COUNTED


@pytest.mark.parametrize("measure", MEASURES)
def test_go_knows_every_measure(tmp_path: Path, go: str, measure: str) -> None:
    total = TREE.sampled[MEASURES.index(measure)]
    told = go_pprof(go, tmp_path, "-top", "-unit=ns", f"-sample_index={measure}")
    assert f"Type: {measure}\n" in told
    assert f"accounting for {total}ns, 100% of {total}ns total" in told


def test_flamegraph_pl_draws_the_folded_stacks(flamegraph: list[str]) -> None:
    told = subprocess.run(
        flamegraph, input=folded(TREE, SAMPLES), capture_output=True, text=True, check=True
    )
    found = re.findall(r"<title>(\w+).*? \((\d+) samples", told.stdout)
    totals = {name: total for name, (_, total) in COUNTED.items()}
    assert {name: int(total) for name, total in found} == {"all": 115, **totals}


@pytest.fixture
def site(speedscope_folder: Path, tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder with speedscope's own site, and its address."""
    folder = Path(shutil.copytree(speedscope_folder, tmp_path / "site"))
    handler = partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        serving.join()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on the console."""


@pytest.mark.browser
def test_speedscope_opens_every_export(site: tuple[Path, str]) -> None:
    """Its table of functions, as its own importers read the three formats."""
    from playwright.sync_api import sync_playwright

    folder, address = site
    exports = {
        "folded.txt": folded(TREE, SAMPLES).encode(),
        "speedscope.json": json.dumps(speedscope(TREE, "x", SAMPLES)).encode(),
        "profile.pb.gz": pprof(TREE, measure=SAMPLES),
    }
    chromium = shutil.which("chromium") or missing("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        for name, content in exports.items():
            (folder / name).write_bytes(content)
            page = browser.new_page()
            page.goto(f"{address}/index.html#profileURL={address}/{name}&view=sandwich")
            page.wait_for_selector("text=predict", timeout=30_000)
            rows = re.findall(r"(\d+) \(.*?%\)\s+(\d+) \(.*?%\)\s+(\w+)", page.inner_text("body"))
            assert {name: (int(own), int(total)) for total, own, name in rows} == COUNTED
            page.close()
        browser.close()
