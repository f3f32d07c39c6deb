"""CIFAR-10H: found where it is said to be, or in the cache; opened only where it is whole."""

from __future__ import annotations

import hashlib
import socket
from pathlib import Path

import numpy as np
import pytest

from helpers import paths
from helpers.data import cifar10h
from helpers.data.split import DataError


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A made-up file of counts, for as long as its hash counts as the published one; and an empty cache."""
    monkeypatch.delenv("CIFAR10H_DIR", raising=False)
    monkeypatch.setenv("REPORT_CACHE", str(tmp_path / "cache"))
    place = tmp_path / "people" / cifar10h.FILE
    place.parent.mkdir()
    np.save(place, np.arange(20).reshape(2, 10))
    monkeypatch.setattr(cifar10h, "SHA256", hashlib.sha256(place.read_bytes()).hexdigest())
    return place


def test_a_stated_folder_comes_before_the_cache(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cifar10h.locate() is None
    cached = paths.writable_cache() / cifar10h.FILE
    cached.write_bytes(published.read_bytes())
    assert cifar10h.locate() == cifar10h.find_or_download() == cached
    monkeypatch.setenv("CIFAR10H_DIR", str(published.parent))
    assert cifar10h.locate() == published
    assert cifar10h.read(published).tolist() == np.arange(20).reshape(2, 10).tolist()


def test_a_stated_folder_that_is_wrong_is_an_error(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIFAR10H_DIR", str(published.parents[1]))
    with pytest.raises(DataError, match=r"counts\.npy is missing: set CIFAR10H_DIR"):
        cifar10h.locate()
    monkeypatch.setenv("CIFAR10H_DIR", str(published.parent))
    published.write_bytes(published.read_bytes()[:-1])
    with pytest.raises(DataError, match="truncated or altered .* was not opened"):
        cifar10h.locate()


def test_without_a_network_the_refusal_says_what_to_do(
    published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setattr(cifar10h, "URL", f"http://127.0.0.1:{free.getsockname()[1]}/counts.npy")
    with pytest.raises(DataError, match="could not be downloaded from http.*set CIFAR10H_DIR to a folder"):
        cifar10h.find_or_download()
