"""A trained run as a network: load it, classify pictures with it, export it.

picture ──► 32 px ──► resize, backbone, pooling, head ──► probabilities of the ten classes
"""

from __future__ import annotations

import os
import shlex
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from helpers import runner
from helpers.experiment import Experiment

if TYPE_CHECKING:
    import keras

SIDE = 32
"""Side of the pictures that every run was trained on, in pixels."""


class PredictionError(RuntimeError):
    """A picture cannot be read, or a trained run cannot be loaded or exported."""


# Pictures -----------------------------------------------------------------------------------------


def picture(path: str | Path) -> np.ndarray:
    """A picture file as the networks' images are, uint8 (32, 32, 3): RGB, upright, on white.

    Turned as its EXIF orientation says; of several frames the first. The shorter side is resized to
    32 px, antialiased, and the longer one cut to its middle, so that nothing is stretched.
    Raises PredictionError, which names the file, for what is not a whole picture or is too large.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as one of a strange EXIF tag
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as file:
                upright = ImageOps.exif_transpose(_eight_bits(file)).convert("RGBA")
    except UnidentifiedImageError as error:
        raise PredictionError(f"{path} is no picture of a known format; give a PNG or JPEG file") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        most = (Image.MAX_IMAGE_PIXELS or 0) // 1_000_000
        raise PredictionError(f"{path} has more than {most} million pixels; save it smaller") from error
    except Exception as error:  # Pillow's formats raise a dozen types for a damaged file
        reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        raise PredictionError(
            f"{path} cannot be read ({reason}); correct the path, or save the picture again as PNG or JPEG"
        ) from error
    white = Image.new("RGBA", upright.size, "white")
    flat = Image.alpha_composite(white, upright).convert("RGB")
    return np.asarray(ImageOps.fit(flat, (SIDE, SIDE), Image.Resampling.BICUBIC))


def _eight_bits(file: Image.Image) -> Image.Image:
    """The picture, of which Pillow would clip 16-bit greys at 255; ValueError for floating point."""
    if file.mode == "F":
        raise ValueError("its pixels are floating-point numbers, which have no stated white")
    if not file.mode.startswith("I"):
        return file
    greys = Image.fromarray((np.asarray(file).clip(0, 65535) // 257).astype(np.uint8))
    greys.info = file.info  # and with it the EXIF orientation
    return greys


def classify(network: keras.Model, pictures: np.ndarray, flip: bool = True) -> np.ndarray:
    """Probabilities of each class, float32 (n, 10), for pictures in [0, 255], (n, 32, 32, 3), n at least 1.

    flip: the mean of those of each picture and of its mirror image, the report's test-time augmentation.
    """
    images = np.asarray(pictures, np.float32)
    views = [images, images[:, :, ::-1]] if flip else [images]
    return np.mean([network.predict(view, verbose=0) for view in views], axis=0)


# Trained runs -------------------------------------------------------------------------------------


def load(experiment: Experiment) -> keras.Model:
    """The network that a run trained: pictures (n, 32, 32, 3) in [0, 255] to probabilities (n, 10).

    It consists of Keras' own layers: those that train inside `model.above_cut` are the backbone's, so
    that the backbone, left as it is, computes what was trained.
    Raises PredictionError where the trained weights are not on this machine or do not fit, WeightsError
    where the backbone's are not or do not.
    """
    path = _weights_file(experiment)
    values = _values(path, experiment)
    import keras  # only now: what is missing is told at once

    from helpers import model

    network = model.backbone(experiment)
    top = model.head(experiment, network.output_shape[-1])
    parts = [top]
    if experiment.epochs_run:
        whole = model.whole(network, top, experiment)
        parts = [whole.get_layer("above_cut"), whole]  # what engines 'bank' and 'end_to_end' leave
    shapes = [value.shape for value in values]
    fitting = [part for part in parts if [tuple(weight.shape) for weight in part.weights] == shapes]
    if not fitting:
        raise _unusable(path, "its arrays are not this network's", experiment)
    fitting[0].set_weights(values)
    pooled = model.pixels_to(network, model.POOLED)
    return keras.Model(pooled.input, top(pooled.output), name="classifier")


def export(experiment: Experiment, path: str | Path) -> None:
    """Write a run's network, as `load` gives it, to a .keras file that needs nothing else of this project.

    `keras.models.load_model` reads it, in safe mode too. An earlier file is replaced by the whole new one.
    Raises what `load` does, and PredictionError where `path` cannot be written or does not end in .keras.
    """
    path = Path(path)
    if path.suffix != ".keras":
        raise PredictionError(f"{path} does not end in .keras, the one format written here; rename it")
    network = load(experiment)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as beside:
            network.save(Path(beside) / path.name)
            os.replace(Path(beside) / path.name, path)
    except OSError as error:
        raise PredictionError(f"{path} cannot be written ({error}); choose another place") from error


def _weights_file(experiment: Experiment) -> Path:
    """The file of a run's trained weights; whether it was diagnosed and its engine make no difference."""
    found = runner.fingerprints(experiment)
    asked = [experiment.replace(engine="bank", diagnosed=diagnosed) for diagnosed in (False, True)]
    places = [runner.checkpoints(each, found) / "weights.npz" for each in asked]
    for place in places:
        if place.is_file():
            return place
    name = f"{experiment.slug} ({experiment.dataset}, {experiment.scale} scale)"
    raise PredictionError(
        f"{name} left no trained weights on this machine: there is no {places[0]}; {_training(experiment)}"
    )


def _values(path: Path, experiment: Experiment) -> list[np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as stored:  # every member is checked against its CRC-32
            return [stored[f"w{i}"] for i in range(len(stored))]
    except Exception as error:  # zipfile, zlib and NumPy raise a dozen types for a damaged file
        raise _unusable(path, " ".join(str(error).split()), experiment) from error


def _unusable(path: Path, reason: str, experiment: Experiment) -> PredictionError:
    return PredictionError(f"{path} cannot be used ({reason}); {_training(experiment)}")


def _training(experiment: Experiment) -> str:
    """The command that trains a run here, and what it costs."""
    plain = experiment.replace(diagnosed=False)
    options = [
        f"--{name.replace('_', '-')} {shlex.quote(str(value))}" for name, value in plain.changes.items()
    ]
    command = " ".join(["python -m helpers run", *options])
    if runner.find(plain):  # `run` would show that record and train nothing
        command = f"REPORT_RESULTS=$(mktemp -d) {command}"
    return f"train it, which takes {runner.cost(plain)}, with: {command}"
