"""Chapters 3 and 10: the beginning of the run that failed, with one thing changed, and at other rates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from helpers.analysis import batchnorm
from helpers.analysis.batchnorm import Repeats
from helpers.records.run import Run
from helpers.text import scientific

Row = tuple[Any, ...]


@dataclass(frozen=True)
class Beginnings:
    """Runs of a few epochs, each group one a seed."""

    changed: Mapping[str, Repeats]
    """Intervention to its runs."""
    rates: Mapping[float, Repeats]
    """Learning rate to its runs."""

    @property
    def repetitions(self) -> Repeats:
        """The run as logged, begun again with nothing changed."""
        return self.changed["as logged"]

    @property
    def epochs(self) -> int:
        """How many each run has."""
        return len(self.repetitions[0].stage2)

    @property
    def active_before(self) -> int:
        """Channels of the features that vary before the first epoch."""
        return self.repetitions[0].diagnosis[0].active

    def described(self, name: str) -> str:
        """The accuracies that an intervention ends at, in words; says so where it was not run."""
        return self.changed[name].described() if name in self.changed else "(not run here)"

    def only(self, names: Sequence[str]) -> dict[str, Repeats]:
        """Those of the interventions that were run, in this order."""
        return {name: self.changed[name] for name in names if name in self.changed}

    @property
    def outcomes(self) -> list[Row]:
        """Of each intervention: accuracy as evaluated, re-estimated, by a fresh probe; active channels."""
        kinds = "moving", "clean", "probe"
        return [(name, *map(group.described, kinds), group.active) for name, group in self.changed.items()]

    @property
    def halves(self) -> list[Row]:
        """Of each repetition: seed, threads, accuracy by what of the norm is estimated anew."""
        return [(one.seed, one.threads, *batchnorm.halves(one)) for one in self.repetitions]

    def added(self, half: str) -> list[float]:
        """Points that new 'means', new 'variances' or both ('clean') add to accuracy, by repetition."""
        ends = [
            (batchnorm.accuracy(one, statistics=half), batchnorm.accuracy(one)) for one in self.repetitions
        ]
        return [100 * (anew.value - moving.value) for anew, moving in ends]

    @property
    def recovered(self) -> list[float]:
        """By repetition, how much of what both halves regain new means regain alone; 1 is all."""
        return [batchnorm.recovered_fraction(one, "means") for one in self.repetitions]

    def active_where(self, moving: bool) -> list[int]:
        """Active channels at the end of every intervention's runs with a moving batch norm, or without."""
        found = self.changed.values()
        chosen = [group for group in found if (group[0].experiment.head_norm == "batch") is moving]
        return [count for group in chosen for count in group.active]

    @property
    def rate(self) -> float:
        """The failing rate; on the miniature its stand-in's."""
        return self.repetitions[0].config["learning_rate"]

    def three_rates(self, seed: int) -> dict[str, Run]:
        """The lowest rate, the failing one and the highest, where they were tried, to their run of a seed."""
        tried = [rate for rate in (min(self.rates), self.rate, max(self.rates)) if rate in self.rates]
        return {scientific(rate): one for rate in tried for one in self.rates[rate] if one.seed == seed}

    @property
    def by_rate(self) -> list[Row]:
        """Of each rate: words for the change, as evaluated, re-estimated and by a probe; active channels."""
        kinds = "moving", "clean", "probe"
        return [
            (scientific(rate), *map(group.change, kinds), group.active) for rate, group in self.rates.items()
        ]
