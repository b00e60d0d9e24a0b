"""Checks that decide whether a number of the right form is what it looks like: check digits, cues, area codes.

Check digits come from python-stdnum where it has them (CPF, CNPJ, Luhn); foreign phone numbers from phonenumbers.
"""

from __future__ import annotations

import ipaddress
import re

import phonenumbers
from stdnum import luhn
from stdnum.br import cnpj as stdnum_cnpj
from stdnum.br import cpf as stdnum_cpf

AREAS = frozenset(
    [
        "11",
        "12",
        "13",
        "14",
        "15",
        "16",
        "17",
        "18",
        "19",
        "21",
        "22",
        "24",
        "27",
        "28",
        "31",
        "32",
        "33",
        "34",
        "35",
        "37",
        "38",
        "41",
        "42",
        "43",
        "44",
        "45",
        "46",
        "47",
        "48",
        "49",
        "51",
        "53",
        "54",
        "55",
        "61",
        "62",
        "63",
        "64",
        "65",
        "66",
        "67",
        "68",
        "69",
        "71",
        "73",
        "74",
        "75",
        "77",
        "79",
        "81",
        "82",
        "83",
        "84",
        "85",
        "86",
        "87",
        "88",
        "89",
        "91",
        "92",
        "93",
        "94",
        "95",
        "96",
        "97",
        "98",
        "99",
    ]
)
"""Area codes of Brazil (Anatel)."""

_NOT_DIGIT = re.compile(r"\D+")
_FORMED_CPF = re.compile(r"\d{3}\.\d{3}\.\d{3}[-/.]\d{2}")
_FORMED_CNPJ = re.compile(r"\w{2}\.\w{3}\.\w{3}/\w{4}-\d{2}")
_CPF_CUE = re.compile(r"(?<!\w)(?:cpf|c\.p\.f\.?|cic|pix|chave)(?!\w)[^\d\n]{0,24}\Z", re.IGNORECASE)
_CNPJ_CUE = re.compile(r"(?<!\w)(?:cnpj|cgc)(?!\w)[^\d\n]{0,24}\Z", re.IGNORECASE)
_PHONE_CUE = re.compile(
    r"(?:tel(?:efone)?s?|fones?|cel(?:ular)?(?:es)?|whats?(?:app)?|wpp|wa|zap(?:zap)?|liga(?:r|ndo|ç[ãa]o)?|ligue|contatos?|chama|chame|"
    r"chamar|disk|disque|sms|pix|chave|n[úu]mero|phone|call|mobile|ramal)(?!\w)[^\d\n]{0,30}\Z",
    re.IGNORECASE,
)
_PHONE_CUE_AFTER = re.compile(r"[\s(/,-]{1,3}(?:whats|wpp|zap|celular|telefone)", re.IGNORECASE)
_LOT_CUE = re.compile(r"(?<!\w)(?:lotes?|batch|lot|modelo|s[ée]rie|c[óo]digo)(?!\w)[^\n]{0,12}\Z", re.IGNORECASE)
_VERSION_CUE = re.compile(
    r"(?<!\w)(?:vers[ãa]o|version|v|art(?:igo)?|item|se[çc][ãa]o|cap[íi]tulo|lei|rev)\.?\s{0,2}\Z", re.IGNORECASE
)
_CARD_CUE = re.compile(r"cart[ãa]o|card|cvv|cvc|visa|master|amex|elo|cr[ée]dito|d[ée]bito", re.IGNORECASE)

Checked = str | None


def digits(text: str) -> str:
    """Only the digits of `text`."""
    return _NOT_DIGIT.sub("", text)


def _before(match: re.Match[str], text: str, cue: re.Pattern[str], reach: int = 64) -> bool:
    start = match.start()
    return cue.search(text, max(0, start - reach), start) is not None


def card(match: re.Match[str], _text: str) -> Checked:
    """A payment card: 13 to 19 digits, an issuer's first digit, Luhn."""
    number = digits(match.group())
    if not 13 <= len(number) <= 19 or number[0] not in "23456" or len(set(number)) == 1:
        return None
    return "CARD" if luhn.is_valid(number) else None


def cns(match: re.Match[str], text: str) -> Checked:
    """A SUS card: 15 digits whose weighted sum is a multiple of 11."""
    number = digits(match.group())
    if number[0] not in "12789" or len(set(number)) == 1:
        return None
    valid = sum(int(d) * w for d, w in zip(number, range(15, 0, -1), strict=True)) % 11 == 0
    return "ID" if valid or _before(match, text, _DOCUMENT_CUE) else None


_DOCUMENT_CUE = re.compile(
    r"(?<!\w)(?:cns|sus|pis|pasep|nis|nit|t[íi]tulo|eleitor|cnh|habilita[çc][ãa]o|rg)(?!\w)[^\d\n]{0,24}\Z",
    re.IGNORECASE,
)


def cnpj(match: re.Match[str], text: str) -> Checked:
    """A CNPJ, numeric or with letters: check digits, the written form, or the word before it."""
    found = match.group()
    number = re.sub(r"[\s.\-/_]", "", found).upper()
    if len(set(number)) == 1:
        return None
    if stdnum_cnpj.is_valid(number) and (number.isdigit() or any(c.isdigit() for c in number[:12])):
        return "CNPJ"
    if _FORMED_CNPJ.fullmatch(found) and sum(c.isdigit() for c in number) >= 6:
        return "CNPJ"
    return "CNPJ" if number.isdigit() and _before(match, text, _CNPJ_CUE) else None


def cpf(match: re.Match[str], text: str) -> Checked:
    """A CPF: check digits, the written form, or the word before it; a mobile that passes by chance is a phone."""
    found = match.group()
    number = digits(found)
    if _FORMED_CPF.fullmatch(found) or _before(match, text, _CPF_CUE):
        return "CPF"
    if len(set(number)) == 1 or not stdnum_cpf.is_valid(number):
        return None
    mobile = number[:2] in AREAS and number[2] == "9"
    return "PHONE" if mobile else "CPF"


def spaced(match: re.Match[str], text: str) -> Checked:
    """Digits written one by one: a CPF, a CNPJ or a phone."""
    number = digits(match.group())
    if len(number) == 11 and (stdnum_cpf.is_valid(number) or _before(match, text, _CPF_CUE)):
        return "CPF"
    if len(number) == 14 and stdnum_cnpj.is_valid(number):
        return "CNPJ"
    national = number.removeprefix("55") if len(number) >= 12 else number.removeprefix("0")
    if _national(national) and (len(national) == 11 or _before(match, text, _PHONE_CUE)):
        return "PHONE"
    return None


def pis(match: re.Match[str], text: str) -> Checked:
    """A PIS/NIS in its written form, by its check digit; without the form only after its name."""
    found = match.group()
    number = digits(found)
    total = sum(int(d) * w for d, w in zip(number[:10], (3, 2, 9, 8, 7, 6, 5, 4, 3, 2), strict=True)) % 11
    valid = int(number[10]) == (0 if total < 2 else 11 - total)
    formed = "." in found and "-" in found
    return "ID" if (valid and formed) or _before(match, text, _DOCUMENT_CUE) else None


def titulo(match: re.Match[str], text: str) -> Checked:
    """A voter's number: two check digits and a state from 01 to 28, grouped as on the card or named."""
    number = digits(match.group())
    if _before(match, text, _DOCUMENT_CUE):
        return "ID"
    state = int(number[8:10])
    if not 1 <= state <= 28 or " " not in match.group():
        return None
    first = sum(int(d) * w for d, w in zip(number[:8], range(2, 10), strict=True)) % 11 % 10
    second = (int(number[8]) * 7 + int(number[9]) * 8 + first * 9) % 11 % 10
    return "ID" if number[10:] == f"{first}{second}" else None


def document(match: re.Match[str], _text: str) -> Checked:
    """A named document: enough digits to be one, and not a year or a law."""
    number = digits(match.group(1))
    return "ID" if len(number) >= 5 and not re.fullmatch(r"[\d.]{1,7}/(?:19|20)\d\d", match.group(1).strip()) else None


def plate(match: re.Match[str], text: str) -> Checked:
    """A Mercosul plate, unless a lot or a model is named before it."""
    return None if _before(match, text, _LOT_CUE, 32) else "ID"


def bank(match: re.Match[str], _text: str) -> Checked:
    """A branch or an account: a check digit, a colon or `nº`, so that sums and years stay."""
    number = match.group("number")
    cue = match.group().lower()
    if cue.startswith("op") and len(digits(number)) > 4:
        return None
    sure = (
        match.group("sure")
        or "-" in number
        or cue.startswith(("ag", "c/", "c.", "c /", "conta c", "conta p", "conta-"))
    )
    if not sure or re.fullmatch(r"\d{1,3}(?:\.\d{3})+", number):
        return None
    return "BANK" if len(digits(number)) >= 3 else None


def card_extra(match: re.Match[str], text: str) -> Checked:
    """A card's security code or validity, when a card is spoken of nearby."""
    near = text[max(0, match.start() - 80) : match.start() + 8]
    return "CARD" if _CARD_CUE.search(near) or "[CARD]" in near else None


def ipv4(match: re.Match[str], text: str) -> Checked:
    """An address, not a version, a section or a dotted count."""
    parts = match.group().split(".")
    if "000" in parts or text[max(0, match.start() - 3) : match.start()].rstrip().endswith("$"):
        return None
    if any(int(part) > 255 for part in parts) or _before(match, text, _VERSION_CUE, 16):
        return None
    return "IP" if sum(len(part) >= 2 for part in parts) >= 2 else None


def ipv6(match: re.Match[str], _text: str) -> Checked:
    """An address that the standard library can read, long enough not to be a time."""
    found = match.group()
    if len(found) < 6 or not any(c.isdigit() for c in found):
        return None
    try:
        ipaddress.IPv6Address(found)
    except ValueError:
        return None
    return "IP"


def wallet(match: re.Match[str], _text: str) -> Checked:
    """A wallet's address mixes digits and letters of both cases; a long number does not."""
    found = match.group()
    if found.startswith(("0x", "bc1")):
        return "CRYPTO"
    mixed = any(c.isdigit() for c in found[1:]) and any(c.isupper() for c in found) and any(c.islower() for c in found)
    return "CRYPTO" if mixed else None


def _national(number: str) -> bool:
    """Area code and 8 or 9 digits of a Brazilian number."""
    if len(number) == 11:
        return number[:2] in AREAS and number[2] == "9"
    return len(number) == 10 and number[:2] in AREAS and number[2] in "2345"


def phone_plus(match: re.Match[str], _text: str) -> Checked:
    """A number with its country's code."""
    found = match.group()
    number = digits(found)
    if found.startswith("00") and not found.startswith("+"):
        number = number[2:]
    if number.startswith("55"):
        national = number[2:].lstrip("0")
        if _national(national) or (len(national) == 10 and national[:2] in AREAS):
            return "PHONE"
    try:
        parsed = phonenumbers.parse("+" + number, None)
    except phonenumbers.NumberParseException:
        return None
    return "PHONE" if phonenumbers.is_valid_number(parsed) else None


def phone_area(match: re.Match[str], text: str) -> Checked:
    """An area code and a number; a bare run of ten digits only after a cue, since counters look the same."""
    if match["area"] not in AREAS:
        return None
    found = match.group().strip()
    separated = not found.isdigit()
    if match["nine"]:
        return "PHONE"
    if match["fixed"] not in "2345" and not match["cc"] and not match["open"]:
        return "PHONE" if _before(match, text, _PHONE_CUE) else None
    if match["open"] or _before(match, text, _PHONE_CUE):
        return "PHONE"
    sure = separated and re.search(r"\d{4}[-\s.]\d{4}\Z", found) and re.match(r"(?:55\D?)?(?:0xx\s?|0)?\d\d\D", found)
    return "PHONE" if sure and "." not in found.rstrip(".") else None


def phone_local(match: re.Match[str], text: str) -> Checked:
    """A number without area code: a mobile with its hyphen, or anything after a cue; never a range of years."""
    found = match.group()
    if re.fullmatch(r"(?:19|20)\d\d[-\s](?:19|20)\d\d", found):
        return None
    if re.fullmatch(r"9\s?\d{4}-\d{4}", found):
        return "PHONE"
    cued = _PHONE_CUE_AFTER.match(text, match.end()) or _before(match, text, _PHONE_CUE)
    return "PHONE" if cued else None
