"""Message dumps in every state of their quotes come back record by record, byte by byte."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from biasaudit.corpus import reading, sources
from biasaudit.corpus.reading import Gap, Item, SourceOptions
from biasaudit.errors import CorpusError
from biasaudit.records import Message, Reject

HEADER = "id,channel_id,date,message"
DATE = "2021-03-04 10:00:00+00:00"


def items(path: Path, **options: object) -> tuple[list[Item], dict[str, object]]:
    found = sources.read(path, SourceOptions(**options))  # type: ignore[arg-type]
    return list(reading.audited(found, path.name)), found.notes


def messages(path: Path, **options: object) -> list[Message]:
    return [item for item in items(path, **options)[0] if isinstance(item, Message)]


def texts(path: Path, **options: object) -> list[str]:
    return [message.text for message in messages(path, **options)]


def dump(folder: Path, content: str | bytes, name: str = "dump.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def unquoted(rows: list[str], newline: str = "\n", header: str | None = HEADER) -> str:
    lines = [header] if header else []
    return newline.join([*lines, *(f"{n},77,{DATE},{text}" for n, text in enumerate(rows, 1))]) + newline


def quoted(rows: list[str], newline: str = "\n", delimiter: str = ",", quoting: int = csv.QUOTE_MINIMAL) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator=newline, delimiter=delimiter, quoting=quoting)
    writer.writerow(HEADER.split(","))
    writer.writerows([n, 77, DATE, text] for n, text in enumerate(rows, 1))
    return out.getvalue()


ROWS = [
    "Olá, mundo",
    'ela disse "não", e saiu',
    "uma\nduas, linhas\n\ne mais",
    "simples",
    "NA",
    "null",
    " ",
    "95% → 1,5",
]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("form", [quoted, unquoted])
def test_every_line_end_and_encoding_comes_back(tmp_path: Path, form: object, encoding: str, newline: str) -> None:
    path = dump(tmp_path, form(ROWS, newline).encode(encoding))  # type: ignore[operator]
    assert texts(path) == ROWS


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_every_delimiter_is_found(tmp_path: Path, delimiter: str, quoting: int) -> None:
    path = dump(tmp_path, quoted(ROWS, delimiter=delimiter, quoting=quoting))
    assert texts(path) == ROWS


def test_unquoted_with_another_delimiter(tmp_path: Path) -> None:
    rows = ["a; b", "c\nd; e", 'f "g"']
    assert texts(dump(tmp_path, unquoted(rows).replace(",", ";"))) == [row.replace(",", ";") for row in rows]


def test_lone_carriage_returns_stay_inside_their_message(tmp_path: Path) -> None:
    rows = ["antes\rdepois", "outra", "mais, uma\r"]
    assert texts(dump(tmp_path, unquoted(rows))) == rows
    assert texts(dump(tmp_path, f"{HEADER}\n1,7,{DATE},antes\rdepois\n2,7,{DATE},outra\n")) == [
        "antes\rdepois",
        "outra",
    ]


def test_a_file_whose_lines_end_in_carriage_returns(tmp_path: Path) -> None:
    assert texts(dump(tmp_path, quoted(["a, b", "c"], "\r"))) == ["a, b", "c"]


def test_mixed_quoting_is_read_record_by_record(tmp_path: Path) -> None:
    content = f'{HEADER}\n1,7,{DATE},"quoted, with ""marks"""\n2,7,{DATE},bare, with "marks"\n3,7,{DATE},"a\nb"\n'
    assert texts(dump(tmp_path, content)) == ['quoted, with "marks"', 'bare, with "marks"', "a\nb"]


def test_one_unbalanced_quote_costs_no_other_record(tmp_path: Path) -> None:
    content = f'{HEADER}\n1,7,{DATE},"a, b"\n2,7,{DATE},"never closed\n3,7,{DATE},"c, d"\n4,7,{DATE},"e ""f"""\n'
    found = texts(dump(tmp_path, content))
    assert found == ["a, b", '"never closed', "c, d", 'e "f"']


def test_texts_quoted_twice_are_unquoted_twice(tmp_path: Path) -> None:
    inner = ['"' + row.replace('"', '""') + '"' for row in ['ele "riu", muito', 'e "foi"']]
    assert texts(dump(tmp_path, quoted(inner))) == ['ele "riu", muito', 'e "foi"']


def test_whole_rows_in_quotes(tmp_path: Path) -> None:
    rows = [f"{n},77,{DATE}," + '"' + text.replace('"', '""') + '"' for n, text in enumerate(["a, b", 'c "d"'], 1)]
    content = HEADER + "\n" + "".join('"' + row.replace('"', '""') + '"\n' for row in rows)
    assert texts(dump(tmp_path, content)) == ["a, b", 'c "d"']


def test_quotes_escaped_by_backslashes(tmp_path: Path) -> None:
    content = f'{HEADER}\n1,7,{DATE},"ele disse \\"sim\\", e foi"\n2,7,{DATE},"nada"\n'
    assert texts(dump(tmp_path, content)) == ['ele disse "sim", e foi', "nada"]


def test_permuted_columns_are_read_by_name(tmp_path: Path) -> None:
    content = f'date,message,id,channel_id\n{DATE},"a, ""b""\nc",5,-7\n{DATE},plain,6,-7\n'
    found = messages(dump(tmp_path, content))
    assert [(m.text, m.message_id, m.channel_id, m.date) for m in found] == [
        ('a, "b"\nc', "5", "-7", DATE), ("plain", "6", "-7", DATE),
    ]  # fmt: skip
    bare = f"date,message,id,channel_id\n{DATE},a, b\nc,5,-7\n{DATE},plain,6,-7\n"
    assert texts(dump(tmp_path, bare)) == ["a, b\nc", "plain"]
    first = f"message,id,channel_id,date\na, b\nc,5,-7,{DATE}\nplain,6,-7,{DATE}\n"
    assert texts(dump(tmp_path, first)) == ["a, b\nc", "plain"]


def test_headers_missing_repeated_and_announced(tmp_path: Path) -> None:
    rows = ["um, dois", "três\nquatro"]
    assert texts(dump(tmp_path, unquoted(rows, header=None))) == rows
    assert texts(dump(tmp_path, unquoted(rows) + unquoted(rows))) == rows * 2
    assert texts(dump(tmp_path, "sep=,\n" + unquoted(rows))) == rows
    assert texts(dump(tmp_path, "\n\n" + unquoted(rows))) == rows
    assert texts(dump(tmp_path, quoted(rows) + quoted(rows))) == rows * 2


def test_ids_stay_text(tmp_path: Path) -> None:
    ids = ["9007199254740993", "007", "1e3", "", "99999999999999999999999"]
    content = HEADER + "\n" + "".join(f"{i},77,{DATE},texto\n" for i in ids)
    assert [m.message_id or "" for m in messages(dump(tmp_path, content))] == ids


def test_latin_1_and_broken_bytes_are_judged_record_by_record(tmp_path: Path) -> None:
    rows = [
        "ação".encode("latin-1"),
        "ação".encode(),
        b"bom \xff d\xc3\xada",
        b"\xed\xa0\xbd\xed\xb8\x80 ok",
        b"n\x00l",
    ]
    content = HEADER.encode() + b"\n" + b"".join(b"1,7,%s,%s\n" % (DATE.encode(), row) for row in rows)
    found = messages(dump(tmp_path, content))
    assert [m.text for m in found] == ["ação", "ação", "bom \ufffd día", "😀 ok", "n\x00l"]
    assert [m.flags for m in found] == [("latin-1",), (), ("invalid-bytes",), ("cesu-8",), ()]


def test_a_truncated_last_record_is_kept_or_set_aside_never_merged(tmp_path: Path) -> None:
    content = quoted(["a, b", "c, d"]) + f'3,77,{DATE},"cut of'
    assert texts(dump(tmp_path, content)) == ["a, b", "c, d", "cut of"]
    found, _ = items(dump(tmp_path, unquoted(["a, b", "c, d"]) + "3,77,20"))
    assert [m.text for m in found if isinstance(m, Message)] == ["a, b", "c, d"]
    assert [r.length for r in found if isinstance(r, Reject)] == [7]


def test_what_is_no_record_is_set_aside_with_its_place(tmp_path: Path) -> None:
    content = f"{HEADER}\nlixo inicial\nmais lixo\n1,7,{DATE},bom, sim\n"
    found, _ = items(dump(tmp_path, content))
    rejected = [item for item in found if isinstance(item, Reject)]
    assert [(r.offset, r.length) for r in rejected] == [(len(HEADER) + 1, 23)]
    assert "lixo" not in repr(rejected)


def test_a_record_inside_a_quoted_message_is_text(tmp_path: Path) -> None:
    rows = [f"veja:\n99,77,{DATE},forjada", f'"\n98,77,{DATE},"x', "fim"]
    assert texts(dump(tmp_path, quoted(rows))) == rows


def test_a_record_forged_inside_an_unquoted_message_is_flagged_and_counted(tmp_path: Path) -> None:
    rows = [f"m, {n}" for n in range(1, 6)]
    rows[2] += f"\n999999,12,{DATE},forjada, sim"
    found, notes = items(dump(tmp_path, unquoted(rows)))
    flagged = [m.message_id for m in found if isinstance(m, Message) and "forged-record-start" in m.flags]
    assert flagged == ["999999"]
    assert notes["forged_record_starts"] == 1


def test_fields_and_rows_over_the_limit_are_set_aside(tmp_path: Path) -> None:
    big = "x" * (reading.FIELD_LIMIT + 1)
    found, _ = items(dump(tmp_path, unquoted(["a, b", big, "c, d"])))
    assert [m.text for m in found if isinstance(m, Message)] == ["a, b", "c, d"]
    assert [r.reason for r in found if isinstance(r, Reject)] == [f"field over {reading.FIELD_LIMIT} bytes"]
    huge = "x" * (reading.ROW_LIMIT + 10)
    found, _ = items(dump(tmp_path, unquoted(["a, b", huge, "c, d"])))
    assert [m.text for m in found if isinstance(m, Message)] == ["a, b", "c, d"]


def test_a_table_is_read_as_python_reads_it(tmp_path: Path) -> None:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerows([["n", "texto", "rótulo"], *([n, text, n % 2] for n, text in enumerate(ROWS))])
    path = dump(tmp_path, out.getvalue())
    assert texts(path, columns={"texto": "text"}) == ROWS
    found, _ = items(path, columns={"texto": "text"}, where={"rótulo": "1"})
    kept = [m.text for m in found if isinstance(m, Message) and reading.FILTERED not in m.flags]
    assert kept == ROWS[1::2]


def test_a_ragged_row_of_a_table_is_set_aside_alone(tmp_path: Path) -> None:
    path = dump(tmp_path, 'a,text\n1,x\n2,y,z\n3,"open\n4,w\n')
    found, _ = items(path)
    assert [m.text for m in found if isinstance(m, Message)] == ["x", "w"]
    assert sum(isinstance(r, Reject) for r in found) == 2


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("", {}, "the file is empty"),
        ("\n\n", {}, "holds no record"),
        ("a,b\n1,2\n", {}, "no column is called text or message. Name it with --map COLUMN=text. Columns: a, b"),
        ("texto,b\n1,2\n", {"columns": {"textos": "text"}}, "no column 'textos'. Did you mean 'texto'"),
        ("text,b\n1,2\n", {"where": {"c": "1"}}, "no column 'c'.*Columns: text, b"),
        ("text,b\n1,2\n", {"columns": {"b": "words"}}, "'words' is not a field"),
    ],
)  # fmt: skip
def test_a_mistake_is_answered_in_one_line(tmp_path: Path, content: str, options: dict, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        items(dump(tmp_path, content), **options)


def test_missing_files_and_devices_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="cannot be read"):
        sources.files(tmp_path / "none.csv")
    with pytest.raises(CorpusError, match="not a regular file"):
        sources.files(Path("/dev/zero"))
    with pytest.raises(CorpusError, match=r"no source reads '\.exe'"):
        sources.kind_of(tmp_path / "a.exe")


def test_the_header_and_the_records_tile_the_file(tmp_path: Path) -> None:
    path = dump(tmp_path, b"\xef\xbb\xbf" + ("sep=,\r\n" + quoted(ROWS, "\r\n")).encode())
    found, _ = items(path)
    assert [item.reason for item in found if isinstance(item, Gap)] == ["byte order mark", "header"]
    raw = path.read_bytes()
    for item in found:
        if isinstance(item, Message):
            assert raw[item.offset : item.offset + item.length].count(b"2021-03-04") == 1
