"""A network in the formats of other programs, in float32 and int8, each read back and measured.

Keras ──► LiteRT (.tflite), in float32 or quantized to int8 ──► OpenVINO (.xml, .bin) and ONNX (.onnx)
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import openvino

from helpers import markdown, paths, progress
from helpers.analysis import intervals
from helpers.analysis.intervals import Proportion
from helpers.apps import network, predict
from helpers.apps.groups import MissingPackageError, imported
from helpers.apps.predict import Classifier
from helpers.data import sources
from helpers.data.split import Split
from helpers.engine import keras
from helpers.errors import UserError
from helpers.experiment import Experiment, ExperimentError

import tensorflow as tf  # isort: skip  # not before helpers.engine, which imports it silently

CALIBRATION = 200
"""Training images, at most, that show int8 between which values the activations lie."""
JUDGED = 1000
"""Validation images, at most, that each file is measured on."""
BATCH = 50
NO_INT8_KERAS = "Keras quantizes dense layers alone, and leaves the convolutions as they are"


class FormatError(UserError):
    """A format cannot be written here."""


def everywhere(name: str, experiment: Experiment, folder: Path) -> str:
    """Write a network in every format; gives the table of the files, which also goes to README.md there.

    name: as `predict.chosen` takes it. It is measured on validation images of the experiment's dataset.
    Raises ExperimentError on another backend than TensorFlow, FormatError with an old Keras or where the
    folder cannot be written, and what `predict.chosen` and `sources.load` raise.
    """
    if tuple(map(int, keras.__version__.split(".")[:2])) < (3, 13):
        raise FormatError(f"Keras {keras.__version__} writes no LiteRT file: use Python 3.11 or later")
    if paths.keras_backend() != "tensorflow":
        raise ExperimentError(f"KERAS_BACKEND={paths.keras_backend()}: TensorFlow writes these; unset it")
    source = predict.chosen(name, experiment)
    if not experiment.folder and source.side != experiment.side:
        raise ExperimentError(
            f"{source.name} takes pictures of {source.side} pixels a side, and {experiment.dataset}'s have "
            f"{experiment.side}: name the data that it learned from (--dataset folder:PATH)"
        )
    _refuse_loss(name, source, folder)
    images = sources.load(experiment, source.side)
    calibration = images.train.first(CALIBRATION).images
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files, refused = write(source.network, folder / Path(source.name).stem, calibration)
        text = report(source, measure(files, images.val.first(JUDGED)), refused)
        (folder / "README.md").write_text(text, encoding="utf-8")
    except OSError as error:
        raise FormatError(f"{folder} cannot be written ({error}); choose another place") from error
    return text


def _refuse_loss(name: str, source: Classifier, folder: Path) -> None:
    """Raise FormatError where the folder holds what would be lost: any file that an export did not write."""
    page, own, stem = folder / "README.md", Path(name), Path(source.name).stem
    if own.is_file() and own.resolve() == (folder / f"{stem}.keras").resolve():
        raise FormatError(f"{folder} holds {name} itself, which would be replaced; name another folder")
    if page.is_file() and page.read_text(encoding="utf-8", errors="replace").startswith(_heading(source)):
        return
    ends = [f"{kind}{end}" for kind in ("", "-int8") for end in (".tflite", *CONVERTED, ".bin")]
    for path in (page, *(folder / f"{stem}{end}" for end in (".keras", *ends))):
        if path.exists():
            raise FormatError(f"{path} is of something else, and would be replaced; name another folder")


def _heading(source: Classifier) -> str:
    return f"# {source.name} in other formats\n"


def write(model: keras.Model, stem: Path, calibration: np.ndarray) -> tuple[list[Path], dict[str, str]]:
    """The files <stem>.keras, .tflite, .xml, .onnx and <stem>-int8.*; and what could not be written, and why.

    calibration: pictures (n, side, side, 3) in [0, 255] that int8 is scaled by.
    """
    kept = stem.with_name(f"{stem.name}.keras")
    network.save(model, kept)
    files, refused = [kept], {f"{stem.name}-int8.keras": NO_INT8_KERAS}
    for end, images in (("", None), ("-int8", calibration)):
        lite = stem.with_name(f"{stem.name}{end}.tflite")
        to_lite(model, lite, images)
        files.append(lite)
        for suffix, convert in CONVERTED.items():
            target = lite.with_suffix(suffix)
            try:
                convert(lite, target)
                files.append(target)
            except MissingPackageError as error:
                refused[target.name] = str(error)
    return files, refused


def to_lite(model: keras.Model, target: Path, calibration: np.ndarray | None) -> None:
    """Write a .tflite file: in float32; with calibration pictures in int8, between float32 ends."""
    given: dict[str, object] = {}
    if calibration is not None:
        pixels = calibration.astype(np.float32)
        given = {
            "optimizations": [tf.lite.Optimize.DEFAULT],
            "representative_dataset": lambda: ([image[None]] for image in pixels),
            "target_spec": {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]},
        }
    with _quietly():
        model.export(str(target), format="litert", verbose=False, **given)


def to_openvino(lite: Path, target: Path) -> None:
    """Write a .tflite file as an .xml file with a .bin file beside it."""
    openvino.save_model(openvino.Core().read_model(lite), target, compress_to_fp16=False)


def to_onnx(lite: Path, target: Path) -> None:
    """Write a .tflite file as an .onnx file. Raises MissingPackageError without tf2onnx."""
    tf2onnx = imported("tf2onnx", "export")
    with _quietly():
        tf2onnx.convert.from_tflite(str(lite), opset=17, output_path=str(target))


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without the converters' many lines, and without TensorFlow's word that LiteRT's own package comes."""
    with warnings.catch_warnings(), progress.without_stderr():
        warnings.simplefilter("ignore")
        yield


CONVERTED: Mapping[str, Callable[[Path, Path], None]] = {".xml": to_openvino, ".onnx": to_onnx}


Measured = tuple[str, str, Proportion, str, str]
"""Of a file its name, megabytes, accuracy, the share of the images that it answers as the .keras file does,
and the largest difference of a probability from that file's."""


def measure(files: list[Path], judged: Split) -> list[Measured]:
    """Read each file back and ask it; the first is the .keras file that the others are compared with."""
    truth = ask(files[0], judged.images)
    found = []
    for file in files:
        answered = ask(file, judged.images)
        parts = [file, file.with_suffix(".bin")] if file.suffix == ".xml" else [file]
        same = answered.argmax(axis=1) == truth.argmax(axis=1)
        megabytes = sum(part.stat().st_size for part in parts) / 1e6
        right = intervals.accuracy(answered.argmax(axis=1) == judged.labels)
        names, largest = " and ".join(part.name for part in parts), np.abs(answered - truth).max()
        found.append((names, f"{megabytes:.1f}", right, f"{same.mean():.1%}", f"{largest:.1e}"))
    return found


def ask(file: Path, images: np.ndarray) -> np.ndarray:
    """The probabilities (n, classes) from the network in a file, of pictures (n, side, side, 3), 0 to 255."""
    if file.suffix == ".keras":
        return network.classify(network.load(file), images, flip=False)
    answer = _lite(file) if file.suffix == ".tflite" else _openvino(file)
    batches = np.array_split(images.astype(np.float32), -(-len(images) // BATCH))
    return np.concatenate([answer(batch) for batch in batches])


def _openvino(file: Path) -> Callable[[np.ndarray], np.ndarray]:
    compiled = openvino.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda batch: np.array(compiled([batch])[0])


def _lite(file: Path) -> Callable[[np.ndarray], np.ndarray]:
    with _quietly():
        reader = tf.lite.Interpreter(str(file))
    (taken,), (given,) = reader.get_input_details(), reader.get_output_details()

    def answer(batch: np.ndarray) -> np.ndarray:
        reader.resize_tensor_input(taken["index"], batch.shape)
        reader.allocate_tensors()
        reader.set_tensor(taken["index"], batch)
        reader.invoke()
        return reader.get_tensor(given["index"])

    return answer


def report(source: Classifier, measured: list[Measured], refused: Mapping[str, str]) -> str:
    """What was written, as Markdown: what the files take and give, what each lost, and what is missing."""
    first, _, accuracy, *_ = measured[0]
    heads = f"file | MB | accuracy | answered as {first} | largest difference of a probability"
    missing = "".join(f"\nNot written: {name}. {reason}.\n" for name, reason in refused.items())
    return (
        f"{_heading(source)}\n"
        f"All take float32 RGB pictures (n, {source.side}, {source.side}, 3), 0 to 255, and give the "
        f"probabilities (n, {len(source.classes)}) of {', '.join(source.classes)}. Each was read back and "
        f"asked about {accuracy.n:,} validation images.\n\n"
        f"{markdown.rows(heads, measured).data}\n{missing}"
    )
