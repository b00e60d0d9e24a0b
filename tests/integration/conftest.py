"""Fixtures of the integration tests: two arms and more with one tokenizer, a small battery, the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest_models import BATTERY, make_arm


@pytest.fixture(scope="session")
def arms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """`base`, `tuned` and `other`: three different random models with one tokenizer."""
    root = tmp_path_factory.mktemp("arms")
    return {name: make_arm(root / name, seed) for seed, name in enumerate(["base", "tuned", "other"])}


@pytest.fixture
def battery(tmp_path: Path) -> Path:
    """The tiny battery as a file."""
    path = tmp_path / "tiny.yaml"
    path.write_text(BATTERY, encoding="utf-8")
    return path


@pytest.fixture
def biasaudit(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Call the command line in this process: (exit code, stdout, stderr)."""
    from biasaudit.cli import main

    def call(*words: object) -> tuple[int, str, str]:
        code = 0
        try:
            main([str(w) for w in words])
        except SystemExit as stop:
            code = int(stop.code or 0)
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return call
