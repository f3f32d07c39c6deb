"""What a diagnosed run says of its batch norm: accuracies by kind of statistics, and the gap between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

from helpers.analysis import intervals
from helpers.analysis.intervals import Proportion, describe_change
from helpers.analysis.metrics import Array
from helpers.records.run import Run
from helpers.text import percent

# ---------------------------------------------------------------------------- features

ACTIVE_VARIANCE = 1e-3
"""Variance above which a channel is alive: batch norm's epsilon in Keras, which halves such a variance.

At 160 px the pre-trained network's pooled features have variances of 0.02 to 2.4 on CIFAR-10. A channel whose
ReLU6 has come to rest at 0 or at 6 for every image has none.
"""


def count_active_channels(features: Array) -> int:
    """How many channels of features (n, c) vary over the images by more than ALIVE."""
    return int(np.sum(features.var(axis=0) > ACTIVE_VARIANCE))


KEPT_FRACTION = 0.01
"""Part of the variance it had before that a channel must have kept to be counted by `kept`."""


def count_kept_channels(features: Array, before: Array) -> int:
    """How many channels of features (n, c) vary by more than KEPT of their variances (c,) before."""
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


def by_epoch(run: Run, images: str = "val", statistics: str = "moving") -> list[Proportion]:
    """`accuracy` before the first epoch and after each."""
    return [accuracy(run, images, statistics, epoch) for epoch in range(len(run.diagnosis))]


def lowest(shares: Sequence[Proportion]) -> int:
    """The epoch of the lowest of `by_epoch`'s shares, the start left out; of equals the first."""
    return min(range(1, len(shares)), key=lambda epoch: shares[epoch].value)


def best_statistics(run: Run) -> str:
    """The statistics that show what a run's weights can do: 'clean', or 'moving' where none can be varied."""
    return "clean" if "clean" in run.diagnosis[-1].accuracy["val"] else "moving"


def mean(runs: Sequence[Run], **which: Any) -> float:
    """`accuracy` averaged over runs that differ in their seed."""
    return float(np.mean([accuracy(run, **which).value for run in runs]))


def as_text(runs: Sequence[Run], statistics: str = "moving", epoch: int = -1) -> str:
    """`accuracy` in words: of one run with its interval, of several by themselves in the order given.

    A dash where 'clean' is asked of a head without batch norm, whose statistics none can vary. Runs that
    fail differ too much for a mean with an interval to say anything.
    """
    if statistics == "clean" and best_statistics(runs[0]) != "clean":
        return "–"
    found = [accuracy(run, statistics=statistics, epoch=epoch) for run in runs]
    return str(found[0]) if len(found) == 1 else ", ".join(percent(each.value) for each in found)


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
    """Part of what new means and variances regain together, after an epoch, that these statistics do.

    0 where both together regain nothing.
    """
    both = statistics_gap(run, epoch)
    part = accuracy(run, statistics=statistics, epoch=epoch).value - accuracy(run, epoch=epoch).value
    return part / both if both > 0 else 0.0


def statistics_distance(run: Run, measure: str, epoch: int = -1) -> float:
    """How far off the moving statistics are on the validation images after an epoch.

    measure: 'mean', 'mean_alive' or 'variance', as `diagnosis` measures them.
    """
    return float(run.diagnosis[epoch].statistics["val"][measure])


def gap_correlation(run: Run, measure: str) -> float:
    """Spearman's rank correlation, over the epochs, of `misfit` by a measure with what evaluation hides."""
    epochs = range(1, len(run.diagnosis))
    off, hides = (
        [statistics_distance(run, measure, epoch) for epoch in epochs],
        [statistics_gap(run, epoch) for epoch in epochs],
    )
    return float(stats.spearmanr(off, hides).statistic)


def lowest_points(run: Run) -> dict[str, str]:
    """Where a diagnosed run stood lowest: as evaluated, by what its weights could do, by a fresh probe.

    Each in words, with the epoch; of equals the first. Also what the weights could do when they looked worst.
    """
    seen, able, probe = (by_epoch(run, statistics=kind) for kind in ("moving", best_statistics(run), "probe"))
    looked, deepest, dimmest = map(lowest, (seen, able, probe))
    return {
        "looked worst, epoch": f"{seen[looked]} after {looked}",
        "re-estimated then": str(able[looked]),
        "weights at their worst": f"{able[deepest]} after {deepest}",
        "lowest fresh probe": f"{probe[dimmest]} after {dimmest} ({percent(probe[0].value)})",
    }
