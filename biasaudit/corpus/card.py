"""The data card: what went in, what came out, and what was done in between, as plain JSON (docs/data-card.md).

Nothing in it depends on the clock or on the machine, so that the same inputs and settings give the same bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from biasaudit import identity
from biasaudit.corpus.card_census import EXACT_LENGTH, MAX_CHANNELS, SIDES, Census, TokensBySide, Written
from biasaudit.corpus.card_dates import dates_of, per_month
from biasaudit.corpus.card_warnings import warnings
from biasaudit.corpus.gather import Tally
from biasaudit.corpus.reading import FIELD_LIMIT, ROW_LIMIT
from biasaudit.errors import BiasAuditError

__all__ = ["VERSION", "Census", "Written", "card", "fingerprint", "quantiles"]

VERSION = 2
TOP_CHANNELS = 50
ONE_SIDED_FROM = 0.05
"""Share of all tokens from which a source or channel that lies wholly on one side of the split is listed."""
MULTIPLICITIES = ((1, 1), (2, 2), (3, 5), (6, 10), (11, 100), (101, None))
"""(from, to) of the rows that count documents by their copies."""
_LIMITS = {
    "field_bytes": FIELD_LIMIT,
    "record_bytes": ROW_LIMIT,
    "channels_counted_by_name": MAX_CHANNELS,
    "lengths_exact_to_tokens": EXACT_LENGTH,
}
NO_LANGUAGES = "not measured: the extra [score] is not installed"


def card(
    *,
    settings: Mapping[str, Any], sources: Sequence[Mapping[str, Any]], tally: Tally, near_duplicates: int,
    cleaning: Mapping[str, int], census: Census, tokenizer: Mapping[str, Any], language: str, command: str = "",
    set_aside: Mapping[str, int] | None = None, languages: Mapping[str, int] | str = NO_LANGUAGES,
    ngrams: Mapping[str, Any] | None = None, shards: Mapping[str, str] | None = None,
    limits: Mapping[str, Any] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Put the card together; every number is an exact count unless the card says that it is of a sample.

    Args:
        settings: of the ingest, all of them.
        sources: a row each with `name`, `bytes`, `sha256`, `dialect` and `unit`; of an archive `members`.
        tally: what happened to bytes and records.
        near_duplicates: those among the tally's duplicates that are not exact copies.
        cleaning: cleaning rule -> texts changed.
        census: of the documents that were written.
        tokenizer: `fingerprint`, `vocab_size`, `eot_id`, `from`.
        language: that the user says the corpus has.
        command: the ingest command, from `card_command.command`.
        set_aside: rule -> records set aside by rules that the tally does not know (`other_language`).
        languages: language -> documents of a sample, or why they were not measured.
        ngrams: from `card_ngrams.ngrams`.
        shards: `train.bin` and `val.bin` -> SHA-256 of the file.
        limits: what the stages limit themselves to; added to the card's own.

    Raises:
        BiasAuditError: records in are not records out.
    """
    documents = sum(side.documents for side in census.sides.values())
    records = _records(tally, near_duplicates, set_aside or {}, documents)
    found = {
        "kind": "biasaudit corpus",
        "version": VERSION,
        "language": language,
        "fingerprint": fingerprint(shards, tokenizer) if shards else None,
        "shards": {name: {"sha256": digest} for name, digest in sorted((shards or {}).items())},
        **_written(census),
        "tokenizer": dict(tokenizer),
        "sources": [dict(source) for source in sources],
        "records": records,
        **_set_aside(tally, _counted_in(sources)),
        "cleaning": dict(cleaning),
        **_shape(census, documents),
        "one_sided": {"sources": _one_sided(census.source_tokens), "channels": _one_sided(census.channel_tokens)},
        "copies": _copies(census.copies, tally.duplicates, near_duplicates),
        "languages": _languages(languages),
        "ngrams": dict(ngrams) if ngrams is not None else None,
        "settings": dict(settings),
        "command": command,
        "limits": {**_LIMITS, **(limits or {})},
    }
    return {**found, "warnings": warnings(found)}


def fingerprint(shards: Mapping[str, str], tokenizer: Mapping[str, Any]) -> str:
    """Hash of the shards and of the tokenizer that made them: what a trained model's card calls the corpus."""
    hashes = [shards.get(name) for name in ("train.bin", "val.bin")]
    return identity.content_hash(["corpus", *hashes, tokenizer["fingerprint"]])


def _written(census: Census) -> dict[str, Any]:
    """Both sides of the split."""
    sides = census.sides
    size, tokens = sum(side.bytes for side in sides.values()), sum(s.tokens - s.documents for s in sides.values())
    found: dict[str, Any] = {}
    for what in ("tokens", "bytes", "documents"):
        found |= {f"{name}_{what}": getattr(sides[name], what) for name in ("train", "val")}
    return {**found, "tokens_per_byte": round(tokens / size, 6) if size else None}


def _records(tally: Tally, near_duplicates: int, set_aside: Mapping[str, int], documents: int) -> dict[str, Any]:
    """Records in, and where each of them went."""
    aside = {"filtered": tally.filtered, "empty_after_cleaning": tally.empty, **dict(sorted(set_aside.items()))}
    out = tally.kept + tally.duplicates + sum(aside.values())
    if out != tally.records or documents > tally.kept:
        raise BiasAuditError(
            f"Conservation law: {tally.records} records in, {out} accounted for; {tally.kept} kept, {documents} "
            "documents written. Nothing was written."
        )
    return {
        "in": tally.records,
        "kept": tally.kept,
        "documents": documents,
        "duplicates": tally.duplicates,
        "near_duplicates_among_them": near_duplicates,
        **aside,
        "set_aside": dict(aside),
        "flags": dict(sorted(tally.flags.items())),
    }


def _counted_in(sources: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the spans of the sources are counted in, and how many of that are rows."""
    parts = [part for source in sources for part in source.get("members") or [source]]
    units = {part.get("unit", "bytes") for part in parts} or {"bytes"}
    return {"unit": units.pop() if len(units) == 1 else "mixed", "rows": sum(part.get("rows", 0) for part in parts)}


def _set_aside(tally: Tally, counted_in: Mapping[str, Any]) -> dict[str, Any]:
    """What became of bytes, and what was rejected and replaced."""
    return {
        "bytes": {
            "in": tally.bytes_in,
            "records": tally.bytes_records,
            "rejects": tally.bytes_rejects,
            "separators": tally.bytes_separators,
            **counted_in,
        },
        "rejects": {"count": sum(tally.rejects.values()), "reasons": dict(sorted(tally.rejects.items()))},
        "personal_data": {
            "documents_masked": tally.documents_masked,
            "replaced": dict(sorted(tally.personal_data.items())),
            "limits": "Rules find typed identifiers. Names in running text are out of their reach.",
        },
    }


def _shape(census: Census, documents: int) -> dict[str, Any]:
    """Lengths, channels, dates and sources of the documents."""
    tokens = sum(side.tokens - side.documents for side in census.sides.values())
    lengths = quantiles(census.lengths)
    if documents:
        lengths |= {"max": census.longest, "mean": round(tokens / documents, 3)}
    census.settled()
    return {
        "lengths_tokens": lengths,
        "lengths_histogram": _histogram(census.lengths),
        "channels": {
            "count": census.distinct_channels,
            "count_is_estimate": census.more_channels,
            "documents_without": documents - census.in_channels,
            "most_frequent": dict(_top(census.channels)),
        },
        "dates": dates_of(census.days, undated=census.undated, implausible=census.implausible_dates),
        "documents_per_month": per_month(census.days),
        "documents_per_source": dict(sorted(census.sources.items())),
    }


def _one_sided(tokens: TokensBySide) -> list[dict[str, Any]]:
    """Of several names those that lie wholly on one side of the split and are not small; the largest first."""
    names = set().union(*tokens.values())
    total = sum(sum(own.values()) for own in tokens.values())
    if len(names) < 2:
        return []
    found = []
    for side, other in (SIDES, SIDES[::-1]):
        for name in tokens[side].keys() - tokens[other].keys():
            share = tokens[side][name] / total
            if share >= ONE_SIDED_FROM:
                found.append({"name": name, "side": side, "tokens": tokens[side][name], "share": round(share, 6)})
    return sorted(found, key=lambda row: (-row["tokens"], row["name"]))


def _copies(copies: Counter[int], duplicates: int, near: int) -> dict[str, Any]:
    """How often the documents' texts occurred."""
    rows = []
    for low, high in MULTIPLICITIES:
        count = sum(n for times, n in copies.items() if times >= low and (high is None or times <= high))
        rows.append({"from": low, "to": high, "documents": count})
    return {
        "documents_with_copies": sum(copies.values()) - copies[1],
        "most_copies": max(copies, default=0),
        "exact": duplicates - near,
        "near": near,
        "multiplicity": rows,
    }


def _languages(languages: Mapping[str, int] | str) -> dict[str, Any]:
    if isinstance(languages, str):
        return {"sample": 0, "documents": None, "reason": languages}
    ordered = sorted(languages.items(), key=lambda item: (-item[1], item[0]))
    return {"sample": sum(languages.values()), "documents": dict(ordered), "reason": ""}


def _histogram(lengths: Counter[int]) -> list[dict[str, int]]:
    """Documents by length, in steps that double (0, 1, 2 to 3, 4 to 7, 8 to 15)."""
    counts: Counter[int] = Counter()
    for tokens, documents in lengths.items():
        counts[tokens.bit_length()] += documents
    bins = range(min(counts), max(counts) + 1) if counts else range(0)
    return [
        {"from": 2 ** (bits - 1) if bits else 0, "to": 2**bits - 1 if bits else 0, "documents": counts[bits]}
        for bits in bins
    ]


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
