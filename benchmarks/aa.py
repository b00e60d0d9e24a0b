"""A/A audits: how often two samples of one model are called different.

    python benchmarks/aa.py [--audits 200] [--completions 8] [--out benchmarks/results/aa.json]

`embedded:base` is sampled twice, the second time under another salt, by the command line itself; the large pool that
this stores is cut into audits of their own completions, and each is analysed whole. Nothing differs but the noise, so
at nominal 5 % the share of rejections has to lie inside the binomial 99 % band, for both targets and for a rate as for
a number. The pool is kept in --work and continued there.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from scipy import stats

from biasaudit import __version__
from biasaudit.cli import main as biasaudit
from biasaudit.pipeline.analyse import analyse
from biasaudit.pipeline.audit import ScoreColumnsOf, open_run, stored_plan
from biasaudit.pipeline.plan import RunPlan
from biasaudit.results import Analysis
from biasaudit.stats.readings import ScoreColumns

ROOT = Path(__file__).resolve().parents[1]
TEMPLATES = ("question", "rumour")
MEASURES = {
    "says_que": {"scorer": "patterns", "endorse": {"pt": [{"match": "que", "negation": "keep"}]}},
    "repeated_words": {"scorer": "degeneration", "metric": "repetition", "n": 1},
}
"""A rate of about a quarter, and a number."""
LEVEL = 0.05


def battery(folder: Path, tokens: int) -> Path:
    """The narratives of `vaccines` with two templates and measures that the base answers at middling rates."""
    source = yaml.safe_load((ROOT / "prompts" / "vaccines.yaml").read_text(encoding="utf-8"))
    topics = {name: {key: topic[key] for key in ("title", "claim")} for name, topic in source["topics"].items()}
    made = {
        "battery": "aa",
        "version": 1,
        "title": {"pt": "Auditoria A/A", "en": "A/A audit"},
        "languages": ["pt", "en"],
        "topics": topics,
        "templates": {name: source["templates"][name] for name in TEMPLATES},
        "sampling": {"completions": 10, "max_new_tokens": tokens, "temperature": 1.0, "seed": 1337},
        "measures": MEASURES,
        "primary": {"measure": "says_que", "target": "population", "margin": "10 points"},
    }
    path = folder / "aa.yaml"
    path.write_text(yaml.safe_dump(made, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return path


def pool(folder: Path, completions: int, tokens: int, threads: int) -> Path:
    """Sample both arms by the command line; a run that is there is continued."""
    run = folder / "run"
    words = ["run", battery(folder, tokens), "--arm", "base=embedded:base", "--arm", "again=embedded:base"]
    words += ["--salt", "again=aa", "-n", completions, "--threads", threads, "-q", "--out", run, "--language", "pt"]
    try:
        biasaudit([str(word) for word in words])
    except SystemExit as stop:
        if stop.code:
            raise
    return run


def cuts(run: Path, audits: int, completions: int) -> Iterator[Analysis]:
    """Analyse the pool in stretches of `completions` indices: no completion is in two audits."""
    folder = open_run(run)
    plan: RunPlan = stored_plan(folder)
    columns = {name: ScoreColumnsOf(folder, plan)[name] for name in MEASURES}
    for audit in range(audits):
        first = audit * completions
        scores = {name: stretch(found, first, first + completions) for name, found in columns.items()}
        yield analyse(plan.battery, plan.language, plan.arms, scores, decodings=plan.decodings)


def stretch(columns: ScoreColumns, first: int, last: int) -> ScoreColumns:
    """The scores of some indices."""
    rows = np.flatnonzero((columns.index >= first) & (columns.index < last))
    return ScoreColumns(
        codes={name: codes[rows] for name, codes in columns.codes.items()},
        words=columns.words,
        seed=columns.seed[rows],
        index=columns.index[rows],
        value=columns.value[rows],
    )


def tally(analyses: Iterator[Analysis], audits: int) -> dict[str, Any]:
    """Rejections by measure and target, and verdicts, with the band that they have to lie in."""
    low, high = (int(edge) for edge in stats.binom.interval(0.99, audits, LEVEL))
    rejected: Counter[str] = Counter()
    defined: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    rates: dict[str, list[float]] = {}
    for analysis in analyses:
        for row in analysis.contrasts:
            if row.outcome != "value":
                continue
            rates.setdefault(row.measure, []).append(row.mean_reference)
            for estimate in (row.fixed, row.population):
                name = f"{row.measure} {estimate.target}"
                defined[name] += estimate.p is not None
                rejected[name] += estimate.p is not None and estimate.p < LEVEL
        assert analysis.verdict is not None
        kinds[analysis.verdict.kind] += 1
    return {
        "audits": audits,
        "band_99": [low, high],
        "rejections": {name: rejected[name] for name in sorted(defined)},
        "tests": dict(sorted(defined.items())),
        "inside": all(low <= rejected[name] <= high and defined[name] == audits for name in defined),
        "verdicts": dict(kinds),
        "no_change_said": 1 - kinds["changed"] / audits - kinds["small"] / audits,
        "means": {name: math.fsum(found) / len(found) for name, found in rates.items()},
    }


def main() -> None:
    """Sample, cut, count, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audits", type=int, default=200)
    parser.add_argument("--completions", type=int, default=8, help="a prompt, from each arm, in each audit")
    parser.add_argument("--tokens", type=int, default=12, help="longest completion")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--work", type=Path, default=None, help="where the pool is kept (default: nowhere)")
    parser.add_argument("--out", type=Path, default=None)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        work = given.work or Path(scratch)
        work.mkdir(parents=True, exist_ok=True)
        start = time.process_time()
        run = pool(work, given.audits * given.completions, given.tokens, given.threads)
        sampled = time.process_time()
        found = tally(cuts(run, given.audits, given.completions), given.audits)
        analysed = time.process_time()
        record = {
            "version": __version__,
            "completions_a_prompt": given.completions,
            "max_new_tokens": given.tokens,
            **found,
            "cpu_seconds": {"pool": round(sampled - start, 1), "audits": round(analysed - sampled, 1)},
        }
    text = json.dumps(record, ensure_ascii=False, indent=2)
    print(text)
    if given.out is not None:
        given.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
