"""A network in a file, for RGB pictures of one size and with one output a class: read, asked, written."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from helpers import files
from helpers.engine import keras
from helpers.errors import UserError
from helpers.experiment import ExperimentError


class NetworkError(UserError):
    """A file holds no network that pictures can be given to, or cannot be written."""


def load(path: Path, channels: tuple[int, ...] = (3,)) -> keras.Model:
    """The network in a .keras or .h5 file: pictures (n, side, side, 3) to (n, classes).

    channels: how many it may take; 1 is grey.

    Raises NetworkError where it cannot be read or is another kind of network.
    """
    if not path.is_file():
        raise NetworkError(f"{path}: there is no such file; correct the path")
    try:
        model = keras.models.load_model(path, compile=False, safe_mode=True)
        shape, answer = tuple(model.input_shape), tuple(model.output_shape)
    except Exception as error:  # Keras raises a dozen types
        reason = " ".join(str(error).split())[:300]
        raise NetworkError(
            f"{path} cannot be read as a Keras network ({reason}); save it with model.save('name.keras'), "
            "or, if it has layers of your own, call helpers.engine.examine.examine in your script"
        ) from error
    if len(shape) != 4 or shape[1] is None or shape[1] != shape[2] or shape[3] not in channels:
        raise NetworkError(
            f"{path} takes {shape}, and pictures are (None, side, side, 3): save one that takes such, as in "
            "keras.Sequential([keras.Input((160, 160, 3)), ..., network])"
        )
    if len(answer) != 2 or not isinstance(answer[1], int) or answer[1] < 2:
        raise NetworkError(
            f"{path} gives {answer}, and needed is (None, classes), with 2 classes or more: end it with a "
            "softmax that has a unit for each class"
        )
    return model


def classify(network: keras.Model, images: np.ndarray, flip: bool = True) -> np.ndarray:
    """Probabilities of each class, float32 (n, classes), for images in [0, 255], (n, side, side, 3).

    flip: the mean of those of each image and of its mirror image, the report's test-time augmentation.
    """
    pixels = np.asarray(images, np.float32)
    views = [pixels, pixels[:, :, ::-1]] if flip else [pixels]
    return np.mean([network.predict(view, verbose=0) for view in views], axis=0)


def check_name(path: Path) -> None:
    """Raise ExperimentError for a file that `save` would give another format than its name says."""
    if path.suffix != ".keras":
        raise ExperimentError(
            f"{path} does not end in .keras, the one format of a single file; rename it, or name a folder "
            "for all formats: export NETWORK FOLDER"
        )


def save(network: keras.Model, path: Path) -> None:
    """Write a network to a .keras file, which `keras.models.load_model` reads, in safe mode too.

    An earlier file is replaced by the whole new one. Raises NetworkError where it cannot be written.
    """
    try:
        with files.whole(path) as draft:
            network.save(draft)
    except OSError as error:
        raise NetworkError(f"{path} cannot be written ({error}); choose another place") from error
