"""Scores made anew from what a run keeps, and held against those that it stores; nothing is asked of anybody."""

from __future__ import annotations

from biasaudit.errors import StoreError
from biasaudit.pipeline.audit import likelihood_scores, score_file, scored_pieces
from biasaudit.pipeline.progress import Console
from biasaudit.pipeline.stored import Stored


def rescored(stored: Stored) -> list[str]:
    """Measures whose stored scores differ from a new scoring of the stored completions and likelihoods."""
    from biasaudit.pipeline.copying_summary import as_before
    from biasaudit.pipeline.score import measures_reading
    from biasaudit.store.contents import parquet_table
    from biasaudit.store.tables import same_rows, scores_table

    folder, console = stored.folder, Console(quiet=True)
    corpora, gone = as_before(folder, stored.plan, console)
    found = {name: scores_table(scores) for name, scores in likelihood_scores(folder, stored.plan).items()}
    read = measures_reading(stored.plan.battery, "completions")
    judges = [measure for measure in read if measure.scorer == "judge"]
    # A judge whose answers are lost must not keep the other measures from being checked.
    for own in [[measure for measure in read if measure not in judges], *([judge] for judge in judges)]:
        try:
            scored = scored_pieces(stored, console, own, corpora, only_kept=True)
        except StoreError as error:
            gone |= {measure.name: str(error) for measure in own}
            continue
        found |= {name: parquet_table(p.finish(), folder.path / score_file(name)) for name, p in scored.items()}
    return [*gone.values()] + [
        f"scores of '{name}': a new scoring of what is stored differs"
        for name, table in found.items()
        if name not in gone and not same_rows(table, folder.read_table(score_file(name)))
    ]
