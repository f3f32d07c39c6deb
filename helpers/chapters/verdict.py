"""Chapter 8: every claim with its verdict, and the study's table measured."""

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from helpers import paths, run
from helpers.chapters import common, differences, findings
from helpers.chapters.beginnings import Row
from helpers.experiment import is_study_data
from helpers.records import store
from helpers.records.run import Run
from helpers.study import claims, experiments, verdict
from helpers.study.changes import CHANGES
from helpers.study.rules import Outcome
from helpers.text import listed, points

MORE_SEEDS = range(5)
"""Seeds whose runs are shown beside the notebook's own, where they exist."""
UNJUDGED = "**Not judged.** The study's claims are about CIFAR-10 alone."
HEADS = ("id", "claim", "verdict", "published", "measured", "seeds")


@dataclass(frozen=True)
class Verdicts:
    """The records that count as evidence, and the runs of the study's table."""

    full: Sequence[Run]
    """All at full scale on CIFAR-10."""
    refused: Sequence[tuple[Path, str]]
    """Files that are no evidence, with the reason."""
    claims: Sequence[Mapping[str, str]]
    """The table of verdicts, a row a claim; none on other images."""
    table: Mapping[str, Sequence[Run]]
    """Row of the study's table to its runs, which differ in their seed."""
    published: Mapping[str, float]
    """Row to the test accuracy that was published, 0 to 1; empty unless the runs compare with the study's."""

    @property
    def rows(self) -> dict[str, common.Row]:
        """The study's table, each row compared with the careful fine-tune."""
        return {name: common.Row(runs, self.table["careful fine-tune"]) for name, runs in self.table.items()}

    @property
    def spreads(self) -> list[Row]:
        """The study's table by row: seeds, mean, spread, and the gain over the careful fine-tune."""
        return [
            (
                name,
                listed(row.seeds, "d"),
                row.mean,
                points(row.spread)[1:] if len(row.runs) > 1 else "–",
                row.gain or "–",
            )
            for name, row in self.rows.items()
        ]

    @property
    def runs(self) -> list[Run]:
        """All runs of the study's table."""
        return [each for runs in self.table.values() for each in runs]

    @property
    def findings(self) -> str:
        """The findings as a numbered list."""
        return findings.numbered(self.full) if self.claims else UNJUDGED

    @property
    def tally(self) -> str:
        """'8 reproduced, 5 partly': how many claims have each outcome."""
        return _tally(claim["verdict"] for claim in self.claims)

    @property
    def tally_before(self) -> str:
        """The same by the rules as they were before any changed."""
        now = {name for change in CHANGES for name in change.after}
        kept = [claim["verdict"] for claim in self.claims if claim["id"] not in now]
        first = {change.id: change for change in reversed(CHANGES)}
        return _tally([*kept, *(change.outcomes(self.full)[0] for change in first.values())])

    @property
    def short(self) -> list[str]:
        """Ids of the claims whose verdict rests on short screening runs."""
        return [claim["id"] for claim in self.claims if claim["runs"] == "short"]

    @property
    def tests(self) -> int:
        """How many paired tests the verdicts took."""
        return sum(int(claim["tests"]) for claim in self.claims)

    @property
    def changes(self) -> list[tuple[str, ...]]:
        """Rules that changed: claim, date, how it was judged, why not any more, and both outcomes."""
        if not self.claims:
            return []
        return [
            (each.id, each.date, each.before.rule.sentence, each.reason, *each.outcomes(self.full))
            for each in CHANGES
        ]

    @property
    def differences(self) -> list[Row]:
        """What differs from the study; none where no claim is judged."""
        return differences.table(self.full) if self.claims else []

    @property
    def listed(self) -> list[list[str]]:
        """The columns of `claims` that HEADS names."""
        return [_cells(claim) for claim in self.claims]

    @property
    def evidence(self) -> list[tuple[str, str]]:
        """Each claim and the records of its evidence."""
        return [(claim["id"], claim["evidence"]) for claim in self.claims]

    @property
    def widest(self) -> float:
        """The largest spread of the seeds of a row, 0 to 1."""
        return max((row.spread for row in self.rows.values()), default=0.0)

    @property
    def surplus(self) -> dict[str, float]:
        """Mean test accuracy less the published one, -1 to 1, of each row that has one."""
        return {name: self.rows[name].mean.value - share for name, share in self.published.items()}

    @property
    def above(self) -> tuple[int, int]:
        """How many single runs of these rows lie above what was published, and how many there are."""
        runs = [(run, share) for name, share in self.published.items() for run in self.table[name]]
        return sum(run.test_accuracy > share for run, share in runs), len(runs)

    @property
    def closest(self) -> float:
        """The smallest difference of two published accuracies, 0 to 1; 0 of fewer than two."""
        pairs = itertools.pairwise(sorted(self.published.values()))
        return min((high - low for low, high in pairs), default=0.0)


def _tally(outcomes: Iterable[str]) -> str:
    counts = Counter(outcomes)
    return ", ".join(f"{counts[outcome]} {outcome}" for outcome in get_args(Outcome) if counts[outcome])


def _cells(claim: Mapping[str, str]) -> list[str]:
    """A claim's line: its id leads to its chapter, and its seeds say where runs are short."""
    short = ", short" if claim["runs"] == "short" else ""
    told = {"id": f"[{claim['id']}]({claim['page']})", "seeds": claim["seeds"] + short}
    return [{**claim, **told}[head] for head in HEADS]


def load(*, dataset: str, scale: str, seed: int) -> Verdicts:
    """The evidence. Two rows of the table are trained where they are not stored; the others are as stored.

    Raises ExperimentError for a parameter that no Experiment takes.
    """
    wanted = {
        name: experiments.for_notebook(row, dataset=dataset, scale=scale, seed=seed)
        for name, row in experiments.TABLE.items()
    }
    for name in ("frozen network", "careful fine-tune"):
        run.run(wanted[name])
    seeds = dict.fromkeys([seed, *MORE_SEEDS])
    by_name = {
        name: [found for each in seeds if (found := run.find(row.replace(seed=each)))]
        for name, row in wanted.items()
    }
    table = {name: runs for name, runs in by_name.items() if runs}
    full, refused = store.read_folder(paths.results_folder(experiments.CAREFUL))
    compared = is_study_data(dataset) and scale == "full"
    return Verdicts(
        full=full,
        refused=refused,
        claims=verdict.table(full) if is_study_data(dataset) else [],
        table=table,
        published={name: claims.TEST_ACCURACY[name] for name in table if compared},
    )
