"""Records: what is written comes back, what was altered is refused, the published logs tell their facts."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made import arrays_of, published_log, recomputed, softmax_outputs
from made import content_of as made_content

from helpers import paths
from helpers.data.sources import data_fingerprint
from helpers.experiment import Experiment
from helpers.records import published, store
from helpers.records.run import VIEWS, Diagnosis, RecordError, Run

EXPERIMENT = Experiment(learning_rate=3e-5)
FINGERPRINTS = {"data": data_fingerprint(EXPERIMENT), "weights": "w" * 64}
COUNTS = {"val": [30, 20] + [25] * 8, "test": [50] * 10}


def content_of(**changes: Any) -> dict[str, Any]:
    """What no two splits, views or epochs have in common, with a number that is none."""
    metrics = {"val_end2end": 0.5, "test_end2end": np.float32(0.25), "test_tta": 0.75}
    steps = {"stage1": [2], "stage2": [4, 1, 4]}
    content = made_content(EXPERIMENT, metrics=metrics, steps=steps, train_images=250, class_counts=COUNTS)
    content["curves"] = {"stage1": {"loss": [1.0]}, "stage2": {"loss": [1.0, float("nan"), 0.5]}}
    return {**content, "confusion_matrix": np.eye(10, dtype=int), **changes}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return store.write(content_of(), arrays_of(COUNTS), tmp_path)


def edited(run: Run, **changes: Any) -> None:
    content = json.loads(run.path.read_text())
    run.path.write_text(json.dumps({**content, **changes}))


def signed(run: Run, **changes: Any) -> None:
    """Edit a record so that its checksum fits."""
    edited(run, **changes)
    edited(run, checksum=store._checksum(json.loads(run.path.read_text())))


# ---------------------------------------------------------------------------- writing and reading


def test_a_record_comes_back_as_written(run: Run, tmp_path: Path) -> None:
    again = store.read(run.path)
    assert again.path == tmp_path / f"{EXPERIMENT.slug}-{EXPERIMENT.identity(FINGERPRINTS)}.json"
    assert (again.metrics["test_end2end"], np.trace(again.confusion_matrix or [])) == (0.25, 10)
    assert np.isnan(again.curves["stage2"]["loss"][1])
    assert (again.scale, again.dataset, again.is_published_log) == ("full", "cifar10", False)
    assert np.bincount(again.labels("val")).tolist() == COUNTS["val"]
    plain, flipped = (again.probabilities("test", view) for view in VIEWS)
    np.testing.assert_allclose(plain, arrays_of(COUNTS)["test_plain"], rtol=2**-6)
    np.testing.assert_array_equal(again.probabilities("test", "tta"), (plain + flipped) / 2)


def test_only_the_two_files_are_left(run: Run) -> None:
    assert sorted(path.suffix for path in run.path.parent.iterdir()) == [".json", ".npz"]


def test_a_failed_write_leaves_the_old_record_whole(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: Path, target: Path) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError):
        store.write(content_of(metrics={"test_end2end": 0.9}), arrays_of(COUNTS), run.path.parent)
    assert store.read(run.path).metrics["test_end2end"] == 0.25
    assert len(list(run.path.parent.iterdir())) == 2


def test_rows_must_fit_the_counts(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="test_plain has 10 rows"):
        store.write(content_of(), {**arrays_of(COUNTS), "test_plain": softmax_outputs(10)}, tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    content = content_of()
    del content["steps"]
    with pytest.raises(RecordError, match="lacks steps"):
        store.write(content, arrays_of(COUNTS), tmp_path)


@pytest.mark.parametrize("sharpness", [0.5, 1.5, 3.0, 6.0])
def test_a_full_record_fits_in_500_kilobytes(tmp_path: Path, sharpness: float) -> None:
    counts = {"val": [500] * 10, "test": [1000] * 10}
    arrays = {
        f"{split}_{view}": softmax_outputs(sum(counts[split]), seed, sharpness)
        for split in counts
        for seed, view in enumerate(VIEWS)
    }
    curves = {"stage2": {metric: [0.123456789012345678] * 28 for metric in "abcdefgh"}}
    run = store.write(content_of(class_counts=counts, curves=curves), arrays, tmp_path)
    assert sum(path.stat().st_size for path in run.path.parent.iterdir()) <= 500_000


def test_compacting_keeps_every_predicted_class_and_happens_once() -> None:
    outputs = softmax_outputs(20000, sharpness=0.02)  # nearly uniform: many near ties
    kept = store.compact(outputs)
    np.testing.assert_array_equal(kept.argmax(axis=1), outputs.astype(np.float16).argmax(axis=1))
    np.testing.assert_array_equal(store.compact(kept), kept)


def test_a_screening_record_keeps_classes_and_true_probabilities(tmp_path: Path) -> None:
    arrays = arrays_of(COUNTS)
    small = store.screening(arrays, COUNTS)
    run = store.write(content_of(), small, tmp_path)
    assert run.is_screening
    np.testing.assert_array_equal(run.predictions("val"), arrays["val_plain"].argmax(axis=1))
    averaged = (arrays["test_plain"].astype(np.float32) + arrays["test_flipped"]).argmax(axis=1)
    assert (averaged != arrays["test_plain"].argmax(axis=1)).any()
    np.testing.assert_array_equal(run.correct("test", "tta"), averaged == run.labels("test"))
    with pytest.raises(RecordError, match="holds no 'test_plain'"):
        run.probabilities("test")


# ---------------------------------------------------------------------------- damage


def test_an_edited_record_is_refused(run: Run) -> None:
    edited(run, metrics={"test_end2end": 0.99})
    with pytest.raises(RecordError, match="edited or damaged.*[Rr]estore"):
        store.read(run.path)


def test_a_record_without_its_format_is_not_taken_for_a_published_log(run: Run) -> None:
    content = json.loads(run.path.read_text())
    del content["format"]
    run.path.write_text(json.dumps(content))
    with pytest.raises(RecordError, match="format is None"):
        store.read(run.path)


def test_a_truncated_record_is_refused(run: Run) -> None:
    run.path.write_text(run.path.read_text()[:-20])
    with pytest.raises(RecordError, match="not JSON"):
        store.read(run.path)


def test_altered_or_missing_probabilities_are_refused(run: Run) -> None:
    stored = run.path.with_suffix(".npz")
    data = bytearray(stored.read_bytes())
    data[len(data) // 2] ^= 1
    stored.write_bytes(data)
    with pytest.raises(RecordError, match="not the file that was written"):
        store.read(run.path)
    stored.unlink()
    with pytest.raises(RecordError, match="is missing"):
        store.read(run.path)


def test_a_renamed_record_is_refused(run: Run) -> None:
    for suffix in (".npz", ".json"):
        run.path.with_suffix(suffix).rename(run.path.with_name("better" + suffix))
    with pytest.raises(RecordError, match="renamed"):
        store.read(run.path.with_name("better.json"))


def test_a_folder_gives_its_runs_and_its_problems(run: Run) -> None:
    run.path.with_name("broken.json").write_text("{")
    run.path.with_name("other.json").write_text('{"a": 1}')
    runs, problems = store.read_folder(run.path.parent)
    assert [each.id for each in runs] == [run.id]
    assert [path.name for path, _ in problems] == ["broken.json", "other.json"]


# ---------------------------------------------------------------------------- finding


def found(
    experiment: Experiment, folders: Iterable[Path | str], fingerprints: Mapping[str, str] = {}
) -> str | None:
    record = store.find(experiment, folders, fingerprints)
    return record.id if record else None


@pytest.mark.parametrize("part", [".", "quick", "published"])
def test_every_committed_record_is_sound_and_its_accuracies_can_be_recomputed(part: str) -> None:
    runs, problems = store.read_folder(paths.RESULTS / part)
    assert (bool(runs), problems) == (True, [])
    for run in runs:
        if not run.is_published_log:
            for name, view in (("end2end", "plain"), ("tta", "tta")):
                measured = {split: run.correct(split, view).mean() for split in ("val", "test")}
                stated = {split: run.metrics[f"{split}_{name}"] for split in measured}
                assert measured == pytest.approx(stated, abs=1e-9), run.path.name
            if not run.is_screening:
                again = recomputed(run)
                assert {name: run.metrics[name] for name in again} == pytest.approx(again), run.path.name


def test_the_record_of_an_experiment_is_found(run: Run, tmp_path: Path) -> None:
    folders = [tmp_path / "nowhere", tmp_path]
    assert found(EXPERIMENT, folders) == run.id
    assert found(EXPERIMENT.replace(seed=7), folders) is None
    assert found(EXPERIMENT, folders, FINGERPRINTS) == run.id
    assert found(EXPERIMENT, folders, {"data": "another"}) is None


def test_a_run_on_a_file_of_weights_does_not_answer_for_imagenet(run: Run, tmp_path: Path) -> None:
    """But where these very weights are asked for, and for the file itself."""
    own = {**json.loads(run.path.read_text())["config"], "backbone_weights": "my.h5"}
    signed(run, config=own)
    assert found(EXPERIMENT, [tmp_path]) is None
    assert found(EXPERIMENT, [tmp_path], FINGERPRINTS) == run.id
    assert found(EXPERIMENT.replace(backbone_weights="my.h5"), [tmp_path]) == run.id


def test_a_damaged_record_hides_no_other_but_not_itself(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a-broken.json").write_text("{")
    assert found(EXPERIMENT, [tmp_path]) == run.id
    edited(run, metrics={})
    with pytest.raises(RecordError):
        store.find(EXPERIMENT, [tmp_path], {})
    run.path.write_text("{")
    with pytest.raises(RecordError):
        store.find(EXPERIMENT, [tmp_path], {})


@pytest.mark.parametrize("fingerprints", [["data"], "data", None])
def test_fingerprints_that_are_no_object_are_refused_by_name(
    fingerprints: object, run: Run, tmp_path: Path
) -> None:
    signed(run, fingerprints=fingerprints)
    assert found(EXPERIMENT.replace(seed=7), [tmp_path], FINGERPRINTS) is None
    with pytest.raises(RecordError, match=f"{run.path.name}: its fingerprints are a .*, not an object"):
        store.find(EXPERIMENT, [tmp_path], FINGERPRINTS)


@pytest.mark.parametrize("name", ["confusion_matrix", "id"])
def test_a_record_that_lacks_a_part_is_refused_by_name(name: str, run: Run) -> None:
    content = json.loads(run.path.read_text())
    del content[name]
    run.path.write_text(json.dumps(content))
    signed(run)
    with pytest.raises(RecordError, match=f"{run.path.name}: it lacks {name}"):
        store.read(run.path)


# ---------------------------------------------------------------------------- the published logs


def test_every_published_log_is_read() -> None:
    runs, problems = store.read_folder(published.PUBLISHED_LOGS)
    assert len(runs) == 5 and not problems
    assert all(run.is_published_log and run.scale == "full" for run in runs)
    assert [run.learning_rate for run in runs][:1] == [None]
    assert published_log("run_full_tune").learning_rate == pytest.approx(3e-4)
    with pytest.raises(RecordError, match="original study holds no"):
        runs[0].probabilities("test")


def test_a_published_log_without_curves_times_and_matrix_is_read(tmp_path: Path) -> None:
    path = tmp_path / "run_early.json"
    path.write_text(json.dumps({"config": {"n_unfreeze": 10}, "metrics": {"test_end2end": 0.8}}))
    run = store.read(path)
    assert (run.confusion_matrix, run.timing_sec, published.real_epochs(run)) == (None, {}, [])
    assert published.tta_accuracy(run) is None


@pytest.mark.parametrize("curves", [[1, 2], {"stage2": [0.5]}, {"stage2": {"loss": [1, 2], "accuracy": [1]}}])
def test_a_published_log_with_other_curves_is_refused_by_name(curves: object, tmp_path: Path) -> None:
    path = tmp_path / "run_odd.json"
    path.write_text(json.dumps({"config": {}, "metrics": {}, "curves": curves}))
    with pytest.raises(RecordError, match=r"run_odd\.json.*curves"):
        store.read(path)


def test_a_log_of_other_images_is_no_published_one(tmp_path: Path) -> None:
    path = tmp_path / "run_other.json"
    path.write_text(json.dumps({"config": {"dataset": "cifar100"}, "metrics": {"test_end2end": 0.5}}))
    with pytest.raises(RecordError, match=r"run_other\.json.*cifar10"):
        store.read(path)


def test_a_published_log_without_learning_rates_is_read(tmp_path: Path) -> None:
    path = tmp_path / "run_short.json"
    path.write_text(json.dumps({"config": {}, "metrics": {}, "curves": {"stage2": {"learning_rate": []}}}))
    assert store.read(path).learning_rate is None


@pytest.mark.parametrize(
    ("name", "logged", "real"),
    [
        ("run_final_optimized", 55, 28),
        ("run_full_tune", 12, 6),
        ("run_full_tune_low_lr", 35, 18),
        ("run_aug_custom1", 10, 5),
        ("run_n0_Adam", 10, 10),
    ],
)
def test_one_step_epochs_of_the_published_logs(name: str, logged: int, real: int) -> None:
    run = published_log(name)
    assert len(run.curves["stage2"]["loss"]) == logged
    assert len(published.real_epochs(run)) == real
    assert published.one_step_epochs(run) == (list(range(1, logged, 2)) if real < logged else [])
    assert published.one_step_epochs(run, "stage1") == []


def test_no_real_epoch_of_the_published_logs_passes_for_one_step() -> None:
    run = published_log("run_final_optimized")
    accuracy = np.array(run.curves["stage2"]["accuracy"]) * 64
    whole = np.abs(accuracy - accuracy.round()) <= 64 * np.finfo(np.float32).eps
    assert np.flatnonzero(whole).tolist() == published.one_step_epochs(run)


def test_one_step_epochs_of_our_runs_are_counted(run: Run) -> None:
    assert published.one_step_epochs(run) == [1]
    assert published.real_epochs(run) == [0, 2]


def test_the_flip_averaged_accuracy_of_the_original_final_run_is_in_its_matrix() -> None:
    assert published.tta_accuracy(published_log("run_final_optimized")) == pytest.approx(0.9190)
    assert published_log("run_final_optimized").metrics["test_end2end"] == pytest.approx(0.9156)
    others = ("run_full_tune", "run_full_tune_low_lr", "run_aug_custom1", "run_n0_Adam")
    for name in others:
        assert published.tta_accuracy(published_log(name)) is None
        matrix = published_log(name).matrix()
        plain = published_log(name).metrics["test_end2end"]
        assert matrix.trace() / matrix.sum() == pytest.approx(plain, abs=1e-6)


def test_reading_records_imports_no_tensorflow_and_no_keras() -> None:
    code = (
        "import sys; from helpers.records import published, store; "
        "assert store.read_folder(published.PUBLISHED_LOGS)[0]; "
        "sys.exit(bool({'tensorflow', 'keras'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_folder_in_the_place_of_the_probabilities_is_refused_by_name(run: Run) -> None:
    run.path.with_suffix(".npz").unlink()
    run.path.with_suffix(".npz").mkdir()
    with pytest.raises(RecordError, match=f"{run.path.stem}.npz cannot be read"):
        store.read(run.path)


def test_a_count_that_a_record_lacks_is_no_zero() -> None:
    older = Diagnosis.of({"accuracy": {}, "loss": {}, "probe": 0.5, "drift": {}, "cka": {}})
    for which in ("active", "kept"):
        with pytest.raises(RecordError, match=f"older than the count of {which} channels"):
            getattr(older, which)
