"""What is measured of each form, in the order in which it matters."""

from __future__ import annotations

import os
import time
import zlib
from dataclasses import replace

import numpy as np
import psutil

from bench.optimization.caller import NO_CACHE, Answer, Caller
from bench.optimization.figures import BEFORE, PLAN, SERVER, WARM, Figure
from bench.optimization.load import Peak
from bench.optimization.rows import MIX
from bench.optimization.servers import NOTHING, Running, first_answer_ms, running
from bench.optimization.steps import (
    AT_FIFTY,
    Bench,
    at_fifty,
    cold_model,
    cold_starts,
    memory,
    one_connection,
    path_of,
)

MIX_REQUESTS = 4000
PACED_PER_S = 20
READY, CONSOLE = "/v2/health/ready", "/settings"
RSS = "resident memory of the server's process"
GZIP_ROWS, GZIP_TRIES = 500, 20


def the_plan(bench: Bench) -> None:
    """Pyrometer as it is."""
    _make_plans(bench)
    _rest(bench)
    for name in bench.rows:
        cold_starts(bench, PLAN, name, 2)
    with bench.serving(PLAN) as server:
        first_answer_ms(server, READY, None)
        first_answer_ms(server, CONSOLE, None)
        server.call("POST", "/performance/warmup", {})
        for name in bench.rows:
            one_connection(bench, PLAN, name, server)
        memory(bench, PLAN, "memory_loaded_mb", server.memory_mb(), f"{RSS}, all models asked")
        _paced(bench, server)
        for name in bench.rows:
            cold_model(bench, PLAN, name, server, 5)
        _gzip(bench, server)
        peaks = [at_fifty(bench, PLAN, name, server) for name in bench.rows]
        _peak_cpu(bench, [found for found in peaks if found is not None])
        _mix(bench, server)
        memory(bench, PLAN, "memory_peak_mb", server.peak_mb(), "VmHWM of the server's process")


def warm(bench: Bench) -> None:
    """scikit-learn as it is, loaded once."""
    with bench.serving(WARM) as server:
        first_answer_ms(server, READY, None)
        server.call("POST", "/performance/warmup", {})
        for name in bench.rows:
            one_connection(bench, WARM, name, server)
        memory(bench, WARM, "memory_loaded_mb", server.memory_mb(), f"{RSS}, all models asked")
        for name in bench.rows:
            at_fifty(bench, WARM, name, server)
        for name in bench.rows:
            cold_model(bench, WARM, name, server, 2)
        memory(bench, WARM, "memory_peak_mb", server.peak_mb(), "VmHWM of the server's process")
    for name in bench.rows:
        cold_starts(bench, WARM, name, 1)


def before(bench: Bench) -> None:
    """scikit-learn loaded at each request."""
    names = list(bench.rows)
    for name in names:
        cold_starts(bench, BEFORE, name, 1)
    with bench.serving(BEFORE) as server:
        first_answer_ms(server, path_of(names[0]), bench.rows[names[0]].first())
        for name in names:
            one_connection(bench, BEFORE, name, server)
        memory(bench, BEFORE, "memory_loaded_mb", server.memory_mb(), f"{RSS}, all models asked")
        for name in names:
            _no_other(bench, name)
        at_fifty(bench, BEFORE, names[0], server, 10.0)
        for name in names[1:]:
            for figure, unit in AT_FIFTY:
                bench.figures.missing(
                    BEFORE, name, figure, unit, f"{names[0]} stands for all: it is slow"
                )
        memory(bench, BEFORE, "memory_peak_mb", server.peak_mb(), "VmHWM of the server's process")


def _no_other(bench: Bench, name: str) -> None:
    """Every answer of the handler before is one of a cold model."""
    found = bench.figures.by_key.get(f"{BEFORE}/{name}/warm_p50_ms")
    if found is not None and found.value is not None:
        how = "each request loads the model: p50 of them"
        bench.figures.put(BEFORE, name, "cold_model_ms", replace(found, how=how))


def _make_plans(bench: Bench) -> None:
    """Start once, so that plans are there; how long that took is a figure."""
    with bench.step(PLAN, SERVER, "plan: making plans", ("plans_ms", "ms")):
        with running(bench.places, PLAN) as server:
            first_answer_ms(server, READY, None)
            server.call("POST", "/performance/warmup", {})
            took_ms = 1e3 * (time.perf_counter() - server.started_s)
        how = "a first start over this state until every model was warm"
        bench.figures.put(PLAN, SERVER, "plans_ms", Figure(took_ms, "ms", 1, how, "one start"))


def _rest(bench: Bench) -> None:
    """A server without a model: its memory, and its processor time while nobody asks."""
    names = (("memory_base_mb", "MB"), ("cpu_idle_percent", "%"), ("other_cpu_percent", "%"))
    with bench.step(PLAN, SERVER, "plan: at rest", *names) as has_time:
        if not has_time:
            return
        with running(bench.places, PLAN, NOTHING) as server:
            first_answer_ms(server, "/v2/health/live", None)
            first_answer_ms(server, CONSOLE, None)
            time.sleep(bench.window_s(2.0))  # what the start leaves to do is done
            seconds = bench.window_s(6.0)
            psutil.cpu_percent()
            percent = _cpu_percent(server, seconds)
            others = max(0.0, psutil.cpu_percent() - percent / (os.cpu_count() or 1))
            how = "processor time of the server's process over the clock's; 100 % is one core"
            figure = Figure(percent, "%", 1, how, f"{seconds:.1f} s without a request")
            bench.figures.put(PLAN, SERVER, "cpu_idle_percent", figure)
            how = "processor time of all other processes, of all cores: what disturbs the figures"
            figure = Figure(others, "%", 1, how, f"{seconds:.1f} s without a request")
            bench.figures.put(PLAN, SERVER, "other_cpu_percent", figure)
            how = f"{RSS}, console built, no model loaded"
            memory(bench, PLAN, "memory_base_mb", server.memory_mb(), how)


def _cpu_percent(server: Running, seconds: float) -> float:
    began_s, before_s = time.perf_counter(), server.cpu_s()
    time.sleep(seconds)
    return 100 * (server.cpu_s() - before_s) / (time.perf_counter() - began_s)


def _paced(bench: Bench, server: Running) -> None:
    """Processor time at PACED_PER_S requests a second, all models in turn, no cache."""
    words = f"plan: {PACED_PER_S} requests/s"
    with bench.step(PLAN, SERVER, words, ("cpu_at_20_percent", "%")) as has_time:
        if not has_time:
            return
        seconds = bench.window_s(6.0)
        count = max(10, round(seconds * PACED_PER_S))
        requests = [(path_of(name), rows.first()) for name, rows in bench.rows.items()]
        caller = Caller(server.port)
        began_s, before_s = time.perf_counter(), server.cpu_s()
        for number in range(count):
            time.sleep(max(0.0, began_s + number / PACED_PER_S - time.perf_counter()))
            path, body = requests[number % len(requests)]
            caller.post(path, body, NO_CACHE)
        elapsed_s = time.perf_counter() - began_s
        percent = 100 * (server.cpu_s() - before_s) / elapsed_s
        caller.close()
        bench.progress.requests += count
        how = f"{PACED_PER_S} requests/s, models in turn, no-cache; 100 % is one core"
        figure = Figure(percent, "%", count, how, f"{elapsed_s:.1f} s")
        bench.figures.put(PLAN, SERVER, "cpu_at_20_percent", figure)


def _peak_cpu(bench: Bench, peaks: list[Peak]) -> None:
    """The most processor time of the windows at fifty connections, and errors of them all."""
    names = (("cpu_peak_percent", "%"), ("errors_at_50_percent", "%"))
    with bench.step(PLAN, SERVER, "plan: peak", *names):
        if not peaks:
            raise RuntimeError("no window at 50 connections was measured")
        cores = os.cpu_count() or 1
        percent = max(found.cpu_percent for found in peaks) / cores
        how = f"the server's processor time at 50 connections, the busiest window, of {cores} cores"
        figure = Figure(percent, "%", len(peaks), how, f"{len(peaks)} windows")
        bench.figures.put(PLAN, SERVER, "cpu_peak_percent", figure)
        requests = sum(found.requests + found.failed for found in peaks)
        failed = 100 * sum(found.failed for found in peaks) / max(1, requests)
        how = "wrk -t1 -c50: socket errors and statuses over 399"
        figure = Figure(failed, "%", requests, how, f"{len(peaks)} windows")
        bench.figures.put(PLAN, SERVER, "errors_at_50_percent", figure)


def _mix(bench: Bench, server: Running) -> None:
    """Hit rate, time and memory of a mix that repeats, with caches and without."""
    names = (
        *(("hit_percent", "%"), ("reduction_by_caches_percent", "%")),
        *(("cache_overhead_mb", "MB"), ("cache_held_mb", "MB")),
    )
    with bench.step(PLAN, SERVER, "plan: repeated mix", *names) as has_time:
        if not has_time:
            return
        count = max(1000, round(MIX_REQUESTS * min(1.0, bench.scale)))
        without: list[Answer] = []
        answers: list[Answer] = []
        server.call("POST", "/performance/cache/clear", {})
        fill = count // 2
        mixes = {name: rows.mix(fill + count) for name, rows in bench.rows.items()}
        for name, bodies in mixes.items():
            without += _sent(server, name, bodies[:fill], NO_CACHE)
        memory_mb = server.memory_mb()
        for name, bodies in mixes.items():
            _sent(server, name, bodies[:fill], "")
            answers += _sent(server, name, bodies[fill:], "")
        bench.progress.requests += len(answers) + len(without)
        hits = sum("x-cache-hit: true" in answer.head for answer in answers)
        tiers = server.call("GET", "/performance/cache")[1]["tiers"]
        held_mb = sum(t["bytes"] for t in tiers if t["tier"] != "models") / 1e6
        means = [float(np.mean([a.took_ms for a in some])) for some in (answers, without)]
        values = (
            100 * hits / len(answers),
            100 * (1 - means[0] / means[1]),
            max(0.0, server.memory_mb() - memory_mb),
            held_mb,
        )
        hows = (
            f"answers with X-Cache-Hit: true; the mix: {MIX}",
            f"1 - mean with caches ({means[0]:.4f} ms) / mean with no-cache ({means[1]:.4f} ms)",
            f"{RSS} after the mix less before it",
            "bytes that the tiers of /performance/cache hold after the mix",
        )
        window = f"{count:,} requests to each of {len(mixes)} models, after {fill:,} that filled"
        for (name, unit), value, how in zip(names, values, hows, strict=True):
            bench.figures.put(PLAN, SERVER, name, Figure(value, unit, len(answers), how, window))


def _sent(server: Running, name: str, bodies: list[bytes], headers: str) -> list[Answer]:
    caller = Caller(server.port)
    answers = [caller.post(path_of(name), body, headers) for body in bodies]
    caller.close()
    if any(answer.status != 200 for answer in answers):
        raise RuntimeError(f"{name}: an answer other than 200")
    return answers


def _gzip(bench: Bench, server: Running) -> None:
    """Ratio and time of packing a large answer at the level that the server chose."""
    names = (("gzip_ratio", "x"), ("gzip_ms", "ms"), ("gzip_answer_kb", "kB"))
    with bench.step(PLAN, SERVER, "plan: gzip", *names):
        name, body = _largest(bench, server)
        caller = Caller(server.port)
        plain = caller.post(path_of(name), body, NO_CACHE)
        packed = caller.post(path_of(name), body, NO_CACHE + "accept-encoding: gzip\r\n")
        caller.close()
        content = server_body(server, name, body)
        chosen = server.call("GET", "/performance/system")[1]["http"]["gzip"]
        level, filtered = int(chosen["level"]), bool(chosen["filtered"])
        times_ms = [_packed_ms(content, level, filtered) for _ in range(GZIP_TRIES)]
        window = f"an answer of {len(content):,} bytes: {GZIP_ROWS} rows of {name}"
        ratio = Figure(
            plain.body_bytes / packed.body_bytes, "x", 1, "content-length without / with", window
        )
        words = f"zlib level {level}{', filtered' if filtered else ''}"
        how = f"{words}, the server's own choice, on the answer's bytes; median"
        figures = bench.figures
        figures.put(PLAN, SERVER, "gzip_ratio", ratio)
        figures.median(PLAN, SERVER, "gzip_ms", times_ms, how, window)
        size = Figure(len(content) / 1e3, "kB", 1, "the answer's length", window)
        figures.put(PLAN, SERVER, "gzip_answer_kb", size)


def server_body(server: Running, name: str, body: bytes) -> bytes:
    """A whole answer, not packed."""
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        connection.request("POST", path_of(name), body, {"Cache-Control": "no-cache"})
        return connection.getresponse().read()
    finally:
        connection.close()


def _largest(bench: Bench, server: Running) -> tuple[str, bytes]:
    """The model with the largest answer to GZIP_ROWS rows, and the request."""
    sizes: dict[str, tuple[int, bytes]] = {}
    for name, rows in bench.rows.items():
        metadata = server.call("GET", f"/v2/models/{name}")[1]
        known = [output["name"] for output in metadata["outputs"]]
        asked = tuple(o for o in ("predict", "predict_proba") if o in known) or tuple(known[:1])
        body = rows.block(GZIP_ROWS, asked)
        sizes[name] = (len(server_body(server, name, body)), body)
    name = max(sizes, key=lambda one: sizes[one][0])
    return name, sizes[name][1]


def _packed_ms(content: bytes, level: int, filtered: bool) -> float:
    began_s = time.perf_counter()
    strategy = zlib.Z_FILTERED if filtered else zlib.Z_DEFAULT_STRATEGY
    packer = zlib.compressobj(level, zlib.DEFLATED, 31, zlib.DEF_MEM_LEVEL, strategy)
    packer.compress(content)
    packer.flush()
    return 1e3 * (time.perf_counter() - began_s)
