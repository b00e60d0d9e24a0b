"""Check a battery against what it will meet: the training corpus, and the languages of the arms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from biasaudit.records import Arm

if TYPE_CHECKING:
    from biasaudit.battery.findings import Weakness
    from biasaudit.battery.read import Reading
    from biasaudit.battery.source import Trail

SPAN = 13
"""Tokens in a row that a prompt and a corpus share by more than chance (Brown et al. 2020, appendix C)."""
SHORTEST = 6
"""Tokens below which even a whole prompt in the corpus says nothing."""
EDGE = 2
"""Tokens of a prompt that may differ at its ends alone: a word inside a text has a leading blank."""


def in_corpus(reading: Reading, corpus: Path) -> Iterator[Weakness]:
    """Prompts, and stems with their claims, that stand in the training side of a corpus folder.

    Raises:
        CorpusError: no corpus folder, or a damaged one.
        UsageError: the extra `search` is not installed.
    """
    from biasaudit.battery.findings import found
    from biasaudit.pipeline.corpus_find import corpus_index

    texts = list(_texts(reading))
    index, words = corpus_index(corpus)
    told: set[Trail] = set()
    for (loc, within, name, _), ids in zip(texts, words.encode_batch([text for *_, text in texts]), strict=True):
        span = index.longest_common_span(ids)
        whole = len(ids) >= SHORTEST and span >= len(ids) - EDGE
        # A short stem of usual words stands in any corpus; with its claim it does not.
        if told & {loc, within} or not (span >= SPAN or (whole and loc[0] != "stems")):
            continue
        told.add(loc)
        share = "the whole" if whole else f"{span} of the {len(ids)} tokens"
        yield found(reading, "in-corpus", loc, f"{share} of {name} {'stands' if whole else 'stand'} in {corpus.name}")


def _texts(reading: Reading) -> Iterator[tuple[Trail, Trail, str, str]]:
    """(place, place of what it begins with, name, text) of every prompt, every stem, and every stem with its claim."""
    battery = reading.battery
    for prompt in battery.prompts:
        loc: Trail = ("templates", prompt.template, prompt.language)
        yield loc, loc, f"the prompt `{prompt.template}` on `{prompt.topic}`", prompt.text
    for stem in dict.fromkeys(pair.stem for pair in battery.pairs):
        loc = ("stems", stem.template, stem.language)
        yield loc, loc, f"the stem `{stem.template}`", stem.text
    for pair in battery.pairs:
        loc = ("topics", pair.topic, "pairs", pair.stem.language, int(pair.item.removeprefix("pair")))
        within = ("stems", pair.stem.template, pair.stem.language)
        yield loc, within, f"the stem `{pair.stem.template}` with its claim", pair.stem.text + pair.claim


def arm_languages(reading: Reading, arms: Sequence[Arm]) -> Iterator[Weakness]:
    """Arms of different languages, or of one that the battery does not speak."""
    from biasaudit.battery.findings import found

    spoken = {arm.language.split("-")[0] for arm in arms if arm.language}
    listed = ", ".join(f"{arm.name} {arm.language or 'not stated'}" for arm in arms)
    known = {language.split("-")[0] for language in reading.battery.languages}
    if len(spoken) > 1:
        yield found(
            reading, "arm-language", ("languages",), f"the arms are of different languages ({listed})", key=True
        )
    elif spoken and not spoken & known:
        what = f"no arm speaks a language of the battery ({listed})"
        yield found(reading, "arm-language", ("languages",), what, key=True)
