"""Who may run code: the trust file.

A pickle and a Python file run code when they are opened, so each is opened only when its
SHA-256 stands in the trust file, a list in sha256sum's own form:

    9f86d081884c7d65...  models/churn/1/model.joblib

The file lies outside the repository, because whoever may write there must not be able to
trust what they wrote.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path

from engine.errors import ArtefactError, Untrusted
from engine.models.artefacts import RUNS_CODE
from engine.models.files import sha256_of
from engine.models.repository import ModelEntry

_LINE = re.compile(r"([0-9a-f]{64})(?:\s.*)?")
MAX_FILE_BYTES = 1024 * 1024


class TrustFile:
    """The digests that may run code; the file is read at every question, it is small.

    also: digests trusted in this process only, of artefacts that it made itself.
    """

    def __init__(self, path: Path, also: Iterable[str] = ()) -> None:
        self.path = path
        self.also = set(also)

    def digests(self) -> frozenset[str]:
        """Raises ArtefactError for a file that others may write, or that cannot be read."""
        try:
            status = self.path.stat()
            if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise ArtefactError(
                    f"trust file {self.path} may be written by others; chmod go-w it"
                )
            if status.st_size > MAX_FILE_BYTES:
                raise ArtefactError(f"trust file {self.path} is over {MAX_FILE_BYTES} bytes")
            lines = self.path.read_text().splitlines()
        except FileNotFoundError:
            return frozenset(self.also)
        except (OSError, UnicodeDecodeError) as error:
            raise ArtefactError(f"trust file {self.path}: {error}") from error
        listed = {m[1] for line in lines if (m := _LINE.fullmatch(line.strip()))}
        return frozenset(listed | self.also)

    def require(self, entry: ModelEntry) -> None:
        """Raises Untrusted for an artefact that may run code, unless its digest is listed."""
        if entry.format in RUNS_CODE:
            self.require_digest(entry.sha256, entry.artefact)

    def allows(self, entry: ModelEntry) -> bool:
        """Whether `require` lets an artefact pass."""
        try:
            self.require(entry)
        except ArtefactError:
            return False
        return True

    def require_digest(self, digest: str, path: Path) -> None:
        """Raises Untrusted unless the digest is listed. path: only for the message."""
        if digest not in self.digests():
            raise Untrusted(
                f"{path.name} may run code and its SHA-256 {digest[:12]}… is not in "
                f"{self.path}; to trust it: pyrometer models trust {path}"
            )

    def add(self, path: Path) -> str:
        """List a file's digest; returns it. Raises ArtefactError when it is no file."""
        if not path.is_file():
            raise ArtefactError(f"{path} is no file")
        digest = sha256_of(path)
        if digest not in self.digests():
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            with os.fdopen(descriptor, "a") as file:
                shown = str(path).replace("\n", " ").replace("\r", " ")
                file.write(f"{digest}  {shown}\n")
        return digest
