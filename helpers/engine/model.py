"""The network: MobileNetV2's backbone, the head, and the cut between what is frozen and what trains.

    pixels ──► prefix (frozen, a constant of the image) ──► suffix (partly unfrozen) ──► pooling ──► head

Sandler et al. 2018 (arXiv:1801.04381) describe the backbone; the original study's script, the head.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

from helpers.engine.backbones import POOLED, backbone, cut, unfrozen
from helpers.engine.fused_conv import joined_with_norms
from helpers.experiment import SIDE, Experiment


def pixels_to(network: keras.Model, cut_name: str | None, side: int = SIDE) -> keras.Model:
    """The prefix: images (n, side, side, 3) in [0, 255] to the activations at the cut.

    Resizes bilinearly and rescales to [-1, 1] as the original study does. With `POOLED`, the pooled features.
    """
    size = network.input_shape[1]
    images = keras.Input((side, side, 3), name="images")
    x = layers.Resizing(size, size, interpolation="bilinear")(images)
    x = layers.Rescaling(1 / 127.5, offset=-1)(x)
    if cut_name == POOLED:
        x = layers.GlobalAveragePooling2D()(network(x, training=False))
    elif cut_name is not None:
        below = keras.Model(network.input, network.get_layer(cut_name).output)
        x = below(x, training=False)
    return keras.Model(images, x, name="prefix")


def freeze(network: keras.Model, experiment: Experiment) -> None:
    """Let the top layers of the backbone train, and keep all others as ImageNet left them.

    Batch norm is not among those that train, unless backbone_bn='train' adds what lies above the lowest.
    Frozen, it keeps its moving statistics as well: Keras runs it in inference mode.
    """
    free = unfrozen(network, experiment.n_unfreeze)
    if free and experiment.backbone_bn == "train":
        free = network.layers[network.layers.index(free[0]) :]
    for layer in network.layers:
        layer.trainable = layer in free


def suffix(network: keras.Model, experiment: Experiment) -> keras.Model:
    """The backbone above the cut, unfrozen as the experiment says: activations to features.

    With backbone_bn='frozen' each convolution is joined with the batch norm that follows it: the same
    function and the same weights with a third less work.
    """
    freeze(network, experiment)
    cut_name = cut(network, experiment.n_unfreeze)
    start = network.input if cut_name is None else network.get_layer(cut_name).output
    above = keras.Model(start, network.output, name="suffix")
    if experiment.backbone_bn == "train":
        return above
    # The call function drops what only batch norm is called with, as a layer without it takes its place.
    return keras.models.clone_model(
        above,
        clone_function=joined_with_norms(network, experiment.precision),
        call_function=lambda layer, *inputs, **_: layer(*inputs),
    )


def head(experiment: Experiment, features: int, classes: int = 10) -> keras.Model:
    """The classifier on pooled features (n, features): norm, dense ReLU, dropout, softmax (n, classes).

    Without the dense layer the softmax starts at zero, so that it sends no random gradient into the backbone
    (as in Kolesnikov et al. 2020, arXiv:1912.11370, section 3.3). What is random depends on the experiment's
    seed alone: Keras' own seeds come from the process, of which other threads may draw.
    """
    seeds = _seeds(experiment.seed)
    inputs = keras.Input((features,), name="pooled")
    x = inputs
    if experiment.head_norm not in ("layer", "none"):
        kind = _Fixable if experiment.head_norm == "frozen_statistics" else layers.BatchNormalization
        x = kind(momentum=experiment.head_momentum, name="head_norm")(x)
    elif experiment.head_norm == "layer":
        x = layers.LayerNormalization(name="head_norm")(x)
    if experiment.head_units:
        start = keras.initializers.GlorotUniform(next(seeds))
        x = layers.Dense(
            experiment.head_units, activation="relu", kernel_initializer=start, name="head_dense"
        )(x)
    dropped = next(seeds) if experiment.dropout else None
    x = layers.Dropout(experiment.dropout, seed=dropped, name="head_dropout")(x)
    start = keras.initializers.GlorotUniform(next(seeds)) if experiment.head_units else "zeros"
    softmax = layers.Dense(classes, activation="softmax", kernel_initializer=start, name="head_softmax")
    return keras.Model(inputs, softmax(x), name="head")


class _Fixable(layers.BatchNormalization):
    """A batch norm that, once `fixed`, trains with the statistics that it evaluates with."""

    fixed = False

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """As Keras' own; which overrides a `training=False` that a functional model was built with."""
        return super().call(inputs, training=bool(training) and not self.fixed, mask=mask)


BACKBONE_SEEDS = 52
"""One for each convolution of MobileNetV2."""


def _seeds(seed: int) -> Iterator[int]:
    """The seeds that Keras draws for the layers of a head, in order, if the process draws nothing else.

    The first records were made with these: the process was seeded, and the backbone's layers took theirs.
    """
    draw = random.Random(seed)  # noqa: S311 (no secret depends on it)
    drawn = [draw.randint(1, 10**9) for _ in range(BACKBONE_SEEDS + 3)]
    return iter(drawn[BACKBONE_SEEDS:])


def stage2_head(top: keras.Model, experiment: Experiment) -> keras.Model:
    """The head as stage 2 trains it, with what the experiment freezes of its norm."""
    if experiment.head_norm == "frozen":
        top.get_layer("head_norm").trainable = False  # in Keras this stops its moving statistics as well
    elif experiment.head_norm == "frozen_scale":
        norm = top.get_layer("head_norm")
        norm.gamma.trainable = norm.beta.trainable = False
    elif experiment.head_norm == "frozen_statistics":
        top.get_layer("head_norm").fixed = True
    return top


def above_cut(network: keras.Model, top: keras.Model, experiment: Experiment) -> keras.Model:
    """What stage 2 trains: suffix, pooling and head, from activations at the cut to probabilities."""
    part, top = suffix(network, experiment), stage2_head(top, experiment)
    inputs = keras.Input(part.input_shape[1:], name="activations")
    pooled = layers.GlobalAveragePooling2D(name="pooling")(part(inputs))
    return keras.Model(inputs, top(pooled), name="above_cut")


def whole(network: keras.Model, top: keras.Model, experiment: Experiment) -> keras.Model:
    """The network end to end, trained where stage 2 trains.

    Images (n, side, side, 3) in [0, 255] to probabilities (n, classes).
    """
    above = above_cut(network, top, experiment)
    prefix = pixels_to(network, cut(network, experiment.n_unfreeze), experiment.side)
    prefix.trainable = False
    images = keras.Input((experiment.side, experiment.side, 3), name="pixels")
    return keras.Model(images, above(prefix(images, training=False)), name="whole")


def classifier(experiment: Experiment, values: Sequence[np.ndarray], classes: int) -> keras.Model:
    """A trained run's network: images (n, side, side, 3) in [0, 255] to probabilities (n, classes).

    values: the weights of what was trained, in Keras' order. It consists of Keras' own layers: those that
    train inside `above_cut` are the backbone's, so that the backbone, left as it is, computes what was
    trained. Raises ValueError where the values are not this network's.
    """
    if experiment.head_norm == "frozen_statistics":
        experiment = experiment.replace(head_norm="batch")  # to evaluate it is the same
    network = backbone(experiment)
    top = head(experiment, network.output_shape[-1], classes)
    parts = [top]
    if experiment.epochs_run and experiment.n_unfreeze:
        end_to_end = whole(network, top, experiment)
        parts = [end_to_end.get_layer("above_cut"), end_to_end]  # what either engine leaves
    shapes = [value.shape for value in values]
    fitting = [part for part in parts if [tuple(weight.shape) for weight in part.weights] == shapes]
    if not fitting:
        raise ValueError("its arrays are not this network's")
    fitting[0].set_weights(values)
    pooled = pixels_to(network, POOLED, experiment.side)
    return keras.Model(pooled.input, top(pooled.output), name="classifier")
