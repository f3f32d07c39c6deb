"""Figures of a network's answers beside those of people."""

from collections.abc import Sequence

import numpy as np

from helpers.analysis import people
from helpers.analysis.people import Band
from helpers.data.sources import class_names
from helpers.figures import images as sheets
from helpers.figures import style
from helpers.figures.style import NARROW, PALETTE, Array, Figure, columns, dataset_note, styled
from helpers.text import percent


@styled
def error_by_agreement(bands: Sequence[Band], dataset: str) -> Figure:
    """A network's error, with Wilson's 95% interval, by how many people chose the label, beside a person's.

    A row a band, in the order given.
    """
    figure, axes = style.panel(1.6 + 0.5 * len(bands), NARROW)
    middle, high, low = (1 - share for share in columns([each.right for each in bands]))
    rows = np.arange(len(bands))
    style.intervals(axes, middle, low, high, rows - 0.1, color=PALETTE[0], marker="o", label="the network")
    person = [1 - each.person for each in bands]
    axes.plot(person, rows + 0.1, "s", color=PALETTE[1], mfc="white", mew=1.8, label="one person, at random")
    names = [_words(each) for each in bands]
    style.rows(axes, [f"{name}\n{each.right.n:,} images" for name, each in zip(names, bands, strict=True)])
    axes.set_ylabel("people who choose the label")
    style.percent_axis(axes.xaxis, "error, 95% interval")
    style.legend_above(axes, columns=1)
    found = f"The network errs on {percent(middle[0])} where {names[0]} choose the label"
    found += f", on {percent(middle[-1])} where {names[-1]} do"
    described = "; ".join(
        f"{name}: network {percent(one)}, person {percent(two)}"
        for name, one, two in zip(names, middle, person, strict=True)
    )
    return style.finished(figure, found, f"Error by agreement. {described}", dataset_note(dataset))


def _words(band: Band) -> str:
    if band.low >= 1:
        return "all"
    low = "" if band.low == 0 else f"{band.low:.0%} or more, "
    return f"{low}under {band.high:.0%}"


@styled
def sided_images(images: Array, labels: Array, predicted: Array, counts: Array, dataset: str) -> Figure:
    """The images that a network and most people call another class than their label, the clearest first.

    `images` (n, side, side, 3) in [0, 255], `labels` and `predicted` int (n,), `counts` of people
    (n, classes).
    """
    names, share = style.class_labels(class_names(dataset)), people.chosen(counts, predicted)
    siding = people.siding(counts, labels, predicted)
    shown = siding[: sheets.ERRORS]
    captions = [f"{names[predicted[n]]} {percent(share[n], 0)}\nlabel: {names[labels[n]]}" for n in shown]
    figure = sheets.sheet(images[shown], captions)
    errors = int(np.sum(predicted != labels))
    found = f"In {len(siding):,} of {errors:,} errors most people say what the network says"
    described = "; ".join(caption.replace("\n", ", ") for caption in captions)
    above = "Above each image: what both say, how many of the people, and the label"
    return style.finished(
        figure, found, f"{len(shown)} such images: {described}", above, dataset_note(dataset)
    )
