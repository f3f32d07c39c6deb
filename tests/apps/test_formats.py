"""A network in the formats of other programs: read back, each answers as it should."""

import re
import shutil
import sys
from pathlib import Path

import keras
import kills
import numpy as np
import pytest

from helpers.apps import formats
from helpers.apps.formats import FormatError
from helpers.apps.groups import MissingPackageError
from helpers.data import sources
from helpers.data.split import DataError
from helpers.engine import model
from helpers.engine.miniature import backbone
from helpers.experiment import Experiment, ExperimentError

MINIATURE = Experiment(dataset="miniature", backbone_weights="miniature", scale="smoke")
FILES = [f"own{end}{suffix}" for end in ("", "-int8") for suffix in (".tflite", ".xml", ".onnx")]


def network() -> keras.Model:
    """The miniature's first blocks with a head that answers each picture differently."""
    keras.utils.set_random_seed(1)
    whole = backbone()
    whole = keras.Model(whole.input, whole.get_layer("block_3_project_BN").output)
    top = model.head(MINIATURE.replace(head_norm="none", head_units=4096, seed=3), whole.output.shape[-1])
    kernel, bias = top.get_layer("head_softmax").get_weights()
    top.get_layer("head_softmax").set_weights([6 * kernel, bias])
    pixels = model.pixels_to(whole, "pooled")
    return keras.Model(pixels.input, top(pixels.output))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a network in every format, and what was said of it."""
    place = tmp_path_factory.mktemp("exported")
    network().save(place / "own.keras")
    return place / "all", formats.everywhere(str(place / "own.keras"), MINIATURE, place / "all")


def test_every_format_is_there_and_the_rest_is_refused_with_its_reason(exported: tuple[Path, str]) -> None:
    folder, text = exported
    binaries = {"own.bin", "own-int8.bin"}
    assert {path.name for path in folder.iterdir()} == {"own.keras", "README.md", *FILES, *binaries}
    assert (folder / "README.md").read_text() == text
    assert "Not written: own-int8.keras. Keras quantizes dense layers alone" in text
    assert text.startswith("# own.keras in other formats\n") and "asked about 128 validation images" in text
    assert "(n, 32, 32, 3), 0 to 255" in text


def test_what_is_said_of_a_file_is_what_it_answers(exported: tuple[Path, str]) -> None:
    folder, text = exported
    judged = sources.load(MINIATURE).val
    truth = formats.ask(folder / "own.keras", judged.images)
    assert len(set(truth.argmax(axis=1))) > 4, "a network that answers all alike proves nothing"
    for name in FILES:
        found = formats.ask(folder / name, judged.images)
        (row,) = re.findall(rf"^\| {re.escape(name)}.*$", text, re.MULTILINE)
        _, _, _, accuracy, agreement, largest, _ = (part.strip() for part in row.split("|"))
        same = (found.argmax(axis=1) == truth.argmax(axis=1)).mean()
        assert agreement == f"{same:.1%}"
        assert accuracy.startswith(f"{(found.argmax(axis=1) == judged.labels).mean():.1%} (")
        assert float(largest) == pytest.approx(np.abs(found - truth).max(), rel=0.1)
        if "int8" in name:
            assert same > 0.8 and np.abs(found - truth).max() > 1e-3, "int8 costs something"
        else:
            assert same == 1 and np.abs(found - truth).max() < 1e-4


def test_int8_takes_less_than_half_of_the_room(exported: tuple[Path, str]) -> None:
    folder, _ = exported
    for name in ("own.tflite", "own.bin", "own.onnx"):
        small = folder / name.replace("own", "own-int8")
        assert small.stat().st_size < (folder / name).stat().st_size / 2


def test_without_its_package_onnx_is_left_out_with_the_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(
        MissingPackageError, match=r"tf2onnx is not installed; this cures it: make \.venv/\.export"
    ):
        formats.to_onnx(tmp_path / "own.tflite", tmp_path / "own.onnx")


def test_without_images_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network().save(tmp_path / "own.keras")
    kills.use(tmp_path, monkeypatch)
    (tmp_path / "cifar-10-batches-py").mkdir()
    monkeypatch.setenv("CIFAR10_DIR", str(tmp_path / "cifar-10-batches-py"))
    with pytest.raises(DataError, match="CIFAR10_DIR"):
        formats.everywhere(str(tmp_path / "own.keras"), Experiment(), tmp_path / "all")
    assert not (tmp_path / "all").exists()


def test_pictures_of_another_size_are_refused_by_their_size(tmp_path: Path) -> None:
    pooled = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(10, activation="softmax")]
    keras.Sequential([keras.Input((24, 24, 3)), *pooled]).save(tmp_path / "own.keras")
    with pytest.raises(ExperimentError, match=r"own\.keras takes pictures of 24 pixels a side, .*have 32"):
        formats.everywhere(str(tmp_path / "own.keras"), Experiment(), tmp_path / "all")
    assert not (tmp_path / "all").exists()


def test_a_users_own_files_are_not_replaced(exported: tuple[Path, str], tmp_path: Path) -> None:
    path, notes = tmp_path / "own.keras", tmp_path / "other" / "README.md"
    shutil.copy(exported[0] / "own.keras", path)
    notes.parent.mkdir()
    notes.write_text("# own.keras")
    before = path.read_bytes()
    with pytest.raises(FormatError, match=r"holds .*own\.keras itself.*another folder"):
        formats.everywhere(str(path), MINIATURE, tmp_path)
    with pytest.raises(FormatError, match=r"README\.md is of something else.*another folder"):
        formats.everywhere(str(path), MINIATURE, notes.parent)
    assert path.read_bytes() == before and [each.name for each in notes.parent.iterdir()] == ["README.md"]
    notes.rename(notes.with_name("own-int8.tflite"))
    with pytest.raises(FormatError, match=r"own-int8\.tflite is of something else.*another folder"):
        formats.everywhere(str(path), MINIATURE, notes.parent)


def test_a_keras_without_litert_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest one for Python 3.10 is such."""
    monkeypatch.setattr(keras, "__version__", "3.12.4")
    with pytest.raises(FormatError, match=r"Keras 3\.12\.4 writes no LiteRT file: use Python 3\.11"):
        formats.everywhere("quick", Experiment(), tmp_path)


def test_another_backend_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    with pytest.raises(ExperimentError, match="KERAS_BACKEND=jax: TensorFlow writes these; unset it"):
        formats.everywhere("quick", Experiment(), tmp_path)
