"""A trained run as a network: find its weights, and classify pictures with it.

picture ──► at the size of the images that it learned from ──► network ──► probabilities of the classes
"""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from helpers import cache, cost, run
from helpers.data import pictures, sources
from helpers.engine import model
from helpers.errors import UserError
from helpers.experiment import Experiment

if TYPE_CHECKING:
    import keras


class PredictionError(UserError):
    """A trained run cannot be loaded or exported."""


def load(experiment: Experiment) -> keras.Model:
    """The network that a run trained: pictures (n, side, side, 3) in [0, 255] to probabilities (n, classes).

    Raises PredictionError where the trained weights are not on this machine or do not fit, WeightsError
    where the backbone's are not or do not.
    """
    path = _weights_file(experiment)
    try:
        with np.load(path, allow_pickle=False) as stored:  # every member is checked against its CRC-32
            values = [stored[f"w{i}"] for i in range(len(stored))]
        return model.classifier(experiment, values, len(classes(experiment)))
    except UserError:
        raise
    except Exception as error:  # zipfile, zlib and NumPy raise a dozen types for a damaged file
        reason = " ".join(str(error).split())
        raise PredictionError(f"{path} cannot be used ({reason}); {_training(experiment)}") from error


def classify(network: keras.Model, images: np.ndarray, flip: bool = True) -> np.ndarray:
    """Probabilities of each class, float32 (n, classes), for images in [0, 255], (n, side, side, 3).

    flip: the mean of those of each image and of its mirror image, the report's test-time augmentation.
    """
    pixels = np.asarray(images, np.float32)
    views = [pixels, pixels[:, :, ::-1]] if flip else [pixels]
    return np.mean([network.predict(view, verbose=0) for view in views], axis=0)


def describe(paths: Sequence[Path], experiment: Experiment) -> tuple[list[str], list[str]]:
    """A line for each picture with its three likeliest classes, and one for each that cannot be read.

    Before the former come the assumptions on which pictures were read.
    """
    images: dict[Path, np.ndarray] = {}
    notes: list[str] = []
    refused: list[str] = []
    for path in paths:
        try:
            with warnings.catch_warnings(record=True) as assumed:
                images[path] = pictures.read(path, experiment.side)
            notes += [str(warning.message) for warning in assumed]
        except pictures.PictureError as error:
            refused.append(str(error))
    if not images:
        return [], refused
    answers = classify(load(experiment), np.stack(list(images.values())))
    names = classes(experiment)
    lines: list[str] = notes
    for path, shares in zip(images, answers, strict=True):
        likeliest = ", ".join(f"{names[label]} {shares[label]:.1%}" for label in shares.argsort()[:-4:-1])
        lines.append(f"{path}: {likeliest}")
    return lines, refused


def classes(experiment: Experiment) -> tuple[str, ...]:
    """The names of the classes that a run tells apart: its record's; without one, those of its images."""
    found = run.find(experiment)
    return found.classes if found else sources.class_names(experiment.dataset)


def _weights_file(experiment: Experiment) -> Path:
    """The file of a run's trained weights, whether it was diagnosed or not."""
    found = run.fingerprints(experiment)
    places = [cache.run_folder(experiment, found, each) / "weights.npz" for each in (False, True)]
    for place in places:
        if place.is_file():
            return place
    name = f"{experiment.slug} ({experiment.dataset}, {experiment.scale} scale)"
    raise PredictionError(
        f"{name} left no trained weights on this machine: there is no {places[0]}; {_training(experiment)}"
    )


def _training(experiment: Experiment) -> str:
    """The command that trains a run here, and what it costs."""
    options = [
        f"--{name.replace('_', '-')} {shlex.quote(str(value))}" for name, value in experiment.changes.items()
    ]
    if run.find(experiment):  # `run` would show that record and train nothing
        options.append("--retrain")
    command = " ".join(["python -m helpers run", *options])
    return f"train it, which takes {cost.cost(experiment)}, with: {command}"
