"""What the files of a run are made of: manifest, Parquet, hashes; and which of them are not what they should be."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from biasaudit import identity
from biasaudit.errors import StoreError
from biasaudit.store import files

MANIFEST = "manifest.json"
HASH = "manifest_sha256"
HASH_LINE = b' "manifest_sha256": "%s"\n}\n'
QUARANTINE = ".damaged"
"""Folder of damaged parts that were set aside; hidden, so that nothing counts them."""
PART = re.compile(r"part-([A-Za-z0-9_]+)-([0-9a-f]{16})\.parquet")
"""File name of a part: unit id, first 16 hex digits of the SHA-256 of its bytes."""
UNIT = re.compile(r"[A-Za-z0-9_]{1,64}")
ROWS_A_GROUP = 1 << 16
_THREADS_PAY = 8_000_000  # bytes; below, handing columns to threads costs more than it gains


Stamp = tuple[int, int, int] | None
"""Inode, size and time of change in nanoseconds; None where there is no file."""


def stamp(path: Path) -> Stamp:
    """What changes when anybody writes to `path`."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_ino, found.st_size, found.st_mtime_ns)


def unit_of(path: Path) -> str:
    """Unit id in the name of a part; empty when the file is none."""
    match = PART.fullmatch(path.name)
    return match[1] if match else ""


def parquet_bytes(table: Any) -> bytes:
    """The same table gives the same bytes; a flipped bit in a page is found by any reader that asks for it."""
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    return sink.getvalue()


class ParquetPieces:
    """The bytes of one table that comes in pieces; the same rows give the same bytes, however they were cut."""

    def __init__(self, schema: Any) -> None:
        """Begin a table of `schema`."""
        self._sink = io.BytesIO()
        self._writer = pq.ParquetWriter(self._sink, schema, compression="zstd", write_page_checksum=True)
        self._waiting: list[Any] = []
        self._count = 0
        self.rows = 0

    def add(self, table: Any) -> None:
        """Add rows at the end."""
        while table.num_rows:
            piece = table.slice(0, ROWS_A_GROUP - self._count)
            table = table.slice(piece.num_rows)
            self._waiting.append(piece)
            self._count += piece.num_rows
            self.rows += piece.num_rows
            if self._count == ROWS_A_GROUP:
                self._flush()

    def finish(self) -> bytes:
        """The whole file."""
        self._flush()
        self._writer.close()
        return self._sink.getvalue()

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.concat_tables(self._waiting).unify_dictionaries())
            self._waiting, self._count = [], 0


def parquet_table(data: bytes, path: Path, columns: Sequence[str] | None = None) -> Any:
    """Read a table from the bytes of `path`.

    Raises:
        StoreError: they are damaged, or lack one of `columns`.
    """
    wanted = None if columns is None else list(columns)
    try:
        file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
        absent = sorted(set(wanted or ()) - set(file.schema_arrow.names))
        if absent:
            raise StoreError(f"{path} lacks the column {', '.join(absent)}; it was written by another program.")
        return file.read(columns=wanted, use_threads=len(data) > _THREADS_PAY)
    except (pa.ArrowException, OSError) as error:
        raise StoreError(f"{path} is damaged: {error}. Repeat the stage that made it.") from error


def manifest_bytes(value: Mapping[str, Any]) -> bytes:
    """Readable JSON of a manifest: a line a file, and at the end the hash of all bytes before it."""
    body = {key: entry for key, entry in value.items() if key not in ("files", HASH)}
    lines = [f" {json.dumps(key)}: {_indented(body[key])},\n" for key in sorted(body)]
    files_lines = (
        f"  {json.dumps(name)}: {json.dumps(entry, sort_keys=True)}" for name, entry in sorted(value["files"].items())
    )
    lines.append(' "files": {\n' + ",\n".join(files_lines) + "\n },\n")
    text = ("{\n" + "".join(lines)).encode()
    return text + HASH_LINE % hashlib.sha256(text).hexdigest().encode()


def _indented(value: Any) -> str:
    """A value as JSON that stands one blank in."""
    text = json.dumps(identity.plain(value), sort_keys=True, ensure_ascii=False, indent=1, allow_nan=False)
    return text.replace("\n", "\n ")


def read_manifest(folder: Path, *, disk: files.Disk = files.DISK) -> dict[str, Any]:
    """Return the manifest of a run.

    Raises:
        StoreError: there is none, or one byte of it is not as it was written.
    """
    path = folder / MANIFEST
    if not path.exists():
        raise StoreError(f"{folder} is not a run: it holds no {MANIFEST}.")
    raw = files.read_bytes(path, disk=disk)
    text = raw[: -len(HASH_LINE % (b"0" * 64))]
    intact = raw == text + HASH_LINE % hashlib.sha256(text).hexdigest().encode()
    try:
        value = json.loads(raw) if intact else None
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise StoreError(f"{path} is damaged or was edited by hand. Restore it from a copy, or start over.")
    return value


def describe(path: Path) -> dict[str, Any]:
    """A file's entry in the manifest: `sha256`, `bytes`, and `rows` of a Parquet file."""
    with files.explained("read", path):
        entry: dict[str, Any] = {"sha256": identity.file_hash(path), "bytes": path.stat().st_size}
        if path.suffix == ".parquet":
            try:
                entry["rows"] = pq.read_metadata(path).num_rows
            except pa.ArrowException as error:
                raise StoreError(f"{path} is damaged: {error}. Repeat the stage that made it.") from error
    return entry


def listed(folder: Path) -> dict[str, Path]:
    """Every file that a manifest speaks of, by its name in the run.

    That is all but the manifest itself and hidden files: locks, temporaries, damaged parts that were set aside.
    """
    found = {}
    waiting = [folder]
    while waiting:
        with files.explained("read", waiting[-1]):
            for path in waiting.pop().iterdir():
                if path.name.startswith(".") or path == folder / MANIFEST:
                    continue
                if path.is_dir() and not path.is_symlink():
                    waiting.append(path)
                else:
                    found[path.relative_to(folder).as_posix()] = path
    return dict(sorted(found.items()))


def unvouched(folder: Path) -> list[str]:
    """Files of which no hash is known, neither in the manifest nor in their own name.

    Only a run whose last command was cut short has such; what they hold cannot be verified.
    """
    known = read_manifest(folder)["files"]
    return [name for name, path in listed(folder).items() if name not in known and not PART.fullmatch(path.name)]


def faults(folder: Path, manifest: Mapping[str, Any]) -> list[str]:
    """One line for every file that is missing, changed, or not known to a sealed run."""
    known = manifest["files"]
    present = listed(folder)
    found = []
    for relative in sorted(set(known) | set(present)):
        path = present.get(relative)
        if path is None:
            fault = "missing"
        elif path.is_symlink() or not path.is_file():
            fault = "not a regular file"
        elif relative not in known and manifest["sealed"]:
            fault = "not in the manifest"
        else:
            fault = _fault(path, known.get(relative))
        if fault:
            found.append(f"{relative}: {fault}")
    return found


def _fault(path: Path, entry: Mapping[str, Any] | None) -> str:
    try:
        size, digest = path.stat().st_size, identity.file_hash(path)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    match = PART.fullmatch(path.name)
    if entry is not None and size != entry["bytes"]:
        return f"{size} bytes, {entry['bytes']} expected"
    if (entry is not None and digest != entry["sha256"]) or (match and not digest.startswith(match[2])):
        return "its bytes have changed"
    return ""
