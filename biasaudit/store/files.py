"""The one door to the disk: atomic writes, contained names, and errors that say what to do.

A file appears whole or not at all: temporary file in the same folder, fsync, rename, fsync of the folder. The order
follows Pillai et al. 2014, "All File Systems Are Not Created Equal" (OSDI), and SQLite's notes on atomic commit.
Every call that can fail goes through `Disk`, so that a test can let the n-th one fail.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import shutil
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path

from biasaudit.errors import ResourceError, StoreError

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")
_TEMPORARY = re.compile(r"\..*\.[0-9a-f]{12}\.tmp")
_NO_FOLDER_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF, errno.EISDIR})
_ADVICE = {
    errno.ENOSPC: "Free some space and repeat the command; it continues where it stopped.",
    errno.EDQUOT: "Your quota is used up. Free some space and repeat the command; it continues where it stopped.",
    errno.EFBIG: "The file size limit is too small (see `ulimit -f`). Raise it and repeat the command.",
    errno.EROFS: "The file system is read-only. Choose another folder with --out.",
    errno.EACCES: "Check who owns the folder and its permissions, or choose another one with --out.",
    errno.EPERM: "Check who owns the folder and its permissions, or choose another one with --out.",
    errno.EIO: "The disk or the network behind it reports a fault. Check it, then repeat the command.",
    errno.EMFILE: "Too many files are open. Raise the limit (`ulimit -n`) and repeat the command.",
    errno.ENFILE: "Too many files are open on this machine. Close some programs and repeat the command.",
}


class StorageWarning(UserWarning):
    """The file system lacks a promise that we would like to have; work goes on."""


class Disk:
    """The system calls that a store makes, one method each."""

    def create(self, path: Path) -> int:
        """Create `path`, which must not exist, and return its descriptor. The mode follows the user's umask."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)

    def write(self, descriptor: int, data: memoryview) -> int:
        """Write some of `data`; return how many bytes were taken."""
        return os.write(descriptor, data)

    def fsync(self, descriptor: int) -> None:
        """Put a file's bytes on the medium."""
        full_sync = getattr(fcntl, "F_FULLFSYNC", None)  # macOS: fsync alone stops at the drive's cache
        if full_sync is None:
            os.fsync(descriptor)
        else:
            fcntl.fcntl(descriptor, full_sync)

    def close(self, descriptor: int) -> None:
        """Close a descriptor."""
        os.close(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        """Give a file its final name, atomically."""
        os.replace(source, target)  # noqa: PTH105  (one method, one system call)

    def unlink(self, path: Path) -> None:
        """Remove a name."""
        path.unlink(missing_ok=True)

    def mkdir(self, path: Path) -> None:
        """Create one folder; it may exist."""
        path.mkdir(exist_ok=True)

    def sync_folder(self, path: Path) -> None:
        """Put a folder's names on the medium."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def read(self, path: Path) -> bytes:
        """Return a regular file's bytes; a symbolic link is refused with ELOOP."""
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as handle:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(errno.EINVAL, "not a regular file")
            return handle.read()


DISK = Disk()
"""The real one."""


@contextlib.contextmanager
def explained(doing: str, path: Path) -> Iterator[None]:
    """Turn an OSError inside into a StoreError: what failed, where, why, the space left, what to do."""
    try:
        yield
    except OSError as error:
        code = error.errno or 0
        advice = _ADVICE.get(code, "Nothing that was stored before is lost; repeat the command.")
        space = f" {_free(path)}" if code in (errno.ENOSPC, errno.EDQUOT) else ""
        raise StoreError(f"Cannot {doing} {path}: {error.strerror or error}.{space} {advice}") from error


def write_atomic(path: Path, data: bytes, *, disk: Disk = DISK) -> None:
    """Let `path` hold `data`: after this returns, a crash or a power cut keeps it; before, the old state stands.

    Raises:
        StoreError: the system refused; `path` is as it was and no temporary file stays behind.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    with explained("write", path):
        descriptor = disk.create(temporary)
        try:
            try:
                left = memoryview(data)
                while left:
                    left = left[disk.write(descriptor, left) :]
                disk.fsync(descriptor)
            finally:
                disk.close(descriptor)
            disk.rename(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                disk.unlink(temporary)
            raise
        sync_folder(path.parent, disk=disk)


def read_bytes(path: Path, *, disk: Disk = DISK) -> bytes:
    """Return the bytes of `path`.

    Raises:
        StoreError: it cannot be read, or it is a symbolic link.
    """
    with explained("read", path):
        return disk.read(path)


def sync_folder(path: Path, *, disk: Disk = DISK) -> None:
    """Put the names of a folder on the medium; where the file system cannot, one warning."""
    try:
        disk.sync_folder(path)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
        text = "This file system cannot sync folders: after a power cut the newest results may have to be made again."
        warnings.warn(text, StorageWarning, stacklevel=2)


def make_folder(path: Path, *, disk: Disk = DISK) -> None:
    """Create a folder and those above it, durably.

    Raises:
        StoreError: the system refused, or a file stands in the way.
    """
    with explained("create the folder", path):
        missing = [folder for folder in (path, *path.parents) if not folder.is_dir()]
        for folder in reversed(missing):
            disk.mkdir(folder)
            sync_folder(folder.parent, disk=disk)


def remove_leftovers(folder: Path, *, disk: Disk = DISK) -> int:
    """Delete the temporary files that a killed writer left anywhere under `folder`; return how many.

    Call it with the writer's lock held: a temporary file of a live writer looks the same.
    """
    removed = 0
    with explained("clean", folder):
        for where, _, names in os.walk(folder):
            for name in names:
                if _TEMPORARY.fullmatch(name):
                    disk.unlink(Path(where, name))
                    removed += 1
    return removed


def contained(root: Path, relative: str) -> Path:
    """Return `root`/`relative` after making sure that it stays inside and passes no symbolic link.

    Raises:
        StoreError: a part of `relative` is not a plain name (letters, digits, `_`, `-`, `.`), or is a link.
    """
    path = root
    for name in relative.split("/"):
        if not _NAME.fullmatch(name):
            raise StoreError(f"'{relative}' is not a name that a run folder may hold (letters, digits, '_', '-', '.').")
        path = path / name
        if path.is_symlink():
            raise StoreError(f"{path} is a symbolic link; a run folder holds its files itself. Replace it by a copy.")
    return path


def require_space(folder: Path, needed: int) -> None:
    """Refuse to begin when the disk under `folder` has fewer than `needed` bytes left.

    Raises:
        ResourceError: with what is needed and what is there.
    """
    near = next(place for place in (folder, *folder.parents) if place.exists())
    free = shutil.disk_usage(near).free
    if free < needed:
        raise ResourceError(
            f"{folder} needs about {_size(needed)}, but only {_size(free)} are free there. "
            "Free some space, or choose another folder with --out."
        )


def _free(path: Path) -> str:
    try:
        usage = shutil.disk_usage(next(place for place in (path, *path.parents) if place.exists()))
    except OSError:
        return ""
    return f"{_size(usage.free)} are free there."


def _size(count: int) -> str:
    amount = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.3g} TB"
