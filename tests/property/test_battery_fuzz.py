"""Whatever bytes a battery file holds, it is read or refused with located faults; nothing else ever comes out."""

from __future__ import annotations

import re
import tempfile
import unicodedata
from pathlib import Path

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from biasaudit.battery import source
from biasaudit.battery.new import STARTER
from biasaudit.battery.read import read_battery, read_text
from biasaudit.battery.slots import cut
from biasaudit.errors import BatteryError

PLACED = re.compile(r"f\.yaml:\d+:\d+: .+")
START = STARTER.replace("@NAME@", "fuzz")
WORDS = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=8).filter(
    lambda word: word == unicodedata.normalize("NFC", word)
)
SIGNS = [*"{}[]:#&*!|>'\"%@`,?-\t\n", ": ", "- ", "<<: ", "{claim}"]
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(10**12), 10**12), WORDS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(WORDS, inner, max_size=4)),
    max_leaves=12,
)


def faults_of(text: str) -> tuple[str, ...]:
    """The faults of a text, none when it can be read; every one has been looked at."""
    try:
        read_text(text, "f.yaml")
    except BatteryError as error:
        faults = error.faults
    else:
        return ()
    assert faults
    assert all(PLACED.fullmatch(fault) and fault.isprintable() for fault in faults)
    return faults


@given(st.dictionaries(WORDS, VALUES, min_size=1, max_size=5))
def test_plain_values_come_back_as_they_were_written(value: dict[str, object]) -> None:
    text = yaml.safe_dump(value, allow_unicode=True, default_style='"')
    quoted = re.sub(r'!!\w+ "([^"]*)"', r"\1", text)  # safe_dump tags what is no text when it quotes everything
    loaded, faults = source.load(quoted, "f.yaml")
    assert faults == []
    assert loaded.value == value


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    assert faults_of(text)


@settings(max_examples=200)
@given(st.data())
def test_a_damaged_battery_is_read_or_refused(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(START)))
    end = data.draw(st.integers(start, min(len(START), start + 30)))
    piece = data.draw(st.one_of(st.text(max_size=10), st.sampled_from(SIGNS)))
    faults_of(START[:start] + piece + START[end:])


@settings(max_examples=200)
@given(
    VALUES,
    st.sampled_from(["title", "topics", "stems", "neutral", "templates", "sampling", "measures", "primary", "chat"]),
)
def test_a_part_of_any_shape_is_read_or_refused(value: object, part: str) -> None:
    whole = source.load(START, "f.yaml")[0].value | {part: value}
    faults_of(yaml.safe_dump(whole, allow_unicode=True, default_flow_style=False))


@given(st.text("{}claim.x ", max_size=60))
def test_cutting_a_template_loses_no_character(text: str) -> None:
    template, faults = cut(text)
    if not faults:
        doubled = "".join(
            piece.replace("{", "{{").replace("}", "}}") if isinstance(piece, str) else str(piece)
            for piece in template.pieces
        )
        assert doubled == text


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "f.yaml"
        path.write_bytes(data)
        assert faults_of_file(path)


def faults_of_file(path: Path) -> tuple[str, ...]:
    """The faults of a file that is no battery."""
    try:
        read_battery(path)
    except BatteryError as error:
        return error.faults
    return ()
