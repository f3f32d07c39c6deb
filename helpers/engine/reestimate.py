"""The statistics that a batch norm evaluates with, estimated anew: for any Keras model, in any script.

This file needs Keras and NumPy and nothing else of this project; a copy of it works elsewhere.

    reestimate(model, images)                                    once, after training
    model.fit(..., callbacks=[Reestimation(images)])             before every validation

`images` are about a thousand training images, as the model takes them. Wu and Johnson 2021 (arXiv:2105.07576,
section 3) say why, and how many suffice. PyTorch's `update_bn` and fvcore's `PreciseBN` do the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeAlias

import keras
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Norm: TypeAlias = keras.layers.BatchNormalization
Call = Callable[..., Any]
Statistics = tuple[Array, Array]
"""Mean and variance of each channel, (c,) each."""
BATCH = 64
"""Images of which a norm takes the statistics at once; few enough for the memory of a small machine."""


def reestimate(model: keras.Model, images: Array, *, frozen: bool = False) -> list[Norm]:
    """Give the batch norms of a model the statistics of these images; no weight that trains is changed.

    images: (n, ...), as the model takes them; about a thousand suffice.
    frozen: also those norms that training leaves alone: they are not trainable, or a layer calls them in
    inference mode. (training=False in a functional graph is no such case: in Keras 3.15 `fit` overrides it.)
    Returns the norms that were set, in the order in which an image meets them.
    """
    fresh = estimated(model, images, frozen=frozen)
    for norm, statistics in fresh.items():
        _assign(norm, statistics)
    return list(fresh)


def estimated(model: keras.Model, images: Array, *, frozen: bool = False) -> dict[Norm, Statistics]:
    """What `reestimate` would set: mean and variance of all that each norm sees; the model stays as it is.

    A norm sees what the norms below it make of a batch with that batch's own statistics, as in training, but
    without dropout. The variance is that of all batches together: the mean of theirs plus the variance of
    their means. So a norm with no other below it gets the exact statistics, whatever the size of a batch.
    """
    sums: dict[Norm, list[Array]] = {}

    def add(norm: Norm, inputs: Any) -> None:
        mean, variance = (value.astype(np.float64) for value in moving(norm))
        count = float(np.prod(inputs.shape)) / len(mean)
        seen = np.stack([np.full(len(mean), count), count * mean, count * (variance + mean**2)])
        sums.setdefault(norm, []).append(seen)

    with batch_statistics(norms(model, images, frozen=frozen), add):
        for low in range(0, len(images), BATCH):
            model(images[low : low + BATCH], training=False)
    found = {}
    for norm, seen in sums.items():
        count, total, squares = np.sum(seen, axis=0)
        found[norm] = total / count, np.maximum(squares / count - (total / count) ** 2, 0)
    return found


def norms(model: keras.Model, images: Array, *, frozen: bool = False) -> list[Norm]:
    """The model's batch norms, in the order in which an image meets them; without `frozen`, those that train.

    The model is tried on one image in training mode, and whatever that changes is thrown away.
    """
    met: dict[Norm, bool] = {}

    def noted(norm: Norm, call: Call, inputs: Any, training: bool | None = None, **how: Any) -> Any:
        met[norm] = met.get(norm, False) or bool(training and norm.trainable)
        return call(inputs, training=training, **how)

    every = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    with calling(every, noted), keras.StatelessScope():
        model(images[:1], training=True)
    return [norm for norm, trains in met.items() if trains or frozen]


@contextmanager
def batch_statistics(
    norms: Sequence[Norm], seen: Callable[[Norm, Any], None] = lambda norm, inputs: None
) -> Iterator[None]:
    """Let norms take each batch's own statistics for a while, whatever mode the model is called in.

    seen: told of each norm and its inputs; then the norm's moving statistics are this batch's alone.
    """

    def trained(norm: Norm, call: Call, inputs: Any, training: bool | None = None, **how: Any) -> Any:
        answer = call(inputs, training=True, **how)
        seen(norm, inputs)
        return answer

    before = [(norm, moving(norm), norm.momentum, norm.trainable) for norm in norms]
    try:
        for norm, (mean, variance), *_ in before:
            norm.momentum = 0.0
            if not norm.trainable:  # to set it would free a scale or an offset that is frozen by itself
                norm.trainable = True
            _assign(norm, (np.zeros_like(mean), np.ones_like(variance)))  # what is infinite would stay so
        with calling(norms, trained):
            yield
    finally:
        for norm, statistics, momentum, trainable in before:
            norm.momentum = momentum
            if not trainable:
                norm.trainable = False
            _assign(norm, statistics)


@contextmanager
def calling(layers: Sequence[keras.layers.Layer], instead: Callable[..., Any]) -> Iterator[None]:
    """Let `instead(layer, its own call, inputs, ...)` answer for layers.

    Keras looks a layer's call up whenever the model is called.
    """
    for layer in layers:
        layer.call = partial(instead, layer, layer.call)
    try:
        yield
    finally:
        for layer in layers:
            del layer.call


class Reestimation(keras.callbacks.Callback):
    """Re-estimates before every validation of `fit`, or after each epoch where nothing is validated.

    So the validation, and the checkpoint that a later callback writes, have statistics that fit the weights.
    Training itself is not changed: it reads no moving statistics.
    """

    def __init__(self, images: Array, *, frozen: bool = False) -> None:
        super().__init__()
        self.images, self.frozen = images, frozen
        self._is_done = False

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """The statistics of the last epoch are old from here on."""
        self._is_done = False

    def on_test_begin(self, logs: Any = None) -> None:
        """Within `fit`, Keras calls this before it validates."""
        self._renew()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Keras calls this after the validation, if there was one."""
        if not self._is_done:
            self._renew()

    def _renew(self) -> None:
        reestimate(self.model, self.images, frozen=self.frozen)
        self._is_done = True


# ---------------------------------------------------------------------------- one norm


def moments(features: Array) -> Statistics:
    """Mean and (biased) variance of each channel of features (n, c), as batch norm takes them."""
    return features.mean(axis=0), features.var(axis=0)


def moving(norm: Norm) -> Statistics:
    """A copy of the moving statistics."""
    mean, variance = map(keras.ops.convert_to_numpy, (norm.moving_mean, norm.moving_variance))
    return mean.copy(), variance.copy()


def distances(norm: Norm, statistics: Statistics) -> Statistics:
    """How far the moving statistics are from others, as the norm's output sees it, (c,) each.

    Of the means: in the norm's own unit, sqrt(moving variance + epsilon), which is how far a channel's output
    is off its centre. Of the variances: the ratio of the moving to the others, epsilon added to both.
    """
    mean, variance = moving(norm)
    off = np.abs(mean - statistics[0]) / np.sqrt(variance + norm.epsilon)
    return off, (variance + norm.epsilon) / (statistics[1] + norm.epsilon)


@contextmanager
def evaluating_with(norm: Norm, statistics: Statistics) -> Iterator[None]:
    """Let a batch norm evaluate with other statistics for a while; its own are put back at the end."""
    own = moving(norm)
    try:
        _assign(norm, statistics)
        yield
    finally:
        _assign(norm, own)


def _assign(norm: Norm, statistics: Statistics) -> None:
    norm.moving_mean.assign(statistics[0])
    norm.moving_variance.assign(statistics[1])
