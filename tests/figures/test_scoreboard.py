"""The scoreboard: every claim with its verdict in words, and words that can be read."""

from typing import get_args

import matplotlib.colors
import pytest

from helpers import figures
from helpers.figures.scoreboard import LOOKS
from helpers.study.rules import Outcome

ROW = {"short": "It works", "figure": "91.6%", "brief": "92.2%", "runs": "whole", "verdict": "reproduced"}


def texts(*rows: dict[str, str]) -> list[str]:
    (axes,) = figures.scoreboard(rows).axes
    return [text.get_text() for text in axes.texts]


def test_a_row_says_claim_verdict_published_and_measured() -> None:
    assert texts(ROW) == ["It works", "reproduced", "published 91.6%, here 92.2%"]
    assert texts({**ROW, "figure": ""})[-1] == "no figure published, here 92.2%"
    assert texts({**ROW, "runs": "short"})[-1] == "published 91.6%, here 92.2% (short runs)"


def test_title_and_alternative_text_count_the_verdicts() -> None:
    figure = figures.scoreboard([ROW, ROW, {**ROW, "verdict": "partly"}])
    assert figure.get_suptitle() == "2 of 3 claims reproduced"
    assert (
        figure.alt_text.startswith("2 of 3 claims reproduced. ")
        and "2 reproduced, 1 partly" in figure.alt_text
    )
    assert len(figure.alt_text.split()) <= 40


def test_it_is_narrow_and_every_row_has_the_same_room() -> None:
    low, high = (figures.scoreboard([ROW] * many).get_size_inches() for many in (1, 21))
    assert low[0] == high[0] < 5 and (high[1] - low[1]) / 20 == pytest.approx(0.46)


def luminance(colour: str) -> float:
    """Relative luminance by WCAG 2.2."""
    parts = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in matplotlib.colors.to_rgb(colour)
    ]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


@pytest.mark.parametrize("outcome", get_args(Outcome))
def test_each_outcome_has_a_look_and_its_word_is_readable(outcome: str) -> None:
    dark, light = sorted(map(luminance, LOOKS[outcome]))
    assert (light + 0.05) / (dark + 0.05) >= 4.5
    assert len({field for field, _ in LOOKS.values()}) == len(LOOKS)
