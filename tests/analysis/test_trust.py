"""From which confidence on an answer is believed, and what that does on other images."""

import numpy as np
import pytest

from helpers.analysis import intervals, trust


def outputs(confidence: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Probabilities (n, 3), whose labels are all 0: the largest, of class 0 where right, else of class 1."""
    rows = np.repeat((1 - confidence)[:, None] / 2, 3, axis=1)
    rows[np.arange(len(rows)), np.where(right, 0, 1)] = confidence
    return rows


def network(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A network that is right as often as it is sure, and its labels."""
    drawn = np.random.default_rng(seed)
    confidence = drawn.uniform(0.4, 1, n)
    return outputs(confidence, drawn.uniform(size=n) < confidence**0.05), np.zeros(n, int)


@pytest.mark.parametrize("risk", [0.01, 0.05])
def test_it_is_the_lowest_confidence_that_keeps_the_promise(risk: float) -> None:
    values, labels = network(5000)
    level = trust.threshold(values, labels, risk)
    assert level is not None
    found = trust.believed(values, labels, level)
    assert found and found[1].high <= risk
    for lower in np.unique(values.max(axis=1))[::-1]:
        if lower < level:
            other = trust.believed(values, labels, lower)
            assert other and other[1].high > risk


def test_the_promise_mostly_holds_on_other_images() -> None:
    """Mostly: the level is the luckiest of many, which its interval does not know."""
    others = network(50_000, seed=100)
    wrong = []
    for seed in range(20):
        level = trust.threshold(*network(5000, seed))
        found = level and trust.believed(*others, level)
        assert found and found[0].value > 0.1
        wrong.append(found[1].value)
    assert np.mean(np.array(wrong) <= trust.RISK) >= 0.75


def test_equal_confidences_are_believed_together() -> None:
    """The right ones stand first here: taken one by one, they would be believed and the wrong ones not."""
    right = np.arange(2000) < 1900
    values = outputs(np.full(2000, 0.8), right)
    assert trust.threshold(values, np.zeros(2000, int)) is None
    assert trust.threshold(values, np.zeros(2000, int), risk=0.07) == pytest.approx(0.8)


def test_no_confidence_is_enough_for_few_images_or_a_poor_network() -> None:
    few = outputs(np.linspace(0.5, 1, 100), np.ones(100, bool))
    assert trust.threshold(few, np.zeros(100, int)) is None
    assert intervals.wilson(0, 100)[1] > trust.RISK
    poor = outputs(np.linspace(0.5, 1, 5000), np.arange(5000) % 2 == 0)
    assert trust.threshold(poor, np.zeros(5000, int)) is None


def test_a_threshold_that_nothing_reaches_believes_nothing() -> None:
    values, labels = network(10)
    assert trust.believed(values, labels, 1.1) is None
    every = trust.believed(values, labels, 0.0)
    assert every and every[0].value == 1 and every[0].n == every[1].n == 10
