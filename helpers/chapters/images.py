"""Chapter 1: the images, and what the network is given."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from helpers import run
from helpers.analysis import intervals
from helpers.data import cifar10, miniature, sources
from helpers.data.split import Dataset
from helpers.experiment import Experiment
from helpers.study import experiments
from helpers.text import literal

FILES = len(cifar10.MD5)
"""Files of CIFAR-10."""
FINGERPRINTS = {"cifar10": cifar10.FINGERPRINT, "miniature": miniature.FINGERPRINT}
SPLITS = {"training": "train", "validation": "val", "test": "test"}


@dataclass(frozen=True)
class Images:
    """The images that the chapter shows, and the network's view of them. Pictures are in [0, 255]."""

    experiment: Experiment
    data: Dataset
    is_stand_in: bool
    """Whether it is the miniature because this machine has no CIFAR-10."""
    shapes: dict[str, tuple[int, ...]]
    """What an image becomes on its way through the network, as `engine.pictures.layout` says."""
    weights: dict[str, int]
    """Part of the network to its weights, likewise."""

    @property
    def dataset(self) -> str:
        """What the images are, which need not be what was asked for."""
        return self.experiment.dataset

    @property
    def origin(self) -> str:
        """What the images are, at which scale, and what is not on this machine."""
        name = literal(sources.described(self.dataset))
        what = f"Shown are images of {name}, at {self.experiment.scale} scale."
        missing = "CIFAR-10 is not on this machine: `python -m helpers data` fetches it."
        return f"{what} {missing}" if self.is_stand_in else what

    @property
    def classes(self) -> list[str]:
        """Names of the classes."""
        return list(sources.class_names(self.dataset))

    @property
    def parts(self) -> list[tuple[str, int, str]]:
        """Of each split its name, its images, and how many of them a class has: '500', or '42 to 61'."""
        found = []
        for name, part in SPLITS.items():
            labels = getattr(self.data, part).labels
            counts = np.bincount(labels, minlength=len(self.classes))
            ends = dict.fromkeys((f"{counts.min():,}", f"{counts.max():,}"))
            found.append((name, len(labels), " to ".join(ends)))
        return found

    @property
    def growth(self) -> float:
        """How many times as many pixels the network sees as an image has."""
        return (self.shapes["enlarged"][0] / self.shapes["image"][0]) ** 2

    @property
    def enlargement(self) -> tuple[str, str]:
        """Words before the pixels of an image, and for how many of them the network gets."""
        return ("small: ", f"{self.growth:.0f} times as many") if self.growth > 1 else ("", "as many")

    @property
    def stored(self) -> int:
        """Values that are stored for each view of an image."""
        return int(np.prod(self.shapes["stored"]))

    @property
    def gigabytes(self) -> float:
        """Room that one view of all the training images takes, at two bytes a value."""
        return 2e-9 * self.stored * len(self.data.train.labels)

    @property
    def first(self) -> tuple[np.ndarray, np.ndarray]:
        """The first test image, and the same as the network sees it."""
        images = self.data.test.images[:1]
        return images[0], self.enlarged(images)[0]

    @property
    def ranges(self) -> tuple[float, float, float]:
        """How far a standard view turns (degrees), shifts and zooms (shares of the side), either way."""
        augment = run.pictures().augment
        return augment.ROTATION_DEGREES, augment.SHIFT, augment.ZOOM

    def enlarged(self, images: np.ndarray) -> np.ndarray:
        """Images (n, h, w, 3) as the network sees them, float32 (n, side, side, 3)."""
        return run.pictures().enlarged(images, self.experiment.image_size)

    def views(self, images: int, count: int, **changes: Any) -> np.ndarray:
        """The first training images in the first views of stage 2, float32 (images, count, h, w, 3).

        `changes` are put into the experiment, as in augmentation='standard+mixup'.
        """
        experiment = self.experiment.replace(**changes)
        return run.pictures().views(self.data.train, experiment, images=images, count=count)


def precision(images: int, accuracy: float = 0.9) -> intervals.Proportion:
    """An accuracy with the interval that so many test images leave it."""
    return intervals.proportion(accuracy, images)


KNOWN = [(size, str(precision(size))) for size in (100, 1_000, 10_000)]
"""How many test images somebody may have, and what they leave an accuracy of nine in ten."""


def load(*, dataset: str, scale: str, **parameters: Any) -> Images:
    """The images of a data set at a scale; the miniature's where CIFAR-10 is wanted and not on this machine.

    `parameters` are fields of the Experiment that the network's view depends on. Nothing is downloaded.
    """
    wanted = experiments.for_notebook(experiments.CAREFUL, dataset=dataset, scale=scale, **parameters)
    missing = wanted.is_study_data and cifar10.locate() is None
    shown = miniature.stand_in(wanted) if missing else wanted
    shapes, weights = run.pictures().layout(shown, len(sources.class_names(shown.dataset)))
    return Images(shown, sources.load(shown), is_stand_in=missing, shapes=shapes, weights=weights)
