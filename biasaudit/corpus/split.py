"""Which documents are held out. Always whole documents, and after duplicates are removed.

sequential  the last part of the corpus in the order given, 10:1 as in the study
hash        by a hash of the text, so that a document keeps its side whatever is added around it
channel     whole channels (files, where there are no channels), by a hash of their name
date        the newest documents; documents without a date train
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from biasaudit.errors import CorpusError, UnknownNameError

NAMES = ("sequential", "hash", "channel", "date")
DEFAULT_SHARE = 1 / 11
"""Held-out share of the study's 10:1 split."""


def held_out(
    split: str, *, share: float, digests: Callable[[], Sequence[bytes]], channels: Sequence[str], dates: Sequence[str]
) -> list[bool]:
    """Say of every document whether it is held out.

    Args:
        split: one of `NAMES`.
        share: wanted share of held-out documents, strictly between 0 and 1.
        digests: gives a digest of every document's text; only called for `hash`.
        channels: channel or source of every document.
        dates: ISO date of every document, empty when unknown.

    Raises:
        CorpusError: a side would stay empty, or the split needs dates or channels that are not there.
        UnknownNameError: no such split.
    """
    if split not in NAMES:
        raise UnknownNameError("split", split, NAMES)
    count = len(channels)
    if count < 2:
        raise CorpusError(f"{count} document(s) after cleaning: at least two are needed to hold one out.")
    if split == "sequential":
        first = min(count - 1, max(1, round(count * (1 - share))))
        return [number >= first for number in range(count)]
    if split == "hash":
        sides = [_fraction(d) < share for d in digests()]
    elif split == "channel":
        sides = _by_channel(channels, share)
    else:
        sides = _by_date(dates, share)
    if all(sides) or not any(sides):
        empty = "training" if all(sides) else "validation"
        raise CorpusError(f"--split {split}: the {empty} side is empty with {count} documents. Use --split sequential.")
    return sides


def _fraction(digest: bytes) -> float:
    return int.from_bytes(digest[:8], "big") / 2.0**64


def _by_channel(channels: Sequence[str], share: float) -> list[bool]:
    """Hold out channels in the order of their hash until the share of documents is reached."""
    sizes: dict[str, int] = {}
    for name in channels:
        sizes[name] = sizes.get(name, 0) + 1
    if len(sizes) < 2:
        raise CorpusError("--split channel: there is one channel only. Use --split sequential or hash.")
    chosen: set[str] = set()
    held = 0
    for name in sorted(sizes, key=lambda n: hashlib.sha256(n.encode()).digest()):
        if held + sizes[name] <= max(1, 1.5 * share * len(channels)) and len(chosen) < len(sizes) - 1:
            chosen.add(name)
            held += sizes[name]
        if held >= share * len(channels):
            break
    if not chosen:
        chosen.add(min(sizes, key=lambda n: (sizes[n], n)))
    return [name in chosen for name in channels]


def _by_date(dates: Sequence[str], share: float) -> list[bool]:
    known = sorted(d for d in dates if d)
    if not known:
        raise CorpusError("--split date: no document has a date. Map a column with --map COLUMN=date.")
    cut = known[min(len(known) - 1, round(len(known) * (1 - share)))]
    return [bool(d) and d >= cut for d in dates]
