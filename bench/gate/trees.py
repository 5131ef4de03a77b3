"""Trees of code as folders of their own: of a commit, of a work tree with its changes.

Git is only read. Both sides run from copies, so that nobody's edit changes one while it is
measured, and so that their paths and compiled files are alike.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from engine.errors import InvalidInput, PyrometerError

GIT_WITHIN_S = 60
MAIN_BRANCHES = ("main", "master", "origin/main", "origin/master")
LIBRARIES = ("requirements.lock", "pyproject.toml")


@dataclass(frozen=True, slots=True)
class Revision:
    """commit: 40 hex digits; None outside git. clean: the work tree is that commit."""

    commit: str | None
    clean: bool

    def __str__(self) -> str:
        if self.commit is None:
            return "not in git"
        return self.commit[:12] + ("" if self.clean else " with changes")


def revision_of(tree: Path) -> Revision:
    try:
        commit = _git(tree, "rev-parse", "HEAD").decode().strip()
        return Revision(commit, not _git(tree, "status", "--porcelain").strip())
    except PyrometerError:
        return Revision(None, False)


def resolved(tree: Path, name: str) -> str | None:
    """The commit of a name or of its digits; None where this repository has none."""
    if not name or name.startswith("-"):
        return None
    try:
        return _git(tree, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}").decode().strip()
    except PyrometerError:
        return None


def usual_commit(tree: Path) -> str:
    """What a work tree is compared with where nobody says.

    With changes: the last commit. Without: where its branch left the main branch; on the main
    branch itself, the commit before. Raises InvalidInput where there is none.
    """
    revision = revision_of(tree)
    if revision.commit is not None and not revision.clean:
        return revision.commit
    for main in MAIN_BRANCHES:
        if resolved(tree, main):
            base = _git(tree, "merge-base", "HEAD", main).decode().strip()
            if base != revision.commit:
                return base
    before = resolved(tree, "HEAD~1")
    if before is None:
        raise InvalidInput(f"against: {tree} has no earlier commit to compare with")
    return before


def write_commit(tree: Path, commit: str, folder: Path) -> None:
    """The files of a commit in a new folder."""
    content = _git(tree, "archive", "--format=tar", commit)
    folder.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        archive.extractall(folder, filter="data")


def write_work_tree(tree: Path, folder: Path) -> None:
    """The files of a work tree as they are now, those that git ignores left out."""
    listed = _git(tree, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    folder.mkdir(parents=True)
    for name in filter(None, listed.decode().split("\0")):
        source, target = tree / name, folder / name
        if source.is_file():  # it may be deleted, or a link to nothing
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


def changed_libraries(first: Path, second: Path) -> list[str]:
    """Files that say which libraries are installed, where two trees differ in them."""
    return [name for name in LIBRARIES if _content(first / name) != _content(second / name)]


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


def _git(tree: Path, *words: str) -> bytes:
    command = ["git", "--no-optional-locks", "-C", str(tree), *words]
    try:
        done = subprocess.run(command, capture_output=True, check=True, timeout=GIT_WITHIN_S)
    except FileNotFoundError:
        raise PyrometerError("git is not installed") from None
    except subprocess.SubprocessError as error:
        said = getattr(error, "stderr", None) or str(error).encode()
        raise PyrometerError(f"git {words[0]} failed: {said.decode()[:300].strip()}") from None
    return done.stdout
