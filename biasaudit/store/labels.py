"""Human labels in a run folder: what was asked of whom, and what they said.

    labels/key.json              the secret that item ids are made with; it never leaves the run
    labels/batch-<id>.json       one labelling page: which item is which completion, and who reads what in which order
    labels/by-<rater>.json       everything that one person said, page after page, file after file

Each is one atomic file that the manifest vouches for. The writing functions need the run's lock.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import hmac
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biasaudit import identity
from biasaudit.errors import StoreError
from biasaudit.labels import HumanLabel, Key, Label, LabelSet
from biasaudit.store.run import RunFolder

FOLDER = "labels"
_SECRET = f"{FOLDER}/key.json"
_BATCH = f"{FOLDER}/batch-"
_RATER = f"{FOLDER}/by-"
_FIELDS = tuple(field.name for field in dataclasses.fields(HumanLabel))


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One labelling page as it was planned."""

    batch_id: str
    items: Mapping[str, Key]
    """Item id -> completion."""
    lists: tuple[tuple[tuple[str, int], ...], ...]
    """For every reader the (item id, pass) in order."""
    labels: LabelSet
    created: str
    settings: Mapping[str, Any]


def secret(folder: RunFolder) -> bytes:
    """The run's secret, made on first use; needs the lock then."""
    if not folder.has(_SECRET):
        folder.write_json(_SECRET, {"key": secrets.token_hex(32)})
    try:
        return bytes.fromhex(folder.read_json(_SECRET)["key"])
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{folder.path / _SECRET} is damaged. Restore it from a copy.") from error


def keyed(key: bytes, *parts: object) -> str:
    """A keyed hash of `parts`, 32 hex digits: without the key nothing follows from it."""
    return hmac.new(key, identity.canonical_json(list(parts)), hashlib.sha256).hexdigest()[:32]


def write_batch(folder: RunFolder, batch: Batch) -> None:
    """Store a page's plan; needs the lock."""
    value = identity.plain(batch)
    folder.write_json(f"{_BATCH}{batch.batch_id}.json", value)


def batches(folder: RunFolder) -> dict[str, Batch]:
    """Batch id -> plan, of every page that was made of the run.

    Raises:
        StoreError: one is damaged.
    """
    return {batch.batch_id: batch for name in _names(folder, _BATCH) for batch in [_batch(folder, name)]}


def _batch(folder: RunFolder, name: str) -> Batch:
    value = folder.read_json(name)
    try:
        return Batch(
            batch_id=str(value["batch_id"]),
            items={item: _key(entry) for item, entry in value["items"].items()},
            lists=tuple(tuple((str(item), int(turn)) for item, turn in own) for own in value["lists"]),
            labels=LabelSet(labels=tuple(Label(**entry) for entry in value["labels"]["labels"])),
            created=str(value["created"]),
            settings=dict(value["settings"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StoreError(f"{folder.path / name} is damaged ({error!r}). Restore it from a copy.") from error


def read_labels(folder: RunFolder) -> list[HumanLabel]:
    """Every stored label, by rater, then as they were given.

    Raises:
        StoreError: a file is damaged.
    """
    return [label for name in _names(folder, _RATER) for label in _labels(folder, name)]


def _labels(folder: RunFolder, name: str) -> list[HumanLabel]:
    value = folder.read_json(name)
    try:
        return [HumanLabel(**{**dict(zip(_FIELDS, row, strict=True)), "key": _key(row[0])}) for row in value["labels"]]
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{folder.path / name} is damaged ({error!r}). Restore it from a copy.") from error


def write_labels(folder: RunFolder, labels: Iterable[HumanLabel]) -> list[str]:
    """Store labels as all that their raters said; return the files written. Needs the lock.

    Args:
        folder: the run.
        labels: of whole raters: what is stored of a rater who is among them is replaced by what is here.
    """
    by_rater: dict[str, list[HumanLabel]] = {}
    for label in labels:
        by_rater.setdefault(label.rater, []).append(label)
    written = []
    for rater, own in sorted(by_rater.items()):
        name = f"{_RATER}{identity.safe_name(rater)}.json"
        rows = [[getattr(label, field) for field in _FIELDS] for label in own]
        folder.write_json(name, {"rater": rater, "fields": _FIELDS, "labels": rows})
        written.append(name)
    return written


def raters(folder: Path) -> list[str]:
    """Who labelled the run in `folder`, by name; what cannot be read there counts as nobody."""
    found = []
    for path in sorted((folder / FOLDER).glob("by-*.json")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            found.append(str(json.loads(path.read_bytes())["rater"]))
    return sorted(found)


def _names(folder: RunFolder, prefix: str) -> list[str]:
    place = folder.path / FOLDER
    if not place.is_dir():
        return []
    return [name for path in sorted(place.glob("*.json")) if (name := f"{FOLDER}/{path.name}").startswith(prefix)]


def _key(value: Sequence[Any]) -> Key:
    arm, prompt, decoding, seed, salt, index = value
    return (str(arm), str(prompt), str(decoding), int(seed), str(salt), int(index))
