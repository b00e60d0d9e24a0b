"""Telegram exports, lists of objects and JSON lines: every message back, damage set aside with its place."""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biasaudit.corpus import sources
from biasaudit.corpus.batch import Batch, kept
from biasaudit.corpus.brackets import elements
from biasaudit.corpus.reading import SourceOptions, Survey
from biasaudit.errors import CorpusError

KINDS = {".json": "telegram", ".jsonl": "jsonl"}


def look(path: Path, **options: Any) -> Survey:
    return sources.survey(path, SourceOptions(**options), kind=KINDS[path.suffix])


def read(path: Path, **options: Any) -> Batch:
    found = look(path, **options)
    batches = list(sources.stretch(found, 0, found.size))
    assert len(batches) == 1
    batches[0].check(path.name)
    return batches[0]


def dump(folder: Path, value: object, name: str = "result.json", **style: Any) -> Path:
    path = folder / name
    path.write_text(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, **style), "utf-8")
    return path


def lines(folder: Path, *values: object) -> Path:
    rows = (value if isinstance(value, str) else json.dumps(value) for value in values)
    return dump(folder, "\n".join(rows) + "\n", "a.jsonl")


def message(number: int, text: object = "olá", **more: object) -> dict[str, object]:
    return {"id": number, "type": "message", "date": "2021-03-04T10:00:00", "from": "Ana", "text": text, **more}


def chat(messages: list[Any], number: int = 77) -> dict[str, object]:
    return {"name": "Canal", "type": "public_channel", "id": number, "messages": messages}


# ---------------------------------------------------------------------------- Telegram


@pytest.mark.parametrize("indent", [None, 1, 4])
def test_a_chat_has_texts_ids_dates_and_its_channel(tmp_path: Path, indent: int | None) -> None:
    parts = ["veja ", {"type": "text_link", "text": "isto", "href": "http://x"}, {"type": "bold", "text": "!"}]
    found = read(dump(tmp_path, chat([message(1), message(2**70, parts)], -100123), indent=indent))
    assert found.text.to_pylist() == ["olá", "veja isto!"]
    assert found.message_id.to_pylist() == ["1", str(2**70)]
    assert found.channel_id.to_pylist() == ["-100123"] * 2
    assert found.date.to_pylist() == ["2021-03-04T10:00:00"] * 2


def test_senders_and_sources_of_forwards_are_not_read(tmp_path: Path) -> None:
    found = read(dump(tmp_path, chat([message(1, forwarded_from="Maria Silva", from_id="user9")])))
    assert "Maria" not in repr(found) + str(found.text)
    assert "user9" not in repr(found)


def test_names_that_telegram_marks_as_mentions_are_never_read(tmp_path: Path) -> None:
    name = {"type": "mention_name", "text": "Maria Silva", "user_id": 9}
    parts = ["oi ", name, {"type": "mention", "text": "@ana"}, {"type": "mention_name", "text": ""}]
    bare = {"id": 2, "type": "message", "text_entities": parts}
    flat = message(3, "oi Maria Silva e Maria Silva", text_entities=[name])
    letter = message(4, "SS S", text_entities=["S", {"type": "mention_name", "text": "S"}, " S"])
    found = read(dump(tmp_path, chat([message(1, parts), bare, flat, letter, message(4, "x", text_entities=[7])])))
    assert found.text.to_pylist() == ["oi [USER]@ana", "oi [USER]@ana", "oi [USER] e [USER]", "S[USER] S", "x"]
    both = message(1, parts, text_entities=[*parts[:1], {**name, "text": "S"}])
    assert read(dump(tmp_path, chat([both]))).text.to_pylist() == ["oi [USER]@ana"]
    assert read(lines(tmp_path, {"text": parts})).text.to_pylist() == ["oi [USER]@ana"]


@pytest.mark.parametrize("broken", [7, "mention_name", {"mention_name": 1}])
def test_entities_of_no_known_shape_do_no_harm(tmp_path: Path, broken: object) -> None:
    assert read(dump(tmp_path, chat([message(1, "x", text_entities=broken)]))).text.to_pylist() == ["x"]


def test_entities_stand_in_for_a_missing_text(tmp_path: Path) -> None:
    bare = {"id": 2, "type": "message", "text_entities": [{"type": "plain", "text": "só "}, {"text": "isto"}]}
    found = read(dump(tmp_path, chat([message(1, ""), {**bare, "date_unixtime": "1614852000"}])))
    assert found.text.to_pylist() == ["", "só isto"]
    assert found.date.to_pylist()[1] == "2021-03-04 10:00:00+00:00"


def test_service_messages_and_pictures_are_counted(tmp_path: Path) -> None:
    service = {"id": 1, "type": "service", "action": "pin_message", "text": ""}
    found = read(dump(tmp_path, chat([service, message(2, photo="(not included)", text=""), message(3)])))
    assert found.text.to_pylist() == ["", "olá"]
    assert found.notes == {"service_messages": 1, "messages_without_text": 1}
    assert not found.rejects


def test_an_account_names_the_channel_of_every_chat(tmp_path: Path) -> None:
    account = {
        "personal_information": {"phone": "x", "id": 5},
        "contacts": {"list": [{"name": "{[", "id": 6}]},
        "chats": {"about": "a", "list": [chat([message(1)], 11), chat([], 12), chat([message(2), message(3)], 13)]},
        "left_chats": {"about": "b", "list": [chat([message(4)], 14)]},
    }
    found = read(dump(tmp_path, account, indent=1))
    assert found.channel_id.to_pylist() == ["11", "13", "13", "14"]
    assert not found.rejects
    assert look(tmp_path / "result.json").notes["chats"] == 4


def test_a_text_that_looks_like_an_export_is_a_text(tmp_path: Path) -> None:
    forged = json.dumps(chat([message(9, "forjada")]), indent=1)
    found = read(dump(tmp_path, chat([message(1, forged), message(2)]), indent=1))
    assert found.text.to_pylist() == [forged, "olá"]


def test_an_export_that_was_cut_off_gives_what_it_holds(tmp_path: Path) -> None:
    whole = json.dumps(chat([message(n, f"texto {n}") for n in range(9)]), indent=1, ensure_ascii=False)
    path = dump(tmp_path, whole[: whole.index("texto 7") + 3])
    found = read(path)
    assert found.text.to_pylist() == [f"texto {n}" for n in range(7)]
    (cut,) = found.rejects
    assert cut.reason == "not valid JSON: the file ends inside it"
    assert path.read_bytes()[cut.offset :].startswith(b'{\n   "id": 7')
    assert look(path).notes["complete"] is False


@pytest.mark.parametrize("account", [True, False])
@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_any_end_that_was_cut_off_is_said(tmp_path: Path, account: bool, indent: int | None, encoding: str) -> None:
    value: dict[str, Any] = chat([message(1), message(2, '"]}}]')])
    if account:
        value = {"contacts": {"list": [{"a": "{"}]}, "chats": {"list": [value]}, "left_chats": {"list": [chat([])]}}
    path = tmp_path / "result.json"
    whole = json.dumps(value, indent=indent)
    path.write_text(whole + "\n", encoding)
    assert "truncated" not in look(path).notes
    for size in range(whole.index('"type": "message"', whole.index('"type": "message"') + 9), len(whole), 7):
        path.write_text(whole[:size], encoding)
        assert (look(path).notes["truncated"], look(path).notes["complete"]) == (1, False)
    path.write_text(whole[:-1], encoding)
    assert look(path).notes["truncated"] == 1


@pytest.mark.parametrize("garbage", ['"', "\x00\x00", '"messages": [', "}]}", '{"id": 1', "\\", "]"])
def test_damage_costs_the_message_that_it_hit(tmp_path: Path, garbage: str) -> None:
    whole = json.dumps(chat([message(n, f"texto {n}") for n in range(9)]), indent=1, ensure_ascii=False)
    at = whole.index("texto 4") - 3
    path = tmp_path / "result.json"
    path.write_bytes((whole[:at] + garbage + whole[at:]).encode())
    found = read(path)
    assert [t for t in found.text.to_pylist() if t != "texto 4"] == [f"texto {n}" for n in range(9) if n != 4]
    assert len(found.rejects) == 1


def test_bytes_of_another_encoding_spoil_only_their_message(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    whole = json.dumps(chat([message(1, "ação"), message(2, "XX"), message(3, "é")]), ensure_ascii=False).encode()
    path.write_bytes(whole.replace(b"XX", "canção".encode("latin-1")))
    found = read(path)
    assert found.text.to_pylist() == ["ação", "canção", "é"]
    assert found.flags == {1: ("latin-1",)}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be"])
def test_other_encodings_keep_their_offsets(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "result.json"
    path.write_bytes(json.dumps(chat([message(n, f"😀 {n}") for n in range(40)]), ensure_ascii=False).encode(encoding))
    found = read(path)
    raw, name = (
        path.read_bytes(),
        "utf-8" if encoding == "utf-8-sig" else "utf-16-be" if "be" in encoding else "utf-16-le",
    )
    for number, (at, size) in enumerate(zip(found.offset.tolist(), found.length.tolist(), strict=True)):
        assert json.loads(raw[at : at + size].decode(name))["id"] == number


# ---------------------------------------------------------------------------- lists of objects


def test_a_list_under_a_key_needs_a_map_when_nothing_is_called_text(tmp_path: Path) -> None:
    path = dump(
        tmp_path, {"info": [1, 2], "posts": [{"n": 1, "body": {"full": "um"}}, {"n": 2, "body": {"full": "dois"}}]}
    )
    with pytest.raises(CorpusError, match=r"no field 'text'.*--map FIELD=text.*body.full"):
        look(path)
    found = read(path, columns={"body.full": "text", "n": "id"})
    assert found.text.to_pylist() == ["um", "dois"]
    assert found.message_id.to_pylist() == ["1", "2"]
    with pytest.raises(CorpusError, match=r"no field 'body\.ful'.*Did you mean 'body\.full'"):
        look(path, columns={"body.ful": "text"})


def test_an_object_of_records_and_keys_in_any_order(tmp_path: Path) -> None:
    found = read(dump(tmp_path, {'b\\"{': {"text": "um"}, "a": {"text": "dois"}}))
    assert found.text.to_pylist() == ["um", "dois"]
    assert not found.rejects
    sorted_export = json.dumps(chat([message(1), message(2, ["a", {"text": "b"}])]), sort_keys=True)
    assert read(dump(tmp_path, sorted_export)).text.to_pylist() == ["olá", "ab"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("<html>", "not JSON, which begins with"),
        ("", "the file is empty"),
        ("[]", "none of its first entries is an object"),
        ('{"a": 5}', "none of its first entries is an object"),
        ("[1, 2, 3]", "none of its first entries is an object"),
        ("[[[[", "none of its first entries is an object"),
        ("{ not json at all", "none of its first entries is an object"),
    ],
)
def test_what_is_no_list_is_refused_in_words(tmp_path: Path, content: str, expected: str) -> None:
    with pytest.raises(CorpusError, match=expected):
        look(dump(tmp_path, content))


def test_one_object_a_line_is_json_lines_whatever_its_ending(tmp_path: Path) -> None:
    rows = [{"text": "um", "more": {"text": "x"}}, message(2, "dois"), {"text": "três"}]
    path = dump(tmp_path, "\n".join(json.dumps(row) for row in rows))
    assert look(path).kind == "jsonl"
    assert read(path).text.to_pylist() == ["um", "dois", "três"]


def test_damage_in_a_list_is_set_aside(tmp_path: Path) -> None:
    found = read(dump(tmp_path, '[{"text": "a"}, nada, {"text": 5}, {"text": "b"}, [1], {"text": "c"'))
    assert found.text.to_pylist() == ["a", "b"]
    assert [r.reason for r in found.rejects] == [
        "not valid JSON", "field 'text' holds no text", "not a JSON object", "not valid JSON: the file ends inside it",
    ]  # fmt: skip
    found = read(dump(tmp_path, '[{"text": "a"}] {"text": "b"}'))
    assert [r.reason for r in found.rejects] == ["not valid JSON behind the last record"]


@settings(max_examples=60)
@given(
    values=st.lists(
        st.dictionaries(st.text(max_size=4), st.recursive(
            st.none() | st.text(alphabet='a"\\{}[],\n😀', max_size=8) | st.integers() | st.floats(allow_nan=False),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
            max_leaves=8,
        ), max_size=4).map(lambda value: {**value, "text": "t"}),
        min_size=1, max_size=12,
    ),
    indent=st.sampled_from([None, 0, 2]),
    ascii_only=st.booleans(),
)  # fmt: skip
def test_any_list_of_objects_comes_back(
    tmp_path_factory: pytest.TempPathFactory, values: list[dict[str, Any]], indent: int | None, ascii_only: bool
) -> None:
    path = tmp_path_factory.mktemp("json") / "a.json"
    path.write_text(json.dumps(values, indent=indent, ensure_ascii=ascii_only), "utf-8")
    found = read(path)
    assert len(found) == len(values)
    raw = path.read_bytes()
    places = zip(found.offset.tolist(), found.length.tolist(), strict=True)
    assert [json.loads(raw[at : at + size]) for at, size in places] == values


@pytest.mark.parametrize("slashes", [1, 2, 3, 4])
@pytest.mark.parametrize("before", range(6))
def test_backslashes_across_blocks_escape_what_they_escape(tmp_path: Path, slashes: int, before: int) -> None:
    start = '[{"text": "'
    text = "x" * ((1 << 20) - len(start) - before) + "\\" * slashes + '"{[' + "\\" * slashes
    content = json.dumps([{"text": text}, {"text": "b"}])
    places = list(elements_of(tmp_path / "a.bin", content.encode()))
    assert [json.loads(content[begin:end])["text"] for begin, end in places] == [text, "b"]


def elements_of(path: Path, content: bytes) -> Iterator[tuple[int, int]]:
    path.write_bytes(content)
    with path.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as view:
        yield from elements(view, 1, len(view) - 1)


@pytest.mark.parametrize("value", [[{"text": "a"}, {"text": "b"}], {"x": [{"text": "a"}]}, {"k": {"text": "a"}}])
def test_a_list_that_was_cut_off_is_said(tmp_path: Path, value: object) -> None:
    whole = json.dumps(value)
    assert "truncated" not in look(dump(tmp_path, whole + "\n")).notes
    for size in range(whole.index("}") + 1, len(whole)):
        assert look(dump(tmp_path, whole[:size])).notes["truncated"] == 1


# ---------------------------------------------------------------------------- JSON lines


def test_numbers_are_kept_as_they_were_written(tmp_path: Path) -> None:
    big = "9" * 5000
    path = lines(
        tmp_path, '{"text": "a", "id": 9007199254740993}', '{"text": "b", "id": 1e3}', f'{{"text": "c", "id": {big}}}'
    )
    assert read(path).message_id.to_pylist() == ["9007199254740993", "1e3", big]


def test_bad_lines_are_set_aside_and_null_is_an_empty_text(tmp_path: Path) -> None:
    found = read(
        lines(tmp_path, {"text": "a"}, "nada", "", {"text": None}, {"other": 1}, {"text": 5}, '{"text": "b"} x')
    )
    assert found.text.to_pylist() == ["a", ""]
    reasons = ["not valid JSON", "field 'text' holds no text", "field 'text' holds no text", "not valid JSON"]
    assert [r.reason for r in found.rejects] == reasons
    assert found.separators == 1


def test_nested_fields_are_mapped_and_filtered(tmp_path: Path) -> None:
    rows = [{"post": {"text": f"t{n}", "lang": "pt" if n % 2 else "en", "id": n}} for n in range(4)]
    found = read(lines(tmp_path, *rows), columns={"post.text": "text", "post.id": "id"}, where={"post.lang": "pt"})
    assert found.text.to_pylist() == ["t0", "t1", "t2", "t3"]
    assert kept(found).tolist() == [False, True, False, True]
    with pytest.raises(CorpusError, match=r"no field 'post\.land'\. Did you mean 'post\.lang'"):
        look(tmp_path / "a.jsonl", columns={"post.text": "text"}, where={"post.land": "pt"})


def test_a_stretch_without_a_line_start_is_empty(tmp_path: Path) -> None:
    path = lines(tmp_path, {"text": "a" * 1000}, {"text": "b"})
    found = look(path)
    assert found.cuts is None
    assert list(sources.stretch(found, 5, 900, synced=False)) == []
    (batch,) = sources.stretch(found, 5, found.size, synced=False)
    assert batch.text.to_pylist() == ["b"]


def test_a_file_without_objects_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no line is a JSON object"):
        look(lines(tmp_path, "[", "1", "]"))


def test_a_last_line_that_was_cut_off_is_said(tmp_path: Path) -> None:
    whole = '{"text": "a"}\n{"text": "b"}'
    for content in (whole, whole + "\n", whole + "\nx\n", whole + "\n7"):
        assert "truncated" not in read(dump(tmp_path, content, "a.jsonl")).notes
    for size in range(whole.index("\n") + 2, len(whole)):
        assert read(dump(tmp_path, whole[:size], "a.jsonl")).notes == {"truncated": 1}
