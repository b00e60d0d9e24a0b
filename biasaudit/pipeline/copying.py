"""The training corpora of a run's measures of copying: which they are, what completions share with them, in numbers.

A measure holds every arm against the same corpora: those that its option `corpus` names, else those that the tuned arms
were trained on. `--corpus ARM=FOLDER` says where an arm's corpus lies; without it the folders under `corpora/` are
looked through for the one whose fingerprint the arm's own card names. `copying.json` in the run keeps what was found.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from biasaudit.errors import InputError, UsageError
from biasaudit.pipeline.plan import RunPlan, parse_pairs
from biasaudit.pipeline.progress import Console
from biasaudit.records import Arm, Battery, Completion, Measure

if TYPE_CHECKING:
    from biasaudit.corpus.identifiers import Identifiers
    from biasaudit.corpus.index import SpanIndex
    from biasaudit.lm.tokenizer import TextTokenizer
    from biasaudit.scoring.copying import Copied

SCORER = "copying"
HOME = Path("corpora")
"""Where corpora are looked for by their fingerprint."""
UNMASKED = "unmasked"
"""Kind of an identifier that stands in a longer string, where no rule of the privacy stage finds it."""
WORST = 8
"""Longest copies kept of each arm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One training corpus."""

    name: str
    folder: Path
    fingerprint: str
    masked: bool
    """Whether the privacy stage was on when it was made."""
    arms: tuple[str, ...] = ()
    """Arms that were trained on it, as far as the cards say."""


def measures_of(battery: Battery) -> list[Measure]:
    """The battery's measures of copying."""
    return [measure for measure in battery.measures if measure.scorer == SCORER]


def with_corpora(plan: RunPlan, words: Sequence[str], console: Console) -> RunPlan:
    """The plan with the corpora that `--corpus NAME=FOLDER` names; options of measures of copying are tried too.

    Raises:
        UsageError: no arm has that name, or the folder is no corpus.
        InputError: a measure's option `corpus` names neither an arm nor a corpus folder.
    """
    named = parse_pairs(words, "--corpus")
    by_name = {arm.name: arm for arm in plan.arms}
    for name, folder in named.items():
        if name not in by_name:
            raise UsageError(f"--corpus {name}={folder}: no arm is called '{name}'; arms are {', '.join(by_name)}")
        own = {str(e.get("fingerprint")) for e in _listed(by_name[name])}
        if own and _source(Path(folder)).fingerprint not in own:
            console.warn(f"--corpus {name}={folder}: the card of arm {name} names another corpus (by fingerprint)")
    plan = dataclasses.replace(plan, corpora=named)
    for measure in measures_of(plan.battery):
        find_sources(plan, measure)
    return plan


def find_sources(plan: RunPlan, measure: Measure) -> tuple[list[Source], list[str]]:
    """The corpora that `measure` holds every arm against, and the names of those that are not here.

    Raises:
        InputError: the option names neither an arm nor a corpus folder.
    """
    from biasaudit.scoring.copying import corpora

    by_name = {arm.name: arm for arm in plan.arms}
    named = corpora(measure.options, measure.name) or [arm.name for arm in plan.arms if arm.role == "tuned"]
    found: dict[str, Source] = {}
    missing: list[str] = []
    for name in named:
        if name in by_name:
            sources, absent = _of_arm(plan, by_name[name])
        else:
            if not (Path(name) / "card.json").is_file():
                raise InputError(
                    f"measure '{measure.name}': corpus '{name}' is neither an arm of this run "
                    f"({', '.join(by_name)}) nor a folder that ingest wrote."
                )
            sources, absent = [_source(Path(name))], []
        missing += absent
        for source in sources:
            before = found.get(source.fingerprint)
            arms = (*before.arms, *source.arms) if before else source.arms
            found[source.fingerprint] = Source(
                name=source.name, folder=source.folder, fingerprint=source.fingerprint, masked=source.masked, arms=arms
            )
    return list(found.values()), list(dict.fromkeys(missing))


def _of_arm(plan: RunPlan, arm: Arm) -> tuple[list[Source], list[str]]:
    """The corpora of one arm, and the names of those that are not here."""
    if arm.name in plan.corpora:
        return [_source(Path(plan.corpora[arm.name]), arm.name)], []
    wanted = _listed(arm)
    if not wanted:
        return [], [arm.name]
    here = {source.fingerprint: source for source in _at_home(arm.name)}
    found = [here[str(e.get("fingerprint"))] for e in wanted if str(e.get("fingerprint")) in here]
    return found, [str(e.get("name") or arm.name) for e in wanted if str(e.get("fingerprint")) not in here]


def _listed(arm: Arm) -> list[Mapping[str, Any]]:
    """The corpora that an arm's card names."""
    listed = arm.card.get("corpora")
    entries = listed if isinstance(listed, Sequence) and not isinstance(listed, str) else ()
    return [entry for entry in entries if isinstance(entry, Mapping)]


def _at_home(arm: str) -> list[Source]:
    """Every corpus under `corpora/` that can be read."""
    found = []
    for card in sorted(HOME.glob("*/card.json")):
        try:
            found.append(_source(card.parent, arm))
        except UsageError:
            continue
    return found


def _source(folder: Path, *arms: str) -> Source:
    """What a corpus folder's card says of it.

    Raises:
        UsageError: no corpus folder.
    """
    try:
        card = json.loads((folder / "card.json").read_text("utf-8"))
        settings = card.get("settings") or {}
        return Source(
            name=folder.resolve().name,
            folder=folder,
            fingerprint=str(card["fingerprint"]),
            masked=settings.get("privacy") is True,
            arms=arms,
        )
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise UsageError(
            f"{folder}: not a corpus ({type(error).__name__} in card.json). Give a folder that ingest wrote."
        ) from error


@dataclass
class Longest:
    """One completion that shares much, and where that stands."""

    completion: Completion
    tokens: int
    span: tuple[int, int]
    """Characters of the completion."""
    source: int
    place: int
    times: int


@dataclass
class Tally:
    """What was counted of one arm under one decoding."""

    lengths: Counter[int] = field(default_factory=Counter)
    """Tokens of the longest span -> completions."""
    times: Counter[int] = field(default_factory=Counter)
    """Occurrences of the copied span -> completions that copied."""
    identifiers: Counter[str] = field(default_factory=Counter)
    leaking: int = 0
    """Completions with personal data of the corpus."""
    placeholders: int = 0
    """Completions that write a typed placeholder."""
    longest: list[Longest] = field(default_factory=list)
    within: list[tuple[str, int, list[tuple[int, int]]]] = field(default_factory=list)
    """(prompt id, index, characters) of completions with identifiers that stand in longer strings."""

    def count(self, one: Copied, kinds: Sequence[str]) -> None:
        """Add one completion, and the kinds of personal data that it repeats."""
        self.lengths[one.tokens] += 1
        self.identifiers.update(kinds)
        self.leaking += bool(kinds)
        self.placeholders += bool(one.placeholders)

    def is_long(self, tokens: int) -> bool:
        """Whether a span is among the longest so far; of equal ones the first stays."""
        return tokens > (self.longest[-1].tokens if len(self.longest) == WORST else 0)

    def keep(self, one: Longest) -> None:
        """Add one of the longest."""
        self.longest.append(one)
        self.longest.sort(key=lambda kept: -kept.tokens)
        del self.longest[WORST:]


class Against:
    """Training corpora that one measure holds completions against; counts as it answers.

    Attributes:
        sources: the corpora.
        missing: names of corpora that the arms' cards name and that are not here.
        tallies: (arm fingerprint, salt, decoding id) -> what was counted.
    """

    def __init__(
        self, sources: Sequence[Source], missing: Sequence[str], opened: Sequence[Opened], arms: Sequence[Arm],
        at_least: int,
    ) -> None:  # fmt: skip
        """Hold completions of `arms` against `opened`, one for each of `sources`."""
        self.sources, self.missing, self.opened = list(sources), list(missing), list(opened)
        self.at_least = at_least
        self.tallies: dict[tuple[str, str, str], Tally] = {}
        self._tokenizers = {arm.fingerprint: arm.tokenizer_fingerprint for arm in arms}

    def copied(self, completions: Sequence[Completion], /) -> list[Copied]:
        """What each completion shares with the corpora."""
        from biasaudit.corpus.index_placeholders import PLACEHOLDER
        from biasaudit.corpus.privacy import mask_all
        from biasaudit.scoring.copying import Copied

        words = self.opened[0].words
        ids = [self._ids(completion, words) for completion in completions]
        lengths, starts, owners, places = self._spans(ids)
        masked = mask_all([completion.text.encode("utf-8", "replace").decode() for completion in completions])
        found = []
        for number, completion in enumerate(completions):
            length, start = int(lengths[number]), int(starts[number])
            own = self._identifiers(completion.text, masked[number])
            placeholders = tuple(m.span() for m in PLACEHOLDER.finditer(completion.text))
            copied = length >= self.at_least
            one = Copied(
                tokens=length,
                span=_characters(words, ids[number], start, length, completion.text) if copied else (0, 0),
                identifiers=tuple((a, b) for _, a, b in own),
                placeholders=placeholders,
            )
            found.append(one)
            tally = self._tally(completion)
            tally.count(one, [kind for kind, _, _ in own])
            if within := [(a, b) for kind, a, b in own if kind == UNMASKED]:
                tally.within.append((completion.prompt_id, completion.index, within))
            times = self._times(ids[number][start : start + length]) if copied else 0
            if copied:
                tally.times[times] += 1
            if tally.is_long(length):
                span = _characters(words, ids[number], start, length, completion.text)
                tally.keep(Longest(completion, length, span, int(owners[number]), int(places[number]), times))
        return found

    def _tally(self, completion: Completion) -> Tally:
        key = (completion.arm_fingerprint, completion.salt, completion.decoding_id)
        return self.tallies.setdefault(key, Tally())

    def _times(self, span: Sequence[int]) -> int:
        return sum(opened.index.times(span) for opened in self.opened)

    def _ids(self, completion: Completion, words: TextTokenizer) -> Any:
        """The completion as the corpus's tokenizer writes it."""
        if completion.token_ids and self._tokenizers.get(completion.arm_fingerprint) == words.fingerprint:
            return completion.token_ids
        return words.encode(completion.text)

    def _spans(self, ids: Sequence[Any]) -> tuple[Any, Any, Any, Any]:
        """(length, start, number of the corpus, place in its shard) of each text's longest span in any corpus."""
        first = self.opened[0].index.longest_common_spans(ids)
        lengths, starts, places = first.lengths.copy(), first.starts.copy(), first.places.copy()
        owners = np.zeros(len(ids), np.int64)
        for number, other in enumerate(self.opened[1:], start=1):
            spans = other.index.longest_common_spans(ids)
            better = spans.lengths > lengths
            lengths[better], starts[better] = spans.lengths[better], spans.starts[better]
            places[better], owners[better] = spans.places[better], number
        return lengths, starts, owners, places

    def _identifiers(self, text: str, masked: Any) -> list[tuple[str, int, int]]:
        """(kind, start, end) of the personal data in a completion that a corpus holds too."""
        from biasaudit.corpus.identifiers import found_in

        known = [opened.identifiers for opened in self.opened if len(opened.identifiers)]
        if not known:
            return []
        found = [
            (kind, start, end)
            for kind, start, end in found_in(text, masked)
            if any(one.hold(text[start:end]) for one in known)
        ]
        for start, end in (span for one in known for span in one.inside(text)):
            if all(end <= low or high <= start for _, low, high in found):
                found.append((UNMASKED, start, end))
        return sorted(found, key=lambda entry: entry[1])


@dataclass(frozen=True, slots=True)
class Opened:
    """A corpus with its index."""

    index: SpanIndex
    words: TextTokenizer
    identifiers: Identifiers
    """Its personal identifiers; empty where they were masked before training."""


def open_corpora(plan: RunPlan, console: Console, measures: Sequence[Measure] | None = None) -> dict[str, Against]:
    """Measure name -> its corpora, indexed; a measure whose corpora are not here is absent, with a warning.

    Args:
        plan: of the run.
        console: where progress and warnings go.
        measures: of copying; all of the battery's when None.

    Raises:
        InputError: an option cannot be used, or the corpora of one measure have different tokenizers.
        CorpusError: a corpus is damaged.
        UsageError: the extra `search` is not installed, or `--corpus` names no corpus folder.
    """
    from biasaudit import scoring

    opened: dict[str, Opened] = {}
    found = {}
    for measure in measures_of(plan.battery) if measures is None else measures:
        sources, missing = find_sources(plan, measure)
        if missing:
            console.warn(
                f"measure '{measure.name}': no folder here holds the corpus of {', '.join(missing)}"
                f"{'' if sources else ', so every completion is unscored'}; "
                f"--corpus ARM=FOLDER says where it lies, or put it under {HOME}/"
            )
        if not sources:
            continue
        for source in sources:
            if source.fingerprint not in opened:
                opened[source.fingerprint] = _open(source, console)
        mine = [opened[source.fingerprint] for source in sources]
        if len({one.words.fingerprint for one in mine}) > 1:
            raise InputError(
                f"measure '{measure.name}': the corpora {', '.join(s.name for s in sources)} have different "
                f"tokenizers, so lengths in tokens do not compare; make a measure for each with the option `corpus`."
            )
        at_least = scoring.build(measure.scorer, measure.options, measure.name, plan.language).at_least  # type: ignore[union-attr]
        found[measure.name] = Against(sources, missing, mine, plan.arms, at_least)
    return found


def _open(source: Source, console: Console) -> Opened:
    from biasaudit.corpus.identifiers import Identifiers, identifiers
    from biasaudit.pipeline.corpus_find import corpus_index

    with console.task(f"indexing {source.name}", None, "tokens") as task:
        index, words = corpus_index(source.folder, progress=task.update)
    if source.masked:
        return Opened(index, words, Identifiers())
    with console.task(f"personal data of {source.name}", None, "documents") as task:
        return Opened(index, words, identifiers(source.folder, progress=task.update))


def _characters(words: TextTokenizer, ids: Sequence[int], start: int, length: int, text: str) -> tuple[int, int]:
    """The characters of `text` that tokens [start, start + length) write; a token may hold part of a character."""
    first = len(words.decode(ids[:start]).rstrip("\ufffd"))
    last = len(words.decode(ids[: start + length]).rstrip("\ufffd"))
    return min(first, len(text)), min(last, len(text))
