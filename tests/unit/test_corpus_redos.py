"""No pattern of the corpus wing takes more than linear time, whatever a message holds."""

from __future__ import annotations

import importlib
import pkgutil
import re
import time
import types
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

import biasaudit.corpus
from biasaudit.corpus import clean
from biasaudit.corpus.clean import Cleaner

SHORT = 10_000
FULL = 32_000
FLOOR, CEILING = 0.002, 0.5
"""Seconds; CEILING is that of a text of ten times FULL."""
EXCUSED = {
    "find._TOKEN": "sees what its own user types to search for, of which a thousand characters at most",
    "sources.json._KEY": "is asked about one place only (`match`), under another name",
}
ATTACKS = {
    "letters": "a", "blanks": " ", "digits": "1", "dots": "a.", "addresses": "a@", "handles": "@a", "links": "http://www.",
    "numbers": "1.-/ 1", "lines": "\n \t", "brackets": '[("{', "emojis": "😀\u200d\ufe0f1", "words": "encaminhado de meu cpf é ",
}  # fmt: skip


def attack(unit: str, size: int) -> str:
    """`size` characters of `unit`, and an end that no pattern expects."""
    return (unit * (size // len(unit) + 1))[: size - 1] + "\x01"


@cache
def patterns() -> dict[str, re.Pattern[str] | re.Pattern[bytes]]:
    """Every compiled pattern that a module of the wing holds, in containers, dataclasses and closures too."""
    found: dict[str, re.Pattern[str] | re.Pattern[bytes]] = {}
    known: set[int] = set()

    def walk(name: str, thing: object) -> None:
        if id(thing) in known:
            return
        known.add(id(thing))
        if isinstance(thing, re.Pattern):
            found[name] = thing
        for key, part in parts(thing):
            walk(f"{name}.{key}", part)

    for module in pkgutil.walk_packages(biasaudit.corpus.__path__, "biasaudit.corpus."):
        for key, value in list(vars(importlib.import_module(module.name)).items()):
            if not key.startswith("__"):
                walk(f"{module.name.removeprefix('biasaudit.corpus.')}.{key}", value)
    return found


def parts(thing: object) -> Iterator[tuple[object, object]]:
    if isinstance(thing, dict):
        yield from thing.items()
    elif isinstance(thing, (list, tuple, set, frozenset)):
        yield from enumerate(thing)
    elif isinstance(thing, types.FunctionType):
        if thing.__module__.startswith("biasaudit.corpus"):
            yield from enumerate(cell.cell_contents for cell in thing.__closure__ or ())
    elif type(thing).__module__.startswith("biasaudit.corpus"):
        names = getattr(type(thing), "__slots__", None) or vars(thing)
        yield from ((name, getattr(thing, name)) for name in names if hasattr(thing, name))


def seconds(work: Callable[[], object], tries: int = 1) -> float:
    best = float("inf")
    for _ in range(tries):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return max(best, FLOOR)


@cache
def is_anchored(name: str) -> bool:
    """Whether its module only ever asks this pattern about one place (`match`), never about every place of a text."""
    module, _, pattern = name.rpartition(".")
    path = Path(biasaudit.corpus.__file__).parent / f"{module.replace('.', '/')}.py"
    source = path.read_text("utf-8") if path.is_file() else ""
    uses = set(re.findall(rf"\b{pattern}\b(?!\s*[:=]\s)(?:\.(\w+))?", source))
    return bool(uses) and uses <= {"match", "fullmatch"}


def search(name: str, text: str) -> Callable[[], object]:
    pattern = patterns()[name]
    subject = text.encode() if isinstance(pattern.pattern, bytes) else text
    if is_anchored(name):
        return lambda: pattern.match(subject)  # type: ignore[arg-type]
    return lambda: sum(1 for _ in pattern.finditer(subject))  # type: ignore[arg-type]


def is_linear(
    short: Callable[[], object], long: Callable[[], object], growth: int = 12, ceiling: float = CEILING
) -> bool:
    quick = seconds(short)
    if quick > ceiling:
        return False
    took = seconds(long)
    for _ in range(10):  # Again only where it looks slow: neighbours of this process cost time too.
        if took <= min(ceiling, growth * quick):
            return True
        took, quick = min(took, seconds(long)), min(quick, seconds(short))
    return False


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("size", [SHORT, pytest.param(FULL, marks=pytest.mark.slow)])
def test_every_pattern_is_linear(name: str, size: int) -> None:
    """The smaller size allows no more time a character than the full one."""
    short, long, ceiling = attack(ATTACKS[name], size), attack(ATTACKS[name], 10 * size), CEILING * size / FULL
    work = {where: (search(where, short), search(where, long)) for where in patterns().keys() - EXCUSED}
    assert [where for where, pair in work.items() if not is_linear(*pair, ceiling=ceiling)] == []


def test_the_patterns_are_found_where_they_hide() -> None:
    found = patterns()
    assert {"clean_lines._BOT", "clean_text._BLANKS", "legacy._STUDY"} <= set(found)
    assert sum(name.startswith("privacy") for name in found) > 10


MESSAGES = [
    *ATTACKS.values(), "Encaminhado de: x\n", "[Forwarded from x]", "Siga-nos\n", "👉 ", "x, [12.03.2021 10:22]\n", "@user1 ", "t.me/+a ",
    "-----", "😀", "🇧🇷", "1️⃣", "e\u0301", "\u0301\u0323", "\r\x00", "\n\n\n ", "www.", "Inscreva-se no canal ", "enviado por @", "\u202e",
]  # fmt: skip


@pytest.mark.parametrize("unit", MESSAGES, ids=ascii)
def test_cleaning_is_linear_with_every_rule_on(unit: str) -> None:
    cleaner = Cleaner([name for name in clean.names() if name not in ("legacy", "emoji-name")])
    short, long = attack(unit, 8_000), attack(unit, 80_000)
    assert is_linear(lambda: cleaner(short), lambda: cleaner(long), growth=14)


@pytest.mark.parametrize("unit", ["😀", "👉 ", "🇧🇷", "1️⃣", "😀\u200d"], ids=ascii)
def test_naming_emojis_is_linear(unit: str) -> None:
    cleaner = Cleaner(["emoji-name"])
    short, long = attack(unit, 4_000), attack(unit, 40_000)
    assert is_linear(lambda: cleaner(short), lambda: cleaner(long), growth=14)
