"""Diagnosis: it tells a network that is destroyed from one that only looks so, and touches neither."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import kills
import numpy as np
import pytest

from helpers import run as door
from helpers.data import sources
from helpers.engine import (
    backbones,
    diagnosis,
    feature_cache,
    fit,
    forward,
    inputs,
    model,
    reestimate,
    schedule,
)
from helpers.engine.forward import Prefix

TRAINED = kills.small("quick", stage1_epochs=5)
"""The careful fine-tune on the miniature, whose head is trained here on 2,000 images."""

Patient = tuple[keras.Model, Callable[[], dict[str, Any]]]


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Patient:
    """A healthy network at the start of stage 2, and its diagnosis."""
    folder = tmp_path_factory.mktemp("patient")
    with pytest.MonkeyPatch.context() as patch:
        kills.use(folder, patch)
        found, images = door.fingerprints(TRAINED), sources.load(TRAINED)
        network = backbones.backbone(TRAINED)
        pooled = Prefix(network, backbones.POOLED, found["weights"], found["data"])
        views = [feature_cache.plain("train", images.train), feature_cache.plain("val", images.val)]
        train, val = feature_cache.open_views(pooled, views, progress=False)
        made = [
            inputs.Source(rows, np.eye(10, dtype=np.float32)[split.labels])
            for rows, split in ((train, images.train), (val, images.val))
        ]
        keras.utils.set_random_seed(0)
        head = model.head(TRAINED, pooled.shape[0])
        stage = schedule.stage1(TRAINED)
        fit.fit(head, stage, lambda epoch: made[0], made[1], folder / "stage1.npz", progress=False)
        prefix = forward.for_experiment(network, TRAINED.n_unfreeze, found["weights"], found["data"])
        (augmented,) = feature_cache.open_views(
            prefix, [feature_cache.training_view(TRAINED, images.train, 0)], False
        )
        trained = model.above_cut(network, head, TRAINED)
        measure = diagnosis.of(TRAINED, trained, images, prefix, progress=False)
    return trained, lambda: measure(augmented)


@pytest.fixture
def restored(patient: Patient) -> Any:
    """The patient, whose weights are put back after a test has changed them."""
    weights = patient[0].get_weights()
    yield patient
    patient[0].set_weights(weights)


def test_a_healthy_network(patient: Patient) -> None:
    found = patient[1]()
    accuracy = found["accuracy"]
    assert accuracy.keys() == {"val", "val_augmented"}
    kinds = {"moving", "batch", "augmented", "clean", "means", "variances", "varying", "resting"}
    assert all(each.keys() == kinds for each in accuracy.values())
    assert accuracy["val"]["moving"] == pytest.approx(accuracy["val"]["clean"], abs=0.05)
    assert accuracy["val"]["moving"] > 0.5
    assert accuracy["val_augmented"]["moving"] < accuracy["val"]["moving"]
    assert set(found["drift"].values()) == {0.0}
    assert all(similarity == pytest.approx(1, abs=1e-5) for similarity in found["cka"].values())
    assert abs(found["probe"] - accuracy["val"]["moving"]) < 0.1


def test_measuring_changes_nothing(patient: Patient) -> None:
    before = [np.array(value) for value in patient[0].get_weights()]
    first, second = patient[1](), patient[1]()
    assert first == second
    for one, other in zip(before, patient[0].get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_wrong_statistics_look_like_destruction_and_are_told_from_it(restored: Patient) -> None:
    trained, measure = restored
    healthy = measure()
    norm = trained.get_layer("head").get_layer("head_norm")
    norm.moving_mean.assign_add(4 * np.sqrt(norm.moving_variance))
    found = measure()
    assert found["accuracy"]["val"]["moving"] < 0.3
    for kind in ("batch", "augmented", "clean", "means"):  # the means alone were wrong
        assert found["accuracy"]["val"][kind] == healthy["accuracy"]["val"][kind]
    assert found["accuracy"]["val"]["variances"] < 0.3
    assert found["probe"] == healthy["probe"]
    assert set(found["drift"].values()) == {0.0}


@pytest.mark.parametrize(
    ("half", "mends", "leaves"),
    [("moving_mean", "means", "variances"), ("moving_variance", "variances", "means")],
)
def test_a_new_half_mends_its_own_error_alone(half: str, mends: str, leaves: str, restored: Patient) -> None:
    trained, measure = restored
    healthy = measure()["accuracy"]["val"]
    wrong = getattr(trained.get_layer("head").get_layer("head_norm"), half)
    wrong.assign(10 * wrong + 1)
    found = measure()["accuracy"]["val"]
    assert found[mends] == healthy[mends]
    assert found[leaves] != healthy[leaves]


def test_lost_features_are_told_from_wrong_statistics(restored: Patient) -> None:
    trained, measure = restored
    healthy = measure()
    kernels = backbones.kernels(trained)
    kernels["Conv_1"].assign(np.random.default_rng(0).normal(0, 0.1, kernels["Conv_1"].shape))
    found = measure()
    assert max(found["accuracy"]["val"].values()) < 0.3
    assert found["probe"] < healthy["probe"]
    assert found["cka"]["out_relu"] < 0.9 < found["cka"]["block_16_project_BN"]
    moved = {name for name, share in found["drift"].items() if share}
    assert moved == {"Conv_1"}


def test_channels_that_stand_still_are_counted(restored: Patient) -> None:
    trained, measure = restored
    kernel = backbones.kernels(trained)["Conv_1"]
    before = measure()
    assert before["alive"] > (channels := kernel.shape[-1]) / 2
    assert before["kept"] == channels
    still = np.array(kernel)
    still[..., channels // 4 :] = 0  # what is left of them is the shift of the frozen norm
    kernel.assign(still)
    after = measure()
    assert 0 < after["alive"] <= channels / 4
    assert 0 < after["kept"] <= channels / 4


@pytest.mark.parametrize("norm", [pytest.param("layer", marks=pytest.mark.long), "none"])
def test_without_batch_norm_there_are_no_statistics_to_vary(
    norm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kills.use(tmp_path, monkeypatch)
    run = door.run(kills.small(head_norm=norm), diagnosed=True, progress=False)
    assert [list(found.accuracy["val"]) for found in run.diagnosis] == [["moving"]] * 3
    last = run.curves["stage2"]["val_accuracy"][-1]
    assert run.diagnosis[-1].accuracy["val"]["moving"] == pytest.approx(last, abs=1 / 128)


def test_a_frozen_norm_keeps_the_statistics_of_stage_1() -> None:
    settings = kills.small(head_norm="frozen")
    network = backbones.backbone(settings)
    head = model.head(settings, network.output_shape[-1])
    trained = model.above_cut(network, head, settings)
    norm = head.get_layer("head_norm")
    before = [np.array(value) for value in norm.get_weights()]
    schedule.compile_for(trained, schedule.stage2(settings.replace(learning_rate=0.1)), 1)
    inputs = np.random.default_rng(0).normal(size=(64, *trained.input_shape[1:])).astype(np.float32)
    trained.fit(inputs, np.eye(10, dtype=np.float32)[np.arange(64) % 10], verbose=0)
    for one, other in zip(before, norm.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


# ---------------------------------------------------------------------------- in a run

SMALL = kills.small()


@pytest.mark.long
def test_a_diagnosed_run_is_the_same_run_and_survives_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kills.use(tmp_path / "plain", monkeypatch)
    plain = door.run(SMALL, progress=False)
    monkeypatch.setenv(
        "REPORT_RESULTS", str(shutil.copytree(tmp_path / "plain" / "results", tmp_path / "copy"))
    )
    diagnosed = door.run(
        SMALL, diagnosed=True, progress=False
    )  # a record without its diagnosis does not answer
    assert (plain.path.name, plain.diagnosis) == (diagnosed.path.name, [])
    assert len(diagnosed.diagnosis) == 1 + SMALL.epochs_run
    assert all(share > 0 for share in diagnosed.diagnosis[-1].drift.values())
    assert kills.difference(plain, diagnosed) == 0
    assert door.run(SMALL).diagnosis == diagnosed.diagnosis

    folder = tmp_path / "killed"
    with kills.process(kills.training(SMALL, diagnosed=True), folder) as child:
        kills.wait_for(lambda: kills.checkpoint(folder, "stage2"), child, folder)
        assert kills.kill(child)
    kills.use(folder, monkeypatch)
    resumed = door.run(SMALL, diagnosed=True, progress=False)
    assert len(resumed.diagnosis) == len(diagnosed.diagnosis)
    for one, other in zip(resumed.diagnosis, diagnosed.diagnosis, strict=True):
        assert one.accuracy == other.accuracy
        assert one.drift == pytest.approx(other.drift, abs=1e-6)


# ---------------------------------------------------------------------------- its measures


def cka(one: np.ndarray, other: np.ndarray) -> float:
    return diagnosis.linear_cka(diagnosis.gram(one), diagnosis.gram(other))


def test_cka_ignores_rotation_and_scale_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    one = rng.normal(size=(200, 30))
    rotation = np.linalg.qr(rng.normal(size=(30, 30)))[0]
    assert cka(one, 3 * one @ rotation + 5) == pytest.approx(1)
    assert cka(one, rng.normal(size=(200, 30))) < 0.3
    other = one + rng.normal(size=(200, 30))
    assert 0.3 < cka(one, other) < 0.95


def test_cka_is_the_published_formula() -> None:
    """Kornblith et al. 2019, equation 5: |Y'X|^2 / (|X'X| |Y'Y|), of centred activations."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(50, 8)), rng.normal(size=(50, 5))
    xc, yc = x - x.mean(0), y - y.mean(0)
    published = np.linalg.norm(yc.T @ xc) ** 2 / (np.linalg.norm(xc.T @ xc) * np.linalg.norm(yc.T @ yc))
    assert cka(x, y) == pytest.approx(published)


def test_cka_of_dead_activations_is_zero() -> None:
    assert cka(np.ones((20, 4)), np.random.default_rng(0).normal(size=(20, 4))) == 0


def test_a_probe_finds_what_can_be_separated() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(400) % 4
    informative = np.eye(4)[labels] * 3 + rng.normal(size=(400, 4))
    noise = rng.normal(size=(400, 4))
    for features, low, high in ((informative, 0.8, 1.0), (noise, 0.0, 0.4)):
        answers = diagnosis.probe_answers(features[:200], labels[:200], features[200:])
        assert low < np.mean(answers == labels[200:]) <= high


def test_of_features_that_are_no_numbers_a_probe_tells_nothing() -> None:
    features, labels = np.random.default_rng(0).normal(size=(40, 4)), np.arange(40) % 4
    features[3, 1] = np.nan
    for known, tested in ((features, np.zeros((5, 4))), (np.zeros((40, 4)), features[:5])):
        assert (diagnosis.probe_answers(known, labels, tested) == -1).all()


def test_statistics_are_renewed_for_channels_at_rest_or_for_the_others() -> None:
    features = np.random.default_rng(0).normal(3, 2, (50, 4)).astype(np.float32)
    features[:, 2:] = 6
    norm = keras.layers.BatchNormalization()  # of mean 0 and variance 1
    norm.build((None, 4))
    kinds = diagnosis._kinds(norm, features, features)
    mean, variance = reestimate.moments(features)
    np.testing.assert_array_equal(kinds["varying"], [[*mean[:2], 0, 0], [*variance[:2], 1, 1]])
    np.testing.assert_array_equal(kinds["resting"], [[0, 0, 6, 6], [1, 1, 0, 0]])


def test_moments_are_batch_norms() -> None:
    values = np.random.default_rng(0).normal(3, 2, (64, 5)).astype(np.float32)
    norm = keras.layers.BatchNormalization(momentum=0.0)
    norm(values, training=True)
    mean, variance = reestimate.moments(values)
    np.testing.assert_allclose(norm.moving_mean, mean, rtol=1e-5)
    np.testing.assert_allclose(norm.moving_variance, variance, rtol=1e-4)
