"""Chapter 7, its last question: do the errors that remain lie where people disagree?"""

from dataclasses import dataclass

import numpy as np

from helpers.analysis import people
from helpers.analysis.intervals import Gain, Proportion
from helpers.analysis.metrics import Array
from helpers.analysis.people import Band
from helpers.data import cifar10h

EDGES = (0.0, 0.5, 0.8, 0.95)
"""Where the bands of agreement begin; the last one, of full agreement, at 1."""
CLEAR = 0.95
"""An image is clear where more than this share of people chose its label."""


@dataclass(frozen=True)
class People:
    """A network's answers on test images beside those of people, in the same order."""

    labels: Array
    """(n,) int; so is `predicted`."""
    predicted: Array
    counts: Array
    """How many people chose each class, (n, classes)."""

    @property
    def correct(self) -> Array:
        """Whether the network is right, (n,)."""
        return self.predicted == self.labels

    @property
    def agreed(self) -> Array:
        """The share of people who chose the label, (n,) in 0 to 1."""
        return people.chosen(self.counts, self.labels)

    @property
    def person(self) -> Proportion:
        """How often one person drawn at random is right."""
        return people.one_person(self.agreed)

    @property
    def gain(self) -> Gain:
        """The network's accuracy less that person's."""
        return people.network_less_person(self.correct, self.agreed)

    @property
    def bands(self) -> list[Band]:
        """The images by how many people chose the label, the most disputed first."""
        return people.bands(self.correct, self.agreed, EDGES)

    @property
    def agreement(self) -> tuple[float, float]:
        """The mean share of people who chose the label where the network is right, and where it errs."""
        right = self.correct
        return float(self.agreed[right].mean()), float(self.agreed[~right].mean())

    @property
    def errors(self) -> int:
        """Images that the network gets wrong."""
        return int((~self.correct).sum())

    @property
    def clear_errors(self) -> int:
        """Of them those that more than CLEAR of people label right."""
        return int((~self.correct & (self.agreed > CLEAR)).sum())


def stored(official: Array, predicted: Array) -> People | None:
    """The people beside predictions in class order; None where this machine has not what they said.

    official: the labels of all test images in the official order, which the people's answers are in. Raises
    DataError for a file that is altered, or missing where it is said to be.
    """
    place = cifar10h.locate()
    if place is None:
        return None
    order = np.argsort(official, kind="stable")
    return People(official[order], predicted, cifar10h.read(place)[order])
