"""A dump of any size from real messages: their sentences, dealt out anew so that hardly a record is like another."""

from __future__ import annotations

import csv
import random
import re
from collections.abc import Iterator
from pathlib import Path

SENTENCE = re.compile(r"[^\n.!?…]+[.!?…]*")
EOT = "<|endoftext|>"
FORGED = re.compile(r"\d+,-?\d+,")
HEADER = "id,channel_id,date,message"
SHORTEST, LONGEST = 24, 400
"""Characters of a sentence: shorter ones would make copies, longer ones near copies."""
LEAST, MEAN = 3, 4.2
"""Sentences of a record."""


def sentences(paths: list[Path]) -> list[str]:
    """All different sentences of the messages in some dumps, in order.

    None holds the name of end-of-text, which tiktoken alone, on joined text, would take for a true end; none begins as
    a record does, which no reader of an unquoted dump could tell from one.
    """
    found: dict[str, None] = {}
    for path in paths:
        with path.open(encoding="utf-8", newline="") as handle:
            for row in csv.DictReader(handle):
                pieces = (piece.strip() for piece in SENTENCE.findall(row["message"] or ""))
                found.update(dict.fromkeys(piece for piece in pieces if _usable(piece)))
    return list(found)


def _usable(sentence: str) -> bool:
    return SHORTEST <= len(sentence) <= LONGEST and EOT not in sentence and not FORGED.match(sentence)


def messages(pool: list[str], seed: int) -> Iterator[str]:
    """Messages without end: sentences drawn from `pool`, a third of the joints a line end."""
    draw = random.Random(seed)
    while True:
        count = LEAST + int(draw.expovariate(1 / (MEAN - LEAST)))
        parts = draw.choices(pool, k=count)
        yield parts[0] + "".join(draw.choice((" ", " ", "\n")) + part for part in parts[1:])


def write_dump(path: Path, pool: list[str], *, megabytes: float, dialect: str, seed: int) -> dict[str, int]:
    """Write a dump of about `megabytes` (10⁶ bytes); the same arguments give the same bytes.

    Args:
        path: where; overwritten.
        pool: sentences to draw from.
        megabytes: wanted size.
        dialect: `unquoted` writes messages as they are, line ends and all; `rfc4180` quotes them.
        seed: of the draw.

    Returns:
        Counts of `records`, `lines` and `bytes`.
    """
    draw = random.Random(seed + 1)
    channels = [-1_001_000_000_000 - draw.randrange(10**9) for _ in range(60)]
    limit, records, lines = int(megabytes * 1e6), 0, 1
    with path.open("w", encoding="utf-8", newline="") as handle:
        quoted = csv.writer(handle, lineterminator="\n")
        handle.write(HEADER + "\n")
        for number, text in enumerate(messages(pool, seed)):
            minute = number // 7
            date = f"2021-{1 + minute // 40320 % 12:02}-{1 + minute // 1440 % 28:02}"
            time = f"{minute // 60 % 24:02}:{minute % 60:02}:{number % 7:02}+00:00"
            row = (str(1000 + number), str(channels[draw.randrange(60)]), f"{date} {time}")
            if dialect == "rfc4180":
                quoted.writerow((*row, text))
            else:
                handle.write(",".join((*row, text)) + "\n")
            records += 1
            lines += 1 + text.count("\n")
            if not records % 1000 and handle.tell() >= limit:
                break
    return {"records": records, "lines": lines, "bytes": path.stat().st_size}
