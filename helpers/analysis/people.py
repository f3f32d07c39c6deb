"""What people say of images, beside what a network says.

counts: how many people chose each class, whole numbers (n, classes); labels and predictions are (n,) whole
numbers from 0, of the same images in the same order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from helpers.analysis.intervals import Gain, Proportion, accuracy, student


def chosen(counts: ArrayLike, classes: ArrayLike) -> NDArray[np.float64]:
    """The share of people who chose the class given for each image, (n,) in 0 to 1."""
    people = np.asarray(counts)
    of_class = np.take_along_axis(people, np.asarray(classes)[:, None], axis=1)[:, 0]
    return of_class / people.sum(axis=1)


def one_person(agreed: ArrayLike) -> Proportion:
    """How often one person, drawn anew for each image, chooses its label.

    agreed: the share of people who chose it, (n,). The interval is for other images: of a mean, by Student.
    """
    return Proportion(*student(agreed), n=np.size(agreed))


def network_less_person(correct: ArrayLike, agreed: ArrayLike) -> Gain:
    """The network's accuracy less that of `one_person` on the same images, from its correctness (n,)."""
    return Gain(*student(np.subtract(correct, agreed, dtype=float)), seeds=1)


@dataclass(frozen=True)
class Band:
    """Images on which people agree about as much."""

    low: float
    """The share of people who chose the label is from `low` to below `high`; in the last band 1."""
    high: float
    right: Proportion
    """Of the network's answers."""
    person: float
    """Accuracy of one person drawn at random, 0 to 1."""


def bands(correct: ArrayLike, agreed: ArrayLike, edges: Sequence[float]) -> list[Band]:
    """The network's accuracy by how many people chose the label; of the last band all did.

    edges: where bands begin, rising from 0; none at 1, where the last one begins. A band without an image is
    left out.
    """
    right, share = np.asarray(correct, bool), np.asarray(agreed, float)
    ends = [*edges, 1.0, np.inf]
    found = []
    for low, high in zip(ends[:-1], ends[1:], strict=True):
        within = (share >= low) & (share < high)
        if within.any():
            person = float(share[within].mean())
            found.append(Band(float(low), float(min(high, 1.0)), accuracy(right[within]), person))
    return found


def siding(counts: ArrayLike, labels: ArrayLike, predicted: ArrayLike) -> NDArray[Any]:
    """Which images a network calls another class than their label, as more than half of the people do.

    Indices (m,), those first on which most people do.
    """
    with_it = chosen(counts, predicted)
    found = np.flatnonzero((np.asarray(predicted) != np.asarray(labels)) & (with_it > 0.5))
    return found[np.argsort(-with_it[found], kind="stable")]
