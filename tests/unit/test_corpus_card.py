"""The data card: a census of parts is that of the whole, every key is documented, every warning has its reason."""

from __future__ import annotations

import itertools
import json
import re
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import corpus_card_example as example
import numpy as np
import pyarrow as pa
import pytest

from biasaudit import identity
from biasaudit.corpus import card_census
from biasaudit.corpus.card import Census, fingerprint, quantiles
from biasaudit.corpus.card_command import command
from biasaudit.corpus.card_dates import dates_of
from biasaudit.corpus.card_warnings import CODES
from biasaudit.corpus.gather import Tally
from biasaudit.errors import BiasAuditError
from biasaudit.report.words import table

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "data-card.md"


@pytest.fixture(scope="module")
def card() -> dict[str, Any]:
    return example.make()


@pytest.mark.parametrize("cuts", [(), (1,), (700, 701, 2999), tuple(range(0, 3000, 137))])
def test_parts_stored_and_merged_in_any_order_are_the_census_of_the_whole(cuts: tuple[int, ...]) -> None:
    found = example.columns()
    edges = [0, *cuts, 3000]
    merged = Census()
    for low, high in reversed(list(itertools.pairwise(edges))):
        part = json.loads(json.dumps(example.census_of(found, low, high).to_json()))
        merged.merge(Census.from_json(part))
    assert merged.to_json() == example.census_of(found).to_json()


def test_a_census_counts_what_a_loop_counts() -> None:
    found = example.columns(400)
    census = example.census_of(found)
    sides = Counter("val" if held else "train" for held in found["side"].tolist())
    assert {name: side.documents for name, side in census.sides.items()} == dict(sides)
    assert census.sides["val"].tokens == sum(t + 1 for t, h in zip(found["tokens"], found["side"], strict=True) if h)
    assert census.sides["train"].bytes + census.sides["val"].bytes == sum(
        len(t.as_py().encode()) for t in found["text"]
    )
    assert census.channels == Counter(c for c in found["channel"].to_pylist() if c)
    assert census.days == Counter(d[:10] for d in found["date"].to_pylist() if d)
    assert census.undated == found["date"].null_count


def test_columns_of_different_lengths_are_a_bug_not_a_count() -> None:
    found = example.columns(10)
    with pytest.raises(BiasAuditError, match="different lengths"):
        Census().add(**{**{k: v for k, v in found.items() if k != "text"}, "size": found["size"][:9]})


def test_dates_that_are_none_are_counted_apart() -> None:
    dates = ["2021-02-29", "0001-01-01", "9999-12-31", "20210301", "2021-03-01 25:00", "", None]
    count = len(dates)
    census = Census()
    census.add(
        side=np.zeros(count, bool), tokens=np.ones(count, np.int64), size=np.ones(count, np.int64),
        copies=np.ones(count, np.int64), channel=pa.nulls(count, pa.string()), date=pa.array(dates, pa.string()),
        source=pa.array(["a.csv"] * count),
    )  # fmt: skip
    assert (census.undated, census.implausible_dates, dict(census.days)) == (2, 4, {"2021-03-01": 1})


def test_channels_beyond_the_limit_are_a_sample_that_no_cut_changes() -> None:
    names = [f"c{i % 4000}" for i in range(8000)]

    def counted(parts: list[list[str]]) -> Census:
        whole = Census(channel_limit=500)
        for part in parts:
            ones = np.ones(len(part), np.int64)
            census = Census(channel_limit=500)
            census.add(side=ones > 1, tokens=ones, size=ones, copies=ones, channel=pa.array(part),
                       date=pa.nulls(len(part), pa.string()), source="x")  # fmt: skip
            whole.merge(Census.from_json(census.to_json()))
        return whole

    one, many = counted([names]), counted([names[i : i + 333] for i in range(0, 8000, 333)])
    assert one.to_json() == many.to_json()
    assert len(one.channels) == 500
    assert set(one.channels.values()) == {2}
    assert one.in_channels == 8000
    assert one.distinct_channels == pytest.approx(4000, rel=0.15)
    assert one.channel_tokens["train"] == dict.fromkeys(one.channels, 4)


def test_tokens_of_sources_beyond_the_limit_are_of_a_sample_that_no_cut_changes() -> None:
    names = [f"f{i % 900}" for i in range(1800)]

    def counted(size: int) -> Census:
        whole = Census(channel_limit=100)
        for part in (names[i : i + size] for i in range(0, 1800, size)):
            ones = np.ones(len(part), np.int64)
            whole.add(side=ones > 1, tokens=ones, size=ones, copies=ones, channel=pa.nulls(len(part), pa.string()),
                      date=pa.nulls(len(part), pa.string()), source=pa.array(part))  # fmt: skip
        return whole.settled()

    assert counted(1800).to_json() == counted(77).to_json()
    assert list(counted(77).source_tokens["train"].values()) == [4] * 100


def test_memory_follows_what_differs_not_how_many_documents_there_are() -> None:
    found = example.columns(2000)
    census = example.census_of(found)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(50):
        census.merge(example.census_of(found))
    assert tracemalloc.get_traced_memory()[0] - before < 200_000
    tracemalloc.stop()
    assert sum(side.documents for side in census.sides.values()) == 102_000


def test_long_lengths_are_binned_within_two_percent() -> None:
    lengths = np.array([0, 1, 4096, 4097, 100_003, 2**40 + 12345], np.int64)
    binned = card_census.binned(lengths)
    assert binned[:3].tolist() == [0, 1, 4096]
    assert ((lengths - binned >= 0) & (lengths - binned <= lengths / 64)).all()


def test_quantiles_are_values_that_occurred() -> None:
    assert quantiles(Counter({1: 50, 9: 50})) == {
        "min": 1, "p25": 1, "median": 1, "p75": 9, "p95": 9, "max": 9, "mean": 5.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("days", "grain", "gaps", "silence"),
    [
        (["2021-01-01", "2021-01-02", "2021-01-05"], "day", [("2021-01-03", "2021-01-04", 2)], 2),
        (["2021-01-04", "2021-05-02", "2021-05-20"], "week",
         [("2021-01-11", "2021-04-25", 15), ("2021-05-03", "2021-05-16", 2)], 117),
        (["2019-01-31", "2021-12-01", "2022-01-31"], "month", [("2019-02", "2021-11", 34)], 1034),
        (["1970-01-01", "2021-12-01"], "year", [("1971", "2020", 50)], 18961),
        (["2021-01-01"], "day", [], 0),
    ],
)  # fmt: skip
def test_gaps_are_whole_periods_without_a_message(
    days: list[str], grain: str, gaps: list[tuple[str, str, int]], silence: int
) -> None:
    found = dates_of(dict.fromkeys(days, 2))
    assert (found["grain"], found["longest_silence_days"]) == (grain, silence)
    assert [(g["from"], g["to"], g["periods"]) for g in found["gaps"]["longest"]] == gaps
    assert found["periods"] == len(found["documents"]) + found["gaps"]["periods"]


def test_a_card_without_a_record_is_still_a_card() -> None:
    found = example.make(tally=Tally(), census=Census(), sources=[], near_duplicates=0, ngrams=None)
    assert (found["tokens_per_byte"], found["dates"]["first"], found["channels"]["count"]) == (None, None, 0)
    assert found["warnings"][0] == {"code": "nothing_kept"}


@pytest.mark.parametrize("changes", [{"records": 3061}, {"kept": 2999, "records": 3059}, {"filtered": 14}])
def test_a_card_whose_records_do_not_add_up_is_refused(changes: dict[str, int]) -> None:
    tally = Tally(**{"records": 3060, "kept": 3000, "duplicates": 40, "filtered": 15, "empty": 5, **changes})
    with pytest.raises(BiasAuditError, match="Conservation law"):
        example.make(tally=tally)


def test_rules_that_the_tally_does_not_know_take_part_in_the_sum() -> None:
    tally = Tally(records=3010, kept=3000, duplicates=7)
    found = example.make(tally=tally, near_duplicates=0, set_aside={"other_language": 3})
    assert found["records"]["set_aside"] == {"filtered": 0, "empty_after_cleaning": 0, "other_language": 3}


def test_equal_inputs_give_equal_bytes(card: dict[str, Any]) -> None:
    assert identity.canonical_json(card) == identity.canonical_json(example.make())
    assert json.loads(json.dumps(card)) == card


def test_the_fingerprint_is_the_one_that_a_trained_model_names(tmp_path: Path) -> None:
    from biasaudit.lm.recipe import _corpus_fingerprint
    from biasaudit.lm.tokenizer import load_tokenizer

    for name in ("train.bin", "val.bin"):
        (tmp_path / name).write_bytes(name.encode())
    words = load_tokenizer("embedded:base")
    shards = {name: identity.file_hash(tmp_path / name) for name in ("train.bin", "val.bin")}
    assert fingerprint(shards, {"fingerprint": words.fingerprint}) == _corpus_fingerprint(tmp_path, words)


def test_warnings_say_what_matters_first(card: dict[str, Any]) -> None:
    assert [w["code"] for w in card["warnings"]] == [
        "rejects", "forged_record_starts", "doubts", "language_mix", "gaps", "misread_by_a_csv_parser",
    ]  # fmt: skip
    risky = example.make(200, settings={**example.SETTINGS, "privacy": False, "duplicates": "keep", "clean": ["legacy"]},
                         languages={"en": 100}, sources=[])  # fmt: skip
    assert {w["code"] for w in risky["warnings"]} >= {
        "privacy_off", "duplicates_kept", "legacy_cleaning", "few_documents", "language_other",
    }  # fmt: skip


def codes(**changes: Any) -> dict[str, dict[str, Any]]:
    return {warning["code"]: warning for warning in example.make(**changes)["warnings"]}


def source(name: str = "a.json", **changes: Any) -> dict[str, Any]:
    return {"name": name, "bytes": 1, "sha256": "c" * 64, "dialect": {}, "unit": "bytes", **changes}


@pytest.mark.parametrize("note", [{"complete": False}, {"truncated": True}, {"truncated": 3}])
def test_a_source_that_was_cut_off_is_told_first_and_named(note: dict[str, Any]) -> None:
    whole, cut = source("whole.json", dialect={"complete": True, "truncated": 0}), source("b.json", dialect=note)
    assert "source_cut_off" not in codes(sources=[whole])
    for sources in ([whole, cut], [whole, source("z.zip", members=[{"name": "b.json", "dialect": note}])]):
        assert example.make(sources=sources)["warnings"][0] == {"code": "source_cut_off", "n": 1, "names": ["b.json"]}


def test_a_record_inside_which_its_file_ends_says_which_file_where_there_is_one() -> None:
    tally = Tally(records=3000, kept=3000, flags=Counter({"truncated-record": 1}))
    alone = codes(tally=tally, sources=[source()])["source_cut_off"]
    assert alone["names"] == ["a.json"]
    assert codes(tally=tally, sources=[source(), source("b.json")])["source_cut_off"]["names"] == []
    rejected = Tally(records=3000, kept=3000, rejects=Counter({"not valid JSON: the file ends inside it": 1}))
    assert codes(tally=rejected, sources=[source()])["source_cut_off"]["names"] == ["a.json"]


def test_members_that_were_left_out_are_told_and_those_read_are_looked_into() -> None:
    dialect = {"kind": "archive", "members_left_out": [{"name": "x.jpg", "because": "unknown"}],
               "members_left_out_count": 700}  # fmt: skip
    members = [{"name": "z.zip/a.csv", "dialect": {"forged_record_starts": 2}, "unit": "bytes"}]
    found = codes(sources=[source("z.zip", dialect=dialect, members=members)])
    assert found["members_left_out"] == {"code": "members_left_out", "n": 700, "names": ["z.zip"]}
    assert found["forged_record_starts"]["n"] == 2


@pytest.mark.parametrize(("asked", "told"), [(0.05, True), (0.07, False), (1 / 11, False), (0.17, False), (0.2, True)])
def test_a_held_out_share_of_tokens_far_from_the_one_asked_for_is_told(asked: float, *, told: bool) -> None:
    found = codes(settings={**example.SETTINGS, "held_out": asked})
    assert ("held_out_share" in found) is told
    if told:
        assert found["held_out_share"]["share"] == pytest.approx(1 / 11, rel=0.05)


def test_a_source_wholly_on_one_side_is_told_where_it_is_not_small() -> None:
    found = example.columns()
    names = np.array(["a.csv"] * 1000 + ["b.csv"] * 1950 + ["tiny.csv"] * 50)
    card = example.make(census=example.census_of({**found, "source": pa.array(names)}))
    assert [(row["name"], row["side"]) for row in card["one_sided"]["sources"]] == [("a.csv", "train")]
    assert {"code": "one_sided_sources", "n": 1, "train": ["a.csv"], "val": []} in card["warnings"]
    assert "one_sided_sources" not in codes()


def test_channels_on_one_side_are_told_where_the_split_is_by_channel() -> None:
    found = example.columns()
    census = example.census_of({**found, "channel": pa.array(["a"] * 2000 + ["b"] * 727 + ["c"] * 273)})
    told = codes(census=census, settings={**example.SETTINGS, "split": "channel"})["one_sided_channels"]
    assert (told["train"], told["val"]) == (["a", "b"], ["c"])
    assert "one_sided_channels" not in codes(census=census)


def test_tokens_by_name_and_side_are_what_a_loop_counts() -> None:
    found = example.columns(400)
    names = [f"s{i % 7}" for i in range(400)]
    census = example.census_of({**found, "source": pa.chunked_array([names[:150], names[150:]])})
    for counts, column in ((census.source_tokens, names), (census.channel_tokens, found["channel"].to_pylist())):
        expected: dict[str, Counter[str]] = {"train": Counter(), "val": Counter()}
        for name, held, tokens in zip(column, found["side"].tolist(), found["tokens"].tolist(), strict=True):
            if name is not None:
                expected["val" if held else "train"][name] += tokens + 1
        assert counts == expected


def test_the_unit_of_the_sources_is_that_of_the_sums() -> None:
    rows = source("t.parquet", unit="rows", rows=40)
    packed = source("z.zip", members=[{"name": "t", "dialect": {}, "unit": "rows", "rows": 2}])
    for sources, unit, count in (
        ([source()], "bytes", 0),
        ([rows, packed], "rows", 42),
        ([source(), rows], "mixed", 40),
    ):
        found = example.make(sources=sources)
        assert (found["bytes"]["unit"], found["bytes"]["rows"]) == (unit, count)
        assert next(w for w in found["warnings"] if w["code"] == "rejects")["unit"] == unit


@pytest.mark.parametrize(
    ("tag", "told"), [("pt-BR", False), ("pt_PT", False), ("PT", False), ("es", True), ("p", True)]
)
def test_a_tag_is_held_against_the_language_without_its_region(tag: str, *, told: bool) -> None:
    assert ("language_other" in codes(language=tag)) is told


def test_every_warning_has_a_sentence() -> None:
    assert {f"corpus.warning.{code}" for code in CODES} <= set(table("pt"))


def test_every_key_of_the_card_is_documented_and_every_documented_key_is_there(card: dict[str, Any]) -> None:
    rows = re.findall(r"^\| `([a-z_]+)` \| ([a-z ]+) \|", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    assert {name for name, _ in rows} == set(card)
    kinds = {"text": str, "number": (int, float, type(None)), "object": (dict, type(None)), "list": list}
    for name, kind in rows:
        assert isinstance(card[name], kinds[kind]), name


def test_the_command_names_what_is_not_the_default_and_nothing_else() -> None:
    defaults = {
        **example.SETTINGS,
        "language": "",
        "only_language": "",
        "names": False,
        "tokenizer": "embedded:base",
        "train_vocab": None,
        "column_map": {},
    }
    given = {
        **defaults, "duplicates": "keep", "language": "", "only_language": "pt", "privacy": False, "names": True,
        "clean": ["nfc", "newlines", "controls", "bidi", "whitespace", "unwrap"],
        "where": {"lang": "pt br"}, "train_vocab": 8192, "tokenizer": "", "column_map": {"corpo": "text"},
    }  # fmt: skip
    assert command(defaults, defaults, ["a b.csv"]) == "biasaudit ingest 'a b.csv' --out CORPUS"
    legacy = command({**defaults, "clean": ["legacy"], "language": "pt"}, defaults, ["x.csv"])
    assert legacy == "biasaudit ingest x.csv --out CORPUS --legacy --language-tag pt"
    assert command(given, defaults, ["x.csv"], out="c") == (
        "biasaudit ingest x.csv --out c --disable forwarded --enable unwrap --map corpo=text --duplicates keep --names "
        "--language pt --no-privacy --train-vocab 8192 --where 'lang=pt br'"
    )


def test_every_option_that_the_command_names_is_one_of_the_command_line() -> None:
    from biasaudit.cli import ingest

    known = {option for parameter in ingest.params for option in parameter.opts}
    given = {
        "clean": ["nfc", "unwrap"], "privacy": False, "names": True, "duplicates": "exact", "join_messages": 3,
        "only_language": "pt", "language": "pt", "split": "hash", "held_out": 0.2, "train_vocab": 400, "kind": "csv",
        "column_map": {"a": "text"}, "where": {"b": "c"}, "encoding": "utf-8", "delimiter": ";", "quoting": "mixed",
        "lines_per_document": {"*": 20}, "tokenizer": "gpt2", "fast_tokenizer": True,
    }  # fmt: skip
    line = command(given, {"clean": ["nfc", "bidi"]}, ["x"]) + " " + command({"clean": ["legacy"]}, {}, ["x"])
    assert {word for word in line.split() if word.startswith("--")} <= known
