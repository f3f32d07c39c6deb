"""A trained run as a file for other programs."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from helpers.apps.predict import PredictionError, load
from helpers.apps.predict import classes as classes
from helpers.experiment import Experiment, ExperimentError


def export(experiment: Experiment, path: str | Path) -> None:
    """Write a run's network, as `load` gives it, to a .keras file that needs nothing else of this project.

    `keras.models.load_model` reads it, in safe mode too. An earlier file is replaced by the whole new one.
    Raises what `load` does, ExperimentError where `path` does not end in .keras, and PredictionError where it
    cannot be written.
    """
    path = Path(path)
    if path.suffix != ".keras":
        raise ExperimentError(f"{path} does not end in .keras, the one format written here; rename it")
    network = load(experiment)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as beside:
            network.save(Path(beside) / path.name)
            os.replace(Path(beside) / path.name, path)
    except OSError as error:
        raise PredictionError(f"{path} cannot be written ({error}); choose another place") from error
