"""Picture files of any kind and size, read as the networks' images are: RGB, upright, on white."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from helpers.errors import UserError

MOST_PIXELS = 250_000_000
"""Pixels of the largest picture that is read: more than a telephone takes. It takes 1 GB while it is read."""
WHITES = (255, 4095, 65535)
"""What white may be in a grey picture of more than 8 bits: that of 8, 12 or 16 bits."""

# Pillow refuses a picture of twice this many pixels, which may be small on the disk and fill the memory.
Image.MAX_IMAGE_PIXELS = MOST_PIXELS // 2


class PictureError(UserError):
    """A file is no picture that can be read."""


class PictureWarning(UserWarning):
    """A picture was read, on an assumption that its reader should know."""


def read(path: str | Path, side: int = 32) -> np.ndarray:
    """A picture file as an image of the networks, uint8 (side, side, 3).

    Turned as its EXIF orientation says; of several frames the first. The shorter side is resized,
    antialiased, and the longer one cut to its middle, so that nothing is stretched. White in a grey picture
    of more than 8 bits is the smallest of WHITES that holds its brightest value; a PictureWarning tells
    where that is not the white of 16 bits.
    Raises PictureError, which names the file, for what is not a whole picture or is too large.
    """
    try:
        content = Path(path).read_bytes()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as one of a strange EXIF tag
            # From memory: Pillow maps an uncompressed TIFF on the disk as if it were turned already.
            with Image.open(io.BytesIO(content)) as file:
                file.draft(None, (2 * side, 2 * side))  # decodes a large JPEG smaller: ten times faster
                upright, white = _eight_bits(ImageOps.exif_transpose(file))
                colours = upright.convert("RGBA")
            flat = Image.alpha_composite(Image.new("RGBA", colours.size, "white"), colours).convert("RGB")
            pixels = np.asarray(ImageOps.fit(flat, (side, side), Image.Resampling.BICUBIC))
    except UnidentifiedImageError as error:
        raise PictureError(f"{path} is no picture of a known format; give a PNG or JPEG file") from error
    except Image.DecompressionBombError as error:
        most = MOST_PIXELS // 1_000_000
        raise PictureError(f"{path} has more than {most} million pixels; save it smaller") from error
    except Exception as error:  # Pillow's formats raise a dozen types for a damaged file
        reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        raise PictureError(
            f"{path} cannot be read ({reason}); correct the path, or save the picture again as PNG or JPEG"
        ) from error
    if white not in (0, WHITES[-1]):
        warnings.warn(
            f"{path}: its brightest value says that white is {white:,}", PictureWarning, stacklevel=2
        )
    return pixels


def _eight_bits(picture: Image.Image) -> tuple[Image.Image, int]:
    """The picture with 8 bits a channel, where Pillow would clip larger greys; and what was white, or 0."""
    if picture.mode == "F":
        raise ValueError("its pixels are floating-point numbers, which have no stated white")
    if not picture.mode.startswith("I"):
        return picture, 0
    greys = np.asarray(picture).astype(np.int64)
    white = next((white for white in WHITES if greys.max() <= white), 0)
    if not white or greys.min() < 0:
        raise ValueError(f"its values, {greys.min():,} to {greys.max():,}, fit no white of {WHITES}")
    return Image.fromarray((greys * 255 // white).astype(np.uint8)), white
