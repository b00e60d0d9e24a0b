"""One look at a run in progress: every prompt's contrast and the whole one, against boundaries fixed in advance.

A look is a pure function of the completions that were stored for it and of the plan; so a run that was killed between
two looks comes to the same decision, and anybody can take every look again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from biasaudit.stats.arms import Versus, versus
from biasaudit.stats.assemble import sides_of
from biasaudit.stats.cells import Cell, Design
from biasaudit.stats.job import Job
from biasaudit.stats.sequential import Schedule, Scheme, stopping_bias
from biasaudit.stats.stopping import Followed, Stopping, alone, overall

Rule = Literal["precision", "decided", "verdict"]
Decision = Literal["go-on", "precise", "crossed", "inside-margin", "no-data"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LookPlan:
    """When sampling stops, registered in the manifest before the first completion and never changed after."""

    rule: Rule
    """`precision`: a prompt stops when its own interval is narrow enough; `decided`: when its own interval excludes 0
    or lies inside the margin; `verdict`: all stop together when the headline's interval does."""
    measure: str
    outcome: str
    scheme: Scheme
    sizes: tuple[int, ...]
    precision: float | None = None
    """Half-width asked for, in the outcome's unit."""
    margin: float | None = None
    """Of the battery, in the outcome's unit; None lets nothing stop for smallness."""
    alpha: float = 0.05
    """Of the battery."""
    asked: str = ""
    """Hash of prompts, arms, decodings and measure: looks at anything else are other looks."""

    @property
    def schedule(self) -> Schedule:
        """Sizes and boundaries."""
        return Schedule(scheme=self.scheme, sizes=self.sizes, alpha=self.alpha)

    def stopping(self, looks: Mapping[str, int]) -> Stopping:
        """What an analysis must know, when each prompt was last counted at the look given."""
        schedule = self.schedule
        bounds = schedule.multipliers(self.alpha).tolist()
        bias = stopping_bias(schedule.fractions, bounds) if self.rule == "decided" else 0.0
        return Stopping(schedule=schedule, looks=looks, bias=bias)


def take_look(job: Job, plan: LookPlan, earlier: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Take the next look; the record is plain JSON and holds all that the decision rests on.

    Args:
        job: with the scores of the plan's measure of every completion asked for so far, and no others.
        plan: of the run.
        earlier: records of the looks before this one.

    Returns:
        Number, size and boundary of the look, the level spent, every open prompt's and the whole contrast's numbers
        for every tuned arm, the prompts that close now with the reason, and how many stay open.
    """
    position, closed = len(earlier), closed_at(earlier)
    stopping = plan.stopping(
        {key[0]: closed.get(key[0], position) for table in job.tables.values() for key in table.places}
    )
    pairs, last = versus(job.arms), position + 1 == len(plan.sizes)
    found = [_contrast(job, plan, stopping, pair, closed, len(pairs)) for pair in pairs]
    reasons = _closing(plan, found)
    places = {prompt_id for prompt_id, _ in job.tables[plan.measure].places}
    open_before = [p.prompt_id for p in job.battery.prompts if p.prompt_id in places and p.prompt_id not in closed]
    closing = {
        prompt_id: reasons.get(prompt_id, "last-look") for prompt_id in open_before if last or prompt_id in reasons
    }
    return {
        "look": position + 1,
        "size": plan.sizes[position],
        "fraction": stopping.schedule.fractions[position],
        "spent": float(stopping.schedule.spent(plan.alpha)[position]),
        "boundary": float(stopping.schedule.multipliers(plan.alpha)[position]),
        "contrasts": found,
        "closed": closing,
        "open": len(set(open_before)) - len(closing),
    }


def closed_at(records: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Prompt id -> position of the look that closed it."""
    return {prompt_id: position for position, record in enumerate(records) for prompt_id in record["closed"]}


def _contrast(
    job: Job, plan: LookPlan, stopping: Stopping, pair: Versus, closed: Collection[str], pairs: int
) -> dict[str, Any]:
    """One tuned arm against its reference: the whole contrast, and each open prompt."""
    measure = next(measure for measure in job.measures if measure.name == plan.measure)
    sides, design = sides_of(job, measure, pair.tuned, pair.reference, job.decodings[0], plan.outcome)
    whole = overall(sides.cells, design, stopping)
    alpha = plan.alpha / pairs if plan.rule == "verdict" else plan.alpha
    return {
        "tuned": pair.tuned.name,
        "reference": pair.reference.name,
        "level": alpha,
        **_numbers(whole, plan.alpha),
        "decision": _settles(whole, plan, alpha) if plan.rule == "verdict" else "go-on",
        "prompts": [_prompt(cell, design, stopping, plan) for cell in sides.cells if cell.prompt_id not in closed],
    }


def _prompt(cell: Cell, design: Design, stopping: Stopping, plan: LookPlan) -> dict[str, Any]:
    """One open prompt's numbers, and what they say."""
    found = alone(cell, design, stopping)
    decision: Decision = "go-on"
    if found is None:
        decision = "go-on" if cell.full else "no-data"
    elif plan.rule == "precision":
        half = found.schedule.half_width(found.errors, found.looks, plan.alpha)
        decision = "precise" if plan.precision is not None and half <= plan.precision else "go-on"
    elif plan.rule == "decided":
        decision = _settles(found, plan, plan.alpha)
    sizes = {"n_tuned": int(cell.tuned.size), "n_reference": int(cell.reference.size)}
    return {"prompt_id": cell.prompt_id, **sizes, **_numbers(found, plan.alpha), "decision": decision}


def _settles(found: Followed | None, plan: LookPlan, alpha: float) -> Decision:
    """Whether an interval excludes 0, or lies inside the margin (two one-sided tests at `alpha` each)."""
    if found is None:
        return "no-data"
    interval = found.interval(alpha, "")
    if interval.low > 0 or interval.high < 0:
        return "crossed"
    if plan.margin is not None:
        narrow = found.interval(2 * alpha, "")
        if -plan.margin < narrow.low and narrow.high < plan.margin:
            return "inside-margin"
    return "go-on"


def _numbers(found: Followed | None, alpha: float) -> dict[str, float | None]:
    """Difference, standard error, statistic and repeated interval."""
    if found is None:
        return dict.fromkeys(("difference", "se", "statistic", "low", "high"))
    interval = found.interval(alpha, "")
    return {
        "difference": found.difference,
        "se": found.se,
        "statistic": found.difference / found.se,
        "low": interval.low,
        "high": interval.high,
    }


def _closing(plan: LookPlan, found: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Prompt id -> why it closes: every tuned arm's contrast must be settled."""
    if not found:
        return {}
    if plan.rule == "verdict":
        decisions = [row["decision"] for row in found]
        settled = all(decision in ("crossed", "inside-margin") for decision in decisions)
        reason = "inside-margin" if settled and set(decisions) == {"inside-margin"} else "crossed"
        return {row["prompt_id"]: reason for row in found[0]["prompts"]} if settled else {}
    reasons: dict[str, list[str]] = {}
    for row in found:
        for prompt in row["prompts"]:
            reasons.setdefault(prompt["prompt_id"], []).append(prompt["decision"])
    settled_words = ("precise", "crossed", "inside-margin")
    return {
        prompt_id: said[0]
        for prompt_id, said in reasons.items()
        if len(said) == len(found) and all(word in settled_words for word in said)
    }


def plan_from_json(value: Mapping[str, Any]) -> LookPlan:
    """The plan that a manifest holds."""
    return LookPlan(**{**value, "sizes": tuple(value["sizes"])})


def plan_to_json(plan: LookPlan) -> dict[str, Any]:
    """What a manifest holds of a plan."""
    return {**dataclasses.asdict(plan), "sizes": list(plan.sizes)}
