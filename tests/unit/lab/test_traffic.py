"""The file of recorded traffic."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.lab import traffic
from engine.errors import InvalidInput

HEAD = traffic.head_line(1.0, "replaced", 0.0)


def write(path: Path, *lines: bytes) -> Path:
    path.write_bytes(HEAD + b"".join(lines))
    return path


def test_what_was_written_is_read(tmp_path: Path) -> None:
    file = write(
        tmp_path / "t.jsonl",
        traffic.entry_line(0.0, "/v2/models/a/infer", {"inputs": []}, b""),
        traffic.entry_line(1.5, "/v2/models/b/versions/2/infer", {"inputs": [1]}, b"\x00\xff"),
    )
    first, second = traffic.read(file)
    assert (first.time_s, first.body, first.header_bytes) == (0.0, b'{"inputs":[]}', None)
    assert second.body == b'{"inputs":[1]}\x00\xff'
    assert second.header_bytes == len(b'{"inputs":[1]}')


def test_only_one_models_requests_may_be_asked_for(tmp_path: Path) -> None:
    file = write(
        tmp_path / "t.jsonl",
        traffic.entry_line(0.0, "/v2/models/a/infer", {}, b""),
        traffic.entry_line(1.0, "/v2/models/b/infer", {}, b""),
    )
    assert [one.path for one in traffic.read(file, model="b")] == ["/v2/models/b/infer"]


@pytest.mark.parametrize(
    "line",
    [
        b"nonsense\n",
        b'{"t": 0, "path": "/v2/models/a/infer\\r\\nx: y", "body": {}}\n',
        b'{"t": 0, "path": "/elsewhere", "body": {}}\n',
        b'{"t": -1, "path": "/v2/models/a/infer", "body": {}}\n',
        b'{"t": NaN, "path": "/v2/models/a/infer", "body": {}}\n',
        b'{"path": "/v2/models/a/infer", "body": {}}\n',
        b'{"t": 0, "path": "/v2/models/a/infer", "head": {}, "binary": "?"}\n',
        b"[]\n",
    ],
)
def test_a_line_that_is_no_request_is_named(tmp_path: Path, line: bytes) -> None:
    with pytest.raises(InvalidInput, match=r"payload\.path: line 2"):
        traffic.read(write(tmp_path / "t.jsonl", line))


def test_times_must_not_go_back(tmp_path: Path) -> None:
    entries = [traffic.entry_line(t, "/v2/models/a/infer", {}, b"") for t in (2.0, 1.0)]
    with pytest.raises(InvalidInput, match="line 3"):
        traffic.read(write(tmp_path / "t.jsonl", *entries))


def test_another_file_is_refused_by_its_first_line(tmp_path: Path) -> None:
    file = tmp_path / "other.jsonl"
    file.write_text('{"inputs": []}\n')
    with pytest.raises(InvalidInput, match=r"line 1 .*pyrometer-traffic"):
        traffic.read(file)
