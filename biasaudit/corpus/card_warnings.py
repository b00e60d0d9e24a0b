"""What a reader of a data card must know first: each warning a code and its numbers, put into words by the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FEW_DOCUMENTS = 1000
TRUNCATED = "truncated-record"
"""Flag of a record inside which its file ends."""
ENDS_INSIDE = "the file ends inside it"
"""How the reason of a reject inside which its file ends closes."""
MIXED_BELOW = 0.9
"""Share of the commonest language under which a corpus is called mixed."""
UNDATED_FROM = 0.05
"""Share of documents without a usable date from which that is said, where any has one."""

HELD_OUT_WITHIN = (0.5, 1.5)
"""Times the share asked for between which the held-out share of tokens goes without saying."""
NAMES = 5
"""Names that a warning lists."""

CODES = (
    "source_cut_off", "rejects", "members_left_out", "nothing_kept", "no_validation", "privacy_off", "held_out_share",
    "one_sided_sources", "one_sided_channels", "legacy_cleaning", "forged_record_starts", "doubts", "duplicates_kept",
    "few_documents", "language_mix", "language_other", "gaps", "undated", "implausible_dates",
    "misread_by_a_csv_parser",
)  # fmt: skip
"""Every code, in the order in which they are told."""


def warnings(card: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The warnings of a card: `code` and the numbers that its sentence names."""
    documents = card["train_documents"] + card["val_documents"]
    found = {
        **_of_sources(card),
        **_of_settings(card["settings"]),
        **_of_split(card, documents),
        **_of_languages(card.get("languages") or {}, card["language"]),
        **_of_dates(card.get("dates") or {}, documents),
    }
    if 0 < documents < FEW_DOCUMENTS:
        found["few_documents"] = {"n": documents}
    doubts = sum(count for flag, count in card["records"]["flags"].items() if flag != "filtered")
    if doubts:
        found["doubts"] = {"n": doubts}
    return [{"code": code, **found[code]} for code in CODES if code in found]


def _of_settings(settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    legacy = settings.get("legacy") or "legacy" in (settings.get("clean") or ())
    told = {
        "privacy_off": settings.get("privacy") is False,
        "legacy_cleaning": legacy,
        "duplicates_kept": settings.get("duplicates") == "keep",
    }
    return {code: {} for code, holds in told.items() if holds}


def _of_sources(card: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What was cut off, left out or not understood, and where reading was ambiguous."""
    parts = [part for source in card["sources"] for part in source.get("members") or [source]]
    dialects = [(part["name"], part.get("dialect") or {}) for part in parts]
    cut_off = [name for name, dialect in dialects if dialect.get("truncated") or dialect.get("complete") is False]
    ended_inside = card["records"]["flags"].get(TRUNCATED, 0) + sum(
        count for reason, count in card["rejects"]["reasons"].items() if reason.endswith(ENDS_INSIDE)
    )
    if not cut_off and ended_inside:
        # A record says that its file ends inside it, but only where there is one file is it known which.
        cut_off = [name for name, _ in dialects] if len(dialects) == 1 else []
    found: dict[str, dict[str, Any]] = {}
    if cut_off or ended_inside:
        found["source_cut_off"] = {"n": len(cut_off) or ended_inside, "names": cut_off[:NAMES]}
    if card["rejects"]["count"]:
        found["rejects"] = {"n": card["rejects"]["count"], "size": card["bytes"]["rejects"]}
        found["rejects"] |= {"unit": card["bytes"].get("unit", "bytes")}
    left_out = [source for source in card["sources"] if (source.get("dialect") or {}).get("members_left_out")]
    if left_out:
        count = sum(_left_out(source["dialect"]) for source in left_out)
        found["members_left_out"] = {"n": count, "names": [source["name"] for source in left_out[:NAMES]]}
    for code in ("forged_record_starts", "misread_by_a_csv_parser"):
        count = sum(int(dialect.get(code) or 0) for _, dialect in dialects)
        if count:
            found[code] = {"n": count}
    return found


def _left_out(dialect: Mapping[str, Any]) -> int:
    return int(dialect.get("members_left_out_count") or len(dialect["members_left_out"]))


def _of_split(card: Mapping[str, Any], documents: int) -> dict[str, dict[str, Any]]:
    if not documents:
        return {"nothing_kept": {}}
    if not card["val_documents"]:
        return {"no_validation": {}}
    found: dict[str, dict[str, Any]] = {}
    asked = card["settings"].get("held_out")
    share = card["val_tokens"] / max(1, card["train_tokens"] + card["val_tokens"])
    low, high = HELD_OUT_WITHIN
    if asked and not low * asked <= share <= high * asked:
        found["held_out_share"] = {"asked": round(asked, 6), "share": round(share, 6)}
    one_sided = card.get("one_sided") or {}
    for what in ("sources", "channels") if card["settings"].get("split") == "channel" else ("sources",):
        rows = one_sided.get(what) or []
        if rows:
            found[f"one_sided_{what}"] = {"n": len(rows)} | {
                side: [row["name"] for row in rows if row["side"] == side][:NAMES] for side in ("train", "val")
            }
    return found


def _of_languages(languages: Mapping[str, Any], said: str) -> dict[str, dict[str, Any]]:
    counts: Mapping[str, int] = languages.get("documents") or {}
    known = {name: count for name, count in counts.items() if name and name != "unknown"}
    if not known:
        return {}
    main = min(known, key=lambda name: (-known[name], name))
    share = round(known[main] / sum(known.values()), 4)
    found: dict[str, dict[str, Any]] = {}
    if said and _primary(main) != _primary(said):
        found["language_other"] = {"language": main, "said": said, "share": share}
    if share < MIXED_BELOW:
        found["language_mix"] = {"language": main, "share": share}
    return found


def _primary(tag: str) -> str:
    """The language of a tag, without script, region and variant (RFC 5646)."""
    return tag.replace("_", "-").partition("-")[0].lower()


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
