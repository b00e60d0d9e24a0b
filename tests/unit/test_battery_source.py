"""The YAML reader: values with places, and every dangerous part of YAML refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from biasaudit.battery import source
from biasaudit.errors import BatteryError


def value_of(text: str) -> object:
    loaded, faults = source.load(text, "x.yaml")
    assert faults == []
    return loaded.value


def faults_of(text: str, *, fast: bool = True) -> list[str]:
    try:
        return source.load(text, "x.yaml", fast=fast)[1]
    except BatteryError as error:
        return list(error.faults)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("no", "no"), ("yes", "yes"), ("on", "on"), ("12:30", "12:30"), ("12:30:45", "12:30:45"), ("2026-11-22", "2026-11-22"),
        ("010", 10), ("0x10", "0x10"), ("1_000", "1_000"), ("1.10", 1.1), ("1e3", 1000.0), ("-7", -7), (".5", 0.5),
        ("true", True), ("False", False), ("~", None), ("", None), ("null", None), ("'1'", "1"), ('"no"', "no"), (".inf", ".inf"),
        (".nan", ".nan"), ("=", "="), ("çá", "çá"),
    ],
)  # fmt: skip
def test_plain_scalars_follow_the_core_schema(written: str, meant: object) -> None:
    value = value_of(f"k: {written}\n")
    assert value == {"k": meant}
    assert type(value["k"]) is type(meant)  # type: ignore[index]


def test_keys_are_always_words() -> None:
    assert value_of("no: 1\n1: 2\ntrue: 3\n") == {"no": 1, "1": 2, "true": 3}


@pytest.mark.parametrize("name", ["vaccines", "elections", "gender"])
def test_both_parsers_give_the_same_values_and_places(name: str) -> None:
    text = (Path(__file__).parents[2] / "prompts" / f"{name}.yaml").read_text(encoding="utf-8")
    fast, slow = source.load(text, "x")[0], source.load(text, "x", fast=False)[0]
    assert (fast.value, fast.keys) == (slow.value, slow.keys)
    differing = [trail for trail in fast.places if fast.places[trail] != slow.places[trail]]
    assert all(trail[-1] in ("Mesário", "Clerk") for trail in differing)  # an empty value has no place of its own


def test_places_count_lines_and_columns_from_one() -> None:
    loaded, _ = source.load("á: {b: [x, y]}\nc: z\n", "f.yaml")
    assert loaded.fault(("á", "b", 1), "here") == "f.yaml:1:12: here"
    assert loaded.fault(("á", "b"), "here", key=True) == "f.yaml:1:5: here"
    assert loaded.fault(("c", "absent", 3), "here") == "f.yaml:2:4: here"
    assert loaded.fault(("absent",), "here") == "f.yaml:1:1: here"


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGE_BOMB = "a0: &a0 {k: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}\n" for i in range(1, 26))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (BOMB, "anchor"),
        (MERGE_BOMB, "anchor"),
        ("a: *b\n", "alias"),
        ("<<: {a: 1}\n", "merge"),
        ("a: !!python/object/apply:os.system ['true']\n", "tag"),
        ("a: !function os.getcwd\n", "tag"),
        ("a: !!str 5\n", "tag"),
        ("%TAG ! tag:x,2000:\n---\na: 1\n", "TAG"),
        ("a: 1\n---\nb: 2\n", "second document"),
        ("a: 1\na: 2\n", "twice"),
        ("é: 1\n\"e\\u0301\": 2\n", "twice"),
        ("? [a, b]\n: 1\n", "where a key should"),
        ("? {a: b}\n: 1\n", "where a key should"),
        ("? \n: 1\n", "empty"),
        ("a: " + "[" * 100_000, "20 levels"),
        ("[" * 100_000, "20 levels"),
        ("a: " + "{b: " * 100_000, "20 levels"),
        ("- " * 100_000, "20 levels"),
        ("".join(" " * i + "k:\n" for i in range(1000)), "20 levels"),
        ('a: "\\uD800"\n', "."),
        ('a: "\\uDC00\\uD800"\n', "."),
        ('a: "\\0"\n', "U+0000"),
        ('a: "\\e[2J"\n', "U+001B"),
        ("a: \x1b[2J\n", "U+001B"),
        ("a: " + "9" * 5000 + "\n", "digits"),
        ("a: 1e99999\n", "beyond"),
        ("a: [1, 2\n", "brackets"),
        ("a: b: c\n", "needs quotes"),
        ("a:\n\tb: 1\n", "."),
        ("a: 'x\n", "."),
        ("", "empty"),
        ("# only a comment\n", "empty"),
        ("- a\n", "no keys at its top"),
        ("just words\n", "no keys at its top"),
        ("a: [" + "x," * 21_000 + "]\n", "values"),
        ("a: " + "&" * 50_000, "."),
    ],
    ids=lambda value: value[:12] if isinstance(value, str) else value,
)  # fmt: skip
@pytest.mark.parametrize("fast", [True, False])
def test_hostile_yaml_is_refused_with_its_place(text: str, told: str, fast: bool) -> None:
    faults = faults_of(text, fast=fast)
    assert faults
    assert any(told in fault for fault in faults)
    assert all(fault.startswith("x.yaml:") and fault.isprintable() for fault in faults)
    assert len(faults) <= source.MAX_FAULTS + 1


def test_reading_goes_on_after_a_doubled_key_and_the_first_value_stays() -> None:
    loaded, faults = source.load("a: 1\na: {x: 5}\nb: !t 2\n", "f.yaml")
    assert loaded.value == {"a": 1, "b": "2"} or loaded.value == {"a": 1, "b": 2}
    assert [fault.split(": ")[0] for fault in faults] == ["f.yaml:2:1", "f.yaml:3:4"]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"a: \xff\xfe\n", "x.yaml:1:4: this is not UTF-8"),
        ("a: 1\n".encode("utf-16"), "not UTF-8"),
        (b"a: '" + b"x" * source.MAX_BYTES + b"'\n", "larger than 1 MiB"),
        (b"\x00" * 100, "U+0000"),
    ],
)
def test_files_that_are_no_battery_are_refused(tmp_path: Path, data: bytes, told: str) -> None:
    (tmp_path / "x.yaml").write_bytes(data)
    with pytest.raises(BatteryError) as caught:
        source.read_source(tmp_path / "x.yaml")
    assert told in str(caught.value)


def test_a_byte_order_mark_and_windows_line_ends_do_not_matter(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"\xef\xbb\xbfa: |-\r\n  b\r\n  c\r\n")
    assert source.read_source(tmp_path / "x.yaml")[0].value == {"a": "b\nc"}


def test_missing_files_folders_and_pipes_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(BatteryError, match="no such file"):
        source.read_source(tmp_path / "absent.yaml")
    with pytest.raises(BatteryError, match="a folder"):
        source.read_source(tmp_path)
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(BatteryError, match="no regular file"):
        source.read_source(tmp_path / "pipe.yaml")
    with pytest.raises(BatteryError, match="cannot be read"):
        source.read_source(Path("a\x00b"))
