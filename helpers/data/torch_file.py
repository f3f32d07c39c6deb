"""Weights that PyTorch saved, read without PyTorch and without running anything that the file says.

A pickle is a program: it names functions and has them called. This reader knows the three that such a file
needs, and refuses one that names another before anything is called. The format is PyTorch's before 1.6
(torch/serialization.py, _legacy_save): three pickles that say what follows, one of the tensors without their
numbers, one that lists the numbers' storages, and these one after the other.
"""

from __future__ import annotations

import io
import pickle
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
"""With MAGIC, what the file begins with."""
KINDS = {"FloatStorage": "<f4", "LongStorage": "<i8"}
"""PyTorch's names of the numbers that can be read, and NumPy's."""


class _Tensor(NamedTuple):
    """A tensor as the file describes it: which numbers of which storage."""

    storage: str
    kind: str
    offset: int
    shape: tuple[int, ...]
    steps: tuple[int, ...]


class _Unpickler(pickle.Unpickler):
    """Makes descriptions of tensors, dictionaries of them, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """What the file may name."""
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _described
        if module == "torch" and name in KINDS:
            return name
        raise pickle.UnpicklingError(f"it names {module}.{name}, which is not called")

    def persistent_load(self, pid: Any) -> tuple[str, str]:
        """A storage: its key, and the kind of its numbers."""
        label, kind, key, _, _, view = pid
        if label != "storage" or kind not in KINDS or view is not None:
            raise pickle.UnpicklingError("it describes a storage in another way")
        return key, kind


def _described(storage: tuple[str, str], offset: int, shape: Any, steps: Any, *_: Any) -> _Tensor:
    return _Tensor(*storage, offset, tuple(shape), tuple(steps))


def read(path: Path) -> dict[str, NDArray[Any]]:
    """The tensors of a file by name, in its order, as arrays of their shapes.

    Raises UnpicklingError where it names anything but tensors, and many another where it is no such file.
    """
    file = io.BytesIO(path.read_bytes())
    magic, protocol, system = (_Unpickler(file).load() for _ in range(3))
    if (magic, protocol) != (MAGIC, PROTOCOL) or not system["little_endian"]:
        raise pickle.UnpicklingError("it begins in another way")
    tensors, keys = _Unpickler(file).load(), _Unpickler(file).load()
    kinds = {tensor.storage: tensor.kind for tensor in tensors.values()}
    storages = {key: _numbers(file, KINDS[kinds[key]]) for key in keys}
    return {name: _array(tensor, storages[tensor.storage]) for name, tensor in tensors.items()}


def _numbers(file: io.BytesIO, kind: str) -> NDArray[Any]:
    """The next storage: how many numbers, as eight bytes, and then these."""
    (count,) = struct.unpack("<q", file.read(8))
    return np.frombuffer(file.read(count * np.dtype(kind).itemsize), kind, count)


def _array(tensor: _Tensor, numbers: NDArray[Any]) -> NDArray[Any]:
    """A copy of a tensor's numbers, which may lie in any order within their storage but not outside it."""
    reach = [(length - 1) * step for length, step in zip(tensor.shape, tensor.steps, strict=True)]
    if min([tensor.offset, *reach]) < 0 or tensor.offset + sum(reach) >= len(numbers):
        raise pickle.UnpicklingError("a tensor reaches beyond its numbers")
    steps = [step * numbers.itemsize for step in tensor.steps]
    return np.lib.stride_tricks.as_strided(numbers[tensor.offset :], tensor.shape, steps).copy()
