"""Answers of the console that are kept packed."""

from __future__ import annotations

from pathlib import Path

import pytest

from app import kept
from app.bundle import bundle
from app.exchange import Request, Response
from app.kept import KeptAnswers

FOREVER = ("cache-control", "public, max-age=31536000, immutable")


def request(target: bytes = b"/assets/console.1.js", method: bytes = b"GET") -> Request:
    return Request(method, target, {}, b"")


def test_an_answer_that_never_changes_is_kept() -> None:
    answers = KeptAnswers()
    answers.keep(request(), Response(200, b"packed", [FOREVER]))
    found = answers.find(request())
    assert found is not None
    assert (found.body, found.headers) == (b"packed", [FOREVER])
    assert answers.find(request(method=b"POST")) is None
    assert answers.find(request(b"/assets/console.2.js")) is None


@pytest.mark.parametrize(
    ("status", "headers"),
    [(200, []), (200, [("cache-control", "no-cache")]), (404, [FOREVER]), (304, [FOREVER])],
)
def test_any_other_answer_is_not(status: int, headers: list[tuple[str, str]]) -> None:
    answers = KeptAnswers()
    answers.keep(request(), Response(status, b"x", headers))
    assert answers.find(request()) is None


def test_a_package_s_file_is_kept_and_not_sent_to_who_has_it() -> None:
    answers, target = KeptAnswers(), b"/_dash-component-suites/plotly/plotly.min.js"
    headers = [("ETag", '"abc"'), ("content-encoding", "gzip")]
    answers.keep(request(target), Response(200, b"packed", headers))
    known = Request(b"GET", target, {b"if-none-match": b'"x", "abc"'}, b"")
    found = answers.find(known)
    assert found is not None
    assert (found.status, found.body) == (304, b"")
    other = answers.find(Request(b"GET", target, {b"if-none-match": b'"x"'}, b""))
    assert other is not None
    assert (other.status, other.body) == (200, b"packed")


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MOST_BYTES", 25)
    answers = KeptAnswers()
    for number in range(5):
        answers.keep(request(b"/%d" % number), Response(200, b"x" * 10, [FOREVER]))
    assert answers.used_bytes == 20
    assert [answers.find(request(b"/%d" % n)) is not None for n in range(3)] == [True, True, False]


def test_how_many_are_kept_and_how_long_their_addresses_are_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kept, "MOST_ANSWERS", 3)
    answers = KeptAnswers()
    for number in range(5):
        answers.keep(request(b"/%d" % number), Response(200, b"x", [FOREVER]))
    assert [answers.find(request(b"/%d" % n)) is not None for n in range(5)] == [0, 0, 1, 1, 1]
    assert answers.used_bytes == 3
    answers.keep(request(b"/" + b"x" * 600), Response(200, b"x", [FOREVER]))
    assert answers.find(request(b"/" + b"x" * 600)) is None


def test_who_is_given_a_kept_answer_cannot_change_it() -> None:
    answers = KeptAnswers()
    answers.keep(request(), Response(200, b"packed", [FOREVER]))
    first = answers.find(request())
    assert first is not None
    first.headers.append(("x-request-id", "1"))
    again = answers.find(request())
    assert again is not None
    assert again.headers == [FOREVER]


def test_a_bundle_s_name_changes_with_its_content(tmp_path: Path) -> None:
    (tmp_path / "b.js").write_text("b();\n")
    (tmp_path / "a.js").write_text("a();")
    first = bundle(tmp_path, "js")
    assert first.content == b"/* a.js */\na();\n\n/* b.js */\nb();\n"
    (tmp_path / "a.js").write_text("a2();")
    assert bundle(tmp_path, "js").name != first.name
