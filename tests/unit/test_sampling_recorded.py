"""Recorded completions: files of every kind are read whole, matched letter by letter, and every row is accounted for."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biasaudit.errors import InputError, UnknownNameError, UsageError
from biasaudit.records import Arm, Completion, Decoding, Prompt, SampleRequest
from biasaudit.sampling.backends import read_spec
from biasaudit.sampling.backends.replay import ReplayBackend
from biasaudit.sampling.recorded.read import read_recording
from biasaudit.sampling.recorded.transcripts import read_blocks
from biasaudit.store.tables import COMPLETIONS, completions_from_table

ARM = Arm(name="x", spec="replay:x", role="tuned", fingerprint="f", tokenizer_fingerprint="unknown")
HOT, COLD = Decoding(), Decoding(temperature=0.5)
TRANSCRIPT = """\
###############################################################################
# PROMPT 1
###############################################################################
*[F] < Há chips nas vacinas? >
Dizem que sim.

Não sei < nem > quero.
---------------
[T] < Há chips nas vacinas? >
Há chips nas vacinas? Não.---------------
[H] < Vacinas funcionam... >
- uma lista
--- de traços
---------------
< Sem rótulo >
fim
---------------
"""


def prompt(text: str) -> Prompt:
    return Prompt(text=text, language="pt", topic="t", template="w")


def ask(text: str, index: int = 0, decoding: Decoding = HOT) -> SampleRequest:
    return SampleRequest(prompt_id=prompt(text).prompt_id, prompt=text, decoding=decoding, index=index)


def backend(path: Path, choose: str = "", **columns: str) -> ReplayBackend:
    return ReplayBackend(read_recording(path, columns=columns), arm=ARM, seed=1, choose=choose)


def lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_transcript_gives_prompts_answers_and_labels(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text(TRANSCRIPT, encoding="utf-8")
    blocks, notes = read_blocks(path)
    assert notes == []
    assert [(b.label, b.prompt, b.text, b.line) for b in blocks] == [
        ("*F", "Há chips nas vacinas?", "Dizem que sim.\n\nNão sei < nem > quero.", 4),
        ("T", "Há chips nas vacinas?", "Há chips nas vacinas? Não.", 9),
        ("H", "Vacinas funcionam...", "- uma lista\n--- de traços", 11),
        ("", "Sem rótulo", "fim", 15),
    ]
    (found,) = backend(path).complete([ask("Há chips nas vacinas?", 1)])
    assert (found.text, found.finish_reason, found.token_ids) == ("Há chips nas vacinas? Não.", "unknown", ())


def test_what_a_transcript_leaves_open_is_said(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text("à toa\r\n[F] < a >\r\num\r\n[F] < b >\r\ndois\r\n", encoding="utf-8")
    blocks, notes = read_blocks(path)
    assert [(b.prompt, b.text) for b in blocks] == [("a", "um"), ("b", "dois")]
    assert notes == [
        "line 1 stands outside every block",
        "line 4: a prompt begins before the answer of line 2 has ended",
        "line 4: its answer goes to the end of the file without a rule",
    ]
    path.write_text("nada", encoding="utf-8")
    with pytest.raises(InputError, match="no prompt found"):
        read_blocks(path)
    path.write_bytes(b"[F] < a >\n\xff\n---------------\n")
    with pytest.raises(InputError, match="byte 10 is not UTF-8"):
        read_blocks(path)


@given(
    st.lists(
        st.tuples(
            st.text("abé<>[] .-#", min_size=1, max_size=12).map(lambda t: f"p{t}p"),
            st.lists(st.text("abé .,", min_size=1, max_size=20), min_size=1, max_size=4),
            st.sampled_from(["F", "*H", ""]),
        ),
        min_size=1, max_size=8,
    )
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_a_written_transcript_is_read_as_it_was_written(blocks: list[tuple[str, list[str], str]]) -> None:
    import tempfile

    text = "".join(
        label.replace("F", "[F] ").replace("H", "[H] ") + f"< {asked} >\n" + "\n".join(answer) + "\n---------------\n"
        for asked, answer, label in blocks
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "t.txt")
        path.write_text(text, encoding="utf-8")
        found, notes = read_blocks(path)
    assert notes == []
    assert [(b.prompt, b.text, b.label) for b in found] == [(p, "\n".join(a), label) for p, a, label in blocks]


def test_every_kind_of_file_gives_the_same_completions(tmp_path: Path) -> None:
    rows = [
        {"prompt": f"p{k % 3}", "answer": f'é "{k}", NA;\nnull', "tokens": [k, 2], "finish_reason": "length"}
        for k in range(9)
    ]
    lines(tmp_path / "a.jsonl", *rows)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    import csv

    for name, delimiter in (("a.csv", ","), ("b.csv", ";"), ("c.tsv", "\t")):
        with (tmp_path / name).open("w", encoding="utf-8-sig" if delimiter == ";" else "utf-8", newline="") as handle:
            writer = csv.writer(handle, delimiter=delimiter)
            writer.writerow(rows[0])
            writer.writerows([json.dumps(v) if isinstance(v, list) else v for v in row.values()] for row in rows)
    asked = [ask(f"p{p}", i) for p in range(3) for i in range(3)]
    found = {path.name: list(backend(path).complete(asked)) for path in sorted(tmp_path.iterdir())}
    strip = {name: [(c.text, c.token_ids, c.finish_reason) for c in rows] for name, rows in found.items()}
    assert len(strip) == 5
    assert all(value == strip["a.jsonl"] for value in strip.values())
    assert strip["a.csv"][1] == ('é "3", NA;\nnull', (3, 2), "length")


def test_columns_and_single_completions_agree(tmp_path: Path) -> None:
    rows = [{"prompt": f"p{k % 2}", "text": str(k), "index": 9 - k, "logprobs": [-k / 2]} for k in range(10)]
    answering = backend(lines(tmp_path / "a.jsonl", *rows))
    prompts = [prompt("p0"), prompt("p1")]
    items, table = answering.take([(p, 0, 7) for p in prompts], HOT)
    assert items == tuple((p.prompt_id, k, k + 1) for p, first in zip(prompts, (1, 0), strict=True)
                          for k in range(first, 7, 2))  # fmt: skip
    taken = list(completions_from_table(table.select(COMPLETIONS.names).cast(COMPLETIONS)))
    single = list(answering.complete(ask(p.text, k) for p in prompts for k in range(7)))
    assert taken == single
    assert all(isinstance(c, Completion) for c in single)


def test_prompts_match_by_their_nfc_text_and_nothing_else(tmp_path: Path) -> None:
    path = lines(
        tmp_path / "a.jsonl",
        {"prompt": unicodedata.normalize("NFD", "É?"), "text": "a"},
        {"prompt": "É?", "text": "b"},
        {"prompt": "É? ", "text": "c"},
    )
    answering = backend(path)
    assert [c.text for c in answering.complete([ask("É?", 0), ask("É?", 1), ask("É?", 2), ask("e?")])] == ["a", "b"]
    account = answering.account([prompt("É?")], {HOT: 2})
    assert (account.used, account.unmatched, account.missing, account.first_unmatched) == (2, 1, 0, (3,))


def test_rows_that_name_their_decoding_answer_no_other(tmp_path: Path) -> None:
    path = lines(
        tmp_path / "a.jsonl",
        *({"prompt": "p", "text": f"{t}", "temperature": t} for t in (0.5, 0.5, 1.0, 0.9)),
    )
    answering = backend(path)
    assert [c.text for c in answering.complete([ask("p", k, COLD) for k in range(3)])] == ["0.5", "0.5"]
    assert [c.text for c in answering.complete([ask("p", 0, HOT)])] == ["1.0"]
    account = answering.account([prompt("p")], {HOT: 2, COLD: 2})
    assert (account.used, account.other_decodings, account.missing) == (3, 1, 1)
    plain = backend(lines(tmp_path / "b.jsonl", {"prompt": "p", "text": "x"}))
    plain.answer_for(HOT)
    assert [c.decoding_id for c in plain.complete([ask("p", 0, HOT), ask("p", 0, COLD)])] == [HOT.decoding_id]


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_every_row_is_counted_once(data: st.DataObject) -> None:
    import tempfile

    row = st.fixed_dictionaries(
        {"prompt": st.sampled_from(["a", "b", "c", None]), "text": st.sampled_from(["x", "", None]),
         "index": st.integers(0, 5), "model": st.sampled_from(["m", "n"])}
    )  # fmt: skip
    rows = [*data.draw(st.lists(row, max_size=25)), {"prompt": "a", "text": "t", "index": 0, "model": "m"}]
    numbered = data.draw(st.booleans())
    rows = rows if numbered else [{k: v for k, v in r.items() if k != "index"} for r in rows]
    with tempfile.TemporaryDirectory() as folder:
        answering = backend(lines(Path(folder, "a.jsonl"), *rows), choose="m")
    prompts, limit = [prompt("a"), prompt("b"), prompt("z")], 3
    found = answering.account(prompts, {HOT: limit})
    parts = (found.used, found.other_arms, found.unmatched, found.other_decodings, found.surplus, found.duplicates)
    assert sum(parts) == found.rows == len(rows)
    given_out = list(answering.complete(ask(p.text, k) for p in prompts for k in range(limit)))
    assert len(given_out) == found.used
    assert found.missing == 3 * limit - found.used


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"question": "a", "prompt": "a", "text": "b"}], "could all be the prompt"),
        ([{"prompt": "a"}], "no column is the completion"),
        ([{"text": "a"}], "no column is the prompt"),
        ([{"prompt": "a", "text": "b", "index": "x"}], "cannot be read as jsonl"),
        ([["a"]], "is not an object"),
        ([{"prompt": "a", "text": {"b": 1}}], "cannot be read as jsonl"),
    ],
)
def test_a_file_that_cannot_be_understood_is_explained(rows: list[Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        read_recording(lines(tmp_path / "a.jsonl", *rows))


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.csv", b"prompt,text\na,b\nc\n", "line 3 has 1 values, and the header 2; a text with a line break"),
        ("a.csv", b'prompt,text\n"a\nb",c\na,b,c\n', "line 4 has 3 values"),
        ("a.csv", b"prompt,text\na,\xff\n", "line 2 is not UTF-8; save it as UTF-8"),
        ("a.csv", "prompt,text\na,b\n".encode("utf-16"), "it is UTF-16; save it as UTF-8"),
        ("a.csv", b"prompt,text\n", "not one row"),
        ("a.csv", b"", "it is empty"),
        ("a.jsonl", b'{"prompt": "a", "text": "b"}\n' * 250 + b"{\n", "line 251 is not JSON"),
        (
            "a.jsonl",
            b'{"prompt": "a", "text": 1}\n{"prompt": "a", "text": "b"}\n',
            "'text' is text in line 2 and a number",
        ),
        ("a.jsonl", b'{"prompt": "a", "text": "\\ud83d"}\n', "line 1 holds half of a surrogate pair"),
        ("a.csv", b"prompt,prompt,text\n", "twice"),
        ("a.csv", b"prompt,text,tokens\na,b,x\n", "not a list of numbers"),
        ("a.jsonl", b"{oh\n", "line 1 is not JSON"),
        ("a.jsonl", b'{"prompt": "a", "text": "\xff"}\n', "UTF-8"),
        ("a.parquet", b"PAR1", "not a Parquet file"),
        ("a.dat", b"x", "its kind is not known"),
    ],
)
def test_a_damaged_file_is_refused_with_words(name: str, data: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=words):
        read_recording(tmp_path / name)


def test_lists_with_gaps_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = [{"prompt": "a", "text": "b", "logprobs": values} for values in ([-0.5, None], [-0.5], None, [-1.0, -2.0])]
    found = read_recording(lines(tmp_path / "a.jsonl", *rows))
    assert found.table.column("logprobs").to_pylist() == [None, [-0.5], None, [-1.0, -2.0]]
    assert "1 rows have logprobs with empty places or NaN" in found.notes[0]
    pq.write_table(pa.table({"prompt": ["a"], "text": ["b"], "logprobs": [[float("nan")]]}), tmp_path / "a.parquet")
    assert read_recording(tmp_path / "a.parquet").table.column("logprobs").to_pylist() == [None]


def test_prompts_that_differ_in_blanks_and_indices_from_one_are_told(tmp_path: Path) -> None:
    rows = [{"prompt": "a\u00a0 b", "text": "x", "index": 1}, {"prompt": "a c", "text": "x", "index": 2}]
    account = backend(lines(tmp_path / "a.jsonl", *rows)).account([prompt("a b"), prompt("a c")], {HOT: 2})
    assert (account.unmatched, account.blanks, account.from_one, account.missing) == (1, 1, True, 4)


def test_a_file_of_which_no_row_can_be_used_answers_nothing(tmp_path: Path) -> None:
    answering = backend(lines(tmp_path / "a.jsonl", {"prompt": "a", "text": None}, {"prompt": None, "text": "b"}))
    assert list(answering.complete([ask("a")])) == []
    assert answering.account([prompt("a")], {HOT: 2}).unmatched == 2


def test_an_index_below_zero_and_an_unknown_arm_are_refused(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", {"prompt": "a", "text": "b", "index": -1, "arm": "m"})
    with pytest.raises(UsageError, match="below 0"):
        backend(path)
    with pytest.raises(UsageError, match="its rows are of m: ,arm=VALUE"):
        backend(path, choose="n")


def test_a_spec_is_taken_apart_from_its_end() -> None:
    spec = read_spec("replay:my,odd=name.csv/a,b.csv,arm=x,prompt=a b")
    assert (spec.backend, spec.target, dict(spec.options)) == (
        "replay", "my,odd=name.csv/a,b.csv", {"arm": "x", "prompt": "a b"},
    )  # fmt: skip
    assert read_spec("embedded:base").backend == "torch"
    assert read_spec("models/replay").backend == "torch"
    assert read_spec("openai:a/b:c@http://h:1/v1,key=K").target == "a/b:c@http://h:1/v1"
    with pytest.raises(UnknownNameError, match="Did you mean 'prompt'"):
        read_spec("replay:a.csv,promt=x")
    with pytest.raises(UsageError, match="each option once"):
        read_spec("replay:a.csv,arm=x,arm=y")


def test_labels_beside_their_prompts_and_missing_blanks_are_read_and_told(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text(
        "[F]<a>\num\n---------------\n* [ T ] < b >\n[x] dois\n---------------\n< c >\n*[H]\ntrês\n---------------\n"
        "[T]\n\n< d >\nquatro\n---------------\n[F]\n[H] < e >\ncinco\n---------------\n[F]\n",
        "utf-8",
    )
    blocks, notes = read_blocks(path)
    assert [(b.label, b.prompt, b.text) for b in blocks] == [
        ("F", "a", "um"), ("*T", "b", "[x] dois"), ("*H", "c", "três"), ("T", "d", "quatro"), ("H", "e", "cinco"),
    ]  # fmt: skip
    assert notes == [
        "line 1: blanks are missing around the prompt",
        "line 8: the label stands on the line after its prompt",
        "line 11: the label stands on a line before its prompt",
        "line 16: a second label for the prompt of line 17, not read",
        "line 20: a label without a prompt",
    ]


def test_a_quote_that_is_never_closed_is_refused_and_one_inside_a_value_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('prompt,completion\na,"b\nc,d\n', encoding="utf-8")
    with pytest.raises(InputError, match="never closed"):
        read_recording(path)
    path.write_text('prompt,completion\na,a 5" screen\nc,"d ""e"" f"\n', encoding="utf-8")
    assert read_recording(path).table.column("completion").to_pylist() == ['a 5" screen', 'd "e" f']


def test_bytes_that_are_not_utf8_are_refused_wherever_they_stand(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"prompt": "a", "completion": "b"}\n' * 300 + b'{"prompt": "a", "completion": "\xe9"}\n')
    with pytest.raises(InputError, match=r"UTF-?8"):
        read_recording(path)
