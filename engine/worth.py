"""What the engine's parts are worth in production: time saved, and whether plans still hold.

each second   the ticker's rows -> effectiveness/savings.py -> an hour and totals by model
now and then  effectiveness/auditor.py has rows that were served run again by the model as
              it is, in a child process; what it finds goes to gauges, and by them to alerts
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from engine.audited import AuditedModel, rerun_child, why_not_audited
from engine.caching.embeddings import EncoderUse
from engine.effectiveness.auditor import Auditor, Subject
from engine.effectiveness.audits import ModelAudits
from engine.effectiveness.hour import Hourly
from engine.effectiveness.savings import (
    SOURCE_AT,
    SOURCES,
    Ran,
    Spent,
    Times,
    saved_by_batching_ns,
    saved_by_plan_ns,
)
from engine.models.loaded import LoadedModel
from engine.telemetry.labels import Label
from engine.telemetry.rows import COLUMN, places_of
from engine.telemetry.ticker import Second
from engine.types import DISK_HIT, MISSED, RESPONSE_HIT, RESULT_HIT, SHARED_HIT

if TYPE_CHECKING:
    from engine.engine import Engine

CHILD_IDLE_S = 60.0
DRIFT_PERCENT = 50.0
MOST_SPENT = 500
HITS = {
    **{"responses": RESPONSE_HIT, "results": RESULT_HIT},
    **{"disk": DISK_HIT, "redis": SHARED_HIT},
}
ANSWERING = ("decode_ns", "encode_ns", "compress_ns")
READ = ("rows", "batch_rows", "cache", "form", "inference_ns", "cache_ns", *ANSWERING)
"""Columns of a request that are needed."""


class Worth:
    """One engine's. Written by the ticker and the auditor's thread, read by any.

    unpriced_hits: of caches, while no run of their model was measured to compare with.
    """

    def __init__(self, engine: Engine, monotonic: Callable[[], float] = time.monotonic) -> None:
        settings = engine.settings
        self._engine, self.monotonic = engine, monotonic
        self.started_s = monotonic()
        self.saved, self.gzip = Hourly(len(SOURCES)), Hourly(2)
        self.unpriced_hits = 0
        self._spent: dict[tuple[str, str], Spent] = {}
        self._second_ms = np.zeros(len(SOURCES))
        self._gzip_before, self._gzip_second = np.zeros(2), np.zeros(2)
        self._encoders: dict[str, tuple[int, int]] = {}
        self._subjects: dict[tuple[str, str], AuditedModel] = {}
        self.auditor: Auditor | None = None
        if settings.audit_interval_s > 0 and settings.optimise:
            child = rerun_child(settings.audit_memory_bytes, CHILD_IDLE_S, monotonic)
            event = engine.ticker.event
            self.auditor = Auditor(
                settings.audit_interval_s, child, self._loaded, event, DRIFT_PERCENT, monotonic
            )
            thread = self.auditor.thread
            engine.monitoring.watched.append(lambda: [thread])
        engine.ticker.after.append(self.follow)
        engine.monitoring.gauges.append(self.gauges)

    def start(self) -> None:
        if self.auditor is not None:
            self.auditor.start()

    def close(self) -> None:
        if self.auditor is not None:
            self.auditor.stop()

    def _loaded(self) -> list[Subject]:
        """Models in memory that can be audited, the same object as long as each is loaded."""
        found: dict[tuple[str, str], AuditedModel] = {}
        for slot in self._engine.registry.slots():
            model = slot.model
            if model is None or why_not_audited(model) is not None:
                continue
            before = self._subjects.get(slot.entry.key)
            same = before is not None and before.is_of(model)
            found[slot.entry.key] = (
                before if before and same else AuditedModel(model, self._engine.trust)
            )
        self._subjects = found
        return list(found.values())

    # each second

    def follow(self, second: Second) -> None:
        """Add what the requests of one second saved."""
        self._second_ms = np.zeros(len(SOURCES))
        for number, chosen in _answered(second.rows):
            label = self._engine.recorder.labels[number]
            if label.is_service and label.model:
                columns = {name: second.rows[chosen, COLUMN[name]] for name in READ}
                self._add(label.model, self._saved_ns(label, columns, second.elapsed_s), second)
        for name, saved_ns in self._saved_by_embeddings():
            self._add(name, saved_ns, second)
        gzip = self._gzip_totals()
        self._gzip_second = (gzip - self._gzip_before) / second.elapsed_s
        self.gzip.add("", gzip - self._gzip_before, second.monotonic_s)
        self._gzip_before = gzip

    def _add(self, model: str, saved_ns: np.ndarray, second: Second) -> None:
        if saved_ns.any():
            self.saved.add(model, saved_ns / 1e9, second.monotonic_s)
            self._second_ms += saved_ns / 1e6 / second.elapsed_s

    def _saved_ns(
        self, label: Label, column: Mapping[str, np.ndarray], elapsed_s: float
    ) -> np.ndarray:
        """By source, of one label's answered requests; column: each (n,), by READ."""
        saved = np.zeros(len(SOURCES))
        ran = (column["batch_rows"] > 0) & (column["rows"] > 0) & (column["cache"] <= MISSED)
        model = self._engine.registry.serving(label.model, label.version)
        of_runs = column if ran.all() else {name: values[ran] for name, values in column.items()}
        runs = Ran(of_runs["rows"], of_runs["batch_rows"], of_runs["inference_ns"])
        if model is not None and len(runs.rows):
            self._save_runs(saved, model, runs, of_runs["form"])
        spent = self._spent_by(label, of_runs, runs, elapsed_s)
        if len(runs.rows) == len(ran):
            return saved
        for source, cache in HITS.items():
            hit = column["cache"] == cache
            hits = int(np.count_nonzero(hit))
            if hits:
                saved_ns = spent.saved_ns(source, hits, float(column["cache_ns"][hit].sum()))
                self.unpriced_hits += hits if saved_ns is None else 0
                saved[SOURCE_AT[source]] = saved_ns or 0.0
        return saved

    def _save_runs(
        self, saved: np.ndarray, model: LoadedModel, runs: Ran, forms: np.ndarray
    ) -> None:
        plan, oracle = model.plan, model.plan.oracle
        chosen = plan.served_us
        if not chosen:
            return
        oracle_scale, form_scale = self._scales(model)
        form = Times(chosen, form_scale)
        if model.entry.declared.encoder:
            # What such a run took has the encoder's part in it: the table's times instead.
            runs = runs._replace(run_ns=form.at(runs.batch_rows))
        saved[SOURCE_AT["batching"]] = saved_by_batching_ns(runs, form)
        compiled = forms != self._engine.recorder.form_id(oracle.form)
        if oracle.run_us and compiled.any():
            of_forms = runs if compiled.all() else Ran(*(values[compiled] for values in runs))
            saved[SOURCE_AT["plan"]] = saved_by_plan_ns(
                of_forms, Times(oracle.run_us, oracle_scale)
            )

    def _spent_by(
        self, label: Label, ran: Mapping[str, np.ndarray], runs: Ran, elapsed_s: float
    ) -> Spent:
        key = (label.model, label.version)
        if key not in self._spent and len(self._spent) >= MOST_SPENT:
            self._spent.clear()
        spent = self._spent.setdefault(key, Spent())
        running = float(runs.own_ns.sum() + ran["cache_ns"].sum())
        rest = sum(float(ran[name].sum()) for name in ANSWERING)
        spent.add(len(runs.rows), running + rest, running, elapsed_s)
        return spent

    def _saved_by_embeddings(self) -> list[tuple[str, np.ndarray]]:
        embeddings, found = self._engine.embeddings, []
        for name, use in tuple(embeddings.use.items()) if embeddings is not None else ():
            saved_ns = np.zeros(len(SOURCES))
            saved_ns[SOURCE_AT["embeddings"]] = self._hits_since(name, use)
            found.append((name, saved_ns))
        return found

    def _hits_since(self, name: str, use: EncoderUse) -> float:
        """Nanoseconds that rows found since the last second would have taken to encode."""
        hits = use.hits + use.disk_hits
        before, _ = self._encoders.get(name, (0, 0))
        self._encoders[name] = (hits, use.encoded)
        return (hits - before) * use.encode_ns / use.encoded if use.encoded else 0.0

    def _gzip_totals(self) -> np.ndarray:
        """Bytes saved and seconds spent since the start, of all answers that were packed."""
        read = self._engine.figures.get("http")
        figures = read()["gzip"] if read is not None else {}
        saved = figures.get("bytes_in", 0) - figures.get("bytes_out", 0)
        return np.array([saved, figures.get("seconds", 0.0)], dtype=np.float64)

    def _scales(self, model: LoadedModel) -> tuple[float, float]:
        audits = self.audits_of(model.name, model.version)
        return audits.scales(self.monotonic()) if audits is not None else (1.0, 1.0)

    def audits_of(self, name: str, version: str) -> ModelAudits | None:
        """Of a version that is loaded and audited."""
        return None if self.auditor is None else self.auditor.audits().get((name, version))

    # for anybody

    def gauges(self) -> dict[str, float | None]:
        """What the ring keeps: of the second before."""
        auditor = self.auditor
        saved = dict(zip(SOURCES, self._second_ms.tolist(), strict=True))
        differing = None if auditor is None else auditor.differing_rows()
        return {
            **{f"saved_by_{source}_ms": ms for source, ms in saved.items()},
            "gzip_saved_bytes_per_s": float(self._gzip_second[0]),
            "gzip_ms": float(self._gzip_second[1] * 1e3),
            "audit_differing_rows": None if differing is None else float(differing),
            "audit_speed_percent": None if auditor is None else auditor.speed_percent(),
        }


def _answered(rows: np.ndarray) -> Iterator[tuple[int, np.ndarray | slice]]:
    """Labels of a second's requests, each with where those lie that were answered."""
    numbers, answered = rows[:, 0], rows[:, COLUMN["status"]] < 400
    labels = np.flatnonzero(np.bincount(numbers)).tolist() if len(rows) else []
    for number in labels:
        yield number, places_of(answered & (numbers == number))
