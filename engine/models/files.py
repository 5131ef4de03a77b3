"""Digests of files, folders of the owner's alone, and the memory of this process."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import hashlib
import os
from pathlib import Path


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def private_bytes() -> int:
    """Memory of this process that no other shares, after freed memory went back."""
    give_back_memory()
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


def give_back_memory() -> None:
    """Collect garbage, and return what the allocator has free to the system."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def private_folder(path: Path) -> Path:
    """The folder, made with its parents if it is absent, readable by its owner only."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.stat().st_uid == os.getuid():
        with contextlib.suppress(OSError):  # read-only: nobody opens it further either
            path.chmod(0o700)
    return path


def close_to_others(folder: Path, levels: int = 2) -> None:
    """Take what others may do from a folder and from what this user owns in it, some levels deep.

    What cannot be changed, on a read-only disk say, is left as it is. Links are not followed.
    """
    with contextlib.suppress(OSError):
        private = private_folder(folder)
        with os.scandir(private) as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                if entry.is_symlink() or status.st_uid != os.getuid():
                    continue
                if status.st_mode & 0o077:
                    os.chmod(entry.path, status.st_mode & 0o700)
                if levels > 1 and entry.is_dir(follow_symlinks=False):
                    close_to_others(Path(entry.path), levels - 1)
