"""Drawings of what words explain badly."""

import math
import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from helpers.figures import style
from helpers.figures.style import GREY, NARROW, PALETTE, Array, Figure, dataset_note, styled

# Where things stand from left to right; an image as it is stored is 0.9 wide.
SHAPES = {"image": 0.45, "enlarged": 2.5, "stored": 6.7, "pooled": 9.84, "answer": 12.15}
PARTS = {"prefix": (4.05, "frozen"), "suffix": (7.95, "trains"), "head": (10.3, "trains")}
ARROWS = (0.95, 1.45), (3.55, 4), (5.4, 5.95), (9.3, 9.7), (9.98, 10.25), (11.65, 11.85)
CUT = 7.7
TEXT: dict[str, Any] = {"ha": "center", "fontsize": 8.5}
ARROW: dict[str, Any] = {"arrowstyle": "->", "color": GREY}


@styled
def network_layout(
    image: Array,
    enlarged: Array,
    shapes: Mapping[str, tuple[int, ...]],
    weights: Mapping[str, int],
    dataset: str,
) -> Figure:
    """One image on its way through the network: what is computed once and stored, and what trains.

    `image` (side, side, 3) and `enlarged` (larger, larger, 3) in [0, 255]; `shapes` and `weights` as
    `engine.pictures.layout` gives them.
    """
    figure = Figure(figsize=(NARROW, 5.4))
    panels = figure.subplots(2, 1)
    for axes, left in zip(panels, (-0.3, CUT - 1.6), strict=True):
        axes.set(xlim=(left, left + 8.3), ylim=(-2.4, 2.6), aspect="equal")
        axes.set_axis_off()
        axes.plot([CUT, CUT], [-1.15, 1.9], ":", color="black", lw=1.4)
        axes.text(CUT, 2.0, "the cut", va="bottom", weight="bold", **TEXT)
        axes.annotate("", (CUT + 0.2, 0), (CUT - 0.2, 0), arrowprops=ARROW)
    for pixels, left, side in ((image, 0, 0.9), (enlarged, 1.5, 2)):
        panels[0].imshow(pixels.astype(np.uint8), extent=(left, left + side, -side / 2, side / 2), zorder=2)
    _tensors(*panels)
    for start, end in ARROWS:
        panels[int(start > CUT)].annotate("", (end, 0), (start, 0), arrowprops=ARROW)
    for name, x in SHAPES.items():
        panels[int(x > CUT)].text(x, 1.15, f"{name}\n{_by(shapes[name])}", va="bottom", **TEXT)
    for name, (left, what) in PARTS.items():
        _part(panels[int(left > CUT)], left, f"{name}\n{what}\n\n{weights[name] / 1e6:.2f} M\nweights", what)
    values = math.prod(shapes["stored"])
    stored = f"{values:,} values are stored ({2 * values / 1000:.0f} KB)"
    _bracket(panels[0], 0, CUT - 0.2, f"once for every view of an image: {stored}")
    _bracket(panels[1], CUT + 0.2, 12.6, "in every pass, from what is stored")
    way = ", then ".join(f"{name} {_by(shape)}" for name, shape in shapes.items())
    held = ", ".join(f"{name} {count:,}" for name, count in weights.items())
    described = f"In two rows from left: {way}. For every view of an image {stored}. Weights: {held}"
    title = "The frozen part is computed once; what lies above the cut trains"
    return style.finished(figure, title, described, dataset_note(dataset))


def _part(axes: Axes, left: float, words: str, what: str) -> None:
    colour = GREY if what == "frozen" else PALETTE[1]
    axes.add_patch(Rectangle((left, -0.85), 1.3, 1.7, fc=colour, ec="none"))
    axes.text(left + 0.65, 0, words, color="white", va="center", **TEXT)


def _tensors(below: Axes, above: Axes) -> None:
    """What is stored, some channels deep; the pooled features; the answer, which is sure of one class."""
    outline: dict[str, Any] = {"fc": "white", "ec": PALETTE[0], "lw": 1.2}
    for channel in range(4, -1, -1):
        below.add_patch(Rectangle((6.05 + 0.1 * channel, 0.1 * channel - 0.65), 1, 1, **outline))
    above.add_patch(Rectangle((9.75, -0.9), 0.18, 1.8, **outline))
    for row in range(10):
        above.add_patch(Rectangle((11.9, 0.72 - 0.17 * row), 0.6 if row == 5 else 0.2, 0.12, fc=PALETTE[0]))


def _bracket(axes: Axes, left: float, right: float, text: str) -> None:
    axes.plot([left, left, right, right], [-1.2, -1.35, -1.35, -1.2], color=GREY, lw=1)
    axes.text((left + right) / 2, -1.5, textwrap.fill(text, 44), va="top", **TEXT)


def _by(shape: tuple[int, ...]) -> str:
    return " × ".join(f"{size:,}" for size in shape)
