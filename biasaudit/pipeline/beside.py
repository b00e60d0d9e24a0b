"""A finished run in another language, laid beside a run: what the language factor needs of it is kept in `beside.json`.

So the analysis stays a function of the run's own folder: `verify` recomputes it, wherever the other run has gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biasaudit import identity
from biasaudit.errors import UsageError

if TYPE_CHECKING:
    from biasaudit.stats.designs_language import Beside
    from biasaudit.store.run import RunFolder

FILE = "beside.json"


def lay_beside(folder: RunFolder, others: Sequence[Path]) -> None:
    """Keep the effects of `others` in the run, in place of those that were there.

    Raises:
        UsageError: one is no finished run of the same battery and arms in a language of its own.
    """
    from biasaudit.pipeline.audit import open_run, refuse_too_early

    found: list[dict[str, Any]] = []
    for path in others:
        other = open_run(path)
        refuse_too_early(other, "report")
        _refuse_unlike(folder, other, [row["language"] for row in found])
        found.append(_kept(other))
    folder.write_json(FILE, found)


def _refuse_unlike(folder: RunFolder, other: RunFolder, taken: Sequence[str]) -> None:
    """Refuse a run that answers another question, or in a language that is there already."""
    here, there = folder.manifest, other.manifest
    if here["battery"]["hash"] != there["battery"]["hash"]:
        raise UsageError(
            f"--beside {other.path}: of {there['battery']['name']}, hash {there['battery']['hash'][:12]}; expected "
            f"one of the same battery as {folder.path}, {here['battery']['name']}, hash {here['battery']['hash'][:12]}"
        )
    if there["language"] in (here["language"], *taken):
        raise UsageError(
            f"--beside {other.path}: its prompts are in {there['language']}, as those of {folder.path} or of another "
            "--beside; expected one run a language (`biasaudit run --language`)"
        )
    arms, others = ({a["name"]: a["fingerprint"] for a in manifest["arms"]} for manifest in (here, there))
    unlike = sorted(name for name in arms.keys() & others.keys() if arms[name] != others[name])
    if unlike or len(arms.keys() & others.keys()) < 2:
        what = f"arm {unlike[0]} is another model there" if unlike else f"its arms are {', '.join(others)}"
        raise UsageError(f"--beside {other.path}: {what}; expected the arms of {folder.path}, {', '.join(arms)}")


def _kept(other: RunFolder) -> dict[str, Any]:
    """What the language factor reads of a run."""
    from biasaudit.pipeline.audit import read_analysis
    from biasaudit.stats.designs_language import effect, question

    rows = [row for row in read_analysis(other).contrasts if row.tuned != row.reference]
    effects = [{"question": list(question(row)), **identity.plain(effect(row))} for row in rows]
    return {"run": other.path.name, "language": other.manifest["language"], "effects": effects}


def read_beside(folder: RunFolder) -> tuple[Beside, ...]:
    """The runs that lie beside this one; empty without any."""
    from biasaudit.stats.designs_language import Beside, Effect

    if not folder.has(FILE):
        return ()
    return tuple(
        Beside(
            run=row["run"],
            language=row["language"],
            effects={
                (measure, outcome, tuned, reference, decoding): Effect(**own)
                for own in map(dict, row["effects"])
                for measure, outcome, tuned, reference, decoding in [own.pop("question")]
            },
        )
        for row in folder.read_json(FILE)
    )
