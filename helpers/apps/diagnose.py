"""A person's own trained network: is it really worse, or only its batch norm?"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

import numpy as np

from helpers import files, paths
from helpers.analysis.examination import Examination
from helpers.apps import network
from helpers.data import folder as own
from helpers.data.split import Split
from helpers.engine import keras, reestimate
from helpers.engine.examine import examine
from helpers.errors import UserError
from helpers.figures import batchnorm, style

KNOWN = 1000
"""Pictures, at most, that statistics are estimated from: more hardly change them (Wu and Johnson 2021)."""
JUDGED = 2000
"""Other pictures, at most, that the accuracies are of."""
Pixels = Literal["0..255", "0..1", "-1..1"]
"""The numbers between which a network wants its pixels."""
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of red, green and blue in a grey (ITU-R 601), as Pillow and Keras have them."""


def parts(found: own.Folder, side: int) -> tuple[Split, Split]:
    """The pictures that statistics are estimated from, and the others: uint8 (n, side, side, 3).

    Where the folder keeps some apart itself, as val or test, those are the others: a network may have been
    trained on the rest.
    """
    every = own.images(found, side)
    labels = np.array([each.label for each in found.pictures])
    splits = np.array([each.split for each in found.pictures])
    apart = [split for split in own.SPLITS[1:] if split not in found.held_out] or own.SPLITS[1:]
    chosen = np.flatnonzero(splits == "train")[:KNOWN], np.flatnonzero(np.isin(splits, apart))[:JUDGED]
    known, judged = (Split(every[rows], labels[rows]) for rows in chosen)
    return known, judged


def given(split: Split, pixels: Pixels, channels: int) -> Split:
    """Pictures as a network wants them: float32 (n, side, side, channels), grey where it has 1 channel."""
    low, high = map(float, pixels.split(".."))
    images = split.images.astype(np.float32)
    images = images @ LUMA[:, None] if channels == 1 else images
    return Split(low + (high - low) * images / 255, split.labels)


def diagnose(path: Path, root: Path, pixels: Pixels, mended: Path | None) -> tuple[Examination, Path]:
    """Examine the network in a file on a folder of pictures; gives what was found, and the figure's file.

    mended: where to write the network with re-estimated statistics, if these are what it lacks.
    Raises UserError where file and folder do not fit, and what `network.load`, `network.save` and
    `folder.scan` raise.
    """
    if mended:
        network.check_name(mended)
    model, found = network.load(path, channels=(1, 3)), own.scan(root)
    trained = [weight for weight in model.weights if weight.name not in ("moving_mean", "moving_variance")]
    if not all(np.isfinite(keras.ops.convert_to_numpy(weight)).all() for weight in trained):
        raise UserError(
            f"{path} holds weights that are no numbers (nan or inf): its training diverged. Train again, at "
            "a lower rate"
        )
    (_, side, _, channels), outputs = model.input_shape, model.output_shape[1]
    if outputs != len(found.classes):
        first = ", ".join(found.classes[:5]) + ", ..." * (len(found.classes) > 5)
        raise UserError(
            f"{path} tells {outputs:,} classes apart, and {root} holds {len(found.classes):,} folders of "
            f"pictures ({first}): make one for each class, in alphabetical order as its outputs are"
        )
    pictures, others = parts(found, side)
    print(f"asking {path.name} about {len(others.labels):,} pictures, several times over", flush=True)
    known, judged = (given(each, pixels, channels) for each in (pictures, others))
    kinds = [each for each in get_args(Pixels) if each != pixels]
    otherwise = (
        (each, *(given(split, each, channels).images for split in (pictures, others))) for each in kinds
    )
    examination = examine(model, path.name, known, judged, otherwise)
    figure = paths.build_folder() / f"{path.stem}-diagnosis.png"
    paths.writable(figure.parent, "REPORT_BUILD")
    files.write({figure: style.png(batchnorm.examination(examination))})
    if mended and examination.finding == "batch norm":
        reestimate.reestimate(model, known.images, frozen=not examination.trained)
        network.save(model, mended)
    return examination, figure
