"""Checkpoints: one .npz a stage, replaced as a whole after every epoch."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from helpers import files


@dataclass
class Progress:
    """What a stage has done so far; all of it is in its checkpoint."""

    curves: dict[str, list[float]] = field(default_factory=dict)
    """Keras metric to one value an epoch."""
    steps: list[int] = field(default_factory=list)
    """Optimizer steps of each epoch."""
    seconds: float = 0.0
    finished: bool = False
    watched: list[dict[str, Any]] = field(default_factory=list)
    """What `watch` measured: before the first epoch, and after each."""
    kept: list[np.ndarray] = field(default_factory=list)
    """The network's weights after the epoch with the lowest validation loss."""


def _state(network: keras.Model) -> list[keras.Variable]:
    """Every variable that training changes: weights, dropout's random state, the optimizer's own."""
    return [*network.variables, *network.optimizer.variables]


def save(path: Path, network: keras.Model, done: Progress) -> None:
    """Write everything that the next epoch depends on."""
    states = [keras.ops.convert_to_numpy(variable) for variable in _state(network)]
    arrays: dict[str, Any] = {f"state{i}": value for i, value in enumerate(states)}
    arrays |= {f"best{i}": value for i, value in enumerate(done.kept)}
    content = {name: value for name, value in vars(done).items() if name != "kept"}
    write_arrays(path, arrays | {"json": np.frombuffer(json.dumps({"progress": content}).encode(), np.uint8)})


def restore(path: Path, network: keras.Model) -> Progress:
    """Put the network where the checkpoint left it; nowhere, where there is none.

    Nor where it is damaged or another network's. A line that names it says so.
    """
    if not path.exists():
        return Progress()
    state = _state(network)
    try:
        with np.load(path, allow_pickle=False) as file:  # every member is checked against its CRC-32
            stored = {name: file[name] for name in file}
        done = Progress(**json.loads(stored["json"].tobytes())["progress"], kept=_series(stored, "best"))
        values = _series(stored, "state")
        if [value.shape for value in values] != [tuple(variable.shape) for variable in state]:
            raise ValueError("its variables are not this network's")
    except Exception as error:  # zipfile, zlib, json and NumPy raise a dozen types for a damaged file
        print(f"{path} cannot be resumed from ({error}): training this stage from its start", flush=True)
        return Progress()
    for variable, value in zip(state, values, strict=True):
        variable.assign(value)
    return done


def _series(stored: dict[str, np.ndarray], kind: str) -> list[np.ndarray]:
    """A checkpoint's arrays `kind`0, `kind`1 and so on, in order."""
    return [stored[f"{kind}{i}"] for i in range(sum(name.startswith(kind) for name in stored))]


def write_arrays(path: Path, arrays: dict[str, Any]) -> None:
    """Write an .npz so that `path` is always whole, making its folder."""
    content = io.BytesIO()
    np.savez(content, **arrays)
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write({path: content.getvalue()})
