"""nanoGPT's `ckpt.pt` as a model folder: the pickle is opened in a child process, never in ours (RELIABILITY C1).

The child (`nanogpt_child`) has bounded memory and time and writes safetensors; we check the zip before it and the
tensors after it. The import is done once a checkpoint and kept by its content's hash.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from biasaudit import identity
from biasaudit.errors import ModelError
from biasaudit.lm import checkpoints
from biasaudit.lm.tokenizer import TextTokenizer, load_tokenizer

MAX_ENTRIES = 100_000
MAX_ANSWER = 64 << 10


def import_checkpoint(path: Path, *, cache: Path | None = None, tokenizer: str | None = None) -> Path:
    """Import a nanoGPT checkpoint into a folder in Hugging Face's layout.

    Args:
        path: the `ckpt.pt`.
        cache: where imports are kept; `biasaudit/imported` in the user's cache folder by default.
        tokenizer: a tokenizer folder or `gpt2`: what the checkpoint was trained with. By default the one that lies
            beside the checkpoint, else `gpt2`.

    Returns:
        The folder.

    Raises:
        ModelError: not a nanoGPT checkpoint, refused as unsafe, or its tokenizer is not here or too large for it.
    """
    check_zip(path)
    text_tokenizer = load_tokenizer(tokenizer or _beside(path))
    key = identity.content_hash([identity.file_hash(path), text_tokenizer.fingerprint])[:16]
    home = cache if cache is not None else _user_cache()
    folder = home / f"nanogpt-{key}"
    if (folder / "card.json").is_file():
        return folder
    home.mkdir(parents=True, exist_ok=True)
    staged = Path(tempfile.mkdtemp(prefix=".importing-", dir=home))
    try:
        said = _run_child(path, staged / "model.safetensors")
        _write_folder(path, staged, said, text_tokenizer)
        if not folder.exists():
            staged.rename(folder)
            checkpoints.sync_folder(home)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return folder


def check_zip(path: Path) -> None:
    """Refuse what a checkpoint written by torch never is: compressed, encrypted, twice named, larger than its file.

    Raises:
        ModelError: one of these, or no zip at all (pickles of torch before 1.6).
    """
    size = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, UnicodeDecodeError) as error:
        raise ModelError(
            f"{path}: not a checkpoint of torch 1.6 or later, or cut short ({type(error).__name__}). "
            "Save it again with a current torch."
        ) from error
    wrong = None
    if len(entries) > MAX_ENTRIES:
        wrong = f"{len(entries)} entries"
    elif len({e.filename for e in entries}) != len(entries):
        wrong = "two entries of one name"
    elif any(e.compress_type != zipfile.ZIP_STORED or e.file_size != e.compress_size for e in entries):
        wrong = "compressed entries"
    elif any(e.flag_bits & 0x1 for e in entries):
        wrong = "encrypted entries"
    elif sum(e.file_size for e in entries) > size:
        wrong = "entries that are larger than the file"
    if wrong:
        raise ModelError(f"{path}: {wrong}, which torch.save never writes; refused. Save the checkpoint again.")


def _user_cache() -> Path:
    """The user's cache folder, by the XDG rule; a temporary folder without a home."""
    base = os.environ.get("XDG_CACHE_HOME") or (str(Path.home() / ".cache") if os.environ.get("HOME") else "")
    return Path(base or tempfile.gettempdir()) / "biasaudit" / "imported"


def _run_child(path: Path, target: Path) -> dict[str, Any]:
    """Run the isolated half and read its one JSON answer."""
    script = Path(__file__).with_name("nanogpt_child.py")
    quiet = {k: v for k, v in os.environ.items() if k in ("PATH", "LANG", "LD_LIBRARY_PATH", "HOME", "TMPDIR")}
    quiet["OMP_NUM_THREADS"] = "1"
    command = [sys.executable, "-I", str(script), str(path.resolve()), str(target.resolve())]
    try:
        done = subprocess.run(  # noqa: S603 (our own script; the paths are arguments, never parsed by a shell)
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=quiet,
            timeout=120 + path.stat().st_size // (5 << 20),
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ModelError(f"{path}: reading it took too long; refused.") from None
    if done.returncode:
        raise ModelError(
            f"{path}: the isolated reader died on it (status {done.returncode}), as it does when a file asks for "
            "more memory or time than its size allows; refused."
        )
    try:
        said: dict[str, Any] = json.loads(done.stdout[:MAX_ANSWER])
    except ValueError as error:
        raise ModelError(f"{path}: the isolated reader gave no answer; refused.") from error
    if "error" in said:
        raise ModelError(f"{path}: cannot be imported: {said['error']}.")
    return said


def _beside(path: Path) -> str:
    """The tokenizer of a checkpoint that nobody named: `ingest` leaves one with every corpus, to be put beside it."""
    names = ("tokenizer.json", "vocab.json")
    return str(path.parent) if any((path.parent / name).is_file() for name in names) else "gpt2"


def _write_folder(path: Path, staged: Path, said: dict[str, Any], tokenizer: TextTokenizer) -> None:
    """config.json, tokenizer and card beside the converted weights."""
    args = said["model_args"]
    if tokenizer.vocab_size > args["vocab_size"]:
        raise ModelError(
            f"{path}: the model has {args['vocab_size']} tokens and the tokenizer {tokenizer.vocab_size}. "
            "Put the tokenizer.json that it was trained with beside it."
        )
    config = {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "activation_function": "gelu",
        "vocab_size": args["vocab_size"],
        "n_positions": args["block_size"],
        "n_embd": args["n_embd"],
        "n_layer": args["n_layer"],
        "n_head": args["n_head"],
        "layer_norm_epsilon": 1e-5,
        "tie_word_embeddings": said["tied"],
        "bos_token_id": tokenizer.eot_id,
        "eos_token_id": tokenizer.eot_id,
    }
    checkpoints.write_json(staged / "config.json", config)
    tokenizer.save(staged)
    staged.chmod(0o777 & ~_umask())
    (staged / "model.safetensors").chmod((staged / "config.json").stat().st_mode)
    card = {
        "name": path.name,
        "imported_from": "nanoGPT",
        "source_sha256": identity.file_hash(path),
        "steps": said.get("iter_num"),
        "bias": args["bias"],
        "activation": "gelu, as nanoGPT computes it since 2023; earlier versions used the tanh form",
    }
    for file in staged.iterdir():
        checkpoints.sync_file(file)
    checkpoints.write_json(staged / "card.json", card)


def _umask() -> int:
    """The user's umask; the system tells it only by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
