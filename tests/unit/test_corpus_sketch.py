import hashlib
import random
import re

import numpy as np
import pyarrow as pa
import pytest

from biasaudit.corpus import sketch

FORWARD = "A vacina não é obrigatória, diz o ministro: quem quiser toma, quem não quiser não toma!"


def signatures(*texts: str) -> np.ndarray:
    return sketch.signatures(pa.array(texts, pa.string()))


def similarity(one: str, other: str) -> float:
    rows = signatures(one, other)
    assert (rows[:, 0] != sketch.NO_SIGNATURE).all()
    return float((rows[0] == rows[1]).mean())


def triples(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"[^\W_]+", text.lower())
    return set(zip(words, words[1:], words[2:], strict=False))


def jaccard(one: str, other: str) -> float:
    return len(triples(one) & triples(other)) / len(triples(one) | triples(other))


def test_a_digest_is_blake2b_of_the_bytes() -> None:
    texts = ["", "olá", "a" * 1000, "olá"]
    found = sketch.digests(pa.array(texts, pa.string()))
    assert found.shape == (4, 2)
    assert found.tobytes() == b"".join(hashlib.blake2b(t.encode(), digest_size=16).digest() for t in texts)


@pytest.mark.parametrize(
    "changed",
    [
        FORWARD.upper(),
        "👉🏽 " + FORWARD + " ‼️🇧🇷",
        FORWARD.replace(" ", "\n").replace(",", " –"),
        "«" + FORWARD.replace(":", "…") + "»",
        FORWARD.replace(" ", "\N{NO-BREAK SPACE}"),
    ],
)
def test_case_punctuation_blanks_and_emoji_make_no_difference(changed: str) -> None:
    assert similarity(FORWARD, changed) == 1


def test_another_word_an_accent_or_another_order_makes_a_difference() -> None:
    assert similarity(FORWARD, FORWARD.replace("ministro", "prefeito")) < 1
    assert similarity(FORWARD, FORWARD.replace("não é", "nao é")) < 1
    assert similarity(FORWARD, " ".join(reversed(FORWARD.split()))) < 0.3


def test_a_placeholder_counts_as_a_word() -> None:
    assert similarity(FORWARD + " [LINK]", FORWARD + " link") == 1
    assert similarity(FORWARD + " [LINK] [LINK]", FORWARD) < 1


def test_scripts_without_blanks_are_compared_by_character() -> None:
    text = "疫苗不是强制性的想打的人就打不想打的人就不打"
    assert similarity(text, text + "。") == 1
    assert 0.5 < similarity(text, text + "吧吧") < 1


def test_words_are_told_apart_by_their_whole_length() -> None:
    for shorter, longer in [("abcdefg", "abcdefgh"), ("abcdefgh", "abcdefghi"), ("a" * 64, "a" * 65), ("a", "aa")]:
        assert similarity(f"{shorter} " * 9 + "fim", f"{longer} " * 9 + "fim") < 1


def test_a_text_of_few_words_gets_the_reserved_row() -> None:
    rows = signatures("", "um dois três quatro cinco seis sete", "👉 " * 50, "um dois três quatro cinco seis sete oito")
    assert (rows[:3] == sketch.NO_SIGNATURE).all()
    assert (rows[3] != sketch.NO_SIGNATURE).all()


def test_neighbours_and_slices_play_no_part() -> None:
    draw = random.Random(1)
    words = ["vacina", "dose", "não", "💉", "é", "ministério", "2021", "x" * 80]
    texts = [" ".join(draw.choices(words, k=draw.choice([0, 3, 20, 65, 66, 67, 300, 5000]))) for _ in range(120)]
    array = pa.array(["antes", *texts, "depois"], pa.string()).slice(1, len(texts))
    together = sketch.signatures(array)
    assert together.dtype == np.uint32
    assert together.shape == (120, sketch.PERMUTATIONS)
    assert all(np.array_equal(together[n], signatures(texts[n])[0]) for n in range(0, 120, 7))


def test_a_text_of_several_megabytes_is_compared_whole() -> None:
    draw = random.Random(2)
    words = [f"palavra{draw.randrange(10**6)}" for _ in range(300_000)]
    half = [*words[:150_000], *(f"outra{draw.randrange(10**6)}" for _ in range(150_000))]
    text, other = " ".join(words), " ".join(half)
    assert similarity(text, "👉 " + text) > 0.97
    assert abs(similarity(text, other) - 1 / 3) < 0.15
    assert (signatures("a" * 3_000_000) == sketch.NO_SIGNATURE).all()


def test_the_estimate_is_jaccard_similarity_within_sampling_error() -> None:
    draw = random.Random(3)
    pairs = []
    for _ in range(1500):
        words = [f"p{draw.randrange(5000)}" for _ in range(draw.randrange(20, 200))]
        rate = draw.random() ** 3 / 2
        edited = [w if draw.random() > rate else f"q{draw.randrange(5000)}" for w in words]
        pairs.append((" ".join(words), " ".join(edited)))
    one, other = signatures(*(p[0] for p in pairs)), signatures(*(p[1] for p in pairs))
    estimate = (one == other).mean(axis=1)
    truth = np.array([jaccard(*pair) for pair in pairs])
    between = (truth > 0.02) & (truth < 0.98)
    z = (estimate - truth)[between] / np.sqrt((truth * (1 - truth))[between] / sketch.PERMUTATIONS)
    assert between.sum() > 800
    assert abs(z.mean()) < 0.1
    assert 0.5 < z.std() < 1.1
    assert np.abs(z).max() < 5
