"""The verdicts: for each claim, the runs that bear on it are found, and its rule judges them.

Only full-scale runs on CIFAR-10 are evidence. A run counts where its key is that of the experiment named,
whatever its seed. A claim that lacks runs says which experiments are still to be run.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from helpers.analysis.groups import Group, compared_runs, matching_runs
from helpers.records.run import Run
from helpers.study.claims import CLAIMS, Claim
from helpers.study.experiments import SCREENING
from helpers.study.rules import Judgement


def judge(claim: Claim, runs: Group) -> Judgement:
    """The verdict on a claim; runs that do not bear on it are passed over."""
    groups = _groups(claim, runs, {}, claim.fair_rates)
    whole = {name for name in claim.experiments if groups[name]}
    if whole == claim.experiments.keys():
        return _with_evidence(claim.rule.judge(groups), groups)
    short = _groups(claim, runs, SCREENING) if claim.screening else {}
    if short and all(short[name] for name in claim.experiments):
        judged = claim.rule.judge(short)
        if claim.fair_rates:
            judged = judged._replace(outcome="not tested fairly")
        note = f" (short runs: {SCREENING['epochs']} passes, products in {SCREENING['precision']})"
        return _with_evidence(judged._replace(measured=judged.measured + note, is_short=True), short)
    missing = [name for name in claim.experiments if not (short or groups)[name]]
    return Judgement("not yet run", f"still to be run: {', '.join(missing)}", "no run")


def _groups(
    claim: Claim, runs: Group, length: Mapping[str, Any], rates: Sequence[float] = ()
) -> dict[str, list[Run]]:
    """The runs of each of a claim's experiments, by its name: at all of the rates, or none."""
    found = {}
    for name, experiment in {**claim.experiments, **claim.optional}.items():
        wanted = experiment.replace(**length)
        by_rate = [
            matching_runs(runs, wanted.replace(learning_rate=rate), claim.free)
            for rate in rates or (wanted.learning_rate,)
        ]
        # One that has no second stage has no rate: it is found once for each.
        found[name] = list(dict.fromkeys(run for group in by_rate for run in group)) if all(by_rate) else []
    return found


def _with_evidence(judged: Judgement, groups: Mapping[str, Group]) -> Judgement:
    if judged.outcome == "not yet run":
        return judged
    return judged._replace(runs=tuple(compared_runs(groups)))


def table(runs: Group) -> list[dict[str, str]]:
    """A row for each claim, whose cells are Markdown.

    Evidence is the names of records in results/, seeds how many they have, runs whether they are whole; a
    dash where there are none. Page is the chapter that shows the claim. 'short', 'figure' and 'brief' are
    the claim, what was published and what was measured in a few words; 'tests' is how many paired tests the
    verdict took.
    """
    rows = []
    for claim in CLAIMS:
        verdict = judge(claim, runs)
        length = "short" if verdict.is_short else "whole"
        rows.append(
            {
                "id": claim.id,
                "claim": claim.statement,
                "published": claim.published,
                "measured": verdict.measured,
                "seeds": str(len({run.seed for run in verdict.runs}) or "–"),
                "runs": length if verdict.runs else "–",
                "verdict": verdict.outcome,
                "evidence": ", ".join(f"`{run.name}-{run.id}`" for run in verdict.runs) or "–",
                "page": f"{claim.notebook}.ipynb",
                "short": claim.short,
                "figure": claim.figure,
                "brief": verdict.brief,
                "tests": str(verdict.tests),
            }
        )
    return rows
