"""Files as PyTorch writes them, put together without it."""

import io
import pickle
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from helpers.data import torch_file


def written(path: Path, arrays: Mapping[str, np.ndarray], first: int = 0) -> Path:
    """A file of PyTorch's old format, put together by hand: opcode for opcode what torch.save writes.

    first: where each tensor is said to begin among its numbers.
    """
    file = io.BytesIO()
    for head in (torch_file.MAGIC, torch_file.PROTOCOL, {"little_endian": True}):
        pickle.dump(head, file, protocol=2)
    file.write(b"\x80\x02" + _torch_name("collections", "OrderedDict") + b")R(")
    for key, (name, array) in enumerate(arrays.items()):
        kind = "FloatStorage" if array.dtype == np.float32 else "LongStorage"
        steps = tuple(step // array.itemsize for step in array.strides)
        file.write(_text(name) + _torch_name("torch._utils", "_rebuild_tensor_v2") + b"(")
        file.write(b"(" + _text("storage") + _torch_name("torch", kind) + _text(str(key)) + _text("cpu"))
        file.write(_whole(array.size) + b"NtQ" + _whole(first) + _tuple(array.shape))
        file.write(_tuple(steps) + b"\x89")
        file.write(_torch_name("collections", "OrderedDict") + b")RtR")
    file.write(b"u.")
    pickle.dump([str(key) for key in range(len(arrays))], file, protocol=2)
    for array in arrays.values():
        file.write(struct.pack("<q", array.size) + array.tobytes("A"))
    path.write_bytes(file.getvalue())
    return path


def _text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def _whole(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def _tuple(values: Any) -> bytes:
    return b"(" + b"".join(map(_whole, values)) + b"t"


def _torch_name(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()
