"""The backbone's weights: find them, download them, fingerprint them. Needs no Keras.

What "imagenet" stands for is a matter of the machine: the file in MOBILENETV2_WEIGHTS, else Keras' own
download. Both are MobileNetV2 1.0 trained on ImageNet, and not the same numbers: a record's fingerprint says
which file it was made with.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import pooch

from helpers import paths
from helpers.data import miniature
from helpers.data.cifar10 import CONNECT_TIMEOUT
from helpers.errors import UserError
from helpers.experiment import Experiment

URL = "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet_v2/"
PUBLISHED_SIZES = (96, 128, 160, 192, 224)
"""Image sizes that Keras publishes ImageNet weights for; others take the 224 px file."""


class WeightsError(UserError):
    """The backbone's weights are missing, or are another network's."""


def configured_path(experiment: Experiment) -> Path | None:
    """The file that the experiment or MOBILENETV2_WEIGHTS names; None where neither does.

    Raises WeightsError where the file named is not there.
    """
    if experiment.backbone_weights == "miniature":
        return miniature.WEIGHTS
    path, said_by = paths.weights_file(), "MOBILENETV2_WEIGHTS"
    if experiment.backbone_weights != "imagenet":
        path, said_by = Path(experiment.backbone_weights).expanduser(), "backbone_weights"
    if path and not path.is_file():
        raise WeightsError(
            f"{said_by}={path}: there is no such file; correct the path, or leave it out to download"
        )
    return path


def on_disk(experiment: Experiment) -> Path | None:
    """The file that would be used, if it is on this machine: the stated one, else Keras' cached one."""
    path = configured_path(experiment)
    places = [
        paths.keras_home() / "models" / _published(experiment),
        paths.cache_folder() / _published(experiment),
    ]
    return path or next((place for place in places if place.is_file()), None)


def find_or_download(experiment: Experiment) -> Path:
    """The file of the backbone's weights, downloaded (9 MB) where it is not on this machine.

    Raises WeightsError where it cannot be had, and CacheError where a download cannot be stored.
    """
    return on_disk(experiment) or _download(_published(experiment))


def _published(experiment: Experiment) -> str:
    """Keras' name of the ImageNet weights for the experiment's image size."""
    size = experiment.image_size if experiment.image_size in PUBLISHED_SIZES else 224
    return f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_{size}_no_top.h5"


def _download(name: str) -> Path:
    fetch = pooch.HTTPDownloader(progressbar=True, timeout=CONNECT_TIMEOUT)
    folder = paths.writable_cache()
    try:  # Keras publishes no hash of these files: the record's fingerprint says which one was used.
        return Path(pooch.retrieve(URL + name, None, name, folder, downloader=fetch))
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"MobileNetV2's ImageNet weights are not on this machine and {URL + name} could not be "
            f"downloaded ({type(error).__name__}). Set MOBILENETV2_WEIGHTS to a file of them, connect to a "
            "network, or use dataset='miniature' with backbone_weights='miniature'"
        ) from error


@cache
def fingerprint(path: Path) -> str:
    """SHA-256 of the weights file, its first 16 hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
