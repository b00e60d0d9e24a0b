"""The stages that need no model: score, analyse and report what a run has stored; and verify it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biasaudit import __version__, identity
from biasaudit.errors import UsageError
from biasaudit.pipeline import until
from biasaudit.pipeline.outcome import Outcome
from biasaudit.pipeline.plan import RunPlan
from biasaudit.pipeline.progress import Console
from biasaudit.pipeline.stored import Stored
from biasaudit.records import Arm, Decoding, Measure, Score

if TYPE_CHECKING:
    from biasaudit.results import Analysis
    from biasaudit.scoring.copying import TrainingText
    from biasaudit.stats.readings import ScoreColumns
    from biasaudit.store.contents import ParquetPieces
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
    plan = RunPlan(
        battery=battery,
        arms=tuple(Arm(**entry) for entry in manifest["arms"]),
        language=language,
        prompts=tuple(p for p in battery.prompts if p.language == language),
        decodings=tuple(decodings),
        completions=manifest["completions"],
        seed=manifest["seed"],
        memory={},
        precision=manifest["precision"],
        corpora=manifest.get("corpora", {}),
    )
    return until.restored(plan, manifest)


def score(stored: Stored, console: Console) -> None:
    """Score every wanted completion, gather the likelihood scores, and write one table a measure."""
    from biasaudit.pipeline.copying import open_corpora
    from biasaudit.pipeline.copying_summary import write_summary
    from biasaudit.store.tables import scores_table

    said = {}
    for name, scores in likelihood_scores(stored.folder, stored.plan).items():
        stored.folder.write_table(score_file(name), scores_table(scores))
        said[name] = len(scores)
    corpora = open_corpora(stored.plan, console)
    for name, pieces in scored_pieces(stored, console, corpora=corpora).items():
        stored.folder.write_bytes(score_file(name), pieces.finish())
        said[name] = pieces.rows
    write_summary(stored.folder, stored.plan, corpora)
    console.say(f"scored: {', '.join(f'{name} {count:,}' for name, count in said.items())}")


def scored_pieces(
    stored: Stored,
    console: Console,
    measures: Sequence[Measure] | None = None,
    corpora: Mapping[str, TrainingText] | None = None,
    *,
    only_kept: bool = False,
) -> dict[str, ParquetPieces]:
    """Measure -> the scores of every wanted completion, in key order; a few thousand are objects at a time.

    Args:
        stored: the run.
        console: where progress is shown.
        measures: some of those that read completions; all of them when None.
        corpora: measure name -> the training corpora that its completions are held against.
        only_kept: whether judges are asked nothing, and answer with what the run keeps alone.
    """
    from biasaudit import scoring
    from biasaudit.pipeline.score import completion_scorer, measures_reading
    from biasaudit.store.contents import ParquetPieces
    from biasaudit.store.labels import read_labels
    from biasaudit.store.tables import SCORES, completions_from_table, scores_table

    plan = stored.plan
    measures = measures_reading(plan.battery, "completions") if measures is None else measures
    pieces = {measure.name: ParquetPieces(SCORES) for measure in measures}
    if not measures:
        return pieces
    said = read_labels(stored.folder)
    scorer = completion_scorer(
        plan.battery, plan.language, measures, said, corpora, stored.folder.path, only_kept=only_kept
    )
    tokens = any(scoring.card(measure.scorer).reads_tokens for measure in measures)
    total = sum(stored.by_arm()[0].values())
    with console.task("score", total, "completions") as task:
        for table in stored.tables(tokens=tokens):
            for name, scores in scorer(completions_from_table(table, tokens=tokens)).items():
                pieces[name].add(scores_table(scores))
            task.advance(table.num_rows)
    return pieces


def score_file(measure: str) -> str:
    """Where a measure's scores are kept in the run."""
    return f"scores/{identity.safe_name(measure)}.parquet"


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


class ScoreColumnsOf(Mapping[str, "ScoreColumns"]):
    """Measure -> its stored scores as columns, read when they are asked for: one measure is in memory at a time."""

    def __init__(self, folder: RunFolder, plan: RunPlan) -> None:
        """Read from `folder`."""
        self._folder = folder
        self._names = [measure.name for measure in plan.battery.measures]

    def __getitem__(self, name: str) -> ScoreColumns:
        from biasaudit.pipeline.stored import score_columns
        from biasaudit.store.tables import SCORES

        columns = [column for column in SCORES.names if column != "spans"]
        return score_columns(self._folder.read_table(score_file(name), columns))

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names


def compute(stored: Stored) -> Analysis:
    """The analysis of what is stored; a pure function of it."""
    from biasaudit.pipeline.analyse import analyse as analyse_scores
    from biasaudit.pipeline.beside import read_beside
    from biasaudit.pipeline.lock_content import lock_badges, registration
    from biasaudit.pipeline.texts import texts_of
    from biasaudit.store.labels import read_labels

    plan = stored.plan
    counts, numerics = stored.by_arm()
    found = analyse_scores(
        plan.battery,
        plan.language,
        plan.arms,
        ScoreColumnsOf(stored.folder, plan),
        decodings=plan.decodings,
        completions=counts,
        wanted={a.name: plan.wanted_per_arm for a in plan.arms},
        numerics=numerics,
        stopping=until.stopping_of(plan, stored.folder.manifest),
        labels=read_labels(stored.folder),
        texts=texts_of(stored),
        beside=read_beside(stored.folder),
    )
    lock = registration(plan, stored.folder.manifest)
    return dataclasses.replace(found, lock=lock, badges={**found.badges, **lock_badges(lock)})


def analyse(stored: Stored, console: Console) -> Analysis:
    """Analyse and store `analysis.json` and the tables."""
    from biasaudit.pipeline.results_table import write_results

    folder = stored.folder
    analysis = compute(stored)
    folder.write_json("analysis.json", analysis)
    write_results(folder, analysis)
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
    people = [row for own in analysis.labelling for row in (*own.agreement, *own.checks)]
    if people:
        raters = [{"raters": ", ".join(row.details.get("raters", ()))} for row in people]
        found["labelling"] = [
            flat({**identity.plain(row), "details": who}) for row, who in zip(people, raters, strict=True)
        ]
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


def report(stored: Stored, locale: str) -> Outcome:
    """Render the page, seal the run, and say the verdict and where the page is."""
    from biasaudit.pipeline.arms import conditions
    from biasaudit.pipeline.complete import likelihood_measures
    from biasaudit.pipeline.copying_summary import read_summary, within_strings
    from biasaudit.pipeline.corpus_page import link_cards
    from biasaudit.pipeline.render import MAX_ROWS, build_view, choose, render_report
    from biasaudit.pipeline.stored import as_arrays
    from biasaudit.store.tables import completions_from_table

    folder, plan = stored.folder, stored.plan
    analysis = read_analysis(folder)
    done = complete(folder, plan, analysis)
    folder.update_manifest({"report_language": locale, **({"status": "done"} if done else {})})
    slots = choose(stored.slots(), plan.battery.seed, MAX_ROWS)
    only = as_arrays(slots)
    shown = stored.tables(tokens=False, only=only)
    view = build_view(
        plan.battery,
        plan.language,
        plan.arms,
        analysis,
        (row for table in shown for row in completions_from_table(table, tokens=False)),
        reader_scores(stored, only),
        folder.manifest,
        decodings=plan.decodings,
        run_id=folder.path.name,
        badges=conditions(plan.arms, likelihoods=bool(likelihood_measures(plan))),
        corpora=link_cards(folder, plan.arms, locale),
        slots=slots,
        total=sum(stored.by_arm()[0].values()),
        within=within_strings(folder),
    )
    view = dataclasses.replace(view, copying=read_summary(folder))
    folder.write_text(REPORT, render_report(view, locale))
    folder.seal()
    return outcome(folder, plan, analysis, locale)


def reader_scores(stored: Stored, only: Mapping[tuple[str, str], Any]) -> dict[str, list[Score]]:
    """Measure -> the scores of the completions that the reader shows."""
    from biasaudit.pipeline.score import measures_reading
    from biasaudit.pipeline.stored import rows_of
    from biasaudit.store.tables import scores_from_table

    return {
        measure.name: list(scores_from_table(rows_of(stored.folder.read_table(score_file(measure.name)), only)))
        for measure in measures_reading(stored.plan.battery, "completions")
    }


def outcome(folder: RunFolder, plan: RunPlan, analysis: Analysis, locale: str) -> Outcome:
    """What a run says on the terminal when it is done."""
    from biasaudit.pipeline.render import verdict_sentence

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


def again(stage: str, path: Path, *, report_language: str | None, quiet: bool, beside: Sequence[Path] = ()) -> Outcome:
    """Repeat a stage, and those after it, from what is stored; with `beside`, runs in other languages laid beside."""
    from biasaudit.pipeline.beside import lay_beside

    folder = open_run(path)
    console = Console(quiet=quiet)
    with folder.lock():
        refuse_too_early(folder, stage)
        if beside:
            lay_beside(folder, beside)
        stored = Stored(folder, stored_plan(folder))
        if FROM[stage] <= FROM["score"]:
            score(stored, console)
        if FROM[stage] <= FROM["analyse"]:
            analyse(stored, console)
        return report(stored, report_language or stored.plan.language)


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
    from biasaudit.pipeline.rescored import rescored
    from biasaudit.store.contents import unvouched

    folder = open_run(path)
    faults = list(folder.verify())
    if not faults:
        refuse_too_early(folder, "report")
        stored = Stored(folder, stored_plan(folder))
        if identity.canonical_json(compute(stored)) != identity.canonical_json(folder.read_json("analysis.json")):
            before = folder.manifest["versions"]["biasaudit"]
            faults.append(
                f"{folder.path / 'analysis.json'}: a new analysis of the stored scores gives other numbers (biasaudit "
                f"{before} made the run, this is {__version__}; `biasaudit analyse {folder.path}` makes it anew)"
            )
        faults += rescored(stored)
        faults += until.faults(stored.plan, folder)
        if unknown := unvouched(folder.path):
            faults.append(
                f"{', '.join(unknown)}: no hash is known, for the last command on this run was cut short; repeat it, "
                f"or `biasaudit report {path}`"
            )
    text = "\n".join(faults) if faults else f"{path}: every file matches its hash and every number was recomputed"
    return Outcome(text=text, data={"faults": faults}, exit_code=1 if faults else 0)
