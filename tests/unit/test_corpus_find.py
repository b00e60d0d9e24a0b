"""Searching documents: what matches, what is counted, where the hit is, and what is refused."""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biasaudit.corpus.find import Found, pattern, search, texts_of
from biasaudit.errors import CorpusError, UsageError

TEXTS = ["A VACINA é segura", "vácina nova\nsegunda linha", "nada aqui", "a vacinação; a vacina", "R$ 1.234 (mil)"]


def put(folder: Path, texts: Sequence[str], columns: Mapping[str, Any] | None = None, rows: int = 2) -> Path:
    """A folder with a table of documents as ingest writes it, in small row groups."""
    folder.mkdir(exist_ok=True)
    count = len(texts)
    table: dict[str, Any] = {
        "document": list(range(count)),
        "split": ["val" if n % 3 == 2 else "train" for n in range(count)],
        "tokens": [1] * count,
        "bytes": [len(text.encode()) for text in texts],
        "copies": [n + 1 for n in range(count)],
        "text": list(texts),
        "message_id": [str(900 + n) for n in range(count)],
        "channel_id": [None if n == 1 else f"channel-{n % 2}" for n in range(count)],
        "date": [None if n == 1 else f"2021-{n + 1:02}-05T10:00:00" for n in range(count)],
        "source": ["dump.csv"] * count,
        "offset": [10 * n for n in range(count)],
        **(columns or {}),
    }
    pq.write_table(pa.table(table), folder / "documents.parquet", row_group_size=rows, write_page_checksum=True)
    return folder


def hits(folder: Path, query: str, **options: Any) -> list[str]:
    found = search(folder, pattern(query, **options), limit=100)
    return [row.text[row.start : row.end] for row in found.rows]


def test_case_and_accents_are_folded_and_the_hit_is_shown_as_it_stands(tmp_path: Path) -> None:
    folder = put(tmp_path / "c", TEXTS)
    assert hits(folder, "vacina") == ["VACINA", "vácina", "vacina"]
    assert hits(folder, "Vácina") == ["VACINA", "vácina", "vacina"]
    assert hits(folder, "vacina", ignore_case=False) == ["vácina", "vacina"]
    assert hits(folder, "vacina", accents=True) == ["VACINA", "vacina"]
    assert hits(folder, "vacina", accents=True, ignore_case=False) == ["vacina"]
    assert hits(folder, "VACINACAO") == ["vacinação"]
    assert hits(folder, "nova\nsegunda") == ["nova\nsegunda"]


def test_a_literal_is_never_an_expression(tmp_path: Path) -> None:
    folder = put(tmp_path / "c", [*TEXTS, r"a.b*c[d]{e}|^$\p{L}(?i)-_ ~#&!"])
    assert hits(folder, "$ 1.234 (mil)") == ["$ 1.234 (mil)"]
    assert hits(folder, "1,234") == []
    assert hits(folder, "a.ina") == []
    assert hits(folder, r"a.b*c[d]{e}|^$\p{L}(?i)-_ ~#&!") == [r"a.b*c[d]{e}|^$\p{L}(?i)-_ ~#&!"]


def test_an_expression_is_one_with_accents_folded_outside_of_brackets(tmp_path: Path) -> None:
    folder = put(tmp_path / "c", TEXTS)
    assert hits(folder, r"vacin(acao|a)", regex=True) == ["VACINA", "vácina", "vacinação"]
    assert hits(folder, r"v[a]cina\b", regex=True) == ["VACINA", "vacina"]
    assert hits(folder, r"\d+\.\d{3}", regex=True) == ["1.234"]
    assert hits(folder, r"(?P<word>nad[a-c])\s+a+", regex=True) == ["nada a"]
    assert hits(folder, r"\p{Lu}{4,}", regex=True, ignore_case=False) == ["VACINA"]
    assert hits(folder, r"linha$", regex=True) == ["linha"]
    assert hits(folder, r"z*", regex=True) == [""] * 5


def test_letters_apart_from_their_accents_match_too(tmp_path: Path) -> None:
    apart = unicodedata.normalize("NFD", "vácina ção")
    folder = put(tmp_path / "c", [apart])
    assert hits(folder, "vacina") == [unicodedata.normalize("NFD", "vácina")]
    assert hits(folder, apart) == [apart]


@given(
    st.text(alphabet="aáàãAÃçcCéeêñnoõ .[]*\\", min_size=1, max_size=6),
    st.text(alphabet="aáãAÃçcCéeoõ .[]*\\", max_size=20),
)
def test_a_literal_matches_as_python_does_after_folding(query: str, text: str) -> None:
    def folded(word: str) -> str:
        return "".join(c for c in unicodedata.normalize("NFD", word) if not unicodedata.combining(c)).lower()

    import pyarrow.compute as pc

    found = pc.match_substring_regex(pa.array([text]), pattern(query))[0].as_py()
    assert found == (folded(query) in folded(text))
    exact = pc.match_substring_regex(pa.array([text]), pattern(query, ignore_case=False, accents=True))[0].as_py()
    assert exact == (query in text)


def test_documents_and_messages_are_counted_by_side_channel_and_month(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    found = search(
        put(tmp_path / "c", TEXTS), pattern("vacina"), limit=1, progress=lambda done, total: seen.append((done, total))
    )
    assert (found.searched, found.documents, found.messages) == (5, 3, 1 + 2 + 4)
    assert found.splits == {"train": (3, 7)}
    assert found.channels == {"": (1, 2), "channel-0": (1, 1), "channel-1": (1, 4)}
    assert found.months == {"": (1, 2), "2021-01": (1, 1), "2021-04": (1, 4)}
    assert [(row.document, row.message_id, row.copies, row.offset) for row in found.rows] == [(0, "900", 1, 0)]
    assert seen[-1] == (5, 5)


def test_no_hit_and_no_document_are_plain_zeros(tmp_path: Path) -> None:
    assert search(put(tmp_path / "c", TEXTS), pattern("xyz")) == Found(searched=5)
    assert search(put(tmp_path / "e", [], {"channel_id": pa.array([], pa.string())}), pattern("xyz")).searched == 0


def test_texts_come_by_their_number_in_the_shard(tmp_path: Path) -> None:
    folder = put(tmp_path / "c", [f"text {n}" for n in range(20)])
    train = [n for n in range(20) if n % 3 != 2]
    rows = texts_of(folder, "train", [0, 5, 13, 5])
    assert {number: row.document for number, row in rows.items()} == {0: 0, 5: train[5], 13: train[13]}
    assert texts_of(folder, "val", [1])[1].text == "text 5"
    assert texts_of(folder, "val", [99]) == {}


@pytest.mark.parametrize(
    ("expression", "place"),
    [("abc(def", 4), ("[abc", 1), ("ab**c", 4), ("a{2", None), ("x(?=y)", 2), (r"a\1", 3), ("a)", 2), ("*a", 1)],
)
def test_a_bad_expression_is_told_with_its_place(expression: str, place: int | None) -> None:
    if place is None:
        pattern(expression, regex=True)
        return
    with pytest.raises(UsageError, match=rf"not an expression at character {place} \(.+\)\. The syntax is RE2's"):
        pattern(expression, regex=True)


def test_what_cannot_be_searched_for_is_refused() -> None:
    with pytest.raises(UsageError, match="Nothing to search for"):
        pattern("")
    with pytest.raises(UsageError, match="has 1,000,000 characters: give at most 2,000"):
        pattern("a" * 1_000_000)
    with pytest.raises(UsageError, match=r"not an expression at character 4 \(invalid repetition size"):
        pattern("((a{999}){999}){999}", regex=True)
    with pytest.raises(UsageError, match=r"cannot be used .*too large.*shorter one"):
        pattern("a{900}" * 20, regex=True)
    assert pattern("ã" * 2000)


def test_a_folder_without_documents_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no such folder"):
        search(tmp_path / "none", "a")
    with pytest.raises(CorpusError, match=r"no documents\.parquet in it.*ingest the dump again"):
        search(tmp_path, "a")
    (tmp_path / "documents.parquet").write_bytes(b"not a table")
    with pytest.raises(CorpusError, match="cannot be read"):
        search(tmp_path, "a")
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "documents.parquet")
    with pytest.raises(CorpusError, match="no column split, copies"):
        search(tmp_path, "a")


def test_a_damaged_table_is_told(tmp_path: Path) -> None:
    folder = put(tmp_path / "c", [f"{n} palavra" for n in range(2000)], rows=500)
    path = folder / "documents.parquet"
    content = bytearray(path.read_bytes())
    place = content.index(b"1500 palavra") if b"1500 palavra" in content else len(content) // 2
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorpusError, match="is damaged"):
        search(folder, "(?i)a")


def test_time_is_linear_whatever_the_expression(tmp_path: Path) -> None:
    folder = put(tmp_path / "c", ["a" * 100_000, "ab" * 100_000])
    started = time.process_time()
    for expression in ("(a+)+$", "(a|a)*b$", "(a*)*c", "(a?){20}a{20}b"):
        search(folder, pattern(expression, regex=True))
    assert time.process_time() - started < 5
