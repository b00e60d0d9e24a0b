from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from biasaudit.corpus import dedup, sketch, split
from biasaudit.errors import CorpusError, UnknownNameError


def sides(
    name: str, *, digests: np.ndarray | None = None, channels: list[int] | None = None, share: float = 0.2,
    dates: list[str | None] | None = None, hashes: list[int] | None = None, count: int = 10,
) -> np.ndarray:  # fmt: skip
    codes = [0] * count if channels is None else channels
    names = [split.name_hash(f"canal {code}") for code in range(max(codes, default=0) + 1)]
    return split.sides(
        name,
        share=share,
        digests=np.zeros((len(codes), 2), np.uint64) if digests is None else digests,
        channels=np.array(codes, np.int64),
        channel_hashes=np.array(names if hashes is None else hashes, np.uint64),
        dates=pa.array([None] * len(codes) if dates is None else dates, pa.string()),
    )


def digests_of(texts: list[str]) -> np.ndarray:
    return sketch.digests(pa.array(texts, pa.string()))


def test_sequential_holds_out_the_end() -> None:
    assert sides("sequential").tolist() == [False] * 8 + [True] * 2
    assert sides("sequential", count=11, share=1 / 11).tolist() == [False] * 10 + [True]
    assert sides("sequential", count=2, share=0.999).tolist() == [False, True]
    assert sides("sequential", count=2, share=0.001).tolist() == [False, True]


def test_hash_keeps_a_side_whatever_comes_and_meets_its_share() -> None:
    few = digests_of([f"texto {n}" for n in range(5000)])
    many = digests_of([f"texto {n}" for n in range(9000)])
    one, two = sides("hash", digests=few, channels=[0] * 5000), sides("hash", digests=many, channels=[0] * 9000)
    assert np.array_equal(one, two[:5000])
    assert abs(one.mean() - 0.2) < 0.02


def test_channel_keeps_channels_whole_and_goes_by_the_hash_of_names() -> None:
    codes = np.random.default_rng(1).integers(0, 60, 4000)
    held = sides("channel", channels=codes.tolist())
    assert all(len(set(held[codes == code])) == 1 for code in range(60))
    assert 0.15 < held.mean() < 0.3
    order = np.random.default_rng(2).permutation(60)
    hashes = np.empty(60, np.uint64)
    hashes[order] = [split.name_hash(f"canal {code}") for code in range(60)]
    assert np.array_equal(held, sides("channel", channels=order[codes].tolist(), hashes=hashes.tolist()))


def test_channel_holds_out_the_smallest_when_all_are_too_large() -> None:
    assert sides("channel", channels=[0] * 6 + [1] * 4, share=0.1).tolist() == [False] * 6 + [True] * 4


def test_date_holds_out_the_newest_and_trains_on_what_has_no_date() -> None:
    dates = ["2021-01-05", None, "2021-01-01 10:00:00", "", "2021-01-03", "2021-01-02"]
    held = sides("date", channels=[0] * 6, dates=dates, share=0.5)
    assert held.tolist() == [True, False, False, False, True, False]


def test_what_cannot_be_split_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'hash'"):
        sides("hass")
    with pytest.raises(CorpusError, match="at least two"):
        sides("sequential", count=1)
    with pytest.raises(CorpusError, match="no document has a date"):
        sides("date", dates=[""] * 10)
    with pytest.raises(CorpusError, match="one channel only"):
        sides("channel")
    with pytest.raises(CorpusError, match="training side is empty"):
        sides("hash")
    with pytest.raises(CorpusError, match="validation side is empty"):
        sides("hash", digests=np.full((10, 2), 2**64 - 1, np.uint64))


@pytest.mark.parametrize("name", split.NAMES)
def test_no_copy_and_no_near_copy_stands_on_both_sides(tmp_path: Path, name: str) -> None:
    draw = np.random.default_rng(3)
    originals = [" ".join(f"p{w}" for w in draw.integers(0, 4000, 50)) for _ in range(400)]
    of = draw.integers(0, 400, 2000)
    edits = ("{}", "👉 {} ‼️", "{} [LINK]", "URGENTE {}")
    texts = [edits[n % 4].format(originals[o]) for n, o in enumerate(of)]
    array = pa.array(texts, pa.string())
    sketch.digests(array).tofile(tmp_path / "d")
    sketch.signatures(array).tofile(tmp_path / "s")
    keeper = dedup.keepers(tmp_path / "d", tmp_path / "s", mode="near", scratch=tmp_path).keeper
    kept = np.flatnonzero(keeper == np.arange(2000))
    dates = [f"2021-{1 + n % 12:02}-{1 + n % 28:02}" for n in range(2000)]
    held = sides(
        name, digests=digests_of([texts[n] for n in kept]), channels=(kept % 40).tolist(),
        dates=[dates[n] for n in kept],
    )  # fmt: skip
    assert held.any()
    assert not held.all()
    assert not set(of[kept[held]]) & set(of[kept[~held]])
