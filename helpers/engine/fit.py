"""Stage 1 and stage 2: epochs, checkpoints and resumption.

An epoch is one pass over the training set, in an order that depends on (seed, stage, epoch) alone. After each
one everything that the next depends on is written to one file: weights, optimizer, dropout's random
state and the curves, of which patience and learning rate are functions. A killed run goes on from there and
ends as it would have ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np

from helpers.engine import schedule
from helpers.engine.checkpoint import Progress, restore, save
from helpers.engine.inputs import EVALUATION_BATCH, Rows, Source, batches
from helpers.engine.schedule import Stage
from helpers.progress import bar

Settle = Callable[[int, Source], None]
"""Changes a network between an epoch's training and its evaluation, given the epoch's number and source."""


class Watch(Protocol):
    """Measures a network as it is, given the inputs of the epoch's training images."""

    def step(self, rows: Rows, /) -> None:
        """Take note of a step that was just made."""

    def __call__(self, rows: Rows, /) -> dict[str, Any]:
        """The measurements between two epochs."""


def fit(
    network: keras.Model,
    stage: Stage,
    source: Callable[[int], Source],
    validation: Source,
    checkpoint: Path,
    progress: bool = True,
    watch: Watch | None = None,
    settle: Settle | None = None,
) -> Progress:
    """Train `network` for a stage, from its checkpoint where there is one; the best weights are restored.

    source: the training data of an epoch, counted from 0. Every epoch runs all of its batches.
    settle: called after the training of every epoch, counted from 0, and again where a stage is resumed.
    """
    count = len(source(0).targets)
    schedule.compile_for(network, stage, -(-count // stage.batch_size))
    network.optimizer.build(network.trainable_variables)
    done = restore(checkpoint, network)
    if done.finished:
        return done
    if settle and done.steps:
        settle(len(done.steps) - 1, source(len(done.steps) - 1))
    if watch and not done.watched:
        done.watched.append(watch(source(0).rows))
    what = f"{stage.name}: at most {stage.epochs} epochs of {count:,} images"
    with bar(what, stage.epochs, "epoch", done=len(done.steps), shown=progress) as shown:
        while not schedule.is_over(stage, done.curves.get("val_loss", [])):
            _epoch(network, stage, source(len(done.steps)), validation, done, watch, settle)
            save(checkpoint, network, done)
            shown.update()
            last = {name: done.curves[name][-1] for name in ("val_accuracy", "val_loss")}
            shown.set_postfix_str(", ".join(f"{name} {value:.4f}" for name, value in last.items()))
    if done.kept:
        network.set_weights(done.kept)
    done.finished = True
    save(checkpoint, network, done)
    return done


def _epoch(
    network: keras.Model,
    stage: Stage,
    data: Source,
    validation: Source,
    done: Progress,
    watch: Watch | None,
    settle: Settle | None,
) -> None:
    """Train for one epoch and note in `done` what came of it; set the learning rate of the next.

    What storing the epoch's view takes is not counted here: `data` is ready when the clock starts.
    """
    started = time.perf_counter()
    steps, rate = int(network.optimizer.iterations), float(network.optimizer.learning_rate)
    order = _order(stage, len(done.steps), len(data.targets))
    logs = train(network, data, order, stage.batch_size, watch)
    if settle:
        settle(len(done.steps), data)
    logs |= {f"val_{name}": value for name, value in evaluate(network, validation).items()}
    for name, value in (logs | {"learning_rate": rate}).items():
        done.curves.setdefault(name, []).append(value)
    done.steps.append(int(network.optimizer.iterations) - steps)
    losses = done.curves["val_loss"]
    if schedule.kept_epoch(losses) == len(losses) - 1:
        done.kept = network.get_weights()
    if stage.schedule == "plateau":
        network.optimizer.learning_rate = schedule.plateau_rate(stage, losses)
    done.seconds += time.perf_counter() - started
    if watch:
        done.watched.append(watch(data.rows))


# A pass goes batch by batch rather than through Keras' fit, evaluate and predict: their input pipeline
# (tf.data's, in TensorFlow 2.21) often ends a pass with seconds of waiting, up to as long as the pass itself,
# for a thread of its autotuner that sleeps 10, 20, 41, 82 s from the start. Seen with 2,560 images, which
# take 5.7 s: half of the passes then took 10.25 s, with both cores idle.


def train(
    network: keras.Model, data: Source, order: np.ndarray, batch_size: int, watch: Watch | None = None
) -> dict[str, float]:
    """One pass over the rows in `order`, a step a batch; loss and accuracy as each step found its batch."""

    def step(*batch: np.ndarray, **how: Any) -> Any:
        answer = network.train_on_batch(*batch, **how)
        if watch:
            watch.step(data.rows)
        return answer

    return _mean(step, batches(data.rows, (data.targets, data.weights), order, batch_size))


def evaluate(network: keras.Model, data: Source) -> dict[str, float]:
    """Loss and accuracy on all rows, with the network in inference mode."""
    rows = np.arange(len(data.targets))
    return _mean(
        network.test_on_batch, batches(data.rows, (data.targets, data.weights), rows, EVALUATION_BATCH)
    )


def _mean(step: Callable[..., dict[str, Any]], passes: Iterable[tuple[np.ndarray, ...]]) -> dict[str, float]:
    """The mean over images of what a step answers for each batch."""
    answers, sizes = [], []
    for batch in passes:
        answers.append(step(*batch, return_dict=True))
        sizes.append(len(batch[0]))
    return {
        name: float(np.average([answer[name] for answer in answers], weights=sizes)) for name in answers[0]
    }


def predict(network: keras.Model, rows: Rows, count: int) -> np.ndarray:
    """The network's outputs, such as its probabilities, for rows 0 to count - 1, float32 (count, ...)."""
    passes = batches(rows, (), np.arange(count), EVALUATION_BATCH)
    return np.concatenate([network.predict_on_batch(inputs) for (inputs,) in passes])


def _order(stage: Stage, epoch: int, count: int) -> np.ndarray:
    """The shuffled order of an epoch: a function of seed, stage and epoch, so that it can be resumed."""
    return np.random.default_rng([stage.seed, len(stage.name), ord(stage.name[-1]), epoch]).permutation(count)
