"""CSV tables that a spreadsheet opens as text and that read back exactly.

A cell that a spreadsheet could take for a formula gets a leading apostrophe, and so does every cell that begins with
one; taking one apostrophe off restores the text. Text is always quoted, numbers never are, and an empty cell without
quotes is a value that does not exist. Source of the rule: OWASP, CSV Injection (ASVS 1.2.10), widened to full-width
signs and to signs behind blanks, quotes and invisible characters.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Sequence

from biasaudit.errors import StoreError

Cell = str | int | float | bool | None

_FORMULA = frozenset("=+-@|%" + "\uff1d\uff0b\uff0d\uff20" + "\ufe66\ufe62\ufe63\ufe6b" + "\u2212")
_QUOTES = frozenset("\"'`\u00b4\u2018\u2019\u201c\u201d\u00ab\u00bb\uff02\uff07")
_INVISIBLE = frozenset({"Cc", "Cf", "Cn", "Co", "Zl", "Zp", "Zs"})
_SURROGATE = re.compile("[\ud800-\udfff]")
_CELL = re.compile(r'(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n|\Z)')


def neutral(text: str) -> str:
    """Return `text` so that no spreadsheet computes it; `original` takes it back."""
    return f"'{text}" if text.startswith("'") or _could_compute(text) else text


def original(cell: str) -> str:
    """Undo `neutral`."""
    return cell[1:] if cell.startswith("'") else cell


def csv_bytes(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> bytes:
    """Return a CSV file (RFC 4180, UTF-8 with the mark that spreadsheets look for).

    Numbers have a decimal point in every locale and all the digits that they need; NaN and infinities are empty cells.
    Lone surrogates, which UTF-8 cannot hold, become U+FFFD.

    Raises:
        ValueError: a row has another number of cells than there are columns.
    """
    lines = [_line(columns)]
    for row in rows:
        if len(row) != len(columns):
            raise ValueError(f"a row of {len(row)} cells under {len(columns)} columns")
        lines.append(_line(row))
    return ("\ufeff" + "".join(lines)).encode("utf-8")


def csv_cells(data: bytes) -> list[list[str | None]]:
    """Read what `csv_bytes` wrote, header included; numbers come back as text, empty cells as None.

    Raises:
        StoreError: `data` is not such a file; a spreadsheet may have saved it in its own way.
    """
    try:
        text = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise StoreError(f"The table is not UTF-8 ({error}). Save it as CSV UTF-8.") from error
    rows: list[list[str | None]] = []
    row: list[str | None] = []
    at = 0
    while at < len(text):
        match = _CELL.match(text, at)
        if match is None:
            raise StoreError(f"The table's row {len(rows) + 1} is not well-formed CSV. Export it again.")
        quoted, bare, end = match.groups()
        row.append((bare or None) if quoted is None else original(quoted.replace('""', '"')))
        at = match.end()
        if end != ",":
            rows.append(row)
            row = []
    return rows


def _line(cells: Sequence[Cell]) -> str:
    return ",".join(_written(cell) for cell in cells) + "\r\n"


def _written(cell: Cell) -> str:
    if cell is None or (isinstance(cell, float) and not math.isfinite(cell)):
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, (int, float)):
        return repr(cell)
    text = neutral(_SURROGATE.sub("\ufffd", cell)).replace('"', '""')
    return f'"{text}"'


def _could_compute(text: str) -> bool:
    if text[:1] in ("\t", "\r", "\n"):
        return True
    for character in text:
        if character in _FORMULA:
            return True
        if character not in _QUOTES and unicodedata.category(character) not in _INVISIBLE:
            return False
    return False
