"""Cleaning keeps what carries meaning; text files, encodings and splits keep their word."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biasaudit.corpus import dates, reading, sources
from biasaudit.corpus.card import quantiles
from biasaudit.corpus.clean import Cleaner
from biasaudit.corpus.gather import Tally
from biasaudit.corpus.reading import Gap, Reading, SourceOptions
from biasaudit.errors import BiasAuditError
from biasaudit.records import Message, Reject

MEANINGFUL = [
    "9,5/10",
    "31/12/2021",
    "95%",
    "Lei 13.979/2020",
    "-2+3",
    "2^53",
    "R$ 1.234,56",
    "0,5 mL",
    "👩🏽‍⚕️ ok",
    "1ª dose",
]


@pytest.mark.parametrize("text", MEANINGFUL)
def test_facts_survive_cleaning(text: str) -> None:
    assert Cleaner()(text) == text


def test_each_rule_does_its_own_work_and_counts_it() -> None:
    cleaner = Cleaner()
    assert cleaner("a\u0301ção") == "ação".replace("a", "á", 1)
    assert cleaner("um\r\ndois\rtrês") == "um\ndois\ntrês"
    assert cleaner("a\x00b\u200bc\ufeff") == "abc"
    assert cleaner("\u202eabc\u202c") == "abc"
    assert cleaner("Encaminhado de: Fulano de Tal\noi") == "oi"
    assert cleaner("Forwarded from Somebody\nhello") == "hello"
    assert cleaner("  a \t b \n\n\n\n c  ") == "a b\n\nc"
    assert dict(cleaner.changed) == {
        "nfc": 1, "newlines": 1, "controls": 1, "bidi": 1, "forwarded": 2, "whitespace": 1,
    }  # fmt: skip


def test_a_body_that_speaks_of_forwarding_stays() -> None:
    assert Cleaner()("Encaminhado ao médico, ele foi.") == "Encaminhado ao médico, ele foi."


def test_lines_wrapped_by_hand_are_joined_and_verse_is_not() -> None:
    unwrap = Cleaner(["unwrap"])
    prose = "Uma noite destas, vindo da cidade para o Engenho Novo, encontrei no\ntrem da Central um rapaz."
    assert unwrap(prose) == prose.replace("\n", " ")
    assert unwrap("Ele a queda não vê\nDo grande nome") == "Ele a queda não vê\nDo grande nome"
    spoken = "Uma noite destas, vindo da cidade para o Engenho Novo, disse-me ele\n— Continue."
    assert unwrap(spoken) == spoken


@given(st.text(max_size=80))
def test_what_is_cleaned_can_be_written_as_utf_8(text: str) -> None:
    Cleaner()(text).encode()


def test_dates_are_sorted_as_people_mean_them() -> None:
    assert dates.iso("31/12/2021") == "2021-12-31"
    assert dates.iso("12/31/2021") == "2021-12-31"
    assert dates.iso("2021-03-04T10:00:00Z") == "2021-03-04 10:00:00"
    assert dates.iso("99/99/2021") == dates.iso(None) == dates.iso("ontem") == ""


def text_items(path: Path, **options: object) -> list[Message]:
    found = sources.read(path, SourceOptions(**options))  # type: ignore[arg-type]
    return [item for item in reading.audited(found, path.name) if isinstance(item, Message)]


def test_long_texts_are_cut_at_paragraph_ends_and_nothing_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "novel.txt"
    paragraphs = [f"Parágrafo {n} " + "palavra " * 60 + "fim." for n in range(50)]
    path.write_text("\n\n".join(paragraphs), "utf-8")
    found = text_items(path)
    assert len(found) > 4
    assert "".join(m.text for m in found) == path.read_text("utf-8")
    assert all(m.text.rstrip().endswith("fim.") for m in found)
    assert all(len(m.text.encode()) < 8000 for m in found)


def test_a_text_without_line_ends_is_cut_between_words(tmp_path: Path) -> None:
    path = tmp_path / "line.txt"
    path.write_text("ação " * 100_000, "utf-8")
    found = text_items(path)
    assert "".join(m.text for m in found) == path.read_text("utf-8")
    assert all(m.text.endswith(" ") and not m.flags for m in found)


def test_a_list_of_sentences_gives_so_many_lines_a_document(tmp_path: Path) -> None:
    path = tmp_path / "ud.txt"
    path.write_text("".join(f"frase {n}\n" for n in range(25)), "utf-8")
    assert [m.text.count("\n") for m in text_items(path, lines_per_document=10)] == [10, 10, 5]


def test_utf_16_texts_keep_their_offsets(tmp_path: Path) -> None:
    path = tmp_path / "wide.txt"
    path.write_text("".join(f"linha 😀 {n}\n" for n in range(40)), "utf-16")
    found = text_items(path, lines_per_document=7)
    raw = path.read_bytes()
    assert "".join(m.text for m in found) == path.read_text("utf-16")
    assert all(raw[m.offset : m.offset + m.length].decode("utf-16-le") == m.text for m in found)


def test_a_reader_that_loses_a_byte_is_stopped() -> None:
    hole = Reading(items=iter([Gap(offset=0, length=3, reason="x"), Gap(offset=4, length=1, reason="x")]), size=5)
    with pytest.raises(BiasAuditError, match="conservation law"):
        list(reading.audited(hole, "a.csv"))
    short = Reading(items=iter([Gap(offset=0, length=3, reason="x")]), size=5)
    with pytest.raises(BiasAuditError, match="5 bytes on disk, 3 accounted for"):
        list(reading.audited(short, "a.csv"))
    with pytest.raises(BiasAuditError, match="2 records in, 1 accounted for"):
        Tally(records=2, kept=1).check()
    with pytest.raises(BiasAuditError, match="9 bytes in, 4 accounted for"):
        Tally(bytes_in=9, bytes_records=4).check()


def test_rejects_hold_a_hash_and_never_the_text(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "bom"}\n{"text": 5}\n[1]\nsegredo\n{"text": "\\ud800"}\n', "utf-8")
    found = list(reading.audited(sources.read(path, SourceOptions()), "a.jsonl"))
    assert [m.text for m in found if isinstance(m, Message)] == ["bom", "\ufffd"]
    rejects = [item for item in found if isinstance(item, Reject)]
    assert [r.reason for r in rejects] == ["field 'text' holds no text", "not a JSON object", "not valid JSON"]
    assert "segredo" not in repr(rejects)


def test_quantiles_are_values_that_occurred() -> None:
    from collections import Counter

    found = quantiles(Counter({1: 50, 10: 49, 1000: 1}))
    assert (found["min"], found["median"], found["p95"], found["max"], found["mean"]) == (1, 1, 10, 1000, 15.4)
    assert quantiles(Counter())["median"] is None
