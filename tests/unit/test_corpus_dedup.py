import itertools
import random
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

from biasaudit.corpus import dedup, dedup_near, sketch
from biasaudit.errors import BiasAuditError, UnknownNameError


def decide(folder: Path, texts: list[str], mode: str = "near", budget: int = 1 << 26) -> dedup.Keepers:
    array = pa.array(texts, pa.string())
    sketch.digests(array).tofile(folder / "digests")
    sketch.signatures(array).tofile(folder / "signatures")
    return dedup.keepers(
        folder / "digests", folder / "signatures", mode=mode, budget=budget, scratch=folder
    )  # fmt: skip


def sentence(draw: random.Random, words: int = 30) -> list[str]:
    return [f"palavra{draw.randrange(3000)}" for _ in range(words)]


def test_equal_texts_point_to_the_first(tmp_path: Path) -> None:
    found = decide(tmp_path, ["a", "b", "a", "", "b", "a", ""], "exact")
    assert found.keeper.tolist() == [0, 1, 0, 3, 1, 0, 3]
    assert found.near == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["digests", "signatures"]


def test_what_a_killed_run_left_is_cleared_away(tmp_path: Path) -> None:
    left = tmp_path / "duplicates"
    left.mkdir()
    (left / "digests").write_bytes(b"x" * 48)
    (left / "digests-00").write_bytes(b"x" * 24)
    assert decide(tmp_path, [str(n % 300) for n in range(900)], budget=1).keeper.tolist() == list(range(300)) * 3
    assert not left.exists()


def test_keep_keeps_all_and_no_text_is_no_trouble(tmp_path: Path) -> None:
    assert decide(tmp_path, ["a", "a"], "keep").keeper.tolist() == [0, 1]
    for mode in dedup.MODES:
        assert decide(tmp_path, [], mode).keeper.shape == (0,)


def test_an_unknown_mode_and_files_of_other_texts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'near'"):
        decide(tmp_path, ["a"], "nearr")
    decide(tmp_path, ["a", "b"])
    (tmp_path / "digests").write_bytes(b"x" * 48)
    with pytest.raises(BiasAuditError, match="do not fit the signatures"):
        dedup.keepers(tmp_path / "digests", tmp_path / "signatures", mode="near", scratch=tmp_path)


@pytest.mark.parametrize("budget", [1, 20_000, 1 << 26])
def test_forwards_with_small_edits_point_to_their_original(tmp_path: Path, budget: int) -> None:
    draw = random.Random(4)
    texts, origin = [], []
    for _ in range(150):
        words = sentence(draw, 60)
        at = draw.randrange(60)
        edits = [
            words,
            ["👉", *words, "‼️"],
            [*words[:at], "outra", *words[at + 1 :]],
            [*words, "[LINK]"],
            [w.upper() for w in words],
            words,
        ]
        origin += [len(texts)] * len(edits)
        texts += [" ".join(edit) for edit in edits]
    texts += [f"curto {n}" for n in range(100)]
    origin += list(range(len(origin), len(texts)))
    found = decide(tmp_path, texts, budget=budget)
    assert found.keeper.tolist() == origin
    assert found.near == 150 * 4


@pytest.mark.parametrize("mode", ["exact", "near"])
def test_the_budget_changes_nothing(tmp_path: Path, mode: str) -> None:
    draw = random.Random(5)
    base = [sentence(draw) for _ in range(300)]
    texts = [" ".join(w if draw.random() > 0.03 else "x" for w in draw.choice(base)) for _ in range(3000)]
    found = [decide(tmp_path, texts, mode, budget) for budget in (1, 3000, 50_000, 1 << 26)]
    assert 0 < (found[0].keeper == np.arange(3000)).sum() < 3000
    assert all(np.array_equal(found[0].keeper, other.keeper) and found[0].near == other.near for other in found)


def test_equal_texts_in_a_crowd_need_no_memory_and_no_square(tmp_path: Path) -> None:
    np.full((200_000, 2), 7, np.uint64).tofile(tmp_path / "digests")
    found = dedup.keepers(tmp_path / "digests", None, mode="exact", budget=100_000, scratch=tmp_path)
    assert not found.keeper.any()


def test_a_crowd_that_shares_boilerplate_is_neither_joined_nor_squared(tmp_path: Path) -> None:
    draw = np.random.default_rng(6)
    rows = draw.integers(0, 2**32 - 1, (30_000, sketch.PERMUTATIONS), np.uint32)
    rows[:, :64] = rows[0, :64]
    rows[20_000:] = rows[:10_000]
    rows[20_000:, ::8] += 1
    rows.tofile(tmp_path / "signatures")
    draw.integers(0, 2**63, (30_000, 2), np.uint64).tofile(tmp_path / "digests")
    found = dedup.keepers(
        tmp_path / "digests", tmp_path / "signatures", mode="near", budget=1 << 22, scratch=tmp_path
    )  # fmt: skip
    assert np.array_equal(found.keeper[:20_000], np.arange(20_000))
    assert (found.keeper[20_000:] == np.arange(10_000)).mean() > 0.99


@pytest.mark.parametrize("seed", range(8))
def test_a_stranger_at_the_head_of_a_bucket_hides_no_copy(tmp_path: Path, seed: int) -> None:
    draw = np.random.default_rng(seed)
    stranger, one = draw.integers(0, 2**32 - 1, (2, sketch.PERMUTATIONS), np.uint32)
    stranger[:6] = one[:6]
    copy = one.copy()
    copy[6::6] += 1  # a value of every band but the first
    np.stack([stranger, one, copy]).tofile(tmp_path / "signatures")
    np.arange(6, dtype=np.uint64).tofile(tmp_path / "digests")
    found = dedup.keepers(tmp_path / "digests", tmp_path / "signatures", mode="near", scratch=tmp_path)
    assert found.keeper.tolist() == [0, 1, 1]


def test_a_chain_of_near_copies_is_one_group(tmp_path: Path) -> None:
    words = sentence(random.Random(7), 2000)
    texts = [" ".join(words[n * 20 : n * 20 + 400]) for n in range(60)]
    order = list(range(60))
    random.Random(8).shuffle(order)
    found = decide(tmp_path, [texts[n] for n in order])
    assert not found.keeper.any()
    assert found.near == 59


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())


def _near_pairs(texts: list[str]) -> dict[tuple[int, int], float]:
    """All pairs of exact Jaccard similarity ≥ 0.8 of word triples, by the prefix of rarest triples (no hashing)."""
    sets = []
    for text in texts:
        words = _words(text)
        sets.append(set(zip(words, words[1:], words[2:], strict=False)) if len(words) >= sketch.SHORTEST else set())
    often = Counter(itertools.chain.from_iterable(sets))
    holders: dict[tuple[str, ...], list[int]] = {}
    pairs = {}
    for number, triples in enumerate(sets):
        rare = sorted(triples, key=lambda t: (often[t], t))[: len(triples) - -(-4 * len(triples) // 5) + 1]
        for other in {other for t in rare for other in holders.get(t, ())}:
            similarity = len(triples & sets[other]) / len(triples | sets[other])
            if similarity >= dedup_near.NEAR:
                pairs[other, number] = similarity
        for t in rare:
            holders.setdefault(t, []).append(number)
    return pairs


def _column(path: Path, name: str) -> list[str]:
    parse = pyarrow.csv.ParseOptions(newlines_in_values=True)
    table = pyarrow.csv.read_csv(
        path, parse_options=parse, convert_options=pyarrow.csv.ConvertOptions(column_types={name: pa.string()})
    )
    return [text for text in table[name].to_pylist() if text]


@pytest.mark.parametrize(
    ("file", "column"),
    [("grtm60k_rfc4180.csv", "message"), ("pt_antivax_tweets_1.csv", "text"), ("wpp_2020.csv", "text")],
)
def test_real_near_copies_are_found_and_others_left_alone(
    tmp_path: Path, shared_data: Path, file: str, column: str
) -> None:
    texts = list(dict.fromkeys(_column(shared_data / "telegram" / file, column)))
    keeper = decide(tmp_path, texts).keeper
    pairs = _near_pairs(texts)
    clear = [pair for pair, similarity in pairs.items() if similarity >= 0.9]
    assert len(clear) > 50
    assert all(keeper[a] == keeper[b] for a, b in clear)
    assert np.mean([keeper[a] == keeper[b] for a, b in pairs]) > 0.9
    both_kept = sum(keeper[a] == a and keeper[b] == b for a, b in pairs)
    assert both_kept < 0.02 * len(pairs) + 2
    for number in np.flatnonzero(keeper != np.arange(len(texts))):
        one, other = (
            set(zip(w, w[1:], w[2:], strict=False)) for w in map(_words, (texts[number], texts[keeper[number]]))
        )
        assert len(one & other) / len(one | other) > 0.45


def test_the_sketch_sees_no_near_copies_among_what_is_kept(tmp_path: Path, shared_data: Path) -> None:
    texts = _column(shared_data / "telegram" / "pt_antivax_tweets_1.csv", "text")
    keeper = decide(tmp_path, texts).keeper
    rows = sketch.signatures(pa.array([texts[n] for n in np.flatnonzero(keeper == np.arange(len(texts)))], pa.string()))
    rows = rows[rows[:, 0] != sketch.NO_SIGNATURE]
    near = sum(int(((rows[n + 1 :] == rows[n]).mean(axis=1) >= dedup_near.NEAR).sum()) for n in range(len(rows)))
    assert len(rows) > 2000
    assert near <= 1
