"""Chapter 8: every claim with its verdict; and the five findings that README.md opens with.

The findings are computed from full-scale records. One that lacks a record names what is to be run.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from helpers import paths, run
from helpers.analysis import batchnorm, groups, speed
from helpers.analysis.groups import Group
from helpers.analysis.intervals import Proportion, describe_change, describe_difference
from helpers.chapters import common
from helpers.chapters.beyond import errors_left
from helpers.chapters.forgetting import Whole
from helpers.experiment import Experiment, is_study_data
from helpers.records import published, store
from helpers.records.run import Run
from helpers.study import claims, experiments, verdict
from helpers.study.experiments import LOGGED
from helpers.study.rules import Outcome
from helpers.text import listed, percent, points, scientific, span

MORE_SEEDS = range(5)
"""Seeds whose runs are shown beside the notebook's own, where they exist."""
PUBLISHED = experiments.TABLE["fine-tune 30, 3e-4, as published"]
SEEDS = ", ".join(map(str, experiments.SEEDS))


@dataclass(frozen=True)
class Verdicts:
    """The records that count as evidence, and the runs of the study's table."""

    full: Sequence[Run]
    """All at full scale on CIFAR-10."""
    refused: Sequence[tuple[Path, str]]
    """Files that are no evidence, with the reason."""
    claims: Sequence[Mapping[str, str]]
    """The table of verdicts, a row a claim; none on other images."""
    table: Mapping[str, Sequence[Run]]
    """Row of the study's table to its runs, which differ in their seed."""
    published: Mapping[str, float]
    """Row to the test accuracy that was published, 0 to 1; empty unless the runs compare with the study's."""

    @property
    def rows(self) -> dict[str, common.Row]:
        """The study's table, each row compared with the headline."""
        return {name: common.Row(runs, self.table["headline"]) for name, runs in self.table.items()}

    @property
    def runs(self) -> list[Run]:
        """All runs of the study's table."""
        return [each for runs in self.table.values() for each in runs]

    @property
    def courses(self) -> dict[str, list[float]]:
        """Validation accuracy after each pass, 0 to 1: of the 'study', of ours 'as logged', 'as published'.

        Ours as logged is cut to the passes that the study's log holds. Empty where a run is missing, or no
        claim is judged.
        """
        logged, plain = run.find(LOGGED), run.find(PUBLISHED)
        if not (self.claims and logged and plain):
            return {}
        log = store.read(published.PUBLISHED_LOGS / "run_full_tune.json")
        study = [log.stage2.val_accuracy[epoch] for epoch in published.real_epochs(log)]
        ours = logged.stage2.val_accuracy[: len(study)]
        return {"study": study, "as logged": ours, "as published": plain.stage2.val_accuracy}

    @property
    def widest(self) -> float:
        """The largest spread of the seeds of a row, 0 to 1."""
        return max((row.spread for row in self.rows.values()), default=0.0)

    @property
    def closest(self) -> float:
        """The smallest difference of two published accuracies, 0 to 1; 0 of fewer than two."""
        pairs = itertools.pairwise(sorted(self.published.values()))
        return min((high - low for low, high in pairs), default=0.0)


def load(*, dataset: str, scale: str, seed: int) -> Verdicts:
    """The evidence; the table's baseline and headline, trained where they are not stored, and its other runs.

    Raises ExperimentError for a parameter that no Experiment takes.
    """
    wanted = {
        name: experiments.for_notebook(row, dataset=dataset, scale=scale, seed=seed)
        for name, row in experiments.TABLE.items()
    }
    for name in ("baseline", "headline"):
        run.run(wanted[name])
    seeds = dict.fromkeys([seed, *MORE_SEEDS])
    by_name = {
        name: [found for each in seeds if (found := run.find(row.replace(seed=each)))]
        for name, row in wanted.items()
    }
    table = {name: runs for name, runs in by_name.items() if runs}
    full, refused = store.read_folder(paths.results_folder(experiments.HEADLINE))
    compared = is_study_data(dataset) and scale == "full"
    return Verdicts(
        full=full,
        refused=refused,
        claims=verdict.table(full) if is_study_data(dataset) else [],
        table=table,
        published={name: claims.TEST_ACCURACY[name] for name in table if compared},
    )


# ---------------------------------------------------------------------------- findings


class _Missing(LookupError):
    """A record that a finding needs is not among the runs."""


def findings(runs: Group) -> list[str]:
    """Five findings in Markdown, from full-scale records; one that lacks a record names what is to be run."""
    return [
        _finding_or_waiting(tell, runs) for tell in (_headline, _failure, _evaluation, _prevention, _beyond)
    ]


def numbered(runs: Group) -> str:
    """The `findings` as a numbered list, as README.md and the verdict's chapter show them."""
    return "\n".join(f"{number}. {text}" for number, text in enumerate(findings(runs), 1))


def _finding_or_waiting(tell: Callable[[Group], str], runs: Group) -> str:
    try:
        return tell(runs)
    except _Missing as missing:
        return f"*Not yet run: {missing}.*"


def _at_hand(runs: Group, experiment: Experiment) -> list[Run]:
    """The records of an experiment, whatever their files; diagnosed where the study takes them apart."""
    needed = experiment.key in experiments.DIAGNOSED
    return [run for run in runs if run.key == experiment.key and (run.diagnosis or not needed)]


def _run(runs: Group, experiment: Experiment) -> Run:
    """The first record of an experiment; _Missing, with what it is, where there is none."""
    if found := _at_hand(runs, experiment):
        return found[0]
    raise _Missing(experiment.described)


def _headline(runs: Group) -> str:
    _run(runs, experiments.HEADLINE)
    verdicts = {claim.id: verdict.judge(claim, runs) for claim in claims.CLAIMS}
    counts = Counter(each.outcome for each in verdicts.values())
    tally = ", ".join(f"{counts[outcome]} {outcome}" for outcome in get_args(Outcome) if counts[outcome])
    short = sum(any(run.is_screening for run in each.runs) for each in verdicts.values())
    best = verdicts["C5"]
    seeds = f"over {len(best.runs)} seeds" if len(best.runs) > 1 else "with one seed"
    reached = groups.mean_accuracy(best.runs)
    return (
        f"**The study's best result: {best.outcome}.** Thirty layers unfrozen, at 1e-5 and with "
        f"augmentation, reach {reached} on the test images {seeds}; the "
        f"study published {percent(claims.TEST_ACCURACY['headline'])}. Of its {len(claims.CLAIMS)} claims: "
        f"{tally}; {short} of these verdicts rest on short screening runs. {_decay(runs)}"
    )


def _decay(runs: Group) -> str:
    """What the study's weight decay changes, in a sweep's short runs."""
    short = experiments.screening()
    decayed, free = (_run(runs, each) for each in (short, short.replace(weight_decay=0.0)))
    differ = int((decayed.predictions("test") != free.predictions("test")).sum())
    return (
        f"Its weight decay changes {differ or 'none'} of {decayed.size('test'):,} answers in such a run: at "
        f"its rate a step of it takes {scientific(short.weight_decay * short.learning_rate)} of a weight, "
        "which Keras rounds away."
    )


def _failure(runs: Group) -> str:
    failed, plain, careful = (_repeated(runs, each) for each in (LOGGED, PUBLISHED, experiments.HEADLINE))
    against = groups.gain(careful, failed)
    words = describe_difference(against, "is better than", "is worse than", "is not shown to differ from")
    whole = [Whole(run) for run in failed]
    stood = [share for each in whole for share in each.early]
    kept = sorted({groups.rate_of_kept_weights(run) for run in failed})
    return (
        f"**The run that failed, run to its end, {words} the careful one.** With augmentation, as its log "
        f"has it, it stands at {span(stood)} on validation in its passes "
        f"at {whole[0].rate} ({span(run.stage1_val_accuracy for run in failed)} before), and ends at "
        f"{_tests(failed)} on test (seeds {SEEDS}), with weights trained at "
        f"{', '.join(map(scientific, kept))}: {against} against careful runs with the same seeds. Without "
        f"augmentation, as its text has it, it ends at {_tests(plain)}: "
        f"{groups.gain(careful, plain)} against the careful runs, which are augmented."
    )


def _evaluation(runs: Group) -> str:
    failed = _repeated(runs, LOGGED)
    courses = [batchnorm.course(run) for run in failed]
    starts = [each.start for each in courses]
    lowest, weights, probes = (
        [each.lowest_epoch(by) for each in courses] for by in ("moving", "reestimated", "probe")
    )
    lost = [start.reestimated.value - low.moving.value for start, low in zip(starts, lowest, strict=True)]
    mostly = all(low.statistics_gap > part / 2 for low, part in zip(lowest, lost, strict=True))
    much = "Most" if mostly else "Not always most"
    parts = [
        batchnorm.recovered_fraction(run, "means")
        for run in _repeated(runs, experiments.intervention("as logged"))
    ]
    return (
        f"**{much} of the failure was one of evaluation.** In the epoch in which it looked worst (number "
        f"{', '.join(str(low.epoch) for low in lowest)}, the first of equals, with seeds {SEEDS}) the run as "
        f"logged answered {_shares(low.moving for low in lowest)} of the validation images, and the same "
        f"weights {_shares(low.reestimated for low in lowest)} once the means and variances that the head's "
        f"batch norm evaluates with were estimated anew. New means alone regain {span(parts, '.0%')} of what "
        f"both do (first {experiments.ANATOMY_EPOCHS} passes, the same seeds). What the weights themselves "
        f"could do was at its lowest {_shares(low.reestimated for low in weights)} "
        f"({_shares(start.reestimated for start in starts)} before), and a fresh classifier on the features "
        f"fell below its start, {percent(starts[0].probe.value)}, in "
        f"{sum(each.probe_fell for each in courses)} of the {len(courses)} "
        f"({_shares(low.probe for low in probes)} at the lowest)."
    )


def _tests(runs: Group) -> str:
    return listed(run.test_accuracy for run in runs)


def _shares(shares: Iterable[Proportion]) -> str:
    return listed(share.value for share in shares)


def _repeated(runs: Group, experiment: Experiment) -> list[Run]:
    """The records of an experiment, one a seed of SEEDS."""
    return [_run(runs, experiment.replace(seed=seed)) for seed in experiments.SEEDS]


def _prevention(runs: Group) -> str:
    names = ("as logged", "batch norm frozen", "no norm")
    tried = [batchnorm.Repeats(_repeated(runs, experiments.intervention(name))) for name in names]
    stood = [[batchnorm.accuracy(run) for run in group] for group in tried]
    vary = [listed(group.active, ",") for group in tried]
    best = max(stood[0], key=lambda share: share.value)
    worst = min(stood[1], key=lambda share: share.value)
    words = describe_change(
        best, worst, "does not collapse", "stands lower still", "is not clearly better off"
    )
    logged, frozen, none = (group.described() for group in tried)
    threads = [run.threads for run in tried[0]]
    whole = [
        run
        for seed in experiments.SEEDS
        for run in _at_hand(runs, experiments.FROZEN_NORM.replace(seed=seed))
    ]
    longer = "Neither of the two was run for longer under this schedule."
    if whole:
        hides = max(batchnorm.course(run).largest_gap for run in whole)
        longer = (
            f"To the end of its schedule the frozen one (seeds: "
            f"{', '.join(str(run.seed) for run in whole)}) never hides more than "
            f"{points(hides)[1:]} of what its weights can do, and ends at {_tests(whole)} on "
            f"test, {groups.gain(_repeated(runs, experiments.HEADLINE), whole)} against the careful rate."
        )
    others = f" and on {', '.join(map(str, threads))} threads" if len(set(threads)) > 1 else ""
    return (
        f"**With the head's batch norm frozen that run {words} in its first "
        f"{experiments.ANATOMY_EPOCHS} passes.** "
        f"As logged it stands, with seeds {SEEDS}{others}, at {logged} on validation after them, with that "
        f"norm frozen at {frozen}, and with none in the head at {none}. Accuracy does not show all: of "
        f"{tried[0][0].diagnosis[0].active_channels:,} channels of the features {vary[0]} still vary then as "
        f"logged, {vary[1]} with the norm frozen and {vary[2]} with none. {longer}"
    )


def _beyond(runs: Group) -> str:
    start, quick, best = (
        _run(runs, each) for each in (experiments.HEADLINE, experiments.BEYOND, experiments.BEST)
    )
    left = errors_left(start.test_accuracy, best.test_accuracy)
    passes = [len(run.stage2) for run in (quick, best)]
    minutes = [f"{run.seconds / 60:.0f} min" for run in (quick, best)]
    against = groups.paired(start, best)
    timed = speed.read()
    whole = timed.plain_seconds(start)[-1] / start.seconds
    return (
        f"**The same backbone makes {left:.0%} of the errors of the study's "
        f"protocol.** With {experiments.BEST.n_unfreeze} layers unfrozen in the place of "
        f"{experiments.HEADLINE.n_unfreeze}, a rate of {scientific(experiments.BEST.learning_rate)} that "
        f"falls to zero, "
        f"a mere softmax for a head, shifts and flips for views and most products in bfloat16 it reaches "
        f"{groups.accuracy(best)} ({against}, with one seed each) after {passes[1]} passes, from the raw "
        f"images in {minutes[1]} on {best.threads} threads; a shorter recipe reaches "
        f"{groups.accuracy(quick)} after {passes[0]} in {minutes[0]}. Storing what the frozen part computes "
        f"makes an epoch of the protocol {timed.epoch.ratio:.1f} times faster than Keras' `fit` "
        f"({timed.epoch.low:.1f} to {timed.epoch.high:.1f} in turns with it), and the protocol from the raw "
        f"images {whole:.1f} times (Keras' time computed from its measured speed)."
    )
