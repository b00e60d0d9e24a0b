"""YAML into plain values that remember their line and column, with everything dangerous left out.

Only the data part of YAML 1.2 is understood: mappings with words as keys, lists, and scalars of the core schema.
Anchors, aliases, merges, tags, directives and further documents are refused while the parser's events go by, that is
before anything is built, so that no file can grow in memory or nest beyond reach.

Not for: writing YAML, or YAML of any other program.
"""

from __future__ import annotations

import math
import re
import stat
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from biasaudit.errors import BatteryError

MAX_BYTES = 1 << 20
"""Largest battery file."""
MAX_DEPTH = 20
"""Deepest nesting of mappings and lists."""
MAX_NODES = 20_000
"""Most values in one file."""
MAX_DIGITS = 18
"""Longest number; beyond it an integer no longer fits 64 bits."""
MAX_FAULTS = 100
"""Faults that are told of one file; a damaged file would otherwise fill the screen."""

Trail = tuple[str | int, ...]
"""Keys and positions that lead from the top of a file to a value."""

# YAML 1.2.2, section 5.1: what may stand in a stream at all.
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# What may not stand in a text even when escaped: no model, terminal or page should meet it.
_UNWELCOME = re.compile("[\x00-\x08\x0b\x0c\x0d\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
# YAML 1.2.2, section 10.3.2 (core schema).
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE"})
_FALSE = frozenset({"false", "False", "FALSE"})
_INT = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


def show(text: str, limit: int = 60) -> str:
    """Return `text` shortened and with its unprintable characters escaped, fit for one line of a message."""
    short = text if len(text) <= limit else text[: limit - 1] + "…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in short)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file's values and where each of them stands."""

    name: str
    """How messages call the file."""
    value: Any
    places: dict[Trail, tuple[int, int]]
    """Trail -> (line, column) of the value, both from 1."""
    keys: dict[Trail, tuple[int, int]]
    """Trail -> (line, column) of the key that the value stands under."""

    def known(self, loc: Trail) -> Trail:
        """The part of `loc` that exists in the file; steps that a validator added are left out."""
        trail: Trail = ()
        for step in loc:
            if (*trail, step) in self.places:
                trail = (*trail, step)
        return trail

    def fault(self, loc: Trail, what: str, *, key: bool = False) -> str:
        """`file:line:column: what` for the value at `loc`, or for its key.

        Args:
            loc: a trail; of one that does not exist, the existing part counts.
            what: the message.
            key: point at the key instead of the value.
        """
        trail = self.known(loc)
        places = self.keys if key and trail in self.keys else self.places
        line, column = places.get(trail, (1, 1))
        return f"{self.name}:{line}:{column}: {what}"

    def line(self, loc: Trail) -> int:
        """Line of the value at `loc`."""
        return self.places.get(self.known(loc), (1, 1))[0]

    def in_order(self, faults: list[str]) -> list[str]:
        """Faults of this file sorted by line, then column."""

        def place(fault: str) -> tuple[int, int]:
            line, column, _ = fault[len(self.name) + 1 :].split(":", 2)
            return int(line), int(column)

        return sorted(faults, key=place)


@dataclass(slots=True)
class _Open:
    """A mapping or list whose end has not come yet."""

    trail: Trail
    container: dict[str, Any] | list[Any]
    key: str | None = None
    doubled: bool = False


class _Stop(Exception):  # noqa: N818 - ends the reading; never leaves this module
    """What follows cannot be read."""


@dataclass(slots=True)
class _Builder:
    """Builds values from events, one at a time; knows every refusal."""

    name: str
    faults: list[str] = field(default_factory=list)
    places: dict[Trail, tuple[int, int]] = field(default_factory=dict)
    keys: dict[Trail, tuple[int, int]] = field(default_factory=dict)
    root: Any = None
    documents: int = 0
    nodes: int = 0
    stack: list[_Open] = field(default_factory=list)

    def fault(self, mark: Any, what: str) -> None:
        """Note a fault at a parser mark."""
        self.faults.append(f"{self.name}:{mark.line + 1}:{mark.column + 1}: {what}")
        if len(self.faults) > MAX_FAULTS:
            raise _Stop

    def stop(self, mark: Any, what: str) -> None:
        """Note a fault after which reading makes no sense."""
        self.fault(mark, what)
        raise _Stop

    def take(self, event: Any) -> None:
        """Take the next event of the parser."""
        match event:
            case yaml.DocumentStartEvent():
                self.documents += 1
                if self.documents > 1:
                    self.stop(event.start_mark, "a second document starts here; expected one battery a file")
                if event.tags:
                    self.fault(event.start_mark, "a %TAG directive; expected none, remove it")
            case yaml.AliasEvent():
                self.stop(
                    event.start_mark, f"the alias `*{show(event.anchor or '')}`; expected the text itself, write it out"
                )
            case yaml.ScalarEvent():
                self.scalar(event)
            case yaml.MappingStartEvent():
                self.open(event, {})
            case yaml.SequenceStartEvent():
                self.open(event, [])
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self.stack.pop()

    def plain_node(self, event: Any) -> None:
        """Refuse what a node may not carry, and too many nodes."""
        self.nodes += 1
        if self.nodes > MAX_NODES:
            self.stop(event.start_mark, f"more than {MAX_NODES} values; expected fewer, split the battery")
        if event.anchor is not None:
            self.fault(event.start_mark, f"the anchor `&{show(event.anchor)}`; expected none, remove it")
        if event.tag is not None:
            self.fault(event.start_mark, f"the tag `{show(event.tag)}`; expected none, remove it")

    def open(self, event: Any, container: dict[str, Any] | list[Any]) -> None:
        """Begin a mapping or a list."""
        self.plain_node(event)
        if len(self.stack) >= MAX_DEPTH:
            self.stop(event.start_mark, f"nested more than {MAX_DEPTH} levels deep; expected a flatter file")
        top = self.stack[-1] if self.stack else None
        if top is not None and isinstance(top.container, dict) and top.key is None:
            self.stop(event.start_mark, "a mapping or list stands where a key should; expected a word before the colon")
        trail = self.place(event.start_mark, container)
        self.stack.append(_Open(trail, container))

    def scalar(self, event: Any) -> None:
        """Take a key or a value."""
        self.plain_node(event)
        top = self.stack[-1] if self.stack else None
        if top is not None and isinstance(top.container, dict) and top.key is None:
            self.begin_pair(event, top)
            return
        value = self.core(event) if event.implicit[0] else self.text(event)
        self.place(event.start_mark, value)

    def begin_pair(self, event: Any, top: _Open) -> None:
        """Take a key: always a word, whatever it looks like; twice is once too often."""
        key = unicodedata.normalize("NFC", self.text(event))
        if event.implicit[0] and key == "<<":
            self.fault(event.start_mark, "a merge `<<`; expected the keys themselves, write them out")
        if event.implicit[0] and key == "":
            self.fault(event.start_mark, "a key is empty; expected a word before the colon")
        top.key, top.doubled = key, key in top.container
        if top.doubled:
            first = self.keys[*top.trail, key][0]
            self.fault(event.start_mark, f"the key `{show(key)}` stands here twice (first in line {first}); remove one")
        else:
            self.keys[*top.trail, key] = (event.start_mark.line + 1, event.start_mark.column + 1)

    def place(self, mark: Any, value: Any) -> Trail:
        """Put a finished or just opened value where it belongs; of a doubled key the first value stays."""
        trail: Trail = ()
        if not self.stack:
            self.root = value
        else:
            top = self.stack[-1]
            if isinstance(top.container, list):
                trail = (*top.trail, len(top.container))
                top.container.append(value)
            else:
                trail = (*top.trail, top.key or "")
                if not top.doubled:
                    top.container[top.key or ""] = value
                top.key = None
        self.places.setdefault(trail, (mark.line + 1, mark.column + 1))
        return trail

    def text(self, event: Any) -> str:
        """The scalar as text, without characters that nothing downstream should meet."""
        value = str(event.value)
        found = _UNWELCOME.search(value)
        if found:
            what = f"the text holds U+{ord(found[0]):04X}, which is no character of a text; remove it"
            if event.style == '"':
                what += " (YAML makes it of an escape such as `\\b`; in single quotes a backslash stays one)"
            self.fault(event.start_mark, what)
        return value

    def core(self, event: Any) -> Any:
        """A plain scalar by the core schema: `no` and `12:30` are words, `010` is ten."""
        text = self.text(event)
        if text in _NULL:
            return None
        if text in _TRUE or text in _FALSE:
            return text in _TRUE
        if _INT.fullmatch(text) or _FLOAT.fullmatch(text):
            if sum(c.isdigit() for c in text) > MAX_DIGITS or math.isinf(float(text)):
                self.fault(
                    event.start_mark,
                    f"a number of more than {MAX_DIGITS} digits or beyond 10^308; if it is a text, put it in quotes",
                )
                return None
            return int(text) if _INT.fullmatch(text) else float(text)
        return text


def _events(text: str, *, fast: bool) -> Iterator[Any]:
    """The parser's events: libyaml's where it is built in (20 times faster), else PyYAML's own; neither recurses."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader) if fast else yaml.SafeLoader
    return iter(yaml.parse(text, Loader=loader))


def _unprintable_faults(name: str, text: str) -> list[str]:
    """Faults of characters that YAML forbids, found first so that both parsers agree on their place."""
    faults = []
    for found in _UNPRINTABLE.finditer(text):
        before = text[: found.start()]
        column = found.start() - (before.rfind("\n") + 1) + 1
        what = f"the character U+{ord(found[0]):04X}, which no text file should hold; remove it"
        faults.append(f"{name}:{before.count(chr(10)) + 1}:{column}: {what}")
        if len(faults) == MAX_FAULTS:
            break
    return faults


def load(text: str, name: str, *, fast: bool = True) -> tuple[Source, list[str]]:
    """Read YAML text.

    Args:
        text: the file's text.
        name: how messages call the file.
        fast: whether libyaml may be used; values and places are the same without it.

    Returns:
        The values with their places, and the faults after which reading could go on (tags, anchors, doubled keys).

    Raises:
        BatteryError: the text is no YAML, or uses a part of YAML after which nothing can be read.
    """
    faults = _unprintable_faults(name, text)
    if faults:
        raise BatteryError(faults)
    builder = _Builder(name)
    try:
        for event in _events(text, fast=fast):
            builder.take(event)
    except _Stop:
        raise BatteryError(builder.faults[:MAX_FAULTS]) from None
    except yaml.YAMLError as error:
        raise BatteryError([*builder.faults, _syntax_fault(name, error)]) from None
    if not isinstance(builder.root, dict):
        what = "the file is empty" if builder.root is None else "the file holds no keys at its top"
        what += "; expected a battery that starts with `battery: NAME` (`biasaudit new battery NAME` writes one)"
        raise BatteryError([*builder.faults, f"{name}:1:1: {what}"])
    source = Source(name=name, value=builder.root, places=builder.places, keys=builder.keys)
    return source, builder.faults


def _syntax_fault(name: str, error: yaml.YAMLError) -> str:
    """One line for a syntax error, with the commonest cause where we know it."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else f"{name}:1:1"
    problem = show(str(getattr(error, "problem", None) or "this is no YAML"), 160)
    hint = ""
    if "mapping values are not allowed" in problem:
        hint = "; a text that holds `: ` needs quotes"
    elif "escape character" in problem:
        hint = "; in double quotes a backslash begins an escape: put patterns in single quotes"
    elif "\\t" in problem or "cannot start any token" in problem:
        hint = "; indent with blanks, and put texts that begin with a special character in quotes"
    elif any(part in problem for part in ("expected <block end>", "expected ','", "find expected", "end of stream")):
        hint = "; check the indentation, and that brackets and quotes are closed"
    return f"{where}: {problem}{hint}"


def read_source(path: Path) -> tuple[Source, list[str]]:
    """Read a battery file; see `load`.

    Raises:
        BatteryError: the file is missing, no regular file, too large, or not UTF-8; or as `load`.
    """
    name = show(str(path), 400)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
            raise BatteryError([f"{name}: this is {kind}; expected a battery file (.yaml)"])
        with path.open("rb") as handle:
            data = handle.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise BatteryError([f"{name}: there is no such file; expected a battery (.yaml)"]) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise BatteryError([f"{name}: cannot be read ({reason})"]) from None
    if len(data) > MAX_BYTES:
        raise BatteryError(
            [f"{name}: the file is larger than {MAX_BYTES >> 20} MiB; expected a smaller battery, split it"]
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
        what = "this is not UTF-8; expected a text file saved as UTF-8"
        raise BatteryError([f"{name}:{line}:{column}: {what}"]) from None
    return load(text, name)
