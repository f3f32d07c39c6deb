"""Is a network really worse, or only its batch norm? What was measured of it, and what follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from helpers.analysis import intervals
from helpers.analysis.intervals import PairedTest, Proportion
from helpers.analysis.metrics import Array
from helpers.text import percent

KINDS = {
    "moving": "as evaluated",
    "reestimated": "with re-estimated statistics",
    "batch": "with each batch's own statistics",
    "probe": "a fresh linear probe on the last features",
}
"""The ways to answer that are compared, in words."""
MATTERS = 0.02
"""Accuracy that has to be given back before anything is blamed, besides an interval above zero."""
SHOWN = 5
"""Norms that the text names."""
Finding = Literal["batch norm", "last layer", "nothing"]


@dataclass(frozen=True)
class NormGap:
    """How far the moving statistics of one norm are from fresh ones (`engine.reestimate.distances`)."""

    name: str
    mean: float
    """Of the means, in units of the norm's standard deviation, averaged over the channels."""
    variance: float
    """Median ratio of the moving variances to the fresh ones; 1 where they agree."""


@dataclass(frozen=True)
class Examination:
    """A network's answers to images that nothing was estimated from, by kind of statistics."""

    name: str
    correct: Mapping[str, Array]
    """Kind (a key of KINDS) to whether each image (n,) was answered rightly; 'moving' is always there."""
    norms: tuple[NormGap, ...]
    """In the order in which an image meets them; empty where there is no batch norm."""
    trained: int = 0
    """How many of them training moves."""

    def accuracy(self, kind: str) -> Proportion:
        """Accuracy with one kind of statistics."""
        return intervals.accuracy(self.correct[kind])

    def gain(self, kind: str, over: str = "moving") -> PairedTest:
        """What one kind answers better than another, on the same images."""
        return intervals.paired(self.correct[over], self.correct[kind])

    def _gives_back(self, kind: str, over: str) -> bool:
        if not {kind, over} <= self.correct.keys():
            return False
        gain = self.gain(kind, over)
        return gain.low > 0 and gain.difference > MATTERS

    @property
    def best(self) -> str:
        """The kind that shows what the weights can do as they are."""
        return "reestimated" if "reestimated" in self.correct else "moving"

    @property
    def finding(self) -> Finding:
        """What is to blame: the statistics, the layer on top, or neither."""
        if self._gives_back("reestimated", "moving"):
            return "batch norm"
        return "last layer" if self._gives_back("probe", self.best) else "nothing"

    @property
    def conclusion(self) -> str:
        """The finding in a sentence or two."""
        if self.finding == "batch norm":
            gain = self.gain("reestimated")
            return f"It is its batch norm. With statistics that fit, the same weights give {gain}."
        if self.finding == "last layer":
            gain = self.gain("probe", self.best)
            return f"It is its last layer. A new one on the same features gives {gain}."
        if not self.norms:
            return "It has no batch norm. What it answers is what its weights can do."
        if "reestimated" in self.correct and self.gain("reestimated").high < 0:
            return "Its batch norm is not to blame: other statistics make it worse."
        return "Its batch norm is not to blame. What it answers is what its weights can do."

    @property
    def advice(self) -> str:
        """What to do about it."""
        return {
            "batch norm": "Do not train it again: --mended FILE writes it with re-estimated statistics. When "
            "you train, use the callback of helpers/engine/reestimate.py, or freeze the norm.",
            "last layer": "Check that the folders, in alphabetical order, are the network's classes. If they "
            "are, train the last layer alone for a few epochs.",
            "nothing": "Look elsewhere: at the learning rate, the number of epochs, and whether these "
            "pictures are like those that it was trained on.",
        }[self.finding]

    def report(self) -> str:
        """All of it as text, for a terminal."""
        images = len(self.correct["moving"])
        lines = [f"{self.name}: judged on {images:,} pictures that nothing was estimated from"]
        lines += [
            f"  {words:42s} {self.accuracy(kind)}" for kind, words in KINDS.items() if kind in self.correct
        ]
        if self.norms:
            off = sorted(self.norms, key=lambda norm: -norm.mean)[:SHOWN]
            lines.append(f"Batch norms: {len(self.norms)}, of which training moves {self.trained}. Most off:")
            lines += [
                f"  {norm.name:42s} means by {norm.mean:.2f} deviations, variances x {norm.variance:.2f}"
                for norm in off
            ]
        return "\n".join([*lines, self.conclusion, f"What to do: {self.advice}"])

    @property
    def title(self) -> str:
        """The finding as a figure's title."""
        if self.finding == "batch norm":
            own, fresh = (percent(self.accuracy(kind).value) for kind in ("moving", "reestimated"))
            return f"It is its batch norm: {own} as evaluated, {fresh} re-estimated"
        return self.conclusion.split(". ")[0].rstrip(".")
