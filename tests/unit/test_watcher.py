"""Changes of the repository are told once they have come to rest."""

from __future__ import annotations

from pathlib import Path

from engine.models.watcher import Watcher


def test_a_change_is_told_once_and_only_at_rest(tmp_path: Path) -> None:
    told: list[int] = []
    watcher = Watcher(tmp_path, 1, lambda: told.append(1))
    assert not watcher.look()
    version = tmp_path / "m" / "1"
    version.mkdir(parents=True)
    (version / "model.skops").write_bytes(b"half")
    assert not watcher.look()
    (version / "model.skops").write_bytes(b"whole file")
    assert not watcher.look()
    assert watcher.look()
    assert not watcher.look()
    assert told == [1]


def test_what_is_still_being_written_under_a_dot_is_not_seen(tmp_path: Path) -> None:
    watcher = Watcher(tmp_path, 1, lambda: None)
    (tmp_path / ".m-123").mkdir()
    (tmp_path / ".m-123" / "model.toml").write_text("")
    watcher.look()
    assert not watcher.look()


def test_a_removal_is_a_change(tmp_path: Path) -> None:
    (tmp_path / "m" / "1").mkdir(parents=True)
    (tmp_path / "m" / "1" / "model.skops").write_bytes(b"x")
    watcher = Watcher(tmp_path, 1, lambda: None)
    (tmp_path / "m" / "1" / "model.skops").unlink()
    watcher.look()
    assert watcher.look()


def test_a_file_beside_the_repository_is_followed_too(tmp_path: Path) -> None:
    told: list[int] = []
    trusted = tmp_path / "trusted.sha256"
    watcher = Watcher(tmp_path / "models", 1, lambda: told.append(1), (trusted,))
    assert not watcher.look()
    trusted.write_text("one")
    assert not watcher.look()
    assert watcher.look()
    trusted.unlink()
    assert not watcher.look()
    assert watcher.look()
    assert told == [1, 1]
