r"""Text transcripts as an interviewer writes them: a prompt, an answer of several lines, a rule.

    [F] < Vacinas têm chip? >
    Dizem que sim.
    ---------------

The label in brackets is the interviewer's judgement; a `*` before it, or none, is kept with it. Lines of `#` and those
between two such lines are headings. The rule may stand at the end of the answer's last line. As written by hand, a
label may stand on a line of its own beside its prompt, and blanks may be missing: `[F]<Vacinas têm chip?>`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from biasaudit.errors import InputError

_OPEN = re.compile(r"^[ \t]*(\*?)[ \t]*(?:\[([^\]\n]{0,40})\])?[ \t]*< (.*) >[ \t]*$")
_TIGHT = re.compile(r"^[ \t]*(\*?)[ \t]*\[([^\]\n]{0,40})\][ \t]*<[ \t]*(.*?)[ \t]*>[ \t]*$")
_ALONE = re.compile(r"^[ \t]*(\*?)[ \t]*\[[ \t]*([^\]\n]{1,40}?)[ \t]*\][ \t]*$")
_RULE = re.compile(r"(-{15,})[ \t]*$")
_HEADING = re.compile(r"^#{20,}[ \t]*$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One prompt with one answer."""

    prompt: str
    text: str
    label: str
    """`F`, `*F`, or empty."""
    line: int
    """Where the prompt stands, counted from 1."""


def read_blocks(path: Path) -> tuple[list[Block], list[str]]:
    """Read a transcript; what lies outside its blocks is told in the second value, a line each.

    Raises:
        InputError: not UTF-8, or no block.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} is not UTF-8; save the transcript as UTF-8.") from error
    notes: list[str] = []
    blocks = list(_blocks(text, notes))
    if not blocks:
        raise InputError(
            f"{path}: no prompt found; a transcript has blocks of a line `[LABEL] < prompt >`, the answer, and a line "
            "of 15 dashes."
        )
    return blocks, notes


def _blocks(text: str, notes: list[str]) -> Iterator[Block]:
    opened: _Opening | None = None
    waiting = ("", 0)  # a label that stands before its prompt, and where
    lines: list[str] = []
    heading = False
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), start=1):
        found = _opening(line, number, notes)
        if opened is None:
            alone = _ALONE.match(line)
            if found:
                opened, lines, heading = _labelled(found, waiting, notes), [], False
                waiting = ("", 0)
            elif _HEADING.match(line):
                heading = not heading
            elif alone and not heading and not waiting[0]:
                waiting = (alone[1] + alone[2], number)
            elif line.strip() and not heading:
                notes.append(f"line {number} stands outside every block")
            continue
        if found:
            notes.append(f"line {number}: a prompt begins before the answer of line {opened.line} has ended")
            yield _block(opened, lines, notes)
            opened, lines = found, []
            continue
        rule = _RULE.search(line)
        if rule:
            last = line[: rule.start(1)]
            yield _block(opened, [*lines, last] if last else lines, notes)
            opened = None
            continue
        lines.append(line)
    if waiting[0]:
        notes.append(f"line {waiting[1]}: a label without a prompt")
    if opened is not None:
        notes.append(f"line {opened.line}: its answer goes to the end of the file without a rule")
        yield _block(opened, lines[:-1] if lines and not lines[-1] else lines, notes)


@dataclass(frozen=True, slots=True)
class _Opening:
    """The line that a block begins with."""

    prompt: str
    label: str
    line: int


def _opening(line: str, number: int, notes: list[str]) -> _Opening | None:
    """What a line opens; one whose blanks are missing counts only with a label, and is told."""
    found = _OPEN.match(line)
    if found is None:
        found = _TIGHT.match(line)
        if found is None:
            return None
        notes.append(f"line {number}: blanks are missing around the prompt")
    return _Opening(found[3], found[1] + (found[2] or "").strip(), number)


def _labelled(found: _Opening, waiting: tuple[str, int], notes: list[str]) -> _Opening:
    """The opening with a label that stood on a line before it."""
    if not waiting[0]:
        return found
    if found.label:
        notes.append(f"line {waiting[1]}: a second label for the prompt of line {found.line}, not read")
        return found
    notes.append(f"line {waiting[1]}: the label stands on a line before its prompt")
    return _Opening(found.prompt, waiting[0], found.line)


def _block(opened: _Opening, lines: list[str], notes: list[str]) -> Block:
    """A block; where it has no label, one on the line after its prompt is taken."""
    label = opened.label
    alone = _ALONE.match(lines[0]) if lines and not label else None
    if alone:
        label, lines = alone[1] + alone[2], lines[1:]
        notes.append(f"line {opened.line + 1}: the label stands on the line after its prompt")
    return Block(prompt=opened.prompt, label=label, line=opened.line, text="\n".join(lines))
