"""Text to token ids and back, the same ids from every place that a tokenizer may come from.

Three sources: a byte-level BPE in Hugging Face's layout (ours and GPT-2's; `vocab.json` + `merges.txt` or
`tokenizer.json`), GPT-2 from tiktoken's own cache, and any other folder with a fast tokenizer. Text is always
ordinary text: a message that contains `<|endoftext|>` gives ordinary tokens, so that no message can forge the
end of a document. Nothing is downloaded here.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import tiktoken
from tiktoken_ext.openai_public import r50k_pat_str  # type: ignore[import-untyped]
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from biasaudit import identity
from biasaudit.errors import ModelError, UsageError
from biasaudit.lm import tokenizer_bpe, tokenizer_json
from biasaudit.lm.bytelevel import alphabet, to_bytes
from biasaudit.lm.tokenizer_engines import EOT, Documents, Engine, Gigatoken, OneByOne, Tiktoken, trusted

GPT2_CACHE_URL = "https://openaipublic.blob.core.windows.net/gpt-2/encodings/main/vocab.bpe"
"""Name under which tiktoken's cache files GPT-2's merges; never fetched by us."""

GPT2_MERGES_SHA256 = "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5"
"""Of that file (OpenAI's vocab.bpe of 2019)."""

SAMPLE_DOCUMENTS = 1000
"""Documents of a corpus on which a fast engine is compared with the slower ones before it is used."""

_SAMPLE = (
    "A vacina é segura? Não sei… 1.234,5% d'água, I'll  see\n\n\t<|endoftext|> ção 😀 ﬁ 東京 \u200d x" * 2
    + " " * 9
    + "\n"
)


Engines = tuple[Engine, Callable[[], Engine] | None]
"""What makes the ids, and how to make what makes them faster, where there is such a thing."""


class TextTokenizer:
    """A tokenizer of ordinary text, whatever stands behind it.

    Attributes:
        eot_id: id of the token that ends a document.
        vocab_size: ids are 0 … vocab_size − 1, the end-of-text token included.
        fingerprint: 64 hex digits; equal for the same vocabulary and merges from any place.
        special_ids: ids that text never gives: end-of-text, and further marks of the same kind.
        doubts: why a faster engine was put aside, one sentence each; for the records.
    """

    def __init__(
        self,
        *,
        engines: Callable[[], Engines],
        decode: Callable[[list[int]], str],
        eot_id: int,
        vocab_size: int,
        fingerprint: str,
        byte_lengths: Sequence[int] | None,
        save: Callable[[Path], None],
        special_ids: Iterable[int] = (),
        after: tuple[Callable[[str], list[int]], Callable[[list[int]], str]] | None = None,
    ) -> None:
        """Join the parts; callers use `load_tokenizer` or `train_tokenizer`. `engines` runs when ids are wanted."""
        self.eot_id = eot_id
        self.vocab_size = vocab_size
        self.fingerprint = fingerprint
        self.byte_lengths = byte_lengths
        """UTF-8 bytes that each id stands for (0 for end-of-text); None where a token is not a fixed byte string."""
        self.doubts: tuple[str, ...] = ()
        self.special_ids = frozenset((eot_id, *special_ids))
        self._after = after
        self._engines = engines
        self._decode = decode
        self._save = save

    @cached_property
    def _made(self) -> Engines:
        return self._engines()

    @cached_property
    def _engine(self) -> Engine:
        return self._made[0]

    @property
    def _faster(self) -> Callable[[], Engine] | None:
        return self._made[1]

    @property
    def engine(self) -> str:
        """What makes the ids: `tokenizers`, `tiktoken` or `gigatoken`; the ids are the same."""
        return self._engine.name

    def encode(self, text: str) -> list[int]:
        """Token ids of ordinary text; no special token is ever recognised or added."""
        return self._engine.encode(text)

    def encode_after(self, text: str) -> list[int]:
        """Token ids of text that continues other text: no blank is put before it, as SentencePiece does at a start."""
        return self._after[0](text) if self._after else self.encode(text)

    def decode_after(self, ids: Iterable[int]) -> str:
        """Text of token ids that continue other text: a blank at its start is kept, and is the text's own."""
        return self._after[1]([int(i) for i in ids]) if self._after else self.decode(ids)

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, in the order given."""
        return [self.encode(text) for text in texts]

    def encode_documents(self, texts: pa.StringArray) -> Documents:
        """Token ids of many documents, the same as `encode` gives for each, in one array.

        Args:
            texts: documents without nulls, shape (documents,).

        Returns:
            Ids of all documents in their order, `eot_id` behind each, shape (tokens,); and the number of ids of each
            document, `eot_id` not counted, shape (documents,).
        """
        return self._engine.encode_documents(texts)

    def accelerated(self) -> TextTokenizer:
        """The same tokenizer by gigatoken; itself, with a doubt, when that library cannot express it.

        Raises:
            UsageError: the extra is not installed.
        """
        if self._faster is None:
            return self._by(self._engine, f"gigatoken cannot express this tokenizer; {self.engine} was used.")
        return self._by(self._faster())

    def using(self, engine: str) -> TextTokenizer:
        """The same tokenizer by the engine of this name, for a worker that does as its driver found right.

        Raises:
            ModelError: this tokenizer has no such engine.
            UsageError: the extra is not installed.
        """
        wanted = engine == Gigatoken.name != self.engine
        found: Engine | None = self._faster() if wanted and self._faster else self._engine
        while found is not None and found.name != engine:
            found = found.slower
        if found is None:
            raise ModelError(f"This tokenizer has no engine '{engine}'. Use '{self.engine}'.")
        return self._by(found)

    def verified(self, sample: Sequence[str]) -> TextTokenizer:
        """The tokenizer by the fastest of its engines that agrees with all slower ones on every text of a sample.

        Args:
            sample: documents of the corpus, evenly drawn; about `SAMPLE_DOCUMENTS` of them take a second.

        Returns:
            Itself, or the same tokenizer by a slower engine and with a doubt that says so.
        """
        engine, doubt = trusted(self._engine, sample)
        return self._by(engine, doubt) if doubt else self

    def _by(self, engine: Engine, *doubts: str) -> TextTokenizer:
        other = copy.copy(self)
        other._engine = engine
        other.doubts = (*self.doubts, *doubts)
        return other

    def decode(self, ids: Iterable[int]) -> str:
        """Text of token ids; bytes that are no UTF-8 become U+FFFD, so text is never a key."""
        return self._decode([int(i) for i in ids])

    def save(self, folder: Path) -> None:
        """Write the tokenizer's files into `folder`, in the layout that transformers loads."""
        folder.mkdir(parents=True, exist_ok=True)
        self._save(folder)


def load_tokenizer(spec: str | Path, *, fast: bool = False) -> TextTokenizer:
    """Load the tokenizer that `spec` names, without any network.

    Args:
        spec: a folder in Hugging Face's layout, `embedded:NAME`, or `gpt2` (tiktoken's cache in
            `TIKTOKEN_CACHE_DIR`, or the hub's cache on this machine).
        fast: by gigatoken where it can (see `TextTokenizer.accelerated`); have it `verified` before it is relied on.

    Returns:
        The tokenizer.

    Raises:
        ModelError: there is none, or its files are not what they should be.
        UsageError: `fast` without the extra.
    """
    found = _load(str(spec))
    return found.accelerated() if fast else found


def _load(text: str) -> TextTokenizer:
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
    return _byte_level(vocab, [_pair(m) for m in model["merges"]], where="the trained tokenizer")


# ---------------------------------------------------------------------------- byte-level BPE


def _pair(merge: Any) -> tuple[str, str]:
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left, right


def _byte_level(vocab: Mapping[str, int], merges: list[tuple[str, str]], *, where: str) -> TextTokenizer:
    """A GPT-2-like tokenizer; tiktoken does the work, checked against the tokenizers library on a sample."""
    if EOT not in vocab:
        raise ModelError(f"{where}: no {EOT} in the vocabulary, so documents have no end. Use a GPT-2-like tokenizer.")
    eot_id = vocab[EOT]
    if sorted(vocab.values()) != list(range(len(vocab))):
        raise ModelError(f"{where}: token ids are not 0 … {len(vocab) - 1} without gaps; the vocabulary is damaged.")
    try:
        ranks = {to_bytes(token): i for token, i in vocab.items() if token != EOT}
        products = [vocab[a + b] for a, b in merges]
    except KeyError as error:
        raise ModelError(f"{where}: {error} is in a merge or token but not in the vocabulary.") from None

    # Asked for when the files are written and by the engines; tokens and merges in a library take a moment.
    backend = cache(partial(tokenizer_bpe.backend, vocab, merges, EOT))
    spec = cache(lambda: str(backend().to_str()))

    def engines() -> Engines:
        reference = backend()
        engine = OneByOne(lambda text: list(reference.encode(text, add_special_tokens=False).ids), eot_id)
        if not tokenizer_bpe.tiktoken_can(ranks, products):
            return engine, None
        special = {EOT: eot_id}
        encoding = tiktoken.Encoding(where, pat_str=r50k_pat_str, mergeable_ranks=ranks, special_tokens=special)
        quick = Tiktoken(encoding, eot_id, engine)
        if any(quick.encode(text) != engine.encode(text) for text in (_SAMPLE, _SAMPLE[7:])):
            return engine, None
        return quick, (lambda: Gigatoken(spec(), quick))

    by_id = sorted((i, data) for data, i in ranks.items())
    text_of = dict(by_id)
    text_of[eot_id] = EOT.encode()

    def decode(ids: list[int]) -> str:
        # Models pad their vocabulary (nanoGPT: 50,304); a padded id has no text of its own.
        return b"".join(text_of.get(i, b"\xef\xbf\xbd") for i in ids).decode("utf-8", "replace")

    lengths = [0] * len(vocab)
    for i, data in by_id:
        lengths[i] = len(data)
    return TextTokenizer(
        engines=engines,
        decode=decode,
        eot_id=eot_id,
        vocab_size=len(vocab),
        fingerprint=tokenizer_bpe.fingerprint(by_id, products, eot_id),
        byte_lengths=lengths,
        save=lambda folder: tokenizer_bpe.save(folder, vocab, merges, EOT, spec()),
    )


# ---------------------------------------------------------------------------- GPT-2 from tiktoken


def _gpt2() -> TextTokenizer:
    """GPT-2's tokenizer from tiktoken's cache, or from the hub's cache; never from the network."""
    home = os.environ.get("TIKTOKEN_CACHE_DIR", "")
    cached = Path(home) / hashlib.sha1(GPT2_CACHE_URL.encode()).hexdigest()  # noqa: S324 (a file name)
    if home and cached.is_file():
        raw = cached.read_bytes()
        if hashlib.sha256(raw).hexdigest() != GPT2_MERGES_SHA256:
            raise ModelError(f"{cached}: not GPT-2's list of merges. Delete it, and let tiktoken fetch it again.")
        merges = [_pair(line) for line in raw.decode("utf-8").split("\n")[1:] if line]
        tokens = [*alphabet(), *(left + right for left, right in merges), EOT]
        vocab = {token: i for i, token in enumerate(tokens)}
        return _byte_level(vocab, merges, where="GPT-2's tokenizer in tiktoken's cache")
    folder = _hub_cache("gpt2") or _hub_cache("openai-community/gpt2")
    if folder is not None:
        return _from_folder(folder)
    raise ModelError(
        "gpt2: its tokenizer is not on this machine, and biasaudit fetches nothing by itself. Fetch it once with "
        "`hf download gpt2 vocab.json merges.txt tokenizer.json`, set TIKTOKEN_CACHE_DIR to a cache of tiktoken's, "
        "or give a folder with vocab.json and merges.txt."
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


def _from_folder(folder: Path) -> TextTokenizer:
    """The tokenizer of a folder in Hugging Face's layout."""
    if (folder / "tokenizer.json").is_file():
        spec = tokenizer_bpe.read_json(folder / "tokenizer.json")
        try:
            if tokenizer_bpe.is_gpt2_like(spec):
                vocab = dict(spec["model"]["vocab"])
                vocab.update({t["content"]: t["id"] for t in spec.get("added_tokens", [])})
                merges = [_pair(m) for m in spec["model"]["merges"]]
                return _byte_level(vocab, merges, where=str(folder))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelError(f"{folder / 'tokenizer.json'}: not a tokenizer ({type(error).__name__}).") from error
        return _generic(folder, spec)
    if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        vocab = tokenizer_bpe.read_json(folder / "vocab.json")
        lines = (folder / "merges.txt").read_text(encoding="utf-8").split("\n")
        merges = [_pair(line) for line in lines if line and not line.startswith("#version")]
        return _byte_level(vocab, merges, where=str(folder))
    raise ModelError(
        f"{folder}: no tokenizer here. Expected tokenizer.json, or vocab.json and merges.txt; "
        "save the model together with its fast tokenizer."
    )


def _generic(folder: Path, spec: Any) -> TextTokenizer:
    """Any other fast tokenizer, through the tokenizers library, with special tokens read as text."""
    try:
        backend = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # the library raises bare Exception
        raise ModelError(f"{folder / 'tokenizer.json'}: refused by the tokenizers library ({error}).") from error
    tokenizer_json.as_text(backend)
    eot_id = tokenizer_json.end_of_text(folder, backend)
    kept = {key: spec.get(key) for key in ("normalizer", "pre_tokenizer", "model", "added_tokens", "decoder")}
    fingerprint = identity.content_hash(["tokenizer.json", kept, eot_id])

    def save(target: Path) -> None:
        for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
            if (folder / name).is_file():
                (target / name).write_bytes((folder / name).read_bytes())

    return TextTokenizer(
        engines=lambda: (OneByOne(lambda text: list(backend.encode(text, add_special_tokens=False).ids), eot_id), None),
        decode=lambda ids: str(backend.decode(ids, skip_special_tokens=False)),
        eot_id=eot_id,
        vocab_size=max(backend.get_vocab(with_added_tokens=True).values()) + 1,
        fingerprint=fingerprint,
        byte_lengths=None,
        save=save,
        special_ids=[i for i, token in backend.get_added_tokens_decoder().items() if token.special],
        after=tokenizer_json.after(spec),
    )
