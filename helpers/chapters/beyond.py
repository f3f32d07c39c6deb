"""Chapter 7: what training the same network otherwise buys, and what it costs."""

import functools
import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from helpers import run
from helpers.analysis import frontier, groups, metrics, speed
from helpers.analysis.frontier import Frontier
from helpers.analysis.groups import accuracy as accuracy
from helpers.analysis.groups import mean_accuracy as mean_accuracy
from helpers.analysis.groups import paired as paired
from helpers.analysis.intervals import PairedTest, Proportion, describe_difference
from helpers.analysis.metrics import Array
from helpers.chapters import common, targets
from helpers.chapters.people import CLEAR as CLEAR
from helpers.chapters.people import People, stored
from helpers.chapters.targets import Line
from helpers.data import cifar10, sources
from helpers.data.split import Split
from helpers.experiment import ExperimentError, is_study_data
from helpers.records import store
from helpers.records.run import Run
from helpers.study import experiments
from helpers.text import span

START = "careful fine-tune"
SMOKE_RUNGS = 3
"""Rungs at smoke scale, where each costs what building and tracing its network takes."""


class Runs(dict[str, Run]):
    """Runs by name; what a method returns is a column of a table."""

    def accuracies(self, split: str = "test") -> list[Proportion]:
        """Each run's accuracy on 'val' or 'test', with its interval."""
        return [accuracy(each, split) for each in self.values()]

    def minutes(self) -> list[float]:
        """Time that each run took."""
        return [each.seconds / 60 for each in self.values()]

    def steps(self, split: str = "test") -> dict[str, PairedTest]:
        """Each run but the first against the one before it."""
        pairs = itertools.pairwise(self.items())
        return {name: paired(before, after, split) for (_, before), (name, after) in pairs}

    def against_first(self) -> dict[str, PairedTest]:
        """Each run but the first against the first, on the validation images."""
        runs = list(self.items())
        return {name: paired(runs[0][1], each, "val") for name, each in runs[1:]}


@dataclass(frozen=True)
class Beyond:
    """The chapter's runs: the ladder, and recipes that were run on CIFAR-10 at full scale alone."""

    rungs: Runs
    """The ladder from the frozen network up, at the scale that was asked for."""
    rates: Runs
    """Runs by what each changes in the first."""
    found_best: Run | None
    """The best network, where the page is about such runs and it is stored."""
    log: Run
    """The original study's of its final network."""
    dataset: str
    """As the experiments name it: of a folder the whole path, which records leave out."""

    @property
    def start(self) -> Run:
        """The study's own fine-tune."""
        return self.rungs[START]

    @property
    def top(self) -> Run:
        """The highest rung."""
        return list(self.rungs.values())[-1]

    @property
    def best(self) -> Run:
        """The best network; the top of the ladder where it is missing."""
        return self.found_best or self.top

    @property
    def pair(self) -> dict[str, Run]:
        """The careful fine-tune and the best network by name."""
        return {START: self.start, "the best network" if self.found_best else "top of the ladder": self.best}

    @property
    def is_published(self) -> bool:
        """Whether the runs compare with the study's and with the bench: those of CIFAR-10 at full scale."""
        return self.top.is_study_data and self.top.scale == "full"

    @property
    def reaches_depth(self) -> bool:
        """Whether the ladder is shown to its end, where depth is what changes."""
        return len(self.rungs) == len(experiments.LADDER)

    @property
    def changes(self) -> dict[str, str]:
        """Rung to what it changes in the one below; the lowest, in the careful fine-tune."""
        below = [experiments.CAREFUL, *experiments.LADDER.values()]
        named = zip(below, self.rungs, strict=False)
        return {
            name: ", ".join(experiments.varying(base, [experiments.LADDER[name]])) for base, name in named
        }

    @property
    def found_otherwise(self) -> list[str]:
        """Rungs whose finding on the validation images is another one than on the test images."""
        test, val = (
            {name: describe_difference(step, "+", "-", "0") for name, step in self.rungs.steps(split).items()}
            for split in ("test", "val")
        )
        return [name for name in test if test[name] != val[name]]

    @functools.cached_property
    def stored(self) -> list[Run]:
        """Those records of the folder of the ladder's top that are of the same images and weights.

        A key says neither: two folders of pictures have the same one. Another network, or another size of the
        images, may have a file of weights of its own.
        """
        found, own = store.read_folder(self.top.path.parent)[0], self.top
        known = [run for run in found if _same(run, own, "data") and _same(run, own, "backend")]
        return [run for run in known if _network(run) != _network(own) or _same(run, own, "weights")]

    @functools.cached_property
    def frontier(self) -> Frontier:
        """Those of them whose times compare with the top's, by recipe."""
        beside = (speed.read(), self.log) if self.is_published else ()
        return frontier.frontier(self.stored, self.top, *beside)

    def seeds(self, one: Run) -> list[Run]:
        """The runs like `one`, with any of the seeds that START and the best have both."""
        both = [groups.matching_runs(self.stored, each.experiment) for each in (self.start, self.best)]
        shared = set.intersection(*({each.seed for each in runs} for runs in both))
        return [each for each in groups.matching_runs(self.stored, one.experiment) if each.seed in shared]

    @property
    def errors_left(self) -> float:
        """Errors of the best network for each one of START's, over these seeds."""
        before, after = (groups.mean_accuracy(self.seeds(each)).value for each in (self.start, self.best))
        return errors_left(before, after)

    @property
    def ladder(self) -> list[tuple[object, ...]]:
        """A line of the table for each rung: its accuracy, its step over the one below, its minutes."""
        steps = ["–", *self.rungs.steps().values()]
        minutes = [f"{each:.1f}" for each in self.rungs.minutes()]
        return list(zip(self.rungs, self.rungs.accuracies(), steps, minutes, strict=True))

    @property
    def by_rate(self) -> list[tuple[object, ...]]:
        """A line of the table for each rate of one pass: on the validation images, and against the first."""
        against = ["–", *self.rates.against_first().values()]
        return list(zip(self.rates, self.rates.accuracies("val"), against, strict=True))

    @property
    def slower(self) -> str:
        """'In PyTorch the recipes take 3.8 to 4.3 times as long.': a sentence for each way that was timed."""
        ways = {"plain Keras": self.frontier.in_plain_keras(), "PyTorch": self.frontier.in_pytorch()}
        ratios = {way: [there / here.seconds for here, there in those] for way, those in ways.items()}
        sentence = "In {way} the recipes take {times} times as long."
        found = {way: span(each, ".1f") for way, each in ratios.items() if each}
        return " ".join(sentence.format(way=way, times=times) for way, times in found.items())

    @property
    def recipes(self) -> list[tuple[object, ...]]:
        """A line of the table for each point of the frontier, with the command that runs it."""
        return [
            (
                each.name,
                f"{each.seconds:,.0f}",
                each.accuracy("val"),
                each.accuracy(),
                "yes" if each in self.frontier.leading else "",
                f"`{each.experiment.command}`",
            )
            for each in self.frontier.recipes
        ]

    def targets(self, seconds: Mapping[float, float], **aims: float) -> list[Line]:
        """Lines of the table of aims, as the functions of `targets` explain them; none unless `is_published`.

        seconds: by test accuracy; aims: 'plain', 'flip', 'second', 'sweep', 'features', 'memory'.
        """
        if not self.is_published:
            return []
        best, other = groups.matching_runs(self.stored, experiments.BEST), experiments.OTHER_NETWORK
        lite = f"EfficientNet-Lite0, {other.epochs} passes, {other.image_size} px"
        return [
            *(targets.time(self.frontier, goal, limit) for goal, limit in seconds.items()),
            targets.accuracy("best network", best, aims["plain"]),
            targets.accuracy("best network, with the flip", best, aims["flip"], "tta"),
            targets.accuracy(lite, self.other_network, aims["second"]),
            *targets.bench(speed.read(), aims["sweep"], aims["features"], aims["memory"]),
        ]

    @property
    def other_network(self) -> list[Run]:
        """The runs of EfficientNet-Lite0 among the aims; none unless `is_published`."""
        return groups.matching_runs(self.stored, experiments.OTHER_NETWORK) if self.is_published else []

    @property
    def neighbours(self) -> list[PairedTest]:
        """AdamW at the rates beside the recipes' own, against it."""
        return [test for name, test in self.rates.against_first().items() if "optimizer" not in name]

    @property
    def clearly_below(self) -> int:
        """How many of the neighbours have an interval below zero."""
        return sum(test.high < 0 for test in self.neighbours)

    @property
    def records(self) -> list[Run]:
        """All runs that the page shows, and the study's log."""
        every = [each for runs in (self.rungs, self.rates) for each in runs.values()]
        timed = (each for recipe in self.frontier.recipes for each in recipe.runs)
        return [*every, *timed, *self.other_network, self.log]

    @property
    def best_leads(self) -> bool:
        """Whether validation images choose the best network's recipe, of all whose times compare."""
        return self.best.id in [each.id for each in self.frontier.leading[-1].runs]

    @property
    def calibration(self) -> dict[str, metrics.Calibration]:
        """How far the probabilities of the pair can be believed, on the test images."""
        return {name: common.calibration(each) for name, each in self.pair.items()}

    @functools.cached_property
    def _test(self) -> Split | None:
        """The test images in their own order; None where they are not on this machine."""
        if self.best.is_study_data and cifar10.locate() is None:
            return None
        return sources.load(self.best.experiment.replace(dataset=self.dataset)).test

    @property
    def answers(self) -> tuple[Array, Array, Array] | None:
        """Test images, labels and the best network's probabilities; None where the images are not here."""
        if self._test is None:
            return None
        order = self._test.labels.argsort(kind="stable")  # records keep their rows by class
        return self._test.images[order], self.best.labels("test"), self.best.probabilities("test")

    @property
    def people(self) -> People | None:
        """What people say of all test images, beside the best network; None where either is not here."""
        if self._test is None or not self.is_published:
            return None
        return stored(self._test.labels, self.best.predictions("test"))


def _network(run: Run) -> tuple[str, int]:
    return run.experiment.backbone, run.experiment.image_size


def _same(one: Run, other: Run, what: str) -> bool:
    return one.fingerprints.get(what) == other.fingerprints.get(what)


def errors_left(before: float, after: float) -> float:
    """Errors at the second accuracy, in 0 to 1, for each one at the first; NaN where there is none."""
    return (1 - after) / (1 - before) if before < 1 else float("nan")


def load(*, dataset: str, scale: str, seed: int, target: float) -> Beyond:
    """The ladder, trained where it is not stored, and the recipes that are stored.

    target: the test accuracy whose time is asked for. Raises ExperimentError for a parameter that no
    Experiment takes, or a target that is no share.
    """
    if not 0 < target < 1:
        raise ExperimentError(f"target={target!r} is outside what this chapter can show: between 0 and 1")
    rungs = itertools.islice(experiments.LADDER.items(), SMOKE_RUNGS if scale == "smoke" else None)
    wanted = {
        name: experiments.for_notebook(each, dataset=dataset, scale=scale, seed=seed) for name, each in rungs
    }
    known = is_study_data(dataset)
    first = experiments.ONE_PASS
    rates = {"AdamW at 3e-4": first, **experiments.varying(first, experiments.RECIPES["rates"])}
    is_published = known and scale == "full"
    return Beyond(
        rungs=Runs({name: run.run(each) for name, each in wanted.items()}),
        rates=Runs({name: found for name, each in rates.items() if known and (found := run.find(each))}),
        found_best=run.find(experiments.BEST.replace(seed=seed)) if is_published else None,
        log=store.published_log("run_final_optimized"),
        dataset=dataset,
    )
