"""What several chapters share."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from helpers import run
from helpers.analysis import groups, metrics
from helpers.analysis.intervals import Gain, Proportion
from helpers.experiment import Experiment, ExperimentError
from helpers.records.run import Run, caution
from helpers.study.experiments import SEEDS


@dataclass(frozen=True)
class Row:
    """Runs that differ in their seed, and those of another experiment that they are compared with."""

    runs: groups.Group
    reference: groups.Group

    @property
    def seeds(self) -> list[int]:
        """Of each run."""
        return [each.seed for each in self.runs]

    @property
    def accuracies(self) -> list[float]:
        """Of each run on the test images, 0 to 1."""
        return [each.test_accuracy for each in self.runs]

    @property
    def mean(self) -> Proportion:
        """Test accuracy over the seeds; of a single run its own."""
        return groups.mean_accuracy(self.runs)

    @property
    def spread(self) -> float:
        """Test accuracy of the best seed less that of the worst, 0 to 1."""
        return float(np.ptp(self.accuracies))

    @property
    def gain(self) -> Gain | None:
        """Over the reference; None for the reference itself."""
        return None if self.runs is self.reference else groups.gain(self.reference, self.runs)


def published(gain: float, *runs: Run) -> float | None:
    """A gain that the study published; None beside other runs than full ones of its images."""
    return None if any(map(caution, runs)) else gain


def refuse_below(low: int, **parameters: int) -> None:
    """Refuse parameters that an Experiment allows and a chapter cannot show, before anything trains.

    Raises ExperimentError, which names the parameter, its value and the range, where one is below `low`.
    """
    for name, value in parameters.items():
        if value < low:
            raise ExperimentError(f"{name}={value!r} is outside what this chapter can show: {low} or more")


def by_seed(
    *experiments: Experiment, find: Callable[[Experiment], Run | None] = run.find
) -> dict[int, list[Run]]:
    """The stored runs of experiments, by seed: first their own, then SEEDS. Nothing is trained.

    A seed is left out where one of the experiments has no record of it.
    """
    seeds = dict.fromkeys([*(each.seed for each in experiments), *SEEDS])
    found = {seed: [find(each.replace(seed=seed)) for each in experiments] for seed in seeds}
    stored = {seed: [each for each in runs if each] for seed, runs in found.items()}
    return {seed: runs for seed, runs in stored.items() if len(runs) == len(experiments)}


def calibration(each: Run, view: str = "plain", bins: int = 15) -> metrics.Calibration:
    """How far a run's probabilities on the test images can be believed; view 'plain' or 'tta'."""
    return metrics.calibration(each.probabilities("test", view), each.labels("test"), bins)
