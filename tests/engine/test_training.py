"""Training: whatever the moment at which it was cut off, it goes on as if it had not been."""

import dataclasses
import os
import shutil
import weakref
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest

from helpers.engine import checkpoint, schedule
from helpers.engine import fit as loop
from helpers.engine.checkpoint import Progress
from helpers.engine.inputs import Source
from helpers.engine.schedule import Stage

STAGE = Stage(
    name="stage2",
    optimizer="adamw",
    learning_rate=0.02,
    weight_decay=1e-2,
    schedule="plateau",
    batch_size=8,
    epochs=14,
    patience=4,
    plateau_factor=0.5,
    plateau_patience=1,
    label_smoothing=0.05,
    seed=7,
)
"""Few images and noisy labels: the validation loss falls and rises, so that both callbacks act."""

RNG = np.random.default_rng(0)
INPUTS = RNG.normal(size=(124, 6)).astype(np.float32)
TARGETS = np.eye(3, dtype=np.float32)[(INPUTS[:, :3] + RNG.normal(size=(124, 3))).argmax(axis=1)]
TRAIN, VALIDATION = 60, 64


def network(width: int = 16) -> keras.Model:
    """A small head, with everything that has a state of its own: batch norm and dropout."""
    keras.utils.set_random_seed(3)
    return keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(width, activation="relu"),
            keras.layers.Dropout(0.25),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )


def fit(stage: Stage, checkpoint: Path) -> tuple[Progress, list[np.ndarray]]:
    """A stage trained by a network as a new process makes it: (its progress, its final weights)."""
    trained = network()
    source = Source(INPUTS[:TRAIN], TARGETS[:TRAIN])
    validation = Source(INPUTS[TRAIN:], TARGETS[TRAIN:])
    done = loop.fit(trained, stage, lambda epoch: source, validation, checkpoint, progress=False)
    return done, trained.get_weights()


def same(one: tuple[Progress, list[np.ndarray]], other: tuple[Progress, list[np.ndarray]]) -> bool:
    """Whether two trainings ended equal: every epoch's curves and steps, and the weights, to 1e-6."""
    (done, weights), (done_too, weights_too) = one, other
    return (
        done.steps == done_too.steps
        and done.finished == done_too.finished
        and done.curves.keys() == done_too.curves.keys()
        and all(np.allclose(done.curves[name], done_too.curves[name], 0, 1e-6) for name in done.curves)
        and all(np.allclose(a, b, 0, 1e-6) for a, b in zip(weights, weights_too, strict=True))
    )


@dataclasses.dataclass(frozen=True)
class Kept:
    """A training, and a copy of every checkpoint that it left: where a kill at any moment finds it."""

    result: tuple[Progress, list[np.ndarray]]
    checkpoints: list[Path]


def kept(stage: Stage, folder: Path) -> Kept:
    copies: list[Path] = []
    replace = os.replace

    def replace_and_copy(source: Path, target: Path) -> None:
        replace(source, target)
        copies.append(Path(shutil.copy(target, folder / f"{len(copies)}.npz")))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", replace_and_copy)
        result = fit(stage, folder / "checkpoint.npz")
    return Kept(result, copies)


@pytest.fixture(scope="module")
def plateau(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    return kept(STAGE, tmp_path_factory.mktemp("plateau"))


@pytest.fixture(scope="module")
def two_epochs(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    return kept(dataclasses.replace(STAGE, epochs=2), tmp_path_factory.mktemp("short"))


def test_both_callbacks_act_in_this_training(plateau: Kept) -> None:
    done, _ = plateau.result
    assert len(done.steps) < STAGE.epochs
    rates = done.curves["learning_rate"]
    assert rates[0] == pytest.approx(STAGE.learning_rate)
    assert rates[-1] < STAGE.learning_rate
    best = int(np.argmin(done.curves["val_loss"]))
    assert len(done.steps) == best + 1 + STAGE.patience
    assert best > 0


def test_the_best_weights_are_the_final_ones(plateau: Kept) -> None:
    done, weights = plateau.result
    best = network()
    best.set_weights(weights)
    best.compile(loss=keras.losses.CategoricalCrossentropy(label_smoothing=STAGE.label_smoothing))
    loss = best.evaluate(INPUTS[TRAIN:], TARGETS[TRAIN:], verbose=0)
    assert loss == pytest.approx(min(done.curves["val_loss"]), abs=1e-6)


def test_the_same_stage_twice_is_the_same(plateau: Kept, tmp_path: Path) -> None:
    assert same(fit(STAGE, tmp_path / "again.npz"), plateau.result)


def test_cut_off_after_any_checkpoint(plateau: Kept, tmp_path: Path) -> None:
    """Also between the epoch that stops the training and the note that it is finished."""
    epochs = len(plateau.result[0].steps)
    assert len(plateau.checkpoints) == epochs + 1
    differing = [
        number
        for number, checkpoint in enumerate(plateau.checkpoints)
        if not same(fit(STAGE, Path(shutil.copy(checkpoint, tmp_path / "checkpoint.npz"))), plateau.result)
    ]
    assert not differing, f"of {epochs} epochs, resumed after these checkpoints it ended elsewhere"


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_cut_off_in_a_cosine_schedule(optimizer: str, tmp_path: Path) -> None:
    stage = dataclasses.replace(STAGE, optimizer=optimizer, schedule="cosine", epochs=4)
    undisturbed = kept(stage, tmp_path)
    resumed = Path(shutil.copy(undisturbed.checkpoints[1], tmp_path / "resumed.npz"))
    assert same(fit(stage, resumed), undisturbed.result)


def test_an_epochs_inputs_are_let_go_before_the_next(tmp_path: Path) -> None:
    """Else every view that was ever trained on stays mapped: 10 GB at full scale."""
    given: list[weakref.ref[object]] = []

    class Held:
        def __getitem__(self, picked: np.ndarray) -> np.ndarray:
            return INPUTS[picked]

    def source(epoch: int) -> Source:
        assert all(earlier() is None for earlier in given)
        held = Held()
        given.append(weakref.ref(held))
        return Source(held, TARGETS[:TRAIN])

    stage = dataclasses.replace(STAGE, epochs=3)
    validation = Source(INPUTS[TRAIN:], TARGETS[TRAIN:])
    loop.fit(network(), stage, source, validation, tmp_path / "checkpoint.npz", progress=False)
    assert len(given) > 3


def test_a_finished_stage_is_not_trained_again(two_epochs: Kept, tmp_path: Path) -> None:
    checkpoint = Path(shutil.copy(two_epochs.checkpoints[-1], tmp_path / "checkpoint.npz"))
    before = checkpoint.stat().st_mtime_ns
    assert same(fit(dataclasses.replace(STAGE, epochs=2), checkpoint), two_epochs.result)
    assert checkpoint.stat().st_mtime_ns == before


def test_a_pass_is_what_keras_makes_of_the_same_batches() -> None:
    """Steps, weights, and the means over images, the last batch being smaller than the others."""
    order, source = np.random.default_rng(5).permutation(TRAIN), Source(INPUTS[:TRAIN], TARGETS[:TRAIN])
    ours, theirs = network(), network()
    for each in (ours, theirs):
        schedule.compile_for(each, STAGE, 8)
    logs = loop.train(ours, source, order, STAGE.batch_size)
    options = {"batch_size": STAGE.batch_size, "shuffle": False, "verbose": 0}
    history = theirs.fit(INPUTS[order], TARGETS[order], **options).history
    assert logs == pytest.approx({name: values[0] for name, values in history.items()}, abs=1e-6)
    assert int(ours.optimizer.iterations) == -(-TRAIN // STAGE.batch_size)
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)
    many = Source(np.tile(INPUTS, (3, 1)), np.tile(TARGETS, (3, 1)))  # 200 and 172 rows
    measured = theirs.evaluate(np.tile(INPUTS, (3, 1)), many.targets, verbose=0, return_dict=True)
    assert loop.evaluate(ours, many) == pytest.approx(measured, abs=1e-6)
    answers = theirs.predict(INPUTS, verbose=0)
    np.testing.assert_allclose(loop.predict(ours, INPUTS, len(INPUTS)), answers, rtol=0, atol=1e-6)


# ---------------------------------------------------------------------------- damaged checkpoints


def damaged(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Names and contents of damaged copies of a checkpoint."""
    yield "empty", b""
    yield "cut in half", data[: len(data) // 2]
    yield "without its last byte", data[:-1]
    for share in (0.03, 0.2, 0.5, 0.8, 0.93, 0.97, 0.99):
        position = int(share * len(data))
        flipped = bytes([data[position] ^ 0x10])
        yield f"byte {position} of {len(data)} flipped", data[:position] + flipped + data[position + 1 :]


def test_a_damaged_checkpoint_is_told_or_trained_again(
    two_epochs: Kept, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Never silently wrong: an error or a line that names the file, and if a result then the right one."""
    wrong = []
    for name, data in damaged(two_epochs.checkpoints[0].read_bytes()):
        checkpoint = tmp_path / "checkpoint.npz"
        checkpoint.write_bytes(data)
        try:
            right = same(fit(dataclasses.replace(STAGE, epochs=2), checkpoint), two_epochs.result)
        except Exception as error:
            right = str(checkpoint) in str(error)
        if not right:
            wrong.append(name)
        capsys.readouterr()
    assert not wrong


def test_a_checkpoint_of_another_network_is_told_or_ignored(two_epochs: Kept, tmp_path: Path) -> None:
    """As when the other engine, whose network has more variables, left it."""
    checkpoint = tmp_path / "checkpoint.npz"
    other = network(width=17)
    source, validation = Source(INPUTS[:TRAIN], TARGETS[:TRAIN]), Source(INPUTS[TRAIN:], TARGETS[TRAIN:])
    stage = dataclasses.replace(STAGE, epochs=1)
    loop.fit(other, stage, lambda epoch: source, validation, checkpoint, progress=False)
    try:
        result = fit(dataclasses.replace(STAGE, epochs=2), checkpoint)
    except Exception as error:
        assert str(checkpoint) in str(error)
    else:
        assert same(result, two_epochs.result)


def test_a_failed_write_leaves_the_last_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights.npz"
    checkpoint.write_arrays(path, {"a": np.arange(3)})
    before = path.read_bytes()

    def full(file: object, **arrays: np.ndarray) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="no space"):
        checkpoint.write_arrays(path, {"a": np.arange(9)})
    assert path.read_bytes() == before
