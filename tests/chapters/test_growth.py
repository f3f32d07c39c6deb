"""Chapter 11 on a made-up bench: its laws, its arithmetic beyond what was measured, and its workers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from helpers.analysis import speed
from helpers.analysis.speed import Cost
from helpers.chapters import growth
from helpers.chapters.growth import Growth
from helpers.experiment import Experiment, ExperimentError


def cost(along: str, images: int = 1000, image_size: int = 160, n_unfreeze: int = 30) -> Cost:
    """Storing a thousand usual images takes 10 s and 20 MB, and a pass over them 5 s."""
    size = images * (image_size / 160) ** 2
    return Cost(along, images, image_size, n_unfreeze, size / 100, size / 200, int(20_000 * size))


POINTS = [
    *(cost("images", images=images) for images in (1000, 10_000)),
    *(cost("image_size", image_size=side) for side in (80, 160)),
    *(cost("n_unfreeze", n_unfreeze=depth) for depth in (15, 60)),
]


def chapter(**changes: Any) -> Growth:
    """The study's protocol on 2,000 images, and on a hundred times as many by ten workers of one speed."""
    bench = speed.read()
    steady = replace(bench.features, ours_seconds=[1.0, 1.0])
    known = {"images": 200_000, "workers": 10, "gigabytes_per_second": 1.0} | changes
    return Growth(Experiment(), 2000, replace(bench, growth=POINTS, features=steady), **known)


def test_twice_as_much_costs_by_the_law() -> None:
    images, side, depth = chapter().laws
    assert images == ("training images, 1,000 to 10,000", "2.0", "2.0", "2.0", "0%")
    assert side[1:] == ("4.0", "4.0", "4.0", "0%")
    assert depth[1:] == ("1.0", "1.0", "1.0", "0%")
    assert chapter().more == pytest.approx(10)


def test_views_are_stored_once_and_passed_over_often() -> None:
    found = {what: told for what, *told in chapter().beside}
    assert found["storing 4 views"] == ["80 s", "2.2 h"]
    assert found["28 passes"] == ["4.7 min", "7.8 h"]
    assert found["4 stored views"] == ["0.16 GB", "16 GB"]
    assert found["the pictures, at 160 px"] == ["0.15 GB", "15 GB"]


def test_large_shards_wait_for_the_slow_worker() -> None:
    """4 views of 200,000 images are 8,000 s of work: nine workers and a half can end it in 842 s."""
    whole, tenth, hundredth = chapter().sharded.values()
    assert whole == pytest.approx(1600)  # the slow one takes twice its share
    assert 8000 / 9.5 <= hundredth <= tenth < whole
    assert chapter().coarse == pytest.approx(whole / hundredth)
    assert [line[0] for line in chapter().shards] == list(growth.SHARDS)
    assert chapter().shards[0][1:] == ("80,000", "27 min", "1.90")


@pytest.mark.parametrize("workers", [1, 4, 6, 10])
def test_no_division_is_quicker_than_all_workers_at_once(workers: int) -> None:
    """Also of so few workers that none of them, or more than a tenth, is slow."""
    assert all(float(beside) >= 1 for *_, beside in chapter(workers=workers).shards)


@pytest.mark.parametrize(("given", "fed"), [(1.0, 10), (0.04, 10), (0.02, 5), (0.0001, 0)])
def test_a_store_feeds_as_many_as_it_can(given: float, fed: int) -> None:
    """A worker reads 200 images of 20 kB in a second, ten of them 0.04 GB."""
    assert chapter().wanted == pytest.approx(0.04)
    assert chapter(gigabytes_per_second=given * 1.0001).fed == fed


@pytest.mark.parametrize("none", ["images", "workers"])
def test_nothing_to_plan_for_is_refused(none: str) -> None:
    asked: dict[str, Any] = {"images": 10, "workers": 2} | {none: 0}
    with pytest.raises(ExperimentError, match=f"{none}=0"):
        growth.load(dataset="miniature", scale="smoke", gigabytes_per_second=1.0, **asked)


def test_its_own_images_are_those_of_the_page() -> None:
    asked: dict[str, Any] = {"images": 10, "workers": 1, "gigabytes_per_second": 1.0}
    assert growth.load(dataset="cifar10", scale="full", **asked).own == 45_000
    small = growth.load(dataset="miniature", scale="smoke", **asked)
    assert small.own < 45_000 and small.experiment.dataset == "miniature"
