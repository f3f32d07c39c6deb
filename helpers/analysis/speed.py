"""What `make bench` measured, and what a run would take in plain Keras at those speeds."""

import functools
import heapq
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from helpers import paths
from helpers.records import store
from helpers.records.run import Run

Array = np.ndarray[Any, Any]
WAYS = {"plain": "plain Keras", "ours": "from the bank"}
"""The two ways that are compared, as the bench names them."""
EPOCHS = ("epoch", "deeper")
"""Comparisons of an epoch."""
ALONG = {"images": "training images", "image_size": "side of an image", "n_unfreeze": "layers that train"}
"""What costs were measured against, by the bench's names."""
COSTS = {
    "storing_seconds": "storing a view",
    "epoch_seconds": "a pass over it",
    "stored_bytes": "bytes of the view",
}
"""What was measured, by the bench's names."""


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
    plain_seconds: Sequence[float]
    """Of each pair; `ours_seconds` likewise, with an equal share of what is stored for all."""
    ours_seconds: Sequence[float]
    n_unfreeze: int | None = None
    """Of an epoch alone, as is the next."""
    image_size: int | None = None


@dataclass(frozen=True, kw_only=True)
class Sweep(Comparison):
    """Many experiments that share what is stored: a pair each."""

    experiments: int
    storing_seconds: float
    precision: str
    """Of our products; plain Keras multiplies in float32."""
    plain_bfloat16_seconds: float
    """Of the first experiment in plain Keras, by its mixed_bfloat16."""

    @property
    def selecting(self) -> dict[str, Array]:
        """Seconds until 1, 2, ... experiments have ended, by way; ours with its store."""
        own = np.asarray(self.ours_seconds) - self.storing_seconds / len(self.ours_seconds)
        return {"plain": np.cumsum(self.plain_seconds), "ours": self.storing_seconds + np.cumsum(own)}


@dataclass(frozen=True)
class Cost:
    """What it took to store one view of some images, and to train on it once."""

    along: str
    """What this was measured against: 'images', 'image_size' (pixels) or 'n_unfreeze' (layers)."""
    images: int
    image_size: int
    n_unfreeze: int
    storing_seconds: float
    epoch_seconds: float
    stored_bytes: int


@dataclass(frozen=True)
class Law:
    """A power law through measured costs, by least squares of their logarithms."""

    sizes: Sequence[float]
    costs: Sequence[float]

    @functools.cached_property
    def _line(self) -> tuple[float, float]:
        exponent, offset = np.polyfit(np.log(self.sizes), np.log(self.costs), 1)
        return float(exponent), float(offset)

    @property
    def exponent(self) -> float:
        """How a cost grows with a size: twice the size costs 2 ** exponent times as much."""
        return self._line[0]

    def at(self, size: float) -> float:
        """The cost by the law, also beyond what was measured."""
        exponent, offset = self._line
        return float(np.exp(offset)) * size**exponent

    @property
    def furthest(self) -> float:
        """The largest distance of a measured cost from the law, as a share of the law's."""
        return max(abs(cost / self.at(size) - 1) for size, cost in zip(self.sizes, self.costs, strict=True))


@dataclass(frozen=True)
class Bench:
    """The last result of `make bench`. Speeds are in GFLOP/s, multiply-adds of one image in millions."""

    features: Comparison
    epoch: Comparison
    deeper: Comparison
    """An epoch of a deeper cut."""
    sweep: Sweep
    """Ours as the report's sweeps are run; `sweep_float32` with plain Keras' products."""
    sweep_float32: Sweep
    growth: Sequence[Cost]
    peak_gflops: float
    """Of this machine's largest matrix products."""
    features_gflops: float
    profile: Mapping[str, float]
    """Of pooled features: shares of the time by kind of operation, 0 to 1."""
    whole_million: float
    depthwise_million: float
    """Of the whole, in depthwise convolutions."""
    above_cut_million: float
    ours_memory_gb: float
    """Peak of a run of one epoch."""
    processor: str
    threads: int
    date: str
    pytorch: Mapping[str, Any] | None = None
    """Images a second in PyTorch, of "epoch" and "deeper", and its "version"; None where it was not timed."""

    def plain_seconds(self, run: Run) -> float:
        """What a run would take in plain Keras.

        Where there is a stage 1, its features are computed once, as the original study did, by `predict` on
        every image, and its head takes as long as it took. Evaluation and augmentation are left out. Raises
        LookupError where no epoch of the run's depth and image size was timed.
        """
        return self._seconds(run, {name: getattr(self, name).plain_images_per_second for name in EPOCHS})

    def pytorch_seconds(self, run: Run) -> float:
        """The same with the passes of stage 2 in PyTorch. Raises LookupError likewise."""
        return self._seconds(run, self.pytorch or {})

    def _seconds(self, run: Run, speeds: Mapping[str, float]) -> float:
        before = 0.0
        if len(run.stage1):
            images = run.train_images + run.size("val") + run.size("test")
            before = images / self.features.plain_images_per_second + run.stage1_seconds
        if not len(run.stage2):
            return before
        size = run.experiment.n_unfreeze, run.experiment.image_size
        for name in EPOCHS:
            timed = getattr(self, name)
            if size == (timed.n_unfreeze, timed.image_size) and name in speeds:
                return before + len(run.stage2) * run.train_images / speeds[name]
        raise LookupError(
            f"the bench timed no such epoch with n_unfreeze={size[0]} and image_size={size[1]}; "
            "`make bench` times two depths"
        )

    def law(self, along: str, cost: str) -> Law:
        """How a field of Cost grows along another: `law("images", "epoch_seconds")`."""
        found = [each for each in self.growth if each.along == along]
        return Law([getattr(each, along) for each in found], [getattr(each, cost) for each in found])


def makespan(tasks: Sequence[float], workers: Sequence[float]) -> float:
    """Seconds until workers of these speeds have done all the tasks, each taken by the first that is free.

    tasks: seconds of each at speed 1. Graham's list scheduling (1966, Bell System Technical
    Journal 45).
    """
    free = [(0.0, speed) for speed in workers]
    heapq.heapify(free)
    for seconds in tasks:
        begun, speed = heapq.heappop(free)
        heapq.heappush(free, (begun + seconds / speed, speed))
    return max(ended for ended, _ in free)


def read(path: Path | None = None) -> Bench:
    """The last result of `make bench`, or the one in a file."""
    found = json.loads((path or paths.RESULTS / store.BENCH).read_text())
    known = {**found, **found["arithmetic"], **found["environment"]}
    known["ours_memory_gb"] = found["memory_gb"][WAYS["ours"]]
    for name in ("features", *EPOCHS):
        known[name] = Comparison(**_fields(Comparison, found[name]))
    for name in ("sweep", "sweep_float32"):
        known[name] = Sweep(**_fields(Sweep, found[name]))
    known["growth"] = [Cost(**each) for each in found["growth"]]
    return Bench(**_fields(Bench, known))


def _fields(kind: type[Any], found: Mapping[str, Any]) -> dict[str, Any]:
    return {each.name: found[each.name] for each in fields(kind) if each.name in found}
