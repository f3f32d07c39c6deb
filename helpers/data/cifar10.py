"""CIFAR-10: find it, verify it, read it.

A folder of official batches is used only if every file has its published MD5, which is checked
before anything is unpickled: a pickle can run code, so an altered file is never opened.
"""

from __future__ import annotations

import hashlib
import pickle
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pooch

from helpers import files, paths
from helpers.data.split import DataError, Split

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
FINGERPRINT = hashlib.sha256("".join(MD5.values()).encode()).hexdigest()[:16]
CONNECT_TIMEOUT = 5
"""Seconds to wait for a server before the network counts as dead."""


def locate() -> Path | None:
    """The folder of CIFAR-10's batches on this machine, or None.

    Searched in order: CIFAR10_DIR, Keras' cache, this package's cache. The first is a statement of intent:
    where it is set and wrong, it is an error and nothing else is tried.
    """
    if folder := paths.stated("CIFAR10_DIR"):
        verify(folder)
        return folder
    keras = paths.keras_home() / "datasets"
    places = [keras / FOLDER, keras / f"{FOLDER}-target" / FOLDER, paths.cache_folder() / FOLDER]
    return next((place for place in places if all((place / name).is_file() for name in MD5)), None)


def find_or_download() -> Path:
    """The folder of CIFAR-10's batches, downloaded (170 MB) where the machine has none.

    One process fetches, and others wait. Raises DataError where there is none to find and none to fetch.
    """
    if found := locate():
        return found
    cache = paths.writable_cache()
    with files.locked(cache / f"{FOLDER}.lock", "another process fetches CIFAR-10: waiting for it"):
        return locate() or download(cache)


def download(destination: Path) -> Path:
    """Fetch and unpack the official archive into `destination`; its MD5 is checked first."""
    fetch = pooch.HTTPDownloader(progressbar=True, timeout=CONNECT_TIMEOUT)
    try:
        archive = pooch.retrieve(URL, f"md5:{ARCHIVE_MD5}", path=destination, downloader=fetch)
    except (OSError, ValueError) as error:
        raise DataError(
            f"CIFAR-10 is not on this machine and could not be downloaded from {URL} "
            f"({type(error).__name__}). Set CIFAR10_DIR to a {FOLDER} folder, connect to a network, "
            "or use dataset='miniature' with backbone_weights='miniature' and image_size=48"
        ) from error
    try:
        with files.whole(destination / FOLDER) as beside, tarfile.open(archive) as tar:
            # By its checksum the archive is the official one; the filter came with Python 3.10.12 and 3.11.4.
            tar.extraction_filter = getattr(tarfile, "data_filter", None)
            tar.extractall(beside.parent)
            shutil.rmtree(destination / FOLDER, ignore_errors=True)
    except OSError as error:
        raise paths.CacheError(
            f"{archive} cannot be unpacked in {destination} ({error.strerror}); make room there, or set "
            "REPORT_CACHE to a folder on another disk"
        ) from error
    return destination / FOLDER


def verify(folder: Path) -> None:
    """Raise DataError unless every batch file in `folder` is there, whole and unaltered."""
    for name in MD5:
        _verified_bytes(folder / name)


def _verified_bytes(path: Path) -> bytes:
    if not path.is_file():
        raise DataError(
            f"{path} is missing: a {FOLDER} folder holds {', '.join(MD5)}. "
            "Point CIFAR10_DIR at such a folder, or unset it to search and download"
        )
    content = path.read_bytes()
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != MD5[path.name]:
        raise DataError(
            f"{path} is truncated or altered ({len(content):,} bytes, MD5 {found}, published "
            f"{MD5[path.name]}) and was not opened. Delete it and fetch the archive again from {URL}"
        )
    return content


def read_batch(path: Path) -> Split:
    """One of the official files, checked before it is opened. Raises DataError for an altered one."""
    raw = pickle.loads(_verified_bytes(path), encoding="bytes")  # noqa: S301 (MD5 checked just before)
    images = raw[b"data"].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return Split(np.ascontiguousarray(images), np.asarray(raw[b"labels"], np.int64))
