"""What differs from the original study, and what each difference can do: measured where it can be tested.

All of the study's rows come out higher here. Each line is one thing that may be why.
"""

from collections.abc import Sequence

from helpers.analysis import groups
from helpers.analysis.groups import Group
from helpers.chapters.beginnings import Row
from helpers.experiment import Experiment
from helpers.records import published, store
from helpers.records.run import Run
from helpers.study import experiments
from helpers.study.rules import STUDY_PATIENCE
from helpers.text import percent

UNTESTABLE = "cannot be tested: it names none"


def table(runs: Group) -> list[Row]:
    """What may differ, what the study has, what this report has, and what was found; from full-scale runs.

    Empty where the study's best network was not run.
    """
    ours = groups.matching_runs(runs, experiments.CAREFUL)
    if not ours:
        return []
    lines = (_weights, _split, _passes, _patience, _dropout, _views, _baseline)
    return [line(runs, ours) for line in lines]


def _gain(runs: Group, before: Experiment, after: Experiment, command: str) -> str:
    """What the second experiment, the study's way, gains over the first, or how to run what is missing."""
    ours, theirs = (groups.matching_runs(runs, each) for each in (before, after))
    if not (ours and theirs):
        return f"not run yet: `python -m helpers {command}`"
    return f"the study's way: {groups.gain(ours, theirs)}"


def _weights(runs: Group, ours: Sequence[Run]) -> Row:
    prints = sorted({run.fingerprints["weights"][:8] for run in ours})
    return "ImageNet weights", "those that Keras loaded then", f"checksum {', '.join(prints)}…", UNTESTABLE


def _split(runs: Group, ours: Sequence[Run]) -> Row:
    sizes = f"{ours[0].train_images:,} and {ours[0].size('val'):,} images"
    return "split", "by its code, seed 42", f"the same, {sizes}", "the same images"


def _passes(runs: Group, ours: Sequence[Run]) -> Row:
    log, most = store.published_log("run_final_optimized"), max(len(run.stage2) for run in ours)
    real = len(published.real_epochs(log))
    said = "as many" if most == real else "more passes here" if most > real else "fewer passes here"
    return "passes", f"{len(log.stage2)} logged, {real} real", f"at most {most}", said


def _patience(runs: Group, ours: Sequence[Run]) -> Row:
    """Whether the study's rule of stopping would have kept other weights of our runs."""
    kept = [groups.early_stop(run.stage2.val_loss, STUDY_PATIENCE)[1] - 1 for run in ours]
    same = sum(epoch == run.stage2.kept_epoch for epoch, run in zip(kept, ours, strict=True))
    theirs = f"{STUDY_PATIENCE} passes, and the rate halves twice as soon"
    found = f"keeps the same weights in {same} of {len(ours)} seeds; its halvings were not run"
    return "patience", theirs, f"{ours[0].experiment.patience} passes", found


def _dropout(runs: Group, ours: Sequence[Run]) -> Row:
    base, theirs = experiments.CAREFUL, experiments.MORE_DROPOUT
    found = _gain(runs, base, theirs, f"run --dropout {theirs.dropout} --scale full")
    return "dropout", f"{base.dropout} in its text, {theirs.dropout} in its script", f"{base.dropout}", found


def _views(runs: Group, ours: Sequence[Run]) -> Row:
    found = _gain(runs, experiments.CAREFUL, experiments.NEW_VIEWS, "sweep new-views")
    here = f"{experiments.CAREFUL.views} views, stored and used in turn"
    return "augmented views", "new in every pass", here, found


def _baseline(runs: Group, ours: Sequence[Run]) -> Row:
    log = store.published_log("run_n0_Adam")
    found = _gain(runs, experiments.BASELINE, experiments.BASELINE_TWO_STAGES, "sweep baseline-stages")
    logged = f"ten more passes of the head: {percent(log.test_accuracy)} on test"
    return "the baseline's second stage", logged, "none", found
