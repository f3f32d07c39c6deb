"""The network: MobileNetV2's backbone, the head, and the cut between what is frozen and what trains.

    pixels ──► prefix (frozen, a constant of the image) ──► suffix (partly unfrozen) ──► pooling ──► head

Sandler et al. 2018 (arXiv:1801.04381) describe the backbone; the seed study's script, the head.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import keras
from keras import layers, ops

from helpers import miniature, weights
from helpers.experiment import Experiment
from helpers.weights import WeightsError

POOLED = "pooled"
"""The cut above the whole backbone: what it stores are the pooled features, for stage 1."""
SHARED_CUT = "block_11_add"
"""The cut of n = 30. Deeper ones are computed from what it stores: a fifth of the work or less."""


def backbone(experiment: Experiment) -> keras.Model:
    """MobileNetV2 without its top, pre-trained: (n, size, size, 3) in [-1, 1] to (n, size/32, size/32, c).

    Raises WeightsError where the file does not hold this network's weights.
    """
    shape = (experiment.image_size, experiment.image_size, 3)
    path = weights.locate(experiment)
    if experiment.dataset == "miniature":
        return miniature.backbone()
    network = keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=shape)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one a layer, before the error that says it all
            network.load_weights(path)
    except Exception as error:  # Keras and h5py raise a dozen types for a file that does not fit
        raise WeightsError(
            f"{path} does not hold the weights of MobileNetV2 1.0 without its top "
            f"({type(error).__name__}: {str(error).splitlines()[0][:200]}); set MOBILENETV2_WEIGHTS to such "
            "a file, or unset it to download Keras' own"
        ) from error
    return network


def unfrozen(network: keras.Model, n_unfreeze: int) -> list[keras.layers.Layer]:
    """The top `n_unfreeze` layers as the seed counts: every layer that is not batch norm.

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


def pixels_to(network: keras.Model, cut_name: str | None) -> keras.Model:
    """The prefix: images (n, side, side, 3) in [0, 255] to the activations at the cut.

    Resizes bilinearly and rescales to [-1, 1] as the seed does. With `POOLED`, the pooled features.
    """
    size = network.input_shape[1]
    images = keras.Input((32, 32, 3), name="images")
    x = layers.Resizing(size, size, interpolation="bilinear")(images)
    x = layers.Rescaling(1 / 127.5, offset=-1)(x)
    if cut_name == POOLED:
        x = layers.GlobalAveragePooling2D()(network(x, training=False))
    elif cut_name is not None:
        below = keras.Model(network.input, network.get_layer(cut_name).output)
        x = below(x, training=False)
    return keras.Model(images, x, name="prefix")


def is_above(network: keras.Model, cut_name: str, other: str) -> bool:
    """Whether one cut between blocks lies above another; never for `POOLED`, which is no such cut."""
    names = [layer.name for layer in network.layers]
    return cut_name in names and other in names and names.index(cut_name) > names.index(other)


def between(network: keras.Model, lower: str, upper: str) -> keras.Model:
    """The frozen part from one cut to another above it: activations (n, h, w, c) to activations."""
    return keras.Model(network.get_layer(lower).output, network.get_layer(upper).output, name="between")


def suffix(network: keras.Model, experiment: Experiment) -> keras.Model:
    """The backbone above the cut, unfrozen as the experiment says: activations to features.

    With backbone_bn='frozen' each convolution is joined with the batch norm that follows it: the same
    function and the same weights with a third less work.
    """
    cut_name = cut(network, experiment.n_unfreeze)
    start = network.input if cut_name is None else network.get_layer(cut_name).output
    free = {layer.name for layer in unfrozen(network, experiment.n_unfreeze)}
    train_bn = experiment.backbone_bn == "train"
    lowest = min((i for i, layer in enumerate(network.layers) if layer.name in free), default=0)
    for i, layer in enumerate(network.layers):
        is_bn = isinstance(layer, layers.BatchNormalization)
        layer.trainable = (train_bn and i >= lowest) if is_bn else layer.name in free
    above = keras.Model(start, network.output, name="suffix")
    if train_bn:
        return above
    # The call function drops what only batch norm is called with, as a layer without it takes its place.
    return keras.models.clone_model(
        above,
        clone_function=_joined(network, experiment.precision),
        call_function=lambda layer, *inputs, **_: layer(*inputs),
    )


def _joined(network: keras.Model, precision: str) -> Callable[[layers.Layer], layers.Layer]:
    """For clone_model: convolutions joined with their frozen batch norm; the others copied."""
    norms = {layer.name.lower(): layer for layer in network.layers}

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        if isinstance(layer, layers.BatchNormalization):
            return layers.Identity(name=layer.name)
        if isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D):
            name = layer.name.lower()
            norm = norms.get(f"{name}_bn") or norms[f"bn_{name}"]
            return ConvolutionWithFrozenNorm(layer, norm, precision, name=layer.name)
        return type(layer).from_config(layer.get_config())

    return clone


class ConvolutionWithFrozenNorm(keras.layers.Layer):
    """A bias-free convolution and the frozen batch norm after it, as one convolution with a bias.

    conv(x, k) * s + b = conv(x, k * s) + b with s = gamma / sqrt(variance + eps) and b = beta - mean * s.
    The kernel k stays the variable that trains, so that gradients, weight decay and adaptive steps are
    those of the original network; only activations are spared a pass each way.

    A pointwise kernel is applied as one matrix product. With precision 'bfloat16' its factors and its result
    are rounded to 8 significant bits in training, and so are the gradients that pass through it; the kernel
    itself, and every evaluation, stay in float32. This is mixed precision (Micikevicius et al. 2018) without
    a scaled loss, which bfloat16's range makes needless (Kalamkar et al. 2019, arXiv:1905.12322); it pays
    where a processor has instructions for it (AVX-512 BF16, AMX, Arm BF16).
    """

    def __init__(
        self, convolution: layers.Layer, norm: layers.BatchNormalization, precision: str, name: str
    ) -> None:
        super().__init__(name=name, trainable=convolution.trainable)
        self.convolution = convolution
        self.norm = norm
        self.norm.trainable = False
        self.precision = precision

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Nothing to make: both layers bring their weights."""

    def call(self, inputs: keras.KerasTensor, training: bool | None = None) -> keras.KerasTensor:
        """(n, h, w, c) to (n, h', w', c'), the batch norm in inference mode in either case."""
        conv, norm = self.convolution, self.norm
        scale = norm.gamma * ops.rsqrt(norm.moving_variance + norm.epsilon)
        shift = norm.beta - norm.moving_mean * scale
        if isinstance(conv, layers.DepthwiseConv2D):
            kernel = conv.kernel * ops.reshape(scale, (1, 1, -1, 1))
            return ops.depthwise_conv(inputs, kernel, conv.strides, conv.padding) + shift
        kernel = conv.kernel * scale
        if tuple(conv.kernel_size) == (1, 1):
            factors = ops.reshape(inputs, (-1, inputs.shape[-1])), kernel[0, 0]
            if training and self.precision == "bfloat16":
                product = ops.matmul(*(ops.cast(factor, "bfloat16") for factor in factors))
            else:
                product = ops.matmul(*factors)
            product = ops.cast(product, self.compute_dtype)
            return ops.reshape(product + shift, (-1, *inputs.shape[1:3], kernel.shape[-1]))
        return ops.conv(inputs, kernel, conv.strides, conv.padding) + shift


def head(experiment: Experiment, features: int, classes: int = 10) -> keras.Model:
    """The classifier on pooled features (n, features): norm, dense ReLU, dropout, softmax (n, classes).

    Without the dense layer the softmax starts at zero, so that it sends no random gradient into the backbone
    (as in Kolesnikov et al. 2020, arXiv:1912.11370, section 3.3).
    """
    inputs = keras.Input((features,), name="pooled")
    x = inputs
    if experiment.head_norm in ("batch", "frozen"):
        x = layers.BatchNormalization(momentum=experiment.head_momentum, name="head_norm")(x)
    elif experiment.head_norm == "layer":
        x = layers.LayerNormalization(name="head_norm")(x)
    if experiment.head_units:
        x = layers.Dense(experiment.head_units, activation="relu", name="head_dense")(x)
    x = layers.Dropout(experiment.dropout, name="head_dropout")(x)
    start = "glorot_uniform" if experiment.head_units else "zeros"
    softmax = layers.Dense(classes, activation="softmax", kernel_initializer=start, name="head_softmax")
    return keras.Model(inputs, softmax(x), name="head")


def above_cut(network: keras.Model, top: keras.Model, experiment: Experiment) -> keras.Model:
    """What stage 2 trains: suffix, pooling and head, from activations at the cut to probabilities."""
    part = suffix(network, experiment)
    if experiment.head_norm == "frozen":
        top.get_layer("head_norm").trainable = False  # in Keras this stops its moving statistics as well
    inputs = keras.Input(part.input_shape[1:], name="activations")
    pooled = layers.GlobalAveragePooling2D(name="pooling")(part(inputs))
    return keras.Model(inputs, top(pooled), name="above_cut")


def whole(network: keras.Model, top: keras.Model, experiment: Experiment) -> keras.Model:
    """The network end to end, trained where stage 2 trains.

    Images (n, 32, 32, 3) in [0, 255] to probabilities (n, classes).
    """
    above = above_cut(network, top, experiment)
    prefix = pixels_to(network, cut(network, experiment.n_unfreeze))
    prefix.trainable = False
    images = keras.Input((32, 32, 3), name="pixels")
    return keras.Model(images, above(prefix(images, training=False)), name="whole")
