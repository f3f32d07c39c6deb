"""Figures of training: curves by epoch."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from helpers.figures import style
from helpers.figures.style import EPOCHS, GREY, NARROW, Array, Figure, cautions, styled
from helpers.records import published
from helpers.records.run import Run
from helpers.text import beside, percent

LEAST_APART = 0.17
"""Part of the vertical axis that lies between two labels, at least."""


def _curve(label: str, run: Run, stage: str, metric: str) -> Array:
    values = getattr(run.stage(stage), metric)
    if not values:
        raise ValueError(f"run {label!r} has no {metric!r} in {stage}: choose another stage")
    return np.asarray(values)


@styled
def learning_curves(runs: Mapping[str, Run], title: str = "", stages: Sequence[str] = ("stage2",)) -> Figure:
    """Training (dashed) and validation (solid) accuracy of up to five runs on one scale, stage after stage.

    A stage that a run does not have is left out; where one follows another stands a dotted line. The x axis
    counts passes over the training set. A hollow marker is a single optimizer step that a published log calls
    an epoch, at the pass that it follows.
    Raises ValueError for a run with none of the stages.
    """
    note, described = cautions(runs), []
    figure, axes = style.panel(3.6, NARROW)
    ends = [
        _draw_run(axes, label, runs[label], stages, how) for label, how in style.line_styles(runs).items()
    ]
    middles = [(train + val) / 2 for _, train, val in ends]
    heights = style.apart(middles, LEAST_APART * np.ptp(axes.get_ylim()))
    step = 0.02 * axes.dataLim.x1
    edge = axes.dataLim.x1 + step * (len(runs) + 1)
    aside: dict[str, Any] = {"xytext": (4, 0), "textcoords": "offset points", "va": "center"}
    for number, (label, properties) in enumerate(style.line_styles(runs).items(), 1):
        (last, train, val), colour = ends[number - 1], properties["color"]
        gap, side = beside(train - val), last + step * number  # side by side, as runs may end alike
        axes.annotate("", (side, val), (side, train), arrowprops={"arrowstyle": "<->", "color": colour})
        place = edge, heights[number - 1]
        axes.annotate(f"{label}:\n{gap}", place, color=colour, annotation_clip=False, **aside)
        described.append(f"{label} ends after {last} with validation {percent(val)}, training {gap} it")
    _mark_stages(axes, runs, stages)
    axes.set_xlim(0.5, edge)
    axes.set_xlabel(EPOCHS)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    style.percent_axis(axes.yaxis, "accuracy")
    dashes = (("training", "--"), ("validation", "-"))
    style.legend_above(axes, [Line2D([], [], color=GREY, ls=dash, label=name) for name, dash in dashes])
    counts = {
        label: sum(len(published.one_step_epochs(run, stage)) for stage in stages)
        for label, run in runs.items()
    }
    steps = ", ".join(f"{count} of {label}" for label, count in counts.items() if count)
    hollow = f'Hollow: logged "epochs" that were a single optimizer step, {steps}' if steps else ""
    ends_said = "; ".join(described)
    return style.finished(figure, title or ends_said, f"Accuracy by epoch: {ends_said}", hollow, note)


def _mark_stages(axes: Axes, runs: Mapping[str, Run], stages: Sequence[str]) -> None:
    """A dotted line where a second stage begins."""
    whole = [run for run in runs.values() if all(len(run.stage(stage)) for stage in stages)]
    for passes in {len(published.real_epochs(run, stages[0])) for run in whole if len(stages) > 1}:
        axes.axvline(passes + 0.5, color=GREY, linestyle=":", linewidth=1.4)
        axes.text(passes + 0.8, 0.02, "second stage", color=GREY, transform=axes.get_xaxis_transform())


def _draw_run(
    axes: Axes, label: str, run: Run, stages: Sequence[str], properties: Mapping[str, Any]
) -> tuple[int, float, float]:
    """One run's curves; gives its passes, and the accuracy of training and of validation after the last."""
    had = [stage for stage in stages if len(run.stage(stage))] or stages
    before, drawn = 0, {"accuracy": "--", "val_accuracy": "-"}
    lines: dict[str, list[Array]] = {metric: [] for metric in drawn}
    for stage in had:
        real, single = published.real_epochs(run, stage), published.one_step_epochs(run, stage)
        for metric in drawn:
            values = _curve(label, run, stage, metric)
            lines[metric].append(values[real])
            hollow: dict[str, Any] = {"linestyle": "none", "mfc": "white", "ms": 3, "alpha": 0.6}
            axes.plot(before + published.passes(run, stage)[single], values[single], **hollow, **properties)
        before += len(real)
    whole = {metric: np.concatenate(parts) for metric, parts in lines.items()}
    for metric, dash in drawn.items():
        axes.plot(np.arange(1, before + 1), whole[metric], dash, markevery=max(1, before // 8), **properties)
    train, val = (float(whole[metric][-1]) for metric in drawn)
    return before, train, val
