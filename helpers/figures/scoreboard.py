"""The study's claims and what became of them, on a figure as narrow as a phone."""

from collections import Counter
from collections.abc import Mapping, Sequence

from helpers.figures import style
from helpers.figures.style import GREY, NARROW, PALETTE, Figure, styled

ROW = 0.46
"""Inches."""
LOOKS = {
    "reproduced": (PALETTE[0], "white"),
    "partly": ("#9BD0F0", "black"),
    "not reproduced": ("#F0803C", "black"),
    "not tested fairly": ("#DDDDDD", "black"),
    "not yet run": ("white", "black"),
}
"""Outcome to the colour of its field and of its word; each word is readable on its field (4.5:1)."""


@styled
def scoreboard(claims: Sequence[Mapping[str, str]]) -> Figure:
    """A row a claim: its verdict by colour and word, and what was published beside what was measured.

    claims: `study.verdict.table`.
    """
    figure = Figure(figsize=(NARROW, 0.5 + ROW * len(claims)))
    axes = figure.subplots()
    axes.set(xlim=(0, 1), ylim=(len(claims) - 0.5, -0.5))
    axes.axis("off")
    for row, claim in enumerate(claims):
        field, ink = LOOKS[claim["verdict"]]
        box = {"boxstyle": "round,pad=0.3", "facecolor": field, "edgecolor": GREY, "linewidth": 0.6}
        axes.text(0, row - 0.2, claim["short"], fontsize=10.5, weight="bold", va="center")
        axes.text(1, row - 0.2, claim["verdict"], color=ink, fontsize=9, ha="right", va="center", bbox=box)
        beside = f"published {claim['figure']}" if claim["figure"] else "no figure published"
        beside += f", here {claim['brief']}"
        if claim["runs"] == "short":
            beside += " (short runs)"
        axes.text(0, row + 0.22, beside, fontsize=9, color=GREY, va="center")
        axes.axhline(row + 0.5, color="#E3E3E3", linewidth=0.8)
    counts = Counter(claim["verdict"] for claim in claims)
    tally = ", ".join(f"{counts[outcome]} {outcome}" for outcome in LOOKS if counts[outcome])
    found = f"{counts['reproduced']} of {len(claims)} claims reproduced"
    described = f"A row a claim: what was published, what was measured, and the verdict. In all {tally}"
    return style.finished(figure, found, described)
