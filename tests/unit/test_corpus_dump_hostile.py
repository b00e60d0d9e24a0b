"""Files made to hang a reader end in a time that grows with their size."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from biasaudit.corpus import reading, sources
from biasaudit.corpus.reading import SourceOptions
from biasaudit.errors import CorpusError

DUMP = 'id,channel_id,date,message\n1,7,2021-03-04,"a, b"\n'
TABLE = "a,text\n1,b\n"
TEXT_FIRST = "message,id,channel_id,date\na,1,7,2021-03-04\n"
RECORD = "1,7,2021-03-04,"
ATTACKS = [
    "x", '"', ",", "\n", "\r", "\x00", "\\", '\\"', '""\n', '"\n', "1,", " \n", RECORD, RECORD + '"\n', RECORD + '"""\n',
    RECORD + '""x\n', RECORD + '"a"\nz\n', RECORD + '"a"\n"\n', RECORD + "a\r", "1,7,,\n", '"a","b","c","d"\n', "2021-03-04,",
    "id,channel_id,date,message\n", "\ufeff",
]  # fmt: skip


def seconds(path: Path, content: str, options: SourceOptions, *, bulk: bool) -> float:
    path.write_text(content, newline="")
    begun = time.process_time()
    if bulk:
        survey = sources.survey(path, options)
        end = 0
        for batch in sources.stretch(survey, 0, survey.size):
            assert batch.start == end
            batch.check("attack")
            end = batch.end
        assert end == survey.size
    else:
        for _ in reading.audited(sources.read(path, options), "attack"):
            pass
    return time.process_time() - begun


def grows_with_size(path: Path, head: str, attack: str, options: SourceOptions, size: int) -> None:
    for bulk in (True, False):

        def best(n: int, *, bulk: bool = bulk) -> float:
            # What a busy machine adds is no property of the reader: one of three tries has little of it.
            return min(seconds(path, head + (attack * n)[:n], options, bulk=bulk) for _ in range(3))

        small, large = (seconds(path, head + (attack * n)[:n], options, bulk=bulk) for n in (size // 4, size))
        if large > max(6 * small, 0.5):
            small, large = best(size // 4), best(size)
        assert large <= max(6 * small, 0.5), (attack[:20], bulk, small, large)
        assert large <= 5e-6 * size + 0.5


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("head", [DUMP, TABLE, TEXT_FIRST])
def test_time_grows_with_size(tmp_path: Path, head: str, attack: str) -> None:
    grows_with_size(tmp_path / "attack.csv", head, attack, SourceOptions(), 60_000)


@pytest.mark.slow
@pytest.mark.parametrize("quoting", [None, "quoted", "unquoted", "mixed", "double", "backslash", "wrapped"])
@pytest.mark.parametrize("attack", ATTACKS)
def test_time_grows_with_size_up_to_two_megabytes(tmp_path: Path, attack: str, quoting: str | None) -> None:
    for head in (DUMP, TEXT_FIRST):
        grows_with_size(tmp_path / "attack.csv", head, attack, SourceOptions(quoting=quoting), 2_000_000)


def test_two_megabytes_in_one_line_and_a_million_commas(tmp_path: Path) -> None:
    path = tmp_path / "attack.csv"
    for content in (DUMP + RECORD + "x" * 2_000_000, DUMP + RECORD + "," * 1_000_000, "x" * 2_000_000 + "," + DUMP):
        for bulk in (True, False):
            assert seconds(path, content, SourceOptions(), bulk=bulk) < 5
    path.write_text("x" * 2_000_000 + ",a\n")
    with pytest.raises(CorpusError, match="no column is called text") as caught:
        sources.survey(path, SourceOptions())
    assert len(str(caught.value)) < 10_000
