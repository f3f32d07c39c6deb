"""The pre-trained network without its top, and where it can be cut."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from pathlib import Path

import h5py
import keras
from keras import layers

from helpers.data import weights
from helpers.data.weights import WeightsError
from helpers.engine import miniature
from helpers.experiment import Experiment

POOLED = "pooled"
"""The cut above the whole backbone: what it stores are the pooled features, for stage 1."""
SHARED_CUT = "block_11_add"
"""The cut of n = 30. Deeper ones are computed from what it stores: a fifth of the work or less."""


def architecture(experiment: Experiment) -> keras.Model:
    """MobileNetV2 without its top: (n, size, size, 3) in [-1, 1] to (n, size/32, size/32, c).

    Its weights are random; the miniature's small network, which ships, comes with its own.
    """
    if experiment.backbone_weights == "miniature":
        return miniature.backbone()
    shape = (experiment.image_size, experiment.image_size, 3)
    return keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=shape)


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
            _load(network, path)
    except Exception as error:  # Keras and h5py raise a dozen types for a file that does not fit
        raise WeightsError(
            f"{path} does not hold the weights of MobileNetV2 1.0 without its top "
            f"({type(error).__name__}: {str(error).splitlines()[0][:200]}); set MOBILENETV2_WEIGHTS to such "
            "a file, or unset it to download Keras' own"
        ) from error
    return network


def _load(network: keras.Model, path: Path) -> None:
    """Load a file of weights by its contents: Keras' own judges it by the end of its name."""
    with h5py.File(path) as file:
        old = "layer_names" in file.attrs or "model_weights" in file
        end = ".h5" if old else ".weights.h5"
    with tempfile.TemporaryDirectory() as folder:
        network.load_weights(shutil.copyfile(path, Path(folder, f"backbone{end}")))


def unfrozen(network: keras.Model, n_unfreeze: int) -> list[keras.layers.Layer]:
    """The top `n_unfreeze` layers as the study counts: every layer that is not batch norm.

    Activations, paddings and additions count, so 30 reaches down to block_12_expand_relu, of which
    block_12_depthwise is the lowest that has weights.
    """
    counted = [layer for layer in network.layers if not isinstance(layer, layers.BatchNormalization)]
    return counted[len(counted) - n_unfreeze :] if n_unfreeze < len(counted) else counted


def cut(network: keras.Model, n_unfreeze: int) -> str | None:
    """Name of the layer whose output is stored: that of the last whole block below the unfrozen ones.

    Between blocks the network is narrowest (the 'linear bottlenecks' of Sandler et al. 2018), so this
    stores least: at 160 px 19 KB an image for n = 30, where the layer just below takes 115. None where
    nothing is frozen below; `POOLED` where nothing is unfrozen.
    """
    if n_unfreeze == 0:
        return POOLED
    names = [layer.name for layer in network.layers]
    weighted = [layer.name for layer in unfrozen(network, n_unfreeze) if layer.weights]
    lowest = names.index(weighted[0]) if weighted else len(names) - 1
    return next((name for name in reversed(names[:lowest]) if _ends_block(name, names)), None)


def _ends_block(name: str, names: list[str]) -> bool:
    block = name.removesuffix("_project_BN")
    return name.endswith("_add") or (block != name and f"{block}_add" not in names)


def block_outputs(part: keras.Model) -> list[str]:
    """Names of the layers that end a block, from bottom to top, and of the last one."""
    names = [layer.name for layer in part.layers]
    return [name for name in names if _ends_block(name, names) or name == names[-1]]


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
