"""Exact and near duplicates: kept once, with how often they came.

Memory: about 160 bytes for every distinct text (a 128-bit digest and Python's own cost); near duplicates take about
1,500 bytes more for every text that is kept (128 MinHash values and their places in 16 bands).
"""

from __future__ import annotations

import hashlib
from typing import Any

from biasaudit.errors import UnknownNameError

MODES = ("exact", "near", "keep")
"""`exact` keeps one copy of equal texts, `near` also one of almost equal texts, `keep` keeps all."""

NEAR = 0.8
"""Estimated Jaccard similarity of word triples from which two texts are copies."""

_PERMUTATIONS = 128
_BANDS = 16
_SEED = 1
_SHORTEST = 8
"""Words; shorter texts have too few triples to be almost equal by accident of none."""


class Duplicates:
    """The texts kept so far, and how many copies each one stands for."""

    def __init__(self, mode: str = "exact") -> None:
        """Start empty.

        Raises:
            UnknownNameError: `mode` is not one of `MODES`.
        """
        if mode not in MODES:
            raise UnknownNameError("way with duplicates", mode, MODES)
        self._mode = mode
        self._number: dict[bytes, int] = {}
        self._near = _NearIndex() if mode == "near" else None
        self.copies: list[int] = []
        """Copies of each kept text, in the order in which they came."""
        self.near = 0
        """Texts dropped because they are almost, and not exactly, equal to one that is kept."""
        self.last = b""
        """Digest of the text added last."""

    def add(self, text: str) -> bool:
        """Count `text`; True when it is to be kept."""
        self.last = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if self._mode == "keep":
            self.copies.append(1)
            return True
        number = self._number.get(self.last)
        if number is None and self._near is not None:
            number = self._near.find(text, len(self.copies))
            self.near += number is not None
        if number is None:
            self._number[self.last] = len(self.copies)
            self.copies.append(1)
            return True
        self._number[self.last] = number
        self.copies[number] += 1
        return False


class _NearIndex:
    """MinHash signatures of kept texts in bands; candidates are checked against their signatures."""

    def __init__(self) -> None:
        import rensa

        self._rensa = rensa
        self._bands = rensa.RMinHashLSH(threshold=NEAR, num_perm=_PERMUTATIONS, num_bands=_BANDS)
        self._signatures: dict[int, Any] = {}

    def find(self, text: str, number: int) -> int | None:
        """The kept text that `text` almost equals; None, after filing it as `number`, when there is none."""
        words = text.lower().split()
        if len(words) < _SHORTEST:
            return None
        signature = self._rensa.RMinHash(num_perm=_PERMUTATIONS, seed=_SEED)
        signature.update([" ".join(words[at : at + 3]) for at in range(len(words) - 2)])
        for candidate in sorted(self._bands.query(signature)):
            if self._signatures[candidate].jaccard(signature) >= NEAR:
                return int(candidate)
        self._bands.insert(number, signature)
        self._signatures[number] = signature
        return None
