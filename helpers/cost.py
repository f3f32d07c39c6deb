"""What a run will cost, said before it starts."""

from __future__ import annotations

from helpers.data import sources
from helpers.data.weights import PUBLISHED
from helpers.experiment import Engine, Experiment

STORED_PER_SECOND = 300
TRAINED_PER_SECOND = 200
"""Images a second that two cores with AVX2 push through MobileNetV2 and train on, at n = 30 and 160 px."""
TOLD = (
    "dataset scale seed backbone backbone_weights n_unfreeze augmentation optimizer learning_rate batch_size"
).split()
"""Fields that a slug, a data set's name and a scale say: two runs may agree in all of these."""


def estimate(experiment: Experiment, engine: Engine = "cached") -> str:
    """What a run will cost if nothing is stored yet, in a sentence."""
    stored, (train, *_) = _stored(experiment, engine), sources.sizes(experiment)
    others = "".join(f", {name}={value}" for name, value in experiment.changes.items() if name not in TOLD)
    trained = f" and {experiment.epochs_run} epochs of {train:,}" if experiment.epochs_run else ""
    return (
        f"{experiment.slug} ({experiment.dataset}, {experiment.scale} scale{others}) has no record yet. "
        f"It takes {cost(experiment, engine)}: {stored:,} images through the frozen part (less what is "
        f"stored already){trained}."
    )


def cost(experiment: Experiment, engine: Engine = "cached") -> str:
    """'at most about 5 min on two cores': the time of a run for which nothing is stored yet."""
    passes = experiment.epochs_run * sources.sizes(experiment)[0] * (experiment.n_unfreeze > 0)
    work = 0.1 if experiment.backbone_weights == "miniature" else PUBLISHED[experiment.backbone].work
    work *= (experiment.image_size / 160) ** 2
    minutes = work * (_stored(experiment, engine) / STORED_PER_SECOND + passes / TRAINED_PER_SECOND) / 60
    return f"at most about {max(1, round(minutes))} min on two cores"


def _stored(experiment: Experiment, engine: Engine) -> int:
    """Images that a run pushes through the frozen part."""
    train, val, test = sources.sizes(experiment)
    evaluated = 2 * (val + test)
    pooled = needs_pooled(experiment)
    storing = engine == "cached" if experiment.n_unfreeze else experiment.augmentation != "none"
    cached = experiment.epochs_run > 0 and storing
    return (train + evaluated) * pooled + (experiment.views_run * train + evaluated) * cached


def needs_pooled(experiment: Experiment) -> bool:
    """Whether a run reads pooled features: for stage 1, or to evaluate a head that is all it has."""
    return experiment.stage1_epochs_run > 0 or not experiment.epochs_run
