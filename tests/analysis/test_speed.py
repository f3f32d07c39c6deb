"""How costs grow, and how long workers take."""

import dataclasses

import pytest

from helpers.analysis import speed
from helpers.analysis.speed import Law


def test_a_law_is_fitted_through_its_points() -> None:
    law = Law([1, 2, 4], [3, 12, 48])
    assert law.exponent == pytest.approx(2) and law.at(8) == pytest.approx(192)
    assert law.furthest == pytest.approx(0)
    assert Law([1, 2, 4], [3, 15, 48]).furthest == pytest.approx(0.16, abs=0.01)


@pytest.mark.parametrize(
    ("tasks", "workers", "seconds"),
    [
        ([4.0], [1.0], 4.0),
        ([4.0], [0.5, 1.0], 8.0),
        ([2.0] * 3, [1.0] * 2, 4.0),
        ([1.0] * 6, [1.0, 0.5], 4.0),
    ],
)
def test_whoever_is_free_takes_the_next(tasks: list[float], workers: list[float], seconds: float) -> None:
    assert speed.makespan(tasks, workers) == seconds


def test_a_selection_pays_for_its_store_first() -> None:
    timed = speed.read().sweep
    shared = dataclasses.replace(
        timed, plain_seconds=[10.0, 30.0], ours_seconds=[4.0, 6.0], storing_seconds=4.0
    )
    assert {way: list(seconds) for way, seconds in shared.selecting.items()} == {
        "plain": [10.0, 40.0],
        "ours": [6.0, 10.0],
    }
