"""The sources of images by name: what an experiment calls its dataset."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from helpers import paths
from helpers.data import cifar10, folder, miniature
from helpers.data.split import DataError, Dataset, Split, split_indices
from helpers.experiment import FOLDER, SIDE, Experiment

Splits = list[Split]
"""The images to train on, to validate with and to test with."""


def _cifar10() -> Splits:
    place = cifar10.find_or_download()
    batches = [cifar10.read_batch(place / f"data_batch_{i}") for i in range(1, 6)]
    images = np.concatenate([batch.images for batch in batches])
    labels = np.concatenate([batch.labels for batch in batches])
    train, val = split_indices(labels)
    splits = [Split(images[rows], labels[rows]) for rows in (train, val)]
    return [*splits, cifar10.read_batch(place / "test_batch")]


class Source(NamedTuple):
    """A data set: one that an experiment calls by a name, of images (32, 32, 3), or a person's folder."""

    title: str
    """What it is called in a sentence."""
    classes: tuple[str, ...]
    """Their names, in the order of the labels."""
    sizes: tuple[int, ...]
    """Images to train on, to validate with and to test with."""
    fingerprint: str
    """What identifies its contents; of one with a name it is known without having them."""
    read: Callable[[], Splits]
    """Its images. Raises DataError."""
    division: str = ""
    """How a person's own images were divided, in words."""


SOURCES: dict[str, Source] = {
    "cifar10": Source(
        "CIFAR-10",
        ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
        (45_000, 5_000, 10_000),
        cifar10.FINGERPRINT,
        _cifar10,
    ),
    "miniature": Source(
        "the miniature",
        miniature.CLASSES,
        tuple(miniature.SPLITS.values()),
        miniature.FINGERPRINT,
        lambda: [Split(*miniature.images(name)) for name in miniature.SPLITS],
    ),
}
"""By the name that `Experiment.dataset` gives; what is not here is a folder."""


def _source(dataset: str, side: int = SIDE) -> Source:
    """A dataset, at so many pixels a side where it is a folder. Raises what `folder.scan` does."""
    if not dataset.startswith(FOLDER):
        return SOURCES[dataset]
    found = folder.scan(Path(dataset.removeprefix(FOLDER)))
    labels = [found.labels(split) for split in folder.SPLITS]
    sizes = tuple(map(len, labels))

    def read() -> Splits:
        """The pictures stay on the disk until they are used."""
        parts = np.split(folder.images(found, side), np.cumsum(sizes)[:-1])
        return [Split(images, own) for images, own in zip(parts, labels, strict=True)]

    return Source(described(dataset), found.classes, sizes, found.fingerprint, read, found.division)


def class_names(dataset: str) -> tuple[str, ...]:
    """The names of a dataset's classes, in the order of its labels. Raises what `folder.scan` does."""
    return _source(dataset).classes


def described(dataset: str) -> str:
    """What a dataset is called in a sentence; own images by the name of their folder."""
    if dataset.startswith(FOLDER):
        return f"own images ({paths.whole(dataset.removeprefix(FOLDER)).name})"
    return SOURCES[dataset].title


def _most(experiment: Experiment) -> tuple[int, int, int]:
    """Images of each split that its scale allows: of a person's own, at full scale, all."""
    if experiment.folder and experiment.scale == "full":
        return sys.maxsize, sys.maxsize, sys.maxsize
    limits = experiment.limits
    return limits.train, limits.val, limits.test


def sizes(experiment: Experiment) -> tuple[int, int, int]:
    """Training, validation and test images that an experiment uses."""
    train, val, test = map(min, _source(experiment.dataset).sizes, _most(experiment))
    return train, val, test


def load(experiment: Experiment, side: int | None = None) -> Dataset:
    """The images of an experiment's dataset, cut to its scale.

    side: pixels a side of a person's own images, where it is not the experiment's.

    Raises DataError where the images that are wanted cannot be had or are not fit to be learned from: no
    others are ever put in their place.
    """
    source, most = _source(experiment.dataset, side or experiment.side), _most(experiment)
    whole = source.read()
    if len(source.classes) > min(most):
        raise DataError(
            f"{experiment.dataset} has {len(source.classes):,} classes, more than {experiment.scale} scale "
            f"has images to validate with ({min(most):,}): choose a larger scale"
        )
    train, val, test = (split.first(n) for split, n in zip(whole, most, strict=True))
    return Dataset(train, val, test, source.fingerprint, source.classes, source.division)


def data_fingerprint(experiment: Experiment) -> str:
    """What identifies the contents of the experiment's dataset; a folder's has to be read for it."""
    return _source(experiment.dataset).fingerprint
