"""Whether a run folder is of the run that a command asks for, and if not, what differs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from biasaudit import identity
from biasaudit.errors import StoreError
from biasaudit.pipeline.plan import RunPlan
from biasaudit.pipeline.until import LOOKS, PLAN, registered
from biasaudit.records import Arm

if TYPE_CHECKING:
    from biasaudit.store.run import RunFolder

Held = set[tuple[str, str | None]]
"""(fingerprint, salt) of arms that a run has answers of; the salt is None for likelihoods, which have none."""


def identity_of(plan: RunPlan) -> dict[str, Any]:
    """What a later command must share to continue this run."""
    return {
        "battery": {"name": plan.battery.name},
        "language": plan.language,
        "seed": plan.seed,
        "arms": identity.plain(plan.arms),
        **({} if plan.looks is None else {PLAN: registered(plan)}),
    }


def fits(folder: RunFolder, plan: RunPlan) -> bool:
    """Whether this run can go on under `plan`."""
    return not differences(folder, plan)


def differences(folder: RunFolder, plan: RunPlan) -> list[str]:
    """What keeps a run from going on under `plan`, `old → new` each; empty when nothing does.

    Arms of which nothing is stored yet keep no run: a file that was repaired, or other weights, take their place.
    """
    manifest = folder.manifest
    pairs = {
        "battery": (manifest.get("battery", {}).get("name"), plan.battery.name),
        "language": (manifest.get("language"), plan.language),
        "seed": (manifest.get("seed"), plan.seed),
    }
    found = [f"{what} {old} → {new}" for what, (old, new) in pairs.items() if old != new]
    missing = _arms_not_asked_for(manifest, plan)
    if missing or (not found and manifest.get(PLAN) != registered(plan)):
        held = answered(folder)
        stale = {name for name, entry in missing.items() if _answers(entry, held)}
        found += [_arm_difference(missing[name], plan) for name in sorted(stale)]
        if held or manifest.get(LOOKS) or plan.looks is None:
            found += _look_differences(manifest.get(PLAN), registered(plan))
    if not manifest.get("arms"):
        found.append("arms: none are in its manifest")
    return found


def answered(folder: RunFolder) -> Held:
    """The arms of which a run has completions or likelihoods; all that it names where it is done or damaged."""
    from biasaudit.pipeline.complete import COMPLETIONS, LIKELIHOODS

    everyone: Held = {(entry["fingerprint"], None) for entry in folder.manifest.get("arms", [])}
    if folder.manifest.get("status") == "done":
        return everyone
    found: Held = set()
    try:
        for part in folder.parts(COMPLETIONS):
            table = folder.read_part(part, ["arm_fingerprint", "salt"])
            words = (table.column(name).to_pylist() for name in ("arm_fingerprint", "salt"))
            found.update(zip(*words, strict=True))
        for part in folder.parts(LIKELIHOODS):
            table = folder.read_part(part, ["arm_fingerprint"])
            found.update((word, None) for word in table.column("arm_fingerprint").unique().to_pylist())
    except StoreError:
        return everyone
    return found


def _answers(entry: Mapping[str, Any], held: Held) -> bool:
    return not held.isdisjoint({(entry["fingerprint"], entry["salt"]), (entry["fingerprint"], None)})


def _arms_not_asked_for(manifest: Mapping[str, Any], plan: RunPlan) -> dict[str, Mapping[str, Any]]:
    """Name -> arm of the run that `plan` does not have as it was."""
    asked = {(a.name, a.fingerprint, a.salt, a.role) for a in plan.arms}
    entries = manifest.get("arms", [])
    return {a["name"]: a for a in entries if (a["name"], a["fingerprint"], a["salt"], a["role"]) not in asked}


def _arm_difference(old: Mapping[str, Any], plan: RunPlan) -> str:
    """How one arm of the run differs from what is asked for under its name, or that nothing is."""
    new = next((arm for arm in plan.arms if arm.name == old["name"]), None)
    if new is not None:
        return f"arm {new.name}: " + ", ".join(_changes(old, new))
    twin = next((a.name for a in plan.arms if (a.fingerprint, a.salt) == (old["fingerprint"], old["salt"])), None)
    return f"arm {old['name']} → " + ("not asked for" if twin is None else f"called {twin} now")


def _changes(old: Mapping[str, Any], new: Arm) -> list[str]:
    found = []
    if old["fingerprint"] != new.fingerprint:
        spec = f" ({old['spec']} → {new.spec})" if old["spec"] != new.spec else f" ({new.spec})"
        found.append(f"other content, fingerprint {old['fingerprint'][:12]} → {new.fingerprint[:12]}{spec}")
    if old["salt"] != new.salt:
        found.append(f"salt '{old['salt']}' → '{new.salt}'")
    if old["role"] != new.role:
        found.append(f"role {old['role']} → {new.role}")
    return found


def _look_differences(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> list[str]:
    """How registered looks, which never change, differ."""
    if old == new:
        return []
    if old is None or new is None:
        return ["looks (which never change): " + ("none → --until" if old is None else "--until → none")]
    keys = [key for key in sorted({*old, *new}) if old.get(key) != new.get(key)]
    said = [
        "prompts, arms, decodings or the measure" if key == "asked" else f"{key} {old.get(key)} → {new.get(key)}"
        for key in keys
    ]
    return [f"looks (which never change): {', '.join(said)}"]
