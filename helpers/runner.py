"""run(experiment): the only way to get a result. Finds its record, resumes it, or trains.

Reading a stored record needs neither Keras nor data; what trains is imported when something has to.
"""

from __future__ import annotations

import contextlib
import math
import os
import platform
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock
import numpy as np

from helpers import data, evaluation, miniature, records, storage, weights
from helpers.experiment import PROTOCOL, Experiment
from helpers.records import Run

if TYPE_CHECKING:
    from helpers.training import Progress, Rows

RESULTS = Path(__file__).resolve().parents[1] / "results"

STORED_PER_SECOND = 300
TRAINED_PER_SECOND = 200
"""Images a second that two cores with AVX2 push through the prefix, and train on at n = 30, 160 px."""


def run(
    experiment: Experiment,
    *,
    data_dir: str | Path | None = None,
    progress: bool = True,
    screening: bool = False,
) -> Run:
    """The result of an experiment: its stored record, or else the record of training it now.

    A stored record answers if it was made from the same data and, where the experiment or
    MOBILENETV2_WEIGHTS names a file, from the same weights. Training resumes where an earlier process
    stopped; of several that want the same experiment one trains and the others wait for its record.
    data_dir: a folder of CIFAR-10's batches, searched before any other.
    screening: a record made now keeps classes in the place of probabilities, a fifth of the size.
    Raises DataError, WeightsError, FeatureError or RecordError, each of which says what to do.
    """
    if stored := find(experiment):
        return stored
    found = fingerprints(experiment)
    folder = checkpoints(experiment, found)
    data.writable(folder.parent, "REPORT_CACHE")
    data.writable(results_folder(experiment), "REPORT_RESULTS")
    lock = filelock.FileLock(storage.lock_of(folder))
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        print(f"{experiment.slug} is being run by another process: waiting for its record", flush=True)
        lock.acquire()
    try:
        if stored := find(experiment):
            return stored
        with _distribution(experiment):
            return _train(experiment, found, folder, data_dir, progress, screening)
    finally:
        lock.release()


def find(experiment: Experiment) -> Run | None:
    """The stored record that answers an experiment, or None; see `run` for what counts as an answer."""
    known = {"data": data_fingerprint(experiment)}
    if path := weights.stated(experiment):
        known["weights"] = weights.fingerprint(path)
    found = records.find(experiment, [results_folder(experiment)], known)
    undiagnosed = found and experiment.diagnosed and experiment.epochs_run and not found.diagnosis
    return None if undiagnosed else found


def results_folder(experiment: Experiment) -> Path:
    """Where records go: results/ at full scale on CIFAR-10, a folder below it for everything else.

    REPORT_RESULTS puts another folder in the place of results/.
    """
    root = Path(os.environ.get("REPORT_RESULTS") or RESULTS)
    if experiment.dataset == "miniature":
        return root / "miniature" / experiment.scale
    return root if experiment.scale == "full" else root / experiment.scale


def data_fingerprint(experiment: Experiment) -> str:
    """What identifies the contents of the experiment's dataset; known without having it."""
    return miniature.FINGERPRINT if experiment.dataset == "miniature" else data.FINGERPRINT


def fingerprints(experiment: Experiment) -> dict[str, str]:
    """Of the data and the weights that a run on this machine would use; the weights are downloaded."""
    path = weights.locate(experiment)
    return {"data": data_fingerprint(experiment), "weights": weights.fingerprint(path)}


def checkpoints(experiment: Experiment, found: Mapping[str, str]) -> Path:
    """The folder of an experiment's checkpoints and, once it has ended, of its trained weights."""
    name = f"{experiment.slug}-{experiment.identity(found)}"
    return data.cache_folder() / "runs" / (f"{name}-diagnosed" if experiment.diagnosed else name)


def estimate(experiment: Experiment) -> str:
    """What a run will cost if nothing is stored yet, in a sentence."""
    return (
        f"{experiment.slug} ({experiment.dataset}, {experiment.scale} scale) has no record yet. "
        f"It takes {cost(experiment)}: {_stored(experiment):,} images through the frozen part (less what is "
        f"stored already) and {experiment.epochs_run} epochs of {experiment.limits.train:,}."
    )


def cost(experiment: Experiment) -> str:
    """'at most about 5 min on two cores': the time of a run for which nothing is stored yet."""
    passes = experiment.epochs_run * experiment.limits.train
    size = (experiment.image_size / 160) ** 2 * (0.1 if experiment.dataset == "miniature" else 1)
    minutes = size * (_stored(experiment) / STORED_PER_SECOND + passes / TRAINED_PER_SECOND) / 60
    return f"at most about {max(1, round(minutes))} min on two cores"


def _stored(experiment: Experiment) -> int:
    """Images that a run pushes through the frozen part."""
    sizes = experiment.limits
    evaluated = 2 * (sizes.val + sizes.test)
    pooled = _needs_pooled(experiment)
    banked = experiment.epochs_run > 0 and experiment.engine == "bank"
    return (sizes.train + evaluated) * pooled + (experiment.views_run * sizes.train + evaluated) * banked


def _needs_pooled(experiment: Experiment) -> bool:
    """Whether a run reads pooled features: for stage 1, or to evaluate a head that is all it has."""
    return experiment.stage1_epochs_run > 0 or not experiment.epochs_run


def _distribution(experiment: Experiment) -> AbstractContextManager[Any]:
    """Keras' data parallelism where `end_to_end` finds several accelerators; no change where it does not.

    Keras 3 has it on the JAX backend alone. As many are used as share every batch evenly.
    """
    if experiment.engine == "bank":
        return contextlib.nullcontext()
    import keras

    from helpers.training import EVALUATION_BATCH

    devices = keras.distribution.list_devices() if keras.backend.backend() == "jax" else []
    sizes = experiment.limits
    even = math.gcd(len(devices), experiment.batch_size, EVALUATION_BATCH, sizes.train, sizes.val, sizes.test)
    if even < 2:
        return contextlib.nullcontext()
    return keras.distribution.DataParallel(devices=devices[:even], auto_shard_dataset=False).scope()


def _train(
    experiment: Experiment,
    found: Mapping[str, str],
    folder: Path,
    data_dir: str | Path | None,
    progress: bool,
    screening: bool,
) -> Run:
    """Both stages, the evaluation, and the record."""
    import keras

    from helpers import diagnosis, features, model, training

    print(estimate(experiment), flush=True)
    started = time.perf_counter()
    images = data.load(experiment, data_dir)
    keras.utils.set_random_seed(experiment.seed)
    network = model.backbone(experiment)
    prefix = None
    if experiment.epochs_run and experiment.engine == "bank":
        # Now, so that a depth that leaves nothing frozen is refused before stage 1.
        prefix = features.for_experiment(network, experiment.n_unfreeze, found["weights"], found["data"])
    one_hot = {name: np.eye(10, dtype=np.float32)[getattr(images, name).labels] for name in SPLITS}
    loaded = time.perf_counter() - started
    built: dict[str, float] = {}

    def stored(prefix: features.Prefix, wanted: list[features.Wanted]) -> list[Rows]:
        views = features.bank(prefix, wanted, progress)
        built.update(features.seconds(prefix, wanted))
        return [view.__getitem__ for view in views]

    evaluated = [(split, view) for split in ("val", "test") for view in ("plain", "flipped")]

    def evaluation_views() -> list[features.Wanted]:
        make = {"plain": features.plain, "flipped": features.mirrored}
        return [make[view](split, getattr(images, split)) for split, view in evaluated]

    pooled = features.Prefix(network, model.POOLED, found["weights"], found["data"])
    top = model.head(experiment, pooled.shape[0])
    progress1 = training.Progress()
    if _needs_pooled(experiment):
        train_rows, *rows = stored(pooled, [features.plain("train", images.train), *evaluation_views()])
        progress1 = training.fit(
            top,
            training.stage1(experiment),
            lambda epoch: training.Source(train_rows, one_hot["train"]),
            training.Source(rows[0], one_hot["val"]),
            folder / "stage1.npz",
            progress,
        )
    trained, done = top, {"stage1": progress1}

    if experiment.epochs_run:
        watch = None
        if prefix:
            rows = stored(prefix, evaluation_views())
            trained = model.above_cut(network, top, experiment)

            def source(epoch: int) -> training.Source:
                wanted = features.training_view(experiment, images.train, epoch % experiment.views_run)
                return training.Source(stored(prefix, [wanted])[0], wanted.view.targets(one_hot["train"]))

            if experiment.diagnosed:
                watch = diagnosis.of(experiment, trained, images, prefix, progress)
        else:
            trained = model.whole(network, top, experiment)
            rows = [_pixels(wanted) for wanted in evaluation_views()]

            def source(epoch: int) -> training.Source:
                wanted = features.training_view(experiment, images.train, epoch % experiment.views_run)
                return training.Source(_pixels(wanted), wanted.view.targets(one_hot["train"]))

        done["stage2"] = training.fit(
            trained,
            training.stage2(experiment),
            source,
            training.Source(rows[0], one_hot["val"]),
            folder / "stage2.npz",
            progress,
            watch,
        )

    begun = time.perf_counter()
    outputs = {
        f"{split}_{view}": training.outputs(trained, get, len(getattr(images, split).labels))
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
    training.write_arrays(
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
    images: data.Dataset,
    done: Mapping[str, Progress],
    outputs: Mapping[str, np.ndarray],
    timing: Mapping[str, float],
    screening: bool,
) -> Run:
    """Write what the run left: rows put into class order, metrics computed from what is stored."""
    arrays = {}
    for name, values in outputs.items():
        labels = getattr(images, name.split("_")[0]).labels
        arrays[name] = records.compact(values[np.argsort(labels, kind="stable")])
    counts = {s: np.bincount(getattr(images, s).labels, minlength=10).tolist() for s in ("val", "test")}
    content = {
        "name": experiment.slug,
        "id": experiment.identity(found),
        "key": experiment.key,
        "protocol": PROTOCOL,
        # A weights file is told by its fingerprint; its path is a matter of one machine.
        "config": asdict(experiment) | {"backbone_weights": Path(experiment.backbone_weights).name},
        "metrics": evaluation.metrics(arrays, counts, experiment.label_smoothing)
        | {"stage1_val_accuracy": _restored(done["stage1"].curves)},
        "curves": {stage: progress.curves for stage, progress in done.items()},
        "steps": {stage: progress.steps for stage, progress in done.items()},
        "timing_sec": dict(timing),
        "confusion_matrix": evaluation.confusion_matrix(
            np.repeat(np.arange(10), counts["test"]), arrays["test_plain"].argmax(1)
        ).tolist(),
        "environment": environment(),
        "fingerprints": dict(found),
        "train_images": len(images.train.labels),
        "class_counts": counts,
        "diagnosis": done["stage2"].watched if "stage2" in done else [],
    }
    # What has no second stage is no shorter in a sweep: it is the table's baseline.
    kept = records.screening(arrays, counts) if screening and experiment.epochs_run else arrays
    return records.write(content, kept, results_folder(experiment))


def _restored(curves: Mapping[str, list[float]]) -> float:
    """Validation accuracy of the epoch whose weights were restored: that of the lowest validation loss."""
    return curves["val_accuracy"][int(np.argmin(curves["val_loss"]))] if curves else 0.0


def environment() -> dict[str, Any]:
    """What the run ran on: versions, processor, threads used, accelerators (empty where there is none)."""
    import keras

    packages = ("keras", "tensorflow", "jax", "openvino", "numpy")
    versions = {}
    for name in packages:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "python": platform.python_version(),
        "backend": keras.backend.backend(),
        "versions": versions,
        "processor": _processor(),
        # Where a sweep's workers share the machine, each has a part of it.
        "threads": int(os.environ.get("TF_NUM_INTRAOP_THREADS", 0)) or os.cpu_count(),
        "accelerator": ", ".join(d for d in keras.distribution.list_devices() if not d.startswith("cpu")),
        "platform": platform.system(),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")
