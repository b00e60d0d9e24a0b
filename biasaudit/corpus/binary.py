"""Files that are not text whatever their names say: known by their first bytes, before a reader sees them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from biasaudit.corpus.encoding import Decoder
from biasaudit.errors import CorpusError

_HEAD = 64 << 10
_SHARE = 0.05
"""Share of control characters from which bytes are no text; compressed data have 0.09 of those that count here."""
_FEW = 32
"""Control characters that any file may have."""
_CONTROLS = np.zeros(256, bool)
_CONTROLS[[0, *range(2, 9), *range(14, 27), 127]] = True
"""Neither blanks, the escapes of terminals, nor what tables are separated by (1 and 28 to 31)."""

_TABLE = "Export it as CSV and give that."
_WORDS = "Save its text as .txt and give that."
_KNOWN = (
    (b"%PDF-", "a PDF", _WORDS),
    (b"\x89PNG\r\n", "a picture (PNG)", ""),
    (b"GIF87a", "a picture (GIF)", ""),
    (b"GIF89a", "a picture (GIF)", ""),
    (b"\xff\xd8\xff", "a picture (JPEG)", ""),
    (b"\x7fELF", "a program", ""),
    (b"SQLite format 3\x00", "an SQLite database", "Export the table of its messages as CSV and give that."),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook or Word document", _TABLE),
    (b"PAR1\x15", "a Parquet file", "Give it the ending .parquet, or say --source parquet."),
    (b"ARROW1\x00\x00", "an Arrow file", "Write it as Parquet and give that."),
    (b"\x1f\x8b\x08", "a gzip archive", "Give it the ending .gz."),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", "Give it the ending .zst."),
    (b"BZh91AY&SY", "a bzip2 archive", "Unpack it and give what it holds."),
    (b"\xfd7zXZ\x00", "an xz archive", "Unpack it and give what it holds."),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "Unpack it and give what it holds."),
    (b"Rar!\x1a\x07", "a RAR archive", "Unpack it and give what it holds."),
)
"""First bytes, what they say, and what to do."""
_ZIPPED = (
    (b"xl/", "an Excel workbook", _TABLE),
    (b"word/", "a Word document", _WORDS),
    (b"opendocument.spreadsheet", "an OpenDocument table", _TABLE),
    (b"opendocument", "an OpenDocument text", _WORDS),
    (b"[Content_Types].xml", "an Office document", _TABLE),
    (b"", "a zip archive", "Give it the ending .zip."),
)
"""What the first bytes of a zip archive hold."""

_PAGE = re.compile(rb"(?:\xef\xbb\xbf)?\s{0,64}<(?:!doctype html|html[\s>])", re.IGNORECASE)


def refuse(path: Path, kind: str, encoding: str | None) -> None:
    """Stop when a file that is to be read as `kind` is no text; other tables than text and missing files pass.

    Raises:
        CorpusError: its first bytes are those of a known format, or hold more control characters than texts do.
    """
    if kind == "hf" or not path.is_file():
        return
    with path.open("rb") as handle:
        head = handle.read(_HEAD)
    what, advice = _format(head)
    if kind == "parquet" and (not what or head.startswith(b"PAR1")):
        return
    if not what and kind in ("csv", "jsonl") and _PAGE.match(head):
        what, advice = "a web page (HTML)", "A failed download leaves such a file: download or export it again."
    if not what and not Decoder(path, encoding).wide and _binary(head):
        what, advice = "binary data", "UTF-16 without a byte order mark is read with --encoding utf-16."
    if what:
        expected = "a Parquet file" if kind == "parquet" else "text"
        raise CorpusError(f"{path}: this is {what}, not {expected}. {advice or 'Leave it out.'}")


def _format(head: bytes) -> tuple[str, str]:
    if head.startswith(b"PK\x03\x04"):
        return next((what, advice) for mark, what, advice in _ZIPPED if mark in head)
    return next(((what, advice) for mark, what, advice in _KNOWN if head.startswith(mark)), ("", ""))


def _binary(head: bytes) -> bool:
    """Whether bytes are no text; zeros in a row, which a crash leaves in a file of text, count once."""
    marks = np.frombuffer(head, np.uint8)
    again = (marks[1:] == 0) & (marks[:-1] == 0)
    controls = int(_CONTROLS[marks].sum()) - int(again.sum())
    return controls > max(_FEW, _SHARE * (len(marks) - int(again.sum()))) or (
        len(head) == _HEAD and not head.strip(b"\0")
    )
