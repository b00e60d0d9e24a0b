"""One face for every tokenizer: same ids from any place, text is never special, bytes come back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer

from biasaudit.errors import ModelError, UnknownNameError, UsageError
from biasaudit.lm.tokenizer import load_tokenizer, train_tokenizer
from tests.lm_example import sentences

OURS = train_tokenizer(sentences(200), 320)
FORGED = "fim.<|endoftext|>Outro documento"


@given(st.text(max_size=200))
def test_any_text_comes_back(text: str) -> None:
    assert OURS.decode(OURS.encode(text)) == text.encode("utf-8", "replace").decode("utf-8", "replace")


@given(st.text(alphabet=" aã\n\t1'.,éç😀", max_size=60))
def test_the_fast_way_gives_the_ids_that_transformers_gives(text: str) -> None:
    assert OURS.encode(text) == THEIRS.encode(text, add_special_tokens=False)


@pytest.fixture(scope="module", autouse=True)
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    global THEIRS
    folder = tmp_path_factory.mktemp("saved")
    OURS.save(folder)
    THEIRS = AutoTokenizer.from_pretrained(str(folder))
    return folder


def test_the_end_of_text_in_a_message_is_ordinary_text() -> None:
    ids = OURS.encode(FORGED)
    assert OURS.eot_id not in ids
    assert OURS.decode(ids) == FORGED
    assert OURS.decode([OURS.eot_id]) == "<|endoftext|>"
    assert OURS.encode_batch([FORGED, ""]) == [ids, []]


def test_the_end_of_text_is_the_last_id_and_counts_no_bytes() -> None:
    assert OURS.eot_id == OURS.vocab_size - 1
    assert OURS.byte_lengths is not None
    assert OURS.byte_lengths[OURS.eot_id] == 0
    text = "ação 😀 vacina"
    assert sum(OURS.byte_lengths[i] for i in OURS.encode(text)) == len(text.encode())


def test_a_saved_tokenizer_loads_as_the_same_from_every_layout(saved: Path, tmp_path: Path) -> None:
    assert load_tokenizer(saved).fingerprint == OURS.fingerprint
    for name in ("vocab.json", "merges.txt"):
        (tmp_path / name).write_bytes((saved / name).read_bytes())
    assert load_tokenizer(str(tmp_path)).fingerprint == OURS.fingerprint
    assert (len(THEIRS), THEIRS.eos_token_id) == (OURS.vocab_size, OURS.eot_id)


def test_another_vocabulary_has_another_fingerprint() -> None:
    assert train_tokenizer(sentences(200), 300).fingerprint != OURS.fingerprint


def test_training_gives_the_same_tokenizer_in_another_process() -> None:
    code = (
        "from biasaudit.lm.tokenizer import train_tokenizer; from tests.lm_example import sentences;"
        "import sys; sys.stdout.write(train_tokenizer(sentences(200), 320).fingerprint)"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout == OURS.fingerprint


def test_gpt2_is_the_same_from_tiktoken_and_from_its_files(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(shared_data / "tokenizer" / "tiktoken_cache"))
    cached = load_tokenizer("gpt2")
    files = load_tokenizer(shared_data / "tokenizer" / "gpt2_hf_layout")
    assert cached.fingerprint == files.fingerprint
    assert cached.encode("hello world") == [31373, 995]
    assert cached.encode(FORGED) == files.encode(FORGED)
    cached.save(tmp_path)
    merges = (shared_data / "tokenizer" / "gpt2_hf_layout" / "merges.txt").read_text().split()
    assert (tmp_path / "merges.txt").read_text().split() == merges


def test_gpt2_without_a_cache_is_refused_and_not_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    with pytest.raises(ModelError, match="its tokenizer is not on this machine"):
        load_tokenizer("gpt2")
    assert not list(tmp_path.iterdir())


def test_any_other_fast_tokenizer_reads_special_tokens_as_text(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, decoders, models, normalizers

    letters = {"<unk>": 0, "</s>": 1, **{c: i + 2 for i, c in enumerate("▁abcdefghijklmnopqrstuvwxyz<>/|.")}}
    other = Tokenizer(models.BPE(vocab=letters, merges=[("a", "b")][:0], unk_token="<unk>"))
    other.normalizer = normalizers.Replace(" ", "▁")
    other.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse()])
    other.add_special_tokens(["</s>"])
    other.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"eos_token": "</s>"}))
    found = load_tokenizer(tmp_path)
    assert found.eot_id == 1
    assert 1 not in found.encode("fim</s>")
    assert found.decode(found.encode("fim</s>de tudo")) == "fim</s>de tudo"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("tokenizer.json", "{", "cannot be read as JSON"),
        ("tokenizer.json", "[" * 100_000, "cannot be read as JSON"),
        ("tokenizer.json", "{}", "refused by the tokenizers library"),
        ("other.txt", "", "no tokenizer here"),
    ],
)
def test_a_damaged_folder_is_one_line(name: str, text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ModelError, match=message) as caught:
        load_tokenizer(tmp_path)
    assert "\n" not in str(caught.value)


def test_unknown_names_and_sizes_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="No embedded model is called 'bese'"):
        load_tokenizer("embedded:bese")
    with pytest.raises(ModelError, match="no such tokenizer folder"):
        load_tokenizer("nowhere/at/all")
    with pytest.raises(UsageError, match="at least 257"):
        train_tokenizer([], 256)


def sentencepiece(kind: str, folder: Path) -> Path:
    """A folder with a small tokenizer of Llama's kinds, or of T5's."""
    start, words = pre_tokenizers.Metaspace(), trainers.BpeTrainer(vocab_size=400, special_tokens=["<unk>", "</s>"])
    whole = Tokenizer(models.Unigram() if kind == "unigram" else models.BPE(unk_token="<unk>"))
    whole.pre_tokenizer, whole.decoder = start, decoders.Metaspace()
    if kind == "unigram":
        words = trainers.UnigramTrainer(vocab_size=300, special_tokens=["<unk>", "</s>"], unk_token="<unk>")
    words.show_progress = False
    whole.train_from_iterator([*sentences(100), "a vacina tem chip, ou não"], words)
    if kind == "prepend":
        whole.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        whole.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
        whole.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    folder.mkdir()
    whole.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"eos_token": "</s>"}', encoding="utf-8")
    return folder


@pytest.mark.parametrize("kind", ["prepend", "metaspace", "unigram"])
def test_text_after_text_is_read_and_written_as_it_stands_there(kind: str, tmp_path: Path) -> None:
    """SentencePiece's tokenizers put a blank before every text; a completion or continuation is no text's start."""
    loaded = load_tokenizer(sentencepiece(kind, tmp_path / kind))
    prompt, more = "a vacina", " tem chip, ou não"
    whole = loaded.encode(prompt + more)
    assert loaded.encode(prompt) + loaded.encode_after(more) == whole
    assert loaded.decode_after(whole[len(loaded.encode(prompt)) :]) == more
    for text in ("chip", ", chip", "  chip"):
        assert loaded.decode_after(loaded.encode_after(text)) == text
    assert loaded.decode(whole) == prompt + more


def test_a_byte_level_tokenizer_reads_and_writes_text_after_text_as_always() -> None:
    for text in (" não", "não", "\n"):
        assert OURS.encode_after(text) == OURS.encode(text)
        assert OURS.decode_after(OURS.encode(text)) == text
    assert OURS.special_ids == {OURS.eot_id}
