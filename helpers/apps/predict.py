"""A trained run as a network: load it, classify pictures with it, export it.

picture ──► 32 px ──► resize, backbone, pooling, head ──► probabilities of the ten classes
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from helpers.errors import UserError

if TYPE_CHECKING:
    import keras

SIDE = 32
"""Side of the pictures that every run was trained on, in pixels."""


class PredictionError(UserError):
    """A picture cannot be read, or a trained run cannot be loaded or exported."""


# Pictures -----------------------------------------------------------------------------------------


def picture(path: str | Path) -> np.ndarray:
    """A picture file as the networks' images are, uint8 (32, 32, 3): RGB, upright, on white.

    Turned as its EXIF orientation says; of several frames the first. The shorter side is resized to
    32 px, antialiased, and the longer one cut to its middle, so that nothing is stretched.
    Raises PredictionError, which names the file, for what is not a whole picture or is too large.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as one of a strange EXIF tag
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as file:
                upright = ImageOps.exif_transpose(_eight_bits(file)).convert("RGBA")
    except UnidentifiedImageError as error:
        raise PredictionError(f"{path} is no picture of a known format; give a PNG or JPEG file") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        most = (Image.MAX_IMAGE_PIXELS or 0) // 1_000_000
        raise PredictionError(f"{path} has more than {most} million pixels; save it smaller") from error
    except Exception as error:  # Pillow's formats raise a dozen types for a damaged file
        reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        raise PredictionError(
            f"{path} cannot be read ({reason}); correct the path, or save the picture again as PNG or JPEG"
        ) from error
    white = Image.new("RGBA", upright.size, "white")
    flat = Image.alpha_composite(white, upright).convert("RGB")
    return np.asarray(ImageOps.fit(flat, (SIDE, SIDE), Image.Resampling.BICUBIC))


def _eight_bits(file: Image.Image) -> Image.Image:
    """The picture, of which Pillow would clip 16-bit greys at 255; ValueError for floating point."""
    if file.mode == "F":
        raise ValueError("its pixels are floating-point numbers, which have no stated white")
    if not file.mode.startswith("I"):
        return file
    greys = Image.fromarray((np.asarray(file).clip(0, 65535) // 257).astype(np.uint8))
    greys.info = file.info  # and with it the EXIF orientation
    return greys


def classify(network: keras.Model, pictures: np.ndarray, flip: bool = True) -> np.ndarray:
    """Probabilities of each class, float32 (n, 10), for pictures in [0, 255], (n, 32, 32, 3), n at least 1.

    flip: the mean of those of each picture and of its mirror image, the report's test-time augmentation.
    """
    images = np.asarray(pictures, np.float32)
    views = [images, images[:, :, ::-1]] if flip else [images]
    return np.mean([network.predict(view, verbose=0) for view in views], axis=0)
