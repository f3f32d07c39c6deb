"""Probabilities to numbers: accuracies with intervals, paired tests, calibration, losses.

Arrays go in, numbers come out; never a model. Probabilities are (n, classes) in 0 to 1, labels and
predictions are (n,) whole numbers from 0, correctness is (n,) bool. Accuracies are shares in 0 to 1 and
turn into per cent only as text. Intervals are at 95%.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from sklearn import metrics as sk
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

from helpers.records import Run

Array = NDArray[Any]
LEVEL = 0.95
SMALLEST = 2.0**-24
"""The smallest probability above zero in float16; zeros count as this much in a logarithm."""


# ---------------------------------------------------------------------------- accuracy


@dataclass(frozen=True)
class Proportion:
    """A share in 0 to 1 with its 95% interval, of n images (or runs). As text: '91.6% (91.0 to 92.1)'."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.1%} ({100 * self.low:.1f} to {100 * self.high:.1f})"


def wilson(successes: int, n: int) -> tuple[float, float]:
    """Lower and upper end, in 0 to 1, of Wilson's 95% interval of a binomial share (Wilson 1927)."""
    low, high = proportion_confint(successes, n, alpha=1 - LEVEL, method="wilson")
    share = successes / n  # where nothing or everything counts, rounding may put an end past the share itself
    return min(float(low), share), max(float(high), share)


def accuracy(correct: ArrayLike) -> Proportion:
    """Share of correct answers with Wilson's interval, from correctness (n,)."""
    answers = np.asarray(correct, dtype=bool)
    return proportion(answers.mean(), len(answers))


def proportion(share: float, n: int) -> Proportion:
    """A known share (0 to 1) of n images with Wilson's interval: for logs without predictions."""
    return Proportion(float(share), *wilson(round(share * n), n), n)


def across_seeds(shares: Sequence[float]) -> Proportion:
    """Mean accuracy of at least two runs that differ in their seed, with Student's interval of the mean."""
    if len(shares) < 2:
        raise ValueError(f"{len(shares)} run gives no interval across seeds: use `accuracy` or `proportion`")
    centre, spread = np.mean(shares), stats.sem(shares)
    half = spread * stats.t.ppf((1 + LEVEL) / 2, len(shares) - 1)
    return Proportion(float(centre), float(centre - half), float(centre + half), len(shares))


def scientific(value: float) -> str:
    """A learning rate, or another small number, in two digits at most: 0.0003 is '3e-4', 3.76e-5 '3.8e-5'."""
    digits, exponent = f"{value:.1e}".split("e")
    return f"{digits.removesuffix('.0')}e{int(exponent)}" if value else "0"


# ---------------------------------------------------------------------------- two runs


@dataclass(frozen=True)
class PairedTest:
    """Second run against first on the same images. As text: '+0.4 points (0.1 to 0.7), p = 0.003'."""

    difference: float
    """Accuracy of the second less that of the first, -1 to 1; `low` to `high` is its bootstrap interval."""
    low: float
    high: float
    p_value: float
    """Exact McNemar test, two-sided."""
    only_first: int
    """Images that only the first run got right."""
    only_second: int
    n: int

    def __str__(self) -> str:
        p_value = f"p = {self.p_value:.2g}" if self.p_value >= 0.001 else "p < 0.001"
        return (
            f"{100 * self.difference:+.1f} points ({100 * self.low:.1f} to {100 * self.high:.1f}), {p_value}"
        )


def paired(first: ArrayLike, second: ArrayLike, resamples: int = 9999, seed: int = 0) -> PairedTest:
    """Compare two runs' correctness (n,) on the same images, in the same order.

    p_value: the exact McNemar test on the images that only one got right (McNemar 1947).
    Interval: percentiles of the paired bootstrap. A resample of n pairs is drawn as its counts of better,
    equal and worse pairs, which are multinomial: what resampling images gives, a thousand times faster.
    Raises ValueError where the lengths differ.
    """
    one, two = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    if one.shape != two.shape:
        raise ValueError(
            f"the runs answer {one.shape} and {two.shape} images: only the same ones can be paired"
        )
    n, only_first, only_second = len(one), int((one & ~two).sum()), int((two & ~one).sum())
    counts = np.array([only_first, only_second, n - only_first - only_second])
    drawn = np.random.default_rng(seed).multinomial(n, counts / n, size=resamples)
    low, high = np.quantile((drawn[:, 1] - drawn[:, 0]) / n, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    p_value = mcnemar([[0, only_first], [only_second, 0]], exact=True).pvalue
    difference = (only_second - only_first) / n
    return PairedTest(difference, float(low), float(high), float(p_value), only_first, only_second, n)


def tta(plain: Array, flipped: Array) -> Array:
    """Flip test-time augmentation: mean (n, classes) of an image's and its mirror image's probabilities."""
    return (np.asarray(plain, np.float32) + np.asarray(flipped, np.float32)) / 2


# ---------------------------------------------------------------------------- classes


def confusion_matrix(labels: ArrayLike, predicted: ArrayLike, classes: int = 10) -> NDArray[np.int64]:
    """Counts (classes, classes): rows true class, columns predicted."""
    return sk.confusion_matrix(labels, predicted, labels=range(classes))


def per_class_accuracy(labels: ArrayLike, predicted: ArrayLike, classes: int = 10) -> NDArray[np.float64]:
    """Share (classes,) of each class's images that were classified right; NaN for a class without images."""
    return sk.recall_score(labels, predicted, labels=range(classes), average=None, zero_division=np.nan)


# ---------------------------------------------------------------------------- calibration and loss


@dataclass(frozen=True)
class Reliability:
    """The reliability curve: one value a bin of the largest probability, NaN where the bin is empty."""

    edges: NDArray[np.float64]
    """(bins + 1,) from 0 to 1."""
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
        return Reliability(np.linspace(0, 1, bins + 1), count, *sums)


def expected_calibration_error(probabilities: Array, labels: ArrayLike, bins: int = 15) -> float:
    """Distance of confidence from accuracy, in 0 to 1, averaged over the images (Guo et al. 2017, eq. 3)."""
    curve = reliability(probabilities, labels, bins)
    filled = curve.count > 0
    gaps = np.abs(curve.accuracy - curve.confidence)[filled]
    return float(np.average(gaps, weights=curve.count[filled]))


def negative_log_likelihood(probabilities: Array, labels: ArrayLike) -> float:
    """Mean of -log p(true class), in nats."""
    return smoothed_cross_entropy(probabilities, labels, smoothing=0)


def smoothed_cross_entropy(probabilities: Array, labels: ArrayLike, smoothing: float) -> float:
    """Mean cross-entropy, in nats, against labels smoothed as Keras does: the loss that training reports."""
    logs = np.log(np.maximum(np.asarray(probabilities, np.float64), SMALLEST))
    true = np.take_along_axis(logs, np.asarray(labels)[:, None], axis=1)[:, 0]
    return float(np.mean((1 - smoothing) * true + smoothing * logs.mean(axis=1)) * -1)


def smoothing_floor(smoothing: float, classes: int = 10) -> float:
    """The lowest loss, in nats, that any prediction can reach against smoothed labels: their entropy.

    The true class has 1 - smoothing + smoothing / classes, each other smoothing / classes (Szegedy et al.
    2016, Rethinking the Inception Architecture, section 7).
    """
    label = np.full(classes, smoothing / classes)
    label[0] += 1 - smoothing
    return float(stats.entropy(label))


def decay_step(learning_rate: float, weight_decay: float) -> tuple[float, float]:
    """What float32 leaves of one step of decoupled weight decay, taken by itself as Keras takes it.

    Returns the share of weights that change, and the share of the decay that arrives, on average, both over
    weights spread evenly from 1 to 2: between any two powers of two the spacing of float32 is the same share.
    """
    weights = np.linspace(1, 2, 2**16, endpoint=False, dtype=np.float32)
    taken = weights - (weights - weights * np.float32(weight_decay) * np.float32(learning_rate))
    asked = weights.astype(float) * learning_rate * weight_decay
    return float(np.mean(taken != 0)), float(np.mean(taken / asked))


# ---------------------------------------------------------------------------- a record's metrics


def metrics(
    arrays: Mapping[str, Array], class_counts: Mapping[str, Sequence[int]], label_smoothing: float
) -> dict[str, float]:
    """The metrics of a record from its arrays `<split>_<view>` (n, 10), rows in class order.

    val_end2end, test_end2end: accuracies of the plain views; val_tta, test_tta: with the flip averaged in,
    all in 0 to 1; val_loss: the smoothed cross-entropy of the plain validation view, in nats.
    """
    labels = {split: np.repeat(np.arange(len(counts)), counts) for split, counts in class_counts.items()}
    values = {}
    for split, true in labels.items():
        plain, flipped = arrays[f"{split}_plain"], arrays[f"{split}_flipped"]
        values[f"{split}_end2end"] = float(np.mean(plain.argmax(axis=1) == true))
        values[f"{split}_tta"] = float(np.mean(tta(plain, flipped).argmax(axis=1) == true))
    values["val_loss"] = smoothed_cross_entropy(arrays["val_plain"], labels["val"], label_smoothing)
    return values


def recompute(run: Run) -> dict[str, float]:
    """The same metrics from what the record stores: `run.metrics` must agree.

    Raises RecordError for a seed log or a screening record, which hold no probabilities.
    """
    arrays = {
        f"{split}_{view}": run.probabilities(split, view)
        for split in ("val", "test")
        for view in ("plain", "flipped")
    }
    return metrics(arrays, run.class_counts, run.config["label_smoothing"])


# ---------------------------------------------------------------------------- features

ALIVE = 1e-3
"""Variance above which a channel is alive: batch norm's epsilon in Keras, which halves such a variance.

At 160 px the pre-trained network's pooled features have variances of 0.02 to 2.4 on CIFAR-10. A channel whose
ReLU6 has come to rest at 0 or at 6 for every image has none.
"""


def alive(features: Array) -> int:
    """How many channels of features (n, c) vary over the images by more than ALIVE."""
    return int(np.sum(features.var(axis=0) > ALIVE))


KEPT = 0.01
"""Part of the variance it had before that a channel must have kept to be counted by `kept`."""


def kept(features: Array, before: Array) -> int:
    """How many channels of features (n, c) vary by more than KEPT of their variances (c,) before."""
    return int(np.sum(features.var(axis=0) > KEPT * before))
