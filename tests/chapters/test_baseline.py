"""Chapter 2 on made-up runs: one seed and several, and what it refuses."""

from collections.abc import Callable
from typing import Any

import pytest
from made import run_without_files

from helpers.analysis import intervals
from helpers.chapters import baseline
from helpers.errors import UserError
from helpers.records.run import Run
from helpers.study import experiments

PARAMETERS: dict[str, Any] = {"dataset": "cifar10", "scale": "full", "stage1_epochs": 10}
OVERFITTED = {"stage1": {"accuracy": [0.8, 0.9, 0.98], "val_accuracy": [0.85, 0.88, 0.87]}}
TWICE = {**OVERFITTED, "stage2": {"accuracy": [0.985, 0.99], "val_accuracy": [0.86, 0.88]}}
STAGED: dict[str, Any] = {
    name: getattr(experiments.BASELINE_TWO_STAGES, name)
    for name in "n_unfreeze head_epochs augmentation optimizer learning_rate batch_size".split()
}
RISING = {"stage1": {"accuracy": [0.8, 0.85, 0.9], "val_accuracy": [0.84, 0.86, 0.88]}}


@pytest.fixture
def ch(make_run: Callable[..., Run]) -> baseline.Baseline:
    for seed, first in zip(experiments.SEEDS[:2], (OVERFITTED, RISING), strict=True):
        make_run(0.87, seed=seed, curves={**TWICE, **first}, **STAGED)
    make_run(0.9, seed=0, n_unfreeze=0, confused={3: 5}, curves=OVERFITTED)
    make_run(0.86, seed=1, n_unfreeze=0, val=0.8)
    return baseline.load(seeds=2, **PARAMETERS)


def test_the_mean_is_over_the_seeds_and_of_a_single_one_its_own(ch: baseline.Baseline) -> None:
    assert ch.row.mean.value == pytest.approx(0.88) and ch.row.mean.seeds == 2
    assert ch.row.spread == pytest.approx(0.04)
    alone = baseline.load(seeds=1, **PARAMETERS)
    assert alone.row.mean == intervals.proportion(0.9, 2000) and alone.row.spread == 0
    assert list(ch.runs) == ["seed 0", "seed 1"] and ch.first is ch.runs["seed 0"]


def test_accuracies_are_of_each_split_with_the_interval_of_its_images(ch: baseline.Baseline) -> None:
    name, val, test = ch.accuracies[1]
    assert (name, val, test) == (
        "seed 1",
        intervals.proportion(0.8, 1000),
        intervals.proportion(0.86, 2000),
    )
    logged = ch.accuracies[2:]
    assert [row[0] for row in logged] == ["the study's run_n0_Adam", "the study's run_aug_custom1"]
    assert str(logged[0][1]) == "87.5% (86.5 to 88.4)"


def test_a_log_is_compared_at_the_end_of_each_of_its_stages(ch: baseline.Baseline) -> None:
    ours, *between, first, second = ch.ends
    assert (ours.name, ours.passes, ours.train, ours.val) == ("seed 42", 3, 0.98, 0.87)
    assert [(end.name, end.passes) for end in between] == [("seed 42", 5), ("seed 0", 3), ("seed 0", 5)]
    assert ch.last_gap == pytest.approx(0.11) and list(ch.compared) == ["here", "the study's log"]
    assert (first.passes, second.passes) == (10, 20) and first.name == second.name == "the study's log"
    assert first.gap == pytest.approx(0.090, abs=1e-3) and second.gap == pytest.approx(0.115, abs=1e-3)


def test_beside_other_images_there_is_no_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baseline.run, "run", run_without_files)
    alone = baseline.load(seeds=1, dataset="miniature", scale="smoke", stage1_epochs=10)
    assert list(alone.compared) == ["here"] and (len(alone.accuracies), len(alone.ends)) == (1, 2)


def test_a_gap_is_told_beside_what_was_lost_and_a_rising_run_lost_nothing(ch: baseline.Baseline) -> None:
    assert ch.gaps == pytest.approx([0.11, 0.02])
    assert ch.losses == pytest.approx([0.01, 0])


@pytest.mark.parametrize("train, verdict", [(0.99, "reproduced"), (0.97, "not reproduced")])
def test_the_claim_is_judged_on_the_runs_with_two_stages(
    train: float, verdict: str, make_run: Callable[..., Run]
) -> None:
    make_run(0.9, seed=0, n_unfreeze=0)
    second = {"accuracy": [0.9, train], "val_accuracy": [0.86, 0.88]}
    make_run(0.87, seed=42, curves={**OVERFITTED, "stage2": second}, **STAGED)
    assert baseline.load(seeds=1, **PARAMETERS).judged == ("over 10 points", verdict)


def test_the_cost_is_told_run_by_run(ch: baseline.Baseline) -> None:
    name, features, head, passes, faster = ch.costs[0]
    assert (name, features, head, passes) == ("seed 0", "100 s", "10 s", 3)
    # Of 51,000 images that were passed, 45,000 are the training set's; three passes of 10 s in all.
    assert float(faster) == pytest.approx(3 * 100 * 45000 / 51000 / 110, abs=0.05)


@pytest.mark.parametrize("name", ["seeds", "stage1_epochs"])
def test_nothing_to_show_is_refused_before_anything_trains(name: str) -> None:
    with pytest.raises(UserError, match=rf"{name}=0 is outside what this chapter can show: 1 or more"):
        baseline.load(**{"seeds": 2, **PARAMETERS, name: 0})
