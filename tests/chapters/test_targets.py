"""The table of aims from made-up runs: what is reached, what is missed and why, on both sides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import made
import pytest

from helpers.analysis import speed
from helpers.analysis.frontier import Frontier, frontier
from helpers.chapters import targets
from helpers.records.run import Run
from helpers.study.experiments import BEST, FAST, IN_STUDY_TIME, SEEDS

Make = Callable[..., Run]
BENCH = speed.read()


@pytest.fixture
def found(make_run: Make) -> Frontier:
    """Two recipes: 90% in 400 s, and 95% in 900 s."""
    parts = {"feature_extract": 100.0, "top_train": 10.0, "end2end": 240.0, "total": 400.0}
    quick = make_run(0.9, content={"timing_sec": parts}, **asdict(FAST))
    slow = make_run(0.95, content={"timing_sec": {**parts, "total": 900.0}}, **asdict(IN_STUDY_TIME))
    return frontier([quick, slow], quick, BENCH)


def test_a_time_is_reached_or_says_what_there_is_by_then_and_where_it_goes(found: Frontier) -> None:
    *reached, why = targets.time(found, 0.9, 400)
    assert reached[:2] == ["90.00% on test", "400 s"] and why == "–"
    assert reached[2].startswith("400 s, 90.0% (") and reached[2].endswith(": reached")
    late = targets.time(found, 0.9, 399)
    assert late[2].endswith(": missed")
    assert late[3] == "no recipe ends by then; the frozen part takes 100 s, training 250 s, the rest 50 s"
    assert targets.time(found, 0.95, 600)[3].startswith("by then 90.0%; ")
    assert targets.time(found, 0.96, 600)[2:] == ("by no recipe: missed", "the best is at 95.0%")


def best(make_run: Make, tests: tuple[float, ...], training: float = 0.999, **more: Any) -> list[Run]:
    curves = {"stage2": made.curve(1e-4, accuracy=[0.9, training])}
    return [
        make_run(test, curves=curves, **asdict(BEST.replace(seed=seed)), **more)
        for seed, test in zip(SEEDS, tests, strict=False)
    ]


def test_an_accuracy_takes_the_mean_of_all_seeds(make_run: Make) -> None:
    reached = targets.accuracy("it", best(make_run, (0.95, 0.96, 0.97)), 0.96)
    assert reached[1] == "96.0%, 3 seeds" and reached[2].endswith("3 seeds): reached") and reached[3] == "–"
    few = targets.accuracy("it", best(make_run, (0.95, 0.98)), 0.96)
    assert few[2].endswith("2 seeds): missed") and few[3].endswith("; 1 of 3 seeds are missing")
    low = targets.accuracy("it", best(make_run, (0.95, 0.95, 0.95)), 0.96)
    assert low[3] == "-1.0 points; training ends at 99.9%, so more passes have little left to fit"
    assert (
        "98.0%, so more passes have something"
        in targets.accuracy("it", best(make_run, (0.9,), 0.98), 0.96)[3]
    )
    assert targets.accuracy("it", [], 0.96) == ("it", "96.0%, 3 seeds", "not yet run", "–")


def test_the_flip_is_averaged_in_where_it_is_asked_for(make_run: Make) -> None:
    runs = best(make_run, (0.9,), flipped=0.8)
    plain, flip = (targets.accuracy("it", runs, 0.96, view)[2] for view in ("plain", "tta"))
    assert plain.startswith("90.0%") and not flip.startswith("90.0%")


def test_speeds_and_memory_are_those_of_the_bench() -> None:
    spent = {"resizing": 0.1, "depthwise convolution": 0.25}
    bench = replace(BENCH, peak_gflops=200.0, features_gflops=100.0, ours_memory_gb=2.5, profile=spent)
    bench = replace(bench, whole_million=100.0, depthwise_million=5.0)
    for name in ("sweep", "sweep_float32", "features", "epoch"):
        bench = replace(bench, **{name: replace(getattr(bench, name), ratio=2.0)})
    bench = replace(bench, sweep=replace(bench.sweep, ours_seconds=[10.0, 10.0], storing_seconds=5.0))
    assert [line[2:] for line in targets.bench(bench, 2, 2, 2.5)] == [
        ("2.0 times: reached", "–"),
        ("2.0 times: reached", "–"),
        ("2.5 GB: reached", "–"),
    ]
    assert [line[1:] for line in targets.bench(bench, 5, 3, 2)] == [
        (
            "5 times",
            "2.0 times: missed",
            "storing takes 25% of ours, the rest is training; with ours in float32, too, 2.0 times",
        ),
        (
            "3 times",
            "2.0 times: missed",
            "ours runs at 50% of the machine's peak, the aim takes 75%; resizing takes 10% of the time, "
            "and depthwise convolutions 25% for 5% of the arithmetic",
        ),
        ("2 GB", "2.5 GB: missed", "0.5 GB more"),
    ]
