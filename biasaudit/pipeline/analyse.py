"""The analyse stage: scores of all arms in, contrasts, compositions and the verdict out. Nothing is stored here."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from biasaudit.labels import HumanLabel
from biasaudit.records import Arm, Battery, Decoding, Score
from biasaudit.results import Analysis

if TYPE_CHECKING:
    from biasaudit.stats.designs_language import Beside
    from biasaudit.stats.readings import ScoreColumns
    from biasaudit.stats.stopping import Stopping


def analyse(
    battery: Battery,
    language: str,
    arms: Sequence[Arm],
    scores: Mapping[str, Iterable[Score] | ScoreColumns],
    *,
    decodings: Sequence[Decoding] | None = None,
    completions: Mapping[str, int] | None = None,
    wanted: Mapping[str, int] | None = None,
    numerics: Mapping[str, Collection[str]] | None = None,
    stopping: Stopping | None = None,
    labels: Sequence[HumanLabel] = (),
    texts: Mapping[str, Mapping[str, Mapping[int, str]]] | None = None,
    beside: Sequence[Beside] = (),
) -> Analysis:
    """Compare every tuned arm with its reference, on every measure, outcome and decoding.

    Args:
        battery: as it was run.
        language: of the prompts.
        arms: with their roles; a tuned arm is held against a comparable placebo, else against the base.
        scores: measure name -> its scores, of all arms; looked up once a measure.
        decodings: of the run, the confirmatory one first; the battery's own when None.
        completions: arm name -> completions stored; every measure over completions must have as many scores.
        wanted: the same of completions that the run asks for.
        numerics: arm name -> ids of the numerics fingerprints of its completions.
        stopping: how far each prompt was followed, where the run stopped by looks.
        labels: what people said of the run's completions.
        texts: arm name -> prompt id -> index -> completion under the first decoding, for the tests on texts.
        beside: runs of the same battery and arms in other languages.

    Raises:
        InputError: a measure's options, its arms' tokenizers, or the margin's unit do not fit.
        StoreError: scores are missing for completions that are stored.
    """
    from biasaudit import scoring
    from biasaudit.pipeline.score import check_measures
    from biasaudit.stats.assemble import assemble
    from biasaudit.stats.job import Job
    from biasaudit.stats.labelling import labellings
    from biasaudit.stats.table import arrange

    check_measures(battery, language, arms)
    known = [measure.name for measure in battery.measures if measure.name in scores]
    job = Job(
        battery=battery,
        language=language,
        arms=tuple(arms),
        decodings=tuple(battery.decodings if decodings is None else decodings),
        cards={measure.name: scoring.card(measure.scorer, measure.options) for measure in battery.measures},
        tables={name: arrange(name, battery, language, scores[name]) for name in known},
        numerics=numerics or {},
        stored=_by_model(arms, completions or {}),
        wanted=wanted or {},
        stopping=stopping,
        labels=tuple(labels),
        texts=texts or {},
    )
    return _with_cards(dataclasses.replace(assemble(job, beside), labelling=labellings(job, labels)), battery, arms)


def _with_cards(analysis: Analysis, battery: Battery, arms: Sequence[Arm]) -> Analysis:
    """The analysis with the validity cards of its learned scorers."""
    from biasaudit.pipeline.learned_cards import learned_cards

    learned = learned_cards(battery, arms)
    if not learned:
        return analysis
    return dataclasses.replace(analysis, exploratory={**analysis.exploratory, "learned": learned})


def _by_model(arms: Sequence[Arm], completions: Mapping[str, int]) -> dict[str, int]:
    """Completions by arm, where arms that are one model under one salt share what is stored for either."""
    most: dict[tuple[str, str], int] = {}
    for arm in arms:
        model = (arm.fingerprint, arm.salt)
        most[model] = max(most.get(model, 0), completions.get(arm.name, 0))
    return {arm.name: most[arm.fingerprint, arm.salt] for arm in arms if arm.name in completions}
