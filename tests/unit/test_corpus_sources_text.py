"""Plain text is cut where the slow rule cuts it, whatever its lines end in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biasaudit.corpus import sources
from biasaudit.corpus.encoding import decode
from biasaudit.corpus.reading import SourceOptions

ENDINGS = (".", "!", "?", "…", '"', "”", "»", ")")
LIMIT = 1 << 16


def slow_lines(raw: bytes) -> Iterator[bytes]:
    for line in raw.splitlines(keepends=True):
        while len(line) > LIMIT:
            blank = line.rfind(b" ", LIMIT // 2, LIMIT)
            cut = blank + 1 if blank >= 0 else LIMIT
            while blank < 0 and cut > LIMIT - 4 and line[cut] & 0xC0 == 0x80:
                cut -= 1
            yield line[:cut]
            line = line[cut:]
        yield line


def slow_documents(raw: bytes, chars: int, every: int) -> list[bytes]:
    found: list[bytes] = []
    piece: list[bytes] = []
    for line in slow_lines(raw):
        piece.append(line)
        held, bare = sum(map(len, piece)), line.rstrip()
        sentence = not bare or bare.endswith(tuple(mark.encode() for mark in ENDINGS))
        if len(piece) >= every if every else held >= 2 * chars or (held >= chars and sentence):
            found.append(b"".join(piece))
            piece = []
    return [document for document in (*found, b"".join(piece)) if document.strip()]


def documents(path: Path, chars: int, every: int) -> list[bytes]:
    options = SourceOptions(document_chars=chars, lines_per_document=every)
    found = sources.survey(path, options, kind="text")
    batches = list(sources.stretch(found, 0, found.size))
    for batch in batches:
        batch.check("a.txt")
    return [text.encode() for batch in batches for text in batch.text.to_pylist()]


@settings(max_examples=150)
@given(
    parts=st.lists(st.sampled_from(["a", "frase.", "fim”", "…", " ", "\n", "\r", "\r\n", "\n\n", "\x0b", "\u2028", "é" * 9, "\udce7"]), max_size=80),
    chars=st.sampled_from([0, 1, 10, 50]),
    every=st.sampled_from([0, 1, 3]),
)  # fmt: skip
def test_documents_are_those_of_the_slow_rule(
    tmp_path_factory: pytest.TempPathFactory, parts: list[str], chars: int, every: int
) -> None:
    path = tmp_path_factory.mktemp("text") / "a.txt"
    path.write_bytes("".join(parts).encode("utf-8", "surrogateescape"))
    slow = slow_documents(path.read_bytes(), chars, every)
    assert documents(path, chars, every) == [decode(document)[0].encode() for document in slow]


@pytest.mark.parametrize("unit", ["é", "palavra ", "x", "fim.\r"])
@pytest.mark.parametrize("every", [0, 2])
def test_lines_over_the_limit_are_cut_as_the_slow_rule_cuts_them(tmp_path: Path, unit: str, every: int) -> None:
    path = tmp_path / "a.txt"
    size = (LIMIT * 5 + LIMIT // 3) // len(unit.encode())
    path.write_bytes(("curta.\n" + unit * size + "\n" + unit * (size // 7) + "\r\nfim").encode())
    assert documents(path, 4000, every) == slow_documents(path.read_bytes(), 4000, every)


def test_an_empty_file_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"")
    assert documents(path, 4000, 0) == []
    for mark in (b"\xef\xbb\xbf", b"\xff\xfe"):
        path.write_bytes(mark)
        found = sources.survey(path, SourceOptions(), kind="text")
        assert sum(batch.separators for batch in sources.stretch(found, 0, found.size)) == len(mark)
