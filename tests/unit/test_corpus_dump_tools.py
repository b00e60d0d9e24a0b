"""Dumps as other tools write them: more columns, other names, other dates, other escapes; read both ways."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from corpus_dumps import DATE, HEADER, in_stretches, one_by_one

from biasaudit.corpus.dialect import Dialect, recogniser
from biasaudit.corpus.dump_lines import LineFinder
from biasaudit.corpus.reading import SourceOptions

HEAD = ",".join(HEADER)
ROWS = ["a, b", 'c "d" e', "f\n\ng, h", "NA", "i"]


def records(folder: Path, content: str | bytes, **options: object) -> list[tuple[object, ...]]:
    """Text, id, channel and date of every record, the same one by one, in one stretch and in several."""
    path = folder / "dump.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    said = SourceOptions(**options)  # type: ignore[arg-type]
    truth = one_by_one(path, said)
    size = path.stat().st_size
    assert in_stretches(path, said, []) == truth
    assert in_stretches(path, said, [size // 4, size // 2, size - 3]) == truth
    return [record[:4] for record in truth[0]]


def texts(folder: Path, content: str | bytes, **options: object) -> list[object]:
    return [record[0] for record in records(folder, content, **options)]


def joined(*lines: list[str], newline: str = "\n") -> str:
    return "".join(",".join(line) + newline for line in lines)


@pytest.mark.parametrize("place", [0, 1, 3, 4])
def test_unquoted_dumps_with_columns_of_their_own(tmp_path: Path, place: int) -> None:
    rows = [HEADER, *([str(n), "77", DATE, row] for n, row in enumerate(ROWS, 1))]
    more = [["views", ""], *([str(7 * n), "x"] for n in range(1, 6))]
    content = joined(*([*row[:place], *own, *row[place:]] for row, own in zip(rows, more, strict=True)))
    assert records(tmp_path, content) == [(row, str(n), "77", DATE) for n, row in enumerate(ROWS, 1)]


def test_unquoted_dumps_with_the_row_numbers_of_pandas(tmp_path: Path) -> None:
    rows = [["", *HEADER], *([str(n), str(90 + n), "77", DATE, row] for n, row in enumerate([*ROWS, ",,,,"]))]
    assert texts(tmp_path, joined(*rows)) == [*ROWS, ",,,,"]


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_unquoted_dumps_with_mapped_names(tmp_path: Path, encoding: str) -> None:
    content = "código,canal,quando,corpo\n" + joined(*([str(n), "77", DATE, row] for n, row in enumerate(ROWS)))
    columns = {"código": "id", "canal": "channel_id", "quando": "date", "corpo": "text"}
    found = records(tmp_path, content.encode(encoding), columns=columns)
    assert found == [(row, str(n), "77", DATE) for n, row in enumerate(ROWS)]


def test_every_row_ends_in_a_delimiter_that_the_header_has_not(tmp_path: Path) -> None:
    out = io.StringIO()
    csv.writer(out, lineterminator=",\n", quoting=csv.QUOTE_ALL).writerows(
        [str(n), "77", DATE, r] for n, r in enumerate(ROWS)
    )
    assert texts(tmp_path, HEAD + "\n" + out.getvalue()) == ROWS


DATES = ["1609459200", "1609459200123", "2021/01/02 03:04", "02.01.2021 03:04:05", "1/2/21 3:04", "02 Jan 2021 03:04"]


@pytest.mark.parametrize("date", DATES)
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 0, 1, 2), (0, 3, 1, 2)])
def test_dates_of_any_form_before_and_behind_the_message(tmp_path: Path, date: str, order: tuple[int, ...]) -> None:
    rows = ["a, b", 'c "d" e', "f"]
    lines = [HEADER, *([str(n), "77", date, row] for n, row in enumerate(rows, 1))]
    found = records(tmp_path, joined(*([line[n] for n in order] for line in lines)))
    assert found == [(row, str(n), "77", date) for n, row in enumerate(rows, 1)]


@pytest.mark.parametrize("date", DATES)
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_dates_of_any_form_without_a_header(tmp_path: Path, date: str, delimiter: str) -> None:
    content = "".join(delimiter.join([str(n), "-77", date, row]) + "\n" for n, row in enumerate(ROWS, 1))
    assert texts(tmp_path, content) == ROWS


@pytest.mark.parametrize("date", [DATE, "1609459200"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_whole_rows_in_quotes_whose_cells_had_them_before(tmp_path: Path, date: str, quoting: int) -> None:
    content = HEAD + "\n"
    for n, row in enumerate(ROWS, 1):
        out = io.StringIO()
        csv.writer(out, lineterminator="", quoting=quoting).writerow([str(n), "77", date, row])
        content += '"' + out.getvalue().replace('"', '""') + '"\n'
    assert texts(tmp_path, content) == ROWS


def test_line_ends_behind_a_backslash_as_mysql_writes_them(tmp_path: Path) -> None:
    rows = [*ROWS, "C:\\new", "\\"]
    content = ""
    for n, row in enumerate(rows, 1):
        escaped = row.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\\n")
        content += f'{n},77,"{DATE}","{escaped}"\n'
    assert texts(tmp_path, content) == rows


def test_prose_below_a_quoted_first_line_stays_with_it(tmp_path: Path) -> None:
    rows = ['"a b"\n\nc', "d, e", '"f"\ng "h"']
    content = joined(HEADER, *([str(n), "77", DATE, row] for n, row in enumerate(rows)))
    quoted = joined(*([str(n), "77", DATE, f'"x{n}, ""y"""'] for n in range(9)))
    assert texts(tmp_path, content + quoted)[:3] == rows


def test_tables_with_backslashes_before_quotes(tmp_path: Path) -> None:
    content = 'a,t,b\n"1","x \\"y\\", \\\\ z","p"\n"2","u\nv","p"\n"3","w","p"\n'
    assert texts(tmp_path, content, columns={"t": "text"}) == ['x "y", \\ z', "u\nv", "w"]


def test_tables_whose_lines_end_in_carriage_returns_and_hold_line_feeds(tmp_path: Path) -> None:
    content = 'a,t,b\r1,"x\ny",p\r2,u,p\r3,"v, w",p\r'
    assert texts(tmp_path, content, columns={"t": "text"}) == ["x\ny", "u", "v, w"]


def test_tables_joined_with_their_headers(tmp_path: Path) -> None:
    assert texts(tmp_path, "a,t\n1,x\na,t\n2,y\n", columns={"t": "text"}) == ["x", "y"]


def test_dates_that_a_database_calls_null(tmp_path: Path) -> None:
    dates = [DATE, "NULL", "\\N", DATE, "NULL"]
    lines = (f'"{n}","77",{date},"{row}, x"\n' for n, (row, date) in enumerate(zip("abcde", dates, strict=True)))
    assert [(r[0], r[3]) for r in records(tmp_path, HEAD + "\n" + "".join(lines))] == [
        (f"{row}, x", date) for row, date in zip("abcde", dates, strict=True)
    ]


@pytest.mark.parametrize("everywhere", [True, False])
def test_quotes_around_every_text_and_none_doubled_inside(tmp_path: Path, everywhere: bool) -> None:
    mark = '"' if everywhere else ""
    lines = (f'{mark}{n}{mark},{mark}77{mark},{DATE},"{row}"\n' for n, row in enumerate(ROWS, 1))
    assert texts(tmp_path, HEAD + "\n" + "".join(lines)) == ROWS


def test_lost_blocks_of_nul_bytes_between_records_and_at_the_end(tmp_path: Path) -> None:
    lines = [f"{n},77,{DATE},{row}\n" for n, row in enumerate(ROWS, 1)]
    content = HEAD + "\n" + "".join(lines[:2]) + "\0" * 512 + "".join(lines[2:]) + "\0" * 700
    assert texts(tmp_path, content) == ROWS
    quoted = f'{HEAD}\n1,77,{DATE},"a, b"\n' + "\0" * 9 + f'2,77,{DATE},"c, d"\n' + "\0" * 9
    assert texts(tmp_path, quoted) == ["a, b", "c, d"]


def test_messages_of_several_lines_before_the_columns_that_end_their_record(tmp_path: Path) -> None:
    lines = ["id,message,channel_id,date", *(f"{n},{row},77,{DATE}" for n, row in enumerate([*ROWS, "x\n12,y\nz"], 1))]
    assert texts(tmp_path, "\n".join(lines) + "\n") == [*ROWS, "x\n12,y\nz"]


@pytest.mark.parametrize("date", ["", '""', "NULL", "\\N"])
def test_records_without_a_date_are_known_in_bulk(date: str) -> None:
    dialect = Dialect(
        delimiter=b",", columns=HEADER, fields={"id": 0, "channel_id": 1, "date": 2, "text": 3}, header=None, start=0,
        newline=b"\n", messages=True, quoting="unquoted",
    )  # fmt: skip
    lines = [f"{n},-{n},{date},oi, tudo\nse {n},maria,{date},não" for n in range(50)]
    content = "\n".join([*lines, f"1e3,7,{date},prosa", f"7,{'1' * 41},{date},prosa", ""]).encode()
    block = LineFinder(dialect, recogniser(dialect)).block(content, final=True, from_line_start=True)
    assert block.plain.all()
    assert block.line.tolist() == list(range(0, 100, 2))
