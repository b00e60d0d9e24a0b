"""`kill -9` at random moments of an ingest, then the same command: is the corpus that of an uninterrupted run?

    python benchmarks/kill_ingest.py --kills 20 --megabytes 20 --processes 2

Three ways to die take turns: the whole process group, the driver alone (its workers have to notice), one worker
(the run has to go on). Every file of the corpus is compared, of the manifest all but its part `run`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

WAYS = ("group", "driver", "worker")
ORPHAN_SECONDS = 10.0
"""How long workers may take to notice that their driver is gone."""
CHILD = """
import sys
from pathlib import Path
from biasaudit.pipeline.ingest import ingest
if __name__ == "__main__":
    ingest([Path(sys.argv[1])], Path(sys.argv[2]), processes=int(sys.argv[3]), unit_bytes=int(sys.argv[4]),
           train_vocab=600, split="hash", pseudonym_key=Path(sys.argv[5]))
"""
TEXT = """vacina governo saúde cidade médico escola família notícia brasil gente hoje sempre verdade jornal mundo praça
ônibus feijão chuva trabalho semana domingo amigo casa rua história pergunta resposta"""


def make_sources(folder: Path, megabytes: float, seed: int) -> int:
    """Write a dump with line ends inside of messages, and JSON lines of which some are broken; return the bytes."""
    folder.mkdir()
    rng, vocabulary = random.Random(seed), TEXT.split()
    wanted = int(megabytes * 0.9e6)
    with (folder / "dump.csv").open("w", encoding="utf-8", newline="") as dump:
        dump.write("id,channel_id,date,message\n")
        number = 0
        while dump.tell() < wanted:
            words = rng.choices(vocabulary, k=rng.randint(5, 40))
            words.insert(rng.randrange(len(words)), rng.choice(["", '"\n, ', "maria@exemplo.com", "(11) 91234-5678"]))
            text = " ".join(words) if number % 9 else "a mesma mensagem de sempre, encaminhada por todos"
            for _ in range(1 + (number % 31 == 0)):
                dump.write(f"{number},{-100 - number % 13},2021-{1 + number // 40 % 12:02}-05 10:00:00+00:00,{text}\n")
                number += 1
    with (folder / "more.jsonl").open("w", encoding="utf-8") as lines:
        while lines.tell() < wanted // 9:
            text = " ".join(rng.choices(vocabulary, k=20))
            lines.write('{"text": broken\n' if rng.random() < 0.05 else json.dumps({"text": text}) + "\n")
    return sum(path.stat().st_size for path in folder.iterdir())


def contents(corpus: Path) -> dict[str, bytes]:
    """Every file of a corpus, its manifest without the part that differs between equal corpora."""
    found = {str(path.relative_to(corpus)): path.read_bytes() for path in corpus.rglob("*") if path.is_file()}
    manifest = json.loads(found["manifest.json"])
    del manifest["run"]
    return {**found, "manifest.json": json.dumps(manifest, sort_keys=True).encode()}


class Runs:
    """Runs one command again and again, and kills it."""

    def __init__(self, folder: Path, sources: Path, size: int, processes: int) -> None:
        """Prepare the command; about twenty units of work, whatever the size."""
        self._script = folder / "child.py"
        self._script.write_text(CHILD, encoding="utf-8")
        self._tail = [str(processes), str(max(16 << 10, size // 20)), str(folder / "pseudonym.key")]
        self._sources = sources

    def start(self, out: Path) -> subprocess.Popen[bytes]:
        """Begin a run in a process group of its own."""
        command = [sys.executable, str(self._script), str(self._sources), str(out), *self._tail]
        return subprocess.Popen(command, start_new_session=True)

    def whole(self, out: Path) -> float:
        """Run to the end; return the seconds.

        Raises:
            RuntimeError: it failed.
        """
        start = time.monotonic()
        code = self.start(out).wait()
        if code:
            raise RuntimeError(f"the ingest ended with {code}")
        return time.monotonic() - start

    def killed(self, out: Path, way: str, after: float, rng: random.Random) -> bool:
        """Kill a run `after` seconds; False when it was done before.

        Raises:
            RuntimeError: the loss of a worker ended the run, or a worker outlived its driver.
        """
        child = self.start(out)
        try:
            child.wait(after)
        except subprocess.TimeoutExpired:
            pass
        else:
            return False
        workers = [pid for pid in members(child.pid) if pid != child.pid and _is_worker(pid)]
        if way == "worker" and workers:
            os.kill(rng.choice(workers), signal.SIGKILL)
            if code := child.wait():
                raise RuntimeError(f"a worker was killed, and the run ended with {code}")
            return True
        if way == "group":
            os.killpg(child.pid, signal.SIGKILL)
        else:
            child.kill()
        child.wait()
        if way == "group":
            return True
        deadline = time.monotonic() + ORPHAN_SECONDS
        while members(child.pid) and time.monotonic() < deadline:
            if rng.random() < 0.5:  # the next run may well begin while the workers of this one still write
                return True
            time.sleep(0.05)
        if left := members(child.pid):
            raise RuntimeError(f"workers outlived their driver by {ORPHAN_SECONDS:.0f} s: {left}")
        return True


def members(group: int) -> list[int]:
    """Processes of a group that live."""
    found = []
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            try:
                after_name = (place / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(after_name[2]) == group and after_name[0] != "Z":
                found.append(int(place.name))
    return found


def _is_worker(pid: int) -> bool:
    try:
        return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def measure(folder: Path, *, kills: int, megabytes: float, processes: int, seed: int = 1) -> dict[str, Any]:
    """Kill an ingest `kills` times, letting it finish in between as it comes, and compare what it makes.

    A run that was killed is not cleaned up after: the next one goes on with what it left, and may be killed as well.
    """
    rng = random.Random(seed)
    size = make_sources(folder / "sources", megabytes, seed)
    runs = Runs(folder, folder / "sources", size, processes)
    seconds = runs.whole(folder / "whole")
    expected = contents(folder / "whole")
    out = folder / "killed"
    struck: Counter[str] = Counter()
    compared = 0
    differing: set[str] = set()

    def compare() -> None:
        nonlocal compared
        found = contents(out)
        compared += 1
        differing.update(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
        shutil.rmtree(out)

    while struck.total() < kills:
        way = WAYS[struck.total() % len(WAYS)]
        if runs.killed(out, way, rng.uniform(0, seconds), rng):
            struck[way] += 1
        if out.exists():
            compare()
    runs.whole(out)
    compare()
    left = [path.name for path in folder.iterdir() if path.name.startswith(".killed.") and path.suffix == ".tmp"]
    return {
        "bytes": size, "files": len(expected), "kills": dict(struck), "compared": compared, "seconds": seconds,
        "differing": sorted(differing), "left_behind": left,
    }  # fmt: skip


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--megabytes", type=float, default=20)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kill-ingest-") as folder:
        found = measure(
            Path(folder), kills=given.kills, megabytes=given.megabytes, processes=given.processes, seed=given.seed
        )
    print(
        f"{found['bytes'] / 1e6:.1f} MB, {found['seconds']:.1f} s uninterrupted; killed: {found['kills']}; "
        f"{found['compared']} finished corpora of {found['files']} files compared"
    )
    print(f"differing files: {found['differing'] or 'none'}; left behind: {found['left_behind'] or 'nothing'}")
    return 1 if found["differing"] or found["left_behind"] else 0


if __name__ == "__main__":
    sys.exit(main())
