"""Follows the repository on disk and tells when it has changed and come to rest."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from engine.periodic import Periodic
from engine.supervised import Supervised

Fingerprint = frozenset[tuple[str, int, int, int]]


def fingerprint(root: Path) -> Fingerprint:
    """Path, inode, size and modification time (ns) of every file of every model version."""
    found = set()
    for folder, folders, files in os.walk(root):
        # A model's folder, its versions, no deeper; a dot begins what is still being written.
        depth = len(Path(folder).relative_to(root).parts)
        folders[:] = [name for name in folders if depth < 2 and not name.startswith(".")]
        for name in files:
            path = os.path.join(folder, name)
            try:
                status = os.stat(path, follow_symlinks=False)
            except OSError:
                continue
            found.add((path, status.st_ino, status.st_size, status.st_mtime_ns))
    return frozenset(found)


def _status_of(path: Path) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None


class Watcher:
    """One thread that looks every interval_s.

    on_change is called once the files have been the same for two looks running, so that a
    copy under way is not read half. beside: further files that it follows.
    """

    def __init__(
        self,
        root: Path,
        interval_s: float,
        on_change: Callable[[], object],
        beside: Iterable[Path] = (),
    ) -> None:
        self._root, self._on_change, self._beside = root, on_change, tuple(beside)
        self._settled = self._seen = self._fingerprint()
        self._periodic = Periodic("watcher", interval_s, self.look)

    def look(self) -> bool:
        """Look once; True when a change has come to rest and on_change was called."""
        now = self._fingerprint()
        at_rest, self._seen = now == self._seen, now
        if not at_rest or now == self._settled:
            return False
        self._settled = now
        self._on_change()
        return True

    def _fingerprint(self) -> Fingerprint:
        return fingerprint(self._root) | {
            (str(path), status.st_ino, status.st_size, status.st_ctime_ns)
            for path in self._beside
            if (status := _status_of(path)) is not None
        }

    @property
    def thread(self) -> Supervised:
        return self._periodic.thread

    def start(self) -> None:
        self._periodic.start()

    def stop(self) -> None:
        self._periodic.stop()
