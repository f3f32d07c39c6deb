"""The store of activations: the same numbers by either way, and nothing damaged, lost or done twice."""

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import filelock
import keras
import kills
import numpy as np
import pytest

from helpers import cache, files, paths
from helpers.cache import CacheError
from helpers.data.split import Split
from helpers.engine import augment, backbones, feature_cache, forward, model
from helpers.engine.feature_cache import ViewSpec
from helpers.engine.forward import Compute, Prefix

MANY = 5 * feature_cache.STRETCH + 100
"""Rows of a view that is noted six times while it is written."""


@functools.cache
def tiny() -> Prefix:
    """A prefix of one convolution: the same in every process, and compiled in a moment."""
    rng = np.random.default_rng(0)
    images = keras.Input((32, 32, 3))
    convolution = keras.layers.Conv2D(8, 8, strides=8)
    network = keras.Model(images, convolution(images))
    convolution.set_weights([rng.normal(0, 0.1, weight.shape) for weight in convolution.get_weights()])
    return Prefix(network, backbones.POOLED, "weights", "data")


@functools.cache
def noise(n: int) -> Split:
    rng = np.random.default_rng(1)
    return Split(rng.integers(0, 256, (n, 32, 32, 3), np.uint8), rng.integers(0, 10, n))


@dataclass(frozen=True)
class Counted(augment.View):
    """A view that remembers which rows were made."""

    made: list[int] = field(default_factory=list)

    def images(self, originals: np.ndarray, rows: np.ndarray) -> np.ndarray:
        self.made.extend(rows)
        return super().images(originals, rows)


def view(n: int, number: int = 0) -> ViewSpec:
    drawn = augment.draw("standard", number, n, 32)
    return ViewSpec(f"train-standard-{number}", noise(n), Counted(drawn.matrices))


def made(wanted: ViewSpec) -> int:
    """How many different images of a view were made in this process."""
    assert isinstance(wanted.view, Counted)
    return len(set(wanted.view.made))


def stored(n: int, numbers: tuple[int, ...] = (0,)) -> list[np.ndarray]:
    """The activations of some views; called in this process and in others."""
    return feature_cache.open_views(tiny(), [view(n, number) for number in numbers], progress=False)


def file(folder: Path, number: int = 0) -> Path | None:
    return next((folder / "cache" / "bank").glob(f"*/train-standard-{number}-*.npy"), None)


def note(folder: Path, number: int = 0) -> dict[str, object]:
    path = file(folder, number)
    found = path.with_suffix(".json") if path else None
    return json.loads(found.read_text()) if found and found.exists() else {}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty store that this test's process uses."""
    kills.use(tmp_path, monkeypatch)
    return tmp_path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with view 0 of MANY rows, written without disturbance."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        kills.use(folder, patch)
        stored(MANY)
    return folder


def content(folder: Path, number: int = 0) -> bytes:
    path = file(folder, number)
    assert path is not None
    return path.read_bytes()


# ---------------------------------------------------------------------------- the numbers


def broken(network: keras.Model) -> Compute:
    """What OpenVINO 2026.4's own converter does on Python 3.13."""
    raise NameError("name 'tensorflow' is not defined")


@pytest.fixture(autouse=True)
def nothing_compiled() -> Iterator[None]:
    """No test finds, or leaves, a prefix that was compiled under other conditions."""
    forward.through.cache_clear()
    yield
    forward.through.cache_clear()


def test_where_openvino_fails_keras_computes_and_one_line_says_so(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    forward._say_once.cache_clear()
    monkeypatch.setattr(forward, "_openvino", broken)
    wanted = view(40)
    for prefix in (tiny(), Prefix(tiny().network, backbones.POOLED, "other weights", "data")):
        (rows,) = feature_cache.open_views(prefix, [wanted], progress=False)
        expected = model.pixels_to(prefix.network, backbones.POOLED).predict(
            wanted.view.images(wanted.split.images, np.arange(40)), verbose=0
        )
        np.testing.assert_allclose(rows, expected, rtol=2e-3, atol=2e-3)
    (line,) = capsys.readouterr().out.splitlines()
    assert "OpenVINO does not work here (NameError: \"name 'tensorflow' is not defined\")" in line


@pytest.mark.long
def test_openvino_works_without_docstrings(store: Path) -> None:
    """As PYTHONOPTIMIZE=2 leaves them; on Python 3.13 the other tests of this file show that it works."""
    code = (
        "import test_feature_cache as t; t.forward._openvino(t.model.pixels_to(t.tiny().network, 'pooled'))"
    )
    places = os.pathsep.join([str(paths.ROOT), str(Path(__file__).parents[1]), str(Path(__file__).parent)])
    environment = os.environ | {"PYTHONPATH": places}
    subprocess.run([sys.executable, "-OO", "-c", code], env=environment, check=True)


def test_openvino_and_keras_agree(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")
    network = backbones.backbone(kills.small())
    wanted = [view(70)]  # two whole requests and a part of one
    for n_unfreeze in (0, 30):
        prefix = forward.for_experiment(network, n_unfreeze, "weights", "data")
        with monkeypatch.context() as patch:
            patch.setenv("REPORT_CACHE", str(store / "openvino"))
            (fast,) = feature_cache.open_views(prefix, wanted, progress=False)
        with monkeypatch.context() as patch:
            patch.setenv("REPORT_CACHE", str(store / "keras"))
            forward.through.cache_clear()
            patch.setattr(forward, "_openvino", broken)
            (plain,) = feature_cache.open_views(prefix, wanted, progress=False)
        assert fast.shape == plain.shape == (70, *prefix.shape)
        # Relative to the size of the activations; float16, in which they are kept, rounds to 5e-4 of each.
        error = np.abs(fast.astype(np.float32) - plain.astype(np.float32))
        assert np.sqrt((error**2).mean()) <= 1e-4 * np.sqrt((plain.astype(np.float32) ** 2).mean())


def test_the_paths_agree_before_they_are_rounded() -> None:
    pytest.importorskip("openvino")
    network = model.pixels_to(backbones.backbone(kills.small()), backbones.POOLED)
    images = noise(forward.REQUEST).images.astype(np.float32)
    outputs = []
    for way in (forward._openvino, forward._keras):
        out = np.empty((forward.REQUEST, network.output_shape[-1]), np.float32)
        way(network)(iter([(0, images)]), out, lambda rows: None)
        outputs.append(out)
    fast, plain = outputs
    assert np.abs(plain).max() > 0
    assert np.abs(fast - plain).max() <= 1e-4 * np.abs(plain).max()


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone tells where a thread may run")
def test_processes_that_share_a_machine_are_bound_to_no_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else every worker of a sweep computes on the first core, and the others rest."""
    pytest.importorskip("openvino")
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "1")
    network = model.pixels_to(backbones.backbone(kills.small()), backbones.POOLED)
    images = np.zeros((forward.REQUEST, *network.input_shape[1:]), np.float32)
    rows = np.empty((6 * forward.REQUEST, network.output_shape[-1]), np.float16)
    others, bound = {thread.name for thread in Path("/proc/self/task").iterdir()}, set[str]()

    def look(_: int) -> None:  # one request has ended, and the next one is running
        bound.update(
            thread.name
            for thread in Path("/proc/self/task").iterdir()
            if thread.name not in others and os.sched_getaffinity(int(thread.name)) != os.sched_getaffinity(0)
        )

    forward._openvino(network)(((low, images) for low in range(0, len(rows), forward.REQUEST)), rows, look)
    assert not bound


def test_rows_are_those_of_the_images(store: Path) -> None:
    wanted = view(forward.REQUEST + 7)
    (rows,) = feature_cache.open_views(tiny(), [wanted], progress=False)
    images = wanted.view.images(wanted.split.images, np.arange(len(rows)))
    expected = model.pixels_to(tiny().network, backbones.POOLED).predict(images, verbose=0)
    np.testing.assert_allclose(rows, expected, rtol=2e-3, atol=2e-3)
    assert rows.dtype == np.float16
    assert not rows.flags.writeable


def test_a_stored_view_is_not_computed_again(store: Path) -> None:
    stored(100)
    again = view(100)
    feature_cache.open_views(tiny(), [again], progress=False)
    assert made(again) == 0


# ---------------------------------------------------------------------------- damage

Damage = Callable[[Path], object]


def cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flip(position: int) -> Damage:
    def damage(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[position] ^= 1
        path.write_bytes(data)

    return damage


def edit(**changes: object) -> Damage:
    def damage(path: Path) -> None:
        state = json.loads(path.with_suffix(".json").read_text())
        path.with_suffix(".json").write_text(json.dumps({**state, **changes}))

    return damage


def half_written_called_done(path: Path) -> None:
    """Rows that were never written, and a note that says all are there, with the sum of those that are."""
    rows = np.load(path, mmap_mode="r+")
    rows[feature_cache.STRETCH :] = 0
    edit(rows=feature_cache.STRETCH, crc32=files.crc32(rows[: feature_cache.STRETCH]))(path)


DAMAGES: dict[str, Damage] = {
    "cut short": cut_short,
    "emptied": lambda path: os.truncate(path, 0),
    "removed": lambda path: path.unlink(),
    "a byte flipped in the last row": flip(-1),
    "a byte flipped in the shape": flip(62),
    "another view's file": lambda path: np.save(path, np.zeros((MANY, 8), np.float16)),
    "the note's sum edited": edit(crc32=1),
    "the note's rows edited": edit(rows=10 * MANY, crc32=0),
    "half of it written": half_written_called_done,
    "the note of another form": lambda path: path.with_suffix(".json").write_text("[]"),
    "the note's rows not a number": edit(rows="all"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=list(DAMAGES))
def test_damage_is_found_named_and_mended(
    damage: Damage, whole: Path, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(whole / "cache", store / "cache")
    path = file(store)
    assert path is not None
    damage(path)
    (rows,) = stored(MANY)
    assert rows.shape == (MANY, 8)
    assert content(store) == content(whole)
    assert note(store)["rows"] == MANY
    said = capsys.readouterr().out
    assert not said or str(path) in said


def test_a_damaged_view_is_named(whole: Path, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(whole / "cache", store / "cache")
    path = file(store)
    assert path is not None
    flip(-1)(path)
    stored(MANY)
    assert str(path) in capsys.readouterr().out


# ---------------------------------------------------------------------------- kills and waiting

STORE = "import engine.test_feature_cache as t; t.stored(t.MANY, {numbers})"


def test_a_killed_build_resumes(whole: Path, store: Path) -> None:
    with kills.process(STORE.format(numbers=(0,)), store) as child:
        kills.wait_for(lambda: note(store), child, store)
        assert kills.kill(child)
    assert file(store) is not None
    rows = note(store)["rows"]
    assert isinstance(rows, int)
    assert 0 < rows < MANY, "the kill came too late to prove anything"
    rest = view(MANY)
    feature_cache.open_views(tiny(), [rest], progress=False)
    assert made(rest) == MANY - rows
    assert content(store) == content(whole)


def test_one_process_builds_and_another_waits_or_takes_over(whole: Path, store: Path) -> None:
    first, second = view(MANY, 0), view(MANY, 1)
    with ThreadPoolExecutor(1) as pool, kills.process(STORE.format(numbers=(0, 1)), store) as child:
        kills.wait_for(lambda: note(store, 0), child, store)
        child.send_signal(signal.SIGSTOP)  # it holds the lock of view 0
        assert note(store, 0)["rows"] != MANY, "the builder was stopped too late to prove anything"
        waiting = pool.submit(feature_cache.open_views, tiny(), [first], False)
        assert kills.still_waits(waiting)
        child.send_signal(signal.SIGCONT)
        waiting.result(280)
        assert made(first) == 0
        assert content(store) == content(whole)

        kills.wait_for(lambda: note(store, 1), child, store)
        child.send_signal(signal.SIGSTOP)
        rows = note(store, 1)["rows"]
        assert isinstance(rows, int)
        assert rows < MANY, "the builder was stopped too late to prove anything"
        waiting = pool.submit(feature_cache.open_views, tiny(), [second], False)
        assert kills.still_waits(waiting)
        assert kills.kill(child)
        waiting.result(280)
    assert made(second) == MANY - rows


# ---------------------------------------------------------------------------- no room


def test_a_folder_that_cannot_be_written(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (store / "taken").write_text("a file where the folder should be")  # stops the superuser too
    monkeypatch.setenv("REPORT_CACHE", str(store / "taken"))
    wanted = view(100)
    with pytest.raises(CacheError, match="taken.*cannot be written.*REPORT_CACHE"):
        feature_cache.open_views(tiny(), [wanted], progress=False)
    assert made(wanted) == 0


def test_a_disk_too_small(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = shutil.disk_usage(store)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: free)
    wanted = view(100)
    with pytest.raises(CacheError, match="0.00 GB.*free.*--clear.*REPORT_CACHE"):
        feature_cache.open_views(tiny(), [wanted], progress=False)
    assert made(wanted) == 0
    assert not cache.views()


def test_a_disk_too_small_for_the_rest(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that was begun has its full length, and takes no room until its rows are written."""
    stored(MANY)
    path = file(store)
    assert path is not None
    path.with_suffix(".json").unlink()
    os.truncate(path, 0)
    os.truncate(path, MANY * 16)
    free = shutil.disk_usage(store)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: free)
    with pytest.raises(CacheError, match="would fill the disk"):
        stored(MANY)


def test_clearing_keeps_the_weights_that_nothing_makes_again(store: Path) -> None:
    stored(1000, (0,))
    run = paths.cache_folder() / "runs" / "n0_s42-0"
    run.mkdir(parents=True)
    cache.lock_of(run).touch()
    for name in ("stage2.npz", "weights.npz"):
        (run / name).write_bytes(b"arrays")
    copies = paths.cache_folder() / "folders" / "pets-0"
    copies.mkdir(parents=True)
    for name in ("96.npy", "160.unfinished"):
        (copies / name).write_bytes(b"pictures")
    assert "of your own pictures, at the size of a network, in 2 files" in cache.listing()
    told = "removed 1 stored views, the checkpoints and the copies of pictures; trained weights stay"
    with filelock.FileLock(copies / "160.lock"):
        assert "1 in use were kept" in cache.clear()
    assert [each.name for each in copies.glob("*[!k]")] == ["160.unfinished"]
    stored(1000, (0, 1))
    assert cache.clear() == told.replace("1 stored", "2 stored")
    assert not list(copies.glob("*[!k]"))
    assert [path.name for path in run.iterdir()] == ["weights.npz"]
    assert not cache.views()


def test_a_view_that_another_process_removed_is_missed_by_none(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(1000, (0, 1))
    here = cache.views()
    with monkeypatch.context() as patch:
        patch.setattr(cache, "views", lambda: here)
        here[0].unlink()
        assert "removed 2" in cache.clear()  # no error for the one that was gone
    before = stored(1000, (0,))
    here[0].unlink()
    np.testing.assert_array_equal(stored(1000, (0,)), before)


def test_a_view_that_another_process_began_again_is_not_taken_for_whole(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (whole,) = stored(MANY)
    before, build = whole.copy(), feature_cache._build

    def meanwhile(*given: Any) -> None:
        monkeypatch.setattr(feature_cache, "_build", build)
        build(*given)
        path = file(store)
        assert path is not None
        half_written_called_done(path)

    monkeypatch.setattr(feature_cache, "_build", meanwhile)
    rows, _ = stored(MANY, (0, 1))
    np.testing.assert_array_equal(rows, before)


def test_the_least_recently_used_view_makes_room(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored(1000, (0, 1))
    for number, age in ((0, 10), (1, 20)):
        path = file(store, number)
        assert path is not None
        os.utime(path, (path.stat().st_atime - age, path.stat().st_mtime - age))
    size = len(content(store))
    monkeypatch.setenv("REPORT_CACHE_GB", str(2.5 * size / 1e9))
    stored(1000, (2,))
    assert [file(store, number) is not None for number in (0, 1, 2)] == [True, False, True]
    with pytest.raises(CacheError, match="REPORT_CACHE_GB"):
        stored(1000, (3, 4, 5))
    assert len(cache.views()) == 2
