"""Mutated files: no crash, every byte in a span, the same records however the file is cut."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from biasaudit.corpus import sources
from biasaudit.corpus.batch import Batch, spans_of
from biasaudit.corpus.reading import Gap, SourceOptions, Survey
from biasaudit.errors import CorpusError

ROWS = [
    {"id": n, "type": "message", "date": "2021-03-04", "text": text, "text_entities": [{"type": "plain", "text": "x"}]}
    for n, text in enumerate(["olá", 'ela "disse"', "\\", "a\nb", "😀" * 9, ["a", {"type": "bold", "text": "b"}], ""])
]
SEEDS = {
    "a.jsonl": "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS),
    "chat.json": json.dumps({"name": "x", "id": 5, "messages": ROWS}, ensure_ascii=False, indent=1),
    "account.json": json.dumps({"a": [1], "chats": {"list": [{"id": n, "messages": ROWS[:3]} for n in range(3)]}}, indent=1),
    "list.json": json.dumps([{**row, "type": "x"} for row in ROWS], ensure_ascii=False),
    "keyed.json": json.dumps({str(row["id"]): {**row, "type": "x"} for row in ROWS}, indent=2),
    "whats.txt": "".join(f"0{1 + n}/03/2021 14:3{n} - Ana: {row['text']}\n" for n, row in enumerate(ROWS)) * 2,
    "a.txt": "\n\n".join(str(row["text"]) for row in ROWS) * 9,
}  # fmt: skip
PIECES = [b'"', b"\\", b"{", b"}", b"[", b"]", b",", b"\n", b"\r", b"\x00", b"\xff", b'"messages": [', b'{"id": 1, "type": "message"', b"\xef\xbb\xbf"]  # fmt: skip


def mutated(raw: bytes, rng: random.Random) -> bytes:
    for _ in range(rng.randint(1, 4)):
        at, to = sorted(rng.randrange(len(raw) + 1) for _ in range(2))
        choice = rng.randrange(6)
        if choice == 0:
            raw = raw[:at]
        elif choice == 1:
            raw = raw[:at] + raw[to:]
        elif choice == 2:
            raw = raw[:to] + raw[at:]
        elif choice == 3 and raw:
            at = min(at, len(raw) - 1)
            raw = raw[:at] + bytes([raw[at] ^ (1 << rng.randrange(8))]) + raw[at + 1 :]
        else:
            raw = raw[:at] + rng.choice(PIECES) * rng.randint(1, 3) + raw[at:]
    return raw


def chained(found: Survey, edges: list[int]) -> Iterator[Batch]:
    position = 0
    for start, stop in pairwise(edges):
        if position >= stop:
            continue
        batches = list(sources.stretch(found, start, stop, synced=not start or found.cuts is not None))
        if not batches or batches[0].start != position:
            batches = list(sources.stretch(found, position, stop))
        for batch in batches:
            batch.check(found.label)
            assert batch.start == position
            position = batch.end
            yield batch
    assert position == found.size


@pytest.mark.parametrize("name", SEEDS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_mutated_files_are_read_or_refused(tmp_path: Path, name: str, encoding: str) -> None:
    rng = random.Random(name + encoding)
    path = tmp_path / name
    kind = {".jsonl": "jsonl", ".json": "telegram", ".txt": "text"}[path.suffix]
    refused = 0
    for _ in range(200 if encoding == "utf-8" else 40):
        path.write_bytes(mutated(SEEDS[name].encode(encoding), rng))
        try:
            found = sources.survey(path, SourceOptions(document_chars=20), kind=kind)
        except CorpusError:
            refused += 1
            continue
        whole = [span for batch in chained(found, [0, found.size]) for span in spans_of(batch, "x")]
        if found.cuts is None and found.size > 9:
            cuts = sorted(rng.sample(range(1, found.size), 5))
            again = [span for batch in chained(found, [0, *cuts, found.size]) for span in spans_of(batch, "x")]
            spans = [span for span in whole if not isinstance(span, Gap)]
            assert [span for span in again if not isinstance(span, Gap)] == spans
    assert refused < 150
