"""Parts of the Ray executor that need no Ray: the rule, frames, the link, and standing in."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest

from engine.caching.payload import dump_run, load_run
from engine.executors.frames import BadFrame, Message, frame_of, read_frame, read_frame_async
from engine.executors.placement import WORTH, choice_of, place
from engine.executors.ray_link import AWAY, STARTING, UP, Link, nothing_at
from engine.executors.remote import AUTO, LOCAL, RAY, RemoteLost
from engine.executors.scheduler import Job
from engine.models.loaded import Run
from engine.sent import Figures, Sent, Switch
from tests.conftest import free_port
from tests.waiting import until

INLINE_US = 1000.0
ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize(
    ("choice", "obstacle", "run_us", "trip_us", "where", "words"),
    [
        (LOCAL, None, {1: 90_000.0}, {1: 2000.0}, LOCAL, "model.toml says local"),
        (RAY, None, {1: 9.0}, {1: 2000.0}, RAY, "model.toml says ray"),
        (RAY, "no file", {1: 9.0}, {}, LOCAL, "no file"),
        (AUTO, "no file", {1: 90_000.0}, {}, LOCAL, "no file"),
        (AUTO, None, {}, {1: 2000.0}, LOCAL, "its runs were not measured"),
        (AUTO, None, {1: 999.0, 8: 9e6}, {1: 1.0}, LOCAL, "quick, below inline_us 1,000 us"),
        (AUTO, None, {1: 5000.0}, {}, LOCAL, "the trip was not measured"),
        (AUTO, None, {1: 5999.0}, {1: 2000.0}, LOCAL, "the trip 2,000 us: 3x, worth it from 3x"),
        (AUTO, None, {1: 6000.0}, {1: 2000.0}, RAY, "1 row takes 6,000 us, the trip 2,000 us: 3x"),
        (AUTO, None, {4: 80_000.0}, {4: 2000.0}, RAY, "4 rows take 80,000 us"),
    ],
)
def test_work_is_shipped_where_compute_outweighs_the_trip(
    choice: str,
    obstacle: str | None,
    run_us: dict[int, float],
    trip_us: dict[int, float],
    where: str,
    words: str,
) -> None:
    placed = place(choice, "model.toml", obstacle, run_us, trip_us, INLINE_US)
    assert placed.where == where
    assert words in placed.reason
    assert placed.as_dict()["run_us"] == {str(rows): us for rows, us in run_us.items()}
    assert WORTH == 3.0


@pytest.mark.parametrize(
    ("declared", "forced", "expected"),
    [
        (AUTO, frozenset(), (AUTO, "")),
        (LOCAL, frozenset(), (LOCAL, "model.toml")),
        (LOCAL, frozenset({"m"}), (RAY, "ray_models")),
        (LOCAL, frozenset({"other"}), (LOCAL, "model.toml")),
        (AUTO, frozenset({"*"}), (RAY, "ray_models")),
    ],
)
def test_the_setting_goes_before_model_toml(
    declared: str, forced: frozenset[str], expected: tuple[str, str]
) -> None:
    assert choice_of(declared, "m", forced) == expected


def test_a_frame_comes_back_as_it_was() -> None:
    data = frame_of({"op": "run", "id": 7}, b"\x00payload") + frame_of({"op": "end"})
    stream = io.BytesIO(data)
    assert read_frame(stream) == ({"op": "run", "id": 7}, b"\x00payload")
    assert read_frame(stream) == ({"op": "end"}, b"")
    assert read_frame(stream) is None


@pytest.mark.parametrize(
    "data",
    [
        b"\x01",
        frame_of({"op": "run"}, b"payload")[:-1],
        b"\x02\x00\x00\x00\x00\x00\x00\x00[]",
        b"\x02\x00\x00\x00\x00\x00\x00\x00{x",
        b"\xff\xff\xff\xff\x00\x00\x00\x00",
    ],
)
def test_what_is_no_frame_is_refused(data: bytes) -> None:
    with pytest.raises(BadFrame):
        read_frame(io.BytesIO(data))

    async def read() -> Message | None:
        reader = asyncio.StreamReader()
        reader.feed_data(data)
        reader.feed_eof()
        return await read_frame_async(reader)

    with pytest.raises(BadFrame):
        asyncio.run(read())


def test_a_frame_that_is_too_large_is_not_sent() -> None:
    with pytest.raises(BadFrame, match="at most"):
        frame_of({"words": "x" * (16 * 1024 * 1024 + 1)})


# A bridge of known behaviour: it speaks the frames and knows nothing of Ray.
BRIDGE = """
import socket, sys, time
sys.path.insert(0, {root!r})
from engine.executors.frames import frame_of, read_frame
connection = socket.socket(fileno=int(sys.argv[1]))
stream = connection.makefile("rb")
assert read_frame(stream)[0]["op"] == "hello"
{first}
while (message := read_frame(stream)) is not None:
    head, payload = message
    if head["op"] == "end":
        break
    if head["op"] == "die":
        sys.exit(3)
    if head["op"] == "run":
        answer = {{"op": "answer", "id": head["id"], "app": head["app"]}}
        connection.sendall(frame_of(answer, payload))
"""
SAYS_UP = 'connection.sendall(frame_of({"op": "up"}))'
SAYS_AWAY = 'connection.sendall(frame_of({"op": "away", "why": "no cluster here"})); sys.exit(1)'
SAYS_RUBBISH = 'connection.sendall(b"\\xff" * 64)'


class Bridges:
    """Begins bridges; each as `first` says at that time."""

    def __init__(self, first: str) -> None:
        self.first = first

    def __call__(self, descriptor: int, words: IO[bytes]) -> subprocess.Popen[bytes]:
        code = BRIDGE.format(root=str(ROOT), first=self.first)
        return subprocess.Popen(
            [sys.executable, "-c", code, str(descriptor)],
            stderr=words,
            pass_fds=(descriptor,),
            start_new_session=True,
        )


@pytest.fixture
def bridges() -> Bridges:
    return Bridges(SAYS_UP)


@pytest.fixture
def link(bridges: Bridges, tmp_path: Path) -> Iterator[Link]:
    changes: list[str] = []
    link = Link(tmp_path / "ray", {"address": ""}, changes.append, spawn=bridges)
    link.changes = changes  # type: ignore[attr-defined]
    yield link
    link.close(wait_s=5)


def test_a_call_is_answered_by_the_bridge(link: Link) -> None:
    assert link.state == STARTING
    with pytest.raises(RemoteLost, match="not connected yet"):
        link.call({"op": "run", "app": "m"}, b"", 1)
    link.start()
    until(lambda: link.state == UP, 10, "up")
    head, payload = link.call({"op": "run", "app": "m"}, b"rows", 5)
    assert (head["app"], payload) == ("m", b"rows")


def test_a_bridge_that_dies_fails_its_calls_at_once_and_is_begun_anew(link: Link) -> None:
    link.start()
    until(lambda: link.state == UP, 10, "up")
    lost: list[str] = []

    def ask() -> None:
        try:
            link.call({"op": "hang"}, b"", 60)
        except RemoteLost as error:
            lost.append(str(error))

    waits = threading.Thread(target=ask)
    waits.start()
    with pytest.raises(RemoteLost):
        link.call({"op": "die"}, b"", 60)
    waits.join(10)
    assert lost == ["the bridge to Ray ended"]
    until(lambda: link.state == UP and link.starts == 2, 10, "up again")
    assert link.changes == [UP, AWAY, UP]  # type: ignore[attr-defined]


def test_what_keeps_a_bridge_from_ray_is_told(link: Link, bridges: Bridges) -> None:
    bridges.first = SAYS_AWAY
    link.start()
    until(lambda: link.state == AWAY, 10, "away")
    assert link.problem == "no cluster here"
    bridges.first = SAYS_UP
    until(lambda: link.state == UP, 10, "up by itself")
    assert link.problem == ""


def test_a_bridge_that_sends_rubbish_is_ended(link: Link, bridges: Bridges) -> None:
    bridges.first = SAYS_RUBBISH
    link.start()
    until(lambda: "at most" in link.problem, 10, "away")
    first = link.process_id
    bridges.first = SAYS_UP
    until(lambda: link.state == UP, 10, "up by itself")
    assert link.process_id != first


def test_a_late_answer_is_lost(link: Link) -> None:
    link.start()
    until(lambda: link.state == UP, 10, "up")
    with pytest.raises(RemoteLost, match=r"no answer within 0\.05 s"):
        link.call({"op": "hang"}, b"", 0.05)
    assert link.call({"op": "run", "app": "m"}, b"", 5)[1] == b""


def test_a_message_that_is_sent_in_part_ends_its_bridge(link: Link) -> None:
    link.start()
    until(lambda: link.state == UP, 10, "up")
    assert link._socket is not None
    assert link.process_id is not None
    os.kill(link.process_id, signal.SIGSTOP)
    link._socket.settimeout(0.05)
    with pytest.raises(RemoteLost, match="timed out"):
        link._send(frame_of({"op": "run", "app": "m", "id": 0}, bytes(1 << 24)))
    until(lambda: link.starts == 2 and link.state == UP, 10, "up again")
    assert link.call({"op": "run", "app": "m"}, b"rows", 5)[1] == b"rows"


def test_whoever_is_told_of_the_link_cannot_end_it(tmp_path: Path, bridges: Bridges) -> None:
    def raises(told: object) -> None:
        raise RuntimeError("not taken")

    bridges.first = SAYS_UP + '; connection.sendall(frame_of({"op": "report", "n": 1}))'
    link = Link(tmp_path, {}, raises, raises, spawn=bridges)
    link.start()
    try:
        until(lambda: link.state == UP and link.report != {}, 10, "up, and told")
        assert link.call({"op": "run", "app": "m"}, b"rows", 5)[1] == b"rows"
        assert link.starts == 1
    finally:
        link.close(wait_s=5)


def test_callers_are_released_before_others_are_told(tmp_path: Path, bridges: Bridges) -> None:
    released, found = threading.Event(), []
    link = Link(
        tmp_path,
        {},
        lambda state: found.append(released.wait(10)) if state == AWAY else None,
        spawn=bridges,
    )
    link.start()
    try:
        until(lambda: link.state == UP, 10, "up")
        with pytest.raises(RemoteLost):
            link.call({"op": "die"}, b"", 60)
        released.set()
        until(lambda: found == [True], 15, "told")
    finally:
        link.close(wait_s=5)


@pytest.mark.parametrize(("address", "stays"), [("", False), ("127.0.0.1:9", True)])
def test_the_session_of_an_embedded_ray_that_ended_is_removed(
    tmp_path: Path, bridges: Bridges, address: str, stays: bool
) -> None:
    session = tmp_path / "session"
    (session / "session_1").mkdir(parents=True)
    config = {"address": address, "folder": str(session)}
    link = Link(tmp_path, config, spawn=bridges)
    link.start()
    try:
        until(lambda: link.state == UP, 10, "up")
        assert session.exists() == stays
    finally:
        link.close(wait_s=5)


def test_no_bridge_is_begun_where_nobody_listens(tmp_path: Path, bridges: Bridges) -> None:
    port = free_port()
    away = f"127.0.0.1:{port}"
    link = Link(tmp_path, {}, spawn=bridges, away=lambda: nothing_at(away))
    link.start()
    until(lambda: link.state == AWAY, 10, "away")
    assert link.problem.startswith(f"no Ray at {away}")
    assert link.starts == 0
    with socket.create_server(("127.0.0.1", port)):
        until(lambda: link.state == UP, 10, "up once somebody listens")
    link.close()


@pytest.mark.parametrize("address", ["", "auto", "ray://host:10001", "local"])
def test_other_forms_of_an_address_are_ray_s_to_check(address: str) -> None:
    assert nothing_at(address) == ""


class Model:
    """Doubles its rows; `plain` is whether the shipped form would answer."""

    name, version, tap, sent = "m", "1", None, None

    def __init__(self) -> None:
        self.plain, self.runs = True, 0

    def is_plain(self, inputs: Any, outputs: Any) -> bool:
        return self.plain

    def run(self, inputs: Mapping[str, np.ndarray], outputs: tuple[str, ...]) -> Run:
        self.runs += 1
        return Run({"y": 2 * inputs["x"]}, "here")


class Replies:
    """Calls that are answered by what was put in: a head, or an error to raise."""

    def __init__(self, *answers: dict[str, Any] | Exception) -> None:
        self.answers, self.asked = list(answers), 0

    def call(self, head: Mapping[str, Any], payload: bytes, timeout_s: float) -> Message:
        self.asked += 1
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        inputs, _ = load_run(payload)
        data = dump_run({"y": 2 * inputs["x"]}, "there") if "run_ns" in answer else b""
        return answer, b"" if "kept_home" in answer else data


ANSWER = {"run_ns": 2_000_000, "queue_ns": 500_000, "replica": "r1", "tries": 1}
ROWS = {"x": np.array([[1.5], [np.nan]])}


def sent_by(*answers: dict[str, Any] | Exception) -> tuple[Sent, Model, Replies, list[str]]:
    model, replies, lost = Model(), Replies(*answers), []
    stands_in = Sent(
        model,  # type: ignore[arg-type]
        "m-1",
        replies,
        Figures(),
        threading.Semaphore(1),
        1.0,
        lost.append,
    )
    return stands_in, model, replies, lost


def test_rows_are_answered_by_a_replica_and_its_figures_kept() -> None:
    sent, model, _, _ = sent_by(ANSWER, ANSWER | {"tries": 3})
    run = sent(ROWS, ("y",))
    assert run.form == "there"
    np.testing.assert_array_equal(run.outputs["y"], 2 * ROWS["x"])
    sent(ROWS, ("y",))
    figures = sent._figures
    assert (figures.counts.sent, figures.counts.retries, model.runs) == (2, 2, 0)
    replica = figures.replicas["r1"].as_dict()
    assert replica["requests"] == 2
    assert replica["p99_ms"] == pytest.approx(2.5, rel=0.02)
    assert figures.trip_ms("m-1")[0] is not None
    assert figures.counts.in_flight == 0


def test_what_a_run_waited_is_told_once() -> None:
    sent, _, _, _ = sent_by(ANSWER)
    sent(ROWS, ("y",))
    assert sent.take_waited_ns() != 0
    assert sent.take_waited_ns() == 0


@pytest.mark.parametrize(
    "answer",
    [
        RemoteLost("the bridge to Ray ended"),
        {"lost": "ActorDiedError", "tries": 3},
        {"failed": "m-1 is not deployed"},
    ],
)
def test_rows_that_no_replica_answers_are_answered_here_and_replicas_rest(
    answer: dict[str, Any] | Exception,
) -> None:
    sent, model, replies, lost = sent_by(answer)
    assert sent(ROWS, ("y",)).form == "here"
    assert sent.resting
    assert sent(ROWS, ("y",)).form == "here"
    assert (model.runs, replies.asked, len(lost)) == (2, 1, 1)
    assert sent._figures.counts.fallbacks == 1


def test_an_answer_that_is_none_is_no_answer() -> None:
    sent, model, replies, _ = sent_by(ANSWER)
    replies.call = lambda *_: (ANSWER, b"\x00\x00")  # type: ignore[method-assign]
    assert sent(ROWS, ("y",)).form == "here"
    assert (model.runs, sent.resting) == (1, True)


@pytest.mark.parametrize(
    "outputs",
    [
        {"z": np.zeros((2, 1))},
        {"y": np.zeros((1, 1))},
        {"y": np.zeros((2, 1)), "z": np.zeros((2, 1))},
    ],
)
def test_an_answer_to_another_question_is_no_answer(outputs: dict[str, np.ndarray]) -> None:
    sent, model, replies, lost = sent_by(ANSWER)
    replies.call = lambda *_: (ANSWER, dump_run(outputs, "there"))  # type: ignore[method-assign]
    assert sent(ROWS, ("y",)).form == "here"
    assert (model.runs, sent.resting, len(lost)) == (1, True, 1)


def test_whatever_else_goes_wrong_is_answered_here(caplog: pytest.LogCaptureFixture) -> None:
    sent, model, replies, lost = sent_by(BadFrame("too large"), KeyError("run_ns"), ANSWER)
    assert sent(ROWS, ("y",)).form == "here"
    assert sent(ROWS, ("y",)).form == "here"
    assert sent(ROWS, ("y",)).form == "there"
    assert (model.runs, replies.asked, lost) == (2, 3, [])
    counts = sent._figures.counts
    assert (counts.fallbacks, counts.in_flight) == (2, 0)
    assert len([one for one in caplog.records if "was not asked" in one.message]) == 1


def test_a_batch_that_would_take_too_long_for_a_try_stays_here() -> None:
    sent, _, replies, _ = sent_by(ANSWER)
    sent._most_rows = 1
    assert sent(ROWS, ("y",)).form == "here"
    assert (replies.asked, sent._figures.counts.kept_home, sent.resting) == (0, 1, False)
    assert sent({"x": ROWS["x"][:1]}, ("y",)).form == "there"


def test_what_the_shipped_forms_do_not_answer_is_answered_here_and_nothing_rests() -> None:
    sent, model, replies, lost = sent_by(ANSWER | {"kept_home": "another form"})
    assert sent(ROWS, ("y",)).form == "here"
    model.plain = False
    assert sent(ROWS, ("y",)).form == "here"
    assert (replies.asked, sent.resting, lost) == (1, False, [])
    assert sent._figures.counts.kept_home == 2


def test_a_run_that_is_to_be_looked_at_is_here() -> None:
    sent, model, replies, _ = sent_by(ANSWER)
    model.tap = lambda *_: None  # type: ignore[assignment]
    assert sent(ROWS, ("y",)).form == "here"
    assert replies.asked == 0


def test_figures_of_replicas_are_bounded() -> None:
    figures = Figures()
    for number in range(300):
        figures.answered("m-1", ANSWER | {"replica": f"r{number}"}, 1000)
    assert len(figures.replicas) == 256
    assert "r299" in figures.replicas
    figures.forget("m-1")
    assert figures.trip_ms("m-1") == (None, None)


class Queue:
    def __init__(self) -> None:
        self.jobs: list[Any] = []

    def submit(self, job: Any) -> None:
        self.jobs.append(job)

    def withdraw(self, job: Any) -> bool:
        return job in self.jobs and not self.jobs.remove(job)


class Flying(Job):
    __slots__ = ("members",)

    def __init__(self, model: Any) -> None:
        super().__init__("m")
        self.members = [type("C", (), {"model": model})]


def test_flights_of_what_runs_elsewhere_take_no_slot_here() -> None:
    here, elsewhere = Queue(), Queue()
    switch = Switch(here, elsewhere)  # type: ignore[arg-type]
    sent, model, _, _ = sent_by()
    stays, goes, rests = Flying(Model()), Flying(model), Flying(model)
    switch.submit(stays)
    model.sent = sent  # type: ignore[assignment]
    switch.submit(goes)
    sent.resting = True
    switch.submit(rests)
    assert (here.jobs, elsewhere.jobs) == ([stays, rests], [goes])
    assert switch.withdraw(goes)
    assert switch.withdraw(stays)
    assert not switch.withdraw(stays)


def test_a_server_without_an_executor_imports_nothing_of_it() -> None:
    code = (
        "import sys, json; import engine.engine; "
        "print(json.dumps([m for m in sys.modules if m.split('.')[0] == 'ray' "
        "or m.startswith(('engine.remote', 'engine.sent', 'engine.executors.ray'))]))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert json.loads(found.stdout) == []
