"""The store of prefix activations: the frozen part of the network, computed once per view.

A frozen prefix is a constant of an image and its view, so its output is written once, as float16, and
memory-mapped by every experiment with the same prefix. A view is one file:

    <cache>/bank/<prefix>/<split>-<view>-<rows>.npy        float16 (rows, h, w, c) or (rows, c)
    <cache>/bank/<prefix>/<split>-<view>-<rows>.json       rows done, their CRC-32, seconds it took

The second file is written after each stretch of rows has reached the disk: a killed build goes on
from there, and a file that was cut short or altered is found out and built again.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import keras
import numpy as np
from tqdm import tqdm

from helpers import augment, model, storage
from helpers.data import Split, cache_folder
from helpers.experiment import Experiment
from helpers.storage import FeatureError

REQUEST = 32
"""Images in one request to the prefix: 16 to 32 is where OpenVINO's throughput mode is fastest."""
STRETCH = 64 * REQUEST
"""Images between two notes of progress on disk; at most this many are computed again after a kill."""


@dataclass(frozen=True)
class Prefix:
    """What activations are a function of, besides the images: it names the folder they are stored in."""

    network: keras.Model
    cut: str
    weights: str
    data: str

    @property
    def folder(self) -> Path:
        """The folder of this prefix's views."""
        size = self.network.input_shape[1]
        name = "-".join([self.data, self.weights, str(size), self.cut])
        return cache_folder() / "bank" / f"{self.cut}-{size}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"

    @property
    def below(self) -> Prefix | None:
        """The prefix whose stored activations this one is computed from; None where pixels are its input.

        A cut above SHARED_CUT always goes through that one's file, whether it was there before or not, so
        that the rounding to float16 in between does not depend on what happened to be stored.
        """
        deeper = model.is_above(self.network, self.cut, model.SHARED_CUT)
        return dataclasses.replace(self, cut=model.SHARED_CUT) if deeper else None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one image's activations."""
        if self.cut == model.POOLED:
            return (self.network.output_shape[-1],)
        return tuple(self.network.get_layer(self.cut).output.shape[1:])


def for_experiment(network: keras.Model, n_unfreeze: int, weights: str, data: str) -> Prefix:
    """The prefix below the cut of an experiment that unfreezes `n_unfreeze` layers.

    Raises FeatureError where that leaves nothing frozen to store.
    """
    cut = model.cut(network, n_unfreeze)
    if cut is None:
        raise FeatureError(
            f"n_unfreeze={n_unfreeze} leaves no whole block of the backbone frozen, so there is nothing to "
            "store; use engine='end_to_end'"
        )
    return Prefix(network, cut, weights, data)


@dataclass(frozen=True)
class Wanted:
    """One file of the store: a view of a split's images."""

    name: str
    split: Split
    view: augment.View


def training_view(experiment: Experiment, split: Split, number: int) -> Wanted:
    """View `number` of an experiment's training images."""
    kind = experiment.augmentation
    if kind == "crop" and number < 2:
        kind = "flip"  # the very views, which both share
    alpha = repr(experiment.mixup_alpha) if "mixup" in kind else ""  # every digit: it names a file
    view = augment.draw(kind, number, len(split.labels), mixup_alpha=experiment.mixup_alpha)
    if kind == "none" or (kind == "flip" and number == 0):
        return plain("train", split)
    return Wanted(f"train-{kind}{alpha}-{number}", split, view)


def plain(name: str, split: Split) -> Wanted:
    """The images of a split as they are."""
    return Wanted(f"{name}-plain", split, augment.draw("none", 0, len(split.labels)))


def mirrored(name: str, split: Split) -> Wanted:
    """The images of a split flipped left to right."""
    return Wanted(f"{name}-flipped", split, augment.flipped(len(split.labels)))


def bank(prefix: Prefix, wanted: list[Wanted], progress: bool = True) -> list[np.ndarray]:
    """The stored activations of each view wanted, float16 (n, *prefix.shape), memory-mapped read-only.

    Whatever is missing is computed first, after an estimate of time and disk; one process computes
    a file and others wait for it. Raises FeatureError where the folder cannot be written or the disk or the
    bound is too small, before anything is computed.
    """
    missing = [item for item in wanted if not _noted_whole(prefix, item)]
    if missing:
        needed = sum(_bytes(prefix, item) - storage.taken(_file(prefix, item)) for item in missing)
        storage.make_room(needed, prefix.folder, {_file(prefix, item) for item in wanted})
        compute = _through(prefix)
        for item in missing:
            _build(prefix, item, compute, progress)
    return [_open(prefix, item, progress) for item in wanted]


def _inputs(prefix: Prefix, item: Wanted, progress: bool) -> Callable[[np.ndarray], np.ndarray]:
    """Given row numbers, what a prefix is computed from, float32: pixels, or the activations below."""
    if prefix.below is None:
        return lambda rows: item.view.images(item.split.images, rows)
    (stored,) = bank(prefix.below, [item], progress)
    return lambda rows: stored[rows].astype(np.float32)


def _file(prefix: Prefix, item: Wanted) -> Path:
    return prefix.folder / f"{item.name}-{len(item.split.labels)}.npy"


def _state(path: Path) -> dict[str, Any]:
    """The note beside a stored view; empty where there is none, or none that can be read."""
    try:
        state = json.loads(path.with_suffix(".json").read_text())
        sound = all(type(state[name]) is int for name in ("rows", "crc32")) and state["seconds"] >= 0
    except (OSError, ValueError, TypeError, LookupError):
        return {}
    return state if sound else {}


def _noted_whole(prefix: Prefix, item: Wanted) -> bool:
    """Whether the note beside a view says that all of its rows are there."""
    path = _file(prefix, item)
    return path.exists() and _state(path).get("rows") == len(item.split.labels)


def _note(path: Path, **state: Any) -> None:
    storage.write({path.with_suffix(".json"): json.dumps(state).encode()})


def seconds(prefix: Prefix, wanted: list[Wanted]) -> dict[str, float]:
    """What building each stored view, and those below it, took in whichever process: file to seconds."""
    files = [_file(prefix, item) for item in wanted]
    spent = {str(path): _state(path).get("seconds", 0.0) for path in files}
    return spent if prefix.below is None else spent | seconds(prefix.below, wanted)


def _bytes(prefix: Prefix, item: Wanted) -> int:
    return 2 * int(np.prod(prefix.shape)) * len(item.split.labels)


def _build(prefix: Prefix, item: Wanted, compute: Compute, progress: bool) -> None:
    """Write one view, or the rest of it, unless another process does so first."""
    path, n = _file(prefix, item), len(item.split.labels)
    with filelock.FileLock(path.with_suffix(".lock")):
        start, crc = _resume_point(path, (n, *prefix.shape))
        if start == n:
            return
        inputs = _inputs(prefix, item, progress)
        spent, begun = _state(path).get("seconds", 0.0), time.perf_counter()
        mode = "r+" if start else "w+"
        rows = np.lib.format.open_memmap(path, mode, np.float16, (n, *prefix.shape))
        with tqdm(
            total=n,
            initial=start,
            unit="img",
            desc=f"storing {item.name} at {prefix.cut}",
            disable=not progress,
        ) as bar:
            for low in range(start, n, STRETCH):
                high = min(low + STRETCH, n)
                compute(_requests(inputs, low, high), rows, bar.update)
                rows.flush()
                crc = zlib.crc32(rows[low:high].data, crc)
                elapsed = spent + time.perf_counter() - begun
                _note(path, rows=high, crc32=crc, seconds=elapsed)


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
    if sound and _crc(rows[: state["rows"]]) == state["crc32"]:
        return state["rows"], state["crc32"]
    path.with_suffix(".json").unlink(missing_ok=True)
    return 0, 0


def _crc(rows: np.ndarray) -> int:
    """CRC-32 of rows, read a stretch at a time so that memory stays small."""
    value = 0
    for low in range(0, len(rows), STRETCH):
        value = zlib.crc32(np.ascontiguousarray(rows[low : low + STRETCH]).data, value)
    return value


Compute = Callable[[Iterator[tuple[int, np.ndarray]], np.ndarray, Callable[[int], object]], None]
"""Pushes requests (first row, inputs) through the prefix into float16 rows, and counts what is done."""

_verified: set[Path] = set()
"""Views whose checksum this process has already borne out."""


def _open(prefix: Prefix, item: Wanted, progress: bool) -> np.ndarray:
    """A finished view, checked once a process against its checksum; a damaged one is built again."""
    path = _file(prefix, item)
    there = path.exists()  # another process may have made room with it
    if not (there and path in _verified):
        if _resume_point(path, (len(item.split.labels), *prefix.shape))[0] != len(item.split.labels):
            if there:
                print(f"{path} does not match its checksum (cut short or altered): building it again")
            _build(prefix, item, _through(prefix), progress)
        _verified.add(path)
    os.utime(path)  # the least recently used view is the first to go when the store is full
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _requests(
    inputs: Callable[[np.ndarray], np.ndarray], low: int, high: int
) -> Iterator[tuple[int, np.ndarray]]:
    """(first row, inputs) of REQUEST images each, the last stretch's padded by repeating its last row."""
    for start in range(low, high, REQUEST):
        yield start, inputs(np.minimum(np.arange(start, start + REQUEST), high - 1))


def _through(prefix: Prefix) -> Compute:
    """The prefix as a Compute: through OpenVINO where it can be had, else through Keras."""
    return _compiled(prefix) if openvino_usable() else _keras(_frozen(prefix))


@functools.lru_cache(maxsize=2)
def _compiled(prefix: Prefix) -> Compute:
    """The prefix through OpenVINO: compiling takes seconds, and a run stores one view after another."""
    return _openvino(_frozen(prefix))


def _frozen(prefix: Prefix) -> keras.Model:
    """The network of a prefix: from pixels, or from the stored activations below it."""
    if prefix.below is None:
        return model.pixels_to(prefix.network, prefix.cut)
    return model.between(prefix.network, prefix.below.cut, prefix.cut)


def openvino_usable() -> bool:
    """Whether the fast path exists here: OpenVINO is installed and Keras runs on TensorFlow."""
    import importlib.util

    return importlib.util.find_spec("openvino") is not None and keras.backend.backend() == "tensorflow"


def _keras(network: keras.Model) -> Compute:
    def compute(
        requests: Iterator[tuple[int, np.ndarray]], out: np.ndarray, done: Callable[[int], object]
    ) -> None:
        for start, images in requests:
            rows = out[start : start + REQUEST]
            rows[:] = keras.ops.convert_to_numpy(network(images, training=False))[: len(rows)]
            done(len(rows))

    return compute


def _openvino(network: keras.Model) -> Compute:
    """OpenVINO in float32 and throughput mode: requests overlap, so augmenting and writing cost no time.

    Left to itself it takes bfloat16 where a processor has it. Its AsyncInferQueue is not used: that calls
    back into Python from threads of its own, and one that is about to can wait for ever for the
    interpreter's lock, which the thread that takes the finished network down is holding.
    """
    import openvino
    import tensorflow as tf

    signature = tf.TensorSpec((REQUEST, *network.input_shape[1:]), tf.float32)
    graph = tf.function(lambda images: network(images, training=False)).get_concrete_function(signature)
    compiled = openvino.Core().compile_model(
        openvino.convert_model(graph),
        "CPU",
        {
            "PERFORMANCE_HINT": "THROUGHPUT",
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": int(os.environ.get("TF_NUM_INTRAOP_THREADS", 0)),  # 0: all of them
        },
    )
    streams = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
    # As many again wait in line, so that no stream waits for Python.
    pool = [compiled.create_infer_request() for _ in range(2 * streams)]

    def compute(
        requests: Iterator[tuple[int, np.ndarray]], out: np.ndarray, done: Callable[[int], object]
    ) -> None:
        running: deque[tuple[int, openvino.InferRequest]] = deque()

        def finish() -> openvino.InferRequest:
            start, request = running.popleft()
            request.wait()
            rows = out[start : start + REQUEST]
            rows[:] = request.get_output_tensor().data[: len(rows)]
            done(len(rows))
            return request

        for start, images in requests:
            request = pool[len(running)] if len(running) < len(pool) else finish()
            request.start_async([images])
            running.append((start, request))
        while running:
            finish()

    return compute
