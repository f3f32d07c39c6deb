"""EfficientNet-Lite0 (Google 2020): EfficientNet-B0 without squeeze-and-excitation, with ReLU6 for swish."""

from __future__ import annotations

from pathlib import Path

import keras
from keras import layers

from helpers.data import torch_file

STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""Blocks, side of the depthwise kernel, stride of the first block, expansion, channels: from bottom to top.
As in efficientnet_lite_builder.py of tensorflow/tpu, from which the weights come."""
EPSILON, MOMENTUM = 1e-3, 0.99
"""Of its batch norms, from the same file."""


def network(input_tensor: keras.KerasTensor) -> keras.Model:
    """The network without its top, untrained: pixels (n, s, s, 3) to (n, s/32, s/32, 1280).

    Every convolution pads as TensorFlow's 'same', as that of the original does.
    """
    x = _convolution(input_tensor, "stem", layers.Conv2D(32, 3, 2, padding="same", use_bias=False))
    for stage, (blocks, side, stride, expansion, channels) in enumerate(STAGES, start=1):
        for number in range(blocks):
            name = f"block{stage}{'abcd'[number]}"
            x = _block(x, name, side, 1 if number else stride, expansion, channels)
    x = _convolution(x, "top", layers.Conv2D(1280, 1, use_bias=False))
    return keras.Model(keras.utils.get_source_inputs(input_tensor), x, name="efficientnet_lite0")


def _block(
    x: keras.KerasTensor, name: str, side: int, stride: int, expansion: int, channels: int
) -> keras.KerasTensor:
    """An inverted residual (Sandler et al. 2018): widen, filter each channel, narrow; add where it fits."""
    below, wide = x, expansion * x.shape[-1]
    if expansion > 1:
        x = _convolution(x, f"{name}_expand", layers.Conv2D(wide, 1, use_bias=False))
    filtering = layers.DepthwiseConv2D(side, stride, padding="same", use_bias=False)
    x = _convolution(x, f"{name}_depthwise", filtering)
    x = _convolution(x, f"{name}_project", layers.Conv2D(channels, 1, use_bias=False), is_linear=True)
    return layers.Add(name=f"{name}_add")([x, below]) if x.shape == below.shape else x


def _convolution(
    x: keras.KerasTensor, name: str, convolution: layers.Layer, is_linear: bool = False
) -> keras.KerasTensor:
    convolution.name = name
    x = convolution(x)
    x = layers.BatchNormalization(epsilon=EPSILON, momentum=MOMENTUM, name=f"{name}_bn")(x)
    return x if is_linear else layers.ReLU(6.0, name=f"{name}_relu")(x)


def load(model: keras.Model, path: Path) -> None:
    """Give the network the weights that PyTorch saved, which lie in its order.

    Raises UnpicklingError where the file is none of PyTorch's, ValueError where it is another network's.
    """
    arrays = []
    for name, array in torch_file.read(path).items():
        if name.startswith("_fc.") or name.endswith("num_batches_tracked"):
            continue
        if array.ndim == 4:  # (out, in, h, w); of a depthwise kernel the second is 1, and comes last in Keras
            array = array.transpose((2, 3, 0, 1) if array.shape[1] == 1 else (2, 3, 1, 0))
        arrays.append(array)
    model.set_weights(arrays)
