"""PyTorch's files are read without PyTorch, and nothing that they name is called."""

import collections
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch_files

from helpers.data import torch_file

SHAPES = {"conv.weight": (4, 3, 2, 2), "conv.bias": (4,), "steps": ()}
ARRAYS: dict[str, Any] = {
    name: np.random.default_rng(0).normal(size=shape).astype("<f4") for name, shape in SHAPES.items()
} | {"steps": np.array(7, "<i8")}


class _Named:
    """Pickles as a call of what it is given, as PyTorch's own objects do."""

    def __init__(self, *called: Any) -> None:
        self.called = called

    def __reduce__(self) -> Any:
        return self.called


def test_tensors_are_read_in_order_with_their_numbers(tmp_path: Path) -> None:
    """Whatever the order in which they lie: weights that came from TensorFlow are turned."""
    arrays = ARRAYS | {"turned": ARRAYS["conv.weight"].T}
    found = torch_file.read(torch_files.written(tmp_path / "w.pth", arrays))
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("called", [(os.mkdir, ("made",)), (eval, ("1",)), (collections.Counter, ())])
def test_a_file_that_would_have_something_else_called_is_refused(
    called: tuple[Any, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever in the file it stands; a plain pickle.load makes the folder."""
    monkeypatch.chdir(tmp_path)
    heads = [torch_file.MAGIC, torch_file.PROTOCOL, {"little_endian": True}]
    for place in range(4):
        parts = [*heads, {}]
        parts[place] = _Named(*called)
        path = tmp_path / f"{place}.pth"
        path.write_bytes(b"".join(pickle.dumps(part, protocol=2) for part in parts))
        with pytest.raises(pickle.UnpicklingError, match=r"it names .*, which is not called"):
            torch_file.read(path)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("harm", ["cut short", "beyond its numbers", "no such file", "another kind"])
def test_a_file_that_is_damaged_or_none_is_refused(harm: str, tmp_path: Path) -> None:
    path = torch_files.written(tmp_path / "w.pth", ARRAYS, first=int(harm == "beyond its numbers"))
    if harm == "cut short":
        path.write_bytes(path.read_bytes()[:-9])
    elif harm == "no such file":
        path.write_bytes(b"<html>not found</html>")
    elif harm == "another kind":
        path.write_bytes(pickle.dumps({"weights": 1}))
    with pytest.raises(Exception):  # noqa: B017 (`backbones.backbone` names the file, whatever it is)
        torch_file.read(path)
