"""How run folders are called, and how the same command finds its run again."""

from __future__ import annotations

import datetime
import hashlib
import re
from pathlib import Path

from biasaudit.errors import StoreError
from biasaudit.store.run import RunFolder

_RUN = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}-\d{2}-\d{2}Z-[0-9a-f]{6}")


def new_run_name(now: datetime.datetime, seed_material: str) -> str:
    """Name of a run: the moment in UTC, and 6 hex digits of a hash of `seed_material` (2026-11-22T12-03-04Z-1a2b3c).

    Args:
        now: an aware moment.
        seed_material: what makes two runs of one second differ, for instance the spec hash.
    """
    digest = hashlib.sha256(seed_material.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{now.astimezone(datetime.UTC):%Y-%m-%dT%H-%M-%SZ}-{digest[:6]}"


def runs(folder: Path) -> list[RunFolder]:
    """Runs in `reports/<battery>`, newest first by name; folders without an intact manifest are passed over."""
    if not folder.is_dir():
        return []
    found = []
    for path in sorted(folder.iterdir(), key=lambda path: path.name, reverse=True):
        if _RUN.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
            try:
                found.append(RunFolder.open(path))
            except StoreError:
                continue
    return found
