"""Chapter 10: the failing run whole, with its norm frozen in part, late, or evaluated with other statistics.

The rules that these runs are read by stand beside their experiments in study/experiments.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from statistics import fmean
from typing import Any

from helpers import run
from helpers.analysis import batchnorm, groups
from helpers.analysis.intervals import Gain
from helpers.chapters import common
from helpers.chapters.beginnings import Row
from helpers.records.run import Run
from helpers.study import experiments
from helpers.text import points

LOGGED, FROZEN, LATE = "as logged", "norm frozen", "norm frozen in the last passes"
RENEWED = "re-estimated before every evaluation"
WAYS = {
    LOGGED: experiments.LOGGED,
    RENEWED: experiments.NOT_MISLED,
    LATE: experiments.FROZEN_LATE,
    **experiments.HALF_FROZEN,
    FROZEN: experiments.FROZEN_NORM,
}
ENOUGH = 0.003
"""Validation accuracy by which a remedy may lie below RENEWED, and be enough."""


@dataclass(frozen=True)
class Remedies:
    """Diagnosed runs, of those that were made; a comparison takes the seeds that both ways have."""

    runs: Mapping[str, Mapping[int, Run]] = field(default_factory=dict)
    """By way to train and seed."""

    @property
    def records(self) -> list[Run]:
        """Every run."""
        return [one for by_seed in self.runs.values() for one in by_seed.values()]

    @property
    def rows(self) -> list[Row]:
        """Of each way: seeds, lowest re-estimated accuracy, points hidden at most, test, gain over LOGGED."""
        found: list[Row] = []
        for way, by_seed in self.runs.items():
            courses = [batchnorm.course(one) for one in by_seed.values()]
            lows = [course.lowest_epoch("reestimated").reestimated.value for course in courses]
            gaps = [f"{100 * course.largest_gap:.1f}" for course in courses]
            tests = [one.test_accuracy for one in by_seed.values()]
            found.append((way, list(by_seed), lows, gaps, tests, "–" if way == LOGGED else self.gain(way)))
        return found

    def gain(self, way: str, over: str = LOGGED) -> Gain:
        """Test accuracy of one way less another's, over the seeds that both have."""
        first, second = (list(self.runs[name].values()) for name in (over, way))
        return groups.gain(first, second)

    @property
    def evaluation(self) -> Gain | None:
        """What fitting statistics in every evaluation gain over LOGGED; None where that was not run."""
        return self.gain(RENEWED) if RENEWED in self.runs else None

    @property
    def training(self) -> Gain | None:
        """What a frozen norm gains over that; None where one of them was not run."""
        return self.gain(FROZEN, RENEWED) if {FROZEN, RENEWED} <= self.runs.keys() else None

    @property
    def gain_is(self) -> str:
        """What the frozen norm's gain is by the rule: 'evaluation', 'training', both, or 'neither shown'."""
        parts = {"evaluation": self.evaluation, "training": self.training}
        return " and ".join(name for name, gain in parts.items() if gain and gain.low > 0) or "neither shown"

    @property
    def tried(self) -> list[Row]:
        """Of each remedy, the cheapest first: seeds, validation, against RENEWED, whether it is enough."""
        kept = {
            name: {seed: one.val_accuracy for seed, one in self.runs[name].items()}
            for name in (LATE, RENEWED)
            if name in self.runs
        }
        if RENEWED not in kept:
            return []
        logged = self.runs[LOGGED].items()
        once = {seed: batchnorm.accuracy(one, statistics="augmented").value for seed, one in logged}
        found: list[Row] = []
        for name, shares in {"re-estimated once, at the end": once, **kept}.items():
            if not (seeds := [seed for seed in shares if seed in kept[RENEWED]]):
                continue
            mean, best = (fmean(of[seed] for seed in seeds) for of in (shares, kept[RENEWED]))
            is_enough = "yes" if mean >= best - ENOUGH else "no"
            against = ("–", "–") if name == RENEWED else (points(mean - best), is_enough)
            found.append((name, seeds, mean, *against))
        return found


def load(*, seed: int, learning_rate: float, optimizer: str, **given: Any) -> Remedies:
    """The stored runs; none is trained. `given` are other fields of every Experiment."""
    failing = {"learning_rate": learning_rate, "optimizer": optimizer}
    find = partial(run.find, diagnosed=True)
    found = {}
    for way, base in WAYS.items():
        wanted = experiments.for_notebook(base.replace(**failing), seed=seed, **given)
        if by_seed := common.by_seed(wanted, find=find):
            found[way] = {each: one for each, (one,) in by_seed.items()}
    return Remedies(found)
