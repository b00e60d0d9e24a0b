"""Hostile input ends in seconds, with a result or a clear error, and touches nothing else."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import struct
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from biasaudit.corpus import sources
from biasaudit.corpus.batch import Batch
from biasaudit.corpus.reading import SourceOptions, Survey
from biasaudit.errors import CorpusError

HEADER = "id,channel_id,date,message\n"
DATE = "2021-03-04 10:00:00+00:00"
REDOS = [
    "a" * 50_000 + "!", "@" * 50_000, "\\" * 50_001, '"' * 50_000, "[" * 50_000 + "](" * 50_000, " " * 100_000 + "x",
    "http://" * 20_000, "1" * 100_000, "\t \t" * 30_000 + ".", ",".join("1" * 30_000), "{" * 50_000, '{"id": 1,' * 9_000,
]  # fmt: skip


@contextmanager
def seconds(limit: float) -> Iterator[None]:
    started = time.process_time()
    yield
    assert time.process_time() - started < limit


def read(path: Path, **options: Any) -> list[Batch]:
    found = sources.survey(path, SourceOptions(**options))
    return read_survey(found)


def read_survey(found: Survey) -> list[Batch]:
    batches = list(sources.stretch(found, 0, found.size))
    position = 0
    for batch in batches:
        batch.check(found.label)
        assert batch.start == position
        position = batch.end
    assert position == found.size
    return batches


def outcome(path: Path) -> str:
    try:
        return f"{len(texts(read(path)))} records"
    except CorpusError as error:
        return str(error)


def texts(batches: list[Batch]) -> list[str]:
    return [text for batch in batches for text in batch.text.to_pylist()]


def reasons(batches: list[Batch]) -> list[str]:
    return [reject.reason for batch in batches for reject in batch.rejects]


def write(path: Path, kind: str, values: list[str]) -> Path:
    rows = [{"id": n, "type": "message", "date": DATE, "text": text} for n, text in enumerate(values)]
    file = path / f"a.{kind}"
    if kind == "json":
        file.write_text(json.dumps({"id": 7, "messages": rows}), "utf-8")
    elif kind == "jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    elif kind == "csv":
        doubled = (text.replace('"', '""') for text in values)
        file.write_text(HEADER + "".join(f'{n},7,{DATE},"{text}"\n' for n, text in enumerate(doubled)), "utf-8")
    else:
        file.write_text("".join(text + "\n" for text in values), "utf-8")
    return file


@pytest.mark.parametrize("kind", ["csv", "jsonl", "json", "txt"])
def test_long_messages_and_catastrophic_strings_come_through(tmp_path: Path, kind: str) -> None:
    values = ["é" * 200_000, "x" * 2_000_000, *REDOS, "fim"]
    path = write(tmp_path, kind, values)
    with seconds(8):
        found = texts(read(path))
    if kind == "txt":
        assert "".join(found).split() == path.read_text("utf-8").split()
    else:
        assert found == values


UNITS = [b"\x00", b'"', b"[", b'{"a":', b"\\", b"1,2,", b"\r", b"\xff", b"{}", b"[],", b'"messages":[']


@pytest.mark.parametrize("kind", ["csv", "jsonl", "json", "txt"])
@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("size", [500_000, pytest.param(4_000_000, marks=pytest.mark.slow)])
def test_megabytes_of_one_thing_end_in_words_or_records(tmp_path: Path, kind: str, unit: bytes, size: int) -> None:
    path = tmp_path / f"a.{kind}"
    path.write_bytes((unit * size)[:size])
    with seconds(size / 200_000):
        answer = outcome(path)
    assert len(answer) < 4000


def test_json_that_is_nested_too_deep_costs_one_record(tmp_path: Path) -> None:
    deep = "[" * 100_000 + "]" * 100_000
    rows = ['{"id": 1, "type": "message", "text": "a"}', f'{{"id": 2, "type": "message", "text": {deep}}}',
            '{"id": 3, "type": "message", "text": "b"}']  # fmt: skip
    (tmp_path / "a.jsonl").write_text("\n".join(rows), "utf-8")
    (tmp_path / "chat.json").write_text('{"id": 7, "messages": [' + ",".join(rows) + "]}", "utf-8")
    (tmp_path / "list.json").write_text("[" + ",".join(rows).replace('"type"', '"kind"') + "]", "utf-8")
    for path in tmp_path.iterdir():
        with seconds(2):
            found = read(path)
        assert (texts(found), reasons(found)) == (["a", "b"], ["not valid JSON"])
    (tmp_path / "deep.json").write_text(deep, "utf-8")
    with seconds(2), pytest.raises(CorpusError, match="none of its first entries is an object"):
        read(tmp_path / "deep.json")


def test_numbers_and_strings_of_megabytes_are_values_like_others(tmp_path: Path) -> None:
    number, text = "9" * 2_000_000, "x" * 2_000_000
    rows = f'{{"id": {number}, "text": "a"}}\n{{"id": "b", "text": "{text}"}}\n'
    (tmp_path / "a.jsonl").write_text(rows, "utf-8")
    (tmp_path / "a.json").write_text("[" + ",".join(rows.split("\n")[:2]) + "]", "utf-8")
    for path in tmp_path.iterdir():
        with seconds(3):
            found = read(path)
        assert texts(found) == ["a", text]
        assert found[0].message_id.to_pylist()[0] == number


def test_a_line_of_forty_megabytes_is_set_aside(tmp_path: Path) -> None:
    with (tmp_path / "a.jsonl").open("w") as file:
        file.write('{"text": "a"}\n{"text": "' + "x" * 40_000_000 + '"}\n{"text": "b"}\n')
    with seconds(4):
        found = read(tmp_path / "a.jsonl")
    assert (texts(found), reasons(found)) == (["a", "b"], ["row over 33554432 bytes"])


def test_forged_starts_of_messages_cost_linear_time(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    start = '{"id": 1, "type": "message", "x": '
    path.write_text('{"id": 7, "messages": [{"id": 0, "type": "message", "text": "a"},' + start * 60_000, "utf-8")
    with seconds(6):
        found = read(path)
    assert texts(found) == ["a"]
    assert sum(r.length for batch in found for r in batch.rejects) == 60_000 * len(start)


def test_pipes_devices_and_links_are_not_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("segredo", "utf-8")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.txt").write_text("texto", "utf-8")
    (folder / "link.txt").symlink_to(secret)
    (folder / "out").symlink_to(tmp_path, target_is_directory=True)
    os.mkfifo(folder / "pipe.txt")
    os.mkfifo(folder / "pipe.json")
    with seconds(1):
        assert [p.name for p in sources.files(folder)] == ["a.txt"]
        for bad in (folder / "pipe.txt", folder / "pipe.json", Path("/dev/zero")):
            with pytest.raises(CorpusError, match="not a regular file"):
                sources.files(bad)
            with pytest.raises(CorpusError, match="not a regular file"):
                sources.survey(bad, SourceOptions(), kind="telegram")


def test_a_file_that_shrinks_is_no_crash(tmp_path: Path) -> None:
    path = write(tmp_path, "jsonl", ["a"] * 1000)
    found = sources.survey(path, SourceOptions())
    path.write_text("", "utf-8")
    with pytest.raises(CorpusError, match="changed while it was read"):
        read_survey(found)


def workbook(name: str) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as file:
        file.writestr(zipfile.ZipInfo(name), "x" * 99)
    return held.getvalue()


@pytest.mark.parametrize("kind", ["csv", "jsonl", "json", "txt", "parquet"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"%PDF-1.7\n1 0 obj\n", "this is a PDF, not"),
        (workbook("xl/workbook.xml"), "this is an Excel workbook, not .* Export it as CSV"),
        (workbook("a.txt"), r"this is a zip archive, not .* Give it the ending \.zip"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "this is an old Excel workbook"),
        (b"\x89PNG\r\n\x1a\n", r"this is a picture \(PNG\)"),
        (b"GIF89a", "this is a picture"),
        (b"\xff\xd8\xff\xe0", "this is a picture"),
        (b"\x7fELF\x02", "this is a program"),
        (b"SQLite format 3\x00", "this is an SQLite database"),
        (gzip.compress(b"id,message\n1,a\n", mtime=0), r"this is a gzip archive, not .* Give it the ending \.gz"),
        (b"\x28\xb5\x2f\xfd\x00", "this is a zstd archive"),
    ],
)
def test_pictures_workbooks_and_archives_are_called_what_they_are(
    tmp_path: Path, kind: str, content: bytes, words: str
) -> None:
    path = tmp_path / f"a.{kind}"
    path.write_bytes(content)
    with pytest.raises(CorpusError, match=words):
        sources.survey(path, SourceOptions())


@pytest.mark.parametrize("kind", ["csv", "jsonl", "json", "txt"])
def test_binary_data_of_no_known_format_are_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    for content in (random.Random(7).randbytes(4000), b"\x00" * 100_000, struct.pack("<999d", *range(999))):
        path.write_bytes(content)
        with pytest.raises(CorpusError, match="this is binary data, not text"):
            sources.survey(path, SourceOptions())


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
def test_texts_with_control_characters_are_texts(tmp_path: Path, encoding: str) -> None:
    rows = [f"{n}\x1fação\x00{'; fim' * 4}\x1b[0m\n" for n in range(200)]
    path = tmp_path / "a.txt"
    path.write_bytes("".join(rows).encode(encoding) + ("\0" * 5000).encode(encoding.removesuffix("-sig")))
    assert sources.survey(path, SourceOptions(encoding=encoding)).kind == "text"
    path.write_bytes("".join(rows).encode(encoding))
    if encoding != "cp1252":
        assert sources.survey(path, SourceOptions()).kind == "text"


def test_a_parquet_file_under_another_name_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"PAR1" + b"\x15\x04" * 99 + b"PAR1")
    with pytest.raises(CorpusError, match=r"this is a Parquet file, not text\. .*--source parquet"):
        sources.survey(path, SourceOptions())
