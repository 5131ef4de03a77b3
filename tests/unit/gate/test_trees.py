"""Reading git: what is compared with what, and that nothing of it is changed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bench.gate import trees
from bench.gate.slowed import LANE, USUAL, slow_down
from engine.errors import InvalidInput, PyrometerError

ROOT = Path(__file__).parent.parent.parent.parent


def git(tree: Path, *words: str) -> str:
    author = ("-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "commit.gpgsign=false")
    command = ["git", "-C", str(tree), *author, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two commits on main: a.py says 1, then 2."""
    folder = tmp_path / "tree"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch", "main")
    (folder / ".gitignore").write_text("ignored\n")
    for value in (1, 2):
        (folder / "a.py").write_text(f"A = {value}\n")
        git(folder, "add", "--all")
        git(folder, "commit", "--quiet", "--message", str(value))
    return folder


def test_a_tree_with_changes_is_compared_with_its_last_commit(tree: Path) -> None:
    (tree / "new.py").touch()
    assert trees.usual_commit(tree) == git(tree, "rev-parse", "HEAD")
    assert trees.revision_of(tree).clean is False


def test_on_main_without_changes_it_is_the_commit_before(tree: Path) -> None:
    assert trees.usual_commit(tree) == git(tree, "rev-parse", "HEAD~1")
    assert trees.revision_of(tree).clean is True


def test_on_a_branch_without_changes_it_is_where_it_left_main(tree: Path) -> None:
    left = git(tree, "rev-parse", "HEAD")
    git(tree, "checkout", "--quiet", "-b", "work")
    for value in (3, 4):
        (tree / "a.py").write_text(f"A = {value}\n")
        git(tree, "commit", "--quiet", "--all", "--message", str(value))
    assert trees.usual_commit(tree) == left


def test_a_tree_of_one_commit_has_nothing_to_be_compared_with(tree: Path, tmp_path: Path) -> None:
    clone = tmp_path / "shallow"
    subprocess.run(
        ["git", "clone", "--quiet", "--depth", "1", f"file://{tree}", str(clone)], check=True
    )
    with pytest.raises(InvalidInput, match="no earlier commit"):
        trees.usual_commit(clone)


def test_a_commit_is_written_as_it_was(tree: Path, tmp_path: Path) -> None:
    trees.write_commit(tree, git(tree, "rev-parse", "HEAD~1"), tmp_path / "old")
    assert (tmp_path / "old/a.py").read_text() == "A = 1\n"


def test_a_work_tree_is_written_with_its_changes(tree: Path, tmp_path: Path) -> None:
    (tree / "a.py").unlink()
    (tree / "part").mkdir()
    (tree / "part/new.py").write_text("NEW = 1\n")
    (tree / "ignored").touch()
    trees.write_work_tree(tree, tmp_path / "now")
    files = {
        path.relative_to(tmp_path / "now").as_posix() for path in (tmp_path / "now").rglob("*")
    }
    assert files == {".gitignore", "part", "part/new.py"}


def test_reading_changes_nothing(tree: Path, tmp_path: Path) -> None:
    (tree / "a.py").write_text("A = 3\n")
    before = git(tree, "status", "--porcelain"), (tree / ".git/index").read_bytes()
    trees.write_work_tree(tree, tmp_path / "now")
    trees.write_commit(tree, "HEAD", tmp_path / "old")
    trees.revision_of(tree)
    assert (git(tree, "status", "--porcelain"), (tree / ".git/index").read_bytes()) == before


@pytest.mark.parametrize("name", ["", "nothing", "--help", "f" * 40])
def test_an_unknown_commit_is_none(tree: Path, name: str) -> None:
    assert trees.resolved(tree, name) is None


def test_outside_git_there_is_no_revision(tmp_path: Path) -> None:
    assert trees.revision_of(tmp_path).commit is None
    assert str(trees.revision_of(tmp_path)) == "not in git"


def test_changed_libraries_are_named(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "requirements.lock").write_text(name)
    assert trees.changed_libraries(tmp_path / "a", tmp_path / "b") == ["requirements.lock"]


def infer_path(folder: Path) -> Path:
    for file in (LANE, USUAL):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text((ROOT / file).read_text())
    return folder


def test_this_tree_can_be_slowed_down_and_slowed_otherwise(tmp_path: Path) -> None:
    tree = infer_path(tmp_path)
    slow_down(tree, {"m": 5})
    slow_down(tree, {"m": 7})
    for file in (LANE, USUAL):
        text = (tree / file).read_text()
        assert text.count("BUSY_TURNS.get(") == 1
        assert text.endswith("BUSY_TURNS = {'m': 7}\n")
        compile(text, file, "exec")


def test_a_tree_that_looks_otherwise_is_not_slowed_down(tmp_path: Path) -> None:
    tree = infer_path(tmp_path)
    (tree / USUAL).write_text("")
    with pytest.raises(PyrometerError, match=r"app/api/v2\.py"):
        slow_down(tree, {"m": 5})
