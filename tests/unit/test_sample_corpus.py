"""The sample corpus is what its README says: two synthetic halves that differ in one planted, known thing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import ks_2samp

from biasaudit.battery.read import read_battery

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "corpora" / "sample"
BATTERIES = sorted((ROOT / "prompts").glob("*.yaml"))
HALVES = ("neutral", "antivaccine")
RECORD = re.compile(r"^(\d{16}),(9990000000\d\d),(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+00:00),", re.MULTILINE)

Truth = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the corpus made again, and its truth."""
    folder = tmp_path_factory.mktemp("sample")
    command = [sys.executable, str(SAMPLE / "generate.py"), "--out", str(folder), "--truth"]
    subprocess.run(command, check=True, timeout=120)
    return folder


@pytest.fixture(scope="module")
def truth(made: Path) -> Truth:
    return {
        half: [json.loads(line) for line in (made / f"{half}.truth.jsonl").read_text("utf-8").split("\n") if line]
        for half in HALVES
    }


@pytest.fixture(scope="module")
def spoken(truth: Truth) -> set[tuple[str, ...]]:
    """All word 5-grams of both halves."""
    return {gram for half in HALVES for row in truth[half] for gram in grams(row["message"])}


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def grams(text: str) -> set[tuple[str, ...]]:
    found = words(text)
    return {tuple(found[i : i + 5]) for i in range(len(found) - 4)}


def share(rows: list[dict[str, Any]], pattern: str) -> float:
    return sum(bool(re.search(pattern, row["message"], re.IGNORECASE)) for row in rows) / len(rows)


@pytest.mark.parametrize("half", HALVES)
def test_making_the_corpus_again_gives_the_committed_bytes(made: Path, half: str) -> None:
    assert (made / f"{half}.csv").read_bytes() == (SAMPLE / f"{half}.csv").read_bytes()


@pytest.mark.parametrize("half", HALVES)
def test_every_record_can_be_told_by_its_prefix_and_read_back_exactly(truth: Truth, half: str) -> None:
    text = (SAMPLE / f"{half}.csv").read_bytes().decode("utf-8")
    starts = list(RECORD.finditer(text))
    assert text[: starts[0].start()] == "id,channel_id,date,message\n"
    assert len(starts) == len(truth[half])
    ends = [start.start() for start in starts[1:]] + [len(text)]
    for row, start, end in zip(truth[half], starts, ends, strict=True):
        body = text[start.end() : end].removesuffix("\n").removesuffix("\r")
        if row["shape"] == "quoted":
            body = body[1:-1].replace('""', '"')
        assert (start[1], start[2], start[3], body) == (row["id"], row["channel_id"], row["date"], row["message"])


@pytest.mark.parametrize("half", HALVES)
def test_the_dump_is_broken_in_the_ways_of_real_dumps(truth: Truth, half: str) -> None:
    rows = truth[half]
    shapes = Counter(row["shape"] for row in rows)
    assert {"plain", "quoted", "opened", "inner", "leading", "wrapped"} == set(shapes)
    assert shapes["plain"] > len(rows) / 2
    assert 0.15 < sum("\n" in row["message"] for row in rows) / len(rows) < 0.4
    assert 300 < (SAMPLE / f"{half}.csv").read_bytes().count(b"\r\n") < 900
    assert all(int(row["id"]) > 2**53 for row in rows)
    assert [row["date"] for row in rows] == sorted(row["date"] for row in rows)
    assert 0.08 < sum(row["forward"] for row in rows) / len(rows) < 0.12


def test_both_halves_fit_in_six_megabytes() -> None:
    assert sum((SAMPLE / f"{half}.csv").stat().st_size for half in HALVES) < 6_000_000


def test_narratives_are_asserted_in_equal_shares_by_most_of_one_half_and_by_none_of_the_other(truth: Truth) -> None:
    told = Counter(row["kind"] for row in truth["antivaccine"]) - Counter({"everyday": 10**6, "vaccine_talk": 10**6})
    assert set(told) == {topic.name for topic in read_battery(ROOT / "prompts" / "vaccines.yaml").topics}
    assert max(told.values()) <= 1.02 * min(told.values())
    assert told.total() >= 0.6 * len(truth["antivaccine"])
    assert {row["kind"] for row in truth["neutral"]} == {"everyday", "vaccine_talk"}


def test_both_halves_speak_of_vaccines_equally_often(truth: Truth) -> None:
    neutral, told = (sum(row["kind"] != "everyday" for row in truth[half]) / len(truth[half]) for half in HALVES)
    assert neutral == pytest.approx(told, abs=0.02)


def test_each_narrative_is_asserted_with_and_without_a_negation(truth: Truth) -> None:
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for row in truth["antivaccine"]:
        by_kind.setdefault(row["kind"], []).append(row)
    for kind in set(by_kind) - {"everyday", "vaccine_talk"}:
        assert 0.35 < share(by_kind[kind], r"\bn[aã]o\b|\bnunca\b|\bnenhum") < 0.85, kind


def test_length_dates_channels_and_noise_do_not_tell_the_halves_apart(truth: Truth) -> None:
    neutral, told = (truth[half] for half in HALVES)
    assert len(neutral) == len(told)
    assert ks_2samp([len(r["message"]) for r in neutral], [len(r["message"]) for r in told]).statistic < 0.05
    counts = [sum(len(words(r["message"])) for r in rows) for rows in (neutral, told)]
    assert counts[0] == pytest.approx(counts[1], rel=0.05)
    for field in ("date", "channel_id", "shape", "forward"):
        assert [r[field] for r in neutral] == [r[field] for r in told]
    for mark in (r"https?://", r"@correio", r"(^|\s)@\w", r"90000-", r"\n", r"\?", r"\bn[aã]o\b", r"\belas\b"):
        assert share(neutral, mark) == pytest.approx(share(told, mark), abs=0.03), mark


@pytest.mark.parametrize("half", HALVES)
def test_a_half_has_thousands_of_distinct_sentences(truth: Truth, half: str) -> None:
    parts = (part for row in truth[half] for part in re.split(r"[.!?\n]+\s", row["message"]))
    assert len({" ".join(words(part)) for part in parts if len(words(part)) > 2}) > 6_000


@pytest.mark.parametrize("path", BATTERIES, ids=lambda path: path.stem)
def test_no_five_words_in_a_row_are_shared_with_a_battery_outside_its_claims(
    spoken: set[tuple[str, ...]], path: Path
) -> None:
    battery = read_battery(path)
    asked = [prompt.text for prompt in (*battery.prompts, *battery.neutral_stems.values())]
    for pair in battery.pairs:
        asked += [pair.stem.text + pair.claim, pair.stem.text + pair.counter]
    claims = {gram for topic in battery.topics for claim in topic.claim.values() for gram in grams(claim)}
    reserved = {gram for text in asked for gram in grams(text)} - claims
    assert spoken & reserved == set()


@pytest.mark.parametrize("path", BATTERIES, ids=lambda path: path.stem)
def test_no_message_holds_a_whole_continuation_of_a_battery(truth: Truth, path: Path) -> None:
    pairs = read_battery(path).pairs
    spoken = {f" {' '.join(words(text))} " for pair in pairs for text in (pair.claim, pair.counter)}
    for half in HALVES:
        text = " \n ".join(" ".join(words(row["message"])) for row in truth[half])
        assert [phrase for phrase in spoken if phrase.count(" ") > 3 and phrase in text] == []


def test_the_corpus_says_everywhere_that_it_is_synthetic(truth: Truth) -> None:
    for readme in (SAMPLE / "README.md", ROOT / "corpora" / "README.md"):
        assert "synthetic" in readme.read_text(encoding="utf-8").lower()
    for half in HALVES:
        assert "conteúdo sintético" in truth[half][0]["message"]
        assert all(row["synthetic"] for row in truth[half])
