"""Chapter 5: mixup."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from helpers import run
from helpers.analysis import groups
from helpers.analysis.intervals import Gain, PairedTest, Proportion
from helpers.chapters import common
from helpers.records.run import Run
from helpers.study import experiments, rules
from helpers.text import listed, percent


@dataclass(frozen=True)
class Mixup:
    """The chapter's two runs, and the pairs that are stored for this seed and others."""

    runs: dict[str, Run]
    pairs: Mapping[int, list[Run]]
    """Seed to the run without mixup and the one with it; this chapter's own first."""

    @property
    def groups(self) -> tuple[groups.Group, groups.Group]:
        """The runs without mixup and those with it, by seed."""
        standard, mixed = zip(*self.pairs.values(), strict=True)
        return standard, mixed

    @property
    def gain(self) -> Gain:
        """The mean of the pairs' differences, for other seeds and images; of a single one its own."""
        return groups.gain(*self.groups)

    @property
    def means(self) -> list[Proportion]:
        """Test accuracy without mixup and with it, over the seeds."""
        return [groups.mean_accuracy(group) for group in self.groups]

    @property
    def by_seed(self) -> list[tuple[int, Proportion, Proportion, PairedTest]]:
        """Of each pair its seed, test accuracy without mixup and with it, and their difference."""
        return [
            (seed, groups.accuracy(standard), groups.accuracy(mixed), groups.paired(standard, mixed))
            for seed, (standard, mixed) in self.pairs.items()
        ]

    @property
    def shown_alone(self) -> int:
        """How many of the pairs show a difference by their own paired test."""
        return sum(not test.low <= 0 <= test.high for *_, test in self.by_seed)

    @property
    def published(self) -> float | None:
        """The study's difference; None beside other runs than those that its claim is about."""
        return common.published(rules.MIXUP_GAINS, *self.runs.values())

    @property
    def gaps(self) -> list[float]:
        """Training less validation accuracy at the end of each of the two runs, -1 to 1."""
        return [groups.train_gap([each], "stage2") for each in self.runs.values()]

    @property
    def rate_drops(self) -> dict[str, str]:
        """When the schedule lowered the rate of each of the two: 'before epochs 21 and 27', or 'never'."""
        spans = {name: list(groups.epochs_by_rate(each).values()) for name, each in self.runs.items()}
        drops = {name: listed((epochs[0] for epochs in each[1:]), "d") for name, each in spans.items()}
        told = {True: "before epochs", False: "before epoch"}
        return {
            name: f"{told[', ' in epochs]} {' and '.join(epochs.rsplit(', ', 1))}" if epochs else "never"
            for name, epochs in drops.items()
        }

    @property
    def threads(self) -> list[int]:
        """Threads that each of the two runs used."""
        return [each.threads for each in self.runs.values()]

    @property
    def calibration(self) -> list[tuple[str, str, str, str]]:
        """Each run's name, and of its test answers mean confidence, calibration error and log loss."""
        found = {name: common.calibration(each) for name, each in self.runs.items()}
        return [
            (name, percent(of.confidence), percent(of.error), f"{of.log_loss:.3f}")
            for name, of in found.items()
        ]


def load(*, mixup_alpha: float, n_unfreeze: int, epochs: int, **parameters: Any) -> Mixup:
    """The two runs, trained where they are not stored, and the pairs of other seeds that are stored.

    `parameters` are the data set, the scale and other fields of the Experiment. Raises ExperimentError
    where there is nothing that mixup could change.
    """
    common.refuse_below(1, n_unfreeze=n_unfreeze, epochs=epochs)
    same = {"n_unfreeze": n_unfreeze, "epochs": epochs, **parameters}
    standard = experiments.for_notebook(experiments.CAREFUL, **same)
    mixed = experiments.for_notebook(
        experiments.TABLE["careful fine-tune + mixup"], mixup_alpha=mixup_alpha, **same
    )
    runs = {"standard": run.run(standard), "with mixup": run.run(mixed)}
    return Mixup(runs, common.by_seed(standard, mixed))
