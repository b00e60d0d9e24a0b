"""What was registered before sampling, and everything in which the run differs from it."""

from __future__ import annotations

from markupsafe import Markup

from biasaudit.report import html
from biasaudit.report.view import ReportView
from biasaudit.report.words import Words

TITLE = {"pt": "Trava", "en": "Lock"}
ORDER = 15
MAX_VALUE = 200
"""Characters of one value in the table; the manifest has all of them."""


def render(view: ReportView, locale: str) -> Markup:
    """Hash, time and differences; empty for a run without a lock."""
    lock = view.analysis.lock
    if not lock:
        return Markup()
    words = Words(locale, view.alpha)
    rows = lock["deviations"]
    said = [words("lock.lead")]
    if lock["late"]:
        said.append(words("lock.late"))
    if lock["existing"]:
        said.append(words("lock.existing", runs=", ".join(lock["existing"])))
    said.append(words("lock.changed" if lock["state"] == "changed" else "lock.kept" if rows else "lock.none"))
    return html.render(
        "lock.html",
        locale,
        alpha=view.alpha,
        sentences=said,
        facts=[(words(f"lock.{key}"), lock[key]) for key in ("hash", "made", "version", "file")],
        rows=[
            (
                f"{words.fixed('lock.part', row['part'])} {row['name']}".strip(),
                _cut(row["locked"]),
                _cut(row["now"]),
                words("lock.yes" if row["primary"] else "lock.no"),
            )
            for row in rows
        ],
    )


def _cut(text: str) -> str:
    return text if len(text) <= MAX_VALUE else text[:MAX_VALUE] + "…"
