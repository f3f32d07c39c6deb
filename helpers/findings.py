"""The five findings that matter, computed from full-scale records, for README.md and the landing page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from helpers import anatomy, bench, claims, evaluation, study
from helpers.claims import Group
from helpers.evaluation import Proportion, scientific
from helpers.experiment import Experiment
from helpers.prose import apart, finding, percent
from helpers.records import Run

WAITING = "*Not yet run: {}.*"
"""Stands in the place of a finding whose record is missing."""


class _Missing(LookupError):
    """A record that a finding needs is not among the runs."""


def findings(runs: Group) -> list[str]:
    """Five findings in Markdown, from full-scale records; one that lacks a record names what is to be run."""
    return [_told(tell, runs) for tell in (_headline, _failure, _looks, _prevention, _beyond)]


def numbered(runs: Group) -> str:
    """The `findings` as a numbered list, as README.md and the verdict's chapter show them."""
    return "\n".join(f"{number}. {text}" for number, text in enumerate(findings(runs), 1))


def _told(tell: Callable[[Group], str], runs: Group) -> str:
    try:
        return tell(runs)
    except _Missing as missing:
        return WAITING.format(missing)


def _run(runs: Group, experiment: Experiment) -> Run:
    """The record of an experiment, whatever its file; _Missing, with what it is, where there is none."""
    for run in runs:
        if run.key == experiment.key and (run.diagnosis or not experiment.diagnosed):
            return run
    raise _Missing(experiment.described)


def _test(run: Run) -> Proportion:
    return evaluation.accuracy(run.correct("test"))


def _headline(runs: Group) -> str:
    _run(runs, study.HEADLINE)
    verdicts = {claim.id: claim.verdict(runs) for claim in claims.CLAIMS}
    counts = Counter(verdict.outcome for verdict in verdicts.values())
    tally = ", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES if counts[outcome])
    short = sum(any(run.is_screening for run in verdict.runs) for verdict in verdicts.values())
    best = verdicts["C5"]
    seeds = f"over {len(best.runs)} seeds" if len(best.runs) > 1 else "with one seed"
    return (
        f"**The study's best result: {best.outcome}.** Thirty layers unfrozen, at 1e-5 and with "
        f"augmentation, reach {claims.measured(best.runs, 'test_end2end')} on the test images {seeds}; the "
        f"study published {percent(claims.TEST_ACCURACY['headline'])}. Of its {len(claims.CLAIMS)} claims: "
        f"{tally}; {short} of these verdicts rest on short screening runs. {_decay(runs)}"
    )


def _decay(runs: Group) -> str:
    """What the study's weight decay changes, in a sweep's short runs."""
    short = study.screening()
    decayed, free = (_run(runs, each) for each in (short, short.replace(weight_decay=0.0)))
    differ = int((decayed.predictions("test") != free.predictions("test")).sum())
    return (
        f"Its weight decay changes {differ or 'none'} of {decayed.size('test'):,} answers in such a run: at "
        f"its rate a step of it takes {scientific(short.weight_decay * short.learning_rate)} of a weight, "
        "which Keras rounds away."
    )


OUTCOMES: tuple[claims.Outcome, ...] = ("reproduced", "partly", "not reproduced", "not yet run")

PUBLISHED = study.TABLE["fine-tune 30, 3e-4, as published"]
LOGGED = study.TABLE["fine-tune 30, 3e-4, as logged"]


def _failure(runs: Group) -> str:
    failed, published, careful = (_run(runs, each) for each in (LOGGED, PUBLISHED, study.HEADLINE))
    against, plain = (
        evaluation.paired(careful.correct("test"), run.correct("test")) for run in (failed, published)
    )
    words = finding(against, "is better than", "is worse than", "is not shown to differ from")
    curve = failed.curves["stage2"]
    stood, pace = curve["val_accuracy"], curve["learning_rate"]
    at_full = [share for share, rate in zip(stood, pace, strict=True) if rate == pace[0]]
    return (
        f"**The run that failed, run to its end, {words} the careful one.** With augmentation, as its log "
        f"has it, it stands at {percent(min(at_full))} to {percent(max(at_full))} on validation in its "
        f"{len(at_full)} passes at {scientific(pace[0])} "
        f"({percent(failed.metrics['stage1_val_accuracy'])} before), and ends its {len(stood)} at "
        f"{_test(failed)} on test (against the careful run {against}), with weights trained at "
        f"{scientific(claims.kept_rate(failed))}. Without augmentation, as its text has it, it ends at "
        f"{_test(published)} (against the careful run, which is augmented, {plain}). One seed each."
    )


def _looks(runs: Group) -> str:
    failed = _run(runs, LOGGED)
    seen, can, probes = (anatomy.by_epoch(failed, statistics=kind) for kind in ("moving", "clean", "probe"))
    worst, deepest, dimmest = map(anatomy.lowest, (seen, can, probes))
    parts = [anatomy.regained(run, "means") for run in _begun(runs, "as logged")]
    forgot = apart(probes[0], probes[dimmest], "more", "less", "not clearly less")
    return (
        f"**Most of the failure was one of evaluation.** After epoch {worst} the run as logged answered "
        f"{seen[worst]} of the validation images, and the same weights {can[worst]} once the means and "
        "variances that the head's batch norm evaluates with were estimated anew. New means alone regain "
        f"{percent(min(parts), 0)} to {percent(max(parts), 0)} of what both do (first {study.ANATOMY_EPOCHS} "
        f"passes, {len(parts)} seeds). Not all of it was appearance: after epoch {deepest} the weights "
        f"themselves gave {percent(can[deepest].value)}, and at its lowest a fresh classifier on the "
        f"features answered {probes[dimmest]}, {forgot} than the {probes[0]} of before the first epoch."
    )


def _begun(runs: Group, name: str) -> list[Run]:
    """The failing run's beginning with an intervention, one a seed."""
    return [_run(runs, study.intervention(name, seed)) for seed in study.SEEDS]


def _prevention(runs: Group) -> str:
    groups = [_begun(runs, name) for name in ("as logged", "batch norm frozen", "no norm")]
    stood = [[anatomy.accuracy(run) for run in group] for group in groups]
    vary = [", ".join(f"{run.diagnosis[-1]['alive']:,}" for run in group) for group in groups]
    best = max(stood[0], key=lambda share: share.value)
    worst = min(stood[1], key=lambda share: share.value)
    words = apart(best, worst, "does not collapse", "stands lower still", "is not clearly better off")
    logged, frozen, none = map(anatomy.told, groups)
    seeds = ", ".join(map(str, study.SEEDS))
    threads = [run.environment["threads"] for run in groups[0]]
    others = f" and on {', '.join(map(str, threads))} threads" if len(set(threads)) > 1 else ""
    return (
        f"**With the head's batch norm frozen that run {words} in its first {study.ANATOMY_EPOCHS} passes.** "
        f"As logged it stands, with seeds {seeds}{others}, at {logged} on validation after them, with that "
        f"norm frozen at {frozen}, and with none in the head at {none}. Accuracy does not show all: of "
        f"{groups[0][0].diagnosis[0]['alive']:,} channels of the features {vary[0]} still vary then as "
        f"logged, {vary[1]} with the norm frozen and {vary[2]} with none. Neither of the two was run for "
        "longer under this schedule."
    )


def _beyond(runs: Group) -> str:
    start, quick, best = (_run(runs, each) for each in (study.HEADLINE, study.BEYOND, study.BEST))
    errors = [1 - run.metrics["test_end2end"] for run in (start, best)]
    passes = [len(run.curves["stage2"]["loss"]) for run in (quick, best)]
    minutes = [f"{run.timing_sec['total'] / 60:.0f} min" for run in (quick, best)]
    against = evaluation.paired(start.correct("test"), best.correct("test"))
    speed = bench.read()
    measured, (before, a_pass) = speed["epoch"], bench.plain_seconds(start, speed)
    whole = (before + a_pass * len(start.curves["stage2"]["loss"])) / start.timing_sec["total"]
    return (
        f"**The same backbone makes {percent(errors[1] / errors[0], 0)} of the errors of the study's "
        f"protocol.** With {study.BEST.n_unfreeze} layers unfrozen in the place of "
        f"{study.HEADLINE.n_unfreeze}, a rate of {scientific(study.BEST.learning_rate)} that falls to zero, "
        f"a mere softmax for a head, shifts and flips for views and most products in bfloat16 it reaches "
        f"{_test(best)} ({against}) after {passes[1]} passes, from the raw images in {minutes[1]} on "
        f"{best.environment['threads']} threads; a shorter recipe reaches {_test(quick)} after {passes[0]} "
        f"in {minutes[0]}. Storing what the frozen part computes makes an epoch of the protocol "
        f"{measured['ratio']:.1f} times faster than Keras' `fit` ({measured['low']:.1f} to "
        f"{measured['high']:.1f} in turns with it), and the protocol from the raw images {whole:.1f} times "
        f"(Keras' time computed from its measured speed)."
    )
