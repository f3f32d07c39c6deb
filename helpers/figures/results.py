"""Figures of results: accuracy, confusion, calibration, and what one run gains on another.

`runs` is always a mapping from the name that the figure shows to the Run.
"""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator

from helpers.analysis import intervals, metrics
from helpers.analysis.groups import Group, best_rate, gain, paired
from helpers.analysis.intervals import Gain, PairedTest, describe_difference
from helpers.figures import style
from helpers.figures.style import GREY, NARROW, PALETTE, Figure, cautions, columns, styled
from helpers.records import published
from helpers.records.run import Run
from helpers.text import percent, scientific, span

LONG = 30
"""Letters of a row's name beside which a legend fits only where it ends with its axes."""
SMALLEST_BIN = 10
"""Images that a bin of the reliability curve must hold to be drawn."""
SIDE_BY_SIDE = (0.86, 1.0, 1.16)
"""A factor a group, which sets its marks beside those of equal rates on a logarithmic axis."""
DIVERGED = 2
"""Times chance: a run that is right on no more has diverged."""


def _two_runs(runs: Mapping[str, Run]) -> tuple[tuple[str, Run], tuple[str, Run]]:
    """The only two runs, each with its name.

    Raises ValueError where there are more or fewer, or where they were tested on different images.
    """
    if len(runs) != 2:
        raise ValueError(f"this figure compares two runs and was given {len(runs)}: {', '.join(runs)}")
    first, second = runs.items()
    if (first[1].matrix() - second[1].matrix()).sum(axis=1).any():
        names = " and ".join(map(repr, runs))
        raise ValueError(f"{names} were tested on different images: class counts differ")
    return first, second


def _matrix_note(runs: Mapping[str, Run]) -> str:
    """Which matrices count predictions averaged over the flip, as a published log's may."""
    logs = {label: published.tta_accuracy(run) for label, run in runs.items() if run.is_published_log}
    averaged = [f"{label}, {percent(accuracy)} right" for label, accuracy in logs.items() if accuracy]
    return f"Matrix of predictions averaged over the flip: {'; '.join(averaged)}" if averaged else ""


@styled
def per_class_accuracy(runs: Mapping[str, Run]) -> Figure:
    """Test accuracy of each class with Wilson's 95% interval, the first run's hardest class on top."""
    note, properties = cautions(runs), style.line_styles(runs)
    first, run = next(iter(runs.items()))
    share = np.array([each.value for each in metrics.class_accuracy(run.matrix())])
    order = style.ends(np.argsort(share))
    classes = style.class_labels(run.classes)
    names = [classes[c] for c in order]
    figure, axes = style.panel(max(4.2, 1.2 + 0.24 * len(order)), NARROW)
    for shift, label in zip(np.linspace(-0.2, 0.2, len(runs) + 2)[1:-1], runs, strict=True):
        rows = metrics.class_accuracy(runs[label].matrix())
        middle, low, high = columns([rows[c] for c in order])
        style.intervals(
            axes, middle, low, high, np.arange(len(order)) + shift, label=label, **properties[label]
        )
    style.rows(axes, names)
    style.percent_axis(axes.xaxis, "test accuracy, 95% interval")
    style.legend_above(axes)
    found = f"{first}: {names[0]} is hardest, {percent(share.min())} right"
    found += f"; {names[-1]} easiest, {percent(share.max())}"
    described = ", ".join(f"{name} {percent(of)}" for name, of in zip(names, share[order], strict=True))
    some = style.classes_note(order, run.classes, "the hardest and the easiest")
    return style.finished(figure, found, f"Accuracy by class: {described}", some, note, _matrix_note(runs))


@styled
def confusion(run: Run) -> Figure:
    """The confusion matrix in images, its errors coloured; of many classes the largest confusions alone."""
    matrix, names = run.matrix(), style.class_labels(run.classes)
    if len(names) > style.MOST_CLASSES:
        return largest_confusions(run)
    errors = matrix * ~np.eye(len(names), dtype=bool)
    figure, axes = style.panel(5.2)
    looks = {"xticklabels": names, "yticklabels": names, "cbar": False, "linewidths": 0.5, "cmap": "Blues"}
    sns.heatmap(errors, annot=matrix, fmt="d", ax=axes, **looks)
    axes.set(xlabel="predicted class (cells: test images)", ylabel="true class")
    axes.tick_params(axis="x", rotation=40)
    for place in range(len(names)):
        axes.add_patch(Rectangle((place, place), 1, 1, color="#DDDDDD"))
    described = f"Confusion matrix of {run.name}: {np.trace(matrix):,} of {matrix.sum():,} test images right"
    runs = {run.name: run}
    return style.finished(figure, _most_confused(run), described, cautions(runs), _matrix_note(runs))


def _most_confused(run: Run) -> str:
    """The pair of classes that a run confuses most often, in words."""
    matrix = run.matrix()
    errors, pair = (
        matrix.sum() - matrix.trace(),
        metrics.confused_pairs(matrix, style.class_labels(run.classes))[0],
    )
    if not errors:
        return "No test image is taken for another class"
    which = f"{pair.first} and {pair.second} are most often taken for each other"
    return f"{which}: {pair.errors:,} of {errors:,} errors"


@styled
def largest_confusions(run: Run) -> Figure:
    """The ten largest flows from a true class to the one that it was taken for, in test images."""
    matrix, names = run.matrix(), style.class_labels(run.classes)
    errors, flows = int(matrix.sum() - matrix.trace()), metrics.largest_flows(matrix, names, most=10)
    figure, axes = style.panel(1.2 + 0.27 * max(1, len(flows)), NARROW)
    pair = metrics.confused_pairs(matrix, names)[0]
    both = [{flow.true, flow.predicted} == {pair.first, pair.second} for flow in flows]
    colours = [PALETTE[1] if of_pair else PALETTE[0] for of_pair in both]
    bars = axes.barh(range(len(flows)), [flow.errors for flow in flows], color=colours, height=0.7)
    axes.bar_label(bars, [f"{flow.errors:,}" for flow in flows], padding=3)
    style.rows(axes, [f"{flow.true} taken for {flow.predicted}" for flow in flows])
    axes.grid(False)
    axes.margins(x=0.08)
    axes.set_xlabel("test images")
    listed = "; ".join(f"{flow.true} taken for {flow.predicted} {flow.errors:,}" for flow in flows)
    of_all = f"The flows drawn hold {sum(flow.errors for flow in flows):,} of the {errors:,} errors"
    runs = {run.name: run}
    return style.finished(figure, _most_confused(run), listed, of_all, cautions(runs), _matrix_note(runs))


@styled
def changed_confusions(runs: Mapping[str, Run]) -> Figure:
    """The ten largest flows of two runs together, from a true class to the one that it was taken for.

    A row a flow, in test images: hollow the first run, filled the second.
    """
    (first, before), (second, after) = _two_runs(runs)
    note, names = cautions(runs), style.class_labels(after.classes)
    matrices = before.matrix(), after.matrix()
    flows = metrics.largest_flows(sum(matrices), names, most=10)
    places = [(names.index(flow.true), names.index(flow.predicted)) for flow in flows]
    old, new = ([int(matrix[place]) for place in places] for matrix in matrices)
    figure, axes = style.panel(1.4 + 0.27 * max(1, len(flows)), NARROW)
    rows = range(len(flows))
    axes.hlines(rows, old, new, color=GREY, linewidth=1.2)
    axes.plot(old, rows, "o", color=PALETTE[1], mfc="white", mew=1.8, label=first)
    axes.plot(new, rows, "o", color=PALETTE[0], label=second)
    confused = [f"{flow.true} taken for {flow.predicted}" for flow in flows]
    style.rows(axes, confused)
    axes.grid(False, axis="y")
    axes.set_xlim(left=0)
    axes.set_xlabel("test images")
    wide = max(map(len, confused), default=0) > LONG
    style.legend_above(axes, columns=1, right=wide)  # two columns would not fit
    errors = [int(matrix.sum() - matrix.trace()) for matrix in matrices]
    found = f"{second} makes {errors[1]:,} errors, {first} {errors[0]:,}"
    listed = "; ".join(
        f"{flow.true} taken for {flow.predicted} {one:,}, then {two:,}"
        for flow, one, two in zip(flows, old, new, strict=True)
    )
    of_all = f"The flows drawn hold {sum(old):,} and {sum(new):,} of these errors"
    return style.finished(figure, found, listed, of_all, note, _matrix_note(runs))


@styled
def reliability(runs: Mapping[str, Run], bins: int = 15) -> Figure:
    """Accuracy against confidence on the test images, with the expected calibration error; below, how sure.

    bins: of the curve and of that error. Raises RecordError for a run without probabilities.
    """
    note = cautions(runs)
    figure = Figure(figsize=(NARROW, 6.0))
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(5, 3))
    upper.plot([0, 1], [0, 1], ":", color=GREY, label="perfect calibration")
    found = []
    for label, properties in style.line_styles(runs).items():
        answers = runs[label].probabilities("test"), runs[label].labels("test")
        curve, whole = metrics.reliability(*answers, bins), metrics.calibration(*answers, bins)
        drawn, name = curve.count >= SMALLEST_BIN, f"{label}, calibration error {whole.error:.1%}"
        upper.plot(curve.confidence[drawn], curve.accuracy[drawn], label=name, **properties)
        lower.plot(curve.confidence[drawn], curve.count[drawn] / curve.count.sum(), **properties)
        surplus = whole.confidence - whole.accuracy
        found += [f"{label} is {100 * abs(surplus):.1f} points {'over' if surplus > 0 else 'under'}confident"]
    style.percent_axis(upper.yaxis, "accuracy")
    style.percent_axis(lower.yaxis, "images")
    style.percent_axis(lower.xaxis, "confidence: probability of the predicted class")
    style.legend_above(upper, columns=1)
    described = "Accuracy of the test images by confidence, beside the diagonal"
    few = f"Bins of fewer than {SMALLEST_BIN} images are not drawn"
    return style.finished(figure, "; ".join(found), described, few, note)


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
    The axis is logarithmic, so that tenths of a point show beside a failure. Raises ValueError where
    published figures would stand beside runs on other images than the study's.
    """
    note = cautions({f"{name} ({run.name})": run for name, group in runs.items() for run in group})
    if published and not all(run.is_study_data for group in runs.values() for run in group):
        raise ValueError(
            "the published figures are CIFAR-10's and do not compare with other images': leave them out"
        )
    figure, axes = style.panel(1.7 + 0.6 * len(runs), NARROW)
    labels, ratios = {}, []
    for row, (name, group) in enumerate(runs.items()):
        measured = [intervals.proportion(run.test_accuracy, run.size("test")) for run in group]
        middle, high, low = (1 - share for share in columns(measured))
        rows = row + np.linspace(-0.3, 0.3, len(group) + 2)[1:-1]
        style.intervals(axes, middle, low, high, rows, color=PALETTE[0], marker="o")
        labels[name] = percent(1 - middle.mean())
        if name in published:
            axes.plot(1 - published[name], row, **PUBLISHED)
            labels[name] += f", published {percent(published[name])}"
            ratios.append(middle.mean() / (1 - published[name]))
    style.rows(axes, [f"{textwrap.fill(name, 24)}\n{share}" for name, share in labels.items()])
    axes.set(xscale="log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5, 7)))
    style.percent_axis(axes.xaxis, "test error")
    axes.minorticks_off()
    dot = Line2D([], [], color=PALETTE[0], marker="o", label="a run, 95% interval")
    shown = [dot, Line2D([], [], label="published", **PUBLISHED)] if published else [dot]
    style.legend_above(axes, shown, columns=1)
    shares = "; ".join(f"{name} {share}" for name, share in labels.items())
    fewer = sum(ratio < 1 for ratio in ratios)
    found = f"Fewer errors than published in {fewer} of {len(ratios)} rows" if ratios else shares
    return style.finished(figure, title or found, f"Test accuracy: {shares}", note)


@styled
def gains(runs: Mapping[str, Run], reference: Run) -> Figure:
    """What each run gains over a reference on the same test images, with its paired interval.

    A row a run, in the order given; where the interval holds zero the mark is hollow.
    """
    note = cautions({"reference": reference, **runs})
    tests = {name: paired(reference, run) for name, run in runs.items()}
    figure, axes = style.panel(1.6 + 0.3 * len(runs), NARROW)
    properties: dict[str, dict[str, Any]] = {
        "gains": {"color": PALETTE[0], "marker": "^"},
        "loses": {"color": PALETTE[1], "marker": "v"},
        "no difference shown": {"color": GREY, "marker": "o", "mfc": "none"},
    }
    words = [describe_difference(test, *properties) for test in tests.values()]
    for row, (word, test) in enumerate(zip(words, tests.values(), strict=True)):
        middle, low, high = ([100 * end] for end in (test.difference, test.low, test.high))
        style.intervals(axes, middle, low, high, [row], **properties[word])
    axes.axvline(0, color=GREY, linestyle=":")
    style.rows(axes, list(runs))
    axes.set_xlabel("points gained, 95% intervals")
    entries = [Line2D([], [], ls="none", label=word, **each) for word, each in properties.items()]
    style.legend_above(axes, entries, columns=1)
    found = f"Of {len(runs)} changes {words.count('gains')} gain and {words.count('loses')} lose"
    differences = "; ".join(f"{name} {test}" for name, test in tests.items())
    shared = "All are compared with one run: another seed of it would move every row"
    spurious = "Of idle changes one in twenty seems to act"
    return style.finished(figure, found, f"Paired differences: {differences}", shared, spurious, note)


@styled
def by_learning_rate(groups: Mapping[str, Mapping[float, Run]], title: str) -> Figure:
    """Test accuracy against the learning rate, with Wilson's 95% intervals.

    `groups`: name to its runs by their rate; three at most. A ring marks the rate of a group's highest
    validation accuracy. A run that is right on at most DIVERGED times chance is marked at the edge alone.
    """
    note = cautions(
        {f"{name} {scientific(rate)}": run for name, runs in groups.items() for rate, run in runs.items()}
    )
    figure, axes = style.panel(4.4, NARROW)
    measured, diverged = [], []
    series = zip(groups.items(), style.line_styles(groups).values(), SIDE_BY_SIDE[: len(groups)], strict=True)
    for (name, runs), properties, shift in series:
        rates = sorted(runs)
        beside = np.multiply(rates, shift)
        right = [intervals.accuracy(runs[rate].correct("test")) for rate in rates]
        middle, low, high = columns(right)
        lost = middle <= DIVERGED / len(runs[rates[0]].classes)
        reach = np.where(lost, np.nan, [middle - low, high - middle])
        seen = np.where(lost, np.nan, middle)
        axes.errorbar(beside, seen, yerr=reach, capsize=3, label=name, **properties)
        edge: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "clip_on": False, "ms": 8}
        axes.plot(beside[lost], np.zeros(lost.sum()), "v", color=properties["color"], **edge)
        diverged += list(middle[lost])
        best = rates.index(best_rate({rate: [runs[rate]] for rate in rates}))
        axes.plot(beside[best], seen[best], "o", ms=13, mfc="none", color=properties["color"])
        measured += [
            f"{name} at {scientific(rate)} {share}" for rate, share in zip(rates, right, strict=True)
        ]
    axes.set(xscale="log", xlabel="learning rate")
    axes.margins(y=0.15)
    if diverged:
        told = f"diverged: {span(diverged)} right"
        axes.text(1, 0.05, told, color=GREY, ha="right", transform=axes.transAxes)
    style.percent_axis(axes.yaxis, "test accuracy")
    axes.minorticks_off()
    style.legend_above(axes)
    described = f"Test accuracy: {'; '.join(measured)}"
    rings = "Rings: best on validation. Bars: 95% intervals, one seed. Equal rates stand side by side"
    return style.finished(figure, title, described, rings, note)


@styled
def paired_outcomes(runs: Mapping[str, Run]) -> Figure:
    """Test images that only one of two runs gets right, by class, with McNemar's exact test of totals."""
    (first, before), (second, after) = _two_runs(runs)
    note, names, labels = cautions(runs), style.class_labels(after.classes), after.labels("test")
    old, new = before.correct("test"), after.correct("test")
    lost, gained = (np.bincount(labels[only], minlength=len(names)) for only in (old & ~new, new & ~old))
    shown = np.sort((lost + gained).argsort(kind="stable")[::-1][: style.MOST_CLASSES])
    figure, axes = style.panel(max(4.0, 1.2 + 0.24 * len(shown)), NARROW)
    for counts, sign, who, colour, hatch in ((lost, -1, first, 1, "///"), (gained, 1, second, 0, "")):
        properties: dict[str, Any] = {"color": PALETTE[colour], "hatch": hatch, "edgecolor": "white"}
        bars = axes.barh(range(len(shown)), sign * counts[shown], label=f"only {who} is right", **properties)
        axes.bar_label(bars, [f"{count:,}" for count in counts[shown]], padding=3)
    style.rows(axes, [names[c] for c in shown])
    axes.axvline(0, color=GREY, linewidth=1)
    axes.grid(False, axis="y")
    axes.margins(x=0.12)
    axes.xaxis.set_major_formatter(lambda value, _: f"{abs(value):,.0f}")
    axes.set_xlabel("test images")
    style.legend_above(axes, columns=1)
    test, both = intervals.paired(old, new), (old & new).sum()
    found = f"{second} corrects {test.only_second:,} images and loses {test.only_first:,}"
    described = (
        f"Images that one alone gets right, by class; both are right on {both:,} of {test.n:,}: {test}"
    )
    some = style.classes_note(shown, names, "those with most such images")
    return style.finished(figure, found, described, some, note)


@styled
def gains_by_seed(
    compared: Mapping[str, tuple[Group, Group]],
    title: str,
    published: float | None = None,
    views: tuple[str, str] = ("plain", "plain"),
) -> Figure:
    """What one experiment gains over another on the test images: hollow a seed, filled the mean of all.

    `compared`: name to the runs of the first and of the second, as many of each, with the same seeds in the
    same order; `published`: the study's figure, -1 to 1, drawn dashed; `views` of the two's predictions.
    """
    every = [run for both in compared.values() for group in both for run in group]
    note = cautions({run.name: run for run in every})
    found: list[tuple[str, PairedTest | Gain]] = []
    for name, (first, second) in compared.items():
        pairs = zip(first, second, strict=True)
        found += [(f"{name}, seed {one.seed}", paired(one, two, views=views)) for one, two in pairs]
        found += [(f"{name}, mean", gain(first, second, views))] if len(first) > 1 else []
    figure, axes = style.panel(1.4 + 0.3 * len(found), NARROW)
    for row, (_, test) in enumerate(found):
        middle = test.value if isinstance(test, Gain) else test.difference
        middles, lows, highs = ([100 * end] for end in (middle, test.low, test.high))
        mark: dict[str, Any] = {"marker": "D", "ms": 7} if isinstance(test, Gain) else {"mfc": "white"}
        style.intervals(axes, middles, lows, highs, [row], **{"marker": "o", "color": PALETTE[0], **mark})
    axes.axvline(0, color=GREY, linewidth=1)
    if published is not None:
        axes.axvline(100 * published, color=PALETTE[1], linestyle="--")
        axes.text(100 * published, -0.6, "published", color=PALETTE[1], ha="center", va="bottom")
    style.rows(axes, [name for name, _ in found])
    axes.set_xlabel("points gained on test, 95% intervals")
    said = "; ".join(f"{name} {test}" for name, test in found)
    return style.finished(figure, title, f"Differences: {said}", note)
