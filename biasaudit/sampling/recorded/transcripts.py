r"""Text transcripts as an interviewer writes them: a prompt, an answer of several lines, a rule.

    [F] < Vacinas têm chip? >
    Dizem que sim.
    ---------------

The label in brackets is the interviewer's judgement; a `*` before it, or none, is kept with it. Lines of `#` and those
between two such lines are headings. The rule may stand at the end of the answer's last line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from biasaudit.errors import InputError

_OPEN = re.compile(r"^[ \t]*(\*?)[ \t]*(?:\[([^\]\n]{0,40})\])?[ \t]*< (.*) >[ \t]*$")
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
    opened: tuple[str, str, int] | None = None
    lines: list[str] = []
    heading = False
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), start=1):
        found = _OPEN.match(line)
        if opened is None:
            if found:
                opened, lines, heading = (found[3], found[1] + (found[2] or ""), number), [], False
            elif _HEADING.match(line):
                heading = not heading
            elif line.strip() and not heading:
                notes.append(f"line {number} stands outside every block")
            continue
        if found:
            notes.append(f"line {number}: a prompt begins before the answer of line {opened[2]} has ended")
            yield _block(opened, lines)
            opened, lines = (found[3], found[1] + (found[2] or ""), number), []
            continue
        rule = _RULE.search(line)
        if rule:
            last = line[: rule.start(1)]
            yield _block(opened, [*lines, last] if last else lines)
            opened = None
            continue
        lines.append(line)
    if opened is not None:
        notes.append(f"line {opened[2]}: its answer goes to the end of the file without a rule")
        yield _block(opened, lines[:-1] if lines and not lines[-1] else lines)


def _block(opened: tuple[str, str, int], lines: list[str]) -> Block:
    prompt, label, line = opened
    return Block(prompt=prompt, label=label, line=line, text="\n".join(lines))
