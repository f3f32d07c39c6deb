"""Train one experiment: both stages, the evaluation, and the record."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from helpers import paths
from helpers.analysis import metrics
from helpers.cost import estimate, needs_pooled
from helpers.data import sources
from helpers.data.split import DataError, Dataset
from helpers.engine import (
    backbones,
    checkpoint,
    diagnosis,
    feature_cache,
    fit,
    forward,
    head_norm,
    model,
    schedule,
)
from helpers.engine.checkpoint import Progress
from helpers.engine.environment import environment
from helpers.engine.feature_cache import ViewSpec
from helpers.engine.inputs import EVALUATION_BATCH, Rows, Source
from helpers.experiment import FOLDER, PROTOCOL, Diagnosed, Engine, Experiment
from helpers.records import store
from helpers.records.run import Run


@dataclass(frozen=True)
class Job:
    """An experiment to train, and how; see helpers/run.py for what the options mean."""

    experiment: Experiment
    found: Mapping[str, str]
    """Fingerprints of the data and the weights."""
    folder: Path
    """Where checkpoints and the trained weights go."""
    records: Path
    """Where the record goes."""
    engine: Engine
    diagnosed: Diagnosed
    screening: bool
    progress: bool


@dataclass(frozen=True)
class _Work:
    """What both stages of a job use."""

    job: Job
    images: Dataset
    one_hot: dict[str, np.ndarray]
    """Split to labels, float32 (n, classes)."""
    class_weights: np.ndarray | None
    """How much an image of each class counts in the loss, float32 (classes,); None where all count alike."""
    network: keras.Model
    prefix: forward.Prefix | None
    """What stage 2 reads the activations of; None where it reads pixels."""
    storing: dict[str, float] = field(default_factory=dict)
    """Stored view to the seconds that it took, in this process or in an earlier one."""

    def rows(self, prefix: forward.Prefix | None, wanted: list[ViewSpec]) -> list[Rows]:
        """The inputs of each view: its stored activations, or without a prefix its pixels."""
        if prefix is None:
            return list(wanted)
        stored = feature_cache.open_views(prefix, wanted, self.job.progress)
        self.storing.update(feature_cache.seconds(prefix, wanted))
        return list(stored)

    def evaluated(self) -> dict[str, ViewSpec]:
        """The views that a network is evaluated on: <split>_<view>."""
        make = {"plain": feature_cache.plain, "flipped": feature_cache.mirrored}
        return {
            f"{split}_{view}": make[view](split, getattr(self.images, split))
            for split in ("val", "test")
            for view in make
        }

    def epoch(self, number: int) -> Source:
        """What an epoch of stage 2 trains on."""
        experiment = self.job.experiment
        item = feature_cache.training_view(experiment, self.images.train, number % experiment.views_run)
        return self.source(self.rows(self.prefix, [item])[0], item.view.targets(self.one_hot["train"]))

    def source(self, rows: Rows, targets: np.ndarray) -> Source:
        """Rows with their targets, (n, classes), each as heavy as its classes are."""
        weights = None if self.class_weights is None else targets @ self.class_weights
        return Source(rows, targets, weights)

    def fit(
        self, network: keras.Model, stage: schedule.Stage, rows: Mapping[str, Rows], **given: Any
    ) -> Progress:
        """Train a network for a stage."""
        validation = self.source(rows["val_plain"], self.one_hot["val"])
        path = self.job.folder / f"{stage.name}.npz"
        return fit.fit(
            network, stage, validation=validation, checkpoint=path, progress=self.job.progress, **given
        )


def train(job: Job) -> Run:
    """Both stages, the evaluation, and the record."""
    print(estimate(job.experiment, job.engine), flush=True)
    with distribution(job.experiment, job.engine):
        begun = time.perf_counter()
        work = _loaded(job)
        loaded = time.perf_counter() - begun
        trained, rows, stage1 = _train_head(work)
        done = {"stage1": stage1}
        if job.experiment.epochs_run:
            trained, rows, done["stage2"] = _fine_tune(work, trained)
        begun = time.perf_counter()
        outputs = {
            name: fit.predict(trained, each, len(item.split.labels))
            for (name, item), each in zip(work.evaluated().items(), rows.values(), strict=True)
        }
        evaluated = time.perf_counter() - begun
    timing = {
        "load": loaded,
        "feature_extract": sum(work.storing.values()),
        "top_train": stage1.seconds,
        "end2end": done["stage2"].seconds if "stage2" in done else 0.0,
        "evaluate": evaluated,
    }
    weights = {f"w{i}": value for i, value in enumerate(trained.get_weights())}
    checkpoint.write_arrays(job.folder / "weights.npz", weights)
    run = _record(work, done, outputs, timing | {"total": sum(timing.values())})
    for stage in done:
        (job.folder / f"{stage}.npz").unlink(missing_ok=True)
    return run


def distribution(experiment: Experiment, engine: Engine) -> AbstractContextManager[Any]:
    """Keras' data parallelism where `end_to_end` finds several accelerators; no change where it does not.

    Keras 3 has it on the JAX backend alone. As many are used as share every batch evenly.
    """
    if engine == "cached":
        return contextlib.nullcontext()
    devices = keras.distribution.list_devices() if keras.backend.backend() == "jax" else []
    if len(devices) < 2:
        return contextlib.nullcontext()
    sizes = sources.sizes(experiment)
    batches = experiment.stage1_batch_size, experiment.batch_size, EVALUATION_BATCH
    even = math.gcd(len(devices), *batches, *sizes)
    if even < 2:
        return contextlib.nullcontext()
    return keras.distribution.DataParallel(devices=devices[:even], auto_shard_dataset=False).scope()


def _loaded(job: Job) -> _Work:
    """Images and backbone; a depth that leaves nothing frozen to store is refused here, before stage 1."""
    experiment, found = job.experiment, job.found
    images = sources.load(experiment)
    if images.fingerprint != found["data"]:
        raise DataError(f"{experiment.dataset} changed while its run was waiting or beginning: run it again")
    network = backbones.backbone(experiment)
    prefix = None
    if experiment.epochs_run and (job.engine == "cached" or not experiment.n_unfreeze):
        where = found["weights"], found["data"], experiment.side
        prefix = forward.for_experiment(network, experiment.n_unfreeze, *where)
    every = np.eye(len(images.classes), dtype=np.float32)
    one_hot = {name: every[getattr(images, name).labels] for name in ("train", "val", "test")}
    balanced = experiment.folder and experiment.class_weights == "balanced"
    class_weights = _balanced(one_hot["train"]) if balanced else None
    return _Work(job, images, one_hot, class_weights, network, prefix)


def _balanced(one_hot: np.ndarray) -> np.ndarray:
    """Weights that let each class count alike in the loss, float32 (classes,), of labels (n, classes).

    n / (classes * images of the class), so that an image weighs 1 on average: scikit-learn's 'balanced'
    (King and Zeng 2001, Logistic Regression in Rare Events Data).
    """
    counts = one_hot.sum(axis=0)
    return len(one_hot) / (len(counts) * counts)


def _train_head(work: _Work) -> tuple[keras.Model, dict[str, Rows], Progress]:
    """Stage 1: the head, the inputs to evaluate it on, and its progress; untrained where nothing needs it."""
    experiment, found = work.job.experiment, work.job.found
    pooled = forward.Prefix(work.network, backbones.POOLED, found["weights"], found["data"], experiment.side)
    top = model.head(experiment, pooled.shape[0], len(work.images.classes))
    if not needs_pooled(experiment):
        return top, {}, Progress()
    wanted = work.evaluated()
    train, *others = work.rows(pooled, [feature_cache.plain("train", work.images.train), *wanted.values()])
    rows = dict(zip(wanted, others, strict=True))
    source = work.source(train, work.one_hot["train"])
    return top, rows, work.fit(top, schedule.stage1(experiment), rows, source=lambda epoch: source)


def _fine_tune(work: _Work, top: keras.Model) -> tuple[keras.Model, dict[str, Rows], Progress]:
    """Stage 2: what it trained, the inputs to evaluate that on, and its progress."""
    job, wanted = work.job, work.evaluated()
    rows = dict(zip(wanted, work.rows(work.prefix, list(wanted.values())), strict=True))
    experiment, watch = job.experiment, None
    if experiment.n_unfreeze:
        assemble = model.above_cut if work.prefix else model.whole
        trained = assemble(work.network, top, experiment)
    else:
        trained = model.stage2_head(top, experiment)
    if job.diagnosed and work.prefix and experiment.n_unfreeze:
        watch = diagnosis.of(experiment, trained, work.images, work.prefix, job.progress)
        if job.diagnosed == "steps":
            watch.follow_averages(len(work.images.train.labels))
            (job.folder / "stage2.npz").unlink(missing_ok=True)  # what they were is in no checkpoint
    given = {"source": work.epoch, "watch": watch, "settle": head_norm.settling(experiment, trained)}
    return trained, rows, work.fit(trained, schedule.stage2(experiment), rows, **given)


def _record(
    work: _Work, done: Mapping[str, Progress], outputs: Mapping[str, np.ndarray], timing: Mapping[str, float]
) -> Run:
    """Write what the run left: rows put into class order, metrics computed from what is stored."""
    job, experiment, arrays = work.job, work.job.experiment, {}
    labels = {split: getattr(work.images, split).labels for split in ("val", "test")}
    for name, values in outputs.items():
        arrays[name] = store.compact(values[np.argsort(labels[name.split("_")[0]], kind="stable")])
    classes = work.images.classes
    counts = {split: np.bincount(true, minlength=len(classes)).tolist() for split, true in labels.items()}
    content = {
        "name": experiment.slug,
        "id": experiment.identity(job.found),
        "key": experiment.key,
        "protocol": PROTOCOL,
        # A weights file and a folder are told by their fingerprints; their paths are a matter of one machine.
        "config": asdict(experiment)
        | {"backbone_weights": Path(experiment.backbone_weights).name, "dataset": _named(experiment)},
        "metrics": metrics.from_probabilities(arrays, counts, experiment.label_smoothing)
        | {"stage1_val_accuracy": _kept(done["stage1"].curves)},
        "curves": {stage: progress.curves for stage, progress in done.items()},
        "steps": {stage: progress.steps for stage, progress in done.items()},
        "timing_sec": dict(timing),
        "confusion_matrix": metrics.confusion_matrix(
            np.repeat(range(len(classes)), counts["test"]), arrays["test_plain"].argmax(1), len(classes)
        ).tolist(),
        "environment": environment() | {"engine": job.engine},
        "fingerprints": dict(job.found),
        "train_images": len(work.images.train.labels),
        "class_counts": counts,
        "diagnosis": done["stage2"].watched if "stage2" in done else [],
    }
    if experiment.folder:
        train = np.bincount(work.images.train.labels, minlength=len(classes)).tolist()
        content["data"] = {"classes": classes, "train": train, "divided": work.images.division}
    # What has no second stage is no shorter in a sweep: it is the table's baseline.
    kept = store.screening(arrays, counts) if job.screening and experiment.epochs_run else arrays
    return store.write(content, kept, job.records)


def _named(experiment: Experiment) -> str:
    """The dataset as a record names it: a folder without the path to it."""
    return f"{FOLDER}{paths.whole(experiment.folder).name}" if experiment.folder else experiment.dataset


def _kept(curves: Mapping[str, list[float]]) -> float:
    """Validation accuracy of the epoch whose weights were kept; 0 without an epoch."""
    return curves["val_accuracy"][schedule.kept_epoch(curves["val_loss"])] if curves else 0.0
