"""Pictures classified: by a network that ships, one that was trained here, or one in a file.

picture ──► at the size of the images that it learned from ──► network ──► probabilities of the classes
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from helpers import cache, cost, paths, run
from helpers.apps import card, network, shipped
from helpers.apps.network import classify, load
from helpers.data import pictures, sources
from helpers.engine import keras, model
from helpers.errors import UserError
from helpers.experiment import Experiment, ExperimentError
from helpers.records import store
from helpers.records.run import Run
from helpers.text import percent

OF_DATA = {"dataset", "backbone_weights", "scale"}
"""Fields that name images: a file needs them for its classes. The miniature's two go together."""


class PredictionError(UserError):
    """A trained run cannot be loaded, or a file has other classes."""


@dataclass(frozen=True)
class Classifier:
    """A network and what its answers mean."""

    name: str
    network: keras.Model
    classes: tuple[str, ...]
    record: Run | None
    """What it answers to validation and test images; None where that is not known."""

    @property
    def side(self) -> int:
        """Pixels a side of the images that it takes."""
        return self.network.input_shape[1]


def chosen(name: str, experiment: Experiment) -> Classifier:
    """The network that is asked for, of pictures (n, side, side, 3) in [0, 255].

    name: a network that ships, or a .keras or .h5 file, whose classes are those of the experiment's dataset.
    Empty: the experiment's, trained here; where no field of it is given, the best that ships.
    Raises ExperimentError where both are given, PredictionError for a file with other classes or without
    probabilities, and what `of_run`, `shipped.find` and `network.load` raise.
    """
    file = Path(name) if name.endswith((".keras", ".h5")) else None
    fields = experiment.changes.keys() - (OF_DATA if file else set())
    if name and fields:
        raise ExperimentError(f"{name} is a network already: leave it out, or {', '.join(sorted(fields))}")
    if file:
        return _of_file(file, experiment)
    if fields:
        return Classifier(experiment.slug, of_run(experiment), classes(experiment), record_of(experiment))
    found = shipped.find(name or shipped.default())
    return Classifier(found.name, load(found.file), found.record.classes, found.record)


def _of_file(file: Path, experiment: Experiment) -> Classifier:
    network, names = load(file), sources.class_names(experiment.dataset)
    if network.output_shape[1] != len(names):
        raise PredictionError(
            f"{file} tells {network.output_shape[1]:,} classes apart, and {experiment.dataset} has "
            f"{len(names):,}: name the data that it learned from (--dataset folder:PATH)"
        )
    answer = classify(network, np.full((1, *network.input_shape[1:]), 128))[0]
    if not np.isfinite(answer).all():
        raise PredictionError(
            f"{file} answers with {answer[0]}: its training diverged; train at a lower rate"
        )
    if answer.min() < 0 or abs(answer.sum() - 1) >= 0.02:  # a sum in bfloat16 is as coarse
        cure = "end it with a softmax, as in keras.Sequential([network, keras.layers.Softmax()])"
        if answer.min() >= 0 and answer.max() <= 1:
            cure = "train it with a softmax in its last layer, since a picture has one class"
        raise PredictionError(
            f"{file} gives numbers that are no probabilities, as {answer[0]:.3g} and {answer[1]:.3g}: {cure}"
        )
    return Classifier(file.name, network, names, None)


def of_run(experiment: Experiment) -> keras.Model:
    """The network that a run trained: pictures (n, side, side, 3) in [0, 255] to probabilities (n, classes).

    Raises PredictionError where the trained weights are not on this machine or do not fit, WeightsError
    where the backbone's are not or do not.
    """
    path = weights_file(experiment)
    try:
        with np.load(path, allow_pickle=False) as stored:  # every member is checked against its CRC-32
            values = [stored[f"w{i}"] for i in range(len(stored))]
        return model.classifier(experiment, values, len(classes(experiment)))
    except UserError:
        raise
    except Exception as error:  # zipfile, zlib and NumPy raise a dozen types for a damaged file
        reason = " ".join(str(error).split())
        raise PredictionError(f"{path} cannot be used ({reason}); {_training(experiment)}") from error


def export(experiment: Experiment, path: Path) -> None:
    """Write a run's network to a .keras file that needs nothing else of this project.

    Raises what `of_run`, `network.check_name` and `network.save` do.
    """
    network.check_name(path)
    network.save(of_run(experiment), path)


def record_of(experiment: Experiment) -> Run | None:
    """The record of the training that left the weights on this machine: a repeated one's lies beside them."""
    places = [weights_file(experiment).parent, paths.results_folder(experiment)]
    return store.find(experiment, places, {"data": sources.data_fingerprint(experiment)})


def describe(files: Sequence[Path], classifier: Classifier) -> tuple[list[str], list[str]]:
    """Lines that answer each picture, and one for each that cannot be read.

    The former are the assumptions on which pictures were read, each picture's three likeliest classes, and
    how far to believe them.
    """
    images: dict[Path, np.ndarray] = {}
    lines: list[str] = []
    refused: list[str] = []
    for path in files:
        try:
            with warnings.catch_warnings(record=True) as assumed:
                images[path] = pictures.read(path, classifier.side)
            lines += [str(warning.message) for warning in assumed]
        except pictures.PictureError as error:
            refused.append(str(error))
    if not images:
        return [], refused
    level, note = belief(classifier)
    answers = classify(classifier.network, np.stack(list(images.values())))
    for path, shares in zip(images, answers, strict=True):
        doubt = " (not to be believed)" if level is not None and shares.max() < level else ""
        likeliest = (f"{classifier.classes[i]} {shares[i]:.1%}" for i in shares.argsort()[:-4:-1])
        lines.append(f"{path}: {', '.join(likeliest)}{doubt}")
    return [*lines, "", note], refused


def belief(classifier: Classifier) -> tuple[float | None, str]:
    """The confidence, 0 to 1, from which on answers are to be believed, and the words for it.

    None where the validation images show none, or where there is no record of what it answers to them.
    """
    known = classifier.classes
    limits = (
        f"{classifier.name} knows {len(known)} classes ({', '.join(known[:10])}"
        f"{', ...' if len(known) > 10 else ''}) and names one of them whatever a picture shows."
    )
    run = classifier.record
    if not run or run.is_screening:
        return None, f"{limits} When to believe it is not known: no record of its answers is here."
    level, shown = card.threshold(run)
    if level is None:
        return None, f"{limits} When to believe it is not known: {shown}."
    return level, f"{limits} An answer below {percent(level)} is not to be believed: {shown}."


def classes(experiment: Experiment) -> tuple[str, ...]:
    """The names of the classes that a run tells apart: its record's; without one, those of its images."""
    found = run.find(experiment)
    return found.classes if found else sources.class_names(experiment.dataset)


def weights_file(experiment: Experiment) -> Path:
    """The file of a run's trained weights, whether it was diagnosed or not.

    Raises PredictionError, with the command that makes it, where it is not on this machine.
    """
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
    # Where there is a record, `run` would show that and train nothing.
    again = " --retrain" if run.find(experiment) else ""
    return f"train it, which takes {cost.cost(experiment)}, with: {experiment.command}{again}"
