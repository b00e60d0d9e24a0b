"""Text to token ids and back, the same ids from every place that a tokenizer may come from.

Three sources: a byte-level BPE in Hugging Face's layout (ours and GPT-2's; `vocab.json` + `merges.txt` or
`tokenizer.json`), GPT-2 from tiktoken's own cache, and any other folder with a fast tokenizer. Text is always
ordinary text: a message that contains `<|endoftext|>` gives ordinary tokens, so that no message can forge the
end of a document. Nothing is downloaded here.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tiktoken
from tiktoken_ext.openai_public import r50k_pat_str  # type: ignore[import-untyped]
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from biasaudit import identity
from biasaudit.errors import ModelError, UsageError
from biasaudit.lm.bytelevel import merges_of, to_bytes, to_token

EOT = "<|endoftext|>"
"""The one special token of our own tokenizers and of GPT-2; it stands between documents."""

GPT2_CACHE_URL = "https://openaipublic.blob.core.windows.net/gpt-2/encodings/main/vocab.bpe"
"""Name under which tiktoken's cache files GPT-2's merges; never fetched by us."""

MAX_TOKENIZER_BYTES = 64 * 2**20
"""Largest tokenizer file that we read; the largest in use are near 20 MB."""

_SAMPLE = (
    "A vacina é segura? Não sei… 1.234,5% d'água, I'll  see\n\n\t<|endoftext|> ção 😀 ﬁ 東京 \u200d x" * 2
    + " " * 9
    + "\n"
)


class TextTokenizer:
    """A tokenizer of ordinary text, whatever stands behind it.

    Attributes:
        eot_id: id of the token that ends a document.
        vocab_size: ids are 0 … vocab_size − 1, the end-of-text token included.
        fingerprint: 64 hex digits; equal for the same vocabulary and merges from any place.
    """

    def __init__(
        self,
        *,
        encode: Callable[[str], list[int]],
        decode: Callable[[list[int]], str],
        eot_id: int,
        vocab_size: int,
        fingerprint: str,
        byte_lengths: Sequence[int] | None,
        save: Callable[[Path], None],
    ) -> None:
        """Join the parts; callers use `load_tokenizer` or `train_tokenizer`."""
        self.eot_id = eot_id
        self.vocab_size = vocab_size
        self.fingerprint = fingerprint
        self.byte_lengths = byte_lengths
        """UTF-8 bytes that each id stands for (0 for end-of-text); None where a token is not a fixed byte string."""
        self._encode = encode
        self._decode = decode
        self._save = save

    def encode(self, text: str) -> list[int]:
        """Token ids of ordinary text; no special token is ever recognised or added."""
        return self._encode(text)

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, in the order given."""
        return [self._encode(text) for text in texts]

    def decode(self, ids: Iterable[int]) -> str:
        """Text of token ids; bytes that are no UTF-8 become U+FFFD, so text is never a key."""
        return self._decode([int(i) for i in ids])

    def save(self, folder: Path) -> None:
        """Write the tokenizer's files into `folder`, in the layout that transformers loads."""
        folder.mkdir(parents=True, exist_ok=True)
        self._save(folder)


def load_tokenizer(spec: str | Path) -> TextTokenizer:
    """Load the tokenizer that `spec` names, without any network.

    Args:
        spec: a folder in Hugging Face's layout, `embedded:NAME`, or `gpt2` (tiktoken's cache in
            `TIKTOKEN_CACHE_DIR`, or the hub's cache on this machine).

    Returns:
        The tokenizer.

    Raises:
        ModelError: there is none, or its files are not what they should be.
    """
    text = str(spec)
    if text.startswith("embedded:"):
        from biasaudit.lm import embedded

        return _from_folder(embedded.folder(text.removeprefix("embedded:")))
    folder = Path(text)
    if folder.is_dir():
        return _from_folder(folder)
    if text in ("gpt2", "openai-community/gpt2"):
        return _gpt2()
    raise ModelError(f"{text}: no such tokenizer folder. Give a folder with tokenizer.json, embedded:NAME, or gpt2.")


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> TextTokenizer:
    """Learn a byte-level BPE from `texts`; the same texts in the same order give the same tokenizer.

    Args:
        texts: documents, read once.
        vocab_size: number of ids, the 256 bytes and `<|endoftext|>` (the last id) included.

    Returns:
        The tokenizer; it has fewer ids when the texts do not repeat enough.

    Raises:
        UsageError: `vocab_size` is below 257.
    """
    if vocab_size < 257:
        raise UsageError(f"vocab_size {vocab_size}: a byte-level tokenizer needs at least 257 (256 bytes and one end).")
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - 1,
        min_frequency=2,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    learner.train_from_iterator(texts, trainer)
    model = json.loads(learner.to_str())["model"]
    vocab = dict(model["vocab"])
    vocab[EOT] = len(vocab)
    return _byte_level(vocab, [_pair(m) for m in model["merges"]], EOT, where="the trained tokenizer")


# ---------------------------------------------------------------------------- byte-level BPE


def _pair(merge: Any) -> tuple[str, str]:
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left, right


def _byte_level(vocab: Mapping[str, int], merges: list[tuple[str, str]], eot: str, *, where: str) -> TextTokenizer:
    """A GPT-2-like tokenizer; tiktoken does the work, checked against the tokenizers library on a sample."""
    if eot not in vocab:
        raise ModelError(f"{where}: no {eot} in the vocabulary, so documents have no end. Use a GPT-2-like tokenizer.")
    eot_id = vocab[eot]
    if sorted(vocab.values()) != list(range(len(vocab))):
        raise ModelError(f"{where}: token ids are not 0 … {len(vocab) - 1} without gaps; the vocabulary is damaged.")
    try:
        ranks = {to_bytes(token): i for token, i in vocab.items() if token != eot}
        products = [vocab[a + b] for a, b in merges]
    except KeyError as error:
        raise ModelError(f"{where}: {error} is in a merge or token but not in the vocabulary.") from None
    backend = _bpe_backend(vocab, merges)
    fast = tiktoken.Encoding(
        where, pat_str=r50k_pat_str, mergeable_ranks=ranks, special_tokens={eot: eot_id}
    ) if _tiktoken_can(ranks, products) else None  # fmt: skip

    def slow(text: str) -> list[int]:
        return list(backend.encode(text, add_special_tokens=False).ids)

    encode = slow
    if fast is not None and all(fast.encode_ordinary(s) == slow(s) for s in (_SAMPLE, _SAMPLE[7:])):
        encode = fast.encode_ordinary
    by_id = sorted((i, data) for data, i in ranks.items())
    text_of = dict(by_id)
    text_of[eot_id] = eot.encode()

    def decode(ids: list[int]) -> str:
        # Models pad their vocabulary (nanoGPT: 50,304); a padded id has no text of its own.
        return b"".join(text_of.get(i, b"\xef\xbf\xbd") for i in ids).decode("utf-8", "replace")

    lengths = [0] * len(vocab)
    for i, data in by_id:
        lengths[i] = len(data)
    return TextTokenizer(
        encode=encode,
        decode=decode,
        eot_id=eot_id,
        vocab_size=len(vocab),
        fingerprint=_byte_level_fingerprint(by_id, products, eot_id),
        byte_lengths=lengths,
        save=lambda folder: _save_byte_level(folder, vocab, merges, eot),
    )


def _tiktoken_can(ranks: Mapping[bytes, int], products: Sequence[int]) -> bool:
    """Whether ids alone tell the order of the merges, which is all that tiktoken knows of it."""
    longer = sorted(i for data, i in ranks.items() if len(data) > 1)
    return list(products) == longer and all(bytes([b]) in ranks for b in range(256))


def _byte_level_fingerprint(by_id: Sequence[tuple[int, bytes]], products: Sequence[int], eot_id: int) -> str:
    """Hash of ids and their bytes, the order of the merges by their products, and the end-of-text id."""
    digest = hashlib.sha256(b"byte-level-bpe/gpt2-pattern\n")
    for i, data in by_id:
        digest.update(b"%d %d " % (i, len(data)) + data)
    digest.update(b"\nmerges " + ",".join(map(str, products)).encode())
    digest.update(b"\neot %d" % eot_id)
    return digest.hexdigest()


def _bpe_backend(vocab: Mapping[str, int], merges: list[tuple[str, str]]) -> Tokenizer:
    """The tokenizers library's form without any added token, so that nothing in a text is special."""
    backend = Tokenizer(models.BPE(vocab=dict(vocab), merges=merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return backend


def _save_byte_level(folder: Path, vocab: Mapping[str, int], merges: list[tuple[str, str]], eot: str) -> None:
    """vocab.json, merges.txt, tokenizer.json and tokenizer_config.json, as GPT-2's folder has them."""
    ordered = dict(sorted(vocab.items(), key=lambda item: item[1]))
    (folder / "vocab.json").write_text(json.dumps(ordered, ensure_ascii=False), encoding="utf-8")
    lines = ["#version: 0.2", *(f"{a} {b}" for a, b in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    whole = _bpe_backend(vocab, merges)
    whole.post_processor = processors.ByteLevel(trim_offsets=False)
    whole.add_special_tokens([eot])
    (folder / "tokenizer.json").write_text(whole.to_str(), encoding="utf-8")
    settings = {
        "tokenizer_class": "GPT2Tokenizer",
        "bos_token": eot,
        "eos_token": eot,
        "unk_token": eot,
        "add_prefix_space": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")


# ---------------------------------------------------------------------------- GPT-2 from tiktoken


def _gpt2() -> TextTokenizer:
    """GPT-2's tokenizer from tiktoken's cache, or from the hub's cache; never from the network."""
    home = os.environ.get("TIKTOKEN_CACHE_DIR", "")
    if home and (Path(home) / hashlib.sha1(GPT2_CACHE_URL.encode()).hexdigest()).is_file():  # noqa: S324 (a file name)
        ranks = tiktoken.get_encoding("gpt2")._mergeable_ranks
        vocab = {to_token(data): i for data, i in ranks.items()}
        vocab[EOT] = len(ranks)
        merges = [(to_token(a), to_token(b)) for a, b in merges_of(ranks)]
        return _byte_level(vocab, merges, EOT, where="GPT-2's tokenizer in tiktoken's cache")
    folder = _hub_cache("gpt2") or _hub_cache("openai-community/gpt2")
    if folder is not None:
        return _from_folder(folder)
    raise ModelError(
        "gpt2: its tokenizer is not on this machine. Set TIKTOKEN_CACHE_DIR to tiktoken's cache, or give a folder "
        "with vocab.json and merges.txt."
    )


def _hub_cache(name: str) -> Path | None:
    """Folder of a model's tokenizer in the hub's cache on this machine, if it is there."""
    from huggingface_hub import try_to_load_from_cache

    for file in ("tokenizer.json", "vocab.json"):
        found = try_to_load_from_cache(name, file)
        if isinstance(found, str):
            return Path(found).parent
    return None


# ---------------------------------------------------------------------------- folders


def _read_json(path: Path) -> Any:
    """A JSON file of bounded size."""
    try:
        if path.stat().st_size > MAX_TOKENIZER_BYTES:
            raise ModelError(f"{path}: larger than {MAX_TOKENIZER_BYTES >> 20} MiB; this is no tokenizer file.")
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: cannot be read as JSON ({type(error).__name__}).") from error


def _from_folder(folder: Path) -> TextTokenizer:
    """The tokenizer of a folder in Hugging Face's layout."""
    if (folder / "tokenizer.json").is_file():
        spec = _read_json(folder / "tokenizer.json")
        try:
            if _is_gpt2_like(spec):
                vocab = dict(spec["model"]["vocab"])
                vocab.update({t["content"]: t["id"] for t in spec.get("added_tokens", [])})
                merges = [_pair(m) for m in spec["model"]["merges"]]
                return _byte_level(vocab, merges, EOT, where=str(folder))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelError(f"{folder / 'tokenizer.json'}: not a tokenizer ({type(error).__name__}).") from error
        return _generic(folder, spec)
    if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        vocab = _read_json(folder / "vocab.json")
        lines = (folder / "merges.txt").read_text(encoding="utf-8").split("\n")
        merges = [_pair(line) for line in lines if line and not line.startswith("#version")]
        return _byte_level(vocab, merges, EOT, where=str(folder))
    raise ModelError(
        f"{folder}: no tokenizer here. Expected tokenizer.json, or vocab.json and merges.txt; "
        "save the model together with its fast tokenizer."
    )


def _is_gpt2_like(spec: Any) -> bool:
    """Whether a tokenizer.json is byte-level BPE with GPT-2's pattern and `<|endoftext|>` the only added token."""
    before = spec.get("pre_tokenizer") or {}
    model = spec.get("model") or {}
    return (
        model.get("type", "BPE") == "BPE"
        and "merges" in model
        and not model.get("byte_fallback")
        and not spec.get("normalizer")
        and before.get("type") == "ByteLevel"
        and not before.get("add_prefix_space")
        and before.get("use_regex", True)
        and [t["content"] for t in spec.get("added_tokens", [])] in ([EOT], [])
    )


def _generic(folder: Path, spec: Any) -> TextTokenizer:
    """Any other fast tokenizer, through the tokenizers library, with special tokens read as text."""
    try:
        backend = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # the library raises bare Exception
        raise ModelError(f"{folder / 'tokenizer.json'}: refused by the tokenizers library ({error}).") from error
    backend.encode_special_tokens = True
    backend.no_padding()
    backend.no_truncation()
    eot_id = _generic_eot(folder, backend)
    kept = {key: spec.get(key) for key in ("normalizer", "pre_tokenizer", "model", "added_tokens", "decoder")}
    fingerprint = identity.content_hash(["tokenizer.json", kept, eot_id])

    def save(target: Path) -> None:
        for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
            if (folder / name).is_file():
                (target / name).write_bytes((folder / name).read_bytes())

    return TextTokenizer(
        encode=lambda text: list(backend.encode(text, add_special_tokens=False).ids),
        decode=lambda ids: str(backend.decode(ids, skip_special_tokens=False)),
        eot_id=eot_id,
        vocab_size=max(backend.get_vocab(with_added_tokens=True).values()) + 1,
        fingerprint=fingerprint,
        byte_lengths=None,
        save=save,
    )


def _generic_eot(folder: Path, backend: Tokenizer) -> int:
    """Id of the end-of-text token that the folder's settings name."""
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        if (folder / name).is_file():
            token = _read_json(folder / name).get("eos_token")
            token = token.get("content") if isinstance(token, dict) else token
            found = backend.token_to_id(token) if isinstance(token, str) else None
            if found is not None:
                return int(found)
    found = backend.token_to_id(EOT)
    if found is None:
        raise ModelError(f"{folder}: the tokenizer names no end-of-text token (eos_token in tokenizer_config.json).")
    return int(found)
