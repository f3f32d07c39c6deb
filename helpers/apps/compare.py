"""Plain Keras and ours at the same work: what `make bench` times, one comparison a function.

Plain Keras is what the original study and Keras' own guide do: the whole network in `predict` and `fit`, on
arrays in memory. It is spared the augmentation, which is part of our own times. The two ways take turns on
the same images; a ratio belongs to one such pair, and its spread is over the pairs. Tracing a network is
timed on neither side; compiling the frozen part for OpenVINO is, on ours.

Our products are in float32, as plain Keras' are, unless a comparison names another precision.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from helpers import run
from helpers.data import sources
from helpers.engine import backbones, feature_cache, fit, forward, inputs, keras, model, schedule
from helpers.experiment import Experiment

TARGETS = {"features": 2.5, "epoch": 2.5, "sweep": 5.0}
"""How many times faster than plain Keras a comparison was asked to be, on two cores.

Five for the sweep is the most that Nautilus reports for a whole selection of models (Nakandala and Kumar,
SIGMOD 2022).
"""
SWEEP = [
    {"optimizer": optimizer, "learning_rate": rate, "batch_size": size}
    for size in (64, 128)
    for optimizer in ("adamw", "adam", "sgd")
    for rate in (3e-6, 1e-5, 3e-5, 1e-4)
]
"""The sweep: experiments that share their frozen part."""
PRECISIONS = {"sweep": "bfloat16", "sweep_float32": "float32"}
"""Of our products in the sweep: that of the report's own sweeps, and plain Keras'."""
GROWTH = {"image_size": (96, 128, 160, 192), "n_unfreeze": (10, 20, 30, 66, 80)}
"""What costs are measured against, beside the number of images."""
PARTS = ("features", "profile", "epoch", "deeper", "sweep", "growth")
"""What is measured, each part in a process of its own."""


@dataclass(frozen=True)
class Sizes:
    """How much is timed: images of each comparison, and pairs of each.

    `growth` images are timed at every depth and image size, `growth_images` at the experiment's own.
    """

    features: int = 10000
    epoch: int = 3000
    sweep: int = 512
    sweep_epochs: int = 3
    sweep_experiments: int = len(SWEEP)
    growth: int = 2000
    growth_images: tuple[int, ...] = (5000, 15000, 45000)
    pairs: int = 3
    matrix: int = 4096


def summary(name: str, turns: list[tuple[float, float]], images: int, **more: Any) -> dict[str, Any]:
    """The ratio of the totals, its lowest and highest pair, and the target.

    turns: seconds of plain Keras and of ours, pair by pair, for the same work.
    """
    ratios = [plain / ours for plain, ours in turns]
    plain, ours = (list(way) for way in zip(*turns, strict=True))
    return {
        "ratio": sum(plain) / sum(ours),
        "low": min(ratios),
        "high": max(ratios),
        "target": TARGETS.get(name),
        "images": images,
        "plain_images_per_second": images * len(ratios) / sum(plain),
        "ours_images_per_second": images * len(ratios) / sum(ours),
        "plain_seconds": plain,
        "ours_seconds": ours,
        **more,
    }


def measured(name: str, *fields: dict[str, Any]) -> dict[str, Any]:
    """What is measured under a name of PARTS, by the names that results/bench.json has it.

    fields: of the experiment, of a deeper one, and of Sizes.
    """
    experiment, deeper, sizes = Experiment(**fields[0]), Experiment(**fields[1]), Sizes(**fields[2])
    if name == "profile":
        pixels_to_pooled = model.pixels_to(backbones.backbone(experiment), backbones.POOLED)
        return {name: forward.profile(pixels_to_pooled)}
    work = Work(experiment)
    if name == "growth":
        return {name: _growth(work, sizes)}
    if name == "sweep":
        found = _sweep(work, sizes)
    elif name == "features":
        found = {name: _features(work, sizes)}
    else:
        found = {name: _epoch(name, work, sizes, {"epoch": experiment, "deeper": deeper}[name])}
    return {each: _told(each, compared) for each, compared in found.items()}


# ---------------------------------------------------------------------------- the two ways


class Work:
    """An experiment's images, targets and networks, made once for all the comparisons."""

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self.images = sources.load(experiment)
        self.found = run.fingerprints(experiment)
        self.network = backbones.backbone(experiment)
        self.targets = np.eye(10, dtype=np.float32)[self.images.train.labels]

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
        wanted = feature_cache.training_view(self.experiment, self.images.train.first(images), view)
        return feature_cache.open_views(prefix, [wanted], progress=False)[0]

    def timed(self, *which: int) -> tuple[np.ndarray, float]:
        """What `stored` gives, and the seconds that it took."""
        begun = time.perf_counter()
        return self.stored(*which), time.perf_counter() - begun

    def ours(self, above: Any, rows: np.ndarray, batch_size: int) -> None:
        """A shuffled pass over stored activations, as an epoch of ours."""
        source = inputs.Source(rows, self.targets)
        shuffled = np.random.default_rng(0).permutation(len(rows))
        fit.train(above, source, shuffled, batch_size)

    def trace(self, above: Any, rows: np.ndarray, batch_size: int) -> None:
        """A batch of the usual size and one of what a pass leaves for the last: both are traced then."""
        self.ours(above, rows[: batch_size + len(rows) % batch_size], batch_size)


def _features(work: Work, sizes: Sizes) -> dict[str, Any]:
    """`predict` of the whole backbone, against storing one augmented view of the same images."""
    n = sizes.features
    images = work.images.train.first(n).images.astype(np.float32)
    prefix = model.pixels_to(work.network, backbones.POOLED)
    prefix.predict(images[:64], verbose=0)
    turns = [
        (seconds(prefix.predict, images, verbose=0), seconds(work.stored, 0, n, pair))
        for pair in range(sizes.pairs)
    ]
    return summary("features", turns, n)


def _epoch(name: str, work: Work, sizes: Sizes, experiment: Experiment) -> dict[str, Any]:
    """An epoch of `fit` through the whole network, against one from the cache, both in float32."""
    n, experiment = sizes.epoch, experiment.replace(precision="float32")
    rows = work.stored(experiment.n_unfreeze, n, 0)
    plain, ours = _plain(work, experiment, n), _ours(work, experiment, rows)
    turns = [(plain(1), ours(rows)) for _ in range(sizes.pairs)]
    size = {"n_unfreeze": experiment.n_unfreeze, "image_size": experiment.image_size}
    return summary(name, turns, n, **size)


def _sweep(work: Work, sizes: Sizes) -> dict[str, dict[str, Any]]:
    """All of SWEEP end to end, against storing the views and training from them, in each of PRECISIONS.

    The first experiment is timed once more in plain Keras' own lower precision, mixed_bfloat16.
    """
    n, epochs = sizes.sweep, sizes.sweep_epochs
    found = [work.timed(work.experiment.n_unfreeze, n, view) for view in range(epochs)]
    views, storing = [rows for rows, _ in found], sum(took for _, took in found)
    sweep = [work.experiment.replace(**changes) for changes in SWEEP[: sizes.sweep_experiments]]
    plain: list[float] = []
    ours: dict[str, list[float]] = {name: [] for name in PRECISIONS}
    for experiment in sweep:
        plain.append(_plain(work, experiment, n)(epochs))
        for name, precision in PRECISIONS.items():
            trained = map(_ours(work, experiment.replace(precision=precision), views[0]), views)
            ours[name].append(sum(trained) + storing / len(sweep))
        told = ", ".join(f"{ours[name][-1]:.1f} s in {precision}" for name, precision in PRECISIONS.items())
        print(f"  {experiment.slug}: {plain[-1]:.1f} s against {told}", flush=True)
    keras.config.set_dtype_policy("mixed_bfloat16")
    lower = _plain(work, sweep[0], n)(epochs)
    keras.config.set_dtype_policy("float32")
    size = {"storing_seconds": storing, "experiments": len(sweep), "plain_bfloat16_seconds": lower}
    return {
        name: summary(
            name, list(zip(plain, each, strict=True)), n * epochs, precision=PRECISIONS[name], **size
        )
        for name, each in ours.items()
    }


def _plain(work: Work, experiment: Experiment, images: int) -> Callable[[int], float]:
    """Seconds of so many epochs of a `fit` of the whole network, whose trace is made before."""
    batch, network = experiment.batch_size, work.plain(experiment)
    pixels, targets = work.images.train.first(images).images.astype(np.float32), work.targets[:images]
    network.fit(pixels[:batch], targets[:batch], batch_size=batch, verbose=0)
    return lambda epochs: seconds(network.fit, pixels, targets, batch_size=batch, epochs=epochs, verbose=0)


def _ours(work: Work, experiment: Experiment, rows: np.ndarray) -> Callable[[np.ndarray], float]:
    """Seconds of a pass over a stored view, of as many rows as these; its trace is made before."""
    above, batch = work.above_cut(experiment), experiment.batch_size
    work.trace(above, rows, batch)
    return lambda view: seconds(work.ours, above, view, batch)


# ---------------------------------------------------------------------------- how costs grow


def _growth(work: Work, sizes: Sizes) -> list[dict[str, Any]]:
    """Seconds to store a view and to train on it once, and its bytes, one size changed at a time."""
    sides, depths = GROWTH.values()
    usual = work.experiment
    points = [("images", usual, images) for images in sizes.growth_images]
    points += [("image_size", usual.replace(image_size=side), sizes.growth) for side in sides]
    points += [("n_unfreeze", usual.replace(n_unfreeze=depth), sizes.growth) for depth in depths]
    return [_cost(*point, work, view) for view, point in enumerate(points)]


def _cost(along: str, experiment: Experiment, images: int, work: Work, view: int) -> dict[str, Any]:
    """view: one that was not stored for another point, which may be of the same size."""
    if experiment.image_size != work.experiment.image_size:
        work = Work(experiment)
    rows, storing = work.timed(experiment.n_unfreeze, images, view)
    epoch = _ours(work, experiment, rows)(rows)
    print(f"  {along}: {images} images, {experiment.image_size} px, {experiment.n_unfreeze} layers: ", end="")
    print(f"{storing:.1f} s to store {rows.nbytes / 1e9:.2f} GB, {epoch:.1f} s an epoch", flush=True)
    size = {"image_size": experiment.image_size, "n_unfreeze": experiment.n_unfreeze}
    cost = {"storing_seconds": storing, "epoch_seconds": epoch, "stored_bytes": rows.nbytes}
    return {"along": along, "images": images, **size, **cost}


def seconds(work: Callable[..., object], *given: Any, **options: Any) -> float:
    """What a call takes."""
    begun = time.perf_counter()
    work(*given, **options)
    return time.perf_counter() - begun


def _told(name: str, found: dict[str, Any]) -> dict[str, Any]:
    asked = f"; target {found['target']:g}" if found["target"] else ""
    print(
        f"{name}: {found['ratio']:.2f} times plain Keras ({found['low']:.2f} to {found['high']:.2f}"
        f"{asked}); {found['ours_images_per_second']:.0f} against "
        f"{found['plain_images_per_second']:.0f} images a second",
        flush=True,
    )
    return found
