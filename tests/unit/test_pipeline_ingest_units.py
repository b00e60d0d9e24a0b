"""Cutting sources into units, and the chain that proves that the stretches fit together."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biasaudit.corpus.reading import SourceOptions, Survey
from biasaudit.errors import BiasAuditError
from biasaudit.pipeline.ingest_units import Found, ReadUnit, Stretch, plan, repaired

Spans = list[tuple[int, int]]


def survey(size: int, cuts: tuple[int, ...] | None = None, unit: str = "bytes") -> Survey:
    return Survey(
        path=Path("a.csv"), label="a.csv", kind="csv", size=size, unit=unit, options=SourceOptions(), cuts=cuts
    )


class Toy:
    """Any reader that knows nothing but where it starts: where a span ends follows from where it begins.

    Its guesses are anything at all. A jump of the whole file is a quote that never closes.
    """

    def __init__(self, size: int, rng: random.Random, longest: int, *, endless: float = 0.1) -> None:
        self.size = size
        self.ends = [
            size if rng.random() < endless else min(size, place + rng.randint(1, longest)) for place in range(size)
        ]
        self.rng = rng
        self.guesses: dict[tuple[int, int], int | None] = {}

    def whole(self) -> Spans:
        return self.spans(0, self.size)

    def spans(self, start: int, stop: int) -> Spans:
        found = []
        while start < stop:
            found.append((start, self.ends[start]))
            start = self.ends[start]
        return found

    def read(self, stretch: Stretch) -> Spans:
        if stretch.start == stretch.stop:
            return []
        if stretch.synced:
            return self.spans(stretch.start, stretch.stop)
        key = (stretch.start, stretch.stop)
        if key not in self.guesses:
            right = [span[0] for span in self.whole() if stretch.start <= span[0] < stretch.stop]
            anywhere = self.rng.randrange(stretch.start, stretch.stop)
            self.guesses[key] = self.rng.choice([right[0] if right else None, anywhere, None])
        guess = self.guesses[key]
        return [] if guess is None else self.spans(guess, stretch.stop)


def outcome(spans: Spans) -> Found:
    return (spans[0][0], spans[-1][1]) if spans else None


def settle(units: list[ReadUnit], toys: list[Toy], surveys: list[Survey]) -> tuple[list[ReadUnit], int]:
    """Read and repair until it fits, as the engine does; also how many stretches were read in all."""
    done: dict[str, list[Found]] = {}
    read = 0
    for _ in range(2 + sum(len(unit.stretches) for unit in units)):
        for unit in units:
            if unit.unit_id not in done:
                done[unit.unit_id] = [outcome(toys[s.source].read(s)) for s in unit.stretches]
                read += len(unit.stretches)
        again = repaired(units, done, surveys)
        if again == units:
            return units, read
        units = again
    raise AssertionError("the chain never settled")


def test_whatever_is_guessed_the_stretches_end_as_one_pass() -> None:
    for seed in range(300):
        rng = random.Random(seed)
        longest, endless = rng.choice([1, 3, 20, 100]), rng.choice([0, 0.01, 0.05, 0.5])
        toys = [Toy(rng.randint(0, 200), rng, longest, endless=endless) for _ in range(rng.randint(1, 3))]
        surveys = [survey(toy.size) for toy in toys]
        first = plan(surveys, unit_bytes=rng.choice([1, 7, 20, 50, 1000]))
        units, _ = settle(first, toys, surveys)
        assert [(u.number, u.count) for u in units] == [(u.number, u.count) for u in first]
        for number, toy in enumerate(toys):
            mine = [stretch for unit in units for stretch in unit.stretches if stretch.source == number]
            assert [span for stretch in mine for span in toy.read(stretch)] == toy.whole(), seed


def test_a_guess_that_runs_to_the_end_of_the_file_costs_little() -> None:
    """A quote that seems to open in the second unit swallows the rest of the file."""
    rng = random.Random(1)
    toy = Toy(1000, rng, 10, endless=0)
    units = plan([survey(1000)], unit_bytes=100)
    wrong = next(place for place in range(100, 200) if place not in {start for start, _ in toy.whole()})
    toy.ends[wrong] = 1000
    toy.guesses[100, 200] = wrong
    for start in range(200, 1000, 100):
        toy.guesses[start, start + 100] = next(s for s, _ in toy.whole() if s >= start)
    units, read = settle(units, [toy], [survey(1000)])
    assert [span for unit in units for span in toy.read(unit.stretches[0])] == toy.whole()
    assert read <= len(units) + 2


def test_right_guesses_are_never_read_again() -> None:
    toy = Toy(1000, random.Random(2), 10, endless=0)
    units = plan([survey(1000)], unit_bytes=100)
    for start in range(100, 1000, 100):
        toy.guesses[start, start + 100] = next(s for s, _ in toy.whole() if s >= start)
    settled, read = settle(units, [toy], [survey(1000)])
    assert settled == units
    assert read == len(units)


def repaired_once(found: list[Found], size: int = 30, cuts: tuple[int, ...] | None = (10, 20)) -> list[ReadUnit]:
    surveys = [survey(size, cuts)]
    units = plan(surveys, unit_bytes=10)
    return repaired(units, {unit.unit_id: [span] for unit, span in zip(units, found, strict=True)}, surveys)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ([(0, 10), (10, 19), (20, 30)], "bytes 19 to 20"),
        ([(0, 10), (11, 20), (20, 30)], "bytes 10 to 11"),
        ([(0, 10), None, (20, 30)], "bytes 10 to the end"),
        ([(0, 10), (10, 20), (20, 29)], "bytes 29 to 30"),
        ([(0, 10), (10, 20), None], "bytes 20 to the end"),
        ([(1, 10), (10, 20), (20, 30)], "bytes 0 to 1"),
        ([None, (10, 20), (20, 30)], "bytes 0 to the end"),
    ],
)
def test_a_reader_that_leaves_a_hole_behind_a_known_place_stops_the_run(found: list[Found], message: str) -> None:
    def ask_twice() -> None:
        """The stretch behind the hole is asked again from where the one before it ended, and says the same again."""
        ids = {unit.unit_id: [span] for unit, span in zip(repaired_once(found), found, strict=True)}
        repaired(repaired_once(found), ids, [survey(30, (10, 20))])

    with pytest.raises(BiasAuditError, match=message):
        ask_twice()


def test_a_unit_that_is_asked_again_has_another_name() -> None:
    before = plan([survey(30)], unit_bytes=10)
    after = repaired_once([(0, 14), (12, 22), (22, 30)], cuts=None)
    assert [a.unit_id == b.unit_id for a, b in zip(before, after, strict=True)] == [True, False, True]
    assert after[1].stretches[0] == Stretch(source=0, start=14, stop=20, synced=True)


@given(
    sizes=st.lists(st.integers(0, 500), min_size=1, max_size=6),
    unit_bytes=st.integers(1, 600),
    kinds=st.lists(st.sampled_from(["anywhere", "nowhere", "tens", "rows"]), min_size=6, max_size=6),
)
def test_units_cover_every_source_once_and_in_order(sizes: list[int], unit_bytes: int, kinds: list[str]) -> None:
    cuts = {"anywhere": None, "nowhere": (), "rows": (), "tens": None}
    surveys = [
        survey(
            size, tuple(range(10, size, 10)) if kind == "tens" else cuts[kind], "rows" if kind == "rows" else "bytes"
        )
        for size, kind in zip(sizes, kinds, strict=False)
    ]
    units = plan(surveys, unit_bytes=unit_bytes)
    assert [unit.number for unit in units] == list(range(len(units)))
    assert len({unit.unit_id for unit in units}) == len(units)
    for number, source in enumerate(surveys):
        mine = [stretch for unit in units for stretch in unit.stretches if stretch.source == number]
        assert [s.start for s in mine] == [0, *(s.stop for s in mine[:-1])]
        assert mine[-1].stop == source.size
        for stretch in mine[1:]:
            assert source.cuts is None or stretch.start in source.cuts
            assert stretch.synced == (source.cuts is not None)


def test_many_small_sources_share_a_unit() -> None:
    units = plan([survey(10) for _ in range(1000)], unit_bytes=1000)
    assert [len(unit.stretches) for unit in units] == [100] * 10
