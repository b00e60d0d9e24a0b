"""The passes in C give what numpy and RE2 give, whatever the bytes; and nothing needs them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biasaudit.corpus import clean, scan
from biasaudit.corpus.clean import Cleaner

built = pytest.mark.skipif(scan.suspects(pa.array(["a"])) is None, reason="no C compiler here")
TRIGGER = Cleaner()._trigger
PIECES = [
    " ", "  ", "\n", "\n\n\n", "\t", "\r", "\x00", "\x7f", "\x85", "\u00a0", "\u00ad", "\u200b", "\u200d", "\u202e", "\u0301", "\u05b1", "\u1100", "\u2028",
    "\ufeff", "\ufe0f", "“", "…", "→", "☕", "😀", "é", "ŕ", "中", "a", "palavra", "[", "]", ", [1", "1", "10:22", "-", "--", "Encaminhado de: X\n",
    "forwarded from", "FWD", "Reenv", "menſagem", "repoſtado", "x" * 31, "y" * 40, "é" * 20,
]  # fmt: skip
SOURCE = "import pyarrow as pa, numpy as np; from biasaudit.corpus import scan; "


@built
@pytest.mark.parametrize("form", ["{}", "a{}b", "a\n{} b", "y" * 40 + "{}" + "z" * 40])
def test_no_character_that_a_rule_may_change_goes_unsuspected(form: str) -> None:
    texts = pa.array([form.format(chr(code)) for code in range(0x110000) if not 0xD800 <= code < 0xE000])
    triggered = pc.match_substring_regex(texts, TRIGGER).to_numpy(zero_copy_only=False)
    assert not (triggered & ~scan.suspects(texts)).any()


@built
@given(
    st.lists(st.lists(st.sampled_from(PIECES) | st.text(max_size=2), max_size=9).map("".join), max_size=9),
    st.integers(0, 3),
)
def test_every_text_that_the_usual_rules_change_is_suspected(texts: list[str], skipped: int) -> None:
    texts = [text.encode("utf-8", "replace").decode() for text in texts]
    column = pa.array(texts, pa.string())[skipped:]
    suspected = scan.suspects(column)
    assert suspected is not None
    assert len(suspected) == len(column)
    assert all(flag or Cleaner()(text) == text for flag, text in zip(suspected, texts[skipped:], strict=True))


@built
def test_plain_portuguese_is_not_suspected() -> None:
    plain = ["A vacinação começou: 95% até 31/12/2021 — “é segura”, disse.\n\nFim 😀 ☕️", "R$ 9,50 nº 3 § 2º"]
    assert not scan.suspects(pa.array(plain)).any()


@given(st.binary(max_size=200), st.lists(st.integers(0, 255), min_size=1, max_size=4, unique=True))
def test_bytes_are_found_where_they_stand(data: bytes, wanted: list[int]) -> None:
    array = np.frombuffer(data * 3, np.uint8)
    found = scan.places(array, wanted)
    assert [places.tolist() for places in found] == [np.flatnonzero(array == byte).tolist() for byte in wanted]


def test_bytes_that_stand_everywhere_are_all_found() -> None:
    array = np.full(100_000, 44, np.uint8)
    assert np.array_equal(scan.places(array, (10, 44))[1], np.arange(100_000))


def in_a_process(code: str, **settings: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", SOURCE + code],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    "settings",
    [lambda _: {scan.SWITCH: "0"}, lambda _: {"HOME": "", "XDG_CACHE_HOME": ""},
     lambda folder: {"CC": "no-such-compiler", "XDG_CACHE_HOME": str(folder)},
     lambda folder: {"CC": "false", "XDG_CACHE_HOME": str(folder)}],
    ids=["switched-off", "no-home", "no-compiler", "a-compiler-that-fails"],
)  # fmt: skip
def test_without_the_c_numpy_does_it(settings: Callable[[Path], dict[str, str]], tmp_path: Path) -> None:
    code = "print(scan.suspects(pa.array(['a'])), scan.places(np.frombuffer(b'a,b', np.uint8), (44,))[0])"
    assert in_a_process(code, **settings(tmp_path)) == "None [1]"


def test_a_library_that_is_no_library_is_not_used(tmp_path: Path) -> None:
    code = "print(scan.suspects(pa.array(['a'])))"
    in_a_process(code, XDG_CACHE_HOME=str(tmp_path))
    for made in tmp_path.rglob("*.so"):
        made.write_bytes(b"not a library")
    assert in_a_process(code, XDG_CACHE_HOME=str(tmp_path)) == "None"


@built
def test_a_batch_is_cleaned_alike_with_and_without_the_c(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = pa.array([first + second + "fim" for first in PIECES for second in PIECES])
    with_c = Cleaner().batch(texts)
    monkeypatch.setattr(clean.scan, "suspects", lambda _: None)
    assert Cleaner().batch(texts).equals(with_c)
