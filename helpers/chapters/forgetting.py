"""Chapter 3: the run that failed, run again whole, repeated, and taken apart."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from helpers import run
from helpers.analysis import batchnorm, groups, intervals
from helpers.analysis.batchnorm import Lows, Repeats
from helpers.analysis.intervals import Gain, PairedTest, Proportion
from helpers.chapters import common
from helpers.chapters.beginnings import Beginnings, Row
from helpers.experiment import Experiment
from helpers.records import published, store
from helpers.records.run import Run
from helpers.study import experiments
from helpers.text import percent, scientific, span

LOGGED, PUBLISHED = "as logged", "as published"
CAREFUL, FROZEN = "careful rate", "frozen norm"


@dataclass(frozen=True)
class Log:
    """The original study's log of the failed run; accuracies are 0 to 1."""

    epochs: int
    """As it counted them."""
    passes: int
    best: float
    """Its highest validation accuracy."""
    test: Proportion
    train: list[float]
    """Training accuracy after each pass."""
    after_best: int
    """Logged epochs after that of the highest validation accuracy, and as passes."""
    passes_after_best: int
    after_lowest: int
    """Logged epochs after that of the lowest validation loss."""


@dataclass(frozen=True)
class Whole:
    """A run to its end, and the careful one of the same seed. Accuracies are 0 to 1."""

    run: Run
    careful: Run

    @property
    def accuracy(self) -> list[float]:
        """Validation accuracy after each pass."""
        return self.run.stage2.val_accuracy

    @property
    def early(self) -> list[float]:
        """Validation accuracy after each pass at the first rate."""
        return self.accuracy[: len(next(iter(groups.epochs_by_rate(self.run).values())))]

    @property
    def late(self) -> list[float]:
        """Validation accuracy after each pass at a lower rate."""
        return self.accuracy[len(self.early) :]

    @property
    def worst(self) -> Proportion:
        """Validation accuracy after the worst pass."""
        return intervals.proportion(min(self.accuracy), self.run.size("val"))

    @property
    def rate(self) -> str:
        """The first rate."""
        return scientific(self.run.stage2.learning_rate[0])

    @property
    def kept_rate(self) -> str:
        """The rate at which the kept weights were trained."""
        return scientific(groups.rate_of_kept_weights(self.run))

    @property
    def test(self) -> Proportion:
        """Accuracy on the test images."""
        return groups.accuracy(self.run)

    @property
    def against(self) -> PairedTest:
        """The run less the careful one, on the same test images."""
        return groups.paired(self.careful, self.run)

    @property
    def active(self) -> list[int]:
        """Channels of the features that vary, before the first pass and after each."""
        return [each.active for each in self.run.diagnosis]

    @functools.cached_property
    def lows(self) -> Lows:
        """Where it stood lowest; only of a diagnosed run."""
        return batchnorm.lows(self.run)


@dataclass(frozen=True)
class Failure:
    """The chapter's runs. `whole` and every list by seed begin with the notebook's own seed."""

    seed: int
    frozen: Run
    """The frozen network that all start from."""
    whole: Mapping[str, Mapping[int, Whole]]
    """Way to train to seed to its run; of other seeds those that were run."""
    begun: Beginnings
    """The run as logged, begun again with one thing changed, and at other rates."""
    log: Run
    """The original study's."""

    @property
    def failed(self) -> Whole:
        """The run as logged, with the notebook's own seed."""
        return self.three[LOGGED]

    @property
    def has_other_seeds(self) -> bool:
        """Whether the run as logged was run with other seeds as well."""
        return len(self.whole[LOGGED]) > 1

    @property
    def three(self) -> dict[str, Whole]:
        """The whole runs that the chapter opens with, with the notebook's own seed."""
        return {way: self.whole[way][self.seed] for way in (PUBLISHED, LOGGED, CAREFUL)}

    @property
    def runs(self) -> dict[str, Run]:
        """Their runs."""
        return {way: one.run for way, one in self.three.items()}

    @property
    def repeated(self) -> dict[str, Run]:
        """'seed 42' to the run as logged with that seed."""
        return {f"seed {seed}": each.run for seed, each in self.whole[LOGGED].items()}

    @property
    def records(self) -> list[Run]:
        """Every run, and the study's log."""
        whole = [each.run for runs in self.whole.values() for each in runs.values()]
        begun = (*self.begun.changed.values(), *self.begun.rates.values())
        short = [each for group in begun for each in group]
        return [self.frozen, *self.runs.values(), *whole, *short, self.log]

    @property
    def published(self) -> Log:
        """The study's log in numbers."""
        real, curves = published.real_epochs(self.log), self.log.stage2
        best, last = int(np.argmax(curves.val_accuracy)), len(curves) - 1
        return Log(
            epochs=len(curves),
            passes=len(real),
            best=max(curves.val_accuracy),
            test=groups.accuracy(self.log),
            train=[curves.accuracy[epoch] for epoch in real],
            after_best=last - best,
            passes_after_best=sum(epoch > best for epoch in real),
            after_lowest=last - curves.kept_epoch,
        )

    @property
    def on_the_studys_images(self) -> bool:
        """Whether these runs may be set beside the study's log."""
        return self.failed.run.is_study_data

    # ---------------------------------------------------------------- whole runs

    def _wholes(self, *ways: str) -> dict[str, Whole]:
        """'as logged, seed 42' to its run, of these ways to train."""
        return {f"{way}, seed {seed}": each for way in ways for seed, each in self.whole[way].items()}

    def seeds(self, way: str) -> str:
        """Of the runs of a way to train, listed."""
        return ", ".join(map(str, self.whole[way]))

    def tests(self, way: str) -> list[float]:
        """Test accuracies of a way to train, by seed."""
        return [each.run.test_accuracy for each in self.whole[way].values()]

    def gain(self, way: str, over: str = CAREFUL) -> Gain:
        """Test accuracy of one way to train less another's, over the seeds that both have."""
        first, second = ([each.run for each in self.whole[name].values()] for name in (over, way))
        return groups.gain(first, second)

    @property
    def courses(self) -> list[Row]:
        """Of the three runs: passes, validation accuracy before, at worst and at best, test accuracy."""
        found: list[Row] = []
        for way, one in self.three.items():
            ends = one.run.stage1_val_accuracy, one.worst.value, max(one.accuracy)
            found.append((way, len(one.accuracy), *ends, one.test))
        return found

    def reaching(self, chance: float) -> list[str]:
        """Which of the three have a worst pass whose interval includes an accuracy of `chance`."""
        worst = {way: one.worst for way, one in self.three.items()}
        return [way for way, share in worst.items() if share.low <= chance <= share.high]

    def stop(self, watched: str, patience: int) -> Row:
        """Where a rule ends the run as logged: patience in passes, last and kept epoch, accuracy in that.

        watched: 'loss' or 'accuracy', on validation.
        """
        curves = self.failed.run.stage2
        losses = curves.val_loss if watched == "loss" else [-each for each in curves.val_accuracy]
        last, kept = groups.early_stop(losses, patience)
        return patience, last, kept, curves.val_accuracy[kept - 1]

    def tested(self, better: str, worse: str, neither: str) -> list[Row]:
        """Of the three: the paired test against the frozen network, its words, the careful rate's test."""
        found: list[Row] = []
        for way, one in self.three.items():
            test = groups.paired(self.frozen, one.run)
            words = intervals.describe_difference(test, better, worse, neither)
            found.append((way, test, words, "–" if way == CAREFUL else one.against))
        return found

    @property
    def endings(self) -> list[Row]:
        """Of each run at the failing rate: its passes at it, rate of the kept weights, test, `against`."""
        return [
            (name, f"{len(one.early)}: {span(one.early)}", one.kept_rate, one.test, one.against)
            for name, one in self._wholes(LOGGED, PUBLISHED).items()
        ]

    @property
    def paces(self) -> list[Row]:
        """Of the run as logged, by rate: epochs, accuracy as evaluated and re-estimated, what is hidden."""
        found: list[Row] = []
        for rate, epochs in groups.epochs_by_rate(self.failed.run).items():
            at = [self.failed.lows.standings[epoch] for epoch in epochs]
            shares = [span(each.moving.value for each in at), span(each.reestimated.value for each in at)]
            found.append((scientific(rate), f"{epochs[0]} to {epochs[-1]}", *shares, span(s.gap for s in at)))
        return found

    @property
    def halvings(self) -> list[Row]:
        """Of runs as logged whose rate fell: after which epoch, accuracies around it, best and worst."""
        return [
            (f"seed {seed}", len(one.early), one.early[-2:], one.late[:2], max(one.early), min(one.late))
            for seed, one in self.whole[LOGGED].items()
            if one.late
        ]

    def recovering(self, at_once: bool) -> list[str]:
        """Runs as logged that stand higher in every epoch after the first halving than before; or not."""
        return [name for name, *_, high, low in self.halvings if (low > high) is at_once]

    # ---------------------------------------------------------------- evaluated with other statistics

    def at_worst(self, statistics: str) -> tuple[Proportion, Proportion]:
        """Of the run as logged when it looked worst: accuracy on plain and augmented validation images."""
        one = self.failed
        plain, augmented = (
            batchnorm.accuracy(one.run, images, statistics, one.lows.looked.epoch)
            for images in ("val", "val_augmented")
        )
        return plain, augmented

    @property
    def estimates_differ(self) -> float:
        """How far apart the re-estimated accuracies lie then, by the images that the statistics come from."""
        return float(np.ptp([self.at_worst(kind)[0].value for kind in ("clean", "augmented", "batch")]))

    def lowest(self, by: str) -> list[float]:
        """The lowest 'moving', 'reestimated' or 'probe' accuracy of the runs as logged, by seed."""
        return [getattr(one.lows.lowest(by), by).value for one in self.whole[LOGGED].values()]

    @property
    def other_looks(self) -> list[str]:
        """Of each other seed, when it looked worst: accuracy as evaluated and new, '10.5%, and 88.4%'."""
        lows = [one.lows.looked for seed, one in self.whole[LOGGED].items() if seed != self.seed]
        return [f"{percent(low.moving.value)}, and {percent(low.reestimated.value)}" for low in lows]

    @property
    def forgot(self) -> int:
        """In how many runs as logged a fresh probe ever fell clearly below its start."""
        return sum(one.lows.forgot for one in self.whole[LOGGED].values())

    @property
    def _diagnosed(self) -> dict[str, Whole]:
        return {name: one for name, one in self._wholes(LOGGED, PUBLISHED).items() if one.run.diagnosis}

    @property
    def lowest_points(self) -> list[Row]:
        """Of each diagnosed run at the failing rate: `Lows.row`."""
        return [(name, *one.lows.row) for name, one in self._diagnosed.items()]

    @property
    def held(self) -> list[Row]:
        """Of each whole run with its norm frozen: `Lows.row`, active channels at the end, test, `against`."""
        return [
            (f"seed {seed}", *one.lows.row, one.active[-1], one.test, one.against)
            for seed, one in self.whole[FROZEN].items()
        ]

    @property
    def most_hidden(self) -> float:
        """The largest gap in any epoch of the whole runs with their norm frozen; 0 where there are none."""
        return max((one.lows.most_hidden for one in self.whole[FROZEN].values()), default=0.0)

    @property
    def split(self) -> dict[str, Whole]:
        """The whole diagnosed runs whose records hold each half by itself."""
        return {name: one for name, one in self._diagnosed.items() if batchnorm.halves(one.run)}

    @property
    def unsplit(self) -> list[str]:
        """The names of the diagnosed runs whose records do not."""
        return [name for name in self._diagnosed if name not in self.split]

    @property
    def worst_halves(self) -> list[Row]:
        """Of each in `split`: the epoch in which it looked worst, accuracy by what is estimated anew."""
        at = {name: one.lows.looked.epoch for name, one in self.split.items()}
        return [(name, at[name], *batchnorm.halves(one.run, at[name])) for name, one in self.split.items()]

    def recovered_later(self, hidden: float) -> list[float]:
        """`recovered` in each epoch of the whole runs in which more than `hidden`, 0 to 1, is hidden."""
        return [
            batchnorm.recovered_fraction(one.run, "means", standing.epoch)
            for one in self.split.values()
            for standing in one.lows.standings[1:]
            if standing.gap > hidden
        ]

    @property
    def correlations(self) -> list[float]:
        """`gap_correlation` with the distance of the means, of each run in `split`."""
        return [batchnorm.gap_correlation(one.run, "mean_alive") for one in self.split.values()]

    @property
    def channels(self) -> list[Row]:
        """Of each in `split`: active channels before, at the lowest and at the end; test accuracy."""
        return [
            (name, one.active[0], min(one.active), one.active[-1], one.test)
            for name, one in self.split.items()
        ]


def load(*, seed: int, learning_rate: float, careful_rate: float, optimizer: str, **given: Any) -> Failure:
    """The chapter's runs: trained where they are not stored, but for whole runs with other seeds.

    `given` are the data set, the scale, n_unfreeze, batch_size and epochs. Raises ExperimentError, before
    anything trains, where there is nothing to fine-tune.
    """
    common.refuse_below(1, n_unfreeze=given["n_unfreeze"], epochs=given["epochs"])
    where = {"dataset": given["dataset"], "scale": given["scale"]}
    failing = {"learning_rate": learning_rate, "optimizer": optimizer}
    bases = {
        LOGGED: experiments.LOGGED.replace(**failing),
        PUBLISHED: experiments.TABLE["fine-tune 30, 3e-4, as published"].replace(**failing),
        CAREFUL: experiments.HEADLINE.replace(learning_rate=careful_rate, optimizer=optimizer),
        FROZEN: experiments.FROZEN_NORM.replace(**failing),
    }
    asked = {way: experiments.for_notebook(base, seed=seed, **given) for way, base in bases.items()}
    start = experiments.for_notebook(experiments.BASELINE, seed=seed, **where)
    frozen, *_ = (run.run(each) for each in (start, asked[PUBLISHED], asked[CAREFUL]))
    run.run(asked[LOGGED], diagnosed=True)
    pairs = {way: common.by_seed(asked[way], asked[CAREFUL]) for way in (LOGGED, PUBLISHED, CAREFUL, FROZEN)}
    whole = {way: {one: Whole(*both) for one, both in found.items()} for way, found in pairs.items()}

    # A run that is no longer than its beginning is its own beginning, and is not trained twice.
    is_short = asked[LOGGED].epochs_run <= experiments.ANATOMY_EPOCHS
    beginning = given if is_short else {**given, "epochs": experiments.ANATOMY_EPOCHS}

    def begun(group: list[Experiment]) -> Repeats:
        wanted = [experiments.for_notebook(each, **beginning) for each in group]
        return Repeats(run.run(each, diagnosed=True) for each in wanted)

    seeds, names, points = experiments.anatomy(given["scale"], seed)
    changed = {
        name: begun([experiments.intervention(name, one, **failing) for one in seeds]) for name in names
    }
    tried = [begun([experiments.at_rate(rate, one, optimizer=optimizer) for one in seeds]) for rate in points]
    rates = {group[0].config["learning_rate"]: group for group in tried}
    log = store.read(published.PUBLISHED_LOGS / "run_full_tune.json")
    return Failure(seed, frozen, whole, Beginnings(changed, rates), log)
