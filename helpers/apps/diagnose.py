"""A person's own trained network: is it really worse, or only its batch norm?"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from helpers import files, paths
from helpers.analysis.examination import Examination
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


class DiagnosisError(UserError):
    """A network cannot be examined: it cannot be read, or does not fit the folder."""


def load(path: Path) -> keras.Model:
    """The network in a .keras or .h5 file, for RGB pictures of one size and with one output a class.

    Raises DiagnosisError where it cannot be read or is another kind of network.
    """
    if not path.is_file():
        raise DiagnosisError(f"{path}: there is no such file; correct the path")
    try:
        model = keras.models.load_model(path, compile=False, safe_mode=True)
        shape, answer = tuple(model.input_shape), tuple(model.output_shape)
    except Exception as error:  # Keras raises a dozen types
        reason = " ".join(str(error).split())[:300]
        raise DiagnosisError(
            f"{path} cannot be read as a Keras network ({reason}); save it with model.save('name.keras'), "
            "or, if it has layers of your own, call helpers.engine.examine.examine in your script"
        ) from error
    if len(shape) != 4 or shape[1] is None or shape[1] != shape[2] or shape[3] != 3:
        raise DiagnosisError(
            f"{path} takes {shape}, and pictures are (None, side, side, 3): give it such an input"
        )
    if len(answer) != 2 or answer[1] < 2:
        raise DiagnosisError(f"{path} gives {answer}; needed is (None, classes), with 2 classes or more")
    return model


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
    folder do not fit, and what `folder.scan` raises.
    """
    model, found = load(path), own.scan(root)
    outputs = model.output_shape[1]
    if outputs != len(found.classes):
        raise DiagnosisError(
            f"{path} tells {outputs:,} classes apart, and {root} holds {len(found.classes):,} folders "
            f"({', '.join(found.classes[:5])}, ...): there has to be one folder for each class"
        )
    if mended and mended.suffix != ".keras":
        raise DiagnosisError(f"{mended} does not end in .keras, which is what is written; rename it")
    known, judged = parts(found, model.input_shape[1], pixels)
    examination = examine(model, path.name, known, judged)
    figure = paths.build_folder() / f"{path.stem}-diagnosis.png"
    paths.writable(figure.parent, "REPORT_BUILD")
    files.write({figure: style.png(batchnorm.examination(examination))})
    if mended:
        reestimate.reestimate(model, known.images, frozen=not examination.trained)
        model.save(mended)
    return examination, figure
