"""How a claim is judged: each rule is a sentence for the reader and, beside it, the function that applies it.

Every rule was written before the full-scale runs of this report were looked at, except those that CHANGES of
`changes` lists. The study's text and logs, and a few short measurements, were known.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Literal, NamedTuple

import numpy as np

from helpers.analysis import batchnorm, metrics
from helpers.analysis.groups import (
    Group,
    at_best_rate,
    at_first_rate,
    both_splits,
    early_stop,
    gain,
    kept_gap,
    mean_accuracy,
    rate_of_kept_weights,
    storing_gain,
    train_gap,
)
from helpers.analysis.intervals import Gain
from helpers.data import sources
from helpers.records import store
from helpers.records.run import Run
from helpers.text import beside, listed, percent, points, scientific, span

Outcome = Literal["reproduced", "partly", "not reproduced", "not tested fairly", "not yet run"]
MIXUP_GAINS, FLIP_GAINS = -0.006, 0.005
"""What the study says that mixup and the averaged flip gain on its test images, -1 to 1."""
STUDY_PATIENCE = 5
"""Passes without a lower validation loss, after which the study stops: ten epochs, each other one a step."""


class Judgement(NamedTuple):
    """What a rule makes of the runs; `verdict.judge` adds the last two."""

    outcome: Outcome
    measured: str
    """What was measured, in words; or which experiments are still to be run."""
    brief: str = ""
    """The same in a few words, for a figure."""
    tests: int = 0
    """How many paired tests it took."""
    runs: tuple[Run, ...] = ()
    """The evidence."""
    is_short: bool = False
    """Whether it rests on short screening runs."""


Judge = Callable[[Mapping[str, Group]], Judgement]
"""From the experiments' names and their runs, one a seed, to a judgement."""


@dataclass(frozen=True)
class Rule:
    """A rule of judgement."""

    sentence: str
    judge: Judge


def grade(reproduced: bool, partly: bool) -> Outcome:
    """The first that holds; 'not reproduced' where none does."""
    return "reproduced" if reproduced else "partly" if partly else "not reproduced"


def rule(sentence: str) -> Callable[[Judge], Rule]:
    """Make a function the Rule that this sentence describes."""
    return lambda judge: Rule(sentence, judge)


def reaches(val: float, test: float) -> Rule:
    """Whether the claim's only experiment reaches published accuracies, each in 0 to 1."""

    @rule(
        "Reproduced if validation and test accuracy are at most 1 point below the published ones; partly if "
        "at most 2; otherwise not."
    )
    def judge(groups: Mapping[str, Group]) -> Judgement:
        (group,) = groups.values()
        missing = [val - mean_accuracy(group, "val").value, test - mean_accuracy(group, "test").value]
        most = round(max(missing), 4)
        brief = percent(mean_accuracy(group).value)
        return Judgement(grade(most <= 0.01, most <= 0.02), both_splits(group), brief)

    return judge


def best_of(choice: str, note: str = "") -> Rule:
    """Whether the study's choice is the best; of several learning rates, the best on validation counts."""

    @rule(
        "Reproduced if the study's choice gains on each alternative by a paired test; partly if no "
        "alternative gains on it; not if one does." + note
    )
    def judge(groups: Mapping[str, Group]) -> Judgement:
        tuned = {name: at_best_rate(group) for name, group in groups.items()}
        gains = {name: gain(group, tuned[choice]) for name, group in tuned.items() if name != choice}
        best = all(each.low > 0 for each in gains.values())
        unbeaten = all(each.high >= 0 for each in gains.values())
        text = ", ".join(f"against {name} {each}" for name, each in gains.items())
        text = f"{choice} {text}{_at_the_end(groups)}"
        return Judgement(grade(best, unbeaten), text, _changes(gains.values()), len(gains))

    return judge


def _changes(gains: Iterable[Gain]) -> str:
    """'+0.1, +1.4 points'."""
    return ", ".join(points(each.value).removesuffix(" points") for each in gains) + " points"


def _at_the_end(groups: Mapping[str, Group]) -> str:
    """Of experiments at several rates, those whose best is the first or the last: better may lie beyond."""
    tried = {name: sorted({run.experiment.learning_rate for run in group}) for name, group in groups.items()}
    best = {name: at_best_rate(group)[0].experiment.learning_rate for name, group in groups.items()}
    ends = [
        f"{name} at {scientific(best[name])}"
        for name, rates in tried.items()
        if len(rates) > 1 and best[name] in (rates[0], rates[-1])
    ]
    return f"; best at the end of the rates tried: {', '.join(ends)}" if ends else ""


@rule("Reproduced if the test accuracy's whole interval is at or above 87%; partly if its mean is.")
def target(groups: Mapping[str, Group]) -> Judgement:
    """C1."""
    test = mean_accuracy(groups["frozen network"])
    outcome = grade(test.low >= 0.87, test.value >= 0.87)
    return Judgement(outcome, both_splits(groups["frozen network"]), percent(test.value))


@rule(
    "After the last pass of the second stage of the head, as a mean over the seeds: reproduced if training "
    "accuracy is at least 97% and over 10 points above validation; partly if only the second holds."
)
def overfits(groups: Mapping[str, Group]) -> Judgement:
    """C2."""
    gap = train_gap(groups["frozen network"], "stage2")
    train = fmean(run.stage2.accuracy[-1] for run in groups["frozen network"])
    text = f"train {train:.1%}, {points(gap)} above validation"
    return Judgement(grade(train >= 0.97 and gap > 0.10, gap > 0.10), text, points(gap))


@rule(
    "With augmentation, as the study's log has it: reproduced if in every seed validation accuracy falls, "
    "after some pass at the failing rate, below half of what it was before; partly if in some seeds."
)
def collapses(groups: Mapping[str, Group]) -> Judgement:
    """C4a."""
    logged = groups["3e-4, as logged"]
    lowest = [min(at_first_rate(run)) for run in logged]
    fell = [low < run.stage1_val_accuracy / 2 for low, run in zip(lowest, logged, strict=True)]
    plain = span(min(at_first_rate(run)) for run in groups["3e-4, as published"])
    text = f"lowest on validation {span(lowest)}; without augmentation, as the text has it, {plain}"
    return Judgement(grade(all(fell), any(fell)), text, span(lowest))


@rule(
    "Reproduced if the run as published (no augmentation) ends at 20% or less on test; partly if it, "
    "or the run as logged (standard augmentation), ends below the baseline by a paired test."
)
def stays_failed(groups: Mapping[str, Group]) -> Judgement:
    """C4b."""
    versions = {name: group for name, group in groups.items() if name != "frozen network"}
    losses = {name: gain(groups["frozen network"], group) for name, group in versions.items()}
    text = "; ".join(
        f"{name}: test {mean_accuracy(group)}, {losses[name]} against the frozen network"
        for name, group in versions.items()
    )
    curves = {run.seed: run.stage2 for run in groups["3e-4, as logged"]}
    kept = [each.val_accuracy[early_stop(each.val_loss, STUDY_PATIENCE)[1] - 1] for each in curves.values()]
    seeds = ", ".join(map(str, curves))
    text += f"; stopped as the study stops, the latter keeps {listed(kept)} on validation (seeds {seeds})"
    plain = mean_accuracy(groups["3e-4, as published"])
    outcome = grade(plain.value <= 0.20, any(loss.high < 0 for loss in losses.values()))
    return Judgement(outcome, text, f"{percent(plain.value)} at the end", len(losses))


@rule(
    "With augmentation, as logged: reproduced if in every seed re-estimated statistics restore, with the "
    "weights as they are, less than half of the accuracy that the passes at the failing rate lose; partly if "
    "in some seeds, or if in any a fresh classifier on the features ever falls clearly below its start."
)
def forgets(groups: Mapping[str, Group]) -> Judgement:
    """C4c."""
    runs = [run for run in groups["3e-4, as logged"] if run.diagnosis]
    if not runs:
        return Judgement("not yet run", "no run was diagnosed")
    found = [batchnorm.restored_over_failing_passes(run) for run in runs]
    parts = [each.fraction for each in found]
    lost = [each.lost > 0 and each.fraction < 0.5 for each in found]
    fell = sum(batchnorm.course(run).probe_fell for run in runs)
    restored = span(parts, ".0%")
    text = (
        f"re-estimated statistics restore {restored} of the accuracy lost; a fresh classifier on the "
        f"features fell below its start in {fell} of {len(runs)} seeds"
    )
    brief = f"features fell in {fell} of {len(runs)} seeds"
    return Judgement(grade(all(lost), any(lost) or fell > 0), text, brief)


@rule(
    "The runs have a new view in every pass. Reproduced if mixup loses by a paired test; partly if the "
    "interval holds both zero and the published -0.6 points; otherwise not."
)
def hurts_slightly(groups: Mapping[str, Group]) -> Judgement:
    """C6."""
    change = gain(groups["careful fine-tune"], groups["careful fine-tune + mixup"])
    undecided = change.low <= MIXUP_GAINS <= change.high
    outcome = grade(change.high < 0, undecided)
    return Judgement(outcome, f"mixup against none {change}", points(change.value), 1)


@rule(
    "With augmentation as logged: not reproduced unless 1e-5 gains on 3e-4 by a paired test. "
    "Reproduced if 3e-4 then ends below the baseline and no other normalization of the head lifts it "
    "above at the same rate; otherwise, or while no other normalization was tried, partly."
)
def rate_decides(groups: Mapping[str, Group]) -> Judgement:
    """C7."""
    base, high, low = (groups[name] for name in ("frozen network", "3e-4, as logged", "careful fine-tune"))
    cures = {name: group for name, group in groups.items() if name.startswith("3e-4 with") and group}
    cured = [name for name, group in cures.items() if gain(base, group).low > 0]
    lowered, failure = gain(high, low), gain(base, high)
    text = f"1e-5 against 3e-4 {lowered}; 3e-4 against the frozen network {failure}"
    text += f"; at 3e-4 the failure is gone {' and '.join(name[5:] for name in cured)}" if cured else ""
    kept = {scientific(rate_of_kept_weights(run)) for run in high}
    text += f"; as logged, 3e-4 keeps weights trained at {' and '.join(sorted(kept))}"
    decides = failure.high < 0 and bool(cures) and not cured
    outcome, tests = grade(lowered.low > 0 and decides, lowered.low > 0), 2 + len(cures)
    return Judgement(outcome, text, f"{points(lowered.value)} at the end", tests)


@rule("Partly if the paired gain is above zero; reproduced if its interval holds 0.5 points as well.")
def averaging_gains(groups: Mapping[str, Group]) -> Judgement:
    """C8."""
    change = gain(groups["careful fine-tune"], groups["careful fine-tune"], views=("plain", "tta"))
    outcome = grade(0 < change.low <= FLIP_GAINS <= change.high, change.low > 0)
    return Judgement(outcome, str(change), points(change.value), 1)


@rule(
    "Reproduced if each step from 0 to 10, 20 and 30 layers gains by a paired test; partly if 30 gains on 0. "
    "Whole runs, each at the best of three learning rates, by validation."
)
def progressive(groups: Mapping[str, Group]) -> Judgement:
    """C9."""
    depths, tried = list(groups), groups
    groups = {name: at_best_rate(group) for name, group in groups.items()}
    steps = {f"{a} to {b}": gain(groups[a], groups[b]) for a, b in itertools.pairwise(depths)}
    whole = gain(groups[depths[0]], groups[depths[-1]])
    every = all(step.low > 0 for step in steps.values())
    text = ", ".join(f"{name} {step}" for name, step in steps.items())
    text += f"; 0 is the first stage alone{_at_the_end(tried)}"
    return Judgement(grade(every, whole.low > 0), text, _changes(steps.values()), len(steps) + 1)


@rule(
    "The runs have a new view in every pass, and the kept epoch counts. Reproduced if training is at most 2 "
    "points above validation; partly if 5."
)
def close(groups: Mapping[str, Group]) -> Judgement:
    """C12."""
    gap = kept_gap(groups["new views"])
    text = f"train (a new view in every pass, with dropout) {beside(gap)} validation"
    return Judgement(grade(gap <= 0.02, gap <= 0.05), text, f"train {beside(gap)}")


@rule(
    "Reproduced if the loss is above 0.5, at least half of it is the floor that smoothing sets, and "
    "the loss without smoothing is below 0.5; partly if only the first or only the other two hold."
)
def smoothing_explains(groups: Mapping[str, Group]) -> Judgement:
    """C13."""
    group = groups["careful fine-tune"]
    loss = fmean(run.val_loss for run in group)
    floor = metrics.smoothing_floor(group[0].experiment.label_smoothing, len(group[0].classes))
    likelihood = fmean(
        metrics.negative_log_likelihood(run.probabilities("val"), run.labels("val")) for run in group
    )
    explained = floor >= loss / 2 and likelihood < 0.5
    outcome = grade(loss > 0.5 and explained, loss > 0.5 or explained)
    text = f"val loss {loss:.3f}, of which floor {floor:.3f}; without smoothing {likelihood:.3f}"
    return Judgement(outcome, text, f"{loss:.2f}, {likelihood:.2f} without")


NAMED = ("cat-dog", "automobile-truck", "airplane-bird")
"""The pairs that the study names, as `metrics.confused_pairs` orders them."""


@rule(
    "Reproduced if they are the three pairs confused most often on test; partly if one or two are. The "
    "matrix in the study's own log is shown beside ours."
)
def confusions(groups: Mapping[str, Group]) -> Judgement:
    """C14."""
    runs = groups["careful fine-tune"]
    shared, text = _named_pairs(np.sum([run.matrix() for run in runs], axis=0))
    log, own = _named_pairs(store.published_log("run_final_optimized").matrix())
    text += f" (of {len(runs)} runs); in the study's own log: {own}, {log} of its three"
    return Judgement(
        grade(shared == 3, shared > 0), f"most frequent: {text}", f"{shared} of 3, in its log {log}"
    )


def _named_pairs(matrix: metrics.Array) -> tuple[int, str]:
    """How many of NAMED are the three pairs that a matrix confuses most; and these three."""
    pairs = metrics.confused_pairs(matrix, sources.class_names("cifar10"))[:3]
    found = {f"{pair.first}-{pair.second}": pair.errors for pair in pairs}
    return len(set(NAMED) & found.keys()), ", ".join(f"{name} {n}" for name, n in found.items())


@rule("Reproduced if a run on a GPU took less than 960 s in all; without such a run, not yet run.")
def fast_enough(groups: Mapping[str, Group]) -> Judgement:
    """C15."""
    fastest = sorted(groups["careful fine-tune"], key=lambda run: run.seconds)
    on_gpu = [run for run in fastest if run.accelerator]
    if not on_gpu:
        took = span((run.seconds for run in fastest), ",.0f")
        return Judgement("not yet run", f"no run on a GPU; without one {took} s", f"no GPU: {took} s")
    device, seconds = on_gpu[0].accelerator, on_gpu[0].seconds
    outcome: Outcome = "reproduced" if seconds < 16 * 60 else "not reproduced"
    return Judgement(outcome, f"{seconds:.0f} s on {device}", f"{seconds:.0f} s")


@rule(
    "Against a pass through the backbone in every epoch, at the speed of the extraction: reproduced "
    "if stage 1 is at least twice as fast; partly if faster."
)
def storing_pays(groups: Mapping[str, Group]) -> Judgement:
    """C16."""
    slowest = min(groups["frozen network"], key=storing_gain)
    least, epochs = storing_gain(slowest), len(slowest.stage1)
    at_least = "at least " if len(groups["frozen network"]) > 1 else ""
    text = (
        f"{slowest.storing_seconds:.0f} s features and {slowest.stage1_seconds:.0f} s head for {epochs} "
        f"epochs: {at_least}{least:.1f} times faster"
    )
    return Judgement(grade(least >= 2, least > 1), text, f"{least:.1f} times faster")


@rule(
    "Whole runs, each at the best of three learning rates by validation: reproduced if leaving out each one "
    "loses by a paired test; partly if some do."
)
def each_helps(groups: Mapping[str, Group]) -> Judgement:
    """C17."""
    tuned = {name: at_best_rate(group) for name, group in groups.items()}
    parts = {name: gain(group, tuned["all"]) for name, group in tuned.items() if name != "all"}
    helping = sum(part.low > 0 for part in parts.values())
    text = "gained by " + ", ".join(f"{name} {part}" for name, part in parts.items()) + _at_the_end(groups)
    outcome = grade(helping == len(parts), helping > 0)
    return Judgement(outcome, text, f"{helping} of {len(parts)} help", len(parts))
