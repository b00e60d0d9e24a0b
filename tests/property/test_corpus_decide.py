import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from biasaudit.corpus import dedup, sketch
from biasaudit.corpus.conversations import joined
from biasaudit.corpus.dates import iso, iso_dates
from biasaudit.corpus.dedup_sort import in_order, linked

DIGITS = st.text("0123456789", min_size=1, max_size=4)
MADE = st.lists(
    st.one_of(DIGITS, st.sampled_from([*"/-.:, TZ", "2021", "12", "31", "\n", "+00:00", " PM", "1640944800"])),
    max_size=14,
).map("".join)
REAL = st.datetimes().flatmap(
    lambda at: st.sampled_from(
        [at.isoformat(), str(at.date()), f"{at:%d/%m/%Y %H:%M}", f"{at:%d/%m/%Y, %H:%M:%S}", f"{at:%m/%d/%y, %I:%M %p}",
         f"{at:%Y-%m-%dT%H:%M:%S.000Z}", f"{at:%Y-%m-%d %H:%M:%S+00:00}", f"{at:%d.%m.%Y %H:%M:%S}"]
    )
)  # fmt: skip


@settings(max_examples=300)
@given(st.lists(st.one_of(st.none(), st.text(max_size=20), MADE, REAL), max_size=30))
@example(["2021-12-31 10:00:60", "31/12/2021 24:00", "2021-12-31T10:00:00\n", "\x1c2021-12-31", "２０２１-12-31"])
def test_dates_in_bulk_are_dates_one_by_one(dates: list[str | None]) -> None:
    assert iso_dates(pa.array(dates, pa.string())).to_pylist() == [iso(date) or None for date in dates]


@given(st.lists(st.text(alphabet="ab ção1é💉.\n", max_size=60), max_size=40), st.integers(0, 5))
def test_a_sketch_belongs_to_its_text_alone(texts: list[str], skip: int) -> None:
    array = pa.array(texts, pa.string())
    skip = min(skip, len(texts))
    assert np.array_equal(sketch.signatures(array)[skip:], sketch.signatures(array.slice(skip)))
    assert np.array_equal(sketch.digests(array)[skip:], sketch.digests(array.slice(skip)))


@given(st.lists(st.text("abc", max_size=2), max_size=200), st.integers(1, 20_000))
def test_exact_duplicates_are_those_of_a_dictionary(texts: list[str], budget: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sketch.digests(pa.array(texts, pa.string())).tofile(folder / "d")
        found = dedup.keepers(folder / "d", None, mode="exact", budget=budget, scratch=folder)
    first: dict[str, int] = {}
    assert found.keeper.tolist() == [first.setdefault(text, number) for number, text in enumerate(texts)]


@given(
    st.lists(st.integers(0, 6).map(lambda n: (n * 0x1234567890ABCDEF) % 2**64), max_size=600),
    st.sampled_from([1, 1 << 20]),
)
def test_sorting_in_parts_is_sorting(keys: list[int], budget: int) -> None:
    rows = np.column_stack([np.array(keys, np.uint64), np.arange(len(keys), dtype=np.uint64)])
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "rows"
        rows.tofile(path)
        found = [row for piece in in_order(path, 2, budget) for row in piece.tolist()]
        assert not list(Path(name).iterdir())
        rows.tofile(path)
        ties = [t for part in linked(in_order(path, 2, budget)) for t in zip(part.number, part.first, strict=True)]
    assert found == sorted(rows.tolist())
    assert all(keys[number] == keys[first] and keys.index(keys[first]) == first for number, first in ties)
    assert len(ties) == len(keys) - len(set(keys))


@given(
    st.lists(st.tuples(st.text("ab", max_size=3), st.integers(0, 3)), max_size=60), st.integers(1, 5),
    st.integers(1, 60),
)  # fmt: skip
def test_conversations_are_those_of_a_plain_loop(rows: list[tuple[str, int]], n: int, size: int) -> None:
    table = pa.table(
        {
            "text": pa.array([r[0] for r in rows], pa.string()),
            "channel": pa.array([r[1] for r in rows], pa.int64()),
            "date": pa.nulls(len(rows), pa.string()),
            "copies": pa.array([1] * len(rows), pa.int64()),
        }
    )
    found = [t for part in joined(table.to_batches(max_chunksize=size), n) for t in part["text"].to_pylist()]
    open_ones: dict[int, list[str]] = {}
    expected = []
    for text, channel in rows:
        texts = open_ones.pop(channel, [])
        texts.append(text)
        if len(texts) == n:
            expected.append("\n".join(texts))
        else:
            open_ones[channel] = texts
    began = {}
    for number, (_, channel) in enumerate(rows):
        began.setdefault((channel, sum(r[1] == channel for r in rows[:number]) // n), number)
    last = {channel: max(at for (c, _), at in began.items() if c == channel) for channel in open_ones}
    expected += ["\n".join(open_ones[channel]) for channel in sorted(open_ones, key=last.__getitem__)]
    assert found == expected
