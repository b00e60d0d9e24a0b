"""What the report shows, as one frozen value: built by `pipeline.render`, read by every section.

Values only: a section never opens a file and never computes a statistic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from biasaudit.records import Arm, Battery, Decoding, Prompt
from biasaudit.results import Analysis, Contrast

Locale = Literal["pt", "en"]
LOCALES: tuple[Locale, ...] = ("pt", "en")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderRow:
    """One completion as the reader shows it: masked text and what the scorers said of it."""

    arm: str
    prompt_id: str
    decoding_id: str
    index: int
    text: str
    """Already masked; still raw otherwise (the page makes controls visible)."""
    finish_reason: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Measure -> label; a measure that gave none is absent."""
    values: Mapping[str, float | None] = field(default_factory=dict)
    """Measure -> value in the scorer's unit; None is unscored."""
    spans: tuple[tuple[int, int], ...] = ()
    """Character ranges of `text` that decided a label."""

    @property
    def slot(self) -> tuple[str, str, int]:
        """(prompt id, decoding id, index): arms side by side share it."""
        return (self.prompt_id, self.decoding_id, self.index)


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusLink:
    """Where the data card of an arm's corpus stands, beside the report."""

    href: str
    """Relative; a name that we made."""
    match: Literal["same", "differs", "unknown"]
    """Whether it is of the corpus that the arm's own card names, by hash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportView:
    """Everything that one page shows."""

    battery: Battery
    language: str
    arms: tuple[Arm, ...]
    """In the order of the run; the page shows reference before placebo before tuned arms as they come."""
    prompts: tuple[Prompt, ...]
    """Prompts of this language: open ones, then stems."""
    decodings: tuple[Decoding, ...]
    analysis: Analysis
    reader: tuple[ReaderRow, ...] = ()
    """In display order: the completions of one slot stand together, in the order of the arms."""
    reader_total: int = 0
    """Completions stored; more than `len(reader)` when only a sample is embedded."""
    manifest: Mapping[str, Any] = field(default_factory=dict)
    run_id: str = ""
    badges: Mapping[str, Any] = field(default_factory=dict)
    """Badges known only to the run; they add to those of the analysis."""
    corpora: Mapping[str, CorpusLink] = field(default_factory=dict)
    """Arm name -> the page of its corpus; arms without a data card are absent."""
    copying: Mapping[str, Any] = field(default_factory=dict)
    """Measure of copying -> `pipeline.copying_summary`, its texts masked."""

    @property
    def alpha(self) -> float:
        """Level of the tests."""
        return self.analysis.alpha

    def title(self, locale: str) -> str:
        """The battery's title in `locale`, else in English, else in any language, else its name."""
        return localised(self.battery.title, locale) or self.battery.name

    def prompt(self, prompt_id: str) -> Prompt | None:
        """The prompt with this id, or None when the battery no longer has it."""
        return next((p for p in self.prompts if p.prompt_id == prompt_id), None)

    def topic_title(self, name: str, locale: str) -> str:
        """A topic's title in `locale`; its claim in the audited language, else its name, when it has none."""
        for topic in self.battery.topics:
            if topic.name == name:
                return localised(topic.title, locale) or topic.claim.get(self.language) or name
        return name

    def arm(self, name: str) -> Arm | None:
        """The arm with this name, or None."""
        return next((a for a in self.arms if a.name == name), None)

    def decoding(self, decoding_id: str) -> Decoding | None:
        """The decoding with this id, or None (likelihoods have none)."""
        return next((d for d in self.decodings if d.decoding_id == decoding_id), None)

    def leading(self) -> Contrast | None:
        """The contrast that the verdict rests on; without a verdict the first one between two arms, else None."""
        contrasts = self.analysis.contrasts
        verdict = self.analysis.verdict
        if verdict is not None and 0 <= verdict.contrast < len(contrasts):
            return contrasts[verdict.contrast]
        return next((c for c in contrasts if c.tuned != c.reference), None)


def localised(texts: Mapping[str, str], locale: str) -> str:
    """The text for `locale`, else English, else the first one; the empty string when there is none."""
    return texts.get(locale) or texts.get("en") or next(iter(texts.values()), "")
