"""One file a kind of dump; the file's name is the source's name.

A source module has `read(path, options) -> Reading`, and `SUFFIXES`, the endings that it answers to.
"""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

from biasaudit.corpus.reading import Reading, SourceOptions, regular_size
from biasaudit.errors import CorpusError, UnknownNameError


def names() -> list[str]:
    """Names of all sources, found without importing them."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


def files(path: Path) -> list[Path]:
    """The regular files that `path` stands for, in a stable order: itself, or what a folder holds.

    Hidden files and links are left out of folders, so that nothing outside a folder is read by naming it.

    Raises:
        CorpusError: missing, not a regular file, or a folder without a file that a source answers to.
    """
    if not path.is_dir():
        regular_size(path)
        return [path]
    known = _suffixes()
    inside = sorted(
        p for p in path.rglob("*")
        if p.suffix.lower() in known and p.is_file() and not p.is_symlink() and not p.name.startswith(".")
    )  # fmt: skip
    if not inside:
        raise CorpusError(f"{path}: no file ending in {', '.join(sorted(known))} inside. Give the files themselves.")
    return inside


def kind_of(path: Path) -> str:
    """Name of the source that answers to the ending of `path`.

    Raises:
        CorpusError: no source does.
    """
    known = _suffixes()
    try:
        return known[path.suffix.lower()]
    except KeyError:
        raise CorpusError(
            f"{path}: no source reads '{path.suffix or 'a name without ending'}'. "
            f"Known endings: {', '.join(sorted(known))}; or name the kind: {', '.join(names())}."
        ) from None


def read(path: Path, options: SourceOptions, *, kind: str | None = None) -> Reading:
    """Open one file with the source `kind`, or with the one that its ending names.

    Raises:
        CorpusError: the file cannot be read as that kind.
        UnknownNameError: no source is called `kind`.
    """
    name = kind or kind_of(path)
    if name not in names():
        raise UnknownNameError("source", name, names())
    module = importlib.import_module(f"{__name__}.{name}")
    reading: Reading = module.read(path, options)
    return reading


def _suffixes() -> dict[str, str]:
    found: dict[str, str] = {}
    for name in names():
        module = importlib.import_module(f"{__name__}.{name}")
        found.update(dict.fromkeys(module.SUFFIXES, name))
    return found
