"""Every error that biasaudit raises on purpose.

    BiasAuditError              exit 1    a run failed; nothing that was computed is lost
    ├── StoreError              exit 1    a file of a run is damaged, missing, or could not be written
    ├── ResourceError           exit 1    not enough memory or disk for the next step
    ├── RunLockedError          exit 75   another process writes to this run
    └── InputError              exit 2    something that the user gave
        ├── UsageError          exit 2    an option, or a combination of options
        ├── BatteryError        exit 2    a prompt battery (all its faults at once)
        ├── CorpusError         exit 2    a dump or a corpus folder
        ├── ModelError          exit 2    weights, tokenizer or configuration of an arm
        └── UnknownNameError    exit 2    a name that no door answers to

A message says what is wrong, where, what was expected and what to do, in that order. Only
`biasaudit.cli` turns these into a line and an exit code; a bare traceback is always a bug of ours.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class BiasAuditError(Exception):
    """Anything that we can name; the base of the tree."""

    exit_code = 1


class StoreError(BiasAuditError):
    """A file of a run folder is damaged, missing, or could not be written."""


class ResourceError(BiasAuditError):
    """Memory or disk does not suffice for the next step."""


class RunLockedError(BiasAuditError):
    """Another process holds the run folder."""

    exit_code = 75


class InputError(BiasAuditError):
    """Something that the user gave cannot be used."""

    exit_code = 2


class UsageError(InputError):
    """An option, or a combination of options, that cannot work."""


class BatteryError(InputError):
    """A battery with faults: every fault is a line of its own, `file:line:column: what`."""

    def __init__(self, faults: Sequence[str]) -> None:
        """Keep `faults` (each one line, already located) and join them into the message."""
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))


class CorpusError(InputError):
    """A dump or a corpus folder that is not what it claims to be."""


class ModelError(InputError):
    """Weights, tokenizer or configuration missing, refused, or of another shape."""


class UnknownNameError(InputError):
    """A name that no door answers to; the message holds the nearest names."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        """Say which `kind` of thing has no `name`, with the nearest of `known`."""
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        super().__init__(f"No {kind} is called '{name}'.{hint} Known: {', '.join(names) or 'none'}.")
