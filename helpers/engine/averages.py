"""Averages of several lengths beside those of the head's batch norm: would another length have fitted?

The moving statistics never enter training, so one run can keep many. After every step the batch's own
statistics are read off the norm: a step moves its averages by 1 - momentum of the way to them. Every
INTERVAL steps the network is evaluated with each average. How far the batches' means move is measured too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from helpers.engine.fit import predict
from helpers.engine.inputs import Rows
from helpers.engine.reestimate import Statistics, evaluating_with, moments, moving

MEMORIES = (3, 10, 30, 70, 100, 300, 1000, 3000)
"""Steps that an average reaches back; its momentum is 1 - 1 / memory.

100 is the head's own. 70 is the rule of Kornblith et al. 2019 for 703 steps a pass: 1 - 10 / 703.
"""
INTERVAL = 50
"""Steps from one evaluation to the next."""
COMPARED = 1000
"""Validation images that an evaluation answers, and training images that it is re-estimated from."""
LAGS = (1, 3, 10, 30, 100, 300, 1000)
"""Steps between two batches whose means are compared."""
IMAGES = (64, 256, 1024, 4096, 16384)
"""How many training images the statistics are re-estimated from after each epoch."""
DRAWS = 8
"""Of each number of images, at most: the accuracy is their mean."""
Array = NDArray[Any]


class Averages:
    """Follows one head norm from before stage 2 on; what it keeps lives in memory alone.

    norm: the head's. pooled: from the inputs of stage 2 to the pooled features. answer: from those to
    probabilities, as Keras evaluates. val: rows and labels (n,). train_count: images of a view.
    """

    def __init__(
        self,
        norm: keras.layers.BatchNormalization,
        pooled: keras.Model,
        answer: Callable[[Array], Array],
        val: tuple[Rows, Array],
        train_count: int,
        batch_size: int,
    ) -> None:
        self.norm, self.pooled, self.answer = norm, pooled, answer
        self.val, self.train_count, self.batch_size = val, train_count, batch_size
        self.own = moving(norm)
        self.kept = {memory: [each.astype(np.float64) for each in self.own] for memory in MEMORIES}
        self.batches: list[Statistics] = []
        self.reported = 0
        self.evaluations: list[dict[str, float]] = []

    def step(self, rows: Rows) -> None:
        """Take in the batch of the step that was just made; `rows` are the inputs of the epoch's view."""
        before, self.own = self.own, moving(self.norm)
        mean, variance = (
            was + (now - was) / (1 - self.norm.momentum)
            for was, now in zip(before, self.own, strict=True)  # float32: off by 1e-5 of a mean
        )
        batch = mean, np.maximum(variance, 0)
        for memory, kept in self.kept.items():
            for average, value in zip(kept, batch, strict=True):
                average += (value - average) / memory
        self.batches.append(batch)
        if len(self.batches) % INTERVAL == 0:
            self.evaluations.append(self._evaluation(rows))

    def report(self, rows: Rows, val: Array) -> dict[str, Any]:
        """What was found since the last report, which is an epoch; `val` are pooled features (n, c).

        accuracy: memory, or 're-estimated' on training images, to accuracy at every evaluation.
        displacement: lag to `displacement` of the batches' means, over the pairs that end in the epoch.
        images: number of training images to accuracy on all validation images, re-estimated from so many.
        """
        kinds = [*map(str, MEMORIES), "re-estimated"]
        found: dict[str, Any] = {
            "accuracy": {kind: [each[kind] for each in self.evaluations] for kind in kinds}
        }
        found["displacement"] = {
            str(lag): displacement(self.batches, lag, self.reported, self.batch_size)
            for lag in LAGS
            if self.reported < len(self.batches) and lag < len(self.batches)
        }
        found["images"] = self._by_images(rows, val)
        self.reported, self.evaluations = len(self.batches), []
        self.own = moving(self.norm)
        return found

    def _accuracy(self, val: Array, statistics: Statistics) -> float:
        with evaluating_with(self.norm, statistics):
            return float(np.mean(self.answer(val).argmax(1) == self.val[1][: len(val)]))

    def _evaluation(self, rows: Rows) -> dict[str, float]:
        """Accuracy now, by memory in steps and 're-estimated'."""
        val = predict(self.pooled, self.val[0], min(COMPARED, len(self.val[1])))
        kinds = {str(memory): (kept[0], kept[1]) for memory, kept in self.kept.items()}
        kinds["re-estimated"] = moments(predict(self.pooled, rows, min(COMPARED, self.train_count)))
        return {kind: self._accuracy(val, statistics) for kind, statistics in kinds.items()}

    def _by_images(self, rows: Rows, val: Array) -> dict[str, float]:
        features = predict(self.pooled, rows, min(max(IMAGES), self.train_count))
        found = {}
        for count in IMAGES:
            draws = range(0, len(features) - count + 1, count)[:DRAWS]
            shares = [self._accuracy(val, moments(features[low : low + count])) for low in draws]
            if shares:
                found[str(count)] = float(np.mean(shares))
        return found


def displacement(batches: list[Statistics], lag: int, first: int, batch_size: int) -> float:
    """How far the features' means move in `lag` steps, over the pairs of batches of which one ends in
    step `first` or later; in standard deviations, the root of the mean square over channels and pairs.

    Two batches differ by chance too: by the variance over batch_size - 1, of each. That is taken off.
    """
    later = range(max(first, lag), len(batches))
    (means, variances), (old_means, old_variances) = (
        np.array([batches[step - back] for step in later]).swapaxes(0, 1) for back in (0, lag)
    )
    chance = (variances + old_variances) / (batch_size - 1)
    unit = (variances.mean(axis=0) + old_variances.mean(axis=0)) / 2 + 1e-3  # batch norm's epsilon
    return float(np.sqrt(max(0.0, np.mean(((means - old_means) ** 2 - chance) / unit))))
