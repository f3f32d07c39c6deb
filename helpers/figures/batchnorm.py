"""Figures of a diagnosed run: what was measured between its epochs, from records alone."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from helpers import text
from helpers.analysis import averages, batchnorm
from helpers.analysis.batchnorm import accuracy, best_statistics, by_epoch, mean, statistics_gap
from helpers.analysis.examination import KINDS, Examination
from helpers.figures import style
from helpers.figures.style import GREY, MARKERS, PALETTE, WIDTH, Figure, styled
from helpers.records.run import Run
from helpers.text import percent

STATISTICS = {
    "moving": "moving averages (Keras' evaluation)",
    "clean": "re-estimated, clean training images",
    "augmented": "re-estimated, augmented training images",
    "batch": "each batch's own",
}
"""Kinds of batch-norm statistics that `diagnosis` evaluates with, and what a figure calls them."""
IMAGES = {"val": "validation images", "val_augmented": "augmented validation images"}


def _by_seed(groups: Mapping[Any, Sequence[Run]]) -> dict[str, Run]:
    """Every run of the groups, by its group's name and its seed."""
    return {f"{name}, seed {run.seed}": run for name, runs in groups.items() for run in runs}


@styled
def accuracy_by_statistics(run: Run) -> Figure:
    """Validation accuracy by epoch with each kind of statistics, on plain images and on augmented ones."""
    figure = Figure(figsize=(WIDTH, 5.4))
    epochs = range(len(run.diagnosis))
    for axes, (images, words) in zip(
        figure.subplots(2, 1, sharex=True, sharey=True), IMAGES.items(), strict=True
    ):
        for (kind, label), properties in zip(
            STATISTICS.items(), style.line_styles(STATISTICS).values(), strict=True
        ):
            if kind not in run.diagnosis[0].accuracy[images]:
                continue
            found = by_epoch(run, images, kind)
            middle, low, high = style.columns(found, "value low high")
            axes.plot(epochs, middle, label=label, **properties)
            axes.fill_between(epochs, low, high, color=properties["color"], alpha=0.12, linewidth=0)
        style.percent_axis(axes.yaxis, f"{words}\naccuracy")
        if images == "val":
            style.legend_above(axes, columns=2)
    axes.set_xlabel(style.EPOCHS + "; 0: before the first")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    moving, reestimated = (
        [each.value for each in by_epoch(run, "val", kind)] for kind in ("moving", best_statistics(run))
    )
    worst = int(np.argmax(np.subtract(reestimated, moving)))
    found_title = (
        f"After epoch {worst} the same weights give {percent(moving[worst])} with moving averages and "
        f"{percent(reestimated[worst])} re-estimated"
    )
    note = (
        "Bands: 95% intervals. Weights, images and labels are the same in every line of a panel; where one "
        "line shows, others lie beneath it"
    )
    described = f"Validation accuracy by epoch of {run.name}, with four kinds of batch-norm statistics"
    return style.finished(figure, found_title, described, note, style.cautions({run.name: run}))


@styled
def interventions(groups: Mapping[str, Sequence[Run]]) -> Figure:
    """Validation accuracy after the last epoch, a row an intervention and a mark a seed.

    Filled: as Keras evaluates. Hollow: with the statistics re-estimated on clean training images; at least
    one group's head must have a batch norm.
    """
    every = _by_seed(groups)
    figure, axes = style.panel(1.9 + 0.5 * len(groups))
    marks = {"moving": PALETTE[0], "clean": "white"}
    for row, runs in enumerate(groups.values()):
        for offset, run in zip(np.linspace(-0.3, 0.3, len(runs) + 2)[1:-1], runs, strict=True):
            for number, (kind, fill) in enumerate(marks.items()):
                if kind in run.diagnosis[-1].accuracy["val"]:
                    middle, low, high = style.columns([accuracy(run, statistics=kind)], "value low high")
                    properties: dict[str, Any] = {
                        "color": PALETTE[number],
                        "marker": MARKERS[number],
                        "mfc": fill,
                    }
                    style.intervals(axes, middle, low, high, [row + offset], **properties)
        axes.plot([mean(runs, epoch=0)] * 2, [row - 0.4, row + 0.4], color=GREY, linestyle=":")
    style.rows(axes, list(groups))
    style.percent_axis(axes.xaxis, "validation accuracy")
    legend = [
        Line2D([], [], color=PALETTE[0], marker=MARKERS[0], ls="none", label="as evaluated"),
        Line2D([], [], color=PALETTE[1], marker=MARKERS[1], ls="none", mfc="white", label="re-estimated"),
        Line2D([], [], color=GREY, ls=":", label="before fine-tuning"),
    ]
    style.legend_above(axes, legend)
    accuracies = []
    for name, runs in groups.items():
        accuracies.append(f"{name} {percent(mean(runs))}")
        if best_statistics(runs[0]) == "clean":
            accuracies[-1] += f", re-estimated {percent(mean(runs, statistics='clean'))}"
    described = (
        "Validation accuracy after the last epoch, a mark a seed, 95% intervals; averaged over seeds: "
        f"{'; '.join(accuracies)}"
    )
    gaps = {
        name: max(0.0, *map(statistics_gap, runs))
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

    groups: learning rate to its runs, one a seed. The filled band, between re-estimated and moving
    statistics, is accuracy that only seems lost. What falls in every line is lost.
    """
    rates = sorted(groups)
    labels = {**STATISTICS, "probe": "fresh linear probe on the features"}
    del labels["augmented"]
    figure, axes = style.panel(4.0)
    means = {}
    for (kind, label), properties in zip(labels.items(), style.line_styles(labels).values(), strict=True):
        means[kind] = np.array([mean(groups[rate], statistics=kind) for rate in rates])
        found = [[accuracy(run, statistics=kind) for run in groups[rate]] for rate in rates]
        low = [min(share.low for share in shares) for shares in found]
        high = [max(share.high for share in shares) for shares in found]
        reach = [means[kind] - low, high - means[kind]]
        axes.errorbar(rates, means[kind], yerr=reach, capsize=3, label=label, **properties)
    axes.fill_between(rates, means["moving"], means["clean"], color=PALETTE[0], alpha=0.1, linewidth=0)
    every = _by_seed(groups)
    axes.axhline(mean(list(every.values()), epoch=0), color=GREY, linestyle=":")
    axes.set(xscale="log", xlabel=f"learning rate ({groups[rates[0]][0].experiment.optimizer})", ylim=(0, 1))
    axes.set_xticks(rates, [text.scientific(rate) for rate in rates], minor=False)
    axes.minorticks_off()
    style.percent_axis(axes.yaxis, "validation accuracy")
    style.legend_above(axes, columns=2)
    worst = rates[(means["clean"] - means["moving"]).argmax()]
    points = text.span((100 * statistics_gap(run) for run in groups[worst]), ".0f")
    found_title = f"At {text.scientific(worst)} evaluation hides {points} points that the weights still have"
    described = "; ".join(
        f"{text.scientific(rate)}: {percent(moving)} as evaluated, {percent(reestimated)} re-estimated"
        for rate, moving, reestimated in zip(rates, means["moving"], means["clean"], strict=True)
    )
    reaches = "from the lowest to the highest end of the seeds' 95% intervals"
    note = f"Dotted: before fine-tuning. Bars: {reaches}; lines: means"
    return style.finished(figure, found_title, described, note, style.cautions(every))


@styled
def active_channels(groups: Mapping[str, Sequence[Run]]) -> Figure:
    """How many channels of the features still vary, by epoch; a line a group, a band over its seeds."""
    properties = style.line_styles(groups)
    figure, axes = style.panel(3.6)
    found = []
    for name, runs in groups.items():
        counts = np.array([[epoch.active_channels for epoch in run.diagnosis] for run in runs])
        epochs, middle = range(counts.shape[1]), counts.mean(axis=0)
        axes.plot(epochs, middle, label=name, **properties[name])
        axes.fill_between(
            epochs, counts.min(axis=0), counts.max(axis=0), color=properties[name]["color"], alpha=0.12
        )
        found.append(f"{name} {middle[-1]:,.0f}")
    axes.set(ylabel="channels that vary", xlabel=style.EPOCHS + "; 0: before the first")
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    style.legend_above(axes, columns=3)
    every = _by_seed(groups)
    first = next(iter(every.values())).diagnosis[0].active_channels
    seeds = max(map(len, groups.values()))
    mean_of = f" (means of {seeds} seeds)" if seeds > 1 else ""
    found_title = (
        f"Of {first:,} channels that vary before, these do after the last epoch{mean_of}: {'; '.join(found)}"
    )
    over = f"variance over the validation images exceeds {batchnorm.ACTIVE_VARIANCE:g}"
    described = f"Channels of the pooled features whose {over}"
    note = "Bands: lowest to highest seed" if seeds > 1 else ""
    return style.finished(figure, found_title, described, note, style.cautions(every))


@styled
def weight_drift(runs: Mapping[str, Run]) -> Figure:
    """How far each kernel moved and how similar each block's activations stayed, after the last epoch.

    Above: norm of the change over the norm before, layer by layer. Below: linear CKA with the activations
    before stage 2, block by block; 1 means the same up to rotation and scale.
    """
    properties = style.line_styles(runs)
    figure = Figure(figsize=(WIDTH, 6.4))
    above, below = figure.subplots(2, 1, height_ratios=(3, 2))
    for label, run in runs.items():
        drift, cka = run.diagnosis[-1].drift, run.diagnosis[-1].cka
        above.plot(list(drift), list(drift.values()), label=label, **properties[label])
        below.plot(list(cka), list(cka.values()), **properties[label])
    above.set(yscale="log", ylabel="relative change of the kernel")
    below.set(ylabel="CKA with before (0 to 1)", ylim=(0, 1.05))
    for axes in (above, below):
        axes.tick_params(axis="x", rotation=40)
        for label in axes.get_xticklabels():
            label.set_horizontalalignment("right")
    style.legend_above(above)
    last = {label: list(run.diagnosis[-1].cka.items())[-1] for label, run in runs.items()}
    found = "; ".join(f"{label} {abs(value):.2f}" for label, (_, value) in last.items())
    block = next(iter(last.values()))[0]
    title = f"Similarity of the last features ({block}) to before: {found}"
    described = f"Kernels' relative change and blocks' CKA of {', '.join(runs)}"
    return style.finished(figure, title, described, style.cautions(runs))


READINGS = {
    "lag": "The averages lag: the longer, the more they lose",
    "swing": "The features swing: shorter averages lose more than long ones",
    "neither": "Neither lag nor swing alone",
}


@styled
def lag_or_swing(runs: Mapping[str, Run]) -> Figure:
    """What averages of each length lose, and how far the features move in as many steps; a line a run.

    The runs were diagnosed with "steps".
    """
    properties = style.line_styles(runs)
    figure = Figure(figsize=(WIDTH, 3.6))
    left, right = figure.subplots(1, 2)
    for name, run in runs.items():
        for axes, found in ((left, averages.lost(run)), (right, averages.moved(run))):
            axes.plot(list(found), list(found.values()), label=name, **properties[name])
    left.set(xscale="log", xlabel="memory of the average (steps)")
    style.percent_axis(left.yaxis, "")
    left.set_ylabel("accuracy lost (points)")
    right.set(xscale="log", xlabel="steps between two batches", ylabel="distance of means (std. deviations)")
    for axes in (left, right):
        axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))
        axes.xaxis.set_major_formatter("{x:,.0f}")
    style.legend_above(left, columns=3)
    read = {averages.reading(run) for run in runs.values()}
    title = READINGS[read.pop()] if len(read) == 1 else "The runs do not agree on lag or swing"
    loss, way = (
        {steps: float(np.mean([found(run)[steps] for run in runs.values()])) for steps in (100, 1000)}
        for found in (averages.lost, averages.moved)
    )
    described = (
        f"Averages over 100 and 1,000 steps lose {100 * loss[100]:.1f} and {100 * loss[1000]:.1f} points; "
        f"features lie {way[100]:.2f} and {way[1000]:.2f} standard deviations from as many steps before"
    )
    note = "Lost against statistics re-estimated at the same step; passes after the first"
    return style.finished(figure, title, described, note, style.cautions(runs))


@styled
def examination(found: Examination) -> Figure:
    """What a network answers by kind of statistics, and how far each batch norm's own are from fresh ones."""
    figure = Figure(figsize=(WIDTH, 4.6 if found.norms else 2.2))
    panels = figure.subplots(2 if found.norms else 1, 1, squeeze=False)[:, 0]
    kinds = [kind for kind in KINDS if kind in found.correct]
    middle, low, high = style.columns([found.accuracy(kind) for kind in kinds], "value low high")
    style.intervals(panels[0], middle, low, high, range(len(kinds)), marker="o", color=PALETTE[0])
    style.rows(panels[0], [KINDS[kind] for kind in kinds])
    style.percent_axis(panels[0].xaxis, "accuracy, with 95% interval")
    if found.norms:
        places = range(1, 1 + len(found.norms))
        off = [norm.mean for norm in found.norms]
        panels[1].bar(places, off, color=PALETTE[1], hatch="//", edgecolor="white")
        panels[1].set(xlabel="batch norm, from the pixels upwards", ylabel="means off by\n(std. deviations)")
        panels[1].xaxis.set_major_locator(MaxNLocator(integer=True))
    answered = ", ".join(f"{KINDS[kind]} {found.accuracy(kind)}" for kind in kinds)
    worst = max(found.norms, key=lambda norm: norm.mean, default=None)
    note = f"Most off: {worst.name}, by {worst.mean:.2f} standard deviations" if worst else ""
    return style.finished(figure, found.title, f"{found.name}: {answered}", note)
