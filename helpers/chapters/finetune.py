"""Chapter 4: the fine-tune that worked, and the study's reasons for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from helpers import run
from helpers.analysis import groups, metrics, speed
from helpers.analysis.decay import decay_step
from helpers.analysis.groups import Group
from helpers.analysis.intervals import PairedTest
from helpers.chapters import common
from helpers.records import published, store
from helpers.records.run import Run
from helpers.study import experiments
from helpers.text import listed, literal, percent, points, scientific

SHORT = experiments.screening()
"""The reference of the short runs: each of them changes one part of it."""
PARTS = {
    "nothing unfrozen": SHORT.replace(n_unfreeze=0),
    "10 layers": SHORT.replace(n_unfreeze=10),
    "20 layers": SHORT.replace(n_unfreeze=20),
    "batches of 32": SHORT.replace(batch_size=32),
    "batches of 128": SHORT.replace(batch_size=128),
    "no augmentation": SHORT.replace(augmentation="none"),
    "no label smoothing": SHORT.replace(label_smoothing=0.0),
    "no dropout": SHORT.replace(dropout=0.0),
    "no weight decay": SHORT.replace(weight_decay=0.0),
    "1 stored view": SHORT.replace(views=1),
    "2 stored views": SHORT.replace(views=2),
    "a new view in every epoch": experiments.with_new_views(SHORT),
    "products in float32": SHORT.replace(precision="float32"),
}
"""What the short runs change, one part at a time."""
REGULARIZERS = ("augmentation", "label smoothing", "dropout", "weight decay")
"""Those of which a short run goes without."""
WHOLE_RATES = (*experiments.FAIR_RATES, experiments.LOGGED.learning_rate)
"""Rates at which there are whole runs of the fine-tune."""
SWEEPS = ("precision", "depth", "batch", "regularizers", "views", "optimizer")
"""The sweeps that make all short runs."""
TIMED = {
    "features": "pooled features against `predict`",
    "epoch": "an epoch of fine-tuning against `fit`",
    "sweep": "{0} fine-tunes and one store, in bfloat16, against {0} by `fit`",
    "sweep_float32": "the same in float32",
}
"""What `make bench` compares with plain Keras, by its name there."""


@dataclass(frozen=True)
class Rate:
    """A run with the study's optimizer at a learning rate, and what it gains over the reference."""

    run: Run
    gain: PairedTest | None
    """None for the reference itself."""

    @property
    def name(self) -> str:
        """The rate in words."""
        return scientific(self.run.experiment.learning_rate)

    @property
    def lowest(self) -> float:
        """The lowest validation accuracy after an epoch, 0 to 1."""
        return min(self.run.stage2.val_accuracy)


@dataclass(frozen=True)
class Finetune:
    """The chapter's runs, and what they say."""

    frozen: Run
    tuned: Run
    log: Run
    """The original study's log of its careful fine-tune."""
    second_log: Run
    """Its log of another one."""
    repeated: Mapping[str, Group]
    """The frozen network, ten layers, and this chapter's fine-tune, each with the seeds of the last."""
    study_ways: Mapping[str, Group]
    """What the study's script does otherwise, to the stored runs of this chapter's fine-tune with it."""
    short: Mapping[str, Run]
    """The short runs by their experiment's key; empty where SHORT's own is missing."""
    whole: Mapping[float, Run]
    """Learning rate to this chapter's fine-tune at it, of the same seed: the stored ones, and its own."""
    bench: speed.Bench
    """What `make bench` measured."""

    accuracy = staticmethod(groups.accuracy)

    @property
    def pair(self) -> dict[str, Run]:
        """Before and after."""
        return {"frozen": self.frozen, "fine-tuned": self.tuned}

    @property
    def records(self) -> list[Run]:
        """Every run, and the study's logs."""
        repeated = [each for group in {**self.repeated, **self.study_ways}.values() for each in group]
        runs = (*repeated, *self.short.values(), *self.whole.values())
        return [self.frozen, self.tuned, *runs, self.log, self.second_log]

    @property
    def networks(self) -> dict[str, common.Row]:
        """The networks that were repeated with other seeds, each compared with the frozen one."""
        return {name: common.Row(runs, self.repeated["frozen"]) for name, runs in self.repeated.items()}

    @property
    def row(self) -> common.Row:
        """This chapter's fine-tune over its seeds."""
        return self.networks["fine-tuned"]

    @property
    def by_network(self) -> list[tuple[object, ...]]:
        """A line of the table for each of these networks: of each seed, the mean, and the gain."""
        return [
            (name, listed(row.accuracies), row.mean, row.gain or "–") for name, row in self.networks.items()
        ]

    @property
    def logs(self) -> dict[str, Run]:
        """The study's log, where it may stand beside these runs."""
        return {"the study's log": self.log} if self.tuned.is_study_data else {}

    def gap(self, of: Run) -> float:
        """Training less validation accuracy in the last whole pass of a run's stage 2, -1 to 1."""
        last, curve = published.real_epochs(of)[-1], of.stage2
        return curve.accuracy[last] - curve.val_accuracy[last]

    @property
    def repetitions(self) -> float:
        """How often the fine-tune saw each of its stored views."""
        return len(self.tuned.stage2) / self.tuned.experiment.views_run

    @property
    def ways(self) -> dict[str, common.Row]:
        """This chapter's fine-tune as here, and each of the study's ways, compared with it."""
        ours = self.repeated["fine-tuned"]
        return {way: common.Row(runs, ours) for way, runs in {"as here": ours, **self.study_ways}.items()}

    @property
    def by_way(self) -> list[tuple[str, str, str, str, object]]:
        """A line of the table for each of these: seeds, gap in the last and the kept pass, gain on test."""
        return [
            (
                way,
                listed(row.seeds, "d"),
                points(groups.train_gap(row.runs, "stage2")),
                points(self.kept_gaps[way]),
                row.gain or "–",
            )
            for way, row in self.ways.items()
        ]

    @property
    def kept_gaps(self) -> dict[str, float]:
        """Way to training less validation accuracy in the kept pass, -1 to 1, as a mean over the seeds."""
        return {way: groups.kept_gap(row.runs) for way, row in self.ways.items()}

    @property
    def narrowing(self) -> list[str]:
        """The study's ways that narrow the gap in the last pass, as a mean over the seeds of both."""
        found = []
        for way, runs in self.study_ways.items():
            here, theirs = zip(*groups.pairs(self.repeated["fine-tuned"], runs), strict=True)
            if groups.train_gap(theirs, "stage2") < groups.train_gap(here, "stage2"):
                found.append(way)
        return found

    @property
    def gaining(self) -> list[str]:
        """The study's ways that have more test accuracy than this chapter's fine-tune, beyond chance."""
        gains = {way: row.gain for way, row in self.ways.items()}
        return [way for way, gain in gains.items() if gain and gain.low > 0]

    # ------------------------------------------------------------------------ losses

    @property
    def floor(self) -> float:
        """The lowest validation loss, in nats, that label smoothing leaves to any prediction."""
        return metrics.smoothing_floor(self.tuned.experiment.label_smoothing, len(self.tuned.classes))

    @property
    def losses(self) -> list[tuple[str, str]]:
        """Validation losses in words and in nats; the last two are of short runs, where both are at hand."""
        plain = metrics.negative_log_likelihood(self.tuned.probabilities("val"), self.tuned.labels("val"))
        found = {
            "against smoothed labels, as in training": self.tuned.val_loss,
            "the floor of that": self.floor,
            "against plain labels": plain,
        }
        smoothed, free = self.reference, self._short(label_smoothing=0.0)
        if smoothed and free:
            found |= {"a short run, trained with smoothing": smoothed.val_loss}
            found |= {"a short run, trained without": free.val_loss}
        return [(words, f"{loss:.3f}") for words, loss in found.items()]

    # ------------------------------------------------------------------------ errors

    @property
    def confused(self) -> list[tuple[str, int, str]]:
        """The five pairs of classes confused most: in words, their errors, their place in the study's log."""
        logs = [metrics.confused_pairs(log.matrix(), log.classes) for log in self.logs.values()]
        places = {(pair.first, pair.second): place for log in logs for place, pair in enumerate(log, 1)}
        pairs = metrics.confused_pairs(self.tuned.matrix(), self.tuned.classes)[:5]
        return [
            (
                f"{literal(pair.first)} and {literal(pair.second)}",
                pair.errors,
                str(places.get((pair.first, pair.second), "–")),
            )
            for pair in pairs
        ]

    # ------------------------------------------------------------------------ one change at a time

    def _short(self, **changes: Any) -> Run | None:
        return self.short.get(SHORT.replace(**changes).key)

    @property
    def reference(self) -> Run | None:
        """The short run that the others differ from in one part, if it is at hand."""
        return self._short()

    @property
    def parts(self) -> dict[str, Run]:
        """What is changed to its short run; one that is missing is left out."""
        return {name: self.short[each.key] for name, each in PARTS.items() if each.key in self.short}

    @property
    def missed(self) -> list[str]:
        """The regularizers without which a short run is worse by a paired test."""
        without = {name: self.parts.get(f"no {name}") for name in REGULARIZERS}
        return [name for name, each in without.items() if each and self._gain(each).high < 0]

    @property
    def by_views(self) -> dict[int, float]:
        """Stored views to what a short run with so many gains over the reference, -1 to 1; fewest first."""
        every = [self.short.get(each.key) for each in experiments.SWEEPS["views"]]
        return {each.experiment.views_run: self._gain(each).difference for each in every if each}

    @property
    def views_in_order(self) -> bool:
        """Whether more stored views gain ever more, or ever less."""
        gains = list(self.by_views.values())
        return gains in (sorted(gains), sorted(gains, reverse=True))

    @property
    def ten_layers(self) -> PairedTest | None:
        """What ten layers gain in a short run over the frozen network; None unless both are at full scale."""
        none, few = self._short(n_unfreeze=0), self._short(n_unfreeze=10)
        return groups.paired(none, few) if none and few and self.tuned.scale == few.scale else None

    def _gain(self, each: Run) -> PairedTest:
        return groups.paired(self.short[SHORT.key], each)

    @property
    def by_rate(self) -> dict[str, dict[float, Run]]:
        """Optimizer to learning rate to its short run; what is missing is left out."""
        found: dict[str, dict[float, Run]] = {}
        for name, rates in experiments.RATES.items():
            for rate in rates:
                if at_rate := self._short(optimizer=name, learning_rate=rate):
                    found.setdefault(name, {})[rate] = at_rate
        return found

    @property
    def rates(self) -> list[Rate]:
        """The short runs with the study's optimizer, the lowest rate first."""
        runs = self.by_rate.get(SHORT.optimizer, {}).values()
        return [Rate(each, None if each is self.reference else self._gain(each)) for each in runs]

    @property
    def clearly_better(self) -> list[str]:
        """The rates that gain on the reference by a paired test."""
        return [at.name for at in self.rates if at.gain and at.gain.low > 0]

    @property
    def by_adamw(self) -> list[tuple[object, ...]]:
        """Of each of `rates`: lowest epoch on validation, test, gain over the reference, whole run's test."""
        return [
            (at.name, at.lowest, groups.accuracy(at.run), at.gain or "–", self._whole_at(at))
            for at in self.rates
        ]

    def _whole_at(self, at: Rate) -> object:
        found = self.whole.get(at.run.experiment.learning_rate)
        return groups.accuracy(found) if found else "–"

    @property
    def chosen(self) -> Rate | None:
        """The whole run of the highest validation accuracy; None where that is this chapter's own."""
        best = max(self.whole.values(), key=lambda each: each.val_accuracy)
        return Rate(best, groups.paired(self.tuned, best)) if best.key != self.tuned.key else None

    # ------------------------------------------------------------------------ weight decay

    @property
    def decays(self) -> list[tuple[str, str, str]]:
        """Of the rates that AdamW was tried at: which weights a step of decay moves, and Adam's difference.

        The share is of float32 weights evenly from 1 to 2; the difference is of two short runs.
        """
        found = []
        for rate in sorted({self.tuned.experiment.learning_rate, *experiments.RATES["adamw"]}):
            moved = decay_step(rate, self.tuned.experiment.weight_decay)
            found.append((scientific(rate), percent(moved), self._beside_adam(rate)))
        return found

    def _beside_adam(self, rate: float) -> str:
        decayed, plain = (self._short(optimizer=name, learning_rate=rate) for name in ("adamw", "adam"))
        if not decayed or not plain:
            return "–"
        if decayed.curves == plain.curves:
            return "none: equal to the last digit"
        test = groups.paired(decayed, plain)
        return str(test) if test.only_first or test.only_second else "none: the same answers"

    @property
    def decay_arrives(self) -> bool:
        """Whether a step of decay at this chapter's rate moves any float32 weight."""
        return decay_step(self.tuned.experiment.learning_rate, self.tuned.experiment.weight_decay) > 0

    # ------------------------------------------------------------------------ time

    @property
    def speeds(self) -> list[tuple[str, str, str, str]]:
        """What was compared with plain Keras: in words, times faster, target, images a second of both."""
        found = []
        for name, words in TIMED.items():
            at: speed.Comparison = getattr(self.bench, name)
            both = listed((at.ours_images_per_second, at.plain_images_per_second), ".0f")
            times = f"{at.ratio:.2f} ({at.low:.2f} to {at.high:.2f})"
            hoped = f"{at.target:g}" if at.target else "–"
            found.append((words.format(self.bench.sweep.experiments), times, hoped, both))
        return found

    @property
    def mixed(self) -> float:
        """How many times as long plain Keras takes by its mixed_bfloat16 as in float32, in one fine-tune."""
        at = self.bench.sweep
        return at.plain_bfloat16_seconds / at.plain_seconds[0]

    @property
    def expected_speed(self) -> float:
        """How many times faster arithmetic alone makes an epoch, a pass backward counted twice."""
        above = self.bench.above_cut_million
        return (self.bench.whole_million + 2 * above) / (3 * above)


def load(
    *, dataset: str, scale: str, seed: int, dropout: float, label_smoothing: float, **stage2: Any
) -> Finetune:
    """The frozen network and this chapter's fine-tune, trained where they are not stored; the rest as found.

    `stage2` are fields of the Experiment. Raises ExperimentError where there is nothing to fine-tune.
    """
    common.refuse_below(1, n_unfreeze=stage2["n_unfreeze"], epochs=stage2["epochs"])
    place: dict[str, Any] = {"dataset": dataset, "scale": scale, "seed": seed}
    head: dict[str, Any] = {"dropout": dropout, "label_smoothing": label_smoothing}
    networks = {
        "frozen": experiments.for_notebook(experiments.BASELINE, **place, **head),
        "ten layers": experiments.for_notebook(experiments.TABLE["ten layers"], **place),
        "fine-tuned": experiments.for_notebook(experiments.CAREFUL, **place, **head, **stage2),
    }
    frozen, tuned = run.run(networks["frozen"]), run.run(networks["fine-tuned"])
    own, more = networks["fine-tuned"], experiments.MORE_DROPOUT.dropout
    theirs = {
        "a new view in every pass": experiments.with_new_views(own),
        f"dropout {more:g}": own.replace(dropout=more),
    }
    ways = {name: way for name, way in theirs.items() if way.key != own.key}
    at_rates = [own.replace(learning_rate=rate) for rate in WHOLE_RATES]
    found = {name: common.by_seed(each) for name, each in {**networks, **ways}.items()}
    seeds = found["fine-tuned"].keys()
    repeated = {
        name: [each for seed, runs in by_seed.items() if seed in seeds for each in runs]
        for name, by_seed in found.items()
    }
    wanted = {each.key: each for name in SWEEPS for each in experiments.SWEEPS[name]}
    shown = tuned.is_study_data and run.find(SHORT) is not None
    return Finetune(
        frozen=frozen,
        tuned=tuned,
        log=store.published_log("run_final_optimized"),
        second_log=store.published_log("run_full_tune_low_lr"),
        repeated={name: repeated[name] for name in networks if repeated[name]},
        study_ways={name: repeated[name] for name in ways if repeated[name]},
        short={key: one for key, each in wanted.items() if shown and (one := run.find(each))},
        whole={
            each.experiment.learning_rate: each for each in (*filter(None, map(run.find, at_rates)), tuned)
        },
        bench=speed.read(),
    )
