"""What tests of several rooms share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import made
import pytest

from helpers import run as door
from helpers.experiment import Experiment
from helpers.records.run import Run


@pytest.fixture
def make_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Run]:
    """`made.write_run` into this test's own folder of results, where `run` finds what it wrote.

    What was not made fails by name, and is not trained; but for the miniature, whose runs take seconds.
    """
    monkeypatch.setenv("REPORT_RESULTS", str(tmp_path))
    monkeypatch.delenv("MOBILENETV2_WEIGHTS", raising=False)
    asked_before_training = door.fingerprints

    def refuse(experiment: Experiment) -> dict[str, str]:
        if experiment.backbone_weights == "miniature":
            return asked_before_training(experiment)
        fields = ", ".join(f"{name}={value!r}" for name, value in experiment.changes.items())
        raise AssertionError(f"this test asks for a run that it has not made: call make_run({fields}) first")

    monkeypatch.setattr(door, "fingerprints", refuse)
    return made.write_run
