"""Train one experiment: both stages, the evaluation, and the record."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np

from helpers.analysis import metrics
from helpers.cost import estimate, needs_pooled
from helpers.data import sources, split
from helpers.engine import (
    backbones,
    checkpoint,
    diagnosis,
    feature_cache,
    fit,
    forward,
    inputs,
    model,
    schedule,
)
from helpers.engine.checkpoint import Progress
from helpers.engine.environment import environment
from helpers.engine.inputs import EVALUATION_BATCH, Rows
from helpers.experiment import PROTOCOL, Experiment
from helpers.paths import results_folder
from helpers.records import store
from helpers.records.run import Run


def distribution(experiment: Experiment) -> AbstractContextManager[Any]:
    """Keras' data parallelism where `end_to_end` finds several accelerators; no change where it does not.

    Keras 3 has it on the JAX backend alone. As many are used as share every batch evenly.
    """
    if experiment.engine == "bank":
        return contextlib.nullcontext()
    devices = keras.distribution.list_devices() if keras.backend.backend() == "jax" else []
    sizes = experiment.limits
    even = math.gcd(len(devices), experiment.batch_size, EVALUATION_BATCH, sizes.train, sizes.val, sizes.test)
    if even < 2:
        return contextlib.nullcontext()
    return keras.distribution.DataParallel(devices=devices[:even], auto_shard_dataset=False).scope()


def train(
    experiment: Experiment,
    found: Mapping[str, str],
    folder: Path,
    data_dir: str | Path | None,
    progress: bool,
    screening: bool,
) -> Run:
    """Both stages, the evaluation, and the record."""
    print(estimate(experiment), flush=True)
    started = time.perf_counter()
    images = sources.load(experiment, data_dir)
    network = backbones.backbone(experiment)
    prefix = None
    if experiment.epochs_run and experiment.engine == "bank":
        # Now, so that a depth that leaves nothing frozen is refused before stage 1.
        prefix = forward.for_experiment(network, experiment.n_unfreeze, found["weights"], found["data"])
    one_hot = {name: np.eye(10, dtype=np.float32)[getattr(images, name).labels] for name in SPLITS}
    loaded = time.perf_counter() - started
    built: dict[str, float] = {}

    def stored(prefix: forward.Prefix, wanted: list[feature_cache.ViewSpec]) -> list[Rows]:
        views = feature_cache.open_views(prefix, wanted, progress)
        built.update(feature_cache.seconds(prefix, wanted))
        return [view.__getitem__ for view in views]

    evaluated = [(split, view) for split in ("val", "test") for view in ("plain", "flipped")]

    def evaluation_views() -> list[feature_cache.ViewSpec]:
        make = {"plain": feature_cache.plain, "flipped": feature_cache.mirrored}
        return [make[view](split, getattr(images, split)) for split, view in evaluated]

    pooled = forward.Prefix(network, backbones.POOLED, found["weights"], found["data"])
    top = model.head(experiment, pooled.shape[0])
    progress1 = checkpoint.Progress()
    if needs_pooled(experiment):
        train_rows, *rows = stored(pooled, [feature_cache.plain("train", images.train), *evaluation_views()])
        progress1 = fit.fit(
            top,
            schedule.stage1(experiment),
            lambda epoch: inputs.Source(train_rows, one_hot["train"]),
            inputs.Source(rows[0], one_hot["val"]),
            folder / "stage1.npz",
            progress,
        )
    trained, done = top, {"stage1": progress1}

    if experiment.epochs_run:
        watch = None
        if prefix:
            rows = stored(prefix, evaluation_views())
            trained = model.above_cut(network, top, experiment)

            def source(epoch: int) -> inputs.Source:
                wanted = feature_cache.training_view(experiment, images.train, epoch % experiment.views_run)
                return inputs.Source(stored(prefix, [wanted])[0], wanted.view.targets(one_hot["train"]))

            if experiment.diagnosed:
                watch = diagnosis.of(experiment, trained, images, prefix, progress)
        else:
            trained = model.whole(network, top, experiment)
            rows = [_pixels(wanted) for wanted in evaluation_views()]

            def source(epoch: int) -> inputs.Source:
                wanted = feature_cache.training_view(experiment, images.train, epoch % experiment.views_run)
                return inputs.Source(_pixels(wanted), wanted.view.targets(one_hot["train"]))

        done["stage2"] = fit.fit(
            trained,
            schedule.stage2(experiment),
            source,
            inputs.Source(rows[0], one_hot["val"]),
            folder / "stage2.npz",
            progress,
            watch,
        )

    begun = time.perf_counter()
    outputs = {
        f"{split}_{view}": fit.predict(trained, get, len(getattr(images, split).labels))
        for (split, view), get in zip(evaluated, rows, strict=True)
    }
    timing = {
        "load": loaded,
        "feature_extract": sum(built.values()),  # of every view used, also those an earlier run had stored
        "top_train": progress1.seconds,
        "end2end": done["stage2"].seconds if "stage2" in done else 0.0,
        "evaluate": time.perf_counter() - begun,
    }
    timing["total"] = sum(timing.values())
    checkpoint.write_arrays(
        folder / "weights.npz", {f"w{i}": value for i, value in enumerate(trained.get_weights())}
    )
    run = _record(experiment, found, images, done, outputs, timing, screening)
    for leftover in ("stage1.npz", "stage2.npz"):
        (folder / leftover).unlink(missing_ok=True)
    return run


SPLITS = ("train", "val", "test")


def _pixels(wanted: Any) -> Rows:
    return lambda rows: wanted.view.images(wanted.split.images, rows)


def _record(
    experiment: Experiment,
    found: Mapping[str, str],
    images: split.Dataset,
    done: Mapping[str, Progress],
    outputs: Mapping[str, np.ndarray],
    timing: Mapping[str, float],
    screening: bool,
) -> Run:
    """Write what the run left: rows put into class order, metrics computed from what is stored."""
    arrays = {}
    for name, values in outputs.items():
        labels = getattr(images, name.split("_")[0]).labels
        arrays[name] = store.compact(values[np.argsort(labels, kind="stable")])
    counts = {s: np.bincount(getattr(images, s).labels, minlength=10).tolist() for s in ("val", "test")}
    content = {
        "name": experiment.slug,
        "id": experiment.identity(found),
        "key": experiment.key,
        "protocol": PROTOCOL,
        # A weights file is told by its fingerprint; its path is a matter of one machine.
        "config": asdict(experiment) | {"backbone_weights": Path(experiment.backbone_weights).name},
        "metrics": metrics.from_probabilities(arrays, counts, experiment.label_smoothing)
        | {"stage1_val_accuracy": _restored(done["stage1"].curves)},
        "curves": {stage: progress.curves for stage, progress in done.items()},
        "steps": {stage: progress.steps for stage, progress in done.items()},
        "timing_sec": dict(timing),
        "confusion_matrix": metrics.confusion_matrix(
            np.repeat(np.arange(10), counts["test"]), arrays["test_plain"].argmax(1)
        ).tolist(),
        "environment": environment(),
        "fingerprints": dict(found),
        "train_images": len(images.train.labels),
        "class_counts": counts,
        "diagnosis": done["stage2"].watched if "stage2" in done else [],
    }
    # What has no second stage is no shorter in a sweep: it is the table's baseline.
    kept = store.screening(arrays, counts) if screening and experiment.epochs_run else arrays
    return store.write(content, kept, results_folder(experiment))


def _restored(curves: Mapping[str, list[float]]) -> float:
    """Validation accuracy of the epoch whose weights were restored: that of the lowest validation loss."""
    return curves["val_accuracy"][int(np.argmin(curves["val_loss"]))] if curves else 0.0
