"""The store of prefix activations: the frozen part of the network, computed once per view.

A frozen prefix is a constant of an image and its view, so its output is written once, as float16, and
memory-mapped by every experiment with the same prefix. A view is one file:

    <cache>/bank/<prefix>/<split>-<view>-<rows>.npy        float16 (rows, h, w, c) or (rows, c)
    <cache>/bank/<prefix>/<split>-<view>-<rows>.json       rows done, their CRC-32, seconds it took

The second file is written after each stretch of rows has reached the disk: a killed build goes on
from there, and a file that was cut short or altered is found out and built again.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import numpy as np

from helpers import cache, files
from helpers.data.split import Split
from helpers.engine import augment
from helpers.engine.forward import REQUEST, Compute, Prefix, requests, through
from helpers.engine.inputs import Rows
from helpers.experiment import Experiment
from helpers.progress import bar

STRETCH = 64 * REQUEST
"""Images between two notes of progress on disk; at most this many are computed again after a kill."""


@dataclass(frozen=True)
class ViewSpec:
    """One file of the store: a view of a split's images."""

    name: str
    split: Split
    view: augment.View

    def __getitem__(self, picked: np.ndarray) -> np.ndarray:
        """The pixels of some images as the view shows them, float32 (m, side, side, 3) in [0, 255]."""
        return self.view.images(self.split.images, picked)


def training_view(experiment: Experiment, split: Split, number: int) -> ViewSpec:
    """View `number` of an experiment's training images."""
    kind = experiment.augmentation
    if kind == "crop" and number < 2:
        kind = "flip"  # the very views, which both share
    alpha = repr(experiment.mixup_alpha) if "mixup" in kind else ""  # every digit: it names a file
    view = augment.draw(kind, number, len(split.labels), split.side, experiment.mixup_alpha)
    if kind == "none" or (kind == "flip" and number == 0):
        return plain("train", split)
    return ViewSpec(f"train-{kind}{alpha}-{number}", split, view)


def plain(name: str, split: Split) -> ViewSpec:
    """The images of a split as they are."""
    return ViewSpec(f"{name}-plain", split, augment.draw("none", 0, len(split.labels), split.side))


def mirrored(name: str, split: Split) -> ViewSpec:
    """The images of a split flipped left to right: what flip test-time augmentation sees."""
    return ViewSpec(f"{name}-flipped", split, augment.draw("flip", 1, len(split.labels), split.side))


def open_views(prefix: Prefix, wanted: list[ViewSpec], progress: bool = True) -> list[np.ndarray]:
    """The stored activations of each view wanted, float16 (n, *prefix.shape), memory-mapped read-only.

    Whatever is missing is computed first, after an estimate of time and disk; one process computes
    a file and others wait for it. Raises CacheError where the folder cannot be written or the disk or the
    bound is too small, before anything is computed.
    """
    for item in wanted:  # the least recently used view is the first to go when the store is full
        with contextlib.suppress(OSError):  # it is not there, or the folder is none, which is told below
            os.utime(_file(prefix, item))
    missing = [item for item in wanted if not _is_complete(prefix, item)]
    if missing:
        needed = sum(_bytes(prefix, item) - cache.taken(_file(prefix, item)) for item in missing)
        cache.make_room(needed, prefix.folder, {_file(prefix, item) for item in wanted})
        compute = through(prefix)
        for item in missing:
            _build(prefix, item, compute, progress)
    return [_open(prefix, item, progress) for item in wanted]


def _file(prefix: Prefix, item: ViewSpec) -> Path:
    return prefix.folder / f"{item.name}-{len(item.split.labels)}.npy"


def _state(path: Path) -> dict[str, Any]:
    """The note beside a stored view; empty where there is none, or none that can be read."""
    try:
        state = json.loads(path.with_suffix(".json").read_text())
        sound = all(type(state[name]) is int for name in ("rows", "crc32")) and state["seconds"] >= 0
    except (OSError, ValueError, TypeError, LookupError):
        return {}
    return state if sound else {}


def _is_complete(prefix: Prefix, item: ViewSpec) -> bool:
    """Whether the note beside a view says that all of its rows are there."""
    path = _file(prefix, item)
    return path.exists() and _state(path).get("rows") == len(item.split.labels)


def seconds(prefix: Prefix, wanted: list[ViewSpec]) -> dict[str, float]:
    """What building each stored view, and those below it, took in whichever process: file to seconds."""
    files = [_file(prefix, item) for item in wanted]
    spent = {str(path): _state(path).get("seconds", 0.0) for path in files}
    return spent if prefix.below is None else spent | seconds(prefix.below, wanted)


def _bytes(prefix: Prefix, item: ViewSpec) -> int:
    return 2 * int(np.prod(prefix.shape)) * len(item.split.labels)


def _build(prefix: Prefix, item: ViewSpec, compute: Compute, progress: bool) -> None:
    """Write one view, or the rest of it, unless another process does so first."""
    path, n = _file(prefix, item), len(item.split.labels)
    with filelock.FileLock(path.with_suffix(".lock")):
        start, crc = _resume_point(path, (n, *prefix.shape))
        if start == n:
            return
        inputs: Rows = item if prefix.below is None else open_views(prefix.below, [item], progress)[0]
        spent, begun = _state(path).get("seconds", 0.0), time.perf_counter()
        mode = "r+" if start else "w+"
        rows = np.lib.format.open_memmap(path, mode, np.float16, (n, *prefix.shape))
        files.reserve(path)
        with bar(f"storing {item.name} at {prefix.cut}", n, "img", done=start, shown=progress) as shown:
            for low in range(start, n, STRETCH):
                high = min(low + STRETCH, n)
                compute(requests(inputs, low, high), rows, shown.update)
                rows.flush()
                crc = zlib.crc32(rows[low:high].data, crc)
                elapsed = spent + time.perf_counter() - begun
                note = {"rows": high, "crc32": crc, "seconds": elapsed}
                files.write({path.with_suffix(".json"): json.dumps(note).encode()})


def _resume_point(path: Path, shape: tuple[int, ...]) -> tuple[int, int]:
    """Rows that are on disk as noted, and their CRC-32; (0, 0) where the file does not bear its note out."""
    state = _state(path)
    if not state:
        return 0, 0
    try:
        rows = np.load(path, mmap_mode="r", allow_pickle=False)
        sound = rows.shape == shape and rows.dtype == np.float16 and 0 <= state["rows"] <= len(rows)
    except (OSError, ValueError, EOFError):
        sound = False
    if sound and files.crc32(rows[: state["rows"]]) == state["crc32"]:
        return state["rows"], state["crc32"]
    path.with_suffix(".json").unlink(missing_ok=True)
    return 0, 0


_verified: set[Path] = set()
"""Views whose checksum this process has already borne out."""


def _open(prefix: Prefix, item: ViewSpec, progress: bool) -> np.ndarray:
    """A finished view, checked once a process against its checksum; a damaged one is built again."""
    path = _file(prefix, item)
    complete = _is_complete(prefix, item)  # another process may have made room with it, and begun it again
    if not (complete and path in _verified):
        if _resume_point(path, (len(item.split.labels), *prefix.shape))[0] != len(item.split.labels):
            if complete:
                print(f"{path} does not match its checksum (cut short or altered): building it again")
            _build(prefix, item, through(prefix), progress)
        _verified.add(path)
    return np.load(path, mmap_mode="r", allow_pickle=False)
