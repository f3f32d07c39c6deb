"""What `make bench` measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from helpers import paths
from helpers.records import store
from helpers.records.run import Run


def read(path: Path | None = None) -> dict[str, Any]:
    """The last result of `make bench`, for the notebook that shows it."""
    return json.loads((path or paths.RESULTS / store.BENCH).read_text())


def plain_seconds(run: Run, measured: Mapping[str, Any]) -> tuple[float, float]:
    """What a run would take in plain Keras at a bench's speeds: seconds before stage 2, and of a pass of it.

    Before stage 2, `predict` computes the features of every image once, as the original study did, and stage
    1 takes as long as it took. Evaluation and augmentation are left out. The second number is 0 for a run
    without stage 2. Raises LookupError where the bench timed no epoch of the run's depth and image size.
    """
    before = 0.0
    if len(run.stage1):
        images = run.train_images + run.size("val") + run.size("test")
        before = images / measured["features"]["plain_images_per_second"] + run.stage1_seconds
    if not len(run.stage2):
        return before, 0.0
    size = {name: getattr(run.experiment, name) for name in ("n_unfreeze", "image_size")}
    for timed in (measured["epoch"], measured["deeper"]):
        if all(timed[name] == value for name, value in size.items()):
            return before, run.train_images / timed["plain_images_per_second"]
    raise LookupError(f"the bench timed no epoch of plain Keras with {size}; `make bench` times two depths")
