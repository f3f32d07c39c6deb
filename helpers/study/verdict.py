"""The verdicts: for each claim, the runs that bear on it are found, and its rule judges them.

Only full-scale runs on CIFAR-10 are evidence. A run counts where its key is that of the experiment named,
whatever its seed. A claim that lacks runs says which experiments are still to be run.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from helpers.analysis.groups import Group, compared_runs, matching_runs
from helpers.records.run import Run
from helpers.study.claims import CLAIMS, Claim
from helpers.study.experiments import SCREENING
from helpers.study.rules import Outcome


@dataclass(frozen=True)
class Verdict:
    """What the runs say of a claim."""

    outcome: Outcome
    measured: str
    """What was measured, with its interval; or which experiments are still to be run."""
    runs: tuple[Run, ...] = ()
    """The evidence."""


def judge(claim: Claim, runs: Group) -> Verdict:
    """The verdict on a claim; runs that do not bear on it are passed over."""
    lengths: list[Mapping[str, Any]] = [{}, SCREENING] if claim.screening else [{}]
    for length in lengths:
        groups = {
            name: matching_runs(runs, experiment.replace(**length), claim.free)
            for name, experiment in {**claim.experiments, **claim.optional}.items()
        }
        if all(groups[name] for name in claim.experiments):
            outcome, measured = claim.rule.judge(groups)
            if outcome == "not yet run":
                return Verdict(outcome, measured)
            note = (
                f" (screening: {length['epochs']} epochs, products in {length['precision']})"
                if length
                else ""
            )
            return Verdict(outcome, measured + note, tuple(compared_runs(groups)))
    missing = [name for name in claim.experiments if not groups[name]]
    return Verdict("not yet run", f"still to be run: {', '.join(missing)}")


def table(runs: Group) -> list[dict[str, str]]:
    """A row for each claim, whose cells are Markdown.

    Evidence is the names of records in results/, seeds how many they have; a dash where there are none.
    """
    rows = []
    for claim in CLAIMS:
        verdict = judge(claim, runs)
        rows.append(
            {
                "id": claim.id,
                "claim": claim.statement,
                "published": claim.published,
                "measured": verdict.measured,
                "seeds": str(len({run.seed for run in verdict.runs}) or "–"),
                "verdict": verdict.outcome,
                "evidence": ", ".join(f"`{run.name}-{run.id}`" for run in verdict.runs) or "–",
                "shown in": f"[chapter {int(claim.notebook[:2])}]({claim.notebook}.ipynb)",
            }
        )
    return rows
