"""Numbers as text."""

import re
from collections import Counter
from collections.abc import Iterable


def scientific(value: float) -> str:
    """A learning rate, or another small number, in two digits at most: 0.0003 is '3e-4', 3.76e-5 '3.8e-5'."""
    digits, exponent = f"{value:.1e}".split("e")
    return f"{digits.removesuffix('.0')}e{int(exponent)}" if value else "0"


def percent(share: float, digits: int = 1) -> str:
    """A share in 0 to 1 as a percentage: 0.9156 gives '91.6%'."""
    return f"{100 * share:.{digits}f}%"


def points(difference: float, digits: int = 1) -> str:
    """A difference of two shares in percentage points, signed: 0.0034 gives '+0.3 points', -0.0001 '+0.0'."""
    return f"{round(100 * difference, digits) + 0.0:+.{digits}f} points"


def literal(name: str) -> str:
    """A person's own words as Markdown shows them: no character means anything else.

    A vertical bar stays as it is: `markdown.rows` escapes it.
    """
    return re.sub(r"([\\`*_{}\[\]<>$~&])", r"\\\1", " ".join(name.split()))


def beside(difference: float) -> str:
    """Where one share lies of another: 0.035 is '3.5 points above', -0.02 '2.0 points below'."""
    return f"{abs(100 * difference):.1f} points {'below' if difference < 0 else 'above'}"


def duration(seconds: float) -> str:
    """A time in the unit that fits it, with two digits: '12 s', '3.4 min', '17 h', '9.3 days'."""
    for most, unit, size in ((99.5, "s", 1), (5970, "min", 60), (180_000, "h", 3600)):
        if seconds < most:
            return f"{seconds / size:.2g} {unit}"
    return f"{float(f'{seconds / 86_400:.2g}'):,g} days"


def listed(values: Iterable[float], form: str = ".1%") -> str:
    """Numbers one by one, in Python's format `form`: '92.4%, 93.0%'; counts in ',' are '1,280, 256'."""
    return ", ".join(format(value, form) for value in values)


def span(values: Iterable[float], form: str = ".1%") -> str:
    """The lowest and the highest of some numbers, '10.0% to 71.4%'; one where both read the same."""
    found = list(values)
    return " to ".join(dict.fromkeys(format(end, form) for end in (min(found), max(found))))


def count_words(words: Iterable[str]) -> str:
    """The word of one run, 'worse (all 3)' of several, or 'worse (2 of 3), better (1 of 3)'."""
    counts = Counter(words)
    every = counts.total()
    if len(counts) == 1:
        (word,) = counts
        return word if every == 1 else f"{word} (all {every})"
    return ", ".join(f"{word} ({count} of {every})" for word, count in counts.most_common())
