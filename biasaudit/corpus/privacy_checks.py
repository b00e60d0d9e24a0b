"""Checks that decide whether a number of the right form is what it looks like: check digits, cues, area codes.

Check digits come from python-stdnum where it has them (CPF, CNPJ, Luhn); foreign phone numbers from phonenumbers.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

from stdnum import luhn
from stdnum.br import cnpj as stdnum_cnpj
from stdnum.br import cpf as stdnum_cpf

_UNUSED = (23, 25, 26, 29, 36, 39, 52, 56, 57, 58, 59, 72, 76, 78)
AREAS = frozenset(str(code) for code in range(11, 100) if code % 10 and code not in _UNUSED)
"""Area codes of Brazil (Anatel)."""

_NOT_DIGIT = re.compile(r"\D+")
_FORMED_CPF = re.compile(r"\d{3}\.\d{3}\.\d{3}[-/.]\d{2}")
_FORMED_CNPJ = re.compile(r"\w{2}\.\w{3}\.\w{3}/\w{4}-\d{2}")
_HYPHENED_CNPJ = re.compile(r"[a-z0-9]{12}-?\d{2}")
_PIECE = re.compile(r"[^\W\d_]{2}[-_]\Z")
"""Before a number that goes on with a file's name (`IMG_2021…`)."""
_YEARS = re.compile(r"(?:(?:19|20)\d\d\D{1,3}){2}(?:19|20)\d\d")
_DOTTED_CNPJ = re.compile(r"\w{2}\.\w{3}\.\w{3}|\w{8}/\w{4}-|[A-Z0-9]{12}-")
CPF_CUE = re.compile(
    r"(?<![^\W_])(?:cpfs?|c\.p\.f\.?|cic|pix|chave|contribuinte)(?![^\W\d_])[^\d\n]{0,32}\Z", re.IGNORECASE
)
_CPF_AFTER = re.compile(r"[\s(/,-]{0,3}(?:\(|é |e |eh |is )?(?:(?:o |a )?(?:meu |my )?cpf)(?!\w)", re.IGNORECASE)
CNPJ_CUE = re.compile(r"(?<![^\W_])(?:cnpj|c\.n\.p\.j\.?|cgc|pix|chave)(?:(?![^\W\d_])[^\d\n]{0,32})?\Z", re.IGNORECASE)
PHONE_CUE = re.compile(
    r"(?<![^\W_])(?:tel(?:[ée]fono|efone)?s?|ll[áa]mame|fones?|cel(?:ular)?(?:es)?|wh?ats+(?:app?)?|what[sz]ap+|wpp|wa"
    r"|zap(?: ?zap)?|lig(?:a|ar|ando|uem?|ação|açao|acao)|contatos?|contact|chame|chama|chamar|disk|disque|sms|pix"
    r"|chave|telegram|n[úu]m(?:ero)?|phone|cell|call|text me|(?:me )?add|salva a[íi]|central|sac|plant[ãa]o|atendimento"
    r"|informa[çc](?:ão|ao|ões|oes)|informe-se|mand(?:a|e|ar) (?:msg|mensagem|um oi|zap)|fale conosco|watts"
    r"|uat[zis]{1,2}ap+|"
    r"number|mobile|ramal|fax|fixo|recados?|fal(?:a|ar|e|em) (?:com(?:igo)?|n[oe]|pelo)|reach me"
    r"|adiciona)(?![^\W_])[^\d\n]{0,30}\Z|[\u260e\u2706\U0001f4de\U0001f4f1\U0001f4f2\U0001f4df\U0001f4e0][^\d\n]{0,30}\Z"
    r"|\[PHONE\](?:[\s/,eou|-]{1,4}|\s{0,2}\n[^\d\n]{1,40})\Z",
    re.IGNORECASE,
)
_PHONE_CUE_AFTER = re.compile(
    r"[\s(/,-]{0,3}(?:é (?:o )?(?:meu )?)?(?:whats|wpp|zap|celular|telefone|fone|contato)", re.IGNORECASE
)
_VERSION_CUE = re.compile(
    r"(?<!\w)(?:vers[ãa]o|version|v|art(?:igo)?|item|se[çc][ãa]o|cap[íi]tulo|lei|rev|windows|android|ios|macos"
    r"|build|firmware|"
    r"release|chrome|firefox|kernel)\.?\s{0,2}\Z",
    re.IGNORECASE,
)
_IP_CUE = re.compile(
    r"(?<!\w)(?:ip|ipv4|host|servidor|server|endere[çc]o|address|dns|gateway|proxy|ping|login"
    r"|acesso)(?!\w)[^\n]{0,24}\Z",
    re.IGNORECASE,
)
DOCUMENT_CUE = re.compile(
    r"(?<![^\W_])(?:cns|sus|pis|pasep|nis|nit|t[íi]tulo|eleitor|cnh|habilita[çc][ãa]o|rg)(?![^\W\d_])[^\d\n]{0,32}\Z",
    re.IGNORECASE,
)

Checked = str | None


def digits(text: str) -> str:
    """Only the digits of `text`."""
    return _NOT_DIGIT.sub("", text)


def before(text: str, start: int, cue: re.Pattern[str], reach: int = 64) -> bool:
    """Whether `cue` ends where the match starts."""
    return cue.search(text, max(0, start - reach), start) is not None


def _before(match: re.Match[str], text: str, cue: re.Pattern[str], reach: int = 64) -> bool:
    return before(text, match.start(), cue, reach)


def _glued(match: re.Match[str], text: str) -> bool:
    """Whether a letter touches the match on either side, so that it may be a piece of a code."""
    start, end = match.span()
    return text[max(0, start - 1) : start].isalpha() or text[end : end + 1].isalpha()


def _weighted(number: str, weights: Sequence[int]) -> int:
    return sum(int(digit) * weight for digit, weight in zip(number, weights, strict=False))


def is_cns(number: str) -> bool:
    """A SUS card: 15 digits whose weighted sum is a multiple of 11."""
    return number[0] in "12789" and len(set(number)) > 1 and _weighted(number, range(15, 0, -1)) % 11 == 0


def is_pis(number: str) -> bool:
    """A PIS, PASEP, NIS or NIT: 11 digits, one of them for checking."""
    total = _weighted(number, (3, 2, 9, 8, 7, 6, 5, 4, 3, 2)) % 11
    return len(set(number)) > 1 and int(number[10]) == (0 if total < 2 else 11 - total)


def is_cnh(number: str) -> bool:
    """A driver's licence: 11 digits, two of them for checking."""
    first = _weighted(number, range(9, 0, -1)) % 11
    less = 2 if first >= 10 else 0
    second = _weighted(number, range(1, 10)) % 11
    plain = 0 if second >= 10 else second
    seconds = {plain, 0 if (second - less) % 11 >= 10 else (second - less) % 11, max(0, plain - less)}
    return len(set(number)) > 1 and int(number[9]) == first % 10 * (first < 10) and int(number[10]) in seconds


def is_titulo(number: str) -> bool:
    """A voter's number: 12 digits, a state from 01 to 28, two check digits."""
    if not 1 <= int(number[8:10]) <= 28:
        return False
    first = _weighted(number, range(2, 10)) % 11
    first_digits = {first % 10, 1} if first == 0 and number[8:10] in ("01", "02") else {first % 10}
    for digit in first_digits:
        second = (int(number[8]) * 7 + int(number[9]) * 8 + digit * 9) % 11
        seconds = {second % 10, 1} if second == 0 and number[8:10] in ("01", "02") else {second % 10}
        if int(number[10]) == digit and int(number[11]) in seconds:
            return True
    return False


_ISSUED = {13: ("4",), 14: ("30", "36", "38", "39"), 15: ("34", "37", "2131"), 17: ("6",), 18: ("6",)}
"""First digits of cards that are not of sixteen."""


def is_card(number: str) -> bool:
    """13 to 19 digits, an issuer's first digits for their number, Luhn."""
    issued = _ISSUED.get(len(number), ("2", "3", "4", "5", "6"))
    return (
        13 <= len(number) <= 19 and number.startswith(issued) and len(set(number)) > 1 and bool(luhn.is_valid(number))
    )


def is_national(number: str) -> bool:
    """Area code and 8 or 9 digits of a Brazilian number."""
    if len(number) == 11:
        return number[:2] in AREAS and number[2] == "9"
    return len(number) == 10 and number[:2] in AREAS and number[2] in "2345"


def _in_a_row(match: re.Match[str], text: str) -> bool:
    """Whether groups of digits stand beside the match on its lines, so that it was cut out of two numbers."""
    start, end = match.span()
    return bool(re.search(r"\d[ .-]\Z", text[max(0, start - 2) : start]) or re.match(r"[ .-]\d", text[end : end + 2]))


def card(match: re.Match[str], text: str) -> Checked:
    """A payment card, by Luhn or by the word before it."""
    number = digits(match.group())
    if "\n" in match.group() and _in_a_row(match, text):
        return None
    if is_card(number) and not _before(match, text, _PIECE, 3):
        return "CARD"
    named = 13 <= len(number) <= 19 and len(set(number)) > 1 and _before(match, text, _CARD_NAMED)
    return "CARD" if named else None


_CARD_NAMED = re.compile(
    r"(?<![^\W_])(?:cart[ãa]o(?! (?:do |nacional )?(?:sus|sa[úu]de))|card|visa|master(?:card)?|amex|elo"
    r"|hipercard)(?![^\W_])[^\d\n]{0,32}\Z",
    re.IGNORECASE,
)


def cns(match: re.Match[str], text: str) -> Checked:
    """A SUS card, by its sum or by the word before it."""
    return "ID" if is_cns(digits(match.group())) or _before(match, text, DOCUMENT_CUE) else None


def cnpj(match: re.Match[str], text: str) -> Checked:
    """A CNPJ, numeric or with letters: check digits, the written form, or the word before it."""
    found = match.group()
    number = re.sub(r"[^0-9A-Za-z]", "", found).upper()
    named = _before(match, text, CNPJ_CUE)
    if not named and _before(match, text, _PIECE, 3):
        return None
    formed = _FORMED_CNPJ.fullmatch(found) is not None
    dotted = _DOTTED_CNPJ.match(found) is not None
    if len(set(number)) == 1 or not (named or formed or dotted or any(c.isdigit() for c in number[:12])):
        return None
    if formed and sum(c.isdigit() for c in number) >= 6:
        return "CNPJ"
    if number.isdigit():
        return "CNPJ" if named or (stdnum_cnpj.is_valid(number) and not _glued(match, text)) else None
    # Letters of both cases or of the lower one alone are words unless the label says otherwise.
    glued = _HYPHENED_CNPJ.fullmatch(found) is not None and any(c.isdigit() for c in number[:12])
    written = dotted or glued or not any(c.islower() for c in found) or "/" in found
    return "CNPJ" if (named or written) and stdnum_cnpj.is_valid(number) else None


def cpf(match: re.Match[str], text: str) -> Checked:
    """Eleven digits: a CPF by check digits, form or label; a PIS or a licence by theirs; a mobile stays a phone."""
    found = match.group()
    number = digits(found)
    if _before(match, text, CPF_CUE) or _CPF_AFTER.match(text, match.end()):
        return "CPF"
    if _glued(match, text) and not text[match.start() - 1 : match.start()].isspace() and found.isdigit():
        return None
    if text[max(0, match.start() - 3) : match.start()].rstrip().endswith("$") or COUNTED.match(text, match.end()):
        return None
    if _FORMED_CPF.fullmatch(found):
        return "CPF"
    if len(set(number)) == 1 or (found.isdigit() and number.startswith(("0800", "0300"))):
        return None
    mobile = number[:2] in AREAS and number[2] == "9"
    if stdnum_cpf.is_valid(number):
        return "PHONE" if mobile else "CPF"
    if found.isdigit() and not mobile:
        return "ID" if is_pis(number) or is_cnh(number) or _before(match, text, DOCUMENT_CUE) else None
    return None


def pis(match: re.Match[str], text: str) -> Checked:
    """A PIS/NIS in its written form, by its check digit; without the form only after its name."""
    found = match.group()
    formed = not found.isdigit() and "\n" not in found
    return "ID" if (formed and is_pis(digits(found))) or _before(match, text, DOCUMENT_CUE) else None


def titulo(match: re.Match[str], text: str) -> Checked:
    """A voter's number: its check digits, or its name; three years are none."""
    plain = is_titulo(digits(match.group())) and not _YEARS.fullmatch(match.group())
    return "ID" if plain or _before(match, text, DOCUMENT_CUE) else None


COUNTED = re.compile(
    r"\s?(?:%|(?:milh|bilh|mil|reais|pessoas|habitantes|votos|doses|casos"
    r"|mortes)(?![^\W\d_]{6}))",
    re.IGNORECASE,
)


def ipv4(match: re.Match[str], text: str) -> Checked:
    """An address, not a version, a section or a dotted count."""
    parts = [part for part in re.split(r"\D+", match.group()) if part]
    if len(parts) != 4 or "000" in parts or text[max(0, match.start() - 3) : match.start()].rstrip().endswith("$"):
        return None
    if any(int(part) > 255 for part in parts) or _before(match, text, _VERSION_CUE, 24):
        return None
    sure = sum(len(part) >= 2 for part in parts) >= 2 or parts[0] in ("10", "127")
    return (
        "IP" if sure or text[match.end() : match.end() + 1] in ("/", ":") or _before(match, text, _IP_CUE, 40) else None
    )


def ipv6(match: re.Match[str], _text: str) -> Checked:
    """An address that the standard library can read, long enough not to be a time."""
    found = match.group()
    if len(found) < 5 or not any(c.isdigit() for c in found):
        return None
    try:
        ipaddress.IPv6Address(found)
    except ValueError:
        return None
    return "IP"


def wallet(match: re.Match[str], _text: str) -> Checked:
    """A wallet's address mixes digits and letters of both cases; a long number does not."""
    found = match.group()
    if found.startswith(("0x", "bc1", "BC1", "ltc1")):
        return "CRYPTO"
    mixed = any(c.isdigit() for c in found[1:]) and any(c.isupper() for c in found) and any(c.islower() for c in found)
    return "CRYPTO" if mixed else None


def phone_plus(match: re.Match[str], _text: str) -> Checked:
    """A number with its country's code."""
    import phonenumbers

    found = match.group()
    plus = found.startswith("+")
    number = digits(found.replace("(0)", ""))
    number = number if plus else number[2:]
    if number.startswith("55"):
        national = number[2:].lstrip("0")
        if is_national(national) or (len(national) in (10, 11) and national[:2] in AREAS):
            return "PHONE"
    try:
        parsed = phonenumbers.parse("+" + number, None)
    except phonenumbers.NumberParseException:
        return None
    if phonenumbers.is_valid_number(parsed):
        return "PHONE"
    # Counts look the same ("+ 1.234.567"), so a number out of service counts only without thousands' groups.
    tight = plus and found[1:2].isdigit() and not re.fullmatch(r"\+\d{1,3}(?:[.\s]\d{3})+", found)
    return "PHONE" if tight and len(number) >= 10 and phonenumbers.is_possible_number(parsed) else None


def phone_area(match: re.Match[str], text: str) -> Checked:
    """An area code and a number; a bare run of ten digits only after a cue, since counters look the same."""
    if match["area"] not in AREAS:
        return None
    found = match.group().strip()
    cued = _before(match, text, PHONE_CUE) or _PHONE_CUE_AFTER.match(text, match.end()) is not None
    if text[match.end() : match.end() + 1].isalpha() and not (match["open"] or cued):
        return None
    if match["nine"] or match["three"]:
        return "PHONE"
    if match["open"] or (match["cc"] and match["fixed"] in "2345") or cued:
        return "PHONE"
    if match["fixed"] not in "2345":
        return "PHONE" if match["cc"] and not found.isdigit() else None
    formed = re.fullmatch(
        r"(?:0[-\s]?(?:xx|XX|\*\*)[-\s]?|0\s?(?:\d\d\s)?)?\d\d\)?([\s.\-/]{1,3})\d{4}(?:[-\s.]|\s-\s)\d{4}", found
    )
    return "PHONE" if formed and not re.search(r"(?:19|20)\d\d[\s-]{1,3}(?:19|20)\d\d\Z", found) else None


def phone_glued(match: re.Match[str], text: str) -> Checked:
    """A number that is written onto the word before it ("zap11912345678")."""
    number = digits(match.group())
    national = number.removeprefix("55") if len(number) > 11 else number
    return "PHONE" if is_national(national) and _before(match, text, _PHONE_WORD, 12) else None


_PHONE_WORD = re.compile(
    r"(?<![^\W_])(?:tel|telefone|fone|cel|celular|zap|whats|whatsapp|wpp|contato"
    r"|fixo|ligue|liga|pix|n[úu]mero)\Z",
    re.IGNORECASE,
)


def phone_local(match: re.Match[str], text: str) -> Checked:
    """A number without area code: a mobile with its hyphen, or anything after a cue; never a range of years."""
    found = match.group()
    if re.fullmatch(r"(?:19|20)\d\d[-\s](?:19|20)\d\d", found):
        return None
    if re.fullmatch(r"9[\s.]?\d{4}-\d{4}", found):
        return "PHONE"
    cued = _PHONE_CUE_AFTER.match(text, match.end()) or _before(match, text, PHONE_CUE)
    return "PHONE" if cued else None
