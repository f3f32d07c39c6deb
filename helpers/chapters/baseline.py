"""Chapter 2: the frozen network with a new head."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from helpers import run
from helpers.analysis import groups, metrics
from helpers.analysis.intervals import Proportion
from helpers.chapters import common
from helpers.records import published, store
from helpers.records.run import Run
from helpers.study import experiments

LOGS = ("run_n0_Adam", "run_aug_custom1")
"""The original study's logs of a frozen backbone."""
Accuracies = tuple[str, Proportion, Proportion]


@dataclass(frozen=True)
class Baseline:
    """The chapter's runs, which differ in their seed, and the study's logs."""

    runs: dict[str, Run]
    logs: dict[str, Run]

    @property
    def first(self) -> Run:
        """The run of seed 0."""
        return self.runs["seed 0"]

    @property
    def accuracies(self) -> list[Accuracies]:
        """Each run's name, validation accuracy and test accuracy."""
        return _accuracies(self.runs)

    @property
    def logged(self) -> list[Accuracies]:
        """The same of the study's logs."""
        return _accuracies(self.logs)

    @property
    def row(self) -> common.Row:
        """The seeds taken together."""
        runs = list(self.runs.values())
        return common.Row(runs, runs)

    @property
    def train(self) -> list[float]:
        """Each run's training accuracy in its last epoch, 0 to 1."""
        return [each.stage1.accuracy[-1] for each in self.runs.values()]

    @property
    def gaps(self) -> list[float]:
        """Each run's training accuracy less its validation accuracy in the last epoch, -1 to 1."""
        return [groups.train_gap([each], "stage1") for each in self.runs.values()]

    @property
    def losses(self) -> list[float]:
        """Each run's validation accuracy in its best epoch less that in its last, 0 to 1."""
        curves = [each.stage1.val_accuracy for each in self.runs.values()]
        return [max(curve) - curve[-1] for curve in curves]

    @property
    def classes(self) -> dict[str, Proportion]:
        """Class to test accuracy of the first run, the hardest first."""
        shares = metrics.class_accuracy(self.first.matrix())
        named = zip(self.first.classes, shares, strict=True)
        return dict(sorted(named, key=lambda pair: pair[1].value))

    @property
    def costs(self) -> list[tuple[str, str, str, int, str]]:
        """Each run's name, the time of its features and of its head, its passes, and its `storing_gain`."""
        found = []
        for name, each in self.runs.items():
            times = f"{each.storing_seconds:,.0f} s", f"{each.stage1_seconds:,.0f} s"
            found.append((name, *times, len(each.stage1), f"{groups.storing_gain(each):.1f}"))
        return found


def _accuracies(runs: Mapping[str, Run]) -> list[Accuracies]:
    return [(name, groups.accuracy(each, "val"), groups.accuracy(each)) for name, each in runs.items()]


def load(*, dataset: str, scale: str, seeds: int, stage1_epochs: int, **parameters: Any) -> Baseline:
    """The runs with seeds 0, 1, 2 and so on, trained where they are not stored, and the study's logs.

    `parameters` are fields of the Experiment. Raises ExperimentError where there is nothing to train.
    """
    common.refuse_below(1, seeds=seeds, stage1_epochs=stage1_epochs)
    experiment = experiments.for_notebook(
        experiments.BASELINE, dataset=dataset, scale=scale, stage1_epochs=stage1_epochs, **parameters
    )
    return Baseline(
        runs={f"seed {seed}": run.run(experiment.replace(seed=seed)) for seed in range(seeds)},
        logs={name: store.read(published.PUBLISHED_LOGS / f"{name}.json") for name in LOGS},
    )
