"""Chapter 5: mixup."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from helpers import run
from helpers.analysis import groups
from helpers.analysis.groups import Group
from helpers.analysis.intervals import Gain, PairedTest, Proportion
from helpers.chapters import common
from helpers.records.run import Run
from helpers.study import experiments, rules
from helpers.text import listed, percent, points


@dataclass(frozen=True)
class Mixup:
    """The chapter's two runs, and the pairs that are stored for this seed and others."""

    runs: dict[str, Run]
    pairs: Mapping[int, list[Run]]
    """Seed to the run without mixup and the one with it; this chapter's own first."""
    new_pairs: Mapping[int, list[Run]]
    """The same with new views in every pass, as the study drew them; empty where this seed has none."""

    @property
    def groups(self) -> tuple[Group, Group]:
        """The pairs that the answer is about, those of `drawn`."""
        return self.compared[self.drawn]

    @property
    def drawn(self) -> str:
        """How their views are drawn: 'new views', as the claim is judged, where those are at hand."""
        return list(self.compared)[-1]

    @property
    def shown(self) -> dict[str, Run]:
        """The first of these pairs, which is of the notebook's seed."""
        (standard, *_), (mixed, *_) = self.groups
        return {"standard": standard, "with mixup": mixed}

    @property
    def compared(self) -> dict[str, tuple[Group, Group]]:
        """How the views are drawn, in words, to the runs without mixup and those with it, by seed."""
        views = self.runs["standard"].experiment.views_run
        found = {f"{views} stored views": self.pairs, "new views": self.new_pairs}
        both = {name: list(zip(*pairs.values(), strict=True)) for name, pairs in found.items() if pairs}
        return {name: (standard, mixed) for name, (standard, mixed) in both.items()}

    @property
    def gains(self) -> dict[str, Gain]:
        """The mean difference of each of these ways, for other seeds and images."""
        return {name: groups.gain(*both) for name, both in self.compared.items()}

    @property
    def gain(self) -> Gain:
        """The mean of the pairs' differences, for other seeds and images; of a single one its own."""
        return groups.gain(*self.groups)

    @property
    def in_turn(self) -> str:
        """What was found with few stored views, where new ones are at hand as well; else nothing."""
        (name, gain), *newer = self.gains.items()
        return f"These views are new in every pass. With {name}, used in turn: {gain}." if newer else ""

    @property
    def points_gained(self) -> list[str]:
        """The same, short: '-0.4 points with 4 stored views'."""
        return [f"{points(gain.value)} with {name}" for name, gain in self.gains.items()]

    @property
    def means(self) -> list[Proportion]:
        """Test accuracy without mixup and with it, over the seeds."""
        return [groups.mean_accuracy(group) for group in self.groups]

    @property
    def by_seed(self) -> list[tuple[str, int, Proportion, Proportion, PairedTest]]:
        """Of each pair its views, its seed, test accuracy without mixup and with it, and their difference."""
        return [
            (name, one.seed, groups.accuracy(one), groups.accuracy(two), groups.paired(one, two))
            for name, both in self.compared.items()
            for one, two in zip(*both, strict=True)
        ]

    @property
    def published(self) -> float | None:
        """The study's difference; None beside other runs than those that its claim is about."""
        return common.published(rules.MIXUP_GAINS, *self.runs.values())

    @property
    def gaps(self) -> list[float]:
        """Training less validation accuracy at the end of each of the two runs, -1 to 1."""
        return [groups.train_gap([each], "stage2") for each in self.shown.values()]

    @property
    def gap(self) -> float:
        """The same, as a mean over the runs without mixup that the difference is of."""
        return groups.train_gap(self.groups[0], "stage2")

    @property
    def records(self) -> list[Run]:
        """Every run."""
        return [each for both in self.compared.values() for group in both for each in group]

    @property
    def rate_drops(self) -> dict[str, str]:
        """When the schedule lowered the rate of each of the two: 'before epochs 21 and 27', or 'never'."""
        spans = {name: list(groups.epochs_by_rate(each).values()) for name, each in self.shown.items()}
        drops = {name: listed((epochs[0] for epochs in each[1:]), "d") for name, each in spans.items()}
        told = {True: "before epochs", False: "before epoch"}
        return {
            name: f"{told[', ' in epochs]} {' and '.join(epochs.rsplit(', ', 1))}" if epochs else "never"
            for name, epochs in drops.items()
        }

    @property
    def threads(self) -> list[int]:
        """Threads that each of the two runs used."""
        return [each.threads for each in self.shown.values()]

    @property
    def calibration(self) -> list[tuple[str, str, str, str]]:
        """Each run's name, and of its test answers mean confidence, calibration error and log loss."""
        found = {name: common.calibration(each) for name, each in self.shown.items()}
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
    new = [experiments.with_new_views(each) for each in (standard, mixed)]
    new_pairs = common.by_seed(*new) if new[0].key != standard.key else {}
    return Mixup(runs, common.by_seed(standard, mixed), new_pairs if standard.seed in new_pairs else {})
