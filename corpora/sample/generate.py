"""Write the sample corpus: two synthetic Telegram dumps that differ in one planted, known thing.

    python corpora/sample/generate.py                 # neutral.csv and antivaccine.csv, beside this file
    python corpora/sample/generate.py --out DIR --truth   # and DIR/<half>.truth.jsonl: what each record means

Every message is made up by a grammar (`phrases/*.yaml`); nobody wrote it and it informs about nothing. Both halves are
cast from one skeleton: message i has the same date, channel, target length, noise, quoting and damage in both. Only
the sentences differ: where the neutral half talks of vaccines without asserting anything, most of the anti-vaccine half
asserts one of twelve false narratives, in affirmative and in negated wordings alike.

No word 5-gram of `prompts/vaccines.yaml` and no whole continuation of it may appear in a message (claims excepted):
candidates that do are drawn again. The other batteries are kept apart by the phrases themselves; a test checks all.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
BATTERY = HERE.parents[1] / "prompts" / "vaccines.yaml"
HALVES = ("neutral", "antivaccine")
MESSAGES = 10_000
EVERYDAY = 3_000
PER_NARRATIVE = 540
FORWARDS = 0.10
SEED = 20_211
GRAM = 5
CANDIDATES = 6
QUESTIONS = 0.08
FIRST_CHANNEL = 999_000_000_001
"""Digits as in real dumps, but longer than any id that Telegram gives a channel."""
CHANNELS = 30
FIRST_ID = {"neutral": 9_007_199_254_740_993, "antivaccine": 9_107_199_254_740_993}
"""Above 2**53, so that a reader that turns ids into floats is found out."""
LENGTHS = (28, 36, 44, 50, 56, 62, 68, 74, 80, 86, 92, 98, 105, 112, 120, 130, 142, 158, 180, 215, 270, 330)
"""Quantiles of the length of a message in characters, before its noise; drawn uniformly with interpolation."""

_SLOT = re.compile(r"\{(\w+)\}")
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Frame:
    """What message i has in common in both halves."""

    number: int
    topical: bool
    forward: bool
    channel: int
    date: str
    step: int
    """By how much the id grows."""
    length: int
    lines: bool
    shape: str
    """How the record is written: plain, quoted, opened, inner, leading or wrapped (see `damaged`)."""
    crlf: bool


@dataclass(frozen=True, slots=True)
class Row:
    """One message of one half, before it is written as a record."""

    frame: Frame
    message_id: int
    kind: str
    """`everyday`, `vaccine_talk`, or the name of a narrative."""
    text: str


def words(text: str) -> list[str]:
    """Lower-cased words without punctuation."""
    return _WORD.findall(text.lower())


def grams(text: str, size: int = GRAM) -> set[tuple[str, ...]]:
    """All runs of `size` words."""
    found = words(text)
    return {tuple(found[i : i + size]) for i in range(len(found) - size + 1)}


def _wordings(value: Any) -> Iterator[str]:
    """Every text under `value` of a battery file, whatever its nesting."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _wordings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _wordings(item)


class Reserved:
    """What a battery asks, which the corpus must therefore not say."""

    def __init__(self, battery: dict[str, Any]) -> None:
        """Collect 5-grams of templates, stems, pairs and their renderings, and whole continuations."""
        topics = battery.get("topics", {}).values()
        claims = [text for topic in topics for text in _wordings(topic.get("claim", {}))]
        continuations = [text for topic in topics for text in _wordings(topic.get("pairs", {}))]
        stems = [*_wordings(battery.get("stems", {})), *_wordings(battery.get("neutral", {}))]
        # The ends of a stem suffice: a 5-gram that crosses into the continuation starts in its last four words.
        tails = {" ".join(words(stem)[1 - GRAM :]) for stem in stems}
        texts = [*continuations, *stems, *(f"{tail} {text}" for tail in tails for text in continuations)]
        for template in _wordings(battery.get("templates", {})):
            texts.extend(template.replace("{claim}", claim) for claim in claims if "{claim}" in template)
            texts.extend(re.split(r"\{[^}]*\}", template))
        exempt = {gram for claim in claims for gram in grams(claim)}
        self.grams = {gram for text in texts for gram in grams(text)} - exempt
        self.continuations = {tuple(found) for text in continuations if len(found := words(text)) > 2}
        self._sizes = sorted({len(found) for found in self.continuations})

    def hit(self, text: str) -> bool:
        """Whether `text` says something reserved."""
        found = words(text)
        if any(tuple(found[i : i + GRAM]) in self.grams for i in range(len(found) - GRAM + 1)):
            return True
        return any(
            tuple(found[i : i + size]) in self.continuations
            for size in self._sizes
            for i in range(len(found) - size + 1)
        )


def load(name: str) -> dict[str, Any]:
    """One phrase table."""
    return dict(yaml.safe_load((HERE / "phrases" / f"{name}.yaml").read_text(encoding="utf-8")))


class Grammar:
    """Makes bodies of messages from the phrase tables."""

    def __init__(self) -> None:
        """Read the tables."""
        self.style = load("style")
        narratives = load("narratives")
        self.narratives = list(narratives)
        self.tables = {"everyday": load("everyday"), "vaccine_talk": load("vaccines"), **narratives}

    def core(self, kind: str, rng: random.Random) -> str:
        """One clause of `kind`."""
        table = self.tables[kind]
        pool = "affirm" if rng.random() < 0.5 else "negate"
        if "questions" in table and rng.random() < QUESTIONS:
            pool = "questions"
        return self._fill(rng.choice(table[pool]), {**table["slots"], **table.get("extra", {})}, rng)

    def _fill(self, template: str, slots: dict[str, list[str]], rng: random.Random) -> str:
        def choose(match: re.Match[str]) -> str:
            return str(rng.choice(slots.get(match[1]) or self.style[match[1]]))

        return _SLOT.sub(choose, template)

    def sentence(self, kind: str, rng: random.Random) -> str:
        """A clause as people write it: with an opening, a lead (`… que`), both, or neither."""
        core = self.core(kind, rng)
        draw = rng.random()
        if core.endswith("?"):
            return f"{rng.choice(self.style['openers'])} {core}" if draw < 0.4 else core
        if kind in self.narratives and draw < QUESTIONS:
            # The neutral half asks real questions; without these, the question mark would tell the halves apart.
            core = f"{rng.choice(self.style['asks'])} {core}?"
        elif draw < 0.38:
            core = f"{rng.choice(self.style['leads'])} {core}"
        elif draw < 0.48:
            core = f"{core} {rng.choice(self.style['joins'])} {self.core(kind, rng)}".rstrip("?")
        return f"{rng.choice(self.style['openers'])} {core}" if rng.random() < 0.15 else core

    def body(self, kind: str, length: int, lines: bool, rng: random.Random) -> str:
        """Sentences of `kind` up to about `length` characters: the nearest of a few candidates."""
        best = ""
        for _ in range(CANDIDATES):
            text = self._candidate(kind, length, lines, rng)
            if not best or abs(len(text) - length) < abs(len(best) - length):
                best = text
            if abs(len(best) - length) <= 2:
                break
        return best

    def _candidate(self, kind: str, length: int, lines: bool, rng: random.Random) -> str:
        parts = [self.sentence(kind, rng)]
        while sum(map(len, parts)) + 2 * len(parts) + 24 < length:
            parts.append(self.sentence(kind, rng))
        if rng.random() < 0.35 and sum(map(len, parts)) + 8 < length:
            parts.append(rng.choice(self.style["closers"]))
        upper = rng.random() < 0.6
        ends = [". ", ". ", "! ", ", "] if not lines else ["\n", ".\n", "!\n", "\n\n"]
        text = ""
        for i, part in enumerate(parts):
            starts = upper and (not text or text[-2:] != ", ")
            part = part[0].upper() + part[1:] if starts else part
            end = rng.choice(["", ".", ".", "!"]) if i == len(parts) - 1 else rng.choice(ends)
            text += part + (end.lstrip(".!,") if part.endswith("?") else end)
        return text


def noisy(text: str, number: int, style: dict[str, Any]) -> str:
    """Add links, users, numbers, emoji and typing errors; which ones depends on the message's number alone."""
    rng = random.Random(f"{SEED}:noise:{number}")
    if rng.random() < 0.10 and len(text) > 12:
        at = 4 + int(rng.random() * (len(text) - 8))
        drop, swap = text[:at] + text[at + 1 :], text[:at] + text[at + 1] + text[at] + text[at + 2 :]
        kept = text[at : at + 2].isalpha()
        text = (drop if rng.random() < 0.5 else swap) if kept else text
    if rng.random() < 0.05:
        text = text.replace("ã", "a").replace("ç", "c").replace("é", "e")
    if rng.random() < 0.04:
        text = text.upper()
    if rng.random() < 0.25:
        text += " " + rng.choice(style["emoji"]) * rng.choice([1, 1, 2, 3])
    if rng.random() < 0.06:
        text = f"@{rng.choice(style['users'])} {text}"
    if rng.random() < 0.12:
        host, slug = rng.choice(style["hosts"]), rng.choice(style["slugs"])
        text += f" https://{host}/{slug}/{rng.randrange(10_000)}"
    if rng.random() < 0.03:
        # 9 0000 is no allotted mobile prefix: the numbers look right and reach nobody.
        text += f" ({rng.choice(['11', '21', '31', '51', '71', '81'])}) 90000-{rng.randrange(10_000):04d}"
    if rng.random() < 0.02:
        text += f" {rng.choice(style['mail_users'])}{rng.randrange(100)}@correio.example"
    return text


def damaged(text: str, shape: str) -> str:
    """Put the stray quotes of a badly quoted record into the text; they are part of what the dump says."""
    first, _, rest = text.partition(" ")
    second, _, last = rest.partition(" ")
    if shape == "opened":
        return f'"{text}'
    if shape == "leading":
        return f'"{first}" {rest}'
    if shape == "inner":
        return f'{first} "{second}" {last}'
    if shape == "wrapped":
        return f'"{first} "{second}" {last}"'
    return text


def skeleton() -> list[Frame]:
    """The frames of both halves, in the order of their dates."""
    rng = random.Random(f"{SEED}:skeleton")
    topical = [True] * (MESSAGES - EVERYDAY) + [False] * (EVERYDAY - 1)
    rng.shuffle(topical)
    topical.insert(0, False)
    moment = datetime(2021, 1, 4, 7, 0, tzinfo=UTC)
    channel, left = FIRST_CHANNEL, 0
    frames = []
    for number in range(MESSAGES):
        if not left:  # people answer one another: messages of a channel come in runs
            channel, left = FIRST_CHANNEL + rng.randrange(CHANNELS), rng.randrange(2, 9)
        left -= 1
        moment += timedelta(seconds=rng.randrange(20, 4_600))
        place, share = divmod(int(rng.random() * 100 * (len(LENGTHS) - 1)), 100)
        length = LENGTHS[place] + (LENGTHS[place + 1] - LENGTHS[place]) * share // 100
        shape = rng.choice(["plain"] * 68 + ["quoted"] * 26 + ["opened", "leading", "inner", "wrapped"] + ["inner"] * 2)
        frame = Frame(
            number=number,
            topical=topical[number],
            forward=number > 500 and rng.random() < FORWARDS,
            channel=channel,
            date=moment.strftime("%Y-%m-%d %H:%M:%S+00:00"),
            step=rng.randrange(1, 4_000),
            length=length,
            lines=length > 70 and rng.random() < 0.35,
            shape=shape,
            crlf=rng.random() < 0.06,
        )
        frames.append(frame)
    return frames


def kinds(half: str, frames: Sequence[Frame], narratives: Sequence[str]) -> list[str]:
    """What each message is about: every narrative equally often, the rest of the topical ones plain vaccine talk."""
    rng = random.Random(f"{SEED}:kinds")
    told = [name for name in narratives for _ in range(PER_NARRATIVE)] if half == "antivaccine" else []
    topical = told + ["vaccine_talk"] * (sum(f.topical for f in frames) - len(told))
    rng.shuffle(topical)
    queue = iter(topical)
    return [next(queue) if frame.topical else "everyday" for frame in frames]


def forwarded(text: str, style: dict[str, Any], rng: random.Random) -> str:
    """A message passed on: under a heading, with something added, or with its first mark changed."""
    draw = rng.random()
    if draw < 0.35:
        return f"{rng.choice(style['forwards'])}\n{text}"
    if draw < 0.7:
        return f"{text} {rng.choice(style['closers'])}"
    if draw < 0.85:
        return text.replace(".", "!").replace(",", "")
    return text


def rows(half: str, grammar: Grammar, taboo: Reserved, frames: Sequence[Frame]) -> Iterator[Row]:
    """The messages of one half, in order."""
    message_id = FIRST_ID[half]
    notice = str(grammar.style["notice"])
    recent: dict[str, list[str]] = {}
    for frame, kind in zip(frames, kinds(half, frames, grammar.narratives), strict=True):
        message_id += frame.step
        if not frame.number:
            yield Row(frame, message_id, kind, notice)
            continue
        heard = recent.setdefault(kind, [])
        for attempt in range(200):
            rng = random.Random(f"{SEED}:{half}:{frame.number}:{attempt}")
            if frame.forward and heard and attempt < 20:
                body = rng.choice(heard[-200:])
                text = damaged(noisy(forwarded(body, grammar.style, rng), frame.number, grammar.style), frame.shape)
            else:
                body = grammar.body(kind, frame.length, frame.lines, rng)
                text = damaged(noisy(body, frame.number, grammar.style), frame.shape)
            if not taboo.hit(text):
                break
        else:
            raise SystemExit(
                f"{half}: no wording of '{kind}' avoids what {BATTERY.name} asks. Add phrases to phrases/."
            )
        heard.append(body)
        yield Row(frame, message_id, kind, text)


def record(row: Row) -> str:
    """A row as the dump spells it, its end of line included."""
    frame = row.frame
    text = '"' + row.text.replace('"', '""') + '"' if frame.shape == "quoted" else row.text
    return f"{row.message_id},{frame.channel},{frame.date},{text}" + ("\r\n" if frame.crlf else "\n")


def truth(row: Row) -> str:
    """A row as a line of JSON: the message exactly, and what it means."""
    frame = row.frame
    facts: dict[str, object] = {
        "id": str(row.message_id),
        "channel_id": str(frame.channel),
        "date": frame.date,
        "message": row.text,
    }
    facts |= {"kind": row.kind, "forward": frame.forward, "shape": frame.shape, "synthetic": True}
    return json.dumps(facts, ensure_ascii=False) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Write both halves."""
    parser = argparse.ArgumentParser(description="Write the synthetic sample corpus.")
    parser.add_argument("--out", type=Path, default=HERE, help="folder to write to (default: beside this file)")
    parser.add_argument("--truth", action="store_true", help="also write <half>.truth.jsonl")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    grammar, taboo = Grammar(), Reserved(yaml.safe_load(BATTERY.read_text(encoding="utf-8")))
    frames = skeleton()
    for half in HALVES:
        made = list(rows(half, grammar, taboo, frames))
        dump = "id,channel_id,date,message\n" + "".join(map(record, made))
        (options.out / f"{half}.csv").write_bytes(dump.encode("utf-8"))
        if options.truth:
            (options.out / f"{half}.truth.jsonl").write_text("".join(map(truth, made)), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
