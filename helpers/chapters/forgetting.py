"""Chapter 3: the run that failed, run again whole, with every seed, and with the norm of its head frozen."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from helpers import run
from helpers.analysis import batchnorm, groups
from helpers.analysis.batchnorm import Course, EpochResult, Repeats, Restored
from helpers.analysis.intervals import Gain, Proportion
from helpers.chapters import common
from helpers.chapters.beginnings import Beginnings, Row
from helpers.experiment import Experiment
from helpers.records import published, store
from helpers.records.run import Run
from helpers.study import experiments
from helpers.text import percent, scientific

LOGGED, PUBLISHED = "as logged", "as published"
CAREFUL, FROZEN = "careful fine-tune", "norm frozen"
CAREFUL_FROZEN = "careful fine-tune, norm frozen"
UNTUNED = "frozen network"


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
    passes_after_best: int
    """After the logged epoch of the highest validation accuracy."""

    @classmethod
    def of(cls, log: Run) -> "Log":
        """A log in numbers."""
        real, curves = published.real_epochs(log), log.stage2
        best = max(curves.val_accuracy)
        return cls(
            epochs=len(curves),
            passes=len(real),
            best=best,
            test=groups.accuracy(log),
            train=[curves.accuracy[epoch] for epoch in real],
            passes_after_best=sum(epoch > curves.val_accuracy.index(best) for epoch in real),
        )


@dataclass(frozen=True)
class Whole:
    """A run to its end. Accuracies are 0 to 1."""

    run: Run

    @property
    def accuracy(self) -> list[float]:
        """Validation accuracy after each pass."""
        return self.run.stage2.val_accuracy

    @property
    def early(self) -> list[float]:
        """Validation accuracy after each pass at the first rate."""
        return groups.at_first_rate(self.run)

    @property
    def late(self) -> list[float]:
        """Validation accuracy after each pass at a lower rate."""
        return self.accuracy[len(self.early) :]

    @property
    def active(self) -> list[int]:
        """Channels of the features that vary, before the first pass and after each."""
        return [each.active for each in self.run.diagnosis]

    @functools.cached_property
    def course(self) -> Course:
        """Epoch by epoch; only of a diagnosed run."""
        return batchnorm.course(self.run)

    @functools.cached_property
    def restored(self) -> Restored:
        """Over its passes at the first rate; only of a diagnosed run."""
        return batchnorm.restored_over_failing_passes(self.run)

    def stop(self, watched: str, patience: int) -> str:
        """The validation accuracy that early stopping keeps: '71.4% (epoch 8, stops after 13)'.

        watched: 'loss' or 'accuracy', on validation; patience in passes.
        """
        losses = self.run.stage2.val_loss if watched == "loss" else [-each for each in self.accuracy]
        last, kept = groups.early_stop(losses, patience)
        return f"{percent(self.accuracy[kept - 1])} (epoch {kept}, stops after {last})"


@dataclass(frozen=True)
class Failure:
    """The chapter's runs. `whole` and every list by seed begin with the notebook's own seed."""

    seed: int
    whole: Mapping[str, Mapping[int, Whole]]
    """Way to train to seed to its run; of other seeds those that were run."""
    begun: Beginnings
    """The run as logged, begun again with one thing changed, and at other rates."""
    log: Run
    """The original study's."""

    @property
    def failed(self) -> Whole:
        """The run as logged, with the notebook's own seed."""
        return self.whole[LOGGED][self.seed]

    @property
    def logged(self) -> list[Whole]:
        """The runs as logged, by seed."""
        return list(self.whole[LOGGED].values())

    @property
    def by_seed(self) -> dict[str, Run]:
        """'seed 42' to the run as logged with that seed."""
        return {f"seed {seed}": each.run for seed, each in self.whole[LOGGED].items()}

    @property
    def records(self) -> list[Run]:
        """Every run, and the study's log."""
        whole = [each.run for runs in self.whole.values() for each in runs.values()]
        begun = (*self.begun.changed.values(), *self.begun.rates.values())
        return [*whole, *(each for group in begun for each in group), self.log]

    @property
    def published(self) -> Log:
        """The study's log in numbers."""
        return Log.of(self.log)

    # ---------------------------------------------------------------- what it cost in the end

    def seeds(self, way: str) -> str:
        """Of the runs of a way to train, listed."""
        return ", ".join(map(str, self.whole[way]))

    def gain(self, way: str, over: str = CAREFUL) -> Gain:
        """Test accuracy of one way to train less another's, over the seeds that both have."""
        first, second = ([each.run for each in self.whole[name].values()] for name in (over, way))
        return groups.gain(first, second)

    @property
    def ends(self) -> list[Row]:
        """Of each way to train that was run: test accuracy by seed, `gain` over untuned and over careful.

        The seeds are those of the run as logged: another chapter may have run more of the frozen network.
        """
        found: list[Row] = []
        seeds = self.whole[LOGGED].keys()
        for way in (UNTUNED, CAREFUL, CAREFUL_FROZEN, LOGGED, PUBLISHED, FROZEN):
            by_seed = self.whole[way]
            if tests := [by_seed[seed].run.test_accuracy for seed in by_seed if seed in seeds]:
                gains = [
                    "–" if way in (over, UNTUNED) else self.gain(way, over) for over in (UNTUNED, CAREFUL)
                ]
                found.append((way, tests, *gains))
        return found

    @property
    def kept_rates(self) -> str:
        """At which rates the weights were trained that runs at the failing rate keep: '3.8e-5 to 1.5e-4'."""
        runs = [each.run for way in (LOGGED, FROZEN) for each in self.whole[way].values()]
        rates = sorted(set(map(groups.rate_of_kept_weights, runs)))
        return " to ".join(dict.fromkeys(map(scientific, (rates[0], rates[-1]))))

    def stops(self, rules: Mapping[str, tuple[str, int]]) -> list[Row]:
        """Of each rule, name to what it watches and its patience: `Whole.stop` by seed; and without any."""
        never = [(each.run.stage2.kept_epoch + 1, each) for each in self.logged]
        kept = [f"{percent(each.accuracy[epoch - 1])} (epoch {epoch})" for epoch, each in never]
        by_rule = [(name, *(each.stop(*rule) for each in self.logged)) for name, rule in rules.items()]
        return [*by_rule, ("never: lowest loss of all", *kept)]

    # ---------------------------------------------------------------- evaluated with other statistics

    @property
    def losses(self) -> list[float]:
        """Points that accuracy averages below its start over the passes at the failing rate, by seed."""
        return [100 * each.restored.lost for each in self.logged]

    @property
    def fractions(self) -> list[float]:
        """The part of them that re-estimating restores, by seed."""
        return [each.restored.fraction for each in self.logged]

    @property
    def falls(self) -> list[Row]:
        """By seed: passes at the failing rate, points lost and restored in them, and the lowest epoch's."""
        found: list[Row] = []
        for seed, each in self.whole[LOGGED].items():
            low, both = each.course.lowest_epoch("moving"), (each.restored.lost, each.restored.restored)
            shares = low.moving, low.reestimated
            found.append((seed, len(each.early), *(f"{100 * part:.1f}" for part in both), low.epoch, *shares))
        return found

    # ---------------------------------------------------------------- what became of the weights

    @property
    def lowest_probe(self) -> EpochResult:
        """Of all epochs of the runs as logged the one whose features a fresh classifier tells apart least."""
        return min(
            (each.course.lowest_epoch("probe") for each in self.logged), key=lambda low: low.probe.value
        )

    @property
    def probes_fell(self) -> int:
        """In how many runs as logged a fresh probe ever fell clearly below its start."""
        return sum(each.course.probe_fell for each in self.logged)

    @property
    def probes_ended_above(self) -> int:
        """In how many of them it ended clearly above."""
        return sum(each.course.end.probe.low > each.course.start.probe.high for each in self.logged)

    @property
    def weights(self) -> list[Row]:
        """By seed: re-estimated accuracy before, and lowest with its epoch; the same of a fresh probe."""
        found: list[Row] = []
        for seed, each in self.whole[LOGGED].items():
            start, both = each.course.start, ("reestimated", "probe")
            lows = {by: each.course.lowest_epoch(by) for by in both}
            cells = [
                (getattr(start, by).value, f"{getattr(lows[by], by)} after {lows[by].epoch}") for by in both
            ]
            found.append((seed, *cells[0], *cells[1]))
        return found

    @property
    def largest_gap_frozen(self) -> float:
        """The largest gap in any epoch of the whole runs with their norm frozen; 0 where there are none."""
        return max((each.course.largest_gap for each in self.whole[FROZEN].values()), default=0.0)


def load(*, seed: int, learning_rate: float, careful_rate: float, optimizer: str, **given: Any) -> Failure:
    """The chapter's runs: trained where they are not stored, but for whole runs with other seeds.

    `given` are the data set, the scale, n_unfreeze, batch_size and epochs. Raises ExperimentError, before
    anything trains, where there is nothing to fine-tune.
    """
    common.refuse_below(1, n_unfreeze=given["n_unfreeze"], epochs=given["epochs"])
    failing = {"learning_rate": learning_rate, "optimizer": optimizer}
    bases = {
        LOGGED: experiments.LOGGED.replace(**failing),
        PUBLISHED: experiments.TABLE["3e-4, as published"].replace(**failing),
        CAREFUL: experiments.CAREFUL.replace(learning_rate=careful_rate, optimizer=optimizer),
        FROZEN: experiments.FROZEN_NORM.replace(**failing),
        CAREFUL_FROZEN: experiments.FROZEN_NORM.replace(learning_rate=careful_rate, optimizer=optimizer),
    }
    asked = {way: experiments.for_notebook(base, seed=seed, **given) for way, base in bases.items()}
    asked[UNTUNED] = experiments.for_notebook(
        experiments.BASELINE, seed=seed, dataset=given["dataset"], scale=given["scale"]
    )
    for way in (UNTUNED, PUBLISHED, CAREFUL):
        run.run(asked[way])
    run.run(asked[LOGGED], diagnosed=True)
    # A run that is no longer than its beginning is its own beginning, and is not trained twice.
    is_short = asked[LOGGED].epochs_run <= experiments.ANATOMY_EPOCHS
    beginning = given if is_short else {**given, "epochs": experiments.ANATOMY_EPOCHS}

    def begun(group: list[Experiment]) -> Repeats:
        wanted = [experiments.for_notebook(each, **beginning) for each in group]
        return Repeats(run.run(each, diagnosed=True) for each in wanted)

    seeds, names, rates = experiments.anatomy(given["scale"], seed)
    changed = {
        name: begun([experiments.intervention(name, one, **failing) for one in seeds]) for name in names
    }
    tried = [begun([experiments.at_rate(rate, one, optimizer=optimizer) for one in seeds]) for rate in rates]
    by_rate = {group[0].config["learning_rate"]: group for group in tried}
    found = {
        way: common.by_seed(each, find=partial(run.find, diagnosed=way in (LOGGED, FROZEN)))
        for way, each in asked.items()
    }
    whole = {way: {one: Whole(*runs) for one, runs in by_seed.items()} for way, by_seed in found.items()}
    log = store.published_log("run_full_tune")
    return Failure(seed, whole, Beginnings(changed, by_rate), log)
