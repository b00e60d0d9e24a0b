"""Documents in bulk: whatever the text and the engine, the ids are those of each document alone."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from biasaudit.errors import ModelError
from biasaudit.lm import embedded
from biasaudit.lm.tokenizer import TextTokenizer, load_tokenizer, train_tokenizer
from biasaudit.lm.tokenizer_engines import LONG, OneByOne, Tiktoken, _leads, _places, doubtful_characters, parts_of
from tests.lm_example import sentences

EOT = "<|endoftext|>"
OURS = train_tokenizer(sentences(200), 400)
MODELS = {"ours": OURS, "embedded": load_tokenizer(embedded.folder("base"))}
NASTY = st.lists(
    st.one_of(
        st.sampled_from([EOT, "<|endoftext", "|>", "<|", " ", "  ", "\n\n", "\0", "\x1c", "\x85", "\u3000", "\u180e",
                         "'s", "'LL", " 1", "é", "e\u0301", "\u200d", "👩\u200d👩", "ﬁ", "東京", "\U00018d9a\u9185", "vacina"]),
        st.text(max_size=4),
    ),
    max_size=8,
).map("".join)  # fmt: skip


def engines(tokenizer: TextTokenizer) -> list[TextTokenizer]:
    """The tokenizer by every engine that is installed, the reference last."""
    found = [tokenizer, tokenizer.using("tokenizers")]
    try:
        import gigatoken  # noqa: F401
    except ImportError:
        return found
    return [tokenizer.accelerated(), *found]


ALL = {name: engines(tokenizer) for name, tokenizer in MODELS.items()}


def one_by_one(tokenizer: TextTokenizer, texts: list[str]) -> tuple[list[int], list[int]]:
    each = [tokenizer.encode(text) for text in texts]
    return [i for ids in each for i in (*ids, tokenizer.eot_id)], [len(ids) for ids in each]


def in_bulk(tokenizer: TextTokenizer, texts: list[str]) -> tuple[list[int], list[int]]:
    ids, counts = tokenizer.encode_documents(pa.array(texts, pa.string()))
    assert str(ids.dtype) == "uint32"
    assert str(counts.dtype) == "int64"
    return ids.tolist(), counts.tolist()


@pytest.mark.parametrize("name", MODELS)
@given(texts=st.lists(NASTY, max_size=6))
@example(texts=[])
@example(texts=["", "", ""])
@example(texts=[EOT, "", EOT + EOT, "a", "<|endoftext|", ">"])
@example(texts=["fim \n ", "  \n", "\t x", " " * 300 + "y", "\U00018d9a\u9185"])
def test_bulk_gives_the_ids_of_each_document_alone(name: str, texts: list[str]) -> None:
    *quick, reference = ALL[name]
    expected = one_by_one(reference, texts)
    for tokenizer in quick:
        assert one_by_one(tokenizer, texts) == in_bulk(tokenizer, texts) == expected, tokenizer.engine
    assert in_bulk(reference, texts) == expected


def test_a_part_of_a_longer_array_is_encoded_alone() -> None:
    texts = pa.array([f"dose {i} {EOT if i % 3 == 0 else ''}" for i in range(50)], pa.string())
    for tokenizer in ALL["ours"]:
        ids, counts = tokenizer.encode_documents(texts.slice(7, 20))
        assert (ids.tolist(), counts.tolist()) == one_by_one(tokenizer, texts.to_pylist()[7:27])


def test_many_documents_of_many_sizes_are_cut_into_chunks_without_a_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("biasaudit.lm.tokenizer_engines.CHUNK_BYTES", 500)
    texts = [text * (1 + 40 * (i % 17 == 0)) for i, text in enumerate(sentences(200))] + ["", EOT]
    for tokenizer in ALL["ours"]:
        assert in_bulk(tokenizer, texts) == one_by_one(OURS, texts)


def test_one_end_a_document_however_many_are_forged() -> None:
    texts = [EOT * 3, f"a{EOT}b", EOT[:-1], EOT[1:]]
    for tokenizer in ALL["embedded"]:
        ids, counts = tokenizer.encode_documents(pa.array(texts))
        assert (ids == tokenizer.eot_id).sum() == len(texts)
        assert ids[counts.cumsum() + np.arange(4)].tolist() == [tokenizer.eot_id] * 4


RUNS = {
    "blanks": " " * 10**6, "blanks and a word": " " * 10**6 + "x", "lines and a word": "\n" * 10**6 + "x",
    "both": " \n" * 500_000 + "x", "a": "a" * 10**6, "=": "=" * 10**6, "1": "1" * 10**6, "NUL": "\0" * 10**6,
    "ã": "ã" * 500_000, "accents": "e\u0301" * 333_333, "letters": "".join(random.Random(1).choices("abcdeé", k=10**6)),
    "ends": EOT * 76_923, "'s": "'s" * 500_000,
}  # fmt: skip


@pytest.mark.parametrize("run", RUNS)
def test_a_megabyte_of_one_thing_takes_less_than_two_seconds(run: str) -> None:
    results = []
    for tokenizer in ALL["embedded"]:
        started = time.process_time()
        results.append(in_bulk(tokenizer, ["antes", RUNS[run], "depois"]))
        assert time.process_time() - started < 2, tokenizer.engine
    assert all(result == results[0] for result in results)


@given(st.text(alphabet=" \n\t\u3000\x1cab1.é", max_size=400))
def test_a_long_text_in_parts_has_the_ids_of_the_whole(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("biasaudit.lm.tokenizer_engines.LONG", 5)
        assert "".join(parts_of(text)) == text
        assert OURS.encode(text) == ALL["ours"][-1].encode(text)


def test_a_long_document_is_cut_and_joined_without_a_trace() -> None:
    text = "\n".join(sentences(3000)) + " " * 70_000 + f"fim {EOT} \ud83d"
    assert len(text) > 2 * LONG
    clean = text[:-1]
    assert OURS.encode(clean) == OURS.using("tokenizers").encode(clean)
    assert OURS.encode(text) == OURS.encode(clean + "\ufffd")


# ---------------------------------------------------------------------------- trust


class Wrong(OneByOne):
    """An engine with a bug: it loses the last id of long words."""

    name = "wrong"

    def __init__(self, slower: OneByOne | Tiktoken) -> None:
        super().__init__(lambda text: slower.encode(text)[: -1 if "segura" in text else None], OURS.eot_id)
        self.slower = slower  # type: ignore[assignment]


def test_an_engine_that_errs_on_the_sample_is_put_aside_and_said_so() -> None:
    right = OURS._engine
    wrong = OURS._by(Wrong(right))  # type: ignore[arg-type]
    assert wrong.verified(["dose", "fila"]).engine == "wrong"
    found = wrong.verified(["dose", "vacina segura"])
    assert found.engine == "tiktoken"
    assert found.doubts == ("wrong gave other ids than tiktoken on a sample of 2 documents; tiktoken was used.",)
    assert found.fingerprint == OURS.fingerprint
    assert found.verified(["vacina segura"]) is found
    assert OURS.doubts == ()


def test_a_worker_uses_the_engine_that_its_driver_found_right() -> None:
    for tokenizer in ALL["ours"]:
        assert OURS.using(tokenizer.engine).engine == tokenizer.engine
        assert tokenizer.using("tokenizers").engine == "tokenizers"
    with pytest.raises(ModelError, match=r"has no engine 'sentencepiece'\. Use 'tiktoken'"):
        OURS.using("sentencepiece")


def test_a_vocabulary_that_tiktoken_cannot_express_is_encoded_by_its_own_library(tmp_path: Path) -> None:
    import json

    OURS.save(tmp_path)
    spec = json.loads((tmp_path / "tokenizer.json").read_text())
    spec["model"]["merges"] = spec["model"]["merges"][::-1]
    (tmp_path / "tokenizer.json").write_text(json.dumps(spec))
    slow = load_tokenizer(tmp_path, fast=True)
    assert slow.engine == "tokenizers"
    assert slow.doubts == ("gigatoken cannot express this tokenizer; tokenizers was used.",)
    texts = [*sentences(20), EOT, ""]
    assert in_bulk(slow, texts) == one_by_one(slow, texts)
    assert slow.verified(texts) is slow


def test_the_fast_engine_is_only_used_when_asked_for() -> None:
    pytest.importorskip("gigatoken")
    folder = embedded.folder("base")
    assert load_tokenizer(folder).engine == "tiktoken"
    fast = load_tokenizer(folder, fast=True)
    assert (fast.engine, fast.doubts, fast.verified(sentences(50)) is fast) == ("gigatoken", (), True)


def test_the_characters_in_doubt_hold_all_that_the_two_libraries_class_differently() -> None:
    """A letter (a number) is one match of tiktoken's class; gigatoken joins it to a letter (a number) before it."""
    gigatoken = pytest.importorskip("gigatoken.gigatoken_rs")
    import tiktoken

    table = doubtful_characters()
    codes = [chr(code) for code in range(0x110000) if not table[code] and not 0xD800 <= code < 0xE000]
    raw = {bytes([b]): b for b in range(256)}
    for kind, one in (("L", b"a"), ("N", b"1")):
        theirs = tiktoken.Encoding(kind, pat_str=rf"\p{{{kind}}}", mergeable_ranks=raw, special_tokens={})
        mine = set(bytes(theirs.encode_ordinary("".join(codes))).decode())
        fast = {c for c in codes if next(iter(gigatoken.pretokenizer(one + c.encode()))) != one}
        assert mine == fast
    assert not table[[ord(c) for c in "aéíñ😀👍🏽“”…—€ßЖжאب中文あ한"]].any()


@given(st.text(max_size=30))
def test_doubtful_characters_are_found_where_they_stand(text: str) -> None:
    table = np.zeros(0x110000, bool)
    table[[0xE9, 0x2014, 0x1F600, 0x10FFFF, *map(ord, text[::3])]] = True
    table[:0x80] = False
    text += "é—a😀\U0010ffff"
    expected = [len(text[:i].encode()) for i, c in enumerate(text) if table[ord(c)]]
    assert sorted(_places(np.frombuffer(text.encode(), np.uint8), table, _leads(table)).tolist()) == expected


def test_a_fast_engine_that_is_built_anew_gives_the_same_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gigatoken")
    texts = sentences(300)
    fast = OURS.accelerated()
    monkeypatch.setattr("biasaudit.lm.tokenizer_engines.CACHE_BYTES", -(1 << 40))
    monkeypatch.setattr("biasaudit.lm.tokenizer_engines.CHUNK_BYTES", 3000)
    assert in_bulk(fast, texts) == one_by_one(OURS, texts)


@pytest.mark.slow
def test_nonsense_does_not_fill_the_memory_with_words() -> None:
    pytest.importorskip("gigatoken")
    code = (
        "import re, numpy as np, pyarrow as pa; from biasaudit.lm.tokenizer import load_tokenizer;"
        "fast = load_tokenizer('embedded:base', fast=True); draw = np.random.default_rng(1);"
        "letters = np.frombuffer(b'abcdefghijklmnopqrstuvwxyz  ', np.uint8);\n"
        "for _ in range(80): fast.encode_documents(pa.array([letters[draw.integers(0, 28, 10**6)].tobytes().decode()]))\n"
        "print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 450_000, "without a bound it is near 800 MB"
