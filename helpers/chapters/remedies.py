"""Chapter 10: the failing run whole, with its norm frozen in part, late, or evaluated with other statistics.

The rules that these runs are read by stand beside their experiments in study/experiments.py.
"""

from dataclasses import dataclass, replace
from functools import partial
from statistics import fmean
from typing import Any

from helpers import run
from helpers.analysis import batchnorm
from helpers.analysis.intervals import Gain, describe_difference
from helpers.chapters import common
from helpers.chapters.beginnings import Row
from helpers.chapters.forgetting import CAREFUL, CAREFUL_FROZEN, FROZEN, LOGGED, UNTUNED, Failure, Whole
from helpers.study import experiments
from helpers.text import points, scientific

LATE, RENEWED = "norm frozen in the last passes", "re-estimated before every evaluation"
ADDED = {RENEWED: experiments.NOT_MISLED, LATE: experiments.FROZEN_LATE, **experiments.HALF_FROZEN}
"""Ways to train that chapter 3 does not show."""
AT_RATES = {
    f"norm frozen, {scientific(rate)}": experiments.FROZEN_NORM.replace(learning_rate=rate)
    for rate in experiments.FROZEN_NORM_RATES
    if rate != experiments.CAREFUL.learning_rate
}
"""FROZEN at other rates, which do not follow the notebook's own; at the careful one it is chapter 3's."""
MOVING = {
    f"norm moving, {scientific(each.learning_rate)}": each.replace(head_norm="batch")
    for each in AT_RATES.values()
}
"""The same with the study's own norm."""
WAYS = (LOGGED, *ADDED, FROZEN)
ENOUGH = 0.003
"""Validation accuracy by which a remedy may lie below RENEWED, and be enough."""
PREVENTED = 0.02
"""Accuracy that re-estimating may give back after any pass where the failure counts as prevented."""


@dataclass(frozen=True)
class Half:
    """Whole runs with one half of the norm frozen: its statistics alone, or its scale and offset alone."""

    name: str
    hidden: float
    """The most accuracy that re-estimating gives back after any pass of any seed, 0 to 1."""
    rest: Gain
    """What freezing the other half as well gains on test."""

    @property
    def prevents(self) -> bool:
        """Whether this half prevents the failure alone."""
        return self.hidden <= PREVENTED


@dataclass(frozen=True)
class Remedies:
    """Chapter 3's whole runs with those of ADDED; a way that was not run has none."""

    failure: Failure

    @property
    def rows(self) -> list[Row]:
        """Of each way: seeds, lowest re-estimated accuracy, points hidden at most, test, gain over LOGGED."""
        found: list[Row] = []
        for way in WAYS:
            if not (by_seed := self.failure.whole[way]):
                continue
            courses = [one.course for one in by_seed.values()]
            lows = [course.lowest_epoch("reestimated").reestimated.value for course in courses]
            gaps = [f"{100 * course.largest_gap:.1f}" for course in courses]
            tests = [one.run.test_accuracy for one in by_seed.values()]
            gain = "–" if way == LOGGED else self.failure.gain(way, LOGGED)
            found.append((way, list(by_seed), lows, gaps, tests, gain))
        return found

    def _gain(self, way: str, over: str) -> Gain | None:
        whole = self.failure.whole
        return self.failure.gain(way, over) if whole[way] and whole[over] else None

    @property
    def evaluation(self) -> Gain | None:
        """What fitting statistics in every evaluation gain over LOGGED; None where that was not run."""
        return self._gain(RENEWED, LOGGED)

    @property
    def training(self) -> Gain | None:
        """What a frozen norm gains over that; None where one of them was not run."""
        return self._gain(FROZEN, RENEWED)

    @property
    def gain_is(self) -> str:
        """What the frozen norm's gain is by the rule: 'evaluation', 'training', both, or 'neither'."""
        parts = {"evaluation": self.evaluation, "training": self.training}
        return " and ".join(name for name, gain in parts.items() if gain and gain.low > 0) or "neither"

    @property
    def halves(self) -> list[Half]:
        """Freezing taken apart: each half that was run; none where the whole of it was not."""
        if not self.failure.whole[FROZEN]:
            return []
        runs = {way: self.failure.whole[way].values() for way in experiments.HALF_FROZEN}
        hidden = {
            way: max(one.course.largest_gap for one in wholes) for way, wholes in runs.items() if wholes
        }
        return [Half(way, most, self.failure.gain(FROZEN, way)) for way, most in hidden.items()]

    @property
    def freezing_prevents(self) -> bool:
        """Whether the whole norm frozen prevents the failure, by the rule for each half."""
        return self.failure.largest_gap_frozen <= PREVENTED

    @property
    def hides_less(self) -> str:
        """The half that hides less than the other; empty unless both were run."""
        hidden = {each.hidden: each.name for each in self.halves}
        return hidden[min(hidden)] if len(hidden) == len(experiments.HALF_FROZEN) else ""

    def _at(self, *ways: str) -> dict[float, str]:
        """Learning rate to that of the ways which was run at it."""
        runs = {way: self.failure.whole.get(way, {}).values() for way in ways}
        return {one.run.experiment.learning_rate: way for way, found in runs.items() for one in found}

    @property
    def by_rate(self) -> list[Row]:
        """With the norm frozen, of each rate: seeds, test, gains over CAREFUL and MOVING, the rule's word.

        A rate is better than the careful one if the first gain lies above zero. It fails below UNTUNED.
        """
        found: list[Row] = []
        moving = self._at(CAREFUL, *MOVING, LOGGED)
        for rate, way in sorted(self._at(CAREFUL_FROZEN, *AT_RATES, FROZEN).items()):
            runs = self.failure.whole[way]
            tests = [one.run.test_accuracy for one in runs.values()]
            gain, over = self.failure.gain(way), self.failure.gain(way, UNTUNED)
            word = describe_difference(gain, "better", "worse", "not shown to differ")
            beside = self.failure.gain(way, moving[rate]) if rate in moving else "–"
            told = "fails" if over.value < 0 else word
            found.append((scientific(rate), list(runs), tests, gain, beside, told))
        return found

    @property
    def freezing_costs(self) -> str:
        """The rates of `by_rate` at which the study's own norm has more test accuracy, or 'none'."""
        lost = [str(row[0]) for row in self.by_rate if isinstance(row[4], Gain) and row[4].high < 0]
        return " and ".join(lost) or "none"

    def rates_that(self, word: str) -> str:
        """The rates of `by_rate` of which the rule says so, '1e-4 and 3e-4', or 'none'."""
        return " and ".join(str(row[0]) for row in self.by_rate if row[-1] == word) or "none"

    @property
    def tried(self) -> list[Row]:
        """Of each remedy, the cheapest first: seeds, validation, against RENEWED, whether it is enough."""
        shares = {
            name: {seed: one.run.val_accuracy for seed, one in self.failure.whole[name].items()}
            for name in (LATE, RENEWED)
        }
        once = {
            seed: batchnorm.accuracy(one.run, statistics="augmented").value
            for seed, one in self.failure.whole[LOGGED].items()
        }
        found: list[Row] = []
        for name, by_seed in {"re-estimated once, at the end": once, **shares}.items():
            if seeds := [seed for seed in by_seed if seed in shares[RENEWED]]:
                mean, best = (fmean(of[seed] for seed in seeds) for of in (by_seed, shares[RENEWED]))
                is_enough = "yes" if mean >= best - ENOUGH else "no"
                against = ("–", "–") if name == RENEWED else (points(mean - best), is_enough)
                found.append((name, seeds, mean, *against))
        return found


def added(failure: Failure, *, learning_rate: float, optimizer: str, **given: Any) -> Failure:
    """Chapter 3's runs with the stored ones of ADDED, AT_RATES and MOVING; none is trained.

    `given` are other fields of each.
    """
    failing = {way: base.replace(learning_rate=learning_rate) for way, base in ADDED.items()}
    found = {}
    for way, base in {**failing, **AT_RATES, **MOVING}.items():
        wanted = experiments.for_notebook(base.replace(optimizer=optimizer), **given)
        by_seed = common.by_seed(wanted, find=partial(run.find, diagnosed=way not in MOVING))
        found[way] = {seed: Whole(*runs) for seed, runs in by_seed.items()}
    return replace(failure, whole={**failure.whole, **found})
