"""The small models that travel with the package, so that a first audit needs no download.

One folder a model, in Hugging Face's layout; a folder counts once its `card.json` is there.
"""

from __future__ import annotations

from pathlib import Path

from biasaudit.errors import UnknownNameError


def names() -> list[str]:
    """Names of the embedded models, sorted."""
    return sorted(card.parent.name for card in Path(__file__).parent.glob("*/card.json"))


def folder(name: str) -> Path:
    """Folder of the embedded model `name`.

    Raises:
        UnknownNameError: there is none of that name.
    """
    known = names()
    if name not in known:
        raise UnknownNameError("embedded model", name, known)
    return Path(__file__).parent / name
