"""A day of minutes on disk: one file each, written whole or not at all.

    <folder>/<UTC second it began>.json.gz    {"frames", "contexts", "context", "parent", ...}

A file that cannot be read is passed over. The oldest go first, by age and by bytes. Writing
happens on a thread of its own; at most WAITING minutes wait for the disk.
"""

from __future__ import annotations

import gzip
import io
import logging
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from engine.files import write_atomically
from engine.profiling.calltree import CallTree, Context, Frame
from engine.profiling.slices import Counts, Slice
from engine.supervised import Supervised

log = logging.getLogger(__name__)
DAY_S = 86_400
WAITING = 60
SUFFIX = ".json.gz"
LARGEST_BYTES = 16 * 1024 * 1024


class Minutes:
    """limit_bytes: of all files. tell: is told once when writing fails, and when it recovers."""

    def __init__(
        self,
        folder: Path,
        limit_bytes: int,
        tell: Callable[[str, str], None],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.folder, self.limit_bytes = folder, limit_bytes
        self._tell, self._wall = tell, wall
        self._waiting: deque[Slice] = deque(maxlen=WAITING)
        self._wake, self._closing = threading.Event(), threading.Event()
        self.problem: str | None = None
        self.used_bytes = 0
        self.thread = Supervised("profile-writer", self._run)

    def start(self) -> None:
        self.thread.start()

    @property
    def is_alive(self) -> bool:
        return self.thread.is_alive

    def offer(self, minute: Slice) -> None:
        """Have a minute written; start_s and end_s in UTC."""
        self._waiting.append(minute)
        self._wake.set()

    def close(self, wait_s: float = 2.0) -> None:
        """Write what waits and end the writer, or leave it after wait_s."""
        self._closing.set()
        self._wake.set()
        self.thread.join(wait_s)

    def _run(self) -> None:
        while not self._closing.is_set() or self._waiting:
            self._wake.wait()
            self._wake.clear()
            while self._waiting:
                try:
                    self.write(self._waiting.popleft())
                except Exception:
                    # One minute that cannot be written must not be the last one.
                    log.exception("a minute of the profile was lost")

    def write(self, minute: Slice) -> None:
        """Write one minute now, and prune. What fails is told, not raised."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = self.folder / f"{int(minute.start_s)}{SUFFIX}"
            write_atomically(path, gzip.compress(packed(minute), 6, mtime=0))
            self._prune()
        except OSError as error:
            if self.problem is None:
                self._tell("profile", f"minutes of the profile are not kept: {error.strerror}")
            self.problem = error.strerror
            return
        if self.problem is not None:
            self.problem = None
            self._tell("profile", "minutes of the profile are kept again")

    def _prune(self) -> None:
        kept = sorted(self._files(), reverse=True)
        oldest_s, used = self._wall() - DAY_S, 0
        for start_s, path in kept:
            used += path.stat().st_size
            if start_s < oldest_s or used > self.limit_bytes:
                used -= path.stat().st_size
                path.unlink(missing_ok=True)
        self.used_bytes = used

    def _files(self) -> list[tuple[int, Path]]:
        found = self.folder.glob(f"*{SUFFIX}") if self.folder.is_dir() else ()
        return [
            (int(path.name.removesuffix(SUFFIX)), path)
            for path in found
            if path.name.removesuffix(SUFFIX).isdigit()
        ]

    def within(self, from_s: float, to_s: float) -> Iterator[Slice]:
        """Minutes that overlap a stretch of UTC, oldest first; unreadable ones are left out."""
        for start_s, path in sorted(self._files()):
            if start_s >= to_s or start_s + 120 < from_s:
                continue
            try:
                minute = unpacked(path.read_bytes())
            except (OSError, ValueError) as error:
                log.warning("profile of minute %s is left out: %s", start_s, error)
                continue
            if minute.end_s > from_s and minute.start_s < to_s:
                yield minute


def packed(minute: Slice) -> bytes:
    """A minute with the frames and contexts that it uses."""
    tree = minute.tree
    frames, frame = np.unique(tree.frame, return_inverse=True)
    contexts, context = np.unique(tree.context, return_inverse=True)
    return orjson.dumps(
        {
            "start_s": minute.start_s,
            "end_s": minute.end_s,
            "counts": list(minute.counts),
            "frames": [list(tree.frames[number]) for number in frames.tolist()],
            "contexts": [list(tree.contexts[number]) for number in contexts.tolist()],
            "frame": frame.astype(np.int32),
            "context": context.astype(np.int32),
            "parent": np.ascontiguousarray(tree.parent),
            "self": np.ascontiguousarray(tree.self),
        },
        option=orjson.OPT_SERIALIZE_NUMPY,
    )


def unpacked(content: bytes) -> Slice:
    """What `packed` and gzip made. Raises ValueError where it is anything else."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            text = file.read(LARGEST_BYTES + 1)
        if len(text) > LARGEST_BYTES:
            raise ValueError(f"over {LARGEST_BYTES} bytes unpacked")
        return _slice_of(orjson.loads(text))
    except (OSError, EOFError, zlib.error, KeyError, TypeError) as error:
        raise ValueError(f"not a minute of a profile: {error}") from None


def _slice_of(held: dict[str, Any]) -> Slice:
    frame, context, parent = (
        np.array(held[name], dtype=np.int32) for name in ("frame", "context", "parent")
    )
    values = np.array(held["self"], dtype=np.int64).reshape(-1, 3)
    frames = [Frame(*row) for row in held["frames"]]
    contexts = [Context(*row) for row in held["contexts"]]
    places = np.arange(len(parent))
    if not len(frame) == len(context) == len(parent) == len(values):
        raise ValueError("columns of different lengths")
    if (parent >= places).any() or (parent < -1).any():
        raise ValueError("a parent does not come before its children")
    if len(parent) and not (
        0 <= frame.min() <= frame.max() < len(frames)
        and 0 <= context.min() <= context.max() < len(contexts)
    ):
        raise ValueError("a number points outside its table")
    tree = CallTree(frames, contexts, context, parent, frame, values)
    return Slice(held["start_s"], held["end_s"], tree, Counts(*held["counts"]))
