"""Numbers as text."""

import pytest

from helpers import markdown, text


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (4.94, "4.9 s"),
        (99, "99 s"),
        (100, "1.7 min"),
        (6000, "1.7 h"),
        (172_000, "48 h"),
        (259_200, "3 days"),
        (800_000, "9.3 days"),
        (1e8, "1,200 days"),
    ],
)
def test_a_time_has_the_unit_that_fits_it(seconds: float, words: str) -> None:
    assert text.duration(seconds) == words


def test_a_persons_own_words_stay_what_they_are_in_a_table() -> None:
    name = "_a_ <b> [c](d) {ref}`e` | $f$ \\ *g*\n&amp;"
    escaped = r"\_a\_ \<b\> \[c\](d) \{ref\}\`e\` \| \$f\$ \\ \*g\* \&amp;"
    assert markdown.rows("name", [[text.literal(name)]]).data.endswith(f"| {escaped} |")
