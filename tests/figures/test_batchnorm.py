"""Figures of diagnosed runs: each says in words what it shows, with the numbers of the diagnosis."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from made import curve, diagnosed, followed, run_without_files

from helpers import figures
from helpers.analysis import averages, batchnorm
from helpers.experiment import Experiment
from helpers.figures.style import Figure
from helpers.records.run import RecordError, Run


def run_of(moving: float, other: float = 0.88, norm: bool = True, **fields: Any) -> Run:
    """A diagnosed run of two epochs that starts at 87% and ends as stated."""
    passes = [(0.87, 0.87), (0.8, 0.88), (moving, other)]
    return run_without_files(
        Experiment(learning_rate=3e-4, epochs=2, **fields),
        diagnosis=diagnosed(*((seen, able if norm else None, able) for seen, able in passes)),
        class_counts={"val": [500] * 10, "test": [1000] * 10},
        name="a-record",
    )


def averaged(lost: dict[int, float], moved: dict[int, float], seed: int = 42) -> Run:
    """A run whose averages lose as much, by memory, while the features move as far, by lag."""
    passes = [each | followed(lost, moved) for each in diagnosed(*[(0.87, 0.88, 0.88)] * 4)]
    return run_without_files(Experiment(learning_rate=3e-4, seed=seed), diagnosis=passes)


AT_REST, MOVING_ON = {1: 0.1, 100: 0.5, 1000: 0.7}, {1: 0.1, 100: 0.5, 1000: 0.75}
LAGS = averaged({10: 0.02, 100: 0.2, 1000: 0.4}, MOVING_ON)
SWINGS = averaged({10: 0.02, 100: 0.2, 1000: 0.18}, AT_REST, seed=0)
FAILED = run_of(0.62)
GROUPS = {
    "as logged": [FAILED, run_of(0.66, seed=0), run_of(0.64, seed=1)],
    "no norm": [run_of(0.89, norm=False)],
}
RATES = {1e-5: [run_of(0.89)], 3e-4: [FAILED, run_of(0.66, seed=0)], 3e-3: [run_of(0.1, 0.12)]}
FIGURES: dict[str, tuple[Callable[[], Figure], list[str]]] = {
    "statistics gap": (
        lambda: figures.statistics_gap({"seed 42": FAILED, "seed 0": run_of(0.66, seed=0)}),
        [
            "At 3e-4 evaluation loses 14 to 16 points; re-estimated, the same weights lose none on average",
            "averages 16.0, 14.0 points below its start, re-estimated (seed 42, seed 0)",
        ],
    ),
    "statistics gap, weights that suffer a little": (
        lambda: figures.statistics_gap({"seed 42": run_of(0.2, 0.8)}),
        ["Most of the collapse was evaluation: re-estimated, the same weights restore 92%"],
    ),
    "statistics gap, weights that are worse": (
        lambda: figures.statistics_gap({"seed 42": run_of(0.2, 0.3)}),
        ["Re-estimated statistics restore 24% of the accuracy lost"],
    ),
    "statistics gap, where nothing was lost": (
        lambda: figures.statistics_gap({"seed 42": run_of(0.95, 0.95)}),
        ["At 3e-4 accuracy does not lie below its start on average in every run"],
    ),
    "by half": (
        lambda: figures.accuracy_by_half({"seed 42": FAILED}),
        ["In the lowest epoch new means alone give 88.0%", "seed 42, epoch 2: both new 88.0%"],
    ),
    "interventions": (
        lambda: figures.interventions(GROUPS),
        [
            "hides up to 26.0 points (as logged).",
            "as logged 62.0%, 66.0%, 64.0%, re-estimated 88.0%",
            "no norm 89.0%",
        ],
    ),
    "interventions, one of which helps": (
        lambda: figures.interventions({**GROUPS, "frozen": [run_of(0.89)]}),
        ["hides up to 26.0 points (as logged), and at most 0.0 (frozen)"],
    ),
    "by rate": (
        lambda: figures.accuracy_by_rate(RATES),
        [
            "At 3e-4 evaluation hides 22 to 26 points",
            "3e-4: 62.0%, 66.0% as evaluated, 88.0%, 88.0% re-estimated",
        ],
    ),
    "active channels": (
        lambda: figures.active_channels({"failed": [FAILED, run_of(0.6, 0.44, seed=0)]}),
        ["Of 870 channels 440 to 880 still vary", "a line a seed", "failed 440 to 880"],
    ),
    "active channels, by norm": (
        lambda: figures.active_channels(
            {"failed": [FAILED], "no norm": [run_of(0.89, norm=False, head_norm="none")]}
        ),
        ["at most 880 of 870 channels still vary where the head's", "elsewhere at least 890"],
    ),
    "active channels, none": (
        lambda: figures.active_channels({"destroyed": [run_of(0.1, 0.0)]}),
        ["destroyed 0"],
    ),
    "lag": (
        lambda: figures.lag_or_swing({"seed 42": LAGS}),
        ["The averages lag", "20.0 (100), 40.0 (1,000)", "0.50 (100), 0.75 (1,000)"],
    ),
    "swing": (lambda: figures.lag_or_swing({"seed 0": SWINGS}), ["The features swing"]),
    "neither": (
        lambda: figures.lag_or_swing({"seed 1": averaged({10: 0.1, 100: 0.3, 1000: 0.2}, MOVING_ON)}),
        ["neither lag nor swing: the features move on, and of averages up to 1,000 steps those over 100"],
    ),
    "lag or swing": (
        lambda: figures.lag_or_swing({"seed 42": LAGS, "seed 0": SWINGS}),
        ["The runs do not agree on lag or swing"],
    ),
    "weight drift": (lambda: figures.weight_drift({"failed": FAILED}), ["out_relu", "failed 0.75"]),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_says_what_it_shows(name: str) -> None:
    draw, numbers = FIGURES[name]
    figure = draw()
    assert figure.get_suptitle().replace("\n", " ") in figure.alt_text
    assert all(number in figure.alt_text for number in numbers), figure.alt_text
    assert all(axes.get_ylabel() or axes.get_yticklabels() for axes in figure.axes)
    assert figure.axes[-1].get_xlabel() or figure.axes[-1].get_xticklabels()


def test_every_mark_has_its_interval() -> None:
    """Wilson's for a run; three seeds of five marks each are two errorbars each, and one run has one."""
    (axes,) = figures.interventions(GROUPS).axes
    assert len(axes.containers) == 2 * 3 + 1


def test_a_rate_shows_a_mark_for_every_seed() -> None:
    """Means of seeds that fail differently would hide how differently they fail."""
    (axes,) = figures.accuracy_by_rate(RATES).axes
    moving = axes.lines[0]
    assert np.array_equal(moving.get_ydata(), [0.89, 0.62, 0.66, 0.1]) and moving.get_linestyle() == "None"


def test_the_key_figure_says_what_its_lines_are_and_draws_halvings_and_chance() -> None:
    halved = dataclasses.replace(FAILED, curves={"stage2": curve(3e-4, learning_rate=[3e-4, 1.5e-4])})
    axes, other = figures.statistics_gap({"seed 42": halved, "seed 0": FAILED}).axes
    said = {text.get_text() for text in axes.texts}
    assert {"statistics re-estimated", "rate halved", "chance", "as evaluated"} <= said
    assert [len(each.collections[1].get_paths()) for each in (axes, other)] == [1, 0]
    assert any(np.array_equal(line.get_ydata(), [0.1, 0.1]) for line in axes.lines)


def test_accuracy_is_that_of_the_epoch_images_and_statistics() -> None:
    assert batchnorm.accuracy(FAILED).value == 0.62
    assert batchnorm.accuracy(FAILED, epoch=0).value == 0.87
    assert batchnorm.accuracy(FAILED, "val_augmented", "clean", 1).value == pytest.approx(0.83)
    assert batchnorm.accuracy(FAILED, statistics="probe").value == 0.88
    interval = batchnorm.accuracy(FAILED)
    assert interval.low < 0.62 < interval.high
    assert interval.n == 5000


def test_several_runs_are_given_one_by_one_and_a_single_one_with_its_interval() -> None:
    assert batchnorm.Repeats(GROUPS["as logged"]).described() == "62.0%, 66.0%, 64.0%"
    assert batchnorm.Repeats([FAILED]).described() == str(batchnorm.accuracy(FAILED))
    assert batchnorm.Repeats(GROUPS["as logged"]).described("clean") == "88.0%, 88.0%, 88.0%"
    assert batchnorm.Repeats(GROUPS["no norm"]).described("clean") == "–"
    assert batchnorm.mean(GROUPS["as logged"]) == pytest.approx(0.64)


def test_a_run_is_compared_with_its_own_start() -> None:
    """87% before; each with its interval of 5,000 images, which is about a point either way."""
    ends = {0.62: "worse", 0.875: "not clearly different", 0.9: "better"}
    assert {value: batchnorm.since_start(run_of(value)) for value in ends} == ends
    assert batchnorm.since_start(FAILED, "clean") == "not clearly different"


def test_the_statistics_gap_is_what_new_statistics_add() -> None:
    assert batchnorm.statistics_gap(FAILED) == pytest.approx(0.26)
    assert batchnorm.statistics_gap(GROUPS["no norm"][0]) == 0.0


def test_the_recovered_fraction_is_a_part_of_what_all_new_statistics_give_back() -> None:
    assert batchnorm.recovered_fraction(FAILED, "clean") == 1.0
    half = {**FAILED.diagnosis[-1].accuracy["val"], "means": (0.62 + 0.88) / 2}
    last = dataclasses.replace(FAILED.diagnosis[-1], accuracy={"val": half})
    run = dataclasses.replace(FAILED, diagnosis=[last])
    assert batchnorm.recovered_fraction(run, "means") == pytest.approx(0.5)
    assert batchnorm.recovered_fraction(run_of(0.9, 0.9), "clean") == 0.0


def test_a_run_that_was_not_diagnosed_is_refused() -> None:
    with pytest.raises(ValueError, match="a-record.*json holds no diagnosis.*diagnosed=True"):
        batchnorm.accuracy(dataclasses.replace(FAILED, diagnosis=[]))


def test_the_statistics_gap_is_that_of_an_epoch() -> None:
    assert batchnorm.statistics_gap(FAILED, 1) == pytest.approx(0.08)
    assert batchnorm.statistics_gap(FAILED) == pytest.approx(0.26)
    assert batchnorm.recovered_fraction(FAILED, "batch", 1) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("lost", "moved", "expected"),
    [
        ({10: 0.1, 100: 0.2, 1000: 0.21}, MOVING_ON, "lag"),
        ({10: 0.1, 100: 0.2, 1000: 0.19}, MOVING_ON, "neither"),  # they move on, and yet the long ones fit
        ({10: 0.1, 100: 0.2, 1000: 0.21}, AT_REST, "neither"),
        ({10: 0.1, 100: 0.2, 1000: 0.18}, AT_REST, "swing"),
        ({10: 0.1, 100: 0.2, 1000: 0.195}, AT_REST, "neither"),  # by less than a point
    ],
)
def test_lag_is_told_from_swing_by_the_rule(
    lost: dict[int, float], moved: dict[int, float], expected: str
) -> None:
    assert averages.reading(averaged(lost, moved)) == expected


def test_the_first_pass_does_not_count_and_what_followed_nothing_is_refused() -> None:
    passes = diagnosed(*[(0.87, 0.88, 0.88)] * 3)
    first, last = followed({100: 0.9, 1000: 0.9}, MOVING_ON), followed({100: 0.1, 1000: 0.2}, MOVING_ON)
    found = [passes[0], passes[1] | first, passes[2] | last]
    run = run_without_files(Experiment(), diagnosis=found)
    assert averages.lost(run) == pytest.approx({100: 0.1, 1000: 0.2})
    assert averages.enough_images([run]) == 1024  # 64 are ten points below
    with pytest.raises(RecordError, match='followed no averages.*diagnosed="steps"'):
        averages.lost(FAILED)
