"""The five findings that matter, computed from full-scale records, for README.md and the landing page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from helpers import anatomy, bench, claims, evaluation, records, study
from helpers.claims import Group
from helpers.evaluation import Proportion
from helpers.experiment import Experiment
from helpers.prose import apart, finding, percent
from helpers.records import Run

WAITING = "*Not yet run: {}.*"
"""Stands in the place of a finding whose record is missing."""


class _Missing(LookupError):
    """A record that a finding needs is not among the runs."""


def findings(runs: Group) -> list[str]:
    """Five findings in Markdown, from full-scale records; one that lacks a record names what is to be run."""
    return [_told(tell, runs) for tell in (_headline, _failure, _prevention, _loss, _beyond)]


def numbered(runs: Group) -> str:
    """The `findings` as a numbered list, as README.md and the verdict's chapter show them."""
    return "\n".join(f"{number}. {text}" for number, text in enumerate(findings(runs), 1))


def _told(tell: Callable[[Group], str], runs: Group) -> str:
    try:
        return tell(runs)
    except _Missing as missing:
        return WAITING.format(missing)


def _run(runs: Group, experiment: Experiment, diagnosed: bool = False) -> Run:
    """The record of an experiment, whatever its file; _Missing, with what it is, where there is none."""
    for run in runs:
        if run.key == experiment.key and (run.diagnosis or not diagnosed):
            return run
    raise _Missing(experiment.described)


def _test(run: Run) -> Proportion:
    return evaluation.accuracy(run.correct("test"))


def _headline(runs: Group) -> str:
    run, rows = _run(runs, study.HEADLINE), claims.table(runs)
    (verdict,) = (row["verdict"] for row in rows if row["id"] == "C5")
    verdicts = Counter(row["verdict"] for row in rows)
    tally = ", ".join(f"{verdicts[outcome]} {outcome}" for outcome in OUTCOMES if verdicts[outcome])
    return (
        f"**The study's best result: {verdict}.** Thirty layers unfrozen, at 1e-5 and with augmentation, "
        f"reach {_test(run)} on the test images; the study published "
        f"{percent(claims.TEST_ACCURACY['headline'])}. Of its {len(claims.CLAIMS)} claims: {tally}."
    )


OUTCOMES: tuple[claims.Outcome, ...] = ("reproduced", "partly", "not reproduced", "not yet run")


def _failure(runs: Group) -> str:
    failed, careful = _run(runs, LOGGED, diagnosed=True), _run(runs, study.HEADLINE)
    published = _run(runs, PUBLISHED)
    seen, can = (
        [share.value for share in anatomy.by_epoch(failed, statistics=kind)] for kind in ("moving", "clean")
    )
    worst, deepest = seen.index(min(seen)), can.index(min(can))
    against, plain = (
        evaluation.paired(careful.correct("test"), run.correct("test")) for run in (failed, published)
    )
    words = finding(against, "is better than", "is worse than", "is not shown to differ from")
    log = records.read(records.SEED_LOGS / "run_full_tune.json")
    looked, stood = len(records.real_epochs(log)), failed.curves["stage2"]["val_accuracy"]
    probes = anatomy.by_epoch(failed, statistics="probe")
    dimmest = min(probes[1:], key=_value)
    forgot = apart(probes[0], dimmest, "more", "less", "not clearly less")
    return (
        f"**The run that failed, run to its end, {words} the careful one.** At 3e-4, with augmentation as "
        f"its log has it, it stands at {percent(max(stood[:looked]))} on validation at best in the {looked} "
        f"passes that the log holds, and ends its {len(stood)} at {_test(failed)} on test (against the "
        f"careful run {against}); without augmentation, as its text has it, at {_test(published)} ({plain}). "
        f"Most of its failure was one of evaluation: after epoch {worst} it "
        f"answered {percent(seen[worst])} of the validation images, and the same weights "
        f"{percent(can[worst])} once the statistics of the head's batch norm were "
        f"estimated anew; {_means(runs)} After epoch {deepest}, at their worst, the weights themselves gave "
        f"{percent(can[deepest])}; at its lowest a fresh classifier on the features answered {dimmest}, "
        f"{forgot} than before the first epoch ({probes[0]})."
    )


def _repeated(runs: Group, name: str) -> list[Run]:
    """An intervention in the failing run's beginning, one a seed."""
    return [_run(runs, study.intervention(name, seed), diagnosed=True) for seed in study.REPEATED_SEEDS]


def _means(runs: Group) -> str:
    """What the norm's means alone, estimated anew, regain in the failing run's beginning."""
    parts = [anatomy.regained(run, "means") for run in _repeated(runs, "as logged")]
    return (
        f"in its first {study.ANATOMY_EPOCHS} passes ({len(parts)} seeds) that norm's means alone, estimated "
        f"anew, regain {percent(min(parts), 0)} to {percent(max(parts), 0)} of what means and variances "
        "regain together."
    )


PUBLISHED = study.TABLE["fine-tune 30, 3e-4, as published"]
LOGGED = study.TABLE["fine-tune 30, 3e-4, as logged"]


def _prevention(runs: Group) -> str:
    logged, frozen = ([anatomy.accuracy(run) for run in _repeated(runs, name)] for name in study.REPEATED)
    best, worst = max(logged, key=_value), min(frozen, key=_value)
    words = apart(best, worst, "does not collapse", "stands lower still", "is not clearly better off")
    return (
        f"**With the head's batch norm frozen that run {words} in its first {study.ANATOMY_EPOCHS} passes.** "
        f"As logged it stands, by seed, at {_listed(logged)} on validation after them, and with that norm "
        f"frozen at {_listed(frozen)}. With none in the head it stands at "
        f"{anatomy.accuracy(_few(runs, 'no norm'))} (one seed). Under this schedule neither of the two was "
        "run for longer."
    )


def _value(share: Proportion) -> float:
    return share.value


def _listed(shares: list[Proportion]) -> str:
    return ", ".join(map(str, shares))


def _few(runs: Group, name: str) -> Run:
    return _run(runs, study.intervention(name), diagnosed=True)


def _loss(runs: Group) -> str:
    names = ("as logged", "batch norm frozen", "no norm")
    logged, frozen, none = ([epoch["alive"] for epoch in _few(runs, name).diagnosis] for name in names)
    others = " and ".join(f"{run.diagnosis[-1]['alive']:,}" for run in _repeated(runs, "as logged")[1:])
    return (
        f"**Of {logged[0]:,} channels of its features {logged[-1]:,} still vary after those passes** "
        f"(with other seeds {others}). Accuracy does not show it. With that norm frozen {frozen[-1]:,} do, "
        f"with none in the head {none[-1]:,}. A possible reason, not tested: a moving batch norm takes a "
        "channel's mean and scale out again, so the loss does not feel where it stands."
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
        f"{study.HEADLINE.n_unfreeze}, a rate of {study.BEST.learning_rate:g} that falls to zero, a mere "
        f"softmax for a head, shifts and flips for views and most products in bfloat16 it reaches "
        f"{_test(best)} ({against}) after {passes[1]} passes, from the raw images in {minutes[1]} on "
        f"{best.environment['threads']} threads; a shorter recipe reaches {_test(quick)} after {passes[0]} "
        f"in {minutes[0]}. Storing what the frozen part computes makes an epoch of the protocol "
        f"{measured['ratio']:.1f} times faster than Keras' `fit` ({measured['low']:.1f} to "
        f"{measured['high']:.1f} in turns with it), and the protocol from the raw images {whole:.1f} times "
        f"(Keras' time computed from its measured speed)."
    )
