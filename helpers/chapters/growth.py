"""Chapter 11: what time and memory grow with, and what a million images and a hundred workers would ask."""

from dataclasses import dataclass

import numpy as np

from helpers.analysis import speed
from helpers.chapters import common
from helpers.data import sources
from helpers.experiment import Experiment
from helpers.study import experiments
from helpers.text import duration

SHARDS = (1, 10, 100)
"""Parts that the work is divided into, for each worker."""
SLOW, SLOWED = 0.1, 0.5
"""In the simulation: the share of workers that are slow, and their speed beside the others'."""


@dataclass(frozen=True)
class Growth:
    """The study's protocol on this page's images, and on more of them; by what `make bench` measured."""

    experiment: Experiment
    own: int
    """Training images of this page's data."""
    bench: speed.Bench
    images: int
    """How many more are asked for."""
    workers: int
    gigabytes_per_second: float
    """What a shared store gives to all workers together."""

    # ------------------------------------------------------------------------ the laws

    @property
    def laws(self) -> list[tuple[str, ...]]:
        """A line of the table for each of speed.ALONG: what twice as much costs, and how far they lie off."""
        found = []
        for along, words in speed.ALONG.items():
            laws = [self.bench.law(along, cost) for cost in speed.COSTS]
            sizes = laws[0].sizes
            measured = f"{words}, {min(sizes):,} to {max(sizes):,}"
            off = max(law.furthest for law in laws)
            found.append((measured, *(f"{2**law.exponent:.1f}" for law in laws), f"{off:.0%}"))
        return found

    @property
    def more(self) -> float:
        """How many times as long a pass over ten times the images takes."""
        return 10 ** self.bench.law("images", "epoch_seconds").exponent

    # ------------------------------------------------------------------------ more images

    def seconds(self, cost: str, images: int) -> float:
        """Storing all of the protocol's views ("storing_seconds"), or its passes ("epoch_seconds")."""
        each = self.bench.law("images", cost).at(images)
        return each * (self.experiment.views if cost == "storing_seconds" else self.experiment.epochs)

    def duration(self, cost: str, images: int) -> str:
        """The same in words."""
        return duration(self.seconds(cost, images))

    @property
    def beside(self) -> list[tuple[str, ...]]:
        """A line of the table for each cost: of this page's images, and of more.

        Pictures are as the network takes them, three bytes a pixel.
        """
        both = self.own, self.images
        views, passes = self.experiment.views, self.experiment.epochs
        size, stored = self.experiment.image_size, self.bench.law("images", "stored_bytes")
        lines = {
            f"storing {views} views": [self.duration("storing_seconds", n) for n in both],
            f"{passes} passes": [self.duration("epoch_seconds", n) for n in both],
            f"{views} stored views": [_gigabytes(views * stored.at(n)) for n in both],
            f"the pictures, at {size} px": [_gigabytes(n * 3 * size**2) for n in both],
        }
        return [(what, *told) for what, told in lines.items()]

    # ------------------------------------------------------------------------ many workers

    @property
    def speeds(self) -> list[float]:
        """Of each worker, 1 being the bench's machine; some are slow."""
        slow = round(SLOW * self.workers)
        return [SLOWED] * slow + [1.0] * (self.workers - slow)

    @property
    def sharded(self) -> dict[int, float]:
        """Simulated seconds of storing all views by the workers, by shards for each worker.

        A shard takes its share of the time by the law, times a deviation drawn from the bench's pairs. The
        same draws serve every division.
        """
        timed = np.asarray(self.bench.features.ours_seconds)
        found = {}
        for shards in SHARDS:
            count = shards * self.workers
            drawn = np.random.default_rng(0).choice(timed / timed.mean(), count)
            tasks = self.seconds("storing_seconds", self.images) / count * drawn
            found[shards] = speed.makespan(list(tasks), self.speeds)
        return found

    @property
    def shards(self) -> list[tuple[int, str, str, str]]:
        """A line of the table for each division: shards a worker, images in each, time, beside the best."""
        least = self.seconds("storing_seconds", self.images) / sum(self.speeds)
        views = self.experiment.views * self.images
        return [
            (each, f"{views / each / self.workers:,.0f}", duration(took), f"{took / least:.2f}")
            for each, took in self.sharded.items()
        ]

    @property
    def coarse(self) -> float:
        """How many times as long the largest shards take as the smallest."""
        return self.sharded[SHARDS[0]] / self.sharded[SHARDS[-1]]

    @property
    def wanted(self) -> float:
        """Gigabytes a second that the workers read together, each training an experiment of its own."""
        costs = "stored_bytes", "epoch_seconds"
        stored, taken = (self.bench.law("images", each).at(self.images) for each in costs)
        return self.workers * stored / taken / 1e9

    @property
    def fed(self) -> int:
        """The most workers that the store can feed, of those that there are."""
        return min(self.workers, int(self.workers * self.gigabytes_per_second / self.wanted))


def _gigabytes(count: float) -> str:
    """A number of bytes in two digits: '3.5 GB', '150 GB'."""
    return f"{float(f'{count / 1e9:.2g}'):,g} GB"


def load(*, dataset: str, scale: str, images: int, workers: int, gigabytes_per_second: float) -> Growth:
    """What the bench says of this page's images and of more; nothing is trained.

    Raises ExperimentError where there are no images or no workers to plan for.
    """
    common.refuse_below(1, images=images, workers=workers)
    experiment = experiments.for_notebook(experiments.CAREFUL, dataset=dataset, scale=scale)
    own, *_ = sources.sizes(experiment)
    return Growth(experiment, own, speed.read(), images, workers, gigabytes_per_second)
