"""What a diagnosed run says of its batch norm: accuracies by kind of statistics, and the gap between them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from helpers.analysis import groups, intervals
from helpers.analysis.intervals import Proportion, describe_change
from helpers.analysis.metrics import Array
from helpers.records.run import Run
from helpers.text import count_words, listed

STATISTICS = {
    "moving": "as evaluated: moving averages",
    "clean": "re-estimated, clean training images",
    "augmented": "re-estimated, augmented training images",
    "batch": "each batch's own",
}
"""Kinds of batch-norm statistics that `diagnosis` evaluates with, in words."""
ACTIVE_VARIANCE = 1e-3
"""Variance above which a channel is active: batch norm's epsilon in Keras, which halves such a variance.

At 160 px the pre-trained network's pooled features have variances of 0.02 to 2.4 on CIFAR-10. A channel whose
ReLU6 has come to rest at 0 or at 6 for every image has none.
"""


def count_active_channels(features: Array) -> int:
    """How many channels of features (n, c) vary over the images by more than ACTIVE_VARIANCE."""
    return int(np.sum(features.var(axis=0) > ACTIVE_VARIANCE))


KEPT_FRACTION = 0.01
"""A channel counts as kept if it has more than this part of the variance that it had before."""


def count_kept_channels(features: Array, before: Array) -> int:
    """How many channels of features (n, c) vary by more than KEPT_FRACTION of their variances (c,) before."""
    return int(np.sum(features.var(axis=0) > KEPT_FRACTION * before))


def accuracy(run: Run, images: str = "val", statistics: str = "moving", epoch: int = -1) -> Proportion:
    """Accuracy measured after an epoch (0: before the first; -1: after the last) with Wilson's interval.

    images: 'val', 'val_augmented'. statistics: a kind that `diagnosis` evaluates with, or 'probe' for the
    fresh linear probe. Raises ValueError for a run that was not diagnosed.
    """
    if not run.diagnosis:
        raise ValueError(f"{run.path} holds no diagnosis: run its experiment with diagnosed=True")
    found = run.diagnosis[epoch]
    value = found.probe if statistics == "probe" else found.accuracy[images][statistics]
    return intervals.proportion(value, run.size("val"))


def by_epoch(run: Run, statistics: str = "moving") -> list[Proportion]:
    """`accuracy` before the first epoch and after each."""
    return [accuracy(run, statistics=statistics, epoch=epoch) for epoch in range(len(run.diagnosis))]


def best_statistics(run: Run) -> str:
    """The statistics that show what a run's weights can do: 'clean', or 'moving' without a batch norm."""
    return "clean" if "clean" in run.diagnosis[-1].accuracy["val"] else "moving"


def mean(runs: Sequence[Run], **which: Any) -> float:
    """`accuracy` averaged over runs that differ in their seed."""
    return float(np.mean([accuracy(run, **which).value for run in runs]))


def since_start(run: Run, statistics: str = "moving") -> str:
    """After its last epoch a run is 'better', 'worse' or 'not clearly different' from before stage 2."""
    before, after = (accuracy(run, statistics=statistics, epoch=epoch) for epoch in (0, -1))
    return describe_change(before, after, "better", "worse", "not clearly different")


def statistics_gap(run: Run, epoch: int = -1) -> float:
    """Accuracy, in 0 to 1, that estimating the statistics anew adds after an epoch; may be negative."""
    return (
        accuracy(run, statistics=best_statistics(run), epoch=epoch).value - accuracy(run, epoch=epoch).value
    )


def recovered_fraction(run: Run, statistics: str, epoch: int = -1) -> float:
    """Part of an epoch's statistics gap that these statistics close alone; 0 where there is no gap."""
    both = statistics_gap(run, epoch)
    part = accuracy(run, statistics=statistics, epoch=epoch).value - accuracy(run, epoch=epoch).value
    return part / both if both > 0 else 0.0


@dataclass(frozen=True)
class EpochResult:
    """What a diagnosed run answers of the validation images after an epoch; epoch 0 is before the first."""

    epoch: int
    moving: Proportion
    """As Keras evaluates."""
    reestimated: Proportion
    """With the statistics estimated anew; as Keras evaluates where the head has none."""
    probe: Proportion
    """By a fresh linear classifier on the features."""

    @property
    def statistics_gap(self) -> float:
        """Accuracy that estimating anew adds, -1 to 1."""
        return self.reestimated.value - self.moving.value


@dataclass(frozen=True)
class Course:
    """A diagnosed run, epoch by epoch."""

    epochs: tuple[EpochResult, ...]
    """Before the first epoch and after each."""

    @property
    def start(self) -> EpochResult:
        """Before the first epoch."""
        return self.epochs[0]

    @property
    def end(self) -> EpochResult:
        """After the last."""
        return self.epochs[-1]

    def lowest_epoch(self, by: str) -> EpochResult:
        """The epoch in which 'moving', 'reestimated' or 'probe' was lowest; of equals the first."""
        return min(self.epochs[1:], key=lambda each: getattr(each, by).value)

    @property
    def largest_gap(self) -> float:
        """The largest statistics gap after any epoch, -1 to 1."""
        return max(each.statistics_gap for each in self.epochs[1:])

    @property
    def probe_fell(self) -> bool:
        """Whether its features ever told the classes apart clearly less well than before the first epoch."""
        return self.lowest_epoch("probe").probe.high < self.start.probe.low


def course(run: Run) -> Course:
    """A run, epoch by epoch. Raises ValueError for a run that was not diagnosed."""
    accuracy(run)
    kinds = "moving", best_statistics(run), "probe"
    lines = (by_epoch(run, statistics=kind) for kind in kinds)
    return Course(tuple(EpochResult(epoch, *shares) for epoch, shares in enumerate(zip(*lines, strict=True))))


@dataclass(frozen=True)
class Restored:
    """Validation accuracy, in 0 to 1, averaged over the passes at a run's first rate."""

    lost: float
    """By how much it lies, as Keras evaluates, below the start re-estimated; may be negative."""
    restored: float
    """What estimating the statistics anew adds."""

    @property
    def fraction(self) -> float:
        """The part of the loss that is restored; 0 where nothing was lost."""
        return self.restored / self.lost if self.lost > 0 else 0.0


def restored_over_failing_passes(run: Run) -> Restored:
    """What all passes of stage 2 at its first rate lose against the start, and what estimating anew restores.

    Raises ValueError for a run that was not diagnosed.
    """
    found = course(run)
    failing = found.epochs[1 : 1 + len(groups.at_first_rate(run))]
    return Restored(
        lost=found.start.reestimated.value - float(np.mean([each.moving.value for each in failing])),
        restored=float(np.mean([each.statistics_gap for each in failing])),
    )


def halves(run: Run) -> list[Proportion]:
    """Accuracy after the last epoch as Keras evaluates, with new means, with new variances, and with both.

    Empty where the record holds no half by itself.
    """
    if "means" not in run.diagnosis[-1].accuracy["val"]:
        return []
    kinds = "moving", "means", "variances", "clean"
    return [accuracy(run, statistics=kind) for kind in kinds]


class Repeats(tuple[Run, ...]):
    """Diagnosed runs of one experiment, one a seed: what they stand at after their last epoch."""

    def described(self, statistics: str = "moving") -> str:
        """`accuracy` in words: of one run with its interval, of several by themselves in their order.

        A dash where 'clean' is asked of a head without batch norm, which has no statistics. Runs that fail
        differ too much for a mean with an interval to say anything.
        """
        if statistics == "clean" and best_statistics(self[0]) != "clean":
            return "–"
        found = [accuracy(run, statistics=statistics) for run in self]
        return str(found[0]) if len(found) == 1 else listed(each.value for each in found)

    def change(self, statistics: str = "moving") -> str:
        """How many are better, worse or not clearly different since before stage 2, in words."""
        return count_words(since_start(run, statistics) for run in self)

    @property
    def active(self) -> list[int]:
        """Channels of the features that vary, run by run."""
        return [run.diagnosis[-1].active for run in self]

    @property
    def kept(self) -> list[int]:
        """Channels that keep more than KEPT_FRACTION of the variance they had, run by run."""
        return [run.diagnosis[-1].kept for run in self]

    @property
    def seeds(self) -> str:
        """Listed: '42, 0, 1'."""
        return ", ".join(str(run.seed) for run in self)
