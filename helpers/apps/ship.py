"""Write a network that ships: its file, the record of what that file answers, and its card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from helpers import files, run
from helpers.analysis import metrics
from helpers.apps import card, network, predict, shipped
from helpers.apps.shipped import Shipped
from helpers.data import sources
from helpers.data.split import Dataset
from helpers.engine import keras
from helpers.errors import UserError
from helpers.experiment import Experiment
from helpers.records import store
from helpers.records.run import VIEWS, Run

SAME = 0.98
"""Share of the validation images, at least, that the file answers as the record of its training does."""


def ship(name: str) -> Shipped:
    """Write the network, which was trained on this machine, that shipped.NETWORKS calls `name`.

    Raises what `pack` raises.
    """
    experiment = shipped.experiment(name)
    pack(experiment, shipped.place(name))
    found, committed = shipped.find(name), run.find(experiment)
    assert committed, "where training was repeated, or left its record, results/ holds one"
    files.write({found.card: card.written(found, committed).encode()})
    return found


def pack(experiment: Experiment, file: Path) -> Run:
    """Write a trained run's network to a .keras file, and beside it the record of that file.

    The record holds what the file, read back, answers to the validation and test images: minutes of work.
    An older record there is replaced. Raises UserError where the record of the training is not of these
    weights; and what `predict.of_run`, `network.save` and `sources.load` raise.

    Weights stay float32. Rounded to float16 they took half of the room, and moved a probability by up to 0.03
    (the quick network, 256 test images).
    """
    trained, made = predict.of_run(experiment), predict.record_of(experiment)
    with files.whole(file) as draft:
        network.save(trained, draft)
        arrays = answers(network.load(draft), sources.load(experiment))
        if not made or np.mean(made.predictions("val") == arrays["val_plain"].argmax(axis=1)) < SAME:
            raise UserError(f"{experiment.slug}: no record here is of the trained weights; train it again")
        for old in store.paths(file.parent):
            old.unlink()
            old.with_suffix(".npz").unlink()
    return store.write(_content(made, arrays, shipped.fingerprint(file)), arrays, file.parent)


def answers(model: keras.Model, images: Dataset) -> dict[str, np.ndarray]:
    """What a network answers, as a record holds it: <split>_<view> to probabilities in class order."""
    found = {}
    for split in ("val", "test"):
        part = getattr(images, split)
        order = np.argsort(part.labels, kind="stable")
        for view, pixels in zip(VIEWS, (part.images, part.images[:, :, ::-1]), strict=True):
            found[f"{split}_{view}"] = network.classify(model, pixels, flip=False)[order]
    return found


def _content(made: Run, arrays: Mapping[str, np.ndarray], fingerprint: str) -> dict[str, object]:
    """The record of the training, with the answers of the file in the place of those of the training."""
    content = json.loads(made.path.read_text(encoding="utf-8"))
    fingerprints = {**made.fingerprints, "network": fingerprint}
    smoothing = made.experiment.label_smoothing
    compacted = {name: store.compact(array) for name, array in arrays.items()}
    told = metrics.from_probabilities(compacted, made.class_counts, smoothing)
    matrix = metrics.confusion_matrix(
        made.labels("test"), compacted["test_plain"].argmax(axis=1), len(made.classes)
    )
    return {
        **content,
        "id": made.experiment.identity(fingerprints),
        "fingerprints": fingerprints,
        "metrics": {**content["metrics"], **told},
        "confusion_matrix": matrix.tolist(),
    }
