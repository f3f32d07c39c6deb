"""A person's own trained network: is it really worse, or only its batch norm?"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from helpers import files, paths
from helpers.analysis.examination import Examination
from helpers.apps import network
from helpers.data import folder as own
from helpers.data.split import Split
from helpers.engine import reestimate
from helpers.engine.examine import examine
from helpers.errors import UserError
from helpers.figures import batchnorm, style

KNOWN = 1000
"""Pictures, at most, that statistics are estimated from: more hardly change them (Wu and Johnson 2021)."""
JUDGED = 2000
"""Other pictures, at most, that the accuracies are of."""
Pixels = Literal["0..255", "0..1", "-1..1"]
"""The numbers between which a network wants its pixels."""


class DiagnosisError(UserError):
    """A network cannot be examined: it does not fit the folder."""


def parts(found: own.Folder, side: int, pixels: Pixels) -> tuple[Split, Split]:
    """The pictures that statistics are estimated from, and the others: float32 (n, side, side, 3)."""
    every, train = own.images(found, side), len(found.labels("train"))
    labels = np.concatenate([found.labels(split) for split in own.SPLITS])
    chosen = np.arange(min(train, KNOWN)), np.arange(train, min(len(every), train + JUDGED))
    low, high = map(float, pixels.split(".."))
    known, judged = (
        Split(low + (high - low) * every[rows].astype(np.float32) / 255, labels[rows]) for rows in chosen
    )
    return known, judged


def diagnose(path: Path, root: Path, pixels: Pixels, mended: Path | None) -> tuple[Examination, Path]:
    """Examine the network in a file on a folder of pictures; gives what was found, and the figure's file.

    mended: where to write the network with re-estimated statistics. Raises DiagnosisError where file and
    folder do not fit, and what `network.load`, `network.save` and `folder.scan` raise.
    """
    if mended:
        network.check_name(mended)
    model, found = network.load(path), own.scan(root)
    outputs = model.output_shape[1]
    if outputs != len(found.classes):
        raise DiagnosisError(
            f"{path} tells {outputs:,} classes apart, and {root} holds {len(found.classes):,} folders "
            f"({', '.join(found.classes[:5])}, ...): there has to be one folder for each class"
        )
    known, judged = parts(found, model.input_shape[1], pixels)
    examination = examine(model, path.name, known, judged)
    figure = paths.build_folder() / f"{path.stem}-diagnosis.png"
    paths.writable(figure.parent, "REPORT_BUILD")
    files.write({figure: style.png(batchnorm.examination(examination))})
    if mended:
        reestimate.reestimate(model, known.images, frozen=not examination.trained)
        network.save(model, mended)
    return examination, figure
