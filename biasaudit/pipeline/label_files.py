"""Files with labels, read strictly: exports of the labelling page, tables, and transcripts labelled by hand.

Each reader gives labels and what a person should know of the file, a sentence a line. What cannot be trusted is an
error with its place; nothing is guessed and nothing is joined to a completion by anything but its id, key or text.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biasaudit.errors import InputError
from biasaudit.labels import HumanLabel
from biasaudit.pipeline.label_lookup import Lookup, Options, Read, folded, rater_name, refuse, utf8
from biasaudit.pipeline.label_tables import read_table
from biasaudit.pipeline.stored import Stored

if TYPE_CHECKING:
    from biasaudit.store.labels import Batch

FORMAT = 1
LARGEST = 256 << 20
_ROW = ("item", "pass", "label", "on_topic", "note", "at")


def read_file(path: Path, stored: Stored, options: Options) -> Read:
    """Read one file of labels, by its ending: .json, .csv, .tsv, .jsonl, .ndjson or .txt.

    Raises:
        InputError: it cannot be read, or does not fit this run; every fault with its place.
    """
    readers = {
        ".json": _export,
        ".csv": read_table,
        ".tsv": read_table,
        ".jsonl": read_table,
        ".ndjson": read_table,
        ".txt": _transcript,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path}: labels come as {', '.join(readers)}; rename the file to what it is.")
    if not path.is_file():
        raise InputError(f"{path}: there is no such file.")
    if path.stat().st_size > LARGEST:
        raise InputError(f"{path}: {path.stat().st_size:,} bytes are too many for labels.")
    return reader(path, stored, options)


def checksum(rows: Sequence[Mapping[str, Any]]) -> int:
    """CRC-32 of what the page exported, so that an edited or damaged file is not taken for what a person said."""
    lines = [json.dumps([row.get(name) for name in _ROW], ensure_ascii=False, separators=(",", ":")) for row in rows]
    return zlib.crc32("\n".join(lines).encode("utf-8", "surrogatepass"))


def _export(path: Path, stored: Stored, options: Options) -> Read:
    value = _json(path)
    rows = value.get("labels")
    if value.get("biasaudit_labels") != FORMAT or not isinstance(rows, list):
        raise InputError(
            f"{path}: is not an export of a labelling page; expected biasaudit_labels: {FORMAT} and labels."
        )
    batch = _batch(path, stored, value.get("batch"))
    reader, rater = value.get("reader"), rater_name(options.rater or value.get("rater"), str(path))
    if not isinstance(reader, int) or isinstance(reader, bool) or not 1 <= reader <= len(batch.lists):
        raise InputError(f"{path}: reader {reader!r} is not one of the page's lists 1 to {len(batch.lists)}.")
    if not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{path}: every entry of labels must be an object with item, pass and label.")
    if not options.edited and value.get("check") != checksum(rows):
        raise InputError(
            f"{path}: was edited or damaged after it was exported (its check sum does not fit). Export it again, or "
            "add --edited if you changed it on purpose."
        )
    return _exported(path, batch, rows, reader, rater, options)


def _exported(
    path: Path, batch: Batch, rows: Sequence[Mapping[str, Any]], reader: int, rater: str, options: Options
) -> Read:
    """Every row of an export held against its list."""
    places = {turn: place for place, turn in enumerate(batch.lists[reader - 1])}
    found, faults, seen = Read(), [], set()
    for number, row in enumerate(rows, start=1):
        item, turn, label = row.get("item"), row.get("pass"), row.get("label")
        where = f"entry {number} (item {str(item)[:40]})"
        if not isinstance(item, str) or not isinstance(turn, int) or (item, turn) not in places:
            elsewhere = isinstance(item, str) and item in batch.items
            faults.append(f"{where} is not in list {reader}" if elsewhere else f"{where} is not an item of this page")
            continue
        if (item, turn) in seen:
            faults.append(f"{where} comes twice")
            continue
        seen.add((item, turn))
        topic, note, at = row.get("on_topic"), row.get("note", ""), row.get("at", "")
        if label is not None and label not in batch.labels.keys:
            faults.append(f"{where} has the label {label!r}; the page has {', '.join(batch.labels.keys)}")
        elif topic not in (None, True, False) or not isinstance(note, str) or not isinstance(at, str):
            faults.append(f"{where}: on_topic must be true, false or null, note and at text")
        elif label is not None:
            found.labels.append(
                HumanLabel(
                    key=batch.items[item], label=label, rater=rater, pass_number=turn, on_topic=topic, note=note[:1000],
                    at=at[:40], batch=batch.batch_id, place=places[item, turn], set_id=batch.labels.set_id,
                )
            )  # fmt: skip
    refuse(path, faults)
    missing = len(places) - len(found.labels)
    if missing and not options.partial:
        raise InputError(
            f"{path}: {missing} of the {len(places)} texts of list {reader} have no label; finish the list, or add "
            "--partial to store what there is."
        )
    if missing:
        found.notes.append(f"{missing} of the {len(places)} texts of list {reader} have no label yet")
    return found


def _json(path: Path) -> Mapping[str, Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) != len(pairs):
            raise ValueError("a name stands twice in one object")
        return made

    try:
        value = json.loads(utf8(path), object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not valid JSON ({error}); export the labels again.") from error
    if not isinstance(value, dict):
        raise InputError(f"{path}: is not a JSON object; export the labels again.")
    return value


def _batch(path: Path, stored: Stored, batch_id: Any) -> Batch:
    from biasaudit.store.labels import batches

    known = batches(stored.folder)
    if batch_id not in known:
        raise InputError(
            f"{path}: its labels are of another page than this run's ({len(known)} known, none of them {batch_id!r}); "
            "name the run that the page was made of."
        )
    return known[batch_id]


def _transcript(path: Path, stored: Stored, options: Options) -> Read:
    """Labels of the blocks whose prompt and answer stand in the run; what does not fit is told by line."""
    from biasaudit.sampling.recorded.transcripts import read_blocks

    if not options.rater:
        raise InputError(f"{path}: a transcript does not say who labelled it; add --rater NAME.")
    rater = rater_name(options.rater, "--rater")
    blocks, told = read_blocks(path)
    found = Read(notes=list(told))
    lookup = Lookup.of(stored, options.arm)
    texts = lookup.by_text()
    faults: list[str] = []
    empty: list[int] = []
    strange = 0
    for place, block in enumerate(blocks):
        mark, word = block.label.startswith("*"), block.label.removeprefix("*").strip()
        asked, said = folded(block.prompt), folded(block.text)
        own = texts.get((asked, said), [])
        if not own and asked and said.startswith(asked):
            own = texts.get((asked, said.removeprefix(asked).strip()), [])
            found.notes += (
                [f"line {block.line}: the answer begins with its prompt, which was not counted"] if own else []
            )
        if not word:
            empty.append(block.line)
            continue
        label = options.labels.find(word)
        if label is None:
            faults.append(
                f"line {block.line}: '{word}' is none of the labels {', '.join(options.labels.keys)}; correct it"
            )
        elif not own:
            strange += 1
            found.notes.append(f"line {block.line}: no completion of the run answers this prompt with this text")
        elif len({(key[0], key[4]) for key in own}) > 1:
            faults.append(f"line {block.line}: several arms wrote this text; say which with --arm NAME")
        else:
            found.labels.append(
                HumanLabel(key=own.pop(0), label=label, rater=rater, batch=path.name, place=place, mark=mark,
                           set_id=options.labels.set_id)
            )  # fmt: skip
    refuse(path, faults)
    if strange and not found.labels:
        raise InputError(f"{path}: none of its {len(blocks)} answers stands in this run; name the run that holds them.")
    if empty:
        first = ", ".join(str(line) for line in empty[:5]) + (", …" if len(empty) > 5 else "")
        found.notes.append(f"{len(empty)} of {len(blocks)} answers have no label (line {first})")
    return found
