"""The bridge's own decisions, with a Ray Serve of known behaviour in place of a cluster."""

from __future__ import annotations

import asyncio
import io
import socket
from typing import Any

import pytest

pytest.importorskip("ray")
import grpc
from grpc.aio import AioRpcError, Metadata
from ray.exceptions import RaySystemError
from ray.serve.exceptions import BackPressureError

from engine.executors.frames import Message, frame_of, read_frame
from engine.executors.ray_bridge import MOST_BY_GRPC, Bridge
from engine.executors.ray_serve import App, Apps

CONFIG = {"prefix": "p", "retries": 2, "try_timeout_s": 0.05}
RUN = {"op": "run", "id": 7, "app": "m", "outputs": ["y"]}
TOO_LARGE = "x" * (16 * 1024 * 1024 + 1)
BROKEN = AioRpcError(grpc.StatusCode.CANCELLED, Metadata(), Metadata(), "ended")


class Response:
    """One try's: an answer, an error to raise, or None for one that never comes."""

    def __init__(self, answer: Message | Exception | None) -> None:
        self.answer, self.cancelled = answer, False

    def cancel(self) -> None:
        self.cancelled = True

    def __await__(self) -> Any:
        if self.answer is None:
            yield from asyncio.sleep(60).__await__()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Handle:
    """A deployment's: answers one after another."""

    def __init__(self, *answers: Message | Exception | None) -> None:
        self.responses = [Response(answer) for answer in answers]
        self.asked = 0
        self.chosen: list[dict[str, Any]] = []
        self.run = self

    def options(self, **chosen: Any) -> Handle:
        self.chosen.append(chosen)
        return self

    def remote(self, outputs: list[str], payload: bytes) -> Response:
        self.asked += 1
        return self.responses[self.asked - 1]


class Written:
    """A stream's end that keeps what is written."""

    def __init__(self) -> None:
        self.stream = io.BytesIO()

    def write(self, data: bytes) -> None:
        self.stream.write(data)

    async def drain(self) -> None: ...


def answer_of(handle: Handle, payload: bytes = b"") -> Message:
    """What the bridge says to one batch."""
    bridge = Bridge(None, CONFIG)  # type: ignore[arg-type]
    bridge._apps.connected["p-m"] = App("p-m", handle)
    bridge._writer = written = Written()  # type: ignore[assignment]
    asyncio.run(bridge._answer((RUN, payload)))
    written.stream.seek(0)
    answer = read_frame(written.stream)
    assert answer is not None
    assert (answer[0]["op"], answer[0]["id"]) == ("answer", 7)
    return answer


@pytest.mark.parametrize(
    "error",
    [BackPressureError(1, 1), RaySystemError("gone"), BROKEN],
    ids=["full", "gone", "broken off"],
)
def test_a_replica_that_is_full_or_gone_is_followed_by_another(error: Exception) -> None:
    handle = Handle(error, error, ({"run_ns": 1}, b"rows"))
    head, data = answer_of(handle)
    assert (head["run_ns"], head["tries"], data) == (1, 3, b"rows")
    head, _ = answer_of(Handle(error, error, error))
    assert head["tries"] == 3
    assert ("CANCELLED: ended" if error is BROKEN else type(error).__name__) in head["lost"]


def test_more_rows_than_a_replica_takes_by_grpc_go_by_reference() -> None:
    answer: Message = ({"run_ns": 1}, b"rows")
    handle = Handle(answer, answer)
    answer_of(handle, b"x" * MOST_BY_GRPC)
    assert handle.chosen == []
    answer_of(handle, b"x" * (MOST_BY_GRPC + 1))
    assert handle.chosen == [{"_by_reference": True}]


def test_a_batch_that_takes_too_long_is_not_tried_again() -> None:
    handle = Handle(None, ({"run_ns": 1}, b"rows"))
    head, _ = answer_of(handle)
    assert (head["lost"], head["tries"]) == ("no answer within 0.05 s", 1)
    assert (handle.asked, handle.responses[0].cancelled) == (1, True)


@pytest.mark.parametrize("odd", [TOO_LARGE, {1, 2}], ids=["too large", "no JSON"])
def test_an_answer_that_is_no_frame_is_told(odd: Any) -> None:
    head, data = answer_of(Handle(({"run_ns": 1, "odd": odd}, b"rows")))
    assert head["failed"].startswith("no answer to send: ")
    assert data == b""


@pytest.mark.parametrize(
    ("said", "taken_down"),
    [
        (frame_of({"op": "end"}), 1),
        (frame_of({"op": "run"}, b"rows")[:-1], 0),
    ],
    ids=["end", "part of a frame"],
)
def test_deployments_are_taken_down_at_the_end_only(
    said: bytes, taken_down: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []
    monkeypatch.setattr(Apps, "take_down", lambda self: taken.append(1))
    monkeypatch.setattr(Bridge, "_report_forever", lambda self: asyncio.sleep(60))
    ours, its = socket.socketpair()
    with ours:
        ours.sendall(said)
        ours.shutdown(socket.SHUT_WR)
        asyncio.run(Bridge(its, CONFIG).serve())
        with ours.makefile("rb") as stream:
            assert read_frame(stream) == ({"op": "up"}, b"")
    assert len(taken) == taken_down
