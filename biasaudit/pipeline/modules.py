"""What a process may import, how often it looks for garbage, and that it gives memory back."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
from collections.abc import Iterator


class _WithoutPandas:
    """pyarrow looks for pandas when it makes its first array: 40 MB and a third of a second for nothing."""

    @staticmethod
    def find_spec(name: str, _path: object = None, _target: object = None) -> None:
        """Say that there is no pandas; leave every other module to the finders that follow."""
        if name == "pandas":
            raise ModuleNotFoundError("pandas is not used here", name=name)


def without_pandas() -> None:
    """Keep pandas out of this process, which does nothing that needs it; pyarrow never asks for it again."""
    sys.meta_path.insert(0, _WithoutPandas)


@contextlib.contextmanager
def rare_collections() -> Iterator[None]:
    """Look for garbage a hundred times less often: vocabularies and rows are many objects, and none of them garbage."""
    usual = gc.get_threshold()
    gc.set_threshold(100 * usual[0], *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)


def return_memory() -> None:
    """Hand freed memory back to the system, where the C library has a call for it (glibc)."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
