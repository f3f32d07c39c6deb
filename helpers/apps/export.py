"""A trained run as a file for other programs."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from helpers.apps.predict import PredictionError, of_run
from helpers.apps.predict import classes as classes
from helpers.engine import keras
from helpers.experiment import Experiment, ExperimentError


def export(experiment: Experiment, path: str | Path) -> None:
    """Write a run's network, as `of_run` gives it, to a .keras file that needs nothing else of this project.

    Raises what `of_run` and `save` do, and ExperimentError where `path` does not end in .keras.
    """
    path = Path(path)
    if path.suffix != ".keras":
        raise ExperimentError(
            f"{path} does not end in .keras, the one format of a single file; rename it, or name a folder "
            "for all formats: export NETWORK FOLDER"
        )
    save(of_run(experiment), path)


def save(network: keras.Model, path: Path) -> None:
    """Write a network to a .keras file, which `keras.models.load_model` reads, in safe mode too.

    An earlier file is replaced by the whole new one. Raises PredictionError where it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as beside:
            network.save(Path(beside) / path.name)
            os.replace(Path(beside) / path.name, path)
    except OSError as error:
        raise PredictionError(f"{path} cannot be written ({error}); choose another place") from error
