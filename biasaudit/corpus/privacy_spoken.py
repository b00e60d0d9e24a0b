"""Phone numbers in words, or with letters that look like digits."""

from __future__ import annotations

import re
from itertools import pairwise

from biasaudit.corpus import privacy_checks as checks

_COUNTING = ("zero", "um", "dois", "três", "quatro", "cinco", "seis", "sete", "oito", "nove")
_ENGLISH = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_SPANISH = ("cero", "uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve")
_VALUES = {word: value for words in (_COUNTING, _ENGLISH, _SPANISH) for value, word in enumerate(words)} | {
    "uma": 1, "duas": 2, "tres": 3, "meia": 6,
}  # fmt: skip


_TENS = {word: 10 * value for value, word in enumerate(
    ("vinte", "trinta", "quarenta", "cinquenta", "sessenta", "setenta", "oitenta", "noventa"), 2
)} | {"cinqüenta": 50}  # fmt: skip
_TEENS = {
    "onze": 11, "doze": 12, "treze": 13, "quatorze": 14, "catorze": 14, "quinze": 15, "dezesseis": 16, "dezessete": 17,
    "dezoito": 18, "dezenove": 19,
}  # fmt: skip


def _said(text: str) -> tuple[list[int], str, int]:
    """Values that `text` says one by one, the digits they make, and how many of them are words."""
    values: list[int] = []
    number = ""
    words = 0
    open_tens = False
    for part in re.findall(r"[^\W_]+", text.lower()):
        if part == "e":
            continue
        if part.isdigit():
            values.append(int(part))
            number += part
            open_tens = False
            continue
        words += 1
        if open_tens and _VALUES.get(part, 0) > 0:
            values[-1] += _VALUES[part]
            number = number[:-1] + str(_VALUES[part])
            open_tens = False
            continue
        open_tens = part in _TENS
        values.append(_TENS.get(part) or _TEENS.get(part) or _VALUES.get(part, 0))
        number += str(values[-1])
    return values, number, words


def spelled(match: re.Match[str], _text: str) -> checks.Checked:
    """Eight or more digits as words, unless somebody counts up or down."""
    values, number, _ = _said(match.group())
    steps = {abs(b - a) for a, b in pairwise(values)}
    return "PHONE" if 8 <= len(number) <= 14 and len(steps) > 1 else None


def spelled_partly(match: re.Match[str], text: str) -> checks.Checked:
    """A phone number part in words and part in figures, whole or behind a cue."""
    values, number, words = _said(match.group())
    if words < 2 or words == len(values):
        return None
    if checks.is_national(number.removeprefix("55") if len(number) > 11 else number) and len(number) >= 11:
        return "PHONE"
    return "PHONE" if 8 <= len(number) <= 13 and checks.before(text, match.start(), checks.PHONE_CUE) else None


_LETTERS_AS_DIGITS = str.maketrans("OolI", "0011")


def phone_lettered(match: re.Match[str], text: str) -> checks.Checked:
    """A number with the letter O for zero or l for one."""
    found = match.group()
    number = checks.digits(found.translate(_LETTERS_AS_DIGITS))
    if len(checks.digits(found)) < 6 or not checks.is_national(number):
        return None
    return (
        "PHONE"
        if (len(number) == 11 and not found.isalnum()) or checks.before(text, match.start(), checks.PHONE_CUE)
        else None
    )
