"""Figures of images: what the data look like, and what the network sees."""

import itertools
from collections.abc import Sequence

import numpy as np

from helpers.data.sources import class_names
from helpers.figures import style
from helpers.figures.style import NARROW, Array, Figure, dataset_note, styled
from helpers.text import percent

ERRORS, ACROSS = 16, 4
"""Images of a sheet of errors, at most, and how many a row: as many as a phone shows."""
FEWEST = 4
"""Columns of a contact sheet, at least: with fewer its rows would be as high as it is wide."""


@styled
def contact_sheet(images: Array, labels: Array, dataset: str) -> Figure:
    """The first images of each class, a row a class: as many as the rarest class has, from FEWEST to seven.

    Where a class lacks some, its row ends in blanks.

    `images` (n, side, side, 3) in [0, 255], `labels` int (n,), `dataset` as in an Experiment.
    """
    style.check_pixels(images)  # here: a blank is white, and would hide images in [0, 1]
    classes, counts = np.unique(labels, return_counts=True)
    columns, names = min(7, max(FEWEST, counts.min())), style.class_labels(class_names(dataset))
    apart = np.unique(np.linspace(0, len(classes) - 1, min(len(classes), style.MOST_CLASSES)).round())
    classes = classes[apart.astype(int)]
    tiles = np.full((len(classes), columns, *images.shape[1:]), 255, images.dtype)
    for row, label in zip(tiles, classes, strict=True):
        own = images[labels == label][:columns]
        row[: len(own)] = own
    figure, axes = style.panel(0.6 + 0.8 * NARROW * len(classes) / columns, NARROW)
    _, y = style.image_grid(axes, tiles)
    shown = [names[label] for label in classes]
    axes.set_yticks(y, shown)
    title = f"{len(names):,} classes in {images.shape[1]} by {images.shape[2]} pixels"
    least = "" if counts.min() >= columns else "at most "
    described = f"{least}{columns} images of each class: {', '.join(shown)}"
    some = style.classes_note(shown, names, "at even distances in the alphabet")
    return style.finished(figure, title, described, some, dataset_note(dataset))


@styled
def augmentation_sheet(originals: Array, views: Array, dataset: str, title: str = "") -> Figure:
    """Each image beside its augmented views, a row an image.

    `originals` (n, side, side, 3) and `views` (n, v, side, side, 3), both in [0, 255].
    """
    tiles = np.concatenate([originals[:, None], views], axis=1)
    figure, axes = style.panel(0.9 + 0.95 * NARROW * tiles.shape[0] / tiles.shape[1], NARROW)
    x, _ = style.image_grid(axes, tiles)
    axes.set_xticks(x, ["original", *(f"view {number}" for number in range(views.shape[1]))])
    axes.xaxis.tick_top()
    title = title or "Augmentation changes an image, and leaves its class plain to see"
    description = f"{len(originals)} images in rows: the original, then {views.shape[1]} augmented views"
    return style.finished(figure, title, description, dataset_note(dataset))


@styled
def network_view(images: Array, resized: Array, dataset: str) -> Figure:
    """Images as stored, above the same images as the network sees them.

    `images` (n, side, side, 3), `resized` (n, larger, larger, 3), both in [0, 255].
    """
    sides = images.shape[1], resized.shape[1]
    figure = Figure(figsize=(NARROW, 0.7 + 1.9 * NARROW / len(images)))
    for axes, tiles, side in zip(figure.subplots(2, 1), (images, resized), sides, strict=True):
        _, y = style.image_grid(axes, tiles[None])
        axes.set_yticks(y, [f"{side} px"])
    factor = (sides[1] / sides[0]) ** 2
    title = f"The network sees {factor:.0f} times as many pixels, and not one detail more"
    if factor == 1:
        title = "The network sees the pictures at the size at which they are stored"
    description = f"{len(images)} images at {sides[0]} pixels a side, and interpolated to {sides[1]}"
    return style.finished(figure, title, description, dataset_note(dataset))


@styled
def confident_errors(images: Array, labels: Array, probabilities: Array, dataset: str) -> Figure:
    """The errors that a network is surest of: each image, what it was taken for and how surely, its label.

    `images` (n, side, side, 3) in [0, 255], `labels` int (n,) and `probabilities` (n, classes), of the same
    images in the same order. Where all are right, the least sure answers.
    """
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    names = style.class_labels(class_names(dataset))
    wrong = np.flatnonzero(predicted != labels)
    chosen = wrong[np.argsort(-confidence[wrong], kind="stable")][:ERRORS]
    if not len(wrong):
        chosen = np.argsort(confidence, kind="stable")[:ERRORS]
    captions = [
        f"{names[predicted[n]]} {percent(confidence[n], 0)}\nlabel: {names[labels[n]]}" for n in chosen
    ]
    figure = sheet(images[chosen], captions)
    above = np.sum(confidence[wrong] > 0.9)
    title = f"Of {len(wrong):,} errors, {above:,} were made with a probability above 90%"
    if not len(wrong):
        title = f"All of {len(labels):,} images are right; these answers are the least sure"
    which = "surest errors" if len(wrong) else "least sure answers"
    described = f"The {len(chosen)} {which}, each with what it was taken for and its label"
    return style.finished(figure, title, described, dataset_note(dataset))


def sheet(images: Array, captions: Sequence[str]) -> Figure:
    """Images (n, side, side, 3) in [0, 255], each below its caption."""
    rows = max(1, -(-len(images) // ACROSS))
    figure = Figure(figsize=(NARROW, 0.8 + 1.5 * rows))
    places = figure.subplots(rows, ACROSS, squeeze=False).flat
    for axes, picture, caption in itertools.zip_longest(places, images, captions):
        axes.set_axis_off()
        if picture is not None:
            axes.imshow(picture.astype(np.uint8), interpolation="nearest")
            axes.set_title(caption, fontsize=8)
    return figure
