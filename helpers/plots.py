"""One function a figure, from Run records and arrays alone, in one style.

Every figure has a title that states its finding: `title`, or else one computed from the numbers, which the
alternative text repeats. `runs` is always a mapping from the name that the figure shows to the Run.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, MaxNLocator

from helpers import evaluation, records, style
from helpers.data import CLASSES
from helpers.evaluation import scientific
from helpers.prose import caution, finding, percent, points
from helpers.records import Run
from helpers.style import GREY, PALETTE, WIDTH, Array, Figure, styled
from helpers.style import display as display  # so that a notebook needs plots alone

EPOCHS = "epoch (passes over the training images)"
FEWEST = 10
"""Images in a bin of the reliability curve that is drawn."""
WIDE = 20
"""How many times its lowest value a loss must reach to be drawn on a logarithmic axis."""
ASIDE = (0.93, 1.0, 1.07)
"""Factors that set marks of the same rate side by side on a logarithmic axis; a group each."""
ERRORS = 18
"""Images of a sheet of errors, at most; six a row."""

# ---------------------------------------------------------------------------- shared pieces


def _setting(dataset: str) -> str:
    return "Miniature: drawn images, not CIFAR-10" if dataset == "miniature" else ""


def cautions(runs: Mapping[str, Run]) -> str:
    """What a reader must know of the runs; refuses to set the miniature's numbers beside CIFAR-10's."""
    datasets = sorted({run.dataset for run in runs.values()})
    if len(datasets) > 1:
        raise ValueError(
            f"{', '.join(runs)} are runs on {' and '.join(datasets)}, whose numbers do not compare: "
            "draw a figure for each data set"
        )
    said: dict[str, list[str]] = {}
    for label, run in runs.items():
        said.setdefault(caution(run), []).append(label)
    whose = len(said) > 1
    return ". ".join(
        f"{', '.join(labels)}: {text}" if whose else text for text, labels in said.items() if text
    )


def _refuse_published(published: object, runs: Sequence[Run]) -> None:
    if published and any(run.dataset == "miniature" for run in runs):
        raise ValueError(
            "the published figures are CIFAR-10's and do not compare with the miniature: leave them out"
        )


def _matrix(label: str, run: Run) -> Array:
    """The confusion matrix, int (10, 10)."""
    if run.confusion_matrix is None:
        raise ValueError(f"run {label!r} holds no confusion matrix: run it again, or choose another")
    return np.asarray(run.confusion_matrix)


def _matrix_note(runs: Mapping[str, Run]) -> str:
    """Which matrices count predictions averaged over the flip: a seed log's may."""
    logs = {label: records.tta_accuracy(run) for label, run in runs.items() if run.is_seed_log}
    averaged = [f"{label}, {percent(accuracy)} right" for label, accuracy in logs.items() if accuracy]
    return f"Matrix of predictions averaged over the flip: {'; '.join(averaged)}" if averaged else ""


def columns(results: Sequence[Any], names: str) -> list[Array]:
    """An array (n,) for each of the named attributes of n results: 'value low high' of a Proportion."""
    return [np.array([getattr(result, name) for result in results]) for name in names.split()]


def _two(runs: Mapping[str, Run]) -> tuple[tuple[str, Run], tuple[str, Run]]:
    if len(runs) != 2:
        raise ValueError(f"this figure compares two runs and was given {len(runs)}: {', '.join(runs)}")
    first, second = runs.items()
    return first, second


# ---------------------------------------------------------------------------- images


@styled
def contact_sheet(images: Array, labels: Array, dataset: str, title: str = "") -> Figure:
    """The first images of each class, a row a class: as many as the rarest class has, at most ten.

    `images` (n, side, side, 3) in [0, 255], `labels` int (n,), `dataset` 'cifar10' or 'miniature'.
    """
    classes, counts = np.unique(labels, return_counts=True)
    columns = min(10, counts.min())
    picks = np.stack([np.flatnonzero(labels == label)[:columns] for label in classes])
    figure, axes = style.panel(0.6 + 0.8 * WIDTH * len(classes) / columns)
    _, y = style.mosaic(axes, images[picks])
    names = [CLASSES[dataset][label] for label in classes]
    axes.set_yticks(y, names)
    title = title or f"{len(classes)} classes in {images.shape[1]} by {images.shape[2]} pixels"
    described = f"{columns} images of each class: {', '.join(names)}"
    return style.finished(figure, title, described, _setting(dataset))


@styled
def augmentation_sheet(originals: Array, views: Array, dataset: str, title: str = "") -> Figure:
    """Each image beside its augmented views, a row an image.

    `originals` (n, side, side, 3) and `views` (n, v, side, side, 3), both in [0, 255].
    """
    tiles = np.concatenate([originals[:, None], views], axis=1)
    figure, axes = style.panel(0.9 + 0.95 * WIDTH * tiles.shape[0] / tiles.shape[1])
    x, _ = style.mosaic(axes, tiles)
    axes.set_xticks(x, ["original", *(f"view {number}" for number in range(views.shape[1]))])
    axes.xaxis.tick_top()
    title = title or "Augmentation moves, turns and scales an image, and leaves its class plain to see"
    description = f"{len(originals)} images in rows: the original, then {views.shape[1]} augmented views"
    return style.finished(figure, title, description, _setting(dataset))


@styled
def network_view(images: Array, resized: Array, dataset: str, title: str = "") -> Figure:
    """Images as stored, above the same images as the network sees them.

    `images` (n, side, side, 3), `resized` (n, larger, larger, 3), both in [0, 255].
    """
    sides = images.shape[1], resized.shape[1]
    figure = Figure(figsize=(WIDTH, 0.7 + 1.9 * WIDTH / len(images)))
    for axes, tiles, side in zip(figure.subplots(2, 1), (images, resized), sides, strict=True):
        _, y = style.mosaic(axes, tiles[None])
        axes.set_yticks(y, [f"{side} px"])
    factor = (sides[1] / sides[0]) ** 2
    title = title or f"The network sees {factor:.0f} times as many pixels, and not one detail more"
    description = f"{len(images)} images at {sides[0]} pixels a side, and interpolated to {sides[1]}"
    return style.finished(figure, title, description, _setting(dataset))


@styled
def split_balance(labels: Mapping[str, Array], dataset: str, title: str = "") -> Figure:
    """How many images of each class every split has. `labels`: split to int labels (n,)."""
    names = CLASSES[dataset]
    counts = {split: np.bincount(values, minlength=len(names)) for split, values in labels.items()}
    figure, axes = style.panel(3.8)
    start = np.zeros(len(names), int)
    for (split, count), colour, hatch in zip(counts.items(), PALETTE, ("", "///", "..."), strict=False):
        look: dict[str, Any] = {"color": colour, "hatch": hatch, "edgecolor": "white"}
        axes.barh(range(len(names)), count, left=start, label=f"{split}, {count.sum():,} images", **look)
        start += count
    style.rows(axes, names)
    axes.grid(False, axis="y")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set(xlabel="images")
    style.legend_above(axes)
    each = ", ".join(f"{count[0]:,} {split}" for split, count in counts.items())
    spread = max(np.ptp(count / count.sum()) for count in counts.values())
    found = f"Every class has the same share: {each} images"
    if spread:
        found = f"Within a split, the classes' shares differ by at most {100 * spread:.1f} points"
    described = "Images by class: " + ", ".join(f"{split} {count.sum():,}" for split, count in counts.items())
    return style.finished(figure, title or found, described, _setting(dataset))


@styled
def confident_errors(
    images: Array, labels: Array, probabilities: Array, dataset: str, title: str = ""
) -> Figure:
    """The errors that a network is surest of: each image, what it was taken for and how surely, its label.

    `images` (n, side, side, 3) in [0, 255], `labels` int (n,) and `probabilities` (n, 10), of the same
    images in the same order. Raises ValueError where there is no error.
    """
    said, sure, names = probabilities.argmax(axis=1), probabilities.max(axis=1), CLASSES[dataset]
    wrong = np.flatnonzero(said != labels)
    if not len(wrong):
        raise ValueError(f"all {len(labels)} images are right: there is no error to show")
    chosen = wrong[np.argsort(-sure[wrong], kind="stable")][:ERRORS]
    rows = -(-len(chosen) // 6)
    figure = Figure(figsize=(WIDTH, 0.8 + 1.5 * rows))
    for axes, image in itertools.zip_longest(figure.subplots(rows, 6, squeeze=False).flat, chosen):
        axes.set_axis_off()
        if image is not None:
            axes.imshow(images[image].astype(np.uint8), interpolation="nearest")
            caption = f"{names[said[image]]} {percent(sure[image], 0)}\nlabel: {names[labels[image]]}"
            axes.set_title(caption, fontsize=8.5)
    title = title or (
        f"Of {len(wrong):,} errors, {np.sum(sure[wrong] > 0.9):,} were made with a probability above 90%"
    )
    described = f"The {len(chosen)} surest errors, each with what it was taken for and its label"
    return style.finished(figure, title, described, _setting(dataset))


# ---------------------------------------------------------------------------- training


def _curve(label: str, run: Run, stage: str, metric: str) -> Array:
    curves = run.curves.get(stage, {})
    if metric not in curves:
        raise ValueError(f"run {label!r} has no {metric!r} in {stage}, only {', '.join(curves) or 'nothing'}")
    return np.asarray(curves[metric])


@styled
def learning_curves(
    runs: Mapping[str, Run],
    stage: str = "stage2",
    quantities: Sequence[str] = ("accuracy",),
    levels: Mapping[str, tuple[str, float]] | None = None,
    title: str = "",
) -> Figure:
    """Training (dashed) and validation (solid) curves of up to five runs, a panel a quantity.

    `quantities` among 'accuracy', 'loss', 'learning_rate'; `levels` adds a line to compare with, as in
    {'accuracy': ('target', 0.87)}. The x axis counts passes over the training set: what a seed log calls
    an epoch but was a single optimizer step is a hollow marker at the pass that it follows.
    """
    note, looks, levels = cautions(runs), style.looks(runs), levels or {}
    figure = Figure(figsize=(WIDTH, 1.2 + 2.3 * len(quantities)))
    panels = figure.subplots(len(quantities), 1, sharex=True, squeeze=False)[:, 0]
    for axes, quantity in zip(panels, quantities, strict=True):
        lines = {quantity: "-"} if quantity == "learning_rate" else {quantity: "--", f"val_{quantity}": "-"}
        for label, run in runs.items():
            real, single = records.real_epochs(run, stage), records.one_step_epochs(run, stage)
            passes = records.passes(run, stage)
            for metric, line in lines.items():
                values = _curve(label, run, stage, metric)
                every = max(1, len(real) // 8)
                axes.plot(passes[real], values[real], line, markevery=every, **looks[label])
                hollow: dict[str, Any] = {"linestyle": "none", "mfc": "white", "ms": 3, "alpha": 0.6}
                axes.plot(passes[single], values[single], **hollow, **looks[label])
        if quantity in levels:
            name, level = levels[quantity]
            axes.axhline(level, color=GREY, linestyle=":")
            place: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "ha": "right", "va": "bottom"}
            axes.annotate(name, (1, level), color=GREY, **place)
        if quantity == "accuracy":
            style.percent_axis(axes.yaxis, quantity)
        else:
            axes.set_ylabel("learning rate" if quantity == "learning_rate" else f"{quantity} (nats)")
            low, high = axes.dataLim.intervaly
            if quantity == "learning_rate" or high > WIDE * low > 0:
                axes.set_yscale("log")
    panels[-1].set_xlabel(EPOCHS)
    panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    entries = [Line2D([], [], label=label, **look) for label, look in looks.items()]
    entries += [
        Line2D([], [], color=GREY, ls=s, label=n) for n, s in (("training", "--"), ("validation", "-"))
    ]
    style.legend_above(panels[0], entries)
    counts = {label: len(records.one_step_epochs(run, stage)) for label, run in runs.items()}
    steps = ", ".join(f"{count} of {label}" for label, count in counts.items() if count)
    hollow_note = f'Hollow: logged "epochs" that were a single optimizer step, {steps}' if steps else ""
    best = "; ".join(_best(label, run, stage) for label, run in runs.items())
    described = f"Curves of {', '.join(quantities).replace('_', ' ')} by epoch of {stage}: {', '.join(runs)}"
    return style.finished(figure, title or f"Best validation accuracy: {best}", described, note, hollow_note)


def _best(label: str, run: Run, stage: str) -> str:
    accuracy = _curve(label, run, stage, "val_accuracy")
    at = accuracy.argmax()
    return f"{label} {percent(accuracy[at])} (epoch {records.passes(run, stage)[at]})"


@styled
def train_val_gap(run: Run, stage: str = "stage2", title: str = "") -> Figure:
    """The distance between training and validation accuracy, pass by pass."""
    real, passes = records.real_epochs(run, stage), records.passes(run, stage)
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
    return style.finished(figure, title or found, described, note, cautions({run.name: run}))


@styled
def time_to_accuracy(
    curves: Mapping[str, tuple[Array, Array]], target: float, dataset: str, title: str = ""
) -> Figure:
    """Validation accuracy against time, whose axis is logarithmic.

    `curves`: label to (seconds (n,), accuracy in 0 to 1 (n,)).
    """
    figure, axes = style.panel(4.2)
    found: list[str] = []
    soonest: dict[float, str] = {}
    for label, look in style.looks(curves).items():
        seconds, accuracy = map(np.asarray, curves[label])
        axes.plot(seconds / 60, accuracy, label=label, markevery=max(1, len(seconds) // 8), **look)
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
    title = title or f"{percent(target)} is reached soonest {soonest[min(soonest)] if soonest else 'by none'}"
    described = f"Validation accuracy by time. {percent(target)} is reached: {'; '.join(found)}"
    return style.finished(figure, title, described, _setting(dataset))


# ---------------------------------------------------------------------------- evaluation


@styled
def per_class_accuracy(runs: Mapping[str, Run], title: str = "") -> Figure:
    """Test accuracy of each class with Wilson's 95% interval, the first run's hardest class on top."""
    note, looks = cautions(runs), style.looks(runs)
    first, run = next(iter(runs.items()))
    matrix = _matrix(first, run)
    share = np.diag(matrix) / matrix.sum(axis=1)
    order = np.argsort(share)
    names = [CLASSES[run.dataset][c] for c in order]
    figure, axes = style.panel(4.2)
    for shift, label in zip(np.linspace(-0.2, 0.2, len(runs) + 2)[1:-1], runs, strict=True):
        matrix = _matrix(label, runs[label])
        rows = [evaluation.proportion(matrix[c, c] / matrix[c].sum(), matrix[c].sum()) for c in order]
        middle, low, high = columns(rows, "value low high")
        style.intervals(axes, middle, low, high, np.arange(len(order)) + shift, label=label, **looks[label])
    style.rows(axes, names)
    style.percent_axis(axes.xaxis, "test accuracy, 95% interval")
    style.legend_above(axes)
    found = f"{first}: {names[0]} is hardest, {percent(share.min())} right"
    found += f"; {names[-1]} easiest, {percent(share.max())}"
    described = ", ".join(f"{name} {percent(of)}" for name, of in zip(names, share[order], strict=True))
    return style.finished(figure, title or found, f"Accuracy by class: {described}", note, _matrix_note(runs))


def _heatmap(numbers: Array, colours: Array, names: Sequence[str], **kwargs: Any) -> tuple[Figure, Axes]:
    figure, axes = style.panel(5.2)
    ticks = {"xticklabels": names, "yticklabels": names}
    sns.heatmap(colours, annot=numbers, ax=axes, cbar=False, linewidths=0.5, **ticks, **kwargs)
    axes.set(xlabel="predicted class (cells: test images)", ylabel="true class")
    axes.tick_params(axis="x", rotation=40)
    return figure, axes


@styled
def confusion(run: Run, title: str = "") -> Figure:
    """The confusion matrix in images; only the errors, off the diagonal, are coloured."""
    matrix, names = _matrix(run.name, run), CLASSES[run.dataset]
    errors = matrix * ~np.eye(len(names), dtype=bool)
    figure, axes = _heatmap(matrix, errors, names, fmt="d", cmap="Blues")
    for place in range(len(names)):
        axes.add_patch(Rectangle((place, place), 1, 1, color="#DDDDDD"))
    pairs = np.triu(errors + errors.T)
    a, b = np.unravel_index(pairs.argmax(), pairs.shape)
    found = f"{names[a]} and {names[b]} are most often taken for each other: "
    found += f"{pairs[a, b]:,} of {errors.sum():,} errors"
    if not errors.any():
        found = "No test image is taken for another class"
    described = f"Confusion matrix of {run.name}: {np.trace(matrix):,} of {matrix.sum():,} test images right"
    runs = {run.name: run}
    return style.finished(figure, title or found, described, cautions(runs), _matrix_note(runs))


@styled
def confusion_difference(runs: Mapping[str, Run], title: str = "") -> Figure:
    """The second run's confusion matrix minus the first's, in images."""
    (first, before), (second, after) = _two(runs)
    note, names = cautions(runs), CLASSES[after.dataset]
    change = _matrix(second, after) - _matrix(first, before)
    if change.sum(axis=1).any():
        raise ValueError(f"{first!r} and {second!r} were tested on different images: class counts differ")
    reach = max(1, np.abs(change).max())
    figure, _ = _heatmap(change, change, names, fmt="+d", cmap="PuOr_r", vmin=-reach, vmax=reach)
    errors = change * ~np.eye(len(names), dtype=bool)
    a, b = np.unravel_index(errors.argmin(), errors.shape)
    found = f"{second} against {first}: {np.trace(change):+,} images right"
    if errors.min() < 0:
        found += f"; {names[a]} called {names[b]} falls most, {errors[a, b]:+,}"
    described = f"Confusion matrix of {second} minus that of {first}"
    key = f"Orange: more images than {first}, purple: fewer. On the diagonal more is better, off it fewer"
    return style.finished(figure, title or found, described, key, note, _matrix_note(runs))


@styled
def reliability(runs: Mapping[str, Run], title: str = "") -> Figure:
    """Accuracy against confidence on the test images, with the expected calibration error; below, how sure.

    Raises RecordError for a run without probabilities.
    """
    note = cautions(runs)
    figure = Figure(figsize=(WIDTH, 5.0))
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 1], [0, 1], ":", color=GREY, label="perfect calibration")
    found = []
    for label, look in style.looks(runs).items():
        answers = runs[label].probabilities("test"), runs[label].labels("test")
        bins, error = evaluation.reliability(*answers), evaluation.expected_calibration_error(*answers)
        drawn, name = bins.count >= FEWEST, f"{label}, ECE {100 * error:.1f} points"
        upper.plot(bins.confidence[drawn], bins.accuracy[drawn], label=name, **look)
        lower.plot(bins.confidence[drawn], bins.count[drawn] / bins.count.sum(), **look)
        surplus = answers[0].max(axis=1).mean() - runs[label].correct("test").mean()
        found += [f"{label} is {100 * abs(surplus):.1f} points {'over' if surplus > 0 else 'under'}confident"]
    style.percent_axis(upper.yaxis, "accuracy")
    style.percent_axis(lower.yaxis, "images")
    style.percent_axis(lower.xaxis, "confidence: probability of the predicted class")
    style.legend_above(upper, columns=2)
    described = "Accuracy of the test images by confidence, beside the diagonal"
    few = f"Bins of fewer than {FEWEST} images are not drawn"
    return style.finished(figure, title or "; ".join(found), described, few, note)


PUBLISHED: dict[str, Any] = {
    "color": PALETTE[1],
    "marker": "D",
    "ls": "none",
    "mfc": "none",
    "ms": 7,
    "mew": 1.8,
}
"""How a published figure is drawn."""


@styled
def error_intervals(
    runs: Mapping[str, Sequence[Run]], published: Mapping[str, float], title: str = ""
) -> Figure:
    """Test error of every run with Wilson's 95% interval, a row a name, beside the published figures.

    `runs`: name to its runs, one a seed; `published`: name to accuracy in 0 to 1, for names that have one.
    The axis is logarithmic, so that tenths of a point show beside a failure.
    """
    note = cautions({f"{name} ({run.name})": run for name, group in runs.items() for run in group})
    _refuse_published(published, [run for group in runs.values() for run in group])
    figure, axes = style.panel(1.5 + 0.6 * len(runs))
    told, below = {}, {}
    for row, (name, group) in enumerate(runs.items()):
        measured = [evaluation.proportion(run.metrics["test_end2end"], run.size("test")) for run in group]
        middle, high, low = (1 - share for share in columns(measured, "value low high"))
        rows = row + np.linspace(-0.3, 0.3, len(group) + 2)[1:-1]
        style.intervals(axes, middle, low, high, rows, color=PALETTE[0], marker="o")
        told[name] = percent(1 - middle.mean())
        if name in published:
            axes.plot(1 - published[name], row, **PUBLISHED)
            told[name] += f", published {percent(published[name])}"
            below[name] = middle.mean() / (1 - published[name])
    style.rows(axes, [f"{name}\n{share}" for name, share in told.items()])
    axes.set(xscale="log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5, 7)))
    style.percent_axis(axes.xaxis, "test error")
    axes.minorticks_off()
    dot = Line2D([], [], color=PALETTE[0], marker="o", label="measured, 95% interval, one a run")
    style.legend_above(axes, [dot, Line2D([], [], label="published", **PUBLISHED)] if published else [dot])
    shares = "; ".join(f"{name} {share}" for name, share in told.items())
    found = shares
    if below:
        least = min(below, key=lambda name: below[name])
        fewer = sum(ratio < 1 for ratio in below.values())
        found = f"Fewer errors than published in {fewer} of {len(below)} rows"
        if fewer:
            found += f"; in '{least}' {percent(below[least], 0)} of them"
    return style.finished(figure, title or found, f"Test accuracy: {shares}", note)


@styled
def gains(runs: Mapping[str, Run], reference: Run, title: str = "") -> Figure:
    """What each run gains over a reference on the same test images, with its paired bootstrap interval.

    A row a run, in the order given; where the interval holds zero the mark is hollow.
    """
    note = cautions({"reference": reference, **runs})
    tests = {
        name: evaluation.paired(reference.correct("test"), run.correct("test")) for name, run in runs.items()
    }
    figure, axes = style.panel(1.4 + 0.3 * len(runs))
    looks: dict[str, dict[str, Any]] = {
        "gains": {"color": PALETTE[0], "marker": "^"},
        "loses": {"color": PALETTE[1], "marker": "v"},
        "no difference shown": {"color": GREY, "marker": "o", "mfc": "none"},
    }
    words = [finding(test, *looks) for test in tests.values()]
    for row, (word, test) in enumerate(zip(words, tests.values(), strict=True)):
        middle, low, high = ([100 * end] for end in (test.difference, test.low, test.high))
        style.intervals(axes, middle, low, high, [row], **looks[word])
    axes.axvline(0, color=GREY, linestyle=":")
    style.rows(axes, list(runs))
    axes.set_xlabel("test accuracy less the reference's (points)")
    entries = [Line2D([], [], ls="none", label=word, **look) for word, look in looks.items()]
    style.legend_above(axes, entries)
    found = f"Of {len(runs)} changes {words.count('gains')} gain and {words.count('loses')} lose"
    said = "; ".join(f"{name} {test}" for name, test in tests.items())
    spurious = (
        "Each interval stands for itself: of twenty changes that do nothing one would seem to do something"
    )
    return style.finished(figure, title or found, f"Paired differences: {said}", spurious, note)


@styled
def by_learning_rate(groups: Mapping[str, Mapping[float, Run]], title: str = "") -> Figure:
    """Test error against the learning rate, both axes logarithmic, with Wilson's 95% intervals.

    `groups`: name to its runs by their rate; three at most. A ring marks the rate of a group's highest
    validation accuracy.
    """
    note = cautions(
        {f"{name} {scientific(rate)}": run for name, runs in groups.items() for rate, run in runs.items()}
    )
    figure, axes = style.panel(4.2)
    found, told = [], []
    series = zip(groups.items(), style.looks(groups).values(), ASIDE[: len(groups)], strict=True)
    for (name, runs), look, shift in series:
        rates = sorted(runs)
        beside = np.multiply(rates, shift)
        right = [evaluation.accuracy(runs[rate].correct("test")) for rate in rates]
        middle, high, low = (1 - share for share in columns(right, "value low high"))
        axes.errorbar(beside, middle, yerr=[middle - low, high - middle], capsize=3, label=name, **look)
        best = max(range(len(rates)), key=lambda at: runs[rates[at]].metrics["val_end2end"])
        axes.plot(beside[best], middle[best], "o", ms=13, mfc="none", color=look["color"])
        found.append(f"{name} {percent(right[best].value)} at {scientific(rates[best])}")
        told += [f"{name} at {scientific(rate)} {share}" for rate, share in zip(rates, right, strict=True)]
    axes.set(xscale="log", yscale="log", xlabel="learning rate")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    style.percent_axis(axes.yaxis, "test error")
    axes.minorticks_off()
    style.legend_above(axes)
    described = f"Test accuracy: {'; '.join(told)}"
    rings = "Rings: best on validation. Bars: 95% intervals, one seed. Equal rates stand side by side"
    found_title = f"At the rate that validation chooses: {', '.join(found)}"
    return style.finished(figure, title or found_title, described, rings, note)


@styled
def paired_outcomes(
    runs: Mapping[str, Run], views: tuple[str, str] = ("plain", "plain"), title: str = ""
) -> Figure:
    """Test images that only one of two runs gets right, by class, with McNemar's exact test of their totals.

    `views` of the two runs' predictions: to see what averaging over the flip does, give one run under
    two names and views ('plain', 'tta').
    """
    (first, before), (second, after) = _two(runs)
    note, names, labels = cautions(runs), CLASSES[after.dataset], after.labels("test")
    if not np.array_equal(labels, before.labels("test")):
        raise ValueError(f"{first!r} and {second!r} were tested on different images: class counts differ")
    old, new = before.correct("test", views[0]), after.correct("test", views[1])
    lost, gained = (np.bincount(labels[only], minlength=len(names)) for only in (old & ~new, new & ~old))
    figure, axes = style.panel(4.0)
    for counts, sign, who, colour, hatch in ((lost, -1, first, 1, "///"), (gained, 1, second, 0, "")):
        look: dict[str, Any] = {"color": PALETTE[colour], "hatch": hatch, "edgecolor": "white"}
        bars = axes.barh(range(len(names)), sign * counts, label=f"only {who} is right", **look)
        axes.bar_label(bars, [f"{count:,}" for count in counts], padding=3)
    style.rows(axes, names)
    axes.axvline(0, color=GREY, linewidth=1)
    axes.grid(False, axis="y")
    axes.margins(x=0.12)
    axes.xaxis.set_major_formatter(lambda value, _: f"{abs(value):,.0f}")
    axes.set_xlabel("test images")
    style.legend_above(axes)
    test, both = evaluation.paired(old, new), (old & new).sum()
    found = f"{second} corrects {test.only_second:,} images and loses {test.only_first:,}: {test}"
    described = f"Images that one alone gets right, by class; both are right on {both:,} of {test.n:,}"
    return style.finished(figure, title or found, described, note)


@styled
def tta_gain(runs: Mapping[str, Run], published: float | None = None, title: str = "") -> Figure:
    """What averaging over the flip adds to each run's test accuracy, with its paired bootstrap interval.

    `published`: the seed study's gain, as a share.
    """
    note = cautions(runs)
    _refuse_published(published, list(runs.values()))
    gains = {
        name: evaluation.paired(run.correct("test"), run.correct("test", "tta")) for name, run in runs.items()
    }
    middle, low, high = columns(list(gains.values()), "difference low high")
    figure, axes = style.panel(1.5 + 0.4 * len(runs))
    look: dict[str, Any] = {"color": PALETTE[0], "marker": "o", "label": "measured, 95% interval"}
    style.intervals(axes, 100 * middle, 100 * low, 100 * high, range(len(runs)), **look)
    axes.axvline(0, color=GREY, linewidth=1)
    if published is not None:
        label = f"published, {points(published)}"
        axes.axvline(100 * published, color=PALETTE[1], linestyle="--", label=label)
    style.rows(axes, list(runs))
    axes.set_xlabel("gain in test accuracy (points)")
    style.legend_above(axes)
    found = "; ".join(f"{name} {gain}" for name, gain in gains.items())
    return style.finished(figure, title or f"Averaging over the flip: {found}", "Gain by run", note)
