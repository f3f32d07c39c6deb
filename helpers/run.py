"""run(experiment): the only way to get a result. Finds its record, resumes it, or trains."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import filelock

from helpers import cache, paths
from helpers.data import weights
from helpers.data.sources import data_fingerprint
from helpers.experiment import Experiment
from helpers.paths import results_folder
from helpers.records import store
from helpers.records.run import Run


def run(
    experiment: Experiment,
    *,
    data_dir: str | Path | None = None,
    progress: bool = True,
    screening: bool = False,
) -> Run:
    """The result of an experiment: its stored record, or else the record of training it now.

    A stored record answers if it was made from the same data and, where the experiment or
    MOBILENETV2_WEIGHTS names a file, from the same weights; and if TensorFlow made it, or the backend that
    KERAS_BACKEND names. Training resumes where an earlier process stopped; of several that want the same
    experiment one trains and the others wait for its record.
    data_dir: a folder of CIFAR-10's batches, searched before any other.
    screening: a record made now keeps classes in the place of probabilities, a fifth of the size.
    Raises DataError, WeightsError, CacheError or RecordError, each of which says what to do.
    """
    if stored := find(experiment):
        return stored
    found = fingerprints(experiment)
    folder = cache.run_folder(experiment, found)
    paths.writable(folder.parent, "REPORT_CACHE")
    paths.writable(results_folder(experiment), "REPORT_RESULTS")
    lock = filelock.FileLock(cache.lock_of(folder))
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        print(f"{experiment.slug} is being run by another process: waiting for its record", flush=True)
        lock.acquire()
    try:
        if stored := find(experiment):
            return stored
        from helpers.engine import train  # the wall: Keras is imported only where something has to train

        with train.distribution(experiment):
            return train.train(experiment, found, folder, data_dir, progress, screening)
    finally:
        lock.release()


def find(experiment: Experiment) -> Run | None:
    """The stored record that answers an experiment, or None; see `run` for what counts as an answer."""
    known = {"data": data_fingerprint(experiment)}
    if path := weights.configured_path(experiment):
        known["weights"] = weights.fingerprint(path)
    folders, found = [results_folder(experiment)], None
    for backend in dict.fromkeys([paths.keras_backend(), paths.DEFAULT_BACKEND]):
        found = found or store.find(experiment, folders, {**known, "backend": backend})
    undiagnosed = found and experiment.diagnosed and experiment.epochs_run and not found.diagnosis
    return None if undiagnosed else found


def pictures() -> ModuleType:
    """The door to `engine.pictures`: images as the network is given them. Imports Keras."""
    from helpers.engine import pictures  # Keras is imported only where images are enlarged or turned

    return pictures


def fingerprints(experiment: Experiment) -> dict[str, str]:
    """Of the data and the weights that a run on this machine would use; the weights are downloaded.

    Keras' backend as well, unless it is TensorFlow, by which the first records were made.
    """
    path = weights.find_or_download(experiment)
    found = {"data": data_fingerprint(experiment), "weights": weights.fingerprint(path)}
    backend = paths.keras_backend()
    return found if backend == paths.DEFAULT_BACKEND else {**found, "backend": backend}
