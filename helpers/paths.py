"""Where things lie on this machine. What a caller may set in the environment is read here and nowhere else.

Nothing here changes the environment. helpers/__init__.py sets what TensorFlow and Keras read as they are
imported, and a sweep's worker the threads that it may use.

A relative folder means one below the folder that the process was started in.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import get_args

import platformdirs

from helpers.errors import UserError
from helpers.experiment import Backbone, Experiment

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
FIGURES = ROOT / "figures"
RESULTS = ROOT / "results"
MODELS = ROOT / "models"
"""Trained networks that ship, a folder each."""
PLACES = ("REPORT_BUILD", "REPORT_CACHE", "REPORT_RESULTS", "CIFAR10_DIR", "CIFAR10H_DIR", "KERAS_HOME")
"""The environment variables that hold a path, besides those that name weights."""
DEFAULT_BACKEND = "tensorflow"
"""What made the records and stored views whose names tell no backend."""


class CacheError(UserError):
    """Downloads or activations cannot be stored: no room, no permission, or nothing that is frozen."""


def stated(variable: str) -> Path | None:
    """The absolute path that an environment variable holds; None where it is not set, or empty."""
    value = os.environ.get(variable)
    return whole(value) if value else None


def whole(place: str | Path) -> Path:
    """The absolute path of a place that a person names; a home that is nobody's stays as it is written."""
    return Path(os.path.abspath(os.path.expanduser(place)))


def environment() -> dict[str, str]:
    """The environment for a child process in any folder: the same places, and this package."""
    names = [*PLACES, *map(weights_variable, get_args(Backbone))]
    places = {name: str(path) for name in names if (path := stated(name))}
    found = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, **places, "PYTHONPATH": os.pathsep.join(found)}


def cache_folder() -> Path:
    """Where downloads, stored activations and checkpoints go: REPORT_CACHE, or the platform's cache.

    Raises CacheError where neither is known: REPORT_CACHE is not set, and the user has no home folder.
    """
    try:
        return stated("REPORT_CACHE") or Path(platformdirs.user_cache_dir("transfer-report"))
    except RuntimeError as error:
        cure = "set HOME, or REPORT_CACHE, to a folder"
        raise CacheError(f"you have no home folder on this machine: {cure}") from error


def build_folder() -> Path:
    """Where notebooks are executed and the site is built: REPORT_BUILD, or build/ of this checkout."""
    return stated("REPORT_BUILD") or ROOT / "build"


def cache_bound() -> int:
    """Bytes that the stored activations may take in all: REPORT_CACHE_GB, or 40 GB."""
    value = os.environ.get("REPORT_CACHE_GB") or "40"
    try:
        return int(float(value) * 1e9)
    except (ValueError, OverflowError) as error:  # the latter of inf
        raise CacheError(f"REPORT_CACHE_GB={value!r} is not a number of gigabytes") from error


def weights_variable(backbone: str) -> str:
    """The variable that may name a file of a network's ImageNet weights: MOBILENETV2_WEIGHTS for one."""
    return f"{backbone.replace('_', '').upper()}_WEIGHTS"


def keras_home() -> Path:
    """Keras' own folder of downloads: KERAS_HOME, or ~/.keras; without a home a folder that is not there."""
    return stated("KERAS_HOME") or Path(os.path.expanduser("~/.keras"))


def keras_backend() -> str:
    """KERAS_BACKEND: what Keras runs on. The package sets it to TensorFlow where it is not set."""
    return os.environ.get("KERAS_BACKEND") or DEFAULT_BACKEND


def threads() -> int:
    """Threads that TF_NUM_INTRAOP_THREADS allows TensorFlow; 0 where it is not set: all of them."""
    value = os.environ.get("TF_NUM_INTRAOP_THREADS") or "0"
    if not value.isdecimal():
        raise UserError(f"TF_NUM_INTRAOP_THREADS={value!r} is no number of threads; correct it, or unset it")
    return int(value)


def results_folder(experiment: Experiment, root: Path | None = None) -> Path:
    """Where an experiment's record goes: REPORT_RESULTS, or results/ of this checkout; or a folder below it.

    The records at full scale on CIFAR-10 lie in it directly. root: in the place of both.
    """
    root = root or stated("REPORT_RESULTS") or RESULTS
    if not experiment.is_study_data:
        return root / ("folder" if experiment.folder else experiment.dataset) / experiment.scale
    return root if experiment.scale == "full" else root / experiment.scale


def writable(folder: Path, variable: str) -> Path:
    """The folder, made if it is missing; `variable` is the environment variable that moves it.

    Raises CacheError where it cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise CacheError(
            f"{folder} cannot be written ({error.strerror}); set {variable} to a folder that can be"
        ) from error
    return folder


def writable_cache() -> Path:
    """The cache folder, made if it is missing. Raises CacheError where it cannot be made or written."""
    return writable(cache_folder(), "REPORT_CACHE")
