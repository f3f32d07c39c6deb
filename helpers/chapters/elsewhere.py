"""Chapter 9: the report's findings on other images and another network, or on a reader's own images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers import paths, run
from helpers.analysis import batchnorm, groups
from helpers.analysis.batchnorm import Course, EpochResult
from helpers.analysis.intervals import Gain
from helpers.chapters import common
from helpers.data import cifar10, sources
from helpers.experiment import Experiment, is_study_data
from helpers.records import store
from helpers.records.run import Run
from helpers.study import experiments
from helpers.study.experiments import ELSEWHERE, FINGERPRINTS, SETS
from helpers.text import literal, span

UNTUNED, CAREFUL, MOVING, FROZEN, RECIPE = ELSEWHERE
FALL = 0.02
"""Of validation accuracy: more is a collapse, and what is at most this far below the start is undone."""


@dataclass(frozen=True)
class Fall:
    """What became of a diagnosed run's validation accuracy."""

    name: str
    """Of its set of images."""
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
    def told(self) -> tuple[str, int, Any, int, Any, Any, str]:
        """Set, seed, accuracy before stage 2, lowest pass, evaluated and re-estimated there, what it is."""
        word = "undone" if self.is_undone else "not undone" if self.is_collapse else "no collapse"
        low = self.lowest
        return self.name, self.seed, self.course.start.moving, low.epoch, low.moving, low.reestimated, word


@dataclass(frozen=True)
class Elsewhere:
    """Runs on one set by the way in which they were trained, those of each in the order of their seeds."""

    name: str
    """What the set is called."""
    runs: Mapping[str, list[Run]]

    @property
    def first(self) -> Run:
        """The careful run of the first seed."""
        return self.runs[CAREFUL][0]

    @property
    def asked(self) -> Run | Experiment:
        """What a reader asked for: of stored runs the study's own data set, else the first run."""
        return Experiment() if self.name in SETS else self.first

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

    @property
    def ends(self) -> list[tuple[str, str, list[float], Any, Any]]:
        """By way: set, way, test accuracies, `gain` over the frozen network and the careful fine-tune."""
        return [
            (
                self.name,
                way,
                [each.test_accuracy for each in runs],
                "–" if way == UNTUNED else self.gain(way, UNTUNED),
                "–" if way in (UNTUNED, CAREFUL) else self.gain(way),
            )
            for way, runs in self.runs.items()
        ]

    @property
    def recipe_passes(self) -> str:
        """'25 to 28 passes, of at most 28': how long the recipe's runs trained."""
        runs = self.runs[RECIPE]
        most = runs[0].experiment.epochs_run
        return f"{span([len(each.stage2) for each in runs], 'd')} passes, of at most {most}"

    @property
    def falls(self) -> list[Fall]:
        """Of the runs at the high rate whose norm moves, by seed."""
        return [Fall(self.name, each.seed, batchnorm.course(each)) for each in self.runs[MOVING]]

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


def gaining(sets: Sequence[Elsewhere], way: str) -> str:
    """In how many tests a way to train gains on the careful fine-tune, by an interval above zero."""
    return f"{sum(each.gain(way).low > 0 for each in sets)} of {len(sets)} tests"


def load(*, dataset: str, scale: str, seed: int) -> list[Elsewhere]:
    """The stored runs on each set that has any; or those on a reader's own, trained where none are stored.

    dataset: the study's stands for the stored runs, which need no images and have no scale but the full one.
    Raises RecordError where those on sign digits are missing.
    """
    if is_study_data(dataset):
        for root in (None, paths.RESULTS):  # a reader's own results need not hold what the report ships
            found = [Elsewhere(name, _stored(changes, root)) for name, changes in SETS.items()]
            if found[0].runs[CAREFUL]:
                return [each for each in found if each.runs[CAREFUL]]
        raise store.RecordError("no run on sign digits is stored; restore results/folder/full")
    given: dict[str, Any] = {"dataset": dataset, "scale": scale, "seed": seed}
    asked = {way: experiments.for_notebook(each, **given) for way, each in ELSEWHERE.items()}
    runs = {way: [run.run(each, diagnosed=way == MOVING)] for way, each in asked.items()}
    return [Elsewhere(literal(sources.described(dataset)), runs)]


def _stored(changes: Mapping[str, Any], root: Path | None) -> dict[str, list[Run]]:
    """The stored runs of one of SETS by the way to train, of the seeds for which no way is missing.

    root: as in `paths.results_folder`.
    """
    asked = [each.replace(**changes) for each in ELSEWHERE.values()]
    places = [paths.results_folder(asked[0], root)]
    prints = {"data": FINGERPRINTS.get(asked[0].dataset, cifar10.FINGERPRINT)}
    found = common.by_seed(*asked, find=lambda each: store.find(each, places, prints)).values()
    return {way: [runs[place] for runs in found] for place, way in enumerate(ELSEWHERE)}
