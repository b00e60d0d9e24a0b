"""The corpus folder on disk: one writer, staged beside its place, synced, then renamed into it.

A folder that stands under its own name is complete. What a killed process left behind lies under a hidden temporary
name; the same command goes on with it, and any other removes it.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biasaudit import identity
from biasaudit.errors import BiasAuditError, CorpusError, RunLockedError, StoreError, UsageError

if TYPE_CHECKING:
    from biasaudit.pipeline.ingest import Progress
    from biasaudit.pipeline.ingest_settings import IngestMeans
    from biasaudit.pipeline.ingest_units import ReadUnit

MANIFEST = "manifest.json"


@contextmanager
def single_writer(out: Path) -> Iterator[None]:
    """Hold the lock of `out` for as long as the block runs; the system frees it when the process dies.

    Raises:
        RunLockedError: another process is writing this corpus.
        StoreError: the parent folder cannot be written.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        handle = (out.parent / f".{out.name}.lock").open("a")
    except OSError as error:
        raise StoreError(f"{out.parent}: cannot be written ({error.strerror}). Choose another --out.") from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunLockedError(f"{out}: another process is writing this corpus. Wait for it, or stop it.") from None
        except OSError as error:
            raise StoreError(
                f"{out.parent}: this file system has no locks ({error.strerror}), so two runs could write one corpus. "
                "Choose an --out on another disk."
            ) from error
        old = _replaced(out)
        if old.exists() and not out.exists():  # the power went between the two renames of `commit`
            old.rename(out)
        yield


@contextmanager
def told(place: Path) -> Iterator[None]:
    """Turn what the system refuses inside into a StoreError with a sentence; `place` is where it is most likely."""
    from biasaudit.store.files import explained

    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        with explained("use", Path(str(error.filename)) if error.filename else place):
            raise


def _replaced(out: Path) -> Path:
    """Where the corpus that is being replaced waits until the new one stands."""
    return out.parent / f".{out.name}.old.tmp"


def finished(out: Path, key: str) -> dict[str, Any] | None:
    """The card of `out` when it was made with the same `key` and every file is as it was written."""
    manifest = read_manifest(out)
    if manifest is None or manifest.get("key") != key:
        return None
    for name, entry in manifest["files"].items():
        path = out / name
        if not path.is_file() or identity.file_hash(path) != entry["sha256"]:
            return None
    card: dict[str, Any] = json.loads((out / "card.json").read_text("utf-8"))
    return card


def read_manifest(out: Path) -> dict[str, Any] | None:
    """The manifest of `out`, or None when there is none that can be read."""
    try:
        manifest = json.loads((out / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) and isinstance(manifest.get("files"), dict) else None


def refuse_to_overwrite(out: Path, *, fresh: bool, settings: Mapping[str, Any] | None = None) -> None:
    """Stop before work that could not be put in place.

    Args:
        out: the corpus folder.
        fresh: whether a corpus may be replaced.
        settings: of the new corpus, to say what differs.

    Raises:
        CorpusError: `out` holds something that is no corpus, or another corpus and `fresh` is False.
    """
    if not out.exists():
        return
    if read_manifest(out) is None and (not out.is_dir() or any(out.iterdir())):
        raise CorpusError(f"{out}: exists and is not a corpus folder. Choose another --out.")
    if read_manifest(out) is not None and not fresh:
        raise CorpusError(
            f"{out}: holds another corpus ({_difference(out, settings or {})}). "
            "Give --fresh to replace it, or choose another --out."
        )


def _difference(out: Path, settings: Mapping[str, Any]) -> str:
    """What tells the corpus at `out` from one made with `settings`."""
    try:
        old = json.loads((out / "card.json").read_text("utf-8"))["settings"]
        other = [f"{name}: {old.get(name)} → {value}" for name, value in settings.items() if old.get(name) != value]
    except (OSError, ValueError, KeyError, AttributeError):
        other = []
    if other:
        return "made with other settings: " + "; ".join(other)
    return "made from other inputs, with another key or by another version of biasaudit, or changed since"


@contextmanager
def staging(out: Path, key: str) -> Iterator[Path]:
    """The hidden folder beside `out` where work with this `key` goes on; what other work left there goes first.

    It is gone after the block, unless the run was interrupted or failed for a reason outside the user's input: then
    the same command finds it again.
    """
    from biasaudit.store.files import remove_leftovers

    place = out.parent / f".{out.name}.{key[:16]}.tmp"
    remove_others(out, place)
    place.mkdir(exist_ok=True)
    remove_leftovers(place)
    try:
        yield place
    except (CorpusError, UsageError):
        _discard(place)
        raise
    _discard(place)


def _discard(place: Path) -> None:
    """Remove a staging folder; one that is half removed must not be taken for work done."""
    gone = place.with_name(f"{place.name.removesuffix('.tmp')}.gone.tmp")
    place.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def remove_others(out: Path, place: Path | None = None) -> None:
    """Remove what killed runs left beside `out`, except `place`; call it with the lock held."""
    ours = re.compile(rf"\.{re.escape(out.name)}\.(old|[0-9a-f]{{16}}(\.gone)?)\.tmp")
    for left in list(out.parent.iterdir()):
        if ours.fullmatch(left.name) and left != place:
            shutil.rmtree(left, ignore_errors=True)


def empty(path: Path) -> Path:
    """Make `path` an empty folder."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def gather_rejects(staging: Path, units: Sequence[ReadUnit], target: Path, expected: int) -> None:
    """Put the rejects of all parts into one file, in the order of the sources.

    Raises:
        BiasAuditError: they are not as many as the parts counted.
    """
    count = 0
    with target.open("wb") as whole:
        for unit in units:
            with (staging / f"part-{unit.unit_id}.rejects").open("rb") as part:
                while block := part.read(1 << 20):
                    count += block.count(b"\n")
                    whole.write(block)
    if count != expected:
        raise BiasAuditError(
            f"Conservation law: {expected} rejects counted, {count} stored in {staging}. Delete that folder, run again."
        )


def channel_key(means: IngestMeans, report: Progress) -> bytes | None:
    """The key of the channels' pseudonyms: from the file named, from the user's settings folder, or made there.

    It never lies in a corpus, so that whoever gets a corpus cannot find a channel's number by trying all numbers.

    Returns:
        The key, or None when no file was named and none can be made.

    Raises:
        UsageError: the file named cannot be read or made, or holds too little.
    """
    named = means.pseudonym_key or (Path(value) if (value := os.environ.get("BIASAUDIT_PSEUDONYM_KEY")) else None)
    path = named or _settings_folder() / "pseudonym.key"
    try:
        if not path.exists():
            _make_key(path)
            report("pseudonyms of channels", 1, 1, f"made a new key, {path}; keep it to give channels the same names")
        key = path.read_bytes().strip()
    except OSError as error:
        if named is None:
            return None
        raise UsageError(f"--pseudonym-key {path}: {error.strerror}. Name a file that can be read or made.") from error
    if len(key) < 16:
        raise UsageError(
            f"--pseudonym-key {path}: holds {len(key)} bytes; a key has at least 16. Delete it or name another."
        )
    return key


def _settings_folder() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME")
    return Path(base) / "biasaudit" if base else Path("~/.config/biasaudit").expanduser()


def _make_key(path: Path) -> None:
    """Make a key that only its owner can read; of two processes that make one, the first wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as handle:
        handle.write(secrets.token_hex(32) + "\n")
        handle.flush()
        os.fsync(handle.fileno())
    try:
        os.link(made, path)
    except FileExistsError:
        pass
    finally:
        made.unlink()


def keep_rejects(staging: Path, out: Path) -> Path:
    """Put the rejects of a corpus that is not made beside where it would stand; they hold places, never texts."""
    return (staging / "rejects.jsonl").replace(out.with_name(f"{out.name}.rejects.jsonl"))


def write_json(path: Path, value: Any) -> None:
    """Write readable JSON with sorted keys: equal values give equal bytes."""
    text = json.dumps(identity.plain(value), sort_keys=True, ensure_ascii=False, indent=1, allow_nan=False)
    path.write_text(text + "\n", "utf-8")


def commit(staging: Path, out: Path, manifest: Mapping[str, Any], known: Mapping[str, str]) -> None:
    """Seal `staging` with its manifest and put it in the place of `out`.

    The order is files, folder, rename, parent folder: after a power cut `out` is old or new, never half. `known` are
    the SHA-256 of files that were hashed already.
    """
    files = {
        str(p.relative_to(staging)): {"bytes": p.stat().st_size, "sha256": known.get(p.name) or identity.file_hash(p)}
        for p in sorted(staging.rglob("*"))
        if p.is_file()
    }
    write_json(staging / MANIFEST, {**manifest, "files": files})
    for path in [*staging.rglob("*"), staging]:
        sync(path)
    if out.exists():
        old = _replaced(out)
        out.rename(old)
        staging.rename(out)
        if old.is_symlink():
            old.unlink()
        else:
            shutil.rmtree(old)
    else:
        staging.rename(out)
    sync(out.parent)


def sync(path: Path) -> None:
    """Put a file's bytes, or a folder's names, on the medium."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
