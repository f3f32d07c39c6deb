"""The five findings: computed from the records, or waiting for them, and never half of each."""

import dataclasses
import re

from helpers import paths
from helpers.analysis import groups
from helpers.chapters import findings
from helpers.records import store
from helpers.records.run import Run
from helpers.study import experiments


def committed() -> list[Run]:
    return store.read_folder(paths.RESULTS)[0]


def test_without_records_every_finding_names_what_is_to_be_run() -> None:
    told = findings.findings([])
    assert len(told) == 5
    assert findings.numbered([]).splitlines()[3:] == [f"4. {told[3]}", f"5. {told[4]}"]
    assert all(re.fullmatch(r"\*Not yet run: \w.*\.\*", text) for text in told)


def test_a_finding_opens_with_what_was_found_and_gives_its_numbers() -> None:
    headline, failure, looks, prevention, beyond = findings.findings(committed())
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


def test_what_was_found_follows_the_records() -> None:
    """Of headlines at 80% nothing is said to hold."""
    runs = committed()
    for run in groups.matching_runs(runs):
        metrics = {name: 0.8 if "end2end" in name else value for name, value in run.metrics.items()}
        runs[runs.index(run)] = dataclasses.replace(run, metrics=metrics)
    assert findings.findings(runs)[0].startswith("**The study's best result: not reproduced.**")


def test_a_finding_waits_for_the_record_that_it_lacks() -> None:
    some = [run for run in committed() if not run.diagnosis]
    headline, failure, looks, prevention, _ = findings.findings(some)
    assert headline.startswith("**")
    assert failure == looks == "*Not yet run: learning_rate=0.0003, diagnosed=True.*"
    assert prevention == "*Not yet run: learning_rate=0.0003, epochs=2, diagnosed=True.*"


def test_a_frozen_norm_is_told_to_the_end_where_it_was_trained_to_the_end() -> None:
    whole = {experiments.FROZEN_NORM.replace(seed=seed).key for seed in experiments.SEEDS}
    frozen = [run for run in committed() if run.key in whole]
    seeds = ", ".join(
        str(seed) for seed in experiments.SEEDS if seed in {run.config["seed"] for run in frozen}
    )
    told = findings.findings(committed())[3]
    assert frozen and re.search(
        rf"the frozen one \(seeds: {seeds}\) never hides more than [\d.]+ points", told
    )
    without = [run for run in committed() if run.key not in whole]
    assert findings.findings(without)[3].endswith(
        "Neither of the two was run for longer under this schedule."
    )
