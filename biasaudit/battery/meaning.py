"""What the parts of a battery must mean to one another: languages, slots, forms, blanks, references.

Form was checked by `schema`; here every fault is one that only a look at two places of the file can find. All faults
are returned at once, each with its place.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from biasaudit.battery import schema
from biasaudit.battery.faults import hint, one_of
from biasaudit.battery.slots import Hole, cut
from biasaudit.battery.source import MAX_FAULTS, Source, Trail, show

RESERVED = ("claim", "title")
"""Slots that the topic fills."""


class _Enough(Exception):  # noqa: N818 - ends the checking; never leaves this module
    """More faults than anyone reads."""


@dataclass(slots=True)
class _Checker:
    """Collects the faults of one battery."""

    source: Source
    part: schema.BatteryPart
    faults: list[str] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)
    """Which of the topics' own slots some template uses."""

    def fault(self, loc: Trail, what: str, *, key: bool = False) -> None:
        """Note a fault at `loc`; after too many, stop looking."""
        self.faults.append(self.source.fault(loc, what, key=key))
        if len(self.faults) > MAX_FAULTS:
            raise _Enough

    def raw_names(self, section: str) -> list[str]:
        """Names that the file gives in `section`, those with faults of their own included."""
        entries = self.source.value.get(section)
        return [str(name) for name in entries] if isinstance(entries, dict) else []

    def languages(self, loc: Trail, texts: Mapping[str, object], *, complete: bool) -> None:
        """Every key of `texts` is a declared language; with `complete`, every declared language is there."""
        declared = self.part.languages
        for language in texts:
            if language not in declared:
                what = f"`{show(language)}` is not among the battery's languages ({', '.join(declared)})"
                self.fault((*loc, language), what + hint(language, declared), key=True)
        missing = [language for language in declared if language not in texts]
        if complete and missing:
            self.fault(
                loc, f"`{loc[-1]}` has no text in {', '.join(missing)}; expected one for every language", key=True
            )

    def header(self) -> None:
        """Languages, title, and that there is something to ask."""
        declared = self.part.languages
        for position, language in enumerate(declared):
            if language in declared[:position]:
                self.fault(("languages", position), f"the language `{language}` stands here twice; remove one")
        if isinstance(self.source.value.get("title"), dict):
            self.languages(("title",), self.part.title, complete=True)
        if not self.raw_names("templates") and not self.raw_names("stems"):
            self.fault((), "the battery asks nothing; expected `templates` (sampled) or `stems` (likelihoods), or both")

    def topics(self) -> None:
        """Languages and continuation pairs of every topic."""
        for name, topic in self.part.topics.items():
            loc: Trail = ("topics", name)
            for key, texts in (("claim", topic.claim), ("title", topic.title), ("pairs", topic.pairs)):
                if texts is not None:
                    self.languages((*loc, key), texts, complete=key != "pairs")
            for language, claim in (topic.claim or {}).items():
                self.holes((*loc, "claim", language), claim, language, inside_claim=True)
            for language, pairs in (topic.pairs or {}).items():
                for position, pair in enumerate(pairs):
                    self.pair((*loc, "pairs", language, position), pair)

    def pair(self, loc: Trail, pair: list[str]) -> None:
        """Both continuations begin with one blank and differ."""
        for side, text in enumerate(pair):
            self.no_slots((*loc, side), text)
            if not text.startswith(" "):
                what = f'the continuation `{show(text, 30)}` begins without a blank; expected `" {show(text, 30)}"`'
                self.fault((*loc, side), what)
            elif not text[1:2].strip():
                self.fault(
                    (*loc, side), "the continuation begins with more than one blank; expected one and then a word"
                )
        if pair[0] == pair[1]:
            self.fault(loc, "claim and counter-claim are the same text; expected two that contradict each other")

    def no_slots(self, loc: Trail, text: str) -> None:
        """Braces of a text that no slot may stand in."""
        template, faults = cut(text)
        for what in faults:
            self.fault(loc, what)
        for hole in template.holes:
            what = f"the slot `{hole}` stands where no slot is filled; expected plain text (`{{{{` for a brace)"
            self.fault(loc, what)

    def stems(self) -> None:
        """Stems and the neutral stem: languages, no slots, no blank at the end."""
        stems: dict[Trail, Mapping[str, str]] = {("stems", name): texts for name, texts in self.part.stems.items()}
        if self.part.neutral is not None:
            stems["neutral",] = self.part.neutral
        for loc, texts in stems.items():
            self.languages(loc, texts, complete=True)
            for language, text in texts.items():
                self.no_slots((*loc, language), text)
                if text != text.rstrip():
                    what = "the stem ends in a blank; expected none, since the continuations bring theirs"
                    self.fault((*loc, language), what)

    def templates(self) -> None:
        """Languages, turns and slots of every template."""
        for name, template in self.part.templates.items():
            loc: Trail = ("templates", name)
            wordings = template.__pydantic_extra__
            declared = self.part.languages
            for language in wordings:
                if language not in declared:
                    what = f"`{show(language)}` is neither a key of a template nor a language of the battery"
                    what += f" ({', '.join(declared)})" + hint(language, ["framing", *declared])
                    self.fault((*loc, language), what, key=True)
            missing = [language for language in declared if language not in wordings]
            if missing:
                self.fault(
                    loc, f"`{name}` has no wording in {', '.join(missing)}; expected one for every language", key=True
                )
            for language in declared:
                if language in wordings:
                    self.wording((*loc, language), wordings[language], language)

    def wording(self, loc: Trail, wording: schema.Wording, language: str) -> None:
        """One template in one language: a text, or a list of turns."""
        if isinstance(wording, str):
            self.holes(loc, wording, language)
            return
        for position, turn in enumerate(wording):
            for speaker, text in turn.items():
                if text is not None:
                    self.holes((*loc, position, speaker), text, language)
                elif position != len(wording) - 1:
                    what = f"{show(speaker)} says nothing; expected a text, since only the last turn may be left open"
                    self.fault((*loc, position, speaker), what)

    def holes(self, loc: Trail, text: str, language: str, *, inside_claim: bool = False) -> None:
        """Every hole of a text can be filled for every topic and group."""
        template, faults = cut(text)
        for what in faults:
            self.fault(loc, what)
        for hole in template.holes:
            if hole.slot in RESERVED and not inside_claim:
                self.topic_hole(loc, hole)
            elif hole.slot not in self.raw_names("slots"):
                known = [*self.raw_names("slots"), *(() if inside_claim else RESERVED)]
                near = hint(hole.slot, known) or one_of(known)
                self.fault(loc, f"the slot `{hole}` is not declared{near}")
            elif hole.slot in self.part.slots:
                self.group_hole(loc, hole, language)

    def topic_hole(self, loc: Trail, hole: Hole) -> None:
        """`{claim}` or `{title}`: every topic must have it."""
        if hole.form:
            self.fault(loc, f"the slot `{hole}`; expected `{{{hole.slot}}}`, which has no forms")
            return
        if hole.slot in self.asked:
            return
        self.asked.add(hole.slot)
        for name, topic in self.part.topics.items():
            texts = topic.claim if hole.slot == "claim" else topic.title
            if texts is None:
                what = (
                    f"the topic `{name}` has no `{hole.slot}`, which line {self.source.line(loc)} needs; expected one"
                )
                self.fault(("topics", name), what, key=True)

    def group_hole(self, loc: Trail, hole: Hole, language: str) -> None:
        """`{slot}` or `{slot.form}`: every group must have the form in this language."""
        for group, texts in self.part.slots[hole.slot].items():
            held = texts.get(language)
            if held is None or not hole.form:
                continue
            for forms in held if isinstance(held, list) else [held]:
                known = list(forms) if isinstance(forms, dict) else []
                if hole.form not in known:
                    near = hint(hole.form, known) or one_of(known)
                    near = near if known else f"; in {language} it is a bare text, expected `{{{hole.slot}}}`"
                    self.fault(loc, f"the slot `{hole}`: group `{group}` has no form `{hole.form}` in {language}{near}")

    def slots(self) -> None:
        """Names and languages of slots."""
        for slot, groups in self.part.slots.items():
            if slot in RESERVED:
                self.fault(
                    ("slots", slot), f"the slot name `{slot}` is taken by the topic's own; expected another", key=True
                )
            if len(groups) < 2:
                what = f"the slot `{slot}` has one group; expected at least two to compare"
                self.fault(("slots", slot), what, key=True)
            for group, texts in groups.items():
                self.languages(("slots", slot, group), texts, complete=True)
                for language, forms in texts.items():
                    count = len(forms) if isinstance(forms, list) else 1
                    if count != (wanted := schema.fillers_of(groups)):
                        what = f"the group `{group}` has {count} fillers in {language}; expected {wanted}, as elsewhere"
                        self.fault(("slots", slot, group, language), what)

    def primary(self) -> None:
        """The primary measure exists, and margins are above 0."""
        for name, measure in self.part.measures.items():
            self.margin(("measures", name, "margin"), measure.margin)
        primary = self.part.primary
        if primary is None:
            return
        names = self.raw_names("measures")
        if primary.measure not in names:
            near = hint(primary.measure, names) or one_of(names)
            self.fault(("primary", "measure"), f"no measure is called `{primary.measure}`{near}")
        own = self.part.measures.get(primary.measure)
        if primary.outcome == "value" and own is not None and own.margin is not None:
            what = f"`{primary.measure}` is the primary question; expected its margin there: `primary: {{… margin: …}}`"
            self.fault(("measures", primary.measure, "margin"), what)
        self.margin(("primary", "margin"), primary.margin)

    def margin(self, place: Trail, given: float | str | None) -> None:
        """A margin is above 0."""
        margin, _ = schema.margin_and_unit(given)
        if margin is not None and not 0 < margin < float("inf"):
            self.fault(place, f"the margin is {margin}; expected a number above 0")


def check(source: Source, part: schema.BatteryPart) -> list[str]:
    """Every fault of meaning; empty when there is none."""
    checker = _Checker(source, part)
    with contextlib.suppress(_Enough):
        checker.header()
        checker.topics()
        checker.stems()
        checker.templates()
        checker.slots()
        checker.primary()
    return list(dict.fromkeys(checker.faults))
