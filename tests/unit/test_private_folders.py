"""Folders of the owner's alone, and what is taken from others."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from engine.models.files import close_to_others, private_bytes, private_folder, sha256_of


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_a_folder_is_made_with_its_parents_and_for_its_owner(tmp_path: Path) -> None:
    made = private_folder(tmp_path / "a/b")
    assert mode(made) == 0o700


def test_one_that_others_could_read_is_closed(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    assert mode(private_folder(tmp_path)) == 0o700


def test_what_is_inside_is_closed_so_many_levels_deep(tmp_path: Path) -> None:
    deep = tmp_path / "one/two/three"
    deep.mkdir(parents=True)
    files = [tmp_path / "file", tmp_path / "one/file", tmp_path / "one/two/file"]
    for file in files:
        file.write_text("x")
        file.chmod(0o666)
    for folder in (deep, deep.parent):
        folder.chmod(0o777)
    close_to_others(tmp_path, levels=2)
    assert [mode(file) for file in files] == [0o600, 0o600, 0o666]
    assert mode(tmp_path / "one/two") == 0o700


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o755)
    (outside / "file").write_text("x")
    (outside / "file").chmod(0o644)
    state = tmp_path / "state"
    state.mkdir()
    (state / "link").symlink_to(outside)
    close_to_others(state)
    assert (mode(outside), mode(outside / "file")) == (0o755, 0o644)


def test_a_file_where_the_folder_belongs_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("x")
    (tmp_path / "state").chmod(0o644)
    close_to_others(tmp_path / "state")
    assert mode(tmp_path / "state") == 0o644


def test_a_files_digest_is_the_known_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_of(tmp_path / "file") == known


def test_private_memory_grows_by_what_is_written() -> None:
    before = private_bytes()
    held = bytearray(b"x" * (64 << 20))
    assert private_bytes() - before == pytest.approx(len(held), rel=0.2)
