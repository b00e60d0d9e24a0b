"""Tables of labels: CSV, TSV and JSONL with a column `label` and what tells the completion."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from biasaudit.errors import InputError
from biasaudit.labels import HumanLabel
from biasaudit.pipeline.label_lookup import Lookup, Options, Read, rater_name, refuse, utf8
from biasaudit.pipeline.stored import Stored

_NAMES = {
    "item": ("item",),
    "arm": ("arm", "braço", "braco", "modelo", "model"),
    "prompt": ("prompt", "pergunta", "question"),
    "prompt_id": ("prompt_id",),
    "decoding_id": ("decoding_id",),
    "index": ("index", "índice", "indice"),
    "label": ("label", "rótulo", "rotulo"),
    "rater": ("rater", "rotulador", "rotuladora", "annotator"),
    "pass": ("pass", "passada"),
    "on_topic": ("on_topic", "no_tema"),
    "note": ("note", "observação", "observacao"),
    "at": ("at", "data"),
}
_YES_NO = {"": None, "yes": True, "sim": True, "true": True, "1": True, "no": False, "não": False, "nao": False,
           "false": False, "0": False}  # fmt: skip


def read_table(path: Path, stored: Stored, options: Options) -> Read:
    """Labels of a table; every row is held against the run.

    Raises:
        InputError: a column is missing, or rows do not fit, every one with its line.
    """
    rows = list(_jsonl(path) if path.suffix.lower() in (".jsonl", ".ndjson") else _csv(path))
    lookup = Lookup.of(stored, options.arm)
    found, faults = Read(), []
    empty = 0
    for line, row in rows:
        if not str(row.get("label") or "").strip():
            empty += 1
            continue
        try:
            found.labels.append(_row(path, row, lookup, options))
        except InputError as error:
            faults.append(f"line {line}: {error}")
    refuse(path, faults)
    if empty:
        found.notes.append(f"{empty} rows have no label")
    return found


def _row(path: Path, row: Mapping[str, str], lookup: Lookup, options: Options) -> HumanLabel:
    """One row of a table; errors say what is wrong without saying where."""
    batch = lookup.batch_of.get(row.get("item", "").strip())
    labels = options.labels if batch is None else batch.labels
    key = lookup.key(row)
    label = labels.find(row["label"])
    if label is None:
        raise InputError(f"'{row['label'][:40]}' is none of the labels {', '.join(labels.keys)}; correct it")
    said = row.get("on_topic", "").strip().casefold()
    if said not in _YES_NO:
        raise InputError(f"on_topic is '{said[:40]}'; expected yes, no or nothing")
    turn = row.get("pass", "").strip() or "1"
    if turn not in ("1", "2"):
        raise InputError(f"pass is '{turn[:40]}'; expected 1 or 2")
    if not (row.get("rater") or options.rater):
        raise InputError("it does not say who labelled: add a column rater, or --rater NAME")
    return HumanLabel(
        key=key, label=label, rater=rater_name(row.get("rater") or options.rater, "rater"), pass_number=int(turn),
        on_topic=_YES_NO[said], note=row.get("note", "")[:1000], at=row.get("at", "")[:40], batch=path.name,
        set_id=labels.set_id,
    )  # fmt: skip


def _named(path: Path, names: Sequence[str]) -> dict[str, str]:
    """Column of the file -> our name for it.

    Raises:
        InputError: no label, or nothing that tells the completion.
    """
    plain = {name: unicodedata.normalize("NFC", name).strip().casefold() for name in names}
    found = {name: ours for name, word in plain.items() for ours, words in _NAMES.items() if word in words}
    twice = sorted({ours for ours in found.values() if list(found.values()).count(ours) > 1})
    if twice:
        raise InputError(f"{path}: two columns could be the {twice[0]}; keep one of them.")
    have = set(found.values())
    if "label" not in have or not ("item" in have or ("index" in have and have & {"prompt", "prompt_id"})):
        raise InputError(
            f"{path}: needs a column label, and either item, or prompt (or prompt_id) and index; "
            f"it has {', '.join(names) or 'none'}."
        )
    return found


def _csv(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    text, above = utf8(path), 0
    if text[:4].casefold() == "sep=":  # spreadsheets write it above the header
        text, above = text.partition("\n")[2], 1
    first = text.split("\n", 1)[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t|", key=first.count), strict=True)
    try:
        header = next(reader, [])
        names = _named(path, header)
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            if len(row) != len(header):
                raise InputError(
                    f"{path}: line {reader.line_num + above}: {len(row)} cells under {len(header)} columns."
                )
            yield (
                reader.line_num + above,
                {names[name]: cell for name, cell in zip(header, row, strict=True) if name in names},
            )
    except csv.Error as error:
        raise InputError(f"{path}: line {reader.line_num + above}: is not well-formed CSV ({error}).") from error


def _jsonl(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    for number, line in enumerate(utf8(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}: line {number} is not JSON; expected one object a line.") from error
        if not isinstance(value, dict):
            raise InputError(f"{path}: line {number} is not an object; expected one object a line.")
        names = _named(path, list(value))
        yield number, {names[k]: "" if v is None else str(v) for k, v in value.items() if k in names}
