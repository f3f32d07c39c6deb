"""What happened to a network: measured between the epochs of stage 2, its weights left as they are.

A network that looks destroyed may have lost its features, or the head's batch norm may only be evaluated
with statistics that do not fit them. So accuracy is measured with several kinds of statistics, on clean and
on augmented images; and the features by themselves, by a fresh linear probe, by how far the weights
moved, and by how similar each block's activations are to what they were before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from helpers.analysis.batchnorm import ACTIVE_VARIANCE, count_active_channels, count_kept_channels
from helpers.data.split import Dataset
from helpers.engine import augment, backbones, feature_cache, forward
from helpers.engine.averages import Averages
from helpers.engine.fit import predict
from helpers.engine.inputs import EVALUATION_BATCH, Rows, batches
from helpers.engine.reestimate import Statistics, evaluating_with, moments, moving
from helpers.experiment import Experiment

SAMPLE = 5000
"""Training images that statistics are re-estimated from and probes are fitted to."""
COMPARED = 1000
"""Validation images whose activations are compared."""
PROBE_STRENGTH = 0.01
"""Inverse strength C of the probe's L2 penalty: the same for every network, tuned for none."""
Array = NDArray[Any]
_numpy = keras.ops.convert_to_numpy


def of(
    experiment: Experiment, trained: keras.Model, images: Dataset, prefix: forward.Prefix, progress: bool
) -> Diagnosis:
    """The diagnosis of a network whose stage 2 is about to begin; stores the few views that it needs more."""
    augmented = augment.draw("standard", 0, len(images.val.labels), images.val.side)
    wanted = {
        "val": feature_cache.plain("val", images.val),
        "val_augmented": feature_cache.ViewSpec("val-standard-0", images.val, augmented),
        "train_clean": feature_cache.plain("train-first", images.train.first(SAMPLE)),
    }
    stored = feature_cache.open_views(prefix, list(wanted.values()), progress)
    inputs = {
        name: (rows, item.split.labels) for (name, item), rows in zip(wanted.items(), stored, strict=True)
    }
    return Diagnosis(experiment, trained, inputs)


class Diagnosis:
    """Measures one network again and again; made before stage 2 begins, which it compares with.

    trained: what stage 2 trains (`model.above_cut`). inputs: 'val', 'val_augmented' and 'train_clean', each
    with its rows and its labels (n,).
    """

    def __init__(
        self, experiment: Experiment, trained: keras.Model, inputs: Mapping[str, tuple[Rows, Array]]
    ) -> None:
        self.batch_size = experiment.batch_size
        self.trained = trained
        self.inputs = dict(inputs)
        self.pooled = keras.Model(trained.input, trained.get_layer("pooling").output)
        self.head = trained.get_layer("head")
        suffix = trained.get_layer("suffix")
        self.blocks = backbones.block_outputs(suffix)
        self.activations = keras.Model(suffix.input, [suffix.get_layer(name).output for name in self.blocks])
        self.kernels_before = {
            name: _numpy(kernel).copy() for name, kernel in backbones.kernels(trained).items()
        }
        self.grams_before = self._grams()
        self.variances_before = self._pooled(*self.inputs["val"]).var(axis=0)
        self.averages: Averages | None = None

    def follow_averages(self, train_count: int) -> None:
        """Measure between the steps too, by averages of other lengths; the head needs a batch norm."""
        norm, val = self.head.get_layer("head_norm"), self.inputs["val"]
        self.averages = Averages(norm, self.pooled, self._predict, val, train_count, self.batch_size)

    def step(self, rows: Rows) -> None:
        """Take note of a step of stage 2."""
        if self.averages:
            self.averages.step(rows)

    def __call__(self, train: Rows) -> dict[str, Any]:
        """All the measurements of the network as it is now; `train` are the inputs of the epoch's view.

        accuracy: images ('val', 'val_augmented') to statistics to accuracy, 0 to 1. Statistics: 'moving',
        which Keras evaluates with; 'batch', each batch's own; 'augmented' and 'clean', re-estimated over
        those training images; 'means' and 'variances', the moving ones with the one or the other half of
        'clean'; 'varying' and 'resting', with 'clean' for the channels that vary by more than
        ACTIVE_VARIANCE or for the others. Where the head has no batch norm: 'moving' alone.
        alive, kept: channels of the pooled features on 'val' (analysis.batchnorm: count_active_channels,
        count_kept_channels with their variance before stage 2).
        probe: accuracy on 'val' of a logistic regression on the features of 'train_clean'.
        drift: kernel to the norm of its change over its norm. cka: block to similarity, 0 to 1.
        averages: what `Averages.report` found since the last call; where they are followed.
        """
        labels = self.inputs["train_clean"][1]
        pooled = {name: self._pooled(rows, true) for name, (rows, true) in self.inputs.items()}
        probed = probe_answers(pooled["train_clean"], labels, pooled["val"])
        norm = self._norm
        statistics = _kinds(norm, pooled["train_clean"], self._pooled(train, labels)) if norm else {}
        accuracy = {}
        for name in ("val", "val_augmented"):
            answers, true = self._answers(pooled[name], statistics), self.inputs[name][1]
            accuracy[name] = {kind: float(np.mean(p.argmax(1) == true)) for kind, p in answers.items()}
        return {
            "accuracy": accuracy,
            "alive": count_active_channels(pooled["val"]),
            "kept": count_kept_channels(pooled["val"], self.variances_before),
            "probe": float(np.mean(probed == self.inputs["val"][1])),
            "drift": {
                name: self._drift(name, kernel) for name, kernel in backbones.kernels(self.trained).items()
            },
            "cka": {
                name: linear_cka(before, now)
                for name, before, now in zip(self.blocks, self.grams_before, self._grams(), strict=True)
            },
        } | ({"averages": self.averages.report(train, pooled["val"])} if self.averages else {})

    @property
    def _norm(self) -> keras.layers.BatchNormalization | None:
        names = [layer.name for layer in self.head.layers]
        norm = self.head.get_layer("head_norm") if "head_norm" in names else None
        return norm if isinstance(norm, keras.layers.BatchNormalization) else None

    def _pooled(self, rows: Rows, labels: Array) -> Array:
        """Pooled features (n, c) of the images with these labels."""
        return predict(self.pooled, rows, len(labels))

    def _answers(self, pooled: Array, kinds: Mapping[str, Statistics]) -> dict[str, Array]:
        """Probabilities (n, classes) for pooled features (n, c), by kind of statistics."""
        answers = {"moving": self._predict(pooled)}
        if not (norm := self._norm):
            return answers
        for kind, statistics in kinds.items():
            with evaluating_with(norm, statistics):
                answers[kind] = self._predict(pooled)
        own = []
        for low in range(0, len(pooled), self.batch_size):
            batch = pooled[low : low + self.batch_size]
            with evaluating_with(norm, moments(batch)):
                own.append(self._predict(batch))
        return answers | {"batch": np.concatenate(own)}

    def _predict(self, pooled: Array) -> Array:
        return _numpy(self.head(pooled, training=False))

    def _drift(self, name: str, kernel: keras.Variable) -> float:
        """The norm of a kernel's change over its norm before stage 2, or over 1 where that was zero."""
        before = self.kernels_before[name]
        return float(np.linalg.norm(_numpy(kernel) - before) / (np.linalg.norm(before) or 1))

    def _grams(self) -> list[Array]:
        """Each block's Gram matrix of the first validation images' activations, COMPARED at most."""
        rows, labels = self.inputs["val"]
        first = np.arange(min(COMPARED, len(labels)))
        passes = batches(rows, (), first, EVALUATION_BATCH)
        # Flattened, because Keras gives a single output without its list.
        answers = [keras.tree.flatten(self.activations.predict_on_batch(inputs)) for (inputs,) in passes]
        return [gram(np.concatenate(block).reshape(len(first), -1)) for block in zip(*answers, strict=True)]


def _kinds(norm: keras.layers.BatchNormalization, plain: Array, augmented: Array) -> dict[str, Statistics]:
    """Statistics to evaluate the head's batch norm with, by kind; from features of training images (n, c)."""
    mean, variance = moving(norm)
    clean = moments(plain)
    varying = clean[1] > ACTIVE_VARIANCE
    return {
        "augmented": moments(augmented),
        "clean": clean,
        "means": (clean[0], variance),
        "variances": (mean, clean[1]),
        "varying": (np.where(varying, clean[0], mean), np.where(varying, clean[1], variance)),
        "resting": (np.where(varying, mean, clean[0]), np.where(varying, variance, clean[1])),
    }


def gram(activations: Array) -> Array:
    """Inner products (n, n) of the centred activations (n, p) of n images."""
    centred = activations - activations.mean(axis=0)
    return centred @ centred.T


def linear_cka(one: Array, other: Array) -> float:
    """Linear centred kernel alignment, 0 to 1, of two Gram matrices (n, n) of the same images.

    Kornblith et al. 2019 (arXiv:1905.00414), section 3. 1 where the activations of one are a rotation and a
    scaling of the other's; 0 where those of one do not vary.
    """
    norms = np.linalg.norm(one) * np.linalg.norm(other)
    return float(np.sum(one * other) / norms) if norms > 0 else 0.0


def probe_answers(features: Array, labels: Array, tested: Array) -> Array:
    """The classes (m,) that a logistic regression on standardized `features` (n, c) gives `tested` (m, c).

    -1, which is no class, where some are not finite: a network that diverged tells nothing apart.
    """
    if not (np.isfinite(features).all() and np.isfinite(tested).all()):
        return np.full(len(tested), -1)
    fitted = make_pipeline(StandardScaler(), LogisticRegression(C=PROBE_STRENGTH, max_iter=500))
    # Its many small products wait for one another's threads ten times longer than they take.
    with threadpool_limits(1, user_api="blas"):
        return fitted.fit(features, labels).predict(tested)
