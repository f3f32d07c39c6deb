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

import itertools
from collections.abc import Callable, Mapping
from statistics import fmean
from typing import Literal

import numpy as np

from helpers.analysis import metrics
from helpers.analysis.groups import (
    Group,
    best_rate,
    both_splits,
    gain,
    mean_accuracy,
    rate_of_kept_weights,
    storing_gain,
    train_gap,
)
from helpers.data import sources
from helpers.text import scientific

Outcome = Literal["reproduced", "partly", "not reproduced", "not yet run"]
Judgement = tuple[Outcome, str]
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
        ours = mean_accuracy(group, "val_end2end").value, mean_accuracy(group, "test_end2end").value
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


def target(groups: Mapping[str, Group]) -> Judgement:
    """C1."""
    test = mean_accuracy(groups["baseline"], "test_end2end")
    outcome: Outcome = (
        "reproduced" if test.low >= 0.87 else "partly" if test.value >= 0.87 else "not reproduced"
    )
    return outcome, both_splits(groups["baseline"])


def overfits(groups: Mapping[str, Group]) -> Judgement:
    """C2."""
    gap = train_gap(groups["baseline"], "stage1")
    outcome: Outcome = "reproduced" if gap > 0.10 else "partly" if gap > 0.05 else "not reproduced"
    train = np.mean([run.stage1.accuracy[-1] for run in groups["baseline"]])
    return outcome, f"train {train:.1%}, {100 * gap:+.1f} points above validation"


def forgets(groups: Mapping[str, Group]) -> Judgement:
    """C4."""
    versions = {name: group for name, group in groups.items() if name != "baseline"}
    losses = {name: gain(groups["baseline"], group) for name, group in versions.items()}
    text = "; ".join(
        f"{name}: test {mean_accuracy(group, 'test_end2end')}, {losses[name]} against the baseline"
        for name, group in versions.items()
    )
    if mean_accuracy(groups["3e-4 as published"], "test_end2end").value <= 0.20:
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
    kept = {scientific(rate_of_kept_weights(run)) for run in high}
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
    loss = fmean(run.val_loss for run in group)
    floor = metrics.smoothing_floor(group[0].config["label_smoothing"])
    likelihood = fmean(
        metrics.negative_log_likelihood(run.probabilities("val"), run.labels("val")) for run in group
    )
    signs = (loss > 0.5) + (floor >= loss / 2 and likelihood < 0.5)
    outcome: Outcome = ("not reproduced", "partly", "reproduced")[signs]
    return outcome, f"val loss {loss:.3f}, of which floor {floor:.3f}; without smoothing {likelihood:.3f}"


def confusions(groups: Mapping[str, Group]) -> Judgement:
    """C14."""
    matrix = np.sum([run.confusion_matrix for run in groups["headline"]], axis=0)
    pairs = metrics.confused_pairs(matrix, sources.CLASSES["cifar10"])[:3]
    named = {"cat-dog", "automobile-truck", "airplane-bird"}
    found = {f"{pair.first}-{pair.second}": pair.errors for pair in pairs}
    shared = len(named & found.keys())
    outcome: Outcome = "reproduced" if shared == 3 else "partly" if shared else "not reproduced"
    runs = f" in {len(groups['headline'])} runs" if len(groups["headline"]) > 1 else ""
    return outcome, "most frequent" + runs + ": " + ", ".join(f"{name} {n}" for name, n in found.items())


def fast_enough(groups: Mapping[str, Group]) -> Judgement:
    """C15."""
    fastest = sorted(groups["headline"], key=lambda run: run.seconds)
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
    epochs = len(slowest.stage1.loss)
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
