"""Text of the notebooks, computed: Markdown whose every number comes from a value, never from a keyboard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from helpers.evaluation import PairedTest, Proportion
from helpers.records import Run

if TYPE_CHECKING:
    from IPython.display import Markdown

    from helpers.claims import Gain


def say(text: str) -> Markdown:
    """The text as a Markdown output of a notebook's cell; the f-string it came from holds the numbers."""
    from IPython.display import Markdown

    return Markdown(text)


def table(columns: Mapping[str, Iterable[Any]]) -> Markdown:
    """Columns, name to cells, as a Markdown table; a vertical bar in a cell is escaped.

    Raises ValueError where the columns differ in length.
    """
    lines = [tuple(columns), ("---",) * len(columns), *zip(*columns.values(), strict=True)]
    escaped = ([str(cell).replace("|", r"\|") for cell in line] for line in lines)
    return say("\n".join(f"| {' | '.join(line)} |" for line in escaped))


def percent(share: float, digits: int = 1) -> str:
    """A share in 0 to 1 as a percentage: 0.9156 gives '91.6%'."""
    return f"{100 * share:.{digits}f}%"


def points(difference: float, digits: int = 1) -> str:
    """A difference of two shares in percentage points, signed: 0.0034 gives '+0.3 points'."""
    return f"{100 * difference:+.{digits}f} points"


def finding(test: PairedTest | Gain, better: str, worse: str, neither: str) -> str:
    """The words for a paired difference: `neither` unless its 95% interval is clear of zero."""
    if test.low > 0:
        return better
    return worse if test.high < 0 else neither


def apart(before: Proportion, after: Proportion, higher: str, lower: str, neither: str) -> str:
    """The words for two shares that are not paired: `neither` where their 95% intervals overlap."""
    if after.low > before.high:
        return higher
    return lower if after.high < before.low else neither


def counted(words: Iterable[str]) -> str:
    """The word of one run, 'worse (all 3)' of several, or 'worse (2 of 3), better (1 of 3)'."""
    counts = Counter(words)
    every = counts.total()
    if len(counts) == 1:
        (word,) = counts
        return word if every == 1 else f"{word} (all {every})"
    return ", ".join(f"{word} ({count} of {every})" for word, count in counts.most_common())


# ---------------------------------------------------------------------------- where numbers come from


def provenance(*runs: Run) -> Markdown:
    """Where the numbers of a notebook come from: scale, images, machine, versions, records.

    A run on the miniature, or below full scale, is announced first.
    """
    own = [run for run in runs if not run.is_seed_log]
    parts = [f"**{text}**" for text in dict.fromkeys(map(caution, own)) if text]
    parts += dict.fromkeys(f"{run.scale} scale on {run.dataset}" for run in own)
    parts += dict.fromkeys("{processor}, threads: {threads}".format(**run.environment) for run in own)
    parts += [_versions(own)] if own else []
    names = {"records": own, "the study's log": [run for run in runs if run.is_seed_log]}
    for what, those in names.items():
        listed = dict.fromkeys(f"`{run.path.stem}`" for run in those)
        parts += [f"{what} {', '.join(listed)}"] if listed else []
    text = "; ".join(parts)
    return say(f"*Where the numbers come from.* {text[:1].upper()}{text[1:]}.")


def caution(run: Run) -> str:
    """What a reader must know before believing a run's numbers; empty for full CIFAR-10."""
    if run.dataset == "miniature":
        return "Miniature: drawn images, whose numbers say nothing about CIFAR-10"
    return "" if run.scale == "full" else f"{run.scale.capitalize()} scale: a part of the images and epochs"


def _versions(runs: Iterable[Run]) -> str:
    """Versions as the runner recorded them, all that occur: 'Python 3.11.7, keras 3.15.1 or 3.15.2'."""
    found: dict[str, dict[str, None]] = {}
    for run in runs:
        for name, version in {"Python": run.environment["python"], **run.environment["versions"]}.items():
            found.setdefault(name, {})[version] = None
    return ", ".join(f"{name} {' or '.join(versions)}" for name, versions in found.items())


# ---------------------------------------------------------------------------- what was published


def published(claim_id: str, beside: Run | None = None) -> str:
    """'The study published: ...' with a claim's figures; nothing beside a run on the miniature."""
    from helpers import claims

    if beside is not None and beside.dataset == "miniature":
        return ""
    (figures,) = (claim.published for claim in claims.CLAIMS if claim.id == claim_id)
    return f"The study published: {figures}."


def at_stake(notebook: str, dataset: str) -> Markdown:
    """The claims that a notebook bears on, with the rule that decides each; on the miniature, none."""
    from helpers import claims

    if dataset == "miniature":
        return say(
            "**Miniature.** The study's claims are about CIFAR-10: nothing on this page bears on them."
        )
    at_stake_here = [claim for claim in claims.CLAIMS if claim.notebook == notebook]
    return table(
        {
            "id": [claim.id for claim in at_stake_here],
            "claim": [claim.statement for claim in at_stake_here],
            "published": [claim.published for claim in at_stake_here],
            "how it is decided": [claim.rule for claim in at_stake_here],
        }
    )
