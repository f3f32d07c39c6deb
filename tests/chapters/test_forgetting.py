"""Chapter 3's facts on made-up runs: every one that decides a sentence, both ways."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import made
import pytest

from helpers.analysis import batchnorm, groups
from helpers.analysis.batchnorm import Repeats
from helpers.chapters import forgetting
from helpers.chapters.batchnorm import Anatomy
from helpers.chapters.beginnings import Beginnings
from helpers.chapters.forgetting import Failure, Whole
from helpers.experiment import ExperimentError
from helpers.records.run import Run
from helpers.study import experiments

START = (0.87, 0.87, 0.84)
Make = Callable[..., Run]


def begun(*passes: tuple[float, float | None, float], **fields: Any) -> Run:
    """A diagnosed run without files; head_norm and seed among its fields."""
    experiment = made.Experiment(learning_rate=3e-4, epochs=2, **fields)
    return made.run_without_files(experiment, diagnosis=made.diagnosed(START, *passes))


def beginnings(changed: Mapping[str, Sequence[Run]], rates: Mapping[float, Sequence[Run]] = {}) -> Beginnings:
    return Beginnings(
        {name: Repeats(runs) for name, runs in changed.items()},
        {rate: Repeats(runs) for rate, runs in rates.items()},
    )


FAILS = begun((0.5, 0.88, 0.9), (0.2, 0.88, 0.9))
HARMED = begun((0.5, 0.5, 0.5), (0.2, 0.2, 0.2), optimizer="sgd")
FROZEN = begun((0.87, 0.88, 0.9), (0.88, 0.89, 0.9), head_norm="frozen")
NONE = begun((0.87, None, 0.9), (0.88, None, 0.9), head_norm="none")


# One run, epoch by epoch ---------------------------------------------------------------------------


def test_a_runs_lowest_epochs_are_looked_for_after_the_start_and_of_equals_the_first_counts() -> None:
    course = batchnorm.course(begun((0.1, 0.8, 0.83), (0.3, 0.6, 0.9), (0.1, 0.9, 0.7)))
    lowest = [course.lowest_epoch(by) for by in ("moving", "reestimated", "probe")]
    assert [each.epoch for each in lowest] == [1, 2, 3]
    assert lowest[0].statistics_gap == pytest.approx(0.7) and course.largest_gap == pytest.approx(0.8)
    assert (course.start.epoch, course.end.epoch) == (0, 3)


@pytest.mark.parametrize(("probe", "forgot"), [(0.7, True), (0.84, False), (0.83, False), (0.95, False)])
def test_a_run_forgot_where_its_probe_fell_clearly_below_the_start(probe: float, forgot: bool) -> None:
    counts = {"val": [500] * 10, "test": [1000] * 10}
    run = begun((0.1, 0.8, 0.96), (0.1, 0.8, probe))
    assert batchnorm.course(Run(**{**vars(run), "class_counts": counts})).probe_fell is forgot


def test_a_head_without_batch_norm_hides_nothing_and_has_no_halves() -> None:
    assert batchnorm.course(NONE).largest_gap == 0.0
    assert batchnorm.halves(NONE) == [] and len(batchnorm.halves(FAILS)) == 4


def test_runs_that_got_worse_are_counted() -> None:
    assert Repeats([FAILS, HARMED]).change() == "worse (all 2)"


@pytest.mark.parametrize(
    ("losses", "patience", "stop"),
    [
        ([3.0, 2.0, 2.5, 2.4, 1.0], 2, (4, 2)),
        ([3.0, 2.0, 2.5, 2.4, 1.0], 3, (5, 5)),
        ([2.0, 2.0, 2.0], 2, (3, 1)),
        ([3.0, 2.0, 1.0], 1, (3, 3)),
    ],
)
def test_early_stopping_waits_for_a_lower_loss(losses: list[float], patience: int, stop: tuple) -> None:
    assert groups.early_stop(losses, patience) == stop


@pytest.mark.parametrize(
    ("passes", "lost", "restored", "fraction"),
    [
        (((0.47, 0.87, 0.9), (0.67, 0.77, 0.9), (0.9, 0.9, 0.9)), 0.3, 0.25, 5 / 6),
        (((0.9, 0.92, 0.9), (0.9, 0.92, 0.9), (0.1, 0.9, 0.9)), -0.03, 0.02, 0.0),
    ],
)
def test_what_is_restored_is_a_mean_over_every_pass_at_the_first_rate(
    passes: tuple, lost: float, restored: float, fraction: float
) -> None:
    """The third pass has another rate and does not count; a run that loses nothing has nothing to restore."""
    experiment = made.Experiment(learning_rate=3e-4, epochs=3)
    curves = {"stage2": made.curve(3e-4, learning_rate=[3e-4, 3e-4, 1.5e-4])}
    run = made.run_without_files(experiment, diagnosis=made.diagnosed(START, *passes), curves=curves)
    found = batchnorm.restored_over_failing_passes(run)
    assert (found.lost, found.restored) == pytest.approx((lost, restored))
    assert found.fraction == pytest.approx(fraction)


# The beginning, repeated ---------------------------------------------------------------------------


def with_halves(moving: float, means: float, variances: float, **fields: Any) -> Run:
    """A run that ends with these accuracies by half."""
    experiment = made.Experiment(learning_rate=3e-4, epochs=1, **fields)
    start, end = made.diagnosed(START, (moving, 0.9, 0.9))
    val = {**end["accuracy"]["val"], "means": means, "variances": variances}
    end = {**end, "accuracy": {"val": val}}
    return made.run_without_files(experiment, diagnosis=[start, end])


def test_what_each_half_adds_is_told_by_repetition() -> None:
    runs = [with_halves(0.2, 0.8, variances, seed=seed) for seed, variances in enumerate((0.5, 0.1))]
    found = beginnings({"as logged": runs})
    assert found.added("variances") == pytest.approx([30, -10])
    assert found.added("means") == pytest.approx([60, 60])
    assert found.recovered == pytest.approx([6 / 7, 6 / 7])


def test_what_was_not_run_is_named() -> None:
    found = beginnings({"as logged": [FAILS], "batch norm frozen": [FROZEN], "no norm": [NONE]})
    assert found.described("layer norm") == "(not run here)"
    assert list(found.only(["no norm", "layer norm", "as logged"])) == ["no norm", "as logged"]
    assert found.active_where(moving=True) == [880] and found.active_where(moving=False) == [890, 880]
    assert (found.epochs, found.active_before) == (2, 870)


def test_rates_are_told_from_the_lowest_to_the_highest() -> None:
    low = made.run_without_files(
        made.Experiment(learning_rate=1e-5), diagnosis=made.diagnosed(START, (0.9, 0.9, 0.9))
    )
    found = beginnings({"as logged": [FAILS]}, {1e-5: [low], 3e-4: [FAILS]})
    assert list(found.three_rates(42)) == ["1e-5", "3e-4"] and found.three_rates(7) == {}
    assert [line[:4] for line in found.by_rate] == [
        ("1e-5", "not clearly different", "not clearly different", "better"),
        ("3e-4", "worse", "not clearly different", "better"),
    ]


# Whole runs ----------------------------------------------------------------------------------------


def whole(make: Make, seed: int = 42, accuracies: Sequence[float] = (0.3, 0.5), **changes: Any) -> Whole:
    """A failing run that halves its rate after the first epoch."""
    rates = [3e-4] + [1.5e-4] * (len(accuracies) - 1)
    curves = {"stage2": {"val_accuracy": accuracies, "learning_rate": rates}}
    passes = made.diagnosed(START, *((each, 0.9, 0.9) for each in accuracies))
    given = {"test": 0.8, "curves": curves, "diagnosis": passes, "learning_rate": 3e-4} | changes
    return Whole(make(seed=seed, **given))


def failure(
    make: Make, logged: Mapping[int, Whole], frozen: Mapping[int, Whole] = {}, careful: float = 0.9
) -> Failure:
    """The runs as logged, of which the first is the one as published, beside careful and untuned ones."""
    beside = {
        way: {seed: Whole(make(test, seed=seed, learning_rate=rate)) for seed in logged}
        for way, test, rate in (("careful fine-tune", careful, 1e-5), ("frozen network", 0.85, 1e-6))
    }
    ways = {"as logged": logged, "as published": {42: logged[42]}, "norm frozen": frozen, **beside}
    ways["careful fine-tune, norm frozen"] = {seed: beside["careful fine-tune"][seed] for seed in frozen}
    log = made.published_log("run_full_tune")
    return Failure(42, ways, beginnings({"as logged": [FAILS]}), log)


def test_every_seed_has_its_share_in_what_was_lost_and_restored(make_run: Make) -> None:
    ch = failure(make_run, {42: whole(make_run), 0: whole(make_run, 0, (0.47, 0.6))})
    assert ch.losses == pytest.approx([57, 40]) and ch.fractions == pytest.approx([60 / 57, 43 / 40])
    assert [line[:5] for line in ch.falls] == [(42, 1, "57.0", "60.0", 1), (0, 1, "40.0", "43.0", 1)]
    assert list(ch.by_seed) == ["seed 42", "seed 0"] and ch.seeds("as logged") == "42, 0"


def test_an_end_is_compared_with_the_untuned_and_the_careful(make_run: Make) -> None:
    ch = failure(make_run, {42: whole(make_run), 0: whole(make_run, 0)})
    assert [line[0] for line in ch.ends] == [
        "frozen network",
        "careful fine-tune",
        "as logged",
        "as published",
    ]
    assert ch.gain("as logged").value == pytest.approx(-0.1) and ch.gain("as logged").seeds == 2
    assert ch.gain("careful fine-tune", "frozen network").value == pytest.approx(0.05)
    frozen = failure(make_run, {42: whole(make_run)}, {42: whole(make_run)})
    assert [line[0] for line in frozen.ends][2::3] == ["careful fine-tune, norm frozen", "norm frozen"]


def test_the_ends_are_those_of_the_seeds_of_the_run_as_logged(make_run: Make) -> None:
    """As the table's head says; another chapter has trained the frozen network with more."""
    ch = failure(make_run, {42: whole(make_run)})
    more = {**ch.whole["frozen network"], 0: Whole(make_run(0.85, seed=0, learning_rate=1e-6))}
    ch = dataclasses.replace(ch, whole={**ch.whole, "frozen network": more})
    assert [len(tests) for _, tests, *_ in ch.ends] == [1, 1, 1, 1]


def test_a_rule_stops_each_run_by_what_it_watches(make_run: Make) -> None:
    ch = failure(make_run, {42: whole(make_run, accuracies=(0.5, 0.6, 0.4, 0.4, 0.7))})
    stops = ch.stops({"accuracy": ("accuracy", 2), "loss": ("loss", 5)})
    assert stops[0] == ("accuracy", "60.0% (epoch 2, stops after 4)")
    assert stops[1] == ("loss", "70.0% (epoch 5, stops after 5)")
    assert stops[2][1] == "70.0% (epoch 5)"


@pytest.mark.parametrize(("probe", "fell", "rose"), [(0.7, 1, 0), (0.84, 0, 0), (0.95, 0, 1)])
def test_the_features_fell_or_rose(make_run: Make, probe: float, fell: int, rose: int) -> None:
    passes = made.diagnosed(START, (0.3, 0.9, probe), (0.5, 0.9, probe))
    ch = failure(make_run, {42: whole(make_run, diagnosis=passes)})
    assert (ch.probes_fell, ch.probes_ended_above) == (fell, rose)
    assert ch.lowest_probe.probe.value == probe and ch.lowest_probe.epoch == 1
    assert ch.weights[0][0] == 42 and str(ch.weights[0][4]).endswith("after 1")


def test_a_frozen_norm_is_told_where_it_was_run(make_run: Make) -> None:
    run = whole(make_run)
    assert not failure(make_run, {42: run}).seeds("norm frozen")
    assert failure(make_run, {42: run}).largest_gap_frozen == 0.0
    frozen = {42: whole(make_run, accuracies=(0.6,), head_norm="frozen")}
    ch = failure(make_run, {42: run}, frozen)
    assert ch.largest_gap_frozen == pytest.approx(0.3) and ch.ends[-1][0] == "norm frozen"


def test_the_studys_log_is_counted_in_passes(make_run: Make) -> None:
    log = failure(make_run, {42: whole(make_run)}).published
    assert (log.epochs, log.passes, len(log.train), log.passes_after_best) == (12, 6, 6, 2)


# The appendix --------------------------------------------------------------------------------------


def test_what_follows_the_first_halving_stands_above_or_not(make_run: Make) -> None:
    runs = {42: whole(make_run), 0: whole(make_run, 0, (0.5, 0.4)), 1: whole(make_run, 1, (0.5,))}
    ch = Anatomy(failure(make_run, runs))
    assert (ch.recovering(True), ch.recovering(False)) == (["seed 42"], ["seed 0"])
    assert ch.halvings[0] == ("seed 42", 1, 0.3, 0.5)
    assert ch.paces[1][:3] == ("1.5e-4", "2 to 2", "50.0%")


def test_halves_are_told_where_the_record_holds_them(make_run: Make) -> None:
    ch = Anatomy(failure(make_run, {42: whole(make_run)}))
    assert list(ch.split) == ["as logged, seed 42", "as published, seed 42"]
    assert list(ch.halves) == ["as logged, seed 42"] and len(ch.channels) == 2
    assert ch.recovered(0.02) == [1.0] * 4 and ch.recovered(0.65) == [] and ch.estimates_differ == 0.0
    older = made.diagnosed(START, (0.3, 0.9, 0.9))
    for epoch in older:
        epoch["accuracy"]["val"] = {"moving": 0.3, "clean": 0.9, "augmented": 0.7, "batch": 0.8}
    ch = Anatomy(failure(make_run, {42: whole(make_run, diagnosis=older)}))
    assert not ch.split and list(ch.halves) == ["as logged, seed 42"]
    assert ch.estimates_differ == pytest.approx(20)


def test_a_seed_that_was_not_diagnosed_is_left_out(make_run: Make) -> None:
    """A sweep at another scale diagnoses nothing; chapter 3 takes its runs apart."""
    given: dict[str, Any] = {"dataset": "miniature", "scale": "smoke", "n_unfreeze": 30, "epochs": 28}
    asked: dict[str, Any] = {
        "optimizer": "adamw",
        "learning_rate": 3e-4,
        "careful_rate": 1e-5,
        "batch_size": 64,
        "seed": 42,
    }
    passes = made.diagnosed(START, (0.3, 0.9, 0.9), (0.5, 0.9, 0.9))
    ways = [experiments.TABLE["3e-4, as published"], experiments.CAREFUL, experiments.BASELINE]
    ways += [experiments.intervention(name) for name in experiments.anatomy("smoke", 42)[1]]
    for base in (*ways, experiments.LOGGED, experiments.FROZEN_NORM):
        for seed in (42, 0):
            wanted = experiments.for_notebook(base, dataset="miniature", scale="smoke", seed=seed)
            fields = dataclasses.asdict(wanted)
            make_run(0.9, diagnosis=passes if seed == 42 else (), **fields)
    ch = forgetting.load(**given, **asked)
    assert list(ch.whole["as logged"]) == list(ch.whole["norm frozen"]) == [42]
    assert list(ch.whole["careful fine-tune"]) == [42, 0] and len(ch.falls) == 1


@pytest.mark.parametrize("name", ["n_unfreeze", "epochs"])
def test_what_cannot_be_shown_is_refused_before_anything_trains(name: str) -> None:
    given: dict[str, Any] = {"dataset": "miniature", "scale": "smoke", "seed": 42, "optimizer": "adamw"}
    given |= {"learning_rate": 3e-4, "careful_rate": 1e-5, "batch_size": 64, "n_unfreeze": 30, "epochs": 28}
    with pytest.raises(ExperimentError, match=f"{name}=0 "):
        forgetting.load(**given | {name: 0})
