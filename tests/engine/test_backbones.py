"""Each network of the table: it is cut in its graph, its parts are the whole, and it trains."""

from pathlib import Path
from typing import Any, get_args

import keras
import numpy as np
import pytest
import torch_files
from keras import ops

from helpers.data.weights import WeightsError
from helpers.engine import backbones, model
from helpers.experiment import Backbone, Experiment

SIZE = 64
RNG = np.random.default_rng(1)
IMAGES = RNG.integers(0, 256, (4, 32, 32, 3)).astype(np.float32)
CUTS = {
    "mobilenet_v2": "block_11_add",
    "mobilenet_v3_large": "expanded_conv_11_add",
    "efficientnet_v2_b0": "block6e_add",
    "resnet50_v2": "conv4_block5_out",
    "efficientnet_lite0": "block5c_add",
}
"""Where each is cut for n = 30."""
OTHERS = [name for name in CUTS if name != "mobilenet_v2"]


def randomized(network: keras.Model) -> keras.Model:
    """With scales and shifts of a trained kind, and the statistics that go with them."""
    rng, size = np.random.default_rng(0), network.input_shape[1]
    norms = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for norm in norms:
        norm.gamma.assign(rng.uniform(0.7, 1.3, norm.gamma.shape))
        norm.beta.assign(rng.normal(0, 0.3, norm.beta.shape))
        norm.momentum = 0.0  # its statistics are those of the next batch alone
    network(rng.uniform(-1, 1, (4, size, size, 3)).astype(np.float32), training=True)
    return network


@pytest.fixture(scope="module", params=OTHERS)
def built(request: pytest.FixtureRequest) -> tuple[Experiment, keras.Model]:
    experiment = Experiment(backbone=request.param, image_size=SIZE, dropout=0.0)
    return experiment, randomized(backbones.architecture(experiment))


def array(tensor: Any) -> np.ndarray:
    return ops.convert_to_numpy(tensor)


def test_every_network_is_here() -> None:
    assert list(CUTS) == list(get_args(Backbone)), (
        "CUTS has every name of experiment.Backbone, in that order: add it with '', and the next test shows "
        "the cut to write there"
    )


def test_every_path_passes_a_cut(built: tuple[Experiment, keras.Model]) -> None:
    """Keras refuses to make a network of what lies above a layer that some path goes around."""
    experiment, network = built
    ends = backbones.block_ends(network)
    assert backbones.cut(network, 30) == CUTS[experiment.backbone]
    assert len(ends) > 10
    for name in (ends[0], ends[len(ends) // 2], ends[-1]):
        keras.Model(network.get_layer(name).output, network.output)


def test_the_parts_are_the_whole(built: tuple[Experiment, keras.Model]) -> None:
    experiment, network = built
    top = model.head(experiment, network.output_shape[-1])
    pixels = ops.image.resize(IMAGES, (SIZE, SIZE), interpolation="bilinear") / 127.5 - 1
    expected = array(top(ops.mean(network(pixels, training=False), axis=(1, 2)), training=False))
    assert np.ptp(expected, axis=0).max() > 0.01, "the images are told apart"
    stored = model.pixels_to(network, backbones.cut(network, 30))(IMAGES, training=False)
    above = model.above_cut(network, top, experiment)
    # Random weights magnify what float32 rounds; another cut would differ as the images do.
    np.testing.assert_allclose(array(above(stored, training=False)), expected, rtol=0, atol=1e-3)
    inner, blocks = above.get_layer("suffix"), backbones.block_outputs(above.get_layer("suffix"))
    assert len(blocks) > 1
    keras.Model(inner.input, [inner.get_layer(name).output for name in blocks])


def test_a_step_moves_what_is_unfrozen_and_nothing_else(built: tuple[Experiment, keras.Model]) -> None:
    experiment, network = built
    values = network.get_weights()
    above = model.above_cut(network, model.head(experiment, network.output_shape[-1]), experiment)
    free = {v.path for layer in backbones.unfrozen(network, 30) for v in layer.weights}
    before = {v.path: array(v).copy() for v in network.weights}
    above.compile(keras.optimizers.SGD(0.1), "categorical_crossentropy")
    stored = array(model.pixels_to(network, backbones.cut(network, 30))(IMAGES, training=False))
    above.fit(stored, np.eye(10)[:4], verbose=0)
    moved = {v.path for v in network.weights if not np.array_equal(before[v.path], array(v))}
    network.set_weights(values)
    assert moved == free


def as_pytorch_has_them(network: keras.Model) -> dict[str, np.ndarray]:
    """The weights of a network as a file of PyTorch's holds them, among others that it has no place for."""
    values: dict[str, np.ndarray] = {}
    for place, weight in enumerate(network.weights):
        value = array(weight)
        if value.ndim == 4:
            value = value.transpose((2, 3, 0, 1) if "depthwise" in weight.path else (3, 2, 0, 1))
        values[str(place)] = np.ascontiguousarray(value)
    return values | {"_bn1.num_batches_tracked": np.array(9, "<i8"), "_fc.weight": np.zeros((3, 2), "<f4")}


def test_efficientnet_lite0_takes_pytorchs_weights_and_no_others(tmp_path: Path) -> None:
    experiment = Experiment(backbone="efficientnet_lite0", image_size=32)
    original = randomized(backbones.architecture(experiment))
    trained = [weight for weight in original.weights if "moving" not in weight.name]
    assert sum(int(np.prod(weight.shape)) for weight in trained) == 4_652_008 - (1280 + 1) * 1000
    values = as_pytorch_has_them(original)
    path = torch_files.written(tmp_path / "lite.pth", values)
    loaded = backbones.backbone(experiment.replace(backbone_weights=str(path)))
    for ours, theirs in zip(loaded.get_weights(), original.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    del values["0"]
    path = torch_files.written(tmp_path / "part.pth", values)
    with pytest.raises(WeightsError, match=r"part\.pth does not hold the weights of EfficientNet-Lite0"):
        backbones.backbone(experiment.replace(backbone_weights=str(path)))
