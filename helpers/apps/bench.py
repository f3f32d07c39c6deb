"""Speed and memory against plain Keras, side by side in one run: what `make bench` prints and writes.

Plain Keras is what the original study and Keras' own guide do: the whole network in `predict` and `fit`, on
arrays in memory. It is spared the augmentation, which is part of our own times. The two ways take turns on
the same images; a ratio belongs to one such pair, and its spread is over the pairs. Tracing a network is
timed on neither side; compiling the frozen part for OpenVINO is, on ours.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from helpers import files, paths, run
from helpers.data import sources
from helpers.data.split import Split
from helpers.engine import (
    backbones,
    environment,
    feature_cache,
    fit,
    forward,
    inputs,
    keras,
    model,
    schedule,
)
from helpers.experiment import Experiment
from helpers.records import store

TARGETS = {"features": 2.5, "epoch": 2.5, "sweep": 3.0}
"""How many times faster than plain Keras a comparison was asked to be, on two cores."""
SWEEP = [
    {"optimizer": optimizer, "learning_rate": rate}
    for optimizer in ("adamw", "adam", "sgd")
    for rate in (3e-6, 1e-5, 3e-5, 1e-4)
]
"""The sweep: twelve experiments that share their frozen part."""


@dataclass(frozen=True)
class Sizes:
    """How much is timed: images of each comparison, and pairs of each."""

    features: int = 10000
    epoch: int = 3000
    sweep: int = 800
    sweep_epochs: int = 3
    sweep_experiments: int = 12
    pairs: int = 3
    matrix: int = 4096


@dataclass(frozen=True)
class Pairs:
    """Seconds of each way, pair by pair, for the same work."""

    plain: list[float]
    ours: list[float]

    def summary(self, name: str, images: int, **more: Any) -> dict[str, Any]:
        """The ratio of the totals, its lowest and highest pair, and the target."""
        ratios = [plain / ours for plain, ours in zip(self.plain, self.ours, strict=True)]
        return {
            "ratio": sum(self.plain) / sum(self.ours),
            "low": min(ratios),
            "high": max(ratios),
            "target": TARGETS.get(name),
            "images": images,
            "plain_images_per_second": images * len(ratios) / sum(self.plain),
            "ours_images_per_second": images * len(ratios) / sum(self.ours),
            "plain_seconds": self.plain,
            "ours_seconds": self.ours,
            **more,
        }


def bench(experiment: Experiment, deeper: Experiment, sizes: Sizes | None = None) -> dict[str, Any]:
    """All the comparisons for one experiment, and an epoch of another; about 25 minutes on two cores.

    Raises DataError or WeightsError where the experiment's images or weights cannot be had.
    """
    sizes = sizes or Sizes()
    print("Four comparisons, the machine's peak, and the memory of each way: about 25 min.", flush=True)
    configuration = asdict(experiment) | {"backbone_weights": Path(experiment.backbone_weights).name}
    result: dict[str, Any] = {
        "experiment": configuration,
        "sizes": asdict(sizes),
        "environment": environment.environment(),
        "peak_gflops": _said("matrix product", matrix_gflops(sizes.matrix), "GFLOP/s"),
    }
    both = asdict(experiment), asdict(deeper)
    result |= _in_child("compared", *both, asdict(sizes), moved="REPORT_CACHE")
    memory = {way: _in_child("one_epoch", way, both[0], moved="REPORT_RESULTS") / 1e9 for way in WAYS}
    result["memory_gb"] = {way: _said(f"memory, {way}", peak, "GB") for way, peak in memory.items()}
    return result


def _in_child(function: str, *given: Any, moved: str) -> Any:
    """What a function of this module returns in a process of its own, in which one place is an empty folder.

    So everything that is timed is computed, memory is measured from nothing, and nothing is left behind.
    """
    code = (
        "import json, sys\n"
        "from helpers.apps import bench\n"
        "found = getattr(bench, sys.argv[1])(*json.loads(sys.argv[2]))\n"
        "open(sys.argv[3], 'w').write(json.dumps(found))\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer"
        command = [sys.executable, "-c", code, function, json.dumps(given), str(answer)]
        subprocess.run(command, env=paths.environment() | {moved: folder}, check=True)
        return json.loads(answer.read_text())


def compared(one: dict[str, Any], other: dict[str, Any], sized: dict[str, int]) -> dict[str, Any]:
    """The comparisons by name, and their arithmetic; given the fields of both experiments and of Sizes."""
    experiment, deeper, sizes = Experiment(**one), Experiment(**other), Sizes(**sized)
    work = _Work(experiment)
    result = {
        "features": _told("features", _features(work, sizes)),
        "epoch": _told("epoch", _epoch("epoch", work, sizes, experiment)),
        "deeper": _told("deeper", _epoch("deeper", work, sizes, deeper)),
        "sweep": _told("sweep", _sweep(work, sizes)),
    }
    return result | {"arithmetic": _arithmetic(work, result)}


def write(result: dict[str, Any], path: Path | None = None) -> Path:
    """Keep the result as results/bench.json, replaced as a whole."""
    path = path or paths.RESULTS / store.BENCH
    files.write({path: json.dumps(result, indent=1).encode()})
    return path


# ---------------------------------------------------------------------------- the two ways


class _Work:
    """An experiment's images, targets and networks, made once for all the comparisons."""

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self.images = sources.load(experiment)
        self.found = run.fingerprints(experiment)
        self.network = backbones.backbone(experiment)
        self.targets = np.eye(10, dtype=np.float32)[self.images.train.labels]

    def part(self, images: int) -> Any:
        """The first training images as a split of their own."""
        train = self.images.train
        return Split(train.images[:images], train.labels[:images])

    def plain(self, experiment: Experiment) -> Any:
        """The whole network as Keras' guide to transfer learning builds it, compiled."""
        network = backbones.backbone(experiment)
        free = {layer.name for layer in backbones.unfrozen(network, experiment.n_unfreeze)}
        for layer in network.layers:
            layer.trainable = layer.name in free and not isinstance(layer, keras.layers.BatchNormalization)
        side = experiment.image_size
        images = keras.Input((32, 32, 3))
        x = keras.layers.Rescaling(1 / 127.5, offset=-1)(keras.layers.Resizing(side, side)(images))
        x = keras.layers.GlobalAveragePooling2D()(network(x, training=False))
        whole = keras.Model(images, model.head(experiment, x.shape[-1])(x))
        whole.compile(
            schedule.optimizer(schedule.stage2(experiment), 100),
            keras.losses.CategoricalCrossentropy(label_smoothing=experiment.label_smoothing),
            metrics=["accuracy"],
        )
        return whole

    def above_cut(self, experiment: Experiment) -> Any:
        """What our stage 2 trains, compiled as it compiles it."""
        network = backbones.backbone(experiment)
        top = model.head(experiment, network.output_shape[-1])
        above = model.above_cut(network, top, experiment)
        schedule.compile_for(above, schedule.stage2(experiment), 100)
        return above

    def stored(self, n_unfreeze: int, images: int, view: int) -> np.ndarray:
        """A view's activations below the cut of `n_unfreeze`, through the store."""
        prefix = forward.for_experiment(self.network, n_unfreeze, self.found["weights"], self.found["data"])
        wanted = feature_cache.training_view(self.experiment, self.part(images), view)
        return feature_cache.open_views(prefix, [wanted], progress=False)[0]

    def ours(self, above: Any, rows: np.ndarray, batch_size: int) -> None:
        """A shuffled pass over stored activations, as an epoch of ours."""
        source = inputs.Source(rows, self.targets)
        fit.train(above, source, _shuffled(len(rows)), batch_size)

    def read(self, rows: np.ndarray, batch_size: int) -> None:
        """The reading and shuffling of such a pass alone."""
        for _ in inputs.batches(rows, (self.targets,), _shuffled(len(rows)), batch_size):
            pass


def _features(work: _Work, sizes: Sizes) -> dict[str, Any]:
    """`predict` of the whole backbone, against storing one augmented view of the same images."""
    n = sizes.features
    images = work.part(n).images.astype(np.float32)
    prefix = model.pixels_to(work.network, backbones.POOLED)
    prefix.predict(images[:64], verbose=0)
    pairs = Pairs([], [])
    for pair in range(sizes.pairs):
        pairs.plain.append(_seconds(prefix.predict, images, verbose=0))
        pairs.ours.append(_seconds(work.stored, 0, n, pair))
    return pairs.summary("features", n)


def _epoch(name: str, work: _Work, sizes: Sizes, experiment: Experiment) -> dict[str, Any]:
    """An epoch of `fit` through the whole network, against one from the cache; and where ours goes.

    Plain Keras multiplies in float32 whatever the experiment's precision.
    """
    n, batch = sizes.epoch, experiment.batch_size
    images = work.part(n).images.astype(np.float32)
    plain, ours = work.plain(experiment), work.above_cut(experiment)
    rows = work.stored(experiment.n_unfreeze, n, 0)
    plain.fit(images[:batch], work.targets[:batch], batch_size=batch, verbose=0)
    work.ours(ours, rows[: 2 * batch], batch)
    pairs = Pairs([], [])
    options = {"batch_size": batch, "verbose": 0}
    for _ in range(sizes.pairs):
        pairs.plain.append(_seconds(plain.fit, images, work.targets[:n], **options))
        pairs.ours.append(_seconds(work.ours, ours, rows, batch))
    reading = _seconds(work.read, rows, batch)
    size = {"n_unfreeze": experiment.n_unfreeze, "image_size": experiment.image_size}
    return pairs.summary(name, n, reading_images_per_second=n / reading, **size)


def _sweep(work: _Work, sizes: Sizes) -> dict[str, Any]:
    """Twelve experiments end to end, against storing the views and twelve from them."""
    n, epochs = sizes.sweep, sizes.sweep_epochs
    images, targets = work.part(n).images.astype(np.float32), work.targets[:n]
    begun = time.perf_counter()
    views = [work.stored(work.experiment.n_unfreeze, n, view) for view in range(epochs)]
    storing = time.perf_counter() - begun
    pairs = Pairs([], [])
    sweep = SWEEP[: sizes.sweep_experiments]
    for changes in sweep:
        experiment = work.experiment.replace(**changes)
        batch = experiment.batch_size
        plain, ours = work.plain(experiment), work.above_cut(experiment)
        plain.fit(images[:batch], targets[:batch], batch_size=batch, verbose=0)
        work.ours(ours, views[0][: 2 * batch], batch)
        options = {"batch_size": batch, "epochs": epochs, "verbose": 0}
        pairs.plain.append(_seconds(plain.fit, images, targets, **options))
        pairs.ours.append(sum(_seconds(work.ours, ours, view, batch) for view in views))
        print(f"  {experiment.slug}: {pairs.plain[-1]:.0f} s against {pairs.ours[-1]:.0f} s", flush=True)
    shared = Pairs(pairs.plain, [seconds + storing / len(sweep) for seconds in pairs.ours])
    return shared.summary("sweep", n * epochs, storing_seconds=storing, experiments=len(sweep))


# ---------------------------------------------------------------------------- how near to the limit


def multiply_adds(network: Any) -> int:
    """Multiply-adds of the convolutions of a Keras model for one image, a pass forward."""
    total = 0
    for layer in network.layers:
        if isinstance(layer, keras.layers.DepthwiseConv2D | keras.layers.Conv2D):
            total += int(np.prod(layer.kernel.shape)) * int(np.prod(layer.output.shape[1:3]))
    return total


def matrix_gflops(size: int) -> float:
    """The best of five float32 matrix products of `size` by `size`, in 1e9 operations a second."""
    one = np.random.default_rng(0).normal(size=(size, size)).astype(np.float32)
    return 2 * size**3 / min(_seconds(np.matmul, one, one) for _ in range(5)) / 1e9


def _arithmetic(work: _Work, result: dict[str, Any]) -> dict[str, Any]:
    """Millions of multiply-adds an image, and the GFLOP/s that our speeds amount to.

    Training counts as three passes through what lies above the cut, which is an upper bound: nothing goes
    back through the frozen layers there.
    """
    network, cut = work.network, backbones.cut(work.network, work.experiment.n_unfreeze)
    whole = multiply_adds(network)
    above = whole - multiply_adds(keras.Model(network.input, network.get_layer(cut).output))
    forward, training = result["features"], result["epoch"]
    return {
        "whole_million": whole / 1e6,
        "above_cut_million": above / 1e6,
        "features_gflops": 2e-9 * whole * forward["ours_images_per_second"],
        "plain_features_gflops": 2e-9 * whole * forward["plain_images_per_second"],
        "training_gflops": 6e-9 * above * training["ours_images_per_second"],
    }


WAYS = ("plain Keras", "from the bank")
"""By the names that results/bench.json has them; what is read from the feature cache is the second."""


def peak_memory() -> int:
    """The largest resident memory of this process so far, in bytes, files mapped included. Linux only.

    Not getrusage's ru_maxrss, in which a process inherits the peak of the one that started it.
    """
    (line,) = [one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("VmHWM")]
    return 1024 * int(line.split()[1])


def one_epoch(way: str, fields: dict[str, Any]) -> int:
    """Peak memory in bytes of a process that does nothing else than this, files mapped included.

    This is an experiment of one epoch from the cache with all that belongs to it, or the start of an epoch
    of plain Keras.
    """
    experiment = Experiment(**fields)
    if way == WAYS[1]:
        run.run(experiment.replace(epochs=1, views=1, stage1_epochs=1), progress=False)
        return peak_memory()
    work = _Work(experiment)
    images, batch = work.images.train.images.astype(np.float32), experiment.batch_size
    # A few steps with all images in memory: a whole epoch takes more time and no more memory.
    work.plain(experiment).fit(
        images, work.targets, batch_size=batch, steps_per_epoch=min(30, len(images) // batch), verbose=0
    )
    return peak_memory()


# ---------------------------------------------------------------------------- shared pieces


def _shuffled(n: int) -> np.ndarray:
    """Row numbers 0 to n - 1 in the order of a shuffled pass."""
    return np.random.default_rng(0).permutation(n)


def _seconds(work: Callable[..., object], *given: Any, **options: Any) -> float:
    begun = time.perf_counter()
    work(*given, **options)
    return time.perf_counter() - begun


def _told(name: str, summary: dict[str, Any]) -> dict[str, Any]:
    asked = f"; target {summary['target']:g}" if summary["target"] else ""
    print(
        f"{name}: {summary['ratio']:.2f} times plain Keras ({summary['low']:.2f} to {summary['high']:.2f}"
        f"{asked}); {summary['ours_images_per_second']:.0f} against "
        f"{summary['plain_images_per_second']:.0f} images a second",
        flush=True,
    )
    return summary


def _said(name: str, value: float, unit: str) -> float:
    print(f"{name}: {value:.1f} {unit}", flush=True)
    return value
