"""Shares with their intervals, and differences of two runs on the same images.

There are two kinds of interval, and their text tells them apart. Of one run, '91.6% (91.0 to 92.1)': where
the share would lie on other test images. Of several, '92.2% (91.6 to 92.8; 3 seeds)': where it would lie with
other seeds and on other test images. Both are at 95%.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

from helpers.text import points

LEVEL = 0.95
FEW = 30
"""Pairs that differ, from which on a difference's interval is the bootstrap's."""


@dataclass(frozen=True)
class Proportion:
    """A share in 0 to 1 of n images with its 95% interval, of one run or a mean over several seeds."""

    value: float
    low: float
    high: float
    n: int
    seeds: int = 1

    def __str__(self) -> str:
        seeds = f"; {self.seeds} seeds" if self.seeds > 1 else ""
        return f"{self.value:.1%} ({100 * self.low:.1f} to {100 * self.high:.1f}{seeds})"


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


def student(values: ArrayLike) -> tuple[float, float, float]:
    """The mean of values (n,) and the ends of Student's interval of it."""
    found = np.asarray(values, dtype=float)
    half = stats.t.ppf((1 + LEVEL) / 2, len(found) - 1) * stats.sem(found)
    return float(found.mean()), float(found.mean() - half), float(found.mean() + half)


def mean_of_seeds(answers: ArrayLike) -> tuple[float, float, float]:
    """Mean of (seeds, images) values with the ends of an interval for other seeds and other images.

    answers: 1 where a seed's network is right about an image and 0 where not, or differences of two such.
    Raises ValueError for fewer than two seeds.

    Seeds and images are crossed random effects: the variance of the mean adds the chance of both, from the
    mean squares of a two-way analysis of variance, and Student's degrees of freedom follow Hillis (2007,
    Statistics in Medicine 26:596, there of readers and cases; after Satterthwaite 1946). Where all chance
    lies in three seeds they are 2, where it lies in the images they have no bound. A few seeds may agree by
    luck, so an interval is never narrower than that of the same seeds on other images. The two-way bootstrap
    (Owen 2007, Annals of Applied Statistics 1:386) asks the same; its percentiles cannot know that three
    seeds are few.
    """
    table = np.asarray(answers, dtype=float)
    seeds, images = table.shape
    if seeds < 2:
        raise ValueError(f"{seeds} run gives no interval across seeds: use `accuracy` or `paired`")
    mean, by_seed, by_image = table.mean(), table.mean(axis=1), table.mean(axis=0)
    rest = ((table - by_seed[:, None] - by_image + mean) ** 2).sum() / ((seeds - 1) * (images - 1))
    square_of_seeds, square_of_images = images * by_seed.var(ddof=1), seeds * by_image.var(ddof=1)
    squares = square_of_seeds + max(square_of_images - rest, 0.0)
    freedom = (seeds - 1) * (squares / square_of_seeds) ** 2 if square_of_seeds > 0 else np.inf
    of_both = stats.t.ppf((1 + LEVEL) / 2, freedom) * np.sqrt(squares / table.size)
    of_images = stats.norm.ppf((1 + LEVEL) / 2) * np.sqrt(square_of_images / table.size)
    half = max(of_both, of_images)
    return float(mean), float(mean - half), float(mean + half)


def mean_accuracy(correct: ArrayLike) -> Proportion:
    """Share of right answers (seeds, images) over all seeds, with the interval of `mean_of_seeds`."""
    answers = np.asarray(correct, dtype=bool)
    mean, low, high = mean_of_seeds(answers)
    return Proportion(mean, max(low, 0.0), min(high, 1.0), answers.shape[1], len(answers))


@dataclass(frozen=True)
class PairedTest:
    """Second run against first on the same images. As text: '+0.4 points (0.1 to 0.7), p = 0.003'."""

    difference: float
    """Accuracy of the second less that of the first, -1 to 1; `low` to `high` is its interval."""
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
        return f"{_in_points(self.difference, self.low, self.high)}, {p_value}"


@dataclass(frozen=True)
class Gain:
    """Accuracy of one experiment less another's, -1 to 1, with its 95% interval.

    seeds: how many both have; with 0 the two runs differ in their seed as well.
    """

    value: float
    low: float
    high: float
    seeds: int

    def __str__(self) -> str:
        seeds = {0: "; different seeds", 1: ""}.get(self.seeds, f"; {self.seeds} seeds")
        return _in_points(self.value, self.low, self.high, seeds)


def _in_points(value: float, low: float, high: float, more: str = "") -> str:
    """'+0.4 points (0.1 to 0.7)'; with more digits, three at most, where an end that is not zero reads so."""
    ends = [100 * end for end in (low, high)]
    digits = next((n for n in (1, 2) if all(round(end, n) or not end for end in ends)), 3)
    first, last = (f"{round(end, digits) + 0.0:.{digits}f}" for end in ends)
    return f"{points(value, digits)} ({first} to {last}{more})"


def paired(first: ArrayLike, second: ArrayLike, resamples: int = 9999, seed: int = 0) -> PairedTest:
    """Compare two runs' correctness (n,) on the same images, in the same order.

    p_value: the exact McNemar test on the images that only one got right (McNemar 1947).
    Interval: percentiles of the paired bootstrap. A resample of n pairs is drawn as its counts of better,
    equal and worse pairs, which are multinomial: what resampling images gives, a thousand times faster.
    Where fewer than FEW pairs differ, a resample can hold none that points the other way. Then the interval
    is Agresti and Min's (2005, Statistics in Medicine 24:729): Wald's, with half a pair more each way. The
    exact test is the more cautious of both: an interval may leave out zero where p is 0.06.
    Raises ValueError where the lengths differ.
    """
    one, two = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    if one.shape != two.shape:
        raise ValueError(
            f"the runs answer {one.shape} and {two.shape} images: only the same ones can be paired"
        )
    n, only_first, only_second = len(one), int((one & ~two).sum()), int((two & ~one).sum())
    if only_first + only_second < FEW:
        low, high = _agresti_min(only_first, only_second, n)
    else:
        counts = np.array([only_first, only_second, n - only_first - only_second])
        drawn = np.random.default_rng(seed).multinomial(n, counts / n, size=resamples)
        low, high = np.quantile((drawn[:, 1] - drawn[:, 0]) / n, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    p_value = mcnemar([[0, only_first], [only_second, 0]], exact=True).pvalue
    difference = (only_second - only_first) / n
    return PairedTest(difference, float(low), float(high), float(p_value), only_first, only_second, n)


def _agresti_min(only_first: int, only_second: int, n: int) -> tuple[float, float]:
    change, differ = only_second - only_first, only_first + only_second + 1
    half = stats.norm.ppf((1 + LEVEL) / 2) * np.sqrt(differ - change**2 / (n + 2))
    return max(-1.0, (change - half) / (n + 2)), min(1.0, (change + half) / (n + 2))


def describe_difference(test: PairedTest | Gain, better: str, worse: str, neither: str) -> str:
    """The words for a difference: `neither` where its 95% interval holds zero."""
    if test.low > 0:
        return better
    return worse if test.high < 0 else neither


def describe_change(before: Proportion, after: Proportion, higher: str, lower: str, neither: str) -> str:
    """The words for two shares that are not paired: `neither` where their 95% intervals overlap."""
    if after.low > before.high:
        return higher
    return lower if after.high < before.low else neither
