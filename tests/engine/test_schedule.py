"""Patience and plateaus follow from the losses, as in Keras' callbacks and in every record."""

from collections.abc import Iterator

import keras
import numpy as np
import pytest

from helpers import paths
from helpers.engine import schedule
from helpers.engine.schedule import Stage
from helpers.experiment import Experiment
from helpers.records import store

STAGE = schedule.stage2(Experiment(patience=4))


def recorded() -> Iterator[tuple[str, Stage, dict[str, list[float]]]]:
    """Every stage of every record, and its curves."""
    for run in store.read_folder(paths.RESULTS)[0]:
        for stage in (schedule.stage1(run.experiment), schedule.stage2(run.experiment)):
            if curves := run.curves.get(stage.name):
                yield f"{run.path.name}, {stage.name}", stage, curves


def test_every_record_follows_from_its_losses() -> None:
    """Learning rates to the last bit, and the epoch after which a stage was over."""
    rates, ends, halved, early = [], [], 0, 0
    for name, stage, curves in recorded():
        losses = curves["val_loss"]
        before = [losses[:epoch] for epoch in range(len(losses))]
        if stage.schedule == "plateau":
            halved += len(set(curves["learning_rate"])) > 1
            if curves["learning_rate"] != [schedule.plateau_rate(stage, each) for each in before]:
                rates.append(name)
        early += len(losses) < stage.epochs
        if any(schedule.is_over(stage, each) for each in before) or not schedule.is_over(stage, losses):
            ends.append(name)
    assert rates == ends == []
    assert halved > 10
    assert early > 0


def by_keras(losses: list[float]) -> tuple[list[float], int, float]:
    """Rates before each epoch, epochs until the stop and the weight kept, by Keras' own callbacks."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.compile(keras.optimizers.SGD(STAGE.learning_rate))
    stopping = keras.callbacks.EarlyStopping("val_loss", patience=STAGE.patience, restore_best_weights=True)
    plateau = keras.callbacks.ReduceLROnPlateau(
        "val_loss", factor=STAGE.plateau_factor, patience=STAGE.plateau_patience
    )
    callbacks = keras.callbacks.CallbackList([stopping, plateau], model=model)
    model.stop_training = False
    callbacks.on_train_begin()
    rates: list[float] = []
    for epoch, loss in enumerate(losses):
        rates.append(float(model.optimizer.learning_rate))
        model.set_weights([np.full((1, 1), epoch)])
        callbacks.on_epoch_end(epoch, {"val_loss": loss})
        if model.stop_training:
            break
    callbacks.on_train_end()
    return rates, len(rates), float(model.get_weights()[0][0, 0])


@pytest.mark.parametrize("seed", range(8))
def test_random_losses_are_judged_as_keras_judges_them(seed: int) -> None:
    """With losses that repeat, that gain less than counts, and that are no number."""
    rng = np.random.default_rng(seed)
    losses = [*np.round(rng.uniform(0.5, 0.52, 28), 2 if seed % 2 else 5)]
    losses = [loss - 4e-5 * epoch for epoch, loss in enumerate(losses)] if seed % 3 == 0 else losses
    if seed > 4:
        losses[: 2 * (seed - 4)] = [float("nan")] * 2 * (seed - 4)
    rates, epochs, kept = by_keras(losses)
    assert [schedule.plateau_rate(STAGE, losses[:epoch]) for epoch in range(epochs)] == rates
    over = [schedule.is_over(STAGE, losses[: epoch + 1]) for epoch in range(epochs)]
    assert over == [False] * (epochs - 1) + [True]
    assert schedule.kept_epoch(losses[:epochs]) == kept
