"""run(experiment): the same again and again, whoever asks, however often it was killed."""

import json
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import kills
import pytest

from helpers import cache, cost
from helpers import run as door
from helpers.apps.cli import main
from helpers.engine import train
from helpers.experiment import ExperimentError
from helpers.paths import CacheError
from helpers.records.run import RecordError, Run

SMALL = kills.small(batch_size=4, stage1_batch_size=2)
"""Small batches make epochs of 64 and 128 steps, long enough to be hit in the middle."""


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty store that this test's process uses."""
    return kills.use(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The record of SMALL, made in peace."""
    with pytest.MonkeyPatch.context() as patch:
        kills.use(tmp_path_factory.mktemp("undisturbed"), patch)
        return door.run(SMALL, progress=False)


def copied(run: Run, store: Path) -> Path:
    """A copy of a record in another store; its JSON file."""
    folder = Path(shutil.copytree(run.path.parent, store / "results" / "miniature" / "smoke"))
    return folder / run.path.name


# ---------------------------------------------------------------------------- the same again


def test_the_same_experiment_twice_is_the_same_record(undisturbed: Run, store: Path) -> None:
    """Exactly, on one machine: not one bit of a metric, a curve or a probability differs."""
    again = door.run(SMALL, progress=False)
    assert again.path != undisturbed.path
    assert kills.difference(again, undisturbed) == 0


def test_what_a_run_leaves(undisturbed: Run) -> None:
    """The record's two files, and the trained weights; no checkpoint and nothing half-written."""
    assert sorted(path.suffix for path in undisturbed.path.parent.iterdir()) == [".json", ".npz"]
    runs = undisturbed.path.parents[3] / "cache" / "runs"
    assert [path.name for path in runs.glob("*/*")] == ["weights.npz"]


def test_without_stage_1_no_pooled_features_are_stored(store: Path) -> None:
    experiment = SMALL.replace(stage1_epochs=0, epochs=1)
    sizes = SMALL.limits
    once = sizes.train + 2 * (sizes.val + sizes.test)
    assert f": {once:,} images through the frozen part" in cost.estimate(experiment)
    assert f": {2 * once:,} images" in cost.estimate(SMALL.replace(epochs=1))
    assert "smoke scale, " in cost.estimate(experiment) and "stage1_epochs=0" in cost.estimate(experiment)
    assert cost.estimate(SMALL.replace(n_unfreeze=0)).endswith("(less what is stored already).")
    run = door.run(experiment, progress=False)
    assert run.curves["stage1"] == {}
    assert len(run.curves["stage2"]["loss"]) == 1
    assert {path.parent.name.split("-")[0] for path in store.rglob("*.npy")} == {"block_11_add"}


def test_a_depth_that_leaves_nothing_frozen_is_refused_before_anything_is_stored(store: Path) -> None:
    with pytest.raises(CacheError, match="n_unfreeze=200 leaves no whole block"):
        door.run(SMALL.replace(n_unfreeze=200), progress=False)
    assert not list(store.rglob("*.npy"))


def test_a_stored_record_needs_no_keras(undisturbed: Run, store: Path) -> None:
    path = copied(undisturbed, store)
    code = kills.training(SMALL) + "import sys\nassert not {'keras', 'tensorflow'} & sys.modules.keys()\n"
    with kills.process(code, store) as child:
        assert child.wait(120) == 0, kills.said(store)
    assert door.run(SMALL).path == path


# ---------------------------------------------------------------------------- damage


def test_a_record_edited_by_hand_is_refused(undisturbed: Run, store: Path) -> None:
    path = copied(undisturbed, store)
    content = json.loads(path.read_text())
    content["metrics"]["test_end2end"] = 0.99
    path.write_text(json.dumps(content))
    before = path.read_bytes()
    with pytest.raises(RecordError, match=f"{path.name}.*checksum.*run the experiment again"):
        door.run(SMALL)
    assert path.read_bytes() == before


def test_a_record_cut_short_is_refused(undisturbed: Run, store: Path) -> None:
    path = copied(undisturbed, store)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(RecordError, match=f"{path.name}.*not JSON"):
        door.run(SMALL)


def test_altered_probabilities_are_refused(undisturbed: Run, store: Path) -> None:
    path = copied(undisturbed, store)
    data = bytearray(path.with_suffix(".npz").read_bytes())
    data[len(data) // 2] ^= 1
    path.with_suffix(".npz").write_bytes(data)
    with pytest.raises(RecordError, match=f"{path.stem}.npz is not the file"):
        door.run(SMALL)


def test_a_norm_that_freezes_late_is_refused_on_jax_before_anything_trains(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    with pytest.raises(ExperimentError, match="head_norm_epochs=1 on jax.*unset KERAS_BACKEND"):
        door.run(SMALL.replace(head_norm_epochs=1))
    assert not list(store.rglob("*.npz"))


def test_only_the_feature_cache_is_diagnosed(store: Path) -> None:
    with pytest.raises(ExperimentError, match="needs engine='cached'"):
        door.run(SMALL, diagnosed=True, engine="end_to_end")


def test_retraining_leaves_the_record_and_the_new_weights(undisturbed: Run, store: Path) -> None:
    path = copied(undisturbed, store)
    before = path.read_bytes()
    again = door.run(SMALL, retrain=True, progress=False)
    assert path.read_bytes() == before
    assert again.path.parent == cache.run_folder(SMALL, undisturbed.fingerprints)
    assert sorted(left.suffix for left in again.path.parent.iterdir()) == [".json", ".npz", ".npz"]
    assert kills.difference(again, undisturbed) == 0
    assert door.run(SMALL).path == path
    measured = door.run(SMALL, diagnosed=True, retrain=True, progress=False)
    assert path.read_bytes() == before and measured.diagnosis and measured.path.parent != path.parent


@pytest.mark.parametrize("variable", ["REPORT_CACHE", "REPORT_RESULTS"])
def test_a_folder_that_cannot_be_written_is_told_before_anything_is_done(
    variable: str, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (store / "taken").write_text("a file where the folder should be")  # stops the superuser too
    monkeypatch.setenv(variable, str(store / "taken"))
    with pytest.raises(CacheError, match=f"taken.*cannot be written.*{variable}"):
        door.run(SMALL, progress=False)
    assert [path.name for path in store.rglob("*.npy")] == []


# ---------------------------------------------------------------------------- kills and waiting


def in_epoch(store: Path, stage: str) -> int:
    """The epoch, from 1, in which the experiment in `store` was killed."""
    path = kills.checkpoint(store, stage)
    assert path is not None
    assert not kills.finished(path), "the kill came too late to prove anything"
    return kills.epochs_done(path) + 1


def test_killed_in_every_part_and_resumed(undisturbed: Run, store: Path) -> None:
    train = kills.training(SMALL)
    with kills.process(kills.fatal(r"bank/.*/val-plain-\d+\.json$", train), store) as child:
        assert child.wait() == -signal.SIGKILL  # its rows are written and not yet noted
    for stage in ("stage1", "stage2"):
        with kills.process(train, store) as child:
            kills.wait_for(lambda stage=stage: kills.checkpoint(store, stage), child, store)  # type: ignore[misc]
            assert kills.kill(child)
        assert in_epoch(store, stage) == 2
    with kills.process(kills.fatal(r"results/.*\.json$", train), store) as child:
        assert child.wait() == -signal.SIGKILL  # its probabilities are in place, without the record
    resumed = door.run(SMALL, progress=False)
    assert resumed.steps == undisturbed.steps
    assert kills.difference(resumed, undisturbed) <= kills.TOLERANCE


def test_of_two_processes_one_trains(
    undisturbed: Run, store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with ThreadPoolExecutor(1) as pool, kills.process(kills.training(SMALL), store) as child:
        kills.wait_for(lambda: kills.checkpoint(store, "stage1"), child, store)
        child.send_signal(signal.SIGSTOP)  # it holds the lock
        waiting = pool.submit(door.run, SMALL, progress=False)
        assert kills.still_waits(waiting)
        with monkeypatch.context() as patch:  # who wants another experiment need not wait
            patch.setattr(train, "train", lambda *given: undisturbed)
            another = SMALL.replace(learning_rate=SMALL.learning_rate * 1.5)
            assert door.run(another) is undisturbed
        child.send_signal(signal.SIGCONT)
        answer = waiting.result(280)
        assert child.wait() == 0
    said = capsys.readouterr().out
    assert "is being run by another process" in said
    assert kills.WORKING not in said
    assert kills.difference(answer, undisturbed) <= kills.TOLERANCE


def test_a_value_out_of_range_is_told_in_our_own_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["helpers", "run", "--n-unfreeze", "300"])
    with pytest.raises(SystemExit, match="^2$"):
        main()
    assert capsys.readouterr().err == "ExperimentError: n_unfreeze=300 is outside 0 to 200\n"


def test_the_command_line_says_what_is_wrong_in_one_line(undisturbed: Run, store: Path) -> None:
    path = copied(undisturbed, store)
    path.write_bytes(path.read_bytes()[:-100])
    command = [sys.executable, "-m", "helpers", "run", *kills.options(SMALL)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("RecordError: ")
    assert "Traceback" not in done.stderr
