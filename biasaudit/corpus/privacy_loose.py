"""Numbers in groups that nobody prescribes: digit by digit, in pairs, with blanks or dots anywhere.

The digits of a stretch are read group by group; every run of whole groups with the right count of digits is held
against the check digits, the area codes and the words before it. Chance hits need either of the last two, or
grouping of one kind throughout.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from stdnum.br import cnpj as stdnum_cnpj
from stdnum.br import cpf as stdnum_cpf

from biasaudit.corpus import privacy_checks as checks

_TOKEN = re.compile(r"\d+")
_GAP = re.compile(r"[\s.\-/_,()|·•*]{1,3}")
_LONGEST = 19
_LONGEST_ROW = 64
_TOKENS = 19
_NUMBER_CUE = re.compile(
    r"(?<![^\W_])(?:cpf|cic|cnpj|cart[ãa]o|card|cns|sus|pis|pasep|nis|nit|t[íi]tulo|cnh|rg)(?![^\W\d_])[^\d\n]{0,32}\Z",
    re.IGNORECASE,
)


def loose(text: str, low: int, high: int) -> Iterator[tuple[int, int, str]]:
    """Spans of numbers in free grouping between `low` and `high` of a folded text, apart from one another."""
    for tokens in _rows(text, low, high):
        first = 0
        while first < len(tokens):
            found = _longest(text, tokens, first)
            if found is None:
                first += 1
            else:
                last, kind = found
                yield tokens[first][0], tokens[last][1], kind
                first = last + 1


def _rows(text: str, low: int, high: int) -> Iterator[list[tuple[int, int]]]:
    """Groups of digits with only short gaps between them; a long row is a table, where any sum comes out by chance."""
    row: list[tuple[int, int]] = []
    for match in _TOKEN.finditer(text, low, high):
        if row and not _GAP.fullmatch(text, row[-1][1], match.start()):
            if len(row) <= _LONGEST_ROW:
                yield row
            row = []
        row.append(match.span())
    if len(row) <= _LONGEST_ROW:
        yield row


def _longest(text: str, tokens: list[tuple[int, int]], first: int) -> tuple[int, str] | None:
    """The last group and the kind of the longest number that starts with group `first`."""
    start = tokens[first][0]
    if start and (
        text[start - 1].isalnum() or text[start - 1] == "," or text[max(0, start - 3) : start].rstrip().endswith("$")
    ):
        return None
    number = ""
    gaps: set[str] = set()
    sizes: set[int] = set()
    best: tuple[int, str] | None = None
    for last in range(first, min(first + _TOKENS, len(tokens))):
        begin, end = tokens[last]
        if last > first:
            gaps.add(text[tokens[last - 1][1] : begin].strip() or " ")
        number += text[begin:end]
        sizes.add(end - begin)
        if len(number) > _LONGEST:
            break
        if last > first and len(number) >= 8 and not (text[end : end + 1].isalpha() or checks.COUNTED.match(text, end)):
            even = len(gaps) == 1 and (sizes == {1} or (last - first >= 3 and max(sizes) <= 3 and "," not in gaps))
            # A line that was broken inside a bare number.
            broken = last == first + 1 and min(sizes) >= 5 and text[tokens[first][1] : begin] == "\n"
            # "11 9123 45678": the area stands apart, the rest is cut in an unusual place.
            area = len(number) == 11 and number[2] == "9" and tokens[first][1] - start == 2 and last - first == 2
            # Pairs that only grow are a draw of a lottery, pairs out of a longer row a piece of one.
            if even and sizes == {2} and (first or last + 1 < len(tokens) or _grows(text, tokens[first : last + 1])):
                even = False
            even = even or broken or (area and len(gaps) == 1 and "," not in gaps)
            kind = _kind(text, start, number, even=even, single=sizes == {1} or broken)
            best = best if kind is None else (last, kind)
    return best


def _grows(text: str, tokens: list[tuple[int, int]]) -> bool:
    values = [text[start:end] for start, end in tokens]
    return len(values) > 4 and all(a < b for a, b in pairwise(values))


def _kind(text: str, start: int, number: str, *, even: bool, single: bool) -> str | None:
    count = len(number)
    if count < 10:
        return "PHONE" if single and number[0] in "23459" and checks.before(text, start, checks.PHONE_CUE) else None
    cued = checks.before(text, start, _NUMBER_CUE)
    if len(set(number)) == 1 or not (even or cued or checks.before(text, start, checks.PHONE_CUE)):
        return None
    if count == 11 and (stdnum_cpf.is_valid(number) or checks.before(text, start, checks.CPF_CUE)):
        return "CPF"
    if count == 14 and (stdnum_cnpj.is_valid(number) or checks.before(text, start, checks.CNPJ_CUE)):
        return "CNPJ"
    if (count >= 15 or single) and checks.is_card(number):
        return "CARD"
    if count in (11, 12, 15) and (cued or single) and _document(text, start, number):
        return "ID"
    national = number.removeprefix("00") if number.startswith("0055") else number
    national = national.removeprefix("55") if len(national) >= 12 else national.removeprefix("0")
    if checks.is_national(national.removeprefix("0")) or checks.is_national(national):
        mobile = len(national.removeprefix("0")) == 11
        return "PHONE" if mobile or checks.before(text, start, checks.PHONE_CUE) or (single and count >= 12) else None
    return None


def _document(text: str, start: int, number: str) -> bool:
    if checks.before(text, start, checks.DOCUMENT_CUE):
        return True
    if len(number) == 15:
        return checks.is_cns(number)
    return checks.is_titulo(number) if len(number) == 12 else checks.is_pis(number) or checks.is_cnh(number)
