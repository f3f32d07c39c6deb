"""Error against time: every recipe a point, and beside them what the same costs elsewhere."""

from typing import Any

import numpy as np
from matplotlib.ticker import LogLocator

from helpers.analysis.frontier import Frontier
from helpers.figures import style
from helpers.figures.style import GREY, NARROW, PALETTE, Figure, cautions, styled
from helpers.text import percent

LEAST_APART = 0.055
"""Between two labels, of the logarithm of the error."""
LEAST_ERROR = 1e-4
"""Where a recipe without an error is drawn, as the axis has no zero."""
LOOKS = {
    "the study,\non a GPU": ("D", 6),
    "the same in\nplain Keras": ("s", 6),
    "from scratch,\nat best": ("v", 6),
    "in PyTorch": ("^", -6),
}
"""What stands beside the recipes to its marker, and how many points above it it is named."""


@styled
def error_by_time(found: Frontier, target: float) -> Figure:
    """Test error against the seconds of training, both axes logarithmic, as narrow as a phone.

    target: the test accuracy, 0 to 1, whose time the title tells. The line joins the leading recipes.
    """
    figure, axes = style.panel(5.2, NARROW)
    plain, torch = found.in_plain_keras(), found.in_pytorch()
    elsewhere = [[(seconds, each.error) for each, seconds in those] for those in (plain, torch)]
    study = [(found.log.seconds, 1 - found.log.test_accuracy)] if found.log else []
    beside = dict(zip(LOOKS, (study, elsewhere[0], found.from_scratch(), elsewhere[1]), strict=True))
    every, leading = (
        [(each.seconds, max(each.error, LEAST_ERROR)) for each in those]
        for those in (found.recipes, found.leading)
    )
    axes.plot(*zip(*every, strict=True), "o", color=GREY, mfc="white", ms=4)
    axes.plot(*zip(*leading, strict=True), "o-", color=PALETTE[0], drawstyle="steps-post")
    label: dict[str, Any] = {"textcoords": "offset points", "fontsize": 9}
    heights = np.exp(style.apart([float(np.log(error)) for _, error in leading], LEAST_APART))
    for recipe, height in zip(found.leading, heights, strict=True):
        place = recipe.seconds, height
        axes.annotate(recipe.name, place, (-6, -3), color=PALETTE[0], ha="right", va="top", **label)
    for (name, points), colour in zip(beside.items(), PALETTE[1:], strict=False):
        marker, above = LOOKS[name]
        for place in points:
            axes.plot(*place, marker, color=colour, mfc="white")
        if points:
            side = "bottom" if above > 0 else "top"
            axes.annotate(name, points[-1], (0, above), color=colour, ha="center", va=side, **label)
    for recipe, seconds in [*plain, *torch]:
        axes.hlines(recipe.error, recipe.seconds, seconds, PALETTE[2], ":", lw=1, zorder=1)
    axes.set(xscale="log", yscale="log", xlabel="time, from the raw images on (seconds)")
    axes.set(xlim=(axes.dataLim.x0 / 10, 3 * axes.dataLim.x1), ylim=axes.dataLim.intervaly * [0.9, 1.1])
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 4, 5, 6, 8)))
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    style.percent_axis(axes.yaxis, "test error")
    axes.minorticks_off()
    lines = {each.name: [(each.seconds, each.error)] for each in found.leading} | beside
    ends = {
        name: "; ".join(f"{time:,.0f} s {percent(error)}" for time, error in lines[name]) for name in lines
    }
    said = ". ".join(f"{' '.join(name.split())}: {each}" for name, each in ends.items() if each)
    return style.finished(figure, _title(found, target), f"Test error by time. {said}", *_notes(found))


def _title(found: Frontier, target: float) -> str:
    quick = found.quickest(target)
    title = f"{percent(target)} on test {f'takes {quick.seconds:,.0f} s' if quick else 'is not reached'} here"
    if found.log and found.log.test_accuracy >= target:
        title += f", and took the study's GPU {found.log.seconds:,.0f} s"
    return title


def _notes(found: Frontier) -> list[str]:
    run = found.recipes[0].fastest
    computed = "Computed: plain Keras and PyTorch, from the bench's speeds; from scratch, from airbench's "
    computed += "operations and this machine's float32 peak"
    return [
        cautions({each.fastest.id: each.fastest for each in found.recipes}),
        f"Line: no quicker recipe is as good on validation images. Hollow: all others. "
        f"Times: the fastest seed's, on {run.processor}, {run.threads} threads",
        f"Left out: {found.others} experiments timed otherwise" if found.others else "",
        computed if found.bench else "",
    ]
