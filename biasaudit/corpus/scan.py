"""Passes over bytes at the speed of memory: in C where a compiler is there, by numpy and RE2 where none is.

The C (`scan.c`) is built once, kept in the user's cache folder, and held against the other way whenever it is loaded;
both give the same, so nothing that is stored depends on it. `BIASAUDIT_SCAN=0` does without.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

SWITCH = "BIASAUDIT_SCAN"
"""Environment variable: 0 keeps the C out."""

_SOURCE = Path(__file__).with_name("scan.c")
_FLAGS = (("-DCLONED",), ())
"""Tried in this order: not every compiler can make one function for several processors."""
_BUILD_SECONDS = 120

Bytes8 = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]
Int64s = npt.NDArray[np.int64]


def places(data: Bytes8, wanted: Sequence[int]) -> list[Int64s]:
    """Where each of up to four byte values stands in `data`, rising."""
    library = _library()
    if library is None or not data.flags.c_contiguous:
        return [np.flatnonzero(data == byte) for byte in wanted]
    return _places(library, data, wanted)


def suspects(text: pa.StringArray) -> Bools | None:
    """Texts that the usual rules of cleaning may change, and some that they do not; None where only RE2 can say.

    Args:
        text: no nulls, shape (texts,).
    """
    library = _library()
    return None if library is None or pa.types.is_large_string(text.type) else _suspects(library, text)


# ---------------------------------------------------------------------------- in C


def _places(library: ctypes.CDLL, data: Bytes8, wanted: Sequence[int]) -> list[Int64s]:
    asked = bytes(wanted).ljust(4, bytes(wanted[-1:]))
    counts = (ctypes.c_int64 * 4)()
    room = len(data) // 8
    while True:
        found = [np.empty(room, np.int64) for _ in asked]
        into = (ctypes.c_void_p * 4)(*(places.ctypes.data for places in found))
        size = ctypes.c_int64(len(data))
        library.biasaudit_places(ctypes.c_void_p(data.ctypes.data), size, asked, into, ctypes.c_int64(room), counts)
        if max(counts) <= room:
            return [places[:count].copy() for places, count in zip(found[: len(wanted)], counts, strict=False)]
        room = max(counts)


def _suspects(library: ctypes.CDLL, text: pa.StringArray) -> Bools:
    flags = np.zeros(len(text), bool)
    _, offsets, data = text.buffers()
    if len(text) and data is not None:
        library.biasaudit_suspects(
            ctypes.c_void_p(data.address), ctypes.c_void_p(offsets.address + 4 * text.offset),
            ctypes.c_int64(len(text)), ctypes.c_void_p(flags.ctypes.data),
        )  # fmt: skip
    return flags


# ---------------------------------------------------------------------------- building


@functools.cache
def _library() -> ctypes.CDLL | None:
    """Find or build the library, load it, and hold it against numpy."""
    if os.environ.get(SWITCH, "1") == "0":
        return None
    try:
        library = _built()
    except (OSError, RuntimeError, subprocess.SubprocessError):
        return None
    if library is None:
        return None
    library.biasaudit_places.restype = library.biasaudit_suspects.restype = None
    return library if _agrees(library) else None


def _built() -> ctypes.CDLL | None:
    compiler = shutil.which(os.environ.get("CC") or "cc")
    home = os.environ.get("XDG_CACHE_HOME") or (str(Path.home() / ".cache") if os.environ.get("HOME") else "")
    if not home:
        return None
    source = _SOURCE.read_bytes()
    name = hashlib.sha256(source + f"{sys.platform} {platform.machine()}".encode()).hexdigest()[:32]
    path = Path(home) / "biasaudit" / "scan" / f"{name}.so"
    if not path.exists():
        if compiler is None:
            return None
        _build(compiler, path)
    return ctypes.CDLL(str(path))


def _build(compiler: str, path: Path) -> None:
    """Build into `path`, which is whole or not there, whoever builds beside us."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        made = Path(folder) / path.name
        for flags in _FLAGS:
            command = [compiler, "-O3", "-shared", "-fPIC", *flags, str(_SOURCE), "-o", str(made)]
            done = subprocess.run(command, capture_output=True, timeout=_BUILD_SECONDS, check=False)  # noqa: S603
            if done.returncode == 0:
                made.replace(path)
                return
        raise RuntimeError("the compiler refused")


def _agrees(library: ctypes.CDLL) -> bool:
    """Whether it does on a few hundred bytes what numpy does."""
    sample = 'Olá, [1] — “tudo” bem?\r\n ☕️\u0378 \x00\n\n\nfim;\t"ø" 𝔸\U00020000 até'.encode() * 5
    data = np.frombuffer(sample, np.uint8)
    asked = (10, 34, 44, 13)
    texts = pa.array(["até 95%", "", "a  b", "a\u00a0b", "Encaminhado de: x\ny", "fim", "x\ny — “z”"], pa.string())
    return all(
        np.array_equal(a, np.flatnonzero(data == b)) for a, b in zip(_places(library, data, asked), asked, strict=True)
    ) and _suspects(library, texts).tolist() == [False, False, True, True, True, False, False]
