"""Picture files of every kind, read as the networks' images are."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from helpers.data import pictures
from helpers.data.pictures import PictureError, PictureWarning


def saved(array: np.ndarray, path: Path, **given: Any) -> Path:
    """A picture file of an array's pixels."""
    Image.fromarray(array).save(path, **given)
    return path


PIXELS = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
GREY = PIXELS[..., 0]


@pytest.mark.parametrize(
    ("name", "stored", "seen"),
    [
        ("rgb.png", PIXELS, PIXELS),
        ("rgb.bmp", PIXELS, PIXELS),
        ("grey.png", GREY, np.stack([GREY] * 3, axis=2)),
        ("grey.gif", GREY, np.stack([GREY] * 3, axis=2)),
        ("grey16.png", GREY.astype(np.uint16) * 257, np.stack([GREY] * 3, axis=2)),
        ("grey16.tif", GREY.astype(np.int32) * 257, np.stack([GREY] * 3, axis=2)),
        ("two_colours.png", GREY > 127, np.stack([255 * (GREY > 127)] * 3, axis=2)),
        ("opaque.png", np.dstack([PIXELS, np.full_like(GREY, 255)]), PIXELS),
        ("clear.png", np.dstack([PIXELS, np.zeros_like(GREY)]), np.full_like(PIXELS, 255)),
    ],
)
def test_a_picture_of_32_pixels_is_seen_as_it_is(
    name: str, stored: np.ndarray, seen: np.ndarray, tmp_path: Path
) -> None:
    found = pictures.read(saved(stored, tmp_path / name))
    assert found.dtype == np.uint8
    assert np.array_equal(found, seen)


def test_what_is_half_transparent_is_seen_on_white(tmp_path: Path) -> None:
    path = saved(np.dstack([PIXELS, np.full_like(GREY, 128)]), tmp_path / "half.png")
    np.testing.assert_allclose(pictures.read(path), 127.5 + PIXELS / 2, rtol=0, atol=1.5)


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "L", "RGB"])
def test_a_jpeg_is_seen_about_as_it_was(mode: str, tmp_path: Path) -> None:
    Image.new("RGB", (90, 60), (200, 100, 50)).convert(mode).save(tmp_path / "a.jpg", quality=95)
    expected = Image.new("RGB", (32, 32), (200, 100, 50)).convert(mode).convert("RGB")
    np.testing.assert_allclose(pictures.read(tmp_path / "a.jpg"), np.asarray(expected), rtol=0, atol=4)


def test_of_an_animation_the_first_frame_is_seen(tmp_path: Path) -> None:
    red, blue = (Image.new("RGB", (40, 40), colour) for colour in ("red", "blue"))
    red.save(tmp_path / "a.gif", save_all=True, append_images=[blue])
    assert (pictures.read(tmp_path / "a.gif") == (255, 0, 0)).all()


@pytest.mark.parametrize("pixels", [PIXELS, GREY.astype(np.uint16) * 257], ids=["colour", "16 bits"])
def test_a_picture_taken_sideways_is_seen_upright(pixels: np.ndarray, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera's: to be turned clockwise by a quarter
    plain = pictures.read(saved(pixels, tmp_path / "plain.png"))
    turned = pictures.read(saved(pixels, tmp_path / "turned.png", exif=exif))
    assert np.array_equal(turned, np.rot90(plain, -1))


@pytest.mark.parametrize("upright", [False, True])
def test_the_middle_square_of_a_long_picture_is_seen(upright: bool, tmp_path: Path) -> None:
    stripes = np.zeros((50, 150, 3), np.uint8)
    for third, channel in enumerate((0, 1, 2)):
        stripes[:, 50 * third : 50 * (third + 1), channel] = 255
    path = saved(stripes.transpose(1, 0, 2) if upright else stripes, tmp_path / "long.png")
    inner = pictures.read(path)[2:-2, 2:-2]  # at the very edges, its neighbours shine in
    assert (inner == (0, 255, 0)).all()


def test_a_large_picture_is_averaged_not_sampled(tmp_path: Path) -> None:
    board = np.indices((330, 330)).sum(0).astype(np.uint8) % 2 * 255
    np.testing.assert_allclose(pictures.read(saved(board, tmp_path / "a.png")), 127.5, rtol=0, atol=8)


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (31, 33)])
def test_any_size_will_do(size: tuple[int, int], tmp_path: Path) -> None:
    Image.new("RGB", size, "red").save(tmp_path / "a.png")
    assert (pictures.read(tmp_path / "a.png") == (255, 0, 0)).all()


def short(path: Path) -> None:
    """A picture file that lacks its end."""
    saved(PIXELS, path)
    path.write_bytes(path.read_bytes()[:-100])


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "text.png": (lambda path: path.write_text("a picture"), "no picture of a known format; give a PNG"),
    "empty.png": (lambda path: path.touch(), "no picture of a known format; give a PNG"),
    "missing.png": (lambda path: None, "No such file or directory.*correct the path"),
    "folder.png": (lambda path: path.mkdir(), "Is a directory.*correct the path"),
    "short.png": (short, "truncated.*save the picture again"),
    "short.jpg": (short, "truncated.*save the picture again"),
    "float.tif": (
        lambda path: saved((GREY / 255).astype(np.float32), path),
        "floating-point.*as PNG or JPEG",
    ),
    "bomb.png": (lambda path: Image.new("1", (20_000, 20_000)).save(path), "250 million pixels.*smaller"),
    "bright.tif": (lambda path: saved(GREY.astype(np.int32) * 70_000, path), "fit no white of"),
    "dark.tif": (lambda path: saved(GREY.astype(np.int32) - 300, path), "fit no white of"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_whole_picture_is_refused_by_name(name: str, tmp_path: Path) -> None:
    make, reason = REFUSED[name]
    make(tmp_path / name)
    with pytest.raises(PictureError, match=f"{name} .*{reason}"):
        pictures.read(tmp_path / name)


def test_a_photograph_of_a_telephone_is_read(tmp_path: Path) -> None:
    Image.new("1", (12_000, 9_000), 1).save(tmp_path / "phone.png")
    assert (pictures.read(tmp_path / "phone.png") == 255).all()


UPRIGHT = np.random.default_rng(1).integers(0, 256, (40, 60), dtype=np.uint8)
KINDS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "two colours": lambda grey: grey > 127,
    "8 bits": lambda grey: grey,
    "16 bits": lambda grey: grey.astype(np.uint16) * 257,
    "colour": lambda grey: np.stack([grey] * 3, axis=2),
    "transparent": lambda grey: np.dstack([*[grey] * 3, np.full_like(grey, 255)]),
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("compression", ["png", None, "tiff_lzw", "tiff_deflate", "packbits"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_turned_as_its_png_is(
    kind: str, compression: str | None, orientation: int, tmp_path: Path
) -> None:
    """Against Pillow's own turning of the picture of 8 bits, which needs no file."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    turns = {
        **{1: [], 2: ["FLIP_LEFT_RIGHT"], 3: ["ROTATE_180"], 4: ["FLIP_TOP_BOTTOM"], 5: ["TRANSPOSE"]},
        **{6: ["ROTATE_270"], 7: ["TRANSVERSE"], 8: ["ROTATE_90"]},
    }
    upright = Image.fromarray(
        np.where(UPRIGHT > 127, 255, 0).astype(np.uint8) if kind == "two colours" else UPRIGHT
    )
    for turn in turns[orientation]:
        upright = upright.transpose(Image.Transpose[turn])
    upright.save(tmp_path / "upright.png")
    options: dict[str, Any] = {} if compression in ("png", None) else {"compression": compression}
    path = tmp_path / ("turned.png" if compression == "png" else "turned.tif")
    assert np.array_equal(
        pictures.read(saved(KINDS[kind](UPRIGHT), path, exif=exif, **options)),
        pictures.read(tmp_path / "upright.png"),
    )


@pytest.mark.parametrize(
    ("stored", "white"),
    [(GREY.astype(np.int32), "255"), (GREY.astype(np.uint16) * 16, "4,095"), (GREY.astype(np.uint16), "255")],
    ids=["8 bits in 32", "12 bits in 16", "8 bits in 16"],
)
def test_the_white_of_an_odd_depth_is_found_and_said(stored: np.ndarray, white: str, tmp_path: Path) -> None:
    with pytest.warns(PictureWarning, match=f"odd.tif: .* white is {white}"):
        found = pictures.read(saved(stored, tmp_path / "odd.tif"))
    np.testing.assert_allclose(found[..., 0], GREY, rtol=0, atol=1)
