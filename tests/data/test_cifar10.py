"""CIFAR-10: found where it was said to be, checked before it is opened, split as the study split it."""

import hashlib
import http.server
import io
import os
import pickle
import socket
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import filelock
import kills
import numpy as np
import pytest

from helpers import paths
from helpers.data import cifar10, miniature, sources, split
from helpers.experiment import SCALES, Experiment

IMAGES_A_BATCH = 1040
"""Of the fake batches: five of them are a little more than the 5,000 that go to validation."""
SECONDS = 8.0
"""A dead network may take no longer than this: pooch's own timeout is 30."""
REAL = os.environ.get("CIFAR10_DIR")
EXPERIMENT = Experiment()


def sha256(indices: np.ndarray) -> str:
    return hashlib.sha256(indices.astype("<i8").tobytes()).hexdigest()


@pytest.fixture(autouse=True)
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing stated, nothing cached, and no proxy between this machine and itself."""
    monkeypatch.delenv("CIFAR10_DIR", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("REPORT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture(scope="session")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of batches laid out like the official ones: image i of a batch is of class i % 10.

    Of each image, the first pixel of the second row is (50, 100, 150) and all others are black.
    """
    folder = tmp_path_factory.mktemp("fake") / cifar10.FOLDER
    folder.mkdir()
    planes = np.zeros((IMAGES_A_BATCH, 3, 32, 32), np.uint8)
    planes[:, :, 1, 0] = (50, 100, 150)
    labels = [i % 10 for i in range(IMAGES_A_BATCH)]
    for name in cifar10.MD5:
        content = {b"batch_label": name.encode(), b"data": planes.reshape(-1, 3072), b"labels": labels}
        (folder / name).write_bytes(pickle.dumps(content))
    return folder


@pytest.fixture
def published(fake: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The fake batches, for as long as their hashes count as the published ones."""
    for name in cifar10.MD5:
        digest = hashlib.md5((fake / name).read_bytes(), usedforsecurity=False).hexdigest()
        monkeypatch.setitem(cifar10.MD5, name, digest)
    return fake


@pytest.fixture
def copied(published: Path, tmp_path: Path) -> Path:
    """A copy of them to spoil."""
    folder = tmp_path / "copied"
    folder.mkdir()
    for name in cifar10.MD5:
        (folder / name).write_bytes((published / name).read_bytes())
    return folder


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def loaded(folder: Path | str | None, experiment: Experiment = EXPERIMENT) -> split.Dataset:
    """The images of a folder that CIFAR10_DIR names."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CIFAR10_DIR", str(folder))
        return sources.load(experiment)


# ---------------------------------------------------------------------------- the split


def test_the_split_is_the_seeds_for_labels_in_turn() -> None:
    train, val = split.split_indices(np.arange(50000) % 10)
    assert sha256(val) == "3c599075dae6e3542d1cba95b1014c26f95ba6fb73b768346b48e3e26899b22b"
    assert sha256(train) == "381c110bdb142585449d46225c006a5a43a62339fba49f5201e4b806ac93565d"


def test_the_split_is_stratified_and_leaves_nothing_out() -> None:
    labels = np.random.default_rng(0).permutation(np.arange(50000) % 10)
    train, val = split.split_indices(labels)
    assert np.bincount(labels[val]).tolist() == [500] * 10
    np.testing.assert_array_equal(np.sort(np.concatenate([train, val])), np.arange(50000))


@pytest.mark.skipif(not REAL, reason="needs the real CIFAR-10 in CIFAR10_DIR")
def test_the_split_of_the_real_images_is_the_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    picked = []
    real = split.split_indices

    def noted(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        picked.append(real(labels))
        return picked[-1]

    monkeypatch.setattr(sources, "split_indices", noted)
    images = loaded(REAL)
    ((train, val),) = picked
    assert sha256(val) == "bfa7941b2b58be948646aa5ea1dac95b1528de5d53f980e35b99c00da88b5c05"
    assert sha256(train) == "94c6044b2120af18be567d03c422a81c4518279fe39a61d90d215bc9cb56df80"
    sizes = [len(each.labels) for each in (images.train, images.val, images.test)]
    assert sizes == [45000, 5000, 10000]
    assert np.bincount(images.test.labels).tolist() == [1000] * 10
    assert images.test.images.dtype == np.uint8
    # Krizhevsky's test image 0 is a cat, and the images' mean colour is known.
    assert sources.class_names("cifar10")[images.test.labels[0]] == "cat"
    both = np.concatenate([images.train.images, images.val.images])
    np.testing.assert_allclose(both.mean((0, 1, 2)) / 255, [0.4914, 0.4822, 0.4465], atol=1e-4)


# ---------------------------------------------------------------------------- loading


def test_batches_become_images_row_by_row(published: Path) -> None:
    images = loaded(published)
    assert images.val.images.shape == (5000, 32, 32, 3)
    assert len(images.train.labels) == 5 * IMAGES_A_BATCH - 5000
    assert len(images.test.labels) == IMAGES_A_BATCH
    assert images.train.images[7, 1, 0].tolist() == [50, 100, 150]
    assert images.train.images[7].sum() == 300
    assert images.test.labels[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert (images.test.labels.dtype, images.fingerprint) == (np.int64, cifar10.FINGERPRINT)


def test_a_scale_takes_the_first_images(published: Path) -> None:
    full, smoke = loaded(published), loaded(published, Experiment(scale="smoke"))
    limits = SCALES["smoke"]
    for name, n in {"val": limits.val, "test": limits.test}.items():
        np.testing.assert_array_equal(getattr(smoke, name).labels, getattr(full, name).labels[:n])
    assert len(smoke.train.images) == min(limits.train, len(full.train.images))


def test_the_miniature_takes_the_place_only_where_it_is_asked_for(
    closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = SCALES["smoke"]
    drawn = np.zeros((limits.train + 1, 32, 32, 3), np.uint8), np.arange(limits.train + 1) % 10
    monkeypatch.setattr(miniature, "images", lambda split: drawn)
    experiment = Experiment(dataset="miniature", backbone_weights="miniature", scale="smoke")
    images = sources.load(experiment)
    assert images.fingerprint == miniature.FINGERPRINT
    sizes = [len(split.labels) for split in (images.train, images.val, images.test)]
    assert sizes == [limits.train, limits.val, limits.test]
    monkeypatch.setattr(cifar10, "URL", f"http://127.0.0.1:{closed_port}/")
    with pytest.raises(split.DataError):
        sources.load(Experiment(scale="smoke"))


# ---------------------------------------------------------------------------- altered files


class Malice:
    """Unpickled, it makes a folder: what it stands for could do worse."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.folder),)


def test_an_altered_batch_is_refused_before_it_is_opened(copied: Path, tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    (copied / "data_batch_3").write_bytes(pickle.dumps(Malice(trap)))
    with pytest.raises(split.DataError, match=r"data_batch_3 is truncated or altered.*not opened.*Delete"):
        loaded(copied)
    assert not trap.exists()
    pickle.loads((copied / "data_batch_3").read_bytes())  # noqa: S301
    assert trap.exists(), "the trap works, so that its not being sprung means something"


def test_a_batch_altered_after_it_was_found_is_not_opened_either(
    copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trap = tmp_path / "sprung"
    (copied / "data_batch_1").write_bytes(pickle.dumps(Malice(trap)))
    monkeypatch.setattr(cifar10, "locate", lambda: copied)
    with pytest.raises(split.DataError, match="data_batch_1 is truncated or altered"):
        loaded(copied)
    assert not trap.exists()


@pytest.mark.parametrize("spoil", [lambda whole: whole[:-1], lambda whole: b"", lambda whole: whole + b"\0"])
def test_a_batch_of_another_length_is_refused(copied: Path, spoil: Callable[[bytes], bytes]) -> None:
    path = copied / "test_batch"
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(split.DataError, match="test_batch is truncated or altered"):
        loaded(copied)


def test_one_flipped_bit_is_refused(copied: Path) -> None:
    content = bytearray((copied / "data_batch_5").read_bytes())
    content[len(content) // 2] ^= 1
    (copied / "data_batch_5").write_bytes(content)
    with pytest.raises(split.DataError, match="data_batch_5 is truncated or altered"):
        cifar10.verify(copied)


def test_a_missing_batch_is_named(copied: Path) -> None:
    (copied / "data_batch_2").unlink()
    with pytest.raises(split.DataError, match=r"data_batch_2 is missing.*CIFAR10_DIR"):
        loaded(copied)


# ---------------------------------------------------------------------------- where it is looked for


def test_the_order_of_search(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cifar10.locate() is None
    cached = paths.cache_folder() / cifar10.FOLDER
    cached.parent.mkdir(parents=True)
    cached.symlink_to(published)
    assert cifar10.locate() == cached
    keras_cache = Path(os.environ["KERAS_HOME"]) / "datasets" / cifar10.FOLDER
    keras_cache.parent.mkdir(parents=True)
    keras_cache.symlink_to(published)
    assert cifar10.locate() == keras_cache
    monkeypatch.setenv("CIFAR10_DIR", str(published))
    assert cifar10.locate() == published


def test_a_stated_folder_that_is_wrong_never_falls_through(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keras_cache = Path(os.environ["KERAS_HOME"]) / "datasets" / cifar10.FOLDER
    keras_cache.parent.mkdir(parents=True)
    keras_cache.symlink_to(published)
    monkeypatch.setenv("CIFAR10_DIR", str(tmp_path / "nowhere"))
    for look in (cifar10.locate, cifar10.find_or_download, partial(sources.load, Experiment())):
        with pytest.raises(split.DataError, match="nowhere"):
            look()
    monkeypatch.setenv("CIFAR10_DIR", str(tmp_path / "empty"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(split.DataError, match="empty"):
        sources.load(Experiment())


def test_a_cache_that_an_interruption_left_incomplete_is_not_taken(copied: Path) -> None:
    (copied / "data_batch_1").unlink()  # the last file of the official archive
    cached = paths.cache_folder() / cifar10.FOLDER
    cached.parent.mkdir(parents=True)
    cached.symlink_to(copied)
    assert cifar10.locate() is None


# ---------------------------------------------------------------------------- the network


def test_no_data_and_no_network_fails_soon_and_names_the_cures(
    closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cifar10, "URL", f"http://127.0.0.1:{closed_port}/cifar-10-python.tar.gz")
    started = time.monotonic()
    with pytest.raises(split.DataError) as refusal:
        sources.load(Experiment())
    assert time.monotonic() - started < SECONDS
    cures = ("CIFAR10_DIR", "network", "dataset='miniature' with backbone_weights='miniature'")
    assert all(cure in str(refusal.value) for cure in (cifar10.URL, *cures))


def test_a_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connects, and says nothing
        monkeypatch.setattr(cifar10, "URL", f"http://127.0.0.1:{silent.getsockname()[1]}/cifar.tar.gz")
        monkeypatch.setattr(cifar10, "CONNECT_TIMEOUT", 0.2)
        started = time.monotonic()
        with pytest.raises(split.DataError, match="Timeout"):
            sources.load(Experiment())
        assert time.monotonic() - started < SECONDS
    assert cifar10.CONNECT_TIMEOUT < SECONDS


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose files this machine serves, data.URL among them."""
    folder = tmp_path / "served"
    folder.mkdir()
    quiet = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(quiet, directory=str(folder))) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        monkeypatch.setattr(cifar10, "URL", f"http://127.0.0.1:{running.server_port}/cifar-10-python.tar.gz")
        yield folder
        running.shutdown()


def archive(folder: Path) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz", compresslevel=1) as tar:
        tar.add(folder, arcname=cifar10.FOLDER)
    return content.getvalue()


def test_the_archive_is_fetched_once(server: Path, published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = archive(published)
    monkeypatch.setattr(cifar10, "ARCHIVE_MD5", hashlib.md5(content, usedforsecurity=False).hexdigest())
    (server / "cifar-10-python.tar.gz").write_bytes(content)
    assert len(sources.load(Experiment()).test.labels) == IMAGES_A_BATCH
    (server / "cifar-10-python.tar.gz").unlink()
    assert cifar10.find_or_download() == paths.cache_folder() / cifar10.FOLDER
    cifar10.verify(cifar10.find_or_download())


def test_of_two_that_want_it_one_fetches(
    server: Path, published: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content, fetched = archive(published), list[Path]()
    monkeypatch.setattr(cifar10, "ARCHIVE_MD5", hashlib.md5(content, usedforsecurity=False).hexdigest())
    (server / "cifar-10-python.tar.gz").write_bytes(content)
    download = cifar10.download

    def counted(place: Path) -> Path:
        fetched.append(place)
        return download(place)

    monkeypatch.setattr(cifar10, "download", counted)
    lock = paths.writable_cache() / f"{cifar10.FOLDER}.lock"
    with ThreadPoolExecutor(2) as pool:
        with filelock.FileLock(lock):
            waiting = [pool.submit(cifar10.find_or_download) for _ in range(2)]
            assert all(kills.still_waits(each, 0.3) for each in waiting)
        assert {each.result(60) for each in waiting} == {paths.cache_folder() / cifar10.FOLDER}
    assert len(fetched) == 1 and "waiting for it" in capsys.readouterr().out


def test_what_an_interruption_left_is_replaced_by_the_whole(
    server: Path, copied: Path, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = archive(published)
    monkeypatch.setattr(cifar10, "ARCHIVE_MD5", hashlib.md5(content, usedforsecurity=False).hexdigest())
    (server / "cifar-10-python.tar.gz").write_bytes(content)
    (copied / "data_batch_1").unlink()
    (copied / "data_batch_2").write_bytes(b"half")
    paths.cache_folder().mkdir()
    copied.rename(paths.cache_folder() / cifar10.FOLDER)
    cifar10.verify(cifar10.find_or_download())


def test_another_archive_is_refused_and_not_kept(server: Path, published: Path) -> None:
    (server / "cifar-10-python.tar.gz").write_bytes(archive(published))
    with pytest.raises(split.DataError, match="CIFAR10_DIR"):
        sources.load(Experiment())
    assert not [path for path in paths.cache_folder().rglob("*") if path.is_file() and path.suffix != ".lock"]


def test_a_page_that_is_gone_is_not_taken_for_the_archive(server: Path) -> None:
    with pytest.raises(split.DataError, match="HTTPError"):
        sources.load(Experiment())


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, server: Path) -> None:
    (tmp_path / "cache").write_text("a file is in the folder's place")
    with pytest.raises(paths.CacheError, match="REPORT_CACHE"):
        sources.load(Experiment())
