"""The recipe of a stage: its optimizer, its learning rate, its patience."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras

from helpers.experiment import Experiment

WARMUP_STEPS = 200
"""Steps over which the cosine schedule rises from zero, or a fifth of all steps where those are few."""


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
    """The head on frozen features; the plateau schedule's constants are the seed script's."""
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
    """Suffix and head together; the plateau schedule's constants are the seed script's."""
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
        metrics=["accuracy"],
        jit_compile=False,  # XLA on a processor is ten times slower at depthwise convolutions
    )
