"""The report's experiments by name: the seed study's table, and what tests its claims.

To add an experiment, name it here; `python -m helpers run` and the notebooks take it from there.
"""

from __future__ import annotations

from typing import Any

from helpers import miniature
from helpers.experiment import Experiment

HEADLINE = Experiment()
"""The seed's final network: 30 layers unfrozen, standard augmentation, AdamW at 1e-5, batch 64."""

BASELINE = Experiment(n_unfreeze=0)
"""The head alone, on frozen features."""

TABLE: dict[str, Experiment] = {
    "baseline": BASELINE,
    "fine-tune 10": Experiment(n_unfreeze=10, augmentation="none", learning_rate=1e-4),
    "fine-tune 30, 3e-4, as published": Experiment(augmentation="none", learning_rate=3e-4),
    "fine-tune 30, 3e-4, as logged": Experiment(learning_rate=3e-4),
    "headline": HEADLINE,
    "headline + mixup": Experiment(augmentation="standard+mixup"),
}
"""The rows of the seed's results table; its failed run twice, as its report and its log describe it."""

BASELINE_SEEDS = tuple(BASELINE.replace(seed=seed) for seed in range(5))
"""The baseline again with seeds 0 to 4: how much a seed alone moves it."""


def for_notebook(base: Experiment, *, dataset: str, scale: str, **changes: Any) -> Experiment:
    """An experiment with a notebook's parameters put in; on the miniature, its stand-in there.

    Raises ExperimentError for a parameter that no Experiment has, or a value that it does not take.
    """
    experiment = base.replace(scale=scale, **changes)
    if dataset == "miniature":
        return miniature.stand_in(experiment)
    return experiment.replace(dataset=dataset)
