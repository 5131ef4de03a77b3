"""What `pyrometer bench` does once its arguments are read."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.lab.bar import progress_bar
from bench.lab.cli import URL, spec_values
from bench.lab.fresh import fresh_server
from bench.lab.lab import Cancel, run
from bench.lab.outcome import slo_misses
from bench.lab.record import Recorder, record
from bench.lab.redact import Redactor
from bench.lab.soak import SERVER_FLAGS, ready_models, soak, soak_spec
from bench.lab.spec import SloSpec, spec_from
from bench.lab.store import RunStore
from bench.lab.target import Target
from bench.lab.words import listing, sentence, table
from engine.config import load_settings
from engine.errors import InvalidInput, PyrometerError

MOST_RECORDED_BYTES = 256 * 2**20


def _run(arguments: argparse.Namespace) -> int:
    """`run` and `ramp`."""
    values = spec_values(arguments)
    with ExitStack() as stack:
        if arguments.serve is not None:
            values["url"], _ = stack.enter_context(fresh_server(arguments.serve))
        values.setdefault("url", URL)
        if not values.get("model") and (values.get("payload") or {}).get("source") != "traffic":
            values["model"] = _first_model(values["url"])
        spec = spec_from(values)
        record = run(spec, stack.enter_context(progress_bar(spec, sys.stderr)), Cancel())
    misses = [] if record["kind"] == "ramp" else slo_misses(spec.slo, record)
    return _report(arguments, record, misses)


def _soak(arguments: argparse.Namespace) -> int:
    if not 0.005 <= arguments.hours <= 24:
        raise InvalidInput(f"hours is {arguments.hours:g}; it must be within 0.005..24")
    models = arguments.serve or Path("models")
    seconds = arguments.hours * 3600
    with fresh_server(models, *SERVER_FLAGS, module="bench.lab.aged") as (url, process_id):
        spec = soak_spec(url, seconds, arguments.rate, arguments.connections, arguments.name)
        with progress_bar(spec, sys.stderr) as tell:
            record = soak(spec, process_id, tell, Cancel())
    return _report(arguments, record, record["soak"]["because"])


def _report(arguments: argparse.Namespace, record: dict[str, Any], misses: list[str]) -> int:
    """Store a run and print it; the exit status."""
    store = _store(arguments)
    try:
        store.write(record)
    except OSError as error:
        raise PyrometerError(f"{store.folder} cannot be written: {error.strerror}") from None
    if arguments.json:
        print(json.dumps(store.read(record["id"])))
    else:
        print(f"{table(record)}\n\n{sentence(record, misses)}")
    met = record["kind"] != "ramp" or record["highest_within_slo_per_s"] is not None
    return 0 if record["valid"] and met and not misses else 1


def _record(arguments: argparse.Namespace) -> int:
    if not 0 <= arguments.jitter <= 100:
        raise InvalidInput(f"jitter is {arguments.jitter:g}; it must be within 0..100")
    if not 0 <= arguments.listen <= 65535:
        raise InvalidInput(f"listen is {arguments.listen}; it must be within 0..65535")
    target = Target.of(spec_from({"url": arguments.to, "model": "any"}).url)
    redactor = Redactor(keep_texts=arguments.keep_texts, jitter_percent=arguments.jitter)
    about = {"texts": "kept" if arguments.keep_texts else "replaced"}
    recorder = Recorder(
        arguments.out, redactor, {**about, "jitter_percent": arguments.jitter}, MOST_RECORDED_BYTES
    )

    def on_listen(port: int) -> None:
        print(f"http://127.0.0.1:{port} -> {target.url}  (Ctrl-C ends it)", flush=True)

    async def work() -> int:
        over = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, over.set)
        return (await record(target, recorder, arguments.listen, on_listen, over)).passed

    passed = asyncio.run(work())
    full = "; the file is full" if recorder.full else ""
    print(
        f"{arguments.out}: {recorder.kept:,} requests kept, {recorder.not_kept:,} could not be "
        f"read, {passed:,} passed in all{full}"
    )
    return 0


def _list(arguments: argparse.Namespace) -> int:
    runs = _store(arguments).list()
    print(json.dumps(runs) if arguments.json else listing(runs))
    return 0


def _show(arguments: argparse.Namespace) -> int:
    run = _store(arguments).read(arguments.id)
    if arguments.json or run.get("kind") not in ("load", "ramp", "soak"):
        print(json.dumps(run, indent=None if arguments.json else 1))
    else:
        slo = SloSpec(**(run["spec"].get("slo") or {}))
        misses = slo_misses(slo, run) if run["kind"] == "load" else []
        print(f"{table(run)}\n\n{sentence(run, misses)}")
    return 0


COMMANDS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "run": _run,
    "ramp": _run,
    "soak": _soak,
    "record": _record,
    "list": _list,
    "show": _show,
}


def _store(arguments: argparse.Namespace) -> RunStore:
    overrides = {"state": Path(arguments.state)} if arguments.state else {}
    return RunStore(load_settings(os.environ, overrides).state / "runs")


def _first_model(url: str) -> str:
    target = Target.of(spec_from({"url": url, "model": "any"}).url)
    ready = ready_models(target)
    if not ready:
        raise InvalidInput(f"model is empty; {target.url} names none that is ready")
    return ready[0]
