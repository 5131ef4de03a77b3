"""The HTTP reader against anything, over real sockets: it reads what was sent, or refuses with 4xx.

Whatever once mattered is in `corpus/http1` and is replayed first: bytes as they were sent, a file's
name beginning with the status of the first answer. FUZZ_EXAMPLES as for the codec.
"""

from __future__ import annotations

import base64
import hashlib
import socket
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.chance import FUZZ
from tests.fuzz.echo import Echo, Sent, answers_of

CORPUS = Path(__file__).parent / "corpus/http1"
REFUSALS = frozenset({400, 408, 413, 415, 431})


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    served = Echo()
    yield served.port
    served.close()


TOKENS = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_.!~", min_size=1, max_size=12)
PATHS = st.text("abcXYZ019/-_.~%?&=+:;@!$'()*,", max_size=40).map(lambda rest: "/" + rest)
VALUES = st.text(
    st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="\x7f"), max_size=40
)
OWN = {"content-length", "transfer-encoding", "expect", "upgrade", "connection"}


@st.composite
def requests(draw: st.DrawFn) -> Sent:
    names = draw(st.lists(TOKENS.filter(lambda name: name not in OWN), max_size=6, unique=True))
    body = draw(st.binary(max_size=300))
    chunks: list[tuple[int, bytes]] = []
    trailers = b""
    if draw(st.booleans()):
        extension = st.sampled_from([b"", b";a", b";a=b", b';a="b c"', b";" + b"x" * 200])
        chunks = draw(st.lists(st.tuples(st.integers(1, 80), extension), min_size=1, max_size=6))
        chunks.append((len(body) + 1, b""))
        trailers = draw(st.sampled_from([b"", b"", b"host: evil\r\n", b"x-a: 1\r\nx-b: 2\r\n"]))
    method = draw(st.sampled_from(["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND"]))
    headers = {name: draw(VALUES) for name in names}
    return Sent(method, draw(PATHS), headers, body, chunks, trailers)


def cut(content: bytes, data: st.DataObject) -> list[bytes]:
    """Content in up to five pieces, as a network may bring it."""
    places = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=4)))
    edges = [0, *places, len(content)]
    return [content[first:last] for first, last in pairwise(edges)]


@FUZZ
@given(st.lists(requests(), min_size=1, max_size=4), st.data())
def test_what_is_well_formed_is_read_as_it_was_sent(
    port: int, sent: list[Sent], data: st.DataObject
) -> None:
    content = b"".join(one.content() for one in sent[:-1])
    content += sent[-1].content(b"Connection: close")
    answers, _ = answers_of(port, cut(content, data))
    assert [status for status, _ in answers] == [200] * len(sent)
    for (_, read), one in zip(answers, sent, strict=True):
        assert read["method"] == one.method
        assert read["target"] == one.target
        assert base64.b64decode(read["body"]) == one.body
        fields = {name: value for name, value in read["headers"].items() if name not in OWN}
        assert fields == one.headers


BREAKS = st.sampled_from(
    [
        *(b"", b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\0", b" ", b"\t", b":", b"\xff", b"%00"),
        *(b"Content-Length: 5\r\n", b"Content-Length: -1\r\n", b"Content-Length: %d\r\n" % 10**20),
        *(b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip, chunked\r\n"),
        *(b"Expect: 100-continue\r\n", b"Upgrade: h2c\r\nConnection: Upgrade\r\n", b"0\r\n\r\n"),
        *(b"HTTP/2.0", b"HTTP/1.0", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"ffffffffffffffffff\r\n"),
        *(b"x" * 5000, b"a: b\r\n" * 200, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    ]
)  # fmt: skip


@FUZZ
@given(st.lists(requests(), min_size=1, max_size=2), st.data())
def test_what_is_broken_is_refused_or_read_and_never_a_server_error(
    port: int, sent: list[Sent], data: st.DataObject
) -> None:
    content = bytearray(b"".join(one.content() for one in sent))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content)))
        content[place : place + data.draw(st.integers(0, 3))] = data.draw(BREAKS)
    survives(port, cut(bytes(content), data))


@FUZZ
@given(st.binary(max_size=400), st.data())
def test_any_bytes_are_refused_and_never_a_server_error(
    port: int, content: bytes, data: st.DataObject
) -> None:
    survives(port, cut(content, data))


def survives(port: int, parts: list[bytes]) -> list[int]:
    """Statuses of the answers. The last request may be unfinished, so the client ends."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        data = b""
        try:
            for part in parts:
                client.sendall(part)
            client.shutdown(socket.SHUT_WR)
            while part := client.recv(65_536):
                data += part
        except (BrokenPipeError, ConnectionResetError, OSError) as error:
            if isinstance(error, TimeoutError):
                _keep(b"".join(parts))
                raise
    statuses = [int(line[:3]) for line in data.split(b"HTTP/1.1 ")[1:]]
    wrong = [status for status in statuses if status not in REFUSALS | {100, 200}]
    if wrong:
        _keep(b"".join(parts))
    assert not wrong
    whole = Sent("GET", "/", {"host": "x"}, b"").content(b"Connection: close")
    assert [status for status, _ in answers_of(port, [whole])[0]] == [200], "the server lives"
    return statuses


def _keep(content: bytes) -> None:
    (CORPUS / f"0-{hashlib.sha256(content).hexdigest()[:12]}").write_bytes(content)


@pytest.mark.parametrize("path", sorted(CORPUS.iterdir()), ids=lambda path: path.name)
def test_what_once_mattered_is_answered_as_then(port: int, path: Path) -> None:
    answers, _ = answers_of(port, [path.read_bytes()])
    wanted = int(path.name.partition("-")[0])
    assert answers
    assert answers[0][0] == wanted
    assert len(answers) == 1, "the connection ends with it"
