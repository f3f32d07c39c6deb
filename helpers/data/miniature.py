"""The miniature: a drawn ten-class image set and a small pre-trained backbone, both embedded.

It stands in where CIFAR-10 or the ImageNet weights cannot be had, so that the whole report still
runs live, and it shows the report's phenomena: a frozen baseline well above chance with a
train-validation gap, a collapse at a too high learning rate, a gain from careful fine-tuning
(tests/engine/test_miniature.py states by what margins). Its numbers say nothing about CIFAR-10.

An image shows one object on a cluttered ground. The object has one of six shapes and one of five
textures: ten of the thirty pairs are the miniature's classes, and the other twenty are the *source*
set, on which the backbone learned what shapes and textures look like. So the backbone knows every
part and has seen none of the ten classes.

helpers/engine/miniature.py draws the source set, pre-trains the backbone and stores it.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from helpers.experiment import SIDE, Experiment, ExperimentError

Array = np.ndarray[Any, Any]
FINGERPRINT = "miniature-2"
"""Names the drawn images; raised whenever a pixel of them changes."""
WEIGHTS = Path(__file__).with_name("miniature_backbone.npz")
"""The pre-trained backbone: every weight as float16, in the order of the layers."""
WEIGHTS_SHA256 = "f368f8820f620bdba0c8680598e3813da460db5eb5374632c20b9503ec8f96e1"
"""Of the file WEIGHTS, in hexadecimal."""
IMAGE_SIZE = 48
"""Side of the square image that the backbone was pre-trained on, in pixels."""
RATE = 30.0
"""Factor on stage 2's learning rates: an epoch has a twentieth of CIFAR-10's optimizer steps."""
SCRAPS, REACH, SIZES, CONTRAST, NOISE, WIDTHS = 3, 0.3, (0.5, 0.85), (0.5, 1.0), (0.02, 0.2), (0.22, 0.42)
BLUR = 0.35
"""Half the range about its shape's colour that the colour of an object varies over, of 1."""
SPLITS = {"train": 2000, "val": 1000, "test": 2000}
SHAPES = ("disc", "ring", "triangle", "square", "star", "cross")
TEXTURES = ("striped", "checked", "dotted", "hooped", "halved")
COLOURS = np.array(
    ((0.9, 0.2, 0.2), (0.8, 0.8, 0.1), (0.2, 0.8, 0.2), (0.1, 0.8, 0.8), (0.2, 0.3, 0.9), (0.8, 0.2, 0.8))
)
"""The mean colour of each shape: red, yellow, green, cyan, blue, magenta; shares of each channel."""
_PAIRS = list(itertools.product(range(len(SHAPES)), range(len(TEXTURES))))
_TARGET = np.array([pair for pair in _PAIRS if sum(pair) % 3 == 0])
SOURCE = np.array([pair for pair in _PAIRS if sum(pair) % 3 != 0])
"""The classes of the source set: (shape, texture) of each, int (20, 2)."""
CLASSES = tuple(f"{TEXTURES[texture]} {SHAPES[shape]}" for shape, texture in _TARGET)
"""The ten classes' names, by label."""


def stand_in(experiment: Experiment) -> Experiment:
    """The experiment as the miniature runs it: its images, backbone and image size, rates times RATE.

    The factor is the same for every experiment, so that '30 times lower' stays 30 times lower.
    Raises ExperimentError where the experiment is on the miniature already, or names a weights file.
    """
    if experiment.backbone_weights != "imagenet":
        raise ExperimentError(
            f"backbone_weights={experiment.backbone_weights!r}: the miniature stands in for an experiment "
            "with backbone_weights='imagenet' only; leave the field at its default"
        )
    return experiment.replace(
        dataset="miniature",
        backbone_weights="miniature",
        image_size=IMAGE_SIZE,
        learning_rate=RATE * experiment.learning_rate,
    )


# The drawing --------------------------------------------------------------------------------------
# Only + - * / sqrt floor, comparisons and uniform random numbers: IEEE arithmetic rounds these the
# same way everywhere, so the pixels are the same on every machine and no libm can shift them.


@functools.cache
def images(split: str) -> tuple[Array, Array]:
    """The miniature's images and labels of one split, the same on every machine.

    Row i shows class i % 10, so every leading part of a split is balanced.

    split: a key of SPLITS. Returns uint8 (n, 32, 32, 3) and int64 (n,), both read-only, with n from SPLITS.
    """
    pixels, labels = _draw(_TARGET, SPLITS[split], stream=list(SPLITS).index(split))
    pixels.setflags(write=False)
    labels.setflags(write=False)
    return pixels, labels


def source_images(count: int, epoch: int) -> tuple[Array, Array]:
    """`count` images and labels (0 to 19) of the source set; every epoch has new ones."""
    return _draw(SOURCE, count, stream=1000 + epoch)


def _draw(pairs: Array, count: int, stream: int) -> tuple[Array, Array]:
    """`count` images of the classes that `pairs` (shape, texture) lists, and their labels."""
    labels = np.arange(count) % len(pairs)
    rng = np.random.Generator(np.random.PCG64(stream))
    parts = [_render(pairs[part], rng) for part in np.array_split(labels, max(1, count // 500))]
    return np.concatenate(parts), labels


def _render(pairs: Array, rng: np.random.Generator) -> Array:
    """One image for every (shape, texture) in `pairs` (n, 2); uint8 (n, 32, 32, 3)."""
    n = len(pairs)

    def uniform(low: float, high: float, *channels: int) -> Array:
        """A number per image, or one per channel, shaped to multiply (n, 32, 32) or (n, 32, 32, 3)."""
        return low + (high - low) * rng.random((n, 1, 1, *channels))

    image = _mix(uniform(0, 1, 3), uniform(0, 1, 3), _clouds(rng.random((n, 5, 5))))
    for _ in range(SCRAPS):  # plain shapes as clutter, so that a shape alone proves nothing
        scrap = np.floor(len(SHAPES) * rng.random(n))
        u, v = _pose(uniform, reach=1.0)
        image = _mix(image, uniform(0, 1, 3), _covered(scrap, u, v, uniform(0.1, 0.3)))
    u, v = _pose(uniform, reach=REACH)
    size = uniform(*SIZES)
    # Each shape has a colour of its own, blurred so that neighbours overlap: it is learned first.
    light = COLOURS[pairs[:, 0], None, None] + uniform(-BLUR, BLUR, 3)
    dark = light * uniform(0, 0.5, 1)
    fill = _mix(light, _mix(light, dark, uniform(*CONTRAST)), _texture(pairs[:, 1], u, v, size, uniform))
    image = _mix(image, fill, _covered(pairs[:, 0], u, v, size))
    noise = rng.random((n, SIDE, SIDE, 3)) + rng.random((n, SIDE, SIDE, 3)) - 1.0
    image = image + uniform(*NOISE, 1) * noise
    return np.clip(np.floor(256.0 * image), 0, 255).astype(np.uint8)


def _mix(below: Array, above: Array, share: Array) -> Array:
    """`above` over `below` (n, 32, 32, 3), where `share` (n, 32, 32) or a number is its opacity."""
    return below + (above - below) * share[..., None]


def _clouds(knots: Array) -> Array:
    """Smooth noise (n, 32, 32) in 0 to 1: `knots` (n, k, k), interpolated bilinearly."""
    place = np.arange(SIDE) * (knots.shape[1] - 1) / SIDE
    low = np.floor(place).astype(int)
    share = place - low
    rows = knots[:, low] + (knots[:, low + 1] - knots[:, low]) * share[:, None]
    return rows[:, :, low] + (rows[:, :, low + 1] - rows[:, :, low]) * share


def _pose(uniform: Callable[..., Array], reach: float) -> tuple[Array, Array]:
    """The pixels' coordinates as the object sees them, (n, 32, 32) each: shifted and turned.

    The image spans -1 to 1 both ways; the object's centre lies within `reach` of the image's.
    """
    axis = (2.0 * np.arange(SIDE) + 1.0) / SIDE - 1.0
    x, y = axis - uniform(-reach, reach), axis[:, None] - uniform(-reach, reach)
    t, side = uniform(-1.0, 1.0), np.where(uniform(-1.0, 1.0) < 0, -1.0, 1.0)
    cos, sin = side * (1 - t * t) / (1 + t * t), side * 2 * t / (1 + t * t)  # a point of the unit circle
    return cos * x + sin * y, cos * y - sin * x


def _covered(shape: Array, u: Array, v: Array, size: Array) -> Array:
    """Share of each pixel (n, 32, 32), 0 to 1, that each image's shape of radius `size` covers."""
    distance = np.empty(u.shape)
    for index, name in enumerate(SHAPES):
        rows = shape == index
        distance[rows] = _distance(name, u[rows] / size[rows], v[rows] / size[rows]) * size[rows]
    return np.clip(0.5 - distance * (SIDE / 2), 0.0, 1.0)


def _distance(shape: str, u: Array, v: Array) -> Array:
    """About the signed distance from the edge of a shape of radius 1, negative inside; like u."""
    if shape == "disc":
        return np.sqrt(u * u + v * v) - 0.85
    if shape == "ring":
        return np.abs(np.sqrt(u * u + v * v) - 0.7) - 0.25
    if shape == "square":
        return np.maximum(np.abs(u), np.abs(v)) - 0.75
    if shape == "cross":
        return np.maximum(np.minimum(np.abs(u), np.abs(v)) - 0.32, np.maximum(np.abs(u), np.abs(v)) - 0.95)
    # A polygon lies inside every one of its edges' lines; the points of a star outside just one.
    edges = 3 if shape == "triangle" else 5
    turns = [2 * math.pi * edge / edges for edge in range(edges)]
    lines = np.sort([u * round(math.cos(a), 9) + v * round(math.sin(a), 9) for a in turns], axis=0)
    return lines[-1] - 0.55 if shape == "triangle" else lines[-2] - 0.38


def _texture(texture: Array, u: Array, v: Array, size: Array, uniform: Callable[..., Array]) -> Array:
    """The share of the second colour (n, 32, 32), 0 to 1, in each image's texture."""
    width, shift = uniform(*WIDTHS), uniform(0.0, 1.0)
    across, along = u / width + shift, v / width
    waves = {
        "striped": _wave(across),
        "checked": _wave(across) * _wave(along) + (1 - _wave(across)) * (1 - _wave(along)),
        "dotted": _wave(across) * _wave(along),
        "hooped": _wave(np.sqrt(u * u + v * v) / width + shift),
        "halved": np.clip(0.5 + (u + (shift - 0.5) * size) * (SIDE / 2), 0.0, 1.0),
    }
    return np.choose(texture[:, None, None], [waves[name] for name in TEXTURES])


def _wave(phase: Array) -> Array:
    """A soft-edged square wave of period 1, in 0 to 1."""
    ramp = np.abs(2.0 * (phase - np.floor(phase)) - 1.0)
    return np.clip(0.5 + 3.0 * (ramp - 0.5), 0.0, 1.0)
