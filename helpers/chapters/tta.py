"""Chapter 6: averaging over the flip, and calibration."""

from dataclasses import dataclass
from typing import Any

from helpers import run
from helpers.analysis import groups, intervals
from helpers.analysis.intervals import Gain, PairedTest, Proportion
from helpers.chapters import common
from helpers.records import published, store
from helpers.records.run import Run, refused
from helpers.study import experiments, rules
from helpers.text import percent

VIEWS = {"plain": "plain", "averaged": "tta"}
"""The chapter's words for predictions to a record's."""


@dataclass(frozen=True)
class Averaging:
    """The chapter's two networks, the runs of both that are stored for several seeds, and the study's log."""

    runs: dict[str, Run]
    repeated: dict[str, list[Run]]
    log: Run
    bins: int
    """Bins of confidence that the calibration error is computed over."""

    @property
    def tuned(self) -> Run:
        """The fine-tuned network."""
        return self.runs["fine-tuned"]

    @property
    def logged(self) -> Proportion:
        """Test accuracy of the log's confusion matrix, which counts other predictions than its accuracy.

        Raises RecordError where the two are of the same predictions.
        """
        averaged = published.tta_accuracy(self.log)
        if averaged is None:
            raise refused(self.log.path, "its confusion matrix has the accuracy that it states")
        return intervals.proportion(averaged, self.log.size("test"))

    @property
    def answers(self) -> list[tuple[str, Proportion, Proportion, PairedTest]]:
        """Each network's name, its plain and its averaged test accuracy, and what averaging gains."""
        return [
            (name, groups.accuracy(each), groups.accuracy(each, view="tta"), _gain(each))
            for name, each in self.runs.items()
        ]

    @property
    def gain(self) -> PairedTest:
        """What averaging gains in the fine-tuned network, image by image."""
        return _gain(self.tuned)

    @property
    def groups(self) -> dict[str, tuple[groups.Group, groups.Group]]:
        """Network to its runs, twice: averaging is compared within each."""
        return {name: (group, group) for name, group in self.repeated.items()}

    @property
    def mean_gains(self) -> dict[str, Gain]:
        """The mean gain of each network over its seeds."""
        return {name: groups.gain(group, group, ("plain", "tta")) for name, group in self.repeated.items()}

    @property
    def tests(self) -> int:
        """How many runs are compared with themselves."""
        return sum(map(len, self.repeated.values()))

    @property
    def published(self) -> float | None:
        """What the study says that averaging gains; None beside other runs than its claim is about."""
        return common.published(rules.FLIP_GAINS, self.tuned)

    @property
    def errors(self) -> tuple[float, float]:
        """Calibration error of the fine-tuned network's plain and of its averaged predictions, 0 to 1."""
        plain, averaged = (common.calibration(self.tuned, view, self.bins).error for view in VIEWS.values())
        return plain, averaged

    @property
    def surplus(self) -> float:
        """Mean confidence less accuracy of the fine-tuned network's plain predictions, -1 to 1."""
        found = common.calibration(self.tuned, bins=self.bins)
        return found.confidence - found.accuracy

    @property
    def calibration(self) -> list[tuple[str, str, str, str, str]]:
        """Name, mean confidence, accuracy, calibration error, log loss of plain and averaged predictions."""
        found = {
            f"{name}, {words}": common.calibration(each, view, self.bins)
            for name, each in self.runs.items()
            for words, view in VIEWS.items()
        }
        return [
            (name, percent(of.confidence), percent(of.accuracy), percent(of.error), f"{of.log_loss:.3f}")
            for name, of in found.items()
        ]


def _gain(each: Run) -> PairedTest:
    return groups.paired(each, each, views=("plain", "tta"))


def load(
    *, n_unfreeze: int, epochs: int, learning_rate: float, batch_size: int, bins: int, **parameters: Any
) -> Averaging:
    """The two networks, trained where they are not stored, the stored ones of other seeds, and the log.

    `parameters` are the data set, the scale and other fields of both Experiments. Raises ExperimentError
    where nothing is tuned or no bin is left.
    """
    common.refuse_below(1, n_unfreeze=n_unfreeze, epochs=epochs, bins=bins)
    tuning: dict[str, Any] = {"n_unfreeze": n_unfreeze, "epochs": epochs, "batch_size": batch_size}
    wanted = {
        "frozen": experiments.for_notebook(experiments.BASELINE, **parameters),
        "fine-tuned": experiments.for_notebook(
            experiments.CAREFUL, learning_rate=learning_rate, **tuning, **parameters
        ),
    }
    return Averaging(
        runs={name: run.run(each) for name, each in wanted.items()},
        repeated={name: [one for (one,) in common.by_seed(each).values()] for name, each in wanted.items()},
        log=store.published_log("run_final_optimized"),
        bins=bins,
    )
