"""Chapter 3's facts on made-up runs: every one that decides a sentence, both ways."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import made
import pytest

from helpers.analysis import batchnorm, groups
from helpers.analysis.batchnorm import Repeats
from helpers.chapters import forgetting
from helpers.chapters.beginnings import Beginnings
from helpers.chapters.forgetting import Failure, Whole
from helpers.experiment import ExperimentError
from helpers.records.run import Run

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


def test_a_runs_lows_are_looked_for_after_the_start_and_of_equals_the_first_is_named() -> None:
    low = batchnorm.lows(begun((0.1, 0.8, 0.83), (0.3, 0.6, 0.9), (0.1, 0.9, 0.7)))
    assert (low.looked.epoch, low.weights.epoch, low.probe.epoch) == (1, 2, 3)
    assert low.looked.gap == pytest.approx(0.7) and low.most_hidden == pytest.approx(0.8)
    assert [each.epoch for each in low.equally_low] == [3]
    assert low.row[0] == f"{low.looked.moving} after 1" and low.row[3].endswith("after 3 (84.0%)")
    assert (low.start.epoch, low.end.epoch) == (0, 3)


@pytest.mark.parametrize(("probe", "forgot"), [(0.7, True), (0.84, False), (0.83, False), (0.95, False)])
def test_a_run_forgot_where_its_probe_fell_clearly_below_the_start(probe: float, forgot: bool) -> None:
    counts = {"val": [500] * 10, "test": [1000] * 10}
    run = begun((0.1, 0.8, 0.96), (0.1, 0.8, probe))
    assert batchnorm.lows(Run(**{**vars(run), "class_counts": counts})).forgot is forgot


def test_a_head_without_batch_norm_hides_nothing_and_has_no_halves() -> None:
    assert batchnorm.lows(NONE).most_hidden == 0.0
    assert batchnorm.halves(NONE) == [] and len(batchnorm.halves(FAILS)) == 4
    assert beginnings({"frozen": [FROZEN], "none": [NONE]}).gaps == {"frozen": "+1.0"}


def test_what_only_looks_worse_is_told_from_what_is() -> None:
    assert (Repeats([FAILS]).only_look_worse, Repeats([HARMED]).only_look_worse) == (1, 0)
    assert Repeats([FAILS, HARMED]).change() == "worse (all 2)"
    assert (Repeats([FAILS]).count_worse("clean"), Repeats([NONE]).count_worse("clean")) == (0, 0)
    assert Repeats([begun((0.9, 0.8, 0.9))]).largest_gap == 0.0


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


def test_shorter_averages_hide_less_or_not() -> None:
    short, long = begun((0.8, 0.9, 0.9)), begun((0.3, 0.9, 0.9))
    found = beginnings(
        {"averages over 10 steps": [short], "as logged": [FAILS], "averages over 1,000 steps": [long]}
    )
    assert [line[2:] for line in found.by_length] == [(1, 1), (0, 1)]
    assert beginnings({"as logged": [FAILS]}).by_length == []
    assert found.gaps["as logged"] == "+68.0"


def test_the_same_weights_are_those_that_every_loss_agrees_on() -> None:
    other = begun((0.6, 0.88, 0.9))
    longer = made.run_without_files(other.experiment, curves={"stage2": {"loss": [9.0, 8.0]}})
    ((ten, hundred, seed),) = beginnings(
        {"averages over 10 steps": [other], "as logged": [FAILS]}
    ).same_weights
    assert (ten.value, hundred.value, seed) == (0.6, 0.2, 42)
    assert beginnings({"averages over 10 steps": [longer], "as logged": [FAILS]}).same_weights == []
    assert beginnings({"as logged": [FAILS]}).same_weights == []


def with_halves(moving: float, means: float, variances: float, distance: float, **fields: Any) -> Run:
    """A run that ends with these accuracies by half, its means so far off."""
    experiment = made.Experiment(learning_rate=3e-4, epochs=1, **fields)
    start, end = made.diagnosed(START, (moving, 0.9, 0.9))
    val = {**end["accuracy"]["val"], "means": means, "variances": variances}
    end = {**end, "accuracy": {"val": val}, "statistics": {"val": {"mean_alive": distance}}}
    return made.run_without_files(experiment, diagnosis=[start, end])


@pytest.mark.parametrize(("variances", "helps"), [(0.5, True), (0.1, False)])
def test_new_variances_alone_help_or_not(variances: float, helps: bool) -> None:
    found = beginnings({"as logged": [with_halves(0.2, 0.8, variances, 1.0)]})
    assert (found.added("variances") > 0) is helps
    assert found.added("means") == pytest.approx(0.6)
    assert found.recovered == pytest.approx([6 / 7])


@pytest.mark.parametrize(("far", "worse"), [((2.0, 1.0), True), ((1.0, 2.0), False)])
def test_the_farther_off_looks_worse_or_not(far: tuple[float, float], worse: bool) -> None:
    looks = 0.2, 0.6
    runs = [with_halves(looks[seed], 0.8, 0.1, far[seed], seed=seed) for seed in (0, 1)]
    found = beginnings({"as logged": runs})
    assert found.farther_looks_worse is worse
    assert found.spread("moving") == pytest.approx(0.4)
    assert [line[3] for line in found.misfits] == [f"{off:.2f}" for off in far]


def test_what_fell_and_what_was_not_run_are_named() -> None:
    found = beginnings({"as logged": [FAILS], "batch norm frozen": [FROZEN], "no norm": [NONE]})
    assert found.fell("moving") == ["*as logged* (1)"] and found.fell("clean") == []
    assert found.stood("no norm", "clean") == "–" and found.stood("layer norm") == "(not run here)"
    assert found.active_where(moving=True) == [880] and found.active_where(moving=False) == [890, 880]
    assert (found.epochs, found.active_before) == (2, 870)


def test_rates_are_told_from_the_lowest_to_the_highest() -> None:
    low = made.run_without_files(
        made.Experiment(learning_rate=1e-5), diagnosis=made.diagnosed(START, (0.9, 0.9, 0.9))
    )
    found = beginnings({"as logged": [FAILS]}, {1e-5: [low], 3e-4: [FAILS]})
    assert found.lower_rates == [f"1e-5 at {batchnorm.accuracy(low)}"]
    assert list(found.three_rates(42)) == ["1e-5", "3e-4"] and found.three_rates(7) == {}
    assert [line[3] for line in found.probes] == ["better", "better"]
    assert beginnings({"as logged": [FAILS]}, {3e-4: [FAILS]}).lower_rates == []


# Whole runs ----------------------------------------------------------------------------------------


def whole(make: Make, seed: int = 42, accuracies: Sequence[float] = (0.3, 0.5), **changes: Any) -> Whole:
    """A failing run that halves its rate after the first epoch, beside a careful one."""
    curves = {
        "stage2": {"val_accuracy": accuracies, "learning_rate": [3e-4] + [1.5e-4] * (len(accuracies) - 1)}
    }
    passes = made.diagnosed(START, *((each, 0.9, 0.9) for each in accuracies))
    given = {"test": 0.8, "curves": curves, "diagnosis": passes, "learning_rate": 3e-4} | changes
    return Whole(make(seed=seed, **given), make(0.9, seed=seed, learning_rate=1e-5))


def failure(logged: Mapping[int, Whole], frozen: Mapping[int, Whole] = {}, **changes: Any) -> Failure:
    one = logged[42]
    careful = {seed: Whole(each.careful, each.careful) for seed, each in logged.items()}
    ways = {"as logged": logged, "as published": {42: one}, "careful rate": careful, "frozen norm": frozen}
    log = made.published_log("run_full_tune")
    return Failure(42, one.careful, ways, beginnings({"as logged": [FAILS]}), log)


def test_other_seeds_are_told_where_there_are_any(make_run: Make) -> None:
    alone = failure({42: whole(make_run)})
    assert not alone.has_other_seeds and alone.other_looks == [] and alone.seeds("as logged") == "42"
    both = failure({42: whole(make_run), 0: whole(make_run, 0, (0.4, 0.6))})
    assert both.has_other_seeds and both.other_looks == ["40.0%, and 90.0%"]
    assert both.tests("as logged") == pytest.approx([0.8, 0.8]) and both.forgot == 0
    assert both.gain("as logged").value == pytest.approx(-0.1) and both.gain("as logged").seeds == 2


def test_what_follows_the_first_halving_stands_above_or_not(make_run: Make) -> None:
    runs = {42: whole(make_run), 0: whole(make_run, 0, (0.5, 0.4)), 1: whole(make_run, 1, (0.5,))}
    ch = failure(runs)
    assert (ch.recovering(True), ch.recovering(False)) == (["seed 42"], ["seed 0"])
    assert ch.halvings[0] == ("seed 42", 1, [0.3], [0.5], 0.3, 0.5)
    assert ch.paces[1][:3] == ("1.5e-4", "2 to 2", "50.0%")
    assert ch.endings[0][:3] == ("as logged, seed 42", "1: 30.0%", "1.5e-4")


@pytest.mark.parametrize(("lowest", "named"), [(0.1, ["as published", "as logged"]), (0.3, [])])
def test_chance_is_reached_within_the_interval_or_not(make_run: Make, lowest: float, named: list) -> None:
    assert failure({42: whole(make_run, accuracies=(lowest, 0.5))}).reaching(0.1) == named


def test_a_rule_stops_the_run_by_what_it_watches(make_run: Make) -> None:
    ch = failure({42: whole(make_run, accuracies=(0.5, 0.6, 0.4, 0.4, 0.7))})
    assert ch.stop("accuracy", 2) == (2, 4, 2, 0.6) and ch.stop("loss", 5) == (5, 5, 5, 0.7)


def test_a_run_is_better_worse_or_not_told_from_the_frozen_network(make_run: Make) -> None:
    lines = failure({42: whole(make_run)}).tested("up", "down", "same")
    assert [(line[0], line[2]) for line in lines] == [
        ("as published", "down"),
        ("as logged", "down"),
        ("careful rate", "same"),
    ]
    assert lines[2][3] == "–" and lines[1][3].difference == pytest.approx(-0.1)
    better = failure({42: whole(make_run, seed=1, test=0.95, accuracies=(0.2, 0.5))})
    assert better.tested("up", "down", "same")[1][2] == "up"


def test_a_frozen_norm_is_told_where_it_was_run(make_run: Make) -> None:
    run = whole(make_run)
    assert not failure({42: run}).held and failure({42: run}).most_hidden == 0.0
    hides, shows = (
        failure({42: run}, {42: whole(make_run, accuracies=(seen,), head_norm="frozen", seed=42)})
        for seen in (0.6, 0.88)
    )
    assert hides.most_hidden == pytest.approx(0.3) and shows.most_hidden == pytest.approx(0.02)
    assert len(shows.held) == 1 and shows.tests("frozen norm") == pytest.approx([0.8])


def test_halves_are_told_where_the_record_holds_them(make_run: Make) -> None:
    run = whole(make_run)
    assert list(failure({42: run}).split) == ["as logged, seed 42", "as published, seed 42"]
    assert failure({42: run}).recovered_later(0.02) == [1.0] * 4 and not failure({42: run}).unsplit
    assert failure({42: run}).recovered_later(0.65) == []
    older = made.diagnosed(START, (0.3, 0.9, 0.9))
    for epoch in older:
        epoch["accuracy"]["val"] = {"moving": 0.3, "clean": 0.9, "augmented": 0.7, "batch": 0.8}
    ch = failure({42: whole(make_run, diagnosis=older)})
    assert ch.unsplit == ["as logged, seed 42", "as published, seed 42"] and ch.correlations == []
    assert ch.estimates_differ == pytest.approx(0.2) and failure({42: run}).estimates_differ == 0.0


def test_the_log_stands_beside_runs_on_its_own_images_alone(make_run: Make) -> None:
    assert failure({42: whole(make_run)}).on_the_studys_images
    assert not failure({42: whole(make_run, **made.MINIATURE)}).on_the_studys_images


def test_the_studys_log_is_counted_in_passes(make_run: Make) -> None:
    log = failure({42: whole(make_run)}).published
    assert (log.epochs, log.passes, len(log.train)) == (12, 6, 6)
    assert (log.after_best, log.passes_after_best, log.after_lowest) == (5, 2, 3)


@pytest.mark.parametrize("name", ["n_unfreeze", "epochs"])
def test_what_cannot_be_shown_is_refused_before_anything_trains(name: str) -> None:
    given: dict[str, Any] = {"dataset": "miniature", "scale": "smoke", "seed": 42, "optimizer": "adamw"}
    given |= {"learning_rate": 3e-4, "careful_rate": 1e-5, "batch_size": 64, "n_unfreeze": 30, "epochs": 28}
    with pytest.raises(ExperimentError, match=f"{name}=0 "):
        forgetting.load(**given | {name: 0})
