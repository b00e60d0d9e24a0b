"""Progress of long work on stderr: a live bar in a terminal, plain lines elsewhere; rate and ETA in both."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

PLAIN_LINE_SECONDS = 5.0
SHORTEST_RATE_SECONDS = 0.05
"""A rate over less than this says more about the clock than about the work."""


def visible(text: str) -> str:
    """Return `text` safe for a terminal: controls and bidi overrides become their escaped names (RELIABILITY C8)."""
    out = []
    for char in text:
        keep = char in "\n\t\u00a0" or char.isprintable()
        out.append(char if keep else f"\\u{ord(char):04x}")
    return "".join(out)


def clock(seconds: float) -> str:
    """`h:mm:ss`, or `m:ss` under an hour."""
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, second = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{second:02}" if hours else f"{minutes}:{second:02}"


class Task:
    """One counted piece of work: `advance` or `update` it as it goes."""

    def __init__(self, console: Console, name: str, total: float | None, unit: str, *, done: float = 0.0) -> None:
        """Start counting `name` towards `total` (None when unknown), in `unit`s; `done` were done before."""
        self.console, self.name, self.total, self.unit = console, name, total, unit
        self.done = self.found_done = done
        self.note = ""
        self.started = time.monotonic()

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        """Count `amount` more."""
        self.update(self.done + amount, note=note)

    def update(self, done: float, total: float | None = None, note: str = "") -> None:
        """Set what is done so far, and the total when it has become known."""
        said = self.total is not None and self.done >= self.total > 0
        self.done = done
        self.total = total if total is not None else self.total
        self.note = note or self.note
        if not (said and self.total is not None and done >= self.total):
            self.console.show(self)

    def describe(self) -> str:
        """One line: name, count, rate, ETA, note; one step without a unit has no count and no rate."""
        seconds = max(time.monotonic() - self.started, 1e-9)
        scale, unit = self._scale()
        counts = [self.done] if self.total is None else [self.done, self.total]
        digits = 1 if unit == "MB" and max(counts) < 10 * scale else 0
        parts = [] if self.single else ["/".join(f"{n / scale:,.{digits}f}" for n in counts) + f" {unit}".rstrip()]
        rate = (self.done - self.found_done) / seconds
        rated = rate > 0 and seconds >= SHORTEST_RATE_SECONDS and self.total != 1
        if rated:
            shown = rate / scale
            parts.append((f"{shown:,.1f}" if shown < 100 else f"{shown:,.0f}") + (f" {unit}/s" if scale > 1 else "/s"))
        if self.total is not None and self.done >= self.total:
            parts.append(f"in {clock(seconds)}")
        elif self.total is not None and rated:
            parts.append(f"ETA {clock((self.total - self.done) / rate)}")
        if self.note:
            parts.insert(0 if self.single else len(parts), self.note)
        return f"{self.name}: {', '.join(parts)}" if parts else self.name

    @property
    def single(self) -> bool:
        """Whether there is nothing to count: one step."""
        return self.total == 1 and not self.unit

    def _scale(self) -> tuple[int, str]:
        """What counts are divided by to be read, and the unit then; bytes become kB or MB."""
        if self.unit != "bytes":
            return 1, self.unit
        return (1_000_000, "MB") if (self.total or self.done) >= 1_000_000 else (1000, "kB")


class Console:
    """Where progress and notices go; `quiet` keeps only warnings."""

    def __init__(self, stream: TextIO | None = None, *, quiet: bool = False) -> None:
        """Write to `stream` (stderr by default)."""
        self.stream = stream or sys.stderr
        self.quiet = quiet
        self.live: Any = None
        self.last_plain = 0.0
        self.warned: set[str] = set()

    def say(self, text: str) -> None:
        """A notice for the person who waits."""
        if not self.quiet:
            self._line(text)

    def warn(self, text: str) -> None:
        """A warning: shown even when quiet, and once: stages that a run repeats would say it again."""
        if text not in self.warned:
            self.warned.add(text)
            self._line(f"warning: {text}")

    def _line(self, text: str) -> None:
        if self.live is not None:
            self.live.console.print(visible(text), markup=False, highlight=False, soft_wrap=True)
        else:
            self.stream.write(visible(text) + "\n")
            self.stream.flush()

    def show(self, task: Task) -> None:
        """Draw the state of `task`."""
        self.status(task.describe(), last=task.single or (task.total is not None and task.done >= task.total))

    def status(self, text: str, *, last: bool = False) -> None:
        """Show where work stands: at once in a live bar, every few seconds (and at the end) as a plain line."""
        if self.live is not None:
            self.live.update(visible(text))
            return
        now = time.monotonic()
        if not self.quiet and (last or now - self.last_plain >= PLAIN_LINE_SECONDS):
            self.last_plain = now
            self._line(text)

    @contextmanager
    def task(self, name: str, total: float | None, unit: str) -> Iterator[Task]:
        """Count a piece of work inside a `with` block."""
        task = Task(self, name, total, unit)
        self.last_plain = time.monotonic()
        terminal = self.stream.isatty() and not self.quiet
        if not terminal:
            yield task
            return
        from rich.console import Console as RichConsole
        from rich.status import Status

        with Status(visible(task.describe()), console=RichConsole(file=self.stream)) as live:
            self.live = live
            try:
                yield task
            finally:
                self.live = None
        self._line(task.describe())
