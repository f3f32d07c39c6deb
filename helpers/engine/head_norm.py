"""What an experiment has done to the head's batch norm between an epoch's training and its evaluation."""

from __future__ import annotations

import keras
import numpy as np

from helpers.engine.diagnosis import SAMPLE
from helpers.engine.fit import Settle
from helpers.engine.inputs import Source
from helpers.engine.reestimate import norms, reestimate
from helpers.experiment import Experiment


def settling(experiment: Experiment, trained: keras.Model) -> Settle | None:
    """The norm frozen after some epochs, or its statistics re-estimated after each; None for neither.

    trained: what stage 2 trains. Re-estimated is from the first SAMPLE images of the epoch's own view. What
    is frozen are scale, offset and statistics, and training uses them from then on.
    """

    def renew(epoch: int, data: Source) -> None:
        reestimate(trained, _first(data, SAMPLE))

    def freeze(epoch: int, data: Source) -> None:
        if epoch + 1 < experiment.head_norm_epochs:
            return
        head = norms(trained, _first(data, 1), frozen=True)[-1]  # the last that an image meets
        if head.trainable:
            head.trainable = False
            trained.make_train_function(force=True)

    if experiment.norm_evaluation == "re-estimated":
        return renew
    if experiment.head_norm_epochs >= experiment.epochs_run:
        return None
    return freeze


def _first(data: Source, count: int) -> np.ndarray:
    """The inputs of an epoch's first images."""
    return np.asarray(data.rows[np.arange(min(count, len(data.targets)))], np.float32)
