"""Chapter 10, for the specialist: what chapter 3's runs say of the head's batch norm, and of the weights."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from helpers.analysis import batchnorm, groups
from helpers.chapters import causes, forgetting, remedies
from helpers.chapters.beginnings import Beginnings, Repeats, Row
from helpers.chapters.causes import Followed, WithoutAdam
from helpers.chapters.forgetting import FROZEN, LOGGED, PUBLISHED, Failure, Whole
from helpers.chapters.remedies import Remedies
from helpers.records.run import Run
from helpers.text import scientific, span


@dataclass(frozen=True)
class Anatomy:
    """Chapter 3's runs, taken apart."""

    failure: Failure
    followed: Followed = field(default_factory=Followed)
    without_adam: WithoutAdam = field(default_factory=WithoutAdam)

    @property
    def records(self) -> list[Run]:
        """Every run, and the study's log."""
        return [*self.failure.records, *self.followed.runs.values(), *self.without_adam.runs]

    @property
    def remedies(self) -> Remedies:
        """What mends the run, to its end."""
        return Remedies(self.failure)

    @property
    def begun(self) -> Beginnings:
        """The run as logged, begun again."""
        return self.failure.begun

    @property
    def by_memory(self) -> dict[str, Repeats]:
        """The interventions with averages of another length or none; else the failure and its remedy."""
        lengths = "averages over 10 steps", "averages over 1,000 steps", "layer norm", "SGD, 2e-3"
        return self.begun.only(lengths) or self.begun.only(["as logged", "batch norm frozen"])

    @property
    def by_norm(self) -> dict[str, Repeats]:
        """Interventions whose norm moves, then those where it is frozen or left out."""
        moving = "as logged", "averages over 10 steps", "SGD, 2e-3"
        return self.begun.only([*moving, "batch norm frozen", "no norm"])

    def _diagnosed(self, *ways: str) -> dict[str, Whole]:
        """'as logged, seed 42' to its run, of these ways to train; those that were diagnosed."""
        wholes = [(way, seed, one) for way in ways for seed, one in self.failure.whole[way].items()]
        return {f"{way}, seed {seed}": one for way, seed, one in wholes if one.run.diagnosis}

    # ---------------------------------------------------------------- images, means, variances

    @property
    def by_images(self) -> list[Row]:
        """In the lowest epoch of the run as logged: accuracy on plain and augmented images by statistics."""
        one = self.failure.failed
        epoch = one.course.lowest_epoch("moving").epoch
        return [
            (
                words,
                *(batchnorm.accuracy(one.run, images, kind, epoch) for images in ("val", "val_augmented")),
            )
            for kind, words in batchnorm.STATISTICS.items()
        ]

    @property
    def estimates_differ(self) -> float:
        """How far apart, in points, its re-estimated accuracies lie by the images that they come from."""
        return 100 * float(np.ptp([plain.value for _, plain, _ in self.by_images[1:]]))

    @property
    def split(self) -> dict[str, Whole]:
        """The whole diagnosed runs at the failing rate whose records hold means and variances apart."""
        found = self._diagnosed(LOGGED, PUBLISHED)
        return {name: one for name, one in found.items() if batchnorm.halves(one.run)}

    @property
    def halves(self) -> dict[str, Run]:
        """Those as logged among them, or of a run too short for one its repetition."""
        logged = {name: one.run for name, one in self.split.items() if name.startswith(LOGGED)}
        return logged or {f"as logged, seed {one.seed}": one for one in self.begun.repetitions}

    def recovered(self, beyond: float) -> list[float]:
        """What new means alone regain of both, in each of their epochs whose gap is `beyond`, 0 to 1."""
        return [
            batchnorm.recovered_fraction(one.run, "means", epoch.epoch)
            for one in self.split.values()
            for epoch in one.course.epochs[1:]
            if epoch.statistics_gap > beyond
        ]

    # ---------------------------------------------------------------- rates within a run

    @property
    def paces(self) -> list[Row]:
        """Of the run as logged, by rate: epochs, accuracy as evaluated and re-estimated, statistics gap."""
        one, found = self.failure.failed, []
        for rate, epochs in groups.epochs_by_rate(one.run).items():
            at = [one.course.epochs[epoch] for epoch in epochs]
            shares = [span(each.moving.value for each in at), span(each.reestimated.value for each in at)]
            gaps = [100 * each.statistics_gap for each in at]
            found.append((scientific(rate), f"{epochs[0]} to {epochs[-1]}", *shares, span(gaps, ".1f")))
        return found

    @property
    def halvings(self) -> list[Row]:
        """Of runs as logged whose rate fell: after which epoch, highest accuracy until then, lowest after."""
        return [
            (f"seed {seed}", len(one.early), max(one.early), min(one.late))
            for seed, one in self.failure.whole[LOGGED].items()
            if one.late
        ]

    def recovering(self, at_once: bool) -> list[str]:
        """Runs as logged that stand higher in every epoch after the first halving than before; or not."""
        return [name for name, _, highest, lowest in self.halvings if (lowest > highest) is at_once]

    # ---------------------------------------------------------------- the weights

    @property
    def channels(self) -> list[Row]:
        """Of whole runs, norm frozen or not: active channels before, at the lowest, last; test."""
        return [
            (name, one.active[0], min(one.active), one.active[-1], groups.accuracy(one.run))
            for name, one in {**self.split, **self._diagnosed(FROZEN)}.items()
        ]


def load(**parameters: Any) -> Anatomy:
    """Chapter 3's runs, with its parameters; trained where they are not stored."""
    failure = forgetting.load(**parameters)
    del parameters["careful_rate"]
    return Anatomy(remedies.added(failure, **parameters), *causes.load(failure.failed.run))
