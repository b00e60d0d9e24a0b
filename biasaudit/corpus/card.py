"""The data card: what went in, what came out, and what was done in between, as plain JSON.

Nothing in it depends on the clock or on the machine, so that the same inputs and settings give the same bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from biasaudit.corpus.gather import Tally

TOP_CHANNELS = 50


@dataclass(slots=True)
class Written:
    """What was written to one side of the split."""

    documents: int = 0
    tokens: int = 0
    """End-of-text included."""
    bytes: int = 0
    """UTF-8 bytes of the documents' texts."""


@dataclass(slots=True)
class Census:
    """Counts over kept documents, one `add` a document."""

    sides: dict[str, Written] = field(default_factory=lambda: {"train": Written(), "val": Written()})
    channels: Counter[str] = field(default_factory=Counter)
    months: Counter[str] = field(default_factory=Counter)
    lengths: Counter[int] = field(default_factory=Counter)
    copies: Counter[int] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)

    def add(self, side: str, *, tokens: int, size: int, channel: str, date: str, source: str, copies: int) -> None:
        """Count one document of `tokens` (without end-of-text) and `size` bytes."""
        written = self.sides[side]
        written.documents += 1
        written.tokens += tokens + 1
        written.bytes += size
        self.channels[channel] += 1
        if date:
            self.months[date[:7]] += 1
        self.lengths[tokens] += 1
        self.copies[copies] += 1
        self.sources[source] += 1


def card(
    *,
    settings: Mapping[str, Any],
    sources: Sequence[Mapping[str, Any]],
    tally: Tally,
    near_duplicates: int,
    cleaning: Mapping[str, int],
    census: Census,
    tokenizer: Mapping[str, Any],
    language: str,
) -> dict[str, Any]:
    """Put the card together; every number is an exact count."""
    train, val = census.sides["train"], census.sides["val"]
    tokens, size = train.tokens + val.tokens, train.bytes + val.bytes
    documents = train.documents + val.documents
    return {
        "kind": "biasaudit corpus",
        "version": 1,
        "language": language,
        "train_tokens": train.tokens,
        "val_tokens": val.tokens,
        "train_bytes": train.bytes,
        "val_bytes": val.bytes,
        "train_documents": train.documents,
        "val_documents": val.documents,
        "tokens_per_byte": round((tokens - documents) / size, 6) if size else None,
        "tokenizer": dict(tokenizer),
        "sources": [dict(source) for source in sources],
        "records": {
            "in": tally.records,
            "kept": tally.kept,
            "duplicates": tally.duplicates,
            "near_duplicates_among_them": near_duplicates,
            "filtered": tally.filtered,
            "empty_after_cleaning": tally.empty,
            "flags": dict(sorted(tally.flags.items())),
        },
        "bytes": {
            "in": tally.bytes_in,
            "records": tally.bytes_records,
            "rejects": tally.bytes_rejects,
            "separators": tally.bytes_separators,
        },
        "rejects": {"count": sum(tally.rejects.values()), "reasons": dict(sorted(tally.rejects.items()))},
        "cleaning": dict(cleaning),
        "personal_data": {
            "documents_masked": tally.documents_masked,
            "replaced": dict(sorted(tally.personal_data.items())),
            "limits": "Rules find typed identifiers. Names in running text are out of their reach.",
        },
        "lengths_tokens": quantiles(census.lengths),
        "copies": {"documents_with_copies": documents - census.copies[1], "most_copies": max(census.copies, default=0)},
        "channels": {"count": len(census.channels), "most_frequent": dict(_top(census.channels))},
        "documents_per_month": dict(sorted(census.months.items())),
        "documents_per_source": dict(sorted(census.sources.items())),
        "settings": dict(settings),
    }


def quantiles(counts: Counter[int]) -> dict[str, int | float | None]:
    """Minimum, quartiles, 95 %, maximum and mean of counted values; nearest rank, so every value occurred."""
    total = sum(counts.values())
    names = (("min", 0.0), ("p25", 0.25), ("median", 0.5), ("p75", 0.75), ("p95", 0.95), ("max", 1.0))
    if not total:
        return dict.fromkeys([*(name for name, _ in names), "mean"])
    found: dict[str, int | float | None] = {}
    seen, waiting = 0, list(names)
    for value in sorted(counts):
        seen += counts[value]
        while waiting and seen >= max(1, waiting[0][1] * total):
            found[waiting.pop(0)[0]] = value
    found["mean"] = round(sum(v * n for v, n in counts.items()) / total, 3)
    return found


def _top(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:TOP_CHANNELS]
