"""Fashion-MNIST as a folder, made from tiny IDX files; a wrong one is refused by name."""

from __future__ import annotations

import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest

from helpers.apps import cli
from helpers.data import fashion_mnist, pictures, sources
from helpers.data.fashion_mnist import CLASSES
from helpers.data.split import DataError
from helpers.experiment import Experiment, ExperimentError

SIZES = {"train": 8, "t10k": 3}
"""Images of each class."""


def drawn(prefix: str) -> tuple[np.ndarray, np.ndarray]:
    """Random images (n, 28, 28) and their labels, in an order that mixes the classes."""
    rng = np.random.default_rng(len(prefix))
    labels = rng.permutation(np.repeat(np.arange(len(CLASSES)), SIZES[prefix])).astype(np.uint8)
    return rng.integers(0, 256, (len(labels), 28, 28), dtype=np.uint8), labels


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of four IDX files, which pass for the published ones."""
    monkeypatch.setenv("REPORT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "source").mkdir()
    for prefix in SIZES:
        images, labels = drawn(prefix)
        heads = {
            "images-idx3": struct.pack(">4I", 0x803, *images.shape) + images.tobytes(),
            "labels-idx1": struct.pack(">2I", 0x801, len(labels)) + labels.tobytes(),
        }
        for kind, content in heads.items():
            name = f"{prefix}-{kind}-ubyte.gz"
            (tmp_path / "source" / name).write_bytes(gzip.compress(content))
            monkeypatch.setitem(fashion_mnist.SHA256, name, hashlib.sha256(content).hexdigest())
    return tmp_path / "source"


def test_it_becomes_a_folder_whose_test_stays_whole(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "deep" / "clothes"
    said = fashion_mnist.write(source, target, each=6)
    assert said == f"{target}: 60 pictures to train on and 30 to test with"
    images = sources.load(Experiment(dataset=f"folder:{target}", image_size=32))
    assert images.classes == tuple(sorted(CLASSES)) and images.division.startswith("val held out")
    counts = [np.bincount(each.labels).tolist() for each in (images.train, images.val, images.test)]
    assert counts == [[5] * 10, [1] * 10, [3] * 10]


def test_each_picture_is_one_of_its_class_and_the_first_are_taken(source: Path, tmp_path: Path) -> None:
    fashion_mnist.write(source, tmp_path / "clothes", each=2)
    pixels, labels = drawn("train")
    for label, name in enumerate(CLASSES):
        written = sorted((tmp_path / "clothes" / "train" / name).iterdir())
        read = [pictures.read(path, 28)[..., 0] for path in written]
        assert np.array_equal(read, pixels[labels == label][:2])


def test_its_bytes_are_stated_so_that_its_fingerprint_stays(source: Path, tmp_path: Path) -> None:
    fashion_mnist.write(source, tmp_path / "clothes")
    pixels, labels = drawn("t10k")
    first = (tmp_path / "clothes" / "test" / "bag" / "0000.pgm").read_bytes()
    assert first == b"P5 28 28 255\n" + pixels[labels == CLASSES.index("bag")][0].tobytes()


@pytest.mark.parametrize("damage", ["missing", "truncated", "not packed", "of another set"])
def test_a_file_that_is_not_what_it_should_be_is_refused_by_name(
    damage: str, source: Path, tmp_path: Path
) -> None:
    path = source / "t10k-images-idx3-ubyte.gz"
    whole = path.read_bytes()
    content = {
        "missing": None,
        "truncated": whole[: len(whole) // 2],
        "not packed": gzip.decompress(whole),
        "of another set": gzip.compress(gzip.decompress(whole)[:-1] + b"\1"),
    }[damage]
    path.unlink() if content is None else path.write_bytes(content)
    wanted = "is not Fashion-MNIST's file" if damage == "of another set" else "cannot be read"
    with pytest.raises(DataError, match=rf"t10k-images-idx3-ubyte.gz {wanted}.*dataset-fashion-mnist"):
        fashion_mnist.write(source, tmp_path / "clothes")
    assert not (tmp_path / "clothes").exists()


@pytest.mark.parametrize("each", [1, 6001])
def test_a_number_that_no_class_has_is_refused(each: int, source: Path, tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match=rf"each={each}: 2 to 6,000"):
        fashion_mnist.write(source, tmp_path / "clothes", each)


def test_what_is_there_already_is_left_alone(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.write_fashion_mnist(source, tmp_path / "clothes", 2)
    assert capsys.readouterr().out.startswith(f"written: {tmp_path / 'clothes'}: 20 pictures")
    with pytest.raises(DataError, match="clothes is there already: name another folder"):
        fashion_mnist.write(source, tmp_path / "clothes")


def test_a_write_that_fails_leaves_nothing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DataError, match=r"clothes cannot be written \(No space left on device\): name"):
        fashion_mnist.write(source, tmp_path / "clothes")
    assert not [each for each in tmp_path.iterdir() if each != source]
