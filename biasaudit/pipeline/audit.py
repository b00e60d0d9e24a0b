"""The stages that need no model: score, analyse and report what a run has stored; and verify it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biasaudit import __version__, identity
from biasaudit.errors import UsageError
from biasaudit.pipeline.outcome import Outcome
from biasaudit.pipeline.plan import RunPlan
from biasaudit.pipeline.progress import Console
from biasaudit.records import Arm, Completion, Decoding, Score

if TYPE_CHECKING:
    from biasaudit.results import Analysis
    from biasaudit.store.run import RunFolder

FROM = {"score": 0, "analyse": 1, "report": 2}
REPORT = "report.html"


def stored_plan(folder: RunFolder) -> RunPlan:
    """The plan that a run folder was made by, from its manifest and its copy of the battery."""
    from biasaudit.battery.read import read_battery

    manifest = folder.manifest
    folder.read_bytes("battery.yaml")
    battery = read_battery(folder.path / "battery.yaml")
    language = manifest["language"]
    decodings = []
    for entry in manifest["decodings"]:
        fields = {key: value for key, value in entry.items() if key != "decoding_id"}
        decodings.append(Decoding(**{**fields, "stop": tuple(fields["stop"])}))
    return RunPlan(
        battery=battery,
        arms=tuple(Arm(**entry) for entry in manifest["arms"]),
        language=language,
        prompts=tuple(p for p in battery.prompts if p.language == language),
        decodings=tuple(decodings),
        completions=manifest["completions"],
        seed=manifest["seed"],
        memory={},
        precision=manifest["precision"],
    )


def wanted_completions(folder: RunFolder, plan: RunPlan) -> Iterator[Completion]:
    """Stored completions that this plan asks for; a run may hold more (earlier batteries, decodings, counts)."""
    from biasaudit.pipeline.complete import COMPLETIONS
    from biasaudit.store.tables import completions_from_table

    arms = {(a.fingerprint, a.salt) for a in plan.arms}
    prompts = {p.prompt_id for p in plan.prompts}
    counts = {d.decoding_id: plan.completions_of(d) for d in plan.decodings}
    for table in folder.tables(COMPLETIONS):
        for row in completions_from_table(table):
            if (
                row.index < counts.get(row.decoding_id, 0)
                and row.seed == plan.seed
                and row.prompt_id in prompts
                and (row.arm_fingerprint, row.salt) in arms
            ):
                yield row


def score(folder: RunFolder, plan: RunPlan, console: Console) -> None:
    """Score every wanted completion, gather the likelihood scores, and write one table a measure."""
    from biasaudit.pipeline.score import score_completions
    from biasaudit.store.tables import scores_table

    found = score_completions(plan.battery, plan.language, wanted_completions(folder, plan))
    gathered = likelihood_scores(folder, plan)
    for name, scores in {**found, **gathered}.items():
        folder.write_table(f"scores/{identity.safe_name(name)}.parquet", scores_table(scores))
    console.say(f"scored: {', '.join(f'{n} {len(s):,}' for n, s in {**gathered, **found}.items())}")


def likelihood_scores(folder: RunFolder, plan: RunPlan) -> dict[str, list[Score]]:
    """Every likelihood measure's scores, gathered from the parts of all arms."""
    from biasaudit.pipeline.complete import LIKELIHOODS, likelihood_measures, likelihood_unit
    from biasaudit.store.tables import scores_from_table

    units = {
        likelihood_unit(plan, arm, measure): measure.name for measure in likelihood_measures(plan) for arm in plan.arms
    }
    gathered: dict[str, list[Score]] = {measure.name: [] for measure in likelihood_measures(plan)}
    for path, table in zip(folder.parts(LIKELIHOODS), folder.tables(LIKELIHOODS), strict=True):
        unit = path.name.split("-")[1]
        if unit in units:
            gathered[units[unit]].extend(scores_from_table(table))
    return gathered


def stored_scores(folder: RunFolder, plan: RunPlan) -> dict[str, list[Score]]:
    """Every measure's scores as they are stored."""
    from biasaudit.store.tables import scores_from_table

    return {
        measure.name: list(scores_from_table(folder.read_table(f"scores/{identity.safe_name(measure.name)}.parquet")))
        for measure in plan.battery.measures
    }


def compute(folder: RunFolder, plan: RunPlan) -> Analysis:
    """The analysis of what is stored; a pure function of it."""
    from biasaudit.pipeline.analyse import analyse as analyse_scores

    name_of = {(a.fingerprint, a.salt): a.name for a in plan.arms}
    stored: Counter[str] = Counter({a.name: 0 for a in plan.arms})
    numerics: dict[str, set[str]] = {a.name: set() for a in plan.arms}
    for row in wanted_completions(folder, plan):
        arm = name_of[row.arm_fingerprint, row.salt]
        stored[arm] += 1
        numerics[arm].add(row.numerics)
    return analyse_scores(
        plan.battery,
        plan.language,
        plan.arms,
        stored_scores(folder, plan),
        decodings=plan.decodings,
        completions=dict(stored),
        wanted={a.name: plan.wanted_per_arm for a in plan.arms},
        numerics=numerics,
    )


def analyse(folder: RunFolder, plan: RunPlan, console: Console) -> Analysis:
    """Analyse and store `analysis.json` and the CSV tables."""
    analysis = compute(folder, plan)
    folder.write_json("analysis.json", analysis)
    for name, rows in tables(analysis).items():
        write_csv(folder, f"tables/{name}.csv", rows)
    console.say(f"analysed: {len(analysis.contrasts)} contrasts")
    return analysis


def tables(analysis: Analysis) -> dict[str, list[dict[str, Any]]]:
    """The analysis as flat rows: contrasts, topics, prompts, compositions."""
    found: dict[str, list[dict[str, Any]]] = {"contrasts": [], "topics": [], "prompts": [], "compositions": []}
    for contrast in analysis.contrasts:
        row = identity.plain(contrast)
        inner = {key: row.pop(key) for key in ("prompts", "topics")}
        found["contrasts"].append(flat(row))
        about = {key: row[key] for key in ("measure", "outcome", "tuned", "reference", "decoding_id", "role", "unit")}
        for kind, rows in inner.items():
            found[kind] += [flat({**about, **entry}) for entry in rows]
    found["compositions"] = [flat(identity.plain(entry)) for entry in analysis.compositions]
    return found


def flat(row: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as `outer_inner` columns."""
    out: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, Mapping):
            out.update(flat(value, f"{prefix}{key}_"))
        else:
            out[prefix + key] = value
    return out


def write_csv(folder: RunFolder, relative: str, rows: list[dict[str, Any]]) -> None:
    """Write rows as CSV whose cells no spreadsheet will run."""
    from biasaudit.store.export import csv_bytes

    columns = list(dict.fromkeys(key for row in rows for key in row))
    folder.write_bytes(relative, csv_bytes(columns, [[row.get(c) for c in columns] for row in rows]))


def report(folder: RunFolder, plan: RunPlan, locale: str) -> Outcome:
    """Render the page, seal the run, and say the verdict and where the page is."""
    from biasaudit.pipeline.corpus_page import link_cards
    from biasaudit.pipeline.render import build_view, render_report, verdict_sentence

    analysis = read_analysis(folder)
    if complete(folder, plan, analysis):
        folder.update_manifest({"status": "done"})
    view = build_view(
        plan.battery,
        plan.language,
        plan.arms,
        analysis,
        wanted_completions(folder, plan),
        stored_scores(folder, plan),
        folder.manifest,
        decodings=plan.decodings,
        run_id=folder.path.name,
        corpora=link_cards(folder, plan.arms, locale),
    )
    folder.write_text(REPORT, render_report(view, locale))
    folder.seal()
    sentence = verdict_sentence(analysis, plan.arms, plan.battery, locale)
    path = folder.path / REPORT
    return Outcome(
        text=f"{sentence}\n{path}",
        data={"report": str(path), "verdict": sentence, "analysis": identity.plain(analysis)},
    )


def complete(folder: RunFolder, plan: RunPlan, analysis: Analysis) -> bool:
    """Whether everything that the plan asks of its arms is stored; `score` also works on a run that was cut short."""
    from biasaudit.pipeline.arms import answers_likelihoods
    from biasaudit.pipeline.complete import LIKELIHOODS, likelihood_measures, likelihood_unit

    asked = [arm for arm in plan.arms if answers_likelihoods(arm)]
    owed = {likelihood_unit(plan, arm, measure) for measure in likelihood_measures(plan) for arm in asked}
    return bool(analysis.counts["stored"] == analysis.counts["wanted"]) and owed <= folder.units_done(LIKELIHOODS)


def read_analysis(folder: RunFolder) -> Analysis:
    """`analysis.json` back as values."""
    from biasaudit.results import analysis_from_json

    return analysis_from_json(folder.read_json("analysis.json"))


def again(stage: str, path: Path, *, report_language: str | None, quiet: bool) -> Outcome:
    """Repeat a stage, and those after it, from what is stored."""
    folder = open_run(path)
    console = Console(quiet=quiet)
    with folder.lock():
        refuse_too_early(folder, stage)
        plan = stored_plan(folder)
        if FROM[stage] <= FROM["score"]:
            score(folder, plan, console)
        if FROM[stage] <= FROM["analyse"]:
            analyse(folder, plan, console)
        return report(folder, plan, report_language or plan.language)


def open_run(path: Path) -> RunFolder:
    """Open a run folder that the user named."""
    from biasaudit.store.run import RunFolder

    if not (path / "manifest.json").is_file():
        hint = f"{path.parent}: `biasaudit ls` lists runs" if path.exists() else "`biasaudit ls` lists runs"
        raise UsageError(f"{path} is not a run folder: it holds no manifest.json. {hint}")
    return RunFolder.open(path)


def refuse_too_early(folder: RunFolder, stage: str) -> None:
    """Say which command comes first, where a run was cut short before what `stage` reads was made.

    Raises:
        UsageError: it was.
    """
    if "decodings" not in folder.manifest or not folder.has("battery.yaml"):
        raise UsageError(f"{folder.path}: this run was cut short at its start; repeat its `biasaudit run` command")
    made = {"score": "battery.yaml", "analyse": "scores", "report": "analysis.json"}[stage]
    if not (folder.path / made).exists():
        raise UsageError(
            f"{folder.path}: this run was cut short, so there is no {made} yet; repeat its `biasaudit run` command, "
            f"or `biasaudit score {folder.path}` for what is stored"
        )


def verify(path: Path) -> Outcome:
    """Check every file against its hash, and the stored analysis against one made anew from completions and scores."""
    folder = open_run(path)
    faults = list(folder.verify())
    if not faults:
        refuse_too_early(folder, "report")
        plan = stored_plan(folder)
        if identity.canonical_json(compute(folder, plan)) != identity.canonical_json(folder.read_json("analysis.json")):
            before = folder.manifest["versions"]["biasaudit"]
            faults.append(
                f"{folder.path / 'analysis.json'}: a new analysis of the stored scores gives other numbers (biasaudit "
                f"{before} made the run, this is {__version__}; `biasaudit analyse {folder.path}` makes it anew)"
            )
        faults += rescored(folder, plan)
    text = "\n".join(faults) if faults else f"{path}: every file matches its hash and every number was recomputed"
    return Outcome(text=text, data={"faults": faults}, exit_code=1 if faults else 0)


def rescored(folder: RunFolder, plan: RunPlan) -> list[str]:
    """Measures whose stored scores differ from a new scoring of the stored completions and likelihoods."""
    from biasaudit.pipeline.score import score_completions
    from biasaudit.store.tables import scores_from_table, scores_table

    found = score_completions(plan.battery, plan.language, wanted_completions(folder, plan))
    found |= likelihood_scores(folder, plan)
    stored = stored_scores(folder, plan)
    return [
        f"scores of '{name}': a new scoring of what is stored differs"
        for name, scores in found.items()
        if list(scores_from_table(scores_table(scores))) != stored[name]
    ]
