"""What a lock holds: everything that a result hangs on, as plain JSON; and how a plan differs from it (METHODS §3).

A difference touches the primary question, which is then exploratory, or it does not, and is only named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from biasaudit import identity
from biasaudit.pipeline.plan import RunPlan
from biasaudit.pipeline.until import registered
from biasaudit.records import Measure

ABSENT = "–"
SHOWN = 12
"""Hexadecimal digits of a hash that are shown."""


def content_of(plan: RunPlan) -> dict[str, Any]:
    """Battery, arms, decodings, measures, question, target, margin, n, alpha, seed and looks of `plan`."""
    from biasaudit import scoring

    battery = plan.battery
    cards = {measure.name: scoring.card(measure.scorer, measure.options) for measure in battery.measures}
    primary = identity.plain(battery.primary)
    if primary:
        del primary["prompt_test"]  # of an exploratory table; the battery's hash holds it
        primary["reads"] = cards[primary["measure"]].reads
    plain: dict[str, Any] = identity.plain(
        {
            "battery": {"name": battery.name, "version": battery.version, "hash": battery.battery_hash},
            "language": plan.language,
            "chat": battery.chat,
            "prompts": _prompts(plan),
            "pairs": _pairs(plan),
            "arms": {
                arm.name: {
                    "role": arm.role,
                    "fingerprint": arm.fingerprint,
                    "tokenizer": arm.tokenizer_fingerprint,
                    "salt": arm.salt,
                    "dose": arm.card.get("dose"),
                    "condition": arm.card.get("condition"),
                }
                for arm in plan.arms
            },
            "decodings": plan.decodings,
            "measures": {m.name: _measure(m, cards[m.name]) for m in battery.measures},
            "primary": primary,
            "completions": plan.completions,
            "alpha": battery.alpha,
            "seed": plan.seed,
            "looks": registered(plan),
        }
    )
    return plain


def _measure(measure: Measure, card: Any) -> dict[str, Any]:
    own = {"scorer": measure.scorer, "options": measure.options, "card": identity.content_hash(card)}
    return own if measure.margin is None else {**own, "margin": measure.margin, "unit": measure.unit}


def _prompts(plan: RunPlan) -> dict[str, Any]:
    """How many prompts are sampled, and a hash of their ids and topics."""
    asked = sorted((prompt.prompt_id, prompt.topic, prompt.groups) for prompt in plan.prompts)
    return {"count": len(asked), "hash": identity.content_hash(asked)}


def _pairs(plan: RunPlan) -> dict[str, Any]:
    """How many continuation pairs are asked, and a hash of them, their stems and the neutral stem."""
    battery = plan.battery
    asked = sorted(
        (pair.stem.prompt_id, pair.topic, pair.claim, pair.counter)
        for pair in battery.pairs
        if pair.stem.language == plan.language
    )
    neutral = battery.neutral_stems.get(plan.language)
    known = [asked, None if neutral is None else neutral.prompt_id]
    return {"count": len(asked), "hash": identity.content_hash(known)}


def deviations(locked: Mapping[str, Any], now: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every difference between a lock's content and a plan's.

    Returns:
        Rows of `part` (a fixed word with a name in the report's locale), `name` (of an arm, measure or decoding),
        `locked`, `now` (short texts), and `primary`: whether the primary question hangs on it.
    """
    found = [*_single(locked, now), *_arms(locked, now), *_decodings(locked, now), *_measures(locked, now)]
    if not found and locked["battery"]["hash"] != now["battery"]["hash"]:
        hashes = [content["battery"]["hash"][:SHOWN] for content in (locked, now)]
        found.append(_row("battery", "", *hashes, primary=False))
    return found


def _row(part: str, name: str, locked: Any, now: Any, *, primary: bool) -> dict[str, Any]:
    return {"part": part, "name": name, "locked": _text(locked), "now": _text(now), "primary": primary}


def _text(value: Any) -> str:
    if value is None or value == "":
        return ABSENT
    return value if isinstance(value, str) else identity.canonical_json(value).decode()


def _sampled(content: Mapping[str, Any]) -> bool:
    """Whether the primary question is asked of completions; a lock without a question guards all of it."""
    return content["primary"] is None or content["primary"]["reads"] == "completions"


def _single(locked: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Parts that are one value each."""
    sampled = _sampled(locked)
    for part, primary in (("language", True), ("alpha", True), ("looks", True), ("chat", sampled),
                          ("completions", sampled), ("seed", sampled)):  # fmt: skip
        if locked[part] != now[part]:
            yield _row(part, "", locked[part], now[part], primary=primary)
    for part, primary in (("prompts", sampled), ("pairs", not sampled or locked["primary"] is None)):
        if locked[part] != now[part]:
            told = [f"{content[part]['count']} ({content[part]['hash'][:SHOWN]})" for content in (locked, now)]
            yield _row(part, "", *told, primary=primary)
    before, after = locked["primary"] or {}, now["primary"] or {}
    for part, keys in (("question", ("measure", "outcome")), ("target", ("target",)), ("margin", ("margin", "unit"))):
        told = [" ".join(str(own[key]) for key in keys if own.get(key) is not None) for own in (before, after)]
        if told[0] != told[1]:
            yield _row(part, "", *told, primary=True)


def _arms(locked: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Arms that came, went or changed; one more arm is one more test of the family, so all of them count."""
    for name in dict.fromkeys([*locked["arms"], *now["arms"]]):
        before, after = locked["arms"].get(name), now["arms"].get(name)
        if before != after:
            told = [None if own is None else _arm(own) for own in (before, after)]
            yield _row("arm", name, *told, primary=True)


def _arm(own: Mapping[str, Any]) -> str:
    words = [own["role"], own["fingerprint"][:SHOWN], own["tokenizer"][:SHOWN], own["salt"],
             own["dose"], own["condition"]]  # fmt: skip
    return " ".join(str(word) for word in words if word not in (None, ""))


def _decodings(locked: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The first decoding carries the primary question, the others are a sweep."""
    sampled = _sampled(locked)
    before, after = locked["decodings"], now["decodings"]
    for place in range(max(len(before), len(after))):
        told = [own[place] if place < len(own) else None for own in (before, after)]
        if told[0] != told[1]:
            yield _row("decoding", str(place + 1), *told, primary=sampled and place == 0)


def _measures(locked: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    asked = (locked["primary"] or {}).get("measure")
    for name in dict.fromkeys([*locked["measures"], *now["measures"]]):
        before, after = locked["measures"].get(name), now["measures"].get(name)
        if before != after:
            told = [None if own is None else f"{own['scorer']} {identity.content_hash(own)[:SHOWN]}"
                    for own in (before, after)]  # fmt: skip
            yield _row("measure", name, *told, primary=name == asked)


def registration(plan: RunPlan, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What an analysis knows of the lock that its run was made under; empty without one.

    Returns:
        The lock's hash, time, version and file, `late` (completions existed before it), `deviations`, and `state`:
        `changed` (the primary question is not what was locked), `late`, or `kept`; and whether completions, of a
        number without looks, carry the question (`counted`).
    """
    entry = manifest.get("lock")
    if not entry:
        return {}
    found = deviations(entry["content"], content_of(plan))
    touched = any(row["primary"] for row in found)
    state = "changed" if touched else "late" if entry["late"] else "kept"
    known = {key: entry[key] for key in ("hash", "made", "version", "file", "late", "existing")}
    counted = _sampled(entry["content"]) and entry["content"]["looks"] is None
    return {**known, "state": state, "deviations": found, "counted": counted}


def lock_badges(lock: Mapping[str, Any]) -> dict[str, Any]:
    """What the report's first screen says of a lock: its state, and whether n was fixed in advance by it."""
    if not lock:
        return {"locked": False}
    moved = any(row["part"] in ("completions", "looks") for row in lock["deviations"])
    return {"locked": lock["state"], "n_fixed_in_advance": not (moved or lock["late"]) if lock["counted"] else None}
