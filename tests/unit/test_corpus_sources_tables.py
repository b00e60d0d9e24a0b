"""Parquet files and data sets: exact ids, helpful errors, no silent damage."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from biasaudit.corpus import sources
from biasaudit.corpus.batch import Batch, kept
from biasaudit.corpus.reading import FIELD_LIMIT, SourceOptions, Survey
from biasaudit.errors import CorpusError


def look(path: Path, **options: Any) -> Survey:
    return sources.survey(path, SourceOptions(**options), kind="parquet")


def read(path: Path, **options: Any) -> Batch:
    found = look(path, **options)
    (batch,) = sources.stretch(found, 0, found.size)
    batch.check(path.name)
    return batch


def table(folder: Path, columns: dict[str, Any], **style: Any) -> Path:
    path = folder / "a.parquet"
    pq.write_table(pa.table(columns), path, **style)
    return path


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.dictionary(pa.int32(), pa.string())]
)
def test_any_column_of_texts_is_read(tmp_path: Path, kind: pa.DataType) -> None:
    values = pa.array(["ação", None, "ação"], pa.binary() if kind == pa.binary() else pa.string()).cast(kind)
    assert read(table(tmp_path, {"message": values})).text.to_pylist() == ["ação", "", "ação"]


def test_ids_and_dates_of_any_type_become_exact_texts(tmp_path: Path) -> None:
    columns = {
        "id": pa.array([2**63 + 5, None], pa.uint64()),
        "channel_id": [-1001234567890123456, 2],
        "date": pa.array([1_600_000_000_000, None], pa.timestamp("ms", "UTC")),
        "text": ["a", "b"],
    }
    found = read(table(tmp_path, columns))
    assert found.message_id.to_pylist() == [str(2**63 + 5), None]
    assert found.channel_id.to_pylist() == ["-1001234567890123456", "2"]
    assert found.date.to_pylist() == ["2020-09-13 12:26:40.000Z", None]


def test_fields_of_structures_are_mapped_and_filtered(tmp_path: Path) -> None:
    posts = [{"body": "um", "lang": "pt"}, None, {"body": "três", "lang": "en"}]
    found = read(table(tmp_path, {"post": posts}), columns={"post.body": "text"}, where={"post.lang": "pt"})
    assert found.text.to_pylist() == ["um", "", "três"]
    assert kept(found).tolist() == [True, False, False]


def test_missing_and_unfit_columns_are_answered_with_the_columns(tmp_path: Path) -> None:
    path = table(tmp_path, {"corpo": ["a"], "n": [1], "tags": [["x"]]})
    with pytest.raises(CorpusError, match=r"no column is called text or message.*--map COLUMN=text.*corpo, n, tags"):
        look(path)
    with pytest.raises(CorpusError, match=r"no column 'corpu'\. Did you mean 'corpo'"):
        look(path, columns={"corpu": "text"})
    with pytest.raises(CorpusError, match="column 'n' holds int64, which cannot be read as text"):
        look(path, columns={"n": "text"})
    with pytest.raises(CorpusError, match="column 'tags' holds list"):
        look(path, columns={"corpo": "text", "tags": "id"})


def test_bytes_that_are_no_text_are_flagged(tmp_path: Path) -> None:
    values = pa.array(["ação".encode("latin-1"), "é".encode()], pa.binary())
    found = read(table(tmp_path, {"text": values}))
    assert found.text.to_pylist() == ["ação", "é"]
    assert found.flags == {0: ("latin-1",)}


def test_a_text_over_the_limit_is_set_aside(tmp_path: Path) -> None:
    found = read(table(tmp_path, {"text": ["a", "x" * (FIELD_LIMIT + 1), "b"], "id": [1, 2, 3]}), where={"id": "3"})
    assert found.text.to_pylist() == ["a", "b"]
    assert [(r.offset, r.length) for r in found.rejects] == [(1, 1)]
    assert kept(found).tolist() == [False, True]


def test_few_long_texts_repeated_often_come_in_small_batches(tmp_path: Path) -> None:
    path = table(tmp_path, {"text": ["x" * 1_000_000] * 40})
    found = look(path)
    batches = list(sources.stretch(found, 0, found.size))
    assert sum(len(batch) for batch in batches) == 40
    assert max(batch.text.nbytes for batch in batches) < 10_000_000


def test_one_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = table(tmp_path, {"text": [f"texto {n}" for n in range(5000)]}, write_page_checksum=True, compression="none")
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 4
    path.write_bytes(raw)
    with pytest.raises(CorpusError, match="not a sound Parquet file"):
        read(path)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"not parquet" * 99, b"PAR1" + b"\xff" * 99 + b"PAR1"])
def test_what_is_no_parquet_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(content)
    with pytest.raises(CorpusError, match="not a sound Parquet file"):
        look(path)


def test_a_table_without_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="holds no record"):
        look(table(tmp_path, {"text": pa.array([], pa.string())}))


# ---------------------------------------------------------------------------- data sets


def folder_of(tmp_path: Path, rows: int = 30, **splits: int) -> Path:
    folder = tmp_path / "data"
    folder.mkdir(exist_ok=True)
    for split, count in (splits or {"train": rows}).items():
        lines = (json.dumps({"id": 2**60 + n, "text": f"{split} {n}"}) for n in range(count))
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    return folder


def test_a_folder_is_read_by_split(tmp_path: Path) -> None:
    hf = pytest.importorskip("biasaudit.corpus.sources.hf")
    pytest.importorskip("datasets")
    folder = folder_of(tmp_path, train=30, test=5)
    found = hf.open_dataset(f"hf:{folder}", SourceOptions(), tmp_path / "c")
    assert (found.size, found.unit, found.label) == (30, "rows", "hf:data/default@train")
    found = hf.open_dataset(f"hf:{folder}@test", SourceOptions(label="mine"), tmp_path / "c")
    (batch,) = sources.stretch(found, 0, found.size)
    assert batch.text.to_pylist() == [f"test {n}" for n in range(5)]
    assert batch.message_id.to_pylist() == [str(2**60 + n) for n in range(5)]
    with pytest.raises(CorpusError, match=r"no split 'val'\. Splits: train, test; write hf:.*/data@SPLIT"):
        hf.open_dataset(f"hf:{folder}@val", SourceOptions(), tmp_path / "c")
    with pytest.raises(CorpusError, match=r"no column 'texto'\. Did you mean 'text'"):
        hf.open_dataset(f"hf:{folder}", SourceOptions(columns={"texto": "text"}), tmp_path / "c")
    assert str(tmp_path) not in found.label


def test_the_fingerprint_is_that_of_the_content(tmp_path: Path) -> None:
    hf = pytest.importorskip("biasaudit.corpus.sources.hf")
    pytest.importorskip("datasets")
    folder = folder_of(tmp_path)
    seen = [hf.open_dataset(f"hf:{folder}", SourceOptions(), tmp_path / f"c{n}").notes["sha256"] for n in range(2)]
    file = folder / "train.jsonl"
    stamp = file.stat()
    file.write_text(file.read_text("utf-8").replace("train 3", "train 4"), "utf-8")
    import os

    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    seen.append(hf.open_dataset(f"hf:{folder}", SourceOptions(), tmp_path / "c2").notes["sha256"])
    assert seen[0] == seen[1] != seen[2]


def test_names_are_taken_apart_as_people_write_them() -> None:
    from biasaudit.corpus.sources.hf import wanted

    assert wanted("hf:imdb").candidates == (("imdb", None),)
    assert wanted("hf:imdb@test").split == "test"
    assert wanted("hf:wikitext/wikitext-2-raw-v1").candidates == (
        ("wikitext/wikitext-2-raw-v1", None), ("wikitext", "wikitext-2-raw-v1"),
    )  # fmt: skip
    assert wanted("hf:Salesforce/wikitext/wikitext-103-raw-v1").candidates == (
        ("Salesforce/wikitext", "wikitext-103-raw-v1"),
    )
    for bad in ("hf:", "hf:a/b/c/d", "hf:a//b", "hf:a@train[:10%]"):
        with pytest.raises(CorpusError, match="not the name of a data set"):
            wanted(bad)


def test_folders_that_are_missing_or_in_the_way_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hf = pytest.importorskip("biasaudit.corpus.sources.hf")
    pytest.importorskip("datasets")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "imdb").mkdir()
    with pytest.raises(CorpusError, match=r"a folder of this name stands here\. Write hf:\./imdb"):
        hf.open_dataset("hf:imdb", SourceOptions())
    with pytest.raises(CorpusError, match="no such folder"):
        hf.open_dataset("hf:./none", SourceOptions())
    with pytest.raises(CorpusError, match="cannot be opened"):
        hf.open_dataset("hf:./imdb", SourceOptions())


def test_the_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from biasaudit.corpus.sources import hf

    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(CorpusError, match=r"pip install 'biasaudit\[hub\]'"):
        hf.open_dataset("hf:imdb", SourceOptions())
