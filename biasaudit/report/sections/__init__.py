"""The report's sections: one file each, a door (DESIGN §2).

A section is a module with `TITLE` (locale -> title), `ORDER` (position; ours step by ten) and
`render(view, locale) -> Markup`; empty markup leaves the section out. Third parties add sections by the entry point
group `biasaudit.report.sections`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from importlib import metadata, resources
from typing import Protocol

from markupsafe import Markup

from biasaudit.errors import UnknownNameError
from biasaudit.report.view import ReportView

ENTRY_POINTS = "biasaudit.report.sections"


class Section(Protocol):
    """What every file of this folder offers."""

    TITLE: Mapping[str, str]
    ORDER: int

    def render(self, view: ReportView, locale: str) -> Markup:
        """The section's body below its heading; empty to leave it out."""
        ...


def names() -> list[str]:
    """Names of our sections, by file name, without importing any."""
    files = resources.files(__name__).iterdir()
    return sorted(f.name[:-3] for f in files if f.name.endswith(".py") and not f.name.startswith("_"))


def load(name: str) -> Section:
    """Import one section, ours first, then a third party's.

    Raises:
        UnknownNameError: no section has that name.
    """
    if name in names():
        return importlib.import_module(f"{__name__}.{name}")
    found = {e.name: e for e in metadata.entry_points(group=ENTRY_POINTS)}
    if name not in found:
        raise UnknownNameError("report section", name, [*names(), *found])
    loaded: Section = found[name].load()
    return loaded


def everything() -> list[tuple[str, Section]]:
    """(name, section) of ours and of third parties, in the order of the page."""
    others = {e.name for e in metadata.entry_points(group=ENTRY_POINTS)}
    loaded = [(name, load(name)) for name in sorted({*names(), *others})]
    return sorted(loaded, key=lambda pair: (pair[1].ORDER, pair[0]))
