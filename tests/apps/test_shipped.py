"""The networks that ship: each is the file that its record is of, and its card says what that record says."""

import dataclasses
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import kills
import numpy as np
import pytest
from PIL import Image

from helpers import paths
from helpers import run as door
from helpers.analysis import intervals
from helpers.apps import card, network, predict, ship, shipped
from helpers.apps.shipped import Shipped, ShippedError
from helpers.data import cifar10, sources
from helpers.errors import UserError
from helpers.experiment import Experiment
from helpers.records import store
from helpers.records.run import VIEWS, Run

NAMES = [name for name in shipped.NETWORKS if shipped.place(name).is_file()]
HEAD_ALONE = kills.small(n_unfreeze=0)

# ---------------------------------------------------------------------------- what ships


def test_both_networks_ship_and_the_best_is_asked() -> None:
    assert NAMES == ["best", "quick"] and shipped.default() == "best"
    assert {path.name for path in paths.MODELS.iterdir() if path.is_dir()} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_file_is_the_one_of_its_record(name: str) -> None:
    found = shipped.find(name)
    run = found.record
    assert run.key == shipped.NETWORKS[name].key and run.id == run.experiment.identity(run.fingerprints)
    assert run.classes == sources.class_names("cifar10")
    committed = door.find(shipped.NETWORKS[name])
    assert committed and found.card.read_text(encoding="utf-8") == card.written(found, committed)
    assert f"| SHA-256 | `{shipped.fingerprint(found.file)}` |" in found.card.read_text()
    assert str(intervals.accuracy(run.correct("test", "tta"))) in found.card.read_text()


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_file_answers(name: str) -> None:
    model = network.load(shipped.find(name).file)
    assert model.input_shape == (None, 32, 32, 3) and model.output_shape == (None, 10)
    pictures = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3))
    answers = network.classify(model, pictures)
    np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-5)
    assert np.abs(answers[0] - answers[1]).max() > 1e-3


@pytest.mark.skipif(not cifar10.locate(), reason="needs the real CIFAR-10")
@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_file_answers_as_its_record(name: str) -> None:
    found, test = shipped.find(name), sources.load(Experiment()).test
    rows = np.argsort(test.labels, kind="stable")[::500]
    answers = network.classify(network.load(found.file), test.images[rows])
    np.testing.assert_allclose(answers, found.record.probabilities("test", "tta")[::500], rtol=0, atol=1e-2)


def test_pictures_are_classified_with_nothing_trained_and_no_network(tmp_path: Path) -> None:
    Image.fromarray(np.full((40, 50, 3), 99, np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("no picture")
    command = [sys.executable, "-m", "helpers", "predict", str(tmp_path / "b.png"), str(tmp_path / "a.png")]
    with pytest.MonkeyPatch.context() as patch:
        kills.use(tmp_path / "empty", patch)
        for name in ("MOBILENETV2_WEIGHTS", "CIFAR10_DIR"):
            patch.delenv(name, raising=False)
        for name in ("http_proxy", "https_proxy"):
            patch.setenv(name, "http://127.0.0.1:9")  # whatever is asked of a network fails
        patch.setenv("KERAS_HOME", str(tmp_path / "keras"))
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.startswith(f"{tmp_path / 'a.png'}: ")
    assert f"\n{shipped.default()} knows 10 classes" in done.stdout
    assert done.returncode == 1 and "b.png is no picture" in done.stderr
    assert not (tmp_path / "empty").exists()


# ---------------------------------------------------------------------------- what is refused


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the networks that ship, for this test alone; the quick one's."""
    shutil.copytree(paths.MODELS / "quick", tmp_path / "models" / "quick")
    monkeypatch.setattr(paths, "MODELS", tmp_path / "models")
    return tmp_path / "models" / "quick"


def test_another_file_than_the_records_is_refused(copied: Path) -> None:
    content = bytearray((copied / "quick.keras").read_bytes())
    content[len(content) // 2] ^= 1
    (copied / "quick.keras").write_bytes(content)
    with pytest.raises(ShippedError, match="quick.keras is not the file .* python -m helpers ship quick"):
        shipped.find("quick")


def test_a_file_without_its_record_is_refused(copied: Path) -> None:
    for path in store.paths(copied):
        path.unlink()
    with pytest.raises(ShippedError, match="quick.keras is not the file"):
        shipped.find("quick")


def test_what_does_not_ship_is_refused_by_name(copied: Path) -> None:
    (copied / "quick.keras").unlink()
    with pytest.raises(ShippedError, match="'quick' does not ship here: .*version control"):
        shipped.find("quick")
    with pytest.raises(ShippedError, match="holds no network"):
        shipped.default()
    with pytest.raises(ShippedError, match="'quik'; did you mean 'quick'"):
        shipped.find("quik")


# ---------------------------------------------------------------------------- writing one


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run]:
    """A network of the miniature's, packed from its training, and the record of the training."""
    place = tmp_path_factory.mktemp("packed")
    with pytest.MonkeyPatch.context() as patch:
        kills.use(place, patch)
        made = door.run(HEAD_ALONE, progress=False)
        ship.pack(HEAD_ALONE, place / "models" / "own.keras")
    return place, made


def test_a_packed_file_has_a_record_of_its_own_answers(packed: tuple[Path, Run]) -> None:
    place, made = packed
    file = place / "models" / "own.keras"
    (record,) = store.read_whole(file.parent)
    assert record.fingerprints == {**made.fingerprints, "network": shipped.fingerprint(file)}
    assert record.id == HEAD_ALONE.identity(record.fingerprints) != made.id
    assert (record.curves, record.config) == (made.curves, made.config)
    images = sources.load(HEAD_ALONE).test
    pixels = images.images[np.argsort(images.labels, kind="stable")]
    for view, seen in zip(VIEWS, (pixels, pixels[:, :, ::-1]), strict=True):
        answers = store.compact(network.classify(network.load(file), seen, flip=False))
        np.testing.assert_allclose(record.probabilities("test", view), answers, atol=1e-3)
    assert record.metrics["test_tta"] == pytest.approx(record.correct("test", "tta").mean())
    assert record.matrix().trace() == record.correct("test").sum()


def test_packing_again_leaves_one_record(packed: tuple[Path, Run], monkeypatch: pytest.MonkeyPatch) -> None:
    place, _ = packed
    kills.use(place, monkeypatch)
    ship.pack(HEAD_ALONE, place / "models" / "own.keras")
    names = sorted(path.suffix for path in (place / "models").iterdir())
    assert names == [".json", ".keras", ".npz"]


def test_the_record_of_other_weights_is_refused(
    packed: tuple[Path, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kills.use(tmp_path, monkeypatch)
    door.run(HEAD_ALONE, progress=False)
    weights = predict.weights_file(HEAD_ALONE)
    with np.load(weights) as stored:
        values = {name: value[..., ::-1] for name, value in stored.items()}  # its classes, from the last on
    np.savez(weights, **values)
    with pytest.raises(UserError, match="no record here is of the trained weights"):
        ship.pack(HEAD_ALONE, tmp_path / "models" / "own.keras")
    assert list((tmp_path / "models").iterdir()) == []


# ---------------------------------------------------------------------------- its card


def as_shipped(run: Run, folder: Path) -> Shipped:
    """A run as if it were that of a file that ships."""
    (folder / "made.keras").write_bytes(b"0" * 1_500_000)
    fingerprints = {"data": "d", "weights": "w", "network": "n" * 64}
    return Shipped("made", folder / "made.keras", dataclasses.replace(run, fingerprints=fingerprints))


def test_a_card_says_what_the_record_says(make_run: Callable[..., Run], tmp_path: Path) -> None:
    run = make_run(0.95, val=1.0, confused={3: 5}, head_units=0, learning_rate=3e-4)
    text = card.written(as_shipped(run, tmp_path), run)
    assert text.startswith("# made: a network for CIFAR-10, 95.0%\n")
    assert "| file | [made.keras](made.keras), 1.5 MB |" in text and f"`{'n' * 64}`" in text
    assert str(intervals.accuracy(run.correct("test"))) in text
    assert "| 100.0% (99.6 to 100.0) |" in text, "of the validation images"
    assert "python -m helpers run --head-units 0 --learning-rate 0.0003 --retrain" in text
    assert "python -m helpers ship made" in text
    assert "Trained on 2 threads of Some CPU" in text and "took 17 min on 2 threads" in text
    assert re.search(r"confuses \w+ with \w+, in \d+% of its errors", text)
    assert all(
        title in text for title in ("## What it must not be used for", "Apache License 2.0", "CIFAR-10")
    )


def test_a_card_tells_the_training_of_the_report_from_another(make_run: Callable[..., Run]) -> None:
    run, other = make_run(0.95), make_run(0.94, seed=1, curves={"stage2": {"val_accuracy": [0.5, 0.6]}})
    assert "The report shows the same training" in card.nearness(run, run)
    assert "+0.0 points" in card.nearness(run, run)
    told = card.nearness(run, other)
    assert "another training of the same experiment, at 94.0%" in told and "+1.0 points (" in told
    assert told.endswith("as many threads.")


def test_a_card_says_which_way_its_confidence_errs(make_run: Callable[..., Run]) -> None:
    """Made-up answers are 91% sure."""
    assert card.calibrated(make_run(0.95)).startswith("It understates")
    assert card.calibrated(make_run(0.85)).startswith("It overstates")


def test_a_card_says_when_to_believe_it_or_that_it_is_not_known(make_run: Callable[..., Run]) -> None:
    told = card.believable(make_run(0.98, val=1.0))
    assert "from 91.0% on" in told and "images 100.0% (" in told and "; 2.0% (" in told
    assert card.believable(make_run(0.5)).startswith("From no confidence on can it be believed")
