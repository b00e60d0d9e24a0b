"""Badges: the conditions of a run that a reader must know before the number, in a few words each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from biasaudit.report.numbers import Numbers
from biasaudit.report.text import plain
from biasaudit.report.view import ReportView
from biasaudit.report.words import Words

_QUIET = frozenset({"locked", "scorer_corrected", "n_fixed_in_advance", "language_match", "placebo"})
"""Yes/no conditions where "no" is a reason to be careful."""
_WARNS = frozenset({"mixed_numerics", "unverifiable_arm", "likelihoods_left_out"})
"""Conditions that are a reason to be careful where they hold, and are not spoken of elsewhere."""


def badge_list(view: ReportView, words: Words, numbers: Numbers) -> list[tuple[str, str]]:
    """(tone, words) of every badge, in a fixed order; tone is `good`, `warn` or `plain`.

    Unknown badges of a plug-in are shown as `name: value`.
    """
    found: dict[str, Any] = {**view.analysis.badges, **view.badges}
    lead = view.leading()
    if lead is not None and lead.decoding_id and lead.fixed.note != "no-sampling-error":
        found.setdefault("coupled", lead.coupled)
        if lead.rho is not None:
            found.setdefault("rho", lead.rho)
    if found.get("placebo") is False and any(arm.role == "placebo" for arm in view.arms):
        found["placebo"] = "not_comparable"
    badges = [_badge(name, found, words, numbers) for name in sorted(found) if name != "rho"]
    return sorted((b for b in badges if b is not None), key=lambda b: ("warn", "plain", "good").index(b[0]))


def _badge(name: str, found: Mapping[str, Any], words: Words, numbers: Numbers) -> tuple[str, str] | None:
    value = found[name]
    if value is None:
        return None
    if name == "coupled" and isinstance(value, bool):
        rho = found.get("rho")
        if value and isinstance(rho, float):
            return ("plain", words("badge.coupled_yes", rho=numbers.decimal(rho, 2)))
        return ("plain", words("badge.coupled_undefined" if value else "badge.coupled_no"))
    if name == "runs_per_arm" and isinstance(value, int):
        return ("warn" if value < 3 else "good", words.plural("badge.runs_per_arm", value, n=value))
    if name == "placebo" and value == "not_comparable":
        return ("warn", words("badge.placebo_not_comparable"))
    if name == "locked" and words.has(f"badge.locked_{value}"):
        return ("good" if value == "kept" else "warn", words(f"badge.locked_{value}"))
    if isinstance(value, bool) and words.has(f"badge.{name}_yes"):
        if value:
            return ("good" if name in _QUIET else "plain", words(f"badge.{name}_yes"))
        return ("warn" if name in _QUIET else "plain", words(f"badge.{name}_no"))
    if isinstance(value, bool) and words.has(f"badge.{name}"):
        return ("warn" if name in _WARNS else "plain", words(f"badge.{name}")) if value else None
    return ("plain", plain(f"{name.replace('_', ' ')}: {value}"))
