"""The frozen prefix run over images: through OpenVINO where it works, else through Keras."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from helpers import paths
from helpers.cache import CacheError
from helpers.engine import backbones, model
from helpers.engine.inputs import Rows
from helpers.experiment import SIDE
from helpers.paths import cache_folder

REQUEST = 32
"""Images in one request to the prefix: 16 to 32 is where OpenVINO's throughput mode is fastest."""


@dataclass(frozen=True)
class Prefix:
    """What activations are a function of, besides the images: it names the folder they are stored in."""

    network: keras.Model
    cut: str
    weights: str
    data: str
    side: int = SIDE
    """Pixels a side of the images as they are stored."""

    @property
    def folder(self) -> Path:
        """The folder of this prefix's views."""
        size = self.network.input_shape[1]
        name = "-".join([self.data, self.weights, str(size), self.cut])
        if self.side != SIDE:
            name += f"-from-{self.side}"
        if (backend := keras.config.backend()) != paths.DEFAULT_BACKEND:
            name += f"-{backend}"
        return cache_folder() / "bank" / f"{self.cut}-{size}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"

    @property
    def below(self) -> Prefix | None:
        """The prefix whose stored activations this one is computed from; None where pixels are its input.

        A cut above SHARED_CUT always goes through that one's file, whether it was there before or not, so
        that the rounding to float16 in between does not depend on what happened to be stored.
        """
        deeper = backbones.is_above(self.network, self.cut, backbones.SHARED_CUT)
        return dataclasses.replace(self, cut=backbones.SHARED_CUT) if deeper else None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one image's activations."""
        if self.cut == backbones.POOLED:
            return (self.network.output_shape[-1],)
        return tuple(self.network.get_layer(self.cut).output.shape[1:])


def for_experiment(
    network: keras.Model, n_unfreeze: int, weights: str, data: str, side: int = SIDE
) -> Prefix:
    """The prefix below the cut of an experiment that unfreezes `n_unfreeze` layers.

    Raises CacheError where that leaves nothing frozen to store.
    """
    cut = backbones.cut(network, n_unfreeze)
    if cut is None:
        raise CacheError(
            f"n_unfreeze={n_unfreeze} leaves no whole block of the backbone frozen, so there is nothing to "
            "store; use engine='end_to_end'"
        )
    return Prefix(network, cut, weights, data, side)


KINDS = {
    "Convolution": "convolution",
    "GroupConvolution": "depthwise convolution",
    "Interpolate": "resizing",
}
"""What OpenVINO's operations are called here."""
Compute = Callable[[Iterator[tuple[int, np.ndarray]], np.ndarray, Callable[[int], object]], None]
"""Pushes requests (first row, inputs) through the prefix into float16 rows, and counts what is done."""


def requests(inputs: Rows, low: int, high: int) -> Iterator[tuple[int, np.ndarray]]:
    """(first row, inputs) of REQUEST images each, the last stretch's padded by repeating its last row."""
    for start in range(low, high, REQUEST):
        picked = np.minimum(np.arange(start, start + REQUEST), high - 1)
        yield start, np.asarray(inputs[picked], np.float32)


@functools.lru_cache(maxsize=2)
def through(prefix: Prefix) -> Compute:
    """The prefix as a Compute: through OpenVINO where that works, else through Keras, which a line says.

    The last two are kept: compiling takes seconds, and a run stores one view after another.
    """
    if prefix.below is None:
        network = model.pixels_to(prefix.network, prefix.cut, prefix.side)
    else:
        network = backbones.between(prefix.network, prefix.below.cut, prefix.cut)
    if keras.backend.backend() == "tensorflow":
        try:
            return _openvino(network)
        except Exception as error:  # OpenVINO and TensorFlow raise a dozen types
            _say_once(f"OpenVINO does not work here ({type(error).__name__}: {str(error).strip()[:200]!r})")
    return _keras(network)


@functools.cache
def _say_once(reason: str) -> None:
    print(f"{reason}: Keras computes the frozen part, which takes longer", flush=True)


def _keras(network: keras.Model) -> Compute:
    def compute(
        requests: Iterator[tuple[int, np.ndarray]], out: np.ndarray, done: Callable[[int], object]
    ) -> None:
        for start, images in requests:
            rows = out[start : start + REQUEST]
            rows[:] = keras.ops.convert_to_numpy(network(images, training=False))[: len(rows)]
            done(len(rows))

    return compute


def profile(network: keras.Model) -> dict[str, float]:
    """Shares of OpenVINO's time by kind of operation, the largest first: 'depthwise convolution' and so on.

    Takes random pixels, one request after another. Raises what OpenVINO raises where it does not work.
    """
    request = _compiled(network, PERF_COUNT=True).create_infer_request()
    pixels = np.random.default_rng(0).integers(0, 256, (REQUEST, *network.input_shape[1:]))
    spent: Counter[str] = Counter()
    for turn in range(4):
        request.infer([pixels.astype(np.float32)])
        for step in request.profiling_info:
            kind = KINDS.get(step.node_type, "the rest")
            spent[kind] += step.real_time.total_seconds() if turn else 0  # the first is slower
    return {kind: seconds / spent.total() for kind, seconds in spent.most_common()}


def _compiled(network: keras.Model, **properties: Any) -> Any:
    """The network as OpenVINO compiles it, in float32; whatever fails here, Keras can do the work.

    properties: more of OpenVINO's own.
    """
    # Here, because either may be missing, or fail as it is imported: then Keras does the work.
    import openvino
    import tensorflow as tf
    from openvino.frontend import FrontEndManager
    from openvino.frontend.tensorflow.graph_iterator import GraphIteratorTFGraph

    signature = tf.TensorSpec((REQUEST, *network.input_shape[1:]), tf.float32)
    traced = tf.function(lambda images: network(images, training=False)).get_concrete_function(signature)
    # What openvino.convert_model does. It needs its own docstrings, which PYTHONOPTIMIZE=2 removes; and its
    # check of TensorFlow's version fails on Python 3.13.
    frontend, threads = FrontEndManager().load_by_framework("tf"), paths.threads()
    nodes = GraphIteratorTFGraph(traced.graph, share_weights=True)  # has to live until `convert` is done
    return openvino.Core().compile_model(
        frontend.convert(frontend.load(nodes)),
        "CPU",
        {
            "PERFORMANCE_HINT": "THROUGHPUT",
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": threads,  # 0: all of them
            # Else processes that share a machine are all bound to its first cores (openvino, issue 32444).
            **({"ENABLE_CPU_PINNING": False} if threads else {}),
            **properties,
        },
    )


def _openvino(network: keras.Model) -> Compute:
    """OpenVINO in float32 and throughput mode: requests overlap, so augmenting and writing cost no time.

    Left to itself it takes bfloat16 where a processor has it. Its AsyncInferQueue is not used: that calls
    back into Python from threads of its own, and one that is about to can wait for ever for the
    interpreter's lock, which the thread that takes the finished network down is holding.
    """
    compiled = _compiled(network)
    streams = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
    # As many again wait in line, so that no stream waits for Python.
    pool = [compiled.create_infer_request() for _ in range(2 * streams)]

    def compute(
        requests: Iterator[tuple[int, np.ndarray]], out: np.ndarray, done: Callable[[int], object]
    ) -> None:
        running: deque[tuple[int, Any]] = deque()

        def finish() -> Any:
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
