"""The sources of images by name: what an experiment calls its dataset."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from helpers.data import cifar10, folder, miniature
from helpers.data.cifar10 import FINGERPRINT, find_or_download, read_batch
from helpers.data.split import DataError, Dataset, Split, split_indices
from helpers.experiment import FOLDER, Experiment

CLASSES: dict[str, tuple[str, ...]] = {
    "cifar10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    "miniature": miniature.CLASSES,
}
"""The names of a dataset's classes, in the order of its labels; those of a folder are in the folder."""
SIZES = {"cifar10": (45_000, 5_000, 10_000), "miniature": tuple(miniature.SPLITS.values())}
"""Training, validation and test images of a dataset."""


def class_names(dataset: str) -> tuple[str, ...]:
    """The names of a dataset's classes, in the order of its labels. Raises what `folder.scan` does."""
    if dataset.startswith(FOLDER):
        return folder.scan(Path(dataset.removeprefix(FOLDER))).classes
    return CLASSES[dataset]


def described(dataset: str) -> str:
    """What a dataset is called in a sentence; own images by the name of their folder."""
    if dataset.startswith(FOLDER):
        return f"own images ({Path(dataset.removeprefix(FOLDER)).name})"
    return {"cifar10": "CIFAR-10", "miniature": "the miniature"}[dataset]


def sizes(experiment: Experiment) -> tuple[int, int, int]:
    """Training, validation and test images that an experiment uses."""
    limits, there = experiment.limits, SIZES.get(experiment.dataset)
    if place := experiment.folder:
        found = folder.scan(place)
        there = tuple(len(found.labels(split)) for split in folder.SPLITS)
    assert there is not None
    train, val, test = map(min, there, (limits.train, limits.val, limits.test))
    return train, val, test


def load(experiment: Experiment, data_dir: str | Path | None = None) -> Dataset:
    """The images of an experiment's dataset, cut to its scale.

    Raises DataError where the images that are wanted cannot be had or are not fit to be learned from: no
    others are ever put in their place.
    """
    names, division = CLASSES.get(experiment.dataset, ()), ""
    if place := experiment.folder:
        found = folder.scan(place)
        whole, fingerprint = _of_folder(found, experiment.side), found.fingerprint
        names, division = found.classes, found.division
    elif experiment.dataset == "miniature":
        whole = [Split(*miniature.images(name)) for name in ("train", "val", "test")]
        fingerprint = miniature.FINGERPRINT
    else:
        whole, fingerprint = _cifar10(data_dir), FINGERPRINT
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


def _cifar10(data_dir: str | Path | None) -> list[Split]:
    place = find_or_download(data_dir)
    batches = [read_batch(place / f"data_batch_{i}") for i in range(1, 6)]
    images = np.concatenate([batch.images for batch in batches])
    labels = np.concatenate([batch.labels for batch in batches])
    train, val = split_indices(labels)
    splits = [Split(images[rows], labels[rows]) for rows in (train, val)]
    return [*splits, read_batch(place / "test_batch")]


def _of_folder(found: folder.Folder, side: int) -> list[Split]:
    """The splits of a person's own images; the pictures stay on the disk until they are used."""
    labels = [found.labels(split) for split in folder.SPLITS]
    ends = np.cumsum([len(each) for each in labels])
    parts = np.split(folder.images(found, side), ends[:-1])
    return [Split(images, own) for images, own in zip(parts, labels, strict=True)]


def data_fingerprint(experiment: Experiment) -> str:
    """What identifies the contents of the experiment's dataset; CIFAR-10's is known without having it."""
    if place := experiment.folder:
        return folder.scan(place).fingerprint
    return miniature.FINGERPRINT if experiment.dataset == "miniature" else cifar10.FINGERPRINT
