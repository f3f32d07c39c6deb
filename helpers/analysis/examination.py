"""Is a network really worse, or only its batch norm? What was measured of it, and what follows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from helpers.analysis import intervals
from helpers.analysis.intervals import PairedTest, Proportion
from helpers.analysis.metrics import Array
from helpers.text import percent

KINDS = {
    "moving": "as evaluated",
    "reestimated": "with re-estimated statistics",
    "batch": "with each batch's own statistics",
    "probe": "a fresh classifier on the last features",
}
"""The ways to answer that are compared, in words."""
MATTERS = 0.02
"""Accuracy that has to be given back before anything is blamed, besides an interval above zero."""
SHOWN = 5
"""Norms that the text names."""
Finding = Literal["pixels", "batch norm", "last layer", "nothing"]


@dataclass(frozen=True)
class NormGap:
    """How far the moving statistics of one norm are from fresh ones (`engine.reestimate.distances`)."""

    name: str
    mean: float
    """Of the means, in units of the norm's standard deviation, averaged over the channels."""
    variance: float
    """Median ratio of the moving variances to the fresh ones; 1 where they agree."""

    @property
    def off(self) -> float:
        """How far its output is off: its centre, or the logarithm of its scale, whichever is more."""
        return max(self.mean, abs(math.log(self.variance)) / 2)

    def __str__(self) -> str:
        return f"means by {self.mean:.2f} standard deviations, variances x {self.variance:.3g}"


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
    otherwise: Mapping[str, Mapping[str, Array]] = field(default_factory=dict)
    """Other numbers for the pixels, as in '0..1', to what is answered rightly (n,) then, by kind."""

    def accuracy(self, kind: str) -> Proportion:
        """Accuracy with one kind of statistics."""
        return intervals.accuracy(self.correct[kind])

    def gain(self, kind: str, over: str = "moving") -> PairedTest:
        """What one kind answers better than another, on the same images."""
        return intervals.paired(self.correct[over], self.correct[kind])

    def _gives_back(self, kind: str, over: str) -> bool:
        known = {kind, over} <= self.correct.keys()
        return known and _matters(self.gain(kind, over))

    @property
    def best(self) -> str:
        """The kind that shows what the weights can do as they are."""
        return _best(self.correct)

    @property
    def pixels(self) -> tuple[str, str]:
        """Numbers for the pixels with which it answers better, and the kind that shows it; empty if none.

        As it is, or else with statistics that fit, where these are off as well. The first has to come near
        the best of all statistics, which fit in part whatever pixels come; the second near the probe as well.
        """
        fitted = max(each[_best(each)].mean() for each in [self.correct, *self.otherwise.values()])
        probe = self.accuracy("probe").value if "probe" in self.correct else 0.0
        for kind, best in {"moving": fitted, "reestimated": max(fitted, probe)}.items():
            known = {name: each[kind] for name, each in self.otherwise.items() if kind in each}
            name = max(known, key=lambda name: known[name].mean(), default="")
            enough = name and known[name].mean() > best - MATTERS
            if enough and _matters(intervals.paired(self.correct[kind], known[name])):
                return name, kind
        return "", ""

    @property
    def finding(self) -> Finding:
        """What is to blame: what it was given, the statistics, the layer on top, or none of them."""
        if any(self.pixels):
            return "pixels"
        if self._gives_back("reestimated", "moving"):
            return "batch norm"
        return "last layer" if self._gives_back("probe", self.best) else "nothing"

    @property
    def conclusion(self) -> str:
        """The finding in a sentence or two."""
        if self.finding == "pixels":
            name, kind = self.pixels
            right = self.otherwise[name][kind]
            gain = intervals.paired(self.correct["moving"], right)
            too = ", and its batch norm as well" if kind == "reestimated" else ""
            fresh = " and statistics that fit" if too else ""
            return (
                f"It is its input{too}. With pixels in {name}{fresh} the same weights give "
                f"{percent(right.mean())}: {gain}."
            )
        if self.finding == "batch norm":
            gain = self.gain("reestimated")
            fresh = percent(self.accuracy("reestimated").value)
            return f"It is its batch norm. With statistics that fit, the same weights give {fresh}: {gain}."
        if self.finding == "last layer":
            gain = self.gain("probe", self.best)
            fresh = percent(self.accuracy("probe").value)
            return f"It is its last layer. A new one on the same features gives {fresh}: {gain}."
        if not self.norms:
            return "It has no batch norm. What it answers is what its weights can do."
        if "reestimated" in self.correct and self.gain("reestimated").high < 0:
            return "Its batch norm is not to blame: other statistics make it worse."
        return "Its batch norm is not to blame. What it answers is what its weights can do."

    @property
    def advice(self) -> str:
        """What to do about it."""
        pixels, _ = self.pixels
        return {
            "pixels": f"Give it pixels in {pixels} wherever you use it. Then examine it with these: add "
            f"--pixels={pixels}.",
            "batch norm": "Do not train it again: --mended FILE writes it with re-estimated statistics. When "
            "you train, pass callbacks=[Reestimation(images)] of helpers/engine/reestimate.py, or freeze the "
            "norm.",
            "last layer": "Check that the folders, in alphabetical order, are the network's classes. If they "
            "are, train the last layer alone for a few epochs.",
            "nothing": "If that is too low, look elsewhere: at the learning rate, the number of epochs, and "
            "whether these pictures are like those that it was trained on.",
        }[self.finding]

    def report(self) -> str:
        """All of it as text, for a terminal."""
        images = len(self.correct["moving"])
        lines = [f"{self.name}: judged on {images:,} pictures that nothing was estimated from"]
        lines += [
            f"  {words:42s} {self.accuracy(kind)}" for kind, words in KINDS.items() if kind in self.correct
        ]
        if self.norms:
            lines.append(f"Batch norms: {len(self.norms)}; training moves {self.trained} of them. Most off:")
            off = sorted(self.norms, key=lambda norm: -norm.off)[:SHOWN]
            lines += [f"  {norm.name:42s} {norm}" for norm in off]
        return "\n".join([*lines, self.conclusion, f"What to do: {self.advice}"])

    @property
    def title(self) -> str:
        """The finding as a figure's title."""
        if self.finding == "batch norm":
            own, fresh = (percent(self.accuracy(kind).value) for kind in ("moving", "reestimated"))
            return f"It is its batch norm: {own} as evaluated, {fresh} re-estimated"
        if self.finding == "pixels":
            return f"It is its input: it wants pixels in {self.pixels[0]}"
        return self.conclusion.split(". ")[0].rstrip(".")


def _best(correct: Mapping[str, Array]) -> str:
    """The kind of statistics with which most is answered rightly, of those that can be kept."""
    return max(correct.keys() & {"moving", "reestimated"}, key=lambda kind: (correct[kind].mean(), kind))


def _matters(gain: PairedTest) -> bool:
    """Whether a gain is more than chance, and more than MATTERS."""
    return gain.low > 0 and gain.difference > MATTERS
