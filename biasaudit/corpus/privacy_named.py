"""Checks of what only a word nearby gives away: documents, plates, accounts, a card's code and validity."""

from __future__ import annotations

import re

from biasaudit.corpus.privacy_checks import Checked, before, digits

_LOT_CUE = re.compile(r"(?<!\w)(?:lotes?|batch|lot|modelo|s[ée]rie|c[óo]digo)(?!\w)[^\n]{0,12}\Z", re.IGNORECASE)
_CARD_CUE = re.compile(r"cart[ãa]o|card|cvv|cvc|visa|master|amex|(?<!\w)elo(?!\w)|cr[ée]dito|d[ée]bito", re.IGNORECASE)
_DATES = re.compile(r"\d{1,2}[/.-]\d{1,2}[/.-](?:19|20)?\d\d|(?:(?:19|20)\d\d[\s/-]{0,3})+|[\d.]{1,7}/(?:19|20)\d\d")
_THOUSANDS = re.compile(r"\d{1,3}(?:\.\d{3})+")
_RG_CUE = re.compile(r"(?:rg|r\.g\.?|registro geral|identidade)\b", re.IGNORECASE)


def document(match: re.Match[str], _text: str) -> Checked:
    """A named document: enough digits to be one, and not a date, a law, a price or a count."""
    value = match.group(2).strip()
    if "$" in match["gap"] or _DATES.fullmatch(value):
        return None
    if _THOUSANDS.fullmatch(value) and not (_RG_CUE.match(match.group()) and len(match["gap"]) <= 12):
        return None
    return "ID"


def plate(match: re.Match[str], text: str) -> Checked:
    """A Mercosul plate, unless a lot or a model is named before it."""
    return None if before(text, match.start(), _LOT_CUE, 32) else "ID"


def bank(match: re.Match[str], _text: str) -> Checked:
    """A branch or an account: a check digit, a colon or `nº`, so that sums and years stay."""
    number = match["number"]
    cue = match["cue"].lower()
    count = len(digits(number))
    if cue.startswith("op") and count > 4:
        return None
    if cue in ("dv", "dígito", "digito"):
        return "BANK" if count <= 2 else None
    named = cue.startswith(
        (
            "ag",
            "c/",
            "c.",
            "c /",
            "conta c",
            "conta p",
            "conta-",
            "conta b",
            "conta s",
            "conta d",
            "iban",
            "routing",
            "sort",
        )
    )
    short = cue in ("cc", "cp", "cta", "op", "op.", "c.c", "c.c.")
    sure = (
        match["sure"]
        or (cue == "conta" and number.isdigit() and count >= 6)
        or re.search(r"-\s?[\dxX]\Z", number)
        or (named and cue != "agência 24")
    )
    if short:
        sure = re.search(r"-\s?[\dxX]\Z", number) or (match["sure"] and count >= 4)
    if not sure or re.fullmatch(r"\d{1,3}(?:[.\s]\d{3})+", number):
        return None
    return "BANK" if count >= 3 else None


def iban(match: re.Match[str], _text: str) -> Checked:
    """An IBAN by its remainder of 97."""
    number = re.sub(r"\s", "", match.group())
    turned = number[4:] + number[:4]
    return "BANK" if 15 <= len(number) <= 34 and int("".join(str(int(c, 36)) for c in turned)) % 97 == 1 else None


_CARD_BEHIND = re.compile(r"cvv|cvc|\[CARD\]|cart[ãa]o (?:de )?(?:cr[ée]dito|d[ée]bito|\d)", re.IGNORECASE)


def card_extra(match: re.Match[str], text: str) -> Checked:
    """A card's security code or validity, when a card is spoken of nearby."""
    near = text[max(0, match.start() - 100) : match.start() + 12]
    behind = text[match.end() : match.end() + 40]
    if digits(match.group(1)) == "188" and "[CARD]" not in near:
        # The line of the Centro de Valorização da Vida, CVV.
        return None
    if _CARD_BEHIND.search(behind):
        return "CARD"
    return "CARD" if _CARD_CUE.search(near) or "[CARD]" in near else None
