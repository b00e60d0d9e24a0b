"""From the parts of a battery file to what a run asks: prompts, continuation pairs, decodings.

Order is the file's: language, then topic, then template, then group. Sizes are counted before anything is built, so
that a battery that multiplies into millions of prompts is refused at once and never shortened in silence.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NoReturn

from biasaudit.battery import schema
from biasaudit.battery.slots import Hole, Template, cut
from biasaudit.battery.source import MAX_FAULTS, Source, Trail, show
from biasaudit.errors import BatteryError
from biasaudit.records import ContinuationPair, Decoding, Prompt

MAX_PROMPTS = 20_000
"""Most prompts, and most continuation pairs, of one battery in all languages."""
MAX_CHARACTERS = 8_000_000
"""Most characters of all prompts and pairs together."""

CLAIM = Hole("claim")

Choice = tuple[tuple[str, str, int], ...]
"""((slot, group, which of its fillers), …)"""


@dataclass(slots=True)
class _Renderer:
    """Renders one checked battery; collects the faults that only rendered texts show."""

    source: Source
    part: schema.BatteryPart
    faults: dict[str, None] = field(default_factory=dict)
    """An ordered set: a fault of a template that shows in every topic is told once."""
    seen: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    """prompt_id -> (where it came from, its template, its topic)."""
    repeated: Counter[tuple[object, object]] = field(default_factory=Counter)
    """Causes of prompts that stand twice: two templates, or two topics; each is told once."""
    characters: int = 0

    def fault(self, loc: Trail, what: str) -> None:
        """Note a fault; after too many, stop."""
        self.faults[self.source.fault(loc, what)] = None
        if len(self.faults) > MAX_FAULTS:
            self.stop()

    def stop(self) -> NoReturn:
        """Raise what was found."""
        raise BatteryError(self.source.in_order(list(self.faults)))

    def weigh(self, loc: Trail, characters: int) -> None:
        """Count what is about to be built, and stop when it is too much."""
        self.characters += characters
        if self.characters > MAX_CHARACTERS:
            self.fault(
                loc, f"with this the battery has more than {MAX_CHARACTERS} characters; expected fewer, split it"
            )
            self.stop()

    def text_of(self, wording: schema.Wording) -> str:
        """A wording as one text: as it stands, or turns as the lines of a transcript."""
        if isinstance(wording, str):
            return wording
        lines = [
            f"{speaker}:" if text is None else f"{speaker}: {text}"
            for turn in wording
            for speaker, text in turn.items()
        ]
        return "\n".join(lines)

    def form(self, hole: Hole, group: str, filler: int, language: str) -> str:
        """What fills a hole of a slot: the form that is asked for, else the first form."""
        held = self.part.slots[hole.slot][group][language]
        forms = held[filler] if isinstance(held, list) else held
        if isinstance(forms, str):
            return forms
        return forms[hole.form] if hole.form else next(iter(forms.values()))

    def choices(self, template: Template, claim: Template) -> Iterator[Choice]:
        """Every combination of groups, and of their fillers, of the slots that the template and its claim use."""
        slots = self.part.slots
        yield from itertools.product(
            *(
                [(name, group, filler) for filler in range(schema.fillers_of(slots[name])) for group in slots[name]]
                for name in self.slots_of(template, claim)
            )
        )

    def slots_of(self, template: Template, claim: Template) -> list[str]:
        """Names of the counterfactual slots in use, in the order of the file."""
        holes = (*template.holes, *(claim.holes if CLAIM in template.holes else ()))
        used = {hole.slot for hole in holes}
        return [name for name in self.part.slots if name in used]

    def claim(self, topic: str, language: str) -> Template:
        """The topic's claim as a template (groups may inflect it); empty when it has none."""
        texts = self.part.topics[topic].claim
        return cut(texts[language])[0] if texts else Template((), ())

    def count(self) -> int:
        """Open prompts that the battery makes in all languages, without making them."""
        total = 0
        for language in self.part.languages:
            templates = self.templates(language)
            for topic in self.part.topics:
                claim = self.claim(topic, language)
                for template in templates.values():
                    used = [self.part.slots[name] for name in self.slots_of(template, claim)]
                    total += math.prod(len(groups) * schema.fillers_of(groups) for groups in used)
                if total > MAX_PROMPTS:
                    return total
        return total

    def templates(self, language: str) -> dict[str, Template]:
        """The templates of one language, cut, in the order of the file."""
        wordings = {name: part.__pydantic_extra__[language] for name, part in self.part.templates.items()}
        return {name: cut(self.text_of(wording))[0] for name, wording in wordings.items()}

    def prompts(self) -> Iterator[Prompt]:
        """Open prompts of every language, in the order of the file."""
        for language in self.part.languages:
            templates = self.templates(language)
            for topic in self.part.topics:
                claim = self.claim(topic, language)
                for name, template in templates.items():
                    for choice in self.choices(template, claim):
                        yield from self.prompt(topic, name, template, claim, choice, language)

    def prompt(
        self, topic: str, name: str, template: Template, claim: Template, choice: Choice, language: str
    ) -> Iterator[Prompt]:
        """One prompt, or none when its text is at fault."""
        values = {
            hole: self.form(hole, group, filler, language)
            for slot, group, filler in choice
            for hole in (*template.holes, *claim.holes)
            if hole.slot == slot
        }
        loc: Trail = ("templates", name, language)
        if CLAIM in template.holes:
            self.weigh(loc, claim.length(values) + len(claim.pieces))
            values[CLAIM] = claim.fill(values)
        titles = self.part.topics[topic].title
        if titles is not None:
            values[Hole("title")] = titles[language]
        length = template.length(values)
        if length > schema.MAX_TEXT:
            what = f"the prompt of topic `{topic}` would have more than {schema.MAX_TEXT} characters; expected fewer"
            self.fault(loc, what)
            return
        self.weigh(loc, length + len(template.pieces))
        text = template.fill(values)
        if not text:
            self.fault(loc, f"the prompt of topic `{topic}` is empty; expected a text")
            return
        if text != text.rstrip():
            self.fault(loc, "the prompt ends in a blank; expected none (in a `|` text, write `|-`)")
            return
        framing = self.part.templates[name].framing
        several = [f"{slot}={filler}" for slot, _, filler in choice if schema.fillers_of(self.part.slots[slot]) > 1]
        pair = f"{topic}/{name}/{language}" + ("#" + ",".join(several) if several else "") if choice else ""
        groups = tuple((slot, group) for slot, group, _ in choice)
        prompt = Prompt(
            text=text, language=language, topic=topic, template=name, framing=framing, groups=groups, pair=pair
        )
        where = f"topic `{topic}`, template `{name}`" + "".join(f", {slot} `{group}`" for slot, group in groups)
        where += "".join(f", filler {filler.partition('=')[2]}" for filler in several)
        if self.first(prompt, loc, where):
            yield prompt

    def first(self, prompt: Prompt, loc: Trail, where: str) -> bool:
        """Whether no earlier prompt of this language has the same text; notes a fault otherwise."""
        other, template, topic = self.seen.setdefault(prompt.prompt_id, (where, prompt.template, prompt.topic))
        if other == where:
            return True
        cause: tuple[object, object] = (prompt.topic, topic)
        if template != prompt.template:
            cause = (loc, template)
        elif topic == prompt.topic:
            cause = ("fillers", tuple(text.partition(f"template `{template}`")[2] for text in (where, other)))
        self.repeated[cause] += 1
        if self.repeated.total() > MAX_FAULTS:
            self.stop()
        if prompt.kind == "open" and self.repeated[cause] > 1:
            return False
        what = f"the prompt `{show(prompt.text, 40)}` of {where} is the same as that of {other}; expected it once"
        if prompt.kind == "open" and template == prompt.template:
            what += f" ({self._why(template, prompt.language, same_topic=topic == prompt.topic)})"
        self.fault(loc, what)
        return False

    def _why(self, template: str, language: str, *, same_topic: bool) -> str:
        """What makes two prompts of one template equal."""
        if same_topic:
            return "do two fillers of a slot have the same text?"
        holes = self.templates(language)[template].holes
        asks = any(hole.slot in ("claim", "title") for hole in holes)
        return "do two topics have the same claim or title?" if asks else "does the template use {claim} or {title}?"

    def stems(self) -> tuple[list[ContinuationPair], dict[str, Prompt]]:
        """Stem × topic × pair of every language, and the neutral stem of each language that has one."""
        pairs: list[ContinuationPair] = []
        for language in self.part.languages:
            items = self.items(language)
            weight = sum(len(claim) + len(counter) for _, _, claim, counter in items)
            for name, texts in self.part.stems.items():
                stem = Prompt(text=_plain(texts[language]), language=language, topic="", template=name, kind="stem")
                loc: Trail = ("stems", name, language)
                if not self.first(stem, loc, f"stem `{name}`"):
                    continue
                self.weigh(loc, weight + len(items) * len(stem.text))
                pairs += [
                    ContinuationPair(stem=stem, topic=topic, item=item, claim=claim, counter=counter)
                    for topic, item, claim, counter in items
                ]
                if len(pairs) > MAX_PROMPTS:
                    self.fault(("stems",), f"stems × topics × pairs are more than {MAX_PROMPTS}; expected fewer")
                    self.stop()
        neutral = {
            language: Prompt(text=_plain(text), language=language, topic="", template="neutral", kind="neutral")
            for language, text in (self.part.neutral or {}).items()
        }
        for language, prompt in neutral.items():
            self.first(prompt, ("neutral", language), "the neutral stem")
        return pairs, neutral

    def items(self, language: str) -> list[tuple[str, str, str, str]]:
        """(topic, item, claim, counter-claim) of every pair in one language."""
        return [
            (topic, f"pair{position}", _plain(claim), _plain(counter))
            for topic, part in self.part.topics.items()
            for position, (claim, counter) in enumerate((part.pairs or {}).get(language, ()))
        ]


def _plain(text: str) -> str:
    """A text without slots: only doubled braces become single."""
    return cut(text)[0].fill({})


def decodings(part: schema.BatteryPart) -> tuple[Decoding, ...]:
    """The battery's own decoding, then one for every value of its sweep that differs from it."""
    own = part.sampling
    base = Decoding(
        temperature=float(own.temperature),
        top_k=own.top_k,
        top_p=float(own.top_p),
        min_p=float(own.min_p),
        repetition_penalty=float(own.repetition_penalty),
        max_new_tokens=own.max_new_tokens,
        stop=tuple(own.stop),
    )
    swept = [base]
    swept += [replace(base, temperature=float(value)) for value in part.sweep.temperature]
    swept += [replace(base, top_k=value) for value in part.sweep.top_k]
    swept += [replace(base, top_p=float(value)) for value in part.sweep.top_p]
    return tuple({decoding.decoding_id: decoding for decoding in swept}.values())


def render(
    source: Source, part: schema.BatteryPart
) -> tuple[tuple[Prompt, ...], tuple[ContinuationPair, ...], dict[str, Prompt]]:
    """Render everything that a battery asks.

    Args:
        source: for the places of faults.
        part: a battery without faults of form and meaning.

    Returns:
        Open prompts of every language in the order of the file; continuation pairs; language -> neutral stem.

    Raises:
        BatteryError: too many or too long prompts, prompts that end in a blank, prompts that are equal.
    """
    renderer = _Renderer(source, part)
    if renderer.count() > MAX_PROMPTS:
        what = f"topics × templates × groups × languages make more than {MAX_PROMPTS} prompts; expected fewer, split it"
        raise BatteryError([source.fault(("templates",), what, key=True)])
    prompts = tuple(renderer.prompts())
    pairs, neutral = renderer.stems()
    if renderer.faults:
        renderer.stop()
    return prompts, tuple(pairs), neutral
