"""The sources of images by name: what an experiment calls its dataset."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from helpers.data import cifar10, folder, miniature
from helpers.data.split import DataError, Dataset, Split, split_indices
from helpers.experiment import FOLDER, Experiment

Splits = list[Split]
"""The images to train on, to validate with and to test with."""


def _cifar10(data_dir: str | Path | None) -> Splits:
    place = cifar10.find_or_download(data_dir)
    batches = [cifar10.read_batch(place / f"data_batch_{i}") for i in range(1, 6)]
    images = np.concatenate([batch.images for batch in batches])
    labels = np.concatenate([batch.labels for batch in batches])
    train, val = split_indices(labels)
    splits = [Split(images[rows], labels[rows]) for rows in (train, val)]
    return [*splits, cifar10.read_batch(place / "test_batch")]


class Source(NamedTuple):
    """A data set that an experiment calls by a name, of images (32, 32, 3)."""

    title: str
    """What it is called in a sentence."""
    classes: tuple[str, ...]
    """Their names, in the order of the labels."""
    sizes: tuple[int, ...]
    """Images to train on, to validate with and to test with."""
    fingerprint: str
    """What identifies its contents; known without having them."""
    read: Callable[[str | Path | None], Splits]
    """Its images; of a folder that was named, where it takes one. Raises DataError."""


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
        lambda _: [Split(*miniature.images(name)) for name in miniature.SPLITS],
    ),
}
"""By the name that `Experiment.dataset` gives; what is not here is a folder."""


def class_names(dataset: str) -> tuple[str, ...]:
    """The names of a dataset's classes, in the order of its labels. Raises what `folder.scan` does."""
    if dataset.startswith(FOLDER):
        return folder.scan(Path(dataset.removeprefix(FOLDER))).classes
    return SOURCES[dataset].classes


def described(dataset: str) -> str:
    """What a dataset is called in a sentence; own images by the name of their folder."""
    if dataset.startswith(FOLDER):
        return f"own images ({Path(dataset.removeprefix(FOLDER)).name})"
    return SOURCES[dataset].title


def sizes(experiment: Experiment) -> tuple[int, int, int]:
    """Training, validation and test images that an experiment uses."""
    limits = experiment.limits
    if place := experiment.folder:
        found = folder.scan(place)
        there = tuple(len(found.labels(split)) for split in folder.SPLITS)
    else:
        there = SOURCES[experiment.dataset].sizes
    train, val, test = map(min, there, (limits.train, limits.val, limits.test))
    return train, val, test


def load(experiment: Experiment, data_dir: str | Path | None = None) -> Dataset:
    """The images of an experiment's dataset, cut to its scale.

    Raises DataError where the images that are wanted cannot be had or are not fit to be learned from: no
    others are ever put in their place.
    """
    division = ""
    if place := experiment.folder:
        found = folder.scan(place)
        whole, fingerprint = _of_folder(found, experiment.side), found.fingerprint
        names, division = found.classes, found.division
    else:
        source = SOURCES[experiment.dataset]
        whole, fingerprint, names = source.read(data_dir), source.fingerprint, source.classes
    limits = experiment.limits
    if len(names) > min(limits.train, limits.val, limits.test):
        raise DataError(
            f"{experiment.dataset} has {len(names):,} classes, more than {experiment.scale} scale has images "
            f"to validate with ({limits.val:,}): choose a larger scale"
        )
    train, val, test = (
        split.first(n) for split, n in zip(whole, (limits.train, limits.val, limits.test), strict=True)
    )
    return Dataset(train, val, test, fingerprint, names, division)


def _of_folder(found: folder.Folder, side: int) -> Splits:
    """The splits of a person's own images; the pictures stay on the disk until they are used."""
    labels = [found.labels(split) for split in folder.SPLITS]
    ends = np.cumsum([len(each) for each in labels])
    parts = np.split(folder.images(found, side), ends[:-1])
    return [Split(images, own) for images, own in zip(parts, labels, strict=True)]


def data_fingerprint(experiment: Experiment) -> str:
    """What identifies the contents of the experiment's dataset; a folder's has to be read for it."""
    if place := experiment.folder:
        return folder.scan(place).fingerprint
    return SOURCES[experiment.dataset].fingerprint
