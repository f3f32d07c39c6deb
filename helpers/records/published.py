"""The logs that the original study published: how to read them, and what their epochs were."""

from pathlib import Path
from typing import Any

import numpy as np
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from numpy.typing import NDArray

from helpers.experiment import STUDY_DATA
from helpers.paths import RESULTS
from helpers.records.run import Run, refused

PUBLISHED_LOGS = RESULTS / "published"
"""The folder of the original study's five published logs."""


CLASSES = 10
"""Of CIFAR-10, which the logs are of."""
CORRECT = "Correct the file, or move it to another folder"
_NUMBER = {"type": "number"}
_SHARE = {"type": "number", "minimum": 0, "maximum": 1}
_WHOLE = {"type": "integer", "minimum": 0}
_CURVES = {"type": ["object", "null"], "additionalProperties": {"type": "array", "items": _NUMBER}}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["config", "metrics"],
    "properties": {
        "config": {
            "type": "object",
            "properties": {
                **dict.fromkeys(("n_unfreeze", "seed", "batch_size", "patience"), _WHOLE),
                **dict.fromkeys(("learning_rate", "lr_stage2"), {"type": "number", "minimum": 0}),
                **dict.fromkeys(("scale", "optimizer"), {"type": "string"}),
                "dataset": {"const": STUDY_DATA},
            },
        },
        "metrics": {
            "type": "object",
            "patternProperties": {"^(val|test)_(end2end|tta)$": _SHARE},
            "additionalProperties": _NUMBER,
        },
        "curves": {"type": ["object", "null"], "additionalProperties": _CURVES},
        "timing_sec": {"type": ["object", "null"], "additionalProperties": {"type": "number", "minimum": 0}},
        "confusion_matrix": {
            "type": ["array", "null"],
            **{"minItems": CLASSES, "maxItems": CLASSES},
            "items": {"type": "array", "items": _WHOLE, "minItems": CLASSES, "maxItems": CLASSES},
        },
    },
}
"""What a log of the original study holds; its first versions left out curves, times and matrix."""


def read_log(path: Path, content: dict[str, Any]) -> Run:
    """A Run from a log of the original study's schema.

    Raises RecordError, which names the place and the value, for what is no such log.
    """
    if wrong := best_match(Draft202012Validator(SCHEMA).iter_errors(content)):
        place = wrong.json_path.removeprefix("$.")
        reason = f"it is no record and no log of the original study: {place}: {wrong.message}"
        raise refused(path, reason, CORRECT)
    for name, value in content["metrics"].items():
        if not np.isfinite(value):
            raise refused(path, f"metrics.{name} is {value}: the run diverged, or was not measured", CORRECT)
    curves = {stage: curve or {} for stage, curve in (content.get("curves") or {}).items()}
    for stage, curve in curves.items():
        if len({len(values) for values in curve.values()}) > 1:
            raise refused(path, f"the curves of {stage} differ in length", CORRECT)
    return Run(
        name=path.stem,
        id="",
        config=content["config"],
        metrics=content["metrics"],
        curves=curves,
        timing_sec=content.get("timing_sec") or {},
        confusion_matrix=content.get("confusion_matrix"),
        path=path,
    )


def one_step_epochs(run: Run, stage: str = "stage2") -> list[int]:
    """Indices, from 0, of the logged "epochs" that were a single optimizer step and no pass.

    Our runs count their steps. In a published log, the training accuracy tells: after one batch it is a
    multiple of 1 / batch_size, to float32's precision; after a whole pass it is so about once in 700 times.
    Keras 3 alternates between the two, so every second epoch must pass this test; a chance hit elsewhere
    changes nothing.
    """
    if not run.is_published_log:
        batch_size = run.config["stage1_batch_size" if stage == "stage1" else "batch_size"]
        per_pass = -(-run.train_images // batch_size)
        return [index for index, steps in enumerate(run.steps.get(stage, [])) if steps < per_pass]
    accuracy = np.asarray(run.curves.get(stage, {}).get("accuracy", []))
    second = np.arange(1, len(accuracy), 2)
    batch_size = run.config.get("batch_size")
    if batch_size is None or not len(second):
        return []
    correct = accuracy[second] * batch_size
    one_step = np.abs(correct - correct.round()) <= batch_size * np.finfo(np.float32).eps
    return second.tolist() if one_step.all() else []


def real_epochs(run: Run, stage: str = "stage2") -> list[int]:
    """Indices, from 0, of the logged epochs that were one pass over the training set."""
    logged = len(run.curves.get(stage, {}).get("loss", []))
    return sorted(set(range(logged)) - set(one_step_epochs(run, stage)))


def passes(run: Run, stage: str = "stage2") -> NDArray[np.int64]:
    """For each logged epoch, how many passes over the training set had been made by its end."""
    real = real_epochs(run, stage)
    return np.cumsum(np.isin(np.arange(len(real) + len(one_step_epochs(run, stage))), real))


def tta_accuracy(run: Run) -> float | None:
    """Test accuracy in 0 to 1 with the flip averaged in; None where a run holds none.

    A published log does not name it. But where its confusion matrix counts other predictions than its test
    accuracy, it counts the averaged ones.
    """
    if not run.is_published_log:
        return run.accuracy("test", "tta")
    plain = run.metrics.get("test_end2end")
    if run.confusion_matrix is None or plain is None:
        return None
    counted = float(np.trace(run.confusion_matrix) / np.sum(run.confusion_matrix))
    return counted if round((counted - plain) * run.size("test")) else None
