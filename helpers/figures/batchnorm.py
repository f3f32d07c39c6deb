"""Figures of a diagnosed run: what was measured between its epochs, from records alone."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from helpers import text
from helpers.analysis import averages, batchnorm
from helpers.analysis.batchnorm import accuracy, best_statistics, by_epoch, mean
from helpers.analysis.examination import KINDS, Examination
from helpers.figures import style
from helpers.figures.style import GREY, MARKERS, NARROW, PALETTE, WIDTH, Figure, styled
from helpers.records.run import Run
from helpers.text import percent


def _by_seed(groups: Mapping[Any, Sequence[Run]]) -> dict[str, Run]:
    """Every run of the groups, by its group's name and its seed."""
    return {f"{name}, seed {run.seed}": run for name, runs in groups.items() for run in runs}


@styled
def statistics_gap(runs: Mapping[str, Run]) -> Figure:
    """Validation accuracy by epoch with moving and with re-estimated statistics, a panel a run.

    What lies between the two lines is hidden by evaluation. A dashed vertical: there the rate was lowered.
    """
    figure = Figure(figsize=(NARROW, 1.5 + 1.3 * len(runs)))
    panels = figure.subplots(len(runs), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    first = next(iter(runs.values()))
    rate = text.scientific(first.stage2.learning_rate[0])
    found = {label: batchnorm.restored_over_failing_passes(run) for label, run in runs.items()}
    for axes, (label, run) in zip(panels, runs.items(), strict=True):
        _two_lines(axes, run)
        at = found[label]
        part = f": {at.fraction:.0%} of the accuracy lost at {rate} restored" if at.lost > 0 else ""
        axes.set_title(f"{label}{part}", loc="left", fontsize=9.5, pad=3)
        style.percent_axis(axes.yaxis, "accuracy")
    _name_lines(panels[0], first)
    panels[-1].set_xlabel(style.EPOCHS + "; 0: before the first")
    panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    parts = [each.fraction for each in found.values()]
    title = f"Re-estimated statistics restore {text.span(parts, '.0%')} of the accuracy lost at {rate}"
    if min(each.lost for each in found.values()) <= 0:
        title = f"At {rate} accuracy does not lie below its start on average in every run"
    if min(parts) > 0.5:
        title = (
            "Most of the collapse was evaluation: re-estimated, the same weights "
            f"restore {text.span(parts, '.0%')} of the accuracy lost"
        )
    if min(parts) > 1:
        losses = text.span((100 * each.lost for each in found.values()), ".0f")
        title = (
            f"At {rate} evaluation loses {losses} points; re-estimated, the same weights lose none on average"
        )
    lost = text.listed((100 * each.lost for each in found.values()), ".1f")
    described = (
        f"Validation accuracy by epoch. At {rate} it averages {lost} points below its start, re-estimated"
    )
    described += f" ({', '.join(found)})" if len(found) > 1 else ""
    return style.finished(figure, title, described, style.cautions(runs))


def _two_lines(axes: Axes, run: Run) -> None:
    """Both accuracies of a run by epoch, the gap between them, its halvings, and chance."""
    results = batchnorm.course(run).epochs
    epochs = range(len(results))
    moving, reestimated = ([getattr(each, by).value for each in results] for by in ("moving", "reestimated"))
    axes.fill_between(epochs, moving, reestimated, color=PALETTE[1], alpha=0.15, linewidth=0)
    axes.plot(epochs, reestimated, color=PALETTE[0])
    axes.plot(epochs, moving, color=PALETTE[1], marker="o", ms=3.5)
    halved = [epoch + 0.5 for epoch in _last_before_halving(run)]
    axes.vlines(halved, 0, 1, color=GREY, linewidth=1, linestyle="--")
    axes.axhline(_chance(run), color=GREY, linestyle=":", linewidth=1.2)
    axes.set(ylim=(0, 1.04), yticks=(0, 0.25, 0.5, 0.75, 1))


def _last_before_halving(run: Run) -> list[int]:
    return [epoch for epoch, (one, two) in enumerate(pairwise(run.stage2.learning_rate), 1) if two < one]


def _chance(run: Run) -> float:
    return 1 / len(run.class_counts["val"])


def _name_lines(axes: Axes, run: Run) -> None:
    """Say in a panel, above its lines, what they are; and what the verticals and the dotted line are."""
    end = len(run.diagnosis) - 1
    said: dict[str, Any] = {"fontsize": 9, "va": "center"}
    on_white = {"facecolor": "white", "edgecolor": "none", "pad": 1}
    axes.set_ylim(top=1.16)
    axes.text(0, 1.09, "as evaluated", color=PALETTE[1], **said)
    axes.text(end, 1.09, "statistics re-estimated", color=PALETTE[0], ha="right", **said)
    axes.text(end, _chance(run) + 0.1, "chance", color=GREY, ha="right", bbox=on_white, **said)
    for epoch in _last_before_halving(run)[:1]:
        axes.text(epoch + 0.65, 0.2, "rate halved", color=GREY, bbox=on_white, **said)


HALVES = {
    "clean": "both new",
    "means": "new means alone",
    "moving": "as evaluated",
    "variances": "new variances alone",
}


@styled
def accuracy_by_half(runs: Mapping[str, Run]) -> Figure:
    """Validation accuracy by epoch with means, variances, both or none of a batch norm re-estimated.

    A panel a run, whose record must hold the halves.
    """
    figure = Figure(figsize=(NARROW, 1.8 + 1.6 * len(runs)))
    panels = figure.subplots(len(runs), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    properties = style.line_styles(HALVES)
    for axes, (label, run) in zip(panels, runs.items(), strict=True):
        for kind, name in HALVES.items():
            values = [each.value for each in by_epoch(run, statistics=kind)]
            axes.plot(values, label=name, **{**properties[kind], "ms": 3.5, "lw": 1.4})
        axes.text(0.99, 0.06, label, transform=axes.transAxes, ha="right")
        style.percent_axis(axes.yaxis, "accuracy")
        axes.set_ylim(0, 1)
    style.legend_above(panels[0], columns=2)
    panels[-1].set_xlabel(style.EPOCHS + "; 0: before the first")
    panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    lowest = {label: batchnorm.course(run).lowest_epoch("moving").epoch for label, run in runs.items()}
    at = {
        label: {kind: percent(accuracy(run, statistics=kind, epoch=lowest[label]).value) for kind in HALVES}
        for label, run in runs.items()
    }
    words = {label: ", ".join(f"{HALVES[kind]} {each[kind]}" for kind in each) for label, each in at.items()}
    described = "; ".join(f"{label}, epoch {lowest[label]}: {each}" for label, each in words.items())
    means, variances = (", ".join(each[kind] for each in at.values()) for kind in ("means", "variances"))
    title = f"In the lowest epoch new means alone give {means}, new variances alone {variances}"
    return style.finished(figure, title, f"Validation accuracy by epoch. {described}", style.cautions(runs))


@styled
def interventions(groups: Mapping[str, Sequence[Run]]) -> Figure:
    """Validation accuracy after the last epoch, a row an intervention and a mark a seed.

    Filled: as Keras evaluates. Hollow: with the statistics re-estimated on clean training images; at least
    one group's head must have a batch norm.
    """
    every = _by_seed(groups)
    figure, axes = style.panel(2.1 + 0.5 * len(groups), NARROW)
    marks = {"moving": PALETTE[0], "clean": "white"}
    for row, runs in enumerate(groups.values()):
        for offset, run in zip(np.linspace(-0.3, 0.3, len(runs) + 2)[1:-1], runs, strict=True):
            for number, (kind, fill) in enumerate(marks.items()):
                if kind in run.diagnosis[-1].accuracy["val"]:
                    middle, low, high = style.columns([accuracy(run, statistics=kind)])
                    look: dict[str, Any] = {"color": PALETTE[number], "marker": MARKERS[number], "mfc": fill}
                    style.intervals(axes, middle, low, high, [row + offset], **look)
        axes.plot([mean(runs, epoch=0)] * 2, [row - 0.4, row + 0.4], color=GREY, linestyle=":")
    style.rows(axes, list(groups))
    style.percent_axis(axes.xaxis, "validation accuracy")
    legend = [
        Line2D([], [], color=PALETTE[0], marker=MARKERS[0], ls="none", label="as evaluated"),
        Line2D([], [], color=PALETTE[1], marker=MARKERS[1], ls="none", mfc="white", label="re-estimated"),
        Line2D([], [], color=GREY, ls=":", label="before fine-tuning"),
    ]
    style.legend_above(axes, legend, columns=1)
    accuracies = []
    for name, runs in groups.items():
        repeats = batchnorm.Repeats(runs)
        anew = f", re-estimated {repeats.described('clean')}" if best_statistics(runs[0]) == "clean" else ""
        accuracies.append(f"{name} {repeats.described()}{anew}")
    described = (
        "Validation accuracy after the last epoch, a mark a seed, 95% intervals. By seed: "
        f"{'; '.join(accuracies)}"
    )
    gaps = {
        name: max(0.0, *map(batchnorm.statistics_gap, runs))
        for name, runs in groups.items()
        if best_statistics(runs[0]) == "clean"
    }
    most, least = (end(gaps, key=gaps.__getitem__) for end in (max, min))
    found_title = f"Evaluation hides up to {100 * gaps[most]:.1f} points ({most})"
    if least != most:
        found_title += f", and at most {100 * gaps[least]:.1f} ({least})"
    return style.finished(figure, found_title, described, style.cautions(every))


@styled
def accuracy_by_rate(groups: Mapping[float, Sequence[Run]]) -> Figure:
    """Validation accuracy after the last epoch against the learning rate, by how the weights are judged.

    groups: learning rate to its runs, one a seed; a mark each. What falls in every colour is lost; what falls
    with moving statistics alone only seems so.
    """
    rates = sorted(groups)
    labels = {**batchnorm.STATISTICS, "probe": "fresh classifier on the features"}
    labels = {kind: labels[kind] for kind in ("moving", "clean", "probe")}
    figure, axes = style.panel(4.2, NARROW)
    for aside, (kind, properties) in zip((0.93, 1, 1.07), style.line_styles(labels).items(), strict=True):
        found = [(rate, run) for rate in rates for run in groups[rate]]
        values = [accuracy(run, statistics=kind).value for _, run in found]
        axes.plot([aside * rate for rate, _ in found], values, ls="none", label=labels[kind], **properties)
    every = _by_seed(groups)
    axes.axhline(mean(list(every.values()), epoch=0), color=GREY, linestyle=":")
    axes.set(xscale="log", xlabel=f"learning rate ({groups[rates[0]][0].experiment.optimizer})", ylim=(0, 1))
    axes.set_xticks(rates, [text.scientific(rate) for rate in rates], minor=False)
    axes.minorticks_off()
    style.percent_axis(axes.yaxis, "validation accuracy")
    style.legend_above(axes, columns=1)
    gaps = {rate: [batchnorm.statistics_gap(run) for run in groups[rate]] for rate in rates}
    worst = max(rates, key=lambda rate: max(gaps[rate]))
    hidden = text.span((100 * gap for gap in gaps[worst]), ".0f")
    found_title = f"At {text.scientific(worst)} evaluation hides {hidden} points that the weights still have"
    repeats = {text.scientific(rate): batchnorm.Repeats(groups[rate]) for rate in rates}
    described = "; ".join(
        f"{rate}: {runs.described()} as evaluated, {runs.described('clean')} re-estimated"
        for rate, runs in repeats.items()
    )
    note = "A mark a seed. Dotted: before fine-tuning. Intervals, of about a point either way, are left out"
    return style.finished(figure, found_title, described, note, style.cautions(every))


def _norm_moves(run: Run) -> bool:
    return run.experiment.head_norm == "batch"


@styled
def active_channels(groups: Mapping[str, Sequence[Run]]) -> Figure:
    """How many channels of the features still vary, by epoch; a colour a group, a line a seed."""
    properties = style.line_styles(groups)
    figure, axes = style.panel(3.9, NARROW)
    found = []
    for name, runs in groups.items():
        counts = [[epoch.active for epoch in run.diagnosis] for run in runs]
        for number, line in enumerate(counts):
            axes.plot(line, label="" if number else name, **{**properties[name], "lw": 1})
        found.append(f"{name} {text.span([line[-1] for line in counts], ',')}")
    axes.set(ylabel="channels that vary", xlabel=style.EPOCHS + "; 0: before the first")
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    style.legend_above(axes, columns=2)
    every = _by_seed(groups)
    first = next(iter(every.values())).diagnosis[0].active
    ends = {
        moves: [run.diagnosis[-1].active for run in every.values() if _norm_moves(run) is moves]
        for moves in (True, False)
    }
    title = f"Of {first:,} channels {text.span(ends[True] + ends[False], ',')} still vary at the end"
    if ends[True] and ends[False]:
        title = (
            f"At rates that fail, at most {max(ends[True]):,} of {first:,} channels still vary where the "
            f"head's batch norm moves; elsewhere at least {min(ends[False]):,}"
        )
    over = f"variance over the validation images exceeds {batchnorm.ACTIVE_VARIANCE:g}"
    described = f"Channels of the pooled features whose {over}, a line a seed. At the end: {'; '.join(found)}"
    return style.finished(figure, title, described, style.cautions(every))


@styled
def weight_drift(runs: Mapping[str, Run]) -> Figure:
    """How far each kernel moved and how similar each block's activations stayed, after the last epoch.

    Above: norm of the change over the norm before, layer by layer. Below: linear CKA with the activations
    before stage 2, block by block; 1 means the same up to rotation and scale.
    """
    properties = style.line_styles(runs)
    parts = {label: (run.diagnosis[-1].drift, run.diagnosis[-1].cka) for label, run in runs.items()}
    kernels, blocks = map(list, next(iter(parts.values())))
    figure = Figure(figsize=(NARROW, 2 + 0.22 * (len(kernels) + len(blocks))))
    above, below = figure.subplots(2, 1, height_ratios=(len(kernels), len(blocks)))
    for label, both in parts.items():
        for axes, part in zip((above, below), both, strict=True):
            axes.plot(list(part.values()), range(len(part)), label=label, **properties[label])
    above.set(xscale="log", xlabel="relative change of the kernel")
    below.set(xlabel="CKA with before (0 to 1)", xlim=(0, 1.05))
    style.rows(above, kernels)
    style.rows(below, blocks)
    style.legend_above(above)
    last = {label: list(run.diagnosis[-1].cka.items())[-1] for label, run in runs.items()}
    found = "; ".join(f"{label} {abs(value):.2f}" for label, (_, value) in last.items())
    block = next(iter(last.values()))[0]
    title = f"How much the last features ({block}) stay what they were (CKA): {found}"
    described = f"Kernels' relative change and blocks' CKA of {', '.join(runs)}"
    return style.finished(figure, title, described, style.cautions(runs))


READINGS = {
    "lag": "The averages lag: the longer, the more they lose",
    "swing": "The features swing: shorter averages lose more than long ones",
}


@styled
def lag_or_swing(runs: Mapping[str, Run]) -> Figure:
    """What averages of each length lose, and how far the features move in as many steps; a line a run.

    The runs were diagnosed with "steps".
    """
    properties = style.line_styles(runs)
    figure = Figure(figsize=(NARROW, 5.2))
    above, below = figure.subplots(2, 1)
    for name, run in runs.items():
        for axes, found in ((above, averages.lost(run)), (below, averages.moved(run))):
            axes.plot(list(found), list(found.values()), label=name, **properties[name])
    above.set(xscale="log", xlabel="memory of the average (steps)")
    style.percent_axis(above.yaxis, "")
    above.set_ylabel("accuracy lost (points)")
    below.set(xscale="log", yscale="log", xlabel="steps between two batches")
    below.set_ylabel("means apart (std. deviations)")
    below.yaxis.set_major_formatter("{x:g}")
    above.set_ylim(bottom=min(0, above.get_ylim()[0]))
    for axes in (above, below):
        axes.xaxis.set_major_formatter("{x:,.0f}")
    style.legend_above(above, columns=3)
    read = {averages.reading(run) for run in runs.values()}
    loss, way = (
        {steps: float(np.mean([each[steps] for each in found])) for steps in found[0]}
        for found in ([measure(run) for run in runs.values()] for measure in (averages.lost, averages.moved))
    )
    most = max((steps for steps in loss if steps <= averages.LONG), key=loss.__getitem__)
    moves = "move on" if way[averages.LONG] >= averages.FARTHER * way[averages.SHORT] else "do not move on"
    neither = (
        f"By the rule neither lag nor swing: the features {moves}, and of averages up to {averages.LONG:,} "
        f"steps those over {most:,} lose most"
    )
    title = "The runs do not agree on lag or swing"
    if len(read) == 1:
        title = READINGS.get(read.pop(), neither)
    points = ", ".join(f"{100 * value:.1f} ({steps:,})" for steps, value in loss.items())
    distances = ", ".join(f"{value:.2f} ({steps:,})" for steps, value in way.items())
    described = (
        f"Points that averages lose, by their steps: {points}; standard deviations that the means move, by "
        f"the steps between: {distances}"
    )
    note = (
        "Lost against statistics re-estimated at the same step; passes after the first. The rule compares "
        f"averages up to {averages.LONG:,} steps"
    )
    return style.finished(figure, title, described, note, style.cautions(runs))


@styled
def examination(found: Examination) -> Figure:
    """What a network answers by kind of statistics, and how far each batch norm's own are from fresh ones."""
    figure = Figure(figsize=(WIDTH, 6.0 if found.norms else 2.2))
    panels = figure.subplots(3 if found.norms else 1, 1, squeeze=False)[:, 0]
    kinds = [kind for kind in KINDS if kind in found.correct]
    middle, low, high = style.columns([found.accuracy(kind) for kind in kinds])
    style.intervals(panels[0], middle, low, high, range(len(kinds)), marker="o", color=PALETTE[0])
    style.rows(panels[0], [KINDS[kind] for kind in kinds])
    style.percent_axis(panels[0].xaxis, "accuracy, with 95% interval")
    if found.norms:
        places = range(1, 1 + len(found.norms))
        bars: dict[str, Any] = {"color": PALETTE[1], "hatch": "//", "edgecolor": "white"}
        panels[1].bar(places, [norm.mean for norm in found.norms], **bars)
        panels[1].set_ylabel("means off by\n(std. deviations)")
        panels[2].bar(places, [norm.variance - 1 for norm in found.norms], bottom=1, **bars)
        panels[2].set(xlabel="batch norm, from the pixels upwards", ylabel="variances off by\n(a factor)")
        panels[2].set_yscale("log")
        for panel in panels[1:]:
            panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    answered = ", ".join(f"{KINDS[kind]} {found.accuracy(kind)}" for kind in kinds)
    worst = max(found.norms, key=lambda norm: norm.off, default=None)
    note = f"Most off: {worst.name}, {worst}" if worst else ""
    return style.finished(figure, found.title, f"{found.name}: {answered}", note)
