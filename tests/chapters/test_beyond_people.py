"""Chapter 7's facts about people, from made-up counts."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from helpers.chapters import people
from helpers.data import cifar10h

OFFICIAL = np.array([2, 0, 1, 0])
COUNTS = np.array([[0, 0, 50], [48, 2, 0], [40, 10, 0], [50, 0, 0]])
"""In the official order; most doubt the label of the third."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("REPORT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CIFAR10H_DIR", raising=False)
    np.save(tmp_path / cifar10h.FILE, COUNTS)
    digest = hashlib.sha256((tmp_path / cifar10h.FILE).read_bytes()).hexdigest()
    monkeypatch.setattr(cifar10h, "SHA256", digest)
    return tmp_path


def test_without_what_people_said_there_is_nothing(place: Path) -> None:
    assert people.stored(OFFICIAL, np.sort(OFFICIAL)) is None


def test_people_are_put_into_the_order_of_the_records(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIFAR10H_DIR", str(place))
    found = people.stored(OFFICIAL, np.array([0, 1, 0, 2]))
    assert found and found.labels.tolist() == [0, 0, 1, 2]
    assert found.agreed.tolist() == [0.96, 1.0, 0.2, 1.0]
    assert found.correct.tolist() == [True, False, False, True] and found.errors == 2
    assert found.clear_errors == 1
    assert found.agreement == pytest.approx((0.98, 0.6))
    assert found.person.value == pytest.approx(0.79) and found.gain.value == pytest.approx(-0.29)
    assert [(band.low, band.right.n) for band in found.bands] == [(0.0, 1), (0.95, 1), (1.0, 2)]
