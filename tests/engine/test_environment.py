"""Keras as a user has set it up: results, names and stored views are ours all the same."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import kills
import pytest

from helpers import run as door
from helpers.records import store
from helpers.records.run import Run

SHORT = kills.small(n_unfreeze=0)
ODD = {"floatx": "float16", "epsilon": 1e-2, "backend": "torch", "image_data_format": "channels_first"}


def trained(folder: Path, **variables: str) -> Run:
    """The record of SHORT, made in `folder` by a process with these environment variables."""
    before = set((folder / "results").rglob("*.json"))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        with kills.process(kills.training(SHORT), folder) as child:
            assert child.wait() == 0, kills.said(folder)
    (path,) = set((folder / "results").rglob("*.json")) - before
    return store.read(path)


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Run]]:
    """The record of SHORT as a process without any settings makes it, and its store."""
    folder = tmp_path_factory.mktemp("usual")
    yield folder, trained(folder)


def test_a_users_keras_settings_change_nothing(usual: tuple[Path, Run], tmp_path: Path) -> None:
    (tmp_path / "keras.json").write_text(json.dumps(ODD))
    run = trained(tmp_path, KERAS_HOME=str(tmp_path), KERAS_BACKEND="", TF_USE_LEGACY_KERAS="1")
    assert run.path.name == usual[1].path.name
    assert run.environment["backend"] == "tensorflow"
    assert kills.difference(run, usual[1]) == 0
    views = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.npy"))
    assert len(views) == 5
    for view in views:
        assert (tmp_path / view).read_bytes() == (usual[0] / view).read_bytes()


@pytest.mark.long
def test_another_backends_record_and_views_have_names_of_their_own(
    usual: tuple[Path, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("jax")
    run = trained(tmp_path, KERAS_BACKEND="jax")
    assert run.environment["backend"] == run.fingerprints["backend"] == "jax"
    assert (run.key, run.config) == (usual[1].key, usual[1].config)
    assert run.id != usual[1].id
    folders = [{path.parent.name for path in each.rglob("*.npy")} for each in (tmp_path, usual[0])]
    assert folders[0].isdisjoint(folders[1])
    kills.use(tmp_path, monkeypatch)
    assert door.find(SHORT) is None
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert getattr(door.find(SHORT), "id", None) == run.id


def test_tensorflows_record_answers_on_every_backend(
    usual: tuple[Path, Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    kills.use(usual[0], monkeypatch)
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert getattr(door.find(SHORT), "id", None) == usual[1].id


def test_a_backend_that_is_not_ours_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kills.use(tmp_path, monkeypatch)
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    command = [sys.executable, "-m", "helpers", "run", *kills.options(SHORT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("UserError: KERAS_BACKEND='torch': ")
    assert done.stderr.endswith("unset KERAS_BACKEND for TensorFlow\n")
