"""The two engines: the same steps, and the same result within what float16 storage allows."""

import math
from pathlib import Path
from typing import Any, get_args

import kills
import numpy as np
import pytest

from helpers import run as door
from helpers.experiment import Engine
from helpers.records import published
from helpers.records.run import VIEWS, Run

LOSS_TOLERANCE = 0.02
"""Difference allowed in any epoch's loss, in nats: activations kept in float16 are rounded
by up to 5e-4 of their size, and every step enlarges what the last one left."""
PROBABILITY_TOLERANCE = 0.02
"""The same for any image's probability of any class."""

UNEVEN: dict[str, Any] = {"batch_size": 48, "stage1_batch_size": 100}
EVEN: dict[str, Any] = {"precision": "bfloat16", "batch_size": 64, "stage1_batch_size": 128}
CASES = [
    pytest.param(UNEVEN, id="batches that do not divide"),
    pytest.param(EVEN, id="in bfloat16, batches that divide", marks=pytest.mark.long),
]
"""What the engines are compared at; batches do or do not divide the 256 training images."""


@pytest.fixture(scope="module", params=CASES)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """The same experiment by either engine, each with a folder of its own for its record."""
    folder = tmp_path_factory.mktemp("engines")
    runs = {}
    for engine in get_args(Engine):
        experiment = kills.small(**request.param)
        with pytest.MonkeyPatch.context() as patch:
            kills.use(folder, patch)
            patch.setenv("REPORT_RESULTS", str(folder / engine))
            runs[engine] = door.run(experiment, engine=engine, progress=False)
    return runs


def test_both_engines_have_one_identity(both: dict[str, Run]) -> None:
    assert both["cached"].id == both["end_to_end"].id
    assert both["cached"].path != both["end_to_end"].path


def test_stage1_is_the_same(both: dict[str, Run]) -> None:
    assert both["cached"].curves["stage1"] == both["end_to_end"].curves["stage1"]


def test_both_engines_give_the_same_result(both: dict[str, Run]) -> None:
    one, other = both["cached"], both["end_to_end"]
    for name in ("loss", "val_loss"):
        np.testing.assert_allclose(
            one.curves["stage2"][name], other.curves["stage2"][name], rtol=0, atol=LOSS_TOLERANCE
        )
    assert one.curves["stage2"]["learning_rate"] == other.curves["stage2"]["learning_rate"]
    for split in ("val", "test"):
        for view in VIEWS:
            np.testing.assert_allclose(
                one.probabilities(split, view),
                other.probabilities(split, view),
                rtol=0,
                atol=PROBABILITY_TOLERANCE,
            )


@pytest.mark.parametrize("engine", get_args(Engine))
def test_every_epoch_is_one_pass(both: dict[str, Run], engine: str) -> None:
    run = both[engine]
    for stage, name in (("stage1", "stage1_batch_size"), ("stage2", "batch_size")):
        assert run.steps[stage] == [math.ceil(run.train_images / run.config[name])] * 2
        assert published.one_step_epochs(run, stage) == []
        assert published.real_epochs(run, stage) == [0, 1]


SPY = (
    "import keras\n"
    "distribute = keras.distribution.DataParallel\n"
    "def said(**given):\n"
    "    print('shared by', *given['devices'], flush=True)\n"
    "    return distribute(**given)\n"
    "keras.distribution.DataParallel = said\n"
)
"""Prints the devices that a distribution is made of, and makes it."""


@pytest.mark.long
def test_two_devices_share_the_work_and_change_nothing(tmp_path: Path) -> None:
    """On JAX, the backend for which Keras can, this processor pretends to be one device, then two."""
    for count in (1, 2):
        folder = tmp_path / str(count)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("KERAS_BACKEND", "jax")
            patch.setenv("XLA_FLAGS", f"--xla_force_host_platform_device_count={count}")
            patch.setenv("NPROC", "4")  # on two threads, two devices that wait for each other wait for ever
            with kills.process(SPY + kills.training(kills.small(), engine="end_to_end"), folder) as child:
                assert child.wait() == 0, kills.said(folder)
        assert ("shared by cpu:0 cpu:1" in kills.said(folder)) == (count == 2)
    one, two = (kills.recorded(tmp_path / str(count)) for count in (1, 2))
    assert one.environment["backend"] == two.environment["backend"] == "jax"
    assert kills.difference(one, two) <= 1e-3


def test_the_record_of_either_engine_answers_for_both(both: dict[str, Run], tmp_path: Path) -> None:
    """Asked for by the other engine, the stored record answers."""
    run = both["cached"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REPORT_RESULTS", str(run.path.parents[2]))
        patch.setenv("REPORT_CACHE", str(tmp_path / "nothing"))
        assert door.run(run.experiment, engine="end_to_end").path == run.path
