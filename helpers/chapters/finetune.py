"""Chapter 4: the careful fine-tune."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from helpers import paths, run
from helpers.analysis import groups, metrics, speed
from helpers.analysis.decay import decay_step
from helpers.analysis.groups import Group
from helpers.analysis.intervals import PairedTest
from helpers.chapters import common
from helpers.experiment import Experiment
from helpers.records import published, store
from helpers.records.run import Run
from helpers.study import experiments
from helpers.study.claims import CLAIMS, Claim
from helpers.study.verdict import Verdict, judge
from helpers.text import scientific

SHORT = experiments.screening()
"""The reference of the short runs: each of them changes one part of it."""
SWEPT = ("precision", "depth", "batch", "regularizers", "views", "optimizer")
"""The sweeps of short runs that the chapter shows."""
KINDS = {"parts of the recipe": SWEPT[:-1], "optimizers and rates": SWEPT[-1:]}
JUDGED = ("C9", "C10", "C11", "C17")
"""The claims that these sweeps decide."""
TIMED = {
    "features": "pooled features against `predict`",
    "epoch": "an epoch of fine-tuning against `fit`",
    "sweep": "twelve fine-tunes and one store, against twelve by `fit`",
}
"""What `make bench` compares with plain Keras, by its name there."""


@dataclass(frozen=True)
class Compared:
    """A run beside another on the same test images."""

    run: Run
    against: PairedTest | None
    """What it gains on the other; None where there is no other."""


@dataclass(frozen=True)
class ClassChange:
    """Test images of a class that the frozen network got right, and how many more the fine-tuned one did."""

    name: str
    before: int
    gained: int


@dataclass(frozen=True)
class Finetune:
    """The chapter's runs, and what they say."""

    careful: Experiment
    """The fine-tune of this chapter, whose run is `tuned`."""
    frozen: Run
    tuned: Run
    log: Run
    """The original study's log of its careful fine-tune."""
    second_log: Run
    """Its log of another one."""
    repeated: Mapping[str, Group]
    """The frozen network, ten layers, and this chapter's fine-tune, each with the seeds at hand."""
    short: Mapping[str, Run]
    """The short runs by their experiment's key; empty where SHORT's own is missing."""
    evidence: Group
    """The records that the verdicts rest on."""
    bench: speed.Bench
    """What `make bench` measured."""

    @property
    def on_study_images(self) -> bool:
        """Whether the runs saw the original study's images, so that its numbers may stand beside theirs."""
        return self.tuned.is_study_data

    accuracy = staticmethod(groups.accuracy)
    kept_rate = staticmethod(groups.rate_of_kept_weights)

    def passes(self, of: Run) -> int:
        """Passes over the training set in a run's stage 2."""
        return len(published.real_epochs(of))

    def gap(self, of: Run) -> float:
        """Training less validation accuracy in the last whole pass of a run's stage 2, -1 to 1."""
        last, curve = published.real_epochs(of)[-1], of.stage2
        return curve.accuracy[last] - curve.val_accuracy[last]

    def against_frozen(self, other: Run) -> Compared:
        """A run beside the frozen network."""
        return Compared(other, groups.paired(self.frozen, other))

    @property
    def ten(self) -> Compared | None:
        """The study's fine-tune of ten layers, with this chapter's seed, if it is at hand."""
        found = [each for each in self.repeated.get("ten layers", []) if each.seed == self.careful.seed]
        return self.against_frozen(found[0]) if found else None

    @property
    def networks(self) -> dict[str, common.Row]:
        """The networks that were repeated with other seeds, each compared with the frozen one."""
        return {name: common.Row(runs, self.repeated["frozen"]) for name, runs in self.repeated.items()}

    # ------------------------------------------------------------------------ losses

    def change_after_best(self, quantity: str) -> float:
        """How 'loss' or 'val_loss' changed, in nats, from the epoch of the lowest val_loss to the last."""
        curve = self.tuned.curves["stage2"][quantity]
        return curve[-1] - curve[self.tuned.stage2.kept_epoch]

    @property
    def floor(self) -> float:
        """The lowest validation loss, in nats, that label smoothing leaves to any prediction."""
        return metrics.smoothing_floor(self.careful.label_smoothing, len(self.tuned.classes))

    @property
    def plain_loss(self) -> float:
        """Loss of the validation predictions, in nats, against labels that are not smoothed."""
        return metrics.negative_log_likelihood(self.tuned.probabilities("val"), self.tuned.labels("val"))

    @property
    def unsmoothed(self) -> tuple[float, float] | None:
        """Validation losses of a short run with smoothing and of one without; None if one is missing."""
        smoothed, free = self.reference, self._short(label_smoothing=0.0)
        return (smoothed.val_loss, free.val_loss) if smoothed and free else None

    # ------------------------------------------------------------------------ errors

    @property
    def classes(self) -> list[ClassChange]:
        """Every class, in the order of the labels."""
        names = self.tuned.classes
        matrices = [each.confusion_matrix or [] for each in (self.frozen, self.tuned)]
        right = ([row[true] for true, row in enumerate(matrix)] for matrix in matrices)
        return [ClassChange(name, old, new - old) for name, old, new in zip(names, *right, strict=True)]

    @property
    def weakest_classes(self) -> list[ClassChange]:
        """The three classes of which the frozen network got the fewest images right."""
        return sorted(self.classes, key=lambda each: each.before)[:3]

    @property
    def most_gained_classes(self) -> list[ClassChange]:
        """The three classes that gained most."""
        return sorted(self.classes, key=lambda each: -each.gained)[:3]

    @property
    def confused_pairs(self) -> list[metrics.ConfusedPair]:
        """All pairs of classes, those first that the fine-tuned network confuses most."""
        return metrics.confused_pairs(self.tuned.confusion_matrix or [], self.tuned.classes)

    # ------------------------------------------------------------------------ one change at a time

    def _short(self, **changes: Any) -> Run | None:
        return self.short.get(SHORT.replace(**changes).key)

    @property
    def reference(self) -> Run | None:
        """The short run that the others differ from in one part, if it is at hand."""
        return self._short()

    @property
    def kinds(self) -> dict[str, tuple[dict[str, Run], int]]:
        """Kind of short runs to those at hand, by what each changes, and to how many are planned."""
        found = {}
        for kind, sweeps in KINDS.items():
            planned = experiments.varying(SHORT, [e for name in sweeps for e in experiments.SWEEPS[name]])
            runs = {name: self.short[each.key] for name, each in planned.items() if each.key in self.short}
            found[kind] = runs, len(planned)
        return found

    @property
    def judged(self) -> list[tuple[Claim, Verdict]]:
        """The claims about parts of the recipe, with their verdicts."""
        return [(claim, judge(claim, self.evidence)) for claim in CLAIMS if claim.id in JUDGED]

    @property
    def waiting(self) -> list[str]:
        """Which of these claims have no verdict yet, by id."""
        return [claim.id for claim, verdict in self.judged if verdict.outcome == "not yet run"]

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
    def rates(self) -> list[Compared]:
        """The short runs with the study's optimizer by rate, each against the reference."""
        return _compared(self.by_rate.get(SHORT.optimizer, {}).values(), self.reference)

    @property
    def stored_views(self) -> list[Compared]:
        """The short runs by their stored views, each against the one with a new view in every epoch."""
        swept = [each.key for each in experiments.SWEEPS["views"]]
        return _compared([self.short[key] for key in swept if key in self.short], self.new_views)

    @property
    def new_views(self) -> Run | None:
        """The short run with a new view in every epoch, if it is at hand."""
        return self._short(views=SHORT.epochs)

    @property
    def ten_layers(self) -> tuple[Compared, Compared] | None:
        """Ten layers in a short run and in the study's table; None where one is missing."""
        short, ten = self._short(n_unfreeze=10), self.ten
        return (self.against_frozen(short), ten) if short and ten else None

    # ------------------------------------------------------------------------ weight decay

    @property
    def decays(self) -> dict[float, tuple[float, float]]:
        """What float32 leaves of a step of decay, at this chapter's rate and all that AdamW was tried at."""
        rates = sorted({self.careful.learning_rate, *experiments.RATES["adamw"]})
        return {rate: decay_step(rate, self.careful.weight_decay) for rate in rates}

    @property
    def steps(self) -> int:
        """Optimizer steps of stage 2."""
        return -(-self.tuned.train_images // self.careful.batch_size) * len(self.tuned.stage2)

    @property
    def shrinkage(self) -> float:
        """Part of a weight that decay would take in all `steps`, in exact arithmetic at the first rate."""
        return float(1 - (1 - self.careful.learning_rate * self.careful.weight_decay) ** self.steps)

    @property
    def twins(self) -> list[tuple[str, bool, PairedTest]]:
        """Short runs with decay and without: name, whether all curves are the same, what the second gains."""
        pairs = {"weight decay or none": (self.reference, self._short(weight_decay=0.0))}
        for rate in experiments.RATES["adam"]:
            decayed, plain = (self._short(optimizer=name, learning_rate=rate) for name in ("adamw", "adam"))
            pairs[f"AdamW or Adam at {scientific(rate)}"] = decayed, plain
        return [
            (name, one.curves == two.curves, groups.paired(one, two))
            for name, (one, two) in pairs.items()
            if one and two
        ]

    # ------------------------------------------------------------------------ time

    @property
    def seconds(self) -> dict[str, list[float]]:
        """Part of the work to its time in this run and, beside the study's images, in the study's log."""
        runs = [self.tuned, self.log] if self.on_study_images else [self.tuned]
        parts = [part for part in self.log.timing_sec if part in self.tuned.timing_sec]
        return {part: [each.timing_sec[part] for each in runs] for part in parts}

    @property
    def speeds(self) -> dict[str, speed.Comparison]:
        """What was compared with plain Keras, in words, to the pair's ratio, target and speeds."""
        return {words: getattr(self.bench, name) for name, words in TIMED.items()}

    @property
    def expected_speed(self) -> float:
        """How many times faster arithmetic alone makes an epoch, a pass backward counted twice."""
        above = self.bench.above_cut_million
        return (self.bench.whole_million + 2 * above) / (3 * above)


def _compared(runs: Iterable[Run], other: Run | None) -> list[Compared]:
    """Each run beside the other; None stands in the place of what the other gains on itself."""
    return [
        Compared(each, groups.paired(other, each) if other and each is not other else None) for each in runs
    ]


def load(
    *, dataset: str, scale: str, seed: int, dropout: float, label_smoothing: float, **stage2: Any
) -> Finetune:
    """The frozen network and this chapter's fine-tune, trained where they are not stored; the rest as found.

    `stage2` are fields of the Experiment. Raises ExperimentError where there is nothing to fine-tune.
    """
    common.refuse_below(1, n_unfreeze=stage2["n_unfreeze"], epochs=stage2["epochs"])
    place: dict[str, Any] = {"dataset": dataset, "scale": scale, "seed": seed}
    head: dict[str, Any] = {"dropout": dropout, "label_smoothing": label_smoothing}
    careful = experiments.for_notebook(experiments.HEADLINE, **place, **head, **stage2)
    networks = {
        "frozen": experiments.for_notebook(experiments.BASELINE, **place, **head),
        "ten layers": experiments.for_notebook(experiments.TABLE["fine-tune 10"], **place),
        "this chapter's": careful,
    }
    frozen, tuned = run.run(networks["frozen"]), run.run(careful)
    repeated = {
        name: [each for runs in common.by_seed(network).values() for each in runs]
        for name, network in networks.items()
    }
    wanted = {each.key: each for name in SWEPT for each in experiments.SWEEPS[name]}
    shown = careful.is_study_data and run.find(SHORT) is not None
    return Finetune(
        careful=careful,
        frozen=frozen,
        tuned=tuned,
        log=store.read(published.PUBLISHED_LOGS / "run_final_optimized.json"),
        second_log=store.read(published.PUBLISHED_LOGS / "run_full_tune_low_lr.json"),
        repeated={name: runs for name, runs in repeated.items() if runs},
        short={key: found for key, each in wanted.items() if shown and (found := run.find(each))},
        evidence=store.read_folder(paths.results_folder(experiments.HEADLINE))[0],
        bench=speed.read(),
    )
