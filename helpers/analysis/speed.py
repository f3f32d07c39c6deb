"""What `make bench` measured, and what a run would take in plain Keras at those speeds."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from helpers import paths
from helpers.records import store
from helpers.records.run import Run

WAYS = {"plain": "plain Keras", "ours": "from the bank"}
"""The two ways that are compared, as the bench names them."""


@dataclass(frozen=True)
class Comparison:
    """Plain Keras and ours at the same work, in turns."""

    ratio: float
    """How many times faster ours is; `low` to `high` are its slowest and its fastest pair."""
    low: float
    high: float
    target: float | None
    """How many times faster it was asked to be."""
    plain_images_per_second: float
    ours_images_per_second: float
    reading_images_per_second: float | None = None
    """Of stored activations, without training; of an epoch alone, as are the next two."""
    n_unfreeze: int | None = None
    image_size: int | None = None
    experiments: int | None = None
    """Of the sweep."""


@dataclass(frozen=True)
class Bench:
    """The last result of `make bench`. Speeds are in GFLOP/s, multiply-adds of one image in millions."""

    features: Comparison
    epoch: Comparison
    deeper: Comparison
    """An epoch of a deeper cut."""
    sweep: Comparison
    peak_gflops: float
    """Of this machine's largest matrix products."""
    features_gflops: float
    training_gflops: float
    whole_million: float
    above_cut_million: float
    plain_memory_gb: float
    """Peak of an epoch of `fit`; `ours_memory_gb` of a run of one epoch."""
    ours_memory_gb: float
    processor: str
    threads: int

    def plain_seconds(self, run: Run) -> float:
        """What a run would take in plain Keras.

        Where there is a stage 1, its features are computed once, as the original study did, by `predict` on
        every image, and its head takes as long as it took. Evaluation and augmentation are left out. Raises
        LookupError where no epoch of the run's depth and image size was timed.
        """
        before = 0.0
        if len(run.stage1):
            images = run.train_images + run.size("val") + run.size("test")
            before = images / self.features.plain_images_per_second + run.stage1_seconds
        if not len(run.stage2):
            return before
        size = run.experiment.n_unfreeze, run.experiment.image_size
        for timed in (self.epoch, self.deeper):
            if size == (timed.n_unfreeze, timed.image_size):
                return before + len(run.stage2) * run.train_images / timed.plain_images_per_second
        raise LookupError(
            f"the bench timed no epoch of plain Keras with n_unfreeze={size[0]} and image_size={size[1]}; "
            "`make bench` times two depths"
        )


def read(path: Path | None = None) -> Bench:
    """The last result of `make bench`, or the one in a file."""
    found = json.loads((path or paths.RESULTS / store.BENCH).read_text())
    known = {**found, **found["arithmetic"], **found["environment"]}
    known |= {f"{way}_memory_gb": found["memory_gb"][name] for way, name in WAYS.items()}
    for name in ("features", "epoch", "deeper", "sweep"):
        known[name] = Comparison(**_fields(Comparison, found[name]))
    return Bench(**_fields(Bench, known))


def _fields(kind: type[Any], found: Mapping[str, Any]) -> dict[str, Any]:
    return {each.name: found[each.name] for each in fields(kind) if each.name in found}
