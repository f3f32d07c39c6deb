"""The five findings that matter, computed from full-scale records, for README.md and the landing page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from helpers.analysis import batchnorm, groups, intervals, speed
from helpers.analysis.groups import Group
from helpers.analysis.intervals import Proportion, describe_change, describe_difference
from helpers.experiment import Experiment
from helpers.records.run import Run
from helpers.study import claims, experiments, rules, verdict
from helpers.text import percent, points, scientific, span

WAITING = "*Not yet run: {}.*"
"""Stands in the place of a finding whose record is missing."""


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
        return WAITING.format(missing)


def _at_hand(runs: Group, experiment: Experiment) -> list[Run]:
    """The records of an experiment, whatever their files; diagnosed where it is."""
    return [run for run in runs if run.key == experiment.key and (run.diagnosis or not experiment.diagnosed)]


def _run(runs: Group, experiment: Experiment) -> Run:
    """The first record of an experiment; _Missing, with what it is, where there is none."""
    for run in _at_hand(runs, experiment):
        return run
    raise _Missing(experiment.described)


def _test(run: Run) -> Proportion:
    return intervals.accuracy(run.correct("test"))


def _headline(runs: Group) -> str:
    _run(runs, experiments.HEADLINE)
    verdicts = {claim.id: verdict.judge(claim, runs) for claim in claims.CLAIMS}
    counts = Counter(each.outcome for each in verdicts.values())
    tally = ", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES if counts[outcome])
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


OUTCOMES: tuple[rules.Outcome, ...] = ("reproduced", "partly", "not reproduced", "not yet run")
PUBLISHED = experiments.TABLE["fine-tune 30, 3e-4, as published"]
LOGGED = experiments.TABLE["fine-tune 30, 3e-4, as logged"]
SEEDS = ", ".join(map(str, experiments.SEEDS))


def _failure(runs: Group) -> str:
    failed, published, careful = (_repeated(runs, each) for each in (LOGGED, PUBLISHED, experiments.HEADLINE))
    against, plain = (groups.gain(careful, group) for group in (failed, published))
    words = describe_difference(against, "is better than", "is worse than", "is not shown to differ from")
    stood = [share for run in failed for share in groups.at_first_rate(run)]
    before = [run.stage1_val_accuracy for run in failed]
    kept = sorted({groups.rate_of_kept_weights(run) for run in failed})
    return (
        f"**The run that failed, run to its end, {words} the careful one.** With augmentation, as its log "
        f"has it, it stands at {span(stood)} on validation in its passes "
        f"at {scientific(failed[0].stage2.learning_rate[0])} ({span(before)} before), and ends at "
        f"{_listed(map(_test, failed))} on test (seeds {SEEDS}), with weights trained at "
        f"{', '.join(map(scientific, kept))}: {against} against careful runs with the same seeds. Without "
        f"augmentation, as its text has it, it ends at {_listed(map(_test, published))}: {plain} against "
        "the careful runs, which are augmented."
    )


def _evaluation(runs: Group) -> str:
    failed = _repeated(runs, LOGGED)
    lows = [batchnorm.lows(run) for run in failed]
    starts, looked = [low.standings[0] for low in lows], [low.looked for low in lows]
    lost = [start.reestimated.value - low.moving.value for start, low in zip(starts, looked, strict=True)]
    hidden = [low.gap for low in looked]
    much = "Most" if all(a > b / 2 for a, b in zip(hidden, lost, strict=True)) else "Not always most"
    parts = [
        batchnorm.recovered_fraction(run, "means")
        for run in _repeated(runs, experiments.intervention("as logged"))
    ]
    return (
        f"**{much} of the failure was one of evaluation.** In the epoch in which it looked worst (number "
        f"{', '.join(str(low.epoch) for low in looked)}, the first of equals, with seeds {SEEDS}) the run as "
        f"logged answered {_listed(low.moving for low in looked)} of the validation images, and the same "
        f"weights {_listed(low.reestimated for low in looked)} once the means and variances that the head's "
        f"batch norm evaluates with were estimated anew. New means alone regain {span(parts, '.0%')} of what "
        f"both do (first {experiments.ANATOMY_EPOCHS} passes, the same seeds). What the weights themselves "
        f"could do was at its lowest {_listed(low.weights.reestimated for low in lows)} "
        f"({_listed(start.reestimated for start in starts)} before), and a fresh classifier on the features "
        f"fell below its start, {percent(starts[0].probe.value)}, in {sum(low.forgot for low in lows)} of "
        f"the {len(lows)} ({_listed(low.probe.probe for low in lows)} at the lowest)."
    )


def _listed(shares: Iterable[Proportion]) -> str:
    """Accuracies of runs that differ in their seed, in the order of SEEDS."""
    return ", ".join(percent(share.value) for share in shares)


def _repeated(runs: Group, experiment: Experiment) -> list[Run]:
    """The records of an experiment, one a seed of SEEDS."""
    return [_run(runs, experiment.replace(seed=seed)) for seed in experiments.SEEDS]


def _prevention(runs: Group) -> str:
    names = ("as logged", "batch norm frozen", "no norm")
    tried = [_repeated(runs, experiments.intervention(name)) for name in names]
    stood = [[batchnorm.accuracy(run) for run in group] for group in tried]
    vary = [", ".join(f"{run.diagnosis[-1].active_channels:,}" for run in group) for group in tried]
    best = max(stood[0], key=lambda share: share.value)
    worst = min(stood[1], key=lambda share: share.value)
    words = describe_change(
        best, worst, "does not collapse", "stands lower still", "is not clearly better off"
    )
    logged, frozen, none = map(batchnorm.as_text, tried)
    threads = [run.threads for run in tried[0]]
    whole = [
        run
        for seed in experiments.SEEDS
        for run in _at_hand(runs, experiments.FROZEN_NORM.replace(seed=seed))
    ]
    longer = "Neither of the two was run for longer under this schedule."
    if whole:
        hides = max(batchnorm.lows(run).most_hidden for run in whole)
        longer = (
            f"To the end of its schedule the frozen one (seeds: "
            f"{', '.join(str(run.seed) for run in whole)}) never hides more than "
            f"{points(hides)[1:]} of what its weights can do, and ends at {_listed(map(_test, whole))} on "
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
    errors = [1 - run.test_accuracy for run in (start, best)]
    passes = [len(run.stage2.loss) for run in (quick, best)]
    minutes = [f"{run.seconds / 60:.0f} min" for run in (quick, best)]
    against = intervals.paired(start.correct("test"), best.correct("test"))
    timed = speed.read()
    whole = timed.plain_seconds(start)[-1] / start.seconds
    return (
        f"**The same backbone makes {percent(errors[1] / errors[0], 0)} of the errors of the study's "
        f"protocol.** With {experiments.BEST.n_unfreeze} layers unfrozen in the place of "
        f"{experiments.HEADLINE.n_unfreeze}, a rate of {scientific(experiments.BEST.learning_rate)} that "
        f"falls to zero, "
        f"a mere softmax for a head, shifts and flips for views and most products in bfloat16 it reaches "
        f"{_test(best)} ({against}, with one seed each) after {passes[1]} passes, from the raw images in "
        f"{minutes[1]} on {best.threads} threads; a shorter recipe reaches {_test(quick)} "
        f"after {passes[0]} in {minutes[0]}. Storing what the frozen part computes makes an epoch of the "
        f"protocol {timed.epoch.ratio:.1f} times faster than Keras' `fit` ({timed.epoch.low:.1f} to "
        f"{timed.epoch.high:.1f} in turns with it), and the protocol from the raw images {whole:.1f} times "
        f"(Keras' time computed from its measured speed)."
    )
