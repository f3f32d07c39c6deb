"""Chapter 10: why the head's averages do not fit: runs that followed them, and runs with SGD.

The rules that these runs are read by stand beside their experiments in study/experiments.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from helpers import run
from helpers.analysis import averages, batchnorm
from helpers.analysis.averages import FARTHER, LONG, SHORT, Reading
from helpers.analysis.batchnorm import Repeats
from helpers.chapters.beginnings import Row
from helpers.records.run import Run
from helpers.study import experiments
from helpers.text import points, scientific

KORNBLITH = 70
"""Steps that averages reach back by the rule of Kornblith et al. 2019 (arXiv:1805.08974), in these runs."""
UNHARMED = 0.02
"""Re-estimated accuracy that a pass may cost, and not count as harm to the weights."""
HIDDEN = 0.02
"""Accuracy that re-estimating must give back, for evaluation to have failed."""


@dataclass(frozen=True)
class Followed:
    """Runs of the failing run's first passes, diagnosed with "steps"; none where another run is shown."""

    runs: Mapping[str, Run] = field(default_factory=dict)
    """'seed 42' to its run."""

    @property
    def readings(self) -> list[Reading]:
        """By run, what the rule says."""
        return [averages.reading(each) for each in self.runs.values()]

    @property
    def growth(self) -> list[float]:
        """By run, how many times as far features lie from those LONG steps ago as from those SHORT ago."""
        moved = [averages.moved(each) for each in self.runs.values()]
        return [each[LONG] / each[SHORT] for each in moved]

    @property
    def move_on(self) -> int:
        """In how many runs the features move on, and do not come back."""
        return sum(each >= FARTHER for each in self.growth)

    @property
    def lose_most(self) -> list[int]:
        """By run, the length in steps of the averages that lose most, of those up to LONG."""
        lost = [averages.lost(each) for each in self.runs.values()]
        return [max((steps for steps in each if steps <= LONG), key=each.__getitem__) for each in lost]

    def lost(self, steps: int) -> list[float]:
        """By run, the points of accuracy that averages over so many steps lose."""
        return [100 * averages.lost(each)[steps] for each in self.runs.values()]

    def given_back(self, steps: int = KORNBLITH) -> list[float]:
        """The part of the loss of averages over SHORT steps that those over `steps` spare, 0 to 1."""
        pairs = zip(self.lost(SHORT), self.lost(steps), strict=True)
        return [(short - shorter) / short for short, shorter in pairs]

    @property
    def enough_images(self) -> int:
        """The fewest training images that are enough to re-estimate from."""
        return averages.enough_images(list(self.runs.values()))

    @property
    def channels(self) -> list[Row]:
        """Of the pass that hides most in each run: points hidden, and parts that are given back.

        By new statistics of the channels at rest alone, and of the others alone; 1 is all of it.
        """
        found: list[Row] = []
        for name, one in self.runs.items():
            worst = max(batchnorm.course(one).epochs[1:], key=lambda epoch: epoch.statistics_gap)
            parts = (batchnorm.recovered_fraction(one, kind, worst.epoch) for kind in ("resting", "varying"))
            found.append((name, worst.epoch, points(worst.statistics_gap), *parts))
        return found

    @property
    def at_rest(self) -> int:
        """In how many runs the channels at rest carry the fault."""
        return sum(resting >= 0.5 and varying < resting for *_, resting, varying in self.channels)


@dataclass(frozen=True)
class WithoutAdam:
    """Runs with SGD at rates that spare the weights; none where another run is shown."""

    rates: Mapping[float, Repeats] = field(default_factory=dict)
    """Learning rate to its runs, one a seed."""

    @property
    def rows(self) -> list[Row]:
        """Of each rate: the points hidden in its unharmed passes, at most, run by run; runs that fail."""
        return [
            (scientific(rate), ", ".join(map(_in_words, runs)), f"{_fail(runs)} of {len(runs)}")
            for rate, runs in self.rates.items()
        ]

    @property
    def runs(self) -> list[Run]:
        """Every run."""
        return [one for runs in self.rates.values() for one in runs]

    @property
    def failing(self) -> list[str]:
        """Rates at which evaluation fails, with unharmed weights, in most runs."""
        return [scientific(rate) for rate, runs in self.rates.items() if 2 * _fail(runs) > len(runs)]


def _hidden(one: Run) -> float | None:
    """The most accuracy that evaluation hides in a pass with unharmed weights; None where there is none."""
    course = batchnorm.course(one)
    lowest = course.start.reestimated.value - UNHARMED
    gaps = [epoch.statistics_gap for epoch in course.epochs[1:] if epoch.reestimated.value >= lowest]
    return max(gaps, default=None)


def _in_words(one: Run) -> str:
    hidden = _hidden(one)
    return "weights harmed" if hidden is None else f"{100 * hidden:.1f}"


def _fail(runs: Repeats) -> int:
    return sum(hidden is not None and hidden > HIDDEN for hidden in map(_hidden, runs))


def load(failed: Run) -> tuple[Followed, WithoutAdam]:
    """The runs that belong to the study's failing run; none where `failed` is another."""
    if failed.key not in {experiments.LOGGED.replace(seed=seed).key for seed in experiments.SEEDS}:
        return Followed(), WithoutAdam()
    steps = [run.run(each, diagnosed="steps") for each in experiments.RECIPES["averages"]]
    sgd = [run.run(each, diagnosed=True) for each in experiments.SWEEPS["sgd"]]
    rates = {
        rate: Repeats(each for each in sgd if each.learning_rate == rate) for rate in experiments.HARMLESS_SGD
    }
    followed = {f"seed {each.seed}": each for each in steps}
    return Followed(followed), WithoutAdam(rates)
