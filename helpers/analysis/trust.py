"""When a network's answer can be believed: above a confidence that is chosen on validation images."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from statsmodels.stats.proportion import proportion_confint

from helpers.analysis.intervals import LEVEL, Proportion, accuracy

RISK = 0.01
"""Share of wrong answers, 0 to 1, among those that may be believed."""


def threshold(probabilities: NDArray[Any], labels: ArrayLike, risk: float = RISK) -> float | None:
    """The lowest confidence at or above which no more than a share `risk` of the answers is wrong.

    probabilities (n, classes) and labels (n,) are of images that the network did not train on. Confidence is
    the largest probability, 0 to 1. The share counts as no more than `risk` where the upper end of its 95%
    interval (Wilson 1927) is. None where no confidence is enough. After Geifman and El-Yaniv 2017, Selective
    Classification for Deep Neural Networks. They bound all confidences that are tried together; here the
    interval is of each alone, so that it promises a little too much: other images have to show what it does.
    """
    values = np.asarray(probabilities, np.float64)
    confidence, wrong = values.max(axis=1), values.argmax(axis=1) != np.asarray(labels)
    order = np.argsort(-confidence, kind="stable")
    answered = np.arange(1, len(order) + 1)
    _, most = proportion_confint(np.cumsum(wrong[order]), answered, alpha=1 - LEVEL, method="wilson")
    # Equal confidences are answered together: the last of them stands for all.
    last = np.append(np.diff(confidence[order]) < 0, True)
    enough = np.flatnonzero((most <= risk) & last)
    return float(confidence[order[enough[-1]]]) if len(enough) else None


def believed(
    probabilities: NDArray[Any], labels: ArrayLike, threshold: float
) -> tuple[Proportion, Proportion] | None:
    """What a threshold does on images (n, classes) with labels (n,); None where it believes no answer.

    The share of the images whose answer is believed, and the share of these answers that are wrong.
    """
    values = np.asarray(probabilities, np.float64)
    chosen = values.max(axis=1) >= threshold
    if not chosen.any():
        return None
    wrong = (values.argmax(axis=1) != np.asarray(labels))[chosen]
    return accuracy(chosen), accuracy(wrong)
