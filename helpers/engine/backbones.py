"""The pre-trained networks without their tops, and where each can be cut."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import keras
from keras import applications, layers

from helpers import paths
from helpers.data import weights
from helpers.data.weights import WeightsError
from helpers.engine import lite, miniature
from helpers.engine.fused_conv import users_of
from helpers.experiment import Experiment

POOLED = "pooled"
"""The cut above the whole backbone: what it stores are the pooled features, for stage 1."""
SHARED_CUT = "block_11_add"
"""MobileNetV2's cut of n = 30. Deeper ones are computed from what it stores: a fifth of the work or less."""
BARE: dict[str, Any] = {"include_top": False, "weights": None}
"""How keras.applications are asked for a network without its top, untrained."""
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's pixels in [0, 1], by channel, as the networks that want them standardized were trained."""


def _load_keras(network: keras.Model, path: Path) -> None:
    """Load a file of weights by its contents: Keras' own judges it by the end of its name."""
    with h5py.File(path) as file:
        old = "layer_names" in file.attrs or "model_weights" in file
        end = ".h5" if old else ".weights.h5"
    with tempfile.TemporaryDirectory() as folder:
        network.load_weights(shutil.copyfile(path, Path(folder, f"backbone{end}")))


class Row(NamedTuple):
    """A network: the function that builds it, and the numbers that it wants its pixels in."""

    build: Callable[..., keras.Model]
    """Called with an `input_shape`, or with an `input_tensor` where it wants other pixels."""
    pixels: Mapping[str, Any] | None = None
    """What keras.layers.Rescaling makes of pixels in [-1, 1] first; None where they are right as they are."""
    load: Callable[[keras.Model, Path], None] = _load_keras
    """Gives the network the weights in a file; raises whatever the reader of the file does."""


NETWORKS: dict[str, Row] = {
    "mobilenet_v2": Row(partial(applications.MobileNetV2, **BARE)),
    "mobilenet_v3_large": Row(partial(applications.MobileNetV3Large, include_preprocessing=False, **BARE)),
    "efficientnet_v2_b0": Row(
        partial(applications.EfficientNetV2B0, include_preprocessing=False, **BARE),
        {
            "scale": [0.5 / deviation for deviation in DEVIATION],
            "offset": [(0.5 - mean) / deviation for mean, deviation in zip(MEAN, DEVIATION, strict=True)],
        },
    ),
    "resnet50_v2": Row(partial(applications.ResNet50V2, **BARE)),
    # It wants (pixel - 127) / 128.
    "efficientnet_lite0": Row(lite.network, {"scale": 127.5 / 128, "offset": 0.5 / 128}, lite.load),
}
"""By the name that `Experiment.backbone` gives. EfficientNet-B0 is not here: Keras builds another network
where it loads ImageNet's weights than where it is given them."""


def architecture(experiment: Experiment) -> keras.Model:
    """The backbone: (n, size, size, 3) in [-1, 1] to (n, size/32, size/32, c).

    Its weights are random; the miniature's small network, which ships, comes with its own. Nothing in it is
    dropped at random: that belongs to how it was pre-trained, and the experiment says nothing of it.
    """
    if experiment.backbone_weights == "miniature":
        return miniature.backbone()
    row, shape = NETWORKS[experiment.backbone], (experiment.image_size, experiment.image_size, 3)
    given: dict[str, Any] = {"input_shape": shape}
    if row.pixels:
        given = {"input_tensor": layers.Rescaling(**row.pixels)(keras.Input(shape))}
    network = row.build(**given)
    network = keras.Model(network.inputs[0], network.output) if row.pixels else network
    for layer in network.layers:
        if isinstance(layer, layers.Dropout):
            layer.rate = 0.0
    return network


def backbone(experiment: Experiment) -> keras.Model:
    """The `architecture` with its pre-trained weights.

    Raises WeightsError where the file does not hold this network's weights.
    """
    path = weights.find_or_download(experiment)
    network = architecture(experiment)
    if experiment.backbone_weights == "miniature":
        return network
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one a layer, before the error that says it all
            NETWORKS[experiment.backbone].load(network, path)
    except Exception as error:  # the readers raise a dozen types for a file that does not fit
        raise WeightsError(
            f"{path} does not hold the weights of {weights.PUBLISHED[experiment.backbone].title} without its "
            f"top ({type(error).__name__}: {str(error).splitlines()[0][:200]}); set "
            f"{paths.weights_variable(experiment.backbone)} to such a file, or unset it to download one"
        ) from error
    return network


def unfrozen(network: keras.Model, n_unfreeze: int) -> list[keras.layers.Layer]:
    """The top `n_unfreeze` layers as the study counts: every layer that is not batch norm.

    Activations, paddings and additions count, so in MobileNetV2 30 reaches down to block_12_expand_relu, of
    which block_12_depthwise is the lowest that has weights.
    """
    counted = [layer for layer in network.layers if not isinstance(layer, layers.BatchNormalization)]
    return counted[len(counted) - n_unfreeze :] if n_unfreeze < len(counted) else counted


def cut(network: keras.Model, n_unfreeze: int) -> str | None:
    """Name of the layer whose output is stored: that of the last whole block below the unfrozen ones.

    There the network is narrow, so this stores little: in MobileNetV2 at 160 px 19 KB an image for n = 30,
    where the layer just below takes 115. None where nothing is frozen below; `POOLED` where nothing is
    unfrozen.
    """
    if n_unfreeze == 0:
        return POOLED
    names = [layer.name for layer in network.layers]
    weighted = [layer.name for layer in unfrozen(network, n_unfreeze) if layer.weights]
    lowest = names.index(weighted[0]) if weighted else len(names) - 1
    return next((name for name in reversed(block_ends(network)) if names.index(name) < lowest), None)


def block_ends(network: keras.Model) -> list[str]:
    """Names of the layers that end a block, from bottom to top, found in the graph.

    Every path from the input to the output passes such a layer. It is an addition, which ends a residual
    block; or the next layer has more channels, as after a 'linear bottleneck' (Sandler et al. 2018).
    """
    operations = network.operations
    places = {operation.name: place for place, operation in enumerate(operations)}
    users = users_of(network)
    ends, furthest, weighted = [], 0, False
    for place, operation in enumerate(operations):
        next_ones, is_layer = users[operation.name], isinstance(operation, layers.Layer)
        weighted = weighted or bool(is_layer and operation.weights)
        channels = operation.output.shape[-1]
        wider = any(each.output.shape[-1] > channels for each in next_ones)
        if furthest <= place and weighted and is_layer and (wider or isinstance(operation, layers.Add)):
            ends.append(operation.name)
        furthest = max([furthest, *(places[each.name] for each in next_ones)])
    return ends


def block_outputs(part: keras.Model) -> list[str]:
    """Names of the layers that end a block, from bottom to top, and of the last one."""
    ends, last = block_ends(part), part.layers[-1].name
    return ends if last in ends else [*ends, last]


def kernels(network: keras.Model) -> dict[str, keras.Variable]:
    """The kernels that train, by the name of their layer, from bottom to top."""
    return {v.path.split("/")[-2]: v for v in network.trainable_variables if v.name == "kernel"}


def is_above(network: keras.Model, cut_name: str, other: str) -> bool:
    """Whether one cut between blocks lies above another; never for `POOLED`, which is no such cut."""
    names = [layer.name for layer in network.layers]
    return cut_name in names and other in names and names.index(cut_name) > names.index(other)


def between(network: keras.Model, lower: str, upper: str) -> keras.Model:
    """The frozen part from one cut to another above it: activations (n, h, w, c) to activations."""
    return keras.Model(network.get_layer(lower).output, network.get_layer(upper).output, name="between")
