"""What several chapters share."""

from __future__ import annotations

from collections.abc import Iterable

from helpers import run
from helpers.analysis import groups, metrics
from helpers.analysis.intervals import Proportion
from helpers.experiment import Experiment, ExperimentError
from helpers.records.run import Run
from helpers.study.experiments import SEEDS


def refuse_below(low: int, **parameters: int) -> None:
    """Refuse parameters that an Experiment allows and a chapter cannot show, before anything trains.

    Raises ExperimentError, which names the parameter, its value and the range, where one is below `low`.
    """
    for name, value in parameters.items():
        if value < low:
            raise ExperimentError(f"{name}={value!r} is outside what this chapter can show: {low} or more")


def by_seed(*experiments: Experiment) -> dict[int, list[Run]]:
    """The stored runs of experiments, by seed: first their own, then SEEDS. Nothing is trained.

    A seed is left out where one of the experiments has no record of it.
    """
    seeds = dict.fromkeys([*(each.seed for each in experiments), *SEEDS])
    found = {seed: [run.find(each.replace(seed=seed)) for each in experiments] for seed in seeds}
    stored = {seed: [each for each in runs if each] for seed, runs in found.items()}
    return {seed: runs for seed, runs in stored.items() if len(runs) == len(experiments)}


def accuracies(runs: Iterable[Run], split: str = "test", view: str = "plain") -> list[Proportion]:
    """Each run's accuracy with Wilson's interval, for a column of a table; see `groups.accuracy`."""
    return [groups.accuracy(each, split, view) for each in runs]


def calibration(each: Run, view: str = "plain", bins: int = 15) -> metrics.Calibration:
    """How far a run's probabilities on the test images can be believed; view 'plain' or 'tta'."""
    return metrics.calibration(each.probabilities("test", view), each.labels("test"), bins)
