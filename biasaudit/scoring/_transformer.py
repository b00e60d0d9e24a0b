"""Any text classifier of transformers by folder or hub name: no code of it runs, and only safetensors are read.

A folder is never looked up anywhere. A name that is no folder is one of the Hugging Face hub, which transformers asks
unless it is told to stay offline (HF_HUB_OFFLINE=1); a revision pins what it answers.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from biasaudit.errors import InputError, ModelError

BATCH = 32
DIGITS = 6
"""Decimals of a probability that are kept: those that no neighbour in a batch changes."""
LONGEST = 10_000
"""Characters that are read; the model reads as many tokens of them as it can."""


@dataclass(frozen=True, slots=True)
class Named:
    """Which model is meant, before it is loaded."""

    model: str
    revision: str | None
    labels: tuple[str, ...]
    """Its own labels, in the order of its outputs."""

    def map_of(self, given: Any, measure: str) -> dict[str, str]:
        """The model's labels -> ours, as the option `labels` says; as they are without it.

        Raises:
            InputError: it is no mapping, or names labels that the model does not have.
        """
        if given is None:
            return {label: label for label in self.labels}
        if not isinstance(given, Mapping):
            raise InputError(f"measure '{measure}': option 'labels' must map the model's labels to yours.")
        wrong = sorted({str(key) for key in given} - set(self.labels))
        if wrong:
            raise InputError(
                f"measure '{measure}': {self.model} has no label '{wrong[0]}'; it has {', '.join(self.labels)}."
            )
        return {label: str(given.get(label, label)) for label in self.labels}


def named(options: Mapping[str, Any], measure: str) -> Named:
    """The model of the options, its configuration read and nothing else.

    Raises:
        InputError: an option cannot be used.
        ModelError: the configuration cannot be read, or is of no classifier.
    """
    model, revision = options.get("model"), options.get("revision")
    if not isinstance(model, str) or not model or (revision is not None and not isinstance(revision, str)):
        raise InputError(f"measure '{measure}': option 'model' must be a folder or a name of the hub.")
    return Named(model, revision, _labels(model, revision, measure))


@functools.cache
def _labels(model: str, revision: str | None, measure: str) -> tuple[str, ...]:
    try:
        if Path(model).is_dir():
            found = json.loads((Path(model) / "config.json").read_bytes()).get("id2label")
        else:
            from transformers import AutoConfig

            found = AutoConfig.from_pretrained(model, revision=revision, trust_remote_code=False).id2label
    except (OSError, ValueError, AttributeError) as error:
        raise ModelError(
            f"measure '{measure}': the classifier {model} cannot be read ({str(error).splitlines()[0]}). Give a folder "
            "with config.json, model.safetensors and a tokenizer, or a name of the hub."
        ) from error
    if not isinstance(found, Mapping) or len(found) < 2:
        raise ModelError(
            f"measure '{measure}': {model} is no classifier: its config.json has no two labels (id2label)."
        )
    return tuple(str(label) for _, label in sorted(found.items(), key=lambda pair: int(pair[0])))


@functools.lru_cache(maxsize=2)
def _loaded(model: str, revision: str | None) -> tuple[Any, Any, str]:
    """Tokenizer, model and device."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    local = Path(model).is_dir()
    settings: dict[str, Any] = {"revision": revision, "local_files_only": local, "trust_remote_code": False}
    try:
        tokenizer = AutoTokenizer.from_pretrained(model, **settings)
        found = AutoModelForSequenceClassification.from_pretrained(model, use_safetensors=True, **settings)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"the classifier {model} cannot be loaded: {str(error).splitlines()[0]}") from error
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return tokenizer, found.to(device).eval(), device


def probabilities(model: Named, firsts: Sequence[str], seconds: Sequence[str] | None = None) -> npt.NDArray[np.float64]:
    """Probability of every label, shape (texts, labels); texts of like length are read together.

    Args:
        model: loaded when it is asked first.
        firsts: texts (premises).
        seconds: a hypothesis for each, where the model reads pairs.

    Raises:
        ModelError: the model cannot be loaded.
    """
    import torch

    tokenizer, network, device = _loaded(model.model, model.revision)
    limit = min(int(tokenizer.model_max_length), int(getattr(network.config, "max_position_embeddings", 512)))
    out = np.zeros((len(firsts), len(model.labels)))
    order = sorted(range(len(firsts)), key=lambda at: (len(firsts[at]), at))
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        texts = [firsts[at][:LONGEST].encode("utf-8", "replace").decode() for at in rows]
        pairs = None if seconds is None else [seconds[at] for at in rows]
        cut = "longest_first" if pairs is None else "only_first"
        given = tokenizer(texts, pairs, padding=True, truncation=cut, max_length=limit, return_tensors="pt").to(device)
        with torch.inference_mode():
            scores = network(**given).logits.float()
        out[rows] = torch.softmax(scores, dim=-1).double().cpu().numpy()
    return np.round(out, DIGITS)
