"""From an analysis and its completions to one HTML page: choose what the reader shows, mask it, render.

Texts are masked here, on their way out of the run (RELIABILITY §2.14); a report never holds an unmasked completion.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from biasaudit.records import Arm, Battery, Completion, Decoding, Prompt, Score
from biasaudit.results import Analysis

if TYPE_CHECKING:
    from biasaudit.corpus.privacy import Masked
    from biasaudit.report.view import CorpusLink, ReaderRow, ReportView

MAX_ROWS = 10_000
"""Completions embedded in a page; of more, a stratified random sample is shown and labelled as one."""
MAX_BYTES = 4_000_000
"""What the reader may weigh: with everything else a page stays below 5 MB, however long the texts are."""
PAIR_BYTES, ROW_BYTES = 220, 190
"""Markup around a prompt with its answers, and around one answer."""

Slot = tuple[str, str, int]


def build_view(
    battery: Battery,
    language: str,
    arms: Sequence[Arm],
    analysis: Analysis,
    completions: Iterable[Completion],
    scores: Mapping[str, Iterable[Score]],
    manifest: Mapping[str, Any],
    *,
    decodings: Sequence[Decoding] | None = None,
    run_id: str = "",
    badges: Mapping[str, Any] | None = None,
    corpora: Mapping[str, CorpusLink] | None = None,
    max_rows: int = MAX_ROWS,
    slots: Sequence[Slot] | None = None,
    total: int | None = None,
    within: Mapping[tuple[str, str, Slot], Sequence[tuple[int, int]]] | None = None,
) -> ReportView:
    """Gather what a report shows; every text in it is masked.

    Args:
        battery: what was asked.
        language: the audited language; prompts of others are left out.
        arms: in the order of the run.
        analysis: what `analyse` found.
        completions: stored completions, in any order; those of unknown arms are left out.
        scores: measure -> scores; those of likelihoods have no place in the reader.
        manifest: the run's manifest, shown as it stands.
        decodings: those of the run; the battery's when None.
        run_id: name of the run folder.
        badges: conditions that only the run knows.
        corpora: arm name -> the page of its corpus, from `corpus_page.link_cards`.
        max_rows: completions embedded at most.
        slots: what the reader shows, from `choose`, where `completions` and `scores` were read for these only.
        total: completions that there are, where `completions` are not all of them.
        within: what is personal in a completion and no rule finds, from `copying_summary.within_strings`.

    Returns:
        The view, the same for the same input in any order.
    """
    from biasaudit.report.view import ReportView

    names = {(a.fingerprint, a.salt): a.name for a in arms}
    known = [c for c in completions if (c.arm_fingerprint, c.salt) in names]
    chosen = choose_slots(known, battery.seed, max_rows) if slots is None else slots
    chosen = light(chosen, known, battery.prompts)
    return ReportView(
        battery=battery,
        language=language,
        arms=tuple(arms),
        prompts=_prompts(battery, language),
        decodings=tuple(battery.decodings if decodings is None else decodings),
        analysis=analysis,
        reader=_reader(known, chosen, names, scores, within or {}),
        reader_total=len(known) if total is None else total,
        manifest=manifest,
        run_id=run_id,
        badges=badges or {},
        corpora=corpora or {},
    )


def _reader(
    completions: Sequence[Completion],
    slots: Sequence[Slot],
    names: Mapping[tuple[str, str], str],
    scores: Mapping[str, Iterable[Score]],
    within: Mapping[tuple[str, str, Slot], Sequence[tuple[int, int]]],
) -> tuple[ReaderRow, ...]:
    """Rows of the reader in the order of `slots`, then of the arms; `names` has (fingerprint, salt) -> arm."""
    from biasaudit.corpus.privacy import hide, mask_all

    order = {name: i for i, name in enumerate(dict.fromkeys(names.values()))}
    place = {slot: i for i, slot in enumerate(slots)}
    kept = [c for c in completions if _slot(c) in place]
    kept.sort(key=lambda c: (place[_slot(c)], order[names[c.arm_fingerprint, c.salt]]))
    judged = _scores_by_completion(scores, {_place(c) for c in kept})
    rows = []
    for c, masked in zip(kept, mask_all([completion.text for completion in kept]), strict=True):
        known = [span for s in judged.get(_place(c), ()) if s.label == "personal" for span in s.spans]
        rows.append(
            _row(c, hide(masked, {*known, *within.get(_place(c), ())}), names[c.arm_fingerprint, c.salt], judged)
        )
    return tuple(rows)


def render_report(view: ReportView, locale: str) -> str:
    """The report as one offline HTML document.

    Args:
        view: from `build_view`.
        locale: `pt` or `en`.

    Raises:
        UnknownNameError: there is no such locale.
    """
    from biasaudit.report.page import render_page

    return render_page(view, locale)


def verdict_sentence(analysis: Analysis, arms: Sequence[Arm], battery: Battery, locale: str) -> str:
    """The verdict in words, as the report says it, for the command line."""
    from biasaudit.report.verdict import verdict_sentence as sentence

    return sentence(analysis, arms, battery, locale)


def choose_slots(completions: Sequence[Completion], seed: int, max_rows: int) -> list[Slot]:
    """Slots (prompt, decoding, index) in display order; see `choose`.

    Args:
        completions: of every arm, in any order.
        seed: of the shuffle; the order of `completions` has no influence.
        max_rows: completions shown at most; whole slots are left out beyond it.
    """
    sizes: dict[tuple[str, str], dict[int, int]] = {}
    for completion in completions:
        found = sizes.setdefault((completion.prompt_id, completion.decoding_id), {})
        found[completion.index] = found.get(completion.index, 0) + 1
    held = {stratum: np.zeros(max(found) + 1, dtype=np.int16) for stratum, found in sizes.items()}
    for stratum, found in sizes.items():
        held[stratum][list(found)] = list(found.values())
    return choose(held, seed, max_rows)


def choose(held: Mapping[tuple[str, str], Any], seed: int, max_rows: int) -> list[Slot]:
    """Slots (prompt, decoding, index) in display order: random, visiting every prompt and decoding in turn.

    Args:
        held: (prompt id, decoding id) -> how many arms have each index, shape (highest + 1,).
        seed: of the shuffle.
        max_rows: completions shown at most; whole slots are left out beyond it.
    """
    rng = random.Random(seed)
    groups = {}
    for stratum in sorted(held):
        there = np.flatnonzero(held[stratum]).tolist()
        groups[stratum] = rng.sample(there, min(len(there), max_rows))
    chosen: list[Slot] = []
    rows = 0
    for turn in range(max((len(group) for group in groups.values()), default=0)):
        here = [(stratum, group[turn]) for stratum, group in groups.items() if turn < len(group)]
        rng.shuffle(here)
        for stratum, index in here:
            rows += int(held[stratum][index])
            if rows > max_rows:
                return chosen
            chosen.append((*stratum, index))
    return chosen


def light(slots: Sequence[Slot], completions: Iterable[Completion], prompts: Iterable[Prompt]) -> list[Slot]:
    """The first of `slots`, in their order, whose texts fit into a page."""
    texts = {prompt.prompt_id: len(prompt.text.encode("utf-8", "replace")) for prompt in prompts}
    weights = {slot: PAIR_BYTES + texts.get(slot[0], 0) for slot in slots}
    for completion in completions:
        if (slot := _slot(completion)) in weights:
            weights[slot] += ROW_BYTES + len(completion.text.encode("utf-8", "replace"))
    sums = itertools.accumulate(weights[slot] for slot in slots)
    return [slot for slot, weight in zip(slots, sums, strict=True) if weight <= MAX_BYTES]


def _slot(completion: Completion) -> Slot:
    return (completion.prompt_id, completion.decoding_id, completion.index)


def _place(completion: Completion) -> tuple[str, str, Slot]:
    return (completion.arm_fingerprint, completion.salt, _slot(completion))


def _prompts(battery: Battery, language: str) -> tuple[Prompt, ...]:
    """Open prompts, then stems, of one language; each once."""
    asked = [*battery.prompts, *(pair.stem for pair in battery.pairs), *battery.neutral_stems.values()]
    unique = {p.prompt_id: p for p in reversed(asked) if p.language == language}
    return tuple(reversed(unique.values()))


def _scores_by_completion(
    scores: Mapping[str, Iterable[Score]], wanted: set[tuple[str, str, Slot]]
) -> dict[tuple[str, str, Slot], list[Score]]:
    found: dict[tuple[str, str, Slot], list[Score]] = {}
    for own in scores.values():
        for score in own:
            if score.index is None:
                continue
            key = (score.arm_fingerprint, score.salt, (score.prompt_id, score.decoding_id, score.index))
            if key in wanted:
                found.setdefault(key, []).append(score)
    return found


def _row(
    completion: Completion, masked: Masked, arm: str, judged: Mapping[tuple[str, str, Slot], list[Score]]
) -> ReaderRow:
    from biasaudit.report.view import ReaderRow

    own = judged.get(_place(completion), [])
    return ReaderRow(
        arm=arm,
        prompt_id=completion.prompt_id,
        decoding_id=completion.decoding_id,
        index=completion.index,
        text=masked.text,
        finish_reason=completion.finish_reason,
        labels={score.measure: score.label for score in own if score.label is not None},
        values={score.measure: score.value for score in own},
        spans=tuple(masked.masked(*span) for score in own for span in score.spans),
    )
