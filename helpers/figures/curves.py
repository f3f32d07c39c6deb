"""Figures of training: curves by epoch, accuracy by time."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator

from helpers.figures import style
from helpers.figures.style import EPOCHS, GREY, PALETTE, WIDTH, Array, Figure, cautions, dataset_note, styled
from helpers.records import published
from helpers.records.run import Run
from helpers.text import percent, points

LOGARITHMIC_FROM = 20
"""A loss is drawn on a logarithmic axis where its highest value is this many times its lowest, or more."""


def _curve(label: str, run: Run, stage: str, metric: str) -> Array:
    values = getattr(run.stage(stage), metric)
    if not values:
        raise ValueError(f"run {label!r} has no {metric!r} in {stage}: choose another stage or quantity")
    return np.asarray(values)


@styled
def learning_curves(
    runs: Mapping[str, Run],
    stage: str = "stage2",
    quantities: Sequence[str] = ("accuracy",),
    title: str = "",
) -> Figure:
    """Training (dashed) and validation (solid) curves of up to five runs, a panel a quantity.

    `quantities` among 'accuracy', 'loss', 'learning_rate'. The x axis counts passes over the training set. A
    hollow marker is a single optimizer step that a published log calls an epoch, at the pass that it follows.
    """
    note, properties = cautions(runs), style.line_styles(runs)
    figure = Figure(figsize=(WIDTH, 1.2 + 2.3 * len(quantities)))
    panels = figure.subplots(len(quantities), 1, sharex=True, squeeze=False)[:, 0]
    for axes, quantity in zip(panels, quantities, strict=True):
        for label, run in runs.items():
            _draw_curves(axes, label, run, stage, quantity, properties[label])
        _scale(axes, quantity)
    panels[-1].set_xlabel(EPOCHS)
    panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    style.legend_above(panels[0], _line_key(properties))
    counts = {label: len(published.one_step_epochs(run, stage)) for label, run in runs.items()}
    steps = ", ".join(f"{count} of {label}" for label, count in counts.items() if count)
    hollow_note = f'Hollow: logged "epochs" that were a single optimizer step, {steps}' if steps else ""
    ends = "; ".join(_from_to(label, run, stage) for label, run in runs.items())
    described = f"Curves of {', '.join(quantities).replace('_', ' ')} by epoch of {stage}: {', '.join(runs)}"
    return style.finished(figure, title or f"Validation accuracy goes {ends}", described, note, hollow_note)


def _draw_curves(
    axes: Axes, label: str, run: Run, stage: str, quantity: str, properties: Mapping[str, Any]
) -> None:
    """One run's training and validation curve of a quantity; of the learning rate there is but one."""
    real, single = published.real_epochs(run, stage), published.one_step_epochs(run, stage)
    passes, every = published.passes(run, stage), max(1, len(real) // 8)
    lines = {quantity: "-"} if quantity == "learning_rate" else {quantity: "--", f"val_{quantity}": "-"}
    for metric, line in lines.items():
        values = _curve(label, run, stage, metric)
        axes.plot(passes[real], values[real], line, markevery=every, **properties)
        hollow: dict[str, Any] = {"linestyle": "none", "mfc": "white", "ms": 3, "alpha": 0.6}
        axes.plot(passes[single], values[single], **hollow, **properties)


def _scale(axes: Axes, quantity: str) -> None:
    """Name the vertical axis, and make it logarithmic for learning rates and for losses that fall far."""
    if quantity == "accuracy":
        style.percent_axis(axes.yaxis, quantity)
        return
    axes.set_ylabel("learning rate" if quantity == "learning_rate" else f"{quantity} (nats)")
    low, high = axes.dataLim.intervaly
    if quantity == "learning_rate" or high > LOGARITHMIC_FROM * low > 0:
        axes.set_yscale("log")


def _from_to(label: str, run: Run, stage: str) -> str:
    accuracy = _curve(label, run, stage, "val_accuracy")[published.real_epochs(run, stage)]
    return f"from {percent(accuracy[0])} to {percent(accuracy[-1])} ({label})"


@styled
def whole_runs(runs: Mapping[str, Run], title: str = "") -> Figure:
    """Training (dashed) and validation (solid) accuracy of whole runs, stage after stage, on one scale.

    Raises ValueError for a log with epochs of a single step: its passes are fewer than its epochs.
    """
    note, described = cautions(runs), []
    figure, axes = style.panel(3.6)
    for number, (label, properties) in enumerate(style.line_styles(runs).items()):
        run = runs[label]
        stages = [stage for stage in ("stage1", "stage2") if len(run.stage(stage))]
        if any(published.one_step_epochs(run, stage) for stage in stages):
            raise ValueError(f"run {label!r} logged single steps as epochs: draw its stages apart")
        train, val = (
            np.concatenate([_curve(label, run, stage, metric) for stage in stages])
            for metric in ("accuracy", "val_accuracy")
        )
        epochs = np.arange(1, len(val) + 1)
        axes.plot(epochs, train, "--", **properties)
        axes.plot(epochs, val, "-", **properties)
        arrow = {"arrowstyle": "<->", "color": properties["color"]}
        beside = epochs[-1] + 0.4 * (number + 1)
        axes.annotate("", (beside, val[-1]), (beside, train[-1]), arrowprops=arrow)
        gap = points(train[-1] - val[-1])
        # One above the other, because runs may end alike.
        height = val[-1] + (train[-1] - val[-1]) * (0.5 + number) / len(runs)
        axes.text(
            epochs[-1] + 0.4 * len(runs) + 0.3,
            height,
            f"{label}\n{gap}",
            va="center",
            color=properties["color"],
        )
        described.append(f"{label} ends after {epochs[-1]} with training {gap} from validation")
    axes.set_xlim(0.5, 1.2 * axes.dataLim.x1 + 1)
    axes.set_xlabel(EPOCHS)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    style.percent_axis(axes.yaxis, "accuracy")
    style.legend_above(axes, _line_key(style.line_styles(runs)))
    found = title or "; ".join(described)
    return style.finished(figure, found, f"Accuracy by epoch: {'; '.join(described)}", note)


def _line_key(properties: Mapping[str, Mapping[str, Any]]) -> list[Line2D]:
    """The legend's entries: a colour a run, and what is dashed."""
    entries = [Line2D([], [], label=label, **each) for label, each in properties.items()]
    dashes = (("training", "--"), ("validation", "-"))
    return entries + [Line2D([], [], color=GREY, ls=dash, label=name) for name, dash in dashes]


@styled
def train_val_gap(run: Run, stage: str = "stage2") -> Figure:
    """The distance between training and validation accuracy, pass by pass."""
    real, passes = published.real_epochs(run, stage), published.passes(run, stage)
    train, val = (_curve(run.name, run, stage, metric)[real] for metric in ("accuracy", "val_accuracy"))
    epochs, every = passes[real], max(1, len(real) // 8)
    figure, axes = style.panel(3.4)
    axes.fill_between(epochs, train, val, color=PALETTE[0], alpha=0.12, linewidth=0)
    axes.plot(epochs, train, "--s", color=PALETTE[1], label="training", markevery=every)
    axes.plot(epochs, val, "-o", color=PALETTE[0], label="validation", markevery=every)
    gap, end = train[-1] - val[-1], epochs[-1]
    axes.annotate("", (end, val[-1]), (end, train[-1]), arrowprops={"arrowstyle": "<->", "color": GREY})
    beside: dict[str, Any] = {"xytext": (-8, 0), "textcoords": "offset points", "ha": "right", "va": "center"}
    axes.annotate(points(gap), (end, (train[-1] + val[-1]) / 2), **beside)
    axes.set_xlabel(EPOCHS)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    style.percent_axis(axes.yaxis, "accuracy")
    style.legend_above(axes)
    side = "above" if gap >= 0 else "below"
    found = f"Training accuracy ends at {percent(train[-1])}, {100 * abs(gap):.1f} points {side} validation"
    note = "Training accuracy is a mean over the epoch's batches, with dropout and any augmentation at work"
    described = f"Training and validation accuracy of {run.name} over {len(real)} epochs of {stage}"
    return style.finished(figure, found, described, note, cautions({run.name: run}))


@styled
def time_to_accuracy(curves: Mapping[str, tuple[Array, Array]], target: float, dataset: str) -> Figure:
    """Validation accuracy against time, whose axis is logarithmic.

    `curves`: label to (seconds (n,), accuracy in 0 to 1 (n,)).
    """
    figure, axes = style.panel(4.2)
    found: list[str] = []
    soonest: dict[float, str] = {}
    for label, properties in style.line_styles(curves).items():
        seconds, accuracy = map(np.asarray, curves[label])
        axes.plot(seconds / 60, accuracy, label=label, markevery=max(1, len(seconds) // 8), **properties)
        reached = seconds[accuracy >= target]
        found += [f"by {label} after {reached[0] / 60:.1f} min" if len(reached) else f"not by {label}"]
        soonest |= {reached[0]: found[-1]} if len(reached) else {}
    axes.axhline(target, color=GREY, linestyle=":")
    axes.set(xlabel="time (minutes)", xscale="log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.minorticks_off()
    style.percent_axis(axes.yaxis, "validation accuracy")
    style.legend_above(axes, columns=2)
    title = f"{percent(target)} is reached soonest {soonest[min(soonest)] if soonest else 'by none'}"
    described = f"Validation accuracy by time. {percent(target)} is reached: {'; '.join(found)}"
    return style.finished(figure, title, described, dataset_note(dataset))
