"""The sources of images by name: what an experiment calls its dataset."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from helpers.data import cifar10, miniature
from helpers.data.cifar10 import FINGERPRINT, find_or_download, read_batch
from helpers.data.split import Dataset, Split, split_indices
from helpers.experiment import Experiment

CLASSES: dict[str, tuple[str, ...]] = {
    "cifar10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    "miniature": miniature.CLASSES,
}
"""The names of a dataset's ten classes, in the order of its labels."""


def load(experiment: Experiment, data_dir: str | Path | None = None) -> Dataset:
    """The images of an experiment's dataset, cut to its scale.

    Raises DataError where CIFAR-10 is wanted and cannot be had: the miniature is never put in its place.
    """
    if experiment.dataset == "miniature":
        whole = [Split(*miniature.images(name)) for name in ("train", "val", "test")]
        fingerprint = miniature.FINGERPRINT
    else:
        folder = find_or_download(data_dir)
        batches = [read_batch(folder / f"data_batch_{i}") for i in range(1, 6)]
        images = np.concatenate([batch.images for batch in batches])
        labels = np.concatenate([batch.labels for batch in batches])
        train, val = split_indices(labels)
        whole = [Split(images[train], labels[train]), Split(images[val], labels[val])]
        whole.append(read_batch(folder / "test_batch"))
        fingerprint = FINGERPRINT
    limits = experiment.limits
    train_split, val_split, test_split = (
        split.first(n) for split, n in zip(whole, (limits.train, limits.val, limits.test), strict=True)
    )
    return Dataset(train_split, val_split, test_split, fingerprint)


def data_fingerprint(experiment: Experiment) -> str:
    """What identifies the contents of the experiment's dataset; known without having it."""
    return miniature.FINGERPRINT if experiment.dataset == "miniature" else cifar10.FINGERPRINT
