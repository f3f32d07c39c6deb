"""Chapter 1: which images are shown, where CIFAR-10 is at hand and where it is not."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.chapters import images
from helpers.data import cifar10
from helpers.errors import UserError

SMOKE: dict[str, Any] = {"scale": "smoke", "image_size": 96}


@pytest.fixture
def no_cifar10(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in ("REPORT_CACHE", "KERAS_HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.delenv("CIFAR10_DIR", raising=False)


@pytest.mark.usefixtures("no_cifar10")
def test_the_miniature_stands_in_only_for_what_is_not_here() -> None:
    asked = images.load(dataset="miniature", **SMOKE)
    assert (asked.dataset, asked.is_stand_in) == ("miniature", False)
    missing = images.load(dataset="cifar10", **SMOKE)
    assert (missing.dataset, missing.is_stand_in) == ("miniature", True)
    assert "not on this machine" in missing.origin and "not on this machine" not in asked.origin


@pytest.mark.usefixtures("no_cifar10")
def test_cifar10_is_shown_where_it_is_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cifar10, "locate", lambda: tmp_path)
    monkeypatch.setattr(images.sources, "load", lambda experiment: experiment.dataset)
    found = images.load(dataset="cifar10", **SMOKE)
    assert (found.dataset, found.is_stand_in, found.data) == ("cifar10", False, "cifar10")


def test_the_facts_of_the_data_are_those_of_the_study() -> None:
    assert images.FILES == 6 and images.FINGERPRINTS["cifar10"] == "f7358627169f1877"
    assert images.KNOWN[-1] == (10_000, "90.0% (89.4 to 90.6)")


def test_the_network_sees_enlarged_images_and_views() -> None:
    ch = images.load(dataset="miniature", scale="smoke", image_size=96)
    assert [(name, count) for name, count, _ in ch.parts] == [
        ("training", 256),
        ("validation", 128),
        ("test", 128),
    ]
    side = ch.experiment.image_size
    assert ch.shapes["enlarged"] == (side, side, 3) and ch.growth == (side / 32) ** 2
    assert ch.enlargement == ("small: ", f"{ch.growth:.0f} times as many")
    large = dataclasses.replace(ch, shapes=ch.shapes | {"image": ch.shapes["enlarged"]})
    assert large.enlargement == ("", "as many")
    assert ch.enlarged(ch.data.test.images[:2]).shape == (2, side, side, 3)
    assert [each.shape for each in ch.first] == [(32, 32, 3), (side, side, 3)]
    assert ch.ranges == (20, 0.1, 0.15)
    plain = ch.views(images=2, count=1, augmentation="none")
    np.testing.assert_allclose(plain[:, 0], ch.data.train.images[:2], atol=1e-3)
    mixed = ch.views(images=2, count=1, augmentation="standard+mixup")
    assert len(ch.views(images=1000, count=1)) == 256, "all that there are"
    assert mixed.shape == plain.shape and not np.allclose(mixed, ch.views(images=2, count=1))


def test_what_no_experiment_takes_is_refused() -> None:
    with pytest.raises(UserError, match="image_size=7 is outside 32 to 224"):
        images.load(dataset="cifar10", scale="smoke", image_size=7)


def test_what_is_stored_is_counted_from_the_networks_own_shapes() -> None:
    ch = images.load(dataset="miniature", scale="smoke", image_size=96)
    deep, high, channels = ch.shapes["stored"]
    assert ch.stored == deep * high * channels and ch.shapes["answer"] == (10,)
    assert ch.gigabytes == pytest.approx(256 * 2 * ch.stored / 1e9)
    assert set(ch.weights) == {"prefix", "suffix", "head"} and min(ch.weights.values()) > 1000


def test_a_class_has_one_count_or_a_range() -> None:
    ch = images.load(dataset="miniature", scale="smoke", image_size=96)
    even = np.repeat(np.arange(10), 4)
    parts = dataclasses.replace(ch.data.test, labels=even), dataclasses.replace(ch.data.val, labels=even[3:])
    told = dataclasses.replace(ch, data=dataclasses.replace(ch.data, test=parts[0], val=parts[1])).parts
    assert told[1:] == [("validation", 37, "1 to 4"), ("test", 40, "4")]
