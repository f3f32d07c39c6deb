"""A network examined: its batch norm, its last layer or nothing is to blame, or it is refused."""

import shutil
from pathlib import Path

import keras
import kills
import numpy as np
import pytest
from keras import layers
from PIL import Image

from helpers.analysis.examination import Examination
from helpers.apps import cli, diagnose
from helpers.data import folder
from helpers.data.split import Split
from helpers.engine import reestimate
from helpers.errors import UserError

COLOURS = {"blue": (60, 60, 120), "green": (60, 120, 60), "red": (120, 60, 60)}
SIDE = 12


def picture(colour: tuple[int, int, int], rng: np.random.Generator) -> np.ndarray:
    noisy = np.asarray(colour) + rng.normal(0, 25, 3) + rng.normal(0, 40, (SIDE, SIDE, 3))
    return noisy.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder a class; colours that a small network tells apart, most of the time."""
    root, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (root / name).mkdir()
        for number in range(120):
            Image.fromarray(picture(colour, rng)).save(root / name / f"{number}.png")
    return root


def network(norm: bool, classes: int = 3) -> keras.Model:
    parts = [layers.Conv2D(8, 3, activation="relu"), layers.GlobalAveragePooling2D()]
    parts += [layers.BatchNormalization(name="head_norm")] if norm else []
    parts += [layers.Dense(classes, name="top")]
    return keras.Sequential([keras.Input((SIDE, SIDE, 3)), layers.Rescaling(1 / 255), *parts])


def trained(norm: bool) -> keras.Model:
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(1)
    labels = np.arange(600) % 3
    images = np.stack([picture(list(COLOURS.values())[label], rng) for label in labels]).astype(np.float32)
    model = network(norm)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss)
    model.fit(images, labels, epochs=8, verbose=0)
    reestimate.reestimate(model, images)
    return model


@pytest.fixture(scope="module")
def healthy() -> keras.Model:
    return trained(norm=True)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for files; what the command leaves goes there as well."""
    monkeypatch.setenv("REPORT_BUILD", str(tmp_path / "build"))
    return kills.use(tmp_path, monkeypatch)


def changed(model: keras.Model, place: Path, layer: str, number: int, change: np.ndarray) -> Path:
    """The model's file with one array of a layer replaced; the model stays as it is."""
    part = model.get_layer(layer)
    values = part.get_weights()
    part.set_weights([change if i == number else value for i, value in enumerate(values)])
    model.save(place / "model.keras")
    part.set_weights(values)
    return place / "model.keras"


def test_a_healthy_network_is_found_healthy(healthy: keras.Model, place: Path, pictures: Path) -> None:
    healthy.save(place / "model.keras")
    found, figure = diagnose.diagnose(place / "model.keras", pictures, "0..255", None)
    assert found.finding == "nothing" and "not to blame" in found.conclusion
    assert found.correct.keys() == {"moving", "batch", "reestimated", "probe"}
    assert found.accuracy("moving").value > 0.7
    assert found.norms[0].mean < 0.2 and found.norms[0].variance == pytest.approx(1, abs=0.3)
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_broken_statistics_are_found_and_mended(
    healthy: keras.Model, place: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, _, mean, variance = healthy.get_layer("head_norm").get_weights()
    path = changed(healthy, place, "head_norm", 2, mean + 4 * np.sqrt(variance) * np.resize([1, -1, 0], 8))
    cli.diagnose(path, pictures, mended=place / "new" / "mended.keras")
    said = capsys.readouterr().out
    assert "It is its batch norm." in said and "What to do: Do not train it again" in said
    broken, _ = diagnose.diagnose(path, pictures, "0..255", None)
    mended, _ = diagnose.diagnose(place / "new" / "mended.keras", pictures, "0..255", None)
    assert (broken.finding, mended.finding) == ("batch norm", "nothing")
    assert mended.accuracy("moving") == broken.accuracy("reestimated")
    assert mended.accuracy("moving").value > broken.accuracy("moving").value + 0.2
    assert broken.norms[0].mean > 1 > 0.2 > mended.norms[0].mean


def test_the_norms_below_evaluate_as_they_are_where_training_leaves_them(place: Path, pictures: Path) -> None:
    """The commonest fine-tune: a frozen backbone, whose statistics do not fit, below a head that trains."""
    frozen = layers.BatchNormalization(name="below", trainable=False)
    parts = [layers.Rescaling(1 / 255), frozen, layers.GlobalAveragePooling2D()]
    parts += [layers.BatchNormalization(name="head_norm"), layers.Dense(3, name="top")]
    model = keras.Sequential([keras.Input((SIDE, SIDE, 3)), *parts])
    frozen.set_weights([np.ones(3), np.zeros(3), np.array([0.9, -0.5, 3.0]), np.array([0.01, 4.0, 0.5])])
    model.get_layer("top").set_weights([np.eye(3)[:, [2, 1, 0]], np.zeros(3)])
    model.save(place / "model.keras")
    found, _ = diagnose.diagnose(place / "model.keras", pictures, "0..255", place / "mended.keras")
    mended, _ = diagnose.diagnose(place / "mended.keras", pictures, "0..255", None)
    assert (found.trained, found.finding) == (1, "batch norm")
    assert found.accuracy("reestimated") == mended.accuracy("moving")
    off = {norm.name: norm.mean for norm in mended.norms}
    assert off["head_norm"] < 1e-3 < off["below"]


def test_a_wrong_last_layer_is_told_from_wrong_statistics(
    healthy: keras.Model, place: Path, pictures: Path
) -> None:
    kernel = healthy.get_layer("top").get_weights()[0]
    found, _ = diagnose.diagnose(changed(healthy, place, "top", 0, kernel[:, ::-1]), pictures, "0..255", None)
    assert found.finding == "last layer" and "alphabetical order" in found.advice


def test_a_network_without_batch_norm_has_none_to_blame(place: Path, pictures: Path) -> None:
    trained(norm=False).save(place / "model.keras")
    found, figure = diagnose.diagnose(place / "model.keras", pictures, "0..255", None)
    assert found.norms == () and found.correct.keys() == {"moving", "probe"}
    assert "no batch norm" in found.conclusion and figure.is_file()


def test_pixels_are_given_as_they_are_wanted(healthy: keras.Model, place: Path, pictures: Path) -> None:
    parts = [layers.Rescaling(255), *healthy.layers]
    keras.Sequential([keras.Input((SIDE, SIDE, 3)), *parts]).save(place / "model.keras")
    right, _ = diagnose.diagnose(place / "model.keras", pictures, "0..1", None)
    assert right.accuracy("moving").value > 0.7 and right.finding == "nothing" and not any(right.pixels)
    mended = place / "mended.keras"
    wrong, figure = diagnose.diagnose(place / "model.keras", pictures, "-1..1", mended)
    assert wrong.otherwise["0..1"]["reestimated"].mean() > 0.7
    assert wrong.finding == "pixels" and "--pixels=0..1" in wrong.advice and "0..1" in wrong.title
    with pytest.raises(UserError, match=r"mended\.keras is not written: .* wrong pixels"):
        cli.diagnose(place / "model.keras", pictures, "-1..1", mended)
    assert not mended.exists()
    assert figure.is_file() and "With pixels in 0..1 the same weights give" in wrong.report()


@pytest.mark.parametrize(
    ("as_given", "otherwise", "finding"),
    [
        ((30, 90, 90), (90, 90), "pixels"),
        ((30, 90, 90), (60, 90), "batch norm"),
        ((30, 90, 90), (30, 90), "batch norm"),
        ((30, 60, 60), (35, 90), "pixels"),
        ((30, 60, 60), (35, 61), "batch norm"),
        ((30, 30, 90), (30, 50), "last layer"),
    ],
)
def test_fresh_statistics_fit_wrong_pixels_too(
    as_given: tuple[int, ...], otherwise: tuple[int, ...], finding: str
) -> None:
    """Batch norm is blamed only where no other pixels give about as much; a last layer is wrong with any."""
    kinds = "moving", "reestimated", "probe"
    given, others = (
        {kind: np.arange(100) < right for kind, right in zip(kinds, numbers, strict=False)}
        for numbers in (as_given, otherwise)
    )
    found = Examination("it", given, (), 1, {"0..1": others})
    assert found.finding == finding
    both = finding == "pixels" and otherwise[0] < otherwise[1]
    assert ("and its batch norm as well" in found.conclusion) is both


def test_nothing_is_blamed_where_other_statistics_only_spoil(
    healthy: keras.Model, place: Path, pictures: Path
) -> None:
    answers = {kind: np.arange(100) < right for kind, right in (("moving", 90), ("reestimated", 60))}
    found = Examination("it", {**answers, "probe": answers["moving"]}, (), 1)
    assert (found.best, found.finding) == ("moving", "nothing")
    healthy.save(place / "model.keras")
    with pytest.raises(UserError, match=r"mended\.keras is not written: .* are not what it lacks"):
        cli.diagnose(place / "model.keras", pictures, mended=place / "mended.keras")
    assert not (place / "mended.keras").exists()


def test_a_grey_network_is_given_grey_pictures(place: Path, pictures: Path) -> None:
    parts = [layers.GlobalAveragePooling2D(), layers.Dense(3, kernel_initializer="zeros")]
    keras.Sequential([keras.Input((SIDE, SIDE, 1)), *parts]).save(place / "model.keras")
    found, _ = diagnose.diagnose(place / "model.keras", pictures, "0..255", None)
    assert found.correct["moving"].mean() == pytest.approx(1 / 3, abs=0.1)
    split = Split(np.full((1, 2, 2, 3), (60, 120, 60), np.uint8), np.zeros(1))
    grey = diagnose.given(split, "0..1", 1).images
    assert grey.shape == (1, 2, 2, 1) and grey.max() == pytest.approx((0.413 * 60 + 0.587 * 120) / 255)


def test_the_folders_own_test_is_what_a_network_is_judged_on(pictures: Path, place: Path) -> None:
    """What is held out of its train may have been trained on."""
    root = place / "divided"
    for number, path in enumerate(sorted(pictures.rglob("*.png"))):
        part = root / ("test" if number % 4 == 0 else "train") / path.parent.name
        part.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, part)
    known, judged = diagnose.parts(folder.scan(root), SIDE)
    assert (len(known.labels), len(judged.labels)) == (228, 90)
    known, judged = diagnose.parts(folder.scan(pictures), SIDE)
    assert (len(known.labels), len(judged.labels)) == (252, 108)


TWO, DIVERGED = network(True), network(True)
DIVERGED.set_weights([np.full_like(weight, np.nan) for weight in DIVERGED.get_weights()])


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (network(True, classes=4), "tells 4 classes apart.*holds 3 folders"),
        (network(True, classes=1), r"gives \(None, 1\)"),
        (keras.Sequential([keras.Input((4,)), layers.Dense(3)]), r"takes \(None, 4\)"),
        (keras.Sequential([keras.Input((8, 8, 2)), layers.Flatten(), layers.Dense(3)]), r".*keras\.Input\("),
        (keras.Model(TWO.inputs, [*TWO.outputs, *TWO.outputs]), r"gives \(\(None, 3\), \(None, 3\)\)"),
        (DIVERGED, "holds weights that are no numbers"),
        (None, "cannot be read as a Keras network"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    model: keras.Model | None, reason: str, place: Path, pictures: Path
) -> None:
    path = place / "model.keras"
    if model is None:
        path.write_text("no network")
    else:
        model.save(path)
    with pytest.raises(UserError, match=rf"model\.keras {reason}"):
        diagnose.diagnose(path, pictures, "0..255", None)
