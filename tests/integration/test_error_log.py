"""What an answer does not tell, the log does: found by the request's id."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.exchange import Exchange, Request, Response
from app.front import MOST_NOTES_PER_S, Front
from app.routes import Match
from engine.config import Settings
from engine.engine import Engine
from engine.errors import ModelFailed, without_folders

INNER = "[Errno 13] Permission denied: '/srv/models/secret/1/model.onnx'"
PATH = "/v2/models/digits/infer"


@pytest.fixture
def front(bundled_models: Path, shared_state: Path) -> Iterator[Front]:
    engine = Engine(Settings(models=bundled_models, state=shared_state, reload_interval_s=0.0))
    yield Front(engine)
    engine.close()


def ask(front: Front, error: Exception) -> tuple[int, str, Any]:
    """Status, request id and body of a request whose handler raises."""

    def fail(_: Exchange) -> Response:
        raise error

    request = Request(b"POST", PATH.encode(), {b"host": b"localhost"}, b"{}")
    exchange, match, _ = front.enter(request, "127.0.0.1")
    response = front.handle(exchange, Match(match.path, {"POST": fail}, match.path_args))
    return response.status, exchange.request_id, json.loads(response.body)


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (OSError(INNER), 500, "internal error; request {id}"),
        (KeyError(INNER), 500, "internal error; request {id}"),
        (
            ModelFailed(f"digits cannot be loaded: {INNER}"),
            503,
            "digits cannot be loaded: [Errno 13] Permission denied: 'model.onnx'",
        ),
    ],
)
def test_the_log_tells_by_the_request_id_what_the_answer_does_not(
    front: Front, caplog: pytest.LogCaptureFixture, error: Exception, status: int, told: str
) -> None:
    with caplog.at_level(logging.WARNING):
        answered, request_id, body = ask(front, error)
    assert answered == status
    assert body == {"error": told.format(id=request_id)}
    (line,) = [one for one in caplog.records if request_id in one.getMessage()]
    assert "/srv/models/secret/1/model.onnx" in caplog.text
    assert (line.exc_info is not None) == (status == 500)


def test_a_failed_model_asked_again_and_again_does_not_fill_the_log(
    front: Front, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(10 * MOST_NOTES_PER_S):
            ask(front, ModelFailed("digits has failed"))
    assert MOST_NOTES_PER_S <= len(caplog.records) <= 5 * MOST_NOTES_PER_S


def test_nesting_past_what_python_shows_is_the_callers_fault(front: Front) -> None:
    assert ask(front, RecursionError("maximum recursion depth"))[0] == 400


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("No such file: '/a/b/c.skops'", "No such file: 'c.skops'"),
        ("/a/b.c-d_e/f@1/x and /y/z", "x and z"),
        ("No such file: '/a b/it (1)/c d.skops'", "No such file: 'c d.skops'"),
        ("""'/a/b' -> "/it's/there/c" now""", """'b' -> "c" now"""),
        ("http://127.0.0.1:8050/v2/models", "http://127.0.0.1:8050/v2/models"),
        ("1/2 of 3/4; models/digits/1", "1/2 of 3/4; models/digits/1"),
        ("a 'predict' / b", "a 'predict' / b"),
    ],
)
def test_words_lose_the_folders_of_absolute_paths(words: str, shown: str) -> None:
    assert without_folders(words) == shown
