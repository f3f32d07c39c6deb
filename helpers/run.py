"""run(experiment): the only way to get a result. Finds its record, resumes it, or trains."""

from __future__ import annotations

from types import ModuleType

from helpers import cache, files, paths
from helpers.data import sources, weights
from helpers.data.sources import data_fingerprint
from helpers.experiment import Diagnosed, Engine, Experiment, ExperimentError
from helpers.paths import results_folder
from helpers.records import store
from helpers.records.run import Run


def run(
    experiment: Experiment,
    *,
    diagnosed: Diagnosed = False,
    engine: Engine = "cached",
    retrain: bool = False,
    screening: bool = False,
    progress: bool = True,
) -> Run:
    """The result of an experiment: its stored record, or else the record of training it now.

    A stored record answers if it was made from the same data and, where the experiment or
    MOBILENETV2_WEIGHTS names a file, from the same weights; and if TensorFlow made it, or the backend that
    KERAS_BACKEND names. Training resumes where an earlier process stopped. If several processes want the same
    experiment, one trains and the others wait for its record.

    diagnosed: the record also holds what engine/diagnosis.py measures after every epoch of stage 2. A
    record without these measurements does not answer then, and the new one takes its place. "steps": and
    what engine/averages.py measures between the steps; a run that was killed begins stage 2 again.
    engine: how stage 2 trains. Either engine's record answers for both.
    retrain: train even where there is a record. That record stays; the new one and the trained weights
    are left in the folder of the run, below the cache.
    screening: a record made now keeps classes in the place of probabilities, a fifth of the size.
    Raises ExperimentError, DataError, WeightsError, CacheError or RecordError, which say what to do.
    """
    if diagnosed and engine != "cached":
        raise ExperimentError("diagnosed=True reads the feature cache: it needs engine='cached'")
    if diagnosed == "steps" and (experiment.head_norm != "batch" or experiment.head_momentum == 1):
        raise ExperimentError(
            f"head_norm={experiment.head_norm!r}, head_momentum={experiment.head_momentum:g}: only averages "
            "that move can be followed by 'steps'; set head_norm='batch', a lower momentum, or diagnosed=True"
        )
    if (stored := find(experiment, diagnosed=diagnosed)) and not retrain:
        return stored
    if experiment.head_norm_epochs < experiment.epochs_run and paths.keras_backend() != paths.DEFAULT_BACKEND:
        raise ExperimentError(
            f"head_norm_epochs={experiment.head_norm_epochs} on {paths.keras_backend()}: an optimizer there "
            "keeps the variables that it began with; unset KERAS_BACKEND"
        )
    found = fingerprints(experiment)
    folder = cache.run_folder(experiment, found, diagnosed)
    paths.writable(folder.parent, "REPORT_CACHE")
    paths.writable(results_folder(experiment), "REPORT_RESULTS")
    waiting = f"{experiment.slug} is being run by another process: waiting for its record"
    with files.locked(cache.lock_of(folder), waiting):
        if (stored := find(experiment, diagnosed=diagnosed)) and not retrain:
            return stored
        from helpers.engine import train  # the wall: Keras is imported only where something has to train

        records = folder if retrain and find(experiment) else results_folder(experiment)
        how = (engine, diagnosed, screening, progress)
        return train.train(train.Job(experiment, found, folder, records, *how))


def find(experiment: Experiment, *, diagnosed: Diagnosed = False) -> Run | None:
    """The stored record that answers an experiment, or None; see `run` for what counts as an answer."""
    known = {"data": data_fingerprint(experiment)}
    if path := weights.configured_path(experiment):
        known["weights"] = weights.fingerprint(path)
    folders, found = [results_folder(experiment)], None
    for backend in dict.fromkeys([paths.keras_backend(), paths.DEFAULT_BACKEND]):
        found = found or store.find(experiment, folders, {**known, "backend": backend})
    if found and experiment.folder and found.train_images != sources.sizes(experiment)[0]:
        return None  # of the first 45,000 pictures, as full scale had them before it had all
    if found and diagnosed and experiment.n_unfreeze and experiment.epochs_run:
        measured = found.diagnosis and (diagnosed != "steps" or found.diagnosis[-1].averages)
        return found if measured else None
    return found


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
