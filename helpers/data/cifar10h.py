"""CIFAR-10H: what people chose for each test image of CIFAR-10, about fifty of them an image.

Peterson, Battleday, Griffiths, Russakovsky 2019, Human Uncertainty Makes Classification More Robust
(arXiv:1908.07086). Its licence, non-commercial and share alike, keeps it out of this repository: it is read
where it lies, or downloaded.
"""

import hashlib
import io
from pathlib import Path

import numpy as np
import pooch
from numpy.typing import NDArray

from helpers import paths
from helpers.data.cifar10 import CONNECT_TIMEOUT
from helpers.data.split import DataError

FILE = "cifar10h-counts.npy"
URL = (
    "https://raw.githubusercontent.com/jcpeterson/cifar-10h/597cbc5f07266c9405b830ee4a53463539124c4f/data/"
    + FILE
)
SHA256 = "9b36b4550349af56c79083356312eb4af856cc5fd3caf1f669d40b9d0bbb69ff"


def locate() -> Path | None:
    """The file of the counts on this machine, or None: in the folder CIFAR10H_DIR, or in the cache.

    A stated folder is a statement of intent: DataError where the file is not in it, or altered.
    """
    if folder := paths.stated("CIFAR10H_DIR"):
        read(folder / FILE)
        return folder / FILE
    cached = paths.cache_folder() / FILE
    return cached if cached.is_file() else None


def find_or_download() -> Path:
    """The file of the counts, downloaded (0.8 MB) where it is not here. Raises DataError where that fails."""
    if found := locate():
        return found
    folder, fetch = paths.writable_cache(), pooch.HTTPDownloader(timeout=CONNECT_TIMEOUT)
    try:
        return Path(pooch.retrieve(URL, f"sha256:{SHA256}", fname=FILE, path=folder, downloader=fetch))
    except (OSError, ValueError) as error:
        raise DataError(
            f"CIFAR-10H is not on this machine and could not be downloaded from {URL} "
            f"({type(error).__name__}). Connect to a network, or set CIFAR10H_DIR to a folder with {FILE}"
        ) from error


def read(path: Path) -> NDArray[np.int64]:
    """How many people chose each class (10000, 10) for each test image, in the official order.

    Raises DataError for a file that is missing or altered, before it is opened.
    """
    if not path.is_file():
        raise DataError(f"{path} is missing: set CIFAR10H_DIR to a folder with {FILE}, or leave it out")
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        raise DataError(
            f"{path} is truncated or altered (SHA-256 {found}, published {SHA256}) and was not opened. "
            f"Delete it and fetch it again from {URL}"
        )
    return np.load(io.BytesIO(content), allow_pickle=False).astype(np.int64)
