"""Any Keras model examined: what it answers with several kinds of batch-norm statistics, and a probe."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import keras
import numpy as np

from helpers.analysis.examination import Examination, NormGap
from helpers.data.split import Split
from helpers.engine.diagnosis import probe_answers
from helpers.engine.reestimate import (
    BATCH,
    Array,
    Call,
    Norm,
    Statistics,
    batch_statistics,
    calling,
    distances,
    estimated,
    evaluating_with,
    norms,
)


def examine(
    model: keras.Model,
    name: str,
    known: Split,
    judged: Split,
    otherwise: Iterable[tuple[str, Array, Array]] = (),
) -> Examination:
    """Measure a model that gives (n, classes), and leave it as it is.

    known: images, as the model takes them, and labels that statistics are estimated from and the probe is
    fitted to. judged: others, which the accuracies are of. Statistics are re-estimated for the norms that
    training moves; for all of them where it moves none. The probe is a logistic regression on what the last
    dense layer sees with these statistics; it is left out where there is no dense layer.
    otherwise: what other numbers for the pixels are called, and the known and the judged images with these.
    """
    moved = norms(model, known.images)
    used = estimated(model, known.images, frozen=not moved)
    # What a norm sees depends on those below it: here all of them are new, in `used` those that train alone.
    fresh = {**estimated(model, known.images, frozen=True), **used} if moved else used
    given = {"moving": answers(model, judged.images)}
    if used:
        with batch_statistics(list(used)):
            given["batch"] = answers(model, judged.images)
    with _evaluating(used):
        if used:
            given["reestimated"] = answers(model, judged.images)
        if dense := _last_dense(model, known.images):
            seen, tested = (_inputs(model, dense, split.images) for split in (known, judged))
            given["probe"] = probe_answers(seen, known.labels, tested)
    correct = {kind: classes == judged.labels for kind, classes in given.items()}
    off = [(norm.name, *distances(norm, statistics)) for norm, statistics in fresh.items()]
    gaps = tuple(NormGap(name, float(np.mean(far)), float(np.median(ratio))) for name, far, ratio in off)
    others = {}
    for pixels, learned, asked in otherwise:
        others[pixels] = {"moving": answers(model, asked) == judged.labels}
        if used:
            with _evaluating(estimated(model, learned, frozen=not moved)):
                others[pixels]["reestimated"] = answers(model, asked) == judged.labels
    return Examination(name, correct, gaps, len(moved), others)


@contextmanager
def _evaluating(used: Mapping[Norm, Statistics]) -> Iterator[None]:
    """Inside, these norms evaluate with these statistics."""
    with ExitStack() as stack:
        for norm, statistics in used.items():
            stack.enter_context(evaluating_with(norm, statistics))
        yield


def answers(model: keras.Model, images: Array) -> Array:
    """The classes (n,) that a model in inference mode gives images."""
    passes = (images[low : low + BATCH] for low in range(0, len(images), BATCH))
    # Not model.predict: its compiled function would not see another way of calling a norm.
    return np.concatenate([np.argmax(model(each, training=False), axis=1) for each in passes])


def _last_dense(model: keras.Model, images: Array) -> keras.layers.Layer | None:
    """The dense layer that an image meets last."""
    met: list[keras.layers.Layer] = []

    def noted(layer: keras.layers.Layer, call: Call, *inputs: Any, **how: Any) -> Any:
        met.append(layer)
        return call(*inputs, **how)

    dense = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.Dense)]
    with calling(dense, noted):
        model(images[:1], training=False)
    return met[-1] if met else None


def _inputs(model: keras.Model, dense: keras.layers.Layer, images: Array) -> Array:
    """What a dense layer sees of images: (n, features)."""
    seen: list[Array] = []

    def noted(_: keras.layers.Layer, call: Call, inputs: Any, **how: Any) -> Any:
        seen.append(keras.ops.convert_to_numpy(inputs))
        return call(inputs, **how)

    with calling([dense], noted):
        answers(model, images)
    return np.concatenate(seen)
