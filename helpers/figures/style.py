"""The one style of every figure: its colours, its parts, and how it is shown and saved.

A figure is readable at 700 pixels wide, tells its series apart by marker, line style or hatching as well
as by colour, and carries alternative text. Figures are made without pyplot: nothing is shown twice,
kept open, or changed for the rest of a notebook.
"""

import base64
import contextlib
import html
import io
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import matplotlib.figure
import numpy as np
import seaborn as sns
from IPython.display import publish_display_data
from matplotlib import font_manager, rc_context, rcdefaults, rcParams
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter

from helpers.analysis.intervals import Proportion
from helpers.data import sources
from helpers.experiment import is_study_data
from helpers.records.run import Run, caution

Array = np.ndarray[Any, Any]
EPOCHS = "epoch (passes over the training images)"


def dataset_note(dataset: str) -> str:
    """What a figure of images must say of their data set; empty for CIFAR-10."""
    if dataset == "miniature":
        return "Miniature: drawn images, not CIFAR-10"
    return "" if is_study_data(dataset) else sources.described(dataset)


def cautions(runs: Mapping[str, Run]) -> str:
    """What a reader must know of the runs; refuses to set numbers of different images side by side."""
    datasets = sorted({run.dataset for run in runs.values()})
    if len({run.images for run in runs.values()}) > 1:
        raise ValueError(
            f"{', '.join(runs)} are runs on {' and '.join(datasets)}, whose numbers do not compare: "
            "draw a figure for each data set"
        )
    labels: dict[str, list[str]] = {}
    for label, run in runs.items():
        labels.setdefault(caution(run), []).append(label)
    if len(labels) == 1:
        return next(iter(labels))
    return ". ".join(f"{', '.join(whose)}: {text}" for text, whose in labels.items() if text)


def columns(shares: Sequence[Proportion]) -> Array:
    """The values of n shares, and the lower and the upper ends of their intervals: (3, n)."""
    return np.array([(share.value, share.low, share.high) for share in shares]).T


PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000")
"""Okabe and Ito's colours (https://jfly.uni-koeln.de/color/) that reach 3:1 on white (WCAG 2.2, 1.4.11)."""
MARKERS = ("o", "s", "^", "D", "v")
GREY = "#595959"
MOST_CLASSES = 20
"""Classes that a figure names, at most."""
LONGEST = 24
"""Characters of a class's name in a figure, at most: a longer one loses its middle."""
WIDTH = 7.0
"""Inches: a figure is shown 700 pixels wide and stored at twice that."""
NARROW = 4.4
"""Inches of a figure that is read on a phone without scrolling."""
STYLE = {
    **sns.axes_style("whitegrid"),
    "font.size": 9.5,
    "axes.labelsize": 9.5,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#E3E3E3",
    "lines.linewidth": 1.8,
    "lines.markersize": 5.5,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.w_pad": 0.1,
}


@contextlib.contextmanager
def _settings(changes: dict[Any, Any]) -> Iterator[None]:
    """Matplotlib's own defaults with these changes: a user's matplotlibrc decides nothing of our figures."""
    with rc_context():
        rcdefaults()
        rcParams.update(changes)
        yield


styled = _settings(STYLE)
"""Decorates a function that draws, so that it draws in this style and changes no other."""


class Figure(matplotlib.figure.Figure):
    """A drawing and, in words, what it shows: `alt_text`, for those who cannot see it."""

    alt_text: str = ""


@_settings({})
def png(figure: Figure) -> bytes:
    """The figure as a PNG file, 200 pixels an inch, that describes itself."""
    content = io.BytesIO()
    figure.savefig(
        content, format="png", dpi=200, metadata={"Description": figure.alt_text, "Software": None}
    )
    return content.getvalue()


def display(figure: Figure) -> None:
    """Show a figure, with its alternative text, as the output of a notebook's cell.

    The output's plain-text form is the alternative text alone, so that nbval can compare its numbers.
    """
    source, alt = base64.b64encode(png(figure)).decode(), html.escape(figure.alt_text)
    width = round(100 * figure.get_figwidth())
    image = f'<img src="data:image/png;base64,{source}" alt="{alt}" width="{width}" style="max-width: 100%">'
    publish_display_data({"text/html": image, "text/plain": figure.alt_text})


def panel(height: float, width: float = WIDTH) -> tuple[Figure, Axes]:
    """A figure, so many inches high and wide, and its only axes."""
    figure = Figure(figsize=(width, height))
    return figure, figure.subplots()


def finished(figure: Figure, title: str, description: str, *notes: str) -> Figure:
    """Add the title, which is the finding, and the notes; all of it is the alternative text."""
    told = (part.replace(r"\$", "$") for part in (title, description, *notes) if part)
    parts = [part[0].upper() + part[1:] for part in told]
    sentences = [f"{part.rstrip('.')}." for part in parts]
    share = figure.get_figwidth() / WIDTH
    title = textwrap.fill(parts[0], round(68 * share), break_on_hyphens=False)
    figure.suptitle(title.replace("$", r"\$"), x=0.01, ha="left", fontsize=11.5, weight="bold")
    note = textwrap.fill(" ".join(sentences[2:]), round(112 * share))
    if note:
        figure.supxlabel(note.replace("$", r"\$"), x=0.01, ha="left", fontsize=8.5, color=GREY)
    figure.alt_text = " ".join(sentences)
    return figure


def class_labels(names: Sequence[str]) -> list[str]:
    """What figures call classes, each another: short, and a number where the font lacks a letter of a name.

    A dollar is escaped: between two of them Matplotlib would read a formula.
    """
    fonts = [font_manager.FontProperties("DejaVu Sans", weight=weight) for weight in ("normal", "bold")]
    drawn = set.intersection(
        *(set(font_manager.get_font(font_manager.findfont(each)).get_charmap()) for each in fonts)
    )
    short = [each if len(each) <= LONGEST else f"{each[:10]}…{each[10 - LONGEST :]}" for each in names]
    known = [each if drawn >= set(map(ord, each)) else f"class {n}" for n, each in enumerate(short, 1)]
    while len(alike := Counter(known)) < len(known):
        known = [f"{each} {n}" if alike[each] > 1 else each for n, each in enumerate(known, 1)]
    return [each.replace("$", r"\$") for each in known]


def line_styles(labels: Iterable[str]) -> dict[str, dict[str, Any]]:
    """A colour and a marker for each label, as matplotlib's keywords."""
    labels = list(labels)
    if not 1 <= len(labels) <= len(PALETTE):
        raise ValueError(f"{len(labels)} series in one figure: it takes 1 to {len(PALETTE)}; draw several")
    return {label: {"color": c, "marker": m} for label, c, m in zip(labels, PALETTE, MARKERS, strict=False)}


def percent_axis(axis: Axis, label: str) -> None:
    """Shares in 0 to 1, shown in per cent."""
    axis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.6g}"))
    axis.set_label_text(f"{label} (%)")


def legend_above(
    axes: Axes, handles: Sequence[Any] | None = None, columns: int = 4, right: bool = False
) -> None:
    """A legend between title and axes, of labelled artists or of `handles`; right: both end together."""
    handles = handles or axes.get_legend_handles_labels()[0]
    columns = min(columns, len(handles))
    loc: Literal["lower left", "lower right"] = "lower right" if right else "lower left"
    axes.legend(handles=handles, ncols=columns, loc=loc, bbox_to_anchor=(int(right), 1), borderaxespad=0.2)


def rows(axes: Axes, names: Sequence[str]) -> None:
    """Name the rows, the first on top."""
    axes.set_yticks(range(len(names)), list(names))
    axes.set_ylim(len(names) - 0.5, -0.5)


def ends(order: Array) -> Array:
    """An order (n,), or where it is longer than MOST_CLASSES its first and its last half of so many."""
    half = MOST_CLASSES // 2
    return order if len(order) <= MOST_CLASSES else np.concatenate([order[:half], order[-half:]])


def classes_note(shown: Sequence[Any] | Array, names: Sequence[str], which: str) -> str:
    """Which classes a figure shows, where it has no room for all of them."""
    return f"{len(shown)} of {len(names):,} classes: {which}" if len(shown) < len(names) else ""


def apart(heights: Sequence[float], least: float) -> list[float]:
    """Heights, moved up where one lies less than `least` above the next below it."""
    moved, below = list(heights), -np.inf
    for place in np.argsort(heights):
        moved[place] = below = max(heights[place], below + least)
    return moved


def intervals(axes: Axes, middle: Any, low: Any, high: Any, rows: Any, **properties: Any) -> None:
    """Points at `middle`, with horizontal intervals from `low` to `high`, on `rows`."""
    reach = [np.subtract(middle, low), np.subtract(high, middle)]
    axes.errorbar(middle, rows, xerr=reach, linestyle="none", elinewidth=1.8, capsize=3, **properties)


def check_pixels(images: Array) -> None:
    """Raise ValueError for images that are not in [0, 255], or look as if they were in [0, 1]."""
    if images.min() < 0 or not 1 < images.max() <= 255:
        low, high = images.min(), images.max()
        raise ValueError(f"pixels run from {low:g} to {high:g}: images in [0, 255] are wanted")


def image_grid(axes: Axes, tiles: Array) -> tuple[Array, Array]:
    """Draw images (rows, columns, side, side, 3) in [0, 255] as a grid; gives the centres along x and y."""
    check_pixels(tiles)
    rows, columns, side = tiles.shape[:3]
    step = side + max(1, side // 12)
    whole = np.full((rows * step, columns * step, 3), 255, np.uint8)
    for row, column in np.ndindex(rows, columns):
        y, x = row * step, column * step
        whole[y : y + side, x : x + side] = np.rint(tiles[row, column])
    axes.imshow(whole, interpolation="nearest")
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.set(xticks=[], yticks=[])
    axes.tick_params(length=0)
    centres = np.arange(max(rows, columns)) * step + side / 2
    return centres[:columns], centres[:rows]
