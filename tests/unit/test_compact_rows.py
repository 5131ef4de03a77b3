"""Short rows against times read by hand, and what the recorder does when nobody drains it."""

from __future__ import annotations

import numpy as np
import pytest

from engine.telemetry import recorder as recorders
from engine.telemetry.compact import (
    EACH,
    pack_each,
    pack_hit,
    pack_turn,
    rows_of_hits,
    rows_of_turns,
)
from engine.telemetry.labels import Label
from engine.telemetry.record import PHASES, RequestMetrics
from engine.telemetry.recorder import Recorder
from engine.telemetry.rows import COLUMN, ROW_BYTES
from engine.types import RESPONSE_HIT

PHASE_COLUMNS = [COLUMN[f"{phase}_ns"] for phase in PHASES]


def ms(row: np.ndarray, phase: str) -> float:
    return float(row[COLUMN[f"{phase}_ns"]] / 1e6)


@pytest.fixture
def turn() -> np.ndarray:
    """Two requests of one run: it began at 10.006 s, had its rows at 10.007, had run at 10.010."""
    shared = pack_turn(3, 1, 50, 2, 5, -1, 10.006, 10.007, 10.010)
    each = bytearray()
    # started, looked up, parsed, encoded, packed, kept, ended
    each += pack_each(2, 100, 40, 10.000, 10.001, 10.003, 10.012, 10.012, 10.013, 10.014)
    each += pack_each(3, 200, 60, 10.002, 10.003, 10.005, 10.017, 10.019, 10.019, 10.020)
    return rows_of_turns(bytearray(shared), each)


def test_a_turns_requests_are_numbered_and_share_its_run(turn: np.ndarray) -> None:
    assert turn[:, COLUMN["ordinal"]].tolist() == [50, 51]
    assert turn[:, COLUMN["rows"]].tolist() == [2, 3]
    assert turn[:, COLUMN["batch_rows"]].tolist() == [5, 5]
    assert turn[:, COLUMN["label"]].tolist() == [3, 3]
    assert turn[:, COLUMN["status"]].tolist() == [200, 200]
    assert [ms(row, "inference") for row in turn] == pytest.approx([3.0, 3.0])


def test_who_comes_second_in_a_turn_waits_for_the_first_one_to_be_answered(
    turn: np.ndarray,
) -> None:
    first, second = turn
    assert ms(first, "decode") == pytest.approx(2 + 1)  # parsing, and putting rows in place
    assert ms(first, "queue") == pytest.approx(3)
    assert ms(first, "encode") == pytest.approx(2)
    # The run ended at 10.010, its own turn came at 10.014 when the first had its answer.
    assert ms(second, "queue") == pytest.approx(1 + 4)
    assert ms(second, "encode") == pytest.approx(3)
    assert ms(second, "compress") == pytest.approx(2)


def test_phases_of_a_turn_add_up_to_each_requests_time(turn: np.ndarray) -> None:
    assert turn[:, COLUMN["duration_ns"]].tolist() == [14_000_000, 18_000_000]
    sums = turn[:, PHASE_COLUMNS].sum(axis=1)
    assert sums.tolist() == pytest.approx(turn[:, COLUMN["duration_ns"]].tolist(), abs=5)


def test_several_turns_keep_apart() -> None:
    turns, each = bytearray(), bytearray()
    for number, ordinal in ((1, 7), (2, 9)):
        began = 100.0 * number
        turns += pack_turn(number, 0, ordinal, 1, 1, -1, began + 1, began + 1, began + 2)
        each += pack_each(
            1, 8, 8, began, began, began + 1, began + 2, began + 2, began + 2, began + 2
        )
    rows = rows_of_turns(turns, each)
    assert rows[:, COLUMN["label"]].tolist() == [1, 2]
    assert rows[:, COLUMN["queue_ns"]].tolist() == [0, 0]
    assert rows[:, COLUMN["inference_ns"]].tolist() == [1_000_000_000, 1_000_000_000]


def test_a_hit_has_a_lookup_a_write_and_no_run() -> None:
    (row,) = rows_of_hits(bytearray(pack_hit(4, 2, 11, 6, 70, 30, 5.0, 5.00025, 5.001)))
    assert row[COLUMN["cache"]] == RESPONSE_HIT
    assert (ms(row, "cache"), ms(row, "write")) == (pytest.approx(0.25), pytest.approx(0.75))
    assert row[COLUMN["duration_ns"]] == 1_000_000
    assert row[COLUMN["inference_ns"]] == 0
    assert row[COLUMN["memory_before_kb"]] == -1


def test_nothing_packed_is_no_rows() -> None:
    assert len(rows_of_turns(bytearray(), bytearray())) == 0
    assert len(rows_of_hits(bytearray())) == 0


def test_all_four_roads_meet_in_one_drain() -> None:
    recorder = Recorder("run-")
    label = recorder.label_id(Label("m", "1", "", "/infer", True))
    recorder.append(RequestMetrics("own", "/infer", 200, "m", "1", rows=1))
    recorder.extend_turn(
        pack_turn(label, 0, recorder.reserve(1), 1, 1, -1, 1.0, 1.0, 1.1),
        bytearray(pack_each(2, 8, 8, 1.0, 1.0, 1.0, 1.1, 1.1, 1.1, 1.1)),
    )
    recorder.extend_hit(pack_hit(label, 0, recorder.reserve(1), 3, 8, 8, 2.0, 2.0, 2.1))
    rows = recorder.drain().rows
    assert sorted(rows[:, COLUMN["rows"]].tolist()) == [1, 2, 3]
    assert len(recorder.drain().rows) == 0
    assert sorted(record.rows for record in recorder.recent()) == [1, 2, 3]


def test_what_nobody_drains_is_counted_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorders, "MAX_PENDING", 2)
    recorder = Recorder()
    record = RequestMetrics("r", "/infer", 200, "m", "1")
    for _ in range(3):
        recorder.append(record)
    assert recorder.dropped == 1
    recorder.extend(bytes(2 * ROW_BYTES))
    assert recorder.dropped == 3
    each = bytes(EACH.itemsize)
    for _ in range(3):
        recorder.extend_turn(pack_turn(0, 0, 1, 1, 1, -1, 0.0, 0.0, 0.0), bytearray(each))
    assert recorder.dropped == 4
    for _ in range(3):
        recorder.extend_hit(pack_hit(0, 0, 1, 1, 1, 1, 0.0, 0.0, 0.0))
    assert recorder.dropped == 5
    drained = recorder.drain()
    assert (len(drained.rows), drained.dropped) == (6, 5)


def test_a_recorder_that_is_off_takes_nothing() -> None:
    recorder = Recorder(enabled=False)
    recorder.append(RequestMetrics("r", "/infer", 200, "m", "1"))
    assert len(recorder.drain().rows) == 0
    assert recorder.dropped == 0


def test_forms_beyond_the_bound_have_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorders, "MAX_FORMS", 3)
    recorder = Recorder()
    assert [recorder.form_id(name) for name in ("a", "b", "c", "a")] == [1, 2, 0, 1]
