"""`biasaudit doctor` on a machine where something is missing: it says so, and never falls over."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from biasaudit.pipeline.doctor import examine, version_of


def test_a_package_that_is_absent_has_no_version() -> None:
    assert version_of("no-such-package-of-biasaudit") is None
    assert version_of("numpy")


def test_a_whole_machine_misses_nothing() -> None:
    assert "missing" not in examine().text


def test_doctor_speaks_where_torch_cannot_be_imported(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('libtorch is broken')\n", encoding="utf-8")
    command = [sys.executable, "-m", "biasaudit.cli", "doctor"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "libtorch is broken" in done.stdout
    assert "Traceback" not in done.stderr
