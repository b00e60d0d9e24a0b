"""`biasaudit run` on real tiny models: the same completions however it is run, killed, resumed or extended."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests import children

Call = Callable[..., tuple[int, str, str]]
FAST = ("--threads", 1, "--tile", 16, "--dtype", "fp32", "-q")
KEY = ("arm_fingerprint", "prompt_id", "decoding_id", "seed", "salt", "index")


def completions(folder: Path) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """Every stored completion by its key, with everything that sampling decided."""
    found = {}
    for part in sorted((folder / "completions").glob("part-*.parquet")):
        for row in pq.read_table(part).to_pylist():
            key = tuple(row[k] for k in KEY)
            assert key not in found, "no key is stored twice"
            found[key] = (row["text"], tuple(row["token_ids"]), tuple(row["logprobs"]), row["finish_reason"])
    return found


def part_bytes(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.glob("*/part-*.parquet"))}


@pytest.fixture
def words(arms: dict[str, Path], battery: Path) -> list[object]:
    return ["run", battery, "--arm", f"base={arms['base']}", "--arm", f"tuned={arms['tuned']}", *FAST]


@pytest.fixture
def done(biasaudit: Call, words: list[object], tmp_path: Path) -> Path:
    """An uninterrupted run."""
    code, _, err = biasaudit(*words, "--out", tmp_path / "plain")
    assert code == 0, err
    return tmp_path / "plain"


def test_a_run_ends_with_a_verdict_and_the_path_of_its_report(
    biasaudit: Call, words: list[object], tmp_path: Path
) -> None:
    code, out, err = biasaudit(*words, "--out", tmp_path / "r")
    assert code == 0, err
    verdict, path = out.strip().split("\n")[-2:]
    assert "claim_odds" in verdict or "nats/byte" in verdict
    page = Path(path).read_text(encoding="utf-8")
    assert page.lower().startswith("<!doctype html>")
    assert "biasaudit-report-complete" in page
    manifest = json.loads((tmp_path / "r" / "manifest.json").read_text())
    assert manifest["sealed"]
    assert manifest["status"] == "done"
    assert len(manifest["numerics"]) == 1
    analysis = json.loads((tmp_path / "r" / "analysis.json").read_text())
    assert {c["measure"] for c in analysis["contrasts"]} == {"claim_odds", "stance", "repetition"}
    assert len(completions(tmp_path / "r")) == 2 * 6 * 6
    assert biasaudit("verify", tmp_path / "r")[0] == 0


def test_the_same_command_again_does_nothing_twice(
    biasaudit: Call, words: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = biasaudit(*words)[1].strip().split("\n")[-1]
    before = part_bytes(Path(first).parent)
    stamps = {p: p.stat().st_mtime_ns for p in Path(first).parent.glob("*/part-*")}
    second = biasaudit(*words)[1].strip().split("\n")[-1]
    assert first == second
    assert part_bytes(Path(first).parent) == before
    assert {p: p.stat().st_mtime_ns for p in Path(first).parent.glob("*/part-*")} == stamps
    third = biasaudit(*words, "--fresh")[1].strip().split("\n")[-1]
    assert third != first
    assert part_bytes(Path(third).parent) == before


def test_more_completions_later_equal_those_of_one_long_run(
    biasaudit: Call, words: list[object], tmp_path: Path
) -> None:
    for count in (3, 11):
        assert biasaudit(*words, "-n", count, "--out", tmp_path / "grown")[0] == 0
    assert biasaudit(*words, "-n", 11, "--out", tmp_path / "long")[0] == 0
    assert completions(tmp_path / "grown") == completions(tmp_path / "long")


def test_order_of_topics_and_other_arms_change_no_completion(
    biasaudit: Call, words: list[object], arms: dict[str, Path], battery: Path, done: Path, tmp_path: Path
) -> None:
    text = battery.read_text(encoding="utf-8")
    head, rest = text.split("topics:\n")
    body, tail = rest.split("stems:\n")
    topics = ["  " + t for t in body.removeprefix("  ").split("\n  ") if t and not t.startswith("  ")]
    assert len(topics) == 3
    blocks = []
    for line in body.splitlines():
        if line.startswith("  ") and not line.startswith("   "):
            blocks.append([line])
        else:
            blocks[-1].append(line)
    random.Random(1).shuffle(blocks)
    blocks.reverse()
    shuffled = tmp_path / "shuffled.yaml"
    body = "\n".join("\n".join(b) for b in blocks)
    shuffled.write_text(f"{head}topics:\n{body}\nstems:\n{tail}", encoding="utf-8")
    other = ["--arm", f"other={arms['other']}"]
    code, _, err = biasaudit("run", shuffled, *words[2:], *other, "--out", tmp_path / "shuffled")
    assert code == 0, err
    plain, mixed = completions(done), completions(tmp_path / "shuffled")
    assert len(mixed) == len(plain) * 3 // 2
    assert {key: mixed[key] for key in plain} == plain


def test_two_processes_give_the_completions_of_one(
    biasaudit: Call, words: list[object], done: Path, tmp_path: Path
) -> None:
    code, _, err = biasaudit(*words, "--processes", 2, "--out", tmp_path / "two")
    assert code == 0, err
    assert part_bytes(tmp_path / "two") == part_bytes(done)


def test_a_sweep_is_one_decoding_a_value_and_greedy_is_asked_once(
    biasaudit: Call, words: list[object], tmp_path: Path
) -> None:
    code, _, err = biasaudit(*words, "--temperature", 0, "--temperature", 0.7, "-n", 3, "--out", tmp_path / "sweep")
    assert code == 0, err
    manifest = json.loads((tmp_path / "sweep" / "manifest.json").read_text())
    greedy = next(d["decoding_id"] for d in manifest["decodings"] if d["temperature"] == 0)
    found = completions(tmp_path / "sweep")
    assert sum(key[2] == greedy for key in found) == 2 * 6
    assert sum(key[2] != greedy for key in found) == 2 * 6 * 3


@pytest.mark.parametrize("kills", [2, pytest.param(8, marks=pytest.mark.slow)])
def test_kill_9_at_any_moment_then_the_same_command_gives_the_same_run(
    words: list[object], done: Path, tmp_path: Path, kills: int
) -> None:
    command = [*words, "--out", tmp_path / "killed"]
    chance = random.Random(20261122)
    for turn in range(kills):
        with children.running(*command) as process:
            wanted = 1 + turn  # wait until so many files stand there, then strike within moments
            deadline = time.monotonic() + 60
            while process.poll() is None and time.monotonic() < deadline:
                if len(list((tmp_path / "killed").rglob("*"))) > wanted * 2:
                    break
                time.sleep(0.01)
            time.sleep(chance.random() * 0.3)
            process.send_signal(signal.SIGKILL)
            process.wait()
    code, _, err = children.ended(*command)
    assert code == 0, err
    assert part_bytes(tmp_path / "killed") == part_bytes(done)
    # The report names its run folder, so it is the one file that may differ.
    made = {p.relative_to(done) for p in done.rglob("*") if p.is_file() and p.suffix in {".json", ".csv", ".parquet"}}
    assert len(made) > 10
    for name in made - {Path("manifest.json")}:
        assert (tmp_path / "killed" / name).read_bytes() == (done / name).read_bytes(), name


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)]
)
def test_ctrl_c_and_sigterm_leave_by_their_own_codes(
    words: list[object], tmp_path: Path, number: signal.Signals, code: int
) -> None:
    """SIGTERM: every time with `ingest`, and with a run's own code in test_store_kills.py."""
    out = tmp_path / "stopped"
    with children.running(*words, "-n", 4000, "--out", out) as process:
        deadline = time.monotonic() + 60
        while not (out / "likelihoods").is_dir() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(number)
        assert process.wait(30) == code
        assert "Traceback" not in process.err
        assert "the same command continues" in process.err


def test_score_analyse_and_report_again_change_nothing(biasaudit: Call, done: Path) -> None:
    before = {p: p.read_bytes() for p in done.rglob("*") if p.is_file() and p.suffix in {".json", ".parquet", ".csv"}}
    for verb in ("report", "analyse", "score"):
        assert biasaudit(verb, done, "-q")[0] == 0
    after = {p: p.read_bytes() for p in before}
    changed = [str(p) for p in before if before[p] != after[p] and p.name != "manifest.json"]
    assert changed == []
    assert biasaudit("report", done, "--report-language", "en", "-q")[0] == 0
    assert '<html lang="en"' in (done / "report.html").read_text(encoding="utf-8")


def test_likelihoods_of_two_arms_are_never_of_two_precisions(
    biasaudit: Call, words: list[object], done: Path, tmp_path: Path
) -> None:
    other = [*words, "--likelihood-dtype", "bf16"]
    at = other.index("--arm")
    assert biasaudit(*other[: at + 2], *other[at + 4 :], "--out", tmp_path / "mixed")[0] == 0
    assert biasaudit(*words, "--out", tmp_path / "mixed")[0] == 0
    name = next((done / "scores").glob("claim*")).name
    assert pq.read_table(tmp_path / "mixed" / "scores" / name).equals(pq.read_table(done / "scores" / name))
    assert biasaudit("verify", tmp_path / "mixed")[0] == 0


def test_a_context_without_room_is_said_once_an_arm_before_sampling(
    biasaudit: Call, words: list[object], tmp_path: Path
) -> None:
    code, _, err = biasaudit(*words, "-n", 1, "--max-new-tokens", 60, "--out", tmp_path / "r")
    assert code == 0, err
    for name in ("base", "tuned"):
        assert err.count(f"arm {name}: after 6 of 6 prompts its context of 64 tokens has no room") == 1
    assert "no room" not in biasaudit(*words, "-n", 1, "--max-new-tokens", 60, "--out", tmp_path / "r")[2]


def test_a_greedy_sample_is_one_completion(biasaudit: Call, arms: dict[str, Path]) -> None:
    asked = ("sample", "Ouvi dizer", "--arm", f"base={arms['base']}", "-n", 2, "--max-new-tokens", 4, "-q")
    assert biasaudit(*asked, "--greedy")[1].count("--- base #") == 1
    assert biasaudit(*asked, "--temperature", 0, "--temperature", 1)[1].count("--- base #") == 3


def test_a_smaller_question_says_that_the_report_leaves_something_out(
    biasaudit: Call, words: list[object], done: Path
) -> None:
    _, _, silent = biasaudit(*words, "--out", done)
    assert "leaves them out" not in silent
    code, _, err = biasaudit(*words, "-n", 2, "--out", done)
    assert code == 0
    assert "6 completions a prompt" in err
    _, _, other = biasaudit(*words, "-n", 2, "--temperature", 0.5, "--out", done)
    assert "1 other decoding" in other
    assert len(completions(done)) == 2 * 6 * (6 + 2)


def test_a_run_that_was_cut_short_says_what_to_do_and_is_not_called_done(biasaudit: Call, done: Path) -> None:
    from biasaudit.store.run import RunFolder

    part = next((done / "completions").glob("part-*.parquet"))
    part.unlink()
    for name in ("analysis.json", "report.html"):
        (done / name).unlink()
    with RunFolder.open(done).lock():
        manifest = json.loads((done / "manifest.json").read_text())
        kept = {k: v for k, v in manifest.items() if k not in {"files", "sealed", "manifest_sha256"}}
        (done / "manifest.json").unlink()
    RunFolder.create(done, {**kept, "status": "running"})
    code, _, err = biasaudit("report", done)
    assert (code, "biasaudit run" in err) == (2, True), err
    code, _, err = biasaudit("score", done, "-q")
    assert code == 0, err
    assert json.loads((done / "manifest.json").read_text())["status"] == "running"


def test_verify_gathers_the_likelihoods_anew(biasaudit: Call, done: Path) -> None:
    from biasaudit.store.run import RunFolder
    from biasaudit.store.tables import scores_from_table, scores_table

    run = RunFolder.open(done)
    name = next(p.relative_to(done).as_posix() for p in (done / "scores").glob("claim*"))
    with run.lock():
        run.write_table(name, scores_table(list(scores_from_table(run.read_table(name)))[1:]))
        run.seal()
    code, out, _ = biasaudit("verify", done)
    assert code == 1
    assert "claim_odds" in out


def test_verify_names_a_flipped_bit(biasaudit: Call, done: Path) -> None:
    part = next((done / "completions").glob("part-*.parquet"))
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(bytes(data))
    code, out, _ = biasaudit("verify", done)
    assert code == 1
    assert part.name in out


def test_verify_vouches_for_nothing_that_a_cut_short_report_wrote(biasaudit: Call, done: Path) -> None:
    prompts = done / "prompts.parquet"
    whole = prompts.read_bytes()
    prompts.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert biasaudit("report", done)[0] == 1
    prompts.write_bytes(whole)
    code, out, _ = biasaudit("verify", done)
    assert code == 1
    assert "report.html: no hash is known" in out
    assert biasaudit("report", done)[0] == 0
    assert biasaudit("verify", done)[0] == 0


def test_a_full_disk_is_one_line_and_loses_nothing(words: list[object], done: Path, tmp_path: Path) -> None:
    mount = tmp_path / "small"
    mount.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=40k", "tmpfs", str(mount)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        code, _, err = children.ended(*words, "--out", mount / "r")
        assert code == 1
        assert "Traceback" not in err
        assert "biasaudit:" in err
        subprocess.run(["mount", "-o", "remount,size=20m", str(mount)], check=True)
        code, _, err = children.ended(*words, "--out", mount / "r")
        assert code == 0, err
        assert part_bytes(mount / "r") == part_bytes(done)
    finally:
        subprocess.run(["umount", str(mount)], check=False)
