"""A trained run as one network, from pixels to probabilities."""

from __future__ import annotations

import shlex
from pathlib import Path

import keras
import numpy as np

from helpers import cache, cost, run
from helpers.engine import backbones, model
from helpers.errors import UserError
from helpers.experiment import Experiment


class PredictionError(UserError):
    """A trained run cannot be loaded or exported."""


def load(experiment: Experiment) -> keras.Model:
    """The network that a run trained: pictures (n, 32, 32, 3) in [0, 255] to probabilities (n, 10).

    It consists of Keras' own layers: those that train inside `model.above_cut` are the backbone's, so
    that the backbone, left as it is, computes what was trained.
    Raises PredictionError where the trained weights are not on this machine or do not fit, WeightsError
    where the backbone's are not or do not.
    """
    path = _weights_file(experiment)
    values = _values(path, experiment)
    network = backbones.backbone(experiment)
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
    pooled = model.pixels_to(network, backbones.POOLED)
    return keras.Model(pooled.input, top(pooled.output), name="classifier")


def _weights_file(experiment: Experiment) -> Path:
    """The file of a run's trained weights; whether it was diagnosed and its engine make no difference."""
    found = run.fingerprints(experiment)
    asked = [experiment.replace(engine="bank", diagnosed=diagnosed) for diagnosed in (False, True)]
    places = [cache.run_folder(each, found) / "weights.npz" for each in asked]
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
    if run.find(plain):  # `run` would show that record and train nothing
        command = f"REPORT_RESULTS=$(mktemp -d) {command}"
    return f"train it, which takes {cost.cost(plain)}, with: {command}"
