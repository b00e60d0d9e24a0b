"""What the kernel is really asked for: bytes, their fsync, the rename, the folder's fsync, and only then the answer."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import store_toy
store_toy.run_to_the_end(Path(sys.argv[1]), acks=Path(sys.argv[2]))
"""
CALL = re.compile(r"^(?:\[pid +)?(?:\d+\]? +)?(\w+)\((.*)\)\s+= (-?\d+)")
CALLS = "openat,write,fsync,rename,renameat,renameat2,close"


def test_every_file_is_on_the_medium_before_its_name_and_every_name_before_the_answer(tmp_path: Path) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("needs strace")
    script, log, run = tmp_path / "script.py", tmp_path / "log", tmp_path / "run"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parent)), encoding="utf-8")
    command = [strace, "-f", "-s", "400", "-e", f"trace={CALLS}", "-o", str(log), sys.executable, str(script)]
    done = subprocess.run([*command, str(run), str(tmp_path / "acks")], capture_output=True, timeout=120, check=False)
    if b"ptrace" in done.stderr:
        pytest.skip("strace may not trace here")
    assert done.returncode == 0, done.stderr
    renames = answers = 0
    names: dict[str, str] = {}  # descriptor -> file
    unsynced: set[str] = set()  # files with bytes that are not on the medium
    unnamed: set[str] = set()  # folders with names that are not on the medium
    for line in log.read_text(errors="replace").splitlines():
        found = CALL.match(line)
        if not found or int(found[3]) < 0:
            continue
        call, given, result = found.groups()
        paths = re.findall(r'"([^"]*)"', given)
        if call == "openat":
            names[result] = paths[0]
        elif call == "close":
            names.pop(given, None)
        elif call == "write":
            name = names.get(given.split(",")[0], "")
            if name.startswith(str(run)):
                unsynced.add(name)
            elif name.endswith("acks"):
                assert not unsynced, "an answer before the bytes"
                assert not unnamed, "an answer before the name"
                answers += 1
        elif call == "fsync":
            unsynced.discard(names[given])
            unnamed.discard(names[given])
        elif paths[-1].startswith(str(run)):
            renames += 1
            assert paths[0] not in unsynced, f"{paths[-1]} was named before its bytes were on the medium"
            unnamed.add(str(Path(paths[-1]).parent))
    assert not unsynced
    assert not unnamed
    assert renames > answers > 10
