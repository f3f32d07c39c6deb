"""A convolution joined with the frozen batch norm after it; which two belong together, the graph says."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import keras
from keras import layers, ops


def joined_with_norms(network: keras.Model, precision: str) -> Callable[[layers.Layer], layers.Layer]:
    """For clone_model: convolutions joined with their frozen batch norm.

    Others that have weights are the network's own; those that have none are copied.
    """
    users = users_of(network)
    norms = {
        layer.name: users[layer.name][0]
        for layer in network.layers
        if isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D)
        and not layer.use_bias
        and [type(user) for user in users[layer.name]] == [layers.BatchNormalization]
    }
    joined = {norm.name for norm in norms.values()}

    def clone(layer: keras.Operation) -> keras.Operation:
        if layer.name in joined:
            return layers.Identity(name=layer.name)
        if layer.name in norms:
            return ConvolutionWithFrozenNorm(layer, norms[layer.name], precision, name=layer.name)
        if not isinstance(layer, layers.Layer) or layer.weights:
            return layer
        return type(layer).from_config(layer.get_config())

    return clone


def users_of(network: keras.Model) -> dict[str, list[keras.Operation]]:
    """Those that take an operation's output, by the operation's name; in this network, whatever else is."""
    users: dict[str, list[keras.Operation]] = {operation.name: [] for operation in network.operations}
    for node in itertools.chain(*network._nodes_by_depth.values()):
        for parent in node.parent_nodes:
            users[parent.operation.name].append(node.operation)
    return users


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
