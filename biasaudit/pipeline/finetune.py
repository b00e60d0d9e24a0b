"""Stage: a corpus folder and a base become a model folder.

OUT/config.json model.safetensors tokenizer.json …   the model, in transformers' layout
OUT/corpus_card.json                                 the data card of the corpus
OUT/card.json                                        written last: a folder that has it is complete
OUT/training/                                        lock, request, metrics; checkpoints until it is complete
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biasaudit import identity
from biasaudit.errors import CorpusError, ModelError, StoreError, UsageError

if TYPE_CHECKING:
    from biasaudit.lm.finetune import FinetuneConfig, FinetuneProgress
    from biasaudit.lm.recipe import Training
    from biasaudit.lm.validate import Stages


def finetune(
    corpus: Path,
    out: Path,
    *,
    base: str,
    name: str | None = None,
    role: str = "tuned",
    language: str | None = None,
    licence: str | None = None,
    save_dtype: str = "float32",
    fresh: bool = False,
    validation_tokens: int | None = None,
    progress: Callable[[FinetuneProgress], None] | None = None,
    stages: Stages | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Train a model on `corpus` and write it to `out`; the same call again continues, or does nothing when complete.

    Args:
        corpus: folder made by `ingest`.
        out: model folder.
        base: a model spec, or `scratch`.
        name: in the card; the folder's name by default.
        role: `base`, `placebo` or `tuned`.
        language: of the model; the corpus card's by default.
        licence: of the weights (their data's terms); the corpus card's by default.
        save_dtype: precision of the stored weights (`float32`, `float16`, `bfloat16`).
        fresh: throw away what `out` holds of another or an unfinished training.
        validation_tokens: held-out tokens to validate on, spread evenly (0: all; `lm.validate.VALIDATION_TOKENS` by
            default). It decides no weight: a training may go on with another number.
        progress: called with every report of the training.
        stages: called with (stage, done, total, note) while loading and validating.
        options: fields of `lm.finetune.FinetuneConfig`.

    Returns:
        The model's card.

    Raises:
        UsageError: `out` holds something else, or was begun with other options or data.
        RunLockedError: another process trains into `out`.
        InputError: the corpus, the base or an option cannot be used.
    """
    from biasaudit.store.lock import writer_lock

    tell = stages or (lambda _stage, _done, _total, _note: None)
    _check(corpus, out, base, role)
    training = _planned(corpus, base, options, tell)
    given = {"language": language, "licence": licence}
    labels = {"name": name or out.resolve().name, "role": role}
    labels |= {key: value or training.corpus_card.get(key) or "" for key, value in given.items()}
    work = out / "training"
    work.mkdir(parents=True, exist_ok=True)
    with writer_lock(work):
        if fresh:
            _clear(out)
        _same_request(work, out, {**training.request, "save_dtype": save_dtype})
        means = {"save_dtype": save_dtype, "report": progress, "stages": tell, "validation_tokens": validation_tokens}
        card = _finished(out) if (out / "card.json").is_file() else _trained(training, work, out, labels, means)
        shutil.rmtree(work / "checkpoints", ignore_errors=True)
    return card


def _trained(
    training: Training, work: Path, out: Path, labels: dict[str, Any], means: dict[str, Any]
) -> dict[str, Any]:  # fmt: skip
    """Train, and move the finished files into `out`; returns the card."""
    from biasaudit.lm import finetune as lm

    staged = _empty(out / ".staged")
    card = lm.finetune(training, work, staged, card=labels, **means)
    _publish(staged, out, training)
    return card


def _check(corpus: Path, out: Path, base: str, role: str) -> None:
    """Refuse what small files already tell, before torch is imported; `lm.plan` checks everything again.

    Raises:
        CorpusError: no finished corpus folder.
        ModelError: the base has another tokenizer than the corpus, or is a folder without a model.
        UsageError: no such role, or `out` holds something else.
    """
    from biasaudit.lm.tokenizer import load_tokenizer

    if role not in ("base", "placebo", "tuned"):
        raise UsageError(f"role '{role}': expected base, placebo or tuned.")
    _refuse_foreign(out)
    if corpus.is_file():
        raise CorpusError(
            f"{corpus}: a dump, not a corpus: make one with biasaudit ingest {corpus} --out corpora/{corpus.stem}"
        )
    if not corpus.is_dir():
        raise CorpusError(f"{corpus}: no such corpus folder. Make one with `biasaudit ingest DUMP --out {corpus}`.")
    if not (corpus / "card.json").is_file():
        if (corpus / "train.bin").is_file():
            raise CorpusError(f"{corpus / 'card.json'}: missing; the ingest has not finished. Run it again.")
        raise CorpusError(
            f"{corpus}: not a corpus, it has no card.json. Make one of the files inside with "
            f"`biasaudit ingest {corpus} --out corpora/NAME`."
        )
    folder = Path(base)
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise ModelError(
            f"{base}: its training has not finished. Run the same finetune command again to finish it."
            if (folder / "training").is_dir()
            else f"{base}: not a model, it has no config.json. Give a model folder, a hub name or embedded:NAME."
        )
    theirs = _tokenizer_of(base)
    if theirs and theirs != load_tokenizer(corpus / "tokenizer").fingerprint:
        raise ModelError(
            f"{corpus}: was tokenised with another tokenizer than {base}'s. Run ingest again with --tokenizer {base}."
        )


def _tokenizer_of(base: str) -> str | None:
    """Fingerprint of the base's tokenizer, where it can be read without its weights."""
    from biasaudit.lm.tokenizer import load_tokenizer

    if base.startswith("embedded:") or Path(base).is_dir():
        return load_tokenizer(base).fingerprint
    try:
        return load_tokenizer(base).fingerprint if base in ("gpt2", "openai-community/gpt2") else None
    except ModelError:
        return None  # it may be a name that only the hub knows


def _planned(corpus: Path, base: str, options: dict[str, Any], tell: Stages) -> Training:
    """The training, settled and checked; says what is loaded meanwhile."""
    tell("loading", 0, 1, "torch and transformers")
    from biasaudit.lm import finetune as lm

    config = _config(base, options)
    shards = (corpus / "train.bin", corpus / "val.bin")
    size = sum(path.stat().st_size for path in shards if path.is_file())
    tell("loading", 0, 1, f"{corpus}, {size / 1e6:,.1f} MB of tokens")
    return lm.plan(config, corpus)


def _config(base: str, options: dict[str, Any]) -> FinetuneConfig:
    """The options as the wing knows them."""
    from biasaudit.lm.finetune import FinetuneConfig

    try:
        return FinetuneConfig(base=base, **options)
    except TypeError as error:
        raise UsageError(f"finetune: {str(error).removeprefix('FinetuneConfig.__init__() ')}.") from None


def _vouched(training: Training) -> dict[str, Any]:
    """The corpus's data card, with the hash of what was really read where the card has none of its own."""
    card = dict(training.corpus_card)
    return card if card.get("fingerprint") else {**card, "fingerprint": training.corpus_fingerprint}


def _empty(folder: Path) -> Path:
    """`folder`, new; what a killed call left in it is gone."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir()
    return folder


def _refuse_foreign(out: Path) -> None:
    """A folder that we did not begin is never written into."""
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out}: is a file. Give a folder for the model.")
    if out.is_dir() and any(out.iterdir()) and not (out / "training").is_dir():
        raise UsageError(f"{out}: holds something that finetune did not make. Give another output folder.")


def _clear(out: Path) -> None:
    """Remove an earlier training; the card goes first, so that a kill leaves no folder that looks complete."""
    (out / "card.json").unlink(missing_ok=True)
    for path in out.iterdir():
        if path.name == "training":
            for inner in path.iterdir():
                if not inner.name.startswith(".lock"):
                    shutil.rmtree(inner) if inner.is_dir() else inner.unlink()
        else:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _same_request(work: Path, out: Path, request: dict[str, Any]) -> None:
    """Refuse to continue with other options or data than the folder was begun with."""
    from biasaudit.lm import checkpoints

    path = work / "request.json"
    request = identity.plain(request)
    if not path.is_file():
        checkpoints.write_json(path, request)
        return
    try:
        earlier = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise StoreError(f"{path}: damaged. Start again with --fresh.") from error
    if earlier == request:
        return
    old, new = {**earlier, **earlier.get("config", {})}, {**request, **request["config"]}
    names = sorted(k for k in new if k != "config" and old.get(k) != new[k])
    changes = ", ".join(f"{k} {str(old.get(k))[:16]} -> {str(new[k])[:16]}" for k in names)
    raise UsageError(
        f"{out}: was begun with other options or data ({changes}). "
        "Use the same ones to continue, --fresh to start over, or another --out."
    )


def _finished(out: Path) -> dict[str, Any]:
    """The card of a complete folder whose weights are still those that the card names."""
    from biasaudit.lm.load import describe

    info = describe(str(out))
    if info.fingerprint != info.card.get("fingerprint"):
        raise StoreError(f"{out}: its weights are not those that card.json names; a file changed. Use --fresh.")
    return dict(info.card)


def _publish(staged: Path, out: Path, training: Training) -> None:
    """Move the finished files into place, the card last; it is what makes the folder complete."""
    from biasaudit.lm import checkpoints

    checkpoints.write_json(staged / "corpus_card.json", _vouched(training))
    for path in sorted(staged.iterdir(), key=lambda p: (p.name == "card.json", p.name)):
        if path.name == "card.json":
            checkpoints.sync_folder(out)
        path.replace(out / path.name)
    checkpoints.sync_folder(out)
    staged.rmdir()
