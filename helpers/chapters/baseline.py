"""Chapter 2: the frozen network with a new head."""

from dataclasses import dataclass
from typing import Any

from helpers import run
from helpers.analysis import groups
from helpers.analysis.intervals import Proportion
from helpers.chapters import common
from helpers.records import store
from helpers.records.run import Run
from helpers.study import claims, experiments, verdict

LOGS = ("run_n0_Adam", "run_aug_custom1")
"""The original study's logs of a frozen backbone; the first is without augmentation, as our runs are."""
Accuracies = tuple[str, Proportion, Proportion]


@dataclass(frozen=True)
class End:
    """The end of a stage of a run: passes until then, training and validation accuracy, 0 to 1."""

    name: str
    passes: int
    train: float
    val: float

    @property
    def gap(self) -> float:
        """Training less validation accuracy, -1 to 1."""
        return self.train - self.val


@dataclass(frozen=True)
class Baseline:
    """The chapter's runs, which differ in their seed, and the study's logs."""

    runs: dict[str, Run]
    staged: dict[str, Run]
    """Runs whose head is trained a second time, as the study's log has it; by seed as well."""
    logs: dict[str, Run]
    """None where the runs are of other images."""

    @property
    def first(self) -> Run:
        """The run of seed 0."""
        return self.runs["seed 0"]

    @property
    def accuracies(self) -> list[Accuracies]:
        """Name, validation accuracy and test accuracy of each run and of each log."""
        every = {**self.runs, **{f"the study's {name}": log for name, log in self.logs.items()}}
        return [(name, groups.accuracy(each, "val"), groups.accuracy(each)) for name, each in every.items()]

    @property
    def row(self) -> common.Row:
        """The seeds taken together."""
        runs = list(self.runs.values())
        return common.Row(runs, runs)

    @property
    def _log(self) -> dict[str, Run]:
        """The study's log that was made as the runs with two stages were; none beside other images."""
        return {"the study's log": self.logs[LOGS[0]]} if self.logs else {}

    @property
    def compared(self) -> dict[str, Run]:
        """A run with both stages of the head, and beside it the study's log of the same."""
        return {"here": next(iter(self.staged.values())), **self._log}

    @property
    def ends(self) -> list[End]:
        """Where each stage ended, of every run with two stages and of the study's log."""
        found = []
        for name, each in {**self.staged, **self._log}.items():
            passes = 0
            for curves in filter(len, (each.stage1, each.stage2)):
                passes += len(curves)
                found.append(End(name, passes, curves.accuracy[-1], curves.val_accuracy[-1]))
        return found

    @property
    def last_gap(self) -> float:
        """Training less validation accuracy after the second stage, -1 to 1, averaged over its runs."""
        return groups.train_gap(list(self.staged.values()), "stage2")

    @property
    def judged(self) -> tuple[str, str]:
        """The gap that the study claims, in words, and the verdict on it of the runs with two stages."""
        (claim,) = (each for each in claims.CLAIMS if each.id == "C2")
        return claim.figure, verdict.judge(claim, list(self.staged.values())).outcome

    @property
    def gaps(self) -> list[float]:
        """Training less validation accuracy at the end of stage 1, -1 to 1, of each run with two stages."""
        return [groups.train_gap([each], "stage1") for each in self.staged.values()]

    @property
    def losses(self) -> list[float]:
        """Of the same, validation accuracy in the best epoch of stage 1 less that in its last, 0 to 1."""
        curves = [each.stage1.val_accuracy for each in self.staged.values()]
        return [max(curve) - curve[-1] for curve in curves]

    @property
    def costs(self) -> list[tuple[str, str, str, int, str]]:
        """Each run's name, the time of its features and of its head, its passes, and its `storing_gain`."""
        found = []
        for name, each in self.runs.items():
            times = f"{each.storing_seconds:,.0f} s", f"{each.stage1_seconds:,.0f} s"
            found.append((name, *times, len(each.stage1), f"{groups.storing_gain(each):.1f}"))
        return found


def load(*, seeds: int, **given: Any) -> Baseline:
    """The runs with seeds 0, 1, 2 and so on, some with a second stage, and the study's logs.

    Those with a second stage have SEEDS, as many as there are. What is not stored is trained.

    `given` are fields of the Experiment. Raises ExperimentError where there is nothing to train.
    """
    common.refuse_below(1, seeds=seeds, stage1_epochs=given["stage1_epochs"])
    bases = experiments.BASELINE, experiments.BASELINE_TWO_STAGES
    once, twice = (experiments.for_notebook(base, **given) for base in bases)
    logs = LOGS if once.is_study_data else ()
    return Baseline(
        runs={f"seed {seed}": run.run(once.replace(seed=seed)) for seed in range(seeds)},
        staged={f"seed {seed}": run.run(twice.replace(seed=seed)) for seed in experiments.SEEDS[:seeds]},
        logs={name: store.published_log(name) for name in logs},
    )
