"""Files as researchers in Brazil have them: every row exactly, ids digit for digit, or an error that says what to do."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from biasaudit.corpus import sources
from biasaudit.corpus.reading import SourceOptions
from biasaudit.errors import CorpusError
from biasaudit.records import Message

TEXTS = [
    "Bom dia, grupo! ç ã é", 'Ele disse: "não"; e eu tomei', "Linha um\nlinha dois\n\nlinha quatro",
    "95% eficaz; custa R$ 1.234,56", "tab\tno meio", "NA", "=SOMA(A1:A2)", "'aspas simples'", 'fim, "fim" e fim',
]  # fmt: skip
IDS = [str(1446000000000000001 + 7 * n) for n in range(len(TEXTS))]
HEADER = ["id", "channel_id", "date", "message"]
ROWS = [[one, "-1001522046510", f"2021-03-0{n + 1} 10:00:00", text] for n, (one, text) in enumerate(zip(IDS, TEXTS, strict=True))]  # fmt: skip


def table(
    rows: list[list[str]] = ROWS, header: list[str] = HEADER, *, delimiter: str = ",", newline: str = "\r\n"
) -> str:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator=newline).writerows([header, *rows])
    return out.getvalue()


def with_ids(ids: list[str]) -> list[list[str]]:
    return [[one, *row[1:]] for one, row in zip(ids, ROWS, strict=True)]


def read(path: Path, kind: str | None = None, **columns: str) -> list[Message]:
    found = sources.read(path, SourceOptions(columns={name: field for field, name in columns.items()}), kind=kind)
    return [item for item in found.items if isinstance(item, Message)]


EXPORTS: dict[str, tuple[str, bytes]] = {
    "Excel, Latin-1": ("a.csv", table(delimiter=";").encode("cp1252")),
    "Excel, CSV UTF-8": ("a.csv", table(delimiter=";").encode("utf-8-sig")),
    "Excel, sep= line": ("a.csv", ("sep=;\r\n" + table(delimiter=";")).encode("utf-8-sig")),
    "Excel, Unicode text": ("a.txt", table(delimiter="\t").encode("utf-16")),
    "Excel, Unicode text renamed": ("a.csv", table(delimiter="\t").encode("utf-16")),
    "UTF-16 without a mark": ("a.csv", table(delimiter=";").encode("utf-16-le")),
    "CSV under .txt": ("mensagens.txt", table(delimiter=";").encode("cp1252")),
    "the study's dump under .txt": ("dump.txt", "".join(",".join(row) + "\n" for row in ROWS).encode()),
    "Google Sheets": ("a.csv", table().encode()),
    "two files one after the other": ("a.csv", (table(ROWS[:4], newline="\n") + table(ROWS[4:], newline="\n")).encode()),
    "a blank after every comma": ("a.csv", ("id, channel_id, date, message\n" + "".join(
        f'{one}, {channel}, {date}, "{text.replace(chr(34), 2 * chr(34))}"\n' for one, channel, date, text in ROWS)).encode()),
    "JSON lines of Telethon": ("a.jsonl", "".join(json.dumps({"_": "Message", "id": int(one), "message": text}) + "\n"
                                                    for one, _, _, text in ROWS).encode()),
}  # fmt: skip


@pytest.mark.parametrize("name", EXPORTS)
def test_every_export_comes_back_exactly(tmp_path: Path, name: str) -> None:
    path = tmp_path / EXPORTS[name][0]
    path.write_bytes(EXPORTS[name][1])
    found = read(path)
    assert [message.text for message in found] == TEXTS
    assert [message.message_id for message in found] == IDS


@pytest.mark.parametrize("ids", [["1,446E+18"] * 9, ["1.446E+18"] * 9, [f"'{one}" for one in IDS],
                                 [f"{int(one):,}".replace(",", ".") for one in IDS], ["007"] * 9])  # fmt: skip
def test_ids_stay_as_the_spreadsheet_left_them(tmp_path: Path, ids: list[str]) -> None:
    path = tmp_path / "a.csv"
    path.write_text(table(with_ids(ids), delimiter=";"), newline="")
    found = read(path)
    assert [message.message_id for message in found] == ids
    assert [message.text for message in found] == TEXTS


def test_columns_with_portuguese_names_are_mapped(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(table(header=["Código", "Grupo", "Data de envio", "Conteúdo"], delimiter=";").encode("cp1252"))
    found = read(path, id="Código", date="Data de envio", text="Conteúdo")
    assert [(message.message_id, message.text) for message in found] == list(zip(IDS, TEXTS, strict=True))


def test_a_mapped_table_may_end_in_txt(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(table(header=["Código", "Grupo", "Envio", "Conteúdo"], delimiter="\t").encode("utf-16"))
    assert [message.text for message in read(path, text="Conteúdo")] == TEXTS


@pytest.mark.parametrize("first", ["Texto, data e lugar.", "Querido diário;", "data", "mensagem", "a\tb\tc", "Olá, texto",
                                   "12, 13, 2021", "id,data"])  # fmt: skip
def test_prose_whose_first_line_has_commas_stays_prose(tmp_path: Path, first: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text(f"{first}\n\nUm parágrafo.\n")
    assert sources.survey(path, SourceOptions()).kind == "text"


def test_a_table_under_txt_is_prose_when_the_user_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(table(), newline="")
    assert sources.survey(path, SourceOptions()).kind == "csv"
    assert sources.survey(path, SourceOptions(), kind="text").kind == "text"
    assert sources.survey(path, SourceOptions(lines_per_document=2)).kind == "text"


def test_ids_that_a_gap_turned_into_floats_are_whole_again(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    ids = [1522046510.0, None, 12345678901.0, float("nan"), 9007199254740991.0, 1.446e18, 1.5]
    pq.write_table(pa.table({"id": pa.array(ids), "text": [str(n) for n in range(7)]}), path)
    batches = list(sources.stretch(found := sources.survey(path, SourceOptions()), 0, found.size))
    assert batches[0].message_id.to_pylist() == [
        "1522046510", None, "12345678901", None, "9007199254740991", "1.446e+18", "1.5",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "<!DOCTYPE html><html><body>Entre</body></html>\n", r"this is a web page \(HTML\), not text\. A failed"),
        ("a.jsonl", "\n <HTML>\n<body>Entre</body></html>\n", r"this is a web page \(HTML\)"),
        ("a.json", '{"id": {"0": 1}, "message": {"0": "oi"}}', "no field 'text'. Name the one"),
        ("a.jsonl", '{"date": "2021-03-04", "rawContent": "oi"}\n', r"no field 'text'\. Name the one .*rawContent"),
        ("a.html", "<html></html>", "Telegram Desktop also exports as JSON"),
        ("a.xlsx", "PK", r"Save the table as CSV \(UTF-8\)"),
        ("a.csv", "id,channel_id,date,desabafo\n1,2,2021-03-04,oi\n", "--map COLUMN=text. Columns: .*desabafo"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_with_advice(tmp_path: Path, name: str, content: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(CorpusError, match=message):
        sources.survey(path, SourceOptions())
