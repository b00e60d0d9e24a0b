"""The run folder: parts that are written once, files that a manifest vouches for, and what verifies them.

    <run>/manifest.json  <kind>/part-<unit>-<sha256[:16]>.parquet  <name>.parquet  <name>.json  …

What was done is what lies on disk: a part counts when its bytes match the hash in its name. While a run grows, the
manifest says what the run is; sealing it adds the hash, size and row count of every file and a hash of its own. Writing
to a sealed run opens it again first, so a manifest never vouches for a file that has changed since.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from biasaudit import identity
from biasaudit.errors import StoreError
from biasaudit.store import files
from biasaudit.store.contents import (
    MANIFEST,
    PART,
    QUARANTINE,
    UNIT,
    Stamp,
    describe,
    faults,
    listed,
    manifest_bytes,
    parquet_bytes,
    parquet_table,
    read_manifest,
    stamp,
    unit_of,
)
from biasaudit.store.lock import WriterLock, writer_lock

_OWN = ("files", "sealed", "manifest_sha256")


class RunFolder:
    """One run on disk. Reading needs no lock; every writing method needs `with run.lock():` around it."""

    def __init__(self, path: Path, *, disk: files.Disk = files.DISK) -> None:
        """Name the folder; use `create` or `open`, which look at it."""
        self.path = path
        self._disk = disk
        self._lock: WriterLock | None = None
        self._verified: dict[str, Stamp] = {}  # parts whose bytes this process has checked or written
        self._hashes: dict[str, str] = {}  # other files that this process has written
        self._held: dict[str, Any] | None = None  # the manifest, while nobody else may change it
        self._units: dict[str, dict[str, Path]] = {}  # kind -> unit -> part, likewise

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    @classmethod
    def create(
        cls, path: Path, manifest: Mapping[str, Any] | None = None, *, disk: files.Disk = files.DISK
    ) -> RunFolder:
        """Make a run folder whose manifest holds `manifest` (JSON values; `spec_hash` lets `find_run` find it).

        Raises:
            StoreError: a run stands there already, or the disk refuses.
            RunLockedError: another process is making it.
        """
        run = cls(path, disk=disk)
        files.make_folder(path, disk=disk)
        with run.lock():
            if (path / MANIFEST).exists():
                raise StoreError(f"{path} holds a run already. Continue it, or choose another folder.")
            run._write_manifest({**(manifest or {}), "files": {}, "sealed": False})
        return run

    @classmethod
    def open(cls, path: Path, *, disk: files.Disk = files.DISK) -> RunFolder:
        """Open a run that exists.

        Raises:
            StoreError: there is no run at `path`, or its manifest is damaged.
        """
        run = cls(path, disk=disk)
        run._manifest()
        return run

    @contextlib.contextmanager
    def lock(self) -> Iterator[WriterLock]:
        """Be the run's only writer; deletes what a killed writer left half-written.

        Raises:
            RunLockedError: another process is.
        """
        with writer_lock(self.path) as lock:
            files.remove_leftovers(self.path, disk=self._disk)
            self._lock, self._held, self._units = lock, None, {}
            try:
                yield lock
            finally:
                self._lock = None

    # ------------------------------------------------------------------------ manifest

    @property
    def manifest(self) -> dict[str, Any]:
        """What the run says about itself, without the store's own fields (`files`, `sealed`, `manifest_sha256`)."""
        return {key: value for key, value in self._manifest().items() if key not in _OWN}

    @property
    def sealed(self) -> bool:
        """Whether the manifest vouches for every file."""
        return bool(self._manifest()["sealed"])

    def update_manifest(self, fields: Mapping[str, Any]) -> None:
        """Add or replace fields of the manifest (JSON values); opens a sealed run again.

        Raises:
            StoreError: a field is one of the store's own, or the disk refuses.
        """
        reserved = [key for key in fields if key in _OWN]
        if reserved:
            raise StoreError(f"The manifest's fields {', '.join(reserved)} are the store's own.")
        self._writing()
        current = self._manifest()
        changed = {**current, **identity.plain(fields)}
        if changed != current:
            self._write_manifest({**changed, "sealed": False})

    def _manifest(self) -> dict[str, Any]:
        if self._lock is None:
            return read_manifest(self.path, disk=self._disk)
        if self._held is None:
            self._held = read_manifest(self.path, disk=self._disk)
        return self._held

    def _write_manifest(self, value: Mapping[str, Any]) -> None:
        self._held = None
        files.write_atomic(self.path / MANIFEST, manifest_bytes(value), disk=self._disk)

    def _writing(self, relative: str | None = None) -> None:
        """Make sure that we may write, and that the manifest does not vouch for what is about to change."""
        if self._lock is None:
            raise StoreError(f"{self.path} is being written without its lock. This is a bug in biasaudit.")
        self._lock.check()
        if relative is not None:
            manifest = self._manifest()
            if manifest["sealed"] or relative in manifest["files"]:
                known = {name: entry for name, entry in manifest["files"].items() if name != relative}
                self._write_manifest({**manifest, "files": known, "sealed": False})

    # ------------------------------------------------------------------------ parts

    def commit_part(self, kind: str, unit_id: str, table: Any) -> Path:
        """Store one unit's table for good; the same unit with the same content again changes nothing.

        Args:
            kind: a folder of the run, for instance `completions`.
            unit_id: the unit's id (letters, digits, `_`).
            table: a pyarrow table.

        Raises:
            StoreError: the unit is stored with another content, or the disk refuses.
        """
        if not UNIT.fullmatch(unit_id):
            raise StoreError(f"'{unit_id}' is not the id of a unit (letters, digits, '_').")
        self._writing()
        if kind not in self._units:
            self._units[kind] = self.units(kind)
        old = self._units[kind].get(unit_id)
        if old is not None and self._same(old, table):
            return old
        data = parquet_bytes(table)
        relative = f"{kind}/part-{unit_id}-{hashlib.sha256(data).hexdigest()[:16]}.parquet"
        self._writing(relative)
        path = self._target(relative)
        files.write_atomic(path, data, disk=self._disk)
        self._verified[relative] = stamp(path)
        self._units[kind][unit_id] = path
        return path

    def _same(self, old: Path, table: Any) -> bool:
        """Whether a stored part equals `table`; False (and the part set aside) when it is damaged."""
        try:
            stored = self.read_part(old)
        except StoreError:
            self.quarantine(old)
            return False
        if not stored.equals(table):
            raise StoreError(f"{old} holds another content than the same unit has now; parts never change.")
        return True

    def parts(self, kind: str) -> list[Path]:
        """Committed parts of a kind, ordered by unit id, no unit twice; their bytes are checked when they are read."""
        paths = self._part_paths(kind)
        for before, after in itertools.pairwise(paths):
            if unit_of(before) == unit_of(after):
                raise StoreError(f"{before} and {after.name} are parts of one unit. Delete the wrong one, then repeat.")
        return paths

    def units(self, kind: str) -> dict[str, Path]:
        """Unit id -> its part, by unit id; their bytes are checked when they are read."""
        return {unit_of(path): path for path in self.parts(kind)}

    def units_done(self, kind: str) -> set[str]:
        """Ids of the units whose parts are on disk and intact; a damaged one is a StoreError (`quarantine_damaged`)."""
        paths = self.parts(kind)
        for path in paths:
            if not self._known(path):
                self._checked_bytes(path)
        return {unit_of(path) for path in paths}

    def quarantine_damaged(self, kind: str) -> list[Path]:
        """Set aside every part whose bytes do not match its name; return the names that they had.

        A resume calls this first: the units of these parts are then missing and made again.
        """
        damaged = []
        for path in self._part_paths(kind):
            try:
                if not self._known(path):
                    self._checked_bytes(path)
            except StoreError:
                self.quarantine(path)
                damaged.append(path)
        return damaged

    def quarantine(self, path: Path) -> Path:
        """Move a damaged part to the hidden folder of damaged files; return where it is now."""
        relative = self._relative(path)
        self._writing(relative)
        target = self.path / QUARANTINE / relative
        files.make_folder(target.parent, disk=self._disk)
        with files.explained("move", path):
            self._disk.rename(path, target)
            files.sync_folder(path.parent, disk=self._disk)
        self._verified.pop(relative, None)
        self._units.get(Path(relative).parent.as_posix(), {}).pop(unit_of(path), None)
        return target

    def tables(self, kind: str, columns: Sequence[str] | None = None) -> Iterator[Any]:
        """Yield the table of each part, verified, one in memory at a time.

        Raises:
            StoreError: a part is damaged; it is named.
        """
        for path in self.parts(kind):
            yield self.read_part(path, columns)

    def read(self, kind: str, columns: Sequence[str] | None = None) -> Any:
        """Return all parts of a kind as one table, verified, ordered by unit id.

        Raises:
            StoreError: there is none, or one is damaged; it is named.
        """
        tables = list(self.tables(kind, columns))
        if not tables:
            raise StoreError(f"{self.path} holds no {kind} yet.")
        return pa.concat_tables(tables).unify_dictionaries()

    def _part_paths(self, kind: str) -> list[Path]:
        folder = files.contained(self.path, kind)
        if not folder.is_dir():
            return []
        with files.explained("read", folder):
            return sorted(path for path in folder.iterdir() if PART.fullmatch(path.name))

    def _known(self, path: Path) -> bool:
        """Whether this process has seen the bytes of a part, and nobody has touched it since."""
        seen = self._verified.get(self._relative(path))
        return seen is not None and seen == stamp(path)

    def _checked_bytes(self, path: Path) -> bytes:
        """Read a part and compare it with the hash in its name, once a process; pages carry checksums of their own."""
        known, now = self._known(path), stamp(path)
        data = files.read_bytes(path, disk=self._disk)
        match = PART.fullmatch(path.name)
        if not known and (match is None or not hashlib.sha256(data).hexdigest().startswith(match[2])):
            raise StoreError(f"{path} is damaged: its bytes do not match its name. Repeat the run to make it again.")
        self._verified[self._relative(path)] = now
        return data

    def read_part(self, path: Path, columns: Sequence[str] | None = None) -> Any:
        """Read one part, verified: a damaged one is a StoreError."""
        return parquet_table(self._checked_bytes(path), path, columns)

    # ------------------------------------------------------------------------ other files

    def write_table(self, relative: str, table: Any) -> Path:
        """Write a whole table (`prompts.parquet`), replacing what was there."""
        return self.write_bytes(relative, parquet_bytes(table))

    def write_json(self, relative: str, value: Any) -> Path:
        """Write a value as readable JSON with sorted keys; NaN and infinities become null."""
        text = json.dumps(identity.plain(value), sort_keys=True, ensure_ascii=False, indent=1, allow_nan=False)
        return self.write_text(relative, text + "\n")

    def write_text(self, relative: str, text: str) -> Path:
        """Write UTF-8 text exactly as given."""
        return self.write_bytes(relative, text.encode("utf-8"))

    def write_bytes(self, relative: str, data: bytes) -> Path:
        """Write a file atomically, replacing what was there.

        Raises:
            StoreError: the name leaves the folder, is the manifest's or a part's, or the disk refuses.
        """
        if relative == MANIFEST or PART.fullmatch(Path(relative).name):
            raise StoreError(f"'{relative}' is a name that the store keeps for itself.")
        self._writing(relative)
        path = self._target(relative)
        files.write_atomic(path, data, disk=self._disk)
        self._hashes[relative] = hashlib.sha256(data).hexdigest()
        return path

    def has(self, relative: str) -> bool:
        """Whether the run holds a file of this name."""
        return files.contained(self.path, relative).is_file()

    def read_table(self, relative: str, columns: Sequence[str] | None = None) -> Any:
        """Read a whole table, verified.

        Raises:
            StoreError: it is missing or damaged.
        """
        return parquet_table(self.read_bytes(relative), self.path / relative, columns)

    def read_json(self, relative: str) -> Any:
        """Read a JSON file, verified.

        Raises:
            StoreError: it is missing or damaged.
        """
        try:
            return json.loads(self.read_bytes(relative))
        except ValueError as error:
            raise StoreError(f"{self.path / relative} is damaged: {error}. Repeat the stage that made it.") from error

    def read_bytes(self, relative: str) -> bytes:
        """Read a file; where the manifest or this process knows its hash, the bytes must match.

        Raises:
            StoreError: it is missing or damaged.
        """
        path = files.contained(self.path, relative)
        data = files.read_bytes(path, disk=self._disk)
        entry = self._manifest()["files"].get(relative, {})
        known = self._hashes.get(relative) or entry.get("sha256")
        if known is not None and hashlib.sha256(data).hexdigest() != known:
            raise StoreError(f"{path} is damaged: its bytes do not match the manifest. Repeat the stage that made it.")
        return data

    # ------------------------------------------------------------------------ seal and verify

    def seal(self) -> dict[str, Any]:
        """Let the manifest vouch for every file there is; return it whole. Sealing twice changes nothing.

        Raises:
            StoreError: a file does not match the hash that is known of it; damage is never sealed in.
        """
        self._writing()
        manifest = self._manifest()
        known = manifest["files"]
        entries: dict[str, Any] = {}
        for relative, path in listed(self.path).items():
            entry = known[relative] if relative in known and self._known(path) else describe(path)
            entries[relative] = entry
            expected = known.get(relative, {}).get("sha256") or self._hashes.get(relative)
            match = PART.fullmatch(path.name)
            if (expected and entry["sha256"] != expected) or (match and not entry["sha256"].startswith(match[2])):
                raise StoreError(f"{path} is damaged; the run cannot be sealed. Repeat the run to make it again.")
        lost = sorted(set(known) - set(entries))
        if lost:
            raise StoreError(f"{self.path / lost[0]} is missing; the run cannot be sealed. Repeat the run.")
        if not manifest["sealed"] or entries != known:
            self._write_manifest({**manifest, "files": entries, "sealed": True})
        return self._manifest()

    def verify(self) -> list[str]:
        """Check every byte of the run; return one line a fault, each beginning with the file's name.

        An empty list means: the manifest is whole, every file that it lists is there and unchanged, every other part
        matches its name, and (in a sealed run) there is no file beside these.
        """
        try:
            manifest = read_manifest(self.path, disk=self._disk)
        except StoreError as error:
            return [f"{MANIFEST}: {error}"]
        return faults(self.path, manifest)

    def _target(self, relative: str) -> Path:
        path = files.contained(self.path, relative)
        files.make_folder(path.parent, disk=self._disk)
        return path

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.path).as_posix()
