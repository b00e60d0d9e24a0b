"""Records forged inside messages: impossible with quotes, told by the order of the dump without them."""

from __future__ import annotations

import csv
import io
import random
from pathlib import Path

import pytest
from corpus_dumps import HEADER, Record, in_stretches, one_by_one

from biasaudit.corpus.reading import SourceOptions

FORGED = "forged-record-start"
Row = tuple[int, str, str, str]


def date(second: int) -> str:
    return f"2021-03-{1 + second // 86400:02}T{second // 3600 % 24:02}:{second // 60 % 60:02}:{second % 60:02}+00:00"


def in_runs(count: int) -> list[Row]:
    """Channel after channel, ids and dates falling, as an export writes them."""
    return [(count - n, str(1000 + n // 500), date(10 * (count - n)), f"mensagem, {n}") for n in range(count)]


def in_turns(count: int, channels: int = 12) -> list[Row]:
    """All channels by date, each with its own ids."""
    rng = random.Random(count)
    last = dict.fromkeys(range(channels), 0)
    rows = []
    for n in range(count):
        channel = rng.randrange(channels)
        last[channel] += rng.randrange(1, 4)
        rows.append((last[channel], f"-100{channel}", date(7 * n), f"mensagem, {n}"))
    return rows


def shuffled(count: int) -> list[Row]:
    rows = in_turns(count)
    random.Random(1).shuffle(rows)
    return rows


def written(rows: list[Row]) -> str:
    return "\n".join([",".join(HEADER), *(",".join(map(str, row)) for row in rows)]) + "\n"


def read(folder: Path, content: str, cuts: int = 4) -> list[Record]:
    path = folder / "dump.csv"
    path.write_text(content, newline="")
    truth = one_by_one(path, SourceOptions())
    size = path.stat().st_size
    assert in_stretches(path, SourceOptions(), [size * n // cuts for n in range(1, cuts)]) == truth
    flagged = [record for record in truth[0] if FORGED in record[6]]
    assert truth[3]["forged_record_starts"] == len(flagged)
    return flagged


@pytest.mark.parametrize("dump", [in_runs, in_turns, shuffled])
def test_an_honest_dump_has_no_forgeries(tmp_path: Path, dump: object) -> None:
    assert read(tmp_path, written(dump(20_000)), cuts=7) == []  # type: ignore[operator]


@pytest.mark.parametrize("dump", [in_runs, in_turns])
@pytest.mark.parametrize("size", [8, 200, 5_000])
def test_a_forged_record_is_told_in_dumps_of_any_size(tmp_path: Path, dump: object, size: int) -> None:
    rows = dump(size)  # type: ignore[operator]
    number = size // 2
    ids, channel, when, text = rows[number]
    rows[number] = (ids, channel, when, f"{text}\n999999,12,2019-01-01T10:00:00+00:00,forjada, sim")
    assert [record[1] for record in read(tmp_path, written(rows))] == ["999999"]


def test_three_forged_records_in_one_message_are_told(tmp_path: Path) -> None:
    rows = in_runs(2_000)
    lines = "".join(f"\n{n},55,2019-01-01T10:00:0{n}+00:00,forjada" for n in (1, 2, 3))
    rows[700] = (*rows[700][:3], "veja:" + lines)
    assert [record[1] for record in read(tmp_path, written(rows))] == ["1", "2", "3"]


def test_a_forged_record_of_the_same_channel_is_told_by_its_id(tmp_path: Path) -> None:
    rows = in_runs(400)
    rows[300] = (*rows[300][:3], f"veja\n7777777,{rows[300][1]},{rows[300][2]},forjada")
    assert [record[1] for record in read(tmp_path, written(rows))] == ["7777777"]


def test_a_forged_record_in_a_handful_is_told(tmp_path: Path) -> None:
    when = "2021-03-04 10:00:00+00:00"
    rows = [(n, "77", when, f"oi, {n}") for n in (1, 2, 3)]
    rows[1] = (*rows[1][:3], f"veja:\n99,77,{when},forjada")
    assert [record[1] for record in read(tmp_path, written(rows), cuts=2)] == ["99"]


def test_no_record_can_be_forged_inside_quotes(tmp_path: Path) -> None:
    rng = random.Random(3)
    rows = []
    for number, (ids, channel, when, text) in enumerate(in_turns(1_000)):
        start = rng.choice(["{},{},{},x", '"{}","{}","{}","x"', '"\n{},{},{},"x', '"",\n{},{},{},\n', "{},{},{},"])
        rows.append((ids, channel, when, f"{text}\n" + start.format(number, rng.choice([channel, "9"]), when)))
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([HEADER, *rows])
    path = tmp_path / "dump.csv"
    path.write_text(out.getvalue(), newline="")
    truth = one_by_one(path, SourceOptions())
    assert [record[:4] for record in truth[0]] == [(text, str(ids), c, when) for ids, c, when, text in rows]
    assert in_stretches(path, SourceOptions(), [1000, 30_000, 60_000]) == truth
    assert not any(record[6] for record in truth[0])
