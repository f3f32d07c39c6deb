"""Chapter 4 on made-up runs: its facts, and what decides its sentences, on both sides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import made
import pytest

from helpers.analysis import decay, groups, metrics
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
    write(0.92, experiments.HEADLINE)
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
    assert (chapter.frozen.test_accuracy, chapter.tuned.test_accuracy) == (0.88, 0.92)
    assert chapter.against_frozen(chapter.tuned).against == groups.paired(chapter.frozen, chapter.tuned)
    assert (chapter.passes(chapter.log), len(chapter.log.stage2)) == (28, 55)
    assert chapter.passes(chapter.tuned) == 2 and chapter.steps == 2 * 704
    assert chapter.gap(chapter.tuned) == pytest.approx(0.1)
    assert chapter.gap(chapter.log) == pytest.approx(-0.0203, abs=1e-3)


def test_the_studys_numbers_stand_beside_its_own_images_alone(make: Make) -> None:
    chapter = load()
    assert chapter.on_study_images
    assert {len(each) for each in chapter.seconds.values()} == {2}
    elsewhere = replace(chapter.tuned, config={**chapter.tuned.config, "dataset": "miniature"})
    drawn = replace(chapter, tuned=elsewhere)
    assert not drawn.on_study_images
    assert drawn.seconds == {part: [seconds] for part, seconds in made.SECONDS.items()}


def test_ten_layers_are_those_of_this_seed(make: Make) -> None:
    ten = experiments.TABLE["fine-tune 10"]
    make(0.9, ten.replace(seed=0))
    chapter = load()
    assert chapter.ten is None and list(chapter.networks)[1] == "ten layers"
    row = make(0.91, ten)
    found = load().ten
    assert found and found.run.id == row.id and found.against == groups.paired(chapter.frozen, row)


def test_networks_are_compared_with_the_frozen_one_over_their_seeds(make: Make) -> None:
    for seed, test in ((0, 0.93), (1, 0.91)):
        make(0.88, experiments.BASELINE.replace(seed=seed))
        make(test, experiments.HEADLINE.replace(seed=seed))
    frozen, tuned = load().networks.values()
    assert frozen.gain is None and tuned.gain and tuned.gain.seeds == 3
    assert tuned.seeds == [42, 0, 1] and tuned.accuracies == [0.92, 0.93, 0.91]
    assert tuned.gain.value == pytest.approx(0.04) and tuned.mean.value == pytest.approx(0.92)


def test_losses_are_followed_from_the_epoch_that_is_kept(make_run: Make, make: Make) -> None:
    losses = {"val_loss": [0.6, 0.5, 0.53], "loss": [0.7, 0.6, 0.5]}
    make(0.92, experiments.HEADLINE, curves={"stage2": losses})
    chapter = load()
    assert chapter.change_after_best("val_loss") == pytest.approx(0.03)
    assert chapter.change_after_best("loss") == pytest.approx(-0.1)


def test_the_floor_is_that_of_the_smoothing(make: Make) -> None:
    chapter = load()
    assert chapter.floor == metrics.smoothing_floor(0.05, 10)
    answers = chapter.tuned.probabilities("val"), chapter.tuned.labels("val")
    assert chapter.plain_loss == metrics.negative_log_likelihood(*answers)
    make(0.92, experiments.HEADLINE.replace(label_smoothing=0.0))
    make(0.88, experiments.BASELINE.replace(label_smoothing=0.0))
    assert load(label_smoothing=0.0).floor == 0


def test_training_without_smoothing_is_told_where_both_short_runs_are(make: Make) -> None:
    with_it = make(0.9, SHORT)
    assert load().unsmoothed is None
    free = make(0.9, short(label_smoothing=0.0))
    assert load().unsmoothed == (with_it.val_loss, free.val_loss) and with_it.val_loss != free.val_loss


def test_classes_are_ranked_by_what_was_right_and_by_what_was_gained(make: Make) -> None:
    chapter = load()
    right, later = ([[0] * 10 for _ in range(10)] for _ in range(2))
    for label in range(10):
        right[label][label], later[label][label] = 100 + label, 150 - label * label
    frozen, tuned = (
        replace(chapter.frozen, confusion_matrix=right),
        replace(chapter.tuned, confusion_matrix=later),
    )
    ranked = replace(chapter, frozen=frozen, tuned=tuned)
    assert [each.name for each in ranked.weakest_classes] == ["airplane", "automobile", "bird"]
    assert ranked.most_gained_classes[0] == finetune.ClassChange("airplane", 100, 50)
    assert [each.gained for each in ranked.most_gained_classes] == [50, 48, 44]
    assert chapter.confused_pairs[0].errors == 16


def test_without_the_reference_no_short_run_is_shown(make: Make) -> None:
    make(0.9, short(dropout=0.0))
    chapter = load()
    assert not chapter.short and not chapter.by_rate and not any(runs for runs, _ in chapter.kinds.values())
    reference = make(0.9, SHORT)
    chapter = load()
    assert chapter.reference and next(iter(chapter.short.values())).id == reference.id
    (parts, planned), (_, rates) = chapter.kinds.values()
    assert list(parts) == ["n_unfreeze 0", "dropout 0.0"] and (planned, rates) == (13, 14)
    assert chapter.by_rate == {"adamw": {1e-5: chapter.reference}}


def test_rates_are_compared_with_the_reference_which_is_not_compared_with_itself(make: Make) -> None:
    make(0.9, SHORT)
    faster = make(0.92, short(learning_rate=1e-4))
    own, other = load().rates
    assert own.against is None and other.against and other.against.difference == pytest.approx(0.02)
    assert load().kept_rate(faster) == 1e-4


def test_views_are_compared_with_new_ones_where_those_were_run(make: Make) -> None:
    make(0.9, SHORT)
    make(0.9, short(views=1))
    chapter = load()
    assert chapter.new_views is None and [each.against for each in chapter.stored_views] == [None, None]
    make(0.91, short(views=SHORT.epochs))
    chapter = load()
    one, four, fresh = chapter.stored_views
    assert fresh.run is chapter.new_views and fresh.against is None
    assert one.against and one.against.difference == pytest.approx(-0.01) and four.against == one.against


def test_ten_layers_are_told_where_both_lengths_were_run(make: Make) -> None:
    make(0.9, SHORT)
    make(0.89, short(n_unfreeze=10))
    assert load().ten_layers is None
    make(0.91, experiments.TABLE["fine-tune 10"])
    found = load().ten_layers
    assert found and [each.run.test_accuracy for each in found] == [0.89, 0.91]


def test_a_claim_waits_until_its_runs_are_there(make: Make) -> None:
    assert load().waiting == ["C9", "C10", "C11", "C17"] == [claim.id for claim, _ in load().judged]
    for size in (32, 64, 128):
        make(0.9, short(batch_size=size))
    assert load().waiting == ["C9", "C10", "C17"]


@pytest.mark.parametrize("rate, arrives", [(1e-5, False), (1e-3, True)])
def test_decay_arrives_where_float32_can_hold_it(rate: float, arrives: bool, make: Make) -> None:
    make(0.9, experiments.HEADLINE.replace(learning_rate=rate))
    chapter = load(learning_rate=rate)
    assert (chapter.decays[rate][0] > 0) is arrives
    assert list(chapter.decays) == [1e-5, 3e-5, 1e-4, 3e-4, 1e-3]
    assert chapter.decays[rate] == decay.decay_step(rate, 1e-4)
    assert chapter.shrinkage == pytest.approx(chapter.steps * rate * 1e-4, rel=1e-3)


def test_twins_are_the_same_or_different(make: Make) -> None:
    make(0.9, SHORT)
    make(0.9, short(weight_decay=0.0))
    make(0.9, short(optimizer="adam"), curves={"stage2": {"val_accuracy": [0.5, 0.6]}})
    decayed, adam = load().twins
    assert decayed[:2] == ("weight decay or none", True)
    assert adam[:2] == ("AdamW or Adam at 1e-5", False) and adam[2].difference == 0


def test_speeds_are_those_of_the_bench(make: Make) -> None:
    chapter = load()
    assert list(chapter.speeds.values()) == [chapter.bench.features, chapter.bench.epoch, chapter.bench.sweep]
    bench = replace(chapter.bench, whole_million=300.0, above_cut_million=100.0)
    assert replace(chapter, bench=bench).expected_speed == pytest.approx(5 / 3)
