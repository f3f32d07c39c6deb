"""How a claim is judged: each rule is a sentence for the reader and, beside it, the function that applies it.

Every rule was written before the full-scale runs of this report were looked at, except two. C16's rule became
shorter when records began to say what stored features had cost. C13 was judged on the first seed alone, and
takes the mean over the seeds since there are several. The study's text and logs, and a few short
measurements, were known.
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

import numpy as np

from helpers.analysis import metrics
from helpers.analysis.groups import (
    Group,
    at_best_rate,
    both_splits,
    gain,
    mean_accuracy,
    rate_of_kept_weights,
    storing_gain,
    train_gap,
)
from helpers.data import sources
from helpers.text import scientific, span

Outcome = Literal["reproduced", "partly", "not reproduced", "not yet run"]
Judgement = tuple[Outcome, str]
"""The outcome, and what was measured, in words."""
Judge = Callable[[Mapping[str, Group]], Judgement]
"""From the experiments' names and their runs, one a seed, to a judgement."""


@dataclass(frozen=True)
class Rule:
    """A rule of judgement."""

    sentence: str
    judge: Judge


def _grade(reproduced: bool, partly: bool) -> Outcome:
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
        return _grade(most <= 0.01, most <= 0.02), both_splits(group)

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
        return _grade(best, unbeaten), f"{choice} {text}"

    return judge


@rule("Reproduced if the test accuracy's whole interval is at or above 87%; partly if its mean is.")
def target(groups: Mapping[str, Group]) -> Judgement:
    """C1."""
    test = mean_accuracy(groups["baseline"])
    return _grade(test.low >= 0.87, test.value >= 0.87), both_splits(groups["baseline"])


@rule("In the last epoch, reproduced if training is over 10 points above validation, partly if 5.")
def overfits(groups: Mapping[str, Group]) -> Judgement:
    """C2."""
    gap = train_gap(groups["baseline"], "stage1")
    train = np.mean([run.stage1.accuracy[-1] for run in groups["baseline"]])
    return _grade(gap > 0.10, gap > 0.05), f"train {train:.1%}, {100 * gap:+.1f} points above validation"


@rule(
    "Reproduced if the run as published (no augmentation) ends at 20% or less on test; partly if it, "
    "or the run as logged (standard augmentation), ends below the baseline by a paired test."
)
def forgets(groups: Mapping[str, Group]) -> Judgement:
    """C4."""
    versions = {name: group for name, group in groups.items() if name != "baseline"}
    losses = {name: gain(groups["baseline"], group) for name, group in versions.items()}
    text = "; ".join(
        f"{name}: test {mean_accuracy(group)}, {losses[name]} against the baseline"
        for name, group in versions.items()
    )
    failed = mean_accuracy(groups["3e-4 as published"]).value <= 0.20
    return _grade(failed, any(loss.high < 0 for loss in losses.values())), text


@rule(
    "Reproduced if mixup loses by a paired test; partly if the interval holds both zero and the "
    "published -0.6 points; otherwise not."
)
def hurts_slightly(groups: Mapping[str, Group]) -> Judgement:
    """C6."""
    change = gain(groups["headline"], groups["headline + mixup"])
    undecided = change.low <= -0.006 <= change.high
    return _grade(change.high < 0, undecided), f"mixup against none {change}"


@rule(
    "With augmentation as logged: not reproduced unless 1e-5 gains on 3e-4 by a paired test. "
    "Reproduced if 3e-4 then ends below the baseline and no other normalization of the head lifts it "
    "above at the same rate; otherwise, or while no other normalization was tried, partly."
)
def rate_decides(groups: Mapping[str, Group]) -> Judgement:
    """C7."""
    base, high, low = (groups[name] for name in ("baseline", "3e-4 as logged", "headline"))
    cures = {name: group for name, group in groups.items() if name.startswith("3e-4 with") and group}
    cured = [name for name, group in cures.items() if gain(base, group).low > 0]
    lowered, failure = gain(high, low), gain(base, high)
    text = f"1e-5 against 3e-4 {lowered}; 3e-4 against the baseline {failure}"
    text += f"; at 3e-4 the failure is gone {' and '.join(name[5:] for name in cured)}" if cured else ""
    kept = {scientific(rate_of_kept_weights(run)) for run in high}
    text += f"; the weights that 3e-4 keeps were trained at {' and '.join(sorted(kept))}"
    decides = failure.high < 0 and bool(cures) and not cured
    return _grade(lowered.low > 0 and decides, lowered.low > 0), text


@rule("Partly if the paired gain is above zero; reproduced if its interval holds 0.5 points as well.")
def averaging_gains(groups: Mapping[str, Group]) -> Judgement:
    """C8."""
    change = gain(groups["headline"], groups["headline"], views=("plain", "tta"))
    return _grade(0 < change.low <= 0.005 <= change.high, change.low > 0), str(change)


@rule(
    "All else equal, reproduced if each step from 0 to 10, 20 and 30 layers gains by a paired test; "
    "partly if 30 gains on 0."
)
def progressive(groups: Mapping[str, Group]) -> Judgement:
    """C9."""
    depths = list(groups)
    steps = {f"{a} to {b}": gain(groups[a], groups[b]) for a, b in itertools.pairwise(depths)}
    whole = gain(groups[depths[0]], groups[depths[-1]])
    every = all(step.low > 0 for step in steps.values())
    text = ", ".join(f"{name} {step}" for name, step in steps.items())
    return _grade(every, whole.low > 0), f"{text}; 0 is the first stage alone"


@rule("In the last epoch, reproduced if training is at most 2 points above validation; partly if 5.")
def close(groups: Mapping[str, Group]) -> Judgement:
    """C12."""
    gap = train_gap(groups["headline"], "stage2")
    views = groups["headline"][0].experiment.views
    text = f"train ({views} stored views, with dropout) {100 * gap:+.1f} points from validation"
    return _grade(gap <= 0.02, gap <= 0.05), text


@rule(
    "Reproduced if the loss is above 0.5, at least half of it is the floor that smoothing sets, and "
    "the loss without smoothing is below 0.5; partly if only the first or only the other two hold."
)
def smoothing_explains(groups: Mapping[str, Group]) -> Judgement:
    """C13."""
    group = groups["headline"]
    loss = fmean(run.val_loss for run in group)
    floor = metrics.smoothing_floor(group[0].experiment.label_smoothing, len(group[0].classes))
    likelihood = fmean(
        metrics.negative_log_likelihood(run.probabilities("val"), run.labels("val")) for run in group
    )
    explained = floor >= loss / 2 and likelihood < 0.5
    outcome = _grade(loss > 0.5 and explained, loss > 0.5 or explained)
    return outcome, f"val loss {loss:.3f}, of which floor {floor:.3f}; without smoothing {likelihood:.3f}"


@rule("Reproduced if they are the three pairs confused most often on test; partly if one or two are.")
def confusions(groups: Mapping[str, Group]) -> Judgement:
    """C14."""
    matrix = np.sum([run.matrix() for run in groups["headline"]], axis=0)
    pairs = metrics.confused_pairs(matrix, sources.CLASSES["cifar10"])[:3]
    named = {"cat-dog", "automobile-truck", "airplane-bird"}
    found = {f"{pair.first}-{pair.second}": pair.errors for pair in pairs}
    shared = len(named & found.keys())
    runs = f" in {len(groups['headline'])} runs" if len(groups["headline"]) > 1 else ""
    return _grade(shared == 3, shared > 0), "most frequent" + runs + ": " + ", ".join(
        f"{name} {n}" for name, n in found.items()
    )


@rule("Reproduced if a run on a GPU took less than 960 s in all; without such a run, not yet run.")
def fast_enough(groups: Mapping[str, Group]) -> Judgement:
    """C15."""
    fastest = sorted(groups["headline"], key=lambda run: run.seconds)
    on_gpu = [run for run in fastest if run.accelerator]
    if not on_gpu:
        took = span((run.seconds for run in fastest), ",.0f")
        return "not yet run", f"no run on a GPU; without one {took} s"
    device, seconds = on_gpu[0].accelerator, on_gpu[0].seconds
    return ("reproduced" if seconds < 16 * 60 else "not reproduced"), f"{seconds:.0f} s on {device}"


@rule(
    "Against a pass through the backbone in every epoch, at the speed of the extraction: reproduced "
    "if stage 1 is at least twice as fast; partly if faster."
)
def storing_pays(groups: Mapping[str, Group]) -> Judgement:
    """C16."""
    slowest = min(groups["baseline"], key=storing_gain)
    least, epochs = storing_gain(slowest), len(slowest.stage1)
    at_least = "at least " if len(groups["baseline"]) > 1 else ""
    return _grade(least >= 2, least > 1), (
        f"{slowest.storing_seconds:.0f} s features and {slowest.stage1_seconds:.0f} s head for {epochs} "
        f"epochs: {at_least}{least:.1f} times faster"
    )


@rule("Reproduced if leaving out each one loses by a paired test; partly if some do.")
def each_helps(groups: Mapping[str, Group]) -> Judgement:
    """C17."""
    parts = {name: gain(group, groups["all"]) for name, group in groups.items() if name != "all"}
    helping = sum(part.low > 0 for part in parts.values())
    return _grade(helping == len(parts), helping > 0), "gained by " + ", ".join(
        f"{name} {part}" for name, part in parts.items()
    )
