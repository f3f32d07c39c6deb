"""Chapter 1: the images, and what the network is given."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from helpers import run
from helpers.data import cifar10, miniature, sources
from helpers.data.split import Dataset
from helpers.experiment import SCALES, Experiment
from helpers.records.run import PUBLISHED_SPLIT as PUBLISHED_SPLIT
from helpers.study import experiments

FILES = len(cifar10.MD5)
"""Files of CIFAR-10."""
FINGERPRINTS = {"cifar10": cifar10.FINGERPRINT, "miniature": miniature.FINGERPRINT}
CLASSES = sources.CLASSES["cifar10"]
SPLITS = {"training": "train", "validation": "val", "test": "test"}
SIZES = [(name, *(f"{getattr(scale, part):,}" for part in SPLITS.values())) for name, scale in SCALES.items()]
"""Of each scale its name and the images of SPLITS, at most."""


@dataclass(frozen=True)
class Images:
    """The images that the chapter shows, and the network's view of them. Pictures are in [0, 255]."""

    experiment: Experiment
    data: Dataset
    is_stand_in: bool
    """Whether it is the miniature because this machine has no CIFAR-10."""

    @property
    def dataset(self) -> str:
        """What the images are, which need not be what was asked for."""
        return self.experiment.dataset

    @property
    def labels(self) -> dict[str, np.ndarray]:
        """Split to its labels (n,)."""
        return {name: getattr(self.data, part).labels for name, part in SPLITS.items()}

    @property
    def growth(self) -> float:
        """How many times as many pixels the network sees as an image has."""
        return (self.experiment.image_size / self.data.test.images.shape[1]) ** 2

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


def load(*, dataset: str, scale: str, **parameters: Any) -> Images:
    """The images of a data set at a scale; the miniature's where CIFAR-10 is wanted and not on this machine.

    `parameters` are fields of the Experiment that the network's view depends on. Nothing is downloaded.
    """
    wanted = experiments.for_notebook(experiments.HEADLINE, dataset=dataset, scale=scale, **parameters)
    missing = wanted.is_study_data and cifar10.locate() is None
    shown = miniature.stand_in(wanted) if missing else wanted
    return Images(shown, sources.load(shown), is_stand_in=missing)
