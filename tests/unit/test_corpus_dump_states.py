"""Dumps in the states that real ones are found in, each with what must come out, both ways of reading."""

from __future__ import annotations

import csv
import io
import pickle
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from corpus_dumps import DATE, HEADER, in_stretches, one_by_one

from biasaudit.corpus import sources
from biasaudit.corpus.reading import SourceOptions

HEAD = ",".join(HEADER)


def texts(folder: Path, content: str | bytes, **options: object) -> list[str]:
    """Texts of a dump, the same one by one, in one stretch and in several."""
    path = folder / "dump.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    said = SourceOptions(**options)  # type: ignore[arg-type]
    truth = one_by_one(path, said)
    size = path.stat().st_size
    assert in_stretches(path, said, []) == truth
    assert in_stretches(path, said, [size // 4, size // 2, size - 3]) == truth
    return [record[0] for record in truth[0]]


def bare(*rows: str, newline: str = "\n", head: str = HEAD, date: str = DATE) -> str:
    return newline.join([head, *(f"{n},77,{date},{row}" for n, row in enumerate(rows, 1))]) + newline


def proper(*rows: str, newline: str = "\n", quoting: Any = csv.QUOTE_MINIMAL, delimiter: str = ",") -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator=newline, quoting=quoting, delimiter=delimiter)
    writer.writerows([HEADER, *([n, 77, DATE, row] for n, row in enumerate(rows, 1))])
    return out.getvalue()


ROWS = ("a, b", 'c "d"', "e\nf, g\n\nh", "i", "", " ", '"', '""', ",", "\\", "3,5\r7", "N/A")


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_rfc_4180_in_all_its_forms(tmp_path: Path, quoting: int, newline: str) -> None:
    assert texts(tmp_path, proper(*ROWS, newline=newline, quoting=quoting)) == list(ROWS)


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r\r\n"])
def test_unquoted_with_every_line_end(tmp_path: Path, newline: str) -> None:
    rows = [row for row in ROWS if not row.endswith("\r")]
    assert texts(tmp_path, bare(*rows, newline=newline)) == rows


def test_carriage_returns_end_lines_and_messages_hold_line_feeds(tmp_path: Path) -> None:
    assert texts(tmp_path, proper("a\nb", "c, d", "e", newline="\r")) == ["a\nb", "c, d", "e"]
    assert texts(tmp_path, bare("a\nb", "c, d", "e", newline="\r")) == ["a\nb", "c, d", "e"]


def test_a_header_with_another_line_end_than_the_records(tmp_path: Path) -> None:
    assert texts(tmp_path, bare("a, b\nc", 'd "e"', "f", newline="\r\n").replace("\r\n", "\n", 1)) == [
        "a, b\nc", 'd "e"', "f",
    ]  # fmt: skip
    assert texts(tmp_path, bare("a, b\nc", 'd "e"', "f").replace("\n", "\r\n", 1)) == ["a, b\nc", 'd "e"', "f"]


def test_byte_order_marks_twice_and_in_the_middle(tmp_path: Path) -> None:
    assert texts(tmp_path, "\ufeff\ufeff" + bare("a, b", 'c "d"')) == ["a, b", 'c "d"']
    assert texts(tmp_path, ("\ufeff" + bare("a, b", 'c "d"')) * 3) == ["a, b", 'c "d"'] * 3
    assert texts(tmp_path, ("\ufeff" + proper("a, b", 'c "d"', "e\nf")) * 3) == ["a, b", 'c "d"', "e\nf"] * 3


def test_headers_repeated_in_other_quotes_and_late(tmp_path: Path) -> None:
    other = '"id","channel_id","date","message"\n'
    body = bare("a, b", 'c "d"').split("\n", 1)[1]
    assert texts(tmp_path, bare("a, b", 'c "d"') + other + body) == ["a, b", 'c "d"'] * 2
    assert texts(tmp_path, body + HEAD + "\n" + body) == ["a, b", 'c "d"'] * 2


def test_what_stands_below_a_header_of_another_order_is_set_aside_not_mistaken(tmp_path: Path) -> None:
    for form in (bare, proper):
        other = f'date,message,id,channel_id\n{DATE},"x, y",8,77\n{DATE},z,9,77\n'
        path = tmp_path / "dump.csv"
        assert texts(tmp_path, form("a, b", 'c "d"') + other) == ["a, b", 'c "d"']
        _, rejects, separators, _ = one_by_one(path, SourceOptions())
        assert sum(reject.length for reject in rejects) == len(other) - len("date,message,id,channel_id\n")
        assert separators == len(HEAD) + 1 + len("date,message,id,channel_id\n")


def test_the_delimiter_is_no_sign_that_messages_are_full_of(tmp_path: Path) -> None:
    rows = ["a; b; c; d; e; f; g", "h, i"]
    assert texts(tmp_path, bare(*rows).split("\n", 1)[1]) == rows
    assert texts(tmp_path, bare(*rows)) == rows
    assert texts(tmp_path, "sep=\t\n" + bare(*rows).replace(",", "\t")) == [row.replace(",", "\t") for row in rows]


@pytest.mark.parametrize(
    "date",
    ["2021-03-04T10:00:00Z", "04/03/2021 10:00", "4/3/2021 10:00", "2021/03/04", "04.03.2021 10:00", "1614852000",
     "2021-03-04 10:00:00.123456+00:00", "20210304T100000"],
)  # fmt: skip
def test_dates_in_every_form(tmp_path: Path, date: str) -> None:
    assert texts(tmp_path, bare("a, b", 'c "d"\ne', "f", date=date)) == ["a, b", 'c "d"\ne', "f"]


def test_a_record_without_a_date_is_a_record(tmp_path: Path) -> None:
    content = f'{HEAD}\n1,77,{DATE},a, b\n2,77,,c "d"\n3,77,{DATE},e\n'
    assert texts(tmp_path, content) == ["a, b", 'c "d"', "e"]


def test_blanks_behind_every_delimiter(tmp_path: Path) -> None:
    content = f'id, channel_id, date, message\n1, 77, {DATE}, "a, ""b"""\n2, 77, {DATE}, c\n3, 77, {DATE}, "d\ne"\n'
    assert texts(tmp_path, content) == ['a, "b"', "c", "d\ne"]


def test_whole_rows_in_quotes_among_others(tmp_path: Path) -> None:
    content = f'{HEAD}\n"1,77,{DATE},""a, """"b"""""""\n2,77,{DATE},c\n"3,77,{DATE},d, e"\n'
    assert texts(tmp_path, content) == ['a, "b"', "c", "d, e"]


def test_backslashes_before_quotes_and_line_ends(tmp_path: Path) -> None:
    content = f'{HEAD}\n1,77,{DATE},"a \\"b\\",\n c \\\\"\n2,77,{DATE},"\\"d\\" e"\n3,77,{DATE},"f"\n'
    assert texts(tmp_path, content) == ['a "b",\n c \\', '"d" e', "f"]


def test_texts_quoted_twice_some_with_quotes_of_their_own(tmp_path: Path) -> None:
    inner = ['"' + row.replace('"', '""') + '"' for row in ["a, b", 'c "d"', "e", "f\ng"]]
    assert texts(tmp_path, proper(*inner)) == ["a, b", 'c "d"', "e", "f\ng"]


def test_quotes_that_belong_to_an_unquoted_message_stay(tmp_path: Path) -> None:
    rows = ["a, b", '"c"', "d", 'e "f", g', "h\ni"]
    assert texts(tmp_path, bare(*rows)) == rows


def test_what_stands_behind_the_last_record_is_set_aside(tmp_path: Path) -> None:
    for garbage in ("\x1a", "(2 rows affected)\n", "\n\n\n", "   \n"):
        assert texts(tmp_path, proper("a, b", 'c "d"') + garbage) == ["a, b", 'c "d"']


def test_blank_lines_between_quoted_records_belong_to_none(tmp_path: Path) -> None:
    content = proper("a, b", "c", 'd "e"', "f").replace("\n", "\n\n")
    assert texts(tmp_path, content) == ["a, b", "c", 'd "e"', "f"]


@pytest.mark.parametrize("form", [bare, proper])
def test_enormous_messages_and_lone_bytes(tmp_path: Path, form: object) -> None:
    rows = ["x" * 200_000, "," * 3_000, 'a"b,' * 60_000, "\x00\x01\x0b\x0c\x1c\x85\u2028", "y"]
    assert texts(tmp_path, form(*rows)) == rows  # type: ignore[operator]


@pytest.mark.parametrize("form", [bare, proper])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-16"])
def test_utf_16_with_and_without_a_mark_and_with_half_a_pair(tmp_path: Path, form: object, encoding: str) -> None:
    rows = ["ação, 😀", 'c "d"', "e\nf", "meio \ud83d par"]
    raw = form(*rows).encode(encoding, "surrogatepass")  # type: ignore[operator]
    assert texts(tmp_path, raw) == [*rows[:3], "meio \ufffd par"]
    assert texts(tmp_path, raw + b"\x00")[:3] == rows[:3]


def test_one_byte_encodings_told_and_untold(tmp_path: Path) -> None:
    rows = ["ação, sim", "“aspas” – traço", "simples"]
    assert texts(tmp_path, bare(*rows).encode("cp1252")) == rows
    assert texts(tmp_path, bare(*rows).encode("cp1252"), encoding="cp1252") == rows
    assert texts(tmp_path, proper(*rows).encode("cp850", "replace"), encoding="cp850")[0] == rows[0]


def test_the_last_record_cut_anywhere_costs_no_other(tmp_path: Path) -> None:
    for form in (bare, proper):
        whole = form("a, b", 'c "d"', "e\nf").encode()
        for cut in range(len(form("a, b", 'c "d"').encode()) + 2, len(whole)):
            assert texts(tmp_path, whole[:cut])[:2] == ["a, b", 'c "d"'], (form, cut)


def test_ids_are_exact_however_long(tmp_path: Path) -> None:
    ids = ["18446744073709551616", "007", "1e3", "-5", "1.52E+09", "", "9" * 39]
    path = tmp_path / "dump.csv"
    path.write_text(HEAD + "\n" + "".join(f"{i},-100{n},{DATE},texto, {n}\n" for n, i in enumerate(ids)))
    records = one_by_one(path, SourceOptions())[0]
    assert [record[1] or "" for record in records] == ids
    assert in_stretches(path, SourceOptions(), [60, 130])[0] == records


def test_a_survey_travels_to_other_processes_and_says_where_a_file_can_be_cut(tmp_path: Path) -> None:
    path = tmp_path / "dump.csv"
    path.write_text(bare(*ROWS), newline="")
    survey = pickle.loads(pickle.dumps(sources.survey(path, SourceOptions())))
    assert survey.cuts is None
    assert survey.notes["quoting"] == "unquoted"
    assert survey.notes["record_start"] == r"^\d+,-?\d+,\d{4}-…"
    assert sum(len(batch) for batch in sources.stretch(survey, 0, survey.size)) == len(ROWS)
    path.write_bytes(bare(*ROWS).encode("utf-16"))
    assert sources.survey(path, SourceOptions()).cuts == ()


def test_the_real_dump_is_the_same_with_quotes_and_without(shared_data: Path) -> None:
    tables = []
    for name in ("grtm60k_unquoted.csv", "grtm60k_rfc4180.csv"):
        survey = sources.survey(shared_data / "telegram" / name, SourceOptions())
        edges = [0, survey.size // 3, survey.size // 2, survey.size]
        reached, batches = 0, []
        for start, stop in pairwise(edges):
            found = list(sources.stretch(survey, start, stop, synced=start == 0))
            assert found[0].start == reached, "a record's start was guessed wrong"
            reached = found[-1].end
            batches += found
        assert reached == survey.size
        tables.append([(batch.message_id, batch.channel_id, batch.date, batch.text) for batch in batches])
        assert not any(batch.rejects or batch.flags for batch in batches)
    for column in range(4):
        one, two = (pa.chunked_array([row[column] for row in rows]) for rows in tables)
        assert len(one) == 60_000
        assert one.equals(two)


@pytest.mark.parametrize(
    ("name", "column", "count"),
    [("wpp_2020.csv", "text", 2_898), ("semicolon_instagram_anotada.csv", "Comment Text", 1_891),
     ("pt_antivax_tweets_1.csv", "text", 10_101)],
)  # fmt: skip
def test_real_tables_come_whole(shared_data: Path, name: str, column: str, count: int) -> None:
    path = shared_data / "telegram" / name
    options = SourceOptions(columns={column: "text"})
    survey = sources.survey(path, options)
    batches = list(sources.stretch(survey, 0, survey.size))
    delimiter = ";" if "semicolon" in name else ","
    with path.open(encoding="utf-8-sig", newline="") as handle:
        truth = [row[column] for row in csv.DictReader(handle, delimiter=delimiter)]
    assert [text for batch in batches for text in batch.text.to_pylist()] == truth
    assert len(truth) == count
    assert not any(batch.rejects for batch in batches)
