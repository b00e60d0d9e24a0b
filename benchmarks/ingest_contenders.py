"""The contenders of benchmarks/ingest.py besides ours; each is run as a process of its own.

    study       the study's steps: no quotes, every line a record, its expression, tiktoken a message
    python-re   records found by their start, the same expression, tiktoken a message
    tiktoken    tiktoken alone, on clean text whose documents are joined by end-of-text

All read the file in ranges of a few megabytes, on as many processes as asked, and write one file of uint16 ids.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import tiktoken
from tiktoken_ext.openai_public import r50k_pat_str

EOT = "<|endoftext|>"
RANGE = 8 << 20
CHUNK = 1 << 20
# The expression of the study's data/prepare.py.
STUDY = re.compile(r"\@\w+|https?:\/\/\S+|www\S+|[^\w\s\.\,\!\?\:\;\-\'\"]|^[\.\,\!\?\:\;\-\'\"]+$|^\s*$")
RECORD = re.compile(r"^\d+,-?\d+,\d{4}-[^,\n]*,", re.MULTILINE)


def study(text: str) -> Iterator[str]:
    """The study's documents: what follows the third comma of every line that has one."""
    for line in text.replace('"', "").split("\n"):
        fields = line.split(",", 3)
        if len(fields) == 4:
            yield STUDY.sub("", fields[3])


def python_re(text: str) -> Iterator[str]:
    """Whole messages, found by the starts of their records."""
    starts = list(RECORD.finditer(text))
    for here, after in zip(starts, [*(match.start() for match in starts[1:]), len(text)], strict=True):
        message = text[here.end() : after].removesuffix("\n")
        if message.startswith('"') and message.endswith('"'):
            message = message[1:-1].replace('""', '"')
        yield STUDY.sub("", message)


def one_by_one(encoding: tiktoken.Encoding, documents: Iterable[str]) -> bytes:
    """Ids of every document that is not empty, and end-of-text behind each."""
    ids: list[int] = []
    for document in documents:
        if document.strip():
            ids += encoding.encode_ordinary(document)
            ids.append(encoding.eot_token)
    return np.array(ids, "<u2").tobytes()


def joined(encoding: tiktoken.Encoding, text: str) -> bytes:
    """Ids of text whose documents are joined already."""
    parts, start = [], 0
    while start < len(text):
        stop = text.find(EOT, start + CHUNK)
        stop = len(text) if stop < 0 else stop + len(EOT)
        parts.append(encoding.encode_to_numpy(text[start:stop], allowed_special={EOT}).astype("<u2"))
        start = stop
    return np.concatenate(parts).tobytes()


WAYS: dict[str, tuple[bytes, Callable[[tiktoken.Encoding, str], bytes]]] = {
    "study": (rb"\n", lambda encoding, text: one_by_one(encoding, study(text))),
    "python-re": (rb"\n(?=\d+,-?\d+,\d{4}-)", lambda encoding, text: one_by_one(encoding, python_re(text))),
    "tiktoken": (re.escape(EOT.encode()), joined),
}


def ranges(path: Path, seam: bytes) -> Iterator[tuple[int, int]]:
    """Byte ranges that end behind a match of `seam`."""
    pattern, size, start = re.compile(seam), path.stat().st_size, 0
    with path.open("rb") as handle:
        while start < size:
            handle.seek(start + RANGE)
            match = pattern.search(handle.read(CHUNK))
            stop = start + RANGE + match.end() if match else size
            yield start, stop
            start = stop


def encoding_of(folder: Path) -> tiktoken.Encoding:
    """The tiktoken encoding of a GPT-2-like tokenizer folder."""
    vocabulary = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    byte_of = {chr(b): b for b in printable}
    byte_of.update({chr(256 + i): b for i, b in enumerate(b for b in range(256) if b not in printable)})
    ranks = {bytes(byte_of[c] for c in token): i for token, i in vocabulary.items() if token != EOT}
    special = {EOT: vocabulary[EOT]}
    return tiktoken.Encoding("gpt2-like", pat_str=r50k_pat_str, mergeable_ranks=ranks, special_tokens=special)


class Worker:
    """One range of a file to ids."""

    def __init__(self, name: str, path: Path, folder: Path) -> None:
        """Load the tokenizer."""
        self.way, self.path, self.encoding = WAYS[name][1], path, encoding_of(folder)

    def __call__(self, part: tuple[int, int]) -> bytes:
        """Ids of the range."""
        with self.path.open("rb") as handle:
            handle.seek(part[0])
            return self.way(self.encoding, handle.read(part[1] - part[0]).decode())


WORKER: list[Worker] = []


def start(name: str, path: Path, folder: Path) -> None:
    """Give this process its worker."""
    WORKER[:] = [Worker(name, path, folder)]


def work(part: tuple[int, int]) -> bytes:
    """Do one range in this process."""
    return WORKER[0](part)


def main() -> None:
    """Read, encode, write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=WAYS)
    parser.add_argument("source", type=Path)
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--cores", type=int, default=1)
    given = parser.parse_args()
    begin = partial(start, given.name, given.source, given.tokenizer)
    parts = list(ranges(given.source, WAYS[given.name][0]))
    with given.out.open("wb") as handle:
        if given.cores == 1:
            begin()
            handle.writelines(map(work, parts))
        else:
            with multiprocessing.get_context("spawn").Pool(given.cores, begin) as pool:
                handle.writelines(pool.imap(work, parts))


if __name__ == "__main__":
    main()
