"""Chapter 6 on made-up runs, on both sides of what its sentences depend on."""

import dataclasses
from collections.abc import Callable
from typing import Any

import made
import pytest

from helpers import markdown
from helpers.chapters import tta
from helpers.errors import UserError
from helpers.records.run import RecordError, Run
from helpers.study import claims

PARAMETERS: dict[str, Any] = {
    "dataset": "cifar10",
    "scale": "full",
    "seed": 42,
    "n_unfreeze": 30,
    "learning_rate": 1e-5,
    "batch_size": 64,
    "epochs": 28,
    "label_smoothing": 0.05,
    "bins": 15,
}


@pytest.fixture
def ch(make_run: Callable[..., Run]) -> tta.Averaging:
    """The frozen network with two seeds, the fine-tuned one with one."""
    for seed in (42, 1):
        make_run(0.8, seed=seed, n_unfreeze=0)
    make_run(0.9)
    return tta.load(**PARAMETERS)


DOWN = {label: (label - 1) % 10 for label in range(10)}
"""Where the two views are equally sure of different classes their mean takes the lower one."""


@pytest.mark.parametrize(
    "plain, flipped, confused, said",
    [(0.8, 0.9, None, "helps"), (0.9, 0.8, DOWN, "hurts"), (0.9, 0.9, None, "no gain")],
)
def test_a_gain_is_told_by_its_interval(
    make_run: Callable[..., Run], plain: float, flipped: float, confused: Any, said: str
) -> None:
    make_run(n_unfreeze=0)
    make_run(plain, flipped=flipped, confused=confused)
    gain = tta.load(**PARAMETERS).gain
    assert markdown.describe_difference(gain, "helps", "hurts", "no gain") == said
    assert {"helps": gain.only_second > 0, "hurts": gain.only_first > 0}.get(said, not gain.difference)


def test_both_kinds_of_predictions_are_told(make_run: Callable[..., Run]) -> None:
    make_run(0.8, n_unfreeze=0)
    make_run(0.9, flipped=0.7)
    frozen, tuned = tta.load(**PARAMETERS).answers
    assert frozen[0] == "frozen" and frozen[1] == frozen[2] and frozen[3].difference == 0
    assert tuned[1].value == 0.9 != tuned[2].value
    assert tuned[2].value == pytest.approx(0.9 + tuned[3].difference)


def test_seeds_that_are_stored_are_shown_for_each_network(ch: tta.Averaging) -> None:
    first, second = ch.groups["frozen"]
    assert [each.seed for each in first] == [42, 1] and first is second and ch.tests == 3
    assert {name: gain.seeds for name, gain in ch.mean_gains.items()} == {"frozen": 2, "fine-tuned": 1}


def test_the_published_gain_stands_beside_the_studys_images_alone(ch: tta.Averaging) -> None:
    (claim,) = [each for each in claims.CLAIMS if each.id == "C8"]
    assert ch.published is not None and markdown.points(ch.published) == claim.published
    elsewhere = dataclasses.replace(ch.tuned, config={**ch.tuned.config, "dataset": "miniature"})
    assert dataclasses.replace(ch, runs={**ch.runs, "fine-tuned": elsewhere}).published is None


def test_averaging_changes_the_calibration_error(make_run: Callable[..., Run]) -> None:
    make_run(0.8, n_unfreeze=0)
    make_run(0.95, flipped=0.5)
    ch = tta.load(**PARAMETERS)
    plain, averaged = ch.errors
    assert plain == pytest.approx(0.04, abs=1e-3) != averaged
    assert ch.surplus == pytest.approx(-0.04, abs=1e-3)


def test_the_log_states_other_predictions_than_its_matrix_counts(ch: tta.Averaging) -> None:
    assert markdown.percent(ch.log.test_accuracy, 2) == "91.56%"
    assert markdown.points(ch.logged.value - ch.log.test_accuracy, 2) == "+0.34 points"
    log = made.published_log()
    assert log.confusion_matrix is not None
    agreed = dataclasses.replace(log, metrics={**log.metrics, "test_end2end": 0.919})
    with pytest.raises(RecordError, match="run_final_optimized.*has the accuracy that it states"):
        _ = dataclasses.replace(ch, log=agreed).logged


def test_calibration_is_of_each_network_and_view(ch: tta.Averaging) -> None:
    names, confidence, accuracy, error, _ = zip(*ch.calibration, strict=True)
    assert names == ("frozen, plain", "frozen, averaged", "fine-tuned, plain", "fine-tuned, averaged")
    assert set(confidence) == {"91.0%"} and accuracy[0] == "80.0%" and error[::2] == ("11.0%", "1.0%")


def test_the_bins_that_are_asked_for_are_those_of_the_error(make_run: Callable[..., Run]) -> None:
    for depth in (0, 30):
        make_run(0.8, flipped=0.4, n_unfreeze=depth)
    fine, coarse = (tta.load(**{**PARAMETERS, "bins": bins}).calibration[1] for bins in (15, 1))
    assert fine[:3] == coarse[:3] and float(fine[3][:-1]) > float(coarse[3][:-1])


@pytest.mark.parametrize("name", ["n_unfreeze", "epochs", "bins"])
def test_nothing_to_show_is_refused_before_anything_trains(name: str) -> None:
    with pytest.raises(UserError, match=rf"{name}=0 is outside what this chapter can show: 1 or more"):
        tta.load(**{**PARAMETERS, name: 0})
