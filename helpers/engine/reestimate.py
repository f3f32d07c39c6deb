"""The statistics that a batch norm evaluates with, estimated anew."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
from numpy.typing import NDArray

Array = NDArray[Any]
Statistics = tuple[Array, Array]
"""Mean and variance of each channel, (c,) each."""


def moments(features: Array) -> Statistics:
    """Mean and (biased) variance of each channel of features (n, c), as batch norm takes them."""
    return features.mean(axis=0), features.var(axis=0)


def moving(norm: keras.layers.BatchNormalization) -> Statistics:
    """A copy of the moving statistics."""
    mean, variance = map(keras.ops.convert_to_numpy, (norm.moving_mean, norm.moving_variance))
    return mean.copy(), variance.copy()


@contextmanager
def evaluating_with(norm: keras.layers.BatchNormalization, statistics: Statistics) -> Iterator[None]:
    """Let a batch norm evaluate with other statistics for a while; its own are put back at the end."""
    own = moving(norm)
    try:
        _assign(norm, statistics)
        yield
    finally:
        _assign(norm, own)


def _assign(norm: keras.layers.BatchNormalization, statistics: Statistics) -> None:
    norm.moving_mean.assign(statistics[0])
    norm.moving_variance.assign(statistics[1])
