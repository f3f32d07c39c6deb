"""The same fine-tune in PyTorch, for the bench: in a process without TensorFlow, which cannot share one.

PyTorch is no part of this project, which would grow by gigabytes. Where somebody installed torch and
torchvision beside it, `make bench` times them too.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
import torchvision

from helpers.data import sources
from helpers.experiment import Experiment

BLOCKS = {30: 13, 66: 7}
"""Depths that are timed to the first of torchvision's blocks that trains: Keras' block_12 and block_6."""


def measured(shapes: dict[str, dict[str, Any]], images: int, passes: int) -> dict[str, Any]:
    """PyTorch's version, and its images a second by the names of `shapes`, each an Experiment's fields."""
    speeds = {
        name: images / _seconds(Experiment(**fields), images, passes) for name, fields in shapes.items()
    }
    for name, speed in speeds.items():
        print(f"{name}, PyTorch {torch.__version__}: {speed:.0f} images a second", flush=True)
    return {"version": torch.__version__, **speeds}


def _seconds(experiment: Experiment, images: int, passes: int) -> float:
    """What a pass takes: the fastest of some, after a batch that is not counted.

    The blocks below the cut run without gradients, every norm of the backbone as it evaluates, on images that
    are resized batch by batch. All is in float32 and channels last.
    """
    side, batch, cut = experiment.image_size, experiment.batch_size, BLOCKS[experiment.n_unfreeze]
    blocks = torchvision.models.mobilenet_v2().features.to(memory_format=torch.channels_last).eval()
    frozen, free = blocks[:cut], blocks[cut:]
    for each in free.modules():
        each.requires_grad_(not isinstance(each, torch.nn.BatchNorm2d))
    wide = experiment.head_units or 1280
    layers = [torch.nn.BatchNorm1d(1280)] if experiment.head_norm == "batch" else []
    layers += [torch.nn.Linear(1280, wide), torch.nn.ReLU()] if experiment.head_units else []
    top = torch.nn.Sequential(*layers, torch.nn.Dropout(experiment.dropout), torch.nn.Linear(wide, 10))
    optimizer = torch.optim.AdamW([*free.parameters(), *top.parameters()], lr=experiment.learning_rate)
    loss = torch.nn.CrossEntropyLoss(label_smoothing=experiment.label_smoothing)
    train = sources.load(experiment).train
    labels = torch.from_numpy(train.labels.astype(np.int64))

    def run(count: int) -> float:
        begun = time.perf_counter()
        for picked in np.split(np.random.default_rng(0).permutation(count), range(batch, count, batch)):
            pixels = torch.from_numpy(train.images[picked]).permute(0, 3, 1, 2).float() / 127.5 - 1
            with torch.no_grad():
                below = frozen(torch.nn.functional.interpolate(pixels, size=(side, side), mode="bilinear"))
            optimizer.zero_grad()
            loss(top(free(below).mean((2, 3))), labels[picked]).backward()
            optimizer.step()
        return time.perf_counter() - begun

    run(batch)
    return min(run(images) for _ in range(passes))
