"""The bench measures what it says: both ways do the same work, and its result holds what a reader needs."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import kills
import made
import numpy as np
import pytest

from helpers.analysis import speed
from helpers.apps import bench, compare
from helpers.experiment import Experiment

DEEPER = kills.small().replace(n_unfreeze=66, precision="bfloat16")
SMALL = compare.Sizes(
    features=64,
    epoch=64,
    sweep=32,
    sweep_epochs=1,
    sweep_experiments=1,
    growth=32,
    growth_images=(24, 48),
    pairs=2,
    matrix=64,
)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """The bench on the miniature; its times mean nothing at this size."""
    with pytest.MonkeyPatch.context() as patch:
        kills.use(tmp_path_factory.mktemp("bench"), patch)
        return json.loads(json.dumps(bench.bench(kills.small(), DEEPER, SMALL)))


@pytest.mark.long
@pytest.mark.parametrize("name", [*compare.TARGETS, "deeper", "sweep_float32"])
def test_a_ratio_lies_within_its_pairs(result: dict[str, dict[str, float]], name: str) -> None:
    compared = result[name]
    assert 0 < compared["low"] <= compared["ratio"] <= compared["high"]
    assert compared["target"] == compare.TARGETS.get(name)


@pytest.mark.long
def test_peak_memory_of_each_way_is_that_of_its_own_process(result: dict[str, dict[str, float]]) -> None:
    assert set(result["memory_gb"]) == set(speed.WAYS.values())
    assert all(0.1 < gigabytes < 10 for gigabytes in result["memory_gb"].values())


@pytest.mark.long
def test_peak_memory_is_not_inherited() -> None:
    """A small process started by a large one is small."""
    code = "from helpers.apps import bench; print(bench.peak_memory())"
    large = np.ones(200_000_000)  # 1.6 GB, touched; TensorFlow alone takes half of that
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert int(said) < large.nbytes < bench.peak_memory()


def test_a_bench_that_was_stopped_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def child(function: str, *_: object, moved: str) -> dict[str, int]:
        asked.append((function, moved))
        return {"it": 7}

    monkeypatch.setattr(bench, "_in_child", child)
    for _ in range(2):
        assert bench._kept(tmp_path / "today" / "part.json", "part", moved="REPORT_CACHE") == {"it": 7}
    assert asked == [("part", "REPORT_CACHE")]


def test_the_sweep_counts_the_building_of_the_bank() -> None:
    found = compare.summary("sweep", [(10.0, 4.0), (10.0, 6.0)], 100)
    assert [found[name] for name in ("ratio", "low", "high")] == [2.0, 10 / 6, 2.5]
    assert (found["plain_seconds"], found["ours_seconds"]) == ([10.0, 10.0], [4.0, 6.0])


def test_plain_keras_is_charged_for_features_once_and_for_every_pass() -> None:
    timed = speed.read()
    timed = dataclasses.replace(
        timed,
        features=dataclasses.replace(timed.features, plain_images_per_second=1000),
        epoch=dataclasses.replace(timed.epoch, plain_images_per_second=500),
        deeper=dataclasses.replace(timed.deeper, plain_images_per_second=100),
    )
    start, deep = made.run_without_files(), made.run_without_files(Experiment(n_unfreeze=66, stage1_epochs=0))
    stored = 45 + 1 + 2 + made.SECONDS["top_train"]  # of 45,000, 1,000 and 2,000 images
    assert timed.plain_seconds(start) == stored + 180
    assert timed.plain_seconds(deep) == 900
    assert timed.plain_seconds(made.run_without_files(Experiment(n_unfreeze=0))) == stored
    with pytest.raises(LookupError, match="n_unfreeze=30 and image_size=128; `make bench`"):
        timed.plain_seconds(made.run_without_files(Experiment(image_size=128)))
    timed = dataclasses.replace(timed, pytorch={"epoch": 250.0})
    assert timed.pytorch_seconds(start) == stored + 360
    with pytest.raises(LookupError, match="n_unfreeze=66"):
        timed.pytorch_seconds(deep)


def test_both_ways_are_one_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What plain Keras trains, and ours above the cut, hold as many weights, and train the same ones."""
    kills.use(tmp_path, monkeypatch)
    work = compare.Work(kills.small())
    plain, ours = work.plain(work.experiment), work.above_cut(work.experiment)
    shapes = [
        sorted(tuple(weight.shape) for weight in network.trainable_weights) for network in (plain, ours)
    ]
    assert shapes[0] == shapes[1]
    images = work.images.train.first(8).images.astype(np.float32)
    assert plain.predict(images, verbose=0).shape == (8, 10)


def test_nothing_is_traced_while_the_clock_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the last batch of a pass either, which is smaller than the others."""
    kills.use(tmp_path, monkeypatch)
    work = compare.Work(kills.small())
    above = work.above_cut(work.experiment)
    rows = np.zeros((72, *above.input_shape[1:]), np.float16)
    work.trace(above, rows, 32)
    traced, call = [], type(above).call

    def counted(*given: Any, **how: Any) -> Any:
        traced.append(how)
        return call(*given, **how)

    monkeypatch.setattr(type(above), "call", counted)
    work.ours(above, rows, 32)
    assert not traced


def test_the_profile_shares_out_all_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kills.use(tmp_path, monkeypatch)
    given = [dataclasses.asdict(kills.small()), dataclasses.asdict(DEEPER), dataclasses.asdict(SMALL)]
    spent = compare.measured("profile", *given)["profile"]
    assert sum(spent.values()) == pytest.approx(1)
    assert all(spent[kind] > 0 for kind in ("convolution", "depthwise convolution", "resizing"))
    assert spent["the rest"] < 0.2


def test_multiply_adds_of_mobilenetv2() -> None:
    """Sandler et al. 2018, table 4: 300 million at 224 pixels with the classifier, which is 1.3 of them."""
    import keras

    network = keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(224, 224, 3))
    assert bench.multiply_adds(network) / 1e6 == pytest.approx(299, abs=3)
    assert 0.05 < bench.multiply_adds(network, bench.DEPTHWISE) / bench.multiply_adds(network) < 0.1


@pytest.mark.long
def test_the_result_is_kept_and_read(result: dict[str, Any], tmp_path: Path) -> None:
    timed = speed.read(bench.write(result, tmp_path / "bench.json"))
    assert timed.epoch.ratio == result["epoch"]["ratio"] and timed.deeper.n_unfreeze == DEEPER.n_unfreeze
    assert timed.ours_memory_gb == result["memory_gb"]["from the bank"]
    assert (timed.whole_million, timed.threads) == (
        result["arithmetic"]["whole_million"],
        result["environment"]["threads"],
    )
    assert [left.name for left in tmp_path.iterdir()] == ["bench.json"]
