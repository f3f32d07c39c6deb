"""What is frozen of the head's norm stays, and the rest moves; re-estimating changes no training."""

from pathlib import Path
from typing import Any

import keras
import kills
import numpy as np
import pytest

from helpers import run as door
from helpers.engine import backbones, head_norm, model, schedule
from helpers.engine.inputs import Source
from helpers.experiment import Experiment

TARGETS = np.eye(10, dtype=np.float32)[np.arange(64) % 10]


def trained(**changes: Any) -> tuple[Experiment, keras.Model, keras.layers.Layer, Source]:
    """Stage 2 of an experiment on the miniature, compiled; the norm of its head; and inputs of noise."""
    experiment = kills.small(learning_rate=0.01, **changes)
    network = backbones.backbone(experiment)
    head = model.head(experiment, network.output_shape[-1])
    made = model.above_cut(network, head, experiment)
    schedule.compile_for(made, schedule.stage2(experiment), 1)
    made.optimizer.build(made.trainable_variables)
    inputs = np.random.default_rng(0).normal(size=(64, *made.input_shape[1:])).astype(np.float32)
    return experiment, made, head.get_layer("head_norm"), Source(inputs, TARGETS)


def moved(norm: keras.layers.Layer, before: list[np.ndarray]) -> list[bool]:
    """Which of scale, offset, mean and variance are not as before."""
    return [not np.array_equal(one, other) for one, other in zip(before, norm.get_weights(), strict=True)]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("batch", [True] * 4),
        ("frozen", [False] * 4),
        ("frozen_statistics", [True, True, False, False]),
        ("frozen_scale", [False, False, True, True]),
    ],
)
def test_what_is_frozen_stays_and_the_rest_moves(kind: str, expected: list[bool]) -> None:
    _, made, norm, data = trained(head_norm=kind)
    before = norm.get_weights()
    made.train_on_batch(data.rows, data.targets)
    assert moved(norm, before) == expected


def test_fixed_statistics_are_what_training_uses() -> None:
    """Without dropout training and evaluation then answer alike; with each batch's own they do not."""
    for kind, alike in (("frozen_statistics", True), ("batch", False)):
        _, made, norm, data = trained(head_norm=kind, dropout=0.0)
        norm.moving_mean.assign_add(0.5 * np.ones(norm.moving_mean.shape))
        one, other = (np.asarray(made(data.rows, training=training)) for training in (True, False))
        assert np.allclose(one, other, atol=1e-5) is alike


def test_a_norm_is_frozen_after_so_many_epochs_and_training_goes_on() -> None:
    experiment, made, norm, data = trained(head_norm_epochs=2, scale="quick")
    settle = head_norm.settling(experiment, made)
    assert settle
    for epoch, expected in enumerate([True, True, False]):
        before, kernel = norm.get_weights(), made.get_layer("head").get_layer("head_softmax").get_weights()
        made.train_on_batch(data.rows, data.targets)
        settle(epoch, data)
        assert moved(norm, before) == [expected] * 4
        assert not np.array_equal(
            made.get_layer("head").get_layer("head_softmax").get_weights()[0], kernel[0]
        )


def test_no_norm_of_the_backbone_is_frozen_with_it() -> None:
    experiment, made, norm, data = trained(head_norm_epochs=1, scale="quick", backbone_bn="train")
    settle = head_norm.settling(experiment, made)
    assert settle
    before = [each for each in made._flatten_layers() if each.trainable]
    for epoch in range(3):
        settle(epoch, data)
    assert [each for each in before if not each.trainable] == [norm]


@pytest.mark.parametrize("engine", ["cached", pytest.param("end_to_end", marks=pytest.mark.long)])
def test_re_estimated_statistics_are_kept_and_change_no_training(
    engine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kills.use(tmp_path, monkeypatch)
    usual, renewed = (
        door.run(
            kills.small(norm_evaluation=each), engine=engine, diagnosed=engine == "cached", progress=False
        )
        for each in ("moving", "re-estimated")
    )
    np.testing.assert_allclose(renewed.stage2.loss, usual.stage2.loss, rtol=1e-5)
    assert renewed.stage2.val_loss != usual.stage2.val_loss
    for found in renewed.diagnosis[1:]:
        assert found.accuracy["val"]["moving"] == pytest.approx(found.accuracy["val"]["augmented"], abs=0.01)


def test_a_frozen_network_can_have_a_second_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kills.use(tmp_path, monkeypatch)
    changes: dict[str, Any] = {"n_unfreeze": 0, "augmentation": "none", "learning_rate": 1e-5}
    once, twice = (
        door.run(kills.small(head_epochs=each, **changes), diagnosed=True, progress=False) for each in (0, 2)
    )
    assert (len(once.stage2), len(twice.stage2), twice.diagnosis) == (0, 2, [])
    assert twice.stage1.loss == once.stage1.loss
    assert twice.stage2.loss[-1] < once.stage1.loss[-1]
    assert door.run(twice.experiment, diagnosed=True).path == twice.path
