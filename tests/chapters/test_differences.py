"""What differs from the study: measured where its runs are there, else with the command that makes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import pytest

from helpers.chapters import differences
from helpers.records.run import Run
from helpers.study import experiments

Make = Callable[..., Run]


def found(*runs: Run) -> dict[str, tuple[str, ...]]:
    return {name: cells for name, *cells in differences.table(runs)}  # type: ignore[misc]


def test_without_the_best_network_there_is_nothing_to_compare() -> None:
    assert differences.table([]) == []


def test_what_was_not_run_is_named_with_its_command(make_run: Make) -> None:
    lines = found(make_run(0.92))
    assert lines["dropout"][-1] == "not run yet: `python -m helpers run --dropout 0.4 --scale full`"
    assert "sweep new-views" in lines["augmented views"][-1]
    assert "sweep baseline-stages" in lines["the baseline's second stage"][-1]
    assert lines["ImageNet weights"][1:] == ["checksum wwwwwwww…", differences.UNTESTABLE]


def test_what_was_run_is_measured(make_run: Make) -> None:
    runs = [make_run(0.92), make_run(0.90, dropout=0.4)]
    runs += [make_run(0.93, **asdict(experiments.NEW_VIEWS))]
    lines = found(*runs)
    assert lines["dropout"][-1].startswith("the study's way: -2.0 points (")
    assert "+1.0 points (" in lines["augmented views"][-1]


@pytest.mark.parametrize(
    "passes, said", [(28, "as many"), (30, "more passes here"), (3, "fewer passes here")]
)
def test_the_passes_are_compared(make_run: Make, passes: int, said: str) -> None:
    line = found(make_run(0.92, curves={"stage2": {"loss": [1.0] * passes}}))["passes"]
    assert line == ["55 logged, 28 real", f"at most {passes}", said]


@pytest.mark.parametrize("last, same", [(0.95, "0 of 1"), (0.7, "1 of 1")])
def test_the_studys_patience_keeps_the_same_weights_or_not(make_run: Make, last: float, same: str) -> None:
    shares = [0.9, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, last]
    line = found(make_run(0.92, curves={"stage2": {"val_accuracy": shares}}))["patience"]
    assert line[:2] == ["5 passes, and the rate halves twice as soon", "10 passes"]
    assert line[2].startswith(f"keeps the same weights in {same} seeds")
