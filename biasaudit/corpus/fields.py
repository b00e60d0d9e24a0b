"""Which key of a JSON object is the text, the id, the channel and the date; values as they were written."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biasaudit.corpus.reading import FIELD_LIMIT, FILTERED, SourceOptions, checked_columns, field_of
from biasaudit.errors import CorpusError


class Number(str):
    """A JSON number as it stands in the file: ids of any size stay exact, `1e3` stays `1e3`."""

    __slots__ = ()


DECODER = json.JSONDecoder(parse_int=Number, parse_float=Number, parse_constant=Number)
"""Reads JSON with numbers as `Number`."""

USER = "[USER]"
"""Stands where a messenger itself marks the name of a person; as the privacy stage writes it."""
_LISTED = 40
"""Names that an error message lists."""
_NAME = 60
"""Characters of a name that it shows."""


@dataclass(frozen=True, slots=True)
class Fields:
    """Keys of the objects of one source; `a.b` is key b of the object under a."""

    text: str
    id: str | None
    channel_id: str | None
    date: str | None
    where: tuple[tuple[str, str], ...]

    def text_of(self, value: Mapping[str, Any]) -> str | None:
        """The text of an object, empty when it is null; None when there is none.

        A list of strings and of objects with a `text` (Telegram's entities) is the text that they spell.
        """
        found = _under(value, self.text, missing=Number())
        if isinstance(found, str):
            return None if isinstance(found, Number) else found
        if isinstance(found, list):
            return joined(found)
        return "" if found is None else None

    def flags_of(self, value: Mapping[str, Any]) -> tuple[str, ...]:
        """What the user's `where` says of an object."""
        for key, wanted in self.where:
            if plain(_under(value, key)) != wanted:
                return (FILTERED,)
        return ()

    def rest_of(self, value: Mapping[str, Any]) -> tuple[str | None, str | None, str | None]:
        """Id, channel and date of an object."""
        return (
            plain(_under(value, self.id)) if self.id else None,
            plain(_under(value, self.channel_id)) if self.channel_id else None,
            plain(_under(value, self.date)) if self.date else None,
        )

    def doubt(self, text: str | None) -> str | None:
        """Why an object with this text is no record; None when it is one."""
        if text is None:
            return f"field '{self.text}' holds no text"
        return f"field over {FIELD_LIMIT} bytes" if len(text) > FIELD_LIMIT else None


def fields_of(path: Path, sample: Iterable[Mapping[str, Any]], options: SourceOptions) -> Fields:
    """Find the fields from the user's map, then from the names of keys.

    Args:
        path: the file, for the message.
        sample: objects from its start; a key counts when any of them has it.
        options: the user's map and `where`.

    Raises:
        CorpusError: no object of the sample has the key of the text, or one that the user named.
    """
    keys: dict[str, None] = {}
    for value in sample:
        keys |= dict.fromkeys(_keys(value))
    found = {name: key for key in reversed(keys) if (name := field_of(key)) is not None}
    asked = {name: key for key, name in checked_columns(options.columns).items()}
    found |= asked
    for key in (found.get("text", "text"), *asked.values(), *options.where):
        if key not in keys:
            advice = "" if asked else " Name the one that holds the text with --map FIELD=text."
            raise CorpusError(f"{path}: {missing('field', key, keys, advice, guess=bool(asked))}")
    return Fields(
        found["text"], found.get("id"), found.get("channel_id"), found.get("date"), tuple(options.where.items())
    )


def plain(value: object) -> str | None:
    """A scalar as its text, so that ids and labels of any JSON type compare with what a user types."""
    if value is None:
        return None
    return str(value).strip() if isinstance(value, str) else json.dumps(value)


def joined(parts: Iterable[object]) -> str | None:
    """The text that strings and objects with a `text` spell; None when one of them is something else.

    A `mention_name` is a person's name, which Telegram puts where somebody without an address is mentioned.
    """
    texts: list[str] = []
    for part in parts:
        text = part.get("text") if isinstance(part, dict) else part
        if not isinstance(text, str) or isinstance(text, Number):
            return None
        texts.append(USER if text and isinstance(part, dict) and part.get("type") == "mention_name" else text)
    return "".join(texts)


def _under(value: Mapping[str, Any], key: str, missing: Any = None) -> Any:
    if key in value or "." not in key:
        return value.get(key, missing)
    found: Any = value
    for part in key.split("."):
        if not isinstance(found, dict):
            return missing
        found = found.get(part, missing)
    return found


def _keys(value: Mapping[str, Any], before: str = "", depth: int = 0) -> Iterable[str]:
    """The keys of an object, then those of the objects in it."""
    yield from (before + key for key in value)
    if depth < 3:
        for key, inner in value.items():
            if isinstance(inner, dict):
                yield from _keys(inner, f"{before}{key}.", depth + 1)


def missing(what: str, name: str, known: Iterable[str], advice: str = "", *, guess: bool = True) -> str:
    """Say that there is no `what` called `name`, with the nearest of `known`, if `guess`, and the first of all."""
    names = list(known)
    near = difflib.get_close_matches(name, names[:10_000], n=1, cutoff=0.4) if guess else []
    hint = f" Did you mean '{_short(near[0])}'?" if near else ""
    return f"no {what} '{name}'.{hint}{advice} {what.capitalize()}s: {listed(names)}."


def listed(names: Iterable[str]) -> str:
    """Names for a message: not all of many, not the whole of a long one."""
    known = list(names)
    more = f" and {len(known) - _LISTED:,} more" if len(known) > _LISTED else ""
    return ", ".join(_short(name) for name in known[:_LISTED]) + more or "none"


def _short(name: str) -> str:
    name = "".join(c if c.isprintable() else "\ufffd" for c in name[: _NAME + 1])
    return name if len(name) <= _NAME else f"{name[:_NAME]}…"
