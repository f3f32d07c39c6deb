"""The seven findings: short, computed on both sides of every word, and waiting where a record is missing."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import made
import pytest

from helpers import paths
from helpers.chapters.findings import FINDINGS, findings, numbered
from helpers.experiment import Experiment
from helpers.records import store
from helpers.records.run import Run
from helpers.study import experiments, verdict
from helpers.study.experiments import BEST, CAREFUL, FROZEN_NORM, LOGGED, QUICKEST, SEEDS

Make = Callable[..., Run]
MOST_WORDS, MOST_NUMBERS = 30, 2
"""Of a finding: what a stranger takes in at one reading."""
FAILED = made.diagnosed((0.88, 0.88, 0.88), (0.28, 0.88, 0.88), (0.28, 0.88, 0.88))


def by_seed(make_run: Make, experiment: Experiment, share: float = 0.9, **more: Any) -> list[Run]:
    return [make_run(share, **asdict(experiment.replace(seed=seed)), **more) for seed in SEEDS]


def begun(make_run: Make, name: str, *shares: float) -> list[Run]:
    """An intervention's runs, which stand at these shares after their passes."""
    other = 0.88 if name != "no norm" else None
    passes = [made.diagnosed((0.88, 0.88, 0.88), (share, other, 0.88)) for share in shares]
    return [
        make_run(0.9, **asdict(experiments.intervention(name).replace(seed=seed)), diagnosis=each)
        for seed, each in zip(SEEDS, passes, strict=True)
    ]


# ---------------------------------------------------------------------------- of made-up runs


@pytest.mark.parametrize(
    "share, words",
    [
        (0.95, "is not needed: .* the rate that failed, 3e-4, ends 5.0 points above the careful one"),
        (0.85, "is needed: .* ends 5.0 points below the careful one"),
        (0.90, "is not needed: .* is not shown to differ from the careful one"),
    ],
)
def test_the_low_rate_is_needed_or_not(make_run: Make, share: float, words: str) -> None:
    runs = by_seed(make_run, CAREFUL) + by_seed(make_run, FROZEN_NORM, share, diagnosis=FAILED)
    assert re.match(rf"\*\*The study's careful rate {words} on test\.\*\* \[Chapter 3\]", findings(runs)[0])


@pytest.mark.parametrize(
    "again, words",
    [
        (0.88, "Most of the failure was one of evaluation: .* restore 100%"),
        (0.40, "Evaluation does not .* only 20%"),
    ],
)
def test_evaluation_explains_the_failure_or_not(make_run: Make, again: float, words: str) -> None:
    failing = made.diagnosed((0.88, 0.88, 0.88), (0.28, again, 0.88), (0.28, again, 0.88))
    told = findings(by_seed(make_run, LOGGED, diagnosis=failing))[1]
    assert re.match(rf"\*\*{words} of the accuracy lost\.\*\*", told)


@pytest.mark.parametrize(
    "logged, frozen, none, words",
    [
        (0.2, 0.88, 0.8, "does not fail in its first two passes: the worst has 80.0% .*, 20.0%"),
        (0.8, 0.88, 0.2, "fares worse in its first two passes: the worst has 20.0% .*, 80.0%"),
        (0.8, 0.88, 0.8, "is not shown to fare better"),
    ],
)
def test_a_head_without_moving_statistics_prevents_it_or_not(
    make_run: Make, logged: float, frozen: float, none: float, words: str
) -> None:
    runs = begun(make_run, "as logged", 0.88, logged, 0.88)
    runs += begun(make_run, "batch norm frozen", 0.88, 0.88, frozen)
    runs += begun(make_run, "no norm", none, 0.88, 0.88)
    assert re.search(f"or removed, the run {words}", findings(runs)[2])


@pytest.mark.parametrize(
    "share, words", [(0.92, "reproduced"), (0.905, "reproduced in part"), (0.5, "not reproduced")]
)
def test_the_claims_that_hold_are_counted(make_run: Make, share: float, words: str) -> None:
    runs = by_seed(make_run, CAREFUL, share)
    verdicts = [row["verdict"] for row in verdict.table(runs)]
    told = f"{words}; of {len(verdicts)} claims {verdicts.count('reproduced')} are reproduced, and"
    assert findings(runs)[4].startswith(f"**The study's best result is {told}")


@pytest.mark.parametrize("share, words", [(0.95, "makes only 50%"), (0.80, "makes 200%")])
def test_the_errors_of_the_best_network_are_fewer_or_more(make_run: Make, share: float, words: str) -> None:
    timed = {"timing_sec": {"total": 3240.0}}
    best = make_run(share, **asdict(BEST), content=timed)
    told = findings([*by_seed(make_run, CAREFUL), best])[5]
    assert f"backbone {words} of the errors" in told and "in 54 minutes without a GPU (one seed).**" in told
    on_gpu = {**timed, "environment": {**made.MACHINE, "accelerator": "some GPU"}}
    again = make_run(share, **asdict(BEST.replace(seed=0)), content=on_gpu)
    told = findings([*by_seed(make_run, CAREFUL), again])[5]
    assert "in 54 minutes on some GPU (one seed).**" in told
    assert "(fastest of two seeds).**" in findings([*by_seed(make_run, CAREFUL), best, again])[5]


@pytest.mark.parametrize("share, words", [(0.92, "reaches the"), (0.91, "does not reach the")])
def test_one_pass_has_the_accuracy_of_the_study_or_not(make_run: Make, share: float, words: str) -> None:
    timed = {"timing_sec": {"total": 97.7}}
    told = findings(by_seed(make_run, QUICKEST, share, content=timed))[6]
    assert f"{words} study's accuracy" in told and "in 98 seconds without a GPU" in told
    assert ("took 937 on a GPU" in told) == (share > 0.9156)


# ---------------------------------------------------------------------------- of committed records


def committed() -> list[Run]:
    return store.read_folder(paths.RESULTS)[0]


def test_a_finding_is_one_short_bold_sentence_and_a_link_to_its_chapter() -> None:
    told = findings(committed(), "notebooks/")
    assert len(told) == len(FINDINGS) == 7
    for text in told:
        ((sentence, chapter, link),) = re.findall(r"^\*\*(.+\.)\*\* \[Chapter (\d+)\]\((.+)\)$", text)
        assert len(sentence.split()) <= MOST_WORDS, sentence
        assert len(re.findall(r"\d[\d.,]*(?:e-?\d+)?", sentence)) <= MOST_NUMBERS, sentence
        assert not re.search(r"[.?!] ", sentence), sentence
        assert (paths.ROOT / link).is_file() and f"/{int(chapter):02d}_" in link


def test_without_records_every_finding_names_the_sweep_that_makes_them() -> None:
    told = findings([])
    assert numbered([]).splitlines() == [f"{number}. {text}" for number, text in enumerate(told, 1)]
    for text in told:
        assert text.startswith("*Not yet run: ")
        sweeps = re.findall(r"`python -m helpers sweep (\S+)`", text)
        assert sweeps and set(sweeps) <= experiments.SWEEPS.keys() | experiments.RECIPES.keys()


def test_a_finding_waits_for_the_diagnosis_that_it_lacks() -> None:
    some = [run for run in committed() if not run.diagnosis]
    lesson, evaluation, prevention, _, held, beyond, quick = findings(some)
    assert "sweep prevented" in lesson and "sweep table" in evaluation and "sweep anatomy" in prevention
    assert held.startswith("**") and beyond.startswith("**") and quick.startswith("**")
