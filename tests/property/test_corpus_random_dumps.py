"""Random messages written in every decodable dialect come back; random damage is never lost or merged silently."""

from __future__ import annotations

import csv
import io
import re
import tempfile
from pathlib import Path

import pytest
from corpus_dumps import in_stretches
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from biasaudit.corpus import reading, sources
from biasaudit.corpus.reading import SourceOptions
from biasaudit.records import Message, Reject

DATE = "2021-03-04 10:00:00+00:00"
HEADER = ["id", "channel_id", "date", "message"]
RECORD_START = re.compile(
    r'(?m)^(?:"?[^,\r\n"]*"?[,;\t]"?[^,\r\n"]*"?[,;\t]"?(?:\d{4}-\d\d-\d\d|\d\d/\d\d/\d{4})'
    r'|"?\d+"?[,;\t]"?-?\d+"?[,;\t](?:"")?[,;\t])'
)
UNDATED = re.compile(r'(?m)^"?\d+"?[,;\t|]"?-?\d+"?[,;\t|](?:""|NULL|\\N)?[,;\t|]')

MESSAGE = st.text(
    alphabet=st.sampled_from(list('abc çé😀,,;;\t""\'\n\n\r.:-/\\0129 ')) | st.characters(exclude_categories=["Cs"]),
    max_size=40,
)
MESSAGES = st.lists(MESSAGE, min_size=1, max_size=12)


def read(content: bytes, **options: object) -> list[Message]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "dump.csv"
        path.write_bytes(content)
        said = SourceOptions(**options)  # type: ignore[arg-type]
        found = sources.read(path, said)
        messages = [item for item in reading.audited(found, "dump.csv") if isinstance(item, Message)]
        cuts = [len(content) // 3, len(content) // 2]
        assert [record[0] for record in in_stretches(path, said, cuts)[0]] == [message.text for message in messages]
        return messages


@settings(max_examples=80)
@given(MESSAGES, st.sampled_from([",", ";", "\t"]), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_properly_quoted_messages_come_back(texts: list[str], delimiter: str, newline: str, every: bool) -> None:
    out = io.StringIO()
    quoting = csv.QUOTE_ALL if every else csv.QUOTE_MINIMAL
    writer = csv.writer(out, delimiter=delimiter, lineterminator=newline, quoting=quoting)
    writer.writerow(HEADER)
    writer.writerows([n, -77, DATE, text] for n, text in enumerate(texts, 1))
    found = read(out.getvalue().encode(), quoting="quoted")
    assert [m.text for m in found] == texts
    assert [m.message_id for m in found] == [str(n) for n in range(1, len(texts) + 1)]


@settings(max_examples=80)
@given(MESSAGES, st.sampled_from([",", ";", "\t"]), st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
def test_messages_without_any_quoting_come_back(texts: list[str], delimiter: str, encoding: str) -> None:
    assume(not any(RECORD_START.search(text) for text in texts))
    assume(not any(line == delimiter.join(HEADER) for text in texts for line in text.split("\n")))
    lines = [delimiter.join(HEADER), *(delimiter.join([str(n), "-77", DATE, text]) for n, text in enumerate(texts, 1))]
    found = read(("\n".join(lines) + "\n").encode(encoding), quoting="unquoted")
    assert [m.text for m in found] == texts


@settings(max_examples=60)
@given(MESSAGES)
def test_messages_quoted_twice_come_back(texts: list[str]) -> None:
    out = io.StringIO()
    inner = ['"' + text.replace('"', '""') + '"' for text in texts]
    csv.writer(out, lineterminator="\n").writerows([HEADER, *([n, 7, DATE, text] for n, text in enumerate(inner, 1))])
    assert [m.text for m in read(out.getvalue().encode(), quoting="double")] == texts


@settings(max_examples=60)
@given(MESSAGES)
def test_messages_escaped_by_backslashes_come_back(texts: list[str]) -> None:
    rows = [f'{n},7,{DATE},"' + re.sub(r'(["\\])', r"\\\1", text) + '"' for n, text in enumerate(texts, 1)]
    found = read(("\n".join([",".join(HEADER), *rows]) + "\n").encode(), quoting="backslash")
    assert [m.text for m in found] == texts


@settings(max_examples=60)
@given(MESSAGES, st.booleans())
def test_rows_wrapped_in_quotes_come_back(texts: list[str], every: bool) -> None:
    inner, outer = io.StringIO(), io.StringIO()
    writer = csv.writer(inner, lineterminator="\n", quoting=csv.QUOTE_ALL if every else csv.QUOTE_MINIMAL)
    rows = []
    for n, text in enumerate(texts, 1):
        writer.writerow([n, 7, DATE, text])
        rows.append([inner.getvalue().removesuffix("\n")])
        inner.seek(0)
        inner.truncate()
    csv.writer(outer, lineterminator="\n").writerows([[",".join(HEADER)], *rows])
    assert [m.text for m in read(outer.getvalue().encode(), quoting="wrapped")] == texts


@settings(max_examples=80)
@given(st.lists(st.tuples(MESSAGE, st.booleans()), min_size=1, max_size=12))
def test_quoted_and_bare_messages_side_by_side_come_back(rows: list[tuple[str, bool]]) -> None:
    assume(not any(RECORD_START.search(text) or text.startswith('"') for text, quoted in rows if not quoted))
    assume(not any(line == ",".join(HEADER) for text, quoted in rows if not quoted for line in text.split("\n")))
    cells = ['"' + text.replace('"', '""') + '"' if quoted else text for text, quoted in rows]
    content = "\n".join([",".join(HEADER), *(f"{n},7,{DATE},{cell}" for n, cell in enumerate(cells, 1))]) + "\n"
    assert [m.text for m in read(content.encode(), quoting="mixed")] == [text for text, _ in rows]


@settings(max_examples=60)
@given(MESSAGES, st.sampled_from([",", ";", "\t", "|"]), st.sampled_from(["", "NULL", "\\N"]))
def test_messages_without_quotes_or_dates_come_back(texts: list[str], delimiter: str, none: str) -> None:
    assume(not any(RECORD_START.search(text) or UNDATED.search(text) for text in texts))
    assume(not any(line == delimiter.join(HEADER) for text in texts for line in text.split("\n")))
    rows = [delimiter.join([str(n), "-77", none, text]) for n, text in enumerate(texts, 1)]
    found = read(("\n".join([delimiter.join(HEADER), *rows]) + "\n").encode(), quoting="unquoted", delimiter=delimiter)
    assert [m.text for m in found] == texts
    assert [m.message_id for m in found] == [str(n) for n in range(1, len(texts) + 1)]


@settings(max_examples=60)
@given(st.lists(MESSAGE.filter(lambda text: not re.search(r'"(?=["\r\n]|\Z)|\A"', text)), min_size=1, max_size=12))
def test_messages_in_quotes_that_nobody_escaped_come_back(texts: list[str]) -> None:
    assume(not any(RECORD_START.search(text) for text in texts))
    assume(not any(",".join(HEADER) in text for text in texts))
    rows = [f'{n},7,{DATE},"{text}"' for n, text in enumerate(texts, 1)]
    found = read(("\n".join([",".join(HEADER), *rows]) + "\n").encode(), quoting="enclosed")
    assert [m.text for m in found] == texts


LATIN = st.text(alphabet=st.sampled_from(list("abc çéãõ ÇÉ ,;\"'\n.:-0129")), max_size=40)
"""Without signs such as º, which stand for the second half of a letter in UTF-8: behind Ç it could be either."""


@settings(max_examples=60)
@given(st.lists(LATIN, min_size=1, max_size=12), st.lists(st.booleans(), min_size=12, max_size=12))
def test_rows_in_latin_1_and_in_utf_8_side_by_side_come_back(texts: list[str], latin: list[bool]) -> None:
    out = [",".join(HEADER).encode()]
    for n, (text, old) in enumerate(zip(texts, latin, strict=False), 1):
        cell = text.replace('"', '""')
        out.append(f'{n},7,{DATE},"{cell}"'.encode("latin-1" if old else "utf-8"))
    assert [m.text for m in read(b"\n".join(out) + b"\n", quoting="quoted")] == texts


@settings(max_examples=60)
@given(st.lists(MESSAGE.filter(lambda text: '"' not in text), min_size=12, max_size=16))
def test_the_dialect_is_found_without_a_word_from_the_user(texts: list[str]) -> None:
    assume(not any(RECORD_START.search(text) for text in texts))
    texts = [*texts, "uma, vírgula", 'e "aspas", sim', "duas\nlinhas, aqui"]
    bare = "\n".join([",".join(HEADER), *(f"{n},7,{DATE},{text}" for n, text in enumerate(texts, 1))]) + "\n"
    assert [m.text for m in read(bare.encode())] == texts
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([HEADER, *([n, 7, DATE, text] for n, text in enumerate(texts, 1))])
    assert [m.text for m in read(out.getvalue().encode())] == texts


@settings(max_examples=60)
@given(st.lists(st.lists(MESSAGE.filter(lambda t: "\r" not in t), min_size=3, max_size=3), min_size=1, max_size=8))
def test_any_table_agrees_with_python(rows: list[list[str]]) -> None:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([["texto", "b", "c"], *rows])
    found = read(out.getvalue().encode(), columns={"texto": "text"}, delimiter=",")
    truth = list(csv.reader(io.StringIO(out.getvalue(), newline="")))[1:]
    assert [m.text for m in found] == [row[0] for row in truth if row]


BASE = ("id,channel_id,date,message\n" + "".join(f'{n},7,{DATE},"m ""{n}"", sim\nnão"\n' for n in range(1, 9))).encode()


@settings(max_examples=150)
@given(st.data())
def test_damaged_files_never_crash_and_every_byte_is_accounted_for(data: st.DataObject) -> None:
    raw = bytearray(BASE)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(raw) - 1))
        kind = data.draw(st.sampled_from(["flip", "cut", "splice", "drop"]))
        if kind == "flip":
            raw[at] = data.draw(st.integers(0, 255))
        elif kind == "cut" and at > 40:
            del raw[at:]
        elif kind == "splice":
            raw[at:at] = raw[: data.draw(st.integers(0, 60))]
        else:
            del raw[at : at + data.draw(st.integers(1, 8))]
        if len(raw) < 30:
            return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "dump.csv"
        path.write_bytes(bytes(raw))
        try:
            found = sources.read(path, SourceOptions())
            items = list(reading.audited(found, "dump.csv"))
        except reading.CorpusError:
            return
        assert all(isinstance(item, Message | Reject | reading.Gap) for item in items)


@pytest.mark.parametrize(
    "attack", ['"', '""', "\n", "\r", ",", '1,7,2021-03-04,"\n', "1,7,2021-03-04,a\n", '"\n"', "\x00", "1,"]
)
def test_hostile_files_end_in_seconds(attack: str) -> None:
    body = (attack * 2_000_000)[:200_000]
    for header in ("id,channel_id,date,message\n1,7,2021-03-04,a\n", "a,text\n1,b\n"):
        read((header + body).encode())
