"""The seven findings that README.md and the landing page open with: a bold sentence each, and its chapter.

They are computed from full-scale records, words and numbers. One that lacks a record names what is to be run.
"""

from collections import Counter
from collections.abc import Callable

from helpers.analysis import batchnorm, groups
from helpers.analysis.groups import Group
from helpers.analysis.intervals import describe_change, describe_difference
from helpers.chapters import elsewhere
from helpers.chapters.beyond import errors_left
from helpers.experiment import STUDY_DATA, Experiment
from helpers.records import store
from helpers.records.run import Run
from helpers.study import claims, experiments, verdict
from helpers.study.experiments import SEEDS
from helpers.text import percent, scientific, span


class _Missing(LookupError):
    """A record that a finding needs is not among the runs."""


def findings(runs: Group, folder: str = "") -> list[str]:
    """Seven findings in Markdown; `folder` holds the chapters that they link to, as in 'notebooks/'."""
    return [_told(tell, chapter, runs, folder) for tell, chapter in FINDINGS.items()]


def numbered(runs: Group, folder: str = "") -> str:
    """The `findings` as a numbered list, as README.md and chapter 8 show them."""
    return "\n".join(f"{number}. {text}" for number, text in enumerate(findings(runs, folder), 1))


def _told(tell: Callable[[Group], str], chapter: str, runs: Group, folder: str) -> str:
    try:
        sentence = f"**{tell(runs)}**"
    except _Missing as missing:
        sentence = f"*Not yet run: `python -m helpers sweep {missing}`.*"
    return f"{sentence} [Chapter {int(chapter[:2])}]({folder}{chapter}.ipynb)"


def _repeated(runs: Group, experiment: Experiment, sweep: str) -> list[Run]:
    """The records of an experiment, one a seed of SEEDS, diagnosed where the study takes them apart.

    Raises _Missing, with the sweep that makes them, where one is not there.
    """
    wanted = [experiment.replace(seed=seed).key for seed in SEEDS]
    known = {run.key: run for run in runs if run.diagnosis or run.key not in experiments.DIAGNOSED}
    if not known.keys() >= set(wanted):
        raise _Missing(sweep)
    return [known[key] for key in wanted]


def _lesson(runs: Group) -> str:
    """Whether the low rate is needed once the norm of the head is frozen."""
    careful = _repeated(runs, experiments.CAREFUL, "table")
    against = groups.gain(careful, _repeated(runs, experiments.FROZEN_NORM, "prevented"))
    by = f"{100 * abs(against.value):.1f} points"
    is_needed, ends = describe_difference(
        against,
        f"is not needed / ends {by} above",
        f"is needed / ends {by} below",
        "is not needed / is not shown to differ from",
    ).split(" / ")
    return (
        f"The study's careful rate {is_needed}: with the head's batch norm frozen, a run from the "
        f"rate that failed, {scientific(experiments.LOGGED.learning_rate)}, {ends} the careful one on test."
    )


def _evaluation(runs: Group) -> str:
    """How much of the failure re-estimating undoes, over all passes at the failing rate."""
    failed = _repeated(runs, experiments.LOGGED, "table")
    parts = [batchnorm.restored_over_failing_passes(run).fraction for run in failed]
    restored = span(parts, ".0%")
    if min(parts) > 0.5:
        return (
            "Most of the failure was one of evaluation: over all passes at the failing rate, with the "
            f"weights unchanged, re-estimated batch-norm statistics restore {restored} of the accuracy lost."
        )
    return (
        "Evaluation does not explain the failure: over all passes at the failing rate, with the weights "
        f"unchanged, re-estimated batch-norm statistics restore only {restored} of the accuracy lost."
    )


def _prevention(runs: Group) -> str:
    """Whether a head whose statistics cannot lag keeps the failing rate from collapsing."""
    names = ("as logged", "batch norm frozen", "no norm")
    tried = [_repeated(runs, experiments.intervention(name), "anatomy") for name in names]
    failed, *kept = (min(map(batchnorm.accuracy, group), key=lambda share: share.value) for group in tried)
    worst = min(kept, key=lambda share: share.value)
    does = describe_change(failed, worst, "does not fail", "fares worse", "is not shown to fare better")
    return (
        f"With the head's batch norm frozen or removed, the run {does} in its first two passes: the worst "
        f"has {percent(worst.value)} on validation; with the study's norm, {percent(failed.value)}."
    )


def _elsewhere(runs: Group) -> str:
    """How often the collapse comes, and is undone, on other images or with another network."""
    _repeated(runs, experiments.ELSEWHERE[elsewhere.CAREFUL].replace(**experiments.LITE0), "elsewhere-lite0")
    sets = elsewhere.load(dataset=STUDY_DATA, scale="full", seed=SEEDS[0])
    return (
        f"In {sum(each.holds for each in sets)} of {len(sets)} tests with other images or another network "
        "the same collapse comes, and re-estimating undoes it in most runs."
    )


def _claims(runs: Group) -> str:
    """Whether the study's best result came again, and how many of its claims hold."""
    _repeated(runs, experiments.CAREFUL, "table")
    outcomes = {claim.id: verdict.judge(claim, runs).outcome for claim in claims.CLAIMS}
    best = {"partly": "reproduced in part"}.get(outcomes["C5"], outcomes["C5"])
    held = Counter(outcomes.values())["reproduced"]
    return (
        f"The study's best result is {best}; of {len(outcomes)} claims {held} are reproduced, and the others "
        "in part, not, or not yet judged."
    )


def _beyond(runs: Group) -> str:
    """What the same network reaches when it is trained otherwise, over the seeds that both have."""
    known = [run for run in runs if run.seed in SEEDS]
    found = (groups.matching_runs(known, each) for each in (experiments.CAREFUL, experiments.BEST))
    if not (both := groups.pairs(*found)):
        raise _Missing("table` and `python -m helpers sweep best")
    start, best = zip(*both, strict=True)
    left = errors_left(groups.mean_accuracy(start).value, groups.mean_accuracy(best).value)
    fastest = min(best, key=lambda run: run.seconds)
    repeated = ("one seed", "fastest of two seeds", "fastest of three seeds")[len(both) - 1]
    return (
        f"Trained otherwise, the same backbone makes {'only ' if left < 1 else ''}{left:.0%} of the errors "
        f"of the study's protocol, in {fastest.seconds / 60:.0f} minutes {_device(fastest)} ({repeated})."
    )


def _quick(runs: Group) -> str:
    """Whether a single pass reaches the study's accuracy, and how soon; of the quickest recipe."""
    recipe = _repeated(runs, experiments.QUICKEST, "faster-seeds")
    mean, fastest = groups.mean_accuracy(recipe), min(recipe, key=lambda run: run.seconds)
    time = f"{fastest.seconds:.0f} seconds {_device(fastest)}"
    if mean.value < claims.TEST_ACCURACY["careful fine-tune"]:
        return f"One pass does not reach the study's accuracy: it ends at {percent(mean.value)}, in {time}."
    log = store.published_log("run_final_optimized")
    return (
        f"One pass over the images reaches the study's accuracy in {time} (fastest of three seeds); "
        f"the study's own run took {log.seconds:.0f} on a GPU."
    )


def _device(run: Run) -> str:
    return f"on {run.accelerator}" if run.accelerator else "without a GPU"


FINDINGS: dict[Callable[[Group], str], str] = {
    _lesson: "03_forgetting",
    _evaluation: "03_forgetting",
    _prevention: "03_forgetting",
    _elsewhere: "09_elsewhere",
    _claims: "08_verdict",
    _beyond: "07_beyond",
    _quick: "07_beyond",
}
"""How each is told, and the chapter that shows its evidence."""
