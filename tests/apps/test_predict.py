"""Pictures classified with a trained run, and runs exported."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kills
import numpy as np
import pytest
from PIL import Image

from helpers import cache
from helpers import run as door
from helpers.apps import export, predict
from helpers.apps.predict import PredictionError
from helpers.data import sources
from helpers.engine.trained import load
from helpers.experiment import Experiment
from helpers.records.run import VIEWS

FINE_TUNED = kills.small(learning_rate=3e-5, batch_size=16)
"""Fast enough that a backbone without what was trained gives itself away, and still of use."""
HEAD_ALONE = kills.small(n_unfreeze=0)
RUNS = {
    "bank": FINE_TUNED,
    "end_to_end": FINE_TUNED.replace(engine="end_to_end", seed=1),  # else its files would be the bank's
    "batch norm trains": FINE_TUNED.replace(backbone_bn="train"),
    "head alone": HEAD_ALONE,
}
STORED = 1e-2
"""Tolerance to a record, whose probabilities are float16 and rounded for the sake of its size."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all stores that this module's runs share."""
    return tmp_path_factory.mktemp("trained")


@pytest.fixture
def store(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That folder, which this test's process uses, with FINE_TUNED and HEAD_ALONE in it."""
    kills.use(trained, monkeypatch)
    for experiment in (FINE_TUNED, HEAD_ALONE):
        door.run(experiment, progress=False)
    return trained


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of empty stores that this test's process uses."""
    return kills.use(tmp_path, monkeypatch)


def folder_of(experiment: Experiment) -> Path:
    """Where the run's trained weights are."""
    return cache.run_folder(experiment, door.fingerprints(experiment))


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The command line, called as a user does."""
    line = [sys.executable, "-m", "helpers", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, check=False)


def saved(array: np.ndarray, path: Path, **given: Any) -> Path:
    """A picture file of an array's pixels."""
    Image.fromarray(array).save(path, **given)
    return path


PIXELS = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
GREY = PIXELS[..., 0]


# ---------------------------------------------------------------------------- classifying


@pytest.mark.parametrize("name", RUNS)
def test_a_loaded_run_gives_the_probabilities_of_its_record(
    name: str, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kills.use(trained, monkeypatch)
    run = door.run(RUNS[name], progress=False)
    plain, flipped = (run.probabilities("test", view) for view in VIEWS)
    assert np.abs(plain - flipped).max() > 5 * STORED, "a run that tells nothing apart proves nothing"
    network = load(RUNS[name].replace(engine="bank"))  # whichever engine trained
    test = sources.load(RUNS[name]).test
    images = test.images[np.argsort(test.labels, kind="stable")]
    for view, pictures, flip in (
        ("plain", images, False),
        ("flipped", images[:, :, ::-1], False),
        ("tta", images, True),
    ):
        found = predict.classify(network, pictures, flip)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, run.probabilities("test", view), rtol=0, atol=STORED)


def test_the_command_line_names_the_three_likeliest_classes(store: Path, tmp_path: Path) -> None:
    test, run = sources.load(FINE_TUNED).test, door.run(FINE_TUNED)
    rows = np.argsort(test.labels, kind="stable")[:2]
    paths = [saved(test.images[row], tmp_path / f"{row}.png") for row in rows]
    done = command("predict", *paths, *kills.options(FINE_TUNED))
    assert done.returncode == 0, done.stderr
    for line, path, probabilities in zip(
        done.stdout.splitlines(), paths, run.probabilities("test", "tta"), strict=False
    ):
        start, said = line.split(": ")
        named = {part.rsplit(" ", 1)[0]: part.rsplit(" ", 1)[1] for part in said.split(", ")}
        assert start == str(path) and len(named) == 3
        shown = [float(share.rstrip("%")) / 100 for share in named.values()]
        assert shown == sorted(shown, reverse=True)
        classes = [sources.CLASSES[FINE_TUNED.dataset].index(name) for name in named]
        np.testing.assert_allclose(shown, probabilities[classes], rtol=0, atol=STORED)
        assert classes[0] == probabilities.argmax()


# ---------------------------------------------------------------------------- pictures


@pytest.mark.parametrize(
    ("name", "stored", "seen"),
    [
        ("rgb.png", PIXELS, PIXELS),
        ("rgb.bmp", PIXELS, PIXELS),
        ("grey.png", GREY, np.stack([GREY] * 3, axis=2)),
        ("grey.gif", GREY, np.stack([GREY] * 3, axis=2)),
        ("grey16.png", GREY.astype(np.uint16) * 257, np.stack([GREY] * 3, axis=2)),
        ("grey16.tif", GREY.astype(np.int32) * 257, np.stack([GREY] * 3, axis=2)),
        ("two_colours.png", GREY > 127, np.stack([255 * (GREY > 127)] * 3, axis=2)),
        ("opaque.png", np.dstack([PIXELS, np.full_like(GREY, 255)]), PIXELS),
        ("clear.png", np.dstack([PIXELS, np.zeros_like(GREY)]), np.full_like(PIXELS, 255)),
    ],
)
def test_a_picture_of_32_pixels_is_seen_as_it_is(
    name: str, stored: np.ndarray, seen: np.ndarray, tmp_path: Path
) -> None:
    found = predict.picture(saved(stored, tmp_path / name))
    assert found.dtype == np.uint8
    assert np.array_equal(found, seen)


def test_what_is_half_transparent_is_seen_on_white(tmp_path: Path) -> None:
    path = saved(np.dstack([PIXELS, np.full_like(GREY, 128)]), tmp_path / "half.png")
    np.testing.assert_allclose(predict.picture(path), 127.5 + PIXELS / 2, rtol=0, atol=1.5)


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "L", "RGB"])
def test_a_jpeg_is_seen_about_as_it_was(mode: str, tmp_path: Path) -> None:
    Image.new("RGB", (90, 60), (200, 100, 50)).convert(mode).save(tmp_path / "a.jpg", quality=95)
    expected = Image.new("RGB", (32, 32), (200, 100, 50)).convert(mode).convert("RGB")
    np.testing.assert_allclose(predict.picture(tmp_path / "a.jpg"), np.asarray(expected), rtol=0, atol=4)


def test_of_an_animation_the_first_frame_is_seen(tmp_path: Path) -> None:
    red, blue = (Image.new("RGB", (40, 40), colour) for colour in ("red", "blue"))
    red.save(tmp_path / "a.gif", save_all=True, append_images=[blue])
    assert (predict.picture(tmp_path / "a.gif") == (255, 0, 0)).all()


@pytest.mark.parametrize("pixels", [PIXELS, GREY.astype(np.uint16) * 257], ids=["colour", "16 bits"])
def test_a_picture_taken_sideways_is_seen_upright(pixels: np.ndarray, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera's: to be turned clockwise by a quarter
    plain = predict.picture(saved(pixels, tmp_path / "plain.png"))
    turned = predict.picture(saved(pixels, tmp_path / "turned.png", exif=exif))
    assert np.array_equal(turned, np.rot90(plain, -1))


@pytest.mark.parametrize("upright", [False, True])
def test_the_middle_square_of_a_long_picture_is_seen(upright: bool, tmp_path: Path) -> None:
    stripes = np.zeros((50, 150, 3), np.uint8)
    for third, channel in enumerate((0, 1, 2)):
        stripes[:, 50 * third : 50 * (third + 1), channel] = 255
    path = saved(stripes.transpose(1, 0, 2) if upright else stripes, tmp_path / "long.png")
    inner = predict.picture(path)[2:-2, 2:-2]  # at the very edges, its neighbours shine in
    assert (inner == (0, 255, 0)).all()


def test_a_large_picture_is_averaged_not_sampled(tmp_path: Path) -> None:
    board = np.indices((330, 330)).sum(0).astype(np.uint8) % 2 * 255
    np.testing.assert_allclose(predict.picture(saved(board, tmp_path / "a.png")), 127.5, rtol=0, atol=8)


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (31, 33)])
def test_any_size_will_do(size: tuple[int, int], tmp_path: Path) -> None:
    Image.new("RGB", size, "red").save(tmp_path / "a.png")
    assert (predict.picture(tmp_path / "a.png") == (255, 0, 0)).all()


def short(path: Path) -> None:
    """A picture file that lacks its end."""
    saved(PIXELS, path)
    path.write_bytes(path.read_bytes()[:-100])


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "text.png": (lambda path: path.write_text("a picture"), "no picture of a known format; give a PNG"),
    "empty.png": (lambda path: path.touch(), "no picture of a known format; give a PNG"),
    "missing.png": (lambda path: None, "No such file or directory.*correct the path"),
    "folder.png": (lambda path: path.mkdir(), "Is a directory.*correct the path"),
    "short.png": (short, "truncated.*save the picture again"),
    "short.jpg": (short, "truncated.*save the picture again"),
    "float.tif": (
        lambda path: saved((GREY / 255).astype(np.float32), path),
        "floating-point.*as PNG or JPEG",
    ),
    "bomb.png": (lambda path: Image.new("1", (20_000, 20_000)).save(path), "89 million pixels.*smaller"),
    "large.png": (lambda path: Image.new("1", (10_000, 9_000)).save(path), "89 million pixels.*smaller"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_whole_picture_is_refused_by_name(name: str, tmp_path: Path) -> None:
    make, reason = REFUSED[name]
    make(tmp_path / name)
    with pytest.raises(PredictionError, match=f"{name} .*{reason}"):
        predict.picture(tmp_path / name)


@pytest.mark.parametrize("name", ["text.png", "missing.png", "folder.png", "short.jpg", "large.png"])
def test_the_command_line_refuses_in_one_line(name: str, tmp_path: Path) -> None:
    REFUSED[name][0](tmp_path / name)
    good = saved(PIXELS, tmp_path / "good.png")
    assert_refused(command("predict", good, tmp_path / name, *kills.options(FINE_TUNED)), name)


def assert_refused(done: subprocess.CompletedProcess[str], name: str) -> None:
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("PredictionError: ") and name in done.stderr
    assert len(done.stderr.splitlines()) == 1


# ---------------------------------------------------------------------------- trained weights


def test_a_run_without_weights_names_the_command_that_makes_them(store: Path, tmp_path: Path) -> None:
    """From its record alone there is nothing to load; the command, put into a shell, mends that."""
    there = Path(shutil.copytree(store / "results", tmp_path / "results")).parent
    with pytest.MonkeyPatch.context() as patch:
        kills.use(there, patch)
        patch.setenv("TMPDIR", str(tmp_path))
        patch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
        with pytest.raises(PredictionError, match=r"no trained weights.*takes at most about 1 min") as caught:
            load(HEAD_ALONE)
        line = str(caught.value).split("with: ")[1]
        subprocess.run(line, shell=True, check=True, capture_output=True)
        assert load(HEAD_ALONE).output_shape == (None, 10)


def test_a_run_never_made_is_refused_in_one_line(empty: Path) -> None:
    picture = saved(PIXELS, empty / "a.png")
    done = command("predict", picture, *kills.options(HEAD_ALONE))
    assert_refused(done, folder_of(HEAD_ALONE).name)
    assert done.stderr.rstrip().endswith(
        "with: python -m helpers run --dataset miniature --scale smoke --image-size 48 "
        f"--backbone-weights miniature --n-unfreeze 0 --learning-rate {HEAD_ALONE.learning_rate}"
    )


def test_the_weights_of_a_diagnosed_run_are_found(store: Path, empty: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        kills.use(store, patch)
        source = folder_of(HEAD_ALONE)
    shutil.copytree(source, folder_of(HEAD_ALONE.replace(diagnosed=True)))
    assert load(HEAD_ALONE).output_shape == (None, 10)


class Trap:
    """What runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch trapped",)


def damaged(content: bytes) -> bytes:
    """One bit in the middle turned."""
    turned = bytearray(content)
    turned[len(turned) // 2] ^= 1
    return bytes(turned)


def test_weights_that_do_not_fit_are_refused(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads, whole = (folder_of(each) / "weights.npz" for each in (HEAD_ALONE, FINE_TUNED))
    content, other = heads.read_bytes(), whole.read_bytes()
    kills.use(tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)
    place = folder_of(HEAD_ALONE) / "weights.npz"
    place.parent.mkdir(parents=True)
    np.savez(tmp_path / "trap.npz", w0=np.array([Trap()], dtype=object))
    for wrong, reason in (
        (other, "its arrays are not this network's"),
        (damaged(content), "CRC"),
        (content[:-100], "zip"),
        (b"", "No data"),
        ((tmp_path / "trap.npz").read_bytes(), "allow_pickle"),
    ):
        place.write_bytes(wrong)
        with pytest.raises(PredictionError, match=f"weights.npz cannot be used .*{reason}.*helpers run"):
            load(HEAD_ALONE)
    assert not (tmp_path / "trapped").exists()


# ---------------------------------------------------------------------------- exporting

ELSEWHERE = """
import json, sys
import numpy as np
import keras
network = keras.models.load_model(sys.argv[1], safe_mode=True)
assert network.input_shape == (None, 32, 32, 3), network.input_shape
assert "helpers" not in sys.modules
json.dump(network.predict(np.load(sys.argv[2]), verbose=0).tolist(), open(sys.argv[3], "w"))
"""


@pytest.mark.parametrize("experiment", [FINE_TUNED, HEAD_ALONE], ids=["fine-tuned", "head alone"])
def test_an_exported_run_predicts_the_same_without_this_package(
    experiment: Experiment, store: Path, tmp_path: Path
) -> None:
    path = tmp_path / "new" / "run.keras"
    done = command("export", path, *kills.options(experiment))
    assert done.returncode == 0, done.stderr
    assert [each.name for each in path.parent.iterdir()] == ["run.keras"]
    images = sources.load(experiment).test.images[:20]
    np.save(tmp_path / "images.npy", images)
    environment = {name: value for name, value in os.environ.items() if name != "MOBILENETV2_WEIGHTS"}
    subprocess.run(
        [sys.executable, "-c", ELSEWHERE, path, tmp_path / "images.npy", tmp_path / "said.json"],
        env=environment | {"KERAS_HOME": str(tmp_path / "keras")},
        cwd=tmp_path,
        check=True,
    )
    expected = predict.classify(load(experiment), images, flip=False)
    said = json.loads((tmp_path / "said.json").read_text())
    np.testing.assert_allclose(said, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["run.h5", "run", "keras"])
def test_another_format_is_refused_before_anything_is_loaded(name: str, empty: Path) -> None:
    with pytest.raises(PredictionError, match=rf"{name} does not end in \.keras"):
        export.export(HEAD_ALONE, empty / name)


def test_a_folder_that_cannot_be_written_is_named(store: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where the folder should be")  # stops the superuser too
    done = command("export", tmp_path / "taken" / "run.keras", *kills.options(HEAD_ALONE))
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("PredictionError: ")  # above it TensorFlow may log
    assert "run.keras cannot be written" in done.stderr


def test_an_interrupted_export_leaves_the_earlier_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class OnAFullDisk:
        def save(self, path: Path) -> None:
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(predict, "load", lambda experiment: OnAFullDisk())
    path = tmp_path / "run.keras"
    path.write_bytes(b"an earlier file")
    with pytest.raises(PredictionError, match=r"run\.keras cannot be written.*No space"):
        export.export(HEAD_ALONE, path)
    assert path.read_bytes() == b"an earlier file"
    assert list(tmp_path.iterdir()) == [path]
