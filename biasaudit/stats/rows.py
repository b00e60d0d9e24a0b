"""The results as one flat table: every number with its estimand, target, unit, n at each level, method and source."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from biasaudit import identity
from biasaudit.results import Analysis, Contrast, Finding, TargetEstimate

HEADLINE = "mean over topics of the mean over a topic's prompts of (tuned − reference)"
LEVELS = ("models", "topics", "prompts", "completions")
"""Levels with a column of their own; a run is a trained model."""
COLUMNS: dict[str, type] = {
    "design": str, "name": str, "estimand": str, "target": str, "measure": str, "outcome": str, "unit": str,
    "tuned": str, "reference": str, "decoding_id": str, "language": str, "family": str, "estimate": float,
    "low": float, "high": float, "level": float, "interval_method": str, "p": float, "p_adjusted": float,
    "family_size": int, **{f"n_{level}": int for level in LEVELS}, "n": str, "method": str, "source": str,
    "note": str, "details": str,
}  # fmt: skip
"""Column -> kind, in the order of the table; `n` and `details` are JSON."""
_FAMILY = {"primary": "confirmatory", "secondary": "secondary", "descriptive": "exploratory"}
_TARGET_SOURCE = {
    "population": "Ibragimov & Müller 2010",
    "fixed": "exact or Monte-Carlo permutation within prompts (Phipson & Smyth 2010)",
}


def result_rows(analysis: Analysis) -> list[dict[str, Any]]:
    """One row a contrast and target, then one a finding; every row has every column."""
    found = [row for contrast in analysis.contrasts for row in _of_contrast(contrast)]
    return found + [_of_finding(finding) for finding in analysis.findings]


def _of_contrast(contrast: Contrast) -> Iterator[dict[str, Any]]:
    """Both targets of one contrast."""
    counts = {
        "topics": contrast.n_topics,
        "prompts": contrast.n_prompts,
        "completions": contrast.n_tuned + contrast.n_reference,
        "models": len({contrast.tuned, contrast.reference}),
    }
    if not contrast.decoding_id:
        counts["likelihoods"] = counts.pop("completions")
    for found in (contrast.population, contrast.fixed):
        yield _row(
            contrast,
            design="contrast",
            name="difference",
            estimand=HEADLINE,
            target=found.target,
            family=_FAMILY[contrast.role],
            estimate=contrast.difference,
            **_estimate(found),
            family_size=found.family_size,
            counts=counts,
            method=found.method,
            source="; ".join(part for part in (_target_source(contrast, found), contrast.source) if part),
            note=found.note,
            details={
                "scorer": contrast.scorer, "mean_tuned": contrast.mean_tuned, "mean_reference": contrast.mean_reference,
                "n_tuned": contrast.n_tuned, "n_reference": contrast.n_reference,
                "unscored_tuned": contrast.unscored_tuned, "unscored_reference": contrast.unscored_reference,
                "moved_up": contrast.moved_up, "coupled": contrast.coupled, "rho": contrast.rho,
                "corrected": contrast.corrected,
            },
        )  # fmt: skip


def _target_source(contrast: Contrast, found: TargetEstimate) -> str:
    """Where a target's test comes from; a corrected contrast has no permutation."""
    if not contrast.corrected:
        return _TARGET_SOURCE[found.target]
    after = f"; {_TARGET_SOURCE[found.target]}" if found.target == "population" else ""
    return f"Angelopoulos, Duchi & Zrnic 2023 (PPI++){after}"


def _estimate(found: TargetEstimate) -> dict[str, Any]:
    """Interval and p of one target."""
    return {"interval": found.interval, "p": found.p, "p_adjusted": found.p_adjusted}


def _of_finding(finding: Finding) -> dict[str, Any]:
    """One finding; trained models are counted under one name."""
    counts = dict(finding.n)
    if "runs" in counts:
        counts["models"] = counts["runs"]
    fields = ("design", "name", "estimand", "target", "family", "estimate", "interval", "p", "p_adjusted")
    return _row(
        finding,
        **{name: getattr(finding, name) for name in fields},
        family_size=None,
        counts=counts,
        method=finding.method,
        source=finding.source,
        note=finding.note,
        details=finding.details,
    )


def _row(
    about: Contrast | Finding, *, interval: Any, counts: dict[str, int], details: Any, **fields: Any
) -> dict[str, Any]:
    """One row in the order of `COLUMNS`."""
    held = {
        **{name: getattr(about, name) for name in ("measure", "outcome", "unit", "tuned", "reference")},
        **{name: getattr(about, name) for name in ("decoding_id", "language")},
        **fields,
        "low": None if interval is None else interval.low,
        "high": None if interval is None else interval.high,
        "level": None if interval is None else interval.level,
        "interval_method": "" if interval is None else interval.method,
        **{f"n_{level}": counts.get(level) for level in LEVELS},
        "n": identity.canonical_json(counts).decode(),
        "details": identity.canonical_json(details).decode(),
    }
    return {name: held[name] for name in COLUMNS}
