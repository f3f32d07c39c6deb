"""Figures of a failure's anatomy: what `diagnosis` measured between the epochs, from records alone.

They follow the rules of `plots`: a title that states the finding, intervals, alternative text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from helpers import evaluation, plots, style
from helpers.evaluation import Proportion
from helpers.prose import percent
from helpers.records import Run
from helpers.style import GREY, MARKERS, PALETTE, WIDTH, Figure, styled

STATISTICS = {
    "moving": "moving averages (Keras' evaluation)",
    "clean": "re-estimated, clean training images",
    "augmented": "re-estimated, augmented training images",
    "batch": "each batch's own",
}
"""Kinds of batch-norm statistics that `diagnosis` evaluates with, and what a figure calls them."""
IMAGES = {"val": "validation images", "val_augmented": "augmented validation images"}


def accuracy(run: Run, images: str = "val", statistics: str = "moving", epoch: int = -1) -> Proportion:
    """Accuracy measured after an epoch (0: before the first; -1: after the last) with Wilson's interval.

    images: 'val', 'val_augmented'. statistics: a kind that `diagnosis` evaluates with, or 'probe' for the
    fresh linear probe. Raises ValueError for a run that was not diagnosed.
    """
    if not run.diagnosis:
        raise ValueError(f"{run.path} holds no diagnosis: run its experiment with diagnosed=True")
    found = run.diagnosis[epoch]
    value = found["probe"] if statistics == "probe" else found["accuracy"][images][statistics]
    return evaluation.proportion(value, run.size("val"))


def by_epoch(run: Run, images: str = "val", statistics: str = "moving") -> list[Proportion]:
    """`accuracy` before the first epoch and after each."""
    return [accuracy(run, images, statistics, epoch) for epoch in range(len(run.diagnosis))]


def mended(run: Run) -> str:
    """The statistics that show what a run's weights can do: 'clean', or 'moving' where none can be varied."""
    return "clean" if "clean" in run.diagnosis[-1]["accuracy"]["val"] else "moving"


def across(runs: Sequence[Run], **which: Any) -> Proportion:
    """`accuracy` of one run, or its mean over several that differ in their seed, with Student's interval."""
    found = [accuracy(run, **which) for run in runs]
    return found[0] if len(found) == 1 else evaluation.across_seeds([each.value for each in found])


def regained(run: Run, statistics: str) -> float:
    """Part of what new means and variances regain together, after the last epoch, that these statistics do.

    0 where both together regain nothing.
    """
    seen, found, both = (accuracy(run, statistics=kind).value for kind in ("moving", statistics, "clean"))
    return (found - seen) / (both - seen) if both > seen else 0.0


def misfit(run: Run, measure: str) -> float:
    """How far off the moving statistics are on the validation images after the last epoch.

    measure: 'mean', 'mean_alive' or 'variance', as `diagnosis` measures them.
    """
    return float(run.diagnosis[-1]["statistics"]["val"][measure])


def _labelled(groups: Mapping[Any, Sequence[Run]]) -> dict[str, Run]:
    """Every run of the groups, by its group's name and its seed."""
    return {f"{name}, seed {run.config['seed']}": run for name, runs in groups.items() for run in runs}


def _start(runs: Iterable[Run]) -> float:
    """The runs' mean validation accuracy before stage 2."""
    return float(np.mean([accuracy(run, epoch=0).value for run in runs]))


@styled
def by_statistics(run: Run, title: str = "") -> Figure:
    """Validation accuracy of the same weights, epoch by epoch, with each kind of statistics.

    Two panels: on the images as they are and augmented as in training.
    """
    figure = Figure(figsize=(WIDTH, 5.4))
    epochs = range(len(run.diagnosis))
    for axes, (images, words) in zip(
        figure.subplots(2, 1, sharex=True, sharey=True), IMAGES.items(), strict=True
    ):
        for (kind, label), look in zip(STATISTICS.items(), style.looks(STATISTICS).values(), strict=True):
            if kind not in run.diagnosis[0]["accuracy"][images]:
                continue
            found = by_epoch(run, images, kind)
            middle, low, high = plots.columns(found, "value low high")
            axes.plot(epochs, middle, label=label, **look)
            axes.fill_between(epochs, low, high, color=look["color"], alpha=0.12, linewidth=0)
        style.percent_axis(axes.yaxis, f"{words}\naccuracy")
        if images == "val":
            style.legend_above(axes, columns=2)
    axes.set_xlabel(plots.EPOCHS + "; 0: before the first")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    seen, can = ([each.value for each in by_epoch(run, "val", kind)] for kind in ("moving", mended(run)))
    worst = int(np.argmax(np.subtract(can, seen)))
    found_title = (
        f"After epoch {worst} the same weights give {percent(seen[worst])} with moving averages and "
        f"{percent(can[worst])} re-estimated"
    )
    note = (
        "Bands: 95% intervals. Weights, images and labels are the same in every line of a panel; where one "
        "line shows, others lie beneath it"
    )
    described = f"Validation accuracy by epoch of {run.name}, with four kinds of batch-norm statistics"
    return style.finished(figure, title or found_title, described, note, plots.cautions({run.name: run}))


@styled
def interventions(groups: Mapping[str, Sequence[Run]], title: str = "") -> Figure:
    """Validation accuracy after the last epoch, a row an intervention and a mark a seed.

    Filled: as Keras evaluates. Hollow: with the statistics re-estimated on clean training images.
    """
    every = _labelled(groups)
    figure, axes = style.panel(1.9 + 0.5 * len(groups))
    marks = {"moving": PALETTE[0], "clean": "white"}
    for row, runs in enumerate(groups.values()):
        for offset, run in zip(np.linspace(-0.3, 0.3, len(runs) + 2)[1:-1], runs, strict=True):
            for number, (kind, fill) in enumerate(marks.items()):
                if kind in run.diagnosis[-1]["accuracy"]["val"]:
                    middle, low, high = plots.columns([accuracy(run, statistics=kind)], "value low high")
                    look: dict[str, Any] = {"color": PALETTE[number], "marker": MARKERS[number], "mfc": fill}
                    style.intervals(axes, middle, low, high, [row + offset], **look)
        axes.plot([_start(runs)] * 2, [row - 0.4, row + 0.4], color=GREY, linestyle=":")
    style.rows(axes, list(groups))
    style.percent_axis(axes.xaxis, "validation accuracy")
    legend = [
        Line2D([], [], color=PALETTE[0], marker=MARKERS[0], ls="none", label="as evaluated"),
        Line2D([], [], color=PALETTE[1], marker=MARKERS[1], ls="none", mfc="white", label="re-estimated"),
        Line2D([], [], color=GREY, ls=":", label="before fine-tuning"),
    ]
    style.legend_above(axes, legend)
    seen = {name: across(runs).value for name, runs in groups.items()}
    can = {name: across(runs, statistics=mended(runs[0])).value for name, runs in groups.items()}
    said = []
    for name, runs in groups.items():
        said.append(f"{name} {percent(seen[name])}")
        if mended(runs[0]) == "clean":
            said[-1] += f", re-estimated {percent(can[name])}"
    described = (
        "Validation accuracy after the last epoch, a mark a seed, 95% intervals; averaged over seeds: "
        f"{'; '.join(said)}"
    )
    marks_seen = [accuracy(run).value for run in every.values()]
    marks_can = [accuracy(run, statistics=mended(run)).value for run in every.values()]
    found_title = (
        f"After the last epoch: {percent(min(marks_seen))} to {percent(max(marks_seen))} as evaluated, "
        f"{percent(min(marks_can))} to {percent(max(marks_can))} by what the weights can do"
    )
    return style.finished(figure, title or found_title, described, plots.cautions(every))


@styled
def rate_map(groups: Mapping[float, Sequence[Run]], title: str = "") -> Figure:
    """Validation accuracy after the last epoch against the learning rate, by what the weights are judged by.

    groups: learning rate to its runs, one a seed. A filled band between the two upper lines and the one
    of moving averages is what only looks lost; what falls in all lines is lost.
    """
    rates = sorted(groups)
    labels = {**STATISTICS, "probe": "fresh linear probe on the features"}
    del labels["augmented"]
    figure, axes = style.panel(4.0)
    means = {}
    for (kind, label), look in zip(labels.items(), style.looks(labels).values(), strict=True):
        found = [across(groups[rate], statistics=kind) for rate in rates]
        means[kind], low, high = plots.columns(found, "value low high")
        reach = [means[kind] - low, high - means[kind]]
        axes.errorbar(rates, means[kind], yerr=reach, capsize=3, label=label, **look)
    axes.fill_between(rates, means["moving"], means["clean"], color=PALETTE[0], alpha=0.1, linewidth=0)
    every = _labelled(groups)
    start = _start(every.values())
    axes.axhline(start, color=GREY, linestyle=":")
    axes.set(xscale="log", xlabel=f"learning rate ({groups[rates[0]][0].config['optimizer']})", ylim=(0, 1))
    axes.set_xticks(rates, [f"{rate:g}" for rate in rates], minor=False)
    axes.minorticks_off()
    style.percent_axis(axes.yaxis, "validation accuracy")
    style.legend_above(axes, columns=2)
    hidden = means["clean"] - means["moving"]
    worst = rates[hidden.argmax()]
    found_title = f"At {worst:g} evaluation hides {100 * hidden.max():.0f} points that the weights still have"
    said = "; ".join(
        f"{rate:g}: {percent(seen)} as evaluated, {percent(able)} re-estimated"
        for rate, seen, able in zip(rates, means["moving"], means["clean"], strict=True)
    )
    seeds = max(len(runs) for runs in groups.values())
    note = f"Dotted: before fine-tuning. Bars: 95% intervals, {'across seeds' if seeds > 1 else 'one seed'}"
    return style.finished(figure, title or found_title, said, note, plots.cautions(every))


@styled
def alive(groups: Mapping[str, Sequence[Run]], title: str = "") -> Figure:
    """How many channels of the pooled features still vary, by epoch; a line a group, a band over its seeds.

    groups: name to its runs, one a seed, of equally many epochs.
    """
    looks = style.looks(groups)
    figure, axes = style.panel(3.6)
    found = []
    for name, runs in groups.items():
        counts = np.array([[epoch["alive"] for epoch in run.diagnosis] for run in runs])
        epochs, middle = range(counts.shape[1]), counts.mean(axis=0)
        axes.plot(epochs, middle, label=name, **looks[name])
        axes.fill_between(
            epochs, counts.min(axis=0), counts.max(axis=0), color=looks[name]["color"], alpha=0.12
        )
        found.append(f"{name} {middle[-1]:,.0f}")
    axes.set(ylabel="channels that vary", xlabel=plots.EPOCHS + "; 0: before the first")
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    style.legend_above(axes, columns=3)
    every = _labelled(groups)
    first = next(iter(every.values())).diagnosis[0]["alive"]
    found_title = f"Of {first:,} channels that vary before, these do after the last epoch: {'; '.join(found)}"
    over = f"variance over the validation images exceeds {evaluation.ALIVE:g}"
    described = f"Channels of the pooled features whose {over}"
    note = "Bands: lowest to highest seed" if max(map(len, groups.values())) > 1 else ""
    return style.finished(figure, title or found_title, described, note, plots.cautions(every))


@styled
def moved(runs: Mapping[str, Run], title: str = "") -> Figure:
    """How far each kernel moved and how similar each block's activations stayed, after the last epoch.

    Above: norm of the change over the norm before, layer by layer. Below: linear CKA with the activations
    before stage 2, block by block; 1 means the same up to rotation and scale.
    """
    looks = style.looks(runs)
    figure = Figure(figsize=(WIDTH, 6.4))
    above, below = figure.subplots(2, 1, height_ratios=(3, 2))
    for label, run in runs.items():
        drift, cka = run.diagnosis[-1]["drift"], run.diagnosis[-1]["cka"]
        above.plot(list(drift), list(drift.values()), label=label, **looks[label])
        below.plot(list(cka), list(cka.values()), **looks[label])
    above.set(yscale="log", ylabel="relative change of the kernel")
    below.set(ylabel="CKA with before (0 to 1)", ylim=(0, 1.05))
    for axes in (above, below):
        axes.tick_params(axis="x", rotation=40)
        for text in axes.get_xticklabels():
            text.set_horizontalalignment("right")
    style.legend_above(above)
    last = {label: list(run.diagnosis[-1]["cka"].items())[-1] for label, run in runs.items()}
    found = "; ".join(f"{label} {abs(value):.2f}" for label, (_, value) in last.items())
    block = next(iter(last.values()))[0]
    title = title or f"Similarity of the last features ({block}) to before: {found}"
    described = f"Kernels' relative change and blocks' CKA of {', '.join(runs)}"
    return style.finished(figure, title, described, plots.cautions(runs))
