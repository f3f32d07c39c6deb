"""Fashion-MNIST (Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747), written out as a folder of pictures.

As such it is a data set like any other, `folder:PATH`. Its own 10,000 test images stay the test.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from pathlib import Path

import numpy as np

from helpers import files
from helpers.data.split import DataError
from helpers.experiment import ExperimentError

CLASSES = "t-shirt trouser pullover dress coat sandal shirt sneaker bag ankle-boot".split()
"""In the order of its labels."""
EACH = 6000
"""Training images that each class has."""
SHA256 = {
    "train-images-idx3-ubyte.gz": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte.gz": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte.gz": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte.gz": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
"""Of what the published files hold, unpacked: Debian's package has them packed anew, with other bytes."""


def write(source: Path, target: Path, each: int = EACH) -> str:
    """Make a folder train/CLASS and test/CLASS of the four IDX files; returns what it holds, in words.

    each: training images of a class, the first ones in the file's order; every test image is written.
    The pictures are PGM files, grey and not packed, whose bytes and so whose fingerprint are the same with
    every version of every library. The folder is there once all of it is.
    Raises ExperimentError for an `each` that cannot be had, and DataError for a file that is missing or not
    Fashion-MNIST's, and for a target that is there already or cannot be written.
    """
    if not 2 <= each <= EACH:
        raise ExperimentError(f"each={each}: 2 to {EACH:,} training images of each class can be written")
    if target.exists():
        raise DataError(f"{target} is there already: name another folder, or remove this one")
    parts = {"train": _read(source, "train", each), "test": _read(source, "t10k", EACH)}
    try:
        with files.whole(target) as whole:
            for split, classes in parts.items():
                for name, images in classes.items():
                    (whole / split / name).mkdir(parents=True)
                    for number, image in enumerate(images):
                        path = whole / split / name / f"{number:04d}.pgm"
                        path.write_bytes(b"P5 28 28 255\n" + image.tobytes())
    except OSError as error:
        raise DataError(f"{target} cannot be written ({error.strerror}): name another folder") from error
    train, test = (sum(map(len, classes.values())) for classes in parts.values())
    return f"{target}: {train:,} pictures to train on and {test:,} to test with"


def _read(source: Path, prefix: str, most: int) -> dict[str, np.ndarray]:
    """The first images of each class, uint8 (n, 28, 28), of the two files that begin with the prefix."""
    images = np.frombuffer(_content(source / f"{prefix}-images-idx3-ubyte.gz"), np.uint8, offset=16)
    labels = np.frombuffer(_content(source / f"{prefix}-labels-idx1-ubyte.gz"), np.uint8, offset=8)
    images = images.reshape(-1, 28, 28)
    return {name: images[labels == label][:most] for label, name in enumerate(CLASSES)}


def _content(path: Path) -> bytes:
    """What a file holds, unpacked and checked."""
    cure = "take it from https://github.com/zalandoresearch/fashion-mnist or Debian's dataset-fashion-mnist"
    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path} cannot be read ({reason}): {cure}") from error
    if (found := hashlib.sha256(content).hexdigest()) != SHA256[path.name]:
        size = f"{len(content):,} bytes, SHA-256 {found}"
        raise DataError(f"{path} is not Fashion-MNIST's file of this name ({size}): {cure}")
    return content
