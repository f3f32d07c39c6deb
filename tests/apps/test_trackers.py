"""Records in TensorBoard and in MLflow: read back by these programs themselves."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import made
import pytest
from mlflow import MlflowClient
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from helpers.apps import cli, trackers
from helpers.experiment import Experiment, ExperimentError
from helpers.records.run import Run

MakeRun = Callable[..., Run]


def test_tensorboard_reads_every_curve_by_epoch(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(0.9)
    assert trackers.tensorboard([run], str(tmp_path / "board")) == [run.path.stem]
    read = EventAccumulator(str(tmp_path / "board" / run.path.stem)).Reload()
    points = read.Scalars("stage2/val_accuracy")
    assert [point.step for point in points] == list(range(1, len(run.stage2) + 1))
    assert [point.value for point in points] == pytest.approx(run.stage2.val_accuracy)
    assert read.Scalars("metrics/test_end2end")[0].value == pytest.approx(run.test_accuracy)


def test_tensorboard_gets_what_is_new_alone(make_run: MakeRun, tmp_path: Path) -> None:
    first, second = make_run(0.9), make_run(0.8, seed=1)
    board = tmp_path / "board"
    trackers.tensorboard([first], str(board))
    before = sorted(board.rglob("*events*"))
    assert trackers.tensorboard([first, second], str(board)) == [second.path.stem]
    assert set(before) < set(board.rglob("*events*")) and len(list(board.iterdir())) == 2


def test_mlflow_reads_every_curve_and_choice(make_run: MakeRun, tmp_path: Path) -> None:
    run, uri = make_run(0.9), f"sqlite:///{tmp_path}/runs.db"
    assert trackers.mlflow([run], uri) == [run.path.stem]
    assert trackers.mlflow([run], uri) == []
    client = MlflowClient(tracking_uri=uri)
    (home,) = client.search_experiments(filter_string=f"name = '{trackers.MLFLOW_EXPERIMENT}'")
    (found,) = client.search_runs([home.experiment_id])
    assert (found.info.run_name, found.info.status) == (run.path.stem, "FINISHED")
    assert found.data.params["learning_rate"] == str(run.learning_rate)
    history = client.get_metric_history(found.info.run_id, "stage2/val_accuracy")
    assert [point.value for point in history] == pytest.approx(run.stage2.val_accuracy)


def test_mlflow_logs_anew_what_was_left_unfinished(make_run: MakeRun, tmp_path: Path) -> None:
    run, uri = make_run(0.9), f"sqlite:///{tmp_path}/runs.db"
    client = MlflowClient(tracking_uri=uri)
    home = client.create_experiment(trackers.MLFLOW_EXPERIMENT)
    client.create_run(home, run_name=run.path.stem)
    assert trackers.mlflow([run], uri) == [run.path.stem]
    (found,) = client.search_runs([home])
    assert found.info.status == "FINISHED"


def test_a_place_that_does_not_take_them_is_named(make_run: MakeRun, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(trackers.TrackerError, match="file.*choose another place"):
        trackers.tensorboard([make_run(0.9)], str(tmp_path / "file" / "board"))
    with pytest.raises(trackers.TrackerError, match="ftp://nowhere.*check the tracking URI"):
        trackers.mlflow([make_run(0.9)], "ftp://nowhere")


def test_the_command_line_sends_all_records_and_names_what_it_leaves_out(
    make_run: MakeRun, tmp_path: Path
) -> None:
    make_run(0.9)
    make_run(0.8, seed=1).path.write_text("{}")
    command = [sys.executable, "-m", "helpers", "export", "tensorboard"]
    said = subprocess.run([*command, str(tmp_path / "board")], capture_output=True, text=True, check=True)
    assert "1 records added, 0 were there already" in said.stdout and "left out: " in said.stdout
    lacking = subprocess.run(command, capture_output=True, text=True)
    assert lacking.returncode == 2 and "needs a place" in lacking.stderr


def test_the_records_of_other_images_are_sent_where_asked_for(
    make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(0.9)
    drawn = Experiment(**made.MINIATURE, scale="smoke")
    small = make_run(0.8, **asdict(drawn))
    cli.export("tensorboard", drawn, str(tmp_path / "board"))
    assert [each.name for each in (tmp_path / "board").iterdir()] == [small.path.stem]
    assert "1 records added" in capsys.readouterr().out
    with pytest.raises(ExperimentError, match="sends all records: leave out seed"):
        cli.export("tensorboard", drawn.replace(seed=1), str(tmp_path / "board"))
