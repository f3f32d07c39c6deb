"""What people say of images, beside a network: on counts that can be checked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.analysis import people

COUNTS = np.array([[10, 0, 0], [5, 5, 0], [1, 9, 0], [0, 2, 8], [0, 0, 10]])
LABELS = np.array([0, 0, 0, 1, 2])
"""Ten people on five images of three classes; of the third and the fourth most doubt the label."""


def test_shares_are_of_the_class_that_is_asked_for() -> None:
    assert people.chosen(COUNTS, LABELS).tolist() == [1.0, 0.5, 0.1, 0.2, 1.0]
    assert people.chosen(COUNTS, np.full(5, 1)).tolist() == [0.0, 0.5, 0.9, 0.2, 0.0]


def test_a_person_and_a_network_are_compared_image_by_image() -> None:
    agreed = people.chosen(COUNTS, LABELS)
    person = people.one_person(agreed)
    assert person.value == pytest.approx(0.56) and person.n == 5 and person.low < 0.56 < person.high
    assert people.network_less_person(np.ones(5, bool), agreed).value == pytest.approx(0.44)
    exact = people.network_less_person(agreed, agreed)
    assert exact.low == exact.value == exact.high == 0


def test_the_interval_is_a_means() -> None:
    agreed = np.tile([0.0, 1.0], 5000)
    person = people.one_person(agreed)
    assert person.high - 0.5 == pytest.approx(1.96 * 0.5 / 100, rel=1e-3)  # the binomial's


def test_bands_hold_every_image_once_and_the_last_one_full_agreement() -> None:
    right = np.array([True, True, False, False, True])
    low, middle, full = people.bands(right, people.chosen(COUNTS, LABELS), [0.0, 0.5, 0.8])
    assert [(each.low, each.high) for each in (low, middle, full)] == [(0, 0.5), (0.5, 0.8), (1, 1)]
    assert [each.right.n for each in (low, middle, full)] == [2, 1, 2]  # none from 0.8 to below 1
    assert [each.right.value for each in (low, middle, full)] == [0, 1, 1]
    assert [each.person for each in (low, middle, full)] == pytest.approx([0.15, 0.5, 1])


def test_people_side_with_an_error_where_more_than_half_make_it() -> None:
    assert people.siding(COUNTS, LABELS, LABELS).tolist() == []
    assert people.siding(COUNTS, LABELS, np.array([1, 1, 1, 2, 2])).tolist() == [2, 3]
    assert people.siding(COUNTS, LABELS, np.array([0, 1, 2, 2, 2])).tolist() == [3]
