"""What tests of several rooms share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import made
import pytest

from helpers.records.run import Run


@pytest.fixture
def make_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Run]:
    """`made.write_run` into this test's own folder of results, where `run` finds what it wrote."""
    monkeypatch.setenv("REPORT_RESULTS", str(tmp_path))
    monkeypatch.delenv("MOBILENETV2_WEIGHTS", raising=False)
    return made.write_run
