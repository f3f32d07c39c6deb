"""The statistics of a batch norm, estimated anew."""

from __future__ import annotations

from typing import Any

import keras
from numpy.typing import NDArray

Array = NDArray[Any]


def moments(features: Array) -> tuple[Array, Array]:
    """Mean and (biased) variance of each channel of features (n, c), as batch norm takes them."""
    return features.mean(axis=0), features.var(axis=0)


def _assign(norm: keras.layers.BatchNormalization, statistics: tuple[Array, Array]) -> None:
    norm.moving_mean.assign(statistics[0])
    norm.moving_variance.assign(statistics[1])
