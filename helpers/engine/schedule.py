"""The recipe of a stage: its optimizer, its learning rate, its patience."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from helpers.experiment import Experiment

WARMUP_STEPS = 200
"""Steps over which the cosine schedule rises from zero, or a fifth of all steps where those are few."""
LEAST_GAIN = 1e-4
"""By how much a loss must fall below the lowest so far to keep a plateau's learning rate: Keras' default."""


@dataclass(frozen=True)
class Stage:
    """How one stage trains: the recipe of `fit`."""

    name: str
    optimizer: str
    learning_rate: float
    weight_decay: float
    schedule: str
    batch_size: int
    epochs: int
    patience: int
    plateau_factor: float
    plateau_patience: int
    label_smoothing: float
    seed: int


def stage1(experiment: Experiment) -> Stage:
    """The head on frozen features; the plateau schedule's constants are the study's."""
    return Stage(
        name="stage1",
        optimizer=experiment.stage1_optimizer,
        learning_rate=experiment.stage1_learning_rate,
        weight_decay=1e-4,
        schedule="plateau",
        batch_size=experiment.stage1_batch_size,
        epochs=experiment.stage1_epochs_run,
        patience=experiment.stage1_patience,
        plateau_factor=0.2,
        plateau_patience=3,
        label_smoothing=experiment.label_smoothing,
        seed=experiment.seed,
    )


def stage2(experiment: Experiment) -> Stage:
    """Suffix and head together; the plateau schedule's constants are the study's."""
    return Stage(
        name="stage2",
        optimizer=experiment.optimizer,
        learning_rate=experiment.learning_rate,
        weight_decay=experiment.weight_decay,
        schedule=experiment.schedule,
        batch_size=experiment.batch_size,
        epochs=experiment.epochs_run,
        patience=experiment.patience,
        plateau_factor=0.5,
        plateau_patience=4,
        label_smoothing=experiment.label_smoothing,
        seed=experiment.seed,
    )


def kept_epoch(losses: Sequence[float]) -> int:
    """The epoch, from 0, whose weights are kept: that of the lowest loss, the first of equals.

    As in Keras' EarlyStopping a loss that is NaN is never lower, nor is any lower than a first one that is.
    """
    return min(range(len(losses)), key=lambda epoch: losses[epoch], default=0)


def is_over(stage: Stage, losses: Sequence[float]) -> bool:
    """Whether a stage ends after these validation losses: out of epochs or, as in EarlyStopping, patience."""
    return len(losses) >= stage.epochs or len(losses) - 1 - kept_epoch(losses) >= stage.patience


def plateau_rate(stage: Stage, losses: Sequence[float]) -> float:
    """The learning rate after these validation losses, as Keras' ReduceLROnPlateau sets it, in float32."""
    rate, lowest, waited = np.float32(stage.learning_rate), math.inf, 0
    for epoch, loss in enumerate(losses):
        if not epoch or loss + LEAST_GAIN < lowest:
            lowest, waited = loss, 0
            continue
        waited += 1
        if waited >= stage.plateau_patience:
            rate, waited = np.float32(float(rate) * stage.plateau_factor), 0
    return float(rate)


def optimizer(stage: Stage, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """The stage's optimizer; AdamW after Loshchilov and Hutter 2019, SGD with Nesterov momentum 0.9."""
    rate: Any = stage.learning_rate
    if stage.schedule == "cosine":
        total = max(2, stage.epochs * steps_per_epoch)
        warmup = min(WARMUP_STEPS, total // 5)
        rate = keras.optimizers.schedules.CosineDecay(
            0.0, total - warmup, warmup_target=stage.learning_rate, warmup_steps=warmup
        )
    if stage.optimizer == "adamw":
        return keras.optimizers.AdamW(rate, weight_decay=stage.weight_decay)
    if stage.optimizer == "adam":
        return keras.optimizers.Adam(rate)
    return keras.optimizers.SGD(rate, momentum=0.9, nesterov=True, weight_decay=stage.weight_decay)


def compile_for(network: keras.Model, stage: Stage, steps_per_epoch: int) -> None:
    """Give a network the stage's optimizer, its loss and accuracy."""
    network.compile(
        optimizer(stage, steps_per_epoch),
        keras.losses.CategoricalCrossentropy(label_smoothing=stage.label_smoothing),
        # Not by its name alone: then it is made within the first step, which TensorFlow traces again.
        metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
        jit_compile=False,  # XLA on a processor is ten times slower at depthwise convolutions
    )
