"""Runs of one experiment that differ in their seed: matched, averaged, compared."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from helpers.analysis import intervals
from helpers.analysis.intervals import Gain, PairedTest, Proportion
from helpers.experiment import Experiment
from helpers.records.run import RecordError, Run

Group = Sequence[Run]


def matching_runs(runs: Group, experiment: Experiment, free: Sequence[str] = ("seed",)) -> list[Run]:
    """An experiment's runs, by seed; only the `free` fields may differ from its own.

    Raises RecordError for two records of one experiment, which differ in their data or weights: a mean over
    both would take them for two seeds.
    """

    def key(run: Run) -> str:
        return _key(experiment, **{name: getattr(run.experiment, name) for name in free})

    found = [run for run in runs if run.key and run.key == key(run)]
    first: dict[str, Run] = {}
    for run in found:
        if (other := first.setdefault(run.key, run)) is not run:
            raise RecordError(
                f"{other.path.name} and {run.path.name} are one experiment on different data or weights, "
                "and no verdict can rest on both: move one of them to another folder"
            )
    return sorted(found, key=lambda run: run.seed)


def compared_runs(groups: Mapping[str, Group]) -> list[Run]:
    """The runs that a judgement rests on: of several groups, those whose seed another group has as well."""
    found: list[Run] = []
    for name, group in groups.items():
        others = {run.seed for other, runs in groups.items() if other != name for run in runs}
        paired = [run for run in group if run.seed in others]
        found += paired or group
    return list(dict.fromkeys(found))


@functools.cache
def _key(experiment: Experiment, **changes: Any) -> str:
    return experiment.replace(**changes).key


def paired(
    first: Run, second: Run, split: str = "test", views: tuple[str, str] = ("plain", "plain")
) -> PairedTest:
    """The second run against the first on the images of 'val' or 'test', each by its own view's answers."""
    return intervals.paired(first.correct(split, views[0]), second.correct(split, views[1]))


def pairs(first: Group, second: Group) -> list[tuple[Run, Run]]:
    """Two experiments' runs of the seeds that both have, the lowest first."""
    one, two = ({run.seed: run for run in group} for group in (first, second))
    return [(one[seed], two[seed]) for seed in sorted(one.keys() & two.keys())]


def gain(first: Group, second: Group, views: tuple[str, str] = ("plain", "plain")) -> Gain:
    """What the second experiment's runs gain over the first's on the test images, by seed.

    Where no seed is common to both, the first run of each is compared, and the text says so. For one seed the
    interval is that of `paired` over the images; for more it is over seeds and images, as
    `intervals.mean_of_seeds` says.
    """
    both = pairs(first, second)
    if len(both) < 2:
        test = paired(*(both or [(first[0], second[0])])[0], views=views)
        return Gain(test.difference, test.low, test.high, len(both))
    before, after = ([pair[place].correct("test", view) for pair in both] for place, view in enumerate(views))
    return Gain(*intervals.mean_of_seeds(np.subtract(after, before, dtype=float)), len(both))


def accuracy(run: Run, split: str = "test", view: str = "plain") -> Proportion:
    """A run's accuracy on 'val' or 'test' with Wilson's interval; of a log of the original study, too.

    view: 'plain', or 'tta' with the flip averaged in.
    """
    return intervals.proportion(run.accuracy(split, view), run.size(split))


def mean_accuracy(group: Group, split: str = "test", view: str = "plain") -> Proportion:
    """An experiment's accuracy: of a single run its own, of several with an interval for seeds and images."""
    if len(group) == 1:
        return accuracy(group[0], split, view)
    return intervals.mean_accuracy([run.correct(split, view) for run in group])


def both_splits(group: Group) -> str:
    """'val 92.3% (91.5 to 93.0), test 91.6% (91.0 to 92.1)'."""
    return f"val {mean_accuracy(group, 'val')}, test {mean_accuracy(group, 'test')}"


def rate_of_kept_weights(run: Run) -> float:
    """The learning rate of stage 2's epoch of lowest validation loss, whose weights are kept."""
    return run.stage2.learning_rate[run.stage2.kept_epoch]


def epochs_by_rate(run: Run) -> dict[float, list[int]]:
    """Stage 2's learning rates, in their order, to the epochs at each; the first epoch is 1."""
    found: dict[float, list[int]] = {}
    for epoch, rate in enumerate(run.stage2.learning_rate, 1):
        found.setdefault(rate, []).append(epoch)
    return found


def at_first_rate(run: Run) -> list[float]:
    """Validation accuracy after each epoch of stage 2 at its first rate."""
    rates = run.stage2.learning_rate
    return run.stage2.val_accuracy[: rates.count(rates[0])]


def early_stop(losses: Sequence[float], patience: int) -> tuple[int, int]:
    """The last epoch under early stopping as Keras has it, and the one whose weights are kept; from 1.

    The end comes after `patience` epochs without a lower loss. Of equal losses the first is kept.
    """
    kept = 0
    for epoch, loss in enumerate(losses):
        kept = epoch if loss < losses[kept] else kept
        if epoch - kept >= patience:
            break
    return epoch + 1, kept + 1


def train_gap(group: Group, stage: str) -> float:
    """Training less validation accuracy, -1 to 1, in a stage's last epoch, averaged over the runs."""
    curves = [run.stage(stage) for run in group]
    return float(np.mean([curve.accuracy[-1] - curve.val_accuracy[-1] for curve in curves]))


def kept_gap(group: Group) -> float:
    """Training less validation accuracy, -1 to 1, in stage 2's kept epoch, averaged over the runs."""
    kept = [(run.stage2, run.stage2.kept_epoch) for run in group]
    return float(np.mean([curve.accuracy[epoch] - curve.val_accuracy[epoch] for curve, epoch in kept]))


def storing_gain(run: Run) -> float:
    """How many times faster stage 1 was than with a pass through the backbone in every epoch.

    Of the stored images the training set alone is passed again; the rest is of both kinds of evaluation.
    """
    stored = run.train_images + 2 * (run.size("val") + run.size("test"))
    a_pass = run.storing_seconds * run.train_images / stored
    return len(run.stage1) * a_pass / (run.storing_seconds + run.stage1_seconds)


def best_rate(rates: Mapping[float, Group]) -> float:
    """The learning rate whose runs have the highest mean validation accuracy; of equals the first."""
    return max(rates, key=lambda rate: np.mean([run.val_accuracy for run in rates[rate]]))


def at_best_rate(group: Group) -> list[Run]:
    """The runs at the best of their learning rates."""
    rates: dict[float, list[Run]] = {}
    for run in group:
        rates.setdefault(run.experiment.learning_rate, []).append(run)
    return rates[best_rate(rates)]
