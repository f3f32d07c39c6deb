"""Chapter 4 on made-up runs: its facts, and what decides its sentences, on both sides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from helpers.analysis import groups, metrics
from helpers.chapters import finetune
from helpers.chapters.finetune import SHORT, Finetune
from helpers.experiment import Experiment, ExperimentError
from helpers.publish import notebooks
from helpers.records.run import Run
from helpers.study import experiments

Make = Callable[..., Run]
NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "04_finetune.ipynb"
PARAMETERS = {name: known["default"] for name, known in notebooks.parameters(NOTEBOOK).items()}


@pytest.fixture
def make(make_run: Make) -> Callable[..., Run]:
    """Write the record of an experiment with a test accuracy; the chapter's two runs are there already."""

    def write(test: float, experiment: Experiment, **options: Any) -> Run:
        return make_run(test, **options, **asdict(experiment))

    write(0.88, experiments.BASELINE)
    write(0.92, experiments.CAREFUL)
    return write


def load(**changes: Any) -> Finetune:
    return finetune.load(**PARAMETERS | changes)


def short(**changes: Any) -> Experiment:
    return SHORT.replace(**changes)


@pytest.mark.parametrize("name", ["n_unfreeze", "epochs"])
def test_nothing_to_fine_tune_is_refused_before_anything_trains(name: str, make_run: Make) -> None:
    with pytest.raises(ExperimentError, match=f"{name}=0 "):
        load(**{name: 0})


def test_its_runs_are_found_and_compared(make: Make) -> None:
    chapter = load()
    assert [each.test_accuracy for each in chapter.pair.values()] == [0.88, 0.92]
    assert chapter.row.gain and chapter.row.gain.value == pytest.approx(0.04)
    assert chapter.gap(chapter.tuned) == pytest.approx(0.1)
    assert chapter.gap(chapter.log) == pytest.approx(-0.0203, abs=1e-3)
    assert chapter.repetitions == 0.5  # 2 epochs, 4 views
    assert {chapter.frozen, chapter.tuned, chapter.log, chapter.second_log} <= set(chapter.records)


def test_the_studys_ways_are_compared_with_the_seeds_that_are_here(make: Make) -> None:
    assert not load().study_ways and [way for way, *_ in load().by_way] == ["as here"]
    curves = {"stage2": {"val_accuracy": [0.9] * 28, "accuracy": [0.97] * 28}}
    for seed in (42, 0):
        make(0.92, experiments.CAREFUL.replace(seed=seed), curves=curves)
    fresh = experiments.NEW_VIEWS
    curves["stage2"] |= {"accuracy": [0.92] + [0.89] * 27, "val_loss": [0.5] + [0.6] * 27}
    shared, _ = (make(0.93, fresh.replace(seed=seed), curves=curves) for seed in (0, 1))
    curves["stage2"]["accuracy"] = [0.98] * 28
    make(0.91, experiments.MORE_DROPOUT, curves=curves)
    chapter = load()
    assert [each.id for each in chapter.study_ways["a new view in every pass"]] == [shared.id]
    assert shared.id in {each.id for each in chapter.records}
    assert [row[:4] for row in chapter.by_way] == [
        ("as here", "42, 0", "+7.0 points", "+7.0 points"),
        ("a new view in every pass", "0", "-1.0 points", "+2.0 points"),
        ("dropout 0.4", "42", "+8.0 points", "+8.0 points"),
    ]
    gains = [row[4].value for row in chapter.by_way[1:]]  # type: ignore[attr-defined]
    assert gains == pytest.approx([0.01, -0.01])
    assert chapter.narrowing == chapter.gaining == ["a new view in every pass"]


def test_a_run_with_a_new_view_in_every_pass_is_not_compared_with_itself(make: Make) -> None:
    make(0.92, experiments.CAREFUL.replace(augmentation="none"))
    assert not load(augmentation="none").study_ways


def test_the_studys_log_stands_beside_its_own_images_alone(make: Make) -> None:
    chapter = load()
    assert list(chapter.logs.values()) == [chapter.log] and chapter.confused[0][2] != "–"
    elsewhere = replace(chapter.tuned, config={**chapter.tuned.config, "dataset": "miniature"})
    drawn = replace(chapter, tuned=elsewhere)
    assert not drawn.logs and {rank for _, _, rank in drawn.confused} == {"–"}


def test_networks_are_compared_with_the_frozen_one_over_their_seeds(make: Make) -> None:
    for seed, test in ((0, 0.93), (1, 0.91)):
        make(0.88, experiments.BASELINE.replace(seed=seed))
        make(test, experiments.CAREFUL.replace(seed=seed))
    assert list(load().networks) == ["frozen", "fine-tuned"]
    make(0.9, experiments.TABLE["ten layers"].replace(seed=0))
    frozen, ten, tuned = load().networks.values()
    assert frozen.gain is None and tuned.gain and tuned.gain.seeds == 3
    assert tuned.seeds == [42, 0, 1] and tuned.accuracies == [0.92, 0.93, 0.91] and ten.seeds == [0]
    assert tuned.gain.value == pytest.approx(0.04) and tuned.mean.value == pytest.approx(0.92)


def test_the_floor_is_that_of_the_smoothing(make: Make) -> None:
    chapter = load()
    assert chapter.floor == metrics.smoothing_floor(0.05, 10)
    answers = chapter.tuned.probabilities("val"), chapter.tuned.labels("val")
    shown = [chapter.tuned.val_loss, chapter.floor, metrics.negative_log_likelihood(*answers)]
    assert [loss for _, loss in chapter.losses] == [f"{each:.3f}" for each in shown]
    for base in (experiments.CAREFUL, experiments.BASELINE):
        make(0.9, base.replace(label_smoothing=0.0))
    assert load(label_smoothing=0.0).floor == 0


def test_training_without_smoothing_is_told_where_both_short_runs_are(make: Make) -> None:
    make(0.9, SHORT)
    assert len(load().losses) == 3
    free = make(0.9, short(label_smoothing=0.0))
    *_, smoothed, plain = load().losses
    assert plain == ("a short run, trained without", f"{free.val_loss:.3f}") and smoothed[1] != plain[1]


def test_confusions_are_those_of_the_fine_tuned_network(make: Make) -> None:
    make(0.92, experiments.CAREFUL, confused={3: 5})
    words, errors, rank = load().confused[0]
    assert (words, errors, rank) == ("airplane and automobile", 16, "24") and len(load().confused) == 5


def test_without_the_reference_no_short_run_is_shown(make: Make) -> None:
    make(0.9, short(dropout=0.0))
    chapter = load()
    assert not (chapter.short or chapter.parts or chapter.by_rate or chapter.rates)
    reference = make(0.9, SHORT)
    chapter = load()
    assert chapter.reference and next(iter(chapter.short.values())).id == reference.id
    assert list(chapter.parts) == ["nothing unfrozen", "no dropout"]
    assert chapter.by_rate == {"adamw": {1e-5: chapter.reference}}


def test_every_part_is_made_by_a_sweep_that_the_page_names() -> None:
    made_by_sweeps = {each.key for name in finetune.SWEEPS for each in experiments.SWEEPS[name]}
    assert made_by_sweeps >= {each.key for each in finetune.PARTS.values()}
    assert all(f"no {name}" in finetune.PARTS for name in finetune.REGULARIZERS)
    text = NOTEBOOK.read_text()
    assert all(f"`{name}`" in text or f"`sweep {name}`" in text for name in finetune.SWEEPS)


def test_a_regularizer_is_missed_where_going_without_it_loses(make: Make) -> None:
    make(0.9, SHORT)
    make(0.92, short(dropout=0.0))
    assert load().missed == []
    make(0.85, short(label_smoothing=0.0))
    assert load().missed == ["label smoothing"]


@pytest.mark.parametrize("last, in_order", [(0.92, True), (0.9, False)])
def test_stored_views_gain_in_order_or_not(last: float, in_order: bool, make: Make) -> None:
    make(0.9, short(views=1))
    assert not load().by_views
    make(0.91, SHORT)
    make(0.905, short(views=2))
    make(last, short(views=8))
    chapter = load()
    assert list(chapter.by_views) == [1, 2, 4, 8] and chapter.by_views[4] == 0
    assert chapter.by_views[1] == pytest.approx(-0.01)
    assert chapter.views_in_order is in_order


def test_a_rate_is_chosen_by_validation_and_compared_on_test(make: Make) -> None:
    make(0.9, SHORT)
    make(0.92, short(learning_rate=1e-4), val=0.8)
    chapter = load()
    own, faster = chapter.rates
    assert own.gain is None and faster.gain and faster.gain.difference == pytest.approx(0.02)
    assert chapter.chosen is None and chapter.clearly_better == ["1e-4"]
    assert chapter.by_adamw[1] == ("1e-4", faster.lowest, chapter.accuracy(faster.run), faster.gain, "–")
    made = make(0.94, experiments.CAREFUL.replace(learning_rate=1e-4), val=0.8)
    assert load().chosen is None
    assert load().by_adamw[1][-1] == chapter.accuracy(made)
    make(0.8, experiments.CAREFUL.replace(learning_rate=3e-5), val=0.95)
    found = load().chosen
    assert found and found.name == "3e-5" and found.gain == groups.paired(load().tuned, found.run)


def test_ten_layers_are_told_where_their_short_run_is(make: Make) -> None:
    make(0.9, SHORT)
    assert load().ten_layers is None
    make(0.89, short(n_unfreeze=10))
    found = load().ten_layers
    assert found and found.difference == pytest.approx(0.01)  # on the frozen network
    make(0.92, experiments.CAREFUL.replace(seed=7))
    make(0.8, experiments.BASELINE.replace(seed=7))
    assert load(seed=7).ten_layers == found and "ten layers" not in load(seed=7).networks


def test_at_another_scale_nothing_is_compared_with_the_short_runs(make: Make) -> None:
    for each in (SHORT, short(n_unfreeze=10)):
        make(0.9, each)
    for test, base in ((0.8, experiments.BASELINE), (0.85, experiments.CAREFUL)):
        counts = {"class_counts": {"val": [50] * 10, "test": [100] * 10}}
        make(test, base.replace(scale="quick"), content=counts)
    chapter = load(scale="quick")
    assert chapter.ten_layers is None and chapter.parts and chapter.row.gain


def test_every_network_has_the_seeds_of_this_chapters(make: Make) -> None:
    make(0.87, experiments.BASELINE.replace(seed=0))
    assert [len(row.seeds) for row in load().networks.values()] == [1, 1]


@pytest.mark.parametrize("rate, arrives", [(1e-5, False), (1e-3, True)])
def test_decay_arrives_where_float32_can_hold_it(rate: float, arrives: bool, make: Make) -> None:
    make(0.9, experiments.CAREFUL.replace(learning_rate=rate))
    chapter = load(learning_rate=rate)
    assert chapter.decay_arrives is arrives
    assert [name for name, _, _ in chapter.decays] == ["1e-5", "3e-5", "1e-4", "3e-4", "1e-3"]
    assert chapter.decays[0][1] == "0.0%" and chapter.decays[-1][1] == "100.0%"


def test_adam_and_adamw_end_alike_or_not(make: Make) -> None:
    make(0.9, SHORT)
    assert {beside for _, _, beside in load().decays} == {"–"}
    make(0.9, short(optimizer="adam"))
    assert load().decays[0][2] == "none: equal to the last digit"
    make(0.9, short(optimizer="adam"), curves={"stage2": {"val_accuracy": [0.5, 0.6]}})
    assert load().decays[0][2] == "none: the same answers"
    make(0.92, short(optimizer="adam"), curves={"stage2": {"val_accuracy": [0.5, 0.6]}})
    assert load().decays[0][2].startswith("+2.0 points (")


def test_speeds_are_those_of_the_bench(make: Make) -> None:
    chapter = load()
    at = chapter.bench.epoch
    assert len(chapter.speeds) == 4 and chapter.speeds[3][2] == "–"  # nothing was hoped for in float32
    assert chapter.speeds[2][0].startswith(f"{chapter.bench.sweep.experiments} fine-tunes")
    sweep = replace(chapter.bench.sweep, plain_seconds=[10.0, 20.0], plain_bfloat16_seconds=15.0)
    assert replace(chapter, bench=replace(chapter.bench, sweep=sweep)).mixed == 1.5
    assert chapter.speeds[1][1] == f"{at.ratio:.2f} ({at.low:.2f} to {at.high:.2f})"
    bench = replace(chapter.bench, whole_million=300.0, above_cut_million=100.0)
    assert replace(chapter, bench=bench).expected_speed == pytest.approx(5 / 3)
