"""How time and disk grow with images, their size, depth and experiments: measured points, fitted lines."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator

from helpers.analysis.speed import ALONG, COSTS, Bench, Law
from helpers.figures import style
from helpers.figures.style import GREY, NARROW, Figure, dataset_note, styled
from helpers.text import duration

TIMES, BYTES = ("storing_seconds", "epoch_seconds"), "stored_bytes"
SELECTING = {"plain": "plain Keras, all", "ours": "ours, with the store"}
"""What a selection among experiments takes, by way."""
LEAST_APART = 1.22
"""Factor between two sizes that are named on an axis."""


@styled
def cost_growth(bench: Bench, own: int, dataset: str) -> Figure:
    """A row for each size, seconds on the left and gigabytes on the right, all axes logarithmic.

    own: training images of the page's data set, marked where they lie.
    """
    figure = Figure(figsize=(NARROW, 8.8))
    grid = figure.subplots(len(ALONG) + 1, 2)
    looks = style.line_styles([*COSTS.values(), *SELECTING.values()])
    for (time, disk), (along, words) in zip(grid, ALONG.items(), strict=False):
        for cost in TIMES:
            _law(time, bench.law(along, cost), looks[COSTS[cost]])
        law = bench.law(along, BYTES)
        _law(disk, Law(law.sizes, [each / 1e9 for each in law.costs]), looks[COSTS[BYTES]])
        for axes in (time, disk):
            _logarithmic(axes, words, law.sizes)
    for axes in grid[0]:
        axes.axvline(own, color=GREY, linestyle=":", linewidth=1)
    time, legend = grid[-1]
    for way, seconds in bench.sweep.selecting.items():
        time.plot(range(1, len(seconds) + 1), seconds, markevery=[0, -1], **looks[SELECTING[way]])
    _logarithmic(time, "experiments", [1, len(bench.sweep.ours_seconds)])
    grid[0][0].set_title("seconds", fontsize=9.5)
    grid[0][1].set_title("gigabytes", fontsize=9.5)
    for words, look in looks.items():
        legend.plot([], [], label=words, **look)
    legend.set_axis_off()
    legend.legend(loc="center left", bbox_to_anchor=(-0.25, 0.5))
    return style.finished(figure, _title(bench), _described(bench), *_notes(bench, own, dataset))


def _law(axes: Axes, law: Law, look: dict[str, Any]) -> None:
    """Measured costs as points, and the fitted line through them."""
    ends = [min(law.sizes), max(law.sizes)]
    axes.plot(law.sizes, law.costs, linestyle="none", **look)
    axes.plot(ends, [law.at(size) for size in ends], color=look["color"], linewidth=1.2)


def _logarithmic(axes: Axes, words: str, sizes: Any) -> None:
    """sizes: those that were measured, from small to large."""
    axes.set(xscale="log", yscale="log", xlabel=words)
    named = [
        size for size, above in zip(sizes, [*sizes[1:], np.inf], strict=True) if above > LEAST_APART * size
    ]
    axes.xaxis.set_major_locator(FixedLocator(named))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.yaxis.set_major_locator(FixedLocator([digit * 10.0**n for n in range(-4, 7) for digit in (1, 2, 5)]))
    axes.yaxis.set_major_formatter("{x:,g}")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())


def _title(bench: Bench) -> str:
    images, side = (bench.law(along, "epoch_seconds").exponent for along in ("images", "image_size"))
    return f"Twice the images take {2**images:.1f} times as long, twice the side {2**side:.1f} times"


def _described(bench: Bench) -> str:
    parts = [
        f"{COSTS[cost]} against {words}: "
        + ", ".join(
            f"{size:,} {_told(cost, value)}" for size, value in zip(law.sizes, law.costs, strict=True)
        )
        for along, words in ALONG.items()
        for cost in COSTS
        for law in [bench.law(along, cost)]
    ]
    parts += [
        f"{SELECTING[way]}: {duration(float(seconds[-1]))}" for way, seconds in bench.sweep.selecting.items()
    ]
    return "Measured costs and fitted lines. " + ". ".join(parts)


def _told(cost: str, value: float) -> str:
    return f"{value / 1e9:.2g} GB" if cost == BYTES else f"{np.round(value, 1):g} s"


def _notes(bench: Bench, own: int, dataset: str) -> list[str]:
    whose = f"{dataset_note(dataset) or 'CIFAR-10'}: {own:,} training images, the dotted line"
    return [
        "Points: measured once each. Lines: fitted power laws. The experiments all read one store, and in "
        "plain Keras each runs the whole network. Timed on CIFAR-10, "
        f"{bench.processor}, {bench.threads} threads",
        whose,
    ]
