"""Exact and near duplicates: kept once, with how often they came.

Memory: an exact index takes 16 bytes of digest and about 140 bytes of Python for every distinct text.
"""

from __future__ import annotations

import hashlib

EXACT_BYTES_PER_DOCUMENT = 160

MODES = ("exact", "near", "keep")
"""`exact` keeps one copy of equal texts, `near` also one of almost equal texts, `keep` keeps all."""


class ExactIndex:
    """Distinct texts so far, by a 128-bit digest, and how many copies of each."""

    def __init__(self) -> None:
        """Start empty."""
        self._number: dict[bytes, int] = {}
        self.copies: list[int] = []
        """Copies of each distinct text, in the order of first sight."""
        self.last = b""
        """Digest of the text added last."""

    def add(self, text: str) -> bool:
        """Count `text`; True when it was not seen before."""
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        self.last = digest
        number = self._number.setdefault(digest, len(self.copies))
        if number == len(self.copies):
            self.copies.append(1)
            return True
        self.copies[number] += 1
        return False
