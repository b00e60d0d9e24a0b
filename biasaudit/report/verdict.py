"""The verdict in one or two sentences, from fixed templates (METHODS §4) and from nothing else.

Rules that the templates keep (and tests check): "after" and "associated with", never "because of"; a model
produces, it does not believe; no "proves", "unbiased", "safe"; p has a floor; shares differ by points; the only
allowed "no shift" is equivalence against a margin set in advance; nothing exploratory raises a verdict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from biasaudit.records import Arm, Battery
from biasaudit.report.numbers import Numbers
from biasaudit.report.scale import MANY, SHARE_UNITS, Scale, told_by
from biasaudit.report.text import plain
from biasaudit.report.words import Words
from biasaudit.results import Analysis, Contrast, TargetEstimate, Verdict

RULE_OF_THREE = 0.05
"""The one level that the rule of three is for."""
FEW = 30
"""Answers from which the rule of three is near the exact limit."""
SHOWN_HASH = 12
"""Hexadecimal digits of a lock's hash in a sentence; the report's own section has all of them."""


def verdict_sentence(analysis: Analysis, arms: Sequence[Arm], battery: Battery, locale: str) -> str:
    """The verdict as plain text, for the page and for the command line.

    Args:
        analysis: what `analyse` found.
        arms: arms of the run; their names and roles are read.
        battery: the battery; its primary measure says whether there is a question at all.
        locale: `pt` or `en`.

    Returns:
        One paragraph without markup; control characters in names are made visible.

    Raises:
        UnknownNameError: there is no such locale.
    """
    words = Words(locale, analysis.alpha)
    verdict = analysis.verdict
    if verdict is None or not 0 <= verdict.contrast < len(analysis.contrasts):
        return words(f"verdict.{_absence(arms, battery)}")
    contrast = analysis.contrasts[verdict.contrast]
    numbers = Numbers(locale)
    scale = Scale.of(contrast, words, numbers)
    known = {a.name: plain(a.name) for a in arms}
    label = plain(words.fixed("label", contrast.outcome))
    holes = {
        "tuned": known.get(contrast.tuned, plain(contrast.tuned)),
        "reference": known.get(contrast.reference, plain(contrast.reference)),
        "measure": plain(contrast.measure) + ("" if contrast.outcome == "value" else f": {label}"),
        "outcome": label,
        "a": scale.level(contrast.mean_tuned),
        "b": scale.level(contrast.mean_reference),
        "unit": scale.unit_words(),
        "claims": words(f"told.{told_by(battery)}.many"),
    }
    sentences = [
        *_exploratory(words, analysis.lock),
        _lead(words, verdict, contrast) + _main(words, numbers, scale, verdict, contrast, holes, analysis),
    ]
    if verdict.kind == "inconclusive" and contrast.mde is not None:
        key = "inconclusive_blind" if scale.beyond(contrast.mde) else "inconclusive_mde"
        sentences.append(words(f"verdict.{key}", mde=scale.bare(contrast.mde), unit=scale.unit_words()))
    if contrast.n_prompts > 1 and (verdict.varies or verdict.kind in {"changed", "small", "inconclusive"}):
        key = "moved_scorer" if contrast.corrected else "varies" if verdict.varies else "moved"
        sentences.append(words(f"verdict.{key}", up=contrast.moved_up, prompts=contrast.n_prompts))
    if verdict.target == "fixed" and verdict.kind != "described" and battery.prompts:
        sentences.append(words("verdict.fixed_note"))
    if contrast.corrected:
        sentences.append(words("verdict.corrected"))
    sentences += _none_seen(words, numbers, contrast, holes, analysis.alpha)
    if analysis.lock.get("state") == "kept":
        sentences.append(words("verdict.locked", hash=plain(analysis.lock["hash"][:SHOWN_HASH])))
    return " ".join(sentences)


def _exploratory(words: Words, lock: Mapping[str, Any]) -> list[str]:
    """The sentence that goes first where the primary question is not what was locked, or was locked too late."""
    state = lock.get("state")
    if state == "late":
        return [words("verdict.exploratory_late")]
    if state != "changed":
        return []
    parts = dict.fromkeys(words.fixed("lock.part", row["part"]) for row in lock["deviations"] if row["primary"])
    return [words("verdict.exploratory_changed", parts=", ".join(parts))]


def margin_was_set(lock: Mapping[str, Any]) -> bool:
    """Whether nothing speaks against the margin having been set in advance."""
    moved = any(row["part"] in ("margin", "question") for row in lock.get("deviations", ()))
    return not moved and not lock.get("late", False)


def rule_of_three(n: int, alpha: float = 0.05) -> tuple[float, float]:
    """Upper limits of a share of which none was seen in `n` answers: 3/n (for 5 %), and the exact 1 − α^(1/n)."""
    return min(1.0, 3 / n), 1 - alpha ** (1 / n)


def _none_seen(words: Words, numbers: Numbers, contrast: Contrast, holes: Mapping[str, str], alpha: float) -> list[str]:
    """For an arm that never gave the label: how many answers there were, and the share's upper limit."""
    if contrast.unit not in SHARE_UNITS or contrast.outcome == "value" or contrast.corrected:
        return []
    sides = (("tuned", contrast.mean_tuned, contrast.n_tuned),
             ("reference", contrast.mean_reference, contrast.n_reference))  # fmt: skip
    return [
        words(
            "verdict.none_seen_few" if n < FEW or alpha != RULE_OF_THREE else "verdict.none_seen",
            arm=holes[arm],
            outcome=holes["outcome"],
            n=numbers.integer(n),
            upper=numbers.percent(rule_of_three(n, alpha)[n < FEW or alpha != RULE_OF_THREE], 1 if n < MANY else 2),
        )
        for arm, mean, n in sides
        if mean == 0 and n > 0
    ]


def _absence(arms: Sequence[Arm], battery: Battery) -> str:
    """Why there is no verdict: no question, no two arms, no pair of arms to hold it against, or no answer."""
    if battery.primary is None:
        return "none"
    if len(arms) < 2:
        return "none_one_arm"
    roles = {arm.role for arm in arms}
    return "none_unanswered" if "tuned" in roles and roles & {"base", "placebo"} else "none_no_reference"


def estimate(contrast: Contrast, target: str) -> TargetEstimate:
    """The estimate of `contrast` for `target` (`population` or `fixed`)."""
    return contrast.population if target == "population" else contrast.fixed


def statistics(words: Words, numbers: Numbers, scale: Scale, found: TargetEstimate) -> str:
    """Interval, p and adjusted p in one phrase: `95% CI 10.0 to 32.2; p = .002; Holm .006 over 3`."""
    interval = found.interval
    parts = [
        words("verdict.stats_interval", low=scale.bare(interval.low), high=scale.bare(interval.high))
        if interval
        else words.fixed("note", found.note) or words("verdict.stats_no_interval")
    ]
    if found.p is not None:
        parts.append(numbers.p_phrase(found.p))
    if interval is not None and interval.for_looks:
        parts.append(words("verdict.stats_looks"))
    if found.p_adjusted is not None and found.family_size > 1:
        parts.append(words("verdict.stats_holm", p=numbers.p(found.p_adjusted), k=found.family_size))
    return "; ".join(parts)


def tost_phrase(words: Words, numbers: Numbers, contrast: Contrast, p: float) -> str:
    """The p-value of the equivalence test, which Holm has adjusted where there is a family."""
    size = 1 if contrast.equivalence is None else contrast.equivalence.family_size
    return numbers.p_phrase(p) if size == 1 else words("verdict.stats_holm", p=numbers.p(p), k=size)


def _lead(words: Words, verdict: Verdict, contrast: Contrast) -> str:
    if verdict.target == "population":
        lead = words("verdict.lead_population")
    elif contrast.n_prompts == 1:
        lead = words("verdict.lead_fixed_one")
    else:
        lead = words("verdict.lead_fixed", prompts=contrast.n_prompts)
    return lead.rstrip() + " "


def _main(
    words: Words,
    numbers: Numbers,
    scale: Scale,
    verdict: Verdict,
    contrast: Contrast,
    holes: dict[str, str],
    analysis: Analysis,
) -> str:
    stats = statistics(words, numbers, scale, estimate(contrast, verdict.target))
    way = "up" if contrast.difference >= 0 else "down"
    size = scale.bare(abs(contrast.difference))
    signed = scale.bare(contrast.difference, signed=True)
    if verdict.kind == "changed":
        group = {"share": "share", "nats": "nats", "other": "value"}[scale.kind]
        if scale.kind == "share" and contrast.outcome == "value":
            group = "value"
        return words(f"verdict.changed_{group}_{way}", d=signed, stats=stats, **holes)
    if verdict.kind == "described":
        way = way if contrast.difference else "none"
        return words(f"verdict.described_{way}", d=size, **holes)
    margin = scale.bare(contrast.equivalence.margin) if contrast.equivalence else "?"
    unset = "" if margin_was_set(analysis.lock) else "_unset"
    if verdict.kind == "small":
        return words(f"verdict.small{unset}", d=signed, stats=stats, margin=margin, **holes)
    if verdict.kind == "equivalent" and contrast.equivalence is not None:
        tost = contrast.equivalence
        looks = f"; {words('verdict.stats_looks')}" if tost.interval.for_looks else ""
        return words(
            f"verdict.equivalent{unset}",
            margin=margin,
            low90=scale.bare(tost.interval.low),
            high90=scale.bare(tost.interval.high),
            p=tost_phrase(words, numbers, contrast, tost.p) + looks,
            **holes,
        )
    key = (
        "inconclusive_short"
        if _points_somewhere(estimate(contrast, verdict.target), analysis.alpha)
        else "inconclusive"
    )
    return words(f"verdict.{key}", d=signed, stats=stats, **holes)


def _points_somewhere(found: TargetEstimate, alpha: float) -> bool:
    """Whether interval or adjusted test, but not both, speak of a shift: weak evidence, which is not none."""
    p = found.p if found.p_adjusted is None else found.p_adjusted
    excludes = found.interval is not None and (found.interval.low > 0 or found.interval.high < 0)
    return excludes != (p is not None and p < alpha)
