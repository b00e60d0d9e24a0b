"""Compressed files: `.gz`, `.zst` and the members of `.zip`, unpacked under names of our own and within limits.

A member's name chooses its reader and labels its records; it is never a path. An archive that unpacks to much more than
its size, or to more than the disk holds, is refused while it is being unpacked, whatever its header says.
"""

from __future__ import annotations

import gzip
import io
import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from biasaudit.corpus import sources
from biasaudit.corpus.reading import regular_size
from biasaudit.errors import CorpusError, ResourceError

SUFFIXES = (".gz", ".zst", ".zip")

MEMBERS = 10_000
"""Members that are read from one archive."""
RATIO = 200
"""Bytes that one byte of an archive may become."""
FLOOR = 64 << 20
"""Bytes that any archive may become, so that small files of one letter pass."""
RESERVE = 512 << 20
"""Bytes that are left free on the disk."""

_BLOCK = 1 << 20
_NAME = 200
"""Characters of a member's name that labels keep."""
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file of an archive."""

    label: str
    """How records name it: `dump.zip/folder/result.json`."""
    path: Path | None
    """Where it was unpacked to; None when it was left out."""
    skipped: str = ""
    """Why it was left out."""


def is_archive(path: Path) -> bool:
    """Whether the name of a file is that of an archive.

    >>> is_archive(Path("dump.csv.GZ")), is_archive(Path("dump.csv"))
    (True, False)
    """
    return path.suffix.lower() in SUFFIXES


def unpacked(path: Path, folder: Path, *, label: str = "", kind: str | None = None) -> Iterator[Member]:
    """Unpack an archive, one file when the next member is asked for; nothing is written outside of `folder`.

    Args:
        path: a file for which `is_archive` holds.
        folder: an existing folder for this archive alone; its files are overwritten, and are the caller's to delete.
        label: how records name the archive; its file name when empty.
        kind: the source that will read the files, when the user named one; endings then do not matter.

    Raises:
        CorpusError: damaged, encrypted, an archive in an archive in an archive, over a limit, or nothing to read in it.
        ResourceError: the disk is too small.
    """
    if not regular_size(path):
        raise CorpusError(f"{path}: damaged or cut off (the file is empty). Copy or download it again.")
    label = label or path.name
    with path.open("rb") as handle:
        raw = _Counted(handle)
        writer = _Writer(path, folder, raw)
        if path.suffix.lower() == ".zip":
            yield from _members(path, label, kind, raw, writer)
        else:
            suffix = _single_suffix(path, kind)
            with _told(path, path.name):
                target = writer.write(suffix, lambda: _stream(raw, path.suffix.lower()))
            yield Member(label=label, path=target)


class _Counted(io.RawIOBase):
    """A file that counts the bytes that were read from it."""

    def __init__(self, handle: IO[bytes]) -> None:
        self._handle = handle
        self.count = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._handle.seek(offset, whence)

    def tell(self) -> int:
        return self._handle.tell()

    def readinto(self, buffer: Any, /) -> int:
        data = self._handle.read(len(buffer))
        buffer[: len(data)] = data
        self.count += len(data)
        return len(data)


class _Writer:
    """Writes the files of one archive under numbers, and stops at the limits."""

    def __init__(self, archive: Path, folder: Path, raw: _Counted) -> None:
        self._archive = archive
        self._folder = folder
        self._raw = raw
        self._files = 0
        self._bytes = 0

    def write(self, suffix: str, opened: Callable[[], AbstractContextManager[Any]]) -> Path:
        target = self._folder / f"{self._files:05}{suffix}"
        self._files += 1
        try:
            with opened() as stream, target.open("wb") as out:
                while block := stream.read(_BLOCK):
                    self._bytes += len(block)
                    self._check(len(block))
                    out.write(block)
        except BaseException:
            target.unlink(missing_ok=True)
            raise
        return target

    def _check(self, coming: int) -> None:
        if self._bytes > FLOOR + RATIO * self._raw.count:
            raise _refused(self._archive)
        if shutil.disk_usage(self._folder).free < RESERVE + coming:
            raise ResourceError(
                f"{self._archive}: the disk of {self._folder} has less than {RESERVE >> 20} MB left after "
                f"{self._bytes:,} unpacked bytes. Free some space, or choose an output folder on a larger disk."
            )


def _refused(path: Path) -> CorpusError:
    return CorpusError(
        f"{path}: unpacks to more than {RATIO} times its size, as an archive made to fill a disk does. If it is sound, "
        "unpack it yourself and give the files."
    )


def _single_suffix(path: Path, kind: str | None) -> str:
    """The ending of what a .gz or .zst file holds."""
    inner = Path(path.stem)
    if is_archive(inner) or inner.suffix.lower() in (".tar", ".tgz"):
        raise CorpusError(f"{path}: an archive in an archive. Unpack it and give the files.")
    if kind is None:
        sources.kind_of(path.with_suffix(""))
    return inner.suffix.lower() if kind is None else ""


@contextmanager
def _stream(raw: Any, suffix: str) -> Iterator[Any]:
    """The unpacked bytes of a .gz or .zst stream."""
    if suffix == ".gz":
        with gzip.GzipFile(fileobj=raw, mode="rb") as stream:
            yield stream
        return
    import pyarrow as pa

    with pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), "zstd") as stream:
        yield stream


@contextmanager
def _told(path: Path, name: str) -> Iterator[None]:
    """Turn what the unpackers raise into an error that names the archive.

    Raises:
        CorpusError: damaged, cut off, or packed in a way that is not known.
    """
    where = f"{path}" if name == path.name else f"{path}: member {name}"
    try:
        yield
    except NotImplementedError as error:
        raise CorpusError(
            f"{where}: packed by a method that cannot be read here. Unpack it and give the files."
        ) from error
    except (EOFError, zlib.error, zipfile.BadZipFile, gzip.BadGzipFile, ValueError) as error:
        raise CorpusError(f"{where}: damaged or cut off ({_line(error)}). Copy or download it again.") from error
    except OSError as error:
        if error.errno is not None:
            raise
        # Without a number of the system it is the decompressor that speaks.
        raise CorpusError(f"{where}: damaged or cut off ({_line(error)}). Copy or download it again.") from error


def _line(error: Exception) -> str:
    return str(error).split("\n")[0][:200] or type(error).__name__


# ---------------------------------------------------------------------------- zip


def _members(path: Path, label: str, kind: str | None, raw: _Counted, writer: _Writer) -> Iterator[Member]:
    with _told(path, path.name):
        archive = zipfile.ZipFile(io.BufferedReader(raw))
    with archive:
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
        reasons = [_left_out(entry, kind) for entry in entries]
        read = [entry for entry, reason in zip(entries, reasons, strict=True) if not reason]
        if len(read) > MEMBERS:
            raise CorpusError(
                f"{path}: {len(read):,} members to read, at most {MEMBERS:,} are. Unpack it and give the folder."
            )
        if not read:
            raise CorpusError(
                f"{path}: none of its {len(entries):,} members can be read"
                f"{f' (the first: {reasons[0]})' if entries else ''}. Name the kind of the files if their endings "
                "hide it."
            )
        if sum(entry.file_size for entry in read) > FLOOR + RATIO * path.stat().st_size:
            raise _refused(path)
        seen: set[str] = set()
        for number, (entry, reason) in enumerate(zip(entries, reasons, strict=True)):
            name = _name(entry.filename, number, seen)
            if reason:
                yield Member(label=f"{label}/{name}", path=None, skipped=reason)
            else:
                yield Member(label=f"{label}/{name}", path=_write_member(path, archive, entry, name, kind, writer))


def _write_member(
    path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str, kind: str | None, writer: _Writer
) -> Path:
    inner = PurePosixPath(entry.filename)
    packed = inner.suffix.lower()
    with _told(path, name):
        if packed == ".zip" or (packed in SUFFIXES and is_archive(Path(inner.stem))):
            raise CorpusError(f"{path}: member {name} is an archive in an archive. Unpack it and give the files.")
        if entry.flag_bits & 0x1:
            raise CorpusError(f"{path}: member {name} is encrypted. Unpack it with its password and give the files.")
        if packed not in SUFFIXES:
            return writer.write(packed if kind is None else "", lambda: archive.open(entry))
        suffix = _single_suffix(Path(entry.filename), kind)
        return writer.write(suffix, lambda: _twice(archive, entry, packed))


@contextmanager
def _twice(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, packed: str) -> Iterator[Any]:
    with archive.open(entry) as outer, _stream(outer, packed) as stream:
        yield stream


def _left_out(entry: zipfile.ZipInfo, kind: str | None) -> str:
    """Why a member is not read; empty when it is."""
    mode = stat.S_IFMT(entry.external_attr >> 16)
    name = PurePosixPath(entry.filename.replace("\\", "/"))
    if mode not in (0, stat.S_IFREG):
        return "a link or a device"
    if name.name.startswith(".") or "__MACOSX" in name.parts:
        return "hidden"
    if not entry.file_size:
        return "empty"
    if kind is not None or is_archive(Path(name.name)):
        return ""
    try:
        sources.kind_of(Path(name.name))
    except CorpusError:
        return f"no source reads '{name.suffix[:20]}'" if name.suffix else "no source reads names without an ending"
    return ""


def _name(name: str, number: int, seen: set[str]) -> str:
    """A member's name as a label: no way out of a folder, nothing that confuses a terminal, each once."""
    parts = [part for part in _UNSAFE.sub("\ufffd", name).replace("\\", "/").split("/") if part not in ("", ".", "..")]
    made = "/".join(parts)[-_NAME:] or "unnamed"
    if made in seen:
        made = f"{made}#{number}"
    seen.add(made)
    return made
