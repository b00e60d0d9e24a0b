r"""The rules that find personal data in a folded text; bounded, so linear in the text's length.

Each rule is a pattern and, where a form alone does not decide, a check: check digits, a cue word before it, the area
codes of Brazil. Rules run in an order of trust; what one has taken no other touches. A handful of cheap searches
decides which rules can find anything at all, since most texts hold nothing.

Sources: IN RFB 2.229/2024 (alphanumeric CNPJ), Banco Central's BR Code manual (PIX), Anatel's area codes,
core.telegram.org/api/links.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from biasaudit.corpus import privacy_checks as checks

_I = re.IGNORECASE
_S = r"[\s.\-/_]{0,2}"
"""What may stand between the groups of a number, a line break included."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One pattern; `check(match, text)` gives the kind, or None to leave the match alone."""

    pattern: re.Pattern[str]
    check: Callable[[re.Match[str], str], str | None]
    group: int = 0
    """The part of the match that is replaced."""


def _always(kind: str) -> Callable[[re.Match[str], str], str | None]:
    return lambda _match, _text: kind


def _cue(words: str, kind: str, reach: int = 24) -> Callable[[re.Match[str], str], str | None]:
    """Give `kind` when one of `words` stands shortly before the match, on which no other number lies between."""
    pattern = re.compile(rf"(?:{words})[^\d\n]{{0,{reach}}}\Z", _I)

    def check(match: re.Match[str], text: str) -> str | None:
        start = match.start()
        return kind if pattern.search(text, max(0, start - reach - 16), start) else None

    return check


# ---------------------------------------------------------------------------- addresses of the net

_TLDS = (
    r"com|net|org|br|gov|edu|info|io|me|tv|ly|be|co|app|dev|site|online|link|gg|to|ru|us|uk|pt|es|fr|de|it|eu|ar|mx|"
    r"dog|xyz|blog|club|shop|store|live|news|page|gl|cc|ws|in|ch|nl|ca|au|jp|cn|gd|im|is|la|vc|fm"
)
_URL = re.compile(
    r"(?<![A-Za-z0-9])(?:(?:https?|hxxps?|ftp|tg|whatsapp)(?::|%3A)(?://|%2F%2F)|mailto:(?!\S{1,64}@)|www\.(?=\w)"
    r"|tg:(?=(?:resolve|join|user|msg|addlist)\b))[^\s<>\"”“«»]{1,4096}",
    _I,
)
_BARE_URL = re.compile(
    r"(?<![\w@.\-])(?:[a-z0-9](?:[a-z0-9\-]{0,61}[a-z0-9])?\.){1,4}(?:" + _TLDS + r")(?:\.br)?"
    r"(?:/[^\s<>\"”“«»]{1,4096}|(?=\?[a-z]{1,20}=)[^\s<>\"]{1,2048})",
    _I,
)
_OWN_HOST = re.compile(
    r"(?<![\w@.\-])(?:[a-z][a-z0-9_]{2,31}\.t\.me|t\.me|telegram\.(?:me|dog)|wa\.me|chat\.whatsapp\.com|"
    r"api\.whatsapp\.com)(?![\w.\-]{0,64}\w)/?",
    _I,
)
_BR_HOST = re.compile(
    r"(?<![\w@.\-])(?:[\w](?:[\w\-]{0,61}\w)?\.){1,4}(?:com|net|org|gov|edu|jus|leg|mil|blog)\.br(?![\w\-]|\.\w)", _I
)
_INVITE = re.compile(
    r"(?:t(?:elegram)?\.(?:me|dog)/(?:\+|%2B|joinchat|addlist)|chat\.whatsapp\.com|[?&]invite=|tg:(?://)?(?:join|addlist)"
    r"|discord\.gg/)",
    _I,
)
_EMAIL = re.compile(
    r"(?:mailto:)?(?:\"[^\"\n@]{1,64}\"|(?<![\w.+%\-])[\w+%](?:[\w.+%\-']{0,62}[\w+])?)(?:@|%40)"
    r"(?:[\w](?:[\w\-]{0,61}\w)?\.){1,5}[^\W\d_]{2,24}(?![\w@])",
    _I,
)
_PROVIDERS = (
    r"gmail|g\s?mail|hotmail|outlook|yahoo|ymail|uol|bol|terra|icloud|live|msn|proton|protonmail|globo|ig|zipmail|"
    r"oi|r7|aol|gmx|me|mail"
)
_AT = (
    r"(?:\s{0,2}(?:@|\(\s?@\s?\)|\[\s?@\s?\])\s{0,2}|\s{0,2}[\[({<]\s?(?:at|arroba)\s?[\])}>]\s{0,2}|"
    r"[\s_\-]{1,2}(?:arroba|at)[\s_\-]{1,2})"
)
_DOT = r"(?:\s{0,2}\.\s{0,2}|\s{0,2}[\[({<]\s?(?:dot|ponto|\.)\s?[\])}>]\s{0,2}|[\s_\-]{1,2}(?:ponto|dot)[\s_\-]{1,2})"
_EMAIL_HIDDEN = re.compile(
    rf"(?<![\w.+\-])\w[\w.+\-]{{0,62}}{_AT}"
    rf"(?:(?:{_PROVIDERS}){_DOT}|[\w\-]{{2,63}}(?:\.|\s?[\[(]\s?(?:dot|ponto)\s?[\])]\s?|\s(?:ponto|dot)\s))"
    rf"(?:com|net|org|gov|edu|br|pt|me|io|info|jus|mil)(?:{_DOT}(?:br|pt|uk|ar))?(?!\w)",
    _I,
)
_USER = re.compile(r"(?<![\w@.%/])@(?=\w{0,31}[^\W\d])\w(?:[\w.]{1,30}\w|\w{1,2})(?![\w@])")


def _url(match: re.Match[str], _text: str) -> str | None:
    return "INVITE" if _INVITE.search(match.group()) else "LINK"


_URL_RULES = (Rule(_URL, _url),)
_BARE_RULES = (Rule(_BARE_URL, _url),)
_HOST_RULES = (Rule(_OWN_HOST, _always("LINK")), Rule(_BR_HOST, _always("LINK")))
_AT_RULES = (Rule(_EMAIL, _always("EMAIL")),)
_HIDDEN_RULES = (Rule(_EMAIL_HIDDEN, _always("EMAIL")),)
_USER_RULES = (Rule(_USER, _always("USER")),)

# ---------------------------------------------------------------------------- secrets, wallets, keys

_TOKEN_RULES = (
    Rule(re.compile(r"000201[\x20-\x7e]{20,512}?6304[0-9A-F]{4}(?![0-9A-F])", _I), _always("PIX")),
    Rule(
        re.compile(
            r"(?<![\w-])[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?![\w-])",
            _I,
        ),
        _always("PIX"),
    ),
    Rule(re.compile(r"(?<!\d)\d{8,10}:[A-Za-z0-9_-]{33,38}(?![\w-])"), _always("SECRET")),
    Rule(
        re.compile(
            r"(?<!\w)(?:sk-[A-Za-z0-9_-]{20,128}|gh[pousr]_[A-Za-z0-9]{30,80}|AKIA[0-9A-Z]{16}|AIza[\w-]{35}"
            r"|hf_[A-Za-z0-9]{30,60}|xox[abprs]-[A-Za-z0-9-]{10,80}|eyJ[\w-]{10,512}\.[\w-]{10,1024}\.[\w-]{10,512})(?!\w)"
        ),
        _always("SECRET"),
    ),
    Rule(
        re.compile(r"(?<!\w)(?:bc1[a-z0-9]{25,59}|0x[0-9a-fA-F]{40}|[13][1-9A-HJ-NP-Za-km-z]{25,34})(?!\w)"),
        checks.wallet,
    ),
)

# ---------------------------------------------------------------------------- numbers

_N = r"(?<![\w,.])"
_E = r"(?![\w]|[.,/-]\d)"
_CARD = re.compile(
    rf"(?<!\d)(?:\d{{4}}{_S}){{3}}\d{{1,4}}(?:{_S}\d{{1,3}})?(?!\d)|(?<!\d)3[47]\d\d{_S}\d{{6}}{_S}\d{{5}}(?!\d)"
)
_CNPJ = re.compile(rf"(?<![\w.])[0-9A-Z]{{2}}{_S}[0-9A-Z]{{3}}{_S}[0-9A-Z]{{3}}{_S}[0-9A-Z]{{4}}{_S}\d{_S}\d(?!\w)", _I)
_CPF = re.compile(rf"(?<![\w.])\d{{3}}{_S}\d{{3}}{_S}\d{{3}}{_S}\d{{2}}(?!\w)")
_SPACED = re.compile(r"(?<!\w)\d(?:[\s.\-/]{1,3}\d){9,13}(?!\w)")
_CNS = re.compile(rf"(?<![\w.])\d{{3}}{_S}\d{{4}}{_S}\d{{4}}{_S}\d{{4}}(?!\w)")
_PIS = re.compile(r"(?<![\w.])\d{3}\.?\s?\d{5}\.?\s?\d{2}-?\s?\d(?!\w)")
_TITULO = re.compile(r"(?<![\w.])\d{4}[ .]?\d{4}[ .]?\d{4}(?!\w)")
_DOCUMENT = re.compile(
    r"(?<!\w)(?:rg|r\.g\.|identidade|cnh|habilita[çc][ãa]o|pis|pasep|nis|nit|t[íi]tulo(?: de eleitor| eleitoral)?|cns|"
    r"cart[ãa]o (?:do )?sus|passaporte|passport|matr[íi]cula|ctps|crm|coren|renavam)"
    r"(?:\s?(?:n[ºo°.]{0,2}|n[úu]mero|do|da|de|é|e|:|=|-|\.|\()){0,4}\s{0,2}"
    r"((?:[A-Z]{2}[\s.-]{0,2})?\d[\d.\s/-]{3,18}[\dxX])(?!\w)",
    _I,
)
_RG = re.compile(r"(?<![\w.])\d{2}\.\d{3}\.\d{3}-[\dxX](?!\w)")
_PLATE = re.compile(r"(?<![\w-])[A-Z]{3}[ -]?\d[A-Z]\d{2}(?![\w-])")
_OLD_PLATE = re.compile(r"(?<![\w-])[A-Z]{3}[ -]?\d{4}(?![\w-])")
_BANK = re.compile(
    r"(?<!\w)(?:ag(?:[êe]ncia|\.)?|conta(?:[ -](?:corrente|poupan[çc]a|sal[áa]rio|digital))?|c\s?/\s?[cp]|c\.c\.?|"
    r"poupan[çc]a|op(?:era[çc][ãa]o)?)"
    r"(?P<sure>\s?(?:n[ºo°.]{1,2}|n[úu]mero|:|=|-|\(|013))?\s{0,2}(?P<number>\d[\d.]{2,14}(?:[\s]?-[\s]?[\dxX])?)(?![\w%]|[.,/]\d)",
    _I,
)
_CARD_EXTRA = re.compile(
    r"(?<!\w)(?:cvv|cvc|c[óo]d(?:igo)? de seguran[çc]a|validade|val\.?|exp(?:ira)?)"
    r"\s?[:=]?\s?(\d{3,4}|\d{2}/\d{2,4})(?!\w)",
    _I,
)
_CEP = re.compile(r"(?<![\w.,/-])\d{2}\.?\d{3}-\d{3}(?![\w-])")
_CEP_CUED = re.compile(r"(?<!\w)cep\s?(?:n[ºo°.]{0,2})?\s?[:=-]?\s?(\d{2}\.?\d{3}[\s-]?\d{3})(?!\w)", _I)
_STREET = re.compile(
    r"(?<!\w)(?:rua|r\.|av\.|avenida|travessa|tv\.|alameda|al\.|pra[çc]a|rodovia|estrada|quadra)\s[^\d\n]{2,60}?"
    r"(?:,|\s|n[ºo°.]{1,2})\s?(\d{1,5})(?=[^\n]{0,120}(?:\d{5}-?\d{3}|\[CEP\]))",
    _I,
)
_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])(?=[0-9a-f:]{0,40}::|(?:[0-9a-f]{1,4}:){7})[0-9a-f:]{4,39}(?![\w:])", _I)

_PHONE_PLUS = re.compile(r"(?<![\w+])(?:\+|00)\s?\d{1,3}[\s.()/-]{0,3}\d(?:[\s.()/-]{0,2}\d){5,12}(?!\w)")
_PHONE_AREA = re.compile(
    r"(?<![\w,.+-])(?P<cc>55[\s.-]{0,2})?(?P<open>\(\s?)?(?:0xx\s?|0(?:\d\d[\s-])?)?(?P<area>[1-9]{2})\s?\)?[\s.\-/]{0,3}"
    r"(?:(?P<nine>9)[\s.-]?\d{4}|(?P<fixed>[2-9])\d{3})[\s.\-]{0,2}\d{4}(?![\w]|[.,/-]\d)"
)
_PHONE_LOCAL = re.compile(r"(?<![\w,.+/-])(?:9[\s.]?\d{4}|[2-5]\d{3})[\s.-]?\d{4}(?![\w]|[.,/-]\d)")

_CNPJ_RULES = (Rule(_CNPJ, checks.cnpj),)
_IPV6_RULES = (Rule(_IPV6, checks.ipv6),)
_NUMBER_RULES = (
    Rule(_CARD, checks.card),
    Rule(_CNS, checks.cns),
    Rule(_CNPJ, checks.cnpj),
    Rule(_PHONE_PLUS, checks.phone_plus),
    Rule(_CPF, checks.cpf),
    Rule(_SPACED, checks.spaced),
    Rule(_PIS, checks.pis),
    Rule(_TITULO, checks.titulo),
    Rule(_PHONE_AREA, checks.phone_area),
    Rule(_PHONE_LOCAL, checks.phone_local),
    Rule(_RG, _always("ID")),
    Rule(_IPV4, checks.ipv4),
)
_CUED_RULES = (
    Rule(_DOCUMENT, checks.document, 1),
    Rule(_BANK, checks.bank, 2),
    Rule(_CARD_EXTRA, checks.card_extra, 1),
    Rule(_CEP_CUED, _always("CEP"), 1),
    Rule(_CEP, _always("CEP")),
    Rule(_STREET, _always("CEP"), 1),
)
_PLATE_RULES = (
    Rule(_PLATE, checks.plate),
    Rule(_OLD_PLATE, _cue(r"placas?|ve[íi]culo|carro|moto", "ID")),
)

# ---------------------------------------------------------------------------- which rules can find anything, and where

_DIGITS = re.compile(r"\d(?:[\s.()/\-_]{0,3}\d){6,}")
_SOME_DIGITS = re.compile(r"\d\d\D?\d")
_CNPJ_HINT = re.compile(r"/[0-9A-Za-z]{4}-\d\d|[0-9A-Z]{12}\d\d")
_PLATE_HINT = re.compile(r"[A-Z]{3}[ -]?\d[A-Z\d]\d")
_LONG_WORD = re.compile(r"[\w-]{26}")
_BARE_HINT = re.compile(r"\.[A-Za-z]{2,6}[/?]")
_AT_HINT = re.compile(r"@|%40")
_HIDDEN_HINT = re.compile(r"arroba|[\[({<]\s?at\s?[\])}>]|[\s_-]at[\s_-]|@\s|\s@|[\[(]\s?@", _I)

_URL_WORDS = ("://", "www.", "%3a", "mailto:", "tg:")
_HOST_WORDS = ("t.me", "telegram.", "wa.me", "whatsapp.com", ".br")
_HIDDEN_WORDS = ("arroba", "at]", "at)", "at}", "at>", " at ", "_at_", "-at-", "@ ", " @", "@]", "@)", "at ]", "at )")

Window = tuple[int, int]


def _windows(hint: re.Pattern[str], text: str, before: int, after: int) -> list[Window]:
    """Stretches around the hints, joined where they meet; a rule that needs a hint can match nowhere else."""
    found: list[Window] = []
    for match in hint.finditer(text):
        start, end = max(0, match.start() - before), match.end() + after
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return found


def _plan(text: str) -> Iterator[tuple[tuple[Rule, ...], list[Window]]]:
    """The groups of rules that have a chance in `text`, in their order of trust, and where to look."""
    low = text.lower()
    whole = [(0, len(text))]
    if "000201" in text or _LONG_WORD.search(text):
        yield _TOKEN_RULES, whole
    if any(word in low for word in _URL_WORDS):
        yield _URL_RULES, whole
    if _BARE_HINT.search(text):
        yield _BARE_RULES, whole
    if any(word in low for word in _HOST_WORDS):
        yield _HOST_RULES, whole
    at = _windows(_AT_HINT, text, 80, 400) if "@" in text or "%40" in text else []
    if at:
        yield _AT_RULES, at
    if any(word in low for word in _HIDDEN_WORDS):
        yield _HIDDEN_RULES, _windows(_HIDDEN_HINT, text, 80, 160)
    if _CNPJ_HINT.search(text):
        yield _CNPJ_RULES, whole
    yield _NUMBER_RULES, _windows(_DIGITS, text, 8, 8)
    yield _CUED_RULES, _windows(_SOME_DIGITS, text, 120, 150)
    yield _PLATE_RULES, _windows(_PLATE_HINT, text, 2, 8)
    if "::" in text or text.count(":") >= 7:
        yield _IPV6_RULES, whole
    if at:
        yield _USER_RULES, at


_TRAILING = ".,;:!?)]}'’*_…>"


def find(text: str) -> list[tuple[int, int, str]]:
    """Spans (start, end, kind) of personal data in a folded text, apart from one another, in order."""
    # Kept in order, so that a new span needs to be held against its two neighbours only.
    taken: list[tuple[int, int, str]] = []
    for group, windows in _plan(text):
        for rule in group:
            for low, high in windows:
                for match in rule.pattern.finditer(text, low, high):
                    _take(rule, match, text, taken)
    return taken


def _take(rule: Rule, match: re.Match[str], text: str, taken: list[tuple[int, int, str]]) -> None:
    start, end = match.span(rule.group)
    place = bisect_left(taken, (start, end, ""))
    if (place and taken[place - 1][1] > start) or (place < len(taken) and taken[place][0] < end):
        return
    kind = rule.check(match, text)
    if kind in ("LINK", "INVITE"):
        end = _trimmed(text, start, end)
    if kind is not None and end > start:
        taken.insert(place, (start, end, kind))


def _trimmed(text: str, start: int, end: int) -> int:
    """A link's end without the punctuation of the sentence around it; a bracket that it opened itself stays."""
    while end > start and text[end - 1] in _TRAILING:
        if text[end - 1] == ")" and "(" in text[start:end]:
            break
        end -= 1
    return end
