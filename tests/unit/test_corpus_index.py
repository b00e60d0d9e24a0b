"""The span index against brute force: lengths, places, document ends, block edges, placeholders, damage, resume."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biasaudit.corpus import index_build as building
from biasaudit.corpus.index import SpanIndex, has_index, open_index
from biasaudit.corpus.index_placeholders import Placeholders
from biasaudit.corpus.privacy import KINDS
from biasaudit.errors import CorpusError, RunLockedError, StoreError, UsageError
from biasaudit.lm.tokenizer import load_tokenizer
from biasaudit.records import TextIndex

EOT = 9


def put(folder: Path, tokens: Sequence[int] | np.ndarray[Any, Any], dtype: str = "uint16", side: str = "train") -> Path:
    """A folder with one shard."""
    folder.mkdir(parents=True, exist_ok=True)
    np.asarray(tokens, np.int64).astype(np.dtype(dtype).newbyteorder("<")).tofile(folder / f"{side}.bin")
    return folder


def opened(
    folder: Path, tokens: Sequence[int] | np.ndarray[Any, Any], *, dtype: str = "uint16", eot: int = EOT, **options: Any
) -> SpanIndex:
    return open_index(put(folder, tokens, dtype), "train", dtype=dtype, eot_id=eot, **options)


def naive(query: Sequence[int], text: np.ndarray[Any, Any], barred: Sequence[int]) -> int:
    """Longest common run by the table of all pairs."""
    best = 0
    runs = np.zeros(len(text) + 1, np.int64)
    for token in query:
        runs[1:] = 0 if token in barred else np.where(text == token, runs[:-1] + 1, 0)
        best = max(best, int(runs.max()))
    return best


def right(index: SpanIndex, queries: Sequence[Sequence[int]], text: np.ndarray[Any, Any], eot: int = EOT) -> None:
    """Every answer is the brute-force one, and stands where it says."""
    spans = index.longest_common_spans(queries)
    for query, length, start, place in zip(queries, spans.lengths, spans.starts, spans.places, strict=True):
        assert length == naive(query, text, [eot])
        if not length:
            assert (start, place) == (-1, -1)
            continue
        assert list(query[start : start + length]) == text[place : place + length].tolist()


@given(
    st.lists(st.integers(0, 3), max_size=60),
    st.lists(st.lists(st.integers(-1, 4), max_size=40), max_size=5),
    st.integers(0, 3),
    st.integers(4, 25),
    st.sampled_from(["uint16", "uint32"]),
)
def test_answers_are_those_of_brute_force(
    tmp_path_factory: pytest.TempPathFactory,
    text: list[int],
    queries: list[list[int]],
    eot: int,
    block: int,
    dtype: str,
) -> None:
    folder = tmp_path_factory.mktemp("corpus")
    index = opened(folder, text, dtype=dtype, eot=eot, block=block, limit=64)
    right(index, queries, np.array(text, np.int64), eot)
    shutil.rmtree(folder)


@pytest.mark.parametrize("dtype", ["uint16", "uint32"])
def test_large_ids_keep_their_order(tmp_path: Path, dtype: str) -> None:
    top = np.iinfo(dtype).max
    rng = np.random.default_rng(1)
    text = rng.choice([0, 1, 255, 256, 65_535, top - 1, top], 400)
    queries = [rng.choice([0, 1, 255, 256, 65_535, top - 1, top], 30).tolist() for _ in range(20)]
    for eot in (0, int(top), 256):
        right(opened(tmp_path / str(eot), text, dtype=dtype, eot=eot, block=90, limit=50), queries, text, eot)


def test_planted_copies_are_all_found_at_their_length_and_nothing_else_is(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    tokens = rng.integers(0, 5_000, 1_000_000)
    tokens[rng.random(len(tokens)) < 1 / 400] = 5_000
    planted, lengths, places = [], [], []
    ends = np.flatnonzero(tokens == 5_000)
    room = np.flatnonzero(np.diff(ends) > 202)
    for number, size in enumerate(range(20, 201)):
        place = int(ends[room[number]]) + 1
        query = rng.integers(5_001, 9_000, 300)
        at = int(rng.integers(0, 300 - size))
        query[at : at + size] = tokens[place : place + size]
        planted.append(query)
        lengths.append(size)
        places.append((at, place))
    index = opened(tmp_path, tokens, eot=5_000, block=1 << 18)
    found = index.longest_common_spans(planted)
    assert found.lengths.tolist() == lengths
    assert list(zip(found.starts.tolist(), found.places.tolist(), strict=True)) == places
    assert found.documents.tolist() == np.searchsorted(ends, found.places).tolist()
    strangers = [rng.integers(0, 5_000, 300) for _ in range(200)]
    false = index.longest_common_spans(strangers)
    assert false.lengths.max() < 50
    assert [int(n) for n in false.lengths[:3]] == [naive(q.tolist(), tokens, [5_000]) for q in strangers[:3]]


def test_no_span_runs_over_the_end_of_a_document(tmp_path: Path) -> None:
    index = opened(tmp_path, [1, 2, 3, EOT, 4, 5, EOT])
    spans = index.longest_common_spans([[1, 2, 3, 4, 5], [1, 2, 3, EOT, 4, 5], [EOT, EOT], []])
    assert spans.lengths.tolist() == [3, 3, 0, 0]
    assert spans.documents.tolist() == [0, 0, -1, -1]
    assert index.longest_common_span([4, 5, 1]) == 2
    assert [index.document(n).tolist() for n in range(index.documents)] == [[1, 2, 3], [4, 5]]


def test_a_shard_without_a_last_end_and_an_empty_one_are_read(tmp_path: Path) -> None:
    index = opened(tmp_path / "open", [5, 0, EOT, 5])
    assert index.longest_common_spans([[5, 0], [5, 0, 0, 0, 0]]).lengths.tolist() == [2, 2]
    assert index.documents == 2
    assert index.document(1).tolist() == [5]
    empty = opened(tmp_path / "empty", [])
    assert empty.documents == 0
    assert empty.longest_common_spans([[1, 2], []]).lengths.tolist() == [0, 0]
    assert empty.longest_common_spans([]).lengths.tolist() == []


def test_a_query_may_be_longer_than_the_corpus(tmp_path: Path) -> None:
    text = np.array([1, 2, 3, 4, 1, 2, EOT])
    right(opened(tmp_path, text), [[7, 1, 2, 3, 4, 1, 2, 3] * 50], text)


@pytest.mark.parametrize("block", [1, 2, 3, 7, 8, 64])
def test_a_document_longer_than_a_block_is_found_whole(tmp_path: Path, block: int) -> None:
    rng = np.random.default_rng(3)
    text = np.append(rng.integers(10, 5_000, 50), EOT)
    spans = opened(tmp_path, text, block=block, limit=100).longest_common_spans([text[:50], text[3:49]])
    assert spans.lengths.tolist() == [50, 46]
    assert spans.places.tolist() == [0, 3]


def test_a_span_is_measured_up_to_the_limit(tmp_path: Path) -> None:
    for name, text in (
        ("once", np.arange(10, 200)),
        ("often", np.tile(np.arange(10, 200), 3)),
        ("one", np.full(300, 5)),
    ):
        for block in (16, 1000):
            index = opened(tmp_path / f"{name}{block}", text, block=block, limit=20)
            assert index.longest_common_spans([text[:100], text[5:21]]).lengths.tolist() == [20, 16]


def test_many_queries_in_one_call_answer_as_one_by_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    text = rng.integers(0, 50, 20_000)
    index = opened(tmp_path, text)
    queries = [rng.integers(0, 50, int(size)).tolist() for size in rng.integers(0, 400, 600)]
    seen: list[tuple[int, int]] = []
    together = index.longest_common_spans(queries, lambda done, total: seen.append((done, total)))
    asked: TextIndex = index
    assert together.lengths[::50].tolist() == [asked.longest_common_span(query) for query in queries[::50]]
    assert len(seen) > 1
    assert seen[-1] == (600, 600)


# ---------------------------------------------------------------------------- placeholders


def test_every_placeholder_is_told_however_the_tokenizer_cuts_it() -> None:
    words = load_tokenizer("embedded:base")
    told = Placeholders(words.decode)
    for kind in KINDS:
        for text in (
            f"veja [{kind}] já",
            f"[{kind}]",
            f"ção😀[{kind}].",
            f"([{kind}][{kind}])",
            f"a[{kind}",
            "[LINKS] [link]",
        ):
            ids = np.array(words.encode(text))
            shown = [words.decode([i]) for i in ids]
            barred = told(ids)
            kept = "".join(piece for piece, bar in zip(shown, barred, strict=True) if not bar)
            assert f"[{kind}]" not in kept
            assert ("[" + kind + "]" in text) == bool(barred.any())
            if barred.any():
                assert barred.sum() <= sum(1 for piece in shown if set(piece) & set(f"[{kind}] ."))


def test_a_token_that_a_placeholder_only_touches_is_the_placeholders() -> None:
    pieces = ["oi", " [LI", "NK", "].", " tchau", "[", "CPF", "]"]
    told = Placeholders(lambda ids: "".join(pieces[i] for i in ids))
    assert told(np.arange(8)).tolist() == [False, True, True, True, False, True, True, True]
    assert told(np.array([5, 6, 0, 7])).tolist() == [False] * 4
    assert told(np.array([], np.int64)).tolist() == []


def test_placeholders_never_count_in_a_copied_span(tmp_path: Path) -> None:
    words = load_tokenizer("embedded:base")
    corpus = [words.encode("veja em [LINK] [LINK] [LINK] agora mesmo"), words.encode("fale com [USER] hoje")]
    tokens = [i for ids in corpus for i in (*ids, words.eot_id)]
    told = Placeholders(words.decode)
    index = opened(tmp_path, tokens, eot=words.eot_id, barred=told)
    plain = opened(tmp_path / "plain", tokens, eot=words.eot_id)
    alone = words.encode(" [LINK] [LINK] [LINK]")
    assert plain.longest_common_span(alone) > 3
    assert index.longest_common_span(alone) == 0
    whole = corpus[0]
    free = np.flatnonzero(told(np.array(whole)))
    assert index.longest_common_span(whole) == max(free[0], len(whole) - free[-1] - 1)


# ---------------------------------------------------------------------------- on disk


def test_an_index_is_made_once_and_made_again_for_another_shard(tmp_path: Path) -> None:
    text = np.arange(10, 100)
    steps: list[int] = []
    opened(tmp_path, text, block=40, progress=lambda done, total: steps.append(done))
    assert steps == [40, 80, 90]
    assert has_index(tmp_path)
    assert not has_index(tmp_path, "val")
    first = sorted(p.name for p in (tmp_path / "index").iterdir())
    opened(tmp_path, text, block=40, progress=lambda done, total: steps.append(done))
    assert len(steps) == 3
    stale = opened(tmp_path, text[::-1], block=40)
    assert stale.longest_common_span(text[::-1][:9].tolist()) == 9
    second = sorted(p.name for p in (tmp_path / "index").iterdir())
    assert len(second) == 2
    assert first != second


def test_a_stale_index_is_refused_when_it_may_not_be_made_again(tmp_path: Path) -> None:
    opened(tmp_path, [1, 2, 3])
    opened(tmp_path, [1, 2, 3], make=False)
    with pytest.raises(StoreError, match="no finished index"):
        opened(tmp_path, [3, 2, 1], make=False)


@pytest.mark.parametrize("name", ["00001.sa", "00000.keys", "ends.bin", "index.json"])
def test_a_damaged_index_is_told_and_made_again(tmp_path: Path, name: str) -> None:
    text = np.arange(10, 100)
    folder = opened(tmp_path, text, block=40) and next((tmp_path / "index").glob("train-*"))
    if name == "ends.bin":
        (folder / name).unlink()
    else:
        content = bytearray((folder / name).read_bytes())
        content[len(content) // 2] ^= 1
        (folder / name).write_bytes(content)
    with pytest.raises(StoreError, match="index"):
        opened(tmp_path, text, block=40, make=False)
    assert opened(tmp_path, text, block=40).longest_common_span([20, 21, 22]) == 3


def test_a_stopped_build_goes_on_behind_its_last_block_and_ends_equal(tmp_path: Path) -> None:
    text = np.random.default_rng(2).integers(0, 9, 500)

    def stop(done: int, total: int) -> None:
        if done == 300:
            raise MemoryError("stopped")

    with pytest.raises(MemoryError, match="stopped"):
        opened(tmp_path / "a", text, block=100, progress=stop)
    assert not has_index(tmp_path / "a")
    kept = next((tmp_path / "a" / "index").glob("train-*")) / "00001.sa"
    before = kept.stat().st_mtime_ns
    opened(tmp_path / "a", text, block=100)
    assert kept.stat().st_mtime_ns == before
    opened(tmp_path / "b", text, block=100)

    def files(folder: Path) -> dict[str, bytes]:
        return {str(p.relative_to(folder)): p.read_bytes() for p in (folder / "index").rglob("*") if p.is_file()}

    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_two_makers_do_not_meet(tmp_path: Path) -> None:
    put(tmp_path, [1, 2])
    with building.single_writer(tmp_path / "index"), pytest.raises(RunLockedError, match="another process"):
        opened(tmp_path, [1, 2])


def test_what_cannot_be_indexed_is_said(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"train\.bin: cannot be read"):
        open_index(tmp_path, "train", dtype="uint16", eot_id=0)
    (tmp_path / "train.bin").write_bytes(b"abc")
    with pytest.raises(CorpusError, match="no whole number of uint16 tokens"):
        open_index(tmp_path, "train", dtype="uint16", eot_id=0)
    for options in ({"block": 0}, {"limit": 0}, {"block": 1 << 30}):
        with pytest.raises(UsageError, match="give 1 to"):
            opened(tmp_path, [1], **options)
    with pytest.raises(UsageError, match="uint16 or uint32"):
        open_index(tmp_path, "train", dtype="int8", eot_id=0)


def test_index_json_says_what_it_was_made_from(tmp_path: Path) -> None:
    opened(tmp_path, [1, 2, EOT])
    path = next((tmp_path / "index").glob("train-*/index.json"))
    made = json.loads(path.read_text("utf-8"))["made_from"]
    assert (made["tokens"], made["dtype"], made["eot_id"], made["limit"]) == (3, "uint16", EOT, 4096)


def test_a_killed_build_leaves_nothing_that_is_read_and_goes_on(tmp_path: Path) -> None:
    text = np.random.default_rng(8).integers(0, 500, 200_000)
    put(tmp_path, text)
    code = (
        "import sys; from pathlib import Path; from biasaudit.corpus.index import open_index;"
        "open_index(Path(sys.argv[1]), 'train', dtype='uint16', eot_id=9, block=4000)"
    )
    for delay in (0.05, 0.1, 0.2, 0.3):
        process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
        deadline = time.monotonic() + 20
        while not list((tmp_path / "index").glob("train-*/*.json")) and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(delay)
        process.kill()
        process.wait()
    opened(tmp_path / "whole", text, block=4000)
    opened(tmp_path, text, block=4000)
    done = next((tmp_path / "index").glob("train-*"))
    whole = next((tmp_path / "whole" / "index").glob("train-*"))
    wanted = {path.name: path.read_bytes() for path in whole.iterdir()}
    assert {path.name: path.read_bytes() for path in done.iterdir() if not path.name.startswith(".")} == wanted


def test_a_missing_sorter_is_told_with_its_extra(tmp_path: Path) -> None:
    put(tmp_path, [1, 2])
    code = (
        "import sys; sys.modules['pydivsufsort'] = None; from pathlib import Path;"
        "from biasaudit.corpus.index import open_index; open_index(Path(sys.argv[1]), 'train', dtype='uint16', eot_id=0)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert "UsageError" in done.stderr
    assert "biasaudit[search]" in done.stderr
