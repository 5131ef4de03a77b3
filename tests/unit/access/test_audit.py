"""The audit log: appended, bounded, read again."""

from __future__ import annotations

import stat
from pathlib import Path

import orjson
import pytest

from app.access.audit import FILE, KEPT_IN_MEMORY, OLDER_FILES, AuditLog, target_of


def log_in(folder: Path, most_bytes: int = 100_000) -> AuditLog:
    return AuditLog(folder, lambda: 5.25, most_bytes)


def note(log: AuditLog, number: int) -> None:
    log.note("key ci (12)", "127.0.0.1", "POST /x", {"model": f"m{number}"}, 200, f"r{number}")


def test_a_line_says_who_did_what_to_what_and_how_it_ended(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    note(log, 1)
    line = {
        "time": 5.25,
        "who": "key ci (12)",
        "address": "127.0.0.1",
        "what": "POST /x",
        "target": {"model": "m1"},
        "status": 200,
        "request": "r1",
    }
    assert orjson.loads((tmp_path / FILE).read_bytes()) == line
    assert log.newest(10) == [line]
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600


def test_the_newest_come_first_and_outlive_a_restart(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    for number in range(KEPT_IN_MEMORY + 5):
        note(log, number)
    log.close()
    (tmp_path / FILE).open("ab").write(b'{"torn')
    for held in (log, log_in(tmp_path)):
        newest = held.newest(KEPT_IN_MEMORY + 5)
        assert newest[0]["request"] == f"r{KEPT_IN_MEMORY + 4}"
        assert len(newest) <= KEPT_IN_MEMORY


def test_files_are_bounded_in_size_and_number(tmp_path: Path) -> None:
    log = log_in(tmp_path, most_bytes=1000)
    for number in range(200):
        note(log, number)
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == sorted([FILE, *(f"audit.{place}.jsonl" for place in range(1, OLDER_FILES + 1))])
    assert all(path.stat().st_size <= 1000 for path in tmp_path.iterdir())
    assert b"r199" in (tmp_path / FILE).read_bytes()


def test_a_disk_that_refuses_costs_the_line_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = log_in(tmp_path)

    def full(descriptor: int, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("app.access.audit.os.write", full)
        note(log, 1)
    assert log.unwritten == 1
    note(log, 2)
    assert [entry["request"] for entry in log.newest(5)] == ["r2", "r1"]
    assert b"r2" in (tmp_path / FILE).read_bytes()


@pytest.mark.parametrize(
    ("body", "target"),
    [
        (b"", {"model": "m"}),
        (b"no json", {"model": "m"}),
        (b"[1]", {"model": "m"}),
        (b'{"tier": "results", "secret": "s"}', {"model": "m", "tier": "results"}),
        (b'{"models": ["a", "b", 3]}', {"model": "m", "models": "a, b"}),
        (b'{"pinned": true, "id": {"x": 1}}', {"model": "m", "pinned": True}),
    ],
)
def test_a_target_is_names_alone(body: bytes, target: dict[str, object]) -> None:
    assert target_of({"model": "m"}, body) == target


def test_a_long_name_is_cut() -> None:
    assert len(target_of({"model": "m" * 1000}, b"")["model"]) == 200
