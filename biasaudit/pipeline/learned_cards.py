"""What a report says of the learned scorers of a battery: their validity cards, short."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from biasaudit.records import Arm, Battery


def learned_cards(battery: Battery, arms: Sequence[Arm]) -> list[dict[str, Any]]:
    """One card a measure whose scorer is `learned`: overall, by arm and by language, and the arms that it never saw.

    Raises:
        ModelError: a model cannot be read.
    """
    from biasaudit.scoring._learned_model import read_card

    found = []
    for measure in battery.measures:
        if measure.scorer == "learned":
            card = read_card(Path(measure.options["model"]))
            outcome = str(measure.options.get("outcome", card["outcome"]))
            found.append({"measure": measure.name, **_short(card, outcome, [arm.name for arm in arms])})
    return found


def _short(card: Mapping[str, Any], outcome: str, arms: Sequence[str]) -> dict[str, Any]:
    validity, source = card["validity"], card["trained_on"]
    parts = [("arm", name, own) for name, own in validity["arms"].items()]
    parts += [("language", name, own) for name, own in validity["languages"].items()]
    return {
        "model_id": card["arrays_sha256"][:12],
        "outcome": outcome,
        "labels": [entry["key"] for entry in card["labels"]],
        "n": card["n"],
        "prompts": card["prompts"],
        "folds": card["folds"],
        "features": card["features"],
        "grouped_by": source["grouped_by"],
        "trained_on": f"{source['kind']} {source['name']}",
        "rows": [_row(about, name, own, outcome) for about, name, own in [("all", "", validity["all"]), *parts]],
        "confusion": validity["all"]["confusion"],
        "strangers": [name for name in arms if name not in validity["arms"]],
    }


def _row(about: str, name: str, card: Mapping[str, Any], outcome: str) -> dict[str, Any]:
    label = next(row for row in card["labels"] if row["label"] == outcome)
    return {
        "about": about,
        "name": name,
        **{key: card[key] for key in ("n", "accuracy", "most_common")},
        **{key: label[key] for key in ("sensitivity", "specificity", "f1")},
        "calibration_error": card["calibration"]["error"],
    }
