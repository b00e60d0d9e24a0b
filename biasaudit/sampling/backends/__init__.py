"""One file a backend; the file's name is the backend's name."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from biasaudit.errors import UnknownNameError
from biasaudit.records import Backend


def names() -> list[str]:
    """Names of the backends, without importing any of them."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def build(name: str, **options: Any) -> Backend:
    """Import the backend `name` and build it with `options`.

    Raises:
        UnknownNameError: there is no such backend.
    """
    if name not in names():
        raise UnknownNameError("backend", name, names())
    backend: Backend = importlib.import_module(f"{__name__}.{name}").build(**options)
    return backend
