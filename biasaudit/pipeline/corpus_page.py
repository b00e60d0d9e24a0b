"""Data cards as pages: beside the corpus that they describe, and beside every report of a model trained on it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from biasaudit import identity
from biasaudit.records import Arm

if TYPE_CHECKING:
    from biasaudit.report.view import CorpusLink
    from biasaudit.store.run import RunFolder

CARD = "corpus_card.json"
"""Name of the corpus's data card in a model folder."""
LARGEST = 4 << 20
"""Bytes of a data card that is read: it may have come with a foreign model."""
DEEPEST = 40
"""Levels of nested values in a data card."""
KIND = "biasaudit corpus"


def corpus_page(card: Mapping[str, Any], locale: str, *, arm: str = "", match: str = "") -> str:
    """The page of a data card, as one offline HTML document.

    Args:
        card: `card.json` of a corpus folder.
        locale: `pt` or `en`.
        arm: the model that the page speaks to, when it stands beside a report.
        match: from `matches`, with `arm`.
    """
    from biasaudit.report.corpus_page import render_corpus_page

    return render_corpus_page(card, locale, arm=arm, match=match)


def link_cards(folder: RunFolder, arms: Sequence[Arm], locale: str) -> dict[str, CorpusLink]:
    """Write the page of every arm's corpus into the run, and say where it stands.

    The card is copied into the run the first time, so that a later report does not need the model's folder.

    Args:
        folder: of the run, under its lock.
        arms: of the run.
        locale: of the report.

    Returns:
        Arm name -> link; arms without a data card are absent.
    """
    from biasaudit.report.view import CorpusLink

    found = {}
    for arm in arms:
        name = f"corpus-{identity.safe_name(arm.name)}"
        if folder.has(f"{name}.json"):
            card = folder.read_json(f"{name}.json")
        else:
            card = model_card(arm.spec)
            if card is None:
                continue
            folder.write_json(f"{name}.json", card)
        match = matches(card, arm.card)
        folder.write_text(f"{name}.html", corpus_page(card, locale, arm=arm.name, match=match))
        found[arm.name] = CorpusLink(href=f"{name}.html", match=match)
    return found


def matches(card: Mapping[str, Any], model: Mapping[str, Any]) -> Literal["same", "differs", "unknown"]:
    """Whether a data card is of a corpus that a model's card names, by the hash of its shards and tokenizer."""
    listed = model.get("corpora")
    entries = listed if isinstance(listed, Sequence) and not isinstance(listed, str) else ()
    named = {str(e["fingerprint"]) for e in entries if isinstance(e, Mapping) and e.get("fingerprint")}
    own = card.get("fingerprint")
    if not named or not isinstance(own, str):
        return "unknown"
    return "same" if own in named else "differs"


def model_card(spec: str) -> dict[str, Any] | None:
    """The data card that came with a model; None when there is none that can be read.

    A missing or damaged data card must not stop an audit: the report then says that there is none.
    """
    folder = _folder(spec)
    path = folder / CARD if folder is not None else None
    if path is None:
        return None
    try:
        if not path.is_file() or path.stat().st_size > LARGEST:
            return None
        card = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(card, dict) or card.get("kind") != KIND or not _shallow(card, DEEPEST):
            return None
        identity.canonical_json(card).decode("utf-8")  # lone surrogates could not be stored
    except (OSError, ValueError, RecursionError):
        return None
    return card


def _shallow(value: Any, left: int) -> bool:
    """Whether JSON values nest at most `left` deep."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return left > 0 and all(_shallow(one, left - 1) for one in inner)


def _folder(spec: str) -> Path | None:
    """Where the files of a model lie, as far as that is known without loading it; None for a hub name."""
    if spec.startswith("embedded:"):
        from biasaudit.lm import embedded

        return embedded.folder(spec.removeprefix("embedded:"))
    path = Path(spec)
    if path.is_dir():
        return path
    return path.parent if path.is_file() else None
