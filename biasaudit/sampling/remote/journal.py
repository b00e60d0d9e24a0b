"""What was asked of a server and what it answered, on disk before anything depends on it.

One JSON line an event: `ask` before a request leaves, then `got` with the answer or `end` without one. A killed run
finds here every answer that had come, so it pays again for the requests that were under way and for nothing else. What
was asked and never ended counts as spent in full. Lines reach the operating system at once; they survive the death of
the process, and a power cut may cost the last of them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from biasaudit.errors import StoreError

Tokens = tuple[int, int]
"""(prompt, completion)"""
_VERSION = 1


class Journal:
    """Answers and spending of one arm; without a path it forgets with the process."""

    def __init__(self, path: Path | None) -> None:
        """Read what an earlier process left.

        Raises:
            StoreError: the file cannot be read.
        """
        self.path = path
        self.answers: dict[str, dict[str, Any]] = {}
        self.requests = 0
        self.tokens: Tokens = (0, 0)
        self._open: dict[str, Tokens] = {}
        self._file: IO[bytes] | None = None
        if path is not None and path.exists():
            self._read(path)
        for bound in self._open.values():
            self.tokens = _sum(self.tokens, bound)
        self._open.clear()

    @property
    def pending(self) -> Tokens:
        """Most tokens that the requests under way can cost."""
        total = (0, 0)
        for bound in self._open.values():
            total = _sum(total, bound)
        return total

    @property
    def under_way(self) -> int:
        """Requests that have not ended."""
        return len(self._open)

    def ask(self, key: str, bound: Tokens) -> None:
        """Note a request that is about to leave, and what it can cost at most."""
        self._write({"ask": key, "tokens": bound})
        self._asked(key, bound)

    def got(self, key: str, tokens: Tokens, answer: Mapping[str, Any]) -> None:
        """Note an answer and what it cost."""
        self._write({"got": key, "tokens": tokens, "answer": answer})
        self._ended(key, tokens)
        self.answers[key] = dict(answer)

    def end(self, key: str, tokens: Tokens) -> None:
        """Note that a request brought nothing, and what it may have cost all the same."""
        self._write({"end": key, "tokens": tokens})
        self._ended(key, tokens)

    def settle(self) -> None:
        """Keep the spending alone, once every answer is stored in the run."""
        self.answers.clear()
        self.close()
        if self.path is None or not self.path.exists():
            return
        beside = self.path.with_name(f"{self.path.name}.new")
        try:
            with beside.open("wb") as file:
                file.write(_line({"spent": self.requests, "tokens": self.tokens}))
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self.path)
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be written: {error.strerror}.") from error

    def close(self) -> None:
        """Let the file go; the next event opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _asked(self, key: str, bound: Tokens) -> None:
        if key in self._open:  # asked by a process that died; it may have been billed
            self.tokens = _sum(self.tokens, self._open[key])
        self.requests += 1
        self._open[key] = bound

    def _ended(self, key: str, tokens: Tokens) -> None:
        self._open.pop(key, None)
        self.tokens = _sum(self.tokens, tokens)

    def _write(self, event: Mapping[str, Any]) -> None:
        if self.path is None:
            return
        try:
            if self._file is None:
                self._file = self.path.open("ab", buffering=0)
            self._file.write(_line(event))
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be written: {error.strerror}. Nothing was asked.") from error

    def _read(self, path: Path) -> None:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise StoreError(f"{path}: cannot be read: {error.strerror}.") from error
        for line in data.split(b"\n"):
            try:
                event = json.loads(line)
                tokens = (int(event["tokens"][0]), int(event["tokens"][1]))
            except (ValueError, KeyError, TypeError, IndexError):
                continue  # the line that a killed process was writing
            if "ask" in event:
                self._asked(event["ask"], tokens)
            elif "got" in event:
                self._ended(event["got"], tokens)
                self.answers[event["got"]] = event["answer"]
            elif "end" in event:
                self._ended(event["end"], tokens)
            elif "spent" in event:
                self.requests += int(event["spent"])
                self.tokens = _sum(self.tokens, tokens)
        if data and not data.endswith(b"\n"):
            with path.open("ab") as file:
                file.write(b"\n")


def _line(event: Mapping[str, Any]) -> bytes:
    return json.dumps({**event, "v": _VERSION}, ensure_ascii=True).encode() + b"\n"


def _sum(first: Tokens, second: Tokens) -> Tokens:
    return first[0] + second[0], first[1] + second[1]
