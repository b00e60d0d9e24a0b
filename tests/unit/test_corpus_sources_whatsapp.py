"""WhatsApp exports of every system: messages whole, people's names gone, WhatsApp's own words counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from biasaudit.corpus import sources
from biasaudit.corpus.batch import Batch
from biasaudit.corpus.reading import FIELD_LIMIT, SourceOptions, Survey
from biasaudit.errors import CorpusError

MARK, THIN = "\u200e", "\u202f"
NOTICE = "As mensagens e as chamadas são protegidas com a criptografia de ponta a ponta. Toque para saber mais."


def chat(folder: Path, *lines: str, end: str = "\n", encoding: str = "utf-8") -> Path:
    path = folder / "Conversa do WhatsApp com X.txt"
    path.write_bytes("".join(line + end for line in lines).encode(encoding))
    return path


def look(path: Path, **options: Any) -> Survey:
    return sources.survey(path, SourceOptions(**options))


def read(path: Path, **options: Any) -> Batch:
    found = look(path, **options)
    assert found.kind == "whatsapp"
    (batch,) = sources.stretch(found, 0, found.size)
    batch.check(path.name)
    assert (batch.start, batch.end) == (0, path.stat().st_size)
    return batch


def texts(path: Path) -> list[str]:
    found: list[str] = read(path).text.to_pylist()
    return found


@pytest.mark.parametrize(
    ("line", "date"),
    [
        ("05/03/2021 14:32 - Ana: olá", "2021-03-05 14:32"),
        ("05/03/21, 14:32 - Ana: olá", "2021-03-05 14:32"),
        ("5.3.21, 02:32 - Ana: olá", "2021-03-05 02:32"),
        ("2021-03-05 14:32 - Ana: olá", "2021-03-05 14:32"),
        ("05/03/2021 às 14:32 - Ana: olá", "2021-03-05 14:32"),
        ("3/5/21, 2:32 PM - Ana: olá", "2021-05-03 14:32"),
        (f"3/5/21, 2:32{THIN}PM - Ana: olá", "2021-05-03 14:32"),
        ("3/5/21, 12:05 a. m. - Ana: olá", "2021-05-03 00:05"),
        ("05/03/2021 2:32 da tarde - Ana: olá", "2021-03-05 14:32"),
        ("05/03/2021 9:32 da manhã - Ana: olá", "2021-03-05 09:32"),
        ("[05/03/2021 14:32:10] Ana: olá", "2021-03-05 14:32:10"),
        (f"{MARK}[05/03/2021, 14:32:10] ~{THIN}Ana: olá", "2021-03-05 14:32:10"),
        (f"[3/5/21, 2:32:10{THIN}PM] Ana: olá", "2021-05-03 14:32:10"),
        ("31/02/2021 14:32 - Ana: olá", "2021-02-31 14:32"),
        ("55/33/2021 14:32 - Ana: olá", None),
    ],
)
def test_a_start_of_any_system_gives_date_and_text(tmp_path: Path, line: str, date: str | None) -> None:
    found = read(chat(tmp_path, line))
    assert found.text.to_pylist() == ["olá"]
    assert found.date.to_pylist() == [date]
    assert found.message_id.to_pylist() == found.channel_id.to_pylist() == [None]


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        (["3/5/21", "3/13/21"], ["2021-03-05", "2021-03-13"]),
        (["3/5/21", "13/5/21"], ["2021-05-03", "2021-05-13"]),
        (["3/5/21"], ["2021-05-03"]),
    ],
)
def test_a_number_over_twelve_says_which_is_the_month(tmp_path: Path, days: list[str], expected: list[str]) -> None:
    path = chat(tmp_path, *(f"{day}, 2:32 PM - Ana: olá" for day in days))
    assert [date[:10] for date in read(path).date.to_pylist()] == expected


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_messages_have_all_their_lines_and_no_sender(tmp_path: Path, end: str) -> None:
    path = chat(
        tmp_path, "05/03/2021 14:32 - Ana Silva: um", "dois", "", "três: quatro", "05/03/2021 14:33 - +55 11 91234-5678: a:b",
        "05/03/2021 14:33 - Zé :) : oi", '05/03/2021 14:33 - João "Jô" Sá: oi', "05/03/2021 14:34 - Ana Silva:", "só",
        end=end,
    )  # fmt: skip
    found = read(path)
    expected = ["\n".join(["um", "dois", "", "três: quatro"]), "a:b", "oi", "oi", "só"]
    assert [text.replace("\r\n", "\n").strip() for text in found.text.to_pylist()] == expected
    assert not any(name in str(found.text) for name in ("Ana", "91234", "Zé", "Jô"))
    raw = path.read_bytes()
    assert all(raw[at : at + 10] == b"05/03/2021" for at in found.offset.tolist())


def test_lines_of_whatsapp_itself_are_counted_and_left_out(tmp_path: Path) -> None:
    path = chat(
        tmp_path, f"05/03/2021 14:30 - {NOTICE}", "05/03/2021 14:31 - Ana entrou usando o link de convite deste grupo",
        '05/03/2021 14:31 - Ana mudou o nome do grupo de "a: b" para "c: d"', "05/03/2021 14:32 - Ana: olá",
    )  # fmt: skip
    found = read(path)
    assert found.text.to_pylist() == ["olá"]
    assert found.notes == {"system_messages": 3}
    path = chat(
        tmp_path, f"[05/03/2021 14:30:00] Família: {MARK}{NOTICE}",
        f"{MARK}[05/03/2021 14:30:01] Família: {MARK}Ana mudou o nome do grupo para “a: b”", "[05/03/2021 14:30:02] Ana: olá",
    )  # fmt: skip
    found = read(path)
    assert found.text.to_pylist() == ["olá"]
    assert found.notes == {"system_messages": 2}


@pytest.mark.parametrize(
    "words",
    [
        "<Mídia oculta>", "<Media omitted>", "<Arquivo de mídia oculto>", f"{MARK}imagem ocultada", f"{MARK}vídeo omitido",
        f"{MARK}image omitted", f"{MARK}GIF omitted", "This message was deleted", "Mensagem apagada", "Você apagou esta mensagem",
        f"{MARK}This message was deleted.", f"{MARK}<anexado: 00000012-PHOTO-2021-03-05.jpg>", "IMG-20210305-WA0001.jpg (arquivo anexado)",
        f"{MARK}IMG-20210305-WA0001.jpg (file attached)", "",
    ],
)  # fmt: skip
@pytest.mark.parametrize("start", ["05/03/2021 14:32 - ", "[05/03/2021 14:32:10] "])
def test_what_was_left_out_or_deleted_is_a_record_without_text(tmp_path: Path, words: str, start: str) -> None:
    found = read(chat(tmp_path, f"{start}Ana: {words}", f"{start}Ana: sim"))
    assert found.text.to_pylist() == ["", "sim"]
    assert found.notes == {"messages_without_text": 1}


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("foto omitida", "foto omitida"),
        ("disse <oi>", "disse <oi>"),
        ("IMG-20210305-WA0001.jpg (arquivo anexado)\nolha isso", "olha isso"),
        (f"olha isso {MARK}<anexado: 00000012-PHOTO.jpg>", "olha isso"),
        (f"errei {MARK}<This message was edited>", "errei"),
        ("errei <Mensagem editada>", "errei"),
        ("oi @\u2068Ana Maria Silva\u2069, tudo?", "oi [USER], tudo?"),
    ],
)
def test_words_of_people_stay_and_names_of_people_go(tmp_path: Path, words: str, text: str) -> None:
    assert texts(chat(tmp_path, f"05/03/2021 14:32 - Ana: {words}")) == [text]


def test_a_pasted_start_of_another_system_is_a_text(tmp_path: Path) -> None:
    pasted = "[05/03/2021 14:32:10] Bia: oi"
    assert texts(chat(tmp_path, f"05/03/2021 14:32 - Ana: veja\n{pasted}")) == [f"veja\n{pasted}"]


def test_what_stands_before_the_first_message_is_set_aside(tmp_path: Path) -> None:
    path = chat(tmp_path, "título", "05/03/2021 14:32 - Ana: olá", encoding="utf-8-sig")
    (aside,) = read(path).rejects
    assert (aside.offset, aside.length, aside.reason) == (3, len("título\n".encode()), "before the first message")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be"])
def test_offsets_hold_in_other_encodings(tmp_path: Path, encoding: str) -> None:
    path = chat(tmp_path, *(f"05/03/2021 14:3{n} - Ana: ação {n} 😀" for n in range(5)), encoding=encoding)
    found = read(path)
    assert found.text.to_pylist() == [f"ação {n} 😀" for n in range(5)]
    raw, plain = path.read_bytes(), encoding.replace("-sig", "")
    for number, (at, size) in enumerate(zip(found.offset.tolist(), found.length.tolist(), strict=True)):
        piece = raw[at : at + size].decode("utf-16-le" if plain == "utf-16" else plain)
        assert piece == f"05/03/2021 14:3{number} - Ana: ação {number} 😀\n"


def test_bytes_of_another_encoding_spoil_only_their_message(tmp_path: Path) -> None:
    path = chat(tmp_path, *(f"05/03/2021 14:3{n} - Ana: XX{n}" for n in range(3)))
    path.write_bytes(path.read_bytes().replace(b"XX1", "ação".encode("latin-1")))
    found = read(path)
    assert found.text.to_pylist() == ["XX0", "ação", "XX2"]
    assert found.flags == {1: ("latin-1",)}


def test_a_message_over_the_limit_is_set_aside(tmp_path: Path) -> None:
    long = "linha\n" * (FIELD_LIMIT // 6 + 1)
    path = chat(tmp_path, "05/03/2021 14:31 - Ana: a", f"05/03/2021 14:32 - Ana: {long}", "05/03/2021 14:33 - Ana: b")
    found = sources.survey(path, SourceOptions(), kind="whatsapp")
    batches = list(sources.stretch(found, 0, found.size))
    for batch in batches:
        batch.check(path.name)
    assert [text for batch in batches for text in batch.text.to_pylist()] == ["a", "b"]
    (aside,) = (one for batch in batches for one in batch.rejects)
    assert aside.reason == f"field over {FIELD_LIMIT} bytes"


def test_prose_and_lists_of_lines_stay_text(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("Era uma vez.\n\n" * 9 + "05/03/2021 14:32 - Ana: olá\n", "utf-8")
    assert look(path).kind == "text"
    assert look(chat(tmp_path, "05/03/2021 14:32 - Ana: olá"), lines_per_document=1).kind == "text"
    path.write_text("Era uma vez.\n", "utf-8")
    with pytest.raises(CorpusError, match="no line begins as a message of WhatsApp's export does"):
        sources.survey(path, SourceOptions(), kind="whatsapp")
