"""Made-up records: what the tests build runs from."""

from typing import Any

import numpy as np

from helpers.experiment import Experiment
from helpers.records.run import VIEWS

EXPERIMENT = Experiment(learning_rate=3e-5)
FINGERPRINTS = {"data": "d" * 64, "weights": "w" * 64}
COUNTS = {"val": [30, 20] + [25] * 8, "test": [50] * 10}


def softmax_outputs(n: int, seed: int = 0, sharpness: float = 1.5) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(0, sharpness, (n, 10))
    return (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).astype(np.float32)


def arrays_of(counts: dict[str, list[int]]) -> dict[str, np.ndarray]:
    """Outputs that differ by split and by view, so that none can stand in for another."""
    return {
        f"{split}_{view}": softmax_outputs(sum(each), 2 * seed + number)
        for seed, (split, each) in enumerate(counts.items())
        for number, view in enumerate(VIEWS)
    }


def content_of(experiment: Experiment = EXPERIMENT, **changes: Any) -> dict[str, Any]:
    return {
        "name": experiment.slug,
        "id": experiment.identity(FINGERPRINTS),
        "key": experiment.key,
        "config": {"scale": "full", "dataset": "cifar10", "learning_rate": 3e-5, "batch_size": 64},
        "metrics": {"val_end2end": 0.5, "test_end2end": np.float32(0.25), "test_tta": 0.75},
        "curves": {"stage1": {"loss": [1.0]}, "stage2": {"loss": [1.0, float("nan"), 0.5]}},
        "timing_sec": {"total": 1.5},
        "confusion_matrix": np.eye(10, dtype=int),
        "environment": {"numpy": np.__version__},
        "fingerprints": FINGERPRINTS,
        "steps": {"stage1": [2], "stage2": [4, 1, 4]},
        "train_images": 250,
        "class_counts": COUNTS,
        **changes,
    }
