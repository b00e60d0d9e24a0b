"""The whole stage on small dumps: what is written, what is refused, and what a kill leaves behind."""

from __future__ import annotations

import csv
import fcntl
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from biasaudit.corpus import split as splitting
from biasaudit.errors import CorpusError, RunLockedError, UnknownNameError, UsageError
from biasaudit.lm.tokenizer import load_tokenizer
from biasaudit.pipeline.ingest import ingest

WORDS = [
    "vacina",
    "governo",
    "saúde",
    "cidade",
    "médico",
    "escola",
    "família",
    "notícia",
    "brasil",
    "gente",
    "hoje",
    "sempre",
    "verdade",
    "jornal",
    "mundo",
]


def sentences(count: int, seed: int = 5) -> list[str]:
    rng = random.Random(seed)
    return [f"{n}: " + " ".join(rng.choice(WORDS) for _ in range(rng.randint(8, 30))) + "." for n in range(count)]


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    path = tmp_path / "dump.csv"
    rows = sentences(300)
    rows[10] += " Fale com maria@gmail.com ou (11) 91234-5678 <|endoftext|> fim"
    rows[20] = rows[19]
    rows[21] = " \u200b "
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(["id", "channel_id", "date", "message"])
        for n, text in enumerate(rows):
            writer.writerow([n, 1000 + n % 7, f"2021-{1 + n // 30:02}-05 10:00:00+00:00", text])
    return path


def hashes(out: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file() and p.name != "manifest.json"
    }


def test_a_corpus_folder_holds_what_its_card_says(dump: Path, tmp_path: Path) -> None:
    out = tmp_path / "corpora" / "one"
    card = ingest([dump], out, train_vocab=400)
    assert card == json.loads((out / "card.json").read_text("utf-8"))
    assert card["records"]["in"] == 300
    assert (card["records"]["duplicates"], card["records"]["empty_after_cleaning"], card["records"]["kept"]) == (
        1,
        1,
        298,
    )
    assert card["personal_data"]["replaced"] == {"EMAIL": 1, "PHONE": 1}
    words = load_tokenizer(out / "tokenizer")
    table = pq.read_table(out / "documents.parquet").to_pylist()
    for side in ("train", "val"):
        shard = np.fromfile(out / f"{side}.bin", dtype="<u2")
        ends = np.flatnonzero(shard == words.eot_id)
        texts = [row["text"] for row in table if row["split"] == side]
        assert len(shard) == card[f"{side}_tokens"]
        assert len(ends) == len(texts) == card[f"{side}_documents"]
        assert ends[-1] == len(shard) - 1
        assert words.decode(shard[: ends[0]]) == texts[0]
        assert sum(len(text.encode()) for text in texts) == card[f"{side}_bytes"]
    assert not any(b"91234" in content or b"maria@" in content for content in hashes(out).values())
    assert [row["copies"] for row in table if row["message_id"] == "19"] == [2]
    channels = {row["channel_id"] for row in table}
    assert len(channels) == 7
    assert all(name.startswith("channel-") and "100" not in name[:11] for name in channels)


def test_the_same_command_again_does_nothing_and_another_is_refused(dump: Path, tmp_path: Path) -> None:
    out = tmp_path / "one"
    card = ingest([dump], out, train_vocab=300)
    before = (out / "train.bin").stat().st_mtime_ns
    notes: list[str] = []
    again = ingest([dump], out, train_vocab=300, progress=lambda stage, done, total, note: notes.append(note))
    assert again == card
    assert notes[-1].startswith("already done")
    assert (out / "train.bin").stat().st_mtime_ns == before
    with pytest.raises(CorpusError, match="--fresh"):
        ingest([dump], out, train_vocab=310)
    assert ingest([dump], out, train_vocab=310, fresh=True)["settings"]["train_vocab"] == 310
    assert sorted(p.name for p in tmp_path.iterdir()) == [".one.lock", "dump.csv", "one"]


def test_other_content_under_the_same_name_and_time_is_noticed(dump: Path, tmp_path: Path) -> None:
    out = tmp_path / "one"
    ingest([dump], out, train_vocab=300)
    stamp = dump.stat()
    dump.write_bytes(dump.read_bytes().replace(b"vacina", b"anicav"))
    os.utime(dump, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    with pytest.raises(CorpusError, match="made from other inputs"):
        ingest([dump], out, train_vocab=300)


def test_a_source_that_changes_while_it_is_read_stops_the_run(dump: Path, tmp_path: Path) -> None:
    def meddle(stage: str, done: float, total: float | None, note: str) -> None:
        if stage == "hashing sources":
            with dump.open("a", encoding="utf-8") as handle:
                handle.write("999,1,2021-01-01,late\n")

    with pytest.raises(CorpusError, match="changed while it was read"):
        ingest([dump], tmp_path / "one", train_vocab=300, progress=meddle)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".one.lock", "dump.csv"]


def test_a_damaged_corpus_is_not_taken_for_a_finished_one(dump: Path, tmp_path: Path) -> None:
    out = tmp_path / "one"
    ingest([dump], out, train_vocab=300)
    shard = out / "train.bin"
    raw = bytearray(shard.read_bytes())
    raw[100] ^= 1
    shard.write_bytes(raw)
    with pytest.raises(CorpusError, match="changed since"):
        ingest([dump], out, train_vocab=300)


@pytest.mark.parametrize("split", splitting.NAMES)
def test_every_split_holds_whole_documents_out(dump: Path, tmp_path: Path, split: str) -> None:
    ingest([dump], tmp_path / "one", train_vocab=300, split=split, held_out=0.2)
    table = pq.read_table(tmp_path / "one" / "documents.parquet").to_pylist()
    train = [row for row in table if row["split"] == "train"]
    val = [row for row in table if row["split"] == "val"]
    assert 0.05 * len(table) < len(val) < 0.4 * len(table)
    assert not {row["text"] for row in train} & {row["text"] for row in val}
    if split == "sequential":
        assert max(row["document"] for row in train) < min(row["document"] for row in val)
    if split == "channel":
        assert not {row["channel_id"] for row in train} & {row["channel_id"] for row in val}
    if split == "date":
        assert max(row["date"] for row in train) < min(row["date"] for row in val)


def test_near_copies_are_dropped_unless_only_exact_ones_are_meant(tmp_path: Path) -> None:
    rows = [" ".join(sentences(4, seed=n)) for n in range(40)]
    rows += [rows[0] + " repassem"]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": row}) + "\n" for row in rows), "utf-8")
    exact = ingest([tmp_path / "a.jsonl"], tmp_path / "exact", train_vocab=300, duplicates="exact")
    assert exact["records"]["kept"] == 41
    card = ingest([tmp_path / "a.jsonl"], tmp_path / "near", train_vocab=300)
    assert (card["records"]["kept"], card["records"]["near_duplicates_among_them"]) == (40, 1)


def test_text_folders_and_json_lines_go_together(tmp_path: Path) -> None:
    folder = tmp_path / "books" / "novel"
    folder.mkdir(parents=True)
    (folder / "a.txt").write_text("\n".join(sentences(200)) + "\n", "utf-8")
    (tmp_path / "ud_x.txt").write_text("\n".join(sentences(60, seed=9)), "latin-1")
    rows = [{"text": text, "label": str(n % 2)} for n, text in enumerate(sentences(30, seed=3))]
    (tmp_path / "news.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + "not json\n", "utf-8")
    card = ingest(
        [tmp_path / "books", tmp_path / "ud_x.txt", tmp_path / "news.jsonl"],
        tmp_path / "out",
        train_vocab=300,
        where={"label": "1"},
        lines_per_document={"ud_*.txt": 10},
        split="hash",
    )
    assert card["documents_per_source"]["ud_x.txt"] == 6
    assert card["documents_per_source"]["news.jsonl"] == 15
    assert card["documents_per_source"]["novel/a.txt"] > 3
    assert card["records"]["filtered"] == 15
    assert card["rejects"] == {"count": 1, "reasons": {"not valid JSON": 1}}
    rejects = (tmp_path / "out" / "rejects.jsonl").read_text("utf-8")
    assert "not json" not in rejects
    assert json.loads(rejects)["length"] == 9


def test_one_writer_at_a_time(dump: Path, tmp_path: Path) -> None:
    with (tmp_path / ".one.lock").open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(RunLockedError, match="another process"):
            ingest([dump], tmp_path / "one", train_vocab=300)


def test_mistakes_are_found_before_anything_is_written(dump: Path, tmp_path: Path) -> None:
    out = tmp_path / "one"
    with pytest.raises(UnknownNameError, match="Did you mean 'hash'"):
        ingest([dump], out, train_vocab=300, split="hahs")
    with pytest.raises(UnknownNameError, match="Did you mean 'bidi'"):
        ingest([dump], out, train_vocab=300, clean=["bidis"])
    with pytest.raises(UsageError, match="between 0 and 1"):
        ingest([dump], out, train_vocab=300, held_out=1.5)
    with pytest.raises(UsageError, match="No source given"):
        ingest([], out, train_vocab=300)
    with pytest.raises(CorpusError, match="cannot be read"):
        ingest([tmp_path / "none.csv"], out, train_vocab=300)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "photo.txt").write_text("mine", "utf-8")
    with pytest.raises(CorpusError, match="is not a corpus folder"):
        ingest([dump], tmp_path / "mine", train_vocab=300, fresh=True)
    assert not out.exists()


def test_a_dump_whose_records_are_not_recognised_says_what_was_expected(tmp_path: Path) -> None:
    path, out = tmp_path / "other.csv", tmp_path / "one"
    lines = [f"{1000 + n};{text}" for n, text in enumerate(sentences(20))]
    path.write_text("\n".join(["id,channel_id,date,message", *lines]) + "\n", encoding="utf-8")
    with pytest.raises(CorpusError, match="start with two numbers and a date") as refused:
        ingest([path], out, train_vocab=300)
    assert "--map COLUMN=text" in str(refused.value)
    kept = tmp_path / "one.rejects.jsonl"
    assert str(kept) in str(refused.value)
    rows = [json.loads(line) for line in kept.read_text(encoding="utf-8").splitlines()]
    assert rows
    assert all(set(row) == {"source", "offset", "length", "reason", "sha256"} for row in rows)
    assert not out.exists()


CHILD = """
import os, signal, sys, threading
from pathlib import Path
from biasaudit.pipeline.ingest import ingest
processes, source, out, moment, delay = sys.argv[1:]
def told(stage, done, total, note):
    if moment and stage.startswith(moment):
        timer = threading.Timer(float(delay), os.kill, (os.getpid(), signal.SIGKILL))
        timer.daemon = True
        timer.start()
if __name__ == "__main__":
    ingest([Path(source)], Path(out), train_vocab=600, split="hash", progress=told,
           processes=int(processes), unit_bytes=65536)
"""


def run_child(source: Path, out: Path, kill_at: str = "", delay: float = 0.0, processes: int = 1) -> int:
    """Run the stage in a process of its own; SIGKILL comes a while after it says `kill_at`, on its own clock."""
    script = out.parent / "child.py"
    script.write_text(CHILD, "utf-8")
    command = [sys.executable, str(script), str(processes), str(source), str(out), kill_at, str(delay)]
    return subprocess.run(command, check=False).returncode


@pytest.fixture
def larger(tmp_path: Path) -> Path:
    """About ten units of 64 KiB, without quotes and with lines inside of messages."""
    path = tmp_path / "larger.csv"
    rng = random.Random(11)
    with path.open("w", newline="", encoding="utf-8") as handle:
        handle.write("id,channel_id,date,message\n")
        for n, text in enumerate(sentences(4000)):
            parts = text.split(" ")
            parts.insert(rng.randrange(len(parts)), '"\n, ' if n % 3 else "")
            handle.write(f"{n},{-100 - n // 500},2021-{1 + n // 400:02}-05 10:00:00+00:00,{' '.join(parts)}\n")
    return path


@pytest.mark.parametrize(
    "moments",
    [
        ("reading", "deciding", "tokenising"),
        pytest.param(
            ("hashing", "reading", "reading", "deciding", "learning", "tokenising") * 3, marks=pytest.mark.slow
        ),
    ],
    ids=["three", "eighteen"],
)
def test_kill_9_at_any_moment_then_the_same_command_gives_the_same_bytes(
    larger: Path, tmp_path: Path, moments: tuple[str, ...]
) -> None:
    assert run_child(larger, tmp_path / "whole") == 0
    rng = random.Random(3)
    out = tmp_path / "killed"
    killed = 0
    for number, moment in enumerate(moments):
        code = run_child(larger, out, moment, rng.uniform(0, 0.05), processes=2 - number % 2)
        killed += code == -signal.SIGKILL
        assert not out.exists() or hashes(out) == hashes(tmp_path / "whole")
        if out.exists():
            shutil.rmtree(out)
    assert killed >= len(moments) * 2 // 3
    assert run_child(larger, out) == 0
    assert hashes(out) == hashes(tmp_path / "whole")
    left = [".killed.lock", ".whole.lock", "child.py", "killed", "larger.csv", "whole"]
    assert sorted(p.name for p in tmp_path.iterdir()) == left


def test_a_resumed_run_reads_no_unit_twice(larger: Path, tmp_path: Path) -> None:
    out = tmp_path / "one"

    def stop(stage: str, done: float, total: float | None, note: str) -> None:
        if stage == "reading" and done > 200_000:
            raise KeyboardInterrupt

    options: dict[str, object] = {"train_vocab": 400, "unit_bytes": 65536}
    with pytest.raises(KeyboardInterrupt):
        ingest([larger], out, progress=stop, **options)
    parts = {p: p.stat().st_mtime_ns for p in tmp_path.glob(".one.*.tmp/part-*.arrow")}
    assert len(parts) >= 3
    seen: list[dict[Path, int]] = []

    def look(stage: str, done: float, total: float | None, note: str) -> None:
        if stage == "deciding":
            seen.append({p: p.stat().st_mtime_ns for p in parts})

    ingest([larger], out, progress=look, **options)
    assert seen[0] == parts


def logical(out: Path) -> object:
    """What a corpus holds, however its table is cut into row groups."""
    table = pq.read_table(out / "documents.parquet").to_pylist()
    return table, (out / "train.bin").read_bytes(), (out / "val.bin").read_bytes(), (out / "card.json").read_bytes()


@pytest.mark.parametrize("name", ["larger", "dump"])
def test_units_processes_and_memory_change_nothing(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:  # fmt: skip
    source = request.getfixturevalue(name)
    ingest([source], tmp_path / "a", train_vocab=400)
    ingest([source], tmp_path / "b", train_vocab=400, unit_bytes=5_000, index_memory=1)
    ingest([source], tmp_path / "c", train_vocab=400, unit_bytes=70_001, processes=2)
    assert logical(tmp_path / "a") == logical(tmp_path / "b") == logical(tmp_path / "c")


def test_records_that_a_cut_guesses_wrong_are_read_again(tmp_path: Path) -> None:
    """Quoted messages full of lines that look like records: nearly every guess is wrong."""
    path = tmp_path / "forged.csv"
    texts = [f"{text}\n" + "\n".join(f"{n}{k},{n},2021-01-01,forged {k}" for k in range(40))
             for n, text in enumerate(sentences(200))]  # fmt: skip
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writerow(["id", "channel_id", "date", "message"])
        writer.writerows([n, 7, "2021-01-01 10:00:00", text] for n, text in enumerate(texts))
    for unit_bytes in (3_000, 1 << 20):
        out = tmp_path / f"{unit_bytes}"
        card = ingest([path], out, train_vocab=300, unit_bytes=unit_bytes, privacy=False)
        assert card["records"]["in"] == 200
        assert [row["text"] for row in pq.read_table(out / "documents.parquet").to_pylist()] == texts


def test_channels_keep_their_pseudonym_with_one_key_only(dump: Path, tmp_path: Path) -> None:
    key = tmp_path / "other.key"
    ingest([dump], tmp_path / "a", train_vocab=300)
    ingest([dump], tmp_path / "b", train_vocab=300, clean=["whitespace"])
    ingest([dump], tmp_path / "c", train_vocab=300, pseudonym_key=key)
    named = [
        {row["channel_id"] for row in pq.read_table(tmp_path / n / "documents.parquet").to_pylist()} for n in "abc"
    ]
    assert named[0] == named[1]
    assert not named[0] & named[2]
    assert key.stat().st_mode & 0o077 == 0
    key.write_text("short", "utf-8")
    with pytest.raises(UsageError, match="at least 16"):
        ingest([dump], tmp_path / "d", train_vocab=300, pseudonym_key=key)


def test_messages_of_a_channel_are_joined(larger: Path, tmp_path: Path) -> None:
    card = ingest([larger], tmp_path / "one", train_vocab=300, join_messages=10, unit_bytes=65536, privacy=False)
    table = pq.read_table(tmp_path / "one" / "documents.parquet").to_pylist()
    assert card["records"]["kept"] == 4000
    assert sum(row["messages"] for row in table) == 4000
    assert {row["messages"] for row in table} == {10}
    assert table[0]["text"].startswith("0: ")
    assert all(f"\n{n}: " in table[0]["text"] for n in range(1, 10))


def test_archives_and_datasets_are_sources_like_others(dump: Path, tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    whole = ingest([dump], tmp_path / "plain", train_vocab=300)
    for name in ("one", "two"):
        (tmp_path / "in" / name).mkdir(parents=True)
        with zipfile.ZipFile(tmp_path / "in" / name / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(dump, "../../dump.csv" if name == "one" else "dump.csv")
            archive.writestr("photo.jpg", b"no text")
    card = ingest([tmp_path / "in"], tmp_path / "zipped", train_vocab=300)
    assert card["records"]["in"] == 2 * whole["records"]["in"]
    assert card["records"]["kept"] == whole["records"]["kept"]
    assert [row["name"] for row in card["sources"]] == ["one/a.zip", "two/a.zip"]
    assert card["sources"][0]["dialect"]["members_left_out"][0]["name"].endswith("photo.jpg")
    assert not (tmp_path.parent / "dump.csv").exists()
    folder = tmp_path / "hub"
    folder.mkdir()
    lines = [json.dumps({"text": text}) + "\n" for text in sentences(50)]
    (folder / "train.jsonl").write_text("".join(lines), "utf-8")
    card = ingest([f"hf:{folder}"], tmp_path / "fetched", train_vocab=300)
    assert (card["records"]["in"], card["sources"][0]["bytes"]) == (50, 50)


def test_legacy_cleaning_runs_after_the_mask(tmp_path: Path) -> None:
    rows = [f"{text} 95% CPF 529.982.247-25" for text in sentences(20)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": row}) + "\n" for row in rows), "utf-8")
    ingest([tmp_path / "a.jsonl"], tmp_path / "one", train_vocab=300, clean=["legacy"])
    table = pq.read_table(tmp_path / "one" / "documents.parquet").to_pylist()
    assert all("95 " in row["text"] and "CPF" in row["text"] and "529" not in row["text"] for row in table)


def test_real_dumps_agree_whether_quoted_or_not(shared_data: Path, tmp_path: Path) -> None:
    from biasaudit.corpus import reading, sources
    from biasaudit.records import Message

    csv.field_size_limit(1 << 30)
    with (shared_data / "telegram" / "grtm60k_rfc4180.csv").open(newline="", encoding="utf-8") as handle:
        truth = [row[3] for row in csv.reader(handle)][1:]
    path = shared_data / "telegram" / "grtm60k_unquoted.csv"
    found = sources.read(path, reading.SourceOptions())
    assert [m.text for m in reading.audited(found, path.name) if isinstance(m, Message)] == truth
    assert found.notes["quoting"] == "unquoted"
    assert found.notes["forged_record_starts"] == 0


@pytest.mark.parametrize(
    ("name", "column", "delimiter"),
    [
        ("wpp_2020.csv", "text", ","),
        ("semicolon_instagram_anotada.csv", "Comment Text", ";"),
        ("pt_antivax_tweets_1.csv", "text", ","),
    ],
)
def test_real_tables_agree_with_python(shared_data: Path, name: str, column: str, delimiter: str) -> None:
    from biasaudit.corpus import reading, sources
    from biasaudit.records import Message

    path = shared_data / "telegram" / name
    with path.open(newline="", encoding="utf-8") as handle:
        truth = [row[column] for row in csv.DictReader(handle, delimiter=delimiter)]
    found = sources.read(path, reading.SourceOptions(columns={column: "text"}))
    assert [m.text for m in reading.audited(found, name) if isinstance(m, Message)] == truth


def test_a_map_may_be_meant_for_one_of_several_sources(dump: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("corpo,nota\n" + "".join(f'"{text}",{n}\n' for n, text in enumerate(sentences(20, 9))), "utf-8")
    card = ingest([dump, other], tmp_path / "one", train_vocab=300, column_map={"corpo": "text"})
    assert card["records"]["in"] == 320
    with pytest.raises(CorpusError, match="Did you mean 'corpo'"):
        ingest([dump, other], tmp_path / "two", train_vocab=300, column_map={"corpos": "text"})
    with pytest.raises(CorpusError, match="Did you mean --map corpo=text"):
        ingest([other], tmp_path / "two", train_vocab=300, column_map={"text": "corpo"})


def test_a_corpus_of_nothing_says_where_its_records_went(dump: Path, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"300 have another value than --where"):
        ingest([dump], tmp_path / "one", train_vocab=300, where={"channel_id": "77"})
    (tmp_path / "head.csv").write_text("id,channel_id,date,message\n", "utf-8")
    with pytest.raises(CorpusError, match="only headers"):
        ingest([tmp_path / "head.csv"], tmp_path / "one", train_vocab=300)
    ingest([dump], tmp_path / "one", train_vocab=300)
    with pytest.raises(CorpusError, match="split: sequential → hash"):
        ingest([dump], tmp_path / "one", train_vocab=300, split="hash")


def test_sources_of_one_name_are_told_apart_and_contacts_are_not_named(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        rows = [json.dumps({"text": text}) + "\n" for text in sentences(20, seed=ord(folder))]
        (tmp_path / folder / "x.jsonl").write_text("".join(rows), "utf-8")
    chat = tmp_path / "Conversa do WhatsApp com Maria Aparecida.txt"
    chat.write_text("".join(f"05/03/2021 14:{n:02} - Maria: {t}\n" for n, t in enumerate(sentences(30, 4))), "utf-8")
    card = ingest([tmp_path / "a" / "x.jsonl", tmp_path / "b" / "x.jsonl", chat], tmp_path / "one", train_vocab=300)
    names = ["x.jsonl", "2/x.jsonl", "Conversa do WhatsApp com [USER].txt"]
    assert [row["name"] for row in card["sources"]] == names
    assert card["documents_per_source"] == dict(zip(sorted(names), (20, 30, 20), strict=True))
    assert "Maria" not in (tmp_path / "one" / "card.json").read_text("utf-8")
