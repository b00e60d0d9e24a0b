"""Do the targets keep their level, cover their truth and find what the planner says? By simulation, cell by cell.

    python -m benchmarks.simulation [--runs 4000] [--exact 400] [--out benchmarks/results/simulation.json]

Prompts are logit-normal: b ~ N(−0.6, 1), logit p = b ± (δ + u + v)/2 with u ~ N(0, topic_sd²) a topic and v ~ N(0,
prompt_sd²) a prompt, so that at δ = 0 every rejection is wrong for prompts like these. Everything is vectorised over
replicates and calls the functions that an analysis calls; `check` holds some replicates against a whole contrast.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from biasaudit import __version__
from biasaudit.stats import planner
from biasaudit.stats.cells import Cell, Design
from biasaudit.stats.contrast import About, contrast, population_estimate
from biasaudit.stats.interval import smoothed_variance, t_value, z_value
from biasaudit.stats.permutation import stratified_exact

Floats = npt.NDArray[np.float64]
LEVEL, SPREAD = -0.6, 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One cell of the table."""

    name: str
    topics: int
    a_topic: int = 1
    """Prompts of a topic; with `uneven`, at most."""
    n: int = 50
    effect: float = 0.0
    """δ on the logit scale."""
    topic_sd: float = 0.0
    prompt_sd: float = 0.0
    level: float = LEVEL
    uneven: bool = False
    """Completions from n/5 to 2n, other ones in each arm, and topics with 1 to `a_topic` prompts."""
    missing: float = 0.0
    """Share of prompts that are absent; a topic keeps its first."""

    @property
    def spread(self) -> float:
        """SD of the effect over topics and prompts, logit."""
        return float(np.hypot(self.topic_sd, self.prompt_sd))

    @property
    def truth(self) -> float:
        """Mean difference of rates over all prompts there could be."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(80)
        sd = np.hypot(SPREAD, self.spread / 2)
        rates = [expit(self.level + sign * self.effect / 2 + sd * nodes) @ weights for sign in (1, -1)]
        return float((rates[0] - rates[1]) / weights.sum())


NULL = (
    Scenario(name="no prompt changes, 6 topics", topics=6),
    Scenario(name="no prompt changes, 12 topics", topics=12),
    Scenario(name="no prompt changes, 18 topics", topics=18),
    Scenario(name="no prompt changes, 6 topics of 3", topics=6, a_topic=3),
    Scenario(name="no prompt changes, uneven", topics=12, a_topic=3, uneven=True),
    Scenario(name="no prompt changes, a quarter missing", topics=12, a_topic=3, missing=0.25),
)
"""Both targets are right."""
RANDOM = (
    Scenario(name="prompts change, 6 topics", topics=6, prompt_sd=0.5),
    Scenario(name="prompts change, 12 topics", topics=12, prompt_sd=0.5),
    Scenario(name="prompts change, 18 topics", topics=18, prompt_sd=0.5),
    Scenario(name="prompts change, 6 topics, n 200", topics=6, n=200, prompt_sd=0.5),
    Scenario(name="prompts change, 12 topics, n 200", topics=12, n=200, prompt_sd=0.5),
    Scenario(name="prompts change, 18 topics, n 200", topics=18, n=200, prompt_sd=0.5),
    Scenario(name="prompts change much, 6 topics, n 100", topics=6, n=100, prompt_sd=1.0),
    Scenario(name="prompts change much, 18 topics, n 100", topics=18, n=100, prompt_sd=1.0),
    Scenario(name="topics change, 6 of 3", topics=6, a_topic=3, topic_sd=0.5, prompt_sd=0.2),
    Scenario(name="topics change a little, 6 of 3", topics=6, a_topic=3, topic_sd=0.2, prompt_sd=0.5),
    Scenario(name="topics change, 12 of 3", topics=12, a_topic=3, topic_sd=0.5, prompt_sd=0.2),
    Scenario(name="topics change, uneven", topics=12, a_topic=3, topic_sd=0.5, uneven=True),
    Scenario(name="topics change, a quarter missing", topics=12, a_topic=3, topic_sd=0.5, missing=0.25),
)
"""The population target is right, the fixed one wrong."""
SHIFTED = (
    Scenario(name="effect, 6 topics", topics=6, effect=0.5, prompt_sd=0.5),
    Scenario(name="effect, 18 topics", topics=18, effect=0.5, prompt_sd=0.5),
    Scenario(name="effect, 6 topics, n 200", topics=6, n=200, effect=0.5, prompt_sd=0.5),
    Scenario(name="effect, 18 topics, n 200", topics=18, n=200, effect=0.5, prompt_sd=0.5),
    Scenario(name="effect, 18 topics, n 100, prompts change much", topics=18, n=100, effect=0.5, prompt_sd=1.0),
    Scenario(name="effect, 6 topics of 3", topics=6, a_topic=3, effect=0.7, topic_sd=0.5, prompt_sd=0.2),
    Scenario(name="effect, uneven", topics=12, a_topic=3, effect=0.5, topic_sd=0.5, uneven=True),
    Scenario(name="effect, a quarter missing", topics=12, a_topic=3, effect=0.5, topic_sd=0.5, missing=0.25),
    Scenario(name="no effect, 12 topics of 3", topics=12, a_topic=3, topic_sd=0.5, prompt_sd=0.2),
)
"""Coverage of both truths."""
FEW = (
    Scenario(name="three completions, 18 topics", topics=18, n=3),
    Scenario(name="three completions, 18 topics, prompts change", topics=18, n=3, prompt_sd=0.5),
)
"""The design of the study that the project starts from: a fixed test of so few is below its level."""
RARE = (
    Scenario(name="rare outcome, effect", topics=18, n=200, effect=1.0, topic_sd=0.5, level=-4.5),
    Scenario(name="rare outcome, few completions", topics=18, n=10, effect=1.0, topic_sd=0.5, level=-4.5),
)
"""The fixed interval; the population one is in `simulation_rare`."""
PLANNED = (
    Scenario(name="power, 6 topics of 3", topics=6, a_topic=3, n=50, effect=0.7, topic_sd=0.4, prompt_sd=0.4),
    Scenario(name="power, 12 topics of 3", topics=12, a_topic=3, n=20, effect=0.4, topic_sd=0.4, prompt_sd=0.3),
    Scenario(name="power, 18 topics of 2", topics=18, a_topic=2, n=100, effect=0.3, topic_sd=0.3, prompt_sd=0.5),
    Scenario(name="power, 10 topics", topics=10, n=25, effect=0.5, prompt_sd=0.5),
    Scenario(name="power, 30 topics of 2", topics=30, a_topic=2, n=10, effect=0.25, topic_sd=0.4),
)
"""Power as planned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws:
    """Replicates of one scenario; arrays of shape (R, P)."""

    x1: Floats
    x0: Floats
    n1: Floats
    n0: Floats
    p1: Floats
    p0: Floats
    topic: npt.NDArray[np.int64]
    """Shape (P,)."""
    there: Floats
    """1 where the prompt is in the replicate."""

    @property
    def weights(self) -> Floats:
        """What each prompt counts in the headline: `Topics.weights`, replicate by replicate."""
        member = membership(self.topic)
        found: Floats = self.there / (self.there @ member)[:, self.topic] / member.shape[1]
        return found

    def topic_means(self, values: Floats) -> Floats:
        """Mean inside each topic, shape (R, G): `Topics.means`."""
        member = membership(self.topic)
        found: Floats = (values * self.there) @ member / (self.there @ member)
        return found


def expit(x: Floats) -> Floats:
    """Inverse logit."""
    found: Floats = 1 / (1 + np.exp(-x))
    return found


def membership(topic: npt.NDArray[np.int64]) -> Floats:
    """Which prompt belongs to which topic, shape (P, G)."""
    return (topic[:, None] == np.arange(int(topic.max()) + 1)).astype(np.float64)


def simulate(scenario: Scenario, runs: int, seed: int) -> Draws:
    """Draw replicates."""
    rng = np.random.default_rng([seed, *scenario.name.encode()])
    sizes = [1 + k % scenario.a_topic if scenario.uneven else scenario.a_topic for k in range(scenario.topics)]
    topic = np.repeat(np.arange(scenario.topics), sizes)
    shape = (runs, topic.size)
    effect = scenario.effect + rng.normal(0, scenario.topic_sd, (runs, scenario.topics))[:, topic]
    effect = effect + rng.normal(0, scenario.prompt_sd, shape)
    level = rng.normal(scenario.level, SPREAD, shape)
    p1, p0 = expit(level + effect / 2), expit(level - effect / 2)
    if scenario.uneven:
        low, high = max(2, scenario.n // 5), 2 * scenario.n
        n1, n0 = (rng.integers(low, high + 1, shape).astype(np.float64) for _ in range(2))
    else:
        n1 = n0 = np.full(shape, float(scenario.n))
    there = (rng.random(shape) >= scenario.missing).astype(np.float64)
    there[:, np.unique(topic, return_index=True)[1]] = 1.0
    x1, x0 = (rng.binomial(n.astype(int), p).astype(np.float64) for n, p in ((n1, p1), (n0, p0)))
    return Draws(x1=x1, x0=x0, n1=n1, n0=n0, p1=p1, p0=p0, topic=topic, there=there)


def fixed(draws: Draws) -> tuple[Floats, Floats]:
    """Headline difference and its sampling standard error, shape (R,)."""
    weights = draws.weights
    centre = (weights * (draws.x1 / draws.n1 - draws.x0 / draws.n0)).sum(axis=1)
    variance = smoothed_variance(draws.x1, draws.n1) + smoothed_variance(draws.x0, draws.n0)
    return centre, np.sqrt((weights**2 * variance).sum(axis=1))


def population(effects: Floats) -> tuple[Floats, Floats, Floats]:
    """Centre, half-width and p of the t-test on topic means, shape (R,)."""
    found = [population_estimate(row) for row in effects]
    centre = effects.mean(axis=1)
    half = [one.interval.high - row.mean() if one.interval else np.inf for one, row in zip(found, effects, strict=True)]
    return centre, np.array(half), np.array([1.0 if one.p is None else one.p for one in found])


def measure(scenario: Scenario, runs: int, seed: int) -> dict[str, float]:
    """Rejection and coverage of both targets, and the rejections of a t over prompts."""
    draws = simulate(scenario, runs, seed)
    centre, se = fixed(draws)
    z = z_value(0.95)
    difference = draws.x1 / draws.n1 - draws.x0 / draws.n0
    middle, half, p = population(draws.topic_means(difference))
    truth = (draws.weights * (draws.p1 - draws.p0)).sum(axis=1)
    count = draws.there.sum(axis=1)
    mean = (difference * draws.there).sum(axis=1) / count
    spread = np.sqrt((draws.there * (difference - mean[:, None]) ** 2).sum(axis=1) / (count - 1) / count)
    critical = np.array([t_value(0.95, df) for df in count - 1])
    return {
        "fixed_rejects": float(np.mean(np.abs(centre) > z * se)),
        "fixed_covers": float(np.mean(np.abs(centre - truth) <= z * se)),
        "population_rejects": float(np.mean(p < 0.05)),
        "population_covers": float(np.mean(np.abs(middle - scenario.truth) <= half)),
        "prompts_as_units_reject": float(np.mean(np.abs(mean) > critical * spread)),
    }


def check(scenario: Scenario, seed: int, runs: int = 5) -> float:
    """Largest difference between the vectorised numbers and those of a whole `contrast`, over some replicates."""
    draws = simulate(scenario, runs, seed)
    centre, se = fixed(draws)
    _, half, p = population(draws.topic_means(draws.x1 / draws.n1 - draws.x0 / draws.n0))
    worst = 0.0
    for run in range(runs):
        cells = [
            Cell(
                prompt_id=str(j),
                topic=str(draws.topic[j]),
                tuned=_outcomes(draws.x1[run, j], draws.n1[run, j]),
                reference=_outcomes(draws.x0[run, j], draws.n0[run, j]),
            )
            for j in np.flatnonzero(draws.there[run])
        ]
        found = contrast(cells, Design(binary=True), ABOUT, rng=np.random.default_rng(0))
        assert found is not None
        assert found.population.interval is not None
        pairs = [(found.difference, centre[run]), (found.fixed.se, se[run]), (found.population.p, p[run])]
        pairs += [(found.population.interval.high - found.difference, half[run])]
        worst = max(worst, *(abs(float(ours or 0.0) - float(here)) for ours, here in pairs))
    return worst


ABOUT = About(
    measure="m",
    scorer="s",
    outcome="value",
    unit="share",
    direction="",
    tuned="t",
    reference="r",
    decoding_id="",
    language="pt",
    role="primary",
)


def _outcomes(successes: float, n: float) -> Floats:
    return (np.arange(int(n)) < int(successes)).astype(np.float64)


def exact(scenario: Scenario, runs: int, seed: int) -> float:
    """Rejections of the exact permutation within prompts: counts are equal in all prompts."""
    draws = simulate(scenario, runs, seed)
    n = [scenario.n] * draws.topic.size
    rejected = [
        stratified_exact(up.astype(int).tolist(), n, down.astype(int).tolist(), n) < 0.05
        for up, down in zip(draws.x1, draws.x0, strict=True)
    ]
    return float(np.mean(rejected))


# ---------------------------------------------------------------------------- planner


def components(scenario: Scenario, draws: int = 4_000, inner: int = 200) -> planner.Components:
    """τ², ω² and within of a scenario's differences of rates, by integration."""
    rng = np.random.default_rng([7, *scenario.name.encode()])
    u = rng.normal(0, scenario.topic_sd, (draws, 1))
    effect = scenario.effect + u + rng.normal(0, scenario.prompt_sd, (draws, inner))
    level = rng.normal(scenario.level, SPREAD, (draws, inner))
    p1, p0 = expit(level + effect / 2), expit(level - effect / 2)
    d = p1 - p0
    prompt = float(d.var(axis=1, ddof=1).mean())
    topic = max(0.0, float(d.mean(axis=1).var(ddof=1)) - prompt / inner)
    return planner.Components(topic=topic, prompt=prompt, within=float((p1 * (1 - p1) + p0 * (1 - p0)).mean()))


def planned(scenario: Scenario, runs: int, seed: int) -> dict[str, float]:
    """Power as the planner gives it from the true variances, and as simulated."""
    prompts = scenario.topics * scenario.a_topic
    cell = planner.cell(components(scenario), scenario.topics, prompts, scenario.n, scenario.truth)
    assert cell.power is not None
    return {"planned": cell.power, "simulated": measure(scenario, runs, seed)["population_rejects"]}


def main() -> None:
    """Run every cell and write the record."""
    from benchmarks.simulation_corrections import LABELLED, corrected
    from benchmarks.simulation_coupled import COUPLED, LOOKED_AT, looked, paired

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=4_000)
    parser.add_argument("--exact", type=int, default=400, help="replicates of the exact permutation")
    parser.add_argument("--seed", type=int, default=20_250)
    parser.add_argument("--out", type=Path, default=None)
    given = parser.parse_args()
    start = time.process_time()
    record: dict[str, Mapping[str, Any] | Any] = {"version": __version__, "runs": given.runs, "seed": given.seed}
    record["targets"] = {
        case.name: measure(case, given.runs, given.seed) for case in (*NULL, *RANDOM, *SHIFTED, *FEW, *RARE)
    }
    record["planner"] = {case.name: planned(case, given.runs, given.seed) for case in PLANNED}
    record["corrections"] = {case.name: corrected(case, given.runs, given.seed) for case in LABELLED}
    record["coupled pairs"] = {case.name: paired(case, given.runs, given.seed) for case in COUPLED}
    record["looks"] = {name: looked(name, given.runs, given.seed) for name in LOOKED_AT}
    record["exact permutation"] = {
        case.name: exact(case, given.exact, given.seed)
        for case in (*NULL, *RANDOM)
        if not case.uneven and not case.missing
    }
    record["cpu_seconds"] = round(time.process_time() - start, 1)
    text = json.dumps(record, ensure_ascii=False, indent=1)
    print(text)
    if given.out is not None:
        given.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
