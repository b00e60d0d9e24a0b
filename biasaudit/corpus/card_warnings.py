"""What a reader of a data card must know first: each warning a code and its numbers, put into words by the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FEW_DOCUMENTS = 1000
MIXED_BELOW = 0.9
"""Share of the commonest language under which a corpus is called mixed."""
UNDATED_FROM = 0.05
"""Share of documents without a usable date from which that is said, where any has one."""

CODES = (
    "nothing_kept", "no_validation", "privacy_off", "legacy_cleaning", "rejects", "forged_record_starts", "doubts",
    "duplicates_kept", "few_documents", "language_mix", "language_other", "gaps", "undated", "implausible_dates",
    "misread_by_a_csv_parser",
)  # fmt: skip
"""Every code, in the order in which they are told."""


def warnings(card: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The warnings of a card: `code` and the numbers that its sentence names."""
    found: dict[str, dict[str, Any]] = {}
    settings, records, documents = card["settings"], card["records"], card["train_documents"] + card["val_documents"]
    if not documents:
        found["nothing_kept"] = {}
    elif not card["val_documents"]:
        found["no_validation"] = {}
    if 0 < documents < FEW_DOCUMENTS:
        found["few_documents"] = {"n": documents}
    if settings.get("privacy") is False:
        found["privacy_off"] = {}
    if settings.get("legacy") or "legacy" in (settings.get("clean") or ()):
        found["legacy_cleaning"] = {}
    if settings.get("duplicates") == "keep":
        found["duplicates_kept"] = {}
    if card["rejects"]["count"]:
        found["rejects"] = {"n": card["rejects"]["count"], "bytes": card["bytes"]["rejects"]}
    dialects = [source.get("dialect") or {} for source in card["sources"]]
    for code in ("forged_record_starts", "misread_by_a_csv_parser"):
        count = sum(int(dialect.get(code) or 0) for dialect in dialects)
        if count:
            found[code] = {"n": count}
    doubts = sum(count for flag, count in records["flags"].items() if flag != "filtered")
    if doubts:
        found["doubts"] = {"n": doubts}
    found |= _of_languages(card.get("languages") or {}, card["language"]) | _of_dates(
        card.get("dates") or {}, documents
    )
    return [{"code": code, **found[code]} for code in CODES if code in found]


def _of_languages(languages: Mapping[str, Any], said: str) -> dict[str, dict[str, Any]]:
    counts: Mapping[str, int] = languages.get("documents") or {}
    known = {name: count for name, count in counts.items() if name and name != "unknown"}
    if not known:
        return {}
    main = min(known, key=lambda name: (-known[name], name))
    share = round(known[main] / sum(known.values()), 4)
    found: dict[str, dict[str, Any]] = {}
    if said and main != said:
        found["language_other"] = {"language": main, "said": said, "share": share}
    if share < MIXED_BELOW:
        found["language_mix"] = {"language": main, "share": share}
    return found


def _of_dates(dates: Mapping[str, Any], documents: int) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    gaps = dates.get("gaps") or {}
    if gaps.get("count"):
        longest = gaps["longest"][0]
        found["gaps"] = {"n": gaps["count"], "grain": dates["grain"], "from": longest["from"], "to": longest["to"]}
    undated = dates.get("undated", 0)
    if dates.get("dated") and undated > UNDATED_FROM * documents:
        found["undated"] = {"n": undated}
    if dates.get("implausible"):
        found["implausible_dates"] = {"n": dates["implausible"]}
    return found
