"""Pictures of what the network is given: images enlarged as it enlarges them, and their augmented views."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from helpers.data.split import Split
from helpers.engine import augment as augment  # its ranges are shown beside the pictures
from helpers.engine import backbones, feature_cache, model
from helpers.experiment import Experiment


def enlarged(images: np.ndarray, side: int) -> np.ndarray:
    """Images (n, h, w, 3) in [0, 255], enlarged as the prefix does: float32 (n, side, side, 3)."""
    return ops.convert_to_numpy(ops.image.resize(images.astype(np.float32), (side, side), "bilinear"))


def views(split: Split, experiment: Experiment, images: int, count: int) -> np.ndarray:
    """The first training images in the first views that stage 2 trains on, exactly as it sees them.

    `split` is the experiment's whole training split: mixup draws partners from all of it. There are as many
    images as it has, at most.
    Returns float32 (images, count, side, side, 3) in [0, 255].
    """
    drawn = (feature_cache.training_view(experiment, split, number) for number in range(count))
    return np.stack([view[np.arange(min(images, len(split.labels)))] for view in drawn], axis=1)


def layout(experiment: Experiment, classes: int) -> tuple[dict[str, tuple[int, ...]], dict[str, int]]:
    """What an image becomes on its way through the network, and how many weights each part holds.

    The first: 'image', 'enlarged', 'stored' at the cut, 'pooled' and 'answer' to their shapes. The second:
    'prefix' to all of its weights, 'suffix' and 'head' to those that train. No file of weights is read.
    """
    network = backbones.architecture(experiment)
    prefix = model.pixels_to(network, backbones.cut(network, experiment.n_unfreeze), experiment.side)
    part = model.suffix(network, experiment)
    top = model.head(experiment, network.output_shape[-1], classes)
    shapes = {
        "image": prefix.input_shape,
        "enlarged": network.input_shape,
        "stored": prefix.output_shape,
        "pooled": top.input_shape,
        "answer": top.output_shape,
    }
    trained = {"suffix": part, "head": top}
    weights = {name: _count(network.trainable_weights) for name, network in trained.items()}
    return {name: shape[1:] for name, shape in shapes.items()}, {"prefix": _count(prefix.weights), **weights}


def _count(weights: list[keras.Variable]) -> int:
    return sum(int(np.prod(weight.shape)) for weight in weights)
