"""Chapter 8: every claim with its verdict, and the study's table measured."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from helpers import paths, run
from helpers.chapters import common
from helpers.experiment import is_study_data
from helpers.records import published, store
from helpers.records.run import Run
from helpers.study import claims, experiments, verdict
from helpers.study.experiments import LOGGED

MORE_SEEDS = range(5)
"""Seeds whose runs are shown beside the notebook's own, where they exist."""
PUBLISHED = experiments.TABLE["fine-tune 30, 3e-4, as published"]


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
        """The study's table, each row compared with the headline."""
        return {name: common.Row(runs, self.table["headline"]) for name, runs in self.table.items()}

    @property
    def runs(self) -> list[Run]:
        """All runs of the study's table."""
        return [each for runs in self.table.values() for each in runs]

    @property
    def courses(self) -> dict[str, list[float]]:
        """Validation accuracy after each pass, 0 to 1: of the 'study', of ours 'as logged', 'as published'.

        Ours as logged is cut to the passes that the study's log holds. Empty where a run is missing, or no
        claim is judged.
        """
        logged, plain = run.find(LOGGED), run.find(PUBLISHED)
        if not (self.claims and logged and plain):
            return {}
        log = store.read(published.PUBLISHED_LOGS / "run_full_tune.json")
        study = [log.stage2.val_accuracy[epoch] for epoch in published.real_epochs(log)]
        ours = logged.stage2.val_accuracy[: len(study)]
        return {"study": study, "as logged": ours, "as published": plain.stage2.val_accuracy}

    @property
    def widest(self) -> float:
        """The largest spread of the seeds of a row, 0 to 1."""
        return max((row.spread for row in self.rows.values()), default=0.0)

    @property
    def closest(self) -> float:
        """The smallest difference of two published accuracies, 0 to 1; 0 of fewer than two."""
        pairs = itertools.pairwise(sorted(self.published.values()))
        return min((high - low for low, high in pairs), default=0.0)


def load(*, dataset: str, scale: str, seed: int) -> Verdicts:
    """The evidence; the table's baseline and headline, trained where they are not stored, and its other runs.

    Raises ExperimentError for a parameter that no Experiment takes.
    """
    wanted = {
        name: experiments.for_notebook(row, dataset=dataset, scale=scale, seed=seed)
        for name, row in experiments.TABLE.items()
    }
    for name in ("baseline", "headline"):
        run.run(wanted[name])
    seeds = dict.fromkeys([seed, *MORE_SEEDS])
    by_name = {
        name: [found for each in seeds if (found := run.find(row.replace(seed=each)))]
        for name, row in wanted.items()
    }
    table = {name: runs for name, runs in by_name.items() if runs}
    full, refused = store.read_folder(paths.results_folder(experiments.HEADLINE))
    compared = is_study_data(dataset) and scale == "full"
    return Verdicts(
        full=full,
        refused=refused,
        claims=verdict.table(full) if is_study_data(dataset) else [],
        table=table,
        published={name: claims.TEST_ACCURACY[name] for name in table if compared},
    )
