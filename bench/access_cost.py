"""What asking for keys costs: `make accesscost`.

Three servers over one state: one asks for a key, two ask nobody (A/A). Short windows of load in
turn, by the fast lane and by the usual path; the server's own processor time a request, paired by
round.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
from tqdm import tqdm

from bench.__main__ import ROOT, until_ready
from bench.loads import ratio_interval
from bench.models import rows_of
from bench.wrk import measure, write_script

KEY = "access-cost-" + "k" * 32
SERVERS = {"keys asked for": KEY, "nobody asked": "", "nobody asked, again (A/A)": ""}
PATHS = {
    "fast lane": ("", False),
    "fast lane, cached answers": ("", True),
    "usual path": (', ["x-request-id"] = "cost"', False),
}
"""Further headers; a request id of the caller's own keeps a request off the lane."""


@contextmanager
def serving(models: Path, state: Path, port: int, key: str) -> Iterator[int]:
    """A server on a port; yields its process id."""
    command = [sys.executable, "-m", "app.cli", "serve", "--port", str(port)]
    command += ["--models", str(models), "--state", str(state), "--history", "off"]
    environ = os.environ | ({"PYROMETER_API_KEY": key} if key else {})
    process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.DEVNULL)
    try:
        until_ready(f"http://127.0.0.1:{port}/v2/health/ready")
        yield process.pid
    finally:
        process.terminate()
        process.wait(60)


def cpu_us(process_id: int, url: str, script: Path, seconds: float) -> tuple[float, int]:
    """Processor time of the server for one request, and how many failed."""
    process = psutil.Process(process_id)
    before = process.cpu_times()
    window = measure(url, 16, script, seconds)
    after = process.cpu_times()
    spent_s = after.user + after.system - before.user - before.system
    return 1e6 * spent_s / (window.requests_per_s * seconds), window.failed


def script_of(folder: Path, name: str, models: Path, further: str, *, caches: bool) -> Path:
    """A wrk script that sends the key, and these headers."""
    path = folder / f"{name.replace(' ', '-')}.lua"
    write_script(path, rows_of(models), caches=caches)
    sent = f'local headers = {{["authorization"] = "Bearer {KEY}"{further}, '
    path.write_text(path.read_text().replace("local headers = {", sent, 1))
    return path


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.access_cost", description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--port", type=int, default=8960)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="access-") as scratch, ExitStack() as stack:
        folder = Path(scratch)
        shutil.copytree(given.models / "breast_cancer", folder / "models/breast_cancer")
        with serving(folder / "models", folder / "state", given.port, ""):
            pass  # the plan is made once, and each server has it
        processes = {}
        for place, (name, key) in enumerate(SERVERS.items()):
            state, port = folder / f"state-{place}", given.port + place
            shutil.copytree(folder / "state", state)
            processes[name] = (
                stack.enter_context(serving(folder / "models", state, port, key)),
                f"http://127.0.0.1:{port}/v2/models/breast_cancer/infer",
            )
        print(f"{'path':<28}{'server':<28}{'CPU us a request':>18}  ratio, 95 %", flush=True)
        for path, (further, caches) in PATHS.items():
            script = script_of(folder, path, folder / "models", further, caches=caches)
            _compare(path, processes, script, given.rounds, given.seconds)
    return 0


def _compare(
    path: str,
    processes: dict[str, tuple[int, str]],
    script: Path,
    rounds: int,
    seconds: float,
) -> None:
    found: dict[str, list[float]] = {name: [] for name in processes}
    failed = 0
    for turn in tqdm(range(-1, rounds), desc=path, leave=False):
        names = list(processes)
        for name in names[turn % 3 :] + names[: turn % 3]:
            spent_us, wrong = cpu_us(*processes[name], script, seconds)
            failed += wrong
            if turn >= 0:
                found[name].append(spent_us)
    base = found["nobody asked"]
    for name, values in found.items():
        middle = sorted(values)[len(values) // 2]
        ratio, low, high = ratio_interval(values, base)
        print(f"{path:<28}{name:<28}{middle:>18.1f}  {ratio:.3f} [{low:.3f}, {high:.3f}]")
    print(f"{'':<28}failed requests: {failed}", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
