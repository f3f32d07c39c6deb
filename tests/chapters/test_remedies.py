"""What mends the failing run, from made-up whole runs: what each rule says on both of its sides."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import made
import pytest

from helpers.chapters import remedies
from helpers.chapters.beginnings import Beginnings
from helpers.chapters.forgetting import CAREFUL, CAREFUL_FROZEN, FROZEN, LOGGED, UNTUNED, Failure, Whole
from helpers.chapters.remedies import ADDED, AT_RATES, LATE, MOVING, RENEWED, Remedies
from helpers.records.run import Run
from helpers.study import experiments

START = (0.87, 0.88, 0.88)
Make = Callable[..., Run]
EXPERIMENTS = {
    **ADDED,
    **AT_RATES,
    **MOVING,
    UNTUNED: experiments.BASELINE,
    CAREFUL: experiments.CAREFUL,
    CAREFUL_FROZEN: experiments.CAREFUL.replace(head_norm="frozen"),
    LOGGED: experiments.LOGGED,
    FROZEN: experiments.FROZEN_NORM,
}


def failing(runs: Mapping[str, Mapping[int, Run]]) -> Failure:
    """Chapter 3's runs with these whole ones alone."""
    whole = {way: {seed: Whole(run) for seed, run in runs.get(way, {}).items()} for way in EXPERIMENTS}
    return Failure(42, whole, Beginnings({}, {}), made.published_log("run_full_tune"))


def test_what_was_run_is_told_by_way_and_compared_with_the_run_as_logged(make_run: Make) -> None:
    first = whole(make_run, LOGGED, 0.8, ends=(0.3, 0.9))
    second = whole(make_run, LOGGED, 0.7, ends=(0.5, 0.85), seed=0)
    mended = whole(make_run, FROZEN, 0.9, ends=(0.87, 0.89))
    late = whole(make_run, LATE, 0.85, ends=(0.5, 0.89))
    whole(make_run, "statistics moving, scale frozen", 0.8, ends=None)
    whole(make_run, "norm frozen, 1e-3", 0.8, ends=(0.5, 0.9))
    given = {"seed": 42, "dataset": "cifar10", "scale": "full"}
    known = failing({LOGGED: {42: first, 0: second}, FROZEN: {42: mended}})
    failure = remedies.added(known, learning_rate=3e-4, optimizer="adamw", **given)
    # One without a diagnosis is no run.
    assert {way for way, runs in failure.whole.items() if runs} == {LOGGED, LATE, FROZEN, "norm frozen, 1e-3"}
    assert {first.path, late.path} < {run.path for run in failure.records}
    logged, frozen_late, frozen = Remedies(failure).rows
    assert frozen_late[:2] == (LATE, [42])
    assert logged[:2] == (LOGGED, [42, 0]) and logged[3:] == (["60.0", "35.0"], [0.8, 0.7], "–")
    assert logged[2] == pytest.approx([0.88, 0.85])
    assert frozen[:2] == (FROZEN, [42]) and frozen[-1].value == pytest.approx(0.1)


def whole(
    make: Make, way: str, test: float, *, ends: tuple[float, float] | None, seed: int = 42, val: float = 0.9
) -> Run:
    """A run of two passes, the second as good as the start; ends: moving and re-estimated after the first."""
    changes = dict(EXPERIMENTS[way].changes) | {"seed": seed}
    after = (*ends, 0.9) if ends else START
    return make(test, val=val, diagnosis=made.diagnosed(START, after, START) if ends else [], **changes)


@pytest.mark.parametrize(
    ("renewed", "frozen", "said"),
    [
        (0.9, 0.9, "evaluation"),
        (0.8, 0.9, "training"),
        (0.85, 0.9, "evaluation and training"),
        (0.8, 0.8, "neither"),
    ],
)
def test_the_gain_of_a_frozen_norm_is_evaluation_or_training(
    make_run: Make, renewed: float, frozen: float, said: str
) -> None:
    tests = {LOGGED: 0.8, RENEWED: renewed, FROZEN: frozen}
    runs = {way: {42: whole(make_run, way, test, ends=(0.5, 0.9))} for way, test in tests.items()}
    ch = Remedies(failing(runs))
    assert ch.gain_is == said
    assert ch.evaluation and ch.evaluation.value == pytest.approx(renewed - 0.8)
    assert ch.training and ch.training.value == pytest.approx(frozen - renewed)


def test_what_was_not_run_is_not_judged() -> None:
    ch = Remedies(failing({}))
    assert (ch.evaluation, ch.training, ch.gain_is) == (None, None, "neither")
    assert ch.tried == [] and ch.rows == [] and ch.halves == []


@pytest.mark.parametrize(("lowest", "prevents"), [(0.885, True), (0.87, False)])
def test_a_half_of_freezing_prevents_the_failure_or_not(
    make_run: Make, lowest: float, prevents: bool
) -> None:
    """Every pass of every seed counts."""
    name = "statistics frozen, scale trained"
    half = {42: whole(make_run, name, 0.85, ends=(0.9, 0.9))}
    half[0] = whole(make_run, name, 0.85, ends=(lowest, 0.9), seed=0)
    frozen = {seed: whole(make_run, FROZEN, 0.9, ends=(0.9, 0.9), seed=seed) for seed in half}
    assert Remedies(failing({name: half})).halves == []
    assert Remedies(failing({FROZEN: half})).freezing_prevents is prevents
    (found,) = Remedies(failing({name: half, FROZEN: frozen})).halves
    assert (found.name, found.prevents) == (name, prevents)
    assert found.hidden == pytest.approx(0.9 - lowest) and found.rest.value == pytest.approx(0.05)
    other = {42: whole(make_run, "statistics moving, scale frozen", 0.85, ends=(0.5, 0.9))}
    both = Remedies(failing({name: half, "statistics moving, scale frozen": other, FROZEN: frozen}))
    assert both.hides_less == name and Remedies(failing({name: half, FROZEN: frozen})).hides_less == ""


def test_a_rate_is_better_than_the_careful_one_or_fails_by_the_rule(make_run: Make) -> None:
    tests = {UNTUNED: 0.85, CAREFUL: 0.9, CAREFUL_FROZEN: 0.9, FROZEN: 0.95, **dict.fromkeys(AT_RATES, 0.88)}
    runs = {way: {42: whole(make_run, way, test, ends=(0.5, 0.9))} for way, test in tests.items()}
    runs["norm frozen, 1e-3"] = {42: whole(make_run, "norm frozen, 1e-3", 0.84, ends=(0.5, 0.9))}
    remedies = Remedies(failing(runs))
    rows = remedies.by_rate
    assert [row[0] for row in rows] == ["1e-5", "1e-4", "3e-4", "1e-3"]
    assert [row[-1] for row in rows] == ["not shown to differ", "worse", "better", "fails"]
    assert rows[2][1:3] == ([42], [0.95]) and rows[2][3].value == pytest.approx(0.05)
    assert [row[4] for row in rows[1:]] == ["–", "–", "–"] and remedies.freezing_costs == "none"
    assert remedies.rates_that("better") == "3e-4" and remedies.rates_that("fails") == "1e-3"
    bare = Remedies(failing({way: runs[way] for way in (UNTUNED, CAREFUL)}))
    assert bare.by_rate == [] and bare.rates_that("fails") == "none"


def test_freezing_costs_where_the_norm_that_moves_ends_higher(make_run: Make) -> None:
    tests = {UNTUNED: 0.85, CAREFUL: 0.9, LOGGED: 0.9, FROZEN: 0.95, "norm frozen, 1e-4": 0.92}
    runs = {way: {42: whole(make_run, way, test, ends=(0.5, 0.9))} for way, test in tests.items()}
    make_run(0.94, **EXPERIMENTS["norm moving, 1e-4"].changes)
    given = {"seed": 42, "dataset": "cifar10", "scale": "full"}
    found = remedies.added(failing(runs), learning_rate=3e-4, optimizer="adamw", **given)
    rows = Remedies(found).by_rate
    assert [(row[0], row[4].value) for row in rows] == [
        ("1e-4", pytest.approx(-0.02)),
        ("3e-4", pytest.approx(0.05)),
    ]
    assert Remedies(found).freezing_costs == "1e-4"


@pytest.mark.parametrize(("late", "enough"), [(0.9, "yes"), (0.88, "no")])
def test_the_cheapest_remedy_that_is_enough_lies_near_the_dearest(
    make_run: Make, late: float, enough: str
) -> None:
    runs = {way: {42: whole(make_run, way, 0.9, ends=(0.5, 0.9))} for way in (RENEWED, LOGGED)}
    runs[LATE] = {42: whole(make_run, LATE, 0.9, ends=(0.5, 0.9), val=late), 0: runs[LOGGED][42]}
    once, frozen_late, renewed = Remedies(failing(runs)).tried
    assert once == ("re-estimated once, at the end", [42], 0.88, "-2.0 points", "no")
    assert frozen_late[:2] == (LATE, [42]) and frozen_late[-1] == enough
    assert renewed == (RENEWED, [42], 0.9, "–", "–")
