"""Tables under the ending of a text, told by their first line."""

from __future__ import annotations

from pathlib import Path

from biasaudit.corpus import dialect as dialects
from biasaudit.corpus.encoding import Decoder
from biasaudit.corpus.reading import SourceOptions

_HEAD = 1 << 16


def begins(path: Path, options: SourceOptions) -> bool:
    """Whether a file begins as a dump or another table does: a record of the study's, or a header.

    A header names the text and another field, or the columns that the user maps; prose does not.
    """
    head = Decoder(path, options.encoding).head(_HEAD)
    _, named, line = dialects.first_lines(head, 0)
    delimiter = named or dialects.guess_delimiter(line)
    if dialects.looks_like_record(line, delimiter):
        return True
    columns = dialects.columns_of(line, delimiter)
    if len(columns) < 2:
        return False
    fields = dialects.fields_of(columns, options)
    mapped = bool(options.columns) and set(options.columns) <= set(columns)
    return "text" in fields and (len(fields) > 1 or mapped)
