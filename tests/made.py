"""Made-up records: what the tests build their runs from. The fixture `make_run` is in conftest.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from helpers import paths
from helpers.analysis import metrics
from helpers.data import miniature, weights
from helpers.data.sources import data_fingerprint
from helpers.experiment import Experiment
from helpers.records import published, store
from helpers.records.run import VIEWS, Diagnosis, Run

COUNTS = {"val": [100] * 10, "test": [200] * 10}
MACHINE = {"python": "3.12", "versions": {"keras": "3.12"}, "processor": "Some CPU", "threads": 2}
SECONDS = {"feature_extract": 100.0, "top_train": 10.0, "end2end": 800.0, "total": 1000.0}
MINIATURE: dict[str, Any] = {"dataset": "miniature", "backbone_weights": "miniature"}

# ---------------------------------------------------------------------------- parts of a record


def softmax_outputs(n: int, seed: int = 0, sharpness: float = 1.5) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(0, sharpness, (n, 10))
    return (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).astype(np.float32)


def arrays_of(counts: Mapping[str, list[int]]) -> dict[str, np.ndarray]:
    """Outputs that differ by split and by view, so that none can stand in for another."""
    return {
        f"{split}_{view}": softmax_outputs(sum(each), 2 * seed + number)
        for seed, (split, each) in enumerate(counts.items())
        for number, view in enumerate(VIEWS)
    }


def answers(
    counts: Sequence[int], accuracy: float, confused: Mapping[int, int] | None = None, first: int = 0
) -> np.ndarray:
    """Probabilities (n, 10) that are wrong for a share of each class, from its image `first` on.

    confused: class to the class that it is taken for; the next one where it is not named.
    """
    rows = []
    for label, n in enumerate(counts):
        predicted = np.full(n, label)
        wrong = (np.arange(round(n * (1 - accuracy))) + first) % n
        predicted[wrong] = (confused or {}).get(label, (label + 1) % len(counts))
        rows.append(np.where(np.eye(len(counts))[predicted] > 0, 0.91, 0.09 / (len(counts) - 1)))
    return np.vstack(rows)


def curve(learning_rate: float, /, **given: Sequence[float]) -> dict[str, list[float]]:
    """One stage's curves: what is given, and the rest made up at its length, which is 2 if nothing is."""
    epochs = max(map(len, given.values()), default=2)
    val_accuracy = np.asarray(given.get("val_accuracy", np.linspace(0.86, 0.87, epochs)))
    made = {
        "val_accuracy": val_accuracy,
        "val_loss": 1.5 - val_accuracy,
        "accuracy": val_accuracy + 0.1,
        "loss": 1.4 - val_accuracy,
        "learning_rate": np.full(epochs, learning_rate),
    }
    return {name: list(map(float, values)) for name, values in {**made, **given}.items()}


def diagnosed(*passes: tuple[float, float | None, float]) -> list[dict[str, Any]]:
    """A record's diagnosis: (moving, re-estimated, probe), 0 to 1, before stage 2 and after each epoch.

    re-estimated: the accuracy with every other kind of statistics; None where the head has no batch norm.
    """
    found = []
    for moving, other, probe in passes:
        kinds = {"moving": moving}
        if other is not None:
            renewed = "clean augmented batch means variances varying resting".split()
            kinds |= dict.fromkeys(renewed, other)
        accuracy = {"val": kinds, "val_augmented": {kind: value - 0.05 for kind, value in kinds.items()}}
        channels = int(1000 * (moving if other is None else other))
        found.append(
            {
                "accuracy": accuracy,
                "probe": probe,
                "drift": {"block_13_expand": 0.02, "Conv_1": 0.3},
                "cka": {"block_13_project_BN": 0.98, "out_relu": 0.75},
                "alive": channels,
                "kept": channels,
            }
        )
    return found


def followed(lost: Mapping[int, float], moved: Mapping[int, float]) -> dict[str, Any]:
    """What following averages leaves of a pass: accuracy lost by memory, distance by lag; 0 to 1."""
    best = 0.9  # re-estimated at every evaluation, and from however many images
    accuracy = {str(memory): [best - value] * 2 for memory, value in lost.items()}
    return {
        "averages": {
            "accuracy": {**accuracy, "re-estimated": [best] * 2},
            "displacement": {str(lag): value for lag, value in moved.items()},
            "images": {"64": best - 0.1, "1024": best},
        }
    }


def content_of(
    experiment: Experiment, curves: Mapping[str, Mapping[str, Sequence[float]]] | None = None, **changes: Any
) -> dict[str, Any]:
    """The JSON of a record, of a network that always answers right; `curves` as in `write_run`."""
    data = "own images" if experiment.folder else data_fingerprint(experiment)
    drawn = experiment.backbone_weights == "miniature"  # whose weights are there, so `run` looks for theirs
    fingerprints = {"data": data, "weights": weights.fingerprint(miniature.WEIGHTS) if drawn else "w" * 64}
    made: dict[str, Any] = {"stage1": {}}
    if experiment.stage1_epochs_run:
        made["stage1"] = curve(experiment.stage1_learning_rate, **(curves or {}).get("stage1", {}))
    if experiment.epochs_run:
        made["stage2"] = curve(experiment.learning_rate, **(curves or {}).get("stage2", {}))
    return {
        "name": experiment.slug,
        "id": experiment.identity(fingerprints),
        "key": experiment.key,
        "config": asdict(experiment),
        "metrics": {f"{split}_{view}": 1.0 for split in COUNTS for view in ("end2end", "tta")},
        "curves": made,
        "timing_sec": SECONDS,
        "confusion_matrix": np.diag(COUNTS["test"]).tolist(),
        "environment": MACHINE,
        "fingerprints": fingerprints,
        "steps": {},
        "train_images": experiment.limits.train,
        "class_counts": COUNTS,
        **changes,
    }


# ---------------------------------------------------------------------------- runs


def run_without_files(experiment: Experiment | None = None, **changes: Any) -> Run:
    """A run as `content_of` states it, with no file behind it: for what reads no probabilities."""
    content = content_of(experiment or Experiment(), **changes)
    path = Path(f"{content['name']}-{content['id']}.json")
    diagnosis = [Diagnosis.of(each) for each in content.pop("diagnosis", [])]
    return Run(path=path, format=store.FORMAT, diagnosis=diagnosis, **content)


def write_run(
    test: float = 0.9,
    *,
    val: float | None = None,
    flipped: float | None = None,
    confused: Mapping[int, int] | None = None,
    curves: Mapping[str, Mapping[str, Sequence[float]]] | None = None,
    diagnosis: Sequence[Mapping[str, Any]] = (),
    content: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Run:
    """Write the record of Experiment(**fields) where `run` looks for it, and read it back.

    test, val, flipped: accuracies on the plain test and validation images and on the mirrored test images;
    `confused` as in `answers`. curves: as in {'stage2': {'val_accuracy': [0.5, 0.6], 'learning_rate': ...}}.
    diagnosis: what `diagnosed` makes. content: other parts of the record's JSON.
    """
    experiment = Experiment(**fields)
    made = content_of(experiment, curves, diagnosis=list(diagnosis), **(content or {}))
    shares = {"val_plain": val or test, "val_flipped": val or test}
    shares |= {"test_plain": test, "test_flipped": flipped or test}
    counts = made["class_counts"]
    arrays = {
        name: store.compact(answers(counts[name.split("_")[0]], share, confused, experiment.seed))
        for name, share in shares.items()
    }
    classes = len(counts["test"])
    labels = np.repeat(np.arange(classes), counts["test"])
    found = metrics.from_probabilities(arrays, counts, experiment.label_smoothing)
    found["stage1_val_accuracy"] = max(made["curves"]["stage1"].get("val_accuracy", [0.1]))
    measured = {
        "metrics": found,
        "confusion_matrix": metrics.confusion_matrix(labels, arrays["test_plain"].argmax(1), classes),
    }
    return store.write({**made, **measured, **(content or {})}, arrays, paths.results_folder(experiment))


def published_log(name: str = "run_final_optimized") -> Run:
    """One of the original study's five logs."""
    return store.read(published.PUBLISHED_LOGS / f"{name}.json")


def recomputed(run: Run) -> dict[str, float]:
    """A record's metrics, computed again from the probabilities that it stores."""
    arrays = {
        f"{split}_{view}": run.probabilities(split, view)
        for split in ("val", "test")
        for view in ("plain", "flipped")
    }
    return metrics.from_probabilities(arrays, run.class_counts, run.experiment.label_smoothing)
