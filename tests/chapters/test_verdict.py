"""Chapter 8's facts, and the five findings: from records, or waiting for them, never half of each."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import made
import pytest

from helpers import paths
from helpers.analysis import groups
from helpers.chapters import verdict
from helpers.experiment import Experiment, ExperimentError
from helpers.records import store
from helpers.records.run import Run
from helpers.study import experiments
from helpers.study.experiments import BASELINE, HEADLINE, SEEDS, TABLE

Make = Callable[..., Run]
WHERE: dict[str, Any] = {"dataset": "cifar10", "scale": "full", "seed": 42}
LOGGED, PUBLISHED = (TABLE[f"fine-tune 30, 3e-4, as {kind}"] for kind in ("logged", "published"))


def record(make_run: Make, experiment: Experiment, test: float = 0.9, **more: Any) -> Run:
    return make_run(test, **asdict(experiment), **more)


# ---------------------------------------------------------------------------- the chapter


@pytest.fixture
def table(make_run: Make) -> None:
    for seed, share in ((42, 0.90), (0, 0.92)):
        record(make_run, HEADLINE.replace(seed=seed), share)
    record(make_run, BASELINE, 0.88)


def test_a_row_has_its_seeds_their_spread_and_its_gain(table: None) -> None:
    ch = verdict.load(**WHERE)
    assert list(ch.rows) == ["baseline", "headline"] and len(ch.runs) == 3
    headline, baseline = ch.rows["headline"], ch.rows["baseline"]
    assert headline.seeds == [42, 0] and headline.spread == pytest.approx(0.02) and headline.gain is None
    assert baseline.spread == 0 and baseline.gain is not None
    assert baseline.gain.value == pytest.approx(-0.02) and str(baseline.mean).startswith("88.0%")
    assert ch.widest == pytest.approx(0.02) and ch.closest == pytest.approx(0.048)
    assert list(ch.published) == list(ch.rows)


def test_of_a_single_row_nothing_is_apart(make_run: Make) -> None:
    row = record(make_run, HEADLINE)
    alone = verdict.Verdicts([], [], [], {"headline": [row]}, {"headline": 0.9})
    assert (alone.widest, alone.closest) == (0.0, 0.0)


def test_the_miniature_is_judged_by_no_claim_and_no_published_figure(table: None, make_run: Make) -> None:
    for row in (BASELINE, HEADLINE):
        record(make_run, experiments.for_notebook(row, dataset="miniature", scale="smoke"))
    drawn = verdict.load(dataset="miniature", scale="smoke", seed=42)
    assert not drawn.claims and not drawn.published and not drawn.courses
    assert {run.dataset for run in drawn.runs} == {"miniature"}


def test_the_failed_runs_are_shown_where_both_are_there(table: None, make_run: Make) -> None:
    assert not verdict.load(**WHERE).courses
    shares = [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
    failing = made.diagnosed(*[(0.5, 0.8, 0.8)] * 8)
    record(make_run, LOGGED, diagnosis=failing, curves={"stage2": {"val_accuracy": shares}})
    assert not verdict.load(**WHERE).courses
    record(make_run, PUBLISHED, curves={"stage2": {"val_accuracy": shares}})
    courses = verdict.load(**WHERE).courses
    assert len(courses["study"]) == len(courses["as logged"]) == 6
    assert courses["as logged"] == shares[:6] and courses["as published"] == shares


def test_a_refused_record_is_named(table: None, make_run: Make) -> None:
    other = record(make_run, Experiment(dropout=0.4)).path
    assert not verdict.load(**WHERE).refused
    other.write_text(other.read_text().replace("0.4", "0.5", 1))
    ((path, reason),) = verdict.load(**WHERE).refused
    assert path == other and "edited" in reason


def test_a_wrong_parameter_is_refused_before_anything_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdict.run, "run", lambda *_: pytest.fail("trained"))
    with pytest.raises(ExperimentError, match="seed=-1"):
        verdict.load(**{**WHERE, "seed": -1})


# ---------------------------------------------------------------------------- findings, of made-up runs


def by_seed(make_run: Make, experiment: Experiment, *shares: float, **more: Any) -> list[Run]:
    pairs = zip(SEEDS, shares, strict=True)
    return [record(make_run, experiment.replace(seed=seed), share, **more) for seed, share in pairs]


def begun(make_run: Make, name: str, *shares: float, threads: Sequence[int] = (2, 2, 2)) -> list[Run]:
    """An intervention's runs, which stand at these shares after their passes."""
    return [
        record(
            make_run,
            experiments.intervention(name).replace(seed=seed),
            diagnosis=made.diagnosed((0.88, 0.88, 0.88), (share, 0.88 if name != "no norm" else None, 0.88)),
            content={"environment": {**made.MACHINE, "threads": many}},
        )
        for seed, share, many in zip(SEEDS, shares, threads, strict=True)
    ]


@pytest.mark.parametrize(
    "share, words",
    [(0.95, "is better than"), (0.85, "is worse than"), (0.90, "is not shown to differ from")],
)
def test_the_failed_run_is_set_beside_the_careful_one(make_run: Make, share: float, words: str) -> None:
    careful = by_seed(make_run, HEADLINE, 0.90, 0.91, 0.90)
    steps = {"stage2": {"val_accuracy": [0.2, 0.6, 0.9], "learning_rate": [3e-4, 3e-4, 1.5e-4]}}
    failing = made.diagnosed(*[(0.5, 0.8, 0.8)] * 4)
    failed = by_seed(make_run, LOGGED, share, share + 0.01, share, curves=steps, diagnosis=failing)
    plain = by_seed(make_run, PUBLISHED, 0.93, 0.94, 0.93)
    told = verdict.findings([*careful, *failed, *plain])[1]
    assert told.startswith(f"**The run that failed, run to its end, {words} the careful one.**")
    assert "stands at 20.0% to 60.0% on validation in its passes at 3e-4 (87.0% before)" in told
    assert "with weights trained at 1.5e-4:" in told and "it ends at 93.0%, 94.0%, 93.0%: +3.0 points" in told


@pytest.mark.parametrize(
    "again, probe, words, forgot",
    [(0.87, 0.88, "Most", "in 0 of the 3"), (0.60, 0.50, "Not always most", "in 3 of the 3")],
)
def test_what_evaluation_hid_is_most_of_the_failure_or_not(
    make_run: Make, again: float, probe: float, words: str, forgot: str
) -> None:
    failing = made.diagnosed((0.88, 0.88, 0.84), (0.40, again, probe), (0.80, 0.88, 0.88))
    failed = by_seed(make_run, LOGGED, 0.9, 0.9, 0.9, diagnosis=failing)
    told = verdict.findings([*failed, *begun(make_run, "as logged", 0.2, 0.3, 0.4)])[2]
    assert told.startswith(f"**{words} of the failure was one of evaluation.**")
    assert forgot in told and "(number 1, 1, 1, the first of equals" in told


@pytest.mark.parametrize(
    "logged, frozen, words",
    [
        (0.2, 0.88, "does not collapse"),
        (0.88, 0.2, "stands lower still"),
        (0.8, 0.8, "is not clearly better off"),
    ],
)
def test_the_frozen_norm_is_told_from_the_norm_as_logged(
    make_run: Make, logged: float, frozen: float, words: str
) -> None:
    runs = begun(make_run, "as logged", *[logged] * 3, threads=(2, 1, 1))
    runs += begun(make_run, "batch norm frozen", *[frozen] * 3) + begun(make_run, "no norm", 0.8, 0.8, 0.8)
    told = verdict.findings(runs)[3]
    assert told.startswith(f"**With the head's batch norm frozen that run {words} in its first 2 passes.**")
    assert "with seeds 42, 0, 1 and on 2, 1, 1 threads, at" in told and "run for longer under" in told
    same = begun(make_run, "as logged", *[logged] * 3) + runs[3:]
    assert "with seeds 42, 0, 1, at" in verdict.findings(same)[3]


def test_weight_decay_changes_answers_or_none(make_run: Make) -> None:
    short, headline = experiments.screening(), record(make_run, HEADLINE)
    decayed = record(make_run, short)
    free = record(make_run, short.replace(weight_decay=0.0))
    assert "changes none of 2,000" in verdict.findings([headline, decayed, free])[0]
    changed = verdict.findings([headline, decayed, record(make_run, short.replace(weight_decay=0.0), 0.8)])[0]
    assert "changes 200 of 2,000" in changed and "on the test images with one seed;" in changed
    assert changed.startswith("**The study's best result: not reproduced.**")


# ---------------------------------------------------------------------------- findings, of committed records


def committed() -> list[Run]:
    return store.read_folder(paths.RESULTS)[0]


def test_without_records_every_finding_names_what_is_to_be_run() -> None:
    told = verdict.findings([])
    assert len(told) == 5
    assert verdict.numbered([]).splitlines()[3:] == [f"4. {told[3]}", f"5. {told[4]}"]
    assert all(re.fullmatch(r"\*Not yet run: \w.*\.\*", text) for text in told)


def test_a_finding_opens_with_what_was_found_and_gives_its_numbers() -> None:
    headline, failure, looks, prevention, beyond = verdict.findings(committed())
    run = next(run for run in committed() if run.key == experiments.HEADLINE.key)
    assert headline.startswith("**The study's best result: reproduced.**")
    assert str(groups.mean_accuracy(groups.matching_runs(committed()))) in headline
    assert "17 claims" in headline
    assert "weight decay changes none of 10,000 answers" in headline
    assert failure.startswith("**The run that failed, run to its end, is not shown to differ")
    shares = r"[\d.]+%, [\d.]+%, [\d.]+%"
    assert re.search(rf"with seeds 42, 0, 1\) the run as logged answered {shares} of the validation", looks)
    assert re.search(rf"and the same weights {shares} once the means and variances", looks)
    assert re.search(
        r"New means alone regain \d+% to \d+% of what both do \(first 2 passes, the same seeds\)", looks
    )
    assert re.search(rf"fell below its start, [\d.]+%, in \d of the 3 \({shares} at the lowest\)", looks)
    assert prevention.startswith(
        "**With the head's batch norm frozen that run does not collapse in its first 2 passes."
    )
    seeds = ", ".join(map(str, experiments.SEEDS))
    threads = r"and on \d, \d, \d threads, at [\d.]+%"
    assert re.search(f"As logged it stands, with seeds {seeds} {threads}", prevention)
    assert re.search(r"of 1,280 channels of the features \d+, \d+, \d+ still vary", prevention)
    best = next(run for run in committed() if run.key == experiments.BEST.key)
    share = (1 - best.metrics["test_end2end"]) / (1 - run.metrics["test_end2end"])
    assert beyond.startswith(f"**The same backbone makes {100 * share:.0f}% of the errors of the study's")
    assert share < 1 and f"reaches {100 * best.metrics['test_end2end']:.1f}%" in beyond


def test_a_finding_waits_for_the_record_that_it_lacks() -> None:
    some = [run for run in committed() if not run.diagnosis]
    headline, failure, looks, prevention, _ = verdict.findings(some)
    assert headline.startswith("**")
    assert failure == looks == "*Not yet run: learning_rate=0.0003.*"
    assert prevention == "*Not yet run: learning_rate=0.0003, epochs=2.*"


def test_a_frozen_norm_is_told_to_the_end_where_it_was_trained_to_the_end() -> None:
    whole = {experiments.FROZEN_NORM.replace(seed=seed).key for seed in experiments.SEEDS}
    frozen = [run for run in committed() if run.key in whole]
    seeds = ", ".join(
        str(seed) for seed in experiments.SEEDS if seed in {run.config["seed"] for run in frozen}
    )
    told = verdict.findings(committed())[3]
    assert frozen and re.search(
        rf"the frozen one \(seeds: {seeds}\) never hides more than [\d.]+ points", told
    )
    without = [run for run in committed() if run.key not in whole]
    assert verdict.findings(without)[3].endswith("Neither of the two was run for longer under this schedule.")
