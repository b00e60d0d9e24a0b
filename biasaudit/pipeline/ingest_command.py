"""The verb `ingest`: what was typed, as options of the stage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from biasaudit.errors import UsageError
from biasaudit.pipeline.commands import StageProgress
from biasaudit.pipeline.outcome import Outcome
from biasaudit.pipeline.plan import parse_pairs
from biasaudit.pipeline.progress import Console

DUPLICATES_MB = 32
"""Megabytes that looking for duplicates may take unless the user says otherwise."""


def ingest_command(
    *,
    sources: Sequence[str],
    out: Path,
    column_map: Sequence[str],
    where: Sequence[str],
    duplicates: str | None,
    keep_duplicates: bool,
    index_memory: int | None,
    disable: Sequence[str],
    enable: Sequence[str],
    legacy: bool,
    no_privacy: bool,
    lines_per_document: Sequence[str],
    fresh: bool,
    quiet: bool,
    **options: Any,
) -> Outcome:
    """Ingest and say what came of it; `options` are those of the stage that need no translation."""
    from biasaudit.pipeline.ingest import ingest
    from biasaudit.report.corpus_warnings import warning_lines

    if keep_duplicates and duplicates not in (None, "keep"):
        raise UsageError(f"--keep-duplicates and --duplicates {duplicates} ask for opposite things: give one of them")
    console = Console(quiet=quiet)
    card = ingest(
        sources,
        out,
        column_map=parse_pairs(column_map, "--map"),
        where=parse_pairs(where, "--where"),
        duplicates="keep" if keep_duplicates else duplicates or "near",
        clean=_rules(disable, enable, legacy=legacy),
        privacy=not no_privacy,
        lines_per_document=_lines(lines_per_document),
        index_memory=(index_memory or DUPLICATES_MB) << 20,
        fresh=fresh,
        progress=StageProgress(console),
        **options,
    )
    for line in warning_lines(card, "en"):
        console.warn(line)
    return Outcome(text=f"{_summary(card)}\n{out}", data=card)


def _rules(disable: Sequence[str], enable: Sequence[str], *, legacy: bool) -> list[str]:
    """Names of the cleaning rules."""
    from biasaudit.corpus import clean

    if legacy:
        if disable or enable:
            raise UsageError("--legacy cleans by the study's expression alone: leave --enable and --disable out")
        return ["legacy"]
    unknown = set(disable) - set(clean.DEFAULT)
    if unknown:
        raise UsageError(f"--disable {', '.join(sorted(unknown))}: the rules are {', '.join(clean.DEFAULT)}")
    return [*(rule for rule in clean.DEFAULT if rule not in disable), *enable]


def _lines(given: Sequence[str]) -> dict[str, int]:
    """Pattern of file names -> lines a document."""
    found = {}
    for pattern, count in parse_pairs(given, "--lines-per-document").items():
        if not count.isdigit() or int(count) < 1:
            raise UsageError(
                f"--lines-per-document {pattern}={count}: expected PATTERN=NUMBER, for instance '*.txt=20'"
            )
        found[pattern] = int(count)
    return found


def _summary(card: dict[str, Any]) -> str:
    records = card.get("records", {})
    order = ("in", "kept", "duplicates", "near_duplicates_among_them", "filtered", "empty_after_cleaning")
    named = [*(key for key in order if key in records), *(key for key in sorted(records) if key not in order)]
    kept = ", ".join(f"{k.replace('_', ' ')} {records[k]:,}" for k in named if isinstance(records[k], int))
    tokens = f"{card.get('train_tokens', 0):,} training tokens, {card.get('val_tokens', 0):,} held out"
    return f"records: {kept}\n{tokens}" if kept else tokens
