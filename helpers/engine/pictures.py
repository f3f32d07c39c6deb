"""Pictures of what the network is given: images enlarged as it enlarges them, and their augmented views."""

from __future__ import annotations

import numpy as np
from keras import ops

from helpers.data.split import Split
from helpers.engine import augment as augment  # its ranges are shown beside the pictures
from helpers.engine import feature_cache
from helpers.experiment import Experiment


def enlarged(images: np.ndarray, side: int) -> np.ndarray:
    """Images (n, h, w, 3) in [0, 255], enlarged as the prefix does: float32 (n, side, side, 3)."""
    return ops.convert_to_numpy(ops.image.resize(images.astype(np.float32), (side, side), "bilinear"))


def views(split: Split, experiment: Experiment, images: int, count: int) -> np.ndarray:
    """The first training images in the first views that stage 2 trains on, exactly as it sees them.

    `split` is the experiment's whole training split: mixup draws partners from all of it.
    Returns float32 (images, count, side, side, 3) in [0, 255].
    """
    drawn = (feature_cache.training_view(experiment, split, number) for number in range(count))
    return np.stack([view[np.arange(images)] for view in drawn], axis=1)
