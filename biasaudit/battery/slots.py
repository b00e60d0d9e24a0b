"""The holes of a template: `{name}` and `{name.form}`, `{{` and `}}` for braces, and nothing else.

No expression, filter, format or attribute exists here: a hole is a word that is looked up in a dictionary, and what is
put in is never read again. So a template cannot run, loop or reach anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from biasaudit.battery.source import show

_PIECE = re.compile(r"\{\{|\}\}|\{[^{}]*\}|[{}]")
_HOLE = re.compile(r"\{([^\W\d_][\w-]{0,63})(?:\.([^\W\d_][\w-]{0,63}))?\}")


@dataclass(frozen=True, slots=True)
class Hole:
    """A `{slot}` or `{slot.form}`; `form` is empty for the first kind."""

    slot: str
    form: str = ""

    def __str__(self) -> str:
        """As a person writes it."""
        return "{" + self.slot + (f".{self.form}" if self.form else "") + "}"


@dataclass(frozen=True, slots=True)
class Template:
    """A text cut into literal pieces and holes."""

    pieces: tuple[str | Hole, ...]
    holes: tuple[Hole, ...]
    """Its different holes, in order."""

    def length(self, values: Mapping[Hole, str]) -> int:
        """Characters that `fill` will return, counted before anything is built."""
        return sum(len(values[piece]) if isinstance(piece, Hole) else len(piece) for piece in self.pieces)

    def fill(self, values: Mapping[Hole, str]) -> str:
        """The text with every hole filled; what is put in is taken literally.

        Raises:
            KeyError: a hole has no value (callers have checked).
        """
        return "".join(values[piece] if isinstance(piece, Hole) else piece for piece in self.pieces)


def cut(text: str) -> tuple[Template, list[str]]:
    """Cut `text` into literal pieces and holes.

    Returns:
        The template, and what is wrong with the braces of the text (empty when nothing is). Runs in linear time.

    >>> template, faults = cut("{{x}} {claim}")
    >>> template.fill({Hole("claim"): "y {z}"}), faults
    ('{x} y {z}', [])
    """
    pieces: list[str | Hole] = []
    faults: list[str] = []
    end = 0
    for found in _PIECE.finditer(text):
        pieces.append(text[end : found.start()])
        end = found.end()
        token = found[0]
        if token in ("{{", "}}"):
            pieces.append(token[0])
            continue
        hole = _HOLE.fullmatch(token)
        if hole:
            pieces.append(Hole(hole[1], hole[2] or ""))
        elif len(faults) < 3:
            what = f"the brace `{token}` stands alone" if len(token) == 1 else f"`{show(token)}` is no slot"
            faults.append(f"{what}; expected `{{name}}` or `{{name.form}}`, or `{{{{` and `}}}}` for literal braces")
    pieces.append(text[end:])
    pieces = [piece for piece in pieces if piece != ""]
    holes = dict.fromkeys(piece for piece in pieces if isinstance(piece, Hole))
    return Template(tuple(pieces), tuple(holes)), faults
