"""CSV tables that no spreadsheet computes."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biasaudit.errors import StoreError
from biasaudit.store.export import csv_bytes, csv_cells, neutral, original

ATTACKS = [
    "=1+1", "+1", "-1", "@SUM(A1)", "=cmd|' /C calc'!A0", "\t=1", "\r=1", "\n=1", " =1", "\ufeff=1", '"=1"', "'=1",
    "\u200b=1", "\u202e=1", "\uff1d1+1", "\uff0b1", "\uff0d1", "\uff20A1", "\x00=1", "\u00a0=1", '=HYPERLINK("http://x")',
    "%0A=1", "|calc", " ' = 1", "\u201c=1",
]  # fmt: skip
HOSTILE = st.text(st.sampled_from(list("=+-@|%'\"\t\r\n ,;a1\ufeff\uff1d\u200b")), max_size=8) | st.text(
    st.characters(exclude_categories=("Cs",)), max_size=8
)


@pytest.mark.parametrize("text", ATTACKS)
def test_what_could_be_a_formula_gets_an_apostrophe_and_comes_back(text: str) -> None:
    assert neutral(text) == "'" + text
    assert original(neutral(text)) == text


@pytest.mark.parametrize("text", ["", "Vacina é segura", "a=b", "1-2", "R$ 5", "¿que?", "…", "50%", "(=1)"])
def test_plain_text_stays_as_it_is(text: str) -> None:
    assert neutral(text) == text


@given(st.lists(st.lists(st.none() | HOSTILE, min_size=2, max_size=2), max_size=4))
def test_tables_read_back_exactly(rows: list[list[str | None]]) -> None:
    data = csv_bytes(["first", "second"], rows)
    assert csv_cells(data) == [["first", "second"], *rows]


@given(HOSTILE)
def test_other_readers_see_the_same_cells(text: str) -> None:
    data = csv_bytes(["id", "text"], [[1, text]])
    rows = list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))
    assert rows == [["id", "text"], ["1", neutral(text)]]


def test_numbers_keep_all_digits_and_missing_ones_stay_missing() -> None:
    row = [-0.1, 0.1 + 0.2, 1e-300, 3, True, None, float("nan"), ""]
    data = csv_bytes(list("abcdefgh"), [row])
    assert data.decode("utf-8-sig").splitlines()[1] == '-0.1,0.30000000000000004,1e-300,3,true,,,""'


def test_rows_of_another_length_and_foreign_files_are_refused() -> None:
    with pytest.raises(ValueError, match="1 cells under 2 columns"):
        csv_bytes(["a", "b"], [["x"]])
    with pytest.raises(StoreError, match="row 2 is not well-formed"):
        csv_cells(b'"a"\r\n"b"c\r\n')
    with pytest.raises(StoreError, match="not UTF-8"):
        csv_cells(b"\xff")
