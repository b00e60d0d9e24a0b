"""Exact and near duplicates: kept once, with how often they came.

Decided at once for all texts, from files of digests and signatures (`sketch`). In memory: 8 bytes a text and a stated
budget, whatever the number of texts. On disk while it runs: 24 bytes a text, and for near duplicates 16 × 21 more,
beside the files themselves (16 and 512 bytes a text).
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from biasaudit.corpus import dedup_near
from biasaudit.corpus.dedup_sort import Int64s, blocks, in_order, linked
from biasaudit.corpus.sketch import PERMUTATIONS
from biasaudit.errors import BiasAuditError, UnknownNameError

MODES = ("exact", "near", "keep")
"""`exact` keeps one copy of equal texts, `near` also one of almost equal texts, `keep` keeps all."""
DIGEST_BYTES = 16
SIGNATURE_BYTES = 4 * PERMUTATIONS

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Keepers:
    """Which text stands for which."""

    keeper: Int64s
    """For every text the number of the first of its copies; its own number when it is kept, shape (texts,)."""
    near: int
    """Texts dropped because they are almost, and not exactly, equal to one that is kept."""


def keepers(
    digests: Path, signatures: Path | None, *, mode: str = "exact", budget: int = 256 << 20, scratch: Path
) -> Keepers:
    """Decide which texts are kept. The result does not depend on the budget.

    Args:
        digests: raw little-endian `sketch.digests` of all texts, in their order.
        signatures: raw little-endian `sketch.signatures` of the same texts; only read for `near`.
        mode: one of `MODES`.
        budget: bytes of memory besides the result.
        scratch: existing folder; its subfolder `duplicates` is emptied, used and removed.

    Raises:
        UnknownNameError: `mode` is not one of `MODES`.
        BiasAuditError: the files do not belong to the same texts.
    """
    if mode not in MODES:
        raise UnknownNameError("way with duplicates", mode, MODES)
    size = digests.stat().st_size
    count = size // DIGEST_BYTES
    row = SIGNATURE_BYTES if mode == "near" else 0
    if size % DIGEST_BYTES or (row and (signatures is None or signatures.stat().st_size != row * count)):
        raise BiasAuditError(
            f"{digests}: {size} bytes, which do not fit the signatures. Both must hold a row for each text. "
            "Nothing was written; please report this as a bug."
        )
    keeper = np.arange(count)
    near = 0
    if mode == "keep" or not count:
        return Keepers(keeper, near)
    folder = scratch / "duplicates"
    shutil.rmtree(folder, ignore_errors=True)  # a run that was killed may have left it
    folder.mkdir()
    try:
        _drop_equal(keeper, digests, budget, folder)
        if mode == "near" and signatures is not None:
            distinct = _kept(keeper)
            dedup_near.group(keeper, signatures, budget, folder)
            near = distinct - _kept(keeper)
    finally:
        shutil.rmtree(folder)
    for start in range(0, count, _BLOCK):
        dedup_near.shorten(keeper, np.arange(start, min(start + _BLOCK, count)))
    return Keepers(keeper, near)


def _drop_equal(keeper: Int64s, digests: Path, budget: int, folder: Path) -> None:
    rows = folder / "digests"
    rows.write_bytes(b"")
    start = 0
    for block in blocks(digests, 2, max(64, min(_BLOCK, budget // 64))):
        with rows.open("ab") as file:
            np.column_stack([block, np.arange(start, start + len(block), dtype=np.uint64)]).tofile(file)
        start += len(block)
    for found in linked(in_order(rows, 3, budget)):
        keeper[found.number] = found.first


def _kept(keeper: Int64s) -> int:
    steps = range(0, len(keeper), _BLOCK)
    return sum(int((keeper[at : at + _BLOCK] == np.arange(at, min(at + _BLOCK, len(keeper)))).sum()) for at in steps)
