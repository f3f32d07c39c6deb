"""Records for other programs that show runs: TensorBoard and MLflow. One way, and repeatable.

Each record becomes one run, named as its files are, by the experiment and the hash that identifies it. What
is there already is left as it is, so that the same call adds only what is new.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from helpers import files
from helpers.apps.groups import imported
from helpers.errors import UserError
from helpers.records.run import Run

MLFLOW_EXPERIMENT = "transfer-report"
"""The experiment that all runs belong to in MLflow."""


class TrackerError(UserError):
    """The place that was named cannot be written, or does not answer."""


def scalars(run: Run) -> Iterator[tuple[str, int, float]]:
    """A record's numbers as (name, epoch, value): its curves, epochs from 1; then its metrics, at 0.

    Names are as 'stage2/val_accuracy' and 'metrics/test_end2end'; accuracies lie in 0 to 1, losses in nats.
    """
    for stage, curves in run.curves.items():
        for name, values in curves.items():
            yield from ((f"{stage}/{name}", epoch, value) for epoch, value in enumerate(values, 1))
    yield from ((f"metrics/{name}", 0, value) for name, value in run.metrics.items())


def tensorboard(runs: Iterable[Run], place: str) -> list[str]:
    """Write each record as a folder of event files below `place`; the names of those that were added.

    Raises MissingPackageError without tensorboardX, and TrackerError where `place` cannot be written.
    """
    board = imported("tensorboardX", "trackers")
    added = []
    try:
        for run in runs:
            target = Path(place, run.path.stem)
            if target.exists():
                continue
            with files.whole(target) as folder, board.SummaryWriter(str(folder)) as writer:
                for name, epoch, value in scalars(run):
                    writer.add_scalar(name, value, epoch)
                writer.add_text("choices", "\n".join(f"    {k}: {v}" for k, v in run.config.items()))
            added.append(run.path.stem)
    except OSError as error:
        raise TrackerError(f"{place} cannot be written ({error}); choose another place") from error
    return added


def mlflow(runs: Iterable[Run], place: str) -> list[str]:
    """Log each record as a finished run at the tracking URI `place`; the names of those that were added.

    A run that an interrupted call left unfinished is deleted and logged anew. Raises MissingPackageError
    without mlflow-skinny, and TrackerError where the URI does not answer.
    """
    package = imported("mlflow", "trackers")
    metric, param = package.entities.Metric, package.entities.Param
    added = []
    try:
        client = package.MlflowClient(tracking_uri=place)
        known = client.get_experiment_by_name(MLFLOW_EXPERIMENT)
        home = known.experiment_id if known else client.create_experiment(MLFLOW_EXPERIMENT)
        for run in runs:
            earlier = client.search_runs([home], f"attributes.run_name = '{run.path.stem}'")
            if any(each.info.status == "FINISHED" for each in earlier):
                continue
            for each in earlier:
                client.delete_run(each.info.run_id)
            new = client.create_run(home, run_name=run.path.stem).info.run_id
            metrics = [metric(name, value, 0, epoch) for name, epoch, value in scalars(run)]
            for first in range(0, len(metrics), 1000):  # MLflow takes no more at a time
                client.log_batch(new, metrics=metrics[first : first + 1000])
            client.log_batch(new, params=[param(name, str(value)) for name, value in run.config.items()])
            client.set_terminated(new)
            added.append(run.path.stem)
    except package.exceptions.MlflowException as error:
        raise TrackerError(f"{place!r}: MLflow says: {error}; check the tracking URI") from error
    return added


TRACKERS: Mapping[str, Callable[[Iterable[Run], str], list[str]]] = {
    "tensorboard": tensorboard,
    "mlflow": mlflow,
}
"""Program to what sends it records; the second argument is a folder, or MLflow's tracking URI."""
