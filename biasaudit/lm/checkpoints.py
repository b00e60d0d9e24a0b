"""Checkpoints of a training run: staged, hashed, renamed; never half there and never guessed (RELIABILITY B7).

A checkpoint is a folder `step-000000123`. It appears by one rename after everything in it is on disk, and its
`manifest.json` names every file with its SHA-256. One that does not match is passed over with a warning, and the
one before it is used.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from biasaudit import identity

REQUIRED = frozenset(
    {"model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"}
)  # fmt: skip
"""Without any of these a resumed run would differ from an uninterrupted one."""

KEEP = 2


def sync_folder(folder: Path) -> None:
    """Make a folder's names durable; a file system that cannot (a mounted drive) is left as it is."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        return
    finally:
        os.close(handle)


def sync_file(path: Path) -> None:
    """Make a file's bytes durable."""
    with path.open("rb") as handle:
        os.fsync(handle.fileno())


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Replace `path` by `value` as JSON, atomically and durably."""
    staged = path.with_name(f".{path.name}.tmp")
    staged.write_text(
        json.dumps(identity.plain(value), ensure_ascii=False, indent=1, sort_keys=True) + "\n", encoding="utf-8"
    )
    sync_file(staged)
    staged.replace(path)
    sync_folder(path.parent)


def commit(staged: Path, folder: Path, *, step: int, request: str) -> None:
    """Turn the staged folder into the checkpoint of `step`, then drop all but the newest two.

    Args:
        staged: folder with the trainer's files, on the same file system.
        folder: where checkpoints live.
        step: optimizer steps done.
        request: hash of configuration and data.
    """
    files = {}
    for path in sorted(staged.iterdir()):
        sync_file(path)
        files[path.name] = {"sha256": identity.file_hash(path), "bytes": path.stat().st_size}
    write_json(staged / "manifest.json", {"step": step, "request": request, "files": files})
    target = folder / f"step-{step:09d}"
    if target.exists():
        shutil.rmtree(target)
    staged.rename(target)
    sync_folder(folder)
    for old in checkpoints(folder)[KEEP:]:
        # Renamed first: a kill inside the removal must not leave a folder that looks like a checkpoint.
        gone = old.with_name(f".gone-{old.name}")
        old.rename(gone)
        shutil.rmtree(gone)


def checkpoints(folder: Path) -> list[Path]:
    """Folders of checkpoints, the newest first."""
    return sorted((p for p in folder.glob("step-*") if p.is_dir()), reverse=True)


def sweep(folder: Path) -> None:
    """Remove what a killed writer left behind (staged or half-removed folders)."""
    for path in folder.glob(".*"):
        if path.is_dir() and path.name.startswith((".staged", ".gone-")):
            shutil.rmtree(path)


def fault(checkpoint: Path, *, request: str, required: Iterable[str] = REQUIRED) -> str | None:
    """What is wrong with a checkpoint, in words; None when it is whole and belongs to this `request`."""
    try:
        manifest = json.loads((checkpoint / "manifest.json").read_text(encoding="utf-8"))
        files, owner = dict(manifest["files"]), manifest["request"]
    except (OSError, ValueError, KeyError, TypeError):
        return "its manifest cannot be read"
    if owner != request:
        return "it belongs to another configuration"
    missing = sorted(set(required) - set(files))
    if missing:
        return f"{missing[0]} is not in its manifest"
    for name, entry in files.items():
        path = checkpoint / name
        if not path.is_file():
            return f"{name} is missing"
        if identity.file_hash(path) != entry["sha256"]:
            return f"{name} is damaged"
    return None


def step_of(checkpoint: Path) -> int:
    """Optimizer steps done at a checkpoint."""
    return int(checkpoint.name.removeprefix("step-"))
