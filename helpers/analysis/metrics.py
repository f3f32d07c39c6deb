"""Probabilities to numbers: accuracy by class, calibration, losses.

Probabilities are (n, classes) in 0 to 1; labels and predictions are (n,) whole numbers from 0.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from sklearn import metrics as sk

from helpers.analysis.intervals import Proportion, proportion
from helpers.records.run import VIEWS

Array = NDArray[Any]
SMALLEST = 2.0**-24
"""The smallest probability above zero in float16; zeros count as this much in a logarithm."""


def confusion_matrix(labels: ArrayLike, predicted: ArrayLike, classes: int) -> NDArray[np.int64]:
    """Counts (classes, classes): rows true class, columns predicted."""
    return sk.confusion_matrix(labels, predicted, labels=range(classes))


def class_accuracy(matrix: ArrayLike) -> list[Proportion]:
    """Accuracy of each class, with Wilson's interval, from a confusion matrix (classes, classes)."""
    counts = np.asarray(matrix)
    return [proportion(row[true] / row.sum(), int(row.sum())) for true, row in enumerate(counts)]


def balanced_accuracy(matrix: ArrayLike) -> Proportion:
    """The mean of the classes' accuracies, each class alike, from a confusion matrix (classes, classes).

    Its interval is Wilson's at the number of images that would tell as much if their classes were equal: the
    classes' number squared over the sum of 1 / images of each (Kish 1965, section 11.7).
    """
    shares = class_accuracy(matrix)
    effective = len(shares) ** 2 / sum(1 / share.n for share in shares)
    return proportion(float(np.mean([share.value for share in shares])), round(effective))


@dataclass(frozen=True)
class ConfusedPair:
    """Two classes, in the order of their labels, and how often one is called the other."""

    first: str
    second: str
    errors: int
    """Images of either class that were called the other."""
    share: float
    """Part of all errors, 0 to 1."""


def confused_pairs(matrix: ArrayLike, classes: Sequence[str]) -> list[ConfusedPair]:
    """All pairs of classes, most confused first, from a confusion matrix; equals in label order."""
    counts = np.asarray(matrix)
    both = counts + counts.T
    all_errors = max(1, int(counts.sum() - counts.trace()))
    pairs = [
        ConfusedPair(classes[a], classes[b], int(both[a, b]), float(both[a, b] / all_errors))
        for a, b in itertools.combinations(range(len(classes)), 2)
    ]
    return sorted(pairs, key=lambda pair: -pair.errors)


@dataclass(frozen=True)
class Flow:
    """The images of one class that were called another."""

    true: str
    predicted: str
    errors: int


def largest_flows(matrix: ArrayLike, classes: Sequence[str], most: int) -> list[Flow]:
    """At most so many flows of a confusion matrix, the largest first, equals in label order, none empty."""
    counts = np.array(matrix)
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[:most]
    places = zip(*np.unravel_index(order, counts.shape), strict=True)
    return [Flow(classes[a], classes[b], int(counts[a, b])) for a, b in places if counts[a, b]]


@dataclass(frozen=True)
class Reliability:
    """The reliability curve: one value a bin of the largest probability, NaN where the bin is empty."""

    count: NDArray[np.int64]
    confidence: NDArray[np.float64]
    """(bins,) mean of the largest probability, 0 to 1."""
    accuracy: NDArray[np.float64]


def reliability(probabilities: Array, labels: ArrayLike, bins: int = 15) -> Reliability:
    """Confidence and accuracy in equal-width bins.

    Guo et al. 2017, On Calibration of Modern Neural Networks, section 2.
    """
    confidence = np.asarray(probabilities, np.float64).max(axis=1)
    correct = np.asarray(probabilities).argmax(axis=1) == np.asarray(labels)
    # Guo's bins are open on the left: ((m - 1) / bins, m / bins].
    member = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    count = np.bincount(member, minlength=bins)
    with np.errstate(invalid="ignore"):
        sums = (np.bincount(member, weights, minlength=bins) / count for weights in (confidence, correct))
        return Reliability(count, *sums)


def negative_log_likelihood(probabilities: Array, labels: ArrayLike) -> float:
    """Mean of -log p(true class), in nats."""
    return smoothed_cross_entropy(probabilities, labels, smoothing=0)


@dataclass(frozen=True)
class Calibration:
    """How far a network's probabilities can be believed."""

    confidence: float
    """Mean of the largest probability, 0 to 1."""
    accuracy: float
    error: float
    """The expected calibration error, 0 to 1: confidence less accuracy, bin by bin (Guo et al., eq. 3)."""
    log_loss: float
    """Mean negative logarithm of the true class's probability, in nats."""


def calibration(probabilities: Array, labels: ArrayLike, bins: int = 15) -> Calibration:
    """Confidence, accuracy, calibration error and log loss of probabilities (n, classes)."""
    curve = reliability(probabilities, labels, bins)
    filled = curve.count > 0
    gaps = np.abs(curve.accuracy - curve.confidence)[filled]
    return Calibration(
        confidence=float(probabilities.max(axis=1).mean()),
        accuracy=float((probabilities.argmax(axis=1) == labels).mean()),
        error=float(np.average(gaps, weights=curve.count[filled])),
        log_loss=negative_log_likelihood(probabilities, labels),
    )


def smoothed_cross_entropy(probabilities: Array, labels: ArrayLike, smoothing: float) -> float:
    """Mean cross-entropy, in nats, against labels smoothed as Keras does: the loss that training reports."""
    logs = np.log(np.maximum(np.asarray(probabilities, np.float64), SMALLEST))
    true = np.take_along_axis(logs, np.asarray(labels)[:, None], axis=1)[:, 0]
    return float(np.mean((1 - smoothing) * true + smoothing * logs.mean(axis=1)) * -1)


def smoothing_floor(smoothing: float, classes: int) -> float:
    """The lowest loss, in nats, that any prediction can reach against smoothed labels: their entropy.

    The true class has 1 - smoothing + smoothing / classes, each other smoothing / classes (Szegedy et al.
    2016, Rethinking the Inception Architecture, section 7).
    """
    label = np.full(classes, smoothing / classes)
    label[0] += 1 - smoothing
    return float(stats.entropy(label))


def from_probabilities(
    arrays: Mapping[str, Array], class_counts: Mapping[str, Sequence[int]], label_smoothing: float
) -> dict[str, float]:
    """The metrics of a record from its arrays `<split>_<view>` (n, classes), rows in class order.

    val_end2end, test_end2end: accuracies of the plain views; val_tta, test_tta: with the flip averaged in,
    all in 0 to 1; val_loss: the smoothed cross-entropy of the plain validation view, in nats.
    """
    labels = {split: np.repeat(np.arange(len(counts)), counts) for split, counts in class_counts.items()}
    values = {}
    for split, true in labels.items():
        plain, flipped = (np.asarray(arrays[f"{split}_{view}"], np.float32) for view in VIEWS)
        values[f"{split}_end2end"] = float(np.mean(plain.argmax(axis=1) == true))
        values[f"{split}_tta"] = float(np.mean(((plain + flipped) / 2).argmax(axis=1) == true))
    values["val_loss"] = smoothed_cross_entropy(arrays["val_plain"], labels["val"], label_smoothing)
    return values
