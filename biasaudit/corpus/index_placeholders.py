"""Which tokens of a text belong to typed placeholders, worked out from token ids alone."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from biasaudit.corpus.privacy import KINDS

PLACEHOLDER = re.compile(r"\[(?:" + "|".join(KINDS) + r")\]")


class Placeholders:
    """Tells the tokens that hold any character of a placeholder.

    A tokenizer may cut `[LINK]` in any way and join its brackets with what stands beside it (` [`, `].`); a token that
    a placeholder touches counts as the placeholder's. Tokens are decoded one by one: what is not UTF-8 by itself comes
    out as some other character, and a placeholder is plain ASCII, so it is found either way.
    """

    def __init__(self, decode: Callable[[list[int]], str]) -> None:
        """Decode with `decode`, the tokenizer's own."""
        self._decode = decode
        self._pieces: dict[int, str] = {}

    def __call__(self, tokens: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """True for every token that a placeholder touches."""
        barred = np.zeros(len(tokens), np.bool_)
        pieces = [self._piece(token) for token in tokens.tolist()]
        text = "".join(pieces)
        if "[" not in text:
            return barred
        found = [match.span() for match in PLACEHOLDER.finditer(text)]
        if found:
            stops = np.cumsum([len(piece) for piece in pieces])
            for start, stop in found:
                barred[np.searchsorted(stops, start, "right") : np.searchsorted(stops, stop, "left") + 1] = True
        return barred

    def _piece(self, token: int) -> str:
        piece = self._pieces.get(token)
        if piece is None:
            piece = self._pieces[token] = self._decode([token]) if token >= 0 else ""
        return piece
