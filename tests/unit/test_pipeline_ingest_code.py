"""What makes an ingest begin anew: any change of the code that decides what a corpus holds."""

from __future__ import annotations

from typing import Any

import pytest

from biasaudit.pipeline import ingest


def test_a_change_of_the_c_is_a_change_of_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[Any] = []
    monkeypatch.setattr(ingest.identity, "content_hash", lambda value: hashed.append(value) or "")
    ingest._code()
    names = {name for _, name, _ in hashed[0][1]}
    assert {"scan.c", "scan.py", "ingest_write.py", "tokenizer_engines.py"} <= names
