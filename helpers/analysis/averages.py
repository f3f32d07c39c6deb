"""Why moving averages do not fit: do they lag behind features that move on, or do the features swing?

From runs that were diagnosed with "steps"; helpers/engine/averages.py says what was measured.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from helpers.records.run import RecordError, Run

LONG, SHORT = 1000, 100
"""Steps: the lengths that `reading` compares."""
FARTHER = 1.5
"""How much farther from LONG steps ago than from SHORT features lie that move on; at rest or swinging: 1."""
LOST_MORE = 0.01
"""Accuracy by which shorter averages must lose more than the long ones, where features swing."""
ENOUGH = 0.002
"""Accuracy below that of the most images at which fewer are enough to re-estimate from."""
Reading = Literal["lag", "swing", "neither"]


def _measured(run: Run, what: str) -> list[dict[int, list[float] | float]]:
    """One measure of the passes after the first, in which the averages still hold the start; by number."""
    found = [each.averages for each in run.diagnosis[2:]]
    if not found or not all(found):
        raise RecordError(f'{run.path} followed no averages: run its experiment with diagnosed="steps"')
    return [
        {int(name): value for name, value in each[what].items() if name.isdigit()} for each in found if each
    ]


def lost(run: Run) -> dict[int, float]:
    """Memory of an average, in steps, to the accuracy that it loses, -1 to 1.

    Against statistics re-estimated at the same step, on the same validation images; the mean over the
    evaluations of the passes after the first. Raises RecordError for a run that followed no averages.
    """
    kept = _measured(run, "accuracy")
    best = [each.averages["accuracy"]["re-estimated"] for each in run.diagnosis[2:] if each.averages]
    return {
        memory: float(
            np.mean(np.concatenate(best)) - np.mean(np.concatenate([each[memory] for each in kept]))
        )
        for memory in kept[0]
    }


def moved(run: Run) -> dict[int, float]:
    """Lag in steps to how far the features' means moved in it, in standard deviations; in the last pass."""
    return {lag: float(np.mean(value)) for lag, value in _measured(run, "displacement")[-1].items()}


def enough_images(runs: Sequence[Run]) -> int:
    """The fewest training images whose accuracy is within ENOUGH of that of the most.

    Accuracy is a mean over runs, and over their passes after the first.
    """
    found = [each for run in runs for each in _measured(run, "images")]
    mean = {count: float(np.mean([each[count] for each in found])) for count in found[0]}
    return min(count for count in mean if mean[count] >= mean[max(mean)] - ENOUGH)


def reading(run: Run) -> Reading:
    """Whether the averages 'lag' or the features 'swing', by the rule in study/experiments.py."""
    loss, way = lost(run), moved(run)
    shorter = max(value for memory, value in loss.items() if memory < LONG)
    moves_on = way[LONG] >= FARTHER * way[SHORT]
    if loss[LONG] > shorter and moves_on:
        return "lag"
    return "swing" if shorter > loss[LONG] + LOST_MORE and not moves_on else "neither"
