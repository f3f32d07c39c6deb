"""Figures of a failure's anatomy: what `diagnosis` measured between the epochs, from records alone.

They follow the rules of `plots`: a title that states the finding, intervals, alternative text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from scipy import stats

from helpers import evaluation, plots, style
from helpers.evaluation import Proportion
from helpers.prose import apart, percent
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


def lowest(shares: Sequence[Proportion]) -> int:
    """The epoch of the lowest of `by_epoch`'s shares, the start left out; of equals the first."""
    return min(range(1, len(shares)), key=lambda epoch: shares[epoch].value)


def mended(run: Run) -> str:
    """The statistics that show what a run's weights can do: 'clean', or 'moving' where none can be varied."""
    return "clean" if "clean" in run.diagnosis[-1]["accuracy"]["val"] else "moving"


def mean(runs: Sequence[Run], **which: Any) -> float:
    """`accuracy` averaged over runs that differ in their seed."""
    return float(np.mean([accuracy(run, **which).value for run in runs]))


def told(runs: Sequence[Run], statistics: str = "moving", epoch: int = -1) -> str:
    """`accuracy` in words: of one run with its interval, of several by themselves in the order given.

    A dash where 'clean' is asked of a head without batch norm, whose statistics none can vary. Runs that
    fail differ too much for a mean with an interval to say anything.
    """
    if statistics == "clean" and mended(runs[0]) != "clean":
        return "–"
    found = [accuracy(run, statistics=statistics, epoch=epoch) for run in runs]
    return str(found[0]) if len(found) == 1 else ", ".join(percent(each.value) for each in found)


def since_start(run: Run, statistics: str = "moving") -> str:
    """After its last epoch a run is 'better', 'worse' or 'not clearly different' from before stage 2."""
    before, after = (accuracy(run, statistics=statistics, epoch=epoch) for epoch in (0, -1))
    return apart(before, after, "better", "worse", "not clearly different")


def hidden(run: Run, epoch: int = -1) -> float:
    """Accuracy, in 0 to 1, that estimating the statistics anew adds after an epoch; may be negative."""
    return accuracy(run, statistics=mended(run), epoch=epoch).value - accuracy(run, epoch=epoch).value


def regained(run: Run, statistics: str, epoch: int = -1) -> float:
    """Part of what new means and variances regain together, after an epoch, that these statistics do.

    0 where both together regain nothing.
    """
    both = hidden(run, epoch)
    part = accuracy(run, statistics=statistics, epoch=epoch).value - accuracy(run, epoch=epoch).value
    return part / both if both > 0 else 0.0


def misfit(run: Run, measure: str, epoch: int = -1) -> float:
    """How far off the moving statistics are on the validation images after an epoch.

    measure: 'mean', 'mean_alive' or 'variance', as `diagnosis` measures them.
    """
    return float(run.diagnosis[epoch]["statistics"]["val"][measure])


def hidden_with(run: Run, measure: str) -> float:
    """Spearman's rank correlation, over the epochs, of `misfit` by a measure with what evaluation hides."""
    epochs = range(1, len(run.diagnosis))
    off, hides = [misfit(run, measure, epoch) for epoch in epochs], [hidden(run, epoch) for epoch in epochs]
    return float(stats.spearmanr(off, hides).statistic)


def lows(run: Run) -> dict[str, str]:
    """Where a diagnosed run stood lowest: as evaluated, by what its weights could do, by a fresh probe.

    Each in words, with the epoch; of equals the first. Also what the weights could do when they looked worst.
    """
    seen, able, probe = (by_epoch(run, statistics=kind) for kind in ("moving", mended(run), "probe"))
    looked, deepest, dimmest = map(lowest, (seen, able, probe))
    return {
        "looked worst, epoch": f"{seen[looked]} after {looked}",
        "re-estimated then": str(able[looked]),
        "weights at their worst": f"{able[deepest]} after {deepest}",
        "lowest fresh probe": f"{probe[dimmest]} after {dimmest} ({percent(probe[0].value)})",
    }


def _labelled(groups: Mapping[Any, Sequence[Run]]) -> dict[str, Run]:
    """Every run of the groups, by its group's name and its seed."""
    return {f"{name}, seed {run.config['seed']}": run for name, runs in groups.items() for run in runs}


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

    Filled: as Keras evaluates. Hollow: with the statistics re-estimated on clean training images; at least
    one group's head must have a batch norm.
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
        axes.plot([mean(runs, epoch=0)] * 2, [row - 0.4, row + 0.4], color=GREY, linestyle=":")
    style.rows(axes, list(groups))
    style.percent_axis(axes.xaxis, "validation accuracy")
    legend = [
        Line2D([], [], color=PALETTE[0], marker=MARKERS[0], ls="none", label="as evaluated"),
        Line2D([], [], color=PALETTE[1], marker=MARKERS[1], ls="none", mfc="white", label="re-estimated"),
        Line2D([], [], color=GREY, ls=":", label="before fine-tuning"),
    ]
    style.legend_above(axes, legend)
    said = []
    for name, runs in groups.items():
        said.append(f"{name} {percent(mean(runs))}")
        if mended(runs[0]) == "clean":
            said[-1] += f", re-estimated {percent(mean(runs, statistics='clean'))}"
    described = (
        "Validation accuracy after the last epoch, a mark a seed, 95% intervals; averaged over seeds: "
        f"{'; '.join(said)}"
    )
    hides = {
        name: max(0.0, *map(hidden, runs)) for name, runs in groups.items() if mended(runs[0]) == "clean"
    }
    most, least = (end(hides, key=hides.__getitem__) for end in (max, min))
    found_title = f"Evaluation hides up to {100 * hides[most]:.1f} points ({most})"
    if least != most:
        found_title += f", and at most {100 * hides[least]:.1f} ({least})"
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
        means[kind] = np.array([mean(groups[rate], statistics=kind) for rate in rates])
        found = [[accuracy(run, statistics=kind) for run in groups[rate]] for rate in rates]
        low = [min(share.low for share in shares) for shares in found]
        high = [max(share.high for share in shares) for shares in found]
        reach = [means[kind] - low, high - means[kind]]
        axes.errorbar(rates, means[kind], yerr=reach, capsize=3, label=label, **look)
    axes.fill_between(rates, means["moving"], means["clean"], color=PALETTE[0], alpha=0.1, linewidth=0)
    every = _labelled(groups)
    axes.axhline(mean(list(every.values()), epoch=0), color=GREY, linestyle=":")
    axes.set(xscale="log", xlabel=f"learning rate ({groups[rates[0]][0].config['optimizer']})", ylim=(0, 1))
    axes.set_xticks(rates, [evaluation.scientific(rate) for rate in rates], minor=False)
    axes.minorticks_off()
    style.percent_axis(axes.yaxis, "validation accuracy")
    style.legend_above(axes, columns=2)
    worst = rates[(means["clean"] - means["moving"]).argmax()]
    parts = [100 * hidden(run) for run in groups[worst]]
    points = " to ".join(dict.fromkeys(f"{end(parts):.0f}" for end in (min, max)))
    found_title = (
        f"At {evaluation.scientific(worst)} evaluation hides {points} points that the weights still have"
    )
    said = "; ".join(
        f"{evaluation.scientific(rate)}: {percent(seen)} as evaluated, {percent(able)} re-estimated"
        for rate, seen, able in zip(rates, means["moving"], means["clean"], strict=True)
    )
    reaches = "from the lowest to the highest end of the seeds' 95% intervals"
    note = f"Dotted: before fine-tuning. Bars: {reaches}; lines: means"
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
    seeds = max(map(len, groups.values()))
    mean_of = f" (means of {seeds} seeds)" if seeds > 1 else ""
    found_title = (
        f"Of {first:,} channels that vary before, these do after the last epoch{mean_of}: {'; '.join(found)}"
    )
    over = f"variance over the validation images exceeds {evaluation.ALIVE:g}"
    described = f"Channels of the pooled features whose {over}"
    note = "Bands: lowest to highest seed" if seeds > 1 else ""
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
