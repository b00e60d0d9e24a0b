"""Two dumps in one file: the second one comes out whole, or what hides it is flagged; never silently one message."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from corpus_dumps import HEADER, Outcome, in_stretches, one_by_one

from biasaudit.corpus.dump_inside import INSIDE
from biasaudit.corpus.dump_order import FORGED
from biasaudit.corpus.reading import SourceOptions

TEXT = "oi {}, tudo; bem\nsegunda"


def dump(first: int, *, delimiter: str = ",", newline: str = "\n", header: bool = True, quoted: bool = False) -> str:
    lines = [delimiter.join(HEADER)] if header else []
    for n in range(10):
        text = TEXT.format(n)
        cell = f'"{text}"' if quoted else text
        lines.append(delimiter.join([str(first + n), "77", f"2021-03-04 10:0{n}:00+00:00", cell]))
    return newline.join(lines)


def read(folder: Path, content: str) -> Outcome:
    path = folder / "joined.csv"
    path.write_text(content, newline="")
    truth = one_by_one(path, SourceOptions())
    assert in_stretches(path, SourceOptions(), [100, 400, 600, 800]) == truth
    return truth


@pytest.mark.parametrize("quoted", list(itertools.product([False, True], repeat=2)))
@pytest.mark.parametrize("delimiter", [",", ";"])
@pytest.mark.parametrize("newline", ["\n", "\r", "\r\n"])
@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("between", ["", "\n"])
def test_a_second_dump_is_never_swallowed_silently(
    tmp_path: Path, quoted: tuple[bool, bool], delimiter: str, newline: str, header: bool, between: str
) -> None:
    second = dump(100, delimiter=delimiter, newline=newline, header=header, quoted=quoted[1])
    records, rejects, *_ = read(tmp_path, dump(1, quoted=quoted[0]) + between + second)
    whole = [record[0] for record in records] == [TEXT.format(n) for n in range(10)] * 2
    assert whole or rejects or any(set(record[6]) & {INSIDE, FORGED, "unclosed-quote"} for record in records)


@pytest.mark.parametrize("joint", ["\nid;channel_id;date;message\n100;77;2021-03-04;a\n", "id,channel_id,date,message\n",
                                   "\r100,77,2021-03-04 10:00:00,a\r101,77,2021-03-04 10:00:00,b", "id;channel_id;date;message\r\n",
                                   ', 7,77,2021-03-04,a\n', "\n100\t-77\t04/03/2021 10:00\ta\n"])  # fmt: skip
def test_the_message_that_swallowed_it_is_flagged_and_no_other(tmp_path: Path, joint: str) -> None:
    records, *_ = read(tmp_path, dump(1) + joint)
    assert [record[1] for record in records if INSIDE in record[6]] == ["10"]


@pytest.mark.parametrize("text", ["em 12, 7, 2021-03-04 foi", "id, date, message", "1;2;3", "nos dias 1,2,03/04/2021",
                                  "\n10;20;30", "\n1. item", "veja message", "2021-03-04 10:00"])  # fmt: skip
def test_prose_is_no_dump(tmp_path: Path, text: str) -> None:
    records, *_ = read(tmp_path, dump(1).replace("segunda", "segunda " + text) + "\n")
    assert len(records) == 10
    assert not any(record[6] for record in records)


def test_quoted_messages_may_hold_what_they_like(tmp_path: Path) -> None:
    content = dump(1, quoted=True).replace("segunda", "x\n9;7;2021-03-04;x\nid;channel_id;date;message") + "\n"
    records, *_ = read(tmp_path, content)
    assert len(records) == 10
    assert not any(record[6] for record in records)
