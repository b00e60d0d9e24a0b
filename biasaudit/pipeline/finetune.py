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
from biasaudit.errors import StoreError, UsageError

if TYPE_CHECKING:
    from biasaudit.lm.finetune import FinetuneConfig, FinetuneProgress
    from biasaudit.lm.recipe import Training


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
    progress: Callable[[FinetuneProgress], None] | None = None,
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
        progress: called with every report.
        options: fields of `lm.finetune.FinetuneConfig`.

    Returns:
        The model's card.

    Raises:
        UsageError: `out` holds something else, or was begun with other options or data.
        RunLockedError: another process trains into `out`.
        InputError: the corpus, the base or an option cannot be used.
    """
    from biasaudit.lm import finetune as lm
    from biasaudit.store.lock import writer_lock

    config = _config(base, role, options)
    _refuse_foreign(out)
    training = lm.plan(config, corpus)
    labels = {"name": name or out.resolve().name, "role": role}
    for key, value in (("language", language), ("licence", licence)):
        labels[key] = value or training.corpus_card.get(key) or ""
    work = out / "training"
    work.mkdir(parents=True, exist_ok=True)
    with writer_lock(work):
        if fresh:
            _clear(out)
        _same_request(work, out, {**training.request, "save_dtype": save_dtype})
        if (out / "card.json").is_file():
            card = _finished(out)
        else:
            staged = _empty(out / ".staged")
            card = lm.finetune(training, work, staged, card=labels, save_dtype=save_dtype, report=progress)
            _publish(staged, out, training)
        shutil.rmtree(work / "checkpoints", ignore_errors=True)
    return card


def _config(base: str, role: str, options: dict[str, Any]) -> FinetuneConfig:
    """The options as the wing knows them."""
    from biasaudit.lm.finetune import FinetuneConfig

    if role not in ("base", "placebo", "tuned"):
        raise UsageError(f"role '{role}': expected base, placebo or tuned.")
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
