"""What viewers are sent: each second's points, and the parts of the snapshot that changed.

    publish(seq, snapshot, points)     once a second: each part serialised, compared, kept
    answer(since)                      parts that changed after `since`, and the points after it

    {"seq", "time", "instance", part: whole, ..., "patches": {part: {row: {field: value}}},
     "points": [...]}

A part that is a list of rows comes as a patch to those who have the second before, where its
rows are the same ones with a few other figures.
Viewers ask for the same thing: what one of them was sent is kept until the next second, packed
too, so a hundred of them cost one composition and one compression.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

ALWAYS = ("seq", "time", "instance")
"""Parts that every answer has: by them a viewer knows whether it missed a server's restart."""
MOST_KEPT = 32
_GZIP_BITS = 31


class _Part(NamedTuple):
    """value: as given. content: serialised. patch: from the second before, or b""."""

    value: Any
    content: bytes
    changed_seq: int
    patch: bytes = b""


class _Published(NamedTuple):
    seq: int
    parts: Mapping[str, _Part]
    points: tuple[bytes, ...]
    answers: dict[tuple[int, bool], bytes]
    asked: set[bool]


class LiveFeed:
    """Written by the ticker, read by any thread."""

    def __init__(self) -> None:
        self._published = _Published(0, {}, (), {}, set())

    def publish(self, seq: int, snapshot: Mapping[str, Any], points: Sequence[bytes]) -> None:
        """Take a second's snapshot and the serialised points until then, the newest last."""
        before, parts = self._published.parts, {}
        for name, value in snapshot.items():
            content, old = orjson.dumps(value), before.get(name)
            if old is None:
                parts[name] = _Part(value, content, seq)
            elif old.content == content:
                parts[name] = old
            else:
                patch = _patch(old.value, value)
                short = patch if len(patch) < len(content) else b""
                parts[name] = _Part(value, content, seq, short)
        published = _Published(seq, parts, tuple(points), {}, set())
        for packs in tuple(self._published.asked):
            # Somebody looked at the second before: made here, it keeps nobody waiting.
            since = self._published.seq
            published.answers[since, packs] = _made(published, since, packs)
        self._published = published

    def answer(self, since: int, packs: bool = False) -> bytes:
        """JSON, or its gzip. since: the seq that the viewer has; 0, or none of ours: everything."""
        published = self._published
        published.asked.add(packs)
        if not 0 < since <= published.seq:
            since = 0
        kept = published.answers.get((since, packs))
        if kept is not None:
            return kept
        made = _made(published, since, packs)
        if len(published.answers) < MOST_KEPT:
            published.answers[since, packs] = made
        return made


def _composed(published: _Published, since: int) -> bytes:
    lacking = published.seq - since
    whole: list[bytes] = []
    patches: list[bytes] = []
    for name, part in published.parts.items():
        if part.changed_seq <= since and name not in ALWAYS:
            continue
        patched = part.patch and lacking == 1
        (patches if patched else whole).append(
            b'"%s":%s' % (name.encode(), part.patch if patched else part.content)
        )
    if patches:
        whole.append(b'"patches":{%s}' % b",".join(patches))
    sent = published.points[-lacking:] if lacking else ()
    return b'{%s,"points":[%s]}' % (b",".join(whole), b",".join(sent)) if whole else b"{}"


def _patch(old: Any, new: Any) -> bytes:
    """{row: {field: value}} that makes old rows new ones; b"" where they are not so alike."""
    if not (isinstance(old, list) and isinstance(new, list) and len(old) == len(new)):
        return b""
    changed = {}
    for place, (before, after) in enumerate(zip(old, new, strict=True)):
        if not (isinstance(before, dict) and isinstance(after, dict)):
            return b""
        if before.keys() != after.keys():
            return b""
        fields = {name: value for name, value in after.items() if before[name] != value}
        if fields:
            changed[str(place)] = fields
    return orjson.dumps(changed)


def _made(published: _Published, since: int, packs: bool) -> bytes:
    content = _composed(published, since)
    if not packs:
        return content
    packer = zlib.compressobj(6, zlib.DEFLATED, _GZIP_BITS)
    return packer.compress(content) + packer.flush()
