"""Pictures classified with a trained run, and runs exported."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import kills
import numpy as np
import pytest
from PIL import Image

from helpers import cache
from helpers import run as door
from helpers.apps import cli, predict
from helpers.apps.network import NetworkError, classify
from helpers.apps.predict import Classifier, PredictionError, of_run
from helpers.data import sources
from helpers.experiment import Experiment, ExperimentError
from helpers.records.run import VIEWS, Run

FINE_TUNED = kills.small(learning_rate=3e-5, batch_size=16)
"""Fast enough that a backbone without what was trained gives itself away, and still of use."""
HEAD_ALONE = kills.small(n_unfreeze=0)
RUNS = {
    "cached": FINE_TUNED,
    "end_to_end": FINE_TUNED.replace(seed=1),  # else its files would be the other engine's
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


Command = Callable[..., subprocess.CompletedProcess[str]]


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The command line, called as a user does."""
    line = [sys.executable, "-m", "helpers", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, check=False)


@pytest.fixture
def command_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The same in this process, which has imported TensorFlow already."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        line, code = ["helpers", *map(str, arguments)], 0
        monkeypatch.setattr(sys, "argv", line)
        capsys.readouterr()
        try:
            cli.main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        return subprocess.CompletedProcess(line, code, *capsys.readouterr())

    return run


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
    run = door.run(RUNS[name], engine="end_to_end" if name == "end_to_end" else "cached", progress=False)
    plain, flipped = (run.probabilities("test", view) for view in VIEWS)
    assert np.abs(plain - flipped).max() > 5 * STORED, "a run that tells nothing apart proves nothing"
    network = of_run(RUNS[name])  # whichever engine trained
    test = sources.load(RUNS[name]).test
    images = test.images[np.argsort(test.labels, kind="stable")]
    for view, pictures, flip in (
        ("plain", images, False),
        ("flipped", images[:, :, ::-1], False),
        ("tta", images, True),
    ):
        found = classify(network, pictures, flip)
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
        classes = [sources.class_names(FINE_TUNED.dataset).index(name) for name in named]
        np.testing.assert_allclose(shown, probabilities[classes], rtol=0, atol=STORED)
        assert classes[0] == probabilities.argmax()


def test_one_bad_file_leaves_no_other_unanswered(store: Path, tmp_path: Path, command_here: Command) -> None:
    good = [saved(PIXELS, tmp_path / name) for name in ("a.png", "b.png")]
    (tmp_path / "text.png").write_text("a picture")
    done = command_here("predict", good[0], tmp_path / "text.png", good[1], *kills.options(FINE_TUNED))
    assert [line.split(": ")[0] for line in done.stdout.splitlines()[:2]] == list(map(str, good))
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("PictureError: ") and "text.png is no picture" in done.stderr


def assert_refused(done: subprocess.CompletedProcess[str], name: str) -> None:
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("PredictionError: ") and name in done.stderr
    assert len(done.stderr.splitlines()) == 1


# ---------------------------------------------------------------------------- which network


def test_a_file_answers_as_the_run_that_it_was_written_from(store: Path, tmp_path: Path) -> None:
    predict.export(HEAD_ALONE, tmp_path / "own.keras")
    data = Experiment(dataset="miniature", backbone_weights="miniature")
    file = predict.chosen(str(tmp_path / "own.keras"), data)
    run = predict.chosen("", HEAD_ALONE)
    assert file.classes == run.classes == sources.class_names("miniature")
    assert run.record and run.record.path == door.run(HEAD_ALONE).path and file.record is None
    images = sources.load(HEAD_ALONE).test.images[:20]
    expected = classify(run.network, images)
    np.testing.assert_allclose(classify(file.network, images), expected, rtol=0, atol=1e-5)


def beside(experiment: Experiment) -> Path:
    """The record of the trained weights."""
    found = predict.record_of(experiment)
    assert found
    return found.path


def test_the_record_of_a_repeated_training_is_the_one_beside_its_weights(store: Path) -> None:
    again = HEAD_ALONE.replace(seed=5)
    first = door.run(again, progress=False)
    assert beside(again) == first.path
    repeated = door.run(again, retrain=True, progress=False)
    assert beside(again) == repeated.path != first.path


def test_a_network_is_named_once(tmp_path: Path) -> None:
    for name in ("quick", str(tmp_path / "own.keras")):
        with pytest.raises(ExperimentError, match="leave it out, or n_unfreeze, seed"):
            predict.chosen(name, Experiment(n_unfreeze=10, seed=1))


def test_a_file_of_other_classes_is_refused(tmp_path: Path) -> None:
    inputs = keras.Input((32, 32, 3))
    three = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(inputs))
    keras.Model(inputs, three).save(tmp_path / "own.keras")
    with pytest.raises(
        PredictionError, match="own.keras tells 3 classes apart, and cifar10 has 10: .*--data"
    ):
        predict.chosen(str(tmp_path / "own.keras"), Experiment())


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_file_whose_answers_are_no_probabilities_is_refused(suffix: str, tmp_path: Path) -> None:
    inputs = keras.Input((32, 32, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(inputs)
    path = tmp_path / f"own{suffix}"
    logits = keras.Model(inputs, keras.layers.Dense(10)(pooled))
    logits.save(path)
    with pytest.raises(PredictionError, match=f"own{suffix} gives .* no probabilities.*a softmax"):
        predict.chosen(str(path), Experiment())
    keras.Sequential([logits, keras.layers.Activation("sigmoid")]).save(path)
    with pytest.raises(PredictionError, match="no probabilities.*a softmax in its last layer"):
        predict.chosen(str(path), Experiment())
    logits.set_weights([np.full_like(each, np.nan) for each in logits.get_weights()])
    logits.save(path)
    with pytest.raises(PredictionError, match="answers with nan: its training diverged"):
        predict.chosen(str(path), Experiment())
    logits.set_weights([np.zeros_like(each) for each in logits.get_weights()])
    keras.Sequential([logits, keras.layers.Softmax()]).save(path)
    assert predict.chosen(str(path), Experiment()).side == 32


# ---------------------------------------------------------------------------- how far to believe it


def of_brightness(record: Run | None) -> Classifier:
    """A network that is the surer of the last of ten classes the brighter a picture is."""
    inputs = keras.Input((32, 32, 3))
    softmax = keras.layers.Dense(10, activation="softmax", name="softmax")
    network = keras.Model(inputs, softmax(keras.layers.GlobalAveragePooling2D()(inputs)))
    weights = np.zeros((3, 10))
    weights[:, 9] = 0.01
    network.get_layer("softmax").set_weights([weights, np.zeros(10)])
    return Classifier("bright", network, sources.class_names("cifar10"), record)


def shown(folder: Path, record: Run | None) -> tuple[str, str, str]:
    """What is said of a dark and of a bright picture, and the note below."""
    files = [saved(np.full((32, 32, 3), grey, np.uint8), folder / f"{grey}.png") for grey in (0, 255)]
    (dark, bright, empty, note), _ = predict.describe(files, of_brightness(record))
    assert not empty
    return dark, bright, note


def test_an_answer_below_the_threshold_is_marked(make_run: Callable[..., Run], tmp_path: Path) -> None:
    run = make_run(0.98, val=1.0)
    dark, bright, note = shown(tmp_path, run)
    assert dark.endswith("10.0% (not to be believed)") and "truck 9" in bright
    assert not bright.endswith("(not to be believed)")
    assert "knows 10 classes (airplane, " in note and "whatever a picture shows" in note
    assert "An answer below 91.0% is not to be believed: of the test images 100.0%" in note
    assert "of these answers are wrong" in note and "2.0% (" in note


def test_where_nothing_is_to_be_believed_the_note_says_so(
    make_run: Callable[..., Run], tmp_path: Path
) -> None:
    poor = make_run(0.5)
    for record, reason in (
        (None, "no record of its answers"),
        (poor, "validation images show no confidence"),
    ):
        *lines, note = shown(tmp_path, record)
        assert not any("not to be believed" in line for line in lines)
        assert "When to believe it is not known" in note and reason in note


# ---------------------------------------------------------------------------- trained weights


def test_a_run_without_weights_names_the_command_that_makes_them(store: Path, tmp_path: Path) -> None:
    """From its record alone there is nothing to load; the command, put into a shell, mends that."""
    there = Path(shutil.copytree(store / "results", tmp_path / "results")).parent
    with pytest.MonkeyPatch.context() as patch:
        kills.use(there, patch)
        patch.setenv("TMPDIR", str(tmp_path))
        patch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
        with pytest.raises(PredictionError, match=r"no trained weights.*takes at most about 1 min") as caught:
            of_run(HEAD_ALONE)
        line = str(caught.value).split("with: ")[1]
        subprocess.run(line, shell=True, check=True, capture_output=True)
        assert of_run(HEAD_ALONE).output_shape == (None, 10)


def test_a_run_never_made_is_refused_in_one_line(empty: Path, command_here: Command) -> None:
    picture = saved(PIXELS, empty / "a.png")
    done = command_here("predict", picture, *kills.options(HEAD_ALONE))
    assert_refused(done, folder_of(HEAD_ALONE).name)
    assert done.stderr.rstrip().endswith(
        "with: python -m helpers run --dataset miniature --scale smoke --image-size 48 "
        f"--backbone-weights miniature --n-unfreeze 0 --learning-rate {HEAD_ALONE.learning_rate}"
    )


def test_the_weights_of_a_diagnosed_run_are_found(store: Path, empty: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        kills.use(store, patch)
        source = folder_of(HEAD_ALONE)
        fingerprints = door.fingerprints(HEAD_ALONE)
    shutil.copytree(source, cache.run_folder(HEAD_ALONE, fingerprints, diagnosed=True))
    assert of_run(HEAD_ALONE).output_shape == (None, 10)


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
            of_run(HEAD_ALONE)
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


@pytest.mark.parametrize(
    "experiment",
    [FINE_TUNED, pytest.param(HEAD_ALONE, marks=pytest.mark.long)],
    ids=["fine-tuned", "head alone"],
)
def test_an_exported_run_predicts_the_same_without_this_package(
    experiment: Experiment, store: Path, tmp_path: Path, command_here: Command
) -> None:
    path = tmp_path / "new" / "run.keras"
    done = command_here("export", path, *kills.options(experiment))
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
    expected = classify(of_run(experiment), images, flip=False)
    said = json.loads((tmp_path / "said.json").read_text())
    np.testing.assert_allclose(said, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["run.h5", "run", "keras"])
def test_another_format_is_refused_before_anything_is_loaded(name: str, empty: Path) -> None:
    with pytest.raises(ExperimentError, match=rf"{name} does not end in \.keras"):
        predict.export(HEAD_ALONE, empty / name)


def test_a_folder_that_cannot_be_written_is_named(store: Path, tmp_path: Path, command_here: Command) -> None:
    (tmp_path / "taken").write_text("a file where the folder should be")  # stops the superuser too
    done = command_here("export", tmp_path / "taken" / "run.keras", *kills.options(HEAD_ALONE))
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("NetworkError: ")  # above it TensorFlow may log
    assert "run.keras cannot be written" in done.stderr


def test_an_interrupted_export_leaves_the_earlier_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class OnAFullDisk:
        def save(self, path: Path) -> None:
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(predict, "of_run", lambda experiment: OnAFullDisk())
    path = tmp_path / "run.keras"
    path.write_bytes(b"an earlier file")
    with pytest.raises(NetworkError, match=r"run\.keras cannot be written.*No space"):
        predict.export(HEAD_ALONE, path)
    assert path.read_bytes() == b"an earlier file"
    assert list(tmp_path.iterdir()) == [path]
