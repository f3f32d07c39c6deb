"""The seed study's claims, and how each verdict is reached from records.

Each Claim names the experiments that bear on it and carries its rule of judgement as a sentence and, beside
it, as a function. Both were written before this report's full-scale runs were looked at, but for two: C16's
was shortened when records had begun to say what stored features had cost, and C13, judged on the first seed
alone, takes the mean over the seeds since there are several. The study's text and logs, and some short first
measurements, were known. Only full-scale runs on CIFAR-10 are evidence: a run
counts where its key is that of the experiment named, whatever its seed. A claim without its runs says
what is still to be run. To add one, append it to CLAIMS.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, Literal

import numpy as np

from helpers import data, evaluation
from helpers.evaluation import Proportion
from helpers.experiment import Experiment
from helpers.records import RecordError, Run

Outcome = Literal["reproduced", "partly", "not reproduced", "not yet run"]
Group = Sequence[Run]
Judgement = tuple[Outcome, str]

SCREENING: Mapping[str, Any] = {"epochs": 8, "precision": "bfloat16"}
"""What makes a sweep's runs short and cheap; claims about sweeps take them where full ones are missing."""


@dataclass(frozen=True)
class Verdict:
    """What the runs say of a claim."""

    outcome: Outcome
    measured: str
    """What was measured, with its interval; or which experiments are still to be run."""
    runs: tuple[Run, ...] = ()
    """The evidence."""


@dataclass(frozen=True)
class Claim:
    """One claim of the seed study and the rule that decides it."""

    id: str
    statement: str
    published: str
    """The study's figures; a dash where it gives none."""
    rule: str
    judge: Callable[[Mapping[str, Group]], Judgement]
    """From the experiments' names and their runs, one a seed, to the outcome and what was measured."""
    experiments: Mapping[str, Mapping[str, Any]]
    """Name to the fields in which the experiment differs from the headline."""
    notebook: str
    """The notebook that shows it."""
    optional: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Experiments that the rule weighs where they have been run, and can do without."""
    free: tuple[str, ...] = ("seed",)
    """Fields in which a run may differ from the experiment."""
    screening: bool = False
    """Whether SCREENING runs will do."""

    def verdict(self, runs: Group) -> Verdict:
        """The verdict from these runs, of which any that do not bear on the claim are passed over."""
        lengths: list[Mapping[str, Any]] = [{}, SCREENING] if self.screening else [{}]
        for length in lengths:
            groups = {
                name: alike(runs, self.free, **length, **changes)
                for name, changes in {**self.experiments, **self.optional}.items()
            }
            if all(groups[name] for name in self.experiments):
                outcome, measured = self.judge(groups)
                if outcome == "not yet run":
                    return Verdict(outcome, measured)
                note = (
                    f" (screening: {length['epochs']} epochs, products in {length['precision']})"
                    if length
                    else ""
                )
                return Verdict(outcome, measured + note, tuple(compared(groups)))
        missing = [name for name in self.experiments if not groups[name]]
        return Verdict("not yet run", f"still to be run: {', '.join(missing)}")


def table(runs: Group) -> list[dict[str, str]]:
    """A row for each claim: id, claim, published figure, what was measured, verdict, evidence, where shown.

    Evidence is the names of records in results/, seeds how many they have; a dash where there are none.
    Cells are Markdown.
    """
    rows = []
    for claim in CLAIMS:
        verdict = claim.verdict(runs)
        rows.append(
            {
                "id": claim.id,
                "claim": claim.statement,
                "published": claim.published,
                "measured": verdict.measured,
                "seeds": str(len({run.config["seed"] for run in verdict.runs}) or "–"),
                "verdict": verdict.outcome,
                "evidence": ", ".join(f"`{run.name}-{run.id}`" for run in verdict.runs) or "–",
                "shown in": f"[chapter {int(claim.notebook[:2])}]({claim.notebook}.ipynb)",
            }
        )
    return rows


# ---------------------------------------------------------------------------- evidence


def alike(runs: Group, free: Sequence[str] = ("seed",), **changes: Any) -> list[Run]:
    """The runs, by seed, that differ from Experiment(**changes) in the `free` fields at most.

    Raises RecordError for two records of one experiment, which differ in their data or weights: a mean over
    both would take them for two seeds.
    """

    def key(run: Run) -> str:
        return _key(**{**changes, **{name: run.config[name] for name in free}})

    found = [run for run in runs if run.key and run.key == key(run)]
    first: dict[str, Run] = {}
    for run in found:
        if (other := first.setdefault(run.key, run)) is not run:
            raise RecordError(
                f"{other.path.name} and {run.path.name} are one experiment on different data or weights, "
                "and no verdict can rest on both: move one of them to another folder"
            )
    return sorted(found, key=lambda run: run.config["seed"])


def compared(groups: Mapping[str, Group]) -> list[Run]:
    """The runs that a judgement rests on: of several groups, those whose seed another group has as well."""
    found: list[Run] = []
    for name, group in groups.items():
        others = {run.config["seed"] for other, runs in groups.items() if other != name for run in runs}
        paired = [run for run in group if run.config["seed"] in others]
        found += paired or group
    return list(dict.fromkeys(found))


@functools.cache
def _key(**fields: Any) -> str:
    return Experiment(**fields).key


@dataclass(frozen=True)
class Gain:
    """Accuracy of one experiment less another's, -1 to 1, with its 95% interval.

    seeds: how many both have; with 0 the two runs differ in their seed as well.
    """

    value: float
    low: float
    high: float
    seeds: int

    def __str__(self) -> str:
        seeds = {0: "; different seeds", 1: ""}.get(self.seeds, f"; {self.seeds} seeds")
        return f"{100 * self.value:+.1f} points ({100 * self.low:.1f} to {100 * self.high:.1f}{seeds})"


def gain(first: Group, second: Group, views: tuple[str, str] = ("plain", "plain")) -> Gain:
    """What the second experiment's runs gain over the first's on the test images, by seed.

    Where no seed is common to both, the first run of each is compared, and the text says so. Interval: the
    paired bootstrap over images for one seed, Student's over the seeds that both have for more.
    """
    by_seed = [{run.config["seed"]: run for run in group} for group in (first, second)]
    both = sorted(by_seed[0].keys() & by_seed[1].keys())
    pairs = [(by_seed[0][seed], by_seed[1][seed]) for seed in both] or [(first[0], second[0])]
    tests = [
        evaluation.paired(one.correct("test", views[0]), two.correct("test", views[1])) for one, two in pairs
    ]
    if len(tests) == 1:
        return Gain(tests[0].difference, tests[0].low, tests[0].high, len(both))
    mean = evaluation.across_seeds([test.difference for test in tests])
    return Gain(mean.value, mean.low, mean.high, len(tests))


def measured(group: Group, metric: str) -> Proportion:
    """An experiment's accuracy: Wilson's interval for a single run, Student's across the seeds of several."""
    values = [run.metrics[metric] for run in group]
    if len(values) == 1:
        return evaluation.proportion(values[0], group[0].size(metric.split("_")[0]))
    return evaluation.across_seeds(values)


def both_splits(group: Group) -> str:
    """'val 92.3% (91.5 to 93.0), test 91.6% (91.0 to 92.1)'."""
    return f"val {measured(group, 'val_end2end')}, test {measured(group, 'test_end2end')}"


def kept_rate(run: Run) -> float:
    """The learning rate of stage 2's epoch of lowest validation loss, whose weights are kept."""
    curve = run.curves["stage2"]
    return curve["learning_rate"][curve["val_loss"].index(min(curve["val_loss"]))]


def train_gap(group: Group, stage: str) -> float:
    """Training less validation accuracy, -1 to 1, in a stage's last epoch, averaged over the runs."""
    curves = [run.curves[stage] for run in group]
    return float(np.mean([curve["accuracy"][-1] - curve["val_accuracy"][-1] for curve in curves]))


def storing_gain(run: Run) -> float:
    """How many times faster stage 1 was than with a pass through the backbone in every epoch.

    Of the stored images the training set alone is passed again; the rest is of both kinds of evaluation.
    """
    extract, head = run.timing_sec["feature_extract"], run.timing_sec["top_train"]
    stored = run.train_images + 2 * (run.size("val") + run.size("test"))
    epochs = len(run.curves["stage1"]["loss"])
    return epochs * extract * run.train_images / stored / (extract + head)


# ---------------------------------------------------------------------------- rules

REACHES = (
    "Reproduced if validation and test accuracy are at most 1 point below the published ones; partly if at "
    "most 2; otherwise not."
)
BEST_OF = (
    "Reproduced if the study's choice gains on each alternative by a paired test; partly if no alternative "
    "gains on it; not if one does."
)


def reaches(val: float, test: float) -> Callable[[Mapping[str, Group]], Judgement]:
    """The rule REACHES for the claim's only experiment."""

    def judge(groups: Mapping[str, Group]) -> Judgement:
        (group,) = groups.values()
        ours = measured(group, "val_end2end").value, measured(group, "test_end2end").value
        short = round(max(val - ours[0], test - ours[1]), 4)
        outcome: Outcome = "reproduced" if short <= 0.01 else "partly" if short <= 0.02 else "not reproduced"
        return outcome, both_splits(group)

    return judge


def best_of(choice: str) -> Callable[[Mapping[str, Group]], Judgement]:
    """The rule BEST_OF; of runs that differ in their learning rate, those of the best on validation count."""

    def judge(groups: Mapping[str, Group]) -> Judgement:
        tuned = {name: best_rate(group) for name, group in groups.items()}
        gains = {name: gain(group, tuned[choice]) for name, group in tuned.items() if name != choice}
        if all(each.low > 0 for each in gains.values()):
            outcome: Outcome = "reproduced"
        else:
            outcome = "not reproduced" if any(each.high < 0 for each in gains.values()) else "partly"
        return outcome, f"{choice} " + ", ".join(f"against {name} {each}" for name, each in gains.items())

    return judge


def best_rate(group: Group) -> list[Run]:
    """The runs at the learning rate whose mean validation accuracy is highest."""
    rates: dict[float, list[Run]] = {}
    for run in group:
        rates.setdefault(run.config["learning_rate"], []).append(run)
    return max(rates.values(), key=lambda runs: np.mean([run.metrics["val_end2end"] for run in runs]))


def target(groups: Mapping[str, Group]) -> Judgement:
    """C1."""
    test = measured(groups["baseline"], "test_end2end")
    outcome: Outcome = (
        "reproduced" if test.low >= 0.87 else "partly" if test.value >= 0.87 else "not reproduced"
    )
    return outcome, both_splits(groups["baseline"])


def overfits(groups: Mapping[str, Group]) -> Judgement:
    """C2."""
    gap = train_gap(groups["baseline"], "stage1")
    outcome: Outcome = "reproduced" if gap > 0.10 else "partly" if gap > 0.05 else "not reproduced"
    train = np.mean([run.curves["stage1"]["accuracy"][-1] for run in groups["baseline"]])
    return outcome, f"train {train:.1%}, {100 * gap:+.1f} points above validation"


def forgets(groups: Mapping[str, Group]) -> Judgement:
    """C4."""
    versions = {name: group for name, group in groups.items() if name != "baseline"}
    losses = {name: gain(groups["baseline"], group) for name, group in versions.items()}
    text = "; ".join(
        f"{name}: test {measured(group, 'test_end2end')}, {losses[name]} against the baseline"
        for name, group in versions.items()
    )
    if measured(groups["3e-4 as published"], "test_end2end").value <= 0.20:
        return "reproduced", text
    return ("partly" if any(loss.high < 0 for loss in losses.values()) else "not reproduced"), text


def hurts_slightly(groups: Mapping[str, Group]) -> Judgement:
    """C6."""
    change = gain(groups["headline"], groups["headline + mixup"])
    undecided = change.low <= -0.006 <= change.high
    outcome: Outcome = "reproduced" if change.high < 0 else "partly" if undecided else "not reproduced"
    return outcome, f"mixup against none {change}"


def rate_decides(groups: Mapping[str, Group]) -> Judgement:
    """C7."""
    base, high, low = (groups[name] for name in ("baseline", "3e-4 as logged", "headline"))
    cures = {name: group for name, group in groups.items() if name.startswith("3e-4 with") and group}
    cured = [name for name, group in cures.items() if gain(base, group).low > 0]
    lowered, failure = gain(high, low), gain(base, high)
    text = f"1e-5 against 3e-4 {lowered}; 3e-4 against the baseline {failure}"
    text += f"; at 3e-4 the failure is gone {' and '.join(name[5:] for name in cured)}" if cured else ""
    kept = {evaluation.scientific(kept_rate(run)) for run in high}
    text += f"; the weights that 3e-4 keeps were trained at {' and '.join(sorted(kept))}"
    if lowered.low <= 0:
        return "not reproduced", text
    return ("reproduced" if failure.high < 0 and cures and not cured else "partly"), text


def averaging_gains(groups: Mapping[str, Group]) -> Judgement:
    """C8."""
    change = gain(groups["headline"], groups["headline"], views=("plain", "tta"))
    if change.low <= 0:
        return "not reproduced", str(change)
    return ("reproduced" if change.low <= 0.005 <= change.high else "partly"), str(change)


def progressive(groups: Mapping[str, Group]) -> Judgement:
    """C9."""
    depths = list(groups)
    steps = {f"{a} to {b}": gain(groups[a], groups[b]) for a, b in itertools.pairwise(depths)}
    whole = gain(groups[depths[0]], groups[depths[-1]])
    every = all(step.low > 0 for step in steps.values())
    outcome: Outcome = "reproduced" if every else "partly" if whole.low > 0 else "not reproduced"
    text = ", ".join(f"{name} {step}" for name, step in steps.items())
    return outcome, f"{text}; 0 is the first stage alone"


def close(groups: Mapping[str, Group]) -> Judgement:
    """C12."""
    gap = train_gap(groups["headline"], "stage2")
    outcome: Outcome = "reproduced" if gap <= 0.02 else "partly" if gap <= 0.05 else "not reproduced"
    views = groups["headline"][0].config["views"]
    return (
        outcome,
        f"train ({views} stored views, with dropout) {100 * gap:+.1f} points from validation",
    )


def smoothing_explains(groups: Mapping[str, Group]) -> Judgement:
    """C13."""
    group = groups["headline"]
    loss = fmean(run.metrics["val_loss"] for run in group)
    floor = evaluation.smoothing_floor(group[0].config["label_smoothing"])
    likelihood = fmean(
        evaluation.negative_log_likelihood(run.probabilities("val"), run.labels("val")) for run in group
    )
    signs = (loss > 0.5) + (floor >= loss / 2 and likelihood < 0.5)
    outcome: Outcome = ("not reproduced", "partly", "reproduced")[signs]
    return outcome, f"val loss {loss:.3f}, of which floor {floor:.3f}; without smoothing {likelihood:.3f}"


def confusions(groups: Mapping[str, Group]) -> Judgement:
    """C14."""
    matrix = np.sum([np.array(run.confusion_matrix) for run in groups["headline"]], axis=0)
    mutual = matrix + matrix.T
    pairs = sorted(itertools.combinations(range(10), 2), key=lambda pair: -mutual[pair])[:3]
    named = {"cat-dog", "automobile-truck", "airplane-bird"}
    found = {"-".join(data.CLASSES["cifar10"][index] for index in pair): mutual[pair] for pair in pairs}
    shared = len(named & found.keys())
    outcome: Outcome = "reproduced" if shared == 3 else "partly" if shared else "not reproduced"
    runs = f" in {len(groups['headline'])} runs" if len(groups["headline"]) > 1 else ""
    return outcome, "most frequent" + runs + ": " + ", ".join(f"{name} {n}" for name, n in found.items())


def fast_enough(groups: Mapping[str, Group]) -> Judgement:
    """C15."""
    fastest = sorted(groups["headline"], key=lambda run: run.timing_sec["total"])
    on_gpu = [run for run in fastest if run.environment.get("accelerator")]
    if not on_gpu:
        took = " to ".join(dict.fromkeys(f"{fastest[end].timing_sec['total']:,.0f}" for end in (0, -1)))
        return "not yet run", f"no run on a GPU; without one {took} s"
    device, seconds = on_gpu[0].environment["accelerator"], on_gpu[0].timing_sec["total"]
    return ("reproduced" if seconds < 16 * 60 else "not reproduced"), f"{seconds:.0f} s on {device}"


def storing_pays(groups: Mapping[str, Group]) -> Judgement:
    """C16."""
    slowest = min(groups["baseline"], key=storing_gain)
    least, seconds = storing_gain(slowest), slowest.timing_sec
    epochs = len(slowest.curves["stage1"]["loss"])
    outcome: Outcome = "reproduced" if least >= 2 else "partly" if least > 1 else "not reproduced"
    at_least = "at least " if len(groups["baseline"]) > 1 else ""
    return outcome, (
        f"{seconds['feature_extract']:.0f} s features and {seconds['top_train']:.0f} s head for {epochs} "
        f"epochs: {at_least}{least:.1f} times faster"
    )


def each_helps(groups: Mapping[str, Group]) -> Judgement:
    """C17."""
    parts = {name: gain(group, groups["all"]) for name, group in groups.items() if name != "all"}
    helping = sum(part.low > 0 for part in parts.values())
    outcome: Outcome = "reproduced" if helping == len(parts) else "partly" if helping else "not reproduced"
    return outcome, "gained by " + ", ".join(f"{name} {part}" for name, part in parts.items())


# ---------------------------------------------------------------------------- the claims

TEST_ACCURACY = {
    "baseline": 0.868,
    "fine-tune 10": 0.888,
    "fine-tune 30, 3e-4, as published": 0.14,
    "fine-tune 30, 3e-4, as logged": 0.4162,
    "headline": 0.916,
    "headline + mixup": 0.910,
}
"""The seed report's results table, by the names of study.TABLE; the failed run also as its log has it."""

BASELINE = {"baseline": {"n_unfreeze": 0}}
HEADLINE: dict[str, dict[str, Any]] = {"headline": {}}
LOGGED = {"3e-4 as logged": {"learning_rate": 3e-4}}

CLAIMS: tuple[Claim, ...] = (
    Claim(
        id="C1",
        statement="A frozen backbone reaches the target of 87%.",
        published="val 87.3%, test 86.8% (in the text 87.4%)",
        rule="Reproduced if the test accuracy's whole interval is at or above 87%; partly if its mean is.",
        judge=target,
        experiments=BASELINE,
        notebook="02_baseline",
    ),
    Claim(
        id="C2",
        statement="The baseline overfits.",
        published="train 98%, val 87%: a gap above 10 points",
        rule="In the last epoch, reproduced if training is over 10 points above validation, partly if 5.",
        judge=overfits,
        experiments=BASELINE,
        notebook="02_baseline",
    ),
    Claim(
        id="C3",
        statement="Fine-tuning 10 layers at 1e-4 without augmentation reaches 88.8%.",
        published="val 89.5%, test 88.8%",
        rule=REACHES,
        judge=reaches(val=0.895, test=0.888),
        experiments={"fine-tune 10": {"n_unfreeze": 10, "augmentation": "none", "learning_rate": 1e-4}},
        notebook="04_finetune",
    ),
    Claim(
        id="C4",
        statement="Fine-tuning 30 layers at 3e-4 forgets catastrophically.",
        published="val ~15%, test ~14%",
        rule=(
            "Reproduced if the run as published (no augmentation) ends at 20% or less on test; partly if it, "
            "or the run as logged (standard augmentation), ends below the baseline by a paired test."
        ),
        judge=forgets,
        experiments={
            **BASELINE,
            "3e-4 as published": {"augmentation": "none", "learning_rate": 3e-4},
            **LOGGED,
        },
        notebook="03_forgetting",
    ),
    Claim(
        id="C5",
        statement="Fine-tuning 30 layers at 1e-5 with augmentation and AdamW reaches 91.6%.",
        published="val 92.3%, test 91.6% (said to be with TTA; its log has 91.6% without)",
        rule=REACHES,
        judge=reaches(val=0.923, test=0.916),
        experiments=HEADLINE,
        notebook="04_finetune",
    ),
    Claim(
        id="C6",
        statement="Mixup on top slightly hurts.",
        published="val 91.7%, test 91.0%: -0.6 points",
        rule=(
            "Reproduced if mixup loses by a paired test; partly if the interval holds both zero and the "
            "published -0.6 points; otherwise not."
        ),
        judge=hurts_slightly,
        experiments={**HEADLINE, "headline + mixup": {"augmentation": "standard+mixup"}},
        notebook="05_mixup",
    ),
    Claim(
        id="C7",
        statement="The difference between failure and success was a 30 times lower learning rate.",
        published="–",
        rule=(
            "With augmentation as logged: not reproduced unless 1e-5 gains on 3e-4 by a paired test. "
            "Reproduced if 3e-4 then ends below the baseline and no other normalization of the head lifts it "
            "above at the same rate; otherwise, or while no other normalization was tried, partly."
        ),
        judge=rate_decides,
        experiments={**BASELINE, **LOGGED, **HEADLINE},
        optional={
            "3e-4 with layer norm in the head": {"learning_rate": 3e-4, "head_norm": "layer"},
            "3e-4 with no norm in the head": {"learning_rate": 3e-4, "head_norm": "none"},
        },
        notebook="03_forgetting",
    ),
    Claim(
        id="C8",
        statement="Averaging over the flip gains about half a point.",
        published="+0.5 points",
        rule="Partly if the paired gain is above zero; reproduced if its interval holds 0.5 points as well.",
        judge=averaging_gains,
        experiments=HEADLINE,
        notebook="06_tta",
    ),
    Claim(
        id="C9",
        statement="Unfreezing more layers helps progressively.",
        published="–",
        rule=(
            "All else equal, reproduced if each step from 0 to 10, 20 and 30 layers gains by a paired test; "
            "partly if 30 gains on 0."
        ),
        judge=progressive,
        experiments={str(depth): {"n_unfreeze": depth} for depth in (0, 10, 20, 30)},
        screening=True,
        notebook="04_finetune",
    ),
    Claim(
        id="C10",
        statement="AdamW is the best of SGD with Nesterov momentum, Adam and AdamW.",
        published="–",
        rule=BEST_OF + " Each at its best learning rate of those tried, by validation.",
        judge=best_of("adamw"),
        experiments={name: {"optimizer": name} for name in ("adamw", "adam", "sgd")},
        free=("seed", "learning_rate"),
        screening=True,
        notebook="04_finetune",
    ),
    Claim(
        id="C11",
        statement="A batch of 64 is the best of 32, 64 and 128.",
        published="–",
        rule=BEST_OF,
        judge=best_of("64"),
        experiments={str(size): {"batch_size": size} for size in (32, 64, 128)},
        screening=True,
        notebook="04_finetune",
    ),
    Claim(
        id="C12",
        statement="Overfitting is under control in the final run.",
        published="train and validation closely aligned",
        rule="In the last epoch, reproduced if training is at most 2 points above validation; partly if 5.",
        judge=close,
        experiments=HEADLINE,
        notebook="04_finetune",
    ),
    Claim(
        id="C13",
        statement="A validation loss above 0.5 at 92% accuracy is a side effect of label smoothing.",
        published="val loss above 0.5",
        rule=(
            "Reproduced if the loss is above 0.5, at least half of it is the floor that smoothing sets, and "
            "the loss without smoothing is below 0.5; partly if only the first or only the other two hold."
        ),
        judge=smoothing_explains,
        experiments=HEADLINE,
        notebook="04_finetune",
    ),
    Claim(
        id="C14",
        statement="The common confusions are cat and dog, truck and automobile, bird and airplane.",
        published="the three pairs",
        rule="Reproduced if they are the three pairs confused most often on test; partly if one or two are.",
        judge=confusions,
        experiments=HEADLINE,
        notebook="04_finetune",
    ),
    Claim(
        id="C15",
        statement="The final training takes under 16 minutes on a GPU.",
        published="937 s",
        rule="Reproduced if a run on a GPU took less than 960 s in all; without such a run, not yet run.",
        judge=fast_enough,
        experiments=HEADLINE,
        notebook="07_beyond",
    ),
    Claim(
        id="C16",
        statement="Computing the features beforehand makes stage 1 fast.",
        published="57 s features, 37 s head",
        rule=(
            "Against a pass through the backbone in every epoch, at the speed of the extraction: reproduced "
            "if stage 1 is at least twice as fast; partly if faster."
        ),
        judge=storing_pays,
        experiments=BASELINE,
        notebook="02_baseline",
    ),
    Claim(
        id="C17",
        statement="The regularizers work together: augmentation, batch 64, dropout, weight decay, smoothing.",
        published="–",
        rule="Reproduced if leaving out each one loses by a paired test; partly if some do.",
        judge=each_helps,
        experiments={
            "all": {},
            "augmentation": {"augmentation": "none"},
            "batch 64 (not 128)": {"batch_size": 128},
            "dropout": {"dropout": 0.0},
            "weight decay": {"weight_decay": 0.0},
            "label smoothing": {"label_smoothing": 0.0},
        },
        screening=True,
        notebook="04_finetune",
    ),
)
