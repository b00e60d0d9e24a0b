"""The one door to the disk."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from biasaudit.errors import StoreError
from biasaudit.store import files


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    files.write_atomic(tmp_path / "a", b"old")
    files.write_atomic(tmp_path / "a", b"new" * 10_000)
    assert (tmp_path / "a").read_bytes() == b"new" * 10_000
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_the_mode_follows_the_users_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        files.write_atomic(tmp_path / "a", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_writing_over_a_link_replaces_the_link_and_never_its_target(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"safe")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    files.write_atomic(tmp_path / "link", b"new")
    assert (tmp_path / "target").read_bytes() == b"safe"
    assert not (tmp_path / "link").is_symlink()


def test_a_link_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/hostname")
    with pytest.raises(StoreError, match="Cannot read"):
        files.read_bytes(tmp_path / "link")


def test_a_folder_is_not_read_as_a_file(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="Cannot read"):
        files.read_bytes(tmp_path)


def test_only_temporary_files_of_ours_are_removed(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    ours = [tmp_path / ".a.0123456789ab.tmp", tmp_path / "sub" / ".b.json.0123456789ab.tmp"]
    kept = [tmp_path / "notes.tmp", tmp_path / ".hidden", tmp_path / ".a.xyz.tmp"]
    for path in ours + kept:
        path.write_bytes(b"")
    assert files.remove_leftovers(tmp_path) == 2
    assert all(path.exists() for path in kept)
    assert not any(path.exists() for path in ours)


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "/etc/passwd",
        "a/../b",
        "",
        ".",
        "..",
        "a//b",
        "a/",
        ".hidden",
        "a\\b",
        "a\nb",
        "a\0b",
        "-rf",
        "é",
        "x" * 201,
        "a b",
    ],
)
def test_names_that_leave_the_folder_or_confuse_a_shell_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(StoreError, match="not a name that a run folder may hold"):
        files.contained(tmp_path, name)


def test_a_link_inside_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to("/tmp")
    with pytest.raises(StoreError, match="symbolic link"):
        files.contained(tmp_path, "out/a.json")


class NoFolderSync(files.Disk):
    def __init__(self, code: int) -> None:
        self.code = code

    def sync_folder(self, path: Path) -> None:
        raise OSError(self.code, os.strerror(self.code))


def test_a_file_system_that_cannot_sync_folders_warns_and_works(tmp_path: Path) -> None:
    with pytest.warns(files.StorageWarning, match="cannot sync folders"):
        files.write_atomic(tmp_path / "a", b"x", disk=NoFolderSync(errno.EINVAL))
    assert (tmp_path / "a").read_bytes() == b"x"


def test_a_folder_sync_that_fails_for_real_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="reports a fault"):
        files.write_atomic(tmp_path / "a", b"x", disk=NoFolderSync(errno.EIO))


def test_a_file_in_the_way_of_a_folder_is_explained(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(StoreError, match="Cannot create the folder"):
        files.make_folder(tmp_path / "a" / "b")
