"""Shared fixtures: the real data beside the checkout, when it is there."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Examples are the same in every run, so a check of how fast they are drawn would judge the machine alone.
settings.register_profile(
    "biasaudit", deadline=None, derandomize=True, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("biasaudit")

# Before torch comes: workers that share the cores of a machine, each with threads for all of them, wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# And where a test asks for several threads: they wait asleep, not by spinning on the core that the other one needs.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background job ignores Ctrl-C, and every process that a test starts would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Look for garbage among what the tests make, not among the 600,000 objects that importing them makes.

    A run and an ingest each ask for two collections, and one among all that the suite imports takes 0.3 s.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


SHARED = Path(os.environ.get("BIASAUDIT_SHARED", Path(__file__).resolve().parents[2] / "shared"))


@pytest.fixture(scope="session", autouse=True)
def pseudonym_key(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A key of their own for the tests' channels, so that none is made in the home of whoever runs them."""
    path = tmp_path_factory.mktemp("settings") / "pseudonym.key"
    path.write_text("0123456789abcdef0123456789abcdef\n", "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BIASAUDIT_PSEUDONYM_KEY", str(path))
        yield path


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real test data; skips when this machine has none."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip(f"real data folder {folder} is absent (set BIASAUDIT_SHARED)")
    return folder
