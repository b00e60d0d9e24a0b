"""Personal data becomes typed placeholders."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

_PATTERNS = (
    (
        "INVITE",
        re.compile(
            r"(?i)\b(?:https?://)?(?:t(?:elegram)?\.(?:me|dog)/(?:joinchat/|\+)|chat\.whatsapp\.com/)[\w+/-]{4,64}"
        ),
    ),
    ("LINK", re.compile(r"(?i)\b(?:https?://|www\.)[^\s<>\"”]{1,2000}")),
    ("EMAIL", re.compile(r"(?i)\b[a-z0-9._%+-]{1,64}@[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){1,4}\b")),
    ("USER", re.compile(r"(?<![\w@])@[A-Za-z0-9_.]{3,32}\b")),
    ("CPF", re.compile(r"(?<![\d.])\d{3}\.\d{3}\.\d{3}-\d{2}(?!\d)")),
    ("CNPJ", re.compile(r"(?<![\d.])\d{2}\.\d{3}\.\d{3}/\d{4}-\d{2}(?!\d)")),
    ("PHONE", re.compile(r"(?<![\d.,/-])(?:\+?55[ .-]?)?\(?0?[1-9][1-9]\)?[ .-]?9?\d{4}[ -]\d{4}(?![\d-])")),
)


@dataclass(frozen=True, slots=True)
class Masked:
    """A text with its personal data replaced."""

    text: str
    counts: Counter[str]
    spans: tuple[tuple[int, int, int, int], ...] = ()


def mask(text: str) -> Masked:
    """Replace personal data by typed placeholders."""
    counts: Counter[str] = Counter()
    for name, pattern in _PATTERNS:
        text, found = pattern.subn(f"[{name}]", text)
        if found:
            counts[name] += found
    return Masked(text, counts)
