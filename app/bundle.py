"""The console's own scripts and styles, each kind as one file with its digest in its name.

Sixty small files cost a browser sixty requests at its first visit; one costs one, and since its
name changes with its content, a browser that has it never asks again.
"""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

KINDS = {"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8"}
FOREVER = "public, max-age=31536000, immutable"


class Bundle(NamedTuple):
    """One file. name: with the digest. kind: its content type."""

    name: str
    kind: str
    content: bytes


def bundle(folder: Path, ending: str) -> Bundle:
    """All files of a folder with this ending, in the order of their names, each under its name.

    The name begins with "console" and lies beside the files, so that relative addresses in
    styles still hold.
    """
    parts = [
        f"/* {path.name} */\n{path.read_text(encoding='utf-8').rstrip()}\n"
        for path in sorted(folder.glob(f"*.{ending}"))
    ]
    content = "\n".join(parts).encode()
    digest = blake2b(content, digest_size=8).hexdigest()
    return Bundle(f"console.{digest}.{ending}", KINDS[ending], content)
