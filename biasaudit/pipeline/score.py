"""The score stage: completions and likelihoods in, scores by measure out. Nothing is stored here."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from biasaudit.errors import InputError
from biasaudit.labels import HumanLabel, ReadsLabels
from biasaudit.records import (
    Arm,
    Battery,
    Completion,
    CompletionScorer,
    Likelihoods,
    LikelihoodScorer,
    Measure,
    Prompt,
    Score,
)

if TYPE_CHECKING:
    from biasaudit.scoring.copying import TrainingText

Reads = Literal["completions", "likelihoods"]
TOGETHER = 512
"""Completions that are scored together."""


def measures_reading(battery: Battery, reads: Reads) -> tuple[Measure, ...]:
    """The battery's measures whose scorer reads completions, or likelihoods.

    Raises:
        UnknownNameError: a measure names a scorer that does not exist.
    """
    from biasaudit import scoring

    return tuple(measure for measure in battery.measures if scoring.card(measure.scorer).reads == reads)


def check_measures(battery: Battery, language: str, arms: Sequence[Arm] = ()) -> None:
    """Build every scorer once and refuse arms that a measure cannot compare: to be called before anything is sampled.

    Raises:
        InputError: an option cannot be used, a measure over next tokens meets arms with different tokenizers, or a
            margin has another unit than its measure, or the primary outcome is a label that no text can get.
        UnknownNameError: a measure names a scorer that does not exist.
    """
    from biasaudit import scoring
    from biasaudit.pipeline.arms import answers_likelihoods
    from biasaudit.stats.arms import margin_in, margin_of

    arms = [arm for arm in arms if answers_likelihoods(arm)]
    for measure in battery.measures:
        scoring.build(measure.scorer, measure.options, measure.name, language)
        if scoring.card(measure.scorer).same_tokenizer and len({arm.tokenizer_fingerprint for arm in arms}) > 1:
            raise InputError(
                f"measure '{measure.name}' ({measure.scorer}) compares next-token probabilities, and the arms "
                f"{', '.join(arm.name for arm in arms)} do not share a tokenizer; leave the measure out, "
                f"or audit arms with one tokenizer."
            )
        card, primary = scoring.card(measure.scorer, measure.options), battery.primary
        margin_of(measure, "value", card.unit, primary)
        if primary is not None and primary.measure == measure.name:
            if primary.outcome not in ("value", *card.labels):
                known = ", ".join(("value", *card.labels))
                raise InputError(
                    f"the primary outcome '{primary.outcome}' is no label of measure '{measure.name}': every text "
                    f"would count as without it. Write one of {known}."
                )
            margin_in("share" if primary.outcome in card.labels else card.unit, primary)


def score_completions(
    battery: Battery,
    language: str,
    completions: Iterable[Completion],
    measures: Sequence[Measure] | None = None,
) -> dict[str, list[Score]]:
    """Score every completion with every measure that reads completions.

    Args:
        battery: whose prompts the completions answer.
        language: of those prompts.
        completions: of any arms, in any order; read once.
        measures: some of the battery's; all that read completions when None.

    Returns:
        Measure name -> one score a completion, in the order given.

    Raises:
        InputError: an option cannot be used, or a completion answers no prompt of the battery in `language`.
    """
    return completion_scorer(battery, language, measures)(completions)


def completion_scorer(
    battery: Battery,
    language: str,
    measures: Sequence[Measure] | None = None,
    labels: Sequence[HumanLabel] = (),
    corpora: Mapping[str, TrainingText] | None = None,
    journals: Path | None = None,
    *,
    only_kept: bool = False,
) -> Callable[[Iterable[Completion]], dict[str, list[Score]]]:
    """What scores completions batch after batch; see `score_completions`.

    Args:
        battery: whose prompts the completions answer.
        language: of those prompts.
        measures: some of the battery's; all that read completions when None.
        labels: what people said of the run's completions, for scorers that read it.
        corpora: measure name -> the training corpora that its completions are held against.
        journals: where answers of judges are kept; None forgets them.
        only_kept: whether judges are asked nothing, and answer with what is kept there alone.

    Raises:
        InputError: an option cannot be used.
    """
    from biasaudit import scoring
    from biasaudit.scoring._given import ReadsBattery
    from biasaudit.scoring._together import ScoresTogether
    from biasaudit.scoring.copying import ReadsCorpus

    wanted = measures_reading(battery, "completions") if measures is None else measures
    scorers = [
        (found.name, cast(CompletionScorer, scoring.build(found.scorer, found.options, found.name, language)))
        for found in wanted
    ]
    scorers = [(name, scorer.given(labels) if isinstance(scorer, ReadsLabels) else scorer) for name, scorer in scorers]
    held = corpora or {}
    scorers = [
        (name, scorer.held_against(held[name]) if name in held and isinstance(scorer, ReadsCorpus) else scorer)
        for name, scorer in scorers
    ]
    scorers = [(n, found.of_battery(battery) if isinstance(found, ReadsBattery) else found) for n, found in scorers]
    scorers = [(n, _answered(found, journals, only_kept)) for n, found in scorers]
    prompt_of = _prompts(battery, language)

    def score(completions: Iterable[Completion]) -> dict[str, list[Score]]:
        scores: dict[str, list[Score]] = {name: [] for name, _ in scorers}
        rest = iter(completions)
        while batch := list(itertools.islice(rest, TOGETHER)):
            prompts = [prompt_of(completion.prompt_id) for completion in batch]
            for name, scorer in scorers:
                if isinstance(scorer, ScoresTogether):
                    scores[name] += scorer.together(batch, prompts)
                else:
                    scores[name] += [scorer(*pair) for pair in zip(batch, prompts, strict=True)]
        return scores

    return score


def _answered(scorer: CompletionScorer, journals: Path | None, only_kept: bool) -> CompletionScorer:
    """A scorer that asks a model, with somebody to ask; any other as it is."""
    from biasaudit.pipeline.judges import asker
    from biasaudit.scoring._given import AsksModel

    return scorer.answered_by(asker(scorer, journals, only_kept=only_kept)) if isinstance(scorer, AsksModel) else scorer


def _prompts(battery: Battery, language: str) -> Callable[[str], Prompt]:
    """Look a prompt up by its id, or say what is wrong."""
    by_id = {prompt.prompt_id: prompt for prompt in battery.prompts if prompt.language == language}

    def find(prompt_id: str) -> Prompt:
        if prompt_id not in by_id:
            raise InputError(
                f"a completion answers prompt {prompt_id}, which battery '{battery.name}' does not have in "
                f"'{language}'; score it with the battery and language that it was sampled with."
            )
        return by_id[prompt_id]

    return find


def score_likelihoods(
    battery: Battery,
    language: str,
    likelihoods: Likelihoods,
    measures: Sequence[Measure] | None = None,
) -> dict[str, list[Score]]:
    """Score one arm's likelihoods with every measure that reads them.

    Args:
        battery: whose stems, pairs and prompts are asked.
        language: of the stems and prompts.
        likelihoods: one arm.
        measures: some of the battery's; all that read likelihoods when None.

    Returns:
        Measure name -> one score per (stem, topic, pair) or per prompt.

    Raises:
        InputError: an option cannot be used, or a stem that a measure needs is missing.
    """
    from biasaudit import scoring

    wanted = measures_reading(battery, "likelihoods") if measures is None else measures
    return {
        found.name: list(
            cast(LikelihoodScorer, scoring.build(found.scorer, found.options, found.name, language))(
                likelihoods, battery, language
            )
        )
        for found in wanted
    }
