"""Averages of other lengths: read off the norm, they are what other momenta would have kept."""

from pathlib import Path

import keras
import kills
import numpy as np
import pytest

from helpers import run as door
from helpers.engine import averages
from helpers.engine.averages import Averages
from helpers.experiment import ExperimentError

SMALL = kills.small(batch_size=4)
"""64 steps an epoch: enough for an evaluation."""


def test_each_is_the_average_that_its_momentum_keeps() -> None:
    """0.99 is memory 100: read off that norm, memory 10 is what a norm of momentum 0.9 keeps itself."""
    norm, other = (keras.layers.BatchNormalization(momentum=momentum) for momentum in (0.99, 0.9))
    rng = np.random.default_rng(0)
    for each in (norm, other):
        each.build((None, 5))
    follow = Averages(norm, None, np.asarray, (np.empty(0), np.empty(0)), 0, 64)
    for number in range(40):
        batch = rng.normal(number / 10, 2, (64, 5)).astype(np.float32)
        for each in (norm, other):
            each(batch, training=True)
        follow.step(batch)
    for each, memory in ((norm, 100), (other, 10)):
        np.testing.assert_allclose(follow.kept[memory][0], each.moving_mean, atol=1e-4)
        np.testing.assert_allclose(follow.kept[memory][1], each.moving_variance, atol=1e-3)


@pytest.mark.parametrize(("course", "expected"), [(0.0, 0.0), (0.05, 5.0)])
def test_chance_is_no_displacement_and_a_steady_course_is_one(course: float, expected: float) -> None:
    rng = np.random.default_rng(0)
    batches = []
    for number in range(400):
        batch = rng.normal(course * number, 1, (64, 20))
        batches.append((batch.mean(axis=0), batch.var(axis=0)))
    assert averages.displacement(batches, 100, 200, 64) == pytest.approx(expected, abs=0.05)


@pytest.mark.long
def test_a_run_that_is_followed_is_the_same_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kills.use(tmp_path, monkeypatch)
    plain = door.run(SMALL, diagnosed=True, progress=False)
    followed = door.run(SMALL, diagnosed="steps", progress=False)  # a record without them does not answer
    assert kills.difference(plain, followed) == 0
    assert door.run(SMALL, diagnosed=True).diagnosis == followed.diagnosis
    start, *passes = [each.averages for each in followed.diagnosis]
    assert start and start["displacement"] == {}
    assert [len(each["accuracy"]["100"]) for each in passes if each] == [1, 1]  # after steps 50 and 100
    assert [len(each["displacement"]) for each in passes if each] == [4, 5]
    assert all(0 <= share <= 1 for each in passes if each for share in each["images"].values())


def test_only_a_norm_that_moves_can_be_followed() -> None:
    with pytest.raises(ExperimentError, match="head_norm='frozen'.*set head_norm='batch'"):
        door.run(SMALL.replace(head_norm="frozen"), diagnosed="steps")


def test_averages_that_stand_still_are_not_followed() -> None:
    with pytest.raises(ExperimentError, match="head_momentum=1: only averages that move"):
        door.run(SMALL.replace(head_momentum=1.0), diagnosed="steps")
