"""CIFAR-10: find it, verify it, load it, split it as the seed study did.

A folder of official batches is used only if every file has its published MD5, which is checked
before anything is unpickled: a pickle can run code, so an altered file is never opened.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import platformdirs

from helpers import miniature
from helpers.experiment import Experiment

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
ARCHIVE_MD5 = "c58f30108f718f92721af3b95e74349a"
FOLDER = "cifar-10-batches-py"
MD5 = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
"""The MD5 that each file of the official archive has (https://www.cs.toronto.edu/~kriz/cifar.html)."""
CLASSES: dict[str, tuple[str, ...]] = {
    "cifar10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    "miniature": miniature.CLASSES,
}
"""The names of a dataset's ten classes, in the order of its labels."""
FINGERPRINT = hashlib.sha256("".join(MD5.values()).encode()).hexdigest()[:16]
CONNECT_TIMEOUT = 5
"""Seconds to wait for a server before the network counts as dead."""


class DataError(RuntimeError):
    """The images are missing, altered or cannot be fetched."""


@dataclass(frozen=True)
class Split:
    """Images, uint8 (n, 32, 32, 3), and their labels, int64 (n,) from 0 to 9."""

    images: np.ndarray
    labels: np.ndarray

    def first(self, n: int) -> Split:
        """The first n images, or all where there are fewer."""
        return Split(self.images[:n], self.labels[:n])


@dataclass(frozen=True)
class Dataset:
    """The three splits of an experiment's images, and what identifies their contents."""

    train: Split
    val: Split
    test: Split
    fingerprint: str


class CacheError(DataError):
    """The folder for downloads and stored activations cannot be written."""


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


def cache_folder() -> Path:
    """Where downloads, stored activations and checkpoints go: REPORT_CACHE, or the platform's cache."""
    return Path(os.environ.get("REPORT_CACHE") or platformdirs.user_cache_dir("transfer-report"))


def locate(data_dir: str | Path | None = None) -> Path | None:
    """The folder of CIFAR-10's batches on this machine, or None.

    Searched in order: `data_dir`, CIFAR10_DIR, Keras' cache, this package's cache. The first two are
    a statement of intent: where one is given and wrong, it is an error and nothing else is tried.
    """
    stated = data_dir or os.environ.get("CIFAR10_DIR")
    if stated:
        folder = Path(stated).expanduser()
        verify(folder)
        return folder
    keras_home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "datasets"
    places = [keras_home / FOLDER, keras_home / f"{FOLDER}-target" / FOLDER, cache_folder() / FOLDER]
    return next((place for place in places if all((place / name).is_file() for name in MD5)), None)


def obtain(data_dir: str | Path | None = None) -> Path:
    """The folder of CIFAR-10's batches, downloaded (170 MB) where the machine has none.

    Raises DataError where there is none to find and none to fetch.
    """
    folder = locate(data_dir)
    return folder if folder else download(writable_cache())


def download(destination: Path) -> Path:
    """Fetch and unpack the official archive into `destination`; its MD5 is checked first."""
    import pooch

    fetch = pooch.HTTPDownloader(progressbar=True, timeout=CONNECT_TIMEOUT)
    try:
        archive = pooch.retrieve(URL, f"md5:{ARCHIVE_MD5}", path=destination, downloader=fetch)
    except (OSError, ValueError) as error:
        raise DataError(
            f"CIFAR-10 is not on this machine and could not be downloaded from {URL} "
            f"({type(error).__name__}). Set CIFAR10_DIR to a {FOLDER} folder, connect to a network, "
            "or use dataset='miniature' with backbone_weights='miniature'"
        ) from error
    # Unpacked beside its place and moved there as a whole: an interruption leaves nothing half-written.
    with tempfile.TemporaryDirectory(dir=destination) as beside, tarfile.open(archive) as tar:
        # By its checksum the archive is the official one; the filter came with Python 3.10.12 and 3.11.4.
        tar.extraction_filter = getattr(tarfile, "data_filter", None)
        tar.extractall(beside)
        shutil.rmtree(destination / FOLDER, ignore_errors=True)
        (Path(beside) / FOLDER).replace(destination / FOLDER)
    return destination / FOLDER


def verify(folder: Path) -> None:
    """Raise DataError unless every batch file in `folder` is there, whole and unaltered."""
    for name in MD5:
        _verified_bytes(folder / name)


def _verified_bytes(path: Path) -> bytes:
    if not path.is_file():
        raise DataError(
            f"{path} is missing: a {FOLDER} folder holds {', '.join(MD5)}. "
            "Point CIFAR10_DIR or --data-dir at such a folder, or leave both out to search and download"
        )
    content = path.read_bytes()
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != MD5[path.name]:
        raise DataError(
            f"{path} is truncated or altered ({len(content):,} bytes, MD5 {found}, published "
            f"{MD5[path.name]}) and was not opened. Delete it and fetch the archive again from {URL}"
        )
    return content


def _batch(path: Path) -> Split:
    raw = pickle.loads(_verified_bytes(path), encoding="bytes")  # noqa: S301 (MD5 checked just before)
    images = raw[b"data"].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return Split(np.ascontiguousarray(images), np.asarray(raw[b"labels"], np.int64))


def split_indices(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the 45,000 training and 5,000 validation images, exactly as the seed study split.

    `labels` are the 50,000 of the five official batches in their order.
    """
    from sklearn.model_selection import train_test_split

    train, val = train_test_split(np.arange(len(labels)), test_size=5000, stratify=labels, random_state=42)
    return train, val


def load(experiment: Experiment, data_dir: str | Path | None = None) -> Dataset:
    """The images of an experiment's dataset, cut to its scale.

    Raises DataError where CIFAR-10 is wanted and cannot be had: the miniature is never put in its place.
    """
    if experiment.dataset == "miniature":
        whole = [Split(*miniature.images(name)) for name in ("train", "val", "test")]
        fingerprint = miniature.FINGERPRINT
    else:
        folder = obtain(data_dir)
        batches = [_batch(folder / f"data_batch_{i}") for i in range(1, 6)]
        images = np.concatenate([batch.images for batch in batches])
        labels = np.concatenate([batch.labels for batch in batches])
        train, val = split_indices(labels)
        whole = [Split(images[train], labels[train]), Split(images[val], labels[val])]
        whole.append(_batch(folder / "test_batch"))
        fingerprint = FINGERPRINT
    limits = experiment.limits
    train_split, val_split, test_split = (
        split.first(n) for split, n in zip(whole, (limits.train, limits.val, limits.test), strict=True)
    )
    return Dataset(train_split, val_split, test_split, fingerprint)
