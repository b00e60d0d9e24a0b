"""What every source promises: spans tile the source, and records do not depend on how it is cut."""

from __future__ import annotations

import json
import pickle
import random
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from biasaudit.corpus import sources
from biasaudit.corpus.batch import Batch, spans_of
from biasaudit.corpus.reading import SourceOptions, Survey
from biasaudit.errors import CorpusError

RECORDS = 24_000
TEXTS = [
    "Olá, mundo 😀",
    'ela disse "não" {"id": 1, "type": "message"} \\" [',
    "uma\nduas\n\ne mais",
    "a\\",
    '\\"]}{[',
    "palavra " * 90 + "fim.",
    " ",
    "x\u2028y\x85z\x00\x1f",
]
FIRST_ID = 9007199254740993


def rows() -> list[dict[str, Any]]:
    return [
        {"id": FIRST_ID + n, "date": "2021-03-04T10:00:00", "text": f"{n} {TEXTS[n % len(TEXTS)]}" * (1 + n % 5)}
        for n in range(RECORDS)
    ]


def exported(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"id": row["id"], "type": "message", **row, "text_entities": []} for row in found]


def chat(number: int, messages: list[dict[str, Any]]) -> dict[str, Any]:
    return {"name": "[Grupo] {x", "type": "public_channel", "id": number, "messages": messages}


def write_text(path: Path) -> None:
    path.write_bytes("".join(row["text"] + "\n" for row in rows()).encode())


def write_whatsapp(path: Path) -> None:
    clock = (f"{1 + n % 28:02}/03/2021 {n % 24:02}:{n % 60:02}" for n in range(RECORDS))
    lines = (f"{when} - Ana {n % 9}: {row['text']}\n" for n, (when, row) in enumerate(zip(clock, rows(), strict=True)))
    path.write_bytes(f"01/03/2021 00:00 - Ana criou este grupo\n{''.join(lines)}".encode())


def write_jsonl(path: Path) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=row["id"] % 2 == 0) + "\n" for row in rows()), "utf-8")


def write_one_chat(path: Path) -> None:
    path.write_text(json.dumps(chat(7, exported(rows())), indent=1, ensure_ascii=False), "utf-8")


def write_account(path: Path) -> None:
    found = exported(rows())
    chats = {"about": "x", "list": [chat(1, found[:9000]), chat(2, []), chat(3, found[9000:9001])]}
    left = {"about": "y", "list": [chat(4, found[9001:])]}
    account = {"contacts": {"list": [{"a": "b"}] * 99}, "chats": chats, "left_chats": left, "end": [1]}
    path.write_text(json.dumps(account, indent=1, ensure_ascii=False), "utf-8")


def write_list(path: Path) -> None:
    path.write_text(json.dumps(rows()), "utf-8")


def write_list_under_a_key(path: Path) -> None:
    path.write_text(json.dumps({"meta": [{"a": 1}], "posts": rows(), "end": {"b": []}}, ensure_ascii=False), "utf-8")


def write_keyed(path: Path) -> None:
    path.write_text(json.dumps({f'k"{n}': row for n, row in enumerate(rows())}, indent=1), "utf-8")


def write_parquet(path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(rows()), path, row_group_size=5000, write_page_checksum=True)


WRITERS: dict[str, Callable[[Path], None]] = {
    "a.txt": write_text, "chat.txt": write_whatsapp, "a.jsonl": write_jsonl, "chat.json": write_one_chat, "account.json": write_account,
    "list.json": write_list, "under.json": write_list_under_a_key, "keyed.json": write_keyed, "a.parquet": write_parquet,
}  # fmt: skip
KINDS = {".txt": "text", ".jsonl": "jsonl", ".json": "telegram", ".parquet": "parquet"}


@pytest.fixture(scope="module", params=[*WRITERS, "hf"])
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Survey:
    folder = tmp_path_factory.mktemp("source")
    if request.param == "hf":
        pytest.importorskip("datasets")
        from biasaudit.corpus.sources import hf

        (folder / "data").mkdir()
        write_jsonl(folder / "data" / "train.jsonl")
        return hf.open_dataset(f"hf:{folder / 'data'}", SourceOptions(), folder)
    path = folder / request.param
    WRITERS[request.param](path)
    return sources.survey(path, SourceOptions(), kind=KINDS[path.suffix])


def chained(found: Survey, edges: list[int]) -> Iterator[Batch]:
    """Read stretch by stretch, as the engine does: what was guessed wrong is read again."""
    position = 0
    for start, stop in pairwise(edges):
        if position >= stop:
            continue
        batches = list(sources.stretch(found, start, stop, synced=found.cuts is not None or start == 0))
        if not batches or batches[0].start != position:
            batches = list(sources.stretch(found, position, stop))
        for batch in batches:
            batch.check(found.label)
            assert batch.start == position
            position = batch.end
            yield batch
    assert position == found.size


def told(batches: Iterator[Batch]) -> tuple[list[object], int, Counter[str]]:
    spans: list[object] = []
    separators, notes = 0, Counter[str]()
    for batch in batches:
        spans += spans_of(batch, "x")
        separators += batch.separators
        notes.update(batch.notes)
        batch.text.validate(full=True)
        assert batch.text.null_count == 0
    return [span for span in spans if type(span).__name__ != "Gap"], separators, notes


def test_spans_tile_the_source_however_it_is_cut(found: Survey) -> None:
    found = pickle.loads(pickle.dumps(found))
    whole = told(chained(found, [0, found.size]))
    rng = random.Random(7)
    if found.cuts is None:
        sets = [sorted(rng.sample(range(1, found.size), 9)) for _ in range(2)]
    else:
        assert len(found.cuts) >= 1
        assert list(found.cuts) == sorted(set(found.cuts))
        sets = [list(found.cuts), rng.sample(found.cuts, 1)]
    for cuts in sets:
        assert told(chained(found, [0, *cuts, found.size])) == whole


def test_every_record_comes_back_with_its_exact_id(found: Survey) -> None:
    spans, _, _ = told(chained(found, [0, found.size]))
    expected = rows()
    if found.kind == "text":
        assert "".join(m.text for m in spans) == "".join(row["text"] + "\n" for row in expected)
        return
    assert [m.text for m in spans] == [row["text"] for row in expected]
    if found.kind == "whatsapp":
        return
    assert [m.message_id for m in spans] == [str(row["id"]) for row in expected]


def test_offsets_lead_back_to_the_source(found: Survey) -> None:
    spans, _, _ = told(chained(found, [0, found.size]))
    if found.unit == "rows":
        assert [(m.offset, m.length) for m in spans] == [(n, 1) for n in range(RECORDS)]
        return
    raw = found.path.read_bytes()
    for message in spans[:: len(spans) // 50]:
        piece = raw[message.offset : message.offset + message.length].decode()
        if found.kind in ("text", "whatsapp"):
            assert piece.partition(": ")[2].removesuffix("\n") == message.text or piece == message.text
        else:
            assert json.loads(piece)["text"] == message.text


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.txt", "account.json", "keyed.json"])
def test_a_source_that_is_cut_while_it_is_read_is_an_error_and_not_the_end_of_the_process(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    if name == "a.csv":
        path.write_text("id,channel_id,date,message\n" + "1,7,2021-03-04,oi, tudo\n" * 300_000)
    else:
        WRITERS[name](path)
    found = sources.survey(path, SourceOptions())
    batches = sources.stretch(found, 0, found.size)
    next(batches)
    with path.open("r+b") as handle:
        handle.truncate(found.size // 3)
    with pytest.raises(CorpusError, match="changed while it was read: it is shorter now"):
        list(batches)
