"""Stage 1 and stage 2: epochs, callbacks, checkpoints and resumption.

An epoch is one pass over the training set, in an order that depends on (seed, stage, epoch) alone. After each
one everything that the next depends on is written to one file: weights, optimizer, dropout's random
state, EarlyStopping, ReduceLROnPlateau, the curves. A killed run goes on from there and ends as it
would have ended.
"""

from __future__ import annotations

import io
import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
from tqdm import tqdm

from helpers import storage
from helpers.experiment import Experiment

AHEAD = 4
"""Batches that wait, ready, for the one that is trained on."""
EVALUATION_BATCH = 200
"""Divides the split's sizes, and has the factor 8: equal batches, on one accelerator or on eight."""
WARMUP_STEPS = 200
"""Steps over which the cosine schedule rises from zero, or a fifth of all steps where those are few."""

Rows = Callable[[np.ndarray], np.ndarray]
"""Given row numbers (m,), the inputs of the network for them, float (m, ...)."""


@dataclass(frozen=True)
class Source:
    """What one epoch trains on: the inputs' rows and their targets, float32 (n, classes)."""

    rows: Rows
    targets: np.ndarray


def batches(
    rows: Rows, targets: np.ndarray | None, order: np.ndarray, batch_size: int
) -> Iterator[tuple[np.ndarray, ...]]:
    """(inputs, targets) batch by batch in a given order, the next ones made while one is used.

    order: row numbers, int (n,); the last batch holds what is left. Without `targets`: (inputs,).
    """

    def batch(low: int) -> tuple[np.ndarray, ...]:
        picked = order[low : low + batch_size]
        inputs = np.asarray(rows(picked), np.float32)
        return (inputs,) if targets is None else (inputs, targets[picked])

    with ThreadPoolExecutor(1) as thread:
        waiting: deque[Future[tuple[np.ndarray, ...]]] = deque()
        for low in range(0, len(order), batch_size):
            waiting.append(thread.submit(batch, low))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


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


@dataclass
class Progress:
    """What a stage has done so far; all of it is in its checkpoint."""

    curves: dict[str, list[float]] = field(default_factory=dict)
    steps: list[int] = field(default_factory=list)
    seconds: float = 0.0
    finished: bool = False
    watched: list[dict[str, Any]] = field(default_factory=list)
    """What `watch` measured: before the first epoch, and after each."""


Watch = Callable[[Rows], dict[str, Any]]
"""Measures the network as it is, given the inputs of the epoch's training images."""


def fit(
    network: keras.Model,
    stage: Stage,
    source: Callable[[int], Source],
    validation: Source,
    checkpoint: Path,
    progress: bool = True,
    watch: Watch | None = None,
) -> Progress:
    """Train `network` for a stage, from its checkpoint where there is one; the best weights are restored.

    source: the training data of an epoch, counted from 0. Every epoch runs all of its batches.
    """
    count = len(source(0).targets)
    compile_for(network, stage, -(-count // stage.batch_size))
    network.optimizer.build(network.trainable_variables)
    watchers = _callbacks(stage)
    listeners = keras.callbacks.CallbackList(watchers, model=network)
    network.stop_training = False
    listeners.on_train_begin()
    done = _restore(checkpoint, network, watchers)
    if done.finished:
        return done
    if watch and not done.watched:
        done.watched.append(watch(source(0).rows))
    with tqdm(
        total=stage.epochs,
        initial=len(done.steps),
        unit="epoch",
        desc=f"{stage.name}: at most {stage.epochs} epochs of {count:,} images",
        disable=not progress,
    ) as bar:
        for epoch in range(len(done.steps), stage.epochs):
            if network.stop_training:
                break
            steps, rate = int(network.optimizer.iterations), float(network.optimizer.learning_rate)
            data = source(epoch)  # before the clock starts: what storing a view takes is counted there
            started = time.perf_counter()
            logs = train(network, data, _order(stage, epoch, count), stage.batch_size)
            logs |= {f"val_{name}": value for name, value in evaluate(network, validation).items()}
            logs["learning_rate"] = rate
            for name, value in logs.items():
                done.curves.setdefault(name, []).append(value)
            done.steps.append(int(network.optimizer.iterations) - steps)
            listeners.on_epoch_end(epoch, logs)
            done.seconds += time.perf_counter() - started
            if watch:
                done.watched.append(watch(data.rows))
            del data  # and with it a mapped view
            _save(checkpoint, network, watchers, done)
            bar.update()
            bar.set_postfix_str(f"val_accuracy {logs['val_accuracy']:.4f}, val_loss {logs['val_loss']:.4f}")
    listeners.on_train_end()
    done.finished = True
    _save(checkpoint, network, watchers, done)
    return done


# A pass goes batch by batch rather than through Keras' fit, evaluate and predict: their input pipeline
# (tf.data's, in TensorFlow 2.21) often ends a pass with seconds of waiting, up to as long as the pass itself,
# for a thread of its autotuner that sleeps 10, 20, 41, 82 s from the start. Seen with 2,560 images, which
# take 5.7 s: half of the passes then took 10.25 s, with both cores idle.


def train(network: keras.Model, data: Source, order: np.ndarray, batch_size: int) -> dict[str, float]:
    """One pass over the rows in `order`, a step a batch; loss and accuracy as each step found its batch."""
    return _mean(network.train_on_batch, batches(data.rows, data.targets, order, batch_size))


def evaluate(network: keras.Model, data: Source) -> dict[str, float]:
    """Loss and accuracy on all rows, with the network in inference mode."""
    rows = np.arange(len(data.targets))
    return _mean(network.test_on_batch, batches(data.rows, data.targets, rows, EVALUATION_BATCH))


def _mean(step: Callable[..., dict[str, Any]], passes: Iterable[tuple[np.ndarray, ...]]) -> dict[str, float]:
    """The mean over images of what a step answers for each batch."""
    answers, sizes = [], []
    for inputs, targets in passes:
        answers.append(step(inputs, targets, return_dict=True))
        sizes.append(len(inputs))
    return {
        name: float(np.average([answer[name] for answer in answers], weights=sizes)) for name in answers[0]
    }


def outputs(network: keras.Model, rows: Rows, count: int) -> np.ndarray:
    """The network's outputs, such as its probabilities, for rows 0 to count - 1, float32 (count, ...)."""
    passes = batches(rows, None, np.arange(count), EVALUATION_BATCH)
    return np.concatenate([network.predict_on_batch(inputs) for (inputs,) in passes])


def _order(stage: Stage, epoch: int, count: int) -> np.ndarray:
    """The shuffled order of an epoch: a function of seed, stage and epoch, so that it can be resumed."""
    return np.random.default_rng([stage.seed, len(stage.name), ord(stage.name[-1]), epoch]).permutation(count)


def _callbacks(stage: Stage) -> list[keras.callbacks.Callback]:
    stopping = keras.callbacks.EarlyStopping(
        monitor="val_loss", patience=stage.patience, restore_best_weights=True
    )
    if stage.schedule != "plateau":
        return [stopping]
    plateau = keras.callbacks.ReduceLROnPlateau(
        monitor="val_loss", factor=stage.plateau_factor, patience=stage.plateau_patience
    )
    return [stopping, plateau]


# Checkpoints: one .npz a stage, replaced as a whole after every epoch. ------------------------------------

CALLBACK_STATE = ("wait", "stopped_epoch", "best", "best_epoch", "cooldown_counter")
"""What EarlyStopping and ReduceLROnPlateau remember between epochs, besides the best weights."""


def _state(network: keras.Model) -> list[keras.Variable]:
    """Every variable that training changes: weights, dropout's random state, the optimizer's own."""
    return [*network.variables, *network.optimizer.variables]


def _save(
    path: Path, network: keras.Model, watchers: Iterable[keras.callbacks.Callback], done: Progress
) -> None:
    states = [keras.ops.convert_to_numpy(variable) for variable in _state(network)]
    arrays: dict[str, Any] = {f"state{i}": value for i, value in enumerate(states)}
    for i, value in enumerate(_stopping(watchers).best_weights or []):
        arrays[f"best{i}"] = value
    memory = [{k: getattr(w, k) for k in CALLBACK_STATE if hasattr(w, k)} for w in watchers]
    content = {"progress": vars(done), "callbacks": memory, "stop": network.stop_training}
    write_arrays(path, arrays | {"json": np.frombuffer(json.dumps(content).encode(), np.uint8)})


def _restore(path: Path, network: keras.Model, watchers: list[keras.callbacks.Callback]) -> Progress:
    """Put network and callbacks where the checkpoint left them; nowhere, where there is none.

    Nor where it is damaged or another network's, which is said in a line that names it.
    """
    if not path.exists():
        return Progress()
    state = _state(network)
    try:
        with np.load(path, allow_pickle=False) as file:  # every member is checked against its CRC-32
            stored = {name: file[name] for name in file}
        content = json.loads(stored["json"].tobytes())
        best, values = _series(stored, "best"), _series(stored, "state")
        if [value.shape for value in values] != [tuple(variable.shape) for variable in state]:
            raise ValueError("its variables are not this network's")
    except Exception as error:  # zipfile, zlib, json and NumPy raise a dozen types for a damaged file
        print(f"{path} cannot be resumed from ({error}): training this stage from its start", flush=True)
        return Progress()
    for variable, value in zip(state, values, strict=True):
        variable.assign(value)
    for watcher, memory in zip(watchers, content["callbacks"], strict=True):
        vars(watcher).update(memory)
    _stopping(watchers).best_weights = best or None
    network.stop_training = content["stop"]
    return Progress(**content["progress"])


def _series(stored: dict[str, np.ndarray], kind: str) -> list[np.ndarray]:
    """A checkpoint's arrays `kind`0, `kind`1 and so on, in order."""
    return [stored[f"{kind}{i}"] for i in range(sum(name.startswith(kind) for name in stored))]


def _stopping(watchers: Iterable[keras.callbacks.Callback]) -> keras.callbacks.EarlyStopping:
    return next(w for w in watchers if isinstance(w, keras.callbacks.EarlyStopping))


def write_arrays(path: Path, arrays: dict[str, Any]) -> None:
    """Write an .npz so that `path` is always whole, making its folder."""
    content = io.BytesIO()
    np.savez(content, **arrays)
    path.parent.mkdir(parents=True, exist_ok=True)
    storage.write({path: content.getvalue()})
