"""Chapter 3: the beginning of the run that failed, repeated with one thing changed, and at other rates."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from helpers.analysis import batchnorm
from helpers.analysis.batchnorm import KEPT_FRACTION as KEPT_FRACTION
from helpers.analysis.batchnorm import Repeats
from helpers.records.run import Run
from helpers.text import listed, scientific

LENGTHS = "averages over 10 steps", "as logged", "averages over 1,000 steps"
"""Interventions that differ in how far the norm's averages reach back, the shortest first."""
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

    def stood(self, name: str, statistics: str = "moving") -> str:
        """What an intervention ends at, in words; says so where it was not run."""
        return self.changed[name].stood(statistics) if name in self.changed else "(not run here)"

    @property
    def outcomes(self) -> list[Row]:
        """Of each intervention: accuracy as evaluated, re-estimated, by a fresh probe; active channels."""
        kinds = "moving", "clean", "probe"
        return [(name, *map(group.stood, kinds), group.active) for name, group in self.changed.items()]

    @property
    def gaps(self) -> dict[str, str]:
        """Intervention that leaves the head a batch norm to what is hidden, in points: '+7.9, +4.6'."""
        return {
            name: listed((100 * gap for gap in group.gaps), "+.1f")
            for name, group in self.changed.items()
            if batchnorm.best_statistics(group[0]) == "clean"
        }

    @property
    def by_length(self) -> list[Row]:
        """Shorter and longer averages, how often the shorter hide less, of how many repetitions."""
        found: list[Row] = []
        for short, long in pairwise(name for name in LENGTHS if name in self.changed):
            gaps = zip(self.changed[short].gaps, self.changed[long].gaps, strict=True)
            held = [less < more for less, more in gaps]
            found.append((short, long, sum(held), len(held)))
        return found

    @property
    def same_weights(self) -> list[Row]:
        """Repetitions that trained alike with averages of two lengths: accuracy with each, and the seed."""
        pairs = zip(self.changed.get(LENGTHS[0], ()), self.repetitions, strict=False)
        return [
            (batchnorm.accuracy(ten), batchnorm.accuracy(one), one.seed)
            for ten, one in pairs
            if str(ten.stage2.loss) == str(one.stage2.loss)  # as text, in which nan equals nan
        ]

    @property
    def halves(self) -> list[Row]:
        """Of each repetition: seed, threads, accuracy by what of the norm is estimated anew."""
        return [(one.seed, one.threads, *batchnorm.halves(one)) for one in self.repetitions]

    def _half(self, name: str) -> list[float]:
        return [batchnorm.accuracy(one, statistics=name).value for one in self.repetitions]

    def added(self, half: str) -> float:
        """What new 'means', new 'variances' or both ('clean') add to accuracy, averaged over repetitions."""
        return float(np.mean(self._half(half)) - np.mean(self._half("moving")))

    def spread(self, half: str) -> float:
        """By how much accuracy differs from repetition to repetition."""
        return float(np.ptp(self._half(half)))

    @property
    def recovered(self) -> list[float]:
        """By repetition, how much of what both halves regain new means regain alone; 1 is all."""
        return [batchnorm.recovered_fraction(one, "means") for one in self.repetitions]

    @property
    def distances(self) -> list[float]:
        """How far off the means are, averaged over active channels, by repetition."""
        return [batchnorm.statistics_distance(one, "mean_alive") for one in self.repetitions]

    @property
    def misfits(self) -> list[Row]:
        """Of each repetition: seed, accuracy as evaluated, active channels, distance of the means."""
        shares = [batchnorm.accuracy(one) for one in self.repetitions]
        seeds = [one.seed for one in self.repetitions]
        far = [f"{distance:.2f}" for distance in self.distances]
        return list(zip(seeds, shares, self.repetitions.active, far, strict=True))

    @property
    def farther_looks_worse(self) -> bool:
        """Whether, of any two repetitions, the one whose means are farther off looks worse."""
        seen = self._half("moving")
        return [seen[each] for each in np.argsort(self.distances)] == sorted(seen, reverse=True)

    def active_where(self, moving: bool) -> list[int]:
        """Active channels at the end of every intervention's runs with a moving batch norm, or without."""
        found = self.changed.values()
        alike = [group for group in found if (group[0].experiment.head_norm == "batch") is moving]
        return [count for group in alike for count in group.active]

    def fell(self, statistics: str) -> list[str]:
        """Interventions that end clearly below their start: '*as logged* (3)', with how many of their runs.

        statistics: 'clean' stands for 'moving' in a head without batch norm.
        """
        counts = {name: group.count_worse(statistics) for name, group in self.changed.items()}
        return [f"*{name}* ({count})" for name, count in counts.items() if count]

    @property
    def rate(self) -> float:
        """The failing rate; on the miniature its stand-in's."""
        return self.repetitions[0].config["learning_rate"]

    def three_rates(self, seed: int) -> dict[str, Run]:
        """The lowest rate, the failing one and the highest, where they were tried, to their run of a seed."""
        tried = [rate for rate in (min(self.rates), self.rate, max(self.rates)) if rate in self.rates]
        return {scientific(rate): one for rate in tried for one in self.rates[rate] if one.seed == seed}

    @property
    def probes(self) -> list[Row]:
        """Of each rate: probe before and after, words for the change, active channels."""
        named = {scientific(rate): group for rate, group in self.rates.items()}
        return [
            (name, each.stood("probe", 0), each.stood("probe"), each.change("probe"), each.active)
            for name, each in named.items()
        ]

    @property
    def changes(self) -> list[Row]:
        """Of each rate: words for how it looks and what its weights are, compared with before."""
        return [(scientific(rate), each.change(), each.change("clean")) for rate, each in self.rates.items()]

    @property
    def lower_rates(self) -> list[str]:
        """What each rate below the failing one ends at: '1e-5 at 89.5%, 89.1%'."""
        lower = {rate: group for rate, group in self.rates.items() if rate < self.rate}
        return [f"{scientific(rate)} at {group.stood()}" for rate, group in lower.items()]
