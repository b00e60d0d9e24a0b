"""Well-formed tables whose ids or dates are not what tells a record's start: pandas writes them every day."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from biasaudit.corpus import sources
from biasaudit.corpus.reading import SourceOptions

DATES = {
    "some are empty": ["", "2021-03-05 10:00:00", "2021-03-06 10:00:00"],
    "two forms": ["1614938400", "2021-03-05 10:00:00", "05/03/2021"],
    "in words": ["5 de março de 2021", "6 de março de 2021"],
    "the last is bad": ["2021-03-05 10:00:00"] * 11 + ["ontem"],
}
ORDERS = [("id", "message", "date"), ("id", "date", "message"), ("message", "date"), ("id", "mensagem", "data")]


@pytest.mark.parametrize("dates", DATES.values(), ids=DATES)
@pytest.mark.parametrize("columns", ORDERS, ids=",".join)
@pytest.mark.parametrize("delimiter", [",", ";"])
def test_every_row_that_csv_reads_is_a_record(
    tmp_path: Path, dates: list[str], columns: tuple[str, ...], delimiter: str
) -> None:
    path = tmp_path / "export.csv"
    texts = [f'Linha {n}, com vírgula; "aspas"\ne outra linha' if n % 3 else f"curta {n}" for n in range(60)]
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, delimiter=delimiter, lineterminator="\n")
        writer.writerow(columns)
        for n, text in enumerate(texts):
            date = dates[n * len(dates) // 60]
            values = {"id": n, "message": text, "mensagem": text, "date": date, "data": date}
            writer.writerow([values[name] for name in columns])
    survey = sources.survey(path, SourceOptions())
    batches = list(sources.stretch(survey, 0, survey.size))
    assert [text for batch in batches for text in batch.text.to_pylist()] == texts
    assert not any(batch.rejects for batch in batches)
