"""Recipes by the time that they take: those that validation chooses, and what the same costs elsewhere."""

import contextlib
import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from helpers.analysis import groups
from helpers.analysis.intervals import Proportion
from helpers.analysis.speed import Bench
from helpers.experiment import Experiment
from helpers.records.run import Run

FROM_SCRATCH = {"airbench94_muon": (0.29e15, 0.9401), "airbench96_faster": (3.1e15, 0.96)}
"""Training without ImageNet weights: floating-point operations of a run, and its mean test accuracy.

From the README of KellerJordan/cifar10-airbench (Jordan 2024, arXiv:2404.00498), on all 50,000 images. As in
the bench's peak, a multiply-add counts as two operations.
"""


@dataclass(frozen=True)
class Recipe:
    """An experiment's runs, one a seed, at least one of them timed on the machine that is shown."""

    runs: groups.Group
    timed: groups.Group
    """Those timed there, the quickest first."""

    @property
    def fastest(self) -> Run:
        """The quickest timed run: other work beside a run can only make it slower."""
        return self.timed[0]

    @property
    def seconds(self) -> float:
        """Of the fastest run, from the raw images to the evaluation."""
        return self.fastest.seconds

    def accuracy(self, split: str = "test") -> Proportion:
        """On 'val' or 'test', over all seeds."""
        return groups.mean_accuracy(self.runs, split)

    @functools.cached_property
    def error(self) -> float:
        """On the test images, 0 to 1."""
        return 1 - self.accuracy().value

    @property
    def experiment(self) -> Experiment:
        """With the usual seed."""
        return self.fastest.experiment.replace(seed=Experiment().seed)

    @property
    def name(self) -> str:
        """'head alone', '1 pass', '2 passes, 128 px': the size where it is not the study's."""
        passes, changes = self.experiment.epochs_run, self.experiment.changes
        size = f", {changes['image_size']} px" if "image_size" in changes else ""
        return f"{passes} pass{'es' * (passes > 1)}{size}" if passes else "head alone"


@dataclass(frozen=True)
class Frontier:
    """The recipes with a time that compares, and what stands beside them."""

    recipes: list[Recipe]
    """The quickest first."""
    others: int
    """Experiments without such a time: from another machine, or another number of threads."""
    bench: Bench | None
    """Of the same machine; None where that is another, and beside other images or scales."""
    log: Run | None
    """The original study's of its final network; None beside other images or scales, too."""

    @functools.cached_property
    def leading(self) -> list[Recipe]:
        """The recipes that validation images choose: no quicker one is as good on them."""
        shares = [0.0, *(recipe.accuracy("val").value for recipe in self.recipes)]
        return [recipe for place, recipe in enumerate(self.recipes, 1) if shares[place] > max(shares[:place])]

    def quickest(self, goal: float) -> Recipe | None:
        """The first of the leading recipes with an accuracy of `goal`, 0 to 1, on validation and on test."""
        good = (each for each in self.leading if each.accuracy("val").value >= goal <= 1 - each.error)
        return next(good, None)

    def in_plain_keras(self) -> list[tuple[Recipe, float]]:
        """The leading recipes and the study's, with their seconds there, if the bench timed such epochs."""
        return self._there(self.bench.plain_seconds) if self.bench else []

    def in_pytorch(self) -> list[tuple[Recipe, float]]:
        """The same in PyTorch."""
        return self._there(self.bench.pytorch_seconds) if self.bench else []

    def _there(self, seconds: Callable[[Run], float]) -> list[tuple[Recipe, float]]:
        found = []
        for recipe in self.recipes:
            if recipe in self.leading or not recipe.experiment.changes:  # the study's are the defaults
                with contextlib.suppress(LookupError):
                    found.append((recipe, seconds(recipe.fastest)))
        return found

    def from_scratch(self) -> list[tuple[float, float]]:
        """Seconds and test error of FROM_SCRATCH at this machine's peak, which no training keeps up."""
        peak = 1e9 * self.bench.peak_gflops if self.bench else 0
        return [(work / peak, 1 - share) for work, share in FROM_SCRATCH.values() if peak]


def frontier(runs: Iterable[Run], like: Run, bench: Bench | None = None, log: Run | None = None) -> Frontier:
    """The recipes among runs with one's images, scale and network, timed as that was; none taken apart.

    Bench and log belong beside CIFAR-10 at full scale alone.
    """
    known = [run for run in runs if not (run.is_published_log or run.diagnosis)]
    experiments: dict[str, list[Run]] = {}
    for run in sorted(known, key=lambda run: run.seconds):
        if _asked(run) == _asked(like):
            name = run.experiment.replace(seed=0).identity(run.fingerprints)
            experiments.setdefault(name, []).append(run)
    machine = _machine(like)
    timed = [(group, [run for run in group if _machine(run) == machine]) for group in experiments.values()]
    recipes = sorted((Recipe(group, good) for group, good in timed if good), key=lambda each: each.seconds)
    same = bench and machine == (bench.processor, bench.threads, "")
    return Frontier(recipes, len(experiments) - len(recipes), bench if same else None, log)


def _asked(run: Run) -> tuple[str, str, str]:
    return run.images, run.scale, run.experiment.backbone


def _machine(run: Run) -> tuple[str, int, str]:
    return run.processor, run.threads, run.accelerator
