"""Chapter 9: the report's findings on other images, those of a stored set or a reader's own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from helpers import paths, run
from helpers.analysis import batchnorm, groups, intervals
from helpers.analysis.batchnorm import Course, EpochResult
from helpers.analysis.intervals import Gain
from helpers.experiment import is_study_data
from helpers.records import store
from helpers.records.run import Run
from helpers.study import experiments
from helpers.study.experiments import ELSEWHERE, SEEDS, SIGN_DIGITS, SIGN_DIGITS_FINGERPRINT

UNTUNED, CAREFUL, MOVING, FROZEN, RECIPE = ELSEWHERE
FALL = 0.02
"""Of validation accuracy: more is a collapse, and what is at most this far below the start is undone."""


@dataclass(frozen=True)
class Fall:
    """What became of a diagnosed run's validation accuracy."""

    seed: int
    course: Course

    @property
    def lowest(self) -> EpochResult:
        """The pass after which accuracy, as Keras evaluates, was lowest."""
        return self.course.lowest_epoch("moving")

    @property
    def is_collapse(self) -> bool:
        """Whether it fell more than FALL below its start."""
        return self.course.start.moving.value - self.lowest.moving.value > FALL

    @property
    def is_undone(self) -> bool:
        """Whether it collapsed and the same weights, re-estimated, lie at most FALL below the start."""
        return self.is_collapse and self.course.start.moving.value - self.lowest.reestimated.value <= FALL

    @property
    def told(self) -> tuple[int, Any, int, Any, Any, str]:
        """Seed, accuracy before stage 2, lowest pass, there as evaluated and re-estimated, and what it is."""
        word = "undone" if self.is_undone else "not undone" if self.is_collapse else "no collapse"
        low = self.lowest
        return self.seed, self.course.start.moving, low.epoch, low.moving, low.reestimated, word


@dataclass(frozen=True)
class Elsewhere:
    """Runs by the way in which they were trained, those of each in the order of their seeds."""

    runs: Mapping[str, list[Run]]

    @property
    def first(self) -> Run:
        """The careful run of the first seed."""
        return self.runs[CAREFUL][0]

    @property
    def seeds(self) -> str:
        """Of the runs, listed."""
        return ", ".join(str(each.seed) for each in self.runs[CAREFUL])

    @property
    def records(self) -> list[Run]:
        """Every run."""
        return [each for runs in self.runs.values() for each in runs]

    @property
    def failing(self) -> dict[str, Run]:
        """'seed 42' to the run at the high rate whose norm moves."""
        return {f"seed {each.seed}": each for each in self.runs[MOVING]}

    def gain(self, way: str, over: str = CAREFUL) -> Gain:
        """Test accuracy of one way to train less another's, by seed."""
        return groups.gain(self.runs[over], self.runs[way])

    def compared(self, way: str, better: str, worse: str, neither: str, over: str = CAREFUL) -> str:
        """One of three words for a `gain`."""
        return intervals.describe_difference(self.gain(way, over), better, worse, neither)

    @property
    def ends(self) -> list[tuple[str, list[float], Any, Any]]:
        """Of each way: test accuracy by seed, `gain` over the frozen network and over the careful rate."""
        return [
            (
                way,
                [each.test_accuracy for each in runs],
                "–" if way == UNTUNED else self.gain(way, UNTUNED),
                "–" if way in (UNTUNED, CAREFUL) else self.gain(way),
            )
            for way, runs in self.runs.items()
        ]

    @property
    def falls(self) -> list[Fall]:
        """Of the runs at the high rate whose norm moves, by seed."""
        return [Fall(each.seed, batchnorm.course(each)) for each in self.runs[MOVING]]

    @property
    def collapses(self) -> int:
        """How many of them collapsed."""
        return sum(each.is_collapse for each in self.falls)

    @property
    def undone(self) -> int:
        """How many collapsed and are undone by re-estimating."""
        return sum(each.is_undone for each in self.falls)

    @property
    def largest_gap(self) -> float:
        """The most accuracy that re-estimating gave back after a pass of any of them, 0 to 1."""
        return max(0.0, *(each.course.largest_gap for each in self.falls))

    @property
    def holds(self) -> bool:
        """The rule: most seeds collapse, and re-estimating undoes it in most of those."""
        return 2 * self.collapses > len(self.falls) and 2 * self.undone > self.collapses


def load(*, dataset: str, scale: str, seed: int) -> Elsewhere:
    """The stored runs on sign digits, or those on a data set of one's own, trained where they are not stored.

    dataset: the study's stands for the stored runs, which need no images and have no scale but the full one.
    """
    if is_study_data(dataset):
        return Elsewhere({way: _stored(way) for way in ELSEWHERE})
    given: dict[str, Any] = {"dataset": dataset, "scale": scale, "seed": seed}
    asked = {way: experiments.for_notebook(each, **given) for way, each in ELSEWHERE.items()}
    return Elsewhere({way: [run.run(each, diagnosed=way == MOVING)] for way, each in asked.items()})


def _stored(way: str) -> list[Run]:
    """The stored runs on sign digits of a way to train, by seed. Raises RecordError where one is missing."""
    found = []
    for seed in SEEDS:
        experiment = ELSEWHERE[way].replace(dataset=SIGN_DIGITS, seed=seed)
        one = store.find(experiment, [paths.results_folder(experiment)], {"data": SIGN_DIGITS_FINGERPRINT})
        found += [one] if one else []
    if not found:
        raise store.RecordError(f"{way}: no run on sign digits is stored; restore results/folder/full")
    return found
