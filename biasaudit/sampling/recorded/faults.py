"""Where a file of completions cannot be read: the line, what is wrong with it, and what to do.

Arrow reads fast and says little; these look again, slowly, once a file was refused.
"""

from __future__ import annotations

import codecs
import csv
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_HALF = re.compile("[\ud800-\udfff]")
_BLOCK = 1 << 20
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def encoding_fault(path: Path) -> str:
    """Why the bytes of a file are not UTF-8, and where; empty when they are."""
    line, decoder = 1, codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as handle:
        block = handle.read(_BLOCK)
        if block.startswith(_WIDE):
            return "it is UTF-16; save it as UTF-8 (in a spreadsheet: CSV UTF-8)"
        while True:
            try:
                decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                line += bytes(error.object[: error.start]).count(b"\n")
                return f"line {line} is not UTF-8; save it as UTF-8 (in a spreadsheet: CSV UTF-8)"
            if not block:
                return ""
            line += block.count(b"\n")
            block = handle.read(_BLOCK)


def csv_fault(path: Path, delimiter: str) -> str:
    """The first row of a CSV that has another number of values than its header; empty when there is none."""
    with path.open(encoding="utf-8-sig", newline="", errors="replace") as handle:
        reader = csv.reader(handle, delimiter=delimiter)
        try:
            columns, before = len(next(reader, [])), reader.line_num
            for row in reader:
                if row and len(row) != columns:
                    return (
                        f"line {before + 1} has {len(row)} values, and the header {columns}; a text with a line break, "
                        f"a quote or '{delimiter}' in it must stand in quotes"
                    )
                before = reader.line_num
        except csv.Error as error:
            return f"line {reader.line_num}: {error}"
    return ""


def jsonl_fault(path: Path, chosen: Mapping[str, str]) -> str:
    """The first line of a JSONL that is no object, or whose values are of another kind than those before."""
    kinds: dict[str, tuple[str, int]] = {}
    with path.open(encoding="utf-8-sig", errors="replace") as handle:
        for number, line in enumerate(handle, 1):
            if not line.strip():
                continue
            try:
                value = json.loads(line)
            except (ValueError, RecursionError):
                return f"line {number} is not JSON; expected one object a line"
            if not isinstance(value, dict):
                return f"line {number} is not an object; expected one object a line"
            for name in chosen.values():
                kind, entry = _kind(value.get(name)), value.get(name)
                if kind and kinds.setdefault(name, (kind, number))[0] != kind:
                    first, where = kinds[name]
                    return f"'{name}' is {kind} in line {number} and {first} in line {where}; write all alike"
                if isinstance(entry, str) and _HALF.search(entry):
                    return f"'{name}' in line {number} holds half of a surrogate pair, which no text can; take it out"
    return ""


def _kind(value: Any) -> str:
    if value is None:
        return ""
    names = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list"}
    return names.get(type(value), "an object")
