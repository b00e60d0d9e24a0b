"""Reading dumps whole, in stretches as the engine does, and record by record."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from biasaudit.corpus import reading, sources
from biasaudit.corpus.batch import Batch
from biasaudit.corpus.reading import SourceOptions, Survey
from biasaudit.records import Message, Reject

Record = tuple[str, str | None, str | None, str | None, int, int, tuple[str, ...]]
Outcome = tuple[list[Record], list[Reject], int, Counter[str]]
"""Records, rejects, bytes of separators, notes."""


def one_by_one(path: Path, options: SourceOptions) -> Outcome:
    """What the reference reader says."""
    found = sources.read(path, options)
    records, rejects, separators = [], [], 0
    for item in reading.audited(found, path.name):
        if isinstance(item, Message):
            records.append((item.text, item.message_id, item.channel_id, item.date, item.offset, item.length,
                            item.flags))  # fmt: skip
        elif isinstance(item, Reject):
            rejects.append(item)
        else:
            separators += item.length
    names = ("misread_by_a_csv_parser", "forged_record_starts")
    return records, rejects, separators, Counter({n: found.notes[n] for n in names if found.notes.get(n)})


def in_stretches(path: Path, options: SourceOptions, cuts: list[int]) -> Outcome:
    """The same through stretches cut at `cuts`, wrong guesses read again, as the engine does."""
    survey = sources.survey(path, options)
    edges = [0, *sorted({cut for cut in cuts if 0 < cut < survey.size}), survey.size]
    if survey.cuts is not None:
        edges = [0, survey.size]
    batches: list[Batch] = []
    reached = 0
    for start, stop in pairwise(edges):
        guessed = list(sources.stretch(survey, start, stop, synced=start == 0))
        for batch in guessed:
            batch.check(path.name)
        if not guessed or guessed[0].start != reached:
            guessed = list(sources.stretch(survey, reached, stop, synced=True)) if reached < stop else []
        for batch in guessed:
            assert batch.start == reached
            batch.check(path.name)
            reached = batch.end
        batches += guessed
    assert reached == survey.size
    return outcome(batches, survey)


def outcome(batches: list[Batch], survey: Survey) -> Outcome:
    """Batches of a whole file as the reference would say it."""
    records: list[Record] = []
    notes: Counter[str] = Counter()
    for batch in batches:
        columns = [c.to_pylist() for c in (batch.text, batch.message_id, batch.channel_id, batch.date)]
        places = zip(batch.offset.tolist(), batch.length.tolist(), strict=True)
        for n, (row, place) in enumerate(zip(zip(*columns, strict=True), places, strict=True)):
            records.append((*row, *place, batch.flags.get(n, ())))
        notes.update(batch.notes)
    rejects = [reject for batch in batches for reject in batch.rejects]
    return records, rejects, sum(batch.separators for batch in batches), Counter({n: c for n, c in notes.items() if c})


# ---------------------------------------------------------------------------- dumps to read

DATE = "2021-03-04 10:00:00+00:00"
HEADER = ("id", "channel_id", "date", "message")
_SCRAPS = [
    "Olá", "mundo", "ção", "😀", " ", "  ", ",", ";", "\t", "|", '"', '""', '"a"', "\n", "\n\n", "\r", "\r\n", "\\", '\\"',
    "\x00", "1", "95%", "\ufeff", "NA", "12,34,", f"9,77,{DATE},", "id,channel_id,date,message", "\nid,channel_id,date,message\n",
    f"\n99,77,{DATE},x", f'\n"98","77","{DATE}","y"\n', f'\n"97,77,{DATE},z', "\n5,6,,t", "\u2028", "\x1a", "x" * 200,
]  # fmt: skip


def random_dump(rng: random.Random) -> tuple[bytes, SourceOptions]:
    """A dump in a random dialect, with garbage in it, and what its user says of it."""
    delimiter = rng.choice([",", ",", ",", ";", "\t", "|"])
    newline = rng.choice(["\n", "\n", "\n", "\r\n", "\r"])
    style = rng.choice(["minimal", "all", "none", "none", "some", "double", "backslash", "wrapped"])
    order = list(HEADER) if rng.random() < 0.8 else rng.sample(HEADER, 4)
    clean = rng.random() < 0.4
    lines = [delimiter.join(order)] if rng.random() < 0.8 else []
    for n in range(rng.randrange(1, 60)):
        scraps = _SCRAPS[:12] if clean else _SCRAPS
        text = "".join(rng.choice(scraps) for _ in range(rng.randrange(6)))
        ids = str(n) if rng.random() < 0.95 else rng.choice(["007", "1e3", "", " 8 ", "9" * 30, "é1"])
        channel = rng.choice(["77", "77", "77", "-1001", "12"])
        date = DATE if rng.random() < 0.97 else rng.choice(["04/03/2021 10:00", "", "2021-03-04", "ontem"])
        row = dict(zip(HEADER, (ids, channel, date, text), strict=True))
        lines.append(delimiter.join(_cell(row[name], name, style, delimiter, rng) for name in order))
        if style == "wrapped":
            lines[-1] = '"' + lines[-1].replace('"', '""') + '"'
        if rng.random() < 0.03 and not clean:
            lines.append(rng.choice(["", "lixo", lines[0], "\ufeff" + lines[0], '"', " ", "1,2", "\ufeff" + lines[-1]]))
    content = newline.join(lines) + (newline if rng.random() < 0.8 else "")
    raw = content.encode(rng.choice(["utf-8"] * 6 + ["utf-8-sig", "utf-16", "utf-16-be", "cp1252"]), "replace")
    if rng.random() < 0.2:
        raw = raw[: rng.randrange(len(raw) // 2, len(raw) + 1)]
    quoting = rng.choice([None] * 8 + ["quoted", "unquoted", "mixed", "double", "backslash", "wrapped"])
    where = {"channel_id": "77"} if rng.random() < 0.1 and lines[0] == delimiter.join(order) else {}
    return raw, SourceOptions(quoting=quoting, where=where, encoding=rng.choice([None] * 9 + ["latin-1"]))


def _cell(value: str, name: str, style: str, delimiter: str, rng: random.Random) -> str:
    special = any(c in value for c in (delimiter, '"', "\n", "\r"))
    if style == "none" or (style in ("minimal", "wrapped") and not special):
        return value
    if style == "some" and rng.random() < 0.5:
        return value
    if style in ("double", "backslash", "some") and name != "message":
        return value
    if style == "backslash":
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    quoted = '"' + value.replace('"', '""') + '"'
    return '"' + quoted.replace('"', '""') + '"' if style == "double" else quoted


def _base(cell: Callable[[int], str], newline: str = "\n") -> bytes:
    rows = [",".join(HEADER), *(f"{n},{7 + (n > 6)},{DATE},{cell(n)}" for n in range(1, 13))]
    return (newline.join(rows) + newline).encode()


BASES = (
    _base(lambda n: f'"m ""{n}"", sim\nnão"'),
    _base(lambda n: f'm "{n}", sim\nnão\n\nfim'),
    _base(lambda n: f'"m ""{n}"", sim"' if n % 2 else f'm {n}, "não"', "\r\n"),
    _base(lambda n: f'"m \\"{n}\\", sim"'),
    b"id;text;x\n" + b"".join(b'%d;"a;""b""\n%d";c\n' % (n, n) for n in range(12)),
)


def damaged(raw: bytes, rng: random.Random) -> bytes:
    """Bytes flipped, cut, dropped and spliced."""
    found = bytearray(raw)
    for _ in range(rng.randrange(1, 7)):
        at = rng.randrange(len(found))
        kind = rng.randrange(5)
        if kind == 0:
            found[at] = rng.randrange(256)
        elif kind == 1:
            found[at] = rng.choice(b'",\n\r;\\0 ')
        elif kind == 2:
            other = rng.choice(BASES)
            place = rng.randrange(len(other))
            found[at:at] = other[place : place + rng.randrange(80)]
        elif kind == 3 and at > 40:
            del found[at:]
        else:
            del found[at : at + rng.randrange(1, 9)]
        if len(found) < 30:
            break
    return bytes(found)
